//! Converts expressions to libnftnl objects.

use std::ffi::CStr;
use std::io;

use crate::attr::Attributes;
use crate::bytecode::{Expr, LookupSet, RegisterRange};
use crate::netlink::expr::{
    NFPROTO_INET, NFT_BITWISE_MASK_XOR, NFT_BYTEORDER_HTON, NFT_LOOKUP_F_INV, family, nat_type, verdict_number,
};
use crate::sys::nftnl::{self, c};

/// Returns the name of the kernel's expression.
fn kernel_name(expr: &Expr) -> Option<&'static CStr> {
    Some(match expr {
        Expr::Bitwise(_) => c"bitwise",
        Expr::Byteorder { .. } => c"byteorder",
        Expr::Cmp { .. } => c"cmp",
        Expr::Counter { .. } => c"counter",
        Expr::Ct { .. } | Expr::CtSet { .. } => c"ct",
        Expr::Fib { .. } => c"fib",
        Expr::Immediate { .. } | Expr::Verdict(_) => c"immediate",
        Expr::Limit(_) => c"limit",
        Expr::Log(_) => c"log",
        Expr::Lookup { .. } => c"lookup",
        Expr::Masq { .. } => c"masq",
        Expr::Meta { .. } | Expr::MetaSet { .. } => c"meta",
        Expr::Nat(_) => c"nat",
        Expr::Notrack => c"notrack",
        // The only two that `extension` accepts.
        Expr::Opaque { name, .. } => match &**name {
            "match" => c"match",
            _ => c"target",
        },
        Expr::Payload { .. } => c"payload",
        Expr::Queue(_) => c"queue",
        Expr::Range { .. } => c"range",
        Expr::Redir { .. } => c"redir",
        Expr::Reject(_) => c"reject",
        Expr::Socket { .. } => c"socket",
        Expr::Tproxy(_) => c"tproxy",
        _ => return None,
    })
}

/// Converts `expr` to a libnftnl object, `None` when there is none for it; `set_id` numbers the
/// anonymous set that a lookup refers to.
pub(super) fn build(expr: &Expr, set_id: u32) -> io::Result<Option<nftnl::Expr>> {
    let extension = match expr {
        Expr::Opaque { name, data, .. } => match extension(name, data) {
            None => return Ok(None),
            some => some,
        },
        _ => None,
    };
    let Some(name) = kernel_name(expr) else { return super::plain::plain(expr) };
    let mut object = nftnl::Expr::new(name)?;
    let o = &mut object;
    match expr {
        Expr::Bitwise(code) => {
            o.u32(c::NFTNL_EXPR_BITWISE_SREG, code.reg.0);
            o.u32(c::NFTNL_EXPR_BITWISE_DREG, code.reg.0);
            o.u32(c::NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_MASK_XOR);
            o.u32(c::NFTNL_EXPR_BITWISE_LEN, code.mask.len() as u32);
            o.data(c::NFTNL_EXPR_BITWISE_MASK, &code.mask)?;
            o.data(c::NFTNL_EXPR_BITWISE_XOR, &code.xor)?;
        }
        Expr::Byteorder { reg, len } => {
            o.u32(c::NFTNL_EXPR_BYTEORDER_SREG, reg.0);
            o.u32(c::NFTNL_EXPR_BYTEORDER_DREG, reg.0);
            o.u32(c::NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
            o.u32(c::NFTNL_EXPR_BYTEORDER_LEN, *len);
            o.u32(c::NFTNL_EXPR_BYTEORDER_SIZE, *len);
        }
        Expr::Cmp { sreg, op, data } => {
            o.u32(c::NFTNL_EXPR_CMP_SREG, sreg.0);
            o.u32(c::NFTNL_EXPR_CMP_OP, op.number());
            o.data(c::NFTNL_EXPR_CMP_DATA, data)?;
        }
        Expr::Counter { packets, bytes } => {
            o.u64(c::NFTNL_EXPR_CTR_PACKETS, *packets);
            o.u64(c::NFTNL_EXPR_CTR_BYTES, *bytes);
        }
        Expr::Ct { key, dreg } => {
            o.u32(c::NFTNL_EXPR_CT_KEY, key.0);
            o.u32(c::NFTNL_EXPR_CT_DREG, dreg.0);
        }
        Expr::CtSet { key, sreg } => {
            o.u32(c::NFTNL_EXPR_CT_KEY, key.0);
            o.u32(c::NFTNL_EXPR_CT_SREG, sreg.0);
        }
        Expr::Fib { result, flags, dreg } => {
            o.u32(c::NFTNL_EXPR_FIB_DREG, dreg.0);
            o.u32(c::NFTNL_EXPR_FIB_RESULT, result.0);
            o.u32(c::NFTNL_EXPR_FIB_FLAGS, flags.0);
        }
        Expr::Immediate { dreg, data } => {
            o.u32(c::NFTNL_EXPR_IMM_DREG, dreg.0);
            o.data(c::NFTNL_EXPR_IMM_DATA, data)?;
        }
        Expr::Limit(code) => {
            o.u64(c::NFTNL_EXPR_LIMIT_RATE, code.rate);
            o.u64(c::NFTNL_EXPR_LIMIT_UNIT, code.unit);
            o.u32(c::NFTNL_EXPR_LIMIT_BURST, code.burst);
            o.u32(c::NFTNL_EXPR_LIMIT_TYPE, code.kind);
            o.u32(c::NFTNL_EXPR_LIMIT_FLAGS, code.flags);
        }
        Expr::Log(code) => {
            if let Some(prefix) = &code.prefix {
                o.text(c::NFTNL_EXPR_LOG_PREFIX, prefix)?;
            }
            if let Some(level) = code.level {
                o.u32(c::NFTNL_EXPR_LOG_LEVEL, level);
            }
            if let Some(group) = code.group {
                o.u16(c::NFTNL_EXPR_LOG_GROUP, group);
            }
            if let Some(snaplen) = code.snaplen {
                o.u32(c::NFTNL_EXPR_LOG_SNAPLEN, snaplen);
            }
            if let Some(threshold) = code.queue_threshold {
                o.u16(c::NFTNL_EXPR_LOG_QTHRESHOLD, threshold);
            }
            if code.flags != 0 {
                o.u32(c::NFTNL_EXPR_LOG_FLAGS, code.flags);
            }
        }
        Expr::Lookup { sreg, dreg, set, inverted } => {
            o.u32(c::NFTNL_EXPR_LOOKUP_SREG, sreg.0);
            if let Some(dreg) = dreg {
                o.u32(c::NFTNL_EXPR_LOOKUP_DREG, dreg.0);
            }
            match set {
                LookupSet::Anonymous(set) => {
                    o.text(c::NFTNL_EXPR_LOOKUP_SET, &crate::netlink::encode::anonymous_name(expr, set))?;
                    o.u32(c::NFTNL_EXPR_LOOKUP_SET_ID, set_id);
                }
                LookupSet::Named(name) => o.text(c::NFTNL_EXPR_LOOKUP_SET, name.as_str())?,
            }
            if *inverted {
                o.u32(c::NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
            }
        }
        Expr::Masq { ports, flags } => {
            range(o, *ports, c::NFTNL_EXPR_MASQ_REG_PROTO_MIN, c::NFTNL_EXPR_MASQ_REG_PROTO_MAX);
            if *flags != 0 {
                o.u32(c::NFTNL_EXPR_MASQ_FLAGS, *flags);
            }
        }
        Expr::Meta { key, dreg } => {
            o.u32(c::NFTNL_EXPR_META_KEY, key.0);
            o.u32(c::NFTNL_EXPR_META_DREG, dreg.0);
        }
        Expr::MetaSet { key, sreg } => {
            o.u32(c::NFTNL_EXPR_META_KEY, key.0);
            o.u32(c::NFTNL_EXPR_META_SREG, sreg.0);
        }
        Expr::Nat(code) => {
            o.u32(c::NFTNL_EXPR_NAT_TYPE, nat_type(code.kind));
            o.u32(c::NFTNL_EXPR_NAT_FAMILY, code.family.map_or(NFPROTO_INET, family));
            range(o, code.addresses, c::NFTNL_EXPR_NAT_REG_ADDR_MIN, c::NFTNL_EXPR_NAT_REG_ADDR_MAX);
            range(o, code.ports, c::NFTNL_EXPR_NAT_REG_PROTO_MIN, c::NFTNL_EXPR_NAT_REG_PROTO_MAX);
            if code.flags != 0 {
                o.u32(c::NFTNL_EXPR_NAT_FLAGS, code.flags);
            }
        }
        Expr::Notrack => {}
        Expr::Opaque { .. } => {
            if let Some((name, revision, information)) = extension {
                // The same numbers for matches and targets.
                o.text(c::NFTNL_EXPR_MT_NAME, name)?;
                o.u32(c::NFTNL_EXPR_MT_REV, revision);
                o.information(c::NFTNL_EXPR_MT_INFO, information)?;
            }
        }
        Expr::Payload { base, offset, len, dreg } => {
            o.u32(c::NFTNL_EXPR_PAYLOAD_BASE, base.0);
            o.u32(c::NFTNL_EXPR_PAYLOAD_OFFSET, *offset);
            o.u32(c::NFTNL_EXPR_PAYLOAD_LEN, *len);
            o.u32(c::NFTNL_EXPR_PAYLOAD_DREG, dreg.0);
        }
        Expr::Queue(code) => {
            o.u16(c::NFTNL_EXPR_QUEUE_NUM, code.num);
            o.u16(c::NFTNL_EXPR_QUEUE_TOTAL, code.total);
            o.u16(c::NFTNL_EXPR_QUEUE_FLAGS, code.flags);
        }
        Expr::Range { sreg, op, low, high } => {
            o.u32(c::NFTNL_EXPR_RANGE_SREG, sreg.0);
            o.u32(c::NFTNL_EXPR_RANGE_OP, op.number());
            o.data(c::NFTNL_EXPR_RANGE_FROM_DATA, low)?;
            o.data(c::NFTNL_EXPR_RANGE_TO_DATA, high)?;
        }
        Expr::Redir { ports, flags } => {
            range(o, *ports, c::NFTNL_EXPR_REDIR_REG_PROTO_MIN, c::NFTNL_EXPR_REDIR_REG_PROTO_MAX);
            if *flags != 0 {
                o.u32(c::NFTNL_EXPR_REDIR_FLAGS, *flags);
            }
        }
        Expr::Reject(code) => {
            o.u32(c::NFTNL_EXPR_REJECT_TYPE, code.kind);
            o.u8(c::NFTNL_EXPR_REJECT_CODE, code.code);
        }
        Expr::Socket { key, dreg } => {
            o.u32(c::NFTNL_EXPR_SOCKET_KEY, key.0);
            o.u32(c::NFTNL_EXPR_SOCKET_DREG, dreg.0);
        }
        Expr::Tproxy(code) => {
            o.u32(c::NFTNL_EXPR_TPROXY_FAMILY, code.family.map_or(0, family));
            if let Some(address) = code.address {
                o.u32(c::NFTNL_EXPR_TPROXY_REG_ADDR, address.0);
            }
            if let Some(port) = code.port {
                o.u32(c::NFTNL_EXPR_TPROXY_REG_PORT, port.0);
            }
        }
        Expr::Verdict(verdict) => {
            o.u32(c::NFTNL_EXPR_IMM_DREG, 0);
            o.u32(c::NFTNL_EXPR_IMM_VERDICT, verdict_number(verdict));
            if let Some(chain) = verdict.target() {
                o.text(c::NFTNL_EXPR_IMM_CHAIN, chain.as_str())?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(object))
}

/// Returns name, revision and data of an xtables extension (`enum nft_match_attributes` and `enum
/// nft_target_attributes`, include/uapi/linux/netfilter/nf_tables_compat.h), if it has nothing
/// else.
fn extension<'a>(name: &str, data: &'a [u8]) -> Option<(&'a str, u32, &'a [u8])> {
    let parts: Result<Vec<_>, _> = Attributes::new(data).collect();
    match parts.as_deref() {
        Ok([first, second, third])
            if matches!(name, "match" | "target") && (first.kind, second.kind, third.kind) == (1, 2, 3) =>
        {
            let name = first.text().filter(|name| (1..=EXTENSION).contains(&name.len()))?;
            Some((name, second.be32()?, third.value))
        }
        _ => None,
    }
}

/// `XT_EXTENSION_MAXNAMELEN` - 1, include/uapi/linux/netfilter/x_tables.h.
const EXTENSION: usize = 28;

fn range(object: &mut nftnl::Expr, range: RegisterRange, min: u32, max: u32) {
    if let Some(register) = range.min {
        object.u32(min, register.0);
    }
    if let Some(register) = range.max {
        object.u32(max, register.0);
    }
}
