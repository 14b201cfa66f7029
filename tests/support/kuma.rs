//! What `kumactl install transparent-proxy` makes of a command line, in its order of insertions;
//! where its recordings are beside the crate, `kuma_pairs` proves it.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use nftmesh::mesh::kuma::KumaFacts;

/// The pod of the recordings, with these nameservers.
pub fn facts(nameservers: &[&str]) -> KumaFacts {
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse().expect("an address")).collect::<Vec<IpAddr>>();
    KumaFacts {
        users: Some([("kuma-dp", 5678), ("root", 0), ("other", 1337)].map(|(name, uid)| (name.to_owned(), uid)).into()),
        addresses: addresses(&["127.0.0.1", "::1", "10.77.0.2", "fd77::2"]),
        nameservers: addresses(nameservers),
    }
}

pub const BOTH: &[&str] = &["10.255.255.53", "fd77::53"];

/// What the variables begin with.
pub const PREFIX: &str = "KUMA_TRANSPARENT_PROXY_";

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
        let values = self.0.iter().skip(1);
        self.0.iter().zip(values).filter(|(flag, _)| **flag == name).map(|(_, value)| *value).collect()
    }

    fn one(&self, name: &str) -> Option<&'w str> {
        self.all(name).pop()
    }

    /// Returns the value of a variable, which has no flag.
    fn variable(&self, name: &str) -> Option<&'w str> {
        let short = |word: &&'w str| word.strip_prefix(PREFIX)?.strip_prefix(name)?.strip_prefix('=');
        self.0.iter().find_map(short)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }
}

/// Returns the rules of a family in the form of iptables-save.
pub fn original(words: &str, ipv6: bool, facts: &KumaFacts) -> String {
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
            [protocol, ports, uids] => (protocol, ports, uids),
            _ => panic!("{exclusion}"),
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
        let only = words.variable("REDIRECT_INBOUND_INCLUDE_PORTS");
        for port in only.into_iter().flat_map(|list| list.split(',')) {
            mesh_in.append(format!("-p tcp --dport {port} -j REDIRECT --to-ports {inbound}"));
        }
        // A list that is given again replaces the one before.
        let left_out = words.one("--exclude-inbound-ports").filter(|_| only.is_none());
        for port in left_out.into_iter().flat_map(|list| list.split(',')) {
            mesh_in.append(format!("-p tcp --dport {port} -j RETURN"));
        }
        if only.is_none() {
            mesh_in.append(format!("-p tcp -j REDIRECT --to-ports {inbound}"));
        }
    }
    if words.variable("REDIRECT_OUTBOUND_ENABLED") == Some("false") {
        mesh_out.append("-p tcp -j RETURN");
    }
    let only = words.variable("REDIRECT_OUTBOUND_INCLUDE_PORTS");
    let left_out = words.one("--exclude-outbound-ports").filter(|_| only.is_none());
    for port in left_out.into_iter().flat_map(|list| list.split(',')) {
        mesh_out.append(format!("-p tcp --dport {port} -j RETURN"));
    }
    mesh_out.append(format!("-s {passed} -o lo -j RETURN"));
    let to_itself = format!("! -d {loopback} -o lo -p tcp -m owner --uid-owner {uid}");
    mesh_out.append(format!("{to_itself} -j REDIRECT --to-ports {inbound}"));
    mesh_out.append(format!("-o lo -p tcp -m owner ! --uid-owner {uid} -j RETURN"));
    mesh_out.append(format!("-m owner --uid-owner {uid} -j RETURN"));
    mesh_out.append(format!("-d {loopback} -j RETURN"));
    match only {
        None => mesh_out.append(format!("-p tcp -j REDIRECT --to-ports {outbound}")),
        Some(list) => list
            .split(',')
            .for_each(|port| mesh_out.append(format!("-p tcp --dport {port} -j REDIRECT --to-ports {outbound}"))),
    }

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
