//! Reader of netlink messages and attributes. Never panics; a length that runs past the buffer is
//! an error.

/// Bytes that are not a netlink message or attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's answer is cut short at byte {at}")]
pub(crate) struct Malformed {
    /// Where, in bytes from the start of what was read.
    pub(crate) at: usize,
}

/// One netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// `nlmsg_type`.
    pub(crate) kind: u16,
    /// `nlmsg_flags`.
    pub(crate) flags: u16,
    /// `nlmsg_seq`.
    pub(crate) sequence: u32,
    /// `nlmsg_pid`: of the socket that asked for it, or whose commit it tells of; 0 for the kernel
    /// itself.
    pub(crate) port: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Family and attributes of an nfnetlink message; `None` when it is too short for its header
    /// (`struct nfgenmsg`).
    pub(crate) fn netfilter(&self) -> Option<(u8, Attributes<'a>)> {
        let (header, attributes) = self.payload.split_at_checked(4)?;
        Some((*header.first()?, Attributes::new(attributes)))
    }

    /// The errno of a message that ends a dump or refuses a request, positive; 0 for success.
    pub(crate) fn errno(&self) -> Result<i32, Malformed> {
        let code = u32_at(self.payload, 0).ok_or(Malformed { at: 0 })?;
        Ok(i32::from_ne_bytes(code.to_ne_bytes()).saturating_neg())
    }
}

/// The messages of a datagram, in order; the first error ends them.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Messages { rest: datagram, at: 0 }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (rest, at) = (self.rest, self.at);
        let parsed = (|| {
            let length = usize::try_from(u32_at(rest, 0)?).ok()?;
            let payload = rest.get(16..length)?;
            let (kind, flags) = (u16_at(rest, 4)?, u16_at(rest, 6)?);
            let message = Message { kind, flags, sequence: u32_at(rest, 8)?, port: u32_at(rest, 12)?, payload };
            Some((message, length.next_multiple_of(4)))
        })();
        match parsed {
            Some((message, padded)) => {
                self.rest = rest.get(padded..).unwrap_or_default();
                self.at += padded;
                Some(Ok(message))
            }
            None => {
                self.rest = &[];
                Some(Err(Malformed { at }))
            }
        }
    }
}

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribute<'a> {
    /// `nla_type` without its flags.
    pub(crate) kind: u16,
    /// What it holds.
    pub(crate) value: &'a [u8],
    /// Where its header starts, in bytes from the start of the attributes it is one of.
    pub(crate) at: usize,
    /// All of it: header, value, padding.
    pub(crate) raw: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The attributes inside.
    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.value)
    }

    /// A big-endian number.
    pub(crate) fn be32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_be_bytes)
    }

    /// A host-order number.
    pub(crate) fn u32(&self) -> Option<u32> {
        self.value.try_into().ok().map(u32::from_ne_bytes)
    }

    /// A NUL-terminated text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value.strip_suffix(&[0])?).ok()
    }

    /// A big-endian number of 2 bytes that must be one.
    pub(crate) fn need_be16(&self) -> Result<u16, Malformed> {
        self.value.try_into().map(u16::from_be_bytes).map_err(|_| Malformed { at: self.at })
    }

    /// A big-endian number that must be one.
    pub(crate) fn need_be32(&self) -> Result<u32, Malformed> {
        self.be32().ok_or(Malformed { at: self.at })
    }

    /// A big-endian number of 8 bytes that must be one.
    pub(crate) fn need_be64(&self) -> Result<u64, Malformed> {
        self.value.try_into().map(u64::from_be_bytes).map_err(|_| Malformed { at: self.at })
    }
}

/// Attributes, in order; the first error ends them.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Attributes { rest: bytes, at: 0 }
    }

    /// The first attribute of this kind; what is malformed ends the search.
    pub(crate) fn find(self, kind: u16) -> Option<Attribute<'a>> {
        self.map_while(Result::ok).find(|attribute| attribute.kind == kind)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (rest, at) = (self.rest, self.at);
        let parsed = (|| {
            let length = usize::from(u16_at(rest, 0)?);
            let value = rest.get(4..length)?;
            let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
            let padded = length.next_multiple_of(4);
            Some((Attribute { kind, value, at, raw: rest.get(..padded).unwrap_or(rest) }, padded))
        })();
        match parsed {
            Some((attribute, padded)) => {
                self.rest = rest.get(padded..).unwrap_or_default();
                self.at += padded;
                Some(Ok(attribute))
            }
            None => {
                self.rest = &[];
                Some(Err(Malformed { at }))
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Without `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, include/uapi/linux/netlink.h.
const NLA_TYPE_MASK: u16 = 0x3fff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_past_the_end_is_an_error_and_ends_the_iteration() {
        let bytes = [[8, 0, 1, 0, 0, 0, 0, 7].as_slice(), [9, 0, 2, 0, 0].as_slice()].concat();
        let read: Vec<_> = Attributes::new(&bytes).collect();
        let first = Attribute { kind: 1, value: &[0, 0, 0, 7], at: 0, raw: &[8, 0, 1, 0, 0, 0, 0, 7] };
        assert_eq!(read, [Ok(first), Err(Malformed { at: 8 })]);
        assert_eq!(Messages::new(&[0; 15]).collect::<Vec<_>>(), [Err(Malformed { at: 0 })]);
    }

    #[test]
    fn a_length_shorter_than_a_header_is_an_error() {
        assert_eq!(Attributes::new(&[3, 0, 1, 0]).next(), Some(Err(Malformed { at: 0 })));
        let mut message = [0; 16];
        message[0] = 15;
        assert_eq!(Messages::new(&message).next(), Some(Err(Malformed { at: 0 })));
    }
}
