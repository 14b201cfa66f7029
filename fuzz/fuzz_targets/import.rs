//! Texts of iptables-save never panic; what is imported has programs, and an error is one line with
//! its place.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::import(bytes));
