//! Converges the kernel to a rule set: commits only the differences, and only at the generation
//! they were computed from.

mod part;
#[cfg(test)]
mod tests;

use super::live::Kernel;
use super::spans::{event, span};
use crate::error::{Error, Kind, Result};
use crate::model::{Generation, Ruleset, TableId};
use crate::plan::{Difference, Since, Step, StepKind, Sums, Transaction, Unsettled, diff, differences, step, unstaged};
use crate::state::Snapshot;
use crate::validate::{Fault, Severity};

/// How often a commit is tried again when others commit at the same time.
const ATTEMPTS: usize = 1_000;

/// The number of steps after which the rest is committed at once; never reached in practice.
const STEPS: usize = 16;

/// The steps so far, before the last one.
#[derive(Debug, Default)]
struct Way {
    /// The state before the first step.
    first: Option<Snapshot>,
    staged: Vec<Transaction>,
    /// Whether packets already meet the new rules.
    is_past_the_switch: bool,
}

/// A step that was committed.
enum Taken {
    /// The state before it, and the last transaction.
    Last(Snapshot, Transaction),
    /// More steps follow.
    More,
}

/// All that needs to be read while this is the generation.
struct Ahead<'a> {
    part: Box<Unsettled>,
    ours: &'a [TableId],
    generation: Generation,
}

/// A completed sequence of steps.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The state before the first step, when there were several.
    pub(crate) first: Option<Snapshot>,
    /// The state before the last step.
    pub(crate) held: Snapshot,
    pub(crate) applied: Applied,
    /// The findings of validation, where only a part was examined.
    faults: Option<Vec<Fault>>,
}

/// The result of [`Kernel::apply`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The transactions committed beforehand, one after the other, so that packets see a single
    /// switch: see [`Kernel::apply`].
    pub staged: Vec<Transaction>,
    /// The final transaction; empty when nothing differed.
    pub transaction: Transaction,
    /// Oddities that the kernel accepted, see [`Ruleset::warnings`]; empty when nothing was
    /// committed.
    pub warnings: Vec<Fault>,
    /// How often others committed first and the plan was made again.
    pub retries: usize,
}

impl Applied {
    /// Returns whether everything was in sync and nothing was committed.
    #[must_use]
    pub fn was_in_sync(&self) -> bool {
        self.transaction.is_empty() && self.staged.is_empty()
    }
}

impl Kernel {
    /// Returns what [`apply`](Self::apply) would commit now: nothing, when the tables of `ruleset`
    /// are in sync.
    ///
    /// The transaction requires the generation that was read; a later commit of it is a
    /// [conflict](Error::is_conflict) if another commit intervened.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when the rule set is invalid; otherwise those of
    /// [`snapshot`](Self::snapshot).
    ///
    /// ```no_run
    /// use nftmesh::kernel::Kernel;
    /// use nftmesh::model::{Chain, Family, Ruleset, Table};
    ///
    /// let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("out")));
    /// let mut kernel = Kernel::open()?;
    /// let plan = kernel.plan(&ruleset)?;
    /// print!("{}", plan.marked());
    /// kernel.commit(&plan)?;
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    #[doc(alias("diff", "dry run", "preview"))]
    pub fn plan(&mut self, ruleset: &Ruleset) -> Result<Transaction> {
        self.plan_owned(ruleset, &[])
    }

    /// Plans for a caller whose tables are `ours`: those that `ruleset` lacks are deleted.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn plan_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction> {
        self.compare(ruleset, ours).map(|(_, plan)| plan)
    }

    /// Changes the tables of `ruleset` in the kernel to match it, by one transaction of the
    /// differences; nothing is committed when nothing differs.
    ///
    /// Tables that `ruleset` does not have are left alone. Within its tables, whatever it does not
    /// have is deleted, elements of sets included: a program that adds elements while it runs, such
    /// as a blocklist's, reads them first and puts them into the rule set that it applies. Only the
    /// elements that expire of a [dynamic](crate::Set::dynamic) set stay.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let host = TableId::new(Family::Inet, "host");
    /// let mut kernel = Kernel::open()?;
    /// // There is none at the first start.
    /// let held = kernel.set(&host.set("blocked"))?.map(|set| set.elements).unwrap_or_default();
    /// let hour = std::time::Duration::from_secs(3600);
    /// let blocked = Set::new("blocked", [DataType::Ipv4]).interval().timeout(hour).elements(held);
    /// kernel.apply(&Ruleset::new().table(Table::from(&host).set(blocked)))?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// Packets see all of it at once. The kernel publishes the contents of a set of intervals
    /// slightly later than the rules of the same transaction, so where rules change, an earlier
    /// transaction fills such a set while no rule uses it: a new set as it is; an anonymous one
    /// with its rule, after the end of its chain; the new contents of a set in use as a set named
    /// `NAME.next`, to which the rules switch, and from there to a new set with the old name. If
    /// the process is killed in between, the rules decide as the old ones or as the new ones do,
    /// and the next `apply` continues from there.
    ///
    /// Some changes are nevertheless made in one transaction: a table that is replaced because its
    /// flags differ; a chain that is replaced at another hook, or added with policy
    /// drop, and has such a set in its own rules; a set that packets fill; the sets of a table
    /// with statements that this crate does not know. The same holds for a transaction built by
    /// hand and passed to [`commit`](Self::commit).
    ///
    /// Unchanged objects keep their handles and counters, except rules that use a set replaced in
    /// this way. If the same `Kernel` is used and nobody else commits, only chains and sets that
    /// differ from the previous rule set are read and validated; the same rule set again costs one
    /// query of the generation.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan) and [`commit`](Self::commit); a conflict only when others
    /// commit first 1,000 times in a row.
    #[doc(alias("converge", "reconcile", "install"))]
    pub fn apply(&mut self, ruleset: &Ruleset) -> Result<Applied> {
        self.apply_owned(ruleset, &[])
    }

    /// Applies the rule set for a caller whose tables are `ours`: those that `ruleset` lacks are
    /// deleted.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn apply_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied> {
        span!("apply", tables = ruleset.tables.len());
        let mut sums = Sums::of(ruleset, ours, &self.hasher);
        let mut ahead = None;
        // If anything fails from here on, nothing is remembered.
        if let Some(known) = self.remembered.take() {
            if self.generation()? == known.generation {
                match known.since(ruleset, &mut sums) {
                    Since::Other => {}
                    Since::Unsettled(part) => ahead = Some(Ahead { part, ours, generation: known.generation }),
                    Since::Same => {
                        let transaction = Transaction::new().at_generation(known.generation);
                        self.remembered = Some(known);
                        return Ok(Applied { transaction, ..Applied::default() });
                    }
                }
            }
        }
        let tables = named(ruleset, ours);
        let Committed { first: _, held, mut applied, faults } =
            self.commit_steps(&tables, ruleset, ahead, |held, wanted| plan(held, wanted, ours))?;
        let faults = faults.unwrap_or_else(|| sums.judge(ruleset));
        let generation = match applied.was_in_sync() {
            true => held.generation,
            false => next(held.generation),
        };
        if !applied.was_in_sync() {
            applied.warnings = faults.into_iter().filter(|fault| fault.problem.severity() == Severity::Odd).collect();
        }
        self.remembered = Some(sums.in_force_at(generation));
        Ok(applied)
    }

    /// Deletes these tables with everything in them; a table that does not exist is not an error.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// Kernel::open()?.remove(&[TableId::new(Family::Inet, "mesh")])?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn remove(&mut self, tables: &[TableId]) -> Result<Applied> {
        self.apply_owned(&Ruleset::new(), tables)
    }

    /// Returns whether [`apply_owned`](Self::apply_owned) would do nothing.
    pub(crate) fn is_in_sync(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<bool> {
        Ok(self.is_remembered(ruleset, ours)? || self.plan_owned(ruleset, ours)?.is_empty())
    }

    fn is_remembered(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<bool> {
        let Some(known) = &self.remembered else { return Ok(false) };
        let generation = known.generation;
        Ok(known.is_same(&Sums::of(ruleset, ours, &self.hasher)) && self.generation()? == generation)
    }

    /// Commits what `plan` returns for these tables and `wanted`, in steps where packets would
    /// otherwise see more than one switch, and plans again when others commit first.
    pub(crate) fn commit_planned(
        &mut self,
        tables: &[TableId],
        wanted: &Ruleset,
        plan: impl Fn(&Snapshot, &Ruleset) -> Result<Transaction>,
    ) -> Result<Committed> {
        self.commit_steps(tables, wanted, None, plan)
    }

    /// Does the same, where only `ahead` needs to be read as long as nobody else commits.
    fn commit_steps(
        &mut self,
        tables: &[TableId],
        wanted: &Ruleset,
        mut ahead: Option<Ahead<'_>>,
        plan: impl Fn(&Snapshot, &Ruleset) -> Result<Transaction>,
    ) -> Result<Committed> {
        let mut retries = 0;
        let mut way = Way::default();
        loop {
            let taken = match &mut ahead {
                Some(part) => self.step_ahead(part, &mut way),
                None => self.snapshot_of(tables).and_then(|held| self.step(held, wanted, &plan, &mut way)).map(Some),
            };
            match taken {
                Ok(Some(Taken::Last(held, transaction))) => {
                    let Way { first, staged, .. } = way;
                    let applied = Applied { staged, transaction, retries, ..Applied::default() };
                    return Ok(Committed { first, held, applied, faults: ahead.map(|ahead| ahead.part.faults) });
                }
                Ok(Some(Taken::More)) => {}
                // Another commit intervened.
                Ok(None) => ahead = None,
                Err(error) if is_stale(&error) && retries < ATTEMPTS => {
                    ahead = None;
                    retries += 1;
                    event!("retry", attempt = retries);
                }
                Err(error) => return Err(self.take_back(tables, &way, error)),
            }
        }
    }

    /// Commits one step of the part that differs; `None` when it no longer is what needs to be
    /// read.
    fn step_ahead(&mut self, ahead: &mut Ahead<'_>, way: &mut Way) -> Result<Option<Taken>> {
        let Ahead { part, ours, generation } = ahead;
        let Some(held) = self.snapshot_of_part(part, *generation)? else { return Ok(None) };
        let taken = self.step(held, &part.wanted, &|held, wanted| part.plan(held, wanted, ours), way)?;
        if let (Taken::More, Some(made)) = (&taken, way.staged.last()) {
            *generation = next(*generation);
            part.look_at(made);
        }
        Ok(Some(taken))
    }

    /// Commits one step: either what has to be in place first, recorded in `way`, or the last
    /// step, which is returned.
    fn step(
        &mut self,
        held: Snapshot,
        wanted: &Ruleset,
        plan: &impl Fn(&Snapshot, &Ruleset) -> Result<Transaction>,
        way: &mut Way,
    ) -> Result<Taken> {
        if way.staged.len() >= STEPS {
            let direct = plan(&held, wanted)?;
            self.commit(&direct)?;
            return Ok(Taken::Last(held, direct));
        }
        let Step { transaction, kind } = step(&held, wanted, plan)?;
        self.commit(&transaction)?;
        if kind == StepKind::Last {
            return Ok(Taken::Last(held, transaction));
        }
        event!("staged", operations = transaction.operations().len(), switches = kind == StepKind::Switch);
        way.is_past_the_switch |= kind == StepKind::Switch;
        way.staged.push(transaction);
        way.first.get_or_insert(held);
        Ok(Taken::More)
    }

    fn take_back(&mut self, tables: &[TableId], way: &Way, error: Error) -> Error {
        let Some(first) = &way.first else { return error };
        if way.is_past_the_switch {
            return error.context("the rules are in place, with sets of other names until they are applied again");
        }
        event!("take back", staged = way.staged.len());
        let undone = self.snapshot_of(tables).and_then(|now| self.commit(&unstaged(&way.staged, first, &now)));
        match undone {
            Ok(()) => error,
            Err(undo) => undo.after(&error),
        }
    }

    /// Returns the differences between the kernel and `ruleset`, table by table, chain by chain,
    /// rule by rule; empty when there are none.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    #[doc(alias("diff", "drift"))]
    pub fn verify(&mut self, ruleset: &Ruleset) -> Result<Vec<Difference>> {
        self.verify_owned(ruleset, &[])
    }

    /// Verifies for a caller whose tables are `ours`: those that `ruleset` lacks should not exist.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn verify_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Vec<Difference>> {
        self.compare(ruleset, ours).map(|(held, plan)| differences(&plan, &held))
    }

    fn compare(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<(Snapshot, Transaction)> {
        let held = self.snapshot_of(&named(ruleset, ours))?;
        let plan = plan(&held, ruleset, ours)?;
        Ok((held, plan))
    }
}

/// Returns the tables to read.
pub(super) fn named(ruleset: &Ruleset, ours: &[TableId]) -> Vec<TableId> {
    ruleset.tables.iter().map(TableId::from).chain(ours.iter().cloned()).collect()
}

/// Plans the changes; the rule set is validated when there are any.
pub(crate) fn plan(held: &Snapshot, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction> {
    match diff(held, ruleset, ours) {
        // What the kernel holds is valid.
        Ok(plan) if plan.is_empty() => Ok(plan),
        outcome => {
            ruleset.validate()?;
            outcome.map_err(|unlowerable| Error::new(Kind::Invalid, unlowerable))
        }
    }
}

/// Returns whether the transaction was refused only because another commit came first.
pub(super) fn is_stale(error: &Error) -> bool {
    error.is_conflict() && error.refusals().iter().all(|refusal| refusal.errno == libc::ERESTART)
}

/// Returns the generation that a commit creates: the number after the one it required, skipping 0
/// (nf_tables_commit, v6.12).
fn next(generation: Generation) -> Generation {
    Generation(generation.0.checked_add(1).unwrap_or(1))
}
