//! Messages written by libnftnl, as far as it can express their content.
//!
//! Where it cannot, the message is not started: the result is `None`, and the crate's own encoder
//! writes it. Otherwise both produce the same bytes.

mod expr;
mod plain;

use std::io;
use std::iter::Peekable;

use super::encode::body::{Body, ChainBody, Elem, ElementsBody, HookBody, RuleBody, SetBody, TableBody};
use super::encode::compat::Compat;
use super::expr::verdict_number;
use super::write::{Header, Messages};
use crate::bytecode::{ElementCode, ElementDataCode, SetCode, Unlowerable};
use crate::sys::nftnl::{self, c};

/// libnftnl and its output buffer.
#[derive(Debug, Default)]
pub(crate) struct Libnftnl {
    scratch: nftnl::Scratch,
}

impl Libnftnl {
    /// Appends one message; `None` when libnftnl cannot express it.
    pub(super) fn write(&mut self, messages: &mut Messages, header: Header, body: &Body<'_>) -> io::Result<Option<()>> {
        let written = match body {
            Body::Chain(body) => chain(body)?.map(|object| self.scratch.chain(header, &object)),
            Body::Object(_) => None,
            Body::Rule(body) => rule(body)?.map(|object| self.scratch.rule(header, &object)).transpose()?,
            Body::Set(body) => set(body)?.map(|object| self.scratch.set(header, &object)),
            Body::Table(body) => table(body)?.map(|object| self.scratch.table(header, &object)),
        };
        Ok(written.map(|message| messages.append(message)))
    }

    /// Appends one message with as many elements of a set as it can hold. Returns their number.
    pub(super) fn elements<'e>(
        &mut self,
        messages: &mut Messages,
        header: Header,
        to: &ElementsBody<'_>,
        elements: &mut Peekable<impl Iterator<Item = Elem<'e>>>,
    ) -> io::Result<Option<(usize, Option<Unlowerable>)>> {
        let ElementsBody { table, set, id, most, extras } = *to;
        if extras {
            return Ok(None);
        }
        let object = named_set(&SetBody { table, name: set, id, code: None })?;
        let mut element = nftnl::Element::new()?;
        let mut failed = None;
        let (count, message) =
            self.scratch.elements(header, &object, &mut element, most, |element| match elements.next() {
                Some(Ok((code, _))) => fill(element, &code).map(|()| true),
                Some(Err(error)) => {
                    failed = Some(error);
                    Ok(false)
                }
                None => Ok(false),
            })?;
        messages.append(message);
        Ok(Some((count, failed)))
    }
}

fn table(body: &TableBody<'_>) -> io::Result<Option<nftnl::Table>> {
    let TableBody { name, flags, userdata, opaque } = *body;
    if !opaque.is_empty() {
        return Ok(None);
    }
    let mut object = nftnl::Table::new()?;
    object.text(c::NFTNL_TABLE_NAME, name)?;
    if flags != 0 {
        object.u32(c::NFTNL_TABLE_FLAGS, flags);
    }
    if !userdata.is_empty() {
        object.data(c::NFTNL_TABLE_USERDATA, userdata)?;
    }
    Ok(Some(object))
}

fn chain(body: &ChainBody<'_>) -> io::Result<Option<nftnl::Chain>> {
    let ChainBody { table, name, hook, flags, counters, userdata, opaque } = *body;
    if counters.is_some() || !opaque.is_empty() {
        return Ok(None);
    }
    let mut object = nftnl::Chain::new()?;
    object.text(c::NFTNL_CHAIN_TABLE, table)?;
    object.text(c::NFTNL_CHAIN_NAME, name)?;
    if let Some(HookBody { chain_type, hook, priority, policy, devices, opaque }) = hook {
        if !(devices.is_empty() && opaque.is_empty()) {
            return Ok(None);
        }
        object.text(c::NFTNL_CHAIN_TYPE, chain_type)?;
        object.u32(c::NFTNL_CHAIN_HOOKNUM, hook);
        object.i32(c::NFTNL_CHAIN_PRIO, priority);
        object.u32(c::NFTNL_CHAIN_POLICY, policy);
    }
    if flags != 0 {
        object.u32(c::NFTNL_CHAIN_FLAGS, flags);
    }
    if !userdata.is_empty() {
        object.data(c::NFTNL_CHAIN_USERDATA, userdata)?;
    }
    Ok(Some(object))
}

fn rule(body: &RuleBody<'_>) -> io::Result<Option<nftnl::Rule>> {
    let RuleBody { table, chain, handle, position, exprs, mut first_set, userdata, opaque } = *body;
    if !opaque.is_empty() {
        return Ok(None);
    }
    let mut object = nftnl::Rule::new()?;
    object.text(c::NFTNL_RULE_TABLE, table)?;
    if let Some(chain) = chain {
        object.text(c::NFTNL_RULE_CHAIN, chain)?;
    }
    if let Some(handle) = handle {
        object.u64(c::NFTNL_RULE_HANDLE, handle.0);
    }
    if let Some(position) = position {
        object.u64(c::NFTNL_RULE_POSITION, position.0);
    }
    for code in exprs {
        let set = first_set;
        if code.anonymous_set().is_some() {
            first_set = first_set.wrapping_add(1);
        }
        match expr::build(code, set)? {
            Some(expr) => object.push(expr),
            None => return Ok(None),
        }
    }
    if let Some(Compat { protocol, flags }) = Compat::of(exprs) {
        object.u32(c::NFTNL_RULE_COMPAT_PROTO, protocol);
        object.u32(c::NFTNL_RULE_COMPAT_FLAGS, flags);
    }
    if !userdata.is_empty() {
        object.data(c::NFTNL_RULE_USERDATA, userdata)?;
    }
    Ok(Some(object))
}

fn named_set(body: &SetBody<'_>) -> io::Result<nftnl::Set> {
    let SetBody { table, name, id, code: _ } = *body;
    let mut object = nftnl::Set::new()?;
    object.text(c::NFTNL_SET_TABLE, table)?;
    object.text(c::NFTNL_SET_NAME, name)?;
    if let Some(id) = id {
        object.u32(c::NFTNL_SET_ID, id);
    }
    Ok(object)
}

fn set(body: &SetBody<'_>) -> io::Result<Option<nftnl::Set>> {
    let mut object = named_set(body)?;
    let Some(code) = body.code else { return Ok(Some(object)) };
    let SetCode { flags, key_type, key_len, data, fields, size, timeout, gc_interval, .. } = code;
    let SetCode { userdata, policy, object: kind, exprs, opaque, .. } = code;
    if !(exprs.is_empty() && opaque.is_empty()) {
        return Ok(None);
    }
    object.u32(c::NFTNL_SET_FLAGS, *flags);
    object.u32(c::NFTNL_SET_KEY_TYPE, *key_type);
    object.u32(c::NFTNL_SET_KEY_LEN, *key_len);
    if let Some((data_type, data_len)) = data {
        object.u32(c::NFTNL_SET_DATA_TYPE, *data_type);
        object.u32(c::NFTNL_SET_DATA_LEN, *data_len);
    }
    if let Some(kind) = kind {
        object.u32(c::NFTNL_SET_OBJ_TYPE, *kind);
    }
    if *policy != 0 {
        object.u32(c::NFTNL_SET_POLICY, *policy);
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
    if !userdata.is_empty() {
        object.data(c::NFTNL_SET_USERDATA, userdata)?;
    }
    Ok(Some(object))
}

/// Sets everything of an element, and removes what the previous one had.
fn fill(element: &mut nftnl::Element, code: &ElementCode) -> io::Result<()> {
    let ElementCode { key, key_end, flags, data, timeout, userdata, extras: _ } = code;
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
