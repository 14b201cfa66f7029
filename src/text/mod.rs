//! Reads the text of nft(8): rule sets, commands and rules.
//!
//! [`Ruleset`], [`Transaction`] and [`Rule`] can be parsed from text as nft lists it, and as people
//! write it: comments, `\` at the end of a line, sets over several lines, `define` and `$name`,
//! names of services, protocols and priorities, numbers in hex and octal, several commands on a
//! line. [`Reader`] has the options: variables, what the system knows, files to include.
//!
//! Fields, types and constants are found in the model's tables by the names that they print; there
//! is no second list. So whatever the model can say and print is read, and what it cannot say is an
//! error that says so, never a guess. The text is not trusted: no text makes the parser panic, use
//! more than linear time, or recurse without bound.
//!
//! ```text
//! lexer -- cursor (include, variables) --> tokens -- parser: commands, blocks, rule, selector,
//!                 fields, operand, actions, targets, elements, values --> operations -- assemble -->
//!                 Ruleset, Transaction
//! ```
//!
//! ```
//! use nftmesh::prelude::*;
//!
//! let ruleset: Ruleset = "
//!     define internal = { 10.0.0.0/8, 192.168.0.0/16 }
//!     table inet filter {
//!         chain input {
//!             type filter hook input priority filter; policy drop;
//!             ct state established,related accept
//!             ip saddr $internal tcp dport { ssh, 443 } accept  # from inside
//!         }
//!     }
//! "
//! .parse()?;
//! let rules = &ruleset.tables[0].chains[0].rules;
//! assert_eq!(rules[1].to_string(), "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } tcp dport { 22, 443 } accept");
//!
//! let transaction: Transaction = "add rule inet filter input udp dport 53 accept; delete set ip nat old".parse()?;
//! assert_eq!(transaction.operations().len(), 2);
//!
//! let error = "tcp dport 65536 accept".parse::<Rule>().unwrap_err();
//! assert_eq!(
//!     error.one_line(),
//!     "line 1, column 11: 65536 is too large, expected a port of 0 to 65535 or a service that the resolver knows"
//! );
//! # Ok::<(), Error>(())
//! ```

mod actions;
mod assemble;
mod blocks;
mod commands;
mod computed;
mod cursor;
mod elements;
mod error;
mod fields;
mod lexer;
mod names;
mod objects;
mod operand;
mod parser;
mod reader;
mod resolve;
mod rule;
mod selector;
mod source;
mod targets;
#[cfg(test)]
mod tests;
mod values;

pub use assemble::Wanted;
pub use error::TextError;
pub use reader::Reader;
pub use resolve::{Resolve, WellKnown};

use std::str::FromStr;

use crate::model::{Family, Rule, Ruleset};
use crate::plan::Transaction;

/// Reads blocks of tables, and commands that make a rule set of an empty one; see
/// [`Reader::ruleset`].
impl FromStr for Ruleset {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Reader::new().ruleset(text)
    }
}

/// Reads commands and blocks of tables; see [`Reader::transaction`].
impl FromStr for Transaction {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Reader::new().transaction(text)
    }
}

/// Reads a rule as in a table of family inet; see [`Reader::rule`].
impl FromStr for Rule {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Reader::new().rule(Family::Inet, text)
    }
}
