//! What a rule set has no word for, as the kernel holds it: opaque statements.

use crate::bytecode::{BitwiseCode, Bytes, CmpOp, Expr, PayloadBase, Register};
use crate::model::{Opaque, Statement};

use super::extension::Role;

/// `-f`: the second and further fragments; or when `not`, everything else.
pub(super) fn fragment(not: bool) -> Statement {
    let op = if not { CmpOp::Eq } else { CmpOp::Ne };
    let reg = Register::FIRST;
    program(vec![
        Expr::Payload { base: PayloadBase::NETWORK, offset: 6, len: 2, dreg: reg },
        Expr::Bitwise(BitwiseCode { reg, mask: Bytes::from_slice(&[0x1f, 0xff]), xor: Bytes::from_slice(&[0, 0]) }),
        Expr::Cmp { sreg: reg, op, data: Bytes::from_slice(&[0, 0]) },
    ])
}

/// An ICMP or ICMPv6 message of this type and code, behind a check of the protocol.
pub(super) fn icmp(not: bool, kind: u8, code: u8) -> Statement {
    let op = if not { CmpOp::Ne } else { CmpOp::Eq };
    program(vec![
        Expr::Payload { base: PayloadBase::TRANSPORT, offset: 0, len: 2, dreg: Register::FIRST },
        Expr::Cmp { sreg: Register::FIRST, op, data: Bytes::from_slice(&[kind, code]) },
    ])
}

/// A program that no statement says.
pub(super) fn program(code: Vec<Expr>) -> Statement {
    let names: Vec<_> = code.iter().map(Expr::name).collect();
    Statement::Opaque(Opaque::new(&names.join(","), None, code))
}

/// The xtables match `name` of this revision with its information, as iptables-nft(8) makes it.
pub(super) fn xtables_match(name: &str, revision: u32, info: &[u8]) -> Statement {
    xtables(Role::Match, name, revision, info)
}

/// The same of a target.
pub(super) fn xtables_target(name: &str, revision: u32, info: &[u8]) -> Statement {
    xtables(Role::Target, name, revision, info)
}

fn xtables(role: Role, name: &str, revision: u32, info: &[u8]) -> Statement {
    let mut data = Vec::new();
    attribute(&mut data, MATCH_NAME, &terminated(name));
    attribute(&mut data, MATCH_REV, &revision.to_be_bytes());
    attribute(&mut data, MATCH_INFO, info);
    extension(role, name, data)
}

/// An extension that is kept without being understood. It has no information (`NFTA_MATCH_INFO`), so it cannot be sent; its options
/// stand where the kernel has nothing, so that two with other options are not equal.
pub(super) fn kept(role: Role, name: &str, options: &str) -> Statement {
    let mut data = Vec::new();
    attribute(&mut data, MATCH_NAME, &terminated(name));
    options.as_bytes().chunks(LONGEST).for_each(|part| attribute(&mut data, UNSPEC, part));
    extension(role, name, data)
}

fn extension(role: Role, name: &str, data: Vec<u8>) -> Statement {
    let expr = Expr::Opaque { name: role.name().into(), data: data.into(), set: None };
    Statement::Opaque(Opaque::new(role.name(), Some(name.into()), vec![expr]))
}

fn terminated(name: &str) -> Vec<u8> {
    name.bytes().filter(|byte| *byte != 0).chain([0]).collect()
}

/// An attribute of netlink: length, type, bytes, padding to 4. Of a name that no extension can have, the beginning.
fn attribute(data: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let value = value.get(..LONGEST).unwrap_or(value);
    let length = u16::try_from(value.len() + HEADER).unwrap_or(u16::MAX);
    data.extend(length.to_ne_bytes());
    data.extend(kind.to_ne_bytes());
    data.extend(value);
    data.resize(data.len().next_multiple_of(4), 0);
}

const HEADER: usize = 4;
const LONGEST: usize = 65_000;
/// `enum nft_match_attributes`, include/uapi/linux/netfilter/nf_tables_compat.h; a target has the same numbers.
const UNSPEC: u16 = 0;
const MATCH_NAME: u16 = 1;
const MATCH_REV: u16 = 2;
const MATCH_INFO: u16 = 3;
