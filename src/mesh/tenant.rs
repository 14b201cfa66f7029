//! What a mesh is to the pod in which it is installed.

use crate::model::{Family, Ruleset, TableId};
use crate::routes::RoutePlan;

/// A mesh with its configuration, as [`Pod`](crate::pod::Pod) installs it: rules, routes, and the
/// names by which they are found again.
///
/// ```
/// use nftmesh::mesh::Mesh;
/// use nftmesh::mesh::linkerd::LinkerdConfig;
///
/// let mesh: &dyn Mesh = &LinkerdConfig::builder().build()?;
/// assert!(mesh.rules().tables.iter().all(|table| mesh.tables().contains(&table.into())));
/// assert!(mesh.routes().is_empty());
/// # Ok::<(), nftmesh::Error>(())
/// ```
///
/// A mesh that changes the rules of another one, such as [`Held`](super::Held), returns it as
/// [`changed`](Mesh::changed) and has the rest from it.
pub trait Mesh: Send + Sync {
    /// Returns the rules.
    fn rules(&self) -> Ruleset;

    /// Returns the mesh whose rules this one changes: what is not given here is as there.
    fn changed(&self) -> Option<&dyn Mesh> {
        None
    }

    /// Returns the policy routes that the rules need.
    fn routes(&self) -> RoutePlan {
        self.changed().map_or_else(RoutePlan::new, Mesh::routes)
    }

    /// Returns every table that this mesh may own, with any configuration. Those that the rules
    /// lack are deleted when they are installed.
    fn tables(&self) -> Vec<TableId>;

    /// Returns warnings about what was given without effect, one line each.
    fn warnings(&self) -> Vec<String> {
        self.changed().map_or_else(Vec::new, Mesh::warnings)
    }

    /// Returns the port of the proxy to which outbound TCP goes; `None` if there is not one port.
    fn outbound_port(&self) -> Option<u16> {
        self.changed().and_then(Mesh::outbound_port)
    }

    /// Returns the port of the proxy to which DNS goes; `None` where DNS is not captured.
    fn dns_port(&self) -> Option<u16> {
        self.changed().and_then(Mesh::dns_port)
    }

    /// Returns where it is installed, which decides what an installation replaces.
    fn site(&self) -> Site {
        self.changed().map_or(Site::Pod, Mesh::site)
    }

    /// Returns what the program that the mesh brings itself leaves in tables of iptables-nft.
    fn original(&self) -> Original {
        self.changed().map_or_else(Original::default, Mesh::original)
    }
}

/// Where a mesh is installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a node, and the pods on it")]
pub enum Site {
    /// The network namespace of a node, which belongs to others too: only the tables of this mesh
    /// are replaced, and no routes.
    Node,
    /// The network namespace of a pod, which has one mesh: tables and routes of every other mesh of
    /// this crate are replaced.
    #[default]
    Pod,
}

/// The traces of the program that a mesh brings itself, such as `istio-iptables`: by these its
/// rules are recognised, so that they can be reported and removed.
///
/// Its chains have a prefix of their own. Rules beside the jumps to them are recognised by what
/// they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// The name of the program.
    pub program: &'static str,
    /// What the names of its chains begin with; empty when it has none.
    pub chains: &'static str,
    /// The options by which traffic is left out, for messages.
    pub exclusions: &'static str,
    /// The tables in which it captures traffic.
    pub captures_in: Vec<TableId>,
    /// The marks of captured packets, for rules of TPROXY in mangle.
    pub marks: Vec<u32>,
    /// Whether its rules and ours cannot be in one pod: then
    /// [`Pod::install`](crate::pod::Pod::install) replaces them.
    pub excludes_ours: bool,
    /// The interfaces whose arriving packets a rule in nat leaves alone.
    pub arriving: Vec<String>,
    /// The interfaces whose leaving packets a rule in nat leaves alone.
    pub leaving: Vec<String>,
}

impl Original {
    /// Returns the tables of iptables-nft with these names, in which it captures IPv4 and, with
    /// `ipv6`, IPv6.
    pub(super) fn tables(names: &[&str], ipv6: bool) -> Vec<TableId> {
        let families: &[Family] = if ipv6 { &[Family::Ip, Family::Ip6] } else { &[Family::Ip] };
        families.iter().flat_map(|family| names.iter().map(|name| TableId::new(*family, *name))).collect()
    }

    /// Returns whether a chain is its own.
    #[must_use]
    pub fn is_its_own(&self, chain: &str) -> bool {
        !self.chains.is_empty() && chain.starts_with(self.chains)
    }
}
