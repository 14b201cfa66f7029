//! Runs extensions of xtables by their meaning (nft_match_eval and nft_target_eval_xt,
//! net/netfilter/nft_compat.c, v6.12).

use std::ops::RangeInclusive;

use super::payload::DATA_OFFSET;
use super::{Machine, Next, Ran, Step, compare, go, within};
use crate::bytecode::{CmpOp, PayloadBase};
use crate::model::{IpFamily, Verdict};
use crate::sim::cells::{Cell, Input, bitwise};
use crate::sim::flow::cells;
use crate::sim::inputs::{CannotTell, Inputs};
use crate::sim::rules::Op;
use crate::xt::{Asked, Question, SegmentLimit, XtOwner};

impl<I: Inputs> Machine<'_, I> {
    /// Runs the first list that matches to its end. Extensions of xtables have no registers, so the
    /// rule's registers are kept.
    pub(super) fn first(&mut self, lists: &[Vec<Op>]) -> Step {
        let registers = self.registers.clone();
        let mut step = Ok(Next::Break);
        for list in lists {
            step = self.all(list);
            if !matches!(step, Ok(Next::Break)) {
                break;
            }
        }
        self.registers = registers;
        step
    }

    fn all(&mut self, ops: &[Op]) -> Step {
        for op in ops {
            match self.op(op)? {
                Next::Go => {}
                other => return Ok(other),
            }
        }
        Ok(Next::Go)
    }

    /// Asks the questions of one match.
    pub(super) fn asks(&mut self, all: &[Asked]) -> Step {
        for Asked { question, not } in all {
            let holds = match question {
                Question::Beyond(_) | Question::ReversePath(_) => {
                    Some(self.inputs.ask(self.hook, self.flow, question)?)
                }
                Question::Connection(_) if !self.is_connected()? => return Ok(Next::Break),
                Question::Connection(_) => Some(self.inputs.ask(self.hook, self.flow, question)?),
                Question::Segment { low, high } => self.announces_segment(*low..=*high, question)?,
            };
            match holds {
                // tcpmss_mt drops what it cannot read.
                None => return Ok(Next::End(Ran::Verdict(Verdict::Drop))),
                Some(holds) if holds == *not => return Ok(Next::Break),
                Some(_) => {}
            }
        }
        Ok(Next::Go)
    }

    /// net/netfilter/xt_TCPMSS.c: a later fragment is left alone, and a packet without a full
    /// header is dropped.
    pub(super) fn limits(&mut self, limit: SegmentLimit) -> Step {
        if self.inputs.family() == IpFamily::Ipv4 {
            let mut offset = [6, 7].map(|byte| self.inputs.cell(Input::Network, byte));
            bitwise(&mut offset, &[0x1f, 0xff], &[0, 0]);
            if compare(self.inputs, &offset, CmpOp::Ne, &[0, 0])? {
                return Ok(Next::Go);
            }
        }
        if self.flow.segment.is_limited() || !self.is_malformed()? {
            self.flow.segment.limit(limit);
            return Ok(Next::Go);
        }
        Ok(Next::End(Ran::Verdict(Verdict::Drop)))
    }

    /// Returns whether the first TCP option with a maximum segment size has a size in this range;
    /// `None` if the header is malformed (tcpmss_mt, net/netfilter/xt_tcpmss.c).
    fn announces_segment(
        &mut self,
        range: RangeInclusive<u16>,
        question: &Question,
    ) -> Result<Option<bool>, CannotTell> {
        self.knows_length()?;
        if self.is_malformed()? {
            return Ok(None);
        }
        let base = PayloadBase::TRANSPORT;
        let byte = |inputs: &I, at: usize| inputs.further(base, at).and_then(Cell::known);
        let Some(length) = byte(self.inputs, DATA_OFFSET).map(|byte| usize::from(byte >> 4) * 4) else {
            return self.inputs.ask(self.hook, self.flow, question).map(Some);
        };
        if self.inputs.ends_before(base, u32::try_from(length).unwrap_or(u32::MAX)) == Some(true) {
            return Ok(None);
        }
        let known = |inputs: &I, at| byte(inputs, at).ok_or_else(|| CannotTell::new(question.to_string()));
        let mut at = 20;
        while at < length {
            let kind = known(self.inputs, at)?;
            // TCPOPT_EOL and TCPOPT_NOP
            if kind < 2 {
                at += 1;
                continue;
            }
            // The kernel does not read beyond the options.
            let size = if at + 1 < length { known(self.inputs, at + 1)? } else { 1 };
            if (kind, size) == SEGMENT_OPTION && length - at >= 4 {
                let size = u16::from_be_bytes([known(self.inputs, at + 2)?, known(self.inputs, at + 3)?]);
                return Ok(Some(range.contains(&size)));
            }
            at += usize::from(size.max(1));
        }
        Ok(Some(false))
    }

    /// net/netfilter/xt_owner.c, owner_mt.
    pub(super) fn owner(&mut self, owner: &XtOwner) -> Step {
        let XtOwner { uids, gids, conditions, negated } = *owner;
        if !self.has_owner()? {
            return Ok(go(conditions == negated));
        }
        if conditions & negated & XtOwner::SOCKET != 0 {
            return Ok(Next::Break);
        }
        for (condition, input, (low, high)) in [(XtOwner::UID, Input::Skuid, uids), (XtOwner::GID, Input::Skgid, gids)]
        {
            if conditions & condition == 0 {
                continue;
            }
            let mut number: [Cell; 4] = cells(self.inputs, input);
            if cfg!(target_endian = "little") {
                number.reverse();
            }
            let inside = within(self.inputs, &number, &low.to_be_bytes(), &high.to_be_bytes())?;
            if inside == (negated & condition != 0) {
                return Ok(Next::Break);
            }
        }
        Ok(Next::Go)
    }
}

/// `TCPOPT_MSS` and `TCPOLEN_MSS`, include/net/tcp.h.
const SEGMENT_OPTION: (u8, u8) = (2, 4);
