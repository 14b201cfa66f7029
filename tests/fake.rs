//! `Fake` against the kernel: both get the same random transactions, valid and invalid, accept and
//! refuse the same for the same reasons, and have the same state afterwards, including handles,
//! uses and generation.

#[path = "support/both.rs"]
#[allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]
mod both;
mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use both::dice::Dice;
use both::{contents, first_difference, reason, without_names, without_numbers};
use nftmesh::kernel::{Fake, Kernel, Nftables};
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Field, Generation, Hook, Interval, Key, Policy, Position, Priority,
    Rule, RuleHandle, Ruleset, Set, Table, TableFlags, TableId, Value, Verdict, set,
};
use nftmesh::plan::{Operation, Transaction};
use nftmesh::state::Snapshot;
use support::corpus::{EVERYTHING, as_this_kernel, corpus, files_of, loads};
use support::{in_fresh_netns, nft_script, say};

#[test]
fn the_fake_accepts_and_refuses_as_the_kernel_does() {
    both::agree(2_000, transaction);
}

const TABLES: [(Family, &str); 3] = [(Family::Inet, "a"), (Family::Inet, "a"), (Family::Ip, "b")];

fn transaction(dice: &mut Dice, held: &Snapshot) -> Transaction {
    let mut transaction = Transaction::new();
    if dice.chance(60) {
        // Something to work on.
        for (family, name) in [TABLES[0], TABLES[2]] {
            let id = TableId::new(family, name);
            if held.table(&id).is_none() {
                transaction = transaction.create(full(dice, family, name));
            }
        }
    }
    if !transaction.is_empty() {
        return transaction;
    }
    for _ in 0..dice.from(1, 5) {
        transaction.extend([operation(dice, held)]);
    }
    if dice.chance(5) {
        let Generation(now) = held.generation;
        transaction = transaction.at_generation(Generation(now + u32::from(dice.chance(50))));
    }
    transaction
}

fn full(dice: &mut Dice, family: Family, name: &str) -> Table {
    let mut table = Table::new(family, name);
    for index in 0..4 {
        table = table.chain(Chain::regular(format!("r{index}")));
    }
    for index in 0..2 {
        table = table.chain(base(dice, index));
    }
    for set in SETS {
        if dice.chance(70) {
            let mut set = declared(dice, set, false);
            if dice.chance(80) {
                set.elements.clear();
            }
            table = table.set(set);
        }
    }
    table
}

fn base(dice: &mut Dice, index: usize) -> Chain {
    let (chain_type, hook) = dice.pick(&[
        (ChainType::Filter, Hook::Input),
        (ChainType::Filter, Hook::Output),
        (ChainType::Filter, Hook::Prerouting),
        (ChainType::Nat, Hook::Output),
        (ChainType::Nat, Hook::Prerouting),
        (ChainType::Nat, Hook::Postrouting),
        (ChainType::Route, Hook::Output),
    ]);
    let chain = Chain::base(format!("b{index}"), chain_type, hook, Priority(dice.pick(&[0, 0, 10])));
    if dice.chance(30) { chain.policy(Policy::Drop) } else { chain }
}

const SETS: [&str; 8] = ["marks", "nets", "ports", "ranges", "few", "timed", "map", "go"];

/// Returns a set of that name, sometimes with another declaration.
fn declared(dice: &mut Dice, name: &str, may_lie: bool) -> Set {
    let kind = if may_lie && dice.chance(8) { dice.pick(&SETS) } else { name };
    let set = match kind {
        "nets" => Set::new(name, [DataType::Ipv4]).interval(),
        "ports" => Set::new(name, [DataType::Port]).constant(),
        "ranges" => Set::new(name, [DataType::Ipv4, DataType::Port]).interval(),
        "few" => Set::new(name, [DataType::Mark]).size(3),
        "timed" => Set::new(name, [DataType::Ipv4]).timeout(Duration::from_secs(3600)),
        "map" => Set::map(name, [DataType::Port], DataType::Mark),
        "go" => Set::verdict_map(name, [DataType::Port]),
        _ => Set::new(name, [DataType::Mark]),
    };
    let set = match kind {
        _ if may_lie && dice.chance(5) => set.comment("another"),
        _ => set,
    };
    let elements: Vec<Element> = (0..dice.below(4)).map(|_| element(dice, kind)).collect();
    let set = set.elements(elements);
    if may_lie && dice.chance(4) { set.size(64) } else { set }
}

fn element(dice: &mut Dice, kind: &str) -> Element {
    let port = Value::Port(u16::try_from(80 + dice.below(8)).expect("small"));
    let address = |last: usize| Value::Ipv4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(last).expect("small")));
    let low = dice.below(24);
    let high = low + dice.pick(&[0, 0, 1, 3, 7, 8]);
    let range = Interval { low: address(low), high: address(high) };
    let element = match kind {
        "nets" => Element::new(range),
        "ports" => Element::new(port),
        "ranges" => {
            let ports = Interval { low: port.clone(), high: if dice.chance(50) { Value::Port(90) } else { port } };
            Element::new(Key::Concat([range, ports].into_iter().collect()))
        }
        "timed" => {
            let element = Element::new(address(low));
            if dice.chance(30) { element.timeout(Duration::from_secs(600)) } else { element }
        }
        "map" => Element::new(port).value(Value::Mark(u32::from(dice.chance(30)))),
        "go" => Element::new(port).verdict(verdict(dice)),
        _ => Element::new(Value::Mark(u32::try_from(dice.below(8)).expect("small"))),
    };
    if dice.chance(10) { element.comment("said") } else { element }
}

fn chain_name(dice: &mut Dice) -> &'static str {
    dice.pick(&["r0", "r1", "r2", "r3", "r0", "r1", "r2", "r3", "b0", "b1", "missing"])
}

fn verdict(dice: &mut Dice) -> Verdict {
    match dice.below(4) {
        0 => Verdict::Accept,
        1 => Verdict::Goto(chain_name(dice).into()),
        _ => Verdict::Jump(chain_name(dice).into()),
    }
}

fn rule(dice: &mut Dice) -> Rule {
    let rule = Rule::new();
    let rule = match dice.below(16) {
        0 | 1 => rule.tcp_dport(80).counter().accept(),
        2 => rule.ip_daddr(set("nets")).drop(),
        3 => rule.mark(set(dice.pick(&["marks", "few"]))).counter(),
        4 => rule.tcp_dport(set("ports")).r#return(),
        5 => rule.vmap(Field::TcpDport, set("go")),
        6 => rule.ip_saddr(set("timed")).accept(),
        7 => rule.tcp_dport([1_u16, 2, 3]).counter(),
        8 => rule.tcp_dport(7).redirect_to(15001),
        9 => rule.masquerade(),
        10 => rule.reject(),
        11 => rule.mark(1).goto(chain_name(dice)),
        12 => rule.udp_dport(set(dice.pick(&["ports", "missing", "map"]))).accept(),
        _ => rule.counter().jump(chain_name(dice)),
    };
    if dice.chance(10) { rule.comment("said") } else { rule }
}

fn operation(dice: &mut Dice, held: &Snapshot) -> Operation {
    let (family, name) = if dice.chance(2) { (Family::Ip6, "missing") } else { dice.pick(&TABLES) };
    let table = TableId::new(family, name);
    let chain = table.chain(chain_name(dice));
    let handles: Vec<RuleHandle> = held
        .table(&table)
        .and_then(|table| table.chain(chain.name.as_str()))
        .map(|chain| chain.rules.iter().map(|rule| rule.handle).collect())
        .unwrap_or_default();
    let handle = match handles.is_empty() || dice.chance(10) {
        true => RuleHandle(9_999),
        false => dice.pick(&handles),
    };
    let named = dice.pick(&SETS);
    match dice.below(52) {
        0 => Operation::DeleteTable(table),
        1 => {
            let flags = if dice.chance(50) { TableFlags::DORMANT } else { TableFlags::empty() };
            Operation::add_table(&Table::new(family, name).flags(flags))
        }
        2..=4 => {
            let index = dice.below(3);
            let made = match dice.below(4) {
                0 => base(dice, index),
                1 => Chain::base("r0", ChainType::Filter, Hook::Input, Priority(0)),
                2 => Chain::regular(format!("b{index}")),
                _ => Chain::regular(format!("r{index}")),
            };
            Operation::add_chain(&table, &made)
        }
        5..=7 => Operation::DeleteChain(chain),
        8 => Operation::FlushChain(chain),
        9 => Operation::FlushTable(table),
        10..=12 => Operation::AddSet { table, set: declared(dice, named, true) },
        13 | 14 => Operation::DeleteSet { table, set: dice.pick(&[named, named, named, "missing"]).into() },
        15 | 16 => Operation::FlushSet { table, set: dice.pick(&[named, named, named, "missing"]).into() },
        17..=22 => Operation::AddElements { table, set: declared(dice, named, true) },
        23..=25 => Operation::DeleteElements { table, set: declared(dice, named, true) },
        26..=28 => Operation::DeleteRule { chain, handle },
        29..=31 => Operation::ReplaceRule { chain, handle, rule: rule(dice) },
        32 => Operation::DestroyTable(table),
        33 | 34 => Operation::DestroyChain(chain),
        35 | 36 => Operation::DestroyRule { chain, handle },
        37 | 38 => Operation::DestroySet { table, set: dice.pick(&[named, named, "missing"]).into() },
        39..=41 => Operation::DestroyElements { table, set: declared(dice, named, true) },
        42 => Operation::DestroyObject { table, kind: "quota".into(), name: "missing".into() },
        43 => Operation::DeleteObject { table, kind: "flowtable".into(), name: "missing".into() },
        _ => {
            let positions =
                [Position::Last, Position::Last, Position::First, Position::After(handle), Position::Before(handle)];
            Operation::AddRule { chain, position: dice.pick(&positions), rule: rule(dice) }
        }
    }
}

/// The same steps, and the same rule sets afterwards.
#[test]
fn applied_rule_sets_and_their_plans_are_the_same_in_fake_and_kernel() {
    in_fresh_netns(|| {
        let (mut kernel, mut fake) = (Kernel::open().expect("a socket"), Fake::new());
        for seed in 0..40 {
            let dice = &mut Dice::new(seed);
            let wanted = Ruleset::new().table(full(dice, Family::Inet, "a")).table(full(dice, Family::Ip, "b"));
            if wanted.validate().is_err() {
                continue;
            }
            let (theirs, ours) = (Nftables::apply(&mut kernel, &wanted), Nftables::apply(&mut fake, &wanted));
            let (theirs, ours) = (theirs.expect("it is valid"), ours.expect("it is valid"));
            assert_eq!(ours.warnings, theirs.warnings);
            let text = |transaction: &Transaction| without_numbers(&transaction.to_string());
            assert_eq!(text(&ours.transaction), text(&theirs.transaction));
            assert_eq!(
                ours.staged.iter().map(text).collect::<Vec<_>>(),
                theirs.staged.iter().map(text).collect::<Vec<_>>()
            );
            let after = kernel.snapshot().expect("a snapshot");
            assert_eq!(contents(fake.snapshot().expect("held")), contents(after), "{wanted}");
            assert_eq!(fake.verify(&wanted).expect("valid"), []);
        }
    });
}

/// The rules of a chain are committed together where one of them has its own set.
#[test]
fn a_rule_that_stays_may_look_up_a_set_that_stays_while_another_rule_changes() {
    in_fresh_netns(|| {
        let wanted = |last: Rule| {
            let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER);
            let marks = Set::new("marks", [DataType::Mark]).elements([Element::new(Value::Mark(1))]);
            let rules = [Rule::new().mark(set("marks")).counter(), last];
            Ruleset::new().table(Table::new(Family::Inet, "a").set(marks).chain(input.rules(rules)))
        };
        let mut kernel = Kernel::open().expect("a socket");
        for nftables in [&mut kernel as &mut dyn Nftables, &mut Fake::new()] {
            nftables.apply(&wanted(Rule::new().drop())).expect("nothing is there");
            let changed = wanted(Rule::new().tcp_dport((1000..=2000_u16, 3000..=3001)).drop());
            let applied = nftables.apply(&changed).expect("one rule changes");
            assert_eq!(applied.staged.len(), 1, "{applied:?}");
            assert_eq!(nftables.verify(&changed).expect("valid"), []);
        }
    });
}

/// Objects are in no transaction, so nft makes them.
#[test]
fn objects_are_deleted_and_destroyed_in_the_fake_as_in_the_kernel() {
    let object = |kind: &str, name: &str| (TableId::new(Family::Inet, "t"), kind.to_owned(), name.into());
    let delete = |(table, kind, name)| Operation::DeleteObject { table, kind, name };
    let destroy = |(table, kind, name)| Operation::DestroyObject { table, kind, name };
    let absent = (TableId::new(Family::Ip, "absent"), "counter".to_owned(), "hits".into());
    let cases = [
        vec![delete(object("counter", "hits"))],
        vec![destroy(object("counter", "hits")), destroy(object("counter", "hits"))],
        vec![delete(object("counter", "hits")), delete(object("counter", "hits"))],
        vec![delete(object("quota", "hits"))],
        vec![destroy(object("quota", "hits")), destroy(object("quota", "daily"))],
        vec![destroy(object("counter", "none")), delete(object("counter", "none"))],
        vec![destroy(object("flowtable", "none"))],
        vec![delete(object("flowtable", "none"))],
        vec![destroy(absent.clone())],
        vec![delete(absent)],
    ];
    for operations in cases {
        in_fresh_netns(|| {
            nft_script("table inet t { counter hits { }; quota daily { 25 mbytes; }; chain c { counter; }; }");
            let mut kernel = Kernel::open().expect("a socket");
            let mut fake = Fake::from(kernel.snapshot().expect("a snapshot"));
            let mut transaction = Transaction::new();
            transaction.extend(operations.clone());
            let (ours, theirs) = (fake.commit(&transaction), Nftables::commit(&mut kernel, &transaction));
            assert_eq!(reason(&ours), reason(&theirs), "{transaction}");
            let (held, there) = (fake.snapshot().expect("held"), kernel.snapshot().expect("a snapshot"));
            assert_eq!(contents(held), contents(there), "{transaction}");
        });
    }
    // Whether a rule refers to it is not known.
    in_fresh_netns(|| {
        nft_script("table inet t { counter hits { }; chain c { counter name \"hits\"; }; }");
        let held = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
        let mut transaction = Transaction::new();
        transaction.extend([destroy(object("counter", "hits"))]);
        let error = Fake::from(held).commit(&transaction).expect_err("it may be in use");
        assert!(error.is_unsupported() && error.to_string().contains("may be in use"), "{error}");
    });
}

/// Rule sets loaded by nft are committed to an empty kernel and to a fake.
#[test]
fn real_rule_sets_are_the_same_in_fake_and_kernel() {
    let real = corpus("real").map(|folder| files_of(&folder)).unwrap_or_default();
    let real = real.iter().map(|path| std::fs::read_to_string(path).expect("text"));
    let all: Vec<String> = EVERYTHING.iter().map(|script| as_this_kernel(script)).chain(real).collect();
    let (mut same, mut unknown, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    for script in &all {
        in_fresh_netns(|| {
            if !loads(script) {
                refused += 1;
                return;
            }
            let mut kernel = Kernel::open().expect("a socket");
            let wanted = Transaction::add(kernel.snapshot().expect("a snapshot").raise().ruleset);
            nft_script("flush ruleset");
            let mut fake = Fake::new();
            let (ours, theirs) = (fake.commit(&wanted), Nftables::commit(&mut kernel, &wanted));
            if ours.as_ref().is_err_and(|error| error.to_string().contains("cannot tell")) {
                unknown += 1;
                return;
            }
            let mut there = contents(kernel.snapshot().expect("a snapshot"));
            there.generation = Generation(2);
            let held = contents(fake.snapshot().expect("held"));
            if reason(&ours) != reason(&theirs) {
                wrong.push(format!("{:?}\n{:?}\n{wanted}", reason(&ours), reason(&theirs)));
                return;
            }
            let both = [held, there].map(|snapshot| without_names(&format!("{snapshot:#?}")));
            if both[0] == both[1] {
                same += 1;
            } else {
                wrong.push(format!("{}of\n{script}", first_difference(&both)));
            }
        });
    }
    say(format_args!(
        "{same} rule sets the same in both, {unknown} the fake could not tell, {refused} not taken by nft"
    ));
    assert!(wrong.is_empty(), "{} differences, the fake, then the kernel:\n{}", wrong.len(), wrong.join("\n"));
}
