//! Raising reverses lowering for every rule, and programs made by other tools keep their effect.

use proptest::prelude::*;

use super::super::{
    Bytes, CmpOp, Expr, MetaKey, PayloadBase, Register, RegisterRange, SetMode, Sets, lower, lower_elements, lower_set,
};
use super::*;
use crate::model::*;

struct SomeSets;

impl Sets for SomeSets {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        Some(if name.as_str().starts_with("interval") { SetMode::Interval } else { SetMode::Plain })
    }
}

fn program(rule: &Rule, family: Family) -> Vec<Expr> {
    lower(rule, family, &SomeSets).unwrap_or_else(|error| panic!("{rule:?}: {error}")).exprs
}

fn raised(exprs: &[Expr], family: Family) -> Rule {
    raise(exprs, &[], family, &SomeSets)
}

fn load4(offset: u32, len: u32) -> Expr {
    Expr::Payload { base: PayloadBase::TRANSPORT, offset, len, dreg: Register::FIRST }
}

fn equal(data: &[u8]) -> Expr {
    Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Eq, data: Bytes::from_slice(data) }
}

#[test]
fn a_dependency_is_omitted_only_where_lowering_adds_it_again() {
    let tcp = || Rule::new().l4proto(Protocol::TCP);
    let cases = [
        (tcp().tcp_dport(80), Rule::new().tcp_dport(80)),
        (tcp().th_dport(80), Rule::new().tcp_dport(80)),
        (tcp().iifname("lo").tcp_dport(80), tcp().iifname("lo").tcp_dport(80)),
        (tcp().counter().tcp_dport(80), tcp().counter().tcp_dport(80)),
        (tcp().redirect_to(15001), tcp().redirect_to(15001)),
        (tcp().l4proto(Protocol::TCP).tcp_dport(80), tcp().l4proto(Protocol::TCP).tcp_dport(80)),
        (tcp().reject_with(Reject::TcpReset), Rule::new().reject_with(Reject::TcpReset)),
        (
            Rule::new().nfproto(Nfproto::IPV4).ip_saddr(std::net::Ipv4Addr::LOCALHOST),
            Rule::new().ip_saddr(std::net::Ipv4Addr::LOCALHOST),
        ),
        (
            Rule::new().nfproto(Nfproto::IPV4).l4proto(Protocol::ICMP).icmp_type(IcmpType(8)),
            Rule::new().icmp_type(IcmpType(8)),
        ),
        (
            Rule::new().l4proto(Protocol::ICMP).icmp_type(IcmpType(8)),
            Rule::new().l4proto(Protocol::ICMP).icmp_type(IcmpType(8)),
        ),
        (Rule::new().nfproto(Nfproto::IPV6).accept(), Rule::new().nfproto(Nfproto::IPV6).accept()),
    ];
    for (written, expected) in cases {
        let exprs = program(&written, Family::Inet);
        let rule = raised(&exprs, Family::Inet);
        assert_eq!(program(&rule, Family::Inet), exprs, "{rule:?}");
        assert_eq!(rule, expected, "{written:?}");
    }
}

#[test]
fn unnamed_expressions_keep_their_place_and_lower_to_themselves() {
    let xt = Expr::Opaque { name: "match".into(), data: b"\x0a\0\x01\0owner\0\0\0".as_slice().into(), set: None };
    let odd = Expr::Meta { key: MetaKey(99), dreg: Register::FIRST };
    let exprs = vec![
        Expr::Counter { packets: 1, bytes: 2 },
        odd.clone(),
        equal(&[1]),
        xt.clone(),
        xt,
        Expr::Verdict(Verdict::Accept),
    ];
    let rule = raised(&exprs, Family::Inet);
    assert_eq!(program(&rule, Family::Inet), exprs);
    let names: Vec<_> = rule
        .statements
        .iter()
        .map(|statement| match statement {
            Statement::Opaque(opaque) => format!("{} {:?}", opaque.name(), opaque.extension()),
            _ => String::new(),
        })
        .collect();
    assert_eq!(names, ["", "meta,cmp None", "match Some(\"owner\")", "match Some(\"owner\")", ""]);
}

#[test]
fn an_unexpected_register_is_opaque_rather_than_guessed() {
    let port = Expr::Immediate { dreg: Register::FIRST, data: Bytes::from_slice(&[0, 80]) };
    let redir = |min| Expr::Redir { ports: RegisterRange { min: Some(min), max: None }, flags: 2 };
    let cases = [vec![redir(Register::FIRST)], vec![port.clone(), redir(Register::SECOND)], vec![port, Expr::Notrack]];
    for exprs in cases {
        let rule = raised(&exprs, Family::Inet);
        assert!(matches!(rule.statements.first(), Some(Statement::Opaque(_))), "{rule:?}");
        assert_eq!(program(&rule, Family::Inet), exprs);
    }
}

#[test]
fn programs_of_other_tools_are_raised_by_their_meaning() {
    let tcp = || program(&Rule::new().l4proto(Protocol::TCP), Family::Inet);
    let ports = [tcp(), vec![load4(0, 4), equal(&[0, 1, 0, 80])]].concat();
    assert_eq!(
        raised(&ports, Family::Inet),
        Rule::new().l4proto(Protocol::TCP).tcp_sport(1).tcp_dport(80),
        "two ports in one load"
    );
    let unknown = [load4(0, 4), equal(&[0, 1, 0, 80])];
    assert_eq!(raised(&unknown, Family::Inet), Rule::new().th_sport(1).th_dport(80));
    let name = [Expr::Meta { key: MetaKey::IIFNAME, dreg: Register::FIRST }, equal(b"lo\0")];
    assert_eq!(raised(&name, Family::Ip), Rule::new().iifname("lo"));
    let prefix = [Expr::Meta { key: MetaKey::IIFNAME, dreg: Register::FIRST }, equal(b"lo")];
    assert_eq!(raised(&prefix, Family::Ip), Rule::new().iifname("lo*"));
    let own = [
        Expr::Immediate { dreg: Register::SECOND, data: Bytes::from_slice(&[0, 80]) },
        Expr::Redir { ports: RegisterRange { min: Some(Register::SECOND), max: Some(Register::SECOND) }, flags: 2 },
    ];
    assert_eq!(raised(&own, Family::Ip), Rule::new().redirect_to(80), "the kernel repeats the register");
}

#[test]
fn an_address_of_another_family_stays_opaque_or_is_bytes_by_their_place() {
    let v6 = program(&Rule::new().ip6_saddr(std::net::Ipv6Addr::LOCALHOST), Family::Ip6);
    assert!(matches!(raised(&v6, Family::Ip).statements.as_slice(), [Statement::Opaque(_)]));
    assert_eq!(raised(&v6, Family::Inet).to_string(), "@nh,64,128 0x1");
    assert_eq!(raised(&v6, Family::Bridge).to_string(), "@nh,64,128 0x1");
    assert!(matches!(raised(&v6, Family::Ip6).statements.as_slice(), [Statement::Match(_)]));
}

#[test]
fn the_leading_end_element_that_nft_adds_is_ignored() {
    let set = Set::new("s", [DataType::Port]).interval().elements([80..=90, 65000..=65535]);
    let code = lower_set(&set).expect("a set");
    let mut elements: Vec<_> = lower_elements(&set).collect::<Result<_, _>>().expect("typed");
    let mut end = elements.first().cloned().expect("not empty");
    (end.key, end.flags) = (Bytes::from_slice(&[0, 0]), 1);
    elements.insert(0, end);
    assert_eq!(raise_set(&set.name, &code, &elements), Ok(set));
}

#[test]
fn a_set_of_an_unknown_type_is_an_error_that_names_the_type() {
    let mut code = lower_set(&Set::new("s", [DataType::Port])).expect("a set");
    code.key_type = 6;
    let error = raise_set(&"s".into(), &code, &[]).expect_err("ll_addr");
    assert_eq!(error.to_string(), "set s: type 6 of its key has no name here");
}

/// Returns a constant of that type; interface names are valid ones.
fn value(data_type: DataType) -> BoxedStrategy<Value> {
    let number = any::<u32>();
    let byte = any::<u8>();
    match data_type {
        DataType::AddrType => (0..9_u32).prop_map(|n| Value::AddrType(AddrType(n))).boxed(),
        DataType::CtDirection => {
            prop_oneof![Just(CtDirection::Original), Just(CtDirection::Reply)].prop_map(Value::CtDirection).boxed()
        }
        DataType::CtState => number.prop_map(|n| Value::CtState(CtState::from_bits_retain(n))).boxed(),
        DataType::CtStatus => number.prop_map(|n| Value::CtStatus(CtStatus::from_bits_retain(n))).boxed(),
        DataType::Gid => number.prop_map(Value::Gid).boxed(),
        DataType::IcmpType => byte.prop_map(|n| Value::IcmpType(IcmpType(n))).boxed(),
        DataType::Icmpv6Type => byte.prop_map(|n| Value::Icmpv6Type(Icmpv6Type(n))).boxed(),
        DataType::Ifindex => number.prop_map(Value::Ifindex).boxed(),
        DataType::Ifname => {
            "[a-z][a-z0-9.]{0,13}(\\*|\\\\\\*)?".prop_map(|name: String| Value::Ifname(name.into())).boxed()
        }
        DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => {
            let most = u128::MAX >> (128 - 8 * u32::from(bytes));
            (0..=most).prop_map(Value::integer).boxed()
        }
        DataType::Ipv4 => any::<[u8; 4]>().prop_map(|a| Value::Ipv4(a.into())).boxed(),
        DataType::Ipv6 => any::<[u8; 16]>().prop_map(|a| Value::Ipv6(a.into())).boxed(),
        DataType::Mark => number.prop_map(Value::Mark).boxed(),
        DataType::Nfproto => prop_oneof![Just(Nfproto::IPV4), Just(Nfproto::IPV6)].prop_map(Value::Nfproto).boxed(),
        DataType::PktType => byte.prop_map(|n| Value::PktType(PktType(n))).boxed(),
        DataType::Port => any::<u16>().prop_map(Value::Port).boxed(),
        DataType::Protocol => prop_oneof![Just(1), Just(6), Just(17), Just(33), Just(58), Just(132), any::<u8>()]
            .prop_map(|n| Value::Protocol(Protocol(n)))
            .boxed(),
        DataType::TcpFlags => byte.prop_map(|n| Value::TcpFlags(TcpFlags::from_bits_retain(n))).boxed(),
        DataType::Text => "[a-z]{1,15}".prop_map(|text: String| Value::Text(text.into())).boxed(),
        of => {
            let most = u128::MAX >> (128 - 8 * of.bytes());
            let number = (0..=most).prop_map(move |number| Value::of_number(number % 2, of).zip(Some(number)));
            number
                .prop_map(move |of_two| {
                    let (two, number) = of_two.expect("every type has 0 and 1");
                    Value::of_number(number, of).unwrap_or(two)
                })
                .boxed()
        }
    }
}

fn interval(data_type: DataType) -> BoxedStrategy<Interval> {
    let point = value(data_type).prop_map(Interval::point);
    if matches!(data_type, DataType::Ifname | DataType::Text) {
        return point.boxed();
    }
    let range = (value(data_type), value(data_type))
        .prop_map(|(a, b)| Interval { low: a.clone().min(b.clone()), high: a.max(b) });
    prop_oneof![point, range].boxed()
}

/// Returns elements for a set with that key, no two of which overlap.
fn elements(key: Vec<DataType>) -> BoxedStrategy<Vec<Element>> {
    let parts: Vec<_> = key.into_iter().map(interval).collect();
    let keys = proptest::collection::vec(parts, 1..4);
    keys.prop_map(|keys| {
        let mut elements: Vec<Element> = keys
            .into_iter()
            .map(|mut parts| {
                Element::new(if parts.len() == 1 { Key::Single(parts.remove(0)) } else { Key::Concat(parts.into()) })
            })
            .collect();
        elements.sort();
        elements.truncate(if elements.iter().any(|element| element.key.is_interval()) { 1 } else { 4 });
        elements.dedup();
        elements
    })
    .boxed()
}

fn operand(field: Field) -> BoxedStrategy<(Op, Operand)> {
    let kind = field.data_type();
    if let Some(bits) = field.bits() {
        let value =
            move || (0..1_u128 << bits).prop_map(move |number| Value::of_number(number, kind).expect("it fits"));
        let several = proptest::collection::btree_set(value(), 2..4);
        let anonymous =
            several.prop_map(|values| Operand::Set(SetRef::Anonymous(values.into_iter().map(Element::new).collect())));
        let range = (value(), value()).prop_map(|(low, high)| Operand::Range(low, high));
        let equality = prop_oneof![Just(Op::Eq), Just(Op::Ne)];
        return (equality, prop_oneof![value().prop_map(Operand::Value), range, anonymous]).boxed();
    }
    let equality = || prop_oneof![Just(Op::Eq), Just(Op::Ne)];
    let any_op = prop_oneof![Just(Op::Eq), Just(Op::Ne), Just(Op::Lt), Just(Op::Le), Just(Op::Gt), Just(Op::Ge)];
    let named = prop_oneof![Just("interval"), Just("plain")].prop_map(|name| Operand::Set(set(name)));
    let anonymous = elements(vec![kind]).prop_map(|elements| Operand::Set(SetRef::Anonymous(elements)));
    let simple = prop_oneof![named, anonymous, value(kind).prop_map(Operand::Value)];
    let simple = (equality(), simple);
    match kind {
        DataType::Ifname | DataType::Text => simple.boxed(),
        DataType::Ipv4 | DataType::Ipv6 => {
            let most = u8::try_from(8 * kind.bytes()).expect("128");
            let prefix = (value(kind), 0..most).prop_map(|(address, length)| Operand::Prefix(address, length));
            prop_oneof![simple, (equality(), prefix)].boxed()
        }
        _ => {
            let range = (value(kind), value(kind)).prop_map(|(low, high)| Operand::Range(low, high));
            let masked = (value(kind), value(kind)).prop_map(|(mask, value)| Operand::Masked { mask, value });
            let flags = value(kind).prop_map(Operand::Flags);
            let ordered = (any_op, value(kind).prop_map(Operand::Value));
            prop_oneof![simple, ordered, (equality(), prop_oneof![range, masked, flags])].boxed()
        }
    }
}

fn field() -> impl Strategy<Value = Field> {
    // Packets of IP have no field of ARP.
    let fields: Vec<Field> =
        Field::ALL.iter().copied().filter(|field| field.needs().network != Some(Nfproto::ARP)).collect();
    proptest::sample::select(fields)
}

fn ports() -> impl Strategy<Value = Option<PortRange>> {
    proptest::option::of((any::<u16>(), any::<u16>()).prop_map(|(low, high)| PortRange { low, high }))
}

fn nat_flags() -> impl Strategy<Value = NatFlags> {
    any::<u32>().prop_map(|bits| NatFlags::from_bits_truncate(bits) - NatFlags::NETMAP)
}

fn nat() -> impl Strategy<Value = Statement> {
    let ends = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|[a, b]| (std::net::IpAddr::from(a), std::net::IpAddr::from(b))),
        any::<[[u8; 16]; 2]>().prop_map(|[a, b]| (std::net::IpAddr::from(a), std::net::IpAddr::from(b))),
    ];
    (any::<bool>(), ends, any::<bool>(), ports(), nat_flags()).prop_map(|(source, (low, high), one, ports, flags)| {
        let nat = if source { Nat::snat() } else { Nat::dnat() };
        let nat = if one { nat.to_range(low, low) } else { nat.to_range(low, high) }.flags(flags);
        Statement::Nat(match ports {
            Some(ports) => nat.ports(ports.low..=ports.high),
            None => nat,
        })
    })
}

fn mark_value() -> impl Strategy<Value = MarkValue> {
    let key = prop_oneof![Just(MarkKey::Ct), Just(MarkKey::Meta)];
    let element = |(key, mark)| Element::new(Value::Port(key)).value(Value::Mark(mark));
    let map = (any::<u16>(), any::<u32>()).prop_map(element);
    prop_oneof![
        any::<u32>().prop_map(MarkValue::Constant),
        (key, any::<u32>(), any::<u32>()).prop_map(|(from, mask, xor)| MarkValue::From { from, mask, xor }),
        map.prop_map(|element| MarkValue::Map {
            selector: Field::TcpDport.into(),
            map: SetRef::Anonymous(vec![element])
        }),
        Just(MarkValue::Map { selector: Field::Mark.into(), map: set("interval") }),
    ]
}

fn statement() -> impl Strategy<Value = Statement> {
    let matches = field().prop_flat_map(|field| operand(field).prop_map(move |(op, operand)| (field, op, operand)));
    let matches = matches.prop_map(|(field, op, operand)| Statement::Match(Match::new(field, op, operand)));
    let fields = proptest::collection::vec(field(), 2..4).prop_filter("fields of one packet", |fields| {
        let needs = || fields.iter().map(|field| field.needs());
        let networks: std::collections::BTreeSet<_> = needs().filter_map(|needs| needs.network).collect();
        let transports: std::collections::BTreeSet<_> = needs().filter_map(|needs| needs.transport).collect();
        let messages: std::collections::BTreeSet<_> =
            needs().map(|needs| needs.message).filter(|message| !message.is_empty()).collect();
        if messages.len() > 1 || fields.iter().any(|field| field.bits().is_some()) {
            return false;
        }
        // Next to a TCP port, a port of any protocol is read as a TCP port.
        let any = fields.iter().any(|field| matches!(field, Field::ThDport | Field::ThSport));
        networks.len() <= 1 && transports.len() <= 1 && (!any || transports.is_empty())
    });
    let concat = fields.prop_flat_map(|fields| {
        let key = fields.iter().map(|field| field.data_type()).collect();
        elements(key).prop_map(move |elements| {
            let selector = Selector::from(fields.clone());
            Statement::Match(Match { selector, op: Op::Eq, operand: Operand::Set(SetRef::Anonymous(elements)) })
        })
    });
    let vmap = elements(vec![DataType::Port]).prop_map(|elements| Statement::VerdictMap {
        selector: Field::UdpDport.into(),
        map: SetRef::Anonymous(
            elements.into_iter().map(|element| element.verdict(Verdict::Jump("c".into()))).collect(),
        ),
    });
    let key = prop_oneof![Just(MarkKey::Ct), Just(MarkKey::Meta)];
    let limit = (any::<u64>(), any::<u32>())
        .prop_map(|(rate, burst)| Statement::Limit(Limit::bytes(rate, LimitUnit::Week).burst(burst).over()));
    let log = (any::<u16>(), any::<u32>())
        .prop_map(|(group, bytes)| Statement::Log(Log::default().prefix("x").group(group).snaplen(bytes)));
    let tproxy = prop_oneof![
        any::<u16>().prop_map(Tproxy::to_port),
        (any::<[u8; 4]>(), any::<u16>()).prop_map(|(a, port)| Tproxy::to(a, Some(port))),
        any::<[u8; 16]>().prop_map(|a| Tproxy::to(a, None)),
    ];
    let queue =
        (0..1000_u16, 0..1000_u16).prop_map(|(from, more)| Queue { from, to: from + more, flags: QueueFlags::BYPASS });
    let reject = prop_oneof![
        Just(None),
        Just(Some(Reject::TcpReset)),
        any::<u8>().prop_map(|code| Some(Reject::Icmp(code))),
        any::<u8>().prop_map(|code| Some(Reject::Icmpv6(code))),
        any::<u8>().prop_map(|code| Some(Reject::Icmpx(code))),
    ];
    prop_oneof![
        8 => matches,
        1 => concat,
        1 => vmap,
        1 => nat(),
        1 => (ports(), nat_flags()).prop_map(|(ports, flags)| Statement::Masquerade { ports: ports.map(Into::into), flags }),
        1 => (ports(), nat_flags()).prop_map(|(ports, flags)| Statement::Redirect { ports: ports.map(Into::into), flags }),
        2 => (key, mark_value()).prop_map(|(key, value)| Statement::SetMark { key, value }),
        1 => any::<bool>().prop_map(Statement::SetNftrace),
        1 => any::<u16>().prop_map(Statement::SetZone),
        1 => prop_oneof![limit, log],
        1 => tproxy.prop_map(Statement::Tproxy),
        1 => queue.prop_map(Statement::Queue),
        1 => reject.prop_map(Statement::Reject),
        1 => Just(Statement::Notrack),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(packets, bytes)| Statement::Counter { packets, bytes }),
        1 => prop_oneof![Just(Verdict::Accept), Just(Verdict::Goto("c".into())), Just(Verdict::Return)].prop_map(Statement::Verdict),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    proptest::collection::vec(statement(), 0..6)
        .prop_map(|statements| statements.into_iter().fold(Rule::new(), Rule::statement))
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Inet), Just(Family::Ip), Just(Family::Ip6)]
}

/// Returns whether a table of that family can read the fields: an `ip6 saddr` in an ip table has a
/// program, but no meaning.
fn fits(rule: &Rule, family: Family) -> bool {
    // Nor has a rule that only a packet of two protocols would meet. A field of one message of ICMP
    // that is joined to a neighbour before its type is checked has no name there.
    let fields = rule.statements.iter().filter_map(|statement| match statement {
        Statement::Match(matches) => Some(matches.selector.fields()),
        _ => None,
    });
    let needs: Vec<_> = fields.flatten().map(|field| field.needs()).collect();
    let transports: Vec<_> = needs.iter().filter_map(|needs| needs.transport).collect();
    let of_message = needs.iter().any(|needs| !needs.message.is_empty());
    if transports.windows(2).any(|pair| pair.first() != pair.last()) || of_message && transports.len() > 1 {
        return false;
    }
    let other = match family {
        Family::Ip => Nfproto::IPV6,
        Family::Ip6 => Nfproto::IPV4,
        _ => return true,
    };
    rule.statements.iter().all(|statement| match statement {
        Statement::Match(matches) => matches
            .selector
            .fields()
            .all(|field| field.needs().transport.is_some() || field.needs().network != Some(other)),
        Statement::Reject(Some(Reject::Icmp(_))) => family == Family::Ip,
        Statement::Reject(Some(Reject::Icmpv6(_))) => family == Family::Ip6,
        _ => true,
    })
}

/// Returns whether ports are read from a protocol that has none: the bytes loaded then have no name
/// in the model.
fn reads_no_ports(rule: &Rule) -> bool {
    let mut known = None;
    rule.statements.iter().any(|statement| {
        let fields = match statement {
            Statement::Match(matches) => matches.selector.fields().collect(),
            Statement::VerdictMap { selector, .. } => selector.fields().collect(),
            Statement::SetMark { value: MarkValue::Map { selector, .. }, .. } => selector.fields().collect(),
            Statement::Reject(Some(Reject::TcpReset)) => {
                known = Some(Protocol::TCP);
                Vec::new()
            }
            _ => Vec::new(),
        };
        let needed = fields.iter().filter_map(|field| field.needs().transport).next_back();
        known = needed.or(known);
        let ports = fields.iter().any(|field| matches!(field, Field::ThDport | Field::ThSport));
        let none = ports && known.is_some_and(|protocol: Protocol| !protocol.has_ports());
        if let (Statement::Match(Match { op: Op::Eq, operand: Operand::Value(Value::Protocol(given)), .. }), false) =
            (statement, none)
        {
            known = Some(*given);
        }
        none
    })
}

/// Returns a program without what the start of its rule decides, which a tail does not have: the
/// types of anonymous sets, and whether bytes are one field or several that are compared one by
/// one.
fn apart(exprs: &[Expr]) -> Vec<Expr> {
    let mut apart = Vec::new();
    let mut rest = exprs;
    while let Some((first, after)) = rest.split_first() {
        let mut first = first.clone();
        rest = after;
        if let (Expr::Payload { base, offset, dreg, .. }, Some((Expr::Cmp { sreg, op: CmpOp::Eq, data }, after))) =
            (&first, after.split_first())
        {
            for (at, byte) in (*offset..).zip(data) {
                apart.push(Expr::Payload { base: *base, offset: at, len: 1, dreg: *dreg });
                apart.push(Expr::Cmp { sreg: *sreg, op: CmpOp::Eq, data: Bytes::from_slice(&[*byte]) });
            }
            rest = after;
            continue;
        }
        if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } = &mut first {
            (set.code.key_type, set.code.userdata) = (0, Vec::new());
        }
        apart.push(first);
    }
    apart
}

fn is_opaque(statement: &Statement) -> bool {
    matches!(statement, Statement::Opaque(_))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_lowered_rule_raises_to_its_canonical_form(rule in rule(), family in family()) {
        prop_assume!(fits(&rule, family) && !reads_no_ports(&rule));
        let exprs = program(&rule, family);
        let back = raised(&exprs, family);
        prop_assert!(!back.statements.iter().any(is_opaque), "{:?}\n{:?}", rule, back);
        prop_assert_eq!(&program(&back, family), &exprs, "{:?}\n{:?}", rule, back);
        prop_assert_eq!(raised(&program(&back, family), family), back);
    }

    #[test]
    fn every_program_and_every_tail_of_one_lower_back_to_themselves(rule in rule(), from in 0..9_usize, family in family()) {
        let exprs: Vec<Expr> = program(&rule, family).into_iter().skip(from).collect();
        let back = raised(&exprs, family);
        prop_assert_eq!(apart(&program(&back, family)), apart(&exprs), "{:?}", back);
    }

    #[test]
    fn a_single_statement_raises_to_a_single_statement(statement in statement()) {
        let rule = Rule::new().statement(statement);
        let back = raised(&program(&rule, Family::Inet), Family::Inet);
        prop_assert_eq!(back.statements.len(), 1, "{:?}", back);
    }
}
