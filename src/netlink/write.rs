//! Writes netlink messages and attributes; the reader is [`attr`](super::attr).
//!
//! Everything is padded to 4 bytes as it is written, so the buffer always ends where the next attribute may begin. A value that does
//! not fit the 16 bits of an attribute's length is an error, never a shorter value. Layout: `struct nlmsghdr` and `struct nlattr`,
//! include/uapi/linux/netlink.h, and `struct nfgenmsg`, include/uapi/linux/netfilter/nfnetlink.h.

use std::io;

use super::{NFNL_SUBSYS_NFTABLES, flag};

pub(crate) use crate::sys::Header;

/// A buffer of whole netlink messages, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    /// The messages as bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for this many more bytes, so that growing does not copy.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    /// Appends bytes that are whole messages already.
    pub(crate) fn append(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
    }

    /// Appends one message: the header, and the attributes that `body` writes. When `body` fails, nothing is appended.
    pub(crate) fn message<T>(
        &mut self,
        header: Header,
        body: impl FnOnce(&mut Attributes<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let Header { kind, family, flags, sequence } = header;
        let start = self.bytes.len();
        let kind = (NFNL_SUBSYS_NFTABLES << 8 | kind).to_ne_bytes();
        let flags = (flags | flag::REQUEST).to_ne_bytes();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[kind, flags].concat());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The port id is the kernel's to fill in; then family, version 0, resource 0.
        self.bytes.extend_from_slice(&[0, 0, 0, 0, family, 0, 0, 0]);
        let written = body(&mut Attributes { bytes: &mut self.bytes }).and_then(|value| {
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

/// Writes attributes at the end of a message.
#[derive(Debug)]
pub(crate) struct Attributes<'m> {
    bytes: &'m mut Vec<u8>,
}

impl<'m> Attributes<'m> {
    /// Appends to these bytes, which are as long as whole attributes are.
    pub(crate) fn new(bytes: &'m mut Vec<u8>) -> Self {
        Attributes { bytes }
    }

    /// Bytes written to the buffer so far.
    pub(crate) fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written after [`position`](Self::position) was this.
    pub(crate) fn rewind(&mut self, position: usize) {
        self.bytes.truncate(position);
    }

    /// One byte.
    pub(crate) fn u8(&mut self, kind: u16, value: u8) {
        self.fixed(kind, [value, 0, 0, 0], 1);
    }

    /// A number of 2 bytes, big endian.
    pub(crate) fn be16(&mut self, kind: u16, value: u16) {
        let [high, low] = value.to_be_bytes();
        self.fixed(kind, [high, low, 0, 0], 2);
    }

    /// A number of 4 bytes, big endian.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.fixed(kind, value.to_be_bytes(), 4);
    }

    /// A number of 8 bytes, big endian.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.fixed(kind, value.to_be_bytes(), 8);
    }

    /// A NUL-terminated text of at most [`TEXT`] bytes.
    pub(crate) fn text(&mut self, kind: u16, text: &str) -> io::Result<()> {
        if text.len() > TEXT {
            return Err(too_long(text.len(), TEXT));
        }
        if text.as_bytes().contains(&0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name or text holds a NUL byte"));
        }
        // At least one NUL follows the text, also where no padding is needed.
        self.header(kind, text.len() + 1)?;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.pad();
        Ok(())
    }

    /// Bytes, at most `max`.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8], max: usize) -> io::Result<()> {
        if value.len() > max {
            return Err(too_long(value.len(), max));
        }
        self.header(kind, value.len())?;
        self.bytes.extend_from_slice(value);
        self.pad();
        Ok(())
    }

    /// Attributes as they were read, header and padding included.
    pub(crate) fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
        self.pad();
    }

    /// An attribute that holds attributes which were read from one like it, so that they fit.
    pub(crate) fn nest_raw(&mut self, kind: u16, attributes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        self.raw(attributes);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        set(self.bytes, start, &length.to_ne_bytes());
    }

    /// An attribute that holds the attributes that `inside` writes; an error when they are more than one attribute can hold.
    pub(crate) fn nest<T>(
        &mut self,
        kind: u16,
        inside: impl FnOnce(&mut Attributes<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NLA_F_NESTED).to_ne_bytes());
        let value = inside(self)?;
        let length = self.bytes.len() - start;
        let length = u16::try_from(length).map_err(|_| too_long(length, NEST))?;
        set(self.bytes, start, &length.to_ne_bytes());
        Ok(value)
    }

    fn fixed<const N: usize>(&mut self, kind: u16, value: [u8; N], length: u16) {
        let ([a, b], [c, d]) = ((HEADER as u16 + length).to_ne_bytes(), kind.to_ne_bytes());
        self.bytes.extend_from_slice(&[a, b, c, d]);
        self.bytes.extend_from_slice(&value);
    }

    fn header(&mut self, kind: u16, length: usize) -> io::Result<()> {
        let whole = u16::try_from(HEADER + length).map_err(|_| too_long(length, NEST - HEADER))?;
        let ([a, b], [c, d]) = (whole.to_ne_bytes(), kind.to_ne_bytes());
        self.bytes.extend_from_slice(&[a, b, c, d]);
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Overwrites bytes that are there already.
fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

pub(super) fn too_long(length: usize, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{length} bytes where the kernel takes {max}"))
}

/// Longest text: `NFT_NAME_MAXLEN` - 1, include/uapi/linux/netfilter/nf_tables.h.
pub(super) const TEXT: usize = 255;
/// The most that one attribute can be, its header included: the length has 16 bits.
pub(super) const NEST: usize = 0xffff;
/// `NLA_HDRLEN`.
const HEADER: usize = 4;
/// include/uapi/linux/netlink.h
const NLA_F_NESTED: u16 = 0x8000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attr;

    fn header() -> Header {
        Header { kind: 6, family: 1, flags: 0, sequence: 7 }
    }

    #[test]
    fn what_is_written_is_what_the_reader_reads() {
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
    fn a_nest_longer_than_16_bits_can_say_is_an_error_and_leaves_nothing() {
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
