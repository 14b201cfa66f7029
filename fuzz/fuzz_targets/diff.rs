//! The plan from one rule set to another does what it says in a kernel that holds the first.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::diff(bytes));
