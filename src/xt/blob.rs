//! Writes the data block of an xtables extension field by field: numbers in host byte order,
//! addresses in network byte order.

use std::net::IpAddr;

/// A structure being written.
#[derive(Default)]
pub(crate) struct Blob(Vec<u8>);

impl Blob {
    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    /// `union nf_inet_addr`: an IPv4 address is in its first 4 bytes.
    pub(crate) fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.text(&address.octets(), 16),
            IpAddr::V6(address) => self.text(&address.octets(), 16),
        }
    }

    /// Writes bytes into a field of `length`, padded with zeroes.
    pub(crate) fn text(mut self, bytes: &[u8], length: usize) -> Self {
        let end = self.0.len() + length;
        self.0.extend(bytes);
        self.0.resize(end, 0);
        self
    }

    /// Pads with zeroes to the next multiple of `align`.
    pub(crate) fn align(mut self, align: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(align), 0);
        self
    }

    /// Returns the bytes, padded as `XT_ALIGN` does (include/uapi/linux/netfilter/x_tables.h).
    pub(crate) fn finish(self) -> Vec<u8> {
        self.align(8).0
    }
}
