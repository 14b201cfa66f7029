//! The routes that TPROXY needs in addition to rules: marked packets are routed to this machine,
//! whatever their destination.
//!
//! Routes to anywhere else, such as a VPN's table for packets without its mark, are none of these:
//! a program adds them with `ip` or a library for rtnetlink.
//!
//! Plain data; [`RouteTable`](crate::kernel::RouteTable) installs it. A plan prints as the
//! equivalent `ip` commands, in the order of installing: first what is not used yet, last the
//! rules, which activate it.

mod mark_route;

use std::fmt;
use std::net::Ipv6Addr;

pub(crate) use mark_route::MAIN_PRIORITY;
pub use mark_route::MarkRoute;

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
        if let Some((families, route)) = *tproxy {
            let (mark, mask, priority, table) = (route.mark(), route.mask(), route.priority(), route.table());
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
}
