//! Errors as runtimes read them: a code, a message, and details.

use std::fmt::Display;

use nftmesh::Escaped;

use super::version;

/// The version is not supported.
pub(crate) const VERSION: u32 = 1;
/// A key of the configuration is not known.
pub(crate) const KEY: u32 = 2;
/// There is no such container.
pub(crate) const CONTAINER: u32 = 3;
/// The environment is not valid.
pub(crate) const ENVIRONMENT: u32 = 4;
pub(crate) const IO: u32 = 5;
/// Something is not JSON.
pub(crate) const DECODE: u32 = 6;
/// The configuration is not valid.
pub(crate) const CONFIGURATION: u32 = 7;
/// It may work later.
pub(crate) const AGAIN: u32 = 11;
/// ADD would fail.
pub(crate) const UNAVAILABLE: u32 = 50;
/// The kernel refused something; its words are in the details.
pub(crate) const KERNEL: u32 = 100;
/// The pod does not have the rules that it should have.
pub(crate) const DIFFERS: u32 = 101;

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: u32,
    message: String,
    details: String,
    /// The version that was asked for, once it is known.
    version: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u32, message: impl Display, details: impl Display) -> Self {
        Failure { code, message: escaped(message), details: escaped(details), version: None }
    }

    /// What the kernel, or this crate, said about a pod.
    pub(crate) fn of(doing: &str, error: &nftmesh::Error) -> Self {
        let code = if error.is_conflict() { AGAIN } else { KERNEL };
        Failure::new(code, doing, error)
    }

    pub(crate) fn in_version(self, version: &str) -> Self {
        Failure { version: Some(version.to_owned()), ..self }
    }

    pub(crate) fn to_json(&self) -> String {
        let Failure { code, message, details, version } = self;
        let version = version.as_deref().unwrap_or(version::NEWEST);
        let object = serde_json::json!({ "cniVersion": version, "code": code, "msg": message, "details": details });
        format!("{object}\n")
    }

    pub(crate) fn is(&self, code: u32) -> bool {
        self.code == code
    }

    /// Returns it in one line.
    pub(crate) fn line(&self) -> String {
        let Failure { code, message, details, .. } = self;
        format!("{message}: {details} (code {code})")
    }
}

fn escaped(text: impl Display) -> String {
    Escaped::new(&text.to_string()).to_string()
}
