//! Texts of nft never panic; what is read prints as a text that is read, and an error has its place
//! in the text.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::text(bytes));
