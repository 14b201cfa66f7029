//! Packets at hooks: compares what the kernel did there with what `walk_hook` does with the same
//! packet.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use nftmesh::kernel::interfaces;
use nftmesh::model::{AddrType, CtDirection, CtState, CtStatus, Hook, PktType};
use nftmesh::sim::{Change, Connection, End, Fate, Interface, Owner, Packet, Receiver, Rules, Situation, Step, Walk};
use nftmesh::state::{TraceMessage, TracedDevice, TracedPacket};

use super::reported::{AtHook, Run, TEMPLATE, at_hooks, is_noise};
use super::sensors;
use super::walks::Walks;

/// Counts of what was compared, and of what could not be.
#[derive(Debug, Default)]
pub struct Score {
    /// Packets that reached a first hook: output, or prerouting from elsewhere.
    pub packets: usize,
    /// Packets at hooks.
    pub hooks: usize,
    /// Rules that ran to their end, and policies.
    pub decisions: usize,
    /// Paths from a first hook to the end.
    pub ways: usize,
    /// Rules that ran to their end on these paths, and policies, without those of sensors.
    pub way_decisions: usize,
    /// Rules that were left out at a hook, because they cannot be told and decide nothing.
    pub left_out: usize,
    pub skipped: BTreeMap<String, usize>,
    pub differences: Vec<String>,
}

/// Known state of connections by id: mark and zone; and the connections whose state is no longer
/// known.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<u32, (u32, u16)>, HashSet<u32>);

impl Score {
    pub fn skip(&mut self, why: impl Into<String>) {
        *self.skipped.entry(why.into()).or_default() += 1;
    }

    pub fn differ<'a>(
        &mut self,
        what: String,
        runs: impl Iterator<Item = &'a Run>,
        kernel: &[String],
        simulator: &[String],
        walk: &Walk,
    ) {
        let mut text = what + "\n";
        for run in runs {
            let _ = writeln!(text, "  shown in {}: mark {:#x} {}", run.chain, run.first_mark, run.shown);
        }
        let both = kernel.iter().zip(simulator).take_while(|(a, b)| a == b).count();
        let _ = writeln!(text, "  {both} decisions are the same; then\n  kernel:    {:?}", next(kernel.get(both..)));
        let _ = writeln!(text, "  simulator: {:?}", next(simulator.get(both..)));
        text.push_str(&story(walk));
        self.differences.push(text);
    }
}

/// Compares hook by hook.
pub fn compare(
    walks: &mut Walks,
    names: &BTreeMap<u32, String>,
    listener: bool,
    ledger: &mut Ledger,
    reported: &[AtHook],
    score: &mut Score,
) {
    for at_hook in reported {
        let Some(first) = at_hook.runs.first() else { continue };
        if is_noise(&first.shown) {
            score.skip("neighbour discovery");
            continue;
        }
        if at_hook.runs.iter().any(|run| sees_others(first, run)) {
            score.skip("where another socket is found after tracking or translation");
            ledger.1.extend(at_hook.connections());
            continue;
        }
        let tracked = at_hook.runs.iter().position(|run| is_sensor(run, "tracked"));
        let template = |run: &Run| run.shown.ct.is_some_and(|ct| ct.status.bits() & TEMPLATE != 0);
        let later = tracked.and_then(|tracked| at_hook.runs.get(tracked..)).unwrap_or_default();
        if template(first) || later.iter().any(template) {
            score.skip("given a zone after connection tracking, and still without a connection");
            ledger.1.extend(at_hook.connections());
            continue;
        }
        let Some(mut situation) = situation(at_hook, names, listener, ledger) else {
            score.skip("no first sensor");
            ledger.1.extend(at_hook.connections());
            continue;
        };
        walks.complete(&mut situation.packet);
        let comes_in = at_hook.hook == Hook::Prerouting && first.shown.iif.is_some_and(|device| device.index != 1);
        let (walk, left_out) = walks.walk(at_hook.hook, &situation);
        score.left_out += left_out.len();
        if let End::CannotTell(reason) = &walk.end {
            let text = reason.to_string();
            score.skip(format!("cannot tell: {}", text.split(": ").last().unwrap_or_default()));
            ledger.1.extend(at_hook.connections());
            continue;
        }
        if at_hook.connections().any(|id| ledger.1.contains(&id)) {
            score.skip("of a connection of which something is unknown");
            continue;
        }
        // Only a walk through the host knows the route of a packet with other addresses or another
        // mark.
        let kernel = at_hook.decisions(walks.is_unordered).into_iter();
        let kernel: Vec<_> = kernel.filter(|text| !left_out.iter().any(|rule| text.starts_with(rule))).collect();
        let simulator = in_chains(&walk.steps, walks.is_unordered);
        let is_changed =
            |step: &Step| matches!(step, Step::Change(Change::Dnat { .. } | Change::Snat { .. } | Change::Mark { .. }));
        let is_lost = kernel.len() < simulator.len() && simulator.starts_with(&kernel);
        // And only the connection knows for which interface it was masqueraded.
        let is_translated = situation.connection.status.contains(CtStatus::SNAT);
        let why = match at_hook.hook {
            Hook::Output if walk.steps.iter().any(is_changed) => {
                Some("lost at output, after a change of address or mark")
            }
            Hook::Postrouting if is_translated => Some("lost at postrouting, of a connection that may be masqueraded"),
            _ => None,
        };
        if let Some(why) = why.filter(|_| is_lost) {
            score.skip(why);
            ledger.1.extend(at_hook.connections());
            continue;
        }
        ledger.note(at_hook, &walk);
        score.packets += usize::from(comes_in || at_hook.hook == Hook::Output);
        score.hooks += 1;
        score.decisions += kernel.len();
        if walks.is_of_rate(&kernel, &simulator) {
            score.skip("a rate of which earlier packets took");
            continue;
        }
        if kernel != simulator {
            let what = format!("{}: {situation:?}", at_hook.hook.name());
            score.differ(what, at_hook.runs.iter(), &kernel, &simulator, &walk);
        }
    }
}

fn is_later(hook: Hook) -> bool {
    !matches!(hook, Hook::Prerouting | Hook::Output)
}

fn is_sensor(run: &Run, place: &str) -> bool {
    run.chain.table.name.as_str() == sensors::TABLE && run.chain.name.as_str().starts_with(place)
}

/// Sockets of replies are looked up by the addresses after reverse translation
/// (nf_sk_lookup_slow_v4, net/ipv4/netfilter/nf_socket_ipv4.c, v6.12).
fn sees_others(first: &Run, run: &Run) -> bool {
    let sockets = |run: &Run| ["SocketTransparent", "SocketWildcard"].map(|key| number(run, key));
    run.chain.table == first.chain.table && sockets(run) != sockets(first) && is_sensor_of_sockets(run)
}

fn is_sensor_of_sockets(run: &Run) -> bool {
    ["prerouting", "input"].iter().any(|hook| run.chain.name.as_str().ends_with(hook))
}

/// Returns the first few.
fn next<T>(of: Option<&[T]>) -> &[T] {
    of.and_then(|of| of.get(..of.len().min(5))).unwrap_or_default()
}

/// Returns the story without the chains of sensors.
fn story(walk: &Walk) -> String {
    let (mut text, mut own) = (String::new(), false);
    for line in walk.to_string().lines() {
        if let Some(chain) = line.strip_prefix("  chain ") {
            own = chain.starts_with("inet sensors ");
        }
        if !line.starts_with("   ") || !own {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Returns the decisions as `told` writes them, by base chain; in the order of names where no order
/// is known.
fn in_chains(steps: &[Step], is_unordered: bool) -> Vec<String> {
    let mut chains: Vec<(String, Vec<String>)> = Vec::new();
    for step in steps {
        if let Step::Chain { chain, .. } = step {
            chains.push((chain.to_string(), Vec::new()));
        }
        if let Some((_, own)) = chains.last_mut() {
            own.extend(decisions(std::slice::from_ref(step)));
        }
    }
    if is_unordered {
        chains.sort();
    }
    chains.into_iter().flat_map(|(_, own)| own).collect()
}

/// Returns the decisions as `told` writes them.
pub fn decisions(steps: &[Step]) -> Vec<String> {
    let text = |step: &Step| match step {
        Step::Rule { rule, fate: Fate::Matched(verdict), .. } => {
            Some(format!("{}: rule {}, {verdict}", rule.chain, rule.number))
        }
        Step::Policy { chain, policy, .. } => Some(format!("{chain}: policy {}", policy.name())),
        _ => None,
    };
    steps.iter().filter_map(text).collect()
}

impl Ledger {
    fn of(&self, shown: &TracedPacket) -> Option<(u32, u16)> {
        self.0.get(&shown.ct?.id?).copied()
    }

    fn note(&mut self, at_hook: &AtHook, walk: &Walk) {
        let Some(ct) = at_hook.runs.iter().filter_map(|run| run.shown.ct).next_back() else { return };
        let Some(id) = ct.id else { return };
        let entry = self.0.entry(id).or_default();
        for step in &walk.steps {
            match step {
                Step::Change(Change::Tracked { zone, mark, .. }) => *entry = (*mark, *zone),
                Step::Change(Change::CtMark { to, .. }) => entry.0 = *to,
                _ => {}
            }
        }
    }
}

pub fn situation(
    at_hook: &AtHook,
    names: &BTreeMap<u32, String>,
    listener: bool,
    ledger: &Ledger,
) -> Option<Situation> {
    let sensor = |place: &str| {
        let name = format!("{place}-{}", at_hook.hook.name());
        at_hook
            .runs
            .iter()
            .find(|run| run.chain.table.name.as_str() == sensors::TABLE && run.chain.name.as_str() == name)
    };
    let first = sensor("first")?;
    let number = |key: &str| number(first, key);
    let mut packet = Packet::traced(&first.shown, first.first_mark)?;
    packet.pkttype = PktType(u8::try_from(number("PktType").unwrap_or(0)).ok()?);
    packet.owner =
        number("socket").map(|_| Owner::new(number("Skuid").unwrap_or(9999), number("Skgid").unwrap_or(9999)));
    let mut situation = Situation::new(packet);
    let interface = |device: Option<TracedDevice>| {
        let index = device?.index;
        Some(Interface::new(index, names.get(&index).cloned().unwrap_or_default()))
    };
    situation.incoming = interface(first.shown.iif);
    situation.outgoing = interface(first.shown.oif);
    situation.daddr_type = AddrType(number("FibDaddrType").unwrap_or(0));
    let transparent = number("SocketTransparent");
    situation.receiver = transparent.map(|transparent| {
        let mut receiver = Receiver::default();
        receiver.transparent = transparent == 1;
        receiver.wildcard = number("SocketWildcard") == Some(1);
        receiver.handshake = number("SocketWildcard").is_none();
        receiver
    });
    situation.listener = listener;

    let attached = first.shown.ct.is_some() && matches!(at_hook.hook, Hook::Prerouting | Hook::Output);
    // Dropped before the sensor, but perhaps after tracking.
    let seen = || at_hook.runs.iter().find(|run| run.shown.ct.is_some()).unwrap_or(first);
    let tracked = &sensor("tracked").unwrap_or_else(seen).shown;
    let after = if attached { &first.shown } else { tracked };
    let mut connection = Connection::default();
    connection.attached = attached;
    match after.ct {
        // Rules decide the exclusion themselves: before tracking, or after it for packets without a
        // connection.
        Some(ct) if ct.state == CtState::UNTRACKED && !attached && !is_later(at_hook.hook) => {
            connection.state = CtState::INVALID;
        }
        Some(ct) => {
            connection.state = ct.state;
            connection.direction = ct.direction.unwrap_or(CtDirection::Original);
            connection.status = ct.status;
        }
        None => connection.state = CtState::INVALID,
    }
    if let Some((mark, zone)) = ledger.of(after) {
        // An unconfirmed new connection is another one with the same id.
        if attached
            || !matches!(at_hook.hook, Hook::Prerouting | Hook::Output)
            || connection.status.contains(CtStatus::CONFIRMED)
        {
            (connection.mark, connection.zone) = (mark, zone);
        }
    }
    situation.connection = connection;
    if let Some(shown) = sensor("translated").map(|run| &run.shown) {
        let translated = Packet::traced(shown, 0)?;
        let kind = sensor("translated").and_then(|run| self::number(run, "FibDaddrType"));
        situation.translated_daddr_type = kind.map(AddrType);
        let ends = (
            SocketAddr::new(translated.source, translated.sport),
            SocketAddr::new(translated.destination, translated.dport),
        );
        situation.translated = Some(ends);
        situation.own_address = Some(match at_hook.hook {
            Hook::Input | Hook::Postrouting => translated.source,
            _ => translated.destination,
        });
    }
    Some(situation)
}

fn number(run: &Run, key: &str) -> Option<u32> {
    run.comments.iter().find_map(|comment| comment.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}
