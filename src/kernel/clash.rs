//! Refused additions of a transaction that exist already with another declaration.

use std::collections::BTreeSet;

use super::live::Kernel;
use crate::error::Result;
use crate::model::{ChainId, ChainKind, Family};
use crate::plan::{Operation, Transaction};
use crate::state::{ChainState, HookState, chain_kind};

impl Kernel {
    /// Returns the refused operations that add a chain which exists with another type, hook or
    /// priority.
    ///
    /// The kernel's answer is the same when it lacks the chain type. A chain that cannot be read
    /// is not reported.
    pub(super) fn clashes(
        &mut self,
        transaction: &Transaction,
        refused: impl Iterator<Item = usize>,
    ) -> BTreeSet<usize> {
        let clashes = refused.filter(|index| is_clash(transaction, *index, |id| self.chain_alone(id)).unwrap_or(false));
        clashes.collect()
    }
}

/// Returns whether the operation adds a chain that exists with another declaration and that no
/// earlier operation of the transaction deletes.
pub(super) fn is_clash(
    transaction: &Transaction,
    index: usize,
    held: impl FnOnce(&ChainId) -> Result<Option<ChainState>>,
) -> Result<bool> {
    let operations = transaction.operations();
    let Some(Operation::AddChain { table, name, kind, .. }) = operations.get(index) else { return Ok(false) };
    let id = table.chain(name);
    let gone = operations.iter().take(index).any(|operation| match operation {
        Operation::DeleteChain(chain) | Operation::DestroyChain(chain) => *chain == id,
        Operation::DeleteTable(deleted) | Operation::DestroyTable(deleted) => deleted == table,
        Operation::FlushRuleset(family) => family.is_none_or(|family| table.family == family),
        _ => false,
    });
    if gone {
        return Ok(false);
    }
    Ok(held(&id)?.is_some_and(|held| is_other(&held, id.table.family, kind)))
}

fn is_other(held: &ChainState, family: Family, wanted: &ChainKind) -> bool {
    match (chain_kind(family, held), wanted) {
        (_, ChainKind::Opaque(_)) => false,
        (Some(ChainKind::Base(held)), ChainKind::Base(wanted)) => {
            (held.chain_type, held.hook, held.priority) != (wanted.chain_type, wanted.hook, wanted.priority)
        }
        (Some(ChainKind::Device(_)), ChainKind::Device(_)) => {
            let wanted = HookState::of(family, wanted);
            held.hook.as_ref().zip(wanted).is_none_or(|(held, wanted)| !held.is_at(&wanted))
        }
        (held, wanted) => held.as_ref() != Some(wanted),
    }
}
