//! The order of two base chains of one priority: as the kernel lists it, as handles prove it, or
//! "cannot tell".

#![cfg(feature = "sim")]

mod support;

use std::net::UdpSocket;

use nftmesh::kernel::{Kernel, host};
use nftmesh::model::{Family, Hook, IpFamily, TableId};
use nftmesh::sim::{Comparison, Packet, Rules, Situation, Walker, compare, walk_hook};
use nftmesh::state::{HookFunction, HookList, Hooks};
use support::{in_fresh_netns, ip, nft_script};

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn read() -> Rules {
    let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
    Rules::try_from(&snapshot).expect("rules that can be lowered")
}

fn listed() -> Option<Hooks> {
    Kernel::open().and_then(|mut kernel| kernel.hooks()).expect("a list, or none")
}

/// Returns the end of the walk of a datagram over lo.
fn end(rules: &Rules) -> String {
    let host = host().expect("a netlink socket");
    let datagram = packet("udp 127.0.0.1:5000 -> 127.0.0.1:5001 uid 0 gid 0");
    Walker::new(rules, &host).send(datagram).end.to_string()
}

/// Returns whether the kernel drops such a datagram at output.
fn is_dropped() -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.send_to(b"x", "127.0.0.1:5001").is_err()
}

/// Returns whether this kernel lacks something that a script needs.
fn nft_refuses(script: &str) -> bool {
    let checked = support::command("nft").args(["-c", script]).output().expect("nft runs");
    !checked.status.success() && String::from_utf8_lossy(&checked.stderr).contains("not supported")
}

const SETS: &str = "meta mark set 7";
const ASKS: &str = "meta mark 7 drop";

#[test]
fn an_outcome_that_depends_on_table_order_needs_the_list_of_hooks() {
    in_fresh_netns(|| {
        ip("link set lo up");
        for (first, second, expected) in [(SETS, ASKS, false), (ASKS, SETS, true)] {
            nft_script("flush ruleset\nadd table ip a\nadd table inet b\n");
            // Neither the order of tables nor that of their handles decides.
            for (table, rule) in [("inet b", first), ("ip a", second)] {
                nft_script(&format!(
                    "add chain {table} c {{ type filter hook output priority 0; }}\nadd rule {table} c {rule}"
                ));
            }
            assert_eq!(is_dropped(), expected, "the last registered runs first");
            let rules = read();
            let printed = end(&rules);
            assert!(printed.starts_with("CANNOT TELL: in which order what has priority 0 runs ("), "{printed}");
            let compared = compare(&rules, &rules);
            assert!(matches!(compared, Comparison::CannotTell(_)), "{compared}");

            let known = [(Family::Ip, "a"), (Family::Inet, "b")];
            let chains = known.map(|(family, name)| HookFunction::chain(0, TableId::new(family, name).chain("c")));
            let mut hooks = Hooks::default();
            hooks.lists.push(HookList::new(IpFamily::Ipv4, Hook::Output, chains));
            for hooks in [Some(hooks), listed()].into_iter().flatten() {
                let reported = rules.clone().with_hooks(hooks);
                let printed = end(&reported);
                assert!(printed.starts_with(if expected { "DROPPED by inet b" } else { "DELIVERED" }), "{printed}");
                let compared = compare(&reported, &reported);
                assert!(matches!(compared, Comparison::Equivalent { .. }), "{compared}");
            }
        }
        if listed().is_none() {
            support::say("this kernel does not list its hooks: the order is given by hand");
        }
    });
}

#[test]
fn an_outcome_that_does_not_depend_on_table_order_is_known() {
    in_fresh_netns(|| {
        ip("link set lo up");
        let cases: &[(&[&str], &str)] = &[
            (&["counter", "counter accept"], "DELIVERED"),
            (&["counter", "udp dport 5001 drop"], "DROPPED by"),
            (&["drop", "udp dport 5001 drop"], "DROPPED by"),
            (&["accept", "udp dport 5001 drop"], "DROPPED by"),
            (&["meta mark set 7", "meta mark set 7"], "DELIVERED"),
            (&["meta mark set 7", "meta mark set 8"], "CANNOT TELL"),
            (&["meta mark set 7", "udp dport 5002 meta mark 7 drop"], "DELIVERED"),
            (&["meta mark set 7", "meta mark 7 drop"], "CANNOT TELL"),
            (&["reject", "drop"], "CANNOT TELL"),
            (&["meta mark set meta mark or 1", "meta mark set meta mark or 2", "counter"], "DELIVERED"),
            (&["ct state new drop", "counter"], "DROPPED by"),
        ];
        for (rules, expected) in cases {
            nft_script("flush ruleset");
            for (number, rule) in rules.iter().enumerate() {
                nft_script(&format!(
                    "table inet t{number} {{ chain c {{ type filter hook output priority 0; {rule}; }}; }}"
                ));
            }
            let rules_read = read();
            let printed = end(&rules_read);
            assert!(printed.starts_with(expected), "{rules:?}: {printed}, not {expected}");
            let is_dropped = is_dropped();
            assert!(expected.starts_with("CANNOT") || is_dropped == expected.starts_with("DROPPED"), "{rules:?}");
            // Only the order is missing: with the kernel's list every case is decided, and rightly.
            if let Some(hooks) = listed() {
                let printed = end(&rules_read.with_hooks(hooks));
                let fails = printed.starts_with("DROPPED") || printed.starts_with("REJECTED");
                assert!(fails || printed.starts_with("DELIVERED"), "{rules:?}: {printed}");
                assert_eq!(fails, is_dropped, "{rules:?}: {printed}");
            }
        }
    });
}

#[test]
fn nat_tables_of_one_priority_are_walked_only_where_they_agree() {
    in_fresh_netns(|| {
        ip("link set lo up");
        let cases = [
            ("udp dport 5001 redirect to :6001", "udp dport 5001 dnat to 127.0.0.1:6002", "CANNOT TELL"),
            ("udp dport 5001 redirect to :6001", "udp dport 5001 redirect to :6001", "DELIVERED to 127.0.0.1:6001"),
            (
                "udp dport 5001 redirect to :6001",
                "udp dport 5002 dnat to 127.0.0.1:6002",
                "DELIVERED to 127.0.0.1:6001",
            ),
            ("udp dport 5001 redirect to :6001", "udp dport 5001 accept", "DELIVERED to 127.0.0.1:6001"),
        ];
        for (one, other, expected) in cases {
            nft_script("flush ruleset");
            for (table, rule) in [("a", one), ("b", other)] {
                nft_script(&format!(
                    "table ip {table} {{ chain c {{ type nat hook output priority -100; {rule}; }}; }}"
                ));
            }
            let printed = end(&read());
            assert!(printed.starts_with(expected), "{one}, {other}: {printed}, not {expected}");
            if let Some(hooks) = listed() {
                let nat = TableId::new(Family::Ip, "a").chain("c");
                let at_output = hooks.at(IpFamily::Ipv4, Hook::Output).unwrap_or_default();
                let lists_nat = at_output.iter().any(|function| function.chain.as_ref() == Some(&nat));
                let printed = end(&read().with_hooks(hooks));
                // The table that was registered last translates first; not every kernel lists them.
                let is_decided = expected.starts_with("CANNOT") && lists_nat;
                let first = if is_decided { "DELIVERED to 127.0.0.1:6002" } else { expected };
                assert!(printed.starts_with(first), "{one}, {other}: {printed}, not {first}");
            }
        }
        // A chain at the same place as the translation, whose order no handle shows.
        nft_script("flush ruleset");
        nft_script(
            "table ip a { chain n { type nat hook output priority -100; udp dport 5001 redirect to :6001; }; \
             chain f { type filter hook output priority -100; udp dport 6001 drop; }; }",
        );
        assert!(end(&read()).starts_with("CANNOT TELL"), "{}", end(&read()));
        assert!(end(&read().made_at_once()).starts_with("DELIVERED"), "{}", end(&read().made_at_once()));
    });
}

#[test]
fn a_device_chain_ends_walks_through_its_device_unless_harmless() {
    in_fresh_netns(|| {
        ip("link set lo up");
        ip("link add eth0 type veth peer name eth1");
        for device in ["eth0", "eth1"] {
            ip(&format!("link set {device} up"));
        }
        ip("addr add 10.77.0.2/24 dev eth0");
        let arrives = |rules: &Rules, device: &str| {
            let host = host().expect("a netlink socket");
            let packet = packet("tcp 10.77.0.1:5 -> 10.77.0.2:80");
            Walker::new(rules, &host).receive(packet, device).end.to_string()
        };
        let leaves = |rules: &Rules| {
            let host = host().expect("a netlink socket");
            Walker::new(rules, &host).send(packet("tcp 10.77.0.2:5 -> 10.77.0.1:80")).end.to_string()
        };
        let cases = [
            ("inet n", "ingress device \"eth0\"", "drop", "CANNOT TELL", "SENT"),
            ("inet n", "ingress device \"eth1\"", "drop", "DELIVERED", "SENT"),
            ("inet n", "ingress device \"eth0\"", "tcp dport 80 counter accept", "DELIVERED", "SENT"),
            ("inet n", "ingress device \"eth0\"", "meta mark set 1", "CANNOT TELL", "SENT"),
            ("netdev n", "ingress device \"eth0\"", "tcp dport 22 drop", "CANNOT TELL", "SENT"),
            ("netdev n", "egress device \"eth0\"", "drop", "DELIVERED", "CANNOT TELL"),
            ("bridge n", "input", "drop", "CANNOT TELL", "CANNOT TELL"),
            ("bridge n", "input", "counter", "DELIVERED", "SENT"),
            ("arp n", "input", "drop", "DELIVERED", "SENT"),
        ];
        for (table, hook, rule, arriving, leaving) in cases {
            nft_script("flush ruleset");
            let script = format!("table {table} {{ chain c {{ type filter hook {hook} priority 0; {rule}; }}; }}");
            if hook.starts_with("egress") && nft_refuses(&script) {
                support::say("SKIP: this kernel has no egress (Linux 5.16)");
                continue;
            }
            nft_script(&script);
            let rules = read();
            let printed = [arrives(&rules, "eth0"), leaves(&rules)];
            assert!(
                printed[0].starts_with(arriving) && printed[1].starts_with(leaving),
                "{table} {hook} {rule}: {printed:?}"
            );
            if printed.iter().any(|printed| printed.starts_with("CANNOT")) {
                assert!(printed.iter().any(|printed| printed.contains(&format!("chain {table} c"))), "{printed:?}");
            }
        }
    });
}

#[test]
fn a_table_of_iptables_legacy_ends_the_walk_of_its_family() {
    in_fresh_netns(|| {
        ip("link set lo up");
        let cases = [("nat", "CANNOT TELL: what table ip nat of iptables-legacy does"), ("security", "CANNOT TELL")];
        for (table, expected) in cases {
            let printed = end(&read().with_legacy_tables([TableId::new(Family::Ip, table)]));
            assert!(printed.starts_with(expected), "{printed}");
        }
        let printed = end(&read().with_legacy_tables([TableId::new(Family::Ip6, "nat")]));
        assert!(printed.starts_with("DELIVERED"), "{printed}");
    });
}

/// Returns which of the listening ports a datagram to port 5001 reaches.
fn comes_out() -> u16 {
    let sockets = [5001, 5101, 5102].map(|port| UdpSocket::bind(("127.0.0.1", port)).expect("a free port"));
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    sender.send_to(b"x", "127.0.0.1:5001").expect("nothing drops it");
    let got = |socket: &UdpSocket| {
        socket.set_nonblocking(true).expect("it can");
        socket.recv_from(&mut [0; 8]).is_ok()
    };
    let found = sockets.iter().find(|socket| got(socket)).expect("over lo it is there at once");
    found.local_addr().expect("it is bound").port()
}

#[test]
fn nat_chains_and_iptables_legacy_run_in_order_of_priority() {
    in_fresh_netns(|| {
        let legacy =
            ["-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "5001", "-j", "REDIRECT", "--to-ports", "5101"];
        for legacy_first in [true, false] {
            for (priority, ours) in [(-101, true), (-99, false), (-100, false)] {
                let namespace = support::NetNs::fresh();
                let redirects = namespace.run(|| {
                    ip("link set lo up");
                    let done = || support::command("iptables-legacy").args(legacy).output();
                    let is_done = |done: std::io::Result<std::process::Output>| done.is_ok_and(|done| done.status.success());
                    if legacy_first && !is_done(done()) {
                        return None;
                    }
                    nft_script(&format!(
                        "table ip t {{ chain c {{ type nat hook output priority {priority}; udp dport 5001 redirect to :5102; }}; }}"
                    ));
                    let tables = kernel_tables(legacy_first || is_done(done()))?;
                    let rules = read().with_legacy_tables(tables);
                    Some((comes_out(), at_output(&rules), at_output(&rules.clone().made_at_once())))
                });
                let Some((port, walked, at_once)) = redirects else {
                    support::skip("no legacy xtables here");
                    return;
                };
                for printed in [&walked, &at_once] {
                    if ours {
                        assert!(
                            printed.starts_with("PASSED") && printed.contains("5102"),
                            "priority {priority}: {printed}"
                        );
                    } else {
                        assert!(
                            printed.starts_with("CANNOT TELL: what table ip nat"),
                            "priority {priority}: {printed}"
                        );
                    }
                }
                // At equal priority the last registered runs first, whichever program registered
                // it.
                let expected = if ours || priority == -100 && legacy_first { 5102 } else { 5101 };
                assert_eq!(port, expected, "priority {priority}, legacy first: {legacy_first}");
            }
        }
    });
}

/// Returns the outcome of such a datagram at output, and its destination.
fn at_output(rules: &Rules) -> String {
    let situation = Situation::new(packet("udp 127.0.0.1:5000 -> 127.0.0.1:5001 uid 0 gid 0"));
    let walk = walk_hook(rules, Hook::Output, &situation);
    format!("{}\n{walk}", walk.end)
}

/// Returns the tables of iptables-legacy, where it works.
fn kernel_tables(works: bool) -> Option<Vec<TableId>> {
    works.then(|| nftmesh::kernel::legacy_tables().expect("they are listed"))
}
