//! The types of fields, keys and data.

/// Passes the table of types to a macro: for each type of [`DataType`] that has a
/// [`Value`](super::Value) of the same name, nft's name and number (`enum datatypes`, nftables
/// include/datatype.h, v1.0.6), its width in bytes, whether the kernel keeps it in host order or as
/// in packets (`wire`), and its documentation.
macro_rules! type_table {
    ($with:ident) => {
        $with! {
            AddrType "fib_addrtype" 38: 4, host, "4 bytes in host order";
            ArpOp "arp_op" 11: 2, wire, "2 bytes in network order";
            Bitmask "bitmask" 3: 1, wire, "1 byte of bits without names";
            Boolean "boolean" 39: 1, wire, "1 byte";
            CgroupV2 "cgroupsv2" 46: 8, host, "8 bytes in host order";
            Classid "classid" 23: 4, host, "4 bytes in host order";
            CtDirection "ct_dir" 27: 1, wire, "1 byte";
            CtEvent "ct_event" 40: 4, host, "4 bytes in host order";
            CtLabel "ct_label" 30: 16, host, "16 bytes in host order";
            CtState "ct_state" 26: 4, host, "4 bytes in host order";
            CtStatus "ct_status" 28: 4, host, "4 bytes in host order";
            Date "time" 43: 8, host, "8 bytes in host order";
            Day "day" 45: 1, wire, "1 byte";
            DccpType "dccp_pkttype" 16: 1, wire, "4 bits";
            Devgroup "devgroup" 35: 4, host, "4 bytes in host order";
            Dscp "dscp" 36: 1, wire, "6 bits";
            Duration "time" 18: 4, host, "4 bytes in host order";
            Ecn "ecn" 37: 1, wire, "2 bits";
            EtherAddr "ether_addr" 9: 6, wire, "6 bytes";
            EtherType "ether_type" 10: 2, wire, "2 bytes in network order";
            Gid "gid" 25: 4, host, "4 bytes in host order";
            Hour "hour" 44: 4, host, "4 bytes in host order";
            IcmpCode "icmp_code" 32: 1, wire, "1 byte";
            IcmpType "icmp_type" 14: 1, wire, "1 byte";
            Icmpv6Code "icmpv6_code" 33: 1, wire, "1 byte";
            Icmpv6Type "icmpv6_type" 29: 1, wire, "1 byte";
            IfaceType "iface_type" 21: 2, host, "2 bytes in host order";
            Ifindex "iface_index" 20: 4, host, "4 bytes in host order";
            Ifname "ifname" 41: 16, wire, "16 bytes, NUL padded";
            IgmpType "igmp_type" 42: 1, wire, "1 byte";
            Ipv4 "ipv4_addr" 7: 4, wire, "4 bytes in network order";
            Ipv6 "ipv6_addr" 8: 16, wire, "16 bytes in network order";
            Mark "mark" 19: 4, host, "4 bytes in host order";
            MhType "mh_type" 17: 1, wire, "1 byte";
            Nfproto "nf_proto" 2: 1, wire, "1 byte";
            PktType "pkt_type" 31: 1, wire, "1 byte";
            Port "inet_service" 13: 2, wire, "2 bytes in network order";
            Protocol "inet_proto" 12: 1, wire, "1 byte";
            Realm "realm" 22: 4, host, "4 bytes in host order";
            TcpFlags "tcp_flag" 15: 1, wire, "1 byte";
            Text "string" 5: 16, wire, "16 bytes, NUL padded";
            Uid "uid" 24: 4, host, "4 bytes in host order";
        }
    };
}

pub(super) use type_table;

/// The enum, and the properties of each type.
macro_rules! data_types {
    ($($type:ident $name:literal $number:literal: $bytes:literal, $order:ident, $doc:literal;)*) => {
        /// Type of a field or of a set's key or data, as in `type ipv4_addr . inet_service`.
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DataType {
            $(
                #[doc = concat!("`", $name, "`, ", $doc, ".")]
                $type,
            )*
            /// `integer` of this many bytes in host order.
            Integer {
                /// Width in bytes: 1, 2, 4, 8 or 16.
                bytes: u8,
            },
            /// `integer` of this many bytes as in a packet, the most significant first.
            NetworkInteger {
                /// Width in bytes: 1 to 16.
                bytes: u8,
            },
        }

        impl DataType {
            /// Every type but the plain numbers.
            pub(crate) const NAMED: &[DataType] = &[$(DataType::$type),*];

            /// Returns the width in bytes.
            #[must_use]
            pub fn bytes(self) -> usize {
                match self {
                    $(DataType::$type => $bytes,)*
                    DataType::Integer { bytes } | DataType::NetworkInteger { bytes } => usize::from(bytes),
                }
            }

            /// Returns whether the kernel stores it in host byte order, so that a comparison by
            /// order needs a conversion first.
            #[must_use]
            pub fn is_host_order(self) -> bool {
                match self {
                    $(DataType::$type => is_host!($order),)*
                    DataType::Integer { .. } => true,
                    DataType::NetworkInteger { .. } => false,
                }
            }

            /// Returns the name that nft(8) uses in `type ...`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(DataType::$type => $name,)*
                    DataType::Integer { .. } | DataType::NetworkInteger { .. } => "integer",
                }
            }

            /// Returns nft(8)'s number of the type, by which the kernel and the userdata of sets
            /// know it.
            pub(crate) fn number(self) -> u32 {
                match self {
                    $(DataType::$type => $number,)*
                    DataType::Integer { .. } | DataType::NetworkInteger { .. } => 4,
                }
            }
        }
    };
}

macro_rules! is_host {
    (host) => {
        true
    };
    (wire) => {
        false
    };
}

type_table!(data_types);
