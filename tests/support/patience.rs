//! How long a test waits before it gives up.

use std::env;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns how long to wait on this machine for something that takes at most `usual` on an ordinary
/// busy one.
///
/// `NFTMESH_SLOWNESS` is how many times slower this machine is; `scripts/on-kernel.sh` sets it
/// where the processor is emulated.
pub fn patience(usual: Duration) -> Duration {
    usual * slowness()
}

/// Calls `is_so` repeatedly, and returns whether it was true before patience ended.
pub fn comes_true(is_so: impl FnMut() -> bool) -> bool {
    comes_true_within(LONG, is_so)
}

/// As [`comes_true`], for something that takes at most `usual` on an ordinary busy machine.
pub fn comes_true_within(usual: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if is_so() {
            return true;
        }
        if begun.elapsed() > patience(usual) {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}

/// Longer than any ordinary machine needs for one step.
const LONG: Duration = Duration::from_secs(30);

/// How many times slower this machine is than an ordinary one; 1 unless something was said.
pub fn slowness() -> u32 {
    let Some(value) = env::var_os("NFTMESH_SLOWNESS") else { return 1 };
    let number = value.to_str().and_then(|value| value.parse().ok()).filter(|number| (1..=1000).contains(number));
    number.unwrap_or_else(|| panic!("NFTMESH_SLOWNESS={value:?}: not a number from 1 to 1000"))
}
