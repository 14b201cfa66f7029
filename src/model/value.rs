//! Constants that a field is compared with or set to, each with its nft(8) type.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::data_type::DataType;
use super::name::IfName;
pub use super::protocol::Protocol;

/// A constant. Its variant is its nft data type; byte order is decided where it is lowered, never
/// here.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Value {
    /// Kind of an address as the routing tables see it (`fib_addrtype`).
    AddrType(AddrType),
    /// Direction of a packet within its connection (`ct_dir`).
    CtDirection(CtDirection),
    /// Set of conntrack states (`ct_state`).
    CtState(CtState),
    /// Set of conntrack status bits (`ct_status`).
    CtStatus(CtStatus),
    /// Group id (`gid`).
    Gid(u32),
    /// ICMP type (`icmp_type`).
    IcmpType(IcmpType),
    /// ICMPv6 type (`icmpv6_type`).
    Icmpv6Type(Icmpv6Type),
    /// Interface index (`iface_index`).
    Ifindex(u32),
    /// Interface name or prefix (`ifname`).
    Ifname(IfName),
    /// A number without a specific type: a length, a control group id, a zone, a flag (`integer`).
    Integer(u32),
    /// IPv4 address (`ipv4_addr`).
    Ipv4(Ipv4Addr),
    /// IPv6 address (`ipv6_addr`).
    Ipv6(Ipv6Addr),
    /// Packet or connection mark (`mark`).
    Mark(u32),
    /// Network-layer family (`nf_proto`).
    Nfproto(Nfproto),
    /// Link-layer packet type (`pkt_type`).
    PktType(PktType),
    /// Transport-layer port (`inet_service`).
    Port(u16),
    /// Transport-layer protocol (`inet_proto`).
    Protocol(Protocol),
    /// Set of TCP flags (`tcp_flag`).
    TcpFlags(TcpFlags),
    /// User id (`uid`).
    Uid(u32),
}

impl Value {
    /// Returns whether this constant can be compared with a field or a set key of type `wanted`.
    #[must_use]
    pub fn is_of(&self, wanted: DataType) -> bool {
        match self {
            Value::AddrType(_) => wanted == DataType::AddrType,
            Value::CtDirection(_) => wanted == DataType::CtDirection,
            Value::CtState(_) => wanted == DataType::CtState,
            Value::CtStatus(_) => wanted == DataType::CtStatus,
            Value::Gid(_) => wanted == DataType::Gid,
            Value::IcmpType(_) => wanted == DataType::IcmpType,
            Value::Icmpv6Type(_) => wanted == DataType::Icmpv6Type,
            Value::Ifindex(_) => wanted == DataType::Ifindex,
            Value::Ifname(_) => wanted == DataType::Ifname,
            Value::Integer(value) => match wanted {
                DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => {
                    bytes >= 4 || u64::from(*value) < 1_u64 << (8 * u32::from(bytes))
                }
                _ => false,
            },
            Value::Ipv4(_) => wanted == DataType::Ipv4,
            Value::Ipv6(_) => wanted == DataType::Ipv6,
            Value::Mark(_) => wanted == DataType::Mark,
            Value::Nfproto(_) => wanted == DataType::Nfproto,
            Value::PktType(_) => wanted == DataType::PktType,
            Value::Port(_) => wanted == DataType::Port,
            Value::Protocol(_) => wanted == DataType::Protocol,
            Value::TcpFlags(_) => wanted == DataType::TcpFlags,
            Value::Uid(_) => wanted == DataType::Uid,
        }
    }
}

/// Rust types that have one nft data type.
macro_rules! values {
    ($($type:ty => $variant:ident,)*) => { $(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Value::$variant(value)
            }
        }
    )* };
}

values! {
    AddrType => AddrType,
    CtDirection => CtDirection,
    CtState => CtState,
    CtStatus => CtStatus,
    IcmpType => IcmpType,
    Icmpv6Type => Icmpv6Type,
    IfName => Ifname,
    Ipv4Addr => Ipv4,
    Ipv6Addr => Ipv6,
    Nfproto => Nfproto,
    PktType => PktType,
    Protocol => Protocol,
    TcpFlags => TcpFlags,
    u16 => Port,
}

impl From<IpAddr> for Value {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Value::Ipv4(address),
            IpAddr::V6(address) => Value::Ipv6(address),
        }
    }
}

/// An interface name, or a prefix such as `veth*`.
impl From<&str> for Value {
    fn from(name: &str) -> Self {
        Value::Ifname(name.into())
    }
}

/// A newtype over the kernel's number, with the names of the numbers that have one.
macro_rules! numbers {
    ($(#[$doc:meta])* $type:ident($repr:ty) { $($(#[$cdoc:meta])* $constant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub $repr);

        impl $type {
            $($(#[$cdoc])* pub const $constant: $type = $type($number);)*

            /// Returns the name that nft(8) prints, if any.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

numbers! {
    /// Kind of an address as the routing tables see it (`RTN_*`, include/uapi/linux/rtnetlink.h).
    AddrType(u32) {
        /// `RTN_UNSPEC`.
        UNSPEC = 0 "unspec",
        /// A gateway or direct route.
        UNICAST = 1 "unicast",
        /// An address of this host.
        LOCAL = 2 "local",
        /// A broadcast address.
        BROADCAST = 3 "broadcast",
        /// An anycast address.
        ANYCAST = 4 "anycast",
        /// A multicast address.
        MULTICAST = 5 "multicast",
        /// Dropped by the routing table.
        BLACKHOLE = 6 "blackhole",
        /// Unreachable by the routing table.
        UNREACHABLE = 7 "unreachable",
        /// Prohibited by the routing table.
        PROHIBIT = 8 "prohibit",
    }
}

numbers! {
    /// ICMP type (RFC 792; the names are those of nft(8)).
    IcmpType(u8) {
        /// Echo reply.
        ECHO_REPLY = 0 "echo-reply",
        /// Destination unreachable.
        DESTINATION_UNREACHABLE = 3 "destination-unreachable",
        /// Source quench.
        SOURCE_QUENCH = 4 "source-quench",
        /// Redirect.
        REDIRECT = 5 "redirect",
        /// Echo request.
        ECHO_REQUEST = 8 "echo-request",
        /// Router advertisement.
        ROUTER_ADVERTISEMENT = 9 "router-advertisement",
        /// Router solicitation.
        ROUTER_SOLICITATION = 10 "router-solicitation",
        /// Time exceeded.
        TIME_EXCEEDED = 11 "time-exceeded",
        /// Parameter problem.
        PARAMETER_PROBLEM = 12 "parameter-problem",
        /// Timestamp request.
        TIMESTAMP_REQUEST = 13 "timestamp-request",
        /// Timestamp reply.
        TIMESTAMP_REPLY = 14 "timestamp-reply",
        /// Information request.
        INFO_REQUEST = 15 "info-request",
        /// Information reply.
        INFO_REPLY = 16 "info-reply",
        /// Address mask request.
        ADDRESS_MASK_REQUEST = 17 "address-mask-request",
        /// Address mask reply.
        ADDRESS_MASK_REPLY = 18 "address-mask-reply",
    }
}

numbers! {
    /// ICMPv6 type (RFC 4443, RFC 4861; the names are those of nft(8)).
    Icmpv6Type(u8) {
        /// Destination unreachable.
        DESTINATION_UNREACHABLE = 1 "destination-unreachable",
        /// Packet too big.
        PACKET_TOO_BIG = 2 "packet-too-big",
        /// Time exceeded.
        TIME_EXCEEDED = 3 "time-exceeded",
        /// Parameter problem.
        PARAMETER_PROBLEM = 4 "parameter-problem",
        /// Echo request.
        ECHO_REQUEST = 128 "echo-request",
        /// Echo reply.
        ECHO_REPLY = 129 "echo-reply",
        /// Multicast listener query.
        MLD_LISTENER_QUERY = 130 "mld-listener-query",
        /// Multicast listener report.
        MLD_LISTENER_REPORT = 131 "mld-listener-report",
        /// Multicast listener done.
        MLD_LISTENER_DONE = 132 "mld-listener-done",
        /// Router solicitation.
        ND_ROUTER_SOLICIT = 133 "nd-router-solicit",
        /// Router advertisement.
        ND_ROUTER_ADVERT = 134 "nd-router-advert",
        /// Neighbour solicitation.
        ND_NEIGHBOR_SOLICIT = 135 "nd-neighbor-solicit",
        /// Neighbour advertisement.
        ND_NEIGHBOR_ADVERT = 136 "nd-neighbor-advert",
        /// Redirect.
        ND_REDIRECT = 137 "nd-redirect",
        /// Router renumbering.
        ROUTER_RENUMBERING = 138 "router-renumbering",
        /// Inverse neighbour discovery solicitation.
        IND_NEIGHBOR_SOLICIT = 141 "ind-neighbor-solicit",
        /// Inverse neighbour discovery advertisement.
        IND_NEIGHBOR_ADVERT = 142 "ind-neighbor-advert",
        /// Multicast listener report, version 2.
        MLD2_LISTENER_REPORT = 143 "mld2-listener-report",
    }
}

numbers! {
    /// Network-layer family of a packet (`NFPROTO_*`, include/uapi/linux/netfilter.h).
    Nfproto(u8) {
        /// IPv4.
        IPV4 = 2 "ipv4",
        /// IPv6.
        IPV6 = 10 "ipv6",
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

/// Direction of a packet within its connection (`IP_CT_DIR_*`,
/// include/uapi/linux/netfilter/nf_conntrack_tuple_common.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum CtDirection {
    /// From the side that opened the connection.
    Original,
    /// From the other side.
    Reply,
}

bitflags::bitflags! {
    /// Conntrack states (`NF_CT_STATE_BIT`, include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtState: u32 {
        /// Belongs to no connection and starts none.
        const INVALID = 1;
        /// Part of a connection that has seen packets both ways.
        const ESTABLISHED = 2;
        /// Starts a connection that another one announced, or is an ICMP error about a connection.
        const RELATED = 4;
        /// Starts a connection.
        const NEW = 8;
        /// Excluded from connection tracking.
        const UNTRACKED = 64;
    }
}

bitflags::bitflags! {
    /// Conntrack status (`IPS_*`, include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtStatus: u32 {
        /// Announced by another connection.
        const EXPECTED = 1;
        /// Packets were seen both ways.
        const SEEN_REPLY = 2;
        /// Never expires early.
        const ASSURED = 4;
        /// The first packet left this host.
        const CONFIRMED = 8;
        /// Source address is translated.
        const SNAT = 16;
        /// Destination address is translated.
        const DNAT = 32;
        /// About to be removed.
        const DYING = 512;
    }
}

bitflags::bitflags! {
    /// TCP flags (RFC 9293, section 3.1).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TcpFlags: u8 {
        /// No more data.
        const FIN = 1;
        /// Synchronise sequence numbers.
        const SYN = 2;
        /// Reset.
        const RST = 4;
        /// Push.
        const PSH = 8;
        /// Acknowledgement is valid.
        const ACK = 16;
        /// Urgent pointer is valid.
        const URG = 32;
        /// Congestion was experienced.
        const ECN = 64;
        /// Congestion window reduced.
        const CWR = 128;
    }
}
