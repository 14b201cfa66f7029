//! The location of a fault: a table, a chain or set in it, a rule or element of that, a statement.
//! Counted from 0 in the fields, from 1 in text.

use std::fmt;

use super::{Fault, Problem};
use crate::error::Shown;
use crate::model::{Family, Name, Object};

/// The location of a fault; indices count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// Family of the table.
    pub family: Family,
    /// Name of the table.
    pub table: Name,
    /// The chain.
    pub chain: Option<Name>,
    /// The set, map or verdict map.
    pub set: Option<Name>,
    /// Kind and name of the stateful object or flowtable.
    pub object: Option<(String, Name)>,
    /// Index of the rule in its chain.
    pub rule: Option<usize>,
    /// Index of the statement in its rule.
    pub statement: Option<usize>,
    /// The kind of statement, `redirect` or `ip saddr`.
    pub keyword: Option<&'static str>,
    /// Index of the element in its named or anonymous set.
    pub element: Option<usize>,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { family, table, chain, set, object, rule, statement, keyword, element } = self;
        let table = Shown(table.as_str());
        if let (Some(element), None) = (element, rule) {
            write!(f, "element {} of ", element + 1)?;
        }
        match (chain, set, rule) {
            (Some(chain), _, Some(rule)) => {
                write!(f, "rule {} of {family} {table}/{}", rule + 1, Shown(chain.as_str()))?;
            }
            (Some(chain), _, None) => write!(f, "chain {family} {table}/{}", Shown(chain.as_str()))?,
            (None, Some(set), _) => write!(f, "set {family} {table}/{}", Shown(set.as_str()))?,
            (None, None, _) => match object {
                Some((kind, name)) => write!(f, "{kind} {family} {table}/{}", Shown(name.as_str()))?,
                None => write!(f, "table {family} {table}")?,
            },
        }
        if let Some(statement) = statement {
            write!(f, ", statement {}", statement + 1)?;
        }
        if let Some(keyword) = keyword {
            write!(f, " ({keyword})")?;
        }
        match (element, rule) {
            (Some(element), Some(_)) => write!(f, ", element {}", element + 1),
            _ => Ok(()),
        }
    }
}

/// Names in one line: `a, b, c`; if there are many, the first ones and the last.
pub(super) struct List<'a>(pub(super) &'a [Name]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate().take(LISTED) {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, Shown(name.as_str()))?;
        }
        match self.0.get(LISTED..) {
            Some([others @ .., last]) if !others.is_empty() => {
                write!(f, ", {} others, {}", others.len(), Shown(last.as_str()))
            }
            Some([last]) => write!(f, ", {}", Shown(last.as_str())),
            _ => Ok(()),
        }
    }
}

/// The most names listed one by one; a path that the kernel follows has fewer.
const LISTED: usize = 20;

/// A [`Location`] that owns nothing, because most are never reported.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    family: Family,
    table: &'a Name,
    chain: Option<&'a Name>,
    set: Option<&'a Name>,
    object: Option<&'a Object>,
    rule: Option<usize>,
    statement: Option<(usize, &'static str)>,
    element: Option<usize>,
}

impl<'a> At<'a> {
    pub(super) fn table(family: Family, table: &'a Name) -> Self {
        At { family, table, chain: None, set: None, object: None, rule: None, statement: None, element: None }
    }

    pub(super) fn chain(self, chain: &'a Name) -> Self {
        At { chain: Some(chain), ..self }
    }

    pub(super) fn set(self, set: &'a Name) -> Self {
        At { set: Some(set), ..self }
    }

    pub(super) fn object(self, object: &'a Object) -> Self {
        At { object: Some(object), ..self }
    }

    pub(super) fn rule(self, rule: usize) -> Self {
        At { rule: Some(rule), ..self }
    }

    pub(super) fn statement(self, statement: usize, keyword: &'static str) -> Self {
        At { statement: Some((statement, keyword)), ..self }
    }

    pub(super) fn element(self, element: usize) -> Self {
        At { element: Some(element), ..self }
    }

    pub(super) fn report(self, faults: &mut Vec<Fault>, problem: Problem) {
        let At { family, table, chain, set, object, rule, statement, element } = self;
        let location = Location {
            family,
            table: table.clone(),
            chain: chain.cloned(),
            set: set.cloned(),
            object: object.map(|object| (object.kind().to_owned(), object.name.clone())),
            rule,
            statement: statement.map(|(index, _)| index),
            keyword: statement.map(|(_, keyword)| keyword),
            element,
        };
        faults.push(Fault { location, problem });
    }
}
