//! A host with a route plan applied.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::route_messages::LOOPBACK;
use crate::routes::{PASSTHROUGH6, RouteEntry, RoutePlan};
use crate::sim::{Host, PolicyRule};

/// Returns the host with the entries of a plan, for walks on a machine where it is not installed
/// yet.
///
/// ```
/// use nftmesh::kernel::routed;
/// use nftmesh::routes::{Families, RoutePlan, MarkRoute};
/// use nftmesh::sim::Host;
///
/// let plan = RoutePlan::new().tproxy(Families::Ipv4, MarkRoute::new(1337, 133)?);
/// let host = routed(Host::pod(["10.77.0.2/24".parse().expect("a network")]), &plan);
/// assert!(host.rules.iter().any(|rule| rule.mark == 1337 && rule.table == 133));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[must_use]
pub fn routed(host: Host, plan: &RoutePlan) -> Host {
    plan.entries().into_iter().fold(host, |host, entry| match entry {
        RouteEntry::Passthrough6 => host.address(LOOPBACK, IpNetwork::from(IpAddr::from(PASSTHROUGH6))),
        RouteEntry::Route { family, table } => host.local_table(family, table),
        RouteEntry::Rule { family, mark, mask, priority, table } => {
            let rule = PolicyRule::mark(family, mark, table);
            let priority = priority.unwrap_or(rule.priority);
            host.rule(PolicyRule { mask, priority, ..rule })
        }
    })
}
