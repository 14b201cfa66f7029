//! Presets for service meshes: what must be installed in a pod, as plain data.
//!
//! Nothing here talks to a kernel: these modules define *what* to install, and the rest of the
//! crate installs it. What the meshes share is here: the parsing of ports, ranges and flags, the
//! operands of matches, and the priorities of the base chains. A mesh is a module that describes
//! its options and its rules with them.

pub mod ambient;
mod cgroups;
mod cidrs;
mod dns;
mod error;
mod flags;
mod hold;
mod interface;
pub mod istio;
pub mod kuma;
pub mod linkerd;
mod parse;
mod port_ranges;
pub mod ports;
mod sets;
mod tenant;

pub use cgroups::{ByCgroup, Cgroup, Containers};
pub use cidrs::Cidrs;
pub use dns::DnsCapture;
pub use hold::Held;
pub use interface::InterfacePattern;
pub use port_ranges::PortRanges;
pub use tenant::{Mesh, Original, Site};

use crate::model::{Chain, Priority, Rule, Table, TableId, TcpFlags};

/// Returns every table that a mesh of this crate may own, with any configuration.
#[must_use]
pub fn tables() -> Vec<TableId> {
    [istio::tables(), linkerd::tables(), kuma::tables(), ambient::tables(), hold::tables()].concat()
}

/// The priorities of the base chains: one below the usual ones. The first zone and the first
/// translation of a packet are final, so no later chain can override them.
struct Priorities;

impl Priorities {
    const RAW: Priority = Priority(Priority::RAW.0 - 1);
    const MANGLE: Priority = Priority(Priority::MANGLE.0 - 1);
    const NAT: Priority = Priority(Priority::DSTNAT.0 - 1);
    const SOURCE_NAT: Priority = Priority(Priority::SRCNAT.0 - 1);
}

/// The flags that distinguish a SYN that begins a connection from all other packets.
const BEGINNING: TcpFlags = TcpFlags::FIN.union(TcpFlags::SYN).union(TcpFlags::RST).union(TcpFlags::ACK);

/// Adds the chain with these rules, unless there are none.
fn with(table: Table, chain: Chain, rules: Vec<Rule>) -> Table {
    if rules.is_empty() { table } else { table.chain(chain.rules(rules)) }
}
