//! The rules of both sides in the form that is [cut](super::cut): long chains and maps are split
//! into items, and put together again for a part of the packets.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cut::{Cutter, Excerpt, Item};
use super::members::{self, elements};
use super::spans::{Head, Scope, Spans, element, head, targets};
use crate::bytecode::{Expr, MetaKey};
use crate::model::{Hook, IpFamily};
use crate::sim::line_up::{ChainAt, LineUp, LineUps, NatChains, Stage, Unordered};
use crate::sim::rules::{ChainCode, Op, RuleCode, Rules, TableCode};
use crate::sim::sets::{Keys, SetIndex};

/// Both sides at a hook, for packets of a family, in parts.
pub(super) struct Parts<'r> {
    sides: [Whole<'r>; 2],
    pub(super) cutter: Cutter,
    hook: Hook,
    family: IpFamily,
}

/// One side.
struct Whole<'r> {
    rules: &'r Rules,
    /// Chains whose rules are items.
    long: HashSet<ChainAt>,
    /// Maps whose elements are items.
    maps: Vec<Map<'r>>,
    /// The places where they are looked up, by chain: rule, expression, map.
    lookups: HashMap<ChainAt, Vec<(usize, usize, usize)>>,
}

struct Map<'r> {
    set: &'r SetIndex,
    elements: Vec<(Vec<members::KeyRange>, usize)>,
}

impl<'r> Parts<'r> {
    /// Returns `None` if there are so few rules that the packets need no parts.
    pub(super) fn new(sides: [&'r Rules; 2], hook: Hook, family: IpFamily, few: usize) -> Option<Self> {
        let mut items = Vec::new();
        let mut number = 0;
        let sides = sides.map(|rules| {
            number += 1;
            Whole::new(rules, (hook, family), few, number - 1, &mut items)
        });
        Some(Parts { sides, cutter: Cutter::new(items, few)?, hook, family })
    }

    /// Returns both sides with only the rules that can match the packets of a part, and nothing at
    /// other hooks.
    pub(super) fn rules(&self, part: &Excerpt) -> [Rules; 2] {
        let mut kept = [HashMap::new(), HashMap::new()];
        let items = part.items.iter().filter_map(|index| self.cutter.items.get(usize::try_from(*index).ok()?));
        for item in items {
            if let Some(kept) = kept.get_mut(item.side) {
                kept.entry(item.chain).or_insert_with(Vec::new).push(item);
            }
        }
        let [a, b] = &self.sides;
        let [of_a, of_b] = &kept;
        [(a, of_a), (b, of_b)].map(|(side, kept)| side.part(self.hook, self.family, kept))
    }
}

impl<'r> Whole<'r> {
    fn new(rules: &'r Rules, (hook, family): (Hook, IpFamily), few: usize, side: usize, items: &mut Vec<Item>) -> Self {
        let reach = Reach::of(rules, hook, family);
        let mut whole = Whole { rules, long: HashSet::new(), maps: Vec::new(), lookups: HashMap::new() };
        let mut taken_apart: HashMap<*const SetIndex, usize> = HashMap::new();
        for at in &reach.all {
            let Some(chain) = chain_of(rules, *at) else { continue };
            let is_long = chain.rules.len() > few;
            if is_long {
                whole.long.insert(*at);
            }
            let scope = reach.scope(*at, family);
            for (number, rule) in chain.rules.iter().enumerate() {
                let Some(Head { spans, map }) = head(&rule.ops, scope) else {
                    // It matches no packet of the family. It is kept only where the chain is not
                    // split.
                    continue;
                };
                let mut item = |spans: Spans, element| {
                    items.push(Item { side, chain: *at, rule: number, element, spans });
                };
                let mut is_taken_apart = |set: &SetIndex| {
                    let times = taken_apart.entry(std::ptr::from_ref(set)).or_default();
                    *times += 1;
                    set.data.len() > few && *times <= LOOKUPS
                };
                if let Some((expr, key, set)) = map.filter(|(_, _, set)| is_taken_apart(set)) {
                    let map = whole.maps.len();
                    let all = elements(set);
                    for (index, (parts, _)) in all.iter().enumerate() {
                        if let Some(spans) = element(&key, parts, scope) {
                            item(spans, Some((map, index)));
                        }
                    }
                    whole.lookups.entry(*at).or_default().push((number, expr, map));
                    whole.maps.push(Map { set, elements: all });
                }
                if is_long {
                    item(spans, None);
                }
            }
        }
        whole
    }

    fn part(&self, hook: Hook, family: IpFamily, kept: &HashMap<ChainAt, Vec<&Item>>) -> Rules {
        let tables: Vec<_> = self.rules.tables.iter().map(|table| (table, Vec::new())).collect();
        let mut making = Making { whole: self, kept, tables, places: HashMap::new(), todo: Vec::new() };
        let LineUp { stages, tracks, defragments } = self.rules.line_up(hook, family);
        let stages = stages.iter().map(|stage| making.stage(stage));
        let line_up = LineUp { stages: stages.collect(), tracks: *tracks, defragments: *defragments };
        while let Some((table, index)) = making.todo.pop() {
            making.call(table, index);
        }
        let tables = making.tables.into_iter().map(|(table, chains)| TableCode::new(table.id.clone(), chains));
        Rules::of(tables.collect(), LineUps::one(hook, family, line_up))
    }

    /// Returns a chain with only the kept items.
    fn chain(&self, at: ChainAt, chain: &ChainCode, kept: &[&Item]) -> ChainCode {
        let rules: Vec<(usize, &RuleCode)> = if self.long.contains(&at) {
            let kept = kept.iter().filter(|item| item.element.is_none());
            kept.filter_map(|item| Some((item.rule, chain.rules.get(item.rule)?))).collect()
        } else {
            chain.rules.iter().enumerate().collect()
        };
        let lookups = self.lookups.get(&at).map_or(&[][..], Vec::as_slice);
        let rules = rules.into_iter().map(|(number, rule)| {
            // In the order of the rules, of which each has one.
            let lookup = lookups.binary_search_by_key(&number, |(of, ..)| *of).ok().and_then(|at| lookups.get(at));
            let Some((_, expr, map)) = lookup else { return rule.clone() };
            let kept = kept.iter().filter(|item| item.rule == number).filter_map(|item| item.element);
            let kept: Vec<usize> = kept.map(|(_, element)| element).collect();
            let ops = rule.ops.iter().enumerate().map(|(at, op)| match (op, self.maps.get(*map)) {
                (Op::Lookup { sreg, dreg, inverted, set: Some(_) }, Some(map)) if at == *expr => {
                    Op::Lookup { sreg: *sreg, dreg: *dreg, inverted: *inverted, set: Some(Arc::new(map.of(&kept))) }
                }
                _ => op.clone(),
            });
            RuleCode { ops: ops.collect(), line: Arc::clone(&rule.line) }
        });
        let (id, base) = (Arc::clone(&chain.id), chain.base);
        ChainCode { id, base, rules: rules.collect(), unlisted: chain.unlisted, registered: chain.registered }
    }
}

impl Map<'_> {
    /// Returns the map with only these elements.
    fn of(&self, kept: &[usize]) -> SetIndex {
        let SetIndex { key_bytes, keys, data, catch_all, odd, is_odd, is_filled } = self.set;
        let datum = |element: usize| data.get(element).cloned().flatten();
        let kept = kept.iter().filter_map(|index| self.elements.get(*index));
        let [is_odd, is_filled] = [*is_odd, *is_filled];
        let mut part = SetIndex { key_bytes: *key_bytes, is_odd, is_filled, ..SetIndex::default() };
        let mut spans = Vec::new();
        for (parts, element) in kept {
            let [low, high] =
                [|part: &members::KeyRange| part.low.to_vec(), |part: &members::KeyRange| part.high.to_vec()]
                    .map(|end| parts.iter().flat_map(end).collect::<Box<[u8]>>());
            spans.push((low, high, part.data.len()));
            if odd.contains(element) {
                part.odd.insert(part.data.len());
            }
            part.data.push(datum(*element));
        }
        part.keys = match keys {
            Keys::Intervals(_) => {
                spans.sort();
                Keys::Intervals(spans)
            }
            Keys::Points(_) => Keys::Points(spans.into_iter().map(|(key, _, element)| (key, element)).collect()),
            Keys::Ranges { fields, elements: _ } => Keys::Ranges { fields: fields.clone(), elements: spans },
        };
        if let Some(element) = catch_all {
            part.catch_all = Some(part.data.len());
            if odd.contains(element) {
                part.odd.insert(part.data.len());
            }
            part.data.push(datum(*element));
        }
        part
    }
}

/// A map that more rules look something up in is left whole in the others: each lookup makes as
/// many items as the map has elements.
const LOOKUPS: usize = 4;

/// One side being put together.
struct Making<'m, 'r> {
    whole: &'m Whole<'r>,
    kept: &'m HashMap<ChainAt, Vec<&'m Item>>,
    tables: Vec<(&'r TableCode, Vec<ChainCode>)>,
    places: HashMap<ChainAt, ChainAt>,
    /// Chains whose calls have not been followed yet.
    todo: Vec<ChainAt>,
}

impl Making<'_, '_> {
    /// Returns the place of a chain in the new rules, adding it if necessary.
    fn place(&mut self, at: ChainAt) -> ChainAt {
        let new = match self.places.entry(at) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(new) => new,
        };
        let Some((table, chains)) = self.tables.get_mut(at.0) else { return at };
        let place = *new.insert((at.0, chains.len()));
        if let Some(chain) = table.chains.get(at.1) {
            chains.push(self.whole.chain(at, chain, self.kept.get(&at).map_or(&[], Vec::as_slice)));
            self.todo.push(place);
        }
        place
    }

    fn stage(&mut self, stage: &Stage) -> Stage {
        match stage {
            Stage::Chain(at) => Stage::Chain(self.place(*at)),
            Stage::Foreign(what) => Stage::Foreign(Arc::clone(what)),
            Stage::Track => Stage::Track,
            Stage::Translate(NatChains { chains, unknown, foreign }) => {
                let chains = chains.iter().map(|at| self.place(*at)).collect();
                Stage::Translate(NatChains { chains, unknown: unknown.clone(), foreign: foreign.clone() })
            }
            Stage::Unordered(Unordered { stages, unknown }) => {
                let stages = stages.iter().map(|stage| self.stage(stage)).collect();
                Stage::Unordered(Unordered { stages, unknown: unknown.clone() })
            }
        }
    }

    /// Adds the chains that a chain calls.
    fn call(&mut self, table: usize, index: usize) {
        let mut called = Vec::new();
        if let Some((whole, chains)) = self.tables.get(table) {
            for rule in chains.get(index).iter().flat_map(|chain| &chain.rules) {
                targets(&rule.ops, &mut |name| called.extend(whole.by_name.get(name).copied()));
            }
        }
        for chain in called {
            self.place((table, chain));
        }
    }
}

/// The chains that packets may reach, and what may have happened before.
struct Reach {
    all: Vec<ChainAt>,
    /// Chains before tracking.
    early: HashSet<ChainAt>,
    /// Chains after translation.
    late: HashSet<ChainAt>,
    sets_mark: bool,
}

impl Reach {
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
        let all = called(rules, stages);
        let is_set = |expr: &Expr| matches!(expr, Expr::MetaSet { key: MetaKey::MARK, sreg: _ });
        let mut reached = all.iter().filter_map(|at| chain_of(rules, *at)).flat_map(|chain| &chain.rules);
        Reach {
            sets_mark: reached.any(|rule| rule.ops.iter().any(|op| op.any(&is_set))),
            early: called(rules, stages.get(..early).unwrap_or_default()).into_iter().collect(),
            late: called(rules, stages.get(late..).unwrap_or_default()).into_iter().collect(),
            all,
        }
    }

    fn scope(&self, at: ChainAt, family: IpFamily) -> Scope {
        Scope { family, header: !self.late.contains(&at), mark: !self.sets_mark, tracked: !self.early.contains(&at) }
    }
}

/// Returns the chains of these stages and all chains that they call, each once.
pub(super) fn called(rules: &Rules, stages: &[Stage]) -> Vec<ChainAt> {
    let of = |stage: &Stage| match stage {
        Stage::Chain(at) => vec![*at],
        Stage::Foreign(_) | Stage::Track | Stage::Unordered(_) => Vec::new(),
        Stage::Translate(nat) => nat.chains.clone(),
    };
    let mut todo: Vec<ChainAt> = stages.iter().flat_map(Stage::parts).flat_map(of).collect();
    let mut known: HashSet<ChainAt> = todo.iter().copied().collect();
    let mut all = Vec::new();
    while let Some(at) = todo.pop() {
        all.push(at);
        let Some(table) = rules.tables.get(at.0) else { continue };
        for rule in table.chains.get(at.1).iter().flat_map(|chain| &chain.rules) {
            targets(&rule.ops, &mut |name| {
                let target = table.by_name.get(name).map(|chain| (at.0, *chain));
                todo.extend(target.filter(|target| known.insert(*target)));
            });
        }
    }
    all
}

fn chain_of(rules: &Rules, at: ChainAt) -> Option<&ChainCode> {
    rules.tables.get(at.0)?.chains.get(at.1)
}
