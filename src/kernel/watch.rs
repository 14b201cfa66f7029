//! Watches every commit in a network namespace, as events.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::listener::{Listener, Reported, failed};
use super::live::Kernel;
use super::netns::NetNs;
use crate::error::Result;
use crate::model::{ChainId, RuleHandle};
use crate::netlink;
use crate::state::{AddedAt, Event};
use crate::sys::socket::Wait;

/// The commits of one network namespace from now on.
///
/// As an iterator it waits for the next event and never ends. To wait for other events too, wait
/// until the descriptor ([`AsFd`], [`AsRawFd`]) is readable, with poll(2), mio or tokio's
/// `AsyncFd`, and then call [`try_next`](Self::try_next) until it returns `None`. The descriptor
/// stays the same and open for as long as the value lives, which is what the unsafe
/// `AsyncFd::register` of newer versions of tokio requires.
///
/// Events print as nft writes them. [`Event::rule`] and [`Event::elements`] return rules and
/// elements as values. Open the watch before reading the state, so that no change is missed in
/// between.
///
/// An event that does not fit into the receive buffer is lost, which is reported as
/// [`Event::Overflow`]: read everything again, see [`Kernel::snapshot`], and compare by
/// [`plan::diff`](crate::plan::diff). The events of one rule or element take 100 to some hundred
/// bytes.
///
/// ```no_run
/// use nftmesh::kernel::Watch;
/// use nftmesh::state::Event;
///
/// for event in Watch::open()? {
///     match event? {
///         Event::Committed(commit) => println!("so far {commit}"),
///         Event::Overflow => println!("too much at once: look at the whole again"),
///         change => println!("{change}"),
///     }
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[doc(alias("monitor", "notifications"))]
#[derive(Debug)]
pub struct Watch {
    listener: Listener<Event>,
    /// Sockets whose commits are skipped.
    own: Vec<u32>,
    /// The rule whose deletion was the last event.
    deleted: Option<(ChainId, RuleHandle)>,
}

impl Reported for Event {
    const OVERFLOW: Self = Event::Overflow;
    const DOING: &'static str = "watch nf_tables";
}

impl Watch {
    /// Watches the calling thread's network namespace, with a receive buffer of up to 16 MiB.
    ///
    /// # Errors
    /// When no netlink socket can be opened; [`is_permission`](crate::Error::is_permission) when
    /// its events may not be received.
    pub fn open() -> Result<Self> {
        Ok(Watch { listener: Listener::join(NFNLGRP_NFTABLES)?, own: Vec::new(), deleted: None })
    }

    /// Makes room for `bytes` of queued events, including the kernel's bookkeeping (for small
    /// events, a few times their length), and returns the resulting size: less where
    /// `net.core.rmem_max` limits it, and at least some thousand bytes.
    ///
    /// # Errors
    /// When the kernel cannot be queried.
    pub fn receive_buffer(&mut self, bytes: usize) -> Result<usize> {
        self.listener.receive_buffer(bytes)
    }

    /// Skips the commits that this `kernel` makes from here on: they cause no events and take no
    /// room in the receive buffer.
    ///
    /// Commits are recognised by the address of the socket. The pid in an event is unsuitable: it
    /// counts threads, in the initial pid namespace. An address can be reused once its socket is
    /// closed, so leave out only kernels that live as long as the watch.
    ///
    /// # Errors
    /// When the kernel has no socket filters.
    pub fn leave_out(&mut self, kernel: &Kernel) -> Result<()> {
        let port = kernel.socket.port_id();
        if !self.own.contains(&port) {
            self.own.push(port);
        }
        self.listener.socket.leave_out(&self.own).map_err(failed::<Event>)
    }

    /// Returns the next event if there is one already.
    ///
    /// # Errors
    /// When the socket cannot be read. A loss of events is not an error but [`Event::Overflow`].
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        self.take(Wait::DontWait)
    }

    fn take(&mut self, wait: Wait) -> Result<Option<Event>> {
        let Watch { listener, own, deleted } = self;
        // Drops what came before the filter.
        let taken = listener.take(wait, |message| (!own.contains(&message.port)).then(|| netlink::event(message)))?;
        let Some(mut event) = taken else { return Ok(None) };
        // A replaced rule keeps its handle. The flags of its event are those of the request, and
        // not all programs set the same ones.
        if let Event::RuleAdded { chain, position, rule } = &mut event {
            if deleted.as_ref().is_some_and(|(from, handle)| from == chain && *handle == rule.handle) {
                *position = AddedAt::Replaced;
            }
        }
        *deleted = match &event {
            Event::RuleDeleted { chain, rule } => Some((chain.clone(), rule.handle)),
            _ => None,
        };
        Ok(Some(event))
    }
}

impl Kernel {
    /// Watches the network namespace of this kernel, including its own commits, see
    /// [`Watch::leave_out`].
    ///
    /// # Errors
    /// Those of [`NetNs::watch`].
    pub fn watch(&self) -> Result<Watch> {
        let namespace = self.socket.namespace().map_err(failed::<Event>)?;
        NetNs::from_fd(namespace)?.watch()
    }
}

/// Waits for the next event; never returns `None`.
impl Iterator for Watch {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(Wait::Block).transpose()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// include/uapi/linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
