//! A set of ports as ranges, always sorted, disjoint and not adjacent, so that equal sets are
//! equal values.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::error::Problem;
use super::parse::{self, Parsed};
use crate::error::Quoted;

/// A set of TCP or UDP ports, kept as sorted ranges that neither overlap nor touch.
///
/// Reads and prints a comma-separated list; a range is `a-b` (or `a:b` as in iptables), both ends
/// included.
///
/// ```
/// use nftmesh::mesh::istio::PortRanges;
///
/// let ports: PortRanges = "443, 80,8000:8010,8005-8020".parse()?;
/// assert_eq!(ports.to_string(), "80,443,8000-8020");
/// assert!(ports.contains(8015));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortRanges {
    ranges: Vec<RangeInclusive<u16>>,
}

impl PortRanges {
    /// Returns the ranges in ascending order, both ends included.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<u16>> + '_ {
        self.ranges.iter().cloned()
    }

    /// Returns whether `port` is in the set.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        self.ranges.iter().any(|range| range.contains(&port))
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the number of ranges; a single port is one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn parse(text: &str) -> Parsed<Self> {
        parse::list(text, ACCEPTED, range).map(PortRanges::from_iter)
    }

    /// Parses a set that may hold port 0, which no connection of the kernel's own sockets has.
    pub(super) fn parse_with_zero(text: &str) -> Parsed<Self> {
        let accepted = "give a comma list of ports from 0 to 65535 and ranges such as 8000-8010";
        let port = |text: &str| parse::decimal(text).and_then(|number| u16::try_from(number).ok());
        parse::list(text, accepted, |text| range_of(text, port)).map(PortRanges::from_iter)
    }

    /// Parses a set; `*` returns `None`.
    pub(super) fn parse_or_wildcard(text: &str) -> Parsed<Option<Self>> {
        let accepted = &format!("{ACCEPTED}, or \"*\" for all");
        Ok(parse::wildcard_or_list(text, accepted, range)?.map(PortRanges::from_iter))
    }

    /// Rejects port 0, which a set built in code can hold and no connection can have.
    pub(super) fn checked(self) -> Result<Self, (String, Problem)> {
        match self.contains(0) {
            true => Err((self.to_string(), Problem(format!("0 is not a port; {ACCEPTED}")))),
            false => Ok(self),
        }
    }
}

const ACCEPTED: &str = "give a comma list of ports from 1 to 65535 and ranges such as 8000-8010";

fn range(text: &str) -> Parsed<RangeInclusive<u16>> {
    range_of(text, parse::checked_port)
}

fn range_of(text: &str, port: impl Fn(&str) -> Option<u16>) -> Parsed<RangeInclusive<u16>> {
    let not_a_port = |text: &str| Problem(format!("{} is not a port", Quoted(text)));
    let port = |text: &str| port(text).ok_or_else(|| not_a_port(text));
    let Some((first, last)) = text.split_once(['-', ':']) else {
        return port(text).map(|port| port..=port);
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(Problem(format!("the range is reversed, write {last}-{first}")));
    }
    Ok(first..=last)
}

impl FromIterator<RangeInclusive<u16>> for PortRanges {
    /// Merges ranges that overlap or touch; a reversed range is empty, as everywhere in Rust.
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        let mut given: Vec<_> = ranges.into_iter().filter(|range| !range.is_empty()).collect();
        given.sort_by_key(|range| (*range.start(), *range.end()));
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::with_capacity(given.len());
        for range in given {
            match ranges.last_mut() {
                Some(last) if u32::from(*range.start()) <= u32::from(*last.end()) + 1 => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => ranges.push(range),
            }
        }
        PortRanges { ranges }
    }
}

impl FromIterator<u16> for PortRanges {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        ports.into_iter().map(|port| port..=port).collect()
    }
}

impl<const N: usize> From<[u16; N]> for PortRanges {
    fn from(ports: [u16; N]) -> Self {
        ports.into_iter().collect()
    }
}

impl FromStr for PortRanges {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ports = parse::without_empty_items(text, ACCEPTED).and_then(PortRanges::parse);
        ports.map_err(|problem| problem.of("ports", text).into())
    }
}

impl fmt::Display for PortRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some_ranges() -> impl Strategy<Value = Vec<RangeInclusive<u16>>> {
        // Few distinct ports, so that ranges often overlap and touch; the highest ports too.
        let end = prop_oneof![4 => 1u16..40, 1 => 65530u16..=65535];
        prop::collection::vec((end.clone(), end).prop_map(|(a, b)| a.min(b)..=a.max(b)), 0..12)
    }

    proptest! {
        #[test]
        fn merging_covers_the_same_ports(given in some_ranges()) {
            let merged: PortRanges = given.iter().cloned().collect();
            for port in (0..=45).chain(65525..=65535) {
                prop_assert_eq!(merged.contains(port), given.iter().any(|range| range.contains(&port)), "port {}", port);
            }
        }

        #[test]
        fn merged_ranges_are_sorted_and_do_not_touch(given in some_ranges()) {
            let merged: PortRanges = given.into_iter().collect();
            let ranges: Vec<_> = merged.iter().collect();
            for (one, next) in ranges.iter().zip(ranges.iter().skip(1)) {
                prop_assert!(u32::from(*one.end()) + 1 < u32::from(*next.start()), "{}", merged);
            }
        }

        #[test]
        fn printed_port_ranges_read_back(given in some_ranges()) {
            let merged: PortRanges = given.into_iter().collect();
            prop_assert_eq!(merged.to_string().parse::<PortRanges>().expect("it was printed by us"), merged);
        }

        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in ".*") {
            if let Err(error) = text.parse::<PortRanges>() {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }

    #[test]
    fn ranges_are_written_with_a_colon_or_a_dash() {
        let cases = [
            ("", ""),
            ("  ", ""),
            ("80", "80"),
            ("1-65535", "1-65535"),
            ("1:65535", "1-65535"),
            ("80,81", "80-81"),
            ("5-5", "5"),
        ];
        for (text, printed) in cases {
            assert_eq!(text.parse::<PortRanges>().expect(text).to_string(), printed, "{text:?}");
        }
    }
}
