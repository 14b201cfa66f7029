//! A rule set that validates is the same after encoding and decoding, and after lowering and
//! raising.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::roundtrip(bytes));
