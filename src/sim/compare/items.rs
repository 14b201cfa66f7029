//! Both sides at a hook as a list of items: rules, and elements of sets. Each has the conditions
//! that a packet must meet for it to have an effect.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::alike::{Alike, Numbers, align};
use super::bits::pieces;
use super::cut::{Item, What};
use super::members::KeyRange;
use super::reach::{Reach, Reached};
use super::spans::{Lookup, Scope, Sets, Spans, both, element, hull};
use crate::model::{Hook, IpFamily, Policy};
use crate::sim::line_up::ChainAt;
use crate::sim::rules::{Op, Rules};
use crate::sim::sets::{Keys, SetIndex};

/// Both sides, taken apart.
pub(super) struct Items<'r> {
    pub(super) items: Vec<Item>,
    pub(super) groups: Vec<Group<'r>>,
    /// For each side, the lookups in sets that are taken apart.
    pub(super) lookups: [Lookups; 2],
}

/// The expressions of a rule that look something up, each with its group.
pub(super) type Lookups = HashMap<(ChainAt, usize), Vec<(usize, usize)>>;

/// A set of one side, or the corresponding sets of both, with a key that is looked up in it.
pub(super) struct Group<'r> {
    pub(super) sets: [Option<&'r SetIndex>; 2],
    pub(super) elements: [Rc<Elements>; 2],
    scope: Scope,
    lookup: Lookup,
    /// The conditions under which something is looked up in it.
    spans: Spans,
    /// Whether its elements are only kept where they can match.
    is_apart: bool,
}

type Elements = Vec<(Vec<KeyRange>, usize)>;
type GroupKey = ([Option<*const SetIndex>; 2], Lookup, Scope);

/// Takes both sides apart; rules are only paired with those of the other side with `pairs`.
pub(super) fn items<'r>(sides: [&'r Rules; 2], (hook, family): (Hook, IpFamily), few: usize, pairs: bool) -> Items<'r> {
    let mut sets = Sets::default();
    let [a, b] = sides.map(|rules| Reach::of(rules, hook, family, &mut sets));
    let alike = pairs.then(|| Alike::of(sides, hook, family, [&a, &b])).flatten();
    let mut making =
        Making { items: Vec::new(), groups: Vec::new(), known: HashMap::new(), lookups: Default::default(), sets, few };
    let Alike { chains, alone } = alike.unwrap_or_default();
    let of_b: HashMap<ChainAt, &Reached<'r>> = b.chains.iter().map(|reached| (reached.at, reached)).collect();
    let mut numbers = Numbers::default();
    let mut paired: HashSet<(ChainAt, usize)> = HashSet::new();
    for chain in &a.chains {
        let other = chains.get(&chain.at).and_then(|at| of_b.get(at));
        let mut pairs =
            other.map(|other| numbers.rules(chain.chain, other.chain)).unwrap_or_default().into_iter().peekable();
        for at in 0..chain.heads.len() {
            let pair = pairs.next_if(|(of_a, _)| *of_a == at);
            if let Some((other, (_, at_other))) = other.copied().zip(pair) {
                if making.pair([(chain, at), (other, at_other)], &mut numbers) {
                    paired.insert((other.at, at_other));
                    continue;
                }
            }
            making.single(0, chain, at);
        }
    }
    for chain in &b.chains {
        for at in (0..chain.heads.len()).filter(|at| !paired.contains(&(chain.at, *at))) {
            making.single(1, chain, at);
        }
    }
    let difference = || Item { what: What::Difference, spans: Spans::new() };
    // The policy of a chain that only one side has, and rules that are not known.
    for (rules, alone) in sides.into_iter().zip(alone) {
        let ends = alone.into_iter().filter_map(|at| rules.chain_at(at));
        making.items.extend(ends.filter(|(_, _, base)| base.policy == Policy::Drop).map(|_| difference()));
    }
    let unlisted = a.chains.iter().chain(&b.chains).filter(|reached| reached.chain.unlisted > 0);
    making.items.extend(unlisted.map(|_| difference()));
    making.done()
}

struct Making<'r> {
    items: Vec<Item>,
    groups: Vec<Group<'r>>,
    known: HashMap<GroupKey, usize>,
    lookups: [Lookups; 2],
    sets: Sets,
    few: usize,
}

impl<'r> Making<'r> {
    /// Adds a rule of one side.
    fn single(&mut self, side: usize, chain: &Reached<'r>, at: usize) {
        let Some(Some(head)) = chain.heads.get(at) else { return };
        let mut place = [None, None];
        let mut of = [None, None];
        place.get_mut(side).into_iter().for_each(|place| *place = Some((chain.at, at)));
        for lookup in &head.lookups {
            of.get_mut(side).into_iter().for_each(|of| *of = head.set(lookup));
            self.lookup(place, of, lookup, chain.scope, &head.spans, false);
        }
        self.items.push(Item { what: What::Rule(place), spans: head.spans.clone() });
    }

    /// Adds a rule that both sides have, if packets meet it under the same conditions; otherwise
    /// returns `false`.
    fn pair(&mut self, [a, b]: [(&Reached<'r>, usize); 2], numbers: &mut Numbers<'r>) -> bool {
        let ((chain, at), (other, at_other)) = (a, b);
        let (of_a, of_b) = match (chain.heads.get(at), other.heads.get(at_other)) {
            (Some(None), Some(None)) => return true,
            (Some(Some(of_a)), Some(Some(of_b))) => (of_a, of_b),
            _ => return false,
        };
        let scope = chain.scope.and(other.scope);
        let mut differing = Vec::new();
        for (expr, op) in of_a.rule.iter().enumerate() {
            let (Op::Lookup { set: Some(set), .. }, Some(Op::Lookup { set: Some(other), .. })) =
                (op, of_b.rule.get(expr))
            else {
                continue;
            };
            if numbers.of(set).0 != numbers.of(other).0 {
                differing.push(expr);
            }
        }
        let is_known = |expr: &usize| {
            let known = [of_a, of_b].map(|head| head.lookups.iter().find(|lookup| lookup.expr == *expr));
            known[0].is_some() && known[0] == known[1]
        };
        if of_a.lookups != of_b.lookups || !differing.iter().all(is_known) {
            return false;
        }
        let mut spans = of_a.spans.clone();
        hull(&mut spans, &of_b.spans);
        let place = [Some((chain.at, at)), Some((other.at, at_other))];
        for lookup in &of_a.lookups {
            let of = [of_a.set(lookup), of_b.set(lookup)];
            self.lookup(place, of, lookup, scope, &spans, differing.contains(&lookup.expr));
        }
        self.items.push(Item { what: What::Rule(place), spans });
        true
    }

    /// Adds a lookup of a rule, if the elements of its set are items.
    fn lookup(
        &mut self,
        places: [Option<(ChainAt, usize)>; 2],
        of: [Option<&'r SetIndex>; 2],
        lookup: &Lookup,
        scope: Scope,
        spans: &Spans,
        differs: bool,
    ) {
        let many = of.iter().flatten().any(|set| set.data.len() > self.few);
        let is_map = of.iter().flatten().any(|set| set.data.iter().any(Option::is_some));
        // Sets of values of one input are one question, however many they are.
        let is_apart = many && (is_map || pieces(&lookup.key).len() > 1);
        if !is_apart && !differs {
            return;
        }
        let key = (of.map(|set| set.map(std::ptr::from_ref)), lookup.anywhere(), scope);
        let number = match self.known.get(&key) {
            Some(number) => *number,
            None => {
                let elements = of.map(|set| set.map_or_else(Rc::default, |set| self.sets.elements(set)));
                let (lookup, spans) = (lookup.clone(), spans.clone());
                self.groups.push(Group { sets: of, elements, scope, lookup, spans, is_apart });
                self.known.insert(key, self.groups.len() - 1);
                self.groups.len() - 1
            }
        };
        if let Some(group) = self.groups.get_mut(number) {
            hull(&mut group.spans, spans);
        }
        if is_apart {
            for (places, place) in self.lookups.iter_mut().zip(places) {
                place.into_iter().for_each(|place| places.entry(place).or_default().push((lookup.expr, number)));
            }
        }
    }

    fn done(self) -> Items<'r> {
        let Making { mut items, groups, lookups, .. } = self;
        for (number, group) in groups.iter().enumerate() {
            group.items(number, &mut items);
        }
        Items { items, groups, lookups }
    }
}

impl Group<'_> {
    /// Adds the elements.
    fn items(&self, number: usize, items: &mut Vec<Item>) {
        let Group { sets, elements: [a, b], scope, lookup, spans, is_apart } = self;
        let spans = |parts: &[KeyRange]| both(&element(lookup, parts, *scope)?, spans);
        let mut add = |at: [Option<usize>; 2], parts: &[KeyRange]| {
            let what = match at {
                _ if *is_apart => What::Element(number, at),
                [Some(_), Some(_)] => return,
                _ => What::Difference,
            };
            items.extend(spans(parts).map(|spans| Item { what, spans }));
        };
        let [of_a, of_b] = *sets;
        let (Some(of_a), Some(of_b)) = (of_a, of_b) else {
            a.iter().enumerate().for_each(|(at, (parts, _))| add([Some(at), None], parts));
            b.iter().enumerate().for_each(|(at, (parts, _))| add([None, Some(at)], parts));
            return;
        };
        let pairs: Vec<(usize, usize)> = match (&of_a.keys, &of_b.keys) {
            // Of elements that overlap, the first one counts.
            (Keys::Ranges { .. }, _) | (_, Keys::Ranges { .. }) => {
                let key = |set: &SetIndex, (parts, index): &(Vec<KeyRange>, usize)| {
                    (ends(parts), set.data.get(*index).cloned().flatten(), set.odd.contains(index))
                };
                let [keys, others] = [(of_a, a), (of_b, b)]
                    .map(|(set, of)| of.iter().map(|element| key(set, element)).collect::<Vec<_>>());
                align(&keys, &others)
            }
            _ => {
                let others: HashMap<Vec<u8>, usize> =
                    b.iter().enumerate().map(|(at, (parts, _))| (ends(parts), at)).collect();
                let same = |(at, (parts, index)): (usize, &(Vec<KeyRange>, usize))| {
                    let other = *others.get(&ends(parts))?;
                    let (_, other_index) = b.get(other)?;
                    let is_same = of_a.data.get(*index) == of_b.data.get(*other_index)
                        && of_a.odd.contains(index) == of_b.odd.contains(other_index);
                    is_same.then_some((at, other))
                };
                a.iter().enumerate().filter_map(same).collect()
            }
        };
        let mut rest: HashSet<usize> = (0..b.len()).collect();
        let mut pairs = pairs.into_iter().peekable();
        for (at, (parts, _)) in a.iter().enumerate() {
            let other = pairs.next_if(|(of_a, _)| *of_a == at).map(|(_, other)| other);
            other.map(|other| rest.remove(&other));
            add([Some(at), other], parts);
        }
        for (at, (parts, _)) in b.iter().enumerate().filter(|(at, _)| rest.contains(at)) {
            add([None, Some(at)], parts);
        }
    }
}

/// Returns both ends of all parts of a key.
fn ends(parts: &[KeyRange]) -> Vec<u8> {
    parts.iter().flat_map(|KeyRange { range: _, low, high }| low.iter().chain(high)).copied().collect()
}
