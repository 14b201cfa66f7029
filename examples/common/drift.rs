//! What a foreign commit changed in the tables of the mesh, and how much harm that may do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use nftmesh::mesh::{Mesh, Site};
use nftmesh::model::TableId;
use nftmesh::pod::Pod;
use nftmesh::state::Event;

use super::pace::Harm;

/// What a foreign commit has changed so far in our tables.
pub(crate) struct Drift {
    /// Of a node; `None` in a pod, where the tables of every mesh are ours.
    ours: Option<Vec<TableId>>,
    changed: Changed,
}

/// The changes of the commit that is being read.
#[derive(Default)]
struct Changed {
    tables: BTreeMap<TableId, Reported>,
    /// The tables that it deleted and did not add again.
    deleted: BTreeSet<TableId>,
    worst: Option<Harm>,
}

/// What a foreign commit has changed.
pub(crate) struct Seen {
    pub(crate) report: String,
    pub(crate) harm: Harm,
    pub(crate) deleted: BTreeSet<TableId>,
}

/// Lines, and the number of further ones.
#[derive(Default)]
struct Reported {
    lines: String,
    count: usize,
}

impl Drift {
    pub(crate) fn of(mesh: &dyn Mesh) -> Self {
        let ours = match mesh.site() {
            Site::Node => Some(mesh.tables()),
            Site::Pod => None,
        };
        Drift { ours, changed: Changed::default() }
    }

    /// At the end of a commit that changed our tables, returns who made it and what it changed.
    pub(crate) fn take(&mut self, event: &Event) -> Option<Seen> {
        match event {
            Event::Committed(commit) => {
                let Changed { tables, deleted, worst } = std::mem::take(&mut self.changed);
                let (who, pid, generation) = (&commit.command, commit.pid, commit.generation.0);
                let reported: String = tables.values().map(ToString::to_string).collect();
                let report = format!("{who:?} (pid {pid}) made generation {generation}:\n{reported}");
                Some(Seen { report, harm: worst?, deleted })
            }
            Event::Overflow => {
                self.changed = Changed::default();
                let report = "more happened than could be followed\n".to_owned();
                Some(Seen { report, harm: Harm::Missing, deleted: BTreeSet::new() })
            }
            change => {
                if let Some(table) = change.table().filter(|table| self.is_ours(table)) {
                    let Changed { tables, deleted, worst } = &mut self.changed;
                    let reported = tables.entry(table.clone()).or_default();
                    if matches!(change, Event::TableDeleted { .. }) {
                        // The deletion of its contents is implied.
                        *reported = Reported::default();
                        deleted.insert(table.clone());
                    } else {
                        deleted.remove(table);
                    }
                    reported.add(change);
                    *worst = (*worst).max(Some(harm_of(change)));
                }
                None
            }
        }
    }

    fn is_ours(&self, table: &TableId) -> bool {
        self.ours.as_deref().unwrap_or(&OF_PODS).contains(table)
    }
}

impl Reported {
    fn add(&mut self, change: &Event) {
        self.count += 1;
        if self.count <= LINES {
            self.lines.push_str(&format!("  {change}\n"));
        }
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reported { lines, count } = self;
        f.write_str(lines)?;
        match count.saturating_sub(LINES) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

/// Returns the possible effect of a change to our tables.
fn harm_of(change: &Event) -> Harm {
    match change {
        Event::ChainAdded { chain, .. } if chain.hook.is_none() => Harm::Differs,
        Event::SetAdded { .. } | Event::TableAdded(_) | Event::ObjectAdded { .. } => Harm::Differs,
        _ => Harm::Missing,
    }
}

static OF_PODS: LazyLock<Vec<TableId>> = LazyLock::new(Pod::tables);

/// The most changes of one commit that are printed for each table.
const LINES: usize = 20;
