//! Without IPv6 the tables are of family ip, with it of family inet: what IPv6 packets meet, and
//! the change from one family to the other.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::net::SocketAddr;

use nftmesh::kernel::Kernel;
use nftmesh::mesh::istio::{InboundPorts, Interception, IstioConfig, ServiceCidrs};
use nftmesh::model::{ChainKind, Family, Nfproto, Priority, Rule, Ruleset, Table, TableId};
use nftmesh::pod::{Leftovers, Pod as Installer};
use sidecar::{CASES, apply, config};
use support::{in_fresh_netns, needs_root, nft, nft_script, succeed};
use traffic::{Listeners, Pod, Who, under_load};

/// Returns the number of IPv6 connections that the pod tracks.
fn tracked() -> usize {
    let connections = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").expect("conntrack is listed");
    connections.lines().filter(|line| line.starts_with("ipv6 ")).count()
}

const V4_ONLY: &[&str] = &[
    "-m REDIRECT -i '*' -b '*'",
    "-m TPROXY -i '*' -b '*'",
    "-m TPROXY -i '*' -b '*' --drop-invalid --redirect-dns --capture-all-dns",
    "-m REDIRECT -i '*' -b '*' --redirect-dns",
];

#[test]
fn tables_of_both_families_at_once_break_connections_with_tproxy() {
    // Why a change of family is one commit: see ARCHITECTURE.md.
    if !needs_root() {
        return;
    }
    let options = "-m TPROXY -i '*' -b '*'";
    let pod = Pod::new();
    pod.serving(Listeners::All, || {
        let app = "10.77.0.2:8080".parse().expect("an address");
        pod.run(|| apply(&config(&format!("ISTIO_DUAL_STACK=true {options}"), "")));
        let answer = pod.connect(Who::Gateway, app);
        assert!(answer.starts_with("ENVOY_IN "), "{answer}");
        pod.run(|| nft_script(&Ruleset::from(&config(options, "")).to_string()));
        let answer = pod.connect(Who::Gateway, app);
        assert!(!answer.starts_with("ENVOY_IN "), "{answer}");
    });
}

#[test]
fn disabled_ipv6_meets_no_rule_and_no_connection_tracking() {
    if !needs_root() {
        return;
    }
    for options in V4_ONLY {
        let pod = Pod::new();
        pod.run(|| apply(&config(options, "nameserver 10.77.0.1\n")));
        pod.serving(Listeners::All, || {
            for to in ["[fd77::1]:9000", "[fd77::2]:8080", "[::1]:8080"] {
                let answer = pod.connect(Who::App, to.parse().expect("an address"));
                assert!(answer.starts_with("REMOTE ") || answer.starts_with("APP "), "{options} {to}: {answer}");
                assert!(answer.contains("orig=none"), "{options} {to}: {answer}");
            }
            let inbound = pod.connect(Who::Gateway, "[fd77::2]:8080".parse().expect("an address"));
            assert!(inbound.starts_with("APP "), "{options}: {inbound}");
            let outbound = pod.connect(Who::App, "10.77.0.1:9000".parse().expect("an address"));
            assert!(outbound.starts_with("ENVOY_OUT "), "{options}: {outbound}");
            pod.run(|| {
                assert_eq!(tracked(), 0, "{options}");
                let rules = nft("list ruleset");
                assert!(!rules.contains("notrack") && !rules.contains("table inet"), "{options}: {rules}");
                assert_eq!(rules.contains("istio-proxy-raw"), options.contains("dns"), "{options}: {rules}");
            });
        });
    }
}

#[test]
fn firewalls_and_translations_of_ipv6_work_beside_the_sidecar_in_both_orders() {
    if !needs_root() {
        return;
    }
    let remote: SocketAddr = "[fd77::1]:9000".parse().expect("an address");
    let translated: SocketAddr = "[fd77::99]:81".parse().expect("an address");
    let stateful = || {
        for rule in [
            "-p icmpv6 -j ACCEPT",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-i lo -j ACCEPT",
            "-j REJECT",
        ] {
            succeed("ip6tables-nft", &format!("-A INPUT {rule}"), "");
        }
        succeed("ip6tables-nft", "-t nat -A OUTPUT -p tcp --dport 81 -j DNAT --to-destination [fd77::1]:9000", "");
    };
    for options in V4_ONLY {
        let sidecar = || apply(&config(options, "nameserver 10.77.0.1\n"));
        let orders: [[&(dyn Fn() + Sync); 3]; 2] = [[&sidecar, &stateful, &sidecar], [&stateful, &sidecar, &sidecar]];
        for order in orders {
            let pod = Pod::new();
            pod.serving(Listeners::All, || {
                for step in order {
                    pod.run(step);
                }
                for to in [remote, translated] {
                    // The first attempt may be lost to neighbour discovery.
                    let mut answers = std::iter::repeat_with(|| pod.connect(Who::App, to)).take(3);
                    let answer = answers.find(|answer| answer != "TIMEOUT").unwrap_or_default();
                    assert!(answer.starts_with("REMOTE "), "{options}: {to}: {answer}");
                }
                let refused = pod.connect(Who::Gateway, "[fd77::2]:8080".parse().expect("an address"));
                assert!(!refused.starts_with("APP "), "{options}: {refused}");
            });
        }
    }
}

/// Returns the rules of an earlier version of this crate: always family inet, the usual priorities,
/// and disabled IPv6 untracked.
fn earlier(config: &IstioConfig) -> Ruleset {
    let mut rules = Ruleset::from(config);
    if !config.ipv6 && rules.tables.iter().all(|table| table.name != "istio-proxy-raw") {
        let base =
            |name, hook| nftmesh::model::Chain::base(name, nftmesh::model::ChainType::Filter, hook, Priority(-301));
        let raw = Table::new(Family::Ip, "istio-proxy-raw");
        let raw = raw.chain(base("prerouting", nftmesh::model::Hook::Prerouting));
        rules.tables.insert(0, raw.chain(base("output", nftmesh::model::Hook::Output)));
    }
    for table in &mut rules.tables {
        let is_raw = table.name == "istio-proxy-raw";
        table.family = Family::Inet;
        for chain in &mut table.chains {
            let ChainKind::Base(base) = &mut chain.kind else { continue };
            base.priority = Priority(base.priority.0 + 1);
            if is_raw && !config.ipv6 {
                chain.rules.insert(0, Rule::new().nfproto(Nfproto::IPV6).counter().notrack());
            } else if !config.ipv6 {
                for rule in &mut chain.rules {
                    let guard = Rule::new().nfproto(Nfproto::IPV4);
                    rule.statements.splice(0..0, guard.statements);
                }
            }
        }
    }
    rules
}

/// Both families, both ways of capture, and lists of destinations.
fn configurations() -> Vec<IstioConfig> {
    let mut all = Vec::new();
    for interception in [Interception::Redirect, Interception::Tproxy] {
        for services in ["0.0.0.0/0", "10.77.0.0/16 10.96.0.0/12"] {
            let ranges = services.split(' ').map(|range| range.parse().expect("a CIDR"));
            let ports = InboundPorts::All { except: [15021].into_iter().collect() };
            let builder = IstioConfig::builder().interception(interception).inbound_ports(ports);
            let builder = builder.service_cidrs(ServiceCidrs::only(ranges));
            all.extend([builder.clone(), builder.ipv6()].map(|builder| builder.build().expect("valid")));
        }
    }
    all
}

#[test]
fn a_change_of_family_is_one_apply_that_no_connection_bypasses() {
    if !needs_root() {
        return;
    }
    let configurations = configurations();
    let pod = Pod::new();
    let mut installer = pod.run(|| Installer::open().expect("sockets in the pod"));
    installer.install(configurations.first().expect("there are some")).expect("installed");
    let (load, count) = under_load(&pod, 4, || {
        let mut count = 0;
        for _ in 0..rounds() {
            for from in &configurations {
                for to in configurations.iter().filter(|to| to.ipv6 != from.ipv6) {
                    installer.install(from).expect("installed");
                    installer.install(to).expect("changed");
                    count += 2;
                    let plan = installer.plan(to, Leftovers::Keep).expect("readable");
                    assert!(plan.is_in_sync(), "{from:?} to {to:?}\n{plan}");
                    let family = if to.ipv6 { "inet" } else { "ip" };
                    let tables = nft("list tables");
                    assert!(tables.lines().all(|line| line.starts_with(&format!("table {family} "))), "{tables}");
                }
            }
        }
        count
    });
    println!("{count} changes: {load:?}");
    assert_eq!((load.escaped, load.failed, load.broken), (0, 0, 0), "{load:?}");
    assert!(load.proxied > 500, "{load:?}");
}

#[test]
fn rules_of_an_earlier_version_are_replaced_in_one_apply_and_cleaned_up() {
    if !needs_root() {
        return;
    }
    let configurations = configurations();
    let pod = Pod::new();
    let (mut installer, mut kernel) =
        pod.run(|| (Installer::open().expect("sockets in the pod"), Kernel::open().expect("a socket")));
    installer.install(configurations.first().expect("there are some")).expect("installed");
    let (load, count) = under_load(&pod, 4, || {
        let mut count = 0;
        for _ in 0..rounds() {
            for config in &configurations {
                for before in &configurations {
                    // Install the earlier version without a gap too: the routes stay.
                    installer.install(before).expect("installed");
                    kernel.apply_owned(&earlier(before), &Installer::tables()).expect("valid rules");
                    installer.install(config).expect("upgraded");
                    count += 1;
                    assert!(installer.plan(config, Leftovers::Keep).expect("readable").is_in_sync());
                }
            }
        }
        count
    });
    println!("{count} upgrades: {load:?}");
    assert_eq!((load.escaped, load.failed, load.broken), (0, 0, 0), "{load:?}");
    pod.run(|| {
        for config in &configurations {
            kernel.apply_owned(&earlier(config), &Installer::tables()).expect("valid rules");
            installer.remove().expect("removed");
            assert_eq!(nft("list ruleset"), "");
        }
    });
}

/// Number of rounds; the soak runs many.
fn rounds() -> usize {
    std::env::var("NFTMESH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

#[test]
fn leftovers_of_the_other_family_are_reported_and_removed() {
    in_fresh_netns(|| {
        let mut installer = Installer::open().expect("sockets");
        for case in CASES {
            let config = config(case.options, "nameserver 10.255.255.53");
            let other = if config.ipv6 { Family::Ip } else { Family::Inet };
            installer.install(&config).expect("installed");
            nft(&format!("add table {} istio-proxy-mangle", other.name()));
            let plan = installer.plan(&config, Leftovers::Keep).expect("readable").to_string();
            assert_eq!(plan, format!("- delete table {} istio-proxy-mangle\n", other.name()), "{}", case.name);
            let changes = installer.install(&config).expect("installed");
            assert_eq!(changes.removed, [TableId::new(other, "istio-proxy-mangle")], "{}", case.name);
            nft(&format!("add table {} istio-proxy-raw", other.name()));
            installer.remove().expect("removed");
            assert_eq!(nft("list ruleset"), "", "{}", case.name);
        }
    });
}
