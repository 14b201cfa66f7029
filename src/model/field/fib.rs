//! What the routing tables say of an address.

use std::fmt;

use super::super::data_type::DataType;

bitflags::bitflags! {
    /// What is looked up in the routing tables (`NFTA_FIB_F_*`): one of the addresses, and what
    /// else decides.
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct FibKey: u32 {
        /// The source address.
        const SADDR = 1;
        /// The destination address.
        const DADDR = 2;
        /// With the mark of the packet.
        const MARK = 4;
        /// Only routes of the incoming interface.
        const IIF = 8;
        /// Only routes of the outgoing interface.
        const OIF = 16;
    }
}

/// What a lookup in the routing tables tells.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the results of nft_fib")]
pub enum FibResult {
    /// Whether there is a route: 1 or 0 (`oif exists`, `oif missing`).
    Exists,
    /// Index of the interface.
    Oif,
    /// Name of the interface.
    Oifname,
    /// Type of the address.
    Type,
}

/// A lookup in the routing tables: `fib saddr . iif oif`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "what is asked, and what it tells")]
pub struct Fib {
    /// What is looked up.
    pub key: FibKey,
    /// What is told.
    pub result: FibResult,
}

impl Fib {
    pub(super) fn data_type(self) -> DataType {
        match self.result {
            FibResult::Exists => DataType::Integer { bytes: 4 },
            FibResult::Oif => DataType::Ifindex,
            FibResult::Oifname => DataType::Ifname,
            FibResult::Type => DataType::AddrType,
        }
    }
}

impl fmt::Display for Fib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fib ")?;
        let parts = [
            (FibKey::SADDR, "saddr"),
            (FibKey::DADDR, "daddr"),
            (FibKey::MARK, "mark"),
            (FibKey::IIF, "iif"),
            (FibKey::OIF, "oif"),
        ];
        let mut before = "";
        for (_, name) in parts.iter().filter(|(part, _)| self.key.contains(*part)) {
            write!(f, "{before}{name}")?;
            before = " . ";
        }
        f.write_str(match self.result {
            FibResult::Exists | FibResult::Oif => " oif",
            FibResult::Oifname => " oifname",
            FibResult::Type => " type",
        })
    }
}
