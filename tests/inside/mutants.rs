//! Istio rule sets with one constant, negation or position changed: a comparison finds every change
//! that a packet can distinguish, and no other.
//!
//! An oracle decides without the comparison whether a packet can distinguish two rule sets: it
//! walks packets made of the constants of the rules and their neighbours through the machine, which
//! other tests check against the kernel.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::sidecar::{self, CASES};
use nftmesh::fuzz::Judge;
use nftmesh::model::{
    AddrType, CtDirection, CtState, Element, ElementData, Hook, IpFamily, Key, MarkValue, Match, Op, Operand, Ports,
    Protocol, Rule, Ruleset, SetRef, Statement, Value, Verdict,
};
use nftmesh::sim::{Comparison, Interface, Owner, Packet, Rules, Situation, compare};

const MUTANTS: usize = 500;
/// Packets tried for a mutant that none of them distinguishes.
const PACKETS: usize = if cfg!(debug_assertions) { 6_000 } else { 60_000 };

#[test]
fn exactly_the_mutants_that_a_packet_distinguishes_are_found() {
    let work = |worker| {
        let (mut random, mut score) = (Random(worker), Score::default());
        (0..MUTANTS / 2).for_each(|_| one(&mut random, &mut score));
        score
    };
    let workers = [1, 2].map(|worker| std::thread::spawn(move || work(worker)));
    let mut all = Score::default();
    for worker in workers {
        let score = worker.join().expect("it says why");
        all.differ += score.differ;
        all.equivalent += score.equivalent;
        all.rare += score.rare;
        all.wrong.extend(score.wrong);
        all.cannot_tell.extend(score.cannot_tell);
    }
    crate::support::say(format_args!(
        "{MUTANTS} mutants: {} differ ({} of them with packets so rare that only the comparison found one), {} equivalent, {} wrong, {} \
         cannot tell",
        all.differ,
        all.rare,
        all.equivalent,
        all.wrong.len(),
        all.cannot_tell.len()
    ));
    assert!(all.wrong.is_empty(), "{}", all.wrong.join("\n"));
    assert!(all.cannot_tell.is_empty(), "{}", all.cannot_tell.join("\n"));
    assert!(all.differ > MUTANTS / 2 && all.equivalent > 0, "mutants of both kinds are made");
}

#[derive(Default)]
struct Score {
    differ: usize,
    rare: usize,
    equivalent: usize,
    wrong: Vec<String>,
    cannot_tell: Vec<String>,
}

fn one(random: &mut Random, score: &mut Score) {
    let case = random.of(CASES);
    let ruleset = Ruleset::from(&sidecar::config(case.options, "nameserver 10.96.0.10"));
    let (mutant, what) = mutated(&ruleset, random);
    let [original, changed] = [&ruleset, &mutant].map(|ruleset| Rules::try_from(ruleset).expect("it is valid"));
    let judge = Judge::new(&ruleset, &mutant).expect("they are valid");
    let constants = Constants::of(&[&ruleset, &mutant]);
    let reported = (0..PACKETS).find_map(|_| {
        let (hook, situation) = constants.situation(random);
        judge.differ(hook, &situation).expect("nothing unknown").then_some((hook, situation))
    });
    match (compare(&original, &changed), reported) {
        (Comparison::Differs(example), reported) => {
            let is_one = judge.differ(example.hook, &example.situation).expect("nothing unknown");
            score.differ += 1;
            score.rare += usize::from(reported.is_none());
            if !is_one {
                score.wrong.push(format!("{}, {what}: no counterexample: {example}", case.name));
            }
        }
        (Comparison::Equivalent { .. }, None) => score.equivalent += 1,
        (Comparison::Equivalent { .. }, Some((hook, at))) => {
            score.wrong.push(format!("{}, {what}: not equivalent: {} {at:?}", case.name, hook.name()));
        }
        (Comparison::CannotTell(reason), _) => score.cannot_tell.push(format!("{}, {what}: {reason}", case.name)),
    }
}

/// Knuth's MMIX, upper half.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end.max(1)
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Returns the rule set with one change, and a description of it.
fn mutated(ruleset: &Ruleset, random: &mut Random) -> (Ruleset, String) {
    loop {
        let mut mutant = ruleset.clone();
        let table = random.below(mutant.tables.len());
        let table = &mut mutant.tables[table];
        let what = if !table.sets.is_empty() && random.below(8) == 0 {
            let set = random.below(table.sets.len());
            let set = &mut table.sets[set];
            change_element(&mut set.elements, random).then(|| format!("an element of {}", set.name))
        } else {
            let chain = random.below(table.chains.len());
            let chain = &mut table.chains[chain];
            let name = chain.name.clone();
            change_rule(&mut chain.rules, random).map(|what| format!("chain {name}, {what}"))
        };
        if let Some(what) = what.filter(|_| mutant != *ruleset && mutant.validate_strictly().is_ok()) {
            return (mutant, what);
        }
    }
}

fn change_rule(rules: &mut Vec<Rule>, random: &mut Random) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let at = random.below(rules.len());
    if random.below(4) == 0 {
        let rule = rules.remove(at);
        let to = random.below(rules.len() + 1);
        let what = format!("rule {} becomes rule {}: {rule}", at + 1, to + 1);
        rules.insert(to, rule);
        return Some(what);
    }
    let before = rules[at].to_string();
    let statement = random.below(rules[at].statements.len());
    change_statement(&mut rules[at].statements[statement], random)
        .then(|| format!("rule {}: {before} becomes {}", at + 1, rules[at]))
}

fn change_statement(statement: &mut Statement, random: &mut Random) -> bool {
    match statement {
        Statement::Match(Match { op, operand, .. }) => {
            if random.below(2) == 0 {
                *op = match *op {
                    Op::Eq => Op::Ne,
                    Op::Ne => Op::Eq,
                    other => other,
                };
                return true;
            }
            match operand {
                Operand::Flags(value) | Operand::Value(value) => change(value, random),
                Operand::Masked { mask, value } => change(if random.below(2) == 0 { mask } else { value }, random),
                Operand::Prefix(value, length) => {
                    if random.below(2) == 0 {
                        *length = length.saturating_sub(1);
                        return true;
                    }
                    change(value, random)
                }
                Operand::Range(low, high) => change(if random.below(2) == 0 { low } else { high }, random),
                Operand::Set(SetRef::Anonymous(elements)) => change_element(elements, random),
                _ => false,
            }
        }
        Statement::Redirect { ports: Some(Ports::Range(ports)), .. } => {
            (ports.low, ports.high) = (ports.low + 1, ports.high + 1);
            true
        }
        Statement::Tproxy(tproxy) => {
            tproxy.port = tproxy.port.map(|port| port + 1);
            true
        }
        Statement::SetMark { value: MarkValue::Constant(mark), .. } => {
            *mark ^= 1 << random.below(12);
            true
        }
        Statement::SetZone(zone) => {
            *zone += 1;
            true
        }
        Statement::Verdict(verdict) => {
            *verdict = match verdict {
                Verdict::Return => Verdict::Accept,
                Verdict::Accept => Verdict::Return,
                Verdict::Drop => Verdict::Accept,
                Verdict::Jump(to) => Verdict::Goto(to.clone()),
                Verdict::Goto(to) => Verdict::Jump(to.clone()),
                Verdict::Continue => Verdict::Return,
            };
            true
        }
        _ => false,
    }
}

fn change_element(elements: &mut Vec<Element>, random: &mut Random) -> bool {
    if elements.is_empty() {
        return false;
    }
    let at = random.below(elements.len());
    if random.below(3) == 0 && elements.len() > 1 {
        elements.remove(at);
        return true;
    }
    let element = &mut elements[at];
    match (&mut element.key, element.data.as_deref_mut()) {
        (_, Some(ElementData::Value(value))) if random.below(2) == 0 => change(value, random),
        (Key::Single(part), _) if part.low == part.high => {
            let is_changed = change(&mut part.low, random);
            part.high = part.low.clone();
            is_changed
        }
        (Key::Single(part), _) => change(&mut part.high, random),
        _ => false,
    }
}

/// Changes a value to a neighbour.
fn change(value: &mut Value, random: &mut Random) -> bool {
    let up = random.below(2) == 0;
    let step = |number: u32| if up { number.wrapping_add(1) } else { number.wrapping_sub(1) };
    match value {
        Value::CtState(state) => *state ^= *random.of(&[CtState::NEW, CtState::RELATED, CtState::INVALID]),
        Value::Gid(number) | Value::Mark(number) | Value::Uid(number) => *number = step(*number),
        Value::Ifname(name) => *name = if name.as_str() == "lo" { "eth0".into() } else { "lo".into() },
        Value::Ipv4(address) => *address = Ipv4Addr::from(u32::from(*address) ^ 1 << random.below(32)),
        Value::Ipv6(address) => *address = Ipv6Addr::from(u128::from(*address) ^ 1 << random.below(128)),
        Value::Port(port) => *port = if up { port.wrapping_add(1) } else { port.wrapping_sub(1) },
        Value::Protocol(protocol) => *protocol = if *protocol == Protocol::TCP { Protocol::UDP } else { Protocol::TCP },
        _ => return false,
    }
    true
}

/// Constants of the rules, and their neighbours.
#[derive(Default)]
struct Constants {
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    owners: Vec<u32>,
    marks: Vec<u32>,
    names: Vec<String>,
}

impl Constants {
    fn of(rulesets: &[&Ruleset]) -> Self {
        let mut all = Constants {
            addresses: vec!["10.1.2.3".parse().expect("one"), "fd01::1".parse().expect("one")],
            ports: vec![9000],
            owners: vec![1000],
            marks: vec![0, 1],
            names: vec!["eth0".into(), "lo".into(), "eth9".into()],
        };
        for ruleset in rulesets {
            for table in &ruleset.tables {
                table.sets.iter().flat_map(|set| &set.elements).for_each(|element| all.element(element));
                let rules = table.chains.iter().flat_map(|chain| &chain.rules);
                rules.flat_map(|rule| &rule.statements).for_each(|statement| all.statement(statement));
            }
        }
        all.addresses.sort();
        all.addresses.dedup();
        for numbers in [&mut all.owners, &mut all.marks] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        all.ports.sort_unstable();
        all.ports.dedup();
        all.names.sort();
        all.names.dedup();
        all
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Match(Match { operand, .. }) => match operand {
                Operand::Flags(value) | Operand::Value(value) => self.value(value),
                Operand::Masked { mask, value } => [mask, value].into_iter().for_each(|value| self.value(value)),
                Operand::Prefix(value, length) => {
                    self.value(value);
                    self.last(value, *length);
                }
                Operand::Range(low, high) => [low, high].into_iter().for_each(|value| self.value(value)),
                Operand::Set(SetRef::Anonymous(elements)) => elements.iter().for_each(|element| self.element(element)),
                _ => {}
            },
            Statement::SetMark { value: MarkValue::Constant(mark), .. } => self.marks.push(*mark),
            Statement::VerdictMap { map: SetRef::Anonymous(elements), .. } => {
                elements.iter().for_each(|element| self.element(element));
            }
            _ => {}
        }
    }

    fn element(&mut self, element: &Element) {
        let parts = match &element.key {
            Key::Single(part) => std::slice::from_ref(part),
            Key::Concat(parts) => parts,
        };
        parts.iter().flat_map(|part| [&part.low, &part.high]).for_each(|value| self.value(value));
    }

    fn value(&mut self, value: &Value) {
        let around = |number: u32| [number.wrapping_sub(1), number, number.wrapping_add(1)];
        match value {
            Value::Gid(number) | Value::Uid(number) => self.owners.extend(around(*number)),
            Value::Mark(number) => self.marks.extend(around(*number)),
            Value::Ifname(name) => {
                self.names.push(name.compared().into_owned());
                self.names.push(format!("{}0", name.compared()));
            }
            Value::Ipv4(address) => {
                self.addresses.extend(around(u32::from(*address)).map(|address| IpAddr::from(Ipv4Addr::from(address))));
            }
            Value::Ipv6(address) => {
                let number = u128::from(*address);
                let all = [number.wrapping_sub(1), number, number.wrapping_add(1)];
                self.addresses.extend(all.map(|address| IpAddr::from(Ipv6Addr::from(address))));
            }
            Value::Port(port) => self.ports.extend([port.wrapping_sub(1), *port, port.wrapping_add(1)]),
            _ => {}
        }
    }

    /// Adds the last value of a prefix and the first after it.
    fn last(&mut self, value: &Value, length: u8) {
        match value {
            Value::Ipv4(address) => {
                let last = u32::from(*address) | u32::MAX.checked_shr(length.into()).unwrap_or(0);
                self.addresses
                    .extend([last, last.wrapping_add(1)].map(|address| IpAddr::from(Ipv4Addr::from(address))));
            }
            Value::Ipv6(address) => {
                let last = u128::from(*address) | u128::MAX.checked_shr(length.into()).unwrap_or(0);
                self.addresses
                    .extend([last, last.wrapping_add(1)].map(|address| IpAddr::from(Ipv6Addr::from(address))));
            }
            _ => {}
        }
    }

    fn situation(&self, random: &mut Random) -> (Hook, Situation) {
        let hook = *random.of(&[Hook::Prerouting, Hook::Output]);
        let family = if random.below(3) == 0 { IpFamily::Ipv6 } else { IpFamily::Ipv4 };
        let fitting: Vec<IpAddr> =
            self.addresses.iter().copied().filter(|address| IpFamily::of(*address) == family).collect();
        let mut end = |usual: &[u16]| {
            let port = if random.below(3) == 0 { *random.of(usual) } else { *random.of(&self.ports) };
            SocketAddr::new(*random.of(&fitting), port)
        };
        let (from, to) = (end(&[40000, 53]), end(&[9000, 53]));
        let mut packet = if random.below(4) == 0 { Packet::udp(from, to) } else { Packet::tcp(from, to) };
        let mut mark = || if random.below(2) == 0 { 0 } else { *random.of(&self.marks) };
        packet.mark = mark();
        let ct_mark = mark();
        if hook == Hook::Output && random.below(8) != 0 {
            packet.owner = Some(Owner::new(*random.of(&self.owners), *random.of(&self.owners)));
        }
        let mut situation = Situation::new(packet);
        let name = random.of(&self.names).clone();
        let index = if name == "lo" { 1 } else { 2 };
        let interface = Some(Interface::new(index, name));
        let states = [CtState::NEW, CtState::NEW, CtState::ESTABLISHED, CtState::RELATED, CtState::INVALID];
        situation.connection.state = *random.of(&states);
        situation.connection.mark = ct_mark;
        if situation.connection.state != CtState::NEW && random.below(2) == 0 {
            situation.connection.direction = CtDirection::Reply;
        }
        situation.daddr_type = if random.below(2) == 0 { AddrType::LOCAL } else { AddrType::UNICAST };
        situation.listener = random.below(4) != 0;
        match hook {
            Hook::Output => situation.outgoing = interface,
            _ => {
                situation.connection.attached = index == 1 && random.below(2) == 0;
                situation.incoming = interface;
            }
        }
        (hook, situation)
    }
}
