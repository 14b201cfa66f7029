//! What is put in place before a transaction, where no packet meets it, so that packets see the transaction as one moment.
//!
//! The kernel switches packets over to new rules at one moment, but a set of intervals that was filled in the same transaction answers
//! only a little later: its contents are published after the rules, one set after the other. Until then a lookup in a new set finds
//! nothing. Measured on Linux 6.18: toggling between a rule for all addresses and one for a set that holds them let 2 of 1000
//! connections past both, 20 of 1000 with 20,000 intervals in the set; with the set there before the rule, none. So such sets are
//! committed first, named ones as they are, anonymous ones with their rule, at a place that no packet comes to:
//!
//! ```text
//! chain c {                          chain c {                        chain c {
//!     old rules              first       old rules            then        new rules
//! }                                      return                       }
//!                                        new rules
//!                                    }
//! ```
//! `return` is what the end of a chain is. For a set that rules look at already see [`detour`](super::detour).

use std::collections::HashSet;

use super::detour::{is_late, looked_up, set_of};
use super::operation::{ChainId, Operation, Position, TableId};
use super::snapshot::{SetState, Snapshot};
use super::transaction::Transaction;
use crate::model::{Base, ChainKind, ElementData, Name, Policy, Rule, Ruleset, Set, SetData, SetFlags};

impl Transaction {
    /// What of this plan for `wanted` is committed first because it would be published too late; it changes nothing for any packet.
    /// Empty when there is nothing of that kind, or when no packet is judged yet by any rule.
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
        let unseen = Unseen { transaction: self, held, made: self.made(held).collect(), late_rules, late_sets };
        staged.extend(unseen.operations().cloned());
        staged.extend(unseen.behind_the_end(wanted));
        staged
    }

    /// Chains that get rules with anonymous sets of intervals.
    fn late_rules(&self) -> HashSet<&ChainId> {
        let chains = self.operations().iter().filter_map(|operation| match operation {
            Operation::AddRule { chain, rule, .. } | Operation::ReplaceRule { chain, rule, .. } => {
                rule.statements.iter().any(is_late).then_some(chain)
            }
            _ => None,
        });
        chains.collect()
    }

    /// Sets of intervals that change where no rule looks at them.
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
        let tables: HashSet<&TableId> = late.iter().map(|(table, _)| *table).collect();
        for table in tables {
            let seen = held.table(table).map(looked_up).unwrap_or_default();
            late.retain(|(of, set)| {
                *of != table || !(gone.contains(of) || seen.contains(&set.name) || self.leads_astray(held, of, set))
            });
        }
        late.into_iter().map(|(table, set)| (table, &set.name)).collect()
    }

    /// The tables that go, those made anew among them: what is staged there would go too.
    fn gone(&self) -> impl Iterator<Item = &TableId> {
        self.operations().iter().filter_map(|operation| match operation {
            Operation::DeleteTable(table) => Some(table),
            _ => None,
        })
    }

    /// Whether a verdict of the set leads to a chain that has yet to be made anew.
    fn leads_astray(&self, held: &Snapshot, table: &TableId, set: &Set) -> bool {
        targets(set).any(|chain| {
            let is_there = held.table(table).is_some_and(|table| table.chain(chain.as_str()).is_some());
            is_there && self.operations().contains(&Operation::DeleteChain(table.chain(chain)))
        })
    }
}

/// The part of a transaction that no packet meets.
struct Unseen<'t> {
    transaction: &'t Transaction,
    held: &'t Snapshot,
    /// Chains that nothing leads to yet.
    made: HashSet<(&'t TableId, &'t Name)>,
    late_rules: HashSet<&'t ChainId>,
    late_sets: HashSet<(&'t TableId, &'t Name)>,
}

impl<'t> Unseen<'t> {
    /// In the order of the transaction.
    fn operations(&self) -> impl Iterator<Item = &'t Operation> {
        // Where rules go in first, everything goes in first that they may name.
        let whole: HashSet<&TableId> = self.late_rules.iter().map(|chain| &chain.table).collect();
        let sets = self.late_sets.iter().map(|(table, _)| *table);
        let tables: HashSet<&TableId> = whole.iter().copied().chain(sets).filter(|table| !self.goes(table)).collect();
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
        let unseen = self.seen_sets(&whole);
        self.transaction.operations().iter().filter(move |operation| {
            let table = operation.table();
            tables.contains(table)
                && match operation {
                    Operation::AddTable { .. } => self.held.table(table).is_none(),
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
                            || (whole.contains(table) && !unseen.contains(&set) && self.stays(set))
                    }),
                    _ => false,
                }
        })
    }

    fn goes(&self, table: &TableId) -> bool {
        self.transaction.gone().any(|gone| gone == table)
    }

    /// Sets of these tables that rules look at.
    fn seen_sets(&self, tables: &HashSet<&'t TableId>) -> HashSet<(&'t TableId, &'t Name)> {
        let held = tables.iter().filter_map(|table| self.held.table(table));
        held.flat_map(|table| looked_up(table).into_iter().map(|name| (&table.id, name))).collect()
    }

    /// Whether the set is there afterwards.
    fn stays(&self, (table, name): (&TableId, &Name)) -> bool {
        self.transaction.operations().iter().any(|operation| match operation {
            Operation::AddSet { table: of, set } | Operation::AddElements { table: of, set } => {
                of == table && set.name == *name
            }
            _ => false,
        })
    }

    /// The new rules of chains that packets come to, behind the end of the old ones.
    fn behind_the_end(&self, wanted: &Ruleset) -> Vec<Operation> {
        let mut behind = Vec::new();
        for table in &wanted.tables {
            let id = TableId::from(table);
            if self.goes(&id) {
                continue;
            }
            for chain in &table.chains {
                let of = id.chain(&chain.name);
                if !self.late_rules.contains(&of) || self.made.contains(&(&of.table, &of.name)) {
                    continue;
                }
                let held = self.held.table(&id).and_then(|table| table.chain(chain.name.as_str()));
                match (held, &chain.kind) {
                    // Where it is made anew, or has rules that nobody can read, it is emptied first.
                    (Some(held), _) if held.unlisted > 0 => continue,
                    (Some(_), _) if self.transaction.operations().contains(&Operation::DeleteChain(of.clone())) => {
                        continue;
                    }
                    (Some(_), _) => {}
                    // A chain at a hook decides by its policy as soon as it is there.
                    (None, ChainKind::Base(Base { policy: Policy::Accept, .. })) => {
                        behind.push(Operation::add_chain(&id, chain));
                    }
                    (None, _) => continue,
                }
                let last = |rule| Operation::AddRule { chain: of.clone(), position: Position::Last, rule };
                behind.push(last(Rule::new().r#return().comment(THE_END)));
                behind.extend(chain.rules.iter().cloned().map(last));
            }
        }
        behind
    }
}

/// Where the verdicts of a set lead.
fn targets(set: &Set) -> impl Iterator<Item = &Name> {
    let elements = if set.data == SetData::Verdict { set.elements.as_slice() } else { &[] };
    elements.iter().filter_map(|element| match element.data.as_deref() {
        Some(ElementData::Verdict(verdict)) => verdict.target(),
        _ => None,
    })
}

/// What takes back what was put in place first: `first` was held before it, `now` is held after it. Contents of sets that were there
/// and that no rule looks at stay as they are.
pub(crate) fn unstaged(staged: &[Transaction], first: &Snapshot, now: &Snapshot) -> Transaction {
    let mut tables = Vec::new();
    let mut rules = Vec::new();
    let (mut chains, mut sets) = (Vec::new(), Vec::new());
    for operation in staged.iter().flat_map(Transaction::operations) {
        let table = operation.table();
        let Some(held) = first.table(table) else {
            if !tables.contains(table) && now.table(table).is_some() {
                tables.push(table.clone());
            }
            continue;
        };
        let Some(present) = now.table(table) else { continue };
        match operation {
            Operation::AddChain { name, .. } if held.chain(name.as_str()).is_none() => {
                let there = present.chain(name.as_str()).map(|chain| table.chain(&chain.name));
                chains.extend(there.filter(|chain| !chains.contains(chain)));
            }
            Operation::AddRule { chain, .. } => {
                let before = held.chain(chain.name.as_str());
                let Some(before) = before else { continue };
                let there = present.chain(chain.name.as_str()).map(|chain| chain.rules.as_slice()).unwrap_or_default();
                let known: HashSet<u64> = before.rules.iter().map(|rule| rule.handle).collect();
                let new = there.iter().map(|rule| rule.handle).filter(|handle| !known.contains(handle));
                for delete in new.map(|handle| Operation::DeleteRule { chain: chain.clone(), handle }) {
                    if !rules.contains(&delete) {
                        rules.push(delete);
                    }
                }
            }
            Operation::AddSet { set, .. } if held.set(set.name.as_str()).is_none() => {
                let delete = |set: &SetState| Operation::DeleteSet { table: table.clone(), set: set.name.clone() };
                let there = present.set(set.name.as_str()).map(delete);
                sets.extend(there.filter(|delete| !sets.contains(delete)));
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

/// The comment of the rule that ends a chain in front of what is put in place behind it.
const THE_END: &str = "what is behind this is about to take over";
