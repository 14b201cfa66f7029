//! What is known, operation by operation, of what a transaction names.

use std::collections::{HashMap, HashSet};

use crate::bytecode::{ElementCode, lower_elements};
use crate::error::{Error, Kind, Result};
use crate::model::{ChainId, Family, Name, RuleHandle, Set, SetId, TableId};
use crate::plan::{Operation, State, Transaction};
use crate::state::SetState;

/// What is there once the operations so far are done, as far as they decide it and as far as the
/// kernel was asked. Each operation is read once, and so is each set.
#[derive(Debug)]
pub(in crate::kernel) struct Known {
    families: HashMap<Family, KnownFamily>,
    /// The sets of which elements are destroyed; the elements of others are not followed.
    followed: HashSet<SetId>,
}

#[derive(Debug, Default)]
struct KnownFamily {
    /// Whether all tables of before are gone.
    is_flushed: bool,
    tables: HashMap<Name, KnownTable>,
}

#[derive(Debug, Default)]
struct KnownTable {
    is_there: Option<bool>,
    /// Whether nothing in it is from before.
    is_new: bool,
    /// Whether its rules of before are gone.
    has_lost_rules: bool,
    chains: HashMap<Name, KnownChain>,
    sets: HashMap<Name, KnownSet>,
    /// By kind and name.
    objects: HashMap<(String, Name), bool>,
}

#[derive(Debug, Default)]
struct KnownChain {
    is_there: Option<bool>,
    /// Whether its rules of before are gone.
    has_lost_rules: bool,
    /// Single rules that are gone.
    gone: HashSet<RuleHandle>,
}

#[derive(Debug, Default)]
struct KnownSet {
    is_there: Option<bool>,
    /// The elements of before, once they are read.
    before: Option<HashSet<At>>,
    /// What the operations so far have done to elements: whether they are there.
    changed: HashMap<At, bool>,
}

impl Known {
    /// Knows nothing yet of what the transaction names.
    pub(in crate::kernel) fn of(transaction: &Transaction) -> Self {
        let followed = transaction.operations().iter().filter_map(|operation| match operation {
            Operation::DestroyElements { table, set } => Some(table.set(&set.name)),
            _ => None,
        });
        Known { families: HashMap::new(), followed: followed.collect() }
    }

    /// Takes in what an operation does.
    pub(in crate::kernel) fn follow(&mut self, operation: &Operation) -> Result<()> {
        match operation {
            Operation::AddChain { table, name, .. } => self.chain(table, name).is_there = Some(true),
            Operation::AddElements { table, set } => self.elements_come(table, &set.name, || codes(set))?,
            Operation::AddRule { .. } | Operation::ReplaceRule { .. } => {}
            Operation::AddSet { table, set } => {
                self.set(table, &set.name).is_there = Some(true);
                self.elements_come(table, &set.name, || codes(set))?;
            }
            Operation::AddObject { table, object } => {
                self.table(table).objects.insert((object.kind().to_owned(), object.name.clone()), true);
            }
            Operation::AddTable { table, .. } => self.table(table).is_there = Some(true),
            Operation::DeleteChain(id) | Operation::DestroyChain(id) => {
                *self.chain(&id.table, &id.name) = KnownChain::gone();
            }
            Operation::DeleteElements { table, set } | Operation::DestroyElements { table, set } => {
                if self.is_followed(table, &set.name) {
                    let gone = codes(set)?;
                    self.set(table, &set.name).changed.extend(gone.iter().map(|code| (at(code), false)));
                }
            }
            Operation::DeleteObject { table, kind, name } | Operation::DestroyObject { table, kind, name } => {
                self.table(table).objects.insert((kind.clone(), name.clone()), false);
            }
            Operation::DeleteRule { chain, handle } | Operation::DestroyRule { chain, handle } => {
                self.chain(&chain.table, &chain.name).gone.insert(*handle);
            }
            Operation::DeleteSet { table, set } | Operation::DestroySet { table, set } => {
                *self.set(table, set) = KnownSet::gone();
            }
            Operation::DeleteTable(id) | Operation::DestroyTable(id) => *self.table(id) = KnownTable::gone(),
            Operation::FlushChain(id) => self.chain(&id.table, &id.name).has_lost_rules = true,
            Operation::FlushRuleset(family) => {
                for family in Family::ALL.into_iter().filter(|each| family.is_none_or(|family| family == *each)) {
                    self.families.insert(family, KnownFamily { is_flushed: true, tables: HashMap::new() });
                }
            }
            Operation::FlushSet { table, set } => {
                let set = self.set(table, set);
                *set = KnownSet { is_there: set.is_there, ..KnownSet::gone() };
            }
            Operation::FlushTable(id) => self.table(id).has_lost_rules = true,
            Operation::Restore { table, state } => match &**state {
                State::Chain(chain) => self.chain(table, &chain.name).is_there = Some(true),
                State::Object(object) => {
                    self.table(table).objects.insert((object.kind.clone(), object.name.clone()), true);
                }
                State::Rule { .. } => {}
                State::Set(SetState { name, elements, .. }) => {
                    self.set(table, name).is_there = Some(true);
                    self.elements_come(table, name, || Ok(elements.clone()))?;
                }
                State::Table(_) => self.table(table).is_there = Some(true),
            },
        }
        Ok(())
    }

    /// Returns whether the table is there; `ask` answers for before the transaction.
    pub(in crate::kernel) fn has_table(&mut self, id: &TableId, ask: impl FnOnce() -> Result<bool>) -> Result<bool> {
        answer(&mut self.table(id).is_there, ask)
    }

    /// Returns whether the chain is there.
    pub(in crate::kernel) fn has_chain(&mut self, id: &ChainId, ask: impl FnOnce() -> Result<bool>) -> Result<bool> {
        answer(&mut self.chain(&id.table, &id.name).is_there, ask)
    }

    /// Returns whether the set is there.
    pub(in crate::kernel) fn has_set(
        &mut self,
        table: &TableId,
        set: &Name,
        ask: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        answer(&mut self.set(table, set).is_there, ask)
    }

    /// Returns whether the object of that kind is there.
    pub(in crate::kernel) fn has_object(
        &mut self,
        table: &TableId,
        (kind, name): (&str, &Name),
        ask: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let table = self.table(table);
        let object = (kind.to_owned(), name.clone());
        let mut is_there = table.objects.get(&object).copied().or(table.is_new.then_some(false));
        let answer = answer(&mut is_there, ask)?;
        table.objects.insert(object, answer);
        Ok(answer)
    }

    /// Returns whether the rule of before is still there.
    pub(in crate::kernel) fn has_rule(
        &mut self,
        chain: &ChainId,
        handle: RuleHandle,
        ask: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        let table = self.table(&chain.table);
        if table.is_new || table.has_lost_rules {
            return Ok(false);
        }
        let chain = self.chain(&chain.table, &chain.name);
        if chain.has_lost_rules || chain.gone.contains(&handle) { Ok(false) } else { ask() }
    }

    /// Returns the declaration of a set with those of its elements that are there, each once;
    /// `read` reads all that were there before the transaction.
    pub(in crate::kernel) fn those_there(
        &mut self,
        table: &TableId,
        set: &Set,
        read: impl FnOnce() -> Result<Vec<ElementCode>>,
    ) -> Result<Set> {
        let known = self.set(table, &set.name);
        let before = match &mut known.before {
            Some(before) => before,
            before => before.insert(read()?.iter().map(at).collect()),
        };
        let mut there = Set { elements: Vec::new(), ..set.clone() };
        let mut alone = there.clone();
        for element in &set.elements {
            alone.elements = vec![element.clone()];
            let codes: Vec<At> = codes(&alone)?.iter().map(at).collect();
            let is_there = |at: &At| known.changed.get(at).copied().unwrap_or_else(|| before.contains(at));
            if codes.iter().all(is_there) {
                there.elements.append(&mut alone.elements);
                known.changed.extend(codes.into_iter().map(|at| (at, false)));
            }
        }
        Ok(there)
    }

    fn is_followed(&self, table: &TableId, set: &Name) -> bool {
        self.followed.contains(&table.set(set))
    }

    fn elements_come(
        &mut self,
        table: &TableId,
        set: &Name,
        come: impl FnOnce() -> Result<Vec<ElementCode>>,
    ) -> Result<()> {
        if self.is_followed(table, set) {
            let come = come()?;
            self.set(table, set).changed.extend(come.iter().map(|code| (at(code), true)));
        }
        Ok(())
    }

    fn table(&mut self, id: &TableId) -> &mut KnownTable {
        let family = self.families.entry(id.family).or_default();
        let made = || if family.is_flushed { KnownTable::gone() } else { KnownTable::default() };
        family.tables.entry(id.name.clone()).or_insert_with(made)
    }

    fn chain(&mut self, table: &TableId, name: &Name) -> &mut KnownChain {
        let table = self.table(table);
        let made = || if table.is_new { KnownChain::gone() } else { KnownChain::default() };
        table.chains.entry(name.clone()).or_insert_with(made)
    }

    fn set(&mut self, table: &TableId, name: &Name) -> &mut KnownSet {
        let table = self.table(table);
        let made = || if table.is_new { KnownSet::gone() } else { KnownSet::default() };
        table.sets.entry(name.clone()).or_insert_with(made)
    }
}

impl KnownTable {
    fn gone() -> Self {
        KnownTable { is_there: Some(false), is_new: true, ..KnownTable::default() }
    }
}

impl KnownChain {
    fn gone() -> Self {
        KnownChain { is_there: Some(false), has_lost_rules: true, gone: HashSet::new() }
    }
}

impl KnownSet {
    fn gone() -> Self {
        KnownSet { is_there: Some(false), before: Some(HashSet::new()), changed: HashMap::new() }
    }
}

/// Returns what is known, and asks once where nothing is.
fn answer(known: &mut Option<bool>, ask: impl FnOnce() -> Result<bool>) -> Result<bool> {
    match *known {
        Some(known) => Ok(known),
        None => Ok(*known.insert(ask()?)),
    }
}

/// What identifies an element.
type At = (Vec<u8>, Option<Vec<u8>>, u32);

fn at(code: &ElementCode) -> At {
    (code.key.to_vec(), code.key_end.as_ref().map(|end| end.to_vec()), code.flags)
}

fn codes(set: &Set) -> Result<Vec<ElementCode>> {
    lower_elements(set).collect::<Result<_, _>>().map_err(|error| Error::new(Kind::Invalid, error))
}
