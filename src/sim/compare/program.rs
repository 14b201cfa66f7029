//! Questions that a comparison asks of rule sets as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use super::reach::called;
use crate::bytecode::{CtKey, Expr};
use crate::model::{ChainId, Hook, IpFamily};
use crate::sim::line_up::{ChainAt, Stage};
use crate::sim::rules::{ChainCode, Op, RuleLine, Rules, TableCode};
use crate::sim::sets::SetIndex;
use crate::xt::Question;

impl Rules {
    /// Returns whether nothing is hooked here.
    pub(super) fn is_idle(&self, hook: Hook, family: IpFamily) -> bool {
        self.line_up(hook, family).stages.iter().flat_map(Stage::parts).all(|stage| match stage {
            Stage::Chain(_) | Stage::Foreign(_) | Stage::Unordered(_) => false,
            Stage::Track => true,
            Stage::Translate(nat) => nat.chains.is_empty() && nat.foreign.is_none(),
        })
    }

    /// Returns whether something after the translation could read what it changed.
    pub(super) fn reads_after_nat(&self, hook: Hook, family: IpFamily) -> bool {
        let stages = &self.line_up(hook, family).stages;
        let translates = |stage: &Stage| stage.parts().iter().any(|part| matches!(part, Stage::Translate(_)));
        // Where the order is not known, the chain may come after.
        let Some(at) = stages.iter().position(translates) else { return false };
        stages.iter().skip(at).flat_map(Stage::parts).any(|stage| matches!(stage, Stage::Chain(_)))
    }

    /// Returns whether a rule may exclude packets from tracking, itself or by an unknown extension.
    pub(super) fn may_exclude(&self) -> bool {
        let is_it = |expr: &Expr| matches!(expr, Expr::Notrack | Expr::Opaque { name: _, data: _, set: _ });
        let mut rules = self.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        rules.any(|rule| rule.ops.iter().any(|op| op.any(&is_it)))
    }

    /// Returns the rule whose limit is at this address.
    pub(super) fn limited(&self, code: usize) -> Option<&Arc<RuleLine>> {
        let mut rules = self.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let is_it = |op: &Op| matches!(op, Op::Expr(Expr::Limit(limit)) if std::ptr::from_ref(limit).addr() == code);
        rules.find(|rule| rule.ops.iter().any(is_it)).map(|rule| &rule.line)
    }

    /// Returns the first rule that asks this.
    pub(super) fn asking(&self, question: &Question) -> Option<&Arc<RuleLine>> {
        let mut rules = self.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        rules.find(|rule| rule.ops.iter().any(|op| op.asks(question))).map(|rule| &rule.line)
    }

    /// Returns whether both have the same chains with the same programs in the same order, so that
    /// they do the same with every packet.
    pub(super) fn is_same_program(&self, other: &Rules, hook: Hook, family: IpFamily) -> bool {
        let (ours, theirs) = (self.line_up(hook, family), other.line_up(hook, family));
        let mut same = Same::default();
        let mut is_same = |ours: &ChainAt, theirs: &ChainAt| match (self.chain_at(*ours), other.chain_at(*theirs)) {
            (Some((table, chain, base)), Some((other_table, other, other_base))) => {
                base == other_base && same.chain(chain, other) && same.table(table, other_table)
            }
            _ => false,
        };
        let mut all_same = |ours: &[ChainAt], theirs: &[ChainAt]| {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        };
        ours.tracks == theirs.tracks
            && ours.is_certain()
            && theirs.is_certain()
            && ours.stages.len() == theirs.stages.len()
            && ours.stages.iter().zip(&theirs.stages).all(|stages| match stages {
                (Stage::Chain(ours), Stage::Chain(theirs)) => {
                    all_same(std::slice::from_ref(ours), std::slice::from_ref(theirs))
                }
                (Stage::Track, Stage::Track) => true,
                (Stage::Translate(ours), Stage::Translate(theirs)) => all_same(&ours.chains, &theirs.chains),
                _ => false,
            })
    }
}

impl Rules {
    /// Returns whether the same programs follow in the same order after a base chain of each side.
    pub(super) fn is_same_after(
        &self,
        chain: &ChainId,
        other: &Rules,
        other_chain: &ChainId,
        hook: Hook,
        family: IpFamily,
    ) -> bool {
        let (ours, theirs) = (self.after(chain, hook, family), other.after(other_chain, hook, family));
        let mut same = Same::default();
        let are_certain = [self, other].iter().all(|rules| rules.line_up(hook, family).is_certain());
        are_certain
            && ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|((kind, ours), (other_kind, theirs))| {
                kind == other_kind
                    && match (ours.and_then(|at| self.chain_at(at)), theirs.and_then(|at| other.chain_at(at))) {
                        (Some((table, chain, base)), Some((other_table, other, other_base))) => {
                            base == other_base && same.chain(chain, other) && same.table(table, other_table)
                        }
                        (None, None) => true,
                        _ => false,
                    }
            })
    }

    fn after(&self, chain: &ChainId, hook: Hook, family: IpFamily) -> Vec<(Passing, Option<ChainAt>)> {
        let mut parts = Vec::new();
        for stage in self.line_up(hook, family).stages.iter().flat_map(Stage::parts) {
            match stage {
                Stage::Foreign(_) | Stage::Unordered(_) => {}
                Stage::Chain(at) => parts.push((Passing::Chain, Some(*at))),
                Stage::Track => parts.push((Passing::Track, None)),
                Stage::Translate(nat) => {
                    parts.extend(nat.chains.iter().map(|at| (Passing::Nat, Some(*at))));
                    parts.push((Passing::Translate, None));
                }
            }
        }
        let is_it = |at: ChainAt| self.chain_at(at).is_some_and(|(_, known, _)| *known.id == *chain);
        let found = parts.iter().position(|(_, at)| at.is_some_and(is_it));
        parts.split_off(found.map_or(0, |found| found + 1))
    }

    /// Returns whether a rule may set a packet's zone after tracking: then the packet belongs to no
    /// connection from there on.
    pub(super) fn gives_late_zones(&self, family: IpFamily) -> bool {
        Hook::ALL.into_iter().any(|hook| {
            let stages = &self.line_up(hook, family).stages;
            let tracks = |stage: &Stage| stage.parts().iter().any(|part| matches!(part, Stage::Track));
            let tracked = stages.iter().position(tracks).unwrap_or(0);
            stages.iter().skip(tracked).flat_map(Stage::parts).any(|stage| match stage {
                Stage::Chain(at) => self.gives_zones(*at),
                Stage::Foreign(_) | Stage::Track | Stage::Unordered(_) => false,
                Stage::Translate(nat) => nat.chains.iter().any(|at| self.gives_zones(*at)),
            })
        })
    }

    /// Returns whether this chain, or one that it may call, sets zones.
    fn gives_zones(&self, at: ChainAt) -> bool {
        let is_it = |expr: &Expr| matches!(expr, Expr::CtSet { key: CtKey::ZONE, sreg: _ });
        let chains = called(self, &[Stage::Chain(at)]).into_iter();
        let rules = chains.filter_map(|at| self.chain_at(at)).flat_map(|(_, chain, _)| &chain.rules);
        rules.flat_map(|rule| rule.ops.iter()).any(|op| op.any(&is_it))
    }
}

/// A part of a line-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passing {
    Chain,
    Nat,
    Track,
    Translate,
}

/// Compares programs. What several rules or chains use is compared once.
#[derive(Default)]
struct Same {
    sets: HashMap<[*const SetIndex; 2], bool>,
    tables: HashMap<[*const TableCode; 2], bool>,
}

impl Same {
    /// Returns whether the chains that a base chain may call are the same.
    fn table(&mut self, a: &TableCode, b: &TableCode) -> bool {
        let key = [a, b].map(std::ptr::from_ref);
        if let Some(known) = self.tables.get(&key) {
            return *known;
        }
        let called = |table: &TableCode| table.chains.iter().filter(|chain| chain.base.is_none()).count();
        let is_same = called(a) == called(b)
            && a.chains.iter().filter(|chain| chain.base.is_none()).all(|chain| {
                b.chain(&chain.id.name).is_some_and(|other| other.base.is_none() && self.chain(chain, other))
            });
        self.tables.insert(key, is_same);
        is_same
    }

    fn chain(&mut self, a: &ChainCode, b: &ChainCode) -> bool {
        a.unlisted == 0
            && b.unlisted == 0
            && a.rules.len() == b.rules.len()
            && a.rules
                .iter()
                .zip(&b.rules)
                .all(|(a, b)| a.ops.len() == b.ops.len() && a.ops.iter().zip(b.ops.iter()).all(|(a, b)| self.op(a, b)))
    }

    fn op(&mut self, a: &Op, b: &Op) -> bool {
        match (a, b) {
            (
                Op::Lookup { sreg, dreg, inverted, set: Some(set) },
                Op::Lookup { sreg: other_sreg, dreg: other_dreg, inverted: other_inverted, set: Some(other) },
            ) => {
                (sreg, dreg, inverted) == (other_sreg, other_dreg, other_inverted)
                    && (Arc::ptr_eq(set, other)
                        || *self.sets.entry([set, other].map(Arc::as_ptr)).or_insert_with(|| set == other))
            }
            _ => a == b,
        }
    }
}
