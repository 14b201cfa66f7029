//! Where packets are routed, and the source address that the host uses.

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv6Network};

use super::{Host, LO, LOCAL, Listeners, PolicyRule, Route, Target};
use crate::model::{AddrType, IpFamily};
use crate::sim::inputs::CannotTell;
use crate::sim::packet::Interface;

impl Host {
    pub(in crate::sim) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.links.iter().map(|link| &link.interface).find(|interface| interface.index == index)
    }

    /// Returns where a packet for `address` with this mark goes; `None` if no rule leads to a
    /// route.
    pub(in crate::sim) fn way(&self, address: IpAddr, mark: u32) -> Result<Option<Target>, CannotTell> {
        self.way_by(address, mark, None)
    }

    /// Returns where a local packet goes. A packet to a group leaves by the interface of its
    /// source, regardless of the routes (ip_route_output_key_hash_rcu, net/ipv4/route.c, v6.12).
    pub(in crate::sim) fn way_from(
        &self,
        source: IpAddr,
        destination: IpAddr,
        mark: u32,
    ) -> Result<Option<Target>, CannotTell> {
        let is_group = matches!(destination, IpAddr::V4(group) if group.is_multicast() || group.is_broadcast());
        let mut links = self.links.iter().filter(|link| link.addresses.iter().any(|address| address.ip() == source));
        match links.next() {
            Some(link) if is_group => Ok(Some(Target::Out(link.interface.index))),
            _ => self.way(destination, mark),
        }
    }

    /// Like [`way`](Self::way), by routes of one interface.
    pub(in crate::sim) fn way_by(
        &self,
        address: IpAddr,
        mark: u32,
        interface: Option<u32>,
    ) -> Result<Option<Target>, CannotTell> {
        let Some(route) = self.route_by(address, mark, interface)? else { return Ok(None) };
        if route.others.iter().any(|other| *other != route.interface) {
            return Err(CannotTell::new(format!("which of several ways to {address} the packet takes")));
        }
        Ok(Some(target(route)))
    }

    /// Returns the route that the policy rules lead to.
    pub(super) fn route_by(
        &self,
        address: IpAddr,
        mark: u32,
        interface: Option<u32>,
    ) -> Result<Option<&Route>, CannotTell> {
        let family = IpFamily::of(address);
        // fib_rule_match, net/core/fib_rules.c, v6.12: bits of the rule's mark outside its mask are
        // ignored.
        let asked = |rule: &&PolicyRule| rule.family == family && (mark ^ rule.mark) & rule.mask == 0;
        let mut after = None;
        // There are few rules; they are tried by ascending priority, equal ones in their order.
        loop {
            let later = self.rules.iter().enumerate().filter(|(at, rule)| Some((rule.priority, *at)) > after);
            let Some((at, rule)) = later.filter(|(_, rule)| asked(rule)).min_by_key(|(at, rule)| (rule.priority, *at))
            else {
                return Ok(None);
            };
            after = Some((rule.priority, at));
            if let Some(unknown) = &rule.unknown {
                return Err(CannotTell::new(format!("policy rule {}: {unknown}", rule.priority)));
            }
            match self.best_by(rule.table, address, interface) {
                Some(route) if route.kind != THROW => return Ok(Some(route)),
                Some(_) | None => {}
            }
        }
    }

    /// Returns whether a transparent socket is known to listen on this port.
    pub(in crate::sim) fn is_transparent(&self, port: u16) -> bool {
        matches!(&self.listeners, Listeners::Ports(ports) if ports.contains(&port))
    }

    /// Returns whether a packet from this source must not leave: a loopback address is not sent on
    /// a wire (__mkroute_output, net/ipv4/route.c, v6.12).
    pub(in crate::sim) fn keeps(&self, source: IpAddr, target: Target) -> bool {
        let leaves = matches!(target, Target::Out(interface) if interface != LO);
        source.is_ipv4() && source.is_loopback() && leaves && !self.route_localnet
    }

    /// Returns the result of `fib daddr type` (nft_fib4_eval_type and nft_fib6_eval_type, net/ipv4
    /// and net/ipv6, v6.12).
    pub(in crate::sim) fn kind_of(&self, address: IpAddr) -> AddrType {
        let local = self.best(LOCAL, address).map(|route| route.kind);
        match address {
            IpAddr::V4(v4) if v4.is_broadcast() || v4.octets().first() == Some(&0) => AddrType::BROADCAST,
            _ if address.is_multicast() => AddrType::MULTICAST,
            IpAddr::V4(_) => local.unwrap_or(AddrType::UNICAST),
            IpAddr::V6(_) => local.unwrap_or_else(|| match self.way(address, 0) {
                Ok(Some(Target::Local)) => AddrType::LOCAL,
                Ok(Some(Target::Out(_))) => AddrType::UNICAST,
                Ok(Some(Target::Refused) | None) | Err(_) => AddrType::UNREACHABLE,
            }),
        }
    }

    /// Returns the address that `redirect` gives to a packet that came in on an interface
    /// (nf_nat_redirect_ipv4 and _ipv6, net/netfilter/nf_nat_redirect.c, v6.12): the first; for
    /// IPv6, one of the widest scope, unless the destination is link-local too.
    pub(in crate::sim) fn redirected(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        self.nearest(interface, destination)
    }

    /// Returns the address that `masquerade` gives.
    pub(in crate::sim) fn masqueraded(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        match destination {
            IpAddr::V4(_) => self.masqueraded4(interface, destination),
            IpAddr::V6(destination) => self.masqueraded6(interface, destination).map(IpAddr::V6),
        }
    }

    /// Returns the best address of all interfaces for the destination by RFC 6724, section 5
    /// (ipv6_dev_get_saddr, net/ipv6/addrconf.c, v6.12): the destination itself, then by scope,
    /// interface, and longest common prefix; the first one among equals.
    fn masqueraded6(&self, interface: u32, destination: Ipv6Addr) -> Option<Ipv6Addr> {
        let wanted = scope(destination);
        let near = wanted <= LINK_LOCAL_SCOPE;
        let addresses = self
            .links
            .iter()
            .flat_map(|link| link.addresses.iter().map(move |address| (link.interface.index, address)));
        let fitting = addresses.filter_map(|(at, address)| match address {
            IpNetwork::V6(net) if !near || at == interface => Some((at, *net)),
            _ => None,
        });
        let score = |(at, net): &(u32, Ipv6Network)| {
            let (own, common) = (scope(net.ip()), (net.ip().to_bits() ^ destination.to_bits()).leading_zeros());
            let scope = if own >= wanted { -own } else { own - 128 };
            (net.ip() == destination, scope, *at == interface, common.min(u32::from(net.prefix())))
        };
        // `max_by_key` returns the last maximum; reversed, that is the first.
        let found: Vec<_> = fitting.collect();
        found.into_iter().rev().max_by_key(score).map(|(_, net)| net.ip())
    }

    /// Returns an IPv4 address in the destination's network, otherwise the first of the interface,
    /// otherwise one of any other interface (inet_select_addr, net/ipv4/devinet.c, v6.12).
    fn masqueraded4(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        let here = self.links.iter().filter(|link| link.interface.index == interface);
        // Loopback addresses are for this host only (RT_SCOPE_HOST).
        let alone = |ip: &IpAddr| ip.is_ipv4() && ip.is_loopback();
        let mut near = here.flat_map(|link| &link.addresses).filter(|address| !alone(&address.ip()));
        let near = near.find(|address| address.contains(destination)).map(|address| address.ip());
        let nearest = |interface| self.nearest(interface, destination).filter(|ip| !alone(ip));
        let elsewhere = || {
            self.links.iter().find_map(|link| match link.interface.index {
                LO => None,
                other => nearest(other),
            })
        };
        near.or_else(|| nearest(interface)).or_else(elsewhere)
    }

    fn nearest(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        let link = self.links.iter().find(|link| link.interface.index == interface)?;
        let family = link.addresses.iter().map(IpNetwork::ip).filter(|ip| ip.is_ipv4() == destination.is_ipv4());
        family.min_by_key(|ip| is_link_local(*ip) != is_link_local(destination))
    }

    /// Returns the route with the longest prefix.
    pub(super) fn best(&self, table: u32, address: IpAddr) -> Option<&Route> {
        self.best_by(table, address, None)
    }

    fn best_by(&self, table: u32, address: IpAddr, interface: Option<u32>) -> Option<&Route> {
        let routes = self.routes.iter().filter(|route| route.table == table && route.destination.contains(address));
        let routes = routes.filter(|route| interface.is_none_or(|interface| route.interface == interface));
        routes.min_by_key(|route| (std::cmp::Reverse(route.destination.prefix()), route.metric))
    }
}

/// Returns the scope, a larger number being wider: ipv6_addr_src_scope, include/net/ipv6.h.
fn scope(address: Ipv6Addr) -> i32 {
    let is_near = address.is_loopback() || address.is_unicast_link_local();
    let is_site = address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfec0);
    match address.octets() {
        [0xff, flags_and_scope, ..] => i32::from(flags_and_scope & 0x0f),
        _ if is_near => LINK_LOCAL_SCOPE,
        _ if is_site => 5,
        _ => 14,
    }
}

fn target(route: &Route) -> Target {
    match route.kind {
        AddrType::LOCAL | AddrType::ANYCAST => Target::Local,
        AddrType::UNICAST | AddrType::BROADCAST | AddrType::MULTICAST => Target::Out(route.interface),
        _ => Target::Refused,
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// `IPV6_ADDR_SCOPE_LINKLOCAL`.
const LINK_LOCAL_SCOPE: i32 = 2;
/// `RTN_THROW`, include/uapi/linux/rtnetlink.h.
const THROW: AddrType = AddrType(9);

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn pod() -> Host {
        Host::pod(["10.77.0.2/24", "fd77::2/64", "fe80::5/64"].map(|net| net.parse().expect("a network")))
    }

    #[test]
    fn a_pod_delivers_its_own_addresses_and_sends_others_out_of_eth0() {
        let cases = [
            ("10.77.0.2", Target::Local, AddrType::LOCAL),
            ("127.8.9.1", Target::Local, AddrType::LOCAL),
            ("10.77.0.9", Target::Out(2), AddrType::UNICAST),
            ("10.77.0.255", Target::Out(2), AddrType::BROADCAST),
            ("8.8.8.8", Target::Out(2), AddrType::UNICAST),
            ("::1", Target::Local, AddrType::LOCAL),
            ("fd77::2", Target::Local, AddrType::LOCAL),
            ("fe80::5", Target::Local, AddrType::LOCAL),
            ("2001:db8::1", Target::Out(2), AddrType::UNICAST),
        ];
        for (address, way, kind) in cases {
            assert_eq!((pod().way(ip(address), 0), pod().kind_of(ip(address))), (Ok(Some(way)), kind), "{address}");
        }
        let alone = Host::pod(["10.77.0.2/24".parse().expect("a network")]);
        assert_eq!(alone.way(ip("2001:db8::1"), 0), Ok(None));
        assert_eq!(alone.kind_of(ip("2001:db8::1")), AddrType::UNREACHABLE);
    }

    #[test]
    fn a_mark_selects_its_table_and_throw_continues_with_the_next_rule() {
        let host = pod().rule(PolicyRule::mark(IpFamily::Ipv4, 7, 99)).local_table(IpFamily::Ipv4, 99);
        let host = host.route(Route::new("9.0.0.0/8".parse().expect("a network"), 0).table(99).kind(THROW));
        let cases = [("8.8.8.8", 7, Target::Local), ("8.8.8.8", 6, Target::Out(2)), ("9.9.9.9", 7, Target::Out(2))];
        for (address, mark, way) in cases {
            assert_eq!(host.way(ip(address), mark), Ok(Some(way)), "{address} {mark}");
        }
        // As for `fwmark 0x107/0xff`.
        let masked = PolicyRule { mask: 0xff, ..PolicyRule::mark(IpFamily::Ipv4, 0x107, 99) };
        let masked = pod().rule(masked).local_table(IpFamily::Ipv4, 99);
        for (mark, way) in [(7, Target::Local), (0x207, Target::Local), (0x108, Target::Out(2))] {
            assert_eq!(masked.way(ip("8.8.8.8"), mark), Ok(Some(way)), "{mark:#x}");
        }
        let sent = |to| masked.way_from(ip("10.77.0.2"), ip(to), 7);
        assert_eq!([sent("8.8.8.8"), sent("224.0.0.251")], [Ok(Some(Target::Local)), Ok(Some(Target::Out(2)))]);
        let unknown = PolicyRule { unknown: Some("it asks from".to_owned()), ..PolicyRule::mark(IpFamily::Ipv4, 7, 9) };
        assert!(pod().rule(unknown.clone()).way(ip("8.8.8.8"), 7).is_err());
        assert!(pod().rule(unknown).way(ip("10.77.0.2"), 7).is_ok(), "the local table comes first");
    }

    #[test]
    fn the_address_of_an_interface_fits_the_destination() {
        let cases = [("8.8.8.8", "10.77.0.2"), ("2001:db8::1", "fd77::2"), ("fe80::9", "fe80::5")];
        for (destination, own) in cases {
            assert_eq!(pod().masqueraded(2, ip(destination)), Some(ip(own)), "{destination}");
            assert_eq!(pod().redirected(2, ip(destination)), Some(ip(own)), "{destination}");
        }
        assert_eq!(pod().redirected(9, ip("8.8.8.8")), None);
    }
}
