#![doc = include_str!("../README.md")]
#![doc = ""]
//! # Where to start
//!
//! [`model`] describes a rule set, [`plan`] what is to change, [`kernel`] changes it. [`mesh`] holds presets, [`proxy`] what a proxy
//! asks its sockets. [`validate`] says what is wrong with a rule set, [`bytecode`] what the kernel will run, [`sim`] what that does with
//! packets. [`import`] reads what `iptables-save` printed.

pub mod bytecode;
mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod import;
pub mod kernel;
pub mod mesh;
pub mod model;
mod netlink;
pub mod plan;
pub mod proxy;
mod render;
pub mod sim;
#[expect(unsafe_code, reason = "the one fence around system calls and C libraries")]
mod sys;
#[cfg(test)]
mod testing;
pub mod validate;

pub use error::{Error, Escaped, Refusal, Result};
