//! The rules of the sidecar under real connections, against what the reference did and does with the same options.

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::fs;

use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::Ruleset;
use sidecar::{CASES, apply, config, route};
use support::{assert_same, needs_root, shared_dir, succeed};
use traffic::{Listeners, RECORDINGS, probe_matrix};

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

/// The 40 answers with our rules.
fn answers(config: &IstioConfig, listeners: Listeners) -> String {
    let answers = probe_matrix(|| apply(config), listeners);
    if config.ipv6 {
        return answers;
    }
    // A table of both families switches connection tracking on for both: it now knows where a connection goes that nobody changed.
    let unchanged = |line: &str| match line.split_once(" orig=").zip(line.split_once(" local=")) {
        Some(((start, _), (_, rest))) if line.contains(" v6->") => {
            let peer = rest.split(" peer=").last().unwrap_or_default();
            format!("{start} orig=none peer={peer}\n")
        }
        _ => format!("{line}\n"),
    };
    answers.lines().map(unchanged).collect()
}

/// A case of the reference with some words replaced, the same in what it installed and in our options.
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
fn every_case_answers_as_with_what_the_reference_installed() {
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
