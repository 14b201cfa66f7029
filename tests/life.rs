//! The life of a request through a sidecar: hooks, chains and ports, for REDIRECT and TPROXY, IPv4
//! and IPv6.
//!
//! Istio's documentation and Jimmy Song's diagram of sidecar traffic show the first pair of
//! requests, in 16 steps.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/diagram.rs"]
mod diagram;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use diagram::{DIAGRAM, way};
use nftmesh::kernel::routed;
use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::Ruleset;
use nftmesh::routes::RoutePlan;
use nftmesh::sim::{Change, Host, Packet, Rules, SourceChecks, Step, Walk, Walker};

/// Addresses of one family.
struct Net {
    pod: &'static str,
    remote: &'static str,
    service: &'static str,
    nameserver: &'static str,
    loopback: &'static str,
    /// Source address of the proxy for inbound connections that it passes on.
    passthrough: &'static str,
}

const NETS: [Net; 2] = [
    Net {
        pod: "10.77.0.2",
        remote: "10.88.0.9",
        service: "10.96.0.10",
        nameserver: "10.255.255.53",
        loopback: "127.0.0.1",
        passthrough: "127.0.0.6",
    },
    Net {
        pod: "[fd77::2]",
        remote: "[fd88::9]",
        service: "[fd96::10]",
        nameserver: "[fd99::53]",
        loopback: "[::1]",
        passthrough: "[::6]",
    },
];
const RESOLV_CONF: &str = "nameserver 10.255.255.53\nnameserver fd99::53\n";
const REDIRECT: &str = "ISTIO_DUAL_STACK=true -i '*' -x '' -b '*' -d 15090,15021,15020";
const TPROXY: &str = "ISTIO_DUAL_STACK=true -m TPROXY -i '*' -x '' -b '*' -d 15090,15021,15020";
const APP: &str = "uid 1000 gid 1000";
/// With REDIRECT the proxy runs as its own user.
const PROXY: &str = "uid 1337 gid 1337";
/// TPROXY needs capabilities: the proxy runs as root, in its own group.
const ROOT_PROXY: &str = "uid 0 gid 1337";

/// Runs `life` in a pod with these options.
fn in_pod(options: &str, life: impl Fn(&mut Walker<'_>, &Net)) {
    let config: IstioConfig = sidecar::config(options, RESOLV_CONF);
    let rules = Rules::try_from(&Ruleset::from(&config)).expect("rules that can be lowered");
    let addresses = ["10.77.0.2/24", "fd77::2/64", "fe80::1/64"].map(|net| net.parse().expect("a network"));
    let mut pod = Host::pod(addresses);
    pod.links.iter_mut().for_each(|link| link.checks = Some(SourceChecks::default()));
    let host = routed(pod, &RoutePlan::from(&config));
    for net in &NETS {
        life(&mut Walker::new(&rules, &host), net);
    }
}

#[track_caller]
fn packet(text: &str) -> Packet {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn goes(walk: &Walk, expected: &str) {
    assert_eq!(way(walk).join(" "), expected, "\n{walk}");
}

/// Returns the packet as it was at its end.
fn last(walk: &Walk) -> Packet {
    let mut packet = walk.packet.clone();
    for step in &walk.steps {
        match step {
            Step::Change(Change::Dnat { to, .. }) => (packet.destination, packet.dport) = (to.ip(), to.port()),
            Step::Change(Change::Mark { to, .. }) => packet.mark = *to,
            Step::Change(Change::Snat { to, .. }) => (packet.source, packet.sport) = (to.ip(), to.port()),
            _ => {}
        }
    }
    packet
}

#[track_caller]
fn ends_as(walk: &Walk, from: &str, to: &str) {
    let packet = last(walk);
    let ends = [(packet.source, packet.sport), (packet.destination, packet.dport)].map(std::net::SocketAddr::from);
    assert_eq!(ends.map(|end| end.to_string()), [from, to], "\n{walk}");
}

#[test]
fn the_first_pair_takes_the_sixteen_steps_of_the_diagram() {
    in_pod(REDIRECT, |walker, Net { pod, remote, passthrough, .. }| {
        let walks = [
            walker.receive(packet(&format!("tcp {remote}:40000 -> {pod}:9000")), "eth0"),
            walker.send(packet(&format!("tcp {passthrough}:40001 -> {pod}:9000 {PROXY}"))),
            walker.send(packet(&format!("tcp {pod}:40002 -> {remote}:9080 {APP}"))),
            walker.send(packet(&format!("tcp {pod}:40003 -> {remote}:9080 {PROXY}"))),
        ];
        goes(&walks[0], "PREROUTING istio-inbound istio-in-redirect INPUT :15006");
        goes(&walks[1], "OUTPUT istio-output POSTROUTING lo PREROUTING INPUT :9000");
        goes(&walks[2], "OUTPUT istio-output istio-redirect POSTROUTING lo PREROUTING INPUT :15001");
        goes(&walks[3], "OUTPUT istio-output POSTROUTING eth0");

        let ways = walks.each_ref().map(way);
        for (number, (walk, way)) in walks.iter().zip(&ways).enumerate() {
            let mut parts = way.iter();
            for (step, drawn, ours, _) in DIAGRAM.iter().filter(|(.., of)| *of == number) {
                assert!(parts.any(|part| part == ours), "step {step}, {drawn}: not in {way:?}\n{walk}");
            }
        }
        // The diagram omits the input hook and the re-entry through lo.
        let left_out = ways.iter().flatten().count() - DIAGRAM.len();
        assert_eq!(left_out, 1 + 3 + 4, "{ways:?}");
    });
}

#[test]
fn answers_have_the_addresses_of_the_original_connection() {
    in_pod(REDIRECT, |walker, Net { pod, remote, loopback, .. }| {
        walker.receive(packet(&format!("tcp {remote}:40000 -> {pod}:9000")), "eth0");
        let answer = walker.send(packet(&format!("tcp {pod}:15006 -> {remote}:40000 flags syn,ack {PROXY}")));
        goes(&answer, "OUTPUT POSTROUTING eth0");
        ends_as(&answer, &format!("{pod}:9000"), &format!("{remote}:40000"));
        let more = walker.receive(packet(&format!("tcp {remote}:40000 -> {pod}:9000 flags ack")), "eth0");
        goes(&more, "PREROUTING INPUT :15006");

        walker.send(packet(&format!("tcp {pod}:40002 -> {remote}:9080 {APP}")));
        let answer = walker.send(packet(&format!("tcp {loopback}:15001 -> {pod}:40002 flags syn,ack {PROXY}")));
        goes(&answer, "OUTPUT POSTROUTING lo PREROUTING INPUT :40002");
        ends_as(&answer, &format!("{remote}:9080"), &format!("{pod}:40002"));
    });
}

#[test]
fn a_call_to_the_own_service_goes_through_the_proxy_both_ways() {
    in_pod(REDIRECT, |walker, Net { pod, service, passthrough, .. }| {
        let call = walker.send(packet(&format!("tcp {pod}:40000 -> {service}:80 {APP}")));
        goes(&call, "OUTPUT istio-output istio-redirect POSTROUTING lo PREROUTING INPUT :15001");
        let chosen = walker.send(packet(&format!("tcp {pod}:40001 -> {pod}:9000 {PROXY}")));
        goes(&chosen, "OUTPUT istio-output istio-in-redirect POSTROUTING lo PREROUTING INPUT :15006");
        let inbound = walker.send(packet(&format!("tcp {passthrough}:40002 -> {pod}:9000 {PROXY}")));
        goes(&inbound, "OUTPUT istio-output POSTROUTING lo PREROUTING INPUT :9000");
    });
    in_pod(TPROXY, |walker, Net { pod, service, .. }| {
        let call = walker.send(packet(&format!("tcp {pod}:40000 -> {service}:80 {APP}")));
        goes(&call, "OUTPUT istio-output istio-redirect POSTROUTING lo PREROUTING mangle/istio-inbound INPUT :15001");
        let chosen = walker.send(packet(&format!("tcp {pod}:40001 -> {pod}:9000 {ROOT_PROXY}")));
        goes(
            &chosen,
            "OUTPUT mangle/istio-output istio-output POSTROUTING lo \
             PREROUTING mangle/istio-inbound mangle/istio-tproxy INPUT tproxy:15006",
        );
    });
}

#[test]
fn a_call_to_localhost_is_left_alone() {
    for (options, expected) in [
        (REDIRECT, "OUTPUT istio-output POSTROUTING lo PREROUTING INPUT :9000"),
        (TPROXY, "OUTPUT mangle/istio-output istio-output POSTROUTING lo PREROUTING mangle/istio-inbound INPUT :9000"),
    ] {
        in_pod(options, |walker, Net { loopback, .. }| {
            let walk = walker.send(packet(&format!("tcp {loopback}:40000 -> {loopback}:9000 {APP}")));
            goes(&walk, expected);
        });
    }
}

#[test]
fn with_tproxy_the_application_sees_its_clients() {
    in_pod(TPROXY, |walker, Net { pod, remote, .. }| {
        let inbound = walker.receive(packet(&format!("tcp {remote}:40000 -> {pod}:9000")), "eth0");
        goes(&inbound, "PREROUTING mangle/istio-inbound mangle/istio-tproxy INPUT tproxy:15006");
        ends_as(&inbound, &format!("{remote}:40000"), &format!("{pod}:9000"));
        let answer = walker.send(packet(&format!("tcp {pod}:9000 -> {remote}:40000 flags syn,ack {ROOT_PROXY}")));
        goes(&answer, "OUTPUT POSTROUTING eth0");
        let more = walker.receive(packet(&format!("tcp {remote}:40000 -> {pod}:9000 flags ack")), "eth0");
        goes(&more, "PREROUTING mangle/istio-inbound INPUT tproxy:15006");

        // The proxy uses the client's address; the answers return to it by the mark of the
        // connection.
        let passed_on = format!("tcp {remote}:41000 -> {pod}:9000 mark 1337");
        let onward = walker.send(packet(&format!("{passed_on} {ROOT_PROXY}")));
        goes(
            &onward,
            "OUTPUT mangle/istio-output istio-output POSTROUTING lo PREROUTING mangle/istio-inbound INPUT :9000",
        );
        let answer = walker.send(packet(&format!("tcp {pod}:9000 -> {remote}:41000 flags syn,ack {APP}")));
        goes(&answer, "OUTPUT POSTROUTING lo PREROUTING mangle/istio-inbound INPUT tproxy:41000");
        assert_eq!(last(&answer).mark, 1337, "{answer}");

        let outbound = walker.send(packet(&format!("tcp {pod}:40002 -> {remote}:9080 {APP}")));
        goes(
            &outbound,
            "OUTPUT istio-output istio-redirect POSTROUTING lo PREROUTING mangle/istio-inbound INPUT :15001",
        );
        let onward = walker.send(packet(&format!("tcp {pod}:40003 -> {remote}:9080 {ROOT_PROXY}")));
        goes(&onward, "OUTPUT istio-output POSTROUTING eth0");
    });
}

#[test]
fn dns_queries_go_to_the_agent_and_answers_return() {
    for options in [REDIRECT, TPROXY] {
        in_pod(&format!("{options} --redirect-dns"), |walker, Net { pod, nameserver, loopback, .. }| {
            let question = walker.send(packet(&format!("udp {pod}:5000 -> {nameserver}:53 {APP}")));
            let to_agent = "OUTPUT raw/istio-output-dns istio-output istio-output-dns POSTROUTING lo PREROUTING";
            goes(&question, &format!("{to_agent} INPUT :15053"));
            // The agent asks the server, from a port that may be the application's own: the zones
            // keep them apart.
            let onward = walker.send(packet(&format!("udp {pod}:5000 -> {nameserver}:53 {PROXY}")));
            goes(&onward, "OUTPUT raw/istio-output-dns istio-output POSTROUTING eth0");
            let answer = walker.receive(packet(&format!("udp {nameserver}:53 -> {pod}:5000")), "eth0");
            goes(&answer, "PREROUTING INPUT :5000");
            ends_as(&answer, &format!("{nameserver}:53"), &format!("{pod}:5000"));
            let reported = walker.send(packet(&format!("udp {loopback}:15053 -> {pod}:5000 {PROXY}")));
            goes(&reported, "OUTPUT raw/istio-output-dns POSTROUTING lo PREROUTING INPUT :5000");
            ends_as(&reported, &format!("{nameserver}:53"), &format!("{pod}:5000"));
        });
    }
}

#[test]
fn the_example_prints_the_life_of_a_request() {
    for (mode, name) in [("REDIRECT", "life-redirect.txt"), ("TPROXY", "life-tproxy.txt")] {
        let output = support::command(&support::example("life").to_string_lossy()).arg(mode).output();
        let output = output.expect("the example runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        support::golden(name, &String::from_utf8(output.stdout).expect("it prints text"));
    }
}

#[test]
fn the_example_has_help_and_one_line_errors_and_stops_at_a_closed_pipe() {
    let life = |words: &str| format!("{} {words}", support::example("life").display());
    let cases = [
        (life("--help"), 0, "Tells the life of a request", ""),
        (life("redirect"), 1, "", "life: [MODE]: \"redirect\" is not a mode; give REDIRECT or TPROXY; --help"),
        (life("TPROXY 5"), 1, "", "life: unexpected argument '5' found; --help lists all options"),
        (format!("{{ {}; echo \"code $?\" >&2; }} | true", life("")), 0, "", "code 0\n"),
    ];
    for (line, code, printed, complaint) in cases {
        let output = support::command("sh").args(["-c", &line]).output().expect("sh runs");
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("it prints text"));
        assert!(
            output.status.code() == Some(code) && out.starts_with(printed) && err.starts_with(complaint),
            "{line}: {err}"
        );
        assert!(err.lines().count() <= 1, "{err}");
    }
}
