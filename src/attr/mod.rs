//! Netlink attributes: a reader that is total, and a writer. Knows no subsystem.

mod read;
mod write;

pub(crate) use read::{Attribute, Attributes, Malformed, Message, Messages, u32_at};
#[cfg(test)]
pub(crate) use write::NLA_F_NESTED;
pub(crate) use write::{AttributeWriter, set, too_long};
