//! What was done to a pod, and what would be.

use std::fmt;

use super::overruled::Overruled;
use super::precedence::Precedent;
use crate::error::Error;
use crate::kernel::Applied;
use crate::model::TableId;
use crate::plan::{Difference, Operation};
use crate::routes::RouteEntry;

/// What an installation or a removal did; nothing of it when all was as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Tables that were changed in place.
    pub changed: Vec<TableId>,
    /// Tables that were made.
    pub installed: Vec<TableId>,
    /// Tables that were deleted, those made anew among them.
    pub removed: Vec<TableId>,
    /// What `istio-iptables` had left behind.
    pub leftovers_removed: Vec<Difference>,
    /// Routes, policy rules and addresses added.
    pub routes_added: Vec<RouteEntry>,
    /// Routes, policy rules and addresses removed.
    pub routes_removed: Vec<RouteEntry>,
    /// How ours and the rules of others stand to each other now.
    pub precedence: Precedence,
}

/// How ours and the rules of others stand to each other: nothing in it when all traffic comes to
/// ours first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precedence {
    /// What runs before ours, or may, and can decide there.
    pub before: Vec<Precedent>,
    /// What is meant to keep traffic from a mesh and comes too late.
    pub overruled: Vec<Overruled>,
    /// Why it cannot be told.
    pub untold: Option<String>,
}

impl Precedence {
    pub(super) fn untold(cause: Error) -> Self {
        Precedence { untold: Some(cause.to_string()), ..Precedence::default() }
    }

    /// Everything that is to be known of it, each in a line that can be printed.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let Precedence { before, overruled, untold } = self;
        let untold = untold.iter().map(|why| format!("whose rules run before these cannot be told: {why}"));
        let lines = before.iter().map(ToString::to_string).chain(overruled.iter().map(ToString::to_string));
        lines.chain(untold)
    }
}

impl Changes {
    /// Whether nothing was changed; what rules of others do is no change.
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
            let table = operation.table();
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

    /// What was done afterwards, too.
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

/// What an installation would change. Prints line by line: `+` what comes, `-` what goes, `~` what
/// changes, as commands of nft(8) and ip(8), and `#` what is only worth knowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodPlan {
    /// What the transaction would do.
    pub changes: Vec<Difference>,
    /// What removes the rules that `istio-iptables` left behind, where it is not among the changes.
    pub leftovers: Vec<Difference>,
    /// Routes, policy rules and addresses that are missing.
    pub routes_missing: Vec<RouteEntry>,
    /// Those that are no longer wanted.
    pub routes_stale: Vec<RouteEntry>,
    /// What to run to see rules of the older kind; whether any is of a mesh cannot be told.
    pub legacy: Vec<String>,
    /// How ours and the rules of others stand to each other, once this is done.
    pub precedence: Precedence,
}

impl PodPlan {
    /// Whether exactly what is wanted is installed, and nothing captures besides it.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let PodPlan { changes, leftovers, routes_missing, routes_stale, legacy: _, precedence: _ } = self;
        changes.is_empty() && leftovers.is_empty() && routes_missing.is_empty() && routes_stale.is_empty()
    }
}

impl fmt::Display for PodPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PodPlan { changes, leftovers, routes_missing, routes_stale, legacy, precedence } = self;
        if self.is_in_sync() {
            writeln!(f, "in sync")?;
        }
        routes_missing.iter().try_for_each(|entry| writeln!(f, "+ {entry}"))?;
        changes.iter().try_for_each(|change| write!(f, "{change}"))?;
        routes_stale
            .iter()
            .try_for_each(|entry| writeln!(f, "- {}", entry.to_string().replacen(" add ", " del ", 1)))?;
        if !leftovers.is_empty() {
            writeln!(f, "# left behind by istio-iptables:")?;
        }
        leftovers
            .iter()
            .flat_map(|left| left.to_string().lines().map(str::to_owned).collect::<Vec<_>>())
            .try_for_each(|line| writeln!(f, "# {line}"))?;
        legacy.iter().try_for_each(|advice| writeln!(f, "# {advice}"))?;
        precedence.lines().try_for_each(|line| writeln!(f, "# {line}"))
    }
}
