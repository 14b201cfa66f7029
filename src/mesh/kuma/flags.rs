//! The flags and variables of `kumactl install transparent-proxy`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::config::{KumaConfig, KumaConfigBuilder, VirtualNetwork};
use super::exclusion::UidExclusion;
use crate::Result;
use crate::mesh::dns::DnsCapture;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::flags::{self, Flag, Given, fault};
use crate::mesh::parse::{self, Parsed};
use crate::mesh::{Cidrs, PortRanges};

/// All flags of `kumactl install transparent-proxy`.
pub const FLAGS: &[Flag] = &[
    Flag::value(USER, "user that runs the proxy, by name or number; the one with number 5678, or kuma-dp"),
    Flag::value(FAMILIES, "dualstack or ipv4"),
    Flag::switch(INBOUND, "capture inbound TCP, the default"),
    Flag::value(INBOUND_PORT, "port that inbound TCP goes to, 15006"),
    Flag::value(OUTBOUND_PORT, "port that outbound TCP goes to, 15001"),
    Flag::value(NOT_INBOUND, "inbound TCP ports and ranges that are left alone"),
    Flag::value(NOT_OUTBOUND, "outbound TCP ports and ranges that are left alone"),
    Flag::value(NOT_FROM, "addresses and ranges; inbound connections from them are left alone"),
    Flag::value(NOT_TO, "addresses and ranges; what goes to them is left alone"),
    Flag::value(NOT_OF, "PROTOCOL:PORTS:UIDS, PORTS:UIDS or UIDS: outbound ports that are left alone for users"),
    Flag::switch(DNS, "capture DNS over UDP to the nameservers of resolv.conf"),
    Flag::switch(ALL_DNS, "capture all DNS over UDP"),
    Flag::value(DNS_PORT, "port that DNS goes to, 15053"),
    Flag::switch(NO_ZONES, "captured DNS has no conntrack zones"),
    Flag::value(VNET, "INTERFACE:NETWORK; what arrives on it is outbound; br+ is a prefix of names"),
    Flag::switch(DROP_INVALID, "drop arriving packets that belong to no connection"),
    Flag::switch("redirect-inbound-insert-instead-of-append", "no effect, our chains come first"),
    Flag::switch(OUTBOUND_FIRST, "capture DNS over TCP as other TCP; our chains come first anyway"),
    Flag::switch("iptables-logs", "no effect; the program trace shows packets"),
    Flag::value("wait", "no effect, there is no lock of xtables"),
    Flag::value("wait-interval", "no effect, there is no lock of xtables"),
    Flag::value("max-retries", "no effect, there is one transaction"),
    Flag::value("sleep-between-retries", "no effect, there is one transaction"),
    Flag::switch(DRY_RUN, "print the rules and change nothing"),
    Flag::switch("verbose", "no effect, there are few lines"),
    Flag::switch("disable-comments", "no effect, tables of our own need no marks"),
    Flag::switch("store-firewalld", "no effect, firewalld does not touch tables of others"),
    Flag::value("iptables-executables", "no effect, no program is run"),
    Flag::value("api-timeout", "no effect, nothing is asked for"),
    Flag::value("context", "no effect, there is no control plane to ask"),
    Flag::value("log-level", "no effect, there are few lines"),
    Flag::switch("no-config", "no effect, no file of kumactl is made"),
    Flag::value(CONFIG, "a file with the configuration in YAML or JSON, - for standard input, or its text"),
    Flag::value(CONFIG_FILE, "a file with the configuration; - is standard input"),
];

/// Returns the variable that sets a flag if it is not given.
#[must_use]
pub fn variable(flag: &str) -> Option<String> {
    let known = VARIABLES.iter().find(|(name, _)| *name == flag);
    known.map(|(_, variable)| format!("{PREFIX}{variable}"))
}

/// What the flags and variables say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KumaFlags {
    /// Print the rules and change nothing.
    pub dry_run: bool,
    /// The configurations in YAML or JSON, in the order given; of two values the later one
    /// counts. The caller reads them, to give their values to [`with_file`](Self::with_file).
    pub configs: Vec<ConfigSource>,
    given: Vec<Given>,
    variables: Vec<Given>,
    file: Vec<Given>,
}

/// Where a configuration in YAML or JSON is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a text is in a file or at hand")]
pub enum ConfigSource {
    /// In this file; `-` is standard input.
    File(PathBuf),
    /// It is this text.
    Text(String),
}

impl ConfigSource {
    /// A text has lines, braces or `key: value`; kumactl took texts before it took files.
    fn of(given: &Given) -> Option<Self> {
        let is_text = |text: &str| text.contains(['\n', '{']) || text.contains(": ");
        match given.value.trim() {
            "" => None,
            text if given.name == CONFIG && is_text(text) => Some(ConfigSource::Text(given.value.clone())),
            path => Some(ConfigSource::File(PathBuf::from(path))),
        }
    }
}

/// What a configuration depends on besides its flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the original reads")]
pub struct KumaFacts {
    /// The users of the pod, by name; `None` if they are not known, and then numbers count, and the
    /// names kuma-dp (5678) and root.
    pub users: Option<BTreeMap<String, u32>>,
    /// The addresses of its interfaces.
    pub addresses: Vec<IpAddr>,
    /// The nameservers of its resolv.conf.
    pub nameservers: Vec<IpAddr>,
}

impl KumaFlags {
    /// Reads flags, and for what they leave open the variables `KUMA_TRANSPARENT_PROXY_...`; other
    /// variables are ignored. A list that is given again is continued.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid), with the flag, for one that there is not.
    ///
    /// ```
    /// use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
    ///
    /// let variables = [("KUMA_TRANSPARENT_PROXY_IP_FAMILY_MODE", "ipv4")];
    /// let flags = KumaFlags::parse(["--redirect-all-dns-traffic"], variables)?;
    /// let rules = nftmesh::model::Ruleset::from(&flags.resolve(&KumaFacts::default())?);
    /// assert!(rules.to_string().contains("table ip kuma-mesh"));
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    pub fn parse<S, N, V>(
        arguments: impl IntoIterator<Item = S>,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self>
    where
        S: Into<String>,
        N: Into<String>,
        V: Into<String>,
    {
        let given = flags::read(FLAGS, arguments)?;
        let mut read = Vec::new();
        for (name, value) in variables {
            let (spelled, value) = (name.into(), value.into());
            let Some(short) = spelled.strip_prefix(PREFIX).filter(|_| !value.is_empty()) else {
                continue;
            };
            match VARIABLES.iter().chain(WITHOUT_FLAG).find(|(_, known)| *known == short) {
                Some((name, _)) => read.push(Given { name, spelled, value }),
                None if UNSUPPORTED.iter().any(|(name, usual)| *name == short && *usual != value) => {
                    return Err(fault(spelled, "this is not supported; leave it out").into());
                }
                None => {}
            }
        }
        let mut flags = KumaFlags { dry_run: false, configs: Vec::new(), given, variables: read, file: Vec::new() };
        flags.dry_run = flags.switch(DRY_RUN, false)?;
        let is_config = |given: &&Given| [CONFIG, CONFIG_FILE].contains(&given.name);
        flags.configs = flags.given.iter().filter(is_config).filter_map(ConfigSource::of).collect();
        Ok(flags)
    }

    /// Adds values of a configuration, by the flags that they belong to; flags and variables win
    /// over them, and they win over those of a configuration that was added before. A list has
    /// commas, one of exclusions for users semicolons.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for a flag that there is not.
    pub fn with_file(mut self, values: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let mut added: Vec<Given> = Vec::new();
        for (name, value) in values {
            let names = FLAGS.iter().map(|flag| flag.name).chain(WITHOUT_FLAG.iter().map(|(name, _)| *name));
            let Some(known) = names.into_iter().find(|known| *known == name) else {
                return Err(fault(name, "there is no such option; --help lists all").into());
            };
            added.push(Given { name: known, spelled: name, value });
        }
        self.file.retain(|given| added.iter().all(|later| later.name != given.name));
        self.file.extend(added);
        self.dry_run = self.switch(DRY_RUN, false)?;
        Ok(self)
    }

    /// Returns the configuration of a pod.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid), with the flag or variable and its value, for a value
    /// that cannot be, and for a user that the pod does not have.
    pub fn resolve(&self, facts: &KumaFacts) -> Result<KumaConfig> {
        let wants_v6 = match self.one(FAMILIES) {
            None => true,
            Some(given) => value(given, |text| match text.trim().to_ascii_lowercase().as_str() {
                "" | "dualstack" => Ok(true),
                "ipv4" => Ok(false),
                _ => Err(Problem::new("not a mode; give dualstack or ipv4")),
            })?,
        };
        let mut config = KumaConfig::builder().proxy_uid(self.user(facts)?);
        config.ipv6 = wants_v6 && facts.addresses.iter().any(|one| one.is_ipv6() && !one.is_loopback());
        if wants_v6 && !config.ipv6 {
            config.warnings.push("IPv6 is off: no interface has an IPv6 address".to_owned());
        }
        if let Some(port) = self.number(INBOUND_PORT)? {
            config = config.inbound_port(port);
        }
        config.outbound_port = self.number(OUTBOUND_PORT)?.unwrap_or(config.outbound_port);
        config.dns_port = self.number(DNS_PORT)?.unwrap_or(config.dns_port);
        config = config.capture_inbound(self.switch(INBOUND, true)?);
        config.exclude_inbound_ports = self.ports(NOT_INBOUND, &mut config.warnings)?;
        config.exclude_outbound_ports = self.ports(NOT_OUTBOUND, &mut config.warnings)?;
        config.include_inbound_ports = self.ports(ONLY_INBOUND, &mut config.warnings)?;
        config.include_outbound_ports = self.ports(ONLY_OUTBOUND, &mut config.warnings)?;
        config = config.capture_outbound(self.switch(OUTBOUND, true)?);
        config.exclude_inbound_ips = self.ranges(NOT_FROM)?;
        config.exclude_outbound_ips = self.ranges(NOT_TO)?;
        for given in self.all(NOT_OF) {
            // In a flag commas separate ports and users. As there, they separate exclusions in a
            // variable, which cannot name several ports.
            let is_variable = given.spelled.starts_with(PREFIX);
            for text in given
                .value
                .split(if is_variable { [';', ','] } else { [';', ';'] })
                .filter(|text| !text.trim().is_empty())
            {
                config.exclude_for_uids.push(UidExclusion::parse(text.trim()).map_err(|problem| given.wrong(problem))?);
            }
        }
        for given in self.all(VNET) {
            for text in given.value.split(',').filter(|text| !text.trim().is_empty()) {
                config.virtual_networks.push(VirtualNetwork::parse(text.trim()).map_err(|why| given.wrong(why))?);
            }
        }
        config.drop_invalid = self.switch(DROP_INVALID, false)?;
        config.dns_zones = !self.switch(NO_ZONES, false)?;
        config.dns_over_tcp = self.switch(OUTBOUND_FIRST, false)?;
        self.dns(&mut config, facts)?;
        for name in WITHOUT_EFFECT {
            self.switch(name, false)?;
        }
        for given in NUMBERS.iter().filter_map(|name| self.one(name)) {
            value(given, |text| parse::decimal(text.trim()).ok_or_else(|| Problem::new("not a number")))?;
        }
        config.build()
    }

    fn dns(&self, config: &mut KumaConfigBuilder, facts: &KumaFacts) -> Result<()> {
        let (some, all) = (self.switch(DNS, false)?, self.switch(ALL_DNS, false)?);
        let is_flag = |name| self.given.iter().any(|given| given.name == name);
        if some && all && is_flag(DNS) && is_flag(ALL_DNS) {
            return Err(Invalid::Both { one: format!("--{DNS}"), other: format!("--{ALL_DNS}") }.into());
        }
        config.dns = match (some, all) {
            (_, true) => DnsCapture::All,
            (false, false) => DnsCapture::Off,
            (true, false) => {
                for (is_v6, family) in [(false, "IPv4"), (true, "IPv6")] {
                    let is_captured = !is_v6 || config.ipv6;
                    if is_captured && !facts.nameservers.iter().any(|server| server.is_ipv6() == is_v6) {
                        let warning = format!("{DNS}: resolv.conf has no {family} nameserver, so none is captured");
                        config.warnings.push(warning);
                    }
                }
                match facts.nameservers.as_slice() {
                    [] => DnsCapture::Off,
                    servers => DnsCapture::Servers(servers.to_vec()),
                }
            }
        };
        Ok(())
    }

    fn user(&self, facts: &KumaFacts) -> Result<u32> {
        let known = |name: &str| match &facts.users {
            Some(users) => users.get(name).copied(),
            None => USUAL_USERS.iter().find(|(usual, _)| *usual == name).map(|(_, uid)| *uid),
        };
        let exists = |uid: u32| facts.users.as_ref().is_none_or(|users| users.values().any(|known| *known == uid));
        let Some(given) = self.one(USER) else {
            return match known("kuma-dp") {
                _ if exists(DEFAULT_UID) => Ok(DEFAULT_UID),
                Some(uid) => Ok(uid),
                None => {
                    let what = "neither user 5678 nor kuma-dp exists in this pod; give the proxy's, by name or number";
                    Err(fault(format!("--{USER}"), what).into())
                }
            };
        };
        let read = |text: &str| {
            let uid = parse::owner(text.trim(), "user", known)?;
            if exists(uid) { Ok(uid) } else { Err(Problem::new("no such user in this pod's /etc/passwd")) }
        };
        Ok(value(given, read)?)
    }

    /// Returns what was given of a list: flags, else the variable, else the file.
    fn all(&self, name: &str) -> impl Iterator<Item = &Given> {
        let sources = [&self.given, &self.variables, &self.file];
        let list = sources.into_iter().find(|list| list.iter().any(|one| one.name == name));
        list.into_iter().flatten().filter(move |one| one.name == name)
    }

    /// Returns the value that counts: the last one.
    fn one(&self, name: &str) -> Option<&Given> {
        self.all(name).last()
    }

    fn switch(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.one(name).map_or(Ok(default), |given| value(given, parse::boolean))?)
    }

    fn number(&self, name: &str) -> Result<Option<u16>> {
        Ok(self.one(name).map(|given| value(given, parse::port)).transpose()?)
    }

    /// As there, of a list of ports that is given again only the last one counts.
    fn ports(&self, name: &str, warnings: &mut Vec<String>) -> Result<PortRanges> {
        let mut lists = self.all(name).map(|given| value(given, PortRanges::parse)).collect::<Result<Vec<_>, _>>()?;
        let last = lists.pop().unwrap_or_default();
        if lists.iter().any(|list| *list != last) {
            warnings.push(format!("{name}: it is given again, and only the last list counts: {last}"));
        }
        Ok(last)
    }

    fn ranges(&self, name: &str) -> Result<Cidrs> {
        let mut ranges = Vec::new();
        for given in self.all(name) {
            ranges.extend_from_slice(value(given, Cidrs::parse_with_hosts)?.as_slice());
        }
        Ok(ranges.into_iter().collect())
    }
}

fn value<T>(given: &Given, read: impl Fn(&str) -> Parsed<T>) -> std::result::Result<T, Invalid> {
    read(&given.value).map_err(|problem| given.wrong(problem))
}

const PREFIX: &str = "KUMA_TRANSPARENT_PROXY_";
const USER: &str = "kuma-dp-user";
const FAMILIES: &str = "ip-family-mode";
const INBOUND: &str = "redirect-inbound";
const INBOUND_PORT: &str = "redirect-inbound-port";
const OUTBOUND_PORT: &str = "redirect-outbound-port";
const NOT_INBOUND: &str = "exclude-inbound-ports";
const NOT_OUTBOUND: &str = "exclude-outbound-ports";
const NOT_FROM: &str = "exclude-inbound-ips";
const NOT_TO: &str = "exclude-outbound-ips";
const NOT_OF: &str = "exclude-outbound-ports-for-uids";
const DNS: &str = "redirect-dns";
const ALL_DNS: &str = "redirect-all-dns-traffic";
const DNS_PORT: &str = "redirect-dns-port";
const NO_ZONES: &str = "skip-dns-conntrack-zone-split";
const VNET: &str = "vnet";
const DROP_INVALID: &str = "drop-invalid-packets";
const OUTBOUND_FIRST: &str = "redirect-outbound-insert-instead-of-append";
const DRY_RUN: &str = "dry-run";
const CONFIG: &str = "config";
const CONFIG_FILE: &str = "config-file";

/// Switches that change nothing; their values are checked.
const WITHOUT_EFFECT: &[&str] = &[
    "redirect-inbound-insert-instead-of-append",
    "iptables-logs",
    "verbose",
    "disable-comments",
    "store-firewalld",
    "no-config",
];

/// Flags and their variables, below `KUMA_TRANSPARENT_PROXY_`.
const VARIABLES: &[(&str, &str)] = &[
    (USER, "KUMA_DP_USER"),
    (FAMILIES, "IP_FAMILY_MODE"),
    (INBOUND, "REDIRECT_INBOUND_ENABLED"),
    (INBOUND_PORT, "REDIRECT_INBOUND_PORT"),
    (OUTBOUND_PORT, "REDIRECT_OUTBOUND_PORT"),
    (NOT_INBOUND, "REDIRECT_INBOUND_EXCLUDE_PORTS"),
    (NOT_OUTBOUND, "REDIRECT_OUTBOUND_EXCLUDE_PORTS"),
    (NOT_FROM, "REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_IPS"),
    (NOT_TO, "REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_IPS"),
    (NOT_OF, "REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_UIDS"),
    (DNS, "REDIRECT_DNS_ENABLED"),
    (ALL_DNS, "REDIRECT_DNS_CAPTURE_ALL"),
    (DNS_PORT, "REDIRECT_DNS_PORT"),
    (NO_ZONES, "REDIRECT_DNS_SKIP_CONNTRACK_ZONE_SPLIT"),
    (VNET, "REDIRECT_VNET_NETWORKS"),
    (DROP_INVALID, "DROP_INVALID_PACKETS"),
    (DRY_RUN, "DRY_RUN"),
    ("redirect-inbound-insert-instead-of-append", "REDIRECT_INBOUND_INSERT_REDIRECT_INSTEAD_OF_APPEND"),
    (OUTBOUND_FIRST, "REDIRECT_OUTBOUND_INSERT_REDIRECT_INSTEAD_OF_APPEND"),
    ("iptables-logs", "LOG_ENABLED"),
    ("wait", "WAIT"),
    ("wait-interval", "WAIT_INTERVAL"),
    ("max-retries", "RETRY_MAX_RETRIES"),
    ("sleep-between-retries", "RETRY_SLEEP_BETWEEN_RETRIES"),
    ("verbose", "VERBOSE"),
    ("disable-comments", "COMMENTS_DISABLED"),
    ("store-firewalld", "STORE_FIREWALLD"),
];

/// Options of the file that have no flag, by a name like those of flags, and their variables.
const WITHOUT_FLAG: &[(&str, &str)] = &[
    (OUTBOUND, "REDIRECT_OUTBOUND_ENABLED"),
    (ONLY_INBOUND, "REDIRECT_INBOUND_INCLUDE_PORTS"),
    (ONLY_OUTBOUND, "REDIRECT_OUTBOUND_INCLUDE_PORTS"),
];
const OUTBOUND: &str = "redirect-outbound";
const ONLY_INBOUND: &str = "include-inbound-ports";
const ONLY_OUTBOUND: &str = "include-outbound-ports";

/// Variables that change what is captured, are not supported, and the values that change nothing.
const UNSUPPORTED: &[(&str, &str)] = &[("REDIRECT_INBOUND_EXCLUDE_PORTS_FOR_UIDS", ""), ("EBPF_ENABLED", "false")];

/// Numbers that change nothing; they are checked.
const NUMBERS: &[&str] = &["wait", "wait-interval", "max-retries"];

/// Users by name where the pod's are not known.
const USUAL_USERS: &[(&str, u32)] = &[("kuma-dp", DEFAULT_UID), ("root", 0)];

/// The user that Kuma's images run the proxy as.
const DEFAULT_UID: u32 = 5678;
