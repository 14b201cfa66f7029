//! A snapshot goes back to the kernel as it was read: a copy of a table made from its snapshot is
//! the same table.
//!
//! Every table is copied under another name into the same namespace, by the messages that restore
//! it. Then both are read, compared byte for byte, and listed by nft. The large inputs are beside
//! the project (`../shared/nft-corpus`); the inputs here contain one of everything.

use std::fs;
use std::path::Path;

use crate::support::corpus::{EVERYTHING, XTABLES, as_this_kernel, corpus, files_of, loads, rules_of};
use crate::support::readback::without_numbers_of_the_kernel;
use crate::support::{self, assert_same, in_fresh_netns, nft, nft_script, say};
use nftmesh::fuzz;
use nftmesh::kernel::Kernel;
use nftmesh::model::{ObjectHandle, Position, SetHandle, TableHandle, TableId};
use nftmesh::plan::{Operation, State, Transaction};
use nftmesh::state::{ChainState, Snapshot, TableState};

#[test]
fn a_table_with_one_of_everything_is_copied_completely() {
    in_fresh_netns(|| {
        for script in EVERYTHING {
            nft_script("flush ruleset");
            nft_script(&as_this_kernel(script));
            copies_are_the_same();
        }
    });
}

/// Matches need the protocol that a rule checks, which is an attribute that no dump contains.
#[test]
fn rules_of_iptables_nft_are_copied_completely() {
    // Their owners are users that only the host's root may name.
    if !support::needs_root() {
        return;
    }
    in_fresh_netns(|| {
        for (program, rule) in XTABLES {
            support::succeed(program, rule, "");
        }
        // Targets also need the name of the table, so there can be no copy under another name.
        remade_is_the_same();
    });
}

#[test]
fn a_flowtable_is_copied_completely() {
    in_fresh_netns(|| {
        let taken = loads(
            "table inet t {
                flowtable fast { hook ingress priority 3; devices = { lo }; counter; }
                chain f { type filter hook forward priority 0; policy accept; ip protocol tcp flow add @fast; }
            }",
        );
        if taken {
            copies_are_the_same();
        } else {
            say("SKIP: a_flowtable_is_copied_completely: this kernel has no flowtables (CONFIG_NFT_FLOW_OFFLOAD)");
        }
    });
}

#[test]
fn real_rule_sets_are_copied_completely() {
    let Some(folder) = corpus("real") else { return };
    files_are_copied_whole(&folder);
}

/// Small inputs that were listed, read back or walked wrongly once, and what two programs install.
#[test]
fn what_was_read_wrongly_once_is_copied_whole() {
    let Some(folder) = corpus("../findings") else { return };
    files_are_copied_whole(&folder);
}

/// The examples that do what programs with rules of their own do.
#[test]
fn what_programs_install_is_copied_whole() {
    for (program, argument) in
        [("container", None), ("forward", None), ("mesh_init", None), ("services", None), ("vpn", Some("lo"))]
    {
        in_fresh_netns(|| {
            let output = support::command(&support::example(program).to_string_lossy()).args(argument).output();
            let output = output.expect("the example runs");
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            assert_ne!(nft("list ruleset"), "", "{program}");
            copies_are_the_same();
        });
    }
}

#[track_caller]
fn files_are_copied_whole(folder: &Path) {
    let (mut copied, mut refused) = (0, Vec::new());
    for path in files_of(folder) {
        if path.extension().is_none_or(|extension| extension != "nft") {
            continue;
        }
        in_fresh_netns(|| {
            let text = fs::read_to_string(&path).expect("text");
            if loads(&text) {
                copies_are_the_same();
                copied += 1;
            } else {
                refused.push(path.clone());
            }
        });
    }
    say(format_args!("{copied} rule sets copied, {} not taken by nft: {refused:?}", refused.len()));
    assert!(copied > refused.len());
}

#[test]
fn every_rule_of_the_corpus_is_copied_completely() {
    let Some(file) = corpus("rules.tsv") else { return };
    let rules = rules_of(&file);
    let (mut copied, mut refused) = (0, Vec::new());
    for some in rules.chunks(100) {
        in_fresh_netns(|| {
            if loads(&some.concat()) {
                copied += some.len();
            } else {
                let (taken, not): (Vec<&String>, Vec<_>) = some.iter().partition(|script| loads(script));
                copied += taken.len();
                refused.extend(not.into_iter().cloned());
            }
            copies_are_the_same();
        });
    }
    say(format_args!("{copied} rules copied, {} not taken by nft:\n{}", refused.len(), refused.concat()));
}

/// Copies every table of this namespace, and asserts that the copies are the same byte for byte and
/// to nft.
#[track_caller]
fn copies_are_the_same() {
    let mut kernel = Kernel::open().expect("a socket");
    let before = kernel.snapshot().expect("a snapshot");
    let mut transaction = Transaction::new();
    for table in &before.tables {
        transaction.extend(restoring(table, &copy(&table.id)));
    }
    fuzz::encoders(&transaction);
    let ruleset = before.raise().ruleset;
    let again = Transaction::replace(ruleset.clone());
    if ruleset.validate().is_ok() {
        fuzz::encoders(&again);
    }
    kernel.commit(&transaction).unwrap_or_else(|error| panic!("{error}\nof\n{}", nft("list ruleset")));
    let after = kernel.snapshot().expect("a snapshot");
    assert_eq!(after.opaque, before.opaque);
    assert_eq!(after.tables.len(), 2 * before.tables.len());
    for table in &before.tables {
        let copied = after.table(&copy(&table.id)).expect("it was copied");
        assert_eq!(contents(copied), contents(table), "{}", table.id);
    }
    lists_alike(&before);
    remade_is_the_same();
}

/// Deletes every table and makes it again in one transaction, and asserts that all is as it was.
#[track_caller]
fn remade_is_the_same() {
    let mut kernel = Kernel::open().expect("a socket");
    let (before, listed) = (kernel.snapshot().expect("a snapshot"), support::timeless(&nft("list ruleset")));
    let mut transaction = Transaction::new();
    for table in &before.tables {
        transaction.extend([Operation::DeleteTable(table.id.clone())]);
        transaction.extend(restoring(table, &table.id));
    }
    fuzz::encoders(&transaction);
    kernel.commit(&transaction).unwrap_or_else(|error| panic!("{error}\nof\n{listed}"));
    let after = kernel.snapshot().expect("a snapshot");
    let contents = |snapshot: &Snapshot| snapshot.tables.iter().map(contents).collect::<Vec<_>>();
    assert_eq!(contents(&after), contents(&before), "{listed}");
    assert_same(&listed, &support::timeless(&nft("list ruleset")), "what was made again, by nft");
}

fn copy(table: &TableId) -> TableId {
    TableId { family: table.family, name: format!("{}-copy", table.name).into() }
}

/// Returns the operations that copy a table under another name, in order of dependency.
fn restoring(table: &TableState, id: &TableId) -> Vec<Operation> {
    let restore = |state| Operation::Restore { table: id.clone(), state: Box::new(state) };
    let mut operations = vec![restore(State::Table(table.clone()))];
    operations.extend(table.chains.iter().map(|chain| restore(State::Chain(chain.clone()))));
    operations.extend(table.objects.iter().map(|object| restore(State::Object(object.clone()))));
    operations.extend(table.sets.iter().map(|set| restore(State::Set(set.clone()))));
    // A bound chain is closed once its jump exists, so its rules come first.
    let is_bound = |chain: &&ChainState| chain.flags & NFT_CHAIN_BINDING != 0;
    let (bound, others): (Vec<_>, Vec<_>) = table.chains.iter().partition(is_bound);
    for chain in bound.into_iter().chain(others) {
        operations.extend(chain.rules.iter().map(|rule| {
            let (chain, rule) = (chain.name.clone(), rule.clone());
            restore(State::Rule { chain, position: Position::Last, rule })
        }));
    }
    operations
}

/// include/uapi/linux/netfilter/nf_tables.h
const NFT_CHAIN_BINDING: u32 = 4;

/// Returns a table without what only the kernel assigns.
fn contents(table: &TableState) -> TableState {
    let mut table = table.clone();
    table.id.name = "t".into();
    table.handle = TableHandle::default();
    for set in &mut table.sets {
        (set.handle, set.order, set.expires) = (SetHandle::default(), Vec::new(), Vec::new());
    }
    for object in &mut table.objects {
        (object.handle, object.attributes) = (ObjectHandle::default(), without_names(&object.attributes));
    }
    without_numbers_of_the_kernel(&mut table.chains);
    table
}

/// Returns the attributes of an object without table (1), handle (6; 5 of a flowtable, which has no
/// type) and their padding.
fn without_names(attributes: &[u8]) -> Vec<u8> {
    let mut rest = attributes;
    let mut kept = Vec::new();
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & 0x3fff;
        let (attribute, others) = rest.split_at(length.next_multiple_of(4).min(rest.len()));
        let handle = length == 12 && (kind == 6 || kind == 5);
        if kind != 1 && !handle {
            kept.extend(attribute);
        }
        rest = others;
    }
    kept
}

/// Asserts that nft lists the copies as it lists the originals.
#[track_caller]
fn lists_alike(before: &Snapshot) {
    for table in &before.tables {
        let list = |id: &TableId| support::timeless(&nft(&format!("list table {} {}", id.family, id.name)));
        let (of, copied) = (list(&table.id), list(&copy(&table.id)));
        assert_same(&of, &copied.replacen("-copy {", " {", 1), &format!("{} and its copy, by nft", table.id));
    }
}
