//! Changed words and bytes of texts that nft takes: whatever comes of it, nothing panics; what nft
//! still takes is read to nft's program or not known here, and what nft refuses is refused.
//!
//! `NFTMESH_TEXT_MUTANTS` and `NFTMESH_TEXT_SEED` set number and seed, `NFTMESH_TEXT_REASONS`
//! prints every disagreement.

use std::fs;

use nftmesh::fuzz;
use nftmesh::kernel::Kernel;
use nftmesh::model::TableId;
use nftmesh::plan::{Transaction, diff};
use nftmesh::text::Reader;

use super::dice::Dice;
use super::text::{Interfaces, replaces_the_same, snapshot};
use crate::support::corpus::{corpus, files_of, loads, rules_of};
use crate::support::{self, in_fresh_netns, say};

/// Most changed texts of a hundred that nft takes and that are said to be wrong, and that nft
/// refuses and that are taken here.
const REFUSED: usize = 3;
const TAKEN: usize = 5;

#[test]
fn changed_texts_are_read_as_nft_reads_them() {
    let texts = texts();
    if texts.is_empty() {
        return;
    }
    let (count, seed) = (number("NFTMESH_TEXT_MUTANTS", 300), number("NFTMESH_TEXT_SEED", 1));
    let mut dice = Dice::new(u64::try_from(seed).expect("a small number"));
    let words = words_of(&texts);
    let (mut same, mut unknown, mut both, mut refused, mut taken) = (0, 0, 0, Vec::new(), Vec::new());
    for _ in 0..count {
        let text = dice.pick(&texts);
        let changed = mutant(&mut dice, &text, &words);
        fuzz::text(changed.as_bytes());
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            let (nft_takes, held) = (loads(&changed), snapshot());
            let read = Reader::new().resolver(&Interfaces).ruleset(&changed);
            match (nft_takes, read) {
                (true, Ok(read)) => {
                    let tables: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
                    match diff(&held, &read, &tables) {
                        Ok(plan) if plan.is_empty() || replaces_the_same(&plan, &held) => same += 1,
                        _ if read.validate().is_err() => unknown += 1,
                        Ok(plan) => panic!("{changed}\nis not\n{plan}"),
                        Err(why) => panic!("{changed}\n{why}"),
                    }
                }
                (true, Err(error)) if error.is_unsupported() => unknown += 1,
                (true, Err(error)) => refused.push(format!("{error}")),
                (false, Err(_)) => both += 1,
                (false, Ok(read)) => {
                    let all = Transaction::add(read);
                    let ours = Kernel::open().expect("a kernel").check(&all);
                    if ours.is_ok() { taken.push(changed.clone()) } else { both += 1 }
                }
            }
        });
    }
    say(format_args!(
        "{count} changed texts with seed {seed}: {same} are read to nft's program, {unknown} are not known here, {both} \
         both refuse, {} only nft takes, {} only we take",
        refused.len(),
        taken.len()
    ));
    if std::env::var_os("NFTMESH_TEXT_REASONS").is_some() {
        refused.iter().for_each(|why| say(format_args!("refused: {why}")));
        taken.iter().for_each(|what| say(format_args!("taken: {what}")));
    }
    assert!(refused.len() * 100 <= REFUSED * count, "{}", refused.join("\n"));
    assert!(taken.len() * 100 <= TAKEN * count, "{}", taken.join("\n"));
}

#[test]
fn no_changed_text_panics() {
    let texts = texts();
    let mut dice = Dice::new(7);
    let words = words_of(&texts);
    for _ in 0..if texts.is_empty() { 0 } else { 400 } {
        let text = dice.pick(&texts);
        let changed = mutant(&mut dice, &text, &words);
        let changed = mutant(&mut dice, &changed, &words);
        fuzz::text(changed.as_bytes());
    }
}

/// Returns the texts of both corpora, in which nft's own rules are as many as real rule sets.
fn texts() -> Vec<String> {
    let (Some(rules), Some(real)) = (corpus("rules.tsv"), corpus("real")) else { return Vec::new() };
    let real: Vec<String> = files_of(&real).iter().map(|file| fs::read_to_string(file).expect("text")).collect();
    let rules = rules_of(&rules).into_iter().step_by(13);
    rules.chain(real).filter(|text| text.len() < 20_000).collect()
}

fn words_of(texts: &[String]) -> Vec<String> {
    texts.iter().flat_map(|text| split(text)).filter(|word| !word.trim().is_empty()).map(str::to_owned).collect()
}

/// Returns words, white space and other characters of a text.
fn split(text: &str) -> Vec<&str> {
    let kind = |letter: char| match letter {
        _ if letter.is_ascii_alphanumeric() || "_-./:".contains(letter) => 0,
        _ if letter.is_whitespace() => 1,
        _ => 2,
    };
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| kind(letter) != kind(first) || kind(letter) == 2).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end.max(first.len_utf8()));
        parts.push(part);
        rest = after;
    }
    parts
}

/// Changes a word or a byte.
fn mutant(dice: &mut Dice, text: &str, words: &[String]) -> String {
    let parts: Vec<&str> = split(text);
    let at = dice.below(parts.len().max(1));
    let (before, rest) = parts.split_at_checked(at).unwrap_or_default();
    let Some((part, after)) = rest.split_first() else { return text.to_owned() };
    let (before, after, word) = (before.concat(), after.concat(), dice.pick(words));
    match dice.below(7) {
        0 => before + &after,
        1 => format!("{before}{part}{part}{after}"),
        2 => format!("{before}{part} {word} {after}"),
        3 => after + part + &before,
        4 => {
            let letters: Vec<char> = part.chars().collect();
            let index = dice.below(letters.len());
            let letters = letters.iter().enumerate();
            let odd = dice.pick(&LETTERS);
            let changed: String = letters.map(|(at, letter)| if at == index { odd } else { *letter }).collect();
            before + &changed + &after
        }
        5 => before,
        _ => before + &word + &after,
    }
}

const LETTERS: [char; 16] = ['a', '0', '9', ' ', '\n', ';', '{', '}', '"', '.', '-', '/', ':', '@', '\u{0}', 'ä'];

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
