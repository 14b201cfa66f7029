//! Rules of every part of the language, chosen by hand: each is read to nft's program, listed as nft
//! lists it in text and in JSON, and read back from both.

use super::text_random::all_are_read;

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
    all_are_read(&texts(&[
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
}
