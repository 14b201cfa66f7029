//! What each transparent proxy writes by hand: where a captured connection wanted to go, and a
//! listener that takes it.
//!
//! A connection captured with `redirect` arrives at the proxy's own address:
//! [`original_destination`] asks conntrack where it was going. One captured with `tproxy` keeps its
//! destination, and reaches only a [`transparent_listener`]: the local address *is* the
//! original destination.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use crate::error::{Error, Kind, Result};
use crate::sys::inet;

/// Where a TCP connection went before `redirect` or `dnat` changed its destination.
///
/// An IPv4 connection that an IPv6 listener accepted (`::ffff:192.0.2.1`) gives an IPv4 address. A
/// connection that conntrack follows without having changed it gives its local address. Source:
/// `SO_ORIGINAL_DST`, include/uapi/linux/netfilter_ipv4.h; `IP6T_SO_ORIGINAL_DST`,
/// include/uapi/linux/netfilter_ipv6/ip6_tables.h.
///
/// # Errors
/// [`is_not_found`](Error::is_not_found) when conntrack has no record of the connection, or is not
/// in this kernel; then the local address is the original destination, as it is with `tproxy`.
/// [`is_invalid`](Error::is_invalid) when it is no TCP socket.
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

/// Listens for connections that `tproxy` sends here, whatever their destination.
///
/// `0.0.0.0:15006` takes IPv4 and `[::]:15006` IPv6 only, so that both can listen side by side. An
/// address can be taken again right after its last listener has closed (`SO_REUSEADDR`). Source:
/// `IP_TRANSPARENT`, ip(7); Documentation/networking/tproxy.rst.
///
/// # Errors
/// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN` and without `CAP_NET_RAW`,
/// [`is_unsupported`](Error::is_unsupported) when this kernel runs without the family; otherwise as
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
            format!(r#"transparent listener {address}: in use (EADDRINUSE); "ss -ltnp" says by whom"#),
        ),
        _ => Error::io(format_args!("transparent listener {address}"), cause),
    })
}

mod validation;

pub use validation::CaptureProbe;

#[cfg(all(test, feature = "mesh"))]
mod tests;
