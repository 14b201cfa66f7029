//! The interfaces of a network namespace.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::sys::interfaces::names_by_index;

/// Returns the names of the interfaces in the network namespace of the calling thread, by index.
///
/// # Errors
/// When the kernel cannot be queried.
pub fn interfaces() -> Result<BTreeMap<u32, String>> {
    names_by_index().map_err(|error| Error::io("read the interfaces in the network namespace", error))
}
