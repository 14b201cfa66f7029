//! Addresses and ports, between the bytes of headers and registers and the types of std.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::cells::{Cell, known};
use super::flow::Header;
use super::inputs::Target;
use crate::model::IpFamily;

/// Returns source and destination of a header.
pub(super) fn ends(header: &Header, family: IpFamily) -> (SocketAddr, SocketAddr) {
    let port = |cells: &[Cell; 2]| known(cells).map_or(0, u16::from_be_bytes);
    let source = SocketAddr::new(address(&header.saddr, family), port(&header.sport));
    (source, SocketAddr::new(address(&header.daddr, family), port(&header.dport)))
}

/// Returns the address in the first bytes, 4 or 16.
pub(super) fn address(cells: &[Cell], family: IpFamily) -> IpAddr {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(cells).for_each(|(byte, cell)| *byte = cell.known().unwrap_or(0));
    let [a, b, c, d, ..] = bytes;
    match family {
        IpFamily::Ipv4 => Ipv4Addr::new(a, b, c, d).into(),
        IpFamily::Ipv6 => Ipv6Addr::from(bytes).into(),
    }
}

/// Returns address and port of a transparent socket, as far as a rule gives them.
pub(super) fn listening_at(target: &Target, family: IpFamily) -> (Option<IpAddr>, Option<u16>) {
    let Target { address: at, port } = target;
    let port = port.and_then(|port| known(&port)).map(u16::from_be_bytes);
    (at.as_ref().map(|at| address(at, family)), port)
}

/// Returns an address as registers hold it.
pub(super) fn bytes_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => padded(&address.octets()),
        IpAddr::V6(address) => address.octets(),
    }
}

pub(super) fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut padded = [0; 16];
    padded.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    padded
}
