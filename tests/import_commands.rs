//! Texts of commands: input that iptables-restore accepts beyond what iptables-save prints, the
//! output of `iptables -S`, and logs of programs that run iptables. Each is compared with the real
//! programs.

#![cfg(feature = "import")]

mod support;

use nftmesh::import::{Unknown, iptables_save};
use nftmesh::model::{Chain, IpFamily, Rule, Ruleset};
use support::{in_fresh_netns, succeed};

fn import(text: &str) -> Ruleset {
    let imported = iptables_save(text, IpFamily::Ipv4, Unknown::Refuse);
    imported.unwrap_or_else(|error| panic!("{error}\n{text}")).ruleset
}

/// Returns tables, non-trivial chains and their rules, in an order independent of the text.
fn meaning(ruleset: &Ruleset) -> Vec<(String, String, Vec<Rule>)> {
    let is_used = |chain: &&Chain| !chain.rules.is_empty() || !is_open(chain);
    let mut all = Vec::new();
    for table in &ruleset.tables {
        for chain in table.chains.iter().filter(is_used) {
            let kind = format!("{} {} {:?}", table.name, chain.name, chain.kind);
            all.push((table.name.to_string(), kind, chain.rules.clone()));
        }
    }
    all.sort_by(|one, other| one.1.cmp(&other.1));
    all
}

/// Returns whether a built-in chain has only its default policy.
fn is_open(chain: &Chain) -> bool {
    let open = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    open.contains(&chain.name.as_str()) && !format!("{:?}", chain.kind).contains("Drop")
}

/// As an init container logs it.
const RESTORED: &str = "\
* nat
-N REDIRECTED
-N OUT
-A REDIRECTED -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j REDIRECTED
-A OUTPUT -p udp -j RETURN
-F OUTPUT
-A OUTPUT -p tcp -j OUT
-A OUT -o lo ! -d 127.0.0.1/32 -m owner --uid-owner 1337 -j REDIRECTED
-I OUT 1 -m owner --uid-owner 1337 -j RETURN
-I OUT 2 -d 127.0.0.1/32 -j RETURN
COMMIT
* filter
-P FORWARD DROP
-A INPUT -m state --state INVALID -j DROP
COMMIT
";

#[test]
fn input_of_iptables_restore_is_imported_as_iptables_loads_it() {
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        // It accepts all of it except for the blank after the asterisk.
        succeed("iptables-nft-restore", "", &RESTORED.replace("* ", "*"));
        assert_eq!(meaning(&import(RESTORED)), meaning(&import(&succeed("iptables-nft-save", "", ""))));
    });
}

#[test]
fn output_of_iptables_s_is_imported_as_that_of_iptables_save() {
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        succeed("iptables-nft-restore", "", &RESTORED.replace("* ", "*"));
        let saved = import(&succeed("iptables-nft-save", "", ""));
        for counters in ["", " -v"] {
            let filter = succeed("iptables-nft", &format!("-S{counters}"), "");
            let nat = succeed("iptables-nft", &format!("-t nat -S{counters}"), "");
            let listed = import(&format!("{filter}*nat\n{nat}COMMIT\n"));
            let without_counters = |ruleset: &Ruleset| {
                let mut all = meaning(ruleset);
                let rules = all.iter_mut().flat_map(|(.., rules)| rules);
                rules
                    .for_each(|rule| rule.statements.retain(|statement| !statement.to_string().starts_with("counter")));
                all
            };
            assert_eq!(without_counters(&listed), without_counters(&saved), "{filter}{nat}");
        }
    });
}

#[test]
fn a_log_of_commands_is_imported_as_its_effect() {
    let commands = [
        "iptables -t nat -N PROXY_INIT",
        "/sbin/iptables -w -t nat -A PROXY_INIT -p tcp -j REDIRECT --to-port 4143 -m comment --comment \"to the proxy\"",
        "iptables-nft -w 5 -t nat -I PREROUTING 1 -j PROXY_INIT",
        "iptables -P FORWARD DROP",
        "iptables-nft -A INPUT -p tcp --dport 80 -j ACCEPT -t filter",
        "iptables --table mangle -A OUTPUT -j MARK --set-mark 5",
    ];
    let ours = import(&commands.join("\n"));
    assert_eq!(ours.tables.len(), 3);
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        for command in commands {
            let (_, words) = command.split_once(' ').expect("a program and its words");
            // A shell would remove the quotes.
            let mut parts = words.split('"');
            let mut all: Vec<&str> = parts.next().unwrap_or_default().split_whitespace().collect();
            all.extend(parts.next());
            let done = support::command("iptables-nft").args(all).output().expect("iptables is installed");
            assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        }
        assert_eq!(meaning(&ours), meaning(&import(&succeed("iptables-nft-save", "", ""))));
    });
}
