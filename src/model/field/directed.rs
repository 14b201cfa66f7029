//! Properties of one direction of a connection.

use std::fmt;

use super::super::data_type::DataType;
use super::super::value::CtDirection;

/// A property of one direction of a connection: `ct original ip saddr`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a direction and a property")]
pub struct CtDirected {
    /// The direction.
    pub direction: CtDirection,
    /// The property.
    pub key: CtDirectedKey,
}

/// What each direction of a connection has for itself (`enum nft_ct_keys`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CtDirectedKey {
    /// Average bytes of a packet.
    Avgpkt,
    /// Bytes.
    Bytes,
    /// IPv4 destination address.
    IpDaddr,
    /// IPv4 source address.
    IpSaddr,
    /// IPv6 destination address.
    Ip6Daddr,
    /// IPv6 source address.
    Ip6Saddr,
    /// Packets.
    Packets,
    /// Destination port.
    ProtoDst,
    /// Source port.
    ProtoSrc,
    /// Zone.
    Zone,
}

impl CtDirectedKey {
    pub(crate) const ALL: [(CtDirectedKey, u32, &'static str); 10] = [
        (CtDirectedKey::ProtoSrc, 11, "proto-src"),
        (CtDirectedKey::ProtoDst, 12, "proto-dst"),
        (CtDirectedKey::Packets, 14, "packets"),
        (CtDirectedKey::Bytes, 15, "bytes"),
        (CtDirectedKey::Avgpkt, 16, "avgpkt"),
        (CtDirectedKey::Zone, 17, "zone"),
        (CtDirectedKey::IpSaddr, 19, "ip saddr"),
        (CtDirectedKey::IpDaddr, 20, "ip daddr"),
        (CtDirectedKey::Ip6Saddr, 21, "ip6 saddr"),
        (CtDirectedKey::Ip6Daddr, 22, "ip6 daddr"),
    ];

    /// Returns the kernel's number and nft's name.
    pub(crate) fn entry(self) -> (u32, &'static str) {
        let found = CtDirectedKey::ALL.iter().find(|(key, ..)| *key == self);
        found.map_or((0, ""), |(_, number, name)| (*number, name))
    }
}

impl CtDirected {
    pub(super) fn data_type(self) -> DataType {
        match self.key {
            CtDirectedKey::Avgpkt | CtDirectedKey::Bytes | CtDirectedKey::Packets => DataType::Integer { bytes: 8 },
            CtDirectedKey::IpDaddr | CtDirectedKey::IpSaddr => DataType::Ipv4,
            CtDirectedKey::Ip6Daddr | CtDirectedKey::Ip6Saddr => DataType::Ipv6,
            CtDirectedKey::ProtoDst | CtDirectedKey::ProtoSrc => DataType::Port,
            CtDirectedKey::Zone => DataType::Integer { bytes: 2 },
        }
    }
}

impl fmt::Display for CtDirected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            CtDirection::Original => "ct original ",
            CtDirection::Reply => "ct reply ",
        })?;
        f.write_str(self.key.entry().1)
    }
}
