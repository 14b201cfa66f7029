//! One packet of a box, as ordinary as the box allows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::bdd::{Bdd, Node};
use super::bits::width;
use super::domains::{Domains, Frame, constants, name_number, names};
use super::explorer::{Choice, Place};
use super::outcome::Where;
use crate::model::{AddrType, CtDirection, CtState, CtStatus, Family4or6, Hook, PktType, Protocol, TcpFlags};
use crate::sim::cells::Input;
use crate::sim::inputs::CannotTell;
use crate::sim::packet::{Connection, Interface, Owner, Packet, Receiver};
use crate::sim::situation::Situation;

/// Takes values out of domains, which shrink.
pub(super) struct Witness<'a> {
    pub(super) bdd: &'a mut Bdd,
    pub(super) frame: &'a Frame,
    pub(super) hook: Hook,
    pub(super) family: Family4or6,
    pub(super) domains: Domains,
}

impl Witness<'_> {
    /// A packet at the place whose inputs have these values.
    pub(super) fn situation(mut self, place: &Place, at: &Where) -> Result<Situation, CannotTell> {
        for (input, values) in at {
            if !self.frame.narrow(self.bdd, &mut self.domains, *input, *values) {
                return Err(CannotTell::new("the difference is of packets that do not exist"));
            }
        }
        self.mixes_index_and_name()?;
        let packet = self.packet();
        let (incoming, outgoing) = self.interfaces();
        let state = self.take32(Input::CtState, &[8, 2, 4]);
        let connection = Connection {
            state: CtState::from_bits_retain(state),
            direction: match self.take(Input::CtDirection, &[0]) {
                0 => CtDirection::Original,
                _ => CtDirection::Reply,
            },
            status: CtStatus::from_bits_retain(self.take32(Input::CtStatus, &[])),
            mark: self.take32(Input::CtMark, &[]),
            zone: self.take16(Input::CtZone, &[]),
            attached: self.is(Input::Attached),
        };
        let receiver = self.is(Input::Received).then(|| Receiver {
            transparent: self.is(Input::SocketTransparent),
            wildcard: self.is(Input::SocketWildcard),
            mark: self.take32(Input::SocketMark, &[]),
        });
        let kind = match self.hook {
            Hook::Input | Hook::Prerouting => AddrType::LOCAL,
            Hook::Forward | Hook::Output | Hook::Postrouting => AddrType::UNICAST,
        };
        let daddr_type = AddrType(self.take32(Input::DaddrType, &[u128::from(kind.0)]));
        let listeners: Vec<bool> = place.choices.iter().filter_map(|(choice, is)| listens(choice, *is)).collect();
        let mut situation = Situation::new(packet);
        (situation.incoming, situation.outgoing, situation.connection) = (incoming, outgoing, connection);
        (situation.daddr_type, situation.receiver) = (daddr_type, receiver);
        situation.listener = listeners.first().copied().unwrap_or(true);
        if listeners.iter().any(|is| *is != situation.listener) {
            return Err(CannotTell::new("the difference needs a listener on one port and none on another"));
        }
        self.translated(&mut situation);
        Ok(situation)
    }

    /// Which index an interface has, and which name, is for the host to say, except for lo.
    fn mixes_index_and_name(&mut self) -> Result<(), CannotTell> {
        let mut told = |index, name, which| self.frame.is_told_apart(self.bdd, &self.domains, index, name, which);
        let (iif, oif) = ((Input::Iif, Input::Iifname), (Input::Oif, Input::Oifname));
        let by_index = told(iif.0, iif.1, iif.0) || told(oif.0, oif.1, oif.0);
        let by_name = told(iif.0, iif.1, iif.1) || told(oif.0, oif.1, oif.1);
        if by_index && by_name {
            return Err(CannotTell::new("it depends on which index the interface of a name has"));
        }
        Ok(())
    }

    fn packet(&mut self) -> Packet {
        let other = match self.family {
            Family4or6::Ipv4 => Protocol::ICMP,
            Family4or6::Ipv6 => Protocol::ICMPV6,
        };
        let protocols = [Protocol::TCP, Protocol::UDP, other].map(|protocol| protocol.0.into());
        let protocol = Protocol(u8::try_from(self.take(Input::L4proto, &protocols)).unwrap_or(0));
        let (here, there) = match self.family {
            Family4or6::Ipv4 => ("10.77.0.2", "10.77.0.1"),
            Family4or6::Ipv6 => ("fd77::2", "fd77::1"),
        };
        let (from, to) = match self.hook {
            Hook::Input | Hook::Prerouting => (there, here),
            Hook::Forward | Hook::Output | Hook::Postrouting => (here, there),
        };
        let (source, destination) = (self.address(Input::Saddr, from), self.address(Input::Daddr, to));
        let is_icmp = protocol == other;
        let sport = self.take16(Input::Sport, if is_icmp { &[0x0800, 0x8000] } else { &[40000] });
        let dport = self.take16(Input::Dport, if is_icmp { &[0] } else { &[9000, 80] });
        let (source, destination) = (SocketAddr::new(source, sport), SocketAddr::new(destination, dport));
        let plain = Packet { protocol, ..Packet::udp(source, destination) };
        let mut packet = if protocol == Protocol::TCP { Packet::tcp(source, destination) } else { plain };
        let flags = self.take(Input::TcpFlags, &[packet.tcp_flags.bits().into()]);
        packet.tcp_flags = TcpFlags::from_bits_retain(u8::try_from(flags).unwrap_or(0));
        packet.length = self.take32(Input::Length, &[packet.length.into()]);
        packet.mark = self.take32(Input::Mark, &[]);
        packet.pkttype = PktType(u8::try_from(self.take(Input::PktType, &[])).unwrap_or(0));
        let has_socket = match self.hook {
            Hook::Output => self.take(Input::Socket, &[1]) == 1,
            _ => self.is(Input::Socket),
        };
        packet.owner = has_socket.then(|| Owner {
            uid: self.take32(Input::Skuid, &[1000]),
            gid: self.take32(Input::Skgid, &[1000]),
            cgroup: self.take32(Input::Cgroup, &[]),
        });
        packet
    }

    fn interfaces(&mut self) -> (Option<Interface>, Option<Interface>) {
        let incoming = self.interface(Input::Iif, Input::Iifname, "eth0", 2);
        let (name, index) = match &incoming {
            Some(Interface { name, .. }) if name != "lo" => ("eth1", 3),
            _ => ("eth0", 2),
        };
        let outgoing = self.interface(Input::Oif, Input::Oifname, name, index);
        // Two rules that ask for one name ask for one interface.
        let outgoing = outgoing.map(|out| match &incoming {
            Some(same) if same.name == out.name => same.clone(),
            _ => out,
        });
        (incoming, outgoing)
    }

    fn interface(&mut self, index: Input, name: Input, usual: &str, number: u128) -> Option<Interface> {
        let readable = names(self.bdd, name, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let left = self.bdd.and(self.domains.get(name), readable);
        if left != Node::NOTHING {
            self.frame.narrow(self.bdd, &mut self.domains, name, left);
        }
        let wanted = [usual, "eth0", "eth1", "eth2", "eth3", "lo"].map(|name| name_number(name.as_bytes()));
        let named = self.take(name, &wanted).to_be_bytes();
        let index = self.take32(index, &[number, number + 2]);
        let text: Vec<u8> = named.into_iter().take_while(|byte| *byte != 0).collect();
        (index != 0).then(|| Interface::new(index, String::from_utf8_lossy(&text)))
    }

    /// What an earlier packet of the connection was given: if possible, nothing else than it had.
    fn translated(&mut self, situation: &mut Situation) {
        let (from, to) = (situation.packet.source, situation.packet.destination);
        let source = self.address(Input::TranslatedSaddr, &from.to_string());
        let destination = self.address(Input::TranslatedDaddr, &to.to_string());
        let sport = self.take16(Input::TranslatedSport, &[situation.packet.sport.into()]);
        let dport = self.take16(Input::TranslatedDport, &[situation.packet.dport.into()]);
        let of_source = matches!(self.hook, Hook::Input | Hook::Postrouting);
        if situation.connection.state.intersects(CtState::NEW | CtState::RELATED) && !situation.connection.attached {
            let (own, of_packet) = if of_source { (source, from) } else { (destination, to) };
            situation.own_address = (own != of_packet).then_some(own);
            return;
        }
        let ends = (SocketAddr::new(source, sport), SocketAddr::new(destination, dport));
        let own = (SocketAddr::new(from, situation.packet.sport), SocketAddr::new(to, situation.packet.dport));
        situation.translated = (ends != own).then_some(ends);
    }

    fn address(&mut self, input: Input, usual: &str) -> IpAddr {
        let bytes = match usual.parse() {
            Ok(IpAddr::V4(usual)) => (u128::from(u32::from(usual))) << 96,
            Ok(IpAddr::V6(usual)) => u128::from(usual),
            Err(_) => 0,
        };
        let bytes = self.take(input, &[bytes]).to_be_bytes();
        let [a, b, c, d, ..] = bytes;
        match self.family {
            Family4or6::Ipv4 => Ipv4Addr::new(a, b, c, d).into(),
            Family4or6::Ipv6 => Ipv6Addr::from(bytes).into(),
        }
    }

    fn is(&mut self, input: Input) -> bool {
        self.take(input, &[0]) == 1
    }

    fn take32(&mut self, input: Input, usual: &[u128]) -> u32 {
        u32::try_from(self.take(input, usual)).unwrap_or(0)
    }

    fn take16(&mut self, input: Input, usual: &[u128]) -> u16 {
        u16::try_from(self.take(input, usual)).unwrap_or(0)
    }

    /// The first of the usual values that is left, or the lowest that is.
    fn take(&mut self, input: Input, usual: &[u128]) -> u128 {
        let domain = self.domains.get(input);
        let is_left = |bdd: &mut Bdd, number: u128| {
            let one = constants(bdd, input, &[number]);
            bdd.and(domain, one) == one
        };
        let usual = usual.iter().copied().find(|number| is_left(self.bdd, *number));
        let number = usual.or_else(|| self.bdd.lowest(domain, width(input))).unwrap_or(0);
        let one = constants(self.bdd, input, &[number]);
        self.frame.narrow(self.bdd, &mut self.domains, input, one);
        number
    }
}

fn listens(choice: &Choice, is: bool) -> Option<bool> {
    match choice {
        Choice::Listener(_) => Some(is),
        Choice::Limit { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::number;
    use super::*;

    #[test]
    fn a_name_is_the_number_of_its_bytes() {
        assert_eq!(name_number(b"lo").to_be_bytes()[..3], [b'l', b'o', 0]);
        assert_eq!(number(Input::Mark, &7_u32.to_ne_bytes()), 7);
        assert_eq!(number(Input::Dport, &[1, 2]), 0x0102);
    }
}
