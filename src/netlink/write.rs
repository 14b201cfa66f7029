//! Writes netlink messages. Layout: `struct nlmsghdr`, include/uapi/linux/netlink.h, and
//! `struct nfgenmsg`, include/uapi/linux/netfilter/nfnetlink.h.

use std::io;

use super::{NFNL_SUBSYS_NFTABLES, flag};
use crate::attr::{AttributeWriter, set, too_long};

pub(crate) use crate::sys::Header;

/// A buffer of consecutive whole netlink messages.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    /// Returns the messages as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Reserves room for this many more bytes, so that growing does not copy.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends bytes that already are whole messages.
    pub(crate) fn append(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
    }

    /// Adds a flag to the message that starts there.
    pub(crate) fn add_flag(&mut self, start: usize, flag: u16) {
        if let Some([low, high]) = self.bytes.get_mut(start + 6..start + 8) {
            [*low, *high] = (u16::from_ne_bytes([*low, *high]) | flag).to_ne_bytes();
        }
    }

    /// Appends one message: the header, and the attributes that `body` writes. When `body` fails,
    /// nothing is appended.
    pub(crate) fn message<T>(
        &mut self,
        header: Header,
        body: impl FnOnce(&mut AttributeWriter<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let Header { kind, family, flags, sequence } = header;
        let start = self.bytes.len();
        let [type_low, type_high] = (NFNL_SUBSYS_NFTABLES << 8 | kind).to_ne_bytes();
        let [flags_low, flags_high] = (flags | flag::REQUEST).to_ne_bytes();
        let [a, b, c, d] = sequence.to_ne_bytes();
        // The length follows below; the kernel fills in the port id; then family, version 0,
        // resource 0.
        let length = [0; 4];
        self.bytes.extend_from_slice(&length);
        self.bytes.extend_from_slice(&[type_low, type_high, flags_low, flags_high, a, b, c, d]);
        self.bytes.extend_from_slice(&[0, 0, 0, 0, family, 0, 0, 0]);
        let written = body(&mut AttributeWriter::new(&mut self.bytes)).and_then(|value| {
            let length = self.bytes.len() - start;
            let length = u32::try_from(length).map_err(|_| too_long(length, u32::MAX as usize))?;
            set(&mut self.bytes, start, &length.to_ne_bytes());
            Ok(value)
        });
        if written.is_err() {
            self.bytes.truncate(start);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{self, NLA_F_NESTED};

    fn header() -> Header {
        Header { kind: 6, family: 1, flags: 0, sequence: 7 }
    }

    #[test]
    fn written_attributes_read_back() {
        let mut messages = Messages::default();
        let written = messages.message(header(), |a| {
            a.u8(1, 7);
            a.be16(2, 0x0102);
            a.be32(3, 0x0102_0304);
            a.be64(4, 5);
            a.text(5, "abc")?;
            a.text(6, "")?;
            a.bytes(7, &[1, 2, 3, 4, 5], 5)?;
            a.nest(8, |a| a.nest(9, |a| a.text(10, "x")))
        });
        written.expect("it fits");
        let read: Vec<_> = attr::Messages::new(messages.as_bytes()).collect::<Result<_, _>>().expect("whole");
        let [message] = read.as_slice() else { panic!("{read:?}") };
        assert_eq!((message.kind, message.flags, message.sequence, message.port), (0x0a06, flag::REQUEST, 7, 0));
        let (family, attributes) = message.netfilter().expect("a header");
        let parts: Vec<_> = attributes.collect::<Result<_, _>>().expect("whole");
        let values: Vec<_> = parts.iter().map(|part| (part.kind, part.value)).collect();
        let nested = [[12, 0].as_slice(), &(9 | NLA_F_NESTED).to_ne_bytes(), &[6, 0, 10, 0, b'x', 0, 0, 0]].concat();
        let expected: [(u16, &[u8]); 8] = [
            (1, &[7]),
            (2, &[1, 2]),
            (3, &[1, 2, 3, 4]),
            (4, &[0, 0, 0, 0, 0, 0, 0, 5]),
            (5, b"abc\0"),
            (6, b"\0"),
            (7, &[1, 2, 3, 4, 5]),
            (8, &nested),
        ];
        assert_eq!((family, values.as_slice()), (1, expected.as_slice()));
    }

    #[test]
    fn a_nest_longer_than_65535_bytes_is_an_error_and_leaves_nothing() {
        let fill = |count: usize| {
            let mut messages = Messages::default();
            let written = messages.message(header(), |a| {
                a.nest(1, |a| {
                    (0..count).for_each(|_| a.be32(2, 0));
                    Ok(())
                })
            });
            (written.map_err(|error| error.to_string()), messages.len())
        };
        assert_eq!(fill(8191), (Ok(()), 20 + 4 + 8191 * 8));
        assert_eq!(fill(8192), (Err("65540 bytes where the kernel takes 65535".to_owned()), 0));
    }

    #[test]
    fn a_text_with_a_nul_or_too_long_is_refused() {
        let text = |text: &str| Messages::default().message(header(), |a| a.text(1, text));
        assert!(text(&"x".repeat(255)).is_ok());
        assert!(text(&"x".repeat(256)).is_err());
        assert!(text("a\0b").is_err());
        let bytes = |length| Messages::default().message(header(), |a| a.bytes(1, &vec![0; length], usize::MAX));
        assert!(bytes(65_531).is_ok());
        assert!(bytes(65_532).is_err());
    }
}
