//! The twelve recorded cases, proven: what the real `istio-iptables` installed and what this crate
//! makes of the same options does the same with every packet, at every hook, IPv4 and IPv6.
//!
//! The reference's defects are wanted differences; [`DEFECTS`] says of each why no packet of these
//! cases shows it. One is shown by every case of TPROXY, and is mended in the recording: see
//! [`mended`]. Nothing is left out of the comparisons, and a comparison that finds nothing is worth
//! what it can find: take any one rule away from the recording and it says so, but for the few that
//! no packet needs.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use std::fs;

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::sim::{Comparison, Rules, compare};
use recorded::{mended, refusals};
use sidecar::{CASES, Case};

/// Defects of the reference by number, and why these rule sets are equal nevertheless.
const DEFECTS: [(u32, &str, &str); 19] = [
    (1, "TPROXY without a listener lets traffic through", "its nftables backend; iptables drops, as we do"),
    (
        2,
        "IPv6 is captured although it is off",
        "its nftables backend; its ip6tables have no rules then, and ours touch nothing",
    ),
    (3, "dry-run applies", "what a run does, not what its rules do"),
    (4, "drop-invalid only for TCP", "its nftables backend; not among the options of these cases"),
    (5, "an IPv6 nameserver in an IPv4 pod fails", "its nftables backend; not among these cases"),
    (6, "stale tables after a change of mode", "the recordings begin with an empty pod"),
    (7, "a second run installs a second copy", "the recordings are of a first run"),
    (8, "a second run repeats the ip rule", "routes are not rules"),
    (9, "reconciling drops packets", "what a run does, not what its rules do"),
    (10, "a hex mark leaves routes out", "no case has one"),
    (11, "64 owner groups fail", "no case has so many"),
    (12, "interface prefixes and port ranges fail", "no case has them"),
    (13, "21 processes", "what a run does, not what its rules do"),
    (14, "the order of rules does not count as drift", "the recordings are of a first run"),
    (15, "routes come after rules", "what a run does, not what its rules do"),
    (16, "TPROXY takes a SYN on an old entry for established", "mended in the recording"),
    (17, "whoever registers a nat chain later comes first", "its nftables backend, and what others do"),
    (18, "only an IPv6 nameserver gives zones without a redirect", "no case has one"),
    (19, "a SYN on an old entry that was not translated passes the proxy", "mended in the recording"),
];

/// The nameserver of the recordings.
const RESOLV_CONF: &str = "nameserver 10.255.255.53";

fn ours(case: &Case) -> Rules {
    Rules::try_from(&Ruleset::from(&sidecar::config(case.options, RESOLV_CONF))).expect("every rule has a program")
}

/// Returns the recorded rules of the reference, as text for each family.
fn recorded(case: &Case) -> [String; 2] {
    ["ipv4", "ipv6"].map(|family| recorded::as_save(case.name, family))
}

#[track_caller]
fn theirs(case: &Case, texts: [&str; 2]) -> Rules {
    let mut both = as_they_are(case, texts);
    for (text, family) in texts.into_iter().zip([IpFamily::Ipv4, IpFamily::Ipv6]) {
        both.tables.extend(refusals(text, family).tables);
    }
    Rules::try_from(&both).expect("every rule has a program")
}

/// Imports the rules of the reference, which do not refuse a SYN that NAT does not see.
#[track_caller]
fn as_they_are(case: &Case, [ipv4, ipv6]: [&str; 2]) -> Ruleset {
    let mut both = Ruleset::new();
    for (text, family) in [(ipv4, IpFamily::Ipv4), (ipv6, IpFamily::Ipv6)] {
        let imported =
            iptables_save(text, family, Unknown::Refuse).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        both.tables.extend(imported.ruleset.tables);
    }
    both
}

#[test]
fn the_twelve_cases_equal_the_rules_of_the_reference() {
    let mut proven = 0;
    for case in CASES {
        let [ipv4, ipv6] = recorded(case).map(|text| mended(&text));
        match compare(&ours(case), &theirs(case, [&ipv4, &ipv6])) {
            Comparison::Equivalent { classes, outside: 0 } => {
                support::say(format_args!("{}: the same, {classes} classes of packets", case.name))
            }
            other => panic!("{}: {other}", case.name),
        }
        proven += 1;
    }
    for (number, defect, reason) in DEFECTS {
        support::say(format_args!("defect {number}: {defect}: not to be seen here: {reason}"));
    }
    assert_eq!(proven, 12);
}

#[test]
fn unchanged_tproxy_recordings_differ_only_in_a_syn_on_an_old_entry() {
    let mut reported = 0;
    for case in CASES {
        let [ipv4, ipv6] = recorded(case);
        match compare(&ours(case), &theirs(case, [&ipv4, &ipv6])) {
            Comparison::Equivalent { .. } => {
                assert_eq!(mended(&ipv4), format!("{}\n", ipv4.trim_end()), "{}", case.name)
            }
            Comparison::Differs(difference) => {
                let printed = difference.to_string();
                let first = printed.lines().next().unwrap_or_default();
                let established = first.contains("state established") || first.contains("state related");
                assert!(first.contains("tcp") && !first.contains("flags") && established, "{}: {printed}", case.name);
                reported += 1;
            }
            other => panic!("{}: {other}", case.name),
        }
    }
    assert_eq!(reported, 3, "the cases of TPROXY");
}

#[test]
fn without_refusals_every_recording_lets_a_syn_past_the_proxy() {
    for case in CASES {
        let [ipv4, ipv6] = recorded(case).map(|text| mended(&text));
        let theirs = Rules::try_from(&as_they_are(case, [&ipv4, &ipv6])).expect("every rule has a program");
        let Comparison::Differs(difference) = compare(&ours(case), &theirs) else { panic!("{}: equal", case.name) };
        let printed = difference.to_string();
        support::say(format_args!("{}: {printed}", case.name));
        assert!(printed.contains("istio-refuse"), "{}: {printed}", case.name);
    }
}

/// Rules of the reference that no packet needs: its tunnel rule where nothing inbound is redirected
/// by default, its exclusions of UDP ports where no UDP is captured, and two of the three rules for
/// the second owner, after those for the first (see mesh/istio/rules/nat).
const NEEDLESS: [&str; 9] = [
    "redirect-cidr: -A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN",
    "redirect-cidr: -A ISTIO_OUTPUT -p udp -m udp --dport 22 -j RETURN",
    "redirect-cidr: -A ISTIO_OUTPUT -p udp -m udp --dport 3306 -j RETURN",
    "redirect-cidr: -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
    "redirect-cidr: -A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN",
    "redirect-dns: -A ISTIO_OUTPUT -o lo -p tcp -m tcp ! --dport 53 -m owner ! --gid-owner 1337 -j RETURN",
    "tproxy: -A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN",
    "tproxy: -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
    "tproxy: -A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN",
];

#[test]
fn a_recording_without_one_of_its_rules_differs() {
    let (mut needed, mut needless) = (0, Vec::new());
    for case in CASES.iter().filter(|case| ["redirect-cidr", "redirect-dns", "tproxy"].contains(&case.name)) {
        let ours = ours(case);
        let [ipv4, ipv6] = recorded(case).map(|text| mended(&text));
        for line in ipv4.lines().filter(|line| line.starts_with("-A")) {
            let without: String = ipv4.lines().filter(|other| *other != line).map(|line| format!("{line}\n")).collect();
            match compare(&ours, &theirs(case, [&without, &ipv6])) {
                Comparison::Differs(_) => needed += 1,
                Comparison::Equivalent { .. } => needless.push(format!("{}: {line}", case.name)),
                other => panic!("{}: {line}: {other}", case.name),
            }
        }
    }
    support::say(format_args!("{needed} rules are missed when they are gone, {} are not", needless.len()));
    assert_eq!(needless, NEEDLESS);
}

#[test]
fn the_rules_in_the_repository_are_those_of_the_recordings() {
    let Some(dir) = support::shared_dir() else { return };
    let file = recorded::file();
    for case in CASES {
        for (family, name) in [("ipv4", "iptables-nft.save"), ("ipv6", "ip6tables-nft.save")] {
            let path = dir.join("cases").join(case.name).join(name);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut table = "";
            let mut rules = Vec::new();
            for line in text.lines() {
                table = line.strip_prefix('*').unwrap_or(table);
                rules.extend(line.strip_prefix("-A ").map(|rule| format!("{table} {rule}")));
            }
            let ours: Vec<_> = recorded::section(&file, case.name, family).collect();
            assert_eq!(ours, rules, "{} {family}", case.name);
        }
    }
}
