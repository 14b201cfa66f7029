use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::Reader;
use crate::bytecode::{Expr, lower};
use crate::fuzz;
use crate::model::{Element, Family, Rule, Ruleset, SetFlags, SetPolicy, SetRef, Statement, Table, TableId};
use crate::plan::Transaction;

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

/// Texts with a fault, its line and column, and the beginning of what is said.
const FAULTS: &[(&str, (usize, usize), &str)] = &[
    (
        "table inet t {\n\tchain c {\n\t\ttcp dprot 80 accept\n\t}\n}",
        (3, 7),
        "tcp \"dprot\" (known: ackseq, checksum, doff, dport, flags, reserved, sequence, sport, urgptr, window)",
    ),
    ("table inet t { chain c { ip saddr 300.0.0.1; } }", (1, 35), "found \"300.0.0.1\", expected an IPv4 address"),
    ("table inet t { chain c { tcp dport 99999; } }", (1, 36), "99999 is too large, expected a port"),
    ("table inet t { chain c { mark 0x1ffffffff; } }", (1, 31), "8589934591 is too large, expected a mark"),
    (
        "table inet t { chain c { mark 99999999999999999999999; } }",
        (1, 31),
        "99999999999999999999999 is too large, expected a mark",
    ),
    (
        "table inet t { chain c { mark 9999999999999999999999999999999999999999; } }",
        (1, 31),
        "\"9999999999999999999999999999999999999999\" is no number",
    ),
    ("table inet t { chain c { ip saddr ::1; } }", (1, 35), "found \"::1\", expected an IPv4 address"),
    ("table inet t { chain c { tcp dport 80", (1, 38), "the text ends, expected \"}\""),
    ("table inet t { chain c { tcp dport \n80; } }", (1, 36), "the line ends, expected a port"),
    ("table inet t { chain c { tcp dport { 80 81 }; } }", (1, 41), "found \"81\", expected \",\" or \"}\""),
    ("table inet t { chain c { tcp dport 80 acept; } }", (1, 39), "a statement or field that begins with \"acept\""),
    (
        "table inet t { chain c { type filter hook inptu priority 0; } }",
        (1, 43),
        "found \"inptu\", expected a hook (pre",
    ),
    (
        "table inet t { chain c { type nat hook output priority dstnat; } }",
        (1, 56),
        "found \"dstnat\", expected a prior",
    ),
    ("table inet t { chain c { ip saddr $x; } }", (1, 35), "no variable \"x\" is defined here"),
    ("table inet t { set s { type ipv4_adr; } }", (1, 29), "type \"ipv4_adr\" (known: arp_op,"),
    ("table inet t { set s { elements = { 1 }; } }", (1, 24), "the type of a set comes before its elements"),
    ("table inet t { chain c { log prefix \"a; } }", (1, 37), "this quote is not closed"),
    ("table inet t { chain c { ct state new \u{0}; } }", (1, 39), "character \"\\0\" begins nothing"),
    ("tabel inet t { }", (1, 1), "found \"tabel\", expected a command"),
    ("table inet t { } table inet u { }", (1, 18), "found \"table\", expected the end of the line"),
    ("table inet t { chain c { tcp dport 9-3; } }", (1, 36), "the range that begins with \"9\" ends before"),
    ("table inet t { chain c { ip daddr 10.0.0.0/33; } }", (1, 44), "33 is more than 32"),
    ("table ip t { chain c { dnat to fe80::1; } }", (1, 32), "expected an address of family ip"),
    (
        "table inet t { chain c { drop comment \"x\" accept; } }",
        (1, 43),
        "found \"accept\", expected the end of the rule",
    ),
    ("table ip t { chain c { ip6 saddr ::1; }; }", (1, 24), "ip6 saddr: a table of family ip has no such packets"),
    (
        "table inet t { chain c { tcp dport 1 udp dport 2; }; }",
        (1, 38),
        "udp dport: the rule is about packets of tcp already",
    ),
    ("table ip t { chain c { accept counter; }; }", (1, 31), "found \"counter\", expected the end of the rule, as"),
    ("table ip t { chain c { meta nfproto ipv4; }; }", (1, 24), "meta nfproto is of tables of family inet"),
    ("table inet t { chain c { dnat to 1.2.3.4; }; }", (1, 26), "the family is open: write dnat ip to"),
    ("table inet t { chain c { tproxy to 1.2.3.4; }; }", (1, 26), "the family is open: write tproxy ip to"),
    ("table ip t { chain c { rt ip6 nexthop ::1; }; }", (1, 24), "rt ip6 nexthop: a table of family ip has no"),
    ("table inet t { chain c { limit rate until 5/second; }; }", (1, 37), "found \"until\", expected a rate"),
    ("include \"a\"", (1, 1), "include: no files are read here"),
    ("delete table inet t", (1, 1), "table inet t is not there"),
    ("define x = 1\ndefine x = 2", (2, 8), "variable \"x\" is defined already"),
];

#[test]
fn a_fault_has_its_place_and_says_what_is_accepted() {
    for (text, place, says) in FAULTS {
        let error = text.parse::<Ruleset>().expect_err(text);
        assert_eq!((error.line, error.column), *place, "{error}");
        assert!(error.fault.starts_with(says), "{error}\nnot\n{says}");
        let shown = error.to_string();
        assert!(shown.lines().count() == 3 && shown.lines().nth(2).is_some_and(|mark| mark.ends_with('^')), "{shown}");
        assert!(!error.one_line().contains('\n'));
    }
}

#[test]
fn the_mark_is_below_the_fault_in_a_long_line_with_foreign_characters() {
    let text = format!(
        "table inet t {{\n\tchain c {{ log prefix \"{}\u{202e}\u{e4}\" dorp {}; }}\n}}",
        "x".repeat(90),
        "y".repeat(200)
    );
    let error = text.parse::<Ruleset>().expect_err("dorp is nothing");
    let shown = error.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let [_, line, mark] = lines.as_slice() else { panic!("{shown}") };
    let at = mark.find('^').expect("a mark");
    assert_eq!(line.chars().skip(at).take(4).collect::<String>(), "dorp", "{shown}");
    assert!(line.chars().count() < 140, "{shown}");
}

#[test]
fn bytes_that_are_not_text_are_an_error() {
    let error = Reader::new().ruleset(b"table inet t {\n\xff}".as_slice()).expect_err("not UTF-8");
    assert_eq!((error.line, error.column), (2, 1), "{error}");
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

/// Returns the programs of the rules of every chain.
fn programs(ruleset: &Ruleset) -> BTreeMap<String, Vec<Vec<Expr>>> {
    let mut all = BTreeMap::new();
    for table in &ruleset.tables {
        for chain in &table.chains {
            let programs = chain.rules.iter().map(|rule| {
                lower(rule, table.family, table.sets.as_slice()).expect("a valid rule has a program").exprs
            });
            all.insert(format!("{} {} {}", table.family, table.name, chain.name), programs.collect());
        }
    }
    all
}

/// Returns the plan from what one makes of nothing to the other; nothing if the fake kernel cannot
/// tell what it makes.
fn differences(held: &Ruleset, wanted: &Ruleset) -> Option<Transaction> {
    let held = fuzz::held(held)?;
    let ours: Vec<TableId> = held.tables.iter().map(|table| table.id.clone()).collect();
    Some(crate::plan::diff(&held, wanted, &ours).expect("what is valid has a program"))
}

fn has_a_key_twice(ruleset: &Ruleset) -> bool {
    let twice = |elements: &[Element]| {
        let mut seen = HashSet::new();
        !elements.iter().all(|element| seen.insert(&element.key))
    };
    let anonymous = |statement: &Statement| {
        statement.sets().any(|set| match set {
            SetRef::Anonymous(elements) => twice(elements),
            SetRef::Named(_) => false,
        })
    };
    let rules = |table: &Table| {
        table.chains.iter().flat_map(|chain| &chain.rules).any(|rule| rule.statements.iter().any(anonymous))
    };
    ruleset.tables.iter().any(|table| table.sets.iter().any(|set| twice(&set.elements)) || rules(table))
}

/// Reads what a rule set prints. It prints the same; it is the same, if nft's text says all of it.
pub(crate) fn reads_back(ruleset: &Ruleset) -> bool {
    // A rule without statements prints as nothing, or as the comment of its chain.
    let mut ruleset = ruleset.clone();
    for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
        chain.rules.retain(|rule| !rule.statements.is_empty());
    }
    // nft says nothing of what only decides about elements that are added, where none can be.
    for set in ruleset.tables.iter_mut().flat_map(|table| &mut table.sets) {
        if set.flags.contains(SetFlags::CONSTANT) {
            (set.size, set.policy) = (None, SetPolicy::Performance);
        }
    }
    let ruleset = &ruleset;
    let text = ruleset.to_string();
    let read = match text.parse::<Ruleset>() {
        Ok(read) => read,
        // nft asks for the network layer before that field, which the model does not say, and has no
        // words for maps to some objects, and for ranges of classes.
        Err(error)
            if ["after a field of the link layer", "a map with a name leads to", "expected a class"]
                .iter()
                .any(|known| error.to_string().contains(known)) =>
        {
            return false;
        }
        Err(error) => panic!("{error}\n{text}"),
    };
    // What nft does not say of the order of a rule is settled by reading it once, and elements with
    // the same key have no order.
    if has_a_key_twice(ruleset) {
        return false;
    }
    let (text, same) = (read.to_string(), read.to_string() == text && programs(&read) == programs(ruleset));
    let again = text.parse::<Ruleset>().unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.to_string(), text);
    assert_eq!(programs(&again), programs(&read), "{text}");
    if same {
        if let Some(plan) = differences(ruleset, &read) {
            assert!(plan.is_empty(), "{plan}of\n{text}");
        }
    }
    same
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_rule_sets_are_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Some(ruleset) = fuzz::ruleset(&bytes, None) {
            reads_back(&ruleset);
        }
    }

    #[test]
    fn no_text_panics(words in proptest::collection::vec(0..WORDS.len(), 0..60), odd in any::<String>()) {
        let text: Vec<&str> = words.into_iter().filter_map(|index| WORDS.get(index).copied()).collect();
        for text in [text.join(" "), text.concat(), odd.clone(), format!("table t {{ chain c {{ {}", text.join(" "))] {
            drop((text.parse::<Ruleset>(), text.parse::<Transaction>(), text.parse::<Rule>()));
        }
    }
}

const WORDS: &[&str] = &[
    "table",
    "inet",
    "t",
    "{",
    "}",
    "chain",
    "c",
    "ip",
    "saddr",
    "10.0.0.1",
    "/",
    "8",
    "tcp",
    "dport",
    "22",
    "-",
    "80",
    "@",
    "s",
    ";",
    "\n",
    ",",
    "set",
    "type",
    "ipv4_addr",
    "elements",
    "=",
    ".",
    "ct",
    "state",
    "new",
    "|",
    "(",
    ")",
    "mark",
    "meta",
    "and",
    "0xff",
    "==",
    "jump",
    "vmap",
    ":",
    "accept",
    "map",
    "define",
    "x",
    "$x",
    "include",
    "\"a\"",
    "flags",
    "syn",
    "dnat",
    "to",
    "limit",
    "rate",
    "5/second",
    "log",
    "prefix",
    "add",
    "rule",
    "element",
    "index",
    "*",
    "::1",
    "comment",
    "1h30m",
    "\\",
    "#",
    "\"",
    "timeout",
    "hook",
    "input",
    "priority",
    "filter",
    "+",
];

#[test]
fn most_generated_rule_sets_are_the_same_when_read_back() {
    let (mut same, mut all, mut state) = (0, 0, 1_u64);
    for _ in 0..1000 {
        let bytes = crate::testing::bytes(&mut state, 500);
        let Some(ruleset) = fuzz::ruleset(&bytes, None) else { continue };
        all += 1;
        same += usize::from(reads_back(&ruleset));
    }
    println!("{same} of {all} generated rule sets are the same when read back");
    assert!(same * 10 > all * 5, "{same} of {all}");
}

#[test]
fn a_table_without_anything_is_read_back() {
    let empty = Ruleset::new().table(Table::new(Family::Netdev, "t"));
    assert_eq!(empty.to_string().parse::<Ruleset>(), Ok(empty));
    assert_eq!("".parse::<Ruleset>(), Ok(Ruleset::new()));
}
