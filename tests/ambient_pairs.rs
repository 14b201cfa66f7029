//! Ambient's rules with every variable and annotation alone and with every other one, against those
//! that Istio's agent makes of them with iptables and with nftables: the same for every packet of
//! both families.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/ambient.rs"]
mod ambient;
#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;

use ambient::{Named, native, original, original_host, sets};
use nftmesh::import::IpSets;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientNode, VARIABLES};
use nftmesh::model::Ruleset;
use proven::{proven, saved, saved_with};

/// Separates the variables of the node, and returns its options and the annotations.
fn node<'n>(given: &Named<'n>) -> (AmbientNode, Vec<(&'n str, &'n str)>) {
    let (variables, annotations): (Vec<_>, Vec<_>) =
        given.iter().copied().partition(|(name, _)| VARIABLES.iter().any(|(known, _)| known == name));
    (AmbientNode::from_vars(variables).unwrap_or_else(|error| panic!("{given:?}: {error}")), annotations)
}

fn read(list: &str) -> Ruleset {
    list.parse().unwrap_or_else(|error| panic!("{error}\n{list}"))
}

/// Compares with one backend, in turn, or with both.
#[track_caller]
fn assert_original(index: usize, given: &Named<'_>) {
    let (node, annotations) = node(given);
    let pod = node.pod(annotations).unwrap_or_else(|error| panic!("{given:?}: {error}"));
    let (ours, what) = (pod.rules(), format!("{given:?}"));
    ours.validate_strictly().unwrap_or_else(|problems| panic!("{what}: {problems}"));
    let list = native(given);
    // In the nftables backend `virt+` is no prefix.
    let of_nftables = !list.contains('+') && (proven::soak() || index % 2 == 1);
    if of_nftables {
        proven(&format!("native {what}"), &ours, &read(&list));
    }
    if !of_nftables || proven::soak() {
        let theirs = [false, true].map(|ipv6| original(given, ipv6));
        proven(&what, &ours, &saved(theirs.each_ref().map(String::as_str)));
    }
}

const BYPASS: &str = "ambient.istio.io/bypass-inbound-capture";
const DNS: &str = "ambient.istio.io/dns-capture";
const VIRTUAL: &str = "istio.io/reroute-virtual-interfaces";

/// Of the chart, of the program, and one of both.
const NODES: &[&Named<'_>] = &[
    &[("AMBIENT_DNS_CAPTURE", "true"), ("AMBIENT_IPV6", "true")],
    &[],
    &[("AMBIENT_DNS_CAPTURE", "T")],
    &[("AMBIENT_DNS_CAPTURE", "0"), ("AMBIENT_IPV6", "1")],
];

const OPTIONS: &[(&str, &str)] = &[
    (BYPASS, "true"),
    (BYPASS, "F"),
    (BYPASS, "yes"),
    (DNS, "true"),
    (DNS, "False"),
    (DNS, ""),
    (VIRTUAL, "virt0"),
    (VIRTUAL, "virt0, virt1"),
    (VIRTUAL, " ,virt+,, tap0,virt7 ,"),
    (VIRTUAL, "en0ps1.100,en0ps1.100,a-b.c_d@e"),
    (VIRTUAL, " , "),
    (VIRTUAL, "lo,eth0"),
    ("HOST_PROBE_SNAT_IP", "169.254.99.1"),
    ("HOST_PROBE_SNAT_IPV6", "fd99::1"),
    ("HOST_PROBE_SNAT_IPV6", "FE80:0:0::A1"),
    ("ambient.istio.io/redirection", "pending"),
    ("istio.io/dataplane-mode", "ambient"),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", "80,443"),
    ("traffic.sidecar.istio.io/kubevirtInterfaces", "tap9"),
];

/// Variables that change nothing of the rules.
const RUNS: &[(&str, &str)] = &[
    ("AMBIENT_RECONCILE_POD_RULES_ON_STARTUP", "true"),
    ("NATIVE_NFTABLES", "true"),
    ("FORCE_IPTABLES_BINARY", "legacy"),
    ("FORCE_IPTABLES_BINARY", "nft"),
    ("EXCLUDE_NAMESPACES", "kube-system,istio-system"),
    ("AMBIENT_ENABLEMENT_SELECTOR", "- podSelector: {}"),
    ("AMBIENT_USE_SCOPED_XTABLES_LOCKING", "false"),
    ("AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE", "f"),
    ("ALLOW_SWITCH_TO_HOST_NS", "True"),
];

#[test]
fn every_option_and_every_pair_equals_the_original() {
    let mut all: Vec<Vec<(&str, &str)>> = NODES.iter().chain(NODES).map(|node| node.to_vec()).collect();
    all.extend(RUNS.iter().map(|run| [NODES[0], &[*run]].concat()));
    for (index, option) in OPTIONS.iter().enumerate() {
        let nodes = NODES.iter().enumerate().filter(|(node, _)| proven::soak() || (node + index) % 2 == 0);
        all.extend(nodes.map(|(_, node)| [*node, &[*option]].concat()));
    }
    let pairs = proven::singles_and_pairs(OPTIONS, 4).into_iter();
    // What has one value has not another.
    let pairs = pairs.filter(|pair| matches!(pair[..], [one, other] if one.0 != other.0));
    all.extend(pairs.zip(NODES.iter().cycle()).map(|(pair, node)| [node.to_vec(), pair].concat()));
    let all: Vec<_> = all.into_iter().enumerate().collect();
    proven::each(&all, |(index, given)| assert_original(*index, given));
    support::say(format_args!("{} combinations are the same", all.len()));
}

const PODS: &Named<'_> = &[
    ("10.77.0.9", "pod-uid-1"),
    ("10.77.0.10", "pod-uid-2"),
    ("fd77::9", "pod-uid-1"),
    ("10.77.0.255", "6f2a1a30-5b4b-4f5c-8a9c-0c8f1f1f0001"),
    ("fe80::1", "x"),
];

#[test]
fn the_rules_of_a_node_equal_the_original_with_any_pods() {
    let probes: [&Named<'_>; 4] = [
        &[],
        &[("HOST_PROBE_SNAT_IP", "169.254.99.1")],
        &[("HOST_PROBE_SNAT_IPV6", "fd99::1")],
        &[("HOST_PROBE_SNAT_IP", "10.0.0.1"), ("HOST_PROBE_SNAT_IPV6", "2001:db8::1")],
    ];
    let mut count = 0;
    for given in NODES.iter().flat_map(|node| probes.map(|probe| [*node, probe].concat())) {
        for pods in (0..=PODS.len()).step_by(if proven::soak() { 1 } else { 2 }).map(|length| &PODS[..length]) {
            let mut host = node(&given).0.host();
            for (address, uid) in pods {
                host.set(address.parse().expect("an address"), uid).expect("a uid");
            }
            let sets: IpSets = sets(&given, pods).parse().expect("sets");
            let theirs = [false, true].map(|ipv6| original_host(&given, ipv6));
            let theirs = saved_with(theirs.each_ref().map(String::as_str), &sets);
            proven(&format!("{given:?} {pods:?}"), &host.rules(), &theirs);
            count += 1;
        }
    }
    support::say(format_args!("{count} nodes are the same"));
}

#[test]
fn the_recordings_prove_what_the_original_makes() {
    let Some(reference) = support::skip_without("ambient-reference") else { return };
    let mut count = 0;
    for case in fs::read_dir(reference.join("cases")).expect("a directory can be listed") {
        let case = case.expect("a directory can be listed");
        let name = case.file_name().to_string_lossy().into_owned();
        let file = |name: &str| fs::read_to_string(case.path().join(name)).unwrap_or_default();
        let command = file("cmd");
        let line = |start: &str| command.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
        // Two configurations, of which defects mix the rules, and no rules at all.
        if command.contains("then") && !command.contains("by another process") || line("action: ").ends_with("delete") {
            continue;
        }
        // Blanks are in values.
        let mut given: Vec<(&str, String)> = Vec::new();
        for word in
            line("env ").split(" (").next().unwrap_or_default().split(' ').chain(line("pod-annotations: ").split(' '))
        {
            match (word.split_once('='), given.last_mut()) {
                (Some((name, value)), _) => given.push((name, value.to_owned())),
                (None, Some((_, value))) if word != "none" => *value = format!("{value} {word}"),
                (None, _) => {}
            }
        }
        let given: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let both = [false, true];
        let saves = ["iptables-nft.save", "ip6tables-nft.save"].map(file);
        let saves = saves.each_ref().map(String::as_str);
        match file("nft.list") {
            list if list.contains("postrouting") => continue, // the user of the kubelet
            list if !list.is_empty() => {
                // It captures IPv6 where it is off.
                let list = if list.contains("ip6") { list } else { list.replace("table inet", "table ip") };
                proven(&name, &read(&native(&given)), &read(&list));
            }
            _ if command.contains("host-create") => {
                let pods: Vec<_> = line("action: ")
                    .split(' ')
                    .filter_map(|word| word.strip_prefix("set-add=")?.split_once('@'))
                    .collect();
                let recorded: IpSets = file("ipset.save").parse().expect("sets");
                let made = both.map(|ipv6| original_host(&given, ipv6));
                let made = saved_with(made.each_ref().map(String::as_str), &sets(&given, &pods).parse().expect("sets"));
                proven(&name, &made, &saved_with(saves, &recorded));
            }
            _ => {
                let made = both.map(|ipv6| original(&given, ipv6));
                proven(&name, &saved(made.each_ref().map(String::as_str)), &saved(saves));
            }
        }
        count += 1;
    }
    assert!(count >= 13, "{count}");
}
