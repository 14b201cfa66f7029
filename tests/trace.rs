//! Tracing real packets: which messages a packet causes, in which order, and that a trace leaves
//! nothing behind.

mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use nftmesh::kernel::{Kernel, NetNs, Trace, TraceFilter, Watch};
use nftmesh::model::{
    CtDirection, CtState, CtStatus, Limit, LimitUnit, Nfproto, Protocol, Rule, set, skuid, udp_dport,
};
use nftmesh::state::{Event, Snapshot, TraceEvent, TraceMessage, TraceStep, TracedPacket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};
use support::patience::patience;
use support::version::{TRACED_CONNECTIONS, in_traced_netns, needs_linux};
use support::{ip, nft, nft_fails, nft_script, sys};
use traffic::Pod;

/// Reads this many messages, and asserts that no more arrive within a short time.
#[track_caller]
fn messages(trace: &mut Trace, count: usize) -> Vec<TraceMessage> {
    let mut reported = Vec::new();
    while readable(
        trace,
        if reported.len() < count { patience(Duration::from_secs(10)) } else { patience(Duration::from_millis(20)) },
    ) {
        while let Some(event) = trace.try_next().expect("the socket can be read") {
            match event {
                TraceEvent::Message(message) => reported.push(message),
                other => panic!("{other}"),
            }
        }
    }
    reported
}

/// Returns whether the descriptor is readable within that time.
fn readable(trace: &Trace, within: Duration) -> bool {
    let fd = trace.as_fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(within).expect("short");
    poll(&mut fds, Some(&timeout)).expect("a descriptor can be polled") == 1
}

fn snapshot() -> Snapshot {
    Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("nobody else commits")
}

/// Writes one line for each message: a letter for its id, the chain, a star when it shows the
/// packet, the number of the rule and its decision.
fn lines(reported: &[TraceMessage]) -> String {
    let snapshot = snapshot();
    let mut ids = Vec::new();
    let mut text = String::new();
    for TraceMessage { id, table, chain, step, mark, packet, .. } in reported {
        let letter = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(*id);
            ids.len() - 1
        });
        let letter = char::from(b'A' + u8::try_from(letter).expect("few"));
        let shown = if packet.is_some() { "*" } else { "" };
        let step = match step {
            TraceStep::Rule { handle, verdict } => {
                let chain = snapshot.table(table).and_then(|table| table.chain(chain.as_str())).expect("it is there");
                let position = chain.rules.iter().position(|rule| rule.handle == *handle).expect("it is there");
                format!("rule {}, {verdict}", position + 1)
            }
            step => step.to_string(),
        };
        let mark = if *mark == 0 { String::new() } else { format!(", mark {mark:#x}") };
        writeln!(text, "{letter} {chain}{shown}: {step}{mark}").expect("a text takes everything");
    }
    text
}

/// Sends datagrams.
fn udp(from: &str, to: &str, count: usize) {
    let socket = receiver(from);
    for _ in 0..count {
        // Sending fails when a rule drops the packet at output.
        drop(socket.send_to(b"hello", to));
    }
}

fn receiver(at: &str) -> UdpSocket {
    sys::udp(at.parse().expect("an address and a port")).expect("the address is here")
}

fn to_port(port: u16) -> TraceFilter {
    TraceFilter::from(Rule::new().udp_dport(port))
}

/// Returns the packets that are shown.
fn shown(reported: &[TraceMessage]) -> Vec<&TracedPacket> {
    reported.iter().filter_map(|message| message.packet.as_deref()).collect()
}

/// Returns whether this kernel reports connections in traces, after a printed skip where it does
/// not; then no packet has one.
fn has_connections(packets: &[&TracedPacket]) -> bool {
    let reports = needs_linux(TRACED_CONNECTIONS, "connections in traces");
    assert!(reports || packets.iter().all(|packet| packet.ct.is_none()), "{packets:#?}");
    reports
}

/// Returns an nft script with everything between braces on separate lines.
fn table(chains: &str) -> String {
    format!("table inet t {{\n{}\n}}", chains.replace("; }", ";\n}"))
}

const SMALL: &str = "
    chain out { type filter hook output priority 0; udp dport 9 counter; udp dport 5000 jump sub; counter; }
    chain sub { counter; ip saddr 127.0.0.1 return; counter; }
    chain empty { }
    chain post { type filter hook postrouting priority 0; jump empty; meta mark set 7; goto empty; drop; }
    chain raw { type filter hook prerouting priority -300; }
    chain pre { type filter hook prerouting priority 0; ct state new counter; }
    chain in { type filter hook input priority 0; policy drop; udp dport 5000 accept; }
    chain last { type filter hook input priority 10; policy drop; }";

#[test]
fn a_datagram_over_lo_is_traced_step_by_step() {
    in_traced_netns(|| {
        nft_script(&table(SMALL));
        let mut trace = Trace::open(TraceFilter::new()).expect("may be opened");
        let _receiver = receiver("127.0.0.1:5000");
        udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
        let expected = "\
A out*: rule 2, jump sub
A sub: rule 1, continue
A sub: rule 2, return
A out: rule 3, continue
A out: end
A out: policy accept
A post*: rule 1, jump empty
A empty: end
A post: rule 2, continue, mark 0x7
A post: rule 3, goto empty, mark 0x7
A empty: end, mark 0x7
A post: policy accept, mark 0x7
B raw*: end, mark 0x7
B raw: policy accept, mark 0x7
B pre*: rule 1, continue, mark 0x7
B pre: end, mark 0x7
B pre: policy accept, mark 0x7
B in*: rule 1, accept, mark 0x7
B last*: end, mark 0x7
B last: policy drop, mark 0x7
";
        let reported = messages(&mut trace, expected.lines().count());
        support::assert_same(expected, &lines(&reported), &nft("-a list ruleset"));

        // Conntrack sees a packet once, at output; over lo it keeps its state.
        let packets = shown(&reported);
        if !has_connections(&packets) {
            return;
        }
        let ct: Vec<_> = packets.iter().map(|packet| packet.ct.expect("a rule asks for it")).collect();
        assert!(ct.iter().all(|ct| ct.state == CtState::NEW && ct.direction == Some(CtDirection::Original)), "{ct:?}");
        let id = ct.first().and_then(|first| first.id);
        assert!(id.is_some() && ct.iter().all(|ct| ct.id == id), "{ct:?}");
        let confirmed: Vec<_> = ct.iter().map(|ct| ct.status.contains(CtStatus::CONFIRMED)).collect();
        assert_eq!(confirmed, [false, false, true, true, true, true]);
    });
}

#[test]
fn a_message_shows_the_packet_and_its_interfaces() {
    in_traced_netns(|| {
        nft_script(&table(
            "chain out { type filter hook output priority 0; }
             chain post { type filter hook postrouting priority 0; }
             chain pre { type filter hook prerouting priority 0; }
             chain in { type filter hook input priority 0; }",
        ));
        let mut trace = Trace::open(TraceFilter::new()).expect("may be opened");
        for (from, to, nfproto) in
            [("127.0.0.1:4000", "127.0.0.2:5000", Nfproto::IPV4), ("[::1]:4000", "[::1]:5000", Nfproto::IPV6)]
        {
            let _receiver = receiver(to);
            udp(from, to, 1);
            let reported = messages(&mut trace, 8);
            assert!(
                reported.iter().all(|message| message.nfproto == Some(nfproto) && message.opaque.is_empty()),
                "{reported:?}"
            );
            let packets = shown(&reported);
            assert_eq!(packets.len(), 4, "{reported:?}");
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().expect("one"), to.parse().expect("one"));
            for (index, packet) in packets.iter().enumerate() {
                assert_eq!(packet.addresses(), Some((from.ip(), to.ip())));
                assert_eq!((packet.ports(), packet.protocol()), (Some((4000, 5000)), Some(Protocol::UDP)));
                // 8 bytes of a header and the 5 that were sent.
                assert!(packet.transport.len() == 13 && packet.transport.ends_with(b"hello"), "{packet:?}");
                let devices = [packet.iif, packet.oif].map(|device| device.map(|device| (device.index, device.kind)));
                let lo = Some((1, 772));
                assert_eq!(devices, if index < 2 { [None, lo] } else { [lo, None] });
                assert_eq!(
                    packet.link.len(),
                    if index < 2 { 0 } else { 14 },
                    "only what comes in has a header in front"
                );
                assert_eq!(packet.ct, None, "a trace switches nothing on");
            }
        }
    });
}

/// Chains of table inet t, and the trace of a datagram of 127.0.0.1 from port 4000 to 5000.
const TARGETS: &[(&str, &str)] = &[
    ("chain a { type filter hook output priority 0; udp dport 9 accept; drop; }", "A a*: rule 2, drop"),
    ("chain a { type filter hook output priority 0; reject; }", "A a*: rule 1, drop"),
    (
        "chain a { type filter hook output priority 0; accept; drop; }
         chain b { type filter hook output priority 1; drop; }",
        "A a*: rule 1, accept\nA b*: rule 1, drop",
    ),
    (
        "chain a { type filter hook output priority 0; policy drop; return; accept; }",
        "A a*: rule 1, return\nA a: policy drop",
    ),
    (
        "chain a { type filter hook output priority 0; jump b; drop; }
         chain b { goto c; accept; }
         chain c { return; }",
        "A a*: rule 1, jump b\nA b: rule 1, goto c\nA c: rule 1, return\nA a: rule 2, drop",
    ),
    (
        "chain a { type filter hook output priority 0; policy drop; goto b; accept; }
         chain b { continue; }",
        "A a*: rule 1, goto b\nA b: rule 1, continue\nA b: end\nA a: policy drop",
    ),
    (
        "map m { type inet_service : verdict; elements = { 5000 : jump b }; }
         chain a { type filter hook output priority 0; udp dport vmap @m; udp sport vmap { 9 : accept }; drop; }
         chain b { counter; }",
        "A a*: rule 1, jump b\nA b: rule 1, continue\nA b: end\nA a: rule 3, drop",
    ),
    (
        "chain a { type filter hook output priority 0; limit rate over 1/day burst 5 packets accept; log; drop; }",
        "A a*: rule 2, continue\nA a: rule 3, drop",
    ),
    (
        "chain a { type filter hook output priority -300; notrack; }
         chain b { type filter hook output priority 0; ct state untracked drop; }",
        "A a*: rule 1, continue\nA a: end\nA a: policy accept\nA b*: rule 1, drop",
    ),
    // A nat chain accepts what it translates.
    (
        "chain a { type nat hook output priority -100; ip protocol udp redirect to :5001; drop; }
         chain b { type filter hook output priority 0; udp dport 5001 drop; }",
        "A a*: rule 1, accept\nA b*: rule 1, drop",
    ),
    // NAT sees a connection once: over lo, a translation at output is not repeated at prerouting.
    (
        "chain a { type nat hook output priority -100; meta nfproto ipv4 udp dport 5000 dnat ip to 127.0.0.2:5001; }
         chain b { type nat hook postrouting priority 100; meta nfproto ipv4 snat ip to 127.0.0.3; }
         chain c { type nat hook prerouting priority -100; drop; }
         chain d { type nat hook input priority 100; drop; }
         chain e { type filter hook input priority 200; ip saddr 127.0.0.3 ip daddr 127.0.0.2 udp dport 5001 drop; }",
        "A a*: rule 1, accept\nA b*: rule 1, accept\nB e*: rule 1, drop",
    ),
    // The mark of a route chain; the packet stays the same.
    (
        "chain a { type route hook output priority -150; meta mark set 7; }
         chain b { type filter hook postrouting priority 0; meta mark set 0; drop; }",
        "A a*: rule 1, continue, mark 0x7\nA a: end, mark 0x7\nA a: policy accept, mark 0x7\nA b*: rule 1, continue\nA b: rule 2, drop",
    ),
    // With a listener tproxy is a match, and a rule ends at its last statement.
    (
        "chain a { type filter hook prerouting priority -150; meta l4proto udp tproxy to :5006; counter; }
         chain b { type filter hook input priority 0; drop; }",
        "A a*: rule 1, continue\nA a: rule 2, continue\nA a: end\nA a: policy accept\nA b*: rule 1, drop",
    ),
    // Without a listener it does not match.
    (
        "chain a { type filter hook prerouting priority -150; meta l4proto udp tproxy to :5009 accept; drop; }",
        "A a*: rule 2, drop",
    ),
    // A foreign rule can end the trace.
    (
        "chain a { type filter hook output priority 0; counter; meta nftrace set 0; counter; }
         chain b { type filter hook output priority 1; meta nftrace set 1; drop; }",
        "A a*: rule 1, continue\nA b*: rule 1, continue\nA b: rule 2, drop",
    ),
];

#[test]
fn every_target_is_traced() {
    for (chains, expected) in TARGETS {
        in_traced_netns(|| {
            nft_script(&table(chains));
            let _receiver = receiver("127.0.0.1:5000");
            let transparent = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
            transparent.set_ip_transparent_v4(true).expect("root in its namespace");
            transparent.bind(&SocketAddr::from(([0, 0, 0, 0], 5006)).into()).expect("a free port");
            let mut trace = Trace::open(to_port(5000)).expect("may be opened");
            udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
            let reported = messages(&mut trace, expected.lines().count());
            support::assert_same(&format!("{expected}\n"), &lines(&reported), chains);
        });
    }
}

#[test]
fn a_translated_address_shows_after_its_nat_chain() {
    in_traced_netns(|| {
        nft_script(&table(
            "chain nat { type nat hook output priority -100; meta l4proto udp redirect to :5001; }
             chain out { type filter hook output priority 0; }",
        ));
        let mut trace = Trace::open(to_port(5000)).expect("may be opened");
        let _receiver = receiver("127.0.0.1:5001");
        let sender = receiver("127.0.0.1:4000");
        let mut send = |count| {
            sender.send_to(b"hello", "127.0.0.1:5000").expect("lo is up");
            messages(&mut trace, count)
        };
        let first = send(3);
        let packets = shown(&first);
        let ports: Vec<_> = packets.iter().map(|packet| packet.ports()).collect();
        assert_eq!(ports, [Some((4000, 5000)), Some((4000, 5001))], "{first:#?}");
        if has_connections(&packets) {
            let done = CtStatus::DNAT | CtStatus::from_bits_retain(0x100);
            assert!(packets.iter().all(|packet| packet.ct.is_some_and(|ct| ct.status == done)), "{first:#?}");
        }
        // Later packets of the connection do not reach nat chains.
        assert_eq!(lines(&send(2)), "A out*: end\nA out: policy accept\n");
    });
}

#[test]
fn a_forwarded_packet_keeps_its_id_and_is_traced_only_in_its_namespace() {
    in_traced_netns(|| {
        let Pod { pod, gateway } = Pod::new();
        gateway.run(|| {
            ip("link add far0 type veth peer name far1");
            ip("link set far0 up");
            ip("link set far1 up");
            ip("route add 10.9.0.0/24 dev far0");
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("a namespace of our own");
            nft_script(&table(
                "chain pre { type filter hook prerouting priority 0; }
                 chain in { type filter hook input priority 0; }
                 chain forward { type filter hook forward priority 0; }
                 chain out { type filter hook output priority 0; }
                 chain post { type filter hook postrouting priority 0; }",
            ));
        });
        pod.run(|| nft_script(&table("chain out { type filter hook output priority 0; meta nftrace set 1; }")));
        let index = |name: &str| {
            gateway.run(|| {
                let names = nftmesh::kernel::interfaces().expect("a netlink socket");
                names.into_iter().find(|(_, known)| known.as_str() == name).expect("it is there").0
            })
        };
        let (eth0, far0) = (Some(index("eth0")), Some(index("far0")));
        let cases = [
            (
                to_port(5000),
                "A pre*: end\nA pre: policy accept\nA forward*: end\nA forward: policy accept\nA post*: end\nA post: policy accept\n",
                vec![(eth0, None), (eth0, far0), (eth0, far0)],
            ),
            (
                TraceFilter::from(Rule::new().udp_dport(5000).iifname("eth0").oifname("far0")),
                "A forward*: end\nA forward: policy accept\nA post*: end\nA post: policy accept\n",
                vec![(eth0, far0), (eth0, far0)],
            ),
        ];
        for (filter, expected, devices) in cases {
            let mut trace = gateway.run(|| Trace::open(filter)).expect("may be opened");
            pod.run(|| udp("10.77.0.2:4000", "10.9.0.1:5000", 1));
            let reported = messages(&mut trace, expected.lines().count());
            assert_eq!(gateway.run(|| lines(&reported)), expected);
            let seen: Vec<_> = shown(&reported)
                .iter()
                .map(|packet| (packet.iif.map(|device| device.index), packet.oif.map(|device| device.index)))
                .collect();
            assert_eq!(seen, devices);
        }
    });
}

#[test]
fn a_reject_is_traced_in_the_middle_of_its_packet() {
    in_traced_netns(|| {
        nft_script(&table(
            "chain out { type filter hook output priority 0; udp dport 5000 counter; udp dport 5000 reject; }",
        ));
        let mut trace = Trace::open(TraceFilter::new()).expect("may be opened");
        udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
        let expected = "A out*: rule 1, continue\nB out*: end\nB out: policy accept\nA out: rule 2, drop\n";
        assert_eq!(lines(&messages(&mut trace, 4)), expected);
    });
}

#[test]
fn a_packet_translated_at_prerouting_keeps_its_id() {
    in_traced_netns(|| {
        let Pod { pod, gateway } = Pod::new();
        pod.run(|| {
            nft_script(&table(
                "chain nat { type nat hook prerouting priority -100; meta l4proto udp redirect to :5001; }
                 chain in { type filter hook input priority 0; udp dport set 5002; accept; }
                 chain last { type filter hook input priority 1; accept; }",
            ));
        });
        let mut trace = pod.run(|| Trace::open(to_port(5000))).expect("may be opened");
        gateway.run(|| udp("10.77.0.1:4000", "10.77.0.2:5000", 1));
        let reported = messages(&mut trace, 4);
        let expected =
            "A nat*: rule 1, accept\nA in*: rule 1, continue\nA in: rule 2, accept\nA last*: rule 1, accept\n";
        assert_eq!(pod.run(|| lines(&reported)), expected);
        let ports: Vec<_> = shown(&reported).iter().filter_map(|packet| packet.ports()).map(|(_, to)| to).collect();
        assert_eq!(ports, [5000, 5002, 5002], "after the nat chain 5001; shown after the first rule of the next");
    });
}

#[test]
fn a_rerouted_packet_keeps_its_id() {
    in_traced_netns(|| {
        ip("link add near type veth peer name far");
        ip("addr add 10.9.0.1/24 dev near");
        ip("link set near up");
        ip("link set far up");
        ip("rule add fwmark 7 lookup 100");
        ip("route add default dev far table 100");
        nft_script(&table(
            "chain route { type route hook output priority -150; meta mark set 7; }
             chain out { type filter hook output priority 0; }
             chain post { type filter hook postrouting priority 0; }",
        ));
        let mut trace = Trace::open(to_port(5000)).expect("may be opened");
        udp("10.9.0.1:4000", "10.9.0.2:5000", 1);
        let reported = messages(&mut trace, 7);
        assert!(lines(&reported).lines().all(|line| line.starts_with("A ")) && reported.len() == 7, "{reported:#?}");
        let left: Vec<_> = shown(&reported).iter().filter_map(|packet| packet.oif).map(|device| device.index).collect();
        // The rest of the hook still has the old interface.
        let [before, same, after] = left.try_into().expect("three chains");
        assert!(before == same && same != after, "{reported:#?}");
    });
}

#[test]
fn a_tcp_connection_is_traced_both_ways() {
    in_traced_netns(|| {
        nft_script(&table(
            "chain out { type filter hook output priority 0; ct state vmap { new : accept, established : accept }; drop; }",
        ));
        let filter = TraceFilter::from(Rule::new().tcp_dport(5000)).or(Rule::new().tcp_sport(5000));
        let mut trace = Trace::open(filter).expect("may be opened");
        let listener = TcpListener::bind("127.0.0.1:5000").expect("a free port");
        let client = TcpStream::connect("127.0.0.1:5000").expect("it listens");
        let client_port = client.local_addr().expect("it is bound").port();
        let reported = messages(&mut trace, 3);
        assert_eq!(lines(&reported), "A out*: rule 1, accept\nB out*: rule 1, accept\nC out*: rule 1, accept\n");
        // Flags of the transport header (RFC 9293, section 3.1): SYN 2, ACK 16.
        let packets = shown(&reported);
        let seen: Vec<_> = packets.iter().map(|packet| (packet.ports(), packet.transport.get(13).copied())).collect();
        let there = Some((client_port, 5000));
        assert_eq!(seen, [(there, Some(2)), (Some((5000, client_port)), Some(18)), (there, Some(16))]);
        if has_connections(&packets) {
            let states: Vec<_> = packets.iter().map(|packet| packet.ct.map(|ct| (ct.state, ct.direction))).collect();
            let (original, reply) = (Some(CtDirection::Original), Some(CtDirection::Reply));
            let expected = [(CtState::NEW, original), (CtState::ESTABLISHED, reply), (CtState::ESTABLISHED, original)];
            assert_eq!(states, expected.map(Some));
        }
        drop((client, listener));
    });
}

/// Filters, and the packets that they select of datagrams over lo to the ports 5000 and 5001 of
/// IPv4 and 5000 of IPv6.
#[test]
fn a_filter_selects_packets() {
    let rule = Rule::new;
    let all = "out 4 5000, in 4 5000, out 4 5001, in 4 5001, out 6 5000, in 6 5000";
    let cases = [
        (TraceFilter::new(), all),
        (rule().into(), all),
        (rule().oifname("lo").into(), all),
        (rule().skuid(0).into(), all),
        (rule().ct_state(CtState::NEW).into(), all),
        (rule().udp_dport(5000).into(), "out 4 5000, in 4 5000, out 6 5000, in 6 5000"),
        (rule().udp_dport(5000).nfproto(Nfproto::IPV4).into(), "out 4 5000, in 4 5000"),
        (rule().udp_dport([5001, 5002]).into(), "out 4 5001, in 4 5001"),
        (rule().not(udp_dport(5000)).into(), "out 4 5001, in 4 5001"),
        (
            TraceFilter::from(rule().udp_dport(5001)).or(rule().nfproto(Nfproto::IPV6)),
            "out 4 5001, in 4 5001, out 6 5000, in 6 5000",
        ),
        (rule().iifname("lo").into(), "in 4 5000, in 4 5001, in 6 5000"),
        (rule().limit(Limit::packets(1, LimitUnit::Day).burst(1)).into(), "out 4 5000, in 4 5000"),
        (rule().not(skuid(0)).into(), ""),
        (rule().oifname("eth9").into(), ""),
        (rule().l4proto(Protocol::TCP).into(), ""),
        (rule().ct_state(CtState::INVALID).into(), ""),
        (rule().iifname("lo").oifname("lo").into(), ""),
    ];
    for (filter, expected) in cases {
        in_traced_netns(|| {
            nft_script(&table(
                "chain out { type filter hook output priority 0; }
             chain in { type filter hook input priority 0; }",
            ));
            let at = ["127.0.0.1:5000", "127.0.0.1:5001", "[::1]:5000"];
            let _receivers = at.map(receiver);
            let mut trace = Trace::open(filter.clone()).expect("may be opened");
            udp("127.0.0.1:4000", at[0], 1);
            udp("127.0.0.1:4000", at[1], 1);
            udp("[::1]:4000", at[2], 1);
            let reported = messages(&mut trace, 2 * expected.split_terminator(", ").count());
            let packets: Vec<_> = reported
                .iter()
                .filter_map(|TraceMessage { chain, packet, .. }| {
                    let packet = packet.as_deref()?;
                    let version = if packet.addresses()?.0.is_ipv4() { 4 } else { 6 };
                    Some(format!("{chain} {version} {}", packet.ports()?.1))
                })
                .collect();
            assert_eq!(packets.join(", "), expected, "{filter:?}");
        });
    }
}

#[test]
fn an_invalid_filter_is_refused_with_the_reason() {
    let rule = Rule::new;
    let cases = [
        (
            rule().counter(),
            "trace filter, counter packets 0 bytes 0: does more than select packets; keep only matches and limits",
        ),
        (
            rule().udp_dport(53).drop(),
            "trace filter, udp dport 53 drop: does more than select packets; keep only matches and limits",
        ),
        (
            rule().udp_dport(set("ports")),
            "trace filter, udp dport @ports: there is no set ports in the table; define it or correct the name",
        ),
        (
            rule().tcp_dport(53).udp_dport(53),
            "trace filter, tcp dport 53 udp dport 53: no packet has both tcp dport and udp dport; split the rule",
        ),
        (
            rule().mark(7).iifname("longer than it can be"),
            "trace filter, meta mark 0x00000007 iifname \"longer than it can be\": \
             interface name longer than it can be is longer than the 15 bytes of an interface name",
        ),
    ];
    for (rule, expected) in cases {
        let filter = TraceFilter::new().or(Rule::new().udp_dport(53)).or(rule);
        let error = filter.validate().expect_err("not a filter");
        assert!(error.is_invalid(), "{error}");
        assert_eq!(error.to_string(), expected);
        assert_eq!(Trace::open(filter).expect_err("not a filter").to_string(), expected);
    }
}

/// Chains without counters.
const QUIET: &str = "
    chain out { type filter hook output priority 0; udp dport 5000 jump sub; }
    chain sub { ip saddr 127.0.0.1 return; }
    chain in { type filter hook input priority 0; policy drop; udp dport 5000 accept; }";

#[test]
fn a_trace_leaves_nothing_and_others_cannot_change_its_table() {
    in_traced_netns(|| {
        nft_script(&table(QUIET));
        let before = snapshot();
        let mut watch = Watch::open().expect("a socket");
        let mut trace = Trace::open(TraceFilter::new()).expect("may be opened");
        let own = trace.table().clone();
        let during = snapshot();
        assert_eq!(during.generation.0, before.generation.0 + 1, "one commit");
        let others: Vec<_> = during.tables.iter().filter(|state| state.id != own).cloned().collect();
        assert!(others == before.tables && during.tables.len() == before.tables.len() + 1, "{during:#?}");

        for change in ["delete table {}", "add chain {} c", "flush table {}", "add rule {} output drop"] {
            let complaint = nft_fails(&change.replace("{}", &own.to_string()));
            assert!(complaint.contains("Operation not permitted"), "{change}: {complaint}");
        }
        let _receiver = receiver("127.0.0.1:5000");
        udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
        assert_eq!(
            lines(&messages(&mut trace, 5)),
            "A out*: rule 1, jump sub\nA sub: rule 1, return\nA out: end\nA out: policy accept\nB in*: rule 1, accept\n"
        );
        drop(trace);
        let after = snapshot();
        assert_eq!((after.tables, after.opaque), (before.tables, before.opaque));
        let events: Vec<_> = std::iter::from_fn(|| watch.try_next().expect("the socket can be read")).collect();
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Committed(_))).count(), 2, "{events:#?}");
        assert!(events.iter().any(|event| matches!(event, Event::TableDeleted { table, .. } if *table == own)));

        let trace = Trace::open(TraceFilter::new()).expect("may be opened");
        nft("flush ruleset");
        assert_eq!(snapshot().tables.iter().map(|state| &state.id).collect::<Vec<_>>(), [trace.table()]);
    });
}

/// Names the test that is run again, as a process to be killed.
const HOLDS: &str = "NFTMESH_HOLDS_A_TRACE";

#[test]
fn a_process_that_is_killed_leaves_nothing_behind() {
    if env::var_os(HOLDS).is_some() {
        let namespace = NetNs::from_path("/proc/self/fd/0").expect("the namespace of the test is standard input");
        let trace = namespace.trace(TraceFilter::new()).expect("may be opened");
        println!("holds {}", trace.table());
        loop {
            thread::park();
        }
    }
    // In a new user namespace the process could not enter ours.
    if !support::needs_root() {
        return;
    }
    in_traced_netns(|| {
        nft_script(&table(QUIET));
        let before = snapshot();
        let mut child = Command::new(env::current_exe().expect("a running program has a path"))
            .args(["--exact", "a_process_that_is_killed_leaves_nothing_behind", "--nocapture"])
            .env(HOLDS, "1")
            .stdin(File::open("/proc/thread-self/ns/net").expect("a thread may open its own namespace"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs again");
        let printed = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let table = printed.lines().map_while(Result::ok).find_map(|line| {
            let (_, table) = line.split_once("holds ")?;
            Some(table.to_owned())
        });
        let during = nft("list tables");
        child.kill().expect("SIGKILL");
        child.wait().expect("it was started here");
        assert!(table.is_some_and(|table| during.contains(&table)), "{during}");
        let after = snapshot();
        assert_eq!((after.tables, after.opaque), (before.tables, before.opaque));
    });
}

#[test]
fn each_of_two_traces_receives_everything() {
    in_traced_netns(|| {
        nft_script(&table("chain in { type filter hook input priority 0; accept; }"));
        let mut first = Trace::open(to_port(5000)).expect("may be opened");
        let mut second = Trace::open(to_port(5001)).expect("may be opened");
        assert_ne!(first.table(), second.table());
        let _receivers = ["127.0.0.1:5000", "127.0.0.1:5001"].map(receiver);
        udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
        // The younger trace runs first. At output that is before the mark is set; at input the
        // packet has it.
        let (older, younger) = (first.table().clone(), second.table().clone());
        let reported = [&mut first, &mut second].map(|trace| {
            let reported = messages(trace, 3);
            let name = |message: &TraceMessage| match &message.table {
                table if *table == older => "older",
                table if *table == younger => "younger",
                _ => "t",
            };
            let line = |message: &TraceMessage| match &message.step {
                TraceStep::Rule { verdict, .. } => format!("{} {}: {verdict}", name(message), message.chain),
                step => format!("{} {}: {step}", name(message), message.chain),
            };
            reported.iter().map(line).collect::<Vec<_>>().join(", ")
        });
        let expected = [
            "younger prerouting: end, younger prerouting: policy accept, t in: accept",
            "older output: accept, older prerouting: accept, t in: accept",
        ];
        assert_eq!(reported, expected, "a table of one's own is left out");
        drop(second);
        udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
        assert_eq!(lines(&messages(&mut first, 1)), "A in*: rule 1, accept\n");
    });
}

#[test]
fn lost_messages_are_reported_and_later_ones_arrive() {
    in_traced_netns(|| {
        nft_script(&table("chain in { type filter hook input priority 0; accept; }"));
        let mut trace = Trace::open(to_port(5000)).expect("may be opened");
        trace.receive_buffer(20_000).expect("is set");
        let receiver = receiver("127.0.0.1:5000");
        for round in 0..3 {
            udp("127.0.0.1:4000", "127.0.0.1:5000", 100);
            for _ in 0..100 {
                receiver.recv(&mut [0; 5]).expect("all of them come in");
            }
            let events: Vec<_> = std::iter::from_fn(|| trace.try_next().expect("the socket can be read")).collect();
            let messages = events.iter().filter(|event| matches!(event, TraceEvent::Message(_))).count();
            assert!(messages > 0 && messages < 100, "round {round}: {messages}");
            assert_eq!(events.iter().filter(|event| **event == TraceEvent::Overflow).count(), 1, "round {round}");
            assert_eq!(events.last(), Some(&TraceEvent::Overflow), "round {round}");
            udp("127.0.0.1:4000", "127.0.0.1:5000", 1);
            receiver.recv(&mut [0; 5]).expect("it comes in");
            assert_eq!(lines(&self::messages(&mut trace, 1)), "A in*: rule 1, accept\n", "round {round}");
        }
    });
}

#[test]
fn packet_ids_are_reused() {
    in_traced_netns(|| {
        nft_script(&table("chain in { type filter hook input priority 0; accept; }"));
        let mut trace = Trace::open(to_port(5000)).expect("may be opened");
        let receiver = receiver("127.0.0.1:5000");
        let sender = self::receiver("127.0.0.1:4000");
        let mut seen = HashSet::new();
        // One in twenty, of a single flow.
        for _ in 0..10_000 {
            sender.send_to(b"hello", "127.0.0.1:5000").expect("lo is up");
            receiver.recv(&mut [0; 5]).expect("it was sent");
            let reported = messages(&mut trace, 1);
            let [message] = reported.as_slice() else { panic!("{reported:#?}") };
            if !seen.insert(message.id) {
                return;
            }
        }
        panic!("{} packets, every one with a number of its own", seen.len());
    });
}

#[test]
fn the_iterator_waits_for_what_happens_in_its_namespace() {
    in_traced_netns(|| {
        let here = NetNs::current().expect("a namespace");
        nft_script(&table("chain out { type filter hook output priority 0; accept; }"));
        let other = support::NetNs::fresh();
        let mut trace = other.run(|| here.trace(to_port(5000))).expect("it may be entered");
        let of_kernel = other.run(|| here.kernel()?.trace(to_port(5001))).expect("it may be entered");
        thread::scope(|scope| {
            let first = scope.spawn(|| trace.next().expect("it never ends").expect("it can be read"));
            thread::sleep(Duration::from_millis(50));
            other.run(|| udp("127.0.0.1:4000", "127.0.0.1:5000", 1));
            here.run(|| udp("127.0.0.1:4001", "127.0.0.1:5000", 1)).expect("the current one");
            let event = first.join().expect("no panic").to_string();
            assert!(event.ends_with("udp 127.0.0.1:4001 -> 127.0.0.1:5000"), "{event}");
        });
        assert_eq!(nft("list tables").matches("nftmesh-trace-").count(), 2);
        drop(of_kernel);
        assert_eq!(nft("list tables").matches("nftmesh-trace-").count(), 1);
    });
}

#[test]
fn tracing_without_the_capability_is_a_permission_error() {
    in_traced_netns(|| {
        support::sys::drop_capabilities().expect("one may always give up");
        let error = Trace::open(TraceFilter::new()).expect_err("packets are for administrators");
        assert!(error.is_permission(), "{error}");
    });
}
