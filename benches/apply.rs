//! What it costs to make a rule set true that mostly is: against the floor of a replace, which is
//! its bytes sent again, in one run.
//!
//! ```text
//! cargo bench --bench apply              everything
//! cargo bench --bench apply -- istio     what has this in its name
//! ```
//! Every line is a median over interleaved rounds, in a network namespace of its own.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::process::Stdio;

use common::{Times, peak_memory};
use nftmesh::kernel::Kernel;
use nftmesh::mesh::istio::{InboundPorts, IstioConfig};
use nftmesh::model::{Chain, DataType, Element, Family, Interval, Rule, Ruleset, Set, Table, Value};
use nftmesh::plan::{Transaction, diff};

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let cases: [(&str, fn()); 4] = [
        ("istio, 3 tables", sidecar),
        ("one CIDR added to 10,000", one_of_many),
        ("snapshot of 10,000 rules", snapshot),
        (MEMORY, memory),
    ];
    for (name, case) in cases {
        if wanted == name || name != MEMORY && name.contains(&wanted) {
            support::in_fresh_netns(case);
        }
    }
}

/// The sidecar with everything on, and one port that inbound capture leaves out.
fn istio(except: u16) -> Ruleset {
    let ports = InboundPorts::All { except: [15021, except].into_iter().collect() };
    let config = IstioConfig::builder().ipv6().drop_invalid().inbound_ports(ports).build();
    Ruleset::from(&config.expect("a valid configuration"))
}

fn sidecar() {
    let (one, other) = (istio(15090), istio(15020));
    let mut kernel = Kernel::open().expect("a socket");
    let replace = Transaction::replace(one.clone());
    kernel.commit(&replace).expect("a valid rule set");
    let held = kernel.snapshot().expect("readable");
    let (mut floor, mut planning, mut first, mut again) =
        (Times::default(), Times::default(), Times::default(), Times::default());
    let (mut remembered, mut unread, mut operations) = (Times::default(), Times::default(), 0);
    for round in 0..401 {
        let prepared = kernel.prepare(&replace).expect("a valid rule set");
        floor.time(|| kernel.commit_prepared(&prepared).expect("the kernel takes it again"));
        drop(prepared);
        planning.time(|| assert!(diff(&held, &one, &[]).expect("valid").is_empty()));
        first.time(|| assert!(kernel.apply(&one).expect("applied").was_in_sync()));
        again.time(|| assert!(kernel.apply(&one).expect("applied").was_in_sync()));
        remembered.time(|| operations = kernel.apply(&other).expect("applied").transaction.operations().len());
        assert!(operations > 0, "round {round}");
        unread.time(|| operations = kernel.apply(&one).expect("applied").transaction.operations().len());
    }
    println!("istio, 3 tables: {} operations to replace it", replace.operations().len());
    println!("  floor (same bytes again)   {:>10.1?}", floor.median());
    println!("  diff alone, in sync        {:>10.1?}", planning.median());
    println!("  apply in sync, first       {:>10.1?}   {}", first.median(), against(&first, &floor, 0.8));
    println!("  apply in sync, repeated    {:>10.1?}   {}", again.median(), against(&again, &floor, 0.05));
    let what = format!("one port changed ({operations} ops)");
    println!("  {what:<26} {:>10.1?}   {}", remembered.median(), against(&remembered, &floor, 0.6));
    println!("    not read before          {:>10.1?}   {:.3} x", unread.median(), unread.ratio(&floor));
}

fn one_of_many() {
    let set = |count: u32| {
        let v4 = |address: u32| Value::Ipv4(address.into());
        let interval = |index| Interval { low: v4(0x0a00_0000 + 8 * index), high: v4(0x0a00_0003 + 8 * index) };
        let elements = (0..count).map(|index| Element::new(interval(index)));
        let set = Set::new("cidrs", [DataType::Ipv4]).interval().elements(elements);
        Ruleset::new().table(Table::new(Family::Inet, "many").set(set))
    };
    let (small, large) = (set(10_000), set(10_001));
    let mut kernel = Kernel::open().expect("a socket");
    let replace = Transaction::replace(large.clone());
    let (mut full, mut delta) = (Times::default(), Times::default());
    for _ in 0..31 {
        full.time(|| kernel.commit(&replace).expect("a valid rule set"));
        kernel.apply(&small).expect("applied");
        delta.time(|| assert_eq!(kernel.apply(&large).expect("applied").transaction.operations().len(), 1));
    }
    println!("one CIDR added to 10,000");
    println!("  full replace               {:>10.1?}", full.median());
    println!("  read, diff, add            {:>10.1?}   {:.2} of it", delta.median(), delta.ratio(&full));
}

fn many_rules() -> Ruleset {
    let rule = |index: u32| Rule::new().ip_daddr(Ipv4Addr::from(0x0a00_0000 + index)).tcp_dport(80).counter().accept();
    Ruleset::new().table(Table::new(Family::Inet, "many").chain(Chain::regular("rules").rules((0..10_000).map(rule))))
}

fn snapshot() {
    let ruleset = many_rules();
    let mut kernel = Kernel::open().expect("a socket");
    kernel.commit(&Transaction::replace(ruleset.clone())).expect("a valid rule set");
    let (mut ours, mut nft, mut sync) = (Times::default(), Times::default(), Times::default());
    for _ in 0..11 {
        ours.time(|| assert_eq!(kernel.snapshot().expect("readable").tables.len(), 1));
        nft.time(|| {
            let mut list = support::command("nft");
            let status = list.args(["-j", "list", "ruleset"]).stdout(Stdio::null()).status();
            assert!(status.expect("nft is installed").success(), "nft -j list ruleset");
        });
        sync.time(|| assert!(kernel.plan(&ruleset).expect("readable").is_empty()));
    }
    println!("snapshot of 10,000 rules");
    println!("  nft -j list ruleset        {:>10.1?}", nft.median());
    println!("  snapshot                   {:>10.1?}   {}", ours.median(), against(&ours, &nft, 0.5));
    println!("  snapshot and diff, in sync {:>10.1?}", sync.median());
    let itself = std::env::current_exe().expect("a running program has a path");
    support::command(&itself.to_string_lossy()).arg(MEMORY).status().expect("this program runs again");
}

/// Alone in its process: the same snapshot.
fn memory() {
    // Made by others, so that nothing of this process has been that large before.
    let script = "awk 'BEGIN { print \"table inet many { chain rules {\"; for (i = 0; i < 10000; i++) \
        print \"ip daddr 10.0.\" int(i / 256) \".\" i % 256 \" tcp dport 80 counter accept\"; print \"}\"; print \"}\" }' | nft -f -";
    let status = support::command("sh").args(["-c", script]).status();
    assert!(status.expect("there is a shell").success(), "10,000 rules");
    let before = peak_memory();
    let snapshot = Kernel::open().expect("a socket").snapshot().expect("readable");
    println!("  memory of a snapshot: peak {} kB more than {before} kB", peak_memory() - before);
    drop(snapshot);
}

/// The argument with which this program runs itself to measure nothing but memory.
const MEMORY: &str = "only-memory";

fn against(ours: &Times, floor: &Times, goal: f64) -> String {
    format!("{:.3} x (goal <= {goal})", ours.ratio(floor))
}
