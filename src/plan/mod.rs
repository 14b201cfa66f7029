//! What is to change: an ordered list of operations, as a value.

mod bound;
mod declared;
mod detour;
mod diff;
mod difference;
mod event;
mod hooks;
mod listing;
mod operation;
mod raise;
mod remembered;
mod script;
mod snapshot;
mod stage;
mod trace;
mod transaction;
mod view;

pub use crate::model::{ChainId, Generation, Position, RuleHandle, SetId, TableId};
pub(crate) use detour::{Step, StepKind, step};
pub use diff::diff;
pub use difference::{Change, Difference, Marked, Part, differences};
pub use event::{AddedAt, Commit, Event};
pub use hooks::{HookFunction, HookList, Hooks};
pub use listing::Listing;
pub use operation::{Operation, Remainder, State};
pub(crate) use raise::chain_kind;
pub use raise::{Raised, Unnamed};
pub(crate) use remembered::{Part as PartOf, Remembered, Since, Sums, TablePart};
pub use snapshot::{
    ChainState, Counters, HookState, OpaqueMessage, OpaqueState, RuleState, SetState, Snapshot, TableState,
};
pub(crate) use stage::unstaged;
pub use trace::{TraceEvent, TraceMessage, TraceStep, TraceVerdict, TracedConnection, TracedDevice, TracedPacket};
pub use transaction::Transaction;
