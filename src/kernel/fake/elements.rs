//! Sets and their elements.

mod boxes;
mod insert;
mod tree;

use super::machine::Batch;
use super::rules::lead;
use super::stop::{Outcome, Spot, Stop, refuse, refuse_whole};
use super::verdicts::element_target;
use crate::attr::nfta::{
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_NAME, NFTA_SET_TABLE,
};
use crate::bytecode::{ElementCode, SetCode, Unlowerable, lower_elements, lower_set};
use crate::model::{Name, Set, SetFlags, SetHandle, TableHandle, TableId};
use crate::netlink::MessagePart;
use crate::state::SetState;
use insert::{Kind, is_catchall, is_end, is_it};
pub(super) use tree::Tree;

impl Batch<'_> {
    pub(super) fn add_set(&mut self, table: &TableId, set: &Set) -> Vec<Stop> {
        match lower_set(set) {
            Ok(code) => self.declare(table, &set.name, code, lower_elements(set)),
            Err(why) => vec![Stop::Unknown(why.to_string())],
        }
    }

    /// nf_tables_newset, and the elements, which are looked at even when the set is refused.
    pub(super) fn declare(
        &mut self,
        id: &TableId,
        name: &Name,
        code: SetCode,
        elements: impl Iterator<Item = Result<ElementCode, Unlowerable>>,
    ) -> Vec<Stop> {
        let elements: Vec<_> = elements.collect();
        let mut stops: Vec<Stop> = self.new_set(id, name, code).err().into_iter().collect();
        if !elements.is_empty() {
            stops.extend(self.new_elements(id, name, elements).err());
        }
        stops
    }

    fn new_set(&mut self, id: &TableId, name: &Name, code: SetCode) -> Outcome {
        if code.object.is_some() {
            return Err(Stop::Unknown("the elements of the map lead to stateful objects".to_owned()));
        }
        let table = self.table(id, NFTA_SET_TABLE)?;
        let handle = table.handle;
        match table.sets.iter_mut().find(|set| set.name == *name) {
            Some(found) if !is_same(&found.code, &code) => return refuse(libc::EEXIST, NFTA_SET_NAME),
            // Of a set that is there, times and size change, and only when the batch is through.
            Some(found) => {
                let set = found.handle;
                self.resized.push((handle, set, code));
            }
            None => {
                let table = handle;
                let handle = SetHandle(self.number(table));
                self.new_sets.insert((table, handle));
                let (elements, order, expires) = (Vec::new(), Vec::new(), Vec::new());
                let (name, backend, count) = (name.clone(), None, None);
                let set = SetState { name, handle, code, elements, order, expires, backend, count };
                self.table(id, NFTA_SET_TABLE)?.sets.push(set);
            }
        }
        self.has_changed = true;
        Ok(())
    }

    pub(super) fn add_elements(&mut self, id: &TableId, set: &Set) -> Outcome {
        let elements: Vec<_> = lower_elements(set).collect();
        // The kernel looks for the set of an empty list too.
        if elements.is_empty() {
            self.changeable(id, &set.name, MessagePart::Itself).map(drop)
        } else {
            self.new_elements(id, &set.name, elements)
        }
    }

    /// nf_tables_newsetelem
    fn new_elements(&mut self, id: &TableId, name: &Name, codes: Vec<Result<ElementCode, Unlowerable>>) -> Outcome {
        let codes = codes.into_iter().collect::<Result<Vec<_>, _>>();
        let codes = codes.map_err(|why| Stop::Unknown(why.to_string()))?;
        let (handle, mut state) = self.changeable(id, name, FIRST)?;
        let table = self.table(id, NFTA_SET_ELEM_LIST_TABLE)?;
        if codes.iter().any(|code| code.extras.as_ref().is_some_and(|extras| extras.object.is_some())) {
            return Err(Stop::Unknown("an element leads to a stateful object".to_owned()));
        }
        // One after the other: those before the first that cannot be may be refused for what is
        // there.
        let fault = codes
            .iter()
            .enumerate()
            .find_map(|(index, code)| Some((index, fits(&state.code, code).and_then(|()| lead(table, code)).err()?)));
        let good = fault.map_or(codes.len(), |(index, _)| index);
        // Those before one that is refused stay until the batch is given up, so that others in it
        // meet them.
        let tree = self.trees.entry((handle, state.handle)).or_default();
        let inserted = insert::insert(&mut state, tree, codes.get(..good).unwrap_or_default());
        let alone = tree::end_alone(&state);
        self.put(id, state)?;
        let has_changed = inserted?;
        if let Some((index, errno)) = fault {
            return Err(element(index, errno));
        }
        alone?;
        if codes.iter().any(|code| element_target(code).is_some()) {
            self.touched.insert(handle);
        }
        self.has_changed |= has_changed;
        Ok(())
    }

    /// nf_tables_delsetelem
    pub(super) fn delete_elements(&mut self, id: &TableId, set: &Set, absent: Absent) -> Outcome {
        let codes = lower_elements(set).collect::<Result<Vec<_>, _>>();
        let codes = codes.map_err(|why| Stop::Unknown(why.to_string()))?;
        let part = if codes.is_empty() { MessagePart::Itself } else { FIRST };
        let (handle, mut state) = self.changeable(id, &set.name, part)?;
        if codes.is_empty() {
            return Ok(());
        }
        let tree = self.trees.entry((handle, state.handle)).or_default();
        let count = state.elements.len();
        let is_skipped =
            |stop: &Stop| absent == Absent::Skipped && matches!(stop, Stop::Refused { errno: libc::ENOENT, .. });
        let refused = codes.iter().enumerate().find_map(|(index, code)| {
            let stop = remove(&mut state, tree, code).err()?;
            (!is_skipped(&stop)).then_some((index, stop))
        });
        let has_changed = state.elements.len() < count;
        let alone = tree::end_alone(&state);
        self.put(id, state)?;
        if let Some((index, stop)) = refused {
            return Err(of_element(index, stop));
        }
        alone?;
        self.has_changed |= has_changed;
        Ok(())
    }

    pub(super) fn flush_set(&mut self, id: &TableId, name: &Name) -> Outcome {
        let (handle, mut state) = self.changeable(id, name, MessagePart::Itself)?;
        self.has_changed |= !state.elements.is_empty();
        self.trees.entry((handle, state.handle)).or_default().leave(state.elements.drain(..));
        self.put(id, state)
    }

    /// nf_tables_delset
    pub(super) fn delete_set(&mut self, id: &TableId, name: &Name) -> Outcome {
        let table = self.table(id, NFTA_SET_TABLE)?.clone();
        if table.set(name.as_str()).is_none() {
            return refuse(libc::ENOENT, NFTA_SET_NAME);
        }
        if self.is_bound(&table, name) {
            return refuse(libc::EBUSY, NFTA_SET_NAME);
        }
        self.table(id, NFTA_SET_TABLE)?.sets.retain(|set| set.name != *name);
        self.has_changed = true;
        Ok(())
    }

    /// The handle of the table and the set, for a message that changes elements.
    fn changeable(&mut self, id: &TableId, name: &Name, part: MessagePart) -> Outcome<(TableHandle, SetState)> {
        let table = self.table(id, NFTA_SET_ELEM_LIST_TABLE);
        let elements = |stop| match stop {
            Stop::Refused { part: _, spot, errno } => Stop::Refused { part, spot, errno },
            unknown @ Stop::Unknown(_) => unknown,
        };
        let handle = table.map_err(elements)?.handle;
        let table = self.held.tables.iter().find(|table| table.handle == handle);
        let Some((table, state)) = table.and_then(|table| Some((table, table.set(name.as_str())?))) else {
            return refuse(libc::ENOENT, NFTA_SET_ELEM_LIST_SET).map_err(elements);
        };
        if state.code.flags & SetFlags::CONSTANT.bits() != 0 && self.was_bound(table, state) {
            return refuse_whole(libc::EBUSY).map_err(elements);
        }
        Ok((handle, state.clone()))
    }

    fn put(&mut self, id: &TableId, state: SetState) -> Outcome {
        let sets = &mut self.table(id, NFTA_SET_TABLE)?.sets;
        if let Some(held) = sets.iter_mut().find(|held| held.name == state.name) {
            *held = state;
        }
        Ok(())
    }
}

/// What becomes of an element to delete that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    Refused,
    Skipped,
}

/// nft_set_is_same
fn is_same(held: &SetCode, wanted: &SetCode) -> bool {
    let SetCode { flags, key_type, key_len, data, fields, object, exprs, .. } = held;
    (flags, key_type, key_len, data, fields, object, exprs.len())
        == (
            &wanted.flags,
            &wanted.key_type,
            &wanted.key_len,
            &wanted.data,
            &wanted.fields,
            &wanted.object,
            wanted.exprs.len(),
        )
}

/// Takes an element out, or returns the errno.
fn remove(state: &mut SetState, tree: &mut Tree, code: &ElementCode) -> Outcome {
    let kind = Kind::of(state);
    if is_end(code) && state.code.flags & SetFlags::INTERVAL.bits() == 0 {
        return refuse_whole(libc::EINVAL);
    }
    if !is_catchall(code) && length(&code.key) != state.code.key_len {
        return refuse_whole(libc::EINVAL);
    }
    if !is_end(code) || code.key.iter().all(|byte| *byte == 0) {
        tree.forget();
    }
    let meant = match kind {
        Kind::Boxes if !is_catchall(code) => boxes::holding(state, &code.key)?,
        _ => state.elements.iter().position(|held| is_it(held, code)),
    };
    let Some(meant) = meant else { return refuse_whole(libc::ENOENT) };
    if kind == Kind::Tree && !is_catchall(code) && !tree.goes(state, code, meant)? {
        return refuse_whole(libc::ENOENT);
    }
    tree.leave([state.elements.remove(meant)]);
    Ok(())
}

/// Whether an element is of the kind that the set holds, or the errno.
fn fits(set: &SetCode, code: &ElementCode) -> Result<(), i32> {
    use crate::bytecode::ElementDataCode::{Value, Verdict};
    let (is_end, is_catchall) = (is_end(code), is_catchall(code));
    let has_timeouts = set.flags & SetFlags::TIMEOUT.bits() != 0;
    let key = is_catchall || length(&code.key) == set.key_len;
    let end = !is_end || set.flags & SetFlags::INTERVAL.bits() != 0 && code.data.is_none() && code.timeout.is_none();
    let data = match (set.data, code.data.as_deref()) {
        (None, None) => true,
        (Some(_), None) => is_end,
        (Some((NFT_DATA_VERDICT, _)), Some(Verdict(_))) => true,
        (Some((kind, len)), Some(Value(bytes))) => kind != NFT_DATA_VERDICT && length(bytes) == len,
        (Some(_), Some(_)) | (None, Some(_)) => false,
    };
    let timeout = code.timeout.is_none() || has_timeouts;
    if key && end && data && timeout { Ok(()) } else { Err(libc::EINVAL) }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The same refusal, of one element.
fn of_element(index: usize, stop: Stop) -> Stop {
    match stop {
        Stop::Refused { errno, .. } => element(index, errno),
        unknown @ Stop::Unknown(_) => unknown,
    }
}

/// The refusal of one element.
fn element(index: usize, errno: i32) -> Stop {
    let spot = Spot::Nested(NFTA_SET_ELEM_LIST_ELEMENTS, index);
    Stop::Refused { part: MessagePart::Elements { first: index }, spot, errno }
}

const FIRST: MessagePart = MessagePart::Elements { first: 0 };

// include/uapi/linux/netfilter/nf_tables.h
const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
const CATCHALL: u32 = 2;
