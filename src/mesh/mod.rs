//! Presets for service meshes: what must be installed in a pod, as plain data.
//!
//! Nothing here talks to a kernel: these modules define *what* to install, and the rest of the
//! crate installs it.

pub mod istio;
pub mod ports;
