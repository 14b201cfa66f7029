//! The kernel's rules, decoded, raised and printed, are what nft lists, and the raised rules commit
//! to the same.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fmt::Write as _;
use std::fs;

use nftmesh::bytecode::{Expr, LookupSet, MetaKey, Register, lower, same_programs};
use nftmesh::kernel::Kernel;
use nftmesh::model::{Family, Nfproto, Position, Rule, Statement, TableId};
use nftmesh::plan::Transaction;
use nftmesh::state::{Snapshot, TableState};
use support::version::{OWNED_TABLES, needs_linux};
use support::{
    assert_lists_as_nft, assert_same, command, in_fresh_netns, nft, nft_fails, nft_script, shared_dir, succeed,
    timeless,
};

/// Comparisons that a field supports.
#[derive(Clone, Copy)]
enum Kind {
    /// `field A`, `field != A`, `field { A, B }`, `field != { A, B }`.
    Plain,
    /// Also `field A-B`, `field > A`.
    Ordered,
    /// Also `field A/N`.
    Address,
    /// Also `field & A == B`.
    Mark,
    /// `field A,B`, `field ! A,B`, `field == A`, `field & (A | B) == A`.
    Flags,
}

const FIELDS: &[(&str, Kind, &[&str])] = &[
    ("iif", Kind::Plain, &["lo"]),
    ("oif", Kind::Plain, &["lo"]),
    ("iifname", Kind::Plain, &["\"eth0\"", "\"veth*\"", "\"lo\"", "\"odd\\*\""]),
    ("oifname", Kind::Plain, &["\"eth1\"", "\"lo\""]),
    ("meta nfproto", Kind::Plain, &["ipv4", "ipv6"]),
    ("meta l4proto", Kind::Plain, &["tcp", "udp", "icmp", "ipv6-icmp", "99", "sctp"]),
    ("meta mark", Kind::Mark, &["0x1", "0x100", "0xffffffff"]),
    ("meta skuid", Kind::Ordered, &["0", "1000", "70000"]),
    ("meta skgid", Kind::Ordered, &["0", "1000", "70000"]),
    ("meta cgroup", Kind::Ordered, &["1", "5", "70000"]),
    ("meta pkttype", Kind::Plain, &["host", "broadcast", "multicast", "other"]),
    ("meta length", Kind::Ordered, &["64", "100", "1500"]),
    ("ip saddr", Kind::Address, &["10.0.0.1", "10.0.0.9", "192.168.0.0/16", "10.128.0.0/9", "1.2.3.0/24"]),
    ("ip daddr", Kind::Address, &["127.0.0.1", "127.0.0.6", "0.0.0.0/1", "255.255.255.255"]),
    ("ip6 saddr", Kind::Address, &["::1", "fd00::1", "fd00::/8", "fe80::/10", "2001:db8::/32", "::6"]),
    ("ip6 daddr", Kind::Address, &["::ffff:1.2.3.4", "fd00::2", "fd00:1::/64", "ff02::/127"]),
    ("ip protocol", Kind::Plain, &["tcp", "udp", "icmp", "esp"]),
    ("tcp sport", Kind::Ordered, &["1", "80", "65535"]),
    ("tcp dport", Kind::Ordered, &["22", "443", "15001", "15006"]),
    ("udp sport", Kind::Ordered, &["53", "5353"]),
    ("udp dport", Kind::Ordered, &["53", "15053"]),
    ("sctp sport", Kind::Ordered, &["1", "2"]),
    ("sctp dport", Kind::Ordered, &["3", "4"]),
    ("th sport", Kind::Ordered, &["5", "6"]),
    ("th dport", Kind::Ordered, &["7", "8"]),
    ("tcp flags", Kind::Flags, &["syn", "ack", "rst", "fin"]),
    ("icmp type", Kind::Plain, &["echo-request", "echo-reply", "redirect", "99"]),
    ("icmpv6 type", Kind::Plain, &["nd-neighbor-solicit", "echo-request", "99"]),
    ("ct state", Kind::Flags, &["established", "related", "new", "invalid", "untracked"]),
    ("ct status", Kind::Flags, &["dnat", "snat", "assured"]),
    ("ct mark", Kind::Mark, &["0x1", "0x539", "0x100"]),
    ("ct direction", Kind::Plain, &["original", "reply"]),
    ("ct zone", Kind::Ordered, &["1", "2", "300"]),
    ("socket transparent", Kind::Plain, &["1", "0"]),
    ("socket mark", Kind::Mark, &["0x1", "0x2"]),
    ("socket wildcard", Kind::Plain, &["0", "1"]),
    ("fib daddr type", Kind::Plain, &["local", "unicast", "broadcast"]),
];

/// Every field, compared in every way.
fn comparisons(family: &str) -> Vec<String> {
    let foreign: &[&str] = match family {
        "ip" => &["ip6 ", "icmpv6", "meta nfproto"],
        "ip6" => &["ip s", "ip d", "ip p", "icmp ", "meta nfproto"],
        _ => &[],
    };
    let fields = FIELDS.iter().filter(|(field, ..)| !foreign.iter().any(|prefix| field.starts_with(prefix)));
    fields.flat_map(|(field, kind, values)| comparisons_of(field, *kind, values)).collect()
}

fn comparisons_of(field: &str, kind: Kind, values: &[&'static str]) -> Vec<String> {
    let mut rules = Vec::new();
    let ends = |all: &[&'static str]| all.first().copied().zip(all.last().copied()).expect("a field has values");
    let (first, last) = ends(values);
    let list = values.join(", ");
    let points: Vec<&'static str> = values.iter().copied().filter(|value| !value.contains('/')).collect();
    if !matches!(kind, Kind::Flags) {
        rules.extend(values.iter().map(|value| format!("{field} {value}")));
        rules.extend(values.iter().map(|value| format!("{field} != {value}")));
        rules.extend([format!("{field} {{ {list} }} accept"), format!("{field} != {{ {list} }} drop")]);
    }
    if matches!(kind, Kind::Ordered | Kind::Mark | Kind::Address) {
        let (low, high) = ends(&points);
        rules.extend([format!("{field} {low}-{high}"), format!("{field} != {low}-{high}")]);
        rules.push(format!("{field} {{ {low}-{high} }} counter"));
        rules.push(format!("{field} vmap {{ {low}-{high} : accept }}"));
    }
    if matches!(kind, Kind::Ordered | Kind::Mark) {
        rules.extend(["<", "<=", ">", ">="].map(|op| format!("{field} {op} {last}")));
    }
    if matches!(kind, Kind::Mark) {
        rules.extend(["0xff", "0xf0f", "0xffffffff"].map(|mask| format!("{field} & {mask} == {first}")));
        rules.extend(["==", "!="].map(|op| format!("{field} & 0xff {op} 0")));
        rules.push(format!("{field} & 0xff00 != 0x100"));
    }
    if matches!(kind, Kind::Flags) {
        rules.extend(values.iter().map(|value| format!("{field} {value} accept")));
        rules.extend([
            format!("{field} {first},{last}"),
            format!("{field} ! {first}"),
            format!("{field} ! {first},{last}"),
        ]);
        rules.extend([format!("{field} == {first}"), format!("{field} != {first}")]);
        rules.extend([format!("{field} == {first}|{last}"), format!("{field} != {first}|{last}")]);
        rules.extend([
            format!("{field} {{ {first}, {last} }}"),
            format!("{field} vmap {{ {first} : accept, {last} : drop }}"),
        ]);
        rules.push(format!("{field} & ({first} | {last}) == {first}"));
        rules.push(format!("{field} & ({first} | {last}) != {first} | {last}"));
    }
    rules
}

/// Rules of several matches, in orders that matter to nft.
const COMBINED: &[&str] = &[
    "tcp dport 80 tcp sport 1",
    "tcp sport 1 tcp dport 80",
    "tcp dport 80 counter tcp sport 1",
    "udp sport 53 udp dport 5353 accept",
    "meta l4proto tcp accept",
    "meta l4proto tcp iifname \"lo\" tcp dport 80",
    "meta l4proto tcp th dport 80",
    "meta l4proto udp th sport 53 th dport 53",
    "meta l4proto 33 th dport 80",
    "meta l4proto { tcp, udp } th dport 53 accept",
    "meta l4proto tcp counter tcp dport 80",
    "meta l4proto tcp counter accept",
    "meta nfproto ipv4 accept",
    "meta nfproto ipv4 meta l4proto tcp accept",
    "meta nfproto ipv4 tcp dport 80",
    "meta nfproto ipv6 tcp dport 80 ct state new",
    "iifname \"lo\" oifname != \"lo\" meta mark 5 tcp dport 80 ct state new counter accept",
    "meta skuid 1337 meta skgid 1337 tcp dport != 15008 counter return",
    "ct state established,related counter accept comment \"known\"",
    "tcp flags syn / fin,syn,rst,ack tcp dport 80 drop",
    "tcp dport { 80, 443 } tcp sport 1024-65535 accept",
    "tcp dport 80 log prefix \"a b\" accept",
    "iifname . tcp dport { \"lo\" . 80, \"eth0\" . 443 } accept",
    "meta mark . iifname { 0x1 . \"lo\", 0x100 . \"lo\" } drop",
    "tcp dport . meta skuid vmap { 80 . 0 : accept, 443 . 1000 : jump r }",
    "tcp sport . tcp dport { 1-5 . 80, 7 . 443-500 }",
    "tcp dport vmap { 80 : accept, 443 : jump r, 22 : goto r, 23 : drop, 24 : return, 25 : continue }",
    "tcp dport vmap { 80-90 : accept, 443 : drop }",
    "tcp dport vmap @ports",
    "tcp dport @services accept",
    "tcp dport != @services drop",
    "meta mark set tcp dport map { 80 : 0x1, 443 : 0x2 }",
    "ct mark set tcp dport map { 80-90 : 0x1 }",
    "meta mark set tcp dport map @marks",
    "meta mark @some_marks",
    "meta mark @mark_ranges",
    "meta skuid . tcp dport @owners",
];

/// Such rules with IPv4 addresses.
const COMBINED4: &[&str] = &[
    "ip saddr 10.0.0.1 ip daddr 10.0.0.2",
    "ip daddr 10.0.0.2 ip saddr 10.0.0.1",
    "ip saddr 10.0.0.0/8 ip daddr 10.0.0.2 tcp dport 80",
    "ip saddr 10.0.0.1 tcp sport 1 tcp dport 80",
    "tcp dport 80 ip saddr 10.0.0.1",
    "meta l4proto tcp ip daddr != 127.0.0.1 tcp dport != 15008",
    "ip protocol tcp tcp dport 80",
    "ip protocol tcp counter",
    "ip protocol icmp icmp type echo-request",
    "icmp type echo-request ip saddr 1.2.3.4",
    "meta l4proto icmp icmp type echo-request accept",
    "meta l4proto icmp accept",
    "ip saddr 10.0.0.1 meta l4proto udp",
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.0.0.2 . 443 } accept",
    "ip saddr . ip daddr . tcp dport { 10.0.0.0/8 . 10.0.0.1 . 80-90 } drop",
    "tcp dport . ip daddr { 80 . 1.2.3.4 }",
    "meta mark set ip saddr map { 10.0.0.0/8 : 0x1, 192.168.0.1 : 0x2 }",
    "ip saddr & 255.0.255.0 == 10.0.1.0",
    "ip saddr & 255.255.0.0 == 10.0.0.0",
    "ip daddr & 0.0.0.255 != 0.0.0.1",
    "ip saddr { 10.0.0.0/24, 10.0.1.0/24, 10.0.4.1-10.0.4.9 }",
    "fib daddr type local ip daddr != 127.0.0.0/8",
];

const TARGETS: &[&str] = &[
    "accept",
    "drop",
    "return",
    "continue",
    "jump r",
    "goto r",
    "counter",
    "counter packets 5 bytes 6 accept",
    "log",
    "log prefix \"hello world \"",
    "log prefix \"x\" level debug",
    "log level audit",
    "log level warn",
    "log level emerg flags all",
    "log flags tcp sequence,options",
    "log flags ip options",
    "log flags skuid flags ether",
    "log group 5",
    "log prefix \"p\" group 5 snaplen 64 queue-threshold 3",
    "limit rate 10/second",
    "limit rate over 10/minute burst 7 packets",
    "limit rate 400/hour accept",
    "limit rate 3/day",
    "limit rate 3/week",
    "limit rate 10 mbytes/second",
    "limit rate over 1023 kbytes/minute burst 5 kbytes drop",
    "limit rate 1025 bytes/hour burst 10 bytes",
    "meta mark set 0x539",
    "meta mark set 0",
    "ct mark set 5",
    "meta mark set ct mark",
    "ct mark set meta mark",
    "meta mark set meta mark & 0xff",
    "meta mark set meta mark | 0x100",
    "meta mark set meta mark ^ 0x100",
    "meta mark set meta mark & 0xffff00ff | 0x500",
    "ct mark set ct mark & 0xffff0000 ^ 0x1",
    "meta mark set ct mark & 0xff",
    "ct mark set meta mark | 0xff000000",
    "meta nftrace set 1",
    "meta nftrace set 0",
];

const REJECTS: &[&str] = &[
    "reject",
    "tcp dport 80 reject with tcp reset",
    "meta l4proto tcp reject with tcp reset",
    "reject with tcp reset",
    "counter reject",
];

const REJECTS_INET: &[&str] = &[
    "reject with icmpx port-unreachable",
    "reject with icmpx admin-prohibited",
    "reject with icmpx no-route",
    "reject with icmp host-unreachable",
    "reject with icmp port-unreachable",
    "ip saddr 1.2.3.4 reject with icmp admin-prohibited",
    "meta nfproto ipv4 counter reject with icmp host-prohibited",
    "counter reject with icmpv6 no-route",
    "ip6 saddr ::1 reject with icmpv6 admin-prohibited",
    "tcp dport 80 ip saddr 1.2.3.4 reject with icmp net-unreachable",
];

const RAW: &[&str] = &["notrack", "ct zone set 1", "ct zone set 65535 accept", "udp dport 53 notrack"];

const TPROXY: &[&str] = &[
    "tcp dport 80 tproxy to :15006",
    "tcp dport 80 tproxy to :15006 meta mark set 0x539 accept",
    "meta l4proto tcp meta mark set 0x539 tproxy to :15006 accept",
];

const NAT: &[&str] = &[
    "meta l4proto tcp redirect to :15001",
    "redirect",
    "tcp dport 80 redirect to :15001-15006",
    "udp dport 53 redirect to :15053 random,persistent",
    "meta l4proto tcp counter redirect to :15006 comment \"in\"",
    "tcp dport 80 dnat to :8080",
];

const NAT4_INET: &[&str] = &[
    "dnat ip to 1.2.3.4",
    "dnat ip to 1.2.3.4-1.2.3.9",
    "dnat ip to 10.0.0.0/24",
    "dnat ip to 10.0.0.0-10.0.0.255 persistent",
    "tcp dport 80 dnat ip to 1.2.3.4:80",
    "tcp dport 80 dnat ip to 10.0.0.0-10.0.0.255:80",
    "tcp dport 80 dnat ip to 10.0.0.1-10.0.0.5:80-90 random",
    "tcp dport 80 dnat ip6 to [fd00::1]:80",
    "tcp dport 80 dnat ip6 to [fd00::]-[fd00::ff]:80",
    "tcp dport 80 dnat ip6 to [fd00::1]-[fd00::5]:80-90",
    "dnat ip6 to fd00::1 fully-random",
    "meta nfproto ipv4 tcp dport 80 dnat to :80",
];

const SOURCE: &[&str] = &[
    "masquerade",
    "masquerade random,persistent",
    "meta l4proto tcp masquerade to :1024-2048",
    "oifname \"eth0\" masquerade fully-random",
];

const SETS: &str = r#"
    set services { type inet_service; flags interval; auto-merge; elements = { 80-90, 443, 91-100 }; }
    set plain { type inet_service; elements = { 1, 2, 3, 4, 5, 6, 7, 65535 }; }
    set last { type inet_service; flags interval; elements = { 0-5, 65000-65535 }; }
    set apart { type ipv4_addr; flags interval; elements = { 10.0.0.0/24, 10.0.1.0/24, 10.0.4.1-10.0.4.9, 255.0.0.0/8 }; }
    set six { type ipv6_addr; flags interval; elements = { ::1, fd00::/8, fe80::1-fe80::9 }; }
    set addresses { type ipv4_addr; elements = { 10.0.0.3, 10.0.0.1, 9.0.0.2, 1.2.3.4, 255.255.255.255 }; }
    set named { type ifname; elements = { "lo", "eth0", "veth1" }; }
    set patterns { type ifname; flags interval; elements = { "veth*", "lo" }; }
    set empty { type ipv4_addr; }
    set commented { type inet_proto; comment "why it exists"; elements = { tcp comment "t", 99 }; }
    set aging { type ipv4_addr; timeout 1m; gc-interval 10s; size 128; elements = { 1.2.3.4, 1.2.3.5 timeout 1h comment "c" }; }
    set dyn { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m; }
    set some_marks { type mark; elements = { 0x1, 0x100, 0x10000 }; }
    set mark_ranges { type mark; flags interval; elements = { 0x1-0xff, 0x1000 }; }
    set owners { type uid . inet_service; elements = { 0 . 80, 1000 . 443 }; }
    set groups { type gid; elements = { 0, 1000 }; }
    set states { type ct_state; elements = { new, established }; }
    set kinds { type pkt_type; elements = { host, broadcast, other }; }
    set flags_ { type tcp_flag; elements = { syn, ack }; }
    set icmps { type icmp_type; elements = { echo-request, echo-reply }; }
    set icmp6s { type icmpv6_type; elements = { echo-request, nd-router-advert }; }
    set interfaces { type iface_index; elements = { lo, 77 }; }
    map ports { type inet_service : verdict; elements = { 80 : accept, 443 comment "z" : jump r }; }
    map ranges { type inet_service : verdict; flags interval; elements = { 80-90 : accept, 443 : drop }; }
    map marks { type inet_service : mark; elements = { 80 : 0x1, 443 : 0x2 }; }
    map addresses_ { type ipv4_addr : ipv4_addr; flags interval; elements = { 10.0.0.0/8 : 1.2.3.4 }; }
    map pairs { type ipv4_addr . inet_service : verdict; elements = { 1.2.3.4 . 80 : accept }; }
"#;

/// Parts of sets that are not in the model: typeof declarations, storage options, and data of
/// elements.
const OTHER_SETS: &str = r#"
table inet other {
    set counting { type ipv4_addr; counter; elements = { 1.2.3.4 counter packets 4 bytes 5, 1.2.3.5 }; }
    set small { type ipv4_addr; policy memory; size 9; elements = { 1.2.3.4 }; }
    set frozen { type inet_service; flags constant; elements = { 1 }; }
    set typed { typeof ip saddr . tcp dport; flags interval; elements = { 10.0.0.0/8 . 80-90, 1.2.3.4 . 443 }; }
    set lengths { typeof meta length; elements = { 100, 64 }; }
    set zones { typeof ct zone; elements = { 1, 300 }; }
    set length_ranges { typeof meta length; flags interval; elements = { 64-100, 1500 }; }
    set transparent { typeof socket transparent; elements = { 1 }; }
    map typed_map { typeof tcp dport : meta mark; elements = { 80 : 0x1 }; }
}
"#;

/// Returns a table of that family with chains at every hook.
fn script(family: &str) -> String {
    let lines = |rules: &[String]| rules.iter().fold(String::new(), |text, rule| text + "\t\t" + rule + "\n");
    let fixed = |parts: &[&[&str]]| lines(&parts.concat().iter().map(ToString::to_string).collect::<Vec<_>>());
    let (four, inet) = (family != "ip6", family == "inet");
    let some = |wanted: bool, rules: &'static [&'static str]| if wanted { rules } else { &[] };
    let combined: Vec<&str> = COMBINED.iter().copied().filter(|rule| inet || !rule.contains("nfproto")).collect();
    let mut text = format!("table {family} t {{\n{SETS}\n\tchain r {{ }}\n");
    let mut chain = |name: &str, base: &str, rules: String| {
        write!(text, "\tchain {name} {{\n\t\t{base}\n{rules}\t}}\n").expect("a string takes all");
    };
    chain("compare", "", lines(&comparisons(family)));
    chain("combined", "", fixed(&[&combined, some(four, COMBINED4)]));
    let input = "comment \"where it stands\"; type filter hook input priority filter; policy drop;";
    chain("input", input, fixed(&[TARGETS, REJECTS, some(inet, REJECTS_INET)]));
    chain("raw", "type filter hook prerouting priority raw - 5;", fixed(&[RAW, TPROXY]));
    chain("nat", "type nat hook prerouting priority dstnat;", fixed(&[NAT, some(inet, NAT4_INET)]));
    chain("source", "type nat hook postrouting priority srcnat + 1;", fixed(&[SOURCE]));
    chain("route", "type route hook output priority mangle;", String::new());
    text + "}\n"
}

fn rules(snapshot: &Snapshot) -> impl Iterator<Item = (&TableState, &nftmesh::state::RuleState)> {
    let of = |table| move |rule| (table, rule);
    let tables = snapshot.tables.iter();
    tables.flat_map(move |table| table.chains.iter().flat_map(|chain| &chain.rules).map(of(table)))
}

fn neighbours(rule: &str) -> bool {
    ["tcp sport 1 tcp dport", "udp sport 53 udp dport", "th sport 53 th dport", "ip saddr 10.0.0.1 ip daddr"]
        .iter()
        .any(|two| rule.contains(two))
}

/// Returns whether a mask keeps whole bytes; nft sends it as typed and does not list it.
fn needless(exprs: &[Expr]) -> bool {
    exprs.iter().any(|expr| match expr {
        Expr::Bitwise(code) => {
            let kept = code.mask.iter().take_while(|byte| **byte == 0xff).count();
            kept > 0 && code.mask.iter().skip(kept).all(|byte| *byte == 0)
        }
        _ => false,
    })
}

#[test]
fn every_rule_of_the_grammar_lists_as_in_nft_and_commits_to_the_same() {
    for family in ["inet", "ip", "ip6"] {
        let (mut snapshot, mut listed) = (Snapshot::default(), String::new());
        in_fresh_netns(|| {
            nft_script(&script(family));
            snapshot = assert_lists_as_nft();
            listed = nft("list ruleset");
        });
        let raised = snapshot.raise();
        assert_eq!(raised.unnamed, [], "{family}");
        let all = || {
            raised.ruleset.tables.iter().flat_map(|table| {
                table.chains.iter().flat_map(move |chain| chain.rules.iter().map(move |rule| (table, rule)))
            })
        };
        let opaque = |rule: &Rule| rule.statements.iter().any(|statement| matches!(statement, Statement::Opaque(_)));
        let unknown: Vec<_> = all().filter(|(_, rule)| opaque(rule)).map(|(_, rule)| rule.to_string()).collect();
        assert!(unknown.is_empty(), "{family}\n{}", unknown.join("\n"));
        for ((_, state), (table, rule)) in rules(&snapshot).zip(all()) {
            let program = lower(rule, table.family, table.sets.as_slice()).expect("what was read can be lowered").exprs;
            let same = same_programs(&undescribed(program.clone()), &undescribed(state.exprs.clone()));
            assert!(
                same || neighbours(&rule.to_string()) || needless(&state.exprs),
                "{rule}\n{:#?}\n{program:#?}",
                state.exprs
            );
        }
        in_fresh_netns(|| {
            let transaction = Transaction::replace(raised.ruleset.clone());
            Kernel::open().expect("a socket").commit(&transaction).unwrap_or_else(|error| panic!("{family}: {error}"));
            let plain = |text: &str| timeless(text).replace("\t\tcomment \"where it stands\"\n", "");
            assert_same(&plain(&listed), &plain(&nft("list ruleset")), &format!("{family}, committed again"));
            assert_lists_as_nft();
        });
    }
}

/// Removes userdata and sizes of anonymous sets, where nft records the declared fields and counts
/// the ends of intervals.
fn undescribed(mut exprs: Vec<Expr>) -> Vec<Expr> {
    for expr in &mut exprs {
        if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } = expr {
            set.code.userdata.clear();
            set.code.size = None;
            // Userdata entry 1: the last interval has no end.
            let last = set.elements.iter_mut().filter(|element| element.userdata.first() == Some(&1));
            last.for_each(|element| element.userdata.clear());
        }
    }
    exprs
}

#[test]
fn the_grammar_has_hundreds_of_rules() {
    assert!(script("inet").lines().count() > 500, "{}", script("inet").lines().count());
}

#[test]
fn unnamed_parts_are_listed_in_place_in_a_form_that_nft_refuses() {
    in_fresh_netns(|| {
        nft_script(
            "table inet t {\n counter c { }\n chain c {\n numgen inc mod 3 0 tcp dport 80\n counter name c\n}\n}\n",
        );
        let mut kernel = Kernel::open().expect("a socket");
        // A load that nothing uses has no words.
        let load = Expr::Meta { key: MetaKey::L4PROTO, dreg: Register::FIRST };
        let rule = Rule::new().nfproto(Nfproto::IPV4).raw(load).accept();
        let chain = TableId::new(Family::Inet, "t").chain("c");
        kernel.commit(&Transaction::new().insert_rule(&chain, Position::First, rule)).expect("valid");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let expected = "table inet t {\n\tcounter c {\n\t\tpackets 0 bytes 0\n\t}\n\n\tchain c {\n\
                        \t\tmeta nfproto ipv4 <unknown meta> accept\n\
                        \t\tnumgen inc mod 3 0 tcp dport 80\n\
                        \t\tcounter name \"c\"\n\t}\n}\n";
        let listed = nftmesh::state::Listing::new(&snapshot).to_string();
        assert_same(expected, &listed, "listing");
        nft("flush ruleset");
        for line in listed.lines().filter(|line| line.contains("<unknown")) {
            let alone = format!("table inet t {{\n chain c {{\n{line}\n}}\n}}\n");
            assert!(nft_fails(&alone).contains("syntax error"), "{alone}");
        }
        let raised = snapshot.raise();
        assert_eq!(raised.unnamed, [], "all of it is kept");
        let printed = raised.ruleset.to_string();
        assert!(nft_fails(&printed).contains("syntax error"), "{printed}");
    });
}

#[test]
fn sets_list_their_declaration_and_element_data() {
    in_fresh_netns(|| {
        nft_script(OTHER_SETS);
        let snapshot = assert_lists_as_nft();
        assert_eq!(snapshot.raise().unnamed, []);
    });
}

#[test]
fn tables_of_every_family_list_with_their_hooks_flags_and_comments() {
    in_fresh_netns(|| {
        nft_script(
            "table inet d { comment \"sleeps\"; flags dormant; chain c { type filter hook input priority 0; }; }\n\
             table inet e { comment \"empty\"; }\n\
             table arp a { chain i { type filter hook input priority filter - 3; policy drop; }; chain o { type filter hook output priority 11; }; }\n\
             table bridge b { chain p { type filter hook prerouting priority dstnat; }; chain f { type filter hook forward priority 0; };\n\
             chain o { type filter hook output priority out + 1; }; chain s { type filter hook postrouting priority srcnat; }; }\n\
             table netdev n { chain i { type filter hook ingress device \"lo\" priority filter; }; }\n\
             table inet g { chain i { type filter hook ingress device \"lo\" priority 5; }; }\n\
             table ip6 s { chain i { type nat hook input priority 100; }; chain o { type nat hook output priority -100; }; }\n",
        );
        assert_lists_as_nft();
    });
}

#[test]
fn an_owned_table_lists_its_owner() {
    if !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let mut table = nftmesh::model::Table::new(nftmesh::model::Family::Inet, "mine");
        table.flags = nftmesh::model::TableFlags::OWNER;
        kernel.commit(&Transaction::add(nftmesh::model::Ruleset::new().table(table))).expect("a table");
        let snapshot = kernel.snapshot().expect("a snapshot");
        let owner = snapshot.tables.first().and_then(|table| table.owner).expect("an owner");
        let listing = nftmesh::state::Listing::new(&snapshot);
        assert_same("table inet mine { #\n\tflags owner\n}\n", &listing.to_string(), "nobody knows the program");
        let named = listing.programs([(owner, "list".to_owned())]);
        assert_same("table inet mine { # progname list\n\tflags owner\n}\n", &named.to_string(), "its name is known");
    });
}

#[test]
fn rules_of_iptables_nft_list_as_in_nft_except_for_extensions() {
    let Some(dir) = shared_dir() else { return };
    if !support::needs_root() {
        return;
    }
    let mut cases: Vec<_> =
        fs::read_dir(dir.join("cases")).expect("the recorded cases").flatten().map(|case| case.path()).collect();
    cases.sort();
    for case in cases {
        for (program, file) in
            [("iptables-nft-restore", "iptables-nft.save"), ("ip6tables-nft-restore", "ip6tables-nft.save")]
        {
            let Ok(rules) = fs::read_to_string(case.join(file)) else { continue };
            in_fresh_netns(|| {
                succeed(program, "", &rules);
                let output = command("nft").args(["list", "ruleset"]).output().expect("nft runs");
                let theirs = String::from_utf8_lossy(&output.stdout).into_owned();
                let snapshot = Kernel::open().expect("a socket").snapshot().expect("a snapshot");
                let listing = nftmesh::state::Listing::new(&snapshot);
                let ours = listing.to_string();
                assert_eq!(ours.lines().count(), theirs.lines().count(), "{}\n{ours}\n{theirs}", case.display());
                for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                    assert!(but_for_extensions(ours, theirs), "{}\n{ours}\n{theirs}", case.display());
                }
                let warnings: Vec<_> = listing.warnings().collect();
                assert_eq!(warnings, String::from_utf8_lossy(&output.stderr).lines().collect::<Vec<_>>());
            });
        }
    }
}

/// Returns whether both lines are the same except for extensions.
fn but_for_extensions(ours: &str, theirs: &str) -> bool {
    let mut rest = theirs;
    let mut first = true;
    let mut parts = ours
        .split("xt ")
        .map(|part| if std::mem::take(&mut first) { part } else { part.splitn(3, '"').nth(2).unwrap_or_default() });
    let Some(start) = parts.next() else { return false };
    let Some(after) = rest.strip_prefix(start) else { return false };
    rest = after;
    let mut last = "";
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        (rest, last) = (after, part);
    }
    rest.is_empty() || last.is_empty() && ours.contains("xt ")
}
