//! Expressions of nf_tables, by their kernel names.

use super::codes::{
    BitwiseCode, LimitCode, LogCode, LookupSet, NatCode, QueueCode, RegisterRange, RejectCode, TproxyCode,
};
use super::data::Bytes;
use super::keys::{CmpOp, CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
use super::set::AnonymousSet;
use crate::model::Verdict;

/// One expression of a program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expr {
    /// `dreg = (sreg & mask) ^ xor`.
    Bitwise(BitwiseCode),
    /// Converts between host and network order.
    Byteorder {
        /// Register that is converted in place.
        reg: Register,
        /// Width of the value in bytes, which is one number.
        len: u32,
    },
    /// Goes on when the comparison holds.
    Cmp {
        /// Compared register.
        sreg: Register,
        /// How.
        op: CmpOp,
        /// With what.
        data: Bytes,
    },
    /// Counts.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Loads from the connection.
    Ct {
        /// What.
        key: CtKey,
        /// Into which register.
        dreg: Register,
    },
    /// Sets something of the connection.
    CtSet {
        /// What.
        key: CtKey,
        /// From which register.
        sreg: Register,
    },
    /// Asks the routing tables.
    Fib {
        /// What.
        result: FibResult,
        /// About which address.
        flags: FibFlags,
        /// Into which register.
        dreg: Register,
    },
    /// Loads a constant.
    Immediate {
        /// Into which register.
        dreg: Register,
        /// The constant.
        data: Bytes,
    },
    /// Goes on below or above a rate.
    Limit(LimitCode),
    /// Writes a log entry.
    Log(LogCode),
    /// Goes on when the key is in a set; loads what it maps to.
    Lookup {
        /// Register of the key.
        sreg: Register,
        /// Register for what it maps to.
        dreg: Option<Register>,
        /// The set.
        set: LookupSet,
        /// Goes on when it is not in the set.
        inverted: Inverted,
    },
    /// Translates the source address to that of the outgoing interface.
    Masq {
        /// Registers of the ports.
        ports: RegisterRange,
        /// How.
        flags: u32,
    },
    /// Loads from the packet's metadata.
    Meta {
        /// What.
        key: MetaKey,
        /// Into which register.
        dreg: Register,
    },
    /// Sets metadata of the packet.
    MetaSet {
        /// What.
        key: MetaKey,
        /// From which register.
        sreg: Register,
    },
    /// Translates an address.
    Nat(NatCode),
    /// Excludes from connection tracking.
    Notrack,
    /// An expression of another kind, or with attributes, that have no meaning here; kept byte for
    /// byte.
    Opaque {
        /// The kernel's name for it.
        name: Box<str>,
        /// Its attributes (`NFTA_EXPR_DATA`).
        data: Box<[u8]>,
        /// The anonymous set that its attributes name, as it is named when it is sent.
        set: Option<Box<AnonymousSet>>,
    },
    /// Loads from the packet.
    Payload {
        /// Counted from where.
        base: PayloadBase,
        /// Offset in bytes.
        offset: u32,
        /// Length in bytes.
        len: u32,
        /// Into which register.
        dreg: Register,
    },
    /// Hands the packet to a program.
    Queue(QueueCode),
    /// Goes on when the value is outside (or inside) a range.
    Range {
        /// Compared register.
        sreg: Register,
        /// `Eq` inside, `Ne` outside.
        op: CmpOp,
        /// Lowest value.
        low: Bytes,
        /// Highest value.
        high: Bytes,
    },
    /// Redirects to this host.
    Redir {
        /// Registers of the ports.
        ports: RegisterRange,
        /// How.
        flags: u32,
    },
    /// Drops and tells the sender.
    Reject(RejectCode),
    /// Loads from the socket that would receive the packet.
    Socket {
        /// What.
        key: SocketKey,
        /// Into which register.
        dreg: Register,
    },
    /// Hands the packet to a transparent socket.
    Tproxy(TproxyCode),
    /// Ends the program with a verdict.
    Verdict(Verdict),
}

impl Expr {
    /// Of the attributes of this expression, the one that names a set and the one that numbers it
    /// in a transaction, when it has them (`enum nft_objref_attributes`, `enum
    /// nft_dynset_attributes`).
    pub(crate) fn set_attributes(name: &str) -> Option<(u16, u16)> {
        match name {
            "objref" => Some((4, 5)),
            "dynset" => Some((1, 2)),
            _ => None,
        }
    }

    /// The anonymous set that goes with it.
    pub(crate) fn anonymous_set(&self) -> Option<&AnonymousSet> {
        match self {
            Expr::Lookup { set: LookupSet::Anonymous(set), .. } | Expr::Opaque { set: Some(set), .. } => Some(set),
            _ => None,
        }
    }

    /// The kernel's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Expr::Bitwise(_) => "bitwise",
            Expr::Byteorder { .. } => "byteorder",
            Expr::Cmp { .. } => "cmp",
            Expr::Counter { .. } => "counter",
            Expr::Ct { .. } | Expr::CtSet { .. } => "ct",
            Expr::Fib { .. } => "fib",
            Expr::Immediate { .. } | Expr::Verdict(_) => "immediate",
            Expr::Limit(_) => "limit",
            Expr::Log(_) => "log",
            Expr::Lookup { .. } => "lookup",
            Expr::Masq { .. } => "masq",
            Expr::Meta { .. } | Expr::MetaSet { .. } => "meta",
            Expr::Nat(_) => "nat",
            Expr::Notrack => "notrack",
            Expr::Opaque { name, .. } => name,
            Expr::Payload { .. } => "payload",
            Expr::Queue(_) => "queue",
            Expr::Range { .. } => "range",
            Expr::Redir { .. } => "redir",
            Expr::Reject(_) => "reject",
            Expr::Socket { .. } => "socket",
            Expr::Tproxy(_) => "tproxy",
        }
    }
}

/// Whether a lookup goes on when the key is found or when it is not.
type Inverted = bool;
