//! What is held, and what each operation of a transaction does to it:
//! net/netfilter/nf_tables_api.c, v6.12 to v6.18.
//!
//! As in the kernel, an operation that is refused does not end the batch: those after it are looked
//! at too, and all that are refused are reported. A rule that goes stays in its place, where others
//! find it by its handle, until the batch is through.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::elements::Tree;
use super::stop::{CannotTell, Fault, Outcome, Spot, Stop, refuse};
use super::verdicts;
use crate::attr::nfta::{NFTA_RULE_CHAIN, NFTA_RULE_TABLE};
use crate::bytecode::{ElementCode, INTERVAL_END, SetCode};
use crate::model::{ChainId, Generation, RuleHandle, SetHandle, TableHandle, TableId};
use crate::netlink::{KnownSets, MessagePart};
use crate::plan::Transaction;
use crate::state::{ChainState, RuleState, Snapshot, TableState};

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Commit,
    DryRun,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    held: Snapshot,
    counts: Counts,
}

/// The numbers that are given out next; a batch that is refused uses them up as well.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) table: TableHandle,
    /// By the handle of the table.
    inside: BTreeMap<TableHandle, u64>,
}

/// How a batch is looked at.
#[derive(Clone, Copy)]
struct Looks<'a> {
    known: &'a KnownSets,
    /// Whether the table of the first operation is added first.
    anchored: bool,
    /// Whether jumps and hooks are checked after every operation, and not only at the end.
    checks: bool,
    /// Tables with a higher handle are not checked.
    known_until: TableHandle,
}

/// A batch under way.
pub(super) struct Batch<'a> {
    pub(super) held: Snapshot,
    pub(super) counts: &'a mut Counts,
    /// Rules that go, by the handles of table and rule.
    pub(super) gone: HashSet<(TableHandle, RuleHandle)>,
    /// Sets that came, by the handles of table and set.
    pub(super) new_sets: HashSet<(TableHandle, SetHandle)>,
    /// What was done to sets of intervals, by the handles of table and set.
    pub(super) trees: HashMap<(TableHandle, SetHandle), Tree>,
    /// Rules that were replaced, and those of chains that have gone, with the handle of the table.
    pub(super) removed: Vec<(TableHandle, RuleState)>,
    /// What sets are declared to be from the end of the batch on, by the handles of table and set.
    pub(super) resized: Vec<(TableHandle, SetHandle, SetCode)>,
    /// Tables of which the flags changed, and those of which a chain did or a base chain went
    /// (nft_table_pending_update).
    pub(super) toggled: HashSet<TableHandle>,
    pub(super) pending: HashSet<TableHandle>,
    /// The rules that were made.
    pub(super) made: Vec<RuleHandle>,
    pub(super) has_changed: bool,
    /// Tables in which something came that has to be checked.
    pub(super) touched: HashSet<TableHandle>,
    /// Tables with a higher handle are not checked.
    pub(super) known_until: TableHandle,
}

impl Default for Machine {
    fn default() -> Self {
        Machine::holding(Snapshot { generation: Generation(1), ..Snapshot::default() })
    }
}

impl Machine {
    pub(super) fn holding(held: Snapshot) -> Self {
        let table = held.tables.iter().map(|table| table.handle).max().unwrap_or_default();
        let inside = held.tables.iter().map(|table| {
            let chains = table
                .chains
                .iter()
                .flat_map(|chain| chain.rules.iter().map(|rule| rule.handle.0).chain(std::iter::once(chain.handle.0)));
            let sets = table.sets.iter().map(|set| set.handle.0);
            let objects = table.objects.iter().map(|object| object.handle.0);
            (table.handle, chains.chain(sets).chain(objects).max().unwrap_or_default())
        });
        let inside = inside.collect();
        Machine { held, counts: Counts { table, inside } }
    }

    /// What is held, without what is counted.
    pub(super) fn held(&self) -> &Snapshot {
        &self.held
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.held.clone();
        snapshot.tables.iter_mut().for_each(verdicts::count_uses);
        for set in snapshot.tables.iter_mut().flat_map(|table| &mut table.sets) {
            // No time goes by: all of it is left. The end of an interval has none of its own.
            let usual = set.code.timeout.unwrap_or_default();
            let left = |element: &ElementCode| Some(element.timeout.unwrap_or(usual)).filter(|left| *left > 0);
            set.expires = set
                .elements
                .iter()
                .map(|element| left(element).filter(|_| element.flags & INTERVAL_END == 0))
                .collect();
            if set.expires.iter().all(Option::is_none) {
                set.expires.clear();
            }
        }
        snapshot
    }

    /// Deletes all tables but those of other sockets.
    pub(super) fn flush(&mut self) {
        let count = self.held.tables.len();
        self.held.tables.retain(|table| table.owner.is_some_and(|owner| owner != PORT));
        if self.held.tables.len() < count {
            self.held.generation = next(self.held.generation);
        }
    }

    /// Does all of it and returns the rules that were made, or does nothing and returns what is
    /// refused.
    pub(super) fn run(
        &mut self,
        transaction: &Transaction,
        known: &KnownSets,
        anchored: bool,
        ends: Ends,
    ) -> Result<Result<Vec<RuleHandle>, Vec<Fault>>, CannotTell> {
        let generation = self.held.generation;
        if transaction.generation().is_some_and(|wanted| wanted != generation) {
            let (part, spot) = (MessagePart::Itself, Spot::Whole);
            return Ok(Err(vec![Fault { operation: None, part, spot, errno: libc::ERESTART }]));
        }
        // Of what fails in a table that a dry run makes, the kernel has forgotten where to look.
        let known_until = if ends == Ends::DryRun { self.counts.table } else { TableHandle(u64::MAX) };
        let all = Looks { known, anchored, checks: false, known_until };
        let (mut batch, faults) = Batch::run(&self.held, &mut self.counts, transaction, all)?;
        if !faults.is_empty() {
            return Ok(Err(faults));
        }
        if !batch.is_valid() {
            // The kernel starts again, and looks after every rule, to find the one at fault.
            let each = Looks { checks: true, ..all };
            return Ok(Err(Batch::run(&self.held, &mut self.counts, transaction, each)?.1));
        }
        let made = std::mem::take(&mut batch.made);
        if ends == Ends::Commit {
            batch.sweep();
            self.held = batch.held;
            if batch.has_changed {
                self.held.generation = next(generation);
            }
        }
        Ok(Ok(made))
    }
}

impl<'a> Batch<'a> {
    fn run(
        held: &Snapshot,
        counts: &'a mut Counts,
        transaction: &Transaction,
        Looks { known, anchored, checks, known_until }: Looks<'_>,
    ) -> Result<(Self, Vec<Fault>), CannotTell> {
        let (gone, touched) = (HashSet::new(), HashSet::new());
        let (toggled, pending) = (HashSet::new(), HashSet::new());
        let mut batch = Batch {
            held: held.clone(),
            counts,
            gone,
            trees: HashMap::new(),
            removed: Vec::new(),
            new_sets: HashSet::new(),
            resized: Vec::new(),
            made: Vec::new(),
            toggled,
            pending,
            has_changed: false,
            touched,
            known_until,
        };
        let mut faults = Vec::new();
        if let Some(first) = transaction.operations().first().filter(|_| anchored) {
            // A first message that makes the table of the first operation, if need be.
            drop(first.table().map(|table| batch.add_table(table, 0, Vec::new())));
        }
        for (index, operation) in transaction.operations().iter().enumerate() {
            let mut stops = batch.operation(operation, known);
            if checks && stops.is_empty() {
                stops.extend(batch.invalid(operation));
            }
            for stop in stops {
                match stop {
                    Stop::Refused { part, spot, errno } => {
                        faults.push(Fault { operation: Some(index), part, spot, errno });
                    }
                    Stop::Unknown(reason) => return Err(CannotTell { operation: index, reason }),
                }
            }
        }
        Ok((batch, faults))
    }

    /// Takes out what has gone.
    fn sweep(&mut self) {
        for table in &mut self.held.tables {
            for chain in &mut table.chains {
                chain.rules.retain(|rule| !self.gone.contains(&(table.handle, rule.handle)));
            }
        }
        self.gone.clear();
        for (table, set, SetCode { timeout, gc_interval, size, .. }) in self.resized.drain(..) {
            let table = self.held.tables.iter_mut().find(|held| held.handle == table);
            let Some(held) = table.and_then(|table| table.sets.iter_mut().find(|held| held.handle == set)) else {
                continue;
            };
            (held.code.timeout, held.code.gc_interval) = (timeout, gc_interval);
            held.code.size = size.or(held.code.size);
        }
    }

    /// The next number in a table.
    pub(super) fn number(&mut self, table: TableHandle) -> u64 {
        let last = self.counts.inside.entry(table).or_default();
        *last += 1;
        *last
    }

    pub(super) fn table(&mut self, id: &TableId, attribute: u16) -> Outcome<&mut TableState> {
        match self.held.tables.iter_mut().find(|table| table.id == *id) {
            Some(table) if table.owner.is_some_and(|owner| owner != PORT) => {
                Err(Stop::Unknown("the table belongs to another socket".to_owned()))
            }
            Some(table) => Ok(table),
            None => refuse(libc::ENOENT, attribute),
        }
    }

    pub(super) fn chain(&mut self, id: &ChainId) -> Outcome<&mut ChainState> {
        let table = self.table(&id.table, NFTA_RULE_TABLE)?;
        match table.chains.iter_mut().find(|chain| chain.name == id.name) {
            Some(chain) => Ok(chain),
            None => refuse(libc::ENOENT, NFTA_RULE_CHAIN),
        }
    }
}

fn next(Generation(generation): Generation) -> Generation {
    Generation(generation.checked_add(1).unwrap_or(1))
}

/// The port id of the one socket, which owns the tables that say so.
pub(super) const PORT: u32 = 1;
