//! The JSON of nft.

use super::{assert_one_line, print};
use crate::json::{self, JsonError, ToJson};

/// JSON as commands and as a rule set. What is read is written, and read again to the same where it
/// has a form; what is not says why, in one line.
pub fn json(bytes: &[u8]) {
    match json::transaction(bytes) {
        Ok(transaction) => print(&transaction),
        Err(error) => told(&error),
    }
    let read = match json::ruleset(bytes) {
        Ok(read) => read,
        Err(error) => return told(&error),
    };
    print(&read);
    let written = read.to_json();
    if read.validate_strictly().is_err() || written.to_string().contains("<unknown ") {
        return;
    }
    match json::ruleset(written.to_string()) {
        Ok(again) => assert_eq!(again.to_string(), read.to_string(), "{written}"),
        Err(error) => told(&error),
    }
}

fn told(error: &JsonError) {
    assert_one_line(&error.to_string());
    assert!(!error.fault.is_empty());
}
