//! What a comparison of two rule sets says is what trying every packet of a small space says.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::compare(bytes));
