//! Unknown bytes of a packet: decides what does not depend on them, and describes what does.

use smallvec::SmallVec;

use super::cells::{Cell, Input};
use super::header::TRANSPORT_FROM;
use super::inputs::CannotTell;
use super::machine::holds;
use super::sets::{Keys, SetIndex};
use crate::bytecode::CmpOp;

/// Compares like memcmp(3), if the known bits decide.
pub(super) fn compare(cells: &[Cell], op: CmpOp, data: &[u8]) -> Result<bool, CannotTell> {
    let can_be_equal = cells.len() == data.len() && cells.iter().zip(data).all(|(cell, byte)| can_be(*cell, *byte));
    let [lowest, highest] = ends(cells).map(|end| holds(op, end.as_slice().cmp(data)));
    match op {
        CmpOp::Eq if !can_be_equal => Ok(false),
        CmpOp::Ne if !can_be_equal => Ok(true),
        CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge if lowest == highest => Ok(lowest),
        _ => Err(first_unknown(cells)),
    }
}

/// Returns whether the cells lie between both, included.
pub(super) fn within(cells: &[Cell], low: &[u8], high: &[u8]) -> Result<bool, CannotTell> {
    let [lowest, highest] = ends(cells);
    if highest.as_slice() < low || lowest.as_slice() > high {
        return Ok(false);
    }
    if lowest.as_slice() >= low && highest.as_slice() <= high { Ok(true) } else { Err(first_unknown(cells)) }
}

/// Returns the element of a set, if it does not depend on unknown bytes.
pub(super) fn find(cells: &[Cell], set: &SetIndex) -> Result<Option<usize>, CannotTell> {
    let may_be_in = match &set.keys {
        Keys::Points(points) => {
            points.keys().any(|key| cells.iter().zip(key.iter()).all(|(c, byte)| can_be(*c, *byte)))
        }
        Keys::Intervals(spans) => spans.iter().any(|(low, high, _)| within(cells, low, high) != Ok(false)),
        Keys::Ranges { elements, .. } => !elements.is_empty(),
    };
    if may_be_in { Err(first_unknown(cells)) } else { Ok(set.catch_all) }
}

/// Describes what is not known.
pub(super) fn not_known(cell: Cell) -> CannotTell {
    let Cell::Open { input, byte, .. } = cell else { return CannotTell::new("a byte of the packet is not known") };
    let (header, at) = match input {
        Input::Network => ("network", usize::from(byte)),
        Input::Sport => ("transport", usize::from(byte)),
        Input::Dport => ("transport", 2 + usize::from(byte)),
        Input::TcpFlags => ("transport", 13),
        _ => ("transport", TRANSPORT_FROM + usize::from(byte)),
    };
    CannotTell::new(format!("byte {at} of the {header} header is not known; give it with {header} and its bytes"))
}

fn first_unknown(cells: &[Cell]) -> CannotTell {
    let open = cells.iter().find(|cell| cell.known().is_none());
    not_known(open.copied().unwrap_or(Cell::Known(0)))
}

/// Returns the lowest and the highest bytes that cells can have.
fn ends(cells: &[Cell]) -> [SmallVec<[u8; 16]>; 2] {
    let lowest = cells.iter().map(|cell| match cell {
        Cell::Known(byte) => *byte,
        Cell::Open { mask, xor, .. } => xor & !mask,
    });
    let highest = cells.iter().map(|cell| match cell {
        Cell::Known(byte) => *byte,
        Cell::Open { mask, xor, .. } => xor | mask,
    });
    [lowest.collect(), highest.collect()]
}

fn can_be(cell: Cell, byte: u8) -> bool {
    match cell {
        Cell::Known(known) => known == byte,
        Cell::Open { mask, xor, .. } => (xor ^ byte) & !mask == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Cell = Cell::Open { input: Input::Network, byte: 1, mask: 0xff, xor: 0 };
    /// 0x60 to 0x6f.
    const VERSION: Cell = Cell::Open { input: Input::Network, byte: 0, mask: 0x0f, xor: 0x60 };

    #[test]
    fn known_bits_decide_a_comparison_where_they_suffice() {
        type Case = (&'static [Cell], CmpOp, &'static [u8], Option<bool>);
        let cases: [Case; 10] = [
            (&[VERSION], CmpOp::Eq, &[0x45], Some(false)),
            (&[VERSION], CmpOp::Eq, &[0x60], None),
            (&[VERSION], CmpOp::Ge, &[0x60], Some(true)),
            (&[VERSION], CmpOp::Lt, &[0x70], Some(true)),
            (&[VERSION], CmpOp::Lt, &[0x68], None),
            (&[ANY, Cell::Known(1)], CmpOp::Eq, &[0, 2], Some(false)),
            (&[ANY, Cell::Known(1)], CmpOp::Ne, &[0, 2], Some(true)),
            (&[ANY, Cell::Known(1)], CmpOp::Eq, &[0, 1], None),
            (&[Cell::Known(2), ANY], CmpOp::Gt, &[1, 0], Some(true)),
            (&[Cell::Known(1), ANY], CmpOp::Gt, &[1, 0], None),
        ];
        for (cells, op, data, expected) in cases {
            assert_eq!(compare(cells, op, data).ok(), expected, "{cells:?} {op:?} {data:?}");
        }
        assert_eq!(within(&[VERSION, ANY], &[0x60, 0], &[0x6f, 0xff]).ok(), Some(true));
        assert_eq!(within(&[VERSION, ANY], &[0x60, 1], &[0x6f, 0xff]).ok(), None);
        assert_eq!(within(&[VERSION], &[0x50], &[0x70]).ok(), Some(true));
        assert_eq!(within(&[VERSION], &[0x10], &[0x20]).ok(), Some(false));
    }
}
