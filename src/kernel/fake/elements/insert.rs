//! Elements that come: which are there already, which contradict or overlap others.

use std::cmp::Ordering;

use super::tree::{Comes, Tree};
use super::{CATCHALL, boxes, element};
use crate::bytecode::{ElementCode, INTERVAL_END, SetCode};
use crate::kernel::fake::stop::Outcome;
use crate::model::SetFlags;
use crate::state::SetState;

/// Puts all of them in, or refuses the first that cannot be; returns whether anything changed.
pub(super) fn insert(state: &mut SetState, tree: &mut Tree, codes: &[ElementCode]) -> Outcome<bool> {
    let mut has_changed = false;
    for (index, code) in codes.iter().enumerate() {
        has_changed |= one(state, tree, code, index)?;
    }
    Ok(has_changed)
}

fn one(state: &mut SetState, tree: &mut Tree, code: &ElementCode, index: usize) -> Outcome<bool> {
    let place = state.elements.partition_point(|held| order(held, code).is_lt());
    let is_here = state.elements.get(place).is_some_and(|held| is_it(held, code));
    let met = match Kind::of(state) {
        Kind::Boxes if !is_catchall(code) => boxes::met(state, code)?,
        Kind::Tree if !is_catchall(code) => match tree.comes(state, code, place)? {
            Comes::Again => Some(place),
            Comes::New => None,
            Comes::Overlapping => return Err(element(index, libc::EEXIST)),
        },
        _ => is_here.then_some(place),
    };
    if let Some(held) = met.and_then(|met| state.elements.get_mut(met)) {
        if !is_it(held, code) || held.data != code.data {
            return Err(element(index, libc::EEXIST));
        }
        return Ok(renew(&state.code, held, code));
    }
    state.elements.insert(place, code.clone());
    let room = room(state);
    let ordinary = || state.elements.iter().filter(|held| !is_catchall(held)).count();
    match !is_catchall(code) && room.is_some_and(|room| ordinary() > room) {
        true => Err(element(index, libc::ENFILE)),
        false => Ok(true),
    }
}

/// How the elements of a set are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ranges of concatenations.
    Boxes,
    /// Each stands for its key.
    Plain,
    /// Starts and ends of intervals.
    Tree,
}

impl Kind {
    pub(super) fn of(state: &SetState) -> Self {
        match (state.code.flags & SetFlags::INTERVAL.bits() != 0, state.code.fields.is_empty()) {
            (false, _) => Kind::Plain,
            (true, false) => Kind::Boxes,
            (true, true) => Kind::Tree,
        }
    }
}

/// How many elements the set takes: of intervals, a start and an end of each (nft_set_maxsize).
fn room(state: &SetState) -> Option<usize> {
    let size = usize::try_from(state.code.size?).unwrap_or(usize::MAX);
    Some(if Kind::of(state) == Kind::Tree { size.saturating_mul(2) } else { size })
}

/// An element that comes again gets the time it is given (Linux 6.12).
fn renew(set: &SetCode, held: &mut ElementCode, code: &ElementCode) -> bool {
    let usual = set.timeout.unwrap_or_default();
    let has_timeouts = set.flags & SetFlags::TIMEOUT.bits() != 0;
    if !has_timeouts || held.timeout.unwrap_or(usual) == code.timeout.unwrap_or(usual) {
        return false;
    }
    held.timeout = code.timeout;
    true
}

/// The order in which a snapshot has them: by key, ends before starts, the element for every other
/// key last.
pub(super) fn order(a: &ElementCode, b: &ElementCode) -> Ordering {
    let order = is_catchall(a).cmp(&is_catchall(b)).then_with(|| a.key.cmp(&b.key));
    order.then_with(|| is_end(b).cmp(&is_end(a))).then_with(|| a.key_end.cmp(&b.key_end))
}

/// Whether the key is the same, and of an interval the same end of it.
pub(super) fn is_it(held: &ElementCode, code: &ElementCode) -> bool {
    if is_end(held) != is_end(code) || is_catchall(held) != is_catchall(code) {
        return false;
    }
    let end = |code: &ElementCode| code.key_end.clone().unwrap_or_else(|| code.key.clone());
    is_catchall(code) || held.key == code.key && end(held) == end(code)
}

pub(super) fn is_catchall(element: &ElementCode) -> bool {
    element.flags & CATCHALL != 0
}

pub(super) fn is_end(element: &ElementCode) -> bool {
    element.flags & INTERVAL_END != 0
}
