//! Runs the base chains of a hook in the kernel's order, with connection tracking and address
//! translation at their places.

use std::sync::Arc;

use super::flow::{Flow, Tracking, Translation};
use super::inputs::{CannotTell, Inputs};
use super::line_up::{ChainAt, DEFRAGMENTATION, NatChains, Stage, Unordered};
use super::machine::{Machine, Ran};
use super::rules::{ChainCode, RuleCode, RuleLine, Rules, TableCode};
use super::unordered::{none_acts, order_is_nothing};
use crate::bytecode::{QueueCode, RejectCode};
use crate::model::{Base, ChainId, ChainType, Hook, Policy, Verdict};

/// What happened to a packet at a hook, and what decided if not all chains did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    Accepted,
    Dropped(Decider),
    Queued(QueueCode, Arc<RuleLine>),
    Rejected(RejectCode, Arc<RuleLine>),
}

/// What dropped a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decider {
    /// The host: no route, or no address to translate to.
    Host,
    Policy(Arc<ChainId>),
    Rule(Arc<RuleLine>),
}

/// Observes what happens at a hook, in order. A comparison does not need it.
pub(crate) trait Listener {
    /// A base chain is entered.
    fn chain(&mut self, _chain: &Arc<ChainId>, _base: &Base, _flow: &Flow) {}
    /// A rule ran; `flow` is the state after it.
    fn rule(&mut self, _rule: &Arc<RuleLine>, _ran: &Ran, _flow: &Flow) {}
    /// No rule of a base chain decided.
    fn policy(&mut self, _chain: &Arc<ChainId>, _policy: Policy, _flow: &Flow) {}
    /// Connection tracking ran; `inputs` holds the result.
    fn tracked(&mut self, _inputs: &impl Inputs, _flow: &Flow) {}
    /// Connection tracking ran, or the translation was done.
    fn between(&mut self, _flow: &Flow) {}
}

impl Listener for () {}

/// Sends a packet through a hook.
pub(crate) fn pass(
    rules: &Rules,
    hook: Hook,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    let line_up = rules.line_up(hook, inputs.family());
    if matches!(hook, Hook::Input | Hook::Forward | Hook::Postrouting)
        && flow.tracking == Tracking::Before
        && line_up.tracks
    {
        flow.tracking = Tracking::Tracked;
    }
    let is_made_whole = line_up.defragments && matches!(hook, Hook::Prerouting | Hook::Output);
    inputs.can_be_at(hook, false)?;
    for stage in &line_up.stages {
        if is_made_whole && !is_before_defragmentation(rules, stage) {
            inputs.can_be_at(hook, true)?;
        }
        let passed = match stage {
            Stage::Unordered(unordered) => either(rules, hook, unordered, inputs, flow, listener)?,
            stage => one(rules, hook, stage, inputs, flow, listener)?,
        };
        if passed != Passed::Accepted {
            return Ok(passed);
        }
    }
    inputs.can_be_at(hook, is_made_whole)?;
    Ok(Passed::Accepted)
}

fn is_before_defragmentation(rules: &Rules, stage: &Stage) -> bool {
    stage.parts().iter().all(|part| match part {
        Stage::Chain(at) => rules.chain_at(*at).is_some_and(|(_, _, base)| base.priority.0 < DEFRAGMENTATION),
        Stage::Foreign(_) | Stage::Track | Stage::Translate(_) | Stage::Unordered(_) => false,
    })
}

/// Runs stages of one priority whose order is not known; fails if the order matters.
fn either(
    rules: &Rules,
    hook: Hook,
    unordered: &Unordered,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    let Unordered { stages, unknown } = unordered;
    let chain = |stage: &Stage| if let Stage::Chain(at) = stage { Some(*at) } else { None };
    let chains: Vec<ChainAt> = stages.iter().filter_map(chain).collect();
    let are_all_chains = chains.len() == stages.len();
    if are_all_chains {
        order_is_nothing(rules, &chains, unknown, inputs, flow)?;
    } else {
        none_acts(rules, &chains, inputs, flow)?;
    }
    for stage in stages {
        let passed = one(rules, hook, stage, inputs, flow, listener)?;
        if passed != Passed::Accepted {
            return Ok(passed);
        }
        if chain(stage).is_none() {
            none_acts(rules, &chains, inputs, flow)?;
        }
    }
    Ok(Passed::Accepted)
}

fn one(
    rules: &Rules,
    hook: Hook,
    stage: &Stage,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    match stage {
        Stage::Chain(at) => match rules.chain_at(*at) {
            Some((table, chain, base)) => filter(table, chain, &base, inputs, flow, listener),
            None => Ok(Passed::Accepted),
        },
        Stage::Foreign(what) => Err(CannotTell::new(format!("{what} is not known here"))),
        Stage::Track => {
            if matches!(flow.tracking, Tracking::Before | Tracking::Nothing | Tracking::Template) {
                flow.tracking = Tracking::Tracked;
                inputs.track(hook, flow)?;
                listener.tracked(inputs, flow);
            }
            listener.between(flow);
            Ok(Passed::Accepted)
        }
        Stage::Translate(nat) => translate(rules, hook, nat, inputs, flow, listener),
        // An unordered stage contains only single stages.
        Stage::Unordered(_) => Err(CannotTell::new("in which order chains run")),
    }
}

/// Runs a base chain that is not of type nat. After one of type route, a packet with a changed mark
/// is routed again (nf_route_table_hook4, net/netfilter/nft_chain_route.c, v6.12).
fn filter(
    table: &TableCode,
    chain: &ChainCode,
    base: &Base,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    let mark = flow.mark;
    let passed = base_chain(table, chain, base, inputs, flow, listener)?;
    if base.chain_type == ChainType::Route && passed == Passed::Accepted && flow.mark != mark {
        flow.routed = flow.mark;
        inputs.reroute(flow)?;
        if inputs.is_lost() {
            return Ok(Passed::Dropped(Decider::Host));
        }
    }
    Ok(passed)
}

fn translate(
    rules: &Rules,
    hook: Hook,
    nat: &NatChains,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    if flow.tracking != Tracking::Tracked {
        return Ok(Passed::Accepted);
    }
    let mut decided: Option<Translation> = None;
    if inputs.asks_nat(hook)? {
        let NatChains { chains, unknown, foreign } = nat;
        order_is_nothing(rules, chains, unknown, inputs, flow)?;
        for (at, chain) in chains.iter().enumerate() {
            meet(foreign.as_ref(), at)?;
            let Some((table, chain, base)) = rules.chain_at(*chain) else { continue };
            let passed = base_chain(table, chain, &base, inputs, flow, listener)?;
            if passed != Passed::Accepted {
                return Ok(passed);
            }
            decided = flow.translation.clone();
            if decided.is_some() {
                break;
            }
        }
        if decided.is_none() {
            meet(foreign.as_ref(), chains.len())?;
        }
    }
    inputs.translate(hook, flow, decided.as_ref())?;
    listener.between(flow);
    if inputs.is_lost() {
        return Ok(Passed::Dropped(Decider::Host));
    }
    Ok(Passed::Accepted)
}

/// Fails if something unknown follows this many chains.
fn meet(foreign: Option<&(usize, Arc<str>)>, at: usize) -> Result<(), CannotTell> {
    match foreign {
        Some((after, what)) if *after == at => Err(CannotTell::new(format!("{what} is not known here"))),
        _ => Ok(()),
    }
}

/// The position of a run.
#[derive(Clone, Copy)]
struct Here<'a> {
    chain: &'a ChainCode,
    /// The index of the rule.
    at: usize,
    /// The number of gotos since the chain was called.
    gotos: usize,
}

/// Runs a base chain and the chains it calls. Always ends: calls are only as deep as the kernel
/// allows, and the number of rules in a run is bounded.
pub(super) fn base_chain(
    table: &TableCode,
    chain: &ChainCode,
    base: &Base,
    inputs: &mut impl Inputs,
    flow: &mut Flow,
    listener: &mut impl Listener,
) -> Result<Passed, CannotTell> {
    listener.chain(&chain.id, base, flow);
    let mut machine = Machine::new(base.hook, inputs, flow);
    let mut stack: Vec<Here<'_>> = Vec::new();
    let mut here = Here { chain, at: 0, gotos: 0 };
    // Until then, only running rules shows whether they match.
    let mut run_until = 0;
    for _ in 0..MOST_RULES {
        let Here { chain: current, at, gotos } = here;
        let Some(rule) = current.rules.get(at) else {
            if current.unlisted > 0 {
                return Err(CannotTell::new(format!(
                    "chain {}: the kernel does not list {} more of its rules",
                    current.id, current.unlisted
                )));
            }
            match stack.pop() {
                Some(caller) => here = caller,
                None => return Ok(policy(chain, base, machine.flow, listener)),
            }
            continue;
        };
        if let Some(series) = (at >= run_until).then(|| machine.inputs.series(current, at)).flatten() {
            match series.next(&mut machine, rule, at)? {
                Some(next) if next > at => {
                    here.at = next;
                    continue;
                }
                Some(_) => {}
                None => run_until = at + OPEN_RULES,
            }
        }
        here.at += 1;
        let ran = machine.run(rule)?;
        listener.rule(&rule.line, &ran, machine.flow);
        match ran {
            Ran::Broke { .. } | Ran::Through => {}
            Ran::Queue(queue) => return Ok(Passed::Queued(queue, Arc::clone(&rule.line))),
            Ran::Reject(reject) => return Ok(Passed::Rejected(reject, Arc::clone(&rule.line))),
            Ran::Translated => return Ok(Passed::Accepted),
            Ran::Verdict(Verdict::Accept) => return Ok(Passed::Accepted),
            Ran::Verdict(Verdict::Continue) => {}
            Ran::Verdict(Verdict::Drop) => return Ok(Passed::Dropped(Decider::Rule(Arc::clone(&rule.line)))),
            // More gotos than there are chains: one of them was entered twice.
            Ran::Verdict(Verdict::Goto(_)) if gotos >= table.chains.len() => {
                return Err(CannotTell::new("a loop, which no kernel accepts").at(&rule.line));
            }
            Ran::Verdict(Verdict::Goto(to)) => {
                run_until = 0;
                here = Here { chain: target(table, &to, rule)?, at: 0, gotos: gotos + 1 }
            }
            Ran::Verdict(Verdict::Jump(to)) => {
                if stack.len() >= JUMP_STACK {
                    return Err(CannotTell::new("calls deeper than the kernel accepts").at(&rule.line));
                }
                run_until = 0;
                stack.push(here);
                here = Here { chain: target(table, &to, rule)?, at: 0, gotos: 0 };
            }
            Ran::Verdict(Verdict::Return) => match stack.pop() {
                Some(caller) => here = caller,
                None => return Ok(policy(chain, base, machine.flow, listener)),
            },
        }
    }
    Err(CannotTell::new(format!("chain {}: more than {MOST_RULES} rules in one run", chain.id)))
}

fn policy(chain: &ChainCode, base: &Base, flow: &Flow, listener: &mut impl Listener) -> Passed {
    listener.policy(&chain.id, base.policy, flow);
    match base.policy {
        Policy::Accept => Passed::Accepted,
        Policy::Drop => Passed::Dropped(Decider::Policy(Arc::clone(&chain.id))),
    }
}

fn target<'a>(table: &'a TableCode, name: &crate::model::Name, rule: &RuleCode) -> Result<&'a ChainCode, CannotTell> {
    table.chain(name).ok_or_else(|| CannotTell::new(format!("chain {name} is not there")).at(&rule.line))
}

/// `NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h.
const JUMP_STACK: usize = 16;
/// So many rules are run before another attempt to find the next one that can match.
const OPEN_RULES: usize = 8;
/// More rules than any packet runs through.
const MOST_RULES: usize = 1 << 20;
