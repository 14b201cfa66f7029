//! Unix sockets with names that are not files: unix(7), "abstract". A name belongs to the network
//! namespace of the thread that binds it, can be bound only once, and is free again when the last
//! descriptor of its socket is closed, however its process ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::time::Duration;

/// Binds a name and listens; `EADDRINUSE` when the name is bound.
pub(crate) fn listen(name: &[u8]) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Binds a name that only serves to be read in `/proc/net/unix`.
pub(crate) fn announce(name: &[u8]) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Connects without waiting: `ECONNREFUSED` when nobody listens under that name, `EAGAIN` when too
/// many connections wait to be accepted.
///
/// The standard library can only connect and wait, possibly forever for a listener that never
/// accepts.
pub(crate) fn connect(name: &[u8]) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket takes three integers.
    let fd = super::check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the descriptor is new, open and not owned elsewhere.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // struct sockaddr_un: family u16, then the name, whose first byte is zero when it is abstract.
    let mut address = Vec::with_capacity(size_of::<libc::sockaddr_un>());
    address.extend_from_slice(&(libc::AF_UNIX as libc::sa_family_t).to_ne_bytes());
    address.push(0);
    address.extend_from_slice(name);
    let length = address.len() as libc::socklen_t;
    // SAFETY: `length` is the size of `address`, which is live; the kernel refuses an address
    // longer than its own structure.
    super::check(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) })?;
    Ok(socket)
}

/// The process at the other end when it began to listen. `SO_PEERCRED`, unix(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// In this process's pid namespace; 0 when the peer is in one that is not visible here.
    pub(crate) pid: u32,
    /// As this user namespace maps it; 65534 when it does not.
    pub(crate) uid: u32,
}

pub(crate) fn peer(socket: BorrowedFd<'_>) -> io::Result<Peer> {
    let credentials = super::option_bytes::<12>(socket, libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    // struct ucred: pid, uid, gid, 32 bits each.
    let [p0, p1, p2, p3, u0, u1, u2, u3, ..] = credentials;
    Ok(Peer { pid: u32::from_ne_bytes([p0, p1, p2, p3]), uid: u32::from_ne_bytes([u0, u1, u2, u3]) })
}

/// Waits until the other end is closed, but no longer than this; returns whether it is closed.
pub(crate) fn wait_for_hangup(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<bool> {
    let limit = libc::c_int::try_from(limit.as_millis()).unwrap_or(libc::c_int::MAX);
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one live pollfd is passed and counted; POLLHUP and POLLERR are reported without
    // being requested.
    let code = unsafe { libc::poll(&raw mut asked, 1, limit) };
    match super::check(code) {
        // The caller checks the time anyway.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        ready => Ok(ready? > 0),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::support::patience::{comes_true, patience};
    use crate::testing::in_namespace;

    #[test]
    fn a_name_is_bound_once_in_each_network_namespace_and_free_when_its_socket_is_closed() {
        in_namespace(|| {
            let held = listen(b"a name").expect("it is free");
            assert_eq!(listen(b"a name").expect_err("it is bound").kind(), io::ErrorKind::AddrInUse);
            in_namespace(|| drop(listen(b"a name").expect("another namespace")));
            drop(held);
            // A child process that another test starts may hold a copy for a moment.
            assert!(comes_true(|| listen(b"a name").is_ok()), "it stays bound");
        });
    }

    #[test]
    fn the_peer_is_identified_and_its_hangup_is_noticed() {
        in_namespace(|| {
            assert_eq!(connect(b"nobody").expect_err("nobody listens").raw_os_error(), Some(libc::ECONNREFUSED));
            let held = listen(b"somebody").expect("it is free");
            let waiting = connect(b"somebody").expect("somebody listens");
            let peer = peer(waiting.as_fd()).expect("credentials");
            assert_eq!(peer.pid, std::process::id());
            assert!(!wait_for_hangup(waiting.as_fd(), Duration::from_millis(1)).expect("time is over"));
            drop(held);
            assert!(wait_for_hangup(waiting.as_fd(), patience(Duration::from_secs(20))).expect("it hangs up"));
        });
    }

    #[test]
    fn connecting_to_a_full_listener_fails_instead_of_blocking() {
        in_namespace(|| {
            let _held = listen(b"full").expect("it is free");
            let mut waiting = Vec::new();
            let refused = loop {
                match connect(b"full") {
                    Ok(socket) => waiting.push(socket),
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused.raw_os_error(), Some(libc::EAGAIN | libc::EMFILE)), "{refused}");
        });
    }
}
