//! How the named sets of a table keep their keys, found by name in constant time.

use std::collections::HashMap;

use super::lower::Sets;
use super::set::SetMode;
use crate::model::{Name, ObjectKind, Set, SetData};

/// The named sets of one table. Of two sets with one name, the first is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes<'a> {
    modes: HashMap<&'a Name, SetMode>,
    /// The kinds of objects of the maps to such.
    objects: HashMap<&'a Name, ObjectKind>,
}

impl<'a> Modes<'a> {
    /// Adds the kinds of objects of the maps to such.
    pub(crate) fn with_objects(mut self, maps: impl IntoIterator<Item = (&'a Name, ObjectKind)>) -> Self {
        for (name, kind) in maps {
            self.objects.entry(name).or_insert(kind);
        }
        self
    }
}

impl<'a> FromIterator<(&'a Name, SetMode)> for Modes<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a Name, SetMode)>>(sets: T) -> Self {
        let mut modes = HashMap::new();
        for (name, mode) in sets {
            modes.entry(name).or_insert(mode);
        }
        Modes { modes, objects: HashMap::new() }
    }
}

impl<'a> From<&'a [Set]> for Modes<'a> {
    fn from(sets: &'a [Set]) -> Self {
        let modes: Modes<'a> = sets.iter().map(|set| (&set.name, SetMode::of_set(set))).collect();
        let of = |set: &'a Set| match set.data {
            SetData::Object(kind) => Some((&set.name, kind)),
            SetData::Concat(_) | SetData::Interval(_) | SetData::None | SetData::Value(_) | SetData::Verdict => None,
        };
        modes.with_objects(sets.iter().filter_map(of))
    }
}

impl Sets for Modes<'_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.modes.get(name).copied()
    }

    fn objects(&self, name: &Name) -> Option<ObjectKind> {
        self.objects.get(name).copied()
    }
}
