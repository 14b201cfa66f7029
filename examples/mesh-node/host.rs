//! The node itself, where its ambient pods are known by their addresses: the rules give what the
//! node sends to them one source address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nftmesh::kernel::Kernel;
use nftmesh::mesh::ambient::{AmbientHost, host_tables};

use super::common::source::Complaint;

/// What is kept on the node.
pub(crate) struct Host {
    /// The rules, without pods.
    empty: AmbientHost,
    /// What the sets had at the start. It stays until it is known which pods there are.
    adopted: AmbientHost,
    /// The ambient pods that are kept, and their addresses.
    pods: BTreeMap<PathBuf, Vec<IpAddr>>,
    /// When the sets are changed next.
    pub(crate) due: Option<Instant>,
    changed: Option<Instant>,
}

impl Host {
    /// The namespace of this process.
    pub(crate) const PATH: &str = "/proc/self/ns/net";

    /// Reads which pods are in the sets already.
    pub(crate) fn new(empty: AmbientHost) -> Result<Self, Complaint> {
        let held = Kernel::open().and_then(|mut kernel| kernel.snapshot_of(&host_tables()));
        let held = held.map_err(|error| format!("the node: {error}"))?;
        let mut adopted = empty.clone();
        adopted.adopt(&held.raise().ruleset);
        Ok(Host { empty, adopted, pods: BTreeMap::new(), due: None, changed: None })
    }

    /// Returns the rules, with all pods.
    pub(crate) fn wanted(&self) -> AmbientHost {
        let mut host = self.empty.clone();
        let uids: Vec<(String, &Vec<IpAddr>)> =
            self.pods.iter().map(|(path, addresses)| (uid(path), addresses)).collect();
        let known: BTreeSet<&str> = uids.iter().filter(|(_, of)| !of.is_empty()).map(|(uid, _)| uid.as_str()).collect();
        let adopted = self.adopted.pods().filter(|(_, uid)| !known.contains(uid));
        // Whoever comes later has the address.
        let all = adopted.chain(uids.iter().flat_map(|(uid, of)| of.iter().map(|address| (*address, uid.as_str()))));
        for (address, uid) in all {
            // An address that no pod can have is of no use in a set.
            drop(host.set(address, uid));
        }
        host
    }

    /// Records the addresses of a pod.
    pub(crate) fn see(&mut self, path: &Path, addresses: Vec<IpAddr>) {
        if self.pods.get(path) != Some(&addresses) {
            self.pods.insert(path.to_owned(), addresses);
            self.change();
        }
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&mut self, path: &Path) {
        if self.pods.remove(path).is_some() {
            self.change();
        }
    }

    /// Forgets what the sets had at the start, where all pods are kept; a pod without an address
    /// may be one of those.
    pub(crate) fn settle(&mut self) {
        if self.pods.values().all(|addresses| !addresses.is_empty()) {
            self.adopted = self.empty.clone();
        }
    }

    /// Changes of many pods are made together.
    pub(crate) fn change(&mut self) {
        let now = Instant::now();
        self.due.get_or_insert(self.changed.map_or(now, |last| now.max(last + TOGETHER)));
    }

    /// Returns whether the sets are to be changed now.
    pub(crate) fn take_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.due.take_if(|due| *due <= now).is_some();
        if is_due {
            self.changed = Some(now);
        }
        is_due
    }

    /// Records that the sets could not be changed.
    pub(crate) fn failed(&mut self) {
        self.due = Some(Instant::now() + AGAIN);
    }
}

/// Returns the name of a pod in the sets: its path, as far as a comment can hold it.
fn uid(path: &Path) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') { c } else { '_' };
    let name: String = path.to_string_lossy().chars().map(plain).collect();
    name.get(name.len().saturating_sub(LONGEST)..).unwrap_or_default().to_owned()
}

const TOGETHER: Duration = Duration::from_millis(20);
const AGAIN: Duration = Duration::from_secs(1);
/// The most bytes of a uid.
const LONGEST: usize = 128;
