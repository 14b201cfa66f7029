//! Changes to rule sets: an ordered list of operations, as a value.

mod bound;
mod declared;
mod detour;
mod diff;
mod difference;
mod operation;
mod remembered;
mod script;
mod stage;
mod transaction;
mod view;

pub(crate) use bound::with_chains;
pub(crate) use detour::{Step, StepKind, step};
pub use diff::diff;
pub use difference::{Difference, DifferenceKind, Marked, Part, differences};
pub use operation::{Operation, Remainder, State};
pub(crate) use remembered::{Remembered, Since, Sums, TablePart, Unsettled};
pub(crate) use stage::unstaged;
pub(crate) use transaction::Destroys;
pub use transaction::Transaction;
