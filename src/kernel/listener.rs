//! Listens to a multicast group of the kernel: decodes datagrams into events, and reports every
//! loss as an event.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::dump::NO_CAPABILITY;
use crate::attr::{Malformed, Message, Messages};
use crate::error::{Error, Kind, Result};
use crate::sys::scratch::Scratch;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// An event that can be received.
pub(super) trait Reported: Sized {
    /// The event for a loss.
    const OVERFLOW: Self;
    /// The activity, for errors: `watch nf_tables`.
    const DOING: &'static str;
}

/// A socket in one multicast group, and the events read from it.
#[derive(Debug)]
pub(super) struct Listener<T> {
    pub(super) socket: NetlinkSocket,
    /// Decoded and not yet returned.
    queue: VecDeque<T>,
}

impl<T: Reported> Listener<T> {
    /// Opens a socket in the calling thread's network namespace, with a receive buffer of up to 16
    /// MiB.
    pub(super) fn join(group: u32) -> Result<Self> {
        let socket = NetlinkSocket::open(Bus::Netfilter).map_err(failed::<T>)?;
        // Before joining the group, so nothing can overflow yet.
        socket.set_receive_buffer(RECEIVE_BUFFER).map_err(failed::<T>)?;
        socket.join(group).map_err(failed::<T>)?;
        Ok(Listener { socket, queue: VecDeque::new() })
    }

    /// Sets the receive buffer; see [`Watch::receive_buffer`](super::Watch::receive_buffer).
    pub(super) fn receive_buffer(&mut self, bytes: usize) -> Result<usize> {
        self.socket.set_receive_buffer(bytes).map_err(failed::<T>)
    }

    /// Returns the next event. `decode` returns the event of a message, or `None` to skip it.
    pub(super) fn take(&mut self, wait: Wait, decode: impl Fn(&Message<'_>) -> Option<T>) -> Result<Option<T>> {
        let mut memory = Scratch::lent();
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            match self.socket.recv_fitting(&mut memory, wait) {
                Ok(None) => return Ok(None),
                Ok(Some(datagram)) => queue_all(datagram, &decode, &mut self.queue),
                Err(cause) if lost(&cause) => {
                    let emptied = self.empty(&decode);
                    self.queue.push_back(T::OVERFLOW);
                    emptied.map_err(failed::<T>)?;
                }
                Err(cause) => return Err(failed::<T>(cause)),
            }
        }
    }

    /// Receives everything that is queued. A loss is reported once, before the messages still
    /// queued, and until these are received the kernel drops new ones (netlink_overrun and
    /// netlink_rcv_wake, net/netlink/af_netlink.c, v6.12): reading the state again must wait until
    /// then.
    fn empty(&mut self, decode: &impl Fn(&Message<'_>) -> Option<T>) -> io::Result<()> {
        let mut memory = Scratch::lent();
        loop {
            match self.socket.recv_fitting(&mut memory, Wait::DontWait) {
                Ok(None) => return Ok(()),
                Ok(Some(datagram)) => queue_all(datagram, decode, &mut self.queue),
                Err(cause) if lost(&cause) => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}

impl<T> AsFd for Listener<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn queue_all<T: Reported>(datagram: &[u8], decode: &impl Fn(&Message<'_>) -> Option<T>, queue: &mut VecDeque<T>) {
    for message in Messages::new(datagram) {
        match message {
            Ok(message) => queue.extend(decode(&message)),
            // The contents of the rest are unknown.
            Err(Malformed { at: _ }) => queue.push_back(T::OVERFLOW),
        }
    }
}

/// Returns whether messages were lost; `EMSGSIZE` means one longer than current kernels make.
fn lost(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::ENOBUFS | libc::EMSGSIZE))
}

/// Returns the error for a failed operation of the listener.
pub(super) fn failed<T: Reported>(cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EPERM) => Error::new(Kind::Permission, format!("{}: {NO_CAPABILITY}", T::DOING)),
        _ => Error::io(T::DOING, cause),
    }
}

/// The receive buffer of `nft monitor`.
const RECEIVE_BUFFER: usize = 16 << 20;
