//! What a commit costs: against its floor, which is the same bytes sent again, and against `nft -f`
//! of the same text, all in one run.
//!
//! ```text
//! cargo bench --bench commit              everything
//! cargo bench --bench commit -- istio     what has this in its name
//! RUSTFLAGS="--cfg fuzzing" cargo bench --bench commit    with each encoder alone, which is not in a user's build
//! ```
//! Every line is a median over interleaved rounds, in a network namespace of its own.

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use std::net::Ipv4Addr;
use std::process::Stdio;

use common::{Script, Times, peak_memory};
use nftmesh::kernel::Kernel;
use nftmesh::mesh::istio::IstioConfig;
use nftmesh::model::{Chain, DataType, Element, Family, Interval, Rule, Ruleset, Set, Table, Value};
use nftmesh::plan::Transaction;

fn main() {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let cases = [
        ("istio, 3 tables", istio(), 401, 1.2),
        ("10,000 rules", rules(10_000), 15, 1.2),
        ("100,000 intervals", intervals(100_000), 15, 1.25),
    ];
    for (name, ruleset, rounds, goal) in cases {
        if name.contains(&wanted) {
            support::in_fresh_netns(|| commits(name, ruleset, rounds, goal));
        }
    }
    if "istio-init".contains(&wanted) {
        support::in_fresh_netns(processes);
    }
    if wanted == MEMORY {
        support::in_fresh_netns(memory);
    } else if "memory of 100,000 intervals".contains(&wanted) {
        let itself = std::env::current_exe().expect("a running program has a path");
        support::command(&itself.to_string_lossy()).arg(MEMORY).status().expect("this program runs again");
    }
}

/// Alone in its process: a rule set, its transaction, and one commit.
fn memory() {
    let before = peak_memory();
    let transaction = Transaction::replace(intervals(100_000));
    Kernel::open().expect("a socket").commit(&transaction).expect("a valid rule set");
    println!(
        "memory of 100,000 intervals, rule set and commit: peak {} kB (goal <= 40,000 kB), before {before} kB",
        peak_memory()
    );
}

/// The argument with which this program runs itself to measure nothing but memory.
const MEMORY: &str = "only-memory";

/// The sidecar with everything on.
fn istio() -> Ruleset {
    let config = IstioConfig::builder().ipv6().drop_invalid().build();
    Ruleset::from(&config.expect("the defaults are valid"))
}

fn rules(count: u32) -> Ruleset {
    let rule = |index| Rule::new().ip_daddr(Ipv4Addr::from(0x0a00_0000 + index)).tcp_dport(80).counter().accept();
    Ruleset::new().table(Table::new(Family::Inet, "many").chain(Chain::regular("rules").rules((0..count).map(rule))))
}

fn intervals(count: u32) -> Ruleset {
    let v4 = |address: u32| Value::Ipv4(address.into());
    let interval = |index| Interval { low: v4(0x0a00_0000 + 8 * index), high: v4(0x0a00_0003 + 8 * index) };
    let set =
        Set::new("intervals", [DataType::Ipv4]).interval().elements((0..count).map(|n| Element::new(interval(n))));
    Ruleset::new().table(Table::new(Family::Inet, "many").set(set))
}

/// The floor, our commit and nft's, in turn.
fn commits(name: &str, ruleset: Ruleset, rounds: usize, goal: f64) {
    let mut kernel = Kernel::open().expect("a socket");
    let script = Script::new(&ruleset);
    let transaction = Transaction::replace(ruleset);
    let (mut floor, mut ours, mut nft) = (Times::default(), Times::default(), Times::default());
    let mut encoders = Encoders::default();
    kernel.commit(&transaction).expect("a valid rule set");
    for round in 0..rounds {
        let prepared = kernel.prepare(&transaction).expect("a valid rule set");
        floor.time(|| kernel.commit_prepared(&prepared).expect("the kernel takes it again"));
        drop(prepared);
        ours.time(|| kernel.commit(&transaction).expect("the kernel takes it again"));
        encoders.time(&transaction);
        // As slow as it is, a few rounds of it say enough.
        if round % 8 == 0 {
            nft.time(|| script.load());
        }
    }
    let ratio = ours.ratio(&floor);
    println!("{name}: {} operations, replaced", transaction.operations().len());
    println!("  floor (same bytes again)   {:>10.1?}", floor.median());
    println!("  encode + commit            {:>10.1?}   {ratio:.2} x floor (goal <= {goal})", ours.median());
    encoders.print(&floor);
    let against = ours.ratio(&nft);
    println!("  nft -f, as a process       {:>10.1?}   ours is {against:.2} of it", nft.median());
}

/// Each encoder alone.
#[derive(Default)]
#[cfg_attr(not(fuzzing), expect(dead_code, reason = "a user's build has one encoder and no way to choose"))]
struct Encoders {
    own: Times,
    default: Times,
}

#[cfg(fuzzing)]
impl Encoders {
    fn time(&mut self, transaction: &Transaction) {
        self.own.time(|| assert!(nftmesh::fuzz::encode_own(transaction) > 0));
        self.default.time(|| assert!(nftmesh::fuzz::encode_default(transaction) > 0));
    }

    fn print(&self, floor: &Times) {
        let own_floor = self.own.ratio(floor);
        println!("  encode alone, our own      {:>10.1?}   {own_floor:.3} of the floor", self.own.median());
        let backends = self.own.ratio(&self.default);
        println!("  encode alone, default      {:>10.1?}   our own is {backends:.2} of it", self.default.median());
    }
}

#[cfg(not(fuzzing))]
#[expect(clippy::unused_self, clippy::needless_pass_by_ref_mut, reason = "as where both are there")]
impl Encoders {
    fn time(&mut self, _: &Transaction) {}

    fn print(&self, _: &Times) {}
}

/// `istio-init` against `nft -f` of the same rules, each a whole process in a namespace where
/// nothing is installed.
fn processes() {
    let istio_init = release("istio-init");
    let plain = support::command(&istio_init).args(FLAGS).arg("--dry-run").output().expect("the example is built");
    let text = String::from_utf8(plain.stdout).expect("text");
    let script = Script::of(&text);
    let (mut ours, mut nft) = (Times::default(), Times::default());
    for _ in 0..101 {
        // The namespace is made outside of the time taken, and goes with its thread.
        support::in_fresh_netns(|| {
            ours.time(|| {
                let status =
                    support::command(&istio_init).args(FLAGS).stdout(Stdio::null()).stderr(Stdio::null()).status();
                assert!(status.expect("it runs").success(), "istio-init");
            });
        });
        support::in_fresh_netns(|| nft.time(|| script.load()));
    }
    let ratio = ours.ratio(&nft);
    println!("istio-init, whole process, nothing installed before");
    println!("  nft -f of the same rules   {:>10.1?}", nft.median());
    println!("  istio-init                 {:>10.1?}   {ratio:.2} x nft (goal <= 0.6)", ours.median());
}

/// What a sidecar is usually started with.
const FLAGS: &[&str] = &[
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-x",
    "",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
];

/// An example as `cargo bench` finds it: built for release beside this program.
fn release(example: &str) -> String {
    let path = support::example(example);
    assert!(
        path.components().any(|part| part.as_os_str() == "release"),
        "{}: cargo build --release --examples",
        path.display()
    );
    path.display().to_string()
}
