//! Kuma's rules with every option alone and with every other one, against those that
//! `kumactl install transparent-proxy` makes of the same words: the same for every packet of both
//! families.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/kuma.rs"]
mod kuma;
mod support;

use std::fs;
use std::path::Path;

use kuma::{BOTH, PREFIX, facts, original};
use nftmesh::import::{Unknown, iptables_save};
use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};

fn imported([ipv4, ipv6]: [&str; 2]) -> Rules {
    let mut theirs = Ruleset::new();
    for (text, family) in [(ipv4, IpFamily::Ipv4), (ipv6, IpFamily::Ipv6)] {
        let imported = iptables_save(text, family, Unknown::Refuse).unwrap_or_else(|why| panic!("{why}\n{text}"));
        theirs.tables.extend(imported.ruleset.tables);
    }
    Rules::try_from(&theirs).expect("every rule has a program")
}

#[track_caller]
fn assert_same(ours: &Rules, theirs: &Rules, what: &str) {
    let comparison = compare(ours, theirs);
    assert!(matches!(comparison, Comparison::Equivalent { outside: 0, .. }), "{what}: {comparison}");
}

#[track_caller]
fn assert_original(words: &str, facts: &KumaFacts) {
    let (variables, flags): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| word.starts_with(PREFIX));
    let variables = variables.iter().filter_map(|word| word.split_once('='));
    let config = KumaFlags::parse(flags, variables).and_then(|flags| flags.resolve(facts));
    let ours = Ruleset::from(&config.unwrap_or_else(|error| panic!("{words}: {error}")));
    ours.validate_strictly().unwrap_or_else(|problems| panic!("{words}: {problems}"));
    let theirs = [false, true].map(|ipv6| original(words, ipv6, facts));
    let theirs = imported(theirs.each_ref().map(String::as_str));
    assert_same(&Rules::try_from(&ours).expect("every rule has a program"), &theirs, words);
}

/// Options that change what is captured, each in a form that can be given beside the others.
const OPTIONS: &[&str] = &[
    "--skip-dns-conntrack-zone-split",
    "--redirect-dns-port 16053 --redirect-inbound-port 16006 --redirect-outbound-port 16001",
    "--redirect-inbound=false",
    "--exclude-inbound-ports 22,8081",
    "--exclude-outbound-ports 53,3306",
    "--exclude-inbound-ips 10.9.0.0/16,fd09::/16",
    "--exclude-outbound-ips 10.8.0.1 --exclude-outbound-ips fd08::1/64",
    "--exclude-outbound-ips 127.0.0.0/8",
    "--exclude-outbound-ports-for-uids tcp:53,80-90:1000 --exclude-outbound-ports-for-uids udp:53:1006",
    "--exclude-outbound-ports-for-uids 1001-1005 --exclude-outbound-ports-for-uids 53,3000-5000:5678",
    "--exclude-outbound-ports-for-uids *:*:0",
    "--vnet docker0:172.17.0.0/16",
    "--vnet br0:172.19.0.0/16 --vnet br+:172.18.0.1/16 --vnet br+:fd18::/64",
    "--drop-invalid-packets",
    "--redirect-inbound-insert-instead-of-append",
    "--redirect-outbound-insert-instead-of-append",
    "--ip-family-mode ipv4",
    "--kuma-dp-user root",
    "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_ENABLED=false",
    "KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_INCLUDE_PORTS=80,8080",
    "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_INCLUDE_PORTS=53,443,9000",
];

const DNS: &[&str] = &["", "--redirect-dns", "--redirect-all-dns-traffic"];

#[test]
fn every_option_and_every_pair_equals_the_original() {
    let facts = facts(BOTH);
    let soak = std::env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1");
    let singles = OPTIONS.iter().flat_map(|one| DNS.iter().map(move |dns| format!("{dns} {one}")));
    let pairs = OPTIONS.iter().enumerate().flat_map(|(index, one)| {
        let others = OPTIONS.iter().enumerate().skip(index + 1);
        // Every second pair, or all of them with NFTMESH_SOAK=1 (make soak).
        let others = others.filter(move |(other, _)| soak || (index + other) % 2 == 0);
        // Each pair with one kind of DNS, each option with all of them.
        others.filter_map(move |(other, second)| {
            DNS.get((index + other) % DNS.len()).map(|dns| format!("{dns} {one} {second}"))
        })
    });
    let all: Vec<String> = singles.chain(pairs).collect();
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(4)) {
            scope.spawn(|| part.iter().for_each(|words| assert_original(words, &facts)));
        }
    });
    support::say(format_args!("{} combinations are the same", all.len()));
}

#[test]
fn nameservers_of_one_family_of_loopback_and_none_equal_the_original() {
    for nameservers in [&["10.255.255.53"][..], &["fd77::53"], &[], &["127.0.0.11"], &["::1", "10.0.0.53"]] {
        for words in ["", "--vnet br+:172.18.0.0/16 --vnet br+:fd18::/64", "--skip-dns-conntrack-zone-split"] {
            assert_original(&format!("--redirect-dns {words}"), &facts(nameservers));
        }
    }
}

#[test]
fn virtual_networks_equal_the_original_in_any_order() {
    let [prefix, one, other] = ["--vnet br+:172.18.0.0/16", "--vnet br0:172.19.0.0/16", "--vnet br+:172.20.0.0/16"];
    for words in [[prefix, one, ""], [one, prefix, ""], [prefix, other, one], [other, one, prefix]] {
        for dns in DNS {
            assert_original(&format!("{dns} {}", words.concat().replace("--vnet", " --vnet")), &facts(BOTH));
        }
    }
}

#[test]
fn a_list_of_ports_that_is_given_again_counts_as_in_the_original() {
    let twice =
        "--exclude-inbound-ports 22 --exclude-inbound-ports 80 --exclude-outbound-ports 22 --exclude-outbound-ports 80";
    assert_original(twice, &facts(BOTH));
}

#[test]
fn the_recordings_prove_what_the_original_makes() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/kuma-reference/cases");
    let Ok(entries) = fs::read_dir(cases) else { return support::say("SKIP: no recordings of kumactl") };
    for case in entries {
        let case = case.expect("a folder can be listed").path();
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let read = |file: &str| fs::read_to_string(case.join(file)).expect("a recording");
        let command = read("cmd");
        let words = command.rsplit("transparent-proxy").next().expect("words").trim();
        if !["dry-run", "uninstall"].contains(&name.as_str()) {
            let made = [false, true].map(|ipv6| original(words, ipv6, &facts(BOTH)));
            let recorded = imported([&read("iptables-nft.save"), &read("ip6tables-nft.save")]);
            assert_same(&imported(made.each_ref().map(String::as_str)), &recorded, &name);
        }
    }
}
