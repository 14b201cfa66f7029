//! What the benches share.
#![allow(dead_code, unreachable_pub, reason = "every bench uses the part it needs")]

use std::fs;
use std::time::{Duration, Instant};

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

    /// The median so far.
    pub fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The median in terms of another.
    pub fn ratio(&self, other: &Times) -> f64 {
        self.median().as_secs_f64() / other.median().as_secs_f64()
    }
}

/// The most memory that this process ever held, in kB.
pub fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
