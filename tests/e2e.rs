//! Two pods with real Envoys: what they log is what happened, connection by connection.
//!
//! Runs where Envoy is, see `docs/testing.md`; `make e2e` installs it and makes more connections.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

#[path = "support/envoy/mod.rs"]
mod envoy;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use envoy::{Answer, Envoy, Mesh, Mode, Net, V4, V6, is_long, needs_envoy};
use support::patience::comes_true;
use support::say;

/// Istio's.
const MODES: [Mode; 2] = [Mode::Redirect, Mode::Tproxy];
const ALL: [Mode; 3] = [Mode::Kuma, Mode::Redirect, Mode::Tproxy];

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
            assert!(comes_true(is_held), "{}", held());
            let pod = &mesh.pods[0];
            let envoy = Envoy::start(&pod.namespace, &pod.folder, mode);
            (calls.map(|call| call.join().expect("it is answered")), envoy)
        });
        mesh.pods[0].envoy = Some(envoy);
        for (net, answer) in [V4, V6].into_iter().zip(&answers) {
            mesh.assert_way(answer, "app1", &[net.outbound(0, net.pod(1)), net.inbound(1)]);
        }
        let tables = || mesh.pods[0].namespace.run(|| support::nft("list tables"));
        assert!(comes_true(|| !tables().contains("mesh-hold")), "{}", tables());
        assert_eq!(guard.end("TERM").0, Some(0));
        mesh.assert_nothing_more(&answers);
    }
}

/// Ends clients when dropped, even by a panic.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_connection_of_a_load_goes_past_an_envoy_that_is_killed_and_started_again() {
    if !needs_envoy() {
        return;
    }
    for mode in MODES {
        let mut mesh = Mesh::new(mode);
        drop(mesh.pods[0].envoy.take());
        let mesh = mesh;
        let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
        let proxied = |answer: &Answer| {
            // Past the proxy, the application would see the client's own end.
            assert_ne!(answer.from, answer.peer, "{mode:?}: {answer:?}");
            answered.fetch_add(1, Ordering::Relaxed);
        };
        let client = |net: Net, pod: Option<usize>| {
            while !stop.load(Ordering::Relaxed) {
                let to = if pod.is_some() { net.node(0) } else { net.pod(0) };
                if let Ok(answer) = mesh.try_call(pod, to) {
                    proxied(&answer);
                }
            }
        };
        thread::scope(|scope| {
            let stop_at_last = StopOnDrop(&stop);
            let client = &client;
            for net in [V4, V6] {
                scope.spawn(move || client(net, None));
                scope.spawn(move || client(net, Some(0)));
            }
            let serves = || {
                let before = answered.load(Ordering::Relaxed);
                comes_true(|| answered.load(Ordering::Relaxed) > before + 20)
            };
            let pod = &mesh.pods[0];
            let answers = (0..if is_long() { 10 } else { 2 }).all(|_| {
                let envoy = Envoy::start(&pod.namespace, &pod.folder, mode);
                let serves = serves();
                drop(envoy);
                serves
            });
            drop(stop_at_last);
            assert!(answers, "{mode:?}: Envoy answers no longer");
        });
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
