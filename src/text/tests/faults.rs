//! Faults of texts: where they are, and what is said of them.

use super::super::Reader;
use crate::model::Ruleset;

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
