//! Bodies of the fuzz targets (fuzz/fuzz_targets). Each takes any bytes and panics where the crate
//! breaks a promise.
//!
//! They live in the crate because they reach what users cannot: the decoder without a socket, the
//! encoder without a kernel. `tests/inside/corpus.rs` replays every file of tests/corpus through
//! them. They are built for the crate's own tests and with `--cfg fuzzing`, and are not part of its
//! interface.

#[cfg(feature = "sim")]
mod compare;
pub(crate) mod contents;
mod echo;
#[cfg(feature = "import")]
mod import;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "sim")]
mod judge;
#[cfg(feature = "mesh")]
mod options;
mod replies;
mod rules;
#[cfg(feature = "sim")]
mod situation;
mod source;
mod text;
#[cfg(feature = "sim")]
mod walk;

#[cfg(feature = "sim")]
pub use compare::compare;
#[cfg(feature = "import")]
pub use import::import;
#[cfg(feature = "json")]
pub use json::json;
#[cfg(feature = "sim")]
pub use judge::Judge;
#[cfg(feature = "mesh")]
pub use options::options;
pub use replies::replies;
pub use text::text;
#[cfg(feature = "sim")]
pub use walk::walk;

use std::fmt::{self, Display, Write};

use crate::attr::Messages;
use crate::bytecode::{Expr, PayloadBase, lower, lower_elements, lower_set, raise, raise_set};
use crate::kernel::Fake;
use crate::model::{Family, Generation, Position, Rule, Ruleset, Set, Table, TableId};
use crate::netlink::{self, Assembly, Backend, Ending, KnownSets};
use crate::plan::{self, Operation, State, Transaction};
use crate::state::{Listing, RuleState, Snapshot};
use crate::validate::Severity;
use contents::contents;
use source::Source;

/// A datagram of a dump, of events or of a trace: decodes or is an error, and whatever decodes can
/// be raised and printed.
pub fn decode(datagram: &[u8]) {
    let mut assembly = Assembly::new(None);
    let read = Messages::new(datagram).try_for_each(|message| assembly.read(&message?));
    let items = netlink::datagram(datagram);
    assert_eq!(read, items.map(drop), "message by message and all at once");
    for request in assembly.element_requests() {
        assembly.settle(&request);
    }
    let snapshot = assembly.finish(Generation(0));
    show(&snapshot);
    restore(&snapshot);
    Messages::new(datagram).flatten().for_each(|message| {
        print(&netlink::event(&message));
        print(&netlink::trace(&message));
    });
}

/// A rule set made of these bytes. What validates has a program, which the encoder says, the
/// decoder reads, and raising and lowering leave as it is; what does not says why in one line.
pub fn roundtrip(bytes: &[u8]) {
    if let Some(ruleset) = made_valid(&mut Source::new(bytes)) {
        valid(ruleset);
    }
}

/// Two rule sets made of these bytes. The plan from the first to the second is taken by a kernel
/// that holds the first, which then holds the second; from the second to the second there is
/// nothing to do.
pub fn diff(bytes: &[u8]) {
    let mut from = Source::new(bytes);
    let (Some(held), Some(wanted)) = (made_valid(&mut from), made_valid(&mut from)) else { return };
    let (mut machine, fresh) = (installed(&held), installed(&wanted));
    let ours: Vec<TableId> = held.tables.iter().map(TableId::from).collect();
    let planned = plan::diff(&machine.held(), &wanted, &ours).expect("a valid rule set has programs");
    print(&planned);
    plan::differences(&planned, &machine.held()).iter().for_each(|difference| print(difference));
    machine.commit(&planned).unwrap_or_else(|why| panic!("{why}\nfrom\n{held}\nto\n{wanted}\nby\n{planned}"));
    assert_eq!(contents(&machine.held()), contents(&fresh.held()), "from\n{held}\nto\n{wanted}\nby\n{planned}");
    let again = plan::diff(&machine.held(), &wanted, &ours).expect("a valid rule set has programs");
    assert!(again.is_empty(), "{wanted}\nis the same but for\n{again}");
}

/// Returns what a kernel holds that got this rule set; nothing if the fake one cannot tell.
#[cfg(test)]
pub(crate) fn held(ruleset: &Ruleset) -> Option<crate::state::Snapshot> {
    let mut machine = Fake::new();
    match machine.commit(&Transaction::add(ruleset.clone())) {
        Ok(_) => Some(machine.held()),
        Err(why) if why.kind() == crate::error::ErrorKind::Unsupported => None,
        Err(why) => panic!("{why}\nof\n{ruleset}"),
    }
}

fn installed(ruleset: &Ruleset) -> Fake {
    let mut machine = Fake::new();
    let all = Transaction::add(ruleset.clone());
    machine.commit(&all).unwrap_or_else(|why| panic!("{why}\nof\n{ruleset}"));
    machine
}

/// A rule set made of these bytes, without what was at fault in it; with [`Severity::Odd`] it may
/// keep what is odd. `None` when taking faults out found no end.
#[must_use]
pub fn ruleset(bytes: &[u8], worst: Option<Severity>) -> Option<Ruleset> {
    made(&mut Source::new(bytes), worst)
}

/// A rule set without any fault.
fn made_valid(from: &mut Source<'_>) -> Option<Ruleset> {
    made(from, None)
}

fn made(from: &mut Source<'_>, worst: Option<Severity>) -> Option<Ruleset> {
    let mut ruleset = rules::ruleset(from);
    for _ in 0..ROUNDS {
        let checked = match worst {
            None => ruleset.validate_strictly(),
            Some(Severity::Odd) => ruleset.validate(),
            Some(Severity::Refused) => Ok(()),
        };
        let Err(invalid) = checked else { return Some(ruleset) };
        assert_one_line(&invalid.to_string());
        print(&ruleset);
        for table in &ruleset.tables {
            let rules = table.chains.iter().flat_map(|chain| &chain.rules);
            rules.for_each(|rule| drop(lower(rule, table.family, table.sets.as_slice())));
            table.sets.iter().for_each(|set| drop((lower_set(set), lower_elements(set).count())));
        }
        ruleset = rules::without_faults(ruleset, &invalid);
    }
    None
}

/// How often faults are taken out of a rule set.
const ROUNDS: usize = 12;

fn valid(ruleset: Ruleset) {
    print(&ruleset);
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
    print(&transaction);
    let known = KnownSets::of(&transaction);
    encoders(&transaction);
    let batch =
        netlink::encode(&transaction, &known, Ending::AcknowledgedEnd, 1).expect("what is valid can be encoded");
    let snapshot = echo::committed(batch.messages.as_bytes(), &ruleset);
    echo::assert_holds(&snapshot, &ruleset);
    show(&snapshot);
}

/// Whatever was read can be encoded again or is refused, and what is encoded can be read.
fn restore(snapshot: &Snapshot) {
    for table in &snapshot.tables {
        let id = &table.id;
        let restore = |state| Operation::Restore { table: id.clone(), state: Box::new(state) };
        let rules = table.chains.iter().flat_map(|chain| {
            let last = |rule: &RuleState| State::Rule {
                chain: chain.name.clone(),
                position: Position::Last,
                rule: rule.clone(),
            };
            chain.rules.iter().map(last)
        });
        let states = [State::Table(table.clone())].into_iter();
        let states = states.chain(table.chains.iter().cloned().map(State::Chain));
        let states = states.chain(table.objects.iter().cloned().map(State::Object));
        let states = states.chain(table.sets.iter().cloned().map(State::Set)).chain(rules);
        for state in states {
            let mut transaction = Transaction::new();
            transaction.extend([restore(state)]);
            let known = KnownSets::of(&transaction);
            let Ok(batch) = netlink::encode_with(Backend::Own, &transaction, &known, Ending::DryRun, 1) else {
                continue;
            };
            let mut assembly = Assembly::new(None);
            for message in Messages::new(batch.messages.as_bytes()) {
                assembly.read(&message.expect("what was encoded is whole")).expect("what was encoded is whole");
            }
        }
    }
}

/// Encodes a transaction with both backends, which must make the same messages for the same parts
/// of it.
pub fn encoders(transaction: &Transaction) {
    let known = KnownSets::of(transaction);
    let [own, other] = [Backend::Own, Backend::default()]
        .map(|backend| netlink::encode_with(backend, transaction, &known, Ending::AcknowledgedEnd, 1));
    match (own, other) {
        (Ok(own), Ok(other)) => {
            let [mut ours, mut theirs] =
                [&own, &other].map(|encoded| Messages::new(encoded.messages.as_bytes()).skip(1));
            for origin in &own.origins {
                let (ours, theirs) = (ours.next(), theirs.next());
                let operation = transaction.operations().get(origin.operation);
                assert_eq!(ours, theirs, "{origin:?} of {}", operation.map(ToString::to_string).unwrap_or_default());
            }
            assert!(own.messages.as_bytes() == other.messages.as_bytes(), "the end of\n{transaction}");
            assert_eq!(own.origins, other.origins);
        }
        (own, other) => {
            let reason =
                |result: Result<_, (usize, _)>| result.map(drop).map_err(|(at, why)| format!("op {at}: {why}"));
            assert_eq!(reason(own), reason(other));
        }
    }
}

/// Encodes with our own encoder, and returns the bytes that it takes.
pub fn encode_own(transaction: &Transaction) -> usize {
    encode_with(Backend::Own, transaction)
}

/// Encodes with what commits use, and returns the bytes that it takes.
pub fn encode_default(transaction: &Transaction) -> usize {
    encode_with(Backend::default(), transaction)
}

fn encode_with(backend: Backend, transaction: &Transaction) -> usize {
    let known = KnownSets::of(transaction);
    let encoded = netlink::encode_with(backend, transaction, &known, Ending::AcknowledgedEnd, 1);
    encoded.expect("what is valid can be encoded").messages.len()
}

fn set(set: &Set) {
    let code = lower_set(set).expect("a valid set has a program");
    let elements: Vec<_> = lower_elements(set).map(|element| element.expect("a valid set has a program")).collect();
    let raised = raise_set(&set.name, &code, &elements).unwrap_or_else(|why| panic!("{why}: {set:?}"));
    assert_eq!(lower_set(&raised), Ok(code), "{set:?}");
    let again: Result<Vec<_>, _> = lower_elements(&raised).collect();
    assert_eq!(again, Ok(elements), "{set:?}");
}

/// Lowers to that program, and is what that program says.
fn assert_is(rule: &Rule, program: &[Expr], family: Family, sets: &[Set]) {
    let again = lower(rule, family, sets).expect("what was raised has a program").exprs;
    // The first two bytes of a header without ports are two fields, which nft loads and reads as
    // one.
    let one_load = program
        .iter()
        .any(|expr| matches!(expr, Expr::Payload { base: PayloadBase::TRANSPORT, offset: 0, len: 2, .. }));
    assert!(again == program || one_load && again.len() > program.len(), "{rule}: {again:?}, not {program:?}");
    assert_eq!(raise(&again, &[], family, sets), *rule);
}

/// Raises and prints all of it.
fn show(snapshot: &Snapshot) {
    let raised = snapshot.raise();
    print(&raised.ruleset);
    raised.unnamed.iter().for_each(|unnamed| print(unnamed));
    let listing = Listing::new(snapshot).with_handles();
    print(&listing);
    listing.warnings().for_each(drop);
}

/// Prints it to nobody.
fn print(shown: &dyn Display) {
    struct Nobody;

    impl Write for Nobody {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }

    write!(Nobody, "{shown}").expect("a Display fails only with what it writes to");
}

fn assert_one_line(text: &str) {
    assert!(!text.contains(['\n', '\r', '\0']), "more than one line: {text:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn rule_sets_from_arbitrary_bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            roundtrip(&bytes);
        }

        #[test]
        fn plans_between_rule_sets_from_arbitrary_bytes_are_correct(bytes in proptest::collection::vec(any::<u8>(), 0..900)) {
            diff(&bytes);
        }
    }

    #[test]
    fn most_generated_rule_sets_are_valid_and_cover_every_statement() {
        let mut kinds = std::collections::BTreeMap::new();
        let (mut made, mut sets, mut state) = (0, 0, 1_u64);
        for _ in 0..1000 {
            let bytes = crate::testing::bytes(&mut state, 500);
            let Some(ruleset) = made_valid(&mut Source::new(&bytes)) else { continue };
            made += 1;
            sets += ruleset.tables.iter().map(|table| table.sets.len()).sum::<usize>();
            let chains = ruleset.tables.iter().flat_map(|table| &table.chains);
            for statement in chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements) {
                *kinds.entry(format!("{:.8}", format!("{statement:?}"))).or_insert(0) += 1;
            }
        }
        assert!(made > 900 && sets > 500 && kinds.len() == 17, "{made} of 1000, {sets} sets, {kinds:?}");
    }
}
