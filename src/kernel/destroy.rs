//! Operations that delete what may be absent, where the kernel has none or one that does damage.
//!
//! Linux has them since 6.3 (`NFT_MSG_DESTROY*`). Of an interval it looks for the two ends one by
//! one, also there: an interval that starts where another one starts takes the start of the other
//! and leaves its end (`nf_tables_delsetelem`, net/netfilter/nf_tables_api.c, v6.12). So elements
//! of such sets are looked for here on every kernel. What is found is deleted in a transaction
//! that holds only as long as nobody commits.

use std::borrow::Cow;
use std::collections::HashSet;

use super::dump::{Found, Query};
use super::live::Kernel;
use crate::attr::AttributeWriter;
use crate::attr::nfta::{NFTA_OBJ_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_RULE_HANDLE};
use crate::bytecode::{ElementCode, SetMode, lower_elements};
use crate::error::{Error, Kind, Result};
use crate::model::{ChainId, Family, Name, Set, SetFlags, SetId, TableId};
use crate::netlink::{self, kind};
use crate::plan::{Operation, State, Transaction};
use crate::state::SetState;

impl Kernel {
    /// The transaction as this kernel can take it.
    pub(super) fn settled<'t>(&mut self, transaction: Cow<'t, Transaction>) -> Result<Cow<'t, Transaction>> {
        if !self.must_settle(&transaction)? {
            return Ok(transaction);
        }
        let can = self.can_destroy()?;
        let pinned = match transaction.generation() {
            Some(_) => transaction,
            None => Cow::Owned(transaction.into_owned().at_generation(self.generation()?)),
        };
        let mut settled = Vec::with_capacity(pinned.operations().len());
        for (index, operation) in pinned.operations().iter().enumerate() {
            let before = pinned.operations().get(..index).unwrap_or_default();
            settled.push(match operation {
                Operation::DestroyElements { table, set } if !can || is_of_ends(set) => {
                    let set = self.those_there(table, set, before)?;
                    Operation::DeleteElements { table: table.clone(), set }
                }
                operation if can => operation.clone(),
                operation => self.settle(operation, before)?,
            });
        }
        Ok(Cow::Owned(if can { pinned.with_operations(settled) } else { pinned.settled(settled) }))
    }

    /// Whether the kernel has to be asked what there is of what the transaction destroys.
    pub(super) fn must_settle(&mut self, transaction: &Transaction) -> Result<bool> {
        let mut destroys = transaction.operations().iter().filter(|operation| operation.destroys()).peekable();
        if destroys.peek().is_none() {
            return Ok(false);
        }
        let of_ends =
            |operation: &Operation| matches!(operation, Operation::DestroyElements { set, .. } if is_of_ends(set));
        Ok(destroys.any(of_ends) || !self.can_destroy()?)
    }

    /// Asks the kernel, once, whether it can destroy, by a chain of a table that does not exist.
    fn can_destroy(&mut self) -> Result<bool> {
        if let Some(can) = self.destroys {
            return Ok(can);
        }
        let table = TableId::new(Family::Inet, "nftmesh asks whether this kernel has destroy");
        let attributes = netlink::chain_attributes(&table.name, &Name::from("."));
        let first = self.sequence;
        self.sequence = first.wrapping_add(3);
        let message = (kind::DESTROYCHAIN, first.wrapping_add(1), table.family.number());
        let (acks, _) = self.exchange(&netlink::batch_of(first, message, &attributes))?;
        let can = match acks.iter().find(|ack| ack.errno != 0).map(|ack| ack.errno) {
            // It looked for the table.
            None | Some(libc::ENOENT) => true,
            Some(libc::EPERM) => return Ok(true),
            Some(_) => false,
        };
        self.destroys = Some(can);
        Ok(can)
    }

    /// A deletion of what an operation destroys, or the operation itself where there is nothing to
    /// delete.
    fn settle(&mut self, operation: &Operation, before: &[Operation]) -> Result<Operation> {
        let Some(deletion) = operation.deletion() else { return Ok(operation.clone()) };
        let (Some(table), false) = (operation.table(), matches!(operation, Operation::DestroyTable(_))) else {
            return Ok(operation.clone());
        };
        // In a table that is not there, deletions are refused as they are by a kernel that can destroy.
        let table = match made(before, |made| table_made(made, table)) {
            Some(made) => made,
            None => self.is_there(kind::GETTABLE, table, &netlink::table_attribute(&table.name))?,
        };
        let is_there = !table || self.holds(operation, before)?;
        Ok(if is_there { deletion } else { operation.clone() })
    }

    /// Whether what an operation destroys is there once the operations before it are done.
    fn holds(&mut self, operation: &Operation, before: &[Operation]) -> Result<bool> {
        let made = |is_it: &dyn Fn(&Operation) -> Option<bool>, table: &TableId| {
            made(before, |made| is_it(made).or(table_made(made, table).filter(|made| !made)))
        };
        match operation {
            Operation::DestroyChain(id) => match made(&|made| chain_made(made, id), &id.table) {
                Some(made) => Ok(made),
                None => {
                    let attributes = netlink::chain_attributes(&id.table.name, &id.name);
                    self.is_there(kind::GETCHAIN, &id.table, &attributes)
                }
            },
            Operation::DestroyObject { table, kind: of, name } => {
                match made(&|made| object_made(made, table, of, name), table) {
                    Some(made) => Ok(made),
                    None => self.has_object(table, of, name),
                }
            }
            Operation::DestroyRule { chain, handle } => {
                let gone = |made: &Operation| match made {
                    Operation::DeleteRule { chain: of, handle: other }
                    | Operation::DestroyRule { chain: of, handle: other } => {
                        (of == chain && other == handle).then_some(false)
                    }
                    Operation::FlushChain(of) => (of == chain).then_some(false),
                    Operation::FlushTable(table) => (*table == chain.table).then_some(false),
                    made => chain_made(made, chain).filter(|made| !made),
                };
                match made(&gone, &chain.table) {
                    Some(made) => Ok(made),
                    None => {
                        let mut attributes = netlink::set_attributes(&chain.table.name, &chain.name);
                        AttributeWriter::new(&mut attributes).be64(NFTA_RULE_HANDLE, handle.0);
                        self.is_there(kind::GETRULE, &chain.table, &attributes)
                    }
                }
            }
            Operation::DestroySet { table, set } => {
                let id = table.set(set);
                match made(&|made| set_made(made, &id), table) {
                    Some(made) => Ok(made),
                    None => self.is_there(kind::GETSET, table, &netlink::set_attributes(&table.name, set)),
                }
            }
            _ => Ok(false),
        }
    }

    fn has_object(&mut self, table: &TableId, of: &str, name: &Name) -> Result<bool> {
        let mut attributes = Vec::new();
        let mut writer = AttributeWriter::new(&mut attributes);
        let written = writer.text(NFTA_OBJ_TABLE, table.name.as_str());
        let written = written.and_then(|()| writer.text(NFTA_OBJ_NAME, name.as_str()));
        written.map_err(|error| Error::new(Kind::Invalid, error))?;
        if of == "flowtable" {
            return self.is_there(kind::GETFLOWTABLE, table, &attributes);
        }
        // One of an unknown kind is refused when it is encoded.
        let Some(number) = netlink::object_number(of) else { return Ok(true) };
        AttributeWriter::new(&mut attributes).be32(NFTA_OBJ_TYPE, number);
        self.is_there(kind::GETOBJ, table, &attributes)
    }

    /// The declaration of a set with those of its elements that are there once these operations
    /// are done.
    fn those_there(&mut self, table: &TableId, set: &Set, before: &[Operation]) -> Result<Set> {
        let mut held: HashSet<At> = HashSet::new();
        let id = table.set(&set.name);
        let is_new = |made: &Operation| set_made(made, &id).or(table_made(made, table)).is_some_and(|made| !made);
        let start = before.iter().rposition(is_new);
        if start.is_none() {
            held.extend(self.set_state(&id)?.into_iter().flat_map(|state| state.elements).map(|code| at(&code)));
        }
        for operation in before.get(start.map_or(0, |start| start + 1)..).unwrap_or_default() {
            match operation {
                Operation::AddElements { table: of, set: added } | Operation::AddSet { table: of, set: added }
                    if of == table && added.name == set.name =>
                {
                    held.extend(codes(added)?.iter().map(at));
                }
                Operation::DeleteElements { table: of, set: gone }
                | Operation::DestroyElements { table: of, set: gone }
                    if of == table && gone.name == set.name =>
                {
                    for code in codes(gone)? {
                        held.remove(&at(&code));
                    }
                }
                Operation::FlushSet { table: of, set: gone } if of == table && *gone == set.name => held.clear(),
                Operation::Restore { table: of, state } if of == table => {
                    if let State::Set(SetState { name, elements, .. }) = &**state {
                        held.extend(elements.iter().filter(|_| *name == set.name).map(at));
                    }
                }
                _ => {}
            }
        }
        let mut there = Set { elements: Vec::new(), ..set.clone() };
        let mut alone = there.clone();
        for element in &set.elements {
            alone.elements = vec![element.clone()];
            if codes(&alone)?.iter().all(|code| held.contains(&at(code))) {
                there.elements.append(&mut alone.elements);
            }
        }
        Ok(there)
    }

    fn is_there(&mut self, kind: u16, table: &TableId, attributes: &[u8]) -> Result<bool> {
        self.drain()?;
        let query = Query { kind, family: table.family.number(), attributes };
        Ok(self.get(query, |_| Ok(()))? == Found::One)
    }
}

/// Whether its elements are kept as two ends each.
fn is_of_ends(set: &Set) -> bool {
    set.flags.contains(SetFlags::INTERVAL) && SetMode::of_set(set) != SetMode::Ranges
}

/// What of an element says which one it is.
type At = (Vec<u8>, Option<Vec<u8>>, u32);

fn at(code: &ElementCode) -> At {
    (code.key.to_vec(), code.key_end.as_ref().map(|end| end.to_vec()), code.flags)
}

fn codes(set: &Set) -> Result<Vec<ElementCode>> {
    lower_elements(set).collect::<Result<_, _>>().map_err(|error| Error::new(Kind::Invalid, error))
}

/// What the last of these operations that says anything says: whether something is there.
fn made(before: &[Operation], answer: impl Fn(&Operation) -> Option<bool>) -> Option<bool> {
    before.iter().rev().find_map(answer)
}

/// Whether an operation makes a table (`true`), deletes it (`false`), or neither.
fn table_made(operation: &Operation, id: &TableId) -> Option<bool> {
    match operation {
        Operation::AddTable { table, .. } => (table == id).then_some(true),
        Operation::DeleteTable(table) | Operation::DestroyTable(table) => (table == id).then_some(false),
        Operation::FlushRuleset(family) => family.is_none_or(|family| family == id.family).then_some(false),
        Operation::Restore { table, state } => (table == id && matches!(**state, State::Table(_))).then_some(true),
        _ => None,
    }
}

/// The same of a chain.
fn chain_made(operation: &Operation, id: &ChainId) -> Option<bool> {
    match operation {
        Operation::AddChain { table, name, .. } => (*table == id.table && *name == id.name).then_some(true),
        Operation::DeleteChain(chain) | Operation::DestroyChain(chain) => (chain == id).then_some(false),
        Operation::Restore { table, state } => match &**state {
            State::Chain(chain) => (*table == id.table && chain.name == id.name).then_some(true),
            _ => None,
        },
        _ => None,
    }
}

/// The same of a set.
fn set_made(operation: &Operation, id: &SetId) -> Option<bool> {
    match operation {
        Operation::AddSet { table, set } => (*table == id.table && set.name == id.name).then_some(true),
        Operation::DeleteSet { table, set } | Operation::DestroySet { table, set } => {
            (*table == id.table && *set == id.name).then_some(false)
        }
        Operation::Restore { table, state } => match &**state {
            State::Set(set) => (*table == id.table && set.name == id.name).then_some(true),
            _ => None,
        },
        _ => None,
    }
}

/// The same of an object.
fn object_made(operation: &Operation, of: &TableId, wanted: &str, named: &Name) -> Option<bool> {
    match operation {
        Operation::DeleteObject { table, kind, name } | Operation::DestroyObject { table, kind, name } => {
            (table == of && kind == wanted && name == named).then_some(false)
        }
        Operation::Restore { table, state } => match &**state {
            State::Object(object) => (table == of && object.kind == wanted && object.name == *named).then_some(true),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
