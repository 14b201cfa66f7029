//! Parts of tables, read at one known generation.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::kernel::dump::Found;
use crate::kernel::live::Kernel;
use crate::kernel::snapshot::Reading;
use crate::model::{Generation, Name, TableId};
use crate::netlink::{self, Assembly, kind};
use crate::plan::{TablePart, Unsettled};
use crate::state::{ChainState, Snapshot, TableState};

impl Kernel {
    /// Returns the kernel's state of this part. `None` when the generation has passed, or when the
    /// state is not what was remembered: then everything has to be read.
    pub(super) fn snapshot_of_part(&mut self, part: &Unsettled, generation: Generation) -> Result<Option<Snapshot>> {
        let mut held = match part.whole.as_slice() {
            [] => Snapshot { generation, ..Snapshot::default() },
            whole => self.snapshot_of(whole)?,
        };
        if held.generation != generation || !self.is_current(generation)? {
            return Ok(None);
        }
        let read = self.read_part(&part.tables);
        // The generation is checked first: an inconsistent state explains any error.
        self.drain()?;
        if !self.is_current(generation)? {
            return Ok(None);
        }
        let Some(assembly) = read? else { return Ok(None) };
        let tables = assembly.finish(generation).tables;
        if !tables.iter().zip(&part.tables).all(|(table, part)| is_as_remembered(table, part)) {
            return Ok(None);
        }
        held.tables.extend(tables.into_iter().zip(&part.tables).map(|(table, part)| with_known(table, part)));
        Ok(Some(held))
    }

    /// Reads the parts; `None` when a dump reports an interruption.
    fn read_part(&mut self, parts: &[TablePart]) -> Result<Option<Assembly<'static>>> {
        let empty = |part: &TablePart| TableState { sets: Vec::new(), chains: Vec::new(), ..part.known.clone() };
        let assembly = Assembly::of_parts(parts.iter().map(empty).collect());
        let mut reading = Reading { kernel: self, assembly, whole: true };
        for TablePart { chains, sets, known: TableState { id, .. } } in parts {
            for (chain, _) in chains {
                reading.one(kind::GETCHAIN, id, &netlink::chain_attributes(&id.name, chain))?;
                reading.rules(id, chain)?;
            }
            for set in sets {
                reading.one(kind::GETSET, id, &netlink::set_attributes(&id.name, set))?;
            }
        }
        let known = parts.iter().flat_map(|part| part.known.sets.iter().map(|set| (&part.known.id, &set.name)));
        let known: HashSet<(&TableId, &Name)> = known.collect();
        for (id, name) in reading.assembly.sets_missing() {
            if !known.contains(&(&id, &name))
                && reading.one(kind::GETSET, &id, &netlink::set_attributes(&id.name, &name))? == Found::One
            {
                // Other named sets do not change.
                reading.assembly.keep_anonymous();
            }
        }
        for request in reading.assembly.element_requests() {
            reading.elements(&request)?;
        }
        Ok(reading.end())
    }
}

/// Returns whether the chains have as many rules as they were given: a dump silently stops before
/// a rule that does not fit a datagram.
fn is_as_remembered(table: &TableState, part: &TablePart) -> bool {
    let found: HashMap<&Name, &ChainState> = table.chains.iter().map(|chain| (&chain.name, chain)).collect();
    part.chains.iter().all(|(name, rules)| {
        let count = found.get(name).and_then(|chain| u32::try_from(chain.rules.len()).ok());
        rules.is_none() || *rules == count
    })
}

/// Returns the table in the kernel's order, which is by handle, with the parts that were not read.
fn with_known(mut table: TableState, part: &TablePart) -> TableState {
    let wanted: HashSet<&Name> = part.sets.iter().collect();
    table.sets.retain(|set| wanted.contains(&set.name));
    table.chains.sort_by_key(|chain| chain.handle);
    table.sets.sort_by_key(|set| set.handle);
    table.chains.extend(part.known.chains.iter().cloned());
    table.sets.extend(part.known.sets.iter().cloned());
    table
}
