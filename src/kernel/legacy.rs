//! Tables of `iptables-legacy`: they exist in the kernel next to nf_tables and see the same
//! packets, but no snapshot contains them.

use std::{fs, io};

use crate::error::{Error, Result};
use crate::model::{Family, TableId};

/// Returns the tables of `iptables-legacy` (family ip) and `ip6tables-legacy` (ip6) in the network
/// namespace of the calling thread, such as `ip nat`, in the kernel's order. Only their names are
/// read, so a table may be empty; the list is empty where the kernel has no such tables.
///
/// If there are any, a [`Snapshot`](crate::state::Snapshot) does not show everything that happens
/// to packets in the namespace.
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

/// Returns the names for IPv4 and for IPv6.
pub(crate) fn names() -> Result<[Vec<String>; 2]> {
    Ok([read("ip_tables_names")?, read("ip6_tables_names")?])
}

fn read(file: &str) -> Result<Vec<String>> {
    let path = format!("/proc/thread-self/net/{file}");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        // The kernel has no such tables, or none was used since it started.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::io(format_args!("read {path}"), cause)),
    }
}
