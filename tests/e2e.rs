//! Two pods with real Envoys: what they log is what happened, connection by connection.
//!
//! Runs where Envoy is, see `docs/testing.md`; `make e2e` installs it, makes more connections and
//! prints the 16 steps of a request.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "what is not there fails the test")]

#[path = "support/diagram.rs"]
mod diagram;
#[path = "support/envoy/mod.rs"]
mod envoy;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::env;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;

use diagram::{DIAGRAM, through, way};
use envoy::{Answer, Envoy, Logged, Mesh, Mode, Net, V4, V6, needs_envoy};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, TraceSteps, host};
use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table, TcpFlags};
use nftmesh::plan::Transaction;
use nftmesh::sim::{Packet, Rules, Step, Walk, Walker};
use nftmesh::state::TraceEvent;
use support::say;
use support::version::{OWNED_TABLES, needs_linux};

/// Istio's.
const MODES: [Mode; 2] = [Mode::Redirect, Mode::Tproxy];
const ALL: [Mode; 3] = [Mode::Kuma, Mode::Redirect, Mode::Tproxy];

/// Returns whether `make e2e` runs this, which takes its time and prints what was seen.
fn is_long() -> bool {
    env::var_os("NFTMESH_E2E").is_some()
}

#[test]
fn every_connection_is_logged_by_the_proxies_on_its_way_and_by_no_other() {
    if !needs_envoy() {
        return;
    }
    for mode in ALL {
        let mut mesh = Mesh::new(mode);
        let mut answers = Vec::new();
        for net in [V4, V6] {
            let mut goes = |mesh: &mut Mesh, answer: Answer, name: &str, hops: &[_]| {
                mesh.assert_way(&answer, name, hops);
                answers.push(answer);
            };
            // From outside, and from pod to pod, by address and by service.
            for pod in [0, 1] {
                let name = format!("app{pod}");
                let answer = mesh.client_calls(net.pod(pod), None);
                goes(&mut mesh, answer, &name, &[net.inbound(pod)]);
                let answer = mesh.app_calls(pod, net.node(pod));
                goes(&mut mesh, answer, "outside", &[net.outbound(pod, net.node(pod))]);

                let (other, others) = (1 - pod, format!("app{}", 1 - pod));
                let answer = mesh.app_calls(pod, net.pod(other));
                goes(&mut mesh, answer, &others, &[net.outbound(pod, net.pod(other)), net.inbound(other)]);
                let answer = mesh.app_calls(pod, net.service(other));
                goes(&mut mesh, answer, &others, &[net.service_at(pod, other), net.inbound(other)]);

                // Its own service goes through the proxy both ways, its own address through none.
                let answer = mesh.app_calls(pod, net.service(pod));
                goes(&mut mesh, answer, &name, &[net.service_at(pod, pod), net.inbound(pod)]);
                let answer = mesh.app_calls(pod, net.pod(pod));
                goes(&mut mesh, answer, &name, &[]);

                // What is excluded: ports both ways, and a range.
                let answer = mesh.client_calls(net.excluded_inbound(pod), None);
                goes(&mut mesh, answer, &name, &[]);
                let answer = mesh.app_calls(pod, net.excluded_outbound(pod));
                goes(&mut mesh, answer, "outside", &[]);
                let answer = mesh.app_calls(pod, net.excluded_range());
                goes(&mut mesh, answer, "outside", &[]);
                // A port excluded inbound is not excluded outbound.
                let answer = mesh.app_calls(pod, net.excluded_inbound(other));
                goes(&mut mesh, answer, &others, &[net.outbound(pod, net.excluded_inbound(other))]);
            }
        }
        mesh.assert_nothing_more(&answers);
    }
}

#[test]
fn with_its_envoy_killed_nothing_reaches_a_pod_or_leaves_it_until_another_listens() {
    if !needs_envoy() {
        return;
    }
    for mode in ALL {
        let mut mesh = Mesh::new(mode);
        let mut answers = Vec::new();
        for is_back in [false, true] {
            for net in [V4, V6] {
                let inbound = mesh.client_calls(net.pod(0), None);
                mesh.assert_way(&inbound, "app0", &[net.inbound(0)]);
                let outbound = mesh.app_calls(0, net.pod(1));
                mesh.assert_way(&outbound, "app1", &[net.outbound(0, net.pod(1)), net.inbound(1)]);
                answers.extend([inbound, outbound]);
            }
            if is_back {
                break;
            }
            drop(mesh.pods[0].envoy.take());
            thread::scope(|scope| {
                for net in [V4, V6] {
                    let mesh = &mesh;
                    for (from, to) in [
                        (None, net.pod(0)),
                        (Some(1), net.pod(0)),
                        (Some(0), net.pod(1)),
                        (Some(0), net.node(0)),
                        (Some(0), net.service(0)),
                    ] {
                        scope.spawn(move || mesh.fails(from, to));
                    }
                }
            });
            for net in [V4, V6] {
                // What is excluded does not need it.
                let answer = mesh.app_calls(0, net.excluded_range());
                mesh.assert_way(&answer, "outside", &[]);
                let direct = mesh.client_calls(net.excluded_inbound(0), None);
                mesh.assert_way(&direct, "app0", &[]);
                answers.extend([answer, direct]);
                // The other pod's proxy logged the attempt that ended at this pod.
                mesh.forget_attempt(1, net.pod(0));
            }
            mesh.pods[0].start(mode);
        }
        mesh.assert_nothing_more(&answers);
    }
}

#[test]
fn an_envoy_that_starts_late_gets_the_connections_that_were_held_for_it() {
    if !needs_envoy() {
        return;
    }
    for mode in MODES {
        let mut mesh = Mesh::new(mode);
        drop(mesh.pods[0].envoy.take());
        let mut guard = mesh.guard(0, &["--hold", "1h"]);
        guard.until("guard: watching");
        let held = || mesh.pods[0].namespace.run(|| support::nft("list table inet mesh-hold"));
        let (answers, envoy) = thread::scope(|scope| {
            let calls = [V4, V6].map(|net| {
                let mesh = &mesh;
                scope.spawn(move || mesh.app_calls(0, net.pod(1)))
            });
            let is_held = || !held().contains("counter packets 0 ");
            assert!(support::patience::comes_true(is_held), "{}", held());
            let pod = &mesh.pods[0];
            let envoy = Envoy::start(&pod.namespace, &pod.folder, mode);
            (calls.map(|call| call.join().expect("it is answered")), envoy)
        });
        mesh.pods[0].envoy = Some(envoy);
        for (net, answer) in [V4, V6].into_iter().zip(&answers) {
            mesh.assert_way(answer, "app1", &[net.outbound(0, net.pod(1)), net.inbound(1)]);
        }
        let tables = || mesh.pods[0].namespace.run(|| support::nft("list tables"));
        assert!(support::patience::comes_true(|| !tables().contains("mesh-hold")), "{}", tables());
        assert_eq!(guard.end("TERM").0, Some(0));
        mesh.assert_nothing_more(&answers);
    }
}

#[test]
fn every_connection_of_a_load_is_logged_once_with_its_own_addresses() {
    if !needs_envoy() {
        return;
    }
    for mode in MODES {
        let mesh = Mesh::new(mode);
        let answers = Mutex::new(Vec::new());
        let each = if is_long() { 1000 } else { 25 };
        thread::scope(|scope| {
            for net in [V4, V6] {
                for client in 0..2 {
                    let (mesh, answers) = (&mesh, &answers);
                    scope.spawn(move || {
                        for _ in 0..each {
                            let answer = match client {
                                0 => mesh.client_calls(net.pod(0), Some(net.pod(1))),
                                _ => mesh.app_calls(1, net.service(0)),
                            };
                            answers.lock().expect("no client panics with the lock").push((net, client, answer));
                        }
                    });
                }
            }
        });
        let mut mesh = mesh;
        let answers = answers.into_inner().expect("no client panics with the lock");
        for (net, client, answer) in &answers {
            if *client == 0 {
                mesh.assert_way(answer, "app0", &[net.inbound(0)]);
                let onward = answer.onward.as_deref().expect("it was asked to go on");
                mesh.assert_way(onward, "app1", &[net.outbound(0, net.pod(1)), net.inbound(1)]);
            } else {
                mesh.assert_way(answer, "app0", &[net.service_at(1, 0), net.inbound(0)]);
            }
        }
        if is_long() {
            let connections: usize = answers.iter().map(|(_, client, _)| 3 - client).sum();
            say(format_args!("{}: {connections} connections, each logged once", mode.name()));
        }
        let answers: Vec<Answer> = answers.into_iter().map(|(.., answer)| answer).collect();
        mesh.assert_nothing_more(&answers);
    }
}

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
    for mode in MODES {
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
    let mut of = std::collections::HashMap::new();
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
        if let Some(Some(number)) = of.get(&message.id) {
            taken[*number].extend(told.steps);
        }
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
