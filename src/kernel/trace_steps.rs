//! Converts a trace to the steps of a walk: messages name chains and handles, steps name hooks and
//! rules.
//!
//! A message contains neither its hook nor the text of a rule: both come from a snapshot, which is
//! read again after every commit. A rule that was deleted between a packet and its message is
//! reported as [`TracedSteps::unknown`].

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::links::interfaces;
use super::listener::failed;
use super::live::Kernel;
use super::netns::NetNs;
use crate::error::Result;
use crate::model::{ChainId, CtDirection, Generation, Hook, Policy, RuleHandle, Statement, Verdict};
use crate::sim::{Change, End, Fate, HeaderBytes, Interface, Packet, RuleLine, Rules, Step};
use crate::state::{TraceEvent, TraceMessage, TraceStep, TraceVerdict, TracedConnection, TracedDevice, TracedPacket};

/// Converts the messages of a [`Trace`](super::Trace) to the steps of a walk.
///
/// Only what the kernel reports is included: rules that did not match, and what happens between
/// hooks, are missing. The mark and zone of a connection are not reported and are 0.
///
/// A packet that comes in again through lo has another number from there on: its steps go on under
/// that number with [`Step::Loopback`]. [`Stories`](super::Stories) tells them all.
///
/// ```no_run
/// use std::collections::HashMap;
///
/// use nftmesh::kernel::{Kernel, TraceFilter, TraceSteps};
/// use nftmesh::model::Rule;
/// use nftmesh::state::TraceEvent;
/// use nftmesh::sim::Story;
///
/// let (kernel, mut steps) = (Kernel::open()?, TraceSteps::open()?);
/// let mut stories = HashMap::new();
/// for event in kernel.trace(TraceFilter::from(Rule::new().tcp_dport(15001)))? {
///     let TraceEvent::Message(message) = event? else { continue };
///     let traced = steps.take(&message)?;
///     if let Some(packet) = traced.begins {
///         stories.insert(message.id, Story::new(packet));
///     }
///     if let Some(story) = stories.get_mut(&message.id) {
///         traced.steps.iter().for_each(|step| print!("{}", story.tell(step)));
///     }
///     if let Some(end) = traced.end {
///         println!("{end}");
///         stories.remove(&message.id);
///     }
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct TraceSteps {
    kernel: Kernel,
    generation: Option<Generation>,
    rules: Rules,
    /// The rules before the last commit: messages may be older.
    rules_before: Rules,
    interfaces: BTreeMap<u32, String>,
    packets: HashMap<u32, LastSeen>,
    /// The packet that left through lo and has not come in yet.
    round_lo: Option<(Packet, Option<TracedConnection>)>,
}

/// The content of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedSteps {
    /// The packet, where its trace begins.
    pub begins: Option<Packet>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The final decision about the packet, if it was reported.
    pub end: Option<End>,
    /// Information that is no longer available.
    pub unknown: Option<String>,
}

/// Where a packet was last reported.
#[derive(Debug)]
struct LastSeen {
    hook: Hook,
    /// The base chains it has traversed at this hook.
    chains: Vec<Arc<ChainId>>,
    packet: Packet,
    incoming: Option<Interface>,
    outgoing: Option<Interface>,
    connection: Option<TracedConnection>,
}

impl TraceSteps {
    /// Opens the converter in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    pub fn open() -> Result<Self> {
        TraceSteps::of(&NetNs::current()?)
    }

    /// Opens the converter for a namespace.
    pub(super) fn of(namespace: &NetNs) -> Result<Self> {
        let mut steps = TraceSteps {
            kernel: namespace.kernel()?,
            generation: None,
            rules: Rules::default(),
            rules_before: Rules::default(),
            interfaces: BTreeMap::new(),
            packets: HashMap::new(),
            round_lo: None,
        };
        steps.refresh()?;
        Ok(steps)
    }

    /// Converts a message. Messages must come in the order of the trace.
    ///
    /// # Errors
    /// When rules or interfaces have to be read again and cannot be.
    pub fn take(&mut self, message: &TraceMessage) -> Result<TracedSteps> {
        self.refresh()?;
        let mut traced = TracedSteps::default();
        let chain = message.table.chain(&message.chain);
        if let Some(shown) = &message.packet {
            match self.base(&chain) {
                Some((chain, base)) => {
                    let (hook, chain_step) = (base.hook, Step::Chain { chain: Arc::clone(&chain), base });
                    self.shown(&mut traced, message, shown, hook, chain)?;
                    traced.steps.push(chain_step);
                }
                None => traced.unknown = Some(format!("chain {chain} no longer exists")),
            }
        }
        let hook = self.packets.get(&message.id).map_or(Hook::Prerouting, |place| place.hook);
        match &message.step {
            TraceStep::End => {}
            TraceStep::Policy(policy) => {
                let chain = Arc::new(chain);
                if *policy == Policy::Drop {
                    traced.end = Some(End::DroppedByPolicy(Arc::clone(&chain)));
                }
                traced.steps.push(Step::Policy { hook, chain, policy: *policy });
            }
            TraceStep::Rule { handle, verdict } => match (self.rule(&chain, *handle), fate(verdict)) {
                (Some(rule), Some(fate)) => {
                    traced.end = end(&rule, &fate);
                    traced.steps.push(Step::Rule { hook, rule, fate });
                }
                (Some(rule), None) => traced.unknown = Some(format!("chain {chain}: {verdict} by {rule}")),
                (None, _) => {
                    traced.unknown = Some(format!("chain {chain}: rule {handle} no longer exists: {verdict}"));
                }
            },
        }
        self.mark(&mut traced, message);
        if traced.end.is_some() {
            self.packets.remove(&message.id);
        } else {
            self.leaves(message);
        }
        Ok(traced)
    }

    /// Records the packet as it enters a base chain.
    fn shown(
        &mut self,
        traced: &mut TracedSteps,
        message: &TraceMessage,
        shown: &TracedPacket,
        hook: Hook,
        chain: Arc<ChainId>,
    ) -> Result<()> {
        let begins_here = matches!(hook, Hook::Output | Hook::Prerouting);
        let is_here = |place: &LastSeen| place.hook == hook && !place.chains.contains(&chain);
        let before = self.packets.remove(&message.id).filter(|place| is_here(place) || !begins_here);
        // The mark is the one after the first rule; the one before it is known only from an
        // earlier chain.
        let mark = before.as_ref().map_or(message.mark, |place| place.packet.mark);
        let Some(mut packet) = Packet::traced(shown, mark) else {
            traced.unknown = Some("a packet without an IP header".to_owned());
            return Ok(());
        };
        // The fields are enough for people.
        packet.bytes = HeaderBytes::default();
        let (incoming, outgoing) = (self.interface(shown.iif)?, self.interface(shown.oif)?);
        let mut place = match before {
            Some(place) if is_here(&place) => place,
            before => {
                let by_lo = incoming.as_ref().is_some_and(|interface| interface.index == LO);
                let around = if before.is_none() && by_lo { self.left_by_lo(&packet) } else { None };
                match (&before, &around) {
                    (None, None) => traced.begins = Some(packet.clone()),
                    (None, Some(_)) => traced.steps.push(Step::Loopback),
                    (Some(_), _) => {}
                }
                let connection = before.and_then(|place| place.connection).or(around.and_then(|(_, known)| known));
                let (packet, incoming, outgoing) = (packet.clone(), incoming.clone(), outgoing.clone());
                traced.steps.push(Step::Hook { hook, packet: packet.clone(), incoming, outgoing });
                LastSeen { hook, chains: Vec::new(), packet, incoming: None, outgoing: None, connection }
            }
        };
        if !is_same(place.connection, shown.ct) {
            traced.steps.extend(shown.ct.map(|ct| tracked(&ct)));
        }
        traced.steps.extend(translated(&place.packet, &packet).into_iter().flatten().map(Step::Change));
        (place.incoming, place.outgoing, place.connection) = (incoming, outgoing, shown.ct);
        place.packet = packet;
        place.chains.push(chain);
        if self.packets.len() >= MOST_PACKETS {
            self.packets.clear();
        }
        self.packets.insert(message.id, place);
        Ok(())
    }

    /// Records the mark after the step.
    fn mark(&mut self, traced: &mut TracedSteps, message: &TraceMessage) {
        let Some(place) = self.packets.get_mut(&message.id) else { return };
        let (from, to) = (place.packet.mark, message.mark);
        // A packet that the kernel no longer owns shows none.
        if from != to && traced.end.is_none() {
            place.packet.mark = to;
            traced.steps.push(Step::Change(Change::Mark { from, to }));
        }
    }

    fn leaves(&mut self, message: &TraceMessage) {
        let Some(place) = self.packets.get(&message.id) else { return };
        let through_lo = place.outgoing.as_ref().is_some_and(|interface| interface.index == LO);
        if matches!(place.hook, Hook::Output | Hook::Postrouting) && through_lo {
            self.round_lo = Some((place.packet.clone(), place.connection));
        }
    }

    /// Returns the packet that last left through lo, if it is this one, with its connection.
    fn left_by_lo(&mut self, packet: &Packet) -> Option<(Packet, Option<TracedConnection>)> {
        let ends = |packet: &Packet| (packet.protocol, packet.source, packet.destination, packet.sport, packet.dport);
        self.round_lo.take().filter(|(left, _)| ends(left) == ends(packet))
    }

    fn base(&self, chain: &ChainId) -> Option<(Arc<ChainId>, crate::model::Base)> {
        let found = self.rules.base(chain).or_else(|| self.rules_before.base(chain));
        found.map(|(chain, base)| (Arc::clone(chain), *base))
    }

    fn rule(&self, chain: &ChainId, handle: RuleHandle) -> Option<Arc<RuleLine>> {
        let found = |rules: &Rules| rules.rule(&chain.table, handle).filter(|rule| rule.chain == *chain).cloned();
        found(&self.rules).or_else(|| found(&self.rules_before))
    }

    fn refresh(&mut self) -> Result<()> {
        if self.generation == Some(self.kernel.generation()?) {
            return Ok(());
        }
        let snapshot = self.kernel.snapshot()?;
        self.generation = Some(snapshot.generation);
        self.rules_before = std::mem::replace(&mut self.rules, Rules::try_from(&snapshot)?);
        Ok(())
    }

    fn interface(&mut self, device: Option<TracedDevice>) -> Result<Option<Interface>> {
        let Some(TracedDevice { index, .. }) = device else { return Ok(None) };
        if !self.interfaces.contains_key(&index) {
            let namespace = self.kernel.socket.namespace().map_err(failed::<TraceEvent>)?;
            self.interfaces = NetNs::from_fd(namespace)?.run(interfaces)??;
        }
        let name = self.interfaces.get(&index).cloned().unwrap_or_else(|| index.to_string());
        Ok(Some(Interface::new(index, name)))
    }
}

/// Returns the fate of a verdict; `None` for what no walk knows.
fn fate(verdict: &TraceVerdict) -> Option<Fate> {
    match verdict {
        TraceVerdict::Given(verdict) => Some(Fate::Matched(verdict.clone())),
        TraceVerdict::Queued { .. } => Some(Fate::Queued),
        TraceVerdict::Other(_) | TraceVerdict::Stolen => None,
    }
}

fn end(rule: &Arc<RuleLine>, fate: &Fate) -> Option<End> {
    let rejects = rule.rule.statements.iter().any(|statement| matches!(statement, Statement::Reject(_)));
    match fate {
        Fate::Matched(Verdict::Drop) if rejects => Some(End::Rejected(Arc::clone(rule))),
        Fate::Matched(Verdict::Drop) => Some(End::DroppedByRule(Arc::clone(rule))),
        Fate::Queued => Some(End::Queued(Arc::clone(rule))),
        Fate::Failed(_) | Fate::Matched(_) => None,
    }
}

/// Returns whether tracking reports nothing new; the status changes on the way.
fn is_same(before: Option<TracedConnection>, now: Option<TracedConnection>) -> bool {
    let identity = |ct: TracedConnection| (ct.state, ct.id, ct.direction);
    before.map(identity) == now.map(identity)
}

fn tracked(ct: &TracedConnection) -> Step {
    let TracedConnection { state, id: _, direction, status: _ } = *ct;
    Step::Change(Change::Tracked { state, direction: direction.unwrap_or(CtDirection::Original), zone: 0, mark: 0 })
}

/// Returns the changes of addresses and ports.
fn translated(before: &Packet, after: &Packet) -> [Option<Change>; 2] {
    let source = |packet: &Packet| SocketAddr::new(packet.source, packet.sport);
    let destination = |packet: &Packet| SocketAddr::new(packet.destination, packet.dport);
    let dnat = Change::Dnat { from: destination(before), to: destination(after) };
    let snat = Change::Snat { from: source(before), to: source(after) };
    [(destination(before) != destination(after)).then_some(dnat), (source(before) != source(after)).then_some(snat)]
}

/// `LOOPBACK_IFINDEX`, include/net/flow.h.
const LO: u32 = 1;
/// Above this number, packets without further reports are forgotten.
const MOST_PACKETS: usize = 4096;
