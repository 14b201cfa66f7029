//! Rule sets made true: what differs is committed, at the generation at which it was seen to
//! differ.

mod part;
#[cfg(test)]
mod tests;

use super::live::Kernel;
use crate::error::{Error, Kind, Result};
use crate::model::{Generation, Ruleset, TableId};
use crate::plan::{Difference, Since, Step, StepKind, Sums, Transaction, Unsettled, diff, differences, step, unstaged};
use crate::state::Snapshot;
use crate::validate::{Fault, Severity};

/// How often a commit is tried again when others commit at the same time.
const ATTEMPTS: usize = 1_000;

/// How many steps a way may have before the rest is done in one; no way has as many.
const STEPS: usize = 16;

/// The way so far, while it is not at its end.
#[derive(Debug, Default)]
struct Way {
    /// What was held before the first step.
    first: Option<Snapshot>,
    staged: Vec<Transaction>,
    /// Whether packets meet the new rules already.
    is_past_the_switch: bool,
}

/// A step of the way.
enum Taken {
    /// What was held before it, and what was committed.
    Last(Snapshot, Transaction),
    /// Others follow.
    More,
}

/// All that has to be looked at while this is the generation.
struct Ahead<'a> {
    part: Box<Unsettled>,
    ours: &'a [TableId],
    generation: Generation,
}

/// A way that is at its end.
#[derive(Debug)]
pub(crate) struct Committed {
    /// What was held before the first step, when there were several.
    pub(crate) first: Option<Snapshot>,
    /// What was held before the last.
    pub(crate) held: Snapshot,
    pub(crate) applied: Applied,
    /// What validation found, where only a part was looked at.
    faults: Option<Vec<Fault>>,
}

/// What [`Kernel::apply`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// What was committed before it, one after the other, so that packets see one moment: see
    /// [`Kernel::apply`].
    pub staged: Vec<Transaction>,
    /// What was committed; empty when nothing had to be.
    pub transaction: Transaction,
    /// What the kernel took although it is odd, see [`Ruleset::warnings`]; empty when nothing was
    /// committed.
    pub warnings: Vec<Fault>,
    /// How often others committed first, and it was planned anew.
    pub retries: usize,
}

impl Applied {
    /// Whether everything was as wanted already, and nothing was committed.
    #[must_use]
    pub fn was_in_sync(&self) -> bool {
        self.transaction.is_empty() && self.staged.is_empty()
    }
}

impl Kernel {
    /// What [`apply`](Self::apply) would commit now: nothing, when the tables of `ruleset` are in
    /// sync.
    ///
    /// The transaction asks for the generation that was read; committed later, it is a
    /// [conflict](Error::is_conflict) when anybody committed in between.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when the rule set is; otherwise those of
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
    pub fn plan(&mut self, ruleset: &Ruleset) -> Result<Transaction> {
        self.plan_owned(ruleset, &[])
    }

    /// The same for a caller whose tables are `ours`: those that `ruleset` lacks are deleted.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn plan_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction> {
        self.compare(ruleset, ours).map(|(_, plan)| plan)
    }

    /// Makes the tables of `ruleset` what they are there, by one transaction of what differs;
    /// nothing is committed when nothing does.
    ///
    /// Packets see all of it at once. The kernel publishes the contents of a set of intervals a
    /// little later than the rules of the same transaction; so where rules change, such a set
    /// is filled by a transaction before, where no rule looks at it: a new one as it is;
    /// an anonymous one with its rule, behind the end of its chain; the new contents of any set
    /// that rules look at already as a set of another name, `NAME.next`, to which rules switch
    /// over, and from there to a new set of the old name. Whoever is killed on the way
    /// leaves rules that decide as the old ones or as the new ones do, and the next `apply` goes on
    /// from there.
    ///
    /// What still takes one transaction: a table that is made anew because its flags or objects
    /// differ; a chain that is made anew at another hook, or comes with policy drop, and has
    /// such a list in its own rules; a set that packets fill; the sets of a table with
    /// statements that have no meaning here. And what is built by hand and given to
    /// [`commit`](Self::commit).
    ///
    /// What stays keeps its handles and its counters, but for rules that look at a set which goes
    /// that way. By the same `Kernel`, while nobody else commits, only chains and sets that
    /// differ from the rule set before are read and validated; the same rule set again costs
    /// one question for the generation.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan) and [`commit`](Self::commit); a conflict only when others
    /// commit first 1,000 times before this does.
    pub fn apply(&mut self, ruleset: &Ruleset) -> Result<Applied> {
        self.apply_owned(ruleset, &[])
    }

    /// The same for a caller whose tables are `ours`: those that `ruleset` lacks are deleted.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    pub fn apply_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied> {
        let mut sums = Sums::of(ruleset, ours, &self.hasher);
        let mut ahead = None;
        // Whatever fails from here on, nothing is remembered.
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

    /// Deletes these tables with everything in them; one that does not exist is no error.
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

    /// Whether [`apply_owned`](Self::apply_owned) would do nothing.
    pub(crate) fn is_in_sync(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<bool> {
        Ok(self.is_remembered(ruleset, ours)? || self.plan_owned(ruleset, ours)?.is_empty())
    }

    fn is_remembered(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<bool> {
        let Some(known) = &self.remembered else { return Ok(false) };
        let generation = known.generation;
        Ok(known.is_same(&Sums::of(ruleset, ours, &self.hasher)) && self.generation()? == generation)
    }

    /// Commits what `plan` makes of these tables and of `wanted`, step by step where packets would
    /// see more than one moment, and plans anew when others commit first.
    pub(crate) fn commit_planned(
        &mut self,
        tables: &[TableId],
        wanted: &Ruleset,
        plan: impl Fn(&Snapshot, &Ruleset) -> Result<Transaction>,
    ) -> Result<Committed> {
        self.commit_steps(tables, wanted, None, plan)
    }

    /// The same, where this is all that has to be looked at as long as nobody else commits.
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
                // Somebody else was here.
                Ok(None) => ahead = None,
                Err(error) if is_stale(&error) && retries < ATTEMPTS => {
                    ahead = None;
                    retries += 1;
                }
                Err(error) => return Err(self.take_back(tables, &way, error)),
            }
        }
    }

    /// One step of the part that differs; `None` when that is not what has to be looked at any
    /// more.
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

    /// One commit: of what has to be in place first, which is noted in `way`, or of the last step,
    /// which is returned.
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
        let undone = self.snapshot_of(tables).and_then(|now| self.commit(&unstaged(&way.staged, first, &now)));
        match undone {
            Ok(()) => error,
            Err(undo) => undo.after(&error),
        }
    }

    /// How the kernel differs from `ruleset`, table by table, chain by chain, rule by rule; empty
    /// when it does not.
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
        self.compare(ruleset, ours).map(|(held, plan)| differences(&plan, &held))
    }

    fn compare(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<(Snapshot, Transaction)> {
        let held = self.snapshot_of(&named(ruleset, ours))?;
        let plan = plan(&held, ruleset, ours)?;
        Ok((held, plan))
    }
}

/// The tables to look at.
pub(super) fn named(ruleset: &Ruleset, ours: &[TableId]) -> Vec<TableId> {
    ruleset.tables.iter().map(TableId::from).chain(ours.iter().cloned()).collect()
}

/// What makes the rule set true; it is validated first when there is anything to do.
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

/// Whether the transaction was refused because somebody else's came first, and for nothing else.
pub(super) fn is_stale(error: &Error) -> bool {
    error.is_conflict() && error.refusals().iter().all(|refusal| refusal.errno == libc::ERESTART)
}

/// A commit makes the number after the one it asked for, and 0 is left out: nf_tables_commit,
/// v6.12.
fn next(generation: Generation) -> Generation {
    Generation(generation.0.checked_add(1).unwrap_or(1))
}
