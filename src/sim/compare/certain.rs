//! One packet at a hook, by the machine alone: what a counterexample has to stand.

use super::bdd::Bdd;
use super::outcome::{Comparer, Outcome};
use crate::bytecode::LimitCode;
use crate::model::{CtState, Family4or6, Hook};
use crate::sim::cells::{Cell, Input};
use crate::sim::flow::{Flow, Tracking, Translation, cells};
use crate::sim::hook::pass;
use crate::sim::inputs::{CannotTell, Inputs, Target};
use crate::sim::rules::Rules;
use crate::sim::situation::Situation;

/// A situation that remembers whether it was routed again.
struct Certain<'a> {
    situation: &'a mut Situation,
    rerouted: bool,
}

/// What the rules do with it.
pub(super) fn outcome(rules: &Rules, hook: Hook, situation: &Situation) -> Result<Outcome, CannotTell> {
    let mut situation = situation.clone();
    let mut flow = Flow::new(&situation);
    if situation.connection.state == CtState::UNTRACKED {
        flow.tracking = Tracking::Untracked;
    }
    let mut certain = Certain { situation: &mut situation, rerouted: false };
    let passed = pass(rules, hook, &mut certain, &mut flow, &mut ())?;
    Ok(Outcome { passed, flow, rerouted: certain.rerouted })
}

/// Whether two outcomes of the same packet differ.
pub(super) fn differ(hook: Hook, situation: &Situation, tracks: [bool; 2], a: &Outcome, b: &Outcome) -> bool {
    let family = situation.packet.family();
    let (mark, dport) = (cells(situation, Input::Mark), cells(situation, Input::Dport));
    let mut bdd = Bdd::new();
    Comparer { bdd: &mut bdd, domains: None, hook, family, tracks, mark, dport }.difference(a, b).is_some()
}

impl Inputs for Certain<'_> {
    fn family(&self) -> Family4or6 {
        self.situation.family()
    }

    fn cell(&self, input: Input, byte: u8) -> Cell {
        self.situation.cell(input, byte)
    }

    fn all(&self, input: Input) -> [Cell; 16] {
        self.situation.all(input)
    }

    fn limit(&mut self, limit: &LimitCode) -> Result<bool, CannotTell> {
        self.situation.limit(limit)
    }

    fn listener(&mut self, target: &Target) -> Result<bool, CannotTell> {
        self.situation.listener(target)
    }

    fn reroute(&mut self, flow: &Flow) -> Result<(), CannotTell> {
        self.rerouted = true;
        self.situation.reroute(flow)
    }

    fn asks_nat(&mut self, hook: Hook) -> Result<bool, CannotTell> {
        self.situation.asks_nat(hook)
    }

    fn translate(&mut self, hook: Hook, flow: &mut Flow, decided: Option<&Translation>) -> Result<(), CannotTell> {
        self.situation.translate(hook, flow, decided)
    }
}
