//! A mark, and the routing table of packets that carry it.

use crate::error::{Error, Kind, Result};

/// A packet mark and the routing table for packets that carry it.
///
/// ```
/// use nftmesh::routes::{Families, MarkRoute, RoutePlan};
///
/// let answers = MarkRoute::new(0x111, 100)?.masked(0xfff)?.at_priority(32764)?;
/// assert_eq!(
///     RoutePlan::new().tproxy(Families::Ipv4, answers).to_string(),
///     "ip route add local default dev lo table 100\n\
///      ip rule add fwmark 0x111/0xfff lookup 100 priority 32764\n"
/// );
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkRoute {
    mark: u32,
    mask: u32,
    priority: Option<u32>,
    table: u32,
}

impl MarkRoute {
    /// Creates a value from numbers that were checked when they were read, as [`new`](Self::new)
    /// checks them.
    pub(crate) fn of_checked(mark: std::num::NonZeroU32, table: u32) -> Self {
        MarkRoute { mark: mark.get(), mask: u32::MAX, priority: None, table }
    }

    /// Creates a value from constants, which [`new`](Self::new), [`masked`](Self::masked) and
    /// [`at_priority`](Self::at_priority) would accept.
    pub(crate) const fn of_constants(mark: u32, mask: u32, priority: u32, table: u32) -> Self {
        MarkRoute { mark, mask, priority: Some(priority), table }
    }

    /// Creates a value. The mark is compared in full, all 32 bits, unless it is
    /// [`masked`](Self::masked); the table is any number that the system does not use.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when the mark is 0, which every unmarked packet carries,
    /// or when the table is 0, 253 (default), 254 (main) or 255 (local): a local default route
    /// there takes the whole machine off the network.
    pub fn new(mark: u32, table: u32) -> Result<Self> {
        if mark == 0 {
            return Err(Error::new(
                Kind::Invalid,
                "tproxy mark 0: every unmarked packet carries it; choose 1 to 4294967295",
            ));
        }
        // enum rt_class_t, include/uapi/linux/rtnetlink.h
        let meaning = match table {
            0 => "unspec",
            253 => "default",
            254 => "main",
            255 => "local",
            _ => return Ok(MarkRoute { mark, mask: u32::MAX, priority: None, table }),
        };
        Err(Error::new(
            Kind::Invalid,
            format!("tproxy table {table}: that is the table {meaning} of every packet; choose another, such as 133"),
        ))
    }

    /// Compares only the bits of the mark under `mask`.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when the mark has bits outside the mask, which would not
    /// be compared.
    pub fn masked(self, mask: u32) -> Result<Self> {
        let MarkRoute { mark, .. } = self;
        match mark & !mask {
            0 => Ok(MarkRoute { mask, ..self }),
            _ => Err(Error::new(
                Kind::Invalid,
                format!(
                    "mark {mark:#x}/{mask:#x}: the mask leaves out bits of the mark; choose a mask that has them all"
                ),
            )),
        }
    }

    /// Sets the priority of the policy rule; without it the kernel puts the rule before those that
    /// are there.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) for 0, where the table local is looked up, and for 32766
    /// and above: the table main, looked up there, has a route for every packet.
    pub fn at_priority(self, priority: u32) -> Result<Self> {
        match priority {
            1..MAIN_PRIORITY => Ok(MarkRoute { priority: Some(priority), ..self }),
            _ => Err(Error::new(
                Kind::Invalid,
                format!(
                    "priority {priority}: such a rule comes after the table main, or with the table local; choose 1 to 32765"
                ),
            )),
        }
    }

    /// Returns the mark, as in `meta mark`.
    #[must_use]
    pub fn mark(self) -> u32 {
        self.mark
    }

    /// Returns the bits of the mark that are compared.
    #[must_use]
    pub fn mask(self) -> u32 {
        self.mask
    }

    /// Returns the priority of the policy rule, if it is set.
    #[must_use]
    pub fn priority(self) -> Option<u32> {
        self.priority
    }

    /// Returns the number of the routing table.
    #[must_use]
    pub fn table(self) -> u32 {
        self.table
    }
}

/// The rule that looks up the table main: fib_default_rules_init, net/ipv4/fib_rules.c.
pub(crate) const MAIN_PRIORITY: u32 = 0x7ffe;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_or_priority_without_effect_is_refused() {
        let route = MarkRoute::new(0x111, 100).expect("is valid");
        for error in [route.masked(0xff), route.masked(0), route.at_priority(0), route.at_priority(32766)] {
            let error = error.expect_err("has no effect");
            assert!(error.is_invalid() && error.to_string().contains("choose"), "{error}");
        }
        let route = route.masked(0xfff).and_then(|route| route.at_priority(32764)).expect("is valid");
        assert_eq!((route.mask(), route.priority()), (0xfff, Some(32764)));
    }

    #[test]
    fn a_mark_or_table_that_would_route_every_packet_is_refused() {
        for (mark, table) in [(0, 133), (1, 0), (1, 253), (1, 254), (1, 255)] {
            let error = MarkRoute::new(mark, table).expect_err("would take every packet");
            assert!(error.is_invalid());
            assert!(error.to_string().contains("choose"), "{error}");
        }
        for (mark, table) in [(1, 1), (u32::MAX, u32::MAX), (1337, 256)] {
            let tproxy = MarkRoute::new(mark, table).expect("is valid");
            assert_eq!((tproxy.mark(), tproxy.table()), (mark, table));
        }
    }
}
