//! Keys of several parts: finds those that are equal, and those that overlap in a way that the
//! kernel refuses.
//!
//! nft_pipapo_insert (net/netfilter/nft_set_pipapo.c) looks up the lowest and the highest corner of
//! a new key among the existing ones and answers EEXIST if one of them is taken, unless it is the
//! same key with the same data. So two keys that cross without a corner of one inside the other are
//! accepted, and for a small key inside a large one it depends on the order. Elements are not sent
//! in the order given, so every pair that some order would refuse is reported here.

use std::cmp::Ordering;

use super::Fault;
use super::intervals::{high_low, highs, lows};
use super::location::At;
use super::problem::Problem;
use super::sets::Elements;
use crate::model::{Element, Interval};

/// Returns the number of different keys.
pub(super) fn check(at: At<'_>, all: &Elements<'_>, faults: &mut Vec<Fault>) -> Option<usize> {
    let elements = all.elements;
    if !elements.iter().any(|element| element.key.is_interval()) {
        return Some(elements.len() - points(at, elements, faults));
    }
    let dimension = best_dimension(elements, all.key.len());
    let mut sorted: Vec<(usize, &[Interval])> =
        elements.iter().map(|element| element.key.parts()).enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| by(a, b, dimension, lows));
    let mut equal = 0;
    for (position, (index, a)) in sorted.iter().enumerate() {
        let rest = sorted.get(position + 1..).unwrap_or_default();
        for (other, b) in rest.iter().take_while(|(_, b)| by(a, b, dimension, high_low).is_ge()) {
            let (later, earlier) = (*index.max(other), *index.min(other));
            if same(a, b) {
                equal += 1;
                conflict(at, elements, later, earlier, faults);
            } else if corner_inside(a, b) || corner_inside(b, a) {
                at.element(later).report(faults, Problem::Overlap { with: earlier, mergeable: false });
            }
        }
    }
    // Three equal keys are three pairs; a count that is too low is not a fault.
    Some(elements.len().saturating_sub(equal))
}

/// Checks keys of single values, which can only be equal. Returns how many are.
fn points(at: At<'_>, elements: &[Element], faults: &mut Vec<Fault>) -> usize {
    let ascending = elements.windows(2).all(|pair| matches!(pair, [a, b] if compare(a, b).is_lt()));
    if ascending {
        return 0;
    }
    let mut sorted: Vec<(usize, &Element)> = elements.iter().enumerate().collect();
    sorted.sort_by(|(_, a), (_, b)| compare(a, b));
    let mut equal = 0;
    for pair in sorted.windows(2) {
        if let [(earlier, a), (later, b)] = pair {
            if compare(a, b).is_eq() {
                equal += 1;
                conflict(at, elements, *later, *earlier, faults);
            }
        }
    }
    equal
}

fn conflict(at: At<'_>, elements: &[Element], later: usize, earlier: usize, faults: &mut Vec<Fault>) {
    let data = |index: usize| elements.get(index).map(|element| &element.data);
    if data(later) != data(earlier) {
        at.element(later).report(faults, Problem::DataConflict { with: earlier });
    }
}

fn compare(a: &Element, b: &Element) -> Ordering {
    let parts = a.key.parts().iter().zip(b.key.parts());
    parts.map(|(a, b)| lows(a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn by(a: &[Interval], b: &[Interval], dimension: usize, order: fn(&Interval, &Interval) -> Ordering) -> Ordering {
    match (a.get(dimension), b.get(dimension)) {
        (Some(a), Some(b)) => order(a, b),
        _ => Ordering::Equal,
    }
}

fn same(a: &[Interval], b: &[Interval]) -> bool {
    a.iter().zip(b).all(|(a, b)| lows(a, b).is_eq() && highs(a, b).is_eq())
}

/// Returns whether the lowest or the highest corner of `inner` is in `outer`.
fn corner_inside(inner: &[Interval], outer: &[Interval]) -> bool {
    let pairs = || inner.iter().zip(outer);
    pairs().all(|(inner, outer)| lows(outer, inner).is_le() && high_low(outer, inner).is_ge())
        || pairs().all(|(inner, outer)| high_low(inner, outer).is_ge() && highs(inner, outer).is_le())
}

/// Returns the part in which the fewest pairs overlap, so that a sweep along it compares the
/// fewest.
fn best_dimension(elements: &[Element], dimensions: usize) -> usize {
    let pairs = |dimension: usize| -> usize {
        let mut parts: Vec<&Interval> =
            elements.iter().filter_map(|element| element.key.parts().get(dimension)).collect();
        parts.sort_by(|a, b| lows(a, b));
        let meets = |(position, part): (usize, &&Interval)| {
            parts.partition_point(|other| high_low(part, other).is_ge()).saturating_sub(position + 1)
        };
        parts.iter().enumerate().map(meets).sum()
    };
    (0..dimensions).min_by_key(|dimension| pairs(*dimension)).unwrap_or(0)
}
