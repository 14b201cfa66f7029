//! The live kernel: transactions, network namespaces, policy routes, addresses.

mod apply;
mod dump;
mod hooks;
mod host;
mod legacy;
mod links;
mod listener;
mod live;
mod lock;
mod netns;
mod route_host;
mod route_messages;
mod route_watch;
mod routes;
mod rtnetlink;
mod snapshot;
mod sync;
mod trace;
mod trace_filter;
mod trace_steps;
mod watch;

pub use apply::{Changes, Leftovers, Overruled, Pod, PodPlan, Power, Precedence, Precedent, Who, precedents};
pub use host::{host, host_in};
pub use legacy::{legacy_tables, legacy_tables_in};
pub use links::interfaces;
pub use live::{Kernel, Prepared};
pub use netns::NetNs;
pub use route_host::routed;
pub use route_watch::RouteWatch;
pub use routes::{Added, LocalAddress, RouteTable};
pub use sync::Applied;
pub use trace::Trace;
pub use trace_filter::TraceFilter;
pub use trace_steps::{TraceSteps, TracedSteps};
pub use watch::Watch;
