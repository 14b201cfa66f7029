//! The configuration of a pod, and its builder, which checks it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Result;
use crate::mesh::InterfacePattern;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::interface::merged;

/// What is captured in a pod in ambient mode. Every value is checked; see
/// [`builder`](AmbientConfig::builder) and [`AmbientNode::pod`](super::AmbientNode::pod).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AmbientConfig {
    pub(super) given: AmbientConfigBuilder,
}

impl AmbientConfig {
    /// Returns a builder with the values of Istio's chart: inbound and outbound TCP and DNS, of
    /// both families.
    pub fn builder() -> AmbientConfigBuilder {
        AmbientConfigBuilder {
            dns_capture: true,
            inbound: Inbound::Captured,
            ipv6: true,
            probe_v4: PROBE_V4,
            probe_v6: PROBE_V6,
            virtual_interfaces: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns warnings about what was given without effect, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.given.warnings
    }
}

/// Whether a pod's inbound TCP is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "captured or not")]
pub enum Inbound {
    /// It is not: ingress mode, for a pod that takes traffic from outside the mesh.
    Bypassed,
    /// It is, but for probes of the node.
    #[default]
    Captured,
}

/// Collects an [`AmbientConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct AmbientConfigBuilder {
    pub(super) dns_capture: bool,
    pub(super) inbound: Inbound,
    pub(super) ipv6: bool,
    pub(super) probe_v4: Ipv4Addr,
    pub(super) probe_v6: Ipv6Addr,
    pub(super) virtual_interfaces: Vec<InterfacePattern>,
    pub(super) warnings: Vec<String>,
}

impl AmbientConfigBuilder {
    /// Sets whether DNS is captured.
    pub fn dns_capture(self, dns_capture: bool) -> Self {
        AmbientConfigBuilder { dns_capture, ..self }
    }

    /// Sets whether inbound TCP is captured.
    pub fn inbound(self, inbound: Inbound) -> Self {
        AmbientConfigBuilder { inbound, ..self }
    }

    /// Sets whether IPv6 is captured besides IPv4. Without it IPv6 is untouched.
    pub fn ipv6(self, ipv6: bool) -> Self {
        AmbientConfigBuilder { ipv6, ..self }
    }

    /// Sets the address from which the node connects to pods.
    pub fn probe_v4(self, probe_v4: Ipv4Addr) -> Self {
        AmbientConfigBuilder { probe_v4, ..self }
    }

    /// Sets the IPv6 address from which the node connects to pods.
    pub fn probe_v6(self, probe_v6: Ipv6Addr) -> Self {
        AmbientConfigBuilder { probe_v6, ..self }
    }

    /// Sets the interfaces of virtual machines: TCP that comes in on them is outbound.
    pub fn virtual_interfaces(self, interfaces: impl IntoIterator<Item = InterfacePattern>) -> Self {
        AmbientConfigBuilder { virtual_interfaces: merged(interfaces.into_iter().collect()), ..self }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for a probe address that no connection can have as
    /// its source.
    pub fn build(self) -> Result<AmbientConfig> {
        checked_source("probe_v4", self.probe_v4)?;
        checked_source("probe_v6", self.probe_v6)?;
        Ok(AmbientConfig { given: self })
    }
}

/// Rejects addresses that no packet from another host has as its source.
pub(super) fn checked_source<A: Copy + Into<IpAddr>>(name: &str, address: A) -> std::result::Result<A, Invalid> {
    let ip = address.into();
    let what = match ip {
        _ if ip.is_unspecified() => "the unspecified address",
        _ if ip.is_loopback() => "a loopback address",
        _ if ip.is_multicast() => "the address of a group",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => "an IPv4-mapped address",
        _ => return Ok(address),
    };
    let problem = Problem(format!("{what} is not the source of a connection; give an address of one host"));
    Err(problem.of(name, ip.to_string()))
}

/// The source address that a node gives to its own connections to pods.
///
/// `HostProbeSNATIP`, <https://github.com/istio/istio/blob/master/cni/pkg/config/config.go>.
pub const PROBE_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 7, 127);

/// The IPv6 source address that a node gives to its own connections to pods.
pub const PROBE_V6: Ipv6Addr = Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff);
