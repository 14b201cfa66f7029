//! Single requests and dumps, read until NLMSG_DONE.

use std::io;

use super::live::{Kernel, of_nftables, unexpected};
use crate::attr::nfta::NFTA_GEN_ID;
use crate::attr::{Malformed, Message, Messages};
use crate::error::{Error, Kind, Result};
use crate::model::{Generation, Set, TableId};
use crate::netlink::{self, flag, kind};
use crate::sys::scratch::Scratch;
use crate::sys::socket::Wait;

/// How a dump ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dump {
    /// Another commit happened during the dump.
    Interrupted,
    /// It was read to its end.
    Whole,
}

/// Whether the requested object exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It does not exist.
    Nothing,
    /// It was read.
    One,
}

/// A dump request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    /// `NFT_MSG_GET*`.
    pub(super) kind: u16,
    /// `NFPROTO_*`, 0 for all.
    pub(super) family: u8,
    /// Attributes that narrow the dump.
    pub(super) attributes: &'a [u8],
}

impl Kernel {
    /// Dumps, and passes every message to `read`. After an error of `read` the rest is still
    /// received, so the socket stays usable.
    ///
    /// The kernel produces the next datagram when one is received, so a dump of any length fits
    /// any receive buffer, and nothing blocks.
    pub(super) fn dump(
        &mut self,
        query: Query<'_>,
        read: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Dump> {
        let Query { kind, family, attributes } = query;
        self.dump_of(of_nftables(kind), family, attributes, read)?.map_err(reading)
    }

    /// Does the same for any subsystem of netfilter; the inner result is the kernel's answer when
    /// it refuses.
    pub(super) fn dump_of(
        &mut self,
        kind: u16,
        family: u8,
        attributes: &[u8],
        mut read: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<io::Result<Dump>> {
        let sequence = self.ask(kind, flag::DUMP, family, attributes)?;
        let mut outcome = Ok(Dump::Whole);
        let mut memory = Scratch::lent();
        while let Some(datagram) = self.socket.recv_fitting(&mut memory, Wait::DontWait).map_err(reading)? {
            for message in Messages::new(datagram) {
                let message = message.map_err(malformed)?;
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & flag::DUMP_INTR != 0 && outcome.is_ok() {
                    outcome = Ok(Dump::Interrupted);
                }
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => {
                        let errno = message.errno().map_err(malformed)?;
                        return if errno == 0 { outcome.map(Ok) } else { Ok(Err(io::Error::from_raw_os_error(errno))) };
                    }
                    _ if outcome.is_err() => {}
                    _ => {
                        if let Err(error) = read(&message) {
                            outcome = Err(malformed(error));
                        }
                    }
                }
            }
        }
        Err(unexpected("read a dump to its end"))
    }

    /// Returns the current generation of the rule sets; every commit in the namespace creates a
    /// new one.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn generation(&mut self) -> Result<Generation> {
        self.drain()?;
        let sequence = self.ask(of_nftables(kind::GETGEN), 0, 0, &[])?;
        let mut memory = Scratch::lent();
        let datagram = self.socket.recv_fitting(&mut memory, Wait::DontWait).map_err(reading)?;
        for message in Messages::new(datagram.unwrap_or_default()) {
            let message = message.map_err(malformed)?;
            if message.kind == NLMSG_ERROR {
                let errno = message.errno().map_err(malformed)?;
                return Err(reading(io::Error::from_raw_os_error(errno)));
            }
            if message.kind == of_nftables(kind::NEWGEN) && message.sequence == sequence {
                let attributes = message.netfilter().map(|(_, attributes)| attributes);
                let id = attributes.and_then(|attributes| attributes.find(NFTA_GEN_ID)).and_then(|id| id.be32());
                return id.map(Generation).ok_or_else(|| unexpected("read the generation"));
            }
        }
        Err(unexpected("read the generation"))
    }

    /// Requests one object by name and passes it to `read`.
    pub(super) fn get(
        &mut self,
        query: Query<'_>,
        mut read: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Found> {
        let Query { kind, family, attributes } = query;
        let sequence = self.ask(of_nftables(kind), 0, family, attributes)?;
        // The kernel has queued the answer when the send returns.
        let mut memory = Scratch::lent();
        while let Some(datagram) = self.socket.recv_fitting(&mut memory, Wait::DontWait).map_err(reading)? {
            for message in Messages::new(datagram) {
                let message = message.map_err(malformed)?;
                if message.sequence != sequence {
                    continue;
                }
                if message.kind != NLMSG_ERROR {
                    read(&message).map_err(malformed)?;
                    return Ok(Found::One);
                }
                return match message.errno().map_err(malformed)? {
                    libc::ENOENT => Ok(Found::Nothing),
                    errno => Err(reading(io::Error::from_raw_os_error(errno))),
                };
            }
        }
        Err(unexpected("read one thing"))
    }

    /// Returns the sets of a table that the model can express, without their elements; none when
    /// there is no such table.
    pub(super) fn sets_of(&mut self, table: &TableId) -> Result<Vec<Set>> {
        self.drain()?;
        let mut sets = Vec::new();
        let attributes = netlink::table_attribute(&table.name);
        let query = Query { kind: kind::GETSET, family: table.family.number(), attributes: &attributes };
        self.dump(query, |message| {
            sets.extend(netlink::declared_set(message)?);
            Ok(())
        })?;
        Ok(sets)
    }

    /// Waits until no commit is in progress, and returns whether this is still the generation;
    /// `false` means that another commit happened.
    pub(super) fn is_current(&mut self, generation: Generation) -> Result<bool> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(2);
        self.socket.send(&netlink::barrier(sequence, generation)).map_err(reading)?;
        // Silence is consent: the batch asks for no acknowledgement, and refusals are queued when
        // the send returns.
        let mut current = true;
        let mut memory = Scratch::lent();
        while let Some(datagram) = self.socket.recv_fitting(&mut memory, Wait::DontWait).map_err(reading)? {
            for ack in netlink::acks(datagram) {
                match ack.map_err(malformed)?.errno {
                    0 => {}
                    libc::ERESTART => current = false,
                    errno => return Err(reading(io::Error::from_raw_os_error(errno))),
                }
            }
        }
        Ok(current)
    }

    /// Sends one request of this subsystem and kind, and returns its sequence number.
    fn ask(&mut self, kind: u16, flags: u16, family: u8, attributes: &[u8]) -> Result<u32> {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let request = netlink::message(kind, flag::REQUEST | flags, sequence, family, 0, attributes);
        self.socket.send(&request).map_err(reading)?;
        Ok(sequence)
    }
}

fn reading(cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EPERM) => Error::new(Kind::Permission, format!("nf_tables: {NO_CAPABILITY}")),
        _ => Error::io("read from the kernel", cause),
    }
}

fn malformed(error: Malformed) -> Error {
    Error::new(Kind::Other, error)
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
pub(super) const NO_CAPABILITY: &str =
    "CAP_NET_ADMIN is missing in the user namespace that owns this network namespace (EPERM)";
