//! The rules of the sidecar as text, for every case of the reference, and their invariants.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use nftmesh::bytecode::lower;
use nftmesh::mesh::istio::{InboundPorts, IstioConfig, OwnerGroups, PortRanges, ServiceCidrs};
use nftmesh::model::{Ruleset, Statement};
use sidecar::{CASES, config};
use support::{assert_same, golden, in_fresh_netns, nft, nft_script, sys};

const NAMESERVERS: &str = "nameserver 10.255.255.53\n";

#[test]
fn every_case_of_the_reference_has_its_rules() {
    for case in CASES {
        golden(&format!("istio-{}.nft", case.name), &Ruleset::from(&config(case.options, NAMESERVERS)).to_string());
    }
}

#[test]
fn nft_lists_the_rules_as_they_print() {
    for case in CASES {
        in_fresh_netns(|| {
            let text = Ruleset::from(&config(case.options, NAMESERVERS)).to_string();
            nft_script(&text);
            assert_same(&text, &nft("list ruleset"), case.name);
        });
    }
}

#[test]
fn every_rule_has_a_comment_and_a_counter_and_every_chain_is_used() {
    for case in CASES {
        let rules = Ruleset::from(&config(case.options, NAMESERVERS));
        for table in &rules.tables {
            for (chain, rule) in table.chains.iter().flat_map(|chain| chain.rules.iter().map(move |rule| (chain, rule)))
            {
                let what = format!("{} {} {rule}", case.name, chain.name);
                lower(rule, table.family, table.sets.as_slice()).expect(&what);
                assert!(rule.comment.as_deref().is_some_and(|why| !why.is_empty() && why.len() <= 128), "{what}");
                let counts = rule.statements.iter().filter(|part| matches!(part, Statement::Counter { .. }));
                assert_eq!(counts.count(), 1, "{what}");
            }
            for chain in table.chains.iter().filter(|chain| chain.hooked().is_none()) {
                let goes =
                    |part: &Statement| matches!(part, Statement::Verdict(to) if to.target() == Some(&chain.name));
                let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
                assert!(rules.any(|rule| rule.statements.iter().any(goes)), "{} {}", case.name, chain.name);
            }
        }
    }
}

#[test]
fn without_counters_only_the_counters_are_missing() {
    let config = || IstioConfig::builder().service_cidrs(ServiceCidrs::All);
    let mut with = Ruleset::from(&config().build().expect("valid"));
    let without = Ruleset::from(&config().without_counters().build().expect("valid"));
    assert_ne!(with, without);
    let rules = with.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules);
    rules.for_each(|rule| rule.statements.retain(|part| !matches!(part, Statement::Counter { .. })));
    assert_eq!(with, without);
}

#[test]
fn a_list_of_any_length_is_one_rule() {
    let lists = |entries: u32| {
        let ports: Vec<u16> = (1..=entries).map(|entry| 2 * u16::try_from(entry).expect("few")).collect();
        let range = |entry: u32| format!("10.{}.{}.0/24", entry / 256, entry % 256).parse().expect("a CIDR");
        let config = IstioConfig::builder()
            .inbound_ports(InboundPorts::All { except: ports.iter().copied().collect() })
            .outbound_ports_exclude(ports.iter().copied().collect::<PortRanges>())
            .outbound_ports(ports.iter().copied().collect::<PortRanges>())
            .service_cidrs(ServiceCidrs::only((0..entries).map(range)))
            .exclude_cidrs((0..entries).map(range))
            .exclude_interfaces((0..entries).map(|entry| format!("out{entry}")))
            .kube_virt_interfaces((0..entries).map(|entry| format!("tap{entry}")))
            .owner_groups(OwnerGroups::Except((0..entries).collect()))
            .proxy_uids(0..entries)
            .build();
        let rules = Ruleset::from(&config.expect("valid"));
        let text = rules.to_string();
        in_fresh_netns(|| assert_eq!(nft_script(&text), ""));
        rules.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum::<usize>()
    };
    assert_eq!(lists(1), lists(2));
    // In a user namespace nft may not enlarge its send buffer: "Message too long".
    let most = if sys::entered() == Ok(sys::Entered::AsRoot) { 3000 } else { 200 };
    assert_eq!(lists(2), lists(most));
}

#[test]
fn prefixes_and_ranges_are_sets_that_nft_reads() {
    let options = "-m TPROXY -c veth+,eth5 -k tap+ -i 0.0.0.0/0,::/0 -x 10.0.0.0/8,fd00::/8,fd00::/9,fe80::/10 -b 1-1000,8080 -o 7000-7999 \
        ISTIO_DUAL_STACK=true --drop-invalid --redirect-dns --capture-all-dns ISTIO_OUTBOUND_OWNER_GROUPS=7,8";
    for options in [options.to_owned(), options.replace("TPROXY", "REDIRECT").replace("ISTIO_DUAL_STACK=true", "")] {
        in_fresh_netns(|| {
            let text = Ruleset::from(&config(&options, NAMESERVERS)).to_string();
            nft_script(&text);
            assert_same(&text, &nft("list ruleset"), &options);
        });
    }
}
