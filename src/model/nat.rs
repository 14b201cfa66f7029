//! Address translation and transparent proxying: where a packet goes instead.

use std::net::IpAddr;

/// Ports from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "two ends")]
pub struct PortRange {
    /// The lowest port.
    pub low: u16,
    /// The highest port.
    pub high: u16,
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        PortRange { low: port, high: port }
    }
}

impl From<std::ops::RangeInclusive<u16>> for PortRange {
    fn from(ports: std::ops::RangeInclusive<u16>) -> Self {
        let (low, high) = ports.into_inner();
        PortRange { low, high }
    }
}

bitflags::bitflags! {
    /// How network address translation chooses (`NF_NAT_RANGE_*`, include/uapi/linux/netfilter/nf_nat.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct NatFlags: u32 {
        /// A port by hash of the connection.
        const RANDOM = 0x4;
        /// The same client gets the same address.
        const PERSISTENT = 0x8;
        /// A port at random.
        const FULLY_RANDOM = 0x10;
    }
}

/// Source or destination network address translation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Nat {
    /// Which address is translated.
    pub kind: NatKind,
    /// Family; in an inet table that of the packet, when neither this nor an address says it.
    pub family: Option<IpFamily>,
    /// Lowest and highest address to choose from.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Ports to choose from; needs a match on a transport protocol.
    pub ports: Option<PortRange>,
    /// How they are chosen.
    pub flags: NatFlags,
}

/// Which address is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "source or destination")]
pub enum NatKind {
    /// The destination.
    Dnat,
    /// The source.
    Snat,
}

impl Nat {
    /// Translates the destination address.
    #[must_use]
    pub fn dnat() -> Self {
        Nat { kind: NatKind::Dnat, family: None, addresses: None, ports: None, flags: NatFlags::empty() }
    }

    /// Translates the source address.
    #[must_use]
    pub fn snat() -> Self {
        Nat { kind: NatKind::Snat, ..Nat::dnat() }
    }

    /// To this address.
    #[must_use]
    pub fn to(self, address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        self.to_range(address, address)
    }

    /// To an address between these two.
    #[must_use]
    pub fn to_range(mut self, low: impl Into<IpAddr>, high: impl Into<IpAddr>) -> Self {
        let (low, high) = (low.into(), high.into());
        self.family = Some(IpFamily::of(low));
        self.addresses = Some((low, high));
        self
    }

    /// To these ports.
    #[must_use]
    pub fn ports(mut self, ports: impl Into<PortRange>) -> Self {
        self.ports = Some(ports.into());
        self
    }

    /// In this family, when no address says it.
    #[must_use]
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = Some(family);
        self
    }

    /// Chosen so.
    #[must_use]
    pub fn flags(mut self, flags: NatFlags) -> Self {
        self.flags = flags;
        self
    }
}

/// IPv4 or IPv6, where both would be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these two")]
pub enum IpFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl IpFamily {
    /// The kernel's number (`NFPROTO_*`, include/uapi/linux/netfilter.h), which is also that of its
    /// addresses (`AF_*`).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            IpFamily::Ipv4 => 2,
            IpFamily::Ipv6 => 10,
        }
    }

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => IpFamily::Ipv4,
            IpAddr::V6(_) => IpFamily::Ipv6,
        }
    }
}

/// Hands a packet to a transparent socket. Without a listener the rule ends and the packet goes on:
/// put a `drop` with the same matches behind it to fail closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Tproxy {
    /// Only packets of this family; both when absent.
    pub family: Option<IpFamily>,
    /// Address the socket listens on; that of the incoming interface when absent.
    pub address: Option<IpAddr>,
    /// Port it listens on; the packet's own when absent.
    pub port: Option<u16>,
}

impl Tproxy {
    /// To the listener on this port, whatever its address and family.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Tproxy { family: None, address: None, port: Some(port) }
    }

    /// To the listener on this address and, if given, port.
    pub fn to(address: impl Into<IpAddr>, port: Option<u16>) -> Self {
        let address = address.into();
        Tproxy { family: Some(IpFamily::of(address)), address: Some(address), port }
    }

    /// Only packets of this family.
    #[must_use]
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = Some(family);
        self
    }
}
