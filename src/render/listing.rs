//! The parts of a listing, as nft(8) prints them on the running system.

use std::fmt::{self, Display};

use crate::model::{Element, Family, Object, Rule, Set, SetData};

use super::{Known, Style, Text, quoted, rule, set, table};

pub(crate) use super::set::{Note, Notes};
pub(crate) use super::table::devices;

/// Returns the notes that a listing adds to a set.
pub(crate) fn notes(known: Known<'_>) -> Notes<'_> {
    Notes::new(Style::Listed(known))
}

/// Returns the lines of a set in a table.
pub(crate) fn set_block<'a>(set: &'a Set, handle: Option<u64>, notes: &'a Notes<'a>) -> impl Display + 'a {
    Text(move |f: &mut fmt::Formatter<'_>| set::block(f, set, handle, notes))
}

/// Returns the lines of an object.
pub(crate) fn object(family: Family, object: &Object, known: Known<'_>) -> Vec<String> {
    super::object::lines(family, object, Style::Listed(known))
}

/// Returns an element of a set.
pub(crate) fn element<'a>(element: &'a Element, note: &'a Note, known: Known<'a>) -> impl Display + 'a {
    set::listed(element, note, Style::Listed(known))
}

/// Returns a rule as nft lists it; every check of the rule must be a separate match.
pub(crate) fn listed_rule<'a>(family: Family, rule: &'a Rule, known: Known<'a>) -> impl Display + 'a {
    rule::styled(family, rule, Style::Listed(known))
}

/// Returns the statements of a rule that nft lists, each as it lists it.
#[cfg(feature = "json")]
pub(crate) fn listed_statements(family: Family, rule: &Rule, known: Known<'_>) -> Vec<String> {
    let known = Known { is_brief: false, ..known };
    rule::kept(family, &rule.statements, Style::Listed(known)).map(|statement| statement.to_string()).collect()
}

/// Returns the lines of a set that precede its elements.
#[cfg(feature = "json")]
pub(crate) fn properties(set: &Set, notes: &Notes<'_>) -> Vec<String> {
    set::noted(set, notes)
}

/// Returns the elements of a set as nft lists them, in its order.
#[cfg(feature = "json")]
pub(crate) fn elements(set: &Set, notes: &Notes<'_>) -> Vec<String> {
    set::elements(set, notes)
}

/// Returns ` # handle 4`, to be appended to an item; empty without a handle.
pub(crate) fn handle(handle: Option<u64>) -> impl Display {
    table::handle(handle)
}

/// Returns a priority, by name where nft has one for that family and hook.
pub(crate) fn priority(family: Family, hook: &str, priority: i32) -> impl Display {
    table::priority(family, hook, priority)
}

/// Returns `comment "..."`.
pub(crate) fn comment(text: &str) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| write!(f, "comment {}", quoted(text)))
}

/// Returns a placeholder for a part that this crate does not know; nft refuses it.
pub(crate) fn unknown(what: impl Display) -> impl Display {
    super::unknown(what)
}

/// Returns `typeof ip saddr : meta mark` when the expressions of the declaration are known, and
/// `type ipv4_addr : mark` otherwise.
pub(crate) fn declaration(set: &Set, typeof_: Option<(Vec<&str>, Option<&str>)>) -> String {
    // nft knows the expressions of no intervals.
    let has_one = !matches!(set.data, SetData::Concat(_) | SetData::Value(_));
    let by_expressions = typeof_.filter(|(_, data)| (data.is_some() || has_one) && !is_interval(&set.data));
    let (word, key, data) = match by_expressions {
        Some((key, data)) => ("typeof", key, data.map(str::to_owned)),
        None => {
            let names: Vec<&str> = set::types_of(&set.data).iter().map(|data| data.name()).collect();
            let before = if is_interval(&set.data) { "interval " } else { "" };
            let data = (!names.is_empty()).then(|| format!("{before}{}", names.join(" . ")));
            ("type", set.key.iter().map(|data| data.name()).collect(), data)
        }
    };
    let key = key.join(" . ");
    match (&set.data, data) {
        (SetData::Object(kind), _) => format!("{word} {key} : {}", kind.name()),
        (SetData::Verdict, _) => format!("{word} {key} : verdict"),
        (SetData::Concat(_) | SetData::Interval(_) | SetData::Value(_), Some(data)) => format!("{word} {key} : {data}"),
        (SetData::Concat(_) | SetData::Interval(_) | SetData::None | SetData::Value(_), _) => format!("{word} {key}"),
    }
}

fn is_interval(data: &SetData) -> bool {
    matches!(data, SetData::Interval(_))
}
