//! Faults of JSON, with their place.

use std::fmt;

use crate::error::{Error, Kind};

/// Why JSON was not read: the first fault, its place, and what is accepted there.
///
/// `Display` is one line: the path to the value, and the fault.
///
/// ```
/// let json = r#"{ "nftables": [{ "add": { "rule": { "family": "inet", "table": "t", "chain": "c", "expr": [
///     { "match": { "op": "==", "left": { "payload": { "protocol": "tcp", "field": "dport" } }, "right": 65536 } }
/// ] } } }] }"#;
/// let error = nftmesh::json::transaction(json).unwrap_err();
/// assert_eq!(error.path, "nftables[0].add.rule.expr[0].match.right");
/// assert!(error.fault.starts_with("65536 is too large, expected a port"), "{error}");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct JsonError {
    /// The path to the value, `nftables[3].add.rule.expr[0].match.right`; empty for the whole.
    pub path: String,
    /// The fault and what is accepted, in one line.
    pub fault: String,
    /// Whether nft may accept it, and only this crate does not.
    unsupported: bool,
}

impl JsonError {
    pub(super) fn wrong(path: String, fault: impl Into<String>) -> Self {
        JsonError { path, fault: fault.into(), unsupported: false }
    }

    pub(super) fn unsupported(path: String, fault: impl Into<String>) -> Self {
        JsonError { path, fault: fault.into(), unsupported: true }
    }

    /// Returns whether the JSON may be valid, and only has no form in this crate's model yet.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.unsupported
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JsonError { path, fault, .. } = self;
        if path.is_empty() { f.write_str(fault) } else { write!(f, "{path}: {fault}") }
    }
}

impl From<JsonError> for Error {
    fn from(error: JsonError) -> Self {
        Error::new(if error.unsupported { Kind::Unsupported } else { Kind::Invalid }, error.to_string())
    }
}
