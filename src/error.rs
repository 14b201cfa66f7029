//! The one error type that callers see.
//!
//! Every module has its own `thiserror` enum, which travels inside [`Error`] as its source. A
//! predicate exists for each kind of failure that a caller may branch on; everything a person
//! needs is in the message: one line, the object first, the remedy last.

mod escaped;

use std::error::Error as StdError;
use std::fmt;

pub(crate) use escaped::Shown;
pub use escaped::{Escaped, Quoted};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, described in one line together with the remedy.
///
/// Branch on [`kind`](Error::kind) or on the predicates, read every fault that validation found
/// from [`faults`](Error::faults), and every operation that the kernel refused from
/// [`refusals`](Error::refusals):
///
/// | what happened | what tells |
/// |---|---|
/// | a capability is missing | [`is_permission`](Error::is_permission) |
/// | this kernel, or the chain's hook, does not take it | [`is_unsupported`](Error::is_unsupported) |
/// | the rule set is wrong, and where | [`is_invalid`](Error::is_invalid), [`faults`](Error::faults) |
/// | somebody changed it meanwhile: read again and retry | [`is_overtaken`](Error::is_overtaken) |
/// | it exists with another declaration, or is in use | [`is_conflict`](Error::is_conflict) otherwise |
/// | a table, chain, set or rule is not there | [`is_not_found`](Error::is_not_found) |
///
/// ```
/// use nftmesh::prelude::*;
///
/// let mut kernel = Fake::new(); // or Kernel::open()
/// let chain = TableId::new(Family::Inet, "host").chain("input");
/// let transaction = Transaction::new().add_rule(&chain, Rule::new().tcp_dport(22).accept());
/// let error = kernel.commit(&transaction).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// let refusal = &error.refusals()[0];
/// assert_eq!(refusal.what, "add rule inet host/input");
/// let operation = &transaction.operations()[refusal.operation.unwrap()];
/// assert_eq!(operation.to_string(), "add rule inet host input tcp dport 22 accept");
/// ```
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
    /// The rule set changed in between (`ERESTART`), the object is in use (`EBUSY`), or it exists
    /// with another declaration (`EEXIST`). A retry helps only in the first case, which
    /// [`Error::is_overtaken`] tells from the others.
    #[doc(alias("EBUSY", "EEXIST", "ERESTART"))]
    Conflict,
    /// Rejected before the kernel saw anything.
    Invalid,
    /// A named object does not exist.
    #[doc(alias = "ENOENT")]
    NotFound,
    /// None of the other kinds.
    Other,
    /// A capability is missing.
    #[doc(alias("EACCES", "EPERM"))]
    Permission,
    /// This kernel, or this hook, does not support it. The errno of the [`Refusal`] tells which:
    /// `ENOENT` when the kernel is too old or was built without the expression, `EOPNOTSUPP` when
    /// it takes the expression elsewhere, or with other options.
    #[doc(alias("ENOENT", "EOPNOTSUPP"))]
    Unsupported,
}

pub(crate) use ErrorKind as Kind;

impl Error {
    /// Creates an error of a kind, for a program that implements
    /// [`Nftables`](crate::kernel::Nftables) itself; it prints as `source` does.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let error = Error::new(ErrorKind::Permission, "CAP_NET_ADMIN is missing");
    /// assert!(error.is_permission());
    /// assert_eq!(error.to_string(), "CAP_NET_ADMIN is missing");
    /// ```
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Error { kind, source: source.into(), refusals: Vec::new() }
    }

    pub(crate) fn refused(
        kind: Kind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
        refusals: Vec<Refusal>,
    ) -> Self {
        Error { kind, source: source.into(), refusals }
    }

    /// Wraps an I/O error with the attempted action; the kind follows from the errno.
    pub(crate) fn io(doing: impl fmt::Display, cause: std::io::Error) -> Self {
        let kind = cause.raw_os_error().map_or(Kind::Other, Kind::of_errno);
        Error::new(kind, Io { doing: doing.to_string(), cause })
    }

    /// Returns the errno of an [`Error::io`] error.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.source.downcast_ref::<Io>().and_then(|io| io.cause.raw_os_error())
    }

    /// Returns why the operation failed; each predicate ([`is_conflict`](Error::is_conflict), ...)
    /// tests for one kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the module's error that this one wraps, if it has this type.
    pub(crate) fn inner<T: StdError + 'static>(&self) -> Option<&T> {
        self.source.downcast_ref()
    }

    /// Prefixes the message with context; kind and refusals stay.
    pub(crate) fn context(self, besides: &str) -> Self {
        let Error { kind, source, refusals } = self;
        Error { kind, source: format!("{besides}, but {source}").into(), refusals }
    }

    /// Combines `first` with this error, which occurred while undoing what was done before; kind
    /// and refusals are those of `first`.
    pub(crate) fn after(self, first: &Error) -> Self {
        let source = format!("{first}; and what was done before could not be undone: {}", self.source).into();
        Error { kind: first.kind, source, refusals: first.refusals.clone() }
    }

    /// Returns whether another change came first, or the object exists or is in use. A retry helps
    /// only in the first case, see [`is_overtaken`](Self::is_overtaken).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.kind == Kind::Conflict
    }

    /// Returns whether a transaction was refused only because somebody else committed after the
    /// generation that it requires: nothing changed; read again, plan again and retry.
    ///
    /// [`Kernel::apply`](crate::Kernel::apply) does so itself.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let mut kernel = Fake::new(); // or Kernel::open()
    /// let host = TableId::new(Family::Inet, "host");
    /// let plan = kernel.plan(&Ruleset::new().table(Table::from(&host)))?;
    /// kernel.commit(&Transaction::new().add_table(&TableId::new(Family::Ip, "of-others")))?;
    /// assert!(kernel.commit(&plan).unwrap_err().is_overtaken());
    ///
    /// let set = |key| Transaction::new().add_table(&host).add_set(&host, Set::new("s", [key]));
    /// kernel.commit(&set(DataType::Ipv4))?;
    /// let exists = kernel.commit(&set(DataType::Ipv6)).unwrap_err();
    /// assert!(exists.is_conflict() && !exists.is_overtaken());
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias = "ERESTART")]
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        let is_restart = |refusal: &Refusal| refusal.errno == libc::ERESTART;
        self.is_conflict() && !self.refusals.is_empty() && self.refusals.iter().all(is_restart)
    }

    /// Returns whether this crate's own validation rejected the input; the kernel saw nothing.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Returns whether a named object (table, chain, set, namespace, ...) does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// Returns whether a capability is missing; for netfilter it is `CAP_NET_ADMIN` in the user
    /// namespace that owns the network namespace.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        self.kind == Kind::Permission
    }

    /// Returns whether the kernel lacks the expression or does not accept it in that place.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Returns every operation that the kernel refused, in the order of the transaction; empty for
    /// all other errors.
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
    /// What was refused: the operation, its table and chain, and the statement or element if the
    /// kernel identified one.
    pub what: String,
    /// The errno of the kernel's answer, positive.
    pub errno: i32,
    /// The meaning of the errno here, and the remedy.
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
