//! What a field needs to know of a packet before it can be loaded: the conditions that nft adds.

use super::lookups::anonymous_model;
use super::{Lowering, Sets};
use crate::bytecode::codes::LookupSet;
use crate::bytecode::data::{self, Order};
use crate::bytecode::expr::Expr;
use crate::bytecode::keys::{CmpOp, Register};
use crate::bytecode::set::anonymous;
use crate::model::{
    Element, EtherType, Family, Field, IcmpType, Icmpv6Type, IfaceType, Link, Needs, Nfproto, Op, Protocol, SetData,
    Value, ether_type_of, network_of,
};

/// The protocols that a packet is known to have at some point in a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::bytecode) struct Known {
    /// The link layer is Ethernet.
    pub(in crate::bytecode) ether: bool,
    /// It has a VLAN tag.
    pub(in crate::bytecode) vlan: bool,
    pub(in crate::bytecode) network: Option<Nfproto>,
    pub(in crate::bytecode) transport: Option<Protocol>,
    /// A type of ICMP or ICMPv6, or one of its echoes for both.
    pub(in crate::bytecode) message: Option<u8>,
}

impl<S: Sets + ?Sized> Lowering<'_, S> {
    /// Adds the checks without which a field would be read from a packet of another protocol.
    pub(super) fn depend(&mut self, field: Field) {
        let Needs { link, network, transport, message } = field.needs();
        if let Some(link) = link {
            self.need_link(link);
        }
        // Like nft: a rule that has checked the transport protocol does not check the family too.
        let asked = transport.is_some() && self.known.transport == transport;
        if let Some(network) = network.filter(|_| !asked) {
            self.need_network(network, transport.is_some() || matches!(field, Field::Exthdr(_)));
        }
        if let Some(transport) = transport {
            self.need_transport(transport);
        }
        if !message.is_empty() {
            self.need_message(transport, message);
        }
    }

    fn need_link(&mut self, link: Link) {
        if self.family != Family::Bridge && !self.known.ether {
            self.check(Field::Iiftype, IfaceType::ETHER.into());
            self.known.ether = true;
        }
        if link == Link::Vlan && !self.known.vlan {
            self.check(Field::EtherType, EtherType::VLAN.into());
            self.known.vlan = true;
        }
    }

    /// `is_message` is set for a header of the transport layer that only this network layer has.
    pub(super) fn need_network(&mut self, network: Nfproto, is_message: bool) {
        if self.known.network == Some(network) {
            return;
        }
        let protocol = || ether_type_of(network).map(Value::EtherType);
        match self.family {
            Family::Inet if self.known.ether => {
                let Some(protocol) = protocol() else { return };
                self.check(if self.known.vlan { Field::VlanType } else { Field::EtherType }, protocol);
            }
            Family::Inet => self.check(Field::Nfproto, network.into()),
            Family::Bridge | Family::Netdev => {
                let Some(protocol) = protocol() else { return };
                let field = match self.family {
                    _ if self.known.vlan => Field::VlanType,
                    Family::Netdev if self.known.ether => Field::EtherType,
                    Family::Bridge if is_message || network == Nfproto::ARP => Field::EtherType,
                    _ => Field::MetaProtocol,
                };
                self.check(field, protocol);
            }
            Family::Arp | Family::Ip | Family::Ip6 => return,
        }
        self.known.network = Some(network);
    }

    pub(super) fn need_transport(&mut self, transport: Protocol) {
        if self.known.transport != Some(transport) {
            self.check(Field::L4proto, transport.into());
            self.known.transport = Some(transport);
        }
    }

    fn need_message(&mut self, transport: Option<Protocol>, message: &[u8]) {
        if self.known.message.is_some_and(|known| message.contains(&known)) {
            return;
        }
        let of = |number: u8| match transport {
            Some(Protocol::ICMPV6) => Value::Icmpv6Type(Icmpv6Type(number)),
            _ => Value::IcmpType(IcmpType(number)),
        };
        let field = if transport == Some(Protocol::ICMPV6) { Field::Icmpv6Type } else { Field::IcmpType };
        match message {
            [one] => self.check(field, of(*one)),
            several => {
                self.load(field, Register::FIRST);
                let elements: Vec<Element> = several.iter().map(|number| Element::new(of(*number))).collect();
                let set = anonymous_model(vec![field.data_type()], &elements, &SetData::None);
                if let Ok(set) = anonymous(&set) {
                    let set = LookupSet::Anonymous(Box::new(set));
                    self.push(Expr::Lookup { sreg: Register::FIRST, dreg: None, set, inverted: false });
                }
            }
        }
        self.known.message = message.first().copied();
    }

    /// Adds a check that nft adds too.
    fn check(&mut self, field: Field, value: Value) {
        self.load(field, Register::FIRST);
        let data = data::bytes(&value, field.data_type(), Order::Register).unwrap_or_default();
        self.push(Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Eq, data });
        self.neighbours.compared(field, self.exprs);
    }

    /// Records a match that fixes a protocol; it satisfies later dependencies on it.
    pub(super) fn learn(&mut self, field: Field, op: Op, value: &Value) {
        if op != Op::Eq {
            return;
        }
        match (field, value) {
            (Field::Nfproto, Value::Nfproto(network)) => self.known.network = Some(*network),
            (Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr, Value::Protocol(transport)) => {
                self.known.transport = Some(*transport);
            }
            (Field::Iiftype, Value::IfaceType(IfaceType::ETHER)) => self.known.ether = true,
            (Field::EtherType, Value::EtherType(EtherType::SERVICE_VLAN | EtherType::VLAN)) => self.known.vlan = true,
            (Field::EtherType | Field::MetaProtocol | Field::VlanType, Value::EtherType(protocol)) => {
                self.known.network = network_of(*protocol).or(self.known.network);
            }
            (Field::IcmpType, Value::IcmpType(IcmpType(number)))
            | (Field::Icmpv6Type, Value::Icmpv6Type(Icmpv6Type(number))) => self.known.message = Some(*number),
            _ => {}
        }
    }
}
