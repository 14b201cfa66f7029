//! Chains that are bound to one rule are added right before it: the kernel lets them be filled
//! until a rule jumps to them, and does not accept such a chain without a rule.

use std::collections::HashMap;

use super::operation::Operation;
use crate::bytecode::Expr;
use crate::model::{Chain, ChainKind, Name, Position, Rule, Statement, TableId};

/// Returns these operations on rules of a table, each preceded by the chains bound to its rule.
pub(crate) fn with_chains(operations: Vec<Operation>, id: &TableId, chains: &[Chain]) -> Vec<Operation> {
    let bound: HashMap<&Name, &Chain> =
        chains.iter().filter(|chain| chain.kind == ChainKind::Bound).map(|chain| (&chain.name, chain)).collect();
    if bound.is_empty() {
        return operations;
    }
    let mut all = Vec::with_capacity(operations.len());
    for operation in operations {
        if let Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. } = &operation {
            make(rule, id, &bound, &mut all, DEPTH);
        }
        all.push(operation);
    }
    all
}

fn make(rule: &Rule, id: &TableId, bound: &HashMap<&Name, &Chain>, all: &mut Vec<Operation>, depth: usize) {
    let chains: Vec<&Chain> = targets(rule).filter_map(|name| bound.get(name).copied()).collect();
    for chain in chains.into_iter().filter(|_| depth > 0) {
        all.push(Operation::add_chain(id, chain));
        for rule in &chain.rules {
            make(rule, id, bound, all, depth - 1);
            let (chain, position) = (id.chain(&chain.name), Position::Last);
            all.push(Operation::AddRule { chain, position, rule: rule.clone() });
        }
    }
}

/// Returns the targets of a rule's verdicts.
fn targets(rule: &Rule) -> impl Iterator<Item = &Name> {
    rule.statements.iter().flat_map(|statement| {
        let (known, read) = match statement {
            Statement::Verdict(verdict) => (verdict.target(), None),
            Statement::Opaque(opaque) => (None, opaque.code::<Vec<Expr>>()),
            _ => (None, None),
        };
        let read = read.into_iter().flatten().filter_map(|expr| match expr {
            Expr::Verdict(verdict) => verdict.target(),
            _ => None,
        });
        known.into_iter().chain(read)
    })
}

/// Deeper than the kernel follows jumps; it refuses deeper nesting, or a cycle.
const DEPTH: usize = 20;
