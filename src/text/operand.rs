//! The right-hand side of a comparison.

use super::computed::{ones, transferred};
use super::error::{Fault, Parsed};
use super::lexer::Token;
use super::parser::{Parser, unsupported};
use super::selector::key;
use super::values::{either, is_bits, prefix};
use crate::error::Quoted;
use crate::model::{
    BitOp, DataType, Element, Field, Interval, Key, Match, Op, Operand, RawBase, RawPayload, Selector, SetData, SetRef,
    Statement, Value,
};
use crate::render::Bits;

/// An operator as it is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// None: equality, or any of these bits.
    Implied,
    /// `!`: none of these bits.
    None,
    Op(Op),
}

const RELATIONS: [(&str, Relation); 14] = [
    ("==", Relation::Op(Op::Eq)),
    ("eq", Relation::Op(Op::Eq)),
    ("!=", Relation::Op(Op::Ne)),
    ("ne", Relation::Op(Op::Ne)),
    ("<", Relation::Op(Op::Lt)),
    ("lt", Relation::Op(Op::Lt)),
    (">", Relation::Op(Op::Gt)),
    ("gt", Relation::Op(Op::Gt)),
    ("<=", Relation::Op(Op::Le)),
    ("le", Relation::Op(Op::Le)),
    (">=", Relation::Op(Op::Ge)),
    ("ge", Relation::Op(Op::Ge)),
    ("!", Relation::None),
    ("not", Relation::None),
];

impl<'t> Parser<'t> {
    /// Reads operator and operand of a comparison.
    pub(super) fn comparison(&mut self, selector: Selector) -> Parsed<Match> {
        let key = key(&selector);
        if let Selector::Bits(_) = selector {
            return self.comparison_of_bits(selector);
        }
        let operator = self.peek();
        let relation = self.relation();
        if self.at("{") || self.at("@") {
            let op = match relation {
                Relation::Implied | Relation::Op(Op::Eq) => Op::Eq,
                Relation::Op(Op::Ne) => Op::Ne,
                Relation::None | Relation::Op(_) => {
                    return Err(Fault::wrong(operator.at, operator.length(), "a set is compared by == or !="));
                }
            };
            let set = self.set_ref(&key, &SetData::None)?;
            ends_within_its_bits(operator, &selector, &set)?;
            return Ok(Match { selector, op, operand: alone(set, op) });
        }
        let [of] = key.as_slice() else {
            return self.unexpected("a set, as several fields are only looked up in sets");
        };
        if is_bits(*of) {
            return self.bits(selector, *of, relation);
        }
        let op = match relation {
            Relation::Implied => Op::Eq,
            Relation::Op(op) => op,
            Relation::None => {
                return Err(Fault::wrong(operator.at, operator.length(), "! is of flags; use !="));
            }
        };
        let operand = self.plain(*of)?;
        if self.at(",") {
            return self.unexpected("one value; several are written in braces");
        }
        if !matches!(op, Op::Eq | Op::Ne) && !matches!(operand, Operand::Value(_)) {
            let why = format!("{op} compares with one value");
            return Err(Fault::wrong(operator.at, operator.length(), why));
        }
        Ok(Match { selector, op, operand })
    }

    /// Reads `@name`, or the elements of an anonymous set or map.
    pub(super) fn set_ref(&mut self, key: &[DataType], data: &SetData) -> Parsed<SetRef> {
        if self.take("@") {
            return Ok(SetRef::Named(self.name("the name of a set")?));
        }
        let elements = self.anonymous(key, data)?;
        Ok(crate::model::anonymous(elements))
    }

    fn relation(&mut self) -> Relation {
        let token = self.peek();
        match RELATIONS.iter().find(|(text, _)| token.is(text)) {
            Some((_, relation)) => {
                self.next();
                *relation
            }
            None => Relation::Implied,
        }
    }

    /// Reads operator and operand behind what is computed: `meta mark & 0xff == 1`.
    fn comparison_of_bits(&mut self, selector: Selector) -> Parsed<Match> {
        let of = selector.data_type();
        let operator = self.peek();
        let op = self.operator()?;
        let operand = if self.at("{") || self.at("@") {
            alone(self.set_ref(&[of], &SetData::None)?, op)
        } else {
            self.plain(of)?
        };
        if !matches!(op, Op::Eq | Op::Ne) && !matches!(operand, Operand::Value(_)) {
            let why = format!("{op} compares with one value");
            return Err(Fault::wrong(operator.at, operator.length(), why));
        }
        let (selector, operand) = transferred(selector, operand, operator)?;
        Ok(compared(selector, op, operand))
    }

    /// Reads an operator, which may be left out.
    fn operator(&mut self) -> Parsed<Op> {
        let operator = self.peek();
        match self.relation() {
            Relation::Implied => Ok(Op::Eq),
            Relation::Op(op) => Ok(op),
            Relation::None => Err(Fault::wrong(operator.at, operator.length(), "expected ==, != or a value")),
        }
    }

    /// Reads `@th,4,12 5`: a comparison, or a verdict map, of bits of a header that are not whole
    /// bytes. nft loads the bytes around them.
    pub(super) fn bits_of_header(&mut self) -> Parsed<Option<Statement>> {
        let Some(Around { raw, width, shift }) = self.around() else { return Ok(None) };
        let start = self.peek();
        self.skip(6);
        let unknown = [".", "set", "map", "&", "|", "^", "<<", ">>", "and", "or", "xor", "lshift", "rshift"];
        let of = DataType::NetworkInteger { bytes: width.div_ceil(8) };
        let around = Selector::from(Field::Payload(raw));
        let whole = around.data_type();
        let place = |value: &Value| {
            let number = value.number().filter(|number| number.checked_shr(width.into()).unwrap_or(0) == 0);
            let placed = number.and_then(|number| Value::of_number(number << shift, whole));
            placed.ok_or_else(|| Fault::wrong(start.at, start.length(), format!("a value of more than {width} bits")))
        };
        let placed = |set: SetRef| match set {
            SetRef::Named(_) => Err(unsupported(start, "a named set of bits that are not whole bytes")),
            SetRef::Anonymous(mut elements) => {
                for element in &mut elements {
                    if let Key::Single(Interval { low, high }) = &element.key {
                        element.key = Key::Single(Interval { low: place(low)?, high: place(high)? });
                    }
                }
                Ok(SetRef::Anonymous(elements))
            }
        };
        let mask = 1_u128.checked_shl(width.into()).map_or(u128::MAX, |all| all - 1) << shift;
        let Some(mask) = Value::of_number(mask, whole).filter(|_| !unknown.iter().any(|word| self.at(word))) else {
            return Err(unsupported(start, format_args!("this use of {width} bits that are not whole bytes")));
        };
        let selector = around.and(mask);
        if self.take("vmap") {
            let map = placed(self.set_ref(&[of], &SetData::Verdict)?)?;
            return Ok(Some(Statement::VerdictMap { selector, map }));
        }
        let op = self.operator()?;
        let operand = if self.at("{") || self.at("@") {
            alone(placed(self.set_ref(&[of], &SetData::None)?)?, op)
        } else {
            match self.plain(of)? {
                Operand::Value(value) => Operand::Value(place(&value)?),
                Operand::Range(low, high) => Operand::Range(place(&low)?, place(&high)?),
                other => other,
            }
        };
        if !matches!(op, Op::Eq | Op::Ne) && !matches!(operand, Operand::Value(_)) {
            return Err(Fault::wrong(start.at, start.length(), format!("{op} compares with one value")));
        }
        Ok(Some(Statement::Match(compared(selector, op, operand))))
    }

    /// Returns the bytes around bits that begin here, if they are not whole bytes.
    fn around(&mut self) -> Option<Around> {
        let number = |parser: &mut Self, index| parser.peek_at(index).text.parse::<u16>().ok();
        let named = |parser: &mut Self, name: &str| parser.peek_at(1).is(name.trim_start_matches('@'));
        if !self.at("@") || !self.peek_at(2).is(",") || !self.peek_at(4).is(",") {
            return None;
        }
        let (base, ..) = *RawBase::ALL.iter().find(|(.., name)| named(self, name))?;
        let (offset, width) = (number(self, 3)?, number(self, 5)?);
        let end = offset.checked_add(width)?;
        let (first, last) = (offset - offset % 8, end.checked_next_multiple_of(8)?);
        let bits = u8::try_from(last - first).ok().filter(|bits| *bits <= 128)?;
        let is_partial = (first, last) != (offset, end) && width > 0;
        let raw = RawPayload { base, offset: first, bits };
        is_partial.then_some(Around { raw, width: u8::try_from(width).ok()?, shift: u32::from(last - end) })
    }

    /// Reads flags: a list of which one is on, or which exactly are on, or `these / among those`.
    fn bits(&mut self, selector: Selector, of: DataType, relation: Relation) -> Parsed<Match> {
        let value = self.flags(of)?;
        if self.at("-") {
            let low = value;
            self.next();
            let high = self.value(of)?;
            let op = if relation == Relation::Op(Op::Ne) { Op::Ne } else { Op::Eq };
            return Ok(Match { selector, op, operand: Operand::Range(low, high) });
        }
        if self.take("/") {
            let mask = self.flags(of)?;
            let op = match relation {
                Relation::Implied | Relation::Op(Op::Eq) => Op::Eq,
                Relation::Op(Op::Ne) => Op::Ne,
                Relation::None | Relation::Op(_) => return self.unexpected("== or != before flags and a mask"),
            };
            return Ok(Match { selector, op, operand: Operand::Masked { mask, value } });
        }
        let (op, operand) = match relation {
            Relation::Implied => (Op::Eq, Operand::Flags(value)),
            Relation::None => (Op::Ne, Operand::Flags(value)),
            Relation::Op(op) => (op, Operand::Value(value)),
        };
        Ok(Match { selector, op, operand })
    }

    /// Reads flags joined by commas or `|`.
    fn flags(&mut self, of: DataType) -> Parsed<Value> {
        let mut value = self.value(of)?;
        while self.take(",") {
            let more = self.value(of)?;
            value = either(&value, &more).unwrap_or(value);
        }
        Ok(value)
    }

    /// Reads a value, a prefix or a range.
    fn plain(&mut self, of: DataType) -> Parsed<Operand> {
        let start = self.peek();
        let low = self.value(of)?;
        if self.take("/") {
            let length = self.prefix_length(of)?;
            return Ok(match (&low, prefix(&low, length)) {
                (_, None) => Operand::Value(low),
                (_, Some(Interval { low, high })) if low == high => Operand::Value(low),
                (Value::Mark(_), Some(Interval { low, .. })) => {
                    let mask = u32::MAX.checked_shr(length.into()).map_or(u32::MAX, |rest| !rest);
                    Operand::Masked { mask: Value::Mark(mask), value: low }
                }
                (_, Some(Interval { low, .. })) => Operand::Prefix(low, length),
            });
        }
        if !self.take("-") {
            return Ok(Operand::Value(low));
        }
        let high = self.value(of)?;
        if low > high {
            let why = format!("the range that begins with {} ends before it begins", Quoted::new(start.text));
            return Err(Fault::wrong(start.at, start.length(), why));
        }
        Ok(Operand::Range(low, high))
    }
}

/// Bits of a header, by the bytes that hold them.
struct Around {
    raw: RawPayload,
    width: u8,
    /// How many bits are after them.
    shift: u32,
}

/// Returns a comparison of what is computed.
fn compared(selector: Selector, op: Op, operand: Operand) -> Match {
    match (under_mask(&selector), operand) {
        (Some((field, mask)), Operand::Value(value) | Operand::Flags(value)) if matches!(op, Op::Eq | Op::Ne) => {
            masked(field, op, mask, value)
        }
        (_, operand) => Match { selector, op, operand },
    }
}

/// Returns the field and its mask, if that is all that is computed. A mask of leading bytes or of
/// all is sent as it is written, which a prefix is not.
fn under_mask(selector: &Selector) -> Option<(Field, Value)> {
    let Selector::Bits(bits) = selector else { return None };
    let [BitOp::And(mask)] = bits.ops.as_slice() else { return None };
    let of_bytes = mask_length(mask).is_some_and(|length| length > 0 && length % 8 == 0);
    let of_all = mask.number().is_some_and(|mask| mask == ones(bits.of.data_type()));
    let field = bits.of.as_field().filter(|field| field.bits().is_none());
    field.filter(|_| !of_bytes && !of_all).map(|field| (field, mask.clone()))
}

/// Returns the comparison of a field under a mask.
fn masked(field: Field, op: Op, mask: Value, value: Value) -> Match {
    let operand = match mask_length(&mask) {
        _ if Bits::of(&value).is_some_and(|bits| bits.value == 0) => {
            return Match::new(field, if op == Op::Ne { Op::Eq } else { Op::Ne }, Operand::Flags(mask));
        }
        // What is compared after a mask of leading bits is a prefix, if it has no others.
        Some(length) => match prefix(&value, length) {
            Some(Interval { low, high }) if low == value && high == low => Operand::Value(low),
            Some(Interval { low, .. }) if low == value => Operand::Prefix(low, length),
            _ => Operand::Masked { mask, value },
        },
        None => Operand::Masked { mask, value },
    };
    Match::new(field, op, operand)
}

/// Refuses a set of intervals of the last bits of some bytes that goes up to their highest value,
/// for which nft sends no end.
pub(super) fn ends_within_its_bits(at: Token<'_>, selector: &Selector, set: &SetRef) -> Parsed<()> {
    let (Some((Some(0), Some(bits))), SetRef::Anonymous(elements)) =
        (selector.as_field().map(|field| (field.shift(), field.bits())), set)
    else {
        return Ok(());
    };
    let highest = 1_u128.checked_shl(bits).map_or(u128::MAX, |all| all - 1);
    let ends = |element: &Element| element.key.parts().iter().any(|part| part.high.number() == Some(highest));
    if elements.iter().any(|element| element.key.is_interval()) && elements.iter().any(ends) {
        return Err(unsupported(at, "an interval up to the highest value of a part of a byte"));
    }
    Ok(())
}

/// Returns a set as an operand. nft reads a set of one value, prefix or range as that.
fn alone(set: SetRef, op: Op) -> Operand {
    let interval = match &set {
        SetRef::Anonymous(elements) => match elements.as_slice() {
            [Element { key: Key::Single(interval), .. }] => interval.clone(),
            _ => return Operand::Set(set),
        },
        SetRef::Named(_) => return Operand::Set(set),
    };
    match interval.into_operand() {
        Operand::Value(value) if op == Op::Eq && Bits::of(&value).is_some() => Operand::Flags(value),
        operand => operand,
    }
}

/// Returns the length of the prefix that a mask of an address keeps.
fn mask_length(mask: &Value) -> Option<u8> {
    let (ones, whole) = match mask {
        Value::Ipv4(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        Value::Ipv6(mask) => (mask.to_bits().leading_ones(), mask.to_bits().count_ones()),
        _ => return None,
    };
    u8::try_from(ones).ok().filter(|_| ones == whole)
}
