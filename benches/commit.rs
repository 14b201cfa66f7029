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
    if wanted == MEMORY {
        return support::in_fresh_netns(memory);
    }
    let cases = [
        ("istio, 3 tables", istio as fn() -> Ruleset, 401, 1.05),
        ("10,000 rules", || rules(10_000), 15, 1.05),
        ("100,000 intervals", || intervals(100_000), 15, 1.08),
    ];
    for (name, ruleset, rounds, goal) in cases {
        if name.contains(&wanted) {
            support::in_fresh_netns(|| commits(name, ruleset(), rounds, goal));
        }
    }
    if "istio, without its chains against late SYNs".contains(&wanted) {
        support::in_fresh_netns(late_syns);
    }
    if "istio-init".contains(&wanted) {
        support::in_fresh_netns(processes);
    }
    if "memory of 100,000 intervals".contains(&wanted) {
        let itself = std::env::current_exe().expect("a running program has a path");
        support::command(&itself.to_string_lossy()).arg(MEMORY).status().expect("this program runs again");
    }
}

/// Alone in its process: a rule set, its transaction, and one commit. Nobody can be below the
/// elements and the message together.
fn memory() {
    let before = peak_memory();
    let ruleset = intervals(100_000);
    let elements = size_of::<Element>() * 100;
    let transaction = Transaction::replace(ruleset);
    let mut kernel = Kernel::open().expect("a socket");
    let prepared = kernel.prepare(&transaction).expect("a valid rule set");
    let message = prepared.len() / 1000;
    kernel.commit_prepared(&prepared).expect("the kernel takes it");
    println!(
        "memory of 100,000 intervals, rule set and commit: peak {} kB (goal <= 16,000 kB): this program {before} kB, \
         elements {elements} kB, message {message} kB",
        peak_memory() * 1024 / 1000,
        before = before * 1024 / 1000,
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
    let mut alone = Times::default();
    let mut encoders = Encoders::default();
    kernel.commit(&transaction).expect("a valid rule set");
    for round in 0..rounds {
        let mut prepared = None;
        alone.time(|| prepared = Some(kernel.prepare(&transaction).expect("a valid rule set")));
        let prepared = prepared.expect("it was just prepared");
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
    let alone_ratio = alone.ratio(&floor);
    println!("  validate + encode alone    {:>10.1?}   {alone_ratio:.3} of the floor", alone.median());
    encoders.print(&floor);
    let against = ours.ratio(&nft);
    println!("  nft -f, as a process       {:>10.1?}   ours is {against:.2} of it", nft.median());
}

/// What the chains that refuse a SYN on an old connection add to the commit of the sidecar.
fn late_syns() {
    let (whole, mut without) = (istio(), istio());
    for table in &mut without.tables {
        table.chains.retain(|chain| !chain.name.as_str().ends_with("-syn") && chain.name != "istio-refuse");
    }
    let [whole, without] = [whole, without].map(Transaction::replace);
    let mut kernel = Kernel::open().expect("a socket");
    let (mut with, mut less) = (Times::default(), Times::default());
    for _ in 0..401 {
        less.time(|| kernel.commit(&without).expect("valid"));
        with.time(|| kernel.commit(&whole).expect("valid"));
    }
    let [many, few] = [&whole, &without].map(|transaction| transaction.operations().len());
    let ratio = with.ratio(&less);
    println!(
        "istio, with and without its chains against late SYNs: {many} and {few} operations, {ratio:.2} x the time"
    );
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

/// `istio-init` against `nft -f` of the same rules and against `true`, each a whole process in a
/// namespace where nothing is installed.
fn processes() {
    let (shared, alone) = (release("istio-init"), standalone("istio-init"));
    let plain = support::command(&shared).args(FLAGS).arg("--dry-run").output().expect("the example is built");
    let text = String::from_utf8(plain.stdout).expect("text");
    let script = Script::of(&text);
    let (mut nft, mut nothing) = (Times::default(), Times::default());
    let mut programs: Vec<(&str, String, Times)> = vec![("istio-init", shared, Times::default())];
    programs.extend(alone.map(|path| ("istio-init, static", path, Times::default())));
    let run = |program: &str, words: &[&str]| {
        let mut command = support::command(program);
        let status = command.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("it runs").success(), "{program}");
    };
    for _ in 0..101 {
        // The namespace is made outside of the time taken, and goes with its thread.
        for (_, path, times) in &mut programs {
            support::in_fresh_netns(|| times.time(|| run(path, FLAGS)));
        }
        support::in_fresh_netns(|| nft.time(|| script.load()));
        support::in_fresh_netns(|| nothing.time(|| run("true", &[])));
    }
    println!("istio-init, whole process, nothing installed before");
    println!("  true                       {:>10.1?}", nothing.median());
    println!("  nft -f of the same rules   {:>10.1?}", nft.median());
    for (name, _, ours) in &programs {
        let (of_nft, of_true) = (ours.ratio(&nft), ours.ratio(&nothing));
        println!(
            "  {name:<26} {:>10.1?}   {of_nft:.2} x nft (goal <= 0.4), {of_true:.1} x true (goal <= 2)",
            ours.median()
        );
    }
}

/// An example that needs no shared library, where somebody built one:
/// `RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --example istio-init
/// --no-default-features --features mesh,sim,import,proxy --target x86_64-unknown-linux-gnu`.
fn standalone(example: &str) -> Option<String> {
    let itself = std::env::current_exe().expect("a running program has a path");
    let target = itself.ancestors().find(|path| path.ends_with("release"))?.parent()?;
    let path = target.join("x86_64-unknown-linux-gnu/release/examples").join(example);
    path.exists().then(|| path.display().to_string())
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
