//! A SYN that meets the entry of an earlier connection: it is a new connection, and never bypasses
//! the proxy to reach the application.
//!
//! The entries are made by real sockets that end in every way sockets end: with a reset, closed
//! first by the proxy, or silently ([`vanish`]), as when a process or its machine is gone.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
#[path = "support/sockets.rs"]
mod sockets;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::{Ruleset, TcpFlags};
use sidecar::{apply, config, route};
use sockets::{FAMILIES, PATIENCE, connect, connect_with, forgotten, listener, reset, speaks, vanish};
use support::patience::patience;
use support::{needs_root, nft, nft_script, sys};
use traffic::{Pod, Who};

const TPROXY: &str = "ISTIO_DUAL_STACK=true -m TPROXY -i '*' -b '*'";
/// The application's port.
const APP: u16 = 8080;
/// Who accepted a connection.
#[derive(Debug)]
enum Taken {
    ByApp,
    ByProxy(TcpStream),
}

/// A pod with a client outside, an application and, until it is stopped, a proxy.
struct Scene {
    pod: Pod,
    client: IpAddr,
    server: IpAddr,
    app: TcpListener,
    proxy: Option<TcpListener>,
}

impl Scene {
    fn new((client, server): (IpAddr, IpAddr), install: impl FnOnce() + Send) -> Scene {
        let pod = Pod::new();
        pod.run(install);
        let app = listener(&pod.pod, Who::App, server, APP);
        let proxy = Some(listener(&pod.pod, Who::ProxyServer, server, 15006));
        Scene { pod, client, server, app, proxy }
    }

    /// Connects the client from this port; `Err` when nobody answers.
    fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.pod.gateway.run(|| connect((self.client, port).into(), (self.server, APP).into()))
    }

    /// Connects the client, and returns who accepted.
    #[track_caller]
    fn taken(&self, port: u16) -> (TcpStream, Taken) {
        let stream = self.connect(port).unwrap_or_else(|error| panic!("port {port}: {error}"));
        let taken = self.take().unwrap_or_else(|| panic!("port {port}: nobody took it"));
        (stream, taken)
    }

    fn take(&self) -> Option<Taken> {
        let until = Instant::now() + patience(PATIENCE);
        while Instant::now() < until {
            if self.app.accept().is_ok() {
                return Some(Taken::ByApp);
            }
            if let Some(Ok((stream, _))) = self.proxy.as_ref().map(TcpListener::accept) {
                return Some(Taken::ByProxy(stream));
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }

    #[track_caller]
    fn proxied(&self, port: u16) -> (TcpStream, TcpStream) {
        match self.taken(port) {
            (client, Taken::ByProxy(proxy)) => (client, proxy),
            (_, other) => panic!("port {port}: {other:?}"),
        }
    }
}

fn installed() {
    apply(&config(TPROXY, ""));
}

/// Installs the rules of the reference, where established connections are the proxy's, even for a
/// SYN.
fn as_the_reference() {
    let config: IstioConfig = config(TPROXY, "");
    let rules = Ruleset::from(&config).to_string();
    let without: String =
        rules.lines().filter(|line| !line.contains("a SYN begins")).map(|line| format!("{line}\n")).collect();
    assert_ne!(without, rules);
    nft_script(&without);
    route(&config);
}

/// How a connection ends, and a function that ends one from this port that way.
type End = (&'static str, fn(&Scene, u16));

/// Ways to leave a conntrack entry without sockets, by a connection from this port; the test then
/// connects again from the same port.
const ENDS: [End; 3] = [
    ("the proxy reset it", |scene, port| {
        let (mut client, proxy) = scene.proxied(port);
        reset(proxy);
        let error = client.read(&mut [0]).expect_err("it was reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }),
    ("the proxy closed first, and the client is still half open", |scene, port| {
        scene.pod.run(|| fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "1")).expect("a namespace has this");
        let (mut client, proxy) = scene.proxied(port);
        drop(proxy);
        assert_eq!(client.read(&mut [0]).expect("it was closed"), 0);
        forgotten(&scene.pod, scene.server, port);
        vanish(client);
    }),
    ("the proxy is gone without a word", |scene, port| {
        let (client, proxy) = scene.proxied(port);
        vanish(proxy);
        vanish(client);
        forgotten(&scene.pod, scene.server, port);
    }),
];

#[test]
fn a_syn_on_an_old_entry_is_a_new_connection_to_the_proxy() {
    if !needs_root() {
        return;
    }
    for addresses in FAMILIES {
        let scene = Scene::new(addresses, installed);
        for ((how, end), port) in ENDS.iter().zip(41_001..) {
            end(&scene, port);
            let (mut client, taken) = scene.taken(port);
            let Taken::ByProxy(mut proxy) = taken else { panic!("{addresses:?}: {how}: {taken:?}") };
            speaks(&mut client, &mut proxy);
        }
    }
}

#[test]
fn without_a_proxy_a_syn_on_an_old_entry_is_dropped_until_there_is_one() {
    if !needs_root() {
        return;
    }
    for addresses in FAMILIES {
        let mut scene = Scene::new(addresses, installed);
        for ((how, end), port) in ENDS.iter().zip(41_001..) {
            end(&scene, port);
            scene.proxy = None;
            let outcome = scene.connect(port);
            assert!(outcome.is_err(), "{addresses:?}: {how}: {:?}", scene.take());
            assert!(scene.app.accept().is_err(), "{addresses:?}: {how}");
            scene.proxy = Some(listener(&scene.pod.pod, Who::ProxyServer, scene.server, 15006));
            let (mut client, mut proxy) = scene.proxied(port);
            speaks(&mut client, &mut proxy);
        }
    }
}

#[test]
fn the_reference_lets_a_syn_on_an_old_entry_reach_the_application() {
    if !needs_root() {
        return;
    }
    for addresses in FAMILIES {
        let scene = Scene::new(addresses, as_the_reference);
        for ((how, end), port) in ENDS.iter().zip(41_001..) {
            end(&scene, port);
            let (_client, taken) = scene.taken(port);
            assert!(matches!(taken, Taken::ByApp), "{addresses:?}: {how}: {taken:?}");
        }
    }
}

#[test]
fn established_connections_and_repeated_syns_go_on() {
    if !needs_root() {
        return;
    }
    for addresses in FAMILIES {
        let scene = Scene::new(addresses, installed);
        let (mut client, mut proxy) = scene.proxied(43_001);
        speaks(&mut client, &mut proxy);
        scene.pod.gateway.run(|| {
            let syn = segment((scene.client, 43_001), (scene.server, APP), TcpFlags::SYN);
            (0..3).for_each(|_| sys::send_raw((scene.server, 0).into(), libc::IPPROTO_TCP, &syn).expect("is sent"));
        });
        speaks(&mut client, &mut proxy);
        assert!(scene.app.accept().is_err(), "{addresses:?}: a SYN of a connection in use");
        // The same rules, replaced by nft: established connections stay with the proxy.
        scene.pod.run(|| {
            nft("flush chain inet istio-proxy-mangle istio-inbound");
            installed();
        });
        speaks(&mut client, &mut proxy);
    }
}

#[test]
fn data_in_the_syn_reaches_the_proxy() {
    if !needs_root() {
        return;
    }
    for addresses in FAMILIES {
        // On both sides, without a cookie, for every new listener.
        let fast_open = || fs::write("/proc/sys/net/ipv4/tcp_fastopen", "1543").expect("a namespace has this");
        let scene = Scene::new(addresses, || {
            fast_open();
            installed();
        });
        scene.pod.gateway.run(fast_open);
        for port in [44_001, 44_002] {
            let mut client = scene.pod.gateway.run(|| {
                connect_with((scene.client, port).into(), (scene.server, APP).into(), |socket| {
                    sys::set_option(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, &sys::ON)
                })
                .expect("connected when the first bytes are written")
            });
            client.write_all(b"early data").expect("the connection opens with it");
            let Some(Taken::ByProxy(mut proxy)) = scene.take() else { panic!("{addresses:?}: not the proxy") };
            proxy.set_nonblocking(false).expect("a flag");
            let mut heard = [0; 10];
            proxy.read_exact(&mut heard).expect("it came with the SYN");
            assert_eq!(&heard, b"early data");
            speaks(&mut client, &mut proxy);
            let counted = scene.pod.run(|| counter("TCPFastOpenPassive"));
            assert!(counted > 0, "the SYN carried no data");
        }
    }
}

/// Reads a counter of this thread's namespace.
fn counter(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").expect("/proc");
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let found = names.split(' ').zip(values.split(' ')).find(|(known, _)| *known == name);
        if let Some((_, value)) = found {
            return value.parse().expect("a number");
        }
    }
    panic!("no counter {name}")
}

/// Returns a TCP header without options or data, with a correct checksum.
fn segment(from: (IpAddr, u16), to: (IpAddr, u16), flags: TcpFlags) -> Vec<u8> {
    let mut header = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags.bits(), 0xff, 0xff, 0, 0, 0, 0]);
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let pseudo = [octets(from.0), octets(to.0), vec![0, 6, 0, 20], header.clone()].concat();
    let weight = |(index, byte): (usize, &u8)| u32::from(*byte) << if index % 2 == 0 { 8 } else { 0 };
    let mut sum: u32 = pseudo.iter().enumerate().map(weight).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).expect("folded");
    header.splice(16..18, checksum.to_be_bytes());
    header
}
