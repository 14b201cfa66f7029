//! The defects of Istio's agent in ambient pods, each shown not to be here. Their numbers are
//! those of the recordings; those of the node are in `ambient_host`, and those that a rule set
//! alone shows in `ambient`.
//!
//! Two cannot apply: nothing here needs nft or its JSON (18), and no program is run (19).

#![cfg(feature = "mesh")]

#[path = "support/changing.rs"]
mod changing;
mod support;

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use changing::{none_passes_while_changing, with_an_address};
use nftmesh::kernel::NetNs;
use nftmesh::mesh::ambient::{AmbientConfig, AmbientNode, Inbound, tables};
use nftmesh::mesh::{Held, Mesh};
use nftmesh::pod::{Leftovers, Pod};
use support::patience::comes_true;
use support::{in_fresh_netns, ip, nft, nft_script, succeed};

fn builder() -> nftmesh::mesh::ambient::AmbientConfigBuilder {
    AmbientConfig::builder()
}

fn ambient() -> AmbientConfig {
    builder().build().expect("valid")
}

fn open() -> Pod {
    Pod::open().expect("netlink sockets")
}

#[track_caller]
fn install(pod: &mut Pod, config: &AmbientConfig) {
    pod.install(config).expect("it installs");
    assert_in_sync(pod, config);
}

#[track_caller]
fn assert_in_sync(pod: &mut Pod, config: &AmbientConfig) {
    let plan = pod.plan(config, Leftovers::Keep).expect("it reads");
    assert!(plan.is_in_sync(), "{plan}");
}

#[track_caller]
fn assert_empty() {
    assert_eq!(nft("list ruleset"), "");
    for rules in ["rule", "-6 rule"] {
        assert!(!ip(rules).contains("fwmark"), "{}", ip(rules));
    }
    assert_eq!(ip("route show table all").matches("table 100").count(), 0);
    assert_eq!(ip("-6 route show table all").matches("table 100").count(), 0);
}

/// Defect 1: a second copy of the rules in another backend.
#[test]
fn installing_again_changes_nothing_and_makes_no_table_of_others() {
    in_fresh_netns(|| {
        install(&mut open(), &ambient());
        let before = nft("-a list ruleset");
        for _ in 0..3 {
            assert!(open().install(&ambient()).expect("it installs").is_empty());
        }
        assert_eq!(nft("-a list ruleset"), before);
        assert_eq!(open().kernel().tables().expect("they list").len(), 3);
        assert!(NetNs::current().and_then(|here| here.legacy_tables()).expect("they list").is_empty());
    });
}

/// Defects 2 and 10: old rules stay, and so does the table raw.
#[test]
fn another_configuration_leaves_exactly_its_own_rules() {
    in_fresh_netns(|| {
        let virt = || builder().virtual_interfaces(["virt+", "tap0"].map(|name| name.parse().expect("a name")));
        let mut configs = Vec::new();
        for ipv6 in [true, false] {
            for dns in [true, false] {
                for inbound in [Inbound::Captured, Inbound::Bypassed] {
                    configs.push(virt().ipv6(ipv6).dns_capture(dns).inbound(inbound).build().expect("valid"));
                    configs.push(builder().ipv6(ipv6).dns_capture(dns).inbound(inbound).build().expect("valid"));
                }
            }
        }
        let mut pod = open();
        for (index, config) in configs.iter().enumerate() {
            // From every configuration to many others.
            for other in configs.iter().skip(index % 3).step_by(3) {
                install(&mut pod, config);
                install(&mut pod, other);
                let wanted = other.rules();
                assert_eq!(pod.kernel().tables().expect("they list").len(), wanted.tables.len(), "{wanted}");
            }
        }
        pod.remove().expect("it removes");
        assert_empty();
    });
}

/// Defect 2: a rule that was removed is not put back.
#[test]
fn a_rule_that_was_removed_is_put_back() {
    in_fresh_netns(|| {
        let mut pod = open();
        install(&mut pod, &ambient());
        let installed = nft("list ruleset");
        for destruction in [
            "flush chain inet istio-ambient-nat istio-output",
            "flush chain inet istio-ambient-nat prerouting",
            "delete table inet istio-ambient-mangle",
            "flush ruleset",
        ] {
            nft_script(destruction);
            assert!(!pod.plan(&ambient(), Leftovers::Keep).expect("it reads").is_in_sync(), "{destruction}");
            install(&mut pod, &ambient());
        }
        for destruction in ["rule del priority 32764", "-6 route flush table 100"] {
            ip(destruction);
            assert!(!pod.plan(&ambient(), Leftovers::Keep).expect("it reads").is_in_sync(), "{destruction}");
            install(&mut pod, &ambient());
        }
        let sorted = |text: &str| -> Vec<String> {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&nft("list ruleset")), sorted(&installed));
    });
}

/// Defect 3: packets are dropped while rules change, and for ever when the agent dies meanwhile.
#[test]
fn connections_never_fail_nor_escape_while_rules_change() {
    in_fresh_netns(|| {
        with_an_address();
        none_passes_while_changing(&[
            ambient(),
            builder().inbound(Inbound::Bypassed).build().expect("valid"),
            builder().dns_capture(false).build().expect("valid"),
            builder().virtual_interfaces(["virt+".parse().expect("a name")]).build().expect("valid"),
        ]);
        let left = nft("list ruleset");
        assert!(!left.contains("drop"), "{left}");
    });
}

/// Defect 4: the redirect before the accept of 0x111 counts as in sync.
#[test]
fn the_order_of_rules_counts() {
    in_fresh_netns(|| {
        let mut pod = open();
        install(&mut pod, &ambient());
        let listed = nft("-a list chain inet istio-ambient-nat istio-output");
        let answers = listed.lines().find(|line| line.contains("0x00000111")).expect("the rule of answers");
        let (rule, handle) = answers.trim().split_once(" # handle ").expect("a handle");
        nft_script(&format!(
            "delete rule inet istio-ambient-nat istio-output handle {handle}\nadd rule inet istio-ambient-nat istio-output {rule}"
        ));
        assert!(!pod.plan(&ambient(), Leftovers::Keep).expect("it reads").is_in_sync());
        install(&mut pod, &ambient());
    });
}

/// Defect 5: a foreign accept above the jump is not noticed.
#[test]
fn rules_of_others_that_come_first_are_reported() {
    in_fresh_netns(|| {
        succeed("iptables-nft", "-t nat -A OUTPUT -d 10.0.0.1 -j ACCEPT", "");
        nft_script(
            "table ip other { chain c { type nat hook output priority -150; ip daddr 10.0.0.2 tcp dport 80 redirect to :7; }; }",
        );
        let mut pod = open();
        let changes = pod.install(&ambient()).expect("it installs");
        let report: Vec<String> = changes.precedence.lines().collect();
        assert!(
            report.iter().any(|line| line.contains("10.0.0.1") && line.contains("ambient has none")),
            "{report:#?}"
        );
        assert!(report.iter().any(|line| line.contains("chain ip other c")), "{report:#?}");
        assert_in_sync(&mut pod, &ambient());
    });
}

/// Defect 6: with a policy rule for IPv4 there, the one for IPv6 is not added.
#[test]
fn each_family_has_its_routes_whatever_the_other_has() {
    for there in ["rule", "-6 rule"] {
        in_fresh_netns(|| {
            ip(&format!("{there} add fwmark 0x111/0xfff lookup 100 priority 32764"));
            let mut pod = open();
            install(&mut pod, &ambient());
            for rules in ["rule", "-6 rule"] {
                let printed = ip(rules);
                assert_eq!(printed.matches("32764:\tfrom all fwmark 0x111/0xfff lookup 100").count(), 1, "{printed}");
            }
            // What others put there stays.
            pod.remove().expect("it removes");
            assert!(ip(there).contains("fwmark 0x111/0xfff"));
        });
    }
}

/// Defect 7: removing twice is an error, and removing after others leaves the IPv6 rule.
#[test]
fn removing_again_or_what_others_removed_is_no_error() {
    in_fresh_netns(|| {
        for destruction in ["", "rule del priority 32764", "-6 rule del priority 32764", "route flush table 100"] {
            let mut pod = open();
            install(&mut pod, &ambient());
            if !destruction.is_empty() {
                ip(destruction);
            }
            pod.remove().expect("it removes");
            assert_empty();
            assert!(pod.remove().expect("it removes").is_empty());
            assert!(pod.remove_tables(&tables()).expect("it removes").is_empty());
        }
    });
}

/// Defect 8: with lo down the rules are in, the route is not, and they stay.
#[test]
fn all_is_installed_or_nothing() {
    in_fresh_netns(|| {
        ip("link set lo down");
        let error = open().install(&ambient()).expect_err("lo is down");
        assert!(error.to_string().contains("ip link set lo up"), "{error}");
        assert_empty();
        ip("link set lo up");
        // Nobody else's rules may have the name of a chain of ours.
        nft_script("table inet istio-ambient-nat { flags dormant; map prerouting { type ipv4_addr : verdict; }; }");
        install(&mut open(), &ambient());
        open().remove().expect("it removes");
        assert_empty();
    });
}

/// Defect 9: with IPv6 off some of it is captured. And lo may have none.
#[test]
fn ipv6_is_untouched_where_it_is_off() {
    in_fresh_netns(|| {
        let off = builder().ipv6(false).build().expect("valid");
        let mut pod = open();
        install(&mut pod, &ambient());
        install(&mut pod, &off);
        let left = nft("list ruleset");
        assert!(!left.contains("table inet") && !left.contains("ip6"), "{left}");
        assert!(!ip("-6 rule").contains("fwmark") && !ip("-6 route show table all").contains("table 100"));
        std::fs::write("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1").expect("a sysctl");
        install(&mut pod, &ambient());
        assert!(ip("rule").contains("fwmark") && !ip("-6 rule").contains("fwmark"));
    });
}

/// Defect 11: rules of both backends, of which removal leaves one without its routes.
#[test]
fn what_istio_installed_is_replaced() {
    in_fresh_netns(|| {
        // Its nftables backend has the same tables.
        nft_script(
            "table inet istio-ambient-nat {\nchain output {\ntype nat hook output priority -100; jump istio-output\n}\n\
             chain istio-output {\nmeta l4proto tcp counter redirect to :1\n}\n}\n\
             table inet istio-ambient-raw {\nchain istio-output {\nudp dport 53 ct zone set 1\n}\n}\n",
        );
        let saved = "*nat\n:OUTPUT ACCEPT [0:0]\n:ISTIO_OUTPUT - [0:0]\n-A OUTPUT -j ISTIO_OUTPUT\n\
            -A ISTIO_OUTPUT -p tcp -m mark ! --mark 0x539/0xfff -j REDIRECT --to-ports 15001\nCOMMIT\n\
            *mangle\n:PREROUTING ACCEPT [0:0]\n:ISTIO_PRERT - [0:0]\n-A PREROUTING -j ISTIO_PRERT\n\
            -A ISTIO_PRERT -m mark --mark 0x539/0xfff -j CONNMARK --set-xmark 0x111/0xfff\nCOMMIT\n";
        succeed("iptables-nft-restore", "", saved);
        succeed("ip6tables-nft-restore", "", saved);
        let mut pod = open();
        let plan = pod.plan(&ambient(), Leftovers::Keep).expect("it reads");
        assert!(plan.to_string().contains("left behind by Istio's agent"), "{plan}");
        let changes = pod.install_over(&ambient(), Leftovers::Remove).expect("it installs");
        assert!(!changes.leftovers_removed.is_empty());
        assert_in_sync(&mut pod, &ambient());
        let left = nft("list ruleset");
        assert!(!left.contains("ISTIO") && !left.contains("redirect to :1 "), "{left}");
        pod.remove().expect("it removes");
        assert!(!nft("list ruleset").contains("istio"));
    });
}

/// Defect 12: `virt+` fails, and a long name fails half way.
#[test]
fn interface_names_are_parsed_before_anything_is_changed() {
    let node = AmbientNode::from_vars([("AMBIENT_IPV6", "true")]).expect("valid");
    let name = "istio.io/reroute-virtual-interfaces";
    for wrong in ["aaaaaaaaaaaaaaaa", "virt0,a/b", "a b", "x\"; drop", "+", "a:1", "..", "virt0, aaaaaaaaaaaaaaaa+"] {
        let error = node.pod([(name, wrong)]).expect_err(wrong);
        assert!(error.is_invalid() && error.to_string().contains(name), "{error}");
    }
    in_fresh_netns(|| {
        for right in ["virt+", "virt0, virt1", " ,virt0,, ", "aaaaaaaaaaaaaaa", "vir+,virt0,virt*", "a-b.c_d@e"] {
            install(&mut open(), &node.pod([(name, right)]).expect(right));
        }
        for none in ["", " ", ",,"] {
            install(&mut open(), &node.pod([(name, none)]).expect("no interface"));
            assert!(!nft("list ruleset").contains("iifname"), "{none:?}");
        }
    });
}

/// Defect 21: pods that are annotated have no rules after a restart.
#[test]
fn the_annotation_of_a_pod_that_was_set_up_is_not_trusted() {
    let node = AmbientNode::from_vars([("AMBIENT_DNS_CAPTURE", "true"), ("AMBIENT_IPV6", "true")]).expect("valid");
    let enabled = node.pod([("ambient.istio.io/redirection", "enabled")]).expect("valid");
    assert_eq!(enabled, ambient());
    in_fresh_netns(|| {
        assert!(!open().plan(&enabled, Leftovers::Keep).expect("it reads").is_in_sync());
        install(&mut open(), &enabled);
    });
}

/// An option of ours: connections wait for ztunnel instead of being refused.
#[test]
fn connections_can_be_held_until_ztunnel_listens() {
    in_fresh_netns(|| {
        ip("link add out0 type veth peer name out1");
        ip("addr add 10.77.0.2/24 dev out0");
        ip("link set out0 up");
        let mut pod = open();
        pod.install(&Held::new(Arc::new(ambient()))).expect("it installs");
        let place = NetNs::current().expect("a namespace");
        thread::scope(|scope| {
            let client = scope.spawn(|| place.run(|| TcpStream::connect("10.77.0.9:9000").map(drop)));
            let dropped = |line: &str| line.contains("counter packets") && !line.contains("packets 0 bytes 0");
            let is_held = || nft("list table inet mesh-hold").lines().any(dropped);
            assert!(comes_true(is_held), "{}", nft("list ruleset"));
            let _ztunnel = TcpListener::bind("127.0.0.1:15001").expect("the port is free");
            install(&mut pod, &ambient());
            client.join().expect("the client").expect("its namespace").expect("it is not refused");
        });
        assert_eq!(pod.kernel().tables().expect("they list").len(), 3);
    });
}
