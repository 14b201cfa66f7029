//! The order in which nft lists the elements of a set.

use std::borrow::Cow;

use crate::model::{DataType, Element, Interval, Key, Value};

use super::value::Bits;

/// How to treat intervals that overlap or touch.
#[derive(PartialEq, Eq)]
pub(super) enum Neighbours {
    Apart,
    Merged,
}

/// Returns whether the elements are concatenations; if these contain ranges, nft lists them in the
/// kernel's order.
pub(super) fn is_concat(elements: &[Element]) -> bool {
    matches!(elements.first().map(|element| &element.key), Some(Key::Concat(_)))
}

pub(super) fn as_given(elements: &[Element]) -> Vec<Cow<'_, Element>> {
    elements.iter().map(Cow::Borrowed).collect()
}

/// Sorts intervals by value.
pub(super) fn ascending(elements: &[Element], neighbours: Neighbours) -> Vec<Cow<'_, Element>> {
    let mut sorted: Vec<&Element> = elements.iter().collect();
    sorted.sort_by_cached_key(|element| element.key.parts().iter().map(|part| bytes(&part.low)).collect::<Vec<_>>());
    let mut listed: Vec<Cow<'_, Element>> = Vec::with_capacity(sorted.len());
    for element in sorted {
        let union = listed.last().filter(|_| neighbours == Neighbours::Merged).and_then(|last| union(last, element));
        if union.is_some() {
            listed.pop();
        }
        listed.push(union.map_or(Cow::Borrowed(element), Cow::Owned));
    }
    listed
}

/// Returns the union of both when they overlap or touch and neither carries anything else.
fn union(first: &Element, second: &Element) -> Option<Element> {
    let bare = |element: &Element| element.is_bare();
    let (Key::Single(one), Key::Single(other)) = (&first.key, &second.key) else { return None };
    let names = matches!((&one.low, &other.low), (Value::Ifname(_), _) | (_, Value::Ifname(_)));
    let touching = bytes(&other.low) <= bytes(&one.high) || successor(bytes(&one.high)) == Some(bytes(&other.low));
    let high = if bytes(&one.high) >= bytes(&other.high) { &one.high } else { &other.high };
    let union = || Element::new(Interval { low: one.low.clone(), high: high.clone() });
    (touching && !names && bare(first) && bare(second)).then(union)
}

fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(bytes);
        }
    }
    None
}

/// Sorts all other elements by what nft compares: a single number, or the bytes in memory read as
/// one number, the last byte first. Numbers therefore ascend, and strings compare from their end.
/// nft reverses elements that compare equal; before that they are in the kernel's order if
/// `given`, and otherwise in the order of their keys.
pub(super) fn backwards<'a>(elements: &'a [Element], key: &[DataType], given: bool) -> Vec<Cow<'a, Element>> {
    let mut sorted: Vec<&Element> = elements.iter().rev().collect();
    if !given {
        sorted.sort_by(|a, b| b.key.cmp(&a.key));
    }
    sorted.sort_by_cached_key(|element| match &element.key {
        Key::Single(Interval { low: low @ (Value::Ifname(_) | Value::Text(_)), .. }) => from_the_end(low, None),
        // Of several bits, nft compares the lowest.
        Key::Single(interval) => match Bits::of(&interval.low) {
            Some(bits) => (bits.value & bits.value.wrapping_neg()).to_be_bytes().to_vec(),
            None => bytes(&interval.low),
        },
        Key::Concat(parts) => {
            let types = (0..parts.len()).map(|index| key.get(index).copied());
            parts.iter().zip(types).rev().flat_map(|(part, of)| from_the_end(&part.low, of)).collect()
        }
    });
    sorted.into_iter().map(Cow::Borrowed).collect()
}

/// Returns how many elements at the end nft lists after the catch-all element, whose key is all
/// ones to nft.
pub(super) fn after_all_others(sorted: &[Cow<'_, Element>], key: &[DataType]) -> usize {
    let [of] = key else { return 0 };
    let width = match of {
        DataType::DccpType => 4,
        DataType::Dscp => 6,
        DataType::Ecn => 2,
        of => 8 * of.bytes().min(16),
    };
    let ones = |element: &Element| {
        let low = element.key.parts().first().map(|part| &part.low).filter(|low| Bits::of(low).is_none());
        low.is_some_and(|low| match low {
            Value::Ifname(_) | Value::Text(_) => bytes(low).iter().all(|byte| *byte == 0xff),
            low => low.number() == Some(u128::MAX >> (128 - width)),
        })
    };
    sorted.iter().rev().take_while(|element| ones(element)).count()
}

/// Returns the bytes of a value in memory, the last first; for a number in host order this starts
/// with the most significant byte.
fn from_the_end(value: &Value, of: Option<DataType>) -> Vec<u8> {
    let mut bytes = bytes(value);
    if let Some(DataType::NetworkInteger { bytes: width }) = of {
        bytes.drain(..bytes.len().saturating_sub(width.into()));
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.reverse();
    }
    if value.data_type().is_some_and(|of| !of.is_host_order()) {
        bytes.reverse();
    }
    bytes
}

/// Returns the bytes of a value, the most significant first: 16 of a plain number, whatever its
/// type, and of a text, the 16 that the kernel compares.
fn bytes(value: &Value) -> Vec<u8> {
    let padded = |text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(16, 0);
        bytes
    };
    match value {
        Value::Ifname(name) => padded(&name.compared()),
        Value::Text(text) => padded(text),
        value => {
            let bytes = value.number().unwrap_or_default().to_be_bytes();
            let width = value.data_type().map_or(bytes.len(), DataType::bytes);
            bytes.get(bytes.len().saturating_sub(width)..).unwrap_or(&bytes).to_vec()
        }
    }
}
