//! Typed nftables rule sets, committed atomically over netlink.

#[expect(dead_code, reason = "the modules that fail come next")]
mod error;
pub mod model;
pub mod validate;

pub use error::{Error, Refusal, Result};
