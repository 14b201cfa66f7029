//! Chains that are bound to one rule (`jump { ... }`) have no meaningful name; their contents are
//! compared instead.
//!
//! Chains with the same rules get the same sign, on both sides; programs that jump to a sign are
//! equal when they jump to equal chains.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::bytecode::{Expr, Modes, Unlowerable, lower, same_programs, userdata_comment};
use crate::model::{Chain, ChainKind, Name, Table, Verdict};
use crate::state::{ChainState, RuleState, TableState};

/// The sign of every bound chain, by its name.
#[derive(Debug, Default)]
pub(super) struct Bound {
    held: HashMap<Name, Name>,
    wanted: HashMap<Name, Name>,
}

/// Programs and comments of the rules of a chain.
type Content = Vec<(Vec<Expr>, Option<String>)>;

impl Bound {
    pub(super) fn between(state: &TableState, table: &Table, sets: &Modes<'_>) -> Result<Self, Unlowerable> {
        let mut signs = Signs::default();
        let mut held: HashMap<&Name, Content> = HashMap::new();
        for ChainState { name, rules, .. } in state.chains.iter().filter(|chain| is_bound(chain)) {
            let content = |rule: &RuleState| (rule.exprs.clone(), userdata_comment(&rule.userdata));
            held.insert(name, rules.iter().map(content).collect());
        }
        let mut wanted: HashMap<&Name, Content> = HashMap::new();
        for Chain { name, rules, .. } in table.chains.iter().filter(|chain| chain.kind == ChainKind::Bound) {
            let mut content = Content::with_capacity(rules.len());
            for rule in rules {
                content.push((lower(rule, table.family, sets)?.exprs, rule.comment.as_deref().map(str::to_owned)));
            }
            wanted.insert(name, content);
        }
        Ok(Bound { held: signs.of(held), wanted: signs.of(wanted) })
    }

    /// Returns the rules with signs instead of names.
    pub(super) fn held<'s>(&self, rules: &'s [RuleState]) -> Cow<'s, [RuleState]> {
        if self.held.is_empty() || !rules.iter().flat_map(|rule| &rule.exprs).any(|expr| jumps(expr, &self.held)) {
            return Cow::Borrowed(rules);
        }
        let mut signed = rules.to_vec();
        signed.iter_mut().for_each(|rule| sign(&mut rule.exprs, &self.held));
        Cow::Owned(signed)
    }

    /// Replaces names by signs in the program of a wanted rule.
    pub(super) fn wanted(&self, exprs: &mut [Expr]) {
        sign(exprs, &self.wanted);
    }
}

/// Returns whether a chain of the kernel is bound to a rule.
pub(super) fn is_bound(chain: &ChainState) -> bool {
    chain.flags & NFT_CHAIN_BINDING != 0
}

/// The contents that have a sign, in the order of their signs.
#[derive(Default)]
struct Signs(Vec<Content>);

impl Signs {
    /// Assigns signs, innermost chains first: each is compared once the chains it jumps to have
    /// their signs.
    fn of(&mut self, mut chains: HashMap<&Name, Content>) -> HashMap<Name, Name> {
        let mut signs = HashMap::new();
        while !chains.is_empty() {
            let inner =
                |content: &Content| content.iter().flat_map(|(exprs, _)| exprs).all(|expr| !jumps(expr, &chains));
            let mut ready: Vec<&Name> =
                chains.iter().filter(|(_, content)| inner(content)).map(|(name, _)| *name).collect();
            if ready.is_empty() {
                // No kernel holds chains that jump in a cycle; a rule set may.
                return signs;
            }
            ready.sort();
            for name in ready {
                let Some(mut content) = chains.remove(name) else { continue };
                content.iter_mut().for_each(|(exprs, _)| sign(exprs, &signs));
                signs.insert(name.clone(), self.sign(content));
            }
        }
        signs
    }

    fn sign(&mut self, content: Content) -> Name {
        let same = |other: &Content| {
            other.len() == content.len()
                && other.iter().zip(&content).all(|(a, b)| same_programs(&a.0, &b.0) && a.1 == b.1)
        };
        let number = self.0.iter().position(same).unwrap_or(self.0.len());
        if number == self.0.len() {
            self.0.push(content);
        }
        // nft(8) cannot create a chain name with braces.
        Name::from(format!("{{{number}}}"))
    }
}

fn jumps<V>(expr: &Expr, to: &HashMap<impl std::borrow::Borrow<Name> + Eq + std::hash::Hash, V>) -> bool {
    match expr {
        Expr::Verdict(verdict) => verdict.target().is_some_and(|target| to.contains_key(target)),
        _ => false,
    }
}

fn sign(exprs: &mut [Expr], signs: &HashMap<Name, Name>) {
    for expr in exprs {
        if let Expr::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) = expr {
            if let Some(sign) = signs.get(&*name) {
                *name = sign.clone();
            }
        }
    }
}

const NFT_CHAIN_BINDING: u32 = 0x4;
