//! Typed nftables rule sets, committed atomically over netlink.

pub mod bytecode;
#[expect(dead_code, reason = "transactions are refused operation by operation")]
mod error;
pub mod kernel;
pub mod mesh;
pub mod model;
pub mod plan;
pub mod proxy;
mod render;
#[expect(unsafe_code, reason = "the one fence around system calls and C libraries")]
mod sys;
#[cfg(test)]
mod testing;

pub use error::{Error, Refusal, Result};
