//! Keyed hashes of items with many small parts, which are first collected in a buffer, since each
//! part costs as much as dozens of bytes.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;

/// Hashes one item after the other in one buffer.
#[derive(Debug)]
pub(super) struct Keyed<'k> {
    key: &'k RandomState,
    parts: Parts,
}

/// The hashed bytes: numbers take as many bytes as they need, so that tags and lengths, which are
/// most of it, take one byte. The encoding is self-delimiting, so different items have different
/// bytes.
#[derive(Debug, Default)]
struct Parts(Vec<u8>);

impl<'k> Keyed<'k> {
    pub(super) fn new(key: &'k RandomState) -> Self {
        Keyed { key, parts: Parts::default() }
    }

    /// Returns the hash; `None` for one in 2^64.
    pub(super) fn hash(&mut self, item: &(impl Hash + ?Sized)) -> Option<NonZeroU64> {
        self.parts.0.clear();
        item.hash(&mut self.parts);
        let mut state = self.key.build_hasher();
        state.write(&self.parts.0);
        NonZeroU64::new(state.finish())
    }
}

impl Parts {
    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

impl Hasher for Parts {
    fn finish(&self) -> u64 {
        // Never used: the hash is computed from the collected bytes.
        0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn write_u16(&mut self, number: u16) {
        self.number(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.number(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.number(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.number(number as u64);
    }

    // Tags of enums.
    fn write_isize(&mut self, number: isize) {
        self.number((number as u64).rotate_left(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Thing = (Vec<(u16, String)>, Option<Vec<u8>>, i64, u128, Vec<Option<u32>>);

    fn thing() -> impl Strategy<Value = Thing> {
        let numbers = prop_oneof![0..3_u32, 126..130_u32, any::<u32>()];
        let texts = prop::collection::vec((0..300_u16, "[ab]{0,2}"), 0..3);
        let bytes = prop::option::of(prop::collection::vec(0..3_u8, 0..3));
        (texts, bytes, -2..3_i64, 0..3_u128, prop::collection::vec(prop::option::of(numbers), 0..3))
    }

    proptest! {
        #[test]
        fn keyed_hashes_are_equal_exactly_when_values_are(a in thing(), b in thing()) {
            let key = RandomState::new();
            let mut keyed = Keyed::new(&key);
            let (of_a, of_b) = (keyed.hash(&a), keyed.hash(&b));
            prop_assert_eq!(of_a == of_b, a == b);
            prop_assert_eq!(keyed.hash(&a), of_a, "nothing of what was before is in it");
            prop_assert_ne!(Keyed::new(&RandomState::new()).hash(&a), of_a, "another key, another hash");
        }
    }
}
