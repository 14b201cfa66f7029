//! Stateful objects and flowtables: named parts of a table that rules refer to, of which only kind
//! and name are decoded.

use super::name::Name;
use super::opaque::Opaque;

/// A stateful object (a counter, a quota, a connection tracking helper, ...) or a flowtable, as
/// read from a kernel.
///
/// It is sent as it was read, to the table that contains it. It can be removed or moved to another
/// table, but not created here.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Object {
    pub(crate) name: Name,
    /// Its kind, and what it was read from.
    pub(crate) content: Opaque,
}

impl Object {
    /// Returns its name, unique in the table among objects of its kind.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns its kind by the name in nft(8): `counter`, `quota`, `ct helper`, `flowtable`, ...
    #[must_use]
    pub fn kind(&self) -> &str {
        self.content.name()
    }
}
