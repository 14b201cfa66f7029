//! Service meshes as presets: what must be installed in a pod, as plain data.
//!
//! Nothing here talks to a kernel; the modules say *what* is to be installed and leave the *how* to
//! the rest of the crate.

pub mod istio;
pub mod ports;
