//! Surprising facts about the kernel that tests/trace_walk.rs found, each in a separate walk.

#![cfg(feature = "sim")]

use nftmesh::model::{
    AddrType, Chain, ChainType, CtState, CtStatus, Family, Field, Hook, IpFamily, MarkValue, Match, Nat, Nfproto, Op,
    Operand, PktType, Priority, Protocol, Rule, Ruleset, Table, Tproxy, Value, ct_state,
};
use nftmesh::sim::{
    Change, End, Host, Interface, Link, Lost, Packet, PolicyRule, Route, Rules, Situation, Step, Walk, Walker,
    walk_hook,
};

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn pod() -> Host {
    Host::pod(["10.77.0.2/24", "fd77::2/64"].map(|net| net.parse().expect("a network")))
}

#[track_caller]
fn lowered(chains: impl IntoIterator<Item = Chain>) -> Rules {
    let table = chains.into_iter().fold(Table::new(Family::Inet, "t"), Table::chain);
    Rules::try_from(&Ruleset::new().table(table)).expect("rules that can be lowered")
}

fn nat(name: &str, hook: Hook, priority: i32, rule: Rule) -> Chain {
    Chain::base(name, ChainType::Nat, hook, Priority(priority)).rule(rule)
}

fn filter(name: &str, hook: Hook, priority: i32, rule: Rule) -> Chain {
    Chain::base(name, ChainType::Filter, hook, Priority(priority)).rule(rule)
}

fn redirect() -> Rule {
    Rule::new().l4proto(Protocol::TCP).redirect_to(8080)
}

fn snat(port: u16) -> Rule {
    let to: std::net::IpAddr = "10.77.0.2".parse().expect("an address");
    Rule::new().nfproto(Nfproto::IPV4).l4proto([Protocol::TCP, Protocol::UDP]).nat(Nat::snat().to(to).ports(port))
}

fn ends(walk: &Walk) -> String {
    walk.end.to_string()
}

#[test]
fn at_equal_priority_the_last_registered_chain_runs_first() {
    let translates = || nat("nat", Hook::Prerouting, -100, redirect());
    let drops = || filter("drops", Hook::Prerouting, -100, Rule::new().tcp_dport(80).drop());
    let asks = || filter("asks", Hook::Prerouting, -200, Rule::new().not(ct_state(CtState::INVALID)).drop());
    let cases = [
        (vec![translates(), drops()], "DROPPED by inet t drops, rule 1"),
        (vec![drops(), translates()], "DELIVERED to 10.77.0.2:8080"),
        // A rule enables tracking, and rules are added after chains.
        (vec![asks()], "DROPPED by inet t asks, rule 1"),
    ];
    for (chains, expected) in cases {
        let rules = lowered(chains);
        let walk = Walker::new(&rules, &pod()).receive(packet("tcp 10.77.0.9:1 -> 10.77.0.2:80"), "eth0");
        assert_eq!(ends(&walk), expected, "{walk}");
    }
}

#[test]
fn a_translation_is_visible_at_its_own_hook() {
    let status = Match::new(Field::CtStatus, Op::Eq, Operand::Flags(Value::CtStatus(CtStatus::DNAT)));
    let after = [Rule::new().matches(status).drop(), Rule::new().fib_daddr_type(AddrType::LOCAL).drop()];
    for rule in after {
        let rules =
            lowered([nat("nat", Hook::Prerouting, -100, redirect()), filter("after", Hook::Prerouting, 0, rule)]);
        let walk = Walker::new(&rules, &pod()).receive(packet("tcp 10.77.0.9:1 -> 8.8.8.8:80"), "eth0");
        assert_eq!(ends(&walk), "DROPPED by inet t after, rule 1", "{walk}");
    }
}

#[test]
fn snat_clash_is_refused() {
    let rules = lowered([nat("nat", Hook::Postrouting, 100, snat(40_100))]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    let mut send = |port: u16| walker.send(packet(&format!("udp 10.77.0.2:{port} -> 8.8.8.8:53 uid 0 gid 0"))).end;
    assert!(matches!(send(1000), End::Sent(_)));
    assert_eq!(send(1001), End::Lost(Lost::Clash));
    assert!(matches!(send(1000), End::Sent(_)), "the first goes on");
}

/// Returns the states of these segments, one after the other, from the client or back to it.
fn states(segments: &[(bool, &str)]) -> Vec<CtState> {
    let rules = lowered([filter("asks", Hook::Output, 0, Rule::new().ct_state(CtState::NEW))]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    let tracked = |walk: Walk| {
        let mut states = walk.steps.iter().filter_map(|step| match step {
            Step::Change(Change::Tracked { state, .. }) => Some(*state),
            _ => None,
        });
        states.next().unwrap_or_else(|| panic!("{walk}"))
    };
    let walks = segments.iter().map(|(forth, flags)| match forth {
        true => walker.send(packet(&format!("tcp 10.77.0.2:40000 -> 8.8.8.8:80 uid 0 gid 0 flags {flags}"))),
        false => walker.receive(packet(&format!("tcp 8.8.8.8:80 -> 10.77.0.2:40000 flags {flags}")), "eth0"),
    });
    walks.map(tracked).collect()
}

#[test]
fn a_finished_tcp_connection_can_be_opened_again() {
    const FORTH: bool = true;
    const BACK: bool = false;
    let (new, known, invalid) = (CtState::NEW, CtState::ESTABLISHED, CtState::INVALID);
    // A refusal ends it at once; a reset, or both sides' FIN, when the next SYN comes.
    assert_eq!(states(&[(FORTH, "syn"), (BACK, "rst,ack"), (FORTH, "syn")]), [new, known, new]);
    let opened = [(FORTH, "syn"), (BACK, "syn,ack"), (FORTH, "ack")];
    let reset = [&opened[..], &[(FORTH, "rst,ack"), (FORTH, "syn")]].concat();
    assert_eq!(states(&reset), [new, known, known, known, new]);
    let closing = [&opened[..], &[(FORTH, "fin,ack"), (BACK, "fin,ack")]].concat();
    let closed = [&closing[..], &[(FORTH, "ack"), (FORTH, "syn")]].concat();
    assert_eq!(states(&closed), [new, known, known, known, known, known, new]);
    // The side that closed last may open it again.
    let turned = [&closing[..], &[(FORTH, "ack"), (BACK, "syn")]].concat();
    assert_eq!(states(&turned), [new, known, known, known, known, known, new]);
    // Before the last acknowledgement the connection is not over.
    let early = [&closing[..], &[(FORTH, "syn")]].concat();
    assert_eq!(states(&early), [new, known, known, known, known, known]);
    // A SYN does not reopen a connection that the server reset, and a SYN from the server does not
    // open one.
    let refused = [&opened[..], &[(BACK, "rst"), (FORTH, "syn")]].concat();
    assert_eq!(states(&refused), [new, known, known, known, known]);
    let odd = [&opened[..], &[(BACK, "syn"), (FORTH, "syn,ack")]].concat();
    assert_eq!(states(&odd), [new, known, known, invalid, invalid]);
    // The client cannot continue before the answer.
    assert_eq!(states(&[(FORTH, "syn"), (FORTH, "ack")]), [new, invalid]);
    assert_eq!(states(&[(FORTH, "syn"), (BACK, "ack"), (FORTH, "ack")]), [new, known, invalid]);
    assert_eq!(states(&[(FORTH, "ack"), (FORTH, "ack")]), [new, new], "picked up on its way");
}

#[test]
fn broadcasts_are_not_forwarded_and_the_sender_gets_a_copy() {
    let to: std::net::IpAddr = "8.8.8.8".parse().expect("an address");
    let rules =
        lowered([nat("nat", Hook::Prerouting, -100, Rule::new().nfproto(Nfproto::IPV4).nat(Nat::dnat().to(to)))]);
    let host = pod();
    let mut shared = packet("udp 10.77.0.9:1 -> 10.77.0.255:53");
    shared.pkttype = PktType::BROADCAST;
    assert_eq!(Walker::new(&rules, &host).receive(shared, "eth0").end, End::Lost(Lost::Shared));

    let rules = lowered([filter("out", Hook::Postrouting, 0, Rule::new().skuid(0).counter())]);
    let walk = Walker::new(&rules, &host).send(packet("udp 10.77.0.2:1 -> 10.77.0.255:53 uid 0 gid 0"));
    assert!(walk.steps.contains(&Step::Copied) && walk.matched().count() == 1, "the copy has no socket: {walk}");
}

#[test]
fn no_loopback_address_is_masqueraded_to_or_leaves_the_host() {
    let masquerade = nat("nat", Hook::Postrouting, 100, Rule::new().masquerade());
    let rules = lowered([masquerade]);
    let host = pod();
    let given = |text: &str| {
        let walk = Walker::new(&rules, &host).send(packet(text));
        let found = walk.steps.iter().find_map(|step| match step {
            Step::Change(Change::Snat { to, .. }) => Some(to.to_string()),
            _ => None,
        });
        found.unwrap_or_else(|| "nothing new".to_owned())
    };
    assert_eq!(given("tcp 127.0.0.1:1000 -> 127.0.0.6:80 uid 0 gid 0"), "10.77.0.2:1000");
    assert_eq!(given("tcp [::1]:1000 -> [fd77::2]:80 uid 0 gid 0"), "[fd77::2]:1000");
    assert_eq!(given("tcp [fd77::2]:1000 -> [fd77::1]:80 uid 0 gid 0"), "nothing new");
    let leaves = Walker::new(&Rules::default(), &host).send(packet("tcp 127.0.0.1:1 -> 8.8.8.8:80 uid 0 gid 0"));
    assert_eq!(leaves.end, End::Lost(Lost::Martian));
}

#[test]
fn a_connection_masqueraded_for_one_interface_cannot_leave_by_another() {
    let rules = lowered([nat("nat", Hook::Postrouting, 100, Rule::new().masquerade())]);
    let eth1 = Interface::new(3, "eth1");
    let other = Route::new("0.0.0.0/0".parse().expect("a network"), 3).table(100);
    let host = pod().link(Link::new(eth1, ["10.78.0.2/24".parse().expect("a network")]));
    let host = host.route(other).rule(PolicyRule::mark(IpFamily::Ipv4, 7, 100));
    let mut walker = Walker::new(&rules, &host);
    let mut send = |mark| {
        let sent = format!("udp 10.77.0.2:1000 -> 8.8.8.8:53 uid 0 gid 0 mark {mark}");
        ends(&walker.send(packet(&sent)))
    };
    let lost = "DROPPED: its connection was masqueraded for another interface, and is forgotten; route all of it alike";
    assert_eq!([send(0), send(7), send(7), send(0)], ["SENT out by eth0", lost, "SENT out by eth1", lost]);
}

#[test]
fn nat_to_an_address_of_one_family_does_not_track_the_other() {
    let to: std::net::IpAddr = "fd77::2".parse().expect("an address");
    let snat = Rule::new().nfproto(Nfproto::IPV6).nat(Nat::snat().to(to));
    let rules = lowered([nat("nat", Hook::Postrouting, 100, snat)]);
    let host = pod();
    for (text, tracked) in
        [("udp 10.77.0.2:1 -> 8.8.8.8:53 uid 0 gid 0", false), ("udp [fd77::2]:1 -> [fd77::1]:53 uid 0 gid 0", true)]
    {
        let walk = Walker::new(&rules, &host).send(packet(text));
        let found = walk.steps.iter().any(|step| matches!(step, Step::Change(Change::Tracked { .. })));
        assert_eq!(found, tracked, "{walk}");
    }
}

#[test]
fn iifname_is_known_at_postrouting() {
    let rules = lowered([filter("out", Hook::Postrouting, 0, Rule::new().iifname("eth0").drop())]);
    let host = pod();
    let walk = Walker::new(&rules, &host).receive(packet("udp 10.77.0.9:1 -> 8.8.8.8:53"), "eth0");
    assert_eq!(ends(&walk), "DROPPED by inet t out, rule 1", "{walk}");
}

#[test]
fn the_owner_of_a_receiving_socket_is_not_guessed() {
    let rules = lowered([filter("in", Hook::Input, 0, Rule::new().skuid(0).drop())]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    for (flags, expected) in [("syn", "DELIVERED to 10.77.0.2:80"), ("ack", "CANNOT TELL: inet t in, rule 1")] {
        let walk = walker.receive(packet(&format!("tcp 10.77.0.9:1 -> 10.77.0.2:80 flags {flags}")), "eth0");
        assert!(ends(&walk).starts_with(expected), "{walk}");
    }
}

#[test]
fn tproxy_leaves_an_established_connection_to_its_socket() {
    let tproxy = Rule::new().ct_state(CtState::ESTABLISHED).l4proto(Protocol::TCP).tproxy(Tproxy::to_port(15006));
    let rules = lowered([filter("pre", Hook::Prerouting, -150, tproxy.drop())]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    walker.receive(packet("tcp 10.77.0.9:1 -> 10.77.0.2:80"), "eth0");
    walker.send(packet("tcp 10.77.0.2:80 -> 10.77.0.9:1 uid 0 gid 0 flags syn,ack"));
    let walk = walker.receive(packet("tcp 10.77.0.9:1 -> 10.77.0.2:80 flags ack"), "eth0");
    assert_eq!(ends(&walk), "DELIVERED to 10.77.0.2:80", "{walk}");
}

#[test]
fn icmp_errors_skip_nat_chains_and_redirects_are_dropped() {
    let rules = lowered([
        nat("nat", Hook::Output, -100, Rule::new().drop()),
        filter("asks", Hook::Output, 0, Rule::new().ct_state(CtState::RELATED).counter()),
    ]);
    for (kind, status, expected) in [
        ("destination-unreachable", CtStatus::empty(), "PASSED this hook"),
        (
            "redirect",
            CtStatus::empty(),
            "DROPPED: an ICMP redirect about a connection that is translated would mislead its sender",
        ),
    ] {
        let mut situation = Situation::new(packet(&format!("icmp 10.77.0.2 -> 10.77.0.9 type {kind}")));
        situation.connection.state = CtState::RELATED;
        situation.connection.status = status;
        let walk = walk_hook(&rules, Hook::Output, &situation);
        assert_eq!(ends(&walk), expected, "{walk}");
    }
}

#[test]
fn echo_ids_distinguish_connections() {
    let rules = lowered([filter("asks", Hook::Prerouting, 0, Rule::new().ct_state(CtState::NEW))]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    let mut state = |sends: bool, text: &str| {
        let walk = if sends { walker.send(packet(text)) } else { walker.receive(packet(text), "eth0") };
        let found = walk.steps.iter().find_map(|step| match step {
            Step::Change(Change::Tracked { state, .. }) => Some(*state),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{walk}"))
    };
    for id in [7, 8] {
        let ask = format!("icmp 10.77.0.9 -> 10.77.0.2 type echo-request id {id}");
        assert_eq!(state(false, &ask), CtState::NEW, "{id}");
    }
    for (id, expected) in [(7, CtState::ESTABLISHED), (8, CtState::ESTABLISHED), (9, CtState::INVALID)] {
        let answer = format!("icmp 10.77.0.2 -> 10.77.0.9 type echo-reply id {id}");
        assert_eq!(state(true, &answer), expected, "{id}");
    }
}

#[test]
fn the_icmpv6_checksum_follows_translated_addresses() {
    let to: std::net::IpAddr = "fd77::1".parse().expect("an address");
    let dnat = Rule::new().nfproto(Nfproto::IPV6).nat(Nat::dnat().to(to));
    let rules = lowered([
        nat("nat", Hook::Output, -100, dnat),
        filter("sum", Hook::Postrouting, 0, Rule::new().th_dport(0x1000 + 8).drop()),
    ]);
    // To fd77::9 before: 8 less in the sum is 8 more in its complement.
    let walk =
        Walker::new(&rules, &pod()).send(packet("icmpv6 fd77::2 -> fd77::9 type echo-request checksum 4096 id 7"));
    assert_eq!(ends(&walk), "DROPPED by inet t sum, rule 1", "{walk}");
}

#[test]
fn protocols_without_sockets_match_no_socket() {
    let rules = lowered([filter("pre", Hook::Prerouting, -150, Rule::new().socket_transparent(1).drop())]);
    for (text, expected) in [
        ("icmp 10.77.0.9 -> 10.77.0.2 type echo-request", "DELIVERED to 10.77.0.2"),
        ("253 10.77.0.9 -> 10.77.0.2", "DELIVERED to 10.77.0.2"),
        ("udp 10.77.0.9:1 -> 10.77.0.2:53", "CANNOT TELL"),
    ] {
        let walk = Walker::new(&rules, &pod()).receive(packet(text), "eth0");
        assert!(ends(&walk).starts_with(expected), "{walk}");
    }
}

#[test]
fn multicast_groups_socket_routes_and_checksums_are_not_guessed() {
    let mark = Rule::new().ct_state(CtState::ESTABLISHED).set_mark(MarkValue::Constant(7));
    let rules = lowered([filter("pre", Hook::Prerouting, -150, mark)]);
    let host = pod().rule(PolicyRule::mark(IpFamily::Ipv4, 7, 100));
    let host = host.route(Route::new("0.0.0.0/0".parse().expect("a network"), 2).table(100));
    let mut walker = Walker::new(&rules, &host);
    // The connection is known, and so is its socket: the route may be that of an earlier packet,
    // whatever the mark.
    walker.send(packet("tcp 10.77.0.2:40000 -> 8.8.8.8:80 uid 0 gid 0"));
    for (text, expected) in [
        ("tcp 8.8.8.8:80 -> 10.77.0.2:40000 flags syn,ack", "DELIVERED"),
        ("udp 10.77.0.9:1 -> 224.0.0.1:53 pkttype multicast", "DELIVERED"),
        ("udp 10.77.0.9:1 -> 224.0.0.251:53 pkttype multicast", "CANNOT TELL: whether this host is in the group"),
        ("udplite 10.77.0.9:1 -> 10.77.0.2:53", "CANNOT TELL: whether connection tracking accepts the checksum"),
    ] {
        let walk = walker.receive(packet(text), "eth0");
        assert!(ends(&walk).starts_with(expected), "{walk}");
    }
    let mut host = host;
    host.rules.retain(|rule| rule.priority != 0);
    let mut walker = Walker::new(&rules, &host);
    walker.send(packet("tcp 10.77.0.2:40000 -> 8.8.8.8:80 uid 0 gid 0"));
    let walk = walker.receive(packet("tcp 8.8.8.8:80 -> 10.77.0.2:40000 flags syn,ack"), "eth0");
    assert!(ends(&walk).starts_with("CANNOT TELL: whether the socket of the connection remembers"), "{walk}");
}

#[test]
fn a_kernel_socket_has_a_control_group_and_no_owner() {
    let cases = [
        (Rule::new().cgroup(0).drop(), "CANNOT TELL: inet t out, rule 1: which socket of the kernel"),
        (Rule::new().skuid(0).drop(), "SENT out by eth0"),
    ];
    // The copy for this host is known to have none.
    let rules = lowered([filter("out", Hook::Postrouting, 0, Rule::new().cgroup(0).counter())]);
    let walk = Walker::new(&rules, &pod()).send(packet("udp 10.77.0.2:1 -> 10.77.0.255:53 uid 0 gid 0"));
    assert!(walk.steps.contains(&Step::Copied) && walk.matched().count() == 1, "{walk}");
    assert_eq!(walk.steps.iter().filter(|step| matches!(step, Step::Policy { .. })).count(), 2, "{walk}");
    for (rule, expected) in cases {
        let rules = lowered([filter("out", Hook::Output, 0, rule)]);
        let walk = Walker::new(&rules, &pod()).send(packet("icmp 10.77.0.2 -> 10.77.0.9 type echo-reply"));
        assert!(ends(&walk).starts_with(expected), "{walk}");
    }
}

#[test]
fn tproxy_may_have_taken_a_connection_whose_first_walk_was_undecided() {
    let tproxy = Rule::new().l4proto(Protocol::TCP).tproxy(Tproxy::to_port(15007));
    let rules = lowered([
        filter("in", Hook::Prerouting, 0, tproxy.accept()),
        filter("asks", Hook::Input, 0, Rule::new().skuid(0).drop()),
    ]);
    let host = pod().listeners([15007]);
    let mut walker = Walker::new(&rules, &host);
    let first = walker.receive(packet("tcp 10.77.0.1:1000 -> 10.77.0.2:7777"), "eth0");
    assert!(matches!(first.end, End::CannotTell(_)), "{first}");
    walker.send(packet("tcp 10.77.0.2:7777 -> 10.77.0.1:1000 flags syn,ack uid 0 gid 0"));
    let next = walker.receive(packet("tcp 10.77.0.1:1000 -> 10.77.0.2:7777 flags ack"), "eth0");
    assert_eq!(next.matched().next().map(|(hook, ..)| hook), Some(Hook::Prerouting), "{next}");
}

/// Returns a rule that ends the walk of packets with this mark.
fn unknown(mark: u32) -> Rule {
    Rule::new().mark(mark).matches(Match::new(Field::SocketTransparent, Op::Eq, Operand::Value(Value::Integer(1))))
}

#[test]
fn after_an_undecided_walk_its_connection_is_unknown() {
    let asks = filter("asks", Hook::Postrouting, 0, Rule::new().ct_state(CtState::NEW).drop());
    let rules = lowered([filter("ends", Hook::Output, 0, unknown(7)), asks]);
    let host = pod();
    let mut walker = Walker::new(&rules, &host);
    let first = walker.send(packet("udp 10.77.0.2:1000 -> 8.8.8.8:53 uid 0 gid 0 mark 7"));
    assert!(matches!(first.end, End::CannotTell(_)), "{first}");
    for (back, text) in
        [(false, "udp 10.77.0.2:1000 -> 8.8.8.8:53 uid 0 gid 0"), (true, "udp 8.8.8.8:53 -> 10.77.0.2:1000")]
    {
        let walk = if back { walker.receive(packet(text), "eth0") } else { walker.send(packet(text)) };
        assert!(ends(&walk).contains("an earlier packet of the connection"), "{walk}");
    }
    let other = walker.send(packet("udp 10.77.0.2:1001 -> 8.8.8.8:53 uid 0 gid 0"));
    assert!(matches!(other.end, End::DroppedByRule(_)), "{other}");
}
