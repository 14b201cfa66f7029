//! The fields of nft(8) and values of their types, as people write them.

use super::Dice;

/// What a field is compared with.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A number of this many bits.
    Number(u32),
    /// One of these names, or a number of this many bits; ranges are numbers.
    Names(&'static [&'static str], u32),
    /// A set of these bits.
    Bits(&'static [&'static str]),
    /// A number in hexadecimal, which has prefixes and masks.
    Mark,
    Ip,
    Ip6,
    Ether,
    Ifname,
    Iface,
    /// A time such as 1h30m.
    Time,
    /// Only these texts.
    Texts(&'static [&'static str]),
    /// `exists` or `missing`.
    Exists,
}

use Kind::{Bits, Ether, Exists, Iface, Ifname, Ip, Ip6, Mark, Names, Number, Texts, Time};

/// Tables in which packets have a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Arp,
    /// Everywhere but arp.
    Any,
    Bridge,
    /// inet, ip, ip6.
    Inet,
    /// inet, ip, bridge, netdev.
    V4,
    /// inet, ip6, bridge, netdev.
    V6,
    /// bridge, netdev, and inet, which asks the type of the interface first.
    Link,
    Everywhere,
}

const ICMP: &[&str] = &[
    "echo-reply",
    "destination-unreachable",
    "source-quench",
    "redirect",
    "echo-request",
    "router-advertisement",
    "router-solicitation",
    "time-exceeded",
    "parameter-problem",
    "timestamp-request",
    "address-mask-reply",
];
const ICMP6: &[&str] = &[
    "destination-unreachable",
    "packet-too-big",
    "time-exceeded",
    "parameter-problem",
    "echo-request",
    "echo-reply",
    "mld-listener-query",
    "nd-router-solicit",
    "nd-neighbor-advert",
    "ind-neighbor-advert",
    "mld2-listener-report",
];
const DSCPS: &[&str] = &["cs0", "cs1", "cs7", "af11", "af21", "af33", "af43", "ef"];
const PROTOCOLS: &[&str] =
    &["tcp", "udp", "icmp", "ipv6-icmp", "esp", "ah", "comp", "sctp", "dccp", "udplite", "gre", "ospf", "igmp"];
const PORTS: &[&str] = &["ssh", "http", "https", "domain", "ntp"];
const ETHERTYPES: &[&str] = &["ip", "ip6", "arp", "vlan", "8021q", "8021ad", "0x88cc"];
const TCP_FLAGS: &[&str] = &["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
const STATES: &[&str] = &["invalid", "new", "established", "related", "untracked"];
const STATUS: &[&str] = &["expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"];
const ADDRTYPES: &[&str] =
    &["unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"];
const PKTTYPES: &[&str] = &["host", "unicast", "broadcast", "multicast", "other"];
const DAYS: &[&str] = &["\"Monday\"", "\"Sunday\"", "\"Friday\"", "\"Saturday\""];
const HOURS: &[&str] = &["\"17:30\"", "\"00:00\"", "\"23:59\"", "\"08:15:30\""];
const DATES: &[&str] = &["\"2019-12-24 16:00:00\"", "\"2026-01-01 00:00:00\"", "1600000000"];

pub(super) const FIELDS: &[(&str, Kind, At)] = &[
    // The link.
    ("ether saddr", Ether, At::Link),
    ("ether daddr", Ether, At::Link),
    ("ether type", Names(ETHERTYPES, 16), At::Link),
    ("vlan id", Number(12), At::Link),
    ("vlan pcp", Number(3), At::Link),
    ("vlan dei", Number(1), At::Link),
    ("vlan type", Names(&["ip", "ip6", "arp"], 16), At::Link),
    ("arp htype", Number(16), At::Arp),
    ("arp ptype", Names(&["ip", "0x0806"], 16), At::Arp),
    ("arp hlen", Number(8), At::Arp),
    ("arp plen", Number(8), At::Arp),
    ("arp operation", Names(&["request", "reply", "rrequest", "rreply", "inrequest", "inreply", "nak"], 16), At::Arp),
    ("arp saddr ether", Ether, At::Arp),
    ("arp daddr ether", Ether, At::Arp),
    ("arp saddr ip", Ip, At::Arp),
    ("arp daddr ip", Ip, At::Arp),
    // The network.
    ("ip version", Number(4), At::V4),
    ("ip hdrlength", Number(4), At::V4),
    ("ip dscp", Names(DSCPS, 6), At::V4),
    ("ip ecn", Names(&["not-ect", "ect1", "ect0", "ce"], 2), At::V4),
    ("ip length", Number(16), At::V4),
    ("ip id", Number(16), At::V4),
    ("ip frag-off", Number(13), At::V4),
    ("ip ttl", Number(8), At::V4),
    ("ip protocol", Names(PROTOCOLS, 8), At::V4),
    ("ip checksum", Number(16), At::V4),
    ("ip saddr", Ip, At::V4),
    ("ip daddr", Ip, At::V4),
    ("ip saddr", Ip, At::V4),
    ("ip option lsrr ptr", Number(8), At::V4),
    ("ip option ra value", Number(16), At::V4),
    ("ip option rr exists", Texts(&[""]), At::V4),
    ("ip6 version", Number(4), At::V6),
    ("ip6 dscp", Names(DSCPS, 6), At::V6),
    ("ip6 ecn", Names(&["not-ect", "ect1", "ect0", "ce"], 2), At::V6),
    ("ip6 flowlabel", Number(20), At::V6),
    ("ip6 length", Number(16), At::V6),
    ("ip6 nexthdr", Names(PROTOCOLS, 8), At::V6),
    ("ip6 hoplimit", Number(8), At::V6),
    ("ip6 saddr", Ip6, At::V6),
    ("ip6 daddr", Ip6, At::V6),
    ("ip6 daddr", Ip6, At::V6),
    ("hbh nexthdr", Names(PROTOCOLS, 8), At::V6),
    ("hbh hdrlength", Number(8), At::V6),
    ("rt nexthdr", Names(PROTOCOLS, 8), At::V6),
    ("rt type", Number(8), At::V6),
    ("rt seg-left", Number(8), At::V6),
    ("rt0 addr[1]", Ip6, At::V6),
    ("srh tag", Number(16), At::V6),
    ("srh sid[1]", Ip6, At::V6),
    ("frag nexthdr", Names(PROTOCOLS, 8), At::V6),
    ("frag frag-off", Number(13), At::V6),
    ("frag more-fragments", Number(1), At::V6),
    ("frag id", Number(32), At::V6),
    ("dst nexthdr", Names(PROTOCOLS, 8), At::V6),
    ("dst hdrlength", Number(8), At::V6),
    ("mh type", Names(&["binding-update", "home-test", "binding-error"], 8), At::V6),
    ("mh checksum", Number(16), At::V6),
    ("exthdr hbh", Exists, At::V6),
    ("exthdr frag", Exists, At::V6),
    ("icmp type", Names(ICMP, 8), At::V4),
    ("icmp code", Names(&["net-unreachable", "port-unreachable", "frag-needed", "admin-prohibited"], 8), At::V4),
    ("icmp checksum", Number(16), At::V4),
    ("icmp id", Number(16), At::V4),
    ("icmp sequence", Number(16), At::V4),
    ("icmp mtu", Number(16), At::V4),
    ("icmp gateway", Number(32), At::V4),
    ("icmpv6 type", Names(ICMP6, 8), At::V6),
    ("icmpv6 code", Names(&["no-route", "admin-prohibited", "port-unreachable", "policy-fail"], 8), At::V6),
    ("icmpv6 checksum", Number(16), At::V6),
    ("icmpv6 id", Number(16), At::V6),
    ("icmpv6 sequence", Number(16), At::V6),
    ("icmpv6 mtu", Number(32), At::V6),
    ("icmpv6 max-delay", Number(16), At::V6),
    ("icmpv6 parameter-problem", Number(32), At::V6),
    ("igmp type", Names(&["membership-query", "membership-report-v1", "leave-group"], 8), At::V4),
    ("igmp mrt", Number(8), At::V4),
    ("igmp checksum", Number(16), At::V4),
    ("igmp group", Ip, At::V4),
    // Transports.
    ("tcp sport", Names(PORTS, 16), At::Any),
    ("tcp dport", Names(PORTS, 16), At::Any),
    ("tcp dport", Number(16), At::Any),
    ("tcp sequence", Number(32), At::Any),
    ("tcp ackseq", Number(32), At::Any),
    ("tcp doff", Number(4), At::Any),
    ("tcp reserved", Number(4), At::Any),
    ("tcp flags", Bits(TCP_FLAGS), At::Any),
    ("tcp window", Number(16), At::Any),
    ("tcp checksum", Number(16), At::Any),
    ("tcp urgptr", Number(16), At::Any),
    ("tcp option maxseg size", Number(16), At::Any),
    ("tcp option window count", Number(8), At::Any),
    ("tcp option timestamp tsval", Number(32), At::Any),
    ("tcp option sack left", Number(32), At::Any),
    ("tcp option sack0 right", Number(32), At::Any),
    ("tcp option 7", Exists, At::Any),
    ("tcp option @42,16,8", Number(8), At::Any),
    ("tcp option sack-perm", Exists, At::Any),
    ("tcp option eol kind", Number(8), At::Any),
    ("udp sport", Names(PORTS, 16), At::Any),
    ("udp dport", Number(16), At::Any),
    ("udp length", Number(16), At::Any),
    ("udp checksum", Number(16), At::Any),
    ("udplite sport", Number(16), At::Any),
    ("udplite csumcov", Number(16), At::Any),
    ("udplite checksum", Number(16), At::Any),
    ("sctp sport", Number(16), At::Any),
    ("sctp vtag", Number(32), At::Any),
    ("sctp checksum", Number(32), At::Any),
    ("sctp chunk data flags", Number(8), At::Any),
    ("sctp chunk init num-outbound-streams", Number(16), At::Any),
    ("sctp chunk sack", Exists, At::Any),
    ("dccp dport", Number(16), At::Any),
    ("dccp type", Names(&["request", "response", "data", "reset", "sync"], 4), At::Any),
    ("ah hdrlength", Number(8), At::Any),
    ("ah nexthdr", Names(PROTOCOLS, 8), At::Any),
    ("ah reserved", Number(16), At::Any),
    ("ah spi", Number(32), At::Any),
    ("ah sequence", Number(32), At::Any),
    ("esp spi", Number(32), At::Any),
    ("esp sequence", Number(32), At::Any),
    ("comp nexthdr", Names(PROTOCOLS, 8), At::Any),
    ("comp flags", Number(8), At::Any),
    ("comp cpi", Number(16), At::Any),
    ("th sport", Names(PORTS, 16), At::Any),
    ("th dport", Number(16), At::Any),
    // Bytes.
    ("@nh,96,32", Number(32), At::Any),
    ("@nh,8,4", Number(4), At::Any),
    ("@th,16,16", Number(16), At::Any),
    ("@th,0,24", Number(24), At::Any),
    ("@th,13,3", Number(3), At::Any),
    ("@th,100,12", Number(12), At::Any),
    ("@ih,0,32", Number(32), At::Any),
    ("@ll,0,48", Number(48), At::Link),
    ("@ll,0,16", Number(16), At::Link),
    // Metadata.
    ("meta length", Number(32), At::Everywhere),
    ("meta protocol", Names(&["ip", "ip6", "arp"], 16), At::Any),
    ("meta nfproto", Names(&["ipv4", "ipv6"], 8), At::Any),
    ("meta l4proto", Names(PROTOCOLS, 8), At::Any),
    ("meta priority", Texts(&["none", "root", "1:2", "abcd:1", "0xffff0001"]), At::Everywhere),
    ("meta mark", Mark, At::Everywhere),
    ("mark", Mark, At::Everywhere),
    ("meta iif", Iface, At::Everywhere),
    ("iifname", Ifname, At::Everywhere),
    ("meta iiftype", Names(&["ether", "ppp", "loopback", "ipip", "sit", "ipgre"], 16), At::Everywhere),
    ("oif", Iface, At::Everywhere),
    ("meta oifname", Ifname, At::Everywhere),
    ("meta oiftype", Names(&["ether", "loopback"], 16), At::Everywhere),
    ("meta iifkind", Texts(&["\"veth\"", "\"vrf\"", "\"bridge\""]), At::Everywhere),
    ("meta oifkind", Texts(&["\"tun\"", "\"ipip\""]), At::Everywhere),
    ("meta skuid", Names(&["root", "daemon"], 32), At::Inet),
    ("meta skgid", Names(&["root", "daemon"], 32), At::Inet),
    ("meta rtclassid", Names(&["default"], 32), At::Inet),
    ("meta pkttype", Names(PKTTYPES, 8), At::Everywhere),
    ("meta cpu", Number(32), At::Everywhere),
    ("meta iifgroup", Names(&["default"], 32), At::Everywhere),
    ("meta oifgroup", Number(32), At::Everywhere),
    ("meta cgroup", Number(32), At::Everywhere),
    ("meta random", Number(32), At::Everywhere),
    ("meta ipsec", Exists, At::Inet),
    ("meta time", Texts(DATES), At::Everywhere),
    ("meta day", Texts(DAYS), At::Everywhere),
    ("meta hour", Texts(HOURS), At::Everywhere),
    ("meta ibrname", Ifname, At::Bridge),
    ("meta obrname", Ifname, At::Bridge),
    ("socket transparent", Number(1), At::Inet),
    ("socket mark", Mark, At::Inet),
    ("socket wildcard", Number(1), At::Inet),
    ("osf name", Texts(&["\"Linux\"", "\"Windows\"", "\"unknown\""]), At::Inet),
    ("osf ttl loose version", Texts(&["\"Linux:4.4\""]), At::Inet),
    ("fib saddr type", Names(ADDRTYPES, 32), At::Inet),
    ("fib daddr . iif type", Names(ADDRTYPES, 32), At::Inet),
    ("fib daddr . mark . iif type", Names(ADDRTYPES, 32), At::Inet),
    ("fib saddr . iif oif", Exists, At::Inet),
    ("fib daddr oifname", Ifname, At::Inet),
    ("rt classid", Names(&["default"], 32), At::Inet),
    ("rt ip nexthop", Ip, At::Inet),
    ("rt ip6 nexthop", Ip6, At::Inet),
    ("rt mtu", Number(16), At::Inet),
    ("rt ipsec", Exists, At::Inet),
    ("ipsec in reqid", Number(32), At::Inet),
    ("ipsec out spnum 1 spi", Number(32), At::Inet),
    ("ipsec in ip saddr", Ip, At::Inet),
    // Connections.
    ("ct state", Bits(STATES), At::Any),
    ("ct direction", Names(&["original", "reply"], 8), At::Any),
    ("ct status", Bits(STATUS), At::Any),
    ("ct mark", Mark, At::Any),
    ("ct expiration", Time, At::Any),
    ("ct helper", Texts(&["\"ftp\"", "\"sip\"", "\"netbios-ns\""]), At::Any),
    ("ct label", Number(7), At::Any),
    ("ct count", Texts(&["20", "over 7"]), At::Any),
    ("ct l3proto", Names(&["ipv4", "ipv6"], 8), At::Any),
    ("ct protocol", Names(PROTOCOLS, 8), At::Any),
    ("ct zone", Number(16), At::Any),
    ("ct id", Number(32), At::Any),
    ("ct bytes", Number(63), At::Any),
    ("ct packets", Number(63), At::Any),
    ("ct avgpkt", Number(32), At::Any),
    ("ct original ip saddr", Ip, At::Any),
    ("ct reply ip6 daddr", Ip6, At::Any),
    ("ct original l3proto", Names(&["ipv4", "ipv6"], 8), At::Any),
    ("ct original protocol", Names(PROTOCOLS, 8), At::Any),
    ("ct reply proto-src", Names(PORTS, 16), At::Any),
    ("ct original proto-dst", Number(16), At::Any),
    ("ct original bytes", Number(63), At::Any),
    ("ct reply packets", Number(63), At::Any),
    ("ct original avgpkt", Number(32), At::Any),
    ("ct reply zone", Number(16), At::Any),
    // Generated.
    ("numgen inc mod 4", Number(2), At::Any),
    ("numgen random mod 9 offset 3", Number(3), At::Any),
    ("jhash ip saddr mod 8 seed 0xdeadbeef", Number(3), At::V4),
    ("jhash ip saddr . ip daddr mod 16 offset 2", Number(4), At::V4),
    ("symhash mod 5", Number(2), At::Any),
];

/// Returns a field that packets of a table of this family may have.
pub(super) fn field(dice: &mut Dice, family: &str) -> (&'static str, Kind) {
    loop {
        let (name, kind, at) = dice.pick(FIELDS);
        let fits = match at {
            At::Arp => family == "arp" || family == "netdev" && dice.chance(30),
            At::Any => family != "arp",
            At::Bridge => family == "bridge" && dice.chance(20),
            At::Inet => ["inet", "ip", "ip6"].contains(&family),
            At::V4 => !["ip6", "arp"].contains(&family),
            At::V6 => !["ip", "arp"].contains(&family),
            At::Link => ["bridge", "netdev"].contains(&family) || dice.chance(30),
            At::Everywhere => true,
        };
        if fits || dice.chance(1) {
            return (name, kind);
        }
    }
}

/// Returns a number of so many bits as people write it.
pub(super) fn number(dice: &mut Dice, bits: u32) -> u64 {
    let all = (1_u64 << bits) - 1;
    match dice.below(6) {
        0 => all,
        1 => 0,
        2 | 3 => dice.below(300) as u64 & all,
        _ => dice.below(usize::MAX) as u64 & all,
    }
}

pub(super) fn value(dice: &mut Dice, kind: Kind) -> String {
    let plain = |dice: &mut Dice, bits| {
        let number = number(dice, bits);
        if dice.chance(20) { format!("{number:#x}") } else { number.to_string() }
    };
    match kind {
        Number(bits) => plain(dice, bits),
        Names(_, bits) if dice.chance(15) => plain(dice, bits.min(32)),
        Names(names, _) | Bits(names) | Texts(names) => dice.pick(names).into(),
        Mark => match dice.below(3) {
            0 => number(dice, 32).to_string(),
            _ => format!("{:#x}", number(dice, 32)),
        },
        Ip => dice
            .pick(&["10.0.0.1", "10.1.2.3", "127.0.0.1", "255.255.255.255", "192.168.1.77", "0.0.0.0", "224.0.0.1"])
            .into(),
        Ip6 => dice
            .pick(&["::1", "fd00::1", "fe80::1:2:3", "::ffff:1.2.3.4", "2001:db8::", "::", "1:2:3:4:5:6:7:8"])
            .into(),
        Ether => dice.pick(&["00:11:22:33:44:55", "ff:ff:ff:ff:ff:ff", "02:0:0:0:a:1", "00:00:00:00:00:00"]).into(),
        Ifname => dice.pick(&["\"lo\"", "eth0", "\"veth*\"", "wlan*", "\"a-b.c\"", "\"br-0123456789a\""]).into(),
        Iface => dice.pick(&["lo", "\"lo\"", "eth0"]).into(),
        Time => dice.pick(&["30s", "1h", "1d2h3m4s", "10m", "45", "4294967s"]).into(),
        Exists => dice.pick(&["exists", "missing"]).into(),
    }
}

/// Returns a range of ascending values; `None` for kinds without ranges.
pub(super) fn range(dice: &mut Dice, kind: Kind) -> Option<String> {
    let numbers = |dice: &mut Dice, bits: u32| {
        let (a, b) = (number(dice, bits), number(dice, bits));
        (a.min(b), a.max(b) + u64::from(a == b && a < (1 << bits) - 1))
    };
    Some(match kind {
        Number(bits) | Names(_, bits) => {
            let (low, high) = numbers(dice, bits.min(32));
            format!("{low}-{high}")
        }
        Mark => {
            let (low, high) = numbers(dice, 32);
            format!("{low:#x}-{high:#x}")
        }
        Ip => dice.pick(&["10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.255", "1.0.0.0-2.0.0.0", "0.0.0.0-9.9.9.9"]).into(),
        Ip6 => dice.pick(&["::1-::9", "fd00::-fd00::ffff", "2001:db8::1-2001:db9::"]).into(),
        Ether => "00:00:00:00:00:01-00:00:00:00:00:09".into(),
        Time => "1m-2h".into(),
        Texts(HOURS) => dice.pick(&["\"08:00\"-\"17:30\"", "\"00:00\"-\"23:59\""]).into(),
        Texts(_) | Bits(_) | Exists | Iface | Ifname => return None,
    })
}

pub(super) fn prefix(dice: &mut Dice, kind: Kind) -> Option<String> {
    Some(match kind {
        Ip => dice
            .pick(&[
                "10.0.0.0/8",
                "10.128.0.0/9",
                "0.0.0.0/1",
                "1.2.3.0/24",
                "1.2.3.4/31",
                "172.16.0.0/12",
                "10.0.0.7/24",
            ])
            .into(),
        Ip6 => dice.pick(&["fd00::/8", "fe80::/10", "2001:db8::/33", "fd00::1/128", "2001:db8::7/64"]).into(),
        Mark => dice.pick(&["0xff000000/8", "0x10000/16", "0x1/31"]).into(),
        _ => return None,
    })
}

/// Returns a mask of values of this kind, if they have one.
pub(super) fn mask(dice: &mut Dice, kind: Kind) -> Option<String> {
    Some(match kind {
        Ip => dice.pick(&["255.0.0.0", "0.0.0.255", "255.0.255.0", "255.255.254.0"]).into(),
        Ip6 => dice.pick(&["ffff::", "::ffff", "ffff:fff0::"]).into(),
        Mark => dice.pick(&["0xff", "0xff00", "0xffffff00", "0xffffffff", "0x80000000"]).into(),
        Number(bits) | Names(_, bits) => format!("{:#x}", number(dice, bits.min(32)).max(1)),
        Bits(_) | Ether | Exists | Iface | Ifname | Texts(_) | Time => return None,
    })
}
