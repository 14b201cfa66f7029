//! Random rules and sets in the language of nft 1.0.6: fields by operators by values, sets, maps,
//! statements. nft refuses some of them.

use super::dice::Dice;

/// Kind of the values that a field is compared with.
#[derive(Clone, Copy)]
enum Kind {
    /// Numbers of this many bits.
    Number(u32),
    /// Numbers in hexadecimal, and masks.
    Mark,
    Ip,
    Ip6,
    Ether,
    Ifname,
    Iface,
    Proto,
    /// One of these names; ranges are numbers of this many bits.
    Names(&'static [&'static str], u32),
    /// A set of these bits.
    Bits(&'static [&'static str]),
    /// `exists` or `missing`.
    Exists,
}

const ICMP: Kind =
    Kind::Names(&["echo-reply", "destination-unreachable", "redirect", "echo-request", "time-exceeded", "7"], 8);
const ICMP6: Kind =
    Kind::Names(&["packet-too-big", "echo-request", "nd-router-solicit", "mld2-listener-report", "9"], 8);
const CODES: Kind = Kind::Names(&["net-unreachable", "host-unreachable", "port-unreachable", "frag-needed", "77"], 8);
const DSCP: Kind = Kind::Names(&["cs0", "cs1", "af11", "ef", "0x3f"], 6);
const TCP_FLAGS: Kind = Kind::Bits(&["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"]);
const CT_STATE: Kind = Kind::Bits(&["invalid", "established", "related", "new", "untracked"]);
const CT_STATUS: Kind = Kind::Bits(&["expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"]);
const PKTTYPES: Kind = Kind::Names(&["host", "broadcast", "multicast", "other"], 8);
const ADDRTYPES: Kind = Kind::Names(&["local", "unicast", "broadcast", "multicast", "blackhole"], 32);
const ETHERTYPES: Kind = Kind::Names(&["ip", "arp", "ip6", "vlan", "0x88cc"], 16);

const FIELDS: &[(&str, Kind)] = &[
    ("ip saddr", Kind::Ip),
    ("ip daddr", Kind::Ip),
    ("ip6 saddr", Kind::Ip6),
    ("ip6 daddr", Kind::Ip6),
    ("ip protocol", Kind::Proto),
    ("ip dscp", DSCP),
    ("ip ttl", Kind::Number(8)),
    ("ip length", Kind::Number(16)),
    ("ip id", Kind::Number(16)),
    ("ip frag-off", Kind::Number(13)),
    ("ip version", Kind::Number(4)),
    ("ip6 nexthdr", Kind::Proto),
    ("ip6 hoplimit", Kind::Number(8)),
    ("ip6 flowlabel", Kind::Number(20)),
    ("ip6 length", Kind::Number(16)),
    ("tcp sport", Kind::Number(16)),
    ("tcp dport", Kind::Number(16)),
    ("tcp flags", TCP_FLAGS),
    ("tcp sequence", Kind::Number(32)),
    ("tcp window", Kind::Number(16)),
    ("tcp option maxseg size", Kind::Number(16)),
    ("tcp option sack-perm", Kind::Exists),
    ("udp sport", Kind::Number(16)),
    ("udp dport", Kind::Number(16)),
    ("udp length", Kind::Number(16)),
    ("udplite dport", Kind::Number(16)),
    ("dccp sport", Kind::Number(16)),
    ("sctp dport", Kind::Number(16)),
    ("sctp vtag", Kind::Number(32)),
    ("th sport", Kind::Number(16)),
    ("th dport", Kind::Number(16)),
    ("@th,0,16", Kind::Number(16)),
    ("@th,16,16", Kind::Number(16)),
    ("@nh,64,8", Kind::Number(8)),
    ("@th,0,8", Kind::Number(8)),
    ("ah spi", Kind::Number(32)),
    ("ah reserved", Kind::Number(16)),
    ("esp spi", Kind::Number(32)),
    ("comp cpi", Kind::Number(16)),
    ("icmp type", ICMP),
    ("icmp code", CODES),
    ("icmp id", Kind::Number(16)),
    ("icmp checksum", Kind::Number(16)),
    ("icmpv6 type", ICMP6),
    ("icmpv6 code", Kind::Number(8)),
    ("icmpv6 checksum", Kind::Number(16)),
    ("igmp type", Kind::Number(8)),
    ("igmp checksum", Kind::Number(16)),
    ("meta mark", Kind::Mark),
    ("meta length", Kind::Number(32)),
    ("meta l4proto", Kind::Proto),
    ("meta nfproto", Kind::Names(&["ipv4", "ipv6"], 8)),
    ("meta protocol", ETHERTYPES),
    ("meta pkttype", PKTTYPES),
    ("meta priority", Kind::Mark),
    ("meta cpu", Kind::Number(16)),
    ("meta iifgroup", Kind::Number(16)),
    ("meta cgroup", Kind::Number(32)),
    ("meta skuid", Kind::Number(31)),
    ("meta skgid", Kind::Number(31)),
    ("meta iiftype", Kind::Names(&["ether", "loopback", "ppp"], 16)),
    ("iifname", Kind::Ifname),
    ("oifname", Kind::Ifname),
    ("iif", Kind::Iface),
    ("oif", Kind::Iface),
    ("ether saddr", Kind::Ether),
    ("ether type", ETHERTYPES),
    ("vlan id", Kind::Number(12)),
    ("ct state", CT_STATE),
    ("ct status", CT_STATUS),
    ("ct direction", Kind::Names(&["original", "reply"], 8)),
    ("ct mark", Kind::Mark),
    ("ct zone", Kind::Number(16)),
    ("ct expiration", Kind::Number(31)),
    ("ct original bytes", Kind::Number(32)),
    ("fib daddr type", ADDRTYPES),
    ("fib saddr type", ADDRTYPES),
    ("fib daddr . iif type", ADDRTYPES),
    ("fib saddr . iif oif", Kind::Number(4)),
    ("socket mark", Kind::Mark),
    ("socket transparent", Kind::Number(1)),
    ("numgen inc mod 4", Kind::Number(2)),
    ("rt classid", Kind::Number(8)),
];

pub fn families() -> [(&'static str, &'static str); 7] {
    [
        ("ip", "type filter hook input priority 0"),
        ("ip6", "type filter hook output priority 0"),
        ("inet", "type filter hook prerouting priority -300"),
        ("inet", "type nat hook prerouting priority dstnat"),
        ("ip", "type nat hook postrouting priority 100"),
        ("netdev", "type filter hook ingress device lo priority 0"),
        ("bridge", "type filter hook forward priority 0"),
    ]
}

/// Returns a table on one line: a set or map and a rule.
pub fn table(dice: &mut Dice, name: &str) -> (String, String) {
    let (family, chain) = dice.pick(&families());
    let (declared, used) = if dice.chance(40) { named(dice) } else { (String::new(), String::new()) };
    let rule = if used.is_empty() || dice.chance(30) { rule(dice, "") } else { rule(dice, &used) };
    let wrapped = format!("table {family} {name} {{ {declared} chain r {{ }}; chain c {{ {chain}; {rule}; }}; }}\n");
    (wrapped, format!("{family}: {declared} {rule}"))
}

fn rule(dice: &mut Dice, used: &str) -> String {
    let mut parts = Vec::new();
    for _ in 0..dice.below(4) {
        parts.push(if dice.chance(75) { comparison(dice) } else { passing(dice) });
    }
    if !used.is_empty() {
        let at = dice.below(parts.len() + 1);
        parts.insert(at, used.to_owned());
    }
    if parts.is_empty() || dice.chance(60) {
        parts.push(ending(dice));
    }
    if dice.chance(5) {
        parts.push("comment \"why, it = { exists }\"".to_owned());
    }
    parts.join(" ")
}

fn field(dice: &mut Dice) -> (&'static str, Kind) {
    dice.pick(FIELDS)
}

fn number(dice: &mut Dice, bits: u32) -> u64 {
    let all = (1_u64 << bits) - 1;
    match dice.below(6) {
        0 => all,
        1 => 0,
        2 | 3 => dice.below(300) as u64 & all,
        _ => dice.below(usize::MAX) as u64 & all,
    }
}

fn value(dice: &mut Dice, kind: Kind) -> String {
    match kind {
        Kind::Number(bits) => number(dice, bits).to_string(),
        Kind::Mark => format!("{:#x}", number(dice, 32)),
        Kind::Ip => {
            dice.pick(&["10.0.0.1", "10.0.0.9", "127.0.0.1", "255.255.255.255", "192.168.1.77", "0.0.0.0"]).into()
        }
        Kind::Ip6 => dice.pick(&["::1", "fd00::1", "fe80::1:2:3", "::ffff:1.2.3.4", "2001:db8::", "::1.2.3.4"]).into(),
        Kind::Ether => dice.pick(&["00:11:22:33:44:55", "ff:ff:ff:ff:ff:ff", "02:00:00:00:00:01"]).into(),
        Kind::Ifname => dice.pick(&["\"lo\"", "\"eth0\"", "\"veth*\"", "\"a-b.c\"", "\"x\\*\""]).into(),
        Kind::Iface => dice.pick(&["lo", "eth0"]).into(),
        Kind::Proto => dice.pick(&["tcp", "udp", "icmp", "ipv6-icmp", "esp", "ospf", "77", "0", "udplite"]).into(),
        Kind::Names(names, _) | Kind::Bits(names) => dice.pick(names).into(),
        Kind::Exists => dice.pick(&["exists", "missing"]).into(),
    }
}

/// Returns a range of ascending values; `None` for kinds without ranges.
fn range(dice: &mut Dice, kind: Kind) -> Option<String> {
    let numbers = |dice: &mut Dice, bits| {
        let (a, b) = (number(dice, bits), number(dice, bits));
        (a.min(b), a.max(b) + u64::from(a == b))
    };
    Some(match kind {
        Kind::Number(bits) | Kind::Names(_, bits) => {
            let (low, high) = numbers(dice, bits);
            format!("{low}-{high}")
        }
        Kind::Mark => {
            let (low, high) = numbers(dice, 32);
            format!("{low:#x}-{high:#x}")
        }
        Kind::Ip => dice.pick(&["10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.255", "1.0.0.0-2.0.0.0"]).into(),
        Kind::Ip6 => dice.pick(&["::1-::9", "fd00::-fd00::ffff"]).into(),
        Kind::Proto => "5-9".into(),
        Kind::Bits(_) | Kind::Ether | Kind::Exists | Kind::Iface | Kind::Ifname => return None,
    })
}

fn prefix(dice: &mut Dice, kind: Kind) -> Option<String> {
    Some(match kind {
        Kind::Ip => {
            dice.pick(&["10.0.0.0/8", "10.128.0.0/9", "0.0.0.0/1", "1.2.3.0/24", "1.2.3.4/31", "0.0.0.0/0"]).into()
        }
        Kind::Ip6 => dice.pick(&["fd00::/8", "fe80::/10", "::/0", "2001:db8::/33", "fd00::1/128"]).into(),
        Kind::Mark => dice.pick(&["0xff000000/8", "0x10000/16", "0x1/31"]).into(),
        _ => return None,
    })
}

fn element(dice: &mut Dice, kind: Kind, intervals: bool) -> String {
    let interval = match dice.below(4) {
        0 if intervals => range(dice, kind),
        1 if intervals => prefix(dice, kind),
        _ => None,
    };
    let bits = |dice: &mut Dice| match kind {
        Kind::Bits(names) if dice.chance(40) => Some(dice.some(names, 3).join(" | ")),
        _ => None,
    };
    interval.or_else(|| bits(dice)).unwrap_or_else(|| value(dice, kind))
}

fn elements(dice: &mut Dice, kinds: &[Kind], intervals: bool, mut after: impl FnMut(&mut Dice) -> String) -> String {
    let count = dice.from(1, 5);
    let mut all: Vec<String> = Vec::new();
    for _ in 0..count {
        let parts: Vec<String> = kinds.iter().map(|kind| element(dice, *kind, intervals)).collect();
        let key = parts.join(" . ");
        if !all.iter().any(|other| other.starts_with(&key)) {
            all.push(format!("{key}{}", after(dice)));
        }
    }
    if dice.chance(8) {
        all.push(format!("*{}", after(dice)));
    }
    all.join(", ")
}

fn verdict(dice: &mut Dice) -> &'static str {
    dice.pick(&["accept", "drop", "jump r", "goto r", "return", "continue"])
}

fn comparison(dice: &mut Dice) -> String {
    if dice.chance(15) {
        let fields: Vec<_> = (0..dice.from(2, 3)).map(|_| field(dice)).collect();
        let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
        let kinds: Vec<_> = fields.iter().map(|(_, kind)| *kind).collect();
        let intervals = dice.chance(50);
        return if dice.chance(50) {
            let all = elements(dice, &kinds, intervals, |_| String::new());
            format!("{} {}{{ {all} }}", names.join(" . "), dice.pick(&["", "", "!= "]))
        } else {
            let all = elements(dice, &kinds, intervals, |dice| format!(" : {}", verdict(dice)));
            format!("{} vmap {{ {all} }}", names.join(" . "))
        };
    }
    let (name, kind) = field(dice);
    let not = dice.pick(&["", "", "!= "]);
    if let (Kind::Bits(names), true) = (kind, dice.chance(70)) {
        let some = dice.some(names, 3);
        let more: Vec<_> = names.iter().copied().filter(|name| some.contains(name) || dice.chance(40)).collect();
        return match dice.below(6) {
            0 => format!("{name} {}", some.join(",")),
            1 => format!("{name} ! {}", some.join(",")),
            2 => format!("{name} {} {}", dice.pick(&["==", "!="]), some.join(" | ")),
            3 => format!("{name} & ({}) {} {}", more.join(" | "), dice.pick(&["==", "!="]), some.join(" | ")),
            4 => format!("{name} & ({}) {} 0", more.join(" | "), dice.pick(&["==", "!="])),
            _ => format!("{name} {not}{} / {}", some.join(","), more.join(",")),
        };
    }
    match dice.below(12) {
        0 | 1 => {
            let text = range(dice, kind).unwrap_or_else(|| value(dice, kind));
            format!("{name} {not}{text}")
        }
        2 => {
            let text = prefix(dice, kind).unwrap_or_else(|| value(dice, kind));
            format!("{name} {not}{text}")
        }
        3 => format!("{name} {} {}", dice.pick(&["<", ">", "<=", ">="]), value(dice, kind)),
        4 => {
            let (mask, op, value) = (mask(dice, kind), dice.pick(&["==", "!=", "==", "<", ">="]), value(dice, kind));
            format!("{name} & {mask} {op} {value}")
        }
        5 | 6 => {
            let intervals = dice.chance(50);
            format!("{name} {not}{{ {} }}", elements(dice, &[kind], intervals, |_| String::new()))
        }
        7 => {
            let intervals = dice.chance(50);
            format!("{name} vmap {{ {} }}", elements(dice, &[kind], intervals, |dice| format!(" : {}", verdict(dice))))
        }
        _ => format!("{name} {not}{}", value(dice, kind)),
    }
}

fn mask(dice: &mut Dice, kind: Kind) -> String {
    match kind {
        Kind::Ip => dice.pick(&["255.0.0.0", "0.0.0.255", "255.255.255.255", "255.0.255.0", "255.255.254.0"]).into(),
        Kind::Ip6 => dice.pick(&["ffff::", "::ffff", "ffff:fff0::"]).into(),
        Kind::Mark | Kind::Number(32) => {
            dice.pick(&["0xff", "0xff00", "0xffffff00", "0xffffffff", "0x80000000"]).into()
        }
        Kind::Number(16) => dice.pick(&["0xff", "0xff00", "0xffff", "0x8000"]).into(),
        _ => dice.pick(&["0x1", "0xf0", "0xff", "0x7"]).into(),
    }
}

/// Returns a statement without a verdict.
fn passing(dice: &mut Dice) -> String {
    let mark = |dice: &mut Dice| dice.pick(&["meta mark", "ct mark"]);
    match dice.below(16) {
        0 | 1 => "counter".into(),
        2 => format!(
            "limit rate {}{}/{}{}",
            dice.pick(&["", "over "]),
            dice.from(1, 900),
            dice.pick(&["second", "minute", "hour", "day", "week"]),
            dice.pick(&["", " burst 7 packets", " burst 5 packets"])
        ),
        3 => format!(
            "limit rate {} {}/second{}",
            dice.from(1, 9000),
            dice.pick(&["bytes", "kbytes", "mbytes"]),
            dice.pick(&["", " burst 9 kbytes", " burst 1 bytes"])
        ),
        4 => format!(
            "log{}{}",
            dice.pick(&["", " prefix \"a # b \"", " prefix \"x\""]),
            dice.pick(&[
                "",
                " level debug",
                " group 7",
                " flags all",
                " flags tcp sequence",
                " level audit",
                " flags skuid",
                " group 2 snaplen 9 queue-threshold 3"
            ])
        ),
        5 => format!("{} set {}", mark(dice), value(dice, Kind::Mark)),
        6 => format!("{} set {}", mark(dice), mark(dice)),
        7 => format!("{} set {} {} {}", mark(dice), mark(dice), dice.pick(&["&", "|", "^"]), value(dice, Kind::Mark)),
        8 => format!(
            "{0} set {1} & {2} {3} {4}",
            mark(dice),
            mark(dice),
            value(dice, Kind::Mark),
            dice.pick(&["|", "^"]),
            value(dice, Kind::Mark)
        ),
        9 => {
            let (name, kind) = field(dice);
            let intervals = dice.chance(50);
            let all = elements(dice, &[kind], intervals, |dice| format!(" : {}", value(dice, Kind::Mark)));
            format!("{} set {name} map {{ {all} }}", mark(dice))
        }
        10 => format!("ct zone set {}", number(dice, 16)),
        11 => format!("meta nftrace set {}", number(dice, 1)),
        12 => dice
            .pick(&["quota over 5 mbytes", "quota 10 bytes", "ct count 7", "last", "notrack", "ct helper \"ftp\""])
            .into(),
        13 => dice
            .pick(&[
                "ip dscp set cs1",
                "ip ttl set 3",
                "meta priority set 1:2",
                "tcp option maxseg size set 1400",
                "meta pkttype set host",
                "@th,16,16 set 5",
            ])
            .into(),
        14 => {
            let offset = dice.below(5);
            format!(
                "meta mark set jhash ip saddr mod 8{}",
                if offset == 0 { String::new() } else { format!(" offset {offset}") }
            )
        }
        _ => "meta mark set numgen random mod 3".into(),
    }
}

fn ending(dice: &mut Dice) -> String {
    match dice.below(12) {
        0 => dice
            .pick(&[
                "reject",
                "reject with tcp reset",
                "reject with icmp host-unreachable",
                "reject with icmpv6 no-route",
                "reject with icmpx admin-prohibited",
                "reject with icmp 9",
                "reject with icmpx port-unreachable",
                "reject with icmp port-unreachable",
            ])
            .into(),
        1 => dice
            .pick(&[
                "queue",
                "queue num 3",
                "queue flags bypass to 1-4",
                "queue num 0-3 fanout,bypass",
                "queue to symhash mod 4",
            ])
            .into(),
        2 => dice
            .pick(&[
                "redirect",
                "meta l4proto tcp redirect to :80",
                "meta l4proto udp redirect to :80-90 random",
                "redirect persistent",
            ])
            .into(),
        3 => dice
            .pick(&[
                "dnat ip to 1.2.3.4",
                "dnat to 1.2.3.4",
                "meta l4proto tcp dnat ip to 1.2.3.4:80",
                "dnat ip6 to fd00::1",
                "meta l4proto tcp dnat ip6 to [fd00::1]:80-90",
                "dnat ip to 10.0.0.0/24",
                "dnat ip to ip saddr map { 1.2.3.4 : 5.6.7.8 }",
                "dnat ip prefix to ip daddr map { 1.2.3.0/24 : 5.6.7.0/24 }",
            ])
            .into(),
        4 => dice
            .pick(&[
                "masquerade",
                "snat to 1.2.3.4-1.2.3.9",
                "meta l4proto tcp masquerade to :1024-2048 random",
                "snat to 1.2.3.4 random,persistent",
                "meta l4proto udp snat to 1.2.3.4:5-9",
            ])
            .into(),
        5 => dice
            .pick(&[
                "meta l4proto tcp tproxy to :80",
                "meta l4proto udp tproxy ip to 127.0.0.1:80",
                "tcp dport 80 tproxy ip6 to [::1]:90",
            ])
            .into(),
        6 => dice.pick(&["dup to \"lo\"", "fwd to \"lo\"", "dup to 1.2.3.4"]).into(),
        7 => format!("jump {{ {}; {}; }}", comparison(dice), verdict(dice)),
        _ => verdict(dice).into(),
    }
}

/// Returns a named set or map, and the part of a rule that uses it.
fn named(dice: &mut Dice) -> (String, String) {
    let count = if dice.chance(30) { 2 } else { 1 };
    let fields: Vec<_> = (0..count).map(|_| field(dice)).collect();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    let kinds: Vec<_> = fields.iter().map(|(_, kind)| *kind).collect();
    let key = names.join(" . ");
    let intervals = dice.chance(40);
    let mut flags: Vec<&str> = Vec::new();
    if intervals {
        flags.push("interval");
    }
    let timeout = dice.chance(15);
    if timeout {
        flags.push("timeout");
    }
    let dynamic = !intervals && dice.chance(15);
    if dynamic {
        flags.push("dynamic");
    }
    let mut properties = String::new();
    if !flags.is_empty() {
        properties += &format!("flags {}; ", flags.join(","));
    }
    if dice.chance(15) {
        properties += "size 1000; ";
    }
    if intervals && dice.chance(20) {
        properties += "auto-merge; ";
    }
    if timeout && dice.chance(50) {
        properties += "timeout 1h5m; ";
    }
    if dice.chance(10) {
        properties += "policy memory; ";
    }
    if dice.chance(10) {
        properties += "comment \"a set\"; ";
    }
    let counted = dice.chance(15);
    if counted {
        properties += "counter; ";
    }
    let kind = dice.below(4);
    let extra = move |dice: &mut Dice| {
        let mut text = String::new();
        if timeout && dice.chance(30) {
            text += " timeout 30s";
        }
        if dice.chance(10) {
            text += " comment \"e\"";
        }
        text
    };
    match kind {
        0 => {
            let all = elements(dice, &kinds, intervals, |dice| format!("{} : {}", extra(dice), verdict(dice)));
            let all = if dice.chance(80) { format!("elements = {{ {all} }}; ") } else { String::new() };
            (format!("map s {{ typeof {key} : verdict; {properties}{all}}};"), format!("{key} vmap @s"))
        }
        1 => {
            let (data, of) = field(dice);
            let all = elements(dice, &kinds, intervals, |dice| format!("{} : {}", extra(dice), value(dice, of)));
            let all = if dice.chance(80) { format!("elements = {{ {all} }}; ") } else { String::new() };
            let used = if data == "meta mark" { format!("meta mark set {key} map @s") } else { String::new() };
            (format!("map s {{ typeof {key} : {data}; {properties}{all}}};"), used)
        }
        _ => {
            let all = elements(dice, &kinds, intervals, extra);
            let all = if dice.chance(80) { format!("elements = {{ {all} }}; ") } else { String::new() };
            let used = match dice.below(4) {
                0 if dynamic => format!("add @s {{ {key} }}"),
                1 if dynamic => format!("update @s {{ {key} counter }}"),
                2 => format!("{key} != @s"),
                _ => format!("{key} @s"),
            };
            (format!("set s {{ typeof {key}; {properties}{all}}};"), used)
        }
    }
}
