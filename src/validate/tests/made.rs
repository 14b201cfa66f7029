//! Small rule sets: one table, one chain, one rule or set.

use std::net::Ipv4Addr;

use crate::model::*;

pub(super) fn v4(text: &str) -> Value {
    Value::Ipv4(text.parse().expect("an address"))
}

pub(super) fn port(port: u16) -> Element {
    Element::new(Value::Port(port))
}

pub(super) fn ports(low: u16, high: u16) -> Interval {
    Interval { low: Value::Port(low), high: Value::Port(high) }
}

pub(super) fn base(name: &str, chain_type: ChainType, hook: Hook) -> Chain {
    Chain::base(name, chain_type, hook, Priority::FILTER)
}

pub(super) fn input(rule: Rule) -> Ruleset {
    inet(base("in", ChainType::Filter, Hook::Input).rule(rule))
}

pub(super) fn prerouting(rule: Rule) -> Ruleset {
    inet(base("pre", ChainType::Filter, Hook::Prerouting).rule(rule))
}

pub(super) fn nat(rule: Rule) -> Ruleset {
    inet(base("nat", ChainType::Nat, Hook::Prerouting).rule(rule))
}

pub(super) fn inet(chain: Chain) -> Ruleset {
    of(Table::new(Family::Inet, "t").chain(chain))
}

pub(super) fn of(table: Table) -> Ruleset {
    Ruleset::new().table(table)
}

pub(super) fn with(set: Set) -> Ruleset {
    of(Table::new(Family::Inet, "t").set(set))
}

pub(super) fn in_family(family: Family, rule: Rule) -> Ruleset {
    of(Table::new(family, "t").chain(base("in", ChainType::Filter, Hook::Input).rule(rule)))
}

pub(super) fn regular(family: Family, rule: Rule) -> Ruleset {
    of(Table::new(family, "t").chain(Chain::regular("c").rule(rule)))
}

pub(super) fn port_set() -> Set {
    Set::new("s", [DataType::Port])
}

pub(super) fn nested(depth: usize) -> Ruleset {
    let mut table = Table::new(Family::Inet, "t");
    table = table.chain(base("b", ChainType::Filter, Hook::Input).rule(Rule::new().jump("r1")));
    for number in 1..=depth {
        let chain = Chain::regular(format!("r{number}"));
        let next = format!("r{}", number + 1);
        table = table.chain(if number < depth { chain.rule(Rule::new().goto(next)) } else { chain });
    }
    of(table)
}

/// Returns a `dnat` reached from a filter chain by a jump and two verdict maps.
pub(super) fn far_target() -> Ruleset {
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

pub(super) fn circle() -> Ruleset {
    of(Table::new(Family::Inet, "t")
        .chain(base("in", ChainType::Filter, Hook::Input).rule(Rule::new().jump("a")))
        .chain(Chain::regular("a").rule(Rule::new().counter()).rule(Rule::new().counter().goto("b")))
        .chain(Chain::regular("b").rule(Rule::new().goto("a"))))
}

pub(super) fn to_base() -> Ruleset {
    of(Table::new(Family::Inet, "t")
        .chain(base("in", ChainType::Filter, Hook::Input))
        .chain(Chain::regular("a").rule(Rule::new().jump("in"))))
}

pub(super) fn lookup(set: Set, field: Field) -> Ruleset {
    let rule = Rule::new().matches(Match::new(field, Op::Eq, Operand::Set(SetRef::Named("s".into()))));
    of(Table::new(Family::Inet, "t").set(set).chain(base("in", ChainType::Filter, Hook::Input).rule(rule)))
}

pub(super) fn number(field: Field, op: Op, operand: Operand) -> Ruleset {
    input(Rule::new().matches(Match::new(field, op, operand)))
}

/// A rule to put into a chain at input.
pub(super) trait IntoInput {
    fn into_input(self) -> Ruleset;
}

impl IntoInput for Rule {
    fn into_input(self) -> Ruleset {
        input(self)
    }
}
