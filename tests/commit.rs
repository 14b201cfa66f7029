//! Transactions against the real kernel: atomic, refused by name, very large, stale, and without
//! privilege.

mod support;

use nftmesh::kernel::{Fake, Kernel, NetNs};
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Generation, Hook, Interval, Position, Priority, QueueFlags, Reject,
    Rule, RuleHandle, Ruleset, Set, SetFlags, Table, TableId, Tproxy, Value, set,
};
use nftmesh::plan::Transaction;
use support::{in_fresh_netns, nft, nft_script};

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn net(text: &str) -> Element {
    Element::new(text.parse::<ipnetwork::IpNetwork>().expect("a network"))
}

/// `inet mesh` with an empty chain `x` and a set `s` that holds 10.0.0.0/8.
fn small() -> Ruleset {
    let set = Set::new("s", [DataType::Ipv4]).interval().elements([net("10.0.0.0/8")]);
    Ruleset::new().table(Table::new(Family::Inet, "mesh").set(set).chain(Chain::regular("x")))
}

/// A rule set of many rules and nothing else.
fn rules(count: u32) -> Ruleset {
    let rule =
        |index| Rule::new().ip_daddr(std::net::Ipv4Addr::from(0x0a00_0000 + index)).tcp_dport(80).counter().accept();
    Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("many").rules((0..count).map(rule))))
}

/// A rule set of many intervals and nothing else.
fn intervals(count: u32) -> Ruleset {
    let v4 = |address: u32| Value::Ipv4(address.into());
    let element =
        |index| Element::new(Interval { low: v4(0x0a00_0000 + 8 * index), high: v4(0x0a00_0003 + 8 * index) });
    let set = Set::new("many", [DataType::Ipv4]).interval().elements((0..count).map(element));
    Ruleset::new().table(Table::new(Family::Inet, "mesh").set(set))
}

#[test]
fn every_refused_operation_is_named_and_nothing_is_applied() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::replace(small())).expect("a small rule set");
        let before = nft("list ruleset");
        let generation = kernel.generation().expect("a generation");
        let x = mesh().chain("x");
        let faulty = Transaction::new()
            .add_rule(&x, Rule::new().counter().accept())
            .add_rule(&mesh().chain("nope"), Rule::new().accept())
            .add_rule(&x, Rule::new().counter().jump("nowhere"))
            .add_rule(&x, Rule::new().counter().queue(0..=3, QueueFlags::empty()))
            .add_rule(&x, Rule::new().ip_daddr(set("noset")).accept())
            .delete_rule(&x, RuleHandle(4711))
            .add_elements(&mesh().set("s"), [net("11.0.0.0/8"), net("10.1.0.0/16")]);
        let error = kernel.commit(&faulty).expect_err("faults");
        let queues =
            kernel.check(&Transaction::new().add_rule(&x, Rule::new().queue(0..=0, QueueFlags::empty()))).is_ok();

        let named: Vec<(Option<usize>, i32)> =
            error.refusals().iter().map(|refusal| (refusal.operation, refusal.errno)).collect();
        let (gone, exists) = (libc::ENOENT, libc::EEXIST);
        let mut faults = vec![
            (Some(1), gone),
            (Some(2), gone),
            (Some(3), gone),
            (Some(4), gone),
            (Some(5), gone),
            (Some(6), exists),
        ];
        faults.retain(|(operation, _)| !queues || *operation != Some(3));
        assert_eq!(named, faults);
        let lines: Vec<String> = error.refusals().iter().map(ToString::to_string).collect();
        let expected = [
            "add rule inet mesh/nope: no such chain; add it in the same transaction or check its name (ENOENT)",
            "add rule inet mesh/x, statement 2 (jump nowhere): there is no such chain in this table; add it in the same transaction (ENOENT)",
            "add rule inet mesh/x, statement 2 (queue to 0-3): this kernel has no queue expression; it needs CONFIG_NFT_QUEUE (ENOENT)",
            "add rule inet mesh/x, statement 1 (ip daddr @noset): there is no set noset in this table; add it in the same transaction (ENOENT)",
            "delete rule inet mesh/x handle 4711: no such chain or rule handle (ENOENT)",
            "add element inet mesh/s, element 10.1.0.0/16: it overlaps or contradicts an element of the set (EEXIST)",
        ];
        let expected: Vec<_> = expected.into_iter().filter(|line| !queues || !line.contains("queue")).collect();
        assert_eq!(lines, expected);
        assert!(queues || error.is_unsupported(), "the queue expression is missing: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
        assert_eq!(nft("list ruleset"), before);
        assert_eq!(kernel.generation().expect("a generation"), generation);

        kernel.commit(&Transaction::new().add_rule(&x, Rule::new().accept())).expect("the next one is not poisoned");
    });
}

#[test]
fn a_rule_at_a_position_that_is_not_there_names_the_handle() {
    in_fresh_netns(|| {
        let (mesh, mut kernel, mut fake) = (mesh(), Kernel::open().expect("a socket"), Fake::new());
        let there = Transaction::new().add_table(&mesh).add_chain(&mesh, Chain::regular("x"));
        kernel.commit(&there).and_then(|()| fake.commit(&there)).expect("committed");
        let handle = RuleHandle(4711);
        for (position, what) in [
            (Position::Before(handle), "insert rule inet mesh/x before handle 4711"),
            (Position::After(handle), "add rule inet mesh/x after handle 4711"),
        ] {
            let add = Transaction::new().insert_rule(&mesh.chain("x"), position, Rule::new().accept());
            for refused in [kernel.commit(&add), fake.commit(&add)] {
                let error = refused.expect_err("there is no such rule");
                assert!(error.is_not_found(), "{error}");
                assert_eq!(error.to_string(), format!("op 1 of 1, {what}: no such chain or rule handle (ENOENT)"));
            }
        }
    });
}

#[test]
fn a_stale_generation_is_a_conflict_and_changes_nothing() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let seen = kernel.generation().expect("a generation");
        nft_script("table ip other {}");
        let stale = Transaction::replace(small()).at_generation(seen);
        let error = kernel.commit(&stale).expect_err("nft was faster");
        assert!(error.is_conflict(), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "the transaction: somebody else committed after generation {}; read again and retry (ERESTART)",
                seen.0
            )
        );
        assert_eq!(nft("list ruleset"), "table ip other {\n}\n");
        let fresh = Transaction::replace(small()).at_generation(kernel.generation().expect("a generation"));
        kernel.commit(&fresh).expect("nobody was faster");
        assert_eq!(kernel.generation().expect("a generation"), Generation(seen.0 + 2));
    });
}

#[test]
fn racing_writers_all_commit_when_they_retry() {
    in_fresh_netns(|| {
        const EACH: u32 = 500;
        let here = NetNs::current().expect("a namespace");
        Kernel::open().expect("a socket").commit(&Transaction::replace(small())).expect("a small rule set");
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let mut kernel = here.kernel().expect("a socket");
                scope.spawn(move || {
                    for number in 0..EACH {
                        let rule = Rule::new().mark(2 * number + writer).counter();
                        loop {
                            let generation = kernel.generation().expect("a generation");
                            let transaction =
                                Transaction::new().add_rule(&mesh().chain("x"), rule.clone()).at_generation(generation);
                            match kernel.commit(&transaction) {
                                Ok(()) => break,
                                Err(error) => assert!(error.is_conflict(), "{error}"),
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(nft("list ruleset").matches("counter").count(), 2 * EACH as usize);
    });
}

#[test]
fn five_thousand_rules_are_one_transaction() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let generation = kernel.generation().expect("a generation");
        kernel.commit(&Transaction::replace(rules(5_000))).expect("room for all");
        assert_eq!(nft("list ruleset").matches("accept").count(), 5_000);
        assert_eq!(kernel.generation().expect("a generation"), Generation(generation.0 + 1), "one transaction");
    });
}

#[test]
fn a_hundred_thousand_intervals_are_one_transaction() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let generation = kernel.generation().expect("a generation");
        kernel.commit(&Transaction::replace(intervals(100_000))).expect("room for all");
        assert_eq!(kernel.generation().expect("a generation"), Generation(generation.0 + 1), "one transaction");
        let listed = nft("list ruleset");
        assert_eq!(listed.matches('-').count(), 0, "every interval is a prefix");
        assert_eq!(listed.matches("/30").count(), 100_000);
    });
}

#[test]
fn a_dry_run_finds_faults_and_changes_nothing() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let before = kernel.generation().expect("a generation");
        kernel.check(&Transaction::replace(small())).expect("nothing wrong with it");
        let error =
            kernel.check(&Transaction::new().add_rule(&mesh().chain("x"), Rule::new().accept())).expect_err("no table");
        assert!(error.is_not_found(), "{error}");
        assert_eq!(kernel.generation().expect("a generation"), before);
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn rules_are_added_at_their_positions() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let x = mesh().chain("x");
        let rule = |mark: u32| Rule::new().mark(mark);
        kernel.commit(&Transaction::replace(small()).add_rule(&x, rule(5))).expect("one rule");
        let handle = handle_of("0x00000005");
        let around = Transaction::new()
            .insert_rule(&x, Position::Before(handle), rule(4))
            .insert_rule(&x, Position::After(handle), rule(6))
            .insert_rule(&x, Position::First, rule(1))
            .insert_rule(&x, Position::Last, rule(9));
        kernel.commit(&around).expect("four rules around it");
        assert_eq!(marks(), [1, 4, 5, 6, 9]);
        kernel.commit(&Transaction::new().replace_rule(&x, handle, rule(7))).expect("another in its place");
        assert_eq!(marks(), [1, 4, 7, 6, 9]);
        kernel.commit(&Transaction::new().delete_rule(&x, handle_of("0x00000004"))).expect("it is there");
        assert_eq!(marks(), [1, 7, 6, 9]);
        kernel.commit(&Transaction::new().flush_chain(&x).add_rule(&x, rule(2))).expect("all others gone");
        assert_eq!(marks(), [2]);
        kernel.commit(&Transaction::new().flush_table(&mesh())).expect("all gone");
        assert!(marks().is_empty());
        kernel.commit(&Transaction::new().delete_chain(&x).delete_set(&mesh().set("s"))).expect("nothing uses them");
        assert_eq!(nft("list ruleset"), "table inet mesh {\n}\n");
    });
}

fn handle_of(text: &str) -> RuleHandle {
    let listed = nft("-a list ruleset");
    let line = listed.lines().find(|line| line.contains(text)).expect("the rule is listed");
    line.rsplit(' ')
        .next()
        .and_then(|handle| handle.parse().map(RuleHandle).ok())
        .expect("the line ends with its handle")
}

fn marks() -> Vec<u32> {
    let listed = nft("list ruleset");
    let number = |line: &str| u32::from_str_radix(line.trim().strip_prefix("meta mark 0x")?, 16).ok();
    listed.lines().filter_map(number).collect()
}

#[test]
fn elements_are_added_deleted_and_flushed_without_their_set() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::replace(small())).expect("a small rule set");
        let elements =
            |wanted: &str| assert!(nft("list ruleset").contains(wanted), "{wanted} in {}", nft("list ruleset"));
        kernel.commit(&Transaction::new().add_elements(&mesh().set("s"), [net("12.0.0.0/8")])).expect("no overlap");
        elements("elements = { 10.0.0.0/8, 12.0.0.0/8 }");
        kernel.commit(&Transaction::new().delete_elements(&mesh().set("s"), [net("10.0.0.0/8")])).expect("it is there");
        elements("elements = { 12.0.0.0/8 }");
        let flushed =
            Transaction::new().flush_set(&mesh().set("s")).add_elements(&mesh().set("s"), [net("1.0.0.0/24")]);
        kernel.commit(&flushed).expect("in place of all others");
        elements("elements = { 1.0.0.0/24 }");
    });
}

#[test]
fn adding_the_same_set_again_changes_nothing() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::replace(small())).expect("a small rule set");
        let before = nft("list ruleset");
        let marks = Set::new("marks", [DataType::Mark]).interval();
        kernel.commit(&Transaction::new().add_set(&mesh(), marks.clone())).expect("a new set");
        let lookup = Transaction::new().add_rule(&mesh().chain("x"), Rule::new().mark(set("marks")).accept());
        let error = kernel.commit(&lookup).expect_err("how the set keeps its keys is not known");
        assert!(error.to_string().contains("add it to the same transaction"), "{error}");
        let known = Transaction::new()
            .add_set(&mesh(), marks)
            .add_rule(&mesh().chain("x"), Rule::new().mark(set("marks")).accept());
        kernel.commit(&known).expect("the same set again");
        assert!(nft("list ruleset").contains("meta mark @marks accept"), "{before}");
    });
}

#[test]
fn several_tables_and_families_change_together() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let families = [Family::Inet, Family::Ip, Family::Ip6];
        let tables =
            families.map(|family| Table::new(family, "t").chain(Chain::regular("c").rule(Rule::new().counter())));
        kernel.commit(&Transaction::add(tables.into_iter().collect())).expect("three tables");
        let ids = families.map(|family| TableId::new(family, "t"));
        assert_eq!(kernel.tables().expect("a list"), ids);
        let gone = ids.iter().fold(Transaction::new(), Transaction::delete_table);
        kernel.commit(&gone).expect("three tables gone");
        assert_eq!(kernel.tables().expect("a list"), []);
        let error = kernel.commit(&gone).expect_err("they are gone");
        assert!(error.is_not_found(), "{error}");
        assert_eq!(error.refusals().len(), 3, "{error}");
    });
}

#[test]
fn a_fault_found_at_commit_time_is_blamed_on_no_rule() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        nft_script(
            "table inet mesh { chain a {}\n chain b {}\n chain base { type filter hook input priority 0;\n jump a\n }\n}\nadd rule inet mesh a jump b",
        );
        let loops = Transaction::new().add_rule(&mesh().chain("b"), Rule::new().jump("a"));
        let error = kernel.commit(&loops).expect_err("a loop");
        assert_eq!(error.refusals().iter().map(|refusal| refusal.errno).collect::<Vec<_>>(), [libc::EMLINK]);
        assert!(error.to_string().contains("loop"), "{error}");
    });
}

#[test]
fn a_target_at_the_wrong_hook_is_unsupported() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        nft_script(
            "table inet mesh { chain out { type filter hook output priority 0;\n}
            chain post { type filter hook postrouting priority 0;\n}\n}",
        );
        let tcp = || Rule::new().l4proto(nftmesh::model::Protocol::TCP);
        for (chain, rule, refused) in [
            ("out", tcp().tproxy(Tproxy::to_port(1)), "tproxy to :1 is not taken in a chain of this type and hook"),
            (
                "post",
                tcp().reject_with(Reject::TcpReset),
                "reject with tcp reset is not taken in a chain of this type and hook; at prerouting it is since Linux 5.9",
            ),
        ] {
            let error = kernel.commit(&Transaction::new().add_rule(&mesh().chain(chain), rule)).expect_err(refused);
            assert!(error.is_unsupported(), "{error}");
            assert!(error.to_string().contains(&format!("{refused} (EOPNOTSUPP)")), "{error}");
        }
    });
}

/// Chains of other programs at hooks that have no word here are sent as they were read, so that the
/// kernel is the first who can refuse them.
#[test]
fn a_chain_that_the_kernel_does_not_have_at_its_hook_is_unsupported() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        nft_script("table inet mesh { chain in { type filter hook ingress device lo priority 0; }; }");
        let held = kernel.snapshot().expect("a snapshot");
        for (chain_type, hook) in [("nat", None), ("route", None), ("filter", Some(9)), ("filter", Some(31))] {
            let mut wanted = held.clone();
            let chain = wanted.tables.iter_mut().flat_map(|table| &mut table.chains).next().expect("it is there");
            let asked = chain.hook.as_mut().expect("it is hooked");
            asked.chain_type = chain_type.into();
            asked.hook = hook.unwrap_or(asked.hook);
            let wanted = wanted.raise().ruleset;
            nft_script("flush ruleset");
            for outcome in [kernel.commit(&Transaction::replace(wanted.clone())), kernel.apply(&wanted).map(drop)] {
                let error = outcome.expect_err("no kernel has it");
                assert!(error.is_unsupported(), "{chain_type} {hook:?}: {error}");
                let printed = "chain inet mesh/in: this kernel takes no such chain type at that hook and priority";
                assert!(error.to_string().contains(printed), "{chain_type} {hook:?}: {error}");
                assert_eq!(nft("list ruleset"), "", "{chain_type} {hook:?}: nothing is left");
            }
        }
    });
}

#[test]
fn an_invalid_rule_set_is_not_sent() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let table = Table::new(Family::Inet, "mesh")
            .chain(Chain::base("forward", ChainType::Nat, Hook::Forward, Priority::DSTNAT))
            .chain(Chain::regular("loop").rule(Rule::new().jump("loop")));
        let before = kernel.generation().expect("a generation");
        let error = kernel.commit(&Transaction::replace(Ruleset::new().table(table))).expect_err("two faults");
        assert!(error.is_invalid() && error.refusals().is_empty(), "{error}");
        assert_eq!(kernel.generation().expect("a generation"), before);
    });
}

#[test]
fn without_root_a_commit_beyond_wmem_max_is_refused() {
    if std::env::var_os("NFTMESH_AS_NOBODY").is_none() {
        return support::as_nobody("without_root_a_commit_beyond_wmem_max_is_refused");
    }
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.commit(&Transaction::replace(rules(200))).expect("it fits the default send buffer");
        assert_eq!(nft("list ruleset").matches("accept").count(), 200);
        let before = kernel.generation().expect("a generation");
        let large = Transaction::replace(intervals(400_000));
        let needed = kernel.prepare(&large).expect("valid").len();
        let error = kernel.commit(&large).expect_err("more than wmem_max allows");
        let text = error.to_string();
        assert!(text.contains(&needed.to_string()) && text.contains("net.core.wmem_max"), "{text}");
        assert_eq!(kernel.generation().expect("a generation"), before);
        kernel.commit(&Transaction::replace(rules(10))).expect("the socket still works");
    });
}

#[test]
fn committing_without_the_capability_is_a_permission_error() {
    if std::env::var_os("NFTMESH_AS_NOBODY").is_none() {
        return support::as_nobody("committing_without_the_capability_is_a_permission_error");
    }
    in_fresh_netns(|| {
        support::sys::drop_capabilities().expect("a thread may give up what it has");
        let mut kernel = Kernel::open().expect("anybody may open the socket");
        let error = kernel.commit(&Transaction::replace(small())).expect_err("no capability");
        assert!(error.is_permission(), "{error}");
        assert_eq!(
            error.to_string(),
            "the transaction: CAP_NET_ADMIN is missing in the user namespace that owns this network namespace (EPERM)"
        );
    });
}

#[test]
fn another_namespace_is_reached_without_moving_the_caller() {
    in_fresh_netns(|| {
        let pod = support::NetNs::fresh();
        let pod = NetNs::from_fd(pod.file.try_clone().expect("a descriptor")).expect("a namespace");
        assert!(!pod.is_current().expect("/proc is mounted"));
        let mut kernel = pod.kernel().expect("a socket inside");
        kernel.commit(&Transaction::replace(small())).expect("a small rule set");
        assert_eq!(nft("list ruleset"), "", "the caller's namespace");
        assert_eq!(pod.run(|| nft("list tables")).expect("may be entered"), "table inet mesh\n");
    });
}

#[test]
fn overlapping_elements_of_an_auto_merge_set_are_merged() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let merging = Set::new("s", [DataType::Ipv4]).auto_merge().elements([
            net("10.0.0.0/9"),
            net("10.128.0.0/9"),
            net("10.1.0.0/16"),
        ]);
        assert!(merging.flags.contains(SetFlags::AUTO_MERGE));
        let table = Table::new(Family::Inet, "mesh").set(merging);
        kernel.commit(&Transaction::replace(Ruleset::new().table(table))).expect("merged before it is sent");
        assert!(nft("list ruleset").contains("elements = { 10.0.0.0/8 }"), "{}", nft("list ruleset"));
    });
}
