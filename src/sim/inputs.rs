//! What the machine asks of its surroundings.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::cells::{Cell, Input};
use super::fib::Query;
use super::flow::{Flow, Translation, cells};
use super::rules::{ChainCode, RuleLine};
use super::series::Series;
use super::sets::SetIndex;
use super::unknown::{self, not_known};
use crate::bytecode::{CmpOp, Expr, LimitCode, PayloadBase};
use crate::model::{Hook, IpFamily};
use crate::xt::Question;

/// A packet and its surroundings: fully known, or open and split where programs read it.
///
/// The questions about cells are only asked if some of them are open: in a walk, these are bytes of
/// a header that were not given.
pub(crate) trait Inputs: Sized {
    /// Returns the network-layer family of the packet.
    fn family(&self) -> IpFamily;

    /// Returns a byte of an input, as it is loaded.
    fn cell(&self, input: Input, byte: u8) -> Cell;

    /// Returns all bytes of an input, as it is loaded, in the first of these cells.
    fn all(&self, input: Input) -> [Cell; 16] {
        std::array::from_fn(|byte| self.cell(input, u8::try_from(byte).unwrap_or(u8::MAX)))
    }

    /// Fails if it is not known whose socket sent the packet, or was assigned to it on its way in.
    fn knows_owner(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Fails if a packet without an owner may come from a kernel socket, which has no owner either.
    fn knows_no_socket(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Fails if it is not known which socket the packet has, or would get.
    fn knows_receiver(&self, _hook: Hook) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Fails if the packet cannot be at that hook; `is_made_whole` is set where fragments are
    /// reassembled first.
    fn can_be_at(&self, _hook: Hook, _is_made_whole: bool) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Fails if it is not known what rules find after the network header.
    fn knows_transport(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Returns the type of the packet's current destination: `fib daddr type` looks it up again.
    fn daddr_type(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        if flow.header.daddr != self.all(Input::Daddr) {
            return Err(CannotTell::new("what kind a destination is after its translation"));
        }
        Ok(cells(self, Input::DaddrType))
    }

    /// Returns the bytes that another `fib` expression loads.
    fn fib(&mut self, hook: Hook, flow: &Flow, query: Query, expr: &Expr) -> Result<SmallVec<[Cell; 16]>, CannotTell>;

    /// Returns the answer to a question of an xtables match.
    fn ask(&mut self, _hook: Hook, _flow: &Flow, question: &Question) -> Result<bool, CannotTell> {
        Err(CannotTell::new(question.to_string()))
    }

    /// Returns a byte of a header that no input has, if it is known.
    fn further(&self, _base: PayloadBase, _at: usize) -> Option<Cell> {
        None
    }

    /// Returns a byte of the length field in the IP header, if it is known.
    fn ip_length(&self, _at: usize) -> Option<Cell> {
        None
    }

    /// Returns whether the packet ends before that byte of a header; `None` if that is not known.
    fn ends_before(&self, _base: PayloadBase, _end: u32) -> Option<bool> {
        Some(false)
    }

    /// Fails if a set that rules fill may have changed since it was read.
    fn knows_filled(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Fails if open bytes cannot be kept by a program (in a mark, as an address).
    fn keeps(&self, cells: &[Cell]) -> Result<(), CannotTell> {
        cells.iter().find(|cell| cell.known().is_none()).map_or(Ok(()), |cell| Err(not_known(*cell)))
    }

    /// Returns the current status of the connection, in which a translation of this hook shows.
    fn ct_status(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        if flow.translation.is_some() {
            return Err(CannotTell::new("what status a connection has after its translation"));
        }
        Ok(cells(self, Input::CtStatus))
    }

    /// Compares like memcmp(3).
    fn compare(&mut self, cells: &[Cell], op: CmpOp, data: &[u8]) -> Result<bool, CannotTell> {
        unknown::compare(cells, op, data)
    }

    /// Returns whether the cells lie between both, included, in the order of memcmp(3).
    fn within(&mut self, cells: &[Cell], low: &[u8], high: &[u8]) -> Result<bool, CannotTell> {
        unknown::within(cells, low, high)
    }

    /// Returns the rules that begin like the one at this index, if they are known: see [`Series`].
    fn series(&mut self, _chain: &ChainCode, _at: usize) -> Option<Arc<Series>> {
        None
    }

    /// Returns the only value that the cells can have, if that is known.
    fn only_value(&self, _cells: &[Cell]) -> Option<SmallVec<[u8; 16]>> {
        None
    }

    /// Returns the element of the set with these cells as its key.
    fn find(&mut self, cells: &[Cell], set: &SetIndex) -> Result<Option<usize>, CannotTell> {
        unknown::find(cells, set)
    }

    /// Returns whether a packet is within this rate.
    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell>;

    /// Returns whether a transparent socket accepts the packet.
    fn listener(&mut self, target: &Target) -> Result<bool, CannotTell>;

    /// Tracks the packet in the zone of the flow, and sets the mark of the connection in the flow.
    fn track(&mut self, _hook: Hook, _flow: &mut Flow) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Routes the packet again after a chain of type route changed its mark.
    fn reroute(&mut self, _flow: &Flow) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Returns whether the packet can go no further: it has no route, or there is no address to
    /// give it.
    fn is_lost(&self) -> bool {
        false
    }

    /// Returns whether chains of type nat see the packet: it is the first of its connection, and
    /// this side of the connection has no translation yet.
    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell>;

    /// Rewrites the header of the flow after the nat chains, by their decision or by the
    /// translation that the connection already has.
    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell>;
}

/// The destination of `tproxy`; an absent part is the packet's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) address: Option<Vec<Cell>>,
    pub(crate) port: Option<[Cell; 2]>,
}

/// Why there is no result: something on the path is not known here. Prints as one line, starting
/// with the location of the rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotTell {
    reason: String,
    rule: Option<Arc<RuleLine>>,
}

impl CannotTell {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        CannotTell { reason: reason.into(), rule: None }
    }

    /// Adds the rule, unless there is one already.
    pub(crate) fn at(mut self, rule: &Arc<RuleLine>) -> Self {
        self.rule.get_or_insert_with(|| Arc::clone(rule));
        self
    }

    /// Returns the rule that is not understood, if the reason is a rule.
    #[must_use]
    pub fn rule(&self) -> Option<&RuleLine> {
        self.rule.as_deref()
    }
}

impl std::error::Error for CannotTell {}

impl fmt::Display for CannotTell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "{}, rule {}: {}", rule.chain, rule.number, self.reason),
            None => f.write_str(&self.reason),
        }
    }
}
