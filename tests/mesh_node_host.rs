//! The example `mesh-node` with `--host`: the namespace in which it runs stands for the node of
//! ambient pods, whose addresses are in the sets there.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/node.rs"]
mod node;
mod support;

use std::fs;
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use nftmesh::mesh::ambient::AmbientHost;
use nftmesh::pod::Pod;
use node::{Node, tables};
use support::patience::{comes_true_within, patience};
use support::running::{PATIENCE, Running};
use support::{NetNs, in_fresh_netns, ip, nft, nft_script};

const AMBIENT: &str = "plain none\n* ambient:AMBIENT_IPV6=true\n";
const HOST: [&str; 2] = ["--host", "AMBIENT_IPV6=true"];
const NAT: &str = "inet istio-ambient-nat";

/// Joins a pod to this namespace.
fn join(pod: &NetNs, number: u8) {
    let words = format!("link add pod{number} type veth peer name eth0 netns /proc/self/fd/0");
    let mut command = support::command("ip");
    let status = command.args(words.split(' ')).stdin(pod.file.try_clone().expect("a descriptor")).status();
    assert!(status.expect("ip is installed").success(), "{words}");
    ip(&format!("addr add 10.77.{number}.1/24 dev pod{number}"));
    ip(&format!("link set pod{number} up"));
    pod.run(|| {
        ip(&format!("addr add 10.77.{number}.2/24 dev eth0"));
        ip(&format!("-6 addr add fd77:{number}::2/64 dev eth0 nodad"));
        ip("link set eth0 up");
        ip(&format!("route add default via 10.77.{number}.1"));
    });
}

/// Returns the elements of a set here, by name of the pod.
fn elements(set: &str) -> Vec<String> {
    let text = nft(&format!("list set {NAT} {set}"));
    let elements = text.split_once("elements = {").map_or("", |(_, rest)| rest);
    let parts = elements.split(['{', '}', ',']).map(str::trim).filter(|part| part.contains("comment"));
    parts
        .map(|part| {
            let (address, comment) = part.split_once(" comment ").expect("a uid");
            format!("{address} {}", comment.trim_matches('"').rsplit('/').next().unwrap_or_default())
        })
        .collect()
}

#[track_caller]
fn become_elements(expected: &[&str]) {
    let sorted = || {
        let mut found = elements("istio-inpod-probes-v4");
        found.sort();
        found
    };
    assert!(comes_true_within(patience(PATIENCE), || sorted() == expected), "{:?}: {}", sorted(), nft("list ruleset"));
}

fn keeps(running: &Running, count: usize) {
    running.until(&format!("mesh-node: {count} namespaces are kept"));
}

#[test]
fn the_sets_of_the_node_have_the_addresses_of_the_pods_that_are_there() {
    in_fresh_netns(|| {
        let others = "table ip istio-proxy-nat { chain output { type nat hook output priority 0; }; }\n\
                      table inet istio-ambient-mangle { }\ntable ip others { }\n";
        nft_script(others);
        ip("rule add fwmark 0x111/0xfff lookup 100 priority 32764 protocol 146");
        let node = Node::new(AMBIENT);
        let (first, _plain) = (node.pod("first"), node.pod("plain"));
        join(&first, 1);
        let mut running = node.start(&HOST);
        // The node itself is one of them.
        keeps(&running, 2);
        become_elements(&["10.77.1.2 first"]);
        assert_eq!(elements("istio-inpod-probes-v6"), ["fd77:1::2 first"]);
        assert!(tables(&first).contains("istio-ambient-mangle"), "the rules of a pod");
        let kept = "table ip istio-proxy-nat\ntable inet istio-ambient-mangle\ntable ip others\n";
        assert_eq!(nft("list tables"), format!("{kept}table {NAT}\n"), "tables of others, even by names of a mesh");
        assert!(ip("rule").contains("0x111/0xfff"), "a route of the node");
        // An address that comes later, one that changes, and one that has another pod.
        let second = node.pod("second");
        keeps(&running, 3);
        join(&second, 2);
        become_elements(&["10.77.1.2 first", "10.77.2.2 second"]);
        second.run(|| ip("addr add 10.77.2.3/24 dev eth0"));
        become_elements(&["10.77.1.2 first", "10.77.2.2 second", "10.77.2.3 second"]);
        first.run(|| ip("addr del 10.77.1.2/24 dev eth0"));
        second.run(|| ip("addr add 10.77.1.2/32 dev eth0"));
        become_elements(&["10.77.1.2 second", "10.77.2.2 second", "10.77.2.3 second"]);
        fs::remove_file(node.pods.join("second")).expect("it is there");
        become_elements(&[]);
        first.run(|| ip("addr add 10.77.1.2/24 dev eth0"));
        become_elements(&["10.77.1.2 first"]);
        // It ends, and leaves them; what happened meanwhile is known after the next start.
        assert_eq!(running.end("TERM").0, Some(0));
        become_elements(&["10.77.1.2 first"]);
        nft(&format!("add element {NAT} istio-inpod-probes-v4 {{ 10.77.9.9 comment \"gone\" }}"));
        let rule = || nft(&format!("-a list chain {NAT} postrouting"));
        let before = rule();
        let mut running = node.start(&HOST);
        keeps(&running, 2);
        become_elements(&["10.77.1.2 first"]);
        assert_eq!(rule(), before, "nothing else was written");
        assert_eq!(running.end("TERM").0, Some(0));
        Pod::open().and_then(|mut pod| pod.uninstall(&AmbientHost::default())).expect("removed");
        assert_eq!(nft("list tables"), kept);
        assert!(ip("rule").contains("0x111/0xfff"), "a route of the node");
    });
}

#[test]
fn what_others_destroy_on_the_node_is_restored_and_tables_of_a_sidecar_are_not_ours() {
    in_fresh_netns(|| {
        let node = Node::new(AMBIENT);
        let pod = node.pod("pod");
        join(&pod, 1);
        let mut running = node.start(&HOST);
        keeps(&running, 2);
        become_elements(&["10.77.1.2 pod"]);
        let listed = || nft(&format!("list table {NAT}"));
        let wanted = listed();
        for destruction in [
            format!("delete table {NAT}"),
            format!("flush chain {NAT} postrouting"),
            format!("flush set {NAT} istio-inpod-probes-v4"),
            format!("delete element {NAT} istio-inpod-probes-v6 {{ fd77:1::2 }}"),
            format!("add element {NAT} istio-inpod-probes-v4 {{ 10.77.0.10 }}"),
            format!("insert rule {NAT} postrouting accept"),
            "flush ruleset".to_owned(),
        ] {
            nft_script(&destruction);
            let printed = running.until("mesh-node: /proc/self/ns/net: restored").join("\n");
            assert!(printed.contains("/proc/self/ns/net: \"nft\" (pid "), "{destruction}: {printed}");
            let is_back = || listed() == wanted;
            assert!(comes_true_within(patience(PATIENCE), is_back), "{destruction}: {}", nft("list ruleset"));
        }
        nft_script("table inet istio-ambient-raw { }\ntable ip kuma-mesh { }\n");
        running.silent_for(Duration::from_millis(200));
        assert!(nft("list tables").contains("istio-ambient-raw") && nft("list tables").contains("kuma-mesh"));
        assert_eq!(running.end("TERM").0, Some(0));
    });
}

/// Answers every connection with the address of who asks.
fn serve(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let peer = stream.peer_addr().expect("a peer").ip();
            drop(std::io::Write::write_all(&mut stream, peer.to_string().as_bytes()));
        }
    });
}

#[test]
fn no_probe_is_lost_or_captured_while_pods_come_and_go_and_mesh_node_is_killed() {
    in_fresh_netns(|| {
        let node = Node::new(AMBIENT);
        let pod = node.pod("pod");
        join(&pod, 1);
        serve(pod.run(|| TcpListener::bind("0.0.0.0:8080").expect("the port is free")));
        let mut running = node.start(&HOST);
        keeps(&running, 2);
        become_elements(&["10.77.1.2 pod"]);
        let (stop, to) = (AtomicBool::new(false), SocketAddr::from(([10, 77, 1, 2], 8080)));
        scope(|scope| {
            let prober = scope.spawn(|| {
                let (mut count, mut wrong) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let mut text = String::new();
                    let answer = TcpStream::connect_timeout(&to, Duration::from_millis(900))
                        .and_then(|mut stream| stream.read_to_string(&mut text));
                    count += 1;
                    match (answer, text.parse::<IpAddr>()) {
                        (Ok(_), Ok(peer)) if peer == IpAddr::from([169, 254, 7, 127]) => {}
                        odd => wrong.push(format!("{odd:?}")),
                    }
                }
                (count, wrong)
            });
            for round in 0..12_u8 {
                let other = node.pod("other");
                join(&other, 2 + round);
                let name = format!("10.77.{}.2 other", 2 + round);
                become_elements(&["10.77.1.2 pod", &name]);
                if round % 4 == 3 {
                    running.child.kill().expect("it runs");
                    running.child.wait().expect("it ends");
                    running = node.start(&HOST);
                    keeps(&running, 3);
                }
                fs::remove_file(node.pods.join("other")).expect("it is there");
                become_elements(&["10.77.1.2 pod"]);
                sleep(Duration::from_millis(10));
            }
            stop.store(true, Ordering::Relaxed);
            let (count, wrong) = prober.join().expect("no panic");
            support::say(format_args!("{count} probes while pods came and went, {} lost or captured", wrong.len()));
            assert!(count > 10 && wrong.is_empty(), "{wrong:?}");
        });
        assert_eq!(running.end("TERM").0, Some(0));
    });
}
