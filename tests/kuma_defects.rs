//! The defects of `kumactl install transparent-proxy`, each shown not to be here. Their numbers are
//! those of the recordings.

#![cfg(feature = "mesh")]

#[path = "support/kuma.rs"]
mod kuma;
mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kuma::{BOTH, facts, original};
use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::kuma::{KumaConfig, KumaFlags};
use nftmesh::pod::{Leftovers, Pod};
use support::patience::patience;
use support::{in_fresh_netns, ip, nft, succeed};

fn config(words: &str) -> KumaConfig {
    let config = KumaFlags::parse(words.split_whitespace(), [("", ""); 0]);
    config.and_then(|flags| flags.resolve(&facts(BOTH))).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn open() -> Pod {
    Pod::open().expect("netlink sockets")
}

/// Defects 1 and 3: 30 programs, a transaction for each family, and empty tables of iptables-legacy.
#[test]
fn both_families_are_one_commit_and_no_table_of_others_is_made() {
    in_fresh_netns(|| {
        let mut pod = open();
        for words in
            ["", "--redirect-dns --drop-invalid-packets", "--exclude-inbound-ports 22,80", "--vnet br+:10.0.0.0/8"]
        {
            let before = pod.kernel().generation().expect("it reads");
            pod.install(&config(words)).expect("it installs");
            assert_eq!(pod.kernel().generation().expect("it reads").0, before.0 + 1, "{words}");
        }
        assert_eq!(pod.kernel().tables().expect("they list").len(), 1);
        assert!(NetNs::current().and_then(|here| here.legacy_tables()).expect("they list").is_empty());
    });
}

/// Defect 2: a second run removes all, then installs: a gap.
#[test]
fn no_connection_passes_the_proxy_while_rules_change() {
    in_fresh_netns(|| {
        ip("link add out0 type veth peer name out1");
        ip("link set out1 up");
        ip("addr add 10.77.0.2/24 dev out0");
        ip("link set out0 up");
        let proxy = TcpListener::bind("127.0.0.1:15001").expect("the port is free");
        let configs = [
            "",
            "--redirect-all-dns-traffic --exclude-outbound-ports 1-300,7000-8999",
            "--ip-family-mode ipv4",
            "--exclude-outbound-ips 10.78.0.0/16,10.80.0.0/16 --exclude-outbound-ports-for-uids 1001-1005",
            "--redirect-inbound=false --drop-invalid-packets",
        ]
        .map(config);
        let mut pod = open();
        pod.install(&config("")).expect("it installs");
        let (done, place) = (AtomicBool::new(false), NetNs::current().expect("a namespace"));
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                place.run(|| {
                    let mut connections = 0;
                    while !done.load(Ordering::Relaxed) {
                        // Nobody is there: past the proxy there is no answer.
                        let to: SocketAddr = "10.77.0.9:9000".parse().expect("an address");
                        let stream = TcpStream::connect_timeout(&to, patience(Duration::from_secs(10)));
                        drop(stream.expect("the proxy answers every connection"));
                        connections += 1;
                    }
                    connections
                })
            });
            scope.spawn(|| {
                for stream in proxy.incoming() {
                    drop(stream.expect("a connection"));
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let changed = (0..60).try_for_each(|round: usize| {
                pod.install(configs.get(round / 2 % configs.len()).expect("a remainder")).map(drop)
            });
            done.store(true, Ordering::Relaxed);
            let connections = client.join().expect("the client").expect("its namespace");
            // Wakes the listener.
            drop(TcpStream::connect("127.0.0.1:15001"));
            changed.expect("it installs");
            support::say(format_args!("{connections} connections while rules changed 60 times"));
        });
    });
}

/// Defects 4 and 6: a rule for each port, no ranges of ports, and comments by which rules are
/// recognised, so that what was installed without them cannot be removed.
#[test]
fn a_list_is_one_rule_with_ranges_and_removal_needs_no_comments() {
    let ports: Vec<String> = (1..=21).map(|port| (port * 100).to_string()).collect();
    let list = format!("{},8000-8010", ports.join(","));
    let words = format!("--disable-comments --exclude-inbound-ports {list} --exclude-outbound-ports {list}");
    let text = config(&words).rules().to_string();
    assert_eq!(text.matches("2100").count(), 2, "a rule at each hook: {text}");
    assert!(text.contains("8010"), "{text}");
    in_fresh_netns(|| {
        // Those of kumactl without comments, too.
        for (program, ipv6) in [("iptables-nft-restore", false), ("ip6tables-nft-restore", true)] {
            succeed(program, "", &original("--redirect-dns", ipv6, &facts(BOTH)));
        }
        let mut pod = open();
        pod.install_over(&config(&words), Leftovers::Remove).expect("it installs");
        assert!(!nft("list ruleset").contains("KUMA_MESH"));
        pod.remove().expect("it removes");
        assert!(!nft("list ruleset").contains("kuma-mesh"));
    });
}

/// Defect 5: every packet is logged.
#[test]
fn iptables_logs_logs_nothing_for_every_packet() {
    assert_eq!(config("--iptables-logs"), config(""));
    assert!(!config("--iptables-logs").rules().to_string().contains("log"));
}
