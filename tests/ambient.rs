//! Ambient's rules against those that Istio's agent installed: the same for every packet of both
//! families, but for the defects of that program, which are tests here, in `ambient_defects` and in
//! `ambient_host`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/proven.rs"]
mod proven;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nftmesh::import::IpSets;
use nftmesh::kernel;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientConfig, AmbientHost, AmbientNode, Inbound, NAT, RAW, VARIABLES};
use nftmesh::model::{Family, IpFamily, Ruleset};
use nftmesh::sim::{End, Host, Packet, Rules, Walker};
use proven::{assert_differ, assert_equal, saved, saved_with};

/// Reads words as a `cmd` file of the recordings has them.
fn given(variables: &str, annotations: &str) -> nftmesh::Result<AmbientConfig> {
    let words = |text: &str| -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for word in text.split_whitespace() {
            match (word.split_once('='), found.last_mut()) {
                (Some((name, value)), _) => found.push((name.to_owned(), value.to_owned())),
                // The rest of a list that has blanks.
                (None, Some((_, value))) => *value = format!("{value} {word}"),
                (None, None) => {}
            }
        }
        found
    };
    AmbientNode::from_vars(words(variables))?.pod(words(annotations))
}

fn node(variables: &str) -> AmbientNode {
    AmbientNode::from_vars(variables.split_whitespace().filter_map(|word| word.split_once('='))).expect("valid")
}

fn config(variables: &str, annotations: &str) -> AmbientConfig {
    given(variables, annotations).unwrap_or_else(|error| panic!("{variables} {annotations}: {error}"))
}

#[track_caller]
fn refused(variables: &str, annotations: &str, named: &str) {
    let error = given(variables, annotations).expect_err(named);
    assert!(error.is_invalid() && error.to_string().contains(named), "{variables} {annotations}: {error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

const BOTH: &str = "AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=true";

/// Returns the recorded cases; none where the recordings are missing.
fn cases() -> Vec<Case> {
    let Some(reference) = support::skip_without("ambient-reference") else { return Vec::new() };
    let entries = fs::read_dir(reference.join("cases")).expect("a directory can be listed");
    let mut cases: Vec<Case> =
        entries.map(|entry| Case::read(&entry.expect("a directory can be listed").path())).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// What was given to Istio's agent, and what it did.
struct Case {
    name: String,
    directory: PathBuf,
    variables: String,
    annotations: String,
    action: String,
}

impl Case {
    fn read(directory: &Path) -> Case {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let command = fs::read_to_string(directory.join("cmd")).expect("a command");
        let after = |start: &str| {
            let line = command.lines().find_map(|line| line.strip_prefix(start));
            line.unwrap_or_default().trim().to_owned()
        };
        let (mut variables, mut annotations) = (after("env "), after("pod-annotations: "));
        // Of two values, the last counts.
        if let Some((_, last)) = annotations.split_once(", then ") {
            annotations = last.to_owned();
        }
        if let Some((_, rest)) = variables.split_once("AMBIENT_IPV6=false, then true;") {
            variables = format!("AMBIENT_DNS_CAPTURE=true AMBIENT_IPV6=true {rest}");
        }
        let variables = variables.split(" (").next().unwrap_or_default().to_owned();
        Case { name, directory: directory.to_owned(), variables, annotations, action: after("action: ") }
    }

    fn file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.directory.join(name)).ok()
    }

    fn config(&self) -> AmbientConfig {
        config(&self.variables, &self.annotations)
    }

    /// Returns the configuration of the node, with the addresses of pods that were added.
    fn host(&self) -> AmbientHost {
        let mut host = node(&self.variables).host();
        let added = self.action.split_whitespace().filter_map(|word| word.strip_prefix("set-add="));
        for (address, uid) in added.filter_map(|word| word.split_once('@')) {
            host.set(address.parse().expect("an address"), uid).expect("a uid");
        }
        host
    }

    /// Returns what was installed: by the nftables backend, or by iptables.
    fn installed(&self) -> Ruleset {
        match self.file("nft.list") {
            Some(list) => list.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            None => {
                let saves = ["iptables-nft.save", "ip6tables-nft.save"];
                let [ipv4, ipv6] = saves.map(|name| self.file(name).unwrap_or_default());
                let sets: IpSets = self.file("ipset.save").unwrap_or_default().parse().expect("sets");
                saved_with([&ipv4, &ipv6], &sets)
            }
        }
    }
}

#[test]
fn the_recorded_cases_equal_the_rules_of_the_original() {
    let cases = cases();
    let mut proven = 0;
    for case in &cases {
        let (name, installed) = (case.name.as_str(), case.installed());
        match name {
            // The agent takes the user of the kubelet for a local socket (13).
            "native-host" => {
                assert_differ(name, &case.host().rules(), &installed);
                let of_any_socket = installed.to_string().replace("meta skuid 0 ", "meta skuid >= 0 ");
                assert_equal(name, &case.host().rules(), &of_any_socket.parse().expect("it was printed by us"));
            }
            _ if case.action.contains("host-create") => assert_equal(name, &case.host().rules(), &installed),
            _ if case.action.ends_with("delete") => assert_equal(name, &Ruleset::new(), &installed),
            // The agent did nothing with the second configuration (2).
            "changed-no-reconcile" => {
                assert_differ(name, &case.config().rules(), &installed);
                assert_equal(name, &config(&case.variables, "").rules(), &installed);
            }
            // Without IPv6 it captured some of it (9).
            "native-v4-only" => {
                assert_differ(name, &case.config().rules(), &installed);
                let of_ipv4 = installed.to_string().replace("table inet ", "table ip ");
                assert_equal(name, &case.config().rules(), &of_ipv4.parse().expect("it was printed by us"));
            }
            _ => assert_equal(name, &case.config().rules(), &installed),
        }
        proven += 1;
    }
    assert!(cases.is_empty() || proven >= 19, "{proven}");
}

/// A small set of Istio's agent, for where the recordings are missing.
fn recorded(family: IpFamily, leave_out: &str) -> String {
    let (probe, lo) = match family {
        IpFamily::Ipv4 => ("169.254.7.127/32", "127.0.0.1/32"),
        IpFamily::Ipv6 => ("fd16:9254:7127:1337:ffff:ffff:ffff:ffff/128", "::1/128"),
    };
    let tables = [
        (
            "mangle",
            ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n",
            vec![
                "-A ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
                "-A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff",
            ],
        ),
        (
            "raw",
            ":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n",
            vec![
                "-A ISTIO_OUTPUT -p udp -m mark --mark 0x539/0xfff -m udp --dport 53 -j CT --zone 1",
                "-A ISTIO_PRERT -p udp -m mark ! --mark 0x539/0xfff -m udp --sport 53 -j CT --zone 1",
            ],
        ),
        (
            "nat",
            ":PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n",
            vec![
                "-A ISTIO_OUTPUT -d PROBE -p tcp -m tcp -j ACCEPT",
                "-A ISTIO_OUTPUT ! -o lo -p udp -m mark ! --mark 0x539/0xfff -m udp --dport 53 -j REDIRECT --to-ports 15053",
                "-A ISTIO_OUTPUT ! -d LO -p tcp -m tcp --dport 53 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15053",
                "-A ISTIO_OUTPUT -p tcp -m mark --mark 0x111/0xfff -j ACCEPT",
                "-A ISTIO_OUTPUT ! -d LO -o lo -j ACCEPT",
                "-A ISTIO_OUTPUT ! -d LO -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001",
                "-A ISTIO_PRERT -i virt+ -p tcp -j REDIRECT --to-ports 15001",
                "-A ISTIO_PRERT -s PROBE -p tcp -m tcp -j ACCEPT",
                "-A ISTIO_PRERT ! -d LO -p tcp -m tcp ! --dport 15008 -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15006",
            ],
        ),
    ];
    let mut text = String::new();
    for (table, chains, rules) in tables {
        text += &format!("*{table}\n{chains}:ISTIO_OUTPUT - [0:0]\n:ISTIO_PRERT - [0:0]\n");
        text += "-A PREROUTING -j ISTIO_PRERT\n-A OUTPUT -j ISTIO_OUTPUT\n";
        let rules = rules.into_iter().map(|rule| rule.replace("PROBE", probe).replace("LO ", &format!("{lo} ")));
        rules.filter(|rule| rule != leave_out).for_each(|rule| text += &format!("{rule}\n"));
        text += "COMMIT\n";
    }
    text
}

#[test]
fn a_small_set_equals_that_of_the_original_and_no_rule_is_needless() {
    let ours = config(BOTH, "istio.io/reroute-virtual-interfaces=virt+").rules();
    let [ipv4, ipv6] = [IpFamily::Ipv4, IpFamily::Ipv6].map(|family| recorded(family, ""));
    assert_equal("small", &ours, &saved([&ipv4, &ipv6]));
    for rule in ipv6.lines().filter(|line| line.starts_with("-A ISTIO_")) {
        assert_differ(rule, &ours, &saved([&ipv4, &recorded(IpFamily::Ipv6, rule)]));
    }
    for rule in ipv4.lines().filter(|line| line.starts_with("-A ISTIO_")) {
        assert_differ(rule, &ours, &saved([&recorded(IpFamily::Ipv4, rule), &ipv6]));
    }
}

/// The order of the rules matters (4): the redirect must not come before the accept of answers.
#[test]
fn rules_in_another_order_do_not_count_as_the_same() {
    let ours = config(BOTH, "").rules();
    let mut swapped = ours.clone();
    let table = swapped.tables.iter_mut().find(|table| table.name.as_str() == NAT).expect("nat");
    let chain = table.chains.iter_mut().find(|chain| chain.name.as_str() == "istio-output").expect("its chain");
    chain.rules.reverse();
    assert_differ("reversed", &ours, &swapped);
}

const BOOLEANS: [(&str, bool); 12] = [
    ("1", true),
    ("t", true),
    ("T", true),
    ("TRUE", true),
    ("true", true),
    ("True", true),
    ("0", false),
    ("f", false),
    ("F", false),
    ("FALSE", false),
    ("false", false),
    ("False", false),
];
const NO_BOOLEANS: [&str; 8] = ["yes", "no", "on", "tRUE", " true", "true ", "2", "-1"];

#[test]
fn variables_are_checked_and_those_that_are_empty_or_of_others_are_ignored() {
    for (text, value) in BOOLEANS {
        let node = AmbientNode::from_vars([("AMBIENT_DNS_CAPTURE", text), ("AMBIENT_IPV6", text)]).expect(text);
        assert_eq!((node.dns_capture, node.ipv6), (value, value), "{text}");
    }
    let booleans = [
        "AMBIENT_DNS_CAPTURE",
        "AMBIENT_IPV6",
        "AMBIENT_RECONCILE_POD_RULES_ON_STARTUP",
        "NATIVE_NFTABLES",
        "AMBIENT_USE_SCOPED_XTABLES_LOCKING",
        "AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE",
        "ALLOW_SWITCH_TO_HOST_NS",
    ];
    let wrong = booleans.into_iter().flat_map(|name| NO_BOOLEANS.map(|text| (name, text)));
    let others = [
        ("HOST_PROBE_SNAT_IP", "fd99::1"),
        ("HOST_PROBE_SNAT_IP", "169.254.7"),
        ("HOST_PROBE_SNAT_IP", "0.0.0.0"),
        ("HOST_PROBE_SNAT_IP", "127.0.0.1"),
        ("HOST_PROBE_SNAT_IP", "169.254.7.127/32"),
        ("HOST_PROBE_SNAT_IPV6", "169.254.7.127"),
        ("HOST_PROBE_SNAT_IPV6", "::"),
        ("HOST_PROBE_SNAT_IPV6", "ff02::1"),
        ("HOST_PROBE_SNAT_IPV6", "::ffff:10.0.0.1"),
        ("FORCE_IPTABLES_BINARY", "iptables"),
        ("FORCE_IPTABLES_BINARY", "NFT"),
        ("EXCLUDE_NAMESPACES", "kube-system,Default"),
    ];
    for (name, text) in wrong.chain(others) {
        let error = AmbientNode::from_vars([(name, text)]).expect_err(name);
        assert!(error.is_invalid() && error.to_string().starts_with(name), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
    let empty = VARIABLES.iter().map(|(name, _)| (*name, "")).chain([("HOME", "/"), ("AMBIENT_OTHER", "x")]);
    assert_eq!(AmbientNode::from_vars(empty).expect("as if absent"), node(""));
    let [nft, legacy] = ["nft", "legacy"].map(|backend| node(&format!("FORCE_IPTABLES_BINARY={backend}")));
    assert_eq!(nft, legacy);
    let excluded = node("EXCLUDE_NAMESPACES=kube-system,,istio-system,").excluded_namespaces;
    assert_eq!(excluded, ["kube-system", "istio-system"]);
    refused("HOST_PROBE_SNAT_IP=::1", "", "not an IPv4 address");
}

/// What is no boolean counts as absent, with a warning.
#[test]
fn annotations_override_the_node_either_way() {
    let dns = "ambient.istio.io/dns-capture";
    let bypass = "ambient.istio.io/bypass-inbound-capture";
    for node_dns in [true, false] {
        let node = node(&format!("AMBIENT_DNS_CAPTURE={node_dns}"));
        let plain = node.pod([("a", "b")]).expect("valid");
        assert!(plain.warnings().is_empty());
        for (text, value) in BOOLEANS {
            let pod = node.pod([(dns, text)]).expect("valid");
            assert_eq!(pod.rules().find(Family::Ip, RAW).is_some(), value, "{text}");
            let inbound = if value { Inbound::Bypassed } else { Inbound::Captured };
            let built = AmbientConfig::builder().ipv6(false).dns_capture(node_dns).inbound(inbound).build();
            assert_eq!(node.pod([(bypass, text)]).expect("valid"), built.expect("valid"));
        }
        for text in NO_BOOLEANS.into_iter().chain([""]) {
            for name in [dns, bypass] {
                let pod = node.pod([(name, text)]).expect("a warning");
                assert_eq!(pod.rules(), plain.rules(), "{name} {text}");
                let [warning] = pod.warnings() else { panic!("{:?}", pod.warnings()) };
                assert!(warning.starts_with(&format!("{name} {text:?}: ignored")), "{warning}");
            }
        }
    }
    let sidecar = "traffic.sidecar.istio.io/excludeOutboundPorts";
    let pod = node("").pod([(sidecar, "80"), ("sidecar.istio.io/status", "{}")]).expect("valid");
    assert_eq!(pod.rules(), node("").pod([("a", "b")]).expect("valid").rules());
    assert!(pod.warnings().iter().all(|warning| warning.contains("no effect in ambient mode")), "{:?}", pod.warnings());
    assert_eq!(pod.warnings().len(), 1);
}

#[test]
fn the_routes_are_those_of_the_original() {
    assert_eq!(
        config(BOTH, "").routes().to_string(),
        "ip route add local default dev lo table 100\n\
         ip -6 route add local default dev lo table 100\n\
         ip rule add fwmark 0x111/0xfff lookup 100 priority 32764\n\
         ip -6 rule add fwmark 0x111/0xfff lookup 100 priority 32764\n"
    );
    assert_eq!(config("", "").routes().entries().len(), 2);
    for case in cases().iter().filter(|case| !case.action.contains("delete") && !case.action.contains("host")) {
        let printed = case.file("routes").expect("routes");
        let (ipv4, ipv6) = printed.split_once("\n--\n").expect("two families");
        let rule = "32764:\tfrom all fwmark 0x111/0xfff lookup 100";
        let wanted = case.config().routes().to_string();
        assert_eq!(ipv4.contains(rule), wanted.contains("\nip rule"), "{}", case.name);
        // With a rule for IPv4 there, the one for IPv6 was not added (6).
        let ipv6 = ipv6.split("\n--\n").next().unwrap_or_default();
        assert_eq!(ipv6.contains(rule) || case.name == "v6-later", wanted.contains("ip -6 rule"), "{}", case.name);
    }
}

#[test]
fn the_rules_of_a_pod_and_a_node_are_valid_and_read_back() {
    let pod = config(BOTH, "istio.io/reroute-virtual-interfaces=virt+, tap0").rules();
    let mut host = node(BOTH).host();
    host.set("10.77.0.9".parse().expect("an address"), "pod-uid-1").expect("a uid");
    for rules in [pod, host.rules()] {
        rules.validate().expect("valid");
        assert_eq!(rules.to_string().parse::<Ruleset>().expect("it was printed by us"), rules);
    }
}

/// The application's answer to ztunnel, which spoke to it in a client's name, comes back by the
/// mark of the connection and the policy route, whatever the other bits of the mark are.
#[test]
fn a_walk_shows_that_answers_come_back_to_ztunnel() {
    let config = config(BOTH, "");
    let rules = Rules::try_from(&config.rules()).expect("every rule has a program");
    let host = Host::pod(["10.77.0.2/24", "fd77::2/64"].map(|address| address.parse().expect("an address")));
    let routed = kernel::routed(host.clone(), &config.routes());
    for (client, server, mark) in [
        ("10.78.0.2", "10.77.0.2", "0x539"),
        ("[fd78::2]", "[fd77::2]", "0x539"),
        ("10.78.0.2", "10.77.0.2", "0xabc539"),
    ] {
        let packet = |text: String| text.parse::<Packet>().unwrap_or_else(|error| panic!("{text}: {error}"));
        let call = packet(format!("tcp {client}:40000 -> {server}:8080 uid 0 gid 0 mark {mark}"));
        let answer = packet(format!("tcp {server}:8080 -> {client}:40000 uid 1000 gid 1000 flags syn,ack"));
        let mut walker = Walker::new(&rules, &routed);
        assert!(matches!(walker.send(call.clone()).end, End::Delivered { .. }));
        let walk = walker.send(answer.clone());
        assert!(matches!(walk.end, End::Delivered { .. }), "{walk}");
        assert!(walk.to_string().contains("becomes 0x111"), "{walk}");
        // Without the route it leaves the pod.
        let mut walker = Walker::new(&rules, &host);
        walker.send(call);
        let walk = walker.send(answer);
        assert!(!matches!(walk.end, End::Delivered { .. }), "{walk}");
    }
}
