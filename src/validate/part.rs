//! Checks a table again after parts of it have changed.
//!
//! A fault of a rule depends on the rule, on the sets and chains that it names, and on the places
//! from which the kernel reaches its chain. So only the calls of unchanged chains are needed, which
//! are kept as numbers: loops, depth and places are computed again for the whole table, but names
//! are looked up only for the changed parts. If a fault is found, or an unchanged chain is reached
//! from other places than before, the whole table is checked from scratch.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::graph::{called, called_by, target};
use super::links::Links;
use super::location::At;
use super::place::Places;
use super::{ChainView, Checked, Fault, Scope, TableView};
use crate::model::{Element, Name, SetRef, Statement, Table};

/// The result of validating a table.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// In the order of the table.
    pub(crate) faults: Vec<Fault>,
    pub(crate) calls: Calls,
}

/// How the chains of a table call each other.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(super) links: Links,
    /// For every chain, the places from which the kernel reaches it.
    pub(super) reached: Vec<Places>,
}

/// How a table corresponds to the one checked before.
#[derive(Debug)]
pub(crate) struct Stayed {
    /// For every chain and set of the new table.
    pub(crate) chains: Vec<Was>,
    pub(crate) sets: Vec<Was>,
    /// The number of chains that the old table had.
    pub(crate) chains_before: usize,
}

/// How a chain or set corresponds to the old table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Was {
    /// The index of the old one of that name.
    pub(crate) number: Option<usize>,
    /// Whether it and everything it names are unchanged.
    pub(crate) is_same: bool,
}

impl Judgement {
    /// Checks a whole table.
    pub(crate) fn of(table: &Table) -> Self {
        let mut faults = Vec::new();
        let view = TableView::whole(table);
        let checked = Checked::new(&view);
        let calls = checked.check(Links::named(&checked), &super::Everything, &mut faults);
        Judgement { faults, calls }
    }

    /// Checks a table that had no faults, not even odd ones, when it was checked before.
    pub(crate) fn again(table: &Table, before: &Calls, stayed: &Stayed) -> Self {
        Judgement::of_part(table, before, stayed).unwrap_or_else(|| Judgement::of(table))
    }

    fn of_part(table: &Table, before: &Calls, stayed: &Stayed) -> Option<Self> {
        let view = TableView::part(table, stayed);
        let checked = Checked::of_part(&view, stayed)?;
        let mut faults = Vec::new();
        let calls = checked.check(before.links.moved(&checked, stayed)?, stayed, &mut faults);
        let is_reached_as_before = |(reached, was): (&Places, &Was)| {
            !was.is_same || was.number.and_then(|was| before.reached.get(was)) == Some(reached)
        };
        let is_as_before = calls.reached.iter().zip(&stayed.chains).all(is_reached_as_before);
        (faults.is_empty() && is_as_before).then_some(Judgement { faults, calls })
    }
}

impl<'a> TableView<'a> {
    /// Returns a view of the table without the rules of unchanged chains.
    fn part(table: &'a Table, stayed: &Stayed) -> Self {
        let chains = table.chains.iter().enumerate().map(|(index, chain)| {
            let rules = if is_new(&stayed.chains, index) { chain.rules.iter().collect() } else { Vec::new() };
            ChainView { rules, ..ChainView::of(chain) }
        });
        TableView::of(table, chains)
    }
}

impl<'v, 'a> Checked<'v, 'a> {
    /// Indexes only the names of changed parts and the names they use. `None` if any of them occurs
    /// twice.
    fn of_part(view: &'v TableView<'a>, stayed: &Stayed) -> Option<Self> {
        let new_chains = view.chains.iter().enumerate().filter(|(index, _)| is_new(&stayed.chains, *index));
        let new_sets = view.sets.iter().enumerate().filter(|(index, _)| is_new(&stayed.sets, *index));
        let (mut chains, mut sets) = (HashSet::new(), HashSet::new());
        for (_, chain) in new_chains {
            chains.insert(chain.name.as_str());
            for statement in chain.rules.iter().flat_map(|rule| &rule.statements) {
                if let Statement::Verdict(verdict) = statement {
                    chains.extend(verdict.target().map(Name::as_str));
                }
                for set in statement.sets() {
                    match set {
                        SetRef::Anonymous(elements) => chains.extend(targets(elements)),
                        SetRef::Named(name) => drop(sets.insert(name.as_str())),
                    }
                }
            }
        }
        for (_, set) in new_sets {
            sets.insert(set.name.as_str());
            chains.extend(targets(&set.elements));
        }
        let chains = numbered(view.chains.iter().map(|chain| chain.name), &chains)?;
        let sets = numbered(view.sets.iter().map(|set| &set.name), &sets)?;
        Some(Checked {
            view,
            at: At::table(view.family, view.name),
            chains,
            sets,
            are_unique: true,
            meters: RefCell::default(),
        })
    }
}

/// Returns the indices of these names; `None` if one occurs twice.
fn numbered<'a>(all: impl Iterator<Item = &'a Name>, wanted: &HashSet<&str>) -> Option<HashMap<&'a str, usize>> {
    let mut found = HashMap::with_capacity(wanted.len());
    for (number, name) in all.map(Name::as_str).enumerate().filter(|(_, name)| wanted.contains(name)) {
        if found.insert(name, number).is_some() {
            return None;
        }
    }
    Some(found)
}

fn targets(elements: &[Element]) -> impl Iterator<Item = &str> {
    elements.iter().filter_map(|element| element.data.as_deref().and_then(target)).map(Name::as_str)
}

impl Scope for Stayed {
    fn chain(&self, index: usize) -> bool {
        is_new(&self.chains, index)
    }

    fn set(&self, index: usize) -> bool {
        is_new(&self.sets, index)
    }
}

fn is_new(stayed: &[Was], index: usize) -> bool {
    stayed.get(index).is_none_or(|was| !was.is_same)
}

impl Links {
    /// Returns the calls of unchanged parts with their new indices, and those of changed parts by
    /// name. `None` if an unchanged part calls one that is gone.
    fn moved(&self, table: &Checked<'_, '_>, stayed: &Stayed) -> Option<Links> {
        let Stayed { chains, sets, chains_before } = stayed;
        let view = table.view;
        let sets = sets.iter().map(|was| Was { number: was.number.map(|set| chains_before + set), ..*was });
        let nodes: Vec<Was> = chains.iter().copied().chain(sets).collect();
        let mut now = vec![None; self.nodes()];
        for (index, was) in nodes.iter().enumerate() {
            if let Some(now) = was.number.and_then(|was| now.get_mut(was)) {
                *now = Some(index);
            }
        }
        let mut links = Links::of_nodes(nodes.len(), self.calls());
        let mut is_lost = false;
        for (index, was) in nodes.iter().enumerate() {
            links.node(|add| match (was.number.filter(|_| was.is_same), view.chains.get(index)) {
                (Some(was), _) => self.from(was).for_each(|to| match now.get(to).copied().flatten() {
                    Some(to) => add(to),
                    None => is_lost = true,
                }),
                (None, Some(chain)) => called_by(table, chain, add),
                (None, None) => {
                    let set = view.sets.get(index - view.chains.len());
                    called(table, set.map_or(&[], |set| set.elements.as_slice()), add);
                }
            });
        }
        (!is_lost).then_some(links)
    }
}
