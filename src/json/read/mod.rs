//! Reads what programs send to `nft -j -f -`: JSON becomes the text that says the same, and
//! [`text`](crate::text) reads that.

mod error;
mod expressions;
mod objects;
mod script;
mod statements;

pub use error::JsonError;

use serde_json::Value;

use self::script::Script;
use crate::model::Ruleset;
use crate::plan::Transaction;
use crate::text::{Reader, TextError};

/// Reads commands: what programs send to `nft -j -f -`. Objects alone are added.
///
/// # Errors
/// The first fault, with the path to it.
pub fn transaction(json: impl AsRef<[u8]>) -> Result<Transaction, JsonError> {
    Reader::new().json_transaction(&parsed(json.as_ref())?)
}

/// Reads a rule set: what `nft -j list ruleset` prints, and commands that make one of an empty
/// one.
///
/// # Errors
/// The first fault, with the path to it.
pub fn ruleset(json: impl AsRef<[u8]>) -> Result<Ruleset, JsonError> {
    Reader::new().json_ruleset(&parsed(json.as_ref())?)
}

/// JSON, with the options of a reader.
impl Reader<'_> {
    /// Reads commands of nft's JSON; see [`json::transaction`](transaction).
    ///
    /// # Errors
    /// The first fault, with the path to it.
    pub fn json_transaction(&self, json: &Value) -> Result<Transaction, JsonError> {
        read(json, |text| self.transaction(text))
    }

    /// Reads a rule set of nft's JSON; see [`json::ruleset`](ruleset).
    ///
    /// # Errors
    /// The first fault, with the path to it.
    pub fn json_ruleset(&self, json: &Value) -> Result<Ruleset, JsonError> {
        read(json, |text| self.ruleset(text))
    }
}

fn parsed(json: &[u8]) -> Result<Value, JsonError> {
    serde_json::from_slice(json).map_err(|error| JsonError::wrong(String::new(), format!("no JSON: {error}")))
}

fn read<T>(json: &Value, read: impl FnOnce(&str) -> Result<T, TextError>) -> Result<T, JsonError> {
    let mut script = Script::default();
    let root = script.root(json);
    script.commands(root)?;
    read(script.text()).map_err(|error| {
        let path = script.path_of(error.line, error.column);
        if error.is_unsupported() {
            JsonError::unsupported(path, error.fault)
        } else {
            JsonError::wrong(path, error.fault)
        }
    })
}
