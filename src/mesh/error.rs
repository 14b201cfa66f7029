//! Faults of a configuration. Every message is one line: the option as it was given, its value,
//! and what is accepted.

use crate::error::{Error, Escaped, Kind, Quoted};

/// What is wrong with a value and what is accepted, without the name of the option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Problem(pub(super) String);

impl Problem {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Problem(text.into())
    }

    /// Adds the name of the option and its value.
    pub(super) fn of(self, name: impl Into<String>, value: impl Into<String>) -> Invalid {
        Invalid::Value { name: name.into(), value: value.into(), problem: self }
    }
}

/// A rejected configuration. Values are quoted, escaped and shortened, so the message stays one
/// readable line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Invalid {
    #[error("{one} and {other} are both given: they exclude each other; drop one of them")]
    Both { one: String, other: String },
    #[error("{}: {problem}", Escaped::new(name))]
    Flag { name: String, problem: Problem },
    #[error("{name} {}: not UTF-8; give plain text", Quoted(value))]
    NotUtf8 { name: String, value: String },
    #[error("option {}: unknown; the table OPTIONS lists every option", Quoted(name))]
    UnknownOption { name: String },
    #[error("{name} {}: {problem}", Quoted(value))]
    Value { name: String, value: String, problem: Problem },
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Error::new(Kind::Invalid, invalid)
    }
}
