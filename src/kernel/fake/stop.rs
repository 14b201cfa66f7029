//! What is refused, and what is not modelled.

use crate::netlink::MessagePart;

/// A message that is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// `None` when it is the whole batch.
    pub(super) operation: Option<usize>,
    pub(super) part: MessagePart,
    pub(super) spot: Spot,
    pub(super) errno: i32,
}

/// What the kernel points at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// An attribute of the message.
    Attribute(u16),
    /// One of those inside an attribute.
    Nested(u16, usize),
    /// Nothing.
    Whole,
}

/// An operation that is not modelled.
#[derive(Clone, Debug)]
pub(super) struct CannotTell {
    pub(super) operation: usize,
    pub(super) reason: String,
}

/// Why an operation is not taken.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Refused { part: MessagePart, spot: Spot, errno: i32 },
    Unknown(String),
}

pub(super) type Outcome<T = ()> = Result<T, Stop>;

/// Refuses the message of the operation itself, because of that attribute.
pub(super) fn refuse<T>(errno: i32, attribute: u16) -> Outcome<T> {
    Err(Stop::Refused { part: MessagePart::Itself, spot: Spot::Attribute(attribute), errno })
}

/// Refuses the message of the operation itself.
pub(super) fn refuse_whole<T>(errno: i32) -> Outcome<T> {
    Err(Stop::Refused { part: MessagePart::Itself, spot: Spot::Whole, errno })
}
