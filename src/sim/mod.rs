//! What a rule set does with a packet, without a kernel: walks, and comparisons over all packets.
//!
//! ```text
//! rules ── chains of a hook, in order ──> hook ── one program ──> machine ── bytes ──> cells
//!                                                     │ asks
//!                                                   inputs: a packet on its way (walk), or all packets at once (compare)
//! ```
//! What is always true: one machine serves both, so a comparison proves what a walk shows; anything
//! unknown ends in [`CannotTell`], never in a guess; every run ends.

mod addresses;
mod cells;
mod checksum;
mod compare;
mod connections;
mod devices;
mod fib;
mod flow;
mod header;
mod hook;
mod host;
mod icmp;
mod inputs;
mod limit;
mod line_up;
mod machine;
mod memory;
mod one_hook;
mod packet;
mod packet_text;
mod place;
mod recorder;
mod rules;
mod series;
mod sets;
mod situation;
mod story;
mod traced;
mod unknown;
mod unordered;
mod walk;
mod walker;

pub use compare::{Compare, Comparison, Counterexample, Progress, compare};
pub use fib::FibAnswer;
pub use header::HeaderBytes;
pub use host::{Host, Link, Listeners, PolicyRule, ReversePath, Route, SourceChecks};
pub use inputs::CannotTell;
pub use one_hook::walk_hook;
pub use packet::{Connection, Interface, Owner, Packet, Receiver};
pub use rules::{RuleLine, Rules};
pub use situation::Situation;
pub use story::{Short, Story};
pub use walk::{Change, Delivery, End, Fate, Lost, Step, Walk, Way};
pub use walker::Walker;
