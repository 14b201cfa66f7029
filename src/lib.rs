//! Typed nftables rule sets, committed atomically over netlink.

#[expect(dead_code, reason = "the modules that fail come next")]
pub mod bytecode;
mod error;
pub mod model;
pub mod plan;

pub use error::{Error, Refusal, Result};
