//! The rules of the sidecar under real connections, compared with the reference under the same
//! options.

#![cfg(all(feature = "mesh", feature = "proxy"))]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use nftmesh::Error;
use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::Ruleset;
use nftmesh::proxy::CaptureProbe;
use sidecar::{CASES, apply, config, route};
use support::patience::{comes_true, patience};
use support::{assert_same, needs_root, nft, nft_script, shared_dir, succeed, sys};
use traffic::{Listeners, Pod, RECORDINGS, Who, probe_matrix};

#[test]
fn the_recorded_connections_get_the_recorded_answers() {
    if !needs_root() {
        return;
    }
    for recording in RECORDINGS {
        let config = config(&format!("{} {}", recording.environment, recording.flags), "nameserver 10.255.255.53\n");
        recording.assert_answers(&answers(&config, recording.listeners));
    }
}

/// Returns the 40 answers with our rules.
fn answers(config: &IstioConfig, listeners: Listeners) -> String {
    probe_matrix(|| apply(config), listeners)
}

/// A case of the reference with some words replaced, both in its rules and in our options.
struct Variant(&'static str, &'static [(&'static str, &'static str)]);

/// Words that make the 40 connections meet what the case is about.
const VARIANTS: &[Variant] = &[
    Variant("redirect-cidr", &[("10.0.0.0/8", "192.168.0.0/16")]),
    Variant("redirect-cidr", &[("10.0.0.0/8", "192.168.0.0/16"), ("8080", "9000")]),
    Variant("redirect-cidr", &[("10.9.0.0/16", "10.77.0.0/24")]),
    Variant("redirect-cidr", &[("10.9.0.0/16", "10.77.0.0/24"), ("8080", "9000")]),
    Variant("redirect-cidr", &[("10.0.0.0/8", "0.0.0.0/0"), ("443", "7777")]),
    Variant("redirect-cidr", &[("3306", "9000"), ("443", "8080")]),
    Variant("redirect-cidr", &[("3306", "53"), ("443", "15008")]),
    Variant("redirect-exclif", &[("eth6", "eth0")]),
    Variant("redirect-exclif", &[("eth6", "lo")]),
    Variant("redirect-groupsex", &[("100", "1000")]),
    Variant("redirect-kubevirt", &[("tap1", "eth0")]),
    Variant("redirect-dns", &[("10.255.255.53", "10.77.0.1")]),
    Variant("redirect-dns", &[("10.255.255.53", "10.77.0.1"), ("1337", "1000")]),
    Variant("redirect-multiuid", &[("1337,0", "1337,1000"), ("owner 0", "owner 1000")]),
    Variant("redirect-multiuid", &[("1337,0", "1000,1337"), ("owner 1337", "owner 1000"), ("owner 0", "owner 1337")]),
    Variant("tproxy-ports", &[("443", "8080")]),
    Variant("tproxy-ports", &[("443", "15008")]),
];

#[test]
fn every_case_gets_the_answers_under_the_rules_of_the_reference() {
    let Some(shared) = shared_dir() else { return };
    if !needs_root() {
        return;
    }
    let plain = CASES.iter().map(|case| Variant(case.name, &[]));
    let variants = VARIANTS.iter().map(|Variant(case, words)| Variant(case, words));
    for Variant(name, words) in plain.chain(variants) {
        let replaced = |text: &str| words.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let case = CASES.iter().find(|case| case.name == name).expect("a variant is one of a case");
        let config = config(&replaced(case.options), &replaced("nameserver 10.255.255.53\n"));
        let restore = || {
            for family in ["iptables", "ip6tables"] {
                let file = shared.join("cases").join(name).join(format!("{family}-nft.save"));
                let saved = fs::read_to_string(file).expect("a recorded case has both families");
                succeed(&format!("{family}-nft-restore"), "", &replaced(&saved));
            }
            route(&config);
        };
        let expected = probe_matrix(restore, Listeners::All);
        let found = answers(&config, Listeners::All);
        assert_same(&expected, &found, &format!("{name} {words:?}\n{}", Ruleset::from(&config)));
    }
}

const TWO_FAMILIES: &str = "ISTIO_DUAL_STACK=true -i '*' -b '*'";

/// Runs `body` in a pod with these options, while its servers answer.
fn in_pod(options: &str, body: impl FnOnce(&Pod)) {
    if needs_root() {
        let pod = Pod::new();
        pod.run(|| apply(&config(options, "nameserver 10.77.0.1\nnameserver fd77::1\n")));
        pod.serving(Listeners::All, || body(&pod));
    }
}

#[test]
fn the_dns_agent_may_use_the_source_port_of_the_application() {
    for options in ["--redirect-dns", "--redirect-dns --capture-all-dns"] {
        in_pod(&format!("{TWO_FAMILIES} {options}"), |pod| {
            for server in ["10.77.0.1:53", "[fd77::1]:53"] {
                let server: SocketAddr = server.parse().expect("an address");
                for (who, expected) in [(Who::App, "AGENTDNS "), (Who::Proxy, "REMOTEDNS "), (Who::App, "AGENTDNS ")] {
                    let answer = pod.send_from(who, 5300, server);
                    assert!(answer.starts_with(expected), "{who} {server}: {answer}");
                }
            }
            pod.run(|| nft("delete table inet istio-proxy-raw"));
            let server = "10.77.0.1:53".parse().expect("an address");
            let clash = [Who::App, Who::Proxy].map(|who| pod.send_from(who, 5301, server));
            let [_, agent] = &clash;
            assert!(!agent.starts_with("REMOTEDNS"), "without zones there would be nothing to test: {clash:?}");
        });
    }
}

#[test]
fn the_loopback_range_stays_in_the_pod() {
    let to = |port| SocketAddr::from(([127, 0, 0, 5], port));
    in_pod(TWO_FAMILIES, |pod| {
        assert!(pod.connect(Who::Proxy, to(8080)).starts_with("ENVOY_IN "), "127.0.0.1/32 is the default");
    });
    in_pod(&format!("{TWO_FAMILIES} ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR=127.0.0.0/8"), |pod| {
        assert!(pod.connect(Who::Proxy, to(8080)).starts_with("APP "));
    });
}

#[test]
fn invalid_packets_are_dropped_and_those_of_ipv6_only_with_ipv6() {
    for (options, families) in [("--drop-invalid", 1), ("ISTIO_DUAL_STACK=true --drop-invalid -m TPROXY -b '*'", 2)] {
        in_pod(options, |pod| {
            pod.gateway.run(|| {
                for (to, icmp, echo_reply) in
                    [("10.77.0.2:0", libc::IPPROTO_ICMP, 0), ("[fd77::2]:0", libc::IPPROTO_ICMPV6, 129)]
                {
                    let to = to.parse().expect("an address");
                    // An unrequested echo reply; a datagram longer than the packet; SYN with FIN.
                    let udp = [0x27, 0x0f, 0x27, 0x0f, 0, 99, 0, 0];
                    let tcp = [0x27, 0x0f, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x03, 0xff, 0xff, 0, 0, 0, 0];
                    sys::send_raw(to, icmp, &[echo_reply, 0, 0, 0, 0, 1, 0, 1]).expect("is sent");
                    sys::send_raw(to, libc::IPPROTO_UDP, &udp).expect("is sent");
                    sys::send_raw(to, libc::IPPROTO_TCP, &tcp).expect("is sent");
                }
            });
            let family = if families == 2 { "inet" } else { "ip" };
            let listed = pod.run(|| nft(&format!("list chain {family} istio-proxy-mangle prerouting")));
            let wanted = format!("ct state invalid counter packets {} ", 3 * families);
            assert!(listed.contains(&wanted), "{wanted}\n{listed}");
        });
    }
}

#[test]
fn validation_passes_for_the_proxy_with_the_rules_and_not_without() {
    if !needs_root() {
        return;
    }
    let v4 = ("127.0.0.1", "127.0.0.6:15002");
    let v6 = ("::1", "[::6]:15002");
    for (options, (from, to)) in [
        ("", v4),
        ("-m TPROXY -b '*' -i '*'", v4),
        ("ISTIO_DUAL_STACK=true -b '*'", v4),
        ("ISTIO_DUAL_STACK=true -b '*'", v6),
    ] {
        let config = config(options, "");
        let ports = [config.outbound_port, config.inbound_port];
        let probe = CaptureProbe::new(from.parse().expect("an address"), to.parse().expect("an address"), ports);
        let pod = Pod::new();
        let asked = |who: Who| {
            pod.run(|| {
                who.assume();
                let mut outcome = Ok(());
                // A child that another test is starting holds a copy of every socket until it runs
                // its program.
                comes_true(|| {
                    outcome = probe.timeout(patience(Duration::from_millis(200))).run();
                    !outcome.as_ref().is_err_and(Error::is_conflict)
                });
                outcome.map_err(|error| error.to_string())
            })
        };
        pod.run(|| route(&config));
        asked(Who::Proxy).expect_err("no rules are there");
        pod.run(|| nft_script(&Ruleset::from(&config).to_string()));
        assert_eq!(asked(Who::Proxy), Ok(()), "{options} {to}");
        asked(Who::App).expect_err("the application's calls to itself are not captured");
    }
}
