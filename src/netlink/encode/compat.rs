//! An attribute that rules with xtables extensions need in addition to their expressions.
//!
//! An extension may require a protocol (`-m tcp` requires `-p tcp`). nf_tables takes the protocol
//! from an attribute of the rule that it never reports (`nft_parse_compat`,
//! net/netfilter/nft_compat.c, v6.12), so it has to be derived from the rule's own checks as
//! iptables-nft writes them: the protocol of the IPv4 header, or of the packet, compared with a
//! constant.

use crate::bytecode::{CmpOp, Expr, MetaKey, PayloadBase, Register};

/// `enum nft_rule_compat_attributes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::netlink) struct Compat {
    /// Number of the protocol, 0 for any.
    pub(in crate::netlink) protocol: u32,
    /// `NFT_RULE_COMPAT_F_*`: 2 means every other protocol.
    pub(in crate::netlink) flags: u32,
}

impl Compat {
    /// Returns `None` for a rule without extensions, or without a check of the protocol.
    pub(in crate::netlink) fn of(exprs: &[Expr]) -> Option<Compat> {
        let first = exprs.iter().position(is_extension)?;
        let before = exprs.get(..first)?;
        before.windows(2).find_map(|pair| match pair {
            [load, Expr::Cmp { sreg, op, data }] if loads_protocol(load) == Some(*sreg) => {
                match (op, data.as_slice()) {
                    (CmpOp::Eq, [protocol]) => Some(Compat { protocol: u32::from(*protocol), flags: 0 }),
                    (CmpOp::Ne, [protocol]) => {
                        Some(Compat { protocol: u32::from(*protocol), flags: NFT_RULE_COMPAT_F_INV })
                    }
                    _ => None,
                }
            }
            _ => None,
        })
    }
}

fn is_extension(expr: &Expr) -> bool {
    matches!(expr, Expr::Opaque { name, .. } if matches!(&**name, "match" | "target"))
}

/// Returns the register into which the protocol of the packet is loaded.
fn loads_protocol(expr: &Expr) -> Option<Register> {
    match expr {
        Expr::Meta { key: MetaKey::L4PROTO, dreg } => Some(*dreg),
        Expr::Payload { base: PayloadBase::NETWORK, offset: 9, len: 1, dreg } => Some(*dreg),
        _ => None,
    }
}

/// include/uapi/linux/netfilter/nf_tables_compat.h
const NFT_RULE_COMPAT_F_INV: u32 = 2;
