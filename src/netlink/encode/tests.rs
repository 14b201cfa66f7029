//! Compares both backends.

mod cuts;

use std::time::Duration;

use super::*;
use crate::attr;
use crate::bytecode::{Bytes, DynsetCode, ElementCode, ElementDataCode, ElementExtras, ObjrefMapCode, SetCode};
use crate::model::{
    Chain, ChainHandle, ChainType, DataType, Element, Family, Generation, Hook, Interval, ObjectHandle, Policy,
    Priority, RuleHandle, Ruleset, Set, SetHandle, Table, TableHandle, Value, Verdict, set,
};
use crate::state::{ChainState, Counters, HookState, OpaqueState, RuleState, SetState, TableState};

fn encoded(backend: Backend, transaction: &Transaction, ending: Ending) -> Encoded {
    let known = KnownSets::of(transaction);
    encode_with(backend, transaction, &known, ending, 7).unwrap_or_else(|(index, why)| panic!("op {index}: {why}"))
}

/// Returns the messages of both backends, which must be equal.
#[track_caller]
fn both(transaction: &Transaction) -> Encoded {
    let own = encoded(Backend::Own, transaction, Ending::AcknowledgedLast);
    let other = encoded(Backend::default(), transaction, Ending::AcknowledgedLast);
    let [mut a, mut b] = [&own, &other].map(|encoded| attr::Messages::new(encoded.messages.as_bytes()));
    loop {
        let (own, other) = (a.next(), b.next());
        assert_eq!(own, other);
        if own.is_none() {
            break;
        }
    }
    assert_eq!(own.origins, other.origins);
    own
}

/// Returns every variant of `Expr`, each with everything it can have.
fn exprs() -> Vec<Expr> {
    use crate::bytecode::*;
    use crate::model::{IpFamily, NatKind};
    let (r1, r2) = (Register::FIRST, Register::SECOND);
    let value = |bytes: &[u8]| Bytes::from_slice(bytes);
    let ends = |min, max| RegisterRange { min, max };
    let log = LogCode {
        prefix: Some("a prefix".into()),
        level: Some(4),
        group: Some(2),
        snaplen: Some(64),
        queue_threshold: Some(7),
        flags: 31,
    };
    let nat = |kind, family| NatCode {
        kind,
        family,
        addresses: ends(Some(r1), None),
        ports: ends(Some(r2), Some(r2)),
        flags: 2,
    };
    let xt = |attributes: &[(u16, &[u8])]| -> Box<[u8]> {
        attributes.iter().flat_map(|(kind, value)| crate::testing::attribute(*kind, value)).collect()
    };
    vec![
        Expr::Bitwise(BitwiseCode { reg: r1, mask: value(&[255; 16]), xor: value(&[1; 16]) }),
        Expr::Byteorder { reg: r2, len: 4 },
        Expr::Cmp { sreg: r1, op: CmpOp::Ge, data: value(&[1, 2, 3]) },
        Expr::Counter { packets: 1 << 40, bytes: 7 },
        Expr::Ct { key: CtKey(0), dreg: r1 },
        Expr::CtSet { key: CtKey(1), sreg: r1 },
        Expr::Fib { result: FibResult(1), flags: FibFlags(9), dreg: r2 },
        Expr::Immediate { dreg: r1, data: value(&[0, 80]) },
        Expr::Limit(LimitCode { rate: 9, unit: 3600, burst: 5, kind: 1, flags: 1 }),
        Expr::Log(LogCode::default()),
        Expr::Log(log),
        Expr::Lookup { sreg: r1, dreg: Some(r2), set: LookupSet::Named("named".into()), inverted: false },
        Expr::Lookup { sreg: r1, dreg: None, set: LookupSet::Named("named".into()), inverted: true },
        Expr::Masq { ports: ends(Some(r1), Some(r2)), flags: 4 },
        Expr::Masq { ports: ends(None, None), flags: 0 },
        Expr::Meta { key: MetaKey::MARK, dreg: r1 },
        Expr::MetaSet { key: MetaKey::MARK, sreg: r1 },
        Expr::Nat(nat(NatKind::Dnat, Some(IpFamily::Ipv6))),
        Expr::Nat(nat(NatKind::Snat, None)),
        Expr::Notrack,
        Expr::Opaque { name: "match".into(), data: xt(&[(1, b"tcp\0"), (2, &[0, 0, 0, 1]), (3, &[7; 13])]), set: None },
        Expr::Opaque { name: "target".into(), data: xt(&[(1, b"TCPMSS\0"), (2, &[0; 4]), (3, &[])]), set: None },
        RawExpr::new("unheard").be32(1, 1).be32(2, 7).be32(3, 0).be32(4, 0).into(),
        RawExpr::new("dynset").text(1, "s").be32(3, 1).be32(4, 1).nest(7, |e| e.text(1, "unheard")).into(),
        RawExpr::new("numgen").be32(1, 1).be32(2, 7).be32(3, 0).be32(4, 0).be32(5, 1).into(),
        Expr::Payload { base: PayloadBase(2), offset: 16, len: 4, dreg: r1 },
        Expr::Queue(QueueCode { num: 1, total: 3, flags: 2 }),
        Expr::Range { sreg: r1, op: CmpOp::Ne, low: value(&[1]), high: value(&[9]) },
        Expr::Redir { ports: ends(Some(r1), None), flags: 2 },
        Expr::Reject(RejectCode { kind: 2, code: 3 }),
        Expr::Socket { key: SocketKey(2), dreg: r1 },
        Expr::Tproxy(TproxyCode { family: Some(IpFamily::Ipv4), address: Some(r1), port: Some(r2) }),
        Expr::Tproxy(TproxyCode { family: None, address: None, port: None }),
        Expr::Verdict(Verdict::Accept),
        Expr::Verdict(Verdict::Continue),
        Expr::Verdict(Verdict::Drop),
        Expr::Verdict(Verdict::Goto("there".into())),
        Expr::Verdict(Verdict::Jump("there".into())),
        Expr::Verdict(Verdict::Return),
    ]
    .into_iter()
    .chain(crate::testing::exprs::all())
    .collect()
}

/// So that nothing is compared twice that the decoder does not know.
#[test]
fn every_expression_with_a_type_is_read_as_it_was_written() {
    for expr in crate::testing::exprs::all() {
        let mut bytes = Vec::new();
        crate::netlink::expr::write(&mut AttributeWriter::new(&mut bytes), &expr, 0).expect("it fits an attribute");
        let data = attr::Attributes::new(&bytes).find(2).expect("attributes").value;
        let read = crate::netlink::decode::known_expr(expr.name(), data);
        // What an anonymous set holds is in messages of its own.
        let mut expected = expr.clone();
        if let Expr::Dynset(DynsetCode { anonymous, .. }) | Expr::ObjrefMap(ObjrefMapCode { anonymous, .. }) =
            &mut expected
        {
            if anonymous.take().is_some() {
                assert_eq!(read, None, "a number of a set is only sent");
                continue;
            }
        }
        assert_eq!(read, Some(expected));
    }
}

fn table() -> TableId {
    TableId::new(Family::Inet, "t")
}

fn restored(state: State) -> Operation {
    Operation::Restore { table: table(), state: Box::new(state) }
}

fn rule(exprs: Vec<Expr>) -> State {
    let rule = RuleState { handle: RuleHandle(9), exprs, userdata: vec![0, 2, b'x', 0], opaque: Vec::new() };
    State::Rule { chain: "c".into(), position: Position::Last, rule }
}

#[test]
fn every_expression_has_the_bytes_that_libnftnl_gives_it() {
    let one_by_one = exprs().into_iter().map(|expr| restored(rule(vec![expr])));
    let mut transaction = Transaction::new();
    transaction.extend(one_by_one);
    transaction.extend([restored(rule(exprs()))]);
    both(&transaction);
}

#[test]
fn every_operation_has_the_bytes_that_libnftnl_gives_it() {
    let chain = table().chain("c");
    let v4 = |address: u32| Value::Ipv4(address.into());
    let interval = |n: u32| Element::new(Interval { low: v4(n << 9), high: v4((n << 9) + 3) });
    let declared = Set::new("many", [DataType::Ipv4]).interval();
    let many = declared.clone().elements((0..4000).map(interval));
    let element = |n: u16| Element::new(Value::Port(n)).comment("a comment").timeout(Duration::from_secs(7));
    let ports = Set::new("ports", [DataType::Port]).timeout(Duration::from_secs(60)).size(100);
    let pairs = Set::new("pairs", [DataType::Ipv4, DataType::Port]).interval();
    let go = Set::verdict_map("go", [DataType::Port])
        .elements([Element::new(Value::Port(1)).verdict(Verdict::Jump("r".into())), element(2).verdict(Verdict::Drop)]);
    let rule = || Rule::new().tcp_dport([1, 2, 3]).ip_saddr(set("many")).udp_dport([7, 9]).counter().comment("words");
    let tables = Ruleset::new().table(
        Table::new(Family::Inet, "t")
            .flags(TableFlags::DORMANT)
            .set(many)
            .set(ports.clone().elements([element(1), element(2)]))
            .set(pairs)
            .set(go)
            .chain(Chain::regular("r"))
            .chain(Chain::base("c", ChainType::Nat, Hook::Output, Priority(-7)).policy(Policy::Drop).rule(rule())),
    );
    let transaction = Transaction::replace(tables)
        .operation(Operation::AddElements { table: table(), set: declared.elements([interval(9000)]) })
        .operation(Operation::DeleteElements { table: table(), set: ports.clone().elements([element(1)]) })
        .insert_rule(&chain, Position::First, rule())
        .insert_rule(&chain, Position::Before(RuleHandle(4)), rule())
        .insert_rule(&chain, Position::After(RuleHandle(4)), rule())
        .replace_rule(&chain, RuleHandle(4), rule())
        .delete_rule(&chain, RuleHandle(4))
        .flush_chain(&chain)
        .flush_table(&table())
        .flush_set(&table().set("many"))
        .delete_chain(&chain)
        .delete_set(&table().set("many"))
        .delete_table(&table())
        .destroy_rule(&chain, RuleHandle(4))
        .destroy_chain(&chain)
        .operation(Operation::DestroyElements { table: table(), set: ports })
        .operation(Operation::DestroyObject { table: table(), kind: "quota".into(), name: "q".into() })
        .operation(Operation::DestroyObject { table: table(), kind: "flowtable".into(), name: "f".into() })
        .destroy_set(&table().set("many"))
        .destroy_table(&table())
        .operation(Operation::FlushRuleset(Some(Family::Ip6)))
        .flush_ruleset()
        .at_generation(Generation(77));
    let encoded = both(&transaction);
    let more =
        encoded.origins.iter().filter(|origin| matches!(origin.part, MessagePart::Elements { first } if first > 0));
    assert_eq!(more.count(), 2, "8,000 codes of 20 bytes take three messages");
}

/// What libnftnl can express too.
#[test]
fn every_restored_object_has_the_bytes_that_libnftnl_gives_it() {
    let userdata = vec![0, 2, b'x', 0];
    let code = SetCode {
        flags: 0x48,
        key_type: 13,
        key_len: 2,
        size: Some(9),
        userdata: userdata.clone(),
        policy: 1,
        object: Some(1),
        ..SetCode::default()
    };
    let mut transaction = Transaction::new();
    transaction.extend([
        restored(State::Table(TableState { userdata: userdata.clone(), flags: 1, ..bare_table() })),
        restored(State::Chain(ChainState { userdata, flags: 7, ..bare_chain() })),
        restored(State::Set(SetState { code, ..bare_set() })),
        Operation::DeleteSet { table: table(), set: "s".into() },
    ]);
    both(&transaction);
}

fn bare_table() -> TableState {
    TableState { handle: TableHandle(3), uses: 9, ..TableState::bare(table(), 0) }
}

fn bare_chain() -> ChainState {
    let (rules, userdata, opaque) = (Vec::new(), Vec::new(), Vec::new());
    let (hook, counters) = (None, None);
    ChainState {
        name: "c".into(),
        handle: ChainHandle(4),
        hook,
        flags: 0,
        uses: 1,
        unlisted: 0,
        counters,
        userdata,
        rules,
        opaque,
    }
}

fn bare_set() -> SetState {
    let (elements, order, expires) = (Vec::new(), Vec::new(), Vec::new());
    let (code, backend, count) = (SetCode::default(), Some("nft_hash_type".into()), Some(4));
    SetState { name: "s".into(), handle: SetHandle(5), code, elements, order, expires, backend, count }
}

/// Returns an attribute of a newer kernel, for every place where one can occur.
fn unknown() -> Vec<u8> {
    crate::testing::attribute(99, b"unknown")
}

#[test]
fn a_restored_snapshot_decodes_to_itself() {
    let opaque = || Expr::Opaque { name: "numgen".into(), data: unknown().into(), set: None };
    let key = |number: u8| Bytes::from_slice(&[number, 0, 0, 0]);
    let extras = ElementExtras { exprs: vec![opaque()], object: Some("o".into()), opaque: unknown() };
    let several = ElementExtras { exprs: vec![opaque(), opaque()], object: None, opaque: Vec::new() };
    let element = |number, extras| ElementCode { key: key(number), extras, ..ElementCode::default() };
    let catch_all = ElementCode {
        flags: 2,
        data: Some(Box::new(ElementDataCode::Verdict(Verdict::Drop))),
        ..ElementCode::default()
    };
    let hook = HookState {
        chain_type: "filter".into(),
        hook: 0,
        priority: -7,
        policy: 0,
        devices: vec!["lo".into(), "eth0".into()],
        opaque: unknown(),
    };
    let set = SetState {
        code: SetCode {
            key_len: 4,
            exprs: vec![opaque(), opaque()],
            opaque: unknown(),
            policy: 1,
            ..SetCode::default()
        },
        elements: vec![catch_all, element(1, Some(Box::new(extras))), element(2, Some(Box::new(several)))],
        expires: vec![None, Some(77), None],
        ..bare_set()
    };
    let chain = ChainState {
        hook: Some(hook),
        flags: 3,
        counters: Some(Counters { packets: 5, bytes: 6 }),
        userdata: vec![1, 2],
        opaque: unknown(),
        ..bare_chain()
    };
    let rule =
        RuleState { handle: RuleHandle(1), exprs: vec![opaque(), Expr::Notrack], userdata: vec![3], opaque: unknown() };
    let object = [(2, b"o\0".as_slice()), (3, &[0, 0, 0, 2]), (5, &[0, 0, 0, 9]), (6, &[0; 8]), (99, b"x")];
    let attributes = object.iter().flat_map(|(kind, value)| crate::testing::attribute(*kind, value)).collect();
    let object = OpaqueState { kind: "quota".into(), name: "o".into(), handle: ObjectHandle(0), attributes };
    let mut transaction = Transaction::new();
    transaction.extend([
        restored(State::Table(TableState { userdata: vec![9], opaque: unknown(), flags: 1, ..bare_table() })),
        restored(State::Chain(chain.clone())),
        restored(State::Object(object)),
        restored(State::Set(set.clone())),
        restored(State::Rule { chain: "c".into(), position: Position::Last, rule: rule.clone() }),
    ]);
    let known = KnownSets::of(&transaction);
    for backend in [Backend::Own, Backend::default()] {
        let encoded = encode_with(backend, &transaction, &known, Ending::DryRun, 1).expect("all of it can be encoded");
        let mut assembly = crate::netlink::Assembly::new(None);
        for message in attr::Messages::new(encoded.messages.as_bytes()).skip(1) {
            assembly.read(&message.expect("whole")).expect("whole");
        }
        for request in assembly.element_requests() {
            assert!(assembly.settle(&request));
        }
        let snapshot = assembly.finish(Generation(1));
        let [read] = snapshot.tables.as_slice() else { panic!("{snapshot:?}") };
        assert_eq!((read.userdata.as_slice(), &read.opaque, read.flags), ([9].as_slice(), &unknown(), 1));
        let [read_set] = read.sets.as_slice() else { panic!("{read:?}") };
        assert_eq!(read_set.elements, set.elements);
        assert_eq!(read_set.expires, set.expires);
        // The id of the set within the batch is not an attribute of a dump.
        let id = [8, 0, 10, 0, 0, 0, 0, 1].as_slice();
        let code = SetCode { opaque: [id, &unknown()].concat(), ..set.code.clone() };
        assert_eq!(read_set.code, code);
        let [read_chain] = read.chains.as_slice() else { panic!("{read:?}") };
        let rules = vec![RuleState { handle: RuleHandle(0), ..rule.clone() }];
        assert_eq!(
            *read_chain,
            ChainState { handle: ChainHandle(0), uses: 0, flags: 2, rules, unlisted: 0, ..chain.clone() }
        );
        let [read_object] = read.objects.as_slice() else { panic!("{read:?}") };
        let kinds: Vec<_> = attr::Attributes::new(&read_object.attributes).map(|a| a.expect("whole").kind).collect();
        assert_eq!((read_object.kind.as_str(), kinds.as_slice()), ("quota", [1, 2, 3, 99].as_slice()));
    }
}

#[test]
fn elements_are_split_over_several_messages() {
    let long = |number: u8| {
        let expr = Expr::Opaque { name: "x".into(), data: crate::testing::attribute(1, &[7; 2996]).into(), set: None };
        let extras = Some(Box::new(ElementExtras { exprs: vec![expr], ..ElementExtras::default() }));
        ElementCode { key: Bytes::from_slice(&[number]), extras, ..ElementCode::default() }
    };
    let set = SetState { elements: (0..50).map(long).collect(), ..bare_set() };
    let mut transaction = Transaction::new();
    transaction.extend([restored(State::Set(set))]);
    let own = encoded(Backend::Own, &transaction, Ending::DryRun);
    let parts: Vec<_> = own.origins.iter().skip(1).map(|origin| origin.part).collect();
    assert_eq!(parts, [0, 21, 42].map(|first| MessagePart::Elements { first }));
}

#[test]
fn a_rule_longer_than_one_attribute_is_an_error_that_names_the_limit() {
    let long = Expr::Opaque { name: "x".into(), data: crate::testing::attribute(1, &[7; 40_000]).into(), set: None };
    let mut transaction = Transaction::new();
    transaction.extend([restored(rule(vec![long.clone(), long]))]);
    let error = encode(&transaction, &KnownSets::default(), Ending::DryRun, 1).expect_err("80,000 bytes");
    assert_eq!((error.0, error.1.to_string().as_str()), (0, "80044 bytes where the kernel takes 65535"));
}

#[test]
fn a_rule_with_an_xtables_match_gets_its_compat_protocol() {
    let l4 = Expr::Meta { key: crate::bytecode::MetaKey::L4PROTO, dreg: crate::bytecode::Register::FIRST };
    let cmp = |op| Expr::Cmp { sreg: crate::bytecode::Register::FIRST, op, data: Bytes::from_slice(&[6]) };
    let matches = || Expr::Opaque { name: "match".into(), data: [].into(), set: None };
    let eq = crate::bytecode::CmpOp::Eq;
    let ne = crate::bytecode::CmpOp::Ne;
    let of = |exprs: &[Expr]| compat::Compat::of(exprs).map(|compat| (compat.protocol, compat.flags));
    assert_eq!(of(&[l4.clone(), cmp(eq), matches()]), Some((6, 0)));
    assert_eq!(of(&[l4.clone(), cmp(ne), matches()]), Some((6, 2)));
    assert_eq!(of(&[matches(), l4.clone(), cmp(eq)]), None, "the check comes too late for the match");
    assert_eq!(of(&[l4, cmp(eq)]), None);
}
