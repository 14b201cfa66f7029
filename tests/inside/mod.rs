//! Tests of what users cannot reach: the bodies of the fuzz targets, and both encoders over
//! whatever the kernel held.
//!
//! They are part of the library's own test program (`cargo test --lib inside::`), and share the
//! harness of the programs in tests/.

mod beside;
#[cfg(all(feature = "mesh", feature = "sim", feature = "import"))]
mod corpus;
#[path = "../support/agree/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "other test programs use more of it")]
mod dice;
#[cfg(feature = "import")]
mod import;
#[cfg(feature = "json")]
mod json;
mod language;
mod language_page;
mod laws;
#[cfg(all(feature = "mesh", feature = "sim"))]
mod mutants;
#[cfg(all(feature = "mesh", feature = "sim"))]
mod mutated;
#[path = "../support/nft_grammar.rs"]
#[allow(unreachable_pub, reason = "other test programs use it too")]
mod nft_grammar;
#[path = "../support/nft_language/mod.rs"]
#[allow(unreachable_pub, reason = "it is shared with other test programs")]
mod nft_language;
mod objects;
mod raised;
mod raised_nft;
mod raised_random;
mod restore;
mod sayings;
#[cfg(all(feature = "mesh", feature = "sim"))]
#[path = "../support/sidecar.rs"]
mod sidecar;
mod text;
mod text_mutants;
mod text_random;
mod text_unequal;
