//! The types of fields, keys and data.

/// The enum, and the properties of each type in nft and the kernel: its name, its width in bytes,
/// whether the kernel stores it in host order or as in packets (`wire`), and its documentation.
macro_rules! data_types {
    ($($type:ident $name:literal: $bytes:literal, $order:ident, $doc:literal;)*) => {
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
                /// Width in bytes: 1, 2 or 4.
                bytes: u8,
            },
            /// `integer` of this many bytes as in a packet, the most significant first.
            NetworkInteger {
                /// Width in bytes: 1 to 4.
                bytes: u8,
            },
        }

        impl DataType {
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

data_types! {
    AddrType "fib_addrtype": 4, host, "4 bytes in host order";
    CtDirection "ct_dir": 1, wire, "1 byte";
    CtState "ct_state": 4, host, "4 bytes in host order";
    CtStatus "ct_status": 4, host, "4 bytes in host order";
    Gid "gid": 4, host, "4 bytes in host order";
    IcmpType "icmp_type": 1, wire, "1 byte";
    Icmpv6Type "icmpv6_type": 1, wire, "1 byte";
    Ifindex "iface_index": 4, host, "4 bytes in host order";
    Ifname "ifname": 16, wire, "16 bytes, NUL padded";
    Ipv4 "ipv4_addr": 4, wire, "4 bytes in network order";
    Ipv6 "ipv6_addr": 16, wire, "16 bytes in network order";
    Mark "mark": 4, host, "4 bytes in host order";
    Nfproto "nf_proto": 1, wire, "1 byte";
    PktType "pkt_type": 1, wire, "1 byte";
    Port "inet_service": 2, wire, "2 bytes in network order";
    Protocol "inet_proto": 1, wire, "1 byte";
    TcpFlags "tcp_flag": 1, wire, "1 byte";
    Uid "uid": 4, host, "4 bytes in host order";
}
