//! Real connections in a pod: they go the same ways with our rules as with those that kumactl makes
//! and iptables loads.

#![cfg(feature = "mesh")]

#[path = "support/kuma.rs"]
mod kuma;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::thread;

use kuma::{facts, original};
use nftmesh::mesh::kuma::KumaFlags;
use nftmesh::pod::Pod;
use support::{assert_same, ip, needs_root, succeed};
use traffic::{Listeners, probe_matrix};

/// Our servers and clients run the proxy as this user.
const USER: &str = "--kuma-dp-user 1337";

/// Returns the answers to 40 connections with kumactl's rules, and with ours.
fn answers(words: &str, listeners: Listeners) -> [String; 2] {
    let words = &format!("{USER} {words}");
    let facts = &facts(&["10.77.0.1", "fd77::1"]);
    let theirs = || {
        for (program, ipv6) in [("iptables-nft-restore", false), ("ip6tables-nft-restore", true)] {
            succeed(program, "", &original(words, ipv6, facts));
        }
        if !words.contains("ipv4") {
            ip("-6 addr add ::6/128 dev lo nodad");
        }
    };
    let ours = || {
        let flags = KumaFlags::parse(words.split_whitespace(), [("", ""); 0]).expect("valid");
        let config = flags.resolve(facts).expect("valid");
        Pod::open().and_then(|mut pod| pod.install(&config)).expect("it installs");
    };
    [probe_matrix(theirs, listeners), probe_matrix(ours, listeners)]
}

#[test]
fn connections_go_the_same_ways_as_with_the_rules_of_kumactl() {
    if !needs_root() {
        return;
    }
    let cases = [
        ("", Listeners::All),
        // Nothing gets past a proxy that is not there.
        ("", Listeners::None),
        ("--redirect-dns", Listeners::All),
        ("--redirect-all-dns-traffic --redirect-outbound-insert-instead-of-append", Listeners::All),
        ("--redirect-inbound=false --skip-dns-conntrack-zone-split --redirect-dns", Listeners::All),
        ("--exclude-inbound-ports 8080,15021 --exclude-outbound-ports 9000", Listeners::All),
        ("--exclude-inbound-ips 10.77.0.1,fd77::/64 --exclude-outbound-ips 10.77.0.1,fd77::1", Listeners::All),
        (
            "--redirect-dns --exclude-outbound-ports-for-uids 9000:1000 --exclude-outbound-ports-for-uids udp:53:1000",
            Listeners::All,
        ),
        ("--ip-family-mode ipv4 --redirect-all-dns-traffic", Listeners::All),
        ("--vnet eth+:10.99.0.0/16 --vnet eth+:fd99::/64 --drop-invalid-packets", Listeners::All),
    ];
    thread::scope(|scope| {
        for (words, listeners) in cases {
            scope.spawn(move || {
                let [theirs, ours] = answers(words, listeners);
                assert_same(&theirs, &ours, words);
                let captured = ours.contains("ENVOY_OUT") || ours.contains("ENVOY_IN");
                assert_eq!(captured, listeners == Listeners::All, "{words}: {ours}");
                support::say(format_args!("{words:?}: {} connections the same", ours.lines().count()));
            });
        }
    });
}
