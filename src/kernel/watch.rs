//! Watching: every commit in a network namespace, as events.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::live::Kernel;
use super::netns::NetNs;
use crate::error::{Error, Result};
use crate::netlink;
use crate::plan::Event;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// The commits of one network namespace from now on.
///
/// As an iterator it waits for the next event and never ends. To wait for other things too, wait until the descriptor ([`AsFd`],
/// [`AsRawFd`]) is readable, with poll(2), mio or tokio's `AsyncFd`, and then call [`try_next`](Self::try_next) until it returns
/// `None`.
///
/// An event that does not fit into the receive buffer is lost, and that is told: [`Event::Overflow`] means to read everything again,
/// see [`Kernel::snapshot`]. The events of one rule or element take 100 bytes to some hundred.
///
/// ```no_run
/// use nftmesh::kernel::Watch;
/// use nftmesh::plan::Event;
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
#[derive(Debug)]
pub struct Watch {
    socket: NetlinkSocket,
    buffer: Vec<u8>,
    /// Decoded and not yet handed out.
    queue: VecDeque<Event>,
    /// Sockets whose commits are left out.
    own: Vec<u32>,
}

impl Watch {
    /// Of the calling thread's network namespace, with a receive buffer of 16 MiB, or as much as one may have.
    ///
    /// # Errors
    /// When no netlink socket can be opened; [`is_permission`](Error::is_permission) when its events may not be seen.
    pub fn open() -> Result<Self> {
        let socket = NetlinkSocket::open(Bus::Netfilter).map_err(watching)?;
        // Before the group: nothing can overflow yet.
        socket.set_receive_buffer(RECEIVE_BUFFER).map_err(watching)?;
        socket.join(NFNLGRP_NFTABLES).map_err(watching)?;
        Ok(Watch { socket, buffer: Vec::new(), queue: VecDeque::new(), own: Vec::new() })
    }

    /// Of another network namespace, see [`Kernel::open_in`].
    ///
    /// # Errors
    /// Those of [`open`](Self::open), and [`is_permission`](Error::is_permission) when the namespace may not be entered.
    pub fn open_in(namespace: &NetNs) -> Result<Self> {
        namespace.run(Watch::open)?
    }

    /// Makes room for `bytes` of events that wait, counted with the kernel's bookkeeping (for small events, a few times their
    /// length), and returns how much there is: less where `net.core.rmem_max` is the limit, at least some thousand bytes.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn receive_buffer(&mut self, bytes: usize) -> Result<usize> {
        self.socket.set_receive_buffer(bytes).map_err(watching)
    }

    /// Leaves out what this `kernel` commits from here on: no events, and no room in the receive buffer.
    ///
    /// Who committed is known by the address of the socket. The pid that an event carries is no way to know oneself: it counts threads,
    /// in the initial pid namespace. An address can be given again once the socket is closed, so leave out what lives as long as the
    /// watch.
    ///
    /// # Errors
    /// When the kernel has no socket filters.
    pub fn leave_out(&mut self, kernel: &Kernel) -> Result<()> {
        let port = kernel.socket.port_id();
        if !self.own.contains(&port) {
            self.own.push(port);
        }
        self.socket.leave_out(&self.own).map_err(watching)
    }

    /// The next event if there is one already.
    ///
    /// # Errors
    /// When the socket can't be read. Lost events are no error but [`Event::Overflow`].
    pub fn try_next(&mut self) -> Result<Option<Event>> {
        self.take(Wait::DontWait)
    }

    fn take(&mut self, wait: Wait) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            match self.socket.recv_fitting(&mut self.buffer, wait) {
                Ok(None) => return Ok(None),
                Ok(Some(datagram)) => decode(datagram, &self.own, &mut self.queue),
                Err(cause) if lost(&cause) => {
                    let emptied = self.empty();
                    self.queue.push_back(Event::Overflow);
                    emptied.map_err(watching)?;
                }
                Err(cause) => return Err(watching(cause)),
            }
        }
    }

    /// Takes all that waits. A loss is told once, in front of what still waits, and until that is taken the kernel throws away whatever
    /// comes (netlink_overrun and netlink_rcv_wake, net/netlink/af_netlink.c, v6.12): nothing may be read anew before.
    fn empty(&mut self) -> io::Result<()> {
        loop {
            match self.socket.recv_fitting(&mut self.buffer, Wait::DontWait) {
                Ok(None) => return Ok(()),
                Ok(Some(datagram)) => decode(datagram, &self.own, &mut self.queue),
                Err(cause) if lost(&cause) => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

impl Kernel {
    /// Watches the network namespace of this kernel, its own commits too, see [`Watch::leave_out`].
    ///
    /// # Errors
    /// Those of [`Watch::open_in`].
    pub fn watch(&self) -> Result<Watch> {
        let namespace = self.socket.namespace().map_err(watching)?;
        Watch::open_in(&NetNs::from_fd(namespace)?)
    }
}

/// Waits; never `None`.
impl Iterator for Watch {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(Wait::Block).transpose()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn decode(datagram: &[u8], own: &[u32], queue: &mut VecDeque<Event>) {
    for message in netlink::Replies::new(datagram) {
        match message {
            // What came before the filter.
            Ok(message) if own.contains(&message.port) => {}
            Ok(message) => queue.push_back(netlink::event(&message)),
            // Nobody knows what was in the rest.
            Err(netlink::Malformed { at: _ }) => queue.push_back(Event::Overflow),
        }
    }
}

/// `EMSGSIZE`: longer than any datagram that the kernel makes today.
fn lost(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::ENOBUFS | libc::EMSGSIZE))
}

fn watching(cause: io::Error) -> Error {
    Error::io("watch nf_tables", cause)
}

/// What nft(8) takes for `nft monitor`.
const RECEIVE_BUFFER: usize = 16 << 20;
/// include/uapi/linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
