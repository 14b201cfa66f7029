//! Keys of one part: finds those that are equal and those that overlap. Sorted input, the usual
//! case, costs one pass and no memory.

use std::cmp::Ordering;

use super::Fault;
use super::location::At;
use super::problem::Problem;
use super::sets::Elements;
use crate::model::{DataType, Element, IfName, Interval, Key, SetData, Value};

/// Reports conflicting keys. The kernel, like nft, ignores a key that exists with the same data,
/// and answers EEXIST to other data and to intervals that overlap. Returns the number of different
/// keys, unless merging may change it.
pub(super) fn check(at: At<'_>, all: &Elements<'_>, faults: &mut Vec<Fault>) -> Option<usize> {
    let elements = all.elements;
    if is_ascending(elements) {
        return (!all.merged()).then_some(elements.len());
    }
    let mut sorted: Vec<(usize, &Interval)> = elements.iter().map(key).enumerate().collect();
    sorted.sort_by(|(a_index, a), (b_index, b)| lows(a, b).then(highs(a, b)).then(a_index.cmp(b_index)));
    let mut different = elements.len();
    let mut widest: Option<(usize, &Interval)> = None;
    for (index, interval) in sorted {
        if let Some((with, before)) = widest.filter(|(_, before)| high_low(before, interval) != Ordering::Less) {
            let equal = lows(before, interval).is_eq() && highs(before, interval).is_eq();
            let data = |index: usize| elements.get(index).map(|element| &element.data);
            // Merging would lose the other parts of an element.
            let is_bare = |index: usize| elements.get(index).is_some_and(Element::is_bare);
            if equal {
                different -= 1;
            }
            let (later, earlier) = (index.max(with), index.min(with));
            if equal && data(index) != data(with) {
                at.element(later).report(faults, Problem::DataConflict { with: earlier });
            } else if !(equal || all.merged() && is_bare(index) && is_bare(with)) {
                let problem = Problem::Overlap { with: earlier, mergeable: all.mergeable() && !all.merged() };
                at.element(later).report(faults, problem);
            }
        }
        if widest.is_none_or(|(_, before)| highs(before, interval).is_lt()) {
            widest = Some((index, interval));
        }
    }
    (!all.merged()).then_some(different)
}

/// Returns whether these are plain IPv4 addresses, in order and valid: long block lists are then
/// checked in one pass instead of two.
pub(super) fn are_plain_and_ascending(all: &Elements<'_>) -> bool {
    if *all.key != [DataType::Ipv4] || *all.data != SetData::None {
        return false;
    }
    let intervals = all.intervals_allowed();
    let mut next = 0;
    all.elements.iter().all(|element| match element {
        Element {
            key: Key::Single(Interval { low: Value::Ipv4(low), high: Value::Ipv4(high) }),
            data: None,
            timeout: None,
            extra: None,
        } => {
            let (low, high) = (u64::from(low.to_bits()), u64::from(high.to_bits()));
            let good = next <= low && low <= high && (intervals || low == high);
            next = high + 1;
            good
        }
        _ => false,
    })
}

/// Returns whether every key ends before the next one starts.
fn is_ascending(elements: &[Element]) -> bool {
    elements.windows(2).all(|pair| match pair {
        [a, b] => high_low(key(a), key(b)).is_lt(),
        _ => true,
    })
}

/// Returns the only part of the key; callers have checked that there is one.
fn key(element: &Element) -> &Interval {
    match &element.key {
        Key::Single(interval) => interval,
        Key::Concat(parts) => parts.first().unwrap_or(&NOTHING),
    }
}

static NOTHING: Interval = Interval { low: Value::Integer(0), high: Value::Integer(0) };

/// Compares the lowest values of two intervals of the same type.
pub(super) fn lows(a: &Interval, b: &Interval) -> Ordering {
    order((&a.low, 0), (&b.low, 0))
}

/// Compares the highest values.
pub(super) fn highs(a: &Interval, b: &Interval) -> Ordering {
    order((&a.high, 0xff), (&b.high, 0xff))
}

/// Compares the highest value of one interval with the lowest of another: `Less` if the first ends
/// before the second starts.
pub(super) fn high_low(a: &Interval, b: &Interval) -> Ordering {
    order((&a.high, 0xff), (&b.low, 0))
}

/// Compares values of one type by number; an interface prefix by its lowest or highest name,
/// depending on `fill`.
fn order((a, a_fill): (&Value, u8), (b, b_fill): (&Value, u8)) -> Ordering {
    match (a, b) {
        (Value::Ipv4(a), Value::Ipv4(b)) => a.to_bits().cmp(&b.to_bits()),
        (Value::Ifname(a), Value::Ifname(b)) => filled(a, a_fill).cmp(&filled(b, b_fill)),
        (a, b) => a.cmp(b),
    }
}

/// Returns the 16 bytes that the kernel compares; a prefix is followed by `fill` bytes, a full name
/// by NULs.
fn filled(name: &IfName, fill: u8) -> [u8; 16] {
    let mut bytes = [if name.prefix().is_some() { fill } else { 0 }; 16];
    for (to, from) in bytes.iter_mut().zip(name.compared().bytes()) {
        *to = from;
    }
    bytes
}
