//! Registers, operators, and the kernel's numbers for what an expression loads or sets.

/// A register (`enum nft_registers`, include/uapi/linux/netfilter/nf_tables.h): 0 is the verdict, 1
/// to 4 hold 16 bytes, 8 to 23 hold 4.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register(pub u32);

impl Register {
    /// The verdict.
    pub const VERDICT: Register = Register(0);
    /// The first register of 16 bytes, where nearly every program starts.
    pub const FIRST: Register = Register(1);
    /// The second register of 16 bytes.
    pub const SECOND: Register = Register(2);

    /// Returns the register that starts at 4-byte slot `slot` of 16, as nft numbers it.
    #[must_use]
    pub fn at_slot(slot: u32) -> Register {
        if slot % 4 == 0 { Register(1 + slot / 4) } else { Register(8 + slot) }
    }

    /// Returns the register with the kernel's number, which has two for each 16 bytes; `None` if
    /// there is no such register.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Register> {
        match number {
            0..=4 => Some(Register(number)),
            8..=23 => Some(Register::at_slot(number - 8)),
            _ => None,
        }
    }
}

/// Operator of a comparison (`enum nft_cmp_ops`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Returns the kernel's number.
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

    /// Returns the operator with that number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge].into_iter().find(|op| op.number() == number)
    }
}

/// Defines a set of numbers that the kernel may extend, with names for those in use here.
macro_rules! keys {
    ($($(#[$doc:meta])* $type:ident { $($(#[$cdoc:meta])* $constant:ident = $number:literal,)* })*) => { $(
        $(#[$doc])*
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u32);

        impl $type {
            $($(#[$cdoc])* pub const $constant: $type = $type($number);)*
        }
    )* };
}

keys! {
    /// The property that a meta expression loads or sets (`enum nft_meta_keys`).
    MetaKey {
        /// Length of the packet.
        LEN = 0,
        /// Protocol of the network layer.
        PROTOCOL = 1,
        /// Priority, a class of traffic control.
        PRIORITY = 2,
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
        /// Type of the incoming interface.
        IIFTYPE = 8,
        /// Type of the outgoing interface.
        OIFTYPE = 9,
        /// User of the socket.
        SKUID = 10,
        /// Group of the socket.
        SKGID = 11,
        /// Whether the packet is traced.
        NFTRACE = 12,
        /// Realm of the route.
        RTCLASSID = 13,
        /// Security mark.
        SECMARK = 14,
        /// Network-layer family.
        NFPROTO = 15,
        /// Transport-layer protocol.
        L4PROTO = 16,
        /// Name of the incoming bridge.
        BRI_IIFNAME = 17,
        /// Name of the outgoing bridge.
        BRI_OIFNAME = 18,
        /// Link-layer packet type.
        PKTTYPE = 19,
        /// Processor.
        CPU = 20,
        /// Group of the incoming interface.
        IIFGROUP = 21,
        /// Group of the outgoing interface.
        OIFGROUP = 22,
        /// Control group of the socket.
        CGROUP = 23,
        /// A random number.
        PRANDOM = 24,
        /// Whether IPsec decrypted the packet.
        SECPATH = 25,
        /// Kind of the incoming interface.
        IIFKIND = 26,
        /// Kind of the outgoing interface.
        OIFKIND = 27,
        /// VLAN of the incoming bridge port.
        BRI_IIFPVID = 28,
        /// VLAN protocol of the incoming bridge.
        BRI_IIFVPROTO = 29,
        /// Moment in nanoseconds since 1970.
        TIME_NS = 30,
        /// Day of the week.
        TIME_DAY = 31,
        /// Second of the day.
        TIME_HOUR = 32,
        /// Index of the interface before its VRF.
        SDIF = 33,
        /// Name of the interface before its VRF.
        SDIFNAME = 34,
    }
    /// The property that a ct expression loads or sets (`enum nft_ct_keys`).
    CtKey {
        /// State.
        STATE = 0,
        /// Direction.
        DIRECTION = 1,
        /// Status bits.
        STATUS = 2,
        /// Mark.
        MARK = 3,
        /// Security mark.
        SECMARK = 4,
        /// Time until it is forgotten.
        EXPIRATION = 5,
        /// Name of its helper.
        HELPER = 6,
        /// Network-layer family.
        L3PROTOCOL = 7,
        /// Transport-layer protocol.
        PROTOCOL = 10,
        /// Labels.
        LABELS = 13,
        /// Packets.
        PKTS = 14,
        /// Bytes.
        BYTES = 15,
        /// Average bytes of a packet.
        AVGPKT = 16,
        /// Zone.
        ZONE = 17,
        /// Events that are reported.
        EVENTMASK = 18,
        /// Its number.
        ID = 23,
    }
    /// The property that a socket expression loads (`enum nft_socket_keys`).
    SocketKey {
        /// Whether the socket is transparent.
        TRANSPARENT = 0,
        /// Mark of the socket.
        MARK = 1,
        /// Whether the socket is bound to the unspecified address.
        WILDCARD = 2,
    }
    /// The header from which a payload expression counts (`enum nft_payload_bases`).
    PayloadBase {
        /// Link-layer header.
        LINK = 0,
        /// Network-layer header.
        NETWORK = 1,
        /// Transport-layer header.
        TRANSPORT = 2,
    }
    /// The result of a fib expression (`enum nft_fib_result`).
    FibResult {
        /// Index of the interface.
        OIF = 1,
        /// Name of the interface.
        OIFNAME = 2,
        /// Type of the address.
        ADDRTYPE = 3,
    }
    /// The address that a fib expression looks up, and how (`enum nft_fib_flags`).
    FibFlags {
        /// The source address.
        SADDR = 1,
        /// The destination address.
        DADDR = 2,
        /// Looks up with the mark of the packet.
        MARK = 4,
        /// Considers only the incoming interface.
        IIF = 8,
        /// Considers only the outgoing interface.
        OIF = 16,
        /// Returns only whether there is an interface.
        PRESENT = 32,
    }
}
