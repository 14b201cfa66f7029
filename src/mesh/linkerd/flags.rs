//! The flags of `proxy-init`.

use std::path::PathBuf;

use super::config::LinkerdConfig;
use crate::Result;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::flags::{self, Flag, Given, fault};
use crate::mesh::parse::{self, Parsed};
use crate::mesh::{Cidrs, PortRanges};

/// All flags of `proxy-init`, and one of our own, `outbound-subnets-to-ignore`.
pub const FLAGS: &[Flag] = &[
    Flag::value("incoming-proxy-port", "port that inbound TCP goes to, required").short('p'),
    Flag::value("outgoing-proxy-port", "port that outbound TCP goes to, required").short('o'),
    Flag::value("proxy-uid", "user whose traffic is left alone; it or --proxy-gid is required").short('u'),
    Flag::value("proxy-gid", "group whose traffic is left alone").short('g'),
    Flag::value("ports-to-redirect", "inbound ports that are captured, instead of all").short('r'),
    Flag::value("inbound-ports-to-ignore", "inbound ports and ranges that are left alone"),
    Flag::value("outbound-ports-to-ignore", "outbound ports and ranges that are left alone"),
    Flag::value("subnets-to-ignore", "ranges; inbound connections from them are left alone"),
    Flag::value("outbound-subnets-to-ignore", "ranges; outbound connections to them are left alone"),
    Flag::switch("simulate", "print the rules and change nothing"),
    Flag::value("netns", "path of the pod's network namespace"),
    Flag::switch("use-wait-flag", "no effect, there is no lock to wait for").short('w'),
    Flag::value("timeout-close-wait-secs", "conntrack's timeout for CLOSE_WAIT in that namespace; 0 leaves it"),
    Flag::value("iptables-mode", "legacy, nft or plain; no effect, no program is run"),
    Flag::value("firewall-bin-path", "iptables-legacy, iptables-nft or iptables; no effect"),
    Flag::value("firewall-save-bin-path", "no effect, no program is run"),
    Flag::switch("ipv6", "capture IPv6 besides IPv4, the default"),
    Flag::value("log-format", "plain or json"),
    Flag::value("log-level", "a level such as info; no effect, there are few lines"),
];

/// What the flags of `proxy-init` say: what to capture, and how to run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LinkerdFlags {
    /// What to capture.
    pub config: LinkerdConfig,
    /// Print the rules and change nothing.
    pub simulate: bool,
    /// The pod's network namespace; `None` is the current one.
    pub netns: Option<PathBuf>,
    /// The timeout of conntrack for connections in CLOSE_WAIT, in seconds, never 0.
    pub close_wait_timeout: Option<u32>,
    /// Report in JSON.
    pub json: bool,
}

impl LinkerdFlags {
    /// Reads flags as `proxy-init` does; as there, -1 for a number means that it is not given. A
    /// list that is given again is continued.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid), with the flag and its value, for whatever
    /// `proxy-init` would drop or fail at half way.
    ///
    /// ```
    /// use nftmesh::mesh::linkerd::LinkerdFlags;
    ///
    /// let flags = LinkerdFlags::parse(["-p", "4143", "-o", "4140", "-u", "2102", "--ipv6=false"])?;
    /// assert!(!flags.simulate);
    /// let error = LinkerdFlags::parse(["-p", "70000"]).unwrap_err();
    /// assert_eq!(error.to_string(), "-p \"70000\": not a port; give one number from 1 to 65535");
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    pub fn parse<S: Into<String>>(arguments: impl IntoIterator<Item = S>) -> Result<Self> {
        let given = flags::read(FLAGS, arguments)?;
        let mut config = LinkerdConfig::builder().proxy_uid(None);
        let (mut incoming, mut outgoing, mut mode, mut path) = (None, None, None, None);
        let (mut redirect, mut inbound, mut outbound) = (Vec::new(), Vec::new(), Vec::new());
        let (mut sources, mut destinations) = (Vec::new(), Vec::new());
        let (mut simulate, mut netns, mut close_wait_timeout, mut json) = (false, None, None, false);
        for flag in &given {
            match flag.name {
                "incoming-proxy-port" => incoming = number(flag, parse::port)?,
                "outgoing-proxy-port" => outgoing = number(flag, parse::port)?,
                "proxy-uid" => config.proxy_uid = number(flag, |text| owner(text, "user"))?,
                "proxy-gid" => config.proxy_gid = number(flag, |text| owner(text, "group"))?,
                "ports-to-redirect" => redirect.extend(single_ports(flag)?.iter()),
                "inbound-ports-to-ignore" => inbound.extend(port_ranges(flag)?.iter()),
                "outbound-ports-to-ignore" => outbound.extend(port_ranges(flag)?.iter()),
                "subnets-to-ignore" => sources.extend_from_slice(value(flag, Cidrs::parse)?.as_slice()),
                "outbound-subnets-to-ignore" => destinations.extend_from_slice(value(flag, Cidrs::parse)?.as_slice()),
                "simulate" => simulate = value(flag, parse::boolean)?,
                "use-wait-flag" => drop(value(flag, parse::boolean)?),
                "netns" => netns = (!flag.value.is_empty()).then(|| PathBuf::from(&flag.value)),
                "timeout-close-wait-secs" => close_wait_timeout = Some(value(flag, seconds)?).filter(|&time| time != 0),
                "iptables-mode" => mode = Some(flag),
                "firewall-bin-path" => path = Some(flag),
                "ipv6" => config.ipv6 = value(flag, parse::boolean)?,
                "log-format" => json = flag.value == "json",
                "log-level" => log_level(flag)?,
                _ => {}
            }
        }
        // As there, a mode makes the path without meaning.
        match (mode.filter(|flag| !flag.value.is_empty()), path.filter(|flag| !flag.value.is_empty())) {
            (Some(mode), _) => one_of(mode, &["legacy", "nft", "plain"])?,
            (None, Some(path)) => one_of(path, &["iptables-legacy", "iptables-nft", "iptables"])?,
            (None, None) => {}
        }
        let missing = |name| fault(name, "it must be given, a port from 1 to 65535");
        config.incoming_port = incoming.ok_or_else(|| missing("--incoming-proxy-port"))?;
        config.outgoing_port = outgoing.ok_or_else(|| missing("--outgoing-proxy-port"))?;
        config.inbound_ports = (!redirect.is_empty()).then(|| redirect.into_iter().collect());
        config.inbound_ports_ignore = inbound.into_iter().collect();
        config.outbound_ports_ignore = outbound.into_iter().collect();
        config.subnets_ignore = sources.into_iter().collect();
        config.outbound_subnets_ignore = destinations.into_iter().collect();
        Ok(LinkerdFlags { config: config.build()?, simulate, netns, close_wait_timeout, json })
    }
}

fn value<T>(flag: &Given, read: impl Fn(&str) -> Parsed<T>) -> std::result::Result<T, Invalid> {
    read(&flag.value).map_err(|problem| flag.wrong(problem))
}

/// Reads a number; -1 is the default of these flags.
fn number<T>(flag: &Given, read: impl Fn(&str) -> Parsed<T>) -> std::result::Result<Option<T>, Invalid> {
    if flag.value.trim() == "-1" { Ok(None) } else { value(flag, read).map(Some) }
}

fn owner(text: &str, what: &str) -> Parsed<u32> {
    let number = parse::decimal(text.trim()).and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| Problem(format!("not the number of a {what}")))?;
    parse::checked_owner(number, what)
}

fn seconds(text: &str) -> Parsed<u32> {
    let number = parse::decimal(text.trim()).and_then(|number| u32::try_from(number).ok());
    // The kernel keeps it as a signed number of ticks.
    number
        .filter(|&number| number <= 2_147_483)
        .ok_or_else(|| Problem::new("not a number of seconds; give 0 to 2147483"))
}

/// iptables writes ranges with `:`, `proxy-init` with `-` only. As there, 0 is a port of a list.
fn port_ranges(flag: &Given) -> std::result::Result<PortRanges, Invalid> {
    match flag.value.contains(':') {
        true => Err(flag.wrong(Problem::new("a range is written with -, such as 8000-8010"))),
        false => value(flag, PortRanges::parse_with_zero),
    }
}

fn single_ports(flag: &Given) -> std::result::Result<PortRanges, Invalid> {
    match flag.value.contains(['-', ':']) {
        true => {
            Err(flag.wrong(Problem::new("ranges are not accepted here; give a comma list of ports from 0 to 65535")))
        }
        false => value(flag, PortRanges::parse_with_zero),
    }
}

/// The levels of logrus, in any case.
fn log_level(flag: &Given) -> std::result::Result<(), Invalid> {
    let levels = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];
    match levels.iter().any(|level| flag.value.eq_ignore_ascii_case(level)) {
        true => Ok(()),
        false => Err(flag.wrong(Problem(format!("give one of {}", levels.join(", "))))),
    }
}

fn one_of(flag: &Given, accepted: &[&str]) -> std::result::Result<(), Invalid> {
    match accepted.contains(&flag.value.as_str()) {
        true => Ok(()),
        false => Err(flag.wrong(Problem(format!("give one of {}", accepted.join(", "))))),
    }
}
