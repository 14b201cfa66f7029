//! The Linkerd proxy: its configuration, from a builder or from the flags of `proxy-init`, and
//! its rules.
//!
//! TCP that the pod sends goes to the proxy's outbound port, and TCP that it receives to its
//! inbound port, but for what the proxy itself sends, what stays on lo, and what is left out.
//! UDP is never captured, and no routes are needed. As in `proxy-init`, a call of the application
//! to its own pod's address stays on lo and does not meet the proxy, and the ranges of
//! `subnets-to-ignore` count for inbound connections only; outbound ones have a flag of our own.
//!
//! ```
//! use nftmesh::mesh::linkerd::LinkerdConfig;
//! use nftmesh::model::{Family, Ruleset};
//!
//! let config = LinkerdConfig::builder().inbound_ports_ignore([4190, 4191].into()).build()?;
//! let rules = Ruleset::from(&config);
//! assert!(rules.find(Family::Inet, "linkerd-proxy").is_some());
//! # Ok::<(), nftmesh::Error>(())
//! ```
//!
//! Flags and their meaning: <https://github.com/linkerd/linkerd2-proxy-init>.

mod config;
mod flags;
mod rules;

pub use config::{LinkerdConfig, LinkerdConfigBuilder};
pub use flags::{FLAGS, LinkerdFlags};
pub use rules::{TABLE, tables};

pub use super::flags::Flag;
