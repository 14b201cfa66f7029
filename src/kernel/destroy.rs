//! Operations that delete what may be absent, where the kernel has none or one that does damage.
//!
//! Linux has them since 6.3 (`NFT_MSG_DESTROY*`). Of an interval it looks for the two ends one by
//! one, also there: an interval that starts where another one starts takes the start of the other
//! and leaves its end (`nf_tables_delsetelem`, net/netfilter/nf_tables_api.c, v6.12). So elements
//! of such sets are looked for here on every kernel. What is found is deleted in a transaction
//! that holds only as long as nobody commits.

mod known;

use std::borrow::Cow;

use super::dump::{Found, Query};
use super::live::Kernel;
use crate::attr::AttributeWriter;
use crate::attr::nfta::{NFTA_OBJ_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_TYPE, NFTA_RULE_HANDLE};
use crate::bytecode::{ElementCode, SetMode};
use crate::error::{Error, Kind, Result};
use crate::model::{Family, Name, Set, SetFlags, SetId, TableId};
use crate::netlink::{self, kind};
use crate::plan::{Operation, Transaction};
use known::Known;

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
        if can {
            return Ok(Cow::Owned(with_ends_found(&pinned, |set| self.elements_of(set))?));
        }
        let mut known = Known::of(&pinned);
        let mut settled = Vec::with_capacity(pinned.operations().len());
        for operation in pinned.operations() {
            settled.push(self.settle(operation, &mut known)?);
            known.follow(operation)?;
        }
        Ok(Cow::Owned(pinned.settled(settled)))
    }

    /// Whether the kernel has to be asked what there is of what the transaction destroys.
    pub(super) fn must_settle(&mut self, transaction: &Transaction) -> Result<bool> {
        let mut destroys = transaction.operations().iter().filter(|operation| operation.destroys()).peekable();
        if destroys.peek().is_none() {
            return Ok(false);
        }
        Ok(destroys.any(destroys_ends) || !self.can_destroy()?)
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
    fn settle(&mut self, operation: &Operation, known: &mut Known) -> Result<Operation> {
        if let Operation::DestroyElements { table, set } = operation {
            return those_there(known, table, set, |set| self.elements_of(set));
        }
        let Some(deletion) = operation.deletion() else { return Ok(operation.clone()) };
        let (Some(table), false) = (operation.table(), matches!(operation, Operation::DestroyTable(_))) else {
            return Ok(operation.clone());
        };
        // In a table that is not there, deletions are refused as they are by a kernel that can
        // destroy.
        let ask = || self.is_there(kind::GETTABLE, table, &netlink::table_attribute(&table.name));
        let is_there = !known.has_table(table, ask)? || self.holds(operation, known)?;
        Ok(if is_there { deletion } else { operation.clone() })
    }

    /// Whether what an operation destroys is there once the operations before it are done.
    fn holds(&mut self, operation: &Operation, known: &mut Known) -> Result<bool> {
        match operation {
            Operation::DestroyChain(id) => known.has_chain(id, || {
                self.is_there(kind::GETCHAIN, &id.table, &netlink::chain_attributes(&id.table.name, &id.name))
            }),
            Operation::DestroyObject { table, kind: of, name } => {
                known.has_object(table, (of, name), || self.has_object(table, of, name))
            }
            Operation::DestroyRule { chain, handle } => known.has_rule(chain, *handle, || {
                let mut attributes = netlink::set_attributes(&chain.table.name, &chain.name);
                AttributeWriter::new(&mut attributes).be64(NFTA_RULE_HANDLE, handle.0);
                self.is_there(kind::GETRULE, &chain.table, &attributes)
            }),
            Operation::DestroySet { table, set } => known
                .has_set(table, set, || self.is_there(kind::GETSET, table, &netlink::set_attributes(&table.name, set))),
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

    fn elements_of(&mut self, set: &SetId) -> Result<Vec<ElementCode>> {
        Ok(self.set_state(set)?.map(|state| state.elements).unwrap_or_default())
    }

    fn is_there(&mut self, kind: u16, table: &TableId, attributes: &[u8]) -> Result<bool> {
        self.drain()?;
        let query = Query { kind, family: table.family.number(), attributes };
        Ok(self.get(query, |_| Ok(()))? == Found::One)
    }
}

/// Returns the transaction with a deletion of those elements that are there, in place of each
/// operation that destroys elements of two ends; `read` reads the elements of a set.
pub(super) fn with_ends_found(
    transaction: &Transaction,
    mut read: impl FnMut(&SetId) -> Result<Vec<ElementCode>>,
) -> Result<Transaction> {
    let mut known = Known::of(transaction);
    let mut found = Vec::with_capacity(transaction.operations().len());
    for operation in transaction.operations() {
        found.push(match operation {
            Operation::DestroyElements { table, set } if is_of_ends(set) => {
                those_there(&mut known, table, set, &mut read)?
            }
            operation => operation.clone(),
        });
        known.follow(operation)?;
    }
    Ok(transaction.with_operations(found))
}

/// Whether the operation destroys elements that the kernel would look for end by end.
pub(super) fn destroys_ends(operation: &Operation) -> bool {
    matches!(operation, Operation::DestroyElements { set, .. } if is_of_ends(set))
}

fn those_there(
    known: &mut Known,
    table: &TableId,
    set: &Set,
    read: impl FnOnce(&SetId) -> Result<Vec<ElementCode>>,
) -> Result<Operation> {
    let there = known.those_there(table, set, || read(&table.set(&set.name)))?;
    Ok(Operation::DeleteElements { table: table.clone(), set: there })
}

/// Whether its elements are kept as two ends each.
fn is_of_ends(set: &Set) -> bool {
    set.flags.contains(SetFlags::INTERVAL) && SetMode::of_set(set) != SetMode::Ranges
}

#[cfg(test)]
mod tests;
