//! Watching the real kernel: every kind of change is reported, then its author; losses are reported
//! too; descriptors can be polled.

mod support;

use std::os::fd::AsFd;
use std::time::Duration;

use nftmesh::kernel::{Kernel, NetNs, Watch};
use nftmesh::model::{
    Chain, DataType, Element, Family, Position, Rule, RuleHandle, Ruleset, Set, Table, TableFlags, TableId, Value,
};
use nftmesh::plan::Transaction;
use nftmesh::state::{AddedAt, Commit, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::patience::patience;
use support::version::{EVENT_POSITIONS, OWNED_TABLES, linux, needs_linux};
use support::{command, in_fresh_netns, nft, nft_script};

/// Returns all waiting events.
fn drain(watch: &mut Watch) -> Vec<Event> {
    std::iter::from_fn(|| watch.try_next().expect("the socket can be read")).collect()
}

/// Prints the changes without handles of rules, which differ between kernels.
fn lines(events: &[Event]) -> Vec<String> {
    let changes = events.iter().filter(|event| !matches!(event, Event::Committed(_)));
    changes.map(|event| event.to_string().split(" #").next().unwrap_or_default().to_owned()).collect()
}

/// Returns what this kernel reports for a rule added there.
fn reported(added: AddedAt) -> AddedAt {
    if linux() >= EVENT_POSITIONS { added } else { AddedAt::NotReported }
}

fn commits(events: &[Event]) -> Vec<&Commit> {
    let commit = events.iter().filter_map(|event| match event {
        Event::Committed(commit) => Some(commit),
        _ => None,
    });
    commit.collect()
}

/// Returns whether the descriptor is readable within that time.
fn readable(watch: &Watch, within: Duration) -> bool {
    let fd = watch.as_fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(within).expect("short");
    poll(&mut fds, Some(&timeout)).expect("a descriptor can be polled") == 1
}

fn small(name: &str) -> Ruleset {
    let chain = Chain::regular("c").rule(Rule::new().counter());
    Ruleset::new().table(Table::new(Family::Inet, name).chain(chain))
}

/// Returns a transaction that adds a set of addresses.
fn addresses(count: u32) -> Transaction {
    let element = |index: u32| Element::new(Value::Ipv4((0x0a00_0000 + index).into()));
    let set = Set::new("many", [DataType::Ipv4]).elements((0..count).map(element));
    Transaction::add(Ruleset::new().table(Table::new(Family::Inet, "large").set(set)))
}

/// nft scripts and the expected events.
const CHANGES: &[(&str, &[&str])] = &[
    ("add table inet t", &["add table inet t"]),
    ("add table ip t { flags dormant; }", &["add table ip t"]),
    ("add chain inet t c", &["add chain inet t c"]),
    ("add chain inet t in { type filter hook input priority 0; policy accept; }", &["add chain inet t in"]),
    ("chain inet t in { policy drop; }", &["add chain inet t in"]),
    ("add rule inet t c counter accept", &["add rule inet t c counter packets 0 bytes 0 accept"]),
    ("insert rule inet t c drop", &["add rule inet t c drop"]),
    (
        "replace rule inet t c handle 4 counter drop",
        &["delete rule inet t c drop", "add rule inet t c counter packets 0 bytes 0 drop"],
    ),
    ("add set inet t s { type ipv4_addr; }", &["add set inet t s"]),
    ("add element inet t s { 10.0.0.1 }", &["add element inet t s"]),
    ("delete element inet t s { 10.0.0.1 }", &["delete element inet t s"]),
    (
        "add map inet t m { type ipv4_addr : verdict; elements = { 10.0.0.1 : drop } }",
        &["add set inet t m", "add element inet t m"],
    ),
    ("add counter inet t k", &["add counter inet t k"]),
    ("add quota inet t q { 10 mbytes }", &["add quota inet t q"]),
    ("delete counter inet t k", &["delete counter inet t k"]),
    ("add chain inet t d", &["add chain inet t d"]),
    (
        "add rule inet t d tcp dport { 80, 443 } accept",
        &[
            "add set inet t __set0",
            "add element inet t __set0",
            "add element inet t __set0",
            "add rule inet t d tcp dport @__set0 accept",
        ],
    ),
    ("flush chain inet t d", &["delete rule inet t d tcp dport @__set0 accept", "delete set inet t __set0"]),
    (
        "flush chain inet t c",
        &[
            "delete rule inet t c counter packets 0 bytes 0 drop",
            "delete rule inet t c counter packets 0 bytes 0 accept",
        ],
    ),
    ("delete chain inet t c", &["delete chain inet t c"]),
    ("delete set inet t s", &["delete set inet t s"]),
    (
        "delete table inet t",
        &[
            "delete set inet t m",
            "delete quota inet t q",
            "delete chain inet t in",
            "delete chain inet t d",
            "delete table inet t",
        ],
    ),
    ("delete table ip t", &["delete table ip t"]),
];

#[test]
fn every_change_is_reported_and_then_its_author() {
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        let mut generation = Kernel::open().and_then(|mut kernel| kernel.generation()).expect("a generation");
        for (script, expected) in CHANGES {
            nft_script(script);
            let events = drain(&mut watch);
            let mut expected = expected.to_vec();
            if script.starts_with("replace") && linux() < EVENT_POSITIONS {
                expected.reverse();
            }
            assert_eq!(lines(&events), expected, "{script}: {events:#?}");
            assert!(matches!(events.last(), Some(Event::Committed(_))), "{script}: {events:#?}");
            generation.0 += 1;
            let commits = commits(&events);
            assert_eq!(commits.len(), 1, "{script}: {events:#?}");
            assert!(commits.iter().all(|commit| commit.generation == generation && commit.command == "nft"));
        }
    });
}

#[test]
fn reported_objects_equal_those_in_a_snapshot() {
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        nft_script(
            "table inet t {
                comment \"mine\"
                set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 } }
                chain c {
                    type filter hook forward priority -5; policy drop;
                    counter accept comment \"one\"
                    tcp dport 80 drop
                }
            }",
        );
        let events = drain(&mut watch);
        let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("nobody else commits");
        let table = snapshot.tables.first().expect("a table");
        let (set, chain) = (table.set("s").expect("a set"), table.chain("c").expect("a chain"));
        let mut rules = Vec::new();
        let mut elements = Vec::new();
        for event in events {
            match event {
                Event::TableAdded(traced) => {
                    assert_eq!(
                        (traced.id, traced.handle, traced.userdata),
                        (table.id.clone(), table.handle, table.userdata.clone())
                    );
                }
                Event::ChainAdded { chain: traced, .. } => {
                    assert_eq!((traced.handle, traced.hook, traced.rules), (chain.handle, chain.hook.clone(), vec![]));
                }
                Event::SetAdded { set: traced, .. } => {
                    assert_eq!((traced.handle, traced.code), (set.handle, set.code.clone()));
                }
                Event::ElementsAdded { elements: traced, .. } => elements.extend(traced),
                Event::RuleAdded { position, rule, .. } => rules.push((position, rule)),
                Event::Committed(commit) => assert_eq!(commit.generation, snapshot.generation),
                event => panic!("{event}"),
            }
        }
        // nft also adds an end element at 0.0.0.0.
        assert!(set.elements.len() == 4 && set.elements.iter().all(|found| elements.contains(found)), "{elements:#?}");
        let found: Vec<_> =
            chain.rules.iter().map(|rule| (reported(AddedAt::Position(Position::Last)), rule.clone())).collect();
        assert_eq!(rules, found);
    });
}

#[test]
fn the_position_of_an_added_rule_is_reported() {
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        nft_script("table t {\n chain c {\n drop\n accept\n return\n }\n }");
        drain(&mut watch);
        let cases = [
            ("add rule t c drop", AddedAt::Position(Position::Last)),
            ("insert rule t c drop", AddedAt::Position(Position::First)),
            ("insert rule t c handle 2 accept", AddedAt::Position(Position::After(RuleHandle(6)))),
            ("add rule t c handle 3 accept", AddedAt::Position(Position::After(RuleHandle(3)))),
            ("replace rule t c handle 6 return", AddedAt::Replaced),
            ("replace rule t c handle 3 return", AddedAt::Replaced),
            ("replace rule t c handle 5 return", AddedAt::Replaced),
        ];
        for (script, expected) in cases {
            nft(script);
            let events = drain(&mut watch);
            let traced: Vec<_> = events
                .iter()
                .filter_map(|event| match event {
                    Event::RuleAdded { position, .. } => Some(*position),
                    _ => None,
                })
                .collect();
            assert_eq!(traced, [reported(expected)], "{script}: {events:#?}\n{}", nft("-a list ruleset"));
        }
    });
}

#[test]
fn a_rule_that_our_transaction_replaces_is_reported_in_its_place() {
    in_fresh_netns(|| {
        nft_script("table t {\n chain c {\n drop\n accept\n return\n }\n }");
        let chain = TableId::new(Family::Ip, "t").chain("c");
        for handle in [2, 3, 4].map(RuleHandle) {
            let mut kernel = Kernel::open().expect("a socket");
            let mut watch = kernel.watch().expect("a socket");
            kernel.commit(&Transaction::new().replace_rule(&chain, handle, Rule::new().counter())).expect("a rule");
            let events = drain(&mut watch);
            let added: Vec<_> = events
                .iter()
                .filter_map(|event| match event {
                    Event::RuleAdded { position, .. } => Some(*position),
                    _ => None,
                })
                .collect();
            assert_eq!(added, [reported(AddedAt::Replaced)], "{handle}: {events:#?}\n{}", nft("-a list ruleset"));
        }
    });
}

#[test]
fn a_commit_names_the_process_of_the_initial_pid_namespace() {
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        let mut child = command("nft").args(["add", "table", "t"]).spawn().expect("nft starts");
        let pid = child.id();
        assert!(child.wait().expect("it ends").success());
        let events = drain(&mut watch);
        let traced: Vec<_> = commits(&events).iter().map(|commit| (commit.pid, commit.command.clone())).collect();
        // PROC_PID_INIT_INO, include/linux/proc_ns.h: in other pid namespaces the reported pid
        // differs.
        let initial = std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.ends_with("pid:[4026531836]"));
        if initial {
            assert_eq!(traced, [(pid, "nft".to_owned())]);
        } else {
            assert!(traced.iter().all(|(_, command)| command == "nft") && traced.len() == 1, "{traced:?}");
        }
    });
}

#[test]
fn own_commits_can_be_left_out() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut all = kernel.watch().expect("a socket");
        let mut others = kernel.watch().expect("a socket");
        kernel.commit(&Transaction::add(small("before"))).expect("a small table");
        others.leave_out(&kernel).expect("a filter");
        kernel.commit(&Transaction::add(small("one"))).expect("a small table");
        nft("add table inet two");
        // Another socket of this process counts as foreign.
        let mut second = Kernel::open().expect("a socket");
        second.commit(&Transaction::add(small("three"))).expect("a small table");
        kernel.commit(&Transaction::new().delete_table(&TableId::new(Family::Inet, "two"))).expect("it is there");

        let added = |table| ["table inet", "chain inet", "rule inet"].map(|what| format!("add {what} {table}"));
        let traced = lines(&drain(&mut others));
        assert_eq!(traced.first().map(String::as_str), Some("add table inet two"));
        assert_eq!(traced.len(), 4, "{traced:?}");
        assert!(traced.iter().skip(1).zip(added("three")).all(|(line, start)| line.starts_with(&start)), "{traced:?}");
        let events = drain(&mut all);
        let ports: Vec<u32> = commits(&events).iter().map(|commit| commit.port).collect();
        let [a, b, c, d, e] = ports.try_into().expect("five commits");
        assert!(a == b && b == e && a != c && a != d && c != d, "an address for every socket");
        second.commit(&Transaction::add(small("four"))).expect("a small table");
        others.leave_out(&second).expect("a filter");
        assert_eq!(lines(&drain(&mut others)), [""; 0], "what came before the filter is left out too");
    });
}

#[test]
fn left_out_commits_cannot_overflow_the_queue() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut watch = kernel.watch().expect("a socket");
        watch.receive_buffer(20_000).expect("is set");
        watch.leave_out(&kernel).expect("a filter");
        kernel.commit(&addresses(50_000)).expect("a large set");
        assert_eq!(drain(&mut watch), []);
        nft("add table inet t");
        assert_eq!(lines(&drain(&mut watch)), ["add table inet t"]);
    });
}

#[test]
fn lost_events_are_reported_and_later_ones_arrive() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut watch = Watch::open().expect("a socket");
        let room = watch.receive_buffer(50_000).expect("is set");
        assert!(room < 100_000, "{room}");
        let large = TableId::new(Family::Inet, "large");
        for round in 0..5 {
            kernel.commit(&addresses(50_000)).expect("a large set");
            // The kernel drops this one too, and reports the loss only once.
            nft("add table inet lost");
            let events = drain(&mut watch);
            assert_eq!(events.first().and_then(Event::table), Some(&large), "what did fit comes in front");
            assert_eq!(events.iter().filter(|event| **event == Event::Overflow).count(), 1, "round {round}");
            assert_eq!(events.last(), Some(&Event::Overflow), "round {round}");
            assert_eq!(commits(&events), [] as [&Commit; 0], "round {round}");
            nft(&format!("add table inet t{round}"));
            let later = drain(&mut watch);
            assert_eq!(lines(&later), [format!("add table inet t{round}")], "round {round}");
            assert_eq!(commits(&later).len(), 1, "round {round}");
            nft("delete table inet large");
            drain(&mut watch);
        }
    });
}

#[test]
fn the_usual_buffer_takes_a_large_commit() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut watch = Watch::open().expect("a socket");
        // Less only for users limited by net.core.rmem_max.
        let (wanted, large) = (16 << 20, 50_000);
        let room = watch.receive_buffer(wanted).expect("is set").min(wanted);
        let large = large * room / wanted;
        kernel.commit(&addresses(u32::try_from(large).expect("no more than before"))).expect("a large set");
        let events = drain(&mut watch);
        let count = |event: &Event| match event {
            Event::ElementsAdded { elements, .. } => elements.len(),
            _ => 0,
        };
        assert_eq!(events.iter().map(count).sum::<usize>(), large);
        assert!(matches!(events.last(), Some(Event::Committed(_))));
    });
}

#[test]
fn the_descriptor_is_readable_when_there_is_something() {
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        assert!(!readable(&watch, Duration::ZERO));
        nft("add table inet t");
        assert!(readable(&watch, patience(Duration::from_secs(10))));
        assert!(!drain(&mut watch).is_empty());
        assert!(!readable(&watch, Duration::ZERO));
        // A loss also makes it readable.
        watch.receive_buffer(0).expect("the smallest there is");
        Kernel::open().and_then(|mut kernel| kernel.commit(&addresses(1_000))).expect("a set");
        assert!(readable(&watch, patience(Duration::from_secs(10))));
        assert_eq!(drain(&mut watch).last(), Some(&Event::Overflow));
        assert!(!readable(&watch, Duration::ZERO));
    });
}

#[test]
fn the_iterator_waits_for_what_happens_in_its_namespace() {
    in_fresh_netns(|| {
        let here = NetNs::current().expect("a namespace");
        let other = support::NetNs::fresh();
        let mut watch = other.run(|| here.watch()).expect("it may be entered");
        let mut of_kernel = other.run(|| here.kernel()?.watch()).expect("it may be entered");
        std::thread::scope(|scope| {
            let first = scope.spawn(|| watch.next().expect("it never ends").expect("it can be read"));
            std::thread::sleep(Duration::from_millis(50));
            other.run(|| nft("add table inet there"));
            here.run(|| nft("add table inet here")).expect("the current one");
            assert_eq!(first.join().expect("no panic").to_string(), "add table inet here");
        });
        assert_eq!(lines(&drain(&mut of_kernel)), ["add table inet here"]);
    });
}

#[test]
fn watching_without_the_capability_is_a_permission_error() {
    in_fresh_netns(|| {
        support::sys::drop_capabilities().expect("one may always give up");
        let error = Watch::open().expect_err("events are for administrators");
        assert!(error.is_permission(), "{error}");
    });
}

#[test]
fn no_event_when_an_owned_table_dies() {
    if !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    in_fresh_netns(|| {
        let mut watch = Watch::open().expect("a socket");
        let mut owner = Kernel::open().expect("a socket");
        let table = Table::new(Family::Inet, "owned").flags(TableFlags::OWNER);
        owner.commit(&Transaction::add(Ruleset::new().table(table))).expect("a table of our own");
        let generation = owner.generation().expect("a generation");
        assert_eq!(lines(&drain(&mut watch)), ["add table inet owned"]);
        drop(owner);
        assert_eq!((drain(&mut watch), nft("list ruleset").as_str()), (vec![], ""));
        assert_eq!(Kernel::open().and_then(|mut kernel| kernel.generation()).expect("a generation"), generation);
    });
}
