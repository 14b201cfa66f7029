//! A rule set: tables in order.

use super::table::{Family, Table};

/// Tables with everything in them, as one value.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Ruleset {
    /// The tables, in the order in which they are added.
    pub tables: Vec<Table>,
}

impl Ruleset {
    /// Creates an empty rule set.
    #[must_use]
    pub fn new() -> Self {
        Ruleset::default()
    }

    /// Adds a table.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// Returns the table of that family and name.
    #[must_use]
    pub fn find(&self, family: Family, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.family == family && table.name == name)
    }
}

impl FromIterator<Table> for Ruleset {
    fn from_iter<T: IntoIterator<Item = Table>>(tables: T) -> Self {
        Ruleset { tables: tables.into_iter().collect() }
    }
}
