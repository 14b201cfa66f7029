//! A mesh in a pod: rules and routes together, all or nothing.
//!
//! Routes go in first and come out last. A route in a table of its own is inert until a packet carries the mark, and only the rules set
//! marks; so nothing half done can misroute, and what a failing commit leaves behind is taken back.

use super::live::Kernel;
use super::netns::NetNs;
use super::routes::{LocalAddress, RouteTable};
use crate::error::Result;
use crate::mesh::istio::{Host, IstioConfig, TABLES};
use crate::mesh::routes::{RouteEntry, RoutePlan};
use crate::model::{Family, Ruleset};
use crate::plan::{TableId, Transaction};

/// The network namespace of a pod, in which an Istio sidecar is installed or removed.
///
/// ```no_run
/// use nftmesh::kernel::{NetNs, Pod};
/// use nftmesh::mesh::istio::{IstioConfig, RawOptions};
///
/// let mut pod = Pod::open_in(&NetNs::from_path("/var/run/netns/pod-1")?)?;
/// let config = IstioConfig::resolve(&RawOptions::from_env()?, &pod.host()?)?;
/// pod.install(&config)?;
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Pod {
    kernel: Kernel,
    routes: RouteTable,
    /// Whether there are rules of the older kind for IPv6, which nf_tables does not show.
    legacy_ipv6: bool,
}

/// What an installation or a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Tables made anew.
    pub installed: Vec<TableId>,
    /// Tables deleted, those made anew among them.
    pub removed: Vec<TableId>,
    /// Routes, policy rules and addresses added.
    pub routes_added: Vec<RouteEntry>,
    /// Routes, policy rules and addresses removed.
    pub routes_removed: Vec<RouteEntry>,
}

impl Pod {
    /// Of the calling thread's network namespace.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn open() -> Result<Self> {
        let legacy = std::fs::read_to_string("/proc/thread-self/net/ip6_tables_names");
        let legacy_ipv6 = legacy.is_ok_and(|tables| !tables.trim().is_empty());
        Ok(Pod { kernel: Kernel::open()?, routes: RouteTable::open()?, legacy_ipv6 })
    }

    /// Of another network namespace.
    ///
    /// # Errors
    /// [`is_permission`](crate::Error::is_permission) when it may not be entered, see [`NetNs::run`].
    pub fn open_in(namespace: &NetNs) -> Result<Self> {
        namespace.run(Pod::open)?
    }

    /// Its nf_tables.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Its addresses as a configuration wants them: in the kernel's order, without those of lo.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn addresses(&mut self) -> Result<Vec<std::net::IpAddr>> {
        let local = self.routes.local_addresses()?;
        let outside = |address: &LocalAddress| !address.is_loopback() && !address.is_link_local();
        Ok(local.into_iter().filter(outside).map(|address| address.address).collect())
    }

    /// What a configuration needs to know of the pod and of this machine's files, see [`Host::read`].
    ///
    /// # Errors
    /// When the kernel can't be asked, or a file can't be read.
    pub fn host(&mut self) -> Result<Host> {
        let mut host = Host::read(self.addresses()?)?;
        let sees_ipv6 = |table: &TableId| matches!(table.family, Family::Inet | Family::Ip6) && !is_ours(table);
        let tables = match self.kernel.tables() {
            // Who may not look may not install either; what would be installed can be told all the same.
            Err(error) if error.is_permission() => Vec::new(),
            tables => tables?,
        };
        host.others_track_ipv6 = self.legacy_ipv6 || tables.iter().any(sees_ipv6);
        Ok(host)
    }

    /// Makes the sidecar of `config` what is installed, whatever configuration was installed before: one transaction leaves exactly
    /// its tables, and its routes are there before the rules that need them and gone after those that did.
    ///
    /// # Errors
    /// Those of [`RouteTable::add`] and [`Kernel::commit`]; nothing is changed then. When only stale routes could not be removed, the
    /// error says that the rules are in place.
    pub fn install(&mut self, config: &IstioConfig) -> Result<Changes> {
        let routes = RoutePlan::from(config);
        let rules = Ruleset::from(config);
        let added = self.routes.add(&routes)?;
        let mut changes = Changes { routes_added: added.entries().to_vec(), ..Changes::default() };
        match self.replace(&rules) {
            Ok((installed, removed)) => (changes.installed, changes.removed) = (installed, removed),
            Err(error) => {
                return Err(match self.routes.undo(added) {
                    Ok(()) => error,
                    Err(undo) => undo.after(&error),
                });
            }
        }
        changes.routes_removed =
            self.routes.remove_stale(&routes).map_err(|error| error.context("the rules are installed"))?;
        Ok(changes)
    }

    /// Removes everything that [`install`](Self::install) ever put here, in one transaction, and then its routes.
    ///
    /// # Errors
    /// Those of [`Kernel::commit`] and [`RouteTable::remove_all`]; when only routes could not be removed, the error says that the rules
    /// are gone.
    pub fn remove(&mut self) -> Result<Changes> {
        let (_, removed) = self.replace(&Ruleset::new())?;
        let routes_removed = self.routes.remove_all().map_err(|error| error.context("the rules are removed"))?;
        Ok(Changes { removed, routes_removed, ..Changes::default() })
    }

    /// One transaction that leaves of our tables exactly these. What is not there is not deleted, because the kernel makes programs
    /// wait after a deletion; so it must be known what is there, and that nobody changed it meanwhile.
    fn replace(&mut self, rules: &Ruleset) -> Result<(Vec<TableId>, Vec<TableId>)> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            let generation = self.kernel.generation()?;
            let mut present = self.kernel.tables()?;
            present.retain(is_ours);
            let gone = present.iter().fold(Transaction::new().at_generation(generation), Transaction::delete_table);
            let transaction = rules.tables.iter().cloned().fold(gone, Transaction::create);
            match self.kernel.commit(&transaction) {
                Ok(()) => return Ok((rules.tables.iter().map(TableId::from).collect(), present)),
                Err(error) if error.is_conflict() && attempts.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_ours(table: &TableId) -> bool {
    table.family == Family::Inet && TABLES.contains(&table.name.as_str())
}

/// How often a commit is tried again when others commit at the same time.
const ATTEMPTS: u32 = 100;
