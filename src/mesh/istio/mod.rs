//! The Istio sidecar: its configuration, from a builder, the environment, or the flags of
//! `istio-iptables`.
//!
//! Every value of an [`IstioConfig`] is checked, its lists are sorted and merged, and anything
//! that was given but has no effect is among its [`warnings`](IstioConfig::warnings). Only
//! [`PodFacts::read`] and [`RawOptions::from_env`] read the machine; everything else is a function
//! of its arguments.
//!
//! ```text
//! flags ──┐
//!         ├─> RawOptions ──┐
//! environ ┘                ├─ resolve ─> IstioConfig ──> Ruleset and RoutePlan, by From
//!               PodFacts ──┘
//! ```
//!
//! Names, defaults and semantics:
//! <https://istio.io/latest/docs/reference/commands/pilot-agent/#pilot-agent-istio-iptables>.

mod builder;
mod config;
mod facts;
mod file;
mod interception;
mod option;
mod option_table;
mod options;
mod resolve;
mod rules;
mod tenant;
mod warning;

pub use crate::mesh::cidrs::Cidrs;
pub use crate::mesh::dns::DnsCapture;
pub use crate::mesh::interface::InterfacePattern;
pub use crate::mesh::parse::{parse_boolean, parse_port};
pub use crate::mesh::port_ranges::PortRanges;
pub use builder::IstioConfigBuilder;
pub use config::{
    INBOUND_PASSTHROUGH_V4, INBOUND_PASSTHROUGH_V6, InboundPorts, IstioConfig, OwnerGroups, SELF_CALL_MARK,
    ServiceCidrs,
};
pub use facts::{Nameservers, PodFacts, parse_group, parse_passwd, parse_resolv_conf};
pub use interception::Interception;
pub use option::{OptionSpec, Takes};
pub use option_table::OPTIONS;
pub use options::RawOptions;
pub use rules::{FAMILIES, TABLES};
pub use tenant::tables;
pub use warning::Warning;
