//! Waits for a packet like the one asked about, and compares what the kernel does with it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nftmesh::kernel::{TraceFilter, TracedSteps};
use nftmesh::model::{Rule, daddr, saddr, th_dport, th_sport};
use nftmesh::sim::{End, Packet, RuleLine, Step, Walk};
use nftmesh::state::TraceEvent;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::common::source::Complaint;
use super::namespace::{Asked, Namespace, cut, matched, plain};

/// What was seen.
pub(crate) struct Seen {
    pub text: String,
    /// Whether the kernel did what the walk says.
    pub agrees: bool,
}

/// Waits for such a packet, at most so many seconds.
pub(crate) fn watch(
    namespace: &Namespace,
    asked: &Asked,
    incoming: Option<&str>,
    seconds: u64,
) -> Result<Seen, Complaint> {
    let line = |error: nftmesh::Error| error.to_string();
    let mut trace = namespace.netns.trace(filter(asked, incoming)).map_err(line)?;
    let mut steps = namespace.netns.trace_steps().map_err(line)?;
    eprintln!("why: waiting up to {seconds} s for such a packet");
    let mut until = Instant::now() + Duration::from_secs(seconds);
    let mut traced = Traced::default();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|why| why.to_string())?;
        match poll(&mut [PollFd::new(&trace, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(format!("poll: {why}")),
        }
        while let Some(event) = trace.try_next().map_err(line)? {
            match event {
                TraceEvent::Message(message) => {
                    let known = steps.take(&message).map_err(line)?;
                    if traced.take(message.id, known) {
                        // What remains to be reported of this packet comes at once.
                        until = Instant::now() + LAST;
                    }
                }
                TraceEvent::Overflow => return Err("more was traced than could be read; ask again".to_owned()),
                _ => return Err("the rules changed while the packet was on its way; ask again".to_owned()),
            }
        }
    }
    let Some(mut packet) = traced.packet.clone() else {
        let text = format!("no such packet in {seconds} s\n");
        return Ok(Seen { text, agrees: false });
    };
    packet.owner = asked.packet.owner;
    let walk = namespace.walk(&packet, incoming)?;
    Ok(beside(&walk, &traced))
}

/// Returns what selects such packets, wherever their trace begins.
fn filter(asked: &Asked, incoming: Option<&str>) -> TraceFilter {
    let packet = &asked.packet;
    let mut rule = Rule::new().l4proto(packet.protocol);
    if let Some(name) = incoming {
        rule = rule.iifname(name);
    }
    rule = rule.matches(saddr(packet.source)).matches(daddr(packet.destination));
    if packet.protocol.has_ports() {
        rule = rule.matches(th_dport(packet.dport));
        if !asked.any_port {
            rule = rule.matches(th_sport(packet.sport));
        }
    }
    if let Some(owner) = &packet.owner {
        rule = rule.skuid(owner.uid);
    }
    TraceFilter::from(rule)
}

/// The first packet that was traced, on its whole way.
#[derive(Default)]
struct Traced {
    /// The kernel's ids of it; it has another one after lo.
    ids: Vec<u32>,
    packet: Option<Packet>,
    rules: Vec<(String, Arc<RuleLine>)>,
    end: Option<End>,
    unknown: Option<String>,
}

impl Traced {
    /// Takes what is of the first packet; returns whether it was.
    fn take(&mut self, id: u32, known: TracedSteps) -> bool {
        let TracedSteps { begins, steps, end, unknown, .. } = known;
        if let (None, Some(packet)) = (&self.packet, begins) {
            self.packet = Some(packet);
            self.ids.push(id);
        }
        // Through lo it comes in with a new id.
        if steps.iter().any(|step| matches!(step, Step::Loopback)) && self.packet.is_some() {
            self.ids.push(id);
        }
        if !self.ids.contains(&id) {
            return false;
        }
        self.rules.extend(rules(&steps));
        self.unknown = self.unknown.take().or(unknown);
        self.end = end.or(self.end.take());
        true
    }
}

fn rules(steps: &[Step]) -> Vec<(String, Arc<RuleLine>)> {
    let of = |step: &Step| match step {
        Step::Rule { hook, rule, .. } if matched(step) => Some((hook.to_string(), Arc::clone(rule))),
        _ => None,
    };
    steps.iter().filter_map(of).collect()
}

/// Prints the rules that matched, those of the walk and of the kernel's trace, and where they
/// part.
fn beside(walk: &Walk, traced: &Traced) -> Seen {
    let walked = rules(&walk.steps);
    let same = |one: &(String, Arc<RuleLine>), other: &(String, Arc<RuleLine>)| {
        one.0 == other.0 && one.1.chain == other.1.chain && one.1.handle == other.1.handle
    };
    let common = walked.iter().zip(&traced.rules).take_while(|(one, other)| same(one, other)).count();
    let mut text = format!("traced: {}\n", walk.packet);
    let row = |text: &mut String, sign: &str, (hook, rule): &(String, Arc<RuleLine>)| {
        let _ = writeln!(text, "  {sign} {hook}: {}, rule {}: {}", rule.chain, rule.number, cut(&plain(rule), 120));
    };
    walked.iter().take(common).for_each(|rule| row(&mut text, "  both ", rule));
    walked.iter().skip(common).for_each(|rule| row(&mut text, "  walk ", rule));
    traced.rules.iter().skip(common).for_each(|rule| row(&mut text, "  trace", rule));
    let cannot_tell = matches!(walk.end, End::CannotTell(_));
    let complete = common == traced.rules.len() && (common == walked.len() || cannot_tell);
    let _ = writeln!(text, "  walk:  {}", walk.end);
    match &traced.end {
        Some(end) => {
            let _ = writeln!(text, "  trace: {end}");
        }
        None => text.push_str("  trace: no rule and no policy ended its way\n"),
    }
    if let Some(unknown) = &traced.unknown {
        let _ = writeln!(text, "  {unknown}");
    }
    text.push_str(match (complete, cannot_tell) {
        (true, false) => "they agree\n",
        (true, true) => "they agree as far as the walk can tell\n",
        (false, _) => "THEY DIFFER: please report this with --report\n",
    });
    Seen { text, agrees: complete }
}

/// The remaining messages about a packet come within this time.
const LAST: Duration = Duration::from_millis(300);
