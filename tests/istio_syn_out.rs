//! A SYN of the application that meets the conntrack entry of an earlier connection: it reaches the
//! proxy or is refused, and never leaves the pod past the proxy.
//!
//! The entries are made by real sockets, most of them by the proxy's own connections, which NAT
//! leaves alone. Then the application connects from the same port to the same destination.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
#[path = "support/sockets.rs"]
mod sockets;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::Ruleset;
use sidecar::{apply, config, route};
use sockets::{FAMILIES, PATIENCE, acknowledged, connect_by, forgotten, listener, reset, speaks, vanish};
use support::patience::{comes_true, patience};
use support::{needs_root, nft, nft_script, sys};
use traffic::{Pod, Who};

/// A port outside.
const REMOTE: u16 = 9000;
const MODES: [&str; 2] =
    ["ISTIO_DUAL_STACK=true -m REDIRECT -i '*' -b '*'", "ISTIO_DUAL_STACK=true -m TPROXY -i '*' -b '*'"];

/// Who accepted a connection.
#[derive(Debug)]
enum Taken {
    ByProxy(TcpStream),
    ByRemote(TcpStream),
}

/// A pod with a proxy, and a server outside.
struct Scene {
    pod: Pod,
    remote: SocketAddr,
    local: IpAddr,
    proxy: TcpListener,
    server: TcpListener,
}

impl Scene {
    fn new((gateway, local): (IpAddr, IpAddr), install: impl FnOnce() + Send) -> Scene {
        let pod = Pod::new();
        pod.gateway.run(|| {
            nft_script(
                "add table inet seen; add chain inet seen in { type filter hook prerouting priority -400; }; \
                add rule inet seen in tcp flags & (fin | syn | rst | ack) == syn counter",
            );
        });
        pod.run(install);
        let proxy = listener(&pod.pod, Who::ProxyServer, local, 15001);
        let server = listener(&pod.gateway, Who::Gateway, gateway, REMOTE);
        Scene { pod, remote: (gateway, REMOTE).into(), local, proxy, server }
    }

    fn connect(&self, who: Who, port: u16, kind: Kind) -> io::Result<TcpStream> {
        let mut stream = self.pod.run(|| {
            who.assume();
            connect_by(kind.protocol(), (self.local, port).into(), self.remote, |socket| match kind {
                Kind::FastOpen => sys::set_option(socket, libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, &sys::ON),
                Kind::Multipath | Kind::Plain => Ok(()),
            })
        })?;
        if kind == Kind::FastOpen {
            stream.write_all(b"early data")?;
            // A refusal is known once it is answered.
            stream.set_read_timeout(Some(patience(Duration::from_millis(200))))?;
            if let Err(error) = stream.read(&mut [0]) {
                if error.kind() != ErrorKind::WouldBlock {
                    return Err(error);
                }
            }
        }
        Ok(stream)
    }

    fn take(&self) -> Option<Taken> {
        let until = Instant::now() + patience(PATIENCE);
        while Instant::now() < until {
            if let Ok((stream, _)) = self.server.accept() {
                return Some(Taken::ByRemote(stream));
            }
            if let Ok((stream, _)) = self.proxy.accept() {
                return Some(Taken::ByProxy(stream));
            }
            thread::sleep(Duration::from_millis(1));
        }
        None
    }

    /// Makes a connection that the remote accepts.
    #[track_caller]
    fn direct(&self, who: Who, port: u16) -> (TcpStream, TcpStream) {
        let stream = self.connect(who, port, Kind::Plain).unwrap_or_else(|error| panic!("{who}, port {port}: {error}"));
        match self.take() {
            Some(Taken::ByRemote(served)) => (stream, served),
            other => panic!("{who}, port {port}: {other:?}"),
        }
    }

    /// Makes a connection that the proxy accepts.
    #[track_caller]
    fn proxied(&self, port: u16) -> (TcpStream, TcpStream) {
        let stream = self.connect(Who::App, port, Kind::Plain).unwrap_or_else(|error| panic!("port {port}: {error}"));
        match self.take() {
            Some(Taken::ByProxy(served)) => (stream, served),
            other => panic!("port {port}: {other:?}"),
        }
    }

    /// Returns how many SYNs have reached the gateway.
    fn left(&self) -> u64 {
        let listed = self.pod.gateway.run(|| nft("list chain inet seen in"));
        let (_, rest) = listed.split_once("packets ").expect("a counter");
        rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Connects the application from this port, asserts that no SYN reaches the gateway, and
    /// returns the outcome.
    #[track_caller]
    fn kept(&self, port: u16, kind: Kind) -> io::Result<TcpStream> {
        let before = self.left();
        let outcome = self.connect(Who::App, port, kind);
        assert_eq!(self.left(), before, "port {port}: a SYN left past the proxy: {outcome:?}");
        outcome
    }

    #[track_caller]
    fn refused(&self, port: u16, kind: Kind) {
        let error = self.kept(port, kind).expect_err("nobody has a connection on this entry");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "port {port}");
    }

    fn forgotten(&self, port: u16) {
        forgotten(&self.pod, self.local, port);
    }
}

/// Kind of the application's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    FastOpen,
    Multipath,
    Plain,
}

impl Kind {
    fn protocol(self) -> libc::c_int {
        match self {
            // IPPROTO_MPTCP, include/uapi/linux/in.h.
            Kind::Multipath => 262,
            Kind::FastOpen | Kind::Plain => 0,
        }
    }
}

/// How the proxy's own connection ends, a function that ends one from this port that way, and
/// whether conntrack then treats a SYN as a new connection.
type End = (&'static str, fn(&Scene, u16), After);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Known,
    New,
}

const ENDS: [End; 7] = [
    ("the remote reset it", |scene, port| reset_by_remote(scene, Who::Proxy, port), After::Known),
    (
        "the remote closed first, and the proxy vanished",
        |scene, port| {
            let (mut proxy, remote) = scene.direct(Who::Proxy, port);
            remote.shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(proxy.read(&mut [0]).expect("it was closed"), 0);
            // An unanswered FIN would be repeated, and answered with a reset.
            acknowledged(&scene.pod.gateway, scene.local, port);
            vanish(proxy);
            vanish(remote);
            scene.forgotten(port);
        },
        After::Known,
    ),
    ("both are gone without a word", |scene, port| both_vanish(scene, Who::Proxy, port), After::Known),
    (
        "the proxy closed first, and the remote is still half open",
        |scene, port| {
            scene.pod.run(|| fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "1")).expect("a namespace has this");
            let (proxy, mut remote) = scene.direct(Who::Proxy, port);
            drop(proxy);
            assert_eq!(remote.read(&mut [0]).expect("it was closed"), 0);
            scene.forgotten(port);
            vanish(remote);
        },
        After::Known,
    ),
    (
        "nobody ever answered the proxy",
        |scene, port| {
            let tables =
                ["add table inet deaf; add chain inet deaf in { type filter hook input priority 0; policy drop; }"];
            scene.pod.gateway.run(|| nft_script(tables[0]));
            let outcome = scene.connect(Who::Proxy, port, Kind::Plain);
            assert!(outcome.is_err(), "{outcome:?}");
            scene.pod.gateway.run(|| nft_script("delete table inet deaf"));
            scene.forgotten(port);
        },
        After::Known,
    ),
    (
        "the proxy reset it",
        |scene, port| {
            let (proxy, mut remote) = scene.direct(Who::Proxy, port);
            reset(proxy);
            assert!(remote.read(&mut [0]).is_err(), "it was reset");
        },
        After::New,
    ),
    (
        "both closed it, the remote first",
        |scene, port| {
            let (mut proxy, remote) = scene.direct(Who::Proxy, port);
            drop(remote);
            assert_eq!(proxy.read(&mut [0]).expect("it was closed"), 0);
            drop(proxy);
            scene.forgotten(port);
        },
        After::New,
    ),
];

/// Ends the application's connection, whose other end is the proxy's.
type Ending = fn(TcpStream, TcpStream);

fn reset_by_remote(scene: &Scene, who: Who, port: u16) {
    let (mut stream, remote) = scene.direct(who, port);
    reset(remote);
    let error = stream.read(&mut [0]).expect_err("it was reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn both_vanish(scene: &Scene, who: Who, port: u16) {
    let (stream, remote) = scene.direct(who, port);
    vanish(stream);
    vanish(remote);
    scene.forgotten(port);
}

/// Installs the rules of the reference, where only NAT decides.
fn as_the_reference(config: &IstioConfig) {
    let mut rules = Ruleset::from(config);
    let before = rules.to_string();
    for table in &mut rules.tables {
        table.chains.retain(|chain| !chain.name.as_str().ends_with("-syn"));
    }
    assert_ne!(rules.to_string(), before);
    nft_script(&rules.to_string());
    route(config);
}

fn every_mode(body: impl Fn(&str, (IpAddr, IpAddr), &IstioConfig)) {
    if !needs_root() {
        return;
    }
    for mode in MODES {
        for addresses in FAMILIES {
            body(mode, addresses, &config(mode, ""));
        }
    }
}

#[test]
fn a_syn_on_an_entry_of_the_proxy_is_refused_or_reaches_the_proxy() {
    every_mode(|mode, addresses, config| {
        let scene = Scene::new(addresses, || apply(config));
        for ((how, end, after), port) in ENDS.iter().zip(41_001..) {
            let what = format!("{mode}: {addresses:?}: {how}");
            end(&scene, port);
            match (after, scene.kept(port, Kind::Plain)) {
                (After::Known, Err(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{what}"),
                (After::New, Ok(mut app)) => {
                    let Some(Taken::ByProxy(mut proxy)) = scene.take() else { panic!("{what}: not the proxy") };
                    speaks(&mut app, &mut proxy);
                }
                (_, other) => panic!("{what}: {other:?}: {:?}", scene.take()),
            }
        }
        // From a port without an old entry.
        let (mut app, mut proxy) = scene.proxied(42_001);
        speaks(&mut app, &mut proxy);
    });
}

#[test]
fn the_reference_lets_a_syn_on_an_old_entry_of_the_proxy_leave() {
    every_mode(|mode, addresses, config| {
        let scene = Scene::new(addresses, || as_the_reference(config));
        for ((how, end, after), port) in ENDS.iter().zip(41_001..) {
            end(&scene, port);
            let before = scene.left();
            let outcome = scene.connect(Who::App, port, Kind::Plain);
            let left = scene.left() > before;
            assert_eq!(left, *after == After::Known, "{mode}: {addresses:?}: {how}: {outcome:?}");
            let taken = outcome.is_ok().then(|| scene.take());
            if port == 41_001 {
                let by_remote = matches!(taken, Some(Some(Taken::ByRemote(_))));
                assert!(by_remote, "{mode}: {addresses:?}: {how}: {taken:?}");
            }
        }
    });
}

#[test]
fn fast_open_and_mptcp_are_refused_alike_and_work_otherwise() {
    every_mode(|mode, addresses, config| {
        // On both sides, without a cookie, for every new listener.
        let fast_open = || fs::write("/proc/sys/net/ipv4/tcp_fastopen", "1543").expect("a namespace has this");
        let scene = Scene::new(addresses, || {
            fast_open();
            apply(config);
        });
        scene.pod.gateway.run(fast_open);
        for (kind, port) in [(Kind::FastOpen, 43_001), (Kind::Multipath, 43_011)] {
            let what = format!("{mode}: {addresses:?}: {kind:?}");
            let mut app = match scene.connect(Who::App, port, kind) {
                Err(error) if kind == Kind::Multipath && error.raw_os_error() == Some(libc::EPROTONOSUPPORT) => {
                    continue;
                }
                other => other.unwrap_or_else(|error| panic!("{what}: {error}")),
            };
            let Some(Taken::ByProxy(mut proxy)) = scene.take() else { panic!("{what}: not the proxy") };
            if kind == Kind::FastOpen {
                proxy.set_nonblocking(false).expect("a flag");
                proxy.read_exact(&mut [0; 10]).expect("the early data");
            }
            app.set_read_timeout(Some(patience(PATIENCE))).expect("a time");
            speaks(&mut app, &mut proxy);
            for (end, port) in [reset_by_remote as fn(&Scene, Who, u16), both_vanish].into_iter().zip(port + 1..) {
                end(&scene, Who::Proxy, port);
                scene.refused(port, kind);
            }
        }
    });
}

#[test]
fn the_applications_own_entries_still_lead_to_the_proxy() {
    every_mode(|mode, addresses, config| {
        let scene = Scene::new(addresses, || apply(config));
        let ends: [(&str, Ending); 3] = [
            ("the proxy reset it", |_app, proxy| reset(proxy)),
            ("both are gone", |app, proxy| {
                vanish(app);
                vanish(proxy);
            }),
            ("the proxy closed first", |app, proxy| {
                drop(proxy);
                vanish(app);
            }),
        ];
        scene.pod.run(|| fs::write("/proc/sys/net/ipv4/tcp_fin_timeout", "1")).expect("a namespace has this");
        for ((how, end), port) in ends.into_iter().zip(44_001..) {
            let (app, proxy) = scene.proxied(port);
            end(app, proxy);
            scene.forgotten(port);
            let before = scene.left();
            let (mut app, mut proxy) = scene.proxied(port);
            speaks(&mut app, &mut proxy);
            assert_eq!(scene.left(), before, "{mode}: {addresses:?}: {how}");
        }
    });
}

#[test]
fn excluded_connections_still_work_on_old_entries() {
    if !needs_root() {
        return;
    }
    let excluded =
        ["-o 9000", "-x 10.77.0.1/32,fd77::1/128", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE=1000", "-c eth0", "-i ''"];
    for (mode, options) in MODES.into_iter().flat_map(|mode| excluded.map(|options| (mode, options))) {
        let mode = if options.starts_with("-i") { mode.replace("-i '*'", "") } else { mode.to_owned() };
        let config = config(&format!("{mode} {options}"), "");
        for addresses in FAMILIES {
            let scene = Scene::new(addresses, || apply(&config));
            for (who, port) in [(Who::App, 45_001), (Who::Proxy, 45_011)] {
                reset_by_remote(&scene, who, port);
                both_vanish(&scene, who, port + 1);
                for port in [port, port + 1] {
                    let (mut again, mut served) = scene.direct(Who::App, port);
                    speaks(&mut again, &mut served);
                }
            }
        }
    }
}

#[test]
fn connections_older_than_the_rules_continue_but_their_entries_refuse_a_syn() {
    every_mode(|_, addresses, config| {
        let scene = Scene::new(addresses, || {
            // Connection tracking is on before the rules, as with another firewall.
            nft_script(
                "add table inet seen; add chain inet seen out { type filter hook output priority 0; }; \
                add rule inet seen out ct state new counter",
            );
        });
        let (mut app, mut remote) = scene.direct(Who::App, 46_001);
        let (mut proxy, mut far) = scene.direct(Who::Proxy, 46_002);
        scene.pod.run(|| apply(config));
        speaks(&mut app, &mut remote);
        speaks(&mut proxy, &mut far);
        vanish(app);
        vanish(remote);
        scene.forgotten(46_001);
        scene.refused(46_001, Kind::Plain);
        // A connection from an equal port of another user does not disturb it.
        speaks(&mut proxy, &mut far);
    });
}

#[test]
fn a_port_that_was_refused_works_again() {
    every_mode(|mode, addresses, config| {
        let scene = Scene::new(addresses, || {
            apply(config);
            let entries = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close";
            fs::write(entries, "1").expect("the rules track connections");
        });
        // Its entry would stay for five days. Before Linux 6.3 our reset does not end it; the
        // remote's did.
        let ends = [reset_by_remote as fn(&Scene, Who, u16), both_vanish];
        let closes = support::version::linux() >= (6, 3);
        for (end, port) in ends.into_iter().take(if closes { 2 } else { 1 }).zip(47_001..) {
            end(&scene, Who::Proxy, port);
            let mut app = None;
            let is_let_through = || {
                app = match scene.kept(port, Kind::Plain) {
                    Ok(app) => Some(app),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{mode}: {addresses:?}");
                        None
                    }
                };
                app.is_some()
            };
            assert!(comes_true(is_let_through), "{mode}: {addresses:?}: refused for ever");
            let mut app = app.expect("it is let through");
            let Some(Taken::ByProxy(mut proxy)) = scene.take() else { panic!("{mode}: {addresses:?}: not the proxy") };
            speaks(&mut app, &mut proxy);
        }
    });
}
