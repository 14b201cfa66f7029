//! Bodies of the fuzz targets (fuzz/fuzz_targets). Each takes any bytes and panics where the crate breaks a promise.
//!
//! They live in the crate because they reach what users cannot: the decoder without a socket, the encoder without a kernel.
//! `tests/fuzz_corpus.rs` replays every file of fuzz/corpus through them. No part of the crate's interface.

mod echo;
mod options;
mod replies;
mod rules;
mod source;

pub use options::options;
pub use replies::replies;

use crate::bytecode::{Expr, lower, lower_elements, lower_set, raise, raise_set};
use crate::model::{Chain, Family, Rule, Ruleset, Set, Table};
use crate::netlink::{self, Assembly, Ending, KnownSets, Replies};
use crate::plan::{Generation, SetState, Snapshot, TableState, Transaction};
use source::Source;

/// A datagram of a dump: decodes or is an error, and whatever decodes can be raised and printed.
pub fn decode(datagram: &[u8]) {
    let mut assembly = Assembly::new(None);
    let read = Replies::new(datagram).try_for_each(|message| assembly.read(&message?));
    let items = netlink::datagram(datagram);
    assert_eq!(read, items.map(drop), "message by message and all at once");
    for request in assembly.element_requests() {
        assembly.settle(&request);
    }
    show(&assembly.finish(Generation(0)));
}

/// A rule set made of these bytes. What validates has a program, which the encoder says, the decoder reads, and raising and lowering
/// leave as it is; what does not says why in one line.
pub fn roundtrip(bytes: &[u8]) {
    let mut ruleset = rules::ruleset(&mut Source::new(bytes));
    for _ in 0..ROUNDS {
        let Err(invalid) = ruleset.validate() else { return valid(ruleset) };
        assert_one_line(&invalid.to_string());
        drop(ruleset.to_string());
        for table in &ruleset.tables {
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            rules.for_each(|rule| drop(lower(rule, table.family, table.sets.as_slice())));
            table.sets.iter().for_each(|set| drop((lower_set(set), lower_elements(set).count())));
        }
        ruleset = rules::without_faults(ruleset, &invalid);
    }
}

/// How often faults are taken out of a rule set; what is left then is given up.
const ROUNDS: usize = 12;

fn valid(ruleset: Ruleset) {
    drop(ruleset.to_string());
    for Table { family, sets, chains, .. } in &ruleset.tables {
        for rule in chains.iter().flat_map(|chain| &chain.rules) {
            assert_one_line(&rule.to_string());
            let program = lower(rule, *family, sets.as_slice()).expect("a valid rule has a program").exprs;
            let raised = raise(&program, &[], *family, sets.as_slice());
            assert_is(&raised, &program, *family, sets.as_slice());
        }
        sets.iter().for_each(set);
    }
    let transaction = Transaction::add(ruleset.clone());
    drop(transaction.to_string());
    let known = KnownSets::of(&transaction);
    let batch =
        netlink::encode(&transaction, &known, Ending::AcknowledgedEnd, 1).expect("what is valid can be encoded");
    let snapshot = echo::committed(batch.messages.as_bytes());
    echo::assert_holds(&snapshot, &ruleset);
    show(&snapshot);
}

fn set(set: &Set) {
    let code = lower_set(set).expect("a valid set has a program");
    let elements: Vec<_> = lower_elements(set).map(|element| element.expect("a valid set has a program")).collect();
    let raised = raise_set(&set.name, &code, &elements).expect("what we lowered can be raised");
    assert_eq!(lower_set(&raised), Ok(code), "{set:?}");
    let again: Result<Vec<_>, _> = lower_elements(&raised).collect();
    assert_eq!(again, Ok(elements), "{set:?}");
}

/// Lowers to that program, and is what that program says.
fn assert_is(rule: &Rule, program: &[Expr], family: Family, sets: &[Set]) {
    let again = lower(rule, family, sets).expect("what was raised has a program").exprs;
    assert_eq!(again, program, "{rule}");
    assert_eq!(raise(&again, &[], family, sets), *rule);
}

/// Raises and prints all of it.
fn show(snapshot: &Snapshot) {
    drop(format!("{snapshot:?}"));
    for TableState { id, sets: states, chains, .. } in &snapshot.tables {
        let mut table = Table::new(id.family, &id.name);
        for SetState { name, code, elements, .. } in states {
            match raise_set(name, code, elements) {
                Ok(set) => table.sets.push(set),
                Err(reason) => drop(reason.to_string()),
            }
        }
        for state in chains {
            let sets = table.sets.as_slice();
            let rules = state.rules.iter().map(|rule| raise(&rule.exprs, &rule.userdata, id.family, sets));
            table.chains.push(Chain::regular(&state.name).rules(rules));
        }
        drop(Ruleset::new().table(table).to_string());
    }
}

fn assert_one_line(text: &str) {
    assert!(!text.contains(['\n', '\r', '\0']), "more than one line: {text:?}");
}
