//! The steps from one rule set to another during which every packet meets one of the two, and
//! never a mixture.
//!
//! Rules switch over at one moment. The contents of a set of intervals do not: they are published
//! after the rules, one set after the other, and until then a lookup finds the old contents. Other
//! sets change with the rules, but a packet that reached the old rules before that moment may do a
//! lookup after it: 2 of 2,747 connections got past in 400 changes of a set of groups and of the
//! rule that uses it. A set that rules use is therefore never changed together with rules, and one
//! of intervals not together with another set either. Where it would be, the steps go through a
//! rule set that means the same as the wanted one and has the new contents under another name,
//! `NAME.next`: its set is filled first, while no rule uses it, and then only rules switch over.
//! After that no rule uses the old name, and the same procedure leads to the wanted rule set.
//!
//! ```text
//! held          rules use @a with the old contents
//! first         @a.next with the new contents is added; no rule uses it
//! rules alone   rules use @a.next; @a is deleted and added with the new contents; no rule uses it
//! wanted        rules use @a; @a.next is deleted
//! ```
//! Each step depends only on the held and the wanted state: a process killed in between leaves one
//! of these states, and the next run continues from there.

use std::collections::{HashMap, HashSet};

use super::operation::{Operation, State};
use super::transaction::Transaction;
use crate::bytecode::Expr;
use crate::model::{
    ChainKind, Element, Family, Interval, Key, Name, Ruleset, Set, SetFlags, SetRef, Statement, Table, TableId,
};
use crate::state::{ChainState, Snapshot, TableState};

/// One transaction of the sequence.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) transaction: Transaction,
    pub(crate) kind: StepKind,
}

/// What packets observe of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepKind {
    /// Nothing: no rule that they reach uses it.
    First,
    /// One switch, after which they meet the wanted rule set, which is then complete.
    Last,
    /// One switch, after which they meet the wanted rules, though under other names of sets.
    Switch,
}

/// Returns the next transaction from `held` to `wanted`, where `plan` computes the direct one.
pub(crate) fn step<E>(
    held: &Snapshot,
    wanted: &Ruleset,
    plan: impl Fn(&Snapshot, &Ruleset) -> Result<Transaction, E>,
) -> Result<Step, E> {
    let direct = plan(held, wanted)?;
    let by = detour(held, wanted, &direct);
    let (transaction, kind) = match &by {
        Some(by) => (plan(held, by)?.with_sets_again(wanted), StepKind::Switch),
        None => (direct, StepKind::Last),
    };
    let first = transaction.staged(held, by.as_ref().unwrap_or(wanted));
    Ok(if first.is_empty() { Step { transaction, kind } } else { Step { transaction: first, kind: StepKind::First } })
}

/// Returns the intermediate rule set on the way to `wanted`, where `plan` is the direct
/// transaction; `None` when the direct one is good.
fn detour(held: &Snapshot, wanted: &Ruleset, plan: &Transaction) -> Option<Ruleset> {
    let mut changes: Vec<Change<'_>> = Vec::new();
    let mut places: HashMap<(&TableId, &Name), Option<usize>> = HashMap::new();
    let mut sets = None;
    for operation in plan.operations() {
        let Some(set) = set_of(operation) else { continue };
        let sets = sets.get_or_insert_with(|| ThereAndWanted::of(held, wanted));
        let place = *places.entry(set).or_insert_with(|| {
            changes.push(sets.change(set)?);
            Some(changes.len() - 1)
        });
        if let Some(change) = place.and_then(|place| changes.get_mut(place)) {
            change.operations.push(operation);
        }
    }
    let tables: HashMap<&TableId, &TableState> = changes.iter().map(|change| (change.table, change.held)).collect();
    let seen: HashMap<&TableId, HashSet<&Name>> =
        tables.into_iter().map(|(table, held)| (table, looked_up(held))).collect();
    changes.retain(|change| seen.get(change.table).is_some_and(|seen| seen.contains(change.name)));
    if changes.is_empty() {
        return None;
    }
    let is_interval = |change: &Change<'_>| change.set.flags.contains(SetFlags::INTERVAL);
    let switches = plan.switches(held);
    let several = changes.len() > 1 && changes.iter().any(is_interval);
    if !switches && !several && !changes.iter().any(|change| is_interval(change) && change.replaces()) {
        return None;
    }
    // The detour is a switch of rules, so no set at all may change with it.
    let mut late: HashMap<&TableId, Vec<&Change<'_>>> = HashMap::new();
    for change in changes.iter().filter(|change| change.may_have_another_name()) {
        late.entry(change.table).or_default().push(change);
    }
    // Opaque statements may use any set.
    late.retain(|_, changes| changes.first().is_some_and(|change| !is_opaque(change.wanted)));
    if late.is_empty() {
        return None;
    }
    let renamed = |table: &Table| {
        let mut by = table.clone();
        let id = TableId::from(table);
        let mut taken: HashSet<Name> = table.sets.iter().map(|set| set.name.clone()).collect();
        let mut names = HashMap::new();
        for change in late.get(&id).into_iter().flatten() {
            let seen = seen.get(change.table);
            let free = |name: &Name| !taken.contains(name) && !seen.is_some_and(|seen| seen.contains(name));
            let next = (1..).map(|number| next_name(change.name, number)).find(free)?;
            taken.insert(next.clone());
            names.insert(change.name, next);
        }
        rename(&mut by, &names);
        Some(by)
    };
    wanted.tables.iter().map(renamed).collect()
}

/// The changes of a set that exists and stays wanted.
struct Change<'a> {
    table: &'a TableId,
    name: &'a Name,
    held: &'a TableState,
    wanted: &'a Table,
    set: &'a Set,
    operations: Vec<&'a Operation>,
}

/// Sets by the names of their table and their own: the existing and the wanted ones.
struct ThereAndWanted<'a> {
    there: HashMap<(&'a TableId, &'a Name), &'a TableState>,
    wanted: HashMap<(Family, &'a Name, &'a Name), (&'a Table, &'a Set)>,
}

impl<'a> ThereAndWanted<'a> {
    fn of(held: &'a Snapshot, wanted: &'a Ruleset) -> Self {
        let there =
            held.tables.iter().flat_map(|table| table.sets.iter().map(move |set| ((&table.id, &set.name), table)));
        let wanted = wanted
            .tables
            .iter()
            .flat_map(|table| table.sets.iter().map(move |set| ((table.family, &table.name, &set.name), (table, set))));
        ThereAndWanted { there: there.collect(), wanted: wanted.collect() }
    }

    fn change(&self, (table, name): (&'a TableId, &'a Name)) -> Option<Change<'a>> {
        let held = *self.there.get(&(table, name))?;
        let (wanted, set) = *self.wanted.get(&(table.family, &table.name, name))?;
        Some(Change { table, name, held, wanted, set, operations: Vec::new() })
    }
}

impl Change<'_> {
    /// Returns whether a packet could match neither the old nor the new element: kernels before
    /// 6.17 may find nothing for a moment while an interval is replaced by another that has some
    /// of the same keys (nft_set_rbtree.c, "continue traversal if element is inactive").
    fn replaces(&self) -> bool {
        let (mut gone, mut made) = (Vec::new(), Vec::new());
        for operation in &self.operations {
            match operation {
                Operation::DeleteElements { set, .. } => gone.extend(&set.elements),
                Operation::AddElements { set, .. } | Operation::AddSet { set, .. } => made.extend(&set.elements),
                // All existing elements.
                _ => return true,
            }
        }
        overlap(gone, made)
    }

    /// Returns whether the set can be renamed: elements that packets added cannot be moved.
    fn may_have_another_name(&self) -> bool {
        !self.set.flags.contains(SetFlags::DYNAMIC)
    }
}

/// Returns whether a rule of the table has an opaque statement.
fn is_opaque(table: &Table) -> bool {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    rules.flat_map(|rule| &rule.statements).any(|part| matches!(part, Statement::Opaque(_)))
}

impl Transaction {
    /// Adds deleted sets that are still wanted again with their new contents; these are new sets,
    /// which no rule uses until the next step.
    fn with_sets_again(mut self, wanted: &Ruleset) -> Self {
        let gone = self.operations().iter().filter_map(|operation| match operation {
            Operation::DeleteSet { table, set } => Some((table, set)),
            _ => None,
        });
        let mut gone: HashSet<(&TableId, &Name)> = gone.collect();
        for operation in self.operations() {
            if let Operation::AddSet { table, set } = operation {
                gone.remove(&(table, &set.name));
            }
        }
        let mut again = Vec::new();
        for table in wanted.tables.iter().filter(|_| !gone.is_empty()) {
            let id = TableId::from(table);
            let sets = table.sets.iter().filter(|set| gone.contains(&(&id, &set.name)));
            again.extend(sets.map(|set| Operation::AddSet { table: id.clone(), set: set.clone() }));
        }
        self.extend(again);
        self
    }

    /// Returns whether the transaction changes at one moment what packets meet: rules that they
    /// may reach, or chains at a hook.
    pub(super) fn switches(&self, held: &Snapshot) -> bool {
        let made = self.made(held);
        let hooked: HashSet<(&TableId, &Name)> =
            chains(held).filter(|(.., chain)| chain.hook.is_some()).map(named).collect();
        self.operations().iter().any(|operation| match operation {
            Operation::AddChain { kind, .. } => *kind != ChainKind::Regular,
            // Nothing leads to a chain that is only being added.
            Operation::AddRule { chain, .. } => !made.contains(&(&chain.table, &chain.name)),
            Operation::DeleteChain(chain) | Operation::DestroyChain(chain) => {
                hooked.contains(&(&chain.table, &chain.name))
            }
            Operation::DeleteRule { .. } | Operation::DestroyRule { .. } | Operation::FlushChain(_) => true,
            Operation::FlushRuleset(_) | Operation::ReplaceRule { .. } => true,
            Operation::DeleteTable(table) | Operation::DestroyTable(table) | Operation::FlushTable(table) => {
                held.table(table).is_some_and(|table| !table.chains.is_empty())
            }
            Operation::Restore { state, .. } => matches!(**state, State::Chain(_) | State::Rule { .. }),
            _ => false,
        })
    }

    /// Returns the regular chains that it adds where none of that name exist.
    pub(super) fn made<'t>(&'t self, held: &'t Snapshot) -> HashSet<(&'t TableId, &'t Name)> {
        let added = self.operations().iter().filter_map(|operation| match operation {
            Operation::AddChain { table, name, kind: ChainKind::Regular, .. } => Some((table, name)),
            _ => None,
        });
        let mut made: HashSet<_> = added.collect();
        if !made.is_empty() {
            for chain in chains(held).map(named) {
                made.remove(&chain);
            }
        }
        made
    }
}

/// Returns every held chain.
pub(super) fn chains(held: &Snapshot) -> impl Iterator<Item = (&TableId, &ChainState)> {
    held.tables.iter().flat_map(|table| table.chains.iter().map(|chain| (&table.id, chain)))
}

/// Returns the names of a chain and its table.
pub(super) fn named<'s>((table, chain): (&'s TableId, &'s ChainState)) -> (&'s TableId, &'s Name) {
    (table, &chain.name)
}

/// Returns the set that an operation concerns.
pub(super) fn set_of(operation: &Operation) -> Option<(&TableId, &Name)> {
    match operation {
        Operation::AddElements { table, set }
        | Operation::AddSet { table, set }
        | Operation::DeleteElements { table, set }
        | Operation::DestroyElements { table, set } => Some((table, &set.name)),
        Operation::DeleteSet { table, set }
        | Operation::DestroySet { table, set }
        | Operation::FlushSet { table, set } => Some((table, set)),
        _ => None,
    }
}

/// Returns the named sets that rules of a table use: all sets if there is an opaque expression,
/// since it may use any.
pub(super) fn looked_up(table: &TableState) -> HashSet<&Name> {
    let exprs = || table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    if exprs().any(|expr| matches!(expr, Expr::Opaque { .. })) {
        return table.sets.iter().map(|set| &set.name).collect();
    }
    exprs().filter_map(Expr::named_set).collect()
}

/// Returns whether any interval of one side has a key in common with one of the other. The kernel
/// replaces concatenations as a whole.
fn overlap(gone: Vec<&Element>, made: Vec<&Element>) -> bool {
    let single = |elements: Vec<&'_ Element>| -> Vec<(Interval, bool)> {
        let intervals = elements.into_iter().filter_map(|element| match &element.key {
            Key::Single(interval) => Some((interval.clone(), false)),
            Key::Concat(_) => None,
        });
        intervals.collect()
    };
    let mut all = single(gone);
    all.extend(single(made).into_iter().map(|(interval, _)| (interval, true)));
    all.sort_by(|(a, _), (b, _)| a.low.cmp(&b.low));
    let mut reach: [Option<&Interval>; 2] = [None, None];
    for (interval, side) in &all {
        let [ours, others] = if *side { [1, 0] } else { [0, 1] };
        let reaches = |before: &&Interval| before.high >= interval.low;
        if reach.get(others).copied().flatten().is_some_and(|before| reaches(&before)) {
            return true;
        }
        if let Some(widest) = reach.get_mut(ours) {
            if widest.is_none_or(|before| before.high < interval.high) {
                *widest = Some(interval);
            }
        }
    }
    false
}

/// Returns a name that nft can read, however long the original is.
fn next_name(name: &Name, number: u32) -> Name {
    let number = if number == 1 { String::new() } else { number.to_string() };
    let name = name.as_str();
    // NFT_SET_MAXNAMELEN is 256 with the terminating NUL.
    let end = (0..=name.len().min(255 - ".next".len() - number.len())).rev().find(|end| name.is_char_boundary(*end));
    let name = name.get(..end.unwrap_or(0)).unwrap_or_default();
    Name::from(format!("{name}.next{number}"))
}

fn rename(table: &mut Table, names: &HashMap<&Name, Name>) {
    if names.is_empty() {
        return;
    }
    for set in &mut table.sets {
        if let Some(next) = names.get(&set.name) {
            set.name = next.clone();
        }
    }
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        for statement in &mut rule.statements {
            for set in statement.sets_mut() {
                let SetRef::Named(looked_up) = set else { continue };
                if let Some(next) = names.get(&*looked_up) {
                    *looked_up = next.clone();
                }
            }
        }
    }
}

/// Returns whether a statement uses an anonymous set of intervals.
pub(super) fn is_late(statement: &Statement) -> bool {
    statement.sets().any(|set| match set {
        SetRef::Anonymous(elements) => elements.iter().any(|element| element.key.is_interval()),
        SetRef::Named(_) => false,
    })
}

#[cfg(test)]
mod tests;
