//! Comparisons over all packets: the rule sets of the twelve cases, the same said differently, and large ones.

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;

use std::time::Instant;

use nftmesh::mesh::istio::{Interception, IstioConfig, ServiceCidrs};
use nftmesh::model::Ruleset;
use nftmesh::sim::{Comparison, Rules, compare};
use sidecar::CASES;

fn rules(ruleset: &Ruleset) -> Rules {
    Rules::try_from(ruleset).expect("a rule set with programs")
}

fn of_case(options: &str) -> Rules {
    rules(&Ruleset::from(&sidecar::config(options, "nameserver 10.96.0.10")))
}

fn say(name: &str, a: &Rules, b: &Rules) -> Comparison {
    let start = Instant::now();
    let compared = compare(a, b);
    let took = start.elapsed();
    let what = match &compared {
        Comparison::Equivalent { classes, .. } => format!("equivalent, {classes} classes"),
        Comparison::Differs(packet) => format!("differs: {packet}"),
        Comparison::CannotTell(reason) => format!("cannot tell: {reason}"),
        _ => unreachable!("three answers"),
    };
    println!("{name}: {took:?}: {what}");
    compared
}

#[test]
fn every_case_is_equal_to_itself_and_to_no_other() {
    let all: Vec<(&str, Rules)> = CASES.iter().map(|case| (case.name, of_case(case.options))).collect();
    for (name, a) in &all {
        for (other, b) in &all {
            say(&format!("{name} / {other}"), a, b);
        }
    }
}

fn excluding(count: u32) -> Rules {
    let nets: Vec<String> = (0..count).map(|at| format!("{}.{}.{}.0/24", 11 + at % 7, at / 256, at % 256)).collect();
    let config = IstioConfig::builder()
        .service_cidrs(ServiceCidrs::All)
        .exclude_cidrs(nets.iter().map(|net| net.parse().expect("a network")).collect::<Vec<ipnetwork::IpNetwork>>())
        .build()
        .expect("a configuration");
    rules(&Ruleset::from(&config))
}

#[test]
fn a_thousand_cidrs() {
    let (a, b) = (excluding(1000), excluding(1001));
    say("1000 / 1000", &a, &a);
    say("1000 / 1001", &a, &b);
    say("1001 / 1000", &b, &a);
}

#[test]
fn rules_and_set() {
    use nftmesh::model::*;
    let nets: Vec<ipnetwork::Ipv4Network> =
        (0..1000).map(|at| format!("{}.{}.{}.0/24", 11 + at % 7, at / 256, at % 256).parse().expect("net")).collect();
    let wrap = |first: Vec<Rule>, set: Option<Set>| {
        let chain = Chain::base("output", ChainType::Nat, Hook::Output, Priority::DSTNAT)
            .rule(Rule::new().oifname("lo").r#return())
            .rule(Rule::new().skuid(1337).r#return())
            .rules(first)
            .rule(Rule::new().l4proto(Protocol::TCP).redirect_to(15001));
        let table = Table::new(Family::Ip, "t").chain(chain);
        rules(&Ruleset::new().table(set.into_iter().fold(table, Table::set)))
    };
    let many = wrap(nets.iter().map(|net| Rule::new().ip_daddr(*net).r#return()).collect(), None);
    let mut turned = nets.clone();
    turned.reverse();
    let turned = wrap(turned.iter().map(|net| Rule::new().ip_daddr(*net).r#return()).collect(), None);
    let elements = nets.iter().map(|net| Element::new(ipnetwork::IpNetwork::V4(*net)));
    let set = Set::new("s", [DataType::Ipv4]).interval().elements(elements.collect::<Vec<_>>());
    let set = wrap(vec![Rule::new().ip_daddr(nftmesh::model::set("s")).r#return()], Some(set));
    say("rules / set", &many, &set);
    say("set / rules", &set, &many);
    say("rules / rules", &many, &many);
    say("rules / turned", &many, &turned);
}
