//! Constants, read by the type that the field or the set has.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnetwork::{Ipv4Network, Ipv6Network};

use super::cursor::unexpected;
use super::error::{Fault, Parsed};
use super::lexer::{Kind, Token, UNITS};
use super::names;
use super::parser::Parser;
use crate::error::Quoted;
use crate::model::{CtLabel, DataType, EtherAddr, IfName, Interval, Value};

impl<'t> Parser<'t> {
    /// Reads a constant of this type; several flags may be joined by `|`.
    pub(super) fn value(&mut self, of: DataType) -> Parsed<Value> {
        if self.at("(") {
            return self.deeper(|parser| {
                parser.next();
                let value = parser.value(of)?;
                parser.expect(")")?;
                Ok(value)
            });
        }
        let mut value = self.single(of)?;
        while self.at("|") || self.at("or") {
            let operator = self.next();
            let more = if self.at("(") { self.value(of)? } else { self.single(of)? };
            value = either(&value, &more).ok_or_else(|| {
                Fault::unsupported(operator.at, operator.length(), format!("values of type {} are not joined here", of))
            })?;
        }
        Ok(value)
    }

    pub(super) fn single(&mut self, of: DataType) -> Parsed<Value> {
        let token = self.peek();
        let value = match token.kind {
            Kind::Number => self.number_of(token, of)?,
            Kind::Address | Kind::Mac => address(token, of)?,
            Kind::Word | Kind::Quoted => self.name_of(token, of)?,
            _ => return self.unexpected(&wanted(of)),
        };
        self.next();
        Ok(value)
    }

    fn number_of(&self, token: Token<'t>, of: DataType) -> Parsed<Value> {
        let number = wide(token)?;
        numeric(of, number).ok_or_else(|| match of {
            DataType::Ipv6 | DataType::Ifname => unexpected(token, &wanted(of)),
            DataType::EtherAddr | DataType::Text => unexpected(token, &wanted(of)),
            _ => {
                let why = format!("{number} is too large, expected {}", wanted(of));
                Fault::wrong(token.at, token.length(), why)
            }
        })
    }

    fn name_of(&self, token: Token<'t>, of: DataType) -> Parsed<Value> {
        let resolver = self.resolver();
        let text = token.text;
        let found = match of {
            DataType::Ifname if text.len() > MOST_OF_A_NAME && IfName::from(text).compared().len() > IfName::MAX => {
                let why = format!("{} is longer than the 15 bytes of an interface name", Quoted::new(text));
                return Err(Fault::wrong(token.at, token.length(), why));
            }
            DataType::Ifname if text.is_empty() => None,
            DataType::Ifname => Some(Value::Ifname(text.into())),
            DataType::Ifindex => resolver.interface(text).map(Value::Ifindex),
            DataType::Port => resolver.service(text).map(Value::Port),
            DataType::Uid => resolver.user(text).map(Value::Uid),
            DataType::Gid => resolver.group(text).map(Value::Gid),
            // In quotes as well.
            DataType::Ipv4 => text.parse().ok().map(Value::Ipv4),
            DataType::Ipv6 => text.parse().ok().map(Value::Ipv6),
            DataType::CgroupV2 => resolver.cgroup(text).map(Value::CgroupV2),
            DataType::Classid => class(text).map(Value::Classid).or_else(|| names::constant(of, text)),
            DataType::Date => date(text).map(Value::Date),
            DataType::Duration => {
                duration(text).and_then(|time| u32::try_from(time.as_millis()).ok()).map(Value::Duration)
            }
            DataType::EtherAddr => ether(text).map(Value::EtherAddr),
            DataType::Hour => hour(text).map(Value::Hour),
            DataType::Text => Some(Value::Text(text.into())),
            DataType::Integer { .. } | DataType::NetworkInteger { .. } if text == "exists" => numeric(of, 1),
            DataType::Integer { .. } | DataType::NetworkInteger { .. } if text == "missing" => numeric(of, 0),
            _ => names::constant(of, text),
        };
        let quoted = || (token.kind == Kind::Quoted).then(|| numeric(of, plain_number(text)?)).flatten();
        found.or_else(quoted).ok_or_else(|| unexpected(token, &wanted(of)))
    }

    /// Reads a value, a prefix or a range.
    pub(super) fn interval(&mut self, of: DataType) -> Parsed<Interval> {
        let start = self.peek();
        let low = self.value(of)?;
        if self.take("/") {
            let length = self.prefix_length(of)?;
            return Ok(prefix(&low, length).unwrap_or_else(|| Interval::point(low)));
        }
        if !self.take("-") {
            return Ok(Interval::point(low));
        }
        let high = self.value(of)?;
        if low > high {
            return Err(Fault::wrong(start.at, start.length(), "this range ends before it begins"));
        }
        Ok(Interval { low, high })
    }

    /// Reads the length of a prefix of this type.
    pub(super) fn prefix_length(&mut self, of: DataType) -> Parsed<u8> {
        let token = self.peek();
        let bits = u64::try_from(8 * of.bytes()).unwrap_or(u64::MAX);
        let length = self.number(format_args!("a prefix length of 0 to {bits}"), bits)?;
        match of {
            DataType::Ipv4 | DataType::Ipv6 | DataType::Mark => Ok(u8::try_from(length).unwrap_or(u8::MAX)),
            _ => {
                let why = format!("a prefix of type {of} is not known here; prefixes are of addresses and marks");
                Err(Fault::unsupported(token.at, token.length(), why))
            }
        }
    }

    /// Reads a number up to `most`.
    pub(super) fn number(&mut self, what: impl fmt::Display, most: u64) -> Parsed<u64> {
        let token = self.peek();
        if token.kind != Kind::Number {
            return self.unexpected(&what.to_string());
        }
        let number = number(token)?;
        if number > most {
            let why = format!("{number} is more than {most}, expected {what}");
            return Err(Fault::wrong(token.at, token.length(), why));
        }
        self.next();
        Ok(number)
    }

    pub(super) fn number_u32(&mut self, what: &str) -> Parsed<u32> {
        let number = self.number(what, u32::MAX.into())?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    pub(super) fn number_u16(&mut self, what: &str) -> Parsed<u16> {
        let number = self.number(what, u16::MAX.into())?;
        Ok(u16::try_from(number).unwrap_or(u16::MAX))
    }

    /// Reads a time, `1h30m` or seconds.
    pub(super) fn time(&mut self) -> Parsed<Duration> {
        const WANTED: &str = "a time such as 30s or 1d2h3m4s5ms";
        let token = self.peek();
        let time = match token.kind {
            Kind::Word => duration(token.text),
            _ => None,
        };
        match time.filter(|time| u64::try_from(time.as_millis()).is_ok()) {
            Some(time) => {
                self.next();
                Ok(time)
            }
            None => self.unexpected(WANTED),
        }
    }

    /// Reads an address of either family.
    pub(super) fn ip_address(&mut self) -> Parsed<IpAddr> {
        let token = self.peek();
        match token.text.parse() {
            Ok(address) if matches!(token.kind, Kind::Address | Kind::Quoted) => {
                self.next();
                Ok(address)
            }
            _ => self.unexpected("an IPv4 or IPv6 address"),
        }
    }
}

/// Returns a number as it is written: with 0x hexadecimal, with a leading 0 octal.
fn number(token: Token<'_>) -> Parsed<u64> {
    plain_number(token.text).and_then(|number| u64::try_from(number).ok()).ok_or_else(|| {
        let why = format!("{} is no number of 64 bits", Quoted::new(token.text));
        Fault::wrong(token.at, token.length(), why)
    })
}

/// As [`number`], for a value of any width.
fn wide(token: Token<'_>) -> Parsed<u128> {
    plain_number(token.text).ok_or_else(|| {
        let why = format!("{} is no number of 128 bits", Quoted::new(token.text));
        Fault::wrong(token.at, token.length(), why)
    })
}

fn plain_number(text: &str) -> Option<u128> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (text.get(2..)?, 16),
        [b'0', _, ..] => (text, 8),
        _ => (text, 10),
    };
    if digits.starts_with('+') { None } else { u128::from_str_radix(digits, base).ok() }
}

fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (0_u64, text);
    if let Some(seconds) = plain_number(text) {
        return u64::try_from(seconds).ok().map(Duration::from_secs);
    }
    let milliseconds = [86_400_000, 3_600_000, 60_000, 1000, 1];
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at_checked(letters)?;
        let (_, each) = UNITS.iter().zip(milliseconds).find(|(name, _)| **name == unit)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(each)?)?;
        rest = behind;
    }
    Some(Duration::from_millis(total))
}

fn address(token: Token<'_>, of: DataType) -> Parsed<Value> {
    let value = match of {
        DataType::Ipv4 => token.text.parse().ok().map(Value::Ipv4),
        DataType::Ipv6 => token.text.parse().ok().map(Value::Ipv6),
        DataType::Classid => class(token.text).map(Value::Classid),
        DataType::EtherAddr => ether(token.text).map(Value::EtherAddr),
        _ => None,
    };
    value.ok_or_else(|| unexpected(token, &wanted(of)))
}

/// Returns the constant of that type with that number, if it has one. Times are in seconds.
fn numeric(of: DataType, number: u128) -> Option<Value> {
    let number = match of {
        DataType::EtherAddr | DataType::Ifname | DataType::Ipv6 | DataType::Text => return None,
        // The number of a label, not its bit.
        DataType::CtLabel => return u8::try_from(number).ok().and_then(CtLabel::new).map(Value::CtLabel),
        DataType::Date => number.checked_mul(1_000_000_000)?,
        DataType::Duration => number.checked_mul(1000)?,
        _ => number,
    };
    Value::of_number(number, of)
}

/// Reads an hour, `17:30` or `17:30:05`, as a second of the day.
fn hour(text: &str) -> Option<u32> {
    let mut parts = text.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    (parts.next().is_none() && hours < 24 && minutes < 60 && seconds < 60)
        .then_some(3600 * hours + 60 * minutes + seconds)
}

/// Reads a moment in UTC, `2020-01-31 10:00:00` or the day alone, in nanoseconds since 1970.
fn date(text: &str) -> Option<u64> {
    let (day, time) = text.split_once(' ').unwrap_or((text, "00:00"));
    let mut parts = day.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some()
        || !(1970..=2500).contains(&year)
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    // Years that start in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + u64::from(hour(time)?)) * 1_000_000_000)
}

fn ether(text: &str) -> Option<EtherAddr> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(EtherAddr(bytes))
}

/// Reads a class of traffic control, `1:2` in hexadecimal.
fn class(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    let [major, minor] =
        [major, minor].map(|part| if part.is_empty() { Some(0) } else { u16::from_str_radix(part, 16).ok() });
    Some(u32::from(major?) << 16 | u32::from(minor?))
}

/// Returns whether constants of this type are sets of bits, of which a list means any.
pub(super) fn is_bits(of: DataType) -> bool {
    matches!(of, DataType::CtEvent | DataType::CtLabel | DataType::CtState | DataType::CtStatus | DataType::TcpFlags)
}

/// Returns the union of the bits of two constants.
pub(super) fn either(one: &Value, other: &Value) -> Option<Value> {
    Some(match (one, other) {
        (Value::CtEvent(one), Value::CtEvent(other)) => Value::CtEvent(*one | *other),
        (Value::CtLabel(one), Value::CtLabel(other)) => Value::CtLabel(CtLabel::from_bits(one.bits() | other.bits())),
        (Value::CtState(one), Value::CtState(other)) => Value::CtState(*one | *other),
        (Value::CtStatus(one), Value::CtStatus(other)) => Value::CtStatus(*one | *other),
        (Value::TcpFlags(one), Value::TcpFlags(other)) => Value::TcpFlags(*one | *other),
        (Value::Mark(one), Value::Mark(other)) => Value::Mark(one | other),
        (Value::Integer(one), Value::Integer(other)) => Value::Integer(one | other),
        _ => return None,
    })
}

/// Returns all values with the same first bits.
pub(super) fn prefix(value: &Value, length: u8) -> Option<Interval> {
    Some(match value {
        Value::Ipv4(address) => Ipv4Network::new(*address, length).ok()?.into(),
        Value::Ipv6(address) => Ipv6Network::new(*address, length).ok()?.into(),
        Value::Mark(mark) => {
            let mask = u32::MAX.checked_shr(length.into()).unwrap_or(0);
            Interval { low: Value::Mark(mark & !mask), high: Value::Mark(mark | mask) }
        }
        _ => return None,
    })
}

/// Returns what a constant of that type looks like.
pub(super) fn wanted(of: DataType) -> String {
    let named = |what: &str, of| {
        let names = names::constants(of);
        let few: Vec<&str> = names.iter().copied().take(MOST_NAMES).collect();
        let more = if names.len() > few.len() { ", ..." } else { "" };
        format!("{what} ({}{more})", few.join(", "))
    };
    match of {
        DataType::AddrType => named("a kind of address", of),
        DataType::CgroupV2 => "the path of a control group that the resolver knows, or its number".to_owned(),
        DataType::CtDirection => named("a direction", of),
        DataType::CtEvent => named("events of a connection", of),
        DataType::CtLabel => "labels of 0 to 127".to_owned(),
        DataType::CtState => named("connection states", of),
        DataType::CtStatus => named("status bits of a connection", of),
        DataType::Gid => "a group, by number or by a name that the resolver knows".to_owned(),
        DataType::IcmpType => named("an ICMP type or 0 to 255", of),
        DataType::Icmpv6Type => named("an ICMPv6 type or 0 to 255", of),
        DataType::Ifindex => "an interface, by index or by a name that the resolver knows".to_owned(),
        DataType::Ifname => "the name of an interface, or its start and *".to_owned(),
        DataType::Integer { bytes: 1 } | DataType::NetworkInteger { bytes: 1 } => "a number of 0 to 255".to_owned(),
        DataType::Integer { bytes: 2 } | DataType::NetworkInteger { bytes: 2 } => "a number of 0 to 65535".to_owned(),
        DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => format!("a number of {bytes} bytes"),
        DataType::Ipv4 => "an IPv4 address".to_owned(),
        DataType::Ipv6 => "an IPv6 address".to_owned(),
        DataType::Mark => "a mark of 0 to 0xffffffff".to_owned(),
        DataType::Nfproto => named("a family", of),
        DataType::PktType => named("a packet type", of),
        DataType::Port => "a port of 0 to 65535 or a service that the resolver knows".to_owned(),
        DataType::Protocol => named("a protocol or 0 to 255", of),
        DataType::TcpFlags => named("TCP flags", of),
        DataType::Uid => "a user, by number or by a name that the resolver knows".to_owned(),
        DataType::Classid => "a class such as 1:2, none or root".to_owned(),
        DataType::Date => "a moment such as \"2020-01-31 10:00:00\"".to_owned(),
        DataType::Duration => "a time such as 30s or 1h30m".to_owned(),
        DataType::EtherAddr => "an Ethernet address such as 00:11:22:33:44:55".to_owned(),
        DataType::Hour => "an hour such as \"17:30\"".to_owned(),
        DataType::Text => "a text in quotes".to_owned(),
        of if names::constants(of).is_empty() => format!("a number of type {of}"),
        of => named("a number", of),
    }
}

/// A name with a wildcard may have one more.
const MOST_OF_A_NAME: usize = 15;
const MOST_NAMES: usize = 12;
