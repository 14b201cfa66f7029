//! A raised snapshot equals the kernel's state, for rule sets generated from random bytes.

use super::dice::Dice;
use super::laws::{raised_changes_nothing, raised_is_copied, raised_is_made_again};
use crate::support::{in_fresh_netns, say};
use nftmesh::fuzz;
use nftmesh::kernel::Kernel;
use nftmesh::model::{Ruleset, Statement};
use nftmesh::plan::Transaction;
use nftmesh::validate::Severity;

/// Number of rule sets; `NFTMESH_RAISED_CASES` and `NFTMESH_RAISED_SEED` set number and seed.
const RANDOM: u64 = 100;

#[test]
fn generated_rule_sets_are_in_sync_with_themselves_once_read() {
    made_are_in_sync(None, "valid");
}

#[test]
fn generated_odd_rule_sets_are_in_sync_with_themselves_once_read() {
    made_are_in_sync(Some(Severity::Odd), "valid or odd");
}

fn made_are_in_sync(worst: Option<Severity>, what: &str) {
    let mut dice = Dice::new(number("NFTMESH_RAISED_SEED", 1));
    let (mut made, mut rules) = (0, 0);
    in_fresh_netns(|| {
        for _ in 0..number("NFTMESH_RAISED_CASES", RANDOM) {
            let bytes: Vec<u8> = (0..600).map(|_| u8::try_from(dice.below(256)).expect("a byte")).collect();
            let Some(ruleset) = fuzz::ruleset(&bytes, worst).filter(|made| !made.tables.is_empty()) else { continue };
            made += 1;
            rules +=
                ruleset.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum::<usize>();
            is_in_sync(&ruleset);
        }
    });
    assert!(made > 0 || rules == 0);
    say(format_args!("{made} {what} rule sets of {rules} rules installed, read and raised"));
}

#[track_caller]
fn is_in_sync(ruleset: &Ruleset) {
    let mut kernel = Kernel::open().expect("a socket");
    fuzz::encoders(&Transaction::add(ruleset.clone()));
    let applied = match kernel.apply(ruleset) {
        Err(error) if error.to_string().contains("needs CONFIG_NFT_QUEUE") => {
            return is_in_sync(&without_queues(ruleset));
        }
        applied => applied.unwrap_or_else(|error| panic!("{error}\nof\n{ruleset}")),
    };
    assert!(!applied.was_in_sync(), "{ruleset}");
    let plan = kernel.plan(ruleset).expect("it is there");
    assert!(plan.is_empty(), "{}of\n{ruleset}", plan.marked());
    raised_changes_nothing(&mut kernel);
    raised_is_copied(&mut kernel);
    raised_is_made_again(&mut kernel);
    let gone = ruleset.tables.iter().fold(Transaction::new(), |all, table| all.delete_table(&table.into()));
    kernel.commit(&gone).expect("it was there");
}

/// Removes queue statements, for kernels without the expression.
fn without_queues(ruleset: &Ruleset) -> Ruleset {
    let mut without = ruleset.clone();
    for rule in without.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules) {
        rule.statements.retain(|statement| !matches!(statement, Statement::Queue(_)));
    }
    without
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
