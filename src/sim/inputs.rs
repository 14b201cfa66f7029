//! What the machine asks of the world around it.

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use super::cells::{Cell, Input};
use super::fib::Query;
use super::flow::{Flow, Translation, cells};
use super::rules::RuleLine;
use super::sets::SetIndex;
use super::unknown::{self, not_known};
use crate::bytecode::{CmpOp, Expr, LimitCode, PayloadBase};
use crate::model::{Hook, IpFamily};
use crate::xt::Question;

/// A packet and its surroundings: all of it known, or left open and split where programs look.
///
/// The questions about cells are only asked when some of them are open: in a walk those are bytes
/// of a header that nobody gave.
pub(crate) trait Inputs: Sized {
    /// Network-layer family of the packet.
    fn family(&self) -> IpFamily;

    /// A byte of an input, as it is loaded.
    fn cell(&self, input: Input, byte: u8) -> Cell;

    /// All bytes of an input, as it is loaded, in the first of these cells.
    fn all(&self, input: Input) -> [Cell; 16] {
        std::array::from_fn(|byte| self.cell(input, u8::try_from(byte).unwrap_or(u8::MAX)))
    }

    /// Whether it is known whose socket sent the packet, or was given to it on its way in.
    fn knows_owner(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether it is known that no socket sent the packet, where nobody's did: the kernel has some
    /// of its own, without an owner.
    fn knows_no_socket(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether it is known which socket the packet has, or would get.
    fn knows_receiver(&self, _hook: Hook) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether the packet can be at that hook; `is_made_whole` where fragments are put together
    /// first.
    fn can_be_at(&self, _hook: Hook, _is_made_whole: bool) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether it is known what rules find behind the network header.
    fn knows_transport(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// What kind the destination is that the packet has now: `fib daddr type` asks anew.
    fn daddr_type(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        if flow.header.daddr != self.all(Input::Daddr) {
            return Err(CannotTell::new("what kind a destination is behind its translation"));
        }
        Ok(cells(self, Input::DaddrType))
    }

    /// What another `fib` expression loads.
    fn fib(&mut self, hook: Hook, flow: &Flow, query: Query, expr: &Expr) -> Result<SmallVec<[Cell; 16]>, CannotTell>;

    /// What a match of xtables asks.
    fn ask(&mut self, _hook: Hook, _flow: &Flow, question: &Question) -> Result<bool, CannotTell> {
        Err(CannotTell::new(question.to_string()))
    }

    /// A byte of a header that no input has, if it is known.
    fn further(&self, _base: PayloadBase, _at: usize) -> Option<Cell> {
        None
    }

    /// A byte of the length that is in the header of IP, if it is known.
    fn ip_length(&self, _at: usize) -> Option<Cell> {
        None
    }

    /// Whether the packet ends before that byte of a header; `None` where that is not known.
    fn ends_before(&self, _base: PayloadBase, _end: u32) -> Option<bool> {
        Some(false)
    }

    /// Whether a set that rules fill holds what it held when it was read.
    fn knows_filled(&self) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether bytes that a program keeps (in a mark, as an address) may be open ones.
    fn keeps(&self, cells: &[Cell]) -> Result<(), CannotTell> {
        cells.iter().find(|cell| cell.known().is_none()).map_or(Ok(()), |cell| Err(not_known(*cell)))
    }

    /// Status of the connection now: a translation of this hook shows in it.
    fn ct_status(&self, flow: &Flow) -> Result<[Cell; 4], CannotTell> {
        if flow.translation.is_some() {
            return Err(CannotTell::new("what status a connection has behind its translation"));
        }
        Ok(cells(self, Input::CtStatus))
    }

    /// Compares as memcmp(3) does.
    fn compare(&mut self, cells: &[Cell], op: CmpOp, data: &[u8]) -> Result<bool, CannotTell> {
        unknown::compare(cells, op, data)
    }

    /// Whether the cells lie between both, included, as memcmp(3) orders them.
    fn within(&mut self, cells: &[Cell], low: &[u8], high: &[u8]) -> Result<bool, CannotTell> {
        unknown::within(cells, low, high)
    }

    /// The element of the set with these cells as its key.
    fn find(&mut self, cells: &[Cell], set: &SetIndex) -> Result<Option<usize>, CannotTell> {
        unknown::find(cells, set)
    }

    /// Whether a packet comes within this rate.
    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell>;

    /// Whether a transparent socket takes the packet that is to go there.
    fn listener(&mut self, target: &Target) -> Result<bool, CannotTell>;

    /// Connection tracking takes up the packet: in the zone of the flow, whose mark of the
    /// connection it sets.
    fn track(&mut self, _hook: Hook, _flow: &mut Flow) -> Result<(), CannotTell> {
        Ok(())
    }

    /// A chain of type route changed the mark: the packet is routed again.
    fn reroute(&mut self, _flow: &Flow) -> Result<(), CannotTell> {
        Ok(())
    }

    /// Whether the packet can go no further: there is no way for it, or no address to give it.
    fn is_lost(&self) -> bool {
        false
    }

    /// Whether chains of type nat see the packet: it is the first of its connection, and this side
    /// of it has no translation yet.
    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell>;

    /// Rewrites the header of the flow behind the nat chains: by what they decided now, or by what
    /// the connection already has.
    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell>;
}

/// Where `tproxy` sends a packet; what is absent is the packet's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) address: Option<Vec<Cell>>,
    pub(crate) port: Option<[Cell; 2]>,
}

/// Why there is no answer: something on the way is not known here. Prints in one line, the place of
/// the rule first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotTell {
    reason: String,
    rule: Option<Arc<RuleLine>>,
}

impl CannotTell {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        CannotTell { reason: reason.into(), rule: None }
    }

    /// The same, at a rule, unless it has one already.
    pub(crate) fn at(mut self, rule: &Arc<RuleLine>) -> Self {
        self.rule.get_or_insert_with(|| Arc::clone(rule));
        self
    }

    /// The rule that is not understood, if it is one.
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
