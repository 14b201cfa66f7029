//! Properties of every rule set that was read: a plan from it to itself is empty, and a copy of it
//! is the same.

use nftmesh::bytecode::{Expr, LookupSet};
use nftmesh::fuzz::encoders;
use nftmesh::kernel::Kernel;
use nftmesh::model::{Ruleset, Table};
use nftmesh::plan::Transaction;
use nftmesh::state::{Listing, Snapshot};

use crate::support::{assert_same, command, timeless};

/// Reads, raises, plans and applies, and asserts that nothing is to be done. A table with an owner
/// belongs to `kernel`.
#[track_caller]
pub(super) fn raised_changes_nothing(kernel: &mut Kernel) {
    let snapshot = kernel.snapshot().expect("a snapshot");
    let raised = snapshot.raise();
    let text = || listed("ruleset").unwrap_or_else(|| Listing::new(&snapshot).to_string());
    assert_eq!((raised.unnamed.as_slice(), raised.opaque.as_slice()), (&[][..], &[][..]), "{}", text());
    assert_eq!(raised.ruleset.validate(), Ok(()), "{}", text());
    let plan = kernel.plan(&raised.ruleset).unwrap_or_else(|error| panic!("{error}\n{}", text()));
    assert!(plan.is_empty(), "{}of\n{}", plan.marked(), text());
    assert!(kernel.apply(&raised.ruleset).expect("nothing to do").was_in_sync(), "{}", text());
    assert_eq!(timed(kernel.snapshot().expect("a snapshot")), timed(snapshot.clone()), "{}", text());
    assert_eq!(kernel.verify(&raised.ruleset).expect("readable"), []);
    encoders(&Transaction::replace(raised.ruleset));
}

/// Returns a snapshot without what changes within a generation: the remaining times of elements,
/// and the order in which the kernel reports those of a set, since a hash table may grow later.
fn timed(mut snapshot: Snapshot) -> Snapshot {
    for set in snapshot.tables.iter_mut().flat_map(|table| &mut table.sets) {
        set.expires.iter_mut().for_each(|left| *left = left.map(|_| 0));
        set.order.clear();
    }
    let chains = snapshot.tables.iter_mut().flat_map(|table| &mut table.chains);
    for expr in chains.flat_map(|chain| &mut chain.rules).flat_map(|rule| &mut rule.exprs) {
        if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } | Expr::Opaque { set: Some(set), .. } = expr {
            set.order.clear();
        }
    }
    snapshot
}

/// Copies every table under another name, and asserts that nft lists both alike and no plan
/// remains.
#[track_caller]
pub(super) fn raised_is_copied(kernel: &mut Kernel) {
    let raised = kernel.snapshot().expect("a snapshot").raise().ruleset;
    let copies: Ruleset = raised.tables.iter().cloned().map(copy).collect();
    let made = Transaction::add(copies.clone());
    encoders(&made);
    kernel.commit(&made).unwrap_or_else(|error| panic!("{error}\nof\n{raised}"));
    for (table, copy) in raised.tables.iter().zip(&copies.tables) {
        let list = |table: &Table| listed(&format!("table {} {}", table.family, table.name));
        let (of, copied) = (list(table), list(copy).map(|text| text.replacen("-copy {", " {", 1)));
        if let (Some(of), Some(copied)) = (of, copied) {
            assert_same(&of, &copied, &format!("{} {} and its copy, by nft", table.family, table.name));
        }
    }
    let both: Ruleset = raised.tables.iter().chain(&copies.tables).cloned().collect();
    let plan = kernel.plan(&both).expect("readable");
    assert!(plan.is_empty(), "{}of\n{raised}", plan.marked());
    kernel
        .commit(&copies.tables.iter().fold(Transaction::new(), |all, table| all.delete_table(&table.into())))
        .expect("gone");
}

/// Deletes every table and makes it again from its raised form, and asserts that all is as it was.
#[track_caller]
pub(super) fn raised_is_made_again(kernel: &mut Kernel) {
    let (raised, before) = (kernel.snapshot().expect("a snapshot").raise().ruleset, listed("ruleset"));
    kernel.commit(&Transaction::replace(raised.clone())).unwrap_or_else(|error| panic!("{error}\nof\n{raised}"));
    if let (Some(before), Some(after)) = (before, listed("ruleset")) {
        assert_same(&before, &after, "what was made again, by nft");
    }
    let plan = kernel.plan(&raised).expect("readable");
    assert!(plan.is_empty(), "{}of\n{raised}", plan.marked());
}

/// Opens a socket in this namespace.
#[track_caller]
pub(super) fn opened() -> Kernel {
    Kernel::open().expect("a socket")
}

/// Returns nft's listing without remaining times; `None` when nft crashes, as 1.0.6 does over some
/// sets, or cannot name something.
fn listed(what: &str) -> Option<String> {
    let output = command("nft").arg("list").args(what.split(' ')).output().expect("nft is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let listed = output.status.code().is_some_and(|code| {
        assert!(code == 0 || what != "ruleset", "nft list {what}: {}", String::from_utf8_lossy(&output.stderr));
        code == 0
    });
    listed.then(|| in_order(&timeless(&text)))
}

/// Sorts the elements of each set: nft prints some in the order of the kernel's hash table.
fn in_order(listing: &str) -> String {
    let mut parts = listing.split("{ ");
    let mut ordered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (elements, rest) = part.split_once(" }").unwrap_or((part, ""));
        let mut elements: Vec<&str> = elements.split(',').map(str::trim).collect();
        elements.sort_unstable();
        ordered.extend(["{ ", &elements.join(", "), " }", rest]);
    }
    ordered
}

fn copy(mut table: Table) -> Table {
    table.name = format!("{}-copy", table.name).into();
    table
}
