//! Constants of the network layer.

use super::{Number, numbers};

numbers! {
    /// Kind of an address as the routing tables see it (`RTN_*`, include/uapi/linux/rtnetlink.h).
    AddrType(u32) {
        /// `RTN_UNSPEC`.
        UNSPEC = 0 "unspec",
        /// A gateway or direct route.
        UNICAST = 1 "unicast",
        /// An address of this host.
        LOCAL = 2 "local",
        /// A broadcast address.
        BROADCAST = 3 "broadcast",
        /// An anycast address.
        ANYCAST = 4 "anycast",
        /// A multicast address.
        MULTICAST = 5 "multicast",
        /// Dropped by the routing table.
        BLACKHOLE = 6 "blackhole",
        /// Unreachable by the routing table.
        UNREACHABLE = 7 "unreachable",
        /// Prohibited by the routing table.
        PROHIBIT = 8 "prohibit",
    }
}

numbers! {
    /// Differentiated services code point (RFC 2474; the names are those of nft(8)).
    Dscp(u8) {
        /// Class selector 0, the default.
        CS0 = 0 "cs0",
        /// Class selector 1.
        CS1 = 0x08 "cs1",
        /// Class selector 2.
        CS2 = 0x10 "cs2",
        /// Class selector 3.
        CS3 = 0x18 "cs3",
        /// Class selector 4.
        CS4 = 0x20 "cs4",
        /// Class selector 5.
        CS5 = 0x28 "cs5",
        /// Class selector 6.
        CS6 = 0x30 "cs6",
        /// Class selector 7.
        CS7 = 0x38 "cs7",
        /// Lower effort.
        LEPHB = 0x01 "lephb",
        /// Assured forwarding 11.
        AF11 = 0x0a "af11",
        /// Assured forwarding 12.
        AF12 = 0x0c "af12",
        /// Assured forwarding 13.
        AF13 = 0x0e "af13",
        /// Assured forwarding 21.
        AF21 = 0x12 "af21",
        /// Assured forwarding 22.
        AF22 = 0x14 "af22",
        /// Assured forwarding 23.
        AF23 = 0x16 "af23",
        /// Assured forwarding 31.
        AF31 = 0x1a "af31",
        /// Assured forwarding 32.
        AF32 = 0x1c "af32",
        /// Assured forwarding 33.
        AF33 = 0x1e "af33",
        /// Assured forwarding 41.
        AF41 = 0x22 "af41",
        /// Assured forwarding 42.
        AF42 = 0x24 "af42",
        /// Assured forwarding 43.
        AF43 = 0x26 "af43",
        /// Voice admit.
        VA = 0x2c "va",
        /// Expedited forwarding.
        EF = 0x2e "ef",
    }
}

numbers! {
    /// Explicit congestion notification (RFC 3168, section 5).
    Ecn(u8) {
        /// Not capable.
        NOT_ECT = 0 "not-ect",
        /// Capable, codepoint 1.
        ECT1 = 1 "ect1",
        /// Capable, codepoint 0.
        ECT0 = 2 "ect0",
        /// Congestion experienced.
        CE = 3 "ce",
    }
}

numbers! {
    /// Network-layer family of a packet (`NFPROTO_*`, include/uapi/linux/netfilter.h).
    Nfproto(u8) {
        /// IPv4.
        IPV4 = 2 "ipv4",
        /// IPv6.
        IPV6 = 10 "ipv6",
    }
}

impl Nfproto {
    /// ARP, which nft(8) has no name for.
    pub(crate) const ARP: Nfproto = Nfproto(3);
}
