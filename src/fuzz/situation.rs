//! Packets out of bytes: ordinary and odd ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::source::Source;
use crate::model::{AddrType, CtDirection, CtState, CtStatus, PktType, Protocol, TcpFlags};
use crate::sim::{Connection, Interface, Owner, Packet, Receiver, Situation};

/// Any packet, anywhere.
pub(super) fn situation(from: &mut Source<'_>) -> Situation {
    let is_ipv4 = from.rarely(2);
    let end = |from: &mut Source<'_>| SocketAddr::new(address(from, is_ipv4), from.u16());
    let (source, destination) = (end(from), end(from));
    let mut packet = if from.rarely(2) { Packet::udp(source, destination) } else { Packet::tcp(source, destination) };
    if from.rarely(4) {
        packet.protocol = Protocol(from.byte());
        packet.tcp_flags = TcpFlags::from_bits_retain(from.byte());
        packet.length = from.u32();
        packet.pkttype = PktType(from.byte());
    }
    packet.owner = from.maybe(|from| Owner::new(from.u32(), from.u32()));
    packet.mark = if from.rarely(2) { from.u32() } else { 0 };
    let mut situation = Situation::new(packet);
    situation.incoming = from.maybe(interface);
    situation.outgoing = from.maybe(interface);
    situation.connection = connection(from);
    situation.daddr_type = AddrType(from.byte().into());
    situation.receiver = from.maybe(|from| {
        let mut receiver = Receiver::default();
        (receiver.transparent, receiver.wildcard, receiver.mark) = (from.rarely(2), from.rarely(2), from.u32());
        receiver
    });
    situation.listener = from.rarely(2);
    situation.translated = from.maybe(|from| (end(from), end(from)));
    situation
}

fn address(from: &mut Source<'_>, is_ipv4: bool) -> IpAddr {
    if is_ipv4 { Ipv4Addr::from(from.u32()).into() } else { Ipv6Addr::from(from.bytes::<16>()).into() }
}

fn interface(from: &mut Source<'_>) -> Interface {
    let name = from.pick(&["lo", "eth0", "veth1"]);
    if from.rarely(4) { Interface::new(from.u32(), from.text()) } else { Interface::new(1, name) }
}

fn connection(from: &mut Source<'_>) -> Connection {
    let mut connection = Connection::default();
    if from.rarely(2) {
        let states = [CtState::NEW, CtState::ESTABLISHED, CtState::RELATED, CtState::INVALID, CtState::UNTRACKED];
        connection.state = from.pick(&states);
        connection.direction = from.pick(&[CtDirection::Original, CtDirection::Reply]);
        connection.status = CtStatus::from_bits_retain(from.u32());
        connection.attached = from.rarely(2);
    }
    (connection.mark, connection.zone) = (from.u32(), from.u16());
    connection
}
