//! The result of a comparison as text, for people and for test output.

use std::fmt;

use super::Comparison;

/// Prints one line; for a counterexample, what both sides do with it follows.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Comparison::CannotTell(reason) => write!(f, "cannot tell: {reason}"),
            Comparison::Differs(example) => write!(f, "different: {example}"),
            Comparison::Equivalent { classes, outside: 0 } => {
                write!(f, "the same for every packet ({classes} classes)")
            }
            Comparison::Equivalent { classes, outside } => {
                write!(f, "the same for every packet ({classes} classes) but those left out ({outside} classes)")
            }
        }
    }
}
