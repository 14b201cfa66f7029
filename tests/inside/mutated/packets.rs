//! Packets made of the bytes that programs compare with, and of their neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nftmesh::Snapshot;
use nftmesh::bytecode::{ElementCode, Expr, FibFlags, FibResult, LookupSet};
use nftmesh::model::{AddrType, CtDirection, CtState, CtStatus, Hook, IpFamily, Protocol, TcpFlags};
use nftmesh::sim::{FibAnswer, Interface, Owner, Packet, Situation};

use super::super::mutants::Random;

/// What programs look for.
pub(super) struct Seen {
    addresses: [Vec<IpAddr>; 2],
    ports: Vec<u16>,
    numbers: Vec<u32>,
    names: Vec<String>,
    protocols: Vec<u8>,
    /// What they ask the routing tables.
    asked: Vec<(FibResult, FibFlags)>,
}

impl Seen {
    pub(super) fn of(snapshots: [&Snapshot; 2]) -> Self {
        let mut seen = Seen {
            addresses: [vec![Ipv4Addr::new(10, 1, 2, 3).into()], vec![Ipv6Addr::LOCALHOST.into()]],
            ports: vec![9000, 53],
            numbers: vec![0, 1, 1000],
            names: vec!["eth0".into(), "lo".into()],
            protocols: vec![1, 58, 47],
            asked: Vec::new(),
        };
        for table in snapshots.into_iter().flat_map(|snapshot| &snapshot.tables) {
            table.sets.iter().flat_map(|set| &set.elements).for_each(|element| seen.element(element));
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            rules.flat_map(|rule| &rule.exprs).for_each(|expr| seen.expr(expr));
        }
        let Seen { addresses, ports, numbers, names, protocols, asked: _ } = &mut seen;
        for addresses in addresses {
            addresses.sort();
            addresses.dedup();
        }
        ports.sort_unstable();
        ports.dedup();
        numbers.sort_unstable();
        numbers.dedup();
        names.sort();
        names.dedup();
        protocols.sort_unstable();
        protocols.dedup();
        seen
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Cmp { data, .. } => self.bytes(data),
            Expr::Range { low, high, .. } => [low, high].into_iter().for_each(|data| self.bytes(data)),
            Expr::Immediate { data, .. } => self.bytes(data),
            Expr::Fib { result, flags, dreg: _ } if !self.asked.contains(&(*result, *flags)) => {
                self.asked.push((*result, *flags));
            }
            Expr::Lookup { set: LookupSet::Anonymous(set), .. } => {
                set.elements.iter().for_each(|element| self.element(element));
            }
            _ => {}
        }
    }

    fn element(&mut self, element: &ElementCode) {
        for key in std::iter::once(&element.key).chain(&element.key_end) {
            self.bytes(key);
            // The fields of a concatenation, each in as many words as it fills.
            if key.len() > 4 {
                key.chunks(4).for_each(|word| self.bytes(word));
                key.chunks(4).for_each(|word| self.bytes(&word[..2.min(word.len())]));
                key.chunks(4).for_each(|word| self.bytes(&word[..1.min(word.len())]));
            }
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let around = |number: u32| [number.wrapping_sub(1), number, number.wrapping_add(1)];
        match *bytes {
            [protocol] => self.protocols.push(protocol),
            [a, b] => {
                let port = u16::from_be_bytes([a, b]);
                self.ports.extend([port.wrapping_sub(1), port, port.wrapping_add(1)]);
            }
            [a, b, c, d] => {
                self.numbers.extend(around(u32::from_ne_bytes([a, b, c, d])));
                let of = around(u32::from_be_bytes([a, b, c, d]));
                self.addresses[0].extend(of.map(|number| IpAddr::from(Ipv4Addr::from(number))));
            }
            // A prefix on a byte's border.
            [a, b, c] => {
                let number = u32::from_be_bytes([a, b, c, 0]);
                let of = [number, number | 0xff, number.wrapping_sub(1), number.wrapping_add(0x100)];
                self.addresses[0].extend(of.map(|number| IpAddr::from(Ipv4Addr::from(number))));
            }
            _ => {}
        }
        if let Ok(address) = <[u8; 16]>::try_from(bytes) {
            let number = u128::from_be_bytes(address);
            let of = [number.wrapping_sub(1), number, number.wrapping_add(1)];
            self.addresses[1].extend(of.map(|number| IpAddr::from(Ipv6Addr::from(number))));
        }
        let text: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
        if bytes.len() > 1 && text.len() < 16 {
            let text = String::from_utf8(text).ok().filter(|text| text.chars().all(|char| char.is_ascii_graphic()));
            if let Some(name) = text.filter(|text| text.len() > 1) {
                self.names.push(format!("{name:.14}0"));
                self.names.push(name);
            }
        }
    }

    /// A packet at a hook.
    pub(super) fn situation(&self, hook: Hook, random: &mut Random) -> Situation {
        let family = if random.below(3) == 0 { IpFamily::Ipv6 } else { IpFamily::Ipv4 };
        let addresses = &self.addresses[usize::from(family == IpFamily::Ipv6)];
        let mut end = |usual: u16| {
            let port = if random.below(3) == 0 { usual } else { *random.of(&self.ports) };
            SocketAddr::new(*random.of(addresses), port)
        };
        let (from, to) = (end(40000), end(80));
        let mut packet = match random.below(6) {
            0 => Packet { protocol: Protocol(*random.of(&self.protocols)), ..Packet::udp(from, to) },
            1 | 2 => Packet::udp(from, to),
            _ => Packet::tcp(from, to),
        };
        if packet.protocol == Protocol::TCP && random.below(3) == 0 {
            packet.tcp_flags = TcpFlags::from_bits_retain(u8::try_from(random.below(64)).expect("6 bits"));
        }
        let mut mark = || if random.below(2) == 0 { 0 } else { *random.of(&self.numbers) };
        packet.mark = mark();
        let ct_mark = mark();
        if matches!(hook, Hook::Output | Hook::Postrouting) && random.below(8) != 0 {
            packet.owner = Some(Owner::new(*random.of(&self.numbers), *random.of(&self.numbers)));
        }
        let mut situation = Situation::new(packet);
        let mut interface = |index| {
            let name = random.of(&self.names).clone();
            let index = if name == "lo" { 1 } else { index };
            Some(Interface::new(index, name))
        };
        if matches!(hook, Hook::Prerouting | Hook::Input | Hook::Forward) {
            situation.incoming = interface(2);
        }
        if matches!(hook, Hook::Output | Hook::Postrouting | Hook::Forward) {
            situation.outgoing = interface(3);
        }
        let states = [CtState::NEW, CtState::NEW, CtState::ESTABLISHED, CtState::RELATED, CtState::INVALID];
        let connection = &mut situation.connection;
        connection.state = *random.of(&states);
        connection.mark = ct_mark;
        if connection.state != CtState::NEW && random.below(2) == 0 {
            connection.direction = CtDirection::Reply;
        }
        if random.below(3) == 0 {
            connection.status = *random.of(&[CtStatus::DNAT, CtStatus::SNAT, CtStatus::CONFIRMED]);
        }
        let kinds = [AddrType::LOCAL, AddrType::UNICAST, AddrType::BROADCAST, AddrType::MULTICAST];
        situation.daddr_type = *random.of(&kinds);
        situation.listener = random.below(4) != 0;
        for (result, flags) in &self.asked {
            let number = if *result == FibResult::ADDRTYPE { random.of(&kinds).0 } else { random.below(3) as u32 };
            let mut loads = number.to_ne_bytes().to_vec();
            if *result == FibResult::OIFNAME && flags.0 & FibFlags::PRESENT.0 == 0 {
                loads = random.of(&self.names).clone().into_bytes();
                loads.resize(16, 0);
            }
            if flags.0 & FibFlags::PRESENT.0 != 0 {
                loads = vec![u8::from(random.below(2) == 0), 0, 0, 0];
            }
            situation.fib.push(FibAnswer::new(*result, *flags, loads));
        }
        situation
    }
}
