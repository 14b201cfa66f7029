//! The bytes of a packet's headers, as far as they are known.
//!
//! Addresses, ports, the protocol, the length and the TCP flags are fields of a [`Packet`]. The
//! rest of a header is known if [`Packet::bytes`] gives it, or if it is fixed for an unfragmented
//! packet without options. An unknown byte stays open: a program may load it and mask it away, but
//! where it would decide, the result is not known.

use std::fmt;

use super::cells::{Cell, Input};
use super::icmp::is_icmp;
use super::packet::Packet;
use crate::bytecode::PayloadBase;
use crate::model::{IpFamily, Protocol};

/// The first bytes of the headers of a packet; `None` for one that is not known.
///
/// The other fields of a [`Packet`] take precedence over these.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct HeaderBytes {
    /// The IP header.
    pub network: Vec<Option<u8>>,
    /// The bytes after the IP header.
    pub transport: Vec<Option<u8>>,
}

impl HeaderBytes {
    pub(super) fn set(bytes: &mut Vec<Option<u8>>, at: usize, to: &[Option<u8>]) {
        if bytes.len() < at + to.len() {
            bytes.resize(at + to.len(), None);
        }
        bytes.iter_mut().skip(at).zip(to).for_each(|(slot, byte)| *slot = *byte);
    }

    /// Forgets bytes that were changed on the way.
    fn forget(bytes: &mut [Option<u8>], range: std::ops::Range<usize>) {
        bytes.iter_mut().skip(range.start).take(range.len()).for_each(|slot| *slot = None);
    }
}

/// Prints bytes as hexadecimal digits, `??` for one that is not known.
pub(super) struct Hex<'a>(pub(super) &'a [Option<u8>]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| match byte {
            Some(byte) => write!(f, "{byte:02x}"),
            None => f.write_str("??"),
        })
    }
}

/// Reads what [`Hex`] prints.
pub(super) fn hex(word: &str, text: &str) -> Result<Vec<Option<u8>>, String> {
    let byte = |pair: &[u8]| match pair {
        b"??" => Some(None),
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digits = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(digits, 16).ok().map(Some)
        }
        _ => None,
    };
    let bytes = text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<_>>>();
    bytes.filter(|bytes| !bytes.is_empty() && bytes.len() <= MOST_BYTES).ok_or_else(|| {
        format!("{word} {text:?}: give the first bytes of the header in hexadecimal, ?? for one that is not known, as in 0800????0007")
    })
}

impl Packet {
    /// Returns a byte after the IP header, if it is known.
    pub(super) fn transport_byte(&self, at: usize) -> Option<u8> {
        let [source, destination, id] = [self.sport, self.dport, self.icmp_id].map(u16::to_be_bytes);
        let ports = [source, destination].concat();
        let given = || self.bytes.transport.get(at).copied().flatten();
        match (self.protocol, at) {
            (protocol, 0..4) if protocol.has_ports() => ports.get(at).copied(),
            (protocol, 0..2) if is_icmp(protocol) => ports.get(at).copied(),
            // A checksum or an id of 0 was not given, unless the bytes contain it.
            (protocol, 2..4) if is_icmp(protocol) && self.dport != 0 => ports.get(at).copied(),
            (protocol, 4..6) if is_icmp(protocol) && self.icmp_id != 0 => id.get(at - 4).copied(),
            (protocol, 0..4) if !is_icmp(protocol) && (self.sport, self.dport) != (0, 0) => ports.get(at).copied(),
            (Protocol::TCP, 13) => Some(self.tcp_flags.bits()),
            _ => given(),
        }
    }

    fn network_byte(&self, at: usize) -> Option<u8> {
        self.bytes.network.get(at).copied().flatten()
    }

    /// Returns whether it is known to be a fragment of an IPv4 packet: more follow, or came before.
    pub(super) fn is_fragment(&self) -> bool {
        let follows = self.network_byte(6).is_some_and(|byte| byte & 0x20 != 0);
        self.destination.is_ipv4() && (follows || self.is_later_fragment())
    }

    /// Returns whether it is known to be a fragment of an IPv4 packet other than the first.
    pub(super) fn is_later_fragment(&self) -> bool {
        let is_any = |at: usize, mask: u8| self.network_byte(at).is_some_and(|byte| byte & mask != 0);
        self.destination.is_ipv4() && (is_any(6, 0x1f) || is_any(7, 0xff))
    }

    /// Returns whether its protocol is an extension header of IPv6: what comes after that is not
    /// known (ipv6_find_hdr, net/ipv6/exthdrs_core.c, v6.12).
    pub(super) fn is_after_extension(&self) -> bool {
        self.destination.is_ipv6() && EXTENSIONS.contains(&self.protocol.0)
    }

    /// Returns a byte of an input that is part of a header.
    pub(super) fn header_cell(&self, input: Input, byte: u8) -> Cell {
        let at = usize::from(byte);
        let open = |mask, xor| Cell::Open { input, byte, mask, xor };
        match input {
            Input::Dport => self.transport_byte(2 + at).map_or(Cell::open(input, byte), Cell::Known),
            Input::Network => match (self.network_byte(at), self.family(), at) {
                (Some(known), _, _) => Cell::Known(known),
                // Version 4, and five words: no options.
                (None, IpFamily::Ipv4, 0) => Cell::Known(0x45),
                (None, IpFamily::Ipv6, 0) => open(0x0f, 0x60),
                // Not a fragment, but "don't fragment" may be set.
                (None, IpFamily::Ipv4, 6) => open(0x40, 0),
                (None, IpFamily::Ipv4, 7) => Cell::Known(0),
                _ => Cell::open(input, byte),
            },
            Input::Sport => self.transport_byte(at).map_or(Cell::open(input, byte), Cell::Known),
            Input::TcpFlags => self.transport_byte(TCP_FLAGS).map_or(Cell::open(input, byte), Cell::Known),
            _ => self.transport_byte(TRANSPORT_FROM + at).map_or(Cell::open(input, byte), Cell::Known),
        }
    }

    /// Returns a byte that no input has: of IP options, or further on in the packet.
    pub(super) fn further(&self, base: PayloadBase, at: usize) -> Option<Cell> {
        match base {
            PayloadBase::NETWORK => self.network_byte(at).map(Cell::Known),
            PayloadBase::TRANSPORT => self.transport_byte(at).map(Cell::Known),
            _ => None,
        }
    }

    /// Returns a byte of the length field in the IP header, which for IPv4 includes the header and
    /// for IPv6 does not; 0 if the length does not fit.
    pub(super) fn ip_length(&self, at: usize) -> Option<Cell> {
        let length = match self.family() {
            IpFamily::Ipv4 => self.length,
            IpFamily::Ipv6 => self.length.saturating_sub(40),
        };
        u16::try_from(length).unwrap_or(0).to_be_bytes().get(at).copied().map(Cell::Known)
    }

    /// Returns the length of the IP header, which has no options unless the bytes contain a greater
    /// length.
    pub(super) fn network_length(&self) -> u32 {
        match (self.family(), self.network_byte(0)) {
            (IpFamily::Ipv4, Some(first)) => u32::from(first & 0x0f) * 4,
            (IpFamily::Ipv4, None) => 20,
            (IpFamily::Ipv6, _) => 40,
        }
    }

    /// Returns whether the packet ends before byte `end` of a header: a rule that loads it ends
    /// there (nft_payload_eval, net/netfilter/nft_payload.c, v6.12). `None` for a protocol without
    /// ports, whose shortest packet is not known here.
    pub(super) fn ends_before(&self, base: PayloadBase, end: u32) -> Option<bool> {
        let header = self.network_length();
        let needed = match base {
            PayloadBase::NETWORK => end,
            PayloadBase::TRANSPORT => header.saturating_add(end),
            _ => return Some(false),
        };
        let known = self.bytes.transport.len().try_into().map_or(header, |len: u32| header.saturating_add(len));
        let is_there = needed <= self.length || base == PayloadBase::NETWORK && needed <= header;
        match self.protocol.has_ports() || is_icmp(self.protocol) {
            true => Some(!is_there),
            false if is_there || needed <= known => Some(false),
            false => None,
        }
    }

    /// Forgets the checksums, after addresses, ports or ids have changed.
    pub(super) fn forget_checksums(&mut self) {
        let HeaderBytes { network, transport } = &mut self.bytes;
        if self.destination.is_ipv4() {
            HeaderBytes::forget(network, IPV4_CHECKSUM);
        }
        let Some(range) = checksum(self.protocol) else { return };
        HeaderBytes::forget(transport, range);
    }

    /// Takes the packet one hop further: decreases the time to live, and forgets the IPv4 checksum.
    /// Returns `false` if no time is left.
    pub(super) fn hop(&mut self) -> bool {
        let at = match self.family() {
            IpFamily::Ipv4 => 8,
            IpFamily::Ipv6 => 7,
        };
        if self.destination.is_ipv4() {
            HeaderBytes::forget(&mut self.bytes.network, IPV4_CHECKSUM);
        }
        match self.bytes.network.get_mut(at) {
            Some(Some(left)) if *left <= 1 => return false,
            Some(Some(left)) => *left -= 1,
            Some(None) | None => {}
        }
        true
    }
}

/// Returns the offset of the checksum after the IP header; `None` for a protocol whose ports are
/// not translated.
pub(super) fn checksum(protocol: Protocol) -> Option<std::ops::Range<usize>> {
    match protocol {
        Protocol::DCCP | Protocol::UDP | Protocol::UDPLITE => Some(6..8),
        Protocol::ICMP | Protocol::ICMPV6 => Some(2..4),
        Protocol::SCTP => Some(8..12),
        Protocol::TCP => Some(16..18),
        _ => None,
    }
}

/// Hop-by-hop options, routing, fragment, authentication, destination options.
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];
/// The offset of the TCP flags.
pub(super) const TCP_FLAGS: usize = 13;
/// The ports come before this offset.
pub(super) const TRANSPORT_FROM: usize = 4;
pub(super) const IPV4_CHECKSUM: std::ops::Range<usize> = 10..12;
/// More bytes than rules can load.
const MOST_BYTES: usize = 256;
