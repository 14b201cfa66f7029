//! Any program on any packet comes to an end, and its walk prints.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::walk(bytes));
