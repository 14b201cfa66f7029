//! Sources of packets, and packets that ICMP errors quote: rules count real packets, and walks must
//! meet the same rules.

#![cfg(feature = "sim")]

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use nftmesh::bytecode::Expr;
use nftmesh::kernel::{Kernel, host};
use nftmesh::model::{Family, RuleHandle, TableId};
use nftmesh::sim::{Packet, Rules, Walk, Walker};
use nftmesh::state::Snapshot;
use support::patience::comes_true;
use support::{in_fresh_netns, ip, nft_script};
use traffic::Pod;

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn snapshot() -> Snapshot {
    Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot")
}

/// Returns chain and handle of every rule that counted a packet.
fn counted(snapshot: &Snapshot) -> Vec<(String, RuleHandle)> {
    let table = snapshot.table(&TableId::new(Family::Ip, "t")).expect("the table");
    let counts = |expr: &Expr| matches!(expr, Expr::Counter { packets: 1.., .. });
    let rules = table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)));
    let rules = rules.filter(|(_, rule)| rule.exprs.iter().any(counts));
    rules.map(|(chain, rule)| (chain.name.to_string(), rule.handle)).collect()
}

fn met(walks: &[Walk]) -> Vec<(String, RuleHandle)> {
    let lines = walks.iter().flat_map(Walk::matched).map(|(_, rule, _)| rule);
    let mut met: Vec<_> = lines.map(|rule| (rule.chain.name.to_string(), rule.handle.unwrap_or_default())).collect();
    met.sort();
    met.dedup();
    met
}

#[test]
fn icmp_errors_are_related_to_and_translated_like_their_connection() {
    in_fresh_netns(|| {
        ip("link set lo up");
        let asks = "icmp type destination-unreachable ct state related ip saddr 127.0.0.1 counter\n\
                    icmp type destination-unreachable ct state related ip saddr 127.0.0.2 counter\n\
                    icmp type destination-unreachable ct state invalid counter\n\
                    icmp type destination-unreachable ct direction reply ct mark 5 counter\n";
        let chains = ["prerouting", "input", "output", "postrouting"];
        let chains = chains.map(|hook| format!("chain {hook} {{\n type filter hook {hook} priority 50;\n {asks}}}\n"));
        nft_script(&format!(
            "table ip t {{\n chain n {{\n type nat hook output priority -100;\n udp dport 5001 ct mark set 5 dnat to \
             127.0.0.2:6001\n }}\n {} chain late {{\n type filter hook postrouting priority 150;\n {asks} }}\n}}",
            chains.concat()
        ));
        let socket = UdpSocket::bind("127.0.0.1:40001").expect("a free port");
        socket.connect("127.0.0.1:5001").expect("lo is up");
        socket.send(b"x").expect("it is sent");
        let (mut snapshot, host) = (snapshot(), host().expect("a netlink socket"));
        let rules = Rules::try_from(&snapshot).expect("rules that can be lowered");
        let mut walker = Walker::new(&rules, &host);
        let first = walker.send(packet("udp 127.0.0.1:40001 -> 127.0.0.1:5001 uid 0 gid 0 length 29"));
        let error = "icmp 127.0.0.2 -> 127.0.0.1 type destination-unreachable code 3";
        let about = format!("{error} about udp 127.0.0.1:40001 -> 127.0.0.2:6001 length 29");
        let second = walker.clone().send(packet(&about));
        let mut walks = met(&[first, second.clone()]);
        // The rule that translates does not count.
        walks.retain(|(chain, _)| chain != "n");
        // The error may still be on its way.
        let mut expected = Vec::new();
        comes_true(|| {
            snapshot = self::snapshot();
            expected = counted(&snapshot);
            expected.sort();
            expected == walks
        });
        assert!(expected.len() > 6, "{expected:?}");
        assert_eq!(walks, expected, "{second}");
        let alone = walker.clone().send(packet(error));
        assert!(alone.end.to_string().starts_with("CANNOT TELL"), "{alone}");
        let strange = walker.send(packet(&format!("{error} about udp 127.0.0.1:9 -> 127.0.0.2:6001")));
        assert!(strange.to_string().contains("invalid"), "{strange}");
    });
}

#[test]
fn sources_are_accepted_where_the_kernel_accepts_them() {
    in_fresh_netns(|| {
        let Pod { pod, gateway } = Pod::new();
        gateway.run(|| {
            ip("addr add 10.99.0.1/32 dev eth0");
            ip("addr add 10.77.0.77/32 dev eth0");
        });
        pod.run(|| {
            ip("route del default");
            ip("addr add 10.77.0.77/32 dev lo");
            nft_script("table ip t {\n chain c {\n type filter hook input priority 0;\n udp dport 7 counter\n }\n}\n");
        });
        let routes = ["", "10.99.0.0/24 dev eth0", "blackhole 10.99.0.0/24", "10.99.0.0/24 dev lo"];
        let mut cases = 0;
        for (path, local) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)] {
            for route in routes {
                pod.run(|| {
                    for (switch, value) in [("rp_filter", path), ("accept_local", local)] {
                        fs::write(format!("/proc/sys/net/ipv4/conf/eth0/{switch}"), value.to_string())
                            .expect("our own");
                        fs::write(format!("/proc/sys/net/ipv4/conf/all/{switch}"), "0").expect("our own");
                    }
                    if !route.is_empty() {
                        ip(&format!("route add {route}"));
                    }
                });
                for source in ["10.77.0.1", "10.99.0.1", "10.77.0.77"] {
                    pod.run(|| drop(support::nft("reset counters")));
                    let before = pod.run(|| total(&snapshot()));
                    gateway.run(|| {
                        let socket = UdpSocket::bind((source, 40000)).expect("its own address");
                        socket.send_to(b"x", "10.77.0.2:7").expect("the pod is on the link");
                    });
                    let (arrived, walk) = pod.run(|| {
                        let (snapshot, host) = (snapshot(), host().expect("a netlink socket"));
                        let rules = Rules::try_from(&snapshot).expect("rules that can be lowered");
                        let text = format!("udp {source}:40000 -> 10.77.0.2:7 length 29");
                        let walk = Walker::new(&rules, &host).receive(packet(&text), "eth0");
                        // A packet that the walk delivers is waited for; one that it drops has some
                        // time to arrive.
                        let has_arrived = || total(&self::snapshot()) > before;
                        let arrives = walk.end.to_string().starts_with("DELIVERED");
                        if !arrives {
                            sleep(Duration::from_millis(10));
                        }
                        (if arrives { comes_true(has_arrived) } else { has_arrived() }, walk)
                    });
                    let printed = walk.end.to_string();
                    let expected = if arrived { "DELIVERED" } else { "DROPPED: its source" };
                    let case = format!("rp_filter {path}, accept_local {local}, route {route:?}, from {source}");
                    assert!(printed.starts_with(expected), "{case}: {printed}, not {expected}");
                    cases += 1;
                }
                if !route.is_empty() {
                    pod.run(|| ip(&format!("route del {route}")));
                }
            }
        }
        support::say(format!("{cases} cases"));
    });
}

/// Returns the packets that the rule of the test counted.
fn total(snapshot: &Snapshot) -> u64 {
    let table = snapshot.table(&TableId::new(Family::Ip, "t")).expect("the table");
    let exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    let packets = |expr: &Expr| if let Expr::Counter { packets, .. } = expr { Some(*packets) } else { None };
    exprs.filter_map(packets).sum()
}
