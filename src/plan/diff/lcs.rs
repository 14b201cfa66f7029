//! The longest common subsequence of two sequences, in a time bounded for every input.
//!
//! Most items of a chain occur once or a few times. Then it is found from pairs of equal
//! positions, in n log n (Hunt and Szymanski 1977). Where more items are equal, only the
//! differences between neighbours in the table of lengths are kept, one bit each (Hyyrö,
//! Bit-parallel LCS-length computation revisited, 2004): a row of 10,000 is 157 words. While the
//! table is small the result is read from it; a larger one is divided at a position that a longest
//! subsequence passes through (Hirschberg 1975). That takes quadratic time, so above [`LARGE`]
//! only items at about the same rank among their equals form pairs: the result is a common
//! subsequence, and usually a longest.

use std::ops::Range;

/// Returns pairs of positions, ascending in both, of a longest common subsequence. Items are equal
/// when their numbers are, which count from 0 and are below `classes`.
pub(super) fn common(a: &[u32], b: &[u32], classes: usize) -> Vec<(usize, usize)> {
    common_of(a, b, classes, LARGE)
}

fn common_of(a: &[u32], b: &[u32], classes: usize, large: usize) -> Vec<(usize, usize)> {
    let is_same = |(a, b): &(&u32, &u32)| a == b;
    let front = a.iter().zip(b).take_while(is_same).count();
    let (a_rest, b_rest) = (a.get(front..).unwrap_or_default(), b.get(front..).unwrap_or_default());
    let back = a_rest.iter().rev().zip(b_rest.iter().rev()).take_while(is_same).count();
    let (a_end, b_end) = (a.len() - back, b.len() - back);
    let mut pairs: Vec<(usize, usize)> = (0..front).map(|index| (index, index)).collect();
    if front < a_end && front < b_end {
        let mut search = Search { a, b, places: vec![Vec::new(); classes], pairs };
        let is_large = (a_end - front).div_ceil(64).saturating_mul(b_end - front) > large;
        search.note(&(front..a_end), From::Front);
        let count = search.count(front..b_end);
        search.forget(&(front..a_end));
        if count <= PAIRS * (a_end - front + b_end - front) || is_large {
            search.by_pairs(front..a_end, front..b_end, if is_large { PAIRS / 2 } else { usize::MAX });
        } else {
            search.solve(front..a_end, front..b_end);
        }
        pairs = search.pairs;
    }
    pairs.extend((0..back).map(|index| (a_end + index, b_end + index)));
    pairs
}

/// The words of the largest table that is kept: 4 MiB.
const TABLE: usize = 1 << 19;

/// The words of a table that takes too long: 16,384 items on either side.
const LARGE: usize = 1 << 22;

/// Up to this many pairs for each item count as few.
const PAIRS: usize = 8;

struct Search<'a> {
    a: &'a [u32],
    b: &'a [u32],
    /// For every class, its positions in the current part of `a`.
    places: Vec<Vec<usize>>,
    pairs: Vec<(usize, usize)>,
}

/// The end from which a part is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Back,
    Front,
}

/// A pair, and the one before it on a longest path to it.
struct Link {
    pair: (usize, usize),
    before: Option<usize>,
}

impl Search<'_> {
    /// Returns the number of pairs with the recorded part of `a`.
    fn count(&self, b: Range<usize>) -> usize {
        let like = |class: &u32| self.places.get(class_index(*class)).map_or(0, Vec::len);
        self.b.get(b).unwrap_or_default().iter().map(like).fold(0, usize::saturating_add)
    }

    /// Visits for every item of `b`, in order, the equal positions of `a`, last first: the nearest
    /// by rank among their equals, where there are more than `most` on either side.
    fn by_pairs(&mut self, a: Range<usize>, b: Range<usize>, most: usize) {
        self.note(&a, From::Front);
        let mut links: Vec<Link> = Vec::new();
        // For every length, the path that ends first in `a`.
        let mut ends: Vec<(usize, usize)> = Vec::new();
        let mut seen = vec![0_usize; self.places.len()];
        for index in b {
            let Some(class) = self.b.get(index).map(|class| class_index(*class)) else { continue };
            let (Some(places), Some(seen)) = (self.places.get(class), seen.get_mut(class)) else { continue };
            let (from, to) = (seen.saturating_sub(most), seen.saturating_add(most).min(places.len()));
            *seen += 1;
            for place in places.get(from..to).unwrap_or_default().iter().rev() {
                let place = a.start + place;
                let length = ends.partition_point(|(end, _)| *end < place);
                let before = length.checked_sub(1).and_then(|shorter| ends.get(shorter)).map(|(_, link)| *link);
                let end = (place, links.len());
                match ends.get_mut(length) {
                    Some((same, _)) if *same == place => continue,
                    Some(longer) => *longer = end,
                    None => ends.push(end),
                }
                links.push(Link { pair: (place, index), before });
            }
        }
        self.forget(&a);
        let first = self.pairs.len();
        let mut last = ends.last().map(|(_, link)| *link);
        while let Some(link) = last.and_then(|link| links.get(link)) {
            self.pairs.push(link.pair);
            last = link.before;
        }
        self.pairs.get_mut(first..).unwrap_or_default().reverse();
    }

    fn solve(&mut self, mut a: Range<usize>, mut b: Range<usize>) {
        while !a.is_empty() && !b.is_empty() && self.a.get(a.start) == self.b.get(b.start) {
            self.pairs.push((a.start, b.start));
            a.start += 1;
            b.start += 1;
        }
        let mut trailing = 0;
        while !a.is_empty() && !b.is_empty() && self.a.get(a.end - 1) == self.b.get(b.end - 1) {
            trailing += 1;
            a.end -= 1;
            b.end -= 1;
        }
        let (after_a, after_b) = (a.end, b.end);
        if !a.is_empty() && !b.is_empty() {
            if b.len() == 1 || a.len().div_ceil(64).saturating_mul(b.len()) <= TABLE {
                self.table(a, b);
            } else {
                self.halves(a, b);
            }
        }
        self.pairs.extend((0..trailing).map(|index| (after_a + index, after_b + index)));
    }

    /// Divides `b` in the middle, and `a` where the two halves have most in common.
    fn halves(&mut self, a: Range<usize>, b: Range<usize>) {
        let middle = b.start + b.len() / 2;
        let front = self.lengths(a.clone(), b.start..middle, From::Front);
        let back = self.lengths(a.clone(), middle..b.end, From::Back);
        let most = front.iter().zip(back.iter().rev()).enumerate().max_by_key(|(_, (front, back))| **front + **back);
        let cut = a.start + most.map_or(0, |(index, _)| index);
        self.solve(a.start..cut, b.start..middle);
        self.solve(cut..a.end, middle..b.end);
    }

    /// Returns how long a common subsequence `b` has with the first (or last) 0, 1, ... items of
    /// `a`.
    fn lengths(&mut self, a: Range<usize>, b: Range<usize>, from: From) -> Vec<u32> {
        let mut row = vec![u64::MAX; a.len().div_ceil(64)];
        let mut mask = vec![0; row.len()];
        self.note(&a, from);
        let mut step = |index: usize| self.advance(index, &mut row, &mut mask);
        match from {
            From::Front => b.for_each(&mut step),
            From::Back => b.rev().for_each(&mut step),
        }
        self.forget(&a);
        let mut lengths = Vec::with_capacity(a.len() + 1);
        lengths.push(0);
        let mut length = 0;
        for bit in 0..a.len() {
            length += u32::from(!is_set(&row, bit));
            lengths.push(length);
        }
        lengths
    }

    /// Keeps every row and traces back through them.
    fn table(&mut self, a: Range<usize>, b: Range<usize>) {
        let words = a.len().div_ceil(64);
        let mut rows: Vec<u64> = Vec::with_capacity(words * b.len());
        let mut row = vec![u64::MAX; words];
        let mut mask = vec![0; words];
        self.note(&a, From::Front);
        for index in b.clone() {
            self.advance(index, &mut row, &mut mask);
            rows.extend(&row);
        }
        self.forget(&a);
        let grows = |row: usize, bit: usize| !is_set(rows.get(row * words..).unwrap_or_default(), bit);
        let first = self.pairs.len();
        let (mut column, mut row) = (a.len(), b.len());
        while column > 0 && row > 0 {
            if !grows(row - 1, column - 1) {
                column -= 1;
                continue;
            }
            row -= 1;
            if row == 0 || !grows(row - 1, column - 1) {
                column -= 1;
                self.pairs.push((a.start + column, b.start + row));
            }
        }
        self.pairs.get_mut(first..).unwrap_or_default().reverse();
    }

    /// Advances one row: what item `index` of `b` adds.
    fn advance(&self, index: usize, row: &mut [u64], mask: &mut [u64]) {
        let places = self.b.get(index).and_then(|class| self.places.get(class_index(*class)));
        let places = places.map(Vec::as_slice).unwrap_or_default();
        if places.is_empty() {
            return;
        }
        for place in places {
            if let Some(word) = mask.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
        let mut carry = false;
        for (word, mask) in row.iter_mut().zip(mask.iter()) {
            let matched = *word & mask;
            let (sum, over) = word.overflowing_add(matched);
            let (sum, again) = sum.overflowing_add(u64::from(carry));
            carry = over || again;
            *word = sum | (*word & !mask);
        }
        for place in places {
            if let Some(word) = mask.get_mut(place / 64) {
                *word = 0;
            }
        }
    }

    fn note(&mut self, a: &Range<usize>, from: From) {
        for (index, class) in self.a.get(a.clone()).unwrap_or_default().iter().enumerate() {
            if let Some(places) = self.places.get_mut(class_index(*class)) {
                places.push(if from == From::Front { index } else { a.len() - 1 - index });
            }
        }
    }

    fn forget(&mut self, a: &Range<usize>) {
        for class in self.a.get(a.clone()).unwrap_or_default() {
            if let Some(places) = self.places.get_mut(class_index(*class)) {
                places.clear();
            }
        }
    }
}

fn class_index(class: u32) -> usize {
    usize::try_from(class).unwrap_or(usize::MAX)
}

/// Returns whether a bit is set, which means that the length does not grow there.
fn is_set(row: &[u64], bit: usize) -> bool {
    row.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "what is not there fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Computes the length as in a textbook.
    fn longest(a: &[u32], b: &[u32]) -> usize {
        let mut row = vec![0; b.len() + 1];
        for x in a {
            let mut diagonal = 0;
            for (index, y) in b.iter().enumerate() {
                let above = row[index + 1];
                row[index + 1] = if x == y { diagonal + 1 } else { above.max(row[index]) };
                diagonal = above;
            }
        }
        row[b.len()]
    }

    fn check(a: &[u32], b: &[u32], pairs: &[(usize, usize)]) {
        assert!(pairs.iter().all(|(i, j)| a[*i] == b[*j]), "{a:?} {b:?} {pairs:?}");
        assert!(pairs.is_sorted_by(|(i, j), (k, l)| i < k && j < l), "{a:?} {b:?} {pairs:?}");
    }

    proptest! {
        #[test]
        fn lcs_is_a_common_subsequence_of_maximal_length(
            a in prop::collection::vec(0..6_u32, 0..200),
            b in prop::collection::vec(0..6_u32, 0..200),
        ) {
            let pairs = common(&a, &b, 6);
            check(&a, &b, &pairs);
            prop_assert_eq!(pairs.len(), longest(&a, &b));
            for most in [usize::MAX, 3] {
                let mut search = Search { a: &a, b: &b, places: vec![Vec::new(); 6], pairs: Vec::new() };
                search.by_pairs(0..a.len(), 0..b.len(), most);
                check(&a, &b, &search.pairs);
                prop_assert!(search.pairs.len() == longest(&a, &b) || most == 3);
            }
            // A large input gives a common subsequence, and all of it when both sides are equal.
            check(&a, &b, &common_of(&a, &b, 6, 0));
            prop_assert_eq!(common_of(&a, &a, 6, 0).len(), a.len());
            let mut search = Search { a: &a, b: &b, places: vec![Vec::new(); 6], pairs: Vec::new() };
            if b.len() > 1 {
                search.halves(0..a.len(), 0..b.len());
                check(&a, &b, &search.pairs);
                prop_assert_eq!(search.pairs.len(), longest(&a, &b));
            }
        }
    }

    #[test]
    fn lcs_handles_ten_thousand_reversed_or_shuffled_items() {
        let a: Vec<u32> = (0..10_000).collect();
        let backwards: Vec<u32> = a.iter().rev().copied().collect();
        let shuffled: Vec<u32> = a.iter().map(|x| x * 7919 % 10_000).collect();
        assert_eq!(common(&a, &backwards, 10_000).len(), 1);
        let pairs = common(&a, &shuffled, 10_000);
        check(&a, &shuffled, &pairs);
        assert!(pairs.len() > 1, "{pairs:?}");
    }
}
