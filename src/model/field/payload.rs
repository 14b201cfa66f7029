//! Bytes of a header by their place.

use std::fmt;

use super::super::data_type::DataType;

/// Bytes of a header by their place: `@th,400,16`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a place and a length")]
pub struct RawPayload {
    /// The header that the offset is counted from.
    pub base: RawBase,
    /// Offset in bits, a multiple of 8.
    pub offset: u16,
    /// Length in bits: 8, 16, 24 or 32.
    pub bits: u8,
}

/// The header that an offset is counted from (`enum nft_payload_bases`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the bases that nft has words for")]
pub enum RawBase {
    /// What is behind the transport header (`@ih`).
    Inner,
    /// The link-layer header (`@ll`).
    Link,
    /// The network header (`@nh`).
    Network,
    /// The transport header (`@th`).
    Transport,
}

impl RawBase {
    pub(crate) const ALL: [(RawBase, u32, &'static str); 4] = [
        (RawBase::Link, 0, "@ll"),
        (RawBase::Network, 1, "@nh"),
        (RawBase::Transport, 2, "@th"),
        (RawBase::Inner, 3, "@ih"),
    ];

    /// Returns the kernel's number and nft's name.
    pub(crate) fn entry(self) -> (u32, &'static str) {
        let found = RawBase::ALL.iter().find(|(base, ..)| *base == self);
        found.map_or((0, ""), |(_, number, name)| (*number, name))
    }
}

impl RawPayload {
    pub(super) fn data_type(self) -> DataType {
        DataType::NetworkInteger { bytes: self.bits / 8 }
    }
}

impl fmt::Display for RawPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.base.entry().1, self.offset, self.bits)
    }
}
