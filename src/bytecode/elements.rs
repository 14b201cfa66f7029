//! Elements of sets as the kernel keeps them, produced one by one, so that a hundred thousand need
//! no second copy.

use std::borrow::Cow;
use std::{slice, vec};

use super::data::{self, Bytes, Order};
use super::expr::Expr;
use super::kept::{KeptElement, WholeSet, commented};
use super::lower::Unlowerable;
use super::set::{SetMode, carried, millis};
use crate::model::{
    DataType, Element, ElementData, Interval, Key, Name, Opaque, Set, SetData, SetFlags, Value, Verdict,
};

/// One element.
///
/// The kernel keeps `timeout` in ticks of 1 to 10 ms and reports it rounded; see
/// [`same`](ElementCode::same).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the attributes of NFTA_LIST_ELEM")]
pub struct ElementCode {
    /// The key, or the start of an interval.
    pub key: Bytes,
    /// The last key of a range of concatenations, included.
    pub key_end: Option<Bytes>,
    /// `NFT_SET_ELEM_*`: 1 marks the end of an interval, which is not part of it; 2 is the element
    /// for every key that no other has.
    pub flags: u32,
    /// The value or verdict that it maps to.
    pub data: Option<Box<ElementDataCode>>,
    /// Timeout in milliseconds if it differs from the set's; 0 for ever.
    pub timeout: Option<u64>,
    /// The comment, as userdata.
    pub userdata: Vec<u8>,
    /// Statements and other parts that few elements have.
    pub extras: Option<Box<ElementExtras>>,
}

/// Parts that few elements have.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the attributes of NFTA_LIST_ELEM")]
pub struct ElementExtras {
    /// Statements of the element: a counter, a limit.
    pub exprs: Vec<Expr>,
    /// The stateful object it maps to.
    pub object: Option<Name>,
    /// Attributes that this crate does not understand, as the kernel gave them.
    pub opaque: Vec<u8>,
}

/// The value or verdict that an element maps to.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a value or a verdict")]
pub enum ElementDataCode {
    /// A value in register byte order.
    Value(Bytes),
    /// A verdict.
    Verdict(Verdict),
}

/// `NFT_SET_ELEM_CATCHALL`.
pub(crate) const CATCHALL: u32 = 2;
/// `NFT_SET_ELEM_INTERVAL_END`.
pub(crate) const INTERVAL_END: u32 = 1;

/// Returns the elements of a set in the order in which the kernel takes them fastest: ascending by
/// the bytes of the key, each interval's start before its end.
///
/// With `AUTO_MERGE`, overlapping and adjacent intervals are merged; without it, they are sent as
/// they are and the kernel refuses overlaps.
pub fn lower_elements(set: &Set) -> impl Iterator<Item = Result<ElementCode, Unlowerable>> {
    let whole: Option<&WholeSet> = set.opaque.as_ref().and_then(Opaque::code);
    let mode = SetMode::of_set(set);
    let (as_they_are, made) = if whole.is_none() { ordered(set, mode) } else { (&[][..], Vec::new()) };
    let read = whole.map_or(&[][..], |whole| &whole.elements);
    Codes { set, mode, end: None, read: read.iter(), as_they_are: as_they_are.iter(), made: made.into_iter() }
}

/// Lowers one element after the other.
struct Codes<'s> {
    set: &'s Set,
    mode: SetMode,
    /// The exclusive end of the previous interval, which comes next.
    end: Option<Bytes>,
    /// The elements of a set that has no form in the model.
    read: slice::Iter<'s, ElementCode>,
    as_they_are: slice::Iter<'s, Element>,
    made: vec::IntoIter<Cow<'s, Element>>,
}

impl Iterator for Codes<'_> {
    type Item = Result<ElementCode, Unlowerable>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(key) = self.end.take() {
            return Some(Ok(ElementCode { key, flags: INTERVAL_END, ..bare() }));
        }
        if let Some(code) = self.read.next() {
            return Some(Ok(code.clone()));
        }
        let Codes { set, mode, end, .. } = self;
        if let Some(element) = self.as_they_are.next() {
            return Some(lower_element(set, *mode, element, end));
        }
        let element = self.made.next()?;
        Some(lower_element(set, *mode, &element, end))
    }
}

/// Returns the element from which the code at index `code` of [`lower_elements`] was made.
#[must_use]
pub fn element_at(set: &Set, code: usize) -> Option<Element> {
    if set.opaque.is_some() {
        return None;
    }
    let mode = SetMode::of_set(set);
    let (as_they_are, made) = ordered(set, mode);
    let mut codes = 0;
    let found = as_they_are.iter().map(Cow::Borrowed).chain(made).find(|element| {
        let mut end = None;
        drop(lower_element(set, mode, element, &mut end));
        codes += 1 + usize::from(end.is_some());
        codes > code
    });
    found.map(Cow::into_owned)
}

/// Lowers an element; stores the end of its interval, which needs another code, in `end`.
fn lower_element(
    set: &Set,
    mode: SetMode,
    element: &Element,
    end: &mut Option<Bytes>,
) -> Result<ElementCode, Unlowerable> {
    let mistyped = || misfit(set, element);
    let parts = element.key.parts();
    if parts.is_empty() {
        return Ok(ElementCode { flags: CATCHALL, ..lower_extras(set, element)? });
    }
    if parts.len() != set.key.len() {
        return Err(mistyped());
    }
    let mut code = if element.is_bare() && set.data == SetData::None { bare() } else { lower_extras(set, element)? };
    let typed = || parts.iter().zip(&set.key);
    let single = parts.len() == 1;
    match mode {
        SetMode::Plain => {
            if element.key.is_interval() {
                return Err(mistyped());
            }
            let fields = typed().map(|(part, field)| data::bytes(&part.low, *field, Order::Register));
            code.key = concat(fields, single).ok_or_else(mistyped)?;
        }
        SetMode::Ranges => {
            let ends = |pick: fn((Bytes, Bytes)) -> Bytes| {
                concat(typed().map(|(part, field)| data::ends(part, *field).map(pick)), single).ok_or_else(mistyped)
            };
            code.key = ends(|(low, _)| low)?;
            code.key_end = Some(ends(|(_, high)| high)?);
        }
        SetMode::Interval => {
            let ends = typed().next().and_then(|(part, field)| data::ends(part, *field));
            let (low, high) = ends.ok_or_else(mistyped)?;
            code.key = low;
            *end = data::successor(high);
        }
    }
    Ok(code)
}

fn misfit(set: &Set, element: &Element) -> Unlowerable {
    Unlowerable::Element { set: set.name.clone(), element: element.to_string() }
}

/// Returns an element with an empty key and nothing else.
fn bare() -> ElementCode {
    let (key, userdata) = (Bytes::new(), Vec::new());
    ElementCode { key, key_end: None, flags: 0, data: None, timeout: None, userdata, extras: None }
}

/// Lowers everything but the key of an element.
fn lower_extras(set: &Set, element: &Element) -> Result<ElementCode, Unlowerable> {
    let Element { key: _, data, timeout, extra } = element;
    let mut object = None;
    let data = match (&set.data, data.as_deref()) {
        (SetData::None, None) => None,
        (SetData::Object(_), Some(ElementData::Object(name))) => {
            object = Some(name.clone());
            None
        }
        (SetData::Value(data_type), Some(ElementData::Value(value))) => Some(Box::new(ElementDataCode::Value(
            data::bytes(value, *data_type, Order::Register).ok_or_else(|| misfit(set, element))?,
        ))),
        (SetData::Concat(types) | SetData::Interval(types), Some(ElementData::Several(key))) => {
            let bytes = several(key, types, matches!(set.data, SetData::Interval(_)));
            Some(Box::new(ElementDataCode::Value(bytes.ok_or_else(|| misfit(set, element))?)))
        }
        (SetData::Verdict, Some(ElementData::Verdict(verdict))) => {
            Some(Box::new(ElementDataCode::Verdict(verdict.clone())))
        }
        (SetData::Concat(_) | SetData::Interval(_) | SetData::None | SetData::Object(_), _)
        | (SetData::Value(_) | SetData::Verdict, _) => return Err(misfit(set, element)),
    };
    let (mut read, mut extras) = (&[][..], None);
    if let Some(extra) = extra {
        read = extra.kept.code::<KeptElement>().map_or(&[], |kept| &kept.userdata);
        let exprs = carried(&extra.statements)?;
        extras = (!exprs.is_empty()).then(|| Box::new(ElementExtras { exprs, ..ElementExtras::default() }));
    }
    if object.is_some() {
        extras.get_or_insert_default().object = object;
    }
    let userdata = commented(element.get_comment(), read);
    // The kernel does not report a timeout that equals the set's.
    let timeout = timeout.filter(|timeout| set.timeout != Some(*timeout)).map(millis);
    Ok(ElementCode { data, timeout, userdata, extras, ..bare() })
}

/// Returns several values that an element maps to, or the lowest ones and then the highest ones.
fn several(key: &Key, types: &[DataType], is_interval: bool) -> Option<Bytes> {
    let parts = key.parts();
    if parts.len() != types.len() || !is_interval && key.is_interval() {
        return None;
    }
    let end = |pick: fn(&Interval) -> &Value| {
        let values = parts.iter().zip(types).map(|(part, of)| data::bytes(pick(part), *of, Order::Register));
        concat(values, parts.len() == 1 && is_interval)
    };
    let mut bytes = end(|part| &part.low)?;
    if is_interval {
        bytes.extend_from_slice(&end(|part| &part.high)?);
    }
    Some(bytes)
}

/// Joins the fields of a key, each padded to 4 bytes if there are several.
fn concat(fields: impl Iterator<Item = Option<Bytes>>, single: bool) -> Option<Bytes> {
    let mut key = Bytes::new();
    for field in fields {
        key.extend_from_slice(&field?);
        if !single {
            key.resize(key.len().next_multiple_of(4), 0);
        }
    }
    Some(key)
}

/// Returns the elements in ascending order of their bytes: borrowed if they are in that order
/// already, otherwise in a new list.
fn ordered(set: &Set, mode: SetMode) -> (&[Element], Vec<Cow<'_, Element>>) {
    if is_ordered(set, mode) { (&set.elements, Vec::new()) } else { (&[], in_order(set, mode)) }
}

/// Returns whether the elements can be sent as they are: sorted, without repetition, with nothing
/// to merge. Only cheap checks are made.
fn is_ordered(set: &Set, mode: SetMode) -> bool {
    let merges = mode == SetMode::Interval && set.flags.contains(SetFlags::AUTO_MERGE);
    !sorts_by_bytes(set, mode) && !merges && set.elements.is_sorted_by(|a, b| a.key < b.key)
}

/// Returns whether the bytes sort differently from the values.
fn sorts_by_bytes(set: &Set, mode: SetMode) -> bool {
    let as_bytes = |field: &DataType| match mode {
        SetMode::Interval | SetMode::Ranges => *field == DataType::Ifname,
        SetMode::Plain => field.is_host_order() || *field == DataType::Ifname,
    };
    set.key.iter().any(as_bytes) || mode == SetMode::Ranges
}

fn in_order(set: &Set, mode: SetMode) -> Vec<Cow<'_, Element>> {
    let mut elements: Vec<Cow<'_, Element>> = set.elements.iter().map(Cow::Borrowed).collect();
    if sorts_by_bytes(set, mode) {
        let first = |element: &Element| {
            let code = lower_element(set, mode, element, &mut None);
            code.ok().map(|code| (code.key, code.key_end))
        };
        elements.sort_by_cached_key(|element| first(element));
    } else if !elements.is_sorted_by(|a, b| a.key <= b.key) {
        elements.sort_by(|a, b| a.key.cmp(&b.key));
    }
    // The kernel accepts an exact repetition as the same element, but refuses a second interval.
    elements.dedup_by(|a, b| a.key == b.key && a.data == b.data);
    match set.key.as_slice() {
        [field] if mode == SetMode::Interval && set.flags.contains(SetFlags::AUTO_MERGE) => merged(elements, *field),
        _ => elements,
    }
}

/// Merges overlapping and adjacent intervals; elements that carry more than a key stay as they are.
fn merged(elements: Vec<Cow<'_, Element>>, field: DataType) -> Vec<Cow<'_, Element>> {
    let mut merged: Vec<Cow<'_, Element>> = Vec::with_capacity(elements.len());
    for element in elements {
        match merged.last_mut().and_then(|last| Some((union(last, &element, field)?, last))) {
            Some((union, last)) => *last = Cow::Owned(union),
            None => merged.push(element),
        }
    }
    merged
}

fn union(a: &Element, b: &Element, field: DataType) -> Option<Element> {
    let (Key::Single(first), Key::Single(second)) = (&a.key, &b.key) else { return None };
    if !a.is_bare() || !b.is_bare() {
        return None;
    }
    let (start, high) = data::ends(first, field)?;
    let (low, end) = data::ends(second, field)?;
    // Compared as in the kernel: the range of a name prefix ends after every name with that prefix.
    let highest = if high >= end { &first.high } else { &second.high };
    // The only intervals of names are prefixes, one of which can contain the other.
    let one = match field {
        DataType::Ifname => end <= high || low == start,
        _ => data::successor(high).is_none_or(|next| low <= next),
    };
    one.then(|| Element::new(Interval { low: first.low.clone(), high: highest.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Element {
        Element::new(text.parse::<ipnetwork::IpNetwork>().expect("a network"))
    }

    fn keys(set: &Set) -> Vec<(Vec<u8>, u32)> {
        lower_elements(set)
            .map(|element| element.expect("typed"))
            .map(|element| (element.key.to_vec(), element.flags))
            .collect()
    }

    #[test]
    fn an_interval_is_a_start_and_an_exclusive_end_in_ascending_order() {
        let set = Set::new("s", [DataType::Ipv4]).interval().elements([net("192.168.0.0/16"), net("10.0.0.0/8")]);
        let expected = [([10, 0, 0, 0], 0), ([11, 0, 0, 0], 1), ([192, 168, 0, 0], 0), ([192, 169, 0, 0], 1)];
        assert_eq!(keys(&set), expected.map(|(key, flags)| (key.to_vec(), flags)));
    }

    #[test]
    fn auto_merge_drops_names_that_a_prefix_covers() {
        let names = ["eth1", "eth*"].map(|name| Element::new(Value::Ifname(name.into())));
        let set = |elements: &[Element]| Set::new("s", [DataType::Ifname]).auto_merge().elements(elements.to_vec());
        assert_eq!(keys(&set(&names)), keys(&set(&names[1..])));
        let neighbours = ["veth0*", "veth1*"].map(|name| Element::new(Value::Ifname(name.into())));
        assert_eq!(keys(&set(&neighbours)).len(), 4, "nft has no word for both in one");
    }

    #[test]
    fn an_interval_up_to_the_highest_key_has_no_end_element() {
        let set = Set::new("s", [DataType::Ipv4]).interval().elements([net("255.0.0.0/8")]);
        assert_eq!(keys(&set), [(vec![255, 0, 0, 0], 0)]);
    }

    #[test]
    fn auto_merge_joins_overlapping_and_adjacent_elements() {
        let nets = [net("10.0.0.0/9"), net("10.128.0.0/9"), net("10.1.0.0/16"), net("12.0.0.0/8")];
        let set = Set::new("s", [DataType::Ipv4]).auto_merge().elements(nets);
        let expected = [([10, 0, 0, 0], 0), ([11, 0, 0, 0], 1), ([12, 0, 0, 0], 0), ([13, 0, 0, 0], 1)];
        assert_eq!(keys(&set), expected.map(|(key, flags)| (key.to_vec(), flags)));
    }

    #[test]
    fn the_fields_of_a_concatenation_are_padded_to_four_bytes() {
        let key = [Value::Ipv4([1, 2, 3, 4].into()), Value::Port(22)];
        let set = Set::new("s", [DataType::Ipv4, DataType::Port]).elements([Element::new(key)]);
        assert_eq!(keys(&set), [(vec![1, 2, 3, 4, 0, 22, 0, 0], 0)]);
    }

    #[test]
    fn an_element_of_another_type_is_refused() {
        let set = Set::new("s", [DataType::Ipv4]).elements([Element::new(Value::Port(1))]);
        assert!(lower_elements(&set).all(|element| element.is_err()));
    }
}
