//! Ambient's rules against those that Istio's agent installed: the same for every packet of both
//! families, but for the defects of that program, which are tests here and in `ambient_kernel`.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::mesh::Mesh;
use nftmesh::mesh::ambient::{AmbientConfig, AmbientNode, Inbound, NAT, tables};
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

    /// Returns what was installed: by the nftables backend, or by iptables.
    fn installed(&self) -> Ruleset {
        match self.file("nft.list") {
            Some(list) => list.parse().unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            None => saved(
                ["iptables-nft.save", "ip6tables-nft.save"]
                    .map(|name| self.file(name).unwrap_or_default())
                    .each_ref()
                    .map(String::as_str),
            ),
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
            _ if case.action.contains("host-create") => continue,
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
    assert!(cases.is_empty() || proven >= 15, "{proven}");
}
