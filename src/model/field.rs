//! What a rule can match: the fields of a packet, its socket and its connection.

use super::data_type::DataType;
use super::value::{EtherType, IcmpType, Icmpv6Type, Nfproto, Protocol};

mod directed;
mod exthdr;
mod fib;
mod generated;
mod ipsec;
mod osf;
mod payload;
mod socket;
mod table;

pub use directed::{CtDirected, CtDirectedKey};
pub use exthdr::{Exthdr, ExthdrOf, ExthdrPart};
pub use fib::{Fib, FibKey, FibResult};
pub use generated::{Numgen, NumgenMode, Symhash};
pub use ipsec::{Ipsec, IpsecDirection, IpsecKey};
pub use osf::{Osf, OsfKey, OsfTtl};
pub use payload::{RawBase, RawPayload};
pub use socket::SocketCgroup;

pub(crate) use table::field_table;

macro_rules! fields {
    ($($field:ident $method:ident($kind:ty) $name:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        /// A field of a packet, of the socket that sends or will receive it, or of its connection.
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Field {
            $(
                #[doc = concat!($doc, ".")]
                $(#[doc(alias = $alias)])?
                $field,
            )*
            /// A property of one direction of the connection.
            CtDirected(CtDirected),
            /// The events of the connection that are reported; it can only be set.
            #[doc(alias = "NFT_CT_EVENTMASK")]
            CtEvent,
            /// A part of an extension header, an option or a chunk, or whether it is there.
            Exthdr(Exthdr),
            /// A lookup in the routing tables.
            Fib(Fib),
            /// A property of the transformation (IPsec).
            Ipsec(Ipsec),
            /// Whether the packet is traced; it can only be set.
            #[doc(alias = "NFT_META_NFTRACE")]
            Nftrace,
            /// A number that counts up or is random.
            Numgen(Numgen),
            /// The operating system that sent a SYN.
            Osf(Osf),
            /// Bytes of a header by their place.
            Payload(RawPayload),
            /// An ancestor of the control group (version 2) of the packet's socket.
            SocketCgroup(SocketCgroup),
            /// A hash of the packet that is the same in both directions.
            Symhash(Symhash),
        }

        impl Field {
            /// Every field without parameters, those of one protocol before those of any.
            pub(crate) const ALL: &[Field] = &[$(Field::$field),*];

            /// Returns the type of its values.
            #[must_use]
            pub fn data_type(self) -> DataType {
                match self {
                    $(Field::$field => DataType::$type $({ bytes: $bytes })?,)*
                    Field::CtDirected(of) => of.data_type(),
                    Field::Exthdr(of) => of.data_type(),
                    Field::Fib(of) => of.data_type(),
                    Field::Ipsec(of) => of.data_type(),
                    Field::Numgen(_) | Field::Symhash(_) => DataType::Integer { bytes: 4 },
                    Field::Payload(of) => of.data_type(),
                    Field::CtEvent => DataType::CtEvent,
                    Field::Nftrace => DataType::Integer { bytes: 1 },
                    Field::Osf(_) => DataType::Text,
                    Field::SocketCgroup(_) => DataType::CgroupV2,
                }
            }

            /// Returns the field as nft(8) spells it: `meta skuid`, `ip saddr`, `ct state`; of a
            /// field with parameters its first words. `Display` prints all of it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                    Field::CtDirected(_) => "ct",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv4, .. }) => "ip option",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv6, .. }) => "exthdr",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Sctp, .. }) => "sctp chunk",
                    Field::Exthdr(Exthdr { of: ExthdrOf::Tcp, .. }) => "tcp option",
                    Field::Fib(_) => "fib",
                    Field::Ipsec(_) => "ipsec",
                    Field::Numgen(_) => "numgen",
                    Field::Payload(of) => of.base.entry().1,
                    Field::CtEvent => "ct event",
                    Field::Nftrace => "meta nftrace",
                    Field::Osf(_) => "osf",
                    Field::SocketCgroup(_) => "socket cgroupv2",
                    Field::Symhash(_) => "symhash",
                }
            }

            /// Returns the protocols that a packet must have to contain the field.
            pub(crate) fn needs(self) -> Needs {
                match self {
                    $(Field::$field => needs!($protocol),)*
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv4, .. }) => network(Nfproto::IPV4),
                    Field::Exthdr(Exthdr { of: ExthdrOf::Ipv6, .. }) => network(Nfproto::IPV6),
                    // nft adds no check of the transport protocol: without it there is no option.
                    _ => ANY,
                }
            }

            /// Returns the number of bits after it in its last byte, if it is not whole bytes.
            pub(crate) fn shift(self) -> Option<u32> {
                match self {
                    $(Field::$field => shift!($load($($from)*)),)*
                    Field::Exthdr(of) => of.part_of_byte().map(|(offset, bits)| (8 - (offset + bits) % 8) % 8),
                    _ => None,
                }
            }

            /// Returns its width in bits, if that is not whole bytes.
            pub(crate) fn bits(self) -> Option<u32> {
                match self {
                    $(Field::$field => bits!($load($($from)*)),)*
                    Field::Exthdr(of) => of.part_of_byte().map(|(_, bits)| bits),
                    _ => None,
                }
            }
        }
    };
}

/// The protocols that a packet must have to contain a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The link layer.
    pub(crate) link: Option<Link>,
    /// The network layer.
    pub(crate) network: Option<Nfproto>,
    /// The transport layer.
    pub(crate) transport: Option<Protocol>,
    /// The types that a message of ICMP or ICMPv6 must have one of; empty for any.
    pub(crate) message: &'static [u8],
}

/// A header of the link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Ether,
    /// With a VLAN tag, in an Ethernet frame.
    Vlan,
}

const ANY: Needs = Needs { link: None, network: None, transport: None, message: &[] };

const fn network(network: Nfproto) -> Needs {
    Needs { network: Some(network), ..ANY }
}

const fn transport(transport: Protocol) -> Needs {
    Needs { transport: Some(transport), ..ANY }
}

const fn icmp(message: &'static [u8]) -> Needs {
    Needs { network: Some(Nfproto::IPV4), transport: Some(Protocol::ICMP), message, ..ANY }
}

const fn icmpv6(message: &'static [u8]) -> Needs {
    Needs { network: Some(Nfproto::IPV6), transport: Some(Protocol::ICMPV6), message, ..ANY }
}

/// Resolves a protocol of the table.
macro_rules! needs {
    (any) => {
        ANY
    };
    (ah) => {
        transport(Protocol::AH)
    };
    (arp) => {
        network(Nfproto::ARP)
    };
    (comp) => {
        transport(Protocol::COMP)
    };
    (dccp) => {
        transport(Protocol::DCCP)
    };
    (esp) => {
        transport(Protocol::ESP)
    };
    (ether) => {
        Needs { link: Some(Link::Ether), ..ANY }
    };
    (icmp) => {
        icmp(&[])
    };
    (icmp_echo) => {
        icmp(&[IcmpType::ECHO_REQUEST.0, IcmpType::ECHO_REPLY.0])
    };
    (icmp_redirect) => {
        icmp(&[IcmpType::REDIRECT.0])
    };
    (icmp_unreachable) => {
        icmp(&[IcmpType::DESTINATION_UNREACHABLE.0])
    };
    (icmpv6) => {
        icmpv6(&[])
    };
    (icmpv6_echo) => {
        icmpv6(&[Icmpv6Type::ECHO_REQUEST.0, Icmpv6Type::ECHO_REPLY.0])
    };
    (icmpv6_query) => {
        icmpv6(&[Icmpv6Type::MLD_LISTENER_QUERY.0])
    };
    (icmpv6_too_big) => {
        icmpv6(&[Icmpv6Type::PACKET_TOO_BIG.0])
    };
    (igmp) => {
        Needs { network: Some(Nfproto::IPV4), ..transport(Protocol::IGMP) }
    };
    (ip) => {
        network(Nfproto::IPV4)
    };
    (ip6) => {
        network(Nfproto::IPV6)
    };
    (sctp) => {
        transport(Protocol::SCTP)
    };
    (tcp) => {
        transport(Protocol::TCP)
    };
    (udp) => {
        transport(Protocol::UDP)
    };
    (udplite) => {
        transport(Protocol::UDPLITE)
    };
    (vlan) => {
        Needs { link: Some(Link::Vlan), ..ANY }
    };
}

/// The width of a field of the table that is part of a byte.
macro_rules! bits {
    (bits($base:ident, $offset:literal, $bits:literal)) => {
        Some($bits)
    };
    ($load:ident($($from:tt)*)) => {
        None
    };
}

/// The bits after a field of the table that is part of a byte.
macro_rules! shift {
    (bits($base:ident, $offset:literal, $bits:literal)) => {
        Some((8 - ($offset + $bits) % 8) % 8)
    };
    ($load:ident($($from:tt)*)) => {
        None
    };
}

field_table!(fields);

impl Field {
    /// Returns whether it tells that something is there, which nft writes as `exists` and
    /// `missing`.
    pub(crate) fn is_presence(self) -> bool {
        matches!(
            self,
            Field::Exthdr(Exthdr { part: ExthdrPart::Exists, .. }) | Field::Fib(Fib { result: FibResult::Exists, .. })
        )
    }
}

/// A field with parameters.
macro_rules! with_parameters {
    ($($type:ident)*) => {
        $(
            impl From<$type> for Field {
                fn from(of: $type) -> Field {
                    Field::$type(of)
                }
            }
        )*
    };
}

with_parameters!(CtDirected Exthdr Fib Ipsec Numgen Osf SocketCgroup Symhash);

impl From<RawPayload> for Field {
    fn from(of: RawPayload) -> Field {
        Field::Payload(of)
    }
}

/// Returns the network layer of an Ethernet protocol.
pub(crate) fn network_of(protocol: EtherType) -> Option<Nfproto> {
    match protocol {
        EtherType::ARP => Some(Nfproto::ARP),
        EtherType::IP => Some(Nfproto::IPV4),
        EtherType::IP6 => Some(Nfproto::IPV6),
        _ => None,
    }
}

/// Returns the Ethernet protocol of a network layer.
pub(crate) fn ether_type_of(network: Nfproto) -> Option<EtherType> {
    [EtherType::ARP, EtherType::IP, EtherType::IP6].into_iter().find(|protocol| network_of(*protocol) == Some(network))
}
