//! Sockets between a pod and its gateway, with chosen ports and chosen ends: by a reset, closed by
//! one side, or silently.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::support::patience::{comes_true_within, patience};
use crate::support::{NetNs, sys};
use crate::traffic::{Pod, Who};

/// The gateway's address and the pod's.
pub const FAMILIES: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2))),
    (IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2))),
];
/// A SYN is repeated after 1 s; one still unanswered after this time was dropped or lost.
pub const PATIENCE: Duration = Duration::from_millis(2500);

pub fn listener(place: &NetNs, who: Who, server: IpAddr, port: u16) -> TcpListener {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let listen = || -> io::Result<TcpListener> {
        who.assume();
        let socket = sys::socket((any, port).into(), libc::SOCK_STREAM)?;
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
        if who == Who::ProxyServer {
            transparent(&socket, any)?;
        }
        sys::bind(&socket, (any, port).into())?;
        sys::listen(&socket)?;
        let listener = TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    place.run(listen).unwrap_or_else(|error| panic!("{who} on {port}: {error}"))
}

fn transparent(socket: &OwnedFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => sys::set_option(socket, libc::SOL_IP, libc::IP_TRANSPARENT, &sys::ON),
        IpAddr::V6(_) => sys::set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT, &sys::ON),
    }
}

pub fn connect(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    connect_with(from, to, |_| Ok(()))
}

pub fn connect_with(
    from: SocketAddr,
    to: SocketAddr,
    set: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpStream> {
    connect_by(0, from, to, set)
}

/// Connects with a protocol other than plain TCP.
pub fn connect_by(
    protocol: libc::c_int,
    from: SocketAddr,
    to: SocketAddr,
    set: impl FnOnce(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpStream> {
    let socket = sys::socket_of(to, libc::SOCK_STREAM, protocol)?;
    let limit = patience(Duration::from_millis(1500));
    let limit = libc::timeval { tv_sec: limit.as_secs() as libc::time_t, tv_usec: limit.subsec_micros().into() };
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
    set(&socket)?;
    sys::bind(&socket, from)?;
    let mut outcome = Ok(());
    // Of the same two ends there may still be a socket that was closed: a program that another test
    // starts at this moment holds it until it runs.
    comes_true_within(Duration::from_secs(5), || {
        outcome = sys::connect(&socket, to);
        !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
    });
    outcome?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience(PATIENCE)))?;
    Ok(stream)
}

/// Ends a connection with a reset.
pub fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    sys::set_option(&stream.into(), libc::SOL_SOCKET, libc::SO_LINGER, &linger).expect("a socket can be closed hard");
}

/// Ends a socket without notifying the other side: in repair mode it is closed silently.
pub fn vanish(stream: TcpStream) {
    sys::set_option(&stream.into(), libc::IPPROTO_TCP, libc::TCP_REPAIR, &sys::ON).expect("root may repair sockets");
}

/// Asserts that bytes pass both ways.
#[track_caller]
pub fn speaks(one: &mut TcpStream, other: &mut TcpStream) {
    other.set_nonblocking(false).expect("a flag");
    other.set_read_timeout(Some(patience(PATIENCE))).expect("a time");
    for _ in 0..2 {
        one.write_all(b"a question").expect("the connection is open");
        let mut heard = [0; 10];
        other.read_exact(&mut heard).expect("the connection is open");
        other.write_all(b"the answer").expect("the connection is open");
        one.read_exact(&mut heard).expect("the connection is open");
    }
}

/// Waits until the pod has no socket left of the connection between these two ports.
pub fn forgotten(pod: &Pod, address: IpAddr, port: u16) {
    until(&pod.pod, address, |sockets| !sockets.contains(&format!(":{port:04X} ")), "a socket stays");
}

/// Waits until the peer with this port has acknowledged the FIN of our socket.
pub fn acknowledged(place: &NetNs, address: IpAddr, port: u16) {
    // TCP_FIN_WAIT2, include/net/tcp_states.h.
    until(place, address, |sockets| sockets.contains(&format!(":{port:04X} 05 ")), "a FIN is not acknowledged");
}

fn until(place: &NetNs, address: IpAddr, is_so: impl Fn(&str) -> bool, otherwise: &str) {
    let file = if address.is_ipv4() { "tcp" } else { "tcp6" };
    let read = || place.run(|| fs::read_to_string(format!("/proc/thread-self/net/{file}"))).expect("/proc");
    assert!(comes_true_within(Duration::from_secs(20), || is_so(&read())), "{otherwise}");
}
