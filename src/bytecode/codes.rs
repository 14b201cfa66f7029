//! Expressions with many fields; see [`Expr`](super::Expr).

mod plain;
mod table;

pub use plain::*;
pub(crate) use table::code_table;

use super::data::Bytes;
use super::expr::Expr;
use super::keys::Register;
use super::set::AnonymousSet;
use crate::model::{IpFamily, LimitWhen, NatFlags, NatKind};

/// The registers of a lowest and a highest value; without the highest, it equals the lowest.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "two ends")]
pub struct RegisterRange {
    /// The lowest.
    pub min: Option<Register>,
    /// The highest.
    pub max: Option<Register>,
}

/// See [`Expr::Bitwise`](super::Expr::Bitwise).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_bitwise, mask and xor")]
pub struct BitwiseCode {
    /// Register that is read and written.
    pub reg: Register,
    /// Bits that are kept.
    pub mask: Bytes,
    /// Bits that are flipped afterwards.
    pub xor: Bytes,
}

/// The set that a lookup uses.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nf_tables has these two")]
pub enum LookupSet {
    /// A set that belongs to the rule, with its elements.
    Anonymous(Box<AnonymousSet>),
    /// A set of the table.
    Named(crate::model::Name),
}

/// See [`Expr::Limit`](super::Expr::Limit).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_limit")]
pub struct LimitCode {
    /// Packets or bytes per unit.
    pub rate: u64,
    /// Unit in seconds.
    pub unit: u64,
    /// The burst: packets or bytes allowed at once.
    pub burst: u32,
    /// 0 packets, 1 bytes (`enum nft_limit_type`).
    pub kind: u32,
    /// 1: matches above the rate (`NFT_LIMIT_F_INV`).
    pub flags: u32,
}

/// See [`Expr::Log`](super::Expr::Log).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_log")]
pub struct LogCode {
    /// The log prefix.
    pub prefix: Option<Box<str>>,
    /// Severity, to the kernel log.
    pub level: Option<u32>,
    /// Netlink group.
    pub group: Option<u16>,
    /// Bytes of the packet to copy.
    pub snaplen: Option<u32>,
    /// Packets to queue before they are sent.
    pub queue_threshold: Option<u16>,
    /// Further options (`NF_LOG_*`).
    pub flags: u32,
}

/// See [`Expr::Nat`](super::Expr::Nat).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_nat")]
pub struct NatCode {
    /// Source or destination.
    pub kind: NatKind,
    /// The address family; the packet's own when absent, in an inet table.
    pub family: Option<IpFamily>,
    /// Registers of the addresses.
    pub addresses: RegisterRange,
    /// Registers of the ports.
    pub ports: RegisterRange,
    /// Options (`NF_NAT_RANGE_*`).
    pub flags: u32,
}

/// `NF_NAT_RANGE_PROTO_SPECIFIED`: a port was given.
pub(crate) const PORTS_GIVEN: u32 = 2;

/// Returns the kernel's flags for a translation with or without ports.
pub(crate) fn nat_flags(flags: NatFlags, ports: RegisterRange) -> u32 {
    flags.bits() | if ports.min.is_some() { PORTS_GIVEN } else { 0 }
}

/// Returns the kernel's flag for a rate or a number that matches below or above
/// (`NFT_LIMIT_F_INV`, `NFT_QUOTA_F_INV`, `NFT_CONNLIMIT_F_INV`).
pub(super) fn over(when: LimitWhen) -> u32 {
    match when {
        LimitWhen::Over => 1,
        LimitWhen::Until => 0,
    }
}

/// Returns what such flags mean, the inverse of [`over`].
pub(super) fn when(flags: u32) -> Option<LimitWhen> {
    match flags {
        0 => Some(LimitWhen::Until),
        1 => Some(LimitWhen::Over),
        _ => None,
    }
}

/// See [`Expr::Queue`](super::Expr::Queue).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_queue")]
pub struct QueueCode {
    /// First queue.
    pub num: u16,
    /// Number of queues.
    pub total: u16,
    /// Options (`NFT_QUEUE_FLAG_*`).
    pub flags: u16,
}

/// See [`Expr::Reject`](super::Expr::Reject).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_reject")]
pub struct RejectCode {
    /// 0 ICMP or ICMPv6 by the table, 1 TCP reset, 2 either by the packet (`enum
    /// nft_reject_types`).
    pub kind: u32,
    /// ICMP code.
    pub code: u8,
}

/// See [`Expr::Tproxy`](super::Expr::Tproxy).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_tproxy")]
pub struct TproxyCode {
    /// Only packets of this family.
    pub family: Option<IpFamily>,
    /// Register of the address.
    pub address: Option<Register>,
    /// Register of the port.
    pub port: Option<Register>,
}

/// See [`Expr::Dynset`](super::Expr::Dynset).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_dynset")]
pub struct DynsetCode {
    /// The set; of an anonymous one the name that the kernel completes.
    pub set: crate::model::Name,
    /// The contents of an anonymous set, which belongs to the rule.
    pub anonymous: Option<Box<AnonymousSet>>,
    /// 0 add, 1 update, 2 delete (`enum nft_dynset_ops`).
    pub op: u32,
    /// Register of the key.
    pub key: Register,
    /// Register of the value that it maps to.
    pub data: Option<Register>,
    /// Milliseconds after which the element expires; those of the set if absent.
    pub timeout: Option<u64>,
    /// What an added element counts and limits.
    pub exprs: Vec<Expr>,
    /// 1: continues where the element cannot be added, instead of where it can
    /// (`NFT_DYNSET_F_INV`).
    pub flags: u32,
}

/// See [`Expr::ObjrefMap`](super::Expr::ObjrefMap).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_objref_map")]
pub struct ObjrefMapCode {
    /// Register of the key.
    pub sreg: Register,
    /// The map; of an anonymous one the name that the kernel completes.
    pub set: crate::model::Name,
    /// The contents of an anonymous map, which belongs to the rule.
    pub anonymous: Option<Box<AnonymousSet>>,
}

/// See [`Expr::Inner`](super::Expr::Inner).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_inner")]
pub struct InnerCode {
    /// How deep the header is, 0 for the first.
    pub num: u32,
    /// The tunnel (`enum nft_inner_type`).
    pub kind: u32,
    /// The headers in it (`NFT_INNER_*`).
    pub flags: u32,
    /// Length of the tunnel's own header.
    pub header_size: u32,
    /// What loads from the packet in the tunnel.
    pub expr: Box<Expr>,
}

impl RtCode {
    /// The realm of the route (`NFT_RT_CLASSID`).
    pub const CLASSID: u32 = 0;
    /// The next hop of IPv4 (`NFT_RT_NEXTHOP4`).
    pub const NEXTHOP4: u32 = 1;
    /// The next hop of IPv6 (`NFT_RT_NEXTHOP6`).
    pub const NEXTHOP6: u32 = 2;
    /// Whether it goes through IPsec (`NFT_RT_XFRM`).
    pub const XFRM: u32 = 4;
    /// The maximum segment size that fits the route (`NFT_RT_TCPMSS`).
    pub const TCPMSS: u32 = 3;
}

impl ObjrefCode {
    /// A counter (`NFT_OBJECT_COUNTER`).
    pub const COUNTER: u32 = 1;
}
