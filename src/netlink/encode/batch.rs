//! The messages around the operations of a batch: its begin and end, and a harmless first message.

use crate::model::{Generation, Set, TableId};
use crate::netlink::{NFNL_SUBSYS_NFTABLES, flag};
use crate::plan::{Operation, State};

/// Returns a table that exists if the transaction succeeds, unless the first operation names one
/// anyway.
pub(super) fn anchor(operations: &[Operation]) -> Option<&TableId> {
    let first = operations.first()?;
    match first {
        Operation::AddTable { .. } => None,
        // These fail in a table that is not there yet just as in one that is empty.
        Operation::AddRule { .. } | Operation::DeleteChain(_) | Operation::DeleteRule { .. } => first.table(),
        Operation::FlushChain(_) | Operation::ReplaceRule { .. } => first.table(),
        Operation::AddElements { .. } | Operation::DeleteElements { .. } => first.table(),
        Operation::DeleteSet { .. } | Operation::FlushSet { .. } => first.table(),
        Operation::DestroyElements { .. } | Operation::DeleteObject { .. } => first.table(),
        // These would make a table that is not there, or find one that should be missing.
        Operation::AddChain { .. }
        | Operation::AddObject { .. }
        | Operation::AddSet { .. }
        | Operation::DeleteTable(_)
        | Operation::DestroyChain(_)
        | Operation::DestroyObject { .. }
        | Operation::DestroyRule { .. }
        | Operation::DestroySet { .. }
        | Operation::DestroyTable(_)
        | Operation::FlushRuleset(_)
        | Operation::FlushTable(_)
        | Operation::Restore { .. } => None,
    }
}

/// Estimates the length of the messages, so that the buffer rarely grows.
pub(super) fn estimate(operations: &[Operation]) -> usize {
    // An interval of addresses is 40 bytes, a header for every 1,600 of them included.
    let elements = |set: &Set| 160 + 41 * set.elements.len();
    let one = |operation: &Operation| match operation {
        Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. } => 256 + 256 * rule.statements.len(),
        Operation::AddElements { set, .. } | Operation::AddSet { set, .. } => elements(set),
        Operation::DeleteElements { set, .. } | Operation::DestroyElements { set, .. } => elements(set),
        Operation::Restore { state, .. } => match &**state {
            State::Rule { rule, .. } => 256 + 80 * rule.exprs.len(),
            State::Set(set) => 160 + 40 * set.elements.len(),
            State::Chain(_) | State::Object(_) | State::Table(_) => 256,
        },
        _ => 80,
    };
    operations.iter().map(one).sum::<usize>() + 256
}

pub(super) fn batch_begin(sequence: u32, generation: Option<Generation>) -> Vec<u8> {
    let attribute = generation.map(|Generation(id)| {
        [8_u16.to_ne_bytes().as_slice(), &NFNL_BATCH_GENID.to_ne_bytes(), &id.to_be_bytes()].concat()
    });
    let attribute = attribute.unwrap_or_default();
    message(NFNL_MSG_BATCH_BEGIN, flag::REQUEST, sequence, 0, NFNL_SUBSYS_NFTABLES, &attribute)
}

/// A batch of one message of this kind, sequence number and family, which is not acknowledged; it
/// takes three sequence numbers.
pub(crate) fn batch_of(sequence: u32, (kind, own, family): (u16, u32, u8), attributes: &[u8]) -> Vec<u8> {
    let mut batch = batch_begin(sequence, None);
    let kind = NFNL_SUBSYS_NFTABLES << 8 | kind;
    batch.extend(message(kind, flag::REQUEST, own, family, 0, attributes));
    let end = self::message(NFNL_MSG_BATCH_END, flag::REQUEST, sequence.wrapping_add(2), 0, NFNL_SUBSYS_NFTABLES, &[]);
    batch.extend(end);
    batch
}

/// Returns a batch that changes nothing and is refused (`ERESTART`) once this generation has
/// passed. It takes two sequence numbers.
///
/// The kernel handles it under the lock of all writers: when it is answered, no commit is in
/// progress.
pub(crate) fn barrier(sequence: u32, generation: Generation) -> Vec<u8> {
    let mut batch = batch_begin(sequence, Some(generation));
    let end = message(NFNL_MSG_BATCH_END, flag::REQUEST, sequence.wrapping_add(1), 0, NFNL_SUBSYS_NFTABLES, &[]);
    batch.extend(end);
    batch
}

/// Returns a whole nfnetlink message: `struct nlmsghdr`, `struct nfgenmsg`, and the given
/// attributes.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, family: u8, resource: u16, attributes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(20 + attributes.len()).unwrap_or(u32::MAX);
    [
        length.to_ne_bytes().as_slice(),
        &kind.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &0_u32.to_ne_bytes(),
        &[family, 0],
        &resource.to_be_bytes(),
        attributes,
    ]
    .concat()
}

const NFNL_MSG_BATCH_BEGIN: u16 = 16;
pub(super) const NFNL_MSG_BATCH_END: u16 = 17;
const NFNL_BATCH_GENID: u16 = 1;
