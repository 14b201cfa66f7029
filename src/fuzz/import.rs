//! Texts of iptables-save.

use super::{assert_one_line, print};
use crate::bytecode::lower;
use crate::import::{Unknown, iptables_save};
use crate::model::{IpFamily, Ruleset};

/// A text in either family, unknown things refused and kept. What is imported has programs and can
/// be printed, its faults are one line; what is not says so in one line, with a place that is in
/// the text. What is imported at all is the same when unknown things are kept.
pub fn import(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for family in [IpFamily::Ipv4, IpFamily::Ipv6] {
        let refused = iptables_save(&text, family, Unknown::Refuse);
        let kept = iptables_save(&text, family, Unknown::KeepOpaque);
        for error in [refused.as_ref().err(), kept.as_ref().err()].into_iter().flatten() {
            assert_one_line(&error.to_string());
            let line = text.split('\n').nth(error.line - 1).expect("the line of an error is one of the text");
            assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
        }
        if let Ok(imported) = &refused {
            assert_eq!(kept.as_ref(), Ok(imported), "kept otherwise");
        }
        kept.iter().for_each(|imported| whole(&imported.ruleset));
    }
}

fn whole(ruleset: &Ruleset) {
    print(ruleset);
    if let Err(invalid) = ruleset.validate() {
        assert_one_line(&invalid.to_string());
    }
    for table in &ruleset.tables {
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            lower(rule, table.family, table.sets.as_slice()).expect("every rule that is imported has a program");
        }
    }
}
