//! Comparisons over all packets: the rule sets of the twelve cases, the same said differently, and large ones.

mod support;
#[path = "support/sidecar.rs"]
mod sidecar;

use std::time::Instant;

use nftmesh::mesh::istio::{IstioConfig, ServiceCidrs, Interception};
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
        .build().expect("a configuration");
    rules(&Ruleset::from(&config))
}

#[test]
fn a_thousand_cidrs() {
    let (a, b) = (excluding(1000), excluding(1001));
    say("1000 / 1000", &a, &a);
    say("1000 / 1001", &a, &b);
    say("1001 / 1000", &b, &a);
}
