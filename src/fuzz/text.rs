//! Texts of nft.

use super::{assert_one_line, print};
use crate::bytecode::lower;
use crate::model::{Family, Ruleset};
use crate::plan::Transaction;
use crate::text::{Reader, Resolve, TextError};

/// Every file includes the text itself, once.
struct Itself<'a>(&'a str);

impl Resolve for Itself<'_> {
    fn include(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        if path.contains('*') { Ok(Vec::new()) } else { Ok(vec![(path.to_owned(), self.0.replace("include", ""))]) }
    }
}

/// A text as a rule set, as commands and as a rule. What is read can be checked, has programs where
/// it is valid, and is read back from what it prints; what is not says why, with a place that is in
/// the text.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let itself = Itself(&text);
    let reader = Reader::new().resolver(&itself).define("given", "{ 10.0.0.1, 10.0.0.2 }");
    match reader.ruleset(&*text) {
        Ok(ruleset) => read_back(&ruleset),
        Err(error) => placed(&error, &text),
    }
    match reader.transaction(&*text) {
        Ok(transaction) => print(&transaction),
        Err(error) => placed(&error, &text),
    }
    for family in [Family::Inet, Family::Ip] {
        if let Err(error) = reader.rule(family, &*text) {
            placed(&error, &text);
        }
    }
    drop(reader.ruleset(bytes));
    drop(text.parse::<Transaction>());
}

fn placed(error: &TextError, text: &str) {
    assert_one_line(&error.one_line());
    assert_eq!(error.to_string().lines().count(), 3, "{error}");
    if error.file.is_none() {
        let line = text.split('\n').nth(error.line - 1).expect("the line of an error is one of the text");
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
    }
}

fn read_back(ruleset: &Ruleset) {
    print(ruleset);
    if let Err(invalid) = ruleset.validate() {
        assert_one_line(&invalid.to_string());
    }
    for table in &ruleset.tables {
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            drop(lower(rule, table.family, table.sets.as_slice()));
        }
    }
    // A chain in braces has no place in the text, and what validates strictly is read by nft.
    if ruleset.validate_strictly().is_err() {
        return;
    }
    let text = ruleset.to_string();
    if text.contains("bound to a rule;") {
        return;
    }
    let read: Ruleset = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let again = read.to_string();
    let twice: Ruleset = again.parse().unwrap_or_else(|error| panic!("{error}\n{again}"));
    assert_eq!(twice.to_string().len(), again.len(), "{again}\nthen\n{twice}");
}
