//! iptables matches without an nft form: they are imported as iptables-nft puts them into the
//! kernel, and a walk meets the rules that the kernel counts, with iptables-nft and
//! iptables-legacy.

#![cfg(all(feature = "sim", feature = "import"))]

#[path = "support/agree/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]
mod dice;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::UdpSocket;
use std::time::Duration;

use dice::Dice;
use nftmesh::bytecode::{Expr, lower};
use nftmesh::import::{Unknown, iptables_save};
use nftmesh::kernel::{Kernel, host};
use nftmesh::model::{IpFamily, Ruleset};
use nftmesh::plan::Transaction;
use nftmesh::sim::{Comparison, Packet, Rules, Walk, Walker, compare};
use support::patience::{comes_true, patience};
use support::{command, in_fresh_netns, ip, succeed, sys};
use traffic::Pod;

use IpFamily::{Ipv4 as V4, Ipv6 as V6};

#[track_caller]
fn import(text: &str, family: IpFamily) -> Ruleset {
    let imported = iptables_save(text, family, Unknown::Refuse);
    imported.unwrap_or_else(|error| panic!("{error}\n{}", text.lines().nth(error.line - 1).unwrap_or_default())).ruleset
}

fn rules(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).expect("every rule has a program")
}

fn program(family: IpFamily, what: &str) -> String {
    match family {
        V4 => format!("iptables-{what}"),
        V6 => format!("ip6tables-{what}"),
    }
}

/// Returns an option with a value, sometimes negated.
fn option(dice: &mut Dice, name: &str, values: &[&str]) -> String {
    let not = if dice.chance(30) { "! " } else { "" };
    format!(" {not}{name} {}", dice.pick(values)).trim_end().to_owned()
}

/// Returns addresses and masks that the packets of these tests have, and others.
fn addresses(family: IpFamily) -> &'static [&'static str] {
    match family {
        V4 => &[
            "10.77.0.1",
            "10.77.0.2",
            "10.77.0.0/24",
            "10.88.0.9",
            "10.88.0.7/8",
            "0.0.0.0/0",
            "10.77.0.2/255.255.0.0",
        ],
        V6 => &["fd77::1", "fd77::2", "fd77::/64", "fd88::9", "::/0", "fd77::2/ffff::"],
    }
}

const PORTS: &[&str] = &["53", "7000", "40000", "50000", ":1024", "1024:", "7000:50000", "2048", "0", "7", "81"];

/// Returns a conntrack match, except of the remaining time.
fn conntrack(dice: &mut Dice, family: IpFamily) -> String {
    let mut text = "-m conntrack".to_owned();
    let states = ["NEW", "EST", "RELATED", "invalid", "UNTRACKED", "SNAT", "DNAT"];
    let all: [&dyn Fn(&mut Dice) -> String; 12] = [
        &|dice| {
            let some = dice.some(&states, 3).join(",");
            option(dice, "--ctstate", &[&some])
        },
        &|dice| option(dice, "--ctproto", &["tcp", "17", "icmp", "47"]),
        &|dice| option(dice, "--ctorigsrc", addresses(family)),
        &|dice| option(dice, "--ctorigdst", addresses(family)),
        &|dice| option(dice, "--ctreplsrc", addresses(family)),
        &|dice| option(dice, "--ctrepldst", addresses(family)),
        &|dice| option(dice, "--ctorigsrcport", PORTS),
        &|dice| option(dice, "--ctorigdstport", PORTS),
        &|dice| option(dice, "--ctreplsrcport", PORTS),
        &|dice| option(dice, "--ctrepldstport", PORTS),
        &|dice| option(dice, "--ctstatus", &["EXPECTED", "SEEN_REPLY", "CONFIRMED", "NONE", "SEEN_REPLY,CONF"]),
        &|dice| format!(" --ctdir {}", dice.pick(&["ORIGINAL", "REPLY"])),
    ];
    for of in dice.some(&all, 3) {
        text.push_str(&of(dice));
    }
    text
}

/// Matches of the packet, its header and its addresses; each is one nft rule.
const OF_PACKET: &[&str] = &[
    "-m length --length 28:29",
    "-m length ! --length 29",
    "-m length --length :40",
    "-m ttl --ttl-eq 64",
    "-m ttl --ttl-lt 64",
    "-m ttl --ttl-gt 10",
    "-m dscp --dscp 0",
    "-m dscp ! --dscp-class EF",
    "-m iprange --src-range 10.77.0.1-10.77.0.1",
    "-m iprange --src-range 10.77.0.2-10.99.0.0 ! --dst-range 10.77.0.1-10.80.0.0",
    "-m addrtype --src-type LOCAL",
    "-m addrtype ! --dst-type LOCAL",
    "-m addrtype --dst-type UNICAST,BROADCAST",
    "-p icmp -m icmp --icmp-type echo-request",
    "-p icmp -m icmp ! --icmp-type 8/0",
    "-p udp -m multiport --dports 53,7000:7001",
    "-p udp -m multiport ! --ports 53,50000",
    "-p tcp -m tcp --tcp-flags SYN,RST RST",
    "-p tcp -m tcp ! --syn",
    "! -p udp -m mark --mark 0/0xff",
    "-m connmark ! --mark 0",
    "-m pkttype --pkt-type unicast",
    "-m statistic --mode random ! --probability 0",
    "-m statistic --mode nth --every 1 --packet 0",
    "-m recent --set --rdest",
    "-m comment --comment \"a \\\"b\\\"\" -s 10.77.0.0/255.255.255.0 ! -d 10.88.0.0/16",
];

/// Returns the options of a match other than conntrack, and a chain where the kernel accepts it.
fn other(dice: &mut Dice, family: IpFamily) -> (&'static str, String) {
    let full = match family {
        V4 => "--mask 255.255.0.0",
        V6 => "--mask ffff::",
    };
    match dice.below(7) {
        0 => {
            let flags = ["--loose", "--validmark", "--accept-local", "--invert"];
            let flags = if dice.chance(20) { String::new() } else { dice.some(&flags, 4).join(" ") };
            ("PREROUTING", format!("-m rpfilter {flags}"))
        }
        1 => ("INPUT", format!("-p tcp -m tcpmss{}", option(dice, "--mss", &["5", "5:9", ":1400", "1361:1536"]))),
        2 => {
            let asks = dice.pick(&[
                "--rcheck --seconds 60",
                "--update --seconds 9 --hitcount 3 --reap",
                "--rcheck --rttl",
                "--set",
                "--remove",
            ]);
            let not = dice.pick(&["", "! "]);
            let name = dice.pick(&["", " --name ssh", " --name \"a b\" --rdest", " --rsource"]);
            let mask = dice.pick(&["", full]);
            ("INPUT", format!("-m recent {not}{asks}{name} {mask}"))
        }
        3 => (
            "INPUT",
            format!(
                "-m statistic --mode random{}",
                option(dice, "--probability", &["0.5", "0.33333333349", "1", "0", "1e-3", "0.2000000019"])
            ),
        ),
        4 => (
            "INPUT",
            format!(
                "-m statistic --mode nth{} --packet {}",
                option(dice, "--every", &["3", "0x4", "1000"]),
                dice.below(3)
            ),
        ),
        5 => {
            let name = dice.pick(&["eth0", "veth+", "+", "a-name-of-15-by"]);
            let asks = [
                format!("--physdev-in {name}"),
                "--physdev-is-in".into(),
                "--physdev-is-bridged".into(),
                format!("--physdev-out {name}"),
                "--physdev-is-out".into(),
            ];
            let some = dice.some(&asks, 2).iter().map(|ask| option(dice, ask, &[""])).collect::<String>();
            ("FORWARD", format!("-m physdev{some}"))
        }
        _ => (
            "INPUT",
            format!(
                "-m conntrack{}{}",
                option(dice, "--ctexpire", &["5", "5:10", ":7", "3:"]),
                option(dice, "--ctproto", &["tcp", "0x11"])
            ),
        ),
    }
}

/// Returns the xtables matches and targets in programs, with their bytes.
fn blobs<'a>(programs: impl IntoIterator<Item = &'a [Expr]>) -> Vec<(String, Vec<u8>)> {
    let opaque = |expr: &Expr| match expr {
        Expr::Opaque { name, data, .. } => Some((name.to_string(), data.to_vec())),
        _ => None,
    };
    programs.into_iter().flatten().filter_map(opaque).collect()
}

fn sent(ruleset: &Ruleset) -> Vec<Vec<(String, Vec<u8>)>> {
    let lowered = |table: &nftmesh::model::Table| {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let programs = rules.map(|rule| lower(rule, table.family, table.sets.as_slice()).expect("it can be lowered"));
        programs.map(|program| blobs([program.exprs.as_slice()])).collect::<Vec<_>>()
    };
    ruleset.tables.iter().flat_map(lowered).collect()
}

fn snapshot() -> nftmesh::state::Snapshot {
    Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot")
}

fn held() -> Vec<Vec<(String, Vec<u8>)>> {
    let snapshot = snapshot();
    let chains = snapshot.tables.iter().flat_map(|table| &table.chains);
    chains.flat_map(|chain| &chain.rules).map(|rule| blobs([rule.exprs.as_slice()])).collect()
}

#[test]
fn extensions_without_an_nft_form_equal_iptables_nft_byte_for_byte() {
    if !support::needs_root() {
        return;
    }
    let mut same = 0;
    for family in [V4, V6] {
        let dice = &mut Dice::new(7);
        for round in 0..12 {
            let mut text = "*mangle\n".to_owned();
            for _ in 0..20 {
                let (chain, options) =
                    if dice.chance(30) { ("INPUT", conntrack(dice, family)) } else { other(dice, family) };
                writeln!(text, "-A {chain} {options}").expect("a string");
            }
            text.push_str(
                "-A POSTROUTING -p tcp --syn -j TCPMSS --clamp-mss\n-A INPUT -p tcp -j TCPMSS --set-mss 1400\nCOMMIT\n",
            );
            let ruleset = import(&text, family);
            let (mut theirs, mut saved, mut again) = (Vec::new(), String::new(), Vec::new());
            in_fresh_netns(|| {
                succeed(&program(family, "nft-restore"), "", &text);
                saved = succeed(&program(family, "nft-save"), "-t mangle", "");
                theirs = held();
            });
            in_fresh_netns(|| {
                let mut kernel = Kernel::open().expect("a netlink socket");
                kernel.commit(&Transaction::add(ruleset.clone())).unwrap_or_else(|error| panic!("{error}\n{text}"));
                again = held();
            });
            let ours = sent(&ruleset);
            assert_eq!(ours, again, "round {round}\n{text}");
            // By chain, since their order differs.
            let by_bytes = |all: &[Vec<(String, Vec<u8>)>]| -> BTreeSet<_> { all.iter().flatten().cloned().collect() };
            assert_eq!(
                by_bytes(&ours).difference(&by_bytes(&theirs)).count(),
                0,
                "{family:?}, round {round}\n{text}{saved}"
            );
            same += by_bytes(&ours).len();
        }
    }
    support::say(format!("{same} matches and targets, byte for byte"));
    assert!(same > 200, "{same}");
}

#[test]
fn live_rules_equal_their_text_and_a_changed_constant_differs() {
    if !support::needs_root() {
        return;
    }
    let mut held = 0;
    for family in [V4, V6] {
        let dice = &mut Dice::new(11);
        for _ in 0..60 {
            let (chain, options) =
                if dice.chance(50) { ("INPUT", conntrack(dice, family)) } else { other(dice, family) };
            let text = format!(
                "*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n-A {chain} {options} -j DROP\nCOMMIT\n"
            );
            in_fresh_netns(|| {
                succeed(&program(family, "nft-restore"), "", &text);
                let live = Rules::try_from(&snapshot()).expect("every rule has a program");
                let reported = compare(&live, &rules(&import(&text, family)));
                // State from earlier packets is not shared by two rule sets.
                let remembers = ["nth", "rcheck", "update", "remove"].iter().any(|word| options.contains(word));
                match reported {
                    Comparison::Equivalent { outside: 0, .. } => {}
                    Comparison::CannotTell(_) if remembers => {}
                    reported => panic!("{reported}\n{text}"),
                }
                let without = text.replace(" -j DROP", "");
                let reported = compare(&live, &rules(&import(&without, family)));
                // A match that never holds makes no difference.
                let is_same = matches!(reported, Comparison::Equivalent { .. });
                let never = ["NONE", "statistic", "recent"].iter().any(|word| options.contains(word))
                    || options.contains("ctstate");
                assert!(!is_same || never, "{reported}\n{text}");
                held += 1;
            });
        }
    }
    support::say(format!("{held} rules, live and from text"));
}

/// A kind of tables: how it is loaded and read back.
struct Backend(&'static str);

impl Backend {
    /// Returns the kinds that this kernel has.
    fn all(family: IpFamily) -> Vec<Backend> {
        let backends = ["nft", "legacy"].map(Backend);
        let works = |backend: &Backend| {
            let mut works = true;
            in_fresh_netns(|| {
                let tables = ["filter", "mangle", "nat", "raw"];
                works = tables.iter().all(|table| {
                    let listed = command(&program(family, backend.0)).args(["-t", table, "-S"]).output();
                    listed.is_ok_and(|output| output.status.success())
                });
            });
            if !works {
                support::say(format!("{} tables of this kernel are not there", backend.0));
            }
            works
        };
        backends.into_iter().filter(works).collect()
    }

    fn load(&self, family: IpFamily, text: &str) {
        succeed(&program(family, &format!("{}-restore", self.0)), "", text);
    }

    /// Returns the text with counters.
    fn save(&self, family: IpFamily) -> String {
        succeed(&program(family, &format!("{}-save", self.0)), "-c", "")
    }
}

/// Returns chain and number of every rule that counted a packet.
fn counted(saved: &str) -> BTreeSet<String> {
    let (mut table, mut numbers, mut counted) = ("", std::collections::BTreeMap::new(), BTreeSet::new());
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        }
        let Some((counts, rule)) = line.strip_prefix('[').and_then(|line| line.split_once("] -A ")) else { continue };
        let chain = rule.split(' ').next().unwrap_or_default();
        let number = numbers.entry((table, chain)).or_insert(0);
        *number += 1;
        if !counts.starts_with("0:") {
            counted.insert(format!("{table} {chain} {number}"));
        }
    }
    counted
}

fn met(walks: &[Walk]) -> BTreeSet<String> {
    let lines = walks.iter().flat_map(Walk::matched).map(|(_, rule, _)| rule);
    lines.map(|rule| format!("{} {} {}", rule.chain.table.name, rule.chain.name, rule.number)).collect()
}

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_walk_meets_the_rules_that_the_kernel_counts() {
    if !support::needs_root() {
        return;
    }
    let (mut rules_met, mut rounds) = (0, 0);
    for backend in Backend::all(V4) {
        let dice = &mut Dice::new(2024);
        for round in 0..12 {
            let Pod { pod, gateway } = Pod::new();
            let mut matches: Vec<String> = (0..12).map(|_| conntrack(dice, V4)).collect();
            matches.extend((0..8).map(|_| dice.pick(OF_PACKET).to_owned()));
            let mut text = "*mangle\n".to_owned();
            for chain in ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"] {
                matches.iter().for_each(|options| writeln!(text, "-A {chain} {options}").expect("a string"));
            }
            text.push_str(
                "COMMIT\n*nat\n-A OUTPUT -d 10.88.0.9 -p udp -j DNAT --to-destination 10.77.0.1:7000\n\
                 -A POSTROUTING -p udp -d 10.77.0.1 -j SNAT --to-source 10.77.0.2:50000\nCOMMIT\n",
            );
            pod.run(|| backend.load(V4, &text));
            let server = gateway.run(|| UdpSocket::bind("10.77.0.1:7000").expect("its own address"));
            let client = pod.run(|| UdpSocket::bind("10.77.0.2:40000").expect("its own address"));
            let limit = Some(patience(Duration::from_secs(10)));
            [&server, &client].iter().for_each(|socket| socket.set_read_timeout(limit).expect("a time"));
            let mut bytes = [0; 8];
            client.send_to(b"x", "10.88.0.9:53").expect("it is sent");
            let (_, from) = server.recv_from(&mut bytes).expect("it arrives");
            assert_eq!(from.to_string(), "10.77.0.2:50000");
            server.send_to(b"y", from).expect("it is sent");
            client.recv_from(&mut bytes).expect("it arrives");
            // An echo, which the gateway answers, and a connection that the pod refuses.
            pod.run(|| {
                let echo = [8, 0, 0xf7, 0xf8, 0, 7, 0, 0];
                sys::send_raw("10.77.0.1:0".parse().expect("an address"), libc::IPPROTO_ICMP, &echo)
                    .expect("it is sent");
            });
            let refused = gateway.run(|| {
                let socket = sys::socket("10.77.0.1:0".parse().expect("an address"), libc::SOCK_STREAM)?;
                sys::bind(&socket, "10.77.0.1:33333".parse().expect("an address"))?;
                sys::connect(&socket, "10.77.0.2:81".parse().expect("an address"))
            });
            assert!(refused.is_err(), "nobody listens");
            let (mut saved, host) = pod.run(|| (backend.save(V4), host().expect("a netlink socket")));
            let ruleset = rules(&import(&saved, V4));
            let mut walker = Walker::new(&ruleset, &host);
            let walks = [
                walker.send(packet(
                    "udp 10.77.0.2:40000 -> 10.88.0.9:53 uid 0 gid 0 length 29 network 4500????????????40",
                )),
                walker.receive(
                    packet("udp 10.77.0.1:7000 -> 10.77.0.2:50000 length 29 network 4500????????????40"),
                    "eth0",
                ),
                walker.send(packet(
                    "icmp 10.77.0.2 -> 10.77.0.1 type echo-request id 7 length 28 network 4500????????????40",
                )),
                walker.receive(
                    packet("icmp 10.77.0.1 -> 10.77.0.2 type echo-reply id 7 length 28 network 4500????????????40"),
                    "eth0",
                ),
                walker.receive(packet("tcp 10.77.0.1:33333 -> 10.77.0.2:81 network 4500????????????40"), "eth0"),
                walker.send(packet(
                    "tcp 10.77.0.2:81 -> 10.77.0.1:33333 flags rst,ack length 40 network 4500????????????40",
                )),
            ];
            let reported = || walks.iter().map(Walk::to_string).collect::<String>();
            assert!(!reported().contains("CANNOT TELL"), "{}{saved}", reported());
            // The echo may still be on its way.
            let ours = met(&walks);
            pod.run(|| {
                comes_true(|| {
                    saved = backend.save(V4);
                    counted(&saved) == ours
                })
            });
            let kernel = counted(&saved);
            let differ: Vec<_> = kernel.symmetric_difference(&ours).collect();
            assert!(differ.is_empty(), "{} round {round}: {differ:?}\n{saved}{}", backend.0, reported());
            rules_met += kernel.len();
            rounds += 1;
        }
    }
    support::say(format!("{rounds} rounds, {rules_met} rules met as the kernel met them"));
    assert!(rules_met > 100, "{rules_met}");
}

/// Returns a UDP packet with its IP header.
fn datagram(source: &str, destination: &str) -> Vec<u8> {
    let udp = [0x9c, 0x40, 0, 7, 0, 8, 0, 0];
    match (source.parse().expect("an address"), destination.parse().expect("an address")) {
        (std::net::IpAddr::V4(source), std::net::IpAddr::V4(destination)) => {
            let start = [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0];
            [&start[..], &source.octets(), &destination.octets(), &udp].concat()
        }
        (std::net::IpAddr::V6(source), std::net::IpAddr::V6(destination)) => {
            let start = [0x60, 0, 0, 0, 0, 8, 17, 64];
            [&start[..], &source.octets(), &destination.octets(), &udp].concat()
        }
        _ => panic!("two families"),
    }
}

/// Sources by family, with their destinations.
const SOURCES4: &[(&str, &str)] = &[
    ("10.77.0.1", "10.77.0.2"),
    ("10.77.0.200", "10.77.0.2"),
    ("10.99.0.1", "10.77.0.2"),
    ("10.98.0.1", "10.77.0.2"),
    ("8.8.8.8", "10.77.0.2"),
    ("10.77.0.2", "10.77.0.2"),
    ("10.66.0.2", "10.77.0.2"),
    ("0.1.2.3", "10.77.0.2"),
    ("0.0.0.0", "10.77.0.2"),
    ("0.0.0.0", "255.255.255.255"),
    ("0.1.2.3", "224.0.0.9"),
    ("10.77.0.255", "10.77.0.2"),
    ("224.0.0.5", "10.77.0.2"),
    ("10.97.0.1", "10.77.0.2"),
];
const SOURCES6: &[(&str, &str)] = &[
    ("fd77::1", "fd77::2"),
    ("fd99::1", "fd77::2"),
    ("fd98::1", "fd77::2"),
    ("2001:db8::8", "fd77::2"),
    ("fd77::2", "fd77::2"),
    ("fd66::2", "fd77::2"),
    ("fe80::77", "fd77::2"),
    ("fd97::1", "fd77::2"),
];

#[test]
fn rpfilter_finds_a_reverse_path_where_the_kernel_does() {
    if !support::needs_root() {
        return;
    }
    let flags: Vec<String> = (0..16)
        .map(|bits| {
            let all = (0..).zip(["--loose", "--validmark", "--accept-local", "--invert"]);
            all.filter(|(bit, _)| bits & (1 << bit) != 0).map(|(_, flag)| flag).collect::<Vec<_>>().join(" ")
        })
        .collect();
    let (mut cases, mut wrong) = (0, Vec::new());
    for (family, sources) in [(V4, SOURCES4), (V6, SOURCES6)] {
        for backend in Backend::all(family) {
            let Pod { pod, gateway } = Pod::new();
            let mut text = "*raw\n".to_owned();
            flags.iter().for_each(|flags| {
                writeln!(text, "-A PREROUTING -i eth0 -p udp -m rpfilter {flags}").expect("a string")
            });
            text.push_str("COMMIT\n");
            pod.run(|| {
                ip("link add eth1 type veth peer name eth2");
                ip("link set eth2 up");
                ip("link set eth1 up");
                let routes: &[&str] = match family {
                    V4 => &[
                        "addr add 10.66.0.2/24 dev eth1",
                        "route add 10.99.0.0/24 dev eth1",
                        "route add blackhole 10.98.0.0/24",
                        "rule add fwmark 5 lookup 55",
                        "route add 10.97.0.0/24 dev eth1 table 55",
                    ],
                    V6 => &[
                        "addr add fd66::2/64 dev eth1 nodad",
                        "route add fd99::/64 dev eth1",
                        "route add blackhole fd98::/64",
                        "rule add fwmark 5 lookup 55",
                        "route add fd97::/64 dev eth1 table 55",
                    ],
                };
                let option = if family == V4 { "-4" } else { "-6" };
                routes.iter().for_each(|route| drop(ip(&format!("{option} {route}"))));
                backend.load(family, &text);
            });
            for (source, destination) in sources {
                let zeroed = "*raw\n".to_owned() + text.strip_prefix("*raw\n").unwrap_or_default();
                pod.run(|| backend.load(family, &zeroed));
                let sent = gateway.run(|| {
                    if destination.starts_with("255.") || destination.starts_with("224.") {
                        drop(command("ip").args(["route", "replace", destination, "dev", "eth0"]).output());
                    }
                    let to = if family == V4 { format!("{destination}:0") } else { format!("[{destination}]:0") };
                    sys::send_raw(to.parse().expect("an address"), libc::IPPROTO_RAW, &datagram(source, destination))
                });
                if let Err(error) = sent {
                    support::say(format!("{source} -> {destination} cannot be sent: {error}"));
                    continue;
                }
                let (saved, host) = pod.run(|| {
                    // Wait until it arrived: one of two opposite rules counts it.
                    let mut saved = String::new();
                    comes_true(|| {
                        saved = backend.save(family);
                        !counted(&saved).is_empty()
                    });
                    (saved, host().expect("a netlink socket"))
                });
                let end = |address: &str, port: u16| {
                    if family == V4 { format!("{address}:{port}") } else { format!("[{address}]:{port}") }
                };
                let length = if family == V4 { 28 } else { 48 };
                let text = format!("udp {} -> {} length {length}", end(source, 40000), end(destination, 7));
                let ruleset = rules(&import(&saved, family));
                let walk = Walker::new(&ruleset, &host).receive(packet(&text), "eth0");
                let (kernel, ours) = (counted(&saved), met(std::slice::from_ref(&walk)));
                if kernel != ours {
                    let differ: Vec<_> = kernel.symmetric_difference(&ours).collect();
                    wrong.push(format!("{} {source} -> {destination}: {differ:?} {}", backend.0, walk.end));
                }
                cases += flags.len();
            }
        }
    }
    support::say(format!("{cases} questions for a way back"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 300, "{cases}");
}

/// Returns a TCP SYN from port 40001 to 81 with these options as the bytes that follow the IP
/// header.
fn syn(options: &[u8]) -> Vec<u8> {
    let words = u8::try_from(5 + options.len().div_ceil(4)).expect("few");
    let mut bytes = vec![0x9c, 0x41, 0, 81, 0, 0, 0, 1, 0, 0, 0, 0, words << 4, 2, 0xff, 0xff, 0, 0, 0, 0];
    bytes.extend(options);
    bytes.resize(usize::from(words) * 4, 0);
    bytes
}

#[test]
fn a_segment_size_is_read_from_the_options_as_the_kernel_reads_it() {
    if !support::needs_root() {
        return;
    }
    let options: &[&[u8]] = &[
        &[2, 4, 5, 180],
        &[1, 1, 2, 4, 5, 0, 1, 1],
        &[4, 2, 2, 4, 0, 9],
        &[2, 3, 1, 2, 4, 5, 180, 0],
        &[0, 2, 4, 5, 180],
        &[8, 0, 2, 4, 5, 180],
        &[3, 3, 7, 1],
        &[],
        &[2, 4, 5],
        &[5, 200, 2, 4, 5, 180],
    ];
    let mut cases = 0;
    for backend in Backend::all(V4) {
        let Pod { pod, gateway } = Pod::new();
        let matches = ["--mss 1460", "! --mss 1460", "--mss :1400", "! --mss 1280:1500", "--mss 9"];
        let mut text = "*mangle\n".to_owned();
        matches.iter().for_each(|asks| writeln!(text, "-A PREROUTING -p tcp -m tcpmss {asks}").expect("a string"));
        text.push_str("-A PREROUTING -p tcp -m comment --comment it-came\nCOMMIT\n");
        for options in options {
            pod.run(|| backend.load(V4, &text));
            let bytes = syn(options);
            gateway.run(|| {
                let start = [
                    0x45,
                    0,
                    0,
                    20 + u8::try_from(bytes.len()).expect("short"),
                    0,
                    1,
                    0,
                    0,
                    64,
                    6,
                    0,
                    0,
                    10,
                    77,
                    0,
                    1,
                    10,
                    77,
                    0,
                    2,
                ];
                let whole = [&start[..], &bytes].concat();
                sys::send_raw("10.77.0.2:0".parse().expect("an address"), libc::IPPROTO_RAW, &whole)
                    .expect("it is sent");
            });
            let (saved, host) = pod.run(|| {
                let mut saved = String::new();
                comes_true(|| {
                    saved = backend.save(V4);
                    counted(&saved).iter().any(|rule| rule.ends_with(" 6"))
                });
                (saved, host().expect("a netlink socket"))
            });
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("tcp 10.77.0.1:40001 -> 10.77.0.2:81 length {} transport {hex}", 20 + bytes.len());
            let ruleset = rules(&import(&saved, V4));
            let walk = Walker::new(&ruleset, &host).receive(packet(&text), "eth0");
            assert_eq!(counted(&saved), met(std::slice::from_ref(&walk)), "{} {options:?}\n{saved}{walk}", backend.0);
            cases += matches.len();
        }
    }
    support::say(format!("{cases} questions for a segment size"));
}

#[test]
fn random_and_stateful_matches_end_the_walk_with_the_rule() {
    let cases = [
        (
            "-m statistic --mode random --probability 0.25",
            "xtables match statistic: it is drawn, with a probability of 25.000 %",
        ),
        (
            "-m statistic --mode nth --every 3 --packet 0",
            "xtables match statistic: which of every 3 packets this is, from 0 on",
        ),
        ("-m recent --rcheck --name ssh", "xtables match recent: whom the list ssh remembers"),
        (
            "-m set --match-set nodes src",
            "xtables match set: what is in the set nodes of ipset (--match-set nodes src)",
        ),
        ("-m physdev --physdev-in eth0", "xtables match physdev: which port of a bridge (\"eth0\", \"\"; 0x1, 0x0)"),
        ("-m conntrack --ctexpire 5", "xtables match conntrack: how long its connection is kept is a matter of time"),
        (
            "-p tcp -m tcpmss --mss 5",
            "xtables match tcpmss: which maximum segment size the packet announces; give transport and its bytes",
        ),
    ];
    let imported = |options: &str| {
        let text = format!("*filter\n:INPUT ACCEPT\n-A INPUT {options} -j DROP\nCOMMIT\n");
        let imported = iptables_save(&text, V4, Unknown::KeepOpaque).unwrap_or_else(|error| panic!("{error}"));
        rules(&imported.ruleset)
    };
    for (options, expected) in cases {
        let (some, same) = (imported(options), imported(options));
        let host = nftmesh::sim::Host::pod(["10.77.0.2/24".parse().expect("a network")]);
        let walk = Walker::new(&some, &host).receive(packet("tcp 10.77.0.1:5 -> 10.77.0.2:80"), "eth0");
        assert!(walk.end.to_string().contains(expected), "{options}: {}", walk.end);
        let reported = compare(&some, &same);
        assert!(matches!(reported, Comparison::Equivalent { .. }), "{options}: {reported}");
        let other = compare(&some, &Rules::default());
        if options.contains("tcpmss") {
            // It drops packets without a valid TCP header itself.
            assert!(matches!(&other, Comparison::Differs(_)), "{options}: {other}");
            continue;
        }
        assert!(
            matches!(&other, Comparison::CannotTell(why) if why.to_string().contains(expected)),
            "{options}: {other}"
        );
    }
    for (options, holds) in [
        ("-m statistic --mode random --probability 1", true),
        ("-m statistic --mode random ! --probability 1", false),
        ("-m statistic --mode random --probability 0", false),
        ("-m statistic --mode nth --every 1 --packet 0", true),
        ("-m recent --set", true),
        ("-m recent ! --set", false),
    ] {
        let expected = imported(if holds { "" } else { "-p tcp ! -p tcp" }.split(" ! ").next().unwrap_or_default());
        let reported = compare(&imported(options), &if holds { expected } else { Rules::default() });
        assert!(matches!(reported, Comparison::Equivalent { .. }), "{options}: {reported}");
    }
}

#[test]
fn tcpmss_limits_are_compared_and_later_lengths_are_unknown() {
    let of = |rules_of: &str| {
        let rules_of: String = rules_of.split(';').map(|rule| format!("-A OUTPUT {}\n", rule.trim())).collect();
        rules(&import(&format!("*mangle\n:OUTPUT ACCEPT\n{rules_of}COMMIT\n"), V4))
    };
    let same = |a: &str, b: &str| matches!(compare(&of(a), &of(b)), Comparison::Equivalent { .. });
    let limit = "-p tcp --syn -j TCPMSS --set-mss";
    assert!(same(&format!("{limit} 1400; {limit} 1300"), &format!("{limit} 1300")), "the least counts");
    for other in [
        format!("{limit} 1400"),
        format!("{limit} 1300 ; -j DROP"),
        "-p tcp --syn -j TCPMSS --clamp-mss-to-pmtu".into(),
    ] {
        assert!(!same(&format!("{limit} 1300"), &other), "{other}");
    }
    let reported = compare(&of(&format!("{limit} 1300; -m length --length 40 -j DROP")), &Rules::default()).to_string();
    assert!(reported.contains("after TCPMSS") || reported.contains("OUTPUT"), "{reported}");
}
