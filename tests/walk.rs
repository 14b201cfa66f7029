//! Walks through hosts of every kind: translation, connections, routing, ends; and the example that
//! prints them.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::fs;
use std::process::Output;

use nftmesh::kernel::{NetNs, host, legacy_tables};
use nftmesh::model::{
    AddrType, Chain, ChainType, Family, Hook, IpFamily, Nat, NatFlags, Policy, PortRange, Priority, Rule, Ruleset,
    Statement, Table, TableId,
};
use nftmesh::sim::{
    Change, End, Host, Lost, Packet, PolicyRule, Route, Rules, Situation, Step, Walk, Walker, walk_hook,
};
use support::{example, golden, in_fresh_netns, ip, nft_script};

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn pod() -> Host {
    Host::pod(["10.77.0.2/24", "fd77::2/64"].map(|net| net.parse().expect("a network")))
}

/// One base chain, with these rules.
fn rules(chain_type: ChainType, hook: Hook, rules: impl IntoIterator<Item = Rule>) -> Ruleset {
    let priority = match (chain_type, hook) {
        (ChainType::Nat, Hook::Prerouting | Hook::Output) => Priority::DSTNAT,
        (ChainType::Nat, _) => Priority::SRCNAT,
        (ChainType::Route, _) => Priority::MANGLE,
        (ChainType::Filter, _) => Priority::FILTER,
    };
    let chain = Chain::base("c", chain_type, hook, priority).rules(rules);
    Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain))
}

#[track_caller]
fn lowered(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).unwrap_or_else(|error| panic!("{error}\n{ruleset}"))
}

/// Returns the packet as it was at its end, without its protocol.
fn last(walk: &Walk) -> String {
    let mut packet = walk.packet.clone();
    for step in &walk.steps {
        match step {
            Step::Change(Change::Dnat { to, .. }) => (packet.destination, packet.dport) = (to.ip(), to.port()),
            Step::Change(Change::Snat { to, .. }) => (packet.source, packet.sport) = (to.ip(), to.port()),
            _ => {}
        }
    }
    packet.to_string().trim_start_matches("tcp ").to_owned()
}

fn end(walk: &Walk) -> String {
    walk.end.to_string()
}

/// Returns a rule with this statement after a match on TCP.
fn tcp(statement: Statement) -> Rule {
    let mut rule = Rule::new().l4proto(nftmesh::model::Protocol::TCP);
    rule.statements.push(statement);
    rule
}

fn nat(nat: Nat) -> Rule {
    tcp(Statement::Nat(nat))
}

fn masquerade() -> Rule {
    tcp(Statement::Masquerade { ports: None, flags: NatFlags::empty() })
}

fn redirect(port: u16) -> Rule {
    tcp(Statement::Redirect { ports: Some(PortRange::from(port).into()), flags: NatFlags::empty() })
}

#[test]
fn a_redirect_uses_the_address_of_its_hook() {
    let at_prerouting = lowered(&rules(ChainType::Nat, Hook::Prerouting, [redirect(99)]));
    let at_output = lowered(&rules(ChainType::Nat, Hook::Output, [redirect(99)]));
    for (family, pod_address, remote, loopback) in
        [("v4", "10.77.0.2", "10.88.0.9", "127.0.0.1"), ("v6", "[fd77::2]", "[fd88::9]", "[::1]")]
    {
        let host = pod();
        let arriving = packet(&format!("tcp {remote}:1 -> {pod_address}:80"));
        let walk = Walker::new(&at_prerouting, &host).receive(arriving, "eth0");
        assert_eq!(end(&walk), format!("DELIVERED to {pod_address}:99"), "{family}\n{walk}");
        let walk = Walker::new(&at_output, &host).send(packet(&format!("tcp {pod_address}:1 -> {remote}:80")));
        assert_eq!(end(&walk), format!("DELIVERED to {loopback}:99"), "{family}\n{walk}");
    }
    // A packet that arrives where there is no address cannot be redirected.
    let bare = Host::pod(["10.77.0.2/24".parse().expect("a network")]);
    let bare = bare.route(Route::new("::/0".parse().expect("a network"), 2));
    let walk = Walker::new(&at_prerouting, &bare).receive(packet("tcp [fd88::9]:1 -> [fd77::2]:80"), "eth0");
    assert_eq!(walk.end, End::Lost(Lost::NoAddress), "{walk}");
}

#[test]
fn masquerading_is_undone_for_answers() {
    let rules = lowered(&rules(ChainType::Nat, Hook::Postrouting, [Rule::new().oifname("eth0"), masquerade()]));
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    let first = walker.receive(packet("tcp 10.77.0.7:5000 -> 8.8.8.8:80"), "eth0");
    assert_eq!((end(&first), last(&first)), ("SENT out by eth0".into(), "10.77.0.2:5000 -> 8.8.8.8:80".into()));
    // The port is now in use towards that server, but not towards another one.
    let second = walker.receive(packet("tcp 10.77.0.8:5000 -> 8.8.8.8:80"), "eth0");
    assert_eq!(last(&second), "10.77.0.2:1024 -> 8.8.8.8:80", "{second}");
    let third = walker.receive(packet("tcp 10.77.0.8:5000 -> 8.8.4.4:80"), "eth0");
    assert_eq!(last(&third), "10.77.0.2:5000 -> 8.8.4.4:80", "{third}");
    for (port, client) in [(5000, "10.77.0.7:5000"), (1024, "10.77.0.8:5000")] {
        let answer = packet(&format!("tcp 8.8.8.8:80 -> 10.77.0.2:{port} flags syn,ack"));
        let walk = walker.receive(answer, "eth0");
        assert_eq!(last(&walk), format!("8.8.8.8:80 -> {client} flags syn,ack"), "{walk}");
    }
    // This one is unrequested.
    let stray = walker.receive(packet("tcp 8.8.8.8:80 -> 10.77.0.2:4000 flags syn,ack"), "eth0");
    assert_eq!(end(&stray), "DELIVERED to 10.77.0.2:4000");
    assert!(stray.to_string().contains("connection tracking: invalid"), "{stray}");
}

#[test]
fn where_the_kernel_chooses_the_lowest_is_used_and_reported() {
    let to = Nat::dnat().to_range([10, 0, 0, 1], [10, 0, 0, 9]).ports(8000..=8001);
    let rules = lowered(&rules(ChainType::Nat, Hook::Prerouting, [nat(to)]));
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    for (client, expected) in [
        ("10.77.0.7:5000", "10.77.0.7:5000 -> 10.0.0.1:8000"),
        ("10.77.0.7:5000", "10.77.0.7:5000 -> 10.0.0.1:8000"),
        ("10.77.0.8:5000", "10.77.0.8:5000 -> 10.0.0.1:8000"),
    ] {
        let walk = walker.receive(packet(&format!("tcp {client} -> 10.77.0.2:80")), "eth0");
        assert_eq!(last(&walk), expected, "{walk}");
    }
    let walk = walker.receive(packet("tcp 10.77.0.9:1 -> 10.77.0.2:80"), "eth0");
    assert!(walk.to_string().contains("the kernel chooses among several here; this is the lowest"), "{walk}");
}

#[test]
fn a_mark_is_routed_again_only_where_the_kernel_does() {
    let host = pod().rule(PolicyRule::mark(IpFamily::Ipv4, 7, 99)).local_table(IpFamily::Ipv4, 99);
    let marked = || [Rule::new().set_mark(nftmesh::model::MarkValue::Constant(7)), Rule::new().oifname("lo").drop()];
    for (chain_type, expected) in
        [(ChainType::Filter, "SENT out by eth0"), (ChainType::Route, "DELIVERED to 8.8.8.8:80")]
    {
        // The chain itself, and those after it, still see the old interface.
        let ruleset = rules(chain_type, Hook::Output, marked());
        let after = Chain::base("after", ChainType::Filter, Hook::Output, Priority(10));
        let after = after.rule(Rule::new().oifname("lo").drop());
        let ruleset = ruleset.table(Table::new(Family::Ip, "after").chain(after));
        let walk = Walker::new(&lowered(&ruleset), &host).send(packet("tcp 10.77.0.2:1 -> 8.8.8.8:80"));
        assert_eq!(end(&walk), expected, "{walk}");
    }
}

#[test]
fn a_loop_of_gotos_ends_the_walk_and_a_long_chain_of_them_does_not() {
    let going = |to: usize| {
        let chain = |at: usize| Chain::regular(format!("c{at}")).rule(Rule::new().goto(format!("c{}", (at + 1) % to)));
        let end = Chain::regular("c20").rule(Rule::new().drop());
        let first = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER);
        let table = (0..20).map(chain).chain([end]).fold(Table::new(Family::Inet, "t"), Table::chain);
        lowered(&Ruleset::new().table(table.chain(first.rule(Rule::new().jump("c0")))))
    };
    let at = Situation::new(packet("tcp 10.77.0.2:40000 -> 10.88.0.9:80"));
    let walk = walk_hook(&going(21), Hook::Output, &at);
    assert!(matches!(&walk.end, End::DroppedByRule(rule) if rule.chain.name.as_str() == "c20"), "{walk}");
    let walk = walk_hook(&going(2), Hook::Output, &at);
    assert!(matches!(&walk.end, End::CannotTell(reason) if reason.to_string().contains("a loop")), "{}", last(&walk));
    assert!(walk.steps.len() < 30, "{} steps", walk.steps.len());
}

#[test]
fn a_host_that_cannot_route_ends_the_walk_with_the_reason() {
    let nothing = Rules::default();
    let net = |text: &str| text.parse().expect("a network");
    let tproxy = lowered(&rules(
        ChainType::Filter,
        Hook::Prerouting,
        [tcp(Statement::Tproxy(nftmesh::model::Tproxy::to_port(15006)))],
    ));
    let unreachable = AddrType::UNREACHABLE;
    let still = || {
        let mut host = pod();
        (host.forwards_ipv4, host.forwards_ipv6) = (false, false);
        host
    };
    let v4 = "tcp 10.88.0.9:1 -> 10.77.0.2:80";
    let past = "tcp 10.88.0.9:1 -> 8.8.8.8:80";
    let cases = [
        (&nothing, pod(), "eth0", v4, "DELIVERED to 10.77.0.2:80"),
        (&nothing, pod(), "eth0", past, "SENT out by eth0"),
        (&nothing, pod(), "eth0", "tcp 10.88.0.9:1 -> 10.77.0.255:80", "DELIVERED to 10.77.0.255:80"),
        (&nothing, pod(), "eth9", v4, "DROPPED: there is no interface eth9 here"),
        (&nothing, still(), "eth0", past, "DROPPED: it is for another host, and this one does not forward"),
        (
            &nothing,
            pod(),
            "eth0",
            "tcp 10.88.0.9:1 -> 127.0.0.1:80",
            "DROPPED: a loopback address on another interface than lo",
        ),
        (
            &nothing,
            pod(),
            "eth0",
            "tcp [::1]:1 -> [fd77::2]:80",
            "DROPPED: a loopback address on another interface than lo",
        ),
        (&nothing, pod().route(Route::new(net("8.0.0.0/8"), 0).kind(unreachable)), "eth0", past, "DROPPED: the route"),
        (&nothing, pod().route(Route::new(net("8.0.0.0/8"), 1)), "eth0", past, "DROPPED: it loops through lo"),
        (&tproxy, pod(), "eth0", past, "DROPPED: tproxy chose a socket, and the packet is not routed to this host"),
        (&tproxy, pod(), "eth0", v4, "DELIVERED to port 15006, a transparent socket, as 10.77.0.2:80"),
        (&tproxy, pod().listeners([15001]), "eth0", v4, "DELIVERED to 10.77.0.2:80"),
    ];
    for (rules, host, interface, text, expected) in cases {
        let walk = Walker::new(rules, &host).receive(packet(text), interface);
        assert!(end(&walk).starts_with(expected), "{expected}\n{walk}");
    }
    let alone = Host::pod([net("10.77.0.2/24")]);
    let walk = Walker::new(&nothing, &alone).send(packet("tcp [fd77::2]:1 -> [fd88::9]:80"));
    assert_eq!(walk.end, End::Lost(Lost::NoRoute));
}

#[test]
fn an_established_connection_has_its_state_and_keeps_its_mark() {
    use nftmesh::model::MarkValue::Constant;
    use nftmesh::model::{CtState, MarkKey, MarkValue};
    let set = |key, value: MarkValue| tcp(Statement::SetMark { key, value });
    let chain = Chain::base("in", ChainType::Filter, Hook::Prerouting, Priority::MANGLE)
        .policy(Policy::Drop)
        .rule(Rule::new().ct_state(CtState::ESTABLISHED).ct_mark(9).accept())
        .rule(set(MarkKey::Ct, Constant(9)))
        .rule(Rule::new().tcp_dport(80).accept());
    let ruleset = Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain));
    let (rules, host) = (lowered(&ruleset), pod());
    let mut walker = Walker::new(&rules, &host);
    let (to_80, to_81) = ("tcp 10.88.0.9:1 -> 10.77.0.2:80", "tcp 10.88.0.9:1 -> 10.77.0.2:81");
    assert_eq!(end(&walker.receive(packet(to_80), "eth0")), "DELIVERED to 10.77.0.2:80");
    assert!(end(&walker.receive(packet(to_81), "eth0")).starts_with("DROPPED by the policy of inet t in"));
    walker.send(packet("tcp 10.77.0.2:80 -> 10.88.0.9:1 flags syn,ack"));
    let walk = walker.receive(packet("tcp 10.88.0.9:1 -> 10.77.0.2:80 flags ack"), "eth0");
    let numbers: Vec<usize> = walk.matched().map(|(_, rule, _)| rule.number).collect();
    assert_eq!((numbers, end(&walk)), (vec![1], "DELIVERED to 10.77.0.2:80".to_owned()), "{walk}");
}

#[test]
fn a_live_host_routes_as_ip_route_get() {
    in_fresh_netns(|| {
        for words in [
            "link add eth0 type veth peer name eth1",
            "addr add 10.77.0.2/24 dev eth0",
            "addr add 10.77.0.3/24 dev eth0",
            "addr add fd77::2/64 dev eth0 nodad",
            "link set eth0 up",
            "addr add 10.78.0.2/30 dev eth1",
            "link set eth1 up",
            "route add default via 10.77.0.1 dev eth0",
            "-6 route add default dev eth0",
            "route add 9.0.0.0/8 dev eth1 metric 10",
            "route add 9.0.0.0/8 dev eth0 metric 20",
            "route add unreachable 9.9.0.0/16",
            "route add local default dev lo table 133",
            "rule add fwmark 1337 lookup 133",
            "rule add fwmark 0x10/0xf0 lookup 77",
            "route add default dev eth1 table 77",
            "-6 route add local default dev lo table 133",
            "-6 rule add fwmark 1337 lookup 133",
        ] {
            ip(words);
        }
        let read = host().expect("a host");
        assert_eq!(NetNs::current().and_then(|namespace| namespace.host()).expect("the same"), read);
        let rules = Rules::default();
        let destinations = [
            "10.77.0.2",
            "10.77.0.3",
            "10.77.0.9",
            "10.78.0.1",
            "8.8.8.8",
            "9.1.2.3",
            "9.9.9.9",
            "127.5.5.5",
            "fd77::2",
            "fd77::9",
            "2001:db8::1",
            "::1",
        ];
        let mut compared = 0;
        for destination in destinations {
            for mark in [0, 1337, 0x10, 0x1f, 0x20] {
                let family = if destination.contains(':') { "-6" } else { "-4" };
                let words = format!("{family} route get {destination} mark {mark}");
                let output = support::command("ip").args(words.split(' ')).output().expect("ip runs");
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                let word = |key| printed.split_whitespace().skip_while(move |word| *word != key).nth(1);
                let expected = match (printed.starts_with("local"), word("dev")) {
                    _ if !output.status.success() => "DROPPED".to_owned(),
                    (true, _) | (_, Some("lo")) => "DELIVERED".to_owned(),
                    (false, device) => format!("SENT out by {}", device.unwrap_or_default()),
                };
                let source = if family == "-6" { "[fd77::2]:1" } else { "10.77.0.2:1" };
                let to = if family == "-6" { format!("[{destination}]:80") } else { format!("{destination}:80") };
                let walk = Walker::new(&rules, &read).send(packet(&format!("tcp {source} -> {to} mark {mark}")));
                assert!(end(&walk).starts_with(&expected), "{words}: {printed}\n{walk}{read:#?}");
                compared += 1;
            }
        }
        assert_eq!(compared, destinations.len() * 5);
        // A policy rule that matches more than a mark cannot be told.
        ip("rule add from 10.77.0.3 lookup 133");
        let walk = Walker::new(&rules, &host().expect("a host")).send(packet("tcp 10.77.0.2:1 -> 8.8.8.8:80"));
        assert!(end(&walk).starts_with("CANNOT TELL: policy rule "), "{walk}");
    });
}

/// Runs the example in this thread's namespace.
fn walk(words: &[&str]) -> Output {
    support::command(&example("walk").to_string_lossy()).args(words).output().expect("the example runs")
}

#[track_caller]
fn reported(words: &[&str], code: i32) -> String {
    let output = walk(words);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {printed}");
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}

const SIDECAR: &str = "istio:ISTIO_DUAL_STACK=true -i '*' -x \"\" -b '*' -d 15090,15021,15020";
const OUT: &str = "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 1000 gid 1000";

#[test]
fn the_example_prints_the_walk_through_a_sidecar() {
    golden("walk-redirect.txt", &reported(&[SIDECAR, "--packet", OUT], 0));
    golden("walk-redirect-short.txt", &reported(&[SIDECAR, "--packet", OUT, "--short"], 0));
    let tproxy = format!("{SIDECAR} -m TPROXY");
    let arriving = "tcp [fd88::9]:40000 -> [fd77::2]:9000";
    let words = [&*tproxy, "--addresses", "10.77.0.2/24,fd77::2/64", "--in", "eth0", "--packet", arriving];
    golden("walk-tproxy.txt", &reported(&words, 0));
}

#[test]
fn the_example_walks_iptables_save_output() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rules.v4");
    let text = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth0 -s 10.88.0.0/16 -j MARK --set-xmark 0x7/0xff\nCOMMIT\n\
                *filter\n:INPUT DROP [0:0]\n:limits - [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
                -A INPUT -p tcp -m multiport --dports 22,80 -j limits\n-A INPUT -p tcp -m set --match-set bad src -j DROP\n\
                -A limits -m mark --mark 0x7 -j REJECT\nCOMMIT\n";
    fs::write(&path, text).expect("a file");
    let source = format!("save:{}", path.display());
    let rejected = ["--in", "eth0", "--packet", "tcp 10.88.0.9:1 -> 10.77.0.2:80"];
    golden("walk-save.txt", &reported(&[&[&*source][..], &rejected].concat(), 0));
    let left_out = "# Table `nat' contains incompatible base-chains, use 'nft' tool to list them.\n";
    fs::write(&path, format!("{text}{left_out}")).expect("a file");
    let output = walk(&[&[&*source][..], &rejected].concat());
    let printed = String::from_utf8_lossy(&output.stderr);
    let expected = format!("walk: not walked: {}: line 13: {}", path.display(), left_out.trim_start_matches("# "));
    assert_eq!((output.status.code(), &*printed), (Some(0), &*expected));
    let unknown = ["--in", "eth0", "--packet", "tcp 10.88.0.9:1 -> 10.77.0.2:443"];
    let text = reported(&[&[&*source][..], &unknown].concat(), 2);
    assert!(text.ends_with("CANNOT TELL: ip filter INPUT, rule 3: xtables match set: what is in the set bad of ipset (--match-set bad src)\n"), "{text}");
}

#[test]
fn the_example_walks_the_live_kernel_and_names_handles() {
    in_fresh_netns(|| {
        ip("link add eth0 type veth peer name eth1");
        ip("link set eth1 up");
        ip("addr add 10.77.0.2/24 dev eth0");
        ip("link set eth0 up");
        nft_script(
            "add table inet t\nadd chain inet t in { type filter hook input priority 0; }\n\
             add rule inet t in tcp dport 22 drop\n",
        );
        let words = ["--in", "eth0", "--packet", "tcp 10.77.0.9:1 -> 10.77.0.2:22"];
        let live = reported(&words, 0);
        assert!(live.contains("    + rule 1 (handle 2): tcp dport 22 drop\n"), "{live}");
        assert!(live.ends_with("DROPPED by inet t in, rule 1 (handle 2)\n"), "{live}");
        assert_eq!(reported(&[&["live"], &words[..]].concat(), 0), live);
        let path = "netns:/proc/thread-self/ns/net";
        assert_eq!(reported(&[&[path], &words[..]].concat(), 0), live);
    });
}

#[test]
fn bad_input_is_refused_in_one_line_with_the_remedy() {
    let out = ["--packet", OUT];
    let cases: &[(&[&str], &str)] = &[
        (&[], "--packet <PACKET>; --help lists all options"),
        (
            &["alive", out[0], out[1]],
            "give live, netns:PATH, save:FILE4[,FILE6[,IPSETS]], nft:FILE, 'istio:ENV=VALUE... FLAGS...', 'linkerd:FLAGS...', 'kuma:FLAGS...', \
             'ambient:ENV=VALUE... ANNOTATION=VALUE...' or 'ambient-host:ENV=VALUE...'",
        ),
        (&["netns:/var/run/netns/nope", out[0], out[1]], r#"list them with "ip netns""#),
        (
            &["save:/nope.v4", out[0], out[1]],
            "/nope.v4: No such file or directory (os error 2); give a file with what iptables-save prints",
        ),
        (&["save:/proc/self/exe", out[0], out[1]], "/proc/self/exe: not text; give what iptables-save prints"),
        (&["save:/dev/null,", out[0], out[1]], "give live, netns:PATH, save:FILE4[,FILE6[,IPSETS]]"),
        (
            &["save:/dev/null,/no\npe", out[0], out[1]],
            r"/no\npe: No such file or directory (os error 2); give a file with what ip6tables-save",
        ),
        (&["ambient:AMBIENT_DNS=true", out[0], out[1]], "\"AMBIENT_DNS\": no variable of Istio's agent"),
        (&["ambient:ambient.istio.io/dns=true", out[0], out[1]], "no variable of Istio's agent and no annotation"),
        (&["ambient:AMBIENT_IPV6=maybe", out[0], out[1]], "not a boolean; give true or false"),
        (&["ambient-host:set-add=10.0.0.1", out[0], out[1]], "give ADDRESS@UID, such as 10.77.0.9@pod-uid-1"),
        (&["ambient-host:ambient.istio.io/dns-capture=true", out[0], out[1]], "no variable of Istio's agent"),
        (&["istio:ISTIO_DUALSTACK=true", out[0], out[1]], "ISTIO_DUALSTACK is not a variable of istio-iptables"),
        (&["istio:-b '*' ISTIO_DUAL_STACK=true", out[0], out[1]], "variables come first, then flags"),
        (&["istio:-i '*", out[0], out[1]], "' is not closed"),
        (&["istio:-m FOO", out[0], out[1]], "give REDIRECT or TPROXY"),
        (&["istio:--nope", out[0], out[1]], "istio: unexpected argument '--nope'"),
        (&["istio:", "--addresses", "10.0.0", out[0], out[1]], "\"10.0.0\" is not an address; give one such as"),
        (&["istio:", "--addresses", "", out[0], out[1]], "\"\" is not an address; give one such as"),
        (&["istio:", "--resolv-conf", "/nope", out[0], out[1]], "/nope: No such file"),
        (
            &["istio:", "--in", "eth7", "--packet", "tcp 10.0.0.1:1 -> 10.0.0.2:2"],
            "no such interface; there are lo, eth0",
        ),
        (&["istio:", "--in", "eth0", out[0], out[1]], "leave out uid, gid and cgroup"),
        (&["istio:", "--in", "", "--packet", "tcp 10.0.0.1:1 -> 10.0.0.2:2"], "--in \"\": no such interface"),
        (
            &["istio:", "--packet", "tcp 10.0.0.1 -> 10.0.0.2:2"],
            "walk: --packet <PACKET>: packet \"tcp 10.0.0.1 -> 10.0.0.2:2\": 10.0.0.1: no port; give one",
        ),
        (&["istio:", "--packet", "tcp 10.0.0.1:1 ->\n10.0.0.2:2 x"], "\"x\" is not a word of a packet; there are uid"),
    ];
    for (words, remedy) in cases {
        let output = walk(words);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), printed.lines().count()), (Some(1), 1), "{words:?}: {printed}");
        assert!(printed.starts_with("walk: ") && printed.contains(remedy), "{words:?}: {printed}");
    }
}

#[test]
fn likely_mistakes_are_reported_beside_the_walk() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["istio:", "--packet", "tcp 10.88.0.9:1 -> 10.77.0.2:80"],
            "walk: 10.88.0.9 is not an address of this host, which sends the packet; give --in IFNAME for one that arrives\n",
        ),
        (&["istio:", "--packet", "tcp 10.77.0.2:1 -> 10.88.0.9:80"], ""),
        (&["istio:", "--in", "eth0", "--packet", "tcp 10.88.0.9:1 -> 10.77.0.2:80"], ""),
        (
            &["istio:", "--in", "eth0", "--packet", "tcp 10.77.0.2:1 -> 10.77.0.2:80"],
            "walk: 10.77.0.2 is an address of this host; what comes in from it is dropped, unless sysctl accept_local is on\n",
        ),
        (&["istio:", "--in", "lo", "--packet", "tcp 10.77.0.2:1 -> 10.77.0.2:80"], ""),
        (&["istio:", "--packet", "icmp ::1 -> ::1 type 8"], "walk: IPv6 has no icmp; give icmpv6\n"),
        (&["istio:", "--packet", "icmpv6 127.0.0.1 -> 127.0.0.1 type 128"], "walk: IPv4 has no icmpv6; give icmp\n"),
        (
            &["save:/dev/null,/dev/null", "--packet", "tcp 10.77.0.2:1 -> 10.77.0.1:2"],
            "walk: /dev/null: it has no tables, so it decides nothing\n\
             walk: /dev/null: it has no tables, so it decides nothing\n",
        ),
        (
            &["save:/dev/null", "--packet", "tcp [::1]:1 -> [::1]:2"],
            "walk: /dev/null: it has no tables, so it decides nothing\n\
             walk: there are no rules for IPv6; give what ip6tables-save prints as well, save:FILE4,FILE6\n",
        ),
    ];
    for (words, doubt) in cases {
        let output = walk(words);
        // Only the sysctl decides whether it is dropped.
        let is_from_here = words.contains(&"--in") && words.iter().any(|word| word.starts_with("tcp 10.77.0.2:1"));
        let code = if is_from_here { Some(2) } else { Some(0) };
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (code, *doubt), "{words:?}");
    }
}

#[test]
fn tables_of_iptables_legacy_are_reported_as_not_walked() {
    in_fresh_netns(|| {
        assert_eq!(legacy_tables().expect("a list"), []);
        let words = ["--packet", "tcp 127.0.0.1:1 -> 127.0.0.1:2"];
        let output = walk(&words);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let used = ["iptables-legacy", "ip6tables-legacy"].map(|program| {
            let output = support::command(program).args("-t nat -A OUTPUT -j ACCEPT".split(' ')).output();
            output.is_ok_and(|output| output.status.success())
        });
        if used != [true; 2] {
            // Not every kernel has them any more, so this is never a failure.
            return support::say("SKIP: this kernel or this user has no older tables");
        }
        let tables = [Family::Ip, Family::Ip6].map(|family| TableId::new(family, "nat"));
        assert_eq!(legacy_tables().expect("a list"), tables);
        assert_eq!(NetNs::current().and_then(|namespace| namespace.legacy_tables()).expect("a list"), tables);
        let unknown = "tables of iptables-legacy (ip nat, ip6 nat); give what iptables-legacy-save and ip6tables-legacy-save \
                       print as save:FILE4,FILE6\n";
        let output = walk(&words);
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("walk: not walked: {unknown}"));
        let output = support::command(&example("compare").to_string_lossy()).args(["live", "live"]).output();
        let output = output.expect("the example runs");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), &*printed), (Some(2), &*format!("cannot tell: {unknown}")));
    });
}
