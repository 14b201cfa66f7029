//! Who may write to a pod, and whether anything needs to be written.

use std::time::Duration;

use super::lock::{Hold, WriterLock};
use super::{Leftovers, Pod, leftovers, owned};
use crate::error::{Error, Kind, Result};
use crate::kernel::plan;
use crate::mesh::{Mesh, Site};
use crate::model::TableId;

impl Pod {
    /// Keeps every other writer out for as long as this value lives: their
    /// [`install`](Self::install) and [`remove`](Self::remove) fail at once, with the name of this
    /// process, unless the installed state is the one they want. Meant for a program that keeps
    /// the rules in place, so that two with different configurations do not undo each other's work
    /// forever.
    ///
    /// It waits up to 10 seconds for a writer that is working, and up to a minute for several, one
    /// after the other. Holding it twice has no further effect.
    ///
    /// # Errors
    /// [`is_conflict`](Error::is_conflict) when another process holds it; the error names it.
    pub fn hold(&mut self) -> Result<()> {
        if self.held.is_none() {
            self.held = Some(self.take(Hold::ForLife)?);
        }
        Ok(())
    }

    /// Returns the right to write, unless it is already held.
    pub(super) fn writer(&self) -> Result<Option<WriterLock>> {
        if self.held.is_some() { Ok(None) } else { self.take(Hold::ForNow).map(Some) }
    }

    fn take(&self, hold: Hold) -> Result<WriterLock> {
        self.namespace.run(|| WriterLock::take(hold, PATIENCE))?
    }

    /// Returns whether exactly the wanted rules and routes are installed at some moment after the
    /// call.
    pub(super) fn is_installed(&mut self, mesh: &dyn Mesh, leftovers: Leftovers) -> Result<bool> {
        let (rules, ours) = (mesh.rules(), owned(mesh));
        let in_sync = match leftovers {
            Leftovers::Keep => self.kernel.is_in_sync(&rules, &ours)?,
            Leftovers::Remove => {
                let tables: Vec<TableId> = ours.iter().cloned().chain(leftovers::tables()).collect();
                let held = self.kernel.snapshot_of(&tables)?;
                plan(&held, &rules, &ours)?.is_empty() && leftovers::removal(&held, &mesh.original()).is_empty()
            }
        };
        Ok(in_sync
            && match mesh.site() {
                Site::Node => self.routes.missing(&mesh.routes())?.is_empty(),
                Site::Pod => self.routes.is_exact(&mesh.routes())?,
            })
    }
}

pub(super) fn undone_by_others() -> Error {
    let what = "others undo what is installed here as soon as it is done";
    Error::new(Kind::Conflict, format!(r#"{what}: see who, with "nft monitor" and "ip monitor", and stop them"#))
}

/// A writer that takes longer is stopped or stuck.
const PATIENCE: Duration = Duration::from_secs(10);
