//! The one order of a set's elements: that of [`lower_elements`](crate::bytecode::lower_elements).

use std::cmp::Ordering;

use super::set::Elements;
use crate::bytecode::{ElementCode, INTERVAL_END, SetCode};

/// Ascending by key; an end in front of a start with the same key; an end that closes nothing is gone, for the kernel does not need it
/// (nft puts one at key 0), and so is an element that a dump brought twice, because the kernel moved it meanwhile.
pub(super) fn canonical(code: &SetCode, read: Elements) -> Elements {
    let Elements { mut elements, mut expires } = read;
    let intervals = code.flags & (NFT_SET_INTERVAL | NFT_SET_CONCAT) == NFT_SET_INTERVAL;
    // A tree comes from its highest key down.
    if elements.first().zip(elements.last()).is_some_and(|(first, last)| order(first, last) == Ordering::Greater) {
        elements.reverse();
        expires.reverse();
    }
    let sorted = elements.is_sorted_by(|a, b| order(a, b) == Ordering::Less);
    if sorted && !intervals {
        return Elements { elements, expires };
    }
    if expires.is_empty() {
        if !sorted {
            elements.sort_unstable_by(order);
            elements.dedup_by(|a, b| order(a, b) == Ordering::Equal);
        }
        if intervals {
            let mut open = false;
            elements.retain(|element| closes_or_opens(element, &mut open));
        }
        return Elements { elements, expires };
    }
    expires.resize(elements.len(), None);
    let mut both: Vec<_> = elements.into_iter().zip(expires).collect();
    if !sorted {
        both.sort_unstable_by(|(a, _), (b, _)| order(a, b));
        both.dedup_by(|(a, _), (b, _)| order(a, b) == Ordering::Equal);
    }
    if intervals {
        let mut open = false;
        both.retain(|(element, _)| closes_or_opens(element, &mut open));
    }
    let (elements, mut expires): (Vec<_>, Vec<_>) = both.into_iter().unzip();
    if expires.iter().all(Option::is_none) {
        expires.clear();
    }
    Elements { elements, expires }
}

fn order(a: &ElementCode, b: &ElementCode) -> Ordering {
    let is_end = |element: &ElementCode| element.flags & INTERVAL_END != 0;
    a.key.as_slice().cmp(&b.key).then_with(|| is_end(b).cmp(&is_end(a))).then_with(|| a.key_end.cmp(&b.key_end))
}

/// Whether this is anything but the bare end of nothing.
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
    fn intervals_ascend_and_an_end_of_nothing_goes() {
        let code = SetCode { flags: NFT_SET_INTERVAL, ..SetCode::default() };
        let kernel = [(9, 0), (7, 0), (7, 1), (5, 0), (0, 1)];
        let ascending = [(5, 0), (7, 1), (7, 0), (9, 0)];
        let elements: Vec<_> = kernel.iter().map(|(key, flags)| element(*key, *flags)).collect();
        let read = canonical(&code, Elements { elements: elements.clone(), expires: vec![] });
        assert_eq!(keys(&read), ascending);
        let mut shuffled = elements;
        shuffled.swap(0, 2);
        let expires = shuffled.iter().map(|element| element.key.first().map(|key| u64::from(*key))).collect();
        let read = canonical(&code, Elements { elements: shuffled, expires });
        assert_eq!(keys(&read), ascending);
        assert_eq!(read.expires, [Some(5), Some(7), Some(7), Some(9)]);
    }

    #[test]
    fn what_came_twice_stays_once() {
        let read = Elements { elements: [3, 1, 3, 2].map(|key| element(key, 0)).to_vec(), expires: vec![] };
        assert_eq!(keys(&canonical(&SetCode::default(), read)), [(1, 0), (2, 0), (3, 0)]);
    }
}
