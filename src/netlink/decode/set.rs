//! Decodes sets and their elements.

use super::expr::{expr, exprs};
use super::parts::{Data, data};
use super::{InTable, name};
use crate::attr::nfta::*;
use crate::attr::{Attribute, Attributes, Malformed};
use crate::bytecode::{Bytes, ElementCode, ElementDataCode, ElementExtras, INTERVAL_END, SetCode};
use crate::model::SetHandle;
use crate::state::SetState;

/// Decodes a set without its elements (`enum nft_set_attributes`); `None` when it cannot be named.
pub(super) fn set<'a>(family: u8, attributes: Attributes<'a>) -> Result<Option<(InTable<'a>, SetState)>, Malformed> {
    let (mut place, mut named, mut handle) = (None, None, SetHandle::default());
    let (mut data_type, mut data_len) = (None, 0);
    let (mut backend, mut count) = (None, None);
    let mut code = SetCode::default();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_SET_TABLE => place = InTable::of(family, &attribute),
            NFTA_SET_NAME => named = name(&attribute),
            NFTA_SET_FLAGS => code.flags = attribute.need_be32()?,
            NFTA_SET_KEY_TYPE => code.key_type = attribute.need_be32()?,
            NFTA_SET_KEY_LEN => code.key_len = attribute.need_be32()?,
            NFTA_SET_DATA_TYPE => data_type = Some(attribute.need_be32()?),
            NFTA_SET_DATA_LEN => data_len = attribute.need_be32()?,
            NFTA_SET_POLICY => code.policy = attribute.need_be32()?,
            NFTA_SET_DESC => {
                let unknown = description(&attribute, &mut code)?;
                if !unknown.is_empty() {
                    crate::attr::AttributeWriter::new(&mut code.opaque).nest_raw(NFTA_SET_DESC, &unknown);
                }
            }
            NFTA_SET_TIMEOUT => code.timeout = Some(attribute.need_be64()?),
            NFTA_SET_GC_INTERVAL => code.gc_interval = Some(attribute.need_be32()?),
            NFTA_SET_USERDATA => code.userdata = attribute.value.to_vec(),
            NFTA_SET_PAD if attribute.value.is_empty() => {}
            NFTA_SET_OBJ_TYPE => code.object = Some(attribute.need_be32()?),
            NFTA_SET_HANDLE => handle = SetHandle(attribute.need_be64()?),
            NFTA_SET_EXPR => match expr(&attribute)? {
                Some(expr) => code.exprs.push(expr),
                None => code.opaque.extend(attribute.raw),
            },
            NFTA_SET_EXPRESSIONS => code.exprs = exprs(&attribute, &mut code.opaque)?,
            NFTA_SET_TYPE if attribute.text().is_some() => backend = attribute.text().map(str::to_owned),
            NFTA_SET_COUNT => count = Some(attribute.need_be32()?),
            _ => code.opaque.extend(attribute.raw),
        }
    }
    // The kernel reports the size of its own verdict structure, which depends on the word size.
    code.data = data_type.map(|kind| (kind, if kind == NFT_DATA_VERDICT { 0 } else { data_len }));
    let (Some(place), Some(name)) = (place, named) else { return Ok(None) };
    let set =
        SetState { name, handle, code, elements: Vec::new(), order: Vec::new(), expires: Vec::new(), backend, count };
    Ok(Some((place, set)))
}

/// Decodes `enum nft_set_desc_attributes`: size and the lengths of the fields. Returns all other
/// attributes.
fn description(attribute: &Attribute<'_>, code: &mut SetCode) -> Result<Vec<u8>, Malformed> {
    let mut unknown = Vec::new();
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            NFTA_SET_DESC_SIZE => code.size = Some(part.need_be32()?),
            NFTA_SET_DESC_CONCAT => match fields(&part)? {
                Some(fields) => code.fields = fields,
                None => unknown.extend(part.raw),
            },
            _ => unknown.extend(part.raw),
        }
    }
    Ok(unknown)
}

/// Decodes a list of `enum nft_set_field_attributes`; `None` when a field has more than a length.
fn fields(attribute: &Attribute<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    let malformed = Malformed { at: attribute.at };
    let (mut fields, mut whole) = (Vec::new(), true);
    for field in attribute.nested() {
        for part in field?.nested() {
            let part = part?;
            if part.kind == NFTA_SET_FIELD_LEN {
                fields.push(u8::try_from(part.need_be32()?).map_err(|_| malformed)?);
            } else {
                whole = false;
            }
        }
    }
    Ok(whole.then_some(fields))
}

/// Elements of one set, from one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Elements {
    /// The elements, in the kernel's order.
    pub(crate) elements: Vec<ElementCode>,
    /// The milliseconds left for each element; empty when all stay.
    pub(crate) expires: Vec<Option<u64>>,
}

/// The set, and its elements.
pub(super) type ElementsOf<'a> = (InTable<'a>, &'a [u8], Elements);

/// Decodes `enum nft_set_elem_list_attributes`; `None` when the set is missing, or when there are
/// attributes other than set and elements.
pub(super) fn elements<'a>(family: u8, attributes: Attributes<'a>) -> Result<Option<ElementsOf<'a>>, Malformed> {
    let (mut place, mut set, mut read) = (None, None, Elements::default());
    let mut fits = true;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NFTA_SET_ELEM_LIST_TABLE => place = InTable::of(family, &attribute),
            NFTA_SET_ELEM_LIST_SET => set = attribute.value.strip_suffix(&[0]),
            NFTA_SET_ELEM_LIST_ELEMENTS => {
                let list = attribute.nested();
                read.elements.reserve(list.clone().count());
                for part in list {
                    let part = part?;
                    fits &= part.kind == NFTA_LIST_ELEM;
                    let (element, expires) = element(&part)?;
                    if expires.is_some() {
                        read.expires.resize(read.elements.len(), None);
                    }
                    read.elements.push(element);
                    if expires.is_some() || !read.expires.is_empty() {
                        read.expires.push(expires);
                    }
                }
            }
            _ => fits = false,
        }
    }
    let (Some(place), Some(set)) = (place, set) else { return Ok(None) };
    Ok(fits.then_some((place, set, read)))
}

/// Decodes one element (`enum nft_set_elem_attributes`) and the milliseconds left for it.
fn element(attribute: &Attribute<'_>) -> Result<(ElementCode, Option<u64>), Malformed> {
    let mut code = ElementCode::default();
    let mut extras = ElementExtras::default();
    let mut expires = None;
    for part in attribute.nested() {
        let part = part?;
        match part.kind {
            NFTA_SET_ELEM_KEY => match value(&part)? {
                Some(key) => code.key = key,
                None => extras.opaque.extend(part.raw),
            },
            NFTA_SET_ELEM_DATA => match data(part.value)? {
                Some(Data::Value(value)) => code.data = Some(Box::new(ElementDataCode::Value(value))),
                Some(Data::Verdict(verdict)) => code.data = Some(Box::new(ElementDataCode::Verdict(verdict))),
                None => extras.opaque.extend(part.raw),
            },
            NFTA_SET_ELEM_FLAGS => code.flags = part.need_be32()?,
            NFTA_SET_ELEM_TIMEOUT => code.timeout = Some(part.need_be64()?),
            NFTA_SET_ELEM_EXPIRATION => expires = Some(part.need_be64()?),
            NFTA_SET_ELEM_USERDATA => code.userdata = part.value.to_vec(),
            NFTA_SET_ELEM_EXPR => match expr(&part)? {
                Some(expr) => extras.exprs.push(expr),
                None => extras.opaque.extend(part.raw),
            },
            NFTA_SET_ELEM_PAD if part.value.is_empty() => {}
            NFTA_SET_ELEM_OBJREF if name(&part).is_some() => extras.object = name(&part),
            NFTA_SET_ELEM_KEY_END => match value(&part)? {
                Some(key) => code.key_end = Some(key),
                None => extras.opaque.extend(part.raw),
            },
            NFTA_SET_ELEM_EXPRESSIONS => extras.exprs = exprs(&part, &mut extras.opaque)?,
            _ => extras.opaque.extend(part.raw),
        }
    }
    if code.flags & INTERVAL_END != 0 {
        // The end of an interval does not expire; where the set has a timeout the kernel reports
        // 0.
        code.timeout = code.timeout.filter(|timeout| *timeout != 0);
        expires = expires.filter(|expires| *expires != 0);
        // Before 5.13 an end has a copy of the set's expressions, which no kernel accepts
        // (nft_add_set_elem, net/netfilter/nf_tables_api.c, v5.10) and no packet meets.
        extras.exprs.clear();
    }
    if extras != ElementExtras::default() {
        code.extras = Some(Box::new(extras));
    }
    Ok((code, expires))
}

fn value(attribute: &Attribute<'_>) -> Result<Option<Bytes>, Malformed> {
    Ok(match data(attribute.value)? {
        Some(Data::Value(bytes)) => Some(bytes),
        Some(Data::Verdict(_)) | None => None,
    })
}

const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
