//! The elements of a set to add and delete.

use std::cmp::Ordering;

use super::mode;
use crate::bytecode::{
    ElementCode, Expr, INTERVAL_END, SetMode, Unlowerable, lower_elements, lower_set, raise_elements, without_learned,
};
use crate::model::{Set, SetData, SetFlags};
use crate::plan::transaction::with_elements;
use crate::state::SetState;

/// How the elements of a set differ.
pub(super) enum Delta {
    /// Some are deleted and some added; each list comes with the part of the declaration it needs.
    Changed { gone: Option<Box<Set>>, made: Option<Box<Set>> },
    /// Some existing element has no name; all are deleted and all wanted ones added.
    Refill,
    /// There is no difference.
    Same,
}

/// An element, or an interval with its end. Half of an interval would widen another.
#[derive(Clone, Debug)]
struct Item<E> {
    start: E,
    end: Option<E>,
}

/// Merges both, which have the same order.
pub(super) fn between(state: &SetState, set: &Set) -> Result<Delta, Unlowerable> {
    let mut held = HeldElements { state, next: 0 };
    let declared = lower_set(set)?;
    let unlearned = without_learned(set);
    let mut wanted = lower_elements(unlearned.as_ref().unwrap_or(set)).peekable();
    let mut next = move || -> Result<Option<Item<ElementCode>>, Unlowerable> {
        let Some(start) = wanted.next().transpose()? else { return Ok(None) };
        let end = wanted.next_if(|next| next.as_ref().is_ok_and(is_end)).transpose()?;
        Ok(Some(Item { start, end }))
    };
    let (mut gone, mut made) = (Vec::new(), Vec::new());
    let (mut ours, mut theirs) = (next()?, held.next());
    loop {
        let order = match (&ours, &theirs) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(ours), Some((theirs, _))) => order(&ours.start, theirs.start),
        };
        match order {
            Ordering::Less => {
                made.extend(ours);
                ours = next()?;
            }
            Ordering::Equal => {
                if let (Some(mut ours), Some((theirs, learned))) = (ours, theirs) {
                    if learned {
                        // Packets may have restarted its timeout.
                        ours.start.timeout = theirs.start.timeout;
                    }
                    if !same(&ours, &theirs, &declared.exprs) {
                        gone.push(theirs);
                        made.push(ours);
                    }
                }
                (ours, theirs) = (next()?, held.next());
            }
            Ordering::Greater => {
                gone.extend(theirs.filter(|(_, learned)| !learned).map(|(theirs, _)| theirs));
                theirs = held.next();
            }
        }
    }
    if gone.is_empty() && made.is_empty() {
        return Ok(Delta::Same);
    }
    if set.opaque().is_some() {
        return Ok(Delta::Refill);
    }
    let (gone, made) = (removed(set, &gone), added(set, made));
    Ok(match (gone, made) {
        (Some(gone), Some(made)) => Delta::Changed { gone: some(gone), made: some(made) },
        _ => Delta::Refill,
    })
}

/// The held elements, each with whether packets may have added it.
struct HeldElements<'s> {
    state: &'s SetState,
    next: usize,
}

impl<'s> HeldElements<'s> {
    fn next(&mut self) -> Option<(Item<&'s ElementCode>, bool)> {
        let index = self.next;
        let start = self.state.elements.get(index)?;
        let end = self.state.elements.get(index + 1).filter(|next| !is_end(start) && is_end(next));
        self.next += 1 + usize::from(end.is_some());
        let expires = self.state.expires.get(index).is_some_and(Option::is_some);
        let learned = expires && self.state.code.flags & SetFlags::DYNAMIC.bits() != 0;
        Some((Item { start, end }, learned))
    }
}

/// Returns whether both are equal in a set that gives its elements `carried`.
fn same(ours: &Item<ElementCode>, theirs: &Item<&ElementCode>, carried: &[Expr]) -> bool {
    let ends = match (&ours.end, theirs.end) {
        (Some(ours), Some(theirs)) => ours.same(theirs),
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    };
    ends && ours.start.same_in(theirs.start, carried)
}

fn order(a: &ElementCode, b: &ElementCode) -> Ordering {
    a.key.as_slice().cmp(b.key.as_slice()).then_with(|| a.key_end.cmp(&b.key_end))
}

fn is_end(code: &ElementCode) -> bool {
    code.flags & INTERVAL_END != 0
}

/// Returns the elements to delete, which are named by their keys.
fn removed(set: &Set, gone: &[Item<&ElementCode>]) -> Option<Set> {
    let bare = |code: &ElementCode| ElementCode {
        key: code.key.clone(),
        key_end: code.key_end.clone(),
        flags: code.flags,
        ..ElementCode::default()
    };
    let mut codes = Vec::with_capacity(2 * gone.len());
    for (index, Item { start, end }) in gone.iter().enumerate() {
        // Only the last interval may have no end of its own; any other would get one when raised.
        let open = mode(set) == SetMode::Interval && end.is_none() && index + 1 < gone.len();
        if is_end(start) || open {
            return None;
        }
        codes.push(bare(start));
        codes.extend(end.map(bare));
    }
    let mut removed = with_elements(set, raise_elements(&codes, &set.key, &SetData::None, mode(set))?);
    removed.data = SetData::None;
    removed.flags -= SetFlags::AUTO_MERGE;
    Some(removed)
}

fn added(set: &Set, made: Vec<Item<ElementCode>>) -> Option<Set> {
    let codes: Vec<ElementCode> =
        made.into_iter().flat_map(|Item { start, end }| std::iter::once(start).chain(end)).collect();
    // The model cannot express an element without a timeout in a set where others expire.
    if codes.iter().any(|code| code.timeout == Some(0)) {
        return None;
    }
    let mut added = with_elements(set, raise_elements(&codes, &set.key, &set.data, mode(set))?);
    // They are merged already; an element that touches one of the set stays separate.
    added.flags -= SetFlags::AUTO_MERGE;
    Some(added)
}

fn some(set: Set) -> Option<Box<Set>> {
    Some(Box::new(set)).filter(|set| !set.elements.is_empty())
}
