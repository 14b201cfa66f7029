//! Values of options: numbers, ports, protocols, marks, names of interfaces.

use std::ops::RangeInclusive;

use super::error::{Fault, Shown};
use super::extension::Given;
use super::words::Piece;
use crate::model::{Field, IfName, IntoOperand, Masked, Match, Op, Operand, Protocol, Value, kind, masked};

/// Returns a match that `field` is the operand, or is not when `not`.
pub(super) fn matching(field: Field, not: bool, operand: Operand) -> Match {
    Match::new(field, if not { Op::Ne } else { Op::Eq }, operand)
}

/// Parses a number as strtoul(3) with base 0: `0x` is hexadecimal, a leading 0 octal.
fn parse(text: &str) -> Option<u64> {
    let digits = |text: &str, radix| {
        let plain = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        u64::from_str_radix(text, radix).ok().filter(|_| plain)
    };
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(text) => digits(text, 16),
        None if text.len() > 1 && text.starts_with('0') => digits(text.get(1..)?, 8),
        None => digits(text, 10),
    }
}

/// Parses a number within these bounds.
pub(super) fn number(piece: Piece<'_>, what: &str, least: u32, most: u32) -> Result<u32, Fault> {
    let number = parse(piece.text).and_then(|number| u32::try_from(number).ok());
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        piece.wrong(format!("{} is not a valid {what}; give a number from {least} to {most}", Shown(piece.text)))
    })
}

/// Parses a number of 16 bits.
pub(super) fn short(piece: Piece<'_>, what: &str) -> Result<u16, Fault> {
    let number = number(piece, what, 0, u16::MAX.into())?;
    u16::try_from(number).map_err(|_| piece.wrong("does not fit 16 bits"))
}

/// Parses a number of packets or bytes.
pub(super) fn count(piece: Piece<'_>) -> Result<u64, Fault> {
    let plain = piece.text.starts_with(|c: char| c.is_ascii_digit());
    let count = piece.text.parse().ok().filter(|_| plain);
    count.ok_or_else(|| piece.wrong(format!("{} is not a number of packets or bytes", Shown(piece.text))))
}

/// Parses `[packets:bytes]`.
pub(super) fn counters(piece: Piece<'_>) -> Result<(u64, u64), Fault> {
    let inside = piece.text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inside = inside.map(|text| Piece { text, at: piece.at + 1 });
    let Some((packets, bytes)) = inside.and_then(|inside| inside.split(':')) else {
        return Err(piece.wrong(format!("{} are not counters; write [packets:bytes]", Shown(piece.text))));
    };
    Ok((count(packets)?, count(bytes)?))
}

/// Parses one value, or two ends with `separator` between them; with `open`, a missing end is the
/// first or last value.
pub(super) fn range<T: Copy + PartialOrd>(
    piece: Piece<'_>,
    separator: char,
    open: Option<(T, T)>,
    read: impl Fn(Piece<'_>) -> Result<T, Fault>,
) -> Result<RangeInclusive<T>, Fault> {
    let Some((low, high)) = piece.split(separator) else {
        let value = read(piece)?;
        return Ok(value..=value);
    };
    let end = |piece: Piece<'_>, least: Option<T>| match least {
        Some(least) if piece.text.is_empty() => Ok(least),
        _ => read(piece),
    };
    let ends = end(low, open.map(|open| open.0))?..=end(high, open.map(|open| open.1))?;
    if ends.start() > ends.end() {
        return Err(piece.wrong(format!("range {} ends before it starts; swap its ends", Shown(piece.text))));
    }
    Ok(ends)
}

/// Returns a range as an operand; one value when its ends are equal.
pub(super) fn operand<K, T>(range: RangeInclusive<T>) -> Operand
where
    T: Copy + PartialEq + IntoOperand<K>,
    RangeInclusive<T>: IntoOperand<K>,
{
    if range.start() == range.end() { IntoOperand::<K>::into_operand(*range.start()) } else { range.into_operand() }
}

/// Parses a port.
pub(super) fn port(piece: Piece<'_>) -> Result<u16, Fault> {
    short(piece, "port (names are not looked up)")
}

/// Parses a port or `low:high`, where an end may be missing.
pub(super) fn ports(piece: Piece<'_>) -> Result<RangeInclusive<u16>, Fault> {
    range(piece, ':', Some((0, u16::MAX)), port)
}

/// Returns a match of a port, with `low:high` and negation as given.
pub(super) fn port_match(given: &Given<'_>, field: Field) -> Result<Match, Fault> {
    Ok(matching(field, given.not, operand::<kind::Port, _>(ports(given.piece())?)))
}

/// Parses a number and, after a slash, a mask of 32 bits; without one, all bits count.
pub(super) fn mark(piece: Piece<'_>) -> Result<Masked<u32>, Fault> {
    let (value, mask) = match piece.split('/') {
        Some((value, mask)) => (value, number(mask, "mask", 0, u32::MAX)?),
        None => (piece, u32::MAX),
    };
    Ok(masked(number(value, "mark", 0, u32::MAX)?, mask))
}

/// Returns a match of a mark.
pub(super) fn mark_match(given: &Given<'_>, field: Field) -> Result<Match, Fault> {
    let piece = given.piece();
    let mark = mark(piece)?;
    if mark.value & !mark.mask != 0 {
        let what = format!(
            "mark {} has bits that its mask takes away, so no packet has it; widen the mask",
            Shown(piece.text)
        );
        return Err(piece.wrong(what));
    }
    let operand = if mark.mask == u32::MAX {
        IntoOperand::<kind::Mark>::into_operand(mark.value)
    } else {
        IntoOperand::<kind::Mark>::into_operand(mark)
    };
    Ok(matching(field, given.not, operand))
}

/// Parses a protocol by name or number; `None` means all.
pub(super) fn protocol(given: &Given<'_>) -> Result<Option<Protocol>, Fault> {
    let piece = given.piece();
    let name = piece.text.to_ascii_lowercase();
    let named = PROTOCOLS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
    let number = named.or_else(|| parse(piece.text).and_then(|number| u8::try_from(number).ok()));
    match number {
        Some(0) if given.not => Err(piece.wrong("! with every protocol matches no packet; name one, or remove -p")),
        Some(0) => Ok(None),
        Some(number) => Ok(Some(Protocol(number))),
        None => {
            let what =
                format!("unknown protocol {}; give its number, 0 to 255, or a name such as tcp", Shown(piece.text));
            Err(piece.wrong(what))
        }
    }
}

/// Returns a match of an interface, or with a trailing `+` of all names with that prefix; `None`
/// for all.
pub(super) fn interface(given: &Given<'_>, field: Field) -> Result<Option<Match>, Fault> {
    let piece = given.piece();
    let name = match piece.text.strip_suffix('+') {
        Some("") if given.not => {
            return Err(piece.wrong("! with every interface matches no packet; name one, or remove the option"));
        }
        Some("") => return Ok(None),
        Some(prefix) => IfName::from(format!("{prefix}*")),
        None => match piece.text.strip_suffix('*') {
            Some(stem) => IfName::from(format!("{stem}\\*")),
            None => IfName::from(piece.text),
        },
    };
    let fault = if piece.text.len() > IfName::MAX {
        Some("is longer than the 15 bytes of an interface name")
    } else {
        name.fault()
    };
    if let Some(fault) = fault {
        return Err(piece.wrong(format!("interface {} {fault}; correct it", Shown(piece.text))));
    }
    Ok(Some(matching(field, given.not, Operand::Value(Value::Ifname(name)))))
}

/// The names built into iptables(8), and those of /etc/protocols on Debian, which it prints for
/// all other protocols.
const PROTOCOLS: &[(&str, u8)] = &[
    ("all", 0),
    ("tcp", 6),
    ("udp", 17),
    ("icmp", 1),
    ("icmpv6", 58),
    ("icmp6", 58),
    ("mobility-header", 135),
    ("ipv6-mh", 135),
    ("mh", 135),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_strtoul_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("10", Some(10)),
            ("0x1f", Some(31)),
            ("0X1F", Some(31)),
            ("017", Some(15)),
            ("08", None),
            ("", None),
            ("0x", None),
            ("+1", None),
            ("-1", None),
            ("0x+1", None),
            (" 1", None),
            ("1a", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
