//! Typed nftables rule sets, committed atomically over netlink.

pub mod bytecode;
mod error;
pub mod kernel;
pub mod mesh;
pub mod model;
mod netlink;
pub mod plan;
pub mod proxy;
mod render;
#[expect(unsafe_code, reason = "the one fence around system calls and C libraries")]
mod sys;
#[cfg(test)]
mod testing;
pub mod validate;

pub use error::{Error, Refusal, Result};
