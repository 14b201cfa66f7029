//! The resolved configuration: what a sidecar captures, as typed and immutable data from which the
//! rules are made.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network};

use super::interception::Interception;
use super::warning::Warning;
use crate::mesh::cidrs::Cidrs;
use crate::mesh::dns::DnsCapture;
use crate::mesh::interface::InterfacePattern;
use crate::mesh::port_ranges::PortRanges;
use crate::routes::MarkRoute;

/// What the sidecar of one pod captures; every value is checked and every list sorted and merged.
///
/// Returned by [`builder`](Self::builder), [`from_env`](Self::from_env) or
/// [`resolve`](Self::resolve); a later version may have more fields.
///
/// ```
/// use nftmesh::mesh::istio::{InboundPorts, IstioConfig, PortRanges, ServiceCidrs};
///
/// let config = IstioConfig::builder()
///     .inbound_ports(InboundPorts::All { except: PortRanges::from([15090, 15021, 15020]) })
///     .service_cidrs(ServiceCidrs::All)
///     .build()?;
/// assert_eq!(config.outbound_port, 15001);
/// assert_eq!(config.proxy_uids, [1337]);
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IstioConfig {
    /// The port for captured outbound TCP (`-p`), in host byte order, never 0.
    pub outbound_port: u16,
    /// The port for captured inbound TCP (`-z`), in host byte order, never 0.
    pub inbound_port: u16,
    /// The HBONE tunnel (`-e`), in host byte order, never 0.
    pub tunnel_port: u16,
    /// The users that run the proxy (`-u`), each once in the order given, never empty. Calls of
    /// the first one to its own pod are captured as inbound.
    pub proxy_uids: Vec<u32>,
    /// The groups that run the proxy (`-g`), ascending, never empty.
    pub proxy_gids: Vec<u32>,
    /// How inbound connections reach the proxy (`-m`).
    pub interception: Interception,
    /// Which inbound ports are captured (`-b`, `-d`).
    pub inbound_ports: InboundPorts,
    /// Interfaces on which nothing is captured, in or out (`-c`); sorted, none covers another.
    pub exclude_interfaces: Vec<InterfacePattern>,
    /// Which outbound destinations are captured (`-i`). IPv6 ranges have no effect while
    /// [`ipv6`](Self::ipv6) is off.
    pub service_cidrs: ServiceCidrs,
    /// Outbound destinations that are not captured (`-x`), stronger than
    /// [`service_cidrs`](Self::service_cidrs). IPv6 ranges have no effect while
    /// [`ipv6`](Self::ipv6) is off.
    pub exclude_cidrs: Cidrs,
    /// Outbound TCP ports that are captured for every destination (`-q`).
    pub outbound_ports: PortRanges,
    /// Outbound TCP and UDP ports that are not captured (`-o`).
    pub outbound_ports_exclude: PortRanges,
    /// Interfaces whose incoming traffic is treated as outbound (`-k`); sorted, none covers
    /// another.
    pub kube_virt_interfaces: Vec<InterfacePattern>,
    /// The mark of packets that policy routing sends to the proxy (`-t`), and the routing table
    /// that it selects (`-r`); only TPROXY uses them.
    pub tproxy: MarkRoute,
    /// Which DNS queries go to the agent.
    pub dns: DnsCapture,
    /// Whether arriving packets that connection tracking considers invalid are dropped.
    pub drop_invalid: bool,
    /// Whether TCP packets that leave the pod, are not the proxy's, and that connection tracking
    /// considers invalid are dropped. NAT does not translate such a packet, so it would bypass the
    /// proxy. The reference has no such option.
    pub drop_invalid_outbound: bool,
    /// Whether IPv6 is captured. When off, IPv6 is left untouched: no IPv6 packet meets a rule of
    /// ours or turns connection tracking on. It is on when the pod's first address that is neither
    /// loopback nor link-local is IPv6, or with `--dual-stack` when any such address is. Without
    /// such an address it is off, with a warning.
    pub ipv6: bool,
    /// Whose outbound traffic is captured, by group.
    pub owner_groups: OwnerGroups,
    /// The IPv4 destinations that stay in the pod, within 127.0.0.0/8; for IPv6 it is always `::1`.
    pub loopback: Ipv4Network,
    /// Whether rules count packets and bytes.
    pub counters: bool,
    pub(crate) warnings: Vec<Warning>,
}

impl IstioConfig {
    /// Returns what was given without effect, or requested and not possible, in the order found.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Which inbound ports are captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboundPorts {
    /// Every TCP port but the exceptions.
    All {
        /// The ports that are not captured.
        except: PortRanges,
    },
    /// No inbound port.
    #[default]
    None,
    /// Only these ports; never empty in an [`IstioConfig`].
    Only(PortRanges),
}

/// Which outbound destinations are captured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceCidrs {
    /// Every destination.
    All,
    /// No destination by address; ports can still be captured.
    #[default]
    None,
    /// Only these destinations; construct it with [`ServiceCidrs::only`].
    Only {
        /// Never empty in an [`IstioConfig`].
        ranges: Cidrs,
        /// Whether a range of loopback addresses was named, even when a wider one (`0.0.0.0/0`)
        /// contains it: the application's calls to itself are then captured too.
        loopback: bool,
    },
}

impl ServiceCidrs {
    /// Returns a selection of these destinations; no range means [`ServiceCidrs::None`].
    ///
    /// ```
    /// use nftmesh::mesh::istio::ServiceCidrs;
    ///
    /// let ranges = ServiceCidrs::only(["10.0.0.0/8".parse()?, "127.0.0.0/8".parse()?]);
    /// assert!(matches!(ranges, ServiceCidrs::Only { loopback: true, .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only(ranges: impl IntoIterator<Item = IpNetwork>) -> Self {
        let ranges: Vec<IpNetwork> = ranges.into_iter().collect();
        let loopback = ranges.iter().any(|range| range.ip().is_loopback());
        match ranges.is_empty() {
            true => ServiceCidrs::None,
            false => ServiceCidrs::Only { ranges: ranges.into_iter().collect(), loopback },
        }
    }
}

/// Whose outbound traffic is captured, by the group of the socket's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OwnerGroups {
    /// Everyone's traffic.
    #[default]
    All,
    /// Everyone's except that of these groups, ascending; never empty in an [`IstioConfig`].
    Except(Vec<u32>),
    /// Only that of these groups, ascending; an empty list captures nothing.
    Only(Vec<u32>),
}

/// The mark on packets that the proxy sends to its own pod in TPROXY mode, in host byte order:
/// 0x53a.
///
/// `OutboundMark`, <https://github.com/istio/istio/blob/c15acc40a282ea55d2b59a90074f8ef580eaf2a5/tools/istio-iptables/pkg/constants/constants.go>.
pub const SELF_CALL_MARK: u32 = 1338;

/// The source address of inbound traffic that the proxy passes on to the application unproxied,
/// IPv4.
pub const INBOUND_PASSTHROUGH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);

/// The source address of inbound traffic that the proxy passes on to the application unproxied,
/// IPv6.
pub const INBOUND_PASSTHROUGH_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);
