//! The values that `fib` expressions load on a host: nft_fib4_eval_type and nft_fib4_eval
//! (net/ipv4/netfilter/nft_fib_ipv4.c), and their IPv6 counterparts, v6.12.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv6Addr};

use super::{DEFAULT, Host, LO, LOCAL, MAIN, MAIN_PRIORITY, PolicyRule, Route};
use crate::model::{AddrType, Hook, IpFamily, NatKind, Protocol};
use crate::sim::fib::{Asked, ByMark, Device, Query, Wanted};
use crate::sim::inputs::CannotTell;

impl Host {
    /// Returns the bytes that such an expression loads.
    pub(in crate::sim) fn fib(&self, hook: Hook, query: Query, asked: Asked) -> Result<Vec<u8>, CannotTell> {
        if query.wanted == Wanted::Kind {
            return self.fib_type(hook, query, asked).map(|kind| kind.0.to_ne_bytes().to_vec());
        }
        let found = self.fib_device(hook, query, asked)?;
        Ok(match query.wanted {
            Wanted::Exists => u32::from(found.is_some()).to_ne_bytes().to_vec(),
            Wanted::Index | Wanted::Kind => found.unwrap_or(0).to_ne_bytes().to_vec(),
            Wanted::Name => {
                let name = found.and_then(|index| self.by_index(index)).map_or("", |interface| &interface.name);
                let mut bytes = name.as_bytes().to_vec();
                bytes.resize(16, 0);
                bytes
            }
        })
    }

    /// Returns the type of an address.
    pub(in crate::sim) fn fib_type(&self, hook: Hook, query: Query, asked: Asked) -> Result<AddrType, CannotTell> {
        match about(query, asked) {
            IpAddr::V4(v4) if v4.is_broadcast() || v4.octets().first() == Some(&0) => Ok(AddrType::BROADCAST),
            IpAddr::V4(v4) if v4.is_multicast() => Ok(AddrType::MULTICAST),
            address @ IpAddr::V4(_) => self.type4(address, device(query, asked)),
            IpAddr::V6(address) => self.type6(address, hook, query, asked),
        }
    }

    fn type4(&self, address: IpAddr, device: Option<u32>) -> Result<AddrType, CannotTell> {
        let kind = |route: Option<&Route>| match route {
            Some(route) if device.is_none_or(|device| device == route.interface) => route.kind,
            Some(_) | None => AddrType::UNICAST,
        };
        let alone = kind(self.best(LOCAL, address));
        if self.has_own_rules(IpFamily::Ipv4) {
            return Ok(alone);
        }
        // Until a policy rule is added, the tables local and main are one (fib_unmerge,
        // net/ipv4/fib_frontend.c, v6.12).
        let both = self.routes.iter().filter(|route| [LOCAL, MAIN].contains(&route.table));
        let both = both.filter(|route| route.destination.contains(address));
        let merged =
            kind(both.min_by_key(|route| (Reverse(route.destination.prefix()), Reverse(route.table), route.metric)));
        if alone == merged {
            return Ok(alone);
        }
        Err(CannotTell::new(format!(
            "whether the tables local and main are one, in which {address} is of another kind"
        )))
    }

    fn type6(&self, address: Ipv6Addr, hook: Hook, query: Query, asked: Asked) -> Result<AddrType, CannotTell> {
        let device = device(query, asked);
        let is_of_device = device.is_some_and(|device| {
            let links = self.links.iter().filter(|link| link.interface.index == device);
            links.flat_map(|link| &link.addresses).any(|own| own.ip() == address)
        });
        let route = self.route_by(address.into(), mark(query, asked), restriction(address, hook, device, asked))?;
        let Some(route) = route else { return Ok(AddrType::UNREACHABLE) };
        // The first address of a network is the anycast address of its routers
        // (ipv6_anycast_destination), unless a gateway leads to the network.
        let is_first = route.destination.prefix() < 127 && route.destination.network() == IpAddr::V6(address);
        match route.kind {
            AddrType::ANYCAST => Ok(AddrType::ANYCAST),
            AddrType::BLACKHOLE | AddrType::PROHIBIT | AddrType::UNREACHABLE => Ok(route.kind),
            _ if is_first => Err(CannotTell::new(format!("whether {address} stands for the routers of its network"))),
            _ if is_of_device => Ok(AddrType::LOCAL),
            AddrType::LOCAL if device.is_none() => Ok(AddrType::LOCAL),
            _ if address.is_multicast() => Ok(AddrType::MULTICAST),
            _ if address.is_unspecified() || address.to_ipv4_mapped().is_some() => Ok(AddrType::UNSPEC),
            _ => Ok(AddrType::UNICAST),
        }
    }

    /// Returns the interface by which an address is reached.
    fn fib_device(&self, hook: Hook, query: Query, asked: Asked) -> Result<Option<u32>, CannotTell> {
        let Asked { source, destination, incoming, protocol, .. } = asked;
        match hook {
            Hook::Prerouting if incoming == LO => return Ok(Some(LO)),
            Hook::Input if incoming == LO => {
                return Err(CannotTell::new("what this kernel's fib returns at input for what came by lo"));
            }
            Hook::Prerouting | Hook::Input | Hook::Forward => {}
            Hook::Output | Hook::Postrouting => {
                return Err(CannotTell::new("a fib expression that no kernel takes at this hook"));
            }
        }
        let device = device(query, asked);
        let is_everybody = |address: IpAddr| match address {
            IpAddr::V4(address) => address.is_broadcast() || address.octets().starts_with(&[224, 0, 0]),
            IpAddr::V6(address) => address.is_multicast() || address.is_unicast_link_local(),
        };
        let is_from_nobody = match source {
            IpAddr::V4(source) => source.octets().first() == Some(&0),
            IpAddr::V6(source) => source.is_unspecified() && protocol == Protocol::ICMPV6,
        };
        if is_from_nobody && is_everybody(destination) {
            return Ok(Some(incoming));
        }
        let address = about(query, asked);
        let only = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => restriction(address, hook, device, asked),
        };
        let Some(route) = self.route_by(address, mark(query, asked), only)? else { return Ok(None) };
        let leads = [AddrType::UNICAST, AddrType::BROADCAST, AddrType::MULTICAST].contains(&route.kind)
            || (address.is_ipv4() && route.kind == AddrType::ANYCAST);
        if !leads {
            return Ok(None);
        }
        match device {
            _ if address.is_ipv6() && !route.others.is_empty() => {
                Err(CannotTell::new(format!("which of several ways to {address} counts")))
            }
            None => Ok(Some(route.interface)),
            Some(device) => Ok(Some(device).filter(|_| route.interface == device || route.others.contains(&device))),
        }
    }

    /// Returns whether any rule besides the three of every kernel chooses the table.
    pub(super) fn has_own_rules(&self, family: IpFamily) -> bool {
        let is_usual = |rule: &PolicyRule| {
            let usual = [(0, LOCAL), (MAIN_PRIORITY, MAIN), (MAIN_PRIORITY + 1, DEFAULT)];
            usual.iter().any(|(priority, table)| *rule == PolicyRule::all(family, *priority, *table))
        };
        self.rules.iter().any(|rule| rule.family == family && !is_usual(rule))
    }
}

fn about(query: Query, asked: Asked) -> IpAddr {
    match query.end {
        NatKind::Dnat => asked.destination,
        NatKind::Snat => asked.source,
    }
}

fn mark(query: Query, asked: Asked) -> u32 {
    match query.by_mark {
        ByMark::No => 0,
        ByMark::Yes => asked.mark,
    }
}

fn device(query: Query, asked: Asked) -> Option<u32> {
    query.device.map(|device| match device {
        Device::Incoming => asked.incoming,
        Device::Outgoing => asked.outgoing,
    })
}

/// Returns the interface to which a link-local IPv6 address belongs, which is that of the packet
/// (nft_fib6_flowi_init).
fn restriction(address: Ipv6Addr, hook: Hook, device: Option<u32>, asked: Asked) -> Option<u32> {
    let at = match hook {
        Hook::Forward | Hook::Input | Hook::Prerouting => Some(asked.incoming),
        Hook::Output => None,
        Hook::Postrouting => Some(asked.outgoing),
    };
    device.or(at).filter(|_| address.is_unicast_link_local())
}
