//! The live kernel: network namespaces.

mod netns;

pub use netns::NetNs;
