//! Finds the rules that both sides have in the same order.
//!
//! A packet that meets no rule and no element that only one side has meets the same program on
//! both, and nobody has to run it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::reach::Reach;
use crate::bytecode::{ElementDataCode, Expr, MetaKey, Register};
use crate::model::{Base, Hook, IpFamily, Name, TableId};
use crate::sim::line_up::{ChainAt, LineUp, Stage};
use crate::sim::rules::{ChainCode, Op, RuleCode, Rules};
use crate::sim::sets::{Keys, SetIndex};

/// The chains of both sides that correspond to each other.
#[derive(Default)]
pub(super) struct Alike {
    /// For chains of side A, those of side B.
    pub(super) chains: HashMap<ChainAt, ChainAt>,
    /// Base chains of either side without a counterpart.
    pub(super) alone: [Vec<ChainAt>; 2],
}

impl Alike {
    /// Returns `None` if the sides have no common order, or if it is not known.
    pub(super) fn of(sides: [&Rules; 2], hook: Hook, family: IpFamily, reach: [&Reach<'_>; 2]) -> Option<Self> {
        let [ours, theirs] = sides.map(|rules| rules.line_up(hook, family));
        if ours.tracks != theirs.tracks || !ours.is_certain() || !theirs.is_certain() {
            return None;
        }
        let [ours, theirs] = [(sides[0], ours), (sides[1], theirs)].map(|(rules, line_up)| parts(rules, line_up));
        let pairs = align_twice(
            &ours,
            &theirs,
            |Part { place, chain }| (*place, chain.map(|(_, table, name, base)| (table, name, base))),
            |Part { place, chain }| (*place, chain.map(|(_, _, name, base)| (name, base))),
        );
        let mut alike = Alike::default();
        let (mut tables, mut back) = (HashMap::new(), HashMap::new());
        let mut taken = [vec![false; ours.len()], vec![false; theirs.len()]];
        for (our, their) in pairs {
            let (Some(of_ours), Some(of_theirs)) = (ours.get(our), theirs.get(their)) else { continue };
            if let (Some((at, ..)), Some((other, ..))) = (of_ours.chain, of_theirs.chain) {
                // A table has one counterpart.
                if *tables.entry(at.0).or_insert(other.0) != other.0 || *back.entry(other.0).or_insert(at.0) != at.0 {
                    continue;
                }
                alike.chains.insert(at, other);
            }
            let [of_a, of_b] = &mut taken;
            of_a.get_mut(our).into_iter().chain(of_b.get_mut(their)).for_each(|taken| *taken = true);
        }
        for (alone, (parts, taken)) in alike.alone.iter_mut().zip([&ours, &theirs].into_iter().zip(taken)) {
            for part in parts.iter().zip(taken).filter(|(_, taken)| !taken).map(|(part, _)| part) {
                alone.push(part.chain?.0);
            }
        }
        let [of_a, of_b] = reach;
        let known: HashSet<ChainAt> = of_b.chains.iter().map(|reached| reached.at).collect();
        for reached in of_a.chains.iter().filter(|reached| reached.chain.base.is_none()) {
            let Some(table) = tables.get(&reached.at.0) else { continue };
            let found = sides[1].tables.get(*table).and_then(|code| code.by_name.get(&reached.chain.id.name));
            let found = found.map(|chain| (*table, *chain)).filter(|other| known.contains(other));
            if let Some(other) = found.filter(|other| sides[1].chain_at(*other).is_none()) {
                alike.chains.insert(reached.at, other);
            }
        }
        Some(alike)
    }
}

/// A part of a line-up: a base chain, or what is between base chains.
struct Part<'r> {
    place: Place,
    chain: Option<(ChainAt, &'r TableId, &'r Name, Base)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Chain,
    Nat,
    Track,
    Translate,
}

fn parts<'r>(rules: &'r Rules, line_up: &LineUp) -> Vec<Part<'r>> {
    let part = |place, at: ChainAt| {
        let (table, chain, base) = rules.chain_at(at)?;
        Some(Part { place, chain: Some((at, &table.id, &chain.id.name, base)) })
    };
    let mut parts = Vec::new();
    for stage in &line_up.stages {
        match stage {
            Stage::Chain(at) => parts.extend(part(Place::Chain, *at)),
            Stage::Foreign(_) | Stage::Unordered(_) => {}
            Stage::Track => parts.push(Part { place: Place::Track, chain: None }),
            Stage::Translate(nat) => {
                parts.extend(nat.chains.iter().filter_map(|at| part(Place::Nat, *at)));
                parts.push(Part { place: Place::Translate, chain: None });
            }
        }
    }
    parts
}

/// Returns the indices of a common subsequence: what is the same by `exact` comes first, and
/// between such pairs what is the same by `loose`.
fn align_twice<T, E: Hash + Eq, L: Hash + Eq>(
    a: &[T],
    b: &[T],
    exact: impl Fn(&T) -> E,
    loose: impl Fn(&T) -> L,
) -> Vec<(usize, usize)> {
    let keys = |of: &[T]| of.iter().map(&exact).collect::<Vec<_>>();
    let first = align(&keys(a), &keys(b));
    let mut all = Vec::with_capacity(first.len());
    let mut from = (0, 0);
    for (at, other) in first.into_iter().chain([(a.len(), b.len())]) {
        let keys = |of: &[T], from: usize, to: usize| {
            of.get(from..to).unwrap_or_default().iter().map(&loose).collect::<Vec<_>>()
        };
        let between = align(&keys(a, from.0, at), &keys(b, from.1, other));
        all.extend(between.into_iter().map(|(a, b)| (a + from.0, b + from.1)));
        if at < a.len() && other < b.len() {
            all.push((at, other));
        }
        from = (at + 1, other + 1);
    }
    all
}

/// Returns the indices of a common subsequence: the first of equal keys goes with the first, the
/// second with the second; of these pairs, the most that keep the order.
pub(super) fn align<K: Hash + Eq>(a: &[K], b: &[K]) -> Vec<(usize, usize)> {
    if a.is_empty() || b.is_empty() {
        return Vec::new();
    }
    let mut places: HashMap<&K, VecDeque<usize>> = HashMap::new();
    b.iter().enumerate().for_each(|(at, key)| places.entry(key).or_default().push_back(at));
    let pairs: Vec<(usize, usize)> =
        a.iter().enumerate().filter_map(|(at, key)| Some((at, places.get_mut(key)?.pop_front()?))).collect();
    // The longest ascending subsequence (Fredman, 1975): for each length, the pair that ends one
    // with the lowest index.
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    for (number, (_, at)) in pairs.iter().enumerate() {
        before.push(ends.range(..at).next_back().map(|(_, pair)| *pair));
        let above = ends.range(at..).next().map(|(end, _)| *end);
        above.map(|end| ends.remove(&end));
        ends.insert(*at, number);
    }
    let mut last = ends.last_key_value().map(|(_, pair)| *pair);
    let mut found = Vec::new();
    while let Some(number) = last {
        found.extend(pairs.get(number).copied());
        last = before.get(number).copied().flatten();
    }
    found.reverse();
    found
}

/// Numbers sets and rules, with one number for what is the same.
#[derive(Default)]
pub(super) struct Numbers<'r> {
    sets: HashMap<*const SetIndex, (usize, usize)>,
    contents: HashMap<u64, Vec<(&'r SetIndex, usize)>>,
    kinds: HashMap<Kind<'r>, usize>,
}

/// What a set is, except for its elements.
#[derive(PartialEq, Eq, Hash)]
struct Kind<'r> {
    key_bytes: usize,
    /// `None` for single keys, and no fields for intervals.
    fields: Option<&'r [usize]>,
    catch_all: Option<(Option<&'r ElementDataCode>, bool)>,
    /// Sets that are not understood, or that rules fill, are only like those with the same
    /// elements.
    contents: Option<usize>,
}

/// An expression that can be compared with others.
#[derive(PartialEq, Eq, Hash)]
enum Word<'r> {
    Expr(&'r Expr),
    Lookup { sreg: Register, dreg: Option<Register>, inverted: bool, set: Option<usize> },
    Xt(String),
}

impl<'r> Numbers<'r> {
    /// Returns the number of the contents of a set, and of its kind.
    pub(super) fn of(&mut self, set: &'r SetIndex) -> (usize, usize) {
        let pointer = std::ptr::from_ref(set);
        if let Some(known) = self.sets.get(&pointer) {
            return *known;
        }
        let count = self.sets.len();
        let same = self.contents.entry(digest(set)).or_default();
        let contents = match same.iter().find(|(known, _)| *known == set) {
            Some((_, number)) => *number,
            None => {
                same.push((set, count));
                count
            }
        };
        let SetIndex { key_bytes, keys, data, catch_all, odd, is_odd, is_filled } = set;
        let fields = match keys {
            Keys::Points(_) => None,
            Keys::Intervals(_) => Some(&[][..]),
            Keys::Ranges { fields, elements: _ } => Some(fields.as_slice()),
        };
        let catch_all = catch_all.map(|at| (data.get(at).and_then(Option::as_ref), odd.contains(&at)));
        let contents_count = (*is_odd || *is_filled).then_some(contents);
        let kind = Kind { key_bytes: *key_bytes, fields, catch_all, contents: contents_count };
        let kinds = self.kinds.len();
        let numbers = (contents, *self.kinds.entry(kind).or_insert(kinds));
        self.sets.insert(pointer, numbers);
        numbers
    }

    /// Returns the expressions of a rule, with sets by their contents and by their kind; `None` if
    /// it is never the same as another one, because it may exclude packets from tracking or change
    /// what later conditions read.
    fn words(&mut self, rule: &'r RuleCode) -> Option<[Vec<Word<'r>>; 2]> {
        let mut words = [Vec::with_capacity(rule.ops.len()), Vec::with_capacity(rule.ops.len())];
        let excludes = |expr: &Expr| match expr {
            Expr::MetaSet { key, sreg: _ } => !matches!(*key, MetaKey::MARK | MetaKey::NFTRACE),
            Expr::Notrack | Expr::Opaque { name: _, data: _, set: _ } | Expr::PayloadSet(_) => true,
            _ => false,
        };
        for op in rule.ops.iter() {
            if op.any(&excludes) {
                return None;
            }
            let pair = match op {
                Op::Expr(expr) => [Word::Expr(expr), Word::Expr(expr)],
                Op::Lookup { sreg, dreg, inverted, set } => {
                    let numbers = set.as_deref().map(|set| self.of(set));
                    let (sreg, dreg, inverted) = (*sreg, *dreg, *inverted);
                    [numbers.map(|(contents, _)| contents), numbers.map(|(_, kind)| kind)].map(|set| Word::Lookup {
                        sreg,
                        dreg,
                        inverted,
                        set,
                    })
                }
                Op::XtAsks(_) | Op::XtLimits(_) | Op::XtLists(_) | Op::XtOwner(_) => {
                    let text = format!("{op:?}");
                    [Word::Xt(text.clone()), Word::Xt(text)]
                }
            };
            words.iter_mut().zip(pair).for_each(|(words, word)| words.push(word));
        }
        Some(words)
    }

    /// Returns the rules of two chains that are the same, in order, except for the elements of
    /// sets.
    pub(super) fn rules(&mut self, a: &'r ChainCode, b: &'r ChainCode) -> Vec<(usize, usize)> {
        if a.unlisted > 0 || b.unlisted > 0 {
            return Vec::new();
        }
        let (mut exact, mut loose) = (HashMap::new(), HashMap::new());
        let mut never = usize::MAX;
        let mut keys = |chain: &'r ChainCode| -> Vec<(usize, usize)> {
            let keys = chain.rules.iter().map(|rule| match self.words(rule) {
                Some([contents, kinds]) => (number(&mut exact, contents), number(&mut loose, kinds)),
                None => {
                    never -= 1;
                    (never, never)
                }
            });
            keys.collect()
        };
        let (a, b) = (keys(a), keys(b));
        align_twice(&a, &b, |(exact, _)| *exact, |(_, loose)| *loose)
    }
}

fn number<K: Hash + Eq>(known: &mut HashMap<K, usize>, key: K) -> usize {
    let count = known.len();
    match known.entry(key) {
        Entry::Occupied(known) => *known.get(),
        Entry::Vacant(new) => *new.insert(count),
    }
}

/// Returns a number that is the same for the same elements, in any order.
fn digest(set: &SetIndex) -> u64 {
    let element = |low: &[u8], high: &[u8], at: usize| {
        let mut hasher = DefaultHasher::new();
        (low, high, set.data.get(at)).hash(&mut hasher);
        hasher.finish()
    };
    let all: u64 = match &set.keys {
        Keys::Points(points) => points.iter().fold(0, |sum, (key, at)| u64::wrapping_add(sum, element(key, key, *at))),
        Keys::Intervals(spans) | Keys::Ranges { fields: _, elements: spans } => {
            spans.iter().fold(0, |sum, (low, high, at)| u64::wrapping_add(sum, element(low, high, *at)))
        }
    };
    all ^ set.data.len() as u64
}
