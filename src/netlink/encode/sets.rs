//! Sets and their elements: declared, then filled by as many messages as they need.

use std::io;

use super::super::expr::verdict_number;
use super::super::{flag, kind};
use super::{Encoder, Part, Unencodable};
use crate::bytecode::{AnonymousSet, ElementCode, ElementDataCode, SetCode, Unlowerable, lower_elements, lower_set};
use crate::model::{Name, Set};
use crate::plan::TableId;
use crate::sys::nftnl::{self, c};

impl Encoder<'_> {
    /// Declares an anonymous set and sends its elements.
    pub(super) fn anonymous(
        &mut self,
        index: usize,
        expr: usize,
        table: &TableId,
        set: &AnonymousSet,
    ) -> Result<(), Unencodable> {
        let mut object = named_set(table, &anonymous_name(set).into())?;
        object.u32(c::NFTNL_SET_ID, self.sets);
        declare(&mut object, &set.code)?;
        let header = self.header(index, Part::Lookup { expr }, kind::NEWSET, table, flag::CREATE);
        self.messages.set(header, &object)?;
        let mut name = named_set(table, &anonymous_name(set).into())?;
        name.u32(c::NFTNL_SET_ID, self.sets);
        let part = |_| Part::Lookup { expr };
        let most = set.elements.len();
        let to = Destination { kind: kind::NEWSETELEM, flags: flag::CREATE, table, set: &name, most };
        self.elements(index, part, to, set.elements.iter().cloned().map(Ok))
    }

    pub(super) fn add_set(&mut self, index: usize, table: &TableId, set: &Set) -> Result<(), Unencodable> {
        let mut object = named_set(table, &set.name)?;
        // The kernel wants an id for every set of a batch.
        self.sets += 1;
        object.u32(c::NFTNL_SET_ID, self.sets);
        declare(&mut object, &lower_set(set)?)?;
        let header = self.header(index, Part::Itself, kind::NEWSET, table, flag::CREATE);
        self.messages.set(header, &object)?;
        if set.elements.is_empty() {
            return Ok(());
        }
        self.named_elements(index, kind::NEWSETELEM, flag::CREATE, table, set)
    }

    pub(super) fn named_elements(
        &mut self,
        index: usize,
        kind: u16,
        flags: u16,
        table: &TableId,
        set: &Set,
    ) -> Result<(), Unencodable> {
        let name = named_set(table, &set.name)?;
        let part = |first| Part::Elements { first };
        // An interval is two: its start and its end.
        let most = 2 * set.elements.len();
        self.elements(index, part, Destination { kind, flags, table, set: &name, most }, lower_elements(set))
    }

    /// As many messages as the elements need, each with as many as it can hold.
    fn elements(
        &mut self,
        index: usize,
        part: impl Fn(usize) -> Part,
        to: Destination<'_>,
        elements: impl Iterator<Item = Result<ElementCode, Unlowerable>>,
    ) -> Result<(), Unencodable> {
        let Destination { kind, flags, table, set, most } = to;
        let mut element = nftnl::Element::new()?;
        let mut elements = elements.peekable();
        let mut sent = 0;
        while elements.peek().is_some() {
            let mut failed = None;
            let header = self.header(index, part(sent), kind, table, flags);
            sent += self.messages.elements(header, set, &mut element, most.saturating_sub(sent).max(1), |element| {
                match elements.next() {
                    Some(Ok(code)) => fill(element, &code).map(|()| true),
                    Some(Err(error)) => {
                        failed = Some(error);
                        Ok(false)
                    }
                    None => Ok(false),
                }
            })?;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Where elements go.
struct Destination<'a> {
    kind: u16,
    flags: u16,
    table: &'a TableId,
    set: &'a nftnl::Set,
    /// There are no more elements than this.
    most: usize,
}

/// The name the kernel makes an anonymous set's name from.
pub(in crate::netlink) fn anonymous_name(set: &AnonymousSet) -> &'static str {
    if set.code.data.is_some() { "__map%d" } else { "__set%d" }
}

pub(super) fn named_set(table: &TableId, name: &Name) -> io::Result<nftnl::Set> {
    let mut object = nftnl::Set::new()?;
    object.text(c::NFTNL_SET_TABLE, table.name.as_str())?;
    object.text(c::NFTNL_SET_NAME, name.as_str())?;
    Ok(object)
}

fn declare(object: &mut nftnl::Set, code: &SetCode) -> io::Result<()> {
    let SetCode { flags, key_type, key_len, data, fields, size, timeout, gc_interval, userdata, .. } = code;
    let SetCode { policy, object: kind, exprs, opaque, .. } = code;
    if *policy != 0 || kind.is_some() || !exprs.is_empty() || !opaque.is_empty() {
        return Err(unsendable("a set with a policy, objects, expressions or unknown attributes"));
    }
    object.u32(c::NFTNL_SET_FLAGS, *flags);
    object.u32(c::NFTNL_SET_KEY_TYPE, *key_type);
    object.u32(c::NFTNL_SET_KEY_LEN, *key_len);
    if let Some((data_type, data_len)) = data {
        object.u32(c::NFTNL_SET_DATA_TYPE, *data_type);
        object.u32(c::NFTNL_SET_DATA_LEN, *data_len);
    }
    if !fields.is_empty() {
        object.fields(fields)?;
    }
    if let Some(size) = size {
        object.u32(c::NFTNL_SET_DESC_SIZE, *size);
    }
    if let Some(timeout) = timeout {
        object.u64(c::NFTNL_SET_TIMEOUT, *timeout);
    }
    if let Some(gc_interval) = gc_interval {
        object.u32(c::NFTNL_SET_GC_INTERVAL, *gc_interval);
    }
    object.data(c::NFTNL_SET_USERDATA, userdata)
}

/// Sets everything of an element, and takes away what the one before had.
fn fill(element: &mut nftnl::Element, code: &ElementCode) -> io::Result<()> {
    let ElementCode { key, key_end, flags, data, timeout, userdata, extras } = code;
    if extras.is_some() {
        return Err(unsendable("an element with expressions, an object or unknown attributes"));
    }
    for attribute in [
        c::NFTNL_SET_ELEM_FLAGS,
        c::NFTNL_SET_ELEM_KEY_END,
        c::NFTNL_SET_ELEM_DATA,
        c::NFTNL_SET_ELEM_VERDICT,
        c::NFTNL_SET_ELEM_CHAIN,
        c::NFTNL_SET_ELEM_TIMEOUT,
        c::NFTNL_SET_ELEM_USERDATA,
    ] {
        element.unset(attribute);
    }
    element.data(c::NFTNL_SET_ELEM_KEY, key)?;
    if let Some(key_end) = key_end {
        element.data(c::NFTNL_SET_ELEM_KEY_END, key_end)?;
    }
    if *flags != 0 {
        element.u32(c::NFTNL_SET_ELEM_FLAGS, *flags);
    }
    match data.as_deref() {
        Some(ElementDataCode::Value(value)) => element.data(c::NFTNL_SET_ELEM_DATA, value)?,
        Some(ElementDataCode::Verdict(verdict)) => {
            element.u32(c::NFTNL_SET_ELEM_VERDICT, verdict_number(verdict));
            if let Some(chain) = verdict.target() {
                element.text(c::NFTNL_SET_ELEM_CHAIN, chain.as_str())?;
            }
        }
        None => {}
    }
    if let Some(timeout) = timeout {
        element.u64(c::NFTNL_SET_ELEM_TIMEOUT, *timeout);
    }
    if !userdata.is_empty() {
        element.data(c::NFTNL_SET_ELEM_USERDATA, userdata)?;
    }
    Ok(())
}

/// What was read from the kernel and has no meaning here.
fn unsendable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{what} cannot be sent"))
}
