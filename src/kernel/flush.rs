//! Deletes all rule sets at once.

use super::dump::NO_CAPABILITY;
use super::live::{Kernel, of_nftables};
use crate::error::{Error, Kind, Result};
use crate::netlink::{self, flag, kind};

impl Kernel {
    /// Deletes every table of every family with everything in it, in one commit, as nft's `flush
    /// ruleset` does.
    ///
    /// Tables owned by another socket ([`TableFlags::OWNER`](crate::model::TableFlags::OWNER))
    /// stay: the kernel skips them (`nft_flush`, net/netfilter/nf_tables_api.c, v6.12). It is not
    /// an error if there is no table.
    ///
    /// # Errors
    /// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN`.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// Kernel::open()?.flush_ruleset()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flush_ruleset(&mut self) -> Result<()> {
        let first = self.sequence;
        self.sequence = first.wrapping_add(3);
        let deletion = first.wrapping_add(1);
        // Without a family and a name this deletes all tables.
        let all = netlink::message(of_nftables(kind::DELTABLE), flag::REQUEST | flag::ACK, deletion, 0, 0, &[]);
        let (acks, _) = self.exchange(&netlink::batch(first, &all))?;
        let errno = acks.iter().find(|ack| ack.errno != 0 || ack.sequence == deletion).map(|ack| ack.errno);
        match errno {
            Some(0) => Ok(()),
            Some(libc::EPERM) => Err(Error::new(Kind::Permission, format!("flush ruleset: {NO_CAPABILITY}"))),
            Some(errno) => Err(Error::io("flush ruleset", std::io::Error::from_raw_os_error(errno))),
            None => Err(Error::new(Kind::Other, "flush ruleset: the kernel did not answer")),
        }
    }
}
