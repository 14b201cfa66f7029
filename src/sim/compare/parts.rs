//! The rules of both sides in the form that is [cut](super::cut): chains and maps are split into
//! [items](super::items), and put together again for a part of the packets.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::cut::{Cutter, Excerpt, What};
use super::items::{Group, Items, Lookups, items};
use super::memory::Memory;
use super::reach::{calls, chain_of};
use crate::model::{Hook, IpFamily, Policy};
use crate::sim::line_up::{ChainAt, LineUp, LineUps, NatChains, Stage, Unordered};
use crate::sim::rules::{ChainCode, Op, RuleCode, Rules, TableCode};
use crate::sim::sets::{Keys, SetIndex};

/// Both sides at a hook, for packets of a family, in parts.
pub(super) struct Parts<'r> {
    sides: [&'r Rules; 2],
    pub(super) cutter: Cutter,
    groups: Vec<Group<'r>>,
    lookups: [Lookups; 2],
    hook: Hook,
    family: IpFamily,
}

/// What is kept of a side in a part.
#[derive(Default)]
struct Kept {
    rules: HashMap<ChainAt, Vec<usize>>,
    /// The elements of groups.
    elements: HashMap<usize, Vec<usize>>,
}

impl<'r> Parts<'r> {
    /// Returns `None` if there are so few rules that the packets need no parts. Parts are only
    /// found to be the same on both sides with `pairs`.
    pub(super) fn new(sides: [&'r Rules; 2], hook: Hook, family: IpFamily, few: usize, pairs: bool) -> Option<Self> {
        let Items { items, groups, lookups } = items(sides, (hook, family), few, pairs);
        Some(Parts { sides, cutter: Cutter::new(items, few)?, groups, lookups, hook, family })
    }

    /// Returns both sides with only the rules that can match the packets of a part, and nothing at
    /// other hooks.
    pub(super) fn rules(&self, part: &Excerpt) -> [Rules; 2] {
        let mut kept = [Kept::default(), Kept::default()];
        for what in self.items(part) {
            match what {
                What::Difference => {}
                What::Element(group, at) => kept.iter_mut().zip(at).for_each(|(kept, at)| {
                    at.into_iter().for_each(|at| kept.elements.entry(group).or_default().push(at));
                }),
                What::Rule(at) => kept.iter_mut().zip(at).for_each(|(kept, at)| {
                    at.into_iter().for_each(|(chain, rule)| kept.rules.entry(chain).or_default().push(rule));
                }),
            }
        }
        for Kept { rules, elements } in &mut kept {
            // The rules that both sides have come first.
            rules.values_mut().for_each(|rules| rules.sort_unstable());
            elements.values_mut().for_each(|elements| elements.sort_unstable());
        }
        let [a, b] = &kept;
        [(0, a), (1, b)].map(|(side, kept)| Making::new(self, side, kept).rules())
    }

    /// Considers the memories of a part the same that is the same on both sides.
    pub(super) fn pair(&self, part: &Excerpt, memory: &mut Memory) {
        let [a, b] = self.sides;
        for what in self.items(part) {
            let What::Rule([Some(of_a), Some(of_b)]) = what else { continue };
            memory.pair_rules((a, of_a), (b, of_b));
        }
    }

    fn items(&self, part: &Excerpt) -> impl Iterator<Item = What> {
        let items = &self.cutter.items;
        part.items.iter().filter_map(|index| Some(items.get(usize::try_from(*index).ok()?)?.what))
    }
}

impl Group<'_> {
    /// Returns the set of a side with only these elements.
    fn set(&self, side: usize, kept: &[usize]) -> SetIndex {
        let (Some(Some(set)), Some(all)) = (self.sets.get(side), self.elements.get(side)) else {
            return SetIndex::default();
        };
        let SetIndex { key_bytes, keys, data, catch_all, odd, is_odd, is_filled } = set;
        let datum = |element: usize| data.get(element).cloned().flatten();
        let [is_odd, is_filled] = [*is_odd, *is_filled];
        let mut part = SetIndex { key_bytes: *key_bytes, is_odd, is_filled, ..SetIndex::default() };
        let mut spans = Vec::new();
        for (parts, element) in kept.iter().filter_map(|at| all.get(*at)) {
            let low = parts.iter().flat_map(|part| part.low.iter().copied()).collect::<Box<[u8]>>();
            let high = parts.iter().flat_map(|part| part.high.iter().copied()).collect::<Box<[u8]>>();
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

/// One side being put together.
struct Making<'m, 'r> {
    parts: &'m Parts<'r>,
    side: usize,
    whole: &'r Rules,
    kept: &'m Kept,
    sets: HashMap<usize, Arc<SetIndex>>,
    tables: Vec<(&'r TableCode, Vec<ChainCode>)>,
    /// The new indices of tables.
    table_at: HashMap<usize, usize>,
    places: HashMap<ChainAt, ChainAt>,
    /// Chains whose calls have not been followed yet.
    todo: Vec<(usize, ChainAt)>,
}

impl<'m, 'r> Making<'m, 'r> {
    fn new(parts: &'m Parts<'r>, side: usize, kept: &'m Kept) -> Self {
        let [a, b] = parts.sides;
        Making {
            parts,
            side,
            whole: if side == 0 { a } else { b },
            kept,
            sets: HashMap::new(),
            tables: Vec::new(),
            table_at: HashMap::new(),
            places: HashMap::new(),
            todo: Vec::new(),
        }
    }

    fn rules(mut self) -> Rules {
        let (hook, family) = (self.parts.hook, self.parts.family);
        let LineUp { stages, tracks, defragments } = self.whole.line_up(hook, family);
        let stages = stages.iter().filter_map(|stage| self.stage(stage)).collect();
        let line_up = LineUp { stages, tracks: *tracks, defragments: *defragments };
        while let Some((table, place)) = self.todo.pop() {
            self.call(table, place);
        }
        let tables = self.tables.into_iter().map(|(table, chains)| TableCode::new(table.id.clone(), chains));
        Rules::of(tables.collect(), LineUps::one(hook, family, line_up))
    }

    /// Returns a stage; `None` if it has no effect on any packet of the part.
    fn stage(&mut self, stage: &Stage) -> Option<Stage> {
        Some(match stage {
            Stage::Chain(at) if self.is_idle(*at) => return None,
            Stage::Chain(at) => Stage::Chain(self.place(*at)),
            Stage::Foreign(what) => Stage::Foreign(Arc::clone(what)),
            Stage::Track => Stage::Track,
            Stage::Translate(NatChains { chains, unknown, foreign }) => {
                let is_simple = unknown.is_empty() && foreign.is_none();
                let chains = chains.iter().filter(|at| !is_simple || !self.is_idle(**at)).copied();
                let chains: Vec<ChainAt> = chains.collect();
                let chains = chains.into_iter().map(|at| self.place(at)).collect();
                Stage::Translate(NatChains { chains, unknown: unknown.clone(), foreign: foreign.clone() })
            }
            Stage::Unordered(Unordered { stages, unknown }) => {
                let place = |stage: &Stage| match stage {
                    Stage::Chain(at) => Some(Stage::Chain(self.place(*at))),
                    other => self.stage(other),
                };
                let stages = stages.iter().filter_map(place).collect();
                Stage::Unordered(Unordered { stages, unknown: unknown.clone() })
            }
        })
    }

    /// Returns whether a base chain accepts all packets of the part.
    fn is_idle(&self, at: ChainAt) -> bool {
        !self.kept.rules.contains_key(&at)
            && self
                .whole
                .chain_at(at)
                .is_some_and(|(_, chain, base)| chain.unlisted == 0 && base.policy == Policy::Accept)
    }

    /// Returns the place of a chain in the new rules, adding it if necessary.
    fn place(&mut self, at: ChainAt) -> ChainAt {
        if let Some(known) = self.places.get(&at) {
            return *known;
        }
        let (Some(table), Some(chain)) = (self.whole.tables.get(at.0), chain_of(self.whole, at)) else { return at };
        let chain = self.chain(at, chain);
        let count = self.tables.len();
        let new = *self.table_at.entry(at.0).or_insert(count);
        if new == count {
            self.tables.push((table, Vec::new()));
        }
        let Some((_, chains)) = self.tables.get_mut(new) else { return at };
        let place = (new, chains.len());
        chains.push(chain);
        self.places.insert(at, place);
        self.todo.push((at.0, place));
        place
    }

    /// Returns a chain with only the kept rules.
    fn chain(&mut self, at: ChainAt, chain: &ChainCode) -> ChainCode {
        let kept = self.kept.rules.get(&at).map_or(&[][..], Vec::as_slice);
        let rules = kept.iter().filter_map(|number| Some(self.rule(at, *number, chain.rules.get(*number)?)));
        let rules = rules.collect();
        let (id, base) = (Arc::clone(&chain.id), chain.base);
        ChainCode { id, base, rules, unlisted: chain.unlisted, registered: chain.registered }
    }

    /// Returns a rule with only the kept elements of the sets that it looks something up in.
    fn rule(&mut self, at: ChainAt, number: usize, rule: &RuleCode) -> RuleCode {
        let parts = self.parts;
        let Some(lookups) = parts.lookups.get(self.side).and_then(|lookups| lookups.get(&(at, number))) else {
            return rule.clone();
        };
        let ops = rule.ops.iter().enumerate().map(|(at, op)| {
            let group = lookups.iter().find(|(expr, _)| *expr == at).map(|(_, group)| *group);
            match (op, group) {
                (Op::Lookup { sreg, dreg, inverted, set: Some(_) }, Some(group)) => {
                    Op::Lookup { sreg: *sreg, dreg: *dreg, inverted: *inverted, set: self.set(group) }
                }
                _ => op.clone(),
            }
        });
        RuleCode { ops: ops.collect(), line: Arc::clone(&rule.line) }
    }

    fn set(&mut self, number: usize) -> Option<Arc<SetIndex>> {
        let group = self.parts.groups.get(number)?;
        Some(match self.sets.entry(number) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => {
                let kept = self.kept.elements.get(&number).map_or(&[][..], Vec::as_slice);
                Arc::clone(new.insert(Arc::new(group.set(self.side, kept))))
            }
        })
    }

    /// Adds the chains that a chain calls.
    fn call(&mut self, table: usize, (new, index): ChainAt) {
        let Some((whole, chains)) = self.tables.get(new) else { return };
        let called = chains.get(index).map(|chain| calls(whole, chain)).unwrap_or_default();
        for chain in called {
            self.place((table, chain));
        }
    }
}
