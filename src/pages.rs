//! The pages of the documentation, as they are in `docs/`: programs to copy, and what the crate
//! does where.
//!
//! Their Rust code is compiled by `cargo test --doc`.

#[doc = include_str!("../docs/tasks.md")]
pub mod tasks {}

#[doc = include_str!("../docs/cookbook.md")]
pub mod cookbook {}

#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}

#[doc = include_str!("../docs/testing.md")]
pub mod testing {}

/// [limits]: limits
#[doc = include_str!("../docs/text.md")]
pub mod text {}

/// [text]: text
#[cfg(feature = "json")]
#[doc = include_str!("../docs/json.md")]
pub mod json {}

#[cfg(all(feature = "mesh", feature = "sim"))]
#[doc = include_str!("../docs/walks.md")]
pub mod walks {}

/// [limits]: limits
#[cfg(feature = "mesh")]
#[doc = include_str!("../docs/istio.md")]
pub mod istio {}

#[cfg(feature = "mesh")]
#[doc = include_str!("../docs/ambient.md")]
pub mod ambient {}

#[cfg(feature = "mesh")]
#[doc = include_str!("../docs/kuma.md")]
pub mod kuma {}

#[cfg(feature = "mesh")]
#[doc = include_str!("../docs/tenants.md")]
pub mod tenants {}

#[doc = include_str!("../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/features.md")]
pub mod features {}

#[doc = include_str!("../docs/kernels.md")]
pub mod kernels {}

#[doc = include_str!("../docs/performance.md")]
pub mod performance {}
