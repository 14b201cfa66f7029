//! Cuts the packets into parts when there are many rules for different packets: each part has the
//! few rules that can match some of its packets.
//!
//! Classes of packets are found by running them through the rules ([`explorer`](super::explorer)),
//! which takes quadratic time if each rule makes a class of its own. So a box of packets is halved
//! where many rules match on only one side of the cut, until few rules are left or another cut
//! gains nothing. A part is bounded by two numbers for some inputs; its rules are those whose
//! [`spans`](super::spans) meet it, and all other rules have no effect on any of its packets.

#[cfg(test)]
mod tests;

use super::bdd::{Bdd, Node};
use super::bits::between;
use super::domains::{Domains, Frame};
use super::spans::{Span, Spans, most};
use crate::sim::cells::{Cell, Input};
use crate::sim::line_up::ChainAt;

/// The parts still to do.
pub(super) struct Cutter {
    /// Rules and elements, in their order on each side.
    pub(super) items: Vec<Item>,
    todo: Vec<Excerpt>,
    /// The number of items that needs no cut.
    few: usize,
}

/// Something that has an effect only on some packets.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) spans: Spans,
}

/// Something that one side has, or both.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// Something that is not the same on both sides, and is never left out.
    Difference,
    /// An element of this group of sets, by its number on each side.
    Element(usize, [Option<usize>; 2]),
    /// A rule, by its place on each side.
    Rule([Option<(ChainAt, usize)>; 2]),
}

impl Item {
    /// Returns whether both sides have it.
    fn is_common(&self) -> bool {
        match self.what {
            What::Difference => false,
            What::Element(_, at) => at.iter().all(Option::is_some),
            What::Rule(at) => at.iter().all(Option::is_some),
        }
    }
}

/// Packets between some numbers, and the items that can match them.
#[derive(Debug)]
pub(super) struct Excerpt {
    spans: Vec<Span>,
    pub(super) items: Vec<u32>,
    /// Its share of the whole, by the number of items.
    pub(super) share: f64,
    /// Whether one side has items here that the other one does not have.
    pub(super) differs: bool,
}

impl Cutter {
    /// Returns `None` if there are so few items that the packets need no parts.
    pub(super) fn new(items: Vec<Item>, few: usize) -> Option<Self> {
        if items.len() <= few {
            return None;
        }
        let all = (0..items.len()).filter_map(|index| u32::try_from(index).ok()).collect();
        let differs = !items.iter().all(Item::is_common);
        Some(Cutter { items, todo: vec![Excerpt { spans: Vec::new(), items: all, share: 1.0, differs }], few })
    }

    /// Returns the next part that is small enough, the same on both sides, or that no cut makes
    /// smaller.
    pub(super) fn next(&mut self) -> Option<Excerpt> {
        let mut part = self.todo.pop()?;
        while part.differs && part.items.len() > self.few / FEWER {
            let Some(at) = self.best(&part) else { break };
            let [mut low, mut high] = [self.half(&part, at, Half::Below), self.half(&part, at, Half::From)];
            let of_low = low.items.len() as f64 / (low.items.len() + high.items.len()).max(1) as f64;
            (low.share, high.share) = (part.share * of_low, part.share * (1.0 - of_low));
            self.todo.push(high);
            part = low;
        }
        Some(part)
    }

    fn item(&self, index: u32) -> Option<&Item> {
        self.items.get(usize::try_from(index).ok()?)
    }

    /// Returns the best cut: the input and the lowest number of the upper half.
    fn best(&self, part: &Excerpt) -> Option<(Input, u128)> {
        let mut ends: Vec<Ends> = Vec::new();
        for item in part.items.iter().filter_map(|index| self.item(*index)) {
            let is_common = item.is_common();
            for Span { input, low, high } in &item.spans {
                let of = match ends.iter().position(|ends| ends.input == *input) {
                    Some(of) => of,
                    None => {
                        ends.push(Ends::new(*input));
                        ends.len() - 1
                    }
                };
                let Some(Ends { lows, highs, lowest, highest, .. }) = ends.get_mut(of) else { continue };
                lows.push(*low);
                highs.push(high.saturating_add(1));
                if !is_common {
                    (*lowest, *highest) = ((*lowest).min(*low), (*highest).max(high.saturating_add(1)));
                }
            }
        }
        let whole = part.items.len();
        let worst = WORTH * whole as f64 * whole as f64;
        let mut best: Option<(f64, (Input, u128))> = None;
        for Ends { input, mut lows, mut highs, lowest, highest } in ends {
            let bounds = part.bounds(input);
            let inside = |number: &u128| bounds.low < *number && *number <= bounds.high;
            let middle = |numbers: &mut Vec<u128>| {
                numbers.retain(inside);
                let middle = numbers.len() / 2;
                (!numbers.is_empty()).then(|| *numbers.select_nth_unstable(middle).1)
            };
            let middles = [middle(&mut lows), middle(&mut highs)];
            for number in middles.into_iter().chain([lowest, highest].map(Some)).flatten().filter(inside) {
                let at = (input, number);
                let [below, from] = [Half::Below, Half::From].map(|half| self.count(part, at, half));
                let of = |(count, differs): (usize, bool)| if differs { count as f64 * count as f64 } else { 0.0 };
                let cost = of(below) + of(from);
                // A part that is the same on both sides costs nothing.
                let saves = [(below, from), (from, below)].iter().any(|(one, other)| !one.1 && other.0 < whole);
                if (saves || cost < worst) && best.is_none_or(|(least, _)| cost < least) {
                    best = Some((cost, at));
                }
            }
        }
        best.map(|(_, at)| at)
    }

    /// Returns the number of items that can match in this half, and whether sides differ in them.
    fn count(&self, part: &Excerpt, at: (Input, u128), half: Half) -> (usize, bool) {
        let items = part.items.iter().filter_map(|index| self.item(*index));
        let met = items.filter(|item| half.meets(&item.spans, at));
        met.fold((0, false), |(count, differs), item| (count + 1, differs || !item.is_common()))
    }

    fn half(&self, part: &Excerpt, at: (Input, u128), half: Half) -> Excerpt {
        let (input, number) = at;
        let mut bounds = part.bounds(input);
        match half {
            Half::Below => bounds.high = number - 1,
            Half::From => bounds.low = number,
        }
        let mut spans: Vec<Span> = part.spans.iter().copied().filter(|span| span.input != input).collect();
        spans.push(bounds);
        let meets = |index: &u32| self.item(*index).is_some_and(|item| half.meets(&item.spans, at));
        let items: Vec<u32> = part.items.iter().copied().filter(meets).collect();
        let differs = items.iter().any(|index| self.item(*index).is_some_and(|item| !item.is_common()));
        Excerpt { spans, items, share: 0.0, differs }
    }
}

/// The numbers of an input at which items begin, or have ended.
struct Ends {
    input: Input,
    lows: Vec<u128>,
    highs: Vec<u128>,
    /// The first and the last of those that only one side has.
    lowest: u128,
    highest: u128,
}

impl Ends {
    fn new(input: Input) -> Self {
        Ends { input, lows: Vec::new(), highs: Vec::new(), lowest: u128::MAX, highest: 0 }
    }
}

impl Excerpt {
    fn bounds(&self, input: Input) -> Span {
        let found = self.spans.iter().find(|span| span.input == input);
        found.copied().unwrap_or(Span { input, low: 0, high: most(input) })
    }

    /// Returns the packets of the part; `None` if there are none.
    pub(super) fn domains(&self, bdd: &mut Bdd, frame: &Frame) -> Option<Domains> {
        let mut domains = frame.start;
        for Span { input, low, high } in &self.spans {
            let values = interval(bdd, *input, *low, *high);
            if !frame.narrow(bdd, &mut domains, *input, values) {
                return None;
            }
        }
        Some(domains)
    }
}

#[derive(Clone, Copy)]
enum Half {
    Below,
    From,
}

impl Half {
    /// Returns whether a number within the spans lies in this half.
    fn meets(self, spans: &[Span], (input, at): (Input, u128)) -> bool {
        spans.iter().filter(|span| span.input == input).all(|span| match self {
            Half::Below => span.low < at,
            Half::From => span.high >= at,
        })
    }
}

/// Returns the numbers of an input between both, included.
fn interval(bdd: &mut Bdd, input: Input, low: u128, high: u128) -> Node {
    let bytes = input.bytes();
    let cells: Vec<Cell> = (0..bytes)
        .map(|at| if input.is_host_order() && cfg!(target_endian = "little") { bytes - 1 - at } else { at })
        .map(|byte| Cell::open(input, u8::try_from(byte).unwrap_or(u8::MAX)))
        .collect();
    let bytes_of = |number: u128| number.to_be_bytes().get(16 - bytes..).unwrap_or_default().to_vec();
    between(bdd, &cells, &bytes_of(low), &bytes_of(high))
}

/// Parts become so many times smaller than what is cut at all. A part with one rule of each side is
/// mostly the same on both, and then nobody runs it.
const FEWER: usize = 32;
/// A cut must leave less than this share of the square of the number of items.
const WORTH: f64 = 0.9;
