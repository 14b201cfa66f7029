//! Netlink attributes: a reader that is total, a writer, and the numbers that nf_tables gives them.

pub(crate) mod nfta;
mod read;
mod write;

pub(crate) use read::{Attribute, Attributes, Malformed, Message, Messages, u32_at};
pub(crate) use write::{AttributeWriter, NLA_F_NESTED, set, too_long};
