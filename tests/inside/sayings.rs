//! Rules of every part of the language, chosen by hand: each is read to nft's program, listed as
//! nft lists it in text and in JSON, and read back from both.

use nftmesh::bytecode::{ElementCode, ElementDataCode, Expr, LookupSet, NoSets, lower, raise};
use nftmesh::model::Family;
use nftmesh::text::Reader;

use super::text_random::all_are_read;
use crate::support::{self, in_fresh_netns};

/// A base chain and rules, each of which is loaded in a table of its own.
type Saying = (&'static str, &'static str, &'static [&'static str]);

fn texts(sayings: &[Saying]) -> Vec<String> {
    let mut texts = Vec::new();
    for (family, hook, rules) in sayings {
        for rule in *rules {
            let name = texts.len();
            texts.push(format!("table {family} t{name} {{\n\tchain c {{\n\t\ttype {hook};\n\t\t{rule}\n\t}}\n}}\n"));
        }
    }
    texts
}

const INPUT: &str = "filter hook input priority 0";

#[test]
fn meters_are_read_and_listed_as_nft_does() {
    let unlisted = all_are_read(&texts(&[
        (
            "ip",
            INPUT,
            &[
                "meter m { ip saddr limit rate 5/second } accept",
                "meter m size 4096 { ip saddr . tcp dport timeout 5s counter } accept",
                "tcp dport 22 meter m3 { ip saddr ct count over 3 } drop",
                "meter m4 size 65535 { ip daddr counter }",
                "meter m5 { ip daddr quota over 5 bytes }",
                "meter m7 size 77 { ip daddr & 255.0.0.0 timeout 1m counter }",
                "meter m9 size 1 { meta mark timeout 0s counter }",
                "flow table f { ip saddr limit rate over 1 mbytes/hour burst 7 kbytes } drop",
                "meter m13 { ct original bytes . meta length . ip ttl . ip length . iifname . ip daddr counter }",
                "meter a { ip saddr counter } meter b { ip daddr timeout 1h counter } counter",
                "meter m { ct mark timeout 3h limit rate 1/day burst 9 packets } log",
            ],
        ),
        (
            "inet",
            INPUT,
            &[
                "meter m { ip6 saddr . tcp dport limit rate 5/second } accept",
                "ip6 saddr ::1 tcp dport 22 meter ssh size 9 { ip6 saddr timeout 1m limit rate over 3/minute } drop",
                "meter m { meta iif . ip6 saddr timeout 600s counter }",
                "meter m { icmp type . icmp code counter }",
            ],
        ),
        ("netdev", "filter hook ingress device lo priority 0", &["meter m { ether saddr . vlan id counter } accept"]),
        ("bridge", INPUT, &["meter m { ether saddr timeout 1s counter } accept"]),
        ("arp", INPUT, &["meter m { arp saddr ip timeout 1s limit rate over 7/second } drop"]),
    ]));
    assert_eq!(unlisted, 0, "listed in full");
}

const NAT: &str = "nat hook prerouting priority 0";

#[test]
fn translations_by_maps_to_ports_and_ranges_are_read_and_listed_as_nft_does() {
    let unlisted = all_are_read(&texts(&[
        (
            "ip",
            NAT,
            &[
                "dnat to ip saddr map { 1.2.3.4 : 10.0.0.1-10.0.0.9 }",
                "dnat ip interval to ip saddr map { 1.2.3.4 : 10.0.0.1-10.0.0.9, 1.2.3.9 : 10.0.0.0/24 } random",
                "dnat ip interval to ip saddr map { 1.2.3.4 : 10.0.0.1 }",
                "dnat ip prefix to ip saddr map { 1.2.3.4 : 10.0.0.0/24 }",
                "dnat prefix to ip saddr map { 1.2.3.0/24 : 10.0.0.0/24, 2.2.2.0/24 : 10.0.3.0/24 }",
                "dnat prefix to ip saddr map { 1.2.3.0/24 : 10.0.0.0/24 } random,persistent",
                "dnat prefix to 10.0.0.0/24 random",
                "dnat to ip saddr map { 1.2.3.4 : 10.0.0.0/24 }",
                "meta l4proto tcp dnat to ip saddr map { 1.2.3.4 : 10.0.0.1 . 80 }",
                "meta l4proto tcp dnat ip addr . port to ip saddr map { 1.2.3.4 : 10.0.0.1 . http } persistent",
                "meta l4proto { tcp, udp } dnat ip to ip daddr . th dport map { 1.2.3.4 . 80 : 10.0.0.1 . 8080 }",
                "meta l4proto { tcp, udp } dnat ip to ip daddr . th dport map { 1.2.3.4 . 80 : 10.0.0.1 . 80-90 }",
                "dnat ip to ip saddr . tcp dport map { 192.168.1.2 . 80 : 10.141.10.2 . 8888 - 8999 }",
                "dnat ip to ip saddr . tcp dport map { 192.168.1.2 . 80 : 10.141.10.0/24 . 8888 - 8999 }",
                "dnat ip interval to ip saddr . tcp dport map { 192.168.1.2 . 80 : 10.1.1.2-10.1.1.5 . 88 - 89 }",
                "dnat ip to ip saddr . tcp dport map { 192.168.1.2 . 80 : 10.141.10.2-10.141.10.5 . 8888 }",
            ],
        ),
        (
            "ip6",
            NAT,
            &[
                "dnat to ip6 saddr map { ::1 : fd00::1-fd00::9 }",
                "meta l4proto tcp dnat to ip6 saddr map { ::1 : fd00::1 . 80, * : fd00::7 . 81 }",
                "meta l4proto tcp dnat prefix to ip6 saddr map { fd00::/64 : fd01::/64 } random",
                "dnat prefix to fd00::/64",
                "dnat prefix to fd00::/64 random,persistent",
                "meta l4proto tcp dnat to fd00::1:tcp dport",
            ],
        ),
        (
            "inet",
            "nat hook postrouting priority 0",
            &[
                "meta l4proto tcp snat ip to ip saddr map { 1.2.3.4 : 10.0.0.1 . 80, 2.2.2.2 : 10.0.0.9 . 99 }",
                "meta l4proto tcp snat ip to mark map { 5 : 10.0.0.1 . 80 }",
                "meta l4proto tcp snat ip to mark map { 5-9 : 10.0.0.1/24 . 80-90 }",
                "meta l4proto tcp snat ip to mark map { 5-9 : 10.0.0.1-10.0.0.3 }",
                "snat ip to numgen inc mod 2 map { 0 : 10.0.0.1-10.0.0.4, 1 : 10.0.0.5-10.0.0.9 }",
                "snat ip prefix to ip saddr map { 10.0.0.0/24 : 192.0.2.0/24 }",
                "snat ip prefix to ip saddr map { 10.0.0.0/24 : 192.0.2.1-192.0.2.9 }",
                "snat ip prefix to ip saddr map { 10.0.0.0/24 : 192.0.2.1 }",
                "meta l4proto tcp snat ip addr . port to ip saddr map { 10.0.0.0/24 : 192.0.2.1-192.0.2.9 . 80 }",
                "ip protocol tcp snat ip interval to ip saddr map { 1.2.3.4 : 10.0.0.0/24 . 80 }",
            ],
        ),
    ]));
    assert_eq!(unlisted, 0, "listed in full");
}

/// Named maps to several values and to intervals, and the rules that use them.
const MAPS: &[&str] = &[
    "table ip t0 {
        map m { type ipv4_addr : ipv4_addr . inet_service; elements = { 1.2.3.4 : 10.0.0.1 . 80, * : 1.1.1.1 . 7 }; }
        chain c {
            type nat hook prerouting priority 0
            meta l4proto tcp dnat to ip saddr map @m
            meta l4proto tcp dnat ip addr . port to ip saddr map @m random
        }
    }\n",
    "table inet t1 {
        map m { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 10.141.11.0/24 : 192.168.2.0/24 }; }
        map n { typeof ip saddr : interval ip daddr; elements = { 10.141.11.4 : 192.168.2.2-192.168.2.4 }; }
        chain c {
            type nat hook prerouting priority 0
            meta l4proto tcp dnat ip interval to ip saddr map @m
            dnat ip prefix to ip saddr map @m
            dnat ip to ip saddr map @n persistent
        }
    }\n",
    "table ip t2 {
        map m { typeof ip saddr . tcp dport : ip daddr . tcp dport; flags interval; elements = { 192.168.1.2 . 80 : 10.1.1.1 . 8001 }; }
        map n { typeof ip saddr . tcp dport : interval ip daddr . tcp dport; flags interval; elements = { 192.168.1.2 . 80 : 10.1.1.1-10.1.1.5 . 8001-8003 }; }
        chain c {
            type nat hook prerouting priority 0
            dnat ip to ip saddr . tcp dport map @m
            dnat ip to ip saddr . tcp dport map @n
        }
    }\n",
    "table ip6 t3 {
        map k { type mark : ipv6_addr . mark; elements = { 5 : ::1 . 0x7 }; }
        map l { typeof ip6 saddr : ip6 daddr . meta mark . tcp dport; }
        map m { type ipv6_addr : ipv6_addr . inet_service; elements = { ::1 : ::2 . 80 }; }
        map n { type ipv6_addr : interval ipv6_addr; flags interval; elements = { fd00::/64 : fd01::/64 }; }
        chain c {
            type nat hook prerouting priority 0
            meta l4proto tcp dnat ip6 to ip6 saddr map @m
            dnat ip6 to ip6 saddr map @n
        }
    }\n",
];

#[test]
fn named_maps_to_several_values_are_read_and_listed_as_nft_does() {
    let unlisted = all_are_read(&MAPS.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
    assert_eq!(unlisted, 0, "listed in full");
}

#[test]
fn proxies_at_computed_places_are_read_and_listed_as_nft_does() {
    let hook = "filter hook prerouting priority 0";
    let unlisted = all_are_read(&texts(&[
        (
            "ip",
            hook,
            &[
                "meta l4proto tcp tproxy to 127.0.0.1:tcp dport map { 80 : 8080, 443 : 8443 }",
                "meta l4proto tcp tproxy to ip saddr map { 10.0.0.1 : 127.0.0.1 }",
                "meta l4proto tcp tproxy to :numgen inc mod 2 map { 0 : 23, 1 : 42 }",
                "meta l4proto tcp tproxy to :tcp dport",
                "meta l4proto tcp tproxy to ip saddr",
                "meta l4proto tcp tproxy to ip saddr:tcp dport",
                "meta l4proto tcp tproxy to ip saddr map { 10.0.0.1 : 127.0.0.1 }:tcp dport map { 80 : 8080 }",
                "meta l4proto tcp tproxy to ip saddr map { 10.0.0.0/8 : 127.0.0.1, * : 127.0.0.2 }:80 counter accept",
            ],
        ),
        (
            "inet",
            hook,
            &[
                "meta l4proto tcp tproxy ip to ip saddr map { 10.0.0.1 : 127.0.0.1 }",
                "meta l4proto udp tproxy ip6 to [::1]:udp dport map { 53 : 5353 }",
                "tcp dport 1-9 tproxy to :numgen inc mod 4 offset 8000",
            ],
        ),
    ]));
    assert_eq!(unlisted, 0, "listed in full");
}

#[test]
fn a_header_of_ipv6_beside_other_fields_is_checked_at_the_start_of_the_rule() {
    let rules = &[
        "meta cgroup . dst nexthdr { 1 . 6 }",
        "meta length . udp dport . frag id { 1 . 2 . 3 }",
        "dst nexthdr . tcp dport { 6 . 3 }",
        "tcp dport . dst nexthdr { 6 . 3 }",
        "tcp dport 1 dst nexthdr 6",
        "ip6 saddr . dst nexthdr { ::1 . 3 }",
        "tcp dport . ip6 saddr . dst nexthdr { 1 . ::1 . 3 }",
    ];
    all_are_read(&texts(&[("inet", INPUT, rules), ("bridge", INPUT, rules), ("ip6", INPUT, rules)]));
}

#[test]
fn bits_of_headers_by_their_place_are_read_and_listed_as_nft_does() {
    let unlisted = all_are_read(&texts(&[
        (
            "ip",
            INPUT,
            &[
                "@nh,0,4 4",
                "@th,16,128 0x1",
                "@th,4,12 != 7",
                "@nh,1,1 1",
                "@th,0,4 { 1, 2, 5 }",
                "@th,0,4 { 1-2, 5 }",
                "@th,4,4 vmap { 1 : accept }",
                "@nh,0,4 vmap { 4 : accept, 6 : drop }",
                "@th,0,64 > 5",
                "@th,0,64 0-9",
                "@th,3,14 7",
                "@th,0,128 1",
                "@th,0,48 { 0x0-0xffffffff, 0xbfed6c081fc7, 0xffffffffffff }",
                "@th,0,48 { 0x5-0x7, 0x20, 0x100000000010 }",
                "@th,0,64 { 5, 7, 0x100000000010 }",
                "@th,0,40 7",
                "@th,0,33 7",
                "@th,7,3 5",
                "@nh,0,12 > 3",
                "@nh,0,12 5-9",
                "@nh,4,12 0",
                "@th,4,12 { 0, 5 }",
                "@th,4,64 1",
                "@th,16,48 set 7",
                "@th,16,64 set 0x1122334455667788",
                "@th,0,32 set 7",
                "ip ttl << 2 8",
                "ip ttl << 2 != { 8, 16 }",
                "meta length << 1 20",
                "meta cpu << 1 4",
            ],
        ),
        (
            "netdev",
            "filter hook ingress device lo priority 0",
            &["@ll,0,128 0xfedcba987654321001234567890abcde", "@ll,4,12 3"],
        ),
        ("ip6", INPUT, &["exthdr frag { exists, missing, * }", "ct protocol & 0x27 == tcp"]),
    ]));
    assert!(unlisted <= 4, "{unlisted} are not listed in full");
}

/// Queues, which not every kernel has, are compared with what nft would send.
#[test]
fn queues_that_are_computed_become_the_program_that_nft_sends() {
    for text in [
        "queue to numgen inc mod 3 offset 2",
        "queue flags bypass to numgen random mod 3",
        "queue to symhash mod 4",
        "queue to tcp dport map { 80 : 1, 443 : 2 }",
        "queue flags bypass to jhash ip saddr mod 4 map { 0 : 7 }",
    ] {
        let rule = Reader::new().rule(Family::Ip, text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rule.to_string(), text, "as it was written");
        let program = lower(&rule, Family::Ip, &NoSets).expect("a program");
        assert_eq!(raise(&program.exprs, &[], Family::Ip, &NoSets), rule, "{text}");
        let mut ours: Vec<String> = program.exprs.iter().flat_map(debugged).collect();
        ours.sort_by_key(|line| line.starts_with('['));
        in_fresh_netns(|| {
            let file = tempfile::NamedTempFile::new().expect("a temporary file");
            let script = format!("table ip t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n");
            std::fs::write(file.path(), script).expect("a temporary file can be written");
            let output = support::command("nft").args(["-c", "--debug=netlink", "-f"]).arg(file.path()).output();
            let said = String::from_utf8_lossy(&output.expect("nft is installed").stdout).into_owned();
            let each = |line: &str| line.split(" 0 [end]").map(|part| part.replace("  ", " ")).collect::<Vec<_>>();
            let theirs = said.lines().flat_map(each).map(|line| line.trim().to_owned());
            let theirs: Vec<String> =
                theirs.filter(|line| line.starts_with('[') || line.starts_with("element")).collect();
            assert_eq!(ours, theirs, "{text}");
        });
    }
}

/// Writes an expression as `nft --debug=netlink` does.
fn debugged(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Numgen(code) => {
            let mode = if code.kind == 0 { "inc" } else { "random" };
            let offset = if code.offset == 0 { String::new() } else { format!(" offset {}", code.offset) };
            vec![format!("[ numgen reg {} = {mode} mod {}{offset} ]", code.dreg.0, code.modulus)]
        }
        Expr::QueueTo(code) => {
            let bypass = if code.flags == 0 { "" } else { " bypass" };
            vec![format!("[ queue sreg_qnum {}{bypass} ]", code.sreg.0)]
        }
        Expr::Symhash(code) => vec![format!("[ hash reg {} = symhash() % mod {} ]", code.dreg.0, code.modulus)],
        Expr::Jhash(code) => {
            vec![format!(
                "[ hash reg {} = jhash(reg {}, {}, 0x0) % mod {} ]",
                code.dreg.0, code.sreg.0, code.len, code.modulus
            )]
        }
        Expr::Meta { dreg, .. } => vec![format!("[ meta load l4proto => reg {} ]", dreg.0)],
        Expr::Cmp { sreg, data, .. } => vec![format!("[ cmp eq reg {} 0x{} ]", sreg.0, words(data))],
        Expr::Payload { base, offset, len, dreg } => {
            let base = if base.0 == 1 { "network" } else { "transport" };
            vec![format!("[ payload load {len}b @ {base} header + {offset} => reg {} ]", dreg.0)]
        }
        Expr::Lookup { sreg, dreg: Some(dreg), set: LookupSet::Anonymous(set), .. } => {
            let element = |element: &ElementCode| match element.data.as_deref() {
                Some(ElementDataCode::Value(value)) => format!("element {} : {}", words(&element.key), words(value)),
                _ => "element".to_owned(),
            };
            let mut all: Vec<String> = set.elements.iter().map(element).collect();
            all.push(format!("[ lookup reg {} set __map%d dreg {} ]", sreg.0, dreg.0));
            all
        }
        other => vec![format!("{other:?}")],
    }
}

/// Writes bytes in words of the host.
fn words(bytes: &[u8]) -> String {
    let padded: Vec<u8> = bytes.iter().copied().chain([0; 3]).take(bytes.len().next_multiple_of(4)).collect();
    let word = |word: &[u8]| {
        word.try_into().map_or_else(|_| String::new(), |word| format!("{:08x}", u32::from_ne_bytes(word)))
    };
    padded.chunks(4).map(word).collect::<Vec<_>>().join(" ")
}
