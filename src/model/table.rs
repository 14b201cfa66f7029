//! Tables: the namespaces of chains and sets, one family each.

use std::fmt;

use super::chain::Chain;
use super::id::TableId;
use super::name::Name;
use super::object::Object;
use super::opaque::Kept;
use super::set::Set;

/// A table with its sets and chains.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Table {
    /// The packets it sees.
    pub family: Family,
    /// Its name, unique in the family.
    pub name: Name,
    /// Its flags.
    pub flags: TableFlags,
    /// Its comment, stored by the kernel, which accepts it only when the table is added.
    pub comment: Option<String>,
    /// Its stateful objects and flowtables.
    pub objects: Vec<Object>,
    /// Its sets, maps and verdict maps.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// Further data read with it.
    pub(crate) kept: Kept,
}

/// The packets that a table sees (`NFPROTO_*`, include/uapi/linux/netfilter.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the families of nf_tables")]
pub enum Family {
    /// ARP.
    Arp,
    /// Bridged frames.
    Bridge,
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Frames at a device.
    Netdev,
}

impl Family {
    pub(crate) const ALL: [Family; 6] =
        [Family::Arp, Family::Bridge, Family::Inet, Family::Ip, Family::Ip6, Family::Netdev];

    /// Returns the kernel's number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Family::Arp => 3,
            Family::Bridge => 7,
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Ip6 => 10,
            Family::Netdev => 5,
        }
    }

    /// Returns the family with the kernel's number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Family::ALL.into_iter().find(|family| family.number() == number)
    }

    /// Returns the name that nft(8) uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Arp => "arp",
            Family::Bridge => "bridge",
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Netdev => "netdev",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

bitflags::bitflags! {
    /// Flags of a table (`NFT_TABLE_F_*`, include/uapi/linux/netfilter/nf_tables.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct TableFlags: u32 {
        /// Its chains are not hooked.
        const DORMANT = 1;
        /// Only the socket that added it may change it, and it is deleted with that socket.
        const OWNER = 2;
        /// With `OWNER`: it is not deleted with the socket.
        const PERSIST = 4;
    }
}

/// Creates an empty table with this family and name.
impl From<TableId> for Table {
    fn from(TableId { family, name }: TableId) -> Self {
        Table::new(family, name)
    }
}

/// Creates an empty table with this family and name.
impl From<&TableId> for Table {
    fn from(TableId { family, name }: &TableId) -> Self {
        Table::new(*family, name)
    }
}

impl Table {
    /// Creates an empty table.
    pub fn new(family: Family, name: impl Into<Name>) -> Self {
        Table {
            family,
            name: name.into(),
            flags: TableFlags::empty(),
            comment: None,
            objects: Vec::new(),
            sets: Vec::new(),
            chains: Vec::new(),
            kept: Kept::default(),
        }
    }

    /// Returns family and name.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let id = TableId::new(Family::Inet, "host");
    /// let ruleset = Ruleset::new().table(Table::from(&id).chain(Chain::regular("out")));
    /// let ids: Vec<TableId> = ruleset.tables.iter().map(Table::id).collect(); // for `Kernel::remove`
    /// assert_eq!(ids, [id]);
    /// ```
    #[must_use]
    pub fn id(&self) -> TableId {
        TableId { family: self.family, name: self.name.clone() }
    }

    /// Sets the table's flags.
    #[must_use]
    pub fn flags(mut self, flags: TableFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Adds a chain.
    #[must_use]
    pub fn chain(mut self, chain: Chain) -> Self {
        self.chains.push(chain);
        self
    }

    /// Adds a stateful object or a flowtable.
    #[must_use]
    pub fn object(mut self, object: Object) -> Self {
        self.objects.push(object);
        self
    }

    /// Adds a set, map or verdict map.
    #[must_use]
    pub fn set(mut self, set: Set) -> Self {
        self.sets.push(set);
        self
    }
}
