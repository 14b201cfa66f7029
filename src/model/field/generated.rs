//! Numbers that are not in the packet: drawn, counted, or a hash.

use std::fmt;

/// A number that counts up with every packet, or is random: `numgen inc mod 2`.
///
/// ```
/// use nftmesh::model::{Numgen, kind};
/// use nftmesh::prelude::*;
///
/// let endpoints = matches::anonymous((0..2).map(|i| Element::new(kind::Integer(i)).goto(format!("endpoint-{i}"))));
/// let rule = Rule::new().vmap(Field::from(Numgen::random(2)), endpoints);
/// assert_eq!(rule.to_string(), "numgen random mod 2 vmap { 0 : goto endpoint-0, 1 : goto endpoint-1 }");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_ng")]
pub struct Numgen {
    /// How it is made.
    pub mode: NumgenMode,
    /// Number of different numbers.
    pub modulus: u32,
    /// The lowest.
    pub offset: u32,
}

impl Numgen {
    /// Counts from 0 to `modulus` - 1, over and over: `numgen inc mod 2`.
    #[must_use]
    pub fn inc(modulus: u32) -> Self {
        Numgen { mode: NumgenMode::Inc, modulus, offset: 0 }
    }

    /// Draws a number of 0 to `modulus` - 1: `numgen random mod 2`.
    #[must_use]
    pub fn random(modulus: u32) -> Self {
        Numgen { mode: NumgenMode::Random, modulus, offset: 0 }
    }

    /// Sets the lowest number: `numgen inc mod 2 offset 8000`.
    #[must_use]
    pub fn offset(self, offset: u32) -> Self {
        Numgen { offset, ..self }
    }
}

/// How a number is made.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "enum nft_ng_types")]
pub enum NumgenMode {
    /// One more than the last.
    Inc,
    /// At random.
    Random,
}

/// A hash of the packet that is the same in both directions: `symhash mod 2`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_symhash")]
pub struct Symhash {
    /// Number of different hashes.
    pub modulus: u32,
    /// The lowest.
    pub offset: u32,
}

impl fmt::Display for Numgen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            NumgenMode::Inc => "inc",
            NumgenMode::Random => "random",
        };
        write!(f, "numgen {mode} mod {}{}", self.modulus, Offset(self.offset))
    }
}

impl fmt::Display for Symhash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "symhash mod {}{}", self.modulus, Offset(self.offset))
    }
}

/// An offset, unless it is 0.
pub(in crate::model) struct Offset(pub(in crate::model) u32);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " offset {}", self.0) }
    }
}
