//! Elements that only name their set: finds the declarations that a transaction lacks, and adds
//! them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::operation::{Operation, State};
use super::transaction::{Transaction, with_elements};
use crate::bytecode::raise_set;
use crate::model::{Set, SetData, SetId};
use crate::state::SetState;

impl Transaction {
    /// Returns the sets whose elements are added or deleted and that the transaction does not
    /// declare before.
    pub(crate) fn sets_undeclared(&self) -> BTreeSet<SetId> {
        let mut undeclared = BTreeSet::new();
        self.each_undeclared(|_, id, declared| {
            if declared.is_none() {
                undeclared.insert(id);
            }
        });
        undeclared
    }

    /// Returns the index of the first operation on elements of this set that lacks its
    /// declaration.
    pub(crate) fn first_undeclared(&self, set: &SetId) -> Option<usize> {
        let mut first = None;
        self.each_undeclared(|index, id, _| {
            if id == *set {
                first = first.or(Some(index));
            }
        });
        first
    }

    /// Returns the transaction completed with its own declarations and with these.
    pub(crate) fn with_declarations(&self, known: &BTreeMap<SetId, Set>) -> Cow<'_, Self> {
        let mut found: Vec<(usize, Set)> = Vec::new();
        self.each_undeclared(|index, id, declared| {
            found.extend(declared.or(known.get(&id)).map(|set| (index, set.clone())));
        });
        if found.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut operations = self.operations().to_vec();
        for (index, declaration) in found {
            match operations.get_mut(index) {
                Some(Operation::AddElements { set, .. }) => {
                    *set = with_elements(&declaration, std::mem::take(&mut set.elements));
                }
                Some(Operation::DeleteElements { set, .. } | Operation::DestroyElements { set, .. }) => {
                    *set = with_elements(&declaration, std::mem::take(&mut set.elements));
                    by_key(set);
                }
                _ => {}
            }
        }
        let mut declared = self.emptied();
        declared.extend(operations);
        Cow::Owned(declared)
    }

    /// Calls `found` with every operation on elements without a declaration, and with the earlier
    /// declaration in the transaction, if any.
    fn each_undeclared<'t>(&'t self, mut found: impl FnMut(usize, SetId, Option<&Set>)) {
        // Most transactions have none, and need no list of their declarations.
        if !self.operations().iter().any(lacks_declaration) {
            return;
        }
        let mut declared: BTreeMap<SetId, Cow<'t, Set>> = BTreeMap::new();
        for (index, operation) in self.operations().iter().enumerate() {
            match operation {
                Operation::AddElements { table, set }
                | Operation::DeleteElements { table, set }
                | Operation::DestroyElements { table, set }
                    if lacks_declaration(operation) =>
                {
                    let id = table.set(&set.name);
                    let declaration = declared.get(&id).map(|set| &**set);
                    found(index, id, declaration);
                }
                Operation::AddSet { table, set } | Operation::AddElements { table, set } => {
                    declared.insert(table.set(&set.name), Cow::Borrowed(set));
                }
                Operation::Restore { table, state } => {
                    if let State::Set(SetState { name, code, .. }) = &**state {
                        declared.remove(&table.set(name));
                        let set = raise_set(name, code, &[]).ok();
                        declared.extend(set.map(|set| (table.set(name), Cow::Owned(set))));
                    }
                }
                Operation::DeleteSet { table, set } | Operation::DestroySet { table, set } => {
                    declared.remove(&table.set(set));
                }
                Operation::DeleteTable(table) | Operation::DestroyTable(table) => {
                    declared.retain(|id, _| id.table != *table);
                }
                Operation::FlushRuleset(family) => {
                    declared.retain(|id, _| family.is_some_and(|family| id.table.family != family));
                }
                _ => {}
            }
        }
    }
}

/// Leaves the keys of elements to be deleted, where one of them lacks what it maps to. The kernel
/// reads no more than the key (`nft_del_setelem`, net/netfilter/nf_tables_api.c, v6.12).
fn by_key(set: &mut Set) {
    if set.data != SetData::None && set.elements.iter().any(|element| element.data.is_none()) {
        set.data = SetData::None;
        set.elements.iter_mut().for_each(|element| element.data = None);
    }
}

/// Returns whether the operation adds or deletes elements of a set that it only names.
fn lacks_declaration(operation: &Operation) -> bool {
    match operation {
        Operation::AddElements { set, .. }
        | Operation::DeleteElements { set, .. }
        | Operation::DestroyElements { set, .. } => !set.is_declared(),
        _ => false,
    }
}
