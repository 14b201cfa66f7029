//! Linkerd's rules with every option alone and with every other one, against those that
//! `proxy-init` makes of the same words: the same for every packet of both families.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/linkerd.rs"]
mod linkerd;
#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;

use linkerd::original;
use nftmesh::mesh::linkerd::LinkerdFlags;
use nftmesh::model::Ruleset;
use proven::{proven, saved};

#[track_caller]
fn assert_original(words: &str) {
    let flags = LinkerdFlags::parse(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
    let ours = Ruleset::from(&flags.config);
    ours.validate_strictly().unwrap_or_else(|problems| panic!("{words}: {problems}"));
    let theirs = [false, true].map(|ipv6| original(words, ipv6));
    proven(words, &ours, &saved(theirs.each_ref().map(String::as_str)));
}

/// Who the proxy is, and its ports.
const PROXIES: &[&str] = &[
    "-p 4143 -o 4140 -u 2102",
    "--incoming-proxy-port=4143 --outgoing-proxy-port 4140 --proxy-gid=2102",
    "-p 1 -o 65535 -u 1 --proxy-gid 4294967294",
];

/// Options that change what is captured, each in a form that can be given beside the others.
const OPTIONS: &[&str] = &[
    "-r 80,8080,9090",
    "--ports-to-redirect=443 -r 8443 -r 0",
    "--inbound-ports-to-ignore 4190,4191,4567,4568",
    "--inbound-ports-to-ignore 25,443,587,3306,4444,5432,6379,9300,11211,8000-8000,1-2,3-4,5-6,7-8",
    "--inbound-ports-to-ignore=0-1023 --inbound-ports-to-ignore=1024",
    "--inbound-ports-to-ignore 1-65535",
    "--outbound-ports-to-ignore 4567,4568",
    "--outbound-ports-to-ignore=0 --outbound-ports-to-ignore 53,443,6443,60000-65535",
    "--outbound-ports-to-ignore 0-65535",
    "--inbound-ports-to-ignore= --outbound-ports-to-ignore= --subnets-to-ignore=",
    "--subnets-to-ignore 10.0.0.0/8,192.168.1.7/24,fd00::/8,fe80::1/64",
    "--subnets-to-ignore=10.1.0.0/16,10.0.0.0/7 --subnets-to-ignore=11.0.0.0/8,fd00::1/128",
    "--subnets-to-ignore 0.0.0.0/0",
    "--subnets-to-ignore ::/0,127.0.0.1/32",
    "--ipv6=false",
];

/// Options that say how the program runs.
const RUNS: &[&str] = &[
    "--iptables-mode nft",
    "--iptables-mode=legacy -w",
    "--iptables-mode plain --use-wait-flag=false",
    "--firewall-bin-path iptables-nft --firewall-save-bin-path iptables-nft-save",
    "--firewall-bin-path iptables --iptables-mode=",
    "--iptables-mode nft --firewall-bin-path /sbin/iptables",
    "--timeout-close-wait-secs 3600 --log-format json --log-level DEBUG",
    "--simulate --netns /run/netns/pod --log-level warning",
    "--ipv6 --proxy-gid -1",
    "--ipv6=F",
];

#[test]
fn every_option_and_every_pair_equals_the_original() {
    let pairs = proven::singles_and_pairs(OPTIONS, 2);
    let mut all: Vec<String> = PROXIES.iter().chain(RUNS).map(|one| (*one).to_owned()).collect();
    all.iter_mut().skip(PROXIES.len()).for_each(|run| *run = format!("{} {run}", PROXIES[0]));
    // Each pair with one proxy.
    let proxies = PROXIES.iter().cycle();
    all.extend(pairs.iter().zip(proxies).map(|(pair, proxy)| format!("{proxy} {}", pair.join(" "))));
    proven::each(&all, |words| assert_original(words));
    support::say(format_args!("{} combinations are the same", all.len()));
}

#[test]
fn the_recordings_prove_what_the_original_makes() {
    let Some(reference) = support::skip_without("linkerd-reference") else { return };
    let mut proven = 0;
    for case in fs::read_dir(reference.join("cases")).expect("a directory can be listed") {
        let case = case.expect("a directory can be listed");
        let name = case.file_name().to_string_lossy().into_owned();
        let read = |file: &str| fs::read_to_string(case.path().join(file)).unwrap_or_default();
        let command = read("cmd");
        let words = command.rsplit("proxy-init ").next().expect("a command").trim();
        // It dropped ports that are none, failed half way, and installed nothing.
        if ["bad-port", "subnets-mixed", "simulate"].contains(&name.as_str()) {
            continue;
        }
        let variant = if read("iptables-legacy.save").is_empty() { "nft" } else { "legacy" };
        let recorded = ["iptables", "ip6tables"].map(|program| read(&format!("{program}-{variant}.save")));
        let made = [false, true].map(|ipv6| original(words, ipv6));
        let [made, recorded] = [&made, &recorded].map(|texts| saved(texts.each_ref().map(String::as_str)));
        proven::proven(&name, &made, &recorded);
        proven += 1;
    }
    assert!(proven >= 11, "{proven}");
}
