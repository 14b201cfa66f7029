//! The routes that TPROXY needs in addition to rules: marked packets are routed to this machine,
//! whatever their destination.
//!
//! Plain data; [`RouteTable`](crate::kernel::RouteTable) installs it. A plan prints as the
//! equivalent `ip` commands, in the order of installing: first what is not used yet, last the
//! rules, which activate it.

use std::fmt;
use std::net::Ipv6Addr;

use crate::error::{Error, Kind, Result};
use crate::model::IpFamily;

/// The IPv6 source address of connections that a proxy passes on unproxied. The IPv4 counterpart
/// `127.0.0.6` need not be added, because all of `127.0.0.0/8` is local.
pub const PASSTHROUGH6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// Policy routes and the passthrough address that a mesh needs; empty by default.
///
/// ```
/// use nftmesh::routes::{Families, RoutePlan, MarkRoute};
///
/// let plan = RoutePlan::new().tproxy(Families::Both, MarkRoute::new(1337, 133)?).passthrough6();
/// assert_eq!(
///     plan.to_string(),
///     "ip -6 addr add ::6/128 dev lo nodad\n\
///      ip route add local default dev lo table 133\n\
///      ip -6 route add local default dev lo table 133\n\
///      ip rule add fwmark 1337 lookup 133\n\
///      ip -6 rule add fwmark 1337 lookup 133\n"
/// );
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePlan {
    tproxy: Option<(Families, MarkRoute)>,
    passthrough: Passthrough,
    ipv6: Ipv6,
}

impl RoutePlan {
    /// Returns an empty plan.
    #[must_use]
    pub fn new() -> Self {
        RoutePlan::default()
    }

    /// Routes packets of these families that carry the mark to this machine.
    #[must_use]
    pub fn tproxy(mut self, families: Families, tproxy: MarkRoute) -> Self {
        self.tproxy = Some((families, tproxy));
        self
    }

    /// Adds [`PASSTHROUGH6`] to `lo`, so that a proxy can bind it.
    #[must_use]
    pub fn passthrough6(mut self) -> Self {
        self.passthrough = Passthrough::Ipv6;
        self
    }

    /// Leaves IPv6 entries out where IPv6 is disabled on `lo` (`net.ipv6.conf.lo.disable_ipv6`),
    /// instead of failing there.
    #[must_use]
    pub fn ipv6_where_enabled(mut self) -> Self {
        self.ipv6 = Ipv6::WhereEnabled;
        self
    }

    /// Returns whether IPv6 entries are left out where IPv6 is disabled on `lo`.
    #[must_use]
    pub fn is_ipv6_optional(&self) -> bool {
        self.ipv6 == Ipv6::WhereEnabled
    }

    /// Returns whether there is nothing to install.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Returns the entries in the order of installing.
    #[must_use]
    pub fn entries(&self) -> Vec<RouteEntry> {
        let RoutePlan { tproxy, passthrough, ipv6: _ } = self;
        let mut entries = match passthrough {
            Passthrough::None => vec![],
            Passthrough::Ipv6 => vec![RouteEntry::Passthrough6],
        };
        if let Some((families, MarkRoute { mark, mask, priority, table })) = *tproxy {
            let families = families.each();
            entries.extend(families.iter().map(|&family| RouteEntry::Route { family, table }));
            entries.extend(families.iter().map(|&family| RouteEntry::Rule { family, mark, mask, priority, table }));
        }
        entries
    }
}

/// Prints the equivalent `ip` commands, one per line.
impl fmt::Display for RoutePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries().iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

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
    pub(super) fn of_checked(mark: std::num::NonZeroU32, table: u32) -> Self {
        MarkRoute { mark: mark.get(), mask: u32::MAX, priority: None, table }
    }

    /// Creates a value from constants, which [`new`](Self::new), [`masked`](Self::masked) and
    /// [`at_priority`](Self::at_priority) would accept.
    pub(super) const fn of_constants(mark: u32, mask: u32, priority: u32, table: u32) -> Self {
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

/// The families that a plan applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "IP has these two")]
pub enum Families {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

impl Families {
    fn each(self) -> &'static [IpFamily] {
        match self {
            Families::Both => &[IpFamily::Ipv4, IpFamily::Ipv6],
            Families::Ipv4 => &[IpFamily::Ipv4],
            Families::Ipv6 => &[IpFamily::Ipv6],
        }
    }
}

/// Returns the `ip` command for this family.
fn command(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "ip",
        IpFamily::Ipv6 => "ip -6",
    }
}

/// One entry of a plan; prints as the `ip` command that adds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteEntry {
    /// [`PASSTHROUGH6`] on `lo`.
    Passthrough6,
    /// A route of everything to this machine.
    Route {
        /// The family of the table.
        family: IpFamily,
        /// The table's number.
        table: u32,
    },
    /// A rule that packets with this mark are routed by this table.
    Rule {
        /// The family of the packets.
        family: IpFamily,
        /// The mark.
        mark: u32,
        /// The bits of the mark that are compared.
        mask: u32,
        /// The rule's priority; `None` leaves it to the kernel.
        priority: Option<u32>,
        /// The table's number.
        table: u32,
    },
}

impl RouteEntry {
    /// Returns whether an entry that is there is the one wanted: equal, but for a priority that is
    /// not wanted in particular.
    pub(crate) fn is_wanted_as(&self, wanted: &RouteEntry) -> bool {
        match (*self, *wanted) {
            (RouteEntry::Rule { family, mark, mask, priority: _, table }, RouteEntry::Rule { priority: None, .. }) => {
                *wanted == RouteEntry::Rule { family, mark, mask, priority: None, table }
            }
            (found, wanted) => found == wanted,
        }
    }

    /// Returns the family that the entry belongs to.
    pub(crate) fn family(&self) -> IpFamily {
        match *self {
            RouteEntry::Passthrough6 => IpFamily::Ipv6,
            RouteEntry::Route { family, .. } | RouteEntry::Rule { family, .. } => family,
        }
    }
}

impl fmt::Display for RouteEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteEntry::Passthrough6 => write!(f, "ip -6 addr add {PASSTHROUGH6}/128 dev lo nodad"),
            RouteEntry::Route { family, table } => {
                write!(f, "{} route add local default dev lo table {table}", command(*family))
            }
            RouteEntry::Rule { family, mark, mask, priority, table } => {
                write!(f, "{} rule add fwmark ", command(*family))?;
                match *mask {
                    u32::MAX => write!(f, "{mark}")?,
                    mask => write!(f, "{mark:#x}/{mask:#x}")?,
                }
                write!(f, " lookup {table}")?;
                priority.map_or(Ok(()), |priority| write!(f, " priority {priority}"))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Passthrough {
    Ipv6,
    #[default]
    None,
}

/// Whether IPv6 entries are wanted where `lo` has no IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ipv6 {
    #[default]
    Everywhere,
    WhereEnabled,
}

/// The rule that looks up the table main: fib_default_rules_init, net/ipv4/fib_rules.c.
pub(crate) const MAIN_PRIORITY: u32 = 0x7ffe;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_plan_wants_nothing() {
        assert!(RoutePlan::new().is_empty());
        assert_eq!(RoutePlan::new().to_string(), "");
        assert!(!RoutePlan::new().passthrough6().is_empty());
    }

    #[test]
    fn a_plan_for_one_family_leaves_the_other_alone() {
        let tproxy = MarkRoute::new(0x539, 1000).expect("is valid");
        assert_eq!(
            RoutePlan::new().tproxy(Families::Ipv4, tproxy).to_string(),
            "ip route add local default dev lo table 1000\nip rule add fwmark 1337 lookup 1000\n"
        );
        assert_eq!(
            RoutePlan::new().tproxy(Families::Ipv6, tproxy).to_string(),
            "ip -6 route add local default dev lo table 1000\nip -6 rule add fwmark 1337 lookup 1000\n"
        );
    }

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
