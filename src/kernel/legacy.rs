//! Tables of `iptables-legacy`: they stand beside nf_tables in the kernel, see the same packets,
//! and no snapshot holds them.

use std::{fs, io};

use crate::error::{Error, Result};
use crate::model::{Family, TableId};

/// The tables of `iptables-legacy` (family ip) and `ip6tables-legacy` (ip6) in the network
/// namespace of the calling thread, such as `ip nat`, in the kernel's order. Only their names are
/// read, so one may be without rules; none where the kernel has no such tables.
///
/// What a [`Snapshot`](crate::state::Snapshot) says of a namespace is not all that happens there
/// when it has some.
///
/// Source: `/proc/net/ip_tables_names` and `ip6_tables_names`, net/netfilter/x_tables.c, v6.12.
///
/// # Errors
/// [`is_permission`](Error::is_permission) without the rights of root in the user namespace that
/// owns the network namespace.
///
/// ```no_run
/// for table in nftmesh::kernel::legacy_tables()? {
///     eprintln!("not seen here: table {table} of iptables-legacy");
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
pub fn legacy_tables() -> Result<Vec<TableId>> {
    let [ipv4, ipv6] = names()?;
    let ipv4 = ipv4.iter().map(|name| TableId::new(Family::Ip, name.as_str()));
    Ok(ipv4.chain(ipv6.iter().map(|name| TableId::new(Family::Ip6, name.as_str()))).collect())
}

/// Of IPv4 and of IPv6.
pub(crate) fn names() -> Result<[Vec<String>; 2]> {
    Ok([read("ip_tables_names")?, read("ip6_tables_names")?])
}

fn read(file: &str) -> Result<Vec<String>> {
    let path = format!("/proc/thread-self/net/{file}");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        // The kernel has no such tables, or nobody has used one since it started.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::io(format_args!("read {path}"), cause)),
    }
}
