//! From every one of twelve configurations to every other, under continuous connections, which all
//! twelve capture: none bypasses the proxy. `NFTMESH_SOAK=1` (make soak) continues until a million
//! connections were made. On an emulated kernel (`NFTMESH_SLOWNESS`), from every one to two others.

#![cfg(feature = "mesh")]

#[path = "support/sidecar.rs"]
mod sidecar;
mod support;
#[path = "support/traffic/mod.rs"]
mod traffic;

use std::env;
use std::time::{Duration, Instant};

use nftmesh::kernel::Kernel;
use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::{
    Chain, ChainType, DataType, Element, Family, Hook, Priority, Rule, Ruleset, Set, Table, Verdict, ip_daddr, set,
};
use nftmesh::pod::Pod as Installer;
use sidecar::config;
use support::patience::slowness;
use support::{needs_root, nft, say};
use traffic::{Load, Pod, under_load};

/// Returns networks that nobody connects to, none of which is adjacent to another.
fn networks(first: u8, count: usize) -> String {
    let networks = (0..count)
        .map(|index| format!("{}.{}.{}.0/24", usize::from(first) + index / 16_384, index / 128 % 128, index % 128 * 2));
    networks.collect::<Vec<_>>().join(",")
}

/// Returns configurations that all capture what the application sends to 10.77.0.1:9000.
fn configurations() -> Vec<IstioConfig> {
    let (ten, many, others) = (networks(20, 10), networks(30, 2000), networks(40, 2000));
    let options = [
        "-i * -b *".to_owned(),
        "-q 9000 -b 80".to_owned(),
        format!("-i {ten} -q 9000"),
        format!("-i {ten},10.77.0.0/16 -b *"),
        format!("-i {many} -q 9000"),
        format!("-i {many},10.77.0.0/24"),
        format!("-i {others},10.77.0.0/30 -x {ten} -m TPROXY -b *"),
        format!("-i * -x {many}"),
        format!("-i 10.64.0.0/10,{ten} -x {others} -b 1,3 -d 15090"),
        // A wider range than is listed port by port.
        "-q 1-300,400-9000,9100-9900 -b * -m TPROXY".to_owned(),
        format!("ISTIO_DUAL_STACK=true -i 10.77.0.0/16,{ten},fd77::/64,fd78::/64 -b 1-300,500-9999"),
        format!("ISTIO_OUTBOUND_OWNER_GROUPS=1000,1337 -i 10.76.0.0/15,{ten} --redirect-dns"),
    ];
    options.iter().map(|options| config(options, "nameserver 10.255.255.53\n")).collect()
}

fn soak() -> bool {
    env::var_os("NFTMESH_SOAK").is_some_and(|value| value == "1")
}

/// A connection whose SYN is lost on a busy machine has not bypassed the proxy, but it proves
/// nothing either.
#[track_caller]
fn assert_captured(load: &Load, what: &str) {
    let Load { proxied, escaped, failed, broken, samples } = load;
    say(format_args!(
        "{what}: {escaped} of {} connections got past, {failed} failed, {broken} broke",
        proxied + escaped + failed
    ));
    assert_eq!((*escaped, *failed, *broken), (0, 0, 0), "{what}: {samples:?}");
}

#[test]
fn no_connection_bypasses_the_proxy_between_any_two_of_twelve_configurations() {
    if !needs_root() {
        return;
    }
    let configurations = configurations();
    // Either way every configuration comes first and second equally often.
    let distances: &[usize] = if slowness() == 1 { &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] } else { &[1, 5] };
    let pairs = || {
        let all = configurations.iter();
        let cycle = all.clone().cycle();
        distances.iter().flat_map(move |distance| all.clone().zip(cycle.clone().skip(*distance)))
    };
    let count = pairs().count();
    assert_eq!(count, 12 * distances.len());
    let begun = Instant::now();
    let mut total = Load::default();
    let mut installed = 0;
    loop {
        let network = Pod::new();
        network.run(|| {
            let first = configurations.first().expect("there are twelve");
            Installer::open().and_then(|mut pod| pod.install(first)).expect("installed");
        });
        let (load, count) = under_load(&network, 4, || {
            let mut pod = Installer::open().expect("a socket");
            let mut count = 0;
            for (from, to) in pairs() {
                for config in [from, to] {
                    pod.install(config).expect("installed");
                    count += 1;
                }
            }
            assert!(!nft("list ruleset").contains(".next"), "{}", nft("list ruleset"));
            count
        });
        installed += count;
        total.proxied += load.proxied;
        total.escaped += load.escaped;
        total.failed += load.failed;
        total.broken += load.broken;
        total.samples.extend(load.samples);
        // Bounded, since a million takes too long on a slow machine.
        let enough = total.proxied >= 1_000_000 || begun.elapsed() > Duration::from_secs(1800);
        if !soak() || enough || total.escaped > 0 {
            break;
        }
    }
    assert_captured(&total, &format!("{count} pairs, {installed} installations"));
}

/// Returns a rule set that redirects every connection of the load.
fn redirecting(sets: Vec<Set>, rules: Vec<Rule>) -> Ruleset {
    let base = Chain::base("output", ChainType::Nat, Hook::Output, Priority(-101));
    let captured = Chain::regular("captured").rule(Rule::new().tcp_dport(1..=65535).redirect_to(15001));
    let table = Table::new(Family::Ip, "mesh").chain(base.rules(rules)).chain(captured);
    Ruleset::new().table(sets.into_iter().fold(table, Table::set))
}

fn network(text: &str) -> Element {
    Element::new(text.parse::<ipnetwork::IpNetwork>().expect("a network"))
}

/// Returns a set of these and 2,000 intervals that nobody connects to.
fn filled(name: &str, more: &[&str]) -> Set {
    let elsewhere = networks(50, 2000);
    let all: Vec<&str> = elsewhere.split(',').chain(more.iter().copied()).collect();
    Set::new(name, [DataType::Ipv4]).interval().elements(all.into_iter().map(network))
}

/// Returns pairs of rule sets between which a connection could bypass the proxy, by kind.
fn kinds() -> Vec<(&'static str, [Ruleset; 2])> {
    let app = || Rule::new().skuid(1000);
    let goes = |rule: Rule| rule.goto("captured");
    let all = || redirecting(vec![], vec![goes(app())]);
    let leads = |name: &str, more: &[&str]| {
        let elements = filled(name, more).elements.into_iter().map(|mut element| {
            element.data = Some(Box::new(nftmesh::model::ElementData::Verdict(Verdict::Goto("captured".into()))));
            element
        });
        Set::verdict_map(name, [DataType::Ipv4]).interval().elements(elements)
    };
    let by_map = |more: &[&str], rules: Vec<Rule>| {
        let map = app().vmap(nftmesh::model::Field::IpDaddr, set("ways"));
        redirecting(vec![leads("ways", more)], [vec![map], rules].concat())
    };
    let by_list = |more: &[&str]| {
        let elsewhere = networks(50, 1000);
        let all: Vec<ipnetwork::Ipv4Network> =
            elsewhere.split(',').chain(more.iter().copied()).map(|text| text.parse().expect("a network")).collect();
        redirecting(vec![], vec![goes(app().matches(ip_daddr(all)))])
    };
    let by_port = || goes(app().tcp_dport(9000));
    let by_set = |name: &str, more: &[&str], rules: Vec<Rule>| {
        redirecting(vec![filled(name, more)], [vec![goes(app().ip_daddr(set(name)))], rules].concat())
    };
    let here = &["10.77.0.0/16"][..];
    let groups = |ids: [u32; 2]| {
        Set::new("groups", [DataType::Gid]).elements(ids.map(|id| Element::new(nftmesh::model::Value::Gid(id))))
    };
    vec![
        (
            "a set without intervals",
            [
                redirecting(vec![groups([100, 200])], vec![Rule::new().skgid(set("groups")).r#return(), goes(app())]),
                redirecting(
                    vec![groups([1000, 1337])],
                    vec![Rule::new().not(nftmesh::model::skgid(set("groups"))).r#return(), goes(app())],
                ),
            ],
        ),
        ("a new set", [all(), by_set("nets", here, vec![])]),
        ("elements of a set that is looked at", [by_set("nets", &[], vec![by_port()]), by_set("nets", here, vec![])]),
        (
            "an empty set that is filled",
            [
                redirecting(vec![Set::new("nets", [DataType::Ipv4]).interval()], vec![goes(app())]),
                by_set("nets", here, vec![]),
            ],
        ),
        ("one interval for another", [by_set("nets", here, vec![]), by_set("nets", &["10.64.0.0/10"], vec![])]),
        (
            "a set of another kind",
            [by_set("nets", here, vec![]), {
                let hosts = Set::new("nets", [DataType::Ipv4]).elements([network("10.77.0.1/32")]);
                redirecting(vec![hosts], vec![goes(app().ip_daddr(set("nets")))])
            }],
        ),
        ("from one set to another", [by_set("nets", here, vec![]), by_set("others", here, vec![])]),
        (
            "from one set to another that both stay",
            [
                redirecting(
                    vec![filled("a", here), filled("b", &[])],
                    vec![goes(app().ip_daddr(set("a"))), goes(app().ip_daddr(set("b")))],
                ),
                redirecting(
                    vec![filled("a", &[]), filled("b", here)],
                    vec![goes(app().ip_daddr(set("a"))), goes(app().ip_daddr(set("b")))],
                ),
            ],
        ),
        ("a verdict map", [by_map(&[], vec![by_port()]), by_map(here, vec![])]),
        ("a list in a rule", [all(), by_list(here)]),
        ("one list for another", [by_list(here), by_list(&["10.64.0.0/10", "200.1.0.0/16"])]),
    ]
}

/// Reports the connections that bypass the proxy when the same change is one transaction, which
/// shows that this kernel needs the stages.
fn in_one_transaction(ways: &[Ruleset; 2], rounds: usize) -> String {
    let network = Pod::new();
    let [first, _] = ways;
    network.run(|| Kernel::open().and_then(|mut kernel| kernel.apply(first)).expect("applied"));
    let (load, ()) = under_load(&network, 4, || {
        let mut kernel = Kernel::open().expect("a socket");
        for ruleset in ways.iter().rev().cycle().take(2 * rounds) {
            let plan = kernel.plan(ruleset).expect("readable");
            kernel.commit(&plan).expect("nobody else is here");
        }
    });
    format!("{} of {} connections got past", load.escaped, load.proxied + load.escaped)
}

#[test]
fn no_connection_bypasses_a_change_of_any_kind_of_interval_set() {
    if !needs_root() {
        return;
    }
    let rounds = match (soak(), slowness()) {
        (true, _) => 200,
        (false, 1) => 10,
        (false, _) => 2,
    };
    for (kind, ways) in kinds() {
        let network = Pod::new();
        let [first, _] = &ways;
        network.run(|| Kernel::open().and_then(|mut kernel| kernel.apply(first)).expect("applied"));
        let (load, steps) = under_load(&network, 4, || {
            let mut kernel = Kernel::open().expect("a socket");
            let mut steps = 0;
            for ruleset in ways.iter().rev().cycle().take(2 * rounds) {
                let applied = kernel.apply(ruleset).unwrap_or_else(|error| panic!("{kind}: {error}"));
                steps += applied.staged.len() + 1;
                assert!(kernel.verify(ruleset).expect("readable").is_empty(), "{kind}");
            }
            steps
        });
        assert_captured(&load, &format!("{kind}, {} times, {steps} commits", 2 * rounds));
        if soak() {
            say(format_args!(
                "{kind}, {} times in one transaction each: {}",
                2 * rounds,
                in_one_transaction(&ways, rounds)
            ));
        }
    }
}
