//! The sidecar beside other programs that translate, mark and set zones: it comes first, whoever
//! registered first and with whatever tool.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::net::SocketAddr;

use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::Ruleset;
use sidecar::{CASES, apply, config};
use support::{command, needs_root, nft_script, say, succeed};
use traffic::{Listeners, Pod, Who};

/// Another program: the name of its tool, and a function that adds its rules.
type Others = (&'static str, fn());

/// They redirect the application's inbound and outbound connections elsewhere.
const TRANSLATORS: [Others; 4] = [
    ("iptables", || {
        for (program, pod, remote) in
            [("iptables-nft", "10.77.0.2", "10.77.0.1"), ("ip6tables-nft", "[fd77::2]", "[fd77::1]")]
        {
            let rules = format!(
                "*nat\n:DOCKER - [0:0]\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
                 -A DOCKER -p tcp -m tcp --dport 8080 -j DNAT --to-destination {pod}:15021\n\
                 -A OUTPUT -p tcp -m tcp --dport 9000 -j DNAT --to-destination {remote}:53\nCOMMIT\n"
            );
            succeed(&format!("{program}-restore"), "--noflush", &rules);
        }
    }),
    ("iptables, in front of everything", || {
        for (program, pod, remote) in
            [("iptables-nft", "10.77.0.2", "10.77.0.1"), ("ip6tables-nft", "[fd77::2]", "[fd77::1]")]
        {
            for rule in [
                format!("PREROUTING -p tcp --dport 8080 -j DNAT --to-destination {pod}:15021"),
                format!("OUTPUT -p tcp --dport 9000 -j DNAT --to-destination {remote}:53"),
            ] {
                succeed(program, &format!("-t nat -I {rule}"), "");
            }
        }
    }),
    ("iptables of the older kind", || {
        let rules = [
            "PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 15021",
            "OUTPUT -p tcp --dport 9000 -j REDIRECT --to-ports 15021",
        ];
        for program in ["iptables-legacy", "ip6tables-legacy"] {
            for rule in rules {
                let words = format!("-t nat -A {rule}");
                let output = command(program).args(words.split(' ')).output();
                if !output.is_ok_and(|output| output.status.success()) {
                    // A kernel without legacy tables has no such rules either.
                    nft_script("table inet others");
                    return say(format_args!("SKIP: no {program} here"));
                }
            }
        }
    }),
    ("nft", || {
        nft_script(
            "table inet others {
                chain in {
                    type nat hook prerouting priority dstnat; policy accept;
                    tcp dport 8080 redirect to :15021
                }
                chain out {
                    type nat hook output priority -100; policy accept;
                    meta nfproto ipv4 tcp dport 9000 dnat ip to 10.77.0.1:53
                    meta nfproto ipv6 tcp dport 9000 dnat ip6 to [fd77::1]:53
                }
            }",
        );
    }),
];

/// Runs `body` with the sidecar and the other program installed in both orders, and after a second
/// run of the sidecar.
fn in_both_orders(options: &str, others: fn(), body: impl Fn(&Pod, &str)) {
    let sidecar = || apply(&config(options, "nameserver 10.77.0.1\nnameserver fd77::1\n"));
    for (order, first) in [("the sidecar came first", true), ("the others came first", false)] {
        let pod = Pod::new();
        pod.run(|| {
            if first {
                sidecar();
            }
            others();
            sidecar();
        });
        pod.serving(Listeners::All, || body(&pod, order));
    }
}

fn to(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

#[test]
fn foreign_translations_take_no_captured_connection_in_either_order() {
    if !needs_root() {
        return;
    }
    for mode in ["REDIRECT", "TPROXY"] {
        for (tool, others) in TRANSLATORS {
            in_both_orders(&format!("ISTIO_DUAL_STACK=true -m {mode} -i '*' -b '*'"), others, |pod, order| {
                for (who, address, expected) in [
                    (Who::Gateway, "10.77.0.2:8080", "ENVOY_IN "),
                    (Who::Gateway, "[fd77::2]:8080", "ENVOY_IN "),
                    (Who::App, "10.77.0.1:9000", "ENVOY_OUT "),
                    (Who::App, "[fd77::1]:9000", "ENVOY_OUT "),
                ] {
                    let answer = pod.connect(who, to(address));
                    assert!(answer.starts_with(expected), "{mode}, {tool}, {order}: {who} to {address}: {answer}");
                }
            });
        }
    }
}

#[test]
fn foreign_translations_apply_to_what_the_sidecar_excludes() {
    if !needs_root() {
        return;
    }
    for (tool, others) in TRANSLATORS.into_iter().filter(|(tool, _)| !tool.contains("older")) {
        in_both_orders("ISTIO_DUAL_STACK=true -i '*' -b '*' -d 8080 -o 9000", others, |pod, order| {
            for (who, address, expected) in [
                (Who::Gateway, "10.77.0.2:8080", "ENVOY_15021 "),
                (Who::Gateway, "[fd77::2]:8080", "ENVOY_15021 "),
                (Who::App, "10.77.0.1:9000", "REMOTEDNS "),
                (Who::App, "[fd77::1]:9000", "REMOTEDNS "),
            ] {
                let answer = pod.connect(who, to(address));
                assert!(answer.starts_with(expected), "{tool}, {order}: {who} to {address}: {answer}");
            }
        });
    }
}

#[test]
fn foreign_zones_keep_agent_and_application_apart() {
    if !needs_root() {
        return;
    }
    let iptables: fn() = || {
        for program in ["iptables-nft", "ip6tables-nft"] {
            succeed(program, "-t raw -I OUTPUT -p udp --dport 53 -j CT --zone 9", "");
            succeed(program, "-t raw -I PREROUTING -p udp --sport 53 -j CT --zone 9", "");
        }
    };
    let nft: fn() = || {
        nft_script(
            "table inet others {
                chain out { type filter hook output priority raw; udp dport 53 ct zone set 9; }
                chain in { type filter hook prerouting priority raw; udp sport 53 ct zone set 9; }
            }",
        );
    };
    for (tool, others) in [("iptables", iptables), ("nft", nft)] {
        in_both_orders("ISTIO_DUAL_STACK=true -i '*' --redirect-dns", others, |pod, order| {
            for server in ["10.77.0.1:53", "[fd77::1]:53"] {
                for (who, expected) in [(Who::App, "AGENTDNS "), (Who::Proxy, "REMOTEDNS ")] {
                    let answer = pod.send_from(who, 5300, to(server));
                    assert!(answer.starts_with(expected), "{tool}, {order}: {who} {server}: {answer}");
                }
            }
        });
    }
}

#[test]
fn foreign_marks_leave_inbound_with_the_proxy() {
    if !needs_root() {
        return;
    }
    let iptables: fn() = || {
        for program in ["iptables-nft", "ip6tables-nft"] {
            succeed(program, "-t mangle -A PREROUTING -j MARK --set-mark 0x1", "");
        }
    };
    let nft: fn() = || {
        nft_script(
            "table inet others { chain in { type filter hook prerouting priority mangle; meta mark set 0x1; }; }",
        );
    };
    for (tool, others) in [("iptables", iptables), ("nft", nft)] {
        in_both_orders("ISTIO_DUAL_STACK=true -m TPROXY -i '*' -b '*'", others, |pod, order| {
            for address in ["10.77.0.2:8080", "[fd77::2]:8080"] {
                let answer = pod.connect(Who::Gateway, to(address));
                assert!(answer.starts_with("ENVOY_IN "), "{tool}, {order}: {address}: {answer}");
            }
        });
    }
}

#[test]
fn every_base_chain_is_one_before_the_usual_priority() {
    let options = CASES.iter().map(|case| case.options.to_owned());
    for options in options.chain(["-m TPROXY --drop-invalid --drop-invalid-outbound --redirect-dns".to_owned()]) {
        let config: IstioConfig = config(&options, "nameserver 10.77.0.1\n");
        for table in &Ruleset::from(&config).tables {
            for base in table.chains.iter().filter_map(|chain| chain.hooked()) {
                let usual = match table.name.as_str().trim_start_matches("istio-proxy-") {
                    "raw" => -300,
                    "mangle" => -150,
                    _ => -100,
                };
                assert_eq!(base.priority.0, usual - 1, "{options}: {base:?}");
            }
        }
    }
}
