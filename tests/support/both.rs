//! A fake beside the kernel: both get the same transactions, and must give the same answers and
//! have the same state afterwards.

#[path = "agree/dice.rs"]
#[allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]
pub mod dice;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use dice::Dice;
use nftmesh::Error;
use nftmesh::kernel::{Fake, Kernel, Nftables};
use nftmesh::model::{ChainId, RuleHandle, SetHandle, TableHandle};
use nftmesh::plan::{Operation, Transaction};
use nftmesh::state::{Listing, Snapshot};

use super::support::readback::without_numbers_of_the_kernel;
use super::support::{in_fresh_netns, say};

/// Makes a transaction for a state.
type Make = fn(&mut Dice, &Snapshot) -> Transaction;

/// Number of transactions after which everything starts anew.
const ROUND: u64 = 40;

/// The kernel waits for readers after each commit, so several at a time cost nothing.
const AT_ONCE: u64 = 4;

/// Asserts that `usual` transactions have the same effect in both; `NFTMESH_FAKE_CASES` and
/// `NFTMESH_FAKE_SEED` set number and seed.
#[track_caller]
pub fn agree(usual: u64, make: Make) {
    let (cases, first) = (number("NFTMESH_FAKE_CASES", usual), number("NFTMESH_FAKE_SEED", 0) / ROUND * ROUND);
    let seen = Mutex::new(Seen::default());
    let rounds = cases.div_ceil(ROUND);
    thread::scope(|scope| {
        for part in 0..AT_ONCE {
            let seen = &seen;
            scope.spawn(move || {
                (part..rounds).step_by(AT_ONCE as usize).for_each(|round| one_round(first + round * ROUND, make, seen))
            });
        }
    });
    let Seen { taken, refused, invalid, unknown, wrong } = seen.into_inner().expect("no thread failed");
    say(format_args!(
        "{taken} transactions taken by both, {refused} refused, {invalid} invalid, {unknown} the fake could not tell"
    ));
    assert!(wrong.is_empty(), "{} differences, the fake, then the kernel:\n{}", wrong.len(), wrong.join("\n"));
    assert!(taken + refused + invalid == 0 || taken > cases / 10 && refused > cases / 10 && unknown < cases / 20);
}

fn one_round(first: u64, make: Make, all: &Mutex<Seen>) {
    let mut seen = Seen::default();
    in_fresh_netns(|| {
        let (mut kernel, mut fake) = (Kernel::open().expect("a socket"), Fake::new());
        for seed in first..first + ROUND {
            one(seed, make, &mut kernel, &mut fake, &mut seen);
        }
    });
    all.lock().expect("no thread failed").add(seen);
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[derive(Default)]
struct Seen {
    taken: u64,
    refused: u64,
    invalid: u64,
    unknown: u64,
    /// Differences: what the fake did, and what the kernel did.
    wrong: Vec<String>,
}

impl Seen {
    fn add(&mut self, Seen { taken, refused, invalid, unknown, wrong }: Seen) {
        self.taken += taken;
        self.refused += refused;
        self.invalid += invalid;
        self.unknown += unknown;
        self.wrong.extend(wrong);
    }
}

fn one(seed: u64, make: Make, kernel: &mut Kernel, fake: &mut Fake, seen: &mut Seen) {
    let before = kernel.snapshot().expect("a snapshot");
    let theirs = make(&mut Dice::new(seed), &before);
    let ours = make(&mut Dice::new(seed), &fake.snapshot().expect("held"));
    let is_dry = Dice::new(seed).chance(10);
    let is_asked = Dice::new(seed).chance(30);
    let run = |nftables: &mut dyn Nftables, transaction: &Transaction| match (is_dry, is_asked) {
        (true, _) => nftables.check(transaction).map(|()| None),
        (false, true) => nftables.commit_echo(transaction).map(Some),
        (false, false) => nftables.commit(transaction).map(|()| None),
    };
    let (taken, answer) = (run(kernel, &theirs), run(fake, &ours));
    if answer.as_ref().is_err_and(|error| error.to_string().contains("cannot tell")) {
        // A snapshot may then not show everything in the kernel.
        seen.unknown += 1;
        kernel.flush_ruleset().expect("all tables are ours");
        *fake = Fake::from(kernel.snapshot().expect("a snapshot"));
        return;
    }
    if taken.is_err() {
        // The kernel forgets a refused batch's changes of an interval set with the next tick.
        thread::sleep(Duration::from_millis(10));
    }
    match &taken {
        Ok(_) => seen.taken += 1,
        Err(error) if error.is_invalid() => seen.invalid += 1,
        Err(_) => seen.refused += 1,
    }
    let context = || format!("seed {seed}, by\n{theirs}in\n{}", Listing::new(&before).with_handles());
    let after = kernel.snapshot().expect("a snapshot");
    let held = fake.snapshot().expect("held");
    let made = (places(&answer, &ours, &held), places(&taken, &theirs, &after));
    let (ours, theirs) = (reason(&answer), reason(&taken));
    let (held, there) = (contents(held), contents(after.clone()));
    if ours != theirs {
        seen.wrong.push(format!("{ours:?}\n{theirs:?}\n{}", context()));
    } else if made.0 != made.1 {
        seen.wrong.push(format!("{made:?}\n{}", context()));
    } else if held != there {
        let lists = [&held, &there].map(|snapshot| format!("{:#?}", snapshot));
        let end = (is_dry, theirs);
        let listed = [&held, &there].map(|snapshot| Listing::new(snapshot).to_string());
        seen.wrong.push(format!("{}{}{end:?}\n{}", first_difference(&listed), first_difference(&lists), context()));
    } else {
        return;
    }
    *fake = Fake::from(after);
}

/// Returns the places of added rules in their chains, by the returned handles.
fn places(
    answer: &Result<Option<Vec<RuleHandle>>, Error>,
    transaction: &Transaction,
    held: &Snapshot,
) -> Option<Vec<Option<usize>>> {
    let handles = answer.as_ref().ok()?.as_ref()?;
    let chains = transaction.operations().iter().filter_map(|operation| match operation {
        Operation::AddRule { chain, .. } | Operation::ReplaceRule { chain, .. } => Some(chain),
        _ => None,
    });
    let chains: Vec<_> = chains.collect();
    assert_eq!(chains.len(), handles.len(), "{transaction}");
    let place = |(chain, handle): (&ChainId, &RuleHandle)| {
        let chain = held.table(&chain.table)?.chain(chain.name.as_str())?;
        chain.rules.iter().position(|rule| rule.handle == *handle)
    };
    Some(chains.into_iter().zip(handles).map(place).collect())
}

/// Returns the first differing lines, each with its context.
pub fn first_difference([ours, theirs]: &[String; 2]) -> String {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (ours.lines().collect(), theirs.lines().collect());
    let at = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs).unwrap_or(ours.len().min(theirs.len()));
    let around = |lines: &[&str]| {
        lines.iter().skip(at.saturating_sub(8)).take(12).map(|line| format!("{line}\n")).collect::<String>()
    };
    format!("{}----\n{}", around(&ours), around(&theirs))
}

/// The text of an error, its kinds and its refusals, without the numbers of rules.
pub type Reason = (String, [bool; 5], Vec<(Option<usize>, i32, String)>);

/// Returns what a caller can see of an error.
pub fn reason<T>(answer: &Result<T, Error>) -> Option<Reason> {
    let error = answer.as_ref().err()?;
    let kinds =
        [error.is_conflict(), error.is_invalid(), error.is_not_found(), error.is_permission(), error.is_unsupported()];
    let refusals = error.refusals().iter().map(|refusal| {
        (refusal.operation, refusal.errno, without_numbers(&format!("{}: {}", refusal.what, refusal.remedy)))
    });
    Some((without_numbers(&error.to_string()), kinds, refusals.collect()))
}

/// Removes the numbers in names of bound chains, which the kernel counts for all namespaces.
pub fn without_names(text: &str) -> String {
    without_digits_after(text, "__chain")
}

/// Removes handles, which the two count differently.
pub fn without_numbers(text: &str) -> String {
    without_digits_after(text, "handle ")
}

fn without_digits_after(text: &str, marker: &str) -> String {
    let mut parts = text.split(marker);
    let first = parts.next().unwrap_or_default().to_owned();
    let kept = marker.trim_end();
    parts.fold(first, |text, part| text + kept + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Removes handles, generation, and what only the kernel measures.
pub fn contents(mut snapshot: Snapshot) -> Snapshot {
    for table in &mut snapshot.tables {
        table.handle = TableHandle::default();
        without_numbers_of_the_kernel(&mut table.chains);
        for set in &mut table.sets {
            (set.handle, set.backend, set.count, set.order) = (SetHandle::default(), None, None, Vec::new());
            set.expires.iter_mut().for_each(|left| *left = left.map(|_| 0));
        }
    }
    snapshot
}
