//! Kuma's rules with every option alone and with every other one, against those that
//! `kumactl install transparent-proxy` makes of the same words: the same for every packet of both
//! families. What that program makes is written down here, in its order of insertions; where its
//! recordings are beside the crate, they prove it.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::mesh::kuma::{KumaFacts, KumaFlags};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};

/// The pod of the recordings, with these nameservers.
fn facts(nameservers: &[&str]) -> KumaFacts {
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse().expect("an address")).collect::<Vec<IpAddr>>();
    KumaFacts {
        users: Some([("kuma-dp".to_owned(), 5678), ("root".to_owned(), 0)].into()),
        addresses: addresses(&["127.0.0.1", "::1", "10.77.0.2", "fd77::2"]),
        nameservers: addresses(nameservers),
    }
}

const BOTH: &[&str] = &["10.255.255.53", "fd77::53"];

/// A chain of iptables that is filled as the original does it: what is inserted goes after what
/// was inserted before, what is appended goes to the end.
#[derive(Default)]
struct Filled {
    rules: Vec<String>,
    inserted: usize,
}

impl Filled {
    fn insert(&mut self, rule: impl Into<String>) {
        self.rules.insert(self.inserted, rule.into());
        self.inserted += 1;
    }

    fn append(&mut self, rule: impl Into<String>) {
        self.rules.push(rule.into());
    }
}

/// What the words of a command line give.
struct Words<'w>(Vec<&'w str>);

impl<'w> Words<'w> {
    fn all(&self, name: &str) -> Vec<&'w str> {
        self.0.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1]).collect()
    }

    fn one(&self, name: &str) -> Option<&'w str> {
        self.all(name).pop()
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// Returns the rules of a family in the form of iptables-save.
fn original(words: &str, ipv6: bool, facts: &KumaFacts) -> String {
    let words = Words(words.split_whitespace().collect());
    if ipv6 && words.one("--ip-family-mode") == Some("ipv4") {
        return String::new();
    }
    let port = |name, default| words.one(name).unwrap_or(default);
    let inbound = port("--redirect-inbound-port", "15006");
    let outbound = port("--redirect-outbound-port", "15001");
    let dns_port = port("--redirect-dns-port", "15053");
    let uid = match words.one("--kuma-dp-user") {
        Some("root") => "0",
        Some("kuma-dp") | None => "5678",
        Some(uid) => uid,
    };
    let (loopback, passed) = if ipv6 { ("::1", "::6") } else { ("127.0.0.1", "127.0.0.6") };
    let of_family = |text: &&str| text.contains(':') == ipv6;
    let servers: Vec<_> = facts.nameservers.iter().filter(|server| server.is_ipv6() == ipv6).collect();
    let all = words.has("--redirect-all-dns-traffic");
    let dns = all || words.has("--redirect-dns") && !servers.is_empty();

    let [mut raw_in, mut raw_out, mut invalid] = [(); 3].map(|()| Filled::default());
    if dns && !words.has("--skip-dns-conntrack-zone-split") {
        raw_out.append(format!("-p udp --dport 53 -m owner --uid-owner {uid} -j CT --zone 1"));
        raw_out.append(format!("-p udp --sport {dns_port} -m owner --uid-owner {uid} -j CT --zone 2"));
        if all {
            raw_out.append("-p udp --dport 53 -j CT --zone 2");
            raw_in.append("-p udp --sport 53 -j CT --zone 1");
        }
        for server in servers.iter().filter(|_| !all) {
            raw_out.append(format!("-d {server} -p udp --dport 53 -j CT --zone 2"));
            if server.is_loopback() {
                raw_out.append(format!("-s {server} -d {loopback} -p udp -j CT --zone 1"));
            }
            raw_in.append(format!("-s {server} -p udp --sport 53 -j CT --zone 1"));
        }
    }
    if words.has("--drop-invalid-packets") {
        invalid.append("-m conntrack --ctstate INVALID -j DROP");
    }

    let [mut output, mut prerouting] = [(); 2].map(|()| Filled::default());
    for exclusion in words.all("--exclude-outbound-ports-for-uids") {
        let parts: Vec<&str> = exclusion.split(':').collect();
        let (protocol, ports, uids) = match parts[..] {
            [uids] => ("*", "*", uids),
            [ports, uids] => ("*", ports, uids),
            _ => (parts[0], parts[1], parts[2]),
        };
        let ports = if ports == "*" || ports.is_empty() { "1:65535".to_owned() } else { ports.replace('-', ":") };
        let protocols = if protocol == "*" || protocol.is_empty() { "tcp,udp" } else { protocol };
        for protocol in protocols.split(',') {
            let owner = format!("-m owner --uid-owner {uids}");
            output.insert(format!("-p {protocol} -m multiport --dports {ports} {owner} -j RETURN"));
        }
    }
    let lists = |name| -> Vec<&str> { words.all(name).into_iter().flat_map(|list| list.split(',')).collect() };
    for to in lists("--exclude-outbound-ips").into_iter().filter(of_family) {
        output.insert(format!("-d {to} -j RETURN"));
    }
    if dns {
        output.insert(format!("-p udp --dport 53 -m owner --uid-owner {uid} -j RETURN"));
        output.append(format!("-p tcp --dport 53 -m owner ! --uid-owner {uid} -j RETURN"));
        if all {
            output.insert(format!("-p udp --dport 53 -j REDIRECT --to-ports {dns_port}"));
        }
        for server in servers.iter().filter(|_| !all) {
            output.insert(format!("-d {server} -p udp --dport 53 -j REDIRECT --to-ports {dns_port}"));
        }
    }
    let jump = "-p tcp -j KUMA_MESH_OUTBOUND";
    match words.has("--redirect-outbound-insert-instead-of-append") {
        true => output.insert(jump),
        false => output.append(jump),
    }

    let networks = words.all("--vnet").into_iter().filter_map(|network| network.split_once(':'));
    // By name, and the last one of a name counts.
    let networks: BTreeMap<_, _> = networks.filter(|(_, network)| of_family(network)).collect();
    for (interface, network) in &networks {
        prerouting.insert(format!("-i {interface} -p udp --dport 53 -j REDIRECT --to-ports {dns_port}"));
        prerouting.insert(format!("! -d {network} -i {interface} -p tcp -j REDIRECT --to-ports {outbound}"));
    }
    prerouting.insert("-p tcp -j KUMA_MESH_INBOUND");

    let [mut mesh_in, mut mesh_out] = [(); 2].map(|()| Filled::default());
    if words.has("--redirect-inbound=false") {
        mesh_in.append("-p tcp -j RETURN");
    } else {
        for from in lists("--exclude-inbound-ips").into_iter().filter(of_family) {
            mesh_in.append(format!("-s {from} -j RETURN"));
        }
        // A list that is given again replaces the one before.
        for port in words.one("--exclude-inbound-ports").into_iter().flat_map(|list| list.split(',')) {
            mesh_in.append(format!("-p tcp --dport {port} -j RETURN"));
        }
        mesh_in.append(format!("-p tcp -j REDIRECT --to-ports {inbound}"));
    }
    for port in words.one("--exclude-outbound-ports").into_iter().flat_map(|list| list.split(',')) {
        mesh_out.append(format!("-p tcp --dport {port} -j RETURN"));
    }
    mesh_out.append(format!("-s {passed} -o lo -j RETURN"));
    let to_itself = format!("! -d {loopback} -o lo -p tcp -m owner --uid-owner {uid}");
    mesh_out.append(format!("{to_itself} -j REDIRECT --to-ports {inbound}"));
    mesh_out.append(format!("-o lo -p tcp -m owner ! --uid-owner {uid} -j RETURN"));
    mesh_out.append(format!("-m owner --uid-owner {uid} -j RETURN"));
    mesh_out.append(format!("-d {loopback} -j RETURN"));
    mesh_out.append(format!("-p tcp -j REDIRECT --to-ports {outbound}"));

    let tables = [
        ("raw", vec![("PREROUTING", raw_in), ("OUTPUT", raw_out)]),
        ("mangle", vec![("PREROUTING", invalid)]),
        (
            "nat",
            vec![
                ("KUMA_MESH_INBOUND", mesh_in),
                ("KUMA_MESH_OUTBOUND", mesh_out),
                ("PREROUTING", prerouting),
                ("OUTPUT", output),
            ],
        ),
    ];
    let lines = tables.iter().flat_map(|(table, chains)| {
        let built_in = |name: &str| if name.starts_with("KUMA") { "-" } else { "ACCEPT" };
        let made = chains.iter().map(move |(name, _)| format!(":{name} {} [0:0]", built_in(name)));
        let rules =
            chains.iter().flat_map(|(name, chain)| chain.rules.iter().map(move |rule| format!("-A {name} {rule}")));
        [format!("*{table}")].into_iter().chain(made).chain(rules).chain(["COMMIT".to_owned()])
    });
    lines.map(|line| line + "\n").collect()
}

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
    let config = KumaFlags::parse(words.split_whitespace(), [("", ""); 0]).and_then(|flags| flags.resolve(facts));
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
];

const DNS: &[&str] = &["", "--redirect-dns", "--redirect-all-dns-traffic"];

#[test]
fn every_option_and_every_pair_equals_the_original() {
    let facts = facts(BOTH);
    let singles = OPTIONS.iter().flat_map(|one| DNS.iter().map(move |dns| format!("{dns} {one}")));
    let pairs = OPTIONS.iter().enumerate().flat_map(|(index, one)| {
        let others = OPTIONS.iter().enumerate().skip(index + 1);
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
