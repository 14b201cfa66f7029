//! How the named sets of a table keep their keys, found by name in constant time.

use std::collections::HashMap;

use super::lower::Sets;
use super::set::SetMode;
use crate::model::{Name, Set};

/// The named sets of one table. Of two sets with one name, the first is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes<'a>(HashMap<&'a Name, SetMode>);

impl<'a> FromIterator<(&'a Name, SetMode)> for Modes<'a> {
    fn from_iter<T: IntoIterator<Item = (&'a Name, SetMode)>>(sets: T) -> Self {
        let mut modes = HashMap::new();
        for (name, mode) in sets {
            modes.entry(name).or_insert(mode);
        }
        Modes(modes)
    }
}

impl<'a> From<&'a [Set]> for Modes<'a> {
    fn from(sets: &'a [Set]) -> Self {
        sets.iter().map(|set| (&set.name, SetMode::of_set(set))).collect()
    }
}

impl Sets for Modes<'_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.0.get(name).copied()
    }
}
