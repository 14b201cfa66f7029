//! Sets and their elements as the kernel keeps them, to sets of the model.

use std::time::Duration;

use super::super::data::{self, Bytes, Order};
use super::super::elements::{ElementCode, ElementDataCode, INTERVAL_END};
use super::super::set::{
    NFT_DATA_VERDICT, NFT_SET_ANONYMOUS, NFT_SET_CONCAT, NFT_SET_MAP, SetCode, SetMode, UDATA_AUTO_MERGE,
    UDATA_COMMENT, type_number,
};
use crate::model::{DataType, Element, ElementData, Interval, Key, Name, Set, SetData, SetFlags};

/// Why a set has no form in the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unraisable {
    /// A type of key or data that has no name here.
    #[error("set {set}: type {number} of its {part} has no name here")]
    Type {
        /// The set.
        set: Name,
        /// `key` or `data`.
        part: &'static str,
        /// nft's number of the type.
        number: u32,
    },
    /// Something that sets of the model cannot do.
    #[error("set {set}: it has flags {flags:#x} that have no name here")]
    Flags {
        /// The set.
        set: Name,
        /// The flags.
        flags: u32,
    },
    /// An element that does not have the types of its set.
    #[error("set {set}: an element does not have the types of the set")]
    Element {
        /// The set.
        set: Name,
    },
}

/// The set that a declaration and its elements say.
///
/// # Errors
/// [`Unraisable`] when the model has no form for it.
pub fn raise_set(name: &Name, code: &SetCode, elements: &[ElementCode]) -> Result<Set, Unraisable> {
    let mut set = declaration(name, code)?;
    let mode = SetMode::of(set.flags, set.key.len());
    set.elements =
        raise_elements(elements, &set.key, &set.data, mode).ok_or_else(|| Unraisable::Element { set: name.clone() })?;
    Ok(set)
}

/// The set without its elements.
///
/// # Errors
/// [`Unraisable`] when the model has no form for it.
pub(crate) fn declaration(name: &Name, code: &SetCode) -> Result<Set, Unraisable> {
    let mistyped = |part, number| Unraisable::Type { set: name.clone(), part, number };
    let key = key(code).ok_or_else(|| mistyped("key", code.key_type))?;
    let mut set = Set::new(name, key);
    set.data = match code.data {
        None => SetData::None,
        Some((NFT_DATA_VERDICT, _)) => SetData::Verdict,
        Some((number, len)) => SetData::Value(data_type(number, len).ok_or_else(|| mistyped("data", number))?),
    };
    let silent = NFT_SET_ANONYMOUS | NFT_SET_CONCAT | NFT_SET_MAP;
    let flags = SetFlags::from_bits(code.flags & !silent).filter(|flags| !flags.contains(SetFlags::AUTO_MERGE));
    set.flags = flags.ok_or_else(|| Unraisable::Flags { set: name.clone(), flags: code.flags })?;
    if entry(&code.userdata, UDATA_DATA_INTERVAL).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)) {
        return Err(mistyped("data", code.data.map_or(0, |(number, _)| number)));
    }
    if entry(&code.userdata, UDATA_AUTO_MERGE).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)) {
        set.flags |= SetFlags::AUTO_MERGE;
    }
    set.comment = text(&code.userdata, UDATA_COMMENT);
    set.timeout = code.timeout.filter(|timeout| *timeout > 0).map(Duration::from_millis);
    set.gc_interval = code.gc_interval.filter(|interval| *interval > 0).map(|ms| Duration::from_millis(ms.into()));
    set.size = code.size.filter(|size| *size > 0);
    Ok(set)
}

/// The types of the key, six bits of its number each.
fn key(code: &SetCode) -> Option<Vec<DataType>> {
    let mut numbers = Vec::new();
    let mut rest = code.key_type;
    while rest != 0 {
        numbers.push(rest & 0x3f);
        rest >>= 6;
    }
    numbers.reverse();
    let width = |index: usize| match (numbers.len(), code.fields.get(index)) {
        (1, _) => code.key_len,
        (_, Some(width)) => u32::from(*width),
        // Padded to four bytes, a number reads as one of four.
        (_, None) => 4,
    };
    let types = numbers.iter().enumerate().map(|(index, number)| {
        let sized = data_type(*number, width(index));
        sized.or_else(|| (numbers.len() > 1).then(|| TYPES.into_iter().find(|known| type_number(*known) == *number))?)
    });
    let key: Vec<DataType> = types.collect::<Option<_>>()?;
    let length: usize = match key.as_slice() {
        [] => return None,
        [field] => field.bytes(),
        several => several.iter().map(|field| field.bytes().next_multiple_of(4)).sum(),
    };
    (usize::try_from(code.key_len) == Ok(length)).then_some(key)
}

/// The type with nft's number and that width.
fn data_type(number: u32, len: u32) -> Option<DataType> {
    if number == type_number(DataType::Integer { bytes: 4 }) {
        return u8::try_from(len).ok().filter(|len| matches!(len, 1 | 2 | 4)).map(|bytes| DataType::Integer { bytes });
    }
    TYPES.into_iter().find(|known| type_number(*known) == number && usize::try_from(len) == Ok(known.bytes()))
}

const TYPES: [DataType; 18] = [
    DataType::AddrType,
    DataType::CtDirection,
    DataType::CtState,
    DataType::CtStatus,
    DataType::Gid,
    DataType::IcmpType,
    DataType::Icmpv6Type,
    DataType::Ifindex,
    DataType::Ifname,
    DataType::Ipv4,
    DataType::Ipv6,
    DataType::Mark,
    DataType::Nfproto,
    DataType::PktType,
    DataType::Port,
    DataType::Protocol,
    DataType::TcpFlags,
    DataType::Uid,
];

/// The elements of a set with that key and data, which keeps them in `mode`; `None` when one does not fit.
///
/// The codes are in ascending order of their keys. The end of an interval that never began, with which nft(8) starts a set, says nothing.
#[must_use]
pub fn raise_elements(codes: &[ElementCode], key: &[DataType], data: &SetData, mode: SetMode) -> Option<Vec<Element>> {
    let mut elements =
        Some(Vec::with_capacity(if mode == SetMode::Interval { codes.len() / 2 + 1 } else { codes.len() }));
    raise_each(codes, key, data, mode, |_, element| {
        match (element.filter(|element| !is_for_all(&element.key)), &mut elements) {
            (Some(element), Some(elements)) => elements.push(element),
            _ => elements = None,
        }
    });
    elements
}

/// Gives every element with the index of its code; `None` for one that does not fit. The key of the element for every key that no
/// other has is a concatenation of nothing.
pub(crate) fn raise_each(
    codes: &[ElementCode],
    key: &[DataType],
    data: &SetData,
    mode: SetMode,
    mut take: impl FnMut(usize, Option<Element>),
) {
    let order = if mode == SetMode::Plain { Order::Register } else { Order::Sorted };
    let mut open: Option<(usize, &ElementCode)> = None;
    let close = |(index, begun): (usize, &ElementCode), high: Option<Bytes>| {
        let interval = key.first().zip(high).and_then(|(field, high)| data::interval(&begun.key, &high, *field));
        (index, interval.and_then(|interval| element(Key::Single(interval), begun, data)))
    };
    for (index, code) in codes.iter().enumerate() {
        if code.flags & CATCHALL != 0 {
            take(index, element(Key::Concat(Box::default()), code, data));
        } else if mode == SetMode::Interval {
            if let Some(begun) = open.take() {
                let (index, element) = close(begun, data::predecessor(code.key.clone()));
                take(index, element);
            }
            if code.flags & INTERVAL_END == 0 {
                open = Some((index, code));
            }
        } else {
            let high = code.key_end.as_ref().filter(|_| mode == SetMode::Ranges).unwrap_or(&code.key);
            take(index, concat(&code.key, high, key, order).and_then(|key| element(key, code, data)));
        }
    }
    if let Some(begun) = open {
        let (index, element) = close(begun, Some(begun.1.key.iter().map(|_| 0xff).collect()));
        take(index, element);
    }
}

/// Whether an element is for every key that no other has.
pub(crate) fn is_for_all(key: &Key) -> bool {
    key.parts().is_empty()
}

/// The elements in the kernel's order, where each one's place in it is given.
pub(crate) fn in_order(elements: Vec<Element>, order: &[u32]) -> Vec<Element> {
    if order.len() != elements.len() {
        return elements;
    }
    let mut placed: Vec<_> = order.iter().zip(elements).collect();
    placed.sort_by_key(|(place, _)| **place);
    placed.into_iter().map(|(_, element)| element).collect()
}

/// The parts of a key, each padded to 4 bytes where there are several.
fn concat(low: &[u8], high: &[u8], key: &[DataType], order: Order) -> Option<Key> {
    let part = |low: &[u8], high: &[u8], field: DataType| match order {
        Order::Sorted => data::interval(low, high, field),
        Order::Register => data::value(low, field, order).map(Interval::point),
    };
    if let [field] = key {
        return part(low, high, *field).map(Key::Single);
    }
    let mut parts = Vec::with_capacity(key.len());
    let (mut low, mut high) = (low, high);
    for field in key {
        let (low_part, low_rest) = low.split_at_checked(field.bytes().next_multiple_of(4))?;
        let (high_part, high_rest) = high.split_at_checked(field.bytes().next_multiple_of(4))?;
        parts.push(part(low_part.get(..field.bytes())?, high_part.get(..field.bytes())?, *field)?);
        (low, high) = (low_rest, high_rest);
    }
    low.is_empty().then(|| Key::Concat(parts.into()))
}

fn element(key: Key, code: &ElementCode, data: &SetData) -> Option<Element> {
    if code.flags & !(INTERVAL_END | CATCHALL) != 0 {
        return None;
    }
    let mut element = Element::new(key);
    element.data = match (data, code.data.as_deref()) {
        (SetData::None, None) => None,
        (SetData::Value(data_type), Some(ElementDataCode::Value(bytes))) => {
            Some(Box::new(ElementData::Value(data::value(bytes, *data_type, Order::Register)?)))
        }
        (SetData::Verdict, Some(ElementDataCode::Verdict(verdict))) => {
            Some(Box::new(ElementData::Verdict(verdict.clone())))
        }
        (SetData::None | SetData::Value(_) | SetData::Verdict, _) => return None,
    };
    element.timeout = code.timeout.filter(|timeout| *timeout > 0).map(Duration::from_millis);
    element.comment = text(&code.userdata, super::UDATA_COMMENT).map(Into::into);
    Some(element)
}

/// The bytes of one entry of userdata.
pub(super) fn entry(userdata: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = userdata;
    while let [found, length, behind @ ..] = rest {
        let (bytes, next) = behind.split_at_checked(usize::from(*length))?;
        if *found == kind {
            return Some(bytes);
        }
        rest = next;
    }
    None
}

/// A text in userdata, without its NUL.
pub(crate) fn text(userdata: &[u8], kind: u8) -> Option<String> {
    let bytes = entry(userdata, kind)?;
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    Some(String::from_utf8_lossy(text).into_owned())
}

/// `NFT_SET_ELEM_CATCHALL`.
const CATCHALL: u32 = 2;

/// `NFTNL_UDATA_SET_DATA_INTERVAL`: what elements map to are intervals.
const UDATA_DATA_INTERVAL: u8 = 6;
