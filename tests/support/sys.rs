//! The system calls that std lacks, and the entry into a private network namespace before `main`.
//!
//! The entry has to come first: `unshare(CLONE_NEWUSER)` works only while the process has one
//! thread. Users are set with the raw system calls, because libc's wrappers would change every
//! thread: on Linux a user is the property of a thread, and so is a network namespace. That is how
//! one test program can be app, proxy and gateway at once.
#![expect(unsafe_code, reason = "namespaces, users of a thread and socket options have no safe wrapper in std")]

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use std::{fmt, thread};

/// How the process left the host's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// As root, into a network namespace: every uid exists.
    AsRoot,
    /// Into a user and a network namespace: only uid and gid 0 exist.
    UserNamespace,
}

/// How the process left the host's network, or why it could not.
pub fn entered() -> Result<Entered, String> {
    match ENTERED.load(Ordering::Relaxed) {
        AS_ROOT => Ok(Entered::AsRoot),
        USER_NAMESPACE => Ok(Entered::UserNamespace),
        errno => Err(format!(
            "no private network namespace: {} (run as root, or allow user namespaces: \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0)",
            io::Error::from_raw_os_error(-errno)
        )),
    }
}

const AS_ROOT: i32 = 1;
const USER_NAMESPACE: i32 = 2;
/// One of these two, or a negative errno.
static ENTERED: AtomicI32 = AtomicI32::new(-libc::ENOSYS);

#[used]
// SAFETY: an entry of .init_array is a pointer to a C function; libc calls it once, before main.
#[unsafe(link_section = ".init_array")]
static ENTER: extern "C" fn() = enter;

extern "C" fn enter() {
    let outcome = leave_the_host().unwrap_or_else(|error| error.raw_os_error().map_or(-libc::EIO, |errno| -errno));
    ENTERED.store(outcome, Ordering::Relaxed);
}

/// Leaves the host's network. Makes only libc calls, since std is not set up before `main`.
fn leave_the_host() -> io::Result<i32> {
    // SAFETY: no arguments, cannot fail.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: no arguments, cannot fail.
    let gid = unsafe { libc::getegid() };
    if uid == 0 && unshare_net().is_ok() {
        return Ok(AS_ROOT);
    }
    // SAFETY: no pointers; the process has one thread.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET) })?;
    write_line(c"/proc/self/setgroups", format_args!("deny"))?;
    write_line(c"/proc/self/uid_map", format_args!("0 {uid} 1"))?;
    write_line(c"/proc/self/gid_map", format_args!("0 {gid} 1"))?;
    Ok(USER_NAMESPACE)
}

/// Writes a file in one call, from a line assembled on the stack.
fn write_line(path: &CStr, line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut buffer = [0_u8; 32];
    let mut rest = buffer.as_mut_slice();
    rest.write_fmt(line)?;
    let length = 32 - rest.len();
    // SAFETY: the path ends in NUL.
    let fd = check(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) })?;
    // SAFETY: just opened, owned by nobody else.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: the buffer has 32 bytes, and `length` is not more.
    let written = unsafe { libc::write(file.as_raw_fd(), buffer.as_ptr().cast(), length) };
    if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Moves this thread into a new network namespace.
pub fn unshare_net() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Moves this thread into `namespace`.
pub fn set_net(namespace: &File) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is open as long as the borrow lasts.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Brings lo up in this thread's namespace; the kernel gives it 127.0.0.1 and ::1.
pub fn loopback_up() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: ifreq is plain data; all zero is an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request outlives the call, and SIOCSIFFLAGS reads name and flags only.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) }).map(drop)
}

/// Capabilities that a thread keeps after it gave up root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capabilities {
    /// CAP_NET_ADMIN and CAP_NET_RAW, as a proxy with transparent listeners has them.
    Network,
    None,
}

/// Makes this thread, and no other, run as `uid` and `gid` without supplementary groups. There is
/// no way back.
pub fn become_user(uid: u32, gid: u32, keep: Capabilities) -> io::Result<()> {
    const KEEP: libc::c_int = 1;
    if keep == Capabilities::Network {
        // SAFETY: no pointers; the flag is this thread's.
        check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, KEEP, 0, 0, 0) })?;
    }
    // SAFETY: a list of no groups is not read.
    check_long(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) })?;
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: no pointers.
    check_long(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    if keep == Capabilities::Network {
        set_capabilities(1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW)?;
    }
    Ok(())
}

// include/uapi/linux/capability.h
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Gives up every capability of this thread.
pub fn drop_capabilities() -> io::Result<()> {
    set_capabilities(0)
}

fn set_capabilities(low: u32) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: LINUX_CAPABILITY_VERSION_3, pid: 0 };
    let data =
        [Data { effective: low, permitted: low, inheritable: 0 }, Data { effective: 0, permitted: 0, inheritable: 0 }];
    // SAFETY: version 3 reads one header and two data structures; pid 0 is this thread.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const data) })
}

/// Opens a socket of the family of `address`; IPv6 sockets carry IPv6 only.
pub fn socket(address: SocketAddr, kind: libc::c_int) -> io::Result<OwnedFd> {
    let socket = open(address, kind, 0)?;
    if address.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &ON)?;
    }
    Ok(socket)
}

/// Sends bytes unchanged after an IP header of that protocol, valid or not.
pub fn send_raw(to: SocketAddr, protocol: libc::c_int, bytes: &[u8]) -> io::Result<()> {
    UdpSocket::from(open(to, libc::SOCK_RAW, protocol)?).send_to(bytes, to).map(drop)
}

/// Opens a socket for that protocol, such as ICMP.
pub fn socket_of(address: SocketAddr, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    open(address, kind, protocol)
}

fn open(address: SocketAddr, kind: libc::c_int, protocol: libc::c_int) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: just opened, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The value of a switch that is on.
pub const ON: libc::c_int = 1;

pub fn set_option<T: Copy>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes, which is the size of the value behind the pointer.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), length) }).map(drop)
}

/// Binds a socket. Waits while the address is in use: a child that another test is starting holds a
/// copy of every socket until it runs its program, even of those closed here.
pub fn bind(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let name = Name::from(address);
    let since = Instant::now();
    loop {
        // SAFETY: a Name is at least as long as any sockaddr of its family.
        match check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const name).cast(), name.length()) }) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && since.elapsed() < super::patience::patience(PATIENCE) =>
            {
                thread::sleep(Duration::from_millis(1));
            }
            bound => return bound.map(drop),
        }
    }
}

/// Time for a program to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a UDP socket at an address.
pub fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, libc::SOCK_DGRAM)?;
    bind(&socket, address)?;
    Ok(socket.into())
}

pub fn connect(socket: &OwnedFd, address: SocketAddr) -> io::Result<()> {
    let name = Name::from(address);
    // SAFETY: a Name is at least as long as any sockaddr of its family.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const name).cast(), name.length()) }).map(drop)
}

pub fn listen(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), 1024) }).map(drop)
}

/// Returns the destination of an accepted connection before NAT; an error when connection tracking
/// does not know it.
pub fn original_destination(socket: &impl AsRawFd, local: SocketAddr) -> io::Result<SocketAddr> {
    let level = if local.is_ipv4() { libc::SOL_IP } else { libc::IPPROTO_IPV6 };
    let mut name = Name::from(local);
    let mut length = name.length();
    // SAFETY: the kernel writes at most `length` bytes, which a Name has.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            libc::SO_ORIGINAL_DST, // and IP6T_SO_ORIGINAL_DST: the same number
            (&raw mut name).cast(),
            &raw mut length,
        )
    })?;
    name.address().ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))
}

/// A `sockaddr_in` (16 bytes) or a `sockaddr_in6` (28 bytes).
#[repr(C, align(8))]
struct Name {
    bytes: [u8; 28],
}

impl Name {
    fn family(&self) -> libc::c_int {
        let [low, high, ..] = self.bytes;
        libc::c_int::from(u16::from_ne_bytes([low, high]))
    }

    fn length(&self) -> libc::socklen_t {
        if self.family() == libc::AF_INET { 16 } else { 28 }
    }

    fn address(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.bytes.get(2..4)?.try_into().ok()?);
        match self.family() {
            libc::AF_INET => {
                let octets: [u8; 4] = self.bytes.get(4..8)?.try_into().ok()?;
                Some((Ipv4Addr::from(octets), port).into())
            }
            libc::AF_INET6 => {
                let octets: [u8; 16] = self.bytes.get(8..24)?.try_into().ok()?;
                Some((Ipv6Addr::from(octets), port).into())
            }
            _ => None,
        }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let mut wire = (family as libc::sa_family_t).to_ne_bytes().to_vec();
        wire.extend(address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => wire.extend(v4.ip().octets()),
            SocketAddr::V6(v6) => {
                wire.extend(v6.flowinfo().to_be_bytes());
                wire.extend(v6.ip().octets());
                wire.extend(v6.scope_id().to_ne_bytes());
            }
        }
        wire.resize(28, 0);
        Name { bytes: wire.try_into().expect("resized to the length of the array") }
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
