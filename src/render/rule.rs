//! Rules, and the matches that nft omits from them.
//!
//! nft inserts `meta l4proto tcp` before `tcp dport 80` and does not list it. It therefore omits
//! every such match that a later one implies when only matches are between them: `meta l4proto tcp
//! iifname "lo" tcp dport 80` is listed as `iifname "lo" tcp dport 80`. [`Omissions`] finds these
//! matches as nft's netlink_delinearize.c does, but keeps a match that nft would not restore when
//! it reads the text.

use std::fmt::{self, Display};

use crate::model::{
    Computed, Dup, EtherType, Family, Field, Fwd, IfaceType, Link, MarkValue, Match, Needs, Nfproto, ObjectRef,
    ObjectTo, Op, Operand, Protocol, Reject, Rule, Selector, SetValue, Statement, Value, network_of,
};

use super::{InFamily, Style, Text, joined, quoted};

/// Prints the rule as in an `inet` table.
impl Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InFamily { family: Family::Inet, value: self }.fmt(f)
    }
}

impl Display for InFamily<'_, Rule> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        styled(self.family, self.value, Style::Loadable).fmt(f)
    }
}

/// Returns a rule in a table of that family.
pub(super) fn styled<'a>(family: Family, rule: &'a Rule, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Rule { statements, comment, .. } = rule;
        joined(f, kept(family, statements, style), " ")?;
        match comment {
            Some(comment) => write!(f, " comment {}", quoted(comment)),
            None => Ok(()),
        }
    })
}

/// Returns the statements that nft does not omit.
pub(super) fn kept<'a>(
    family: Family,
    statements: &'a [Statement],
    style: Style<'a>,
) -> impl Iterator<Item = InRule<'a>> {
    let fates = Omissions::of(family, statements, style).statements;
    let mut of_network = false;
    let told = statements.iter().map(move |statement| {
        let before = of_network;
        of_network |= tells_network(statement);
        (statement, before)
    });
    let kept = told.zip(fates).filter(|(_, fate)| !fate.omitted);
    kept.map(move |((statement, of_network), fate)| InRule {
        family,
        transport: fate.transport,
        of_network,
        statement,
        style,
    })
}

/// Returns whether a statement tells the network layer of the packets after it.
fn tells_network(statement: &Statement) -> bool {
    let Statement::Match(matches) = statement else { return false };
    let tells = |field: Field| {
        matches!(field, Field::EtherType | Field::MetaProtocol | Field::Nfproto | Field::VlanType)
            || field.needs().network.is_some()
    };
    matches.selector.fields().any(tells)
}

/// Prints the statement as if alone in a rule of an `inet` table.
impl Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InRule { family: Family::Inet, transport: None, of_network: false, statement: self, style: Style::Loadable }
            .fmt(f)
    }
}

/// A statement, with what the preceding statements and the table imply for its packets.
pub(super) struct InRule<'a> {
    pub(super) family: Family,
    pub(super) transport: Option<Protocol>,
    /// Whether a match before it tells the network layer, which decides what `reject` alone says.
    pub(super) of_network: bool,
    pub(super) statement: &'a Statement,
    pub(super) style: Style<'a>,
}

#[derive(Clone, Copy)]
struct Fate {
    omitted: bool,
    /// The transport protocol that is known before the statement.
    transport: Option<Protocol>,
}

/// A match that a later one may imply.
struct Implied<T> {
    at: usize,
    value: T,
}

/// Processes a rule as nft does when it lists one.
struct Omissions<'a> {
    family: Family,
    style: Style<'a>,
    statements: Vec<Fate>,
    transport: Option<Protocol>,
    /// `meta nfproto ...`, until a statement that is not a match.
    network_match: Option<Implied<Nfproto>>,
    /// `meta iiftype ether`, likewise.
    link_match: Option<Implied<()>>,
    /// `ether type 8021q`, likewise.
    tag_match: Option<Implied<()>>,
    /// `icmp type ...` or `icmpv6 type ...`, likewise.
    message_match: Option<Implied<u8>>,
    /// `meta l4proto ...` or `ip protocol ...`, likewise.
    transport_match: Option<Implied<Protocol>>,
    /// Whether everything so far is a match. nft inserts what `reject` implies at the start of the
    /// rule.
    only_matches: bool,
    /// Whether the statement is a match.
    is_match: bool,
}

impl<'a> Omissions<'a> {
    fn of(family: Family, statements: &[Statement], style: Style<'a>) -> Self {
        let mut walk = Omissions {
            family,
            style,
            statements: Vec::with_capacity(statements.len()),
            transport: None,
            network_match: None,
            link_match: None,
            tag_match: None,
            message_match: None,
            transport_match: None,
            only_matches: true,
            is_match: false,
        };
        for (at, statement) in statements.iter().enumerate() {
            walk.see(at, statement);
        }
        walk
    }

    fn see(&mut self, at: usize, statement: &Statement) {
        // The spelling of a selector depends on what is known before it; `tcp dport` itself
        // implies the protocol for what follows.
        self.statements.push(Fate { omitted: false, transport: self.transport });
        self.is_match = matches!(statement, Statement::Match(_));
        match statement {
            Statement::Match(matches) => {
                self.selector(&matches.selector);
                return self.imply(at, matches);
            }
            Statement::SetMark { value: MarkValue::Map { selector, .. }, .. } => self.selector(selector),
            Statement::VerdictMap { selector, .. } => {
                self.selector(selector);
                // nft treats it as a match, although it restores the omitted part after it and not
                // before.
                if matches!(self.style, Style::Listed(_)) {
                    return;
                }
            }
            Statement::Reject(Some(Reject::TcpReset)) if matches!(self.family, Family::Ip | Family::Ip6) => {
                self.rejects_transport(Protocol::TCP);
            }
            Statement::Reject(Some(Reject::Icmp(_))) => self.rejects_network(Nfproto::IPV4),
            Statement::Reject(Some(Reject::Icmpv6(_))) => self.rejects_network(Nfproto::IPV6),
            Statement::Reject(None | Some(Reject::Icmpx(_) | Reject::TcpReset)) => {}
            Statement::Counter { .. } | Statement::Limit(_) | Statement::Log(_) => {}
            // nft needs the transport protocol before ports, wherever these come from.
            Statement::Masquerade { .. } | Statement::Redirect { .. } => {}
            Statement::Nat(nat) => self.computed(nat.computed.as_deref()),
            Statement::Dup(Dup { address, device }) => {
                let values = address.iter().chain(device);
                values.filter_map(SetValue::selector).for_each(|selector| self.selector(selector));
            }
            Statement::Fwd(Fwd { device, address, family: _ }) => {
                let values = std::iter::once(device).chain(address);
                values.filter_map(SetValue::selector).for_each(|selector| self.selector(selector));
            }
            Statement::Notrack | Statement::Opaque(_) | Statement::Queue(_) => {}
            Statement::QueueTo { to, flags: _ } => self.computed(Some(to)),
            Statement::SetMark { .. } | Statement::SetNftrace(_) | Statement::SetZone(_) => {}
            Statement::Tproxy(tproxy) => self.computed(tproxy.address_from.as_deref()),
            Statement::Verdict(_) => {}
            Statement::Meter(meter) => self.selector(&meter.key),
            Statement::Update(update) => {
                self.selector(&update.key);
                if let Some(SetValue::From(selector)) = &update.value {
                    self.selector(selector);
                }
            }
            Statement::Set { target, value } => {
                self.fields(std::iter::once(*target));
                match value {
                    SetValue::Constant(_) => {}
                    SetValue::From(selector) => self.selector(selector),
                    SetValue::Map { selector, .. } => self.selector(selector),
                }
            }
            Statement::ObjectRef(ObjectRef { to: ObjectTo::Map(selector, _), .. }) => self.selector(selector),
            Statement::ConnLimit(_) | Statement::FlowAdd(_) | Statement::ObjectRef(_) => {}
            Statement::Quota(_) | Statement::ResetTcpOption(_) | Statement::Synproxy(_) => {}
        }
        self.only_matches = false;
        self.network_match = None;
        self.link_match = None;
        self.tag_match = None;
        self.message_match = None;
        self.transport_match = None;
    }

    fn computed(&mut self, computed: Option<&Computed>) {
        if let Some(computed) = computed {
            self.selector(computed.selector());
        }
    }

    fn selector(&mut self, selector: &Selector) {
        // Of several fields, the checks come in their order, which need not be that of the matches.
        if !matches!(self.style, Style::Listed(_)) && selector.fields().nth(1).is_some() {
            self.network_match = None;
            self.transport_match = None;
        }
        self.fields(selector.fields());
    }

    /// Records the protocols that the headers of these fields imply.
    fn fields(&mut self, fields: impl Iterator<Item = Field>) {
        for field in fields {
            let Needs { link, network, transport, message } = field.needs();
            let known = self.transport.filter(|protocol| protocol.has_ports());
            let transport = match field {
                Field::ThDport | Field::ThSport => known,
                _ => transport,
            };
            if link.is_some() {
                // Where frames have a family of their own, nft keeps the check before a match of
                // `vlan type`.
                let of_frames = matches!(self.family, Family::Bridge | Family::Inet | Family::Netdev);
                let keeps = field == Field::VlanType && self.is_match && of_frames;
                self.implies_link(link.filter(|_| !keeps));
            }
            // nft knows of no other transport protocol that only one network layer has.
            let is_told = matches!(transport, None | Some(Protocol::ICMP | Protocol::ICMPV6));
            if let Some(network) = network.filter(|_| is_told) {
                self.implies_network(network);
            }
            if let [message] = message {
                if let Some(earlier) = self.message_match.take_if(|earlier| earlier.value == *message) {
                    self.omit(earlier.at);
                }
            }
            if let Some(transport) = transport {
                self.implies_transport(transport);
            }
        }
    }

    fn implies_link(&mut self, link: Option<Link>) {
        if let Some(earlier) = self.link_match.take() {
            self.omit(earlier.at);
        }
        if let Some(earlier) = self.tag_match.take_if(|_| link == Some(Link::Vlan)) {
            self.omit(earlier.at);
        }
    }

    fn implies_network(&mut self, family: Nfproto) {
        if let Some(earlier) = self.network_match.take_if(|earlier| earlier.value == family) {
            self.omit(earlier.at);
        }
    }

    fn implies_transport(&mut self, protocol: Protocol) {
        if let Some(earlier) = self.transport_match.take_if(|earlier| earlier.value == protocol) {
            self.omit(earlier.at);
        }
        self.transport = Some(protocol);
    }

    fn rejects_network(&mut self, family: Nfproto) {
        if self.only_matches {
            self.implies_network(family);
        }
    }

    fn rejects_transport(&mut self, protocol: Protocol) {
        if self.only_matches {
            self.implies_transport(protocol);
        }
    }

    fn omit(&mut self, at: usize) {
        if let Some(fate) = self.statements.get_mut(at) {
            fate.omitted = true;
        }
    }

    /// Records what a match implies for the packets after it.
    fn imply(&mut self, at: usize, matches: &Match) {
        let (Op::Eq, Operand::Value(value), Selector::Field(field)) = (matches.op, &matches.operand, &matches.selector)
        else {
            return;
        };
        match (field, value) {
            (Field::Nfproto, Value::Nfproto(value)) => self.network_match = Some(Implied { at, value: *value }),
            (Field::Iiftype, Value::IfaceType(IfaceType::ETHER)) => self.link_match = Some(Implied { at, value: () }),
            (Field::EtherType, Value::EtherType(EtherType::VLAN)) => self.tag_match = Some(Implied { at, value: () }),
            (Field::EtherType | Field::MetaProtocol | Field::VlanType, Value::EtherType(value)) => {
                // nft restores another match in an inet table.
                let kept = *field == Field::MetaProtocol && self.family == Family::Inet;
                let network = network_of(*value).filter(|_| !kept);
                self.network_match = network.map(|value| Implied { at, value });
            }
            (Field::IcmpType, Value::IcmpType(value)) => self.message_match = Some(Implied { at, value: value.0 }),
            (Field::Icmpv6Type, Value::Icmpv6Type(value)) => self.message_match = Some(Implied { at, value: value.0 }),
            (Field::L4proto, Value::Protocol(value)) => {
                // nft treats each as the protocol of one family, even if it did not insert the
                // other match.
                if matches!(self.style, Style::Listed(_)) {
                    match *value {
                        Protocol::ICMP => self.implies_network(Nfproto::IPV4),
                        Protocol::ICMPV6 => self.implies_network(Nfproto::IPV6),
                        _ => {}
                    }
                }
                // What is known already is not checked again when the text is read.
                let is_new = self.transport != Some(*value) || matches!(self.style, Style::Listed(_));
                self.transport = Some(*value);
                self.transport_match = is_new.then_some(Implied { at, value: *value });
            }
            (Field::IpProtocol | Field::Ip6Nexthdr, Value::Protocol(value)) => {
                self.transport = Some(*value);
                // In an inet table it also implies the network layer.
                let family = if *field == Field::IpProtocol { Family::Ip } else { Family::Ip6 };
                self.transport_match = (self.family == family).then_some(Implied { at, value: *value });
            }
            _ => {}
        }
    }
}
