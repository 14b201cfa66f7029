//! Finds network namespaces: in directories, in a list, and those of all processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nftmesh::Escaped;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::common::source::Complaint;

/// Device and inode of a namespace.
pub(crate) type Identity = (u64, u64);

/// Where namespaces are looked for.
pub(crate) struct Discovery {
    directories: Vec<PathBuf>,
    list: Option<PathBuf>,
    pub(crate) processes: bool,
    inotify: OwnedFd,
    own: Option<Identity>,
}

impl Discovery {
    pub(crate) fn new(directories: Vec<PathBuf>, list: Option<PathBuf>, processes: bool) -> Result<Self, Complaint> {
        let inotify =
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|why| format!("inotify: {why}"))?;
        let coming = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVED_FROM | WatchFlags::MOVED_TO;
        for directory in &directories {
            // A node without pods may have no such directory yet.
            if !directory.exists() {
                fs::create_dir_all(directory).map_err(|why| unreadable(directory, why))?;
            }
            inotify::add_watch(&inotify, directory, coming).map_err(|why| unreadable(directory, why))?;
        }
        if let Some(list) = &list {
            fs::metadata(list).map_err(|why| unreadable(list, why))?;
            let folder = list.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let written = coming | WatchFlags::CLOSE_WRITE;
            inotify::add_watch(&inotify, folder, written).map_err(|why| unreadable(folder, why))?;
        }
        let own = identity(Path::new("/proc/self/ns/net"));
        Ok(Discovery { directories, list, processes, inotify, own })
    }

    /// Returns what identifies the namespace of this process.
    pub(crate) fn own(&self) -> Option<Identity> {
        self.own
    }

    /// Returns whether something came or went since it was asked last.
    pub(crate) fn changed(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut any = false;
        while events.next().is_ok() {
            any = true;
        }
        any
    }

    /// Returns the namespaces there are, each once, by its path; that of this process is left out.
    /// A file that is not a namespace (yet) has no identity.
    pub(crate) fn namespaces(&self) -> BTreeMap<PathBuf, Option<Identity>> {
        let mut found = BTreeMap::new();
        let mut seen: BTreeSet<Identity> = self.own.into_iter().collect();
        let mut add = |path: PathBuf, must_be: bool| {
            let known = identity(&path);
            match known {
                Some(known) if !seen.insert(known) => {}
                None if !must_be => {}
                _ => {
                    found.insert(path, known);
                }
            }
        };
        for directory in &self.directories {
            let entries = fs::read_dir(directory).into_iter().flatten();
            let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            paths.sort();
            paths.into_iter().for_each(|path| add(path, true));
        }
        let listed = self.list.as_ref().and_then(|list| fs::read_to_string(list).ok()).unwrap_or_default();
        for line in listed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            add(line.into(), true);
        }
        if self.processes {
            let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok());
            let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
            pids.sort_unstable();
            pids.into_iter().for_each(|pid| add(format!("/proc/{pid}/ns/net").into(), false));
        }
        found
    }
}

impl AsFd for Discovery {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// Returns what identifies the namespace at a path; `None` if there is none.
fn identity(path: &Path) -> Option<Identity> {
    let nsfs = rustix::fs::statfs(path).ok()?;
    if nsfs.f_type != NSFS_MAGIC {
        return None;
    }
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino()))
}

fn unreadable(path: &Path, why: impl std::fmt::Display) -> Complaint {
    format!("{}: {why}; give one that exists", Escaped::new(path))
}

/// include/uapi/linux/magic.h
const NSFS_MAGIC: i64 = 0x6e73_6673;
