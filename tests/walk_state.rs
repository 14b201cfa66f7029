//! Rules that change what later packets find: elements that packets add, change and delete, and
//! objects that they count in.

#![cfg(feature = "sim")]

mod support;

use nftmesh::kernel::Kernel;
use nftmesh::sim::{Host, Packet, Rules, Walker};
use support::{in_fresh_netns, nft_script};

fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the ends of walks of packets from this host to these ports, one after the other.
fn ends(rules: &Rules, ports: &[u16]) -> Vec<String> {
    let host = Host::pod(["10.77.0.2/24".parse().expect("a network")]);
    let mut walker = Walker::new(rules, &host);
    let send = |port: &u16| {
        let walk = walker.send(packet(&format!("udp 10.77.0.2:{} -> 10.77.0.1:{port} uid 0 gid 0", 1000 + port)));
        walk.end.to_string()
    };
    ports.iter().map(send).collect()
}

fn read() -> Rules {
    let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
    Rules::try_from(&snapshot).expect("rules of a kernel")
}

/// Declarations, and what a rule does to a packet to port 7.
const CHANGES: &[(&str, &str)] = &[
    ("", "add @s { ip daddr }"),
    ("", "update @s { ip daddr timeout 1m }"),
    ("", "delete @s { ip daddr }"),
    ("", "update @s { ip daddr limit rate 1/second }"),
    ("map m { type ipv4_addr : mark; flags dynamic; }", "add @m { ip daddr : 0x7 }"),
    ("map m { type ipv4_addr : mark; flags dynamic; }", "delete @m { ip daddr : 0x7 }"),
    (
        "counter c { }; map o { type inet_service : counter; elements = { 7 : \"c\" }; }",
        "counter name udp dport map @o",
    ),
    (
        "quota q { over 10 bytes }; map o { type inet_service : quota; elements = { 7 : \"q\" }; }",
        "quota name udp dport map @o",
    ),
    ("quota q { over 10 bytes }", "quota name \"q\""),
];

#[test]
fn a_rule_that_changes_a_set_or_an_object_ends_the_walk() {
    in_fresh_netns(|| {
        for (declared, change) in CHANGES {
            nft_script("flush ruleset");
            nft_script(&format!(
                "table ip t {{ set s {{ type ipv4_addr; flags dynamic,timeout; timeout 1h; }}\n{declared}\n\
                 chain c {{ type filter hook output priority 0; policy accept;\nudp dport 7 {change} drop\n}}\n}}"
            ));
            let printed = ends(&read(), &[8, 7, 8]);
            let [before, met, after] = printed.as_slice() else { panic!("{printed:?}") };
            assert!(before.starts_with("SENT") && after.starts_with("SENT"), "{change}: {printed:?}");
            assert!(met.starts_with("CANNOT TELL") && met.contains("is not known here"), "{change}: {printed:?}");
        }
    });
}

#[test]
fn a_named_counter_stops_no_packet() {
    in_fresh_netns(|| {
        nft_script(
            "table ip t { counter c { }; chain c { type filter hook output priority 0; udp dport 7 counter name c drop; }; }",
        );
        let said = ends(&read(), &[8, 7]);
        let [before, met] = said.as_slice() else { panic!("{said:?}") };
        assert!(before.starts_with("SENT") && met.starts_with("DROPPED"), "{said:?}");
    });
}

#[test]
fn a_set_that_rules_fill_is_known_until_a_walk_is_undecided() {
    in_fresh_netns(|| {
        nft_script(
            "table ip t { set s { type ipv4_addr; flags dynamic; elements = { 10.77.0.9 }; }
            chain c { type filter hook output priority 0; policy accept;
            udp dport 7 add @s { ip daddr }
            ip daddr @s drop
            }
            }",
        );
        let printed = ends(&read(), &[8, 7, 8]);
        let [before, met, after] = printed.as_slice() else { panic!("{printed:?}") };
        assert!(before.starts_with("SENT"), "the address is not in it: {printed:?}");
        assert!(met.contains("whether an element of set s can be added"), "{printed:?}");
        assert!(after.contains("put into a set"), "{printed:?}");
    });
}
