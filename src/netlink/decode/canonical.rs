//! The canonical order of a set's elements: that of
//! [`lower_elements`](crate::bytecode::lower_elements).

use std::cmp::Ordering;

use super::set::Elements;
use crate::bytecode::{ElementCode, INTERVAL_END, SetCode};

/// Sorts the elements ascending by key, with an end before a start of the same key, and removes an
/// end that closes nothing, since the kernel does not need it (nft puts one at key 0). Returns
/// `None` when an element occurs twice.
///
/// A hash table that the kernel is enlarging has another order in every datagram of the dump. The
/// dump still has as many elements as the set, so for each missing element another one occurs
/// twice.
pub(super) fn canonical(code: &SetCode, read: Elements) -> Option<Elements> {
    let Elements { mut elements, mut expires } = read;
    let intervals = code.flags & (NFT_SET_INTERVAL | NFT_SET_CONCAT) == NFT_SET_INTERVAL;
    if expires.is_empty() {
        return arrange(&mut elements, |element| element, intervals).then_some(Elements { elements, expires });
    }
    expires.resize(elements.len(), None);
    let mut both: Vec<_> = elements.into_iter().zip(expires).collect();
    let whole = arrange(&mut both, |(element, _)| element, intervals);
    let (elements, expires) = both.into_iter().unzip();
    whole.then_some(Elements { elements, expires })
}

/// Sorts the items; returns whether no element occurs twice.
fn arrange<T>(items: &mut Vec<T>, code: fn(&T) -> &ElementCode, intervals: bool) -> bool {
    let by_key = |a: &T, b: &T| order(code(a), code(b));
    // A tree is dumped from its highest key down.
    if items.first().zip(items.last()).is_some_and(|(first, last)| by_key(first, last) == Ordering::Greater) {
        items.reverse();
    }
    if !items.is_sorted_by(|a, b| by_key(a, b) == Ordering::Less) {
        items.sort_unstable_by(by_key);
        if items.windows(2).any(|pair| matches!(pair, [a, b] if by_key(a, b) == Ordering::Equal)) {
            return false;
        }
    }
    if intervals {
        let mut open = false;
        items.retain(|item| closes_or_opens(code(item), &mut open));
    }
    true
}

/// Returns the kernel's index of each element in canonical order; empty when both orders agree or
/// the order does not matter. nft uses the kernel's order only for ranges of concatenations, and
/// for several bits with the same lowest one.
pub(super) fn kernel_order(code: &SetCode, read: &[ElementCode]) -> Vec<u32> {
    let listed = code.flags & NFT_SET_CONCAT != 0 || BITS.contains(&code.key_type);
    if !listed || read.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
        return Vec::new();
    }
    let mut places: Vec<(u32, &ElementCode)> = (0..).zip(read).collect();
    places.sort_by(|(_, a), (_, b)| order(a, b));
    places.into_iter().map(|(place, _)| place).collect()
}

fn order(a: &ElementCode, b: &ElementCode) -> Ordering {
    let is_end = |element: &ElementCode| element.flags & INTERVAL_END != 0;
    a.key.as_slice().cmp(&b.key).then_with(|| is_end(b).cmp(&is_end(a))).then_with(|| a.key_end.cmp(&b.key_end))
}

/// Returns whether to keep the element: it opens or closes an interval, or carries anything.
fn closes_or_opens(element: &ElementCode, open: &mut bool) -> bool {
    if element.flags & CATCHALL != 0 {
        return true;
    }
    if element.flags & INTERVAL_END == 0 {
        *open = true;
        return true;
    }
    let bare = element.userdata.is_empty() && element.data.is_none() && element.extras.is_none();
    std::mem::replace(open, false) || !bare
}

/// `NFT_SET_ELEM_CATCHALL`.
const CATCHALL: u32 = 2;
const NFT_SET_INTERVAL: u32 = 0x4;
/// nft's numbers of the types whose constants are sets of bits: `tcp_flag`, `ct_state`,
/// `ct_status`.
const BITS: [u32; 3] = [15, 26, 28];
const NFT_SET_CONCAT: u32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytecode::Bytes;

    fn element(key: u8, flags: u32) -> ElementCode {
        ElementCode { key: Bytes::from_slice(&[key]), flags, ..ElementCode::default() }
    }

    fn keys(read: &Elements) -> Vec<(u8, u32)> {
        read.elements.iter().map(|element| (element.key.first().copied().unwrap_or(0), element.flags)).collect()
    }

    #[test]
    fn intervals_are_sorted_and_a_leading_end_element_is_dropped() {
        let code = SetCode { flags: NFT_SET_INTERVAL, ..SetCode::default() };
        let kernel = [(9, 0), (7, 0), (7, 1), (5, 0), (0, 1)];
        let ascending = [(5, 0), (7, 1), (7, 0), (9, 0)];
        let elements: Vec<_> = kernel.iter().map(|(key, flags)| element(*key, *flags)).collect();
        let read = canonical(&code, Elements { elements: elements.clone(), expires: vec![] }).expect("no key twice");
        assert_eq!(keys(&read), ascending);
        let mut shuffled = elements;
        shuffled.swap(0, 2);
        let expires = shuffled.iter().map(|element| element.key.first().map(|key| u64::from(*key))).collect();
        let read = canonical(&code, Elements { elements: shuffled, expires }).expect("no key twice");
        assert_eq!(keys(&read), ascending);
        assert_eq!(read.expires, [Some(5), Some(7), Some(7), Some(9)]);
    }

    #[test]
    fn a_repeated_key_means_a_torn_dump() {
        let read = |keys: [u8; 4]| Elements { elements: keys.map(|key| element(key, 0)).to_vec(), expires: vec![] };
        assert_eq!(canonical(&SetCode::default(), read([3, 1, 3, 2])), None);
        let whole = canonical(&SetCode::default(), read([3, 1, 4, 2])).expect("no key twice");
        assert_eq!(keys(&whole), [(1, 0), (2, 0), (3, 0), (4, 0)]);
    }
}
