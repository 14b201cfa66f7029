//! Rules: statements in order, and a comment.

use super::elements::leads;
use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::operand::ends_within_its_bits;
use super::parser::{Parser, unsupported};
use super::selector::key;
use crate::model::{
    Chain, ChainKind, EtherType, ExthdrOf, Family, Field, Link, MarkValue, Match, Needs, Nfproto, ObjectKind, Op,
    Operand, Protocol, Reject, Rule, Selector, SetData, Statement, Value, Verdict, ether_type_of, network_of,
};

impl<'t> Parser<'t> {
    /// Reads a rule up to the end of its line or part; the chains in braces are added to `bound`.
    pub(super) fn rule(&mut self) -> Parsed<Rule> {
        let mut rule = Rule::new();
        while !self.ends() {
            if self.take("comment") {
                rule.comment = Some(self.comment()?.into());
                if !self.ends() {
                    return self.unexpected("the end of the rule, which its comment is");
                }
                break;
            }
            let (start, before) = (self.peek(), rule.statements.len());
            self.statement(&mut rule.statements)?;
            if extension(&mut rule.statements, before, self.family) == Some(Extension::Unsayable) {
                return Err(unsupported(start, "a header of IPv4 or IPv6 options after one of the link layer"));
            }
            if rule.statements.len() > STATEMENTS {
                let why = format!("a rule of more than {STATEMENTS} statements, which is more than the kernel takes");
                return Err(Fault::wrong(start.at, start.length(), why));
            }
        }
        Ok(rule)
    }

    fn statement(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        let token = self.peek();
        if let Some(last) = statements.last().filter(|last| ends_the_rule(last)) {
            let last = last.to_string();
            let last = last.split(' ').next().unwrap_or_default();
            return self.unexpected(&format!("the end of the rule, as nothing runs after {last}"));
        }
        if token.kind != Kind::Word && !token.is("@") {
            return self.unexpected("a statement: a match, a verdict, counter, log, limit, dnat ...");
        }
        let statement = match token.text {
            "accept" | "continue" | "drop" | "goto" | "jump" | "return" => self.rule_verdict()?,
            "add" | "delete" | "update" => self.update()?,
            "counter" => self.counter()?,
            "ct" if self.peek_at(1).is("count") => self.ct_count()?,
            "dnat" | "snat" => {
                let says = ["ip", "ip6"].iter().any(|family| self.peek_at(1).is(family));
                let nat = self.nat()?;
                let to_address =
                    matches!(&nat, Statement::Nat(nat) if nat.addresses.is_some() || nat.computed.is_some());
                if self.family == Family::Inet && to_address && !says && known_network(statements).is_none() {
                    let why = format!("the family is open: write {0} ip to or {0} ip6 to", token.text);
                    return Err(Fault::wrong(token.at, token.length(), why));
                }
                nat
            }
            "dup" => self.dup()?,
            "flow" if self.peek_at(1).is("table") => self.meter()?,
            "flow" => self.flow_add()?,
            "fwd" => self.fwd()?,
            "limit" => self.limit()?,
            "log" => self.log()?,
            "meter" => self.meter()?,
            "masquerade" | "redirect" => self.ports_only()?,
            "notrack" => {
                self.next();
                Statement::Notrack
            }
            "queue" => self.queue()?,
            "quota" => self.quota()?,
            "reject" => {
                let Statement::Reject(reason) = self.reject()? else { return Ok(()) };
                let of_network = matches!(reason, Some(Reject::Icmp(_) | Reject::Icmpv6(_)));
                let asks_start = of_network && matches!(self.family, Family::Inet | Family::Netdev);
                if asks_start && known_network(statements).is_none() && reads_link(statements) {
                    return Err(unsupported(token, "reject with icmp after a field of the link layer"));
                }
                reject(statements, self.family, reason);
                return Ok(());
            }
            "reset" => self.reset_option()?,
            "set" => self.set_update()?,
            "synproxy" => self.synproxy()?,
            "tproxy" => {
                let says = ["ip", "ip6"].iter().any(|family| self.peek_at(1).is(family));
                let tproxy = self.tproxy()?;
                let to_address = matches!(&tproxy, Statement::Tproxy(to)
                    if to.address.is_some() || to.address_from.is_some());
                if self.family == Family::Inet && to_address && !says {
                    let why = "the family is open: write tproxy ip to or tproxy ip6 to";
                    return Err(Fault::wrong(token.at, token.length(), why));
                }
                tproxy
            }
            "meta" | "nftrace" if self.sets_nftrace() => {
                self.take("meta");
                self.next();
                self.next();
                Statement::SetNftrace(self.number("0 or 1", 1)? == 1)
            }
            "ct" | "meta" => match self.set_object()? {
                Some(statement) => statement,
                None => return self.selected(statements),
            },
            _ => return self.selected(statements),
        };
        statements.push(statement);
        Ok(())
    }

    /// Reads a statement that begins with fields: a comparison or a verdict map.
    fn selected(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        if let Some(statement) = self.bits_of_header()? {
            statements.push(statement);
            return Ok(());
        }
        let start = self.peek();
        let selector = self.selector()?;
        if let Some(why) = selector.fields().find_map(|field| conflict(field, statements, self.family)) {
            return Err(Fault::wrong(start.at, start.length(), why));
        }
        let of_message = |field: Field| field.needs().network.filter(|_| field.needs().transport.is_some());
        let beside = selector.fields().find_map(|field| field.needs().network.filter(|_| of_message(field).is_none()));
        let known = known_network(statements).or(beside);
        let of_connection = |statement: &Statement| {
            selector_of(statement).is_some_and(|selector| selector.as_field() == Some(Field::CtL3proto))
        };
        let is_header = |field: Field| matches!(field, Field::Exthdr(of) if of.of == ExthdrOf::Ipv6);
        if selector.fields().any(is_header) && statements.iter().any(of_connection) {
            return Err(unsupported(start, "a header of IPv6 after the network layer of the connection"));
        }
        if selector.fields().filter_map(of_message).any(|network| known.is_some_and(|known| known != network)) {
            return Err(unsupported(start, "a message of another network layer than that of the rule"));
        }
        if selector.fields().any(is_tag) && statements.iter().any(is_stacked) {
            return Err(unsupported(start, "a field of a second VLAN tag"));
        }
        if selector.as_field() == Some(Field::Nfproto) && self.family != Family::Inet {
            let why = "meta nfproto is of tables of family inet; match meta protocol instead";
            return Err(Fault::wrong(start.at, start.length(), why));
        }
        statements.push(if self.take("vmap") {
            self.is_moved(&selector)?;
            let map = self.set_ref(&key(&selector), &SetData::Verdict)?;
            ends_within_its_bits(start, &selector, &map)?;
            Statement::VerdictMap { selector, map }
        } else if self.at("set") {
            let Some(field) = selector.as_field() else {
                return self.unexpected("one field to be set");
            };
            self.set_field(field)?
        } else if self.at("map") {
            return self.unsupported("comparing with a value out of a map");
        } else {
            Statement::Match(self.comparison(selector)?)
        });
        Ok(())
    }

    /// Reads a verdict; the rules in braces after jump or goto become a chain of their own.
    fn rule_verdict(&mut self) -> Parsed<Statement> {
        let token = self.peek();
        if !self.peek_at(1).is("{") {
            return Ok(Statement::Verdict(self.verdict()?));
        }
        let Some(made) = leads(token.text) else {
            let brace = self.peek_at(1);
            return Err(Fault::wrong(brace.at, brace.length(), "only jump and goto have rules in braces"));
        };
        self.next();
        if self.is_in_braces {
            return self.unexpected("the name of a chain, as rules in braces have no others in braces");
        }
        let mut chain = Chain::of_kind(format!("{BRACES}{}", self.braces).into(), ChainKind::Bound);
        self.braces += 1;
        self.is_in_braces = true;
        let read = self.block(|parser| {
            chain.rules.push(parser.rule()?);
            parser.end_of_part()
        });
        self.is_in_braces = false;
        read?;
        let name = chain.name.clone();
        self.bound.push(chain);
        Ok(Statement::Verdict(made(name)))
    }

    /// Reads `counter packets 1 bytes 2`.
    pub(super) fn counter(&mut self) -> Parsed<Statement> {
        self.expect("counter")?;
        if self.take("name") {
            return self.object_ref(ObjectKind::Counter);
        }
        let (mut packets, mut bytes) = (0, 0);
        loop {
            if self.take("packets") {
                packets = self.number("a number of packets", u64::MAX)?;
            } else if self.take("bytes") {
                bytes = self.number("a number of bytes", u64::MAX)?;
            } else {
                return Ok(Statement::Counter { packets, bytes });
            }
        }
    }

    /// Returns whether tracing is turned on or off here.
    fn sets_nftrace(&mut self) -> bool {
        let key = usize::from(self.at("meta"));
        self.peek_at(key).is("nftrace") && self.peek_at(key + 1).is("set")
    }
}

/// Returns whether nft takes nothing behind a statement. A chain in braces returns.
fn ends_the_rule(statement: &Statement) -> bool {
    match statement {
        Statement::Fwd(_) | Statement::Masquerade { .. } | Statement::Nat(_) => true,
        Statement::Queue(_) | Statement::QueueTo { .. } => true,
        Statement::Redirect { .. } | Statement::Reject(_) => true,
        Statement::Verdict(Verdict::Continue) => false,
        Statement::Verdict(verdict) => verdict.target().is_none_or(|target| !target.as_str().starts_with(BRACES)),
        _ => false,
    }
}

/// How the names of chains in braces begin.
const BRACES: &str = "__chain";

/// Returns why a field is in no packet that the statements so far leave.
fn conflict(field: Field, statements: &[Statement], family: Family) -> Option<String> {
    let Needs { network, transport, .. } = field.needs();
    // nft asks a header of the transport layer only for its protocol.
    let network = network.filter(|_| transport.is_none());
    let of_table = match family {
        Family::Arp => Some(Nfproto::ARP),
        Family::Ip => Some(Nfproto::IPV4),
        Family::Ip6 => Some(Nfproto::IPV6),
        Family::Bridge | Family::Inet | Family::Netdev => None,
    };
    let of_route = match field {
        Field::RtIpNexthop => Some(Nfproto::IPV4),
        Field::RtIp6Nexthop => Some(Nfproto::IPV6),
        _ => None,
    };
    if let (Some(network), Some(only)) = (network.or(of_route), of_table) {
        if network != only {
            return Some(format!("{field}: a table of family {family} has no such packets"));
        }
    }
    let other = network.zip(known_network(statements)).filter(|(network, known)| network != known);
    if let Some((_, known)) = other {
        let known = ether_type_of(known).map_or_else(|| known.to_string(), |known| known.to_string());
        return Some(format!("{field}: the rule is about packets of {known} already"));
    }
    let other = transport.zip(known_transport(statements)).filter(|(transport, known)| transport != known);
    other.map(|(_, known)| format!("{field}: the rule is about packets of {known} already"))
}

/// What follows of an extension header or an option of IPv4.
#[derive(PartialEq, Eq)]
enum Extension {
    Checked,
    Unsayable,
}

/// Adds the check of the network layer that nft adds for an extension header or an option of IPv4:
/// at the start of the rule, whatever is before it.
fn extension(statements: &mut Vec<Statement>, before: usize, family: Family) -> Option<Extension> {
    let (earlier, added) = statements.split_at_checked(before)?;
    let fields: Vec<Field> = added.iter().filter_map(selector_of).flat_map(Selector::fields).collect();
    let is_extension = |field: &Field| matches!(field, Field::Exthdr(_)) && field.needs().network.is_some();
    let (beside, network) = match fields.split_at_checked(fields.iter().position(is_extension)?)? {
        (beside, [extension, ..]) => (beside, extension.needs().network?),
        (_, []) => return None,
    };
    // Before the first check that nft adds there is no other place than the start.
    let is_first = earlier.is_empty() && beside.iter().all(|field| field.needs() == Needs::default());
    if is_first || known_network(earlier).is_some() || beside.iter().any(|field| field.needs().network.is_some()) {
        return None;
    }
    let ether = ether_type_of(network)?;
    let (field, value) = match family {
        Family::Arp | Family::Ip | Family::Ip6 => return None,
        Family::Bridge => (Field::EtherType, Value::EtherType(ether)),
        Family::Inet | Family::Netdev if reads_link(added) || reads_link(earlier) => {
            return Some(Extension::Unsayable);
        }
        Family::Inet => (Field::Nfproto, Value::Nfproto(network)),
        Family::Netdev => (Field::MetaProtocol, Value::EtherType(ether)),
    };
    statements.insert(0, Statement::Match(Match::new(field, Op::Eq, Operand::Value(value))));
    Some(Extension::Checked)
}

/// Returns whether statements read or change the header of the link layer, so that nft asks there
/// for the protocol of the network layer.
fn reads_link(statements: &[Statement]) -> bool {
    let is_link = |field: Field| field.needs().link.is_some();
    let sets = |statement: &Statement| matches!(statement, Statement::Set { target, .. } if is_link(*target));
    statements.iter().any(sets) || statements.iter().filter_map(selector_of).flat_map(Selector::fields).any(is_link)
}

/// Returns the fields that a statement reads or changes.
fn selector_of(statement: &Statement) -> Option<&Selector> {
    match statement {
        Statement::Match(matches) => Some(&matches.selector),
        Statement::SetMark { value: MarkValue::Map { selector, .. }, .. } | Statement::VerdictMap { selector, .. } => {
            Some(selector)
        }
        Statement::Set { value, .. } => value.selector(),
        Statement::Meter(meter) => Some(&meter.key),
        Statement::Update(update) => Some(&update.key),
        _ => None,
    }
}

/// Returns the network layer that the statements imply.
fn known_network(statements: &[Statement]) -> Option<Nfproto> {
    known(statements, |field, value| match (field, value) {
        (Field::Nfproto, Some(Value::Nfproto(network))) => Some(*network),
        (Field::EtherType | Field::MetaProtocol | Field::VlanType, Some(Value::EtherType(protocol))) => {
            network_of(*protocol)
        }
        (field, _) => field.needs().network,
    })
}

/// Far more than what fits the 128 expressions of a rule (`NFT_RULE_MAXEXPRS`).
const STATEMENTS: usize = 1024;

fn is_tag(field: Field) -> bool {
    field.needs().link == Some(Link::Vlan)
}

/// Returns whether a match says that a VLAN tag follows another one, or is no usual one.
fn is_stacked(statement: &Statement) -> bool {
    let Statement::Match(Match { selector, op: Op::Eq, operand: Operand::Value(Value::EtherType(protocol)) }) =
        statement
    else {
        return false;
    };
    match selector.as_field() {
        Some(Field::EtherType) => *protocol == EtherType::SERVICE_VLAN,
        Some(Field::VlanType) => matches!(*protocol, EtherType::VLAN | EtherType::SERVICE_VLAN),
        _ => false,
    }
}

/// Adds a rejection as nft reads it: its default depends on the protocols that are known, and what
/// it needs to know is checked at the start of the rule.
fn reject(statements: &mut Vec<Statement>, family: Family, reason: Option<Reject>) {
    let network = known_network(statements);
    let reason = match (family, reason, network) {
        (Family::Inet, None, Some(Nfproto::IPV4)) => Some(Reject::Icmp(3)),
        (Family::Inet, None, Some(Nfproto::IPV6)) => Some(Reject::Icmpv6(4)),
        (Family::Ip, Some(Reject::Icmp(3)), _) | (Family::Ip6, Some(Reject::Icmpv6(4)), _) => None,
        (Family::Inet, Some(Reject::Icmpx(1)), None) => None,
        _ => reason,
    };
    let needed = match (reason, network, known_transport(statements)) {
        (Some(Reject::Icmp(_)), None, _) if family == Family::Inet => {
            Some(Match::new(Field::Nfproto, Op::Eq, Operand::Value(Value::Nfproto(Nfproto::IPV4))))
        }
        (Some(Reject::Icmpv6(_)), None, _) if family == Family::Inet => {
            Some(Match::new(Field::Nfproto, Op::Eq, Operand::Value(Value::Nfproto(Nfproto::IPV6))))
        }
        (Some(reason @ (Reject::Icmp(_) | Reject::Icmpv6(_))), None, _)
            if matches!(family, Family::Bridge | Family::Netdev) =>
        {
            let protocol = if matches!(reason, Reject::Icmp(_)) {
                ether_type_of(Nfproto::IPV4)
            } else {
                ether_type_of(Nfproto::IPV6)
            };
            let field = if family == Family::Bridge { Field::EtherType } else { Field::MetaProtocol };
            protocol.map(|protocol| Match::new(field, Op::Eq, Operand::Value(Value::EtherType(protocol))))
        }
        (Some(Reject::TcpReset), _, None) => {
            Some(Match::new(Field::L4proto, Op::Eq, Operand::Value(Value::Protocol(Protocol::TCP))))
        }
        _ => None,
    };
    // Where nothing is before it, the rejection itself checks it at the start.
    if let Some(needed) = needed.filter(|_| !statements.is_empty()) {
        statements.insert(0, Statement::Match(needed));
    }
    statements.push(Statement::Reject(reason));
}

/// Returns the transport protocol that the statements so far imply.
fn known_transport(statements: &[Statement]) -> Option<Protocol> {
    known(statements, |field, value| match (field, value) {
        (Field::L4proto, Some(Value::Protocol(protocol))) => Some(*protocol),
        // Of others nft knows no header, so that what follows is open.
        (Field::IpProtocol | Field::Ip6Nexthdr, Some(Value::Protocol(protocol))) => {
            HEADERS.contains(protocol).then_some(*protocol)
        }
        (field, _) => field.needs().transport,
    })
}

/// Returns what the last field says that says something, given the value it is equal to.
fn known<T>(statements: &[Statement], says: impl Fn(Field, Option<&Value>) -> Option<T>) -> Option<T> {
    statements.iter().rev().find_map(|statement| {
        let (selector, value) = match statement {
            Statement::Match(Match { selector, op: Op::Eq, operand: Operand::Value(value) }) => (selector, Some(value)),
            Statement::Match(Match { selector, .. })
            | Statement::SetMark { value: MarkValue::Map { selector, .. }, .. }
            | Statement::VerdictMap { selector, .. } => (selector, None),
            _ => return None,
        };
        selector.fields().find_map(|field| says(field, value))
    })
}

/// The protocols whose headers nft knows behind one of IPv4 or IPv6 (`proto_ip` and `proto_ip6`,
/// src/proto.c, 1.0.6).
const HEADERS: [Protocol; 11] = [
    Protocol::AH,
    Protocol::COMP,
    Protocol::DCCP,
    Protocol::ESP,
    Protocol::ICMP,
    Protocol::ICMPV6,
    Protocol::IGMP,
    Protocol::SCTP,
    Protocol::TCP,
    Protocol::UDP,
    Protocol::UDPLITE,
];
