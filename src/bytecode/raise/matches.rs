//! Reads loads and what follows them: comparisons and lookups.

use super::super::codes::{BitwiseCode, LookupSet};
use super::super::data::{self, Order};
use super::super::expr::Expr;
use super::super::fields::{Part, load, part};
use super::super::keys::{CmpOp, CtKey, MetaKey, PayloadBase, Register};
use super::super::lower::{Known, prefix_length};
use super::loads::{Computed, Keyed, See, operations};
use super::{Proposal, Spelling};
use crate::model::{
    Bits, DataType, EtherType, Family, Field, MarkKey, MarkValue, Match, Op, Operand, Selector, SetData, SetRef,
    Statement, Value,
};

/// Proposes what `first` and the expressions after it may mean.
pub(super) fn propose(all: &[Expr], family: Family, known: Known) -> Vec<Proposal> {
    let Some((first, rest)) = all.split_first() else { return Vec::new() };
    let see = See { family, known };
    let mut proposals: Vec<Proposal> = see.lookup(all).into_iter().collect();
    match see.loaded(first, rest.first(), Register::FIRST) {
        Some((field, Some(part))) => proposals.extend(bits(field, part, rest.get(1..).unwrap_or_default())),
        Some((field, None)) => proposals.extend(comparison(field, rest)),
        None => {}
    }
    if let Expr::Payload { base, offset, len, dreg: Register::FIRST } = first {
        proposals.extend(see.prefix(*base, *offset, *len, rest));
        proposals.extend(see.neighbours(*base, *offset, *len, rest));
    }
    let ops = usize::from(matches!(rest.first(), Some(Expr::Bitwise(_))));
    if let Some(field) = see.raw(first, Register::FIRST, rest.get(..ops).unwrap_or_default()) {
        proposals.extend(comparison(field, rest));
    }
    proposals.extend(see.shorter(first, rest));
    proposals.extend(see.compared(all));
    proposals.retain(|proposal| {
        let is_stacked = proposal.statements.iter().any(is_tag) && reads_link(all.get(proposal.len));
        proposal.statements.iter().all(is_listed_so) && !is_stacked
    });
    proposals
}

/// Returns whether it is the check of a tag within a tag, which nft leaves out before a field of it.
fn is_tag(statement: &Statement) -> bool {
    let Statement::Match(Match { selector, op: Op::Eq, operand: Operand::Value(Value::EtherType(of)) }) = statement
    else {
        return false;
    };
    selector.as_field() == Some(Field::VlanType) && matches!(*of, EtherType::SERVICE_VLAN | EtherType::VLAN)
}

fn reads_link(expr: Option<&Expr>) -> bool {
    matches!(expr, Some(Expr::Payload { base: PayloadBase::LINK, .. }))
}

/// Returns the comparison of bytes by their place.
pub(super) fn raw(exprs: &[Expr], family: Family, known: Known) -> Option<Statement> {
    let (first, rest) = exprs.split_first()?;
    let field = See { family, known }.raw(first, Register::FIRST, &[])?;
    comparison(field, rest).pop().and_then(|mut proposal| proposal.statements.pop())
}

/// Returns whether nft lists a comparison of such a field as this crate prints it: for what tells
/// that something is there it writes `exists` and `missing`.
fn is_listed_so(statement: &Statement) -> bool {
    let Statement::Match(Match { selector, op, operand }) = statement else { return true };
    match (selector.as_field(), operand) {
        (Some(field), Operand::Value(Value::Integer(0 | 1))) if field.is_presence() => matches!(op, Op::Eq | Op::Ne),
        _ => !selector.fields().any(Field::is_presence),
    }
}

impl See {
    /// Reads one or several loads, and the set in which they are looked up.
    fn lookup(&self, all: &[Expr]) -> Option<Proposal> {
        let keyed = self.keyed(all)?;
        let Expr::Lookup { sreg: Register::FIRST, dreg, set, inverted } = keyed.by else { return None };
        // nft writes the elements in another way.
        if keyed.value.is_some() || keyed.selector.fields().any(Field::is_presence) {
            return None;
        }
        let (statement, data): (fn(Selector, SetRef, Op) -> Statement, SetData) = match (dreg, all.get(keyed.len)) {
            (None, _) => (member, SetData::None),
            (Some(Register::VERDICT), _) => (verdict, SetData::Verdict),
            (Some(Register::FIRST), Some(Expr::MetaSet { key: MetaKey::MARK, sreg: Register::FIRST })) => {
                (meta_mark, SetData::Value(DataType::Mark))
            }
            (Some(Register::FIRST), Some(Expr::CtSet { key: CtKey::MARK, sreg: Register::FIRST })) => {
                (ct_mark, SetData::Value(DataType::Mark))
            }
            (Some(_), _) => return None,
        };
        // nft lists the bytes of such a key of a map of the table.
        let of_map = keyed.selector.as_field().and_then(part).filter(|_| dreg.is_some() && keyed.part.is_none());
        let keyed = match (of_map.filter(|part| part.shift > 0), set) {
            (Some(_), LookupSet::Named(_)) => self.bytes_of(all, keyed)?,
            _ => keyed,
        };
        let set = keyed.set(set, &data)?;
        let len = keyed.len + usize::from(matches!(data, SetData::Value(_)));
        Some(Proposal::ours(statement(keyed.selector, set, if *inverted { Op::Ne } else { Op::Eq }), len))
    }

    /// Returns a key by its bytes and what is done with them.
    fn bytes_of<'e>(&self, all: &[Expr], keyed: Keyed<'e>) -> Option<Keyed<'e>> {
        let of = self.raw(all.first()?, Register::FIRST, all.get(1..3)?)?;
        let ops = all.get(1..3)?.iter().map(|expr| operations(expr, of.data_type())).collect::<Option<Vec<_>>>()?;
        let bits = Bits { of: of.into(), ops: ops.into_iter().flatten().collect() };
        Some(Keyed { selector: Selector::Bits(Box::new(bits)), ..keyed })
    }

    /// Reads the comparison of what is computed.
    fn compared(&self, all: &[Expr]) -> Vec<Proposal> {
        let Some(Computed { selector, len, placed: None }) = self.value(all) else { return Vec::new() };
        // A field as it is, is read elsewhere.
        if selector.as_field().is_some() {
            return Vec::new();
        }
        let data_type = selector.data_type();
        let rest = all.get(len..).unwrap_or_default();
        let sorted = usize::from(matches!(rest.first(), Some(Expr::Byteorder { reg: Register::FIRST, .. })));
        let value = |bytes: &[u8], order| data::value(bytes, data_type, order);
        let says = |op, operand, more: usize| {
            Proposal::ours(Statement::Match(Match::new(selector.clone(), op, operand)), len + sorted + more)
        };
        match rest.get(sorted..).unwrap_or_default() {
            [Expr::Range { sreg: Register::FIRST, op: CmpOp::Ne, low, high }, ..] => {
                let ends = value(low, Order::Sorted).zip(value(high, Order::Sorted));
                ends.map(|(low, high)| says(Op::Ne, Operand::Range(low, high), 1)).into_iter().collect()
            }
            [Expr::Cmp { sreg: Register::FIRST, op, data }, then @ ..] => {
                let mut proposals = Vec::new();
                if let (CmpOp::Ge, [Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Le, data: high }, ..]) = (op, then) {
                    let Some((low, high)) = value(data, Order::Sorted).zip(value(high, Order::Sorted)) else {
                        return Vec::new();
                    };
                    proposals.push(says(Op::Eq, Operand::Range(low, high), 2));
                }
                let order = if equality(*op).is_some() { Order::Register } else { Order::Sorted };
                proposals.extend(value(data, order).map(|value| says(ordinary(*op), Operand::Value(value), 1)));
                proposals
            }
            _ => Vec::new(),
        }
    }

    /// Reads a prefix of whole bytes: a load of the first bytes only.
    fn prefix(&self, base: PayloadBase, offset: u32, len: u32, rest: &[Expr]) -> Option<Proposal> {
        let (Some(Expr::Cmp { sreg: Register::FIRST, op, data }), true) = (rest.first(), base == PayloadBase::NETWORK)
        else {
            return None;
        };
        let field = Field::ALL.iter().copied().find(|field| {
            let address = matches!(field.data_type(), DataType::Ipv4 | DataType::Ipv6);
            let starts = part(*field).is_none()
                && matches!(load(*field, Register::FIRST), Expr::Payload { base: b, offset: o, len: whole, .. }
                if (b, o) == (base, offset) && len < whole);
            address && starts && self.has(*field)
        })?;
        let mut address = data.clone();
        address.resize(field.data_type().bytes(), 0);
        let value = data::value(&address, field.data_type(), Order::Register)?;
        let length = u8::try_from(data.len() * 8).ok()?;
        let op = equality(*op)?;
        Some(Proposal::ours(Statement::Match(Match::new(field, op, Operand::Prefix(value, length))), 2))
    }

    /// Reads a prefix of whole bytes of an address that is loaded in full.
    fn shorter(&self, first: &Expr, rest: &[Expr]) -> Option<Proposal> {
        let Some(Expr::Cmp { sreg: Register::FIRST, op, data }) = rest.first() else { return None };
        let (field, None) = self.loaded(first, None, Register::FIRST)? else { return None };
        let width = field.data_type().bytes();
        if !matches!(field.data_type(), DataType::Ipv4 | DataType::Ipv6) || data.is_empty() || data.len() >= width {
            return None;
        }
        let mut address = data.clone();
        address.resize(width, 0);
        let value = data::value(&address, field.data_type(), Order::Register)?;
        let length = u8::try_from(data.len() * 8).ok()?;
        Some(Proposal::ours(Statement::Match(Match::new(field, equality(*op)?, Operand::Prefix(value, length))), 2))
    }

    /// Reads adjacent fields that are loaded and compared as one.
    fn neighbours(&self, base: PayloadBase, offset: u32, len: u32, rest: &[Expr]) -> Option<Proposal> {
        let Some(Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Eq, data }) = rest.first() else { return None };
        let (mut statements, mut rest, mut at) = (Vec::new(), data.as_slice(), offset);
        while at < offset.checked_add(len)? {
            let (field, width) = Field::ALL.iter().copied().find_map(|field| match load(field, Register::FIRST) {
                Expr::Payload { base: b, offset: o, len, .. }
                    if (b, o) == (base, at) && part(field).is_none() && self.has(field) =>
                {
                    Some((field, len))
                }
                _ => None,
            })?;
            let (bytes, after) = rest.split_at_checked(usize::try_from(width).ok()?)?;
            let value = data::value(bytes, field.data_type(), Order::Register)?;
            statements.push(Statement::Match(Match::new(field, Op::Eq, Operand::Value(value))));
            (rest, at) = (after, at.checked_add(width)?);
        }
        (statements.len() > 1 && rest.is_empty()).then(|| Proposal::other(statements, 2))
    }
}

fn member(selector: Selector, set: SetRef, op: Op) -> Statement {
    Statement::Match(Match::new(selector, op, Operand::Set(set)))
}

fn verdict(selector: Selector, map: SetRef, _: Op) -> Statement {
    Statement::VerdictMap { selector, map }
}

fn meta_mark(selector: Selector, map: SetRef, _: Op) -> Statement {
    Statement::SetMark { key: MarkKey::Meta, value: MarkValue::Map { selector, map } }
}

fn ct_mark(selector: Selector, map: SetRef, _: Op) -> Statement {
    Statement::SetMark { key: MarkKey::Ct, value: MarkValue::Map { selector, map } }
}

/// Reads the comparison of the bits that are a field.
fn bits(field: Field, part: Part, rest: &[Expr]) -> Vec<Proposal> {
    let value = |bytes: &[u8]| Value::of_number(part.number(bytes)?, field.data_type());
    let says = |op, operand, len: usize| Proposal::ours(Statement::Match(Match::new(field, op, operand)), 2 + len);
    match rest {
        [Expr::Range { sreg: Register::FIRST, op: CmpOp::Ne, low, high }, ..] => {
            let ends = value(low).zip(value(high));
            ends.map(|(low, high)| says(Op::Ne, Operand::Range(low, high), 1)).into_iter().collect()
        }
        [Expr::Cmp { sreg: Register::FIRST, op, data }, then @ ..] => {
            let mut proposals = Vec::new();
            if let (CmpOp::Ge, [Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Le, data: high }, ..]) = (op, then) {
                let ends = value(data).zip(value(high));
                proposals.extend(ends.map(|(low, high)| says(Op::Eq, Operand::Range(low, high), 2)));
            }
            proposals.extend(value(data).map(|value| says(ordinary(*op), Operand::Value(value), 1)));
            proposals
        }
        _ => Vec::new(),
    }
}

/// Reads the comparison of a field in the register.
fn comparison(field: Field, rest: &[Expr]) -> Vec<Proposal> {
    let data_type = field.data_type();
    let (sorted, after): (usize, _) = match rest.split_first() {
        Some((Expr::Byteorder { reg: Register::FIRST, .. }, after)) => (1, after),
        _ => (0, rest),
    };
    let compares =
        |op, operand, len| Proposal::ours(Statement::Match(Match::new(field, op, operand)), 1 + sorted + len);
    let value = |bytes: &[u8], order| data::value(bytes, data_type, order);
    match after {
        [Expr::Bitwise(code), Expr::Cmp { sreg: Register::FIRST, op, data }, ..] if code.reg == Register::FIRST => {
            equality(*op).map_or_else(Vec::new, |op| masked(field, code, op, data))
        }
        [Expr::Range { sreg: Register::FIRST, op: CmpOp::Ne, low, high }, ..] => {
            let ends = value(low, Order::Sorted).zip(value(high, Order::Sorted));
            ends.map(|(low, high)| compares(Op::Ne, Operand::Range(low, high), 1)).into_iter().collect()
        }
        [Expr::Cmp { sreg: Register::FIRST, op, data }, then @ ..] => {
            let mut proposals = Vec::new();
            if let (CmpOp::Ge, [Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Le, data: high }, ..]) = (op, then) {
                // If one end has no name, neither has the range.
                let Some((low, high)) = value(data, Order::Sorted).zip(value(high, Order::Sorted)) else {
                    return Vec::new();
                };
                proposals.push(compares(Op::Eq, Operand::Range(low, high), 2));
            }
            proposals.extend(single(field, *op, data).map(|value| compares(ordinary(*op), Operand::Value(value), 1)));
            if let (0, Some(value), Some(op)) = (sorted, named(field, data), equality(*op)) {
                let statement = Statement::Match(Match::new(field, op, Operand::Value(value)));
                proposals.push(Proposal::other(vec![statement], 2));
            }
            proposals
        }
        _ => Vec::new(),
    }
}

/// Returns the constant in a comparison; for an interface name, it may be a pattern.
fn single(field: Field, op: CmpOp, data: &[u8]) -> Option<Value> {
    let data_type = field.data_type();
    if data_type == DataType::Ifname && data.len() < data_type.bytes() {
        return data::pattern(data).map(Value::Ifname);
    }
    let order = if equality(op).is_some() { Order::Register } else { Order::Sorted };
    data::value(data, data_type, order)
}

/// Returns an interface name compared up to its NUL, as iptables-nft(8) does.
fn named(field: Field, data: &[u8]) -> Option<Value> {
    let width = field.data_type().bytes();
    if field.data_type() != DataType::Ifname || data.last() != Some(&0) || data.len() >= width {
        return None;
    }
    let padded: Vec<u8> = data.iter().copied().chain(std::iter::repeat(0)).take(width).collect();
    data::value(&padded, DataType::Ifname, Order::Register)
}

/// Reads a comparison under a mask: flags, a prefix, or any other mask.
fn masked(field: Field, code: &BitwiseCode, op: Op, data: &[u8]) -> Vec<Proposal> {
    let BitwiseCode { reg: _, mask, xor } = code;
    let data_type = field.data_type();
    let value = |bytes: &[u8]| data::value(bytes, data_type, Order::Register);
    let (Some(bits), Some(wanted), true) = (value(mask), value(data), xor.iter().all(|byte| *byte == 0)) else {
        return Vec::new();
    };
    let mut operands = Vec::new();
    if matches!(bits, Value::CtLabel(_) | Value::CtState(_) | Value::CtStatus(_) | Value::TcpFlags(_))
        && data.iter().all(|byte| *byte == 0)
    {
        operands.push((if op == Op::Ne { Op::Eq } else { Op::Ne }, Operand::Flags(bits.clone())));
    }
    // A bit outside the mask is always 0 in the packet, which no prefix expresses.
    let is_within = data.iter().zip(mask).all(|(byte, mask)| byte & !mask == 0);
    let prefix = prefix_length(mask)
        .filter(|_| is_within)
        .filter(|length| usize::from(*length) < 8 * mask.len())
        .filter(|_| matches!(bits, Value::Ipv4(_) | Value::Ipv6(_)));
    operands.extend(prefix.map(|length| (op, Operand::Prefix(wanted.clone(), length))));
    let whole = mask.iter().all(|byte| *byte == 0xff);
    let masked = |value| Operand::Masked { mask: bits, value };
    operands.push((op, if whole { Operand::Value(wanted) } else { masked(wanted) }));
    let statement = |(op, operand)| Statement::Match(Match::new(field, op, operand));
    // For a mask of all bits, or of whole bytes of an address, lowering uses no mask.
    let needless = whole || prefix.is_some_and(|length| length % 8 == 0);
    let spelling = if needless { Spelling::Other } else { Spelling::Ours };
    let proposal = |operand| Proposal { statements: vec![statement(operand)], len: 3, spelling };
    operands.into_iter().map(proposal).collect()
}

fn equality(op: CmpOp) -> Option<Op> {
    match op {
        CmpOp::Eq => Some(Op::Eq),
        CmpOp::Ne => Some(Op::Ne),
        CmpOp::Ge | CmpOp::Gt | CmpOp::Le | CmpOp::Lt => None,
    }
}

fn ordinary(op: CmpOp) -> Op {
    match op {
        CmpOp::Eq => Op::Eq,
        CmpOp::Ge => Op::Ge,
        CmpOp::Gt => Op::Gt,
        CmpOp::Le => Op::Le,
        CmpOp::Lt => Op::Lt,
        CmpOp::Ne => Op::Ne,
    }
}
