//! Tests plans against the real kernel, with nft as a second opinion.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::model::{self, Chain, DataType, Element, Family, QueueFlags, Rule, RuleHandle, Set, Statement, Table};
use crate::testing::{in_namespace, nft, rulesets};

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn all() -> [TableId; 2] {
    [mesh(), TableId::new(Family::Ip, "other")]
}

/// Returns nft's listing, without the order of chains, sets and elements, and without properties
/// for which a set is not replaced.
fn listed() -> BTreeMap<String, Vec<String>> {
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let text = nft("list ruleset")
        .replace("\n\t\t\t", " ")
        .replace("\tflags dormant\n\n", "\tflags dormant\n\t}\n")
        .replace("\n\t\tauto-merge", "");
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
fn applying_b_after_a_gives_b_and_applying_b_again_changes_nothing() {
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
            // If anything fails, nothing happens.
            let faulty = Transaction::clone(&plan).delete_rule(&mesh().chain("r0"), RuleHandle(4711));
            kernel.commit(&faulty).expect_err("there is no such rule");
            prop_assert_eq!(&(with_handles("list ruleset"), kernel.generation().expect("a generation")), &before);
            let applied = kernel.apply_owned(&b, &all());
            let applied = applied.map_err(|error| TestCaseError::fail(format!("{error}\nfrom\n{a}\nby\n{plan}")))?;
            if applied.staged.is_empty() {
                prop_assert_eq!(&applied.transaction, &plan);
            }
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

/// Returns three rules with counts.
fn counting(middle: u16) -> Ruleset {
    let counted =
        |port: u16| Rule::new().tcp_dport(port).statement(Statement::Counter { packets: u64::from(port), bytes: 1000 });
    let chain = Chain::regular("c").rules([counted(1), counted(middle), counted(3)]);
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain))
}

#[test]
fn rules_that_stay_keep_counters_and_handles() {
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
fn drift_of_every_kind_is_reported_and_removed() {
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
fn a_foreign_commit_is_noticed_by_the_next_apply() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&counting(2)).expect("installed");
        assert!(kernel.apply(&counting(2)).expect("in sync").was_in_sync());
        assert!(kernel.remembered.is_some());
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

/// Returns four rules that belong together.
fn quartet(number: u16) -> Ruleset {
    let rule = |port| Rule::new().tcp_dport(port).comment(format!("of {number}"));
    let chain = Chain::regular("c").rules([rule(number), rule(2), rule(number + 1), rule(4)]);
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain))
}

/// Stops the threads that check the flag, at the latest when the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn every_apply_converges_whole_against_constant_writers() {
    const APPLIES: u16 = 1_000;
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&quartet(0)).expect("installed");
        let done = AtomicBool::new(false);
        let whole = |snapshot: &Snapshot| {
            let rules = &snapshot.table(&mesh()).and_then(|table| table.chain("c")).expect("it stays").rules;
            let ours: Vec<_> = rules.iter().filter(|rule| !rule.userdata.is_empty()).collect();
            ours.len() == 4 && ours.iter().all(|rule| Some(&rule.userdata) == ours.first().map(|first| &first.userdata))
        };
        let (retries, foreign, looks) = std::thread::scope(|scope| {
            let nft = scope.spawn(|| {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    nft("add rule inet mesh c accept");
                    // A flush would also delete our rules; deletion is by handle, which may be
                    // gone.
                    let delete = "nft -a list chain inet mesh c | sed -n 's/.*accept # handle /nft delete rule inet mesh c handle /p' | sh";
                    let _may_be_gone = Command::new("sh").args(["-c", delete]).output();
                    count += 1;
                }
                count
            });
            let writer = scope.spawn(|| {
                let mut kernel = Kernel::open().expect("a socket");
                let drop = Transaction::new().add_rule(&mesh().chain("c"), Rule::new().drop());
                while !done.load(Ordering::Relaxed) {
                    kernel.commit(&drop).expect("the chain stays");
                    std::thread::sleep(Duration::from_millis(3));
                }
            });
            let reader = scope.spawn(|| {
                let mut kernel = Kernel::open().expect("a socket");
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) {
                    match kernel.snapshot_of(&[mesh()]) {
                        Ok(snapshot) => assert!(whole(&snapshot), "{snapshot:?}"),
                        Err(error) => assert!(error.is_conflict(), "{error}"),
                    }
                    looks += 1;
                }
                looks
            });
            // Also when one fails: the others would never stop.
            let stop = Stop(&done);
            let mut retries = 0;
            for number in 0..APPLIES {
                retries += kernel.apply(&quartet(number)).expect("it converges").retries;
            }
            drop(stop);
            writer.join().expect("the writer got in");
            (retries, nft.join().expect("nft got in"), reader.join().expect("nothing was half"))
        });
        println!("{APPLIES} applies, {retries} retries, {foreign} rounds of nft, {looks} looks");
        kernel.apply(&quartet(APPLIES)).expect("in peace");
        assert!(kernel.verify(&quartet(APPLIES)).expect("readable").is_empty());
        assert!(foreign > 0 && looks > 0);
    });
}

#[test]
fn staged_operations_are_undone_when_the_commit_is_refused() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let table = |rules: Vec<Rule>| Table::new(Family::Inet, "mesh").chain(Chain::regular("c").rules(rules));
        kernel.apply(&Ruleset::new().table(table(vec![Rule::new().accept()]))).expect("installed");
        let before = with_handles("list ruleset");
        let net = Element::new("10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("a network"));
        let set = Set::new("nets", [DataType::Ipv4]).interval().elements([net]);
        // Not every kernel has the expression.
        let rules = vec![Rule::new().ip_daddr(model::set("nets")), Rule::new().queue(0..=3, QueueFlags::empty())];
        match kernel.apply(&Ruleset::new().table(table(rules).set(set))) {
            Ok(applied) => assert!(!applied.staged.is_empty(), "this kernel has queues"),
            Err(error) => {
                assert!(error.is_unsupported(), "{error}");
                assert_eq!(with_handles("list ruleset"), before);
            }
        }
    });
}
