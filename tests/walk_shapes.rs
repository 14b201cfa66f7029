//! Incomplete or malformed packets, and sending sockets: what the trace tests found, each in a
//! separate walk.

#![cfg(feature = "sim")]

mod support;

use nftmesh::kernel::{Kernel, host};
use nftmesh::sim::{Comparison, Packet, Rules, Walker, compare};
use support::{in_fresh_netns, ip, nft_script, wait_until_local};

/// Returns the rules that nft makes from one dropping rule in a base chain of this hook.
fn loaded(hook: &str, rule: &str) -> Rules {
    let chain = format!("chain c {{ type filter hook {hook} priority 0; {rule} drop; }}");
    nft_script(&format!("flush ruleset\ntable inet t {{ {chain}; }}\n"));
    Kernel::open().and_then(|mut kernel| Rules::try_from(&kernel.snapshot()?)).expect("rules that can be lowered")
}

fn pod() {
    ip("link set lo up");
    ip("link add eth0 type veth peer name eth1");
    ip("link set eth1 up");
    ip("addr add 10.77.0.2/24 dev eth0");
    ip("addr add fd77::2/64 dev lo nodad");
    ip("link set eth0 up");
    ip("route add default via 10.77.0.1");
    wait_until_local(&["fd77::2"]);
}

/// Checks cases of hook, rule, packet, and the beginning of the last line of the walk.
#[track_caller]
fn ends(cases: &[(&str, &str, &str, &str)]) {
    in_fresh_netns(|| {
        pod();
        let host = host().expect("a netlink socket");
        for (hook, rule, text, expected) in cases {
            let rules = loaded(hook, rule);
            let packet: Packet = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let mut walker = Walker::new(&rules, &host);
            let walk = if host.is_local(packet.source) { walker.send(packet) } else { walker.receive(packet, "eth0") };
            assert!(walk.end.to_string().starts_with(expected), "{hook} {rule}, {text}\n{walk}");
        }
    });
}

const WHOLE: &str = "udp 10.77.0.1:1 -> 10.77.0.2:80 length 36";
const FIRST: &str = "udp 10.77.0.1:1 -> 10.77.0.2:80 length 36 network 4500002400072000";
const LATER: &str = "udp 10.77.0.1:1 -> 10.77.0.2:80 length 36 network 4500002400070001";

#[test]
fn later_fragments_have_no_ports_and_conntrack_reassembles_them() {
    ends(&[
        ("prerouting", "udp dport 80", WHOLE, "DROPPED"),
        ("prerouting", "udp dport 80", FIRST, "DROPPED"),
        // Kernels differ in how they treat it.
        (
            "prerouting",
            "udp dport 80",
            LATER,
            "CANNOT TELL: inet t c, rule 1: whether rules read the data of a later fragment",
        ),
        // It continues until reassembly.
        ("prerouting", "ip protocol tcp", LATER, "CANNOT TELL: what the packet is like of which this is a fragment"),
        ("prerouting", "ip protocol udp", LATER, "DROPPED"),
        ("prerouting", "ip frag-off & 0x1fff != 0", LATER, "DROPPED"),
        ("prerouting", "ip frag-off & 0x1fff != 0 ct state new", LATER, "CANNOT TELL"),
        ("prerouting", "ip frag-off & 0x1fff != 0 ct state new", FIRST, "CANNOT TELL"),
        ("prerouting", "ip frag-off & 0x1fff != 0 socket transparent 1", LATER, "CANNOT TELL"),
        ("prerouting", "ip frag-off & 0x1fff != 0 ct state new", WHOLE, "DELIVERED"),
    ]);
}

#[test]
fn packets_that_conntrack_cannot_read_are_invalid() {
    const INVALID: &str = "ct state invalid";
    let tcp = "tcp 10.77.0.1:1 -> 10.77.0.2:80";
    let udp = "udp 10.77.0.1:1 -> 10.77.0.2:80";
    let case = |packet: String, expected| (packet, expected);
    let cases = [
        case(format!("{tcp} flags syn"), "DELIVERED"),
        case(format!("{tcp} flags syn,urg"), "DELIVERED"),
        case(format!("{tcp} flags syn,psh"), "DELIVERED"),
        case(format!("{tcp} flags syn,fin"), "DROPPED"),
        case(format!("{tcp} flags ack,fin,rst"), "DROPPED"),
        case(format!("{tcp} flags none"), "DROPPED"),
        case(format!("{tcp} length 39"), "DROPPED"),
        case(format!("{tcp} length 60 transport 000100500000000000000000f0"), "DROPPED"),
        case(format!("{tcp} length 60 transport 00010050000000000000000040"), "DROPPED"),
        case(format!("{tcp} length 60 transport 000100500000000000000000a0"), "DELIVERED"),
        // The length is that of the datagram, or less.
        case(format!("{udp} length 28 transport 000100500008"), "DELIVERED"),
        case(format!("{udp} length 28 transport 000100500009"), "DROPPED"),
        case(format!("{udp} length 28 transport 000100500007"), "DROPPED"),
        case(format!("{udp} length 27"), "DROPPED"),
        // No checksum, a correct one, one that the interface completes, and a wrong one.
        case(format!("{udp} length 28 transport 0001005000080000"), "DELIVERED"),
        case(format!("{udp} length 28 transport 000100500008eaf0"), "DELIVERED"),
        case(format!("{udp} length 28 transport 00010050000814b6"), "DELIVERED"),
        case(format!("{udp} length 28 transport 0001005000081234"), "CANNOT TELL"),
        case("icmp 10.77.0.1 -> 10.77.0.2 type echo-request length 27".into(), "DROPPED"),
        case("sctp 10.77.0.1:1 -> 10.77.0.2:80 length 32".into(), "DELIVERED"),
        case("sctp 10.77.0.1:1 -> 10.77.0.2:80 length 32 transport 0001005000000007".into(), "CANNOT TELL"),
        case("gre 10.77.0.1 -> 10.77.0.2 length 32 transport 2000".into(), "DELIVERED"),
        case("gre 10.77.0.1 -> 10.77.0.2 length 32 transport 2001".into(), "CANNOT TELL"),
    ];
    let cases: Vec<_> = cases.iter().map(|(packet, expected)| ("input", INVALID, packet.as_str(), *expected)).collect();
    ends(&cases);
}

#[test]
fn the_socket_of_a_packet_that_leaves_is_the_one_that_sends_it() {
    let sent = "udp 10.77.0.2:1 -> 10.77.0.1:80 uid 0 gid 0";
    ends(&[
        (
            "output",
            "socket mark 0",
            sent,
            "CANNOT TELL: inet t c, rule 1: what the socket is like that sends the packet",
        ),
        ("output", "socket transparent 0", sent, "CANNOT TELL"),
        ("output", "socket mark 0", "esp 10.77.0.2 -> 10.77.0.1 uid 0 gid 0", "CANNOT TELL"),
        ("output", "udp dport 9 socket mark 0", sent, "SENT"),
    ]);
}

#[test]
fn bits_outside_a_mask_are_compared_too() {
    let to = "udp 10.77.0.1:1 -> 10.77.0.2:80";
    ends(&[
        ("input", "ip daddr & 255.255.0.0 == 10.77.0.0", to, "DROPPED"),
        ("input", "ip daddr & 255.255.0.0 == 10.77.0.2", to, "DELIVERED"),
        ("input", "ip daddr & 255.255.0.0 != 10.77.0.2", to, "DROPPED"),
        ("input", "ip daddr & 255.254.0.0 != 10.77.0.2", to, "DROPPED"),
    ]);
}

#[test]
fn a_load_past_the_end_fails_even_under_a_zero_mask() {
    ends(&[
        ("input", "@th,64,8 & 0 >= 0", "udp 10.77.0.1:1 -> 10.77.0.2:80 length 28", "DELIVERED"),
        ("input", "@th,64,8 & 0 >= 0", "udp 10.77.0.1:1 -> 10.77.0.2:80 length 29", "DROPPED"),
        ("input", "@th,64,8 & 0 >= 0", "esp 10.77.0.1 -> 10.77.0.2", "CANNOT TELL"),
        ("input", "@th,64,8 & 0 >= 0", "esp 10.77.0.1 -> 10.77.0.2 length 29", "DROPPED"),
        ("input", "@th,64,8 & 0 >= 0", "esp 10.77.0.1 -> 10.77.0.2 transport 000000000000000000", "DROPPED"),
    ]);
}

#[test]
fn packets_with_options_and_fragments_distinguish_rule_sets() {
    in_fresh_netns(|| {
        let none = loaded("input", "ip version 6");
        for hook in ["prerouting", "forward", "output", "postrouting"] {
            for rule in ["ip hdrlength > 5", "@nh,0,8 0x46", "ip frag-off & 0x1fff != 0", "ip frag-off & 0x2000 != 0"] {
                let answer = compare(&loaded(hook, rule), &none);
                assert!(matches!(answer, Comparison::Differs(_)), "{hook} {rule}: {answer}");
            }
            for rule in ["ip hdrlength < 5", "ip version != 4"] {
                let answer = compare(&loaded(hook, rule), &none);
                assert!(matches!(answer, Comparison::Equivalent { .. }), "{hook} {rule}: {answer}");
            }
        }
    });
}

#[test]
fn a_kernel_reset_to_a_loopback_address_has_an_unknown_interface() {
    ends(&[
        ("output", "ip version 6", "icmpv6 ::1 -> ::1 type echo-reply code 0", "DELIVERED"),
        ("output", "ip version 6", "udp [::1]:1 -> [::1]:2 uid 0 gid 0", "DELIVERED"),
        ("output", "ip version 6", "udp [fd77::2]:1 -> [::1]:2 uid 0 gid 0", "DELIVERED"),
        ("output", "ip version 6", "tcp [fd77::2]:1 -> [::1]:2 flags rst", "CANNOT TELL"),
    ]);
}

#[test]
fn ct_status_reports_dying_and_the_translated_sides() {
    in_fresh_netns(|| {
        pod();
        let host = host().expect("a netlink socket");
        let rules = |status: &str, translates: &str| {
            let nat = format!("chain n {{ type {translates}; }}");
            let input = format!("chain c {{ type filter hook input priority 0; ct status {status} drop; }}");
            nft_script(&format!("flush ruleset\ntable inet t {{ {nat}; {input}; }}\n"));
            Kernel::open().and_then(|mut kernel| Rules::try_from(&kernel.snapshot()?)).expect("rules")
        };
        let plain = "filter hook prerouting priority -100; counter";
        let translated = "nat hook prerouting priority -100; udp dport 1 redirect";
        let tcp = ["tcp 10.77.0.2:1 -> 10.77.0.1:80 uid 0 gid 0", "tcp 10.77.0.1:80 -> 10.77.0.2:1 flags rst,ack"];
        let udp = ["udp 10.77.0.2:1 -> 10.77.0.1:80 uid 0 gid 0", "udp 10.77.0.1:80 -> 10.77.0.2:1"];
        let cases = [
            ("dying", plain, tcp, "DROPPED"),
            ("dying", plain, udp, "DELIVERED"),
            ("== seen-reply | confirmed", plain, udp, "DROPPED"),
            ("== seen-reply | confirmed", translated, udp, "DELIVERED"),
        ];
        for (status, translates, [sent, answer], expected) in cases {
            let rules = rules(status, translates);
            let mut walker = Walker::new(&rules, &host);
            let [sent, answer] = [sent, answer].map(|text| text.parse::<Packet>().expect("a packet"));
            let sent = walker.send(sent);
            assert!(sent.end.to_string().starts_with("SENT"), "{sent}");
            let walk = walker.receive(answer, "eth0");
            assert!(walk.end.to_string().starts_with(expected), "{status}, {translates}\n{walk}");
        }
    });
}
