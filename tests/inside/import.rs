//! Any words and any text are imported, or refused with a position and a reason.

use nftmesh::fuzz;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_words_are_imported_or_refused(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..40), odd in "\\PC{0,6}") {
        let mut text = "*mangle\n:A - [0:0]\n-A A ".to_owned();
        words.iter().for_each(|word| text.extend([word, " "]));
        text.push_str(&odd);
        text.push_str("\nCOMMIT\n");
        fuzz::import(text.as_bytes());
    }

    #[test]
    fn any_text_is_imported_or_refused(text in "(\\PC|\n){0,200}") {
        fuzz::import(text.as_bytes());
    }
}

const WORDS: &[&str] = &[
    "\n-A A ",
    "!",
    "-s",
    "1.2.3.4",
    "1.2.3.0/24,9.9.9.9",
    "::1",
    "-d",
    "-i",
    "eth+",
    "-o",
    "-p",
    "tcp",
    "udp",
    "icmp",
    "-m",
    "tcp",
    "multiport",
    "owner",
    "mark",
    "connmark",
    "conntrack",
    "comment",
    "limit",
    "socket",
    "-f",
    "--dport",
    "--sport",
    "80",
    "80:90",
    "--ports",
    "1,2:3",
    "--uid-owner",
    "1337",
    "7-9",
    "--mark",
    "0x1/0xff",
    "--ctstate",
    "NEW,ESTABLISHED",
    "SNAT",
    "--comment",
    "\"a b\"",
    "--limit",
    "5/min",
    "--transparent",
    "-j",
    "ACCEPT",
    "A",
    "DROP",
    "MARK",
    "--set-mark",
    "TPROXY",
    "--on-port",
    "--tproxy-mark",
    "LOG",
    "--log-prefix",
    "-g",
    "CONNMARK",
    "--save-mark",
    "--tcp-flags",
    "SYN,ACK",
    "--syn",
    "--socket-exists",
    "--what",
    "-c",
    "1 2",
    "-I A 1",
];
