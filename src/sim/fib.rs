//! What a `fib` expression asks: the address, mark and interface to look up, and the result
//! (net/netfilter/nft_fib.c, v6.12).

use std::net::IpAddr;

use super::inputs::CannotTell;
use crate::bytecode::{FibFlags, FibResult};
use crate::model::{NatKind, Protocol};

/// A lookup in the routing tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// Whether the source or the destination is looked up.
    pub(crate) end: NatKind,
    /// Whether the packet's mark is used.
    pub(crate) by_mark: ByMark,
    /// The only interface that is considered.
    pub(crate) device: Option<Device>,
    pub(crate) wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByMark {
    No,
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Incoming,
    Outgoing,
}

/// The value that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Whether there is an interface.
    Exists,
    /// Its index.
    Index,
    /// The type of the address.
    Kind,
    /// The name of the interface.
    Name,
}

impl Query {
    pub(crate) fn new(result: FibResult, flags: FibFlags) -> Result<Query, CannotTell> {
        let unknown =
            || CannotTell::new(format!("fib result {} with flags {:#x} is not known here", result.0, flags.0));
        let has = |flag: FibFlags| flags.0 & flag.0 != 0;
        let known = [FibFlags::SADDR, FibFlags::DADDR, FibFlags::MARK, FibFlags::IIF, FibFlags::OIF, FibFlags::PRESENT];
        let rest = known.iter().fold(flags.0, |rest, flag| rest & !flag.0);
        let end = match (has(FibFlags::SADDR), has(FibFlags::DADDR)) {
            (true, false) => NatKind::Snat,
            (false, true) => NatKind::Dnat,
            _ => return Err(unknown()),
        };
        let device = match (has(FibFlags::IIF), has(FibFlags::OIF)) {
            (false, false) => None,
            (true, false) => Some(Device::Incoming),
            (false, true) => Some(Device::Outgoing),
            (true, true) => return Err(unknown()),
        };
        let wanted = match (result, has(FibFlags::PRESENT)) {
            (FibResult::ADDRTYPE, false) => Wanted::Kind,
            (FibResult::OIF, false) => Wanted::Index,
            (FibResult::OIFNAME, false) => Wanted::Name,
            (FibResult::OIF | FibResult::OIFNAME, true) => Wanted::Exists,
            _ => return Err(unknown()),
        };
        let by_mark = if has(FibFlags::MARK) { ByMark::Yes } else { ByMark::No };
        if rest == 0 { Ok(Query { end, by_mark, device, wanted }) } else { Err(unknown()) }
    }

    /// `fib daddr type`, which every situation answers.
    pub(crate) const PLAIN: Query =
        Query { end: NatKind::Dnat, by_mark: ByMark::No, device: None, wanted: Wanted::Kind };
}

/// The answer of the routing tables to one `fib` expression about a packet; see
/// [`Situation::fib`](super::Situation::fib).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FibAnswer {
    /// The result that is asked for.
    pub result: FibResult,
    /// The address that is looked up, and how.
    pub flags: FibFlags,
    /// The bytes that it loads: 4 for a type or an index, 16 for a name.
    pub loads: Vec<u8>,
}

impl FibAnswer {
    /// Returns the answer to the expression with this result and these flags.
    #[must_use]
    pub fn new(result: FibResult, flags: FibFlags, loads: impl Into<Vec<u8>>) -> Self {
        FibAnswer { result, flags, loads: loads.into() }
    }
}

/// The parts of a packet that a host needs to answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) mark: u32,
    pub(crate) incoming: u32,
    pub(crate) outgoing: u32,
    pub(crate) protocol: Protocol,
}
