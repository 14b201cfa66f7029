//! Queries of one table, one chain or one set that do not read the rest of the rule sets.

use super::dump::Found;
use super::live::Kernel;
use super::snapshot::Reading;
use crate::error::Result;
use crate::model::{ChainId, Generation, Rule, RuleHandle, Set, SetId, TableId};
use crate::netlink::{self, Assembly, kind};
use crate::state::{ChainState, SetState, TableState, TimedElement};

impl Kernel {
    /// Returns one table, or `None` when there is no such table.
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    pub fn table(&mut self, id: &TableId) -> Result<Option<TableState>> {
        Ok(self.snapshot_of(std::slice::from_ref(id))?.tables.pop())
    }

    /// Returns one chain with its rules, or `None` when there is no such chain.
    ///
    /// Nothing else of the table is read, except the anonymous sets of these rules. For a chain
    /// that others jump to, [`unlisted`](ChainState::unlisted) is 0: only [`table`](Self::table)
    /// can distinguish those uses from rules that cannot be read.
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    pub fn chain(&mut self, id: &ChainId) -> Result<Option<ChainState>> {
        Ok(self.table_of_chain(id)?.and_then(|mut table| table.chains.pop()))
    }

    /// Returns the rules of one chain, each with its handle, or `None` when there is no such chain.
    ///
    /// Reads what [`chain`](Self::chain) reads.
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let forward = TableId::new(Family::Ip, "filter").chain("FORWARD");
    /// let mut kernel = Kernel::open()?;
    /// for (handle, rule) in kernel.rules(&forward)?.unwrap_or_default() {
    ///     println!("{rule} # handle {handle}");
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn rules(&mut self, id: &ChainId) -> Result<Option<Vec<(RuleHandle, Rule)>>> {
        Ok(self.table_of_chain(id)?.map(|table| table.rules(id.name.as_str()).collect()))
    }

    /// Returns one set, map or verdict map with its elements, or `None` when there is no such set.
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    pub fn set(&mut self, id: &SetId) -> Result<Option<Set>> {
        let (generation, assembly) = self.at_one_generation(|kernel| kernel.read_set(id))?;
        Ok(assembly.finish(generation).set(id))
    }

    /// Returns the elements of one set, each with the time until it expires, which is `None` for
    /// one that stays. Returns `None` when there is no such set, or when it is
    /// [opaque](Set::opaque).
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let blocked = TableId::new(Family::Inet, "host").set("blocked");
    /// for (element, left) in Kernel::open()?.elements(&blocked)?.unwrap_or_default() {
    ///     println!("{}: {left:?}", element.key);
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("expires", "get element", "list set"))]
    pub fn elements(&mut self, id: &SetId) -> Result<Option<Vec<TimedElement>>> {
        let (generation, assembly) = self.at_one_generation(|kernel| kernel.read_set(id))?;
        Ok(assembly.finish(generation).elements(id))
    }

    /// Returns one chain without its rules.
    pub(super) fn chain_alone(&mut self, id: &ChainId) -> Result<Option<ChainState>> {
        let ChainId { table, name } = id;
        let mut reading = self.reading(table);
        reading.one(kind::GETCHAIN, table, &netlink::chain_attributes(&table.name, name))?;
        let table = reading.assembly.finish(Generation::default()).tables.pop();
        Ok(table.and_then(|mut table| table.chains.pop()))
    }

    /// One set with its elements as the kernel keeps them.
    pub(super) fn set_state(&mut self, id: &SetId) -> Result<Option<SetState>> {
        let (generation, assembly) = self.at_one_generation(|kernel| kernel.read_set(id))?;
        let mut tables = assembly.finish(generation).tables;
        Ok(tables.pop().and_then(|mut table| table.sets.pop()))
    }

    fn read_set(&mut self, id: &SetId) -> Result<Option<Assembly<'static>>> {
        let SetId { table, name } = id;
        let mut reading = self.reading(table);
        if reading.one(kind::GETSET, table, &netlink::set_attributes(&table.name, name))? == Found::One {
            for request in reading.assembly.element_requests() {
                reading.elements(&request)?;
            }
        }
        Ok(reading.end())
    }

    /// Returns the table with this chain and with the sets that its rules refer to, named ones
    /// without their elements.
    fn table_of_chain(&mut self, id: &ChainId) -> Result<Option<TableState>> {
        let (generation, assembly) = self.at_one_generation(|kernel| kernel.read_chain(id))?;
        Ok(finished(assembly, generation))
    }

    fn read_chain(&mut self, id: &ChainId) -> Result<Option<Assembly<'static>>> {
        let ChainId { table, name } = id;
        let mut reading = self.reading(table);
        if reading.one(kind::GETCHAIN, table, &netlink::chain_attributes(&table.name, name))? == Found::One {
            reading.rules(table, name)?;
            for (table, set) in reading.assembly.sets_missing() {
                reading.one(kind::GETSET, &table, &netlink::set_attributes(&table.name, &set))?;
            }
            for request in reading.assembly.anonymous_element_requests() {
                reading.elements(&request)?;
            }
        }
        Ok(reading.end())
    }

    fn reading(&mut self, table: &TableId) -> Reading<'_, 'static> {
        let assembly = Assembly::of_parts(vec![TableState::bare(table.clone(), 0)]);
        Reading { kernel: self, assembly, whole: true }
    }
}

fn finished(assembly: Assembly<'_>, generation: Generation) -> Option<TableState> {
    let mut table = assembly.finish(generation).tables.pop()?;
    let chain = table.chains.first_mut()?;
    // No verdict leads to a base chain, so its uses are rules.
    if chain.hook.is_some() {
        let rules = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX);
        chain.unlisted = chain.uses.saturating_sub(rules);
    }
    Some(table)
}
