//! A datagram of a dump never panics: it decodes, raises and prints, or is an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::decode(bytes));
