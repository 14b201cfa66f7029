//! Reads the data block of an extension field by field.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::IpFamily;

/// The bytes not read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info<'a> {
    bytes: &'a [u8],
}

impl<'a> Info<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Info { bytes }
    }

    /// Returns the reader if the block has this size, with or without the padding of `XT_ALIGN`
    /// (x_tables.h).
    pub(super) fn sized(self, size: usize) -> Option<Self> {
        (size..size + ALIGN).contains(&self.bytes.len()).then_some(self)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*taken)
    }

    pub(super) fn skip(&mut self, length: usize) -> Option<()> {
        self.bytes = self.bytes.get(length..)?;
        Some(())
    }

    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_ne_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    /// Reads a port in network byte order.
    pub(super) fn port(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn ipv4(&mut self) -> Option<IpAddr> {
        self.take::<4>().map(|octets| Ipv4Addr::from(octets).into())
    }

    /// Reads `union nf_inet_addr`, include/uapi/linux/netfilter.h: an IPv4 address is in its first
    /// 4 bytes.
    pub(super) fn address(&mut self, family: IpFamily) -> Option<IpAddr> {
        match family {
            IpFamily::Ipv4 => {
                let address = self.ipv4()?;
                self.skip(12)?;
                Some(address)
            }
            IpFamily::Ipv6 => self.take::<16>().map(|octets| Ipv6Addr::from(octets).into()),
        }
    }

    /// Reads `length` bytes and returns whether all of them are 0.
    pub(super) fn is_unset(&mut self, length: usize) -> Option<bool> {
        let (these, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(these.iter().all(|byte| *byte == 0))
    }
}

const ALIGN: usize = 8;
