//! The identities of a table, a chain, a set, a rule and a state of the kernel.

use std::fmt;

use super::{Family, Name, Table};

/// A table by family and name.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a table has these two")]
pub struct TableId {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: Name,
}

impl TableId {
    /// Creates the id of the table of that family and name.
    pub fn new(family: Family, name: impl Into<Name>) -> Self {
        TableId { family, name: name.into() }
    }

    /// Returns the id of the chain of this table with that name.
    pub fn chain(&self, name: impl Into<Name>) -> ChainId {
        ChainId { table: self.clone(), name: name.into() }
    }

    /// Returns the id of the set, map or verdict map of this table with that name.
    pub fn set(&self, name: impl Into<Name>) -> SetId {
        SetId { table: self.clone(), name: name.into() }
    }
}

impl From<&Table> for TableId {
    fn from(table: &Table) -> Self {
        TableId { family: table.family, name: table.name.clone() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TableId { family, name } = self;
        write!(f, "{family} {name}")
    }
}

/// A chain by table and name.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a chain has these two")]
pub struct ChainId {
    /// Its table.
    pub table: TableId,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChainId { table, name } = self;
        write!(f, "{table} {name}")
    }
}

/// A set, map or verdict map by table and name.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let set = TableId::new(Family::Inet, "mesh").set("blocked");
/// assert_eq!(set.to_string(), "inet mesh blocked");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a set has these two")]
pub struct SetId {
    /// Its table.
    pub table: TableId,
    /// Its name.
    pub name: Name,
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SetId { table, name } = self;
        write!(f, "{table} {name}")
    }
}

/// Defines numbers that the kernel assigns.
macro_rules! handles {
    ($($(#[$meta:meta])* $name:ident;)*) => { $(
        $(#[$meta])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(clippy::exhaustive_structs, reason = "a number")]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )* };
}

handles! {
    /// The kernel's number for a chain, unique in its table as long as the table exists.
    #[doc(alias = "NFTA_CHAIN_HANDLE")]
    ChainHandle;
    /// The kernel's number for a stateful object or a flowtable, unique in its table as long as the
    /// table exists.
    #[doc(alias = "NFTA_OBJ_HANDLE")]
    #[doc(alias = "NFTA_FLOWTABLE_HANDLE")]
    ObjectHandle;
    /// The kernel's number for a rule, unique in its table as long as the table exists.
    ///
    /// A rule that replaces another has its handle.
    #[doc(alias = "NFTA_RULE_HANDLE")]
    RuleHandle;
    /// The kernel's number for a set, map or verdict map, unique in its table as long as the table
    /// exists.
    #[doc(alias = "NFTA_SET_HANDLE")]
    SetHandle;
    /// The kernel's number for a table, unique as long as the kernel runs.
    #[doc(alias = "NFTA_TABLE_HANDLE")]
    TableHandle;
}

/// The position of a new rule in its chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "ends and neighbours")]
pub enum Position {
    /// Right after the rule with this handle.
    After(RuleHandle),
    /// Right before the rule with this handle.
    Before(RuleHandle),
    /// At the start.
    First,
    /// At the end.
    Last,
}

/// The number of a state of the kernel's rule sets; every commit in the network namespace creates
/// a new one.
#[doc(alias = "NFTA_GEN_ID")]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Generation(pub u32);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
