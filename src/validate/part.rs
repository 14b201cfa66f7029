//! A table of which all but a part was judged before, and is judged again by what changed.
//!
//! A fault of a rule depends on the rule, on the sets and chains that it names, and on the places from which the kernel gets to its
//! chain. So a chain that stayed is looked at again when something that it names did not, which the caller says, or when a change
//! elsewhere made another place lead to it. Loops and depth are looked for in the whole table, which is quick.

use super::place::Places;
use super::{Checked, Fault, Scope, TableView};
use crate::model::Table;

/// What validation found of a table.
#[derive(Debug)]
pub(crate) struct Judgement {
    /// In the order of the table.
    pub(crate) faults: Vec<Fault>,
    /// For every chain of the table the places from which the kernel gets to it.
    pub(crate) reached: Vec<Judged>,
}

/// From where the kernel got to a chain when it was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged(Places);

impl Judgement {
    /// Of all of a table.
    pub(crate) fn of(table: &Table) -> Self {
        Judgement::again(table, |_| None, |_| false)
    }

    /// Of chains that are not as they were judged, and of sets that are not judged. `judged` says from where the kernel got to a chain
    /// that stayed, `is_judged` which sets stayed.
    pub(crate) fn again(
        table: &Table,
        judged: impl Fn(usize) -> Option<Judged>,
        is_judged: impl Fn(usize) -> bool,
    ) -> Self {
        let mut faults = Vec::new();
        let reached = Checked::new(&TableView::whole(table)).check(&Rest { judged, is_judged }, &mut faults);
        Judgement { faults, reached: reached.into_iter().map(Judged).collect() }
    }
}

struct Rest<C, S> {
    judged: C,
    is_judged: S,
}

impl<C: Fn(usize) -> Option<Judged>, S: Fn(usize) -> bool> Scope for Rest<C, S> {
    fn chain(&self, index: usize, reached: Places) -> bool {
        (self.judged)(index) != Some(Judged(reached))
    }

    fn set(&self, index: usize) -> bool {
        !(self.is_judged)(index)
    }
}
