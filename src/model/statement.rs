//! Statements: what a rule does when everything in front of it matched.

use super::limit::Limit;
use super::log::Log;
use super::matches::{Match, Selector};
use super::name::Name;
use super::nat::{Nat, NatFlags, PortRange, Tproxy};
use super::opaque::Opaque;
use super::operand::{Operand, SetRef};

/// One part of a rule. Statements run in order; a match that does not hold ends the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Statement {
    /// Counts packets and bytes, starting from these.
    Counter {
        /// Packets.
        packets: u64,
        /// Bytes.
        bytes: u64,
    },
    /// Goes on while a rate is kept, or once it is exceeded.
    Limit(Limit),
    /// Writes to the kernel log, to a netlink group or to the audit log.
    Log(Log),
    /// A comparison.
    Match(Match),
    /// Translates the source or destination address.
    Nat(Nat),
    /// Translates the source address to that of the outgoing interface.
    Masquerade {
        /// Source ports to choose from; needs a match on a transport protocol.
        ports: Option<PortRange>,
        /// How a port is chosen.
        flags: NatFlags,
    },
    /// Excludes the packet from connection tracking; useful in front of it, at priority raw.
    Notrack,
    /// Something read from a kernel that has no name here.
    Opaque(Opaque),
    /// Hands the packet to a program.
    Queue(Queue),
    /// Translates the destination to this host.
    Redirect {
        /// Port to redirect to; the packet's own when absent. Needs a match on a transport
        /// protocol.
        ports: Option<PortRange>,
        /// How a port is chosen from a range.
        flags: NatFlags,
    },
    /// Drops the packet and tells the sender; without a reason, port unreachable.
    Reject(Option<Reject>),
    /// Sets the mark of the packet or of its connection.
    SetMark {
        /// Which mark.
        key: MarkKey,
        /// To what.
        value: MarkValue,
    },
    /// Turns tracing of the packet on or off.
    SetNftrace(bool),
    /// Sets the conntrack zone; useful in front of connection tracking, at priority raw. The first
    /// zone given to a packet stays.
    SetZone(u16),
    /// Hands the packet to a local socket without changing it.
    Tproxy(Tproxy),
    /// Decides what happens to the packet.
    Verdict(Verdict),
    /// Looks the verdict up in a verdict map; goes on when there is none.
    VerdictMap {
        /// What is looked up.
        selector: Selector,
        /// Where.
        map: SetRef,
    },
}

impl Statement {
    /// The set that it looks something up in.
    pub(crate) fn set(&self) -> Option<&SetRef> {
        match self {
            Statement::Match(Match { operand: Operand::Set(set), .. })
            | Statement::SetMark { value: MarkValue::Map { map: set, .. }, .. }
            | Statement::VerdictMap { map: set, .. } => Some(set),
            _ => None,
        }
    }

    /// The name of that set, when it has one.
    pub(crate) fn looked_up(&self) -> Option<&Name> {
        match self.set()? {
            SetRef::Anonymous(_) => None,
            SetRef::Named(name) => Some(name),
        }
    }
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the verdicts of nf_tables")]
pub enum Verdict {
    /// Ends this hook's chain; chains of later priority still see the packet.
    Accept,
    /// Goes on with the next rule.
    Continue,
    /// Ends everything.
    Drop,
    /// Goes on in another chain and does not come back.
    Goto(Name),
    /// Goes on in another chain and comes back.
    Jump(Name),
    /// Goes back to the calling chain; in a base chain, its policy decides.
    Return,
}

impl Verdict {
    /// The chain it goes to, for jump and goto.
    #[must_use]
    pub fn target(&self) -> Option<&Name> {
        match self {
            Verdict::Goto(chain) | Verdict::Jump(chain) => Some(chain),
            Verdict::Accept | Verdict::Continue | Verdict::Drop | Verdict::Return => None,
        }
    }
}

/// Why a packet is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the reject types of nf_tables")]
pub enum Reject {
    /// ICMP destination unreachable with this code (RFC 792).
    Icmp(u8),
    /// ICMPv6 destination unreachable with this code (RFC 4443, section 3.1).
    Icmpv6(u8),
    /// ICMP or ICMPv6, by the packet (`NFT_REJECT_ICMPX_*`): 0 no route, 1 port, 2 host
    /// unreachable, 3 prohibited.
    Icmpx(u8),
    /// TCP reset.
    TcpReset,
}

/// Reasons for either family, by the packet: `reject with icmpx ...`.
impl Reject {
    /// `no-route`.
    pub const NO_ROUTE: Reject = Reject::Icmpx(0);
    /// `port-unreachable`, which is what `reject` alone says.
    pub const PORT_UNREACHABLE: Reject = Reject::Icmpx(1);
    /// `host-unreachable`.
    pub const HOST_UNREACHABLE: Reject = Reject::Icmpx(2);
    /// `admin-prohibited`.
    pub const ADMIN_PROHIBITED: Reject = Reject::Icmpx(3);
}

/// Hands packets to programs on queues `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the whole of nft_queue without a map")]
pub struct Queue {
    /// First queue number.
    pub from: u16,
    /// Last queue number.
    pub to: u16,
    /// How.
    pub flags: QueueFlags,
}

bitflags::bitflags! {
    /// How packets are queued (`NFT_QUEUE_FLAG_*`, include/uapi/linux/netfilter/nf_tables.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct QueueFlags: u16 {
        /// Accept when no program listens.
        const BYPASS = 1;
        /// Choose the queue by processor.
        const FANOUT = 2;
    }
}

/// Which mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "packet or connection")]
pub enum MarkKey {
    /// Of the connection (`ct mark`).
    Ct,
    /// Of the packet (`meta mark`).
    Meta,
}

/// What a mark is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "constant, computed or looked up")]
pub enum MarkValue {
    /// This number.
    Constant(u32),
    /// Another mark or the same: `(from & mask) ^ xor`. A plain copy has all bits in `mask` and
    /// none in `xor`.
    From {
        /// The mark that is read.
        from: MarkKey,
        /// Bits of it that are kept.
        mask: u32,
        /// Bits that are flipped afterwards.
        xor: u32,
    },
    /// What a map says; the rule ends when it says nothing.
    Map {
        /// What is looked up.
        selector: Selector,
        /// Where.
        map: SetRef,
    },
}

impl MarkValue {
    /// The whole of another mark.
    #[must_use]
    pub fn copy(from: MarkKey) -> Self {
        MarkValue::From { from, mask: u32::MAX, xor: 0 }
    }

    /// A mark with these bits set: `or(MarkKey::Meta, 0x1)` is `meta mark | 0x1`.
    #[must_use]
    pub fn or(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: !bits, xor: bits }
    }

    /// A mark with only these bits left: `meta mark & 0xff`.
    #[must_use]
    pub fn and(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: bits, xor: 0 }
    }

    /// A mark with these bits flipped: `meta mark ^ 0x1`.
    #[must_use]
    pub fn xor(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: u32::MAX, xor: bits }
    }

    /// Its own bits outside of `mask`, those of `value` inside.
    #[must_use]
    pub fn masked(own: MarkKey, value: u32, mask: u32) -> Self {
        MarkValue::From { from: own, mask: !mask, xor: value & mask }
    }
}

impl From<u32> for MarkValue {
    fn from(mark: u32) -> Self {
        MarkValue::Constant(mark)
    }
}
