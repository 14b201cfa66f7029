//! Puts parts of a transaction in place beforehand, where no packet meets them, so that packets
//! see the transaction as a single switch.
//!
//! The kernel switches packets over to new rules at one moment, but a set of intervals filled in
//! the same transaction takes effect slightly later: its contents are published after the rules,
//! one set after the other. Until then a lookup in a new set finds nothing. Measured on Linux
//! 6.18: toggling between a rule for all addresses and one for a set that holds them let 2 of 1000
//! connections past both, 20 of 1000 with 20,000 intervals in the set; with the set there before
//! the rule, none. Such sets are therefore committed first, named ones as they are, anonymous ones
//! with their rule, where no packet reaches them:
//!
//! ```text
//! chain c {                          chain c {                        chain c {
//!     old rules              first       old rules            then        new rules
//! }                                      return                       }
//!                                        new rules
//!                                    }
//! ```
//! `return` has the effect of the end of a chain. For a set that rules already use see
//! [`detour`](super::detour).

use std::collections::{HashMap, HashSet};

use super::detour::{chains, is_late, looked_up, named, set_of};
use super::operation::Operation;
use super::transaction::Transaction;
use crate::model::{
    Base, ChainId, ChainKind, DeviceBase, ElementData, Name, Policy, Position, Rule, RuleHandle, Ruleset, Set, SetData,
    SetFlags, Statement, TableId,
};
use crate::state::{ChainState, Snapshot};

impl Transaction {
    /// Returns the part of this plan for `wanted` that must be committed first because it would be
    /// published too late; it changes nothing for any packet. Empty when there is no such part, or
    /// when no rule decides about packets yet.
    pub(crate) fn staged(&self, held: &Snapshot, wanted: &Ruleset) -> Transaction {
        let mut staged = self.emptied();
        if held.tables.iter().all(|table| table.chains.is_empty()) {
            return staged;
        }
        let late_rules = self.late_rules();
        let late_sets = self.late_sets(held);
        if (late_rules.is_empty() && late_sets.is_empty()) || !self.switches(held) {
            return staged;
        }
        let unseen = Unseen {
            transaction: self,
            held,
            made: self.made(held),
            gone: self.gone().collect(),
            deleted: self.deleted().collect(),
            late_rules,
            late_sets,
        };
        staged.extend(unseen.operations().cloned());
        staged.extend(unseen.after_the_end(wanted));
        staged.knowing_sets_of(wanted)
    }

    /// Adds the declarations of sets that staged rules look up without changing them.
    fn knowing_sets_of(self, wanted: &Ruleset) -> Transaction {
        let mut looked_up: HashSet<(TableId, Name)> = HashSet::new();
        for operation in self.operations() {
            let statements = operation.rule().into_iter().flat_map(|rule| &rule.statements);
            looked_up.extend(
                statements
                    .flat_map(Statement::looked_up)
                    .filter_map(|set| Some((operation.table()?.clone(), set.clone()))),
            );
        }
        let sets = wanted.tables.iter().flat_map(|table| table.sets.iter().map(move |set| (TableId::from(table), set)));
        let sets = sets.filter(|(table, set)| looked_up.contains(&(table.clone(), set.name.clone())));
        sets.fold(self, |staged, (table, set)| staged.knowing(&table, set))
    }

    /// Returns the chains that get rules with anonymous sets of intervals.
    fn late_rules(&self) -> HashSet<&ChainId> {
        let chains = self.operations().iter().filter_map(|operation| match operation {
            Operation::AddRule { chain, rule, .. } | Operation::ReplaceRule { chain, rule, .. } => {
                rule.statements.iter().any(is_late).then_some(chain)
            }
            _ => None,
        });
        chains.collect()
    }

    /// Returns the sets of intervals that change while no rule uses them.
    fn late_sets(&self, held: &Snapshot) -> HashSet<(&TableId, &Name)> {
        let changed = self.operations().iter().filter_map(|operation| match operation {
            Operation::AddElements { table, set }
            | Operation::AddSet { table, set }
            | Operation::DeleteElements { table, set } => {
                (set.flags.contains(SetFlags::INTERVAL) && !set.elements.is_empty()).then_some((table, set))
            }
            _ => None,
        });
        let mut late: Vec<(&TableId, &Set)> = changed.collect();
        if late.is_empty() {
            return HashSet::new();
        }
        let gone: HashSet<&TableId> = self.gone().collect();
        let deleted: HashSet<(&TableId, &Name)> = self.deleted().collect();
        let tables: HashSet<&TableId> = late.iter().map(|(table, _)| *table).collect();
        let seen = held.tables.iter().filter(|table| tables.contains(&table.id));
        let seen: HashMap<&TableId, HashSet<&Name>> = seen.map(|table| (&table.id, looked_up(table))).collect();
        late.retain(|(of, set)| {
            let is_seen = seen.get(of).is_some_and(|seen| seen.contains(&set.name));
            // Whether a verdict of the set leads to a chain that has yet to be replaced.
            let leads_astray = || targets(set).any(|chain| deleted.contains(&(*of, chain)));
            !(gone.contains(of) || is_seen || leads_astray())
        });
        late.into_iter().map(|(table, set)| (table, &set.name)).collect()
    }

    /// Returns the tables to be deleted, including those added again: what is staged there would
    /// be lost.
    fn gone(&self) -> impl Iterator<Item = &TableId> {
        self.operations().iter().filter_map(|operation| match operation {
            Operation::DeleteTable(table) | Operation::DestroyTable(table) => Some(table),
            _ => None,
        })
    }

    /// Returns the chains to be deleted, including those added again.
    fn deleted(&self) -> impl Iterator<Item = (&TableId, &Name)> {
        self.operations().iter().filter_map(|operation| match operation {
            Operation::DeleteChain(chain) => Some((&chain.table, &chain.name)),
            _ => None,
        })
    }
}

/// The part of a transaction that no packet meets.
struct Unseen<'t> {
    transaction: &'t Transaction,
    held: &'t Snapshot,
    /// Chains that nothing leads to yet.
    made: HashSet<(&'t TableId, &'t Name)>,
    gone: HashSet<&'t TableId>,
    deleted: HashSet<(&'t TableId, &'t Name)>,
    late_rules: HashSet<&'t ChainId>,
    late_sets: HashSet<(&'t TableId, &'t Name)>,
}

impl<'t> Unseen<'t> {
    /// Returns the operations in the order of the transaction.
    fn operations(&self) -> impl Iterator<Item = &'t Operation> {
        // Where rules are staged, everything that they may refer to is staged.
        let whole: HashSet<&TableId> = self.late_rules.iter().map(|chain| &chain.table).collect();
        let sets = self.late_sets.iter().map(|(table, _)| *table);
        let tables: HashSet<&TableId> =
            whole.iter().copied().chain(sets).filter(|table| !self.gone.contains(table)).collect();
        let led_to: HashSet<(&TableId, &Name)> = self
            .transaction
            .operations()
            .iter()
            .filter_map(|operation| match operation {
                Operation::AddElements { table, set } | Operation::AddSet { table, set } => Some((table, set)),
                _ => None,
            })
            .filter(|(table, set)| self.late_sets.contains(&(*table, &set.name)))
            .flat_map(|(table, set)| targets(set).map(move |chain| (table, chain)))
            .collect();
        let (unseen, stay) = (self.seen_sets(&whole), self.sets_that_stay());
        let held: HashSet<&TableId> = self.held.tables.iter().map(|table| &table.id).collect();
        self.transaction.operations().iter().filter(move |operation| {
            let Some(table) = operation.table() else { return false };
            tables.contains(table)
                && match operation {
                    Operation::AddTable { .. } => !held.contains(table),
                    Operation::AddChain { name, .. } => {
                        let key = (table, name);
                        self.made.contains(&key) && (whole.contains(table) || led_to.contains(&key))
                    }
                    Operation::AddRule { chain, .. } => {
                        whole.contains(table) && self.made.contains(&(&chain.table, &chain.name))
                    }
                    Operation::AddSet { .. }
                    | Operation::AddElements { .. }
                    | Operation::DeleteElements { .. }
                    | Operation::DeleteSet { .. }
                    | Operation::FlushSet { .. } => set_of(operation).is_some_and(|set| {
                        self.late_sets.contains(&set)
                            || (whole.contains(table) && !unseen.contains(&set) && stay.contains(&set))
                    }),
                    _ => false,
                }
        })
    }

    /// Returns the sets of these tables that rules use.
    fn seen_sets(&self, tables: &HashSet<&'t TableId>) -> HashSet<(&'t TableId, &'t Name)> {
        let held = self.held.tables.iter().filter(|table| tables.contains(&table.id));
        held.flat_map(|table| looked_up(table).into_iter().map(|name| (&table.id, name))).collect()
    }

    /// Returns the sets that exist afterwards.
    fn sets_that_stay(&self) -> HashSet<(&'t TableId, &'t Name)> {
        let made = self.transaction.operations().iter().filter_map(|operation| match operation {
            Operation::AddSet { table, set } | Operation::AddElements { table, set } => Some((table, &set.name)),
            _ => None,
        });
        made.collect()
    }

    /// Returns the new rules of chains that packets reach, placed after the end of the old ones.
    fn after_the_end(&self, wanted: &Ruleset) -> Vec<Operation> {
        let mut later = Vec::new();
        if self.late_rules.is_empty() {
            return later;
        }
        let held: HashMap<(&TableId, &Name), &ChainState> =
            chains(self.held).map(|chain| (named(chain), chain.1)).collect();
        for table in &wanted.tables {
            let id = TableId::from(table);
            if self.gone.contains(&id) {
                continue;
            }
            for chain in &table.chains {
                let of = id.chain(&chain.name);
                if !self.late_rules.contains(&of) || self.made.contains(&(&of.table, &of.name)) {
                    continue;
                }
                match (held.get(&(&of.table, &of.name)), &chain.kind) {
                    // A chain that is replaced, or has rules that cannot be read, is emptied
                    // first.
                    (Some(held), _) if held.unlisted > 0 => continue,
                    (Some(_), _) if self.deleted.contains(&(&of.table, &of.name)) => continue,
                    (Some(_), _) => {}
                    // A chain at a hook decides by its policy as soon as it exists.
                    (
                        None,
                        ChainKind::Base(Base { policy: Policy::Accept, .. })
                        | ChainKind::Device(DeviceBase { policy: Policy::Accept, .. }),
                    ) => {
                        later.push(Operation::add_chain(&id, chain));
                    }
                    (None, _) => continue,
                }
                let last = |rule| Operation::AddRule { chain: of.clone(), position: Position::Last, rule };
                later.push(last(Rule::new().r#return().comment(THE_END)));
                later.extend(chain.rules.iter().cloned().map(last));
            }
        }
        later
    }
}

/// Returns the targets of a set's verdicts.
fn targets(set: &Set) -> impl Iterator<Item = &Name> {
    let elements = if set.data == SetData::Verdict { set.elements.as_slice() } else { &[] };
    elements.iter().filter_map(|element| match element.data.as_deref() {
        Some(ElementData::Verdict(verdict)) => verdict.target(),
        _ => None,
    })
}

/// Returns the transaction that removes what was staged: `first` was held before it, `now` is held
/// after it. Contents of sets that existed before and that no rule uses stay as they are.
pub(crate) fn unstaged(staged: &[Transaction], first: &Snapshot, now: &Snapshot) -> Transaction {
    let [before, after] =
        [first, now].map(|held| chains(held).map(|chain| (named(chain), chain.1)).collect::<HashMap<_, _>>());
    let [sets_before, sets_after] = [first, now].map(|held| {
        let sets = held.tables.iter().flat_map(|table| table.sets.iter().map(|set| (&table.id, &set.name)));
        sets.collect::<HashSet<_>>()
    });
    let [tables_before, tables_after] =
        [first, now].map(|held| held.tables.iter().map(|table| &table.id).collect::<HashSet<_>>());
    let (mut tables, mut chains, mut rules, mut sets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // Each is removed once, however often it is named.
    let (mut new_tables, mut new_chains, mut filled, mut new_sets) =
        (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
    for operation in staged.iter().flat_map(Transaction::operations) {
        let Some(table) = operation.table() else { continue };
        if !tables_after.contains(table) {
            continue;
        }
        if !tables_before.contains(table) {
            tables.extend(new_tables.insert(table).then(|| table.clone()));
            continue;
        }
        match operation {
            Operation::AddChain { name, .. } => {
                let key = (table, name);
                if !before.contains_key(&key) && after.contains_key(&key) && new_chains.insert(key) {
                    chains.push(table.chain(name));
                }
            }
            Operation::AddRule { chain, .. } => {
                let key = (table, &chain.name);
                let Some(before) = before.get(&key).filter(|_| filled.insert(key)) else { continue };
                let known: HashSet<RuleHandle> = before.rules.iter().map(|rule| rule.handle).collect();
                let there = after.get(&key).map(|chain| chain.rules.as_slice()).unwrap_or_default();
                let new = there.iter().map(|rule| rule.handle).filter(|handle| !known.contains(handle));
                rules.extend(new.map(|handle| Operation::DeleteRule { chain: chain.clone(), handle }));
            }
            Operation::AddSet { set, .. } => {
                let key = (table, &set.name);
                if !sets_before.contains(&key) && sets_after.contains(&key) && new_sets.insert(key) {
                    sets.push(Operation::DeleteSet { table: table.clone(), set: set.name.clone() });
                }
            }
            _ => {}
        }
    }
    let mut unstaged = Transaction::new();
    unstaged.extend(rules);
    unstaged.extend(chains.iter().cloned().map(Operation::FlushChain));
    unstaged.extend(sets);
    unstaged.extend(chains.into_iter().map(Operation::DeleteChain));
    unstaged.extend(tables.into_iter().map(Operation::DeleteTable));
    unstaged.at_generation(now.generation)
}

/// The comment of the rule that ends a chain before the staged rules.
const THE_END: &str = "what follows is about to take over";
