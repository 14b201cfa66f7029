//! The 16 steps of a request through a sidecar with a real Envoy: the hooks and chains as the kernel
//! traces them, the ends as Envoy logs them, and the walk of the same packets.
//!
//! Runs where Envoy is, see `docs/testing.md`; `make e2e` installs it and prints the steps.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/diagram.rs"]
mod diagram;
#[path = "support/envoy/mod.rs"]
mod envoy;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::collections::HashMap;
use std::net::SocketAddr;

use diagram::{DIAGRAM, through, way};
use envoy::{Answer, Logged, Mesh, Mode, Net, V4, V6, is_long, needs_envoy};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, TraceSteps, host};
use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table, TcpFlags};
use nftmesh::plan::Transaction;
use nftmesh::sim::{Packet, Rules, Step, Walk, Walker};
use nftmesh::state::TraceEvent;
use support::say;
use support::version::{OWNED_TABLES, needs_linux};

/// A request through a sidecar: the four connections of the diagram.
struct Request {
    answer: Answer,
    /// What was logged: by the proxy of the first pod inbound, then outbound, then by that of the
    /// second pod.
    lines: [Logged; 3],
}

impl Request {
    /// Returns the first packets, as the logs have their addresses.
    fn packets(&self, mode: Mode) -> [String; 4] {
        let [inbound, outbound, _] = &self.lines;
        let proxy = if mode == Mode::Tproxy { "uid 0 gid 1337" } else { "uid 1337 gid 1337" };
        let mark = if mode == Mode::Tproxy { " mark 1337" } else { "" };
        let onward = |line: &Logged| line.onward.map(|(from, to)| format!("tcp {from} -> {to} {proxy}"));
        [
            format!("tcp {} -> {}", inbound.from, inbound.to),
            format!("{}{mark}", onward(inbound).unwrap_or_default()),
            format!("tcp {} -> {} uid 1000 gid 1000", outbound.from, outbound.to),
            onward(outbound).unwrap_or_default(),
        ]
    }

    /// Returns where the packets ended, and who reports it; the last one left by that interface.
    fn ends(&self, mode: Mode, left_by: &str) -> [(String, String); 4] {
        let [inbound, outbound, remote] = &self.lines;
        let taken = if mode == Mode::Tproxy {
            assert_eq!(inbound.at, inbound.to, "a transparent listener takes connections where they go");
            "tproxy:15006".to_owned()
        } else {
            format!(":{}", inbound.at.port())
        };
        let onward = self.answer.onward.as_deref().expect("it was asked to go on");
        [
            (taken, format!("Envoy: {inbound}")),
            (format!(":{}", self.answer.local.port()), format!("the application, asked by {}", self.answer.peer)),
            (format!(":{}", outbound.at.port()), format!("Envoy: {outbound}")),
            (left_by.to_owned(), format!("Envoy of {}: {remote}", onward.name)),
        ]
    }
}

/// Makes every hook show in a trace.
fn hooks() -> Ruleset {
    let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
    let chains = hooks.map(|hook| Chain::base(hook.name(), ChainType::Filter, hook, Priority(i32::MIN + 1)));
    Ruleset::new().table(chains.into_iter().fold(Table::new(Family::Inet, "hooks"), Table::chain))
}

#[test]
fn the_sixteen_steps_are_those_that_envoy_and_the_kernel_report() {
    if !needs_envoy() || !needs_linux(OWNED_TABLES, "tables with an owner") {
        return;
    }
    for mode in [Mode::Redirect, Mode::Tproxy] {
        let mut mesh = Mesh::new(mode);
        for net in [V4, V6] {
            // Neighbours are found, so that no packet is repeated.
            let answer = mesh.client_calls(net.pod(0), Some(net.pod(1)));
            follow(&mut mesh, net, answer);

            let (mut trace, mut steps, walked) = mesh.pods[0].namespace.run(|| {
                let walked = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
                let mut kernel = Kernel::open().expect("a socket");
                kernel.commit(&Transaction::add(hooks())).expect("nothing is there by that name");
                let begins = TraceFilter::from(Rule::new().tcp_flags(TcpFlags::SYN));
                (Trace::open(begins).expect("may be opened"), TraceSteps::open().expect("may be read"), walked)
            });
            let answer = mesh.client_calls(net.pod(0), Some(net.pod(1)));
            let request = follow(&mut mesh, net, answer);
            let packets = request.packets(mode);
            let seen = traced(&mut trace, &mut steps, &packets);
            drop(trace);

            let rules = Rules::try_from(&walked).expect("rules of our own");
            let host = mesh.pods[0].namespace.run(host).expect("a host");
            let mut walker = Walker::new(&rules, &host);
            let walks: Vec<Walk> = packets
                .iter()
                .enumerate()
                .map(|(number, text)| {
                    let packet: Packet = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
                    if number == 0 { walker.receive(packet, "eth0") } else { walker.send(packet) }
                })
                .collect();
            show_steps(mode, &request, &walks, &seen);
            mesh.pods[0].namespace.run(|| {
                let mut kernel = Kernel::open().expect("a socket");
                let table = Table::new(Family::Inet, "hooks");
                kernel.commit(&Transaction::new().delete_table(&(&table).into())).expect("it is there");
            });
        }
    }
}

/// Finds the lines of a request to the first pod, whose application asked the second.
fn follow(mesh: &mut Mesh, net: Net, answer: Answer) -> Request {
    let inbound = mesh.assert_way(&answer, "app0", &[net.inbound(0)]);
    let onward = answer.onward.as_deref().expect("it was asked to go on");
    let outbound = mesh.assert_way(onward, "app1", &[net.outbound(0, net.pod(1)), net.inbound(1)]);
    let lines = [inbound, outbound].concat().try_into().expect("a line for each");
    Request { answer, lines }
}

/// Returns the steps of these packets in the kernel's trace.
fn traced(trace: &mut Trace, steps: &mut TraceSteps, packets: &[String; 4]) -> Vec<Vec<Step>> {
    let sources = packets.each_ref().map(|text| {
        let packet: Packet = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        SocketAddr::from((packet.source, packet.sport))
    });
    let mut taken: Vec<Vec<Step>> = vec![Vec::new(); packets.len()];
    let mut of = HashMap::new();
    // All has been reported when the answer is there.
    while let Some(event) = trace.try_next().expect("the socket can be read") {
        let TraceEvent::Message(message) = event else { panic!("{event}") };
        let told = steps.take(&message).expect("rules can be read");
        assert_eq!(told.unknown, None);
        // A packet that comes in again through lo has another number.
        let comes_in = told.steps.iter().any(|step| matches!(step, Step::Loopback));
        let first = told.steps.iter().find_map(|step| match step {
            Step::Hook { packet, .. } => Some(packet),
            _ => None,
        });
        if let Some(packet) = first.filter(|_| comes_in || told.begins.is_some()) {
            let source = SocketAddr::from((packet.source, packet.sport));
            of.insert(message.id, sources.iter().position(|known| *known == source));
        }
        let packet = of.get(&message.id).copied().flatten().and_then(|number: usize| taken.get_mut(number));
        packet.into_iter().for_each(|packet| packet.extend_from_slice(&told.steps));
    }
    taken
}

/// Prints the steps of the diagram as the walk and as Envoy and kernel have them, and asserts that
/// all are equal.
fn show_steps(mode: Mode, request: &Request, walks: &[Walk], seen: &[Vec<Step>]) {
    let family = if request.answer.from.is_ipv4() { "IPv4" } else { "IPv6" };
    let mut table = format!("{} {family}: step, diagram, walk, seen, by whom\n", mode.name());
    let outgoing = seen.last().into_iter().flatten().rev().find_map(|step| match step {
        Step::Hook { outgoing, .. } => outgoing.as_ref(),
        _ => None,
    });
    let ends = request.ends(mode, outgoing.map_or("nowhere", |interface| &interface.name));
    for (number, ((walk, seen), (end, by))) in walks.iter().zip(seen).zip(ends).enumerate() {
        let (walked, mut seen) = (way(walk), through(seen));
        seen.push(end);
        let reported = &seen;
        assert_eq!(&walked, reported, "{mode:?} {family}: the walk, and what is reported\n{walk}");
        if mode == Mode::Tproxy {
            table.push_str(&format!("    {:60} {}\n", walked.join(" "), by));
            continue;
        }
        let mut pairs = walked.iter().zip(reported);
        for (step, drawn, ours, _) in DIAGRAM.iter().filter(|(.., of)| *of == number) {
            let (walked, seen) =
                pairs.find(|(walked, _)| walked == ours).unwrap_or_else(|| panic!("step {step}: {walk}"));
            let by = if Some(seen) == reported.last() { &by } else { "the kernel's trace" };
            table.push_str(&format!("{step:4}  {drawn:24} {walked:20} {seen:20} {by}\n"));
        }
    }
    if is_long() {
        say(table);
    }
}
