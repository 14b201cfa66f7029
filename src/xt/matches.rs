//! Matches: net/netfilter/xt_*.c, v6.12.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::info::Info;
use super::questions::{self, OF_CONNECTION};
use super::{Asked, Extension, Meaning, XtOwner, code, when};
use crate::bytecode::{BitwiseCode, Bytes, CmpOp, Expr, FibFlags, PayloadBase, Register, xtables};
use crate::model::{
    AddrType, CtDirection, CtState, CtStatus, Field, IntoOperand, IpFamily, Operand, PktType, Statement, Value, kind,
};

type Lists = Vec<Vec<Statement>>;

/// Returns the meaning of a match that asks a question or always has the same result.
fn asks(read: Result<Asked, bool>) -> Meaning {
    match read {
        Ok(asked) => Meaning::Asks(vec![asked]),
        Err(holds) => Meaning::Lists(if holds { all([]) } else { Vec::new() }),
    }
}

pub(super) fn read(name: &str, revision: u32, info: Info<'_>, family: Option<IpFamily>) -> Option<Meaning> {
    let lists = match (name, revision) {
        ("addrtype", 1) => all(address_type(info.sized(8)?, family?)?),
        ("comment", 0) => all([]),
        ("dscp", 0) => all([code_point(info.sized(2)?, family?)?]),
        ("hl", 0) if family? == IpFamily::Ipv6 => all([hops(info.sized(2)?, IpFamily::Ipv6)?]),
        ("length", 0) => all([length(info.sized(6)?)?]),
        ("ttl", 0) if family? == IpFamily::Ipv4 => all([hops(info.sized(2)?, IpFamily::Ipv4)?]),
        ("connmark", 1) => all([mark(info.sized(12)?, Field::CtMark)?]),
        ("conntrack", 3) => return conntrack(info.sized(164)?, family),
        ("icmp", 0) if family? == IpFamily::Ipv4 => message(info.sized(4)?, Some(ANY_TYPE))?,
        ("icmp6", 0) if family? == IpFamily::Ipv6 => message(info.sized(4)?, None)?,
        ("iprange", 1) => all(address_range(info.sized(65)?, family?)?),
        ("mark", 1) => all([mark(info.sized(12)?, Field::Mark)?]),
        ("multiport", 1) => multiport(info.sized(48)?)?,
        ("owner", 1) => return owner(info.sized(20)?).map(Meaning::Owner),
        ("physdev", 0) => return questions::bridge_port(info.sized(66)?).map(|asked| asks(Ok(asked))),
        ("pkttype", 0) => all([packet_type(info.sized(8)?)?]),
        ("recent", 0) => return questions::recent(info.sized(212)?).map(asks),
        ("recent", 1) => return questions::recent(info.sized(228)?).map(asks),
        ("rpfilter", 0) => return questions::reverse_path(info.sized(1)?).map(|asked| asks(Ok(asked))),
        ("sctp", 0) => all(sctp(info.sized(292)?)?),
        ("set", 1..=4) => return questions::set(info).map(|asked| asks(Ok(asked))),
        ("statistic", 0) => return questions::statistic(info.sized(24)?).map(asks),
        ("tcp", 0) => all(tcp(info.sized(12)?)?),
        ("tcpmss", 0) => return questions::segment(info.sized(6)?).map(|asked| asks(Ok(asked))),
        ("udp", 0) => all(udp(info.sized(10)?)?),
        _ => return None,
    };
    Some(Meaning::Lists(lists))
}

fn all(statements: impl Into<Vec<Statement>>) -> Lists {
    vec![statements.into()]
}

/// Reads a `bool` of the kernel.
fn is_negated(info: &mut Info<'_>) -> Option<bool> {
    info.u8().map(|negated| negated != 0)
}

/// mark_mt and connmark_mt; the latter matches nothing without a connection, like `ct mark`.
fn mark(mut info: Info<'_>, field: Field) -> Option<Statement> {
    let (value, mask, not) = (info.u32()?, info.u32()?, is_negated(&mut info)?);
    Some(when(field, not, Operand::Masked { mask: Value::Mark(mask), value: Value::Mark(value) }))
}

/// tcp_mt, xt_tcpudp.c. The rest of the rule has to check that the packet is TCP.
fn tcp(mut info: Info<'_>) -> Option<Vec<Statement>> {
    let (source, destination) = ([info.u16()?, info.u16()?], [info.u16()?, info.u16()?]);
    let [option, mask, flags, negated] = [info.u8()?, info.u8()?, info.u8()?, info.u8()?];
    if option != 0 || negated & !(SOURCE | DESTINATION | FLAGS) != 0 {
        return None;
    }
    let mut statements = both_ports(source, destination, negated)?;
    if mask != 0 || flags != 0 || negated & FLAGS != 0 {
        let op = if negated & FLAGS != 0 { CmpOp::Ne } else { CmpOp::Eq };
        let reg = Register::FIRST;
        let [mask, xor, data] = [mask, 0, flags].map(|byte| Bytes::from_slice(&[byte]));
        let load = Expr::Payload { base: PayloadBase::TRANSPORT, offset: 13, len: 1, dreg: reg };
        let kept = Expr::Bitwise(BitwiseCode { reg, mask, xor });
        statements.push(code("tcp flags", vec![load, kept, Expr::Cmp { sreg: reg, op, data }]));
    }
    Some(statements)
}

/// udp_mt, xt_tcpudp.c.
fn udp(mut info: Info<'_>) -> Option<Vec<Statement>> {
    let (source, destination, negated) = ([info.u16()?, info.u16()?], [info.u16()?, info.u16()?], info.u8()?);
    if negated & !(SOURCE | DESTINATION) != 0 {
        return None;
    }
    both_ports(source, destination, negated)
}

// XT_TCP_INV_* and XT_UDP_INV_*, xt_tcpudp.h
const SOURCE: u8 = 1;
const DESTINATION: u8 = 2;
const FLAGS: u8 = 4;

fn both_ports(source: [u16; 2], destination: [u16; 2], negated: u8) -> Option<Vec<Statement>> {
    let mut statements = Vec::new();
    for (field, [low, high], negation) in [(Field::ThSport, source, SOURCE), (Field::ThDport, destination, DESTINATION)]
    {
        let not = negated & negation != 0;
        match (low, high) {
            (0, u16::MAX) if !not => {}
            _ if low > high => return None,
            _ => statements.push(ports(field, not, vec![low..=high])),
        }
    }
    Some(statements)
}

/// icmp_match and icmp6_match, xt_tcpudp.c: a type, and a range of its codes. The rest of the rule
/// has to check that the packet is such a message. If the type is `any`, every type and code
/// matches.
fn message(mut info: Info<'_>, any: Option<u8>) -> Option<Lists> {
    let [kind, low, high, negated] = [info.u8()?, info.u8()?, info.u8()?, info.u8()?];
    let not = match negated {
        0 => false,
        NOT_MESSAGE => true,
        _ => return None,
    };
    if any == Some(kind) {
        // Negated, "any type" matches no message: no list.
        return Some(if not { Vec::new() } else { all([]) });
    }
    if low > high {
        return None;
    }
    let load = Expr::Payload { base: PayloadBase::TRANSPORT, offset: 0, len: 2, dreg: Register::FIRST };
    let [low, high] = [low, high].map(|code| Bytes::from_slice(&[kind, code]));
    let op = if not { CmpOp::Ne } else { CmpOp::Eq };
    Some(all([code("icmp type and code", vec![load, Expr::Range { sreg: Register::FIRST, op, low, high }])]))
}

/// The type that matches all types, `icmp_type_code_match`.
const ANY_TYPE: u8 = 0xff;
/// `IPT_ICMP_INV` and `IP6T_ICMP_INV`, ip_tables.h and ip6_tables.h.
const NOT_MESSAGE: u8 = 1;

fn ports(field: Field, not: bool, mut ranges: Vec<RangeInclusive<u16>>) -> Statement {
    ranges.sort_by_key(|range| *range.start());
    let mut apart: Vec<RangeInclusive<u16>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start() <= last.end() => *last = *last.start()..=*last.end().max(range.end()),
            _ => apart.push(range),
        }
    }
    let operand = match apart.as_slice() {
        [one] if one.start() == one.end() => Operand::Value(Value::Port(*one.start())),
        _ => IntoOperand::<kind::Port>::into_operand(apart),
    };
    when(field, not, operand)
}

/// ports_match_v1, xt_multiport.c.
fn multiport(mut info: Info<'_>) -> Option<Lists> {
    let (which, count) = (info.u8()?, usize::from(info.u8()?));
    let mut numbers = [0; MOST_PORTS];
    for number in &mut numbers {
        *number = info.u16()?;
    }
    let mut begins = [false; MOST_PORTS];
    for begins in &mut begins {
        *begins = info.u8()? != 0;
    }
    let not = is_negated(&mut info)?;
    let (mut ranges, mut all_of_them) = (Vec::new(), numbers.get(..count)?.iter().zip(begins));
    while let Some((low, begins)) = all_of_them.next() {
        // A port that begins a range is followed by the range's end.
        let high = if begins { all_of_them.next()?.0 } else { low };
        ranges.push((low <= high).then_some(*low..=*high)?);
    }
    let is = |field, not| ports(field, not, ranges.clone());
    match (which, not) {
        _ if ranges.is_empty() => None,
        (0, not) => Some(all([is(Field::ThSport, not)])),
        (1, not) => Some(all([is(Field::ThDport, not)])),
        (2, false) => Some(vec![vec![is(Field::ThSport, false)], vec![is(Field::ThDport, false)]]),
        (2, true) => Some(all([is(Field::ThSport, true), is(Field::ThDport, true)])),
        _ => None,
    }
}

/// `XT_MULTI_PORTS`, xt_multiport.h.
const MOST_PORTS: usize = 15;

/// conntrack_mt, xt_conntrack.c: a packet without a connection can only match by its state; the
/// other conditions are not checked then.
fn conntrack(info: Info<'_>, family: Option<IpFamily>) -> Option<Meaning> {
    let mut fields = info;
    // Addresses, expiry, protocol, ports.
    fields.skip(146)?;
    let [asked, negated, states, status] = [fields.u16()?, fields.u16()?, fields.u16()?, fields.u16()?];
    let known = STATE | STATUS | DIRECTION;
    if asked & !(known | OF_CONNECTION | STATE_ALIAS) != 0 || asked & (known | OF_CONNECTION) == 0 {
        return None;
    }
    if asked & known == 0 {
        return questions::of_connection(info, family).map(Meaning::Asks);
    }
    let (is, not) = (|part| asked & part != 0, |part| negated & part != 0);
    let mut rest = Vec::new();
    if is(DIRECTION) {
        let direction = if not(DIRECTION) { CtDirection::Reply } else { CtDirection::Original };
        rest.push(when(Field::CtDirection, false, Operand::Value(Value::CtDirection(direction))));
    }
    if is(STATUS) {
        let bits = CtStatus::from_bits_retain(status.into());
        rest.push(when(Field::CtStatus, not(STATUS), Operand::Flags(Value::CtStatus(bits))));
    }
    if asked & OF_CONNECTION != 0 {
        rest.push(part_of_conntrack(info, asked & OF_CONNECTION)?);
    }
    if !is(STATE) {
        return Some(Meaning::Lists(vec![rest]));
    }
    let (states, translated) = states_of(states)?;
    let without_connection = CtState::INVALID | CtState::UNTRACKED;
    let in_state = |states| when(Field::CtState, false, Operand::Flags(Value::CtState(states)));
    let is_translated = |not| when(Field::CtStatus, not, Operand::Flags(Value::CtStatus(translated)));
    if rest.is_empty() && translated.is_empty() {
        let lists = all([when(Field::CtState, not(STATE), Operand::Flags(Value::CtState(states)))]);
        return Some(Meaning::Lists(lists));
    }
    let taken = if not(STATE) { ALL_STATES - states } else { states };
    let mut lists = vec![vec![in_state(taken & without_connection)]];
    let mut connected = vec![in_state(taken - without_connection)];
    if not(STATE) && !translated.is_empty() {
        connected.push(is_translated(true));
    }
    lists.push([connected, rest.clone()].concat());
    if !not(STATE) && !translated.is_empty() {
        lists.push([vec![is_translated(false)], rest].concat());
    }
    Some(Meaning::Lists(lists))
}

/// Returns the same match with only these of its conditions.
fn part_of_conntrack(info: Info<'_>, asked: u16) -> Option<Statement> {
    let mut bytes = info.rest().to_vec();
    bytes.get_mut(146..148)?.copy_from_slice(&asked.to_ne_bytes());
    let data = Extension { name: "conntrack".into(), revision: 3, info: &bytes }.write();
    Some(code("conntrack", vec![Expr::Opaque { name: "match".into(), data: data.into(), set: None }]))
}

/// Returns `XT_CONNTRACK_STATE_*` as states and status bits; `None` for bits that no packet has.
fn states_of(bits: u16) -> Option<(CtState, CtStatus)> {
    let (mut states, mut status) = (CtState::empty(), CtStatus::empty());
    for (bit, state) in [
        (1, CtState::INVALID),
        (1 << 1, CtState::ESTABLISHED),
        (1 << 2, CtState::RELATED),
        (1 << 3, CtState::NEW),
        (1 << 8, CtState::UNTRACKED),
    ] {
        states.set(state, bits & bit != 0);
    }
    status.set(CtStatus::SNAT, bits & 1 << 6 != 0);
    status.set(CtStatus::DNAT, bits & 1 << 7 != 0);
    (bits & !0b1_1100_1111 == 0).then_some((states, status))
}

const ALL_STATES: CtState =
    CtState::INVALID.union(CtState::ESTABLISHED).union(CtState::RELATED).union(CtState::NEW).union(CtState::UNTRACKED);
// XT_CONNTRACK_*, xt_conntrack.h; iptables sets the alias for `-m state`.
const STATE: u16 = 1;
const STATUS: u16 = 1 << 6;
const DIRECTION: u16 = 1 << 12;
const STATE_ALIAS: u16 = 1 << 13;

/// iprange_mt4 and iprange_mt6, xt_iprange.c.
fn address_range(mut info: Info<'_>, family: IpFamily) -> Option<Vec<Statement>> {
    let mut ends = [IpAddr::from([0; 4]); 4];
    for end in &mut ends {
        *end = info.address(family)?;
    }
    let ([from, to, first, last], flags) = (ends, info.u8()?);
    let (source, destination) = match family {
        IpFamily::Ipv4 => (Field::IpSaddr, Field::IpDaddr),
        IpFamily::Ipv6 => (Field::Ip6Saddr, Field::Ip6Daddr),
    };
    let value = |address| match address {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    };
    let mut statements = Vec::new();
    for (bit, field, low, high) in [(1, source, from, to), (2, destination, first, last)] {
        if flags & bit == 0 {
            continue;
        }
        let operand = match value(low) {
            _ if low > high => return None,
            low_value if low == high => Operand::Value(low_value),
            low_value => Operand::Range(low_value, value(high)),
        };
        statements.push(when(field, flags & bit << 4 != 0, operand));
    }
    (flags & !0x33 == 0 && !statements.is_empty()).then_some(statements)
}

/// match_packet and its caller, xt_sctp.c, without chunks.
fn sctp(mut info: Info<'_>) -> Option<Vec<Statement>> {
    let (destination, source) = ([info.u16()?, info.u16()?], [info.u16()?, info.u16()?]);
    // Chunks.
    info.skip(276)?;
    let (asked, negated) = (info.u32()?, info.u32()?);
    let [source, destination] =
        [(1, source), (2, destination)].map(|(bit, ports)| if asked & bit == 0 { [0, u16::MAX] } else { ports });
    let negated = u8::try_from(negated & asked).ok()?;
    if asked & !3 != 0 { None } else { both_ports(source, destination, negated) }
}

/// addrtype_mt_v1, xt_addrtype.c. For IPv6, only the type LOCAL is exact (match_lookup_rt6): the
/// other types differ from those of routing. With a limit to one interface, only one type of IPv4
/// is supported.
fn address_type(mut info: Info<'_>, family: IpFamily) -> Option<Vec<Statement>> {
    let (source, destination, flags) = (info.u16()?, info.u16()?, info.u32()?);
    let exact = match family {
        IpFamily::Ipv4 => (1 << ADDRESS_TYPES) - 1,
        IpFamily::Ipv6 => 1 << AddrType::LOCAL.0,
    };
    let interface = match flags & (LIMIT_IN | LIMIT_OUT) {
        0 => None,
        LIMIT_IN => Some(FibFlags::IIF),
        LIMIT_OUT => Some(FibFlags::OIF),
        _ => return None,
    };
    if flags & !(NOT_SOURCE | NOT_DESTINATION | LIMIT_IN | LIMIT_OUT) != 0 || source == 0 && destination == 0 {
        return None;
    }
    let mut statements = Vec::new();
    for (mask, negation, field, end) in [
        (source, NOT_SOURCE, Field::FibSaddrType, FibFlags::SADDR),
        (destination, NOT_DESTINATION, Field::FibDaddrType, FibFlags::DADDR),
    ] {
        if mask == 0 {
            continue;
        }
        if mask & !exact != 0 {
            return None;
        }
        let not = flags & negation != 0;
        let kinds: Vec<AddrType> = (0..ADDRESS_TYPES).filter(|kind| mask & 1 << kind != 0).map(AddrType).collect();
        statements.push(match (interface, kinds.as_slice()) {
            (None, [one]) => when(field, not, Operand::Value(Value::AddrType(*one))),
            (None, _) => when(field, not, IntoOperand::<AddrType>::into_operand(kinds)),
            (Some(interface), [one]) if family == IpFamily::Ipv4 => {
                let op = if not { CmpOp::Ne } else { CmpOp::Eq };
                code("address type", xtables::address_type(FibFlags(end.0 | interface.0), op, *one))
            }
            (Some(_), _) => return None,
        });
    }
    Some(statements)
}

/// `RTN_*` from 0 to `RTN_XRESOLVE`, include/uapi/linux/rtnetlink.h.
const ADDRESS_TYPES: u32 = 12;
// XT_ADDRTYPE_*, xt_addrtype.h
const NOT_SOURCE: u32 = 1;
const NOT_DESTINATION: u32 = 2;
const LIMIT_IN: u32 = 4;
const LIMIT_OUT: u32 = 8;

/// dscp_mt and dscp_mt6, xt_dscp.c.
fn code_point(mut info: Info<'_>, family: IpFamily) -> Option<Statement> {
    let (value, not) = (info.u8()?, is_negated(&mut info)?);
    let op = if not { CmpOp::Ne } else { CmpOp::Eq };
    (value < 64).then(|| code("dscp", xtables::code_point(family, op, value)))
}

/// ttl_mt and hl_mt6, xt_hl.c.
fn hops(mut info: Info<'_>, family: IpFamily) -> Option<Statement> {
    let (mode, limit) = (info.u8()?, info.u8()?);
    // IPT_TTL_EQ to IPT_TTL_GT, ipt_ttl.h; ip6t_hl.h has the same.
    let op = *[CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Gt].get(usize::from(mode))?;
    Some(code("hops", xtables::hops(family, op, limit)))
}

/// length_mt and length_mt6, xt_length.c.
fn length(mut info: Info<'_>) -> Option<Statement> {
    let (low, high, not) = (u32::from(info.u16()?), u32::from(info.u16()?), is_negated(&mut info)?);
    let operand = match low {
        _ if low > high => return None,
        _ if low == high => Operand::Value(Value::Integer(low)),
        _ => Operand::Range(Value::Integer(low), Value::Integer(high)),
    };
    Some(when(Field::Length, not, operand))
}

/// pkttype_mt, xt_pkttype.c.
fn packet_type(mut info: Info<'_>) -> Option<Statement> {
    let (kind, not) = (u8::try_from(info.u32()?).ok()?, info.u32()?);
    (not <= 1).then(|| when(Field::PktType, not == 1, Operand::Value(Value::PktType(PktType(kind)))))
}

fn owner(mut info: Info<'_>) -> Option<XtOwner> {
    let (uids, gids) = ((info.u32()?, info.u32()?), (info.u32()?, info.u32()?));
    let (conditions, negated) = (info.u8()?, info.u8()?);
    // Supplementary groups are not modelled.
    (conditions & !7 == 0).then_some(XtOwner { uids, gids, conditions, negated })
}
