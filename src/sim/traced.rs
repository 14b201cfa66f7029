//! Packets from the kernel's trace.

use super::header::HeaderBytes;
use super::icmp::is_icmp;
use super::packet::Packet;
use crate::model::{Protocol, TcpFlags};
use crate::state::TracedPacket;

impl Packet {
    /// Returns the packet that a trace shows, with this mark; `None` if the trace has no IP header
    /// with addresses, or if an IPv6 extension header follows, because a trace does not show what
    /// comes after it.
    ///
    /// A trace does not show the sender and the link-layer type: there is no socket, and the type
    /// is `host`.
    #[must_use]
    pub fn traced(shown: &TracedPacket, mark: u32) -> Option<Packet> {
        let (source, destination) = shown.addresses()?;
        let protocol = shown.protocol()?;
        let shown_by = Packet::plain(protocol, source, destination);
        if shown_by.is_after_extension() {
            return None;
        }
        let two = |from: &[u8], at: usize| from.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
        let length = match source {
            std::net::IpAddr::V4(_) => u32::from(two(&shown.network, 2)?),
            // The length of what follows the header.
            std::net::IpAddr::V6(_) => u32::from(two(&shown.network, 4)?) + 40,
        };
        let known = |bytes: &[u8]| bytes.iter().copied().map(Some).collect();
        let bytes = HeaderBytes { network: known(&shown.network), transport: known(&shown.transport) };
        let flags = shown.transport.get(13).copied().filter(|_| protocol == Protocol::TCP).unwrap_or(0);
        Some(Packet {
            sport: two(&shown.transport, 0).unwrap_or(0),
            dport: two(&shown.transport, 2).unwrap_or(0),
            icmp_id: two(&shown.transport, 4).filter(|_| is_icmp(protocol)).unwrap_or(0),
            tcp_flags: TcpFlags::from_bits_retain(flags),
            mark,
            length,
            bytes,
            ..shown_by
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(network: &[u8], transport: &[u8]) -> TracedPacket {
        TracedPacket { network: network.to_vec(), transport: transport.to_vec(), ..TracedPacket::default() }
    }

    #[test]
    fn a_traced_header_reads_as_its_packet() {
        let v4 = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let mut segment = [0; 20];
        segment[..4].copy_from_slice(&[0x0f, 0xa0, 0, 80]);
        segment[13] = 0x12;
        let mut packet = Packet::traced(&shown(&v4, &segment), 7).expect("a packet");
        assert_eq!(packet.bytes.network.len(), 20);
        packet.bytes = HeaderBytes::default();
        assert_eq!(packet.to_string(), "tcp 10.0.0.1:4000 -> 10.0.0.2:80 mark 0x7 flags syn,ack");

        let mut v6 = [0; 40];
        (v6[0], v6[5], v6[6], v6[23], v6[39]) = (0x60, 13, 17, 1, 2);
        let mut packet = Packet::traced(&shown(&v6, &[0, 53, 0x13, 0x88]), 0).expect("a packet");
        assert_eq!(packet.bytes.transport, [0, 53, 0x13, 0x88].map(Some));
        packet.bytes = HeaderBytes::default();
        assert_eq!(packet.to_string(), "udp [::1]:53 -> [::2]:5000 length 53");

        // What comes after hop-by-hop options is not shown.
        v6[6] = 0;
        assert_eq!(Packet::traced(&shown(&v6, &[0, 53, 0x13, 0x88]), 0), None);

        for cut in [&v4[..0], &v4[..2], &v4[..16]] {
            assert_eq!(Packet::traced(&shown(cut, &segment), 0), None);
        }
    }
}
