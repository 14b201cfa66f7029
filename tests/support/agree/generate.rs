//! Random rule sets, whose constants are those of the packets that will meet them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use nftmesh::model::{
    AddrType, Chain, ChainType, CtDirection, CtState, CtStatus, DataType, Element, Family, Field, Hook, IcmpType,
    Icmpv6Type, Interval, Key, Limit, LimitUnit, Log, MarkKey, MarkValue, Match, Nat, Nfproto, Op, Operand, PktType,
    Policy, PortRange, Priority, Protocol, Reject, Rule, Ruleset, Selector, Set, SetRef, Statement, Table, TcpFlags,
    Tproxy, Value, Verdict,
};
use nftmesh::validate::Location;

use super::dice::Dice;

pub const V4: [&str; 8] =
    ["10.77.0.1", "10.77.0.2", "10.77.0.3", "10.78.0.1", "10.78.0.2", "127.0.0.1", "127.0.0.6", "10.77.0.255"];
pub const V6: [&str; 6] = ["fd77::1", "fd77::2", "fd77::3", "fd78::1", "fd78::2", "::1"];
pub const PORTS: [u16; 10] = [53, 8080, 9000, 9001, 15001, 15006, 7777, 40000, 40001, 40002];
pub const UIDS: [u32; 3] = [0, 1000, 1337];
pub const MARKS: [u32; 6] = [0, 1, 2, 7, 0x11, 0x101];
const MASKS: [u32; 5] = [1, 0xf, 0xff, 0x10, u32::MAX];
pub const ZONES: [u16; 3] = [0, 1, 2];
/// Transparent sockets listen on the first two.
pub const TPROXY_PORTS: [u16; 3] = [15006, 15007, 15009];

/// Where a rule runs, which limits what it may contain.
#[derive(Clone, Copy, Debug)]
struct At {
    family: Family,
    /// `None` in a regular chain.
    base: Option<(ChainType, Hook)>,
    listener: bool,
}

/// `listener`: whether transparent sockets listen where `tproxy` sends packets.
pub fn ruleset(dice: &mut Dice, listener: bool, refused: &mut usize) -> Ruleset {
    let mut ruleset = Ruleset::new();
    for number in 0..dice.from(1, 3) {
        let family = dice.pick(&[Family::Inet, Family::Inet, Family::Inet, Family::Ip, Family::Ip6]);
        ruleset = ruleset.table(table(dice, family, &format!("t{number}"), listener));
    }
    // Rules that no packet can match are removed.
    while let Err(invalid) = ruleset.validate_strictly() {
        let fault = invalid.faults().first().expect("there is one");
        let Location { family, table, chain, rule, .. } = &fault.location;
        let (Some(chain), Some(rule)) = (chain, rule) else { panic!("{invalid}\n{ruleset}") };
        let table = ruleset.tables.iter_mut().find(|known| known.family == *family && known.name == *table);
        let chain = table.and_then(|table| table.chains.iter_mut().find(|known| known.name == *chain));
        chain.expect("where the fault is").rules.remove(*rule);
        *refused += 1;
    }
    ruleset
}

fn table(dice: &mut Dice, family: Family, name: &str, listener: bool) -> Table {
    let mut table = Table::new(family, name);
    let subs: Vec<String> = (0..dice.from(1, 3)).map(|number| format!("sub{number}")).collect();
    let sets = sets(dice, family, &subs);
    for number in 0..dice.from(2, 7) {
        let chain_type = match dice.below(20) {
            0..=11 => ChainType::Filter,
            12..=16 => ChainType::Nat,
            _ => ChainType::Route,
        };
        let hook = dice.pick(chain_type.hooks());
        let priority = match chain_type {
            ChainType::Nat => dice.pick(&[-150, -100, -100, 0, 50, 100, 110]),
            _ => {
                dice.pick(&[-400, -300, -300, -201, -200, -198, -150, -150, -101, -100, -98, 0, 0, 0, 10, 99, 100, 102])
            }
        };
        let policy = if dice.chance(5) { Policy::Drop } else { Policy::Accept };
        let mut chain = Chain::base(format!("b{number}"), chain_type, hook, Priority(priority)).policy(policy);
        let at = At { family, base: Some((chain_type, hook)), listener };
        for _ in 0..dice.from(1, 5) {
            chain = chain.rule(rule(dice, at, &subs, &sets));
        }
        table = table.chain(chain);
    }
    for (number, sub) in subs.iter().enumerate() {
        let mut chain = Chain::regular(sub.as_str());
        let later = subs.get(number + 1..).unwrap_or_default();
        for _ in 0..dice.from(0, 4) {
            chain = chain.rule(rule(dice, At { family, base: None, listener }, later, &[]));
        }
        table = table.chain(chain);
    }
    sets.into_iter().fold(table, Table::set)
}

fn sets(dice: &mut Dice, family: Family, subs: &[String]) -> Vec<Set> {
    let v4 = |text: &str| Value::Ipv4(text.parse().expect("an address"));
    let v6 = |text: &str| Value::Ipv6(text.parse().expect("an address"));
    let ports = |dice: &mut Dice| dice.some(&PORTS, 4).into_iter().map(Value::Port).collect::<Vec<_>>();
    let mut sets = vec![Set::new("ports", [DataType::Port]).elements(ports(dice))];
    sets.push(Set::new("ranges", [DataType::Port]).interval().elements([
        Key::from(Interval { low: Value::Port(50), high: Value::Port(60) }),
        Key::from(Interval { low: Value::Port(8000), high: Value::Port(9000) }),
        Key::from(Interval { low: Value::Port(40001), high: Value::Port(41000) }),
    ]));
    let verdicts = dice.some(&PORTS, 3).into_iter().map(|port| {
        let verdict = verdict(dice, subs);
        Element::new(Value::Port(port)).verdict(verdict)
    });
    let verdicts: Vec<_> = verdicts.collect();
    sets.push(Set::verdict_map("verdicts", [DataType::Port]).elements(verdicts));
    let marks: Vec<_> = dice.some(&PORTS, 4);
    let marks = marks.into_iter().map(|port| Element::new(Value::Port(port)).value(Value::Mark(dice.pick(&MARKS))));
    let marks: Vec<_> = marks.collect();
    sets.push(Set::map("marks", [DataType::Port], DataType::Mark).elements(marks));
    if family != Family::Ip6 {
        let nets = [(v4("10.77.0.0"), v4("10.77.0.255")), (v4("127.0.0.1"), v4("127.0.0.5"))];
        let nets = nets.map(|(low, high)| Key::from(Interval { low, high }));
        sets.push(Set::new("nets", [DataType::Ipv4]).interval().elements(dice.some(&nets, 2)));
        let pairs = dice.some(&V4, 3).into_iter().flat_map(|address| {
            let port = Interval { low: Value::Port(0), high: Value::Port(9000) };
            [Key::from([Interval::point(v4(address)), port])]
        });
        let pairs: Vec<_> = pairs.collect();
        sets.push(Set::new("pairs", [DataType::Ipv4, DataType::Port]).interval().elements(pairs));
    }
    if family != Family::Ip {
        let nets6 = [(v6("fd77::"), v6("fd77::2")), (v6("::1"), v6("::1"))];
        let nets6 = nets6.map(|(low, high)| Key::from(Interval { low, high }));
        sets.push(Set::new("nets6", [DataType::Ipv6]).interval().elements(dice.some(&nets6, 2)));
    }
    let names = ["lo", "eth0"].map(|name| Element::new(Value::Ifname(name.into())));
    sets.push(Set::new("links", [DataType::Ifname]).elements(dice.some(&names, 2)));
    sets
}

fn rule(dice: &mut Dice, at: At, subs: &[String], sets: &[Set]) -> Rule {
    let mut rule = Rule::new();
    for _ in 0..dice.pick(&[0, 0, 1, 1, 1, 2, 2, 3]) {
        rule = rule.matches(one_match(dice, at, sets));
    }
    if dice.chance(20) {
        rule = rule.counter();
    }
    if dice.chance(4) {
        rule = rule.limit(Limit::packets(100_000, LimitUnit::Second).burst(10_000));
    }
    if dice.chance(2) {
        rule = rule.limit(Limit::packets(100_000, LimitUnit::Second).burst(10_000).over());
    }
    if dice.chance(2) {
        rule = rule.limit(Limit::bytes(100_000_000, LimitUnit::Second).burst(10_000_000));
    }
    if dice.chance(1) {
        rule = rule.nftrace();
    }
    if dice.chance(2) {
        rule = rule.log(Log::default().prefix("walk"));
    }
    for _ in 0..dice.pick(&[0, 0, 0, 1, 1, 2]) {
        rule = rule.statement(mark(dice, at, sets));
    }
    end(dice, rule, at, subs, sets)
}

/// Adds the final statement of a rule, if any.
fn end(dice: &mut Dice, rule: Rule, at: At, subs: &[String], sets: &[Set]) -> Rule {
    let special = dice.chance(35);
    match at.base {
        Some((ChainType::Nat, hook)) if special || dice.chance(50) => return nat(dice, rule, at, hook),
        Some((ChainType::Filter, Hook::Prerouting)) if special && dice.chance(30) => {
            let port = dice.pick(if at.listener { &TPROXY_PORTS[..2] } else { &TPROXY_PORTS[2..] });
            let rule = rule.l4proto(dice.pick(&[Protocol::TCP, Protocol::UDP])).tproxy(Tproxy::to_port(port));
            return match dice.below(3) {
                0 => rule,
                1 => rule.accept(),
                _ => rule.set_mark(MarkValue::Constant(7)).accept(),
            };
        }
        Some((ChainType::Filter, Hook::Prerouting | Hook::Output)) if special && dice.chance(40) => {
            return if dice.chance(40) { rule.notrack() } else { rule.set_zone(dice.pick(&ZONES)) };
        }
        Some((ChainType::Filter, Hook::Input | Hook::Forward | Hook::Output)) if special && dice.chance(15) => {
            return match dice.below(5) {
                3 if at.family != Family::Ip6 => {
                    rule.nfproto(Nfproto::IPV4).reject_with(Reject::Icmp(dice.pick(&[0, 1, 3, 13])))
                }
                4 if at.family != Family::Ip => {
                    rule.nfproto(Nfproto::IPV6).reject_with(Reject::Icmpv6(dice.pick(&[0, 1, 3, 4])))
                }
                0 => rule.reject(),
                1 => rule.l4proto(Protocol::TCP).reject_with(Reject::TcpReset),
                _ if at.family == Family::Inet => rule.reject_with(Reject::Icmpx(dice.pick(&[0, 1, 2, 3]))),
                _ => rule.reject(),
            };
        }
        _ => {}
    }
    if !sets.is_empty() && dice.chance(8) {
        let selector = dice.pick(&[Field::ThDport, Field::ThSport]);
        return rule.l4proto([Protocol::TCP, Protocol::UDP]).vmap(selector, SetRef::Named("verdicts".into()));
    }
    match dice.below(100) {
        0..=34 => rule,
        _ => rule.verdict(verdict(dice, subs)),
    }
}

fn verdict(dice: &mut Dice, subs: &[String]) -> Verdict {
    match dice.below(20) {
        0..=5 => Verdict::Accept,
        6 => Verdict::Drop,
        7..=9 => Verdict::Return,
        10 => Verdict::Continue,
        11..=16 if !subs.is_empty() => Verdict::Jump(dice.pick(subs).into()),
        17.. if !subs.is_empty() => Verdict::Goto(dice.pick(subs).into()),
        _ => Verdict::Accept,
    }
}

fn nat(dice: &mut Dice, rule: Rule, at: At, hook: Hook) -> Rule {
    let is_v4 = match at.family {
        Family::Ip => true,
        Family::Ip6 => false,
        _ => dice.chance(55),
    };
    let rule =
        if at.family == Family::Inet { rule.nfproto(if is_v4 { Nfproto::IPV4 } else { Nfproto::IPV6 }) } else { rule };
    let address = |dice: &mut Dice, from: &[&str]| -> IpAddr { dice.pick(from).parse().expect("an address") };
    let protocol = dice.pick(&[Protocol::TCP, Protocol::UDP, Protocol::UDP]);
    let port = PortRange::from(dice.pick(&[53, 8080, 9000, 15001]));
    match hook {
        Hook::Prerouting | Hook::Output => match dice.below(4) {
            0 => rule.redirect(),
            1 => rule.l4proto(protocol).redirect_to(port),
            2 => {
                let to = address(dice, if is_v4 { &V4[..6] } else { &V6 });
                rule.l4proto(protocol).nat(Nat::dnat().to(to).ports(port))
            }
            _ => rule.nat(Nat::dnat().to(address(dice, if is_v4 { &V4[..6] } else { &V6 }))),
        },
        Hook::Postrouting if dice.chance(40) => rule.masquerade(),
        _ => {
            let to = address(dice, if is_v4 { &V4[..3] } else { &V6[..3] });
            if dice.chance(30) {
                rule.l4proto(protocol).nat(Nat::snat().to(to).ports(PortRange::from(40_100)))
            } else {
                rule.nat(Nat::snat().to(to))
            }
        }
    }
}

fn mark(dice: &mut Dice, at: At, sets: &[Set]) -> Statement {
    let keys = [MarkKey::Ct, MarkKey::Meta, MarkKey::Meta];
    let key = dice.pick(&keys);
    let value = match dice.below(6) {
        0 | 1 => MarkValue::Constant(dice.pick(&MARKS)),
        2 => MarkValue::copy(dice.pick(&keys)),
        3 => MarkValue::From { from: dice.pick(&keys), mask: dice.pick(&MASKS), xor: dice.pick(&MARKS) },
        4 if !sets.is_empty() && at.base.is_some() => {
            MarkValue::Map { selector: Selector::Field(Field::ThDport), map: SetRef::Named("marks".into()) }
        }
        _ => MarkValue::masked(key, dice.pick(&MARKS), dice.pick(&MASKS)),
    };
    Statement::SetMark { key, value }
}

fn one_match(dice: &mut Dice, at: At, sets: &[Set]) -> Match {
    let op = if dice.chance(25) { Op::Ne } else { Op::Eq };
    let ordered = |dice: &mut Dice| dice.pick(&[op, op, Op::Lt, Op::Le, Op::Gt, Op::Ge]);
    let named = |name: &str| Operand::Set(SetRef::Named(name.into()));
    let has = |name: &str| sets.iter().any(|set| set.name == *name);
    loop {
        return match dice.below(37) {
            0..=4 => {
                let fields = [Field::TcpDport, Field::UdpDport, Field::TcpSport, Field::UdpSport, Field::UdpDport];
                let field = dice.pick(&fields);
                match dice.below(6) {
                    0 if has("ports") => Match::new(field, op, named("ports")),
                    1 if has("ranges") => Match::new(field, op, named("ranges")),
                    2 => Match::new(
                        field,
                        op,
                        Operand::Range(Value::Port(53), Value::Port(dice.pick(&[8080, 9000, 40000]))),
                    ),
                    3 => {
                        let values: Vec<_> =
                            dice.some(&[53, 7777, 8080, 9000, 9001, 15001], 4).into_iter().map(Value::Port).collect();
                        Match::new(field, op, list(values))
                    }
                    _ => {
                        let op = ordered(dice);
                        Match::new(field, op, Operand::Value(Value::Port(dice.pick(&PORTS))))
                    }
                }
            }
            5..=8 if at.family != Family::Ip6 => {
                let field = dice.pick(&[Field::IpDaddr, Field::IpSaddr]);
                let address: Ipv4Addr = dice.pick(&V4).parse().expect("an address");
                let operand = match dice.below(5) {
                    0 if has("nets") => named("nets"),
                    1 => {
                        let net = Ipv4Network::new(address, dice.pick(&[8, 24, 30])).expect("a network");
                        Operand::Prefix(Value::Ipv4(net.network()), net.prefix())
                    }
                    2 => Operand::Range(
                        Value::Ipv4(Ipv4Addr::new(10, 77, 0, 2)),
                        Value::Ipv4(Ipv4Addr::new(127, 0, 0, 1)),
                    ),
                    _ => Operand::Value(Value::Ipv4(address)),
                };
                Match::new(field, op, operand)
            }
            9 if has("pairs") => {
                Match::new([dice.pick(&[Field::IpDaddr, Field::IpSaddr]), Field::UdpDport], op, named("pairs"))
            }
            10 | 11 if at.family != Family::Ip => {
                let field = dice.pick(&[Field::Ip6Daddr, Field::Ip6Saddr]);
                let address: Ipv6Addr = dice.pick(&V6).parse().expect("an address");
                let operand = match dice.below(4) {
                    0 if has("nets6") => named("nets6"),
                    1 => {
                        let net = Ipv6Network::new(address, dice.pick(&[16, 64, 127])).expect("a network");
                        Operand::Prefix(Value::Ipv6(net.network()), net.prefix())
                    }
                    _ => Operand::Value(Value::Ipv6(address)),
                };
                Match::new(field, op, operand)
            }
            12 | 13 => {
                let field = dice.pick(&[Field::Iifname, Field::Oifname]);
                match dice.below(4) {
                    0 if has("links") => Match::new(field, op, named("links")),
                    _ => {
                        let name = dice.pick(&["lo", "eth0", "eth1", "eth*", "e*", "l*", "none"]);
                        Match::new(field, op, Operand::Value(Value::Ifname(name.into())))
                    }
                }
            }
            14 => {
                let field = dice.pick(&[Field::Iif, Field::Oif]);
                Match::new(field, op, Operand::Value(Value::Ifindex(dice.pick(&[1, 2, 3]))))
            }
            15 | 16 => {
                let (field, value): (_, fn(u32) -> Value) =
                    if dice.chance(60) { (Field::Skuid, Value::Uid) } else { (Field::Skgid, Value::Gid) };
                match dice.below(3) {
                    0 => Match::new(field, op, Operand::Range(value(1), value(1200))),
                    _ => {
                        let op = ordered(dice);
                        Match::new(field, op, Operand::Value(value(dice.pick(&UIDS))))
                    }
                }
            }
            17 | 18 => {
                let field = dice.pick(&[Field::Mark, Field::CtMark, Field::Mark]);
                match dice.below(3) {
                    0 => {
                        let mask = dice.pick(&MASKS);
                        let value = dice.pick(&MARKS) & mask;
                        Match::new(field, op, Operand::Masked { mask: Value::Mark(mask), value: Value::Mark(value) })
                    }
                    1 => Match::new(field, op, Operand::Range(Value::Mark(1), Value::Mark(0x100))),
                    _ => {
                        let op = ordered(dice);
                        Match::new(field, op, Operand::Value(Value::Mark(dice.pick(&MARKS))))
                    }
                }
            }
            19 | 20 => {
                let states = dice.pick(&[
                    CtState::NEW,
                    CtState::ESTABLISHED,
                    CtState::ESTABLISHED | CtState::RELATED,
                    CtState::NEW | CtState::RELATED,
                    CtState::UNTRACKED,
                    CtState::INVALID,
                    CtState::INVALID | CtState::UNTRACKED,
                ]);
                Match::new(Field::CtState, op, Operand::Flags(Value::CtState(states)))
            }
            21 => Match::new(
                Field::CtDirection,
                op,
                Operand::Value(Value::CtDirection(dice.pick(&[CtDirection::Original, CtDirection::Reply]))),
            ),
            22 => {
                let status = dice.pick(&[
                    CtStatus::SEEN_REPLY,
                    CtStatus::ASSURED,
                    CtStatus::CONFIRMED,
                    CtStatus::SNAT,
                    CtStatus::DNAT,
                    CtStatus::SNAT | CtStatus::DNAT,
                ]);
                Match::new(Field::CtStatus, op, Operand::Flags(Value::CtStatus(status)))
            }
            23 => Match::new(Field::CtZone, op, Operand::Value(Value::Integer(u32::from(dice.pick(&ZONES))))),
            24 => {
                let op = ordered(dice);
                Match::new(Field::Length, op, Operand::Value(Value::Integer(dice.pick(&[29, 30, 33, 40, 52, 60]))))
            }
            25 => {
                let kinds = [PktType::HOST, PktType::BROADCAST, PktType::MULTICAST, PktType::OTHER];
                Match::new(Field::PktType, op, Operand::Value(Value::PktType(dice.pick(&kinds))))
            }
            26 => {
                let kinds = [AddrType::LOCAL, AddrType::UNICAST, AddrType::BROADCAST, AddrType::MULTICAST];
                Match::new(Field::FibDaddrType, op, Operand::Value(Value::AddrType(dice.pick(&kinds))))
            }
            27 => {
                let flags = dice.pick(&[TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN, TcpFlags::RST | TcpFlags::FIN]);
                if dice.chance(50) {
                    let mask = Value::TcpFlags(TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN);
                    Match::new(Field::TcpFlags, op, Operand::Masked { mask, value: Value::TcpFlags(flags) })
                } else {
                    Match::new(Field::TcpFlags, op, Operand::Flags(Value::TcpFlags(flags)))
                }
            }
            28 => match at.base {
                Some((ChainType::Filter, Hook::Prerouting | Hook::Input)) => {
                    let field = dice.pick(&[Field::SocketTransparent, Field::SocketTransparent, Field::SocketWildcard]);
                    Match::new(field, op, Operand::Value(Value::Integer(dice.pick(&[0, 1]))))
                }
                _ => continue,
            },
            29 => Match::new(
                Field::L4proto,
                op,
                Operand::Value(Value::Protocol(dice.pick(&[
                    Protocol::TCP,
                    Protocol::UDP,
                    Protocol::ICMP,
                    Protocol::ICMPV6,
                ]))),
            ),
            30 if at.family != Family::Ip6 => {
                let kinds = [IcmpType::ECHO_REQUEST, IcmpType::ECHO_REPLY, IcmpType::DESTINATION_UNREACHABLE];
                Match::new(Field::IcmpType, op, Operand::Value(Value::IcmpType(dice.pick(&kinds))))
            }
            31 if at.family != Family::Ip => {
                let kinds = [Icmpv6Type::ECHO_REQUEST, Icmpv6Type::ECHO_REPLY, Icmpv6Type::DESTINATION_UNREACHABLE];
                Match::new(Field::Icmpv6Type, op, Operand::Value(Value::Icmpv6Type(dice.pick(&kinds))))
            }
            32 if at.family == Family::Inet => {
                let families = [Nfproto::IPV4, Nfproto::IPV6];
                Match::new(Field::Nfproto, op, Operand::Value(Value::Nfproto(dice.pick(&families))))
            }
            33 if at.family != Family::Ip6 => {
                let protocols = [Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::UDPLITE, Protocol(253)];
                Match::new(Field::IpProtocol, op, Operand::Value(Value::Protocol(dice.pick(&protocols))))
            }
            // Type, code and checksum of ICMP.
            34 | 35 => {
                let field = dice.pick(&[Field::ThDport, Field::ThDport, Field::ThSport]);
                let op = ordered(dice);
                Match::new(field, op, Operand::Value(Value::Port(dice.pick(&[0, 53, 0x800, 9000, 0x8000, 40000]))))
            }
            36 => Match::new(Field::Cgroup, op, Operand::Value(Value::Integer(dice.pick(&[0, 1])))),
            _ => continue,
        };
    }
}

fn list(mut values: Vec<Value>) -> Operand {
    values.sort();
    Operand::Set(SetRef::Anonymous(values.into_iter().map(Element::new).collect()))
}

/// An address and its network, as the hosts have them.
pub fn net(text: &str) -> IpNetwork {
    text.parse().expect("a network")
}
