//! The operating system that sent a SYN, as its options tell.

use std::fmt;

/// The operating system that sent a SYN: `osf name`, `osf ttl loose version`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_osf")]
pub struct Osf {
    /// How the TTL is compared.
    pub ttl: OsfTtl,
    /// What is told.
    pub key: OsfKey,
}

/// How the TTL of a packet is compared with that of the fingerprint (`NF_OSF_TTL_*`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "NF_OSF_TTL_*")]
pub enum OsfTtl {
    /// At most that of the fingerprint: `ttl loose`.
    Loose,
    /// Not at all: `ttl skip`.
    Skip,
    /// Equal in the local network, at most that of the fingerprint elsewhere.
    #[default]
    True,
}

/// What is told of the operating system.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "with or without NFT_OSF_F_VERSION")]
pub enum OsfKey {
    /// Its name: `"Linux"`.
    Name,
    /// Its name and version: `"Linux:3.0"`.
    Version,
}

impl OsfTtl {
    /// Each with the kernel's number and nft's words.
    pub(crate) const ALL: [(OsfTtl, u8, &'static str); 3] =
        [(OsfTtl::True, 0, ""), (OsfTtl::Loose, 1, "ttl loose "), (OsfTtl::Skip, 2, "ttl skip ")];

    pub(crate) fn entry(self) -> (u8, &'static str) {
        let found = OsfTtl::ALL.iter().find(|(ttl, ..)| *ttl == self);
        found.map_or((0, ""), |(_, number, words)| (*number, words))
    }
}

impl fmt::Display for Osf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = match self.key {
            OsfKey::Name => "name",
            OsfKey::Version => "version",
        };
        write!(f, "osf {}{key}", self.ttl.entry().1)
    }
}
