//! Whole dumps: how much of them is read, other spellings, and different forms of files.

#![cfg(feature = "import")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::model::{IpFamily, Rule, Ruleset, Statement};
use support::{command, in_fresh_netns, succeed};

use IpFamily::{Ipv4 as V4, Ipv6 as V6};

/// Counts of the rules of a dump by how much of them is read.
#[derive(Default)]
struct Read {
    whole: usize,
    /// Rules of which parts are kept under their name.
    partly: usize,
    parts: BTreeMap<String, usize>,
    /// With the reason.
    not: Vec<String>,
}

/// Returns the parts of rules that are kept without being understood.
fn kept(ruleset: &Ruleset) -> Vec<String> {
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let texts = rules.flat_map(|rule| &rule.statements).map(|statement| match statement {
        Statement::Opaque(_) => Rule::new().statement(statement.clone()).to_string(),
        _ => String::new(),
    });
    texts.filter_map(|text| text.strip_prefix("xt ").map(|part| part.replace('"', ""))).collect()
}

impl Read {
    /// Imports every rule of a text separately, with all chains of the text.
    fn add(&mut self, text: &str, family: IpFamily) {
        let (mut table, mut chains) = (String::new(), String::new());
        for line in text.lines().map(str::trim) {
            if line.starts_with('*') {
                (table, chains) = (line.to_owned(), String::new());
            } else if line.starts_with(':') || line.starts_with("-N ") {
                writeln!(chains, "{line}").expect("a string");
            } else if line.starts_with("-A ") || line.starts_with('[') || line.starts_with("-I ") {
                let one = format!("{table}\n{chains}{line}\nCOMMIT\n").replace("-I ", "-A ");
                match (iptables_save(&one, family, Unknown::Refuse), iptables_save(&one, family, Unknown::KeepOpaque)) {
                    (Ok(_), _) => self.whole += 1,
                    (Err(_), Ok(read)) => {
                        self.partly += 1;
                        kept(&read.ruleset).into_iter().for_each(|part| *self.parts.entry(part).or_default() += 1);
                    }
                    (Err(_), Err(error)) => self.not.push(format!("{error}: {line}")),
                }
            }
        }
    }

    fn say(&self, what: &str) -> String {
        let Read { whole, partly, parts, not } = self;
        let parts: String = parts.iter().map(|(part, count)| format!("\n  {count} {part}")).collect();
        format!("{what}: {whole} rules whole, {partly} partly, {} not{parts}", not.len())
    }
}

/// Collects all files below a directory.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => files(&path, found),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn every_rule_of_the_dumps_beside_the_crate_is_read() {
    let names = ["istio-reference", "kuma-reference", "linkerd-reference", "ambient-reference", "findings"];
    let mut wrong = Vec::new();
    for name in names {
        let Some(directory) = support::skip_without(name) else { continue };
        let (mut all, mut read, mut dumps) = (Vec::new(), Read::default(), 0);
        files(&directory, &mut all);
        all.sort();
        for path in all {
            // Logs that mix two families are skipped.
            if !path.extension().is_some_and(|ending| ending == "save" || ending == "rules") {
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let is_dump =
                text.lines().any(|line| line.starts_with("COMMIT")) && text.lines().any(|line| line.starts_with('*'));
            if !is_dump {
                continue;
            }
            let family = if path.to_string_lossy().contains("ip6tables") { V6 } else { V4 };
            read.add(&text, family);
            if let Err(error) = iptables_save(&text, family, Unknown::KeepOpaque) {
                wrong.push(format!("{}: {error}", path.display()));
            }
            dumps += 1;
        }
        support::say(read.say(&format!("{name}, {dumps} dumps")));
        wrong.append(&mut read.not);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_of_node_programs_are_read_except_for_listed_parts() {
    let text: String = include_str!("import/cluster.rules").lines().fold(String::new(), |mut text, line| {
        if line.starts_with('*') && text.contains('*') {
            text.push_str("COMMIT\n");
        }
        text + line + "\n"
    });
    let text = text + "COMMIT\n";
    let mut read = Read::default();
    read.add(&text, V4);
    assert!(iptables_save(&text, V4, Unknown::KeepOpaque).is_ok());
    assert!(read.not.is_empty(), "{}", read.not.join("\n"));
    support::golden("import-cluster.txt", &format!("{}\n", read.say("a node")));
}

#[test]
fn other_accepted_spellings_are_read_as_the_printed_ones() {
    if !support::needs_root() {
        return;
    }
    let (mut same, mut wrong, mut skipped) = (0, Vec::new(), Vec::new());
    let lines = include_str!("import/accepted.rules").lines().filter(|line| !line.starts_with('#'));
    in_fresh_netns(|| {
        for line in lines {
            let (table, rule) = line.split_once(' ').expect("a table and a rule");
            let text = format!("*{table}\n-A {rule}\nCOMMIT\n");
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            fs::write(file.path(), &text).expect("it takes text");
            let loaded = command("iptables-nft-restore").arg(file.path()).output().expect("iptables is installed");
            if !loaded.status.success() {
                skipped.push(format!(
                    "{line}: {}",
                    String::from_utf8_lossy(&loaded.stderr).lines().next().unwrap_or_default()
                ));
                continue;
            }
            let saved = succeed("iptables-nft-save", &format!("-t {table}"), "");
            let listed = succeed("iptables-nft", &format!("-t {table} -S"), "");
            let rules = |text: &str| {
                let ruleset = iptables_save(text, V4, Unknown::Refuse).map_err(|error| error.to_string())?.ruleset;
                let chains = ruleset.tables.into_iter().flat_map(|table| table.chains);
                let rules = chains.flat_map(|chain| chain.rules).map(|mut rule| {
                    rule.statements.retain(|statement| !matches!(statement, Statement::Counter { .. }));
                    rule
                });
                Ok::<_, String>(rules.collect::<Vec<_>>())
            };
            let ours = rules(&text);
            if ours.is_err() || ours != rules(&saved) || ours != rules(&format!("*{table}\n{listed}COMMIT\n")) {
                wrong.push(format!("{line}: {ours:?}\n{saved}"));
            }
            same += 1;
        }
    });
    support::say(format!("{same} rules in other words; iptables refuses {}", skipped.join("; ")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(skipped.is_empty(), "{}", skipped.join("\n"));
}

#[test]
fn line_ends_and_blanks_do_not_matter_and_bad_bytes_have_a_position() {
    let plain = "# a comment\n*filter\n:INPUT DROP [1:2]\n:OWN - [0:0]\n[3:4] -A INPUT -p tcp -m comment --comment \"a b\" -j OWN\nCOMMIT\n*nat\nCOMMIT\n";
    let read = |text: &str| iptables_save(text, V4, Unknown::Refuse);
    let expected = read(plain).expect("it is good").ruleset;
    for (what, text) in [
        ("CRLF", plain.replace('\n', "\r\n")),
        ("blanks at the ends", plain.replace('\n', " \t\n")),
        ("empty lines", plain.replace('\n', "\n\n")),
        ("no last line end", plain.trim_end().to_owned()),
        ("blanks between words", plain.replace(" -j", "   -j")),
    ] {
        assert_eq!(read(&text).map(|imported| imported.ruleset), Ok(expected.clone()), "{what}");
    }
    for (what, text, place) in [
        ("NUL in a rule", plain.replace("a b", "a\0b"), (5, 46)),
        ("NUL after a table", plain.replace("*filter", "*filter\0"), (2, 8)),
        ("the mark of a byte order", format!("\u{feff}{plain}").replace("# a comment\n", ""), (1, 1)),
        ("a table that is cut off", plain.split("COMMIT").next().unwrap_or_default().to_owned(), (6, 1)),
        ("bytes of no text", plain.replace("-p tcp", "-p \u{fffd}"), (5, 19)),
    ] {
        let error = read(&text).expect_err(what);
        assert_eq!((error.line, error.column), place, "{what}: {error}");
        assert!(!error.to_string().contains(['\n', '\0']) && error.to_string().len() < 300, "{what}: {error}");
    }
    // Ten megabytes, of many lines and of one.
    let many =
        "-A INPUT -s 10.0.0.1/32 -p tcp -m conntrack --ctorigdst 10.0.0.2/32 -j ACCEPT\n".repeat(10_000_000 / 78);
    let imported = read(&format!("*filter\n:INPUT ACCEPT\n{many}COMMIT\n")).expect("it is good");
    let chains = imported.ruleset.tables.iter().flat_map(|table| &table.chains);
    assert_eq!(chains.map(|chain| chain.rules.len()).sum::<usize>(), 10_000_000 / 78);
    let long = read(&format!("*filter\n-A INPUT -m recent --name {} --set\nCOMMIT\n", "x".repeat(10_000_000)));
    let error = long.expect_err("no name is that long").to_string();
    assert!(error.len() < 300, "{} bytes", error.len());
}
