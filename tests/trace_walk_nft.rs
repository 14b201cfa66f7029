//! The simulator against the kernel, over what nft can express: random conditions on every field,
//! sets and maps of all kinds, chains of several tables, and packets written byte by byte.
//!
//! A rule that cannot be told and decides nothing is left out of the walk, so that one unknown
//! expression does not hide the other rules; the tests print how many, and why.
//!
//! `NFTMESH_SEED=7 NFTMESH_SETS=1` runs one random rule set again; a failure names it.

#![cfg(feature = "sim")]

#[path = "support/agree/mod.rs"]
mod agree;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use agree::dice::Dice;
use agree::hooks::{self, Ledger, Score};
use agree::laws::{self, Script};
use agree::reported::{self, AtHook};
use agree::walks::{self, Finish, Walks};
use agree::ways::Beyond;
use agree::world::World;
use agree::{generate, owners, sensors, ways};
use nftmesh::kernel::{Kernel, Trace, TraceFilter, host, interfaces, legacy_tables};
use nftmesh::model::{RuleHandle, Ruleset, Statement};
use nftmesh::plan::Transaction;
use nftmesh::sim::{CannotTell, Comparison, Host, Rules, Walker, compare};
use nftmesh::state::{Snapshot, TraceStep};
use support::corpus::{self, corpus};
use support::patience::patience;
use support::version::{TRACED_CONNECTIONS, in_traced_netns, needs_linux};

#[test]
fn packets_of_any_kind_take_the_simulated_rules_of_nft() {
    if !needs_linux(TRACED_CONNECTIONS, "state of the connection in traces") {
        return;
    }
    in_traced_netns(|| {
        let (first, sets) = seeds(20);
        let mut all = All::default();
        for seed in first..first + sets {
            let mut dice = Dice::new(seed);
            let mut world = World::new();
            let mut script = laws::script(&mut dice);
            let routes = if dice.chance(30) { world.route_by_mark(&mut dice) } else { String::new() };
            let Some(refused) = world.pod.run(|| script.load()) else {
                all.unloaded += 1;
                continue;
            };
            all.refused += refused;
            let before = all.score.differences.len();
            let owners = if dice.chance(25) { owners::add(&world.pod, &mut dice) } else { String::new() };
            // The order of tables is known only if one transaction made them all.
            let is_known = owners.is_empty() && dice.chance(50);
            let older = world.pod.run(|| legacy_tables().unwrap_or_default());
            all.legacy += usize::from(!older.is_empty());
            let finish: Finish = Arc::new(move |rules| {
                let rules = rules.with_legacy_tables(older.iter().cloned());
                if is_known { rules.made_at_once() } else { rules }
            });
            one(&mut world, &mut dice, &mut all, &finish, is_known);
            show(
                &format!("seed {seed}"),
                &script,
                &(routes + &owners),
                all.score.differences.get(before..).unwrap_or_default(),
            );
        }
        all.report(sets);
        if env::var_os("NFTMESH_SETS").is_none() {
            assert!(
                all.score.hooks >= 300 && all.score.ways >= 50 && all.reported * 3 > all.score.left_out,
                "too little was told"
            );
        }
        assert!(all.score.differences.is_empty(), "kernel and simulator differ, see above");
    });
}

/// The rules of nft's own tests without their verdicts, many to a chain, and whole rule sets of
/// other projects: all of them with `NFTMESH_SETS`.
#[test]
fn packets_take_the_simulated_rules_of_the_corpora() {
    if !needs_linux(TRACED_CONNECTIONS, "state of the connection in traces") {
        return;
    }
    let (Some(rules), Some(real)) = (corpus("rules.tsv"), corpus("real")) else { return };
    in_traced_netns(|| {
        let mut scripts: Vec<(String, Script)> = Vec::new();
        let text = fs::read_to_string(&rules).expect("text");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for (number, lines) in lines.chunks(120).enumerate() {
            scripts.push((
                format!("rules from {}", number * 120 + 1),
                laws::of_corpus(&mut Dice::new(number as u64), lines),
            ));
        }
        for file in corpus::files_of(&real) {
            let text = fs::read_to_string(&file).expect("text");
            scripts.push((file.file_name().unwrap_or_default().to_string_lossy().into_owned(), Script::whole(&text)));
        }
        let step = if env::var_os("NFTMESH_SETS").is_some() { 1 } else { 8 };
        let (mut all, mut tried) = (All::default(), 0);
        for (seed, (name, mut script)) in (1..).zip(scripts).step_by(step) {
            tried += 1;
            let mut dice = Dice::new(seed);
            let mut world = World::new();
            let Some(refused) = world.pod.run(|| script.load()) else {
                all.unloaded += 1;
                continue;
            };
            all.refused += refused;
            let before = all.score.differences.len();
            one(&mut world, &mut dice, &mut all, &(Arc::new(|rules| rules) as Finish), false);
            show(&name, &script, "", all.score.differences.get(before..).unwrap_or_default());
        }
        all.report(tried);
        assert!(all.score.differences.is_empty(), "kernel and simulator differ, see above");
    });
}

/// Returns whether the world has listeners where these rules send packets with `tproxy`.
fn listens(ruleset: &Ruleset) -> bool {
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let mut ports = rules.flat_map(|rule| &rule.statements).filter_map(|statement| match statement {
        Statement::Tproxy(tproxy) => tproxy.port,
        _ => None,
    });
    ports.all(|port| generate::TPROXY_PORTS.iter().take(2).any(|listening| *listening == port))
}

/// Returns the first seed and the number of rule sets.
fn seeds(few: u64) -> (u64, u64) {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    (number("NFTMESH_SEED").unwrap_or(1), number("NFTMESH_SETS").unwrap_or(few))
}

/// Counts over all rule sets.
#[derive(Debug, Default)]
struct All {
    score: Score,
    /// Rule sets that nft refuses.
    unloaded: usize,
    /// Lines that nft refuses.
    refused: usize,
    reported: usize,
    /// Rule sets beside tables of iptables-legacy.
    legacy: usize,
}

impl All {
    fn report(&self, sets: u64) {
        let Score { packets, hooks, decisions, ways, way_decisions, left_out, skipped, differences } = &self.score;
        let mut text = format!(
            "{sets} rule sets of nft ({} not taken, {} lines left out): {packets} packets at {hooks} hooks, {decisions} decisions; \
             {ways} whole ways, {way_decisions} decisions; {left_out} rules left out; {} with tables of iptables-legacy; {} differences; not compared:",
            self.unloaded,
            self.refused,
            self.legacy,
            differences.len()
        );
        for (why, count) in skipped {
            text.push_str(&format!("\n  {count} {why}"));
        }
        support::say(text);
    }
}

/// Sends packets, and compares the kernel's trace with the simulator: at each hook at once, over
/// whole paths afterwards.
fn one(world: &mut World, dice: &mut Dice, all: &mut All, finish: &Finish, is_known: bool) {
    world.serve();
    let (mut trace, mut snapshot, names, host) = world.pod.run(|| {
        Kernel::open()
            .and_then(|mut kernel| kernel.commit(&Transaction::add(Ruleset::new().table(sensors::table(false)))))
            .expect("sensors are valid");
        let trace = Trace::open(TraceFilter::new()).expect("may be opened");
        let snapshot = Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot");
        (trace, snapshot, interfaces().expect("a netlink socket"), host().expect("a netlink socket"))
    });
    snapshot.tables.retain(|table| table.id != *trace.table());
    let listens = listens(&snapshot.raise().ruleset);
    let mut walks = Walks::of(snapshot.clone(), finish);
    walks.is_unordered = !is_known;
    let rules = walks.rules().clone();
    let mut ledger = Ledger::default();
    let mut reported_all: Vec<Vec<AtHook>> = Vec::new();
    for _ in 0..PACKETS {
        let client = if dice.chance(65) {
            match world.send_wire(dice) {
                Ok(bytes) => {
                    let header = match bytes.first() {
                        Some(first) if first >> 4 == 4 => usize::from(first & 15) * 4,
                        _ => 40,
                    };
                    walks.sent.push(bytes.get(header..).unwrap_or_default().to_vec());
                }
                Err(_) => all.score.skip("a socket that could not send"),
            }
            None
        } else {
            world.send(dice).ok()
        };
        for _ in 0..2 {
            let Some(messages) = reported::drain(&mut trace, patience(QUIET)) else {
                all.score.skip("rule sets left early: more was told than the trace holds");
                return;
            };
            let reported = reported::at_hooks(&rules, &messages);
            hooks::compare(&mut walks, &names, listens, &mut ledger, &reported, &mut all.score);
            all.reported += reported.len();
            reported_all.push(reported);
            if !world.pump() {
                break;
            }
        }
        drop(client);
        world.forget();
        world.hang_up();
    }
    whole_ways(&snapshot, &reported_all, &walks, &host, &names, finish, &mut all.score);
}

/// Walks all packets again, one after the other, until every rule that cannot be told is left out.
fn whole_ways(
    snapshot: &Snapshot,
    reported_all: &[Vec<AtHook>],
    walks: &Walks,
    host: &Host,
    names: &BTreeMap<u32, String>,
    finish: &Finish,
    score: &mut Score,
) {
    let walked = sensors::without_sockets(snapshot.clone());
    let host = host.clone().listeners(generate::TPROXY_PORTS.into_iter().take(2));
    let mut left = BTreeSet::new();
    for round in 0.. {
        let rules = finish(Rules::try_from(&walks::leave_out(walked.clone(), &left)).expect("fewer rules"));
        let lines: Vec<String> = left
            .iter()
            .filter_map(|(table, handle)| {
                let line = walks.rules().rule(table, *handle)?;
                Some(format!("{}: rule {},", line.chain, line.number))
            })
            .collect();
        let mut walker = Walker::new(&rules, &host);
        let (mut own, mut lapsed) = (Score::default(), ways::Lapsed::default());
        let mut unknown = BTreeSet::new();
        for reported in reported_all {
            let mut hear = |reason: &CannotTell| {
                let Some(rule) = reason.rule() else { return };
                let Some(handle) = rule.handle.filter(|handle| walks.decides_nothing(&rule.chain, *handle)) else {
                    return;
                };
                unknown.insert((rule.chain.table.clone(), handle));
            };
            let mut beyond =
                Beyond { left_out: &lines, complete: &|packet| walks.complete(packet), unknown: &mut hear };
            ways::compare_without(&mut walker, names, reported, &mut lapsed, &mut own, &mut beyond);
        }
        if !left.is_superset(&unknown) && round < ROUNDS {
            left.extend(unknown);
            continue;
        }
        score.ways += own.ways;
        score.way_decisions += own.way_decisions;
        score.left_out += left.len();
        for (why, count) in own.skipped {
            *score.skipped.entry(format!("way: {why}")).or_default() += count;
        }
        score.differences.extend(own.differences);
        return;
    }
}

/// Prints the first difference of a rule set; the others often follow from it.
fn show(which: &str, script: &Script, routes: &str, differences: &[String]) {
    if let [first, ..] = differences {
        eprintln!("{which}, {} differences\n{}\n{first}\n{routes}", differences.len(), script.text());
    }
}

/// Long enough for what the kernel does by itself after a system call.
const QUIET: Duration = Duration::from_millis(2);
const PACKETS: usize = 30;
/// Maximum number of times that paths are walked again without further rules.
const ROUNDS: usize = 40;

/// It is a false proof when `compare` finds two rules that differ in a word equal, and a packet
/// distinguishes them.
#[test]
fn no_traced_packet_contradicts_a_proof_of_equality() {
    in_traced_netns(|| {
        let (first, sets) = seeds(6);
        let (mut pairs, mut equal, mut packets, mut distinguished, mut wrong) = (0, 0, 0, 0, 0);
        for seed in first..first + sets {
            let mut dice = Dice::new(seed);
            let world = World::new();
            let mut script = laws::pairs(&mut dice, PAIRS);
            if world.pod.run(|| script.load()).is_none() {
                continue;
            }
            let (mut trace, snapshot) = world.pod.run(|| {
                let trace = Trace::open(TraceFilter::new()).expect("may be opened");
                (trace, Kernel::open().and_then(|mut kernel| kernel.snapshot()).expect("a snapshot"))
            });
            let known = laws::known_pairs(&snapshot);
            let mut differ: BTreeMap<String, String> = BTreeMap::new();
            for _ in 0..PACKETS {
                let wire = if dice.chance(70) {
                    world.send_wire(&mut dice).map(drop)
                } else {
                    world.send(&mut dice).map(drop)
                };
                if wire.is_err() {
                    continue;
                }
                let Some(messages) = reported::drain(&mut trace, patience(QUIET)) else { break };
                packets += 1;
                let mut held: BTreeMap<(u32, String), BTreeSet<RuleHandle>> = BTreeMap::new();
                for message in &messages {
                    let at = (message.id, message.chain.to_string());
                    let own = held.entry(at).or_default();
                    if let TraceStep::Rule { handle, .. } = &message.step {
                        own.insert(*handle);
                    }
                }
                for ((_, chain), matched) in held {
                    for pair in known.iter().filter(|pair| pair.chain == chain) {
                        let [a, b] = pair.handles.map(|handle| matched.contains(&handle));
                        if a != b {
                            let shown = messages.iter().find_map(|message| message.packet.as_ref());
                            differ.insert(pair.name.clone(), shown.map(ToString::to_string).unwrap_or_default());
                        }
                    }
                }
            }
            for pair in &known {
                let [a, b] = pair.handles.map(|handle| {
                    Rules::try_from(&laws::alone(&snapshot, &pair.chain, handle))
                        .expect("a rule of a kernel")
                        .made_at_once()
                });
                pairs += 1;
                distinguished += usize::from(differ.contains_key(&pair.name));
                if let Comparison::Equivalent { .. } = compare(&a, &b) {
                    equal += 1;
                    if let Some(packet) = differ.get(&pair.name) {
                        wrong += 1;
                        let lines = script.text();
                        let printed: Vec<_> =
                            lines.lines().filter(|line| line.ends_with(&format!("\"{}\"", pair.name))).collect();
                        eprintln!(
                            "seed {seed}: proven the same, and {packet} tells them apart:\n{}",
                            printed.join("\n")
                        );
                    }
                }
            }
        }
        support::say(format!(
            "{pairs} pairs of rules, {packets} packets: {distinguished} pairs told apart by one, {equal} proven the same, {wrong} of them wrongly"
        ));
        assert_eq!(wrong, 0, "false proofs, see above");
        assert!(env::var_os("NFTMESH_SETS").is_some() || (distinguished > 20 && equal > 5), "too little was compared");
    });
}

const PAIRS: usize = 60;
