//! A table with parts that have no type in this crate can be changed around them: they stay byte
//! for byte, with their handles, and are deleted only when they are left out by name.

#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

use super::laws::raised_changes_nothing;
use crate::support::corpus::{EVERYTHING, as_this_kernel, loads};
use crate::support::{in_fresh_netns, nft, nft_script, say, succeed};
use nftmesh::kernel::Kernel;
use nftmesh::model::{Chain, Family, Rule, Ruleset, Table, TableId};
use nftmesh::state::{Snapshot, TableState};

/// Not every kernel has flowtables.
const FLOWTABLE: &str = "table inet f {
    flowtable fast { hook ingress priority 3; devices = { lo }; }
    chain f { type filter hook forward priority 0; ip protocol tcp flow add @fast; }
}";

fn snapshot(kernel: &mut Kernel) -> Snapshot {
    kernel.snapshot().expect("a snapshot")
}

/// Returns the table without `extra`, counters and times.
fn but_for_extra(table: &TableState) -> TableState {
    let mut table = table.clone();
    table.chains.retain(|chain| chain.name != *"extra");
    table.uses = 0;
    table.sets.iter_mut().flat_map(|set| &mut set.expires).for_each(|left| *left = left.map(|_| 0));
    table
}

#[test]
fn adding_changing_and_deleting_a_chain_leaves_all_else_unchanged() {
    in_fresh_netns(|| {
        let flowtable = if loads(FLOWTABLE) { Some(FLOWTABLE) } else { None };
        say(if flowtable.is_some() { "with a flowtable" } else { "SKIP: this kernel has no flowtables" });
        for script in EVERYTHING.iter().copied().chain(flowtable) {
            nft_script("flush ruleset");
            nft_script(&as_this_kernel(script));
            let mut kernel = Kernel::open().expect("a socket");
            let before = snapshot(&mut kernel);
            let raised = before.raise().ruleset;
            let steps = [
                vec![Rule::new().counter()],
                vec![Rule::new().counter(), Rule::new().mark(1).accept()],
                vec![Rule::new().mark(2).drop()],
            ];
            for rules in steps {
                let tables = raised.tables.iter().cloned();
                let wanted: Ruleset =
                    tables.map(|table| table.chain(Chain::regular("extra").rules(rules.clone()))).collect();
                let applied = kernel.apply(&wanted).unwrap_or_else(|error| panic!("{error}\n{wanted}"));
                assert!(!applied.was_in_sync());
                leaves(&before, &snapshot(&mut kernel));
                raised_changes_nothing(&mut kernel);
            }
            kernel.apply(&raised).expect("what was there");
            let after = snapshot(&mut kernel);
            leaves(&before, &after);
            assert!(after.tables.iter().all(|table| table.chain("extra").is_none()));
        }
    });
}

#[track_caller]
fn leaves(before: &Snapshot, after: &Snapshot) {
    let all = |snapshot: &Snapshot| snapshot.tables.iter().map(but_for_extra).collect::<Vec<_>>();
    assert_eq!(all(after), all(before), "{}", nft("list ruleset"));
    assert_eq!(after.opaque, before.opaque);
}

#[test]
fn an_object_is_deleted_only_when_omitted() {
    in_fresh_netns(|| {
        nft_script(
            r#"table inet t {
                counter c { packets 1 bytes 2 }
                quota q { over 5 mbytes }
                ct helper h { type "ftp" protocol tcp; }
                ct timeout o { protocol tcp; policy = { close: 4 }; }
                ct expectation e { protocol tcp; dport 9; timeout 2m; size 3; l3proto ip; }
                limit l { rate 10/second }
                synproxy s { mss 1460; wscale 7; }
                chain used { counter name "c"; quota name "q" drop; }
            }"#,
        );
        let mut kernel = Kernel::open().expect("a socket");
        let names = |snapshot: &Snapshot| {
            snapshot.tables[0].objects.iter().map(|object| object.name.to_string()).collect::<Vec<_>>()
        };
        let mut left = names(&snapshot(&mut kernel));
        assert_eq!(left.len(), 7);
        let mut wanted = snapshot(&mut kernel).raise().ruleset;
        for name in ["e", "h", "l", "o", "s"] {
            wanted.tables[0].objects.retain(|object| object.name() != name);
            left.retain(|other| other != name);
            let applied = kernel.apply(&wanted).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(applied.transaction.operations().len(), 1, "{}", applied.transaction);
            assert_eq!(names(&snapshot(&mut kernel)), left);
            raised_changes_nothing(&mut kernel);
        }
        // One that a rule uses is deleted only with its rule.
        let with_rule = wanted.clone();
        wanted.tables[0].objects.retain(|object| object.name() != "q");
        assert!(kernel.apply(&wanted).is_err(), "a rule uses it");
        assert_eq!(names(&snapshot(&mut kernel)), left);
        wanted.tables[0].chains[0].rules.pop();
        kernel.apply(&wanted).expect("nothing uses it");
        assert_eq!(names(&snapshot(&mut kernel)), ["c"]);
        kernel.apply(&with_rule).expect("both come back");
        assert_eq!(names(&snapshot(&mut kernel)).len(), 2);
    });
}

#[test]
fn a_changed_bound_chain_leaves_its_neighbours_unchanged() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t {
                set s { type inet_service; elements = { 1, 2 }; }
                chain c {
                    type filter hook input priority 0;
                    counter packets 5 bytes 6 accept
                    tcp dport 22 jump { counter; tcp sport 1 accept; }
                    tcp dport 23 jump { counter; tcp sport @s drop; }
                    tcp dport 24 goto { fib saddr . iif oif missing drop; }
                }
            }",
        );
        let mut kernel = Kernel::open().expect("a socket");
        let before = snapshot(&mut kernel);
        let mut wanted = before.raise().ruleset;
        let changed = wanted.tables[0].chains.iter_mut().find(|chain| {
            chain.name != *"c" && chain.rules.iter().any(|rule| rule.to_string().contains("tcp sport 1 "))
        });
        changed.expect("a bound chain").rules.push(Rule::new().mark(7).drop());
        let applied = kernel.apply(&wanted).unwrap_or_else(|error| panic!("{error}"));
        let after = snapshot(&mut kernel);
        let rules = |snapshot: &Snapshot| snapshot.tables[0].chain("c").expect("c").rules.clone();
        let (old, new) = (rules(&before), rules(&after));
        assert_eq!((old.len(), new.len()), (4, 4), "{}", applied.transaction);
        for (index, (old, new)) in old.iter().zip(&new).enumerate() {
            assert_eq!(old == new, index != 1, "rule {index}\n{}", applied.transaction);
        }
        assert_eq!(after.tables[0].sets, before.tables[0].sets);
        assert_eq!(after.tables[0].chains.len(), before.tables[0].chains.len());
        let listed = nft("list table inet t");
        assert!(
            listed.contains("meta mark 0x00000007 drop") && listed.contains("counter packets 5 bytes 6"),
            "{listed}"
        );
        assert!(kernel.plan(&wanted).expect("readable").is_empty());
        raised_changes_nothing(&mut kernel);
    });
}

/// A chain that the kernel cannot list is left alone, and its table is not made anew.
#[test]
fn a_chain_that_was_not_read_completely_is_left_alone() {
    in_fresh_netns(|| {
        let long = format!("-m comment --comment {} ", "x".repeat(250)).repeat(120);
        succeed("iptables-nft", &format!("-A INPUT {long} -j ACCEPT"), "");
        succeed("iptables-nft", "-A FORWARD -d 3.3.3.3 -j DROP", "");
        let mut kernel = Kernel::open().expect("a socket");
        let id = TableId::new(Family::Ip, "filter");
        let before = snapshot(&mut kernel);
        let raised = before.raise();
        assert_eq!(raised.unnamed.len(), 1);
        let text = raised.ruleset.to_string();
        assert!(text.contains("<unknown rules: 1>"), "{text}");
        let listing = nftmesh::state::Listing::new(&before).to_string();
        assert!(listing.contains("<unknown rules: 1>"), "{listing}");
        assert!(kernel.plan(&raised.ruleset).expect("readable").is_empty());
        let mut wanted = raised.ruleset.clone();
        let chain = wanted.tables[0].chains.iter_mut().find(|chain| chain.name == *"FORWARD").expect("FORWARD");
        chain.rules.push(Rule::new().counter());
        kernel.apply(&wanted).unwrap_or_else(|error| panic!("{error}"));
        let after = snapshot(&mut kernel);
        let of = |snapshot: &Snapshot, name: &str| snapshot.table(&id).and_then(|table| table.chain(name)).cloned();
        assert_eq!(of(&after, "INPUT"), of(&before, "INPUT"));
        assert_eq!(of(&after, "FORWARD").map(|chain| chain.rules.len()), Some(2));
        // Another flag of the table would make it anew, without the unread rules.
        let tables = wanted.tables.iter().cloned();
        let anew: Ruleset = tables.map(|table: Table| table.flags(nftmesh::model::TableFlags::DORMANT)).collect();
        let error = kernel.apply(&anew).expect_err("it cannot be made again");
        assert!(error.to_string().contains("INPUT"), "{error}");
        assert_eq!(of(&snapshot(&mut kernel), "INPUT"), of(&before, "INPUT"));
    });
}
