//! Prints rule sets as text: byte for byte the output of `nft list ruleset` of nft(8) 1.0.6.
//!
//! [`Display`] of a [`Ruleset`](crate::model::Ruleset) or [`Table`](crate::model::Table) is what
//! nft lists and what `nft -f` reads. A [`Chain`](crate::model::Chain),
//! [`Rule`](crate::model::Rule) or [`Statement`](crate::model::Statement) does not know its family
//! and prints as in an `inet` table.
//!
//! ```text
//! mod        InFamily: a value and the family of its table
//! listing    the parts of nft's listing           script      objects on one line, as commands
//! matches    comparisons                          set         sets, elements, line breaks
//! order      the order of the elements of a set   statement   actions of a rule
//! rule       rules, and what nft omits            table       rule sets, tables, chains
//!                                                 value       constants
//! ```
//!
//! [`listing`] prints what nft lists even where nft could not read it back. `Display` of a rule
//! set differs from it where nft's own listing does not mean what was loaded:
//! - an interface index prints as a number, which nft can read; nft lists the name that the index
//!   has on the running system. Index 1 is the loopback device of every network namespace and
//!   prints as `"lo"`.
//! - `meta nfproto ipv4 meta l4proto icmp`: nft omits the first match, and reading its own text
//!   does not restore it. It is kept here.
//! - `ct state == established | related`: nft omits the `==`, and reads its own text as `ct state
//!   established,related`.
//! - `dnat ip to 10.0.0.0-10.0.0.255:80`: nft lists `10.0.0.0/24:80`, which it cannot read.
//! - `dnat to :80` in an inet table: nft lists the known family, `dnat ip to :80`, which it cannot
//!   read.
//! - a set of integers prints `typeof` and a field of that width, which nft lists only for sets
//!   that it declared itself.
//! - nft reads `tcp dport 80 tcp sport 1` as one load of both ports and lists it as `tcp sport 1
//!   tcp dport 80`; a rule prints in its own order here.
//! - the owner of a table and the time until an element expires belong to the running system, not
//!   to the rule set.
//!
//! A protocol prints by name when [`Protocol::name`](crate::model::Protocol::name) has one; nft
//! uses /etc/protocols.

mod action;
pub(crate) mod listing;
mod matches;
pub(crate) mod object;
mod order;
mod rule;

pub(crate) mod script;
mod set;
mod statement;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use value::Bits;

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::model::{Family, Name};

/// A value to be printed as in a table of that family.
pub(crate) struct InFamily<'a, T> {
    pub(crate) family: Family,
    pub(crate) value: &'a T,
}

/// The purpose of a text.
#[derive(Clone, Copy)]
pub(crate) enum Style<'a> {
    /// To be read by nft, with the rules of bound chains in braces.
    InTable(&'a Blocks),
    /// To be read by nft.
    Loadable,
    /// As nft lists it, given this knowledge.
    Listed(Known<'a>),
}

/// What a listing knows of the running system.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The names of the interfaces.
    pub(crate) interfaces: &'a Names,
    /// The rules of bound chains, in braces.
    pub(crate) blocks: &'a Blocks,
    /// Whether parts are left out that nft's text leaves out and its JSON has.
    pub(crate) is_brief: bool,
}

impl Style<'_> {
    /// Returns whether parts are left out that nft's text leaves out.
    fn is_brief(self) -> bool {
        matches!(self, Style::Listed(Known { is_brief: true, .. }))
    }
}

/// Interface names by index.
pub(crate) type Names = BTreeMap<u32, String>;

/// Texts in braces by chain name.
pub(crate) type Blocks = BTreeMap<Name, String>;

/// A value that prints by calling a function.
struct Text<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Display for Text<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// Writes items with a separator between them.
fn joined<T: Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>, between: &str) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// Returns a placeholder for a part that this crate does not know. No statement, element or block
/// of nft begins so, and nft refuses the text.
fn unknown(what: impl Display) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| write!(f, "<unknown {what}>"))
}

/// Returns text in quotes. nft has no escapes, so characters that would end the quotes or the line
/// are written as in Rust, and the text cannot pass for a statement.
fn quoted(text: &str) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("\"")?;
        for c in text.chars() {
            if c == '"' || c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        f.write_str("\"")
    })
}
