//! Properties of the transformation (IPsec) that a packet came through or will go through.

use std::fmt;

use super::super::data_type::DataType;

/// A property of a transformation: `ipsec in reqid`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_xfrm")]
pub struct Ipsec {
    /// Of a received packet, or of one to send.
    pub direction: IpsecDirection,
    /// Which of several transformations, from 0.
    pub spnum: u8,
    /// The property.
    pub key: IpsecKey,
}

/// Whether a packet was received through a transformation or will be sent through one.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "in or out")]
pub enum IpsecDirection {
    /// Received.
    In,
    /// To send.
    Out,
}

/// A property of a transformation (`enum nft_xfrm_keys`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "enum nft_xfrm_keys")]
pub enum IpsecKey {
    /// IPv4 destination address of the tunnel.
    IpDaddr,
    /// IPv4 source address of the tunnel.
    IpSaddr,
    /// IPv6 destination address of the tunnel.
    Ip6Daddr,
    /// IPv6 source address of the tunnel.
    Ip6Saddr,
    /// Number of the request.
    Reqid,
    /// Index of the parameters.
    Spi,
}

impl IpsecKey {
    pub(crate) const ALL: [(IpsecKey, u32, &'static str); 6] = [
        (IpsecKey::IpDaddr, 1, "ip daddr"),
        (IpsecKey::Ip6Daddr, 2, "ip6 daddr"),
        (IpsecKey::IpSaddr, 3, "ip saddr"),
        (IpsecKey::Ip6Saddr, 4, "ip6 saddr"),
        (IpsecKey::Reqid, 5, "reqid"),
        (IpsecKey::Spi, 6, "spi"),
    ];

    /// Returns the kernel's number and nft's name.
    pub(crate) fn entry(self) -> (u32, &'static str) {
        let found = IpsecKey::ALL.iter().find(|(key, ..)| *key == self);
        found.map_or((0, ""), |(_, number, name)| (*number, name))
    }
}

impl Ipsec {
    pub(super) fn data_type(self) -> DataType {
        match self.key {
            IpsecKey::IpDaddr | IpsecKey::IpSaddr => DataType::Ipv4,
            IpsecKey::Ip6Daddr | IpsecKey::Ip6Saddr => DataType::Ipv6,
            IpsecKey::Reqid => DataType::Integer { bytes: 4 },
            IpsecKey::Spi => DataType::NetworkInteger { bytes: 4 },
        }
    }
}

impl fmt::Display for Ipsec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            IpsecDirection::In => "ipsec in ",
            IpsecDirection::Out => "ipsec out ",
        })?;
        if self.spnum != 0 {
            write!(f, "spnum {} ", self.spnum)?;
        }
        f.write_str(self.key.entry().1)
    }
}
