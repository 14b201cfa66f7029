//! The part of a rule set that has to be examined when the rest is known to be in force.
//!
//! The part is a self-contained rule set: in addition to the changed chains and sets it has those
//! that refer to something deleted and, as names only, those that these refer to. Compared with
//! the same part of the kernel's state, it gives the same plan as the whole would.

use std::collections::{HashMap, HashSet};

use super::{Remembered, Sum, Sums, TableSums};
use crate::bytecode::{KeptParts, lower_set};
use crate::error::{Error, Kind};
use crate::model::{
    Chain, ChainHandle, ChainKind, Element, ElementData, Family, Name, Ruleset, Set, SetHandle, SetRef, Statement,
    Table, TableId,
};
use crate::plan::diff;
use crate::plan::operation::Operation;
use crate::plan::transaction::{Transaction, with_elements};
use crate::state::{ChainState, HookState, SetState, Snapshot, TableState};
use crate::validate::{Calls, Fault, Judgement, Stayed, Was, refuse};

/// How a rule set relates to the one that is in force.
#[derive(Debug)]
pub(crate) enum Since {
    /// All of it has to be examined.
    Other,
    /// This part has to be examined.
    Unsettled(Box<Unsettled>),
    /// Both are the same.
    Same,
}

/// The part that has to be examined.
#[derive(Debug)]
pub(crate) struct Unsettled {
    /// Tables to read as a whole.
    pub(crate) whole: Vec<TableId>,
    /// Tables to read in part.
    pub(crate) tables: Vec<TablePart>,
    /// What is wanted of these tables.
    pub(crate) wanted: Ruleset,
    /// The findings of validation in the rule set.
    pub(crate) faults: Vec<Fault>,
}

/// A part of a table.
#[derive(Debug)]
pub(crate) struct TablePart {
    /// Chains to read, each with the number of its rules.
    pub(crate) chains: Vec<(Name, Option<u32>)>,
    /// Named sets to read.
    pub(crate) sets: Vec<Name>,
    /// What is known without reading it.
    pub(crate) known: TableState,
}

impl Remembered {
    /// Returns what has to be examined to install `wanted`, whose hashes are `sums`; these are
    /// validated in the process.
    pub(crate) fn since(&self, wanted: &Ruleset, sums: &mut Sums) -> Since {
        if self.is_same(sums) {
            return Since::Same;
        }
        let (tables, absent) = (self.tables(), self.absent());
        let is_absent = |id: &TableId| absent.contains(id);
        let mut whole: Vec<TableId> = sums.absent.iter().filter(|id| !is_absent(id)).cloned().collect();
        let mut part = Unsettled { whole: Vec::new(), tables: Vec::new(), wanted: Ruleset::new(), faults: Vec::new() };
        for (now, table) in sums.tables.iter_mut().zip(&wanted.tables) {
            let before = tables.get(&now.id).copied();
            let found = before.filter(|before| {
                now.head.is_some() && before.head == now.head && before.is_divisible && now.is_divisible
            });
            let Some(change) = found.and_then(|before| Change::between(before, now, table)) else {
                if !is_absent(&now.id) {
                    whole.push(now.id.clone());
                }
                part.faults.extend(now.judged(Judgement::of(table)));
                part.wanted.tables.push(table.clone());
                continue;
            };
            let calls = before.filter(|before| !before.is_odd).map(|before| &before.calls);
            part.faults.extend(now.judged(calls.map_or_else(|| Judgement::of(table), |calls| change.judgement(calls))));
            let Some((known, wanted)) = change.part(&now.id) else { return Since::Other };
            part.tables.push(known);
            part.wanted.tables.push(wanted);
        }
        if part.tables.is_empty() {
            return Since::Other;
        }
        part.whole = whole;
        Since::Unsettled(Box::new(part))
    }
}

impl Unsettled {
    /// Plans this part against the same part of the kernel's state; an error when validation found
    /// something that cannot be sent.
    pub(crate) fn plan(&self, held: &Snapshot, wanted: &Ruleset, ours: &[TableId]) -> Result<Transaction, Error> {
        match diff(held, wanted, ours) {
            Ok(plan) if plan.is_empty() => Ok(plan),
            outcome => {
                refuse(self.faults.clone())?;
                outcome.map_err(|unlowerable| Error::new(Kind::Invalid, unlowerable))
            }
        }
    }

    /// Marks chains, sets and tables that a transaction added as to be examined.
    pub(crate) fn look_at(&mut self, made: &Transaction) {
        let mut known: HashSet<TableId> = self.whole.iter().cloned().collect();
        known.extend(self.tables.iter().map(|part| part.known.id.clone()));
        for table in made.operations().iter().filter_map(Operation::table) {
            if !known.contains(table) {
                known.insert(table.clone());
                self.whole.push(table.clone());
            }
        }
        for table in &mut self.tables {
            table.chains.iter_mut().for_each(|(_, rules)| *rules = None);
            let mut chains: HashSet<Name> = table.chains.iter().map(|(name, _)| name.clone()).collect();
            let mut sets: HashSet<Name> = table.sets.iter().cloned().collect();
            for operation in made.operations().iter().filter(|made| made.table() == Some(&table.known.id)) {
                match operation {
                    Operation::AddChain { name, .. } if chains.insert(name.clone()) => {
                        table.chains.push((name.clone(), None));
                    }
                    Operation::AddSet { set, .. } if sets.insert(set.name.clone()) => {
                        table.sets.push(set.name.clone());
                    }
                    _ => {}
                }
            }
        }
    }
}

/// How a table differs from one that is in force.
struct Change<'a> {
    table: &'a Table,
    chains: Now<'a>,
    sets: Now<'a>,
}

/// The current chains or sets, and the previous ones that no longer exist.
struct Now<'a> {
    before: &'a [Sum],
    all: Vec<Was>,
    gone: Vec<&'a Sum>,
}

impl<'a> Change<'a> {
    /// Returns `None` when so much changed that reading the whole is faster, or when names are not
    /// unique.
    fn between(before: &'a TableSums, now: &TableSums, table: &'a Table) -> Option<Self> {
        let mut chains = Now::of(&before.chains, &now.chains)?;
        let mut sets = Now::of(&before.sets, &now.sets)?;
        // Chains whose position may change: what leads to them is examined too.
        let mut led_to: HashSet<&Name> = chains.gone.iter().map(|sum| &sum.name).collect();
        let of_kind = |chain: &&Chain| chain.kind != ChainKind::Regular || !chain.kept.is_nothing();
        led_to.extend(chains.looked_at(&table.chains).filter(of_kind).map(|chain| &chain.name));
        if !led_to.is_empty() {
            sets.look_at(&table.sets, |set| targets(&set.elements).any(|chain| led_to.contains(chain)));
        }
        let mut looked_up: HashSet<&Name> = sets.gone.iter().map(|sum| &sum.name).collect();
        looked_up.extend(sets.looked_at(&table.sets).map(|set| &set.name));
        if !looked_up.is_empty() {
            // Names that the steps to other contents may use.
            sets.look_at(&table.sets, |set| set.name.as_str().contains(".next"));
            looked_up.extend(sets.looked_at(&table.sets).map(|set| &set.name));
        }
        if !led_to.is_empty() || !looked_up.is_empty() {
            let names = |statement| {
                Named::by(statement).any(|named| match named {
                    Named::Anything => true,
                    Named::Chain(name) => led_to.contains(name),
                    Named::Chains(elements) => targets(elements).any(|name| led_to.contains(name)),
                    Named::Set(name) => looked_up.contains(name),
                })
            };
            chains.look_at(&table.chains, |chain| chain.rules.iter().flat_map(|rule| &rule.statements).any(names));
        }
        let all = before.chains.len() + before.sets.len();
        (chains.count() + sets.count() <= FEW.max(all / SHARE)).then_some(Change { table, chains, sets })
    }

    fn judgement(&self, calls: &Calls) -> Judgement {
        let (chains, sets, chains_before) = (self.chains.all.clone(), self.sets.all.clone(), self.chains.before.len());
        Judgement::again(self.table, calls, &Stayed { chains, sets, chains_before })
    }

    /// Returns what to read of it, and what is wanted of that.
    fn part(self, id: &TableId) -> Option<(TablePart, Table)> {
        let Change { table, chains, sets } = self;
        let mut wanted = head(table);
        let mut known = TableState::bare(id.clone(), table.flags.bits());
        // What they refer to is included as a name.
        let (mut led_to, mut looked_up) = (HashSet::new(), HashSet::new());
        let rules = chains.looked_at(&table.chains).flat_map(|chain| &chain.rules);
        for statement in rules.flat_map(|rule| &rule.statements) {
            for named in Named::by(statement) {
                match named {
                    Named::Anything => {}
                    Named::Chain(name) => drop(led_to.insert(name)),
                    Named::Chains(elements) => led_to.extend(targets(elements)),
                    Named::Set(name) => drop(looked_up.insert(name)),
                }
            }
        }
        led_to.extend(sets.looked_at(&table.sets).flat_map(|set| targets(&set.elements)));
        // Whether there is any chain at all decides whether a packet may be in the table.
        let any = chains.count() == 0;
        for (index, (chain, place)) in table.chains.iter().zip(&chains.all).enumerate() {
            if !place.is_same {
                wanted.chains.push(chain.clone());
            } else if led_to.contains(&chain.name) || any && index == 0 {
                known.chains.push(chain_as_known(self.table.family, chain)?);
                let mut empty = Chain::of_kind(chain.name.clone(), chain.kind.clone());
                empty.kept = chain.kept.clone();
                wanted.chains.push(empty);
            }
        }
        for (set, place) in table.sets.iter().zip(&sets.all) {
            if !place.is_same {
                wanted.sets.push(set.clone());
            } else if looked_up.contains(&set.name) {
                let empty = with_elements(set, []);
                known.sets.push(set_as_known(&empty)?);
                wanted.sets.push(empty);
            }
        }
        let chains = chains.there().map(|sum| (sum.name.clone(), Some(sum.rules))).collect();
        Some((TablePart { chains, sets: sets.there().map(|sum| sum.name.clone()).collect(), known }, wanted))
    }
}

impl<'a> Now<'a> {
    /// Returns `None` when two have the same name.
    fn of(before: &'a [Sum], now: &[Sum]) -> Option<Self> {
        // Usually most are at their previous positions.
        let is_there = |(a, b): &(&Sum, &Sum)| a.is_same(b);
        let front = before.iter().zip(now).take_while(is_there).count();
        let (old, new) = (before.get(front..)?, now.get(front..)?);
        let back = old.iter().rev().zip(new.iter().rev()).take_while(is_there).count();
        let (old, last) = old.split_at_checked(old.len() - back)?;
        let new = new.get(..new.len() - back)?;
        let by_name: HashMap<&Name, usize> = old.iter().zip(front..).map(|(sum, number)| (&sum.name, number)).collect();
        let stays = |number| Was { number: Some(number), is_same: true };
        let mut all: Vec<Was> = (0..front).map(stays).collect();
        let mut found = HashSet::with_capacity(new.len());
        for sum in new {
            if !found.insert(&sum.name) {
                return None;
            }
            let number = by_name.get(&sum.name).copied();
            let was = number.and_then(|number| before.get(number));
            all.push(Was { number, is_same: was.is_some_and(|was| was.is_same(sum)) });
        }
        all.extend((before.len() - last.len()..before.len()).map(stays));
        Some(Now { before, all, gone: old.iter().filter(|sum| !found.contains(&sum.name)).collect() })
    }

    fn looked_at<'t, T>(&self, items: &'t [T]) -> impl Iterator<Item = &'t T> {
        items.iter().zip(&self.all).filter(|(_, place)| !place.is_same).map(|(item, _)| item)
    }

    /// Marks these as to be examined too.
    fn look_at<'t, T>(&mut self, items: &'t [T], mut is: impl FnMut(&'t T) -> bool) {
        for (item, place) in items.iter().zip(&mut self.all) {
            place.is_same = place.is_same && !is(item);
        }
    }

    /// Returns those that are examined and existed before.
    fn there(&self) -> impl Iterator<Item = &'a Sum> {
        let looked_at = self.all.iter().filter(|place| !place.is_same);
        looked_at.filter_map(|place| self.before.get(place.number?)).chain(self.gone.iter().copied())
    }

    /// Returns how many are examined.
    fn count(&self) -> usize {
        self.gone.len() + self.all.iter().filter(|place| !place.is_same).count()
    }
}

/// Returns the table without its contents.
fn head(table: &Table) -> Table {
    let mut head = Table::new(table.family, table.name.clone()).flags(table.flags);
    head.comment.clone_from(&table.comment);
    head
}

fn chain_as_known(family: Family, chain: &Chain) -> Option<ChainState> {
    let hook = HookState::of(family, &chain.kind);
    if chain.kind == ChainKind::Bound || hook.is_none() && chain.kind != ChainKind::Regular {
        return None;
    }
    let base = if hook.is_some() { NFT_CHAIN_BASE } else { 0 };
    Some(ChainState {
        name: chain.name.clone(),
        handle: ChainHandle::default(),
        hook,
        flags: base | chain.kept.code::<KeptParts>().map_or(0, |read| read.flags),
        uses: 0,
        unlisted: 0,
        counters: None,
        userdata: Vec::new(),
        rules: Vec::new(),
        opaque: Vec::new(),
    })
}

fn set_as_known(set: &Set) -> Option<SetState> {
    let code = lower_set(set).ok()?;
    let (elements, order, expires) = (Vec::new(), Vec::new(), Vec::new());
    Some(SetState {
        name: set.name.clone(),
        handle: SetHandle::default(),
        code,
        elements,
        order,
        expires,
        backend: None,
        count: None,
    })
}

/// What a statement refers to.
enum Named<'a> {
    /// Unknown.
    Anything,
    Chain(&'a Name),
    /// The chains that these elements lead to.
    Chains(&'a [Element]),
    Set(&'a Name),
}

impl<'a> Named<'a> {
    fn by(statement: &'a Statement) -> impl Iterator<Item = Self> {
        let sets = statement.sets().map(|set| match set {
            SetRef::Anonymous(elements) => Named::Chains(elements),
            SetRef::Named(name) => Named::Set(name),
        });
        let other = match statement {
            Statement::Opaque(_) | Statement::ObjectRef(_) | Statement::FlowAdd(_) => Some(Named::Anything),
            Statement::Verdict(verdict) => verdict.target().map(Named::Chain),
            _ => None,
        };
        sets.chain(other)
    }
}

/// Returns the chains that elements lead to.
fn targets(elements: &[Element]) -> impl Iterator<Item = &Name> {
    elements.iter().filter_map(|element| match element.data.as_deref()? {
        ElementData::Object(_) | ElementData::Several(_) | ElementData::Value(_) => None,
        ElementData::Verdict(verdict) => verdict.target(),
    })
}

/// Up to this many chains and sets are read one by one, however few there are in all.
const FEW: usize = 16;
/// Up to one in this many of all is read one by one.
const SHARE: usize = 8;
const NFT_CHAIN_BASE: u32 = 0x1;
