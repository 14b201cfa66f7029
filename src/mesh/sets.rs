//! The operands of matches: one match for a list of any length.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::cidrs::Cidrs;
use super::interface::InterfacePattern;
use super::port_ranges::PortRanges;
use crate::model::{
    DataType, Element, IfName, Interval, IntoOperand, Key, Match, Nfproto, Set, ip_daddr, ip_saddr, ip6_daddr,
    ip6_saddr, nfproto, set,
};

/// Returns ports as a rule takes them. Ranges are listed port by port unless they are wide: a set
/// without intervals is a hash, cheaper to commit and to search, and its contents become visible
/// together with the rule, which those of an interval set do not (see `Kernel::apply`).
pub(super) fn ports(ranges: impl IntoIterator<Item = RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    let ranges: PortRanges = ranges.into_iter().collect();
    match ranges.iter().map(|range| range.len()).sum::<usize>() <= FEW {
        true => ranges.iter().flatten().map(|port| port..=port).collect(),
        false => ranges.iter().collect(),
    }
}

const FEW: usize = 256;

/// Returns the names and prefixes of interfaces.
pub(super) fn interfaces(patterns: &[InterfacePattern]) -> Vec<IfName> {
    patterns.iter().map(|pattern| IfName::from(pattern.to_string())).collect()
}

/// Returns the ranges without one port.
pub(super) fn without(ranges: &PortRanges, port: u16) -> PortRanges {
    let below = |range: &RangeInclusive<u16>| *range.start()..=(*range.end()).min(port.saturating_sub(1));
    let above = |range: &RangeInclusive<u16>| (*range.start()).max(port.saturating_add(1))..=*range.end();
    match ranges.contains(port) {
        true => ranges.iter().flat_map(|range| [below(&range), above(&range)]).collect(),
        false => ranges.clone(),
    }
}

/// Addresses by family, and the named sets that they refer to.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// One for each family that has some; `None` matches every packet.
    pub(super) matches: Vec<Option<Match>>,
    pub(super) sets: Vec<Set>,
}

impl Destinations {
    /// Returns matches of packets with one end in `ranges`; a longer list becomes a named set.
    pub(super) fn of(name: &str, ranges: &Cidrs, ipv6: bool, end: End) -> Self {
        let mut found = Destinations::default();
        let v4: Vec<_> = ranges.v4().collect();
        match v4.as_slice() {
            [] => {}
            // Without IPv6 only IPv4 packets reach this rule.
            [all] if all.prefix() == 0 => found.matches.push(ipv6.then(|| nfproto(Nfproto::IPV4))),
            [one] => found.matches.push(Some(end.v4(*one))),
            several => {
                let name = format!("{name}-v4");
                found.matches.push(Some(end.v4(set(name.as_str()))));
                found.sets.push(range_set(name, DataType::Ipv4, several.iter().map(|&range| range.into())));
            }
        }
        let v6: Vec<_> = ranges.v6().filter(|_| ipv6).collect();
        match v6.as_slice() {
            [] => {}
            [all] if all.prefix() == 0 => found.matches.push(Some(nfproto(Nfproto::IPV6))),
            [one] => found.matches.push(Some(end.v6(*one))),
            several => {
                let name = format!("{name}-v6");
                found.matches.push(Some(end.v6(set(name.as_str()))));
                found.sets.push(range_set(name, DataType::Ipv6, several.iter().map(|&range| range.into())));
            }
        }
        found
    }
}

fn range_set(name: String, key: DataType, ranges: impl Iterator<Item = ipnetwork::IpNetwork>) -> Set {
    Set::new(name, [key]).interval().elements(ranges.map(|range| Element::new(Key::Single(Interval::from(range)))))
}

/// The end of a packet that an address belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Destination,
    Source,
}

impl End {
    fn v4(self, addresses: impl IntoOperand<Ipv4Addr>) -> Match {
        match self {
            End::Destination => ip_daddr(addresses),
            End::Source => ip_saddr(addresses),
        }
    }

    fn v6(self, addresses: impl IntoOperand<Ipv6Addr>) -> Match {
        match self {
            End::Destination => ip6_daddr(addresses),
            End::Source => ip6_saddr(addresses),
        }
    }
}

/// Returns matches of packets to or from one of these addresses, by family.
pub(super) fn addresses(addresses: &[IpAddr], end: End) -> Vec<Match> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => v4.push(*address),
            IpAddr::V6(address) => v6.push(*address),
        }
    }
    let (is_v4, is_v6) = (!v4.is_empty(), !v6.is_empty());
    let (v4, v6) = (end.v4(v4), end.v6(v6));
    [is_v4.then_some(v4), is_v6.then_some(v6)].into_iter().flatten().collect()
}
