//! Statements, and what ends a rule.

use super::Dice;
use super::fields::{Kind, field, number, value};
use super::rules::{Within, comparison, elements, verdict};

/// Returns a statement after which a rule goes on.
pub(super) fn passing(dice: &mut Dice, within: &Within<'_>) -> String {
    match dice.below(20) {
        0 => "counter".into(),
        1 => format!("counter packets {} bytes {}", number(dice, 30), number(dice, 40)),
        2 => limit(dice),
        3 | 4 => log(dice),
        5 | 6 => set_mark(dice, within.family),
        7 => dice
            .pick(&["quota over 5 mbytes", "quota 10 bytes", "quota until 7 kbytes used 3 bytes", "last", "notrack"])
            .into(),
        8 => format!("ct count {}{}", dice.pick(&["", "over "]), number(dice, 16)),
        9..=12 => payload(dice, within.family),
        13 | 14 => metadata(dice, within.family),
        15 => tcp_option(dice),
        16 => generated(dice),
        17 => synproxy(dice),
        18 => format!("meter m{} {{ {} {} }}", number(dice, 4), field(dice, within.family).0, carried(dice)),
        _ => comparison(dice, within.family),
    }
}

/// Returns a statement that elements of sets carry.
pub(super) fn carried(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => "counter".into(),
        1 => limit(dice),
        2 => format!("ct count over {}", number(dice, 8)),
        _ => dice.pick(&["quota over 7 mbytes", "quota 100 bytes", "limit rate over 3/second"]).into(),
    }
}

pub(super) fn limit(dice: &mut Dice) -> String {
    let over = dice.pick(&["", "over ", "until "]);
    let unit = dice.pick(&["second", "minute", "hour", "day", "week"]);
    if dice.chance(60) {
        let burst = dice.pick(&["", " burst 7 packets", " burst 5 packets", " burst 100 packets"]);
        return format!("limit rate {over}{}/{unit}{burst}", dice.from(1, 900));
    }
    let size = dice.pick(&["bytes", "kbytes", "mbytes"]);
    let burst = dice.pick(&["", " burst 9 kbytes", " burst 1 bytes", " burst 2 mbytes"]);
    format!("limit rate {over}{} {size}/{unit}{burst}", dice.from(1, 4000))
}

fn log(dice: &mut Dice) -> String {
    let prefix = dice.pick(&["", " prefix \"a # b \"", " prefix \"x\"", " prefix word"]);
    let rest = dice.pick(&[
        "",
        " level debug",
        " level emerg",
        " group 7",
        " flags all",
        " flags tcp sequence",
        " flags tcp options,sequence",
        " flags ip options",
        " flags skuid flags ether",
        " level audit",
        " level notice flags skuid",
        " group 2 snaplen 9 queue-threshold 3",
        " group 65535 snaplen 65535",
    ]);
    format!("log{prefix}{rest}")
}

fn set_mark(dice: &mut Dice, family: &str) -> String {
    let marks =
        if ["arp", "netdev"].contains(&family) { &["meta mark"][..] } else { &["meta mark", "ct mark", "mark"] };
    let (to, from) = (dice.pick(marks), dice.pick(marks));
    match dice.below(7) {
        0 => format!("{to} set {}", value(dice, Kind::Mark)),
        1 => format!("{to} set {from}"),
        2 => format!("{to} set {from} {} {}", dice.pick(&["&", "|", "^", "and", "or", "xor"]), value(dice, Kind::Mark)),
        3 => {
            let (and, or) = (value(dice, Kind::Mark), value(dice, Kind::Mark));
            format!("{to} set {from} & {and} {} {or}", dice.pick(&["|", "^"]))
        }
        4 => format!("{to} set {from} {} {}", dice.pick(&["<<", ">>", "lshift"]), dice.from(1, 31)),
        5 => {
            let (name, kind) = field(dice, family);
            let intervals = dice.chance(50);
            let all = elements(dice, &[kind], intervals, |dice| format!(" : {}", value(dice, Kind::Mark)));
            format!("{to} set {name} map {{ {all} }}")
        }
        _ => format!("{to} set {} map {{ 80 : 1, 443 : 0x2 }}", dice.pick(&["tcp dport", "udp sport", "th dport"])),
    }
}

fn payload(dice: &mut Dice, family: &str) -> String {
    loop {
        let (name, kind) = field(dice, family);
        let plain = !["meta", "ct ", "fib", "rt ", "socket", "osf", "numgen", "jhash", "symhash", "ipsec", "mark"]
            .iter()
            .any(|word| name.starts_with(word));
        if plain {
            return match dice.below(8) {
                0 => {
                    let all = elements(dice, &[Kind::Number(4)], false, |dice| format!(" : {}", value(dice, kind)));
                    format!("{name} set numgen inc mod 16 map {{ {all} }}")
                }
                1 => format!("{name} set {name} & {}", value(dice, kind)),
                _ => format!("{name} set {}", value(dice, kind)),
            };
        }
    }
}

fn metadata(dice: &mut Dice, family: &str) -> String {
    let all: &[&str] = match family {
        "arp" | "netdev" => {
            &["meta priority set 1:2", "meta priority set none", "meta nftrace set 1", "meta pkttype set host"]
        }
        _ => &[
            "meta priority set 1:2",
            "meta priority set 0xdeadbeef",
            "meta priority set root",
            "meta priority set tcp dport map { 80 : 1:2, 443 : none }",
            "meta nftrace set 1",
            "nftrace set 0",
            "meta pkttype set multicast",
            "meta pkttype set broadcast",
            "ct zone set 7",
            "ct zone set mark map { 1 : 8, 2 : 9 }",
            "ct original zone set 5",
            "ct reply zone set 65535",
            "ct event set new,destroy,related",
            "ct event set mark | label",
            "ct label set 7",
            "ct zone set mark",
            "ct mark set ct mark or 0x10",
        ],
    };
    dice.pick(all).into()
}

fn tcp_option(dice: &mut Dice) -> String {
    dice.pick(&[
        "tcp option maxseg size set 1400",
        "tcp option maxseg size set rt mtu",
        "tcp flags syn tcp option maxseg size set 536",
        "tcp option window count set 7",
        "tcp option timestamp tsval set 1",
        "reset tcp option sack-perm",
        "reset tcp option 18",
        "reset tcp option timestamp",
        "tcp option @255,8,8 set 1",
    ])
    .into()
}

fn generated(dice: &mut Dice) -> String {
    dice.pick(&[
        "meta mark set numgen random mod 3",
        "meta mark set numgen inc mod 3 offset 100",
        "meta mark set jhash ip saddr mod 8 seed 1 offset 4",
        "meta mark set jhash ip saddr . tcp dport mod 2",
        "meta mark set symhash mod 2 offset 100",
        "numgen inc mod 10 vmap { 0-4 : jump r, 5-9 : accept }",
        "numgen random mod 4 vmap { 0 : accept, 1 : drop, 2 : return }",
        "symhash mod 2 vmap { 0 : jump r, 1 : goto r }",
        "jhash ip saddr mod 3 vmap { 0 : drop, * : accept }",
        "ct mark set numgen inc mod 2 map { 0 : 0x1, 1 : 0x2 }",
    ])
    .into()
}

fn synproxy(dice: &mut Dice) -> String {
    dice.pick(&["synproxy mss 1460 wscale 7 timestamp sack-perm", "synproxy", "synproxy mss 536", "synproxy sack-perm"])
        .into()
}

/// Returns what ends a rule.
pub(super) fn ending(dice: &mut Dice, within: &Within<'_>) -> String {
    if within.kind == "nat" && dice.chance(75) {
        return translation(dice);
    }
    match dice.below(12) {
        0 | 1 => format!("reject{}", dice.pick(REJECTS)),
        2 => dice
            .pick(&[
                "queue",
                "queue num 3",
                "queue flags bypass to 1-4",
                "queue num 0-3 fanout,bypass",
                "queue to symhash mod 4",
                "queue flags bypass to numgen inc mod 3 offset 2",
                "queue to tcp dport map { 80 : 1, 443 : 2 }",
            ])
            .into(),
        3 => dice
            .pick(&[
                "meta l4proto tcp tproxy to :80",
                "meta l4proto udp tproxy ip to 127.0.0.1:80",
                "meta l4proto tcp tproxy to 127.0.0.1",
                "tcp dport 80 tproxy ip6 to [::1]:90",
                "meta l4proto udp tproxy ip to :90",
                "meta l4proto tcp tproxy to 127.0.0.1:tcp dport map { 80 : 8080, 443 : 8443 }",
                "meta l4proto tcp tproxy ip to ip saddr map { 10.0.0.1 : 127.0.0.1 }",
                "meta l4proto tcp tproxy to :numgen inc mod 2 map { 0 : 23, 1 : 42 }",
            ])
            .into(),
        4 => dice
            .pick(&[
                "dup to \"lo\"",
                "fwd to \"lo\"",
                "dup to 1.2.3.4",
                "dup to 1.2.3.4 device \"lo\"",
                "dup to ::1",
                "dup to ip saddr map { 10.0.0.1 : 10.0.0.2 }",
                "fwd ip to 192.168.2.1 device \"lo\"",
                "fwd to meta mark map { 1 : \"lo\", 2 : \"eth0\" }",
                "dup to meta mark map { 1 : \"lo\" }",
            ])
            .into(),
        5 => format!("{} {{ {}; {}; }}", dice.pick(&["jump", "goto"]), comparison(dice, within.family), verdict(dice)),
        _ => verdict(dice).into(),
    }
}

const REJECTS: &[&str] = &[
    "",
    " with tcp reset",
    " with icmp host-unreachable",
    " with icmp type net-prohibited",
    " with icmpv6 no-route",
    " with icmpv6 type addr-unreachable",
    " with icmpx admin-prohibited",
    " with icmpx type no-route",
    " with icmp 9",
    " with icmpx port-unreachable",
    " with icmp port-unreachable",
    " with icmpv6 port-unreachable",
];

fn translation(dice: &mut Dice) -> String {
    let flags = dice.pick(&["", "", " random", " persistent", " fully-random", " random,persistent"]);
    let to = dice.pick(&[
        "redirect",
        "meta l4proto tcp redirect to :80",
        "meta l4proto udp redirect to :80-90",
        "tcp dport 22 redirect to tcp dport map { 22 : 8022, 23 : 8023 }",
        "meta l4proto tcp redirect to :numgen inc mod 2 map { 0 : 23, 1 : 42 }",
        "masquerade",
        "meta l4proto tcp masquerade to :1024-2048",
        "meta l4proto udp masquerade to :numgen inc mod 2 map { 0 : 23, 1 : 42 }",
        "dnat ip to 1.2.3.4",
        "dnat to 1.2.3.4",
        "meta l4proto tcp dnat ip to 1.2.3.4:80",
        "meta l4proto tcp dnat to 1.2.3.4-1.2.3.9:80-90",
        "meta l4proto tcp dnat to :80",
        "dnat ip6 to fd00::1",
        "meta l4proto tcp dnat ip6 to [fd00::1]:80-90",
        "dnat ip to 10.0.0.0/24",
        "dnat ip6 to fd00::/64",
        "dnat to ip saddr map { 1.2.3.4 : 5.6.7.8 }",
        "dnat ip to ip saddr map { 10.0.0.0/8 : 5.6.7.8, * : 5.6.7.9 }",
        "dnat ip prefix to ip daddr map { 1.2.3.0/24 : 5.6.7.0/24 }",
        "dnat to numgen inc mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
        "dnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1, 1 : 10.0.0.2 }",
        "meta l4proto tcp dnat ip to ip daddr . tcp dport map { 1.2.3.4 . 80 : 10.0.0.1 . 8080 }",
        "meta l4proto tcp dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080, 443 : 10.0.0.2 . 8443 }",
        "meta l4proto tcp dnat ip addr . port to tcp dport map { 80 : 10.0.0.1 . 8080 }",
        "dnat ip to ip saddr map { 1.2.3.4 : 10.0.0.1-10.0.0.9 }",
        "dnat ip interval to ip saddr map { 1.2.3.4 : 10.0.0.1-10.0.0.9 }",
        "snat to 1.2.3.4-1.2.3.9",
        "snat to 1.2.3.4",
        "meta l4proto udp snat to 1.2.3.4:5-9",
        "snat ip to ip saddr map { 10.0.0.0/8 : 1.2.3.4 }",
        "snat ip prefix to ip saddr map { 10.0.0.0/24 : 192.0.2.0/24 }",
        "snat ip6 to fd00::1-fd00::9",
        "snat ip to oifname map { \"eth0\" : 1.2.3.4, \"lo\" : 5.6.7.8 }",
    ]);
    format!("{to}{flags}")
}
