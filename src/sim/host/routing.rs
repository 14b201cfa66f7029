//! Where packets go, and which address of the host speaks for it.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Host, LO, LOCAL, PolicyRule, Route, Target};
use crate::model::{AddrType, Family4or6};
use crate::sim::inputs::CannotTell;
use crate::sim::packet::Interface;

impl Host {
    pub(in crate::sim) fn by_index(&self, index: u32) -> Option<&Interface> {
        self.links.iter().map(|link| &link.interface).find(|interface| interface.index == index)
    }

    /// Where a packet for `address` with this mark goes; `None` when no rule leads to a route.
    pub(in crate::sim) fn way(&self, address: IpAddr, mark: u32) -> Result<Option<Target>, CannotTell> {
        let family = Family4or6::of(address);
        let asked = |rule: &&PolicyRule| rule.family == family && mark & rule.mask == rule.mark;
        let mut after = None;
        // Few rules, asked by ascending priority; equal ones in their order.
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
            match self.best(rule.table, address) {
                Some(route) if route.kind != THROW => return Ok(Some(target(route))),
                Some(_) | None => {}
            }
        }
    }

    /// What `fib daddr type` says (nft_fib4_eval_type and nft_fib6_eval_type, net/ipv4 and net/ipv6, v6.12).
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

    /// The address that `redirect` gives to what came in on an interface (nf_nat_redirect_ipv4 and _ipv6, net/netfilter/nf_nat_redirect.c,
    /// v6.12): the first; of IPv6 one of the widest scope, unless the destination is link-local too.
    pub(in crate::sim) fn redirected(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        self.nearest(interface, destination)
    }

    /// The address that `masquerade` gives (inet_select_addr, net/ipv4/devinet.c, and ipv6_dev_get_saddr, net/ipv6/addrconf.c, v6.12):
    /// one of the destination's network, else the first of the interface, else of any other.
    pub(in crate::sim) fn masqueraded(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        let here = self.links.iter().filter(|link| link.interface.index == interface);
        let near = here.flat_map(|link| &link.addresses).find(|address| address.contains(destination));
        let near = near.map(|address| address.ip()).or_else(|| self.nearest(interface, destination));
        let elsewhere = || {
            self.links.iter().find_map(|link| match link.interface.index {
                LO => None,
                other => self.nearest(other, destination),
            })
        };
        near.or_else(elsewhere)
    }

    fn nearest(&self, interface: u32, destination: IpAddr) -> Option<IpAddr> {
        let link = self.links.iter().find(|link| link.interface.index == interface)?;
        let family = link.addresses.iter().map(IpNetwork::ip).filter(|ip| ip.is_ipv4() == destination.is_ipv4());
        family.min_by_key(|ip| is_link_local(*ip) != is_link_local(destination))
    }

    /// The route of the longest prefix.
    pub(super) fn best(&self, table: u32, address: IpAddr) -> Option<&Route> {
        let routes = self.routes.iter().filter(|route| route.table == table && route.destination.contains(address));
        routes.min_by_key(|route| (std::cmp::Reverse(route.destination.prefix()), route.metric))
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
    fn a_pod_keeps_its_own_addresses_and_sends_the_rest_out_of_eth0() {
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
    fn a_mark_is_routed_by_its_table_and_throw_goes_back() {
        let host = pod().rule(PolicyRule::mark(Family4or6::Ipv4, 7, 99)).local_table(Family4or6::Ipv4, 99);
        let host = host.route(Route::new("9.0.0.0/8".parse().expect("a network"), 0).table(99).kind(THROW));
        let cases = [("8.8.8.8", 7, Target::Local), ("8.8.8.8", 6, Target::Out(2)), ("9.9.9.9", 7, Target::Out(2))];
        for (address, mark, way) in cases {
            assert_eq!(host.way(ip(address), mark), Ok(Some(way)), "{address} {mark}");
        }
        let unknown =
            PolicyRule { unknown: Some("it asks from".to_owned()), ..PolicyRule::mark(Family4or6::Ipv4, 7, 9) };
        assert!(pod().rule(unknown.clone()).way(ip("8.8.8.8"), 7).is_err());
        assert!(pod().rule(unknown).way(ip("10.77.0.2"), 7).is_ok(), "the local table comes first");
    }

    #[test]
    fn an_interface_gives_the_address_that_fits_the_destination() {
        let cases = [("8.8.8.8", "10.77.0.2"), ("2001:db8::1", "fd77::2"), ("fe80::9", "fe80::5")];
        for (destination, own) in cases {
            assert_eq!(pod().masqueraded(2, ip(destination)), Some(ip(own)), "{destination}");
            assert_eq!(pod().redirected(2, ip(destination)), Some(ip(own)), "{destination}");
        }
        assert_eq!(pod().redirected(9, ip("8.8.8.8")), None);
    }
}
