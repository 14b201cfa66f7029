//! The checksum of an ICMP message after a translation: rules can read that field as `th dport`.

use std::net::IpAddr;

use super::connections::Tuple;
use crate::model::Protocol;

/// Returns the checksum after a change of addresses and id: RFC 1624, section 3, equation 3. Only
/// the checksum of ICMPv6 covers the addresses (icmp_manip_pkt and icmpv6_manip_pkt,
/// net/netfilter/nf_nat_proto.c, v6.12).
pub(super) fn moved(checksum: u16, from: Tuple, to: Tuple) -> u16 {
    let [before, after] = [from, to].map(|tuple| summands(&tuple));
    if before == after {
        return checksum;
    }
    let sum =
        before.iter().map(|word| !word).chain(after).fold(u32::from(!checksum), |sum, word| sum + u32::from(word));
    !folded(sum)
}

fn summands(tuple: &Tuple) -> Vec<u16> {
    let Tuple { protocol, source, destination } = tuple;
    let mut words = vec![destination.port()];
    for address in [source.ip(), destination.ip()] {
        match address {
            IpAddr::V6(address) if *protocol == Protocol::ICMPV6 => words.extend(address.segments()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    words
}

/// Folds the sum of fewer than 65536 words.
fn folded(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    u16::try_from((once >> 16) + (once & 0xffff)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the checksum of the tuple and some other words of the packet.
    fn whole(tuple: &Tuple) -> u16 {
        !folded(summands(tuple).into_iter().chain([0x8000, 58, 16, 0x1234]).map(u32::from).sum())
    }

    #[test]
    fn a_translated_checksum_equals_a_newly_computed_one() {
        let tuple = |protocol, source: &str, destination: &str| Tuple {
            protocol,
            source: source.parse().expect("an end"),
            destination: destination.parse().expect("an end"),
        };
        let cases = [
            (Protocol::ICMPV6, "[fd77::2]:0", "[fd77::1]:7", "[fd77::2]:0", "[fd78::1]:7"),
            (Protocol::ICMPV6, "[fd77::2]:0", "[fd77::1]:7", "[ffff::ffff]:0", "[fd78::1]:9"),
            (Protocol::ICMP, "10.77.0.2:0", "10.77.0.1:7", "10.77.0.3:0", "10.77.0.1:65535"),
            (Protocol::ICMP, "10.77.0.2:0", "10.77.0.1:7", "10.77.0.3:0", "10.77.0.1:7"),
        ];
        for (protocol, source, destination, source_now, destination_now) in cases {
            let (from, to) = (tuple(protocol, source, destination), tuple(protocol, source_now, destination_now));
            assert_eq!(moved(whole(&from), from, to), whole(&to), "{to:?}");
        }
    }
}
