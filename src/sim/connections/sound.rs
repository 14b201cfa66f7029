//! The checks of connection tracking before it looks up a packet: the `error` functions of its
//! protocols (net/netfilter/nf_conntrack_proto_*.c, v6.12).
//!
//! Unknown bytes are assumed to be right. The known ones may show that tracking considers the
//! packet invalid, or that only its contents decide.

use std::net::IpAddr;

use crate::model::{Hook, Protocol, TcpFlags};
use crate::sim::inputs::CannotTell;
use crate::sim::packet::Packet;

/// Returns whether tracking looks the packet up; otherwise it is invalid.
pub(in crate::sim) fn is_sound(packet: &Packet, hook: Hook) -> Result<bool, CannotTell> {
    let bytes = Bytes::of(packet);
    let is_known = |at: usize| bytes.byte(at).is_some();
    match packet.protocol {
        Protocol::TCP => {
            let header = bytes.byte(12).map_or(TCP_HEADER, |byte| u32::from(byte >> 4) * 4);
            if header < TCP_HEADER || bytes.length < header || !VALID.contains(&(packet.tcp_flags & ASKED)) {
                return Ok(false);
            }
        }
        Protocol::UDP => {
            let length = bytes.word(4).map_or(8, u32::from);
            if bytes.length < 8 || length < 8 || length > bytes.length {
                return Ok(false);
            }
            // The sender did not compute a checksum.
            if bytes.word(6) == Some(0) {
                return Ok(true);
            }
        }
        // The kernel computes it as for UDP, so it is right only if the interface has already
        // checked it.
        Protocol::UDPLITE if hook == Hook::Prerouting => {
            return Err(CannotTell::new("whether connection tracking accepts the checksum of UDP-Lite"));
        }
        Protocol::UDPLITE => {
            let covered = bytes.word(4).map_or(0, u32::from);
            let is_covered = covered == 0 || (8..=bytes.length).contains(&covered);
            return Ok(bytes.length >= 8 && is_covered && bytes.word(6) != Some(0));
        }
        Protocol::ICMP | Protocol::ICMPV6 if bytes.length < 8 => return Ok(false),
        Protocol::ICMP | Protocol::ICMPV6 => {}
        Protocol::SCTP if bytes.length < 12 => return Ok(false),
        // Linux 6.18 tracks DCCP like any other protocol.
        Protocol::DCCP | Protocol::SCTP if bytes.length < 12 || (4..12).any(is_known) => {
            return Err(CannotTell::new("what connection tracking makes of the contents of SCTP or DCCP"));
        }
        Protocol::GRE if bytes.byte(1).is_some_and(|byte| byte & 7 != 0) => {
            return Err(CannotTell::new("to which call of PPTP connection tracking counts the packet"));
        }
        _ => return Ok(true),
    }
    if hook == Hook::Prerouting && bytes.has_wrong_checksum() {
        return Err(CannotTell::new("a checksum is wrong, and whether connection tracking looks at it is not known"));
    }
    Ok(true)
}

/// The packet after its IP header.
struct Bytes<'a> {
    packet: &'a Packet,
    length: u32,
}

impl Bytes<'_> {
    fn of(packet: &Packet) -> Bytes<'_> {
        Bytes { packet, length: packet.length.saturating_sub(packet.network_length()) }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.packet.transport_byte(at)
    }

    fn word(&self, at: usize) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte(at)?, self.byte(at + 1)?]))
    }

    /// Returns whether all bytes are known and their checksum is wrong. A checksum that the
    /// interface is to complete, which covers only the addresses (`CHECKSUM_PARTIAL`), is not
    /// wrong.
    fn has_wrong_checksum(&self) -> bool {
        let Packet { protocol, source, destination, .. } = *self.packet;
        let Ok(length) = usize::try_from(self.length) else { return false };
        let all: Option<Vec<u8>> = (0..length).map(|at| self.byte(at)).collect();
        let (Some(all), Some(at)) = (all, crate::sim::header::checksum(protocol)) else { return false };
        let mut about = vec![0, protocol.0];
        about.extend(self.length.to_be_bytes());
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => about.extend(address.octets()),
                IpAddr::V6(address) => about.extend(address.octets()),
            }
        }
        if protocol == Protocol::ICMP {
            about.clear();
        }
        let is_completed_later = self.word(at.start) == Some(sum(&about)) && protocol != Protocol::ICMP;
        about.extend(all);
        sum(&about) != u16::MAX && !is_completed_later
    }
}

/// Computes the sum of RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum = words.sum::<u32>();
    while sum > u16::MAX.into() {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// `sizeof(struct tcphdr)`.
const TCP_HEADER: u32 = 20;
/// All flags except `PSH`, `ECE` and `CWR`.
const ASKED: TcpFlags =
    TcpFlags::FIN.union(TcpFlags::SYN).union(TcpFlags::RST).union(TcpFlags::ACK).union(TcpFlags::URG);
/// `tcp_valid_flags`.
const VALID: [TcpFlags; 9] = [
    TcpFlags::SYN,
    TcpFlags::SYN.union(TcpFlags::URG),
    TcpFlags::SYN.union(TcpFlags::ACK),
    TcpFlags::RST,
    TcpFlags::RST.union(TcpFlags::ACK),
    TcpFlags::FIN.union(TcpFlags::ACK),
    TcpFlags::FIN.union(TcpFlags::ACK).union(TcpFlags::URG),
    TcpFlags::ACK,
    TcpFlags::ACK.union(TcpFlags::URG),
];
