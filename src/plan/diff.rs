//! Computes the operations that turn the held state into the wanted one.
//!
//! Unchanged objects keep their handles and counters. The order of operations is one that the
//! kernel accepts:
//!
//! ```text
//! tables to delete            in a table that stays:
//! tables to replace             1 delete rules, empty chains to delete
//!                               2 delete elements, sets, chains
//!                               3 add chains, policies, sets, elements
//!                               4 add rules in their positions
//! ```
//!
//! Nothing is deleted while a rule still uses it, no interval is added before one that it overlaps
//! is deleted, and nothing is named before it exists. A set or chain with another declaration is
//! deleted in 2 and added in 3; rules that use such a set are deleted in 1 and added in 4.

mod bound;
mod elements;
mod lcs;
mod objects;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use std::borrow::Cow;

use super::bound::with_chains;
use super::operation::Operation;
use super::transaction::Transaction;
use crate::attr::nfta::NFTA_TABLE_NAME;
use crate::bytecode::{KeptParts, Modes, SetMode, Unlowerable, lower_elements, lower_set};
use crate::model::{
    Chain, ChainKind, Family, Kept, Name, Ruleset, Set, SetFlags, Statement, Table, TableFlags, TableId,
};
use crate::state::{ChainState, HookState, OpaqueMessage, SetState, Snapshot, TableState};
use bound::{Bound, is_bound};
use elements::Delta;
use rules::Doomed;

/// Returns the transaction that turns `held` into `wanted`, at the generation of `held`.
///
/// The tables of `wanted` become exactly as declared: chains, sets, rules and objects that others
/// added to them are deleted. Of the other tables, those in `ours` are deleted and the rest is
/// ignored. What packets change is not a difference: counters, and elements that expire of a
/// [dynamic](Set::dynamic) set. Neither are comments of tables and chains, nor attributes that
/// newer kernels may add.
///
/// The elements of every other set become those of `wanted` too: what a program has added since is
/// deleted, unless `wanted` has it. See [`Kernel::apply`](crate::Kernel::apply) for how to keep it.
///
/// A change of a table's flags replaces the whole table. An object that differs is deleted and
/// added again, with the rules that use it, so that what it counted is lost.
///
/// # Errors
/// When a rule or set cannot be lowered; [`Ruleset::validate`] reports more about it.
///
/// ```
/// use nftmesh::model::{Chain, Family, Rule, Ruleset, Table};
/// use nftmesh::plan::diff;
/// use nftmesh::state::Snapshot;
///
/// let chain = Chain::regular("out").rule(Rule::new().accept());
/// let wanted = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(chain));
/// let plan = diff(&Snapshot::default(), &wanted, &[])?;
/// assert_eq!(plan.to_string(), "add table inet mesh\nadd chain inet mesh out\nadd rule inet mesh out accept\n");
/// # Ok::<(), nftmesh::bytecode::Unlowerable>(())
/// ```
pub fn diff(held: &Snapshot, wanted: &Ruleset, ours: &[TableId]) -> Result<Transaction, Unlowerable> {
    let ours: HashSet<&TableId> = ours.iter().collect();
    let named: HashSet<(Family, &Name)> = wanted.tables.iter().map(|table| (table.family, &table.name)).collect();
    let unwanted = |id: &TableId| ours.contains(id) && !named.contains(&(id.family, &id.name));
    let gone = held.tables.iter().filter(|state| unwanted(&state.id));
    let there: HashMap<(Family, &Name), &TableState> =
        held.tables.iter().rev().map(|state| ((state.id.family, &state.id.name), state)).collect();
    let mut plan = gone.fold(Transaction::new(), |plan, state| plan.delete_table(&state.id));
    for table in &wanted.tables {
        plan = match there.get(&(table.family, &table.name)).copied() {
            None => plan.create(table.clone()),
            Some(state) if state.flags & TableFlags::all().bits() != table.flags.bits() => {
                can_be_made_anew(held, state, table)?;
                plan.delete_table(&state.id).create(table.clone())
            }
            Some(state) => {
                let steps = Steps::between(state, table)?;
                let made = steps.rules_made.iter().filter_map(Operation::rule);
                let looked_up: HashSet<&Name> =
                    made.flat_map(|rule| &rule.statements).flat_map(Statement::looked_up).collect();
                let known = table.sets.iter().filter(|set| looked_up.contains(&set.name));
                plan = known.fold(plan, |plan, set| plan.knowing(&state.id, set));
                plan.extend(steps);
                plan
            }
        };
    }
    Ok(plan.at_generation(held.generation))
}

/// The changes of one table, in the order of the fields.
#[derive(Debug, Default)]
struct Steps {
    rules_gone: Vec<Operation>,
    flushed: Vec<Operation>,
    elements_gone: Vec<Operation>,
    sets_gone: Vec<Operation>,
    objects_gone: Vec<Operation>,
    chains_gone: Vec<Operation>,
    chains_made: Vec<Operation>,
    objects_made: Vec<Operation>,
    sets_made: Vec<Operation>,
    rules_made: Vec<Operation>,
}

impl IntoIterator for Steps {
    type Item = Operation;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Vec<Operation>, 10>>;

    fn into_iter(self) -> Self::IntoIter {
        let Steps { rules_gone, flushed, elements_gone, sets_gone, objects_gone, chains_gone, .. } = self;
        let Steps { chains_made, objects_made, sets_made, rules_made, .. } = self;
        [
            rules_gone,
            flushed,
            elements_gone,
            sets_gone,
            objects_gone,
            chains_gone,
            chains_made,
            objects_made,
            sets_made,
            rules_made,
        ]
        .into_iter()
        .flatten()
    }
}

impl Steps {
    fn between(state: &TableState, table: &Table) -> Result<Self, Unlowerable> {
        let mut steps = Steps::default();
        let mut doomed = Doomed::default();
        steps.objects(state, table, &mut doomed);
        steps.sets(state, table, &mut doomed)?;
        let kept = steps.chains(state, table, &mut doomed);
        let sets = Modes::from(table.sets.as_slice());
        let bound = Bound::between(state, table, &sets)?;
        for (chain, kept) in table.chains.iter().zip(kept) {
            let id = || state.id.chain(&chain.name);
            let unread = chain.kept.code::<KeptParts>().is_some_and(|read| read.unlisted > 0);
            let held = match kept {
                // It is deleted and added with its rule.
                _ if chain.kind == ChainKind::Bound => continue,
                Some(kept) if kept.unlisted == 0 => bound.held(&kept.rules),
                // A part that was not read is ignored.
                Some(_) if unread => continue,
                None if unread => return Err(Unlowerable::Unread { table: id().table.to_string(), chain: id().name }),
                // A rule that cannot be listed has no handle either.
                Some(_) => {
                    steps.flushed.push(Operation::FlushChain(id()));
                    Cow::Borrowed(&[][..])
                }
                None => Cow::Borrowed(&[][..]),
            };
            rules::between(&held, &chain.rules, (table, &sets, &bound), &doomed, &id, &mut steps)?;
        }
        steps.rules_made = with_chains(steps.rules_made, &state.id, &table.chains);
        Ok(steps)
    }

    fn sets<'s>(&mut self, state: &'s TableState, table: &Table, doomed: &mut Doomed<'s>) -> Result<(), Unlowerable> {
        let mut held = HeldByName::new(&state.sets, |set| &set.name);
        for set in &table.sets {
            let found = held.find(&set.name);
            let kept = match found {
                Some(found) if maps_to_doomed(found, doomed) => None,
                Some(found) if lower_set(set)?.same(&found.code) => Some(found),
                Some(_) | None => None,
            };
            match (kept, kept.map(|kept| elements::between(kept, set)).transpose()?) {
                (Some(_), Some(Delta::Same)) => {}
                // The elements of a constant set that is in use cannot be changed.
                (Some(_), Some(delta)) if !set.flags.contains(SetFlags::CONSTANT) => self.elements(state, set, delta),
                _ => {
                    if let Some(found) = found {
                        doomed.replaced.insert(&found.name);
                        doomed.sets.insert(&found.name);
                        self.sets_gone.push(delete_set(state, &found.name));
                    }
                    self.sets_made.push(Operation::AddSet { table: state.id.clone(), set: set.clone() });
                }
            }
        }
        // An anonymous set is deleted with its rule.
        for set in held.rest().filter(|set| set.code.flags & NFT_SET_ANONYMOUS == 0) {
            doomed.sets.insert(&set.name);
            self.sets_gone.push(delete_set(state, &set.name));
        }
        Ok(())
    }

    fn elements(&mut self, state: &TableState, set: &Set, delta: Delta) {
        let table = || state.id.clone();
        match delta {
            Delta::Same => {}
            Delta::Changed { gone, made } => {
                self.elements_gone.extend(gone.map(|set| Operation::DeleteElements { table: table(), set: *set }));
                self.sets_made.extend(made.map(|set| Operation::AddElements { table: table(), set: *set }));
            }
            Delta::Refill => {
                self.elements_gone.push(Operation::FlushSet { table: table(), set: set.name.clone() });
                if lower_elements(set).next().is_some() {
                    self.sets_made.push(Operation::AddElements { table: table(), set: set.clone() });
                }
            }
        }
    }

    /// Returns for every wanted chain the held one that stays for it.
    fn chains<'s>(
        &mut self,
        state: &'s TableState,
        table: &Table,
        doomed: &mut Doomed<'s>,
    ) -> Vec<Option<&'s ChainState>> {
        let mut held = HeldByName::new(&state.chains, |chain| &chain.name);
        let mut kept = Vec::with_capacity(table.chains.len());
        for chain in &table.chains {
            let found = held.find(&chain.name);
            let place = found.map(|found| ChainMatch::of(state.id.family, found, chain));
            match (found, place) {
                _ if chain.kind == ChainKind::Bound => kept.push(None),
                (Some(found), Some(ChainMatch::Same)) => kept.push(Some(found)),
                (Some(found), Some(ChainMatch::OtherPolicy)) => {
                    // Nothing else of an existing chain can be changed.
                    let (comment, kept_parts) = (None, Kept::default());
                    let only =
                        Chain { comment, kept: kept_parts, ..Chain::of_kind(chain.name.clone(), chain.kind.clone()) };
                    self.chains_made.push(Operation::add_chain(&state.id, &only));
                    kept.push(Some(found));
                }
                (found, _) => {
                    if let Some(found) = found {
                        self.remove_chain(state, found, doomed);
                    }
                    self.chains_made.push(Operation::add_chain(&state.id, chain));
                    kept.push(None);
                }
            }
        }
        // A bound chain is deleted with its rule.
        for chain in held.rest().filter(|chain| !is_bound(chain)) {
            self.remove_chain(state, chain, doomed);
        }
        kept
    }

    fn remove_chain<'s>(&mut self, state: &TableState, chain: &'s ChainState, doomed: &mut Doomed<'s>) {
        let id = state.id.chain(&chain.name);
        if !chain.rules.is_empty() || chain.unlisted > 0 {
            self.flushed.push(Operation::FlushChain(id.clone()));
        }
        self.chains_gone.push(Operation::DeleteChain(id));
        doomed.chains.insert(&chain.name);
    }
}

fn delete_set(state: &TableState, name: &Name) -> Operation {
    Operation::DeleteSet { table: state.id.clone(), set: name.clone() }
}

/// Returns whether elements of a set refer to objects to be deleted.
fn maps_to_doomed(state: &SetState, doomed: &Doomed<'_>) -> bool {
    state.elements.iter().any(|element| rules::leads_to(element, &doomed.objects))
}

/// Checks that a table can be deleted and added again with all its contents.
fn can_be_made_anew(held: &Snapshot, state: &TableState, table: &Table) -> Result<(), Unlowerable> {
    let unread = |chain: &&Chain| chain.kept.code::<KeptParts>().is_some_and(|read| read.unlisted > 0);
    if let Some(chain) = table.chains.iter().find(unread) {
        return Err(Unlowerable::Unread { table: state.id.to_string(), chain: chain.name.clone() });
    }
    let (family, name) = (state.id.family.number(), state.id.name.as_str());
    let within = |message: &OpaqueMessage| {
        let named = crate::bytecode::attributes(&message.attributes).find(|(kind, _)| *kind == NFTA_TABLE_NAME);
        message.family == family && named.is_some_and(|(_, table)| table.strip_suffix(&[0]) == Some(name.as_bytes()))
    };
    match held.opaque.iter().any(within) {
        true => Err(Unlowerable::Unnamed { table: state.id.to_string() }),
        false => Ok(()),
    }
}

/// How a chain in the kernel compares with the wanted one of that name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ChainMatch {
    /// Hooked elsewhere, or not hooked.
    Other,
    /// Only the policy differs.
    OtherPolicy,
    /// As wanted.
    Same,
}

impl ChainMatch {
    fn of(family: Family, state: &ChainState, chain: &Chain) -> ChainMatch {
        let flags = chain.kept.code::<KeptParts>().map_or(0, |read| read.flags);
        if state.flags & !NFT_CHAIN_BASE != flags {
            return ChainMatch::Other;
        }
        match (&state.hook, &chain.kind) {
            (None, ChainKind::Regular) => ChainMatch::Same,
            (Some(hook), kind) => match HookState::of(family, kind) {
                Some(wanted) if !hook.is_at(&wanted) => ChainMatch::Other,
                Some(wanted) if hook.policy == wanted.policy => ChainMatch::Same,
                Some(_) => ChainMatch::OtherPolicy,
                None => ChainMatch::Other,
            },
            _ => ChainMatch::Other,
        }
    }
}

/// Held objects, found by name.
struct HeldByName<'s, T> {
    all: &'s [T],
    places: HashMap<&'s Name, usize>,
    found: Vec<bool>,
}

impl<'s, T> HeldByName<'s, T> {
    fn new(all: &'s [T], name: impl Fn(&'s T) -> &'s Name) -> Self {
        let mut places = HashMap::with_capacity(all.len());
        for (index, state) in all.iter().enumerate() {
            places.entry(name(state)).or_insert(index);
        }
        HeldByName { all, places, found: vec![false; all.len()] }
    }

    fn find(&mut self, name: &Name) -> Option<&'s T> {
        let index = *self.places.get(name)?;
        if let Some(found) = self.found.get_mut(index) {
            *found = true;
        }
        self.all.get(index)
    }

    fn rest(self) -> impl Iterator<Item = &'s T> {
        self.all.iter().zip(self.found).filter(|(_, found)| !found).map(|(state, _)| state)
    }
}

/// Returns how a set stores its keys.
fn mode(set: &Set) -> SetMode {
    SetMode::of_set(set)
}

const NFT_SET_ANONYMOUS: u32 = 0x1;
const NFT_CHAIN_BASE: u32 = 0x1;
