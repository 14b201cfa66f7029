#![doc = include_str!("../README.md")]
//!
//! # Where to start
//!
//! - [`prelude`] has the types that most programs name.
//! - [`model`] describes a rule set, [`state`] what the kernel holds, [`plan`] what is to change;
//!   [`kernel`] reads it and changes it.
//! - [`validate`] says what is wrong with a rule set, [`bytecode`] is what the kernel runs.
//! - `sim` says what that does with packets, `import` reads what `iptables-save` prints.
//! - `mesh` holds presets, `routes` the policy routes that go with them, and `pod` installs both;
//!   `proxy` has what a proxy asks its sockets.

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
pub mod kernel;
#[cfg(feature = "mesh")]
pub mod mesh;
pub mod model;
mod netlink;
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
pub mod validate;
#[cfg(any(feature = "import", feature = "mesh", feature = "sim"))]
mod xt;

pub use error::{Error, ErrorKind, Escaped, Quoted, Refusal, Result};
pub use ipnetwork;
pub use kernel::{Kernel, NetNs};
pub use model::{Chain, Rule, Ruleset, Set, Table, TableId};
pub use plan::Transaction;
pub use state::Snapshot;

/// The programs of the documentation's pages, compiled.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/cookbook.md")]
    struct Cookbook;
    #[cfg(feature = "mesh")]
    #[doc = include_str!("../docs/istio.md")]
    struct Istio;
    #[doc = include_str!("../docs/migrating.md")]
    struct Migrating;
    #[doc = include_str!("../docs/testing.md")]
    struct Testing;
    #[doc = include_str!("../docs/tasks.md")]
    struct Tasks;
    #[cfg(all(feature = "mesh", feature = "sim"))]
    #[doc = include_str!("../docs/walks.md")]
    struct Walks;
}
