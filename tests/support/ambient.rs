//! What Istio's agent makes of variables and annotations, with either of its backends; where its
//! recordings are beside the crate, `ambient_pairs` proves it.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

/// Variables of the node and annotations of a pod, by name; no name is there twice.
pub type Named<'n> = [(&'n str, &'n str)];

fn value<'n>(given: &Named<'n>, name: &str) -> Option<&'n str> {
    given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).filter(|value| !value.is_empty())
}

/// Reads a boolean; what is none counts as absent.
fn boolean(given: &Named<'_>, name: &str) -> Option<bool> {
    match value(given, name)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn dns(given: &Named<'_>) -> bool {
    let of_pod = boolean(given, "ambient.istio.io/dns-capture");
    of_pod.or_else(|| boolean(given, "AMBIENT_DNS_CAPTURE")).unwrap_or(false)
}

fn ipv6(given: &Named<'_>) -> bool {
    boolean(given, "AMBIENT_IPV6").unwrap_or(false)
}

fn is_captured_inbound(given: &Named<'_>) -> bool {
    !boolean(given, "ambient.istio.io/bypass-inbound-capture").unwrap_or(false)
}

fn interfaces<'n>(given: &Named<'n>) -> impl Iterator<Item = &'n str> {
    let list = value(given, "istio.io/reroute-virtual-interfaces").unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn probe<'n>(given: &Named<'n>, ipv6: bool) -> &'n str {
    match ipv6 {
        false => value(given, "HOST_PROBE_SNAT_IP").unwrap_or("169.254.7.127"),
        true => value(given, "HOST_PROBE_SNAT_IPV6").unwrap_or("fd16:9254:7127:1337:ffff:ffff:ffff:ffff"),
    }
}

/// Returns the rules of a family in a pod, in the form of iptables-save.
pub fn original(given: &Named<'_>, of_ipv6: bool) -> String {
    if of_ipv6 && !ipv6(given) {
        return String::new();
    }
    let (probe, loopback) = (probe(given, of_ipv6), if of_ipv6 { "::1" } else { "127.0.0.1" });
    let unmarked = "-m mark ! --mark 0x539/0xfff";
    let (mut raw, mut inbound, mut outbound) = (Vec::new(), Vec::new(), Vec::new());
    for name in interfaces(given) {
        inbound.push(format!("-i {name} -p tcp -j REDIRECT --to-ports 15001"));
        inbound.push(format!("-i {name} -p tcp -j RETURN"));
    }
    outbound.push(format!("-d {probe} -p tcp -j ACCEPT"));
    if is_captured_inbound(given) {
        inbound.push(format!("-s {probe} -p tcp -j ACCEPT"));
        inbound.push(format!("! -d {loopback} -p tcp ! --dport 15008 {unmarked} -j REDIRECT --to-ports 15006"));
    }
    if dns(given) {
        outbound.push(format!("! -o lo -p udp --dport 53 {unmarked} -j REDIRECT --to-ports 15053"));
        outbound.push(format!("! -d {loopback} -p tcp --dport 53 {unmarked} -j REDIRECT --to-ports 15053"));
        raw.push("ISTIO_OUTPUT -p udp --dport 53 -m mark --mark 0x539/0xfff -j CT --zone 1".to_owned());
        raw.push(format!("ISTIO_PRERT -p udp --sport 53 {unmarked} -j CT --zone 1"));
    }
    outbound.push("-p tcp -m mark --mark 0x111/0xfff -j ACCEPT".to_owned());
    outbound.push(format!("! -d {loopback} -o lo -j ACCEPT"));
    outbound.push(format!("! -d {loopback} -p tcp {unmarked} -j REDIRECT --to-ports 15001"));
    let mangle = vec![
        "ISTIO_OUTPUT -m connmark --mark 0x111/0xfff -j CONNMARK --restore-mark --nfmask 0xffffffff \
         --ctmask 0xffffffff"
            .to_owned(),
        "ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff".to_owned(),
    ];
    let nat = inbound.into_iter().map(|rule| format!("ISTIO_PRERT {rule}"));
    let nat = nat.chain(outbound.into_iter().map(|rule| format!("ISTIO_OUTPUT {rule}"))).collect();
    let tables = [("mangle", mangle), ("raw", raw), ("nat", nat)];
    let text = |(table, rules): (&str, Vec<String>)| {
        let rules: String = rules.iter().map(|rule| format!("-A {rule}\n")).collect();
        format!(
            "*{table}\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_PRERT - [0:0]\n\
             -A PREROUTING -j ISTIO_PRERT\n-A OUTPUT -j ISTIO_OUTPUT\n{rules}COMMIT\n"
        )
    };
    tables.into_iter().filter(|(_, rules)| !rules.is_empty()).map(text).collect()
}

/// Returns the rules in a pod of the nftables backend. Without IPv6 they are in tables of IPv4,
/// where that backend has them in tables of both.
pub fn native(given: &Named<'_>) -> String {
    let families: Vec<(&str, &str, &str)> =
        [("ip", "127.0.0.1", probe(given, false)), ("ip6", "::1", probe(given, true))]
            .into_iter()
            .filter(|(family, _, _)| ipv6(given) || *family == "ip")
            .collect();
    let unmarked = "meta mark & 0xfff != 0x539";
    let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
    for name in interfaces(given) {
        inbound.push(format!("iifname \"{name}\" meta l4proto tcp redirect to :15001"));
        inbound.push(format!("iifname \"{name}\" meta l4proto tcp return"));
    }
    if is_captured_inbound(given) {
        inbound.extend(families.iter().map(|(ip, _, probe)| format!("meta l4proto tcp {ip} saddr {probe} accept")));
        inbound.extend(families.iter().map(|(ip, loopback, _)| {
            format!("{ip} daddr != {loopback} tcp dport != 15008 {unmarked} redirect to :15006")
        }));
    }
    outbound.extend(families.iter().map(|(ip, _, probe)| format!("meta l4proto tcp {ip} daddr {probe} accept")));
    if dns(given) {
        outbound.push(format!("oifname != \"lo\" {unmarked} udp dport 53 redirect to :15053"));
        outbound.extend(
            families.iter().map(|(ip, loopback, _)| {
                format!("{ip} daddr != {loopback} tcp dport 53 {unmarked} redirect to :15053")
            }),
        );
    }
    outbound.push("meta l4proto tcp meta mark & 0xfff == 0x111 accept".to_owned());
    outbound.extend(families.iter().map(|(ip, loopback, _)| format!("oifname \"lo\" {ip} daddr != {loopback} accept")));
    outbound.extend(
        families.iter().map(|(ip, loopback, _)| {
            format!("meta l4proto tcp {ip} daddr != {loopback} {unmarked} redirect to :15001")
        }),
    );
    let mut tables = vec![
        ("nat", "nat", "nat", ["-100", "-100"], inbound, outbound),
        (
            "mangle",
            "filter",
            "route",
            ["-150", "-150"],
            vec!["meta mark & 0xfff == 0x539 ct mark set ct mark & 0xfffff000 | 0x111".to_owned()],
            vec!["ct mark & 0xfff == 0x111 meta mark set ct mark".to_owned()],
        ),
    ];
    if dns(given) {
        let inbound = vec![format!("udp sport 53 {unmarked} ct zone set 1")];
        let outbound = vec!["udp dport 53 meta mark & 0xfff == 0x539 ct zone set 1".to_owned()];
        tables.push(("raw", "filter", "filter", ["-300", "-300"], inbound, outbound));
    }
    let family = if ipv6(given) { "inet" } else { "ip" };
    let chain = |name: &str, kind: &str, priority: &str, rules: &[String]| {
        format!(
            "chain {name} {{\ntype {kind} hook {name} priority {priority}; policy accept;\njump istio-{name}\n}}\n\
             chain istio-{name} {{\n{}\n}}\n",
            rules.join("\n")
        )
    };
    let table =
        |(name, first, second, priorities, inbound, outbound): &(&str, &str, &str, [&str; 2], Vec<_>, Vec<_>)| {
            format!(
                "table {family} istio-ambient-{name} {{\n{}{}}}\n",
                chain("prerouting", first, priorities[0], inbound),
                chain("output", second, priorities[1], outbound)
            )
        };
    tables.iter().map(table).collect()
}

/// Returns the rules of a family on a node, in the form of iptables-save, for pods by what
/// [`sets`] prints.
pub fn original_host(given: &Named<'_>, of_ipv6: bool) -> String {
    if of_ipv6 && !ipv6(given) {
        return String::new();
    }
    let (set, probe) = (if of_ipv6 { "v6" } else { "v4" }, probe(given, of_ipv6));
    format!(
        "*nat\n:POSTROUTING ACCEPT [0:0]\n:ISTIO_POSTRT - [0:0]\n-A POSTROUTING -j ISTIO_POSTRT\n\
         -A ISTIO_POSTRT -p tcp -m owner --socket-exists -m set --match-set istio-inpod-probes-{set} dst \
         -j SNAT --to-source {probe}\nCOMMIT\n"
    )
}

/// Returns the sets of a node in the form of `ipset save`.
pub fn sets(given: &Named<'_>, pods: &Named<'_>) -> String {
    let families = [("v4", "inet", false), ("v6", "inet6", true)];
    let families = families.into_iter().filter(|(_, _, of_ipv6)| ipv6(given) || !of_ipv6);
    let set = |(name, family, of_ipv6): (&str, &str, bool)| {
        let name = format!("istio-inpod-probes-{name}");
        let of = pods.iter().filter(|(address, _)| address.contains(':') == of_ipv6);
        let elements: String = of.map(|(address, uid)| format!("add {name} {address} comment \"{uid}\"\n")).collect();
        format!("create {name} hash:ip family {family} hashsize 1024 maxelem 65536 comment\n{elements}")
    };
    families.map(set).collect()
}
