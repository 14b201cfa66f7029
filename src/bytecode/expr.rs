//! Expressions of nf_tables, by their kernel names.

use super::codes::*;
use super::data::Bytes;
use super::keys::{CmpOp, CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
use super::set::AnonymousSet;
use crate::model::{Name, Verdict};

/// One expression of a program.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expr {
    /// `dreg = (sreg & mask) ^ xor`.
    Bitwise(BitwiseCode),
    /// `dreg = (sreg & mask) ^ xor`, from one register to another.
    BitwiseTo(BitwiseToCode),
    /// Converts between host and network byte order.
    Byteorder {
        /// Register that is converted in place.
        reg: Register,
        /// Width of the value in bytes, which is one number.
        len: u32,
    },
    /// Converts numbers between host and network byte order, from one register to another.
    ByteorderTo(ByteorderToCode),
    /// Continues if the comparison holds.
    Cmp {
        /// Compared register.
        sreg: Register,
        /// The operator.
        op: CmpOp,
        /// The constant.
        data: Bytes,
    },
    /// Combines the bits of two registers; since Linux 6.13.
    Combine(CombineCode),
    /// Limits the number of connections, those of a set's element or all.
    Connlimit(ConnlimitCode),
    /// Counts packets and bytes.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Loads a property of the connection.
    Ct {
        /// The property.
        key: CtKey,
        /// Destination register.
        dreg: Register,
    },
    /// Loads a property of one direction of the connection.
    CtDirected(CtDirectedCode),
    /// Sets a property of one direction of the connection.
    CtDirectedSet(CtDirectedSetCode),
    /// Sets a property of the connection.
    CtSet {
        /// The property.
        key: CtKey,
        /// Source register.
        sreg: Register,
    },
    /// Sends a copy of the packet elsewhere.
    Dup(DupCode),
    /// Adds, updates or deletes an element of a set.
    Dynset(DynsetCode),
    /// Loads from an extension header of IPv6, an option of IPv4, TCP or DCCP, or a chunk of SCTP.
    Exthdr(ExthdrCode),
    /// Removes an option of TCP: overwrites it with ones that mean nothing.
    ExthdrReset(ExthdrResetCode),
    /// Writes to an option of TCP that is there.
    ExthdrSet(ExthdrSetCode),
    /// Looks up an address in the routing tables.
    Fib {
        /// The result to load.
        result: FibResult,
        /// The address to look up, and how.
        flags: FibFlags,
        /// Destination register.
        dreg: Register,
    },
    /// Sends the following packets of the connection past the rules.
    FlowOffload(FlowOffloadCode),
    /// Sends the packet out of another interface.
    Fwd(FwdCode),
    /// Loads a constant.
    Immediate {
        /// Destination register.
        dreg: Register,
        /// The constant.
        data: Bytes,
    },
    /// Loads from a packet in a tunnel.
    Inner(InnerCode),
    /// Loads a hash of a register.
    Jhash(JhashCode),
    /// Remembers when it was last met.
    Last(LastCode),
    /// Continues below or above a rate.
    Limit(LimitCode),
    /// Writes a log entry.
    Log(LogCode),
    /// Continues if the key is in a set; loads the value it maps to.
    Lookup {
        /// Register of the key.
        sreg: Register,
        /// Register for the value it maps to.
        dreg: Option<Register>,
        /// The set.
        set: LookupSet,
        /// Continues if the key is not in the set.
        inverted: Inverted,
    },
    /// Translates the source address to that of the outgoing interface.
    Masq {
        /// Registers of the ports.
        ports: RegisterRange,
        /// Options (`NF_NAT_RANGE_*`).
        flags: u32,
    },
    /// Loads from the packet's metadata.
    Meta {
        /// The key.
        key: MetaKey,
        /// Destination register.
        dreg: Register,
    },
    /// Sets metadata of the packet.
    MetaSet {
        /// The key.
        key: MetaKey,
        /// Source register.
        sreg: Register,
    },
    /// Translates an address.
    Nat(NatCode),
    /// Excludes from connection tracking.
    Notrack,
    /// Loads a number that counts up or is random.
    Numgen(NumgenCode),
    /// Passes the packet to a named object of the table.
    Objref(ObjrefCode),
    /// Passes the packet to the named object that a key maps to.
    ObjrefMap(ObjrefMapCode),
    /// An expression of a kind, or with attributes, that this crate does not understand; kept byte
    /// for byte.
    Opaque {
        /// The kernel's name for it.
        name: Box<str>,
        /// Its attributes (`NFTA_EXPR_DATA`).
        data: Box<[u8]>,
        /// The anonymous set that its attributes name; it is renamed when it is sent.
        set: Option<Box<AnonymousSet>>,
    },
    /// Loads the name of the operating system that sent the SYN, as its options tell.
    Osf(OsfCode),
    /// Loads from the packet.
    Payload {
        /// The header that the offset is counted from.
        base: PayloadBase,
        /// Offset in bytes.
        offset: u32,
        /// Length in bytes.
        len: u32,
        /// Destination register.
        dreg: Register,
    },
    /// Writes to the packet.
    PayloadSet(PayloadSetCode),
    /// Queues the packet to user space.
    Queue(QueueCode),
    /// Queues the packet to user space, to the queue in a register.
    QueueTo(QueueToCode),
    /// Continues until or once so many bytes were met.
    Quota(QuotaCode),
    /// Continues if the value is outside (or inside) a range.
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
        /// Options (`NF_NAT_RANGE_*`).
        flags: u32,
    },
    /// Drops the packet and notifies the sender.
    Reject(RejectCode),
    /// Loads a property of the packet's route.
    Rt(RtCode),
    /// Shifts the bits of a number that is in host order, in words of 4 bytes.
    Shift(ShiftCode),
    /// Loads from the socket that would receive the packet.
    Socket {
        /// The property.
        key: SocketKey,
        /// Destination register.
        dreg: Register,
    },
    /// Loads an ancestor of the control group of the socket that would receive the packet.
    SocketCgroup(SocketCgroupCode),
    /// Loads a hash of the packet that is the same in both directions, seeded by the running
    /// kernel.
    Symhash(SymhashCode),
    /// Answers a SYN in place of the receiver.
    Synproxy(SynproxyCode),
    /// Hands the packet to a transparent socket.
    Tproxy(TproxyCode),
    /// Loads a property of the tunnel that the packet came through.
    Tunnel(TunnelCode),
    /// Ends the program with a verdict.
    Verdict(Verdict),
    /// Loads a property of the packet's transformation (IPsec).
    Xfrm(XfrmCode),
}

impl Expr {
    /// Returns the attributes of the expression `name` that hold a set's name and its number in a
    /// transaction, if it has them (`enum nft_objref_attributes`, `enum nft_dynset_attributes`).
    pub(crate) fn set_attributes(name: &str) -> Option<(u16, u16)> {
        match name {
            "objref" => Some((4, 5)),
            "dynset" => Some((1, 2)),
            _ => None,
        }
    }

    /// Returns the anonymous set that belongs to the expression.
    pub(crate) fn anonymous_set(&self) -> Option<&AnonymousSet> {
        match self {
            Expr::Lookup { set: LookupSet::Anonymous(set), .. } | Expr::Opaque { set: Some(set), .. } => Some(set),
            Expr::Dynset(DynsetCode { anonymous, .. }) | Expr::ObjrefMap(ObjrefMapCode { anonymous, .. }) => {
                anonymous.as_deref()
            }
            _ => None,
        }
    }

    /// Returns the name of the set of its table that the expression uses, as far as that is known.
    pub(crate) fn named_set(&self) -> Option<&Name> {
        match self {
            Expr::Lookup { set: LookupSet::Named(set), .. }
            | Expr::Dynset(DynsetCode { set, anonymous: None, .. })
            | Expr::ObjrefMap(ObjrefMapCode { set, anonymous: None, .. }) => Some(set),
            _ => None,
        }
    }

    /// Returns the name of the object or flowtable that the expression uses, as far as that is
    /// known.
    pub(crate) fn object(&self) -> Option<&Name> {
        match self {
            Expr::Objref(ObjrefCode { name, .. }) | Expr::FlowOffload(FlowOffloadCode { table: name }) => Some(name),
            _ => None,
        }
    }

    /// Returns the kernel's name for the expression.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Expr::Dynset(_) => "dynset",
            Expr::Inner(_) => "inner",
            Expr::ObjrefMap(_) => "objref",
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
            plain => plain_name(plain).unwrap_or_default(),
        }
    }
}

/// Whether a lookup continues if the key is not found, instead of if it is.
type Inverted = bool;
