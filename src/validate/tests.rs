//! Invalid rule sets with the message for each, and valid rule sets.

mod made;
mod places;
mod rules;
mod sets;

use std::net::Ipv4Addr;
use std::time::Duration;

use super::{ChainView, Complete, Error, TableView, faults};
use crate::model::*;
use made::*;

/// Returns rule sets with one fault each, and the message for it.
pub(crate) fn faulty() -> Vec<(Ruleset, &'static str)> {
    [places::cases(), rules::cases(), sets::cases()].concat()
}

#[test]
fn a_fault_is_named_in_one_line() {
    let cases = faulty();
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

#[test]
fn an_odd_comment_does_not_hide_an_overlap() {
    let elements = [Element::new(ports(1, 5)).comment("\""), Element::new(ports(3, 7))];
    let invalid = with(port_set().interval().elements(elements)).validate().expect_err("they overlap");
    assert_eq!(invalid.to_string(), "element 2 of set inet t/s: overlaps element 1; merge them or use .auto_merge()");
}

#[test]
fn valid_rule_sets_have_no_faults() {
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
            Rule::new().ip_daddr(Ipv4Addr::LOCALHOST).tcp_dport(1).tproxy(Tproxy::to_port(1).family(IpFamily::Ipv4)),
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
fn unknown_names_are_faults_only_in_a_complete_table() {
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
        objects: vec![],
        sets: vec![],
        chains: vec![chain.clone()],
    };
    assert_eq!(faults(&[view(Complete::Part)]), []);
    assert_eq!(faults(&[view(Complete::Whole)]).len(), 2);
}

#[test]
fn a_dense_graph_of_jumps_is_visited_once() {
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

#[test]
fn loops_and_paths_through_many_chains_are_reported_briefly() {
    // Every chain calls the next one and the first.
    let chain = |index: u32| {
        let next = Rule::new().jump(format!("c{}", index + 1));
        Chain::regular(format!("c{index}")).rule(next).rule(Rule::new().jump("c0"))
    };
    let table = (0..500).map(chain).fold(Table::new(Family::Inet, "t"), Table::chain).chain(Chain::regular("c500"));
    let invalid = of(table).validate().expect_err("500 circles");
    assert_eq!(invalid.faults().len(), 100);
    let long = invalid.faults().last().expect("100 faults").to_string();
    assert!(long.ends_with("c19, 381 others, c0; remove one of the jumps"), "{long}");
    // Every chain calls the next one and has something that is not allowed at the hook.
    let chain = |index: u32| {
        let next = Rule::new().jump(format!("c{}", index + 1));
        Chain::regular(format!("c{index}")).rule(Rule::new().tcp_dport(1).redirect()).rule(next)
    };
    let first = base("in", ChainType::Filter, Hook::Input).rule(Rule::new().jump("c0"));
    let table = (0..500).map(chain).fold(Table::new(Family::Inet, "t"), Table::chain).chain(Chain::regular("c500"));
    let invalid = of(table.chain(first)).validate().expect_err("one is too deep, 500 redirect");
    assert_eq!(invalid.faults().len(), 501);
    for fault in invalid.faults() {
        assert!(fault.to_string().len() < 300, "{fault}");
        if let crate::validate::Problem::TargetNotAllowed { through, .. } = &fault.problem {
            assert!(through.len() <= 16, "{fault}");
        }
    }
}
