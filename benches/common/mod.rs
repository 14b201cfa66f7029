//! What the benches share.
#![allow(dead_code, unreachable_pub, reason = "every bench uses the part it needs")]

pub mod shapes;

use std::fs::{self, File};
use std::time::{Duration, Instant};

use nftmesh::model::{Ruleset, Table};

/// How long something took, time and again.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Does it once more, and takes the time.
    pub fn time(&mut self, work: impl FnOnce()) {
        let start = Instant::now();
        work();
        self.0.push(start.elapsed());
    }

    /// Does it once more, and takes the time that this thread was in the kernel: to a tick, 10 ms
    /// at most.
    pub fn time_in_kernel(&mut self, work: impl FnOnce()) {
        let start = in_kernel();
        work();
        self.0.push(in_kernel().saturating_sub(start));
    }

    /// The median so far.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest so far.
    pub fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The median in terms of another.
    pub fn ratio(&self, other: &Times) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

/// How long this thread was in the kernel so far, proc_pid_stat(5).
fn in_kernel() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // Behind the name, which may hold anything: state is the 3rd field, stime the 15th.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().nth(12).and_then(|ticks| ticks.parse().ok()).unwrap_or_default();
    Duration::from_millis(10 * ticks)
}

/// The most memory that this process ever held, in kB.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

/// A rule set as a file that nft loads in place of what is there.
pub struct Script {
    path: tempfile::TempPath,
}

impl Script {
    /// In place of the tables of the same names.
    pub fn new(ruleset: &Ruleset) -> Self {
        let gone = |table: &Table| format!("add table {0} {1}\ndelete table {0} {1}\n", table.family, table.name);
        Script::of(&format!("{}{ruleset}", ruleset.tables.iter().map(gone).collect::<String>()))
    }

    /// Any script.
    pub fn of(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("a temporary file can be written");
        Script { path: file.into_temp_path() }
    }

    /// Runs `nft -f` on it.
    pub fn load(&self) {
        self.run(&["-f", "-"]);
    }

    /// Runs `nft -c -f` on it.
    pub fn check(&self) {
        self.run(&["-c", "-f", "-"]);
    }

    fn run(&self, words: &[&str]) {
        let file = &self.path;
        let input = File::open(file).expect("it was just written");
        let status = crate::support::command("nft").args(words).stdin(input).status().expect("nft is installed");
        assert!(status.success(), "nft {words:?} of {}", file.display());
    }
}
