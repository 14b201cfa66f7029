//! Expressions from the kernel. One that is unknown, or that carries what [`Expr`] has no place for, stays as it is.

use super::parts::{Data, Parts};
use crate::attr::{Attribute, Malformed};
use crate::bytecode::{
    BitwiseCode, CmpOp, CtKey, Expr, FibFlags, FibResult, LimitCode, LogCode, LookupSet, MetaKey, NatCode, PayloadBase,
    QueueCode, Register, RejectCode, SocketKey, TproxyCode,
};
use crate::model::{Family4or6, Name, NatKind};

/// A list of expressions (`NFTA_LIST_ELEM` each). When one is none, the whole list goes to `opaque` too: sent last, it counts.
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

/// One expression (`enum nft_expr_attributes`); `None` when it has no name, or more than that and attributes.
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

fn known(name: &str, data: &[u8]) -> Result<Option<Expr>, Malformed> {
    let Some(read) = reader(name) else { return Ok(None) };
    let Some(mut parts) = Parts::read(data)? else { return Ok(None) };
    let expr = read(&mut parts);
    Ok(parts.end()?.and(expr))
}

type Reader = fn(&mut Parts<'_>) -> Option<Expr>;

/// Attribute numbers are those of include/uapi/linux/netfilter/nf_tables.h, `enum nft_*_attributes`.
fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "bitwise" => bitwise,
        "byteorder" => byteorder,
        "cmp" => |p| Some(Expr::Cmp { sreg: p.register(1)?, op: CmpOp::from_number(p.be32(2)?)?, data: p.value(3)? }),
        "counter" => |p| {
            p.padding(3);
            Some(Expr::Counter { bytes: p.be64(1)?, packets: p.be64(2)? })
        },
        "ct" => |p| {
            let key = CtKey(p.be32(2)?);
            Some(match p.optional(1, Parts::register)? {
                Some(dreg) => Expr::Ct { key, dreg },
                None => Expr::CtSet { key, sreg: p.register(4)? },
            })
        },
        "fib" => {
            |p| Some(Expr::Fib { dreg: p.register(1)?, result: FibResult(p.be32(2)?), flags: FibFlags(p.be32(3)?) })
        }
        "immediate" => |p| match (p.register(1)?, p.data(2)?) {
            (Register::VERDICT, Data::Verdict(verdict)) => Some(Expr::Verdict(verdict)),
            (Register::VERDICT, _) | (_, Data::Verdict(_)) => None,
            (dreg, Data::Value(data)) => Some(Expr::Immediate { dreg, data }),
        },
        "limit" => limit,
        "log" => log,
        "lookup" => lookup,
        "masq" => |p| Some(Expr::Masq { flags: p.flags(1)?, ports: p.registers(2, 3)? }),
        "meta" => |p| {
            let key = MetaKey(p.be32(2)?);
            Some(match p.optional(1, Parts::register)? {
                Some(dreg) => Expr::Meta { key, dreg },
                None => Expr::MetaSet { key, sreg: p.register(3)? },
            })
        },
        "nat" => nat,
        "notrack" => |_| Some(Expr::Notrack),
        "payload" => |p| {
            let (dreg, base) = (p.register(1)?, PayloadBase(p.be32(2)?));
            Some(Expr::Payload { base, offset: p.be32(3)?, len: p.be32(4)?, dreg })
        },
        "queue" => |p| Some(Expr::Queue(QueueCode { num: p.be16(1)?, total: p.be16(2)?, flags: p.be16(3)? })),
        "range" => |p| {
            let (sreg, op) = (p.register(1)?, CmpOp::from_number(p.be32(2)?)?);
            Some(Expr::Range { sreg, op, low: p.value(3)?, high: p.value(4)? })
        },
        "redir" => |p| Some(Expr::Redir { ports: p.registers(1, 2)?, flags: p.flags(3)? }),
        "reject" => |p| {
            let kind = p.be32(1)?;
            Some(Expr::Reject(RejectCode { kind, code: p.optional(2, Parts::u8)?.unwrap_or(0) }))
        },
        "socket" => |p| Some(Expr::Socket { key: SocketKey(p.be32(1)?), dreg: p.register(2)? }),
        "tproxy" => |p| {
            let family = match p.be32(1)? {
                0 => None,
                number => Some(family(number)?),
            };
            let address = p.optional(2, Parts::register)?;
            Some(Expr::Tproxy(TproxyCode { family, address, port: p.optional(3, Parts::register)? }))
        },
        _ => return None,
    })
}

/// A shift, an operation on two registers or another destination has no place in [`BitwiseCode`].
fn bitwise(p: &mut Parts<'_>) -> Option<Expr> {
    let (reg, dreg, len) = (p.register(1)?, p.register(2)?, p.be32(3)?);
    let (mask, xor) = (p.value(4)?, p.value(5)?);
    let fits = reg == dreg && p.flags(6)? == 0 && [mask.len(), xor.len()].iter().all(|&l| u32::try_from(l) == Ok(len));
    fits.then_some(Expr::Bitwise(BitwiseCode { reg, mask, xor }))
}

/// Only the conversion of one number, in place, to network order.
fn byteorder(p: &mut Parts<'_>) -> Option<Expr> {
    let (reg, dreg, op) = (p.register(1)?, p.register(2)?, p.be32(3)?);
    let (len, size) = (p.be32(4)?, p.be32(5)?);
    (reg == dreg && op == NFT_BYTEORDER_HTON && len == size).then_some(Expr::Byteorder { reg, len })
}

fn limit(p: &mut Parts<'_>) -> Option<Expr> {
    p.padding(6);
    let (rate, unit, burst) = (p.be64(1)?, p.be64(2)?, p.be32(3)?);
    Some(Expr::Limit(LimitCode { rate, unit, burst, kind: p.flags(4)?, flags: p.flags(5)? }))
}

fn log(p: &mut Parts<'_>) -> Option<Expr> {
    Some(Expr::Log(LogCode {
        group: p.optional(1, Parts::be16)?,
        prefix: p.optional(2, |p, kind| p.text(kind).map(Box::from))?,
        snaplen: p.optional(3, Parts::be32)?,
        queue_threshold: p.optional(4, Parts::be16)?,
        level: p.optional(5, Parts::be32)?,
        flags: p.flags(6)?,
    }))
}

/// Every set is named here; anonymous ones are put in their place when all is read.
fn lookup(p: &mut Parts<'_>) -> Option<Expr> {
    let set = LookupSet::Named(Name::from(p.text(1)?));
    let (sreg, dreg) = (p.register(2)?, p.optional(3, Parts::register)?);
    let inverted = match p.flags(5)? {
        0 => false,
        NFT_LOOKUP_F_INV => true,
        _ => return None,
    };
    Some(Expr::Lookup { sreg, dreg, set, inverted })
}

fn nat(p: &mut Parts<'_>) -> Option<Expr> {
    let kind = match p.be32(1)? {
        0 => NatKind::Snat,
        1 => NatKind::Dnat,
        _ => return None,
    };
    let family = match p.be32(2)? {
        NFPROTO_INET => None,
        number => Some(family(number)?),
    };
    let (addresses, ports) = (p.registers(3, 4)?, p.registers(5, 6)?);
    // The kernel adds this one by itself where there are addresses, since Linux 5.8; alone it says nothing.
    let implied = if addresses.min.is_some() { NF_NAT_RANGE_MAP_IPS } else { 0 };
    Some(Expr::Nat(NatCode { kind, family, addresses, ports, flags: p.flags(7)? & !implied }))
}

fn family(number: u32) -> Option<Family4or6> {
    match number {
        2 => Some(Family4or6::Ipv4),
        10 => Some(Family4or6::Ipv6),
        _ => None,
    }
}

const NFPROTO_INET: u32 = 1;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFT_BYTEORDER_HTON: u32 = 1;
const NFT_LOOKUP_F_INV: u32 = 1;
/// include/uapi/linux/netfilter/nf_nat.h
const NF_NAT_RANGE_MAP_IPS: u32 = 1;
