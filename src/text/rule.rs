//! Rules: statements in order, and a comment.

use super::elements::leads;
use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::parser::Parser;
use crate::model::{
    Chain, ChainKind, Family, Field, MarkKey, MarkValue, Match, Nfproto, Op, Operand, Protocol, Reject, Rule, SetData,
    Statement, Value, ether_type_of,
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
            // nft leaves it out where something follows it.
            let family = self.family;
            if rule.statements.last().is_some_and(|last| holds_anyway(last, family)) {
                rule.statements.pop();
            }
            self.statement(&mut rule.statements)?;
        }
        Ok(rule)
    }

    fn statement(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        let token = self.peek();
        if token.kind != Kind::Word {
            return self.unexpected("a statement: a match, a verdict, counter, log, limit, dnat ...");
        }
        let statement = match token.text {
            "accept" | "continue" | "drop" | "goto" | "jump" | "return" => self.rule_verdict()?,
            "counter" => self.counter()?,
            "dnat" | "snat" => self.nat()?,
            "limit" => self.limit()?,
            "log" => self.log()?,
            "masquerade" | "redirect" => self.ports_only()?,
            "notrack" => {
                self.next();
                Statement::Notrack
            }
            "queue" => self.queue()?,
            "reject" => {
                let Statement::Reject(reason) = self.reject()? else { return Ok(()) };
                reject(statements, self.family, reason);
                return Ok(());
            }
            "tproxy" => self.tproxy()?,
            "meta" | "mark" | "nftrace" | "ct" if self.sets_a_mark() => self.set_key()?,
            _ => return self.selected(statements),
        };
        statements.push(statement);
        Ok(())
    }

    /// Reads a statement that begins with fields: a comparison or a verdict map.
    fn selected(&mut self, statements: &mut Vec<Statement>) -> Parsed<()> {
        let (selector, transport) = self.selector()?;
        if let Some(protocol) = transport.filter(|protocol| known_transport(statements) != Some(*protocol)) {
            let value = Operand::Value(Value::Protocol(protocol));
            statements.push(Statement::Match(Match::new(Field::L4proto, Op::Eq, value)));
        }
        statements.push(if self.take("vmap") {
            let key: Vec<_> = selector.key().collect();
            let map = self.set_ref(&key, &SetData::Verdict)?;
            Statement::VerdictMap { selector, map }
        } else if self.at("set") {
            return self.unsupported(format_args!("setting {selector}"));
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
        let mut chain = Chain::of_kind(format!("__chain{}", self.braces).into(), ChainKind::Bound);
        self.braces += 1;
        self.block(|parser| {
            chain.rules.push(parser.rule()?);
            Ok(())
        })?;
        let name = chain.name.clone();
        self.bound.push(chain);
        Ok(Statement::Verdict(made(name)))
    }

    /// Reads `counter packets 1 bytes 2`.
    pub(super) fn counter(&mut self) -> Parsed<Statement> {
        self.expect("counter")?;
        let (mut packets, mut bytes) = (0, 0);
        loop {
            if self.take("packets") {
                packets = self.number("a number of packets", u64::MAX)?;
            } else if self.take("bytes") {
                bytes = self.number("a number of bytes", u64::MAX)?;
            } else if self.at("name") || self.peek().kind == Kind::Quoted {
                return self.unsupported("a named counter");
            } else {
                return Ok(Statement::Counter { packets, bytes });
            }
        }
    }

    /// Returns whether a mark, a zone or nftrace is set here.
    fn sets_a_mark(&mut self) -> bool {
        let key = usize::from(self.at("meta") || self.at("ct"));
        let keys: &[&str] = if self.at("ct") { &["mark", "zone"] } else { &["mark", "nftrace"] };
        let token = self.peek_at(key);
        keys.iter().any(|key| token.is(key)) && self.peek_at(key + 1).is("set")
    }

    fn set_key(&mut self) -> Parsed<Statement> {
        let ct = self.at("ct");
        if ct || self.at("meta") {
            self.next();
        }
        let key = self.next();
        self.expect("set")?;
        match key.text {
            "mark" => {
                let key = if ct { MarkKey::Ct } else { MarkKey::Meta };
                Ok(Statement::SetMark { key, value: self.mark_value()? })
            }
            "zone" => {
                if self.peek().kind != Kind::Number {
                    return self.unsupported("a zone that is not a number");
                }
                Ok(Statement::SetZone(self.number_u16("a zone of 0 to 65535")?))
            }
            _ => Ok(Statement::SetNftrace(self.number("0 or 1", 1)? == 1)),
        }
    }
}

/// Adds a rejection as nft reads it: its default depends on the protocols that are known, and what
/// it needs to know is checked at the start of the rule.
fn reject(statements: &mut Vec<Statement>, family: Family, reason: Option<Reject>) {
    let network = known(statements, |field, value| match (field, value) {
        (Field::Nfproto, Some(Value::Nfproto(network))) => Some(*network),
        (field, _) => field.needs().network,
    });
    let reason = match (family, reason, network) {
        (Family::Inet, None, Some(Nfproto::IPV4)) => Some(Reject::Icmp(3)),
        (Family::Inet, None, Some(Nfproto::IPV6)) => Some(Reject::Icmpv6(4)),
        (Family::Ip, Some(Reject::Icmp(3)), _) | (Family::Ip6, Some(Reject::Icmpv6(4)), _) => None,
        (Family::Inet, Some(Reject::Icmpx(1)), _) => None,
        _ => reason,
    };
    let needed = match (reason, network, known_transport(statements)) {
        (Some(Reject::Icmp(_)), None, _) if family == Family::Inet => {
            Some(Match::new(Field::Nfproto, Op::Eq, Operand::Value(Value::Nfproto(Nfproto::IPV4))))
        }
        (Some(Reject::Icmpv6(_)), None, _) if family == Family::Inet => {
            Some(Match::new(Field::Nfproto, Op::Eq, Operand::Value(Value::Nfproto(Nfproto::IPV6))))
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

/// Returns whether every packet of the table matches.
fn holds_anyway(statement: &Statement, family: Family) -> bool {
    let network = match family {
        Family::Ip => Nfproto::IPV4,
        Family::Ip6 => Nfproto::IPV6,
        _ => return false,
    };
    let protocol = ether_type_of(network).map(|protocol| Operand::Value(Value::EtherType(protocol)));
    protocol.is_some_and(|protocol| *statement == Statement::Match(Match::new(Field::MetaProtocol, Op::Eq, protocol)))
}

/// Returns the transport protocol that the statements so far imply.
fn known_transport(statements: &[Statement]) -> Option<Protocol> {
    known(statements, |field, value| match (field, value) {
        (Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr, Some(Value::Protocol(protocol))) => Some(*protocol),
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
