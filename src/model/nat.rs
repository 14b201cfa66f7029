//! Address translation and transparent proxying.

use super::operand::SetRef;
use super::selector::Selector;
use std::net::IpAddr;

/// Ports from `low` to `high`, both included.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// How network address translation chooses addresses and ports (`NF_NAT_RANGE_*`,
    /// include/uapi/linux/netfilter/nf_nat.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct NatFlags: u32 {
        /// A port by a hash of the connection.
        const RANDOM = 0x4;
        /// The same address for the same client.
        const PERSISTENT = 0x8;
        /// A random port.
        const FULLY_RANDOM = 0x10;
        /// The bits of the address after a prefix stay: `snat prefix to 10.0.0.0/8`.
        const NETMAP = 0x40;
    }
}

/// Source or destination network address translation.
///
/// ```
/// use std::net::Ipv4Addr;
///
/// use nftmesh::prelude::*;
///
/// let web = Nat::dnat().to(Ipv4Addr::new(10, 0, 0, 2)).ports(80);
/// assert_eq!(Rule::new().tcp_dport(8080).nat(web).to_string(), "tcp dport 8080 dnat ip to 10.0.0.2:80");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Nat {
    /// Which address is translated.
    pub kind: NatKind,
    /// The family; in an inet table that of the packet, when neither this nor an address
    /// determines it.
    pub family: Option<IpFamily>,
    /// The lowest and highest address to choose from.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Where the address comes from instead.
    pub computed: Option<Box<Computed>>,
    /// The ports to choose from; needs a match on a transport protocol.
    pub ports: Option<Ports>,
    /// How addresses and ports are chosen.
    pub flags: NatFlags,
}

/// An address, a port or an interface that is not the same for every packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "looked up or computed")]
pub enum Computed {
    /// Computed from fields: `numgen inc mod 8 offset 8000`.
    From(Selector),
    /// Looked up: `ip saddr map { 10.0.0.1 : 192.0.2.1 }`; the rule ends if nothing is found.
    Map {
        /// The fields to look up.
        selector: Selector,
        /// The map.
        map: SetRef,
    },
}

impl Computed {
    /// Returns the fields that it reads or looks up.
    #[must_use]
    pub fn selector(&self) -> &Selector {
        match self {
            Computed::From(selector) | Computed::Map { selector, .. } => selector,
        }
    }

    /// Returns the map in which it is looked up.
    #[must_use]
    pub fn map(&self) -> Option<&SetRef> {
        match self {
            Computed::From(_) => None,
            Computed::Map { map, .. } => Some(map),
        }
    }
}

impl Computed {
    pub(crate) fn map_mut(&mut self) -> Option<&mut SetRef> {
        match self {
            Computed::From(_) => None,
            Computed::Map { map, .. } => Some(map),
        }
    }
}

/// Ports to choose from.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "constant or computed")]
pub enum Ports {
    /// One that depends on the packet: `tcp dport map { 22 : 8022 }`.
    Computed(Box<Computed>),
    /// Constants.
    Range(PortRange),
}

impl Ports {
    /// Returns the ports, if they are constants.
    #[must_use]
    pub fn range(&self) -> Option<PortRange> {
        match self {
            Ports::Computed(_) => None,
            Ports::Range(range) => Some(*range),
        }
    }

    pub(crate) fn map(&self) -> Option<&SetRef> {
        self.computed().and_then(Computed::map)
    }

    pub(crate) fn map_mut(&mut self) -> Option<&mut SetRef> {
        match self {
            Ports::Computed(computed) => computed.map_mut(),
            Ports::Range(_) => None,
        }
    }

    /// Returns where the port comes from, if it is no constant.
    #[must_use]
    pub fn computed(&self) -> Option<&Computed> {
        match self {
            Ports::Computed(computed) => Some(computed),
            Ports::Range(_) => None,
        }
    }
}

impl<T: Into<PortRange>> From<T> for Ports {
    fn from(range: T) -> Self {
        Ports::Range(range.into())
    }
}

impl From<Computed> for Ports {
    fn from(computed: Computed) -> Self {
        Ports::Computed(Box::new(computed))
    }
}

/// Which address is translated.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
        Nat {
            kind: NatKind::Dnat,
            family: None,
            addresses: None,
            computed: None,
            ports: None,
            flags: NatFlags::empty(),
        }
    }

    /// Translates the source address.
    #[must_use]
    pub fn snat() -> Self {
        Nat { kind: NatKind::Snat, ..Nat::dnat() }
    }

    /// Sets the new address.
    #[must_use]
    pub fn to(self, address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        self.to_range(address, address)
    }

    /// Sets a range from which the new address is chosen.
    #[must_use]
    pub fn to_range(mut self, low: impl Into<IpAddr>, high: impl Into<IpAddr>) -> Self {
        let (low, high) = (low.into(), high.into());
        self.family = Some(IpFamily::of(low));
        self.addresses = Some((low, high));
        self
    }

    /// Looks the new address up: `dnat ip to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }`.
    #[must_use]
    pub fn to_map(mut self, family: IpFamily, selector: impl Into<Selector>, map: SetRef) -> Self {
        self.family = Some(family);
        self.computed = Some(Box::new(Computed::Map { selector: selector.into(), map }));
        self
    }

    /// Computes the new address: `dnat to numgen inc mod 255 offset 0x0a000001`.
    #[must_use]
    pub fn to_computed(mut self, family: IpFamily, selector: impl Into<Selector>) -> Self {
        self.family = Some(family);
        self.computed = Some(Box::new(Computed::From(selector.into())));
        self
    }

    /// Sets the new ports.
    #[must_use]
    pub fn ports(mut self, ports: impl Into<Ports>) -> Self {
        self.ports = Some(ports.into());
        self
    }

    /// Sets the family, when no address determines it.
    #[must_use]
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = Some(family);
        self
    }

    /// Sets how addresses and ports are chosen.
    #[must_use]
    pub fn flags(mut self, flags: NatFlags) -> Self {
        self.flags = flags;
        self
    }
}

/// IPv4 or IPv6, where both at once are impossible.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "these two")]
pub enum IpFamily {
    /// IPv4.
    #[doc(alias = "V4")]
    Ipv4,
    /// IPv6.
    #[doc(alias = "V6")]
    Ipv6,
}

impl IpFamily {
    /// Returns the kernel's number (`NFPROTO_*`, include/uapi/linux/netfilter.h), which equals
    /// that of its addresses (`AF_*`).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            IpFamily::Ipv4 => 2,
            IpFamily::Ipv6 => 10,
        }
    }

    /// Returns the family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => IpFamily::Ipv4,
            IpAddr::V6(_) => IpFamily::Ipv6,
        }
    }
}

/// Diverts a packet to a transparent socket. Without a listener the rule ends and the packet
/// continues: to fail closed, add a `drop` with the same matches after it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Tproxy {
    /// Only packets of this family; both when absent.
    pub family: Option<IpFamily>,
    /// The address that the socket listens on; that of the incoming interface when absent.
    pub address: Option<IpAddr>,
    /// The port that it listens on; the packet's own when absent.
    pub port: Option<u16>,
}

impl Tproxy {
    /// Selects the listener on this port, whatever its address and family.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Tproxy { family: None, address: None, port: Some(port) }
    }

    /// Selects the listener on this address and, if given, port.
    pub fn to(address: impl Into<IpAddr>, port: Option<u16>) -> Self {
        let address = address.into();
        Tproxy { family: Some(IpFamily::of(address)), address: Some(address), port }
    }

    /// Selects only packets of this family.
    #[must_use]
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = Some(family);
        self
    }
}
