//! Packets from a first hook to the end: compares what the kernel did on the whole path with what a
//! `Walker` does.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use nftmesh::model::{CtState, Hook, PktType, Protocol, TcpFlags};
use nftmesh::sim::{CannotTell, Change, End, Lost, Packet, Step, Walk, Walker};

use super::hooks::{Ledger, Score, decisions, situation};
use super::reported::{AtHook, Run, is_noise};
use super::sensors;

/// A packet at all its hooks.
#[derive(Debug)]
pub struct Way<'a> {
    pub hooks: Vec<&'a AtHook>,
}

/// Joins hooks to paths: by trace id, and through lo by the contents of the packet.
pub fn ways(reported: &[AtHook]) -> Vec<Way<'_>> {
    let mut ways: Vec<Way<'_>> = Vec::new();
    for at_hook in reported {
        let Some(first) = at_hook.runs.first() else { continue };
        let from_lo = first.shown.iif.is_some_and(|device| device.index == 1);
        let before = match at_hook.hook {
            Hook::Output => None,
            Hook::Prerouting if !from_lo => None,
            Hook::Prerouting => ways.iter_mut().find(|way| {
                let Some(run) = way.last() else { return false };
                let shown = &run.shown;
                way.last_hook() == Some(Hook::Postrouting)
                    && shown.oif.is_some_and(|device| device.index == 1)
                    && shown.network == first.shown.network
                    && shown.transport == first.shown.transport
            }),
            Hook::Forward | Hook::Input | Hook::Postrouting => {
                let ids = |way: &Way<'_>| way.hooks.iter().any(|known| known.id == at_hook.id);
                let known = ways.iter().rposition(ids);
                // A copy of a broadcast has another trace id.
                let copied = |way: &Way<'_>| {
                    way.last_hook() == Some(Hook::Output)
                        && way.last().is_some_and(|run| run.shown.network == first.shown.network)
                };
                let at = known.or_else(|| ways.iter().rposition(copied));
                at.and_then(|at| ways.get_mut(at))
            }
        };
        match before {
            Some(way) => way.hooks.push(at_hook),
            None => ways.push(Way { hooks: vec![at_hook] }),
        }
    }
    ways
}

impl Way<'_> {
    fn last(&self) -> Option<&Run> {
        self.hooks.last()?.runs.last()
    }

    fn last_hook(&self) -> Option<Hook> {
        self.hooks.last().map(|last| last.hook)
    }

    fn connections(&self) -> impl Iterator<Item = u32> {
        self.hooks.iter().flat_map(|at_hook| at_hook.connections())
    }

    /// Returns every hook that it reached, and the decisions there.
    fn decisions(&self) -> Vec<String> {
        let mut all = Vec::new();
        for at_hook in &self.hooks {
            all.push(format!("at {}", at_hook.hook.name()));
            all.extend(at_hook.runs.iter().flat_map(|run| &run.decisions).filter(|text| !is_sensor(text)).cloned());
        }
        all
    }
}

/// Connections of packets that could not be told, whose state the walker does not know.
#[derive(Debug, Default)]
pub struct Lapsed {
    connections: HashSet<u32>,
    /// A port was chosen at random: its owner and clashes with it are not known.
    has_guessed: bool,
    /// Segments between these were tracked in a zone set by a rule: in another zone, tracking may
    /// have seen only one direction.
    split: HashSet<[SocketAddr; 2]>,
    /// Segments between these were written with random sequence numbers.
    written: HashSet<[SocketAddr; 2]>,
    /// Of these, tracking has seen only one direction.
    half_seen: HashSet<[SocketAddr; 2]>,
}

impl Lapsed {
    fn add(&mut self, way: &Way<'_>) {
        self.connections.extend(way.connections());
    }

    /// Returns whether sequence numbers, which a walk does not know, may have made the packet
    /// invalid.
    fn is_window_unknown(&mut self, walk: &Walk) -> bool {
        let [there, back] = ends(&walk.packet);
        if walk.packet.protocol != Protocol::TCP {
            return false;
        }
        if walk.steps.iter().any(|step| matches!(step, Step::Change(Change::Zone(_)))) {
            self.split.extend([there, back]);
        }
        walk.packet.tcp_flags.contains(TcpFlags::RST) || self.split.contains(&there)
    }

    fn has(&self, way: &Way<'_>) -> bool {
        way.connections().any(|id| self.connections.contains(&id))
    }
}

/// Returns source and destination, in both directions.
fn ends(packet: &Packet) -> [[SocketAddr; 2]; 2] {
    let [from, to] = [(packet.source, packet.sport), (packet.destination, packet.dport)].map(SocketAddr::from);
    [[from, to], [to, from]]
}

/// Compares from the first hook to the end.
pub fn compare(
    walker: &mut Walker<'_>,
    names: &BTreeMap<u32, String>,
    reported: &[AtHook],
    lapsed: &mut Lapsed,
    score: &mut Score,
) {
    compare_without(
        walker,
        names,
        reported,
        lapsed,
        score,
        &mut Beyond { left_out: &[], complete: &|_| false, unknown: &mut |_| {} },
    );
}

/// Further knowledge for a comparison.
pub struct Beyond<'a> {
    /// Rules that were removed for the walker: `inet t c: rule 3,`.
    pub left_out: &'a [String],
    /// Completes the bytes of a written packet; returns whether it did.
    pub complete: &'a dyn Fn(&mut Packet) -> bool,
    /// Called with what could not be told.
    pub unknown: &'a mut dyn FnMut(&CannotTell),
}

/// As `compare`, with further knowledge.
pub fn compare_without(
    walker: &mut Walker<'_>,
    names: &BTreeMap<u32, String>,
    reported: &[AtHook],
    lapsed: &mut Lapsed,
    score: &mut Score,
    beyond: &mut Beyond<'_>,
) {
    let Beyond { left_out, complete, unknown } = beyond;
    for way in ways(reported) {
        let Some(first) = way.hooks.first() else { continue };
        let Some(shown) = first.runs.first().map(|run| &run.shown) else { continue };
        if is_noise(shown) {
            continue;
        }
        let Some(begins) = situation(first, names, true, &Ledger::default()) else {
            score.skip("no first sensor");
            lapsed.add(&way);
            continue;
        };
        if begins.packet.pkttype != PktType::HOST && POD.iter().any(|own| begins.packet.source.to_string() == *own) {
            score.skip("the copy that this host gets of what it sends to everybody");
            lapsed.add(&way);
            continue;
        }
        if begins.connection.attached {
            score.skip("made by the kernel for another packet");
            lapsed.add(&way);
            continue;
        }
        let mut packet = begins.packet.clone();
        // Random sequence numbers put a segment outside every window but its own.
        let is_written = complete(&mut packet) && packet.protocol == Protocol::TCP;
        if lapsed.written.contains(&ends(&packet)[0]) {
            score.skip("of a TCP connection with sequence numbers at random");
            lapsed.add(&way);
            continue;
        }
        if is_written {
            lapsed.written.extend(ends(&packet));
        }
        if is_fragment(&packet) {
            score.skip("a fragment");
            lapsed.add(&way);
            continue;
        }
        let walk = match (&first.hook, &begins.incoming) {
            (Hook::Output, _) => walker.send(packet),
            (Hook::Prerouting, Some(incoming)) => walker.receive(packet, &incoming.name),
            _ => {
                score.skip(format!("begins at {}", first.hook.name()));
                continue;
            }
        };
        if let End::CannotTell(reason) = &walk.end {
            unknown(reason);
            score.skip(format!("cannot tell: {}", reason.to_string().split(": ").last().unwrap_or_default()));
            lapsed.add(&way);
            continue;
        }
        // Only its sequence number decides whether a reset is in the window; the same holds for a
        // segment whose other direction was not seen.
        let is_tracked =
            |step: &Step| matches!(step, Step::Change(Change::Tracked { state, .. }) if *state != CtState::INVALID);
        let is_window_unknown = lapsed.is_window_unknown(&walk);
        if is_window_unknown && way.connections().next().is_none() && walk.steps.iter().any(is_tracked) {
            score.skip("a reset or a segment of a half-seen connection, with a sequence number out of the window");
            lapsed.has_guessed = true;
            lapsed.half_seen.extend(ends(&begins.packet));
            continue;
        }
        if lapsed.half_seen.contains(&ends(&begins.packet)[0]) {
            score.skip("of a connection of which something is unknown");
            continue;
        }
        if walk.steps.contains(&Step::Change(Change::Unpredictable)) {
            score.skip("translated to a port at random");
            lapsed.add(&way);
            lapsed.has_guessed = true;
            continue;
        }
        if lapsed.has_guessed && walk.end == End::Lost(Lost::Clash) {
            score.skip("clashes, perhaps, with one whose port was chosen at random");
            lapsed.add(&way);
            continue;
        }
        if lapsed.has(&way) {
            score.skip("of a connection of which something is unknown");
            continue;
        }
        let mut kernel = way.decisions();
        kernel.retain(|text| !left_out.iter().any(|rule| text.starts_with(rule)));
        let mut simulator = Vec::new();
        for step in &walk.steps {
            if let Step::Hook { hook, .. } = step {
                simulator.push(format!("at {}", hook.name()));
            }
            simulator.extend(decisions(std::slice::from_ref(step)).into_iter().filter(|text| !is_sensor(text)));
        }
        if walk.steps.contains(&Step::Copied) {
            // The copy arrives before the packet itself continues; its effect on their connection
            // is not walked.
            score.skip("of a broadcast: the way after its copy");
            lapsed.add(&way);
            until_copied(&mut kernel);
            until_copied(&mut simulator);
        }
        score.ways += 1;
        score.way_decisions += kernel.iter().filter(|text| !text.starts_with("at ")).count();
        if kernel != simulator {
            let runs = way.hooks.iter().flat_map(|at_hook| &at_hook.runs);
            score.differ(format!("way of {}", begins.packet), runs, &kernel, &simulator, &walk);
        }
    }
}

/// Cuts decisions at the second postrouting.
fn until_copied(decisions: &mut Vec<String>) {
    let second = decisions.iter().enumerate().filter(|(_, text)| *text == "at postrouting").nth(1);
    decisions.truncate(second.map_or(decisions.len(), |(at, _)| at));
}

fn is_sensor(decision: &str) -> bool {
    decision.starts_with(&format!("inet {} ", sensors::TABLE))
}

/// Rules that are left out may be those that enable reassembly.
fn is_fragment(packet: &Packet) -> bool {
    let has = |at: usize, mask: u8| packet.bytes.network.get(at).copied().flatten().unwrap_or(0) & mask != 0;
    packet.source.is_ipv4() && (has(6, 0x3f) || has(7, 0xff))
}

/// Addresses of the pod.
const POD: [&str; 3] = ["10.77.0.2", "10.77.0.3", "10.78.0.2"];
