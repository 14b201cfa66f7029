//! Ambient's rules against those that Istio's agent installed: the same for every packet of both
//! families, but for the defects of that program, which are tests here and in `ambient_kernel`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientConfig, AmbientHost, AmbientNode, Inbound, NAT};
use nftmesh::model::{Family, IpFamily, Ruleset};
use nftmesh::routes::RoutePlan;
use nftmesh::sim::{Comparison, Rules, compare};

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

/// Returns what `iptables-save` and `ip6tables-save` print, as rules.
#[track_caller]
fn saved([ipv4, ipv6]: [&str; 2]) -> Ruleset {
    let mut rules = Ruleset::new();
    for (text, family) in [(ipv4, IpFamily::Ipv4), (ipv6, IpFamily::Ipv6)] {
        let imported = iptables_save(text, family, Unknown::Refuse).expect("rules that can be imported");
        rules.tables.extend(imported.ruleset.tables);
    }
    rules
}

#[track_caller]
fn compared(ours: &Ruleset, theirs: &Ruleset) -> Comparison {
    let [ours, theirs] = [ours, theirs].map(|rules| Rules::try_from(rules).expect("every rule has a program"));
    compare(&ours, &theirs)
}

#[track_caller]
fn assert_equal(name: &str, ours: &Ruleset, theirs: &Ruleset) {
    match compared(ours, theirs) {
        Comparison::Equivalent { classes, outside: 0 } => {
            support::say(format_args!("{name}: the same, {classes} classes of packets"));
        }
        other => panic!("{name}: {other}\n{ours}\n{theirs}"),
    }
}

#[track_caller]
fn assert_differ(name: &str, ours: &Ruleset, theirs: &Ruleset) {
    let comparison = compared(ours, theirs);
    assert!(matches!(comparison, Comparison::Differs(_)), "{name}: {comparison}");
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

    /// Writes the contents of sets of ipset in place of their names: one rule for each element.
    fn with_sets(&self, saved: String) -> String {
        let sets = self.file("ipset.save").unwrap_or_default();
        let elements: Vec<Vec<&str>> =
            sets.lines().filter_map(|line| Some(line.strip_prefix("add ")?.split(' ').collect())).collect();
        let mut text = String::new();
        for line in saved.lines() {
            let mut known = elements.iter().filter_map(|words| {
                let [set, address, ..] = words.as_slice() else { return None };
                let lookup = format!("-m set --match-set {set} dst");
                line.contains(&lookup).then(|| line.replace(&lookup, &format!("-d {address}")))
            });
            match known.next() {
                Some(first) => [first].into_iter().chain(known).for_each(|line| text += &format!("{line}\n")),
                None => text += &format!("{line}\n"),
            }
        }
        text
    }

    /// Returns what was installed: by the nftables backend, or by iptables.
    fn installed(&self) -> Ruleset {
        match self.file("nft.list") {
            Some(list) => list.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            None => {
                let saves = ["iptables-nft.save", "ip6tables-nft.save"];
                let [ipv4, ipv6] = saves.map(|name| self.with_sets(self.file(name).unwrap_or_default()));
                saved([&ipv4, &ipv6])
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
