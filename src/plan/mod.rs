//! What is to change: an ordered list of operations, as a value.

mod operation;
mod script;
mod transaction;
mod view;

pub use operation::{ChainId, Operation, Position, TableId};
pub use transaction::{Generation, Transaction};
