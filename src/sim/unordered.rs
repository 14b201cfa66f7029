//! Chains of one priority whose order is not known: decides whether the order matters to a packet.
//!
//! It does not matter for chains that leave the packet unchanged, whatever ran before them. The
//! others are run in every possible order; the results must be the same.

use super::flow::Flow;
use super::hook::{Passed, base_chain};
use super::inputs::{CannotTell, Inputs};
use super::line_up::{ChainAt, UnknownPairs};
use super::rules::Rules;
use crate::model::ChainType;

/// Runs base chains by trial; fails if their order matters to the packet. Of chains of type nat,
/// the first that translates is the last that runs.
pub(super) fn order_is_nothing(
    rules: &Rules,
    chains: &[ChainAt],
    unknown: &UnknownPairs,
    inputs: &mut impl Inputs,
    flow: &Flow,
) -> Result<(), CannotTell> {
    if unknown.is_empty() {
        return Ok(());
    }
    let mut acting = Vec::new();
    for (number, at) in chains.iter().enumerate() {
        if acts(rules, *at, inputs, flow)? {
            acting.push(number);
        }
    }
    if acting.is_empty() {
        return Ok(());
    }
    let doubt =
        || Err(doubt(rules, acting.iter().chain(others(chains, &acting).iter()).filter_map(|at| chains.get(*at))));
    let reroutes = |number: &usize| {
        let chain = chains.get(*number).and_then(|at| rules.chain_at(*at));
        chain.is_some_and(|(_, _, base)| base.chain_type == ChainType::Route)
    };
    if acting.len() > MOST_ACTING || acting.len() > 1 && acting.iter().any(reroutes) {
        return doubt();
    }
    let mut found: Option<(Passed, Flow)> = None;
    for order in unknown.orders(&acting) {
        let mut trial = flow.clone();
        let mut passed = Passed::Accepted;
        for at in order.iter().filter_map(|number| chains.get(*number)) {
            let Some((table, chain, base)) = rules.chain_at(*at) else { continue };
            passed = base_chain(table, chain, &base, inputs, &mut trial, &mut ())?;
            if passed != Passed::Accepted || trial.translation.is_some() {
                break;
            }
            for at in others(chains, &acting).iter().filter_map(|number| chains.get(*number)) {
                if acts(rules, *at, inputs, &trial)? {
                    return doubt();
                }
            }
        }
        match &found {
            Some((known, left)) if !is_same((known, left), (&passed, &trial)) => return doubt(),
            Some(_) => {}
            None => found = Some((passed, trial)),
        }
    }
    Ok(())
}

/// Fails unless none of these chains has an effect on the packet.
pub(super) fn none_acts(
    rules: &Rules,
    chains: &[ChainAt],
    inputs: &mut impl Inputs,
    flow: &Flow,
) -> Result<(), CannotTell> {
    for at in chains {
        if acts(rules, *at, inputs, flow)? {
            return Err(doubt(rules, chains.iter()));
        }
    }
    Ok(())
}

/// Returns whether a base chain has an effect on the packet, as it is now.
fn acts(rules: &Rules, at: ChainAt, inputs: &mut impl Inputs, flow: &Flow) -> Result<bool, CannotTell> {
    let Some((table, chain, base)) = rules.chain_at(at) else { return Ok(false) };
    let mut trial = flow.clone();
    let passed = base_chain(table, chain, &base, inputs, &mut trial, &mut ())?;
    // A lookup that found no connection is not an effect.
    trial.tracking = if trial.tracking == super::flow::Tracking::Nothing { flow.tracking } else { trial.tracking };
    Ok(passed != Passed::Accepted || trial != *flow)
}

fn others(chains: &[ChainAt], acting: &[usize]) -> Vec<usize> {
    (0..chains.len()).filter(|number| !acting.contains(number)).collect()
}

/// Returns whether two orders end the same way: of a packet that is gone, only the mark of its
/// connection remains.
fn is_same((passed, left): (&Passed, &Flow), (other, other_left): (&Passed, &Flow)) -> bool {
    match (passed, other) {
        (Passed::Accepted, Passed::Accepted) => left == other_left,
        (Passed::Dropped(_), Passed::Dropped(_)) => left.ct_mark == other_left.ct_mark,
        (Passed::Rejected(code, _), Passed::Rejected(other, _)) => code == other && left.ct_mark == other_left.ct_mark,
        // A user-space program decides, and what it accepts goes on through the rest.
        _ => false,
    }
}

fn doubt<'a>(rules: &Rules, chains: impl Iterator<Item = &'a ChainAt>) -> CannotTell {
    let named =
        chains.filter_map(|at| rules.chain_at(*at)).map(|(_, chain, base)| (chain.id.to_string(), base.priority));
    let named: Vec<_> = named.collect();
    let priority = named.first().map_or(0, |(_, priority)| priority.0);
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    CannotTell::new(format!(
        "in which order what has priority {priority} runs ({}): the last registered comes first, and only the kernel's list of \
         hooks says which that is",
        names.join(", ")
    ))
}

/// The most chains whose orders are all tried.
const MOST_ACTING: usize = 4;
