//! The new value of a mark: a number, another mark, bit arithmetic on one, or a map.

use super::error::Parsed;
use super::parser::{Parser, unsupported};
use super::selector::key;
use crate::model::{DataType, MarkKey, MarkValue, SetData, Value};

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

impl<'t> Parser<'t> {
    /// Reads what a mark is set to.
    pub(super) fn mark_value(&mut self) -> Parsed<MarkValue> {
        if !self.is_mark(0) && self.begins_field() {
            return self.mapped();
        }
        if self.is_mark(0)
            && (self.peek_at(1).is("map")
                || self.peek_at(2).is("map")
                || self.peek_at(1).is(".")
                || self.peek_at(2).is("."))
        {
            return self.mapped();
        }
        self.joined(0)
    }

    fn mapped(&mut self) -> Parsed<MarkValue> {
        let start = self.peek();
        let selector = self.selector()?;
        if !self.take("map") {
            return Err(unsupported(start, format_args!("a mark computed from {selector}")));
        }
        let map = self.set_ref(&key(&selector), &SetData::Value(DataType::Mark))?;
        Ok(MarkValue::Map { selector, map })
    }

    /// Returns whether `mark`, `meta mark` or `ct mark` is here.
    fn is_mark(&mut self, index: usize) -> bool {
        self.peek_at(index).is("mark")
            || (self.peek_at(index).is("meta") || self.peek_at(index).is("ct")) && self.peek_at(index + 1).is("mark")
    }

    /// Reads operands joined by operators of this or a stronger level.
    fn joined(&mut self, level: usize) -> Parsed<MarkValue> {
        let Some(operators) = OPERATORS.get(level) else { return self.operand_of_mark() };
        let mut value = self.joined(level + 1)?;
        loop {
            let token = self.peek();
            let Some((_, operator)) = operators.iter().find(|(text, _)| token.is(text)) else { return Ok(value) };
            self.next();
            let right = self.joined(level + 1)?;
            value =
                computed(value, *operator, &right).ok_or_else(|| unsupported(token, "this computation of a mark"))?;
        }
    }

    fn operand_of_mark(&mut self) -> Parsed<MarkValue> {
        if self.at("(") {
            return self.deeper(|parser| {
                parser.next();
                let value = parser.joined(0)?;
                parser.expect(")")?;
                Ok(value)
            });
        }
        if self.is_mark(0) {
            let ct = self.at("ct");
            if ct || self.at("meta") {
                self.next();
            }
            self.next();
            return Ok(MarkValue::copy(if ct { MarkKey::Ct } else { MarkKey::Meta }));
        }
        match self.single(DataType::Mark)? {
            Value::Mark(mark) => Ok(MarkValue::Constant(mark)),
            _ => self.unexpected("a mark"),
        }
    }
}

/// Returns the result, if it is a number, or one mark under a mask with bits flipped.
fn computed(left: MarkValue, operator: Operator, right: &MarkValue) -> Option<MarkValue> {
    let MarkValue::Constant(number) = *right else { return None };
    Some(match (left, operator) {
        (MarkValue::Constant(left), Operator::And) => MarkValue::Constant(left & number),
        (MarkValue::Constant(left), Operator::Or) => MarkValue::Constant(left | number),
        (MarkValue::Constant(left), Operator::Xor) => MarkValue::Constant(left ^ number),
        (MarkValue::Constant(left), Operator::Left) => MarkValue::Constant(left.checked_shl(number)?),
        (MarkValue::Constant(left), Operator::Right) => MarkValue::Constant(left.checked_shr(number)?),
        (MarkValue::From { from, mask, xor }, Operator::And) => {
            MarkValue::From { from, mask: mask & number, xor: xor & number }
        }
        (MarkValue::From { from, mask, xor }, Operator::Or) => {
            MarkValue::From { from, mask: mask & !number, xor: (xor & !number) | number }
        }
        (MarkValue::From { from, mask, xor }, Operator::Xor) => MarkValue::From { from, mask, xor: xor ^ number },
        (MarkValue::From { .. }, Operator::Left | Operator::Right) | (MarkValue::Map { .. }, _) => return None,
    })
}
