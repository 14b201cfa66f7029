//! What `istio-iptables` makes of variables and flags with its iptables backend, in its order of
//! insertions; the recordings in the repository prove it (`istio_pairs`).

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

use std::collections::BTreeMap;
use std::fmt::Write;

/// Values by the short form of a flag or the name of a variable; the last one counts.
struct Given<'w>(BTreeMap<&'w str, &'w str>);

const SWITCHES: [&str; 3] = ["redirect-dns", "capture-all-dns", "drop-invalid"];

impl<'w> Given<'w> {
    fn read(words: &'w str) -> Self {
        let (mut words, mut given) = (words.split_whitespace(), BTreeMap::new());
        while let Some(word) = words.next() {
            let name = word.trim_start_matches('-');
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value),
                None if SWITCHES.contains(&name) => (name, "true"),
                None => (name, words.next().expect("a value")),
            };
            given.insert(name, value.trim_matches('\''));
        }
        Given(given)
    }

    fn value(&self, name: &str, default: &'w str) -> &'w str {
        self.0.get(name).copied().unwrap_or(default)
    }

    fn list(&self, name: &str) -> Vec<&'w str> {
        self.value(name, "").split(',').filter(|item| !item.is_empty()).collect()
    }

    fn is_on(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.value(name, "false") == "true")
    }
}

/// The chains of each table.
#[derive(Default)]
struct Tables(BTreeMap<&'static str, BTreeMap<&'static str, Vec<String>>>);

impl Tables {
    fn chain(&mut self, table: &'static str, chain: &'static str) -> &mut Vec<String> {
        self.0.entry(table).or_default().entry(chain).or_default()
    }

    fn append(&mut self, table: &'static str, chain: &'static str, rule: impl Into<String>) {
        self.chain(table, chain).push(rule.into());
    }

    /// Inserts before the rule that has this number.
    fn insert(&mut self, table: &'static str, chain: &'static str, number: usize, rule: impl Into<String>) {
        self.chain(table, chain).insert(number - 1, rule.into());
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (table, chains) in &self.0 {
            let jumps = chains.values().flatten().filter_map(|rule| rule.split_once("-j ISTIO_"));
            let to = jumps.map(|(_, to)| format!("ISTIO_{to}"));
            let mut names: Vec<String> = chains.keys().map(|name| (*name).to_owned()).chain(to).collect();
            names.sort_unstable();
            names.dedup();
            writeln!(text, "*{table}").expect("a string takes any text");
            for name in names {
                let policy = if name.starts_with("ISTIO_") { "-" } else { "ACCEPT" };
                writeln!(text, ":{name} {policy} [0:0]").expect("a string takes any text");
            }
            for (chain, rules) in chains {
                rules.iter().for_each(|rule| writeln!(text, "-A {chain} {rule}").expect("a string takes any text"));
            }
            text.push_str("COMMIT\n");
        }
        text
    }
}

/// Returns the rules of a family in the form of iptables-save, for a pod whose first address is
/// of IPv4 and another one of IPv6.
pub fn original(words: &str, ipv6: bool, nameservers: &[&str]) -> String {
    let given = Given::read(words);
    if ipv6 && !given.is_on(&["ISTIO_DUAL_STACK"]) {
        return String::new();
    }
    let mut tables = Tables::default();
    let of_family = |text: &&str| text.contains(':') == ipv6;
    let loopback = if ipv6 { "::1/128" } else { given.value("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.1/32") };
    let passed = if ipv6 { "::6/128" } else { "127.0.0.6/32" };
    let (outbound, inbound) = (given.value("p", "15001"), given.value("z", "15006"));
    let (tunnel, mark) = (given.value("e", "15008"), given.value("t", "1337"));
    let tproxy = given.value("m", "") == "TPROXY";
    let services = given.list("i");
    let captures_loopback = services.iter().any(|range| range.starts_with("127.") || range.starts_with("::1/"));
    let users = given.list("u");
    let groups = if given.list("g").is_empty() { users.clone() } else { given.list("g") };
    let owners = || {
        let users = users.iter().map(|uid| format!("--uid-owner {uid}"));
        users.chain(groups.iter().map(|gid| format!("--gid-owner {gid}")))
    };
    let all_dns = given.is_on(&["capture-all-dns"]);
    let servers: Vec<&str> = nameservers.iter().copied().filter(of_family).collect();
    let is_on = given.is_on(&["redirect-dns", "ISTIO_META_DNS_CAPTURE"]);
    let dns = is_on && (all_dns || !nameservers.is_empty());

    for name in given.list("c") {
        for table in ["nat", "mangle"].into_iter().take(if tproxy { 2 } else { 1 }) {
            tables.append(table, "PREROUTING", format!("-i {name} -j RETURN"));
            tables.append(table, "OUTPUT", format!("-o {name} -j RETURN"));
        }
    }
    for name in given.list("k") {
        tables.insert("nat", "PREROUTING", 1, format!("-i {name} -j RETURN"));
    }
    if given.is_on(&["drop-invalid", "INVALID_DROP"]) {
        tables.append("mangle", "PREROUTING", "-m conntrack --ctstate INVALID -j ISTIO_DROP");
        tables.append("mangle", "ISTIO_DROP", "-j DROP");
    }
    tables.append("nat", "ISTIO_INBOUND", format!("-p tcp --dport {tunnel} -j RETURN"));
    tables.append("nat", "ISTIO_REDIRECT", format!("-p tcp -j REDIRECT --to-ports {outbound}"));
    tables.append("nat", "ISTIO_IN_REDIRECT", format!("-p tcp -j REDIRECT --to-ports {inbound}"));
    inbound_ports(&mut tables, &given, tproxy, [loopback, inbound, mark]);

    tables.append("nat", "OUTPUT", "-j ISTIO_OUTPUT");
    let mut output = |rule: String| tables.append("nat", "ISTIO_OUTPUT", rule);
    for port in given.list("o") {
        output(format!("-p tcp --dport {port} -j RETURN"));
        output(format!("-p udp --dport {port} -j RETURN"));
    }
    output(format!("-s {passed} -o lo -j RETURN"));
    for owner in owners() {
        let ports = match dns && owner.starts_with("--uid") {
            true => format!("-m multiport ! --dports 53,{tunnel}"),
            false => format!("-m tcp ! --dport {tunnel}"),
        };
        output(format!("! -d {loopback} -o lo -p tcp {ports} -m owner {owner} -j ISTIO_IN_REDIRECT"));
        if !captures_loopback {
            let but = if dns { "-p tcp -m tcp ! --dport 53 " } else { "" };
            output(format!("-o lo {but}-m owner ! {owner} -j RETURN"));
        }
        output(format!("-m owner {owner} -j RETURN"));
    }
    match given.value("ISTIO_OUTBOUND_OWNER_GROUPS", "*") {
        "*" => given
            .list("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE")
            .iter()
            .for_each(|group| output(format!("-m owner --gid-owner {group} -j RETURN"))),
        _ => {
            let none_of = given.list("ISTIO_OUTBOUND_OWNER_GROUPS");
            let none_of: String = none_of.iter().map(|group| format!("-m owner ! --gid-owner {group} ")).collect();
            output(format!("{none_of}-j RETURN"));
        }
    }
    if dns {
        if all_dns || !servers.is_empty() {
            output("-j ISTIO_OUTPUT_DNS".to_owned());
        }
        to_agent(&mut tables, owners(), if all_dns { None } else { Some(&servers) });
    }
    let mut output = |rule: String| tables.append("nat", "ISTIO_OUTPUT", rule);
    output(format!("-d {loopback} -j RETURN"));
    given.list("x").into_iter().filter(of_family).for_each(|range| output(format!("-d {range} -j RETURN")));
    given.list("q").iter().for_each(|port| output(format!("-p tcp --dport {port} -j ISTIO_REDIRECT")));
    let all = services == ["*"];
    for range in services.into_iter().filter(|range| all || of_family(range)) {
        let to = if all { String::new() } else { format!("-d {range} ") };
        tables.append("nat", "ISTIO_OUTPUT", format!("{to}-j ISTIO_REDIRECT"));
        for name in given.list("k") {
            tables.insert("nat", "PREROUTING", 1, format!("-i {name} {to}-j ISTIO_REDIRECT"));
        }
    }
    if tproxy {
        let marked = format!("-p tcp -m mark --mark {mark}");
        tables.append("mangle", "PREROUTING", format!("{marked} -j CONNMARK --save-mark"));
        tables.append("mangle", "OUTPUT", format!("-o lo {marked} -j RETURN"));
        for owner in owners() {
            let rule = format!("! -d {loopback} -o lo -p tcp -m owner {owner} -j MARK --set-mark 1338");
            tables.append("mangle", "OUTPUT", rule);
        }
        let restore = format!("-p tcp -m connmark --mark {mark} -j CONNMARK --restore-mark");
        tables.append("mangle", "OUTPUT", restore);
        tables.insert("mangle", "ISTIO_INBOUND", 1, format!("{marked} -j RETURN"));
        tables.insert("mangle", "ISTIO_INBOUND", 2, format!("-s {passed} -i lo -p tcp -j RETURN"));
        tables.insert("mangle", "ISTIO_INBOUND", 3, "-i lo -p tcp -m mark ! --mark 1338 -j RETURN");
    }
    tables.text()
}

fn inbound_ports(tables: &mut Tables, given: &Given<'_>, tproxy: bool, [loopback, inbound, mark]: [&str; 3]) {
    if given.value("b", "").is_empty() {
        return;
    }
    let table = if tproxy { "mangle" } else { "nat" };
    if tproxy {
        tables.append("mangle", "ISTIO_DIVERT", format!("-j MARK --set-mark {mark}"));
        tables.append("mangle", "ISTIO_DIVERT", "-j ACCEPT");
        let target = format!("-j TPROXY --on-port {inbound} --tproxy-mark {mark}/0xffffffff");
        tables.append("mangle", "ISTIO_TPROXY", format!("! -d {loopback} -p tcp {target}"));
    }
    tables.append(table, "PREROUTING", "-p tcp -j ISTIO_INBOUND");
    let all = given.value("b", "") == "*";
    for port in given.list("d").iter().filter(|_| all) {
        tables.append(table, "ISTIO_INBOUND", format!("-p tcp --dport {port} -j RETURN"));
    }
    for port in given.list("b") {
        let ports = if all { String::new() } else { format!("--dport {port} ") };
        if tproxy {
            let known = "-m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT";
            tables.append("mangle", "ISTIO_INBOUND", format!("-p tcp {ports}{known}"));
        }
        let to = if tproxy { "ISTIO_TPROXY" } else { "ISTIO_IN_REDIRECT" };
        tables.append(table, "ISTIO_INBOUND", format!("-p tcp {ports}-j {to}"));
    }
}

/// Captures DNS to these servers, or all of it, and keeps the connections of the agent apart.
fn to_agent(tables: &mut Tables, owners: impl Iterator<Item = String>, servers: Option<&[&str]>) {
    tables.append("raw", "OUTPUT", "-j ISTIO_OUTPUT_DNS");
    for owner in owners {
        for (port, zone) in [("--dport 53", 1), ("--sport 15053", 2)] {
            let rule = format!("-p udp {port} -m owner {owner} -j CT --zone {zone}");
            tables.append("raw", "ISTIO_OUTPUT_DNS", rule);
        }
    }
    let ends: Vec<[String; 2]> = match servers {
        None => vec![[String::new(), String::new()]],
        Some(servers) => servers.iter().map(|server| ["-d", "-s"].map(|end| format!("{end} {server} "))).collect(),
    };
    if !ends.is_empty() {
        tables.append("raw", "PREROUTING", "-j ISTIO_INBOUND");
    }
    for [to, from] in &ends {
        for protocol in ["tcp", "udp"] {
            let rule = format!("{to}-p {protocol} --dport 53 -j REDIRECT --to-ports 15053");
            tables.append("nat", "ISTIO_OUTPUT_DNS", rule);
        }
        tables.append("raw", "ISTIO_OUTPUT_DNS", format!("{to}-p udp --dport 53 -j CT --zone 2"));
        tables.append("raw", "ISTIO_INBOUND", format!("{from}-p udp --sport 53 -j CT --zone 1"));
    }
}
