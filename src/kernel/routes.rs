//! Installs a route plan and removes exactly what it installed, also from another process.
//!
//! ```text
//! add: address, route, rule (the rule last: before it nothing looks up the table)
//! remove: rule, route, address
//! ```
//! A partial installation cannot misroute packets, and nothing of others is ever removed.

use std::fmt;
use std::net::IpAddr;

use super::route_messages::{self as messages, Author, LOOPBACK};
use super::rtnetlink::{Failure, Rtnetlink, unreadable};
use crate::error::{Error, Kind, Result};
use crate::model::IpFamily;
use crate::routes::{RouteEntry, RoutePlan};

/// Policy routes and addresses of one network namespace.
///
/// What it adds carries [`PROTOCOL`](Self::PROTOCOL), so any process can distinguish it from what
/// others added. Equal entries of others count as present and are never changed. Source:
/// rtnetlink(7), ip-rule(8), ip-route(8).
///
/// ```no_run
/// use nftmesh::kernel::{NetNs, RouteTable};
/// use nftmesh::routes::{Families, RoutePlan, MarkRoute};
///
/// let plan = RoutePlan::new().tproxy(Families::Both, MarkRoute::new(1337, 133)?).passthrough6();
/// let mut routes = NetNs::from_path("/var/run/netns/pod-1")?.routes()?;
/// routes.remove_stale(&plan)?;
/// print!("{}", routes.add(&plan)?);
/// assert!(routes.missing(&plan)?.is_empty());
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct RouteTable {
    netlink: Rtnetlink,
}

impl RouteTable {
    /// The protocol number of all added entries, which `ip -d rule` and `ip route show table all`
    /// print. To name it, put the line `146 nftmesh` into /etc/iproute2/rt_protos.d/nftmesh.conf.
    #[doc(alias = "rtm_protocol")]
    pub const PROTOCOL: u8 = messages::PROTOCOL;

    /// Opens the routes of the calling thread's network namespace; the handle stays in it.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn open() -> Result<Self> {
        let netlink = Rtnetlink::open().map_err(|cause| Error::io("open a route socket", cause))?;
        Ok(RouteTable { netlink })
    }

    /// Adds the entries of the plan that are missing, whoever added the others; all or nothing.
    /// Adding the same plan again adds nothing.
    ///
    /// # Errors
    /// The entry that failed, and the reason; everything added before it has then been removed.
    /// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN`;
    /// [`is_unsupported`](Error::is_unsupported) when IPv6 or policy routing is disabled;
    /// [`is_conflict`](Error::is_conflict) when the table has another default route. `lo` must be
    /// up, and is never brought up here.
    pub fn add(&mut self, plan: &RoutePlan) -> Result<Added> {
        let mut added = Added::default();
        let missing = self.missing(plan)?;
        if let Some(&first) = missing.first() {
            self.loopback_is_up(first)?;
        }
        for entry in missing {
            match self.netlink.request(messages::add(entry), messages::ADD) {
                Ok(()) => added.entries.push(entry),
                // Another process added it first.
                Err(Failure::Refused { errno: libc::EEXIST, .. }) if self.is_present(entry)? => {}
                Err(failure) => return Err(self.take_back(added, entry, &failure)),
            }
        }
        Ok(added)
    }

    /// Returns the entries of the plan that are missing, in the order of adding; empty when in
    /// sync.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn missing(&mut self, plan: &RoutePlan) -> Result<Vec<RouteEntry>> {
        let mut wanted = self.wanted(plan)?;
        if !wanted.is_empty() {
            let present = self.present()?;
            wanted.retain(|wanted| !present.iter().any(|(entry, _)| entry.is_wanted_as(wanted)));
        }
        Ok(wanted)
    }

    /// Returns the entries of the plan that are wanted in this namespace.
    fn wanted(&mut self, plan: &RoutePlan) -> Result<Vec<RouteEntry>> {
        let mut wanted = plan.entries();
        let of_ipv6 = |entry: &RouteEntry| entry.family() == IpFamily::Ipv6;
        if plan.is_ipv6_optional() && wanted.iter().any(of_ipv6) {
            let mut enabled = true;
            self.netlink
                .query(messages::loopback(), |object| {
                    enabled = messages::has_ipv6(object);
                    Ok(())
                })
                .map_err(|failure| unreadable("state of lo", &failure))?;
            wanted.retain(|entry| enabled || !of_ipv6(entry));
        }
        Ok(wanted)
    }

    /// Returns whether all entries of the plan are present, and no other entry that this crate
    /// added.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn is_exact(&mut self, plan: &RoutePlan) -> Result<bool> {
        let (wanted, present) = (self.wanted(plan)?, self.present()?);
        let is_there = |wanted: &RouteEntry| present.iter().any(|(entry, _)| entry.is_wanted_as(wanted));
        Ok(wanted.iter().all(is_there) && !present.iter().any(|found| is_stale(found, &wanted)))
    }

    /// Removes exactly what one [`add`](Self::add) added, in reverse order. An entry that is
    /// already gone is not an error, and an equal rule or route that others put in its place
    /// stays.
    ///
    /// # Errors
    /// The entries that could not be removed; the others were.
    pub fn undo(&mut self, added: Added) -> Result<()> {
        self.remove(added.entries.into_iter().rev()).map(drop)
    }

    /// Removes the entries that this crate added here, in any process, and that the plan does not
    /// contain; returns them.
    ///
    /// Linux before 5.18 does not store the author of an address: there the passthrough address
    /// stays unless [`undo`](Self::undo) removes it.
    ///
    /// # Errors
    /// The entries that could not be removed; the others were.
    pub fn remove_stale(&mut self, plan: &RoutePlan) -> Result<Vec<RouteEntry>> {
        let stale = self.stale(plan)?;
        self.remove(stale.into_iter())
    }

    /// Returns what [`remove_stale`](Self::remove_stale) would remove, in its order.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn stale(&mut self, plan: &RoutePlan) -> Result<Vec<RouteEntry>> {
        let wanted = self.wanted(plan)?;
        let mut stale = self.present()?;
        stale.retain(|found| is_stale(found, &wanted));
        Ok(stale.into_iter().rev().map(|(entry, _)| entry).collect())
    }

    /// Removes everything that this crate added here, in any process; returns it.
    ///
    /// # Errors
    /// Those of [`remove_stale`](Self::remove_stale).
    pub fn remove_all(&mut self) -> Result<Vec<RouteEntry>> {
        self.remove_stale(&RoutePlan::new())
    }

    /// Returns the addresses of the namespace, in the kernel's order: IPv4 first.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn local_addresses(&mut self) -> Result<Vec<LocalAddress>> {
        self.netlink
            .dump(messages::addresses(), |found: &mut Vec<_>, object| {
                found.extend(
                    messages::recognise_address(object)?.map(|(address, interface, prefix, _)| LocalAddress {
                        address,
                        interface,
                        prefix,
                    }),
                );
                Ok(())
            })
            .map_err(|failure| unreadable("addresses", &failure))
    }

    /// Fails if `lo` is down. IPv6 refuses entries that need it then; IPv4 accepts them, and no
    /// packet arrives.
    fn loopback_is_up(&mut self, first: RouteEntry) -> Result<()> {
        let mut up = false;
        let asked = self.netlink.query(messages::loopback(), |object| {
            up = messages::is_up(object)?;
            Ok(())
        });
        match asked {
            Ok(()) if up => Ok(()),
            Ok(()) => Err(refused(first, Doing::Add, &Failure::Refused { errno: libc::ENETDOWN, words: None })),
            Err(failure) => Err(unreadable("state of lo", &failure)),
        }
    }

    fn is_present(&mut self, wanted: RouteEntry) -> Result<bool> {
        Ok(self.present()?.iter().any(|(entry, _)| entry.is_wanted_as(&wanted)))
    }

    /// Returns every entry that a plan can contain, with its author, in the order of adding.
    fn present(&mut self) -> Result<Vec<(RouteEntry, Author)>> {
        let mut present = self
            .netlink
            .dump(messages::addresses(), |found: &mut Vec<_>, object| {
                let address = messages::recognise_address(object)?;
                found.extend(
                    address
                        .filter(|&(address, interface, ..)| messages::is_passthrough6(address, interface))
                        .map(|(.., author)| (RouteEntry::Passthrough6, author)),
                );
                Ok(())
            })
            .map_err(|failure| unreadable("addresses", &failure))?;
        for family in FAMILIES {
            present.extend(self.dump(messages::routes(family), family, messages::recognise_route, "routes")?);
        }
        for family in FAMILIES {
            present.extend(self.dump(messages::rules(family), family, messages::recognise_rule, "rules")?);
        }
        Ok(present)
    }

    fn dump(
        &mut self,
        request: netlink_packet_route::RouteNetlinkMessage,
        family: IpFamily,
        recognise: impl Fn(&[u8]) -> Result<Option<(RouteEntry, Author)>, Failure>,
        what: &str,
    ) -> Result<Vec<(RouteEntry, Author)>> {
        let found = self.netlink.dump(request, |found: &mut Vec<_>, object| {
            found.extend(recognise(object)?.filter(|(entry, _)| entry.family() == family));
            Ok(())
        });
        match found {
            // Without the family or policy routing there are none.
            Err(Failure::Refused { errno: libc::EAFNOSUPPORT | libc::EOPNOTSUPP, .. }) => Ok(vec![]),
            found => found.map_err(|failure| unreadable(what, &failure)),
        }
    }

    fn remove(&mut self, entries: impl Iterator<Item = RouteEntry>) -> Result<Vec<RouteEntry>> {
        let mut removed = vec![];
        let mut failed: Option<Error> = None;
        for entry in entries {
            match self.netlink.request(messages::remove(entry), 0) {
                Ok(()) => removed.push(entry),
                Err(Failure::Refused { errno: GONE_RULE | GONE_ROUTE | GONE_ADDRESS, .. }) => {}
                Err(failure) => {
                    let error = refused(entry, Doing::Remove, &failure);
                    failed = Some(match failed {
                        None => error,
                        Some(first) => Error::new(first.kind(), format!("{first}; {error}")),
                    });
                }
            }
        }
        failed.map_or(Ok(removed), Err)
    }

    fn take_back(&mut self, added: Added, entry: RouteEntry, failure: &Failure) -> Error {
        let error = refused(entry, Doing::Add, failure);
        match self.undo(added) {
            Ok(()) => error,
            Err(left) => {
                Error::new(error.kind(), format!("{error}; and what was added before it is still there: {left}"))
            }
        }
    }
}

/// The entries that one [`RouteTable::add`] added, in order; [`RouteTable::undo`] removes them.
/// Prints as `ip` commands, one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "undo needs it"]
pub struct Added {
    entries: Vec<RouteEntry>,
}

impl Added {
    /// Returns the entries in the order of adding; empty when all were present.
    #[must_use]
    pub fn entries(&self) -> &[RouteEntry] {
        &self.entries
    }
}

impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// A local address of the namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalAddress {
    /// The address; on a point-to-point link that of this end.
    pub address: IpAddr,
    /// Index of its interface, from 1; 1 is `lo`.
    pub interface: u32,
    /// The length of its network prefix, in bits.
    pub prefix: u8,
}

impl LocalAddress {
    /// Returns whether it is on `lo` or in a loopback range; the passthrough address `::6` is only
    /// the former.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.interface == LOOPBACK || self.address.is_loopback()
    }

    /// Returns whether it is in `169.254.0.0/16` or `fe80::/10`.
    #[must_use]
    pub fn is_link_local(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
    }
}

#[derive(Clone, Copy)]
enum Doing {
    Add,
    Remove,
}

/// Returns whether an entry of ours is not wanted.
fn is_stale((entry, author): &(RouteEntry, Author), wanted: &[RouteEntry]) -> bool {
    *author == Author::Us && !wanted.iter().any(|wanted| entry.is_wanted_as(wanted))
}

/// Returns an error with the equivalent command, the reason and the remedy.
fn refused(entry: RouteEntry, doing: Doing, failure: &Failure) -> Error {
    let mut command = entry.to_string();
    if let Doing::Remove = doing {
        command = command.replacen(" add ", " del ", 1);
    }
    let Failure::Refused { errno, .. } = failure else {
        return Error::new(Kind::Other, format!("{command}: {failure}"));
    };
    let (kind, why) = match (*errno, entry.family(), entry) {
        (libc::ENETDOWN, ..) => {
            (Kind::Other, r#"lo is down (ENETDOWN); bring it up with "ip link set lo up""#.to_owned())
        }
        (libc::EPERM, ..) => {
            let owner = "the user namespace that owns the network namespace";
            (Kind::Permission, format!("not permitted (EPERM); needs CAP_NET_ADMIN in {owner}"))
        }
        (libc::EACCES, IpFamily::Ipv6, _) => {
            let remedy = r#""sysctl -w net.ipv6.conf.lo.disable_ipv6=0", or leave IPv6 out of the plan"#;
            (Kind::Unsupported, format!("IPv6 is disabled on lo (EACCES); {remedy}"))
        }
        (libc::EAFNOSUPPORT | libc::EOPNOTSUPP, IpFamily::Ipv6, _) => (
            Kind::Unsupported,
            "this kernel runs without IPv6, or without its policy routing; leave IPv6 out of the plan".to_owned(),
        ),
        (libc::EAFNOSUPPORT | libc::EOPNOTSUPP, IpFamily::Ipv4, _) => {
            (Kind::Unsupported, "this kernel has no policy routing; it needs CONFIG_IP_MULTIPLE_TABLES".to_owned())
        }
        (libc::EEXIST, _, RouteEntry::Route { table, .. }) => {
            let remedy = format!(r#"see "ip route show table {table}", or choose another table"#);
            (Kind::Conflict, format!("the table has another default route (EEXIST); {remedy}"))
        }
        (errno, ..) => (Kind::of_errno(errno), failure.to_string()),
    };
    Error::new(kind, format!("{command}: {why}"))
}

const FAMILIES: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];
// The kernel's answers when a rule, a route or an address to be removed does not exist.
const GONE_RULE: i32 = libc::ENOENT;
const GONE_ROUTE: i32 = libc::ESRCH;
const GONE_ADDRESS: i32 = libc::EADDRNOTAVAIL;

#[cfg(test)]
mod tests;
