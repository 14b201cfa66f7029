//! Bytes of headers and results of routing tables: rules as nft loads them, walked with packets of
//! which more or fewer bytes are known.

#![cfg(feature = "sim")]

mod support;

use nftmesh::kernel::{Kernel, host};
use nftmesh::sim::{Comparison, Packet, Rules, Walk, Walker, compare};
use support::{in_fresh_netns, ip, nft_script};

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the rules that nft makes from one line in a base chain of this hook.
fn loaded(family: &str, hook: &str, rule: &str) -> Rules {
    nft_script(&format!(
        "flush ruleset\ntable {family} t {{\n chain c {{\n  type filter hook {hook} priority 0;\n  {rule} drop\n }}\n}}\n"
    ));
    Kernel::open().and_then(|mut kernel| Rules::try_from(&kernel.snapshot()?)).expect("rules that can be lowered")
}

/// Returns the last line of a walk in by eth0, or out.
fn end(rules: &Rules, text: &str) -> String {
    let host = host().expect("a netlink socket");
    let mut walker = Walker::new(rules, &host);
    let packet = packet(text);
    let walk: Walk = if host.is_local(packet.source) { walker.send(packet) } else { walker.receive(packet, "eth0") };
    walk.end.to_string()
}

fn pod() {
    ip("link set lo up");
    ip("link add eth0 type veth peer name eth1");
    ip("link set eth1 up");
    ip("addr add 10.77.0.2/24 dev eth0");
    ip("link set eth0 up");
    ip("route add default via 10.77.0.1");
}

#[test]
fn a_rule_that_reads_an_unknown_byte_is_undecided() {
    in_fresh_netns(|| {
        pod();
        const UNKNOWN: &str = "CANNOT TELL";
        let esp = "esp 10.77.0.1 -> 10.77.0.2";
        let cases = [
            ("esp spi 0", esp, UNKNOWN),
            ("esp spi 0", "esp 10.77.0.1 -> 10.77.0.2 transport 00000000", "DROPPED"),
            ("esp spi 0", "esp 10.77.0.1 -> 10.77.0.2 transport 00000001", "DELIVERED"),
            ("ah sequence 3", "ah 10.77.0.1 -> 10.77.0.2 transport ????????????????00????04", "DELIVERED"),
            ("esp spi 0", "ah 10.77.0.1 -> 10.77.0.2", "DELIVERED"),
            ("ah hdrlength 0", "ah 10.77.0.1 -> 10.77.0.2", UNKNOWN),
            ("ah sequence 3", "ah 10.77.0.1 -> 10.77.0.2 transport 000000000000000000000003", "DROPPED"),
            ("ip protocol gre @th,0,16 0", "gre 10.77.0.1 -> 10.77.0.2", UNKNOWN),
            ("igmp type membership-query", "igmp 10.77.0.1 -> 10.77.0.2", UNKNOWN),
            ("igmp type membership-query", "igmp 10.77.0.1 -> 10.77.0.2 transport 11", "DROPPED"),
            ("comp cpi 22", "108 10.77.0.1 -> 10.77.0.2", UNKNOWN),
            ("icmp type echo-request", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request", "DROPPED"),
            ("icmp id 7", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request", UNKNOWN),
            ("icmp id 0", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request", UNKNOWN),
            ("icmp id 0", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request id 0", "DROPPED"),
            ("icmp id 7", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request id 7", "DROPPED"),
            ("icmp checksum 0", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request", UNKNOWN),
            ("icmp checksum 0", "icmp 10.77.0.1 -> 10.77.0.2 type echo-request checksum 9", "DELIVERED"),
            ("tcp dport 80", "tcp 10.77.0.1:1 -> 10.77.0.2:80", "DROPPED"),
            ("tcp sequence 1", "tcp 10.77.0.1:1 -> 10.77.0.2:80", UNKNOWN),
            ("tcp window > 5", "tcp 10.77.0.1:1 -> 10.77.0.2:80 transport 0001005000000000000000005002ffff", "DROPPED"),
            ("udp length 8", "udp 10.77.0.1:1 -> 10.77.0.2:80", UNKNOWN),
            ("@th,64,8 0", "udp 10.77.0.1:1 -> 10.77.0.2:80", "DELIVERED"),
            ("@th,64,8 0", "udp 10.77.0.1:1 -> 10.77.0.2:80 length 29", UNKNOWN),
            ("ip version 4", "udp 10.77.0.1:1 -> 10.77.0.2:80", "DROPPED"),
            ("ip hdrlength 5", "udp 10.77.0.1:1 -> 10.77.0.2:80", "DROPPED"),
            ("ip hdrlength 5", "udp 10.77.0.1:1 -> 10.77.0.2:80 network 46", "DELIVERED"),
            ("ip length 28", "udp 10.77.0.1:1 -> 10.77.0.2:80", "DROPPED"),
            ("ip frag-off & 0x1fff != 0", "udp 10.77.0.1:1 -> 10.77.0.2:80", "DELIVERED"),
            ("ip frag-off & 0x4000 != 0", "udp 10.77.0.1:1 -> 10.77.0.2:80", UNKNOWN),
            ("ip dscp cs1", "udp 10.77.0.1:1 -> 10.77.0.2:80", UNKNOWN),
            ("ip dscp cs1", "udp 10.77.0.1:1 -> 10.77.0.2:80 network ??20", "DROPPED"),
            ("ip ttl < 5", "udp 10.77.0.1:1 -> 10.77.0.2:80", UNKNOWN),
            ("ip ttl < 5", "udp 10.77.0.1:1 -> 10.77.0.2:80 network 450000000000000040", "DELIVERED"),
            ("meta mark set @th,64,32 meta mark 1", "udp 10.77.0.1:1 -> 10.77.0.2:80 length 40", UNKNOWN),
            ("ip6 version 6", "udp [fd77::9]:1 -> [fd77::2]:80", "DROPPED"),
            ("ip6 hoplimit 64", "udp [fd77::9]:1 -> [fd77::2]:80", UNKNOWN),
            ("ip6 flowlabel 1", "udp [fd77::9]:1 -> [fd77::2]:80 network 60000001", "DROPPED"),
            ("ip6 length 8", "udp [fd77::9]:1 -> [fd77::2]:80", "DROPPED"),
            ("ip6 nexthdr udp", "udp [fd77::9]:1 -> [fd77::2]:80", "DROPPED"),
        ];
        ip("addr add fd77::2/64 dev eth0 nodad");
        for (rule, text, expected) in cases {
            let printed = end(&loaded("inet", "input", rule), text);
            assert!(printed.starts_with(expected), "{rule}, {text}: {printed}, not {expected}");
        }
    });
}

#[test]
fn a_fib_expression_uses_its_own_address_mark_and_interface() {
    in_fresh_netns(|| {
        pod();
        ip("rule add fwmark 7 lookup 99");
        ip("route add unreachable 10.99.0.0/16 table 99");
        let out = "tcp 10.77.0.2:40000 -> 10.77.0.1:9000";
        let cases = [
            ("output", "fib saddr type local", out, "DROPPED"),
            ("output", "fib saddr type != local", out, "SENT"),
            ("output", "fib daddr type local", out, "SENT"),
            ("output", "fib daddr type unicast", out, "DROPPED"),
            ("output", "fib saddr . oif type local", out, "DROPPED"),
            ("output", "fib daddr . oif type unicast", out, "DROPPED"),
            ("prerouting", "fib saddr . iif oif missing", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DELIVERED"),
            ("prerouting", "fib saddr . iif oif exists", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DROPPED"),
            ("prerouting", "fib daddr . iif type local", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DROPPED"),
            ("prerouting", "fib saddr type local", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DELIVERED"),
            ("prerouting", "fib saddr oifname \"eth0\"", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DROPPED"),
            ("prerouting", "fib saddr oifname \"eth1\"", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DELIVERED"),
            ("prerouting", "fib daddr oif exists", "tcp 10.77.0.9:1 -> 10.77.0.2:80", "DELIVERED"),
            ("prerouting", "fib saddr oif missing", "tcp 10.99.0.9:1 -> 10.77.0.2:80 mark 7", "DELIVERED"),
            ("prerouting", "fib saddr . mark oif missing", "tcp 10.99.0.9:1 -> 10.77.0.2:80 mark 7", "DROPPED"),
            ("prerouting", "fib saddr . mark oif missing", "tcp 10.99.0.9:1 -> 10.77.0.2:80", "DELIVERED"),
        ];
        for family in ["inet", "ip"] {
            for (hook, rule, text, expected) in cases {
                let printed = end(&loaded(family, hook, rule), text);
                assert!(printed.starts_with(expected), "{family} {hook} {rule}, {text}: {printed}, not {expected}");
            }
        }
    });
}

#[test]
fn rules_with_other_fib_flags_or_header_fields_are_not_proven_equal() {
    in_fresh_netns(|| {
        let pairs = [
            ("fib saddr type local", "fib daddr type local", "different"),
            ("fib saddr type local", "fib saddr type local", "the same"),
            ("fib saddr type local", "fib saddr type 2", "the same"),
            ("fib saddr type local", "fib saddr type unicast", "different"),
            ("fib saddr . iif oif missing", "fib saddr . iif oif missing", "the same"),
            ("fib saddr . iif oif missing", "fib saddr . iif oif exists", "different"),
            ("fib saddr . iif oif missing", "fib saddr . mark . iif oif missing", "cannot tell"),
            ("fib daddr . iif type local", "fib daddr type local", "cannot tell"),
            ("ip ttl 5", "ip ttl 5", "the same"),
            ("ip ttl 5", "ip ttl 6", "different"),
            ("ip ttl { 5, 6 }", "ip ttl 5-6", "the same"),
            ("ip ttl < 5", "ip ttl <= 4", "the same"),
            ("ip dscp cs1", "ip dscp cs2", "different"),
            // Options are distinguished.
            ("ip hdrlength 5", "meta nfproto ipv4", "different"),
            ("ip hdrlength >= 5", "meta nfproto ipv4", "the same"),
            ("ip version 4", "meta nfproto ipv4", "the same"),
            ("ip length 5", "meta length 5", "cannot tell"),
            ("tcp window 5", "tcp window != 5", "different"),
            ("esp spi 5", "esp spi 5", "the same"),
            ("esp spi 5", "esp spi 6", "different"),
            ("esp sequence 5", "esp sequence 6", "different"),
            ("icmp id 5", "icmp id 6", "different"),
            ("udp checksum 5", "udp checksum 5", "the same"),
        ];
        for (a, b, expected) in pairs {
            let [rules_a, rules_b] = [a, b].map(|rule| loaded("inet", "prerouting", rule));
            let found: Comparison = compare(&rules_a, &rules_b);
            assert!(found.to_string().starts_with(expected), "{a}, {b}: {found}");
        }
    });
}
