//! Compares the kernel and the simulator: random rule sets, real packets, and the results of both.
//!
//! A test program that uses this has `mod support;`, `#[path = "support/traffic/mod.rs"] mod
//! traffic;` and `#[path = "support/agree/mod.rs"] mod agree;`.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "every test program uses the part it needs")]

pub mod dice;
pub mod generate;
pub mod hooks;
pub mod laws;
pub mod owners;
pub mod reported;
pub mod sensors;
pub mod walks;
pub mod ways;
pub mod wires;
pub mod words;
pub mod world;
