//! The values of a packet, for rules that wanted others.

use super::Here;
use crate::model::{Field, IcmpType, Icmpv6Type, IpFamily, Protocol, Statement, Value};
use crate::sim::packet::{Interface, Packet};

impl Here {
    /// Returns the packet's value if a statement wants another.
    pub(super) fn had(&self, statement: &Statement) -> Option<String> {
        match statement {
            Statement::Match(matches) => {
                let plain = matches.selector.parts().iter().map(|part| part.as_field());
                let fields: Option<Vec<_>> = plain.map(|field| self.field(field?)).collect();
                fields.map(|fields| format!("it is {}", fields.join(" . ")))
            }
            Statement::Tproxy(_) => Some("no transparent socket listens there".to_owned()),
            Statement::Limit(_) => Some("a single packet is within every rate".to_owned()),
            _ => None,
        }
    }

    fn field(&self, field: Field) -> Option<String> {
        let packet = &self.packet;
        let (v4, owner) = (packet.family() == IpFamily::Ipv4, packet.owner);
        let Packet { protocol, source, destination, sport, dport, .. } = packet;
        let is_port_of = |wanted| if *protocol == wanted { None } else { Some(Value::Protocol(*protocol).to_string()) };
        let port = |wanted, port: &u16| is_port_of(wanted).or_else(|| Some(port.to_string()));
        let name = |interface: &Option<Interface>| {
            interface.as_ref().map_or_else(|| "no interface".to_owned(), |interface| format!("{:?}", interface.name))
        };
        let index = |interface: &Option<Interface>| {
            interface.as_ref().map_or_else(|| "no interface".to_owned(), |interface| interface.index.to_string())
        };
        let of_socket = |number: Option<u32>| {
            number.map_or_else(|| "of no socket that is known here".to_owned(), |number| number.to_string())
        };
        let [icmp_type, _] = sport.to_be_bytes();
        match field {
            Field::Cgroup => Some(of_socket(owner.map(|owner| owner.cgroup))),
            Field::CtDirection => self.ct.map(|(_, direction, _)| Value::CtDirection(direction).to_string()),
            Field::CtMark => self.ct_mark.map(|mark| Value::Mark(mark).to_string()),
            Field::CtState => self.ct.map(|(state, ..)| Value::CtState(state).to_string()),
            Field::CtZone => self.ct.map(|(_, _, zone)| zone.to_string()),
            Field::IcmpType => {
                is_port_of(Protocol::ICMP).or_else(|| Some(Value::IcmpType(IcmpType(icmp_type)).to_string()))
            }
            Field::Icmpv6Type => {
                is_port_of(Protocol::ICMPV6).or_else(|| Some(Value::Icmpv6Type(Icmpv6Type(icmp_type)).to_string()))
            }
            Field::Iif => Some(index(&self.incoming)),
            Field::Iifname => Some(name(&self.incoming)),
            Field::IpDaddr if v4 => Some(destination.to_string()),
            Field::IpSaddr if v4 => Some(source.to_string()),
            Field::Ip6Daddr if !v4 => Some(destination.to_string()),
            Field::Ip6Saddr if !v4 => Some(source.to_string()),
            Field::IpDaddr | Field::IpSaddr | Field::IpProtocol if !v4 => Some("IPv6".to_owned()),
            Field::IpDaddr | Field::IpSaddr | Field::Ip6Daddr | Field::Ip6Saddr => Some("IPv4".to_owned()),
            Field::IpProtocol | Field::L4proto => Some(Value::Protocol(*protocol).to_string()),
            Field::Length => Some(packet.length.to_string()),
            Field::Mark => Some(Value::Mark(packet.mark).to_string()),
            Field::Nfproto => Some(if v4 { "ipv4" } else { "ipv6" }.to_owned()),
            Field::Oif => Some(index(&self.outgoing)),
            Field::Oifname => Some(name(&self.outgoing)),
            Field::PktType => Some(Value::PktType(packet.pkttype).to_string()),
            Field::SctpDport => port(Protocol::SCTP, dport),
            Field::SctpSport => port(Protocol::SCTP, sport),
            Field::Skgid => Some(of_socket(owner.map(|owner| owner.gid))),
            Field::Skuid => Some(of_socket(owner.map(|owner| owner.uid))),
            Field::TcpDport => port(Protocol::TCP, dport),
            Field::TcpFlags => {
                is_port_of(Protocol::TCP).or_else(|| Some(Value::TcpFlags(packet.tcp_flags).to_string()))
            }
            Field::TcpSport => port(Protocol::TCP, sport),
            Field::ThDport => Some(dport.to_string()),
            Field::ThSport => Some(sport.to_string()),
            Field::UdpDport => port(Protocol::UDP, dport),
            Field::UdpSport => port(Protocol::UDP, sport),
            Field::CtStatus | Field::FibDaddrType | Field::FibSaddrType => None,
            Field::SocketMark | Field::SocketTransparent | Field::SocketWildcard => None,
            _ => None,
        }
    }
}
