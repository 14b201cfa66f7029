//! Acknowledgements of a batch never panic, and become one line.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::replies(bytes));
