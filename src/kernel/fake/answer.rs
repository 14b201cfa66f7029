//! Refusals as the kernel would send them: which message, and which attribute in it.

use super::stop::{Fault, Spot};
use crate::attr::Attributes;
use crate::netlink::{Ack, Encoded, MessagePart};

/// The acknowledgement of a message that is refused.
pub(super) fn ack(encoded: &Encoded, fault: &Fault) -> Ack {
    let Fault { operation, part, spot, errno } = fault;
    let Some(operation) = operation else {
        return Ack { sequence: encoded.first, errno: *errno, offset: None, text: None };
    };
    let is_it = |index: &usize| {
        let origin = encoded.origins.get(*index);
        origin.is_some_and(|origin| {
            origin.operation == *operation
                && match (part, origin.part) {
                    (MessagePart::Elements { first: code }, MessagePart::Elements { first }) => first <= *code,
                    (part, other) => *part == other,
                }
        })
    };
    // Of the messages with elements, the last that begins at or before this one; else the operation
    // itself.
    let index = (0..encoded.origins.len()).rfind(is_it).unwrap_or_default();
    let origin = encoded.origins.get(index);
    let offset = origin.and_then(|origin| offset(encoded, origin.start, *spot, origin.part));
    let count = u32::try_from(index).unwrap_or(u32::MAX).wrapping_add(1);
    Ack { sequence: encoded.first.wrapping_add(count), errno: *errno, offset, text: None }
}

/// Where in the message that starts there the attribute is.
fn offset(encoded: &Encoded, start: usize, spot: Spot, part: MessagePart) -> Option<usize> {
    let bytes = encoded.messages.as_bytes().get(start..)?;
    let length = bytes.get(..4)?.try_into().map(u32::from_ne_bytes).ok()?;
    let attributes = Attributes::new(bytes.get(HEADERS..usize::try_from(length).ok()?)?);
    let find = |kind| attributes.clone().map_while(Result::ok).find(|attribute| attribute.kind == kind);
    match spot {
        Spot::Whole => None,
        Spot::Attribute(kind) => Some(HEADERS + find(kind)?.at),
        Spot::Nested(kind, index) => {
            let attribute = find(kind)?;
            let first = if let MessagePart::Elements { first } = part { first } else { 0 };
            let nested = attribute.nested().map_while(Result::ok).nth(index.checked_sub(first)?)?;
            Some(HEADERS + attribute.at + 4 + nested.at)
        }
    }
}

/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADERS: usize = 20;
