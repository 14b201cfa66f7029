//! Walks as text, for people: the path in short lines, hook by hook, or only what matched.
//!
//! A rule prints as in nft, without its counters. For one that did not match, the failed statement
//! and the packet's value are printed.

mod packet;

use std::fmt::{self, Display};
use std::net::SocketAddr;

use super::packet::{Interface, Packet};
use super::rules::RuleLine;
use super::walk::{Change, Delivery, End, Fate, Lost, Step, Walk, Way};
use crate::model::{ChainId, CtDirection, CtState, Protocol, Statement, Value};
use crate::render::InFamily;

impl Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walk { packet, steps, end } = self;
        writeln!(f, "{packet}")?;
        let mut here = Here { packet: packet.clone(), ..Here::default() };
        for step in steps {
            here.tell(f, step)?;
            here.take(step);
        }
        unknown(f, end)?;
        writeln!(f, "{end}")
    }
}

impl Walk {
    /// Returns only the rules that matched and what was changed, each on a line after its hook.
    #[must_use]
    pub fn short(&self) -> Short<'_> {
        Short(self)
    }
}

/// See [`Walk::short`].
#[derive(Clone, Copy, Debug)]
pub struct Short<'a>(&'a Walk);

impl Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walk { packet, steps, end } = self.0;
        writeln!(f, "{packet}")?;
        let mut at = "";
        for step in steps {
            match step {
                Step::Hook { hook, .. } => at = hook.name(),
                Step::Rule { rule, fate: Fate::Matched(_) | Fate::Queued, .. } => {
                    writeln!(f, "{at}: {}, {}: {}", rule.chain, Number(rule), Text(rule))?;
                }
                Step::Change(change) if change.is_of_packet() => writeln!(f, "{at}: {change}")?,
                Step::Chain { .. } | Step::Change(_) | Step::Copied | Step::Loopback | Step::Policy { .. } => {}
                Step::Routed(_) | Step::Rule { .. } => {}
            }
        }
        unknown(f, end)?;
        writeln!(f, "{end}")
    }
}

/// The story of a packet on its way, printed step by step.
///
/// ```
/// use nftmesh::sim::{Step, Story, Way};
///
/// let mut story = Story::new("udp 10.77.0.2:40000 -> 10.77.0.1:53".parse()?);
/// assert_eq!(story.tell(&Step::Routed(Way::Local)), "routed to this host\n");
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Story(Here);

impl Story {
    /// Begins the story of this packet.
    #[must_use]
    pub fn new(packet: Packet) -> Self {
        Story(Here { packet, ..Here::default() })
    }

    /// Returns what happened next, in one line or more, as a [`Walk`] prints it.
    pub fn tell(&mut self, step: &Step) -> String {
        let text = StepText(&self.0, step).to_string();
        self.0.take(step);
        text
    }
}

struct StepText<'a>(&'a Here, &'a Step);

impl Display for StepText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.tell(f, self.1)
    }
}

/// Prints the rule that cannot be run here.
fn unknown(f: &mut fmt::Formatter<'_>, end: &End) -> fmt::Result {
    match end {
        End::CannotTell(reason) => {
            reason.rule().map_or(Ok(()), |rule| writeln!(f, "    ? {}: {}", Number(rule), Text(rule)))
        }
        _ => Ok(()),
    }
}

/// The packet at this point of the story.
#[derive(Debug)]
struct Here {
    packet: Packet,
    incoming: Option<Interface>,
    outgoing: Option<Interface>,
    ct: Option<(CtState, CtDirection, u16)>,
    ct_mark: Option<u32>,
    chain: Option<ChainId>,
}

impl Default for Here {
    fn default() -> Self {
        let nowhere = std::net::IpAddr::from([0; 4]);
        let packet = Packet::plain(Protocol(0), nowhere, nowhere);
        Here { packet, incoming: None, outgoing: None, ct: None, ct_mark: None, chain: None }
    }
}

impl Here {
    fn tell(&self, f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
        match step {
            Step::Hook { hook, packet, incoming, outgoing } => {
                f.write_str(hook.name())?;
                if let Some(interface) = incoming {
                    write!(f, ", in by {}", interface.name)?;
                }
                if let Some(interface) = outgoing {
                    write!(f, ", out by {}", interface.name)?;
                }
                writeln!(f, ": {packet}")
            }
            Step::Chain { chain, base } => {
                writeln!(f, "  chain {chain}: {}", InFamily { family: chain.table.family, value: base })
            }
            Step::Change(change) => {
                writeln!(f, "    {change}")?;
                let mut packet = self.packet.clone();
                change.apply(&mut packet);
                if packet != self.packet { writeln!(f, "    now {packet}") } else { Ok(()) }
            }
            Step::Policy { policy, .. } => writeln!(f, "    no rule decides: policy {}", policy.name()),
            Step::Copied => writeln!(f, "a copy of it, for this host, goes first"),
            Step::Loopback => writeln!(f, "comes in again through lo"),
            Step::Routed(way) => writeln!(f, "{way}"),
            Step::Rule { rule, fate, .. } => {
                if self.chain.as_ref() != Some(&rule.chain) {
                    writeln!(f, "  chain {}", rule.chain)?;
                }
                let sign = if matches!(fate, Fate::Failed(_)) { "-" } else { "+" };
                writeln!(f, "    {sign} {}: {}", Number(rule), Text(rule))?;
                let Fate::Failed(statement) = fate else { return Ok(()) };
                let text = rule.statement(*statement).unwrap_or_default();
                match rule.rule.statements.get(*statement).and_then(|statement| self.had(statement)) {
                    Some(had) => writeln!(f, "        not {}: {had}", Cut(&text)),
                    None => writeln!(f, "        not {}", Cut(&text)),
                }
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Hook { packet, incoming, outgoing, .. } => {
                self.packet = packet.clone();
                (self.incoming, self.outgoing) = (incoming.clone(), outgoing.clone());
            }
            Step::Change(change) => {
                change.apply(&mut self.packet);
                match change {
                    Change::Tracked { state, direction, zone, mark } => {
                        self.ct = Some((*state, *direction, *zone));
                        self.ct_mark = Some(*mark);
                    }
                    Change::CtMark { to, .. } => self.ct_mark = Some(*to),
                    Change::Dnat { .. } | Change::Mark { .. } | Change::Snat { .. } | Change::Tproxy { .. } => {}
                    Change::Unpredictable | Change::Untracked | Change::Zone(_) => {}
                }
            }
            Step::Chain { chain, .. } => self.chain = Some(ChainId::clone(chain)),
            Step::Rule { rule, .. } => self.chain = Some(rule.chain.clone()),
            Step::Copied | Step::Loopback | Step::Policy { .. } | Step::Routed(_) => {}
        }
    }
}

impl Change {
    /// Returns whether it concerns the packet and its translation, rather than what is known about
    /// it.
    fn is_of_packet(&self) -> bool {
        !matches!(self, Change::Tracked { .. })
    }

    fn apply(&self, packet: &mut Packet) {
        match self {
            Change::Dnat { to, .. } => {
                packet.destination = to.ip();
                packet.dport = if packet.protocol.has_ports() { to.port() } else { packet.dport };
            }
            Change::Mark { to, .. } => packet.mark = *to,
            Change::Snat { to, .. } => {
                packet.source = to.ip();
                packet.sport = if packet.protocol.has_ports() { to.port() } else { packet.sport };
            }
            Change::CtMark { .. } | Change::Tproxy { .. } | Change::Tracked { .. } => {}
            Change::Unpredictable | Change::Untracked | Change::Zone(_) => {}
        }
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::CtMark { from, to } => write!(f, "mark of the connection {from:#x} becomes {to:#x}"),
            Change::Dnat { from, to } => write!(f, "destination {} becomes {}", AddressText(from), AddressText(to)),
            Change::Mark { from, to } => write!(f, "mark {from:#x} becomes {to:#x}"),
            Change::Snat { from, to } => write!(f, "source {} becomes {}", AddressText(from), AddressText(to)),
            Change::Tproxy { address, port } => {
                f.write_str("for the transparent socket on ")?;
                match (address, port) {
                    (Some(address), Some(port)) => write!(f, "{}", SocketAddr::new(*address, *port)),
                    (Some(address), None) => write!(f, "{address}"),
                    (None, Some(port)) => write!(f, "port {port}"),
                    (None, None) => f.write_str("the packet's own port"),
                }
            }
            Change::Tracked { state, direction, zone, mark } => {
                write!(f, "connection tracking: {}", Value::CtState(*state))?;
                if *direction == CtDirection::Reply {
                    f.write_str(", a reply")?;
                }
                if *zone != 0 {
                    write!(f, ", zone {zone}")?;
                }
                if *mark != 0 { write!(f, ", mark {mark:#x}") } else { Ok(()) }
            }
            Change::Unpredictable => f.write_str("the kernel chooses among several here; this is the lowest"),
            Change::Untracked => f.write_str("connection tracking leaves it alone"),
            Change::Zone(zone) => write!(f, "its connection is looked up in zone {zone}"),
        }
    }
}

impl Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Local => f.write_str("routed to this host"),
            Way::Out(interface) => write!(f, "routed out by {}", interface.name),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ruled = |rule: &RuleLine| format!("{}, {}", rule.chain, Number(rule));
        match self {
            End::CannotTell(reason) => write!(f, "CANNOT TELL: {reason}"),
            End::Delivered(Delivery { destination, transparent: false, .. }) => {
                write!(f, "DELIVERED to {}", AddressText(destination))
            }
            End::Delivered(Delivery { destination, port, .. }) => {
                write!(f, "DELIVERED to port {port}, a transparent socket, as {}", AddressText(destination))
            }
            End::DroppedByPolicy(chain) => write!(f, "DROPPED by the policy of {chain}"),
            End::DroppedByRule(rule) => write!(f, "DROPPED by {}", ruled(rule)),
            End::Lost(lost) => write!(f, "DROPPED: {lost}"),
            End::Passed => f.write_str("PASSED this hook"),
            End::Queued(rule) => write!(f, "QUEUED by {}: a program decides", ruled(rule)),
            End::Rejected(rule) => write!(f, "REJECTED by {}", ruled(rule)),
            End::Sent(interface) => write!(f, "SENT out by {}", interface.name),
        }
    }
}

impl Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lost::Clash => "another connection has the addresses and ports that it was translated to; give more ports",
            Lost::Loop => "it loops through lo without end; a route sends to lo what is not for this host",
            Lost::Martian => "a loopback address on another interface than lo (net.ipv4.conf.*.route_localnet is off)",
            Lost::Moved => {
                "its connection was masqueraded for another interface, and is forgotten; route all of it alike"
            }
            Lost::NoAddress => "the interface has no address to translate to; give it one of this family",
            Lost::NoRoute => "no route to the destination",
            Lost::NotForwarding => "it is for another host, and this one does not forward (sysctl ip_forward)",
            Lost::NotRoutedHere => {
                "tproxy chose a socket, and the packet is not routed to this host; its mark needs a policy route"
            }
            Lost::Refused => "the route to the destination refuses it",
            Lost::Redirect => "an ICMP redirect about a connection that is translated would mislead its sender",
            Lost::Shared => {
                "it is for another host, and came to everybody on its link; only what came to this one is sent on"
            }
            Lost::Source => {
                "its source may not come in here: there is no way back to it, or it is this host's (sysctl rp_filter, accept_local)"
            }
            Lost::TimeToLive => "its time to live is over here",
            Lost::UnknownInterface(name) => return write!(f, "there is no interface {name} here"),
        })
    }
}

/// Prints an address, with a port if there is one.
struct AddressText<'a>(&'a SocketAddr);

impl Display for AddressText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.port() == 0 { self.0.ip().fmt(f) } else { self.0.fmt(f) }
    }
}

struct Number<'a>(&'a RuleLine);

impl Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.0.number)?;
        self.0.handle.map_or(Ok(()), |handle| write!(f, " (handle {handle})"))
    }
}

/// Prints a rule without its counters.
struct Text<'a>(&'a RuleLine);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rule = self.0.rule.clone();
        rule.statements.retain(|statement| !matches!(statement, Statement::Counter { .. }));
        InFamily { family: self.0.chain.table.family, value: &rule }.fmt(f)
    }
}

/// Prints the beginning of a long text.
struct Cut<'a>(&'a str);

impl Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}...", self.0.get(..end).unwrap_or_default()),
            None => f.write_str(self.0),
        }
    }
}

const LONGEST: usize = 80;
