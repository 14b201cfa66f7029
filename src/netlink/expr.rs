//! Expressions as attributes of a rule, a set or an element.

mod said;

use std::io;

use crate::attr::{self, AttributeWriter};
use crate::bytecode::{Expr, LookupSet, RegisterRange};
use crate::model::{Family4or6, NatKind, Verdict};

/// The option that the kernel's expression is built with.
pub(super) fn kernel_option(expr: &Expr) -> &'static str {
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

/// Writes name and attributes of `expr` (`enum nft_expr_attributes`); `set_id` numbers the anonymous set that a lookup refers to.
///
/// Numbers are those of include/uapi/linux/netfilter/nf_tables.h, `enum nft_*_attributes`; the order is libnftnl's.
pub(super) fn write(a: &mut AttributeWriter<'_>, expr: &Expr, set_id: u32) -> io::Result<()> {
    a.text(NFTA_EXPR_NAME, expr.name())?;
    match expr {
        Expr::Notrack => Ok(()),
        // What has no attributes has no list of them either.
        Expr::Opaque { name: _, data, set: None } if data.is_empty() => Ok(()),
        _ => a.nest(NFTA_EXPR_DATA, |a| attributes(a, expr, set_id)),
    }
}

fn attributes(a: &mut AttributeWriter<'_>, expr: &Expr, set_id: u32) -> io::Result<()> {
    match expr {
        Expr::Bitwise(code) => {
            a.be32(1, code.reg.0);
            a.be32(2, code.reg.0);
            a.be32(6, NFT_BITWISE_MASK_XOR);
            a.be32(3, u32::try_from(code.mask.len()).unwrap_or(u32::MAX));
            data(a, 4, &code.mask)?;
            data(a, 5, &code.xor)?;
        }
        Expr::Byteorder { reg, len } => {
            a.be32(1, reg.0);
            a.be32(2, reg.0);
            a.be32(3, NFT_BYTEORDER_HTON);
            a.be32(4, *len);
            a.be32(5, *len);
        }
        Expr::Cmp { sreg, op, data } => {
            a.be32(1, sreg.0);
            a.be32(2, op.number());
            self::data(a, 3, data)?;
        }
        Expr::Counter { packets, bytes } => {
            a.be64(1, *bytes);
            a.be64(2, *packets);
        }
        Expr::Ct { key, dreg } => {
            a.be32(2, key.0);
            a.be32(1, dreg.0);
        }
        Expr::CtSet { key, sreg } => {
            a.be32(2, key.0);
            a.be32(4, sreg.0);
        }
        Expr::Fib { result, flags, dreg } => {
            a.be32(3, flags.0);
            a.be32(2, result.0);
            a.be32(1, dreg.0);
        }
        Expr::Immediate { dreg, data } => {
            a.be32(1, dreg.0);
            self::data(a, 2, data)?;
        }
        Expr::Limit(code) => {
            a.be64(1, code.rate);
            a.be64(2, code.unit);
            a.be32(3, code.burst);
            a.be32(4, code.kind);
            a.be32(5, code.flags);
        }
        Expr::Log(code) => {
            if let Some(prefix) = &code.prefix {
                a.text(2, prefix)?;
            }
            if let Some(group) = code.group {
                a.be16(1, group);
            }
            if let Some(snaplen) = code.snaplen {
                a.be32(3, snaplen);
            }
            if let Some(threshold) = code.queue_threshold {
                a.be16(4, threshold);
            }
            if let Some(level) = code.level {
                a.be32(5, level);
            }
            flags(a, 6, code.flags);
        }
        Expr::Lookup { sreg, dreg, set, inverted } => {
            a.be32(2, sreg.0);
            if let Some(dreg) = dreg {
                a.be32(3, dreg.0);
            }
            match set {
                LookupSet::Anonymous(set) => {
                    a.text(1, &super::encode::anonymous_name(expr, set))?;
                    a.be32(4, set_id);
                }
                LookupSet::Named(name) => a.text(1, name.as_str())?,
            }
            if *inverted {
                a.be32(5, NFT_LOOKUP_F_INV);
            }
        }
        Expr::Masq { ports, flags } => {
            self::flags(a, 1, *flags);
            range(a, *ports, 2, 3);
        }
        Expr::Meta { key, dreg } => {
            a.be32(2, key.0);
            a.be32(1, dreg.0);
        }
        Expr::MetaSet { key, sreg } => {
            a.be32(2, key.0);
            a.be32(3, sreg.0);
        }
        Expr::Nat(code) => {
            a.be32(1, nat_type(code.kind));
            a.be32(2, code.family.map_or(NFPROTO_INET, family));
            range(a, code.addresses, 3, 4);
            range(a, code.ports, 5, 6);
            flags(a, 7, code.flags);
        }
        Expr::Notrack => {}
        Expr::Opaque { name, data, set } => {
            if is_unread(name, data) {
                let text = format!("{name} expression: its inside is not known here, so it cannot be sent");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            opaque(a, name, data);
            if let (Some(_), Some((_, number))) = (set, Expr::set_attributes(name)) {
                a.be32(number, set_id);
            }
        }
        Expr::Payload { base, offset, len, dreg } => {
            a.be32(1, dreg.0);
            a.be32(2, base.0);
            a.be32(3, *offset);
            a.be32(4, *len);
        }
        Expr::Queue(code) => {
            a.be16(1, code.num);
            a.be16(2, code.total);
            a.be16(3, code.flags);
        }
        Expr::Range { sreg, op, low, high } => {
            a.be32(1, sreg.0);
            a.be32(2, op.number());
            data(a, 3, low)?;
            data(a, 4, high)?;
        }
        Expr::Redir { ports, flags } => {
            range(a, *ports, 1, 2);
            self::flags(a, 3, *flags);
        }
        Expr::Reject(code) => {
            a.be32(1, code.kind);
            a.u8(2, code.code);
        }
        Expr::Socket { key, dreg } => {
            a.be32(1, key.0);
            a.be32(2, dreg.0);
        }
        Expr::Tproxy(code) => {
            a.be32(1, code.family.map_or(0, family));
            if let Some(address) = code.address {
                a.be32(2, address.0);
            }
            if let Some(port) = code.port {
                a.be32(3, port.0);
            }
        }
        Expr::Verdict(verdict) => {
            a.be32(1, 0);
            self::verdict(a, 2, verdict)?;
        }
    }
    Ok(())
}

/// Attributes as the kernel gave them, without what it only says.
fn opaque(a: &mut AttributeWriter<'_>, name: &str, data: &[u8]) {
    let all = attr::Attributes::new(data);
    let is_said = |attribute: &attr::Attribute<'_>| said::only_said(name, &all, attribute);
    let each = || all.clone().map_while(Result::ok);
    if each().any(|attribute| is_said(&attribute)) {
        each().filter(|attribute| !is_said(attribute)).for_each(|attribute| a.raw(attribute.raw));
    } else {
        a.raw(data);
    }
}

/// A constant (`enum nft_data_attributes`).
pub(super) fn data(a: &mut AttributeWriter<'_>, kind: u16, value: &[u8]) -> io::Result<()> {
    a.nest(kind, |a| a.bytes(NFTA_DATA_VALUE, value, VALUE))
}

/// A verdict (`enum nft_verdict_attributes`).
pub(super) fn verdict(a: &mut AttributeWriter<'_>, kind: u16, verdict: &Verdict) -> io::Result<()> {
    a.nest(kind, |a| {
        a.nest(NFTA_DATA_VERDICT, |a| {
            a.be32(NFTA_VERDICT_CODE, verdict_number(verdict));
            verdict.target().map_or(Ok(()), |chain| a.text(NFTA_VERDICT_CHAIN, chain.as_str()))
        })
    })
}

/// A number that is left out when it is 0.
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

/// `NF_*` and `NFT_*` verdicts, include/uapi/linux/netfilter.h and nf_tables.h.
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

/// `enum nft_nat_types`.
pub(super) fn nat_type(kind: NatKind) -> u32 {
    match kind {
        NatKind::Dnat => 1,
        NatKind::Snat => 0,
    }
}

/// `NFPROTO_*`.
pub(super) fn family(family: Family4or6) -> u32 {
    match family {
        Family4or6::Ipv4 => 2,
        Family4or6::Ipv6 => 10,
    }
}

/// Whether this is an extension of xtables that was named in a text and not read: the kernel always reports its information.
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
const NFTA_EXPR_NAME: u16 = 1;
/// `enum nft_match_attributes`; a target has the same numbers.
const NFTA_MATCH_NAME: u16 = 1;
const NFTA_MATCH_INFO: u16 = 3;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFTA_VERDICT_CHAIN: u16 = 2;
