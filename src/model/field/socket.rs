//! Control groups of sockets.

use std::fmt;

/// An ancestor of the control group (version 2) of the packet's socket: `socket cgroupv2 level 2`.
///
/// At output it is the socket that sends the packet, at prerouting and input the one that would
/// receive it. Its values are the numbers of control groups, for which nft writes their paths: the
/// inode of the folder.
///
/// ```no_run
/// use std::os::unix::fs::MetadataExt;
///
/// use nftmesh::model::SocketCgroup;
/// use nftmesh::prelude::*;
///
/// let path = "system.slice/backup.service"; // two levels below the root
/// let group = std::fs::metadata(format!("/sys/fs/cgroup/{path}"))?.ino();
/// let rule = Rule::new().socket_cgroup(SocketCgroup { level: 2 }, group).accept();
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "NFT_SOCKET_CGROUPV2")]
pub struct SocketCgroup {
    /// Its depth below the root.
    pub level: u8,
}

impl fmt::Display for SocketCgroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket cgroupv2 level {}", self.level)
    }
}
