//! JSON of nft never panics; what is read is written as JSON that is read.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::json(bytes));
