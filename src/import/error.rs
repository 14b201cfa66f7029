//! Faults of a text, with their positions.

use std::fmt;

use crate::error::{Error, Escaped, Kind};

/// Why a text was not imported: the first fault, its place and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
#[non_exhaustive]
pub struct ImportError {
    /// Line of the text, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// The fault and the remedy, in one line.
    pub fault: String,
}

impl From<ImportError> for Error {
    fn from(error: ImportError) -> Self {
        Error::new(Kind::Invalid, error)
    }
}

/// A fault in a line.
#[derive(Debug)]
pub(super) struct Fault {
    /// Byte offset in the line.
    at: usize,
    what: String,
    pub(super) kind: FaultKind,
}

/// Whether xtables would have accepted the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// It may be valid but is unknown here, so it can be kept.
    Unknown,
    /// It is wrong.
    Wrong,
}

impl Fault {
    pub(super) fn wrong(at: usize, what: impl Into<String>) -> Self {
        Fault { at, what: what.into(), kind: FaultKind::Wrong }
    }

    pub(super) fn unknown(at: usize, what: impl Into<String>) -> Self {
        Fault { at, what: what.into(), kind: FaultKind::Unknown }
    }

    /// Locates the fault in this line, which has this number.
    pub(super) fn in_line(self, number: usize, line: &str) -> ImportError {
        let column = 1 + line.char_indices().take_while(|(at, _)| *at < self.at).count();
        ImportError { line: number, column, fault: self.what }
    }
}

/// Input text in a message: one line, shortened.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 40;
        let Shown(text) = self;
        if text.is_empty() {
            return f.write_str("\"\"");
        }
        // A byte order mark at the start of a file, for example, would be invisible.
        let end = text.char_indices().nth(MOST).map_or(text.len(), |(end, _)| end);
        Escaped::new(text.get(..end).unwrap_or_default()).fmt(f)?;
        if end < text.len() { f.write_str("...") } else { Ok(()) }
    }
}
