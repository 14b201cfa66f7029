//! Questions about one table, one chain or one set, and what takes away.

use super::Fake;
use crate::error::Result;
use crate::kernel::Applied;
use crate::model::{ChainId, Rule, RuleHandle, Ruleset, Set, SetId, TableId};
use crate::state::{ChainState, TableState, TimedElement};

impl Fake {
    /// Returns what is held in one table, as [`Kernel::table`](crate::kernel::Kernel::table) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn table(&mut self, id: &TableId) -> Result<Option<TableState>> {
        Ok(self.held_in(std::slice::from_ref(id)).tables.pop())
    }

    /// Returns one chain with its rules, as [`Kernel::chain`](crate::kernel::Kernel::chain) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn chain(&mut self, id: &ChainId) -> Result<Option<ChainState>> {
        Ok(self.table(&id.table)?.and_then(|table| table.chain(id.name.as_str()).cloned()))
    }

    /// Returns the rules of one chain, each with its handle, as
    /// [`Kernel::rules`](crate::kernel::Kernel::rules) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn rules(&mut self, id: &ChainId) -> Result<Option<Vec<(RuleHandle, Rule)>>> {
        let name = id.name.as_str();
        let table = self.table(&id.table)?.filter(|table| table.chain(name).is_some());
        Ok(table.map(|table| table.rules(name).collect()))
    }

    /// Returns one set, map or verdict map with its elements, as
    /// [`Kernel::set`](crate::kernel::Kernel::set) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn set(&mut self, id: &SetId) -> Result<Option<Set>> {
        Ok(self.held_in(std::slice::from_ref(&id.table)).set(id))
    }

    /// Returns the elements of one set with the time until they expire, as
    /// [`Kernel::elements`](crate::kernel::Kernel::elements) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn elements(&mut self, id: &SetId) -> Result<Option<Vec<TimedElement>>> {
        Ok(self.held_in(std::slice::from_ref(&id.table)).elements(id))
    }

    /// Deletes those of the tables that are there, as
    /// [`Kernel::remove`](crate::kernel::Kernel::remove) does.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn remove(&mut self, tables: &[TableId]) -> Result<Applied> {
        self.apply_owned(&Ruleset::new(), tables)
    }

    /// Deletes every table with everything in it, as
    /// [`Kernel::flush_ruleset`](crate::kernel::Kernel::flush_ruleset) does.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn flush_ruleset(&mut self) -> Result<()> {
        self.machine.flush();
        Ok(())
    }
}
