//! A packet at one hook alone.

use super::hook::{Decider, Passed, pass};
use super::inputs::{CannotTell, Inputs};
use super::recorder::Recorder;
use super::rules::Rules;
use super::situation::Situation;
use super::walk::{End, Lost, Walk};
use crate::model::Hook;

/// Sends a packet through the chains of one hook.
///
/// ```
/// use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
/// use nftmesh::sim::{End, Rules, Situation, walk_hook};
///
/// let output = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER).rule(Rule::new().skuid(7).drop());
/// let rules = Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "t").chain(output)))?;
/// let packet = "tcp 10.77.0.2:40000 -> 10.77.0.1:9000 uid 7 gid 7".parse()?;
/// let walk = walk_hook(&rules, Hook::Output, &Situation::new(packet));
/// assert!(matches!(walk.end, End::DroppedByRule(rule) if rule.number == 1));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[must_use]
pub fn walk_hook(rules: &Rules, hook: Hook, situation: &Situation) -> Walk {
    let mut inputs = situation.clone();
    let mut flow = inputs.flow();
    let mut steps = Vec::new();
    let Situation { packet, incoming, outgoing, .. } = situation.clone();
    let mut recorder = Recorder::new(&mut steps, hook, packet.family(), &flow);
    recorder.hook(packet.clone(), incoming, outgoing);
    let passed = pass(rules, hook, &mut inputs, &mut flow, &mut recorder);
    let lost = if inputs.is_lost() { Lost::Redirect } else { Lost::NoRoute };
    Walk { packet, steps, end: ending(passed, lost).unwrap_or(End::Passed) }
}

/// Returns where the walk ended, if it did; `lost` is the reason if the host could not go on.
pub(super) fn ending(passed: Result<Passed, CannotTell>, lost: Lost) -> Option<End> {
    match passed {
        Ok(Passed::Accepted) => None,
        Ok(Passed::Dropped(Decider::Host)) => Some(End::Lost(lost)),
        Ok(Passed::Dropped(Decider::Policy(chain))) => Some(End::DroppedByPolicy(chain)),
        Ok(Passed::Dropped(Decider::Rule(rule))) => Some(End::DroppedByRule(rule)),
        Ok(Passed::Queued(_, rule)) => Some(End::Queued(rule)),
        Ok(Passed::Rejected(_, rule)) => Some(End::Rejected(rule)),
        Err(reason) => Some(End::CannotTell(reason)),
    }
}
