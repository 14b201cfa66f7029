//! Protocols, statements, operands and lookups.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::made::*;
use crate::bytecode::RawExpr;
use crate::model::*;

pub(super) fn cases() -> Vec<(Ruleset, &'static str)> {
    vec![
        // Protocols.
        (
            nat(Rule::new().redirect_to(80)),
            "rule 1 of inet t/nat, statement 1 (redirect): ports need a match on a transport protocol before them in the same rule; add .l4proto(Protocol::TCP) first",
        ),
        (
            nat(Rule::new().th_dport(1).redirect_to(80)),
            "rule 1 of inet t/nat, statement 2 (redirect): ports need a match on a transport protocol before them in the same rule; add .l4proto(Protocol::TCP) first",
        ),
        (
            nat(Rule::new().tcp_dport(1).redirect_to(PortRange { low: 9, high: 8 })),
            "rule 1 of inet t/nat, statement 2 (redirect): the range ends before it starts; swap its ends",
        ),
        (
            input(Rule::new().tcp_dport(1).udp_dport(1)),
            "rule 1 of inet t/in, statement 2 (udp dport): no packet has both tcp dport and udp dport; split the rule",
        ),
        (
            input(Rule::new().ip_saddr(Ipv4Addr::LOCALHOST).ip6_saddr(Ipv6Addr::LOCALHOST)),
            "rule 1 of inet t/in, statement 2 (ip6 saddr): no packet has both ip saddr and ip6 saddr; split the rule",
        ),
        (
            input(Rule::new().l4proto([Protocol::TCP, Protocol::UDP]).icmp_type(IcmpType(8)).l4proto(Protocol::UDP)),
            "rule 1 of inet t/in, statement 3 (meta l4proto): no packet has both icmp type and udp; split the rule",
        ),
        (
            input(Rule::new().l4proto([Protocol::UDP]).tcp_dport(1)),
            "rule 1 of inet t/in, statement 2 (tcp dport): no packet has both udp and tcp dport; split the rule",
        ),
        (
            in_family(Family::Ip6, Rule::new().icmp_type(IcmpType(8))),
            "rule 1 of ip6 t/in, statement 1 (icmp type): no packet of an ip6 table has icmp type; use an inet table or another field",
        ),
        (
            in_family(Family::Ip, Rule::new().nfproto(Nfproto::IPV4)),
            "rule 1 of ip t/in, statement 1 (meta nfproto): every packet of an ip or ip6 table has the same family; leave the match out",
        ),
        (
            prerouting(Rule::new().tproxy(Tproxy::to_port(1))),
            "rule 1 of inet t/pre, statement 1 (tproxy): ports need a match on a transport protocol before them in the same rule; add .l4proto(Protocol::TCP) first",
        ),
        (
            prerouting(Rule::new().tcp_dport(1).ip_daddr(Ipv4Addr::LOCALHOST).tproxy(Tproxy::to_port(1))),
            "rule 1 of inet t/pre, statement 3 (tproxy): the rule matches one family only; give the tproxy the same family with .family(...)",
        ),
        (
            nat(Rule::new().ip6_daddr(Ipv6Addr::LOCALHOST).nat(Nat::dnat().to(Ipv4Addr::LOCALHOST))),
            "rule 1 of inet t/nat, statement 2 (dnat): its address or family is ipv4, but packets here are ipv6",
        ),
        (
            nat(Rule::new().nat(Nat::dnat())),
            "rule 1 of inet t/nat, statement 1 (dnat): it has neither address nor port, so nothing is translated; give it one",
        ),
        (
            nat(Rule::new().nat(Nat::dnat().to_range(Ipv4Addr::new(1, 1, 1, 2), Ipv4Addr::new(1, 1, 1, 1)))),
            "rule 1 of inet t/nat, statement 1 (dnat): the range ends before it starts; swap its ends",
        ),
        (
            in_family(Family::Ip6, Rule::new().reject_with(Reject::Icmp(3))),
            "rule 1 of ip6 t/in, statement 1 (reject): icmp cannot answer IPv6; use Reject::Icmpv6",
        ),
        (
            input(Rule::new().udp_dport(1).reject_with(Reject::TcpReset)),
            "rule 1 of inet t/in, statement 2 (reject): a tcp reset answers only tcp; match tcp alone in the same rule",
        ),
        (
            input(Rule::new().reject_with(Reject::Icmpx(4))),
            "rule 1 of inet t/in, statement 1 (reject): icmpx has the codes 0 to 3",
        ),
        // Families.
        (
            regular(Family::Netdev, Rule::new().tcp_dport(1).tproxy(Tproxy::to_port(1))),
            "rule 1 of netdev t/c, statement 2 (tproxy): tproxy does not exist in family netdev; use a table of family inet, ip or ip6",
        ),
        (
            regular(Family::Bridge, Rule::new().fib_daddr_type(AddrType::LOCAL)),
            "rule 1 of bridge t/c, statement 1 (fib daddr type): fib daddr type does not exist in family bridge; use a table of family inet, ip, ip6 or netdev",
        ),
        (
            regular(Family::Arp, Rule::new().reject()),
            "rule 1 of arp t/c, statement 1 (reject): reject does not exist in family arp; use a table of family inet, ip, ip6, bridge or netdev",
        ),
        (
            regular(Family::Arp, Rule::new().set_zone(1)),
            "rule 1 of arp t/c, statement 1 (ct zone set): ct zone set does not exist in family arp; use a table of family inet, ip, ip6 or bridge",
        ),
        (
            regular(Family::Netdev, Rule::new().socket_transparent(1)),
            "rule 1 of netdev t/c, statement 1 (socket transparent): socket transparent does not exist in family netdev; use a table of family inet, ip or ip6",
        ),
        // Statements.
        (
            input(Rule::new().limit(Limit::packets(0, LimitUnit::Second))),
            "rule 1 of inet t/in, statement 1 (limit): a rate of 0 lets nothing through; drop instead, or give a rate",
        ),
        (
            input(Rule::new().limit(Limit::packets(1, LimitUnit::Second).burst(0))),
            "rule 1 of inet t/in, statement 1 (limit): a burst of 0 packets lets nothing through; give at least 1",
        ),
        (
            input(Rule::new().limit(Limit::bytes(30_600, LimitUnit::Week))),
            "rule 1 of inet t/in, statement 1 (limit): rate or burst is more than the kernel can count in this unit; use a shorter unit or less",
        ),
        (
            input(Rule::new().log(Log::default().group(1).level(LogLevel::Info))),
            "rule 1 of inet t/in, statement 1 (log): a group has no level; leave out one of them",
        ),
        (
            input(Rule::new().log(Log::default().prefix("a").level(LogLevel::Audit))),
            "rule 1 of inet t/in, statement 1 (log): level audit takes nothing else; write two log statements",
        ),
        (
            input(Rule::new().log(Log::default().snaplen(1))),
            "rule 1 of inet t/in, statement 1 (log): snaplen and queue threshold are for a group; add .group(...)",
        ),
        (
            input(Rule::new().statement(Statement::Queue(Queue { from: 5, to: 1, flags: QueueFlags::empty() }))),
            "rule 1 of inet t/in, statement 1 (queue): the range ends before it starts; swap its ends",
        ),
        (
            input(Rule::new().queue(1..=1, QueueFlags::FANOUT)),
            "rule 1 of inet t/in, statement 1 (queue): fanout spreads over several queues, and there is one; give a range",
        ),
        // Operands.
        (
            number(Field::TcpDport, Op::Eq, Operand::Value(Value::Mark(1))),
            "rule 1 of inet t/in, statement 1 (tcp dport): expected a value of type inet_service, found mark",
        ),
        (
            number(Field::CtZone, Op::Eq, Operand::Value(Value::Integer(65_536))),
            "rule 1 of inet t/in, statement 1 (ct zone): 65536 does not fit 2 bytes",
        ),
        (
            number(Field::TcpDport, Op::Lt, Operand::Range(Value::Port(1), Value::Port(2))),
            "rule 1 of inet t/in, statement 1 (tcp dport): an order compares with one value; use Op::Eq or Op::Ne for everything else",
        ),
        (
            number(Field::TcpDport, Op::Eq, Operand::Range(Value::Port(2), Value::Port(1))),
            "rule 1 of inet t/in, statement 1 (tcp dport): the range ends before it starts; swap its ends",
        ),
        (
            number(Field::CtState, Op::Lt, Operand::Value(Value::CtState(CtState::NEW))),
            "rule 1 of inet t/in, statement 1 (ct state): ct_state has no order; compare with a value or a set",
        ),
        (
            number(Field::IpDaddr, Op::Eq, Operand::Prefix(v4("10.0.0.0"), 33)),
            "rule 1 of inet t/in, statement 1 (ip daddr): prefix length 33 is more than the 32 bits of the address",
        ),
        (
            number(Field::TcpDport, Op::Eq, Operand::Prefix(Value::Port(1), 3)),
            "rule 1 of inet t/in, statement 1 (tcp dport): only addresses have prefixes; use a range or a mask",
        ),
        (
            number(Field::Mark, Op::Eq, Operand::Flags(Value::Mark(1))),
            "rule 1 of inet t/in, statement 1 (meta mark): only ct label, ct state, ct status and tcp flags are sets of bits; use a value or a mask",
        ),
        (
            input(Rule::new().ct_state(CtState::empty())),
            "rule 1 of inet t/in, statement 1 (ct state): there are no bits in it, so no packet has one of them; name at least one",
        ),
        (
            input(Rule::new().mark(masked(2, 1))),
            "rule 1 of inet t/in, statement 1 (meta mark): the value has bits that the mask takes away, so it is never equal; widen the mask",
        ),
        (
            input(Rule::new().matches(Match::new(
                [Field::TcpDport, Field::TcpSport],
                Op::Eq,
                Operand::Value(Value::Port(1)),
            ))),
            "rule 1 of inet t/in, statement 1 (tcp dport): several fields are looked up in a set; give one, named or anonymous",
        ),
        (
            input(Rule::new().tcp_dport(set("gone"))),
            "rule 1 of inet t/in, statement 1 (tcp dport): there is no set gone in the table; define it or correct the name",
        ),
        (
            lookup(Set::new("s", [DataType::Ipv4]), Field::TcpDport),
            "rule 1 of inet t/in, statement 1 (tcp dport): looks up inet_service, but the key of the set is ipv4_addr",
        ),
        (
            of(Table::new(Family::Inet, "t")
                .set(port_set())
                .chain(Chain::regular("c").rule(Rule::new().vmap(Field::TcpDport, set("s"))))),
            "rule 1 of inet t/c, statement 1 (vmap): set s has nothing as data, but a verdict is looked up",
        ),
        (
            input(Rule::new().tcp_dport(SetRef::Anonymous(vec![]))),
            "rule 1 of inet t/in, statement 1 (tcp dport): the anonymous set is empty, so nothing can be in it; leave the match out or use a named set",
        ),
        (
            input(
                Rule::new()
                    .vmap(Field::TcpDport, SetRef::Anonymous(vec![port(1).verdict(Verdict::Jump("gone".into()))])),
            ),
            "rule 1 of inet t/in, statement 1 (vmap), element 1: there is no chain gone in the table; define it or correct the name",
        ),
        (
            input(Rule::new().raw(RawExpr::new("counter").attributes(&[0; 4]))),
            "rule 1 of inet t/in, statement 1 (opaque): the raw expression has attributes that end before their length; give the length of each, and its padding",
        ),
        (
            input(Rule::new().raw(RawExpr::new("numgen").bytes(1, &[0; 65_532]))),
            "rule 1 of inet t/in, statement 1 (opaque): the raw expression has attributes that end before their length; give the length of each, and its padding",
        ),
        (
            input(Rule::new().raw(RawExpr::new("numgen").bytes(1, &[0; 40_000]).bytes(1, &[0; 40_000]))),
            "rule 1 of inet t/in, statement 1 (opaque): the raw expression has 80008 bytes of attributes; the kernel takes 65531",
        ),
        (
            input(Rule::new().raw(RawExpr::new("x".repeat(43)))),
            "rule 1 of inet t/in, statement 1 (opaque): the raw expression has no name of an expression; give it one of 1 to 42 bytes",
        ),
        (
            input(Rule::new().vmap(
                Field::TcpDport,
                SetRef::Anonymous(vec![
                    Element::new(ports(1, 5)).verdict(Verdict::Accept),
                    Element::new(ports(3, 7)).verdict(Verdict::Accept),
                ]),
            )),
            "rule 1 of inet t/in, statement 1 (vmap), element 2: overlaps element 1; merge them",
        ),
    ]
}
