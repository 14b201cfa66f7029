//! Plans against the real kernel, with nft as second opinion.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::model::{Chain, Family, Rule, Statement, Table};
use crate::testing::{in_namespace, nft, rulesets};

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn all() -> [TableId; 2] {
    [mesh(), TableId::new(Family::Ip, "other")]
}

/// What nft lists, without the order of chains and sets and of the elements of sets.
fn listed() -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = nft("list ruleset").replace("\n\t\t\t", " ");
    for table in text.split("\ntable ") {
        let (name, body) = table.split_once(" {\n").unwrap_or((table, ""));
        let mut blocks: Vec<String> = body
            .split("\n\t}\n")
            .map(|block| match block.split_once("elements = {") {
                Some((head, elements)) => {
                    let mut elements: Vec<&str> =
                        elements.trim_end_matches(['}', ' ', '\n']).split(',').map(str::trim).collect();
                    elements.sort_unstable();
                    format!("{}{}", head.trim(), elements.join(","))
                }
                None => block.trim().trim_end_matches('}').trim().to_owned(),
            })
            .collect();
        blocks.retain(|block| !block.is_empty());
        blocks.sort();
        tables.insert(name.trim_start_matches("table ").to_owned(), blocks);
    }
    tables
}

fn with_handles(words: &str) -> String {
    let words = ["-a"].into_iter().chain(words.split(' '));
    let output = Command::new("nft").args(words).output().expect("nftables is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_then_b_is_b_and_b_again_is_nothing() {
    in_namespace(|| {
        let kernel = RefCell::new(Kernel::open().expect("a socket"));
        let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
        let outcome = TestRunner::new(config).run(&rulesets::pair(), |(a, b)| {
            let mut kernel = kernel.borrow_mut();
            let fresh = Transaction::replace(b.clone());
            kernel.apply_owned(&Ruleset::new(), &all()).expect("deleted");
            kernel.commit(&fresh).expect("a valid rule set");
            let expected = listed();
            kernel.apply_owned(&a, &all()).map_err(|error| TestCaseError::fail(format!("{error}\n{a}")))?;
            let before = (with_handles("list ruleset"), kernel.generation().expect("a generation"));
            let plan = kernel.plan_owned(&b, &all()).expect("a plan");
            // Whatever fails, nothing happens.
            let faulty = Transaction::clone(&plan).delete_rule(&mesh().chain("r0"), 4711);
            kernel.commit(&faulty).expect_err("there is no such rule");
            prop_assert_eq!(&(with_handles("list ruleset"), kernel.generation().expect("a generation")), &before);
            let applied = kernel.apply_owned(&b, &all());
            let applied = applied.map_err(|error| TestCaseError::fail(format!("{error}\nfrom\n{a}\nby\n{plan}")))?;
            prop_assert_eq!(&applied.transaction, &plan);
            prop_assert_eq!(listed(), expected, "from\n{}\nby\n{}", a, plan);
            let differences = kernel.verify_owned(&b, &all()).expect("readable");
            prop_assert!(differences.is_empty(), "{:?}", differences);
            let generation = kernel.generation().expect("a generation");
            prop_assert!(kernel.apply_owned(&b, &all()).expect("in sync").was_in_sync());
            prop_assert!(kernel.apply_owned(&b, &all()).expect("in sync").was_in_sync());
            prop_assert_eq!(kernel.generation().expect("a generation"), generation);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    });
}

/// Three rules that have counted.
fn counting(middle: u16) -> Ruleset {
    let counted =
        |port: u16| Rule::new().tcp_dport(port).statement(Statement::Counter { packets: u64::from(port), bytes: 1000 });
    let chain = Chain::regular("c").rules([counted(1), counted(middle), counted(3)]);
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain))
}

#[test]
fn counters_and_handles_of_what_stays_survive() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&counting(2)).expect("installed");
        let handles = with_handles("list ruleset");
        nft("replace rule inet mesh c handle 2 tcp dport 1 counter packets 77 bytes 770");
        let applied = kernel.apply(&counting(9)).expect("applied");
        assert_eq!(applied.transaction.operations().len(), 1, "{}", applied.transaction);
        let now = with_handles("list ruleset");
        assert!(now.contains("tcp dport 1 counter packets 77 bytes 770"), "{now}");
        assert!(now.contains("tcp dport 3 counter packets 3 bytes 1000 # handle 4"), "{handles}{now}");
        assert!(now.contains("tcp dport 9 ") && !now.contains("tcp dport 2 "), "{now}");
    });
}

#[test]
fn drift_of_every_kind_is_told_and_goes() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&counting(2)).expect("installed");
        let wanted = nft("list ruleset");
        let drifts = [
            "add rule inet mesh c ct helper \"x\" drop",
            "insert rule inet mesh c accept",
            "flush chain inet mesh c",
            "add chain inet mesh foreign { type filter hook input priority 0; }",
            "add set inet mesh foreign { type ipv4_addr; flags timeout; }",
            "add counter inet mesh foreign",
            "add chain inet mesh foreign; add rule inet mesh c jump foreign",
            "add rule inet mesh c jump { accept; }",
            "add rule inet mesh c ip saddr { 1.2.3.4, 1.2.3.5 } drop",
            "add map inet mesh foreign { type ipv4_addr : verdict; }; add rule inet mesh c ip saddr vmap @foreign",
            "add set inet mesh foreign { type ipv4_addr; size 9; flags dynamic; }; add rule inet mesh c add @foreign { ip saddr }",
            "add table inet mesh { flags dormant; }",
            "delete table inet mesh",
        ];
        for drift in drifts {
            nft(&drift.replace("; add", "\n add"));
            let differences = kernel.verify(&counting(2)).expect("readable");
            assert!(!differences.is_empty(), "{drift}");
            let applied = kernel.apply(&counting(2)).unwrap_or_else(|error| panic!("{drift}: {error}"));
            assert!(!applied.was_in_sync(), "{drift}");
            let now = nft("list ruleset");
            assert_eq!(now, wanted, "{drift}\n{differences:?}");
            assert!(kernel.verify(&counting(2)).expect("readable").is_empty(), "{drift}");
        }
    });
}

#[test]
fn tables_of_others_are_not_touched() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        nft("add table ip foreign\n add chain ip foreign c\n add rule ip foreign c counter packets 3 bytes 4");
        let before = with_handles("list table ip foreign");
        kernel.apply(&counting(2)).expect("installed");
        kernel.apply_owned(&Ruleset::new(), &all()).expect("removed");
        assert_eq!(nft("list ruleset"), nft("list table ip foreign"));
        assert_eq!(with_handles("list table ip foreign"), before);
    });
}

#[test]
fn what_was_in_sync_is_asked_for_again_after_any_commit() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&counting(2)).expect("installed");
        assert!(kernel.apply(&counting(2)).expect("in sync").was_in_sync());
        assert!(kernel.in_sync.is_some());
        nft("flush chain inet mesh c");
        assert!(!kernel.apply(&counting(2)).expect("applied").was_in_sync());
        assert!(kernel.apply(&counting(2)).expect("in sync").was_in_sync());
        assert!(!kernel.apply(&counting(5)).expect("applied").was_in_sync());
    });
}

#[test]
fn an_invalid_rule_set_is_refused_before_anything_is_sent() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let chain = Chain::regular("c").rule(Rule::new().jump("nowhere"));
        let invalid = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain));
        assert!(kernel.apply(&invalid).expect_err("no such chain").is_invalid());
        assert_eq!(nft("list ruleset"), "");
    });
}
