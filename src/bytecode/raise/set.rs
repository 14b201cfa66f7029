//! Raises sets and their elements, as the kernel keeps them, to sets of the model.

use std::time::Duration;

use super::super::data::{self, Bytes, Order};
use super::super::elements::{CATCHALL, ElementCode, ElementDataCode, INTERVAL_END};
use super::super::expr::Expr;
use super::super::kept::{KeptElement, KeptSet, WholeSet, commented, entry, is_set, text, userdata_comment};
use super::super::lower::NoSets;
use super::super::set::{
    NFT_DATA_VERDICT, NFT_SET_ANONYMOUS, NFT_SET_CONCAT, NFT_SET_MAP, NFT_SET_OBJECT, SetCode, SetMode,
    UDATA_AUTO_MERGE, UDATA_COMMENT, UDATA_DATA_BYTEORDER, UDATA_DATA_INTERVAL, UDATA_KEY_BYTEORDER,
};
use super::declared::{Declared, KeyPart, Number, declared};
use crate::model::{
    DataType, Element, ElementData, Extra, Family, Interval, Kept, Key, Name, ObjectKind, Opaque, Set, SetData,
    SetFlags, SetPolicy, Statement,
};

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
    /// Flags that sets of the model cannot have.
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

/// Returns the set with this declaration and these elements.
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

/// Returns the set without its elements.
///
/// # Errors
/// [`Unraisable`] when the model has no form for it.
pub(crate) fn declaration(name: &Name, code: &SetCode) -> Result<Set, Unraisable> {
    let mistyped = |part, number| Unraisable::Type { set: name.clone(), part, number };
    let declared = declared(code);
    let key = key(code, &declared).ok_or_else(|| mistyped("key", code.key_type))?;
    let mut set = Set::new(name, key);
    set.data = match code.data {
        None => match code.object {
            None => SetData::None,
            Some(number) => SetData::Object(ObjectKind::from_number(number).ok_or_else(|| mistyped("data", number))?),
        },
        Some((NFT_DATA_VERDICT, _)) => SetData::Verdict,
        Some((number, len)) if is_set(&code.userdata, UDATA_DATA_INTERVAL) || number >= 1 << 6 => {
            several(code, number, len).ok_or_else(|| mistyped("data", number))?
        }
        Some((number, len)) => {
            SetData::Value(self::data(code, &declared, number, len).ok_or_else(|| mistyped("data", number))?)
        }
    };
    let object = if code.object.is_some() && code.data.is_none() { NFT_SET_OBJECT } else { 0 };
    let silent = NFT_SET_ANONYMOUS | NFT_SET_CONCAT | NFT_SET_MAP | object;
    let flags = SetFlags::from_bits(code.flags & !silent).filter(|flags| !flags.contains(SetFlags::AUTO_MERGE));
    set.flags = flags.ok_or_else(|| Unraisable::Flags { set: name.clone(), flags: code.flags })?;
    if is_set(&code.userdata, UDATA_AUTO_MERGE) {
        set.flags |= SetFlags::AUTO_MERGE;
    }
    set.comment = text(&code.userdata, UDATA_COMMENT);
    set.timeout = code.timeout.filter(|timeout| *timeout > 0).map(Duration::from_millis);
    set.gc_interval = code.gc_interval.filter(|interval| *interval > 0).map(|ms| Duration::from_millis(ms.into()));
    set.size = code.size.filter(|size| *size > 0);
    set.policy = if code.policy == NFT_SET_POL_MEMORY { SetPolicy::Memory } else { SetPolicy::Performance };
    set.statements = statements(&code.exprs);
    let (key, data) = (set.key.clone(), set.data.clone());
    set.kept = Kept::new(KeptSet { key, data, userdata: code.userdata.clone(), attributes: code.opaque.clone() });
    Ok(set)
}

/// Returns the statements that elements carry.
fn statements(exprs: &[Expr]) -> Vec<Statement> {
    super::raise_in_full(exprs, &[], Family::Inet, &NoSets).statements
}

/// Returns a set without a form in the model, which is sent as it was read. The parts of the
/// declaration that have names are set as well.
pub(crate) fn opaque_set(name: &Name, code: &SetCode, elements: &[ElementCode], learned: &[bool]) -> Set {
    let mut set = declaration(name, code).unwrap_or_else(|_| Set::new(name, []));
    set.comment = text(&code.userdata, UDATA_COMMENT);
    set.flags = SetFlags::from_bits_truncate(code.flags);
    let whole = WholeSet { code: code.clone(), elements: elements.to_vec(), learned: learned.to_vec() };
    let kind = if code.data.is_some() || code.object.is_some() { "map" } else { "set" };
    set.opaque = Some(Opaque::new(kind, None, whole));
    set
}

/// Returns the types of the key, each of which takes six bits of its number.
fn key(code: &SetCode, declared: &Declared) -> Option<Vec<DataType>> {
    let mut numbers = Vec::new();
    let mut rest = code.key_type;
    while rest != 0 {
        numbers.push(rest & 0x3f);
        rest >>= 6;
    }
    numbers.reverse();
    let types = numbers.iter().enumerate().map(|(index, number)| match (declared, numbers.as_slice()) {
        _ if *number != INTEGER => named(*number, code.key_len, numbers.len()),
        (Declared::Expressions(parts, _), _) => parts.get(index).and_then(integer),
        (Declared::Unknown, _) => None,
        (Declared::Types, [_]) => plain_integer(code.key_len, entry(&code.userdata, UDATA_KEY_BYTEORDER)),
        // As part of a concatenation, a number is padded to four bytes and read as one of four.
        (Declared::Types, _) => plain_integer(code.fields.get(index).map_or(4, |width| u32::from(*width)), None),
    });
    let key: Vec<DataType> = types.collect::<Option<_>>()?;
    // nft keeps the numbers of some types in host order in a set and loads them as in the packet.
    let order = entry(&code.userdata, UDATA_KEY_BYTEORDER);
    if let ([field], Some(order)) = (key.as_slice(), order) {
        let host = order == &1_u32.to_ne_bytes()[..];
        if host != field.is_host_order() && field.bytes() > 1 && *field != DataType::Ifname && *field != DataType::Text
        {
            return None;
        }
    }
    let length: usize = match key.as_slice() {
        [] => return None,
        [field] => field.bytes(),
        several => several.iter().map(|field| field.bytes().next_multiple_of(4)).sum(),
    };
    (usize::try_from(code.key_len) == Ok(length)).then_some(key)
}

/// Returns the type with that number. nft has two types of times with one name; a set that says
/// only `type time` has the shorter one, with the longer one's width.
fn named(number: u32, len: u32, parts: usize) -> Option<DataType> {
    let known = DataType::NAMED.iter().copied().find(|known| known.number() == number)?;
    let fits = parts > 1 || usize::try_from(len) == Ok(known.bytes());
    fits.then_some(known)
}

/// Returns the type of an element's value.
fn data(code: &SetCode, declared: &Declared, number: u32, len: u32) -> Option<DataType> {
    let data_type = match declared {
        _ if number != INTEGER => named(number, len, 1),
        Declared::Expressions(_, Some(part)) => integer(part),
        Declared::Unknown => None,
        Declared::Expressions(_, None) | Declared::Types => {
            plain_integer(len, entry(&code.userdata, UDATA_DATA_BYTEORDER))
        }
    };
    data_type.filter(|known| usize::try_from(len) == Ok(known.bytes()))
}

/// Returns the several values or intervals that elements map to; each type takes six bits of the
/// number.
fn several(code: &SetCode, number: u32, len: u32) -> Option<SetData> {
    let mut types = Vec::new();
    let mut rest = number;
    while rest != 0 {
        types.push(DataType::NAMED.iter().copied().find(|known| known.number() == rest & 0x3f)?);
        rest >>= 6;
    }
    types.reverse();
    let is_interval = is_set(&code.userdata, UDATA_DATA_INTERVAL);
    let width = match types.as_slice() {
        [one] => one.bytes(),
        several => several.iter().map(|part| part.bytes().next_multiple_of(4)).sum(),
    };
    let fits = usize::try_from(len) == Ok(if is_interval { 2 * width } else { width });
    fits.then_some(if is_interval { SetData::Interval(types) } else { SetData::Concat(types) })
}

/// Returns the type of a plain number, by the expression that nft declared it with.
fn integer(part: &KeyPart) -> Option<DataType> {
    match part.number {
        Number::Host(bytes @ (1 | 2 | 4 | 8 | 16)) => Some(DataType::Integer { bytes }),
        Number::Network(bytes @ 1..=16) => Some(DataType::NetworkInteger { bytes }),
        Number::Host(_) | Number::Network(_) | Number::None => None,
    }
}

/// Returns the type of a plain number of that length. `order` is nft's number of its byte order; 2
/// is network byte order.
fn plain_integer(len: u32, order: Option<&[u8]>) -> Option<DataType> {
    let bytes = u8::try_from(len).ok()?;
    let number = if order == Some(&2_u32.to_ne_bytes()[..]) { Number::Network(bytes) } else { Number::Host(bytes) };
    integer(&KeyPart { text: String::new(), number })
}

/// nft's number of `integer`.
const INTEGER: u32 = 4;

/// Returns the elements of a set with that key and data, which keeps them in `mode`; `None` if one
/// does not fit.
///
/// The codes are in ascending order of their keys. nft(8) starts a set with the end of an interval
/// that never began; it is ignored.
#[must_use]
pub fn raise_elements(codes: &[ElementCode], key: &[DataType], data: &SetData, mode: SetMode) -> Option<Vec<Element>> {
    let mut elements =
        Some(Vec::with_capacity(if mode == SetMode::Interval { codes.len() / 2 + 1 } else { codes.len() }));
    raise_each(codes, key, data, mode, |_, element| match (element, &mut elements) {
        (Some(element), Some(elements)) => elements.push(element),
        _ => elements = None,
    });
    elements
}

/// Returns the elements of a set, each with the time that is left to it; `None` when the model has
/// no form for the set or one of its elements. `expires` has the milliseconds of each code, or
/// nothing.
pub(crate) fn raise_timed(
    name: &Name,
    code: &SetCode,
    elements: &[ElementCode],
    expires: &[Option<u64>],
) -> Option<Vec<(Element, Option<Duration>)>> {
    let set = declaration(name, code).ok()?;
    let mut timed = Some(Vec::with_capacity(elements.len()));
    raise_each(elements, &set.key, &set.data, SetMode::of_set(&set), |index, element| {
        let left = expires.get(index).copied().flatten().map(Duration::from_millis);
        match (element, &mut timed) {
            (Some(element), Some(timed)) => timed.push((element, left)),
            _ => timed = None,
        }
    });
    timed
}

/// Calls `take` with every element and the index of its code; with `None` for one that does not
/// fit. The catch-all element has an empty concatenation as its key.
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

/// Returns whether an element is the catch-all element.
pub(crate) fn is_for_all(key: &Key) -> bool {
    key.parts().is_empty()
}

/// Sorts the elements by their places in the kernel's order, if those are given.
pub(crate) fn in_order(elements: Vec<Element>, order: &[u32]) -> Vec<Element> {
    if order.len() != elements.len() {
        return elements;
    }
    let mut placed: Vec<_> = order.iter().zip(elements).collect();
    placed.sort_by_key(|(place, _)| **place);
    placed.into_iter().map(|(_, element)| element).collect()
}

/// Returns a key of these bytes, with each part padded to 4 bytes if there are several.
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
    let object = code.extras.as_deref().and_then(|extras| extras.object.as_ref());
    element.data = match (data, code.data.as_deref()) {
        (SetData::None, None) if object.is_none() => None,
        (SetData::Object(_), None) => Some(Box::new(ElementData::Object(object?.clone()))),
        (SetData::Value(data_type), Some(ElementDataCode::Value(bytes))) => {
            Some(Box::new(ElementData::Value(data::value(bytes, *data_type, Order::Register)?)))
        }
        (SetData::Concat(types), Some(ElementDataCode::Value(bytes))) => {
            Some(Box::new(ElementData::Several(concat(bytes, bytes, types, Order::Register)?)))
        }
        (SetData::Interval(types), Some(ElementDataCode::Value(bytes))) => {
            let (low, high) = bytes.split_at_checked(bytes.len() / 2)?;
            let low = concat(low, low, types, Order::Register)?;
            let high = concat(high, high, types, Order::Register)?;
            let parts = low.parts().iter().zip(high.parts());
            let parts: Vec<Interval> =
                parts.map(|(low, high)| Interval { low: low.low.clone(), high: high.low.clone() }).collect();
            // nft has no words for one value of an interval.
            let key = if let [one] = parts.as_slice() { Key::Single(one.clone()) } else { Key::Concat(parts.into()) };
            Some(Box::new(ElementData::Several(Some(key).filter(is_some_interval)?)))
        }
        (SetData::Verdict, Some(ElementDataCode::Verdict(verdict))) => {
            Some(Box::new(ElementData::Verdict(verdict.clone())))
        }
        (SetData::Concat(_) | SetData::Interval(_) | SetData::None | SetData::Object(_), _)
        | (SetData::Value(_) | SetData::Verdict, _) => return None,
    };
    element.timeout = code.timeout.filter(|timeout| *timeout > 0).map(Duration::from_millis);
    element.comment = userdata_comment(&code.userdata).map(Into::into);
    let statements = code.extras.as_ref().map(|extras| self::statements(&extras.exprs)).unwrap_or_default();
    let kept = if commented(element.comment.as_deref(), &[]) == code.userdata {
        Kept::default()
    } else {
        Kept::new(KeptElement { userdata: code.userdata.clone(), learned: false })
    };
    if !statements.is_empty() || !kept.is_nothing() {
        element.extra = Some(Box::new(Extra { statements, kept }));
    }
    Some(element)
}

/// Returns whether it is an interval whose ends are in order.
fn is_some_interval(key: &Key) -> bool {
    key.is_interval() && key.parts().iter().all(|part| part.low <= part.high)
}

const NFT_SET_POL_MEMORY: u32 = 1;
