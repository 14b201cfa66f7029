//! A list of address ranges: always masked, sorted (IPv4 first) and free of overlaps.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::error::Problem;
use super::parse::{self, Parsed};

/// Address ranges of both families. Host bits are masked away, a range inside another is removed,
/// and IPv4 comes first.
///
/// Reads and prints a comma-separated list in CIDR notation, [RFC 4632 section
/// 3.1](https://www.rfc-editor.org/rfc/rfc4632#section-3.1).
///
/// ```
/// use nftmesh::mesh::istio::Cidrs;
///
/// let ranges: Cidrs = "fd00::/8,10.9.8.7/16,10.0.0.0/8".parse()?;
/// assert_eq!(ranges.to_string(), "10.0.0.0/8,fd00::/8");
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cidrs {
    ranges: Vec<IpNetwork>,
}

impl Cidrs {
    /// Returns all ranges, IPv4 first, each family in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[IpNetwork] {
        &self.ranges
    }

    /// Returns the IPv4 ranges in ascending order.
    pub fn v4(&self) -> impl Iterator<Item = Ipv4Network> + '_ {
        self.ranges.iter().filter_map(|range| match range {
            IpNetwork::V4(range) => Some(*range),
            IpNetwork::V6(_) => None,
        })
    }

    /// Returns the IPv6 ranges in ascending order.
    pub fn v6(&self) -> impl Iterator<Item = Ipv6Network> + '_ {
        self.ranges.iter().filter_map(|range| match range {
            IpNetwork::V4(_) => None,
            IpNetwork::V6(range) => Some(*range),
        })
    }

    /// Returns whether `address` is in one of the ranges.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Returns whether there is no range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let item = |text: &str| match text {
            "*" => Err(Problem::new("not accepted here")),
            _ => network(text),
        };
        parse::list(text, ACCEPTED, item).map(Cidrs::from_iter)
    }

    /// Parses ranges, and addresses without a prefix length.
    pub(super) fn parse_with_hosts(text: &str) -> Parsed<Self> {
        let accepted = "give a comma list of addresses, and CIDRs such as 10.0.0.0/8";
        parse::list(text, accepted, network_or_host).map(Cidrs::from_iter)
    }
}

/// Parses one range, or one address.
fn network_or_host(text: &str) -> Parsed<IpNetwork> {
    match text.parse::<IpAddr>() {
        Ok(address) => network(&IpNetwork::from(address).to_string()),
        Err(_) => network(text),
    }
}

pub(super) const ACCEPTED: &str = "give a comma list of CIDRs such as 10.0.0.0/8";

/// Parses one range and keeps its host bits; a prefix length is required, as in the reference.
pub(super) fn network(text: &str) -> Parsed<IpNetwork> {
    let not_a_cidr = || Problem::new("not a CIDR");
    let Some((address, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => Problem(format!("no prefix length (one address is {address}/32)")),
            Ok(IpAddr::V6(address)) => Problem(format!("no prefix length (one address is {address}/128)")),
            Err(_) => not_a_cidr(),
        });
    };
    let address: IpAddr = address.parse().map_err(|_| not_a_cidr())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = parse::decimal(length).and_then(|length| u8::try_from(length).ok());
    let length = length
        .filter(|&length| length <= longest)
        .ok_or_else(|| Problem(format!("the prefix length must be from 0 to {longest}")))?;
    if let IpAddr::V6(v6) = address {
        if v6.to_ipv4_mapped().is_some() {
            return Err(Problem::new("no packet carries an IPv4-mapped address, write it as IPv4"));
        }
    }
    IpNetwork::new(address, length).map_err(|_| not_a_cidr())
}

fn masked(range: IpNetwork) -> IpNetwork {
    match range {
        IpNetwork::V4(range) => {
            let bits = u32::from(range.ip()) & u32::from(range.mask());
            Ipv4Network::new(Ipv4Addr::from(bits), range.prefix()).map_or(IpNetwork::V4(range), IpNetwork::V4)
        }
        IpNetwork::V6(range) => {
            let bits = u128::from(range.ip()) & u128::from(range.mask());
            Ipv6Network::new(Ipv6Addr::from(bits), range.prefix()).map_or(IpNetwork::V6(range), IpNetwork::V6)
        }
    }
}

impl FromIterator<IpNetwork> for Cidrs {
    /// Masks host bits and drops every range that another one contains.
    fn from_iter<I: IntoIterator<Item = IpNetwork>>(ranges: I) -> Self {
        let mut given: Vec<IpNetwork> = ranges.into_iter().map(masked).collect();
        // Two CIDRs are disjoint or nested, and of two with the same address the wider sorts
        // first: a range can only be inside the last one kept.
        given.sort_by_key(|range| (range.ip(), range.prefix()));
        let mut ranges: Vec<IpNetwork> = Vec::with_capacity(given.len());
        for range in given {
            if !ranges.last().is_some_and(|last| last.contains(range.ip())) {
                ranges.push(range);
            }
        }
        Cidrs { ranges }
    }
}

impl FromStr for Cidrs {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges = parse::without_empty_items(text, ACCEPTED).and_then(Cidrs::parse);
        ranges.map_err(|problem| problem.of("ranges", text).into())
    }
}

impl fmt::Display for Cidrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_network() -> impl Strategy<Value = IpNetwork> {
        // Few distinct addresses, so that ranges nest and repeat.
        let v4 = (0u32..64, 24u8..=32).prop_map(|(host, length)| {
            IpNetwork::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + host)), length).expect("24 to 32 fits IPv4")
        });
        let v6 = (0u128..64, 120u8..=128).prop_map(|(host, length)| {
            IpNetwork::new(IpAddr::V6(Ipv6Addr::from((0xfd << 120) + host)), length).expect("120 to 128 fits IPv6")
        });
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn merging_covers_the_same_addresses(given in prop::collection::vec(some_network(), 0..10)) {
            let merged: Cidrs = given.iter().copied().collect();
            let addresses = (0..300u16).flat_map(|host| {
                let v4 = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::from(host)));
                [v4, IpAddr::V6(Ipv6Addr::from((0xfd << 120) + u128::from(host)))]
            });
            for address in addresses {
                prop_assert_eq!(merged.contains(address), given.iter().any(|range| range.contains(address)), "{}", address);
            }
        }

        #[test]
        fn no_two_ranges_overlap(given in prop::collection::vec(some_network(), 0..10)) {
            let merged: Cidrs = given.into_iter().collect();
            for (index, one) in merged.as_slice().iter().enumerate() {
                prop_assert_eq!(one.ip(), one.network(), "host bits in {}", one);
                for other in merged.as_slice().iter().skip(index + 1) {
                    prop_assert!(one < other && !one.contains(other.ip()) && !other.contains(one.ip()), "{}", merged);
                }
            }
        }

        #[test]
        fn printed_ranges_read_back(given in prop::collection::vec(some_network(), 0..10)) {
            let merged: Cidrs = given.into_iter().collect();
            prop_assert_eq!(merged.to_string().parse::<Cidrs>().expect("it was printed by us"), merged);
        }

        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in ".*") {
            if let Err(error) = text.parse::<Cidrs>() {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }

    #[test]
    fn a_prefix_of_length_0_covers_its_whole_family() {
        let ranges: Cidrs = "10.0.0.0/8,0.0.0.0/0,127.0.0.1/32,::/0,fd00::/8".parse().expect("valid");
        assert_eq!(ranges.to_string(), "0.0.0.0/0,::/0");
        assert_eq!((ranges.v4().count(), ranges.v6().count()), (1, 1));
    }
}
