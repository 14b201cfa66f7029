//! The parts of a packet that rules read.

use std::net::IpAddr;

use super::header::HeaderBytes;
use crate::model::{CtDirection, CtState, CtStatus, IpFamily, PktType, Protocol, TcpFlags};

/// The headers of a packet, its sender, and its mark. Numbers are plain numbers, regardless of
/// their byte order on the wire.
///
/// Prints as text that reads back as the same packet:
///
/// ```text
/// PROTOCOL SOURCE -> DESTINATION   the protocol by name or number; addresses, with ports if the
///                                  protocol has them: 10.0.0.1:80, [fd00::1]:80
///     uid N gid N cgroup N         the socket that sends it: both of the first, or none
///     mark N length N              N is decimal, or hexadecimal as in 0x539
///     flags LIST                   for TCP, such as syn,ack, or none
///     pkttype WORD                 host, broadcast, multicast, other, or a number
///     type WORD code N             for ICMP and ICMPv6; the type, by name or number, is required
///     checksum N id N              for these too; the id distinguishes echoes
///     about PACKET                 for an ICMP error, the packet that it is about, as the sender
///                                  of the error received it; always last
///     network HEX transport HEX    the first bytes of the IP header, and of what follows; ?? for
///                                  one that is not known
/// ```
/// Anything left out is as in the first packet of a connection without payload: flags `syn` for
/// TCP, no socket, no mark, packet type host, no IP options. Bytes of the headers that are not
/// given are unknown: if a rule tests one, the walk cannot continue.
///
/// ```
/// use nftmesh::model::{IcmpType, TcpFlags};
/// use nftmesh::sim::Packet;
///
/// let answer: Packet = "tcp 10.77.0.1:9000 -> 10.77.0.2:40000 mark 0x539 flags syn,ack".parse()?;
/// assert_eq!((answer.mark, answer.tcp_flags), (1337, TcpFlags::SYN | TcpFlags::ACK));
/// assert_eq!(answer.to_string().parse::<Packet>()?, answer);
///
/// let ping: Packet = "icmp 10.77.0.1 -> 10.77.0.2 type echo-request code 0".parse()?;
/// assert_eq!(ping.sport, u16::from_be_bytes([IcmpType::ECHO_REQUEST.0, 0]));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Packet {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Source address, of the family of `destination`.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The first two bytes of the transport header: the source port; for ICMP and ICMPv6, the type
    /// in the upper byte and the code in the lower. For a protocol without ports, 0 means not
    /// known.
    pub sport: u16,
    /// The next two bytes: the destination port; for ICMP and ICMPv6, the checksum. For these and
    /// other protocols without ports, 0 means not known.
    pub dport: u16,
    /// Bytes 4 and 5 of an ICMP header: the id of an echo; 0 means not known.
    pub icmp_id: u16,
    /// The TCP flags.
    pub tcp_flags: TcpFlags,
    /// The local socket that sent it; `None` for packets from elsewhere or from the kernel itself.
    pub owner: Option<Owner>,
    /// Mark of the packet.
    pub mark: u32,
    /// Length in bytes, without the link layer.
    pub length: u32,
    /// Link-layer packet type.
    pub pkttype: PktType,
    /// Bytes of the headers that are not in the fields above.
    pub bytes: HeaderBytes,
    /// For an ICMP error, the packet that it is about; without one, the connection it belongs to is
    /// not known.
    pub about: Option<Box<Packet>>,
}

/// The owner of a socket.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Control group (`meta cgroup`).
    pub cgroup: u32,
}

impl Owner {
    /// Returns an owner with this user and group.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Self {
        Owner { uid, gid, cgroup: 0 }
    }
}

impl Packet {
    /// Returns the first packet of a TCP connection.
    #[must_use]
    pub fn tcp(source: std::net::SocketAddr, destination: std::net::SocketAddr) -> Self {
        Packet { protocol: Protocol::TCP, tcp_flags: TcpFlags::SYN, length: 60, ..Packet::udp(source, destination) }
    }

    /// Returns a UDP datagram without payload.
    #[must_use]
    pub fn udp(source: std::net::SocketAddr, destination: std::net::SocketAddr) -> Self {
        Packet {
            protocol: Protocol::UDP,
            source: source.ip(),
            destination: destination.ip(),
            sport: source.port(),
            dport: destination.port(),
            icmp_id: 0,
            tcp_flags: TcpFlags::empty(),
            owner: None,
            mark: 0,
            length: if destination.is_ipv4() { 28 } else { 48 },
            pkttype: PktType::HOST,
            bytes: HeaderBytes::default(),
            about: None,
        }
    }

    /// Returns whether this is a TCP segment other than the first of its connection.
    pub(super) fn is_segment(&self) -> bool {
        let begins = self.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN;
        self.protocol == Protocol::TCP && !begins
    }

    /// Sets the socket's user and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some(Owner::new(uid, gid));
        self
    }

    /// Returns the network-layer family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        IpFamily::of(self.destination)
    }
}

/// An interface, as rules see it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// Index.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
}

impl Interface {
    /// Returns the interface of that index and name.
    pub fn new(index: u32, name: impl Into<String>) -> Self {
        Interface { index, name: name.into() }
    }
}

/// The state of a packet in connection tracking.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Connection {
    /// State, one of the five.
    pub state: CtState,
    /// Whether the packet has the direction of the first one.
    pub direction: CtDirection,
    /// Status bits.
    pub status: CtStatus,
    /// Mark of the connection.
    pub mark: u32,
    /// Zone.
    pub zone: u16,
    /// Whether the packet had a connection before it reached the hook: it came through lo.
    pub attached: bool,
}

impl Default for Connection {
    /// Returns a new connection.
    fn default() -> Self {
        Connection {
            state: CtState::NEW,
            direction: CtDirection::Original,
            status: CtStatus::empty(),
            mark: 0,
            zone: 0,
            attached: false,
        }
    }
}

/// The socket that would receive a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Receiver {
    /// Whether it is transparent.
    pub transparent: bool,
    /// Whether it is bound to the unspecified address.
    pub wildcard: bool,
    /// Its mark.
    pub mark: u32,
    /// Whether it belongs to a TCP handshake that waits for its last packet: a rule that reads its
    /// mark, or whether it is bound to the unspecified address, ends.
    pub handshake: bool,
}
