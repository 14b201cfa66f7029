//! Rule sets that are wrong, with the line that says so, and rule sets that are right.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{ChainView, Complete, Error, TableView, faults};
use crate::model::*;

fn v4(text: &str) -> Value {
    Value::Ipv4(text.parse().expect("an address"))
}

fn ports(low: u16, high: u16) -> Interval {
    Interval { low: Value::Port(low), high: Value::Port(high) }
}

fn base(name: &str, chain_type: ChainType, hook: Hook) -> Chain {
    Chain::base(name, chain_type, hook, Priority::FILTER)
}

fn input(rule: Rule) -> Ruleset {
    inet(base("in", ChainType::Filter, Hook::Input).rule(rule))
}

fn prerouting(rule: Rule) -> Ruleset {
    inet(base("pre", ChainType::Filter, Hook::Prerouting).rule(rule))
}

fn nat(rule: Rule) -> Ruleset {
    inet(base("nat", ChainType::Nat, Hook::Prerouting).rule(rule))
}

fn inet(chain: Chain) -> Ruleset {
    of(Table::new(Family::Inet, "t").chain(chain))
}

fn of(table: Table) -> Ruleset {
    Ruleset::new().table(table)
}

fn with(set: Set) -> Ruleset {
    of(Table::new(Family::Inet, "t").set(set))
}

fn in_family(family: Family, rule: Rule) -> Ruleset {
    of(Table::new(family, "t").chain(base("in", ChainType::Filter, Hook::Input).rule(rule)))
}

fn port_set() -> Set {
    Set::new("s", [DataType::Port])
}

fn nested(depth: usize) -> Ruleset {
    let mut table = Table::new(Family::Inet, "t");
    table = table.chain(base("b", ChainType::Filter, Hook::Input).rule(Rule::new().jump("r1")));
    for number in 1..=depth {
        let chain = Chain::regular(format!("r{number}"));
        let next = format!("r{}", number + 1);
        table = table.chain(if number < depth { chain.rule(Rule::new().goto(next)) } else { chain });
    }
    of(table)
}

/// `dnat` reached by a jump and by two verdict maps, from a filter chain.
fn far_target() -> Ruleset {
    let jump = |chain: &str| Element::new(Value::Port(1)).verdict(Verdict::Jump(chain.into()));
    let map = Set::verdict_map("m", [DataType::Port]).elements([jump("c")]);
    let anonymous = SetRef::Anonymous(vec![jump("b")]);
    let table = Table::new(Family::Inet, "t").set(map);
    of(table
        .chain(base("in", ChainType::Filter, Hook::Input).rule(Rule::new().jump("a")))
        .chain(Chain::regular("a").rule(Rule::new().vmap(Field::TcpDport, anonymous)))
        .chain(Chain::regular("b").rule(Rule::new().vmap(Field::TcpDport, set("m"))))
        .chain(Chain::regular("c").rule(Rule::new().nat(Nat::dnat().to(Ipv4Addr::LOCALHOST)))))
}

fn circle() -> Ruleset {
    of(Table::new(Family::Inet, "t")
        .chain(base("in", ChainType::Filter, Hook::Input).rule(Rule::new().jump("a")))
        .chain(Chain::regular("a").rule(Rule::new().counter()).rule(Rule::new().counter().goto("b")))
        .chain(Chain::regular("b").rule(Rule::new().goto("a"))))
}

fn to_base() -> Ruleset {
    of(Table::new(Family::Inet, "t")
        .chain(base("in", ChainType::Filter, Hook::Input))
        .chain(Chain::regular("a").rule(Rule::new().jump("in"))))
}

fn lookup(set: Set, field: Field) -> Ruleset {
    let rule = Rule::new().matches(Match::new(field, Op::Eq, Operand::Set(SetRef::Named("s".into()))));
    of(Table::new(Family::Inet, "t").set(set).chain(base("in", ChainType::Filter, Hook::Input).rule(rule)))
}

fn number(field: Field, op: Op, operand: Operand) -> Ruleset {
    input(Rule::new().matches(Match::new(field, op, operand)))
}

#[test]
fn a_fault_is_named_in_one_line() {
    let two = |a: Interval, b: Interval| {
        Set::new("s", [DataType::Port, DataType::Port]).interval().elements([[a.clone(), a], [b.clone(), b]])
    };
    let port = |port: u16| Element::new(Value::Port(port));
    let zero = Duration::ZERO;
    let cases: Vec<(Ruleset, &str)> = vec![
        // Names and text.
        (
            of(Table::new(Family::Ip, "a\nb")),
            "table ip a\\nb: the name may hold only letters, digits, '/', '\\', '_', '.' and '-'",
        ),
        (of(Table::new(Family::Ip, "")), "table ip \"\": the name is empty; give 1 to 255 characters"),
        (
            of(Table::new(Family::Ip, "t")).table(Table::new(Family::Ip, "t")),
            "table ip t: is defined twice; rename one or merge them",
        ),
        (
            of(Table::new(Family::Ip, "t").chain(Chain::regular("c")).chain(Chain::regular("c"))),
            "chain ip t/c: is defined twice; rename one or merge them",
        ),
        (
            of(Table::new(Family::Ip, "t").set(port_set()).set(port_set())),
            "set ip t/s: is defined twice; rename one or merge them",
        ),
        (
            input(Rule::new().comment("x".repeat(129))),
            "rule 1 of inet t/in: the comment has 129 bytes; at most 128 are allowed",
        ),
        (
            input(Rule::new().comment("a\"b")),
            "rule 1 of inet t/in: the comment holds '\"', which nft cannot read back; leave it out",
        ),
        (
            with(port_set().comment("a\nb")),
            "set inet t/s: the comment holds '\\n', which nft cannot read back; leave it out",
        ),
        (
            with(port_set().elements([port(1).comment("\0")])),
            "element 1 of set inet t/s: the comment holds '\\0', which nft cannot read back; leave it out",
        ),
        (
            input(Rule::new().log(Log::default().prefix("x".repeat(128)))),
            "rule 1 of inet t/in, statement 1 (log): the log prefix has 128 bytes; at most 127 are allowed",
        ),
        (
            input(Rule::new().log(Log::default().prefix("$5"))),
            "rule 1 of inet t/in, statement 1 (log): the log prefix holds '$', which nft cannot read back; leave it out",
        ),
        (
            input(Rule::new().iifname("a/b")),
            "rule 1 of inet t/in, statement 1 (iifname): interface name a/b may not hold blanks, control characters, '/', ':' or quotes",
        ),
        // Chains.
        (
            inet(base("forward", ChainType::Nat, Hook::Forward)),
            "chain inet t/forward: type nat cannot hook forward (nat hooks: prerouting, input, output, postrouting)",
        ),
        (
            inet(base("pre", ChainType::Route, Hook::Prerouting)),
            "chain inet t/pre: type route cannot hook prerouting (route hooks: output)",
        ),
        (
            inet(Chain::base("pre", ChainType::Nat, Hook::Prerouting, Priority(-200))),
            "chain inet t/pre: priority -200 is not behind connection tracking (-200), as type nat must be; use -100 (dstnat) or 100 (srcnat)",
        ),
        (
            in_family(Family::Bridge, Rule::new()),
            "table bridge t: chains in family bridge are not supported; use inet, ip or ip6",
        ),
        (
            input(Rule::new().counter().jump("gone")),
            "rule 1 of inet t/in, statement 2 (jump): there is no chain gone in the table; define it or correct the name",
        ),
        (
            to_base(),
            "rule 1 of inet t/a, statement 1 (jump): chain in is a base chain, which only the kernel calls; jump to a regular chain",
        ),
        (circle(), "rule 1 of inet t/b, statement 1 (goto): jumps in a circle: a, b, a; remove one of the jumps"),
        (
            nested(16),
            "chain inet t/b: jumps 16 chains deep, and the kernel follows 15: b, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15, r16",
        ),
        // Targets.
        (
            input(Rule::new().counter().redirect()),
            "rule 1 of inet t/in, statement 2 (redirect): works only in type nat at prerouting or output, this is type filter at input",
        ),
        (
            far_target(),
            "rule 1 of inet t/c, statement 1 (dnat): works only in type nat at prerouting or output, it runs in type filter at input (reached through in, a, b)",
        ),
        (
            nat(Rule::new().masquerade()),
            "rule 1 of inet t/nat, statement 1 (masquerade): works only in type nat at postrouting, this is type nat at prerouting",
        ),
        (
            inet(base("f", ChainType::Filter, Hook::Forward).rule(Rule::new().socket_transparent(1))),
            "rule 1 of inet t/f, statement 1 (socket transparent): works only at prerouting, input or output, this is type filter at forward",
        ),
        (
            input(Rule::new().oifname("eth0")),
            "rule 1 of inet t/in, statement 1 (oifname): no packet has one at input; oifname is known at forward, output, postrouting",
        ),
        (
            inet(base("o", ChainType::Filter, Hook::Output).rule(Rule::new().iif(1))),
            "rule 1 of inet t/o, statement 1 (iif): no packet has one at output; iif is known at prerouting, input, forward, postrouting",
        ),
        (
            input(Rule::new().accept().counter()),
            "rule 1 of inet t/in, statement 2 (counter): never runs, it stands behind accept, which ends the rule; put it in front",
        ),
        (
            (0..129).fold(Rule::new(), |rule, _| rule.counter()).into_input(),
            "rule 1 of inet t/in: needs 129 expressions; a rule holds 128, split it",
        ),
        // Protocols.
        (
            nat(Rule::new().redirect_to(80)),
            "rule 1 of inet t/nat, statement 1 (redirect): ports mean something only behind a match on a transport protocol in the same rule; add .l4proto(Protocol::TCP) in front",
        ),
        (
            nat(Rule::new().th_dport(1).redirect_to(80)),
            "rule 1 of inet t/nat, statement 2 (redirect): ports mean something only behind a match on a transport protocol in the same rule; add .l4proto(Protocol::TCP) in front",
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
            in_family(Family::Ip6, Rule::new().icmp_type(IcmpType(8))),
            "rule 1 of ip6 t/in, statement 1 (icmp type): no packet of an ip6 table has icmp type; use an inet table or another field",
        ),
        (
            in_family(Family::Ip, Rule::new().nfproto(Nfproto::IPV4)),
            "rule 1 of ip t/in, statement 1 (meta nfproto): every packet of an ip or ip6 table has the same family; leave the match out",
        ),
        (
            prerouting(Rule::new().tproxy(Tproxy::to_port(1))),
            "rule 1 of inet t/pre, statement 1 (tproxy): ports mean something only behind a match on a transport protocol in the same rule; add .l4proto(Protocol::TCP) in front",
        ),
        (
            prerouting(Rule::new().tcp_dport(1).ip_daddr(Ipv4Addr::LOCALHOST).tproxy(Tproxy::to_port(1))),
            "rule 1 of inet t/pre, statement 3 (tproxy): the rule matches one family only; say the same of the tproxy with .family(...)",
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
            "rule 1 of inet t/in, statement 1 (meta mark): only ct state, ct status and tcp flags are sets of bits; use a value or a mask",
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
            input(Rule::new().vmap(
                Field::TcpDport,
                SetRef::Anonymous(vec![
                    Element::new(ports(1, 5)).verdict(Verdict::Accept),
                    Element::new(ports(3, 7)).verdict(Verdict::Accept),
                ]),
            )),
            "rule 1 of inet t/in, statement 1 (vmap), element 2: overlaps element 1; merge them",
        ),
        // Sets.
        (with(Set::new("s", [])), "set inet t/s: a key has 1 to 64 bytes, each part padded to 4; this one has 0"),
        (
            with(Set::new("s", [DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Ipv6, DataType::Port])),
            "set inet t/s: a key has 1 to 64 bytes, each part padded to 4; this one has 68",
        ),
        (
            with(port_set().elements([Value::Mark(1)])),
            "element 1 of set inet t/s: expected a value of type inet_service, found mark",
        ),
        (
            with(port_set().elements([[Value::Port(1), Value::Port(2)]])),
            "element 1 of set inet t/s: has 2 parts, but the key of the set has 1",
        ),
        (
            with(port_set().elements([ports(1, 2)])),
            "element 1 of set inet t/s: is more than one value, but the set is not one of intervals; add .interval()",
        ),
        (
            with(Set::new("s", [DataType::Ifname]).elements([Value::Ifname("veth*".into())])),
            "element 1 of set inet t/s: is more than one value, but the set is not one of intervals; add .interval()",
        ),
        (
            with(port_set().interval().elements([ports(2, 1)])),
            "element 1 of set inet t/s: the range ends before it starts; swap its ends",
        ),
        (
            with(port_set().interval().elements([ports(1, 5), ports(3, 7)])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(port_set().interval().elements([ports(9, 9), ports(3, 9)])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(Set::new("s", [DataType::Ipv4]).interval().elements([
                v4("10.0.0.1").into(),
                Key::from("10.0.0.0/8".parse::<ipnetwork::IpNetwork>().expect("a network")),
            ])),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(
                Set::new("s", [DataType::Ifname])
                    .interval()
                    .elements([Value::Ifname("eth0".into()), Value::Ifname("eth*".into())]),
            ),
            "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()",
        ),
        (
            with(port_set().auto_merge().elements([ports(1, 5).into(), Element::new(ports(3, 7)).comment("why")])),
            "element 2 of set inet t/s: overlaps element 1; merge them",
        ),
        (with(two(ports(1, 5), ports(2, 3))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (with(two(ports(2, 3), ports(1, 5))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (with(two(ports(3, 5), ports(1, 3))), "element 2 of set inet t/s: overlaps element 1; merge them"),
        (
            with(
                Set::map("s", [DataType::Port], DataType::Mark)
                    .elements([port(1).value(Value::Mark(1)), port(1).value(Value::Mark(2))]),
            ),
            "element 2 of set inet t/s: has the key of element 1 and other data; keep one of them",
        ),
        (
            with(Set::map("s", [DataType::Port, DataType::Port], DataType::Mark).elements([
                Element::new([Value::Port(1), Value::Port(1)]).value(Value::Mark(1)),
                Element::new([Value::Port(1), Value::Port(1)]).value(Value::Mark(2)),
            ])),
            "element 2 of set inet t/s: has the key of element 1 and other data; keep one of them",
        ),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).elements([port(1)])),
            "element 1 of set inet t/s: has no data, but the elements of a map need mark",
        ),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).elements([port(1).verdict(Verdict::Drop)])),
            "element 1 of set inet t/s: has a verdict as data, but should have mark",
        ),
        (
            with(port_set().elements([port(1).value(Value::Mark(1))])),
            "element 1 of set inet t/s: has mark as data, but should have nothing",
        ),
        (
            with(port_set().elements([port(1).timeout(Duration::from_secs(5))])),
            "element 1 of set inet t/s: has a timeout, but the set keeps its elements for ever; add .timeout() to the set",
        ),
        (with(port_set().timeout(zero)), "set inet t/s: the timeout must be between 1 millisecond and 584 years"),
        (with(port_set().size(1).elements([port(1), port(2)])), "set inet t/s: has 2 elements, but its size is 1"),
        (
            with(Set::map("s", [DataType::Port], DataType::Mark).auto_merge()),
            "set inet t/s: the intervals of a map cannot be merged; drop auto-merge",
        ),
    ];
    assert!(cases.len() > 80, "the table has {} cases", cases.len());
    for (rules, line) in cases {
        match rules.validate_strictly() {
            Ok(()) => panic!("no fault where there should be: {line}\n{rules:#?}"),
            Err(invalid) => {
                assert_eq!(invalid.to_string(), line, "{rules:#?}");
                assert_eq!(invalid.faults().len(), 1, "{rules:#?}");
                assert_eq!(line.lines().count(), 1);
            }
        }
    }
}

trait IntoInput {
    fn into_input(self) -> Ruleset;
}

impl IntoInput for Rule {
    fn into_input(self) -> Ruleset {
        input(self)
    }
}

#[test]
fn a_good_rule_set_has_no_fault() {
    let port = |port: u16| Element::new(Value::Port(port));
    let shared = of(Table::new(Family::Inet, "t")
        .chain(base("pre", ChainType::Nat, Hook::Prerouting).rule(Rule::new().jump("shared")))
        .chain(base("out", ChainType::Nat, Hook::Output).rule(Rule::new().jump("shared")))
        .chain(Chain::regular("shared").rule(Rule::new().iifname("lo").redirect()))
        .chain(Chain::regular("unreached").rule(Rule::new().masquerade())));
    let crossed = Set::new("s", [DataType::Port, DataType::Port])
        .interval()
        .elements([[ports(2, 3), ports(1, 5)], [ports(1, 5), ports(2, 3)]]);
    let cases: Vec<Ruleset> = vec![
        Ruleset::new(),
        of(Table::new(Family::Bridge, "only-a-name")),
        inet(base("n", ChainType::Nat, Hook::Prerouting).policy(Policy::Drop)),
        input(Rule::new().counter().comment("x".repeat(128))),
        input((0..128).fold(Rule::new(), |rule, _| rule.counter())),
        input(Rule::new().socket_exists().counter()),
        input(Rule::new().ct_state(CtState::ESTABLISHED | CtState::RELATED).accept()),
        input(Rule::new().tcp_flags(masked(TcpFlags::SYN, TcpFlags::SYN | TcpFlags::ACK)).drop()),
        input(Rule::new().vmap(Field::TcpDport, SetRef::Anonymous(vec![port(1).verdict(Verdict::Drop)])).accept()),
        input(Rule::new().notrack().set_zone(1).r#continue().counter()),
        input(Rule::new().ip_saddr(vec!["10.0.0.0/8".parse::<ipnetwork::Ipv4Network>().expect("a network")])),
        nat(Rule::new().tcp_dport(1).redirect_to(80)),
        nat(Rule::new().l4proto([Protocol::TCP, Protocol::UDP]).th_dport(53).redirect_to(15_053)),
        nat(Rule::new().nat(Nat::dnat().to(Ipv4Addr::LOCALHOST))),
        prerouting(
            Rule::new().ip_daddr(Ipv4Addr::LOCALHOST).tcp_dport(1).tproxy(Tproxy::to_port(1).family(Family4or6::Ipv4)),
        ),
        prerouting(Rule::new().l4proto(Protocol::TCP).tproxy(Tproxy::to_port(1)).accept()),
        nested(15),
        shared,
        with(crossed),
        with(port_set().interval().elements([ports(5, 6), ports(1, 4), ports(5, 6)])),
        with(port_set().auto_merge().size(1).elements([ports(5, 6), ports(1, 9)])),
        with(port_set().size(1).elements([port(1), port(1)])),
        with(port_set().timeout(Duration::from_secs(5)).elements([port(1).timeout(Duration::from_secs(1))])),
        with(Set::new("s", [DataType::Ifname]).interval().elements([
            Value::Ifname("eth0".into()),
            Value::Ifname("veth*".into()),
            Value::Ifname("v".into()),
        ])),
    ];
    for rules in cases {
        assert_eq!(rules.validate_strictly(), Ok(()), "{rules:#?}");
    }
}

#[test]
fn every_fault_is_found_and_the_first_one_is_printed() {
    let rules = input(Rule::new().redirect()).table(Table::new(Family::Ip, "")).table(Table::new(Family::Ip, "9"));
    let invalid = rules.validate_strictly().expect_err("three faults");
    assert_eq!(invalid.faults().len(), 3);
    assert!(invalid.to_string().ends_with("this is type filter at input (and 2 more)"), "{invalid}");
    let first = invalid.faults().first().expect("three faults");
    assert_eq!((first.location.rule, first.location.statement), (Some(0), Some(0)));
    let error = Error::from(invalid);
    assert!(error.is_invalid());
}

#[test]
fn names_that_a_part_of_a_table_does_not_hold_are_no_fault() {
    let rule = Rule::new().tcp_dport(set("elsewhere")).jump("elsewhere");
    let name = Name::from("c");
    let table = Name::from("t");
    let chain = ChainView { name: &name, kind: None, comment: None, rules: vec![&rule] };
    let view = |complete| TableView {
        family: Family::Inet,
        name: &table,
        comment: None,
        complete,
        unread: None,
        sets: vec![],
        chains: vec![chain.clone()],
    };
    assert_eq!(faults(&[view(Complete::Part)]), []);
    assert_eq!(faults(&[view(Complete::Whole)]).len(), 2);
}

#[test]
fn a_web_of_jumps_is_walked_once() {
    // Every chain of a layer calls every chain of the next: 40^14 paths.
    let mut table = Table::new(Family::Inet, "t");
    let mut first = base("b", ChainType::Filter, Hook::Input);
    for place in 0..40 {
        first = first.rule(Rule::new().jump(format!("c0-{place}")));
    }
    table = table.chain(first);
    for layer in 0..15 {
        for place in 0..40 {
            let mut chain = Chain::regular(format!("c{layer}-{place}"));
            if layer < 14 {
                for next in 0..40 {
                    chain = chain.rule(Rule::new().jump(format!("c{}-{next}", layer + 1)));
                }
            } else {
                chain = chain.rule(Rule::new().redirect());
            }
            table = table.chain(chain);
        }
    }
    let invalid = of(table).validate_strictly().expect_err("redirect in a filter chain");
    assert_eq!(invalid.faults().len(), 40);
}
