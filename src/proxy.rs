//! The socket code that every transparent proxy needs: the original destination of a captured
//! connection, and a listener that accepts it.
//!
//! A connection captured with `redirect` arrives at the proxy's own address;
//! [`original_destination`] asks conntrack where it was going. A connection captured with `tproxy`
//! keeps its destination and only reaches a [`transparent_listener`]: its local address *is* the
//! original destination.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use crate::error::{Error, Kind, Result};
use crate::sys::inet;

/// Returns the destination of a TCP connection before `redirect` or `dnat` changed it.
///
/// For an IPv4 connection that an IPv6 listener accepted (`::ffff:192.0.2.1`), this is an IPv4
/// address. For a connection that conntrack tracks but did not change, it is the local address.
/// Source: `SO_ORIGINAL_DST`, include/uapi/linux/netfilter_ipv4.h; `IP6T_SO_ORIGINAL_DST`,
/// include/uapi/linux/netfilter_ipv6/ip6_tables.h.
///
/// # Errors
/// [`is_not_found`](Error::is_not_found) when conntrack has no record of the connection, or is
/// missing in this kernel; then the local address is the original destination, as with `tproxy`.
/// [`is_invalid`](Error::is_invalid) when it is not a TCP socket.
///
/// ```no_run
/// use std::net::TcpListener;
///
/// let listener = TcpListener::bind("0.0.0.0:15001")?;
/// let (connection, client) = listener.accept()?;
/// let wanted = match nftmesh::proxy::original_destination(&connection) {
///     Err(error) if error.is_not_found() => connection.local_addr()?,
///     answer => answer?,
/// };
/// println!("{client} wanted {wanted}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "SO_ORIGINAL_DST")]
pub fn original_destination(connection: &impl AsFd) -> Result<SocketAddr> {
    inet::original_destination(connection.as_fd()).map_err(|cause| match cause.raw_os_error() {
        Some(libc::ENOENT) => Error::new(
            Kind::NotFound,
            "original destination: no NAT record of this connection; its local address is the one",
        ),
        Some(libc::EAFNOSUPPORT | libc::ENOTSOCK | libc::EPROTOTYPE) => {
            Error::new(Kind::Invalid, format!("original destination: not an accepted TCP connection: {cause}"))
        }
        _ => Error::io("original destination", cause),
    })
}

/// Listens for connections that `tproxy` diverts to this socket, whatever their destination.
///
/// `0.0.0.0:15006` accepts IPv4 and `[::]:15006` IPv6 only, so both can listen side by side. An
/// address can be bound again right after its last listener has closed (`SO_REUSEADDR`). Source:
/// `IP_TRANSPARENT`, ip(7); Documentation/networking/tproxy.rst.
///
/// # Errors
/// [`is_permission`](Error::is_permission) without both `CAP_NET_ADMIN` and `CAP_NET_RAW`,
/// [`is_unsupported`](Error::is_unsupported) when the kernel lacks the family; otherwise as
/// [`TcpListener::bind`].
///
/// ```no_run
/// let listener = nftmesh::proxy::transparent_listener("0.0.0.0:15006".parse()?)?;
/// let (connection, client) = listener.accept()?;
/// println!("{client} wanted {}", connection.local_addr()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "IP_TRANSPARENT")]
pub fn transparent_listener(address: SocketAddr) -> Result<TcpListener> {
    inet::transparent_listener(address).map_err(|cause| match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::new(
            Kind::Permission,
            format!("transparent listener {address}: not permitted (EPERM); needs CAP_NET_ADMIN or CAP_NET_RAW"),
        ),
        Some(libc::EADDRINUSE) => Error::new(
            Kind::Conflict,
            format!(r#"transparent listener {address}: in use (EADDRINUSE); see by whom with "ss -ltnp""#),
        ),
        _ => Error::io(format_args!("transparent listener {address}"), cause),
    })
}

mod validation;

pub use validation::CaptureProbe;

#[cfg(all(test, feature = "mesh"))]
mod tests;
