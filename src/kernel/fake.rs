//! nf_tables in memory, for tests of programs that change rule sets.

mod answer;
mod chains;
mod elements;
mod machine;
mod narrow;
mod objects;
mod operations;
mod rules;
mod stop;
mod verdicts;

use std::borrow::Cow;

use super::clash::is_clash;
use super::declared::{no_form, no_set, with_declarations};
use super::destroy::{destroys_ends, with_ends_found};
use super::sync::{Applied, named, plan};
use crate::bytecode::raise_set;
use crate::error::{Error, Kind, Result};
use crate::model::{ChainId, RuleHandle, Ruleset, Set, SetId, TableId};
use crate::netlink::{self, Ending, KnownSets, Lost, MessagePart};
use crate::plan::{Difference, Operation, StepKind, Transaction, differences, step};
use crate::state::{SetState, Snapshot};
use machine::{Ends, Machine};
use stop::CannotTell;

/// nf_tables in memory: it takes what the kernel takes, refuses what the kernel refuses, and needs
/// no capability.
///
/// A transaction is validated, encoded and judged as by [`Kernel`](super::Kernel), and an error has
/// the same kind, the same [refusals](Error::refusals) and the same text. What is held is read back
/// as a [`Snapshot`], with handles and uses counted as the kernel counts them. Code that takes
/// [`Nftables`](super::Nftables) runs with either:
///
/// ```
/// use nftmesh::kernel::{Fake, Nftables};
/// use nftmesh::model::{Base, Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table, TableId};
/// use nftmesh::plan::Transaction;
///
/// /// A program's own function: it is given a `Kernel` when it runs and a `Fake` in its tests.
/// fn close_port(kernel: &mut impl Nftables, port: u16) -> nftmesh::Result<()> {
///     let chain = TableId::new(Family::Inet, "guard").chain("input");
///     kernel.commit(&Transaction::new().add_rule(&chain, Rule::new().tcp_dport(port).drop()))
/// }
///
/// let mut fake = Fake::new();
/// let error = close_port(&mut fake, 25).unwrap_err();
/// assert!(error.is_not_found(), "nothing is installed yet: {error}");
///
/// let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER);
/// fake.apply(&Ruleset::new().table(Table::new(Family::Inet, "guard").chain(input)))?;
/// close_port(&mut fake, 25)?;
/// let table = &fake.snapshot()?.raise().ruleset.tables[0];
/// assert_eq!(table.chains[0].rules[0].to_string(), "tcp dport 25 drop");
/// # Ok::<(), nftmesh::Error>(())
/// ```
///
/// It is a kernel in which every expression is built in, no packet passes, no time goes by
/// (elements with a timeout stay), and nobody else is at work. What it cannot know is an error that
/// says so, [`is_unsupported`](Error::is_unsupported), without any refusal: stateful objects,
/// flowtables, and expressions that have no type here.
#[doc(alias("mock", "test"))]
#[derive(Clone, Debug, Default)]
pub struct Fake {
    machine: Machine,
}

impl Fake {
    /// A network namespace without tables.
    #[must_use]
    pub fn new() -> Self {
        Fake::default()
    }

    /// Commits a transaction: all of it or nothing. Every commit that changes anything makes a new
    /// generation.
    ///
    /// # Errors
    /// Those of [`Kernel::commit`](super::Kernel::commit), but that no capability can be missing;
    /// [`is_unsupported`](Error::is_unsupported) also when this cannot know what the kernel would
    /// do.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<()> {
        self.run(transaction, Ends::Commit).map(drop)
    }

    /// Commits a transaction, and returns the handles of the rules that it adds, replaces and
    /// restores, in the order of its operations.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub fn commit_echo(&mut self, transaction: &Transaction) -> Result<Vec<RuleHandle>> {
        self.run(transaction, Ends::Commit)
    }

    /// Asks whether a transaction would be taken, without changing anything.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub fn check(&mut self, transaction: &Transaction) -> Result<()> {
        self.run(transaction, Ends::DryRun).map(drop)
    }

    /// Returns everything that is held.
    ///
    /// # Errors
    /// None; it has the form of [`Kernel::snapshot`](super::Kernel::snapshot), so that one can
    /// stand for the other.
    pub fn snapshot(&mut self) -> Result<Snapshot> {
        Ok(self.held())
    }

    /// Returns what is held in these tables; those that do not exist are left out.
    ///
    /// # Errors
    /// None, as for [`snapshot`](Self::snapshot).
    pub fn snapshot_of(&mut self, tables: &[TableId]) -> Result<Snapshot> {
        Ok(self.held_in(tables))
    }

    /// Everything that is held.
    pub(crate) fn held(&self) -> Snapshot {
        self.machine.snapshot()
    }

    fn held_in(&self, tables: &[TableId]) -> Snapshot {
        let mut snapshot = self.held();
        snapshot.tables.retain(|table| tables.contains(&table.id));
        snapshot.opaque.clear();
        snapshot
    }

    /// Returns what [`apply`](Self::apply) would commit, as [`Kernel::plan`](super::Kernel::plan)
    /// does.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when the rule set is.
    pub fn plan(&mut self, ruleset: &Ruleset) -> Result<Transaction> {
        self.plan_owned(ruleset, &[])
    }

    /// The same for a caller whose tables are `ours`: those that `ruleset` lacks are deleted.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn plan_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction> {
        plan(&self.held_in(&named(ruleset, ours)), ruleset, ours)
    }

    /// Makes the tables of `ruleset` what they are there, by the same steps as
    /// [`Kernel::apply`](super::Kernel::apply).
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan) and [`commit`](Self::commit); nothing is changed then.
    pub fn apply(&mut self, ruleset: &Ruleset) -> Result<Applied> {
        self.apply_owned(ruleset, &[])
    }

    /// The same for a caller whose tables are `ours`: those that `ruleset` lacks are deleted.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn apply_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied> {
        let before = self.machine.clone();
        self.steps(ruleset, ours).inspect_err(|_| self.machine = before)
    }

    /// Returns how what is held differs from `ruleset`; nothing when it does not.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn verify(&mut self, ruleset: &Ruleset) -> Result<Vec<Difference>> {
        self.verify_owned(ruleset, &[])
    }

    /// The same for a caller whose tables are `ours`: those that `ruleset` lacks should not be
    /// there.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn verify_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Vec<Difference>> {
        let held = self.held_in(&named(ruleset, ours));
        Ok(differences(&plan(&held, ruleset, ours)?, &held))
    }

    fn steps(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied> {
        let tables = named(ruleset, ours);
        let mut applied = Applied::default();
        loop {
            let next =
                step(&self.held_in(&tables), ruleset, |held: &Snapshot, wanted: &Ruleset| plan(held, wanted, ours))?;
            self.commit(&next.transaction)?;
            if next.kind != StepKind::Last {
                applied.staged.push(next.transaction);
                continue;
            }
            applied.transaction = next.transaction;
            if !applied.was_in_sync() {
                applied.warnings = ruleset.warnings();
            }
            return Ok(applied);
        }
    }

    fn run(&mut self, transaction: &Transaction, ends: Ends) -> Result<Vec<RuleHandle>> {
        let transaction = &*with_declarations(transaction, |id| self.declaration(id))?;
        transaction.validate_with(&self.sets_unknown(transaction))?;
        if transaction.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = &*self.settled(transaction)?;
        let known = KnownSets::of(transaction);
        let ending = if ends == Ends::Commit { Ending::AcknowledgedEnd } else { Ending::DryRun };
        let encoded = netlink::encode(transaction, &known, ending, 1).map_err(|(index, cause)| {
            let operation = transaction.operations().get(index).map(Operation::title).unwrap_or_default();
            let count = transaction.operations().len();
            Error::new(Kind::Invalid, format!("op {} of {count}, {operation}: {cause}", index + 1))
        })?;
        let anchored = encoded.origins.first().is_some_and(|origin| origin.part == MessagePart::Anchor);
        let outcome = self.machine.run(transaction, &known, anchored, ends).map_err(|why| {
            let CannotTell { operation, reason } = why;
            let title = transaction.operations().get(operation).map(Operation::title).unwrap_or_default();
            let count = transaction.operations().len();
            let place = format!("op {} of {count}, {title}", operation + 1);
            Error::new(Kind::Unsupported, format!("{place}: the fake cannot tell what the kernel does: {reason}"))
        })?;
        let faults = match outcome {
            Ok(made) => return Ok(made),
            Err(faults) => faults,
        };
        let acks: Vec<_> = faults.iter().map(|fault| answer::ack(&encoded, fault)).collect();
        let unsupported = faults.iter().filter(|fault| fault.errno == libc::EOPNOTSUPP);
        let held = |id: &ChainId| {
            let table = self.machine.held().table(&id.table);
            Ok(table.and_then(|table| table.chain(id.name.as_str())).cloned())
        };
        let clashes = unsupported.filter_map(|fault| fault.operation);
        let clashes = clashes.filter(|index| is_clash(transaction, *index, held).unwrap_or(false)).collect();
        Err(netlink::refused(transaction, &known, &encoded, &acks, (Lost::Nothing, &clashes)))
    }

    /// Finds the intervals to destroy, as [`Kernel`](crate::kernel::Kernel) does before it sends
    /// their deletion.
    fn settled<'t>(&self, transaction: &'t Transaction) -> Result<Cow<'t, Transaction>> {
        if !transaction.operations().iter().any(destroys_ends) {
            return Ok(Cow::Borrowed(transaction));
        }
        let elements = |id: &SetId| self.set_state(id).map(|set| set.elements.clone()).unwrap_or_default();
        with_ends_found(transaction, |id| Ok(elements(id))).map(Cow::Owned)
    }

    fn set_state(&self, id: &SetId) -> Option<&SetState> {
        self.machine.held().table(&id.table)?.set(id.name.as_str())
    }

    fn declaration(&self, id: &SetId) -> Result<Set> {
        let set = self.set_state(id).ok_or_else(|| no_set(id))?;
        raise_set(&set.name, &set.code, &[]).map_err(|_| no_form(id))
    }

    /// The declarations of sets that rules look up and that the transaction does not say.
    fn sets_unknown(&self, transaction: &Transaction) -> Vec<(TableId, Set)> {
        let unknown = transaction.sets_unknown();
        if unknown.is_empty() {
            return Vec::new();
        }
        let tables: Vec<TableId> = unknown.iter().map(|(table, _)| (*table).clone()).collect();
        let raised = self.held_in(&tables).raise().ruleset;
        let sets = raised.tables.into_iter().flat_map(|table| {
            let id = TableId::from(&table);
            let declared = |set| Set { elements: Vec::new(), ..set };
            table.sets.into_iter().map(move |set| (id.clone(), declared(set)))
        });
        sets.filter(|(table, set)| unknown.contains(&(table, &set.name))).collect()
    }
}

/// Goes on from a state that was read from a kernel, or kept.
impl From<Snapshot> for Fake {
    fn from(held: Snapshot) -> Self {
        Fake { machine: Machine::holding(held) }
    }
}
