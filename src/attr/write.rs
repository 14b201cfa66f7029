//! Writes attributes; the reader is [`read`](super::read).
//!
//! Everything is padded to 4 bytes as it is written, so the buffer always ends where the next
//! attribute may begin. A value that does not fit the 16 bits of an attribute's length is an error,
//! never a shorter value. Layout: `struct nlattr`, include/uapi/linux/netlink.h.

use std::io;

/// Writes attributes at the end of a buffer.
#[derive(Debug)]
pub(crate) struct AttributeWriter<'m> {
    bytes: &'m mut Vec<u8>,
}

impl<'m> AttributeWriter<'m> {
    /// Appends to these bytes, which are as long as whole attributes are.
    pub(crate) fn new(bytes: &'m mut Vec<u8>) -> Self {
        AttributeWriter { bytes }
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
    #[inline]
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.fixed(kind, value.to_be_bytes(), 4);
    }

    /// A number of 8 bytes, big endian.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.header(kind, 8);
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// A NUL-terminated text of at most [`TEXT`] bytes.
    pub(crate) fn text(&mut self, kind: u16, text: &str) -> io::Result<()> {
        if text.len() > TEXT {
            return Err(too_long(text.len(), TEXT));
        }
        if text.bytes().fold(false, |any, byte| any | (byte == 0)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name or text holds a NUL byte"));
        }
        // At least one NUL follows the text, also where no padding is needed.
        self.value(kind, text.as_bytes(), text.len() + 1)
    }

    /// Bytes, at most `max`.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8], max: usize) -> io::Result<()> {
        if value.len() > max {
            return Err(too_long(value.len(), max));
        }
        self.value(kind, value, value.len())
    }

    /// Attributes as they were read, header and padding included.
    pub(crate) fn raw(&mut self, attributes: &[u8]) {
        self.bytes.extend_from_slice(attributes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// An attribute that holds attributes which were read from one like it, so that they fit.
    pub(crate) fn nest_raw(&mut self, kind: u16, attributes: &[u8]) {
        let start = self.open(kind);
        self.raw(attributes);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        set(self.bytes, start, &length.to_ne_bytes());
    }

    /// An attribute that holds the attributes that `inside` writes; an error when they are more
    /// than one attribute can hold.
    #[inline]
    pub(crate) fn nest<T>(
        &mut self,
        kind: u16,
        inside: impl FnOnce(&mut AttributeWriter<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let start = self.open(kind);
        let value = inside(self)?;
        let length = self.bytes.len() - start;
        let length = u16::try_from(length).map_err(|_| too_long(length, NEST))?;
        set(self.bytes, start, &length.to_ne_bytes());
        Ok(value)
    }

    /// The header of an attribute whose length is not known yet, and where it starts.
    #[inline]
    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        let [c, d] = (kind | NLA_F_NESTED).to_ne_bytes();
        self.bytes.extend_from_slice(&[0, 0, c, d]);
        start
    }

    /// A value of 1 to 4 bytes, padded.
    #[inline]
    fn fixed(&mut self, kind: u16, [e, f, g, h]: [u8; 4], length: u16) {
        let ([a, b], [c, d]) = ((HEADER as u16 + length).to_ne_bytes(), kind.to_ne_bytes());
        self.bytes.extend_from_slice(&[a, b, c, d, e, f, g, h]);
    }

    /// The header of a value that is this long.
    #[inline]
    fn header(&mut self, kind: u16, length: u16) {
        let ([a, b], [c, d]) = ((HEADER as u16 + length).to_ne_bytes(), kind.to_ne_bytes());
        self.bytes.extend_from_slice(&[a, b, c, d]);
    }

    /// Bytes, with at most one NUL up to `length`, padded.
    #[inline]
    fn value(&mut self, kind: u16, value: &[u8], length: usize) -> io::Result<()> {
        let max = NEST - HEADER;
        let short = u16::try_from(length).ok().filter(|_| length <= max);
        self.header(kind, short.ok_or_else(|| too_long(length, max))?);
        self.bytes.extend_from_slice(value);
        let padding = length.next_multiple_of(4) - value.len();
        self.bytes.extend_from_slice([0; 4].get(..padding).unwrap_or_default());
        Ok(())
    }
}

/// Overwrites bytes that are there already.
pub(crate) fn set(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

pub(crate) fn too_long(length: usize, max: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{length} bytes where the kernel takes {max}"))
}

/// Longest text: `NFT_NAME_MAXLEN` - 1, include/uapi/linux/netfilter/nf_tables.h.
const TEXT: usize = 255;
/// The most that one attribute can be, its header included: the length has 16 bits.
const NEST: usize = 0xffff;
/// `NLA_HDRLEN`.
const HEADER: usize = 4;
/// include/uapi/linux/netlink.h
pub(crate) const NLA_F_NESTED: u16 = 0x8000;
