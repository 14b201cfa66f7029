//! Sets of concatenated ranges (net/netfilter/nft_set_pipapo.c, v6.18).

use super::insert::is_catchall;
use crate::bytecode::{Bytes, ElementCode};
use crate::kernel::fake::stop::{Outcome, Stop};
use crate::state::SetState;

/// The element that a new one meets: the kernel looks for one that holds its first or its last key
/// (`nft_pipapo_insert`).
pub(super) fn met(state: &SetState, code: &ElementCode) -> Outcome<Option<usize>> {
    let end = code.key_end.as_ref().unwrap_or(&code.key);
    Ok(holding(state, &code.key)?.or(holding(state, end)?))
}

/// The element that holds a key. A deletion takes it by the first key, wherever it ends
/// (`nft_pipapo_deactivate`).
pub(super) fn holding(state: &SetState, key: &Bytes) -> Outcome<Option<usize>> {
    let fields = &state.code.fields;
    let mut holding = state.elements.iter().enumerate();
    let mut next = || Some(holding.find(|(_, held)| !is_catchall(held) && holds(fields, held, key))?.0);
    let (first, second) = (next(), next());
    match second {
        // The kernel takes the one that came first.
        Some(_) => Err(Stop::Unknown(format!("two elements of set {} hold the same key", state.name))),
        None => Ok(first),
    }
}

/// Whether every part of the key lies in the range of the element for it.
fn holds(fields: &[u8], held: &ElementCode, key: &Bytes) -> bool {
    let (low, high) = (&held.key, held.key_end.as_ref().unwrap_or(&held.key));
    let mut at = 0;
    fields.iter().all(|length| {
        let part = at..at + usize::from(*length);
        at += usize::from(*length).next_multiple_of(4);
        match (low.get(part.clone()), key.get(part.clone()), high.get(part)) {
            (Some(low), Some(key), Some(high)) => low <= key && key <= high,
            _ => false,
        }
    })
}
