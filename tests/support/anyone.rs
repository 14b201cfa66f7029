//! Programs that any user may run, wherever they were built.
//!
//! A home directory, and any build in it, is often closed to all but its owner. A file in memory
//! has no path, so directories do not matter.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

/// Returns a path by which a child of this process can run the program as any user.
///
/// The copy stays open, here and in every child, until this process ends: a child that runs another
/// program first (`setpriv`) needs it too.
#[track_caller]
pub fn runnable_by_anyone(program: &Path) -> PathBuf {
    copy_in_memory(program).unwrap_or_else(|error| panic!("{}: no copy in memory: {error}", program.display()))
}

fn copy_in_memory(program: &Path) -> io::Result<PathBuf> {
    let mut copy = File::from(memfd_create("test-program", MemfdFlags::empty())?);
    io::copy(&mut File::open(program)?, &mut copy)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", copy.as_raw_fd()));
    let _open_until_exit = copy.into_raw_fd();
    Ok(path)
}
