//! Bit arithmetic and hashes: what is computed from fields, and constants that are computed.

use super::error::{Fault, Parsed};
use super::lexer::Token;
use super::parser::{Parser, unsupported};
use crate::model::{
    BitOp, Bits, DataType, Element, Field, Hash, Interval, Key, MarkKey, MarkValue, Operand, Selector, SetRef, Value,
};

/// The operators by how strongly they bind, the weakest first.
const OPERATORS: [&[(&str, Operator)]; 4] = [
    &[("|", Operator::Or), ("or", Operator::Or)],
    &[("^", Operator::Xor), ("xor", Operator::Xor)],
    &[("&", Operator::And), ("and", Operator::And)],
    &[("<<", Operator::Left), ("lshift", Operator::Left), (">>", Operator::Right), ("rshift", Operator::Right)],
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    And,
    Left,
    Or,
    Right,
    Xor,
}

/// What is known when the text is read, or only when a packet comes.
pub(super) enum Computed {
    Constant(Value),
    Selector(Selector),
}

impl<'t> Parser<'t> {
    /// Reads what is computed; constants at its start have type `of`.
    pub(super) fn computed(&mut self, of: DataType) -> Parsed<Computed> {
        self.joined(0, of)
    }

    /// Reads a field, or what is computed from fields.
    pub(super) fn basic(&mut self) -> Parsed<Selector> {
        let start = self.peek();
        if !self.begins_computed() {
            return self.field().map(Selector::Field);
        }
        match self.joined(0, DataType::Mark)? {
            Computed::Selector(selector) => Ok(selector),
            Computed::Constant(_) => Err(super::cursor::unexpected(start, "a field such as tcp dport")),
        }
    }

    /// Returns whether a field begins here, perhaps in parentheses.
    pub(super) fn begins_computed(&mut self) -> bool {
        let mut index = 0;
        while index < DEEPEST && self.peek_at(index).is("(") {
            index += 1;
        }
        self.begins_field_at(index)
    }

    /// Reads operands joined by operators of this or a stronger level.
    fn joined(&mut self, level: usize, of: DataType) -> Parsed<Computed> {
        let Some(operators) = OPERATORS.get(level) else { return self.operand(of) };
        let mut left = self.joined(level + 1, of)?;
        loop {
            let token = self.peek();
            let Some((_, operator)) = operators.iter().find(|(text, _)| token.is(text)) else { return Ok(left) };
            self.next();
            let of = match &left {
                _ if matches!(operator, Operator::Left | Operator::Right) => DataType::Integer { bytes: 4 },
                Computed::Selector(selector) => selector.data_type(),
                Computed::Constant(_) => of,
            };
            let Computed::Constant(right) = self.joined(level + 1, of)? else {
                return Err(unsupported(token, "an operation whose right side is not constant"));
            };
            left = match left {
                Computed::Constant(left) => Computed::Constant(constant(&left, *operator, &right, of, token)?),
                Computed::Selector(selector) => Computed::Selector(operation(selector, *operator, right, token)?),
            };
        }
    }

    /// Fails for a key of a map of which nft moves an operation into the elements.
    pub(super) fn is_moved(&mut self, selector: &Selector) -> Parsed<()> {
        let Selector::Bits(bits) = selector else { return Ok(()) };
        match bits.ops.last() {
            Some(BitOp::ShiftLeft(_) | BitOp::ShiftRight(_) | BitOp::Xor(_)) if self.at("{") => {
                self.unsupported("a map of what is shifted or flipped")
            }
            _ => Ok(()),
        }
    }

    fn operand(&mut self, of: DataType) -> Parsed<Computed> {
        if self.at("(") {
            return self.deeper(|parser| {
                parser.next();
                let computed = parser.joined(0, of)?;
                parser.expect(")")?;
                Ok(computed)
            });
        }
        if self.at("jhash") {
            return self.hash().map(|hash| Computed::Selector(hash.into()));
        }
        if self.begins_field() {
            return Ok(Computed::Selector(Selector::Field(self.field()?)));
        }
        self.single(of).map(Computed::Constant)
    }

    /// Reads `jhash ip saddr . ip daddr mod 8 seed 1 offset 2`.
    fn hash(&mut self) -> Parsed<Hash> {
        self.expect("jhash")?;
        let of = self.deeper(Parser::selector)?;
        self.expect("mod")?;
        let modulus = self.modulus()?;
        let seed = if self.take("seed") { Some(self.number_u32("a seed of 32 bits")?) } else { None };
        Ok(Hash { of, modulus, seed, offset: self.offset(modulus)? })
    }
}

/// Returns a selector after one more operation.
fn operation(selector: Selector, operator: Operator, right: Value, token: Token<'_>) -> Parsed<Selector> {
    if matches!(selector, Selector::Concat(_)) {
        return Err(unsupported(token, "an operation on several fields"));
    }
    Ok(match operator {
        Operator::And => selector.and(right),
        Operator::Or => selector.or(right),
        Operator::Xor => selector.xor(right),
        Operator::Left | Operator::Right => {
            let by = right.number().and_then(|by| u32::try_from(by).ok()).filter(|by| (1..32).contains(by));
            let Some(by) = by else {
                return Err(Fault::wrong(token.at, token.length(), "a shift is by 1 to 31 bits"));
            };
            if operator == Operator::Left { selector.shift_left(by) } else { selector.shift_right(by) }
        }
    })
}

/// Returns the result of an operation on constants.
fn constant(left: &Value, operator: Operator, right: &Value, of: DataType, token: Token<'_>) -> Parsed<Value> {
    let of = match left {
        Value::Integer(_) | Value::Wide(_) => of,
        typed => DataType::NAMED.iter().copied().find(|of| typed.is_of(*of)).unwrap_or(of),
    };
    let made = || {
        let (left, right) = (left.number()?, right.number()?);
        let shift = u32::try_from(right).ok();
        let number = match operator {
            Operator::And => left & right,
            Operator::Or => left | right,
            Operator::Xor => left ^ right,
            Operator::Left => left.checked_shl(shift?)? & ones(of),
            Operator::Right => left.checked_shr(shift?)?,
        };
        Value::of_number(number, of)
    };
    made().ok_or_else(|| {
        let why = format!("{:?} of these constants is no value of type {of}", token.text);
        Fault::wrong(token.at, token.length(), why)
    })
}

/// Returns the number of all bits of a type.
pub(super) fn ones(of: DataType) -> u128 {
    let bits = u32::try_from(8 * of.bytes()).unwrap_or(128);
    1_u128.checked_shl(bits).map_or(u128::MAX, |all| all - 1)
}

/// Returns what a mark is set to, if that is one mark under a mask with bits flipped.
pub(super) fn mark(selector: &Selector) -> Option<MarkValue> {
    let key = |of: &Selector| match of.as_field()? {
        Field::CtMark => Some(MarkKey::Ct),
        Field::Mark => Some(MarkKey::Meta),
        _ => None,
    };
    let Selector::Bits(bits) = selector else { return key(selector).map(MarkValue::copy) };
    let Bits { of, ops } = &**bits;
    let (mut mask, mut xor) = (u32::MAX, 0);
    for op in ops {
        match op {
            BitOp::And(Value::Mark(bits)) => (mask, xor) = (mask & bits, xor & bits),
            BitOp::Or(Value::Mark(bits)) => (mask, xor) = (mask & !bits, (xor & !bits) | bits),
            BitOp::Xor(Value::Mark(bits)) => xor ^= bits,
            _ => return None,
        }
    }
    // nft sends operations that change nothing.
    let changes = ops.is_empty() || (mask, xor) != (u32::MAX, 0);
    changes.then_some(MarkValue::From { from: key(of)?, mask, xor })
}

/// Moves the last operation to the other side of a comparison, as nft does with those that can be
/// undone (`binop_transfer`, src/evaluate.c, 1.0.6): `meta mark ^ 0x3 == 0x1` compares the mark
/// with 0x2.
pub(super) fn transferred(selector: Selector, operand: Operand, token: Token<'_>) -> Parsed<(Selector, Operand)> {
    let Selector::Bits(mut bits) = selector else { return Ok((selector, operand)) };
    let of = bits.of.data_type();
    let undone: Option<(Operator, Value)> = match bits.ops.last() {
        Some(BitOp::Xor(value)) => Some((Operator::Xor, value.clone())),
        Some(BitOp::ShiftLeft(by)) => Some((Operator::Right, Value::Integer(*by))),
        Some(BitOp::ShiftRight(by)) => Some((Operator::Left, Value::Integer(*by))),
        Some(BitOp::And(_) | BitOp::Or(_)) | None => None,
    };
    let (Some((operator, by)), true) = (undone, is_constant(&operand)) else {
        return Ok((Selector::Bits(bits), operand));
    };
    // nft converts the bytes of wider numbers, and compares something else.
    let is_one = operator == Operator::Right && (of.bytes() == 1 || matches!(of, DataType::Integer { .. }));
    let is_number = matches!(of, DataType::Integer { .. } | DataType::NetworkInteger { .. });
    if matches!(operator, Operator::Left | Operator::Right) && of != DataType::Mark && !(is_one && is_number) {
        return Err(unsupported(token, format_args!("comparing what is shifted of type {of}")));
    }
    let moved = |value: Value| {
        let lost = operator == Operator::Right
            && by.number().zip(value.number()).is_some_and(|(by, number)| u128::from(number.trailing_zeros()) < by);
        if lost {
            return Err(Fault::wrong(
                token.at,
                token.length(),
                "this comparison never holds: the bits are shifted out",
            ));
        }
        constant(&value, operator, &by, of, token)
    };
    let operand = match operand {
        Operand::Value(value) => Operand::Value(moved(value)?),
        Operand::Range(low, high) => Operand::Range(moved(low)?, moved(high)?),
        Operand::Set(SetRef::Anonymous(elements)) => {
            let mut made: Vec<Element> = Vec::with_capacity(elements.len());
            for mut element in elements {
                if let Key::Single(Interval { low, high }) = element.key {
                    element.key = Key::Single(Interval { low: moved(low)?, high: moved(high)? });
                }
                made.push(element);
            }
            Operand::Set(crate::model::anonymous(made))
        }
        other => other,
    };
    if let Some(BitOp::ShiftRight(by)) = bits.ops.pop() {
        // What the shift would have lost is masked.
        let mask = Value::of_number(ones(of) >> by << by, of);
        bits.ops.extend(mask.map(BitOp::And));
    }
    Ok((if bits.ops.is_empty() { bits.of } else { Selector::Bits(bits) }, operand))
}

fn is_constant(operand: &Operand) -> bool {
    match operand {
        Operand::Value(_) | Operand::Range(..) => true,
        Operand::Set(SetRef::Anonymous(elements)) => {
            elements.iter().all(|element| matches!(element.key, Key::Single(_)) && element.data.is_none())
        }
        _ => false,
    }
}

/// Parentheses before a field that are looked behind.
const DEEPEST: usize = 16;
