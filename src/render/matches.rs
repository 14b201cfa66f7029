//! Comparisons: a selector, an operator, an operand.

use std::borrow::Cow;
use std::fmt::{self, Display};

use crate::model::{Field, Match, Op, Operand, Protocol, Selector, Value};

use super::set::set_ref;
use super::value::{Bits, numeric};
use super::{Style, Text, joined};

impl Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        comparison(self, None, Style::Loadable).fmt(f)
    }
}

impl Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        selector(self, None).fmt(f)
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
pub(super) fn selector(selector: &Selector, transport: Option<Protocol>) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let field = |field: &Field| {
            let port = match field {
                Field::ThDport => Some("dport"),
                Field::ThSport => Some("sport"),
                _ => None,
            };
            let known = port.zip(transport.filter(|protocol| protocol.has_ports()));
            known.map_or_else(|| Cow::Owned(field.to_string()), |(port, protocol)| format!("{protocol} {port}").into())
        };
        joined(f, selector.fields().iter().map(field), " . ")
    })
}

/// Returns a whole match, given the transport protocol that earlier statements imply.
pub(super) fn comparison<'a>(matches: &'a Match, transport: Option<Protocol>, style: Style<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Match { selector: left, op, operand } = matches;
        write!(f, "{} ", selector(left, transport))?;
        match operand {
            Operand::Flags(value) => flags(f, left, *op, value),
            Operand::Masked { mask, value } => masked(f, left, *op, (mask, value), style),
            Operand::Value(value) if Bits::of(value).is_some() => exact_bits(f, *op, value, style),
            Operand::Set(set) => {
                implied(f, *op)?;
                write!(f, "{}", set_ref(set, style))
            }
            Operand::Range(low, high) => {
                implied(f, *op)?;
                write!(f, "{}-{}", numeric(&style.named(low)), numeric(&style.named(high)))
            }
            Operand::Value(Value::Integer(there @ (0 | 1))) if is_presence(left) && !is_order(*op) => {
                implied(f, *op)?;
                f.write_str(if *there == 1 { "exists" } else { "missing" })
            }
            Operand::Value(Value::Integer(bytes)) if matches!(left, Selector::Field(Field::Payload(_))) => {
                implied(f, *op)?;
                write!(f, "{bytes:#x}")
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
        (Value::CtState(_) | Value::CtStatus(_), Some(bits))
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
        Some(_) if matches!(style, Style::Loadable) && !within(value, mask) => write!(f, "& {mask} {op} {value}"),
        Some(length) => {
            implied(f, op)?;
            write!(f, "{}", Operand::Prefix(value.clone(), length))
        }
        None if matches!(mask, Value::Gid(u32::MAX))
            || matches!((mask, left.fields()), (Value::Integer(u32::MAX), [field]) if field.data_type().bytes() == 4) =>
        {
            exactly(f, op, value)
        }
        None if matches!(mask, Value::Uid(u32::MAX)) => exactly(f, op, value),
        None => write!(f, "& {} {op} {}", style.named(mask), style.named(value)),
    }
}

fn exactly(f: &mut fmt::Formatter<'_>, op: Op, value: &Value) -> fmt::Result {
    implied(f, op)?;
    write!(f, "{value}")
}

/// Returns whether all bits of a mark are within the mask.
fn within(value: &Value, mask: &Value) -> bool {
    !matches!((value, mask), (Value::Mark(value), Value::Mark(mask)) if value & !mask != 0)
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
