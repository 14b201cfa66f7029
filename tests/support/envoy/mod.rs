//! Real Envoys as sidecars, and what they log.
//!
//! ```text
//!   pod 1                            node                               pod 2
//!   app    uid 1000  9000, 8081      client, app  9000, 9001            as pod 1
//!   Envoy            15001, 15006    10.77.3.1, fd77:3::1 are its own
//!   10.77.1.2 fd77:1::2 ========= 10.77.1.1  10.77.2.1 ========= 10.77.2.2 fd77:2::2
//! ```
//! Envoy is the one that `scripts/setup.sh e2e` installs, or `NFTMESH_ENVOY` names. A test program
//! that uses this has `mod support;` and `#[path = "support/traffic/mod.rs"] mod traffic;`.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "every test program uses the part it needs")]
#![allow(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod app;
mod config;
mod logs;
mod mesh;
mod net;
mod process;

pub use app::{Answer, App, call};
pub use config::{Mode, Sidecar};
pub use logs::{Hop, Logged, logged};
pub use mesh::{Mesh, Meshed};
pub use net::{Net, V4, V6};
pub use process::{Envoy, needs_envoy, path};

/// Returns whether `make e2e` runs this, which takes its time and prints what was seen.
pub fn is_long() -> bool {
    std::env::var_os("NFTMESH_E2E").is_some()
}
