//! The elements of sets, in the two forms that questions about open keys need.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use super::bdd::{Bdd, Map, Node};
use super::bits::between;
use crate::bytecode::ElementDataCode;
use crate::sim::cells::Cell;
use crate::sim::sets::{Keys, SetIndex};

/// Earlier results. Sets are identified by their address, because they live longer than the
/// comparison.
#[derive(Default)]
pub(super) struct Members {
    groups: Map<(usize, Vec<Cell>), Rc<Groups>>,
    elements: Map<usize, Elements>,
}

/// For a key that consists of one input, the values that have the same effect.
#[derive(Debug)]
pub(super) struct Groups {
    /// Values whose elements map to the same data, with the index of one of them.
    groups: Vec<(Node, usize)>,
    /// The index in `groups`, by element.
    of: Map<usize, usize>,
    /// The values without an element.
    pub(super) none: Node,
}

impl Groups {
    /// Returns the group of an element.
    pub(super) fn of(&self, element: usize) -> Option<(Node, usize)> {
        self.groups.get(*self.of.get(&element)?).copied()
    }
}

/// The data of an element, and whether it has effects that are not understood.
type Alike<'a> = (Option<&'a ElementDataCode>, bool);

/// Elements with their indices, in the order of the indices.
type Elements = Rc<[(Vec<KeyRange>, usize)]>;

/// A part of a key between two ends, included.
pub(super) struct KeyRange {
    pub(super) range: Range<usize>,
    pub(super) low: Box<[u8]>,
    pub(super) high: Box<[u8]>,
}

impl Members {
    /// Returns, for a key that consists of one input, which of its values are in the set.
    pub(super) fn groups(&mut self, bdd: &mut Bdd, cells: &[Cell], set: &SetIndex) -> Rc<Groups> {
        let key = (std::ptr::from_ref(set).addr(), cells.to_vec());
        if let Some(known) = self.groups.get(&key) {
            return Rc::clone(known);
        }
        let mut groups: Vec<(Vec<Node>, usize)> = Vec::new();
        let (mut known, mut of): (HashMap<Alike<'_>, usize>, _) = (HashMap::new(), Map::default());
        for (parts, element) in self.elements(set).iter() {
            let holds = parts.iter().fold(Node::ALL, |all, KeyRange { range, low, high }| {
                let part = between(bdd, cells.get(range.clone()).unwrap_or(&[]), low, high);
                bdd.and(all, part)
            });
            let data = (set.data.get(*element).and_then(Option::as_ref), set.odd.contains(element));
            let group = *known.entry(data).or_insert(groups.len());
            match groups.get_mut(group) {
                Some((values, _)) => values.push(holds),
                None => groups.push((vec![holds], *element)),
            }
            of.insert(*element, group);
        }
        let groups: Vec<_> = groups.into_iter().map(|(values, element)| (bdd.union(&values), element)).collect();
        let all: Vec<Node> = groups.iter().map(|(values, _)| *values).collect();
        let any = bdd.union(&all);
        let groups = Rc::new(Groups { groups, of, none: bdd.less(Node::ALL, any) });
        self.groups.insert(key, Rc::clone(&groups));
        groups
    }

    pub(super) fn elements(&mut self, set: &SetIndex) -> Elements {
        let key = std::ptr::from_ref(set).addr();
        Rc::clone(self.elements.entry(key).or_insert_with(|| elements(set).into()))
    }
}

/// Returns the elements of a set with their indices, in order.
pub(super) fn elements(set: &SetIndex) -> Vec<(Vec<KeyRange>, usize)> {
    let whole = |low: &[u8], high: &[u8]| vec![KeyRange { range: 0..low.len(), low: low.into(), high: high.into() }];
    let mut elements: Vec<(Vec<KeyRange>, usize)> = match &set.keys {
        Keys::Intervals(intervals) => {
            intervals.iter().map(|(low, high, element)| (whole(low, high), *element)).collect()
        }
        Keys::Points(points) => points.iter().map(|(key, element)| (whole(key, key), *element)).collect(),
        Keys::Ranges { fields, elements } => {
            elements.iter().map(|(low, high, element)| (parts(fields, low, high), *element)).collect()
        }
    };
    elements.sort_by_key(|(_, element)| *element);
    elements
}

fn parts(fields: &[usize], low: &[u8], high: &[u8]) -> Vec<KeyRange> {
    let mut start = 0;
    let part = |length: &usize| {
        let range = start..start + length;
        start = range.end;
        let [low, high] = [low, high].map(|key| key.get(range.clone()).unwrap_or(&[]).into());
        KeyRange { range, low, high }
    };
    fields.iter().map(part).collect()
}
