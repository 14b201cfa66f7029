//! A packet at a place where everything that a program can read is known.

use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use super::addresses::{bytes_of, padded};
use super::cells::{Cell, Input};
use super::connections::{Attached, BOTH_NAT_DONE, Tracked, is_never_tracked, nat_done, side};
use super::fib::{ByMark, FibAnswer, Query};
use super::flow::{Flow, Tracking, Translation, cells, loopback};
use super::icmp::is_icmp;
use super::inputs::{CannotTell, Inputs, Target};
use super::limit::goes_on;
use super::packet::{Connection, Interface, Packet, Receiver};
use crate::bytecode::{Expr, LimitCode, PayloadBase};
use crate::model::{AddrType, CtDirection, CtState, CtStatus, Hook, IcmpType, IpFamily, NatKind, Protocol};

/// A packet at a hook.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Situation {
    /// The packet as it reaches the hook.
    pub packet: Packet,
    /// The interface it came in by.
    pub incoming: Option<Interface>,
    /// The interface it leaves by.
    pub outgoing: Option<Interface>,
    /// Its state in connection tracking.
    pub connection: Connection,
    /// The type of its destination (`fib daddr type`).
    pub daddr_type: AddrType,
    /// The type of its destination after a translation of this hook.
    pub translated_daddr_type: Option<AddrType>,
    /// What other `fib` expressions load; the walk cannot continue at one that is not listed.
    pub fib: Vec<FibAnswer>,
    /// The socket that would receive it.
    pub receiver: Option<Receiver>,
    /// Whether a transparent socket listens where `tproxy` sends it.
    pub listener: bool,
    /// Source and destination after the translation that an earlier packet of the connection was
    /// given; the packet's own if `None`.
    pub translated: Option<(SocketAddr, SocketAddr)>,
    /// The address that `redirect` and `masquerade` give, if not loopback; the packet's own if
    /// `None`.
    pub own_address: Option<IpAddr>,
    /// Whether translation found that it must be dropped.
    lost: bool,
}

impl Situation {
    /// Returns the situation of a packet that begins a connection.
    #[must_use]
    pub fn new(packet: Packet) -> Self {
        Situation {
            packet,
            incoming: None,
            outgoing: None,
            connection: Connection::default(),
            daddr_type: AddrType::UNICAST,
            translated_daddr_type: None,
            fib: Vec::new(),
            receiver: None,
            listener: true,
            translated: None,
            own_address: None,
            lost: false,
        }
    }

    /// Returns the packet as rules find it here.
    pub(super) fn flow(&self) -> Flow {
        let mut flow = Flow::new(self);
        if self.connection.state == CtState::UNTRACKED {
            flow.tracking = Tracking::Untracked;
        }
        flow
    }

    /// Applies the connection-tracking entry of the packet.
    pub(super) fn hold(&mut self, held: Tracked) {
        let attached = self.connection.attached;
        self.connection = match held {
            Tracked::Connection(Attached { entry, direction, state, at: _ }) => {
                let (status, mark, zone) = (entry.whole_status(), entry.mark, entry.zone);
                Connection { state, direction, status, mark, zone, attached }
            }
            Tracked::Invalid => Connection { state: CtState::INVALID, ..Connection::default() },
            Tracked::Nothing | Tracked::Template(_) | Tracked::Untracked => Connection::default(),
        };
    }

    /// Returns the bytes of an input as they are loaded.
    pub(crate) fn bytes(&self, input: Input) -> [u8; 16] {
        let Situation { packet, incoming, outgoing, connection, daddr_type, receiver, .. } = self;
        let own = || (SocketAddr::new(packet.source, packet.sport), SocketAddr::new(packet.destination, packet.dport));
        let translated = || self.translated.unwrap_or_else(own);
        let index = |interface: &Option<Interface>| interface.as_ref().map_or(0, |interface| interface.index);
        let owner = packet.owner.unwrap_or_default();
        let receiver_or_none = receiver.unwrap_or_default();
        match input {
            Input::Attached => padded(&[u8::from(connection.attached)]),
            Input::Cgroup => padded(&owner.cgroup.to_ne_bytes()),
            Input::CtDirection => padded(&[match connection.direction {
                CtDirection::Original => 0,
                CtDirection::Reply => 1,
            }]),
            Input::CtMark => padded(&connection.mark.to_ne_bytes()),
            Input::CtState => padded(&connection.state.bits().to_ne_bytes()),
            Input::CtStatus => padded(&connection.status.bits().to_ne_bytes()),
            Input::CtZone => padded(&connection.zone.to_ne_bytes()),
            Input::Daddr => bytes_of(packet.destination),
            Input::DaddrType => padded(&daddr_type.0.to_ne_bytes()),
            Input::Dport => padded(&packet.dport.to_be_bytes()),
            Input::Iif => padded(&index(incoming).to_ne_bytes()),
            Input::Iifname => name(incoming.as_ref()),
            Input::L4proto => padded(&[packet.protocol.0]),
            Input::Length => padded(&packet.length.to_ne_bytes()),
            Input::Mark => padded(&packet.mark.to_ne_bytes()),
            Input::Oif => padded(&index(outgoing).to_ne_bytes()),
            Input::Oifname => name(outgoing.as_ref()),
            Input::PktType => padded(&[packet.pkttype.0]),
            Input::Received => padded(&[receiver.map_or(0, |receiver| if receiver.handshake { 2 } else { 1 })]),
            Input::Saddr => bytes_of(packet.source),
            Input::Skgid => padded(&owner.gid.to_ne_bytes()),
            Input::Skuid => padded(&owner.uid.to_ne_bytes()),
            Input::Socket => padded(&[u8::from(packet.owner.is_some())]),
            Input::SocketMark => padded(&receiver_or_none.mark.to_ne_bytes()),
            Input::SocketTransparent => padded(&[u8::from(receiver_or_none.transparent)]),
            Input::SocketWildcard => padded(&[u8::from(receiver_or_none.wildcard)]),
            Input::Sport => padded(&packet.sport.to_be_bytes()),
            Input::TcpFlags => padded(&[packet.tcp_flags.bits()]),
            Input::TranslatedDaddr => bytes_of(translated().1.ip()),
            Input::TranslatedDport => padded(&translated().1.port().to_be_bytes()),
            Input::TranslatedSaddr => bytes_of(translated().0.ip()),
            Input::TranslatedSport => padded(&translated().0.port().to_be_bytes()),
            Input::Network | Input::Transport => padded(&[]),
        }
    }
}

impl Situation {
    /// Returns the header input with these bytes, if they may be open.
    fn of_header(&self, input: Input) -> Option<Input> {
        let protocol = self.packet.protocol;
        match input {
            Input::Dport | Input::Network | Input::Sport | Input::TcpFlags | Input::Transport => Some(input),
            // Without ports, a translation changes only addresses; for ICMP, also the checksum.
            Input::TranslatedSport if !protocol.has_ports() => Some(Input::Sport),
            Input::TranslatedDport if is_icmp(protocol) && self.translated.is_some() => None,
            Input::TranslatedDport if !protocol.has_ports() => Some(Input::Dport),
            _ => None,
        }
    }

    /// Returns whether this is an ICMP redirect about a connection that is translated, or may still
    /// be: translation drops it (nf_nat_icmp_reply_translation, net/netfilter/nf_nat_proto.c,
    /// v6.12).
    fn is_redirect_of_translated(&self) -> bool {
        let [kind, _] = self.packet.sport.to_be_bytes();
        let Connection { state, status, .. } = self.connection;
        let is_done = status.bits() & BOTH_NAT_DONE == BOTH_NAT_DONE;
        self.packet.family() == IpFamily::Ipv4
            && self.packet.protocol == Protocol::ICMP
            && IcmpType(kind) == IcmpType::REDIRECT
            && state == CtState::RELATED
            && (!is_done || status.intersects(CtStatus::SNAT | CtStatus::DNAT))
    }
}

/// Only header bytes that were not given are open.
impl Inputs for Situation {
    fn family(&self) -> IpFamily {
        self.packet.family()
    }

    fn cell(&self, input: Input, byte: u8) -> Cell {
        match self.of_header(input) {
            Some(of_header) => self.packet.header_cell(of_header, byte),
            None => Cell::Known(self.bytes(input).get(usize::from(byte)).copied().unwrap_or(0)),
        }
    }

    fn all(&self, input: Input) -> [Cell; 16] {
        let mut cells = [Cell::Known(0); 16];
        if self.of_header(input).is_some() {
            let bytes = cells.iter_mut().take(input.bytes());
            (0..).zip(bytes).for_each(|(byte, cell)| *cell = self.cell(input, byte));
            return cells;
        }
        for (cell, byte) in cells.iter_mut().zip(self.bytes(input)) {
            *cell = Cell::Known(byte);
        }
        cells
    }

    fn fib(&mut self, _: Hook, flow: &Flow, query: Query, expr: &Expr) -> Result<SmallVec<[Cell; 16]>, CannotTell> {
        let header = &flow.header;
        let is_as_it_came = header.saddr == self.all(Input::Saddr)
            && header.daddr == self.all(Input::Daddr)
            && (query.by_mark == ByMark::No || flow.mark == cells(self, Input::Mark));
        let mut answers = self.fib.iter();
        let answer = answers.find(|answer| matches!(expr, Expr::Fib { result, flags, dreg: _ } if (answer.result, answer.flags) == (*result, *flags)));
        match answer.filter(|_| is_as_it_came) {
            Some(answer) => Ok(answer.loads.iter().copied().map(Cell::Known).collect()),
            None => Err(CannotTell::new("what the routing tables return for an address of the packet")),
        }
    }

    /// A packet that leaves has the socket that sent it, of which only the owner is known
    /// (nft_socket_eval, net/netfilter/nft_socket.c, v6.12).
    fn knows_receiver(&self, hook: Hook) -> Result<(), CannotTell> {
        match hook {
            Hook::Prerouting | Hook::Input => Ok(()),
            Hook::Forward | Hook::Output | Hook::Postrouting => {
                Err(CannotTell::new("what the socket is like that sends the packet"))
            }
        }
    }

    /// Connection tracking reassembles fragments before rules see them (ipv4_conntrack_defrag,
    /// net/ipv4/netfilter/nf_defrag_ipv4.c, v6.12), and so does local delivery (ip_local_deliver).
    fn can_be_at(&self, hook: Hook, is_made_whole: bool) -> Result<(), CannotTell> {
        if self.packet.is_after_extension() {
            return Err(CannotTell::new("what comes after an extension header of IPv6"));
        }
        if self.packet.is_fragment() && (is_made_whole || hook == Hook::Input) {
            return Err(CannotTell::new("what the packet is like of which this is a fragment"));
        }
        Ok(())
    }

    /// Linux 6.18 reads the bytes of a later fragment as if they were a header, where other
    /// versions end the rule (nft_payload_eval, net/netfilter/nft_payload.c, v6.12).
    fn knows_transport(&self) -> Result<(), CannotTell> {
        if self.packet.is_later_fragment() {
            return Err(CannotTell::new("whether rules read the data of a later fragment as a header"));
        }
        Ok(())
    }

    fn further(&self, base: PayloadBase, at: usize) -> Option<Cell> {
        self.packet.further(base, at)
    }

    fn ip_length(&self, at: usize) -> Option<Cell> {
        self.packet.ip_length(at)
    }

    fn ends_before(&self, base: PayloadBase, end: u32) -> Option<bool> {
        self.packet.ends_before(base, end)
    }

    /// ICMP answers and resets are sent by kernel sockets, other packets of the kernel by none. An
    /// incoming packet of a connection is given to its socket even if that was closed
    /// (tcp_v4_early_demux, net/ipv4/tcp_ipv4.c, v6.12).
    fn knows_no_socket(&self) -> Result<(), CannotTell> {
        match (&self.incoming, &self.outgoing) {
            (None, Some(_)) => Err(CannotTell::new("which socket of the kernel sent the packet")),
            (Some(_), None) if self.packet.is_segment() => {
                Err(CannotTell::new("whether a socket that was closed has the connection"))
            }
            _ => Ok(()),
        }
    }

    fn ct_status(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        let is_same = |own: Input, now: &[Cell; 16]| self.all(own) == *now;
        let port = |own: Input, now: &[Cell; 2]| cells::<2>(self, own) == *now;
        let header = &flow.header;
        let mut status = self.connection.status;
        if let Some(translation) = &flow.translation {
            let (kept, bit) = match translation.kind {
                NatKind::Dnat => {
                    (is_same(Input::Daddr, &header.daddr) && port(Input::Dport, &header.dport), CtStatus::DNAT)
                }
                NatKind::Snat => {
                    (is_same(Input::Saddr, &header.saddr) && port(Input::Sport, &header.sport), CtStatus::SNAT)
                }
            };
            status.set(bit, status.contains(bit) || !kept);
        }
        Ok(status.bits().to_ne_bytes().map(Cell::Known))
    }

    fn daddr_type(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        let is_translated = flow.header.daddr != self.all(Input::Daddr);
        let kind = if is_translated { self.translated_daddr_type } else { Some(self.daddr_type) };
        let kind = kind.ok_or_else(|| CannotTell::new("what kind a destination is after its translation"))?;
        Ok(kind.0.to_ne_bytes().map(Cell::Known))
    }

    fn track(&mut self, _: Hook, flow: &mut Flow) -> Result<(), CannotTell> {
        let [kind, _] = self.packet.sport.to_be_bytes();
        let is_of_ipv6 = self.family() == IpFamily::Ipv6 && self.packet.protocol == Protocol::ICMPV6;
        if is_of_ipv6 && is_never_tracked(kind) && !self.connection.attached {
            (flow.tracking, flow.zone) = (Tracking::Untracked, None);
        }
        Ok(())
    }

    /// A single packet, before which no limit has seen another.
    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell> {
        goes_on(limit, &mut 0, self.packet.length)
    }

    /// The socket of the connection is preferred to one that listens (nft_tproxy_eval_v4,
    /// net/netfilter/nft_tproxy.c, v6.12).
    fn listener(&mut self, _: &Target) -> Result<bool, CannotTell> {
        let connected = self.receiver.filter(|_| self.packet.is_segment());
        Ok(connected.map_or(self.listener, |receiver| receiver.transparent))
    }

    /// nf_nat_inet_fn, net/netfilter/nf_nat_core.c, v6.12: only while this side of the connection
    /// has no translation, not even the identity translation. An ICMP error never asks
    /// (nf_nat_ipv4_fn and nf_nat_ipv6_fn, nf_nat_proto.c): it follows the connection that it is
    /// about.
    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell> {
        let Connection { state, status, attached, .. } = self.connection;
        let begins = if is_icmp(self.packet.protocol) { CtState::NEW } else { CtState::NEW | CtState::RELATED };
        Ok(state.intersects(begins) && !attached && status.bits() & nat_done(hook) == 0)
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell> {
        self.lost |= self.is_redirect_of_translated();
        let before = flow.header.daddr;
        match (decided, side(hook)) {
            (Some(decided), _) => {
                let own = if hook == Hook::Output { Some(loopback(self.family())) } else { self.own_address };
                decided.lowest(own.map(|own| bytes_of(own).map(Cell::Known)), &mut flow.header);
            }
            (None, NatKind::Snat) => {
                flow.header.saddr = cells(self, Input::TranslatedSaddr);
                flow.header.sport = cells(self, Input::TranslatedSport);
            }
            (None, NatKind::Dnat) => {
                flow.header.daddr = cells(self, Input::TranslatedDaddr);
                flow.header.dport = cells(self, Input::TranslatedDport);
            }
        }
        // nf_nat_ipv4_local_fn, net/netfilter/nf_nat_proto.c, v6.12
        if hook == Hook::Output && flow.header.daddr != before {
            flow.routed = flow.mark;
        }
        // For ICMP, this is the checksum, which covers the source too.
        if is_icmp(self.packet.protocol) && self.translated.is_some() {
            flow.header.dport = cells(self, Input::TranslatedDport);
        }
        Ok(())
    }
}

fn name(interface: Option<&Interface>) -> [u8; 16] {
    padded(interface.map_or(&[], |interface| interface.name.as_bytes()))
}

#[cfg(all(test, feature = "mesh"))]
mod tests {
    use super::super::hook::{Passed, pass};
    use super::super::rules::Rules;
    use super::*;
    use crate::mesh::istio::{IstioConfig, ServiceCidrs};
    use crate::model::Ruleset;

    #[test]
    fn packets_of_the_application_are_redirected_and_those_of_the_proxy_not() {
        let config = IstioConfig::builder().service_cidrs(ServiceCidrs::All).build().expect("a configuration");
        let rules = Rules::try_from(&Ruleset::from(&config)).expect("rules that can be lowered");
        for (uid, redirected) in [(1000, true), (1337, false)] {
            let (source, destination) = ("10.77.0.2:40000", "10.77.0.1:9000");
            let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
            let packet = Packet::tcp(source, destination).owner(uid, uid);
            let mut at_output = Situation { outgoing: Some(Interface::new(2, "eth0")), ..Situation::new(packet) };
            let mut flow = Flow::new(&at_output);
            let passed = pass(&rules, Hook::Output, &mut at_output, &mut flow, &mut ()).expect("nothing unknown");
            assert_eq!((passed, flow.translation.is_some()), (Passed::Accepted, redirected), "{uid}");
        }
    }
}
