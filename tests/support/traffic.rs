//! Real connections through real rules: a pod and its gateway, servers and clients that run as the users a mesh tells apart.
//!
//! ```text
//!   pod                                   gateway
//!   app    uid 1000   8080                REMOTE    9000, udp 9001
//!   proxy  uid 1337   15001 15006 ...     REMOTEDNS 53
//!   10.77.0.2/24 fd77::2/64 eth0 ======== eth0 10.77.0.1/24 fd77::1/64
//! ```
//! Every server answers with its tag, its local address, the original destination and the peer, so that one line tells who was
//! reached and how. Servers and clients are threads: a thread's user and namespace are its own (see `support::sys`).
//!
//! A test program that uses this has `mod support;` and `#[path = "support/traffic.rs"] mod traffic;`.
#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread::{self, Scope};
use std::time::Duration;

use crate::support::sys::{self, Capabilities};
use crate::support::{NetNs, assert_same, command, golden_recorded, ip, shared_dir};

/// Which servers run in the pod. The app and the gateway's servers always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    All,
    /// Nobody on the inbound port 15006.
    NoInbound,
    None,
    /// Nobody on the proxy's other ports.
    NoOutbound,
}

/// One recording of the reference: its 40 answers are `tests/golden/probes-NAME.txt`.
#[derive(Debug)]
pub struct Recording {
    pub name: &'static str,
    pub listeners: Listeners,
    pub environment: &'static str,
    /// As a shell reads them.
    pub flags: &'static str,
}

/// Every recording.
pub const RECORDINGS: &[Recording] = &[
    Recording {
        name: "redirect-ds",
        listeners: Listeners::All,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Recording {
        name: "redirect-v4-dns",
        listeners: Listeners::All,
        environment: "",
        flags: "-p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -x '' -b '*' -d 15090,15021,15020 --redirect-dns --capture-all-dns",
    },
    Recording {
        name: "tproxy-ds",
        listeners: Listeners::All,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
    Recording {
        name: "tproxy-ds-noin",
        listeners: Listeners::NoInbound,
        environment: "ISTIO_DUAL_STACK=true",
        flags: "-p 15001 -z 15006 -u 1337 -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020",
    },
];

impl Recording {
    /// The shell command that runs `program` with the recorded options.
    pub fn command(&self, program: &Path) -> String {
        format!("env {} '{}' {}", self.environment, program.display(), self.flags)
    }

    /// Compares 40 answers with the recorded ones.
    #[track_caller]
    pub fn assert_answers(&self, answers: &str) {
        golden_recorded(&format!("probes-{}.txt", self.name), answers);
    }
}

/// A pod and its gateway, joined by a veth pair, as a node sets them up: addresses, default routes, no duplicate address detection.
#[derive(Debug)]
pub struct Pod {
    pub pod: NetNs,
    pub gateway: NetNs,
}

/// 40 connections, from app, proxy, an app with the proxy's group, and the gateway: one line for each, `who what TAB answer`.
///
/// `apply` runs in the pod, before any server.
pub fn probe_matrix(apply: impl FnOnce() + Send, listeners: Listeners) -> String {
    let pod = Pod::new();
    pod.run(apply);
    pod.serving(listeners, || pod.probe_all())
}

/// The same table from the scripts that made the recordings, for a command that applies rules; `None` (said) without them.
pub fn reference_matrix(command_line: &str, listeners: Listeners) -> Option<String> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let script = shared_dir()?.join("probe/matrix.sh");
    let name = format!("matrix-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let log = out.with_extension("apply");
    let word = match listeners {
        Listeners::All => "yes",
        Listeners::NoInbound => "no-in",
        Listeners::None => "none",
        Listeners::NoOutbound => "no-out",
    };
    // The script names its namespaces by mounts: in a mount namespace of its own, the host sees none of them.
    let output = command("unshare")
        .args(["--mount", "bash"])
        .arg(script)
        .arg(&out)
        .args([word, command_line])
        .stdin(Stdio::null())
        .output()
        .expect("unshare is part of every Linux system");
    let applied = fs::read_to_string(&log).unwrap_or_default();
    let table = fs::read_to_string(&out).unwrap_or_default();
    for file in [&out, &log] {
        fs::remove_file(file).unwrap_or_else(|error| panic!("{}: {error}\n{output:?}", file.display()));
    }
    assert!(applied.ends_with("rc=0\n"), "{command_line}\n{applied}");
    Some(table)
}

/// What the connections of a load saw.
#[derive(Debug, Default)]
pub struct Load {
    /// Answered by the proxy.
    pub proxied: u64,
    /// Answered by the remote itself, past the proxy.
    pub escaped: u64,
    /// Not answered.
    pub failed: u64,
    /// Connections made before the work began that no longer answered while it ran or after it.
    pub broken: u64,
    /// The first few answers that are not the proxy's, for the report of a test.
    pub samples: Vec<String>,
}

/// Opens connections from the app to the remote, from `clients` threads and without a pause, while `work` runs in the pod.
///
/// The rules that redirect are the caller's, set before. Work begins after every client was served once and holds a connection open.
pub fn under_load<T: Send>(pod: &Pod, clients: usize, work: impl FnOnce() -> T + Send) -> (Load, T) {
    let remote = SocketAddr::from((REMOTE_V4, 9000));
    let load = Mutex::new(Load::default());
    let (stop, (started, starts)) = (AtomicBool::new(false), mpsc::channel());
    let client = || {
        pod.pod.enter();
        Who::App.assume();
        let mut held = connect(remote, None).expect("the remote, or the proxy for it, answers before the work begins");
        assert!(read_answer(&mut held).is_ok(), "the connection to hold was not answered");
        let mut held = Some(held);
        for round in 0_u64.. {
            let last = stop.load(Ordering::Relaxed); // before connecting: one round sees what the work left
            let answer = connect(remote, None).and_then(|mut stream| {
                let answer = read_answer(&mut stream);
                // Close with a reset: TIME_WAIT would use up the local ports within seconds.
                let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                sys::set_option(&OwnedFd::from(stream), libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
                answer
            });
            let asked = last || round % 8 == 0;
            let broken = asked && held.take_if(|stream| !echoes(stream)).is_some();
            load.lock().expect("no client panics with the lock").count(answer, broken);
            if round == 0 {
                started.send(()).expect("the caller waits for all clients");
            }
            if last {
                break;
            }
        }
    };
    let done = pod.serving(Listeners::All, || {
        thread::scope(|scope| {
            let stop_at_last = StopOnDrop(&stop);
            let running: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
            for _ in &running {
                starts.recv_timeout(Duration::from_secs(20)).expect("every client was served once");
            }
            let done = pod.run(work);
            drop(stop_at_last);
            done
        })
    });
    (load.into_inner().expect("no client panics with the lock"), done)
}

impl Load {
    fn count(&mut self, answer: io::Result<String>, broken: bool) {
        let answer = answer.unwrap_or_else(|error| failure(&error));
        let counter = match answer.split(' ').next() {
            Some("ENVOY_OUT") => &mut self.proxied,
            Some("REMOTE") => &mut self.escaped,
            _ => &mut self.failed,
        };
        *counter += 1;
        self.broken += u64::from(broken);
        if !answer.starts_with("ENVOY_OUT") && self.samples.len() < 5 {
            self.samples.push(answer);
        }
    }
}

impl Pod {
    pub fn new() -> Pod {
        let (pod, gateway) = (NetNs::fresh(), NetNs::fresh());
        for namespace in [&pod, &gateway] {
            namespace.run(quiet_ipv6);
        }
        pod.run(|| {
            // The peer's namespace is passed as standard input: no name, no pid.
            let status = command("ip")
                .args("link add eth0 type veth peer name eth0 netns /proc/self/fd/0".split(' '))
                .stdin(gateway.file.try_clone().expect("a descriptor can be copied"))
                .status();
            assert!(status.is_ok_and(|status| status.success()), "ip link add eth0 type veth");
        });
        for (namespace, host) in [(&pod, 2), (&gateway, 1)] {
            namespace.run(|| {
                ip(&format!("addr add 10.77.0.{host}/24 dev eth0"));
                ip(&format!("-6 addr add fd77::{host}/64 dev eth0 nodad"));
                ip("link set eth0 up");
            });
        }
        pod.run(|| {
            ip("route add default via 10.77.0.1");
            ip("-6 route add default via fd77::1");
        });
        Pod { pod, gateway }
    }

    /// Runs `body` on a thread in the pod, as root.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        self.pod.run(body)
    }

    /// Runs `body` while the servers answer.
    pub fn serving<T>(&self, listeners: Listeners, body: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop_at_last = StopOnDrop(&stop);
            let (ready, readies) = mpsc::channel();
            let groups = [
                (PROXY_IN, Who::ProxyServer, matches!(listeners, Listeners::All | Listeners::NoOutbound)),
                (PROXY_OUT, Who::ProxyServer, matches!(listeners, Listeners::All | Listeners::NoInbound)),
                (APP, Who::App, true),
                (REMOTE, Who::Gateway, true),
            ];
            let running = groups.into_iter().filter(|(.., wanted)| *wanted);
            let mut expected = 0;
            for (servers, who, _wanted) in running {
                let (ready, stop) = (ready.clone(), &stop);
                scope.spawn(move || {
                    self.of(who).enter();
                    who.assume();
                    for server in servers {
                        server.start(scope, stop);
                    }
                    ready.send(()).expect("the receiver waits for all");
                });
                expected += 1;
            }
            drop(ready);
            assert_eq!(readies.iter().count(), expected, "a server could not listen");
            body()
        })
    }

    /// Asks every probe at the same moment: what times out costs the time of one.
    fn probe_all(&self) -> String {
        // Neighbour discovery first, so that no probe pays for it.
        for (who, address) in
            [(Who::Gateway, POD_V4), (Who::Gateway, POD_V6), (Who::Proxy, REMOTE_V4), (Who::Proxy, REMOTE_V6)]
        {
            self.ask(&Probe { who, what: String::new(), way: Way::Udp, from: None, to: (address, 9).into() });
        }
        thread::scope(|scope| {
            let asked: Vec<_> = probes()
                .map(|probe| scope.spawn(move || format!("{} {}\t{}\n", probe.who, probe.what, self.ask(&probe))))
                .collect();
            asked.into_iter().map(|line| line.join().expect("a probe answers or says what failed")).collect()
        })
    }

    fn ask(&self, probe: &Probe) -> String {
        self.of(probe.who).run(|| {
            probe.who.assume();
            let answer = match probe.way {
                Way::Tcp => connect(probe.to, probe.from).and_then(|mut stream| read_answer(&mut stream)),
                Way::Udp => ask_udp(probe.to),
            };
            answer.unwrap_or_else(|error| failure(&error))
        })
    }

    fn of(&self, who: Who) -> &NetNs {
        match who {
            Who::App | Who::AppOfProxyGroup | Who::Proxy | Who::ProxyServer => &self.pod,
            Who::Gateway => &self.gateway,
        }
    }
}

fn quiet_ipv6() {
    for (name, value) in [("default/accept_dad", "0"), ("all/accept_dad", "0"), ("default/router_solicitations", "0")] {
        let path = format!("/proc/sys/net/ipv6/conf/{name}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Compares two tables of answers.
#[track_caller]
pub fn assert_same_answers(expected: &str, actual: &str) {
    assert_same(expected, actual, "the answers of 40 probes (- expected, + seen)");
}

/// On whose behalf a socket is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    App,
    AppOfProxyGroup,
    Gateway,
    Proxy,
    /// The proxy with what transparent listeners need.
    ProxyServer,
}

impl Who {
    /// Makes this thread run as that user.
    fn assume(self) {
        let (uid, gid, keep) = match self {
            Who::App => (1000, 1000, Capabilities::None),
            Who::AppOfProxyGroup => (1000, 1337, Capabilities::None),
            Who::Gateway => return,
            Who::Proxy => (1337, 1337, Capabilities::None),
            Who::ProxyServer => (1337, 1337, Capabilities::Network),
        };
        sys::become_user(uid, gid, keep).expect("root may become any user");
    }
}

/// As the recordings name them.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Who::App => "app",
            Who::AppOfProxyGroup => "eg",
            Who::Gateway => "gw",
            Who::Proxy | Who::ProxyServer => "envoy",
        })
    }
}

#[derive(Debug)]
struct Probe {
    who: Who,
    what: String,
    way: Way,
    from: Option<IpAddr>,
    to: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Tcp,
    Udp,
}

fn probes() -> impl Iterator<Item = Probe> {
    let v4 = ("v4", REMOTE_V4, POD_V4, Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 6).into());
    let v6 = ("v6", REMOTE_V6, POD_V6, Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into());
    [v4, v6].into_iter().flat_map(|(v, remote, pod, loopback, passthrough): (_, IpAddr, IpAddr, IpAddr, IpAddr)| {
        use {Way::Tcp, Way::Udp, Who::App, Who::AppOfProxyGroup, Who::Gateway, Who::Proxy};
        let src = format!("self-podip:8080 src {passthrough}");
        [
            (App, "remote:9000", Tcp, remote, 9000, None),
            (App, "remote:15008", Tcp, remote, 15008, None),
            (App, "self-podip:8080", Tcp, pod, 8080, None),
            (App, "lo:8080", Tcp, loopback, 8080, None),
            (App, "remote udp", Udp, remote, 9001, None),
            (App, "dns udp", Udp, remote, 53, None),
            (App, "dns tcp", Tcp, remote, 53, None),
            (App, "closed remote:9999", Tcp, remote, 9999, None),
            (Proxy, "remote:9000", Tcp, remote, 9000, None),
            (Proxy, "self-podip:8080", Tcp, pod, 8080, None),
            (Proxy, "lo:8080", Tcp, loopback, 8080, None),
            (Proxy, src.as_str(), Tcp, pod, 8080, Some(passthrough)),
            (Proxy, "self:15008", Tcp, pod, 15008, None),
            (Proxy, "dns udp", Udp, remote, 53, None),
            (AppOfProxyGroup, "remote:9000 (gid1337)", Tcp, remote, 9000, None),
            (AppOfProxyGroup, "self-podip:8080 (gid1337)", Tcp, pod, 8080, None),
            (Gateway, "pod:8080", Tcp, pod, 8080, None),
            (Gateway, "pod:15021", Tcp, pod, 15021, None),
            (Gateway, "pod:15008", Tcp, pod, 15008, None),
            (Gateway, "pod:7777(closed)", Tcp, pod, 7777, None),
        ]
        .map(|(who, what, way, to, port, from)| Probe {
            who,
            what: format!("{v}->{what}"),
            way,
            from,
            to: (to, port).into(),
        })
    })
}

const POD_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
const POD_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
const REMOTE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const REMOTE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
/// Longer than the kernel's first repeat of a SYN (1 s): a packet lost under load is not an answer.
const PATIENCE: Duration = Duration::from_millis(1500);

fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = sys::socket(to, libc::SOCK_STREAM)?;
    let limit = libc::timeval { tv_sec: 1, tv_usec: 500_000 };
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    if let Some(from) = from {
        sys::bind(&socket, (from, 0).into())?;
    }
    sys::connect(&socket, to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The one line that a server sends.
fn read_answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut buffer = [0; 300];
    let length = stream.read(&mut buffer)?;
    Ok(text(buffer.get(..length)))
}

fn ask_udp(to: SocketAddr) -> io::Result<String> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(b"x")?;
    let mut buffer = [0; 300];
    let length = socket.recv(&mut buffer)?;
    Ok(text(buffer.get(..length)))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).trim().to_owned()
}

/// Does a connection that was answered before still pass bytes both ways?
fn echoes(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"?").and_then(|()| stream.read_exact(&mut byte)).is_ok() && byte == *b"?"
}

/// In the words of the recordings.
fn failure(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::ConnectionRefused, _) => "REFUSED".to_owned(),
        (ErrorKind::ConnectionReset, _) => "RESET".to_owned(),
        (_, Some(libc::EAGAIN | libc::EINPROGRESS)) => "TIMEOUT".to_owned(),
        (_, errno) => {
            let message = error.to_string();
            let message = message.split(" (os error").next().unwrap_or_default();
            format!("ERR [Errno {}] {message}", errno.unwrap_or_default())
        }
    }
}

/// A server: its tag, where it listens, and how.
struct Server(&'static str, &'static str, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    /// Takes connections to any address (`IP_TRANSPARENT`).
    TransparentTcp,
    Udp,
}

const PROXY_IN: &[Server] = &[
    Server("ENVOY_IN", "0.0.0.0:15006", Kind::TransparentTcp),
    Server("ENVOY_IN", "[::]:15006", Kind::TransparentTcp),
];
const PROXY_OUT: &[Server] = &[
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
const APP: &[Server] = &[Server("APP", "0.0.0.0:8080", Kind::Tcp), Server("APP", "[::]:8080", Kind::Tcp)];
const REMOTE: &[Server] = &[
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
    fn start<'scope>(&'static self, scope: &'scope Scope<'scope, '_>, stop: &'scope AtomicBool) {
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
        // accept() and recv() come back this often to see whether it is time to stop.
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
            // A client that goes away is its own affair: it reports what it saw.
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

/// Servers and clients end when this goes, also when it goes by a panic.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
