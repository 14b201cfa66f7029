//! Resolves raw text and a host to an [`IstioConfig`]; checks that involve more than one value are
//! here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use ipnetwork::{IpNetwork, Ipv4Network};

use super::config::{InboundPorts, IstioConfig, OwnerGroups, SELF_CALL_MARK, ServiceCidrs};
use super::facts::{Nameservers, PodFacts};
use super::interception::{Interception, interception};
use super::option::{OptionSpec, Takes};
use super::option_table as table;
use super::options::RawOptions;
use super::warning::Warning;
use crate::Result;
use crate::mesh::cidrs::{self, Cidrs};
use crate::mesh::dns::DnsCapture;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::interface::InterfacePattern;
use crate::mesh::parse::{self, Parsed};
use crate::mesh::port_ranges::PortRanges;
use crate::routes::MarkRoute;

impl IstioConfig {
    /// Reads the environment of this process and the files of this host; `addresses` are the pod's
    /// addresses in the kernel's order.
    ///
    /// The order of `addresses` decides whether IPv6 is captured: see [`IstioConfig::ipv6`].
    ///
    /// # Errors
    ///
    /// Fails if a value is not acceptable, or if `/etc/resolv.conf`, `/etc/passwd` or `/etc/group`
    /// cannot be read.
    ///
    /// ```
    /// use nftmesh::mesh::istio::IstioConfig;
    ///
    /// let config = IstioConfig::from_env(vec!["127.0.0.1".parse()?, "10.77.0.2".parse()?])?;
    /// assert!(!config.ipv6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_env(addresses: Vec<IpAddr>) -> Result<Self> {
        let options = RawOptions::from_env()?;
        IstioConfig::resolve(&options, &PodFacts::read(&options, addresses)?)
    }

    /// Checks and completes the given options without reading anything from the machine.
    ///
    /// # Errors
    ///
    /// Fails if a value is not acceptable; the message is one line and names the option as it was
    /// given.
    ///
    /// ```
    /// use nftmesh::mesh::istio::{PodFacts, Interception, IstioConfig, RawOptions};
    ///
    /// let host = PodFacts { addresses: vec!["10.77.0.2".parse()?], ..PodFacts::default() };
    /// let mut options = RawOptions::default();
    /// options.set_flag("-m", "TPROXY")?;
    /// assert_eq!(IstioConfig::resolve(&options, &host)?.interception, Interception::Tproxy);
    ///
    /// options.set_flag("-m", "FOO")?;
    /// let error = IstioConfig::resolve(&options, &host).unwrap_err();
    /// assert_eq!(error.to_string(), r#"-m "FOO": no such interception mode; give REDIRECT or TPROXY"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resolve(options: &RawOptions, host: &PodFacts) -> Result<Self> {
        config(options, host).map_err(Into::into)
    }
}

fn config(options: &RawOptions, host: &PodFacts) -> Result<IstioConfig, Invalid> {
    let mut warnings = empty_items(options);
    let interception = options.read(&table::INTERCEPTION_MODE, interception)?;
    let proxy_uids = proxy_uids(options, host, &mut warnings)?;
    let proxy_gids = match options.read(&table::PROXY_GID, |text| gids(text, host))? {
        gids if gids.is_empty() => ascending(proxy_uids.clone()),
        gids => gids,
    };
    let tproxy_mark =
        options.read(&table::TPROXY_MARK, |text| parse::mark(text).and_then(|mark| distinct(mark, interception)))?;
    let ipv6 = ipv6(options, host, &mut warnings)?;
    Ok(IstioConfig {
        outbound_port: options.read(&table::ENVOY_PORT, parse::port)?,
        inbound_port: options.read(&table::INBOUND_CAPTURE_PORT, parse::port)?,
        tunnel_port: options.read(&table::INBOUND_TUNNEL_PORT, parse::port)?,
        proxy_uids,
        proxy_gids,
        interception,
        inbound_ports: inbound_ports(options, &mut warnings)?,
        exclude_interfaces: options.read(&table::EXCLUDE_INTERFACES, InterfacePattern::parse_list)?,
        service_cidrs: service_cidrs(options, ipv6, &mut warnings)?,
        exclude_cidrs: exclude_cidrs(options, ipv6, &mut warnings)?,
        outbound_ports: options.read(&table::OUTBOUND_PORTS, PortRanges::parse)?,
        outbound_ports_exclude: options.read(&table::OUTBOUND_PORTS_EXCLUDE, PortRanges::parse)?,
        kube_virt_interfaces: options.read(&table::KUBE_VIRT_INTERFACES, InterfacePattern::parse_list)?,
        tproxy: MarkRoute::of_checked(tproxy_mark, options.read(&table::TPROXY_ROUTE_TABLE, parse::route_table)?),
        dns: dns(options, host, ipv6, &mut warnings)?,
        drop_invalid: options.read(&table::DROP_INVALID, parse::boolean)?,
        drop_invalid_outbound: options.read(&table::DROP_INVALID_OUTBOUND, parse::boolean)?,
        ipv6,
        owner_groups: owner_groups(options, host, &mut warnings)?,
        loopback: options.read(&table::LOOPBACK_CIDR, loopback)?,
        counters: true,
        warnings,
    })
}

fn proxy_uids(options: &RawOptions, host: &PodFacts, warnings: &mut Vec<Warning>) -> Result<Vec<u32>, Invalid> {
    let user = |name: &str| host.users.get(name).copied();
    let given = options.read(&table::PROXY_UID, |text| {
        parse::list(text, "give a comma list of uids or user names", |item| parse::owner(item, "user", user))
    })?;
    if !given.is_empty() {
        return Ok(each_once(given));
    }
    let name = options.value(&table::ENVOY_USER);
    Ok(vec![user(name).unwrap_or_else(|| {
        if options.given(table::ENVOY_USER.name).is_some() {
            warnings.push(Warning::NoSuchProxyUser(name.to_owned()));
        }
        DEFAULT_PROXY_UID
    })])
}

/// `DefaultProxyUID`, <https://github.com/istio/istio/blob/c15acc40a282ea55d2b59a90074f8ef580eaf2a5/tools/istio-iptables/pkg/constants/constants.go>.
pub(super) const DEFAULT_PROXY_UID: u32 = 1337;

fn gids(text: &str, host: &PodFacts) -> Parsed<Vec<u32>> {
    let group = |name: &str| host.groups.get(name).copied();
    parse::list(text, "give a comma list of gids or group names", |item| parse::owner(item, "group", group))
        .map(ascending)
}

/// Removes repetitions and keeps the order, which decides whose calls to the own pod are captured.
pub(super) fn each_once(numbers: Vec<u32>) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    numbers.into_iter().filter(|number| seen.insert(*number)).collect()
}

pub(super) fn ascending(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Rejects a mark of captured packets that equals the mark of the proxy's self calls, which would
/// then count as captured.
pub(super) fn distinct(mark: NonZeroU32, interception: Interception) -> Parsed<NonZeroU32> {
    match interception {
        Interception::Tproxy if mark.get() == SELF_CALL_MARK => Err(Problem::new(
            "1338 (0x53a) marks the proxy's calls to its own pod in TPROXY mode; give another mark, such as 1337",
        )),
        Interception::Redirect | Interception::Tproxy => Ok(mark),
    }
}

/// Returns whether IPv6 is captured. A CNI plugin may run before the pod has addresses, so a
/// missing address is only a warning.
fn ipv6(options: &RawOptions, host: &PodFacts, warnings: &mut Vec<Warning>) -> Result<bool, Invalid> {
    let dual_stack = options.read(&table::DUAL_STACK, parse::boolean)?;
    let Some(address) = host.pod_address() else {
        warnings.push(Warning::NoPodAddress);
        return Ok(false);
    };
    Ok(address.is_ipv6() || (dual_stack && host.has_ipv6()))
}

fn empty_items(options: &RawOptions) -> Vec<Warning> {
    let lists = table::OPTIONS.iter().filter(|spec| spec.takes == Takes::List);
    let found = lists.filter(|spec| parse::empty_item(options.value(spec)).is_some());
    found.map(|spec| Warning::EmptyItem { option: options.name(spec), value: options.value(spec).to_owned() }).collect()
}

fn inbound_ports(options: &RawOptions, warnings: &mut Vec<Warning>) -> Result<InboundPorts, Invalid> {
    let except = options.read(&table::LOCAL_EXCLUDE_PORTS, PortRanges::parse)?;
    let ports = match options.read(&table::INBOUND_PORTS, PortRanges::parse_or_wildcard)? {
        None => return Ok(InboundPorts::All { except }),
        Some(ports) if ports.is_empty() => InboundPorts::None,
        Some(ports) => InboundPorts::Only(ports),
    };
    if !except.is_empty() {
        let option = options.name(&table::LOCAL_EXCLUDE_PORTS);
        warnings.push(Warning::NoEffect { option, reason: "not all inbound ports are captured (-b '*')" });
    }
    Ok(ports)
}

fn service_cidrs(options: &RawOptions, ipv6: bool, warnings: &mut Vec<Warning>) -> Result<ServiceCidrs, Invalid> {
    let accepted = format!("{}, or \"*\" for all", cidrs::ACCEPTED);
    let given = options.read(&table::SERVICE_CIDR, |text| parse::wildcard_or_list(text, &accepted, cidrs::network))?;
    let Some(ranges) = given else { return Ok(ServiceCidrs::All) };
    warn_ipv6_ranges(&ranges, options, &table::SERVICE_CIDR, ipv6, warnings);
    Ok(ServiceCidrs::only(ranges))
}

fn exclude_cidrs(options: &RawOptions, ipv6: bool, warnings: &mut Vec<Warning>) -> Result<Cidrs, Invalid> {
    let ranges = options.read(&table::SERVICE_EXCLUDE_CIDR, Cidrs::parse)?;
    warn_ipv6_ranges(ranges.as_slice(), options, &table::SERVICE_EXCLUDE_CIDR, ipv6, warnings);
    Ok(ranges)
}

fn warn_ipv6_ranges(
    ranges: &[IpNetwork],
    options: &RawOptions,
    spec: &'static OptionSpec,
    ipv6: bool,
    warnings: &mut Vec<Warning>,
) {
    let count = ranges.iter().filter(|range| range.is_ipv6()).count();
    if count > 0 && !ipv6 {
        warnings.push(Warning::Ipv6RangesIgnored { option: options.name(spec), count });
    }
}

fn dns(options: &RawOptions, host: &PodFacts, ipv6: bool, warnings: &mut Vec<Warning>) -> Result<DnsCapture, Invalid> {
    let redirect = options.read(&table::REDIRECT_DNS, parse::boolean)?;
    let all = options.read(&table::CAPTURE_ALL_DNS, parse::boolean)?;
    match (redirect, all) {
        (true, true) => return Ok(DnsCapture::All),
        (true, false) => {}
        (false, true) => {
            let option = options.name(&table::CAPTURE_ALL_DNS);
            warnings.push(Warning::NoEffect { option, reason: "DNS capture is off (--redirect-dns)" });
            return Ok(DnsCapture::Off);
        }
        (false, false) => return Ok(DnsCapture::Off),
    }
    let Nameservers { addresses, unreadable } = &host.nameservers;
    warnings.extend(unreadable.iter().take(NAMED).cloned().map(Warning::NameserverUnreadable));
    let more = unreadable.len().saturating_sub(NAMED);
    warnings.extend((more > 0).then_some(Warning::MoreNameservers { count: more }));
    let (servers, ignored): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| ipv6 || address.is_ipv4());
    warnings.extend(ignored.into_iter().map(Warning::NameserverIgnored));
    if servers.is_empty() {
        warnings.push(Warning::NoNameserver);
        return Ok(DnsCapture::Off);
    }
    Ok(DnsCapture::Servers(servers))
}

/// The number of unreadable lines that get a warning each.
const NAMED: usize = 8;

/// Rejects inclusions together with exclusions: the reference ignores the exclusions then, and
/// which of the two was meant is unknown.
fn owner_groups(options: &RawOptions, host: &PodFacts, warnings: &mut Vec<Warning>) -> Result<OwnerGroups, Invalid> {
    let group = |name: &str| host.groups.get(name).copied();
    let except = options.read(&table::OWNER_GROUPS_EXCLUDE, |text| gids(text, host))?;
    let only = options.read(&table::OWNER_GROUPS, |text| {
        let accepted = "give a comma list of gids or group names, or \"*\" for all";
        parse::wildcard_or_list(text, accepted, |item| parse::owner(item, "group", group))
    })?;
    match only {
        None if except.is_empty() => Ok(OwnerGroups::All),
        None => Ok(OwnerGroups::Except(except)),
        Some(only) => {
            if !except.is_empty() {
                let option = options.name(&table::OWNER_GROUPS_EXCLUDE);
                let reason = "not all groups are captured (ISTIO_OUTBOUND_OWNER_GROUPS=*)";
                warnings.push(Warning::NoEffect { option, reason });
            }
            Ok(OwnerGroups::Only(ascending(only)))
        }
    }
}

fn loopback(text: &str) -> Parsed<Ipv4Network> {
    match cidrs::network(text.trim()).map_err(|Problem(what)| Problem(format!("{what}; {LOOPBACK}")))? {
        IpNetwork::V4(range) => checked_loopback(range),
        IpNetwork::V6(_) => Err(Problem(format!("not IPv4; {LOOPBACK}"))),
    }
}

/// Checks the loopback range and masks host bits away.
pub(super) fn checked_loopback(range: Ipv4Network) -> Parsed<Ipv4Network> {
    let refused = || Problem(format!("not within 127.0.0.0/8; {LOOPBACK}"));
    match range.ip().is_loopback() && range.prefix() >= 8 {
        true => Ipv4Network::new(range.network(), range.prefix()).map_err(|_| refused()),
        false => Err(refused()),
    }
}

const LOOPBACK: &str = "give one IPv4 loopback CIDR from /8 to /32 such as 127.0.0.1/32";
