//! Writes expressions as attributes of a rule, a set or an element.

mod plain;
mod reported;

use super::decode::NFT_DYNSET_F_EXPR;
use crate::attr::nfta::*;
use std::io;

use crate::attr::{self, AttributeWriter};
use crate::bytecode::{DynsetCode, Expr, InnerCode, LookupSet, ObjrefMapCode, RegisterRange};
use crate::model::{IpFamily, NatKind, Verdict};

/// Returns the kernel option that provides the expression.
pub(super) fn kernel_option(expr: &Expr) -> &'static str {
    if matches!(expr, Expr::Opaque { .. }) && !matches!(expr.name(), "match" | "target") {
        return "a newer kernel or the expression's module";
    }
    match expr.name() {
        "connlimit" => "CONFIG_NFT_CONNLIMIT",
        "ct" | "notrack" => "CONFIG_NFT_CT",
        "dup" => "CONFIG_NFT_DUP_IPV4 or CONFIG_NFT_DUP_NETDEV",
        "fib" => "CONFIG_NFT_FIB_INET",
        "flow_offload" => "CONFIG_NFT_FLOW_OFFLOAD",
        "fwd" => "CONFIG_NFT_FWD_NETDEV",
        "hash" => "CONFIG_NFT_HASH",
        "limit" => "CONFIG_NFT_LIMIT",
        "log" => "CONFIG_NFT_LOG",
        "masq" => "CONFIG_NFT_MASQ",
        "match" => "CONFIG_NFT_COMPAT and the xtables match",
        "nat" => "CONFIG_NFT_NAT",
        "numgen" => "CONFIG_NFT_NUMGEN",
        "osf" => "CONFIG_NFT_OSF",
        "queue" => "CONFIG_NFT_QUEUE",
        "quota" => "CONFIG_NFT_QUOTA",
        "redir" => "CONFIG_NFT_REDIR",
        "reject" => "CONFIG_NFT_REJECT",
        "socket" => "CONFIG_NFT_SOCKET",
        "synproxy" => "CONFIG_NFT_SYNPROXY",
        "target" => "CONFIG_NFT_COMPAT and the xtables target",
        "tproxy" => "CONFIG_NFT_TPROXY",
        "tunnel" => "CONFIG_NFT_TUNNEL",
        "xfrm" => "CONFIG_NFT_XFRM",
        _ => "CONFIG_NF_TABLES",
    }
}

/// Writes name and attributes of `expr` (`enum nft_expr_attributes`); `set_id` numbers the
/// anonymous set that a lookup refers to.
///
/// Numbers are those of include/uapi/linux/netfilter/nf_tables.h, `enum nft_*_attributes`; the
/// order is libnftnl's.
pub(super) fn write(a: &mut AttributeWriter<'_>, expr: &Expr, set_id: u32) -> io::Result<()> {
    a.text(NFTA_EXPR_NAME, expr.name())?;
    match expr {
        Expr::Notrack => Ok(()),
        // Without attributes there is no list of them.
        Expr::Opaque { name: _, data, set: None } if data.is_empty() => Ok(()),
        _ => a.nest(NFTA_EXPR_DATA, |a| attributes(a, expr, set_id)),
    }
}

fn attributes(a: &mut AttributeWriter<'_>, expr: &Expr, set_id: u32) -> io::Result<()> {
    match expr {
        Expr::Bitwise(code) => {
            a.be32(NFTA_BITWISE_SREG, code.reg.0);
            a.be32(NFTA_BITWISE_DREG, code.reg.0);
            a.be32(NFTA_BITWISE_OP, NFT_BITWISE_MASK_XOR);
            a.be32(NFTA_BITWISE_LEN, u32::try_from(code.mask.len()).unwrap_or(u32::MAX));
            data(a, NFTA_BITWISE_MASK, &code.mask)?;
            data(a, NFTA_BITWISE_XOR, &code.xor)?;
        }
        Expr::Byteorder { reg, len } => {
            a.be32(NFTA_BYTEORDER_SREG, reg.0);
            a.be32(NFTA_BYTEORDER_DREG, reg.0);
            a.be32(NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON);
            a.be32(NFTA_BYTEORDER_LEN, *len);
            a.be32(NFTA_BYTEORDER_SIZE, *len);
        }
        Expr::Cmp { sreg, op, data } => {
            a.be32(NFTA_CMP_SREG, sreg.0);
            a.be32(NFTA_CMP_OP, op.number());
            self::data(a, NFTA_CMP_DATA, data)?;
        }
        Expr::Counter { packets, bytes } => {
            a.be64(NFTA_COUNTER_BYTES, *bytes);
            a.be64(NFTA_COUNTER_PACKETS, *packets);
        }
        Expr::Ct { key, dreg } => {
            a.be32(NFTA_CT_KEY, key.0);
            a.be32(NFTA_CT_DREG, dreg.0);
        }
        Expr::CtSet { key, sreg } => {
            a.be32(NFTA_CT_KEY, key.0);
            a.be32(NFTA_CT_SREG, sreg.0);
        }
        Expr::Dynset(code) => dynset(a, code, set_id)?,
        Expr::Fib { result, flags, dreg } => {
            a.be32(NFTA_FIB_FLAGS, flags.0);
            a.be32(NFTA_FIB_RESULT, result.0);
            a.be32(NFTA_FIB_DREG, dreg.0);
        }
        Expr::Immediate { dreg, data } => {
            a.be32(NFTA_IMMEDIATE_DREG, dreg.0);
            self::data(a, NFTA_IMMEDIATE_DATA, data)?;
        }
        Expr::Inner(InnerCode { num, kind, flags, header_size, expr }) => {
            a.be32(NFTA_INNER_NUM, *num);
            a.be32(NFTA_INNER_TYPE, *kind);
            a.be32(NFTA_INNER_FLAGS, *flags);
            a.be32(NFTA_INNER_HDRSIZE, *header_size);
            a.nest(NFTA_INNER_EXPR, |a| write(a, expr, 0))?;
        }
        Expr::Limit(code) => {
            a.be64(NFTA_LIMIT_RATE, code.rate);
            a.be64(NFTA_LIMIT_UNIT, code.unit);
            a.be32(NFTA_LIMIT_BURST, code.burst);
            a.be32(NFTA_LIMIT_TYPE, code.kind);
            a.be32(NFTA_LIMIT_FLAGS, code.flags);
        }
        Expr::Log(code) => {
            if let Some(prefix) = &code.prefix {
                a.text(NFTA_LOG_PREFIX, prefix)?;
            }
            if let Some(group) = code.group {
                a.be16(NFTA_LOG_GROUP, group);
            }
            if let Some(snaplen) = code.snaplen {
                a.be32(NFTA_LOG_SNAPLEN, snaplen);
            }
            if let Some(threshold) = code.queue_threshold {
                a.be16(NFTA_LOG_QTHRESHOLD, threshold);
            }
            if let Some(level) = code.level {
                a.be32(NFTA_LOG_LEVEL, level);
            }
            flags(a, NFTA_LOG_FLAGS, code.flags);
        }
        Expr::Lookup { sreg, dreg, set, inverted } => {
            a.be32(NFTA_LOOKUP_SREG, sreg.0);
            if let Some(dreg) = dreg {
                a.be32(NFTA_LOOKUP_DREG, dreg.0);
            }
            match set {
                LookupSet::Anonymous(set) => {
                    a.text(NFTA_LOOKUP_SET, &super::encode::anonymous_name(expr, set))?;
                    a.be32(NFTA_LOOKUP_SET_ID, set_id);
                }
                LookupSet::Named(name) => a.text(NFTA_LOOKUP_SET, name.as_str())?,
            }
            if *inverted {
                a.be32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
            }
        }
        Expr::Masq { ports, flags } => {
            self::flags(a, NFTA_MASQ_FLAGS, *flags);
            range(a, *ports, NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX);
        }
        Expr::Meta { key, dreg } => {
            a.be32(NFTA_META_KEY, key.0);
            a.be32(NFTA_META_DREG, dreg.0);
        }
        Expr::MetaSet { key, sreg } => {
            a.be32(NFTA_META_KEY, key.0);
            a.be32(NFTA_META_SREG, sreg.0);
        }
        Expr::Nat(code) => {
            a.be32(NFTA_NAT_TYPE, nat_type(code.kind));
            a.be32(NFTA_NAT_FAMILY, code.family.map_or(NFPROTO_INET, family));
            range(a, code.addresses, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_ADDR_MAX);
            range(a, code.ports, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_REG_PROTO_MAX);
            flags(a, NFTA_NAT_FLAGS, code.flags);
        }
        Expr::Notrack => {}
        Expr::ObjrefMap(ObjrefMapCode { sreg, set, anonymous }) => {
            a.be32(NFTA_OBJREF_SET_SREG, sreg.0);
            a.text(NFTA_OBJREF_SET_NAME, set.as_str())?;
            if anonymous.is_some() {
                a.be32(NFTA_OBJREF_SET_ID, set_id);
            }
        }
        Expr::Opaque { name, data, set } => {
            if is_unread(name, data) {
                let text = format!("{name} expression: its contents are not known here, so it cannot be sent");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            opaque(a, name, data);
            if let (Some(_), Some((_, number))) = (set, Expr::set_attributes(name)) {
                a.be32(number, set_id);
            }
        }
        Expr::Payload { base, offset, len, dreg } => {
            a.be32(NFTA_PAYLOAD_DREG, dreg.0);
            a.be32(NFTA_PAYLOAD_BASE, base.0);
            a.be32(NFTA_PAYLOAD_OFFSET, *offset);
            a.be32(NFTA_PAYLOAD_LEN, *len);
        }
        Expr::Queue(code) => {
            a.be16(NFTA_QUEUE_NUM, code.num);
            a.be16(NFTA_QUEUE_TOTAL, code.total);
            a.be16(NFTA_QUEUE_FLAGS, code.flags);
        }
        Expr::Range { sreg, op, low, high } => {
            a.be32(NFTA_RANGE_SREG, sreg.0);
            a.be32(NFTA_RANGE_OP, op.number());
            data(a, NFTA_RANGE_FROM_DATA, low)?;
            data(a, NFTA_RANGE_TO_DATA, high)?;
        }
        Expr::Redir { ports, flags } => {
            range(a, *ports, NFTA_REDIR_REG_PROTO_MIN, NFTA_REDIR_REG_PROTO_MAX);
            self::flags(a, NFTA_REDIR_FLAGS, *flags);
        }
        Expr::Reject(code) => {
            a.be32(NFTA_REJECT_TYPE, code.kind);
            a.u8(NFTA_REJECT_ICMP_CODE, code.code);
        }
        Expr::Socket { key, dreg } => {
            a.be32(NFTA_SOCKET_KEY, key.0);
            a.be32(NFTA_SOCKET_DREG, dreg.0);
        }
        Expr::Tproxy(code) => {
            a.be32(NFTA_TPROXY_FAMILY, code.family.map_or(0, family));
            if let Some(address) = code.address {
                a.be32(NFTA_TPROXY_REG_ADDR, address.0);
            }
            if let Some(port) = code.port {
                a.be32(NFTA_TPROXY_REG_PORT, port.0);
            }
        }
        Expr::Verdict(verdict) => {
            a.be32(NFTA_IMMEDIATE_DREG, 0);
            self::verdict(a, NFTA_IMMEDIATE_DATA, verdict)?;
        }
        expr => plain::plain(a, expr)?,
    }
    Ok(())
}

fn dynset(a: &mut AttributeWriter<'_>, code: &DynsetCode, set_id: u32) -> io::Result<()> {
    let DynsetCode { set, anonymous, op, key, data, timeout, exprs, flags } = code;
    a.be32(NFTA_DYNSET_SREG_KEY, key.0);
    if let Some(data) = data {
        a.be32(NFTA_DYNSET_SREG_DATA, data.0);
    }
    a.be32(NFTA_DYNSET_OP, *op);
    if let Some(timeout) = timeout {
        a.be64(NFTA_DYNSET_TIMEOUT, *timeout);
    }
    a.text(NFTA_DYNSET_SET_NAME, set.as_str())?;
    if anonymous.is_some() {
        a.be32(NFTA_DYNSET_SET_ID, set_id);
    }
    let several = if exprs.len() > 1 { NFT_DYNSET_F_EXPR } else { 0 };
    match exprs.as_slice() {
        [] => {}
        [expr] => a.nest(NFTA_DYNSET_EXPR, |a| write(a, expr, 0))?,
        exprs => a.nest(NFTA_DYNSET_EXPRESSIONS, |a| {
            exprs.iter().try_for_each(|expr| a.nest(NFTA_LIST_ELEM, |a| write(a, expr, 0)))
        })?,
    }
    self::flags(a, NFTA_DYNSET_FLAGS, flags | several);
    Ok(())
}

/// Writes attributes as the kernel reported them, without those it does not accept.
fn opaque(a: &mut AttributeWriter<'_>, name: &str, data: &[u8]) {
    let all = attr::Attributes::new(data);
    let is_reported = |attribute: &attr::Attribute<'_>| reported::only_reported(name, &all, attribute);
    let each = || all.clone().map_while(Result::ok);
    if each().any(|attribute| is_reported(&attribute)) {
        each().filter(|attribute| !is_reported(attribute)).for_each(|attribute| a.raw(attribute.raw));
    } else {
        a.raw(data);
    }
}

/// Writes a constant (`enum nft_data_attributes`).
pub(super) fn data(a: &mut AttributeWriter<'_>, kind: u16, value: &[u8]) -> io::Result<()> {
    a.nest(kind, |a| a.bytes(NFTA_DATA_VALUE, value, VALUE))
}

/// Writes a verdict (`enum nft_verdict_attributes`).
pub(super) fn verdict(a: &mut AttributeWriter<'_>, kind: u16, verdict: &Verdict) -> io::Result<()> {
    a.nest(kind, |a| {
        a.nest(NFTA_DATA_VERDICT, |a| {
            a.be32(NFTA_VERDICT_CODE, verdict_number(verdict));
            verdict.target().map_or(Ok(()), |chain| a.text(NFTA_VERDICT_CHAIN, chain.as_str()))
        })
    })
}

/// Writes a number, unless it is 0.
fn flags(a: &mut AttributeWriter<'_>, kind: u16, flags: u32) {
    if flags != 0 {
        a.be32(kind, flags);
    }
}

fn range(a: &mut AttributeWriter<'_>, range: RegisterRange, min: u16, max: u16) {
    if let Some(register) = range.min {
        a.be32(min, register.0);
    }
    if let Some(register) = range.max {
        a.be32(max, register.0);
    }
}

/// Returns `NF_*` and `NFT_*` verdicts, include/uapi/linux/netfilter.h and nf_tables.h.
pub(super) fn verdict_number(verdict: &Verdict) -> u32 {
    let code: i32 = match verdict {
        Verdict::Accept => 1,
        Verdict::Continue => -1,
        Verdict::Drop => 0,
        Verdict::Goto(_) => -4,
        Verdict::Jump(_) => -3,
        Verdict::Return => -5,
    };
    u32::from_ne_bytes(code.to_ne_bytes())
}

/// Returns `enum nft_nat_types`.
pub(super) fn nat_type(kind: NatKind) -> u32 {
    match kind {
        NatKind::Dnat => 1,
        NatKind::Snat => 0,
    }
}

/// Returns `NFPROTO_*`.
pub(super) fn family(family: IpFamily) -> u32 {
    match family {
        IpFamily::Ipv4 => 2,
        IpFamily::Ipv6 => 10,
    }
}

/// Returns whether this is an extension of xtables that was named in a text and not decoded: the
/// kernel always reports its data.
fn is_unread(name: &str, data: &[u8]) -> bool {
    let find = |kind| attr::Attributes::new(data).find(kind);
    matches!(name, "match" | "target") && find(NFTA_MATCH_NAME).is_some() && find(NFTA_MATCH_INFO).is_none()
}

pub(super) const NFPROTO_INET: u32 = 1;
pub(super) const NFT_BITWISE_MASK_XOR: u32 = 0;
pub(super) const NFT_BYTEORDER_HTON: u32 = 1;
pub(super) const NFT_LOOKUP_F_INV: u32 = 1;
/// `NFT_DATA_VALUE_MAXLEN`.
const VALUE: usize = 64;
