//! Comparisons: a selector, an operator, an operand.

use std::fmt::{self, Display};

use crate::model::{BitOp, Field, Hash, Match, Op, Operand, Protocol, Selector, SetRef, Value};

use super::set::{is_raw, set_of};
use super::value::{Bits, hexadecimal, numeric};
use super::{Style, Text, joined};

impl Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        comparison(self, None, Style::Loadable).fmt(f)
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        selector(self, None, Style::Loadable).fmt(f)
    }
}

/// Prints the field as nft spells it: `meta skuid`, `ip saddr`.
impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::CtDirected(of) => of.fmt(f),
            Field::Exthdr(of) => of.fmt(f),
            Field::Fib(of) => of.fmt(f),
            Field::Ipsec(of) => of.fmt(f),
            Field::Numgen(of) => of.fmt(f),
            Field::Osf(of) => of.fmt(f),
            Field::SocketCgroup(of) => of.fmt(f),
            Field::Payload(of) => of.fmt(f),
            Field::Symhash(of) => of.fmt(f),
            plain => f.write_str(plain.name()),
        }
    }
}

/// Prints the operator as nft writes it; equality, which nft mostly omits, is `==`.
impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Eq => "==",
            Op::Ge => ">=",
            Op::Gt => ">",
            Op::Le => "<=",
            Op::Lt => "<",
            Op::Ne => "!=",
        })
    }
}

/// Prints the operand without its selector, as if compared by equality; a mask reads `value /
/// mask`.
impl Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Flags(value) => flags_or_value(f, value),
            Operand::Masked { mask, value } => {
                flags_or_value(f, value)?;
                f.write_str(" / ")?;
                flags_or_value(f, mask)
            }
            Operand::Prefix(value, length) if usize::from(*length) == 8 * width(value) => write!(f, "{value}"),
            Operand::Prefix(value, length) => write!(f, "{value}/{length}"),
            Operand::Range(low, high) => write!(f, "{}-{}", numeric(low), numeric(high)),
            Operand::Set(set) => write!(f, "{set}"),
            Operand::Value(value) => write!(f, "{value}"),
        }
    }
}

fn flags_or_value(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match Bits::of(value) {
        Some(bits) => bits.list().fmt(f),
        None => value.fmt(f),
    }
}

/// Returns the fields; once the transport protocol is known, nft writes `th dport` as `tcp dport`.
pub(super) fn selector<'a>(selector: &'a Selector, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let parts = selector.parts();
        let part = |part: &'a Selector| {
            Text(move |f: &mut fmt::Formatter<'_>| {
                computed(f, part, transport, style)?;
                // nft lists how it takes such bits out of their bytes.
                match (style, part, parts) {
                    (Style::Listed(_), Selector::Field(field), [_, _, ..]) => match field.shift() {
                        Some(0) | None => Ok(()),
                        Some(shift) => write!(f, " >> {shift}"),
                    },
                    (Style::InTable(_) | Style::Loadable | Style::Listed(_), ..) => Ok(()),
                }
            })
        };
        joined(f, parts.iter().map(part), " . ")
    })
}

/// Writes a field, or what is computed from fields.
fn computed(f: &mut fmt::Formatter<'_>, part: &Selector, transport: Option<Protocol>, style: Style<'_>) -> fmt::Result {
    match part {
        Selector::Bits(bits) => operations(f, (&bits.of, &bits.ops), transport, style),
        Selector::Concat(_) => selector(part, transport, style).fmt(f),
        Selector::Field(field) => {
            let port = match field {
                Field::ThDport => Some("dport"),
                Field::ThSport => Some("sport"),
                _ => None,
            };
            match port.zip(transport.filter(|protocol| protocol.has_ports())) {
                Some((port, protocol)) => write!(f, "{protocol} {port}"),
                None => field.fmt(f),
            }
        }
        Selector::Hash(hash) => {
            let Hash { of, modulus, seed, offset } = &**hash;
            write!(f, "jhash {} mod {modulus}", selector(of, transport, style))?;
            if let Some(seed) = seed {
                write!(f, " seed {seed:#x}")?;
            }
            if *offset == 0 { Ok(()) } else { write!(f, " offset {offset}") }
        }
    }
}

/// Writes operations on bits; what binds more loosely than the operator after it is in parentheses.
fn operations(
    f: &mut fmt::Formatter<'_>,
    (of, ops): (&Selector, &[BitOp]),
    transport: Option<Protocol>,
    style: Style<'_>,
) -> fmt::Result {
    let Some((last, before)) = ops.split_last() else { return computed(f, of, transport, style) };
    let is_looser = before.last().is_some_and(|op| looseness(op) > looseness(last));
    if is_looser {
        f.write_str("(")?;
    }
    operations(f, (of, before), transport, style)?;
    if is_looser {
        f.write_str(")")?;
    }
    let constant = |value: &Value| constant(of, value, looseness(last));
    match last {
        BitOp::And(value) => write!(f, " & {}", constant(value)),
        BitOp::Or(value) => write!(f, " | {}", constant(value)),
        BitOp::ShiftLeft(by) => write!(f, " << {by}"),
        BitOp::ShiftRight(by) => write!(f, " >> {by}"),
        BitOp::Xor(value) => write!(f, " ^ {}", constant(value)),
    }
}

/// Returns a constant after an operator; several flags are joined by `|`.
fn constant(of: &Selector, value: &Value, looseness: u8) -> String {
    match Bits::of(value) {
        Some(bits) if bits.value.count_ones() > 1 && looseness < OR => format!("({value})"),
        _ if is_raw(of) => hexadecimal(value).to_string(),
        _ => value.to_string(),
    }
}

/// Returns how loosely an operator binds (`expr_binop_precedence`, src/expression.c, v1.0.6).
fn looseness(op: &BitOp) -> u8 {
    match op {
        BitOp::ShiftLeft(_) | BitOp::ShiftRight(_) => 1,
        BitOp::And(_) => 2,
        BitOp::Xor(_) => 3,
        BitOp::Or(_) => OR,
    }
}

const OR: u8 = 4;

/// Writes the operator after what is computed: nft omits an equality only where it converted the
/// byte order before.
fn after_computed(f: &mut fmt::Formatter<'_>, left: &Selector, op: Op, is_converted: bool) -> fmt::Result {
    match left {
        Selector::Bits(_) if !is_converted => write!(f, "{op} "),
        _ => implied(f, op),
    }
}

/// Returns a whole match, given the transport protocol that earlier statements imply.
pub(super) fn comparison<'a>(matches: &'a Match, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Match { selector: left, op, operand } = matches;
        write!(f, "{} ", selector(left, transport, style))?;
        let of = left.data_type();
        let is_wide = of.is_host_order() && of.bytes() > 1;
        match operand {
            Operand::Value(value) if matches!(left, Selector::Bits(_)) => {
                after_computed(f, left, *op, false)?;
                match Bits::of(value) {
                    Some(bits) if is_wide && is_order(*op) => write!(f, "{:#x}", bits.value),
                    None if is_wide && is_order(*op) && matches!(value, Value::AddrType(_) | Value::IfaceType(_)) => {
                        numeric(value).fmt(f)
                    }
                    _ if is_raw(left) => hexadecimal(value).fmt(f),
                    _ => style.named(value).fmt(f),
                }
            }
            Operand::Flags(value) => flags(f, left, *op, value),
            Operand::Masked { mask, value } => masked(f, left, *op, (mask, value), style),
            Operand::Value(value) if Bits::of(value).is_some() => exact_bits(f, *op, value, style),
            Operand::Set(set) => {
                after_computed(f, left, *op, is_wide && has_intervals(set))?;
                write!(f, "{}", set_of(left, set, style))
            }
            Operand::Range(low, high) if is_raw(left) => {
                after_computed(f, left, *op, false)?;
                write!(f, "{}-{}", hexadecimal(low), hexadecimal(high))
            }
            Operand::Range(low, high) => {
                after_computed(f, left, *op, is_wide)?;
                write!(f, "{}-{}", numeric(&style.named(low)), numeric(&style.named(high)))
            }
            Operand::Value(Value::Integer(there @ (0 | 1))) if is_presence(left) && !is_order(*op) => {
                implied(f, *op)?;
                f.write_str(if *there == 1 { "exists" } else { "missing" })
            }
            Operand::Value(value) if is_raw(left) => {
                implied(f, *op)?;
                hexadecimal(value).fmt(f)
            }
            Operand::Value(value @ (Value::AddrType(_) | Value::IfaceType(_))) if is_order(*op) => {
                write!(f, "{op} {}", numeric(value))
            }
            Operand::Value(value) => {
                implied(f, *op)?;
                write!(f, "{}", style.named(value))
            }
            Operand::Prefix(..) => {
                implied(f, *op)?;
                write!(f, "{operand}")
            }
        }
    })
}

/// Returns whether a set has elements that are intervals.
fn has_intervals(set: &SetRef) -> bool {
    matches!(set, SetRef::Anonymous(elements) if elements.iter().any(|element| element.key.is_interval()))
}

/// Returns whether a field tells that something is there.
fn is_presence(selector: &Selector) -> bool {
    matches!(selector, Selector::Field(field) if field.is_presence())
}

/// Returns whether it compares by order; for this a number of several bytes in host order is
/// byte-swapped, and nft names no such value.
fn is_order(op: Op) -> bool {
    !matches!(op, Op::Eq | Op::Ne)
}

/// Writes the operator, unless it is an equality.
fn implied(f: &mut fmt::Formatter<'_>, op: Op) -> fmt::Result {
    if op == Op::Eq { Ok(()) } else { write!(f, "{op} ") }
}

/// Writes a match of any or none of these bits.
fn flags(f: &mut fmt::Formatter<'_>, left: &Selector, op: Op, value: &Value) -> fmt::Result {
    match Bits::of(value) {
        // nft ignores a mask of all bits and lists the rest: a comparison with zero.
        Some(bits) if bits.value == bits.all => write!(f, "{} 0x0", opposite(op)),
        Some(bits) if op == Op::Ne => write!(f, "! {}", bits.list()),
        Some(bits) => bits.list().fmt(f),
        None if matches!(value, Value::Mark(_)) => {
            masked(f, left, opposite(op), (value, &Value::Mark(0)), Style::Loadable)
        }
        None => write!(f, "& {value} {} 0", opposite(op)),
    }
}

fn opposite(op: Op) -> Op {
    if op == Op::Ne { Op::Eq } else { Op::Ne }
}

/// Writes a match of exactly these bits.
fn exact_bits(f: &mut fmt::Formatter<'_>, op: Op, value: &Value, style: Style<'_>) -> fmt::Result {
    match (value, Bits::of(value)) {
        (Value::CtState(_) | Value::CtStatus(_), Some(_)) if is_order(op) => write!(f, "{op} {}", numeric(value)),
        // For several bits, nft omits the part that makes the match exact.
        (Value::CtLabel(_) | Value::CtState(_) | Value::CtStatus(_), Some(bits))
            if matches!(style, Style::Listed(_)) && op == Op::Eq && bits.value.count_ones() > 1 =>
        {
            write!(f, "{value}")
        }
        // For a header field, nft names only single bits.
        (Value::TcpFlags(_), Some(bits)) if bits.value.count_ones() != 1 => write!(f, "{op} {:#x}", bits.value),
        (_, Some(_) | None) => write!(f, "{op} {value}"),
    }
}

/// Writes a match of the bits under the mask.
fn masked(
    f: &mut fmt::Formatter<'_>,
    left: &Selector,
    op: Op,
    (mask, value): (&Value, &Value),
    style: Style<'_>,
) -> fmt::Result {
    if let (Some(wanted), Some(bits), Op::Eq | Op::Ne) = (Bits::of(mask), Bits::of(value), op) {
        return if wanted.value == wanted.all {
            exact_bits(f, op, value, style)
        } else if bits.value == 0 {
            flags(f, left, opposite(op), mask)
        } else if bits.value == wanted.value && bits.value.is_power_of_two() {
            write!(f, "& {mask} {op} {value}")
        } else {
            implied(f, op)?;
            write!(f, "{} / {}", bits.list(), wanted.list())
        };
    }
    match mask_length(mask) {
        // nft reads a prefix as if the bits after it were zero.
        Some(_) if !matches!(style, Style::Listed(_)) && !within(value, mask) => write!(f, "& {mask} {op} {value}"),
        Some(length) => {
            implied(f, op)?;
            write!(f, "{}", Operand::Prefix(value.clone(), length))
        }
        None if matches!(mask, Value::Gid(u32::MAX))
            || matches!(mask, Value::Integer(u32::MAX) if left.data_type().bytes() == 4) =>
        {
            exactly(f, op, value)
        }
        None if matches!(mask, Value::Uid(u32::MAX)) => exactly(f, op, value),
        None if is_raw(left) => write!(f, "& {} {op} {}", hexadecimal(mask), hexadecimal(value)),
        None => write!(f, "& {} {op} {}", style.named(mask), style.named(value)),
    }
}

fn exactly(f: &mut fmt::Formatter<'_>, op: Op, value: &Value) -> fmt::Result {
    implied(f, op)?;
    write!(f, "{value}")
}

/// Returns whether all bits of a mark or an address are within the mask.
fn within(value: &Value, mask: &Value) -> bool {
    value.number().zip(mask.number()).is_none_or(|(value, mask)| value & !mask == 0)
}

/// Returns the number of leading bits in the mask of an address or a mark, if it has no others.
fn mask_length(mask: &Value) -> Option<u8> {
    let (bits, width) = match mask {
        Value::Ipv4(mask) => (u128::from(mask.to_bits()) << 96, 32),
        Value::Ipv6(mask) => (mask.to_bits(), 128),
        Value::Mark(mask) => (u128::from(*mask) << 96, 32),
        _ => return None,
    };
    let length = bits.leading_ones();
    let whole = bits.checked_shl(length).unwrap_or(0) == 0;
    u8::try_from(length).ok().filter(|length| whole && *length <= width)
}

fn width(value: &Value) -> usize {
    match value {
        Value::Ipv4(_) | Value::Mark(_) => 4,
        Value::Ipv6(_) => 16,
        _ => 0,
    }
}
