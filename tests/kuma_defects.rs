//! The defects of `kumactl install transparent-proxy`, each shown not to be here. Their numbers are
//! those of the recordings.

#![cfg(feature = "mesh")]

#[path = "support/changing.rs"]
mod changing;
#[path = "support/kuma.rs"]
mod kuma;
mod support;

use changing::{none_passes_while_changing, with_an_address};
use kuma::{BOTH, facts, original};
use nftmesh::kernel::NetNs;
use nftmesh::mesh::Mesh;
use nftmesh::mesh::kuma::{KumaConfig, KumaFlags};
use nftmesh::pod::{Leftovers, Pod};
use support::{in_fresh_netns, nft, succeed};

fn config(words: &str) -> KumaConfig {
    let config = KumaFlags::parse(words.split_whitespace(), [("", ""); 0]);
    config.and_then(|flags| flags.resolve(&facts(BOTH))).unwrap_or_else(|error| panic!("{words}: {error}"))
}

fn open() -> Pod {
    Pod::open().expect("netlink sockets")
}

/// Defects 1 and 3: 30 programs, a transaction for each family, and empty tables of iptables-legacy.
#[test]
fn both_families_are_one_commit_and_no_table_of_others_is_made() {
    in_fresh_netns(|| {
        let mut pod = open();
        for words in
            ["", "--redirect-dns --drop-invalid-packets", "--exclude-inbound-ports 22,80", "--vnet br+:10.0.0.0/8"]
        {
            let before = pod.kernel().generation().expect("it reads");
            pod.install(&config(words)).expect("it installs");
            assert_eq!(pod.kernel().generation().expect("it reads").0, before.0 + 1, "{words}");
        }
        assert_eq!(pod.kernel().tables().expect("they list").len(), 1);
        assert!(NetNs::current().and_then(|here| here.legacy_tables()).expect("they list").is_empty());
    });
}

/// Defect 2: a second run removes all, then installs: a gap.
#[test]
fn no_connection_passes_the_proxy_while_rules_change() {
    in_fresh_netns(|| {
        with_an_address();
        let configs = [
            "",
            "--redirect-all-dns-traffic --exclude-outbound-ports 1-300,7000-8999",
            "--ip-family-mode ipv4",
            "--exclude-outbound-ips 10.78.0.0/16,10.80.0.0/16 --exclude-outbound-ports-for-uids 1001-1005",
            "--redirect-inbound=false --drop-invalid-packets",
        ];
        none_passes_while_changing(&configs.map(config));
    });
}

/// Defects 4 and 6: a rule for each port, no ranges of ports, and comments by which rules are
/// recognised, so that what was installed without them cannot be removed.
#[test]
fn a_list_is_one_rule_with_ranges_and_removal_needs_no_comments() {
    let ports: Vec<String> = (1..=21).map(|port| (port * 100).to_string()).collect();
    let list = format!("{},8000-8010", ports.join(","));
    let words = format!("--disable-comments --exclude-inbound-ports {list} --exclude-outbound-ports {list}");
    let text = config(&words).rules().to_string();
    assert_eq!(text.matches("2100").count(), 2, "a rule at each hook: {text}");
    assert!(text.contains("8010"), "{text}");
    in_fresh_netns(|| {
        // Those of kumactl without comments, too.
        for (program, ipv6) in [("iptables-nft-restore", false), ("ip6tables-nft-restore", true)] {
            succeed(program, "", &original("--redirect-dns", ipv6, &facts(BOTH)));
        }
        let mut pod = open();
        pod.install_over(&config(&words), Leftovers::Remove).expect("it installs");
        assert!(!nft("list ruleset").contains("KUMA_MESH"));
        pod.remove().expect("it removes");
        assert!(!nft("list ruleset").contains("kuma-mesh"));
    });
}

/// Defect 5: every packet is logged.
#[test]
fn iptables_logs_logs_nothing_for_every_packet() {
    assert_eq!(config("--iptables-logs"), config(""));
    assert!(!config("--iptables-logs").rules().to_string().contains("log"));
}
