//! mark, comment, addrtype, pkttype, limit, length, cgroup, socket, iprange: the packet and its
//! socket.

use super::super::address::{self, Side};
use super::super::error::{Fault, Shown};
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::raw;
use super::super::value::{mark_match, matching, number, operand, range, short};
use super::super::words::Piece;
use crate::bytecode::{CmpOp, FibFlags, xtables};
use crate::model::{
    AddrType, Field, IntoOperand, IpFamily, Limit, LimitUnit, Operand, PktType, Statement, Value, kind,
};

pub(super) fn mark(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.matches(mark_match(instance.required("--mark")?, Field::Mark)?);
    Ok(())
}

pub(super) fn comment(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.comment(instance.required("--comment")?.piece().text);
    Ok(())
}

/// Reads addrtype: addrtype_mt_v1, net/netfilter/xt_addrtype.c.
pub(super) fn addrtype(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let interface = match (instance.get("--limit-iface-in"), instance.get("--limit-iface-out")) {
        (Some(_), Some(given)) => {
            let what = "--limit-iface-in and --limit-iface-out exclude each other; remove one";
            return Err(Fault::wrong(given.at, what));
        }
        (Some(given), None) => Some((given, FibFlags::IIF)),
        (None, Some(given)) => Some((given, FibFlags::OIF)),
        (None, None) => None,
    };
    let ends =
        [("--src-type", Field::FibSaddrType, FibFlags::SADDR), ("--dst-type", Field::FibDaddrType, FibFlags::DADDR)];
    if !ends.iter().any(|(name, ..)| instance.has(name)) {
        return Err(instance.wrong("needs --src-type or --dst-type"));
    }
    for (name, field, end) in ends {
        let Some(given) = instance.get(name) else { continue };
        // addrtype_mt6: other types depend on the address there, and on its route in nft.
        let is_local = |text: &str| !text.is_empty() && "LOCAL".starts_with(&text.to_ascii_uppercase());
        if making.family == IpFamily::Ipv6 && !is_local(given.piece().text) {
            let what = "of IPv6 only LOCAL can be asked for, and alone; match the address instead";
            return Err(instance.unknown(given.piece().at, what));
        }
        let kinds = given.piece().list().map(address_type).collect::<Result<Vec<_>, _>>()?;
        match (interface, kinds.as_slice()) {
            (None, [one]) => {
                making.matches(matching(field, given.not, Operand::Value(Value::AddrType(*one))));
            }
            (None, several) => {
                let operand = IntoOperand::<AddrType>::into_operand(several.to_vec());
                making.matches(matching(field, given.not, operand));
            }
            (Some((_, interface)), [one]) if making.family == IpFamily::Ipv4 => {
                let op = if given.not { CmpOp::Ne } else { CmpOp::Eq };
                let flags = FibFlags(end.0 | interface.0);
                making.statement(raw::program(xtables::address_type(flags, op, *one)));
            }
            (Some((limit, _)), _) => {
                let what = format!("with {} only one type of IPv4 can be asked for; write a rule for each", limit.name);
                return Err(instance.unknown(limit.at, what));
            }
        }
    }
    Ok(())
}

fn address_type(piece: Piece<'_>) -> Result<AddrType, Fault> {
    // The first name with this beginning, as in iptables(8).
    let word = piece.text.to_ascii_uppercase();
    let known = ADDRESS_TYPES.iter().find(|(name, _)| !word.is_empty() && name.starts_with(&word));
    known.map(|(_, kind)| AddrType(*kind)).ok_or_else(|| {
        let names: Vec<_> = ADDRESS_TYPES.iter().map(|(name, _)| *name).collect();
        piece.wrong(format!("unknown address type {}; there are {}", Shown(piece.text), names.join(", ")))
    })
}

/// `RTN_*`, include/uapi/linux/rtnetlink.h, as iptables calls them.
const ADDRESS_TYPES: [(&str, u32); 12] = [
    ("UNSPEC", 0),
    ("UNICAST", 1),
    ("LOCAL", 2),
    ("BROADCAST", 3),
    ("ANYCAST", 4),
    ("MULTICAST", 5),
    ("BLACKHOLE", 6),
    ("UNREACHABLE", 7),
    ("PROHIBIT", 8),
    ("THROW", 9),
    ("NAT", 10),
    ("XRESOLVE", 11),
];

pub(super) fn pkttype(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let given = instance.required("--pkt-type")?;
    let piece = given.piece();
    let kind = match &*piece.text.to_ascii_lowercase() {
        "unicast" | "host" => PktType::HOST,
        "broadcast" => PktType::BROADCAST,
        "multicast" => PktType::MULTICAST,
        _ => {
            let what = format!("unknown packet type {}; there are unicast, broadcast, multicast", Shown(piece.text));
            return Err(piece.wrong(what));
        }
    };
    making.matches(matching(Field::PktType, given.not, Operand::Value(Value::PktType(kind))));
    Ok(())
}

pub(super) fn limit(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let limit = match instance.get("--limit") {
        Some(given) => rate(given.piece())?,
        None => Limit::packets(3, LimitUnit::Hour),
    };
    let burst = instance.get("--limit-burst");
    let burst = burst.map(|given| number(given.piece(), "burst", 1, 10_000)).transpose()?;
    making.remembering("limit", Statement::Limit(limit.burst(burst.unwrap_or(5))));
    Ok(())
}

fn rate(piece: Piece<'_>) -> Result<Limit, Fault> {
    let (count, unit) = piece.split('/').unwrap_or((piece, Piece { text: "second", at: piece.at }));
    let units = [
        ("second", LimitUnit::Second),
        ("minute", LimitUnit::Minute),
        ("hour", LimitUnit::Hour),
        ("day", LimitUnit::Day),
    ];
    let named = |name: &str| !unit.text.is_empty() && name.starts_with(&*unit.text.to_ascii_lowercase());
    let Some((_, per)) = units.into_iter().find(|(name, _)| named(name)) else {
        let what = format!("unknown unit of time {}; there are second, minute, hour, day", Shown(unit.text));
        return Err(unit.wrong(what));
    };
    // XT_LIMIT_SCALE, include/uapi/linux/netfilter/xt_limit.h: a rate is kept as the time between
    // packets in tenths of a millisecond.
    let most = u32::try_from(10_000 * per.seconds()).unwrap_or(u32::MAX);
    Ok(Limit::packets(number(count, "rate", 1, most)?.into(), per))
}

pub(super) fn length(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let given = instance.required("--length")?;
    let bytes = |piece: Piece<'_>| short(piece, "length").map(u32::from);
    let range = range(given.piece(), ':', Some((0, u16::MAX.into())), bytes)?;
    making.matches(matching(Field::Length, given.not, operand::<kind::Integer, _>(range)));
    Ok(())
}

pub(super) fn cgroup(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    if let Some(given) = instance.get("--path") {
        return Err(instance.unknown(given.at, "a group by its path is not known here; give its number with --cgroup"));
    }
    let given = instance.required("--cgroup")?;
    let class = number(given.piece(), "control group", 0, u32::MAX)?;
    making.matches(matching(Field::Cgroup, given.not, Operand::Value(Value::Integer(class))));
    Ok(())
}

/// Reads socket: without `--nowildcard`, a socket that listens on every address does not count
/// (xt_socket.c).
pub(super) fn socket(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    if let Some(given) = instance.get("--restore-skmark") {
        return Err(instance.unknown(given.at, "it would set the mark on its way; write -j MARK instead"));
    }
    let (transparent, nowildcard) = (instance.has("--transparent"), instance.has("--nowildcard"));
    if !transparent && nowildcard {
        return Err(
            instance.unknown(instance.at, "whether there is a socket at all cannot be asked; add --transparent")
        );
    }
    let flag = |field, value| matching(field, false, Operand::Value(Value::Integer(value)));
    if transparent {
        making.matches(flag(Field::SocketTransparent, 1));
    }
    if !nowildcard {
        making.matches(flag(Field::SocketWildcard, 0));
    }
    Ok(())
}

pub(super) fn iprange(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    if instance.given.is_empty() {
        return Err(instance.wrong("needs --src-range or --dst-range"));
    }
    for (name, side) in [("--src-range", Side::Source), ("--dst-range", Side::Destination)] {
        let Some(given) = instance.get(name) else { continue };
        let ends = range(given.piece(), '-', None, |piece| address::address(piece, making.family))?;
        let (low, high) = (address::constant(*ends.start()), address::constant(*ends.end()));
        let operand = if low == high { Operand::Value(low) } else { Operand::Range(low, high) };
        making.matches(matching(address::field(side, making.family), given.not, operand));
    }
    Ok(())
}
