//! Real connections through real rules: a pod and its gateway, servers and clients that run as the
//! users a mesh tells apart.
//!
//! ```text
//!   pod                                   gateway
//!   app    uid 1000   8080                REMOTE    9000, udp 9001
//!   proxy  uid 1337   15001 15006 ...     REMOTEDNS 53
//!   10.77.0.2/24 fd77::2/64 eth0 ======== eth0 10.77.0.1/24 fd77::1/64
//! ```
//! Every server answers with its tag, its local address, the original destination and the peer, so
//! that one line tells who was reached and how. Servers and clients are threads: a thread's user
//! and namespace are its own (see `support::sys`).
//!
//! A test program that uses this has `mod support;` and `#[path = "support/traffic/mod.rs"] mod
//! traffic;`.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "every test program uses the part it needs")]

mod load;
mod probes;
mod servers;

pub use load::{Load, under_load};
pub use probes::{RECORDINGS, Recording, probe_matrix, reference_matrix};

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{fmt, fs, thread};

use servers::{APP, PROXY_IN, PROXY_OUT, REMOTE};

use crate::support::patience::patience;
use crate::support::sys::{self, Capabilities};
use crate::support::{NetNs, command, ip, wait_until_local};

/// Which servers run in the pod. The app and the gateway's servers always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listeners {
    All,
    /// Nothing listens on the inbound port 15006.
    NoInbound,
    None,
    /// Nothing listens on the proxy's other ports.
    NoOutbound,
}

/// A pod and its gateway, joined by a veth pair, as a node sets them up: addresses, default routes,
/// no duplicate address detection.
#[derive(Debug)]
pub struct Pod {
    pub pod: NetNs,
    pub gateway: NetNs,
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
        pod.run(|| wait_until_local(&["fd77::2"]));
        gateway.run(|| wait_until_local(&["fd77::1"]));
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
            let groups: Vec<_> = groups.into_iter().filter(|(.., wanted)| *wanted).collect();
            for &(servers, who, _wanted) in &groups {
                let (ready, stop) = (ready.clone(), &stop);
                scope.spawn(move || {
                    self.of(who).enter();
                    who.assume();
                    for server in servers {
                        server.start(scope, stop);
                    }
                    ready.send(()).expect("the receiver waits for all");
                });
            }
            drop(ready);
            assert_eq!(readies.iter().count(), groups.len(), "a server could not listen");
            body()
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

/// On whose behalf a socket is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    App,
    AppOfProxyGroup,
    Gateway,
    Proxy,
    /// The proxy with the capabilities that transparent listeners need.
    ProxyServer,
}

impl Who {
    /// Makes this thread run as that user.
    pub fn assume(self) {
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

/// The names that the recordings use.
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

const POD_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
const POD_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
const REMOTE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const REMOTE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
/// Time after which an unanswered connection ends. The kernel repeats a SYN after 1, 2, 3 and 4 s,
/// and reports the carrier of a new link to IPv6 up to a second late: neither one lost packet nor a
/// busy machine must change an answer.
const PATIENCE: Duration = Duration::from_secs(6);

fn connect(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = sys::socket(to, libc::SOCK_STREAM)?;
    let limit = libc::timeval { tv_sec: patience(PATIENCE).as_secs() as libc::time_t, tv_usec: 0 };
    sys::set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    if let Some(from) = from {
        sys::bind(&socket, (from, 0).into())?;
    }
    sys::connect(&socket, to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience(PATIENCE)))?;
    Ok(stream)
}

/// Reads the one line that a server sends.
fn read_answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut buffer = [0; 300];
    let length = stream.read(&mut buffer)?;
    Ok(text(buffer.get(..length)))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).trim().to_owned()
}

/// Describes a failure in the words of the recordings.
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

/// Ends servers and clients when dropped, even by a panic.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
