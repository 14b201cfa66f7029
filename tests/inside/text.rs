//! Texts that nft loads are read to the same programs, or are not sayable yet; none is read to
//! another one.
//!
//! nft loads the text in one namespace. The same text read here has no plan left there, and what is
//! committed of it in another namespace lists as nft's does. The numbers may only get better: the
//! constants here are the worst that is accepted.

use std::collections::BTreeMap;
use std::fs;

use nftmesh::bytecode::{lower, same_programs};
use nftmesh::kernel::Kernel;
use nftmesh::model::{Family, Rule, Ruleset, Set, Statement, TableId};
use nftmesh::plan::{Operation, Transaction, diff};
use nftmesh::state::Snapshot;
use nftmesh::text::{Reader, Resolve, WellKnown};

use super::text_unequal::only_parts_unequal;
use crate::support::corpus::{corpus, files_of, loads, rules_of};
use crate::support::{self, command, in_fresh_netns, nft, nft_lists, say, timeless};

/// Fewest rules of nft's own tests that are read to nft's program, by family.
const READ: [(&str, usize); 6] =
    [("arp", 143), ("bridge", 200), ("inet", 532), ("ip", 492), ("ip6", 534), ("netdev", 721)];
/// Fewest real rule sets.
const REAL: usize = 85;

/// Number of tables in a namespace: the kernel takes at most 1,024 chains at a hook.
const BATCH: usize = 200;

/// The interfaces of the namespace.
pub(super) struct Interfaces;

impl Resolve for Interfaces {
    fn interface(&self, name: &str) -> Option<u32> {
        nftmesh::kernel::interfaces().ok()?.into_iter().find(|(_, known)| known == name).map(|(index, _)| index)
    }

    fn service(&self, name: &str) -> Option<u16> {
        WellKnown.service(name)
    }

    fn user(&self, name: &str) -> Option<u32> {
        number_of(name, "/etc/passwd")
    }

    fn group(&self, name: &str) -> Option<u32> {
        number_of(name, "/etc/group")
    }
}

/// Returns the third column of the line that begins with the name.
fn number_of(name: &str, file: &str) -> Option<u32> {
    let text = fs::read_to_string(file).ok()?;
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut columns| if columns.next() == Some(name) { columns.nth(1)?.parse().ok() } else { None })
}

/// Returns what nft lists of each table; nothing of one over whose sets it crashes.
pub(super) fn listed(tables: &[TableId]) -> Vec<Option<String>> {
    let of = |table: &TableId| command("nft").args(["list", "table"]).args(table.to_string().split(' ')).output();
    match nft_lists() {
        Some(all) => all.split_inclusive("\n}\n").map(|table| Some(timeless(table))).collect(),
        None => tables
            .iter()
            .map(|table| {
                let output = of(table).expect("nft is installed");
                output.status.success().then(|| timeless(&String::from_utf8_lossy(&output.stdout)))
            })
            .collect(),
    }
}

#[derive(Default)]
struct Count {
    /// By family, those that are read to nft's program.
    read: BTreeMap<String, usize>,
    /// Why texts are not read, how often, and the last line of one.
    unsayable: BTreeMap<String, (usize, String)>,
    wrong: Vec<String>,
    /// Rules of chains that are not read, which alone are read to nft's program.
    alone: usize,
    /// Rule sets of the same meaning, of which nft made another program: it loads neighbouring
    /// ports at once.
    otherwise: usize,
    /// Rule sets that differ on purpose: nft joined neighbours that are not equal.
    joined: usize,
    refused: usize,
}

/// Returns whether a plan only replaces rules by rules that say the same.
pub(super) fn replaces_the_same(plan: &Transaction, held: &Snapshot) -> bool {
    plan.operations().iter().all(|operation| match operation {
        Operation::ReplaceRule { chain, handle, rule } => {
            held.rules(chain).any(|(known, raised)| known == *handle && parts(&raised) == parts(rule))
        }
        _ => false,
    })
}

/// Returns the matches that a rule prints in any order, as nft sorts those of neighbouring fields,
/// and its other statements.
fn parts(rule: &Rule) -> (Vec<String>, Vec<String>) {
    // A rule with a part that is not known here is compared as it is.
    let rule: Rule = rule.to_string().parse().unwrap_or_else(|_| rule.clone());
    let (matches, others): (Vec<&Statement>, Vec<&Statement>) =
        rule.statements.iter().partition(|statement| matches!(statement, Statement::Match(_)));
    let mut matches: Vec<String> = matches.iter().map(ToString::to_string).collect();
    matches.sort_unstable();
    (matches, others.iter().map(ToString::to_string).collect())
}

impl Count {
    fn see(&mut self, held: &Snapshot, text: &str) -> Option<Ruleset> {
        let read = match Reader::new().resolver(&Interfaces).ruleset(text) {
            Ok(read) => read,
            Err(error) => {
                self.rule_alone(held, text);
                let known = error.fault.split(" (known").next().unwrap_or_default().to_owned();
                self.unsayable(known, text);
                return None;
            }
        };
        let tables: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
        if let Err(invalid) = read.validate() {
            let known = format!(
                "not valid here: {}",
                invalid.faults().first().map_or(String::new(), |fault| fault.to_string())
            );
            let known = known.split_once("}: ").map_or(known.clone(), |(_, why)| why.to_owned());
            self.rule_alone(held, text);
            self.unsayable(known, text);
            return None;
        }
        match diff(held, &read, &tables) {
            Ok(plan) if plan.is_empty() => {
                let family = tables.first().map_or("none", |table| table.family.name());
                *self.read.entry(family.to_owned()).or_default() += 1;
                Some(read)
            }
            Ok(plan) if replaces_the_same(&plan, held) => {
                self.otherwise += 1;
                None
            }
            Ok(plan) if only_parts_unequal(&plan, held, &read) => {
                self.joined += 1;
                None
            }
            Ok(plan) => {
                self.wrong.push(format!("{text}\nis not\n{plan}"));
                None
            }
            Err(why) => {
                self.wrong.push(format!("{text}\n{why}"));
                None
            }
        }
    }

    /// Reads the rule at the end of a text, whose chain cannot be read, and compares its program.
    fn rule_alone(&mut self, held: &Snapshot, text: &str) {
        let rule = || {
            let mut words = text.lines().last()?.strip_prefix("add rule ")?.splitn(4, ' ');
            let word = words.next()?;
            let family = Family::ALL.into_iter().find(|family| word == family.name())?;
            let (table, chain) = (words.next()?, words.next()?);
            let rule = Reader::new().resolver(&Interfaces).rule(family, words.next()?).ok()?;
            let sets: Vec<Set> = Vec::new();
            let program = lower(&rule, family, sets.as_slice()).ok()?;
            let theirs = held.chain(&TableId::new(family, table).chain(chain))?.rules.first()?;
            Some((same_programs(&program.exprs, &theirs.exprs), program.exprs, theirs.exprs.clone()))
        };
        match rule() {
            Some((true, ..)) => self.alone += 1,
            Some((false, ours, theirs)) => self.wrong.push(format!("{text}\nhas {theirs:?}\nnot {ours:?}")),
            None => {}
        }
    }

    fn unsayable(&mut self, why: String, text: &str) {
        let (count, example) = self.unsayable.entry(why).or_default();
        *count += 1;
        *example = text.lines().last().unwrap_or_default().to_owned();
    }

    fn conclude(&self, what: &str) {
        let all = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        let mut reasons: Vec<_> = self.unsayable.iter().map(|(why, (count, text))| (*count, why, text)).collect();
        reasons.sort_unstable_by(|a, b| b.cmp(a));
        let (read, wrong) = (all(&self.read), self.wrong.len());
        let unsayable: usize = self.unsayable.values().map(|(count, _)| count).sum();
        let total = read + unsayable + wrong + self.otherwise + self.joined;
        say(format_args!(
            "{what}: {read} of {total} are read to nft's program {:?}, {} to another one \
             of the same meaning, {} to one whose unequal neighbours nft joins, {unsayable} are not sayable ({} of them as rules), {wrong} are wrong, {} nft does \
             not take",
            self.read, self.otherwise, self.joined, self.alone, self.refused
        ));
        if std::env::var_os("NFTMESH_TEXT_REASONS").is_some() {
            reasons.iter().for_each(|(count, why, text)| say(format_args!("{count:5} {why}: {text}")));
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n\n"));
    }
}

pub(super) fn snapshot() -> Snapshot {
    Kernel::open().expect("a kernel").snapshot().expect("a snapshot")
}

#[test]
fn the_rules_of_nfts_own_tests_are_read_to_nfts_programs() {
    let Some(file) = corpus("rules.tsv") else { return };
    let mut count = Count::default();
    for batch in rules_of(&file).chunks(BATCH) {
        let mut sayable = Vec::new();
        in_fresh_netns(|| {
            if !loads(&batch.concat()) {
                count.refused += batch.iter().filter(|rule| !loads(rule)).count();
            }
            let held = snapshot();
            let loaded =
                |text: &&String| held.tables.iter().any(|table| text.starts_with(&format!("add table {}\n", table.id)));
            sayable.extend(batch.iter().filter(loaded).filter_map(|text| Some((text, count.see(&held, text)?))));
        });
        let mut listed = [Vec::new(), Vec::new()];
        let tables: Vec<TableId> = sayable.iter().flat_map(|(_, read)| &read.tables).map(TableId::from).collect();
        in_fresh_netns(|| {
            support::nft_script(&sayable.iter().map(|(text, _)| text.as_str()).collect::<String>());
            listed[0] = self::listed(&tables);
        });
        in_fresh_netns(|| {
            let mut kernel = Kernel::open().expect("a kernel");
            let all = sayable.iter().flat_map(|(_, read)| read.tables.iter().cloned()).collect();
            kernel.commit(&Transaction::add(all)).expect("what nft loads");
            listed[1] = self::listed(&tables);
        });
        let [theirs, ours] = listed;
        assert_eq!(theirs.len(), ours.len(), "nft lists as many tables");
        for (theirs, ours) in theirs.iter().zip(&ours).filter_map(|(theirs, ours)| theirs.as_ref().zip(ours.as_ref())) {
            support::assert_same(theirs, ours, "nft lists what nft loaded, and what was read and committed");
        }
    }
    count.conclude("rules of nft's own tests");
    if support::needs_namespaces() {
        for (family, least) in READ {
            assert!(count.read.get(family).is_some_and(|read| *read >= least), "{family}: fewer than {least}");
        }
    }
}

#[test]
fn real_rule_sets_are_read_to_nfts_programs_and_print_as_nft_lists_them() {
    let Some(folder) = corpus("real") else { return };
    let (mut count, mut exact) = (Count::default(), 0);
    for file in files_of(&folder) {
        let text = fs::read_to_string(&file).expect("text");
        in_fresh_netns(|| {
            support::ip("link add eth0 type ifb");
            if !loads(&text) {
                count.refused += 1;
                return;
            }
            let (held, listed) = (snapshot(), nft("list ruleset"));
            let Some(read) = count.see(&held, &text) else { return };
            // What nft lists is read as well, and prints as it was listed.
            let again = Reader::new().resolver(&Interfaces).ruleset(&listed).unwrap_or_else(|error| panic!("{error}"));
            exact += usize::from(timeless(&again.to_string()) == timeless(&listed));
            let tables: Vec<TableId> = read.tables.iter().map(TableId::from).collect();
            let plan = diff(&held, &again, &tables).expect("programs");
            assert!(plan.is_empty(), "{plan}of the listing\n{listed}");
        });
    }
    count.conclude("real rule sets");
    say(format_args!("{exact} of their listings print as nft lists them"));
    assert!(!support::needs_namespaces() || count.read.values().sum::<usize>() >= REAL);
}
