//! The configuration, and its builder, which checks it.

use std::str::FromStr;

use ipnetwork::IpNetwork;

use super::exclusion::UidExclusion;
use crate::Result;
use crate::mesh::dns::DnsCapture;
use crate::mesh::error::{Invalid, Problem};
use crate::mesh::parse::{self, Parsed};
use crate::mesh::{Cidrs, InterfacePattern, PortRanges, cidrs};

/// What is captured in a pod with Kuma's proxy. Every value is checked; see
/// [`builder`](KumaConfig::builder) and [`KumaFlags::resolve`](super::KumaFlags::resolve).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KumaConfig {
    pub(super) given: KumaConfigBuilder,
}

impl KumaConfig {
    /// Returns a builder with Kuma's defaults: user 5678, ports 15001, 15006 and 15053, both
    /// families, no DNS.
    pub fn builder() -> KumaConfigBuilder {
        KumaConfigBuilder {
            proxy_uid: 5678,
            ipv6: true,
            inbound: Some(15006),
            self_port: 15006,
            outbound_port: 15001,
            captures_outbound: true,
            dns: DnsCapture::Off,
            dns_port: 15053,
            dns_zones: true,
            dns_over_tcp: false,
            exclude_inbound_ports: PortRanges::default(),
            exclude_outbound_ports: PortRanges::default(),
            include_inbound_ports: PortRanges::default(),
            include_outbound_ports: PortRanges::default(),
            exclude_inbound_ips: Cidrs::default(),
            exclude_outbound_ips: Cidrs::default(),
            exclude_for_uids: Vec::new(),
            virtual_networks: Vec::new(),
            drop_invalid: false,
            warnings: Vec::new(),
        }
    }

    /// Returns warnings about what was given without effect, one line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.given.warnings
    }
}

/// An interface whose arriving traffic is outbound, and its own network, as `docker0:172.17.0.0/16`
/// says it. A prefix of names ends with `+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct VirtualNetwork {
    /// The interface.
    pub interface: InterfacePattern,
    /// Its own network: what goes there is left alone.
    pub network: IpNetwork,
}

impl VirtualNetwork {
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let (interface, network) = text.split_once(':').ok_or_else(|| Problem::new(format!("no colon; {ACCEPTED}")))?;
        let with = |Problem(what)| Problem(format!("{what}; {ACCEPTED}"));
        let interface = InterfacePattern::parse_one(interface.trim()).map_err(with)?;
        if !network.contains('/') {
            return Err(Problem::new(format!("the network has no prefix length; {ACCEPTED}")));
        }
        Ok(VirtualNetwork { interface, network: cidrs::network(network.trim()).map_err(with)? })
    }
}

impl FromStr for VirtualNetwork {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        VirtualNetwork::parse(text).map_err(|problem| problem.of("network", text).into())
    }
}

const ACCEPTED: &str = "give an interface and its network, such as docker0:172.17.0.0/16 or br+:fd00::/64";

/// Collects a [`KumaConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct KumaConfigBuilder {
    pub(super) proxy_uid: u32,
    pub(super) ipv6: bool,
    /// The port of captured inbound TCP; `None` if it is not captured.
    pub(super) inbound: Option<u16>,
    /// The port to which calls of the proxy to its own pod go.
    pub(super) self_port: u16,
    pub(super) outbound_port: u16,
    pub(super) captures_outbound: bool,
    pub(super) dns: DnsCapture,
    pub(super) dns_port: u16,
    pub(super) dns_zones: bool,
    /// Whether DNS over TCP is as other TCP.
    pub(super) dns_over_tcp: bool,
    pub(super) exclude_inbound_ports: PortRanges,
    pub(super) exclude_outbound_ports: PortRanges,
    /// All if it is empty.
    pub(super) include_inbound_ports: PortRanges,
    /// All if it is empty.
    pub(super) include_outbound_ports: PortRanges,
    pub(super) exclude_inbound_ips: Cidrs,
    pub(super) exclude_outbound_ips: Cidrs,
    pub(super) exclude_for_uids: Vec<UidExclusion>,
    pub(super) virtual_networks: Vec<VirtualNetwork>,
    pub(super) drop_invalid: bool,
    pub(super) warnings: Vec<String>,
}

impl KumaConfigBuilder {
    /// Sets the user that the proxy runs as.
    pub fn proxy_uid(self, proxy_uid: u32) -> Self {
        KumaConfigBuilder { proxy_uid, ..self }
    }

    /// Sets whether IPv6 is captured besides IPv4.
    pub fn ipv6(self, ipv6: bool) -> Self {
        KumaConfigBuilder { ipv6, ..self }
    }

    /// Sets the port that inbound TCP goes to.
    pub fn inbound_port(self, port: u16) -> Self {
        KumaConfigBuilder { inbound: self.inbound.map(|_| port), self_port: port, ..self }
    }

    /// Sets whether inbound TCP is captured. Calls of the proxy to its own pod are in any case.
    pub fn capture_inbound(self, capture: bool) -> Self {
        KumaConfigBuilder { inbound: capture.then_some(self.self_port), ..self }
    }

    /// Sets the port that outbound TCP goes to.
    pub fn outbound_port(self, outbound_port: u16) -> Self {
        KumaConfigBuilder { outbound_port, ..self }
    }

    /// Sets whether outbound TCP is captured. DNS over UDP, and what arrives on a virtual network,
    /// are in any case; calls of the proxy to its own pod are not.
    pub fn capture_outbound(self, capture: bool) -> Self {
        KumaConfigBuilder { captures_outbound: capture, ..self }
    }

    /// Sets which DNS queries over UDP go to the proxy.
    pub fn dns(self, dns: DnsCapture) -> Self {
        KumaConfigBuilder { dns, ..self }
    }

    /// Sets the port that DNS goes to.
    pub fn dns_port(self, dns_port: u16) -> Self {
        KumaConfigBuilder { dns_port, ..self }
    }

    /// Sets whether captured DNS has conntrack zones.
    pub fn dns_zones(self, dns_zones: bool) -> Self {
        KumaConfigBuilder { dns_zones, ..self }
    }

    /// Sets whether DNS over TCP goes to the proxy's outbound port as other TCP does, where DNS is
    /// captured. Otherwise it leaves past the proxy.
    pub fn dns_over_tcp(self, dns_over_tcp: bool) -> Self {
        KumaConfigBuilder { dns_over_tcp, ..self }
    }

    /// Leaves these inbound TCP ports alone.
    pub fn exclude_inbound_ports(self, ports: PortRanges) -> Self {
        KumaConfigBuilder { exclude_inbound_ports: ports, ..self }
    }

    /// Leaves these outbound TCP ports alone.
    pub fn exclude_outbound_ports(self, ports: PortRanges) -> Self {
        KumaConfigBuilder { exclude_outbound_ports: ports, ..self }
    }

    /// Captures inbound TCP to these ports alone, whichever are left alone; to all if there are
    /// none.
    pub fn include_inbound_ports(self, ports: PortRanges) -> Self {
        KumaConfigBuilder { include_inbound_ports: ports, ..self }
    }

    /// Captures outbound TCP to these ports alone, whichever are left alone; to all if there are
    /// none.
    pub fn include_outbound_ports(self, ports: PortRanges) -> Self {
        KumaConfigBuilder { include_outbound_ports: ports, ..self }
    }

    /// Leaves inbound connections from these ranges alone.
    pub fn exclude_inbound_ips(self, ranges: Cidrs) -> Self {
        KumaConfigBuilder { exclude_inbound_ips: ranges, ..self }
    }

    /// Leaves what goes to these ranges alone.
    pub fn exclude_outbound_ips(self, ranges: Cidrs) -> Self {
        KumaConfigBuilder { exclude_outbound_ips: ranges, ..self }
    }

    /// Leaves outbound ports alone for some users.
    pub fn exclude_for_uids(self, exclusions: impl IntoIterator<Item = UidExclusion>) -> Self {
        KumaConfigBuilder { exclude_for_uids: exclusions.into_iter().collect(), ..self }
    }

    /// Treats what arrives on these interfaces as outbound. Their rules come in the order of their
    /// names, a prefix before what it begins, and of two networks with the same interface and family
    /// the last one counts.
    pub fn virtual_networks(self, networks: impl IntoIterator<Item = VirtualNetwork>) -> Self {
        KumaConfigBuilder { virtual_networks: networks.into_iter().collect(), ..self }
    }

    /// Sets whether arriving packets that connection tracking considers invalid are dropped.
    pub fn drop_invalid(self, drop_invalid: bool) -> Self {
        KumaConfigBuilder { drop_invalid, ..self }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for port 0, a user that cannot be, an exclusion that
    /// is empty, and a list of nameservers that is.
    pub fn build(mut self) -> Result<KumaConfig> {
        let named = [
            ("redirect-inbound-port", self.self_port),
            ("redirect-outbound-port", self.outbound_port),
            ("redirect-dns-port", self.dns_port),
        ];
        if let Some((name, _)) = named.into_iter().find(|(_, port)| *port == 0) {
            return Err(Problem::new("not a port; give one number from 1 to 65535").of(name, "0").into());
        }
        parse::checked_owner(self.proxy_uid, "user")
            .map_err(|problem| problem.of("kuma-dp-user", self.proxy_uid.to_string()))?;
        let lists = [
            ("exclude-inbound-ports", &self.exclude_inbound_ports),
            ("exclude-outbound-ports", &self.exclude_outbound_ports),
            ("include-inbound-ports", &self.include_inbound_ports),
            ("include-outbound-ports", &self.include_outbound_ports),
        ];
        let of_uids = self.exclude_for_uids.iter().map(|exclusion| (FOR_UIDS, &exclusion.ports));
        for (name, ports) in lists.into_iter().chain(of_uids) {
            ports.clone().checked().map_err(|(value, problem)| -> Invalid { problem.of(name, value) })?;
        }
        let is_empty = |exclusion: &UidExclusion| exclusion.ports.is_empty() || exclusion.uids.is_empty();
        if self.exclude_for_uids.iter().any(is_empty) {
            return Err(Problem::new("it names no port or no user; leave it out").of(FOR_UIDS, "").into());
        }
        if matches!(&self.dns, DnsCapture::Servers(servers) if servers.is_empty()) {
            return Err(Problem::new("there is no nameserver; capture all or none").of("redirect-dns", "").into());
        }
        self.warn();
        Ok(KumaConfig { given: self })
    }

    fn warn(&mut self) {
        let lists =
            [("exclude-inbound-ips", &self.exclude_inbound_ips), ("exclude-outbound-ips", &self.exclude_outbound_ips)];
        let without = lists.into_iter().filter(|(_, ranges)| !self.ipv6 && ranges.v6().next().is_some());
        let ranges = without.map(|(name, _)| format!("{name}: its IPv6 ranges have no effect without IPv6"));
        let networks = self.virtual_networks.iter().any(|network| network.network.is_ipv6() && !self.ipv6);
        let networks = networks.then(|| "vnet: its IPv6 networks have no effect without IPv6".to_owned());
        let without_dns = self.dns == DnsCapture::Off && !self.virtual_networks.is_empty();
        let without_dns = without_dns.then(|| {
            let port = self.dns_port;
            format!("vnet: DNS over UDP that arrives goes to port {port}, though DNS of the pod is not captured")
        });
        let lists = [
            ("inbound", &self.include_inbound_ports, &self.exclude_inbound_ports),
            ("outbound", &self.include_outbound_ports, &self.exclude_outbound_ports),
        ];
        let both = lists.into_iter().filter(|(_, include, exclude)| !include.is_empty() && !exclude.is_empty());
        let both = both
            .map(|(which, ..)| format!("exclude-{which}-ports: they have no effect where {which} ports are included"));
        let off = (!self.captures_outbound && !self.include_outbound_ports.is_empty())
            .then(|| "outbound ports that are included have no effect, as outbound is off".to_owned());
        let warnings: Vec<String> = ranges.chain(networks).chain(without_dns).chain(both).chain(off).collect();
        self.warnings.extend(warnings);
    }
}

const FOR_UIDS: &str = "exclude-outbound-ports-for-uids";
