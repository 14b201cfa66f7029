//! The example programs that are whole uses of the crate: each sets up what it says, and nft
//! lists it.

mod support;

use std::process::{Command, Stdio};

use support::running::Running;
use support::{assert_same, in_fresh_netns, nft, nft_script};

/// Runs an example and returns what it prints.
fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(support::example(name)).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints text")
}

#[test]
fn the_rules_of_a_vpn_a_forwarder_and_a_mesh_are_listed_as_they_print() {
    for (name, rules) in [("vpn", 93), ("forward", 14), ("mesh_init", 20)] {
        in_fresh_netns(|| {
            let printed = run(name, &["lo"]);
            assert_same(&printed, &nft("list ruleset"), name);
            let lines = printed.lines().filter(|line| line.starts_with("\t\t") && !line.contains(" hook "));
            assert_eq!(lines.count(), rules, "{printed}");
        });
    }
}

#[test]
fn a_container_network_is_taken_down_by_what_its_rules_say() {
    in_fresh_netns(|| {
        let printed = run("container", &[]);
        assert_eq!(printed.lines().filter(|line| line.starts_with("delete rule")).count(), 10, "{printed}");
        let listed = nft("list ruleset");
        assert!(!listed.contains("10.88.") && !listed.contains("web"), "{listed}");
        assert_eq!(listed.matches("10.89.0.0/16").count(), 5, "{listed}");
    });
}

#[test]
fn services_are_drawn_and_remembered() {
    in_fresh_netns(|| {
        let printed = run("services", &[]);
        assert!(printed.contains("numgen random mod 2 vmap") && printed.contains("update @affinity"), "{printed}");
        let listed = nft("list ruleset");
        assert!(listed.contains("numgen random mod 2 vmap @endpoints-ns1/svc1/tcp/p80"), "{listed}");
        assert_eq!(listed.matches("update @affinity-endpoint-ns1").count(), 2, "{listed}");
        assert!(listed.contains("meta mark set meta mark ^ 0x00004000"), "{listed}");
    });
}

#[test]
fn a_table_is_healed_by_a_program_on_tokio() {
    in_fresh_netns(|| {
        let mut heal = Running::start("heal", &[], Stdio::inherit());
        let put_back = "add rule inet guarded input tcp dport";
        heal.until(put_back);
        let healed = nft("list ruleset");
        nft("flush chain inet guarded input");
        heal.until("seen:");
        heal.until(put_back);
        assert_same(&healed, &nft("list ruleset"), "what was flushed is back");
        nft_script("table ip other { chain c { accept; }; }");
        heal.until("in sync");
        nft("flush ruleset");
        heal.until(put_back);
        assert_same(&healed, &nft("list ruleset"), "what was deleted is back");
        assert_eq!(heal.end("INT").0, Some(0));
    });
}
