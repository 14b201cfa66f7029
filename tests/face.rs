//! The API for single objects: ids, handles, one table, chain or set, kinds of errors.

mod support;

use nftmesh::model::{TableFlags, Value};
use nftmesh::prelude::*;
use support::{in_fresh_netns, needs_root, nft, nft_script};

fn mesh() -> TableId {
    TableId::new(Family::Inet, "mesh")
}

fn out() -> ChainId {
    mesh().chain("out")
}

/// Returns the rules of a chain as nft lists them, with their handles.
fn listed(chain: &str) -> Vec<String> {
    let listed = nft(&format!("-a list chain inet mesh {chain}"));
    let lines = listed.lines().map(str::trim).filter(|line| line.contains("# handle") && !line.contains('{'));
    lines.map(str::to_owned).collect()
}

const RULES: &str = "table inet mesh {
    set blocked { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1 }; }
    map ports { type inet_service : ipv4_addr; elements = { 80 : 192.0.2.9 }; }
    chain side { type filter hook ingress device lo priority 0; accept; }
    chain out {
        ip saddr @blocked counter drop comment \"blocked\"
        tcp dport { 22, 80-90 } accept
        goto other
    }
    chain other { return; }
}";

#[test]
fn the_rules_of_a_chain_come_with_their_handles() {
    in_fresh_netns(|| {
        nft_script(RULES);
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let rules: Vec<_> = snapshot.rules(&out()).collect();
        assert_eq!(rules, kernel.rules(&out()).expect("an answer").expect("the chain exists"));
        assert_eq!(rules, snapshot.table(&mesh()).expect("it exists").rules("out").collect::<Vec<_>>());
        let [(_, blocked), (second, ports), (third, goto)] = rules.as_slice() else { panic!("{rules:?}") };
        assert_eq!(blocked.comment.as_deref(), Some("blocked"));
        let wanted = Rule::new().tcp_dport([(22..=22), (80..=90)]).accept();
        assert_eq!((ports, goto), (&wanted, &Rule::new().goto("other")));
        let delete = Transaction::new().at_generation(snapshot.generation).delete_rule(&out(), *second);
        kernel.commit(&delete).expect("it exists");
        let left = listed("out");
        assert_eq!(left.len(), 2, "{left:?}");
        assert_eq!(left.last(), Some(&format!("goto other # handle {third}")));
        assert_eq!(snapshot.rules(&mesh().chain("absent")).count(), 0);
        assert_eq!(snapshot.rules(&TableId::new(Family::Ip, "mesh").chain("out")).count(), 0);
    });
}

#[test]
fn raised_rules_and_sets_equal_those_read_one_by_one() {
    in_fresh_netns(|| {
        nft_script(RULES);
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let raised = snapshot.raise().ruleset;
        let table = raised.find(Family::Inet, "mesh").expect("it exists");
        for chain in &table.chains {
            let rules: Vec<_> = snapshot.rules(&mesh().chain(&chain.name)).map(|(_, rule)| rule).collect();
            assert_eq!(rules, chain.rules, "{}", chain.name);
        }
        for set in &table.sets {
            let id = mesh().set(&set.name);
            assert_eq!(snapshot.set(&id).as_ref(), Some(set));
            assert_eq!(kernel.set(&id).expect("an answer").as_ref(), Some(set));
        }
        assert_eq!(table.sets.len(), 2);
    });
}

#[test]
fn a_single_table_chain_or_set_equals_the_one_in_the_snapshot() {
    in_fresh_netns(|| {
        nft_script(RULES);
        nft_script("table ip mesh { chain out { drop; }; set blocked { type inet_service; }; }");
        let mut kernel = Kernel::open().expect("a socket");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let table = kernel.table(&mesh()).expect("an answer").expect("it exists");
        assert_eq!(Some(&table), snapshot.table(&mesh()));
        for chain in &table.chains {
            let read = kernel.chain(&mesh().chain(&chain.name)).expect("an answer");
            assert_eq!(read.as_ref(), Some(chain));
            assert_eq!(read.as_ref(), snapshot.chain(&mesh().chain(&chain.name)));
        }
        assert_eq!(table.chains.len(), 3);
        let other = TableId::new(Family::Ip, "mesh").set("blocked");
        assert_eq!(kernel.set(&other).expect("an answer"), Some(Set::new("blocked", [DataType::Port])));
    });
}

#[test]
fn a_missing_table_chain_or_set_is_none() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        for script in ["table inet mesh { chain out { tcp dport { 1, 2 } accept; }; }", ""] {
            assert_eq!(kernel.table(&TableId::new(Family::Ip, "no")).expect("an answer"), None);
            assert_eq!(kernel.chain(&TableId::new(Family::Ip, "no").chain("c")).expect("an answer"), None);
            assert_eq!(kernel.chain(&mesh().chain("no")).expect("an answer"), None);
            assert_eq!(kernel.rules(&mesh().chain("no")).expect("an answer"), None);
            assert_eq!(kernel.set(&mesh().set("no")).expect("an answer"), None);
            nft_script(script);
        }
        assert_eq!(kernel.set(&mesh().set("__set0")).expect("an answer"), None, "an anonymous set has no name");
        assert_eq!(kernel.rules(&out()).expect("an answer").map(|rules| rules.len()), Some(1));
    });
}

#[test]
fn a_commit_returns_the_handles_of_its_rules_in_order() {
    in_fresh_netns(|| {
        nft_script("table inet mesh { chain out { counter; return; }; chain other { }; }");
        let mut kernel = Kernel::open().expect("a socket");
        let rule = |mark: u32| Rule::new().mark(mark).accept();
        let [(first, _), _] = kernel.rules(&out()).expect("an answer").expect("it exists").try_into().expect("two");
        let transaction = Transaction::new()
            .add_rule(&out(), rule(1))
            .insert_rule(&mesh().chain("other"), Position::First, rule(2))
            .add_set(&mesh(), Set::new("s", [DataType::Ipv4]))
            .replace_rule(&out(), first, Rule::new().tcp_dport([1, 2]).accept())
            .insert_rule(&out(), Position::First, rule(4));
        let handles = kernel.commit_echo(&transaction).expect("committed");
        let [one, two, three, four] = handles.as_slice() else { panic!("{handles:?}") };
        let line = |text: &str, handle: &RuleHandle| format!("{text} # handle {handle}");
        let out = listed("out");
        assert_eq!(out.first(), Some(&line("meta mark 0x00000004 accept", four)));
        assert_eq!(out.last(), Some(&line("meta mark 0x00000001 accept", one)));
        assert!(nft("-a list chain inet mesh out").contains(&line("tcp dport { 1, 2 } accept", three)));
        assert_eq!(listed("other"), [line("meta mark 0x00000002 accept", two)]);
        assert_eq!(kernel.commit_echo(&Transaction::new()).expect("nothing to do"), []);
        let flush = Transaction::new().flush_table(&mesh());
        assert_eq!(kernel.commit_echo(&flush).expect("committed"), []);
    });
}

#[test]
fn the_handles_of_many_rules_come_back_and_nothing_stays_queued() {
    // More room for replies than the host allows to everybody is what its root may ask for.
    if !needs_root() {
        return;
    }
    in_fresh_netns(|| {
        nft_script("table inet mesh { chain out { }; }");
        let mut kernel = Kernel::open().expect("a socket");
        let rules = (0..3000_u32).map(|mark| Rule::new().mark(mark).counter().accept());
        let transaction = rules.fold(Transaction::new(), |transaction, rule| transaction.add_rule(&out(), rule));
        let handles = kernel.commit_echo(&transaction).expect("committed");
        let read = kernel.rules(&out()).expect("an answer").expect("it exists");
        assert_eq!(handles, read.iter().map(|(handle, _)| *handle).collect::<Vec<_>>());
    });
}

#[test]
fn a_refused_commit_returns_no_handles_and_changes_nothing() {
    in_fresh_netns(|| {
        nft_script("table inet mesh { chain out { }; }");
        let mut kernel = Kernel::open().expect("a socket");
        let transaction =
            Transaction::new().add_rule(&out(), Rule::new().accept()).delete_rule(&out(), RuleHandle(4711));
        let error = kernel.commit_echo(&transaction).expect_err("there is no such rule");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(listed("out"), Vec::<String>::new());
    });
}

#[test]
fn a_chain_that_exists_with_another_declaration_is_a_conflict() {
    in_fresh_netns(|| {
        nft_script(
            "table inet mesh { chain base { type filter hook output priority 0; }; chain regular { };
             set s { type ipv4_addr; }; }",
        );
        let before = nft("-a list ruleset");
        let mut kernel = Kernel::open().expect("a socket");
        let base = |kind, hook, priority| Chain::base("base", kind, hook, priority);
        let others = [
            base(ChainType::Filter, Hook::Output, Priority(5)),
            base(ChainType::Filter, Hook::Input, Priority::FILTER),
            base(ChainType::Nat, Hook::Output, Priority::FILTER),
            Chain::base("regular", ChainType::Filter, Hook::Output, Priority::FILTER),
        ];
        for chain in others {
            let transaction = Transaction::new().add_chain(&mesh(), chain.clone());
            for outcome in [kernel.commit(&transaction), kernel.check(&transaction)] {
                let error = outcome.expect_err("it exists otherwise");
                assert_eq!(error.kind(), ErrorKind::Conflict, "{error}\n{chain:?}");
                assert!(error.to_string().contains("exists already and is not the same"), "{error}");
            }
        }
        for set in [Set::new("s", [DataType::Ipv4]).interval(), Set::new("s", [DataType::Mark])] {
            let error = kernel.commit(&Transaction::new().add_set(&mesh(), set)).expect_err("it exists otherwise");
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
        assert_eq!(nft("-a list ruleset"), before);
        let anew = Transaction::new()
            .delete_chain(&mesh().chain("base"))
            .add_chain(&mesh(), base(ChainType::Filter, Hook::Output, Priority(5)));
        kernel.commit(&anew).expect("made anew");
    });
}

#[test]
fn faults_of_validation_are_in_the_error_of_every_call() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let chain = Chain::regular("out").rule(Rule::new().jump("nowhere")).rule(Rule::new().jump("nowhere-else"));
        let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain));
        let expected = ruleset.validate().expect_err("two chains are missing").faults().to_vec();
        assert_eq!(expected.len(), 2);
        let replace = Transaction::replace(ruleset.clone());
        let errors = [
            kernel.commit(&replace).expect_err("refused"),
            kernel.check(&replace).expect_err("refused"),
            kernel.commit_echo(&replace).expect_err("refused"),
            kernel.apply(&ruleset).expect_err("refused"),
            kernel.plan(&ruleset).expect_err("refused"),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.faults()), (ErrorKind::Invalid, expected.as_slice()), "{error}");
            assert!(error.refusals().is_empty());
        }
        let refused = kernel.commit(&Transaction::new().delete_table(&mesh())).expect_err("no such table");
        assert_eq!((refused.kind(), refused.faults(), refused.refusals().len()), (ErrorKind::NotFound, &[][..], 1));
    });
}

#[test]
fn tables_are_removed_whether_or_not_they_exist() {
    in_fresh_netns(|| {
        nft_script(RULES);
        nft_script("table ip stays { }");
        let mut kernel = Kernel::open().expect("a socket");
        let gone = [mesh(), TableId::new(Family::Ip6, "absent")];
        assert!(!kernel.remove(&gone).expect("removed").was_in_sync());
        assert_eq!(nft("list ruleset"), "table ip stays {\n}\n");
        assert!(kernel.remove(&gone).expect("nothing to do").was_in_sync());
    });
}

#[test]
fn flushing_deletes_every_table_but_those_of_another_owner() {
    in_fresh_netns(|| {
        nft_script(RULES);
        nft_script("table ip other { chain c { type filter hook input priority 0; drop; }; }; table bridge b { }");
        let (mut kernel, mut owner) = (Kernel::open().expect("a socket"), Kernel::open().expect("a socket"));
        let owned = Table::new(Family::Ip, "owned").flags(TableFlags::OWNER);
        let is_owned = owner.commit(&Transaction::add(Ruleset::new().table(owned))).is_ok();
        kernel.flush_ruleset().expect("flushed");
        let expected: &[TableId] = if is_owned { &[TableId::new(Family::Ip, "owned")] } else { &[] };
        assert_eq!(kernel.tables().expect("a list"), expected);
        owner.flush_ruleset().expect("flushed");
        assert_eq!(nft("list ruleset"), "");
        kernel.flush_ruleset().expect("there is nothing to flush");
        kernel.commit(&Transaction::new().add_table(&mesh())).expect("the socket can be used");
    });
}

#[test]
fn other_families_have_everything_that_inet_has() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let counted = || Rule::new().iifname("lo").counter().accept();
        for family in [Family::Arp, Family::Bridge, Family::Netdev] {
            let id = TableId::new(family, "t");
            let marks = Set::new("marks", [DataType::Mark]).elements([Value::Mark(7)]);
            let chain = Chain::regular("c").rule(counted()).rule(Rule::new().mark(matches::set("marks")).jump("d"));
            let table = Table::new(family, "t").set(marks).chain(Chain::regular("d")).chain(chain);
            let ruleset = Ruleset::new().table(table.clone());
            kernel.apply(&ruleset).unwrap_or_else(|error| panic!("{family}: {error}"));
            assert_eq!(kernel.verify(&ruleset).expect("readable"), [], "{family}");
            assert_eq!(nft(&format!("list table {family} t")), ruleset.to_string(), "{family}");

            // A chain with a hook of the family, and one with a hook that it lacks.
            let ours = match family {
                Family::Netdev => Chain::egress("own", ["lo"], Priority::FILTER),
                _ => Chain::base("own", ChainType::Filter, Hook::Output, Priority::FILTER),
            };
            let ruleset = Ruleset::new().table(table.clone().chain(ours.rule(counted())));
            kernel.apply(&ruleset).unwrap_or_else(|error| panic!("{family}: {error}"));
            assert_eq!(nft(&format!("list table {family} t")), ruleset.to_string(), "{family}");
            let nat = Chain::base("n", ChainType::Nat, Hook::Output, Priority::SRCNAT);
            let error = Ruleset::new().table(table.chain(nat)).validate().expect_err("it has no such chain");
            assert!(error.to_string().contains(&format!("of family {family}")), "{error}");

            // One that nft made takes rules.
            let hook = if family == Family::Netdev { "ingress device lo" } else { "input" };
            nft_script(&format!("add chain {family} t b {{ type filter hook {hook} priority 0; }}"));
            kernel.commit(&Transaction::new().add_rule(&id.chain("b"), counted())).expect("the chain exists");
            let raised = kernel.snapshot().expect("a snapshot").raise().ruleset;
            assert!(kernel.apply(&raised).expect("nothing to do").was_in_sync(), "{family}");
            let listed = nft("list ruleset");
            assert!(listed.contains("iifname \"lo\" counter packets 0 bytes 0 accept"), "{listed}");
            kernel.commit(&Transaction::replace(raised)).expect("made again");
            assert_eq!(nft("list ruleset"), listed, "{family}");
            kernel.flush_ruleset().expect("flushed");
        }
    });
}

#[test]
fn flushing_discards_what_apply_remembers() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let chain = Chain::regular("out").rule(Rule::new().accept());
        let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain));
        kernel.apply(&ruleset).expect("applied");
        let held = nft("list ruleset");
        kernel.flush_ruleset().expect("flushed");
        assert!(!kernel.apply(&ruleset).expect("applied").was_in_sync());
        assert_eq!(nft("list ruleset"), held);
    });
}
