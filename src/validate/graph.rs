//! Which chains call each other, and from which hooks they are reached.
//!
//! The nodes are the chains followed by the sets (a verdict map calls the chains its elements
//! name), so that a map with many elements used by many rules costs their sum and not their
//! product. Every walk is a loop over a list, so no input overflows the stack.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use super::links::Links;
use super::location::At;
use super::part::Calls;
use super::place::Places;
use super::problem::Problem;
use super::rules::keyword;
use super::{ChainView, Checked, Complete, Fault};
use crate::model::{ChainKind, Element, ElementData, Name, SetRef, Statement, Verdict};

/// `NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h: a base chain and 15 levels below it;
/// gotos count like jumps.
const DEPTH: usize = 16;

/// The most loops that are reported: each may pass through all chains.
const CIRCLES: usize = 100;

pub(super) struct Graph {
    chains: usize,
    links: Links,
    reached: Vec<Places>,
    parents: RefCell<HashMap<Places, Vec<usize>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

impl Links {
    /// Builds the calls from the names in rules and elements.
    pub(super) fn named(table: &Checked<'_, '_>) -> Self {
        let view = table.view;
        let mut links = Links::of_nodes(view.chains.len() + view.sets.len(), view.chains.len());
        for chain in &view.chains {
            links.node(|add| called_by(table, chain, add));
        }
        for set in &view.sets {
            links.node(|add| called(table, &set.elements, add));
        }
        links
    }
}

impl Graph {
    /// Builds the graph of these calls between the table's chains and sets.
    pub(super) fn of(table: &Checked<'_, '_>, links: Links) -> Self {
        let chains = table.view.chains.len();
        let reached = vec![Places::NONE; links.nodes()];
        let mut graph = Graph { chains, reached, links, parents: RefCell::default() };
        graph.reach(table);
        graph
    }

    /// Returns the places from which the kernel reaches a chain.
    pub(super) fn reached(&self, chain: usize) -> Places {
        self.reached.get(chain).copied().unwrap_or(Places::NONE)
    }

    /// Returns the places of every chain, and the calls.
    pub(super) fn into_calls(self) -> Calls {
        let Graph { chains, links, mut reached, parents: _ } = self;
        reached.truncate(chains);
        Calls { links, reached }
    }

    fn reach(&mut self, table: &Checked<'_, '_>) {
        let mut todo = VecDeque::new();
        for (index, places) in bases(table) {
            if let Some(reached) = self.reached.get_mut(index) {
                *reached = places;
                todo.push_back(index);
            }
        }
        // A node is visited again only when it gained a place, so at most 15 times.
        while let Some(node) = todo.pop_front() {
            let places = self.reached(node);
            for to in self.links.from(node) {
                if let Some(reached) = self.reached.get_mut(to) {
                    if !places.without(*reached).is_empty() {
                        *reached = reached.with(places);
                        todo.push_back(to);
                    }
                }
            }
        }
    }

    /// Returns the chains on a shortest path from a base chain at `place` to `chain`, without
    /// `chain`; only the last ones if the path is deeper than the kernel follows.
    pub(super) fn through(&self, table: &Checked<'_, '_>, chain: usize, place: Places) -> Vec<Name> {
        let mut parents = self.parents.borrow_mut();
        let parents = parents.entry(place).or_insert_with(|| self.first_callers(table, place));
        let mut names = Vec::new();
        let mut node = chain;
        while let Some(parent) = parents.get(node).copied().filter(|parent| *parent != node && *parent != usize::MAX) {
            if names.len() == DEPTH {
                break;
            }
            names.extend(table.view.chains.get(parent).map(|chain| chain.name.clone()));
            node = parent;
        }
        names.reverse();
        names
    }

    /// Returns for every node the one it is first reached from; a base chain at `place` is reached
    /// from itself.
    fn first_callers(&self, table: &Checked<'_, '_>, place: Places) -> Vec<usize> {
        let mut parents = vec![usize::MAX; self.links.nodes()];
        let mut todo: VecDeque<usize> =
            bases(table).filter(|(_, places)| places.meets(place)).map(|(index, _)| index).collect();
        for base in &todo {
            if let Some(parent) = parents.get_mut(*base) {
                *parent = *base;
            }
        }
        while let Some(node) = todo.pop_front() {
            for to in self.links.from(node) {
                if let Some(parent) = parents.get_mut(to).filter(|parent| **parent == usize::MAX) {
                    *parent = node;
                    todo.push_back(to);
                }
            }
        }
        parents
    }

    /// Reports chains that call each other in a loop, and base chains that call too deep.
    pub(super) fn loops_and_depth(&self, table: &Checked<'_, '_>, faults: &mut Vec<Fault>) {
        let mut marks = vec![Mark::New; self.links.nodes()];
        // The number of chains on the longest path down from a node, and the path's next node.
        let mut below: Vec<(usize, Option<usize>)> = vec![(0, None); self.links.nodes()];
        let mut found = 0;
        for start in 0..self.links.nodes() {
            if marks.get(start) != Some(&Mark::New) {
                continue;
            }
            let mut stack = vec![(start, 0_usize)];
            set(&mut marks, start, Mark::Open);
            while let Some((node, next)) = stack.last_mut() {
                let (node, number, to) = (*node, *next, self.links.call(*node, *next));
                *next += 1;
                let Some(to) = to else {
                    let deepest = self.links.from(node).filter_map(|to| Some((below.get(to)?.0, to)));
                    let (depth, next) = deepest.max().map_or((0, None), |(depth, to)| (depth, Some(to)));
                    set(&mut below, node, (depth + usize::from(node < self.chains), next));
                    set(&mut marks, node, Mark::Done);
                    stack.pop();
                    continue;
                };
                match marks.get(to) {
                    Some(Mark::New) => {
                        set(&mut marks, to, Mark::Open);
                        stack.push((to, 0));
                    }
                    Some(Mark::Open) => {
                        found += 1;
                        if found > CIRCLES {
                            return;
                        }
                        let circle = stack.iter().map(|(node, _)| *node).skip_while(|node| *node != to);
                        let mut cycle = names(table, circle);
                        cycle.extend(cycle.first().cloned());
                        self.at(table, node, number).report(faults, Problem::Loop { cycle });
                    }
                    Some(Mark::Done) | None => {}
                }
            }
        }
        if found > 0 {
            return;
        }
        for (base, _) in bases(table) {
            if below.get(base).is_some_and(|(depth, _)| *depth > DEPTH) {
                let way = std::iter::successors(Some(base), |node| below.get(*node).and_then(|(_, next)| *next));
                let through = names(table, way);
                if let Some(chain) = table.view.chains.get(base) {
                    table.at.chain(chain.name).report(faults, Problem::TooDeep { through });
                }
            }
        }
    }

    /// Returns the location of a node's call with this index.
    fn at<'v>(&self, table: &Checked<'v, '_>, node: usize, number: usize) -> At<'v> {
        let mut left = number;
        let mut is_it = || {
            left = left.wrapping_sub(1);
            left == usize::MAX
        };
        let mut found = table.at;
        if let Some(chain) = table.view.chains.get(node) {
            let at = table.at.chain(chain.name);
            for (rule, statements) in chain.rules.iter().enumerate() {
                for (index, statement) in statements.statements.iter().enumerate() {
                    calls(table, statement, &mut |_| {
                        if is_it() {
                            found = at.rule(rule).statement(index, keyword(statement));
                        }
                    });
                }
            }
        } else if let Some(set) = table.view.sets.get(node.saturating_sub(self.chains)) {
            for (element, _) in elements_called(table, &set.elements) {
                if is_it() {
                    found = table.at.set(&set.name).element(element);
                }
            }
        }
        found
    }
}

/// Returns the names of the chains among the nodes.
fn names(table: &Checked<'_, '_>, nodes: impl Iterator<Item = usize>) -> Vec<Name> {
    nodes.filter_map(|node| Some(table.view.chains.get(node)?.name.clone())).collect()
}

fn set<T>(list: &mut [T], index: usize, value: T) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

fn bases(table: &Checked<'_, '_>) -> impl Iterator<Item = (usize, Places)> {
    table.view.chains.iter().enumerate().filter_map(|(index, chain)| match chain.kind {
        // What is allowed at the hooks of other families is left to the kernel.
        Some(ChainKind::Base(base)) if super::families::is_internet(table.view.family) => {
            Some((index, Places::of(base.chain_type, base.hook)))
        }
        Some(
            ChainKind::Base(_) | ChainKind::Bound | ChainKind::Device(_) | ChainKind::Opaque(_) | ChainKind::Regular,
        )
        | None => None,
    })
}

/// Passes the nodes that a chain calls to `found`.
pub(super) fn called_by(table: &Checked<'_, '_>, chain: &ChainView<'_>, found: &mut dyn FnMut(usize)) {
    for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
        calls(table, statement, found);
    }
}

/// Passes the nodes that a statement calls to `found`.
fn calls(table: &Checked<'_, '_>, statement: &Statement, found: &mut dyn FnMut(usize)) {
    match statement {
        Statement::Verdict(Verdict::Goto(name) | Verdict::Jump(name)) => {
            callee(table, name).into_iter().for_each(found);
        }
        Statement::VerdictMap { selector: _, map: SetRef::Named(name) } => {
            let set = table.sets.get(name.as_str());
            set.map(|set| table.view.chains.len() + set).into_iter().for_each(found);
        }
        Statement::VerdictMap { selector: _, map: SetRef::Anonymous(elements) } => called(table, elements, found),
        _ => {}
    }
}

/// Passes the chains that elements call to `found`.
pub(super) fn called(table: &Checked<'_, '_>, elements: &[Element], found: &mut dyn FnMut(usize)) {
    elements_called(table, elements).map(|(_, to)| to).for_each(found);
}

/// Returns the chains that elements call, with the indices of the elements.
fn elements_called<'t>(
    table: &'t Checked<'_, '_>,
    elements: &'t [Element],
) -> impl Iterator<Item = (usize, usize)> + 't {
    elements.iter().enumerate().filter_map(|(index, element)| {
        let name = element.data.as_deref().and_then(target)?;
        Some((index, callee(table, name)?))
    })
}

/// Returns the regular chain with that name. Base chains are excluded; naming one is reported as a
/// fault.
fn callee(table: &Checked<'_, '_>, name: &Name) -> Option<usize> {
    let index = *table.chains.get(name.as_str())?;
    let chain = table.view.chains.get(index)?;
    (!matches!(chain.kind, Some(ChainKind::Base(_) | ChainKind::Device(_) | ChainKind::Opaque(_)))).then_some(index)
}

pub(super) fn target(data: &ElementData) -> Option<&Name> {
    match data {
        ElementData::Object(_) | ElementData::Several(_) | ElementData::Value(_) => None,
        ElementData::Verdict(verdict) => verdict.target(),
    }
}

impl Checked<'_, '_> {
    /// Reports a verdict whose chain does not exist, or is one that only the kernel calls.
    pub(super) fn verdict(&self, at: At<'_>, verdict: &Verdict, faults: &mut Vec<Fault>) {
        let Some(name) = verdict.target() else { return };
        match self.chains.get(name.as_str()).and_then(|index| self.view.chains.get(*index)) {
            None if self.view.complete == Complete::Part => {}
            None => at.report(faults, Problem::UnknownChain { name: name.clone() }),
            Some(chain) => {
                if let Some(ChainKind::Base(_) | ChainKind::Device(_) | ChainKind::Opaque(_)) = chain.kind {
                    at.report(faults, Problem::JumpToBase { name: name.clone() });
                }
            }
        }
    }
}
