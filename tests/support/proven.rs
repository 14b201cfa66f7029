//! Comparisons of a mesh's rules with those of the program that it replaces: the same for every
//! packet of both families, or not.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::panic::{RefUnwindSafe, catch_unwind};
use std::thread;

use nftmesh::import::{IpSets, Unknown, iptables_save};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};

use crate::support::say;

/// Returns what `iptables-save` and `ip6tables-save` print as rules; an empty text has none.
#[track_caller]
pub fn saved(texts: [&str; 2]) -> Ruleset {
    imported(texts, Unknown::Refuse)
}

/// Likewise, with what `ipset save` prints.
#[track_caller]
pub fn saved_with(texts: [&str; 2], sets: &IpSets) -> Ruleset {
    let mut rules = imported(texts, Unknown::KeepOpaque);
    sets.fill(&mut rules);
    rules
}

#[track_caller]
fn imported(texts: [&str; 2], unknown: Unknown) -> Ruleset {
    let mut rules = Ruleset::new();
    for (text, family) in texts.into_iter().zip([IpFamily::Ipv4, IpFamily::Ipv6]) {
        let imported = iptables_save(text, family, unknown).unwrap_or_else(|why| panic!("{why}\n{text}"));
        rules.tables.extend(imported.ruleset.tables);
    }
    rules
}

/// Returns whether the long form of a test is wanted (`make soak`).
pub fn soak() -> bool {
    std::env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1")
}

#[track_caller]
pub fn compared(ours: &Ruleset, theirs: &Ruleset) -> Comparison {
    let [ours, theirs] = [ours, theirs].map(|rules| Rules::try_from(rules).expect("every rule has a program"));
    compare(&ours, &theirs)
}

/// Fails unless both do the same with every packet; returns the number of classes of packets.
#[track_caller]
pub fn proven(name: &str, ours: &Ruleset, theirs: &Ruleset) -> usize {
    match compared(ours, theirs) {
        Comparison::Equivalent { classes, outside: 0 } => classes,
        other => panic!("{name}: {other}\n{ours}\n{theirs}"),
    }
}

/// Likewise, and prints it.
#[track_caller]
pub fn assert_equal(name: &str, ours: &Ruleset, theirs: &Ruleset) {
    let classes = proven(name, ours, theirs);
    say(format_args!("{name}: the same, {classes} classes of packets"));
}

#[track_caller]
pub fn assert_differ(name: &str, ours: &Ruleset, theirs: &Ruleset) {
    let comparison = compared(ours, theirs);
    assert!(matches!(comparison, Comparison::Differs(_)), "{name}: {comparison}");
}

/// Proves every case, two at a time; prints what panics, and fails at the end.
#[track_caller]
pub fn each<T: Sync + RefUnwindSafe>(cases: &[T], prove: impl Fn(&T) + Sync + RefUnwindSafe) {
    let failed = &|part: &[T]| part.iter().filter(|case| catch_unwind(|| prove(case)).is_err()).count();
    let parts = cases.chunks(cases.len().div_ceil(2).max(1));
    let failed: usize = thread::scope(|scope| {
        let running: Vec<_> = parts.map(|part| scope.spawn(move || failed(part))).collect();
        running.into_iter().map(|one| one.join().expect("panics are caught")).sum()
    });
    assert_eq!(failed, 0, "of {} cases", cases.len());
}

/// Returns every option alone and every pair of options; without `NFTMESH_SOAK=1` (`make soak`),
/// one pair in `thinned`.
pub fn singles_and_pairs<T: Copy>(options: &[T], thinned: usize) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<T>> = options.iter().map(|one| vec![*one]).collect();
    for (index, one) in options.iter().enumerate() {
        let others = options.iter().enumerate().skip(index + 1);
        let others = others.filter(|(other, _)| soak() || (index + other) % thinned == 0);
        all.extend(others.map(|(_, other)| vec![*one, *other]));
    }
    all
}
