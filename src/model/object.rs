//! Stateful objects and flowtables: named parts of a table that rules refer to, of which only kind
//! and name are known here.

use super::name::Name;
use super::opaque::Opaque;

/// A stateful object (a counter, a quota, a connection tracking helper, ...) or a flowtable, as it
/// was read from a kernel.
///
/// It is sent as it was read, to whatever table it stands in; it can be left out, or taken over
/// into another table, and not made here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Object {
    pub(crate) name: Name,
    /// Its kind, and what it was read from.
    pub(crate) content: Opaque,
}

impl Object {
    /// Its name, unique in the table among those of its kind.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it is in the words of nft(8): `counter`, `quota`, `ct helper`, `flowtable`, ...
    #[must_use]
    pub fn kind(&self) -> &str {
        self.content.name()
    }
}
