//! What a rule with xtables extensions must say of itself beside its expressions.
//!
//! An extension may insist on a protocol (`-m tcp` on `-p tcp`). nf_tables takes it from an
//! attribute of the rule that it never says back (`nft_parse_compat`, net/netfilter/nft_compat.c,
//! v6.12), so it has to be found in the rule's own checks, as iptables-nft writes
//! them: the protocol of the IPv4 header, or of the packet, against a constant.

use crate::bytecode::{CmpOp, Expr, MetaKey, PayloadBase, Register};

/// `enum nft_rule_compat_attributes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::netlink) struct Compat {
    /// Number of the protocol, 0 for any.
    pub(in crate::netlink) protocol: u32,
    /// `NFT_RULE_COMPAT_F_*`: 2 for every protocol but that one.
    pub(in crate::netlink) flags: u32,
}

impl Compat {
    /// `None` for a rule without extensions, or without a check of the protocol.
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

/// The register that the protocol of the packet is loaded into.
fn loads_protocol(expr: &Expr) -> Option<Register> {
    match expr {
        Expr::Meta { key: MetaKey::L4PROTO, dreg } => Some(*dreg),
        Expr::Payload { base: PayloadBase::NETWORK, offset: 9, len: 1, dreg } => Some(*dreg),
        _ => None,
    }
}

/// include/uapi/linux/netfilter/nf_tables_compat.h
const NFT_RULE_COMPAT_F_INV: u32 = 2;
