//! Commits that return the handles of the rules they add.

use std::collections::HashMap;

use super::live::{Kernel, Prepared, of_nftables};
use crate::attr::Messages;
use crate::attr::nfta::NFTA_RULE_HANDLE;
use crate::error::{Error, Kind, Result};
use crate::model::RuleHandle;
use crate::netlink::kind;
use crate::plan::Transaction;

impl Kernel {
    /// Commits a transaction as [`commit`](Self::commit) does, and returns the handles of the
    /// rules that it adds, replaces and restores, in the order of its operations.
    ///
    /// The kernel sends every such rule back (`NLM_F_ECHO`).
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit). It also fails, before anything is sent, when the answer
    /// would not fit the receive buffer (`net.core.rmem_max`); split the transaction then.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let out = TableId::new(Family::Inet, "mesh").chain("out");
    /// let mut kernel = Kernel::open()?;
    /// let handles = kernel.commit_echo(&Transaction::new().add_rule(&out, Rule::new().accept()))?;
    /// if let [handle] = handles.as_slice() {
    ///     kernel.commit(&Transaction::new().delete_rule(&out, *handle))?;
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "NLM_F_ECHO")]
    pub fn commit_echo(&mut self, transaction: &Transaction) -> Result<Vec<RuleHandle>> {
        self.commit_declared(transaction, Self::send_for_handles)
    }

    fn send_for_handles(&mut self, mut prepared: Prepared<'_>) -> Result<Vec<RuleHandle>> {
        let Prepared { transaction, encoded, .. } = &mut prepared;
        let rules = encoded.ask_for_rules(transaction);
        if rules.is_empty() {
            self.commit_prepared(&prepared)?;
            return Ok(Vec::new());
        }
        self.make_room(rules.len(), prepared.len())?;
        let mut handles = HashMap::new();
        self.send(&prepared, |datagram| {
            for message in Messages::new(datagram) {
                let message = message?;
                if message.kind == of_nftables(kind::NEWRULE) {
                    let handle = message
                        .netfilter()
                        .and_then(|(_, attributes)| attributes.find(NFTA_RULE_HANDLE)?.need_be64().ok());
                    handles.extend(handle.map(|handle| (message.sequence, RuleHandle(handle))));
                }
            }
            Ok(())
        })?;
        let handles: Option<Vec<_>> = rules.iter().map(|sequence| handles.get(sequence).copied()).collect();
        handles.ok_or_else(|| {
            let text =
                "the transaction is committed, but the kernel did not return the handles of its rules; read them";
            Error::new(Kind::Other, text)
        })
    }

    /// Makes room for the answer: each rule comes back about as long as it was sent, at worst in a
    /// separate datagram.
    fn make_room(&mut self, rules: usize, sent: usize) -> Result<()> {
        let wanted = rules.saturating_mul(DATAGRAM).saturating_add(sent.saturating_mul(2));
        let room = self.socket.ensure_receive_buffer(wanted).map_err(|cause| Error::io("make room", cause))?;
        if room >= wanted {
            return Ok(());
        }
        let text = format!(
            "the handles of {rules} rules take a receive buffer of up to {wanted} bytes and {room} are allowed: raise \
             net.core.rmem_max, or add fewer rules in one transaction"
        );
        Err(Error::new(Kind::Other, text))
    }
}

/// The least that one message of the kernel takes of a receive buffer: NLMSG_GOODSIZE,
/// include/linux/netlink.h, and bookkeeping.
const DATAGRAM: usize = 8192;
