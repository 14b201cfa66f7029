//! Constants that a field is compared with or set to, each with its nft(8) type.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::data_type::{DataType, type_table};
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
    /// Operation of ARP (`arp_op`).
    ArpOp(ArpOp),
    /// Bits without names (`bitmask`).
    Bitmask(u8),
    /// Whether something is so (`boolean`).
    Boolean(bool),
    /// Number of a control group of version 2 (`cgroupsv2`).
    CgroupV2(u64),
    /// Class of traffic control (`classid`).
    Classid(u32),
    /// Direction of a packet within its connection (`ct_dir`).
    CtDirection(CtDirection),
    /// Set of events of connection tracking (`ct_event`).
    CtEvent(CtEvent),
    /// Set of labels of a connection (`ct_label`).
    CtLabel(CtLabel),
    /// Set of conntrack states (`ct_state`).
    CtState(CtState),
    /// Set of conntrack status bits (`ct_status`).
    CtStatus(CtStatus),
    /// Moment in nanoseconds since 1970 (`time`).
    Date(u64),
    /// Day of the week (`day`).
    Day(Day),
    /// Type of a DCCP packet (`dccp_pkttype`).
    DccpType(DccpType),
    /// Group of interfaces (`devgroup`).
    Devgroup(u32),
    /// Differentiated services code point (`dscp`).
    Dscp(Dscp),
    /// Time span in milliseconds (`time`).
    Duration(u32),
    /// Explicit congestion notification (`ecn`).
    Ecn(Ecn),
    /// Ethernet address (`ether_addr`).
    EtherAddr(EtherAddr),
    /// Protocol of an Ethernet frame (`ether_type`).
    EtherType(EtherType),
    /// Group id (`gid`).
    Gid(u32),
    /// Second of the day, in UTC (`hour`).
    Hour(u32),
    /// ICMP code (`icmp_code`).
    IcmpCode(IcmpCode),
    /// ICMP type (`icmp_type`).
    IcmpType(IcmpType),
    /// ICMPv6 code (`icmpv6_code`).
    Icmpv6Code(Icmpv6Code),
    /// ICMPv6 type (`icmpv6_type`).
    Icmpv6Type(Icmpv6Type),
    /// Type of an interface (`iface_type`).
    IfaceType(IfaceType),
    /// Interface index (`iface_index`).
    Ifindex(u32),
    /// Interface name or prefix (`ifname`).
    Ifname(IfName),
    /// IGMP type (`igmp_type`).
    IgmpType(IgmpType),
    /// A number without a specific type: a length, a control group id, a zone, a flag (`integer`).
    Integer(u32),
    /// IPv4 address (`ipv4_addr`).
    Ipv4(Ipv4Addr),
    /// IPv6 address (`ipv6_addr`).
    Ipv6(Ipv6Addr),
    /// Packet or connection mark (`mark`).
    Mark(u32),
    /// Type of a mobility header (`mh_type`).
    MhType(MhType),
    /// Network-layer family (`nf_proto`).
    Nfproto(Nfproto),
    /// Link-layer packet type (`pkt_type`).
    PktType(PktType),
    /// Transport-layer port (`inet_service`).
    Port(u16),
    /// Transport-layer protocol (`inet_proto`).
    Protocol(Protocol),
    /// Realm of a route (`realm`).
    Realm(u32),
    /// Set of TCP flags (`tcp_flag`).
    TcpFlags(TcpFlags),
    /// A text, such as the name of a helper (`string`).
    Text(Box<str>),
    /// User id (`uid`).
    Uid(u32),
    /// A number without a specific type that [`Integer`](Value::Integer) cannot hold; made by
    /// [`Value::integer`].
    Wide(Wide),
}

macro_rules! values_of_types {
    ($($type:ident $name:literal $number:literal: $bytes:literal, $order:ident, $doc:literal;)*) => {
        impl Value {
            /// Returns the type; `None` for a plain number, which has one of several widths.
            pub(crate) fn data_type(&self) -> Option<DataType> {
                match self {
                    $(Value::$type(_) => Some(DataType::$type),)*
                    Value::Integer(_) | Value::Wide(_) => None,
                }
            }

            /// Returns the constant as a number; `None` for a text.
            pub(crate) fn number(&self) -> Option<u128> {
                match self {
                    $(Value::$type(value) => value.to_number(),)*
                    Value::Integer(value) => Some((*value).into()),
                    Value::Wide(value) => Some(value.number()),
                }
            }

            /// Returns the constant of that type with that number; `None` if there is none.
            pub(crate) fn of_number(number: u128, data_type: DataType) -> Option<Value> {
                match data_type {
                    $(DataType::$type => Number::of_number(number).map(Value::$type),)*
                    DataType::Integer { .. } | DataType::NetworkInteger { .. } => {
                        fits(number, data_type).then(|| Value::integer(number))
                    }
                }
            }
        }
    };
}

type_table!(values_of_types);

impl Value {
    /// Returns whether this constant can be compared with a field or a set key of type `wanted`.
    #[must_use]
    pub fn is_of(&self, wanted: DataType) -> bool {
        match self {
            Value::Integer(value) => fits((*value).into(), wanted),
            Value::Wide(value) => fits(value.number(), wanted),
            value => value.data_type() == Some(wanted),
        }
    }

    /// Returns nft's name of the type.
    pub(crate) fn type_name(&self) -> &'static str {
        self.data_type().map_or("integer", DataType::name)
    }

    /// Returns the width in bytes that its number may need.
    pub(crate) fn width(&self) -> usize {
        match self {
            Value::Integer(_) => 4,
            value => value.data_type().map_or(16, DataType::bytes),
        }
    }

    /// Returns a plain number of up to 16 bytes.
    #[must_use]
    pub fn integer(number: u128) -> Value {
        u32::try_from(number).map_or_else(|_| Value::Wide(Wide(number.to_be_bytes())), Value::Integer)
    }
}

/// Returns whether a plain number fits a type.
fn fits(number: u128, wanted: DataType) -> bool {
    match wanted {
        DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => {
            bytes >= 16 || number < 1_u128 << (8 * u32::from(bytes))
        }
        _ => false,
    }
}

/// A plain number of more than 32 bits, the most significant byte first.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wide([u8; 16]);

impl Wide {
    /// Returns the number.
    #[must_use]
    pub fn number(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

/// What the kernel keeps as a number.
trait Number: Sized {
    fn to_number(&self) -> Option<u128>;
    fn of_number(number: u128) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty)*) => { $(
        impl Number for $type {
            fn to_number(&self) -> Option<u128> {
                Some((*self).into())
            }
            fn of_number(number: u128) -> Option<Self> {
                number.try_into().ok()
            }
        }
    )* };
}

integers! { u8 u16 u32 u64 }

macro_rules! as_numbers {
    ($($type:ty: $to:expr, $of:expr;)*) => { $(
        impl Number for $type {
            fn to_number(&self) -> Option<u128> {
                let to: fn(&$type) -> Option<u128> = $to;
                to(self)
            }
            fn of_number(number: u128) -> Option<Self> {
                let of: fn(u128) -> Option<$type> = $of;
                of(number)
            }
        }
    )* };
}

as_numbers! {
    bool: |value| Some((*value).into()), |number| (number < 2).then_some(number == 1);
    CtDirection: |value| Some(u128::from(*value == CtDirection::Reply)), |number| match number {
        0 => Some(CtDirection::Original),
        1 => Some(CtDirection::Reply),
        _ => None,
    };
    CtEvent: |value| Some(value.bits().into()), |number| number.try_into().ok().map(CtEvent::from_bits_retain);
    CtLabel: |value| Some(value.bits()), |number| Some(CtLabel::from_bits(number));
    CtState: |value| Some(value.bits().into()), |number| number.try_into().ok().map(CtState::from_bits_retain);
    CtStatus: |value| Some(value.bits().into()), |number| number.try_into().ok().map(CtStatus::from_bits_retain);
    IfName: |_| None, |_| None;
    Ipv4Addr: |value| Some(value.to_bits().into()), |number| number.try_into().ok().map(Ipv4Addr::from_bits);
    Ipv6Addr: |value| Some(value.to_bits()), |number| Some(Ipv6Addr::from_bits(number));
    Protocol: |value| Some(value.0.into()), |number| number.try_into().ok().map(Protocol);
    TcpFlags: |value| Some(value.bits().into()), |number| number.try_into().ok().map(TcpFlags::from_bits_retain);
    Box<str>: |_| None, |_| None;
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
    ArpOp => ArpOp,
    CtDirection => CtDirection,
    CtEvent => CtEvent,
    CtLabel => CtLabel,
    CtState => CtState,
    CtStatus => CtStatus,
    Day => Day,
    DccpType => DccpType,
    Dscp => Dscp,
    Ecn => Ecn,
    EtherAddr => EtherAddr,
    EtherType => EtherType,
    IcmpCode => IcmpCode,
    IcmpType => IcmpType,
    Icmpv6Code => Icmpv6Code,
    Icmpv6Type => Icmpv6Type,
    IfaceType => IfaceType,
    IgmpType => IgmpType,
    IfName => Ifname,
    Ipv4Addr => Ipv4,
    Ipv6Addr => Ipv6,
    MhType => MhType,
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

        impl Number for $type {
            fn to_number(&self) -> Option<u128> {
                self.0.to_number()
            }
            fn of_number(number: u128) -> Option<Self> {
                Number::of_number(number).map($type)
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
    /// Day of the week, in UTC.
    Day(u8) {
        /// Sunday.
        SUNDAY = 0 "Sunday",
        /// Monday.
        MONDAY = 1 "Monday",
        /// Tuesday.
        TUESDAY = 2 "Tuesday",
        /// Wednesday.
        WEDNESDAY = 3 "Wednesday",
        /// Thursday.
        THURSDAY = 4 "Thursday",
        /// Friday.
        FRIDAY = 5 "Friday",
        /// Saturday.
        SATURDAY = 6 "Saturday",
    }
}

numbers! {
    /// Type of a DCCP packet (RFC 4340, section 5.1).
    DccpType(u8) {
        /// Request.
        REQUEST = 0 "request",
        /// Response.
        RESPONSE = 1 "response",
        /// Data.
        DATA = 2 "data",
        /// Acknowledgement.
        ACK = 3 "ack",
        /// Data and acknowledgement.
        DATAACK = 4 "dataack",
        /// Asks to close.
        CLOSEREQ = 5 "closereq",
        /// Closes.
        CLOSE = 6 "close",
        /// Resets.
        RESET = 7 "reset",
        /// Synchronises.
        SYNC = 8 "sync",
        /// Answers a synchronisation.
        SYNCACK = 9 "syncack",
    }
}

numbers! {
    /// Differentiated services code point (RFC 2474; the names are those of nft(8)).
    Dscp(u8) {
        /// Class selector 0, the default.
        CS0 = 0 "cs0",
        /// Class selector 1.
        CS1 = 0x08 "cs1",
        /// Class selector 2.
        CS2 = 0x10 "cs2",
        /// Class selector 3.
        CS3 = 0x18 "cs3",
        /// Class selector 4.
        CS4 = 0x20 "cs4",
        /// Class selector 5.
        CS5 = 0x28 "cs5",
        /// Class selector 6.
        CS6 = 0x30 "cs6",
        /// Class selector 7.
        CS7 = 0x38 "cs7",
        /// Lower effort.
        LEPHB = 0x01 "lephb",
        /// Assured forwarding 11.
        AF11 = 0x0a "af11",
        /// Assured forwarding 12.
        AF12 = 0x0c "af12",
        /// Assured forwarding 13.
        AF13 = 0x0e "af13",
        /// Assured forwarding 21.
        AF21 = 0x12 "af21",
        /// Assured forwarding 22.
        AF22 = 0x14 "af22",
        /// Assured forwarding 23.
        AF23 = 0x16 "af23",
        /// Assured forwarding 31.
        AF31 = 0x1a "af31",
        /// Assured forwarding 32.
        AF32 = 0x1c "af32",
        /// Assured forwarding 33.
        AF33 = 0x1e "af33",
        /// Assured forwarding 41.
        AF41 = 0x22 "af41",
        /// Assured forwarding 42.
        AF42 = 0x24 "af42",
        /// Assured forwarding 43.
        AF43 = 0x26 "af43",
        /// Voice admit.
        VA = 0x2c "va",
        /// Expedited forwarding.
        EF = 0x2e "ef",
    }
}

numbers! {
    /// Explicit congestion notification (RFC 3168, section 5).
    Ecn(u8) {
        /// Not capable.
        NOT_ECT = 0 "not-ect",
        /// Capable, codepoint 1.
        ECT1 = 1 "ect1",
        /// Capable, codepoint 0.
        ECT0 = 2 "ect0",
        /// Congestion experienced.
        CE = 3 "ce",
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
    /// ICMP code (RFC 792; the names are those of nft(8), for destination unreachable).
    IcmpCode(u8) {
        /// Network unreachable.
        NET_UNREACHABLE = 0 "net-unreachable",
        /// Host unreachable.
        HOST_UNREACHABLE = 1 "host-unreachable",
        /// Protocol unreachable.
        PROT_UNREACHABLE = 2 "prot-unreachable",
        /// Port unreachable.
        PORT_UNREACHABLE = 3 "port-unreachable",
        /// Fragmentation needed.
        FRAG_NEEDED = 4 "frag-needed",
        /// Network prohibited.
        NET_PROHIBITED = 9 "net-prohibited",
        /// Host prohibited.
        HOST_PROHIBITED = 10 "host-prohibited",
        /// Administratively prohibited.
        ADMIN_PROHIBITED = 13 "admin-prohibited",
    }
}

numbers! {
    /// ICMPv6 code (RFC 4443; the names are those of nft(8), for destination unreachable).
    Icmpv6Code(u8) {
        /// No route.
        NO_ROUTE = 0 "no-route",
        /// Administratively prohibited.
        ADMIN_PROHIBITED = 1 "admin-prohibited",
        /// Address unreachable.
        ADDR_UNREACHABLE = 3 "addr-unreachable",
        /// Port unreachable.
        PORT_UNREACHABLE = 4 "port-unreachable",
        /// Source address failed policy.
        POLICY_FAIL = 5 "policy-fail",
        /// Rejected route.
        REJECT_ROUTE = 6 "reject-route",
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

numbers! {
    /// IGMP type (RFC 3376, section 4; the names are those of nft(8)).
    IgmpType(u8) {
        /// Membership query.
        MEMBERSHIP_QUERY = 17 "membership-query",
        /// Membership report, version 1.
        MEMBERSHIP_REPORT_V1 = 18 "membership-report-v1",
        /// Membership report, version 2.
        MEMBERSHIP_REPORT_V2 = 22 "membership-report-v2",
        /// Leave group.
        LEAVE_GROUP = 23 "leave-group",
        /// Membership report, version 3.
        MEMBERSHIP_REPORT_V3 = 34 "membership-report-v3",
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
    /// Type of a mobility header (RFC 6275, section 6.1; the names are those of nft(8)).
    MhType(u8) {
        /// Binding refresh request.
        BINDING_REFRESH_REQUEST = 0 "binding-refresh-request",
        /// Home test init.
        HOME_TEST_INIT = 1 "home-test-init",
        /// Care-of test init.
        CAREOF_TEST_INIT = 2 "careof-test-init",
        /// Home test.
        HOME_TEST = 3 "home-test",
        /// Care-of test.
        CAREOF_TEST = 4 "careof-test",
        /// Binding update.
        BINDING_UPDATE = 5 "binding-update",
        /// Binding acknowledgement.
        BINDING_ACKNOWLEDGEMENT = 6 "binding-acknowledgement",
        /// Binding error.
        BINDING_ERROR = 7 "binding-error",
        /// Fast binding update.
        FAST_BINDING_UPDATE = 8 "fast-binding-update",
        /// Fast binding acknowledgement.
        FAST_BINDING_ACKNOWLEDGEMENT = 9 "fast-binding-acknowledgement",
        /// Fast neighbour advertisement.
        FAST_BINDING_ADVERTISEMENT = 10 "fast-binding-advertisement",
        /// Experimental.
        EXPERIMENTAL_MOBILITY_HEADER = 11 "experimental-mobility-header",
        /// Home agent switch message.
        HOME_AGENT_SWITCH_MESSAGE = 12 "home-agent-switch-message",
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

impl Nfproto {
    /// ARP, which nft(8) has no name for.
    pub(crate) const ARP: Nfproto = Nfproto(3);
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
    /// Events of connection tracking (`IPCT_*`,
    /// include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtEvent: u32 {
        /// A new connection.
        const NEW = 1;
        /// A new connection that another one announced.
        const RELATED = 2;
        /// The end of a connection.
        const DESTROY = 4;
        /// The first answer.
        const REPLY = 8;
        /// It will not expire early.
        const ASSURED = 0x10;
        /// The state of its protocol changed.
        const PROTOINFO = 0x20;
        /// A helper was given to it.
        const HELPER = 0x40;
        /// Its mark changed.
        const MARK = 0x80;
        /// Its sequence numbers are adjusted.
        const SEQADJ = 0x100;
        /// Its security mark changed.
        const SECMARK = 0x200;
        /// Its labels changed.
        const LABEL = 0x400;
    }
}

/// Labels of a connection, numbered from 0 to 127.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtLabel([u8; 16]);

impl CtLabel {
    /// Returns the label of this number; `None` for one above 127.
    #[must_use]
    pub fn new(number: u8) -> Option<CtLabel> {
        1_u128.checked_shl(number.into()).map(CtLabel::from_bits)
    }

    /// Returns the labels whose bits are set.
    #[must_use]
    pub fn from_bits(bits: u128) -> CtLabel {
        CtLabel(bits.to_be_bytes())
    }

    /// Returns a bit for each label.
    #[must_use]
    pub fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
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
