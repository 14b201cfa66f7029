//! Several writers in one network namespace: the final state is the configuration of one of them,
//! rules and routes, whichever are stopped or killed. `NFTMESH_SOAK=1` (make soak) runs 500 rounds
//! of each kind instead of a few.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]
#![expect(clippy::indexing_slicing, reason = "an index that is not there fails the test")]

mod support;

use std::collections::BTreeMap;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, thread};

use nftmesh::kernel::{Kernel, RouteTable};
use nftmesh::mesh::istio::{InboundPorts, Interception, IstioConfig, PortRanges, ServiceCidrs};
use nftmesh::pod::{Leftovers, Pod};
use support::patience::slowness;
use support::running::Running;
use support::{NetNs, command, example, in_fresh_netns, ip, nft, say};

/// No two have the same rules, and most differ in routes too.
const CONFIGURATIONS: &[&str] = &[
    "-m REDIRECT -i * -b *",
    "-m TPROXY -i * -b *",
    "-m TPROXY -i 10.0.0.0/8,172.16.0.0/12 -b 80,443 --istio-inbound-tproxy-mark 7 --istio-inbound-tproxy-route-table 7",
    "-m TPROXY -i 10.0.0.0/8,192.168.0.0/16 -x 10.9.0.0/16,10.10.0.0/16 -b * --istio-inbound-tproxy-mark 1400",
    "-m REDIRECT -i 10.0.0.0/8,172.16.0.0/12 -q 9000 -b 80",
    "-m REDIRECT -i 10.0.0.0/8,192.168.0.0/16 -x 10.9.0.0/16,10.11.0.0/16 -b 80,443 -d 15090",
    "-m TPROXY -i * -b * -d 15090 --istio-inbound-tproxy-route-table 1000",
    "-m REDIRECT -i  -b * -g 1337,1338 -c eth5",
];

/// Number of rounds: few, or 500 in the soak.
fn rounds(few: usize) -> usize {
    if env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1") { 500 } else { few }
}

fn writer(configuration: &str) -> Child {
    // An option may have an empty value, which is a word too.
    let words = configuration.split(' ');
    let mut command = command(&example("istio-init").to_string_lossy());
    command.args(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the example runs")
}

/// Waits for a writer. It has patience for ten seconds with any one of the others: where everything
/// takes so many times longer (`NFTMESH_SLOWNESS`), it is started again so many times less one.
fn until_its_turn(configuration: &str, first: Child) -> Output {
    let mut output = first.wait_with_output().expect("it is our child");
    for _ in 1..slowness() {
        if !String::from_utf8_lossy(&output.stderr).contains("has been at work on ") {
            break;
        }
        output = writer(configuration).wait_with_output().expect("it is our child");
    }
    output
}

#[track_caller]
fn install(configuration: &str) -> String {
    let output = until_its_turn(configuration, writer(configuration));
    assert!(output.status.success(), "{configuration}: {}", String::from_utf8_lossy(&output.stderr));
    state()
}

/// Returns rules and routes of this thread's namespace; tables, chains and sets by name, since they
/// are listed in order of creation.
fn state() -> String {
    let listed = nft("-s list ruleset");
    let table = |table: &str| {
        let (head, body) = table.split_once('\n').unwrap_or((table, ""));
        let mut blocks: Vec<&str> = body.trim_end_matches("\n\t}\n}\n").split("\n\t}\n").map(str::trim).collect();
        blocks.sort_unstable();
        format!("{head}\n{}\n", blocks.join("\n"))
    };
    let mut tables: Vec<String> = listed.split_inclusive("\n}\n").map(table).collect();
    tables.sort_unstable();
    let routes = [
        "-4 rule",
        "-6 rule",
        "-4 route show table all proto 146",
        "-6 route show table all proto 146",
        "-6 addr show dev lo scope global",
    ];
    // The kernel gives a new policy rule the preference just before the first existing one.
    let listed = routes.map(ip).join("\n");
    let routes = listed.lines().map(|line| line.split_once(":\t").map_or(line, |(_preference, rule)| rule));
    format!("{}{}", tables.concat(), routes.collect::<Vec<_>>().join("\n"))
}

/// Returns the state that each configuration leaves without other writers.
fn states() -> Vec<String> {
    let alone = |configuration: &&str| NetNs::fresh().run(|| install(configuration));
    let states: Vec<String> = CONFIGURATIONS.iter().map(alone).collect();
    for (index, state) in states.iter().enumerate() {
        assert_eq!(states.iter().position(|other| other == state), Some(index), "two configurations are the same");
    }
    states
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What else happens to a writer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    /// Stopped for a moment, then continued.
    Paused,
    Spared,
}

/// Runs one round of writers that start at once; returns configuration, fate and output of each.
fn round(count: u64, dice: &mut Dice, fates: &[Fate]) -> Vec<(usize, Fate, Output)> {
    let first = dice.below(8);
    let started: Vec<_> = (0..count)
        .map(|number| {
            let which = usize::try_from((first + number) % 8).expect("below 8");
            let fate = fates[usize::try_from(dice.below(fates.len() as u64)).expect("small")];
            (which, fate, dice.below(12_000), writer(CONFIGURATIONS[which]))
        })
        .collect();
    thread::scope(|scope| {
        let ended: Vec<_> = started
            .into_iter()
            .map(|(which, fate, delay, child)| {
                scope.spawn(move || {
                    let signal = |name: &str| {
                        // It may have ended meanwhile; its pid is not reused before it is waited
                        // for.
                        drop(command("kill").args([name, &child.id().to_string()]).stderr(Stdio::null()).status());
                    };
                    thread::sleep(Duration::from_micros(if fate == Fate::Spared { 0 } else { delay }));
                    match fate {
                        Fate::Killed => signal("-KILL"),
                        Fate::Paused => {
                            signal("-STOP");
                            thread::sleep(Duration::from_micros(delay));
                            signal("-CONT");
                        }
                        Fate::Spared => {}
                    }
                    (which, fate, until_its_turn(CONFIGURATIONS[which], child))
                })
            })
            .collect();
        ended.into_iter().map(|ended| ended.join().expect("no panic")).collect()
    })
}

#[test]
fn of_two_or_eight_writers_one_wins_with_rules_and_routes() {
    in_fresh_netns(|| {
        let states = states();
        let mut dice = Dice(1);
        for (count, few) in [(2, 20), (8, 10)] {
            let mut left = BTreeMap::new();
            for number in 0..rounds(few) {
                let ended = round(count, &mut dice, &[Fate::Spared, Fate::Paused]);
                for (which, _, output) in &ended {
                    let printed = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "{}: {printed}", CONFIGURATIONS[*which]);
                }
                let state = state();
                let winner = ended.iter().map(|(which, ..)| *which).find(|which| states[*which] == state);
                let winner =
                    winner.unwrap_or_else(|| panic!("round {number} of {count} writers is a mixture:\n{state}"));
                *left.entry(winner).or_insert(0) += 1;
            }
            say(format_args!("{count} writers: each configuration was left so often: {left:?}"));
            assert!(left.len() > 1, "always the same: {left:?}");
        }
    });
}

#[test]
fn the_next_writer_repairs_what_a_killed_one_left() {
    in_fresh_netns(|| {
        let states = states();
        let mut dice = Dice(2);
        let (mut killed, mut unfinished) = (0, 0);
        for number in 0..rounds(20) {
            let ended = round(4, &mut dice, &[Fate::Killed, Fate::Killed, Fate::Paused, Fate::Spared]);
            for (which, fate, output) in &ended {
                let printed = String::from_utf8_lossy(&output.stderr);
                let was_killed = output.status.signal() == Some(9);
                assert!(
                    output.status.success() || (*fate == Fate::Killed && was_killed),
                    "{}: {printed}",
                    CONFIGURATIONS[*which]
                );
                killed += usize::from(was_killed);
            }
            let left = state();
            unfinished += usize::from(!states.contains(&left));
            let may_be_unfinished = ended.iter().any(|(.., output)| output.status.signal() == Some(9));
            assert!(may_be_unfinished || states.contains(&left), "round {number}: nobody was killed:\n{left}");
            let next = usize::try_from(dice.below(8)).expect("below 8");
            assert_eq!(install(CONFIGURATIONS[next]), states[next], "round {number}, after:\n{left}");
        }
        say(format_args!("{killed} writers were killed; {unfinished} times something was left to put right"));
        assert!(killed > 0);
    });
}

/// Removes what an installation put here, without asking for the lock; whether there was something.
type Undo = fn() -> bool;

const UNDOES: [(&str, Undo); 2] = [
    ("routes", || !RouteTable::open().and_then(|mut routes| routes.remove_all()).expect("removed").is_empty()),
    ("rules", || {
        let removed = Kernel::open().and_then(|mut kernel| kernel.remove(&Pod::tables())).expect("removed");
        !removed.transaction.is_empty()
    }),
];

/// What comes after the last look is not noticed; most of what comes before the end comes before
/// it.
#[test]
fn what_others_undo_while_an_installation_is_at_work_is_done_again() {
    in_fresh_netns(|| {
        let ports = InboundPorts::All { except: PortRanges::default() };
        let config = IstioConfig::builder().interception(Interception::Tproxy).inbound_ports(ports);
        let config = config.service_cidrs(ServiceCidrs::All).build().expect("valid");
        let mut pod = Pod::open().expect("sockets");
        for (what, undo) in UNDOES {
            let (mut again, mut late, mut rounds) = (0, 0, 0);
            while again < 5 && rounds < 300 {
                rounds += 1;
                let is_over = AtomicBool::new(false);
                let undone = thread::scope(|scope| {
                    // Once, as soon as there is something.
                    let other = scope.spawn(|| {
                        while !is_over.load(Ordering::Relaxed) {
                            if undo() {
                                return true;
                            }
                        }
                        false
                    });
                    pod.install(&config).expect("installed");
                    is_over.store(true, Ordering::Relaxed);
                    other.join().expect("no panic")
                });
                let is_whole = pod.plan(&config, Leftovers::Keep).expect("readable").is_in_sync();
                assert!(undone || is_whole, "{what}: nobody undid anything, and something is missing");
                again += usize::from(undone && is_whole);
                late += usize::from(undone && !is_whole);
                pod.remove().expect("removed");
            }
            say(format_args!("{what}: of {rounds} installations {again} were undone and done again, {late} too late"));
            assert!(again >= 5, "{what}: {rounds} rounds");
        }
    });
}

#[test]
fn a_writer_that_does_not_finish_is_named_after_ten_seconds() {
    in_fresh_netns(|| {
        // Any process that holds the lock serves as the writer.
        let name = SocketAddr::from_abstract_name("nftmesh/writer").expect("a name");
        let held = UnixListener::bind_addr(&name).expect("nobody is at work");
        let output = writer(CONFIGURATIONS[0]).wait_with_output().expect("it is our child");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        let whom = format!(" (pid {}, uid ", std::process::id());
        assert!(printed.contains(&whom) && printed.contains("for 10 s; see what holds it up, or end it"), "{printed}");
        assert_eq!(nft("list ruleset"), "");
        drop(held);
        install(CONFIGURATIONS[0]);
    });
}

#[test]
fn while_guard_runs_writers_of_other_configurations_are_refused() {
    in_fresh_netns(|| {
        let words: Vec<&str> = CONFIGURATIONS[1].split(' ').collect();
        let mut guard = Running::start("guard", &words, Stdio::inherit());
        guard.until("guard: watching");
        let before = state();
        let kept = format!("kept by guard (pid {}, uid 0) for as long as it runs; stop it first", guard.child.id());
        for (program, words) in [
            ("istio-init", CONFIGURATIONS[0]),
            ("istio-init", CONFIGURATIONS[2]),
            ("istio-init", "--cleanup-only"),
            ("guard", CONFIGURATIONS[0]),
            ("guard", CONFIGURATIONS[1]),
        ] {
            let mut command = command(&example(program).to_string_lossy());
            let output = command.args(words.split(' ')).output().expect("the example runs");
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{program} {words}: {printed}");
            assert!(printed.contains(&kept), "{program} {words}: {printed}");
            assert_eq!(state(), before, "{program} {words}");
        }
        assert_eq!(install(CONFIGURATIONS[1]), before);
        assert_eq!(guard.end("TERM").0, Some(0));
        assert_eq!(state(), before);
        install(CONFIGURATIONS[0]);
        assert_ne!(state(), before);
        // However guard ends.
        let mut guard = Running::start("guard", &words, Stdio::inherit());
        guard.until("guard: watching");
        guard.end("KILL");
        install(CONFIGURATIONS[0]);
    });
}
