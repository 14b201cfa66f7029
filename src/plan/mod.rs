//! What is to change: an ordered list of operations, as a value.

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

pub(crate) use detour::{Step, StepKind, step};
pub use diff::diff;
pub use difference::{Change, Difference, Marked, Part, differences};
pub use operation::{Operation, Remainder, State};
pub(crate) use remembered::{Part as PartOf, Remembered, Since, Sums, TablePart};
pub(crate) use stage::unstaged;
pub use transaction::Transaction;
