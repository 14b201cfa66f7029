//! Random conditions in nft's language on values that the packets of [`World`](super::world::World)
//! and [`wires`](super::wires) have: every field and every comparison.

use super::dice::Dice;

/// Kind of the values that a field is compared with.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Numbers of this many bits, and the values that packets have.
    Number(u32, &'static [u64]),
    /// Words without an order; ranges are refused.
    Words(&'static [&'static str]),
    /// Sets of flags.
    Flags(&'static [&'static str]),
    /// Addresses in order, with networks and masks.
    Addresses(&'static [&'static str], &'static [&'static str], &'static [&'static str]),
    /// `exists` or `missing`.
    Exists,
}

use Kind::{Addresses, Exists, Flags, Number, Words};

const PROTOCOLS: Kind = Number(8, &[1, 2, 6, 17, 33, 47, 50, 51, 58, 108, 132, 136, 253]);
const PORTS: Kind = Number(16, &[0, 53, 0x800, 8080, 9000, 9001, 0x8000, 15001, 40000, 40001, 40002, 65535]);
const V4: Kind = Addresses(
    &["10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.255", "10.78.0.1", "10.78.0.2", "127.0.0.1", "224.0.0.251"],
    &["10.0.0.0/8", "10.77.0.0/24", "10.77.0.2/31", "127.0.0.0/8", "0.0.0.0/1", "224.0.0.0/4"],
    &["255.255.255.0", "0.0.0.1", "0.0.0.255", "255.0.255.0", "0.3.0.0"],
);
const V6: Kind = Addresses(
    &["::1", "fd77::1", "fd77::2", "fd77::3", "fd78::1", "fd78::2"],
    &["fd77::/64", "fd00::/8", "fd77::2/127", "::/1"],
    &["ffff::", "::1", "::ffff", "ff:0:0:0:0:0:0:3"],
);
const DEVICES: Kind = Words(&["lo", "eth0", "eth1"]);
const NAMES: Kind = Words(&["\"lo\"", "\"eth0\"", "\"eth1\"", "\"eth*\"", "\"e*\"", "\"none\""]);
const KINDS: Kind =
    Words(&["local", "unicast", "broadcast", "multicast", "unreachable", "blackhole", "prohibit", "anycast"]);
const MARKS: Kind = Number(32, &[0, 1, 2, 7, 0x11, 0x101, 0x8000_0000]);
const SMALL: Kind = Number(8, &[0, 1, 2, 3, 5, 8, 64, 128]);
const WIDE: Kind = Number(32, &[0, 1, 2, 7, 0x100, 0x1234, 0x0102_0304, 0xffff_ffff]);
const HALF: Kind = Number(16, &[0, 1, 2, 7, 8, 28, 29, 33, 40, 60, 0x1234, 0x2000, 0x4000, 0xffff]);
const IDS: Kind = Words(&["0", "1000", "1337"]);
const ETHER: Kind = Words(&["02:00:00:00:01:01", "02:00:00:00:01:02", "02:00:00:00:00:01", "02:00:00:00:00:02"]);

const FIELDS: &[(&str, Kind)] = &[
    ("ip saddr", V4),
    ("ip daddr", V4),
    ("ip saddr", V4),
    ("ip daddr", V4),
    ("ip protocol", PROTOCOLS),
    ("ip dscp", Number(6, &[0, 8, 10, 46, 63])),
    ("ip ecn", Words(&["not-ect", "ect0", "ect1", "ce"])),
    ("ip ttl", SMALL),
    ("ip length", HALF),
    ("ip id", HALF),
    ("ip frag-off", HALF),
    ("ip checksum", HALF),
    ("ip version", Number(4, &[4, 5, 6])),
    ("ip hdrlength", Number(4, &[5, 6, 7, 15])),
    ("ip6 saddr", V6),
    ("ip6 daddr", V6),
    ("ip6 saddr", V6),
    ("ip6 version", Number(4, &[4, 6])),
    ("ip6 dscp", Number(6, &[0, 8, 10, 46, 63])),
    ("ip6 ecn", Words(&["not-ect", "ect0", "ect1", "ce"])),
    ("ip6 flowlabel", Number(20, &[0, 1, 0x12345, 0xfffff])),
    ("ip6 length", HALF),
    ("ip6 nexthdr", PROTOCOLS),
    ("ip6 hoplimit", SMALL),
    ("tcp sport", PORTS),
    ("tcp dport", PORTS),
    ("tcp sequence", WIDE),
    ("tcp ackseq", WIDE),
    ("tcp doff", Number(4, &[5, 6, 8, 10, 15])),
    ("tcp reserved", Number(4, &[0, 1])),
    ("tcp flags", Flags(&["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"])),
    ("tcp window", HALF),
    ("tcp checksum", HALF),
    ("tcp urgptr", HALF),
    ("tcp option maxseg size", Number(16, &[1460, 65495, 536])),
    ("tcp option window count", SMALL),
    ("tcp option timestamp tsval", WIDE),
    ("tcp option sack-perm", Exists),
    ("tcp option maxseg", Exists),
    ("udp sport", PORTS),
    ("udp dport", PORTS),
    ("udp length", HALF),
    ("udp checksum", HALF),
    ("udplite sport", PORTS),
    ("udplite dport", PORTS),
    ("udplite checksum", HALF),
    ("dccp sport", PORTS),
    ("dccp dport", PORTS),
    ("dccp type", Words(&["request", "response", "data", "ack"])),
    ("sctp sport", PORTS),
    ("sctp dport", PORTS),
    ("sctp vtag", WIDE),
    ("sctp checksum", WIDE),
    ("sctp chunk init", Exists),
    ("th sport", PORTS),
    ("th dport", PORTS),
    ("@th,0,16", PORTS),
    ("@th,16,16", PORTS),
    ("@th,32,32", WIDE),
    ("@th,64,8", SMALL),
    ("@th,48,16", HALF),
    ("@th,100,12", Number(12, &[0, 0x800, 0x123])),
    ("@th,160,32", WIDE),
    ("@th,224,64", Number(63, &[0, 1])),
    ("@nh,0,8", Number(8, &[0x45, 0x46, 0x60])),
    ("@nh,8,8", SMALL),
    ("@nh,48,16", HALF),
    ("@nh,64,8", SMALL),
    ("@nh,96,32", WIDE),
    ("@nh,160,32", WIDE),
    ("@nh,320,16", HALF),
    ("@ll,48,48", Number(48, &[0, 1])),
    ("ah nexthdr", PROTOCOLS),
    ("ah hdrlength", SMALL),
    ("ah reserved", HALF),
    ("ah spi", WIDE),
    ("ah sequence", WIDE),
    ("esp spi", WIDE),
    ("esp sequence", WIDE),
    ("comp nexthdr", PROTOCOLS),
    ("comp flags", SMALL),
    ("comp cpi", HALF),
    ("igmp type", Words(&["membership-query", "membership-report-v1", "membership-report-v2", "leave-group"])),
    ("igmp checksum", HALF),
    ("igmp mrt", SMALL),
    ("igmp group", V4),
    (
        "icmp type",
        Words(&[
            "echo-request",
            "echo-reply",
            "destination-unreachable",
            "time-exceeded",
            "redirect",
            "timestamp-request",
            "42",
        ]),
    ),
    ("icmp code", SMALL),
    ("icmp checksum", HALF),
    ("icmp id", HALF),
    ("icmp sequence", HALF),
    ("icmp gateway", WIDE),
    ("icmp mtu", HALF),
    (
        "icmpv6 type",
        Words(&["echo-request", "echo-reply", "destination-unreachable", "packet-too-big", "time-exceeded", "200"]),
    ),
    ("icmpv6 code", SMALL),
    ("icmpv6 checksum", HALF),
    ("icmpv6 id", HALF),
    ("icmpv6 sequence", HALF),
    ("icmpv6 mtu", WIDE),
    ("icmpv6 max-delay", HALF),
    ("ether saddr", ETHER),
    ("ether daddr", ETHER),
    ("ether type", Words(&["ip", "ip6", "arp", "0x88cc"])),
    ("vlan id", Number(12, &[1, 5])),
    ("vlan pcp", Number(3, &[0, 1])),
    ("hbh nexthdr", PROTOCOLS),
    ("rt type", SMALL),
    ("frag id", WIDE),
    ("frag more-fragments", Number(1, &[0, 1])),
    ("dst nexthdr", PROTOCOLS),
    ("mh type", SMALL),
    ("exthdr hbh", Exists),
    ("exthdr frag", Exists),
    ("exthdr dst", Exists),
    ("ip option rr", Exists),
    ("ip option ra", Exists),
    ("meta mark", MARKS),
    ("meta mark", MARKS),
    ("meta length", Number(32, &[20, 28, 29, 33, 40, 52, 60, 100])),
    ("meta l4proto", PROTOCOLS),
    ("meta l4proto", Words(&["tcp", "udp", "icmp", "ipv6-icmp", "esp", "sctp", "udplite"])),
    ("meta nfproto", Words(&["ipv4", "ipv6"])),
    ("meta protocol", Words(&["ip", "ip6", "arp"])),
    ("meta pkttype", Words(&["host", "broadcast", "multicast", "other"])),
    ("meta priority", Words(&["0", "1:2", "none"])),
    ("meta cpu", SMALL),
    ("meta iifgroup", Number(32, &[0, 1])),
    ("meta cgroup", Number(32, &[0, 1])),
    ("meta skuid", IDS),
    ("meta skgid", IDS),
    ("meta skuid", Number(31, &[0, 1000, 1337])),
    ("meta iiftype", Words(&["ether", "loopback"])),
    ("meta oiftype", Words(&["ether", "loopback"])),
    ("meta iifkind", Words(&["\"veth\"", "\"vrf\""])),
    ("meta random", Number(31, &[1, 0x4000_0000])),
    ("meta secpath", Exists),
    ("meta hour", Words(&["\"12:00\"", "\"23:59\""])),
    ("iifname", NAMES),
    ("oifname", NAMES),
    ("iif", DEVICES),
    ("oif", DEVICES),
    ("ct state", Flags(&["invalid", "established", "related", "new", "untracked"])),
    ("ct state", Flags(&["invalid", "established", "related", "new", "untracked"])),
    ("ct status", Flags(&["expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"])),
    ("ct direction", Words(&["original", "reply"])),
    ("ct mark", MARKS),
    ("ct zone", Number(16, &[0, 1, 2])),
    ("ct expiration", Words(&["1s", "30s", "1h"])),
    ("ct original ip saddr", V4),
    ("ct reply ip daddr", V4),
    ("ct original proto-dst", PORTS),
    ("ct original packets", WIDE),
    ("ct l3proto", Words(&["ipv4", "ipv6"])),
    ("ct original protocol", Words(&["tcp", "udp"])),
    ("ct helper", Words(&["\"ftp\""])),
    ("socket transparent", Number(1, &[0, 1])),
    ("socket wildcard", Number(1, &[0, 1])),
    ("rt classid", SMALL),
    ("rt nexthop", V4),
    ("rt mtu", HALF),
    ("numgen inc mod 4", Number(2, &[0, 1])),
    ("jhash ip saddr mod 4", Number(2, &[0, 1])),
    ("symhash mod 4", Number(2, &[0, 1])),
];

fn field(dice: &mut Dice) -> (String, Kind) {
    if dice.chance(12) {
        return fib(dice);
    }
    let (name, kind) = dice.pick(FIELDS);
    (name.to_owned(), kind)
}

/// Returns a random form of `fib`.
fn fib(dice: &mut Dice) -> (String, Kind) {
    let mut key = dice.pick(&["saddr", "daddr"]).to_owned();
    if dice.chance(30) {
        key += " . mark";
    }
    key += dice.pick(&["", "", " . iif", " . iif", " . oif"]);
    let (wanted, kind) = dice.pick(&[
        ("type", KINDS),
        ("type", KINDS),
        ("oif", DEVICES),
        ("oif", Exists),
        ("oifname", NAMES),
        ("oifname", Exists),
    ]);
    (format!("fib {key} {wanted}"), kind)
}

fn number(dice: &mut Dice, bits: u32, likely: &[u64]) -> u64 {
    let all = (1_u64 << bits) - 1;
    match dice.below(10) {
        0 => dice.below(usize::MAX) as u64 & all,
        1 => (dice.pick(likely) + 1) & all,
        _ => dice.pick(likely) & all,
    }
}

fn value(dice: &mut Dice, kind: Kind) -> String {
    match kind {
        Number(bits, likely) => number(dice, bits, likely).to_string(),
        Words(words) | Flags(words) => dice.pick(words).into(),
        Addresses(addresses, _, _) => dice.pick(addresses).into(),
        Exists => dice.pick(&["exists", "missing"]).into(),
    }
}

/// Returns a value, a range or a network.
fn interval(dice: &mut Dice, kind: Kind) -> String {
    match kind {
        Number(bits, likely) if dice.chance(60) => {
            let ends = [number(dice, bits, likely), number(dice, bits, likely)];
            let [low, high] = [ends[0].min(ends[1]), ends[0].max(ends[1])];
            if low == high { low.to_string() } else { format!("{low}-{high}") }
        }
        Addresses(addresses, nets, _) => match dice.below(3) {
            0 => dice.pick(nets).into(),
            1 => {
                let (first, last) = (dice.below(addresses.len()), dice.below(addresses.len()));
                let [first, last] =
                    [first.min(last), first.max(last)].map(|at| addresses.get(at).copied().expect("it is below"));
                if first == last { first.into() } else { format!("{first}-{last}") }
            }
            _ => dice.pick(addresses).into(),
        },
        kind => value(dice, kind),
    }
}

fn elements(dice: &mut Dice, kinds: &[Kind], intervals: bool, mut after: impl FnMut(&mut Dice) -> String) -> String {
    let mut all: Vec<String> = Vec::new();
    for _ in 0..dice.from(1, 5) {
        let parts: Vec<_> =
            kinds.iter().map(|kind| if intervals { interval(dice, *kind) } else { value(dice, *kind) }).collect();
        let key = parts.join(" . ");
        if !all.iter().any(|other| *other == key || other.starts_with(&format!("{key} "))) {
            all.push(format!("{key}{}", after(dice)));
        }
    }
    if dice.chance(12) {
        all.push(format!("*{}", after(dice)));
    }
    all.join(", ")
}

/// Returns a condition: `tcp dport != 1-9`.
pub fn condition(dice: &mut Dice) -> String {
    if dice.chance(14) {
        let (key, kinds) = concatenation(dice);
        let intervals = dice.chance(50);
        return format!(
            "{key} {}{{ {} }}",
            dice.pick(&["", "", "!= "]),
            elements(dice, &kinds, intervals, |_| String::new())
        );
    }
    let (name, kind) = field(dice);
    let not = dice.pick(&["", "", "!= "]);
    match (dice.below(9), kind) {
        (0 | 1, Number(..) | Addresses(..)) => format!("{name} {not}{}", interval(dice, kind)),
        (2, Number(..) | Addresses(..)) => {
            format!("{name} {} {}", dice.pick(&["<", ">", "<=", ">="]), value(dice, kind))
        }
        (3 | 4, Number(bits, likely)) => {
            let mask = dice.pick(&[1, 3, 0xf, 0xf0, 0xff00, 0x1fff, 0x2000, 0xffff_ff00]) & ((1_u64 << bits) - 1);
            let value = number(dice, bits, likely);
            let value = if dice.chance(85) { value & mask } else { value };
            let flip = if dice.chance(15) {
                format!(" {} {}", dice.pick(&["^", "|"]), number(dice, bits, likely) & mask)
            } else {
                String::new()
            };
            let moved = if dice.chance(6) { " << 1" } else { "" };
            format!("{name} & {mask}{flip}{moved} {} {value}", dice.pick(&["==", "!=", "==", "<", ">="]))
        }
        (3 | 4, Addresses(_, _, masks)) => {
            format!("{name} & {} {} {}", dice.pick(masks), dice.pick(&["==", "!=", "<"]), value(dice, kind))
        }
        (0..=4, Flags(words)) => flags(dice, &name, words),
        (5, _) => format!("{name} {not}{{ {} }}", elements(dice, &[kind], false, |_| String::new())),
        (6, _) => format!("{name} {not}{{ {} }}", elements(dice, &[kind], true, |_| String::new())),
        _ => format!("{name} {not}{}", value(dice, kind)),
    }
}

fn flags(dice: &mut Dice, name: &str, words: &[&str]) -> String {
    let some = dice.some(words, 3);
    let more: Vec<_> = words.iter().copied().filter(|word| some.contains(word) || dice.chance(40)).collect();
    match dice.below(5) {
        0 => format!("{name} {}", some.join(",")),
        1 => format!("{name} ! {}", some.join(",")),
        2 => format!("{name} {} {}", dice.pick(&["==", "!="]), some.join(" | ")),
        3 => format!("{name} & ({}) {} {}", more.join(" | "), dice.pick(&["==", "!="]), some.join(" | ")),
        _ => format!("{name} & ({}) {} 0", more.join(" | "), dice.pick(&["==", "!="])),
    }
}

fn concatenation(dice: &mut Dice) -> (String, Vec<Kind>) {
    let fields: Vec<_> = (0..dice.from(2, 3)).map(|_| field(dice)).collect();
    let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
    (names.join(" . "), fields.iter().map(|(_, kind)| *kind).collect())
}

/// Kind of a named set, and what a rule does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    Set,
    Marks,
    Verdicts,
}

/// Returns a named set or map, on one line, and the part of a rule that uses it.
pub fn named(dice: &mut Dice, name: &str, kind: Named, subs: &[&str]) -> (String, String) {
    let (key, kinds) = if dice.chance(40) {
        concatenation(dice)
    } else {
        let (name, kind) = field(dice);
        (name, vec![kind])
    };
    let intervals = dice.chance(50);
    let timeout = dice.chance(25);
    let dynamic = !intervals && dice.chance(10);
    let flags: Vec<_> = [("interval", intervals), ("timeout", timeout), ("dynamic", dynamic)]
        .into_iter()
        .filter_map(|(word, is)| is.then_some(word))
        .collect();
    let mut prints = String::new();
    if !flags.is_empty() {
        prints += &format!("flags {}; ", flags.join(","));
    }
    if intervals && dice.chance(20) {
        prints += "auto-merge; ";
    }
    if dice.chance(10) {
        prints += "counter; ";
    }
    let after = |dice: &mut Dice| {
        let time = if timeout && dice.chance(50) { " timeout 1h" } else { "" };
        match kind {
            Named::Set => time.to_owned(),
            Named::Marks => format!("{time} : {}", dice.pick(&["0x1", "0x7", "0x101"])),
            Named::Verdicts => format!("{time} : {}", verdict(dice, subs)),
        }
    };
    let all = elements(dice, &kinds, intervals, after);
    let (word, of, used) = match kind {
        Named::Set => ("set", "", format!("{key} {}@{name}", dice.pick(&["", "", "!= "]))),
        Named::Marks => ("map", " : meta mark", format!("meta mark set {key} map @{name}")),
        Named::Verdicts => ("map", " : verdict", format!("{key} vmap @{name}")),
    };
    (format!("{word} {name} {{ typeof {key}{of}; {prints}elements = {{ {all} }}; }}"), used)
}

pub fn verdict(dice: &mut Dice, subs: &[&str]) -> String {
    match dice.below(12) {
        0 | 1 => "accept".into(),
        2 => "drop".into(),
        3 | 4 => "return".into(),
        5 | 6 if !subs.is_empty() => format!("jump {}", dice.pick(subs)),
        7 if !subs.is_empty() => format!("goto {}", dice.pick(subs)),
        _ => "continue".into(),
    }
}

/// Returns a statement without a verdict that affects this packet or later ones.
pub fn change(dice: &mut Dice) -> String {
    let mark = |dice: &mut Dice| dice.pick(&["meta mark", "meta mark", "ct mark"]);
    let number = |dice: &mut Dice| dice.pick(&["0x1", "0x2", "0x7", "0x11", "0x101"]);
    match dice.below(8) {
        0 | 1 => format!("{} set {}", mark(dice), number(dice)),
        2 => format!("{} set {}", mark(dice), mark(dice)),
        3 => format!("{} set {} {} {}", mark(dice), mark(dice), dice.pick(&["&", "|", "^"]), number(dice)),
        4 => {
            format!("{} set {} & {} {} {}", mark(dice), mark(dice), number(dice), dice.pick(&["|", "^"]), number(dice))
        }
        5 => {
            let (name, kind) = field(dice);
            let all = elements(dice, &[kind], true, |dice| format!(" : {}", dice.pick(&["0x1", "0x7"])));
            format!("{} set {name} map {{ {all} }}", mark(dice))
        }
        6 => dice
            .pick(&[
                "limit rate 100000/second burst 10000 packets",
                "limit rate over 1 mbytes/second",
                "quota 10 mbytes",
                "quota over 10 mbytes",
                "limit rate 1/hour burst 1 packets",
            ])
            .into(),
        _ => dice
            .pick(&[
                "counter",
                "log prefix \"x\"",
                "ct count 1000",
                "ip dscp set cs1",
                "ip ttl set 9",
                "meta priority set 1:2",
                "counter name \"c\"",
            ])
            .into(),
    }
}
