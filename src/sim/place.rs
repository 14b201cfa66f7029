//! A packet at a hook of a host: answers the questions of rules, and applies their decisions to its
//! connection.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::addresses::{address, bytes_of, ends, listening_at};
use super::cells::{Cell, Input, known};
use super::checksum;
use super::connections::sound::is_sound;
use super::connections::{Attached, Chosen, Connections, Entry, Found, Tracked, Tuple, side};
use super::fib::{Asked, Query, Wanted};
use super::flow::{Flow, NewAddress, Segment, Tracking, Translation, cells, loopback};
use super::host::{Host, LO, Listeners, Target};
use super::icmp::is_error;
use super::icmp::is_icmp;
use super::inputs::{CannotTell, Inputs, Target as Socket};
use super::limit::goes_on;
use super::packet::Packet;
use super::situation::Situation;
use super::walk::Lost;
use crate::bytecode::{Expr, LimitCode, PayloadBase};
use crate::model::{CtDirection, CtState, CtStatus, Hook, IcmpType, IpFamily, NatKind, Protocol};
use crate::xt::Question;

pub(super) struct OnHost<'a> {
    pub(super) situation: Situation,
    /// The hook that the packet is at, or was at last.
    pub(super) hook: Hook,
    pub(super) host: &'a Host,
    pub(super) connections: &'a mut Connections,
    /// What earlier packets took from each limit, by the address of its code.
    pub(super) limits: &'a mut HashMap<usize, u64>,
    pub(super) held: Tracked,
    /// The packet's destination, as far as it is known.
    pub(super) target: Option<Target>,
    pub(super) lost: Option<Lost>,
    /// Whether this is the host's own copy of a broadcast or multicast packet.
    pub(super) is_copy: bool,
    /// Whether a local socket, whose owner is not known, may have been found for it.
    pub(super) has_receiver: bool,
    /// Whether it is a segment within a connection, whose socket is preferred to one that listens.
    pub(super) is_connected: bool,
    /// Whether that socket is known not to be transparent.
    pub(super) is_plain: bool,
    /// The limits that rules set for the maximum segment size.
    pub(super) segment: Segment,
    /// Whether the effect of earlier packets is known.
    pub(super) after_doubt: Doubt,
}

/// Whether the walks of earlier packets could be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// All of them could.
    None,
    /// Not all: rules may have put something into sets.
    Some,
    /// Not even all of the same connection.
    OfConnection,
}

impl Doubt {
    pub(super) fn of(doubtful: &HashSet<Tuple>, packet: &Packet) -> Self {
        match (doubtful.is_empty(), doubtful.contains(&Tuple::of(packet))) {
            (true, _) => Doubt::None,
            (false, false) => Doubt::Some,
            (false, true) => Doubt::OfConnection,
        }
    }
}

impl OnHost<'_> {
    /// Applies what rules changed of the packet.
    pub(super) fn take(&mut self, flow: &Flow) {
        let packet = &mut self.situation.packet;
        let before = (packet.source, packet.sport, packet.destination, packet.dport);
        packet.mark = known(&flow.mark).map_or(packet.mark, u32::from_ne_bytes);
        let (source, destination) = ends(&flow.header, packet.family());
        (packet.source, packet.sport) = (source.ip(), source.port());
        (packet.destination, packet.dport) = (destination.ip(), destination.port());
        if before != (packet.source, packet.sport, packet.destination, packet.dport) {
            packet.forget_checksums();
        }
        self.segment = flow.segment;
        match (&mut self.held, flow.tracking) {
            (held, Tracking::Untracked) => *held = Tracked::Untracked,
            (held, Tracking::Template) => {
                *held = Tracked::Template(flow.zone.and_then(|zone| known(&zone)).map_or(0, u16::from_ne_bytes));
            }
            (Tracked::Connection(attached), _) => {
                attached.entry.mark = known(&flow.ct_mark).map_or(attached.entry.mark, u32::from_ne_bytes);
            }
            _ => {}
        }
    }

    /// Returns what the routing tables need of the packet.
    fn asked(&self, flow: &Flow) -> Asked {
        let (source, destination) = ends(&flow.header, self.family());
        Asked {
            source: source.ip(),
            destination: destination.ip(),
            mark: known(&flow.mark).map_or(0, u32::from_ne_bytes),
            incoming: Self::index(&self.situation.incoming),
            outgoing: Self::index(&self.situation.outgoing),
            protocol: self.situation.packet.protocol,
        }
    }

    fn index(interface: &Option<super::packet::Interface>) -> u32 {
        interface.as_ref().map_or(0, |interface| interface.index)
    }

    /// Returns the numbers that a rule chose; `None` if there is no address, in which case the
    /// packet is lost.
    fn chosen(&mut self, hook: Hook, decided: &Translation, destination: IpAddr) -> Option<Chosen> {
        let family = self.family();
        let new = match &decided.address {
            NewAddress::Kept => None,
            NewAddress::Range(low, _) => Some(address(low, family)),
            NewAddress::Own => {
                let own = match hook {
                    Hook::Output => Some(loopback(family)),
                    Hook::Prerouting => self.host.redirected(Self::index(&self.situation.incoming), destination),
                    _ => self.host.masqueraded(Self::index(&self.situation.outgoing), destination),
                };
                if own.is_none() {
                    self.lost = Some(Lost::NoAddress);
                    return None;
                }
                own
            }
        };
        let port = |cells: [Cell; 2]| known(&cells).map_or(0, u16::from_be_bytes);
        let ports = decided.ports.map(|(low, high)| (port(low), port(high)));
        Some(Chosen { address: new, ports, random: decided.flags & RANDOM != 0 })
    }

    /// nf_nat_oif_changed, include/net/netfilter/nf_nat.h, v6.12
    fn has_moved(&self, attached: &Attached) -> bool {
        let interface = attached.entry.masqueraded;
        let is_original = attached.direction == CtDirection::Original;
        is_original && interface != 0 && interface != Self::index(&self.situation.outgoing)
    }

    /// Translates an ICMP error, and the packet in it, like the connection that it is about.
    fn translate_error(&mut self, hook: Hook, flow: &mut Flow, attached: Attached) -> Result<(), CannotTell> {
        let Entry { status, source_done, destination_done, .. } = attached.entry;
        let [icmp_type, _] = self.situation.packet.sport.to_be_bytes();
        let is_redirect = self.situation.packet.protocol == Protocol::ICMP && IcmpType(icmp_type) == IcmpType::REDIRECT;
        let is_translated = status.intersects(CtStatus::SNAT | CtStatus::DNAT) || !(source_done && destination_done);
        if is_redirect && is_translated {
            self.lost = Some(Lost::Redirect);
            return Ok(());
        }
        let (source, destination) = ends(&flow.header, self.family());
        let (mut from, mut to) = (source.ip(), destination.ip());
        let Some(inside) = self.situation.packet.about.as_deref_mut() else { return Ok(()) };
        let mut about = Tuple::of(inside);
        if !attached.apply_to_error(side(hook), &mut from, &mut to, &mut about) {
            return Ok(());
        }
        (inside.source, inside.destination) = (about.source.ip(), about.destination.ip());
        if inside.protocol.has_ports() {
            (inside.sport, inside.dport) = (about.source.port(), about.destination.port());
        } else if is_icmp(inside.protocol) {
            inside.icmp_id = about.destination.port();
        }
        inside.forget_checksums();
        // The checksum of the error covers the packet in it.
        self.situation.packet.forget_checksums();
        self.situation.packet.bytes.transport.truncate(8);
        self.situation.packet.dport = 0;
        flow.header.dport = [0, 1].map(|byte| Cell::open(Input::Dport, byte));
        flow.header.saddr = bytes_of(from).map(Cell::Known);
        flow.header.daddr = bytes_of(to).map(Cell::Known);
        if hook == Hook::Output && to != destination.ip() {
            self.reroute(flow)?;
        }
        Ok(())
    }

    /// Routes a local packet; one without a route is lost.
    fn route(&mut self, source: IpAddr, destination: IpAddr, mark: u32) -> Result<(), CannotTell> {
        self.target = self.host.way_from(source, destination, mark)?;
        match self.target {
            Some(target) if self.host.keeps(source, target) => self.lost = Some(Lost::Martian),
            None => self.lost = Some(Lost::NoRoute),
            Some(Target::Refused) => self.lost = Some(Lost::Refused),
            Some(Target::Local | Target::Out(_)) => {}
        }
        Ok(())
    }
}

impl Inputs for OnHost<'_> {
    fn family(&self) -> IpFamily {
        self.situation.family()
    }

    fn cell(&self, input: Input, byte: u8) -> Cell {
        self.situation.cell(input, byte)
    }

    fn all(&self, input: Input) -> [Cell; 16] {
        self.situation.all(input)
    }

    fn knows_owner(&self) -> Result<(), CannotTell> {
        if self.has_receiver {
            return Err(CannotTell::new("whose socket it is that the packet is for"));
        }
        Ok(())
    }

    fn knows_no_socket(&self) -> Result<(), CannotTell> {
        // A copy has no socket (skb_clone, net/core/skbuff.c, v6.12).
        if self.is_copy { Ok(()) } else { self.situation.knows_no_socket() }
    }

    fn knows_receiver(&self, hook: Hook) -> Result<(), CannotTell> {
        self.situation.knows_receiver(hook)?;
        match self.situation.receiver {
            Some(_) => Ok(()),
            // No socket is looked up (nf_sk_lookup_slow_v4 and _v6, net/ipv4 and net/ipv6,
            // netfilter/nf_socket_ipv4.c, v6.12).
            None if !has_sockets(&self.situation.packet) => Ok(()),
            None => Err(CannotTell::new("which socket the packet is for")),
        }
    }

    fn fib(&mut self, hook: Hook, flow: &Flow, query: Query, _: &Expr) -> Result<SmallVec<[Cell; 16]>, CannotTell> {
        let loads = self.host.fib(hook, query, self.asked(flow))?;
        // Newer kernels use the interface of a socket assigned to the packet (nft_fib_can_skip).
        if hook == Hook::Input && query.wanted != Wanted::Kind && self.has_receiver {
            return Err(CannotTell::new("what this kernel's fib returns at input for what a socket has"));
        }
        Ok(loads.into_iter().map(Cell::Known).collect())
    }

    fn ask(&mut self, hook: Hook, flow: &Flow, question: &Question) -> Result<bool, CannotTell> {
        let unknown = || CannotTell::new(question.to_string());
        match (question, self.held) {
            (Question::Connection(asked), Tracked::Connection(attached)) => {
                attached.entry.is(*asked).ok_or_else(unknown)
            }
            (Question::ReversePath(path), _) if hook == Hook::Prerouting => {
                self.host.has_way_back_for(*path, self.asked(flow))
            }
            (
                Question::Beyond(_) | Question::Connection(_) | Question::ReversePath(_) | Question::Segment { .. },
                _,
            ) => Err(unknown()),
        }
    }

    fn knows_transport(&self) -> Result<(), CannotTell> {
        self.situation.knows_transport()
    }

    fn can_be_at(&self, hook: Hook, is_made_whole: bool) -> Result<(), CannotTell> {
        self.situation.can_be_at(hook, is_made_whole)
    }

    fn further(&self, base: PayloadBase, at: usize) -> Option<Cell> {
        self.situation.further(base, at)
    }

    fn ip_length(&self, at: usize) -> Option<Cell> {
        self.situation.ip_length(at)
    }

    fn ends_before(&self, base: PayloadBase, end: u32) -> Option<bool> {
        self.situation.ends_before(base, end)
    }

    fn ct_status(&self, _: &Flow) -> Result<[Cell; 4], CannotTell> {
        Ok(cells(self, Input::CtStatus))
    }

    fn daddr_type(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        let kind = self.host.fib_type(self.hook, Query::PLAIN, self.asked(flow))?;
        Ok(kind.0.to_ne_bytes().map(Cell::Known))
    }

    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell> {
        let taken = self.limits.entry(std::ptr::from_ref(limit).addr()).or_default();
        goes_on(limit, taken, self.situation.packet.length)
    }

    fn listener(&mut self, target: &Socket) -> Result<bool, CannotTell> {
        // A connection that already belongs to a transparent socket goes to that one.
        if self.situation.receiver.is_some_and(|receiver| receiver.transparent) {
            return Ok(true);
        }
        if self.is_connected && self.is_plain {
            return Ok(false);
        }
        if self.is_connected {
            return Err(CannotTell::new("which socket has the connection"));
        }
        let (_, port) = listening_at(target, self.family());
        Ok(match &self.host.listeners {
            Listeners::All => true,
            Listeners::Ports(ports) => ports.contains(&port.unwrap_or(self.situation.packet.dport)),
        })
    }

    fn knows_filled(&self) -> Result<(), CannotTell> {
        match self.after_doubt {
            Doubt::None => Ok(()),
            Doubt::Some | Doubt::OfConnection => {
                Err(CannotTell::new("what an earlier packet, whose walk is unknown, put into a set"))
            }
        }
    }

    fn track(&mut self, hook: Hook, flow: &mut Flow) -> Result<(), CannotTell> {
        if self.after_doubt == Doubt::OfConnection && !self.situation.connection.attached {
            return Err(CannotTell::new("what an earlier packet of the connection, whose walk is unknown, did to it"));
        }
        if !self.situation.connection.attached {
            let zone = flow.zone.and_then(|zone| known(&zone)).map_or(0, u16::from_ne_bytes);
            let is_sound = is_sound(&self.situation.packet, hook)?;
            let found = is_sound.then(|| self.connections.find(&self.situation.packet, zone));
            self.held = match found.unwrap_or(Found::Invalid) {
                Found::Connection(attached) => Tracked::Connection(attached),
                Found::Invalid => Tracked::Invalid,
                Found::Untracked => Tracked::Untracked,
                Found::Unknown => {
                    return Err(CannotTell::new("connection tracking looks into this packet for the one it is about"));
                }
            };
        }
        match self.held {
            Tracked::Untracked => flow.tracking = Tracking::Untracked,
            held => self.situation.hold(held),
        }
        flow.ct_mark = self.situation.connection.mark.to_ne_bytes().map(Cell::Known);
        Ok(())
    }

    fn reroute(&mut self, flow: &Flow) -> Result<(), CannotTell> {
        let mark = known(&flow.mark).map_or(0, u32::from_ne_bytes);
        let (source, destination) = ends(&flow.header, self.family());
        self.route(source.ip(), destination.ip(), mark)
    }

    fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell> {
        let Tracked::Connection(attached) = self.held else { return Ok(false) };
        let done = match side(hook) {
            NatKind::Dnat => attached.entry.destination_done,
            NatKind::Snat => attached.entry.source_done,
        };
        Ok(attached.state == CtState::NEW && !done)
    }

    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell> {
        let Tracked::Connection(mut attached) = self.held else { return Ok(()) };
        let kind = side(hook);
        let (source, destination) = ends(&flow.header, self.family());
        if is_icmp(self.situation.packet.protocol) && attached.state == CtState::RELATED {
            return self.translate_error(hook, flow, attached);
        }
        if self.asks_nat(hook)? {
            let chosen = match decided {
                Some(decided) => match self.chosen(hook, decided, destination.ip()) {
                    Some(chosen) => Some(chosen),
                    None => return Ok(()),
                },
                None => None,
            };
            flow.is_guess |= self.connections.translate(&mut attached.entry, kind, chosen);
            if hook == Hook::Postrouting && decided.is_some_and(|decided| decided.address == NewAddress::Own) {
                attached.entry.masqueraded = Self::index(&self.situation.outgoing);
            }
            self.held = Tracked::Connection(attached);
        } else if hook == Hook::Postrouting && self.has_moved(&attached) {
            self.connections.forget(&attached.entry);
            self.lost = Some(Lost::Moved);
            return Ok(());
        }
        let mut tuple = Tuple { protocol: self.situation.packet.protocol, source, destination };
        let with_ports = tuple.protocol.has_ports();
        if is_icmp(tuple.protocol) {
            tuple.destination.set_port(self.situation.packet.icmp_id);
        }
        let now = attached.apply(kind, tuple);
        let Tuple { source: from, destination: to, .. } = now;
        if is_icmp(tuple.protocol) {
            if let Some(sum) = known(&flow.header.dport) {
                let sum = checksum::moved(u16::from_be_bytes(sum), tuple, now);
                flow.header.dport = sum.to_be_bytes().map(Cell::Known);
            }
            self.situation.packet.icmp_id = to.port();
        }
        let write = |ip: &mut [Cell; 16], port: &mut [Cell; 2], end: SocketAddr| {
            *ip = bytes_of(end.ip()).map(Cell::Known);
            if with_ports {
                *port = end.port().to_be_bytes().map(Cell::Known);
            }
        };
        if from != source {
            write(&mut flow.header.saddr, &mut flow.header.sport, from);
        }
        if to != tuple.destination {
            write(&mut flow.header.daddr, &mut flow.header.dport, to);
        }
        self.situation.hold(self.held);
        // A local packet with a new destination is routed again (nf_nat_ipv4_local_fn,
        // net/netfilter/nf_nat_proto.c, v6.12).
        if hook == Hook::Output && to.ip() != destination.ip() {
            self.reroute(flow)?;
        }
        Ok(())
    }
}

/// Returns whether a socket can be found for a packet: for TCP and UDP, or for what an ICMP error
/// is about.
fn has_sockets(packet: &Packet) -> bool {
    let [kind, _] = packet.sport.to_be_bytes();
    match packet.protocol {
        Protocol::TCP | Protocol::UDP => true,
        protocol => is_icmp(protocol) && is_error(protocol, kind),
    }
}

/// Returns the interface of a target, which is lo for this host.
pub(super) fn leaves_by(target: Target) -> u32 {
    match target {
        Target::Local | Target::Refused => LO,
        Target::Out(interface) => interface,
    }
}

/// `NF_NAT_RANGE_PROTO_RANDOM_ALL`, include/uapi/linux/netfilter/nf_nat.h.
const RANDOM: u32 = 0x14;
