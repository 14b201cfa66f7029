//! Values that people expect to see in a packet, preferred where a box leaves a choice.

use super::domains::name_number;
use crate::model::{AddrType, Hook, IpFamily, Protocol, TcpFlags};
use crate::sim::cells::Input;

/// Returns the most usual values of an input, best first; after them, the lowest value is used.
pub(super) fn usual(hook: Hook, family: IpFamily, input: Input) -> Vec<u128> {
    let comes_in = matches!(hook, Hook::Input | Hook::Prerouting);
    let icmp = match family {
        IpFamily::Ipv4 => Protocol::ICMP,
        IpFamily::Ipv6 => Protocol::ICMPV6,
    };
    // The pod of the examples, and a client of it.
    let address = |is_pod: bool| match (family, is_pod) {
        (IpFamily::Ipv4, true) => 0x0a4d_0002 << 96,
        (IpFamily::Ipv4, false) => 0x0a4d_0001 << 96,
        (IpFamily::Ipv6, true) => 0xfd77 << 112 | 2,
        (IpFamily::Ipv6, false) => 0xfd77 << 112 | 1,
    };
    let names = |names: &[&str]| names.iter().map(|name| name_number(name.as_bytes())).collect();
    match input {
        Input::CtState => vec![8, 2, 4, 1],
        Input::Daddr | Input::TranslatedDaddr => vec![address(comes_in)],
        Input::DaddrType => vec![u128::from(if comes_in { AddrType::LOCAL.0 } else { AddrType::UNICAST.0 })],
        Input::Dport | Input::TranslatedDport => vec![9000, 80],
        Input::Iif => vec![0, 2],
        Input::Iifname => names(&["", "eth0", "eth1", "eth2", "eth3", "lo"]),
        Input::L4proto => [Protocol::TCP, Protocol::UDP, icmp].map(|protocol| protocol.0.into()).into(),
        Input::Length => vec![60],
        Input::Oif => vec![if hook == Hook::Forward { 3 } else { 2 }],
        Input::Oifname if hook == Hook::Forward => names(&["", "eth1", "eth0", "eth2", "eth3", "lo"]),
        Input::Oifname => names(&["", "eth0", "eth1", "eth2", "eth3", "lo"]),
        Input::Saddr | Input::TranslatedSaddr => vec![address(!comes_in)],
        Input::Skgid | Input::Skuid => vec![1000],
        // A packet that this host sends has an owner.
        Input::Socket => vec![u128::from(hook == Hook::Output)],
        Input::Sport | Input::TranslatedSport => vec![40000],
        Input::TcpFlags => vec![TcpFlags::SYN.bits().into()],
        Input::Attached | Input::Cgroup | Input::CtDirection | Input::CtMark | Input::CtStatus => vec![0],
        Input::CtZone | Input::Mark | Input::PktType | Input::Received | Input::SocketMark => vec![0],
        Input::SocketTransparent | Input::SocketWildcard | Input::Transport => vec![0],
        // Without options, with 64 hops left.
        Input::Network => vec![match family {
            IpFamily::Ipv4 => 0x45 << 120 | 64 << 56,
            IpFamily::Ipv6 => 0x60 << 120 | 64 << 64,
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::number;
    use super::*;

    #[test]
    fn values_become_numbers_in_their_own_byte_order() {
        assert_eq!(name_number(b"lo").to_be_bytes().first_chunk(), Some(b"lo\0"));
        assert_eq!(number(Input::Mark, &7_u32.to_ne_bytes()), 7);
        assert_eq!(number(Input::Dport, &[1, 2]), 0x0102);
    }
}
