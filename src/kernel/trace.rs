//! Traces live packets through the rule sets, rule by rule.
//!
//! The kernel traces packets that a rule has marked (`meta nftrace set 1`). These rules are in a
//! separate table, which is owned by a socket (`NFT_TABLE_F_OWNER`): nobody else can change it,
//! and if the process ends in any way without deleting it, the kernel deletes it with the socket.
//! The table enables nothing else and never decides about packets.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::listener::{Listener, Reported, failed};
use super::live::Kernel;
use super::netns::NetNs;
use super::trace_filter::TraceFilter;
use crate::error::Result;
use crate::model::{Family, Ruleset, TableId};
use crate::netlink;
use crate::plan::Transaction;
use crate::state::TraceEvent;
use crate::sys::socket::Wait;

/// Reports what packets of one network namespace do, until this value is dropped.
///
/// As an iterator it waits for the next step and never ends. To wait for other events too, wait
/// until the descriptor ([`AsFd`], [`AsRawFd`]) is readable, with poll(2), mio or tokio's
/// `AsyncFd`, and then call [`try_next`](Self::try_next) until it returns `None`.
///
/// The kernel reports to all listeners: several traces of a namespace, and `nft monitor trace`,
/// also see the packets marked by another trace or by a rule with `meta nftrace set 1`, and the
/// table `nftmesh-trace-...` of another trace. Reports about this trace's own table are skipped.
///
/// A message that does not fit into the receive buffer is lost, which is reported as
/// [`TraceEvent::Overflow`]. On a busy machine, select fewer packets or set a limit, see
/// [`TraceFilter`].
///
/// Opening and dropping it are commits like any other, so a plan that another program made in
/// between must be made again. Dropping takes the kernel 8 to 24 ms.
///
/// ```no_run
/// use nftmesh::kernel::{Kernel, TraceFilter};
/// use nftmesh::model::Rule;
///
/// let kernel = Kernel::open()?;
/// for event in kernel.trace(TraceFilter::from(Rule::new().tcp_dport(15001)))? {
///     println!("{}", event?);
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[doc(alias = "monitor trace")]
#[derive(Debug)]
pub struct Trace {
    table: TableId,
    /// The socket that owns the table.
    owner: Kernel,
    listener: Listener<TraceEvent>,
}

impl Reported for TraceEvent {
    const OVERFLOW: Self = TraceEvent::Overflow;
    const DOING: &'static str = "trace nf_tables";
}

impl Trace {
    /// Opens a trace in the calling thread's network namespace, with a receive buffer of up to 16
    /// MiB.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for a filter that does not
    /// [`validate`](TraceFilter::validate), [`is_permission`](crate::Error::is_permission) without
    /// `CAP_NET_ADMIN`, [`is_unsupported`](crate::Error::is_unsupported) when this kernel does not
    /// delete tables with their owner (Linux 5.12): a table that could be left behind is never
    /// added.
    pub fn open(filter: TraceFilter) -> Result<Self> {
        filter.validate()?;
        // Before the table, so that no marked packet is missed.
        let listener = Listener::join(NFNLGRP_NFTRACE)?;
        let mut owner = Kernel::open()?;
        let table = filter.table(format!("nftmesh-trace-{}", owner.socket.port_id()))?;
        let id = TableId::new(Family::Inet, &table.name);
        owner.commit(&Transaction::add(Ruleset::new().table(table)))?;
        Ok(Trace { table: id, owner, listener })
    }

    /// Returns the table that marks the packets; it is visible to others.
    #[must_use]
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// Makes room for `bytes` of queued messages, see
    /// [`Watch::receive_buffer`](super::Watch::receive_buffer). A message takes 1,280 bytes;
    /// messages about this trace's own table, one or two for each packet on its way in and out,
    /// take room too.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn receive_buffer(&mut self, bytes: usize) -> Result<usize> {
        self.listener.receive_buffer(bytes)
    }

    /// Returns the next event if there is one already.
    ///
    /// # Errors
    /// When the socket cannot be read. A loss of messages is not an error but
    /// [`TraceEvent::Overflow`].
    pub fn try_next(&mut self) -> Result<Option<TraceEvent>> {
        self.take(Wait::DontWait)
    }

    fn take(&mut self, wait: Wait) -> Result<Option<TraceEvent>> {
        let Trace { table, owner: _, listener } = self;
        listener.take(wait, |message| {
            let event = netlink::trace(message);
            let own = matches!(&event, TraceEvent::Message(message) if message.table == *table);
            (!own).then_some(event)
        })
    }
}

impl Kernel {
    /// Traces packets in the network namespace of this kernel, with a separate table and separate
    /// sockets; this kernel stays usable. See [`Trace`] for how to wait, and
    /// `TraceSteps` for the steps of a walk.
    ///
    /// # Errors
    /// Those of [`NetNs::trace`].
    pub fn trace(&self, filter: TraceFilter) -> Result<Trace> {
        let namespace = self.socket.namespace().map_err(failed::<TraceEvent>)?;
        NetNs::from_fd(namespace)?.trace(filter)
    }
}

/// Deletes the table, so that everybody who watches is notified.
impl Drop for Trace {
    fn drop(&mut self) {
        // If this fails, the kernel deletes the table with the socket.
        drop(self.owner.commit(&Transaction::new().delete_table(&self.table)));
    }
}

/// Waits for the next event; never returns `None`.
impl Iterator for Trace {
    type Item = Result<TraceEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(Wait::Block).transpose()
    }
}

impl AsFd for Trace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for Trace {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// include/uapi/linux/netfilter/nfnetlink.h
const NFNLGRP_NFTRACE: u32 = 9;
