//! A packet that two rule sets treat differently, and what each of them does with it.

use std::fmt::{self, Display};

use super::outcome::Outcome;
use crate::model::{CtDirection, CtState, Hook, NatKind};
use crate::sim::addresses::{address, listening_at};
use crate::sim::cells::{Cell, Input, known};
use crate::sim::flow::{NewAddress, Tracking, Translation, cells};
use crate::sim::hook::Passed;
use crate::sim::one_hook::walk_hook;
use crate::sim::packet::Connection;
use crate::sim::rules::Rules;
use crate::sim::situation::Situation;
use crate::sim::walk::Walk;

/// A packet that distinguishes two rule sets. Prints as one line that describes the difference, and
/// the rules of both sides that matched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Counterexample {
    /// The hook at which they differ.
    pub hook: Hook,
    /// The packet there, and everything around it that matters.
    pub situation: Situation,
    /// What the first rule set does with it, in words: `redirects to :15001`.
    pub a: String,
    /// What the second rule set does with it.
    pub b: String,
    /// Its walk through the first rule set.
    pub walk_a: Walk,
    /// Its walk through the second rule set.
    pub walk_b: Walk,
}

impl Counterexample {
    pub(super) fn new(hook: Hook, situation: Situation, a: (&Rules, &Outcome), b: (&Rules, &Outcome)) -> Self {
        let walk = |rules: &Rules| walk_hook(rules, hook, &situation);
        let (walk_a, walk_b) = (walk(a.0), walk(b.0));
        let (a, b) = (words(&situation, a.1), words(&situation, b.1));
        Counterexample { hook, a, b, walk_a, walk_b, situation }
    }
}

impl Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counterexample { hook, situation, a, b, walk_a, walk_b } = self;
        writeln!(f, "at {}, {}: a {a}, b {b}", hook.name(), Around(situation))?;
        for (side, walk) in [("a", walk_a), ("b", walk_b)] {
            // The first line repeats the packet.
            let text = walk.short().to_string();
            for line in text.lines().skip(1) {
                writeln!(f, "  {side}: {line}")?;
            }
        }
        Ok(())
    }
}

/// A packet, and what is unusual around it.
struct Around<'a>(&'a Situation);

impl Display for Around<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Situation { packet, incoming, outgoing, connection, receiver, listener, translated, .. } = self.0;
        packet.fmt(f)?;
        for (word, interface) in [("in", incoming), ("out", outgoing)] {
            if let Some(interface) = interface {
                write!(f, " {word} {}", interface.name)?;
            }
        }
        let usual = Connection::default();
        if connection.state != usual.state {
            let names: Vec<String> = connection.state.iter_names().map(|(name, _)| name.to_lowercase()).collect();
            write!(f, " state {}", names.join(","))?;
        }
        if connection.direction == CtDirection::Reply {
            f.write_str(" reply")?;
        }
        if connection.attached {
            f.write_str(" tracked on its way out")?;
        }
        for (word, value) in
            [("ct mark", connection.mark), ("zone", connection.zone.into()), ("status", connection.status.bits())]
        {
            if value != 0 {
                write!(f, " {word} {value:#x}")?;
            }
        }
        if let Some((from, to)) = translated {
            write!(f, " translated to {from} -> {to}")?;
        }
        if receiver.is_some() {
            f.write_str(" with a socket that would receive it")?;
        }
        if !listener {
            f.write_str(" without a listener")?;
        }
        Ok(())
    }
}

/// Describes what was done with a packet of which everything is known.
fn words(situation: &Situation, outcome: &Outcome) -> String {
    let flow = &outcome.flow;
    let end = match outcome.passed {
        Passed::Accepted => None,
        Passed::Dropped(_) => return format!("drops it{}", left_behind(situation, outcome)),
        Passed::Queued(queue, _) => Some(format!("sends it to queue {}", queue.num)),
        Passed::Rejected(..) => return format!("rejects it{}", left_behind(situation, outcome)),
    };
    let mut done: Vec<String> = Vec::new();
    done.extend(flow.translation.as_ref().map(|translation| translated(situation, translation)));
    done.extend(flow.tproxy.as_ref().map(|target| {
        let (address, port) = listening_at(target, situation.packet.family());
        let port = port.unwrap_or(situation.packet.dport);
        format!("gives it to the transparent socket on {}:{port}", address.map_or(String::new(), |at| at.to_string()))
    }));
    let number = |mark: &[Cell; 4]| known(mark).map_or(0, u32::from_ne_bytes);
    let mark: [Cell; 4] = cells(situation, Input::Mark);
    let is_rerouted = flow.routed != mark;
    if flow.mark != mark {
        let again = if is_rerouted && flow.routed == flow.mark { " and routes it again" } else { "" };
        done.push(format!("sets mark {:#x}{again}", number(&flow.mark)));
    }
    if is_rerouted && flow.routed != flow.mark {
        done.push(format!("routes it again by mark {:#x}", number(&flow.routed)));
    }
    if flow.ct_mark != cells(situation, Input::CtMark) {
        done.push(format!("sets mark {:#x} of the connection", number(&flow.ct_mark)));
    }
    if let Some(zone) = flow.zone.and_then(|zone| known(&zone)) {
        done.push(format!("puts it into zone {}", u16::from_ne_bytes(zone)));
    }
    if flow.tracking == Tracking::Untracked && situation.connection.state != CtState::UNTRACKED {
        done.push("does not track it".to_owned());
    }
    done.extend(end);
    if done.is_empty() { "leaves it alone".to_owned() } else { done.join(", ") }
}

/// Describes what remains of a packet that is gone: the mark of its connection.
fn left_behind(situation: &Situation, outcome: &Outcome) -> String {
    if outcome.flow.ct_mark == cells(situation, Input::CtMark) {
        return String::new();
    }
    let mark = known(&outcome.flow.ct_mark).map_or(0, u32::from_ne_bytes);
    format!(" and sets mark {mark:#x} of the connection")
}

fn translated(situation: &Situation, Translation { kind, address: new, ports, flags: _ }: &Translation) -> String {
    let family = situation.packet.family();
    let port = |port: &[Cell; 2]| known(port).map_or(0, u16::from_be_bytes);
    let ports = ports.map(|(low, high)| (port(&low), port(&high)));
    let ports = match ports {
        None => String::new(),
        Some((low, high)) if low == high => format!(":{low}"),
        Some((low, high)) => format!(":{low}-{high}"),
    };
    let what = match (kind, new) {
        (NatKind::Dnat, NewAddress::Own) => {
            return format!("redirects to {}", if ports.is_empty() { "this host" } else { &ports });
        }
        (NatKind::Snat, NewAddress::Own) => return format!("masquerades it{ports}"),
        (NatKind::Dnat, _) => "destination",
        (NatKind::Snat, _) => "source",
    };
    match new {
        NewAddress::Range(low, high) => {
            let (low, high) = (address(low, family), address(high, family));
            let range = if low == high { String::new() } else { format!("-{high}") };
            format!("translates its {what} to {low}{range}{ports}")
        }
        NewAddress::Kept | NewAddress::Own => format!("translates its {what} to {ports}"),
    }
}
