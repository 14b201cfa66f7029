//! Whose chain it is, by the names that programs give theirs.

use std::fmt;

use nftmesh::model::{ChainId, Family, Ruleset};

/// The program that made a chain, as far as names say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A mesh.
    Mesh(&'static str),
    /// iptables, and the program whose chains these are, if one is known.
    Iptables(Option<&'static str>),
    /// Another program.
    Program(&'static str),
    /// Nobody is known by this name.
    Unknown,
}

impl Owner {
    pub(crate) fn of(chain: &ChainId, ruleset: &Ruleset) -> Owner {
        let (table, name) = (chain.table.name.as_str(), chain.name.as_str());
        let starts = |known: &[(&str, &'static str)], text: &str| {
            known.iter().find(|(start, _)| text.starts_with(start)).map(|(_, who)| *who)
        };
        if let Some(mesh) = starts(&MESHES, table) {
            return Owner::Mesh(mesh);
        }
        if is_of_iptables(chain, ruleset) {
            if name.starts_with("ISTIO_") {
                return Owner::Mesh("istio-iptables");
            }
            if name.starts_with("PROXY_INIT_") {
                return Owner::Mesh("Linkerd, by iptables");
            }
            if name.starts_with("MESH_") || name.starts_with("KUMA_") {
                return Owner::Mesh("Kuma, by iptables");
            }
            return Owner::Iptables(starts(&CHAINS, name));
        }
        starts(&TABLES, table).map_or(Owner::Unknown, Owner::Program)
    }

    pub(crate) fn is_mesh(&self) -> bool {
        matches!(self, Owner::Mesh(_))
    }
}

/// Returns whether it has the name of a table of iptables, and chains with the names that iptables
/// gives them.
fn is_of_iptables(chain: &ChainId, ruleset: &Ruleset) -> bool {
    let known = matches!(chain.table.family, Family::Ip | Family::Ip6)
        && ["filter", "mangle", "nat", "raw", "security"].contains(&chain.table.name.as_str());
    let built_in = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    let table = ruleset.tables.iter().find(|table| table.id() == chain.table);
    known && table.is_some_and(|table| table.chains.iter().any(|chain| built_in.contains(&chain.name.as_str())))
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::Mesh(who) => write!(f, "the mesh: {who}"),
            Owner::Iptables(None) => f.write_str("iptables"),
            Owner::Iptables(Some(who)) => write!(f, "iptables: {who}"),
            Owner::Program(who) => f.write_str(who),
            Owner::Unknown => f.write_str("a table of nft"),
        }
    }
}

/// Beginnings of the names of tables.
const MESHES: [(&str, &str); 4] = [
    ("istio-proxy-", "Istio's sidecar"),
    ("istio-ambient-", "Istio ambient"),
    ("kuma-mesh", "Kuma"),
    ("linkerd-proxy", "Linkerd"),
];
const TABLES: [(&str, &str); 9] = [
    ("cali", "Calico"),
    ("crowdsec", "CrowdSec"),
    ("docker", "Docker"),
    ("f2b-", "fail2ban"),
    ("firewalld", "firewalld"),
    ("kube-proxy", "kube-proxy"),
    ("libvirt", "libvirt"),
    ("netavark", "podman (netavark)"),
    ("nftmesh-trace", "a trace of this crate"),
];
/// Beginnings of the names of chains in tables of iptables.
const CHAINS: [(&str, &str); 11] = [
    ("CNI-", "a CNI plugin"),
    ("DOCKER", "Docker"),
    ("FLANNEL", "flannel"),
    ("KUBE-", "kube-proxy"),
    ("LIBVIRT_", "libvirt"),
    ("NETAVARK", "podman (netavark)"),
    ("cali-", "Calico"),
    ("f2b-", "fail2ban"),
    ("ts-", "Tailscale"),
    ("ufw", "ufw"),
    ("weave", "Weave Net"),
];
