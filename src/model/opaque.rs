//! Parts of a rule set read from a kernel that no other item of the model represents.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// A part of a rule set that this crate does not understand; it keeps its position, prints its
/// name and retains what it was read from.
///
/// Two are equal if they were read from equal data.
#[derive(Clone)]
pub struct Opaque(Arc<Inner>);

struct Inner {
    name: Box<str>,
    detail: Option<Box<str>>,
    code: Box<dyn Code>,
    /// The debug text of `code`, by which parts are compared; computed when first needed.
    identity: OnceLock<Box<str>>,
}

/// What can be kept: anything whose debug text is complete.
trait Code: Debug + Send + Sync {
    fn any(&self) -> &dyn Any;
}

impl<T: Debug + Send + Sync + 'static> Code for T {
    fn any(&self) -> &dyn Any {
        self
    }
}

impl Opaque {
    pub(crate) fn new<T: Debug + Send + Sync + 'static>(name: &str, detail: Option<Box<str>>, code: T) -> Self {
        let identity = OnceLock::new();
        Opaque(Arc::new(Inner { name: name.into(), detail, code: Box::new(code), identity }))
    }

    /// Returns the kernel's name for it; for several expressions, their names joined by commas.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the name of the xtables extension, for a `match` or `target` made by
    /// iptables-nft(8).
    #[must_use]
    pub fn extension(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Returns what it was read from, if it has this type.
    pub(crate) fn code<T: 'static>(&self) -> Option<&T> {
        (*self.0.code).any().downcast_ref()
    }

    fn identity(&self) -> &str {
        self.0.identity.get_or_init(|| format!("{:?}", self.0.code).into())
    }

    fn parts(&self) -> (&str, Option<&str>, &str) {
        (&self.0.name, self.0.detail.as_deref(), self.identity())
    }
}

impl Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opaque({})", self.identity())
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.parts() == other.parts()
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

/// What was read in addition to the item of the model that contains it, and is sent back with that
/// item: bytes that have no effect on packets, or another encoding of the same program. It is
/// ignored in comparisons.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Default)]
pub(crate) struct Kept(Option<Box<Opaque>>);

impl Kept {
    pub(crate) fn new<T: Debug + Send + Sync + 'static>(code: T) -> Self {
        Kept(Some(Box::new(Opaque::new("kept", None, code))))
    }

    /// Returns what was read, if it has this type.
    pub(crate) fn code<T: 'static>(&self) -> Option<&T> {
        self.0.as_ref()?.code()
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.0.is_none()
    }
}

impl Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Kept(..)" } else { "Kept" })
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
