//! The host that packets walk through: interfaces, addresses, routes, policy rules, transparent
//! listeners. Plain data.

mod fib;
mod reverse;
mod routing;
mod source;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network};

pub use self::source::{ReversePath, SourceChecks};
use super::packet::Interface;
use crate::model::{AddrType, IpFamily};

/// The parts of a host that routing and address translation depend on.
/// [`kernel::host`](crate::kernel::host) reads one.
///
/// ```
/// use nftmesh::sim::Host;
///
/// let pod = Host::pod(["10.77.0.2/24".parse()?, "fd77::2/64".parse()?]);
/// assert_eq!(pod.links.len(), 2);
/// # Ok::<(), ipnetwork::IpNetworkError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// Interfaces with their addresses.
    pub links: Vec<Link>,
    /// Routes of all tables, in any order.
    pub routes: Vec<Route>,
    /// Policy rules, which choose the table for a packet; those of lower priority are tried first.
    pub rules: Vec<PolicyRule>,
    /// The transparent sockets that listen.
    pub listeners: Listeners,
    /// Whether IPv4 packets for other hosts are forwarded.
    pub forwards_ipv4: bool,
    /// Whether IPv6 packets for other hosts are forwarded.
    pub forwards_ipv6: bool,
    /// Whether loopback addresses are accepted on any interface
    /// (`net.ipv4.conf.all.route_localnet`).
    pub route_localnet: bool,
}

/// An interface and its addresses, in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its index and name.
    pub interface: Interface,
    /// Its addresses, with the length of their network prefix.
    pub addresses: Vec<IpNetwork>,
    /// How it checks IPv4 sources; if `None`, a walk only continues where the result does not
    /// depend on it.
    pub checks: Option<SourceChecks>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// Number of its table.
    pub table: u32,
    /// The destinations it applies to.
    pub destination: IpNetwork,
    /// The effect on a packet; the values are those of `rtm_type`.
    pub kind: AddrType,
    /// Index of the outgoing interface; 0 if there is none.
    pub interface: u32,
    /// Among equal routes, the lowest metric is used.
    pub metric: u32,
    /// Interfaces of the other next hops of a multipath route; the kernel decides which one a
    /// packet takes.
    pub others: Vec<u32>,
}

/// A policy rule: packets with a mark are routed by a table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyRule {
    /// The family of its packets.
    pub family: IpFamily,
    /// The rule with the lowest priority is tried first.
    pub priority: u32,
    /// Matches a mark with the same bits under the mask.
    pub mark: u32,
    /// The bits of the mark that are compared.
    pub mask: u32,
    /// Number of the table.
    pub table: u32,
    /// A further condition or action that is not modelled: a walk that reaches the rule cannot
    /// continue.
    pub unknown: Option<String>,
}

/// Transparent sockets to which `tproxy` may send packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listeners {
    /// A socket on every port that a rule names.
    #[default]
    All,
    /// Sockets on these ports, at every address.
    Ports(Vec<u16>),
}

/// The destination to which routing sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Local,
    Out(u32),
    Refused,
}

impl Link {
    /// Returns an interface with these addresses.
    pub fn new(interface: Interface, addresses: impl IntoIterator<Item = IpNetwork>) -> Self {
        Link { interface, addresses: addresses.into_iter().collect(), checks: None }
    }
}

impl Route {
    /// Returns a route of table main out of an interface.
    #[must_use]
    pub fn new(destination: IpNetwork, interface: u32) -> Self {
        Route { table: MAIN, destination, kind: AddrType::UNICAST, interface, metric: 0, others: Vec::new() }
    }

    /// Sets the table.
    #[must_use]
    pub fn table(self, table: u32) -> Self {
        Route { table, ..self }
    }

    /// Sets the type.
    #[must_use]
    pub fn kind(self, kind: AddrType) -> Self {
        Route { kind, ..self }
    }

    /// Sets the metric.
    #[must_use]
    pub fn metric(self, metric: u32) -> Self {
        Route { metric, ..self }
    }
}

impl Route {
    /// Sets the interfaces of the other next hops.
    #[must_use]
    pub fn others(self, interfaces: impl IntoIterator<Item = u32>) -> Self {
        Route { others: interfaces.into_iter().collect(), ..self }
    }
}

impl PolicyRule {
    /// Returns a rule that routes packets of `family` with exactly this mark by `table`, before
    /// table main is tried.
    #[must_use]
    pub fn mark(family: IpFamily, mark: u32, table: u32) -> Self {
        PolicyRule { family, priority: MAIN_PRIORITY - 1, mark, mask: u32::MAX, table, unknown: None }
    }

    /// Returns a rule that routes all packets of `family` by `table`.
    #[must_use]
    pub fn all(family: IpFamily, priority: u32, table: u32) -> Self {
        PolicyRule { family, priority, mark: 0, mask: 0, table, unknown: None }
    }
}

impl Host {
    /// Returns a host without interfaces that forwards packets, with the policy rules that every
    /// kernel starts with.
    #[must_use]
    pub fn new() -> Self {
        let all = |(priority, table)| FAMILIES.map(|family| PolicyRule::all(family, priority, table));
        let rules = [(0, LOCAL), (MAIN_PRIORITY, MAIN), (MAIN_PRIORITY + 1, DEFAULT)].into_iter().flat_map(all);
        Host { rules: rules.collect(), forwards_ipv4: true, forwards_ipv6: true, ..Host::default() }
    }

    /// Returns a pod: `lo`, and `eth0` with these addresses and default routes of their families.
    /// Loopback addresses are put on `lo`.
    #[must_use]
    pub fn pod(addresses: impl IntoIterator<Item = IpNetwork>) -> Self {
        let loopback = [IpNetwork::V4(LOOPBACK4), IpNetwork::from(IpAddr::from(Ipv6Addr::LOCALHOST))];
        let (more, outside): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.ip().is_loopback());
        let on_lo = loopback
            .into_iter()
            .chain(more.into_iter().filter(|address| !loopback.iter().any(|known| known.ip() == address.ip())));
        let mut host = Host::new().link(Link::new(Interface::new(LO, "lo"), on_lo));
        for family in FAMILIES {
            if outside.iter().any(|address| IpFamily::of(address.ip()) == family) {
                host = host.route(Route::new(everything(family), POD_INTERFACE));
            }
        }
        host.link(Link::new(Interface::new(POD_INTERFACE, "eth0"), outside))
    }

    /// Adds an interface, and the routes that the kernel creates for its addresses.
    #[must_use]
    pub fn link(mut self, link: Link) -> Self {
        let index = link.interface.index;
        for address in &link.addresses {
            self = self.routes_of(*address, index);
        }
        self.links.push(link);
        self
    }

    /// Adds an address to an existing interface, and the routes that the kernel creates for it.
    #[must_use]
    pub fn address(mut self, interface: u32, address: IpNetwork) -> Self {
        if let Some(link) = self.links.iter_mut().find(|link| link.interface.index == interface) {
            link.addresses.push(address);
            self = self.routes_of(address, interface);
        }
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds a policy rule.
    #[must_use]
    pub fn rule(mut self, rule: PolicyRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Delivers everything that is routed by `table` to this host: `ip route add local default dev
    /// lo table ...`.
    #[must_use]
    pub fn local_table(self, family: IpFamily, table: u32) -> Self {
        self.route(Route::new(everything(family), LO).table(table).kind(AddrType::LOCAL))
    }

    /// Sets the ports that have transparent sockets; no others have one.
    #[must_use]
    pub fn listeners(self, ports: impl IntoIterator<Item = u16>) -> Self {
        Host { listeners: Listeners::Ports(ports.into_iter().collect()), ..self }
    }

    /// Returns the interface of that name.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.links.iter().map(|link| &link.interface).find(|interface| interface.name == name)
    }

    /// Returns whether an address is one of this host's.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.best(LOCAL, address).is_some_and(|route| route.kind == AddrType::LOCAL)
    }

    fn routes_of(mut self, address: IpNetwork, interface: u32) -> Self {
        let local = Route::new(IpNetwork::from(address.ip()), interface).table(LOCAL).kind(AddrType::LOCAL);
        self.routes.push(local.clone());
        match address {
            IpNetwork::V4(net) if net.ip().is_loopback() => {
                self.routes.push(Route { destination: network(address), ..local });
            }
            IpNetwork::V4(net) if net.prefix() < 31 => {
                let broadcast = IpNetwork::from(IpAddr::from(net.broadcast()));
                self.routes.push(Route { destination: broadcast, kind: AddrType::BROADCAST, ..local.clone() });
            }
            _ => {}
        }
        let (own, is_loopback) = (IpNetwork::from(address.ip()), address.ip().is_loopback());
        if network(address) != own && !is_loopback {
            self.routes.push(Route::new(network(address), interface));
        }
        self
    }
}

/// Returns the network that an address is in.
fn network(address: IpNetwork) -> IpNetwork {
    IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
}

fn everything(family: IpFamily) -> IpNetwork {
    let nothing: IpAddr = match family {
        IpFamily::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        IpFamily::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNetwork::new(nothing, 0).unwrap_or_else(|_| IpNetwork::from(nothing))
}

const FAMILIES: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];
/// `LOOPBACK_IFINDEX`, include/net/flow.h.
pub(super) const LO: u32 = 1;
const POD_INTERFACE: u32 = 2;
const LOOPBACK4: Ipv4Network = match Ipv4Network::new_checked(Ipv4Addr::LOCALHOST, 8) {
    Some(net) => net,
    None => panic!("8 bits are a prefix"),
};
// enum rt_class_t, include/uapi/linux/rtnetlink.h
const DEFAULT: u32 = 253;
const MAIN: u32 = 254;
const LOCAL: u32 = 255;
/// The rule that looks up the table main: fib_default_rules_init, net/ipv4/fib_rules.c.
const MAIN_PRIORITY: u32 = 0x7ffe;
