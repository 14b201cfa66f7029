//! Programs for what xtables matches read from a header and no field of the model expresses.
//!
//! Sources: net/netfilter/xt_hl.c, xt_dscp.c, xt_addrtype.c and xt_conntrack.c, v6.12.

use super::codes::BitwiseCode;
use super::data::Bytes;
use super::expr::Expr;
use super::keys::{CmpOp, FibFlags, FibResult, PayloadBase, Register};
use crate::model::{AddrType, IpFamily};

/// Compares the time to live of IPv4, or the hop limit of IPv6, with `limit`.
pub(crate) fn hops(family: IpFamily, op: CmpOp, limit: u8) -> Vec<Expr> {
    let offset = match family {
        IpFamily::Ipv4 => 8,
        IpFamily::Ipv6 => 7,
    };
    vec![load(PayloadBase::NETWORK, offset, 1), compare(op, &[limit])]
}

/// Compares the differentiated services code point (RFC 2474): six bits, after the version in IPv6.
pub(crate) fn code_point(family: IpFamily, op: CmpOp, value: u8) -> Vec<Expr> {
    match family {
        IpFamily::Ipv4 => {
            vec![load(PayloadBase::NETWORK, 1, 1), masked(&[0xfc]), compare(op, &[value << 2])]
        }
        IpFamily::Ipv6 => {
            let bits = u16::from(value) << 6;
            vec![load(PayloadBase::NETWORK, 0, 2), masked(&[0x0f, 0xc0]), compare(op, &bits.to_be_bytes())]
        }
    }
}

/// Compares the routing type of an address when only one interface is considered; `flags` name the
/// address and the interface.
pub(crate) fn address_type(flags: FibFlags, op: CmpOp, kind: AddrType) -> Vec<Expr> {
    let fib = Expr::Fib { result: FibResult::ADDRTYPE, flags, dreg: Register::FIRST };
    vec![fib, compare(op, &kind.0.to_ne_bytes())]
}

fn load(base: PayloadBase, offset: u32, len: u32) -> Expr {
    Expr::Payload { base, offset, len, dreg: Register::FIRST }
}

fn masked(mask: &[u8]) -> Expr {
    let xor = Bytes::from_elem(0, mask.len());
    Expr::Bitwise(BitwiseCode { reg: Register::FIRST, mask: Bytes::from_slice(mask), xor })
}

fn compare(op: CmpOp, value: &[u8]) -> Expr {
    Expr::Cmp { sreg: Register::FIRST, op, data: Bytes::from_slice(value) }
}
