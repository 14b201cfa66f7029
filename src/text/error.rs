//! Faults of a text, with the place and the line.

use std::fmt;

use super::source::{Place, Sources};
use crate::error::{Error, Escaped, Kind};

/// Why a text was not read: the first fault, its place, and what is accepted there.
///
/// `Display` has the place and the fault, and below them the line with a mark under the fault;
/// [`one_line`](Self::one_line) has the first of these lines.
///
/// ```
/// use nftmesh::Rule;
///
/// let error = "ip sadr 10.0.0.1 drop".parse::<Rule>().unwrap_err();
/// assert_eq!((error.line, error.column), (1, 4));
/// let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
/// assert!(lines[0].starts_with("line 1, column 4: "), "{error}");
/// assert_eq!(lines[1..], ["  ip sadr 10.0.0.1 drop", "     ^^^^"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct TextError {
    /// The file, if the text or an included one has a name.
    pub file: Option<String>,
    /// Line of the text, from 1.
    pub line: usize,
    /// Character of the line, from 1.
    pub column: usize,
    /// The fault and what is accepted, in one line.
    pub fault: String,
    /// Whether nft(8) may accept it, and only this crate does not.
    kind: FaultKind,
    /// The line, or the part of it around the fault.
    excerpt: String,
    /// Where the fault is in the excerpt, and how many characters it has.
    mark: (usize, usize),
}

impl TextError {
    /// Returns the place and the fault in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        let TextError { file, line, column, fault, .. } = self;
        let file = file.as_deref().map(|file| format!("{}: ", Escaped::new(file))).unwrap_or_default();
        format!("{file}line {line}, column {column}: {fault}")
    }

    /// Returns whether the text may be valid, and only has no form in this crate's model yet.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == FaultKind::Unsupported
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, width) = self.mark;
        write!(f, "{}\n  {}\n  {:before$}{}", self.one_line(), self.excerpt, "", "^".repeat(width.max(1)))
    }
}

/// The error has one line.
impl From<TextError> for Error {
    fn from(error: TextError) -> Self {
        Error::new(if error.is_unsupported() { Kind::Unsupported } else { Kind::Invalid }, error.one_line())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FaultKind {
    Unsupported,
    Wrong,
}

/// A fault at a place.
#[derive(Debug)]
pub(super) struct Fault {
    at: Place,
    /// Bytes of the text that are at fault.
    length: usize,
    what: String,
    kind: FaultKind,
}

pub(super) type Parsed<T> = Result<T, Box<Fault>>;

impl Fault {
    pub(super) fn wrong(at: Place, length: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Fault { at, length, what: what.into(), kind: FaultKind::Wrong })
    }

    pub(super) fn unsupported(at: Place, length: usize, what: impl Into<String>) -> Box<Self> {
        Box::new(Fault { at, length, what: what.into(), kind: FaultKind::Unsupported })
    }

    /// Finds line and column, and cuts the excerpt.
    pub(super) fn located(self, sources: &Sources) -> TextError {
        let Fault { at, length, what, kind } = self;
        let source = sources.get(at.source);
        let text = source.map_or("", |source| &*source.text);
        let at = at.offset.min(text.len());
        let (before, rest) = text.split_at_checked(at).unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let head = before.get(start..).unwrap_or_default();
        let tail = rest.split('\n').next().unwrap_or_default();
        let fault_length = tail.char_indices().take_while(|(at, _)| *at < length).count();
        // A long line is cut on both sides.
        let first = head.char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
        let last = tail.char_indices().nth(AFTER).map_or(tail.len(), |(at, _)| at);
        let shown = |text: &str| Escaped::new(&text.replace('\t', " ")).to_string();
        let left = match first {
            0 => shown(head.trim_start()),
            _ => format!("...{}", shown(head.get(first..).unwrap_or_default())),
        };
        let right = shown(tail.get(..last).unwrap_or_default());
        let marked: String = tail.chars().take(fault_length.min(AFTER)).collect();
        let mark = (left.chars().count(), shown(&marked).chars().count());
        let more = if last < tail.len() { "..." } else { "" };
        TextError {
            file: source.and_then(|source| source.name.clone()),
            line: 1 + before.matches('\n').count(),
            column: 1 + head.chars().count(),
            fault: what,
            kind,
            excerpt: format!("{left}{right}{more}"),
            mark,
        }
    }
}

/// Characters of the line that are shown before and after the start of a fault.
const BEFORE: usize = 60;
const AFTER: usize = 40;
