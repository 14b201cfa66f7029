//! The simulator against the kernel: real packets take the same rules in a trace as in a walk. This is its specification.

#[path = "support/agree/mod.rs"]
mod agree;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::env;
use std::time::Duration;

use agree::dice::Dice;
use agree::hooks::{Ledger, Score, compare};
use agree::world::World;
use agree::{generate, sensors, told, ways};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, host, interfaces};
use nftmesh::model::Ruleset;
use nftmesh::plan::Transaction;
use nftmesh::sim::{Rules, Walker};
use support::in_fresh_netns;

/// Long enough for what the kernel does by itself behind a system call.
const QUIET: Duration = Duration::from_millis(2);

/// So often servers answer what one step of a client has caused.
const ROUNDS: usize = 4;

#[test]
fn random_packets_take_the_rules_of_random_sets_as_the_simulator_says() {
    in_fresh_netns(|| {
        let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<usize>().ok());
        let (first, sets) = (number("NFTMESH_SEED").unwrap_or(1), number("NFTMESH_SETS").unwrap_or(10));
        let mut score = Score::default();
        let mut refused = 0;
        for seed in first..first + sets {
            let mut dice = Dice::new(seed as u64);
            let mut world = World::new();
            let before = score.differences.len();
            let text = world_of(&mut world, &mut dice, &mut score, &mut refused);
            if score.differences.len() > before {
                eprintln!("seed {seed}, {} differences\n{text}", score.differences.len() - before);
                for difference in score.differences.iter().skip(before).take(number("NFTMESH_SHOW").unwrap_or(1)) {
                    eprintln!("{difference}");
                }
            }
        }
        let Score { packets, hooks, decisions, ways, way_decisions, skipped, differences } = &score;
        eprintln!(
            "{sets} rule sets ({refused} refused): {packets} packets at {hooks} hooks, {decisions} decisions, {ways} ways with {way_decisions}, \
             {} differences; skipped: {skipped:?}",
            differences.len()
        );
        assert!(differences.is_empty(), "kernel and simulator differ {} times, see above", differences.len());
    });
}

fn world_of(world: &mut World, dice: &mut Dice, score: &mut Score, refused: &mut usize) -> String {
    world.serve();
    let (asks_ct, listener) = (dice.chance(75), dice.chance(70));
    let ruleset = loop {
        let ruleset = generate::ruleset(dice, listener, refused);
        match commit(world, &ruleset, asks_ct) {
            Ok(()) => break ruleset,
            Err(error) => {
                *refused += 1;
                if env::var_os("NFTMESH_REFUSED").is_some() {
                    eprintln!("{error}");
                }
            }
        }
    };
    let (mut trace, mut snapshot, names, host) = world.pod.run(|| {
        let trace = Trace::open(TraceFilter::new()).expect("may be opened");
        let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
        (trace, snapshot, interfaces().expect("a netlink socket"), host().expect("a netlink socket"))
    });
    let own = trace.table().clone();
    snapshot.tables.retain(|table| table.id != own);
    let rules = Rules::try_from(&snapshot).expect("rules of our own");
    let host = host.listeners(generate::TPROXY_PORTS.into_iter().take(2));
    let walked = sensors::without_sockets(snapshot);
    let walked = Rules::try_from(&walked).expect("rules of our own");
    let mut walker = Walker::new(&walked, &host);
    let mut ledger = Ledger::default();
    let mut lapsed = ways::Lapsed::default();
    let mut told = |world: &mut World, score: &mut Score| {
        // Servers may be made to answer each other, for ever.
        for _ in 0..ROUNDS {
            let Some(messages) = told::drain(&mut trace, QUIET) else {
                score.skip("rule sets left early, because more was told than the trace holds");
                return false;
            };
            let told = told::at_hooks(&rules, &messages);
            compare(&rules, &names, listener, &mut ledger, &told, score);
            ways::compare(&mut walker, &names, &told, &mut lapsed, score);
            if !world.pump() {
                break;
            }
        }
        world.forget();
        true
    };
    for _ in 0..40 {
        let Ok(mut client) = world.send(dice, true) else {
            score.skip("a socket that could not be opened");
            continue;
        };
        let mut goes_on = told(world, score);
        for _ in 0..dice.from(0, 2) {
            client.again();
            goes_on &= told(world, score);
        }
        drop(client);
        goes_on &= told(world, score);
        world.hang_up();
        goes_on &= told(world, score);
        if !goes_on {
            break;
        }
    }
    ruleset.to_string()
}

fn commit(world: &World, ruleset: &Ruleset, asks_ct: bool) -> nftmesh::Result<()> {
    world.pod.run(|| {
        let all = ruleset.clone().table(sensors::table(asks_ct));
        Kernel::open()?.commit(&Transaction::add(all))
    })
}
