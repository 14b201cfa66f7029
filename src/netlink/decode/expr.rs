//! Decodes expressions. An expression that is unknown, or that has anything [`Expr`] cannot
//! represent, stays undecoded.

use super::parts::{Data, Parts};
use crate::attr::nfta::*;
use crate::attr::{Attribute, Attributes, Malformed};
use crate::bytecode::{
    BitwiseCode, CmpOp, CtKey, DynsetCode, Expr, FibFlags, FibResult, InnerCode, LimitCode, LogCode, LookupSet,
    MetaKey, NatCode, ObjrefMapCode, PayloadBase, QueueCode, Register, RejectCode, SocketKey, TproxyCode,
};
use crate::model::{IpFamily, Name, NatKind};

/// Decodes a list of expressions (`NFTA_LIST_ELEM` each). If an entry is not an expression, the
/// whole list is added to `opaque` too; sent last, it overrides the decoded one.
pub(super) fn exprs(list: &Attribute<'_>, opaque: &mut Vec<u8>) -> Result<Vec<Expr>, Malformed> {
    let mut exprs = Vec::with_capacity(list.nested().count());
    let mut whole = true;
    for attribute in list.nested() {
        let attribute = attribute?;
        let read = if attribute.kind == NFTA_LIST_ELEM { expr(&attribute)? } else { None };
        whole &= read.is_some();
        exprs.extend(read);
    }
    if !whole {
        opaque.extend(list.raw);
    }
    Ok(exprs)
}

/// Decodes one expression (`enum nft_expr_attributes`); `None` when it has no name, or anything
/// besides name and attributes.
pub(super) fn expr(attribute: &Attribute<'_>) -> Result<Option<Expr>, Malformed> {
    let (mut name, mut data) = (None, None);
    let mut fits = true;
    for part in attribute.nested() {
        let part = part?;
        match (part.kind, name, data) {
            (NFTA_EXPR_NAME, None, _) => name = part.text(),
            (NFTA_EXPR_DATA, _, None) => data = Some(part.value),
            _ => fits = false,
        }
    }
    let Some(name) = name.filter(|_| fits) else { return Ok(None) };
    let data = data.unwrap_or_default();
    let expr = known(name, data)?;
    Ok(Some(expr.unwrap_or_else(|| Expr::Opaque { name: name.into(), data: data.into(), set: None })))
}

/// An expression by its name and attributes; `None` for one that is unknown here.
pub(in crate::netlink) fn known_expr(name: &str, data: &[u8]) -> Option<Expr> {
    known(name, data).ok().flatten()
}

fn known(name: &str, data: &[u8]) -> Result<Option<Expr>, Malformed> {
    if let Some(read) = reader(name) {
        let Some(mut parts) = Parts::read(data)? else { return Ok(None) };
        let expr = read(&mut parts);
        if let Some(expr) = parts.end()?.and(expr) {
            return Ok(Some(expr));
        }
    }
    super::plain::plain(name, data)
}

type Reader = fn(&mut Parts<'_>) -> Option<Expr>;

/// Attribute numbers are those of include/uapi/linux/netfilter/nf_tables.h, `enum
/// nft_*_attributes`.
fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "bitwise" => bitwise,
        "byteorder" => byteorder,
        "cmp" => |p| {
            Some(Expr::Cmp {
                sreg: p.register(NFTA_CMP_SREG)?,
                op: CmpOp::from_number(p.be32(NFTA_CMP_OP)?)?,
                data: p.value(NFTA_CMP_DATA)?,
            })
        },
        "counter" => |p| {
            p.padding(NFTA_COUNTER_PAD);
            Some(Expr::Counter { bytes: p.be64(NFTA_COUNTER_BYTES)?, packets: p.be64(NFTA_COUNTER_PACKETS)? })
        },
        "ct" => |p| {
            let key = CtKey(p.be32(NFTA_CT_KEY)?);
            Some(match p.optional(NFTA_CT_DREG, Parts::register)? {
                Some(dreg) => Expr::Ct { key, dreg },
                None => Expr::CtSet { key, sreg: p.register(NFTA_CT_SREG)? },
            })
        },
        "dynset" => dynset,
        "fib" => |p| {
            Some(Expr::Fib {
                dreg: p.register(NFTA_FIB_DREG)?,
                result: FibResult(p.be32(NFTA_FIB_RESULT)?),
                flags: FibFlags(p.be32(NFTA_FIB_FLAGS)?),
            })
        },
        "immediate" => |p| match (p.register(NFTA_IMMEDIATE_DREG)?, p.data(NFTA_IMMEDIATE_DATA)?) {
            (Register::VERDICT, Data::Verdict(verdict)) => Some(Expr::Verdict(verdict)),
            (Register::VERDICT, _) | (_, Data::Verdict(_)) => None,
            (dreg, Data::Value(data)) => Some(Expr::Immediate { dreg, data }),
        },
        "inner" => inner,
        "limit" => limit,
        "log" => log,
        "lookup" => lookup,
        "masq" => |p| {
            Some(Expr::Masq {
                flags: p.flags(NFTA_MASQ_FLAGS)?,
                ports: p.registers(NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX)?,
            })
        },
        "meta" => |p| {
            let key = MetaKey(p.be32(NFTA_META_KEY)?);
            Some(match p.optional(NFTA_META_DREG, Parts::register)? {
                Some(dreg) => Expr::Meta { key, dreg },
                None => Expr::MetaSet { key, sreg: p.register(NFTA_META_SREG)? },
            })
        },
        "nat" => nat,
        "notrack" => |_| Some(Expr::Notrack),
        "objref" => |p| {
            let sreg = p.register(NFTA_OBJREF_SET_SREG)?;
            Some(Expr::ObjrefMap(ObjrefMapCode { sreg, set: set(p, NFTA_OBJREF_SET_NAME)?, anonymous: None }))
        },
        "payload" => |p| {
            let (dreg, base) = (p.register(NFTA_PAYLOAD_DREG)?, PayloadBase(p.be32(NFTA_PAYLOAD_BASE)?));
            Some(Expr::Payload { base, offset: p.be32(NFTA_PAYLOAD_OFFSET)?, len: p.be32(NFTA_PAYLOAD_LEN)?, dreg })
        },
        "queue" => |p| {
            Some(Expr::Queue(QueueCode {
                num: p.be16(NFTA_QUEUE_NUM)?,
                total: p.be16(NFTA_QUEUE_TOTAL)?,
                flags: p.be16(NFTA_QUEUE_FLAGS)?,
            }))
        },
        "range" => |p| {
            let (sreg, op) = (p.register(NFTA_RANGE_SREG)?, CmpOp::from_number(p.be32(NFTA_RANGE_OP)?)?);
            Some(Expr::Range { sreg, op, low: p.value(NFTA_RANGE_FROM_DATA)?, high: p.value(NFTA_RANGE_TO_DATA)? })
        },
        "redir" => |p| {
            Some(Expr::Redir {
                ports: p.registers(NFTA_REDIR_REG_PROTO_MIN, NFTA_REDIR_REG_PROTO_MAX)?,
                flags: p.flags(NFTA_REDIR_FLAGS)?,
            })
        },
        "reject" => |p| {
            let kind = p.be32(NFTA_REJECT_TYPE)?;
            Some(Expr::Reject(RejectCode { kind, code: p.optional(NFTA_REJECT_ICMP_CODE, Parts::u8)?.unwrap_or(0) }))
        },
        "socket" => {
            |p| Some(Expr::Socket { key: SocketKey(p.be32(NFTA_SOCKET_KEY)?), dreg: p.register(NFTA_SOCKET_DREG)? })
        }
        "tproxy" => |p| {
            let family = match p.be32(NFTA_TPROXY_FAMILY)? {
                0 => None,
                number => Some(family(number)?),
            };
            let address = p.optional(NFTA_TPROXY_REG_ADDR, Parts::register)?;
            Some(Expr::Tproxy(TproxyCode { family, address, port: p.optional(NFTA_TPROXY_REG_PORT, Parts::register)? }))
        },
        _ => return None,
    })
}

/// Every set has a name here; anonymous sets are inserted when everything is read.
fn set(p: &mut Parts<'_>, kind: u16) -> Option<Name> {
    p.text(kind).map(Name::from)
}

/// Decodes an update of a set. The kernel reports no timeout as 0, and refuses that.
fn dynset(p: &mut Parts<'_>) -> Option<Expr> {
    p.zero(NFTA_DYNSET_PAD);
    p.zero(NFTA_DYNSET_TIMEOUT);
    let one = p.optional(NFTA_DYNSET_EXPR, |p, kind| one_expr(p.nested(kind)?))?;
    let several = p.optional(NFTA_DYNSET_EXPRESSIONS, |p, kind| list(p.nested(kind)?))?;
    let (exprs, several) = match (one, several) {
        (Some(_), Some(_)) => return None,
        (Some(one), None) => (vec![one], false),
        (None, Some(several)) => (several, true),
        (None, None) => (Vec::new(), false),
    };
    // Several expressions, and only several, are in a list.
    if several != (exprs.len() > 1) {
        return None;
    }
    Some(Expr::Dynset(DynsetCode {
        set: set(p, NFTA_DYNSET_SET_NAME)?,
        anonymous: None,
        op: p.be32(NFTA_DYNSET_OP)?,
        key: p.register(NFTA_DYNSET_SREG_KEY)?,
        data: p.optional(NFTA_DYNSET_SREG_DATA, Parts::register)?,
        timeout: p.optional(NFTA_DYNSET_TIMEOUT, Parts::be64)?,
        exprs,
        // That there are expressions is said by their presence.
        flags: p.flags(NFTA_DYNSET_FLAGS)? & !NFT_DYNSET_F_EXPR,
    }))
}

fn inner(p: &mut Parts<'_>) -> Option<Expr> {
    Some(Expr::Inner(InnerCode {
        num: p.be32(NFTA_INNER_NUM)?,
        kind: p.be32(NFTA_INNER_TYPE)?,
        flags: p.be32(NFTA_INNER_FLAGS)?,
        header_size: p.be32(NFTA_INNER_HDRSIZE)?,
        expr: one_expr(p.nested(NFTA_INNER_EXPR)?)?.into(),
    }))
}

/// Decodes the expression in another one, if it is known in full.
fn one_expr(bytes: &[u8]) -> Option<Expr> {
    let (mut name, mut data) = (None, None);
    for part in Attributes::new(bytes) {
        let part = part.ok()?;
        match part.kind {
            NFTA_EXPR_NAME if name.is_none() => name = Some(part.text()?),
            NFTA_EXPR_DATA if data.is_none() => data = Some(part.value),
            _ => return None,
        }
    }
    // The kernel puts neither of these into another one.
    let name = name.filter(|name| !matches!(*name, "inner" | "dynset"))?;
    known(name, data.unwrap_or_default()).ok().flatten()
}

fn list(bytes: &[u8]) -> Option<Vec<Expr>> {
    let each = Attributes::new(bytes).map(|part| {
        let part = part.ok().filter(|part| part.kind == NFTA_LIST_ELEM)?;
        one_expr(part.value)
    });
    each.collect()
}

/// Decodes a mask and xor in place.
fn bitwise(p: &mut Parts<'_>) -> Option<Expr> {
    let (reg, dreg, len) = (p.register(NFTA_BITWISE_SREG)?, p.register(NFTA_BITWISE_DREG)?, p.be32(NFTA_BITWISE_LEN)?);
    let (mask, xor) = (p.value(NFTA_BITWISE_MASK)?, p.value(NFTA_BITWISE_XOR)?);
    let fits = reg == dreg
        && p.flags(NFTA_BITWISE_OP)? == 0
        && [mask.len(), xor.len()].iter().all(|&l| u32::try_from(l) == Ok(len));
    fits.then_some(Expr::Bitwise(BitwiseCode { reg, mask, xor }))
}

/// Decodes only the conversion of one number, in place, to network order.
fn byteorder(p: &mut Parts<'_>) -> Option<Expr> {
    let (reg, dreg, op) =
        (p.register(NFTA_BYTEORDER_SREG)?, p.register(NFTA_BYTEORDER_DREG)?, p.be32(NFTA_BYTEORDER_OP)?);
    let (len, size) = (p.be32(NFTA_BYTEORDER_LEN)?, p.be32(NFTA_BYTEORDER_SIZE)?);
    (reg == dreg && op == NFT_BYTEORDER_HTON && len == size).then_some(Expr::Byteorder { reg, len })
}

fn limit(p: &mut Parts<'_>) -> Option<Expr> {
    p.padding(NFTA_LIMIT_PAD);
    let (rate, unit, burst) = (p.be64(NFTA_LIMIT_RATE)?, p.be64(NFTA_LIMIT_UNIT)?, p.be32(NFTA_LIMIT_BURST)?);
    Some(Expr::Limit(LimitCode {
        rate,
        unit,
        burst,
        kind: p.flags(NFTA_LIMIT_TYPE)?,
        flags: p.flags(NFTA_LIMIT_FLAGS)?,
    }))
}

fn log(p: &mut Parts<'_>) -> Option<Expr> {
    Some(Expr::Log(LogCode {
        group: p.optional(NFTA_LOG_GROUP, Parts::be16)?,
        prefix: p.optional(NFTA_LOG_PREFIX, |p, kind| p.text(kind).map(Box::from))?,
        snaplen: p.optional(NFTA_LOG_SNAPLEN, Parts::be32)?,
        queue_threshold: p.optional(NFTA_LOG_QTHRESHOLD, Parts::be16)?,
        level: p.optional(NFTA_LOG_LEVEL, Parts::be32)?,
        flags: p.flags(NFTA_LOG_FLAGS)?,
    }))
}

/// Decodes a lookup. Every set has a name here; anonymous sets are inserted when everything is
/// read.
fn lookup(p: &mut Parts<'_>) -> Option<Expr> {
    let set = LookupSet::Named(Name::from(p.text(NFTA_LOOKUP_SET)?));
    let (sreg, dreg) = (p.register(NFTA_LOOKUP_SREG)?, p.optional(NFTA_LOOKUP_DREG, Parts::register)?);
    let inverted = match p.flags(NFTA_LOOKUP_FLAGS)? {
        0 => false,
        NFT_LOOKUP_F_INV => true,
        _ => return None,
    };
    Some(Expr::Lookup { sreg, dreg, set, inverted })
}

fn nat(p: &mut Parts<'_>) -> Option<Expr> {
    let kind = match p.be32(NFTA_NAT_TYPE)? {
        0 => NatKind::Snat,
        1 => NatKind::Dnat,
        _ => return None,
    };
    let family = match p.be32(NFTA_NAT_FAMILY)? {
        NFPROTO_INET => None,
        number => Some(family(number)?),
    };
    let (addresses, ports) = (
        p.registers(NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_ADDR_MAX)?,
        p.registers(NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_REG_PROTO_MAX)?,
    );
    // The kernel adds this flag itself where there are addresses, since Linux 5.8; alone it has no
    // effect.
    let implied = if addresses.min.is_some() { NF_NAT_RANGE_MAP_IPS } else { 0 };
    Some(Expr::Nat(NatCode { kind, family, addresses, ports, flags: p.flags(NFTA_NAT_FLAGS)? & !implied }))
}

fn family(number: u32) -> Option<IpFamily> {
    match number {
        2 => Some(IpFamily::Ipv4),
        10 => Some(IpFamily::Ipv6),
        _ => None,
    }
}

/// `NFT_DYNSET_F_EXPR`.
pub(in crate::netlink) const NFT_DYNSET_F_EXPR: u32 = 2;
const NFPROTO_INET: u32 = 1;
const NFT_BYTEORDER_HTON: u32 = 1;
const NFT_LOOKUP_F_INV: u32 = 1;
/// include/uapi/linux/netfilter/nf_nat.h
const NF_NAT_RANGE_MAP_IPS: u32 = 1;
