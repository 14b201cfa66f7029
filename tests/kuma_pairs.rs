//! Kuma's rules with every option alone and with every other one, against those that
//! `kumactl install transparent-proxy` makes of the same words: the same for every packet of both
//! families.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/kuma.rs"]
mod kuma;
#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;
use std::path::Path;

use kuma::{BOTH, PREFIX, facts, original};
use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
use nftmesh::model::Ruleset;
use proven::{proven, saved};

#[track_caller]
fn assert_original(words: &str, facts: &KumaFacts) {
    let (variables, flags): (Vec<&str>, Vec<&str>) =
        words.split_whitespace().partition(|word| word.starts_with(PREFIX));
    let variables = variables.iter().filter_map(|word| word.split_once('='));
    let config = KumaFlags::parse(flags, variables).and_then(|flags| flags.resolve(facts));
    let ours = Ruleset::from(&config.unwrap_or_else(|error| panic!("{words}: {error}")));
    ours.validate_strictly().unwrap_or_else(|problems| panic!("{words}: {problems}"));
    let theirs = [false, true].map(|ipv6| original(words, ipv6, facts));
    let theirs = saved(theirs.each_ref().map(String::as_str));
    proven(words, &ours, &theirs);
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
    let singles = OPTIONS.iter().flat_map(|one| DNS.iter().map(move |dns| format!("{dns} {one}")));
    // Each pair with one kind of DNS, each option with all of them.
    let pairs = proven::singles_and_pairs(OPTIONS, 2).into_iter().skip(OPTIONS.len());
    let pairs = pairs.zip(DNS.iter().cycle()).map(|(pair, dns)| format!("{dns} {}", pair.join(" ")));
    let all: Vec<String> = singles.chain(pairs).collect();
    proven::each(&all, |words| assert_original(words, &facts));
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
            let recorded = saved([&read("iptables-nft.save"), &read("ip6tables-nft.save")]);
            proven(&name, &saved(made.each_ref().map(String::as_str)), &recorded);
        }
    }
}
