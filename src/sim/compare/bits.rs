//! Converts tests of registers with open bytes to sets of values of an input: the values for which
//! the test holds.
//!
//! Bits of an input are variables in the order of its number: most significant first, regardless of
//! the byte order in memory.

use smallvec::SmallVec;

use super::bdd::{Bdd, Node};
use crate::sim::cells::{Cell, Input};

/// One bit of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bit {
    Known(bool),
    /// The bit of an input, or its inverse.
    Open {
        input: Input,
        variable: u8,
        flip: bool,
    },
}

/// Returns the bits of cells, most significant first.
pub(super) fn bits(cells: &[Cell]) -> impl DoubleEndedIterator<Item = Bit> + ExactSizeIterator {
    let of = |at: usize| (cells.get(at / 8).copied().unwrap_or(Cell::Known(0)), u8::try_from(at % 8).unwrap_or(0));
    (0..cells.len() * 8).map(of).map(|(cell, place)| bit(cell, place))
}

fn bit(cell: Cell, place: u8) -> Bit {
    let in_place = 0x80 >> place;
    match cell {
        Cell::Known(byte) => Bit::Known(byte & in_place != 0),
        Cell::Open { mask, xor, .. } if mask & in_place == 0 => Bit::Known(xor & in_place != 0),
        Cell::Open { input, byte, xor, .. } => {
            let last = u8::try_from(input.bytes()).unwrap_or(1).saturating_sub(1);
            let byte = if is_reversed(input) { last.saturating_sub(byte) } else { byte };
            Bit::Open { input, variable: byte * 8 + place, flip: xor & in_place != 0 }
        }
    }
}

/// Whether the first byte, as it is loaded, is the lowest of the number.
pub(super) fn is_reversed(input: Input) -> bool {
    input.is_host_order() && cfg!(target_endian = "little")
}

/// Returns the number that the bytes of an input represent, as they are loaded.
pub(super) fn number(input: Input, bytes: &[u8]) -> u128 {
    let bytes = bytes.iter().take(input.bytes());
    let join = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    if is_reversed(input) { bytes.rev().fold(0, join) } else { bytes.fold(0, join) }
}

pub(super) fn width(input: Input) -> u32 {
    u32::try_from(input.bytes()).unwrap_or(0) * 8
}

/// Returns whether cells of one input depend only on these bits of it.
pub(super) fn depend_on(cells: &[Cell], which: u128) -> bool {
    cells.iter().all(|cell| match *cell {
        Cell::Known(_) => true,
        Cell::Open { input, byte, mask, xor: _ } => {
            let unchanged = [Cell::Open { input, byte, mask, xor: 0 }];
            filled(&unchanged, which).first() == Some(&mask)
        }
    })
}

/// Returns the bytes of cells of one input if it is this number.
pub(super) fn filled(cells: &[Cell], number: u128) -> SmallVec<[u8; 16]> {
    let fill = |cell: &Cell| match *cell {
        Cell::Known(byte) => byte,
        Cell::Open { input, byte, mask, xor } => {
            let last = u32::try_from(input.bytes()).unwrap_or(1) - 1;
            let above = if is_reversed(input) { u32::from(byte) } else { last.saturating_sub(byte.into()) };
            let of_number = number.checked_shr(8 * above).unwrap_or(0) & 0xff;
            u8::try_from(of_number).unwrap_or(0) & mask ^ xor
        }
    };
    cells.iter().map(fill).collect()
}

/// Splits cells into pieces that are each of one input, or known.
pub(super) fn pieces(cells: &[Cell]) -> Vec<(Option<Input>, std::ops::Range<usize>)> {
    let mut pieces: Vec<(Option<Input>, std::ops::Range<usize>)> = Vec::with_capacity(1);
    for (at, cell) in cells.iter().enumerate() {
        let of = match cell {
            Cell::Known(_) => None,
            Cell::Open { input, .. } => Some(*input),
        };
        match pieces.last_mut() {
            Some((input, range)) if of.is_none() || input.is_none() || *input == of => {
                *input = of.or(*input);
                range.end = at + 1;
            }
            _ => pieces.push((of, at..at + 1)),
        }
    }
    pieces
}

/// Returns the values for which cells of one input equal these bytes.
pub(super) fn equal(bdd: &mut Bdd, cells: &[Cell], data: &[u8]) -> Node {
    bits(cells).zip(data_bits(data)).rev().fold(Node::ALL, |rest, (bit, wanted)| match bit {
        Bit::Known(known) if known == wanted => rest,
        Bit::Known(_) => Node::NOTHING,
        Bit::Open { variable, flip, .. } if wanted != flip => bdd.choose(variable, rest, Node::NOTHING),
        Bit::Open { variable, .. } => bdd.choose(variable, Node::NOTHING, rest),
    })
}

/// Returns the values for which cells of one input come before these bytes; `or_equal` is
/// [`Node::ALL`] to include equal ones.
pub(super) fn before(bdd: &mut Bdd, cells: &[Cell], data: &[u8], or_equal: Node) -> Node {
    bits(cells).zip(data_bits(data)).rev().fold(or_equal, |rest, (bit, than)| match bit {
        Bit::Known(known) if known == than => rest,
        Bit::Known(known) => {
            if known {
                Node::NOTHING
            } else {
                Node::ALL
            }
        }
        Bit::Open { variable, flip, .. } => {
            let (one, zero) = if than { (rest, Node::ALL) } else { (Node::NOTHING, rest) };
            let (high, low) = if flip { (zero, one) } else { (one, zero) };
            bdd.choose(variable, high, low)
        }
    })
}

/// Returns the values for which cells of one input lie between both, included.
pub(super) fn between(bdd: &mut Bdd, cells: &[Cell], low: &[u8], high: &[u8]) -> Node {
    // As long as the bits of both ends are the same, there is one way; where they part, those at
    // the low end are at least its rest, and those at the high end at most that one's.
    let same = data_bits(low).zip(data_bits(high)).take_while(|(low, high)| low == high).count();
    let (mut at_least, mut at_most, mut inside) = (Node::ALL, Node::ALL, Node::ALL);
    let ends = data_bits(low).zip(data_bits(high));
    for (place, (bit, (low, high))) in bits(cells).zip(ends).enumerate().rev() {
        if place > same {
            at_least =
                if low { either(bdd, bit, at_least, Node::NOTHING) } else { either(bdd, bit, Node::ALL, at_least) };
            at_most =
                if high { either(bdd, bit, at_most, Node::ALL) } else { either(bdd, bit, Node::NOTHING, at_most) };
        } else if place == same {
            // Bit by bit as numbers are compared: an end that is below the other leaves nothing.
            inside = if high { either(bdd, bit, at_most, at_least) } else { Node::NOTHING };
        } else {
            inside =
                if low { either(bdd, bit, inside, Node::NOTHING) } else { either(bdd, bit, Node::NOTHING, inside) };
        }
    }
    inside
}

/// What holds where a bit is 1, and what where it is 0.
fn either(bdd: &mut Bdd, bit: Bit, one: Node, zero: Node) -> Node {
    match bit {
        Bit::Known(true) => one,
        Bit::Known(false) => zero,
        Bit::Open { variable, flip: false, .. } => bdd.choose(variable, one, zero),
        Bit::Open { variable, flip: true, .. } => bdd.choose(variable, zero, one),
    }
}

fn data_bits(data: &[u8]) -> impl DoubleEndedIterator<Item = bool> + ExactSizeIterator {
    (0..data.len() * 8).map(move |at| data.get(at / 8).is_some_and(|byte| byte & 0x80 >> (at % 8) != 0))
}
