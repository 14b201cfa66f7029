//! Options, environment and files of a host never panic; what resolves is a valid rule set.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nftmesh::fuzz::options(bytes));
