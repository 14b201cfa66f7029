//! Tables and chains: `nf_tables_newtable`, `nf_tables_newchain` and what takes them away.

use super::machine::{Batch, PORT};
use super::stop::{Outcome, Stop, refuse, refuse_whole};
use super::verdicts;
use crate::attr::nfta::{NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_TABLE_NAME};
use crate::model::{ChainHandle, ChainId, TableFlags, TableHandle, TableId};
use crate::state::{ChainState, TableState};

impl Batch<'_> {
    pub(super) fn add_table(&mut self, id: &TableId, flags: u32, userdata: Vec<u8>) -> Outcome {
        let owner = TableFlags::OWNER.bits();
        if let Ok(found) = self.table(id, 0) {
            if flags == 0 || flags == found.flags {
                return Ok(());
            }
            if (flags ^ found.flags) & !TableFlags::DORMANT.bits() != 0 {
                return refuse_whole(libc::EOPNOTSUPP);
            }
            let handle = found.handle;
            if self.toggled.contains(&handle) || self.pending.contains(&handle) {
                return refuse_whole(libc::EINVAL);
            }
            self.table(id, 0)?.flags = flags;
            self.toggled.insert(handle);
            self.has_changed = true;
            return Ok(());
        }
        self.counts.table.0 += 1;
        let (sets, chains, objects, opaque) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (id, handle, owner) = (id.clone(), self.counts.table, (flags & owner != 0).then_some(PORT));
        let table = TableState { id, handle, flags, owner, uses: 0, userdata, sets, chains, objects, opaque };
        self.held.tables.push(table);
        self.has_changed = true;
        Ok(())
    }

    pub(super) fn delete_table(&mut self, id: &TableId) -> Outcome {
        self.table(id, NFTA_TABLE_NAME)?;
        self.held.tables.retain(|table| table.id != *id);
        self.has_changed = true;
        Ok(())
    }

    /// nf_tables_newchain and nf_tables_updchain.
    pub(super) fn add_chain(&mut self, id: &TableId, chain: ChainState) -> Outcome {
        let table = self.table(id, NFTA_CHAIN_TABLE)?;
        let handle = table.handle;
        let Some(found) = table.chains.iter_mut().find(|found| found.name == chain.name) else {
            if chain.hook.is_some() && self.toggled.contains(&handle) {
                return refuse_whole(libc::EINVAL);
            }
            let number = ChainHandle(self.number(handle));
            self.table(id, NFTA_CHAIN_TABLE)?.chains.push(ChainState { handle: number, ..chain });
            self.has_changed = true;
            return Ok(());
        };
        if found.flags & NFT_CHAIN_BINDING != 0 || chain.flags & NFT_CHAIN_BINDING != 0 {
            return Err(Stop::Unknown(format!("chain {} belongs to a rule", chain.name)));
        }
        if let Some(wanted) = chain.hook {
            let Some(hook) = &mut found.hook else { return refuse(libc::EOPNOTSUPP, NFTA_CHAIN_POLICY) };
            // nft_chain_parse_hook looks at the numbers first.
            if (wanted.hook, wanted.priority, &wanted.devices) != (hook.hook, hook.priority, &hook.devices) {
                return refuse_whole(libc::EOPNOTSUPP);
            }
            if wanted.chain_type != hook.chain_type {
                return refuse(libc::EEXIST, NFTA_CHAIN_NAME);
            }
            hook.policy = wanted.policy;
        }
        self.pending.insert(handle);
        self.has_changed = true;
        Ok(())
    }

    /// nf_tables_delchain: the rules go with it, but not those that jump to it.
    pub(super) fn delete_chain(&mut self, id: &ChainId) -> Outcome {
        let table = self.table(&id.table, NFTA_CHAIN_TABLE)?.clone();
        let Some(index) = table.chains.iter().position(|chain| chain.name == id.name) else {
            return refuse(libc::ENOENT, NFTA_CHAIN_NAME);
        };
        let jumped_to = verdicts::targets(&table, &self.gone).any(|name| *name == id.name);
        self.empty_chain(table.handle, table.chains.get(index).into_iter());
        if jumped_to {
            return refuse(libc::EBUSY, NFTA_CHAIN_NAME);
        }
        let chain = self.table(&id.table, NFTA_CHAIN_TABLE)?.chains.remove(index);
        if chain.hook.is_some() {
            self.pending.insert(table.handle);
        }
        self.removed.extend(chain.rules.into_iter().map(|rule| (table.handle, rule)));
        self.has_changed = true;
        Ok(())
    }

    pub(super) fn flush_chain(&mut self, id: &ChainId) -> Outcome {
        let chain = self.chain(id)?.clone();
        let table = self.table(&id.table, NFTA_RULE_TABLE)?.handle;
        self.empty_chain(table, std::iter::once(&chain));
        Ok(())
    }

    pub(super) fn flush_table(&mut self, id: &TableId) -> Outcome {
        let table = self.table(id, NFTA_RULE_TABLE)?.clone();
        self.empty_chain(table.handle, table.chains.iter().filter(|chain| chain.flags & NFT_CHAIN_BINDING == 0));
        Ok(())
    }

    pub(super) fn empty_chain<'c>(&mut self, table: TableHandle, chains: impl Iterator<Item = &'c ChainState>) {
        for rule in chains.flat_map(|chain| &chain.rules) {
            self.has_changed |= self.gone.insert((table, rule.handle));
        }
    }
}

/// `NFT_CHAIN_BINDING`, include/uapi/linux/netfilter/nf_tables.h.
pub(super) const NFT_CHAIN_BINDING: u32 = 4;
