//! Where verdicts lead: uses of chains, loops, and what may run at which hook.

use std::collections::{HashMap, HashSet};

use super::chains::NFT_CHAIN_BINDING;
use super::machine::Batch;
use super::stop::{Spot, Stop};
use crate::bytecode::{ElementCode, ElementDataCode, Expr, LookupSet};
use crate::model::{Name, RuleHandle, TableHandle, Verdict};
use crate::netlink::MessagePart;
use crate::plan::{Operation, State};
use crate::state::{RuleState, TableState};
use crate::validate::{Fault, Problem};

impl Batch<'_> {
    /// Whether every chain that is hooked can be walked, in the tables in which something came.
    pub(super) fn is_valid(&self) -> bool {
        self.fault().is_none()
    }

    /// The refusal of an operation in a table that cannot be walked: rules and elements that come
    /// are.
    pub(super) fn invalid(&self, operation: &Operation) -> Option<Stop> {
        let elements = MessagePart::Elements { first: 0 };
        let part = match operation {
            Operation::AddRule { .. } | Operation::ReplaceRule { .. } => MessagePart::Itself,
            Operation::AddElements { set, .. } | Operation::AddSet { set, .. } if !set.elements.is_empty() => elements,
            Operation::Restore { state, .. } => match &**state {
                State::Rule { .. } => MessagePart::Itself,
                State::Set(set) if !set.elements.is_empty() => elements,
                _ => return None,
            },
            _ => return None,
        };
        let table = self.checked().find(|table| Some(&table.id) == operation.table())?;
        let errno = self.fault_of(table)?;
        Some(Stop::Refused { part, spot: Spot::Whole, errno })
    }

    fn fault(&self) -> Option<i32> {
        self.checked().find_map(|table| self.fault_of(table))
    }

    fn checked(&self) -> impl Iterator<Item = &TableState> {
        let is_checked = |table: &&TableState| table.handle <= self.known_until && self.touched.contains(&table.handle);
        self.held.tables.iter().filter(is_checked)
    }

    fn fault_of(&self, table: &TableState) -> Option<i32> {
        let mut leads: HashMap<&Name, Vec<&Name>> = HashMap::new();
        for chain in &table.chains {
            let live = chain.rules.iter().filter(|rule| !self.gone.contains(&(table.handle, rule.handle)));
            leads.insert(&chain.name, live.flat_map(|rule| rule_leads(table, rule)).collect());
        }
        let hooked = table.chains.iter().filter(|chain| chain.hook.is_some());
        let mut depths = HashMap::new();
        for chain in hooked {
            if !fits(&chain.name, &leads, 0, &mut depths) {
                return Some(libc::EMLINK);
            }
        }
        let mut one = table.clone();
        for chain in &mut one.chains {
            chain.rules.retain(|rule| !self.gone.contains(&(table.handle, rule.handle)));
        }
        let misplaced = |fault: &Fault| matches!(fault.problem, Problem::TargetNotAllowed { .. });
        one.refused().iter().any(misplaced).then_some(libc::EOPNOTSUPP)
    }
}

/// Whether no way from this chain, so many jumps from its hook, is longer than the kernel's stack.
fn fits<'n>(
    chain: &'n Name,
    leads: &HashMap<&'n Name, Vec<&'n Name>>,
    depth: usize,
    depths: &mut HashMap<&'n Name, usize>,
) -> bool {
    if depth >= NFT_JUMP_STACK_SIZE {
        return false;
    }
    // A longer way to this chain has seen all that follows.
    if depths.get(chain).is_some_and(|seen| *seen >= depth) {
        return true;
    }
    let next = leads.get(chain).map(Vec::as_slice).unwrap_or_default();
    let all = next.iter().all(|next| fits(next, leads, depth + 1, depths));
    depths.insert(chain, depth);
    all
}

fn rule_leads<'t>(table: &'t TableState, rule: &'t RuleState) -> impl Iterator<Item = &'t Name> {
    rule.exprs.iter().flat_map(move |expr| {
        let (verdict, elements): (Option<&Verdict>, &[ElementCode]) = match expr {
            Expr::Verdict(verdict) => (Some(verdict), &[]),
            Expr::Lookup { set: LookupSet::Named(name), .. } => {
                (None, table.set(name.as_str()).map(|set| set.elements.as_slice()).unwrap_or_default())
            }
            Expr::Lookup { set: LookupSet::Anonymous(set), .. } => (None, set.elements.as_slice()),
            _ => (None, &[]),
        };
        verdict.and_then(Verdict::target).into_iter().chain(elements.iter().filter_map(element_target))
    })
}

/// The chains that live rules and elements lead to, once for each.
pub(super) fn targets<'t>(
    table: &'t TableState,
    gone: &'t HashSet<(TableHandle, RuleHandle)>,
) -> impl Iterator<Item = &'t Name> {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    let live = rules.filter(move |rule| !gone.contains(&(table.handle, rule.handle)));
    let of_rules = live.flat_map(|rule| &rule.exprs).flat_map(|expr| {
        let elements = expr.anonymous_set().map(|set| set.elements.as_slice()).unwrap_or_default();
        target(expr).into_iter().chain(elements.iter().filter_map(element_target))
    });
    of_rules.chain(table.sets.iter().flat_map(|set| &set.elements).filter_map(element_target))
}

pub(super) fn target(expr: &Expr) -> Option<&Name> {
    match expr {
        Expr::Verdict(verdict) => verdict.target(),
        _ => None,
    }
}

pub(super) fn element_target(code: &ElementCode) -> Option<&Name> {
    match code.data.as_deref() {
        Some(ElementDataCode::Verdict(verdict)) => verdict.target(),
        Some(ElementDataCode::Value(_)) | None => None,
    }
}

/// Says of a table and its chains how often they are used, as the kernel counts.
pub(super) fn count_uses(table: &mut TableState) {
    let none = HashSet::new();
    let mut led_to: HashMap<Name, u32> = HashMap::new();
    for name in targets(table, &none) {
        *led_to.entry(name.clone()).or_default() += 1;
    }
    // Anonymous sets do not count once they are committed.
    let inside = table.chains.len() + table.sets.len() + table.objects.len();
    table.uses = u32::try_from(inside).unwrap_or(u32::MAX);
    for chain in &mut table.chains {
        let rules = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX);
        let again = u32::from(chain.flags & NFT_CHAIN_BINDING != 0);
        chain.uses = rules + led_to.get(&chain.name).copied().unwrap_or_default() + again;
    }
}

/// include/net/netfilter/nf_tables.h
const NFT_JUMP_STACK_SIZE: usize = 16;
