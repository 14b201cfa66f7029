//! Deletes all rule sets at once.

use super::live::Kernel;
use crate::error::Result;
use crate::plan::Transaction;

impl Kernel {
    /// Deletes every table of every family with everything in it, in one commit, as nft's `flush
    /// ruleset` does.
    ///
    /// Tables owned by another socket ([`TableFlags::OWNER`](crate::model::TableFlags::OWNER))
    /// stay: the kernel skips them (`nft_flush`, net/netfilter/nf_tables_api.c, v6.12). It is not
    /// an error if there is no table.
    ///
    /// # Errors
    /// [`is_permission`](crate::Error::is_permission) without `CAP_NET_ADMIN`.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// Kernel::open()?.flush_ruleset()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn flush_ruleset(&mut self) -> Result<()> {
        self.commit(&Transaction::new().flush_ruleset())
    }
}
