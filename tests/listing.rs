//! What is listed of a live rule set is what nft lists, byte for byte; or a part of it is unknown, in a form that nft refuses. Never
//! anything else.

mod support;

use std::fs;
use std::path::PathBuf;

use support::second_opinion::Score;
use support::{in_fresh_netns, nft, nft_script, skip_without};

/// How many tables are loaded at a time: the kernel takes 1,024 chains at a hook.
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
    /// Commands for table `t`, parted by ` ;; `.
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
