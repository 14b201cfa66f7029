//! Raises programs to rules: the inverse of [`lower`](super::lower()).
//!
//! A program is read from its start, statement by statement: a reader proposes a statement for the
//! next expressions, and the proposal is accepted only if lowering it at that place reproduces the
//! same expressions. So `lower(raise(program)) == program`, and nothing is guessed. An expression
//! that no reader knows becomes a [`Statement::Opaque`] at its place. A few spellings of other
//! programs mean the same as this crate's and are read although they differ; they are marked
//! [`Spelling::Other`].
//!
//! ```text
//! loads     what is in registers       matches   comparisons and lookups
//! actions   everything else            updates   what changes sets and packets, or counts
//! set       sets and their elements    sends     where packets go, if that depends on them
//! ```

mod actions;
mod declared;
mod loads;
mod matches;
mod sends;
mod set;
mod updates;

pub use set::{Unraisable, raise_elements, raise_set};
pub(crate) use set::{declaration, in_order, is_for_all, opaque_set, raise_each, raise_timed};

use super::Register;
pub(crate) use declared::{Declared, declared};

use super::codes::{DynsetCode, LookupSet, NatCode, ObjrefMapCode, RegisterRange};
use super::expr::Expr;
use super::fields::load;
use super::kept::userdata_comment;
use super::lower::{Known, Sets, lower_statement};
use super::set::AnonymousSet;
use crate::model::{Family, Field, Match, ObjectRef, ObjectTo, Op, Opaque, Operand, Rule, Selector, SetRef, Statement};

/// Returns the rule that a program in a table of `family` expresses.
///
/// A check of the network or transport protocol is left out if [`lower`](super::lower()) would add
/// it again. The comment is read from `userdata`, where nft(8) keeps it.
#[must_use]
pub fn raise(exprs: &[Expr], userdata: &[u8], family: Family, sets: &(impl Sets + ?Sized)) -> Rule {
    let read = read(exprs, family, sets);
    rule(without_implied(read, exprs, family, sets), userdata)
}

/// Like [`raise`], with every check as a match: what nft(8) starts from when it lists a rule.
pub(crate) fn raise_in_full(exprs: &[Expr], userdata: &[u8], family: Family, sets: &(impl Sets + ?Sized)) -> Rule {
    let mut listed: Vec<Read> = Vec::with_capacity(exprs.len());
    for read in read(exprs, family, sets) {
        match listed.last_mut() {
            // nft lists two ports in one load as such only if it knows the protocol.
            Some(last) if last.start == read.start && read.known.transport.is_none() && is_port(&read.statement) => {
                let code = exprs.get(read.start..read.end).unwrap_or_default();
                last.statement = matches::raw(code, family, read.known).unwrap_or_else(|| opaque(code.to_vec(), None));
            }
            _ => listed.push(read),
        }
    }
    rule(listed.into_iter().map(|read| read.statement).collect(), userdata)
}

fn is_port(statement: &Statement) -> bool {
    let Statement::Match(Match { selector, .. }) = statement else { return false };
    matches!(selector.as_field(), Some(Field::ThDport | Field::ThSport))
}

fn opaque(code: Vec<Expr>, extension: Option<Box<str>>) -> Statement {
    let name = code.iter().map(Expr::name).collect::<Vec<_>>().join(",");
    Statement::Opaque(Opaque::new(&name, extension, code))
}

fn rule(statements: Vec<Statement>, userdata: &[u8]) -> Rule {
    Rule { statements, comment: userdata_comment(userdata).map(Into::into), ..Rule::new() }
}

/// A statement, where it was read, and what was known before it.
struct Read {
    statement: Statement,
    start: usize,
    end: usize,
    known: Known,
}

/// Proposes what the first expressions of these may mean.
type Propose = fn(&[Expr], Family, Known) -> Vec<Proposal>;

/// A proposed meaning of some expressions.
struct Proposal {
    statements: Vec<Statement>,
    len: usize,
    spelling: Spelling,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// This crate's, if lowering the proposal reproduces it.
    Ours,
    /// Another one, which means the same.
    Other,
}

impl Proposal {
    fn ours(statement: Statement, len: usize) -> Self {
        Proposal { statements: vec![statement], len, spelling: Spelling::Ours }
    }

    fn other(statements: Vec<Statement>, len: usize) -> Self {
        Proposal { statements, len, spelling: Spelling::Other }
    }

    /// Names the kind of the objects that a named map leads to, which no expression tells; `None` if
    /// it is not known.
    fn of_kinds(mut self, sets: &(impl Sets + ?Sized)) -> Option<Self> {
        for statement in &mut self.statements {
            if let Statement::ObjectRef(ObjectRef { kind, to: ObjectTo::Map(_, SetRef::Named(name)) }) = statement {
                *kind = sets.objects(name)?;
            }
        }
        Some(self)
    }
}

fn read(exprs: &[Expr], family: Family, sets: &(impl Sets + ?Sized)) -> Vec<Read> {
    let mut found: Vec<Read> = Vec::with_capacity(exprs.len());
    let (mut known, mut start) = (Known::default(), 0);
    while let Some((first, all)) = exprs.get(start..).and_then(|all| Some((all.first()?, all))) {
        let readers: [Propose; 3] = [actions::propose, matches::propose, updates::propose];
        // Each is asked only if what the others propose is not accepted.
        let proposals = readers.iter().flat_map(|propose| propose(all, family, known));
        let proposals = proposals.filter_map(|proposal| proposal.of_kinds(sets));
        let accepted = proposals.filter(|proposal| !proposal.statements.is_empty()).find_map(|proposal| {
            let after = accept(&proposal, all, known, family, sets)?;
            Some((proposal, after))
        });
        match accepted {
            Some((Proposal { statements, len, .. }, after)) => {
                let end = start + len;
                found.extend(statements.into_iter().map(|statement| Read { statement, start, end, known }));
                (start, known) = (end, after);
            }
            None => {
                keep(&mut found, first, start, known);
                start += 1;
            }
        }
    }
    found
}

/// Returns what is known after the proposed statements, if they are the meaning of these
/// expressions.
fn accept(
    proposal: &Proposal,
    exprs: &[Expr],
    mut known: Known,
    family: Family,
    sets: &(impl Sets + ?Sized),
) -> Option<Known> {
    let mut code = Vec::with_capacity(proposal.len);
    for statement in &proposal.statements {
        let (part, after) = lower_statement(statement, known, family, sets).ok()?;
        if proposal.spelling == Spelling::Other && checks_first(statement, &part) {
            return None;
        }
        code.extend(part);
        known = after;
    }
    let same = || exprs.get(..proposal.len).is_some_and(|exprs| agrees(exprs, &code));
    (proposal.spelling == Spelling::Other || same()).then_some(known)
}

/// Returns whether lowering added a check that was not in the program.
fn checks_first(statement: &Statement, code: &[Expr]) -> bool {
    let Statement::Match(Match { selector, .. }) = statement else { return false };
    let first = selector.fields().next().map(|field| load(field, Register::FIRST));
    match (first, code.first()) {
        (Some(Expr::Payload { base, offset, .. }), Some(Expr::Payload { base: other, offset: at, .. })) => {
            (base, offset) != (*other, *at)
        }
        (first, code) => first.as_ref() != code,
    }
}

/// Returns whether two programs are the same except for what the kernel adds.
fn agrees(read: &[Expr], lowered: &[Expr]) -> bool {
    read.len() == lowered.len() && read.iter().zip(lowered).all(|(read, lowered)| alike(read, lowered))
}

fn alike(read: &Expr, lowered: &Expr) -> bool {
    let both = |a: RegisterRange, b: RegisterRange| tidy(a) == tidy(b);
    // The elements of an anonymous set were read one by one; its description depends on the program
    // that made it.
    let are_alike = |set: &AnonymousSet, other: &AnonymousSet| {
        let kind = |flags: u32| flags & (crate::model::SetFlags::INTERVAL.bits());
        kind(set.code.flags) == kind(other.code.flags)
    };
    match (read, lowered) {
        (
            Expr::Lookup { sreg, dreg, set: LookupSet::Anonymous(set), inverted },
            Expr::Lookup { sreg: s, dreg: d, set: LookupSet::Anonymous(other), inverted: i },
        ) => (sreg, dreg, inverted) == (s, d, i) && are_alike(set, other),
        (
            Expr::ObjrefMap(ObjrefMapCode { sreg, set, anonymous: Some(mine) }),
            Expr::ObjrefMap(ObjrefMapCode { sreg: s, set: other, anonymous: Some(theirs) }),
        ) => (sreg, set) == (s, other) && are_alike(mine, theirs),
        (Expr::Dynset(a), Expr::Dynset(b)) => match (&a.anonymous, &b.anonymous) {
            (Some(mine), Some(theirs)) => {
                let DynsetCode { set, anonymous: _, op, key, data, timeout, exprs, flags } = a;
                (set, op, key, data, timeout, exprs, flags)
                    == (&b.set, &b.op, &b.key, &b.data, &b.timeout, &b.exprs, &b.flags)
                    && are_alike(mine, theirs)
            }
            _ => a == b,
        },
        (Expr::Nat(a), Expr::Nat(b)) => {
            let plain = |code: &NatCode| (code.kind, code.family, translation(code.flags));
            plain(a) == plain(b) && both(a.addresses, b.addresses) && both(a.ports, b.ports)
        }
        (Expr::Masq { ports, flags }, Expr::Masq { ports: p, flags: f })
        | (Expr::Redir { ports, flags }, Expr::Redir { ports: p, flags: f }) => {
            both(*ports, *p) && translation(*flags) == translation(*f)
        }
        (read, lowered) => read == lowered,
    }
}

/// Drops the upper register of a range if it equals the lower one, which the kernel repeats.
fn tidy(range: RegisterRange) -> RegisterRange {
    RegisterRange { min: range.min, max: range.max.filter(|max| Some(*max) != range.min) }
}

/// Returns the flags that a user can set. The kernel also sets flags for a given address or port
/// (`NF_NAT_RANGE_MAP_IPS` and `NF_NAT_RANGE_PROTO_SPECIFIED`,
/// include/uapi/linux/netfilter/nf_nat.h).
fn translation(flags: u32) -> u32 {
    flags & !3
}

/// Keeps an expression that no reader knows, joined to unknown ones right before it.
fn keep(found: &mut Vec<Read>, expr: &Expr, at: usize, known: Known) {
    let mut code = vec![expr.clone()];
    let mut start = at;
    let joined = match found.last() {
        Some(Read { statement: Statement::Opaque(last), .. }) if !matches!(expr, Expr::Opaque { .. }) => {
            last.code::<Vec<Expr>>().filter(|before| !before.iter().any(|expr| matches!(expr, Expr::Opaque { .. })))
        }
        _ => None,
    };
    if let Some(before) = joined {
        code = before.iter().cloned().chain(code).collect();
        start = found.pop().map_or(at, |read| read.start);
    }
    let statement = opaque(code, extension(expr));
    found.push(Read { statement, start, end: at + 1, known });
}

/// Returns the name of an xtables extension: the first attribute of a `match` or `target`
/// (`NFTA_MATCH_NAME`, `NFTA_TARGET_NAME`).
fn extension(expr: &Expr) -> Option<Box<str>> {
    let Expr::Opaque { name, data, set: _ } = expr else { return None };
    if !matches!(&**name, "match" | "target") {
        return None;
    }
    let length = usize::from(u16::from_ne_bytes(data.get(..2)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(data.get(2..4)?.try_into().ok()?);
    let text = data.get(4..length)?.split(|byte| *byte == 0).next()?;
    (kind == 1).then(|| String::from_utf8_lossy(text).into())
}

/// Leaves out the checks that lowering adds again in the same place.
fn without_implied(read: Vec<Read>, exprs: &[Expr], family: Family, sets: &(impl Sets + ?Sized)) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::with_capacity(read.len());
    // The checks at the end of `statements`: where each starts, and what was known before it.
    let mut checks: Vec<(usize, Known)> = Vec::new();
    for Read { statement, start, end, known } in read {
        let implied = (1..=checks.len().min(MOST_CHECKS)).rev().find(|count| {
            checks.get(checks.len() - count).is_some_and(|(from, before)| {
                let code = lower_statement(&statement, *before, family, sets);
                code.is_ok_and(|(code, _)| exprs.get(*from..end).is_some_and(|exprs| agrees(exprs, &code)))
            })
        });
        statements.truncate(statements.len() - implied.unwrap_or(0));
        if is_check(&statement) {
            // With the checks that it implies, it may itself be implied by what follows.
            let first = implied.and_then(|count| checks.get(checks.len() - count).copied());
            checks.truncate(checks.len() - implied.unwrap_or(0));
            checks.push(first.unwrap_or((start, known)));
        } else {
            checks.clear();
        }
        statements.push(statement);
    }
    statements
}

fn is_check(statement: &Statement) -> bool {
    let Statement::Match(Match { selector, op: Op::Eq, operand }) = statement else { return false };
    let Selector::Field(field) = selector else { return false };
    match operand {
        Operand::Value(_) => matches!(
            field,
            Field::EtherType
                | Field::IcmpType
                | Field::Icmpv6Type
                | Field::Iiftype
                | Field::L4proto
                | Field::MetaProtocol
                | Field::Nfproto
                | Field::VlanType
        ),
        Operand::Set(SetRef::Anonymous(_)) => matches!(field, Field::IcmpType | Field::Icmpv6Type),
        _ => false,
    }
}

/// The most checks that lowering adds before a field: of the interface, the frame, its VLAN tag,
/// the transport protocol and the type of its message.
const MOST_CHECKS: usize = 5;

#[cfg(test)]
mod tests;
