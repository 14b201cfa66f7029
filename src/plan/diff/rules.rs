//! The rules of a chain to add and delete.
//!
//! A longest common subsequence stays. Between two rules that stay, deleted rules are replaced by
//! added ones as long as there are both; further rules are inserted before the next rule that
//! stays, in order, because a rule added in the same transaction has no handle yet after which
//! another could be placed. Many rules are added after the previous rule that stays, last rule
//! first. A chain of which nothing stays is flushed.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::bound::Bound;
use super::{Steps, lcs};
use crate::bytecode::{
    AnonymousSet, DynsetCode, ElementCode, ElementDataCode, Expr, Modes, Unlowerable, lower, same_programs,
    userdata_comment,
};
use crate::model::{ChainId, Name, Position, Rule, RuleHandle, Table};
use crate::plan::operation::Operation;
use crate::state::RuleState;

/// Up to this many rules are deleted, or inserted before others, one by one. The kernel searches a
/// chain from its start for every handle, so more of them take quadratic time: a whole chain is
/// flushed instead, and rules are added where the search is short.
const FEW: usize = 32;

/// What is deleted from a table.
#[derive(Debug, Default)]
pub(super) struct Doomed<'s> {
    /// Sets, including those added again.
    pub(super) sets: HashSet<&'s Name>,
    /// Chains, including those added again.
    pub(super) chains: HashSet<&'s Name>,
    /// Sets that are added again: no rule that uses one can stay.
    pub(super) replaced: HashSet<&'s Name>,
    /// Objects, including those added again.
    pub(super) objects: HashSet<&'s Name>,
}

impl Doomed<'_> {
    /// Returns whether a rule prevents the deletion of any of it.
    fn is_used_by(&self, rule: &RuleState) -> bool {
        // The name of a meter is free only once its rule is gone.
        let is_meter = |expr: &Expr| match expr {
            Expr::Dynset(DynsetCode { anonymous, .. }) => anonymous.is_some(),
            _ => false,
        };
        if rule.exprs.iter().any(is_meter) {
            return true;
        }
        if self.sets.is_empty() && self.chains.is_empty() && self.objects.is_empty() {
            return false;
        }
        let jumps = |chain: Option<&Name>| chain.is_some_and(|chain| self.chains.contains(chain));
        let leads = |set: &AnonymousSet| {
            set.elements.iter().any(|element| {
                let to_chain = match element.data.as_deref() {
                    Some(ElementDataCode::Verdict(verdict)) => jumps(verdict.target()),
                    Some(ElementDataCode::Value(_)) | None => false,
                };
                to_chain || leads_to(element, &self.objects)
            })
        };
        rule.exprs.iter().any(|expr| match expr {
            Expr::Opaque { data, set, .. } => {
                let mut names = self.sets.iter().chain(&self.chains).chain(&self.objects);
                names.any(|name| is_named_in(name, data)) || set.as_deref().is_some_and(leads)
            }
            Expr::Verdict(verdict) => jumps(verdict.target()),
            expr => {
                expr.named_set().is_some_and(|set| self.sets.contains(set))
                    || expr.object().is_some_and(|object| self.objects.contains(object))
                    || expr.anonymous_set().is_some_and(leads)
            }
        })
    }

    fn lets_stay(&self, rule: &RuleState) -> bool {
        let replaced = |expr: &Expr| match expr {
            Expr::Opaque { data, set, .. } => {
                self.replaced.iter().chain(&self.objects).any(|name| is_named_in(name, data))
                    || set.iter().flat_map(|set| &set.elements).any(|element| leads_to(element, &self.objects))
            }
            expr => {
                let mut elements = expr.anonymous_set().into_iter().flat_map(|set| &set.elements);
                expr.named_set().is_some_and(|set| self.replaced.contains(set))
                    || expr.object().is_some_and(|object| self.objects.contains(object))
                    || elements.any(|element| leads_to(element, &self.objects))
            }
        };
        self.replaced.is_empty() && self.objects.is_empty() || !rule.exprs.iter().any(replaced)
    }
}

/// Returns whether undecoded attributes contain this name as a text: the kernel refers by name to
/// what an expression uses.
fn is_named_in(name: &Name, attributes: &[u8]) -> bool {
    let text = [name.as_str().as_bytes(), &[0]].concat();
    attributes.windows(text.len()).any(|bytes| bytes == text)
}

/// Returns whether an element maps to one of these objects.
pub(super) fn leads_to(element: &ElementCode, objects: &HashSet<&Name>) -> bool {
    let object = element.extras.as_deref().and_then(|extras| extras.object.as_ref());
    object.is_some_and(|object| objects.contains(object))
}

/// A wanted rule, and its program.
struct Wanted<'r> {
    rule: &'r Rule,
    exprs: Vec<Expr>,
}

pub(super) fn between(
    held: &[RuleState],
    wanted: &[Rule],
    (table, sets, bound): (&Table, &Modes<'_>, &Bound),
    doomed: &Doomed<'_>,
    chain: &dyn Fn() -> ChainId,
    steps: &mut Steps,
) -> Result<(), Unlowerable> {
    let program = |rule| -> Result<Wanted<'_>, Unlowerable> {
        let mut exprs = lower(rule, table.family, sets)?.exprs;
        bound.wanted(&mut exprs);
        Ok(Wanted { rule, exprs })
    };
    let stays = |held: &RuleState, wanted: &Wanted<'_>| is_same(held, wanted) && doomed.lets_stay(held);
    let mut front = 0;
    let mut rest = Vec::new();
    for rule in wanted {
        let next = program(rule)?;
        if rest.is_empty() && held.get(front).is_some_and(|held| stays(held, &next)) {
            front += 1;
        } else {
            rest.push(next);
        }
    }
    // The last rule that stays before the current position.
    let mut before = front.checked_sub(1).and_then(|last| held.get(last)).map(|rule| rule.handle);
    let mut held = held.get(front..).unwrap_or_default();
    if held.is_empty() && rest.is_empty() {
        return Ok(());
    }
    let mut gap = Gap { chain: chain(), doomed, steps };
    let back = held.iter().rev().zip(rest.iter().rev()).take_while(|(held, wanted)| stays(held, wanted)).count();
    let anchor = held.len().checked_sub(back).and_then(|index| held.get(index)).map(|rule| rule.handle);
    held = held.get(..held.len() - back).unwrap_or_default();
    rest.truncate(rest.len() - back);
    let stay = common(held, &rest, doomed);
    if before.is_none() && anchor.is_none() && stay.is_empty() && held.len() > FEW {
        gap.refill(&rest);
        return Ok(());
    }
    let (mut from, mut to) = (0, 0);
    for (kept, same) in stay {
        let after = held.get(kept).map(|rule| rule.handle);
        gap.fill(held.get(from..kept).unwrap_or_default(), rest.get(to..same).unwrap_or_default(), (before, after));
        (from, to, before) = (kept + 1, same + 1, after);
    }
    gap.fill(held.get(from..).unwrap_or_default(), rest.get(to..).unwrap_or_default(), (before, anchor));
    Ok(())
}

/// The gap between rules that stay.
struct Gap<'a, 's, 'd> {
    chain: ChainId,
    doomed: &'a Doomed<'d>,
    steps: &'s mut Steps,
}

/// Handles of the rules that stay before and after a gap, if any.
type Neighbours = (Option<RuleHandle>, Option<RuleHandle>);

impl Gap<'_, '_, '_> {
    /// Turns the rules `gone` into the rules `made`.
    fn fill(&mut self, gone: &[RuleState], made: &[Wanted<'_>], (before, after): Neighbours) {
        let chain = || self.chain.clone();
        // A replaced rule would still use what is deleted first.
        let (doomed, free): (Vec<_>, Vec<_>) = gone.iter().partition(|held| self.doomed.is_used_by(held));
        let more = made.len().saturating_sub(free.len());
        // Further rules come after the replaced ones, unless there are so many that the kernel's
        // search for their position matters.
        let turned = more > FEW && after.is_some();
        let (front, back) = made.split_at(if turned { more } else { made.len() - more });
        let (replacing, added) = if turned { (back, front) } else { (front, back) };
        let deleted = doomed.into_iter().chain(free.iter().copied().skip(replacing.len()));
        let delete = |held: &RuleState| Operation::DeleteRule { chain: chain(), handle: held.handle };
        self.steps.rules_gone.extend(deleted.map(delete));
        let replace = |(held, wanted): (&&RuleState, &Wanted<'_>)| Operation::ReplaceRule {
            chain: chain(),
            handle: held.handle,
            rule: wanted.rule.clone(),
        };
        self.steps.rules_made.extend(free.iter().zip(replacing).map(replace));
        let position = match (turned, before, after) {
            (true, Some(before), _) => Position::After(before),
            (true, None, _) => Position::First,
            (false, _, Some(after)) => Position::Before(after),
            (false, _, None) => Position::Last,
        };
        let add = |wanted: &Wanted<'_>| Operation::AddRule { chain: chain(), position, rule: wanted.rule.clone() };
        if turned {
            self.steps.rules_made.extend(added.iter().rev().map(add));
        } else {
            self.steps.rules_made.extend(added.iter().map(add));
        }
    }

    /// Empties the chain and fills it with these rules.
    fn refill(&mut self, made: &[Wanted<'_>]) {
        let chain = || self.chain.clone();
        self.steps.flushed.push(Operation::FlushChain(chain()));
        let position = Position::Last;
        let add = |wanted: &Wanted<'_>| Operation::AddRule { chain: chain(), position, rule: wanted.rule.clone() };
        self.steps.rules_made.extend(made.iter().map(add));
    }
}

fn is_same(held: &RuleState, wanted: &Wanted<'_>) -> bool {
    same_programs(&held.exprs, &wanted.exprs)
        && userdata_comment(&held.userdata).as_deref() == wanted.rule.comment.as_deref()
}

/// Returns pairs of rules that stay.
fn common(held: &[RuleState], wanted: &[Wanted<'_>], doomed: &Doomed<'_>) -> Vec<(usize, usize)> {
    if held.is_empty() || wanted.is_empty() {
        return Vec::new();
    }
    // Numbers of the wanted rules, equal for equal rules; found by a hash and confirmed by
    // comparison.
    let mut classes: HashMap<u64, Vec<(u32, &Wanted<'_>)>> = HashMap::with_capacity(wanted.len());
    let mut count = 0;
    let mut new = || {
        count += 1;
        count - 1
    };
    let right: Vec<u32> = wanted
        .iter()
        .map(|rule| {
            let class = classes.entry(weight(&rule.exprs, rule.rule.comment.as_deref())).or_default();
            let same = |other: &Wanted<'_>| {
                same_programs(&other.exprs, &rule.exprs) && other.rule.comment == rule.rule.comment
            };
            match class.iter().find(|(_, other)| same(other)) {
                Some((number, _)) => *number,
                None => {
                    let number = new();
                    class.push((number, rule));
                    number
                }
            }
        })
        .collect();
    // A rule that is wanted nowhere cannot be common.
    let (mut left, mut places) = (Vec::new(), Vec::new());
    for (index, rule) in held.iter().enumerate().filter(|(_, rule)| doomed.lets_stay(rule)) {
        let weight = weight(&rule.exprs, userdata_comment(&rule.userdata).as_deref());
        let class = classes.get(&weight).map(Vec::as_slice).unwrap_or_default();
        if let Some((number, _)) = class.iter().find(|(_, other)| is_same(rule, other)) {
            left.push(*number);
            places.push(index);
        }
    }
    let pairs = lcs::common(&left, &right, wanted.len());
    pairs.into_iter().filter_map(|(left, right)| Some((*places.get(left)?, right))).collect()
}

/// Returns a hash of most of what distinguishes rules.
fn weight(exprs: &[Expr], comment: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    exprs.iter().for_each(|expr| expr.hash_same(&mut hasher));
    comment.hash(&mut hasher);
    hasher.finish()
}
