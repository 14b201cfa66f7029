//! Decodes the kernel's answer to a batch.

use crate::attr::{Attributes, Malformed, Message, Messages, u32_at};

/// One acknowledgement of success or failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Sequence number of the message it answers.
    pub(crate) sequence: u32,
    /// The errno, positive; 0 for success.
    pub(crate) errno: i32,
    /// The offset of the offending attribute from the start of the message, if the kernel reports
    /// it (`NLMSGERR_ATTR_OFFS`).
    pub(crate) offset: Option<usize>,
    /// The kernel's message (`NLMSGERR_ATTR_MSG`).
    pub(crate) text: Option<String>,
}

/// Returns the acknowledgements of a datagram; other messages are skipped.
pub(crate) fn acks(datagram: &[u8]) -> impl Iterator<Item = Result<Ack, Malformed>> {
    Messages::new(datagram).filter_map(|message| match message {
        Ok(message) if message.kind == NLMSG_ERROR => Some(ack(&message)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// Decodes `struct nlmsgerr`: the error, the header of the message it answers, attributes.
fn ack(message: &Message<'_>) -> Result<Ack, Malformed> {
    let malformed = Malformed { at: 0 };
    let code = u32_at(message.payload, 0).ok_or(malformed)?;
    let length = u32_at(message.payload, 4).and_then(|length| usize::try_from(length).ok()).ok_or(malformed)?;
    // With NETLINK_CAP_ACK, and for every success, only the header is repeated.
    let request = if message.flags & NLM_F_CAPPED != 0 || code == 0 { 16 } else { length.max(16).next_multiple_of(4) };
    let attributes = match message.flags & NLM_F_ACK_TLVS {
        0 => &[],
        _ => message.payload.get(4 + request..).ok_or(malformed)?,
    };
    let attributes = Attributes::new(attributes);
    let offset = attributes.clone().find(NLMSGERR_ATTR_OFFS).and_then(|attribute| attribute.u32());
    let text = attributes.find(NLMSGERR_ATTR_MSG).and_then(|attribute| attribute.text().map(str::to_owned));
    Ok(Ack {
        sequence: message.sequence,
        errno: i32::from_ne_bytes(code.to_ne_bytes()).saturating_neg(),
        offset: offset.and_then(|offset| usize::try_from(offset).ok()),
        text,
    })
}

const NLMSG_ERROR: u16 = 2;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
