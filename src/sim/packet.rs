//! A packet, as far as rules look at one.

use std::net::IpAddr;

use super::header::HeaderBytes;
use crate::model::{CtDirection, CtState, CtStatus, IpFamily, PktType, Protocol, TcpFlags};

/// The headers of a packet, who sent it, and its mark. Numbers are plain numbers, whatever their
/// order on the wire.
///
/// Prints as text that reads back as the same packet:
///
/// ```text
/// PROTOCOL SOURCE -> DESTINATION   the protocol by name or number; addresses with ports where it has them: 10.0.0.1:80, [fd00::1]:80
///     uid N gid N cgroup N         the socket that sends it: both of the first, or none
///     mark N length N              N is decimal, or hexadecimal as in 0x539
///     flags LIST                   of TCP, such as syn,ack, or none
///     pkttype WORD                 host, broadcast, multicast, other, or a number
///     type WORD code N             of ICMP and ICMPv6; the type, by name or number, has to be there
///     checksum N id N              of these too; the id tells echoes apart
///     about PACKET                 of an error of ICMP, the packet that it is about, as that came to who sends it; last of all
///     network HEX transport HEX    the first bytes of the header of IP, and of what follows; ?? for one that is not known
/// ```
/// What is left out is as in the first packet of a connection without contents: flags `syn` of TCP,
/// no socket, no mark, packet type host, no options of IP. Bytes of the headers that nothing says
/// are not known: where a rule decides by one, a walk cannot tell.
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Packet {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Source address, of the family of `destination`.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The first two bytes of the transport header: the source port; of ICMP and ICMPv6, the type
    /// in the upper byte and the code in the lower. Of a protocol without ports 0 says nothing.
    pub sport: u16,
    /// The two bytes behind: the destination port; of ICMP and ICMPv6, the checksum. Of these and
    /// others without ports 0 says nothing.
    pub dport: u16,
    /// Bytes 4 and 5 of an ICMP header: of an echo, which one it is. What rules find there is not
    /// known when it is 0.
    pub icmp_id: u16,
    /// The flags of TCP.
    pub tcp_flags: TcpFlags,
    /// The socket of this host that sent it; none for what comes from elsewhere or from the kernel
    /// itself.
    pub owner: Option<Owner>,
    /// Mark of the packet.
    pub mark: u32,
    /// Length in bytes, without the link layer.
    pub length: u32,
    /// Link-layer packet type.
    pub pkttype: PktType,
    /// Bytes of the headers that the fields above do not say.
    pub bytes: HeaderBytes,
    /// Of an error of ICMP, the packet that it is about: without one, to which connection it
    /// belongs is not known.
    pub about: Option<Box<Packet>>,
}

/// Who owns a socket.
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
    /// That user and group.
    #[must_use]
    pub fn new(uid: u32, gid: u32) -> Self {
        Owner { uid, gid, cgroup: 0 }
    }
}

impl Packet {
    /// The first packet of a TCP connection.
    #[must_use]
    pub fn tcp(source: std::net::SocketAddr, destination: std::net::SocketAddr) -> Self {
        Packet { protocol: Protocol::TCP, tcp_flags: TcpFlags::SYN, length: 60, ..Packet::udp(source, destination) }
    }

    /// A UDP datagram without contents.
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

    /// Of TCP, and not the first of its connection.
    pub(super) fn is_segment(&self) -> bool {
        let begins = self.tcp_flags & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN;
        self.protocol == Protocol::TCP && !begins
    }

    /// The same from a socket of this user and group.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some(Owner::new(uid, gid));
        self
    }

    /// Network-layer family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        IpFamily::of(self.destination)
    }
}

/// An interface, as rules see one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// Index.
    pub index: u32,
    /// Name, at most 15 bytes.
    pub name: String,
}

impl Interface {
    /// The interface of that index and name.
    pub fn new(index: u32, name: impl Into<String>) -> Self {
        Interface { index, name: name.into() }
    }
}

/// What connection tracking knows of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Connection {
    /// State, one of the five.
    pub state: CtState,
    /// Whether the packet goes the way of the first one.
    pub direction: CtDirection,
    /// Status bits.
    pub status: CtStatus,
    /// Mark of the connection.
    pub mark: u32,
    /// Zone.
    pub zone: u16,
    /// Whether tracking had the packet before it came to the hook: through lo.
    pub attached: bool,
}

impl Default for Connection {
    /// A new one.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Receiver {
    /// It is transparent.
    pub transparent: bool,
    /// It is bound to the unspecified address.
    pub wildcard: bool,
    /// Its mark.
    pub mark: u32,
    /// It is that of a TCP handshake that waits for its last packet: a rule that asks for its mark,
    /// or whether it is bound to the unspecified address, ends.
    pub handshake: bool,
}
