//! Statements: what a rule does when all preceding matches held.

use super::action::{ConnLimit, Dup, Fwd, ObjectRef, ObjectTo, Quota, SetValue, Synproxy, Update};
use super::field::Field;
use super::limit::Limit;
use super::log::Log;
use super::matches::Match;
use super::meter::Meter;
use super::name::Name;
use super::nat::{Computed, Nat, NatFlags, Ports, Tproxy};
use super::opaque::Opaque;
use super::operand::{Operand, SetRef};
use super::selector::Selector;

/// One part of a rule. Statements run in order; a match that does not hold ends the rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// Continues up to, or above, a number of connections.
    ConnLimit(ConnLimit),
    /// Sends a copy of the packet elsewhere.
    Dup(Dup),
    /// Sends the following packets of the connection past the rules, by this flowtable.
    FlowAdd(Name),
    /// Sends the packet out of another interface.
    Fwd(Fwd),
    /// Continues while a rate is not exceeded, or once it is.
    Limit(Limit),
    /// Writes to the kernel log, to a netlink group or to the audit log.
    Log(Log),
    /// A comparison.
    Match(Match),
    /// Counts or limits packets for each key.
    Meter(Meter),
    /// Translates the source or destination address.
    Nat(Nat),
    /// Translates the source address to that of the outgoing interface.
    Masquerade {
        /// Source ports to choose from; needs a match on a transport protocol.
        ports: Option<Ports>,
        /// How a port is chosen.
        flags: NatFlags,
    },
    /// Excludes the packet from connection tracking; must run before it, at priority raw.
    Notrack,
    /// Uses a named object of the table.
    ObjectRef(ObjectRef),
    /// Something that has no name here: read from a kernel, or a
    /// [`RawExpr`](crate::bytecode::RawExpr) of the user's.
    Opaque(Opaque),
    /// Passes the packet to a program.
    Queue(Queue),
    /// Passes the packet to a program on a queue that depends on the packet.
    QueueTo {
        /// The number of the queue: a number that is made, a hash, or one out of a map.
        to: Box<Computed>,
        /// The flags.
        flags: QueueFlags,
    },
    /// Continues until, or once, so many bytes were met.
    Quota(Quota),
    /// Translates the destination to this host.
    Redirect {
        /// Port to redirect to; the packet's own when absent. Needs a match on a transport
        /// protocol.
        ports: Option<Ports>,
        /// How a port is chosen from a range.
        flags: NatFlags,
    },
    /// Drops the packet and reports the reason to the sender; port unreachable if absent.
    Reject(Option<Reject>),
    /// Removes an option of TCP: overwrites it with ones that mean nothing.
    ResetTcpOption(u8),
    /// Sets a field; marks, the zone and tracing have statements of their own.
    Set {
        /// The field.
        target: Field,
        /// Its new value.
        value: SetValue,
    },
    /// Sets the mark of the packet or of its connection.
    SetMark {
        /// The mark.
        key: MarkKey,
        /// The new value.
        value: MarkValue,
    },
    /// Turns tracing of the packet on or off.
    SetNftrace(bool),
    /// Sets the conntrack zone; must run before connection tracking, at priority raw. The first
    /// zone of a packet is final.
    SetZone(u16),
    /// Answers a SYN in place of the receiver.
    Synproxy(Synproxy),
    /// Diverts the packet to a local socket without changing it.
    Tproxy(Tproxy),
    /// Changes an element of a set.
    Update(Box<Update>),
    /// Decides what happens to the packet.
    Verdict(Verdict),
    /// Looks the verdict up in a verdict map; the rule continues if there is none.
    VerdictMap {
        /// The fields to look up.
        selector: Selector,
        /// The map.
        map: SetRef,
    },
}

impl Statement {
    /// Returns the sets that it uses.
    pub(crate) fn sets<'a>(&'a self) -> impl Iterator<Item = &'a SetRef> {
        let [one, other] = match self {
            Statement::Match(Match { operand: Operand::Set(set), .. })
            | Statement::ObjectRef(ObjectRef { to: ObjectTo::Map(_, set), .. })
            | Statement::Set { value: SetValue::Map { map: set, .. }, .. }
            | Statement::SetMark { value: MarkValue::Map { map: set, .. }, .. }
            | Statement::VerdictMap { map: set, .. } => [Some(set), None],
            Statement::Dup(Dup { address, device }) => {
                [address.as_ref().and_then(SetValue::map), device.as_ref().and_then(SetValue::map)]
            }
            Statement::Fwd(Fwd { device, address, family: _ }) => {
                [device.map(), address.as_ref().and_then(SetValue::map)]
            }
            Statement::Masquerade { ports, .. } | Statement::Redirect { ports, .. } => {
                [ports.as_ref().and_then(Ports::map), None]
            }
            Statement::Nat(nat) => {
                [nat.computed.as_deref().and_then(Computed::map), nat.ports.as_ref().and_then(Ports::map)]
            }
            Statement::QueueTo { to, flags: _ } => [to.map(), None],
            Statement::Tproxy(Tproxy { address_from, port_from, .. }) => {
                let map = |from: &'a Option<Box<Computed>>| from.as_deref().and_then(Computed::map);
                [map(address_from), map(port_from)]
            }
            Statement::Update(update) => [Some(&update.set), None],
            _ => [None, None],
        };
        one.into_iter().chain(other)
    }

    /// Returns the sets that it uses, to be changed.
    pub(crate) fn sets_mut(&mut self) -> impl Iterator<Item = &mut SetRef> {
        let [one, other] = match self {
            Statement::Match(Match { operand: Operand::Set(set), .. })
            | Statement::ObjectRef(ObjectRef { to: ObjectTo::Map(_, set), .. })
            | Statement::Set { value: SetValue::Map { map: set, .. }, .. }
            | Statement::SetMark { value: MarkValue::Map { map: set, .. }, .. }
            | Statement::VerdictMap { map: set, .. } => [Some(set), None],
            Statement::Dup(Dup { address, device }) => {
                [address.as_mut().and_then(SetValue::map_mut), device.as_mut().and_then(SetValue::map_mut)]
            }
            Statement::Fwd(Fwd { device, address, family: _ }) => {
                [device.map_mut(), address.as_mut().and_then(SetValue::map_mut)]
            }
            Statement::Masquerade { ports, .. } | Statement::Redirect { ports, .. } => {
                [ports.as_mut().and_then(Ports::map_mut), None]
            }
            Statement::Nat(nat) => {
                [nat.computed.as_deref_mut().and_then(Computed::map_mut), nat.ports.as_mut().and_then(Ports::map_mut)]
            }
            Statement::QueueTo { to, flags: _ } => [to.map_mut(), None],
            Statement::Tproxy(Tproxy { address_from, port_from, .. }) => [
                address_from.as_deref_mut().and_then(Computed::map_mut),
                port_from.as_deref_mut().and_then(Computed::map_mut),
            ],
            Statement::Update(update) => [Some(&mut update.set), None],
            _ => [None, None],
        };
        one.into_iter().chain(other)
    }

    /// Returns the names of those sets, as far as they have one.
    pub(crate) fn looked_up(&self) -> impl Iterator<Item = &Name> {
        self.sets().filter_map(|set| match set {
            SetRef::Anonymous(_) => None,
            SetRef::Named(name) => Some(name),
        })
    }
}

/// The fate of a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the verdicts of nf_tables")]
pub enum Verdict {
    /// Ends this base chain; chains of later priority still see the packet.
    Accept,
    /// Continues with the next rule.
    Continue,
    /// Ends all processing.
    Drop,
    /// Continues in another chain without returning.
    Goto(Name),
    /// Continues in another chain and returns.
    Jump(Name),
    /// Returns to the calling chain; in a base chain, its policy decides.
    Return,
}

impl Verdict {
    /// Returns the target chain of a jump or goto.
    #[must_use]
    pub fn target(&self) -> Option<&Name> {
        match self {
            Verdict::Goto(chain) | Verdict::Jump(chain) => Some(chain),
            Verdict::Accept | Verdict::Continue | Verdict::Drop | Verdict::Return => None,
        }
    }
}

/// The reason for which a packet is rejected.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// `port-unreachable`, the reason of `reject` alone.
    pub const PORT_UNREACHABLE: Reject = Reject::Icmpx(1);
    /// `host-unreachable`.
    pub const HOST_UNREACHABLE: Reject = Reject::Icmpx(2);
    /// `admin-prohibited`.
    pub const ADMIN_PROHIBITED: Reject = Reject::Icmpx(3);
}

/// Passes packets to programs on queues `from` to `to`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the whole of nft_queue without a map")]
pub struct Queue {
    /// First queue number.
    pub from: u16,
    /// Last queue number.
    pub to: u16,
    /// The flags.
    pub flags: QueueFlags,
}

bitflags::bitflags! {
    /// How packets are queued (`NFT_QUEUE_FLAG_*`, include/uapi/linux/netfilter/nf_tables.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct QueueFlags: u16 {
        /// Accept when no program listens.
        const BYPASS = 1;
        /// Choose the queue by processor.
        const FANOUT = 2;
    }
}

/// The mark of the packet or of the connection.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "packet or connection")]
pub enum MarkKey {
    /// The mark of the connection (`ct mark`).
    Ct,
    /// The mark of the packet (`meta mark`).
    Meta,
}

/// The new value of a mark.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "constant, computed or looked up")]
pub enum MarkValue {
    /// This number.
    Constant(u32),
    /// Computed from this or another mark: `(from & mask) ^ xor`. A plain copy has all bits in
    /// `mask` and none in `xor`.
    From {
        /// The mark that is read.
        from: MarkKey,
        /// The bits of it that are kept.
        mask: u32,
        /// The bits that are flipped afterwards.
        xor: u32,
    },
    /// Looked up in a map; the rule ends if nothing is found.
    Map {
        /// The fields to look up.
        selector: Selector,
        /// The map.
        map: SetRef,
    },
}

impl MarkValue {
    /// Copies another mark in full.
    #[must_use]
    pub fn copy(from: MarkKey) -> Self {
        MarkValue::From { from, mask: u32::MAX, xor: 0 }
    }

    /// Returns a mark with these bits set: `or(MarkKey::Meta, 0x1)` is `meta mark | 0x1`.
    #[must_use]
    pub fn or(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: !bits, xor: bits }
    }

    /// Returns a mark with only these bits kept: `meta mark & 0xff`.
    #[must_use]
    pub fn and(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: bits, xor: 0 }
    }

    /// Returns a mark with these bits flipped: `meta mark ^ 0x1`.
    #[must_use]
    pub fn xor(from: MarkKey, bits: u32) -> Self {
        MarkValue::From { from, mask: u32::MAX, xor: bits }
    }

    /// Returns a mark with the bits of `value` within `mask`, and its own bits elsewhere.
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
