//! The status of a connection, and which packets connection tracking leaves alone.

use super::Attached;
use crate::model::{Hook, NatKind};

/// The connection-tracking entry of the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tracked {
    Connection(Attached),
    /// It neither begins a connection nor belongs to one.
    Invalid,
    #[default]
    Nothing,
    /// A rule set this zone after connection tracking, which had found no connection.
    Template(u16),
    Untracked,
}

/// Returns whether tracking ignores an ICMPv6 type, because every network needs it: neighbour
/// discovery and the like (icmpv6_error, net/netfilter/nf_conntrack_proto_icmpv6.c, v6.12).
pub(crate) fn is_never_tracked(kind: u8) -> bool {
    NEVER_TRACKED.iter().any(|(first, last)| (*first..=*last).contains(&kind))
}

/// The first and last of such types.
pub(crate) const NEVER_TRACKED: [(u8, u8); 2] = [(130, 136), (143, 143)];

/// Returns the status bit of a connection that tells whether the side that a hook translates has
/// its translation, possibly the identity translation.
pub(crate) fn nat_done(hook: Hook) -> u32 {
    done(side(hook))
}

/// Like [`nat_done`], by the side.
pub(crate) fn done(side: NatKind) -> u32 {
    match side {
        NatKind::Dnat => DST_NAT_DONE,
        NatKind::Snat => SRC_NAT_DONE,
    }
}

/// Returns the end of a connection that the nat chains of a hook translate.
pub(crate) fn side(hook: Hook) -> NatKind {
    match hook {
        Hook::Forward | Hook::Output | Hook::Prerouting => NatKind::Dnat,
        Hook::Input | Hook::Postrouting => NatKind::Snat,
    }
}

/// `IPS_SRC_NAT_DONE`, include/uapi/linux/netfilter/nf_conntrack_common.h.
const SRC_NAT_DONE: u32 = 1 << 7;
/// `IPS_DST_NAT_DONE`.
const DST_NAT_DONE: u32 = 1 << 8;
/// Both: the kernel asks neither side any more.
pub(crate) const BOTH_NAT_DONE: u32 = SRC_NAT_DONE | DST_NAT_DONE;
