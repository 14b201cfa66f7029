//! Chains that are bound to one rule: `jump { ... }`. They have no given name: a batch numbers
//! them, adds their rules by that number, and then the rule that jumps to them.

use super::*;
use crate::attr::nfta::*;
use crate::model::Verdict;
use crate::netlink::expr::verdict_number;

impl Encoder<'_> {
    pub(super) fn add_bound_chain(
        &mut self,
        index: usize,
        table: &TableId,
        name: &Name,
        userdata: &[u8],
        opaque: &[u8],
    ) -> Result<(), Unencodable> {
        let number = u32::try_from(self.bound.len()).unwrap_or(u32::MAX).wrapping_add(1);
        self.bound.insert((table.clone(), name.clone()), number);
        let header = self.header(index, MessagePart::Itself, kind::NEWCHAIN, table, flag::CREATE);
        self.messages.message(header, |a| {
            a.text(NFTA_CHAIN_TABLE, table.name.as_str())?;
            a.be32(NFTA_CHAIN_FLAGS, NFT_CHAIN_BINDING);
            a.be32(NFTA_CHAIN_ID, number);
            if !userdata.is_empty() {
                a.bytes(NFTA_CHAIN_USERDATA, userdata, usize::from(u16::MAX))?;
            }
            a.raw(opaque);
            Ok(())
        })?;
        Ok(())
    }

    /// Returns the attribute of a rule that names its bound chain.
    pub(super) fn bound_chain(&self, table: &TableId, name: &Name) -> Option<Vec<u8>> {
        let number = self.number_of(table, name)?;
        let mut bytes = Vec::new();
        AttributeWriter::new(&mut bytes).be32(NFTA_RULE_CHAIN_ID, number);
        Some(bytes)
    }

    /// Turns jumps to bound chains into jumps to their numbers.
    pub(super) fn bind(&self, table: &TableId, exprs: &mut [Expr]) {
        if self.bound.is_empty() {
            return;
        }
        for expr in exprs {
            let Expr::Verdict(verdict @ (Verdict::Jump(name) | Verdict::Goto(name))) = &*expr else { continue };
            let Some(number) = self.number_of(table, name) else { continue };
            let code = verdict_number(verdict);
            let mut data = Vec::new();
            let mut a = AttributeWriter::new(&mut data);
            a.be32(NFTA_IMMEDIATE_DREG, 0);
            let written = a.nest(NFTA_IMMEDIATE_DATA, |a| {
                a.nest(NFTA_DATA_VERDICT, |a| {
                    a.be32(NFTA_VERDICT_CODE, code);
                    a.be32(NFTA_VERDICT_CHAIN_ID, number);
                    Ok(())
                })
            });
            written.expect("two numbers fit an attribute");
            *expr = Expr::Opaque { name: "immediate".into(), data: data.into(), set: None };
        }
    }

    fn number_of(&self, table: &TableId, name: &Name) -> Option<u32> {
        if self.bound.is_empty() {
            return None;
        }
        self.bound.get(&(table.clone(), name.clone())).copied()
    }
}

// include/uapi/linux/netfilter/nf_tables.h
const NFT_CHAIN_BINDING: u32 = 4;
