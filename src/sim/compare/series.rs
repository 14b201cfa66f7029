//! The series of rules of chains, found once.

use std::sync::Arc;

use super::bdd::Map;
use crate::sim::rules::ChainCode;
use crate::sim::series::Series;

/// Series by chain. Chains are identified by their address, because they live longer than the
/// comparison.
#[derive(Default)]
pub(super) struct Known(Map<usize, Vec<Arc<Series>>>);

impl Known {
    /// Returns the series of which the rule at this index is a part.
    pub(super) fn at(&mut self, chain: &ChainCode, at: usize) -> Option<Arc<Series>> {
        let of_chain = self.0.entry(std::ptr::from_ref(chain).addr());
        let all = of_chain.or_insert_with(|| Series::all(chain).into_iter().map(Arc::new).collect());
        let before = all.partition_point(|series| series.end <= at);
        all.get(before).filter(|series| series.first <= at).cloned()
    }
}
