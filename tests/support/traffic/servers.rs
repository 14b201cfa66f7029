//! The servers of pod and gateway: each answers with its tag, its local address, the original
//! destination and the peer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;

use crate::support::sys;

/// A server: its tag, where it listens, and how.
pub struct Server(&'static str, &'static str, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    /// Takes connections to any address (`IP_TRANSPARENT`).
    TransparentTcp,
    Udp,
}

pub const PROXY_IN: &[Server] = &[
    Server("ENVOY_IN", "0.0.0.0:15006", Kind::TransparentTcp),
    Server("ENVOY_IN", "[::]:15006", Kind::TransparentTcp),
];
pub const PROXY_OUT: &[Server] = &[
    Server("ENVOY_OUT", "0.0.0.0:15001", Kind::Tcp),
    Server("ENVOY_OUT", "[::]:15001", Kind::Tcp),
    Server("ENVOY_15021", "0.0.0.0:15021", Kind::Tcp),
    Server("ENVOY_15021", "[::]:15021", Kind::Tcp),
    Server("TUNNEL", "0.0.0.0:15008", Kind::Tcp),
    Server("TUNNEL", "[::]:15008", Kind::Tcp),
    Server("AGENTDNS", "127.0.0.1:15053", Kind::Udp),
    Server("AGENTDNS", "[::1]:15053", Kind::Udp),
    Server("AGENTDNS", "127.0.0.1:15053", Kind::Tcp),
    Server("AGENTDNS", "[::1]:15053", Kind::Tcp),
];
pub const APP: &[Server] = &[Server("APP", "0.0.0.0:8080", Kind::Tcp), Server("APP", "[::]:8080", Kind::Tcp)];
pub const REMOTE: &[Server] = &[
    Server("REMOTE", "0.0.0.0:9000", Kind::Tcp),
    Server("REMOTE", "[::]:9000", Kind::Tcp),
    Server("REMOTEDNS", "0.0.0.0:53", Kind::Udp),
    Server("REMOTEDNS", "[::]:53", Kind::Udp),
    Server("REMOTEDNS", "0.0.0.0:53", Kind::Tcp),
    Server("REMOTEDNS", "[::]:53", Kind::Tcp),
    Server("REMOTE15008", "0.0.0.0:15008", Kind::Tcp),
    Server("REMOTEUDP", "0.0.0.0:9001", Kind::Udp),
    Server("REMOTEUDP", "[::]:9001", Kind::Udp),
];

impl Server {
    /// Listens as this thread's user and answers until `stop`; threads inherit the user.
    pub fn start<'scope>(&'static self, scope: &'scope Scope<'scope, '_>, stop: &'scope AtomicBool) {
        let Server(tag, address, kind) = self;
        let socket = self.listen().unwrap_or_else(|error| panic!("{tag} on {address}: {error}"));
        scope.spawn(move || match kind {
            Kind::Tcp | Kind::TransparentTcp => serve_tcp(&TcpListener::from(socket), tag, scope, stop),
            Kind::Udp => serve_udp(&UdpSocket::from(socket), tag, stop),
        });
    }

    fn listen(&self) -> io::Result<OwnedFd> {
        let Server(_tag, address, kind) = self;
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let kind_of_socket = if *kind == Kind::Udp { libc::SOCK_DGRAM } else { libc::SOCK_STREAM };
        let socket = sys::socket(address, kind_of_socket)?;
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
        // accept() and recv() return this often to check whether to stop.
        let tick = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
        sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &tick)?;
        if *kind == Kind::TransparentTcp {
            let (level, name) = match address {
                SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_TRANSPARENT),
                SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
            };
            sys::set_option(&socket, level, name, &sys::ON)?;
        }
        sys::bind(&socket, address)?;
        if *kind != Kind::Udp {
            sys::listen(&socket)?;
        }
        Ok(socket)
    }
}

fn serve_tcp<'scope>(
    listener: &TcpListener,
    tag: &'static str,
    scope: &'scope Scope<'scope, '_>,
    stop: &'scope AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, peer)) = listener.accept() {
            // A client that disconnects reports it itself.
            scope.spawn(move || drop(answer(stream, peer, tag, stop)));
        }
    }
}

fn answer(mut stream: TcpStream, peer: SocketAddr, tag: &str, stop: &AtomicBool) -> io::Result<()> {
    let local = stream.local_addr()?;
    let original = sys::original_destination(&stream, local).map_or_else(|_| "none".to_owned(), |to| to.to_string());
    let line = format!("{tag} local={}:{} orig={original} peer={}\n", local.ip(), local.port(), peer.ip());
    stream.write_all(line.as_bytes())?;
    let mut byte = [0];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => stream.write_all(&byte)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn serve_udp(socket: &UdpSocket, tag: &str, stop: &AtomicBool) {
    let mut buffer = [0; 2000];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((_length, peer)) = socket.recv_from(&mut buffer) {
            // Nobody waits for an answer that cannot be sent.
            drop(socket.send_to(format!("{tag} udp peer={}\n", peer.ip()).as_bytes(), peer));
        }
    }
}
