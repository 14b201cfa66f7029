//! The socket options of a transparent proxy.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Returns the destination of a TCP connection before NAT changed it, for a socket of either
/// family; `ENOENT` when conntrack has no record of it or is missing in this kernel, `EPROTOTYPE`
/// when the socket is not TCP.
pub(crate) fn original_destination(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let local = local_address(socket)?;
    let is_v4 = match local.ip() {
        IpAddr::V4(_) => true,
        // An IPv6 listener accepts IPv4 connections as ::ffff:a.b.c.d; their conntrack record is
        // IPv4.
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    let address = if is_v4 {
        super::option_bytes(socket, libc::SOL_IP, libc::SO_ORIGINAL_DST)
    } else {
        super::option_bytes(socket, libc::SOL_IPV6, libc::IP6T_SO_ORIGINAL_DST)
    };
    match address {
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            let is_stream = super::option(socket, libc::SOL_SOCKET, libc::SO_TYPE)? == libc::SOCK_STREAM;
            Err(io::Error::from_raw_os_error(if is_stream { libc::ENOENT } else { libc::EPROTOTYPE }))
        }
        address => decode(address?),
    }
}

/// Opens a listener that accepts connections to foreign addresses; an IPv6 listener accepts IPv6
/// only.
pub(crate) fn transparent_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let socket = open(family)?;
    let fd = socket.as_fd();
    super::set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    match address {
        SocketAddr::V4(_) => super::set_option(fd, libc::SOL_IP, libc::IP_TRANSPARENT, 1)?,
        SocketAddr::V6(_) => {
            super::set_option(fd, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1)?;
            super::set_option(fd, libc::SOL_IPV6, libc::IPV6_V6ONLY, 1)?;
        }
    }
    bind(fd, address)?;
    listen(fd)?;
    Ok(TcpListener::from(socket))
}

/// Starts a connection from an address and returns at once; the other end sees whether it is
/// accepted.
pub(crate) fn start_connecting(from: IpAddr, to: SocketAddr) -> io::Result<OwnedFd> {
    let socket = open(if to.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET })?;
    bind(socket.as_fd(), SocketAddr::new(from, 0))?;
    set_nonblocking(socket.as_fd())?;
    let (bytes, length) = encode(to);
    // SAFETY: `length` is at most the size of `bytes`, which is live; the kernel copies it, and
    // alignment does not matter.
    let code = unsafe { libc::connect(socket.as_raw_fd(), bytes.as_ptr().cast(), length as libc::socklen_t) };
    match super::check(code) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: fcntl with F_SETFL takes three integers.
    super::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

fn open(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes three integers.
    let fd = super::check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, libc::IPPROTO_TCP) })?;
    // SAFETY: the descriptor is new, open and not owned elsewhere.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bind(fd: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    let (bytes, length) = encode(address);
    // SAFETY: `length` is at most the size of `bytes`, which is live; the kernel copies it, and
    // alignment does not matter.
    super::check(unsafe { libc::bind(fd.as_raw_fd(), bytes.as_ptr().cast(), length as libc::socklen_t) }).map(drop)
}

fn listen(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: listen takes two integers; the kernel cuts the backlog to net.core.somaxconn.
    super::check(unsafe { libc::listen(fd.as_raw_fd(), libc::c_int::from(i16::MAX)) }).map(drop)
}

fn local_address(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    let mut bytes = [0u8; IPV6_LENGTH];
    let mut length = IPV6_LENGTH as libc::socklen_t;
    // SAFETY: `bytes` is writable for the `length` announced, and the kernel writes no more.
    let code = unsafe { libc::getsockname(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length) };
    super::check(code)?;
    decode(bytes)
}

/// Decodes `struct sockaddr_in` or `sockaddr_in6`: family in host order, port and address in
/// network order, ip(7), ipv6(7).
fn decode(bytes: [u8; IPV6_LENGTH]) -> io::Result<SocketAddr> {
    let [f0, f1, p0, p1, rest @ ..] = bytes;
    let port = u16::from_be_bytes([p0, p1]);
    match libc::c_int::from(u16::from_ne_bytes([f0, f1])) {
        libc::AF_INET => {
            let [a, b, c, d, ..] = rest;
            Ok(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into())
        }
        libc::AF_INET6 => {
            let [w0, w1, w2, w3, address @ .., s0, s1, s2, s3] = rest;
            let flow = u32::from_ne_bytes([w0, w1, w2, w3]);
            let scope = u32::from_ne_bytes([s0, s1, s2, s3]);
            Ok(SocketAddrV6::new(Ipv6Addr::from(address), port, flow, scope).into())
        }
        _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
    }
}

/// Encodes an address, and returns the length of its structure.
fn encode(address: SocketAddr) -> ([u8; IPV6_LENGTH], usize) {
    let mut bytes = [0u8; IPV6_LENGTH];
    let port = address.port().to_be_bytes();
    let fields: &[&[u8]] = match address {
        SocketAddr::V4(v4) => &[&(libc::AF_INET as u16).to_ne_bytes(), &port, &v4.ip().octets(), &[0; 8]],
        SocketAddr::V6(v6) => &[
            &(libc::AF_INET6 as u16).to_ne_bytes(),
            &port,
            &v6.flowinfo().to_ne_bytes(),
            &v6.ip().octets(),
            &v6.scope_id().to_ne_bytes(),
        ],
    };
    let mut length = 0;
    for (byte, value) in bytes.iter_mut().zip(fields.iter().copied().flatten()) {
        *byte = *value;
        length += 1;
    }
    (bytes, length)
}

/// Size of `struct sockaddr_in6`.
const IPV6_LENGTH: usize = size_of::<libc::sockaddr_in6>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_encoded_decodes_to_itself() {
        for (text, length) in
            [("192.0.2.1:15006", 16), ("[2001:db8::1]:15006", 28), ("[fe80::1%3]:1", 28), ("0.0.0.0:0", 16)]
        {
            let address: SocketAddr = text.parse().expect("is an address");
            let (bytes, used) = encode(address);
            assert_eq!(used, length, "{text}");
            assert_eq!(decode(bytes).expect("decodes"), address);
        }
    }

    #[test]
    fn a_socket_of_another_family_is_refused() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert_eq!(
            original_destination(socket.as_fd()).expect_err("is a unix socket").raw_os_error(),
            Some(libc::EAFNOSUPPORT)
        );
    }
}
