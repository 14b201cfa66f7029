//! Messages written by this crate: everything that the kernel accepts, including what has no
//! meaning here.
//!
//! The order of attributes is libnftnl's, so that both backends produce the same bytes. The kernel
//! ignores it.

use crate::attr::nfta::*;
use std::io;
use std::iter::Peekable;

use super::body::{
    Body, ChainBody, ELEMENT, Elem, ElementsBody, HookBody, LIST, ObjectBody, RuleBody, SetBody, TableBody,
};
use super::compat::Compat;
use crate::attr::{self, AttributeWriter};
use crate::bytecode::{ElementCode, ElementDataCode, ElementExtras, Expr, SetCode, Unlowerable};
use crate::netlink::expr;
use crate::netlink::write::{Header, Messages};
use crate::state::Counters;

/// Appends one message.
pub(super) fn write(messages: &mut Messages, header: Header, body: &Body<'_>) -> io::Result<()> {
    messages.message(header, |a| match body {
        Body::Chain(body) => chain(a, body),
        Body::Object(body) => object(a, body),
        Body::Rule(body) => rule(a, body),
        Body::Set(body) => set(a, body),
        Body::Table(body) => table(a, body),
    })
}

/// Appends one message with as many elements of a set as it can hold.
///
/// Returns their number. An element that has no code ends the message, and the reason is returned
/// too.
pub(super) fn elements<'e>(
    messages: &mut Messages,
    header: Header,
    to: &ElementsBody<'_>,
    elements: &mut Peekable<impl Iterator<Item = Elem<'e>>>,
) -> io::Result<(usize, Option<Unlowerable>)> {
    let ElementsBody { table, set, id, most: _, extras: _ } = *to;
    messages.message(header, |a| {
        a.text(NFTA_SET_ELEM_LIST_SET, set)?;
        if let Some(id) = id {
            a.be32(NFTA_SET_ELEM_LIST_SET_ID, id);
        }
        a.text(NFTA_SET_ELEM_LIST_TABLE, table)?;
        a.nest(NFTA_SET_ELEM_LIST_ELEMENTS, |a| {
            let start = a.position();
            let mut count = 0;
            while a.position() - start + ELEMENT <= LIST {
                let before = a.position();
                match elements.peek() {
                    None => break,
                    Some(Ok((code, left))) => a.nest(NFTA_LIST_ELEM, |a| element(a, code, *left))?,
                    Some(Err(why)) => return Ok((count, Some(why.clone()))),
                }
                // An element with many extras can be longer than what is left; alone it must fit,
                // or the list is refused.
                if count > 0 && a.position() - start > LIST {
                    a.rewind(before);
                    break;
                }
                elements.next();
                count += 1;
            }
            Ok((count, None))
        })
    })
}

fn names(a: &mut AttributeWriter<'_>, table: &str, name: &str, table_kind: u16, name_kind: u16) -> io::Result<()> {
    a.text(table_kind, table)?;
    a.text(name_kind, name)
}

fn table(a: &mut AttributeWriter<'_>, body: &TableBody<'_>) -> io::Result<()> {
    let TableBody { name, flags, userdata, opaque } = *body;
    a.text(NFTA_TABLE_NAME, name)?;
    if flags != 0 {
        a.be32(NFTA_TABLE_FLAGS, flags);
    }
    self::userdata(a, NFTA_TABLE_USERDATA, userdata)?;
    a.raw(opaque);
    Ok(())
}

fn chain(a: &mut AttributeWriter<'_>, body: &ChainBody<'_>) -> io::Result<()> {
    let ChainBody { table, name, hook, flags, counters, userdata, opaque } = *body;
    names(a, table, name, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME)?;
    if let Some(HookBody { chain_type, hook, priority, policy, devices, opaque }) = hook {
        a.nest(NFTA_CHAIN_HOOK, |a| {
            a.be32(NFTA_HOOK_HOOKNUM, hook);
            a.be32(NFTA_HOOK_PRIORITY, u32::from_ne_bytes(priority.to_ne_bytes()));
            if let [device] = devices {
                a.text(NFTA_HOOK_DEV, device)?;
            } else if !devices.is_empty() {
                let all =
                    |a: &mut AttributeWriter<'_>| devices.iter().try_for_each(|name| a.text(NFTA_DEVICE_NAME, name));
                a.nest(NFTA_HOOK_DEVS, all)?;
            }
            a.raw(opaque);
            Ok(())
        })?;
        a.be32(NFTA_CHAIN_POLICY, policy);
        a.text(NFTA_CHAIN_TYPE, chain_type)?;
    }
    if flags != 0 {
        a.be32(NFTA_CHAIN_FLAGS, flags);
    }
    if let Some(Counters { packets, bytes }) = counters {
        a.nest(NFTA_CHAIN_COUNTERS, |a| {
            a.be64(NFTA_COUNTER_BYTES, bytes);
            a.be64(NFTA_COUNTER_PACKETS, packets);
            Ok(())
        })?;
    }
    self::userdata(a, NFTA_CHAIN_USERDATA, userdata)?;
    a.raw(opaque);
    Ok(())
}

/// Writes an object; attribute 1 names the table for every kind of object.
fn object(a: &mut AttributeWriter<'_>, body: &ObjectBody<'_>) -> io::Result<()> {
    let ObjectBody { table, attributes, without } = *body;
    a.text(NFTA_OBJ_TABLE, table)?;
    for attribute in attr::Attributes::new(attributes) {
        let attribute = attribute.map_err(|cut| io::Error::new(io::ErrorKind::InvalidInput, cut))?;
        if attribute.kind != NFTA_OBJ_TABLE && !without.contains(&attribute.kind) {
            a.raw(attribute.raw);
        }
    }
    Ok(())
}

fn rule(a: &mut AttributeWriter<'_>, body: &RuleBody<'_>) -> io::Result<()> {
    let RuleBody { table, chain, handle, position, exprs, mut first_set, userdata, opaque } = *body;
    a.text(NFTA_RULE_TABLE, table)?;
    if let Some(chain) = chain {
        a.text(NFTA_RULE_CHAIN, chain)?;
    }
    if let Some(handle) = handle {
        a.be64(NFTA_RULE_HANDLE, handle.0);
    }
    if let Some(position) = position {
        a.be64(NFTA_RULE_POSITION, position.0);
    }
    self::userdata(a, NFTA_RULE_USERDATA, userdata)?;
    if !exprs.is_empty() {
        a.nest(NFTA_RULE_EXPRESSIONS, |a| {
            exprs.iter().try_for_each(|code| {
                let set = first_set;
                if code.anonymous_set().is_some() {
                    first_set = first_set.wrapping_add(1);
                }
                a.nest(NFTA_LIST_ELEM, |a| expr::write(a, code, set))
            })
        })?;
    }
    if let Some(Compat { protocol, flags }) = Compat::of(exprs) {
        a.nest(NFTA_RULE_COMPAT, |a| {
            a.be32(NFTA_RULE_COMPAT_PROTO, protocol);
            a.be32(NFTA_RULE_COMPAT_FLAGS, flags);
            Ok(())
        })?;
    }
    a.raw(opaque);
    Ok(())
}

fn set(a: &mut AttributeWriter<'_>, body: &SetBody<'_>) -> io::Result<()> {
    let SetBody { table, name, id, code } = *body;
    names(a, table, name, NFTA_SET_TABLE, NFTA_SET_NAME)?;
    let Some(code) = code else { return Ok(()) };
    let SetCode { flags, key_type, key_len, data, fields, size, timeout, gc_interval, .. } = code;
    let SetCode { userdata, policy, object, exprs, opaque, .. } = code;
    a.be32(NFTA_SET_FLAGS, *flags);
    a.be32(NFTA_SET_KEY_TYPE, *key_type);
    a.be32(NFTA_SET_KEY_LEN, *key_len);
    if let Some((data_type, data_len)) = data {
        a.be32(NFTA_SET_DATA_TYPE, *data_type);
        a.be32(NFTA_SET_DATA_LEN, *data_len);
    }
    if let Some(object) = object {
        a.be32(NFTA_SET_OBJ_TYPE, *object);
    }
    if let Some(id) = id {
        a.be32(NFTA_SET_ID, id);
    }
    if *policy != 0 {
        a.be32(NFTA_SET_POLICY, *policy);
    }
    let (described, opaque) = description(opaque);
    if size.is_some() || !fields.is_empty() || !described.is_empty() {
        a.nest(NFTA_SET_DESC, |a| {
            if let Some(size) = size {
                a.be32(NFTA_SET_DESC_SIZE, *size);
            }
            if !fields.is_empty() {
                a.nest(NFTA_SET_DESC_CONCAT, |a| fields.iter().try_for_each(|field| self::field(a, *field)))?;
            }
            a.raw(&described);
            Ok(())
        })?;
    }
    if let Some(timeout) = timeout {
        a.be64(NFTA_SET_TIMEOUT, *timeout);
    }
    if let Some(gc_interval) = gc_interval {
        a.be32(NFTA_SET_GC_INTERVAL, *gc_interval);
    }
    self::userdata(a, NFTA_SET_USERDATA, userdata)?;
    self::exprs(a, exprs, NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS)?;
    a.raw(&opaque);
    Ok(())
}

/// Splits the opaque attributes of a set into those of its description and the others.
fn description(opaque: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut described, mut others) = (Vec::new(), Vec::new());
    for attribute in attr::Attributes::new(opaque).map_while(Result::ok) {
        match attribute.kind {
            NFTA_SET_DESC => described.extend_from_slice(attribute.value),
            _ => others.extend_from_slice(attribute.raw),
        }
    }
    (described, others)
}

fn field(a: &mut AttributeWriter<'_>, width: u8) -> io::Result<()> {
    a.nest(NFTA_LIST_ELEM, |a| {
        a.be32(NFTA_SET_FIELD_LEN, u32::from(width));
        Ok(())
    })
}

fn element(a: &mut AttributeWriter<'_>, code: &ElementCode, left: Option<u64>) -> io::Result<()> {
    let ElementCode { key, key_end, flags, data, timeout, userdata, extras } = code;
    if *flags != 0 {
        a.be32(NFTA_SET_ELEM_FLAGS, *flags);
    }
    if let Some(timeout) = timeout {
        a.be64(NFTA_SET_ELEM_TIMEOUT, *timeout);
    }
    if let Some(left) = left {
        a.be64(NFTA_SET_ELEM_EXPIRATION, left);
    }
    // The catch-all element has no key.
    if *flags & NFT_SET_ELEM_CATCHALL == 0 {
        expr::data(a, NFTA_SET_ELEM_KEY, key)?;
    }
    if let Some(key_end) = key_end {
        expr::data(a, NFTA_SET_ELEM_KEY_END, key_end)?;
    }
    match data.as_deref() {
        Some(ElementDataCode::Value(value)) => expr::data(a, NFTA_SET_ELEM_DATA, value)?,
        Some(ElementDataCode::Verdict(verdict)) => expr::verdict(a, NFTA_SET_ELEM_DATA, verdict)?,
        None => {}
    }
    self::userdata(a, NFTA_SET_ELEM_USERDATA, userdata)?;
    let Some(extras) = extras else { return Ok(()) };
    let ElementExtras { exprs, object, opaque } = &**extras;
    if let Some(object) = object {
        a.text(NFTA_SET_ELEM_OBJREF, object.as_str())?;
    }
    self::exprs(a, exprs, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_EXPRESSIONS)?;
    a.raw(opaque);
    Ok(())
}

/// Writes what a set or an element carries: one expression, or a list.
fn exprs(a: &mut AttributeWriter<'_>, exprs: &[Expr], one: u16, several: u16) -> io::Result<()> {
    match exprs {
        [] => Ok(()),
        [code] => a.nest(one, |a| expr::write(a, code, 0)),
        codes => {
            let each = |a: &mut AttributeWriter<'_>, code| a.nest(NFTA_LIST_ELEM, |a| expr::write(a, code, 0));
            a.nest(several, |a| codes.iter().try_for_each(|code| each(a, code)))
        }
    }
}

fn userdata(a: &mut AttributeWriter<'_>, kind: u16, userdata: &[u8]) -> io::Result<()> {
    if userdata.is_empty() { Ok(()) } else { a.bytes(kind, userdata, USERDATA) }
}

/// `NFT_USERDATA_MAXLEN`, include/uapi/linux/netfilter/nf_tables.h; so are all that follow.
const USERDATA: usize = 256;
const NFT_SET_ELEM_CATCHALL: u32 = 2;
