//! What a rule set does with a packet, without a kernel: walks, and comparisons over all packets.
//!
//! | to | use |
//! |---|---|
//! | send a packet through all hooks of a host | [`Walker`], with a [`Host`] or [`kernel::host`] |
//! | send a packet through one hook | [`walk_hook`] |
//! | prove that two rule sets are equal, or see a packet that differs | [`compare`] |
//! | read the result | [`Walk::end`], [`End::is_through`], [`Walk::matched`] |
//!
//! [`Rules`] are made from a [`Ruleset`](crate::Ruleset) alone or from a
//! [`Snapshot`](crate::Snapshot) of everything that a kernel holds. What would happen after a
//! change, beside the tables of other programs, is seen by making the change in a
//! [`Fake`](crate::kernel::Fake):
//!
//! ```
//! use nftmesh::prelude::*;
//! use nftmesh::sim::{Comparison, Host, Rules, Walker, compare};
//!
//! let held = Snapshot::default(); // or Kernel::open()?.snapshot()?
//! let now = Rules::try_from(&held)?;
//! let mut fake = Fake::from(held);
//! let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER).policy(Policy::Drop);
//! fake.apply(&Ruleset::new().table(Table::new(Family::Inet, "host").chain(input.rule(Rule::new().tcp_dport(22).accept()))))?;
//! let then = Rules::try_from(&fake.snapshot()?)?;
//!
//! let host = Host::pod(["10.0.0.5/24".parse().expect("a network")]); // or nftmesh::kernel::host()?
//! let walk = |packet: &str| Ok::<_, Error>(Walker::new(&then, &host).receive(packet.parse()?, "eth0"));
//! assert!(walk("tcp 10.0.0.9:40000 -> 10.0.0.5:22")?.end.is_through());
//! assert!(!walk("tcp 10.0.0.9:40000 -> 10.0.0.5:23")?.end.is_through());
//! assert!(matches!(compare(&now, &then), Comparison::Differs(_)));
//! # Ok::<(), Error>(())
//! ```
//!
//! [`kernel::host`]: crate::kernel::host
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
