//! Constants, and the names of their types.

use std::fmt::{self, Display};
use std::net::Ipv6Addr;
use std::time::Duration;

use crate::model::{
    AddrType, ArpOp, CtDirection, CtEvent, CtLabel, CtState, CtStatus, DataType, Day, DccpType, Dscp, Ecn, EtherAddr,
    EtherType, IcmpCode, IcmpType, Icmpv6Code, Icmpv6Type, IfaceType, IgmpType, MhType, Nfproto, PktType, Protocol,
    TcpFlags, Value,
};

use super::{Text, joined, quoted};

/// Index of the loopback device in every network namespace (`LOOPBACK_IFINDEX`,
/// include/net/flow.h).
const LOOPBACK_IFINDEX: u32 = 1;

/// Prints the value as in a set: names where nft has them, bits joined by ` | `.
impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bits) = Bits::of(self) {
            return joined(f, bits, " | ");
        }
        match self {
            Value::AddrType(value) => value.fmt(f),
            Value::ArpOp(value) => value.fmt(f),
            Value::Bitmask(value) => write!(f, "{value:#x}"),
            Value::Boolean(value) => f.write_str(if *value { "exists" } else { "missing" }),
            Value::CgroupV2(value) => write!(f, "{value}"),
            Value::Classid(value) => classid(f, *value),
            Value::Date(value) => date(f, *value),
            Value::Day(value) => value.fmt(f),
            Value::DccpType(value) => value.fmt(f),
            Value::Devgroup(0) => f.write_str("\"default\""),
            Value::Dscp(value) => value.fmt(f),
            // nft prints nothing here, and does not read that.
            Value::Duration(0) => f.write_str("0s"),
            Value::Duration(value) => time(Duration::from_millis((*value).into())).fmt(f),
            Value::Ecn(value) => value.fmt(f),
            Value::EtherAddr(value) => value.fmt(f),
            Value::EtherType(value) => value.fmt(f),
            Value::Hour(value) => hour(f, *value),
            Value::IcmpCode(value) => value.fmt(f),
            Value::Icmpv6Code(value) => value.fmt(f),
            Value::IfaceType(value) => value.fmt(f),
            Value::IgmpType(value) => value.fmt(f),
            Value::Realm(0) => f.write_str("\"cosmos\""),
            Value::Text(text) => quoted(text).fmt(f),
            Value::Wide(value) => write!(f, "{}", value.number()),
            Value::Devgroup(value) | Value::Realm(value) => write!(f, "{value}"),
            Value::CtDirection(value) => value.fmt(f),
            Value::CtEvent(_) | Value::CtLabel(_) => Ok(()),
            Value::CtState(_) | Value::CtStatus(_) | Value::TcpFlags(_) => Ok(()),
            Value::MhType(value) => value.fmt(f),
            Value::Gid(value) | Value::Integer(value) | Value::Uid(value) => write!(f, "{value}"),
            Value::IcmpType(value) => value.fmt(f),
            Value::Icmpv6Type(value) => value.fmt(f),
            Value::Ifindex(LOOPBACK_IFINDEX) => f.write_str("\"lo\""),
            Value::Ifindex(value) => write!(f, "{value}"),
            Value::Ifname(name) => quoted(name.as_str()).fmt(f),
            Value::Ipv4(value) => write!(f, "{value}"),
            Value::Ipv6(value) => ipv6(*value).fmt(f),
            Value::Mark(value) => write!(f, "{value:#010x}"),
            Value::Nfproto(value) => value.fmt(f),
            Value::PktType(value) => value.fmt(f),
            Value::Port(value) => write!(f, "{value}"),
            // The name of protocol 0, which nft reads as well; within a packet it would be
            // misunderstood.
            Value::Protocol(Protocol(0)) => f.write_str("ip"),
            Value::Protocol(value) => value.fmt(f),
        }
    }
}

/// Returns the value as an end of a range, where nft prints no names.
pub(super) fn numeric(value: &Value) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| match value {
        Value::Dscp(Dscp(value)) => write!(f, "{value:#04x}"),
        Value::Ecn(Ecn(value)) => write!(f, "{value:#x}"),
        Value::EtherType(EtherType(value)) => write!(f, "{value:#06x}"),
        // nft leaves the milliseconds out, and reads another range.
        Value::Duration(value) if value % 1000 == 0 => write!(f, "{}s", value / 1000),
        Value::Duration(_) => value.fmt(f),
        Value::CtEvent(value) => write!(f, "{:#x}", value.bits()),
        Value::CtLabel(value) => write!(f, "{:#x}", value.bits()),
        Value::CtState(value) => write!(f, "{:#x}", value.bits()),
        Value::CtStatus(value) => write!(f, "{:#x}", value.bits()),
        Value::TcpFlags(value) => write!(f, "{:#x}", value.bits()),
        Value::AddrType(_)
        | Value::ArpOp(_)
        | Value::Boolean(_)
        | Value::CtDirection(_)
        | Value::Day(_)
        | Value::DccpType(_)
        | Value::Devgroup(_)
        | Value::IcmpCode(_)
        | Value::IcmpType(_)
        | Value::Icmpv6Code(_)
        | Value::Icmpv6Type(_)
        | Value::IfaceType(_)
        | Value::IgmpType(_)
        | Value::MhType(_)
        | Value::Nfproto(_)
        | Value::PktType(_)
        | Value::Protocol(_)
        | Value::Realm(_) => {
            write!(f, "{}", value.number().unwrap_or_default())
        }
        Value::Bitmask(_) | Value::CgroupV2(_) => value.fmt(f),
        Value::Classid(_) | Value::Date(_) | Value::EtherAddr(_) | Value::Hour(_) => value.fmt(f),
        Value::Gid(_) | Value::Ifindex(_) | Value::Ifname(_) | Value::Integer(_) | Value::Ipv4(_) => value.fmt(f),
        Value::Ipv6(_) | Value::Mark(_) | Value::Port(_) | Value::Text(_) | Value::Uid(_) => value.fmt(f),
        Value::Wide(_) => value.fmt(f),
    })
}

/// Returns a plain number as nft writes bytes by their place, and any other value as it is.
pub(super) fn hexadecimal(value: &Value) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| match value {
        Value::Integer(value) => write!(f, "{value:#x}"),
        Value::Wide(value) => write!(f, "{:#x}", value.number()),
        value => value.fmt(f),
    })
}

/// Prints a class of traffic control, `1:2` in hexadecimal.
fn classid(f: &mut fmt::Formatter<'_>, class: u32) -> fmt::Result {
    match class {
        0 => f.write_str("none"),
        u32::MAX => f.write_str("root"),
        class => write!(f, "{:x}:{:x}", class >> 16, class & 0xffff),
    }
}

/// Prints a second of the day, `"17:30"`.
fn hour(f: &mut fmt::Formatter<'_>, second: u32) -> fmt::Result {
    let (hours, minutes, seconds) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "\"{hours:02}:{minutes:02}")?;
    if seconds > 0 {
        write!(f, ":{seconds:02}")?;
    }
    f.write_str("\"")
}

/// Prints a moment in UTC, `"2020-01-31 10:00:00"`. The date follows from the number of days as in
/// the Gregorian calendar, with years that start in March.
fn date(f: &mut fmt::Formatter<'_>, nanoseconds: u64) -> fmt::Result {
    let seconds = nanoseconds / 1_000_000_000;
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = 400 * era + year + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    write!(f, "\"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}\"")
}

/// Returns the address as glibc's inet_ntop(3) writes it: unlike Rust, `::1.2.3.4` for an
/// IPv4-compatible address.
pub(super) fn ipv6(address: Ipv6Addr) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| match address.segments() {
        [0, 0, 0, 0, 0, 0, high, _] if high != 0 => {
            let [.., a, b, c, d] = address.octets();
            write!(f, "::{a}.{b}.{c}.{d}")
        }
        _ => write!(f, "{address}"),
    })
}

/// Prints days, hours, minutes, seconds and milliseconds, each omitted when zero.
pub(super) fn time(time: Duration) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let mut rest = time.as_millis();
        for (unit, milliseconds) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= milliseconds {
                write!(f, "{}{unit}", rest / milliseconds)?;
                rest %= milliseconds;
            }
        }
        Ok(())
    })
}

/// The bits of a set of flags, lowest first; no bits give a single `0x0`.
#[derive(Clone)]
pub(crate) struct Bits {
    pub(crate) value: u128,
    /// All bits of the type's width.
    pub(crate) all: u128,
    names: Names,
    started: bool,
}

impl Bits {
    /// Returns the bits of a constant that is a set of flags.
    pub(crate) fn of(value: &Value) -> Option<Bits> {
        match value {
            Value::CtEvent(value) => Some(value.into()),
            Value::CtLabel(value) => Some(value.into()),
            Value::CtState(value) => Some(value.into()),
            Value::CtStatus(value) => Some(value.into()),
            Value::TcpFlags(value) => Some(value.into()),
            _ => None,
        }
    }

    fn new(value: u32, all: u32, names: &'static [(u32, &'static str)]) -> Bits {
        Bits { value: value.into(), all: all.into(), names: Names::Texts(names), started: false }
    }

    /// Returns the bits as in `ct state established,related`.
    pub(super) fn list(&self) -> impl Display {
        Text(|f: &mut fmt::Formatter<'_>| joined(f, self.clone(), ","))
    }
}

/// How bits are named.
#[derive(Clone, Copy)]
enum Names {
    /// By their place, from 0.
    Places,
    /// By these texts.
    Texts(&'static [(u32, &'static str)]),
}

/// One bit, by name when it has one.
pub(crate) enum Bit {
    Named(&'static str),
    Number(u128),
    Place(u32),
}

impl Iterator for Bits {
    type Item = Bit;

    fn next(&mut self) -> Option<Bit> {
        if self.value == 0 {
            return (!std::mem::replace(&mut self.started, true)).then_some(Bit::Number(0));
        }
        self.started = true;
        let lowest = self.value & self.value.wrapping_neg();
        self.value &= !lowest;
        Some(match self.names {
            Names::Places => Bit::Place(lowest.trailing_zeros()),
            Names::Texts(names) => {
                let name = names.iter().find(|(bit, _)| u128::from(*bit) == lowest);
                name.map_or(Bit::Number(lowest), |(_, name)| Bit::Named(name))
            }
        })
    }
}

impl Display for Bit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bit::Named(name) => f.write_str(name),
            Bit::Number(number) => write!(f, "{number:#x}"),
            Bit::Place(place) => write!(f, "{place}"),
        }
    }
}

impl From<&CtEvent> for Bits {
    fn from(value: &CtEvent) -> Bits {
        const NAMES: &[(u32, &str)] = &[
            (1, "new"),
            (2, "related"),
            (4, "destroy"),
            (8, "reply"),
            (0x10, "assured"),
            (0x20, "protoinfo"),
            (0x40, "helper"),
            (0x80, "mark"),
            (0x100, "seqadj"),
            (0x200, "secmark"),
            (0x400, "label"),
        ];
        Bits::new(value.bits(), u32::MAX, NAMES)
    }
}

impl From<&CtLabel> for Bits {
    fn from(value: &CtLabel) -> Bits {
        Bits { value: value.bits(), all: u128::MAX, names: Names::Places, started: false }
    }
}

impl From<&CtState> for Bits {
    fn from(value: &CtState) -> Bits {
        const NAMES: &[(u32, &str)] =
            &[(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
        Bits::new(value.bits(), u32::MAX, NAMES)
    }
}

impl From<&CtStatus> for Bits {
    fn from(value: &CtStatus) -> Bits {
        const NAMES: &[(u32, &str)] = &[
            (1, "expected"),
            (2, "seen-reply"),
            (4, "assured"),
            (8, "confirmed"),
            (16, "snat"),
            (32, "dnat"),
            (512, "dying"),
        ];
        Bits::new(value.bits(), u32::MAX, NAMES)
    }
}

impl From<&TcpFlags> for Bits {
    fn from(value: &TcpFlags) -> Bits {
        const NAMES: &[(u32, &str)] =
            &[(1, "fin"), (2, "syn"), (4, "rst"), (8, "psh"), (16, "ack"), (32, "urg"), (64, "ecn"), (128, "cwr")];
        Bits::new(value.bits().into(), 0xff, NAMES)
    }
}

impl Display for CtDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CtDirection::Original => "original",
            CtDirection::Reply => "reply",
        })
    }
}

/// Prints nft's name, as in `type ipv4_addr`.
impl Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! flags {
    ($($type:ident)*) => { $(
        /// Prints names joined by commas, lowest bit first.
        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                joined(f, Bits::from(self), ",")
            }
        }
    )* };
}

macro_rules! numbers {
    ($($type:ident $unnamed:literal)*) => { $(
        /// Prints nft's name, or the number.
        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, $unnamed, self.0),
                }
            }
        }
    )* };
}

/// Prints nft's name in quotes, or the number.
impl Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "\"{name}\""),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Prints the six bytes, `00:11:22:33:44:55`.
impl Display for EtherAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EtherAddr([a, b, c, d, e, g]) = self;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

flags! { CtEvent CtLabel CtState CtStatus TcpFlags }
numbers! {
    AddrType "{}"
    ArpOp "{}"
    DccpType "{}"
    Dscp "{:#04x}"
    Ecn "{:#x}"
    EtherType "{:#06x}"
    IcmpCode "{}"
    IcmpType "{}"
    Icmpv6Code "{}"
    Icmpv6Type "{}"
    IfaceType "{}"
    IgmpType "{}"
    MhType "{}"
    Nfproto "{}"
    PktType "{}"
    Protocol "{}"
}
