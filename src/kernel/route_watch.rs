//! Watches whether routes, policy rules or addresses of a network namespace change.

use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Error, Result};
use crate::sys::scratch::Scratch;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// Reports changes of routes, policy rules and addresses from now on.
/// [`RouteTable::missing`](super::RouteTable::missing) determines what changed.
///
/// ```no_run
/// use nftmesh::kernel::RouteWatch;
///
/// let mut watch = RouteWatch::open()?;
/// if watch.changed()? {
///     println!("look again");
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct RouteWatch {
    socket: NetlinkSocket,
}

impl RouteWatch {
    /// Watches the calling thread's network namespace.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn open() -> Result<Self> {
        let socket = NetlinkSocket::open(Bus::Route).map_err(failed)?;
        GROUPS.iter().try_for_each(|group| socket.join(*group)).map_err(failed)?;
        Ok(RouteWatch { socket })
    }

    /// Returns whether anything changed since the last call, without waiting. The descriptor
    /// ([`AsFd`]) is readable when something did.
    ///
    /// # Errors
    /// When the socket cannot be read.
    pub fn changed(&mut self) -> Result<bool> {
        let (mut changed, mut memory) = (false, Scratch::lent());
        loop {
            match self.socket.recv(&mut memory, Wait::DontWait) {
                Ok(None) => return Ok(changed),
                Ok(Some(_)) => changed = true,
                // More than the buffer could hold.
                Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => changed = true,
                Err(cause) => return Err(failed(cause)),
            }
        }
    }
}

impl AsFd for RouteWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn failed(cause: std::io::Error) -> Error {
    Error::io("watch the routes of the network namespace", cause)
}

/// `RTNLGRP_IPV4_IFADDR`, `IPV4_ROUTE`, `IPV4_RULE`, `IPV6_IFADDR`, `IPV6_ROUTE`, `IPV6_RULE`:
/// include/uapi/linux/rtnetlink.h, v6.12.
const GROUPS: [u32; 6] = [5, 7, 8, 9, 11, 19];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespace, ip};

    #[test]
    fn added_and_deleted_routes_rules_and_addresses_are_noticed() {
        in_namespace(|| {
            ip("link set lo up");
            let mut watch = RouteWatch::open().expect("opens");
            let changes = [
                "addr add ::6/128 dev lo nodad",
                "addr add 192.0.2.1/32 dev lo",
                "route add local default dev lo table 7",
                "-6 route add local default dev lo table 7",
                "rule add fwmark 7 lookup 7",
                "-6 rule add fwmark 7 lookup 7",
            ];
            for change in
                changes.iter().flat_map(|add| [add.to_string(), add.replace(" add ", " del ").replace(" nodad", "")])
            {
                // Changes that the kernel makes after lo came up may still be queued.
                while watch.changed().expect("is read") {}
                ip(&change);
                assert!(watch.changed().expect("is read"), "{change}");
            }
            assert!(!watch.changed().expect("is read"));
        });
    }
}
