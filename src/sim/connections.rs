//! Connection tracking: which packets belong together, and the translation that the first of them
//! was given.
//!
//! Two tuples a connection, as in the kernel: what its packets look like where they begin, and what
//! its replies do where those begin. Translation changes the second (nf_nat_setup_info and
//! nf_nat_packet, net/netfilter/nf_nat_core.c, v6.12). Checksums are taken to be right: of a packet
//! with a wrong one tracking knows nothing.

pub(super) mod sound;
mod tcp;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use self::tcp::{Seen, Tcp};
use super::packet::Packet;
use super::packet_text::{has_ports, is_icmp};
use super::situation::{done, is_never_tracked};
use crate::model::{CtDirection, CtState, CtStatus, NatKind, Protocol};
use crate::xt::{End, OfConnection};

/// Where packets of one direction come from and go to. Of ICMP, the source port is type and code,
/// and the other one the id.
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
    /// Which sides have their translation, be it none.
    pub(super) source_done: bool,
    pub(super) destination_done: bool,
    /// The interface whose address it was masqueraded with, or 0.
    pub(super) masqueraded: u32,
    /// What its segments were, if it is one of TCP.
    pub(super) tcp: Option<Tcp>,
}

/// A packet's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) entry: Entry,
    /// Its place in the table, once the first packet got through.
    pub(super) at: Option<usize>,
    pub(super) direction: CtDirection,
    pub(super) state: CtState,
}

/// What connection tracking made of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Connection(Attached),
    Invalid,
    /// Messages that every network needs, such as neighbour discovery.
    Untracked,
    /// It is about a connection that the packet's contents name.
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
            protocol if has_ports(protocol) => (sport, dport),
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
    /// The connection of a packet in a zone; a new one that is not in the table yet when it begins
    /// one.
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

    /// The connection that an error of ICMP is about: that of the packet in it, if it goes back to
    /// who sent that one (nf_conntrack_inet_error, net/netfilter/nf_conntrack_proto_icmp.c,
    /// v6.12).
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

    /// One more packet of a connection; what is known of it then.
    fn known(&mut self, mut entry: Entry, at: usize, direction: CtDirection) -> Attached {
        let state = match direction {
            CtDirection::Reply => {
                entry.status |= CtStatus::SEEN_REPLY;
                CtState::ESTABLISHED
            }
            CtDirection::Original if entry.status.contains(CtStatus::SEEN_REPLY) => CtState::ESTABLISHED,
            CtDirection::Original => CtState::NEW,
        };
        // Known from here on, whatever becomes of the packet.
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

    /// The packet got through: its connection is in the table from now on, as it is now. `false`
    /// when its replies would be taken for another's: it is dropped (__nf_conntrack_confirm and
    /// nf_ct_resolve_clash, net/netfilter/nf_conntrack_core.c, v6.12).
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

    /// What rules changed at a connection that is in the table.
    pub(super) fn update(&mut self, attached: &Attached) {
        if let Some(entry) = attached.at.and_then(|at| self.entries.get_mut(at)) {
            *entry = attached.entry;
        }
    }

    /// Gives one side of a connection its translation; without one, none, unless that would mix it
    /// up with another. Whether the kernel would have chosen a port at random.
    pub(super) fn translate(&mut self, entry: &mut Entry, kind: NatKind, chosen: Option<Chosen>) -> bool {
        let now = entry.reply.reversed();
        let mut new = now;
        let chosen = chosen.unwrap_or(Chosen { address: None, ports: None, random: false });
        if let Some(address) = chosen.address {
            side(&mut new, kind).set_ip(address);
        }
        let has_choice = has_ports(new.protocol) || is_icmp(new.protocol);
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

    /// get_unique_tuple, net/netfilter/nf_nat_core.c, v6.12, with the lowest port where it takes
    /// any: then `true`.
    fn choose_port(&mut self, entry: &Entry, new: &mut Tuple, kind: NatKind, chosen: Chosen) -> bool {
        let is_icmp = is_icmp(new.protocol);
        // The id of ICMP is that of both directions.
        let kind_of_port = if is_icmp { NatKind::Dnat } else { kind };
        let own = side(new, kind_of_port).port();
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
            // What is translated to somewhere need not be unique.
            None if kind == NatKind::Dnat => return false,
            None if own < 512 => (1, 511),
            None if own < 1024 => (600, 1023),
            None => (1024, u16::MAX),
        };
        for port in low..=high {
            side(new, kind_of_port).set_port(port);
            // Sequence numbers decide whether one that is over makes room (nf_nat_used_tuple_harder).
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

    /// Whether replies to this would be taken for another connection's.
    fn is_taken(&self, entry: &Entry, tuple: Tuple) -> bool {
        self.by_tuple.contains_key(&(entry.zone, tuple.reversed()))
    }

    /// The connection that has these replies.
    fn taker(&self, entry: &Entry, tuple: Tuple) -> Option<Entry> {
        match self.by_tuple.get(&(entry.zone, tuple.reversed()))? {
            (at, CtDirection::Reply) => self.entries.get(*at).copied(),
            (_, CtDirection::Original) => None,
        }
    }
}

impl Entry {
    /// Whether conntrack_mt finds it so (net/netfilter/xt_conntrack.c, v6.12); `None` when that is
    /// not known here.
    pub(super) fn is(&self, asked: OfConnection) -> Option<bool> {
        let end = |End { direction, side }: End| {
            let mut tuple = self.tuple(direction);
            // The kernel has the id of ICMP with the source, and type and code with the destination.
            let of_port = if is_icmp(tuple.protocol) { other(side) } else { side };
            (self::side(&mut tuple, side).ip(), self::side(&mut tuple, of_port).port())
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
            // Instead of ports, keys may be there.
            OfConnection::Port { .. } if self.original.protocol == GRE => None,
            OfConnection::Port { of, low, high } => Some((low..=high).contains(&end(of).1)),
            OfConnection::Protocol(protocol) => Some(u16::from(self.original.protocol.0) == protocol),
        }
    }

    /// The status that rules see: which sides have their translation is a part of it.
    pub(super) fn whole_status(&self) -> CtStatus {
        let bit = |is_done: bool, kind: NatKind| if is_done { done(kind) } else { 0 };
        let done = bit(self.source_done, NatKind::Snat) | bit(self.destination_done, NatKind::Dnat);
        CtStatus::from_bits_retain(self.status.bits() | done)
    }

    /// What packets of that direction look like where they begin.
    fn tuple(&self, direction: CtDirection) -> Tuple {
        match direction {
            CtDirection::Original => self.original,
            CtDirection::Reply => self.reply,
        }
    }
}

impl Attached {
    /// What an error of ICMP about the connection looks like behind the translation of one side,
    /// and the packet that it is about (nf_nat_icmp_reply_translation,
    /// net/netfilter/nf_nat_proto.c, v6.12). `false` when nothing changes.
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
            NatKind::Dnat => *destination = side(&mut outer, kind).ip(),
            NatKind::Snat => *source = side(&mut outer, kind).ip(),
        }
        let mut inner = self.entry.tuple(self.direction).reversed();
        *side(about, other(kind)) = *side(&mut inner, other(kind));
        true
    }

    /// What the packet looks like behind the translation of one side.
    pub(super) fn apply(&self, kind: NatKind, tuple: Tuple) -> Tuple {
        let (translated, by) = match self.direction {
            CtDirection::Original => (self.entry.reply.reversed(), kind),
            // A reply undoes at the one side what was done at the other.
            CtDirection::Reply => (self.entry.original.reversed(), other(kind)),
        };
        let mut tuple = tuple;
        if self.entry.status.contains(bit(by)) {
            let mut translated = translated;
            *side(&mut tuple, kind) = *side(&mut translated, kind);
            // icmp_manip_pkt, net/netfilter/nf_nat_proto.c, v6.12: the id, whichever side it is.
            if is_icmp(tuple.protocol) {
                tuple.destination.set_port(translated.destination.port());
            }
        }
        tuple
    }
}

const GRE: Protocol = Protocol(47);

fn side(tuple: &mut Tuple, kind: NatKind) -> &mut SocketAddr {
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

/// The type of the answer to an ICMP type: invmap, net/netfilter/nf_conntrack_proto_icmp.c and
/// _icmpv6.c.
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

pub(super) fn is_error(protocol: Protocol, kind: u8) -> bool {
    if protocol == Protocol::ICMPV6 { kind < 128 || kind == 137 } else { [3, 4, 5, 11, 12].contains(&kind) }
}

/// Requests and their answers: echo, timestamp, information, address mask.
const PAIRS4: &[(u8, u8)] = &[(8, 0), (13, 14), (15, 16), (17, 18)];
/// Echo, node information.
const PAIRS6: &[(u8, u8)] = &[(128, 129), (139, 140)];
