//! The fields by which a set was declared, `typeof ip saddr . tcp dport`, which nft(8) keeps in the set's userdata.
//!
//! Numbers are in host byte order. Layout and numbers as nft 1.0.6 writes them: src/netlink.c (`set_make_key`), the `udata` functions
//! of src/payload.c, src/meta.c, src/ct.c, src/socket.c and src/fib.c, and the tables of fields in src/proto.c.

use super::super::expr::Expr;
use super::super::fields::{FIELDS, load};
use super::super::kept::entry;
use super::super::keys::{CtKey, FibFlags, FibResult, MetaKey, Register, SocketKey};
use crate::model::{Field, Set, SetData};

/// The fields of the key, and of what elements map to; `None` when the set was declared by types, or by what is no field here.
pub(crate) fn typeof_fields(userdata: &[u8], set: &Set) -> Option<(Vec<Field>, Option<Field>)> {
    let key = fields(entry(userdata, UDATA_KEY_TYPEOF)?)?;
    // nft keeps no more than it has room for, and then goes by the types.
    let types = || key.iter().map(|field| field.data_type());
    if !types().eq(set.key.iter().copied()) {
        return None;
    }
    let data = match set.data {
        SetData::None | SetData::Verdict => None,
        SetData::Value(data_type) => {
            let fields = fields(entry(userdata, UDATA_DATA_TYPEOF)?)?;
            Some(fields.into_iter().next().filter(|field| field.data_type() == data_type)?)
        }
    };
    Some((key, data))
}

/// One expression, or the parts of a concatenation.
fn fields(expr: &[u8]) -> Option<Vec<Field>> {
    if number(expr, EXPR)? != EXPR_CONCAT {
        return Some(vec![field(expr)?]);
    }
    let parts = entry(expr, DATA)?;
    (0..u8::MAX).map_while(|index| entry(parts, index)).map(field).collect()
}

fn field(expr: &[u8]) -> Option<Field> {
    let data = entry(expr, DATA)?;
    let (first, second) = (number(data, 0)?, number(data, 1));
    let dreg = Register::FIRST;
    let loaded = match number(expr, EXPR)? {
        EXPR_PAYLOAD => return header_field(first, second?),
        EXPR_META => Expr::Meta { key: MetaKey(first), dreg },
        EXPR_SOCKET => Expr::Socket { key: SocketKey(first), dreg },
        // The direction: none.
        EXPR_CT if second == Some(u32::MAX) => Expr::Ct { key: CtKey(first), dreg },
        EXPR_FIB => Expr::Fib { result: FibResult(first), flags: FibFlags(second?), dreg },
        _ => return None,
    };
    FIELDS.into_iter().find(|field| load(*field, dreg) == loaded)
}

/// A field of a header, by nft's numbers of the header and of the field in it.
fn header_field(header: u32, field: u32) -> Option<Field> {
    Some(match (header, field) {
        (4, 1) => Field::IcmpType,
        (6, 1) => Field::UdpSport,
        (6, 2) => Field::UdpDport,
        (8, 1) => Field::TcpSport,
        (8, 2) => Field::TcpDport,
        (8, 7) => Field::TcpFlags,
        (10, 1) => Field::SctpSport,
        (10, 2) => Field::SctpDport,
        (11, 1) => Field::ThSport,
        (11, 2) => Field::ThDport,
        (12, 9) => Field::IpProtocol,
        (12, 11) => Field::IpSaddr,
        (12, 12) => Field::IpDaddr,
        (13, 8) => Field::Ip6Saddr,
        (13, 9) => Field::Ip6Daddr,
        (14, 1) => Field::Icmpv6Type,
        _ => return None,
    })
}

fn number(userdata: &[u8], kind: u8) -> Option<u32> {
    entry(userdata, kind)?.try_into().map(u32::from_ne_bytes).ok()
}

const UDATA_KEY_TYPEOF: u8 = 3;
const UDATA_DATA_TYPEOF: u8 = 4;

/// `NFTNL_UDATA_SET_TYPEOF_EXPR` and `NFTNL_UDATA_SET_TYPEOF_DATA`.
const EXPR: u8 = 0;
const DATA: u8 = 1;

/// `enum expr_types`, nftables include/expression.h, v1.0.6.
const EXPR_PAYLOAD: u32 = 7;
const EXPR_META: u32 = 9;
const EXPR_SOCKET: u32 = 10;
const EXPR_CT: u32 = 12;
const EXPR_CONCAT: u32 = 13;
const EXPR_FIB: u32 = 26;
