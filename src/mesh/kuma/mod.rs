//! Kuma's proxy: its configuration, from a builder or from the flags and variables of
//! `kumactl install transparent-proxy`, and its rules.
//!
//! TCP that the pod sends goes to the proxy's outbound port, and TCP that it receives to its
//! inbound port, but for what the proxy itself sends, what stays on lo, and what is left out. A
//! call of the proxy to its own pod is inbound. DNS over UDP goes to the proxy's DNS port where that
//! is on; DNS over TCP that is not the proxy's then leaves past the proxy, as with Kuma's own rules.
//!
//! ```
//! use nftmesh::mesh::kuma::KumaConfig;
//! use nftmesh::model::{Family, Ruleset};
//!
//! let config = KumaConfig::builder().exclude_inbound_ports([22].into()).build()?;
//! let rules = Ruleset::from(&config);
//! assert!(rules.find(Family::Inet, "kuma-mesh").is_some());
//! # Ok::<(), nftmesh::Error>(())
//! ```
//!
//! Flags and their meaning:
//! <https://kuma.io/docs/latest/networking/transparent-proxy/configuration-reference/>.

mod config;
mod exclusion;
mod flags;
mod rules;

pub use config::{KumaConfig, KumaConfigBuilder, VirtualNetwork};
pub use exclusion::{Protocols, UidExclusion};
pub use flags::{ConfigSource, FLAGS, KumaFacts, KumaFlags, variable};
pub use rules::{TABLE, tables};

pub use super::flags::Flag;
