//! Istio's ambient mode: what is installed in a pod whose traffic a ztunnel on the node handles,
//! and on the node itself.
//!
//! The sockets of ztunnel are in the pod's network namespace, and every packet of theirs carries
//! the mark [`MARK`], by which it is left alone. Other TCP that the pod sends goes to ztunnel's
//! port 15001, TCP that it receives to 15006, and DNS to 15053 where that is on; 15008 (HBONE) is
//! ztunnel's own. UDP other than DNS is never captured. ztunnel connects to the application with
//! the address of the client as its own, and what the application answers comes back to it by
//! connection mark, packet mark and policy route.
//!
//! The node gives its own connections to pods, such as probes of the kubelet, one source address,
//! which no rule in a pod captures; see [`AmbientHost`].
//!
//! ```text
//! variables ──> AmbientNode ──┬─ pod ──> AmbientConfig ──> rules and routes, in the pod
//! annotations ────────────────┘
//!               AmbientNode ─── host ──> AmbientHost ────> rules and sets, on the node
//! ```
//!
//! ```
//! use nftmesh::mesh::Mesh;
//! use nftmesh::mesh::ambient::AmbientNode;
//! use nftmesh::model::Family;
//!
//! let node = AmbientNode::from_vars([("AMBIENT_DNS_CAPTURE", "true"), ("AMBIENT_IPV6", "true")])?;
//! let pod = node.pod([("ambient.istio.io/dns-capture", "false")])?;
//! assert!(pod.rules().find(Family::Inet, "istio-ambient-nat").is_some());
//! assert!(pod.rules().find(Family::Inet, "istio-ambient-raw").is_none(), "only DNS has zones");
//! # Ok::<(), nftmesh::Error>(())
//! ```
//!
//! Names of tables and chains are those of Istio's nftables backend, so operators find what they
//! know: <https://github.com/istio/istio/tree/master/cni>.

mod annotations;
mod config;
mod host;
mod node;
mod rules;

pub use annotations::ANNOTATIONS;
pub use config::{AmbientConfig, AmbientConfigBuilder, Inbound, PROBE_V4, PROBE_V6};
pub use host::{AmbientHost, PROBES_V4, PROBES_V6, host_tables};
pub use node::{AmbientNode, VARIABLES};
pub use rules::{CONNECTION_MARK, MANGLE, MARK, MASK, NAT, RAW, ROUTE_PRIORITY, ROUTE_TABLE, tables};
