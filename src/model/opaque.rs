//! What a rule read from a kernel does that no other statement says.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A part of a rule without a meaning here: it stands at its place, prints its name and keeps what it was read from, unchanged.
///
/// Two are equal when what they were read from is.
#[derive(Clone)]
pub struct Opaque {
    name: Box<str>,
    detail: Option<Box<str>>,
    /// The debug text of `code`, by which parts are compared.
    identity: Box<str>,
    code: Arc<dyn Any + Send + Sync>,
}

impl Opaque {
    pub(crate) fn new<T: Debug + Send + Sync + 'static>(name: &str, detail: Option<Box<str>>, code: T) -> Self {
        Opaque { name: name.into(), detail, identity: format!("{code:?}").into(), code: Arc::new(code) }
    }

    /// The kernel's name for the expression; of several, their names joined by commas.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the xtables extension, of a `match` or `target` that iptables-nft(8) made.
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// What it was read from.
    pub(crate) fn code<T: 'static>(&self) -> Option<&T> {
        self.code.downcast_ref()
    }

    fn parts(&self) -> (&str, Option<&str>, &str) {
        (&self.name, self.detail.as_deref(), &self.identity)
    }
}

impl Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({})", self.identity)
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for Opaque {}

impl PartialOrd for Opaque {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Opaque {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts().cmp(&other.parts())
    }
}

impl Hash for Opaque {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}
