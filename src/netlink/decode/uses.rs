//! Checks that every use of a chain is explained by its rules and by the verdicts that lead to it.

use std::collections::HashMap;

use crate::bytecode::{ElementDataCode, Expr};
use crate::model::Name;
use crate::state::TableState;

/// Counts for every chain the uses that nothing explains. Anonymous sets are not in their rules
/// yet.
pub(super) fn count_unlisted(table: &mut TableState) {
    let verdict_maps = table.sets.iter().filter(|set| set.code.data.is_some_and(|(kind, _)| kind == NFT_DATA_VERDICT));
    // An element that has expired and is not collected yet counts, but is not listed.
    if verdict_maps.clone().any(|set| set.code.flags & (NFT_SET_TIMEOUT | NFT_SET_EVAL) != 0) {
        return;
    }
    let of_rules =
        table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs).filter_map(|expr| match expr {
            Expr::Verdict(verdict) => verdict.target(),
            _ => None,
        });
    let of_elements = verdict_maps.flat_map(|set| &set.elements).filter_map(|element| match element.data.as_deref() {
        Some(ElementDataCode::Verdict(verdict)) => verdict.target(),
        Some(ElementDataCode::Value(_)) | None => None,
    });
    let mut targets: HashMap<Name, u32> = HashMap::new();
    for name in of_rules.chain(of_elements) {
        match targets.get_mut(name) {
            Some(count) => *count = count.saturating_add(1),
            None => drop(targets.insert(name.clone(), 1)),
        }
    }
    for chain in &mut table.chains {
        let rules = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX);
        let verdicts = targets.get(&chain.name).copied().unwrap_or_default();
        // The kernel counts the jump to a bound chain twice (seen on Linux 6.18).
        let again = u32::from(chain.flags & NFT_CHAIN_BINDING != 0);
        chain.unlisted = chain.uses.saturating_sub(rules).saturating_sub(verdicts).saturating_sub(again);
    }
}

const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
const NFT_CHAIN_BINDING: u32 = 0x4;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFT_SET_EVAL: u32 = 0x20;
