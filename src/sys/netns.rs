//! Network namespaces. Only short-lived threads of this crate change namespace, never the caller's
//! threads.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::{fs, io, thread};

/// The namespace of the thread that reads it, namespaces(7).
pub(crate) const CURRENT: &str = "/proc/thread-self/ns/net";

/// The identity of a namespace: device and inode of its file, namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Returns the identity of the calling thread's namespace.
    pub(crate) fn current() -> io::Result<Self> {
        fs::metadata(CURRENT).map(|metadata| Identity::of(&metadata))
    }

    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// Runs `work` on a short-lived thread inside the namespace and returns its result; a panic in
/// `work` continues in the caller.
pub(crate) fn in_namespace<T: Send>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_own_thread(|| enter(namespace), work)
}

/// Runs `work` in a new namespace, which ends with the last thread, socket or process in it.
#[cfg(test)]
pub(crate) fn in_new_namespace<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_own_thread(unshare, work)
}

/// Runs `work` on a short-lived thread of the user nobody, which has no capability.
#[cfg(test)]
pub(crate) fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    on_own_thread(drop_privileges, work)
}

/// Returns the `CLONE_NEW*` flag of a namespace file; `ENOTTY` for every other file.
/// `NS_GET_NSTYPE`, ioctl_ns(2).
pub(crate) fn kind(file: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    // SAFETY: this request takes no argument and writes no memory; on a file that is not a
    // namespace it fails with ENOTTY.
    super::check(unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE as _) })
}

fn on_own_thread<T: Send>(
    move_there: impl FnOnce() -> io::Result<()> + Send,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("nftmesh-netns".to_owned())
            .spawn_scoped(scope, || move_there().map(|()| work()))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread permanently.
fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns takes two integers; only the thread of `on_own_thread` calls this, and it ends
    // afterwards.
    super::check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

#[cfg(test)]
fn unshare() -> io::Result<()> {
    // SAFETY: CLONE_NEWNET touches no memory; only the thread of `on_own_thread` calls this, and
    // it ends afterwards.
    super::check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Makes the system call and not the call of libc, which would change all threads.
#[cfg(test)]
fn drop_privileges() -> io::Result<()> {
    const NOBODY: libc::c_long = 65534;
    // SAFETY: three integers; only the thread of `on_own_thread` calls this, and it ends
    // afterwards.
    let code = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    super::check_length(code as libc::ssize_t).map(drop).map_err(|error| match error.raw_os_error() {
        // setresuid(2): a user namespace made without root maps no other user.
        Some(libc::EINVAL) => io::Error::new(io::ErrorKind::PermissionDenied, "no other user can be here"),
        _ => error,
    })
}

/// `_IO(0xb7, 3)`, include/uapi/linux/nsfs.h; on mips, powerpc and sparc `_IOC_NONE` is 1.
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
)))]
const NS_GET_NSTYPE: u32 = 0xb703;
#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc64"
))]
const NS_GET_NSTYPE: u32 = 0x2000_b703;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn work_runs_inside_and_the_caller_stays_outside() {
        let before = Identity::current().expect("proc is mounted");
        let other = in_new_namespace(|| {
            let file = File::open(CURRENT).expect("own namespace opens");
            let identity = Identity::current().expect("proc is mounted");
            assert_eq!(identity, Identity::of(&file.metadata().expect("fstat")));
            (file, identity)
        });
        let Ok((file, identity)) = crate::testing::or_skip(other) else { return };
        assert_ne!(identity, before);
        assert_eq!(in_namespace(file.as_fd(), Identity::current).expect("may enter").expect("proc"), identity);
        assert_eq!(Identity::current().expect("proc is mounted"), before);
    }

    #[test]
    fn a_panic_in_the_closure_reaches_the_caller() {
        let file = File::open(CURRENT).expect("own namespace opens");
        let outcome = std::panic::catch_unwind(|| in_namespace(file.as_fd(), || panic!("from inside")));
        match outcome {
            Err(panic) => assert_eq!(panic.downcast_ref::<&str>(), Some(&"from inside")),
            Ok(result) => drop(crate::testing::or_skip(result)),
        }
    }

    #[test]
    fn the_kind_of_a_namespace_is_read_and_of_a_file_is_an_error() {
        let net = File::open(CURRENT).expect("own namespace opens");
        assert_eq!(kind(net.as_fd()).expect("is a namespace"), libc::CLONE_NEWNET);
        let mount = File::open("/proc/self/ns/mnt").expect("own mount namespace opens");
        assert_eq!(kind(mount.as_fd()).expect("is a namespace"), libc::CLONE_NEWNS);
        let null = File::open("/dev/null").expect("/dev/null opens");
        assert_eq!(kind(null.as_fd()).expect_err("is a device").raw_os_error(), Some(libc::ENOTTY));
    }
}
