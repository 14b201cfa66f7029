//! Reports of what was done to a pod, and of what would be done.

use std::fmt;

use super::overruled::Overruled;
use super::precedence::Precedent;
use crate::error::Error;
use crate::kernel::Applied;
use crate::model::TableId;
use crate::plan::{Difference, Operation};
use crate::routes::RouteEntry;

/// What an installation or a removal did; empty when nothing differed. Prints one line for each
/// table, route, policy rule and address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Tables that were changed in place.
    pub changed: Vec<TableId>,
    /// Tables that were added.
    pub installed: Vec<TableId>,
    /// Tables that were deleted, including those added again.
    pub removed: Vec<TableId>,
    /// Removed leftovers of the program that the mesh brings itself.
    pub leftovers_removed: Vec<Difference>,
    /// Routes, policy rules and addresses added.
    pub routes_added: Vec<RouteEntry>,
    /// Routes, policy rules and addresses removed.
    pub routes_removed: Vec<RouteEntry>,
    /// The order of our rules and those of others, afterwards.
    pub precedence: Precedence,
}

/// The order of our rules and those of others; empty when all traffic meets ours first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precedence {
    /// The chains and tables that run, or may run, before ours and can affect packets there.
    pub before: Vec<Precedent>,
    /// Rules meant to keep traffic from a mesh that run too late for ours.
    pub overruled: Vec<Overruled>,
    /// Why the order is unknown.
    pub unknown: Option<String>,
}

impl Precedence {
    pub(super) fn unknown(cause: Error) -> Self {
        Precedence { unknown: Some(cause.to_string()), ..Precedence::default() }
    }

    /// Returns one printable line for each finding.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let Precedence { before, overruled, unknown } = self;
        let unknown = unknown.iter().map(|why| format!("cannot tell whose rules run before these: {why}"));
        let lines = before.iter().map(ToString::to_string).chain(overruled.iter().map(ToString::to_string));
        lines.chain(unknown)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { changed, installed, removed, leftovers_removed, routes_added, routes_removed, precedence: _ } =
            self;
        let gone = removed.iter().filter(|table| !installed.contains(table));
        gone.into_iter().try_for_each(|table| writeln!(f, "removed table {table}"))?;
        installed.iter().try_for_each(|table| writeln!(f, "installed table {table}"))?;
        changed.iter().try_for_each(|table| writeln!(f, "changed table {table}"))?;
        leftovers_removed.iter().try_for_each(|left| writeln!(f, "removed: {}", left.remedy))?;
        routes_added.iter().try_for_each(|entry| writeln!(f, "{entry}"))?;
        routes_removed.iter().try_for_each(|entry| writeln!(f, "{}", entry.to_string().replacen(" add ", " del ", 1)))
    }
}

impl Changes {
    /// Returns whether nothing was changed; rules of others do not count as a change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Changes { changed, installed, removed, leftovers_removed, routes_added, routes_removed, precedence: _ } =
            self;
        let tables = [changed, installed, removed].into_iter().all(Vec::is_empty);
        tables && leftovers_removed.is_empty() && routes_added.is_empty() && routes_removed.is_empty()
    }

    pub(super) fn of(applied: &Applied) -> Self {
        let mut changes = Changes::default();
        for operation in applied.staged.iter().chain([&applied.transaction]).flat_map(|step| step.operations()) {
            let Some(table) = operation.table() else { continue };
            let list = match operation {
                Operation::AddTable { .. } => &mut changes.installed,
                Operation::DeleteTable(_) => &mut changes.removed,
                _ if changes.installed.contains(table) => continue,
                _ => &mut changes.changed,
            };
            if !list.contains(table) {
                list.push(table.clone());
            }
        }
        changes
    }

    /// Adds what was done later.
    pub(super) fn extend(&mut self, later: Changes) {
        let Changes { changed, installed, removed, leftovers_removed, routes_added, routes_removed, precedence } =
            later;
        if self.precedence == Precedence::default() {
            self.precedence = precedence;
        }
        let tables = [(&mut self.changed, changed), (&mut self.installed, installed), (&mut self.removed, removed)];
        for (list, later) in tables {
            list.extend(later.into_iter().filter(|table| !list.contains(table)).collect::<Vec<_>>());
        }
        self.leftovers_removed.extend(leftovers_removed);
        self.routes_added.extend(routes_added);
        self.routes_removed.extend(routes_removed);
    }
}

/// What an installation would change. Prints line by line as commands of nft(8) and ip(8), with
/// `+` for an addition, `-` for a removal and `~` for a change, and notes with `#`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodPlan {
    /// The changes of the transaction.
    pub changes: Vec<Difference>,
    /// The removal of the rules that the program of the mesh left behind, unless it is among the
    /// changes.
    pub leftovers: Vec<Difference>,
    /// The name of that program.
    pub program: &'static str,
    /// Routes, policy rules and addresses that are missing.
    pub routes_missing: Vec<RouteEntry>,
    /// Routes, policy rules and addresses that are no longer wanted.
    pub routes_stale: Vec<RouteEntry>,
    /// Commands that show the rules of iptables-legacy; whether any belongs to a mesh is unknown.
    pub legacy: Vec<String>,
    /// The order of our rules and those of others, once this is done.
    pub precedence: Precedence,
}

impl PodPlan {
    /// Returns whether exactly the wanted rules and routes are installed, and no leftovers capture
    /// traffic.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let PodPlan { changes, leftovers, routes_missing, routes_stale, program: _, legacy: _, precedence: _ } = self;
        changes.is_empty() && leftovers.is_empty() && routes_missing.is_empty() && routes_stale.is_empty()
    }
}

impl fmt::Display for PodPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PodPlan { changes, leftovers, program, routes_missing, routes_stale, legacy, precedence } = self;
        if self.is_in_sync() {
            writeln!(f, "in sync")?;
        }
        routes_missing.iter().try_for_each(|entry| writeln!(f, "+ {entry}"))?;
        changes.iter().try_for_each(|change| writeln!(f, "{change}"))?;
        routes_stale
            .iter()
            .try_for_each(|entry| writeln!(f, "- {}", entry.to_string().replacen(" add ", " del ", 1)))?;
        if !leftovers.is_empty() {
            writeln!(f, "# left behind by {program}:")?;
        }
        leftovers
            .iter()
            .flat_map(|left| left.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
            .try_for_each(|line| writeln!(f, "# {line}"))?;
        legacy.iter().try_for_each(|advice| writeln!(f, "# {advice}"))?;
        precedence.lines().try_for_each(|line| writeln!(f, "# {line}"))
    }
}
