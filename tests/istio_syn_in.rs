//! With REDIRECT, a SYN from outside that meets the conntrack entry of an untranslated connection
//! reaches the proxy or is refused, and never bypasses the proxy to reach the application.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
#[path = "support/sockets.rs"]
mod sockets;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use nftmesh::model::Ruleset;
use sidecar::{apply, config};
use sockets::{FAMILIES, PATIENCE, connect, forgotten, listener, reset, speaks, vanish};
use support::patience::patience;
use support::{needs_root, nft, nft_script};
use traffic::{Pod, Who};

const REDIRECT: &str = "ISTIO_DUAL_STACK=true -m REDIRECT -i '*' -b '*'";
/// The application's port.
const APP: u16 = 8080;

/// A pod with an application and a proxy, and a client outside.
struct Scene {
    pod: Pod,
    client: IpAddr,
    server: SocketAddr,
    app: TcpListener,
    proxy: TcpListener,
}

impl Scene {
    /// Connection tracking is on from the beginning, as with another firewall.
    fn new((client, server): (IpAddr, IpAddr)) -> Scene {
        let pod = Pod::new();
        pod.run(|| {
            nft_script(
                "add table inet seen; add chain inet seen in { type filter hook input priority 0; }; \
                 add rule inet seen in ct state new counter",
            );
        });
        let app = listener(&pod.pod, Who::App, server, APP);
        let proxy = listener(&pod.pod, Who::ProxyServer, server, 15006);
        Scene { pod, client, server: (server, APP).into(), app, proxy }
    }

    fn install(&self, options: &str) {
        self.pod.run(|| apply(&config(&format!("{REDIRECT} {options}"), "")));
    }

    fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.pod.gateway.run(|| connect((self.client, port).into(), self.server))
    }

    /// Returns both ends of a connection to the application or the proxy.
    #[track_caller]
    fn served(&self, by: &TcpListener, port: u16) -> (TcpStream, TcpStream) {
        let stream = self.connect(port).unwrap_or_else(|error| panic!("port {port}: {error}"));
        let until = Instant::now() + patience(PATIENCE);
        loop {
            match by.accept() {
                Ok((served, _)) => return (stream, served),
                Err(error) => assert!(Instant::now() < until, "port {port}: {error}"),
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[track_caller]
    fn refused(&self, port: u16, what: &str) {
        let error = self.connect(port).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{what}");
        assert!(self.app.accept().is_err(), "{what}: the application was reached");
    }

    fn ended_without_a_word(&self, (client, served): (TcpStream, TcpStream), port: u16) {
        vanish(client);
        vanish(served);
        forgotten(&self.pod, self.server.ip(), port);
    }
}

fn every_family(body: impl Fn(Scene, &str)) {
    if needs_root() {
        FAMILIES.into_iter().for_each(|addresses| body(Scene::new(addresses), &format!("{addresses:?}")));
    }
}

/// Makes entries of connections to the application itself: one ended silently, one reset by it.
fn old_entries(scene: &Scene, first: u16) -> [u16; 2] {
    scene.ended_without_a_word(scene.served(&scene.app, first), first);
    let (mut client, app) = scene.served(&scene.app, first + 1);
    reset(app);
    assert!(client.read(&mut [0]).is_err(), "it was reset");
    [first, first + 1]
}

#[test]
fn a_syn_on_an_entry_older_than_the_rules_is_refused() {
    every_family(|scene, family| {
        let (mut client, mut app) = scene.served(&scene.app, 41_001);
        let old = old_entries(&scene, 41_011);
        scene.install("");
        // Open connections continue.
        speaks(&mut client, &mut app);
        old.iter().for_each(|port| scene.refused(*port, family));
        speaks(&mut client, &mut app);
        let (mut client, mut proxy) = scene.served(&scene.proxy, 41_021);
        speaks(&mut client, &mut proxy);
    });
}

#[test]
fn without_the_syn_chains_old_entries_reach_the_application() {
    every_family(|scene, _| {
        let old = old_entries(&scene, 41_011);
        scene.pod.run(|| {
            let mut rules = Ruleset::from(&config(REDIRECT, ""));
            for table in &mut rules.tables {
                table.chains.retain(|chain| !chain.name.as_str().ends_with("-syn"));
            }
            nft_script(&rules.to_string());
        });
        for port in old {
            let (mut client, mut app) = scene.served(&scene.app, port);
            speaks(&mut client, &mut app);
        }
    });
}

#[test]
fn a_syn_on_an_entry_of_a_port_captured_later_is_refused() {
    every_family(|scene, family| {
        scene.install("-d 8080");
        let old = old_entries(&scene, 42_001);
        // While the port is excluded, old entries are the application's.
        scene.ended_without_a_word(scene.served(&scene.app, old[0]), old[0]);
        let (mut client, mut app) = scene.served(&scene.app, old[1]);
        speaks(&mut client, &mut app);
        scene.ended_without_a_word((client, app), old[1]);
        scene.install("");
        old.iter().for_each(|port| scene.refused(*port, family));
        // And back: entries of the proxy stay with it.
        let (client, proxy) = scene.served(&scene.proxy, 42_011);
        scene.ended_without_a_word((client, proxy), 42_011);
        let (mut client, mut proxy) = scene.served(&scene.proxy, 42_011);
        speaks(&mut client, &mut proxy);
    });
}

#[test]
fn a_syn_on_an_entry_of_the_other_direction_is_refused() {
    every_family(|scene, family| {
        scene.install("");
        // The proxy, or a later listener on that port, was connected to the client's port.
        let peer = listener(&scene.pod.gateway, Who::Gateway, scene.client, 43_001);
        let outbound = scene.pod.run(|| {
            Who::Proxy.assume();
            connect((scene.server.ip(), 8081).into(), (scene.client, 43_001).into()).expect("the client listens")
        });
        let until = Instant::now() + patience(PATIENCE);
        let served = loop {
            match peer.accept() {
                Ok((served, _)) => break served,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
        };
        vanish(outbound);
        vanish(served);
        drop(peer);
        forgotten(&scene.pod, scene.server.ip(), 43_001);
        let app = listener(&scene.pod.pod, Who::App, scene.server.ip(), 8081);
        let outcome =
            scene.pod.gateway.run(|| connect((scene.client, 43_001).into(), (scene.server.ip(), 8081).into()));
        let error = outcome.expect_err(family);
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{family}");
        assert!(app.accept().is_err(), "{family}: the application was reached");
        let refused = scene.pod.run(|| nft("list chain inet istio-proxy-nat istio-refuse"));
        let invalid = refused.lines().find(|line| line.contains("ct state invalid")).expect("a rule");
        assert!(!invalid.contains("packets 0 "), "{family}: not found invalid: {refused}");
    });
}
