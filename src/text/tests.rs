use std::net::Ipv4Addr;

use super::Reader;
use crate::model::{Family, Rule, Ruleset};
use crate::plan::Transaction;

mod faults;
mod generated;

/// Texts of rules in an inet table, and what they print as.
const RULES: &[(&str, &str)] = &[
    ("tcp dport 80", ""),
    ("tcp dport == 0x50 accept", "tcp dport 80 accept"),
    ("tcp dport 010", "tcp dport 8"),
    ("tcp dport ssh drop", "tcp dport 22 drop"),
    ("tcp dport \"ssh\" drop", "tcp dport 22 drop"),
    ("tcp dport != { 22 , http,443 }", "tcp dport != { 22, 80, 443 }"),
    ("tcp dport 1-5", ""),
    ("tcp dport { 22 } ct state { new } ct state != { new }", "tcp dport 22 ct state new ct state != new"),
    ("ip saddr != { 10.0.0.0/24 } meta mark { 1-5 }", "ip saddr != 10.0.0.0/24 meta mark 0x00000001-0x00000005"),
    ("tcp dport ge 22", "tcp dport >= 22"),
    ("ip saddr 10.0.0.5/8", "ip saddr 10.0.0.0/8"),
    ("ip saddr 10.0.0.1/32", "ip saddr 10.0.0.1"),
    ("ip saddr & 255.255.0.0 == 10.0.0.0", ""),
    ("ip saddr & 255.255.240.0 == 10.0.16.0", "ip saddr 10.0.16.0/20"),
    ("ip6 saddr fe80::1-fe80::2", ""),
    ("ip6 saddr { ::1, fd00::/8 }", ""),
    ("ct state established,related accept", ""),
    ("ct state established|new", "ct state established,new"),
    ("ct state != established,related", "ct state != established | related"),
    ("ct state ! new", ""),
    ("ct state { established, related }", ""),
    ("tcp flags syn / fin,syn,rst,ack", ""),
    ("tcp flags & (fin|syn|rst|ack) == syn", "tcp flags syn / fin,syn,rst,ack"),
    ("tcp flags & syn != 0", "tcp flags syn"),
    ("tcp flags == syn,ack", "tcp flags == 0x12"),
    ("mark 5", "meta mark 0x00000005"),
    ("meta mark and 0xff 1", "meta mark & 0x000000ff == 0x00000001"),
    ("meta mark 0x10000000/8", ""),
    ("meta iifname eth*", "iifname \"eth*\""),
    ("iifname { eth0, \"lo*\" }", "iifname { \"eth0\", \"lo*\" }"),
    ("iif lo oif 2", "iif \"lo\" oif 2"),
    ("skuid root meta skgid { 0, 5-9 }", "meta skuid 0 meta skgid { 0, 5-9 }"),
    ("ip saddr . tcp dport { 10.0.0.0/8 . 30-40, 10.0.0.1 . 22 }", ""),
    ("ip saddr . tcp dport vmap @m", ""),
    ("tcp dport vmap { 22 : accept, 23 : jump a }", ""),
    ("meta l4proto { tcp, udp } th dport 53", ""),
    ("ip protocol icmpv6", "ip protocol ipv6-icmp"),
    ("udplite dport 5", "udplite dport 5"),
    ("meta mark set mark or 1", "meta mark set meta mark | 0x00000001"),
    ("ct mark set ct mark and 0xffff or 0x10000", "ct mark set ct mark & 0x0001ffff | 0x00010000"),
    ("meta mark set (mark and 0xff) xor 0x1", "meta mark set meta mark & 0x000000ff ^ 0x00000001"),
    ("mark set 0x10 | 0x1", "meta mark set 0x00000011"),
    ("meta mark set ip saddr map { 10.0.0.1 : 0x5 }", "meta mark set ip saddr map { 10.0.0.1 : 0x00000005 }"),
    ("meta mark set mark map @m", "meta mark set meta mark map @m"),
    ("ct zone set 7 nftrace set 1", "ct zone set 7 meta nftrace set 1"),
    ("counter bytes 7 packets 5", "counter packets 5 bytes 7"),
    ("limit rate over 1 mbytes/second burst 512 kbytes", ""),
    ("limit rate 5/minute burst 7 packets", ""),
    ("log prefix \"a b\" level debug flags all", ""),
    ("log flags tcp options,sequence flags ip options", "log flags tcp sequence,options flags ip options"),
    ("log group 3 snaplen 32 queue-threshold 3", ""),
    ("reject with icmp type host-unreachable", "reject with icmp host-unreachable"),
    ("reject with icmpx port-unreachable", "reject"),
    ("ip saddr 10.0.0.1 reject", "ip saddr 10.0.0.1 reject with icmp port-unreachable"),
    ("mark 1 reject with tcp reset", "meta l4proto tcp meta mark 0x00000001 reject with tcp reset"),
    ("reject with tcp reset", ""),
    ("dnat ip to 10.0.0.1-10.0.0.4:5-6 fully-random", ""),
    ("dnat ip6 to [fe80::1]:80 random,persistent", ""),
    ("snat ip to 10.0.0.0/24", ""),
    ("redirect to 80", "redirect to :80"),
    ("masquerade to :1024-2048 random", ""),
    ("tproxy ip to 127.0.0.1:15001", ""),
    ("tproxy to :15001", ""),
    ("queue num 0-3 bypass,fanout", "queue flags bypass,fanout to 0-3"),
    ("notrack comment x", "notrack comment \"x\""),
    ("fib daddr type local return", ""),
    ("ct original protocol tcp ct reply l3proto ipv4", "ct protocol tcp ct l3proto ipv4"),
    ("ip daddr & 255.255.254.0 != 127.0.0.1", ""),
    ("udp length 10 rt nexthdr 6 drop", "udp length 10 rt nexthdr tcp drop"),
    ("counter frag id 3", "meta nfproto ipv6 counter packets 0 bytes 0 frag id 3"),
    ("synproxy mss 536", ""),
    ("ip saddr 10.0.0.1 reject with icmpx port-unreachable", ""),
    ("ip6 ecn != { 2-3, 0-3 }", "ip6 ecn != { 0x0-0x3, 0x2-0x3 }"),
    ("ip protocol 4 ah spi 5", "ip protocol ipencap ah spi 5"),
    ("socket transparent 1 icmpv6 type { nd-router-advert, 200 }", ""),
    ("meta priority none-1:2", ""),
    ("meta priority != none-ffff:fffe", ""),
];

#[test]
fn rules_print_as_what_they_mean() {
    for (text, printed) in RULES {
        let rule = text.parse::<Rule>().unwrap_or_else(|error| panic!("{error}"));
        let printed = if printed.is_empty() { text } else { printed };
        assert_eq!(rule.to_string(), *printed, "{text}");
        assert_eq!(printed.parse::<Rule>().as_ref(), Ok(&rule), "{text}");
    }
}

#[test]
fn variables_are_values_lists_and_parts_of_lists() {
    let text = "
        define one = 10.0.0.1
        define more = { $one, 10.0.0.2 }
        define dev = \"eth0\" ; define prio = -5
        table inet t {
            define inner = 22
            set s { type ipv4_addr; elements = { $more, 10.0.0.3 } }
            chain c {
                type filter hook input priority $prio; policy drop;
                ip saddr $one ip daddr $more iifname $dev tcp dport { $inner, 80 } log prefix \"at $dev: \"
            }
        }
        redefine one = 10.9.9.9
        undefine dev
        add rule inet t c ip saddr $one ip saddr $more drop";
    let made: Ruleset = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let expected = "table inet t {
\tset s {
\t\ttype ipv4_addr
\t\telements = { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3 }
\t}

\tchain c {
\t\ttype filter hook input priority filter - 5; policy drop;
\t\tip saddr 10.0.0.1 ip daddr { 10.0.0.1, 10.0.0.2 } iifname \"eth0\" tcp dport { 22, 80 } log prefix \"at eth0: \"
\t\tip saddr 10.9.9.9 ip saddr { 10.0.0.1, 10.0.0.2 } drop
\t}
}
";
    assert_eq!(made.to_string(), expected);
    let given = Reader::new().define("x", "10.0.0.0/8").rule(Family::Ip, "ip saddr $x").expect("x is given");
    assert_eq!(given.to_string(), "ip saddr 10.0.0.0/8");
}

#[test]
fn commands_become_operations_and_print_as_they_are() {
    let lines = [
        "add table inet t { flags dormant; comment \"why\"; }",
        "add chain inet t c { type nat hook prerouting priority dstnat; policy accept; }",
        "add rule inet t c ip saddr @s drop",
        "add chain inet t r { comment \"why\"; }",
        "add set inet t s { type ipv4_addr; timeout 1m; }",
        "add element inet t s { 1.2.3.5 timeout 1d1h1m1s5ms, 1.2.3.4 comment \"x\" }",
        "add map inet t m { type inet_service . ipv4_addr : verdict; flags interval; }",
        "delete element inet t s { 1.2.3.4 }",
        "insert rule inet t c ip saddr @s drop",
        "insert rule inet t c handle 4 ip saddr @s drop",
        "add rule inet t c handle 4 ip saddr @s drop",
        "replace rule inet t c handle 4 ip saddr @s drop",
        "delete rule inet t c handle 4",
        "flush chain inet t c",
        "flush table inet t",
        "flush set inet t s",
        "delete chain inet t c",
        "delete set inet t s",
        "delete quota inet t q",
        "delete ct helper inet t h",
        "delete table inet t",
        "destroy rule inet t c handle 4",
        "destroy chain inet t c",
        "destroy element inet t s { 1.2.3.4 }",
        "destroy set inet t s",
        "destroy table inet t",
        "flush ruleset ip6",
        "flush ruleset",
    ];
    for text in [lines.join("\n"), lines.join(" ; ")] {
        let read: Transaction = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.to_string().lines().collect::<Vec<_>>(), lines);
        assert_eq!(read.to_string().parse().as_ref(), Ok(&read));
    }
    let same: Transaction = "rule t c drop; add t c position 7 drop".parse().expect("valid");
    assert_eq!(same.to_string(), "add rule ip t c drop\nadd rule ip t c handle 7 drop\n");
}

#[test]
fn rules_in_braces_print_in_their_braces() {
    let text = "table inet t {
\tchain c {
\t\ttcp dport 22 jump {
\t\t\tip saddr 10.0.0.1 accept
\t\t\tdrop
\t\t}
\t}
}
";
    let read: Ruleset = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.to_string(), text);
    assert_eq!(read.to_string().parse(), Ok(read.clone()));
    let script = Transaction::add(read).to_string();
    let rule = "add rule inet t c tcp dport 22 jump { ip saddr 10.0.0.1 accept; drop; }\n";
    assert!(script.ends_with(rule), "{script}");
    assert_eq!(script.parse::<Transaction>().map(|read| read.to_string()), Ok(script));
}

#[test]
fn sets_with_names_have_an_element_for_every_other_key() {
    let text = "table ip t {
\tmap m {
\t\ttype inet_service : verdict
\t\telements = { 80 : accept, * : drop }
\t}
}
";
    let read: Ruleset = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.validate(), Ok(()));
    assert_eq!(read.to_string(), text);
    assert_eq!(read.to_string().parse(), Ok(read));
}

#[test]
fn nesting_is_bounded() {
    let jump = |depth: usize| {
        let open = "jump { ".repeat(depth);
        format!("table ip t {{ chain c {{ {open} accept; {} }}\n}}", "}; ".repeat(depth))
    };
    assert!(jump(1).parse::<Ruleset>().is_ok(), "{:?}", jump(1).parse::<Ruleset>());
    for depth in [2, 10, 100_000] {
        let error = jump(depth).parse::<Ruleset>().expect_err("too deep");
        assert!(error.fault.contains("rules in braces have no others in braces"), "{error}");
    }
    for text in [
        format!("table ip t {{ chain c {{ mark set {}", "(".repeat(1_000_000)),
        format!("table ip t {{ chain c {{ mark {}", "(".repeat(1_000_000)),
        format!("table ip t {{ chain c {{ tcp dport {}", "{".repeat(1_000_000)),
    ] {
        let error = text.parse::<Ruleset>().expect_err("too deep");
        assert!(error.fault.contains("nested more than"), "{error}");
    }
}

#[test]
fn variables_within_variables_are_bounded() {
    let mut text = "define a0 = { 1, 2, 3, 4, 5, 6, 7, 8 }\n".to_owned();
    for number in 1..40 {
        text += &format!("define a{number} = {{ $a{0}, $a{0}, $a{0}, $a{0} }}\n", number - 1);
    }
    let error = text.parse::<Ruleset>().expect_err("too many");
    assert!(error.fault.starts_with("variables within variables"), "{error}");
}

#[test]
fn large_texts_are_read() {
    let elements: String = (0..1_000_000_u32).map(|index| format!("{}, ", Ipv4Addr::from_bits(index))).collect();
    let text = format!("table ip t {{ set s {{ type ipv4_addr; elements = {{ {elements} }}; }}; }}");
    let read: Ruleset = text.parse().expect("a large set");
    assert_eq!(read.tables.first().and_then(|table| table.sets.first()).map(|set| set.elements.len()), Some(1_000_000));
    // A line of ten megabytes, with a fault at its end.
    let rules = "tcp dport 80 accept; ".repeat(500_000);
    let text = format!("table ip t {{ chain c {{ {rules} tcp dprot 80; }}; }}");
    let error = text.parse::<Ruleset>().expect_err("a fault at its end");
    assert_eq!((error.line, error.column), (1, text.find("dprot").map_or(0, |at| at + 1)));
    assert!(error.to_string().len() < 500, "{error}");
    // Chains and sets without end, inserted rules, a word without end.
    let many: String = (0..100_000).map(|index| format!("add chain t c{index}\ninsert rule t c0 drop\n")).collect();
    let read: Ruleset = format!("add table t\n{many}").parse().expect("many commands");
    assert_eq!(read.tables.first().map(|table| table.chains.len()), Some(100_000));
    for odd in [
        "a".repeat(10_000_000),
        "1".repeat(10_000_000),
        "\"".repeat(9_999_999),
        ":".repeat(10_000_000),
        "1h".repeat(5_000_000),
    ] {
        assert!(odd.parse::<Ruleset>().is_err());
    }
}

#[test]
fn a_set_whose_key_is_as_wide_as_no_field_is_declared_by_bytes() {
    let text = "table ip t {\n\tset s {\n\t\ttypeof @nh,0,48\n\t\telements = { 0, 227148279997380 }\n\t}\n}\n";
    let read: Ruleset = text.parse().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.to_string(), text);
}
