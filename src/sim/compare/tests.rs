//! Tests of questions about open packets against every value, and of the results of comparisons.
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use super::bits::{number, width};
use super::domains::{Domains, constants};
use super::explorer::Explorer;
use super::{Compare, Comparison, compare};
use crate::bytecode::{CmpOp, lower_elements, lower_set};
use crate::model::{
    Chain, ChainType, CtState, CtStatus, DataType, Element, Family, Field, Hook, IcmpType, Icmpv6Type, Interval,
    IpFamily, Key, Limit, LimitOf, LimitUnit, LimitWhen, MarkValue, Match, Nat, Op, Operand, Policy, Priority,
    Protocol, Queue, QueueFlags, Rule, Ruleset, Set, Statement, Table, Tproxy, Value, ct_state, set, skuid,
    socket_exists,
};
use crate::sim::cells::{Cell, Input, bitwise};
use crate::sim::inputs::Inputs;
use crate::sim::rules::Rules;
use crate::sim::sets::SetIndex;

/// Returns every box that a question makes, with its answer.
fn boxes<T>(question: impl Fn(&mut Explorer) -> T) -> (Explorer, Vec<(Domains, T)>) {
    let mut explorer = Explorer::new(Hook::Prerouting, IpFamily::Ipv4, false, false);
    let mut boxes = Vec::new();
    while let Some(place) = explorer.todo.pop() {
        explorer.here = place;
        let answer = question(&mut explorer);
        boxes.push((explorer.here.domains, answer));
    }
    (explorer, boxes)
}

/// Returns the value of the cells when the inputs are these bytes.
fn filled(cells: &[Cell], inputs: &[(Input, Vec<u8>)]) -> Vec<u8> {
    let of = |cell: &Cell| match *cell {
        Cell::Known(byte) => byte,
        Cell::Open { input, byte, mask, xor } => {
            let (_, bytes) = inputs.iter().find(|(known, _)| *known == input).expect("an input of the test");
            bytes[usize::from(byte)] & mask ^ xor
        }
    };
    cells.iter().map(of).collect()
}

/// Asks, and compares with the answer for every 2-byte filling of the inputs.
fn check<T: PartialEq + std::fmt::Debug>(
    inputs: &[Input],
    cells: &[Cell],
    ask: impl Fn(&mut Explorer) -> T,
    expected: impl Fn(&[u8]) -> T,
    what: &str,
) {
    let (mut explorer, boxes) = boxes(ask);
    for filling in (0..=u16::MAX).step_by(251).chain([1, 255, 256, 0x7fff, 0x8000, 0xfffe, 0xffff]) {
        let mut bytes = filling.to_be_bytes().into_iter();
        let filling: Vec<(Input, Vec<u8>)> =
            inputs.iter().map(|input| (*input, bytes.by_ref().take(input.bytes()).collect())).collect();
        let mut holding = boxes.iter().filter(|(domains, _)| {
            filling.iter().all(|(input, bytes)| {
                let one = constants(&mut explorer.bdd, *input, &[number(*input, bytes)]);
                explorer.bdd.and(domains.get(*input), one) == one
            })
        });
        let (_, answer) = holding.next().expect("every packet is in a box");
        assert!(holding.next().is_none(), "{what}: {filling:?} is in two boxes");
        assert_eq!(*answer, expected(&filled(cells, &filling)), "{what}: {filling:?}");
    }
}

/// Returns registers with two open bytes, of one input or two, in either order, masked, flipped,
/// and with known bytes between.
fn registers() -> Vec<(Vec<Input>, Vec<Cell>)> {
    let two = |input: Input| vec![Cell::open(input, 0), Cell::open(input, 1)];
    let mut all = vec![(vec![Input::Dport], two(Input::Dport)), (vec![Input::CtZone], two(Input::CtZone))];
    all.push((vec![Input::CtZone], two(Input::CtZone).into_iter().rev().collect()));
    let (flags, kind) = (Cell::open(Input::TcpFlags, 0), Cell::open(Input::PktType, 0));
    all.push((vec![Input::TcpFlags, Input::PktType], vec![flags, kind]));
    all.push((vec![Input::TcpFlags, Input::PktType], vec![kind, Cell::Known(7), flags]));
    all.push((vec![Input::TcpFlags, Input::PktType], vec![flags, kind, flags]));
    for (inputs, cells) in all.clone() {
        let mut cells = cells;
        let mask: Vec<u8> = [0x3c, 0xff, 0x81].into_iter().take(cells.len()).collect();
        let xor: Vec<u8> = [0x10, 0x01, 0xff].into_iter().take(cells.len()).collect();
        bitwise(&mut cells, &mask, &xor);
        all.push((inputs, cells));
    }
    all
}

#[test]
fn comparing_open_bytes_agrees_with_trying_their_values() {
    let ops = [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge];
    for (inputs, cells) in registers() {
        for data in [[0x10, 0x01, 0x7e], [0x2c, 0x07, 0xff], [0, 0, 0]] {
            let data = &data[..cells.len()];
            for op in ops {
                let ask = |explorer: &mut Explorer| explorer.compare(&cells, op, data).expect("it can be decided");
                let expected = |bytes: &[u8]| crate::sim::machine::holds(op, bytes.cmp(data));
                check(&inputs, &cells, ask, expected, &format!("{cells:?} {op:?} {data:?}"));
            }
        }
        let (low, high) = (&[0x10, 0x07, 0x33][..cells.len()], &[0x3c, 0x10, 0x01][..cells.len()]);
        let ask = |explorer: &mut Explorer| explorer.within(&cells, low, high).expect("it can be decided");
        check(&inputs, &cells, ask, |bytes| low <= bytes && bytes <= high, &format!("{cells:?} in a range"));
    }
}

#[test]
fn looking_up_open_bytes_agrees_with_trying_their_values() {
    let port = |low, high| Element::new(Interval { low: Value::Port(low), high: Value::Port(high) });
    let integer = DataType::Integer { bytes: 1 };
    let byte = |low, high| Interval { low: Value::Integer(low), high: Value::Integer(high) };
    let pair = |a, b| Element::new(Key::Concat([a, b].into_iter().collect()));
    let points = [port(0x1001, 0x1001), port(0x2c07, 0x2c07), port(0, 0)];
    let ranges = [port(0x0100, 0x1000), port(0x2c07, 0x2c07), port(0xff00, 0xffff)];
    let pairs = [pair(byte(3, 3), byte(4, 4)), pair(byte(3, 3), byte(9, 9))];
    let areas = [pair(byte(3, 30), byte(4, 90)), pair(byte(31, 31), byte(0, 200)), pair(byte(32, 255), byte(7, 7))];
    let flags_and_kind = || {
        let [flags, kind] = [Input::TcpFlags, Input::PktType].map(|input| Cell::open(input, 0));
        let zero = Cell::Known(0);
        (vec![Input::TcpFlags, Input::PktType], vec![flags, zero, zero, zero, kind, zero, zero, zero])
    };
    let dport = || (vec![Input::Dport], vec![Cell::open(Input::Dport, 0), Cell::open(Input::Dport, 1)]);
    let cases = [
        (dport(), Set::new("s", [DataType::Port]).elements(points)),
        (dport(), Set::new("s", [DataType::Port]).interval().elements(ranges)),
        (flags_and_kind(), Set::new("s", [integer, integer]).elements(pairs)),
        (flags_and_kind(), Set::new("s", [integer, integer]).interval().elements(areas)),
    ];
    for ((inputs, cells), set) in cases {
        let elements: Vec<_> = lower_elements(&set).map(|element| element.expect("typed")).collect();
        let index = SetIndex::new(&lower_set(&set).expect("it has a key"), &elements);
        let ask = |explorer: &mut Explorer| explorer.find(&cells, &index).expect("it can be decided").is_some();
        check(&inputs, &cells, ask, |bytes| index.find(bytes).is_some(), &format!("{set:?}"));
    }
}

#[test]
fn boxes_of_interface_names_contain_only_valid_names() {
    let (explorer, boxes) = boxes(|explorer| {
        let cells: Vec<Cell> = (0..16).map(|byte| explorer.cell(Input::Iifname, byte)).collect();
        explorer.compare(&cells, CmpOp::Eq, b"eth0\0\0\0\0\0\0\0\0\0\0\0\0").expect("it can be decided")
    });
    assert_eq!(boxes.len(), 2);
    for (domains, _) in boxes {
        let name = explorer.bdd.lowest(domains.get(Input::Iifname), width(Input::Iifname)).expect("not empty");
        assert!(![0, b'/', b' '].contains(&name.to_be_bytes()[0]), "{name:x}");
    }
}

fn at(hook: Hook, of: ChainType, rules: Vec<Rule>) -> Rules {
    let chain = Chain::base("c", of, hook, Priority::MANGLE).rules(rules);
    Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain))).expect("valid")
}

fn output(rules: Vec<Rule>) -> Rules {
    at(Hook::Output, ChainType::Filter, rules)
}

fn first_line(compared: &Comparison) -> String {
    match compared {
        Comparison::CannotTell(reason) => format!("cannot tell: {reason}"),
        Comparison::Differs(example) => example.to_string().lines().next().unwrap_or_default().to_owned(),
        Comparison::Equivalent { classes, outside } => format!("equivalent, {classes} classes, {outside} outside"),
    }
}

#[test]
fn equal_rule_sets_are_equivalent_and_others_get_a_counterexample() {
    let tcp = || Rule::new().l4proto(Protocol::TCP);
    let copy = || Rule::new().set_ct_mark(MarkValue::copy(crate::model::MarkKey::Meta));
    let new = || Rule::new().ct_state(CtState::NEW);
    let cases = [
        (output(vec![]), output(vec![tcp()]), "equivalent, "),
        (
            output(vec![tcp().skuid(7).drop(), tcp().skuid(8).drop()]),
            output(vec![tcp().skuid(8).drop(), tcp().skuid(7).drop()]),
            "equivalent, ",
        ),
        (
            output(vec![Rule::new().mark(0x539).set_ct_mark(MarkValue::Constant(0x539))]),
            output(vec![Rule::new().mark(0x539).statement(copy().statements[0].clone())]),
            "equivalent, ",
        ),
        (
            output(vec![Rule::new().mark(0x539).statement(copy().statements[0].clone())]),
            output(vec![copy()]),
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 out eth0 ct mark 0x80: a leaves it alone, b sets mark 0x0 \
             of the connection",
        ),
        (
            output(vec![Rule::new().not(skuid(7)).drop()]),
            output(vec![Rule::new().skuid(7).accept(), Rule::new().drop()]),
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 out eth0: a leaves it alone, b drops it",
        ),
        (
            at(Hook::Output, ChainType::Route, vec![tcp().set_mark(MarkValue::Constant(1))]),
            output(vec![tcp().set_mark(MarkValue::Constant(1))]),
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 out eth0: a sets mark 0x1 and routes it again, b sets mark \
             0x1",
        ),
        (
            at(Hook::Prerouting, ChainType::Filter, vec![tcp().tproxy(Tproxy::to_port(1)).accept(), tcp().drop()]),
            at(Hook::Prerouting, ChainType::Filter, vec![tcp().tproxy(Tproxy::to_port(1)).accept()]),
            "at prerouting, tcp 10.77.0.1:40000 -> 10.77.0.2:9000 in eth0 without a listener: a drops it, b leaves it alone",
        ),
        (
            at(Hook::Input, ChainType::Filter, vec![new().drop()]),
            at(Hook::Input, ChainType::Filter, vec![new().ct_direction(crate::model::CtDirection::Original).drop()]),
            "equivalent, ",
        ),
        (
            at(Hook::Input, ChainType::Filter, vec![Rule::new().iif(1).iifname("lo").drop()]),
            at(Hook::Input, ChainType::Filter, vec![Rule::new().iifname("lo").drop()]),
            "equivalent, ",
        ),
        (
            at(Hook::Input, ChainType::Filter, vec![Rule::new().iif(2).drop()]),
            at(Hook::Input, ChainType::Filter, vec![Rule::new().iifname("eth0").drop()]),
            "cannot tell: it depends on which index the interface of a name has",
        ),
    ];
    for (a, b, expected) in &cases {
        let printed = first_line(&compare(a, b));
        assert!(printed.starts_with(expected), "{printed}\nshould be\n{expected}");
    }
}

#[test]
fn a_rate_matters_only_when_its_result_has_an_effect() {
    let often = || {
        Statement::Limit(Limit {
            rate: 5,
            per: LimitUnit::Second,
            of: LimitOf::Packets,
            burst: 5,
            when: LimitWhen::Until,
        })
    };
    let limited =
        |rule: Rule| output(vec![Rule::new().tcp_dport(22).statement(often()), rule.statement(often()).drop()]);
    let counts = output(vec![Rule::new().tcp_dport(22).statement(often()).counter()]);
    assert!(first_line(&compare(&counts, &output(vec![]))).starts_with("equivalent"), "it only counts");
    let a = limited(Rule::new().tcp_dport(80));
    assert!(first_line(&compare(&a, &a)).starts_with("equivalent"), "the same program");
    let printed = first_line(&compare(&a, &output(vec![])));
    assert_eq!(
        printed,
        "cannot tell: inet t c, rule 2: a rate is not a property of a packet, and what follows depends on it"
    );
}

#[test]
fn excluded_packets_may_differ_and_are_counted() {
    let (a, b) = (output(vec![Rule::new().skuid(7).drop()]), output(vec![]));
    let seven = Rule::new().skuid(7);
    let printed = |compare: Compare<'_>| first_line(&compare.run());
    assert_eq!(printed(Compare::new(&a, &b).outside(seven.clone())), "equivalent, 4 classes, 2 outside");
    assert!(printed(Compare::new(&a, &b).outside_at(Hook::Input, seven)).starts_with("at output, "));
    assert!(printed(Compare::new(&a, &b).outside(Rule::new().mark(set("s")))).starts_with("cannot tell: "));
    assert!(printed(Compare::new(&b, &a).at_most(1)).starts_with("cannot tell: at output: more than 1 classes"));
    let drops = Chain::base("c", ChainType::Filter, Hook::Output, Priority::MANGLE).policy(Policy::Drop);
    let drops = Rules::try_from(&Ruleset::new().table(Table::new(Family::Ip6, "t").chain(drops))).expect("valid");
    assert!(printed(Compare::new(&drops, &b)).starts_with("at output, tcp [fd77::2]:40000 -> [fd77::1]:9000"));
}

#[test]
fn notrack_is_no_difference_only_where_its_own_rules_enable_tracking() {
    let raw = |rules: Vec<Rule>| Chain::base("raw", ChainType::Filter, Hook::Output, Priority::RAW).rules(rules);
    let looks = || Chain::base("f", ChainType::Filter, Hook::Output, Priority::FILTER).rule(Rule::new().ct_mark(1));
    let rules = |chains: Vec<Chain>| {
        let table = chains.into_iter().fold(Table::new(Family::Inet, "t"), Table::chain);
        Rules::try_from(&Ruleset::new().table(table)).expect("valid")
    };
    let excludes = || raw(vec![Rule::new().notrack()]);
    let (none, tracks) = (rules(vec![]), rules(vec![looks()]));
    let (excluded, both) = (rules(vec![excludes()]), rules(vec![excludes(), looks()]));
    let cases = [(&excluded, &none, false), (&both, &tracks, false), (&excluded, &tracks, false), (&both, &none, true)];
    for (number, (a, b, equal)) in cases.into_iter().enumerate() {
        for (a, b) in [(a, b), (b, a)] {
            let printed = first_line(&compare(a, b));
            assert_eq!(printed.starts_with("equivalent"), equal, "case {number}: {printed}");
        }
    }
}

#[test]
fn packets_that_are_left_out_are_excluded_from_tracking_only_by_a_rule_that_can() {
    let hooked = |hook, rules: Vec<Rule>| {
        let name = if hook == Hook::Output { "output" } else { "prerouting" };
        Chain::base(name, ChainType::Filter, hook, Priority::RAW).rules(rules)
    };
    let rules = |arriving: Rule, leaving: Vec<Rule>| {
        let table = Table::new(Family::Ip, "t").chain(hooked(Hook::Prerouting, vec![arriving]));
        Rules::try_from(&Ruleset::new().table(table.chain(hooked(Hook::Output, leaving)))).expect("programs")
    };
    let answer = || Rule::new().udp_sport(53);
    let (zoned, tracked) = (answer().set_zone(1), answer().not(ct_state(CtState::UNTRACKED)).set_zone(1));
    for (leaving, is_same) in
        [(vec![Rule::new().tcp_dport(7).drop()], true), (vec![Rule::new().udp_dport(7).notrack()], false)]
    {
        let (a, b) = (rules(zoned.clone(), leaving.clone()), rules(tracked.clone(), leaving));
        let out = Rule::new().l4proto(Protocol::TCP);
        let compared = Compare::new(&a, &b).outside(out).run();
        assert_eq!(matches!(compared, Comparison::Equivalent { .. }), is_same, "{compared}");
    }
}

/// Cases that a comparison once considered the same, or could not decide.
#[test]
fn differences_in_rare_packets_are_found() {
    let set = |mark| MarkValue::Constant(mark);
    let base = |of, hook, priority, rules: Vec<Rule>| Chain::base(name(priority), of, hook, priority).rules(rules);
    let filter = |hook, priority, rules| base(ChainType::Filter, hook, priority, rules);
    let route = |priority, rules| base(ChainType::Route, Hook::Output, priority, rules);
    let nat = |hook, rules| base(ChainType::Nat, hook, Priority::DSTNAT, rules);
    let (inward, outward, last) = (Hook::Prerouting, Hook::Output, Hook::Postrouting);
    let (raw, mangle, late) = (Priority::RAW, Priority::MANGLE, Priority::FILTER);
    let untracked = || Rule::new().ct_state(CtState::UNTRACKED);
    let new = || Rule::new().ct_state(CtState::NEW);
    let redirect = || Rule::new().l4proto(Protocol::TCP).redirect_to(1);
    let net = |text: &str| Rule::new().ip_daddr(text.parse::<ipnetwork::Ipv4Network>().expect("a network"));
    let between = |from: [u8; 4], to: [u8; 4]| {
        let (from, to) = (std::net::IpAddr::from(from), std::net::IpAddr::from(to));
        let nat = Nat { addresses: Some((from, to)), family: Some(IpFamily::Ipv4), ..Nat::dnat() };
        Rule::new().statement(Statement::Nat(nat))
    };
    // All packets for which no translation is decided.
    let begun = || vec![new().drop()];
    let known = || {
        let done = Operand::Flags(Value::CtStatus(CtStatus::from_bits_retain(0x100)));
        let others = CtState::ESTABLISHED | CtState::RELATED | CtState::INVALID | CtState::UNTRACKED;
        let done = Statement::Match(Match::new(Field::CtStatus, Op::Eq, done));
        vec![Rule::new().ct_state(others).drop(), Rule::new().statement(done).drop()]
    };
    let checksum = || Rule::new().l4proto(Protocol::ICMP).th_dport(7);
    let excluded = || base(ChainType::Filter, outward, Priority(-301), vec![Rule::new().skuid(7).notrack()]);
    let queue = || Rule::new().statement(Statement::Queue(Queue { from: 1, to: 1, flags: QueueFlags::empty() }));
    let cases = [
        // A copy of a broadcast or multicast packet comes in by its link, with its connection.
        (
            vec![filter(inward, raw, vec![new().iifname("lo").drop()])],
            vec![filter(inward, raw, vec![new().drop()])],
            "at prerouting, tcp 10.77.0.1:40000 -> 10.77.0.2:9000 in eth0 tracked on its way out",
        ),
        // A packet excluded on its way out is untracked from the first chain of its way in.
        (
            vec![filter(inward, raw, vec![untracked().drop()]), excluded()],
            vec![filter(inward, raw, vec![new()]), excluded()],
            "at prerouting, tcp 10.77.0.1:40000 -> 10.77.0.2:9000 in eth0 state untracked tracked on its way out",
        ),
        // Neighbour discovery is never tracked.
        (
            vec![filter(inward, late, vec![untracked().drop()])],
            vec![filter(inward, late, vec![new()])],
            "at prerouting, ipv6-icmp",
        ),
        (
            vec![filter(inward, raw, vec![neighbour(Rule::new()).notrack()]), filter(inward, late, vec![new()])],
            vec![filter(inward, late, vec![new()])],
            "equivalent, ",
        ),
        // A packet that leaves through a tunnel has a socket, and came in by the tunnel.
        (
            vec![filter(last, late, vec![Rule::new().skuid(7).iif(0).drop()])],
            vec![filter(last, late, vec![Rule::new().skuid(7).drop()])],
            "at postrouting, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 7 gid 1000 in eth0 out eth0",
        ),
        // A socket of the kernel has a control group and no user.
        (
            vec![filter(
                outward,
                late,
                vec![Rule::new().cgroup(7).statement(Statement::Match(socket_exists())).drop()],
            )],
            vec![filter(outward, late, vec![Rule::new().cgroup(7).drop()])],
            "cannot tell: the difference is of packets of a socket without an owner",
        ),
        // The checksum of ICMP changes with the addresses.
        (
            vec![nat(last, vec![Rule::new().masquerade()]), filter(last, mangle, vec![checksum().drop()])],
            vec![nat(last, vec![Rule::new().masquerade()]), filter(last, Priority(200), vec![checksum().drop()])],
            "at postrouting, icmp",
        ),
        // The mark by which a packet was routed counts, not only the mark that it has.
        (
            vec![
                route(mangle, vec![Rule::new().set_mark(set(1))]),
                filter(outward, late, vec![Rule::new().set_mark(set(0))]),
            ],
            vec![filter(outward, late, vec![Rule::new().set_mark(set(0))])],
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 out eth0: a routes it again by mark 0x1, b leaves it alone",
        ),
        (
            vec![
                route(mangle, vec![Rule::new().set_mark(set(1))]),
                filter(outward, late, vec![Rule::new().set_mark(set(2))]),
            ],
            vec![route(mangle, vec![Rule::new().set_mark(set(2))])],
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 out eth0: a sets mark 0x2, routes it again by mark 0x1, b \
             sets mark 0x2 and routes it again",
        ),
        // A translation at output routes the packet again, by the mark that it has there.
        (
            vec![filter(outward, mangle, vec![Rule::new().set_mark(set(1))]), nat(outward, vec![redirect()])],
            vec![nat(outward, vec![redirect()]), filter(outward, late, vec![Rule::new().set_mark(set(1))])],
            "at output, tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000 out eth0: a redirects to :1, sets mark 0x1 and routes it \
             again, b redirects to :1, sets mark 0x1",
        ),
        // The connection of a dropped packet keeps its mark.
        (
            vec![filter(inward, late, vec![Rule::new().set_ct_mark(set(1)).drop()])],
            vec![filter(inward, late, vec![new(), Rule::new().drop()])],
            "at prerouting, tcp 10.77.0.1:40000 -> 10.77.0.2:9000 in eth0 status 0x8: a drops it and sets mark 0x1 of the connection, b \
             drops it",
        ),
        // A user-space program that accepts a packet sends it on.
        (
            vec![filter(inward, mangle, vec![queue()]), filter(inward, late, vec![Rule::new().drop()])],
            vec![filter(inward, mangle, vec![queue()])],
            "cannot tell: inet t c-150, rule 1: a program decides, and what follows is not the same on both sides",
        ),
        (
            vec![filter(inward, mangle, vec![queue()]), filter(inward, late, vec![Rule::new().drop()])],
            vec![filter(inward, mangle, vec![Rule::new(), queue()]), filter(inward, late, vec![Rule::new().drop()])],
            "equivalent, ",
        ),
        // Each side chooses for itself.
        (
            vec![
                filter(inward, raw, begun()),
                filter(inward, mangle, known()),
                nat(inward, vec![between([10, 0, 0, 1], [10, 0, 0, 2])]),
                filter(inward, late, vec![net("0.0.0.0/0").drop()]),
            ],
            vec![
                filter(inward, raw, begun()),
                filter(inward, mangle, known()),
                nat(inward, vec![between([10, 0, 0, 2], [10, 0, 0, 3])]),
                filter(inward, late, vec![net("10.0.0.0/30").drop()]),
            ],
            "cannot tell: at prerouting: both translate, each to another choice of addresses or ports, and look at the result",
        ),
        // A zone that is set after tracking detaches the packet from its connection, even zone 0.
        (
            vec![filter(inward, late, vec![Rule::new().ct_state(CtState::INVALID).set_zone(0)])],
            vec![filter(inward, late, vec![new()])],
            "at prerouting, tcp 10.77.0.1:40000 -> 10.77.0.2:9000 in eth0 state invalid",
        ),
        // Translation drops redirects about what it translates, regardless of later rules.
        (
            vec![nat(inward, vec![redirect()]), filter(inward, mangle, vec![about().reject()])],
            vec![nat(inward, vec![redirect()]), filter(inward, late, vec![about().reject()])],
            "at prerouting, icmp 10.77.0.1 -> 10.77.0.2",
        ),
    ];
    for (number, (a, b, expected)) in cases.into_iter().enumerate() {
        let [a, b] = [a, b].map(|chains| {
            let table = chains.into_iter().fold(Table::new(Family::Inet, "t"), Table::chain);
            Rules::try_from(&Ruleset::new().table(table)).expect("valid")
        });
        let printed = first_line(&compare(&a, &b));
        println!("case {number}: {printed}");
        assert!(printed.starts_with(expected), "case {number}: {printed}\nshould be\n{expected}");
    }
}

fn name(priority: Priority) -> String {
    format!("c{}", priority.0)
}

fn neighbour(rule: Rule) -> Rule {
    let kind = Operand::Value(Value::Icmpv6Type(Icmpv6Type(135)));
    rule.statement(Statement::Match(Match::new(Field::Icmpv6Type, Op::Eq, kind)))
}

/// Returns a match on an ICMP redirect about a connection.
fn about() -> Rule {
    let kind = Operand::Value(Value::IcmpType(IcmpType::REDIRECT));
    Rule::new().ct_state(CtState::RELATED).statement(Statement::Match(Match::new(Field::IcmpType, Op::Eq, kind)))
}
