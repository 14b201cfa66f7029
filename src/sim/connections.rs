//! Connection tracking: which packets belong together, and the translation that the first of them
//! was given.
//!
//! A connection has two tuples, as in the kernel: that of its packets where they begin, and that of
//! its replies where those begin. Translation changes the second (nf_nat_setup_info and
//! nf_nat_packet, net/netfilter/nf_nat_core.c, v6.12). Checksums are assumed to be right: tracking
//! ignores packets with a wrong one.

pub(super) mod sound;
mod status;
mod tcp;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use self::status::done;
pub(crate) use self::status::side;
pub(super) use self::status::{BOTH_NAT_DONE, NEVER_TRACKED, Tracked, is_never_tracked, nat_done};
use self::tcp::{Seen, Tcp};
use super::icmp::{is_error, is_icmp};
use super::packet::Packet;
use crate::model::{CtDirection, CtState, CtStatus, NatKind, Protocol};
use crate::xt::{End, OfConnection};

/// Source and destination of the packets of one direction. For ICMP, the source port is type and
/// code, and the destination port the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) original: Tuple,
    pub(super) reply: Tuple,
    pub(super) zone: u16,
    pub(super) mark: u32,
    pub(super) status: CtStatus,
    /// Which sides have their translation, possibly the identity translation.
    pub(super) source_done: bool,
    pub(super) destination_done: bool,
    /// The interface whose address it was masqueraded with, or 0.
    pub(super) masqueraded: u32,
    /// The state of TCP, if it is a TCP connection.
    pub(super) tcp: Option<Tcp>,
}

/// A packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) entry: Entry,
    /// Its index in the table, once the first packet has passed.
    pub(super) at: Option<usize>,
    pub(super) direction: CtDirection,
    pub(super) state: CtState,
}

/// The result of connection tracking for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Connection(Attached),
    Invalid,
    /// A message that every network needs, such as neighbour discovery.
    Untracked,
    /// It is about a connection that is named by contents of the packet that are not known.
    Unknown,
}

/// The connections of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    entries: Vec<Entry>,
    by_tuple: HashMap<(u16, Tuple), (usize, CtDirection)>,
}

/// A new address, and the ports to choose from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    pub(super) address: Option<IpAddr>,
    pub(super) ports: Option<(u16, u16)>,
    pub(super) random: bool,
}

impl Tuple {
    pub(super) fn of(packet: &Packet) -> Tuple {
        let Packet { protocol, source, destination, sport, dport, icmp_id, .. } = *packet;
        let (sport, dport) = match protocol {
            protocol if protocol.has_ports() => (sport, dport),
            protocol if is_icmp(protocol) => (sport, icmp_id),
            _ => (0, 0),
        };
        Tuple { protocol, source: SocketAddr::new(source, sport), destination: SocketAddr::new(destination, dport) }
    }

    pub(super) fn reversed(self) -> Tuple {
        let Tuple { protocol, source, destination } = self;
        if is_icmp(protocol) {
            let [kind, code] = source.port().to_be_bytes();
            let answer = u16::from_be_bytes([answer(protocol, kind), code]);
            let source_now = SocketAddr::new(destination.ip(), answer);
            return Tuple {
                protocol,
                source: source_now,
                destination: SocketAddr::new(source.ip(), destination.port()),
            };
        }
        Tuple { protocol, source: destination, destination: source }
    }
}

impl Connections {
    /// Returns the connection of a packet in a zone; if the packet begins one, a new connection
    /// that is not in the table yet.
    pub(super) fn find(&mut self, packet: &Packet, zone: u16) -> Found {
        let tuple = Tuple::of(packet);
        if let Some((at, direction)) = self.by_tuple.get(&(zone, tuple)).copied() {
            if let Some(mut entry) = self.entries.get(at).copied() {
                match entry.see(packet.tcp_flags, direction) {
                    Seen::Again => self.forget(&entry),
                    Seen::Invalid => return Found::Invalid,
                    Seen::Known => return Found::Connection(self.known(entry, at, direction)),
                    Seen::Refusal => {
                        self.forget(&entry);
                        return Found::Connection(self.known(entry, at, direction));
                    }
                }
            }
        }
        let [kind, _] = packet.sport.to_be_bytes();
        match packet.protocol {
            Protocol::ICMPV6 if is_never_tracked(kind) => return Found::Untracked,
            protocol if is_icmp(protocol) && is_error(protocol, kind) => return self.about(packet, zone),
            protocol if is_icmp(protocol) && !asks(protocol, kind) => return Found::Invalid,
            _ => {}
        }
        let is_tcp = packet.protocol == Protocol::TCP;
        let tcp = if is_tcp { Tcp::begin(packet.tcp_flags) } else { None };
        if is_tcp && tcp.is_none() {
            return Found::Invalid;
        }
        let entry = Entry {
            original: tuple,
            reply: tuple.reversed(),
            zone,
            mark: 0,
            status: CtStatus::empty(),
            source_done: false,
            destination_done: false,
            masqueraded: 0,
            tcp,
        };
        Found::Connection(Attached { entry, at: None, direction: CtDirection::Original, state: CtState::NEW })
    }

    /// Returns the connection that an ICMP error is about: that of the packet in it, if the error
    /// goes back to the sender of that packet (nf_conntrack_inet_error,
    /// net/netfilter/nf_conntrack_proto_icmp.c, v6.12).
    fn about(&self, packet: &Packet, zone: u16) -> Found {
        let Some(about) = &packet.about else { return Found::Unknown };
        let known = self.by_tuple.get(&(zone, Tuple::of(about).reversed())).copied();
        let found = known.and_then(|(at, direction)| Some((at, direction, self.entries.get(at).copied()?)));
        let Some((at, direction, entry)) = found else { return Found::Invalid };
        if entry.tuple(direction).destination.ip() != packet.destination {
            return Found::Invalid;
        }
        Found::Connection(Attached { entry, at: Some(at), direction, state: CtState::RELATED })
    }

    /// Records one more packet of a connection, and returns its new state.
    fn known(&mut self, mut entry: Entry, at: usize, direction: CtDirection) -> Attached {
        let state = match direction {
            CtDirection::Reply => {
                entry.status |= CtStatus::SEEN_REPLY;
                CtState::ESTABLISHED
            }
            CtDirection::Original if entry.status.contains(CtStatus::SEEN_REPLY) => CtState::ESTABLISHED,
            CtDirection::Original => CtState::NEW,
        };
        // Recorded even if the packet is dropped later.
        if let Some(slot) = self.entries.get_mut(at) {
            *slot = entry;
        }
        Attached { entry, at: Some(at), direction, state }
    }

    pub(super) fn forget(&mut self, entry: &Entry) {
        for tuple in [entry.original, entry.reply] {
            self.by_tuple.remove(&(entry.zone, tuple));
        }
    }

    /// Puts the connection of a packet that has passed into the table, as it is now. Returns
    /// `false` if its replies would be taken for another connection's: then the packet is dropped
    /// (__nf_conntrack_confirm and nf_ct_resolve_clash, net/netfilter/nf_conntrack_core.c, v6.12).
    pub(super) fn confirm(&mut self, attached: &mut Attached) -> bool {
        let Entry { original, reply, zone, .. } = attached.entry;
        let taken = |tuple| self.by_tuple.contains_key(&(zone, tuple));
        if attached.at.is_none() && (taken(original) || taken(reply)) {
            return false;
        }
        attached.entry.status |= CtStatus::CONFIRMED;
        match attached.at {
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = attached.entry;
                }
            }
            None => {
                let at = self.entries.len();
                self.entries.push(attached.entry);
                self.by_tuple.insert((zone, original), (at, CtDirection::Original));
                self.by_tuple.insert((zone, reply), (at, CtDirection::Reply));
                attached.at = Some(at);
            }
        }
        true
    }

    /// Stores what rules changed of a connection that is in the table.
    pub(super) fn update(&mut self, attached: &Attached) {
        if let Some(entry) = attached.at.and_then(|at| self.entries.get_mut(at)) {
            *entry = attached.entry;
        }
    }

    /// Gives one side of a connection its translation; without one, the identity translation,
    /// unless that would mix it up with another connection. Returns whether the kernel would have
    /// chosen a port at random.
    pub(super) fn translate(&mut self, entry: &mut Entry, kind: NatKind, chosen: Option<Chosen>) -> bool {
        let now = entry.reply.reversed();
        let mut new = now;
        let chosen = chosen.unwrap_or(Chosen { address: None, ports: None, random: false });
        if let Some(address) = chosen.address {
            end_of(&mut new, kind).set_ip(address);
        }
        let has_choice = new.protocol.has_ports() || is_icmp(new.protocol);
        let is_random = has_choice && self.choose_port(entry, &mut new, kind, chosen);
        if new != now {
            entry.reply = new.reversed();
            entry.status |= bit(kind);
        }
        match kind {
            NatKind::Dnat => entry.destination_done = true,
            NatKind::Snat => entry.source_done = true,
        }
        is_random
    }

    /// get_unique_tuple, net/netfilter/nf_nat_core.c, v6.12. Takes the lowest port where the kernel
    /// takes any, and then returns `true`.
    fn choose_port(&mut self, entry: &Entry, new: &mut Tuple, kind: NatKind, chosen: Chosen) -> bool {
        let is_icmp = is_icmp(new.protocol);
        // Both directions of ICMP have the same id.
        let kind_of_port = if is_icmp { NatKind::Dnat } else { kind };
        let own = end_of(new, kind_of_port).port();
        let (low, high) = match chosen.ports {
            Some((low, high)) if (low..=high).contains(&own) && !chosen.random => {
                if low == high || !self.is_taken(entry, *new) {
                    return false;
                }
                (low, high)
            }
            Some(ports) => ports,
            None if !chosen.random && !self.is_taken(entry, *new) => return false,
            None if is_icmp => (0, u16::MAX),
            // A translated destination need not be unique.
            None if kind == NatKind::Dnat => return false,
            None if own < 512 => (1, 511),
            None if own < 1024 => (600, 1023),
            None => (1024, u16::MAX),
        };
        for port in low..=high {
            end_of(new, kind_of_port).set_port(port);
            // Sequence numbers decide whether a finished connection makes room
            // (nf_nat_used_tuple_harder).
            if let Some(over) = self.taker(entry, *new).filter(Entry::makes_room) {
                self.forget(&over);
                return true;
            }
            if !self.is_taken(entry, *new) {
                break;
            }
        }
        low != high && (chosen.random || is_icmp || kind == NatKind::Snat)
    }

    /// Returns whether replies to this would be taken for another connection's.
    fn is_taken(&self, entry: &Entry, tuple: Tuple) -> bool {
        self.by_tuple.contains_key(&(entry.zone, tuple.reversed()))
    }

    /// Returns the connection that has these replies.
    fn taker(&self, entry: &Entry, tuple: Tuple) -> Option<Entry> {
        match self.by_tuple.get(&(entry.zone, tuple.reversed()))? {
            (at, CtDirection::Reply) => self.entries.get(*at).copied(),
            (_, CtDirection::Original) => None,
        }
    }
}

impl Entry {
    /// Returns whether the connection matches in conntrack_mt (net/netfilter/xt_conntrack.c,
    /// v6.12); `None` if that is not known here.
    pub(super) fn is(&self, asked: OfConnection) -> Option<bool> {
        let end = |End { direction, side }: End| {
            let mut tuple = self.tuple(direction);
            // The kernel keeps the id of ICMP with the source, and type and code with the
            // destination.
            let of_port = if is_icmp(tuple.protocol) { other(side) } else { side };
            (end_of(&mut tuple, side).ip(), end_of(&mut tuple, of_port).port())
        };
        match asked {
            OfConnection::Address { of, mask, value } => match (end(of).0, mask, value) {
                (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(value)) => {
                    Some((address.to_bits() ^ value.to_bits()) & mask.to_bits() == 0)
                }
                (IpAddr::V6(address), IpAddr::V6(mask), IpAddr::V6(value)) => {
                    Some((address.to_bits() ^ value.to_bits()) & mask.to_bits() == 0)
                }
                _ => None,
            },
            OfConnection::Expires { .. } => None,
            // There may be keys instead of ports.
            OfConnection::Port { .. } if self.original.protocol == GRE => None,
            OfConnection::Port { of, low, high } => Some((low..=high).contains(&end(of).1)),
            OfConnection::Protocol(protocol) => Some(u16::from(self.original.protocol.0) == protocol),
        }
    }

    /// Returns the status that rules see, which includes the sides that have their translation.
    pub(super) fn whole_status(&self) -> CtStatus {
        let bit = |is_done: bool, kind: NatKind| if is_done { done(kind) } else { 0 };
        let done = bit(self.source_done, NatKind::Snat) | bit(self.destination_done, NatKind::Dnat);
        CtStatus::from_bits_retain(self.status.bits() | done)
    }

    /// Returns the tuple of that direction's packets where they begin.
    fn tuple(&self, direction: CtDirection) -> Tuple {
        match direction {
            CtDirection::Original => self.original,
            CtDirection::Reply => self.reply,
        }
    }
}

impl Attached {
    /// Translates one side of an ICMP error about the connection, and of the packet that it is
    /// about (nf_nat_icmp_reply_translation, net/netfilter/nf_nat_proto.c, v6.12). Returns `false`
    /// if nothing changes.
    pub(super) fn apply_to_error(
        &self,
        kind: NatKind,
        source: &mut IpAddr,
        destination: &mut IpAddr,
        about: &mut Tuple,
    ) -> bool {
        let by = if self.direction == CtDirection::Original { kind } else { other(kind) };
        if !self.entry.status.contains(bit(by)) {
            return false;
        }
        let opposite = match self.direction {
            CtDirection::Original => CtDirection::Reply,
            CtDirection::Reply => CtDirection::Original,
        };
        let mut outer = self.entry.tuple(opposite).reversed();
        match kind {
            NatKind::Dnat => *destination = end_of(&mut outer, kind).ip(),
            NatKind::Snat => *source = end_of(&mut outer, kind).ip(),
        }
        let mut inner = self.entry.tuple(self.direction).reversed();
        *end_of(about, other(kind)) = *end_of(&mut inner, other(kind));
        true
    }

    /// Returns the tuple of a packet after the translation of one side.
    pub(super) fn apply(&self, kind: NatKind, tuple: Tuple) -> Tuple {
        let (translated, by) = match self.direction {
            CtDirection::Original => (self.entry.reply.reversed(), kind),
            // A reply undoes on one side what was done on the other.
            CtDirection::Reply => (self.entry.original.reversed(), other(kind)),
        };
        let mut tuple = tuple;
        if self.entry.status.contains(bit(by)) {
            let mut translated = translated;
            *end_of(&mut tuple, kind) = *end_of(&mut translated, kind);
            // icmp_manip_pkt, net/netfilter/nf_nat_proto.c, v6.12: the id changes for either side.
            if is_icmp(tuple.protocol) {
                tuple.destination.set_port(translated.destination.port());
            }
        }
        tuple
    }
}

const GRE: Protocol = Protocol(47);

fn end_of(tuple: &mut Tuple, kind: NatKind) -> &mut SocketAddr {
    match kind {
        NatKind::Dnat => &mut tuple.destination,
        NatKind::Snat => &mut tuple.source,
    }
}

fn other(kind: NatKind) -> NatKind {
    match kind {
        NatKind::Dnat => NatKind::Snat,
        NatKind::Snat => NatKind::Dnat,
    }
}

fn bit(kind: NatKind) -> CtStatus {
    match kind {
        NatKind::Dnat => CtStatus::DNAT,
        NatKind::Snat => CtStatus::SNAT,
    }
}

/// Returns the type of the answer to an ICMP type: invmap, net/netfilter/nf_conntrack_proto_icmp.c
/// and _icmpv6.c.
fn answer(protocol: Protocol, kind: u8) -> u8 {
    let pairs: &[(u8, u8)] = if protocol == Protocol::ICMPV6 { PAIRS6 } else { PAIRS4 };
    let found = pairs.iter().find_map(|(ask, answer)| match kind {
        kind if kind == *ask => Some(*answer),
        kind if kind == *answer => Some(*ask),
        _ => None,
    });
    found.unwrap_or(kind)
}

fn asks(protocol: Protocol, kind: u8) -> bool {
    let pairs: &[(u8, u8)] = if protocol == Protocol::ICMPV6 { PAIRS6 } else { PAIRS4 };
    pairs.iter().any(|(ask, _)| *ask == kind)
}

/// Requests and their answers: echo, timestamp, information, address mask.
const PAIRS4: &[(u8, u8)] = &[(8, 0), (13, 14), (15, 16), (17, 18)];
/// Echo, node information.
const PAIRS6: &[(u8, u8)] = &[(128, 129), (139, 140)];
