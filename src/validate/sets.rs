//! Checks sets, maps and verdict maps, named and anonymous: their declarations, and whether their
//! elements fit.

use std::time::Duration;

use super::location::At;
use super::matches::{is_of, is_ordered, key_width};
use super::problem::Problem;
use super::{Checked, Fault, Severity, concat, intervals, names};
use crate::model::{DataType, Element, ElementData, Interval, Key, Set, SetData, SetFlags, Value};

/// Elements, and the types they must have.
pub(super) struct Elements<'a> {
    pub(super) of: Of<'a>,
    pub(super) key: &'a [DataType],
    pub(super) data: &'a SetData,
    pub(super) elements: &'a [Element],
}

/// The owner of elements.
#[derive(Clone, Copy)]
pub(super) enum Of<'a> {
    /// A rule; the set gets the size and flags that its elements need.
    Rule,
    /// A named set.
    Set(&'a Set),
}

impl Elements<'_> {
    pub(super) fn intervals_allowed(&self) -> bool {
        match self.of {
            Of::Rule => true,
            Of::Set(set) => set.flags.contains(SetFlags::INTERVAL),
        }
    }

    fn timeouts_allowed(&self) -> bool {
        match self.of {
            Of::Rule => false,
            Of::Set(set) => set.flags.contains(SetFlags::TIMEOUT),
        }
    }

    /// Returns whether overlaps are merged before they are sent, which is impossible with data or
    /// more than one dimension.
    pub(super) fn merged(&self) -> bool {
        let asked = match self.of {
            Of::Rule => true,
            Of::Set(set) => set.flags.contains(SetFlags::AUTO_MERGE),
        };
        asked && self.mergeable()
    }

    pub(super) fn mergeable(&self) -> bool {
        *self.data == SetData::None && self.key.len() == 1
    }
}

impl Checked<'_, '_> {
    pub(super) fn set(&self, set: &Set, faults: &mut Vec<Fault>) {
        let Set { name, key, data, flags, timeout, gc_interval, size, comment, elements, .. } = set;
        let at = self.at.set(name);
        names::name(at, name, faults);
        names::comment(at, comment.as_deref(), faults);
        if set.opaque().is_some() {
            return;
        }
        key_width(at, key, faults);
        let has = |flag| flags.contains(flag);
        // nf_tables_newset, net/netfilter/nf_tables_api.c: EINVAL without the flag, EOPNOTSUPP for
        // the pairs.
        let mut fault = |wrong: bool, fault: &'static str| {
            if wrong {
                at.report(faults, Problem::SetFlags { fault });
            }
        };
        let times = timeout.is_some() || gc_interval.is_some();
        fault(
            times && !has(SetFlags::TIMEOUT),
            "has a timeout or gc interval without the timeout flag; use .timeout()",
        );
        fault(has(SetFlags::CONSTANT | SetFlags::TIMEOUT), "elements that never change cannot expire; drop one flag");
        fault(has(SetFlags::DYNAMIC | SetFlags::INTERVAL), "rules cannot add to intervals; drop one flag");
        let merge = has(SetFlags::AUTO_MERGE);
        let auto_merge = if merge && !has(SetFlags::INTERVAL) {
            Some("auto-merge is for sets of intervals; use .auto_merge() or drop the flag")
        } else if merge && *data != SetData::None {
            Some("the intervals of a map cannot be merged; drop auto-merge")
        } else {
            None
        };
        if let Some(fault) = auto_merge {
            at.report(faults, Problem::AutoMerge { fault });
        }
        let data_types = match data {
            SetData::Concat(types) | SetData::Interval(types) => types.as_slice(),
            SetData::Value(data) => std::slice::from_ref(data),
            SetData::None | SetData::Object(_) | SetData::Verdict => &[],
        };
        if matches!(data, SetData::Concat(types) if types.len() < 2) || data_types.is_empty() && is_several(data) {
            at.report(faults, Problem::Operand { fault: "it maps to several values; give at least two types" });
        }
        let integers = key.iter().chain(data_types);
        for part in integers {
            if matches!(part, DataType::Integer { .. }) {
                at.report(faults, Problem::NamelessType);
            }
        }
        time(at, "timeout", *timeout, faults);
        time(at, "gc interval", *gc_interval, faults);
        let elements = Elements { of: Of::Set(set), key, data, elements };
        let count = self.elements(at, &elements, faults);
        if let (Some(size), Some(count)) = (size.filter(|size| *size > 0), count) {
            if count > usize::try_from(size).unwrap_or(usize::MAX) {
                at.report(faults, Problem::SizeTooSmall { size, elements: count });
            }
        }
    }

    /// Checks elements; returns the number of different ones, if that is known.
    pub(super) fn elements(&self, at: At<'_>, all: &Elements<'_>, faults: &mut Vec<Fault>) -> Option<usize> {
        if intervals::are_plain_and_ascending(all) {
            return (!all.merged()).then_some(all.elements.len());
        }
        let before = faults.len();
        for (index, element) in all.elements.iter().enumerate() {
            self.element(at, index, element, all, faults);
        }
        // Keys of the wrong type have no meaningful order; odd ones do.
        let refused = |fault: &Fault| fault.problem.severity() == Severity::Refused;
        if faults.iter().skip(before).any(refused) {
            return None;
        }
        if all.elements.iter().any(|element| element.key.parts().is_empty()) {
            let others = all.elements.iter().filter(|element| !element.key.parts().is_empty()).cloned();
            let elements: Vec<Element> = others.collect();
            let Elements { of, key, data, elements: _ } = *all;
            return self.elements(at, &Elements { of, key, data, elements: &elements }, faults);
        }
        match all.key {
            [_] => intervals::check(at, all, faults),
            _ => concat::check(at, all, faults),
        }
    }

    fn element(&self, at: At<'_>, index: usize, element: &Element, all: &Elements<'_>, faults: &mut Vec<Fault>) {
        let Element { key, data, timeout, .. } = element;
        let at = at.element(index);
        match (key, all.key) {
            (Key::Single(interval), [wanted]) => part(at, interval, *wanted, all, faults),
            // For every key that no other element has.
            (key, _) if key.parts().is_empty() => {}
            (key, wanted) if key.parts().len() == wanted.len() => {
                for (interval, wanted) in key.parts().iter().zip(wanted) {
                    part(at, interval, *wanted, all, faults);
                }
            }
            (key, wanted) => {
                at.report(faults, Problem::KeyParts { wanted: wanted.len(), found: key.parts().len() });
            }
        }
        match (all.data, data.as_deref()) {
            (SetData::None, None) => {}
            (SetData::Value(wanted), Some(ElementData::Value(value))) => {
                if is_of(at, value, *wanted, faults) {
                    names::interface(at, value, faults);
                }
            }
            (SetData::Object(kind), Some(ElementData::Object(name))) => self.mapped_object(at, *kind, name, faults),
            (SetData::Concat(types) | SetData::Interval(types), Some(ElementData::Several(key)))
                if key.parts().len() == types.len()
                    && matches!(all.data, SetData::Interval(_)) == key.is_interval() =>
            {
                for (Interval { low, high }, wanted) in key.parts().iter().zip(types) {
                    if is_of(at, low, *wanted, faults) && is_of(at, high, *wanted, faults) && low > high {
                        at.report(faults, Problem::Reversed);
                    }
                }
            }
            (SetData::Verdict, Some(ElementData::Verdict(verdict))) => self.verdict(at, verdict, faults),
            (SetData::Concat(_) | SetData::Interval(_) | SetData::Object(_), None)
            | (SetData::Value(_) | SetData::Verdict, None) => {
                at.report(faults, Problem::DataMissing { wanted: data_name(all.data) });
            }
            (wanted, Some(found)) => {
                let found = match found {
                    ElementData::Object(_) => "an object",
                    ElementData::Several(key) if key.is_interval() => "an interval",
                    ElementData::Several(_) => "several values",
                    ElementData::Value(value) => value.type_name(),
                    ElementData::Verdict(_) => "a verdict",
                };
                at.report(faults, Problem::DataUnexpected { wanted: data_name(wanted), found });
            }
        }
        if timeout.is_some() {
            time(at, "timeout", *timeout, faults);
            if !all.timeouts_allowed() {
                at.report(faults, Problem::TimeoutNotAllowed);
            }
        }
        if let Some(comment) = element.get_comment() {
            names::comment(at, Some(comment), faults);
        }
    }
}

fn part(at: At<'_>, interval: &Interval, wanted: DataType, all: &Elements<'_>, faults: &mut Vec<Fault>) {
    let Interval { low, high } = interval;
    let is_point = low == high;
    if !is_of(at, low, wanted, faults) || !(is_point || is_of(at, high, wanted, faults)) {
        return;
    }
    let mut many = !is_point;
    if let Value::Ifname(name) = low {
        names::interface(at, low, faults);
        many |= name.prefix().is_some();
    }
    if !is_point && !is_ordered(wanted) {
        at.report(faults, Problem::NotOrderable { of: wanted });
    } else if !is_point && low > high {
        at.report(faults, Problem::Reversed);
    }
    if many && !all.intervals_allowed() {
        at.report(faults, Problem::IntervalNotAllowed);
    }
}

/// The kernel keeps timeouts in 64 bits of nanoseconds, and the gc interval in 32 bits of
/// milliseconds.
fn time(at: At<'_>, what: &'static str, time: Option<Duration>, faults: &mut Vec<Fault>) {
    let (most, max) = match what {
        "gc interval" => (u128::from(u32::MAX), "49 days"),
        _ => (u128::from(u64::MAX / 1_000_000), "584 years"),
    };
    if time.is_some_and(|time| !(1..=most).contains(&time.as_millis())) {
        at.report(faults, Problem::BadTime { what, max });
    }
}

/// Returns a description of what elements map to.
pub(super) fn data_name(data: &SetData) -> &'static str {
    match data {
        SetData::Concat(_) => "several values",
        SetData::Interval(_) => "an interval",
        SetData::None => "nothing",
        SetData::Value(data) => data.name(),
        SetData::Object(kind) => kind.name(),
        SetData::Verdict => "a verdict",
    }
}

fn is_several(data: &SetData) -> bool {
    matches!(data, SetData::Concat(_) | SetData::Interval(_))
}
