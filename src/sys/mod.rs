//! System calls; the only module of the crate that contains `unsafe`.
//!
//! Each unsafe block does one thing and states why it is sound. Lengths are checked before C sees
//! them, every return code is checked, and results are bytes and integers, which callers decode in
//! safe Rust.

#[cfg(feature = "mesh")]
pub(crate) mod abstract_socket;
mod filter;
mod header;
#[cfg(feature = "proxy")]
pub(crate) mod inet;
pub(crate) mod interfaces;
pub(crate) mod netns;
#[cfg(feature = "nftnl")]
pub(crate) mod nftnl;
pub(crate) mod scratch;
#[cfg(test)]
pub(crate) mod signal;
pub(crate) mod socket;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub(crate) use header::Header;

/// Sets an option that is an `int`.
fn set_option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer is to a live c_int and `length` is its size; `fd` is open for as long as
    // it is borrowed.
    let code = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    check(code).map(drop)
}

/// Returns an option that is an `int`.
fn option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    option_bytes::<{ size_of::<libc::c_int>() }>(fd, level, name).map(libc::c_int::from_ne_bytes)
}

/// Calls `getsockopt` for plain bytes; what the kernel does not write stays zero.
fn option_bytes<const N: usize>(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int) -> io::Result<[u8; N]> {
    let mut value = [0u8; N];
    let mut length = N as libc::socklen_t;
    // SAFETY: `value` is writable for the `length` bytes announced, and the kernel writes no more
    // than that.
    let code = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length) };
    check(code).map(|_| value)
}

/// Checks a return code: -1 means that `errno` is set.
fn check(code: libc::c_int) -> io::Result<libc::c_int> {
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(code) }
}

/// Checks the return value of a call that returns a length.
fn check_length(code: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(code).map_err(|_| io::Error::last_os_error())
}

/// Repeats a call while signals interrupt it.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
