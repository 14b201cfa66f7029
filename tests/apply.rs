//! The example `apply`: a file of nft without nft, as a difference.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import"))]

mod support;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use support::{example, in_fresh_netns, nft, nft_script};

/// Runs the example; returns whether it succeeded, what it printed, and what it complained of.
fn apply(words: &[&str], stdin: &str) -> (bool, String, String) {
    let mut child = std::process::Command::new(example("apply"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(stdin.as_bytes()).expect("it reads");
    drop(pipe);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

const FILE: &str = "#!/usr/sbin/nft -f
flush ruleset
include \"names-*.nft\"
table inet filter {
	set allowed { type ipv4_addr; flags interval; elements = { $internal } }
	chain input {
		type filter hook input priority filter; policy accept;
		iif lo accept
		ip saddr @allowed tcp dport { ssh, 443 } counter accept
		tcp dport 25 counter drop
	}
}
";

#[test]
fn a_file_is_applied_as_a_difference_and_counters_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("names-1.nft"), "define internal = { 10.0.0.0/8, 192.168.0.0/16 }\n").expect("written");
    fs::write(path("names-2.nft"), "define unused = 1\n").expect("written");
    let file = FILE.replace("names-", &path("names-"));
    fs::write(path("rules.nft"), &file).expect("written");
    in_fresh_netns(|| {
        nft_script("table ip other { chain c { counter; }\n}");
        let (ok, plan, said) = apply(&["--plan", &path("rules.nft")], "");
        assert!(ok && plan.contains("delete table ip other\n") && plan.contains("tcp dport 25"), "{plan}{said}");
        assert!(nft("list ruleset").contains("table ip other"), "a plan changes nothing");
        assert_eq!(apply(&["--check", &path("rules.nft")], ""), (true, String::new(), String::new()));
        assert!(nft("list ruleset").contains("table ip other"), "a check changes nothing");
        assert_eq!(apply(&[&path("rules.nft")], ""), (true, String::new(), String::new()));
        let ours = nft("list ruleset");
        nft(&format!("-f {}", path("rules.nft")));
        assert_eq!(nft("list ruleset"), ours, "nft makes the same of it");

        // A rule that stays keeps its handle and its counts, and nothing changes twice.
        nft_script("flush ruleset");
        nft_script(&file.replace("tcp dport 25 counter", "tcp dport 25 counter packets 7 bytes 420"));
        let handles = nft("-a list ruleset");
        let changed = file.replace("443 }", "443, 8443 }");
        assert_eq!(apply(&["-"], &changed), (true, String::new(), String::new()));
        let after = nft("-a list ruleset");
        assert!(after.contains("22, 443, 8443") && after.contains("packets 7 bytes 420"), "{after}");
        let drop = |listing: &str| listing.lines().find(|line| line.contains("dport 25")).map(str::to_owned);
        assert_eq!(drop(&after), drop(&handles));
        assert_eq!(apply(&["--plan", "-"], &changed), (true, String::new(), String::new()));

        // Without the flush other tables stay.
        nft_script("table ip other { chain c { counter; }\n}");
        let own = changed.replace("flush ruleset\n", "");
        assert_eq!(apply(&["-"], &own), (true, String::new(), String::new()));
        assert!(nft("list ruleset").contains("table ip other"));
    });
}

#[test]
fn a_fault_is_shown_with_its_line_and_nothing_changes() {
    in_fresh_netns(|| {
        nft_script("table ip other { chain c { counter; }\n}");
        let before = nft("list ruleset");
        let (ok, printed, said) = apply(&["-"], "flush ruleset\ntable ip t {\n\tchain c { tcp dprot 80; }\n}\n");
        assert!(!ok && printed.is_empty(), "{printed}");
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(said.starts_with("apply: standard input: line 3, column 16: tcp \"dprot\""), "{said}");
        assert_eq!(nft("list ruleset"), before);
        let (ok, _, said) = apply(&["/nonexistent"], "");
        assert!(!ok && said.starts_with("apply: /nonexistent: No such file"), "{said}");
    });
}
