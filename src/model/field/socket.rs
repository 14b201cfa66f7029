//! Control groups of sockets.

use std::fmt;

/// An ancestor of the control group (version 2) of the socket that would receive the packet:
/// `socket cgroupv2 level 2`.
///
/// Its values are the numbers of control groups, for which nft writes their paths.
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
