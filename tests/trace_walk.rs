//! The simulator against the kernel: real packets take the same rules in a trace as in a walk. This
//! is its specification.
//!
//! Every packet is compared twice: hook by hook, starting from the packet that the trace shows
//! there, and from the first hook to the end, where only the first packet is given. The tests print
//! how much was compared, what was not, and why.
//!
//! `NFTMESH_SEED=7 NFTMESH_SETS=1` runs one random rule set again; a failure names it.

#![cfg(all(feature = "mesh", feature = "sim"))]

#[path = "support/agree/mod.rs"]
mod agree;
#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::env;
use std::time::Duration;

use agree::dice::Dice;
use agree::hooks::{self, Ledger, Score};
use agree::walks::Walks;
use agree::world::World;
use agree::{generate, reported, sensors, ways};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, host, interfaces};
use nftmesh::model::Ruleset;
use nftmesh::plan::Transaction;
use nftmesh::sim::{Rules, Walker};
use support::patience::patience;
use support::sys::Entered;
use support::version::{TRACED_CONNECTIONS, in_traced_netns, needs_linux};

#[test]
fn random_packets_take_the_simulated_rules_of_random_rule_sets() {
    if !needs_linux(TRACED_CONNECTIONS, "state of the connection in traces") {
        return;
    }
    in_traced_netns(|| {
        let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
        let (first, sets) = (number("NFTMESH_SEED").unwrap_or(1), number("NFTMESH_SETS").unwrap_or(24));
        let (mut score, mut refused) = (Score::default(), 0);
        for seed in first..first + sets {
            let mut dice = Dice::new(seed);
            let mut world = World::new();
            let (asks_ct, listens) = (dice.chance(75), dice.chance(70));
            let routes = if dice.chance(50) { world.route_by_mark(&mut dice) } else { String::new() };
            let ruleset = generate::ruleset(&mut dice, listens, &mut refused);
            // Validation should have found whatever the kernel refuses.
            let committed = world.pod.run(|| commit(&ruleset, asks_ct));
            committed.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{ruleset}"));
            let before = score.differences.len();
            agree(&mut world, &mut dice, listens, &mut score);
            show(
                &format!("seed {seed}"),
                &ruleset.to_string(),
                &routes,
                score.differences.get(before..).unwrap_or_default(),
            );
        }
        report(&format!("{sets} random rule sets, {refused} rules that no packet can match taken out"), &score);
        assert!(number("NFTMESH_SETS").is_some() || (score.packets >= 2000 && score.ways >= 1500), "too few packets");
        assert!(
            score.differences.is_empty(),
            "kernel and simulator differ {} times, see above",
            score.differences.len()
        );
    });
}

#[test]
fn random_packets_take_the_simulated_rules_of_the_sidecar() {
    if !needs_linux(TRACED_CONNECTIONS, "state of the connection in traces") {
        return;
    }
    in_traced_netns(|| {
        let mut score = Score::default();
        for (seed, case) in (1..).zip(sidecar::CASES) {
            let mut dice = Dice::new(seed);
            let mut world = World::new();
            let config = sidecar::config(case.options, "");
            world.pod.run(|| {
                sidecar::apply(&config);
                commit(&Ruleset::new(), seed % 2 == 0).expect("sensors are valid");
            });
            let before = score.differences.len();
            agree(&mut world, &mut dice, true, &mut score);
            show(
                case.name,
                &Ruleset::from(&config).to_string(),
                "",
                score.differences.get(before..).unwrap_or_default(),
            );
        }
        report(&format!("{} rule sets of the sidecar", sidecar::CASES.len()), &score);
        assert!(score.packets >= 1000 && score.ways >= 500, "too few packets");
        assert!(
            score.differences.is_empty(),
            "kernel and simulator differ {} times, see above",
            score.differences.len()
        );
    });
}

/// Sends packets through the rules of the pod, and compares the kernel's trace with the simulator.
fn agree(world: &mut World, dice: &mut Dice, listens: bool, score: &mut Score) {
    world.serve();
    let (mut trace, mut snapshot, names, host) = world.pod.run(|| {
        let trace = Trace::open(TraceFilter::new()).expect("may be opened");
        let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
        (trace, snapshot, interfaces().expect("a netlink socket"), host().expect("a netlink socket"))
    });
    snapshot.tables.retain(|table| table.id != *trace.table());
    let rules = Rules::try_from(&snapshot).expect("rules of our own").made_at_once();
    let mut walks = Walks::whole(rules.clone());
    let walked = Rules::try_from(&sensors::without_sockets(snapshot)).expect("rules of our own").made_at_once();
    let host = host.listeners(generate::TPROXY_PORTS.into_iter().take(2));
    let mut walker = Walker::new(&walked, &host);
    let (mut ledger, mut lapsed) = (Ledger::default(), ways::Lapsed::default());
    let mut goes_on = |world: &mut World, score: &mut Score| {
        // Rules can make servers answer each other for ever.
        for _ in 0..ROUNDS {
            let Some(messages) = reported::drain(&mut trace, patience(QUIET)) else {
                score.skip("rule sets left early: more was told than the trace holds");
                return false;
            };
            let reported = reported::at_hooks(&rules, &messages);
            hooks::compare(&mut walks, &names, listens, &mut ledger, &reported, score);
            ways::compare(&mut walker, &names, &reported, &mut lapsed, score);
            if !world.pump() {
                break;
            }
        }
        world.forget();
        true
    };
    for _ in 0..CLIENTS {
        let Ok(mut client) = world.send(dice) else {
            score.skip("a socket that could not send");
            continue;
        };
        let mut well = goes_on(world, score);
        for _ in 0..dice.from(0, 2) {
            client.again();
            well &= goes_on(world, score);
        }
        drop(client);
        well &= goes_on(world, score);
        world.hang_up();
        if !well || !goes_on(world, score) {
            return;
        }
    }
}

fn commit(ruleset: &Ruleset, asks_ct: bool) -> nftmesh::Result<()> {
    let all = ruleset.clone().table(sensors::table(asks_ct));
    Kernel::open()?.commit(&Transaction::add(all))
}

/// Prints the first difference of a rule set; the others often follow from it.
fn show(which: &str, rules: &str, routes: &str, differences: &[String]) {
    if let [first, ..] = differences {
        eprintln!("{which}, {} differences\n{rules}\n{first}\n{routes}", differences.len());
    }
}

fn report(what: &str, score: &Score) {
    let Score { packets, hooks, decisions, ways, way_decisions, left_out: _, skipped, differences } = score;
    let users = if support::sys::entered() == Ok(Entered::AsRoot) { "" } else { ", all sockets of root" };
    let mut text = format!(
        "{what}{users}: {packets} packets at {hooks} hooks, {decisions} decisions of rules and policies; \
         {ways} whole ways, {way_decisions} decisions; {} differences; not compared:",
        differences.len()
    );
    for (why, count) in skipped {
        text.push_str(&format!("\n  {count} {why}"));
    }
    support::say(text);
}

/// Long enough for what the kernel does by itself after a system call.
const QUIET: Duration = Duration::from_millis(2);
/// Number of rounds in which servers answer one step of a client.
const ROUNDS: usize = 4;
const CLIENTS: usize = 40;
