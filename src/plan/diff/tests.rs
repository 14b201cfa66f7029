//! Plans committed to a fake, which refuses what the kernel refuses.

use proptest::prelude::*;

use super::*;
use crate::fuzz::contents::contents;
use crate::kernel::Fake;
use crate::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Interval, Policy, Position, Priority, Rule, TableFlags, Value,
};
use crate::plan::{DifferenceKind, differences};
use crate::testing::rulesets;

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn all() -> [TableId; 2] {
    [mesh(), TableId::new(Family::Ip, "other")]
}

fn installed(ruleset: &Ruleset) -> Fake {
    let mut machine = Fake::new();
    machine.commit(&Transaction::add(ruleset.clone())).expect("a valid rule set");
    machine
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_from_a_to_b_gives_b_and_a_plan_from_b_to_b_is_empty((a, b) in rulesets::pair()) {
        let mut machine = installed(&a);
        let plan = diff(&machine.held(), &b, &all()).expect("valid");
        let text = differences(&plan, &machine.held()).iter().map(|change| format!("{change}\n")).collect::<String>();
        machine.commit(&plan).map_err(|why| TestCaseError::fail(format!("{why}\nfrom\n{a}\nto\n{b}\nby\n{text}")))?;
        prop_assert_eq!(contents(&machine.held()), contents(&installed(&b).held()), "by\n{}", text);
        let again = diff(&machine.held(), &b, &all()).expect("valid");
        prop_assert!(again.is_empty(), "{}", again);
        prop_assert!(plan.validate().is_ok(), "{:?}", plan.validate());
    }
}

/// Returns a table with a chain of rules that match these ports.
fn ports(ports: &[u16]) -> Ruleset {
    let rules = ports.iter().map(|port| Rule::new().tcp_dport(*port).counter());
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("c").rules(rules)))
}

#[test]
fn only_differing_rules_are_touched_and_new_ones_get_their_place() {
    // Handles: the chain has 1, the rules have 2 and more.
    let cases: &[(&[u16], &[u16], &str)] = &[
        (&[1, 2, 3], &[1, 2, 3], ""),
        (&[1, 2, 3], &[1, 3], "- delete rule inet mesh c handle 3 # tcp dport 2 counter\n"),
        (&[1, 3], &[1, 2, 3], "+ insert rule inet mesh c handle 3 tcp dport 2 counter\n"),
        (&[1], &[1, 2, 3], "+ add rule inet mesh c tcp dport 2 counter\n+ add rule inet mesh c tcp dport 3 counter\n"),
        (&[1, 2, 3], &[1, 9, 3], "~ replace rule inet mesh c handle 3 tcp dport 9 counter # tcp dport 2 counter\n"),
        (
            &[1, 2, 3],
            &[1, 8, 9, 3],
            "~ replace rule inet mesh c handle 3 tcp dport 8 counter # tcp dport 2 counter\n\
             + insert rule inet mesh c handle 4 tcp dport 9 counter\n",
        ),
        (
            &[1, 2, 3],
            &[3, 1, 2],
            "- delete rule inet mesh c handle 4 # tcp dport 3 counter\n\
             + insert rule inet mesh c handle 2 tcp dport 3 counter\n",
        ),
        (
            &[1, 1, 1],
            &[1],
            "- delete rule inet mesh c handle 3 # tcp dport 1 counter\n- delete rule inet mesh c handle 4 # tcp dport 1 counter\n",
        ),
    ];
    for (held, wanted, expected) in cases {
        let machine = installed(&ports(held));
        let plan = diff(&machine.held(), &ports(wanted), &[]).expect("valid");
        let lines: String = differences(&plan, &machine.held()).iter().map(|change| format!("{change}\n")).collect();
        assert_eq!(lines.replace(" packets 0 bytes 0", ""), *expected, "{held:?} to {wanted:?}");
    }
}

#[test]
fn counters_are_ignored_and_comments_compared() {
    let rule =
        |rule: Rule| Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("c").rule(rule)));
    let counted = |packets| Rule::new().statement(crate::model::Statement::Counter { packets, bytes: 0 });
    let machine = installed(&rule(counted(5)));
    let plan = |wanted| diff(&machine.held(), &rule(wanted), &[]).expect("valid").operations().len();
    assert_eq!(plan(counted(0)), 0);
    assert_eq!(plan(counted(0).comment("said")), 1);
    assert_eq!(plan(Rule::new().counter().accept()), 1);
}

#[test]
fn one_address_of_many_is_one_operation() {
    let net = |n: u32| {
        let v4 = |address: u32| Value::Ipv4(address.into());
        Element::new(Interval { low: v4(0x0a00_0000 + 8 * n), high: v4(0x0a00_0003 + 8 * n) })
    };
    let nets = |numbers: &mut dyn Iterator<Item = u32>| {
        let set = Set::new("nets", [DataType::Ipv4]).interval().elements(numbers.map(net));
        let chain = Chain::regular("c").rule(Rule::new().ip_daddr(crate::model::set("nets")));
        Ruleset::new().table(Table::new(Family::Inet, "mesh").set(set).chain(chain))
    };
    let machine = installed(&nets(&mut (0..1000)));
    let plan = diff(&machine.held(), &nets(&mut (0..1000).filter(|n| *n != 500).chain([2000])), &[]).expect("valid");
    let text = plan.marked().to_string();
    let expected =
        "- delete element inet mesh nets { 10.0.15.160/30 }\n+ add element inet mesh nets { 10.0.62.128/30 }\n";
    assert_eq!(text, expected);
}

#[test]
fn a_set_with_a_changed_declaration_is_made_anew_with_its_rules() {
    let table = |set: Set| {
        let base = Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER);
        let chain = base.rules([Rule::new().counter(), Rule::new().mark(crate::model::set("s")).accept()]);
        Ruleset::new().table(Table::new(Family::Inet, "mesh").set(set).chain(chain))
    };
    let set = || Set::new("s", [DataType::Mark]).elements([Element::new(Value::Mark(1))]);
    let machine = installed(&table(set()));
    let plan = diff(&machine.held(), &table(set().interval()), &[]).expect("valid");
    let expected = [
        "delete rule inet mesh in handle 4",
        "delete set inet mesh s",
        "add set inet mesh s { type mark; flags interval; }",
        "add element inet mesh s { 0x00000001 }",
        "add rule inet mesh in meta mark @s accept",
    ];
    assert_eq!(plan.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_policy_changes_in_place_a_priority_does_not() {
    let chain = |priority, policy| {
        let chain = Chain::base("in", ChainType::Filter, Hook::Input, priority).policy(policy);
        Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain.rule(Rule::new().counter())))
    };
    let machine = installed(&chain(Priority::FILTER, Policy::Accept));
    let plan = |priority, policy| {
        let plan = diff(&machine.held(), &chain(priority, policy), &[]).expect("valid");
        differences(&plan, &machine.held()).into_iter().map(|difference| difference.kind).collect::<Vec<_>>()
    };
    assert_eq!(plan(Priority::FILTER, Policy::Drop), [DifferenceKind::Update]);
    let replaced = plan(Priority::RAW, Policy::Accept);
    assert_eq!(replaced.len(), 4, "flushed, deleted, added, filled");
}

#[test]
fn only_owned_tables_that_are_not_wanted_are_deleted() {
    let mut machine = installed(&ports(&[1]));
    machine.commit(&Transaction::new().add_table(&all()[1])).expect("an empty table");
    let none = Ruleset::new();
    assert!(diff(&machine.held(), &none, &[]).expect("valid").is_empty());
    let plan = diff(&machine.held(), &none, &[mesh()]).expect("valid");
    assert_eq!(plan.to_string(), "delete table inet mesh\n");
}

#[test]
fn a_table_with_other_flags_is_made_anew() {
    let mut machine = installed(&ports(&[1]));
    let dormant = ports(&[1]).tables.into_iter().map(|table| table.flags(TableFlags::DORMANT)).collect::<Ruleset>();
    let plan = diff(&machine.held(), &dormant, &[]).expect("valid");
    machine.commit(&plan).expect("made anew");
    assert!(diff(&machine.held(), &dormant, &[]).expect("valid").is_empty());
}

#[test]
fn ten_thousand_reordered_rules_are_planned() {
    let rules = |shift: u32| {
        let rule = |n: u32| Rule::new().ip_daddr(std::net::Ipv4Addr::from(n * 7919 % 10_000)).counter();
        let rules = (0..10_000).map(|n| rule((n + shift) * (1 + shift)));
        Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("c").rules(rules)))
    };
    let machine = installed(&rules(0));
    assert!(diff(&machine.held(), &rules(0), &[]).expect("valid").is_empty());
    let plan = diff(&machine.held(), &rules(2), &[]).expect("valid");
    let kept =
        10_000 - plan.operations().iter().filter(|operation| !matches!(operation, Operation::AddRule { .. })).count();
    assert!(kept > 1, "{kept}");
}

#[test]
fn a_long_chain_of_which_nothing_stays_is_flushed_and_filled() {
    let (one, other): (Vec<u16>, Vec<u16>) = ((1..100).collect(), (101..200).collect());
    let mut machine = installed(&ports(&one));
    let plan = diff(&machine.held(), &ports(&other), &[]).expect("valid");
    assert_eq!(plan.operations().first(), Some(&Operation::FlushChain(mesh().chain("c"))));
    assert_eq!(plan.operations().len(), 1 + other.len());
    machine.commit(&plan).expect("flushed and filled");
    assert_eq!(contents(&machine.held()), contents(&installed(&ports(&other)).held()));
    let emptied = diff(&machine.held(), &ports(&[]), &[]).expect("valid");
    assert_eq!(emptied.to_string(), "flush chain inet mesh c\n");
}

#[test]
fn many_new_rules_are_added_at_positions_the_kernel_finds_quickly() {
    let with =
        |front: &[u16], count: u16| -> Vec<u16> { front.iter().copied().chain(100..100 + count).chain([9]).collect() };
    for (front, position) in [(&[][..], Position::First), (&[1][..], Position::After(crate::model::RuleHandle(2)))] {
        let mut machine = installed(&ports(&with(front, 0)));
        let wanted = ports(&with(front, 50));
        let plan = diff(&machine.held(), &wanted, &[]).expect("valid");
        let positions = plan.operations().iter().map(|operation| match operation {
            Operation::AddRule { position, .. } => Some(*position),
            _ => None,
        });
        assert_eq!(positions.collect::<Vec<_>>(), vec![Some(position); 50], "{plan}");
        machine.commit(&plan).expect("in their places");
        assert_eq!(contents(&machine.held()), contents(&installed(&wanted).held()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_between_long_chains_give_the_wanted_chain(
        held in prop::collection::vec((1..20_u16, 1..60_usize), 0..6),
        wanted in prop::collection::vec((1..20_u16, 1..60_usize), 0..6),
    ) {
        // Runs of other ports after one of a few, so that some rules stay and many are added
        // between them.
        let long = |runs: &[(u16, usize)], base: u16| -> Vec<u16> {
            runs.iter().flat_map(|(port, run)| std::iter::once(*port).chain((0..*run).map(move |n| base + *port + n as u16))).collect()
        };
        let mut machine = installed(&ports(&long(&held, 1_000)));
        let wanted = ports(&long(&wanted, 1_030));
        let plan = diff(&machine.held(), &wanted, &[]).expect("valid");
        machine.commit(&plan).map_err(|why| TestCaseError::fail(format!("{why} by\n{plan}")))?;
        prop_assert_eq!(contents(&machine.held()), contents(&installed(&wanted).held()), "by\n{}", plan);
    }
}
