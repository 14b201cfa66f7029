//! Chooses one packet of a box, as usual as the box allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::bdd::{Bdd, Node};
use super::bits::width;
use super::domains::{Domains, Frame, constants, names};
use super::explorer::{Choice, PacketBox};
use super::outcome::Where;
use super::usual::usual;
use crate::model::{AddrType, CtDirection, CtState, CtStatus, Hook, IpFamily, NatKind, PktType, Protocol, TcpFlags};
use crate::sim::cells::{Cell, Input};
use crate::sim::connections::side;
use crate::sim::fib::{FibAnswer, Wanted};
use crate::sim::header::HeaderBytes;
use crate::sim::inputs::{CannotTell, Inputs};
use crate::sim::packet::{Connection, Interface, Owner, Packet, Receiver};
use crate::sim::situation::Situation;

/// Takes values from domains, which shrink.
pub(super) struct Witness<'a> {
    pub(super) bdd: &'a mut Bdd,
    pub(super) frame: &'a Frame,
    pub(super) hook: Hook,
    pub(super) family: IpFamily,
    pub(super) domains: Domains,
}

impl Witness<'_> {
    /// Returns a packet at the place whose inputs have these values.
    pub(super) fn situation(mut self, place: &PacketBox, at: &Where) -> Result<Situation, CannotTell> {
        for (input, values) in at {
            if !self.frame.narrow(self.bdd, &mut self.domains, *input, *values) {
                return Err(CannotTell::new("the difference is of packets that do not exist"));
            }
        }
        self.mixes_index_and_name()?;
        let packet = self.packet()?;
        let (incoming, outgoing) = self.interfaces();
        let state = self.take32(Input::CtState);
        let connection = Connection {
            state: CtState::from_bits_retain(state),
            direction: match self.take(Input::CtDirection) {
                0 => CtDirection::Original,
                _ => CtDirection::Reply,
            },
            status: CtStatus::from_bits_retain(self.take32(Input::CtStatus)),
            mark: self.take32(Input::CtMark),
            zone: self.take16(Input::CtZone),
            attached: self.is(Input::Attached),
        };
        let received = self.take(Input::Received);
        let receiver = (received != 0).then(|| Receiver {
            transparent: self.is(Input::SocketTransparent),
            wildcard: self.is(Input::SocketWildcard),
            mark: self.take32(Input::SocketMark),
            handshake: received == 2,
        });
        let daddr_type = AddrType(self.take32(Input::DaddrType));
        let listeners: Vec<bool> = place.choices.iter().filter_map(|(choice, is)| listens(choice, *is)).collect();
        let mut situation = Situation::new(packet);
        (situation.incoming, situation.outgoing, situation.connection) = (incoming, outgoing, connection);
        (situation.daddr_type, situation.receiver) = (daddr_type, receiver);
        situation.listener = listeners.first().copied().unwrap_or(true);
        if listeners.iter().any(|is| *is != situation.listener) {
            return Err(CannotTell::new("the difference needs a listener on one port and none on another"));
        }
        situation.fib = self.fib(place)?;
        let moved = place.choices.iter().find_map(|(choice, is)| (*choice == Choice::Moved).then_some(*is));
        self.translated(&mut situation, moved.unwrap_or(false))?;
        Ok(situation)
    }

    /// Returns the answers of the routing tables. Only a host knows how several answers are
    /// related.
    fn fib(&self, place: &PacketBox) -> Result<Vec<FibAnswer>, CannotTell> {
        let mut answers: Vec<FibAnswer> = Vec::new();
        let [source, destination] = [Input::Saddr, Input::Daddr].map(|input| self.cells(input));
        let (mut asks_source, mut asks_destination) = (false, false);
        for (choice, is) in &place.choices {
            let Choice::Fib { query, result, flags, address, mark, answer } = choice else { continue };
            let (is_asked, of) = match query.end {
                NatKind::Dnat => (&mut asks_destination, destination),
                NatKind::Snat => (&mut asks_source, source),
            };
            if *address != of || mark.is_some() {
                return Err(CannotTell::new("what the routing tables return for what rules have changed"));
            }
            let known = answers.iter_mut().find(|known| (known.result, known.flags) == (*result, *flags));
            if known.is_none() && *is_asked {
                return Err(CannotTell::new("how answers of the routing tables go together"));
            }
            *is_asked = true;
            // If none of the tried ones is the answer, the last stands for the rest.
            let number = match (is, query.wanted) {
                (true, _) => *answer,
                (false, Wanted::Exists) => 0,
                (false, _) => 11,
            };
            match known {
                Some(known) => known.loads = number.to_ne_bytes().to_vec(),
                None => answers.push(FibAnswer::new(*result, *flags, number.to_ne_bytes())),
            }
        }
        let is_narrowed = self.domains.get(Input::DaddrType) != self.frame.start.get(Input::DaddrType);
        if asks_destination && is_narrowed {
            return Err(CannotTell::new("how answers of the routing tables go together"));
        }
        Ok(answers)
    }

    /// Returns an address as it arrived.
    fn cells(&self, input: Input) -> [Cell; 16] {
        std::array::from_fn(|byte| match (self.family, u8::try_from(byte)) {
            (IpFamily::Ipv4, Ok(4..)) | (_, Err(_)) => Cell::Known(0),
            (_, Ok(byte)) => Cell::open(input, byte),
        })
    }

    /// Fills in the bytes of headers that rules tested.
    fn bytes(&mut self, packet: &mut Packet) {
        let is_narrowed =
            |inputs: &[Input]| inputs.iter().any(|input| self.domains.get(*input) != self.frame.start.get(*input));
        let (network, ports) = (is_narrowed(&[Input::Network]), is_narrowed(&[Input::Sport, Input::Dport]));
        let (transport, flags) = (is_narrowed(&[Input::Transport]), is_narrowed(&[Input::TcpFlags]));
        let is_tcp = packet.protocol == Protocol::TCP;
        let HeaderBytes { network: to_network, transport: to_transport } = &mut packet.bytes;
        if network {
            let len = if self.family == IpFamily::Ipv4 { 12 } else { 8 };
            let bytes = self.take(Input::Network).to_be_bytes().into_iter().take(len).map(Some);
            to_network.extend(bytes);
            // These bytes are other fields of the packet.
            let others: &[usize] = if self.family == IpFamily::Ipv4 { &[2, 3, 9] } else { &[4, 5, 6] };
            (0..).zip(to_network).filter(|(at, _)| others.contains(at)).for_each(|(_, byte)| *byte = None);
        }
        if transport {
            let bytes = self.take(Input::Transport).to_be_bytes();
            HeaderBytes::set(to_transport, 4, &bytes.map(Some));
        }
        if !is_tcp && (transport || flags) {
            HeaderBytes::set(to_transport, 13, &[Some(packet.tcp_flags.bits())]);
        }
        if ports && !packet.protocol.has_ports() {
            let [a, b] = packet.sport.to_be_bytes();
            let [c, d] = packet.dport.to_be_bytes();
            HeaderBytes::set(to_transport, 0, &[a, b, c, d].map(Some));
        }
        // The bytes that rules found must be there.
        let header = packet.network_length();
        let long = if transport || flags { header + 20 } else { header };
        packet.length = packet.length.max(long);
    }

    /// Fails if the difference depends on both an index and a name, whose relation only the host
    /// knows, except for lo.
    fn mixes_index_and_name(&mut self) -> Result<(), CannotTell> {
        let mut distinguished =
            |index, name, which| self.frame.is_distinguished(self.bdd, &self.domains, index, name, which);
        let (iif, oif) = ((Input::Iif, Input::Iifname), (Input::Oif, Input::Oifname));
        let by_index = distinguished(iif.0, iif.1, iif.0) || distinguished(oif.0, oif.1, oif.0);
        let by_name = distinguished(iif.0, iif.1, iif.1) || distinguished(oif.0, oif.1, oif.1);
        if by_index && by_name {
            return Err(CannotTell::new("it depends on which index the interface of a name has"));
        }
        Ok(())
    }

    fn packet(&mut self) -> Result<Packet, CannotTell> {
        let protocol = Protocol(u8::try_from(self.take(Input::L4proto)).unwrap_or(0));
        let (source, destination) = (self.address(Input::Saddr), self.address(Input::Daddr));
        // Type and code, and the checksum, of an echo request.
        let (first, second) = match protocol {
            Protocol::ICMP => (Some(0x0800), Some(0)),
            Protocol::ICMPV6 => (Some(0x8000), Some(0)),
            _ => (None, None),
        };
        let (sport, dport) = (self.take16_or(Input::Sport, first), self.take16_or(Input::Dport, second));
        let mut packet = Packet::plain(protocol, source, destination);
        (packet.sport, packet.dport) = (sport, dport);
        let flags = self.take_or(Input::TcpFlags, Some(packet.tcp_flags.bits().into()));
        packet.tcp_flags = TcpFlags::from_bits_retain(u8::try_from(flags).unwrap_or(0));
        self.bytes(&mut packet);
        packet.length = u32::try_from(self.take_or(Input::Length, Some(packet.length.into()))).unwrap_or(0);
        packet.mark = self.take32(Input::Mark);
        packet.pkttype = PktType(u8::try_from(self.take(Input::PktType)).unwrap_or(0));
        let socket = self.take(Input::Socket);
        if socket > 1 {
            return Err(CannotTell::new("the difference is of packets of a socket without an owner"));
        }
        packet.owner = (socket == 1).then(|| Owner {
            uid: self.take32(Input::Skuid),
            gid: self.take32(Input::Skgid),
            cgroup: self.take32(Input::Cgroup),
        });
        Ok(packet)
    }

    fn interfaces(&mut self) -> (Option<Interface>, Option<Interface>) {
        let incoming = self.interface(Input::Iif, Input::Iifname, None);
        let outgoing = self.interface(Input::Oif, Input::Oifname, incoming.as_ref());
        (incoming, outgoing)
    }

    fn interface(&mut self, index: Input, name: Input, other: Option<&Interface>) -> Option<Interface> {
        let readable = names(self.bdd, name, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        self.narrow(name, readable);
        let named = self.take(name).to_be_bytes();
        let named: Vec<u8> = named.into_iter().take_while(|byte| *byte != 0).collect();
        let named = String::from_utf8_lossy(&named);
        // The same name means the same interface.
        let same = other.filter(|other| other.name == named).map(|other| u128::from(other.index));
        let index = u32::try_from(self.take_or(index, same)).unwrap_or(0);
        (index != 0).then(|| Interface::new(index, named))
    }

    /// Restricts an input to these values if any of them is possible.
    fn narrow(&mut self, input: Input, values: Node) {
        let mut narrowed = self.domains;
        if self.frame.narrow(self.bdd, &mut narrowed, input, values) {
            self.domains = narrowed;
        }
    }

    /// Sets the translation that an earlier packet of the connection was given: if possible none,
    /// except for a destination that moved.
    fn translated(&mut self, situation: &mut Situation, is_moved: bool) -> Result<(), CannotTell> {
        let (from, to) = (situation.packet.source, situation.packet.destination);
        for (translated, own) in [
            (Input::TranslatedSaddr, Input::Saddr),
            (Input::TranslatedDaddr, Input::Daddr),
            (Input::TranslatedSport, Input::Sport),
            (Input::TranslatedDport, Input::Dport),
        ] {
            let own = match (is_moved, own) {
                (true, Input::Daddr) => self.bdd.less(Node::ALL, self.domains.get(own)),
                _ => self.domains.get(own),
            };
            self.narrow(translated, own);
        }
        let (source, destination) = (self.address(Input::TranslatedSaddr), self.address(Input::TranslatedDaddr));
        let (sport, dport) = (self.take16(Input::TranslatedSport), self.take16(Input::TranslatedDport));
        if situation.asks_nat(self.hook)? {
            let (own, of_packet) = match side(self.hook) {
                NatKind::Dnat => (destination, to),
                NatKind::Snat => (source, from),
            };
            situation.own_address = (own != of_packet).then_some(own);
            return Ok(());
        }
        let ends = (SocketAddr::new(source, sport), SocketAddr::new(destination, dport));
        let own = (SocketAddr::new(from, situation.packet.sport), SocketAddr::new(to, situation.packet.dport));
        situation.translated = (ends != own).then_some(ends);
        Ok(())
    }

    fn address(&mut self, input: Input) -> IpAddr {
        let bytes = self.take(input).to_be_bytes();
        let [a, b, c, d, ..] = bytes;
        match self.family {
            IpFamily::Ipv4 => Ipv4Addr::new(a, b, c, d).into(),
            IpFamily::Ipv6 => Ipv6Addr::from(bytes).into(),
        }
    }

    fn is(&mut self, input: Input) -> bool {
        self.take(input) == 1
    }

    fn take32(&mut self, input: Input) -> u32 {
        u32::try_from(self.take(input)).unwrap_or(0)
    }

    fn take16(&mut self, input: Input) -> u16 {
        self.take16_or(input, None)
    }

    fn take16_or(&mut self, input: Input, wanted: Option<u128>) -> u16 {
        u16::try_from(self.take_or(input, wanted)).unwrap_or(0)
    }

    /// Takes the most usual value that is left, or the lowest.
    fn take(&mut self, input: Input) -> u128 {
        self.take_or(input, None)
    }

    /// Like [`take`](Self::take), but prefers one value to all others.
    fn take_or(&mut self, input: Input, wanted: Option<u128>) -> u128 {
        let domain = self.domains.get(input);
        let mut ordinary = wanted.into_iter().chain(usual(self.hook, self.family, input));
        let left = ordinary.find(|number| {
            let one = constants(self.bdd, input, &[*number]);
            self.bdd.and(domain, one) == one
        });
        let number = left.or_else(|| self.bdd.lowest(domain, width(input))).unwrap_or(0);
        let one = constants(self.bdd, input, &[number]);
        self.frame.narrow(self.bdd, &mut self.domains, input, one);
        number
    }
}

fn listens(choice: &Choice, is: bool) -> Option<bool> {
    match choice {
        Choice::Listener(_) => Some(is),
        Choice::Asked { .. } | Choice::Fib { .. } | Choice::Limit { .. } | Choice::Moved => None,
    }
}
