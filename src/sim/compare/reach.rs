//! The chains that packets of a family may reach at a hook, and the conditions under which they
//! reach each rule.
//!
//! A rule of a called chain has the conditions of the call besides its own: a packet that meets it
//! has met the rule or the element that jumps there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::spans::{Head, Lookup, Scope, Sets, Spans, both, element, hull, own_targets};
use crate::bytecode::{ElementDataCode, Expr, MetaKey};
use crate::model::{Hook, IpFamily, Name};
use crate::sim::line_up::{ChainAt, Stage};
use crate::sim::rules::{ChainCode, Op, RuleCode, Rules, TableCode};
use crate::sim::sets::SetIndex;

/// The chains of one side, callers before those that they call.
pub(super) struct Reach<'r> {
    pub(super) chains: Vec<Reached<'r>>,
}

/// A chain that packets may reach.
pub(super) struct Reached<'r> {
    pub(super) at: ChainAt,
    pub(super) chain: &'r ChainCode,
    pub(super) scope: Scope,
    /// The conditions of each rule; `None` if no packet of the family meets them.
    pub(super) heads: Vec<Option<Head<'r>>>,
}

impl<'r> Reach<'r> {
    pub(super) fn of(rules: &'r Rules, hook: Hook, family: IpFamily, sets: &mut Sets) -> Self {
        let stages = &rules.line_up(hook, family).stages;
        let scopes = Scopes::of(rules, hook, family);
        let Order { chains, has_loop } = Order::of(rules, stages);
        let mut entries = Entries { known: HashMap::new(), done: HashSet::new(), uses: uses(rules, &chains) };
        let mut reached = Vec::with_capacity(chains.len());
        for at in chains {
            let Some(chain) = chain_of(rules, at) else { continue };
            let scope = scopes.at(at);
            let entry =
                if chain.base.is_some() || has_loop { Some(Spans::new()) } else { entries.known.get(&at).cloned() };
            let heads = chain.rules.iter().map(|rule| {
                let mut head = sets.head(&rule.ops, scope)?;
                head.spans = both(&head.spans, entry.as_ref()?)?;
                entries.add(rules, at.0, rule, &head, scope, sets);
                Some(head)
            });
            let heads = heads.collect();
            reached.push(Reached { at, chain, scope, heads });
        }
        Reach { chains: reached }
    }
}

/// The conditions under which chains are called, as far as their callers have been read.
struct Entries {
    known: HashMap<ChainAt, Spans>,
    /// Sets whose elements have been read, with the keys that are looked up in them.
    done: HashSet<(*const SetIndex, Option<Lookup>)>,
    /// The number of rules that look something up in each set.
    uses: HashMap<*const SetIndex, usize>,
}

impl Entries {
    /// Adds the calls of a rule.
    fn add<'r>(
        &mut self,
        rules: &Rules,
        table: usize,
        rule: &'r RuleCode,
        head: &Head<'r>,
        scope: Scope,
        sets: &mut Sets,
    ) {
        own_targets(&rule.ops, &mut |name| self.join(rules, table, name, &head.spans));
        for (at, op) in rule.ops.iter().enumerate() {
            let Op::Lookup { dreg: Some(_), set: Some(set), sreg: _, inverted: _ } = op else { continue };
            let pointer = std::ptr::from_ref(&**set);
            let lookup = head.lookups.iter().find(|lookup| lookup.expr == at);
            let is_shared = self.uses.get(&pointer).is_some_and(|uses| *uses > 1);
            // With several callers, the conditions of the rules are left out.
            let of_rule = if is_shared { Spans::new() } else { head.spans.clone() };
            if !self.done.insert((pointer, lookup.map(Lookup::anywhere))) {
                continue;
            }
            let mut to = |data: Option<&ElementDataCode>, spans: &Spans| {
                if let Some(name) = target(data) {
                    self.join(rules, table, name, spans);
                }
            };
            let Some(lookup) = lookup else {
                set.data.iter().for_each(|data| to(data.as_ref(), &of_rule));
                continue;
            };
            for (parts, index) in sets.elements(set).iter() {
                let of_element = element(lookup, parts, scope);
                let data = set.data.get(*index).and_then(Option::as_ref);
                if let Some(spans) = of_element.and_then(|of_element| both(&of_element, &of_rule)) {
                    to(data, &spans);
                }
            }
            to(set.catch_all.and_then(|element| set.data.get(element)).and_then(Option::as_ref), &of_rule);
        }
    }

    fn join(&mut self, rules: &Rules, table: usize, name: &Name, spans: &Spans) {
        let Some(chain) = rules.tables.get(table).and_then(|table| table.by_name.get(name)) else { return };
        match self.known.entry((table, *chain)) {
            Entry::Occupied(mut known) => hull(known.get_mut(), spans),
            Entry::Vacant(new) => {
                new.insert(spans.clone());
            }
        }
    }
}

fn target(data: Option<&ElementDataCode>) -> Option<&Name> {
    match data? {
        ElementDataCode::Verdict(verdict) => verdict.target(),
        ElementDataCode::Value(_) => None,
    }
}

/// Returns how many rules of these chains look something up in each set.
fn uses(rules: &Rules, chains: &[ChainAt]) -> HashMap<*const SetIndex, usize> {
    let mut uses = HashMap::new();
    let all = chains.iter().filter_map(|at| chain_of(rules, *at)).flat_map(|chain| &chain.rules);
    for op in all.flat_map(|rule| rule.ops.iter()) {
        if let Op::Lookup { set: Some(set), .. } = op {
            *uses.entry(std::ptr::from_ref(&**set)).or_default() += 1;
        }
    }
    uses
}

/// Reachable chains, callers first.
struct Order {
    chains: Vec<ChainAt>,
    /// Whether a chain calls itself, which no kernel takes.
    has_loop: bool,
}

impl Order {
    fn of(rules: &Rules, stages: &[Stage]) -> Self {
        let mut order = Order { chains: Vec::new(), has_loop: false };
        let mut open: HashMap<ChainAt, bool> = HashMap::new();
        for first in hooked(stages) {
            let mut path: Vec<(ChainAt, std::vec::IntoIter<ChainAt>)> = Vec::new();
            let mut next = Some(first);
            loop {
                if let Some(at) = next.take() {
                    match open.entry(at) {
                        Entry::Occupied(known) => order.has_loop |= *known.get(),
                        Entry::Vacant(new) => {
                            new.insert(true);
                            path.push((at, calls_at(rules, at).into_iter()));
                        }
                    }
                }
                let Some((at, calls)) = path.last_mut() else { break };
                next = calls.next();
                if next.is_none() {
                    open.insert(*at, false);
                    order.chains.push(*at);
                    path.pop();
                }
            }
        }
        order.chains.reverse();
        order
    }
}

/// Returns the chains of these stages.
fn hooked(stages: &[Stage]) -> impl Iterator<Item = ChainAt> + '_ {
    stages.iter().flat_map(Stage::parts).flat_map(|stage| match stage {
        Stage::Chain(at) => vec![*at],
        Stage::Foreign(_) | Stage::Track | Stage::Unordered(_) => Vec::new(),
        Stage::Translate(nat) => nat.chains.clone(),
    })
}

/// Returns the chains of a table that a chain calls, each once.
pub(super) fn calls(table: &TableCode, chain: &ChainCode) -> Vec<usize> {
    let (mut calls, mut known, mut sets) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut add = |name: &Name| {
        let called = table.by_name.get(name).filter(|chain| known.insert(**chain));
        calls.extend(called.copied());
    };
    for op in chain.rules.iter().flat_map(|rule| rule.ops.iter()) {
        own_targets(std::slice::from_ref(op), &mut add);
        let Op::Lookup { dreg: Some(_), set: Some(set), sreg: _, inverted: _ } = op else { continue };
        if sets.insert(std::ptr::from_ref(&**set)) {
            set.data.iter().filter_map(|data| target(data.as_ref())).for_each(&mut add);
        }
    }
    calls
}

fn calls_at(rules: &Rules, at: ChainAt) -> Vec<ChainAt> {
    let Some(table) = rules.tables.get(at.0) else { return Vec::new() };
    let called = table.chains.get(at.1).map(|chain| calls(table, chain)).unwrap_or_default();
    called.into_iter().map(|chain| (at.0, chain)).collect()
}

/// Returns the chains of these stages and all chains that they call, each once.
pub(super) fn called(rules: &Rules, stages: &[Stage]) -> Vec<ChainAt> {
    let mut todo: Vec<ChainAt> = hooked(stages).collect();
    let mut known: HashSet<ChainAt> = todo.iter().copied().collect();
    let mut all = Vec::new();
    while let Some(at) = todo.pop() {
        all.push(at);
        todo.extend(calls_at(rules, at).into_iter().filter(|called| known.insert(*called)));
    }
    all
}

pub(super) fn chain_of(rules: &Rules, at: ChainAt) -> Option<&ChainCode> {
    rules.tables.get(at.0)?.chains.get(at.1)
}

/// What may have happened before a chain.
struct Scopes {
    family: IpFamily,
    /// Chains before tracking.
    early: HashSet<ChainAt>,
    /// Chains after translation.
    late: HashSet<ChainAt>,
    sets_mark: bool,
}

impl Scopes {
    fn of(rules: &Rules, hook: Hook, family: IpFamily) -> Self {
        let stages = &rules.line_up(hook, family).stages;
        let first = matches!(hook, Hook::Prerouting | Hook::Output);
        // Stages whose order is not known may each come first or last.
        let place = |is: fn(&Stage) -> bool| {
            let at = stages.iter().position(|stage| stage.parts().iter().any(is))?;
            Some((at, stages.get(at).is_some_and(|stage| matches!(stage, Stage::Unordered(_)))))
        };
        let early = match place(|stage| matches!(stage, Stage::Track)) {
            _ if !first => 0,
            Some((at, is_unordered)) => at + usize::from(is_unordered),
            None => stages.len(),
        };
        let late = match place(|stage| matches!(stage, Stage::Translate(_))) {
            Some((at, is_unordered)) => at + usize::from(!is_unordered),
            None => stages.len(),
        };
        let is_set = |expr: &Expr| matches!(expr, Expr::MetaSet { key: MetaKey::MARK, sreg: _ });
        let all = called(rules, stages);
        let mut reached = all.iter().filter_map(|at| chain_of(rules, *at)).flat_map(|chain| &chain.rules);
        Scopes {
            family,
            sets_mark: reached.any(|rule| rule.ops.iter().any(|op| op.any(&is_set))),
            early: called(rules, stages.get(..early).unwrap_or_default()).into_iter().collect(),
            late: called(rules, stages.get(late..).unwrap_or_default()).into_iter().collect(),
        }
    }

    fn at(&self, at: ChainAt) -> Scope {
        let Scopes { family, early, late, sets_mark } = self;
        Scope { family: *family, header: !late.contains(&at), mark: !sets_mark, tracked: !early.contains(&at) }
    }
}
