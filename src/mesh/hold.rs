//! Holding connections back until the proxy listens.
//!
//! What rules send to a proxy that does not listen yet is refused, and many applications end when
//! their first connection is refused. While they are held, the first packets of such connections
//! are dropped without an answer: the kernel of the application sends them again, after one second,
//! then three, and so on, and connects once they are no longer held.
//!
//! Where DNS goes to the proxy, queries are dropped in the same way, over UDP and TCP: a resolver
//! asks again after its time-out, mostly some seconds, where it would have given up on a refusal.

use std::sync::Arc;

use super::{BEGINNING, Mesh};
use crate::model::{
    Chain, ChainType, CtStatus, Family, Hook, Priority, Rule, Ruleset, Table, TableId, TcpFlags, ct_status, masked,
};

/// A mesh whose outbound connections are held back. Installing the mesh itself lets them go, see
/// [`Pod::install`](crate::pod::Pod::install).
///
/// Only TCP and DNS that rules have sent to the proxy are held. What the proxy itself sends, what
/// is left alone and what arrives from outside is not.
///
/// ```
/// use std::sync::Arc;
///
/// use nftmesh::mesh::linkerd::LinkerdConfig;
/// use nftmesh::mesh::{Held, Mesh};
///
/// let held = Held::new(Arc::new(LinkerdConfig::builder().build()?));
/// assert!(held.rules().to_string().contains("tcp dport 4140"));
/// # Ok::<(), nftmesh::Error>(())
/// ```
pub struct Held {
    mesh: Arc<dyn Mesh>,
}

impl Held {
    /// Holds the connections of this mesh.
    pub fn new(mesh: Arc<dyn Mesh>) -> Self {
        Held { mesh }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("outbound_port", &self.mesh.outbound_port()).finish_non_exhaustive()
    }
}

impl Mesh for Held {
    fn rules(&self) -> Ruleset {
        let mut rules = self.mesh.rules();
        // A table of another family would track connections of a family that is left untouched.
        let family = rules.tables.first().map(|table| table.family);
        if let (Some(family), Some(port)) = (family, self.mesh.outbound_port()) {
            rules.tables.push(table(family, port, self.mesh.dns_port()));
        }
        rules
    }

    fn changed(&self) -> Option<&dyn Mesh> {
        Some(&*self.mesh)
    }

    fn tables(&self) -> Vec<TableId> {
        [self.mesh.tables(), tables()].concat()
    }
}

/// Returns the tables that may hold connections back.
pub(super) fn tables() -> Vec<TableId> {
    [Family::Inet, Family::Ip].map(|family| TableId::new(family, TABLE)).to_vec()
}

/// Drops them where they arrive: a packet that is dropped where it leaves is an error to some
/// programs.
fn table(family: Family, port: u16, dns: Option<u16>) -> Table {
    let held = |first: Rule| {
        let rule = first.matches(ct_status(CtStatus::DNAT)).counter().drop();
        rule.comment("held until the proxy listens")
    };
    let on_lo = || Rule::new().iifname("lo");
    let connections = [port].into_iter().chain(dns).map(|port| on_lo().tcp_dport(port));
    let connections = connections.map(|first| held(first.tcp_flags(masked(TcpFlags::SYN, BEGINNING))));
    let queries = dns.map(|port| held(on_lo().udp_dport(port)));
    let chain = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER);
    Table::new(family, TABLE).chain(chain.rules(connections.chain(queries)))
}

const TABLE: &str = "mesh-hold";
