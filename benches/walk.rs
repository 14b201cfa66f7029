//! What it costs to ask instead of trying: walks against the kernel's own way of a packet,
//! comparisons and imports against the programs that check the same text, all in one run.
//!
//! ```text
//! cargo bench --bench walk              everything
//! cargo bench --bench walk -- compare   what has this in its name
//! ```
//! Every line is a median over interleaved rounds; what the kernel or another program does, it does
//! in a network namespace of its own.

mod common;
#[path = "../tests/support/sidecar.rs"]
mod sidecar;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use common::Times;
use ipnetwork::{IpNetwork, Ipv4Network};
use nftmesh::import::{Unknown, iptables_save};
use nftmesh::kernel::{Kernel, routed};
use nftmesh::mesh::istio::{InboundPorts, IstioConfig, ServiceCidrs};
use nftmesh::model::{Hook, IpFamily, Ruleset};
use nftmesh::plan::Transaction;
use nftmesh::routes::RoutePlan;
use nftmesh::sim::{Comparison, End, Host, Interface, Packet, Rules, Situation, Walk, Walker, compare, walk_hook};
use sidecar::CASES;

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let cases: [(&str, fn()); 4] =
        [("walk", walks), ("compare", compares), ("compare the 12 cases", pairs), ("import of 10,000 lines", imports)];
    for (name, case) in cases {
        if name.contains(&wanted) {
            support::in_fresh_netns(case);
        }
    }
}

/// A sidecar that captures everything, in a pod.
fn in_pod(options: &str) -> (Ruleset, Rules, Host) {
    let options = format!("ISTIO_DUAL_STACK=true {options} -i '*' -x '' -b '*' -d 15090,15021,15020");
    let config = sidecar::config(&options, "nameserver 10.96.0.10");
    let host = Host::pod(["10.77.0.2/24", "fd77::2/64"].map(|net| net.parse().expect("a network")));
    let ruleset = Ruleset::from(&config);
    let rules = rules(&ruleset);
    (ruleset, rules, routed(host, &RoutePlan::from(&config)))
}

fn rules(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).expect("a rule set with programs")
}

fn packet(text: &str) -> Packet {
    text.parse().expect("a packet")
}

/// A batch of walks, each the first of a connection of its own.
fn batch(rules: &Rules, host: &Host, mut packet: Packet, way: fn(&mut Walker<'_>, Packet) -> Walk) {
    let mut walker = Walker::new(rules, host);
    for port in 0..BATCH {
        packet.sport = 20_000 + port;
        let walk = black_box(way(&mut walker, packet.clone()));
        assert!(matches!(walk.end, End::Delivered(_) | End::Sent(_)), "{walk}");
    }
}

fn walks() {
    let (ruleset, redirect, host) = in_pod("");
    let (_, tproxy, tproxy_host) = in_pod("-m TPROXY");
    Kernel::open().and_then(|mut kernel| kernel.commit(&Transaction::replace(ruleset))).expect("a valid rule set");
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 9)).expect("a port of a fresh namespace");

    let out = || packet("tcp 10.77.0.2:40000 -> 10.88.0.9:9000 uid 1000 gid 1000");
    let inward = || packet("tcp 10.88.0.9:40000 -> 10.77.0.2:9000");
    let itself = || packet("udp 127.0.0.1:9 -> 127.0.0.1:9 uid 1000 gid 1000");
    let send: fn(&mut Walker<'_>, Packet) -> Walk = |walker, packet| walker.send(packet);
    let receive: fn(&mut Walker<'_>, Packet) -> Walk = |walker, packet| walker.receive(packet, "eth0");
    let lines = [
        ("the same datagram", &redirect, &host, itself(), send),
        ("REDIRECT, outbound", &redirect, &host, out(), send),
        ("REDIRECT, inbound", &redirect, &host, inward(), receive),
        ("TPROXY, outbound", &tproxy, &tproxy_host, out(), send),
        ("TPROXY, inbound", &tproxy, &tproxy_host, inward(), receive),
    ];
    let mut at_output = Situation::new(out());
    at_output.outgoing = Some(Interface::new(2, "eth0"));
    let story = Walker::new(&redirect, &host).send(out());

    let (mut kernel, mut ours) = (Times::default(), lines.each_ref().map(|_| Times::default()));
    let (mut hook, mut printed) = (Times::default(), Times::default());
    for round in 0..41 {
        kernel.time(|| datagrams(&socket, round));
        for (times, (_, rules, host, packet, way)) in ours.iter_mut().zip(&lines) {
            times.time(|| batch(rules, host, packet.clone(), *way));
        }
        hook.time(|| (0..BATCH).for_each(|_| drop(black_box(walk_hook(&redirect, Hook::Output, &at_output)))));
        printed.time(|| (0..BATCH).for_each(|_| drop(black_box(story.to_string()))));
    }
    println!("a walk through the sidecar, first packet of a connection");
    let line = |what: &str, times: &Times, against: &str| {
        let one = times.median() / u32::from(BATCH);
        println!("  {what:<26} {one:>10.2?}   {:>9.0} /s   {against}", 1.0 / one.as_secs_f64());
    };
    line("kernel, datagram over lo", &kernel, "a new connection each, sent and received: the peer");
    for ((what, ..), times) in lines.iter().zip(&ours) {
        line(what, times, &format!("{:.2} of the kernel's", times.ratio(&kernel)));
    }
    line("its story printed", &printed, &format!("{:.2} of the kernel's (REDIRECT, outbound)", printed.ratio(&kernel)));
    line("hook output, walk_hook", &hook, &format!("{:.2} of the kernel's", hook.ratio(&kernel)));
}

/// Sends datagrams round through lo, each to another address, so that each begins a connection.
fn datagrams(socket: &UdpSocket, round: u8) {
    for number in 0..BATCH {
        let [high, low] = number.to_be_bytes();
        let to = SocketAddr::from(([127, 1 + round, high, low], 9));
        assert_eq!(socket.send_to(&[], to).expect("sent"), 0);
        assert_eq!(socket.recv(&mut []).expect("received"), 0);
    }
}

/// Packets in a round.
const BATCH: u16 = 500;

/// The default sidecar, with as many networks excluded.
fn default(excluded: u32) -> Ruleset {
    let net = |at: u32| format!("{}.{}.{}.0/24", 11 + at % 7, at / 256, at % 256).parse().expect("a network");
    let nets = (0..excluded).map(|at| IpNetwork::V4(net(at))).collect::<Vec<IpNetwork>>();
    let ports = InboundPorts::All { except: [15021].into_iter().collect() };
    let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All).inbound_ports(ports).exclude_cidrs(nets);
    Ruleset::from(&config.build().expect("a configuration"))
}

/// `nft -c -f -`: what people run today before they dare.
fn nft_check(text: &str) {
    support::succeed("nft", "-c -f -", text);
}

fn compares() {
    let [small, large] = [default(0), default(1000)];
    let [a, b] = [&small, &large].map(rules);
    let [small, large] = [small, large].map(|ruleset| ruleset.to_string());
    let mut situation = Situation::new(packet("tcp 10.77.0.2:40000 -> 10.88.0.9:9000 uid 1000 gid 1000"));
    situation.outgoing = Some(Interface::new(2, "eth0"));
    let (mut nft_small, mut nft_large, mut one) = (Times::default(), Times::default(), Times::default());
    let mut ours = [(); 3].map(|()| Times::default());
    let mut classes = [0; 3];
    for _ in 0..15 {
        nft_small.time(|| nft_check(&small));
        nft_large.time(|| nft_check(&large));
        one.time(|| (0..BATCH).for_each(|_| drop(black_box(walk_hook(&a, Hook::Output, &situation)))));
        let sides = [(&a, &a), (&a, &b), (&b, &b)];
        for ((times, classes), (a, b)) in ours.iter_mut().zip(&mut classes).zip(sides) {
            times.time(|| match compare(a, b) {
                Comparison::Equivalent { classes: found, .. } => *classes = found,
                Comparison::Differs(_) => *classes = 0,
                other => panic!("{other:?}"),
            });
        }
    }
    println!("compare, over all packets");
    println!("  nft -c -f, default         {:>10.1?}   the peer", nft_small.median());
    println!("  nft -c -f, 1,000 CIDRs     {:>10.1?}   the peer", nft_large.median());
    let names = ["default with itself", "default, 1,000 CIDRs", "1,000 CIDRs with itself"];
    for ((name, times), (peer, classes)) in
        names.iter().zip(&ours).zip([&nft_small, &nft_large, &nft_large].into_iter().zip(classes))
    {
        let found = match classes {
            0 => "a counterexample".to_owned(),
            classes => {
                let walks = 2.0 * classes as f64 * one.median().as_secs_f64() / f64::from(BATCH);
                format!("{classes} classes, {:.2} of a walk_hook a side for each", times.median().as_secs_f64() / walks)
            }
        };
        println!("  {name:<26} {:>10.1?}   {:.2} of nft -c; {found}", times.median(), times.ratio(peer));
    }
}

fn pairs() {
    let all = CASES.iter().map(|case| Ruleset::from(&sidecar::config(case.options, "nameserver 10.96.0.10")));
    let all: Vec<Ruleset> = all.collect();
    let programs: Vec<Rules> = all.iter().map(rules).collect();
    let texts: Vec<String> = all.iter().map(Ruleset::to_string).collect();
    let (mut nft, mut ours, mut longest) = (Times::default(), Times::default(), Duration::ZERO);
    for _ in 0..3 {
        nft.time(|| texts.iter().for_each(|text| nft_check(text)));
        ours.time(|| {
            for a in &programs {
                for b in &programs {
                    let mut one = Times::default();
                    one.time(|| drop(black_box(compare(a, b))));
                    longest = longest.max(one.median());
                }
            }
        });
    }
    println!("compare the 12 cases, 144 pairs");
    println!("  nft -c -f, 12 texts        {:>10.1?}   the peer", nft.median());
    println!(
        "  all pairs                  {:>10.1?}   {:.2} of it; the longest took {longest:.1?} (goal <= 5 s)",
        ours.median(),
        ours.ratio(&nft)
    );
}

fn imports() {
    let mut text =
        String::from("*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:MESH - [0:0]\n-A OUTPUT -j MESH\n");
    for at in 0..10_000_u32 {
        let net = Ipv4Network::new(Ipv4Addr::from(0x0b00_0000 + at * 256), 24).expect("24 bits are a prefix");
        let line = match at % 3 {
            0 => format!("-A MESH -d {net} -p tcp -m tcp --dport 80:90 -j RETURN"),
            1 => format!("-A MESH ! -o lo -d {net} -p tcp -m owner --uid-owner 1000 -j REDIRECT --to-ports 15001"),
            _ => format!("[3:180] -A MESH -s {net} -p udp -m multiport --dports 53,67,68 -j ACCEPT"),
        };
        writeln!(text, "{line}").expect("a string takes it");
    }
    text.push_str("COMMIT\n");
    let (mut ours, mut programs, mut restore) = (Times::default(), Times::default(), Times::default());
    for _ in 0..11 {
        restore.time(|| drop(support::succeed("iptables-nft-restore", "--test", &text)));
        let mut imported = None;
        ours.time(|| imported = iptables_save(&text, IpFamily::Ipv4, Unknown::Refuse).ok());
        let imported = imported.expect("a text that iptables takes").ruleset;
        programs.time(|| drop(black_box(rules(&imported))));
    }
    println!("import of 10,000 lines");
    println!("  iptables-nft-restore -t    {:>10.1?}   the peer", restore.median());
    println!("  read as a rule set         {:>10.1?}   {:.3} of it", ours.median(), ours.ratio(&restore));
    println!("  made ready for walks       {:>10.1?}   {:.3} of it", programs.median(), programs.ratio(&restore));
}
