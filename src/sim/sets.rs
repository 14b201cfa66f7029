//! Looks up keys in sets with the kernel's results, independent of the set's backend.

use std::collections::{HashMap, HashSet};

use crate::bytecode::{Bytes, ElementCode, ElementDataCode, ElementExtras, Expr, INTERVAL_END, SetCode, predecessor};
use crate::model::SetFlags;

/// The elements of a set, in an order in which a key is found quickly.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SetIndex {
    /// Length of a key.
    pub(crate) key_bytes: usize,
    pub(crate) keys: Keys,
    /// The values of the elements, by element index.
    pub(crate) data: Vec<Option<ElementDataCode>>,
    /// The catch-all element.
    pub(crate) catch_all: Option<usize>,
    /// Elements with statements or data that may end the rule and are not understood.
    pub(crate) odd: HashSet<usize>,
    /// Whether the set has attributes that are not understood.
    pub(crate) is_odd: bool,
    /// Whether rules add or delete elements.
    pub(crate) is_filled: bool,
}

/// First and last key of an element, and its index.
pub(crate) type Span = (Box<[u8]>, Box<[u8]>, usize);

/// The keys of a set, with the indices of their elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Keys {
    /// First and last key, both included, in byte order; ascending and disjoint.
    Intervals(Vec<Span>),
    /// Single keys.
    Points(HashMap<Box<[u8]>, usize>),
    /// First and last key of every field of a concatenation, whose fields take `fields` bytes each.
    Ranges { fields: Vec<usize>, elements: Vec<Span> },
}

impl Default for Keys {
    fn default() -> Self {
        Keys::Points(HashMap::new())
    }
}

impl SetIndex {
    pub(crate) fn new(code: &SetCode, elements: &[ElementCode]) -> Self {
        // Backend, lifetime and defaults of elements do not matter to a lookup.
        let SetCode {
            flags,
            key_type: _,
            key_len,
            data: _,
            fields,
            size: _,
            timeout: _,
            gc_interval: _,
            userdata: _,
            policy: _,
            object: _,
            exprs: _,
            opaque,
        } = code;
        let key_bytes = usize::try_from(*key_len).unwrap_or(usize::MAX);
        let mut index = SetIndex { key_bytes, data: elements.iter().map(data).collect(), ..SetIndex::default() };
        index.odd = elements.iter().enumerate().filter(|(_, element)| is_odd(element)).map(|(at, _)| at).collect();
        index.is_odd = !opaque.is_empty();
        index.catch_all = elements.iter().position(|element| element.flags & CATCH_ALL != 0);
        let ordinary = || elements.iter().enumerate().filter(|(_, element)| element.flags & CATCH_ALL == 0);
        let interval = SetFlags::from_bits_truncate(*flags).contains(SetFlags::INTERVAL);
        index.keys = if !interval {
            Keys::Points(ordinary().map(|(number, element)| (element.key.as_slice().into(), number)).collect())
        } else if fields.len() > 1 {
            let elements = ordinary().map(|(number, element)| {
                let last = element.key_end.as_ref().unwrap_or(&element.key);
                (element.key.as_slice().into(), last.as_slice().into(), number)
            });
            let fields = fields.iter().map(|length| usize::from(*length).next_multiple_of(4)).collect();
            Keys::Ranges { fields, elements: elements.collect() }
        } else {
            Keys::Intervals(intervals(ordinary()))
        };
        index
    }

    /// Returns the index of the element that has this key, perhaps the catch-all element.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_key(key).or(self.catch_all)
    }

    /// Returns the index of the element that names this key.
    pub(crate) fn find_key(&self, key: &[u8]) -> Option<usize> {
        match &self.keys {
            Keys::Intervals(intervals) => {
                let after = intervals.partition_point(|(first, _, _)| **first <= *key);
                let at = after.checked_sub(1).and_then(|at| intervals.get(at));
                at.filter(|(_, last, _)| key <= &**last).map(|(_, _, number)| *number)
            }
            Keys::Points(points) => points.get(key).copied(),
            Keys::Ranges { fields, elements } => {
                elements.iter().find(|(first, last, _)| within(fields, first, last, key)).map(|(_, _, number)| *number)
            }
        }
    }
}

/// Returns whether every field lies between its ends.
fn within(fields: &[usize], first: &[u8], last: &[u8], key: &[u8]) -> bool {
    let mut at = 0;
    fields.iter().all(|length| {
        let field = at..at + length;
        at += length;
        match (first.get(field.clone()), last.get(field.clone()), key.get(field)) {
            (Some(first), Some(last), Some(key)) => first <= key && key <= last,
            _ => false,
        }
    })
}

/// Converts starts and exclusive ends to intervals with both ends included: the greatest start that
/// is not above the key decides.
fn intervals<'a>(elements: impl Iterator<Item = (usize, &'a ElementCode)>) -> Vec<Span> {
    let mut ends: Vec<(usize, &ElementCode)> = elements.collect();
    // An interval may start where another ends.
    ends.sort_by(|(_, a), (_, b)| {
        let is_start = |element: &ElementCode| element.flags & INTERVAL_END == 0;
        a.key.cmp(&b.key).then(is_start(a).cmp(&is_start(b)))
    });
    let mut intervals = Vec::with_capacity(ends.len() / 2 + 1);
    for (at, (number, start)) in ends.iter().enumerate() {
        if start.flags & INTERVAL_END != 0 {
            continue;
        }
        // A single element with its own end, which newer kernels make of some sets.
        let stated = start.key_end.as_ref().map(|last| last.to_vec());
        let next = ends.get(at + 1).map(|(_, next)| before(&next.key));
        let last = stated.or(next).unwrap_or_else(|| vec![0xff; start.key.len()]);
        intervals.push((start.key.as_slice().into(), last.into(), *number));
    }
    intervals
}

/// Returns the bytes right before these; before the first, the first.
fn before(bytes: &[u8]) -> Vec<u8> {
    predecessor(Bytes::from_slice(bytes)).map_or_else(|| bytes.to_vec(), |bytes| bytes.to_vec())
}

/// Returns whether an element has an effect besides its presence: counters do not affect the
/// packet.
fn is_odd(element: &ElementCode) -> bool {
    let ElementCode { key: _, key_end: _, flags, data: _, timeout: _, userdata: _, extras } = element;
    let carries = |extras: &ElementExtras| {
        let ElementExtras { exprs, object, opaque } = extras;
        let counts = |expr: &Expr| matches!(expr, Expr::Counter { packets: _, bytes: _ });
        !exprs.iter().all(counts) || object.is_some() || !opaque.is_empty()
    };
    flags & !(CATCH_ALL | INTERVAL_END) != 0 || extras.as_deref().is_some_and(carries)
}

fn data(element: &ElementCode) -> Option<ElementDataCode> {
    element.data.as_deref().cloned()
}

/// `NFT_SET_ELEM_CATCHALL`, include/uapi/linux/netfilter/nf_tables.h.
const CATCH_ALL: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytecode::{lower_elements, lower_set};
    use crate::model::{DataType, Element, Interval, Set, Value};

    fn index(set: &Set) -> SetIndex {
        let elements: Vec<_> = lower_elements(set).map(|element| element.expect("typed")).collect();
        SetIndex::new(&lower_set(set).expect("it has a key"), &elements)
    }

    fn net(text: &str) -> Element {
        Element::new(text.parse::<ipnetwork::IpNetwork>().expect("a network"))
    }

    #[test]
    fn an_address_is_in_the_interval_that_holds_it() {
        let nets = [net("10.0.0.0/8"), net("11.0.0.0/16"), net("255.0.0.0/8"), net("0.0.0.0/32")];
        let set = index(&Set::new("s", [DataType::Ipv4]).interval().elements(nets));
        let cases = [
            ([0, 0, 0, 0], true),
            ([0, 0, 0, 1], false),
            ([9, 255, 255, 255], false),
            ([10, 0, 0, 0], true),
            ([10, 255, 255, 255], true),
            ([11, 0, 255, 255], true),
            ([11, 1, 0, 0], false),
            ([255, 255, 255, 255], true),
        ];
        for (key, is_in) in cases {
            assert_eq!(set.find(&key).is_some(), is_in, "{key:?}");
        }
    }

    #[test]
    fn every_field_of_a_concatenation_has_its_own_range() {
        let key = [
            Interval::from("10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("a network")),
            Interval { low: Value::Port(80), high: Value::Port(90) },
        ];
        let set = index(&Set::new("s", [DataType::Ipv4, DataType::Port]).interval().elements([Element::new(key)]));
        assert!(set.find(&[10, 1, 2, 3, 0, 85, 0, 0]).is_some());
        assert!(set.find(&[10, 1, 2, 3, 0, 91, 0, 0]).is_none());
        assert!(set.find(&[11, 1, 2, 3, 0, 85, 0, 0]).is_none());
        assert!(set.find(&[10]).is_none());
    }
}
