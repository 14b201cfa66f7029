//! Netlink attributes: a reader that is total, a writer, and the numbers that nf_tables gives them.

pub(crate) mod nfta;
mod read;
mod write;

pub(crate) use read::{Attribute, Attributes, Malformed, Message, Messages, u32_at};
#[cfg(test)]
pub(crate) use write::NLA_F_NESTED;
pub(crate) use write::{AttributeWriter, set, too_long};
