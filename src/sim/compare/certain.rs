//! One packet at a hook, by the machine alone: what a counterexample has to stand.

use super::bdd::Bdd;
use super::outcome::{Comparer, Outcome};
use crate::model::Hook;
use crate::sim::cells::Input;
use crate::sim::flow::cells;
use crate::sim::hook::pass;
use crate::sim::inputs::CannotTell;
use crate::sim::rules::Rules;
use crate::sim::situation::Situation;

/// What the rules do with it.
pub(super) fn outcome(rules: &Rules, hook: Hook, situation: &Situation) -> Result<Outcome, CannotTell> {
    let mut situation = situation.clone();
    let mut flow = situation.flow();
    let passed = pass(rules, hook, &mut situation, &mut flow, &mut ())?;
    Ok(Outcome { passed, flow })
}

/// Whether two outcomes of the same packet differ.
pub(super) fn differ(hook: Hook, situation: &Situation, tracks: [bool; 2], a: &Outcome, b: &Outcome) -> bool {
    let family = situation.packet.family();
    let (mark, dport) = (cells(situation, Input::Mark), cells(situation, Input::Dport));
    let mut bdd = Bdd::new();
    Comparer { bdd: &mut bdd, domains: None, hook, family, tracks, mark, dport }.difference(a, b).is_some()
}
