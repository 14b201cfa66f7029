//! The one error that callers see.
//!
//! Every module has its own `thiserror` enum; they travel inside [`Error`] as its source. What a
//! caller may want to branch on is a predicate here, what a person needs is the message: one line,
//! the object first, the remedy last.

mod escaped;

use std::error::Error as StdError;
use std::fmt;

pub use escaped::Escaped;
pub(crate) use escaped::{Quoted, Shown};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in one line, with the remedy.
///
/// Branch on the predicates ([`is_conflict`](Error::is_conflict),
/// [`is_permission`](Error::is_permission), ...); read every operation that the kernel refused from
/// [`refusals`](Error::refusals).
pub struct Error {
    kind: Kind,
    source: Box<dyn StdError + Send + Sync>,
    refusals: Vec<Refusal>,
}

/// Why an operation failed, as far as a program can act on it; everything else is in the message.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let out = Chain::regular("out").rule(Rule::new().jump("nowhere"));
/// let faulty = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(out));
/// let error = Error::from(faulty.validate().unwrap_err());
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.faults().len(), 1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else changed the rule set first (`ERESTART`), or the object is in use (`EBUSY`), or
    /// it exists and is declared otherwise (`EEXIST`).
    Conflict,
    /// Refused before the kernel saw anything.
    Invalid,
    /// An object that is named does not exist.
    NotFound,
    /// None of the others.
    Other,
    /// A capability is missing.
    Permission,
    /// This kernel, or this hook, cannot do it.
    Unsupported,
}

pub(crate) use ErrorKind as Kind;

impl Error {
    pub(crate) fn new(kind: Kind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error { kind, source: source.into(), refusals: Vec::new() }
    }

    pub(crate) fn refused(
        kind: Kind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
        refusals: Vec<Refusal>,
    ) -> Self {
        Error { kind, source: source.into(), refusals }
    }

    /// An I/O error with what was being done; the kind follows the errno.
    pub(crate) fn io(doing: impl fmt::Display, cause: std::io::Error) -> Self {
        let kind = cause.raw_os_error().map_or(Kind::Other, Kind::of_errno);
        Error::new(kind, Io { doing: doing.to_string(), cause })
    }

    /// What the kernel answered to what was being done, when that is what this is about.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.source.downcast_ref::<Io>().and_then(|io| io.cause.raw_os_error())
    }

    /// Returns why the operation failed; the predicates ([`is_conflict`](Error::is_conflict), ...)
    /// ask for one kind each.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error of a module that this one was made from.
    pub(crate) fn inner<T: StdError + 'static>(&self) -> Option<&T> {
        self.source.downcast_ref()
    }

    /// The same error, with what is true besides in front of it.
    pub(crate) fn context(self, besides: &str) -> Self {
        let Error { kind, source, refusals } = self;
        Error { kind, source: format!("{besides}, but {source}").into(), refusals }
    }

    /// This error happened while an earlier one was being made good, which is the one that counts.
    pub(crate) fn after(self, first: &Error) -> Self {
        let source = format!("{first}; and what was done before could not be undone: {}", self.source).into();
        Error { kind: first.kind, source, refusals: first.refusals.clone() }
    }

    /// Somebody else's change came first, or the object exists or is in use; reading again and
    /// retrying may help.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// The input was refused by this crate's own validation; the kernel saw nothing.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// A named object (table, chain, set, namespace, ...) does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// A capability is missing; for netfilter that is `CAP_NET_ADMIN` in the user namespace that
    /// owns the network namespace.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        self.kind == Kind::Permission
    }

    /// The kernel has no such expression, or does not take it in that place.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Every operation that the kernel refused, in the order of the transaction; empty for every
    /// other error.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }
}

impl Kind {
    pub(crate) fn of_errno(errno: i32) -> Kind {
        match errno {
            libc::EPERM | libc::EACCES => Kind::Permission,
            libc::ENOENT | libc::ESRCH | libc::ENODEV => Kind::NotFound,
            libc::ERESTART | libc::EEXIST | libc::EBUSY | libc::ENOTEMPTY => Kind::Conflict,
            libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => Kind::Unsupported,
            _ => Kind::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error { kind, source, refusals } = self;
        f.debug_struct("Error").field("kind", kind).field("source", source).field("refusals", refusals).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

/// One operation of a transaction that the kernel refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Refusal {
    /// Index of the operation in the transaction; `None` when the transaction as a whole
    /// was refused.
    pub operation: Option<usize>,
    /// What was refused: the operation, its table and chain, and the statement or element where the
    /// kernel named one.
    pub what: String,
    /// The errno the kernel answered, positive.
    pub errno: i32,
    /// What the errno means here, and what to do.
    pub remedy: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { operation: _, what, errno: _, remedy } = self;
        write!(f, "{what}: {remedy}")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
struct Io {
    doing: String,
    #[source]
    cause: std::io::Error,
}
