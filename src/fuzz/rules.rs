//! Rule sets out of bytes: every statement, field, operand and kind of set, most of them sensible.

use std::net::IpAddr;
use std::time::Duration;

use super::source::Source;
use crate::model::{
    AddrType, Base, Chain, ChainKind, ChainType, CtDirection, CtState, CtStatus, DataType, Element, ElementData,
    Family, Field, Hook, IcmpType, Icmpv6Type, Interval, IpFamily, Key, Limit, LimitOf, LimitUnit, LimitWhen, Log,
    LogFlags, LogLevel, MapTo, MarkKey, MarkValue, Match, Name, Nat, NatFlags, NatKind, Nfproto, Op, Operand, PktType,
    Policy, PortRange, Priority, Protocol, Queue, QueueFlags, Reject, Rule, Ruleset, Selector, Set, SetData, SetFlags,
    SetRef, Statement, Table, TableFlags, TcpFlags, Tproxy, Value, Verdict,
};
use crate::validate::Invalid;

/// Up to two tables.
pub(super) fn ruleset(from: &mut Source<'_>) -> Ruleset {
    let more = from.several(1, table);
    std::iter::once(table(from)).chain(more).collect()
}

/// The rule set without the innermost things that are at fault.
pub(super) fn without_faults(mut ruleset: Ruleset, invalid: &Invalid) -> Ruleset {
    // From the back, so that the positions of what is still to go stay true.
    for fault in invalid.faults().iter().rev() {
        let at = &fault.location;
        let of_table = |table: &Table| table.family == at.family && table.name == at.table;
        let Some(table) = ruleset.tables.iter_mut().rev().find(|table| of_table(table)) else { continue };
        match (&at.chain, &at.set, at.rule, at.element) {
            (Some(name), _, Some(rule), _) => {
                let chain = table.chains.iter_mut().rev().find(|chain| chain.name == *name);
                // Of several faults of a statement the first takes it away; the others then hit a
                // neighbour, which loses nothing.
                match (chain.and_then(|chain| chain.rules.get_mut(rule)), at.statement) {
                    (Some(rule), Some(at)) if at < rule.statements.len() => drop(rule.statements.remove(at)),
                    (Some(rule), _) => *rule = Rule::new(),
                    (None, _) => {}
                }
            }
            (Some(name), _, None, _) => table.chains.retain(|chain| chain.name != *name),
            (None, Some(name), _, element) => {
                let set = table.sets.iter_mut().rev().find(|set| set.name == *name);
                match (set, element) {
                    (Some(set), Some(element)) if element < set.elements.len() => drop(set.elements.remove(element)),
                    _ => table.sets.retain(|set| set.name != *name),
                }
            }
            (None, None, ..) => {
                let (family, name) = (table.family, table.name.clone());
                ruleset.tables.retain(|table| (table.family, &table.name) != (family, &name));
            }
        }
    }
    ruleset
}

fn table(from: &mut Source<'_>) -> Table {
    let usual = [Family::Inet, Family::Ip, Family::Ip6];
    let family =
        if from.rarely(32) { from.pick(&[Family::Arp, Family::Bridge, Family::Netdev]) } else { from.pick(&usual) };
    let mut table = Table::new(family, name(from, "t"));
    table.flags = if from.rarely(8) { TableFlags::from_bits_truncate(from.u32()) } else { TableFlags::empty() };
    table.sets = from.several(3, set);
    table.sets.iter_mut().enumerate().for_each(|(index, set)| own(from, &mut set.name, "s", index));
    let sets = table.sets.clone();
    table.chains = from.several(4, |from| chain(from, &sets));
    table.chains.iter_mut().enumerate().for_each(|(index, chain)| own(from, &mut chain.name, "c", index));
    table
}

/// One of few, so that names meet.
fn name(from: &mut Source<'_>, kind: &str) -> Name {
    if from.rarely(32) { from.text().into() } else { format!("{kind}{}", from.below(4)).into() }
}

/// A name that nothing else of its kind has, most of the time.
fn own(from: &mut Source<'_>, name: &mut Name, kind: &str, index: usize) {
    if !from.rarely(32) {
        *name = format!("{kind}{index}").into();
    }
}

fn chain(from: &mut Source<'_>, sets: &[Set]) -> Chain {
    let hooks = Hook::ALL;
    let mut chain = Chain::regular(name(from, "c"));
    if from.rarely(2) {
        let chain_type = from.pick(&[ChainType::Filter, ChainType::Nat, ChainType::Route]);
        let hook = if from.rarely(16) { from.pick(&hooks) } else { from.pick(chain_type.hooks()) };
        let named = [Priority::RAW, Priority::MANGLE, Priority::DSTNAT, Priority::FILTER, Priority::SRCNAT];
        let number = i32::from_le_bytes(from.bytes());
        let priority = if from.rarely(4) { Priority(number) } else { from.pick(&named) };
        let policy = from.pick(&[Policy::Accept, Policy::Drop]);
        chain.kind = ChainKind::Base(Base { chain_type, hook, priority, policy });
    }
    chain.rules = from.several(5, |from| rule(from, sets));
    chain
}

fn rule(from: &mut Source<'_>, sets: &[Set]) -> Rule {
    let mut rule = Rule::new();
    rule.statements = from.several(7, |from| statement(from, sets));
    // It works only after a check of the protocol, which seldom comes by itself.
    if let Some(index) = rule.statements.iter().position(|statement| matches!(statement, Statement::Tproxy(_))) {
        let protocol = Match::new(Field::L4proto, Op::Eq, Operand::Value(Value::Protocol(Protocol::TCP)));
        rule.statements.insert(index, Statement::Match(protocol));
    }
    rule.comment = if from.rarely(4) { Some(from.text().into()) } else { None };
    rule
}

fn statement(from: &mut Source<'_>, sets: &[Set]) -> Statement {
    match from.below(32) {
        0 => Statement::Counter { packets: from.u64(), bytes: from.u64() },
        1 => Statement::Limit(limit(from)),
        2 => Statement::Log(log(from)),
        3 => Statement::Nat(nat(from)),
        4 => Statement::Masquerade { ports: from.maybe(ports).map(Into::into), flags: nat_flags(from) },
        5 => Statement::Notrack,
        6 => {
            let (from_queue, more) = (from.u16(), u16::from(from.below(4)));
            let flags = QueueFlags::from_bits_truncate(from.byte().into());
            Statement::Queue(Queue { from: from_queue, to: from_queue.saturating_add(more), flags })
        }
        7 => Statement::Redirect { ports: from.maybe(ports).map(Into::into), flags: nat_flags(from) },
        8 => Statement::Reject(from.maybe(reject)),
        9 | 10 => Statement::SetMark { key: mark_key(from), value: mark_value(from, sets) },
        11 => Statement::SetNftrace(from.rarely(2)),
        12 => Statement::SetZone(from.u16()),
        13 => {
            let (family, address, port) = (from.maybe(family), from.maybe(address), from.maybe(Source::u16));
            Statement::Tproxy(Tproxy { family, address, port, ..Tproxy::default() })
        }
        14..=16 => Statement::Verdict(verdict(from)),
        17 => {
            let (selector, map) = lookup(from, sets, &SetData::Verdict);
            Statement::VerdictMap { selector, map }
        }
        _ => Statement::Match(matches(from, sets)),
    }
}

fn matches(from: &mut Source<'_>, sets: &[Set]) -> Match {
    let op = from.pick(&[Op::Eq, Op::Eq, Op::Ne, Op::Ge, Op::Gt, Op::Le, Op::Lt]);
    let shape = from.below(8);
    if shape < 2 {
        let (selector, set) = lookup(from, sets, &SetData::None);
        let op = if op == Op::Ne { Op::Ne } else { Op::Eq };
        return Match { selector, op, operand: Operand::Set(set) };
    }
    // What most other fields wait for.
    let field = if from.rarely(4) { from.pick(&[Field::L4proto, Field::Nfproto]) } else { any_field(from) };
    let of = if from.rarely(64) { data_type(from) } else { field.data_type() };
    let operand = match shape {
        2 => Operand::Flags(value(from, of)),
        3 => Operand::Masked { mask: value(from, of), value: value(from, of) },
        4 => Operand::Prefix(value(from, of), from.below(130)),
        5 => {
            let Interval { low, high } = range(from, of);
            Operand::Range(low, high)
        }
        _ => Operand::Value(value(from, of)),
    };
    Match::new(field, op, operand)
}

/// A selector, and a set or map that mostly has its key.
fn lookup(from: &mut Source<'_>, sets: &[Set], data: &SetData) -> (Selector, SetRef) {
    let fitting: Vec<&Set> = sets.iter().filter(|set| set.data == *data).collect();
    if !fitting.is_empty() && from.rarely(2) {
        let set = from.pick(&fitting);
        let fields: Vec<Field> = set.key.iter().map(|of| field_of(from, *of)).collect();
        return (Selector::from(fields), SetRef::Named(set.name.clone()));
    }
    let fields = from.several(2, any_field);
    let fields: Vec<Field> = std::iter::once(any_field(from)).chain(fields).collect();
    let key: Vec<DataType> = fields.iter().map(|field| field.data_type()).collect();
    let elements = match from.rarely(32) {
        true => return (Selector::from(fields), SetRef::Named(name(from, "s"))),
        false => from.several(3, |from| element(from, &key, data)),
    };
    (Selector::from(fields), SetRef::Anonymous(elements))
}

/// Returns a field that every kernel has, that the fake knows, and whose values nft compares with
/// constants and in sets.
fn any_field(from: &mut Source<'_>) -> Field {
    match from.pick(Field::ALL) {
        Field::Ibrname | Field::Ibrpvid | Field::Ibrvproto | Field::Obrname => Field::Iifname,
        Field::CtLabel | Field::CtSecmark | Field::Secmark => Field::CtMark,
        Field::RtClassid | Field::RtIp6Nexthop | Field::RtIpNexthop | Field::RtIpsec | Field::RtMtu => Field::Rtclassid,
        field => field,
    }
}

fn field_of(from: &mut Source<'_>, of: DataType) -> Field {
    let is_usual = |field: &Field| !field.name().starts_with("rt ") && !field.name().ends_with("secmark");
    let fitting: Vec<Field> =
        Field::ALL.iter().copied().filter(|field| field.data_type() == of && is_usual(field)).collect();
    if fitting.is_empty() { Field::Mark } else { from.pick(&fitting) }
}

/// Returns a type that sets can be declared with: which plain numbers of the packet a set has is
/// only in what nft notes beside it.
fn data_type(from: &mut Source<'_>) -> DataType {
    match any_field(from).data_type() {
        DataType::Integer { bytes: 5.. } | DataType::NetworkInteger { .. } => DataType::Mark,
        of => of,
    }
}

fn set(from: &mut Source<'_>) -> Set {
    let mut key = vec![data_type(from)];
    if from.rarely(4) {
        key.extend(from.several(2, data_type));
    }
    let mut set = Set::new(name(from, "s"), key);
    set.data = match from.below(4) {
        0 => SetData::Value(if from.rarely(2) { DataType::Mark } else { data_type(from) }),
        1 => SetData::Verdict,
        _ => SetData::None,
    };
    let all = SetFlags::INTERVAL | SetFlags::AUTO_MERGE | SetFlags::CONSTANT | SetFlags::DYNAMIC | SetFlags::TIMEOUT;
    set.flags = match from.below(8) {
        0..=2 => SetFlags::empty(),
        3..=4 => SetFlags::INTERVAL,
        5 => SetFlags::INTERVAL | SetFlags::AUTO_MERGE,
        6 => SetFlags::TIMEOUT,
        _ => SetFlags::from_bits_truncate(u32::from(from.byte())) & all,
    };
    set.timeout = if set.flags.contains(SetFlags::TIMEOUT) { from.maybe(duration) } else { None };
    set.gc_interval = if set.flags.contains(SetFlags::TIMEOUT) { from.maybe(duration) } else { None };
    set.size = from.maybe(|from| from.u16().into());
    set.comment = if from.rarely(4) { Some(from.text()) } else { None };
    let (key, data) = (set.key.clone(), set.data.clone());
    set.elements = from.several(6, |from| {
        let mut element = element(from, &key, &data);
        if set.flags.contains(SetFlags::TIMEOUT) {
            element.timeout = from.maybe(duration);
        }
        element
    });
    set
}

fn duration(from: &mut Source<'_>) -> Duration {
    if from.rarely(2) { Duration::from_secs(from.u16().into()) } else { Duration::from_millis(from.u32().into()) }
}

fn element(from: &mut Source<'_>, key: &[DataType], data: &SetData) -> Element {
    let mut parts: Vec<Interval> = key.iter().map(|of| interval(from, *of)).collect();
    let key = match (parts.len(), parts.pop()) {
        (1, Some(part)) => Key::Single(part),
        (_, last) => Key::Concat(parts.into_iter().chain(last).collect()),
    };
    let mut element = Element::new(key);
    element.data = match data {
        SetData::None => None,
        SetData::Concat(types) => {
            let parts = types.iter().map(|of| Interval::point(value(from, *of)));
            Some(Box::new(ElementData::Several(Key::Concat(parts.collect()))))
        }
        SetData::Interval(types) => {
            let parts = types.iter().map(|of| range(from, *of));
            Some(Box::new(ElementData::Several(Key::Concat(parts.collect()))))
        }
        SetData::Object(_) => Some(Box::new(ElementData::Object(name(from, "o")))),
        SetData::Value(of) => Some(Box::new(ElementData::Value(value(from, *of)))),
        SetData::Verdict => Some(Box::new(ElementData::Verdict(verdict(from)))),
    };
    if from.rarely(16) {
        element = element.comment(from.text());
    }
    element
}

fn interval(from: &mut Source<'_>, of: DataType) -> Interval {
    if from.rarely(3) { range(from, of) } else { Interval::point(value(from, of)) }
}

fn range(from: &mut Source<'_>, of: DataType) -> Interval {
    let (low, high) = (value(from, of), value(from, of));
    if low <= high { Interval { low, high } } else { Interval { low: high, high: low } }
}

/// Small numbers, the ends, and anything.
fn number(from: &mut Source<'_>) -> u32 {
    match from.below(4) {
        0 => from.byte().into(),
        1 => u32::MAX - u32::from(from.byte()),
        2 => from.u16().into(),
        _ => from.u32(),
    }
}

fn value(from: &mut Source<'_>, of: DataType) -> Value {
    match of {
        DataType::AddrType => Value::AddrType(AddrType(from.below(12).into())),
        DataType::CtDirection => Value::CtDirection(from.pick(&[CtDirection::Original, CtDirection::Reply])),
        DataType::CtState => Value::CtState(CtState::from_bits_truncate(from.byte().into())),
        DataType::CtStatus => Value::CtStatus(CtStatus::from_bits_truncate(from.u16().into())),
        DataType::Gid => Value::Gid(number(from)),
        DataType::IcmpType => Value::IcmpType(IcmpType(from.byte())),
        DataType::Icmpv6Type => Value::Icmpv6Type(Icmpv6Type(from.byte())),
        DataType::Date => Value::Date(u64::from(number(from)) * 1_000_000_000),
        DataType::Hour => Value::Hour(number(from) % (24 * 3600)),
        DataType::Ifindex => Value::Ifindex(number(from)),
        DataType::Ifname => Value::Ifname(match from.below(4) {
            0 => "lo".into(),
            1 => format!("veth{}*", from.below(3)).into(),
            2 => format!("eth{}", from.below(3)).into(),
            _ => from.text().into(),
        }),
        DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => {
            let number = number(from);
            let wide = u128::from(number) << (8 * u32::from(bytes.saturating_sub(4)));
            match bytes {
                0..4 => Value::Integer(number % (1 << (8 * u32::from(bytes)))),
                4 => Value::Integer(number),
                _ => Value::integer(wide),
            }
        }
        DataType::Ipv4 => Value::Ipv4(number(from).into()),
        DataType::Ipv6 => {
            let [high, low] = [number(from), number(from)];
            Value::Ipv6((u128::from(high) << 96 | u128::from(low)).into())
        }
        DataType::Mark => Value::Mark(number(from)),
        DataType::Nfproto => Value::Nfproto(from.pick(&[Nfproto::IPV4, Nfproto::IPV6, Nfproto(7)])),
        DataType::PktType => Value::PktType(PktType(from.below(8))),
        DataType::Port => Value::Port(from.u16()),
        DataType::Protocol => Value::Protocol(match from.below(6) {
            0 | 1 => Protocol::TCP,
            2 => Protocol::UDP,
            3 => Protocol::ICMP,
            4 => Protocol::ICMPV6,
            _ => Protocol(from.byte()),
        }),
        DataType::TcpFlags => Value::TcpFlags(TcpFlags::from_bits_truncate(from.byte())),
        DataType::Text => Value::Text(from.text().into()),
        of => {
            let bits = 8 * u32::try_from(of.bytes()).unwrap_or(4);
            let small = u128::from(number(from)).checked_rem(1_u128.checked_shl(bits).unwrap_or(u128::MAX));
            Value::of_number(small.unwrap_or_default(), of).unwrap_or(Value::Integer(0))
        }
    }
}

fn verdict(from: &mut Source<'_>) -> Verdict {
    match from.below(6) {
        0 => Verdict::Accept,
        1 => Verdict::Drop,
        2 => Verdict::Return,
        3 => Verdict::Continue,
        4 => Verdict::Goto(name(from, "c")),
        _ => Verdict::Jump(name(from, "c")),
    }
}

fn mark_key(from: &mut Source<'_>) -> MarkKey {
    from.pick(&[MarkKey::Ct, MarkKey::Meta])
}

fn mark_value(from: &mut Source<'_>, sets: &[Set]) -> MarkValue {
    match from.below(3) {
        0 => MarkValue::Constant(from.u32()),
        1 => MarkValue::From { from: mark_key(from), mask: number(from), xor: number(from) },
        _ => {
            let (selector, map) = lookup(from, sets, &SetData::Value(DataType::Mark));
            MarkValue::Map { selector, map }
        }
    }
}

fn family(from: &mut Source<'_>) -> IpFamily {
    from.pick(&[IpFamily::Ipv4, IpFamily::Ipv6])
}

fn address(from: &mut Source<'_>) -> IpAddr {
    match family(from) {
        IpFamily::Ipv4 => from.bytes::<4>().into(),
        IpFamily::Ipv6 => from.bytes::<16>().into(),
    }
}

fn ports(from: &mut Source<'_>) -> PortRange {
    let low = from.u16();
    PortRange { low, high: if from.rarely(2) { low.saturating_add(from.u16()) } else { low } }
}

fn nat_flags(from: &mut Source<'_>) -> NatFlags {
    if from.rarely(2) { NatFlags::from_bits_truncate(from.byte().into()) - NatFlags::NETMAP } else { NatFlags::empty() }
}

fn nat(from: &mut Source<'_>) -> Nat {
    let addresses = from.maybe(|from| {
        let low = address(from);
        (low, if from.rarely(3) { address(from) } else { low })
    });
    Nat {
        kind: from.pick(&[NatKind::Dnat, NatKind::Snat]),
        family: addresses.map(|(low, _)| IpFamily::of(low)).or_else(|| from.maybe(family)),
        addresses,
        computed: None,
        map_to: MapTo::Address,
        ports: from.maybe(ports).map(Into::into),
        flags: nat_flags(from),
    }
}

fn reject(from: &mut Source<'_>) -> Reject {
    match from.below(4) {
        0 => Reject::Icmp(from.byte()),
        1 => Reject::Icmpv6(from.byte()),
        2 => Reject::Icmpx(from.below(5)),
        _ => Reject::TcpReset,
    }
}

fn limit(from: &mut Source<'_>) -> Limit {
    let units = [LimitUnit::Day, LimitUnit::Hour, LimitUnit::Minute, LimitUnit::Second, LimitUnit::Week];
    Limit {
        rate: if from.rarely(4) { from.u64() } else { from.u16().into() },
        per: from.pick(&units),
        of: from.pick(&[LimitOf::Bytes, LimitOf::Packets]),
        burst: number(from),
        when: from.pick(&[LimitWhen::Over, LimitWhen::Until]),
    }
}

fn log(from: &mut Source<'_>) -> Log {
    let levels = [LogLevel::Emerg, LogLevel::Err, LogLevel::Warn, LogLevel::Debug, LogLevel::Audit];
    let to_group = from.rarely(2);
    Log {
        prefix: from.maybe(|from| from.text().into()),
        level: if to_group { None } else { from.maybe(|from| from.pick(&levels)) },
        group: if to_group { Some(from.u16()) } else { None },
        snaplen: if to_group { from.maybe(Source::u32) } else { None },
        queue_threshold: if to_group { from.maybe(Source::u16) } else { None },
        flags: if to_group { LogFlags::empty() } else { LogFlags::from_bits_truncate(from.byte().into()) },
    }
}
