//! Walks: what a packet passed on its way, what was done to it, and where it ended. Prints as a
//! story; see [`story`](super::story).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::inputs::CannotTell;
use super::packet::{Interface, Packet};
use super::rules::RuleLine;
use crate::model::{Base, ChainId, CtDirection, CtState, Hook, Policy, Verdict};

/// The path of one packet. Prints as a story, one event a line; [`short`](Walk::short) prints only
/// what matched.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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

/// An event on the way.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A base chain begins.
    Chain {
        /// The chain.
        chain: Arc<ChainId>,
        /// Where it is hooked.
        base: Base,
    },
    /// The packet, or its connection, was changed.
    Change(Change),
    /// The packet reaches a hook.
    Hook {
        /// The hook.
        hook: Hook,
        /// The packet as it is there.
        packet: Packet,
        /// The interface it came in by.
        incoming: Option<Interface>,
        /// The interface it leaves by.
        outgoing: Option<Interface>,
    },
    /// This host gets its own copy of a broadcast or multicast packet; the copy passes the next
    /// hook first.
    Copied,
    /// A packet that left through lo comes in there.
    Loopback,
    /// No rule of a base chain decided.
    Policy {
        /// The hook.
        hook: Hook,
        /// The chain.
        chain: Arc<ChainId>,
        /// The policy.
        policy: Policy,
    },
    /// The packet was routed.
    Routed(Way),
    /// A rule was run on the packet.
    Rule {
        /// The hook.
        hook: Hook,
        /// The rule.
        rule: Arc<RuleLine>,
        /// The result.
        fate: Fate,
    },
}

/// The result of a rule for a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// A statement did not match: its index in the rule; see [`RuleLine::statement`].
    Failed(usize),
    /// All of it matched. A translation accepts and a rejection drops, as in a trace of the kernel.
    Matched(Verdict),
    /// All of it matched, and the packet went to a queue.
    Queued,
}

/// A change to the packet or its connection.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The mark of the connection.
    CtMark {
        /// The old mark.
        from: u32,
        /// The new mark.
        to: u32,
    },
    /// The destination; ports are 0 for protocols without ports.
    Dnat {
        /// The old destination.
        from: SocketAddr,
        /// The new destination.
        to: SocketAddr,
    },
    /// The mark of the packet.
    Mark {
        /// The old mark.
        from: u32,
        /// The new mark.
        to: u32,
    },
    /// The source; ports are 0 for protocols without ports.
    Snat {
        /// The old source.
        from: SocketAddr,
        /// The new source.
        to: SocketAddr,
    },
    /// A transparent socket gets the packet.
    Tproxy {
        /// Its address; the packet's own if `None`.
        address: Option<IpAddr>,
        /// Its port; the packet's own if `None`.
        port: Option<u16>,
    },
    /// Connection tracking found or created its connection.
    Tracked {
        /// The state of the packet in its connection.
        state: CtState,
        /// The direction of the packet.
        direction: CtDirection,
        /// The zone in which it was looked up.
        zone: u16,
        /// The mark of the connection.
        mark: u32,
    },
    /// The translation had a choice that depends on the running kernel; the lowest is shown.
    Unpredictable,
    /// Connection tracking will not see it.
    Untracked,
    /// It will be tracked in this zone.
    Zone(u16),
}

/// The destination to which routing sends a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "in or out")]
pub enum Way {
    /// To this host.
    Local,
    /// Out of an interface; local traffic leaves through lo first.
    Out(Interface),
}

/// The end of a walk.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// The host itself could not deliver or forward it.
    Lost(Lost),
    /// It passed the single hook of [`walk_hook`](super::walk_hook).
    Passed,
    /// A rule sent it to a queue: a user-space program decides.
    Queued(Arc<RuleLine>),
    /// A rule rejected it, and its sender is notified.
    Rejected(Arc<RuleLine>),
    /// It left by an interface.
    Sent(Interface),
}

impl End {
    /// Returns whether the packet got through: a socket gets it, it left by an interface, or it
    /// passed the single hook. What is not known here, and what a program decides that reads a
    /// queue, is not through.
    #[doc(alias("accepted", "dropped"))]
    #[must_use]
    pub fn is_through(&self) -> bool {
        match self {
            End::Delivered(_) | End::Passed | End::Sent(_) => true,
            End::CannotTell(_)
            | End::DroppedByPolicy(_)
            | End::DroppedByRule(_)
            | End::Lost(_)
            | End::Queued(_)
            | End::Rejected(_) => false,
        }
    }
}

/// The socket that gets a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// The destination of the packet there; ports are 0 for protocols without ports.
    pub destination: SocketAddr,
    /// The port of the socket; it differs from the packet's if `tproxy` chose the socket.
    pub port: u16,
    /// Whether it is a transparent socket, which may receive packets for other addresses.
    pub transparent: bool,
}

/// Why the host could not deliver or forward a packet.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// Its replies could not be distinguished from those of another connection: a translation gives
    /// both the same addresses and ports.
    Clash,
    /// It would loop through lo for ever.
    Loop,
    /// A loopback address on an interface other than lo.
    Martian,
    /// The connection was masqueraded with the address of another interface than the one by which
    /// the packet leaves. The connection is deleted.
    Moved,
    /// An interface has no address to translate to.
    NoAddress,
    /// There is no route.
    NoRoute,
    /// This host does not forward.
    NotForwarding,
    /// A transparent socket should get it, but it is not routed to this host: the policy route for
    /// its mark is missing.
    NotRoutedHere,
    /// An ICMP redirect about a translated connection, whose sender does not know of the
    /// translation.
    Redirect,
    /// A route refuses it: blackhole, prohibit, unreachable or throw without another route.
    Refused,
    /// Its source is not accepted on the incoming interface.
    Source,
    /// It is a link-layer broadcast or multicast, which is not forwarded.
    Shared,
    /// Its time to live is used up.
    TimeToLive,
    /// No interface has this name.
    UnknownInterface(String),
}

impl Walk {
    /// Returns the rules that matched, in order, each with its hook and result.
    pub fn matched(&self) -> impl Iterator<Item = (Hook, &Arc<RuleLine>, &Fate)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Rule { hook, rule, fate } if !matches!(fate, Fate::Failed(_)) => Some((*hook, rule, fate)),
            _ => None,
        })
    }
}
