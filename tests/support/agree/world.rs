//! Three hosts and their sockets: a pod, its gateway, and one behind the pod.
//!
//! ```text
//!   gateway 10.77.0.1 fd77::1 ==== eth0 10.77.0.2 .3 fd77::2 ::3  pod  eth1 10.78.0.2 fd78::2 ==== 10.78.0.1 fd78::1 beyond
//! ```
//! Nothing here answers by itself but the kernel: [`World::pump`] reads what servers got and
//! answers, so that a packet is over when the call that sent it is.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use super::dice::Dice;
use super::generate::{MARKS, PORTS, TPROXY_PORTS, UIDS};
use super::wires;
use crate::support::sys::{self, Capabilities, Entered};
use crate::support::{NetNs, command, ip, wait_until_local};
use crate::traffic::Pod;

#[derive(Debug)]
pub struct World {
    pub pod: NetNs,
    pub gateway: NetNs,
    pub beyond: NetNs,
    datagrams: Vec<UdpSocket>,
    listeners: Vec<TcpListener>,
    accepted: Vec<TcpStream>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Beyond,
    Gateway,
    Pod,
}

/// An open socket that can send.
#[derive(Debug)]
pub enum Client {
    Tcp(TcpStream),
    /// The socket, the destination and the payload to repeat.
    Datagrams(UdpSocket, SocketAddr, Vec<u8>),
}

impl World {
    pub fn new() -> World {
        let Pod { pod, gateway } = Pod::new();
        let beyond = NetNs::fresh();
        pod.run(|| {
            let status = command("ip")
                .args("link add eth1 type veth peer name eth0 netns /proc/self/fd/0".split(' '))
                .stdin(beyond.file.try_clone().expect("a descriptor can be copied"))
                .status();
            assert!(status.is_ok_and(|status| status.success()), "ip link add eth1 type veth");
            batch(&[
                "addr add 10.77.0.3/24 dev eth0",
                "addr add fd77::3/64 dev eth0 nodad",
                "link set eth1 address 02:00:00:00:00:02",
                "addr add 10.78.0.2/24 dev eth1",
                "addr add fd78::2/64 dev eth1 nodad",
                "link set eth1 addrgenmode none up",
                "neigh add 10.78.0.1 lladdr 02:00:00:00:00:01 dev eth1",
                "neigh add fd78::1 lladdr 02:00:00:00:00:01 dev eth1",
                "link set eth0 address 02:00:00:00:01:02",
                "neigh replace 10.77.0.1 lladdr 02:00:00:00:01:01 dev eth0",
                "neigh replace fd77::1 lladdr 02:00:00:00:01:01 dev eth0",
            ]);
            let settings =
                [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1"), ("ipv4/ip_unprivileged_port_start", "0")];
            for (path, value) in settings {
                fs::write(format!("/proc/sys/net/{path}"), value).expect("a namespace of our own");
            }
        });
        // A user namespace has only root's group.
        let groups = if sys::entered() == Ok(Entered::AsRoot) { "0 65534" } else { "0 0" };
        for namespace in [&pod, &gateway, &beyond] {
            namespace.run(|| fs::write("/proc/sys/net/ipv4/ping_group_range", groups).expect("a namespace of our own"));
        }
        beyond.run(|| {
            batch(&[
                "link set eth0 address 02:00:00:00:00:01",
                "addr add 10.78.0.1/24 dev eth0",
                "addr add fd78::1/64 dev eth0 nodad",
                "link set eth0 addrgenmode none up",
                "route add default via 10.78.0.2",
                "route add default via fd78::2",
                "neigh add 10.78.0.2 lladdr 02:00:00:00:00:02 dev eth0",
                "neigh add fd78::2 lladdr 02:00:00:00:00:02 dev eth0",
            ]);
        });
        gateway.run(|| {
            let mut lines = vec![
                "link set eth0 address 02:00:00:00:01:01".to_owned(),
                "route add 10.78.0.0/24 via 10.77.0.2".to_owned(),
                "route add fd78::/64 via fd77::2".to_owned(),
            ];
            for address in ["10.77.0.2", "10.77.0.3", "fd77::2", "fd77::3"] {
                lines.push(format!("neigh replace {address} lladdr 02:00:00:00:01:02 dev eth0"));
            }
            batch(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        });
        pod.run(|| wait_until_local(&["fd77::3", "fd78::2"]));
        beyond.run(|| wait_until_local(&["fd78::1"]));
        World { pod, gateway, beyond, datagrams: Vec::new(), listeners: Vec::new(), accepted: Vec::new() }
    }

    fn of(&self, at: At) -> &NetNs {
        match at {
            At::Beyond => &self.beyond,
            At::Gateway => &self.gateway,
            At::Pod => &self.pod,
        }
    }

    /// Runs `body` in a namespace, as that user where possible.
    fn as_user<T: Send>(&self, at: At, uid: u32, gid: u32, body: impl FnOnce() -> T + Send) -> T {
        self.of(at).run(|| {
            if sys::entered() == Ok(Entered::AsRoot) && (uid, gid) != (0, 0) {
                sys::become_user(uid, gid, Capabilities::Network).expect("root may become any user");
            }
            body()
        })
    }

    /// Opens the servers; those in the pod belong to different users.
    pub fn serve(&mut self) {
        let servers: &[(At, u32, &[u16], bool)] = &[
            (At::Pod, 1000, &[53, 8080, 9000], false),
            (At::Pod, 1337, &[15001], false),
            (At::Pod, 1337, &TPROXY_PORTS[..2], true),
            (At::Gateway, 0, &[53, 8080, 9000, 15001], false),
            (At::Beyond, 0, &[53, 8080, 9000, 15001], false),
        ];
        for (at, user, ports, transparent) in servers {
            let opened = self.as_user(*at, *user, *user, || {
                let any = ["0.0.0.0", "::"].map(|any| any.parse::<IpAddr>().expect("an address"));
                let places = ports.iter().flat_map(|port| any.map(|any| SocketAddr::new(any, *port)));
                places.map(|place| (datagrams(place, *transparent), listener(place, *transparent))).collect::<Vec<_>>()
            });
            for (datagrams, listener) in opened {
                self.datagrams.push(UdpSocket::from(datagrams.expect("a free port")));
                self.listeners.push(TcpListener::from(listener.expect("a free port")));
            }
        }
    }

    /// Opens a client and sends its first packet.
    pub fn send(&self, dice: &mut Dice) -> io::Result<Client> {
        let at = dice.pick(&[At::Pod, At::Pod, At::Pod, At::Gateway, At::Gateway, At::Beyond]);
        let is_v4 = dice.chance(60);
        let here: &[&str] = match (at, is_v4) {
            (At::Pod, true) => &[
                "10.77.0.1",
                "10.77.0.1",
                "10.77.0.2",
                "10.77.0.3",
                "127.0.0.1",
                "127.0.0.6",
                "10.78.0.1",
                "10.77.0.255",
                "10.78.0.2",
                "224.0.0.251",
            ],
            (At::Pod, false) => &["fd77::1", "fd77::1", "fd77::2", "fd77::3", "::1", "fd78::1"],
            (At::Gateway, true) => {
                &["10.77.0.2", "10.77.0.2", "10.77.0.3", "10.78.0.1", "10.78.0.2", "10.77.0.255", "224.0.0.251"]
            }
            (At::Gateway, false) => &["fd77::2", "fd77::3", "fd78::1"],
            (At::Beyond, true) => &["10.77.0.1", "10.77.0.2", "10.78.0.2"],
            (At::Beyond, false) => &["fd77::1", "fd77::2", "fd78::2"],
        };
        let to = SocketAddr::new(dice.pick(here).parse().expect("an address"), dice.pick(&PORTS[..8]));
        let own: &[&str] = match (at, is_v4) {
            (At::Pod, true) if to.ip().is_loopback() => &["0.0.0.0", "127.0.0.1", "127.0.0.6", "10.77.0.2"],
            (At::Pod, true) => &["0.0.0.0", "0.0.0.0", "10.77.0.3"],
            (At::Pod, false) => &["::", "::", "fd77::3"],
            (_, true) => &["0.0.0.0"],
            (_, false) => &["::"],
        };
        let from =
            SocketAddr::new(dice.pick(own).parse().expect("an address"), dice.pick(&[0, 0, 40000, 40001, 40002]));
        // Avoid a connection to the own port.
        let from = if to.port() >= 40_000 { SocketAddr::new(from.ip(), 0) } else { from };
        let (uid, gid) = (dice.pick(&UIDS), dice.pick(&UIDS));
        let mark = if dice.chance(12) { dice.pick(&MARKS) } else { 0 };
        let kind = dice.below(100);
        let id = dice.pick(&[7, 8]);
        self.as_user(at, uid, gid, || match kind {
            0..40 if !to.ip().is_multicast() => stream(from, to, mark),
            40..54 => ping(SocketAddr::new(from.ip(), id), to, mark),
            54..60 => raw(from, to, mark, id),
            60..64 => lite(from, to, mark),
            _ => datagram(from, to, 1 + to.port() as usize % 5, mark),
        })
    }

    /// Sends a packet that is written byte by byte, and returns its bytes.
    pub fn send_wire(&self, dice: &mut Dice) -> io::Result<Vec<u8>> {
        let at = dice.pick(&[At::Pod, At::Pod, At::Gateway, At::Gateway, At::Beyond]);
        let is_v4 = dice.chance(60);
        let (from, to): (&[&str], &[&str]) = match (at, is_v4) {
            (At::Pod, true) => (
                &["10.77.0.2", "10.77.0.3", "10.78.0.2"],
                // Such a socket looks up the route without the source, which matters only for
                // groups.
                &["10.77.0.1", "10.77.0.1", "10.78.0.1", "10.77.0.3", "127.0.0.1", "10.77.0.255"],
            ),
            (At::Pod, false) => (&["fd77::2", "fd77::3"], &["fd77::1", "fd77::1", "fd78::1", "fd77::3", "::1"]),
            (At::Gateway, true) => (
                &["10.77.0.1", "10.77.0.1", "10.77.0.1", "10.99.0.1"],
                &["10.77.0.2", "10.77.0.3", "10.78.0.1", "10.78.0.1", "10.78.0.2", "224.0.0.251"],
            ),
            (At::Gateway, false) => (&["fd77::1"], &["fd77::2", "fd77::3", "fd78::1", "fd78::2"]),
            (At::Beyond, true) => (&["10.78.0.1"], &["10.77.0.1", "10.77.0.2", "10.78.0.2"]),
            (At::Beyond, false) => (&["fd78::1"], &["fd77::1", "fd77::2", "fd78::2"]),
        };
        let [from, to] = [from, to].map(|of| dice.pick(of).parse::<IpAddr>().expect("an address"));
        let bytes = wires::packet(dice, from, to);
        let (uid, gid) = (dice.pick(&UIDS), dice.pick(&UIDS));
        let mark = if dice.chance(20) { dice.pick(&MARKS) } else { 0 };
        self.as_user(at, uid, gid, || {
            let to = SocketAddr::new(to, 0);
            let socket = sys::socket_of(to, libc::SOCK_RAW | libc::SOCK_NONBLOCK, libc::IPPROTO_RAW)?;
            sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_BROADCAST, &sys::ON)?;
            set_mark(&socket, mark)?;
            // What a rule drops at output is an error here.
            drop(UdpSocket::from(socket).send_to(&bytes, to));
            Ok(bytes)
        })
    }

    /// Gives the pod policy rules and routes, by which packets with a mark go elsewhere or nowhere.
    /// Returns the ip(8) commands.
    pub fn route_by_mark(&self, dice: &mut Dice) -> String {
        let mut lines = Vec::new();
        for (number, table) in (0..dice.from(1, 3)).zip(100..) {
            let mark = dice.pick(&MARKS[1..]);
            let mask = dice.pick(&["", "/0xff", "/0xf"]);
            let priority = 100 + number;
            for family in ["-4", "-6"] {
                lines.push(format!("{family} rule add fwmark {mark:#x}{mask} lookup {table} priority {priority}"));
            }
            let [v4, v6] = dice.pick(&[
                ["local default dev lo", "local default dev lo"],
                ["local default dev lo", "local default dev lo"],
                ["local default dev lo", "local default dev lo"],
                ["default via 10.78.0.1 dev eth1", "default via fd78::1 dev eth1"],
                ["default via 10.78.0.1 dev eth1", "default via fd78::1 dev eth1"],
                ["default via 10.77.0.1 dev eth0", "default via fd77::1 dev eth0"],
                ["10.78.0.0/24 via 10.77.0.1 dev eth0", "fd78::/64 via fd77::1 dev eth0"],
                ["local 10.77.0.0/24 dev lo", "local fd77::/64 dev lo"],
                ["unreachable default", "unreachable default"],
                ["blackhole default", "blackhole default"],
                ["prohibit 10.77.0.0/24", "prohibit fd77::/64"],
                ["throw default", "throw default"],
            ]);
            lines.push(format!("-4 route add {v4} table {table}"));
            lines.push(format!("-6 route add {v6} table {table}"));
        }
        self.pod.run(|| {
            for line in &lines {
                crate::support::ip(line);
            }
        });
        lines.join("\n")
    }

    /// Lets servers answer what they received; returns whether one did.
    pub fn pump(&mut self) -> bool {
        let mut did = false;
        let mut buffer = [0; 64];
        for socket in &self.datagrams {
            // One at a time: rules can make a server answer itself.
            if let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                // An answer that cannot be sent is omitted.
                drop(socket.send_to(b"an answer", peer));
                did = true;
            }
        }
        for listener in &self.listeners {
            while let Ok((mut stream, _)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    drop(stream.write(b"hello"));
                    self.accepted.push(stream);
                }
                did = true;
            }
        }
        did
    }

    /// Discards what servers received.
    pub fn forget(&self) {
        let mut buffer = [0; 64];
        for socket in &self.datagrams {
            for _ in 0..100 {
                if socket.recv_from(&mut buffer).is_err() {
                    break;
                }
            }
        }
    }

    /// Closes what was accepted.
    pub fn hang_up(&mut self) {
        self.accepted.clear();
    }
}

impl Client {
    /// Sends another packet, where possible.
    pub fn again(&mut self) {
        match self {
            Client::Tcp(stream) => {
                drop(stream.read(&mut [0; 64]));
                drop(stream.write(b"more"));
            }
            Client::Datagrams(socket, to, bytes) => drop(socket.send_to(bytes, *to)),
        }
    }
}

fn datagrams(place: SocketAddr, transparent: bool) -> io::Result<OwnedFd> {
    let socket = sys::socket(place, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK)?;
    make_transparent(&socket, place, transparent)?;
    sys::bind(&socket, place)?;
    Ok(socket)
}

fn listener(place: SocketAddr, transparent: bool) -> io::Result<OwnedFd> {
    let socket = sys::socket(place, libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
    make_transparent(&socket, place, transparent)?;
    sys::bind(&socket, place)?;
    sys::listen(&socket)?;
    Ok(socket)
}

fn make_transparent(socket: &OwnedFd, place: SocketAddr, transparent: bool) -> io::Result<()> {
    let (level, name) = match place {
        SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_TRANSPARENT),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TRANSPARENT),
    };
    if transparent { sys::set_option(socket, level, name, &sys::ON) } else { Ok(()) }
}

fn datagram(from: SocketAddr, to: SocketAddr, length: usize, mark: u32) -> io::Result<Client> {
    let socket = sys::socket(to, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK)?;
    first(socket, from, to, mark, b"hello".get(..length).unwrap_or_default())
}

/// Sends an echo request with that id.
fn ping(from: SocketAddr, to: SocketAddr, mark: u32) -> io::Result<Client> {
    let (protocol, kind) = if to.is_ipv4() { (libc::IPPROTO_ICMP, 8) } else { (libc::IPPROTO_ICMPV6, 128) };
    let socket = sys::socket_of(to, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, protocol)?;
    first(socket, from, SocketAddr::new(to.ip(), 0), mark, &[kind, 0, 0, 0, 0, 0, 0, 1, 0x61])
}

/// Sends a packet of a protocol without ports, or of ICMP, with a correct checksum.
fn raw(from: SocketAddr, to: SocketAddr, mark: u32, id: u16) -> io::Result<Client> {
    let kinds: &[u8] = if to.is_ipv4() { &[0, 8, 13, 17, 42] } else { &[128, 129, 139, 200] };
    let kind = kinds.get(usize::from(to.port()) % kinds.len()).copied().expect("it is below the length");
    let [high, low] = id.to_be_bytes();
    let with = |[a, b]: [u8; 2]| vec![kind, 0, a, b, high, low, 0, 1];
    let (protocol, bytes) = match to {
        _ if to.port() % 3 == 0 => (253, with([0, 0])),
        // The kernel computes this one.
        SocketAddr::V6(_) => (libc::IPPROTO_ICMPV6, with([0, 0])),
        SocketAddr::V4(_) => (libc::IPPROTO_ICMP, with((!((u16::from(kind) << 8) + id + 1)).to_be_bytes())),
    };
    let socket = sys::socket_of(to, libc::SOCK_RAW | libc::SOCK_NONBLOCK, protocol)?;
    first(socket, SocketAddr::new(from.ip(), 0), SocketAddr::new(to.ip(), 0), mark, &bytes)
}

/// Sends a packet of a protocol with ports other than TCP and UDP.
fn lite(from: SocketAddr, to: SocketAddr, mark: u32) -> io::Result<Client> {
    let socket = sys::socket_of(to, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, libc::IPPROTO_UDPLITE)?;
    first(socket, from, to, mark, b"lite")
}

fn first(socket: OwnedFd, from: SocketAddr, to: SocketAddr, mark: u32, bytes: &[u8]) -> io::Result<Client> {
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_BROADCAST, &sys::ON)?;
    set_mark(&socket, mark)?;
    sys::bind(&socket, from)?;
    let socket = UdpSocket::from(socket);
    // What a rule drops at output is an error here.
    drop(socket.send_to(bytes, to));
    Ok(Client::Datagrams(socket, to, bytes.to_vec()))
}

fn stream(from: SocketAddr, to: SocketAddr, mark: u32) -> io::Result<Client> {
    let socket = sys::socket(to, libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &sys::ON)?;
    set_mark(&socket, mark)?;
    sys::bind(&socket, from)?;
    match sys::connect(&socket, to) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(Client::Tcp(TcpStream::from(socket))),
    }
}

fn set_mark(socket: &OwnedFd, mark: u32) -> io::Result<()> {
    if mark == 0 { Ok(()) } else { sys::set_option(socket, libc::SOL_SOCKET, libc::SO_MARK, &mark) }
}

/// `ip -batch`: one process for many lines.
fn batch(lines: &[&str]) {
    crate::support::succeed("ip", "-batch -", &lines.join("\n"));
}
