//! Elements with the time that is left to them, and what events report of rules and elements.

use std::time::Duration;

use super::event::Event;
use super::snapshot::Snapshot;
use crate::bytecode::{NoSets, SetMode, raise, raise_elements, raise_timed};
use crate::model::{Element, Rule, RuleHandle, Set, SetId};

/// An element, and the time until it expires: `None` for one that stays.
pub type TimedElement = (Element, Option<Duration>);

impl Snapshot {
    /// Returns the elements of a set, each with the time until it expires, which is `None` for one
    /// that stays.
    ///
    /// Returns `None` when there is no such set, or when it is [opaque](Set::opaque).
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let blocked = TableId::new(Family::Inet, "host").set("blocked");
    /// let snapshot = Kernel::open()?.snapshot_of(std::slice::from_ref(&blocked.table))?;
    /// for (element, left) in snapshot.elements(&blocked).unwrap_or_default() {
    ///     println!("{}: {left:?}", element.key);
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn elements(&self, set: &SetId) -> Option<Vec<TimedElement>> {
        let state = self.table(&set.table)?.set(set.name.as_str())?;
        raise_timed(&state.name, &state.code, &state.elements, &state.expires)
    }
}

impl Event {
    /// Returns the handle and the rule of a [`RuleAdded`](Event::RuleAdded) or
    /// [`RuleDeleted`](Event::RuleDeleted).
    ///
    /// A deleted rule is empty where the kernel reports its handle alone. How a named set keeps its
    /// keys is not part of an event, so a rule that looks up a set of intervals may have the bytes
    /// of a number in another order than [`Kernel::rules`](crate::Kernel::rules) has.
    #[must_use]
    pub fn rule(&self) -> Option<(RuleHandle, Rule)> {
        let (Event::RuleAdded { chain, rule, .. } | Event::RuleDeleted { chain, rule }) = self else { return None };
        Some((rule.handle, raise(&rule.exprs, &rule.userdata, chain.table.family, &NoSets)))
    }

    /// Returns the elements of an [`ElementsAdded`](Event::ElementsAdded) or
    /// [`ElementsDeleted`](Event::ElementsDeleted), which contain bytes whose meaning `set`
    /// declares.
    ///
    /// Returns `None` for other events, for another set, and for a set of intervals with a key of
    /// one field: the kernel reports the two ends of an interval separately. Read such a set again.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let mut kernel = Kernel::open()?;
    /// for event in kernel.watch()? {
    ///     let event = event?;
    ///     if let Event::ElementsAdded { table, set, .. } = &event {
    ///         let declared = kernel.set(&table.set(set))?;
    ///         for element in declared.and_then(|set| event.elements(&set)).unwrap_or_default() {
    ///             println!("{set} has {element} now");
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn elements(&self, set: &Set) -> Option<Vec<Element>> {
        let (Event::ElementsAdded { table: _, set: name, elements, .. }
        | Event::ElementsDeleted { table: _, set: name, elements }) = self
        else {
            return None;
        };
        let mode = SetMode::of_set(set);
        if set.name != *name || set.opaque().is_some() || mode == SetMode::Interval {
            return None;
        }
        raise_elements(elements, &set.key, &set.data, mode)
    }
}
