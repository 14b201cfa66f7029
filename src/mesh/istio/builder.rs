//! Builds a configuration in code. Values are collected as given and checked once, in
//! [`build`](IstioConfigBuilder::build).

use ipnetwork::{IpNetwork, Ipv4Network};

use super::config::{InboundPorts, IstioConfig, OwnerGroups, ServiceCidrs};
use super::interception::Interception;
use super::resolve::{self, DEFAULT_PROXY_UID};
use crate::Result;
use crate::mesh::cidrs::Cidrs;
use crate::mesh::dns::DnsCapture;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::interface::{self, InterfacePattern};
use crate::mesh::parse::{self, Parsed};
use crate::mesh::port_ranges::PortRanges;
use crate::mesh::ports;
use crate::routes::MarkRoute;

/// Collects an [`IstioConfig`]; see [`IstioConfig::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct IstioConfigBuilder {
    outbound_port: u16,
    inbound_port: u16,
    tunnel_port: u16,
    proxy_uids: Vec<u32>,
    proxy_gids: Option<Vec<u32>>,
    interception: Interception,
    inbound_ports: InboundPorts,
    exclude_interfaces: Vec<String>,
    service_cidrs: ServiceCidrs,
    exclude_cidrs: Cidrs,
    outbound_ports: PortRanges,
    outbound_ports_exclude: PortRanges,
    kube_virt_interfaces: Vec<String>,
    tproxy_mark: u32,
    tproxy_route_table: u32,
    dns: DnsCapture,
    drop_invalid: bool,
    drop_invalid_outbound: bool,
    ipv6: bool,
    owner_groups: OwnerGroups,
    loopback: Option<Ipv4Network>,
    counters: bool,
}

impl Default for IstioConfigBuilder {
    fn default() -> Self {
        IstioConfigBuilder {
            outbound_port: ports::OUTBOUND,
            inbound_port: ports::INBOUND,
            tunnel_port: ports::TUNNEL,
            proxy_uids: vec![DEFAULT_PROXY_UID],
            proxy_gids: None,
            interception: Interception::default(),
            inbound_ports: InboundPorts::default(),
            exclude_interfaces: Vec::new(),
            service_cidrs: ServiceCidrs::default(),
            exclude_cidrs: Cidrs::default(),
            outbound_ports: PortRanges::default(),
            outbound_ports_exclude: PortRanges::default(),
            kube_virt_interfaces: Vec::new(),
            tproxy_mark: 1337,
            tproxy_route_table: 133,
            dns: DnsCapture::default(),
            drop_invalid: false,
            drop_invalid_outbound: false,
            ipv6: false,
            owner_groups: OwnerGroups::default(),
            loopback: None,
            counters: true,
        }
    }
}

impl IstioConfig {
    /// Starts from the reference's defaults: nothing captured, IPv4 only, proxy uid and gid 1337,
    /// counters on.
    pub fn builder() -> IstioConfigBuilder {
        IstioConfigBuilder::default()
    }
}

impl IstioConfigBuilder {
    /// Sets the port to which captured outbound TCP goes; 15001 by default.
    pub fn outbound_port(self, port: u16) -> Self {
        IstioConfigBuilder { outbound_port: port, ..self }
    }

    /// Sets the port to which captured inbound TCP goes; 15006 by default.
    pub fn inbound_port(self, port: u16) -> Self {
        IstioConfigBuilder { inbound_port: port, ..self }
    }

    /// Sets the port of the HBONE tunnel; 15008 by default.
    pub fn tunnel_port(self, port: u16) -> Self {
        IstioConfigBuilder { tunnel_port: port, ..self }
    }

    /// Sets the users that run the proxy, at least one; 1337 by default. Calls of the first one to
    /// its own pod are captured as inbound.
    pub fn proxy_uids(self, uids: impl IntoIterator<Item = u32>) -> Self {
        IstioConfigBuilder { proxy_uids: uids.into_iter().collect(), ..self }
    }

    /// Sets the groups that run the proxy, at least one; by default the numbers of the users.
    pub fn proxy_gids(self, gids: impl IntoIterator<Item = u32>) -> Self {
        IstioConfigBuilder { proxy_gids: Some(gids.into_iter().collect()), ..self }
    }

    /// Sets how inbound connections reach the proxy.
    pub fn interception(self, interception: Interception) -> Self {
        IstioConfigBuilder { interception, ..self }
    }

    /// Sets which inbound ports are captured; none by default.
    pub fn inbound_ports(self, inbound_ports: InboundPorts) -> Self {
        IstioConfigBuilder { inbound_ports, ..self }
    }

    /// Sets the interfaces on which nothing is captured: names, or prefixes such as `veth+`.
    pub fn exclude_interfaces<S: Into<String>>(self, interfaces: impl IntoIterator<Item = S>) -> Self {
        IstioConfigBuilder { exclude_interfaces: interfaces.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets which outbound destinations are captured; none by default.
    pub fn service_cidrs(self, service_cidrs: ServiceCidrs) -> Self {
        IstioConfigBuilder { service_cidrs, ..self }
    }

    /// Sets the outbound destinations that are not captured.
    pub fn exclude_cidrs(self, ranges: impl IntoIterator<Item = IpNetwork>) -> Self {
        IstioConfigBuilder { exclude_cidrs: ranges.into_iter().collect(), ..self }
    }

    /// Sets the outbound TCP ports that are captured for every destination.
    pub fn outbound_ports(self, ports: impl Into<PortRanges>) -> Self {
        IstioConfigBuilder { outbound_ports: ports.into(), ..self }
    }

    /// Sets the outbound TCP and UDP ports that are not captured.
    pub fn outbound_ports_exclude(self, ports: impl Into<PortRanges>) -> Self {
        IstioConfigBuilder { outbound_ports_exclude: ports.into(), ..self }
    }

    /// Sets the interfaces whose incoming traffic is treated as outbound: names, or prefixes such
    /// as `tap+`.
    pub fn kube_virt_interfaces<S: Into<String>>(self, interfaces: impl IntoIterator<Item = S>) -> Self {
        IstioConfigBuilder { kube_virt_interfaces: interfaces.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the mark of packets that are routed to the proxy in TPROXY mode; 1337 by default.
    pub fn tproxy_mark(self, mark: u32) -> Self {
        IstioConfigBuilder { tproxy_mark: mark, ..self }
    }

    /// Sets the routing table that the mark selects; 133 by default.
    pub fn tproxy_route_table(self, table: u32) -> Self {
        IstioConfigBuilder { tproxy_route_table: table, ..self }
    }

    /// Sets which DNS queries go to the agent; none by default.
    pub fn dns(self, dns: DnsCapture) -> Self {
        IstioConfigBuilder { dns, ..self }
    }

    /// Drops arriving packets that connection tracking considers invalid.
    pub fn drop_invalid(self) -> Self {
        IstioConfigBuilder { drop_invalid: true, ..self }
    }

    /// Drops TCP packets that leave the pod, are not the proxy's, and that connection tracking
    /// considers invalid.
    pub fn drop_invalid_outbound(self) -> Self {
        IstioConfigBuilder { drop_invalid_outbound: true, ..self }
    }

    /// Captures IPv6 as well as IPv4.
    pub fn ipv6(self) -> Self {
        IstioConfigBuilder { ipv6: true, ..self }
    }

    /// Sets whose outbound traffic is captured, by group; everyone's by default.
    pub fn owner_groups(self, owner_groups: OwnerGroups) -> Self {
        IstioConfigBuilder { owner_groups, ..self }
    }

    /// Sets the IPv4 loopback destinations that stay in the pod, /8 to /32; 127.0.0.1/32 by
    /// default.
    pub fn loopback(self, range: Ipv4Network) -> Self {
        IstioConfigBuilder { loopback: Some(range), ..self }
    }

    /// Omits the counters from the rules.
    pub fn without_counters(self) -> Self {
        IstioConfigBuilder { counters: false, ..self }
    }

    /// Checks all values and returns the configuration.
    ///
    /// # Errors
    ///
    /// Fails if a value is not acceptable; the message is one line and names the method that took
    /// it.
    ///
    /// ```
    /// use nftmesh::mesh::istio::IstioConfig;
    ///
    /// let error = IstioConfig::builder().exclude_interfaces(["a-name-that-is-too-long"]).build().unwrap_err();
    /// assert!(error.is_invalid() && error.to_string().starts_with("exclude_interfaces \"a-name-that-is-too-long\": "));
    /// ```
    pub fn build(self) -> Result<IstioConfig> {
        self.checked().map_err(Into::into)
    }

    fn checked(self) -> Result<IstioConfig, Invalid> {
        let IstioConfigBuilder {
            outbound_port,
            inbound_port,
            tunnel_port,
            proxy_uids,
            proxy_gids,
            interception,
            inbound_ports,
            exclude_interfaces,
            service_cidrs,
            exclude_cidrs,
            outbound_ports,
            outbound_ports_exclude,
            kube_virt_interfaces,
            tproxy_mark,
            tproxy_route_table,
            dns,
            drop_invalid,
            drop_invalid_outbound,
            ipv6,
            owner_groups,
            loopback,
            counters,
        } = self;
        let proxy_uids = some_owners("proxy_uids", proxy_uids, "user")?;
        let proxy_gids = match proxy_gids {
            Some(gids) => some_owners("proxy_gids", gids, "group")?,
            None => proxy_uids.clone(),
        };
        let (proxy_uids, proxy_gids) = (resolve::each_once(proxy_uids), resolve::ascending(proxy_gids));
        let table = parse::checked_route_table(tproxy_route_table);
        let mark = parse::checked_mark(tproxy_mark).and_then(|mark| resolve::distinct(mark, interception));
        let loopback = match loopback {
            Some(range) => named("loopback", range, resolve::checked_loopback(range))?,
            None => Ipv4Network::from(std::net::Ipv4Addr::LOCALHOST),
        };
        Ok(IstioConfig {
            outbound_port: port("outbound_port", outbound_port)?,
            inbound_port: port("inbound_port", inbound_port)?,
            tunnel_port: port("tunnel_port", tunnel_port)?,
            proxy_uids,
            proxy_gids,
            interception,
            inbound_ports: checked_inbound_ports(inbound_ports)?,
            exclude_interfaces: interfaces("exclude_interfaces", exclude_interfaces)?,
            service_cidrs: match service_cidrs {
                ServiceCidrs::Only { ranges, loopback: _ } if ranges.is_empty() => ServiceCidrs::None,
                other => other,
            },
            exclude_cidrs,
            outbound_ports: port_ranges("outbound_ports", outbound_ports)?,
            outbound_ports_exclude: port_ranges("outbound_ports_exclude", outbound_ports_exclude)?,
            kube_virt_interfaces: interfaces("kube_virt_interfaces", kube_virt_interfaces)?,
            tproxy: MarkRoute::of_checked(
                named("tproxy_mark", tproxy_mark, mark)?,
                named("tproxy_route_table", tproxy_route_table, table)?,
            ),
            dns: checked_dns(dns, ipv6)?,
            drop_invalid,
            drop_invalid_outbound,
            ipv6,
            owner_groups: checked_owner_groups(owner_groups)?,
            loopback,
            counters,
            warnings: Vec::new(),
        })
    }
}

fn named<T>(name: &str, value: impl ToString, checked: Parsed<T>) -> Result<T, Invalid> {
    checked.map_err(|problem| problem.of(name, value.to_string()))
}

fn port(name: &str, number: u16) -> Result<u16, Invalid> {
    named(name, number, parse::port(&number.to_string()))
}

fn port_ranges(name: &str, ranges: PortRanges) -> Result<PortRanges, Invalid> {
    ranges.checked().map_err(|(value, problem)| problem.of(name, value))
}

fn checked_inbound_ports(inbound_ports: InboundPorts) -> Result<InboundPorts, Invalid> {
    Ok(match inbound_ports {
        InboundPorts::All { except } => InboundPorts::All { except: port_ranges("inbound_ports", except)? },
        InboundPorts::None => InboundPorts::None,
        InboundPorts::Only(ports) if ports.is_empty() => InboundPorts::None,
        InboundPorts::Only(ports) => InboundPorts::Only(port_ranges("inbound_ports", ports)?),
    })
}

fn interfaces(name: &str, texts: Vec<String>) -> Result<Vec<InterfacePattern>, Invalid> {
    let parse = |text: String| InterfacePattern::parse_one(&text).map_err(|problem| problem.of(name, text));
    texts.into_iter().map(parse).collect::<Result<_, _>>().map(interface::merged)
}

fn owners(name: &str, numbers: Vec<u32>, what: &str) -> Result<Vec<u32>, Invalid> {
    for &number in &numbers {
        named(name, number, parse::checked_owner(number, what))?;
    }
    Ok(numbers)
}

fn some_owners(name: &str, numbers: Vec<u32>, what: &str) -> Result<Vec<u32>, Invalid> {
    match numbers.is_empty() {
        true => {
            Err(Problem(format!("without a {what} the proxy can't be distinguished from the application; give one"))
                .of(name, ""))
        }
        false => owners(name, numbers, what),
    }
}

fn checked_owner_groups(owner_groups: OwnerGroups) -> Result<OwnerGroups, Invalid> {
    Ok(match owner_groups {
        OwnerGroups::All => OwnerGroups::All,
        OwnerGroups::Except(groups) if groups.is_empty() => OwnerGroups::All,
        OwnerGroups::Except(groups) => {
            OwnerGroups::Except(resolve::ascending(owners("owner_groups", groups, "group")?))
        }
        OwnerGroups::Only(groups) => OwnerGroups::Only(resolve::ascending(owners("owner_groups", groups, "group")?)),
    })
}

/// Checks the servers. Unlike a resolv.conf, code names its servers on purpose, so an IPv6 server
/// without IPv6, or no server at all, is an error and not a warning.
fn checked_dns(dns: DnsCapture, ipv6: bool) -> Result<DnsCapture, Invalid> {
    let DnsCapture::Servers(given) = dns else { return Ok(dns) };
    if given.is_empty() {
        return Err(Problem::new("no nameserver; give one, or DnsCapture::Off or DnsCapture::All").of("dns", ""));
    }
    let mut servers = Vec::with_capacity(given.len());
    for server in given {
        if server.is_ipv6() && !ipv6 {
            let problem = Problem::new("IPv6 is off; call ipv6() or give IPv4 nameservers");
            return Err(problem.of("dns", server.to_string()));
        }
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    Ok(DnsCapture::Servers(servers))
}
