//! The interfaces of a network namespace.

use std::collections::BTreeMap;

use super::route_messages as messages;
use super::routes::unreadable;
use super::rtnetlink::Rtnetlink;
use crate::error::Result;

/// The names of the interfaces in the network namespace of the calling thread, by index.
///
/// # Errors
/// When the kernel can't be asked.
pub fn interfaces() -> Result<BTreeMap<u32, String>> {
    let failed = |failure| unreadable("interfaces", &failure);
    let mut netlink = Rtnetlink::open().map_err(|error| failed(error.into()))?;
    let found = netlink.dump(messages::links(), |found: &mut BTreeMap<_, _>, object| {
        found.extend(messages::recognise_link(object)?);
        Ok(())
    });
    found.map_err(failed)
}
