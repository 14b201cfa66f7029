//! Foreign rules that run before ours: which are named, in which order the kernel runs them, and
//! the reported powers.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{Output, Stdio};
use std::time::Duration;

use nftmesh::kernel::{Trace, TraceFilter};
use nftmesh::mesh::istio::{DnsCapture, InboundPorts, Interception, IstioConfig, ServiceCidrs};
use nftmesh::model::{ChainId, Family, Rule, TableId};
use nftmesh::pod::{Leftovers, Pod, Precedent, Who};
use nftmesh::state::TraceEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::patience::patience;
use support::running::{PATIENCE, Running};
use support::version::in_traced_netns;
use support::{command, example, in_fresh_netns, ip, nft, nft_script, succeed};

const REDIRECT: &[&str] = &["-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];
const TPROXY: &[&str] = &["-m", "TPROXY", "-i", "*", "-b", "*", "-d", "15090,15021,15020"];

fn config(interception: Interception) -> IstioConfig {
    let builder = IstioConfig::builder().interception(interception).service_cidrs(ServiceCidrs::All);
    builder
        .inbound_ports(InboundPorts::All { except: [15020, 15021, 15090].into_iter().collect() })
        .build()
        .expect("valid")
}

/// Returns a configuration with a chain at output in each of our three tables.
fn everywhere() -> IstioConfig {
    let builder = IstioConfig::builder().interception(Interception::Tproxy).service_cidrs(ServiceCidrs::All);
    let builder = builder.inbound_ports(InboundPorts::All { except: [15020, 15021, 15090].into_iter().collect() });
    builder.dns(DnsCapture::All).build().expect("valid")
}

fn with_an_address() {
    ip("link add eth0 type veth peer name eth1");
    ip("addr add 10.77.0.2/24 dev eth0");
    ip("link set eth0 up");
    ip("link set eth1 up");
}

fn istio_init(words: &[&str]) -> Output {
    command(&example("istio-init").to_string_lossy()).args(words).output().expect("the example runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the base chains at output that a datagram from this port to port 9 enters, in the order
/// of the kernel's trace.
fn traced(port: u16) -> Vec<ChainId> {
    let mut trace = Trace::open(TraceFilter::from(Rule::new().udp_dport(9))).expect("a trace");
    let socket = UdpSocket::bind(("10.77.0.2", port)).expect("the address is here");
    socket.send_to(b"x", "10.77.0.9:9").expect("sent");
    let mut entered: Vec<ChainId> = Vec::new();
    while entered.last().is_none_or(|chain| chain.name != "last") {
        let fd = trace.as_fd();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let patience = Timespec::try_from(patience(PATIENCE)).expect("seconds");
        assert_eq!(poll(&mut fds, Some(&patience)).expect("it can be polled"), 1, "{entered:?}");
        while let Some(event) = trace.try_next().expect("readable") {
            if let TraceEvent::Message(message) = event {
                let chain = message.table.chain(message.chain);
                if message.packet.is_some() && !entered.contains(&chain) {
                    entered.push(chain);
                }
            }
        }
    }
    entered
}

#[test]
fn the_reported_order_of_chains_is_that_of_the_kernel() {
    in_traced_netns(|| {
        with_an_address();
        let config = everywhere();
        let mut pod = Pod::open().expect("sockets");
        let ours: Vec<ChainId> = ["istio-proxy-raw", "istio-proxy-mangle", "istio-proxy-nat"]
            .map(|table| TableId::new(Family::Ip, table).chain("output"))
            .to_vec();
        // Of chains that may run before: how often they did, and how often they did not.
        let mut perhaps: BTreeMap<bool, usize> = BTreeMap::new();
        let (mut cases, mut port) = (0, 20_000);
        nft_script("table ip last {\n chain last {\n type filter hook output priority 1000;\n }\n}");
        for family in ["ip", "inet"] {
            for kind in ["filter", "route", "nat"] {
                for priority in [-450, -302, -301, -300, -200, -152, -151, -150, -102, -101, -100, -99, 0] {
                    if kind == "nat" && priority <= -200 {
                        continue;
                    }
                    // The drop meets no packet; precedence does not check whether it ever does.
                    let script = format!(
                        "table {family} other {{\n chain o {{\n type {kind} hook output priority {priority};\n \
                         ip daddr 203.0.113.1 drop\n }}\n}}"
                    );
                    for first in [true, false] {
                        if first {
                            nft_script(&script);
                        }
                        pod.install(&config).expect("installed");
                        if !first {
                            nft_script(&script);
                        }
                        let case = format!("{family} {kind} {priority} first {first}");
                        let reported = pod.precedence(&config).expect("readable").before;
                        port += 1;
                        let entered = traced(port);
                        let at = |chain: &ChainId| entered.iter().position(|entered| entered == chain);
                        let other =
                            TableId::new(if family == "ip" { Family::Ip } else { Family::Inet }, "other").chain("o");
                        let here = at(&other).unwrap_or_else(|| panic!("{case}: {entered:?}"));
                        let reported: Vec<&Precedent> =
                            reported.iter().filter(|reported| reported.who == Who::Chain(other.clone())).collect();
                        for own in &ours {
                            let there = at(own).unwrap_or_else(|| panic!("{case}: {own} in {entered:?}"));
                            let prints = |list: &dyn Fn(&Precedent) -> &Vec<ChainId>| {
                                reported.iter().any(|reported| list(reported).contains(own))
                            };
                            match (prints(&|reported| &reported.before), prints(&|reported| &reported.perhaps_before)) {
                                (true, false) => assert!(here < there, "{case}: {own}: {entered:?}"),
                                (false, true) => *perhaps.entry(here < there).or_default() += 1,
                                (false, false) => assert!(there < here, "{case}: {own}: {entered:?}"),
                                (true, true) => panic!("{case}: {reported:?}"),
                            }
                            cases += 1;
                        }
                        pod.remove().expect("removed");
                        nft(&format!("delete table {family} other"));
                    }
                }
            }
        }
        assert!(cases > 300, "{cases}");
        assert!(perhaps.len() == 2, "of one priority each order is seen: {perhaps:?}");
        println!("{cases} orders, {perhaps:?}");
    });
}

/// Commands (`nft:` is a script), and the expected report: the chain's name, and some of its
/// powers.
const NAMED: &[(&str, &[&str])] = &[
    (
        "nft: table ip f { chain p { type filter hook prerouting priority mangle; tcp dport 80 drop; }; }",
        &["chain ip f p at prerouting priority -150 runs before", "drop packets"],
    ),
    (
        "nft: table ip f { chain p { type filter hook prerouting priority -110; policy drop; }; }",
        &["chain ip f p", "drop packets"],
    ),
    (
        "nft: table inet f { chain o { type filter hook output priority mangle; tcp dport 80 reject; }; }",
        &["chain inet f o at output", "drop packets"],
    ),
    (
        "nft: table ip f { chain o { type filter hook output priority raw; tcp dport 80 notrack; }; }",
        &["connection tracking (notrack)"],
    ),
    ("nft: table ip f { chain o { type filter hook output priority mangle; tcp dport 80 queue num 1; }; }", &["queue"]),
    (
        "nft: table ip f { chain p { type filter hook prerouting priority mangle; tcp dport 80 tproxy to :9; }; }",
        &["tproxy"],
    ),
    (
        "nft: table ip f { chain o { type nat hook output priority -150; tcp dport 80 dnat to 10.77.0.1; }; }",
        &["type", "dnat, redirect"],
    ),
    (
        "nft: table ip f { chain o { type nat hook output priority -102; tcp dport 80 redirect to :9; }; }",
        &["dnat, redirect"],
    ),
    (
        "nft: table ip f { chain o { type nat hook output priority -101; tcp dport 80 redirect to :9; }; }",
        &["may run before", "dnat, redirect"],
    ),
    (
        "nft: table ip f { chain o { type filter hook output priority mangle; tcp dport 80 jump c; }; chain c { goto d; }; chain d { ip daddr vmap { 10.0.0.1 : drop }; }; }",
        &["drop packets"],
    ),
    (
        "nft: table ip f { map m { type ipv4_addr : verdict; }; chain d { drop; }; chain o { type filter hook output priority mangle; ip daddr vmap @m; }; }\nadd element ip f m { 10.0.0.1 : jump d }",
        &["drop packets"],
    ),
    (
        "nft: table ip f { chain o { type route hook output priority mangle; ip daddr set 10.0.0.1; }; }",
        &["rewrite headers"],
    ),
    (
        "iptables -t mangle -A PREROUTING -p tcp --dport 80 -j DROP",
        &["chain ip mangle PREROUTING at prerouting priority -150", "drop packets"],
    ),
    ("iptables -t mangle -P OUTPUT DROP", &["chain ip mangle OUTPUT", "drop packets"]),
    ("iptables -t mangle -A PREROUTING -p tcp -j TPROXY --on-port 9", &["tproxy"]),
    ("iptables -t raw -A OUTPUT -p tcp --dport 80 -j NOTRACK", &["chain ip raw OUTPUT", "notrack"]),
    ("iptables -t raw -A PREROUTING -p tcp --dport 80 -j CT --notrack", &["chain ip raw PREROUTING", "notrack"]),
    ("iptables -t mangle -A OUTPUT -p tcp --dport 80 -j NFQUEUE --queue-num 1", &["queue"]),
];

/// Rules that run before ours and decide nothing there, or run after ours.
const UNNAMED: &[&str] = &[
    "nft: table ip f { chain p { type filter hook prerouting priority mangle; tcp dport 80 counter accept; log; }; }",
    "nft: table ip f { chain o { type filter hook output priority raw; ct zone set 1; return; }; }",
    "nft: table ip f { chain o { type filter hook output priority mangle; meta mark set 7; ct mark set 7; }; }",
    "nft: table ip f { chain o { type filter hook output priority -150; tcp dport 80 notrack; }; }",
    "nft: table ip f { chain o { type nat hook output priority -150; accept; }; }",
    "nft: table ip f { chain o { type nat hook output priority -100; tcp dport 80 redirect to :9; }; }",
    "nft: table ip f { chain o { type filter hook output priority filter; drop; }; }",
    "nft: table ip f { chain i { type filter hook input priority -400; drop; }; chain f { type filter hook forward priority -400; drop; }; }",
    "nft: table ip6 f { chain o { type filter hook output priority -400; drop; }; }",
    "nft: table ip f { flags dormant; chain o { type filter hook output priority -400; drop; }; }",
    "nft: table ip f { chain unused { drop; }; chain o { type filter hook output priority -400; meta l4proto tcp counter; }; }",
    "nft: table netdev n { chain i { type filter hook ingress device \"lo\" priority 0; drop; }; }",
    "nft: table arp a { chain i { type filter hook input priority -400; drop; }; }",
    "nft: table bridge b { chain p { type filter hook prerouting priority -400; drop; }; }",
    "iptables -t mangle -A PREROUTING -p tcp --dport 80 -m comment --comment x -j ACCEPT",
    "iptables -t mangle -A OUTPUT -p tcp --dport 80 -j TOS --set-tos 16",
    "iptables -t nat -A OUTPUT -p tcp --dport 80 -j DNAT --to-destination 10.77.0.1",
    "iptables -A OUTPUT -p tcp --dport 80 -j DROP",
];

/// Runs the command; returns false where this kernel has no queues.
fn done(what: &str) -> bool {
    let queues = what.to_lowercase().contains("queue");
    let output = match what.strip_prefix("nft: ") {
        Some(script) => {
            let dir = tempfile::tempdir().expect("a directory");
            let file = dir.path().join("script");
            fs::write(&file, script.replace("; }", ";\n}").replace("{ ", "{\n")).expect("written");
            command("nft").arg("-f").arg(&file).output()
        }
        None => {
            let (program, words) = what.split_once(' ').expect("a program and words");
            command(&format!("{program}-nft")).args(words.split(' ')).output()
        }
    };
    let output = output.expect("the program runs");
    assert!(output.status.success() || queues, "{what}: {}", text(&output.stderr));
    if !output.status.success() {
        eprintln!("SKIP: {what}: {}", text(&output.stderr));
    }
    output.status.success()
}

#[test]
fn chains_that_run_before_and_can_decide_are_named_in_both_orders() {
    for (what, parts) in NAMED {
        for first in [true, false] {
            in_fresh_netns(|| {
                with_an_address();
                let mut pod = Pod::open().expect("sockets");
                let config = config(Interception::Redirect);
                if first {
                    if !done(what) {
                        return;
                    }
                    let plan = pod.plan(&config, Leftovers::Keep).expect("readable").to_string();
                    assert!(
                        plan.lines()
                            .any(|line| line.starts_with("# chain ")
                                && parts.last().is_some_and(|part| line.contains(part))),
                        "{what}: {plan}"
                    );
                }
                let installed = pod.install(&config).expect("installed").precedence;
                assert_eq!(installed.before.len(), usize::from(first), "{what}: {installed:?}");
                if !first && !done(what) {
                    return;
                }
                let printed: Vec<String> = pod.precedence(&config).expect("readable").lines().collect();
                let [line] = printed.as_slice() else { panic!("{what}: {printed:?}") };
                for part in parts.iter().filter(|part| **part != "type") {
                    assert!(line.contains(part), "{what}: {line} lacks {part}");
                }
                let output = istio_init(&[REDIRECT, &["--verify"]].concat());
                assert_eq!(output.status.code(), Some(0), "{what}: {}", text(&output.stderr));
                assert!(text(&output.stderr).contains(line.as_str()), "{what}: {}", text(&output.stderr));
                assert!(pod.plan(&config, Leftovers::Keep).expect("readable").is_in_sync());
            });
        }
    }
}

#[test]
fn chains_that_decide_nothing_or_run_after_are_not_named() {
    for what in UNNAMED {
        in_fresh_netns(|| {
            with_an_address();
            assert!(done(what));
            let mut pod = Pod::open().expect("sockets");
            let config = config(Interception::Redirect);
            let installed = pod.install(&config).expect("installed").precedence;
            assert_eq!(installed.lines().collect::<Vec<_>>(), [""; 0], "{what}");
            let output = istio_init(&[REDIRECT, &["--verify"]].concat());
            assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{what}");
        });
    }
}

#[test]
fn marks_and_zones_are_named_where_our_rules_match_them() {
    let cases = [
        (
            "nft: table ip f { chain p { type filter hook prerouting priority -200; meta mark set 1337; }; }",
            "set the packet's mark",
        ),
        (
            "nft: table ip f { chain o { type filter hook output priority -200; ct mark set 1337; }; }",
            "set the connection's mark",
        ),
        ("nft: table ip f { chain o { type filter hook output priority -400; ct zone set 7; }; }", "zone"),
        ("iptables -t raw -A PREROUTING -j MARK --set-mark 1337", "set the packet's mark"),
    ];
    for (what, part) in cases {
        in_fresh_netns(|| {
            with_an_address();
            assert!(done(what));
            let mut pod = Pod::open().expect("sockets");
            let redirect = pod.precedence(&config(Interception::Redirect)).expect("readable");
            assert!(redirect.before.is_empty(), "{what}: {redirect:?}");
            let everywhere = pod.precedence(&everywhere()).expect("readable");
            let printed: Vec<String> = everywhere.lines().collect();
            assert!(matches!(printed.as_slice(), [line] if line.contains(part)), "{what}: {printed:?}");
        });
    }
}

#[test]
fn tables_of_iptables_legacy_are_named_by_hook_and_priority() {
    for (table, chain, expected) in [
        ("mangle", "OUTPUT", Some("at output priority -150 runs before ip istio-proxy-nat output")),
        ("raw", "OUTPUT", Some("at prerouting priority -300 runs before ip istio-proxy-nat prerouting")),
        ("nat", "OUTPUT", None),
        ("filter", "OUTPUT", None),
    ] {
        in_fresh_netns(|| {
            with_an_address();
            let words = format!("-t {table} -A {chain} -p tcp -j ACCEPT");
            let legacy = command("iptables-legacy").args(words.split(' ')).output();
            if !legacy.is_ok_and(|output| output.status.success()) {
                eprintln!("SKIP: no legacy xtables here");
                return;
            }
            let mut pod = Pod::open().expect("sockets");
            let printed: Vec<String> =
                pod.precedence(&config(Interception::Redirect)).expect("readable").lines().collect();
            match expected {
                None => assert!(printed.is_empty(), "{table}: {printed:?}"),
                Some(expected) => {
                    let named = |line: &String| {
                        line.starts_with(&format!("table ip {table} of iptables-legacy "))
                            && line.contains(expected)
                            && line.contains("could")
                    };
                    assert!(printed.iter().any(named), "{table}: {printed:?}");
                }
            }
        });
    }
}

#[test]
fn a_rule_that_kept_traffic_from_an_iptables_mesh_is_named() {
    in_fresh_netns(|| {
        with_an_address();
        let mesh = "*nat\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_INBOUND - [0:0]\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\n\
            -A PREROUTING -p tcp -j ISTIO_INBOUND\nCOMMIT\n";
        succeed("iptables-nft-restore", "--noflush", mesh);
        let iptables = |words: &str| succeed("iptables-nft", words, "");
        iptables("-t nat -N MINE");
        iptables("-t nat -A MINE -d 10.0.0.3 -j ACCEPT");
        iptables("-t nat -N THEIRS");
        iptables("-t nat -A THEIRS -d 10.0.0.4 -j RETURN");
        iptables("-t nat -I OUTPUT -d 10.0.0.1 -j RETURN");
        iptables("-t nat -I OUTPUT -d 10.0.0.2 -j ACCEPT");
        iptables("-t nat -I OUTPUT -j MINE");
        iptables("-t nat -I OUTPUT -j THEIRS");
        iptables("-t nat -A OUTPUT -d 10.0.0.5 -j RETURN");
        iptables("-t nat -I PREROUTING -s 10.0.0.6 -j RETURN");
        iptables("-t mangle -I PREROUTING -s 10.0.0.7 -j RETURN");
        let named = |output: &[u8], flag: &str| {
            let text = text(output);
            for (rule, chain) in
                [("10.0.0.1", "OUTPUT"), ("10.0.0.2", "OUTPUT"), ("jump MINE", "OUTPUT"), ("10.0.0.6", "PREROUTING")]
            {
                let line = text.lines().find(|line| line.contains(rule) && line.contains("keeps traffic"));
                assert!(line.is_some_and(|line| line.contains(chain) && line.contains("-x")), "{flag}: {rule}: {text}");
            }
            assert_eq!(text.matches("keeps traffic").count(), 4, "{flag}: {text}");
        };
        named(&istio_init(&[REDIRECT, &["--plan"]].concat()).stdout, "--plan");
        named(&istio_init(&[REDIRECT, &["--plan", "--migrate"]].concat()).stdout, "--plan --migrate");
        let output = istio_init(&[REDIRECT, &["--migrate"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!nft("list table ip nat").contains("ISTIO_"));
        named(&output.stderr, "--migrate");
        let plan = text(&istio_init(&[TPROXY, &["--plan"]].concat()).stdout);
        assert!(plan.lines().any(|line| line.contains("10.0.0.7") && line.contains("keeps traffic")), "{plan}");
    });
}

#[test]
fn guard_names_each_chain_that_runs_before_once() {
    in_fresh_netns(|| {
        with_an_address();
        assert!(done("iptables -t mangle -A PREROUTING -p tcp --dport 80 -j DROP"));
        let mut guard = Running::start("guard", REDIRECT, Stdio::inherit());
        let printed = guard.until("guard: watching");
        assert!(printed.iter().any(|line| line.starts_with("guard: chain ip mangle PREROUTING ")), "{printed:?}");
        let before = nft("-s list ruleset");
        nft_script(
            "table ip late {\n chain o {\n type nat hook output priority -150;\n tcp dport 9000 redirect to :9\n }\n}",
        );
        let printed = guard.until("guard: chain ip late o ");
        assert_eq!(printed.len(), 1, "{printed:?}");
        nft("add rule ip late o tcp dport 9001 redirect to :9");
        nft("add table ip unrelated");
        guard.silent_for(Duration::from_millis(2_500));
        let legacy = command("iptables-legacy").args("-t mangle -A OUTPUT -p tcp -j ACCEPT".split(' ')).output();
        if legacy.is_ok_and(|output| output.status.success()) {
            guard.until("guard: table ip mangle of iptables-legacy at output ");
        }
        nft("delete table ip late");
        nft("delete table ip unrelated");
        assert_eq!(nft("-s list ruleset"), before, "they are left alone");
        assert_eq!(guard.end("TERM").0, Some(0));
    });
}
