//! Random texts in the whole language: what nft takes is read to nft's program, listed as nft lists
//! it, in text and in JSON, and read back from what is printed. What is not known here is counted;
//! nothing is read to another program.
//!
//! `NFTMESH_LANGUAGE_CASES` and `NFTMESH_LANGUAGE_SEED` set number and seed, `NFTMESH_TEXT_REASONS`
//! prints why texts are not read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nftmesh::bytecode::{Expr, LookupSet};
use nftmesh::kernel::{Kernel, interfaces};
use nftmesh::model::{Ruleset, Set, TableId};
use nftmesh::plan::{Transaction, diff};
use nftmesh::state::{Listing, Snapshot};
use nftmesh::text::Reader;

use super::dice::Dice;
use super::nft_language::{self, Text};
use super::text::{Interfaces, listed, replaces_the_same, snapshot};
use super::text_unequal::only_parts_unequal;
use crate::support::{self, in_fresh_netns, nft_takes, say, timeless};

const RANDOM: usize = 300;
/// nft's number of the type of plain numbers.
const TYPE_INTEGER: u32 = 4;
/// Number of tables in a namespace.
const BATCH: usize = 60;

#[test]
fn random_texts_of_the_whole_language_are_read_as_nft_reads_them() {
    if !support::needs_namespaces() {
        return;
    }
    let number = |name: &str, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (cases, seed) = (number("NFTMESH_LANGUAGE_CASES", RANDOM), number("NFTMESH_LANGUAGE_SEED", 1));
    let mut dice = Dice::new(u64::try_from(seed).expect("a small number"));
    let texts: Vec<Text> = (0..cases).map(|index| nft_language::text(&mut dice, &format!("t{index}"))).collect();
    let mut count = Count::default();
    for batch in texts.chunks(BATCH) {
        for texts in [batch.iter().map(|text| &text.line).collect(), batch.iter().map(|text| &text.spread).collect()] {
            let mut refused = Vec::new();
            let taken = loadable(texts, &mut refused);
            count.see(&taken);
            count.see_refused(&refused);
        }
    }
    count.conclude(&format!("random texts with seed {seed}"));
}

/// Holds all that of texts, which nft takes; returns how many are not listed in full.
pub(super) fn all_are_read(texts: &[String]) -> usize {
    if !support::needs_namespaces() {
        return 0;
    }
    let mut count = Count::default();
    for batch in texts.chunks(BATCH) {
        let mut refused = Vec::new();
        let taken = loadable(batch.iter().collect(), &mut refused);
        count.see(&taken);
        assert!(refused.is_empty(), "nft takes these: {refused:#?}");
    }
    let unread: Vec<_> = count.unsayable.iter().map(|(why, (_, text))| format!("{why}: {text}")).collect();
    assert!(count.wrong.is_empty(), "{}", count.wrong.join("\n\n"));
    assert!(unread.is_empty(), "{}", unread.join("\n\n"));
    assert_eq!(count.read, texts.len(), "read to nft's program");
    count.unlisted
}

#[derive(Default)]
struct Count {
    /// Read to nft's program.
    read: usize,
    /// Rule sets of the same meaning: nft loads neighbours at once, or joins unequal ones.
    otherwise: usize,
    /// Why texts are not read, how often, and one of them.
    unsayable: BTreeMap<String, (usize, String)>,
    /// What both refuse.
    refused: usize,
    /// What nft alone refuses.
    taken: Vec<String>,
    wrong: Vec<String>,
    /// Tables whose listing is not known here in full.
    unlisted: usize,
    /// What is read of nft's JSON.
    #[cfg(feature = "json")]
    json: super::json::Back,
}

impl Count {
    /// Reads texts that nft takes.
    fn see(&mut self, texts: &[&String]) {
        let mut same: Vec<(&String, Ruleset)> = Vec::new();
        let mut judged: BTreeSet<TableId> = BTreeSet::new();
        in_a_place(|| {
            support::nft_script(&texts.iter().map(|text| text.as_str()).collect::<String>());
            let held = snapshot();
            let all = held.tables.iter().map(|table| table.id.clone());
            judged.extend(all.filter(|table| Self::lists_keys(&held, table)));
            self.listings(&held, &judged);
            for text in texts {
                if let Some(read) = self.read(&held, text, "it") {
                    self.back(&held, &read, text);
                    same.push((text, read));
                }
            }
            #[cfg(feature = "json")]
            if support::command("nft").args(["-j", "list", "ruleset"]).output().is_ok_and(|out| out.status.success()) {
                self.json.see("");
            }
        });
        let tables: Vec<TableId> = same.iter().flat_map(|(_, read)| &read.tables).map(TableId::from).collect();
        let mut lists = [Vec::new(), Vec::new()];
        in_a_place(|| {
            support::nft_script(&same.iter().map(|(text, _)| text.as_str()).collect::<String>());
            lists[0] = listed(&tables);
        });
        in_a_place(|| {
            let all: Ruleset = same.iter().flat_map(|(_, read)| read.tables.iter().cloned()).collect();
            Kernel::open().expect("a kernel").commit(&Transaction::add(all)).expect("what nft loads");
            lists[1] = listed(&tables);
        });
        let [theirs, ours] = lists;
        for (table, (theirs, ours)) in tables.iter().zip(theirs.iter().zip(&ours)) {
            if let (Some(theirs), Some(ours)) = (theirs, ours) {
                let judged = judged.contains(table);
                if judged && undeclared(theirs) != undeclared(ours) && words(theirs) != words(ours) {
                    self.wrong.push(format!("{table} is listed otherwise:\n{theirs}{ours}"));
                }
            }
        }
    }

    /// Returns whether nft lists the sets of a table as they are. Of some keys of several numbers it
    /// notes too little: it prints zeros, or crashes, as it does over those of other programs.
    fn lists_keys(held: &Snapshot, table: &TableId) -> bool {
        let exprs = held.tables.iter().filter(|held| held.id == *table).flat_map(|held| &held.chains);
        let mut exprs = exprs.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
        let of_numbers = |mut key: u32| {
            let (mut parts, mut any) = (0, false);
            while key > 0 {
                (parts, any) = (parts + 1, any || key & 0x3f == TYPE_INTEGER);
                key >>= 6;
            }
            parts > 1 && any
        };
        let mut named = held.tables.iter().filter(|held| held.id == *table).flat_map(|held| &held.sets);
        !named.any(|set| of_numbers(set.code.key_type))
            && !exprs.any(|expr| match expr {
                Expr::Lookup { set: LookupSet::Anonymous(set), .. } => of_numbers(set.code.key_type),
                _ => false,
            })
    }

    /// Returns what is read to nft's program.
    fn read(&mut self, held: &Snapshot, text: &str, what: &str) -> Option<Ruleset> {
        let read = match Reader::new().resolver(&Interfaces).ruleset(text) {
            Ok(read) => read,
            Err(error) => {
                self.unsayable(&error.fault, text);
                return None;
            }
        };
        if let Err(invalid) = read.validate() {
            self.unsayable(&format!("not valid here: {invalid}"), text);
            return None;
        }
        let tables: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
        match diff(held, &read, &tables) {
            Ok(plan) if plan.is_empty() => {
                self.read += 1;
                return Some(read);
            }
            Ok(plan) if replaces_the_same(&plan, held) || only_parts_unequal(&plan, held, &read) => self.otherwise += 1,
            Ok(plan) => self.wrong.push(format!("{text}{what} is not\n{plan}")),
            Err(why) => self.wrong.push(format!("{text}{why}")),
        }
        None
    }

    /// Prints what was read, as text and as JSON, and reads it again.
    fn back(&mut self, held: &Snapshot, read: &Ruleset, text: &str) {
        // Elements of the same key have no order.
        let twice = |set: &Set| {
            let mut seen = HashSet::new();
            !set.elements.iter().all(|element| seen.insert(&element.key))
        };
        if read.tables.iter().flat_map(|table| &table.sets).any(twice) {
            return;
        }
        let printed = read.to_string();
        let tables: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
        let mut again = |what: &str, read: Result<Ruleset, String>| match read {
            Ok(again) => {
                if again.to_string() != printed {
                    self.wrong.push(format!("{text}{what} prints otherwise:\n{printed}{again}"));
                }
                match diff(held, &again, &tables) {
                    Ok(plan) if plan.is_empty() => {}
                    plan => self.wrong.push(format!("{text}{what} is\n{printed}which has the plan {plan:?}")),
                }
            }
            Err(error) => self.wrong.push(format!("{text}{what} is\n{printed}{error}")),
        };
        let reader = || Reader::new().resolver(&Interfaces);
        again("what it prints", reader().ruleset(&printed).map_err(|error| error.to_string()));
        #[cfg(feature = "json")]
        {
            let json = nftmesh::json::ToJson::to_json(read);
            // JSON has no form for what packets add to sets, and none for numbers without a type.
            let leaves_out =
                ["<unknown ", "\"integer\"", "\"time\""].iter().any(|part| json.to_string().contains(part))
                    || ["dynamic", "auto-merge"].iter().any(|part| printed.contains(part));
            if !leaves_out {
                again("its JSON", reader().json_ruleset(&json).map_err(|error| error.to_string()));
            }
        }
    }

    /// Compares the listings of this namespace, and reads nft's.
    fn listings(&mut self, held: &Snapshot, judged: &BTreeSet<TableId>) {
        let Some(theirs) = support::nft_lists() else { return };
        let ours = Listing::new(held).interfaces(interfaces().expect("a netlink socket"));
        let blocks = |text: &str| -> Vec<String> { text.split_inclusive("\n}\n").map(timeless).collect() };
        let (ours, theirs) = (blocks(&ours.to_string()), blocks(&theirs));
        for ((ours, theirs), table) in ours.iter().zip(&theirs).zip(&held.tables) {
            if !judged.contains(&table.id) {
                continue;
            }
            if ours.contains("<unknown ") {
                self.unlisted += 1;
            } else if ours != theirs {
                self.wrong.push(format!("nft lists\n{theirs}ours is\n{ours}"));
            }
        }
        #[cfg(feature = "json")]
        self.json(held, judged);
    }

    #[cfg(feature = "json")]
    fn json(&mut self, held: &Snapshot, judged: &BTreeSet<TableId>) {
        let output = support::command("nft").args(["-j", "list", "ruleset"]).output().expect("nft is installed");
        if !output.status.success() {
            return;
        }
        let ours = Listing::new(held).interfaces(interfaces().expect("a netlink socket"));
        let ours = super::json::timeless(nftmesh::json::ToJson::to_json(&ours));
        let theirs = super::json::timeless(super::json::parsed(&String::from_utf8_lossy(&output.stdout)));
        let objects = |json: &serde_json::Value| json["nftables"].as_array().cloned().unwrap_or_default();
        for (ours, theirs) in objects(&ours).iter().zip(&objects(&theirs)) {
            let table = ["/rule/table", "/set/table", "/map/table"].iter().find_map(|of| ours.pointer(of)?.as_str());
            let is_judged = table.is_none_or(|table| judged.iter().any(|id| id.name == *table));
            if is_judged && ours != theirs && !ours.to_string().contains("<unknown ") {
                self.wrong.push(format!("nft's JSON is\n{theirs}\nours is\n{ours}"));
            }
        }
    }

    /// Reads texts that nft refuses.
    fn see_refused(&mut self, texts: &[&String]) {
        in_a_place(|| {
            let mut kernel = Kernel::open().expect("a kernel");
            for text in texts {
                match Reader::new().resolver(&Interfaces).ruleset(text.as_str()) {
                    Ok(read) if kernel.check(&Transaction::add(read.clone())).is_ok() => {
                        self.taken.push((*text).clone());
                    }
                    _ => self.refused += 1,
                }
            }
        });
    }

    fn unsayable(&mut self, why: &str, text: &str) {
        let known = why.split(" (known").next().unwrap_or_default();
        let known = known.rsplit_once("): ").map_or(known, |(_, why)| why).to_owned();
        let (count, example) = self.unsayable.entry(known).or_default();
        *count += 1;
        text.clone_into(example);
    }

    fn conclude(&self, what: &str) {
        let unsayable: usize = self.unsayable.values().map(|(count, _)| count).sum();
        let (wrong, taken) = (self.wrong.len(), self.taken.len());
        let all = self.read + self.otherwise + unsayable;
        say(format_args!(
            "{what}: {} of {all} that nft takes are read to nft's program, {} to another one of the same meaning, \
             {unsayable} are not read, {wrong} are wrong; {} both refuse, {taken} nft alone; {} tables are not \
             listed in full",
            self.read, self.otherwise, self.refused, self.unlisted
        ));
        if std::env::var_os("NFTMESH_TEXT_REASONS").is_some() {
            let mut reasons: Vec<_> = self.unsayable.iter().map(|(why, (count, text))| (*count, why, text)).collect();
            reasons.sort_unstable_by(|a, b| b.cmp(a));
            reasons.iter().for_each(|(count, why, text)| say(format_args!("{count:5} {why}: {text}")));
            self.taken.iter().for_each(|text| say(format_args!("TAKEN {text}")));
        }
        // What nft leaves out of its JSON cannot be read from it.
        #[cfg(feature = "json")]
        self.json.report(&format!("JSON of {what}"));
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
    }
}

/// Returns a listing without how sets are declared: the fields of a `typeof` are types here.
fn undeclared(listing: &str) -> Vec<&str> {
    listing.lines().filter(|line| !["\t\ttype", "\t\ttypeof"].iter().any(|word| line.starts_with(word))).collect()
}

/// Returns the words of a listing in any order, as the elements of some sets have none.
fn words(listing: &str) -> Vec<&str> {
    let mut words: Vec<&str> = undeclared(listing)
        .iter()
        .flat_map(|line| line.split([' ', ',', '\t']))
        .filter(|word| !word.is_empty())
        .collect();
    words.sort_unstable();
    words
}

/// Runs it in a namespace with the interfaces of the texts.
fn in_a_place(body: impl FnOnce() + Send) {
    in_fresh_netns(|| {
        support::ip("link add eth0 type ifb");
        body();
    });
}

/// Returns the texts that nft takes alone and together.
fn loadable<'t>(mut texts: Vec<&'t String>, refused: &mut Vec<&'t String>) -> Vec<&'t String> {
    if texts.is_empty() {
        return texts;
    }
    let all: String = texts.iter().map(|text| text.as_str()).collect();
    let mut loads = false;
    in_a_place(|| loads = nft_takes(&all).is_ok());
    if loads {
        return texts;
    }
    if texts.len() == 1 {
        refused.append(&mut texts);
        return Vec::new();
    }
    let second = texts.split_off(texts.len() / 2);
    let mut taken = loadable(texts, refused);
    taken.extend(loadable(second, refused));
    taken
}
