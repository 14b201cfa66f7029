//! A network namespace, held open by a descriptor: it exists at least as long as the value.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::{fmt, io};

use crate::error::{Error, Escaped, Kind, Result, Shown};
use crate::sys::netns::{self, Identity};

/// A network namespace, identified by path, process or descriptor.
///
/// Work inside it runs on a short-lived thread: the caller's threads never change namespace.
/// Entering needs `CAP_SYS_ADMIN` both in the caller's user namespace and in the one that owns the
/// network namespace; the current namespace needs no capability. Source: network_namespaces(7),
/// setns(2).
///
/// ```no_run
/// use nftmesh::kernel::NetNs;
///
/// let pod = NetNs::from_path("/var/run/netns/pod-1")?;
/// assert!(!pod.is_current()?);
/// assert!(NetNs::current()?.is_current()?);
/// # Ok::<(), nftmesh::Error>(())
/// ```
pub struct NetNs {
    file: File,
    name: String,
}

impl NetNs {
    /// Opens the namespace at a path, such as `/var/run/netns/pod-1` or `/proc/4711/ns/net`.
    ///
    /// # Errors
    /// [`is_not_found`](Error::is_not_found) when nothing is there,
    /// [`is_permission`](Error::is_permission) when it may not be opened,
    /// [`is_invalid`](Error::is_invalid) when it is not a network namespace.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name = Shown(&Escaped::new(path).to_string()).to_string();
        match open(path) {
            Ok(file) => NetNs::checked(file, name),
            Err(cause) => Err(match cause.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {
                    failed(Kind::NotFound, &name, r#"no such network namespace (ENOENT); list them with "ip netns""#)
                }
                Some(libc::EACCES | libc::EPERM) => failed(
                    Kind::Permission,
                    &name,
                    "may not be opened (EACCES); run as root, or as the user who owns it",
                ),
                _ => Error::io(name, cause),
            }),
        }
    }

    /// Opens the namespace of a process.
    ///
    /// # Errors
    /// [`is_not_found`](Error::is_not_found) when there is no such process,
    /// [`is_permission`](Error::is_permission) when `ptrace` would not be allowed either:
    /// ptrace(2), "ptrace access mode checking".
    pub fn from_pid(pid: u32) -> Result<Self> {
        let name = format!("/proc/{pid}/ns/net");
        match open(Path::new(&name)) {
            Ok(file) => NetNs::checked(file, name),
            Err(cause) => Err(match cause.raw_os_error() {
                Some(libc::ENOENT | libc::ESRCH) => {
                    failed(Kind::NotFound, &name, &format!("no process {pid} (ENOENT), or /proc is not mounted"))
                }
                Some(libc::EACCES | libc::EPERM) => failed(
                    Kind::Permission,
                    &name,
                    "may not be opened (EACCES); needs CAP_SYS_PTRACE, or the same user",
                ),
                _ => Error::io(name, cause),
            }),
        }
    }

    /// Takes ownership of a namespace descriptor: a `File`, or an `OwnedFd` received over a
    /// socket.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when it is not a network namespace.
    pub fn from_fd(fd: impl Into<OwnedFd>) -> Result<Self> {
        let file = File::from(fd.into());
        let name = format!("{:?}", file.as_fd());
        NetNs::checked(file, name)
    }

    /// Opens the namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> Result<Self> {
        let file = File::open(netns::CURRENT).map_err(no_proc)?;
        Ok(NetNs { file, name: "current network namespace".to_owned() })
    }

    /// Returns whether it is the namespace of the calling thread.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn is_current(&self) -> Result<bool> {
        let own = self.file.metadata().map_err(|cause| Error::io(&self.name, cause))?;
        Ok(Identity::of(&own) == Identity::current().map_err(no_proc)?)
    }

    /// Runs `work` inside the namespace: on a short-lived thread, or directly when the calling
    /// thread is already in it. Sockets that `work` opens stay in the namespace wherever they are
    /// used later.
    ///
    /// # Errors
    /// [`is_permission`](Error::is_permission) when the namespace may not be entered. A result of
    /// `work` is returned unchanged.
    ///
    /// # Panics
    /// When `work` panics.
    ///
    /// ```no_run
    /// use std::net::TcpListener;
    ///
    /// use nftmesh::kernel::NetNs;
    ///
    /// let pod = NetNs::from_path("/var/run/netns/pod-1")?;
    /// let inside = pod.run(|| TcpListener::bind("127.0.0.1:15001"))?.expect("the port is free");
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        // A container with only CAP_NET_ADMIN may not even setns(2) to its current namespace.
        if self.is_current()? {
            return Ok(work());
        }
        netns::in_namespace(self.as_fd(), work).map_err(|cause| match cause.raw_os_error() {
            Some(libc::EPERM) => {
                failed(Kind::Permission, &self.name, "may not be entered (EPERM); needs CAP_SYS_ADMIN")
            }
            _ => Error::io(&self.name, cause),
        })
    }

    fn checked(file: File, name: String) -> Result<Self> {
        match netns::kind(file.as_fd()) {
            Ok(libc::CLONE_NEWNET) => Ok(NetNs { file, name }),
            Ok(_other) => {
                Err(failed(Kind::Invalid, &name, "a namespace, but not a network namespace; its file is named net"))
            }
            Err(_) => Err(failed(
                Kind::Invalid,
                &name,
                r#"not a network namespace; a leftover file of one that ended goes away with "ip netns delete""#,
            )),
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for NetNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NetNs { file: _, name } = self;
        f.debug_tuple("NetNs").field(name).finish()
    }
}

/// Opens the path without waiting for the other end if it is a pipe.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn no_proc(cause: io::Error) -> Error {
    Error::io(format_args!("{}, is /proc mounted", netns::CURRENT), cause)
}

fn failed(kind: Kind, name: &str, why: &str) -> Error {
    Error::new(kind, format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_path_that_is_missing_is_named_with_the_remedy() {
        let error = NetNs::from_path("/var/run/netns/nope").expect_err("is missing");
        assert!(error.is_not_found());
        assert_eq!(
            error.to_string(),
            r#"/var/run/netns/nope: no such network namespace (ENOENT); list them with "ip netns""#
        );
    }

    #[test]
    fn a_file_that_is_not_a_network_namespace_is_refused() {
        for path in ["/dev/null", "/", "/proc/self/ns/mnt", "/etc/passwd"] {
            let error = NetNs::from_path(path).expect_err(path);
            assert!(error.is_invalid(), "{error}");
            assert!(error.to_string().starts_with(&format!("{path}: ")), "{error}");
        }
        let error = NetNs::from_fd(File::open("/dev/null").expect("opens")).expect_err("is a device");
        assert!(error.is_invalid(), "{error}");
    }

    #[test]
    fn a_process_that_is_gone_is_not_found() {
        let mut child = std::process::Command::new("true").spawn().expect("starts");
        let pid = child.id();
        child.wait().expect("ends");
        let error = NetNs::from_pid(pid).expect_err("is gone");
        assert!(error.is_not_found(), "{error}");
    }

    #[test]
    fn the_own_namespace_is_current_however_it_is_opened() {
        for own in [
            NetNs::current().expect("opens"),
            NetNs::from_path("/proc/thread-self/ns/net").expect("opens"),
            NetNs::from_pid(std::process::id()).expect("opens"),
            NetNs::from_fd(File::open(netns::CURRENT).expect("opens")).expect("is one"),
        ] {
            assert!(own.is_current().expect("proc is mounted"), "{own:?}");
        }
    }

    #[test]
    fn another_namespace_is_entered_only_for_the_closure() {
        let Ok(other) = testing::or_skip(crate::sys::netns::in_new_namespace(NetNs::current)) else { return };
        let other = other.expect("opens");
        assert!(!other.is_current().expect("proc is mounted"));
        assert!(other.run(|| other.is_current()).expect("may enter").expect("proc is mounted"));
        assert!(!other.is_current().expect("proc is mounted"), "the caller moved");
    }

    #[test]
    fn a_closure_in_the_own_namespace_runs_on_the_calling_thread() {
        let here = std::thread::current().id();
        let own = NetNs::current().expect("opens");
        assert_eq!(own.run(|| std::thread::current().id()).expect("runs"), here);
    }

    #[test]
    fn a_namespace_is_kept_alive_by_its_value() {
        let Ok(held) = testing::or_skip(crate::sys::netns::in_new_namespace(|| {
            testing::ip("link set lo up");
            NetNs::current()
        })) else {
            return;
        };
        let held = held.expect("opens");
        assert!(held.run(|| testing::ip("-br link show lo")).expect("may enter").contains("LOOPBACK,UP"));
    }

    #[test]
    fn without_permission_the_error_names_the_missing_capability() {
        let Ok(other) = testing::or_skip(crate::sys::netns::in_new_namespace(NetNs::current)) else { return };
        let other = other.expect("opens");
        testing::as_nobody(|| {
            let error = other.run(|| ()).expect_err("may not be entered");
            assert!(error.is_permission(), "{error}");
            assert!(error.to_string().contains("needs CAP_SYS_ADMIN"), "{error}");
            let error = NetNs::from_pid(1).expect_err("may not be opened");
            assert!(error.is_permission(), "{error}");
            assert!(NetNs::current().expect("opens").run(|| true).expect("needs nothing"));
        });
    }
}
