//! Constants of the link layer.

use super::{Number, numbers};

numbers! {
    /// Operation of ARP (RFC 826, RFC 903, RFC 2390; the names are those of nft(8)).
    ArpOp(u16) {
        /// Who has this address?
        REQUEST = 1 "request",
        /// This hardware address has it.
        REPLY = 2 "reply",
        /// Reverse request.
        RREQUEST = 3 "rrequest",
        /// Reverse reply.
        RREPLY = 4 "rreply",
        /// Inverse request.
        INREQUEST = 8 "inrequest",
        /// Inverse reply.
        INREPLY = 9 "inreply",
        /// Negative answer.
        NAK = 10 "nak",
    }
}

numbers! {
    /// Protocol of an Ethernet frame (`ETH_P_*`, include/uapi/linux/if_ether.h).
    EtherType(u16) {
        /// IPv4.
        IP = 0x0800 "ip",
        /// Address resolution.
        ARP = 0x0806 "arp",
        /// IPv6.
        IP6 = 0x86dd "ip6",
        /// VLAN tag.
        VLAN = 0x8100 "8021q",
        /// Service VLAN tag.
        SERVICE_VLAN = 0x88a8 "8021ad",
    }
}

numbers! {
    /// Type of an interface (`ARPHRD_*`, include/uapi/linux/if_arp.h).
    IfaceType(u16) {
        /// Ethernet.
        ETHER = 1 "ether",
        /// PPP.
        PPP = 512 "ppp",
        /// IPv4 in IPv4.
        IPIP = 768 "ipip",
        /// IPv6 in IPv6.
        IPIP6 = 769 "ipip6",
        /// Loopback.
        LOOPBACK = 772 "loopback",
        /// IPv6 in IPv4.
        SIT = 776 "sit",
        /// GRE over IPv4.
        IPGRE = 778 "ipgre",
    }
}

/// Ethernet address.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "six bytes")]
pub struct EtherAddr(pub [u8; 6]);

impl Number for EtherAddr {
    fn to_number(&self) -> Option<u128> {
        Some(self.0.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }
    fn of_number(number: u128) -> Option<Self> {
        let [high @ .., a, b, c, d, e, f] = number.to_be_bytes();
        high.iter().all(|byte| *byte == 0).then_some(EtherAddr([a, b, c, d, e, f]))
    }
}

numbers! {
    /// Link-layer packet type (`PACKET_*`, include/uapi/linux/if_packet.h).
    PktType(u8) {
        /// To this host.
        HOST = 0 "host",
        /// To all hosts.
        BROADCAST = 1 "broadcast",
        /// To a group.
        MULTICAST = 2 "multicast",
        /// To another host.
        OTHER = 3 "other",
    }
}
