//! A walk of one packet through the rules of the sidecar, statement by statement. Whatever the sidecar does not use, it does not know.
#![allow(dead_code, unreachable_pub, reason = "a test program uses the part it needs")]

use std::net::IpAddr;

use nftmesh::model::{
    CtState, Field, Interval, MarkKey, MarkValue, Match, Nfproto, Op, Operand, PortRange, Protocol, Ruleset, SetRef,
    Statement, Table, Value, Verdict,
};

/// What rules can see of a packet. `interface` is the one it came in on or leaves on, whichever the hook knows.
#[derive(Clone, Debug)]
pub struct Packet {
    pub interface: &'static str,
    pub protocol: Protocol,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub sport: u16,
    pub dport: u16,
    pub uid: u32,
    pub gid: u32,
    pub mark: u32,
    pub ct_mark: u32,
    pub state: CtState,
}

/// What became of it; `None` and the marks it came with when nobody did anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub mark: u32,
    pub ct_mark: u32,
    pub zone: Option<u16>,
    pub redirect: Option<u16>,
    pub tproxy: Option<u16>,
    pub dropped: bool,
}

impl Outcome {
    pub fn of(packet: &Packet) -> Self {
        Outcome { mark: packet.mark, ct_mark: packet.ct_mark, ..Outcome::default() }
    }
}

/// Through one base chain, with a listener for tproxy.
pub fn walk(rules: &Ruleset, table: &str, chain: &str, packet: &Packet) -> Outcome {
    let mut outcome = Outcome::of(packet);
    if let Some(table) = rules.tables.iter().find(|found| found.name == *table) {
        if table.chains.iter().any(|found| found.name == *chain) {
            run(table, chain, packet, &mut outcome);
        }
    }
    outcome
}

enum End {
    Decided,
    Returned,
}

fn run(table: &Table, chain: &str, packet: &Packet, outcome: &mut Outcome) -> End {
    let chain = table.chains.iter().find(|found| found.name == *chain).expect("jumps go to chains that are there");
    'rules: for rule in &chain.rules {
        for statement in &rule.statements {
            match statement {
                Statement::Counter { .. } => {}
                Statement::Match(matches) if holds(table, matches, packet, outcome) => {}
                Statement::Match(_) => continue 'rules,
                Statement::Redirect { ports: Some(PortRange { low, .. }), .. } => {
                    outcome.redirect = Some(*low);
                    return End::Decided;
                }
                Statement::SetMark { key, value } => {
                    let value = match value {
                        MarkValue::Constant(value) => *value,
                        MarkValue::From { from: MarkKey::Ct, mask: u32::MAX, xor: 0 } => outcome.ct_mark,
                        MarkValue::From { from: MarkKey::Meta, mask: u32::MAX, xor: 0 } => outcome.mark,
                        other => panic!("{other:?}"),
                    };
                    match key {
                        MarkKey::Ct => outcome.ct_mark = value,
                        MarkKey::Meta => outcome.mark = value,
                    }
                }
                // IPv6 that is off: no later chain looks at it, tracked or not.
                Statement::Notrack => assert!(packet.destination.is_ipv6(), "{packet:?}"),
                Statement::SetZone(zone) => outcome.zone = outcome.zone.or(Some(*zone)),
                Statement::Tproxy(tproxy) => outcome.tproxy = tproxy.port,
                Statement::Verdict(Verdict::Accept) => return End::Decided,
                Statement::Verdict(Verdict::Drop) => {
                    outcome.dropped = true;
                    return End::Decided;
                }
                Statement::Verdict(Verdict::Goto(to)) => return run(table, to.as_str(), packet, outcome),
                Statement::Verdict(Verdict::Jump(to)) => {
                    if let End::Decided = run(table, to.as_str(), packet, outcome) {
                        return End::Decided;
                    }
                }
                Statement::Verdict(Verdict::Return) => return End::Returned,
                other => panic!("{other:?}"),
            }
        }
    }
    End::Returned
}

fn holds(table: &Table, Match { selector, op, operand }: &Match, packet: &Packet, outcome: &Outcome) -> bool {
    let [field] = selector.fields() else { panic!("{selector:?}") };
    let Some(found) = value(*field, packet, outcome) else { return false };
    let within = |Interval { low, high }: &Interval| match low {
        Value::Ifname(name) if name.prefix().is_some() => {
            name.prefix().is_some_and(|prefix| packet.interface.starts_with(prefix))
        }
        _ => *low <= found && found <= *high,
    };
    let equal =
        match operand {
            Operand::Flags(Value::CtState(states)) => states.intersects(packet.state),
            Operand::Prefix(Value::Ipv4(net), length) => ipnetwork::Ipv4Network::new(*net, *length)
                .is_ok_and(|net| within(&ipnetwork::IpNetwork::V4(net).into())),
            Operand::Prefix(Value::Ipv6(net), length) => ipnetwork::Ipv6Network::new(*net, *length)
                .is_ok_and(|net| within(&ipnetwork::IpNetwork::V6(net).into())),
            Operand::Range(low, high) => within(&Interval { low: low.clone(), high: high.clone() }),
            Operand::Set(set) => {
                let elements = match set {
                    SetRef::Anonymous(elements) => elements,
                    SetRef::Named(name) => {
                        &table
                            .sets
                            .iter()
                            .find(|set| set.name == *name)
                            .expect("sets that are looked up are there")
                            .elements
                    }
                };
                elements.iter().any(|element| element.key.parts().iter().all(within))
            }
            Operand::Value(value) => within(&Interval::point(value.clone())),
            other => panic!("{other:?}"),
        };
    match op {
        Op::Eq => equal,
        Op::Ne => !equal,
        other => panic!("{other:?}"),
    }
}

fn value(field: Field, packet: &Packet, outcome: &Outcome) -> Option<Value> {
    let has_ports = [Protocol::TCP, Protocol::UDP].contains(&packet.protocol);
    let port = |wanted: Option<Protocol>, port| {
        (has_ports && wanted.is_none_or(|wanted| wanted == packet.protocol)).then_some(Value::Port(port))
    };
    let address = |address: IpAddr, wanted: Nfproto| match (address, wanted) {
        (IpAddr::V4(address), Nfproto::IPV4) => Some(Value::Ipv4(address)),
        (IpAddr::V6(address), Nfproto::IPV6) => Some(Value::Ipv6(address)),
        _ => None,
    };
    match field {
        Field::CtMark => Some(Value::Mark(outcome.ct_mark)),
        Field::CtState => Some(Value::CtState(packet.state)),
        Field::Iifname | Field::Oifname => Some(Value::Ifname(packet.interface.into())),
        Field::IpDaddr => address(packet.destination, Nfproto::IPV4),
        Field::IpSaddr => address(packet.source, Nfproto::IPV4),
        Field::Ip6Daddr => address(packet.destination, Nfproto::IPV6),
        Field::Ip6Saddr => address(packet.source, Nfproto::IPV6),
        Field::L4proto => Some(Value::Protocol(packet.protocol)),
        Field::Mark => Some(Value::Mark(outcome.mark)),
        Field::Nfproto => {
            Some(Value::Nfproto(if packet.destination.is_ipv4() { Nfproto::IPV4 } else { Nfproto::IPV6 }))
        }
        Field::Skgid => Some(Value::Gid(packet.gid)),
        Field::Skuid => Some(Value::Uid(packet.uid)),
        Field::ThDport => port(None, packet.dport),
        Field::ThSport => port(None, packet.sport),
        Field::UdpDport => port(Some(Protocol::UDP), packet.dport),
        Field::UdpSport => port(Some(Protocol::UDP), packet.sport),
        other => panic!("{other:?}"),
    }
}
