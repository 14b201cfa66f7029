//! [Tasks]: pages::tasks
//! [Cookbook]: pages::cookbook
//! [Coming from another library]: pages::migrating
//! [Text]: pages::text
//! [Tests without root]: pages::testing
#![cfg_attr(feature = "mesh", doc = "[Istio]: pages::istio")]
#![cfg_attr(all(feature = "mesh", feature = "sim"), doc = "[Walks and proofs]: pages::walks")]
//! [Limits]: pages::limits
//! [Performance]: pages::performance
//! [Features]: pages::features
//! [Kernels]: pages::kernels
//!
#![doc = include_str!("../README.md")]
//!
//! # Where to start
//!
//! - [Tasks] has programs to copy, [`prelude`] the types that most programs name.
//! - [`model`] describes a rule set, [`kernel`] installs, reads and watches rule sets.
//! - [`plan`] lists what is to change, [`state`] what the kernel holds and reports.
//! - [`text`] reads nft's language: rule sets, commands, rules.
//! - [`validate`] finds faults before the kernel sees them, [`bytecode`] is what the kernel runs.
//! - `sim` walks packets and compares rule sets, `import` reads the output of `iptables-save`.
//! - `mesh` has presets, `routes` the policy routes that they need, and `pod` installs both;
//!   `proxy` has what a proxy needs at its sockets.

// What only one feature needs is written once, without a condition at each helper.
#![cfg_attr(
    not(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy")),
    allow(dead_code, unused_imports, reason = "helpers of a feature that is off")
)]

// The tests of the inside share the harness of tests/, which names the crate as a user does.
#[cfg(test)]
extern crate self as nftmesh;
#[cfg(test)]
#[path = "../tests/inside/mod.rs"]
mod inside;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod attr;
pub mod bytecode;
mod error;
#[doc(hidden)]
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(feature = "import")]
pub mod import;
#[cfg(feature = "json")]
pub mod json;
pub mod kernel;
#[cfg(feature = "mesh")]
pub mod mesh;
pub mod model;
mod netlink;
#[cfg(any(doc, doctest))]
pub mod pages;
pub mod plan;
#[cfg(feature = "mesh")]
pub mod pod;
pub mod prelude;
#[cfg(feature = "proxy")]
pub mod proxy;
mod render;
#[cfg(any(feature = "mesh", feature = "sim"))]
pub mod routes;
#[cfg(feature = "sim")]
pub mod sim;
pub mod state;
#[expect(unsafe_code, reason = "the one fence around system calls and C libraries")]
mod sys;
#[cfg(test)]
mod testing;
pub mod text;
pub mod validate;
#[cfg(any(feature = "import", feature = "mesh", feature = "sim"))]
mod xt;

pub use error::{Error, ErrorKind, Escaped, Quoted, Refusal, Result};
pub use ipnetwork;
pub use kernel::{Kernel, NetNs};
pub use model::{Chain, Rule, Ruleset, Set, Table, TableId};
pub use plan::Transaction;
pub use state::Snapshot;
