//! The answer as text: what a person reads, and a test prints.

use std::fmt;

use super::Comparison;

/// One line; with a counterexample, what both sides did with it below.
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
