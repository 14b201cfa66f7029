//! Sets of intervals: starts, and ends that are not part of them, in a tree
//! (net/netfilter/nft_set_rbtree.c, v6.18).
//!
//! The kernel takes each element by itself and compares it with its neighbours only. So it refuses
//! most intervals that overlap, but takes one around another that ends where it ends: the start
//! lies in nothing, and the end is there already. A start that is there is remembered, so that the
//! end which follows has to be its own.

use super::insert::{is_catchall, is_end};
use crate::bytecode::{Bytes, ElementCode};
use crate::kernel::fake::stop::{Outcome, Stop};
use crate::state::SetState;

/// What a batch has done to the tree of one set.
#[derive(Clone, Debug, Default)]
pub(in crate::kernel::fake) struct Tree {
    /// Elements that were deleted: they stay in the tree until the batch is through.
    left: Vec<ElementCode>,
    /// The start that was met last, without its end (`start_rbe_cookie`).
    start: Option<Start>,
}

#[derive(Clone, Debug)]
struct Start {
    key: Bytes,
    is_deleted: bool,
}

/// What becomes of an element that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// It is there.
    Again,
    /// It goes in.
    New,
    /// It overlaps what is there.
    Overlapping,
}

impl Tree {
    /// `__nft_rbtree_insert`, of an element whose place in the set this is.
    pub(super) fn comes(&mut self, state: &SetState, new: &ElementCode, place: usize) -> Outcome<Comes> {
        let is_here = state.elements.get(place).is_some_and(|held| is_at(held, new));
        if !is_end(new) {
            return Ok(self.start_comes(state, new, place, is_here));
        }
        let start = self.start.take();
        let below = place.checked_sub(1).and_then(|below| state.elements.get(below));
        if is_here {
            let is_own = |start: Start| !start.is_deleted && below.is_some_and(|below| is_start(below, &start.key));
            return Ok(if start.is_none_or(is_own) { Comes::Again } else { Comes::Overlapping });
        }
        if below.is_some_and(is_end) {
            return Ok(Comes::Overlapping);
        }
        Ok(if self.is_below_an_end(state, new, place)? { Comes::Overlapping } else { Comes::New })
    }

    fn start_comes(&mut self, state: &SetState, new: &ElementCode, place: usize, is_here: bool) -> Comes {
        self.start = is_here.then(|| Start { key: new.key.clone(), is_deleted: false });
        if is_here {
            return Comes::Again;
        }
        let below = place.checked_sub(1).and_then(|below| state.elements.get(below));
        if below.is_some_and(|below| !is_end(below)) { Comes::Overlapping } else { Comes::New }
    }

    /// Whether the closest element above a new end that the kernel sees is an end.
    ///
    /// It goes down from the next key above, and where only deleted elements have that key it looks
    /// no further up. Where it begins among several with that key, and whether a deleted start at
    /// the key of the new end hides them, depends on how the tree is balanced.
    fn is_below_an_end(&self, state: &SetState, new: &ElementCode, place: usize) -> Outcome<bool> {
        let above = state.elements.get(place).filter(|above| is_end(above));
        let Some(above) = above.filter(|above| above.key != new.key) else { return Ok(false) };
        let hides = |left: &ElementCode| is_start(left, &new.key) || is_end(left) && left.key == above.key;
        if self.left.iter().any(hides) {
            let name = &state.name;
            return Err(Stop::Unknown(format!("set {name} lost an interval beside the new one in the same batch")));
        }
        Ok(!self.left.iter().any(|left| left.key > new.key && left.key < above.key))
    }

    /// `nft_rbtree_deactivate`, of an element that is there at this place; returns whether it may
    /// go. An end goes only with its own start, where one has gone before it.
    pub(super) fn goes(&mut self, state: &SetState, code: &ElementCode, place: usize) -> Outcome<bool> {
        if !is_end(code) {
            if self.left.iter().any(|left| is_start(left, &code.key)) {
                let name = &state.name;
                return Err(Stop::Unknown(format!("an element of set {name} is deleted twice in one batch")));
            }
            self.start = Some(Start { key: code.key.clone(), is_deleted: true });
            return Ok(true);
        }
        let Some(start) = self.start.take() else { return Ok(true) };
        let left = self.left.iter().filter(|left| left.key <= code.key);
        let held = state.elements.iter().take(place);
        let next =
            left.clone().filter(|left| left.key < code.key || is_end(left)).chain(held).map(|next| &next.key).max();
        let is_own = start.is_deleted && next == Some(&start.key) && start.key != code.key;
        Ok(is_own)
    }

    /// Forgets the start that was met, as a deletion does before it looks for another.
    pub(super) fn forget(&mut self) {
        self.start = None;
    }

    pub(super) fn leave(&mut self, elements: impl IntoIterator<Item = ElementCode>) {
        self.left.extend(elements);
    }
}

/// Refuses to go on where an end has lost its start: the kernel keeps it, but a snapshot does not.
pub(super) fn end_alone(state: &SetState) -> Outcome {
    let mut is_open = false;
    for element in state.elements.iter().filter(|element| !is_catchall(element)) {
        if is_end(element) && !is_open {
            return Err(Stop::Unknown(format!(
                "set {} would hold the end of an interval without its start",
                state.name
            )));
        }
        is_open = !is_end(element);
    }
    Ok(())
}

fn is_start(element: &ElementCode, key: &Bytes) -> bool {
    !is_end(element) && !is_catchall(element) && element.key == *key
}

fn is_at(held: &ElementCode, new: &ElementCode) -> bool {
    !is_catchall(held) && held.key == new.key && is_end(held) == is_end(new)
}
