//! What programs read and set of connection tracking (net/netfilter/nft_ct.c, v6.12).

use super::{Machine, Next, Step, compare};
use crate::bytecode::{CmpOp, CtKey, Register};
use crate::sim::cells::{Cell, Input};
use crate::sim::flow::{Tracking, cells};
use crate::sim::inputs::{CannotTell, Inputs};

impl<I: Inputs> Machine<'_, I> {
    /// Returns the tracking state. Before tracking, only a packet that came through lo has a
    /// connection.
    fn tracking(&mut self) -> Result<Tracking, CannotTell> {
        if self.flow.tracking == Tracking::Before {
            let attached = self.is(Input::Attached)?;
            self.flow.tracking = if attached { Tracking::Tracked } else { Tracking::Nothing };
        }
        Ok(self.flow.tracking)
    }

    /// Returns whether the packet belongs to a connection: an invalid one does not.
    fn has_connection(&mut self) -> Result<bool, CannotTell> {
        if self.tracking()? != Tracking::Tracked {
            return Ok(false);
        }
        let state: [Cell; 4] = cells(self.inputs, Input::CtState);
        compare(self.inputs, &state, CmpOp::Ne, &CT_INVALID.to_ne_bytes())
    }

    /// Like `has_connection`, but fails where a template would be taken for a connection.
    pub(super) fn is_connected(&mut self) -> Result<bool, CannotTell> {
        if self.tracking()? == Tracking::Template {
            return Err(CannotTell::new("what a connection is like between its zone and its tracking"));
        }
        self.has_connection()
    }

    /// nft_ct_get_eval.
    pub(super) fn ct(&mut self, key: CtKey, dreg: Register) -> Step {
        let constant = |bits: u32| bits.to_ne_bytes().map(Cell::Known).into_iter();
        if key == CtKey::STATE {
            return match self.tracking()? {
                Tracking::Tracked => self.load(Input::CtState, dreg),
                Tracking::Template => self.store(dreg, constant(CT_NEW)),
                Tracking::Untracked => self.store(dreg, constant(CT_UNTRACKED)),
                Tracking::Before | Tracking::Nothing => self.store(dreg, constant(CT_INVALID)),
            };
        }
        if !self.is_connected()? {
            return Ok(Next::Break);
        }
        match key {
            CtKey::DIRECTION => self.load(Input::CtDirection, dreg),
            CtKey::MARK => self.store(dreg, self.flow.ct_mark.into_iter()),
            CtKey::STATUS => self.store(dreg, self.inputs.ct_status(self.flow)?.into_iter()),
            CtKey::ZONE => match self.flow.zone {
                Some(zone) => self.store(dreg, zone.into_iter()),
                None => self.load(Input::CtZone, dreg),
            },
            CtKey(other) => Err(CannotTell::new(format!("ct key {other} is not part of a packet here"))),
        }
    }

    /// nft_ct_set_eval and nft_ct_set_zone_eval.
    pub(super) fn ct_set(&mut self, key: CtKey, sreg: Register) -> Step {
        let connected = self.has_connection()?;
        match key {
            CtKey::MARK if connected => self.flow.ct_mark = self.take(sreg)?,
            CtKey::ZONE if !connected && self.flow.tracking != Tracking::Template => {
                self.flow.zone = Some(self.take(sreg)?);
                self.flow.tracking = Tracking::Template;
            }
            CtKey::MARK | CtKey::ZONE => {}
            CtKey(other) => return Err(CannotTell::new(format!("ct key {other} is not part of a packet here"))),
        }
        Ok(Next::Go)
    }

    /// nft_notrack_eval: a packet that is tracked or has a zone stays so.
    pub(super) fn notrack(&mut self) -> Step {
        if !self.has_connection()? && self.flow.tracking != Tracking::Template {
            self.flow.tracking = Tracking::Untracked;
        }
        Ok(Next::Go)
    }
}

// include/uapi/linux/netfilter/nf_conntrack_common.h, NF_CT_STATE_BIT.
pub(crate) const CT_INVALID: u32 = 1;
pub(crate) const CT_NEW: u32 = 8;
const CT_UNTRACKED: u32 = 64;
