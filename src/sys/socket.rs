//! A netlink socket: one send is one `send(2)`, one receive is one whole datagram from the kernel.
//!
//! A transaction is never split, a datagram is never cut, and a message of another process is
//! never taken for one of the kernel's. No child process ever inherits the socket, not even one
//! started while it is being opened (libmnl's `mnl_socket_open` leaves that gap).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::{fmt, io};

/// A netlink family, netlink(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// `NETLINK_NETFILTER`.
    Netfilter,
    /// `NETLINK_ROUTE`.
    Route,
    /// `NETLINK_SOCK_DIAG`.
    #[cfg(feature = "mesh")]
    SocketDiagnosis,
    /// `NETLINK_USERSOCK`, between processes.
    #[cfg(test)]
    Usersock,
}

/// An open, bound netlink socket. It belongs to the network namespace of the thread that opened
/// it, regardless of where it is used later.
pub(crate) struct NetlinkSocket {
    fd: OwnedFd,
    port: u32,
}

/// What to do when nothing is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Block,
    DontWait,
}

impl NetlinkSocket {
    /// Opens and binds a socket, close-on-exec, with extended acknowledgements that omit the
    /// request.
    pub(crate) fn open(bus: Bus) -> io::Result<Self> {
        let bus = match bus {
            Bus::Netfilter => libc::NETLINK_NETFILTER,
            Bus::Route => libc::NETLINK_ROUTE,
            #[cfg(feature = "mesh")]
            Bus::SocketDiagnosis => libc::NETLINK_SOCK_DIAG,
            #[cfg(test)]
            Bus::Usersock => libc::NETLINK_USERSOCK,
        };
        // SAFETY: takes integers and touches no memory of ours.
        let fd = super::check(unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, bus) })?;
        // SAFETY: the descriptor is new, open and not owned elsewhere.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let port = bind(fd.as_fd())?;
        let socket = NetlinkSocket { fd, port };
        super::set_option(socket.as_fd(), libc::SOL_NETLINK, NETLINK_EXT_ACK, 1)?;
        super::set_option(socket.as_fd(), libc::SOL_NETLINK, NETLINK_CAP_ACK, 1)?;
        Ok(socket)
    }

    /// Turns dump requests into filters: the kernel omits what the header does not select. Linux
    /// 4.20; `ENOPROTOOPT` before.
    pub(crate) fn filter_dumps(&self) -> io::Result<()> {
        super::set_option(self.as_fd(), libc::SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
    }

    /// Joins a multicast group, by number.
    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        let group = i32::try_from(group).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        super::set_option(self.as_fd(), libc::SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
    }

    /// Returns the address of this socket in its namespace.
    pub(crate) fn port_id(&self) -> u32 {
        self.port
    }

    /// Returns the network namespace of the socket. Linux 4.10.
    pub(crate) fn namespace(&self) -> io::Result<OwnedFd> {
        // SAFETY: SIOCGSKNS takes no argument and touches no memory of ours.
        let fd = super::check(unsafe { libc::ioctl(self.fd.as_raw_fd(), SIOCGSKNS) })?;
        // SAFETY: the descriptor is new, open and not owned elsewhere.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Sends all of `message` to the kernel in exactly one system call; `EMSGSIZE` when it is
    /// longer than [`ensure_send_buffer`](Self::ensure_send_buffer) allows.
    pub(crate) fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = super::uninterrupted(|| {
            // SAFETY: the pointer and length are those of one live slice. Without an address
            // netlink sends to the kernel.
            let sent = unsafe { libc::send(self.fd.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
            super::check_length(sent)
        })?;
        if sent == message.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, format!("netlink took {sent} of {} bytes", message.len())))
        }
    }

    /// Receives one whole datagram from the kernel into `buffer`, which grows as needed and is
    /// reused; `None` when nothing is queued and `wait` is [`Wait::DontWait`]. Datagrams of other
    /// processes are discarded.
    pub(crate) fn recv<'b>(&self, buffer: &'b mut Vec<u8>, wait: Wait) -> io::Result<Option<&'b [u8]>> {
        let flags = match wait {
            Wait::Block => 0,
            Wait::DontWait => libc::MSG_DONTWAIT,
        };
        let received = loop {
            // The first look consumes nothing and returns the length of the datagram.
            let outcome = self.receive(&mut [], flags | libc::MSG_PEEK).and_then(|peeked| {
                // The kernel fills a dump's datagrams up to the largest buffer it has seen.
                let room = peeked.length.max(DUMP_DATAGRAM).max(buffer.len());
                buffer.resize(room, 0);
                self.receive(buffer, flags)
            });
            match outcome {
                Ok(datagram) if datagram.sender == KERNEL => break datagram,
                Ok(_foreign) => {}
                Err(error) if wait == Wait::DontWait && error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        // Another reader of the same socket could have consumed the datagram after the first look.
        let datagram = buffer.get(..received.length);
        datagram.map(Some).ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE))
    }

    /// Receives like [`recv`](Self::recv), with one system call, a datagram known to be no longer
    /// than those of a dump; `EMSGSIZE` for anything longer, which is lost.
    pub(crate) fn recv_fitting<'b>(&self, buffer: &'b mut Vec<u8>, wait: Wait) -> io::Result<Option<&'b [u8]>> {
        // The kernel fills a dump's datagrams up to the largest buffer it has seen, at most this.
        if buffer.len() < DUMP_DATAGRAM {
            buffer.resize(DUMP_DATAGRAM, 0);
        }
        let flags = match wait {
            Wait::Block => 0,
            Wait::DontWait => libc::MSG_DONTWAIT,
        };
        let received = loop {
            match self.receive(buffer, flags) {
                Ok(datagram) if datagram.sender == KERNEL => break datagram,
                Ok(_foreign) => {}
                Err(error) if wait == Wait::DontWait && error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let datagram = buffer.get(..received.length);
        datagram.map(Some).ok_or_else(|| io::Error::from_raw_os_error(libc::EMSGSIZE))
    }

    /// Makes room for one send of `bytes`, and returns how many bytes one send may have now: fewer
    /// than requested if `net.core.wmem_max` limits them and the capability to exceed it is
    /// missing.
    pub(crate) fn ensure_send_buffer(&self, bytes: usize) -> io::Result<usize> {
        let wanted = bytes.saturating_add(SEND_OVERHEAD);
        let allowed = self.ensure_buffer(wanted, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE)?;
        Ok(allowed.saturating_sub(SEND_OVERHEAD))
    }

    /// Makes room for `bytes` of queued replies and events, more or less than before (including
    /// the kernel's bookkeeping, so less payload), and returns the resulting size, see
    /// [`ensure_send_buffer`](Self::ensure_send_buffer); the limit here is `net.core.rmem_max`.
    pub(crate) fn set_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        self.set_buffer(bytes, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE)
    }

    /// Makes room in the same way, but never reduces it.
    pub(crate) fn ensure_receive_buffer(&self, bytes: usize) -> io::Result<usize> {
        self.ensure_buffer(bytes, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE)
    }

    /// Makes the kernel drop every event caused by one of the sockets with these addresses.
    pub(crate) fn leave_out(&self, ports: &[u32]) -> io::Result<()> {
        super::filter::leave_out(self.as_fd(), ports)
    }

    fn ensure_buffer(&self, wanted: usize, name: libc::c_int, force: libc::c_int) -> io::Result<usize> {
        let present = self.buffer(name)?;
        if present >= wanted { Ok(present) } else { self.set_buffer(wanted, name, force) }
    }

    fn set_buffer(&self, wanted: usize, name: libc::c_int, force: libc::c_int) -> io::Result<usize> {
        // The kernel doubles the value it is given, and getsockopt returns the result: socket(7).
        let half = i32::try_from(wanted.div_ceil(2)).unwrap_or(i32::MAX);
        if super::set_option(self.as_fd(), libc::SOL_SOCKET, force, half).is_err() {
            // EPERM outside the initial user namespace: go as far as the limit allows.
            super::set_option(self.as_fd(), libc::SOL_SOCKET, name, half)?;
        }
        self.buffer(name)
    }

    fn buffer(&self, name: libc::c_int) -> io::Result<usize> {
        super::option(self.as_fd(), libc::SOL_SOCKET, name).map(|size| usize::try_from(size).unwrap_or(0))
    }

    fn receive(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Datagram> {
        super::uninterrupted(|| {
            let mut address = [0u8; size_of::<libc::sockaddr_nl>()];
            let mut address_length = address.len() as libc::socklen_t;
            // SAFETY: both pointers are writable for the given lengths; with MSG_TRUNC the result
            // may exceed `buffer`, but what is written does not.
            let length = unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    flags | libc::MSG_TRUNC,
                    address.as_mut_ptr().cast(),
                    &raw mut address_length,
                )
            };
            // struct sockaddr_nl: family u16, padding u16, port id u32, groups u32.
            let [_, _, _, _, a, b, c, d, ..] = address;
            Ok(Datagram { length: super::check_length(length)?, sender: u32::from_ne_bytes([a, b, c, d]) })
        })
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl fmt::Debug for NetlinkSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetlinkSocket").field("fd", &self.fd.as_raw_fd()).finish()
    }
}

struct Datagram {
    length: usize,
    sender: u32,
}

/// Binds to an address that the kernel chooses, and returns it.
fn bind(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // struct sockaddr_nl: family u16, padding u16, port id u32, groups u32; with port id 0 the
    // kernel chooses.
    let mut address = [0u8; size_of::<libc::sockaddr_nl>()];
    let [family_low, family_high, ..] = &mut address;
    [*family_low, *family_high] = (libc::AF_NETLINK as libc::sa_family_t).to_ne_bytes();
    let mut length = address.len() as libc::socklen_t;
    // SAFETY: the pointer is to `length` initialised bytes, laid out as an address of this family,
    // and only read.
    super::check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), length) })?;
    // SAFETY: `address` is writable for the `length` bytes announced, and the kernel writes no more
    // than that.
    super::check(unsafe { libc::getsockname(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length) })?;
    let [_, _, _, _, a, b, c, d, ..] = address;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

/// Port id of the kernel, netlink(7).
const KERNEL: u32 = 0;
/// Largest datagram the kernel makes for a dump: netlink_dump, net/netlink/af_netlink.c.
const DUMP_DATAGRAM: usize = 32 * 1024;
/// What netlink_sendmsg subtracts from SO_SNDBUF: `len > sk->sk_sndbuf - 32`,
/// net/netlink/af_netlink.c.
const SEND_OVERHEAD: usize = 32;
/// include/uapi/linux/sockios.h
const SIOCGSKNS: libc::Ioctl = 0x894c;
// include/uapi/linux/netlink.h
const NETLINK_ADD_MEMBERSHIP: libc::c_int = 1;
const NETLINK_CAP_ACK: libc::c_int = 10;
const NETLINK_EXT_ACK: libc::c_int = 11;
const NETLINK_GET_STRICT_CHK: libc::c_int = 12;

#[cfg(test)]
mod tests;
