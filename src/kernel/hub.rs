//! Everything that can be opened in a network namespace, with one method each, usable from any
//! thread.

use std::collections::BTreeMap;

#[cfg(feature = "sim")]
use super::host::host;
use super::legacy::legacy_tables;
use super::links::interfaces;
use super::live::Kernel;
use super::netns::NetNs;
#[cfg(feature = "mesh")]
use super::route_watch::RouteWatch;
#[cfg(feature = "mesh")]
use super::routes::RouteTable;
use super::trace::Trace;
use super::trace_filter::TraceFilter;
#[cfg(feature = "sim")]
use super::trace_steps::TraceSteps;
use super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::model::TableId;
#[cfg(feature = "sim")]
use crate::sim::Host;

/// Methods that open the objects of this crate in a namespace.
///
/// Sockets are opened on a short-lived thread inside the namespace; the caller's threads stay
/// where they are, and the results can be used from any of them. Each method fails with
/// [`is_permission`](crate::Error::is_permission) when the namespace may not be entered, see
/// [`NetNs::run`].
///
/// ```no_run
/// use nftmesh::prelude::*;
///
/// let pod = NetNs::from_path("/var/run/netns/pod-1")?;
/// let mut kernel = pod.kernel()?;
/// println!("{} tables", kernel.tables()?.len());
/// for event in pod.watch()? {
///     println!("{}", event?);
/// }
/// # Ok::<(), Error>(())
/// ```
impl NetNs {
    /// Opens a connection to nf_tables.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn kernel(&self) -> Result<Kernel> {
        self.run(Kernel::open)?
    }

    /// Watches changes of rule sets, with a receive buffer of up to 16 MiB.
    ///
    /// # Errors
    /// Those of [`Watch::open`].
    pub fn watch(&self) -> Result<Watch> {
        self.run(Watch::open)?
    }

    /// Traces packets.
    ///
    /// # Errors
    /// Those of [`Trace::open`].
    pub fn trace(&self, filter: TraceFilter) -> Result<Trace> {
        self.run(|| Trace::open(filter))?
    }

    /// Opens a converter from messages of a trace to the steps of a walk.
    ///
    /// # Errors
    /// When the kernel cannot be read.
    #[cfg(feature = "sim")]
    pub fn trace_steps(&self) -> Result<TraceSteps> {
        TraceSteps::of(self)
    }

    /// Reads addresses, routes and switches, for a walk.
    ///
    /// # Errors
    /// Those of [`host`].
    #[cfg(feature = "sim")]
    pub fn host(&self) -> Result<Host> {
        self.run(host)?
    }

    /// Opens the policy routes.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    #[cfg(feature = "mesh")]
    pub fn routes(&self) -> Result<RouteTable> {
        self.run(RouteTable::open)?
    }

    /// Watches changes of routes and addresses.
    ///
    /// # Errors
    /// Those of [`RouteWatch::open`].
    #[cfg(feature = "mesh")]
    pub fn route_watch(&self) -> Result<RouteWatch> {
        self.run(RouteWatch::open)?
    }

    /// Returns the names of the interfaces, by index.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn interfaces(&self) -> Result<BTreeMap<u32, String>> {
        self.run(interfaces)?
    }

    /// Returns the index of the interface with this name, which `iif` and `oif` compare.
    ///
    /// # Errors
    /// [`is_not_found`](crate::Error::is_not_found) when there is no such interface.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let tunnel = NetNs::current()?.interface("wg0")?;
    /// let rule = Rule::new().oif(tunnel).accept();
    /// # Ok::<(), Error>(())
    /// ```
    pub fn interface(&self, name: &str) -> Result<u32> {
        let found = self.interfaces()?.into_iter().find(|(_, found)| found == name);
        found.map(|(index, _)| index).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("there is no interface {}; add it first", name.escape_debug()))
        })
    }

    /// Returns the tables of iptables-legacy, which nf_tables does not list.
    ///
    /// # Errors
    /// Those of [`legacy_tables`].
    pub fn legacy_tables(&self) -> Result<Vec<TableId>> {
        self.run(legacy_tables)?
    }
}
