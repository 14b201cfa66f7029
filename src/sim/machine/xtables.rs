//! Extensions of xtables, by what they mean (nft_match_eval and nft_target_eval_xt, net/netfilter/nft_compat.c, v6.12).

use super::{Machine, Next, Step, go, within};
use crate::sim::cells::{Cell, Input};
use crate::sim::flow::cells;
use crate::sim::inputs::Inputs;
use crate::sim::rules::Op;
use crate::sim::xt::XtOwner;

impl<I: Inputs> Machine<'_, I> {
    /// The first list that holds to its end. Extensions of xtables have no registers: those of the rule stay as they are.
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
