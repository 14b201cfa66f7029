//! Opaque statements for what a rule set cannot express, as the kernel holds it.

use crate::bytecode::{BitwiseCode, Bytes, CmpOp, Expr, NoSets, PayloadBase, Register, lower, raise};
use crate::model::{IpFamily, Opaque, Rule, Statement};

use super::extension::Role;
use super::tables::family_of;
use crate::xt::{Extension, write_options};

/// Returns `-f`: the second and further fragments, or everything else when `not`.
pub(super) fn fragment(not: bool) -> Statement {
    let op = if not { CmpOp::Eq } else { CmpOp::Ne };
    let reg = Register::FIRST;
    program(vec![
        Expr::Payload { base: PayloadBase::NETWORK, offset: 6, len: 2, dreg: reg },
        Expr::Bitwise(BitwiseCode { reg, mask: Bytes::from_slice(&[0x1f, 0xff]), xor: Bytes::from_slice(&[0, 0]) }),
        Expr::Cmp { sreg: reg, op, data: Bytes::from_slice(&[0, 0]) },
    ])
}

/// Returns a match of an ICMP or ICMPv6 message of this type and code; a check of the protocol
/// must precede it.
pub(super) fn icmp(not: bool, kind: u8, code: u8) -> Statement {
    let op = if not { CmpOp::Ne } else { CmpOp::Eq };
    program(vec![
        Expr::Payload { base: PayloadBase::TRANSPORT, offset: 0, len: 2, dreg: Register::FIRST },
        Expr::Cmp { sreg: Register::FIRST, op, data: Bytes::from_slice(&[kind, code]) },
    ])
}

/// Returns a statement of expressions that no other statement represents.
pub(super) fn program(code: Vec<Expr>) -> Statement {
    let names: Vec<_> = code.iter().map(Expr::name).collect();
    Statement::Opaque(Opaque::new(&names.join(","), None, code))
}

/// Returns the rule with the statements that its programs are; what is none stays a program.
pub(super) fn in_statements(rule: Rule, family: IpFamily) -> Rule {
    let family = family_of(family);
    let opaque = |rule: &Rule| rule.statements.iter().filter(|one| matches!(one, Statement::Opaque(_))).count();
    let before = opaque(&rule);
    let read = || Some(raise(&lower(&rule, family, &NoSets).ok()?.exprs, &[], family, &NoSets));
    match (before > 0).then(read).flatten() {
        Some(read) if opaque(&read) < before => Rule { comment: rule.comment, ..read },
        _ => rule,
    }
}

/// Returns the xtables match `name` of this revision with its data, as iptables-nft(8) encodes it.
pub(super) fn xtables_match(name: &str, revision: u32, info: &[u8]) -> Statement {
    xtables(Role::Match, name, revision, info)
}

/// Returns the xtables target `name` likewise.
pub(super) fn xtables_target(name: &str, revision: u32, info: &[u8]) -> Statement {
    xtables(Role::Target, name, revision, info)
}

fn xtables(role: Role, name: &str, revision: u32, info: &[u8]) -> Statement {
    extension(role, name, Extension { name: name.into(), revision, info }.write())
}

/// Returns an extension that is kept without being understood. It cannot be sent.
pub(super) fn kept(role: Role, name: &str, options: &str) -> Statement {
    extension(role, name, write_options(name, options))
}

fn extension(role: Role, name: &str, data: Vec<u8>) -> Statement {
    let expr = Expr::Opaque { name: role.name().into(), data: data.into(), set: None };
    Statement::Opaque(Opaque::new(role.name(), Some(name.into()), vec![expr]))
}
