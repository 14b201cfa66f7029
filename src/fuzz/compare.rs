//! Comparisons against brute force: rule sets over so few values that every packet of a small space
//! can be tried.

use std::net::{Ipv4Addr, SocketAddr};

use super::judge::Judge;
use super::print;
use super::source::Source;
use crate::model::{
    Base, Chain, ChainKind, ChainType, CtState, DataType, Element, ElementData, Family, Field, Hook, IfName, Interval,
    Key, MarkKey, MarkValue, Match, Nat, Op, Operand, Policy, PortRange, Priority, Protocol, Rule, Ruleset, Selector,
    Set, SetData, Statement, Table, Tproxy, Value, Verdict, set,
};
use crate::sim::{
    CannotTell, Compare, Comparison, Interface, Owner, Packet, Rules, Situation, compare as compare_rules,
};

/// Two rule sets made of these bytes: what a comparison says of them is what trying packets says.
pub fn compare(bytes: &[u8]) {
    let _answer = judged(bytes);
}

/// `None` when one of them is not valid.
fn judged(bytes: &[u8]) -> Option<Answer> {
    let mut from = Source::new(bytes);
    // The second is the first with some bytes changed.
    let changes = from.several(16, |from| (usize::from(from.byte()), from.byte()));
    let mut changed = from.rest().to_vec();
    for (at, to) in changes {
        changed.get_mut(at).into_iter().for_each(|slot| *slot = to);
    }
    let [a, b] = [from.rest(), &changed].map(|bytes| ruleset(&mut Source::new(bytes)));
    if a.validate_strictly().is_err() || b.validate_strictly().is_err() {
        return None;
    }
    let [rules_a, rules_b] = [&a, &b].map(|ruleset| Rules::try_from(ruleset).expect("it is valid"));
    Some(judge(&a, &b, &rules_a, &rules_b))
}

/// What a situation cannot say: listeners of several ports, and who owns the socket of one.
fn is_undecidable(reason: &CannotTell) -> bool {
    let reason = reason.to_string();
    ["a listener on one port", "whose transparent socket"].iter().any(|known| reason.contains(known))
}

/// Fails when the answer is wrong.
fn judge(a: &Ruleset, b: &Ruleset, rules_a: &Rules, rules_b: &Rules) -> Answer {
    let judge = Judge::new(a, b).expect("they are valid");
    let differs = |hook, situation: &Situation| match judge.differ(hook, situation) {
        Ok(differs) => differs,
        // The same program on both sides.
        Err(reason) if is_undecidable(&reason) => false,
        Err(reason) => panic!("{reason}\n{a}\n{b}"),
    };
    let whole = compare_rules(rules_a, rules_b);
    // As where there are many rules.
    let cut = Compare::new(rules_a, rules_b).cut_above(0).run();
    let kind = std::mem::discriminant;
    let is_decided = |answer: &Comparison| !matches!(answer, Comparison::CannotTell(_));
    assert!(kind(&whole) == kind(&cut) || !is_decided(&whole), "{whole}\nin parts: {cut}\n{a}\n{b}");
    if let Comparison::Differs(example) = &cut {
        assert!(differs(example.hook, &example.situation), "in parts: {example}\n{a}\n{b}");
    }
    match whole {
        Comparison::CannotTell(reason) if is_undecidable(&reason) => Answer::CannotTell,
        Comparison::CannotTell(reason) => panic!("{reason}\n{a}\n{b}"),
        Comparison::Differs(example) => {
            print(&example);
            let shown = differs(example.hook, &example.situation);
            assert!(shown && a != b, "{example}\n{a}\n{b}");
            Answer::Differs
        }
        Comparison::Equivalent { .. } => {
            for (hook, situation) in space(a, b) {
                assert!(!differs(hook, &situation), "at {} {situation:?}\n{a}\n{b}", hook.name());
            }
            Answer::Equivalent
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    CannotTell,
    Differs,
    Equivalent,
}

/// Every packet that the rules could look for, at the hooks that they have.
fn space(a: &Ruleset, b: &Ruleset) -> Vec<(Hook, Situation)> {
    let chains = a.tables.iter().chain(&b.tables).flat_map(|table| &table.chains);
    let hooked: Vec<Hook> = chains
        .filter_map(|chain| match &chain.kind {
            ChainKind::Base(base) => Some(base.hook),
            ChainKind::Bound | ChainKind::Device(_) | ChainKind::Opaque(_) | ChainKind::Regular => None,
        })
        .collect();
    let mut space = Vec::new();
    for hook in Hook::ALL.into_iter().filter(|hook| hooked.contains(hook)) {
        for number in (0..SIZE).step_by(STEP) {
            space.extend(packet(hook, number).map(|situation| (hook, situation)));
        }
    }
    space
}

/// Without optimisation, some of them must do.
const STEP: usize = if cfg!(debug_assertions) { 5 } else { 1 };
const SIZE: usize = 4 * 3 * 2 * 3 * 4 * 4 * 2;

/// Packet number `number` below [`SIZE`]; `None` where there is none.
fn packet(hook: Hook, mut number: usize) -> Option<Situation> {
    let mut digit = |base: usize| {
        let digit = number % base;
        number /= base;
        digit
    };
    let to = SocketAddr::from((*ADDRESSES.get(digit(4))?, *PORTS.get(digit(3))?));
    let from = SocketAddr::from(([10, 0, 0, 9], 1000));
    let mut packet = if digit(2) == 0 { Packet::tcp(from, to) } else { Packet::udp(from, to) };
    packet.owner = [None, Some(0), Some(3)].get(digit(3)).copied()?.map(|uid| Owner::new(uid, uid));
    packet.mark = *MARKS.get(digit(4))?;
    let interface = match digit(2) {
        0 => Interface::new(1, "lo"),
        _ => Interface::new(2, "eth0"),
    };
    let mut situation = Situation::new(packet);
    let state = digit(4);
    situation.connection.state =
        *[CtState::NEW, CtState::ESTABLISHED, CtState::INVALID, CtState::RELATED].get(state)?;
    situation.connection.mark = u32::from(state == 1);
    let has_owner = situation.packet.owner.is_some();
    match hook {
        Hook::Prerouting | Hook::Input => situation.incoming = Some(interface),
        Hook::Output | Hook::Postrouting => situation.outgoing = Some(interface),
        Hook::Forward => {
            (situation.incoming, situation.outgoing) = (Some(interface), Some(Interface::new(3, "eth1")));
        }
    }
    (!has_owner || !matches!(hook, Hook::Prerouting | Hook::Forward)).then_some(situation)
}

const ADDRESSES: [[u8; 4]; 4] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 1, 1], [127, 0, 0, 1]];
const PORTS: [u16; 3] = [80, 81, 443];
const MARKS: [u32; 4] = [0, 1, 2, 3];

fn ruleset(from: &mut Source<'_>) -> Ruleset {
    let mut table = Table::new(if from.rarely(4) { Family::Ip } else { Family::Inet }, "t");
    let hosts = from.several(3, |from| Element::new(addresses(from)));
    let hosts = Set::new("hosts", [DataType::Ipv4]).auto_merge().elements(hosts);
    let mut pairs = Set::new("pairs", [DataType::Ipv4, DataType::Port]);
    let mut marks = Set::new("marks", [DataType::Port]);
    let mut go = Set::new("go", [DataType::Mark]);
    (marks.data, go.data) = (SetData::Value(DataType::Mark), SetData::Verdict);
    for port in PORTS {
        let pair = [address(from), Value::Port(port)].map(Interval::point);
        pairs = if from.rarely(2) { pairs.elements([Element::new(Key::Concat(pair.into()))]) } else { pairs };
        let mark = mapped(Value::Port(port), ElementData::Value(Value::Mark(from.pick(&MARKS))));
        marks = if from.rarely(2) { marks.elements([mark]) } else { marks };
    }
    for mark in MARKS {
        let verdict = from.pick(&[Verdict::Accept, Verdict::Drop, Verdict::Return, Verdict::Jump("r1".into())]);
        let element = mapped(Value::Mark(mark), ElementData::Verdict(verdict));
        go = if from.rarely(2) { go.elements([element]) } else { go };
    }
    table = table.set(hosts).set(pairs).set(marks).set(go);
    let hook = from.pick(&Hook::ALL);
    for at in 0..=from.below(2) {
        let hook = if from.rarely(4) { from.pick(&Hook::ALL) } else { hook };
        let of = from.pick(&[ChainType::Filter, ChainType::Filter, ChainType::Nat, ChainType::Route]);
        let of = if of.hooks().contains(&hook) { of } else { ChainType::Filter };
        let priority = from.pick(&[Priority::RAW, Priority::MANGLE, Priority::DSTNAT, Priority::FILTER]);
        let base = Base { chain_type: of, hook, priority, policy: from.pick(&[Policy::Accept, Policy::Drop]) };
        let mut chain = Chain::regular(format!("b{at}"));
        chain.kind = ChainKind::Base(base);
        table = table.chain(chain.rules(from.several(4, |from| rule(from, &base, "r0"))));
    }
    let base = Base { chain_type: ChainType::Filter, hook, priority: Priority::FILTER, policy: Policy::Accept };
    table = table.chain(Chain::regular("r0").rules(from.several(2, |from| rule(from, &base, "r1"))));
    table = table.chain(Chain::regular("r1").rules(from.several(2, |from| rule(from, &base, ""))));
    Ruleset::new().table(table)
}

fn mapped(key: Value, data: ElementData) -> Element {
    let mut element = Element::new(key);
    element.data = Some(Box::new(data));
    element
}

fn address(from: &mut Source<'_>) -> Value {
    Value::Ipv4(Ipv4Addr::from(from.pick(&ADDRESSES)))
}

fn addresses(from: &mut Source<'_>) -> Interval {
    let (one, other) = (address(from), address(from));
    if one <= other { Interval { low: one, high: other } } else { Interval { low: other, high: one } }
}

fn rule(from: &mut Source<'_>, base: &Base, next: &str) -> Rule {
    let mut rule = Rule::new();
    for _ in 0..from.below(3) {
        rule = rule.statement(Statement::Match(matches(from, base.hook)));
    }
    let is_nat = base.chain_type == ChainType::Nat;
    let marks = [MarkKey::Meta, MarkKey::Ct];
    match from.below(if is_nat { 12 } else { 10 }) {
        0 => rule.accept(),
        1 => rule.drop(),
        2 => rule.r#return(),
        3 if !next.is_empty() => rule.jump(next),
        4 => {
            let (key, value) = (from.pick(&marks), MarkValue::Constant(from.pick(&MARKS)));
            rule.statement(Statement::SetMark { key, value })
        }
        5 => {
            let value = MarkValue::From { from: from.pick(&marks), mask: from.byte().into(), xor: from.pick(&MARKS) };
            rule.statement(Statement::SetMark { key: from.pick(&marks), value })
        }
        6 => {
            let value = MarkValue::Map { selector: Selector::Field(Field::TcpDport), map: set("marks") };
            let statement = Statement::SetMark { key: from.pick(&marks), value };
            rule.l4proto(Protocol::TCP).statement(statement)
        }
        7 if !next.is_empty() && next != "r1" => rule.vmap(Field::Mark, set("go")),
        8 if base.hook == Hook::Prerouting && !is_nat => {
            rule.l4proto(Protocol::TCP).tproxy(Tproxy::to_port(from.pick(&PORTS))).accept()
        }
        9 if matches!(base.hook, Hook::Prerouting | Hook::Output) && base.priority == Priority::RAW => {
            rule.statement(Statement::Notrack)
        }
        10 if matches!(base.hook, Hook::Prerouting | Hook::Output) => {
            let ports = Some(PortRange::from(from.pick(&PORTS)).into());
            let redirect = Statement::Redirect { ports, flags: crate::model::NatFlags::empty() };
            rule.l4proto(Protocol::TCP).statement(redirect)
        }
        11 => {
            let to = Ipv4Addr::from(from.pick(&ADDRESSES));
            let is_source = matches!(base.hook, Hook::Input | Hook::Postrouting);
            let nat = if is_source { Nat::snat() } else { Nat::dnat() };
            rule.statement(Statement::Nat(nat.to(to)))
        }
        _ => rule.counter(),
    }
}

fn matches(from: &mut Source<'_>, hook: Hook) -> Match {
    let op = from.pick(&[Op::Eq, Op::Ne]);
    let any = from.pick(&[Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let (in_name, out_name) = (Value::Ifname(IfName::from("lo")), Value::Ifname(IfName::from("eth*")));
    let name = from.pick(&[in_name, out_name]);
    match from.below(12) {
        0 => Match::new(Field::IpDaddr, any, Operand::Value(address(from))),
        1 => Match::new(Field::IpDaddr, op, Operand::Prefix(address(from), from.pick(&[24, 8, 32]))),
        2 => Match::new(Field::IpDaddr, op, Operand::Set(set("hosts"))),
        3 => {
            let Interval { low, high } = addresses(from);
            Match::new(Field::IpDaddr, op, Operand::Range(low, high))
        }
        4 => Match::new(Field::ThDport, any, Operand::Value(Value::Port(from.pick(&PORTS)))),
        5 => Match::new([Field::IpDaddr, Field::ThDport], op, Operand::Set(set("pairs"))),
        6 => Match::new(Field::L4proto, op, Operand::Value(Value::Protocol(Protocol::TCP))),
        7 => Match::new(Field::Skuid, any, Operand::Value(Value::Uid(from.pick(&[0, 3])))),
        8 => {
            let field = from.pick(&[Field::Mark, Field::CtMark]);
            let [mask, value] = [from.pick(&MARKS), from.pick(&MARKS)].map(Value::Mark);
            Match::new(field, op, Operand::Masked { mask, value })
        }
        9 => Match::new(from.pick(&[Field::Mark, Field::CtMark]), any, Operand::Value(Value::Mark(from.pick(&MARKS)))),
        10 => {
            let state = from.pick(&[CtState::NEW, CtState::ESTABLISHED | CtState::RELATED, CtState::INVALID]);
            Match::new(Field::CtState, op, Operand::Flags(Value::CtState(state)))
        }
        _ => {
            let field = if matches!(hook, Hook::Output | Hook::Postrouting) { Field::Oifname } else { Field::Iifname };
            Match::new(field, op, Operand::Value(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::bytes;

    /// Without optimisation, a tenth.
    const ROUNDS: usize = if cfg!(debug_assertions) { 60 } else { 5000 };

    #[test]
    fn a_comparison_agrees_with_trying_every_packet() {
        let (mut state, mut answers, mut rounds) = (7, [0, 0], 0);
        while rounds < ROUNDS {
            match judged(&bytes(&mut state, 300)) {
                Some(Answer::Differs) => answers[0] += 1,
                Some(Answer::Equivalent) => answers[1] += 1,
                None | Some(Answer::CannotTell) => continue,
            }
            rounds += 1;
        }
        println!("{answers:?} differ, are equivalent");
        assert!(answers.iter().all(|count| *count > ROUNDS / 10), "{answers:?} differ, are equivalent: too few of one");
    }
}
