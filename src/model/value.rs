//! Constants that a field is compared with or set to, each with its nft(8) type.

mod conntrack;
mod link;
mod messages;
mod network;
mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::data_type::{DataType, type_table};
use super::name::IfName;
pub use super::protocol::Protocol;
pub use conntrack::{CtDirection, CtEvent, CtLabel, CtState, CtStatus};
pub use link::{ArpOp, EtherAddr, EtherType, IfaceType, PktType};
pub use messages::{IcmpCode, IcmpType, Icmpv6Code, Icmpv6Type, IgmpType, MhType};
pub use network::{AddrType, Dscp, Ecn, Nfproto};
pub use transport::{DccpType, TcpFlags};

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
use numbers;

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
