//! Constants of connection tracking.

/// Direction of a packet within its connection (`IP_CT_DIR_*`,
/// include/uapi/linux/netfilter/nf_conntrack_tuple_common.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a connection has two directions")]
pub enum CtDirection {
    /// From the side that opened the connection.
    Original,
    /// From the other side.
    Reply,
}

bitflags::bitflags! {
    /// Events of connection tracking (`IPCT_*`,
    /// include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtEvent: u32 {
        /// A new connection.
        const NEW = 1;
        /// A new connection that another one announced.
        const RELATED = 2;
        /// The end of a connection.
        const DESTROY = 4;
        /// The first answer.
        const REPLY = 8;
        /// It will not expire early.
        const ASSURED = 0x10;
        /// The state of its protocol changed.
        const PROTOINFO = 0x20;
        /// A helper was given to it.
        const HELPER = 0x40;
        /// Its mark changed.
        const MARK = 0x80;
        /// Its sequence numbers are adjusted.
        const SEQADJ = 0x100;
        /// Its security mark changed.
        const SECMARK = 0x200;
        /// Its labels changed.
        const LABEL = 0x400;
    }
}

/// Labels of a connection, numbered from 0 to 127.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtLabel([u8; 16]);

impl CtLabel {
    /// Returns the label of this number; `None` for one above 127.
    #[must_use]
    pub fn new(number: u8) -> Option<CtLabel> {
        1_u128.checked_shl(number.into()).map(CtLabel::from_bits)
    }

    /// Returns the labels whose bits are set.
    #[must_use]
    pub fn from_bits(bits: u128) -> CtLabel {
        CtLabel(bits.to_be_bytes())
    }

    /// Returns a bit for each label.
    #[must_use]
    pub fn bits(self) -> u128 {
        u128::from_be_bytes(self.0)
    }
}

bitflags::bitflags! {
    /// Conntrack states (`NF_CT_STATE_BIT`, include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtState: u32 {
        /// Belongs to no connection and starts none.
        const INVALID = 1;
        /// Part of a connection that has seen packets both ways.
        const ESTABLISHED = 2;
        /// Starts a connection that another one announced, or is an ICMP error about a connection.
        const RELATED = 4;
        /// Starts a connection.
        const NEW = 8;
        /// Excluded from connection tracking.
        const UNTRACKED = 64;
    }
}

bitflags::bitflags! {
    /// Conntrack status (`IPS_*`, include/uapi/linux/netfilter/nf_conntrack_common.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct CtStatus: u32 {
        /// Announced by another connection.
        const EXPECTED = 1;
        /// Packets were seen both ways.
        const SEEN_REPLY = 2;
        /// Never expires early.
        const ASSURED = 4;
        /// The first packet left this host.
        const CONFIRMED = 8;
        /// Source address is translated.
        const SNAT = 16;
        /// Destination address is translated.
        const DNAT = 32;
        /// About to be removed.
        const DYING = 512;
    }
}
