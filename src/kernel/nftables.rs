//! What programs need of nf_tables, whether it is the kernel's or in memory.

use super::fake::Fake;
use super::live::Kernel;
use super::sync::Applied;
use crate::error::Result;
use crate::model::{ChainId, Rule, RuleHandle, Ruleset, Set, SetId, TableId};
use crate::plan::{Difference, Transaction};
use crate::state::{ChainState, Snapshot, TableState, TimedElement};

/// What [`Kernel`] and [`Fake`] have in common, for programs that are tested without root.
///
/// Each method is that of [`Kernel`] with the same name. A program may implement it too, for
/// instance around a [`Fake`] that refuses every second commit, with an error of
/// [`Error::new`](crate::Error::new).
pub trait Nftables {
    /// [`Kernel::commit`].
    ///
    /// # Errors
    /// Those of [`Kernel::commit`].
    fn commit(&mut self, transaction: &Transaction) -> Result<()>;

    /// [`Kernel::commit_echo`].
    ///
    /// # Errors
    /// Those of [`Kernel::commit_echo`].
    fn commit_echo(&mut self, transaction: &Transaction) -> Result<Vec<RuleHandle>>;

    /// [`Kernel::check`].
    ///
    /// # Errors
    /// Those of [`Kernel::check`].
    fn check(&mut self, transaction: &Transaction) -> Result<()>;

    /// [`Kernel::snapshot`].
    ///
    /// # Errors
    /// Those of [`Kernel::snapshot`].
    fn snapshot(&mut self) -> Result<Snapshot>;

    /// [`Kernel::snapshot_of`].
    ///
    /// # Errors
    /// Those of [`Kernel::snapshot_of`].
    fn snapshot_of(&mut self, tables: &[TableId]) -> Result<Snapshot>;

    /// [`Kernel::table`].
    ///
    /// # Errors
    /// Those of [`Kernel::table`].
    fn table(&mut self, id: &TableId) -> Result<Option<TableState>>;

    /// [`Kernel::chain`].
    ///
    /// # Errors
    /// Those of [`Kernel::chain`].
    fn chain(&mut self, id: &ChainId) -> Result<Option<ChainState>>;

    /// [`Kernel::rules`].
    ///
    /// # Errors
    /// Those of [`Kernel::rules`].
    fn rules(&mut self, id: &ChainId) -> Result<Option<Vec<(RuleHandle, Rule)>>>;

    /// [`Kernel::set`].
    ///
    /// # Errors
    /// Those of [`Kernel::set`].
    fn set(&mut self, id: &SetId) -> Result<Option<Set>>;

    /// [`Kernel::elements`].
    ///
    /// # Errors
    /// Those of [`Kernel::elements`].
    fn elements(&mut self, id: &SetId) -> Result<Option<Vec<TimedElement>>> {
        Ok(self.snapshot_of(std::slice::from_ref(&id.table))?.elements(id))
    }

    /// [`Kernel::flush_ruleset`].
    ///
    /// # Errors
    /// Those of [`Kernel::flush_ruleset`].
    fn flush_ruleset(&mut self) -> Result<()>;

    /// [`Kernel::plan_owned`].
    ///
    /// # Errors
    /// Those of [`Kernel::plan_owned`].
    fn plan_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction>;

    /// [`Kernel::apply_owned`].
    ///
    /// # Errors
    /// Those of [`Kernel::apply_owned`].
    fn apply_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied>;

    /// [`Kernel::verify_owned`].
    ///
    /// # Errors
    /// Those of [`Kernel::verify_owned`].
    fn verify_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Vec<Difference>>;

    /// [`Kernel::plan`].
    ///
    /// # Errors
    /// Those of [`Kernel::plan`].
    fn plan(&mut self, ruleset: &Ruleset) -> Result<Transaction> {
        self.plan_owned(ruleset, &[])
    }

    /// [`Kernel::apply`].
    ///
    /// # Errors
    /// Those of [`Kernel::apply`].
    fn apply(&mut self, ruleset: &Ruleset) -> Result<Applied> {
        self.apply_owned(ruleset, &[])
    }

    /// [`Kernel::remove`].
    ///
    /// # Errors
    /// Those of [`Kernel::remove`].
    fn remove(&mut self, tables: &[TableId]) -> Result<Applied> {
        self.apply_owned(&Ruleset::new(), tables)
    }

    /// [`Kernel::verify`].
    ///
    /// # Errors
    /// Those of [`Kernel::verify`].
    fn verify(&mut self, ruleset: &Ruleset) -> Result<Vec<Difference>> {
        self.verify_owned(ruleset, &[])
    }
}

/// The methods that the type has itself.
macro_rules! nftables {
    ($type:ident) => {
        impl Nftables for $type {
            fn commit(&mut self, transaction: &Transaction) -> Result<()> {
                $type::commit(self, transaction)
            }

            fn commit_echo(&mut self, transaction: &Transaction) -> Result<Vec<RuleHandle>> {
                $type::commit_echo(self, transaction)
            }

            fn check(&mut self, transaction: &Transaction) -> Result<()> {
                $type::check(self, transaction)
            }

            fn snapshot(&mut self) -> Result<Snapshot> {
                $type::snapshot(self)
            }

            fn snapshot_of(&mut self, tables: &[TableId]) -> Result<Snapshot> {
                $type::snapshot_of(self, tables)
            }

            fn table(&mut self, id: &TableId) -> Result<Option<TableState>> {
                $type::table(self, id)
            }

            fn chain(&mut self, id: &ChainId) -> Result<Option<ChainState>> {
                $type::chain(self, id)
            }

            fn rules(&mut self, id: &ChainId) -> Result<Option<Vec<(RuleHandle, Rule)>>> {
                $type::rules(self, id)
            }

            fn set(&mut self, id: &SetId) -> Result<Option<Set>> {
                $type::set(self, id)
            }

            fn elements(&mut self, id: &SetId) -> Result<Option<Vec<TimedElement>>> {
                $type::elements(self, id)
            }

            fn flush_ruleset(&mut self) -> Result<()> {
                $type::flush_ruleset(self)
            }

            fn plan_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Transaction> {
                $type::plan_owned(self, ruleset, ours)
            }

            fn apply_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Applied> {
                $type::apply_owned(self, ruleset, ours)
            }

            fn verify_owned(&mut self, ruleset: &Ruleset, ours: &[TableId]) -> Result<Vec<Difference>> {
                $type::verify_owned(self, ruleset, ours)
            }
        }
    };
}

nftables!(Fake);
nftables!(Kernel);
