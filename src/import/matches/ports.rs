//! tcp, udp, sctp, multiport, icmp, icmp6: the transport header.

use std::ops::RangeInclusive;

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Instance};
use super::super::making::Making;
use super::super::raw;
use super::super::value::{matching, number, port, port_match, range};
use super::super::words::Piece;
use crate::model::{
    Field, IcmpType, Icmpv6Type, IntoOperand, Match, Operand, Protocol, Statement, TcpFlags, Value, kind,
};

pub(super) fn tcp(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    both_ports(instance, making, Protocol::TCP, [Field::TcpSport, Field::TcpDport])?;
    if let Some(given) = instance.get("--tcp-flags") {
        let (mask, set) = (flags(given.piece())?, flags(given.second())?);
        if !mask.contains(set) {
            let what = "flags that are not looked at are never set; name them in the first list too";
            return Err(given.second().wrong(what));
        }
        making.matches(of_flags(given, mask, set));
    }
    if let Some(given) = instance.get("--syn") {
        let mask = TcpFlags::FIN | TcpFlags::SYN | TcpFlags::RST | TcpFlags::ACK;
        making.matches(of_flags(given, mask, TcpFlags::SYN));
    }
    match instance.get("--tcp-option") {
        Some(given) => Err(instance.unknown(given.at, "nothing here looks at TCP options; remove --tcp-option")),
        None => Ok(()),
    }
}

fn of_flags(given: &Given<'_>, mask: TcpFlags, value: TcpFlags) -> Match {
    let (mask, value) = (Value::TcpFlags(mask), Value::TcpFlags(value));
    matching(Field::TcpFlags, given.not, Operand::Masked { mask, value })
}

fn flags(piece: Piece<'_>) -> Result<TcpFlags, Fault> {
    piece.list().try_fold(TcpFlags::empty(), |flags, piece| {
        let flag = match &*piece.text.to_ascii_uppercase() {
            "FIN" => TcpFlags::FIN,
            "SYN" => TcpFlags::SYN,
            "RST" => TcpFlags::RST,
            "PSH" => TcpFlags::PSH,
            "ACK" => TcpFlags::ACK,
            "URG" => TcpFlags::URG,
            "ALL" => TcpFlags::from_bits_retain(0x3f),
            "NONE" => TcpFlags::empty(),
            _ => {
                let names = "FIN, SYN, RST, PSH, ACK, URG, ALL, NONE";
                let what = format!("unknown TCP flag {}; there are {names}", Shown(piece.text));
                return Err(piece.wrong(what));
            }
        };
        Ok(flags | flag)
    })
}

pub(super) fn udp(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    both_ports(instance, making, Protocol::UDP, [Field::UdpSport, Field::UdpDport])
}

pub(super) fn sctp(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    both_ports(instance, making, Protocol::SCTP, [Field::SctpSport, Field::SctpDport])?;
    match instance.get("--chunk-types") {
        Some(given) => Err(instance.unknown(given.at, "nothing here looks at chunks; remove --chunk-types")),
        None => Ok(()),
    }
}

fn both_ports(
    instance: &Instance<'_>,
    making: &mut Making,
    protocol: Protocol,
    [source, destination]: [Field; 2],
) -> Result<(), Fault> {
    protocol_of(instance, making, protocol)?;
    for (name, field) in [("--sport", source), ("--dport", destination)] {
        if let Some(given) = instance.get(name) {
            making.matches(port_match(given, field)?);
        }
    }
    Ok(())
}

/// Fails unless `-p` names this protocol, whose header the extension reads.
fn protocol_of(instance: &Instance<'_>, making: &Making, protocol: Protocol) -> Result<(), Fault> {
    let at = Piece { text: "", at: instance.at };
    making.needs_protocol(at, &format!("match {}", instance.extension.name), &[protocol]).map(drop)
}

pub(super) fn multiport(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    const WITH_PORTS: [Protocol; 5] = [Protocol::TCP, Protocol::UDP, Protocol::UDPLITE, Protocol::SCTP, Protocol::DCCP];
    let protocol = making.needs_protocol(Piece { text: "", at: instance.at }, "match multiport", &WITH_PORTS)?;
    let (source, destination) = match protocol {
        Protocol::TCP => (Field::TcpSport, Field::TcpDport),
        Protocol::UDP => (Field::UdpSport, Field::UdpDport),
        Protocol::SCTP => (Field::SctpSport, Field::SctpDport),
        Protocol::DCCP => (Field::DccpSport, Field::DccpDport),
        _ => (Field::UdpliteSport, Field::UdpliteDport),
    };
    let given = match instance.given.as_slice() {
        [one] => one,
        [] => return Err(instance.wrong("needs --sports, --dports or --ports")),
        [_, second, ..] => {
            let what = format!("{} and another list in one multiport; repeat -m multiport before it", second.name);
            return Err(Fault::wrong(second.at, what));
        }
    };
    let piece = given.piece();
    let ranges: Vec<_> = piece.list().map(|piece| range(piece, ':', None, port)).collect::<Result<_, _>>()?;
    let taken: usize = ranges.iter().map(|range| if range.start() == range.end() { 1 } else { 2 }).sum();
    if taken > MOST {
        let what = format!("{taken} ports, a range counted as two, where multiport takes {MOST}; split the rule");
        return Err(piece.wrong(what));
    }
    let matches = |field, not| matching(field, not, list(ranges.clone()));
    match (given.name, given.not) {
        ("--sports", not) => making.matches(matches(source, not)),
        ("--dports", not) => making.matches(matches(destination, not)),
        // Neither of the two ports.
        (_, true) => {
            making.matches(matches(source, true));
            making.matches(matches(destination, true));
        }
        (_, false) => {
            let first = vec![Statement::Match(matches(source, false))];
            let second = vec![Statement::Match(matches(source, true)), Statement::Match(matches(destination, false))];
            making.either([first, second]);
        }
    }
    Ok(())
}

/// `XT_MULTI_PORTS`, include/uapi/linux/netfilter/xt_multiport.h.
const MOST: usize = 15;

fn list(ranges: Vec<RangeInclusive<u16>>) -> Operand {
    match ranges.as_slice() {
        [one] if one.start() == one.end() => IntoOperand::<kind::Port>::into_operand(*one.start()),
        _ => IntoOperand::<kind::Port>::into_operand(ranges),
    }
}

/// Reads icmp: type 255 is every type, with any code (icmp_match, net/netfilter/xt_tcpudp.c).
pub(super) fn icmp(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    protocol_of(instance, making, Protocol::ICMP)?;
    let given = instance.required("--icmp-type")?;
    let is = |kind, not| matching(Field::IcmpType, not, Operand::Value(Value::IcmpType(IcmpType(kind))));
    match message(given.piece(), ICMP)? {
        // No ICMP message lacks a type.
        (ANY, _) if given.not => [is(0, false), is(0, true)].into_iter().for_each(|half| making.matches(half)),
        (ANY, _) => {}
        (kind, None) => making.matches(is(kind, given.not)),
        (kind, Some(code)) => making.statement(raw::icmp(given.not, kind, code)),
    }
    Ok(())
}

const ANY: u8 = 255;

pub(super) fn icmpv6(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    protocol_of(instance, making, Protocol::ICMPV6)?;
    let given = instance.required("--icmpv6-type")?;
    match message(given.piece(), ICMPV6)? {
        (kind, None) => {
            let kind = Operand::Value(Value::Icmpv6Type(Icmpv6Type(kind)));
            making.matches(matching(Field::Icmpv6Type, given.not, kind));
        }
        (kind, Some(code)) => making.statement(raw::icmp(given.not, kind, code)),
    }
    Ok(())
}

/// Reads a type and an optional code, by name or number.
fn message(piece: Piece<'_>, names: &[(&str, u8, Option<u8>)]) -> Result<(u8, Option<u8>), Fault> {
    let byte = |piece: Piece<'_>, what: &str| {
        let number = number(piece, what, 0, u8::MAX.into())?;
        Ok(u8::try_from(number).unwrap_or(u8::MAX))
    };
    let named = names.iter().find(|(name, _, _)| name.eq_ignore_ascii_case(piece.text)).or_else(|| {
        // An unambiguous beginning of a name suffices.
        let begins =
            |name: &str| name.get(..piece.text.len()).is_some_and(|start| start.eq_ignore_ascii_case(piece.text));
        let mut begun = names.iter().filter(|(name, _, _)| !piece.text.is_empty() && begins(name));
        let first = begun.next()?;
        begun.next().is_none().then_some(first)
    });
    match (named, piece.split('/')) {
        (Some((_, kind, code)), _) => Ok((*kind, *code)),
        (None, Some((kind, code))) => Ok((byte(kind, "type")?, Some(byte(code, "code")?))),
        (None, None) => Ok((byte(piece, "type or name of a type")?, None)),
    }
}

/// The names of `iptables -p icmp -h`.
const ICMP: &[(&str, u8, Option<u8>)] = &[
    ("any", ANY, None),
    ("echo-reply", 0, None),
    ("pong", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-route-failed", 3, Some(5)),
    ("network-unknown", 3, Some(6)),
    ("host-unknown", 3, Some(7)),
    ("network-prohibited", 3, Some(9)),
    ("host-prohibited", 3, Some(10)),
    ("TOS-network-unreachable", 3, Some(11)),
    ("TOS-host-unreachable", 3, Some(12)),
    ("communication-prohibited", 3, Some(13)),
    ("host-precedence-violation", 3, Some(14)),
    ("precedence-cutoff", 3, Some(15)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("network-redirect", 5, Some(0)),
    ("host-redirect", 5, Some(1)),
    ("TOS-network-redirect", 5, Some(2)),
    ("TOS-host-redirect", 5, Some(3)),
    ("echo-request", 8, None),
    ("ping", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("parameter-problem", 12, None),
    ("ip-header-bad", 12, Some(0)),
    ("required-option-missing", 12, Some(1)),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("address-mask-request", 17, None),
    ("address-mask-reply", 18, None),
];

/// The names of `ip6tables -p icmpv6 -h`.
const ICMPV6: &[(&str, u8, Option<u8>)] = &[
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("communication-prohibited", 1, Some(1)),
    ("beyond-scope", 1, Some(2)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("failed-policy", 1, Some(5)),
    ("reject-route", 1, Some(6)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-exceeded", 3, None),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("parameter-problem", 4, None),
    ("bad-header", 4, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
    ("echo-request", 128, None),
    ("ping", 128, None),
    ("echo-reply", 129, None),
    ("pong", 129, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-advertisement", 136, None),
    ("neighbor-advertisement", 136, None),
    ("redirect", 137, None),
];
