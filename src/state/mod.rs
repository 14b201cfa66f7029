//! The state that the kernel holds and reports: snapshots, events, trace messages, and their text.

mod elements;
mod event;
#[cfg(feature = "serde")]
mod form;
mod hooks;
pub(crate) mod listing;
mod raise;
mod snapshot;
mod trace;

pub use elements::TimedElement;
pub use event::{AddedAt, Commit, Event};
pub use hooks::{HookFunction, HookList, Hooks};
pub use listing::Listing;
pub(crate) use raise::chain_kind;
#[cfg(feature = "json")]
pub(crate) use raise::raised_object;
pub use raise::{Raised, Unnamed};
pub use snapshot::{
    ChainState, Counters, HookState, OpaqueMessage, OpaqueState, RuleState, SetState, Snapshot, TableState,
};
pub use trace::{TraceEvent, TraceMessage, TraceStep, TraceVerdict, TracedConnection, TracedDevice, TracedPacket};
