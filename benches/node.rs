//! What `mesh-node` takes for 1,000 namespaces, and `mesh-cni` for a pod: whole processes, wall
//! time beside the processor time that they used, which tells more on a busy machine.
//!
//! ```text
//! cargo build --release --examples && cargo bench --bench node [-- NAMESPACES]
//! ```
//! A static build is taken where there is one:
//! `RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --example mesh-node
//! --example mesh-cni --no-default-features --features mesh,sim,import,proxy
//! --target x86_64-unknown-linux-gnu`.

mod common;
#[path = "../tests/support/node.rs"]
mod node;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::Times;
use node::{Node, path_of};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::NetNs;

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1000);
    support::in_fresh_netns(|| of_node(count));
    support::in_fresh_netns(of_plugin);
}

const SIDECAR: &str = "* istio:-i '*' -b '*' -d 15090,15021,15020\n";

fn of_node(count: usize) {
    // Each namespace is a descriptor of this process.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("up to the maximum");
    let node = Node::new(SIDECAR);
    let pods: Vec<NetNs> = (0..count).map(|number| node.pod(&format!("pod-{number}"))).collect();
    println!("mesh-node, {} namespaces", pods.len());
    for (what, goal) in [("without rules", 5.0), ("rules that are right", 1.0)] {
        let mut command = Command::new(program("mesh-node"));
        command.arg("--config").arg(node.folder.path().join("config")).arg("--directory").arg(&node.pods);
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is built");
        let last = format!("mesh-node: {count} namespaces are kept");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with(&last)), "it ended early");
        let wall = begun.elapsed().as_secs_f64();
        let used = processor_time(child.id());
        let seconds = 5;
        sleep(Duration::from_secs(seconds));
        let idle = (processor_time(child.id()) - used).as_secs_f64() / seconds as f64 * 100.0;
        let memory = status(child.id(), "VmRSS:") as f64 / 1024.0;
        println!("  {what:<26} all in sync after {wall:>5.2} s (goal <= {goal}), user and system {used:.2?}");
        println!("  {:<26} {memory:>5.1} MB (goal <= 60), {idle:.1} % of a processor (goal <= 1)", "  then, idle");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}

fn of_plugin() {
    let config = r#"{"cniVersion": "1.0.0", "name": "n", "type": "mesh-cni", "mesh": "istio",
        "options": {"istio-service-cidr": "*", "istio-inbound-ports": "*", "proxy-uid": 1337},
        "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.88.0.2/16"}]}}"#;
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), config).expect("written");
    let plugin = program("mesh-cni");
    let run = |program: &Path, pod: &NetNs| {
        let mut command = Command::new(program);
        command.env_clear().env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", path_of(pod)).stdin(File::open(file.path()).expect("a file"));
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{}", program.display());
    };
    let [mut add, mut again, mut nothing] = [(); 3].map(|()| Times::default());
    for _ in 0..200 {
        let pod = NetNs::fresh();
        nothing.time(|| run(Path::new("/bin/true"), &pod));
        add.time(|| run(&plugin, &pod));
        again.time(|| run(&plugin, &pod));
    }
    println!("mesh-cni, whole process, Istio's set, {}", plugin.display());
    for (what, times) in [("true", &nothing), ("ADD, fresh namespace", &add), ("ADD, in sync", &again)] {
        println!("  {what:<26} {:>10.2?} at least, {:>10.2?} median (goal <= 2.5 ms)", times.least(), times.median());
    }
}

/// Returns how long a process was on a processor, in ticks of 10 ms.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Returns a number of `/proc/PID/status`, in kB.
fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|number| number.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// Returns the static build of an example, or the other one.
fn program(name: &str) -> PathBuf {
    let itself = std::env::current_exe().expect("a running program has a path");
    let release = itself.ancestors().find(|path| path.ends_with("release")).expect("a bench is a release build");
    let of = |release: &Path| release.join("examples").join(name);
    let alone = release.parent().map(|target| of(&target.join("x86_64-unknown-linux-gnu/release")));
    alone.filter(|path| path.exists()).unwrap_or_else(|| of(release))
}
