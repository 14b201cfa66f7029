//! Programs that any user may run, wherever they were built.
//!
//! A home directory is often closed to everybody but its owner, and a build in it with it. The
//! directories on the way to a program do not matter to a file in memory, which has no path of its
//! own.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, memfd_create};

/// Returns a path by which a child of this process can run the program as any user.
///
/// The copy behind it stays open, here and in every child, until this process ends: a child that
/// runs another program first (`setpriv`) needs it too.
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
