//! A walk: what a packet met on its way, what was done to it, and where it ended. Prints as a
//! story, see [`story`](super::story).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::hook::{Decider, Passed, pass};
use super::inputs::{CannotTell, Inputs};
use super::packet::{Interface, Packet};
use super::recorder::Recorder;
use super::rules::{RuleLine, Rules};
use super::situation::Situation;
use crate::model::{Base, ChainId, CtDirection, CtState, Hook, Policy, Verdict};

/// The way of one packet. Prints as a story, one event a line; [`short`](Walk::short) is what
/// matched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Walk {
    /// The packet as it began.
    pub packet: Packet,
    /// What happened, in order.
    pub steps: Vec<Step>,
    /// Where it ended.
    pub end: End,
}

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A base chain begins.
    Chain {
        /// Which.
        chain: Arc<ChainId>,
        /// Where it is hooked.
        base: Base,
    },
    /// The packet, or its connection, was changed.
    Change(Change),
    /// The packet comes to a hook.
    Hook {
        /// Which.
        hook: Hook,
        /// The packet as it is there.
        packet: Packet,
        /// Where it came in.
        incoming: Option<Interface>,
        /// Where it leaves.
        outgoing: Option<Interface>,
    },
    /// What everybody on a wire gets, this host gets too: the copy for it goes first through the
    /// hook that follows.
    Copied,
    /// What left through lo comes in there.
    Loopback,
    /// No rule of a base chain decided.
    Policy {
        /// At which hook.
        hook: Hook,
        /// Of which chain.
        chain: Arc<ChainId>,
        /// What it says.
        policy: Policy,
    },
    /// A way was found.
    Routed(Way),
    /// A rule looked at the packet.
    Rule {
        /// At which hook.
        hook: Hook,
        /// Which.
        rule: Arc<RuleLine>,
        /// What it said.
        fate: Fate,
    },
}

/// What became of a packet at a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// A statement did not hold: its index in the rule, see [`RuleLine::statement`].
    Failed(usize),
    /// All of it held. A translation accepts, and a rejection drops, as a trace of the kernel has
    /// it.
    Matched(Verdict),
    /// All of it held, and the packet went to a queue.
    Queued,
}

/// Something that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The mark of the connection.
    CtMark {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// The destination; ports are 0 in protocols without.
    Dnat {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// The mark of the packet.
    Mark {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// The source; ports are 0 in protocols without.
    Snat {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// A transparent socket gets it.
    Tproxy {
        /// Where it listens; the packet's own address when absent.
        address: Option<IpAddr>,
        /// Where it listens; the packet's own port when absent.
        port: Option<u16>,
    },
    /// Connection tracking took it up.
    Tracked {
        /// What it is to its connection.
        state: CtState,
        /// Which way it goes.
        direction: CtDirection,
        /// The zone it was looked up in.
        zone: u16,
        /// The mark of the connection.
        mark: u32,
    },
    /// The translation had a choice that depends on the running kernel; the lowest stands for it
    /// here.
    Unpredictable,
    /// Connection tracking will not see it.
    Untracked,
    /// It will be tracked in this zone.
    Zone(u16),
}

/// Where routing sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "in or out")]
pub enum Way {
    /// To this host.
    Local,
    /// Out of an interface; what is for this host leaves through lo first.
    Out(Interface),
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// Something is not known here.
    CannotTell(CannotTell),
    /// A socket of this host gets it.
    Delivered(Delivery),
    /// The policy of a chain dropped it.
    DroppedByPolicy(Arc<ChainId>),
    /// A rule dropped it.
    DroppedByRule(Arc<RuleLine>),
    /// The host itself could do nothing with it.
    Lost(Lost),
    /// It passed the one hook that was asked about.
    Passed,
    /// A rule sent it to a queue: a program decides.
    Queued(Arc<RuleLine>),
    /// A rule refused it, and its sender hears of that.
    Rejected(Arc<RuleLine>),
    /// It left.
    Sent(Interface),
}

/// The socket that gets a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The destination that the packet has there; ports are 0 in protocols without.
    pub destination: SocketAddr,
    /// The port of the socket; another than the packet's when `tproxy` chose it.
    pub port: u16,
    /// Whether it is a transparent socket, which may get what is for others.
    pub transparent: bool,
}

/// Why the host could do nothing with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Its replies could not be told from those of another connection: a translation gives both the
    /// same addresses and ports.
    Clash,
    /// It would go round through lo for ever.
    Loop,
    /// A loopback address on a wire.
    Martian,
    /// The connection was masqueraded with the address of another interface than that by which the
    /// packet leaves. It is forgotten.
    Moved,
    /// An interface has no address to translate to.
    NoAddress,
    /// No route.
    NoRoute,
    /// This host does not forward.
    NotForwarding,
    /// A transparent socket should get it, and it is not routed to this host: the policy route of
    /// its mark is missing.
    NotRoutedHere,
    /// An ICMP redirect about a connection whose translation it does not know of.
    Redirect,
    /// A route says so: blackhole, prohibit, unreachable or throw without another.
    Refused,
    /// Where it came in, nothing is taken from its source.
    Source,
    /// It came to everybody on a link, and such are not sent on.
    Shared,
    /// It has gone as far as its time to live allows.
    TimeToLive,
    /// No interface has this name.
    UnknownInterface(String),
}

impl Walk {
    /// The rules that matched, in order, each with its hook and what it said.
    pub fn matched(&self) -> impl Iterator<Item = (Hook, &Arc<RuleLine>, &Fate)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Rule { hook, rule, fate } if !matches!(fate, Fate::Failed(_)) => Some((*hook, rule, fate)),
            _ => None,
        })
    }
}

/// Sends a packet through the chains of one hook.
///
/// ```
/// use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
/// use nftmesh::sim::{End, Rules, Situation, walk_hook};
///
/// let output = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER).rule(Rule::new().skuid(7).drop());
/// let rules = Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "t").chain(output)))?;
/// let packet = "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 7 gid 7".parse()?;
/// let walk = walk_hook(&rules, Hook::Output, &Situation::new(packet));
/// assert!(matches!(walk.end, End::DroppedByRule(rule) if rule.number == 1));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[must_use]
pub fn walk_hook(rules: &Rules, hook: Hook, situation: &Situation) -> Walk {
    let mut inputs = situation.clone();
    let mut flow = inputs.flow();
    let mut steps = Vec::new();
    let Situation { packet, incoming, outgoing, .. } = situation.clone();
    let mut recorder = Recorder::new(&mut steps, hook, packet.family(), &flow);
    recorder.hook(packet.clone(), incoming, outgoing);
    let passed = pass(rules, hook, &mut inputs, &mut flow, &mut recorder);
    let lost = if inputs.is_lost() { Lost::Redirect } else { Lost::NoRoute };
    Walk { packet, steps, end: ending(passed, lost).unwrap_or(End::Passed) }
}

/// Where it ended, if it did; `lost` is why, when the host could not go on.
pub(super) fn ending(passed: Result<Passed, CannotTell>, lost: Lost) -> Option<End> {
    match passed {
        Ok(Passed::Accepted) => None,
        Ok(Passed::Dropped(Decider::Host)) => Some(End::Lost(lost)),
        Ok(Passed::Dropped(Decider::Policy(chain))) => Some(End::DroppedByPolicy(chain)),
        Ok(Passed::Dropped(Decider::Rule(rule))) => Some(End::DroppedByRule(rule)),
        Ok(Passed::Queued(_, rule)) => Some(End::Queued(rule)),
        Ok(Passed::Rejected(_, rule)) => Some(End::Rejected(rule)),
        Err(reason) => Some(End::CannotTell(reason)),
    }
}
