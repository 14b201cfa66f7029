//! Rules of iptables that kept traffic out of an iptables mesh and do not keep it out of ours.
//!
//! `iptables -t nat -I OUTPUT -d 10.0.0.1 -j RETURN` ends the chain before the jump to
//! `ISTIO_OUTPUT`, so matching packets were never captured. Our rules are in separate chains,
//! which see the packet earlier and regardless of that chain's verdict.

use std::collections::BTreeSet;
use std::fmt;

use super::{leftovers, powers};
use crate::bytecode::Expr;
use crate::error::Shown;
use crate::mesh::Original;
use crate::model::{ChainId, Hook, RuleHandle, Verdict};
use crate::plan::{Operation, Part, Transaction, differences};
use crate::state::{ChainState, RuleState, Snapshot, TableState};

/// A rule of iptables that ends its chain before the jump to a mesh, or in a chain without one.
///
/// Prints in one line with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overruled {
    /// Its chain.
    pub chain: ChainId,
    /// Its number in the chain, from 1.
    pub number: usize,
    /// The handle.
    pub handle: RuleHandle,
    /// The rule as nft(8) lists it.
    pub rule: String,
    /// The options of the mesh by which traffic is left out.
    pub exclusions: &'static str,
}

impl fmt::Display for Overruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overruled { chain, number, handle, rule, exclusions } = self;
        let rule = Shown(rule);
        write!(
            f,
            "rule {number} of chain {chain} (handle {handle}: {rule}) keeps traffic from an iptables mesh, but not from this one, which \
             runs in chains of its own: exclude it by an option ({exclusions}), and delete the rule"
        )
    }
}

/// Returns the rules of iptables-nft in `held` that kept traffic from an iptables mesh, except
/// those that such a mesh added.
pub(super) fn overruled(held: &Snapshot, original: &Original) -> Vec<Overruled> {
    let removed: BTreeSet<(ChainId, RuleHandle)> = leftovers::removal(held, original)
        .into_iter()
        .filter_map(|operation| match operation {
            Operation::DeleteRule { chain, handle } => Some((chain, handle)),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for table in held.tables.iter().filter(|table| original.captures_in.contains(&table.id)) {
        for chain in table.chains.iter().filter(|chain| captures_at(chain)) {
            let id = table.id.chain(&chain.name);
            let before = chain.rules.iter().position(|rule| leftovers::leads_to(original, &rule.exprs));
            for rule in chain.rules.iter().take(before.unwrap_or(chain.rules.len())) {
                if ends_the_chain(table, rule) && !removed.contains(&(id.clone(), rule.handle)) {
                    found.extend(overruled_rule(held, &id, rule.handle, original.exclusions));
                }
            }
        }
    }
    found
}

fn captures_at(chain: &ChainState) -> bool {
    let hooks = [("OUTPUT", Hook::Output), ("PREROUTING", Hook::Prerouting)];
    let hook = chain.hook.as_ref().map(|hook| hook.hook);
    hooks.iter().any(|(name, at)| chain.name == **name && hook == Some(at.number()))
}

/// Returns whether the rule ends its chain for a matching packet without doing anything else to
/// it.
fn ends_the_chain(table: &TableState, rule: &RuleState) -> bool {
    let verdicts = |exprs: &[Expr]| -> Vec<Verdict> {
        exprs.iter().flat_map(|expr| powers::verdicts(table, expr)).cloned().collect()
    };
    let mut next = verdicts(&rule.exprs);
    if next.contains(&Verdict::Return) {
        return true;
    }
    // A packet that a called chain accepts does not return.
    let mut seen = BTreeSet::new();
    while let Some(verdict) = next.pop() {
        if verdict == Verdict::Accept {
            return true;
        }
        let Some(target) = verdict.target().filter(|target| seen.insert((*target).clone())) else { continue };
        let rules = table.chain(target.as_str()).map_or(&[][..], |chain| &chain.rules);
        next.extend(rules.iter().flat_map(|rule| verdicts(&rule.exprs)));
    }
    false
}

fn overruled_rule(held: &Snapshot, chain: &ChainId, handle: RuleHandle, exclusions: &'static str) -> Option<Overruled> {
    let deletion = Transaction::new().delete_rule(chain, handle);
    let difference = differences(&deletion, held).into_iter().next()?;
    let Part::Rule { number: Some(number), .. } = difference.part else { return None };
    Some(Overruled { chain: chain.clone(), number, handle, rule: difference.held?, exclusions })
}
