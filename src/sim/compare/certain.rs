//! Evaluates one packet at a hook with the machine alone, to confirm a counterexample.

use std::sync::Arc;

use super::bdd::Bdd;
use super::outcome::{Comparer, Outcome};
use crate::model::{Base, ChainId, Hook};
use crate::sim::cells::Input;
use crate::sim::flow::{Flow, cells};
use crate::sim::hook::{Listener, pass};
use crate::sim::inputs::CannotTell;
use crate::sim::rules::Rules;
use crate::sim::situation::Situation;

/// Returns what the rules do with the packet.
pub(super) fn outcome(rules: &Rules, hook: Hook, situation: &Situation) -> Result<Outcome, CannotTell> {
    let mut situation = situation.clone();
    let mut flow = situation.flow();
    let mut last = Last::default();
    let passed = pass(rules, hook, &mut situation, &mut flow, &mut last)?;
    Ok(Outcome { passed, flow, last: last.0 })
}

/// Records which base chain was entered last.
#[derive(Default)]
pub(super) struct Last(pub(super) Option<Arc<ChainId>>);

impl Listener for Last {
    fn chain(&mut self, chain: &Arc<ChainId>, _: &Base, _: &Flow) {
        self.0 = Some(Arc::clone(chain));
    }
}

/// Returns whether two outcomes of the same packet differ.
pub(super) fn differ(hook: Hook, situation: &Situation, tracks: [bool; 2], a: &Outcome, b: &Outcome) -> bool {
    let family = situation.packet.family();
    let (status, dport) = (cells(situation, Input::CtStatus), cells(situation, Input::Dport));
    let mut bdd = Bdd::new();
    Comparer { bdd: &mut bdd, domains: None, hook, family, tracks, status, dport }.difference(a, b).is_some()
}
