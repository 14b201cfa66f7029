//! The conditions that a packet must meet before a rule can have an effect: for some inputs, the
//! numbers between which they lie.
//!
//! They are computed once for every rule, so that a part of the packets is only run through rules
//! that can match some of them ([`cut`](super::cut)). A span may be wider than the rule's
//! condition, never narrower: anything that is not understood here adds no condition.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use smallvec::SmallVec;

use super::bits::{Bit, bits, is_reversed, pieces, width};
use super::members::{KeyRange, elements as elements_of};
use crate::bytecode::{CmpOp, CtKey, Expr, LogCode, MetaKey, PayloadBase, Register};
use crate::model::{IpFamily, Name, Protocol};
use crate::sim::cells::{Cell, Input, Registers, bitwise};
use crate::sim::rules::Op;
use crate::sim::sets::{Keys, SetIndex};

/// The numbers of an input between both, included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) input: Input,
    pub(super) low: u128,
    pub(super) high: u128,
}

pub(super) type Spans = SmallVec<[Span; 2]>;

/// The properties that still have the values of the packet as it arrived when a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) family: IpFamily,
    /// Whether no translation comes before the rule.
    pub(super) header: bool,
    /// Whether no rule of this side sets a mark.
    pub(super) mark: bool,
    /// Whether tracking has run, so that reading its state has no effect.
    pub(super) tracked: bool,
}

impl Scope {
    /// Returns what holds in both.
    pub(super) fn and(self, other: Scope) -> Scope {
        let Scope { family, header, mark, tracked } = self;
        let [header, mark, tracked] = [header && other.header, mark && other.mark, tracked && other.tracked];
        Scope { family, header, mark, tracked }
    }
}

/// The first conditions of a rule.
#[derive(Debug)]
pub(super) struct Head<'r> {
    pub(super) spans: Spans,
    /// The sets that it looks something up in before it has an effect.
    pub(super) lookups: SmallVec<[Lookup; 1]>,
    pub(super) rule: &'r [Op],
}

/// A lookup in a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lookup {
    /// The index of the expression.
    pub(super) expr: usize,
    pub(super) key: Cells,
    /// Whether the rule matches only a protocol with ports.
    has_ports: bool,
}

impl Lookup {
    /// Returns the same lookup at no particular place of a rule.
    pub(super) fn anywhere(&self) -> Lookup {
        Lookup { expr: 0, ..self.clone() }
    }
}

impl<'r> Head<'r> {
    /// Returns the set of a lookup.
    pub(super) fn set(&self, lookup: &Lookup) -> Option<&'r SetIndex> {
        match self.rule.get(lookup.expr)? {
            Op::Lookup { set, sreg: _, dreg: _, inverted: _ } => set.as_deref(),
            _ => None,
        }
    }
}

/// The elements of sets, and the ends between which their keys lie, each computed once. Sets are
/// identified by their address.
#[derive(Default)]
pub(super) struct Sets {
    elements: HashMap<*const SetIndex, Rc<Elements>>,
    ends: HashMap<(*const SetIndex, Cells), Rc<[KeyRange]>>,
}

/// The cells of a key.
type Cells = SmallVec<[Cell; 16]>;

type Elements = Vec<(Vec<KeyRange>, usize)>;

impl Sets {
    pub(super) fn elements(&mut self, set: &SetIndex) -> Rc<Elements> {
        let elements = self.elements.entry(std::ptr::from_ref(set));
        Rc::clone(elements.or_insert_with(|| Rc::new(elements_of(set))))
    }

    /// Returns the conditions that the expressions of a rule check before they have an effect;
    /// `None` if no packet of the family meets them.
    pub(super) fn head<'r>(&mut self, ops: &'r [Op], scope: Scope) -> Option<Head<'r>> {
        let mut reading = Reading::new(scope);
        let mut lookups = SmallVec::new();
        for (at, op) in ops.iter().enumerate() {
            let next = match op {
                Op::Expr(expr) => reading.expr(expr)?,
                Op::Lookup { sreg, dreg, inverted, set: Some(set) } if !set.is_odd && !set.is_filled => {
                    let key = reading.registers.read(*sreg, set.key_bytes).map(SmallVec::from_slice);
                    let Some(key) = key else { break };
                    if !inverted {
                        for KeyRange { range, low, high } in self.ends(set, &key).iter() {
                            let cells = key.get(range.clone()).unwrap_or_default();
                            // Padding does not matter.
                            let open = cells.iter().rposition(|cell| cell.known().is_none()).map_or(0, |at| at + 1);
                            let [low, high] = [low, high].map(|end| end.get(..open).map(|end| (end, true)));
                            reading.ordered(cells.get(..open).unwrap_or_default(), low, high)?;
                        }
                    }
                    lookups.push(Lookup { expr: at, key, has_ports: reading.has_ports });
                    // What the element gives is not known.
                    if dreg.is_some() { Next::Stop } else { Next::Go }
                }
                Op::Lookup { .. } | Op::XtAsks(_) | Op::XtLimits(_) | Op::XtLists(_) | Op::XtOwner(_) => Next::Stop,
            };
            if next == Next::Stop {
                break;
            }
        }
        Some(Head { spans: reading.usable(), lookups, rule: ops })
    }

    /// Returns the ends between which the parts of a key lie if it is in the set.
    fn ends(&mut self, set: &SetIndex, key: &Cells) -> Rc<[KeyRange]> {
        let ends = self.ends.entry((std::ptr::from_ref(set), key.clone()));
        Rc::clone(ends.or_insert_with(|| ends_of(set, key).into()))
    }
}

/// Returns the lowest and the highest value of each part of the key, where elements say it.
fn ends_of(set: &SetIndex, key: &[Cell]) -> Vec<KeyRange> {
    if set.catch_all.is_some() {
        return Vec::new();
    }
    match &set.keys {
        Keys::Intervals(spans) => {
            let ends = spans.first().zip(spans.last());
            let whole = ends.map(|(first, last)| (0..key.len(), first.0.clone(), last.1.clone()));
            whole.into_iter().map(|(range, low, high)| KeyRange { range, low, high }).collect()
        }
        Keys::Points(points) => {
            let of = |(_, range): (_, Range<usize>)| {
                let parts = || points.keys().filter_map(|key| key.get(range.clone()));
                Some(KeyRange { low: parts().min()?.into(), high: parts().max()?.into(), range })
            };
            pieces(key).into_iter().filter_map(of).collect()
        }
        Keys::Ranges { fields, elements } => {
            let mut start = 0;
            let of = |length: &usize| {
                let range = start..start + length;
                start = range.end;
                let low = elements.iter().filter_map(|(low, _, _)| low.get(range.clone())).min()?;
                let high = elements.iter().filter_map(|(_, high, _)| high.get(range.clone())).max()?;
                Some(KeyRange { low: low.into(), high: high.into(), range })
            };
            fields.iter().filter_map(of).collect()
        }
    }
}

/// Returns the conditions of an element on its key; `None` if no packet has the key.
pub(super) fn element(lookup: &Lookup, parts: &[KeyRange], scope: Scope) -> Option<Spans> {
    let mut reading = Reading::new(scope);
    reading.has_ports = lookup.has_ports;
    for KeyRange { range, low, high } in parts {
        reading.between(lookup.key.get(range.clone()).unwrap_or(&[]), low, high)?;
    }
    Some(reading.usable())
}

/// Returns the conditions of both; `None` if they exclude each other.
pub(super) fn both(a: &Spans, b: &Spans) -> Option<Spans> {
    let mut all = a.clone();
    for span in b {
        match all.iter_mut().find(|known| known.input == span.input) {
            Some(known) => {
                (known.low, known.high) = (known.low.max(span.low), known.high.min(span.high));
                if known.low > known.high {
                    return None;
                }
            }
            None => all.push(*span),
        }
    }
    Some(all)
}

/// Widens conditions to those of either.
pub(super) fn hull(spans: &mut Spans, other: &Spans) {
    spans.retain(|span| match other.iter().find(|other| other.input == span.input) {
        Some(other) => {
            (span.low, span.high) = (span.low.min(other.low), span.high.max(other.high));
            true
        }
        None => false,
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Go,
    /// The rest may have an effect, or is not understood.
    Stop,
}

struct Reading {
    scope: Scope,
    registers: Registers,
    spans: Spans,
    /// Whether the rule matches only a protocol with ports; for others, the bytes in their place
    /// are something else.
    has_ports: bool,
}

impl Reading {
    fn new(scope: Scope) -> Self {
        let mut registers = Registers::new();
        // The contents that earlier rules left in them.
        for slot in 0..16 {
            let _fits = registers.store(Register::at_slot(slot), [UNKNOWN; 4].into_iter());
        }
        Reading { scope, registers, spans: Spans::new(), has_ports: false }
    }

    /// Reads one expression; `None` if no packet matches it.
    fn expr(&mut self, expr: &Expr) -> Option<Next> {
        let go = |done: Option<()>| if done.is_some() { Next::Go } else { Next::Stop };
        Some(match expr {
            Expr::Bitwise(code) => go(self.registers.window(code.reg, code.mask.len()).map(|window| {
                bitwise(window, &code.mask, &code.xor);
            })),
            Expr::Byteorder { reg, len } => {
                let window = usize::try_from(*len).ok().and_then(|len| self.registers.window(*reg, len));
                go(window.map(|window| {
                    if cfg!(target_endian = "little") {
                        window.reverse();
                    }
                }))
            }
            // A single byte stays as it is.
            Expr::ByteorderTo(code) if code.len == 1 && code.sreg == code.dreg => Next::Go,
            Expr::Cmp { sreg, op, data } => {
                let Some(cells) = self.registers.read(*sreg, data.len()).map(<[Cell]>::to_vec) else {
                    return Some(Next::Stop);
                };
                self.compare(&cells, *op, data)?;
                Next::Go
            }
            Expr::Counter { packets: _, bytes: _ }
            | Expr::Log(LogCode { prefix: _, level: _, group: _, snaplen: _, queue_threshold: _, flags: _ }) => {
                Next::Go
            }
            Expr::Ct { key, dreg } if self.scope.tracked && *key != CtKey::DIRECTION => {
                go(self.registers.store(*dreg, [UNKNOWN; 4].into_iter()))
            }
            Expr::Immediate { dreg, data } => go(self.registers.store(*dreg, data.iter().copied().map(Cell::Known))),
            Expr::Meta { key, dreg } => match *key {
                MetaKey::IIF => self.load(Input::Iif, 4, *dreg),
                MetaKey::IIFNAME => self.load(Input::Iifname, 16, *dreg),
                MetaKey::L4PROTO => self.load(Input::L4proto, 1, *dreg),
                MetaKey::LEN => self.load(Input::Length, 4, *dreg),
                MetaKey::MARK => self.load(Input::Mark, 4, *dreg),
                MetaKey::NFPROTO => {
                    let family = [Cell::Known(self.scope.family.number())];
                    go(self.registers.store(*dreg, family.into_iter()))
                }
                MetaKey::OIF => self.load(Input::Oif, 4, *dreg),
                MetaKey::OIFNAME => self.load(Input::Oifname, 16, *dreg),
                MetaKey::PKTTYPE => self.load(Input::PktType, 1, *dreg),
                _ => Next::Stop,
            },
            Expr::Payload { base, offset, len, dreg } => {
                let bytes = (*offset..offset.saturating_add(*len).min(256)).map(|at| self.header_byte(*base, at));
                match bytes.collect::<Option<Vec<Cell>>>() {
                    Some(cells) => go(self.registers.store(*dreg, cells.into_iter())),
                    None => Next::Stop,
                }
            }
            Expr::Range { sreg, op: CmpOp::Eq, low, high } => {
                let Some(cells) = self.registers.read(*sreg, low.len()).map(<[Cell]>::to_vec) else {
                    return Some(Next::Stop);
                };
                self.between(&cells, low, high)?;
                Next::Go
            }
            Expr::Range { sreg: _, op: CmpOp::Ne, low: _, high: _ } => Next::Go,
            _ => Next::Stop,
        })
    }

    fn load(&mut self, input: Input, bytes: u8, dreg: Register) -> Next {
        let cells: Vec<Cell> = (0..bytes).map(|byte| Cell::open(input, byte)).collect();
        if self.registers.store(dreg, cells.into_iter()).is_some() { Next::Go } else { Next::Stop }
    }

    fn header_byte(&self, base: PayloadBase, at: u32) -> Option<Cell> {
        let of = |input, start| Some(Cell::open(input, u8::try_from(at - start).ok()?));
        match (base, self.scope.family, at) {
            (PayloadBase::NETWORK, IpFamily::Ipv4, 9) => of(Input::L4proto, 9),
            (PayloadBase::NETWORK, IpFamily::Ipv4, 12..16) => of(Input::Saddr, 12),
            (PayloadBase::NETWORK, IpFamily::Ipv4, 16..20) => of(Input::Daddr, 16),
            (PayloadBase::NETWORK, IpFamily::Ipv6, 8..24) => of(Input::Saddr, 8),
            (PayloadBase::NETWORK, IpFamily::Ipv6, 24..40) => of(Input::Daddr, 24),
            (PayloadBase::TRANSPORT, _, 0..2) => of(Input::Sport, 0),
            (PayloadBase::TRANSPORT, _, 2..4) => of(Input::Dport, 2),
            _ => None,
        }
    }

    fn compare(&mut self, cells: &[Cell], op: CmpOp, data: &[u8]) -> Option<()> {
        match op {
            CmpOp::Eq => self.between(cells, data, data),
            CmpOp::Ne => Some(()),
            CmpOp::Lt | CmpOp::Le => self.ordered(cells, None, Some((data, op == CmpOp::Le))),
            CmpOp::Gt | CmpOp::Ge => self.ordered(cells, Some((data, op == CmpOp::Ge)), None),
        }
    }

    /// Records that cells lie between both, included; `None` if they cannot.
    fn between(&mut self, cells: &[Cell], low: &[u8], high: &[u8]) -> Option<()> {
        if low != high {
            return self.ordered(cells, Some((low, true)), Some((high, true)));
        }
        let mut ones: SmallVec<[(Input, u128, u128); 2]> = SmallVec::new();
        for (cell, wanted) in cells.iter().zip(low) {
            match *cell {
                Cell::Known(known) if known != *wanted => return None,
                Cell::Known(_) | Cell::Open { input: UNKNOWN_INPUT, .. } => {}
                // What the mask leaves out is known.
                Cell::Open { mask, xor, .. } if (wanted ^ xor) & !mask != 0 => return None,
                Cell::Open { input, byte, mask, xor } => {
                    let Some(shift) = shift(input, byte) else { continue };
                    let of_byte = |bits: u8| u128::from(bits).checked_shl(shift).unwrap_or(0);
                    let (mask, bits) = (of_byte(mask), of_byte((wanted ^ xor) & mask));
                    let at = match ones.iter().position(|(known, ..)| *known == input) {
                        Some(at) => at,
                        None => {
                            ones.push((input, 0, 0));
                            ones.len() - 1
                        }
                    };
                    let (_, fixed, value) = ones.get_mut(at)?;
                    if (*value ^ bits) & *fixed & mask != 0 {
                        return None;
                    }
                    *fixed |= mask;
                    *value |= bits;
                }
            }
        }
        ones.into_iter().try_for_each(|(input, fixed, value)| {
            self.narrow(Span { input, low: value, high: value | (most(input) & !fixed) })
        })
    }

    /// Records that the unchanged first cells of an input are in a range of numbers; other cells
    /// add no condition.
    fn ordered(&mut self, cells: &[Cell], low: Option<(&[u8], bool)>, high: Option<(&[u8], bool)>) -> Option<()> {
        let mut input = None;
        for (at, bit) in bits(cells).enumerate() {
            match bit {
                Bit::Open { input: of, variable, flip: false }
                    if of != UNKNOWN_INPUT && usize::from(variable) == at && input.is_none_or(|known| known == of) =>
                {
                    input = Some(of);
                }
                _ => return Some(()),
            }
        }
        let Some(input) = input else { return Some(()) };
        let same_length = |end: Option<(&[u8], bool)>| end.is_none_or(|(data, _)| data.len() == cells.len());
        if !same_length(low) || !same_length(high) {
            return Some(());
        }
        let rest = width(input).saturating_sub(u32::try_from(cells.len() * 8).unwrap_or(u32::MAX));
        let number = |data: &[u8]| data.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        let shifted = |number: u128| number.checked_shl(rest).unwrap_or(0);
        let span = Span {
            input,
            low: match low {
                None => 0,
                Some((data, true)) => shifted(number(data)),
                Some((data, false)) => shifted(number(data)).checked_add(1_u128.checked_shl(rest)?)?,
            },
            high: match high {
                None => most(input),
                Some((data, true)) => shifted(number(data)) | (1_u128.checked_shl(rest)? - 1),
                Some((data, false)) => shifted(number(data)).checked_sub(1)?,
            },
        };
        self.narrow(span)
    }

    fn narrow(&mut self, span: Span) -> Option<()> {
        if span.low > span.high {
            return None;
        }
        if span.input == Input::L4proto && span.low == span.high {
            self.has_ports |= u8::try_from(span.low).is_ok_and(|number| Protocol(number).has_ports());
        }
        match self.spans.iter_mut().find(|known| known.input == span.input) {
            Some(known) => {
                (known.low, known.high) = (known.low.max(span.low), known.high.min(span.high));
                // Two conditions on one input that exclude each other: rare, and left to the
                // machine.
                if known.low > known.high {
                    (known.low, known.high) = (span.low, span.high);
                }
            }
            None => self.spans.push(span),
        }
        Some(())
    }

    /// Returns the spans that apply to the packet as it arrived.
    fn usable(self) -> Spans {
        let Reading { scope, has_ports, mut spans, .. } = self;
        spans.retain(|span| match span.input {
            Input::Daddr | Input::Saddr => scope.header,
            Input::Dport | Input::Sport => scope.header && has_ports,
            Input::Iif | Input::Iifname | Input::L4proto | Input::Length => true,
            Input::Mark => scope.mark,
            Input::Oif | Input::Oifname | Input::PktType => true,
            _ => false,
        });
        spans
    }
}

/// A byte of which nothing is known, and which is not a byte of any used input.
const UNKNOWN: Cell = Cell::Open { input: UNKNOWN_INPUT, byte: 0, mask: 0xff, xor: 0 };
const UNKNOWN_INPUT: Input = Input::Cgroup;

/// Returns the highest number of an input.
pub(super) fn most(input: Input) -> u128 {
    u128::MAX >> (u128::BITS - width(input).clamp(1, u128::BITS))
}

/// By how many bits a byte of an input, as it is loaded, is above the lowest of the number.
fn shift(input: Input, byte: u8) -> Option<u32> {
    let last = width(input) / 8 - 1;
    let below = last.checked_sub(byte.into())?;
    Some(8 * if is_reversed(input) { last - below } else { below })
}

/// Passes the names of the chains that expressions themselves lead to to `found`, without those of
/// maps.
pub(super) fn own_targets(ops: &[Op], found: &mut impl FnMut(&Name)) {
    for op in ops {
        match op {
            Op::Expr(Expr::Verdict(verdict)) => verdict.target().into_iter().for_each(&mut *found),
            // They look nothing up in maps.
            Op::XtLists(lists) => lists.iter().for_each(|list| own_targets(list, found)),
            Op::Expr(_) | Op::Lookup { .. } | Op::XtAsks(_) | Op::XtLimits(_) | Op::XtOwner(_) => {}
        }
    }
}
