//! What the matches of a rule establish about its packets, from left to right: network family and
//! transport protocol.

use super::Fault;
use super::location::At;
use super::problem::Problem;
use crate::model::{
    Element, Family, Field, IpFamily, Key, Nfproto, Op, Operand, Protocol, Selector, SetRef, Value, network_of,
};

/// What is known of the packets that reach a statement.
pub(super) struct Packets {
    family: Family,
    network: Option<(Nfproto, &'static str)>,
    transport: Transport,
}

enum Transport {
    Any,
    /// One of several, or one that this crate has no name for.
    Some,
    One(Protocol, &'static str),
}

impl Packets {
    pub(super) fn of(family: Family) -> Self {
        Packets { family, network: None, transport: Transport::Any }
    }

    /// Returns the only network family they can have: the table's, or what a match left.
    pub(super) fn network(&self) -> Option<IpFamily> {
        match self.family {
            Family::Ip => Some(IpFamily::Ipv4),
            Family::Ip6 => Some(IpFamily::Ipv6),
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => match self.network?.0 {
                Nfproto::IPV4 => Some(IpFamily::Ipv4),
                Nfproto::IPV6 => Some(IpFamily::Ipv6),
                _ => None,
            },
        }
    }

    /// Returns whether a match established the transport protocol, which nft(8) requires before
    /// ports.
    pub(super) fn transport_known(&self) -> bool {
        !matches!(self.transport, Transport::Any)
    }

    /// Returns whether a TCP reset can answer them: nothing is known of the protocol, or it is TCP.
    pub(super) fn may_be_reset(&self) -> bool {
        match self.transport {
            Transport::Any => true,
            Transport::Some => false,
            Transport::One(protocol, _) => protocol == Protocol::TCP,
        }
    }

    /// Records that these fields were read: a packet without one of them gets no further.
    pub(super) fn read(&mut self, at: At<'_>, selector: &Selector, faults: &mut Vec<Fault>) {
        for field in selector.fields() {
            let name = field.name();
            match field.needs().network {
                Some(network) if !has_packets_of(self.family, network) => {
                    at.report(faults, Problem::FieldNotInFamily { field, family: self.family });
                }
                Some(network) => self.narrow_network(at, network, name, faults),
                None => {}
            }
            if field == Field::Nfproto && self.family != Family::Inet {
                let fault = match self.family {
                    Family::Ip | Family::Ip6 => {
                        "every packet of an ip or ip6 table has the same family; leave the match out"
                    }
                    _ => "nft reads it in inet tables alone; match meta protocol instead",
                };
                at.report(faults, Problem::NeverMatches { fault });
            }
            if let Some(protocol) = field.needs().transport {
                self.narrow_transport(at, protocol, name, faults);
            }
        }
    }

    /// Records the protocols that pass a comparison.
    pub(super) fn compared(
        &mut self,
        at: At<'_>,
        selector: &Selector,
        op: Op,
        operand: &Operand,
        faults: &mut Vec<Fault>,
    ) {
        let Selector::Field(field) = selector else { return };
        match (op, operand) {
            (Op::Eq, Operand::Value(value)) => self.is(at, *field, value, faults),
            (Op::Eq, Operand::Set(SetRef::Anonymous(elements))) => match elements.as_slice() {
                // nft(8) takes a set of one element as that element.
                [Element { key: Key::Single(only), .. }] if only.low == only.high => {
                    self.is(at, *field, &only.low, faults);
                }
                elements if matches!(field, Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto) => {
                    self.one_of(at, elements, faults);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// Records that a field has a value.
    fn is(&mut self, at: At<'_>, field: Field, value: &Value, faults: &mut Vec<Fault>) {
        match (field, value) {
            (Field::IpProtocol | Field::Ip6Nexthdr | Field::L4proto, Value::Protocol(protocol)) => {
                self.narrow_transport(at, *protocol, protocol.name().unwrap_or(field.name()), faults);
            }
            (Field::Nfproto, Value::Nfproto(Nfproto::IPV4)) => {
                self.narrow_network(at, Nfproto::IPV4, "meta nfproto ipv4", faults);
            }
            (Field::Nfproto, Value::Nfproto(Nfproto::IPV6)) => {
                self.narrow_network(at, Nfproto::IPV6, "meta nfproto ipv6", faults);
            }
            (Field::Nfproto, Value::Nfproto(network)) => {
                self.narrow_network(at, *network, "this meta nfproto", faults);
            }
            (Field::EtherType | Field::MetaProtocol | Field::VlanType, Value::EtherType(protocol)) => {
                if let Some(network) = network_of(*protocol) {
                    self.narrow_network(at, network, protocol.name().unwrap_or("this protocol"), faults);
                }
            }
            _ => {}
        }
    }

    fn narrow_network(&mut self, at: At<'_>, network: Nfproto, written: &'static str, faults: &mut Vec<Fault>) {
        match self.network {
            Some((before, first)) if before != network => {
                at.report(faults, Problem::ProtocolConflict { first, second: written });
            }
            Some(_) => {}
            None => self.network = Some((network, written)),
        }
    }

    fn narrow_transport(&mut self, at: At<'_>, protocol: Protocol, written: &'static str, faults: &mut Vec<Fault>) {
        match self.transport {
            Transport::One(before, first) if before != protocol => {
                at.report(faults, Problem::ProtocolConflict { first, second: written });
            }
            Transport::One(..) => {}
            Transport::Any | Transport::Some => self.transport = Transport::One(protocol, written),
        }
    }

    fn one_of(&mut self, at: At<'_>, elements: &[Element], faults: &mut Vec<Fault>) {
        let holds = |protocol| {
            let wanted = Value::Protocol(protocol);
            elements
                .iter()
                .flat_map(|element| element.key.parts())
                .any(|part| part.low <= wanted && wanted <= part.high)
        };
        match self.transport {
            Transport::One(protocol, first) if !holds(protocol) && !elements.is_empty() => {
                at.report(faults, Problem::ProtocolConflict { first, second: "these protocols" });
            }
            Transport::One(..) | Transport::Some => {}
            Transport::Any => self.transport = Transport::Some,
        }
    }
}

/// Returns whether a table of this family meets packets of that protocol.
fn has_packets_of(family: Family, network: Nfproto) -> bool {
    match family {
        Family::Arp => network == Nfproto::ARP,
        Family::Bridge | Family::Netdev => true,
        Family::Inet => network != Nfproto::ARP,
        Family::Ip => network == Nfproto::IPV4,
        Family::Ip6 => network == Nfproto::IPV6,
    }
}
