//! A live rule set is listed as nft lists it, byte for byte, or a part of it is unknown, in a form
//! that nft refuses. Nothing else is accepted.

#[path = "support/agree/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]
mod dice;
#[path = "support/nft_grammar.rs"]
#[allow(unreachable_pub, reason = "a module of a test program")]
mod nft_grammar;
mod support;

use std::fs;
use std::path::PathBuf;

use dice::Dice;
use support::second_opinion::Score;
use support::{in_fresh_netns, nft, nft_script, skip_without};

/// Number of tables loaded at a time: the kernel takes at most 1,024 chains at a hook.
const BATCH: usize = 200;

fn corpus(name: &str) -> Option<PathBuf> {
    skip_without("nft-corpus").map(|dir| dir.join(name))
}

/// A table with one rule in a chain of this kind.
struct Case<'a> {
    family: &'a str,
    /// `input;type filter hook input priority 0`.
    chain: &'a str,
    rule: &'a str,
    /// Commands for table `t`, separated by ` ;; `.
    before: &'a str,
}

impl Case<'_> {
    fn script(&self, table: &str) -> String {
        let Case { family, chain, rule, before } = self;
        let (name, kind) = chain.split_once(';').expect("a name and a type");
        let before = before.replace(&format!(" {family} t "), &format!(" {family} {table} "));
        let before: String = before.split(" ;; ").map(|line| format!("{line}\n")).collect();
        format!(
            "add table {family} {table}\n{before}add chain {family} {table} {name} {{ {kind}; }}\n\
             add rule {family} {table} {name} {rule}\n"
        )
    }
}

#[test]
fn rules_of_nfts_own_tests_list_as_nft_lists_them_or_are_unknown() {
    let Some(path) = corpus("rules.tsv") else { return };
    let text = fs::read_to_string(path).expect("the corpus");
    let cases: Vec<Case<'_>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.split('\t');
            let mut part = || parts.next().unwrap_or_default();
            Case { family: part(), chain: part(), rule: part(), before: part() }
        })
        .collect();
    assert!(cases.len() > 2_000, "{}", cases.len());
    let mut score = Score::default();
    let mut first = 0;
    for batch in cases.chunks(BATCH) {
        in_fresh_netns(|| {
            let table = |index: usize| format!("t{index}");
            let script: String =
                batch.iter().enumerate().map(|(index, case)| case.script(&table(first + index))).collect();
            nft_script(&script);
            score.add_live(|header| {
                let index: usize = header.split([' ', 't']).filter_map(|word| word.parse().ok()).next().unwrap_or(0);
                cases.get(index).map_or_else(String::new, |Case { family, rule, .. }| format!("{family}: {rule}"))
            });
        });
        first += batch.len();
    }
    score.conclude("rules of nft's own tests");
}

#[test]
fn real_rule_sets_list_as_nft_lists_them_or_are_unknown() {
    let Some(path) = corpus("real") else { return };
    let mut files: Vec<_> = fs::read_dir(path).expect("the corpus").flatten().map(|file| file.path()).collect();
    files.sort();
    let mut score = Score::default();
    for file in &files {
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            nft(&format!("-f {}", file.display()));
            score.add_live(|header| format!("{}: {header}", file.display()));
        });
    }
    score.conclude(&format!("tables of {} real rule sets", files.len()));
}

/// Number of random tables; `NFTMESH_LISTING_CASES` and `NFTMESH_LISTING_SEED` set number and seed.
const RANDOM: u64 = 600;

#[test]
fn random_rules_and_sets_list_as_nft_lists_them_or_are_unknown() {
    if !support::needs_namespaces() {
        return;
    }
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (count, seed) = (number("NFTMESH_LISTING_CASES", RANDOM), number("NFTMESH_LISTING_SEED", 1));
    let mut dice = Dice::new(seed);
    let mut cases: Vec<_> = (0..count).map(|index| nft_grammar::table(&mut dice, &format!("t{index}"))).collect();
    let mut score = Score::default();
    let mut taken = 0;
    while !cases.is_empty() {
        let batch: Vec<_> = cases.split_off(cases.len().saturating_sub(BATCH));
        let batch = loadable(batch);
        taken += batch.len();
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            nft_script(&batch.iter().map(|(line, _)| line.as_str()).collect::<String>());
            score.add_live(|header| {
                let name = header.split(' ').nth(2).unwrap_or_default();
                let of = |(text, _): &&(String, String)| text.split(' ').nth(2) == Some(name);
                batch.iter().find(of).map_or_else(String::new, |(_, what)| what.clone())
            });
        });
    }
    assert!(taken * 4 > usize::try_from(count).expect("a small number"), "nft takes only {taken} of {count}");
    score.conclude(&format!("{taken} random rules and sets that nft takes, of {count} with seed {seed}"));
}

/// Returns the lines that nft accepts and can list: it crashes over some of its own sets.
fn loadable(mut lines: Vec<(String, String)>) -> Vec<(String, String)> {
    loop {
        let text: String = lines.iter().map(|(line, _)| line.as_str()).collect();
        let mut printed = Ok(());
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            printed = support::nft_takes(&text).and_then(|()| support::nft_lists().map(drop).ok_or_else(String::new));
        });
        let Err(printed) = printed else { return lines };
        let refused: Vec<usize> =
            printed.split("/dev/stdin:").filter_map(|after| after.split(':').next()?.parse().ok()).collect();
        if !refused.is_empty() {
            let mut number = 0;
            lines.retain(|_| {
                number += 1;
                !refused.contains(&number)
            });
        } else if lines.len() < 2 {
            return Vec::new();
        } else {
            let second = lines.split_off(lines.len() / 2);
            return [loadable(lines), loadable(second)].concat();
        }
    }
}
