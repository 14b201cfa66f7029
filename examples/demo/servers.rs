//! The servers: the app, the remote and its nameserver, and the proxy, which passes on what it
//! captures.
//!
//! App and remote answer a line with their name and the address of their client.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nftmesh::mesh::istio::{INBOUND_PASSTHROUGH_V4, INBOUND_PASSTHROUGH_V6, Interception};
use nftmesh::mesh::ports;
use nftmesh::proxy::{original_destination, transparent_listener};
use socket2::{Domain, Socket, Type};

use crate::namespaces::{Family, Net};
use crate::users::Who;
use crate::{Outcome, Round};

/// What the proxy captured, by the protocol and the client's address and port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captures(Arc<Mutex<HashMap<(Way, SocketAddr), Capture>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Tcp,
    Udp,
}

/// One connection that the proxy captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    /// The port of the proxy that it arrived at.
    pub(crate) port: u16,
    /// Its original destination; a UDP socket cannot report it.
    pub(crate) original: Option<SocketAddr>,
}

impl Captures {
    pub(crate) fn take(&self, way: Way, client: SocketAddr) -> Option<Capture> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(way, client))
    }

    fn put(&self, way: Way, client: SocketAddr, capture: Capture) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((way, client), capture);
    }
}

/// Starts all servers; they end with the program.
pub(crate) fn start(round: &Round) -> Outcome<()> {
    let Round { net, users, mode, captures } = round;
    // An IPv6 listener accepts IPv4 connections too.
    let any = if net.ipv6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
    net.pod.run(|| {
        users.id(Who::App, *mode).assume()?;
        serve(TcpListener::bind((any, APP))?, |client| answer(&client, "app"));
        Ok::<_, io::Error>(())
    })??;
    net.gateway.run(|| {
        users.id(Who::Remote, *mode).assume()?;
        serve(TcpListener::bind((any, REMOTE))?, |client| answer(&client, "remote"));
        let nameserver = UdpSocket::bind((any, ports::DNS))?;
        thread::spawn(move || serve_udp(&nameserver, |_, peer| Ok(line("remote", ports::DNS, peer))));
        Ok::<_, io::Error>(())
    })??;
    net.pod.run(|| {
        users.id(Who::Proxy, *mode).assume()?;
        start_proxy(net, any, *mode, captures)
    })?
}

fn start_proxy(net: &Net, any: IpAddr, mode: Interception, captures: &Captures) -> Outcome<()> {
    let log = captures.clone();
    serve(TcpListener::bind((any, ports::OUTBOUND))?, move |client| outbound(client, &log));
    serve(TcpListener::bind((any, ports::HEALTH))?, |client| answer(&client, "proxy"));
    let listeners = if mode == Interception::Tproxy {
        let families = net.families().map(|family| SocketAddr::new(family.any, ports::INBOUND));
        families.map(transparent_listener).collect::<Result<Vec<_>, _>>()?
    } else {
        vec![TcpListener::bind((any, ports::INBOUND))?]
    };
    for listener in listeners {
        let log = captures.clone();
        serve(listener, move |client| inbound(client, &log));
    }
    for Family { any, loopback, gateway, .. } in net.families() {
        let agent = UdpSocket::bind((loopback, ports::AGENT_DNS))?;
        let log = captures.clone();
        thread::spawn(move || {
            serve_udp(&agent, |query, client| {
                log.put(Way::Udp, client, Capture { port: ports::AGENT_DNS, original: None });
                ask_udp(&UdpSocket::bind((any, 0))?, (gateway, ports::DNS).into(), query)
            });
        });
    }
    Ok(())
}

/// Connects to the application's destination, as the proxy.
fn outbound(client: TcpStream, captures: &Captures) -> io::Result<()> {
    let wanted = captured(&client, ports::OUTBOUND, captures)?;
    join(client, TcpStream::connect_timeout(&wanted, PATIENCE)?)
}

/// Connects to the application, from 127.0.0.6 or ::6, which the rules recognise. Where the
/// client's address was kept (TPROXY), the application must see it too.
fn inbound(client: TcpStream, captures: &Captures) -> io::Result<()> {
    let wanted = captured(&client, ports::INBOUND, captures)?;
    let upstream = Socket::new(Domain::for_address(wanted), Type::STREAM, None)?;
    let source: IpAddr = if client.local_addr()? == wanted {
        match wanted {
            SocketAddr::V4(_) => upstream.set_ip_transparent_v4(true)?,
            SocketAddr::V6(_) => upstream.set_ip_transparent_v6(true)?,
        }
        upstream.set_mark(TPROXY_MARK)?;
        client.peer_addr()?.ip()
    } else {
        if wanted.is_ipv4() { INBOUND_PASSTHROUGH_V4.into() } else { INBOUND_PASSTHROUGH_V6.into() }
    };
    upstream.bind(&SocketAddr::new(source, 0).into())?;
    upstream.connect_timeout(&wanted.into(), PATIENCE)?;
    join(client, upstream.into())
}

/// Records that a connection was captured, and returns its destination.
fn captured(client: &TcpStream, port: u16, captures: &Captures) -> io::Result<SocketAddr> {
    let wanted = original_destination(client).map_err(io::Error::other)?;
    captures.put(Way::Tcp, client.peer_addr()?, Capture { port, original: Some(wanted) });
    Ok(wanted)
}

/// Copies in both directions until both have ended.
fn join(client: TcpStream, upstream: TcpStream) -> io::Result<()> {
    let (from_client, to_upstream) = (client.try_clone()?, upstream.try_clone()?);
    let way_there = thread::spawn(move || copy(from_client, to_upstream));
    copy(upstream, client)?;
    way_there.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

/// Handles each client on a separate thread; the client sees any failure.
fn serve(listener: TcpListener, handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) {
    let handle = Arc::new(handle);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let handle = Arc::clone(&handle);
            thread::spawn(move || handle(client));
        }
    });
}

/// Answers each datagram, except those that fail.
fn serve_udp(socket: &UdpSocket, handle: impl Fn(&[u8], SocketAddr) -> io::Result<String>) {
    let mut buffer = [0; 512];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let reply = handle(buffer.get(..length).unwrap_or_default(), peer);
        drop(reply.and_then(|reply| socket.send_to(reply.as_bytes(), peer)));
    }
}

fn answer(client: &TcpStream, name: &str) -> io::Result<()> {
    BufReader::new(client).read_line(&mut String::new())?;
    let reply = line(name, client.local_addr()?.port(), client.peer_addr()?);
    (&*client).write_all(reply.as_bytes())
}

fn line(name: &str, port: u16, peer: SocketAddr) -> String {
    format!("{name}:{port} {}\n", peer.ip().to_canonical())
}

/// Sends one query and waits for the answer of this address.
pub(crate) fn ask_udp(socket: &UdpSocket, to: SocketAddr, query: &[u8]) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(query)?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// Longer than the kernel waits before it repeats a SYN.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
pub(crate) const APP: u16 = 8080;
pub(crate) const REMOTE: u16 = 9000;
/// The default of `-t`.
const TPROXY_MARK: u32 = 1337;
