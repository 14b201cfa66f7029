//! How long a test waits before it gives up.

use std::env;
use std::time::Duration;

/// Returns how long to wait on this machine for what takes at most `usual` on an ordinary busy one.
///
/// `NFTMESH_SLOWNESS` says how many times slower this machine is; `scripts/on-kernel.sh` sets it where
/// the processor is emulated.
pub fn patience(usual: Duration) -> Duration {
    usual * slowness()
}

fn slowness() -> u32 {
    let Some(value) = env::var_os("NFTMESH_SLOWNESS") else { return 1 };
    let number = value.to_str().and_then(|value| value.parse().ok()).filter(|number| (1..=1000).contains(number));
    number.unwrap_or_else(|| panic!("NFTMESH_SLOWNESS={value:?}: not a number from 1 to 1000"))
}
