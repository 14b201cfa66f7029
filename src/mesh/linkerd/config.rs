//! The configuration, and its builder, which checks it.

use crate::Result;
use crate::mesh::error::Problem;
use crate::mesh::flags::fault;
use crate::mesh::{Cidrs, PortRanges, parse};

/// What is captured in a pod with a Linkerd proxy. Every value is checked; see
/// [`builder`](LinkerdConfig::builder) and
/// [`LinkerdFlags::parse`](super::LinkerdFlags::parse).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkerdConfig {
    pub(super) given: LinkerdConfigBuilder,
}

impl LinkerdConfig {
    /// Returns a builder with the ports and the user of Linkerd's injector: 4143 inbound, 4140
    /// outbound, user 2102, both families.
    pub fn builder() -> LinkerdConfigBuilder {
        LinkerdConfigBuilder {
            incoming_port: 4143,
            outgoing_port: 4140,
            proxy_uid: Some(2102),
            proxy_gid: None,
            inbound_ports: None,
            inbound_ports_ignore: PortRanges::default(),
            outbound_ports_ignore: PortRanges::default(),
            subnets_ignore: Cidrs::default(),
            outbound_subnets_ignore: Cidrs::default(),
            ipv6: true,
        }
    }

    /// Returns warnings about what was given without effect, one line each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let LinkerdConfigBuilder { subnets_ignore, outbound_subnets_ignore, ipv6, .. } = &self.given;
        let lists = [("subnets-to-ignore", subnets_ignore), ("outbound-subnets-to-ignore", outbound_subnets_ignore)];
        let without = lists.into_iter().filter(|(_, ranges)| !ipv6 && ranges.v6().next().is_some());
        without.map(|(name, _)| format!("{name}: its IPv6 ranges have no effect without IPv6")).collect()
    }
}

/// Collects a [`LinkerdConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct LinkerdConfigBuilder {
    pub(super) incoming_port: u16,
    pub(super) outgoing_port: u16,
    pub(super) proxy_uid: Option<u32>,
    pub(super) proxy_gid: Option<u32>,
    pub(super) inbound_ports: Option<PortRanges>,
    pub(super) inbound_ports_ignore: PortRanges,
    pub(super) outbound_ports_ignore: PortRanges,
    pub(super) subnets_ignore: Cidrs,
    pub(super) outbound_subnets_ignore: Cidrs,
    pub(super) ipv6: bool,
}

impl LinkerdConfigBuilder {
    /// Sets the port that inbound TCP goes to.
    pub fn incoming_port(self, incoming_port: u16) -> Self {
        LinkerdConfigBuilder { incoming_port, ..self }
    }

    /// Sets the port that outbound TCP goes to.
    pub fn outgoing_port(self, outgoing_port: u16) -> Self {
        LinkerdConfigBuilder { outgoing_port, ..self }
    }

    /// Sets the user whose traffic is left alone; 0 is a user as any other.
    pub fn proxy_uid(self, uid: impl Into<Option<u32>>) -> Self {
        LinkerdConfigBuilder { proxy_uid: uid.into(), ..self }
    }

    /// Sets the group whose traffic is left alone.
    pub fn proxy_gid(self, gid: impl Into<Option<u32>>) -> Self {
        LinkerdConfigBuilder { proxy_gid: gid.into(), ..self }
    }

    /// Captures inbound TCP to these ports only.
    pub fn inbound_ports(self, ports: PortRanges) -> Self {
        LinkerdConfigBuilder { inbound_ports: Some(ports), ..self }
    }

    /// Leaves these inbound ports alone, also those of [`inbound_ports`](Self::inbound_ports).
    pub fn inbound_ports_ignore(self, ports: PortRanges) -> Self {
        LinkerdConfigBuilder { inbound_ports_ignore: ports, ..self }
    }

    /// Leaves these outbound ports alone.
    pub fn outbound_ports_ignore(self, ports: PortRanges) -> Self {
        LinkerdConfigBuilder { outbound_ports_ignore: ports, ..self }
    }

    /// Leaves inbound connections from these ranges alone.
    pub fn subnets_ignore(self, ranges: Cidrs) -> Self {
        LinkerdConfigBuilder { subnets_ignore: ranges, ..self }
    }

    /// Leaves outbound connections to these ranges alone.
    pub fn outbound_subnets_ignore(self, ranges: Cidrs) -> Self {
        LinkerdConfigBuilder { outbound_subnets_ignore: ranges, ..self }
    }

    /// Sets whether IPv6 is captured besides IPv4.
    pub fn ipv6(self, ipv6: bool) -> Self {
        LinkerdConfigBuilder { ipv6, ..self }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for a proxy's port 0, an owner that cannot be, and
    /// when no owner is given: what the proxy sends would return to it for ever.
    pub fn build(self) -> Result<LinkerdConfig> {
        for (name, port) in [("incoming-proxy-port", self.incoming_port), ("outgoing-proxy-port", self.outgoing_port)] {
            if port == 0 {
                return Err(Problem::new("not a port; give one number from 1 to 65535").of(name, "0").into());
            }
        }
        if self.proxy_uid.is_none() && self.proxy_gid.is_none() {
            let what = "neither it nor proxy-gid is given, and what the proxy sends would return to it for ever";
            return Err(fault("proxy-uid", what).into());
        }
        for (name, owner, what) in [("proxy-uid", self.proxy_uid, "user"), ("proxy-gid", self.proxy_gid, "group")] {
            let Some(number) = owner else { continue };
            parse::checked_owner(number, what).map_err(|problem| problem.of(name, number.to_string()))?;
        }
        Ok(LinkerdConfig { given: self })
    }
}
