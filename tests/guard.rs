//! The example `guard`: changes of others are reported and restored, repeated differences are
//! answered ever more slowly, and a signal ends it cleanly.
//!
//! [`pace`] decides how soon it answers, and is tested with an artificial clock; the tests with the
//! kernel only check which commits follow each other.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "../examples/common/pace.rs"]
mod pace;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::process::Stdio;
use std::time::{Duration, Instant};

use nftmesh::kernel::{Kernel, NetNs, Watch};
use nftmesh::model::{Chain, DataType, Element, Family, Ruleset, Set, Table, TableId, Value};
use nftmesh::plan::Transaction;
use nftmesh::state::Event;
use pace::{FREE_ANSWERS, Harm, LONGEST, LONGEST_GAP, PEACE, Pace, TOGETHER};
use proptest::prelude::*;
use support::patience::comes_true_within;
use support::running::{PATIENCE, Running};
use support::{command, example, in_fresh_netns, ip, needs_root, nft, nft_script, say};
use traffic::{Load, Pod, under_load};

const REDIRECT: &[&str] = &["-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];
const TPROXY: &[&str] = &["-m", "TPROXY", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];
/// Starts a guard in this thread's namespace, and waits until everything is installed.
fn start(words: &[&str]) -> Running {
    let guard = Running::start("guard", words, Stdio::inherit());
    guard.until("guard: watching");
    guard
}

/// Returns the programs that committed in this namespace since the socket was opened.
fn committers(watch: &mut Watch) -> Vec<String> {
    let mut who = Vec::new();
    while let Some(event) = watch.try_next().expect("the socket can be read") {
        if let Event::Committed(commit) = event {
            who.push(commit.command);
        }
    }
    who
}

/// Returns the rules without counters, by table, since tables are listed in order of creation.
fn rules() -> String {
    let listed = nft("-s list ruleset");
    let mut tables: Vec<&str> = listed.split_inclusive("\n}\n").collect();
    tables.sort_unstable();
    tables.concat()
}

#[track_caller]
fn eventually(what: impl Fn() -> String, expected: &str) {
    assert!(comes_true_within(PATIENCE, || what() == expected), "{}\nexpected:\n{expected}", what());
}

/// Changes of the rules by nft, and the reported lines.
const DRIFTS: &[(&str, &str)] = &[
    ("flush table ip istio-proxy-nat", "  delete rule ip istio-proxy-nat "),
    ("delete table ip istio-proxy-nat", "  delete table ip istio-proxy-nat"),
    ("flush ruleset", "  delete table ip istio-proxy-nat"),
    (
        "insert rule ip istio-proxy-nat output counter accept",
        "  add rule ip istio-proxy-nat output counter packets 0 bytes 0 accept # handle ",
    ),
    ("add chain ip istio-proxy-nat mine", "  add chain ip istio-proxy-nat mine"),
    ("add set ip istio-proxy-nat s { type ipv4_addr; elements = { 10.0.0.1 } }", "  add element ip istio-proxy-nat s"),
    ("add table ip istio-proxy-mangle", "  add table ip istio-proxy-mangle"),
];

#[test]
fn every_change_is_restored_by_the_next_commit() {
    in_fresh_netns(|| {
        for (script, reported) in DRIFTS {
            let mut guard = start(REDIRECT);
            let before = rules();
            let mut watch = Watch::open().expect("a socket");
            nft_script(script);
            let printed = guard.until("guard: restored");
            let who = printed.iter().find(|line| line.starts_with("guard: \"nft\" (pid "));
            assert!(who.is_some_and(|line| line.contains(") made generation ")), "{script}: {printed:#?}");
            assert!(printed.iter().any(|line| line.starts_with(reported)), "{script}: {printed:#?}");
            assert_eq!(rules(), before, "{script}");
            assert_eq!(guard.end("TERM").0, Some(0));
            assert_eq!(committers(&mut watch), ["nft", "guard"], "{script}");
        }
    });
}

#[test]
fn tables_deleted_beside_other_changes_are_restored_completely() {
    in_fresh_netns(|| {
        let guard = start(TPROXY);
        let before = rules();
        let scripts = [
            "delete table ip istio-proxy-nat; delete table ip istio-proxy-mangle",
            "delete table ip istio-proxy-nat; flush table ip istio-proxy-mangle",
            // Made anew by the same commit, empty or not.
            "delete table ip istio-proxy-nat; add table ip istio-proxy-nat",
            "delete table ip istio-proxy-nat; add table ip istio-proxy-nat; add chain ip istio-proxy-nat output",
            "delete table ip istio-proxy-nat; add table ip istio-proxy-nat; delete table ip istio-proxy-nat",
        ];
        for script in scripts {
            nft_script(script);
            guard.until("guard: restored");
            assert_eq!(rules(), before, "{script}");
        }
    });
}

/// An event for a pace, this many microseconds after the one before.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Change(u64, Harm),
    /// The guard checks whether an answer is due, and gives it in this time; the last field says
    /// whether it fails.
    Look(u64, u64, bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    let later = || prop_oneof![0..2_000_u64, 0..60_000_u64, 0..20_000_000_u64];
    prop_oneof![
        (later(), prop::sample::select(vec![Harm::Differs, Harm::Missing]))
            .prop_map(|(us, harm)| Happens::Change(us, harm)),
        (later(), later(), any::<bool>()).prop_map(|(us, took, failed)| Happens::Look(us, took, failed)),
    ]
}

proptest! {
    /// With an artificial clock.
    #[test]
    fn missing_capture_is_due_within_50_ms_after_any_history(story in prop::collection::vec(happens(), 1..200)) {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        let mut latest: Option<Instant> = None;
        for happens in story {
            match happens {
                Happens::Change(later, harm) => {
                    now += Duration::from_micros(later);
                    pace.changed(now, harm);
                    let allowed = match harm {
                        Harm::Missing => Duration::from_millis(50),
                        Harm::Differs => LONGEST,
                    };
                    latest = Some(latest.unwrap_or(now + allowed).min(now + allowed));
                }
                Happens::Look(later, took, failed) => {
                    now += Duration::from_micros(later);
                    if let Some(due) = pace.take(now) {
                        prop_assert!(due.at <= now);
                        let begun = now;
                        now += Duration::from_micros(took);
                        pace.answered(begun, now);
                        latest = None;
                        if failed {
                            pace.failed(due.since, now);
                            latest = Some(now + LONGEST_GAP);
                        }
                    }
                }
            }
            prop_assert_eq!(pace.due().is_some(), latest.is_some());
            prop_assert!(pace.due() <= latest, "{:?}", happens);
        }
    }
}

#[test]
fn answers_to_mere_differences_slow_down_until_changes_pause() {
    let mut pace = Pace::default();
    let mut now = Instant::now();
    let mut answer = |pace: &mut Pace, harm| {
        pace.changed(now, harm);
        let waited = pace.due().expect("something changed") - now;
        now += waited;
        assert!(pace.take(now).is_some());
        pace.answered(now, now + Duration::from_millis(1));
        now += Duration::from_millis(2);
        waited
    };
    for _ in 0..FREE_ANSWERS {
        assert_eq!(answer(&mut pace, Harm::Differs), TOGETHER);
    }
    let slower: Vec<Duration> = (0..12).map(|_| answer(&mut pace, Harm::Differs)).collect();
    assert_eq!(slower.first(), Some(&TOGETHER));
    let doubles = |(one, next): (&Duration, &Duration)| *next == (2 * *one).min(LONGEST);
    assert!(slower.iter().zip(slower.iter().skip(1)).all(doubles), "{slower:?}");
    assert_eq!(slower.last(), Some(&LONGEST));
    assert_eq!(answer(&mut pace, Harm::Missing), Duration::ZERO, "slow only where nothing is missing");
    now += PEACE;
    assert_eq!(pace_after(&mut pace, now), TOGETHER);
}

fn pace_after(pace: &mut Pace, now: Instant) -> Duration {
    pace.changed(now, Harm::Differs);
    pace.due().expect("something changed") - now
}

#[test]
fn foreign_tables_are_left_alone() {
    in_fresh_netns(|| {
        let guard = start(REDIRECT);
        let mut kernel = Kernel::open().expect("a socket");
        nft_script("table inet mine {\n chain c {\n accept\n }\n }\ntable ip6 istio-proxy-nat {\n }");
        let generation = kernel.generation().expect("a generation");
        guard.silent_for(Duration::from_millis(200));
        assert_eq!(kernel.generation().expect("a generation"), generation);
        nft("delete table ip istio-proxy-nat");
        guard.until("guard: restored");
        assert!(nft("list tables").contains("table inet mine\ntable ip6 istio-proxy-nat\n"));
    });
}

#[test]
fn twenty_changes_in_a_row_end_with_our_rules() {
    in_fresh_netns(|| {
        let mut guard = start(REDIRECT);
        let before = rules();
        for round in 0..20 {
            nft_script(if round % 2 == 0 {
                "flush ruleset"
            } else {
                "add table ip istio-proxy-nat; add chain ip istio-proxy-nat mine"
            });
        }
        eventually(rules, &before);
        guard.until("guard: restored");
        assert_eq!(guard.end("TERM").0, Some(0));
        assert_eq!(rules(), before);
    });
}

fn nat_table() -> TableId {
    TableId::new(Family::Ip, "istio-proxy-nat")
}

#[test]
fn a_repeated_difference_is_restored_when_the_other_writer_stops() {
    in_fresh_netns(|| {
        let _guard = start(REDIRECT);
        let before = rules();
        let change = Transaction::new().add_chain(&nat_table(), Chain::regular("mine"));
        let mut enemy = Kernel::open().expect("a socket");
        let mut watch = enemy.watch().expect("a socket");
        watch.leave_out(&enemy).expect("a filter");
        // A few more answers than are given without delay.
        for _ in 0..FREE_ANSWERS + 3 {
            enemy.commit(&change).expect("it is not there");
            let mut is_answered =
                || matches!(watch.try_next().expect("the socket can be read"), Some(Event::Committed(_)));
            assert!(comes_true_within(PATIENCE, &mut is_answered), "no answer");
        }
        eventually(rules, &before);
    });
}

#[test]
fn repeated_deletions_of_the_table_are_all_restored() {
    if !needs_root() {
        return;
    }
    let pod = Pod::new();
    pod.run(|| {
        let guard = start(REDIRECT);
        let before = rules();
        let (load, deleted): (Load, usize) = under_load(&pod, 4, || {
            let mut deleted = 0;
            let mut tried = 0;
            while deleted < 100 {
                tried += 1;
                assert!(tried < 100_000, "{deleted} times deleted, and not again");
                let mut nft = command("nft");
                let nft = nft.args(["delete", "table", "ip", "istio-proxy-nat"]).stderr(Stdio::null());
                deleted += usize::from(nft.status().expect("nft runs").success());
            }
            deleted
        });
        let Load { proxied, escaped, failed, .. } = load;
        say(format_args!(
            "{deleted} times deleted: {escaped} connections got past, {proxied} did not, {failed} failed"
        ));
        assert_eq!(deleted, 100);
        eventually(rules, &before);
        drop(guard);
    });
}

#[test]
fn lost_events_do_not_prevent_a_restore() {
    in_fresh_netns(|| {
        let guard = start(REDIRECT);
        let before = rules();
        guard.signal("STOP");
        let mut busy = Kernel::open().expect("a socket");
        let element = |index: u32| Element::new(Value::Ipv4((0x0a00_0000 + index).into()));
        let set = Set::new("large", [DataType::Ipv4]).elements((0..100_000).map(element));
        let table = Table::new(Family::Ip, "busy").set(set);
        let delete = Transaction::new().delete_table(&TableId::from(&table));
        let make = Transaction::add(Ruleset::new().table(table));
        for _ in 0..4 {
            busy.commit(&make).expect("it is not there");
            busy.commit(&delete).expect("it is there");
        }
        nft("delete table ip istio-proxy-nat");
        guard.signal("CONT");
        guard.until("guard: more happened than could be followed");
        guard.until("guard: restored");
        assert_eq!(rules(), before);
        nft("flush table ip istio-proxy-nat");
        let printed = guard.until("guard: restored");
        assert!(printed.iter().any(|line| line.starts_with("guard: \"nft\" ")), "{printed:#?}");
        assert_eq!(rules(), before);
    });
}

#[test]
fn routes_are_restored_too() {
    in_fresh_netns(|| {
        let guard = start(TPROXY);
        let routes = || format!("{}{}", ip("rule"), ip("route show table 133"));
        let before = routes();
        ip("rule del fwmark 1337 lookup 133");
        let printed = guard.until("guard: restored");
        assert!(printed.iter().any(|line| line == "  ip rule add fwmark 1337 lookup 133"), "{printed:#?}");
        assert_eq!(routes(), before);
    });
}

#[test]
fn a_signal_ends_guard_and_the_rules_stay() {
    in_fresh_netns(|| {
        for signal in ["TERM", "INT"] {
            let mut guard = start(TPROXY);
            let before = (rules(), ip("rule"));
            let (code, printed) = guard.end(signal);
            assert_eq!((code, printed), (Some(0), vec!["guard: stopping; the rules stay".to_owned()]), "{signal}");
            assert_eq!((rules(), ip("rule")), before, "{signal}");
        }
    });
}

#[test]
fn another_namespace_is_guarded_by_its_path() {
    in_fresh_netns(|| {
        let pod = support::NetNs::fresh();
        let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&pod.file));
        let guard = start(&[REDIRECT, &["--network-namespace", &path]].concat());
        let before = pod.run(rules);
        pod.run(|| nft("delete table ip istio-proxy-nat"));
        guard.until("guard: restored");
        assert_eq!((pod.run(rules), rules()), (before, String::new()));
        assert!(NetNs::from_path(&path).is_ok());
    });
}

#[test]
fn options_without_anything_to_guard_are_refused() {
    in_fresh_netns(|| {
        for word in ["--cleanup-only", "--skip-rule-apply", "--dry-run"] {
            let output = command(&example("guard").to_string_lossy()).arg(word).output().expect("the example runs");
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{printed}");
            assert!(
                printed.lines().any(|line| line.starts_with("guard: there is nothing to keep in place with ")),
                "{printed}"
            );
            assert_eq!(rules(), "");
        }
    });
}
