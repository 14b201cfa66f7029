//! The live kernel: transactions, network namespaces, the policy routes of TPROXY, addresses.
//!
//! | to | call |
//! |---|---|
//! | make tables what they should be | [`Kernel::apply`], [`Kernel::remove`] |
//! | see what that would change | [`Kernel::plan`], [`Kernel::verify`] |
//! | change single rules, sets and elements | [`Kernel::commit`], with a [`Transaction`] |
//! | try a transaction | [`Kernel::check`] |
//! | read everything, or tables, at one moment | [`Kernel::snapshot`], [`Kernel::snapshot_of`] |
//! | read the rules of a chain with handles and counters | [`Kernel::rules`] |
//! | read a set with its elements, and the time left to them | [`Kernel::set`], [`Kernel::elements`] |
//! | read counters and quotas | [`Kernel::snapshot`], then [`Snapshot::raise`] |
//! | print what is there as nft does | [`Kernel::snapshot`] and `print!`, or a [`Listing`] |
//! | learn of changes by other programs | [`Kernel::watch`] |
//! | follow packets | [`Kernel::trace`], [`NetNs::stories`] |
//! | work in another network namespace | [`NetNs`] |
//! | test without root | [`Fake`], [`Nftables`] |
//!
//! [`Transaction`]: crate::Transaction
//! [`Snapshot::raise`]: crate::Snapshot::raise
//! [`Listing`]: crate::state::Listing
#![cfg_attr(feature = "sim", doc = "[`NetNs::stories`]: NetNs::stories")]
#![cfg_attr(not(feature = "sim"), doc = "[`NetNs::stories`]: NetNs")]

mod clash;
mod declared;
mod destroy;
mod dump;
mod echo;
mod fake;
mod flush;
mod hooks;
#[cfg(feature = "sim")]
mod host;
mod hub;
mod legacy;
mod links;
mod listener;
mod live;
mod narrow;
mod netns;
mod nftables;
#[cfg(all(feature = "mesh", feature = "sim"))]
mod route_host;
#[cfg(any(feature = "mesh", feature = "sim"))]
mod route_messages;
#[cfg(feature = "mesh")]
mod route_watch;
#[cfg(feature = "mesh")]
mod routes;
#[cfg(any(feature = "mesh", feature = "sim"))]
mod rtnetlink;
mod snapshot;
mod spans;
#[cfg(feature = "sim")]
mod stories;
mod sync;
mod trace;
mod trace_filter;
#[cfg(feature = "sim")]
mod trace_steps;
mod watch;

pub use fake::Fake;
#[cfg(feature = "sim")]
pub use host::host;
pub use legacy::legacy_tables;
#[cfg(feature = "mesh")]
pub(crate) use legacy::names as legacy_names;
pub use links::interfaces;
pub use live::{Kernel, Prepared};
pub use netns::NetNs;
pub use nftables::Nftables;
#[cfg(all(feature = "mesh", feature = "sim"))]
pub use route_host::routed;
#[cfg(feature = "mesh")]
pub use route_watch::RouteWatch;
#[cfg(feature = "mesh")]
pub use routes::{Added, LocalAddress, RouteTable};
#[cfg(feature = "sim")]
pub use stories::Stories;
pub use sync::Applied;
#[cfg(feature = "mesh")]
pub(crate) use sync::{Committed, plan};
pub use trace::Trace;
pub use trace_filter::TraceFilter;
#[cfg(feature = "sim")]
pub use trace_steps::{TraceSteps, TracedSteps};
pub use watch::Watch;
