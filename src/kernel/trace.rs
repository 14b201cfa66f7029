//! Tracing: what live packets do in the rule sets, rule by rule.
//!
//! The kernel traces packets that a rule has marked (`meta nftrace set 1`). Those rules stand in a
//! table of our own, which belongs to a socket (`NFT_TABLE_F_OWNER`): nobody else can change it,
//! and when the process ends without taking it away, by whatever means, the kernel does with the
//! socket. It switches nothing on and decides nothing.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::listener::{Listener, Told, failed};
use super::live::Kernel;
use super::netns::NetNs;
use super::trace_filter::TraceFilter;
use crate::error::Result;
use crate::model::{Family, Ruleset, TableId};
use crate::netlink;
use crate::plan::Transaction;
use crate::state::TraceEvent;
use crate::sys::socket::Wait;

/// What packets of one network namespace do from now on, until this is dropped.
///
/// As an iterator it waits for the next step and never ends. To wait for other things too, wait
/// until the descriptor ([`AsFd`], [`AsRawFd`]) is readable, with poll(2), mio or tokio's
/// `AsyncFd`, and then call [`try_next`](Self::try_next) until it returns `None`.
///
/// The kernel tells everybody of everything: several traces of a namespace, and `nft monitor
/// trace`, see also the packets that another one, or a rule with `meta nftrace set 1`, has marked,
/// and the table `nftmesh-trace-...` of another trace. What is told of the own table is left out.
///
/// A message that does not fit into the receive buffer is lost, and that is told:
/// [`TraceEvent::Overflow`]. On a busy machine, ask for fewer packets or set a limit, see
/// [`TraceFilter`].
///
/// Opening and dropping it are commits like any other: a plan that somebody else has made meanwhile
/// has to be made again. Dropping takes the kernel 8 to 24 ms.
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
#[derive(Debug)]
pub struct Trace {
    table: TableId,
    /// Owns the table.
    owner: Kernel,
    listener: Listener<TraceEvent>,
}

impl Told for TraceEvent {
    const OVERFLOW: Self = TraceEvent::Overflow;
    const DOING: &'static str = "trace nf_tables";
}

impl Trace {
    /// In the calling thread's network namespace, with a receive buffer of 16 MiB, or as much as
    /// one may have.
    ///
    /// # Errors
    /// [`is_invalid`](crate::Error::is_invalid) for a filter that does not
    /// [`validate`](TraceFilter::validate), [`is_permission`](crate::Error::is_permission)
    /// without `CAP_NET_ADMIN`, [`is_unsupported`](crate::Error::is_unsupported) when this kernel
    /// has no tables that go with their owner (Linux 5.12): a table that could stay behind is
    /// never made.
    pub fn open(filter: TraceFilter) -> Result<Self> {
        filter.validate()?;
        // Before the table: nothing is marked that nobody hears of.
        let listener = Listener::join(NFNLGRP_NFTRACE)?;
        let mut owner = Kernel::open()?;
        let table = filter.table(format!("nftmesh-trace-{}", owner.socket.port_id()))?;
        let id = TableId::new(Family::Inet, &table.name);
        owner.commit(&Transaction::add(Ruleset::new().table(table)))?;
        Ok(Trace { table: id, owner, listener })
    }

    /// The table that marks the packets; others see it among theirs.
    #[must_use]
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// Makes room for `bytes` of messages that wait, see
    /// [`Watch::receive_buffer`](super::Watch::receive_buffer). One takes 1,280, and
    /// those of the own table, one or two for each packet on its way in and out, take room too.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn receive_buffer(&mut self, bytes: usize) -> Result<usize> {
        self.listener.receive_buffer(bytes)
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// When the socket can't be read. Lost messages are no error but [`TraceEvent::Overflow`].
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
    /// Traces packets in the network namespace of this kernel, with a table and sockets of its own:
    /// this kernel stays free. See [`Trace`] for how to wait, and
    /// [`TraceSteps`](super::TraceSteps) for the same in the words of a walk.
    ///
    /// # Errors
    /// Those of [`NetNs::trace`].
    pub fn trace(&self, filter: TraceFilter) -> Result<Trace> {
        let namespace = self.socket.namespace().map_err(failed::<TraceEvent>)?;
        NetNs::from_fd(namespace)?.trace(filter)
    }
}

/// Takes the table away, so that everybody who watches is told.
impl Drop for Trace {
    fn drop(&mut self) {
        // What fails here the kernel makes good: the table goes with the socket.
        drop(self.owner.commit(&Transaction::new().delete_table(&self.table)));
    }
}

/// Waits; never `None`.
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
