//! Checks whether rules that remember earlier packets have the same memory on both sides.
//!
//! If both sides have the same programs, they do the same with a packet as long as their memories
//! are the same. The memories are the same if the same packets reached them, at every hook and in
//! every part of the packets. So where the programs differ, no packet may reach a memory that is
//! used elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::certain::Last;
use super::explorer::Side;
use super::reach::{called, chain_of};
use crate::model::{Base, ChainId, Hook, IpFamily, TableId};
use crate::sim::flow::Flow;
use crate::sim::hook::Listener;
use crate::sim::inputs::CannotTell;
use crate::sim::line_up::{ChainAt, Stage};
use crate::sim::machine::Ran;
use crate::sim::rules::{Op, RuleCode, RuleLine, Rules};

/// A place where something is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Cell {
    /// A rule, by the address of its line.
    Rule(usize),
    /// Something that the rules of a table share.
    Table(TableId),
}

/// The place of a rule: its chain, and its index there.
type RuleAt = (ChainAt, usize);

/// What was found at some hooks.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Memories that are considered the same, from one side to the other and back.
    pairs: [HashMap<Cell, Cell>; 2],
    /// Memories reached where the programs differ, by side.
    met: [HashSet<Cell>; 2],
    doubt: Option<CannotTell>,
}

impl Memory {
    /// Pairs the memories of a hook where both sides have the same programs.
    pub(super) fn pair(&mut self, a: &Rules, b: &Rules, hook: Hook, family: IpFamily) {
        let [ours, theirs] = [a, b].map(|rules| stages(rules, hook, family));
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let theirs: Vec<_> = remembering(b, &theirs).collect();
            let mut others = theirs.iter();
            for (cell, rule) in remembering(a, &ours) {
                let one = others.next().is_some_and(|(other, _)| self.is_pair(cell, other.clone()));
                if !one {
                    self.doubt.get_or_insert_with(|| doubt(&rule.line));
                }
            }
        }
    }

    /// Pairs the memories of a rule of each side, if they have any.
    pub(super) fn pair_rules(&mut self, (a, of_a): (&Rules, RuleAt), (b, of_b): (&Rules, RuleAt)) {
        let rule = |rules, (at, number): RuleAt| chain_of(rules, at)?.rules.get(number);
        let Some(ours) = rule(a, of_a).filter(|rule| rule.ops.iter().any(Op::remembers)) else { return };
        let Some(theirs) = rule(b, of_b) else { return };
        let [ours, theirs] = [(a, of_a, ours), (b, of_b, theirs)].map(|(rules, (at, _), rule)| {
            rules.tables.get(at.0).map(|table| cells(&table.id, rule)).into_iter().flatten().collect::<Vec<_>>()
        });
        let same =
            ours.len() == theirs.len() && ours.into_iter().zip(theirs).all(|(ours, theirs)| self.is_pair(ours, theirs));
        if !same {
            self.doubt.get_or_insert_with(|| CannotTell::new(WHAT));
        }
    }

    /// Records a pair; returns whether both had no other partner.
    fn is_pair(&mut self, cell: Cell, other: Cell) -> bool {
        let [there, back] = &mut self.pairs;
        *there.entry(cell.clone()).or_insert_with(|| other.clone()) == other
            && *back.entry(other).or_insert_with(|| cell.clone()) == cell
    }

    /// Records that a rule ran where the programs differ, up to the expression where it ended.
    fn meet(&mut self, side: Side, known: &Remembering, line: &Arc<RuleLine>, ran: &Ran) {
        let Some((first, cells)) = known.0.get(&address(line)) else { return };
        if matches!(ran, Ran::Broke { at } if at < first) {
            return;
        }
        let [a, b] = &mut self.met;
        let met = if side == Side::A { a } else { b };
        met.extend(cells.iter().cloned());
    }

    /// Adds what was found elsewhere.
    pub(super) fn add(&mut self, other: Memory) {
        let Memory { pairs, met, doubt } = other;
        for (side, pairs) in pairs.into_iter().enumerate() {
            for (cell, other) in pairs {
                let is_one = self
                    .pairs
                    .get_mut(side)
                    .is_none_or(|known| *known.entry(cell).or_insert_with(|| other.clone()) == other);
                if !is_one {
                    self.doubt.get_or_insert_with(|| CannotTell::new(WHAT));
                }
            }
        }
        self.met.iter_mut().zip(met).for_each(|(known, met)| known.extend(met));
        self.doubt = self.doubt.take().or(doubt);
    }

    /// Returns why memories considered the same may differ.
    pub(super) fn doubt(self) -> Option<CannotTell> {
        let is_met =
            |(pairs, met): (&HashMap<Cell, Cell>, &HashSet<Cell>)| met.iter().any(|cell| pairs.contains_key(cell));
        let is_met = self.pairs.iter().zip(&self.met).any(is_met);
        self.doubt.or_else(|| is_met.then(|| CannotTell::new(WHAT)))
    }
}

/// The rules of a hook that remember something: the first expression that does, and the places.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembering(HashMap<usize, (usize, Vec<Cell>)>);

impl Remembering {
    pub(super) fn of(rules: &Rules, hook: Hook, family: IpFamily) -> Self {
        let mut all = Remembering::default();
        for (cell, rule) in remembering(rules, &rules.line_up(hook, family).stages) {
            let first = rule.ops.iter().position(Op::remembers).unwrap_or_default();
            all.0.entry(address(&rule.line)).or_insert((first, Vec::new())).1.push(cell);
        }
        all
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

/// Records which remembering rules ran.
pub(super) struct Heard<'a> {
    pub(super) last: Last,
    pub(super) side: Side,
    pub(super) known: &'a Remembering,
    pub(super) memory: Memory,
    /// The number of rules that ran.
    pub(super) rules: u64,
}

impl Listener for Heard<'_> {
    fn chain(&mut self, chain: &Arc<ChainId>, base: &Base, flow: &Flow) {
        self.last.chain(chain, base, flow);
    }

    fn rule(&mut self, rule: &Arc<RuleLine>, ran: &Ran, _: &Flow) {
        self.rules += 1;
        self.memory.meet(self.side, self.known, rule, ran);
    }
}

/// Returns the base chains of a hook, each by itself.
fn stages(rules: &Rules, hook: Hook, family: IpFamily) -> Vec<Vec<Stage>> {
    let of = |stage: &Stage| match stage {
        Stage::Chain(at) => vec![*at],
        Stage::Translate(nat) => nat.chains.clone(),
        Stage::Foreign(_) | Stage::Track | Stage::Unordered(_) => Vec::new(),
    };
    let parts = rules.line_up(hook, family).stages.iter().flat_map(Stage::parts);
    parts.flat_map(of).map(|at: ChainAt| vec![Stage::Chain(at)]).collect()
}

/// Returns the remembering rules that can be reached from here.
fn remembering<'r>(rules: &'r Rules, stages: &[Stage]) -> impl Iterator<Item = (Cell, &'r RuleCode)> + use<'r> {
    let chains = called(rules, stages).into_iter();
    let chains = chains.filter_map(|(table, chain)| {
        let table = rules.tables.get(table)?;
        Some((&table.id, table.chains.get(chain)?))
    });
    let all = chains.flat_map(|(table, chain)| chain.rules.iter().map(move |rule| (table, rule)));
    all.filter(|(_, rule)| rule.ops.iter().any(Op::remembers))
        .flat_map(|(table, rule)| cells(table, rule).map(move |cell| (cell, rule)))
}

/// Returns the places where a rule that remembers something does so.
fn cells<'r>(table: &TableId, rule: &'r RuleCode) -> impl Iterator<Item = Cell> + use<'r> {
    let shared = rule.ops.iter().any(Op::shares).then(|| Cell::Table(table.clone()));
    std::iter::once(Cell::Rule(address(&rule.line))).chain(shared)
}

fn address(line: &Arc<RuleLine>) -> usize {
    Arc::as_ptr(line).addr()
}

fn doubt(line: &Arc<RuleLine>) -> CannotTell {
    CannotTell::new(WHAT).at(line)
}

const WHAT: &str = "whether what rules remember is the same: other packets come to it on one side than on the other";
