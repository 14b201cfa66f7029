//! Rates: what is within one whatever the time (net/netfilter/nft_limit.c, v6.12).
//!
//! A rate begins with a full bucket, and how fast it fills is a matter of time, which a walk does
//! not know. So what the bucket holds is within the rate, what is larger than the bucket is not,
//! and of the rest nothing can be told.

use super::inputs::CannotTell;
use crate::bytecode::LimitCode;

/// Whether a packet goes on at a limit from which so much was taken already, which it adds to.
pub(super) fn goes_on(limit: &LimitCode, taken: &mut u64, length: u32) -> Result<bool, CannotTell> {
    // Of `rate` in `unit`, time makes tokens.
    let LimitCode { rate, unit: _, burst, kind, flags } = *limit;
    let (bucket, cost) = match kind {
        PACKETS if burst == 0 => (DEFAULT_BURST, 1),
        PACKETS => (u64::from(burst), 1),
        BYTES => (rate.saturating_add(burst.into()), u64::from(length)),
        _ => return Err(CannotTell::new(format!("a limit of kind {kind} is not known here"))),
    };
    let is_within = match taken.saturating_add(cost) {
        sum if sum <= bucket => {
            *taken = sum;
            true
        }
        _ if cost > bucket => false,
        _ => return Err(CannotTell::new("whether the packet still comes within the rate: that is a matter of time")),
    };
    match flags {
        0 => Ok(is_within),
        INVERTED => Ok(!is_within),
        _ => Err(CannotTell::new(format!("a limit with flags {flags:#x} is not known here"))),
    }
}

// include/uapi/linux/netfilter/nf_tables.h
const PACKETS: u32 = 0;
const BYTES: u32 = 1;
const INVERTED: u32 = 1;
/// `NFT_LIMIT_PKT_BURST_DEFAULT`.
const DEFAULT_BURST: u64 = 5;
