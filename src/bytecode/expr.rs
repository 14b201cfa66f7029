//! Expressions of nf_tables, by their kernel names.

use super::data::Bytes;
use super::set::AnonymousSet;
use crate::model::{Family4or6, NatFlags, NatKind, Verdict};

/// One expression of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// An expression of another kind, or with attributes, that have no meaning here; kept byte for byte.
    Opaque {
        /// The kernel's name for it.
        name: Box<str>,
        /// Its attributes (`NFTA_EXPR_DATA`).
        data: Box<[u8]>,
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

/// A register (`enum nft_registers`, include/uapi/linux/netfilter/nf_tables.h): 0 is the verdict, 1 to 4 hold 16 bytes, 8 to 23 hold 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register(pub u32);

impl Register {
    /// The verdict.
    pub const VERDICT: Register = Register(0);
    /// The first of 16 bytes, where everything starts.
    pub const FIRST: Register = Register(1);
    /// The second of 16 bytes.
    pub const SECOND: Register = Register(2);

    /// The register that starts at 4-byte slot `slot` of 16, as nft numbers it.
    #[must_use]
    pub fn at_slot(slot: u32) -> Register {
        if slot % 4 == 0 { Register(1 + slot / 4) } else { Register(8 + slot) }
    }

    /// The register with the kernel's number, which has two for each 16 bytes; `None` when there is no such register.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Register> {
        match number {
            0..=4 => Some(Register(number)),
            8..=23 => Some(Register::at_slot(number - 8)),
            _ => None,
        }
    }
}

/// Registers of a lowest and a highest value; the highest is the lowest when absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "two ends")]
pub struct RegisterRange {
    /// The lowest.
    pub min: Option<Register>,
    /// The highest.
    pub max: Option<Register>,
}

/// See [`Expr::Bitwise`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_bitwise, mask and xor")]
pub struct BitwiseCode {
    /// Register that is read and written.
    pub reg: Register,
    /// Bits that are kept.
    pub mask: Bytes,
    /// Bits that are flipped afterwards.
    pub xor: Bytes,
}

/// Operator of a comparison (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the operators of nft_cmp")]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
    /// Greater.
    Gt,
    /// Greater or equal.
    Ge,
}

impl CmpOp {
    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            CmpOp::Eq => 0,
            CmpOp::Ne => 1,
            CmpOp::Lt => 2,
            CmpOp::Le => 3,
            CmpOp::Gt => 4,
            CmpOp::Ge => 5,
        }
    }

    /// The operator with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge].into_iter().find(|op| op.number() == number)
    }
}

/// Numbers of the kernel that it may extend, with the names of those in use here.
macro_rules! keys {
    ($($(#[$doc:meta])* $type:ident { $($(#[$cdoc:meta])* $constant:ident = $number:literal,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $type(pub u32);

        impl $type {
            $($(#[$cdoc])* pub const $constant: $type = $type($number);)*
        }
    )* };
}

keys! {
    /// What a meta expression loads or sets (`enum nft_meta_keys`).
    MetaKey {
        /// Length of the packet.
        LEN = 0,
        /// Mark of the packet.
        MARK = 3,
        /// Index of the incoming interface.
        IIF = 4,
        /// Index of the outgoing interface.
        OIF = 5,
        /// Name of the incoming interface.
        IIFNAME = 6,
        /// Name of the outgoing interface.
        OIFNAME = 7,
        /// User of the socket.
        SKUID = 10,
        /// Group of the socket.
        SKGID = 11,
        /// Whether the packet is traced.
        NFTRACE = 12,
        /// Network-layer family.
        NFPROTO = 15,
        /// Transport-layer protocol.
        L4PROTO = 16,
        /// Link-layer packet type.
        PKTTYPE = 19,
        /// Control group of the socket.
        CGROUP = 23,
    }
    /// What a ct expression loads or sets (`enum nft_ct_keys`).
    CtKey {
        /// State.
        STATE = 0,
        /// Direction.
        DIRECTION = 1,
        /// Status bits.
        STATUS = 2,
        /// Mark.
        MARK = 3,
        /// Zone.
        ZONE = 17,
    }
    /// What a socket expression loads (`enum nft_socket_keys`).
    SocketKey {
        /// Transparent.
        TRANSPARENT = 0,
        /// Mark.
        MARK = 1,
        /// Bound to the unspecified address.
        WILDCARD = 2,
    }
    /// What a payload expression counts from (`enum nft_payload_bases`).
    PayloadBase {
        /// Link-layer header.
        LINK = 0,
        /// Network-layer header.
        NETWORK = 1,
        /// Transport-layer header.
        TRANSPORT = 2,
    }
    /// What a fib expression answers (`enum nft_fib_result`).
    FibResult {
        /// Kind of the address.
        ADDRTYPE = 3,
    }
    /// What a fib expression asks about (`enum nft_fib_flags`).
    FibFlags {
        /// The destination address.
        DADDR = 2,
    }
}

/// Which set a lookup uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "nf_tables has these two")]
pub enum LookupSet {
    /// One that belongs to the rule, with its elements.
    Anonymous(Box<AnonymousSet>),
    /// One of the table.
    Named(crate::model::Name),
}

/// See [`Expr::Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_limit")]
pub struct LimitCode {
    /// Packets or bytes per unit.
    pub rate: u64,
    /// Unit in seconds.
    pub unit: u64,
    /// What may come at once.
    pub burst: u32,
    /// 0 packets, 1 bytes (`enum nft_limit_type`).
    pub kind: u32,
    /// 1: matches above the rate (`NFT_LIMIT_F_INV`).
    pub flags: u32,
}

/// See [`Expr::Log`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_log")]
pub struct LogCode {
    /// Text in front.
    pub prefix: Option<Box<str>>,
    /// Severity, to the kernel log.
    pub level: Option<u32>,
    /// Netlink group.
    pub group: Option<u16>,
    /// Bytes of the packet.
    pub snaplen: Option<u32>,
    /// Packets collected.
    pub queue_threshold: Option<u16>,
    /// What else (`NF_LOG_*`).
    pub flags: u32,
}

/// See [`Expr::Nat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_nat")]
pub struct NatCode {
    /// Source or destination.
    pub kind: NatKind,
    /// Of which family; that of the packet when absent, in an inet table.
    pub family: Option<Family4or6>,
    /// Registers of the addresses.
    pub addresses: RegisterRange,
    /// Registers of the ports.
    pub ports: RegisterRange,
    /// How (`NF_NAT_RANGE_*`).
    pub flags: u32,
}

/// `NF_NAT_RANGE_PROTO_SPECIFIED`: a port was given.
pub(crate) const PORTS_GIVEN: u32 = 2;

/// The kernel's flags for a translation with or without ports.
pub(crate) fn nat_flags(flags: NatFlags, ports: RegisterRange) -> u32 {
    flags.bits() | if ports.min.is_some() { PORTS_GIVEN } else { 0 }
}

/// See [`Expr::Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_queue")]
pub struct QueueCode {
    /// First queue.
    pub num: u16,
    /// How many queues.
    pub total: u16,
    /// How.
    pub flags: u16,
}

/// See [`Expr::Reject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_reject")]
pub struct RejectCode {
    /// 0 ICMP or ICMPv6 by the table, 1 TCP reset, 2 either by the packet (`enum nft_reject_types`).
    pub kind: u32,
    /// ICMP code.
    pub code: u8,
}

/// See [`Expr::Tproxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "nft_tproxy")]
pub struct TproxyCode {
    /// Only packets of this family.
    pub family: Option<Family4or6>,
    /// Register of the address.
    pub address: Option<Register>,
    /// Register of the port.
    pub port: Option<Register>,
}
