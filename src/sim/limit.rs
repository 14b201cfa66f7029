//! Rate limits: which packets are within one regardless of time (net/netfilter/nft_limit.c, v6.12).
//!
//! A limit starts with a full bucket, and how fast it refills depends on time, which a walk does
//! not know. So what fits in the bucket is within the limit, a packet larger than the bucket is
//! not, and the rest is not known.

use super::inputs::CannotTell;
use crate::bytecode::LimitCode;

/// Returns whether a packet passes a limit from which `taken` was used, and adds to that.
pub(super) fn goes_on(limit: &LimitCode, taken: &mut u64, length: u32) -> Result<bool, CannotTell> {
    // With time, `rate` tokens are added per `unit`.
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
