//! Consistent snapshots.
//!
//! A dump is read in pieces, and a commit between two of them is not reliably detectable: during
//! commits that replace a table, dumps come back empty without any flag. Every snapshot is
//! therefore enclosed by two barriers, empty batches that the kernel refuses when the generation
//! has passed (see `netlink::barrier`), and is read again when one is refused.

use std::time::Duration;

use super::dump::{Dump, Found, Query};
use super::live::Kernel;
use super::spans::{event, span};
use crate::error::{Error, Kind, Result};
use crate::model::{Generation, Name, TableId};
use crate::netlink::{self, Assembly, ElementRequest, RuleRequest, kind};
use crate::state::Snapshot;

/// How often a snapshot is read again because another commit intervened.
const ATTEMPTS: usize = 20;

/// How often, and after what delay, elements are read again that the kernel was moving.
const MOVES: usize = 100;
const A_MOVE: Duration = Duration::from_millis(2);

impl Kernel {
    /// Returns everything that the kernel holds, at one generation.
    ///
    /// Elements that rules add, and elements that expire, change without a new generation; these
    /// are as each dump found them.
    ///
    /// # Errors
    /// [`is_conflict`](Error::is_conflict) when other commits intervened in each of 20 attempts,
    /// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN`.
    ///
    /// ```no_run
    /// let snapshot = nftmesh::kernel::Kernel::open()?.snapshot()?;
    /// for table in &snapshot.tables {
    ///     println!("{}: {} chains at generation {}", table.id, table.chains.len(), snapshot.generation.0);
    /// }
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    #[doc(alias("list ruleset", "nft list"))]
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        self.consistent(None)
    }

    /// Returns these tables at one generation; those that do not exist are omitted.
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    pub fn snapshot_of(&mut self, tables: &[TableId]) -> Result<Snapshot> {
        self.consistent(Some(tables))
    }

    /// Returns the tables and their chains without rules and sets, from a single read.
    pub(crate) fn outline(&mut self) -> Result<Snapshot> {
        let generation = self.generation()?;
        let mut reading = Reading { kernel: self, assembly: Assembly::new(None), whole: true };
        let all = [Scope { family: 0, table: None }];
        reading.dump(kind::GETTABLE, &all)?;
        reading.dump(kind::GETCHAIN, &all)?;
        Ok(reading.assembly.finish(generation))
    }

    fn consistent(&mut self, wanted: Option<&[TableId]>) -> Result<Snapshot> {
        let (generation, assembly) = self.at_one_generation(|kernel| kernel.read(wanted))?;
        Ok(assembly.finish(generation))
    }

    /// Calls `read` until no commit happens while it reads, and returns its result with the
    /// generation. `read` returns `None` when a dump was interrupted.
    pub(super) fn at_one_generation<T>(
        &mut self,
        mut read: impl FnMut(&mut Kernel) -> Result<Option<T>>,
    ) -> Result<(Generation, T)> {
        span!("read");
        for _attempt in 0..ATTEMPTS {
            if _attempt > 0 {
                event!("retry", attempt = _attempt);
            }
            let generation = self.generation()?;
            if !self.is_current(generation)? {
                continue;
            }
            let read = read(self);
            // The generation is checked first: an inconsistent state explains any error.
            self.drain()?;
            if !self.is_current(generation)? {
                continue;
            }
            if let Some(read) = read? {
                event!("generation", generation = generation.0);
                return Ok((generation, read));
            }
        }
        Err(Error::new(
            Kind::Conflict,
            format!("read the rule sets: somebody committed during each of {ATTEMPTS} attempts; try again later"),
        ))
    }

    /// Reads everything once; `None` when a dump reports an interruption.
    fn read<'w>(&mut self, wanted: Option<&'w [TableId]>) -> Result<Option<Assembly<'w>>> {
        let mut reading = Reading { kernel: self, assembly: Assembly::new(wanted), whole: true };
        let all = [Scope { family: 0, table: None }];
        reading.dump(kind::GETTABLE, &all)?;
        // Chains can only be requested by family, everything else by table.
        let (families, tables) =
            if reading.assembly.left_out() { reading.scopes() } else { (all.to_vec(), all.to_vec()) };
        reading.dump(kind::GETCHAIN, &families)?;
        reading.dump(kind::GETSET, &tables)?;
        for request in reading.assembly.element_requests() {
            reading.elements(&request)?;
        }
        reading.dump(kind::GETRULE, &tables)?;
        for request in reading.assembly.rule_requests() {
            reading.assembly.forget_rules(&request);
            let RuleRequest { family, attributes, .. } = &request;
            reading.query(Query { kind: kind::GETRULE, family: *family, attributes })?;
        }
        if wanted.is_none() || reading.assembly.has_more() {
            reading.dump_if_known(kind::GETOBJ, &tables)?;
            reading.dump_if_known(kind::GETFLOWTABLE, &tables)?;
        }
        Ok(reading.end())
    }
}

/// A snapshot being read.
pub(super) struct Reading<'k, 'w> {
    pub(super) kernel: &'k mut Kernel,
    pub(super) assembly: Assembly<'w>,
    /// Whether no dump so far was interrupted.
    pub(super) whole: bool,
}

/// The scope of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    /// `NFPROTO_*`, 0 for all.
    family: u8,
    table: Option<Name>,
}

impl<'w> Reading<'_, 'w> {
    /// Returns what was read; `None` when a dump was interrupted.
    pub(super) fn end(self) -> Option<Assembly<'w>> {
        let Reading { kernel: _, assembly, whole } = self;
        whole.then_some(assembly)
    }

    /// Reads the rules of one chain.
    pub(super) fn rules(&mut self, table: &TableId, chain: &Name) -> Result<()> {
        let attributes = netlink::set_attributes(&table.name, chain);
        self.query(Query { kind: kind::GETRULE, family: table.family.number(), attributes: &attributes })
    }

    /// Returns one scope for each family of the tables found, and one for each table.
    fn scopes(&self) -> (Vec<Scope>, Vec<Scope>) {
        let mut families = Vec::new();
        let mut tables = Vec::new();
        for TableId { family, name } in self.assembly.tables() {
            let family = family.number();
            let scope = Scope { family, table: None };
            if !families.contains(&scope) {
                families.push(scope);
            }
            tables.push(Scope { family, table: Some(name.clone()) });
        }
        (families, tables)
    }

    fn dump(&mut self, kind: u16, scopes: &[Scope]) -> Result<()> {
        for Scope { family, table } in scopes {
            let attributes = table.as_ref().map(netlink::table_attribute).unwrap_or_default();
            self.query(Query { kind, family: *family, attributes: &attributes })?;
        }
        Ok(())
    }

    /// Dumps a kind if the kernel has it: Linux before 4.10 has no objects, before 4.16 no
    /// flowtables.
    fn dump_if_known(&mut self, kind: u16, scopes: &[Scope]) -> Result<()> {
        match self.dump(kind, scopes) {
            Err(error) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&error.errno()) => Ok(()),
            outcome => outcome,
        }
    }

    /// Reads the elements of one set, repeatedly while the kernel is moving them to a larger
    /// table, which takes some milliseconds after many were added.
    pub(super) fn elements(&mut self, request: &ElementRequest) -> Result<()> {
        let ElementRequest { family, attributes, .. } = request;
        for _ in 0..MOVES {
            self.query(Query { kind: kind::GETSETELEM, family: *family, attributes })?;
            if self.assembly.settle(request) {
                return Ok(());
            }
            std::thread::sleep(A_MOVE);
        }
        self.whole = false;
        Ok(())
    }

    /// Requests one object.
    pub(super) fn one(&mut self, kind: u16, table: &TableId, attributes: &[u8]) -> Result<Found> {
        let assembly = &mut self.assembly;
        let query = Query { kind, family: table.family.number(), attributes };
        self.kernel.get(query, |message| assembly.read(message))
    }

    /// Sends a dump request and reads the answer.
    pub(super) fn query(&mut self, query: Query<'_>) -> Result<()> {
        let assembly = &mut self.assembly;
        let dump = self.kernel.dump(query, |message| assembly.read(message))?;
        self.whole &= dump == Dump::Whole;
        Ok(())
    }
}
