//! nft 1.0.6 joins neighbouring fields that are compared with `!=`, as it joins those that are equal:
//! `tcp sport != 1 tcp dport != 2` loads both ports at once and compares them with both constants.
//! That holds where either port differs, and the text says that both do. This crate compares each.
//! So the programs differ, on purpose, and in nothing else.

use nftmesh::bytecode::{Bytes, CmpOp, Expr, lower, same_programs};
use nftmesh::kernel::Kernel;
use nftmesh::model::{Ruleset, TableId};
use nftmesh::plan::{Operation, Transaction, diff};
use nftmesh::state::Snapshot;

use super::text::snapshot;
use crate::support::{self, in_fresh_netns, nft, nft_script};

/// Returns whether a plan only replaces rules whose unequal neighbours nft joined.
pub(super) fn only_parts_unequal(plan: &Transaction, held: &Snapshot, wanted: &Ruleset) -> bool {
    plan.operations().iter().all(|operation| {
        let Operation::ReplaceRule { chain, handle, rule } = operation else { return false };
        let table = wanted.tables.iter().find(|table| TableId::from(*table) == chain.table);
        let theirs = held.chain(chain).and_then(|chain| chain.rules.iter().find(|known| known.handle == *handle));
        let (Some(table), Some(theirs)) = (table, theirs) else { return false };
        let Ok(ours) = lower(rule, table.family, table.sets.as_slice()) else { return false };
        same_programs(&joined(&ours.exprs), &theirs.exprs)
    })
}

/// Returns the program with unequal neighbours joined as nft does that.
fn joined(program: &[Expr]) -> Vec<Expr> {
    let mut left = program;
    let mut all = Vec::new();
    while let Some((first, rest)) = left.split_first() {
        let (mut run, mut after) = (Vec::new(), left);
        while let [load @ Expr::Payload { .. }, compare @ Expr::Cmp { op: CmpOp::Ne, .. }, rest @ ..] = after {
            run.push((load, compare));
            after = rest;
        }
        if run.is_empty() {
            all.push(first.clone());
            left = rest;
            continue;
        }
        run.sort_by_key(|(load, _)| match load {
            Expr::Payload { base, offset, .. } => (base.0, *offset),
            _ => (0, 0),
        });
        for (load, compare) in run {
            let whole = match all.as_mut_slice() {
                [.., before, unequal] => join(before, unequal, load, compare),
                _ => None,
            };
            match whole {
                Some(()) => {}
                None => all.extend([load.clone(), compare.clone()]),
            }
        }
        left = after;
    }
    all
}

/// Joins a load and its comparison to those before them, if they are neighbours.
fn join(before: &mut Expr, unequal: &mut Expr, load: &Expr, compare: &Expr) -> Option<()> {
    let (Expr::Payload { base, offset, len, .. }, Expr::Cmp { op: CmpOp::Ne, data, .. }) = (before, unequal) else {
        return None;
    };
    let (Expr::Payload { base: of, offset: at, len: more, .. }, Expr::Cmp { data: constant, .. }) = (load, compare)
    else {
        return None;
    };
    let total = *len + *more;
    // `payload_can_merge` (src/payload.c, 1.0.6): what is loaded fast is not joined to more than that.
    let fast = total > 4 && *len <= 4 && *more <= 4 && base.0 != 0;
    if base != of || *offset + *len != *at || total > 16 || fast {
        return None;
    }
    *len = total;
    let both: Bytes = data.iter().chain(constant.iter()).copied().collect();
    *data = both;
    Some(())
}

#[test]
fn only_nft_joins_neighbours_that_are_not_equal() {
    let rules = [
        "tcp sport != 1 tcp dport != 2 drop",
        "tcp dport != 22 tcp sport != 1024 counter",
        "ip saddr != 10.0.0.1 ip daddr != 10.0.0.2 udp sport != 53 udp dport != 53 accept",
        "udp length != 8 udp checksum != 0 drop",
        "icmp type echo-request icmp id != 1 icmp sequence != 2 drop",
        "ether saddr != 00:11:22:33:44:55 ether type != ip drop",
    ];
    for text in rules {
        in_fresh_netns(|| {
            let script = format!("table inet t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n");
            nft_script(&script);
            let held = snapshot();
            let read: Ruleset = script.parse().unwrap_or_else(|error| panic!("{error}"));
            let plan =
                diff(&held, &read, &read.tables.iter().map(TableId::from).collect::<Vec<_>>()).expect("programs");
            assert!(!plan.is_empty(), "{text}: nft joins nothing");
            assert!(only_parts_unequal(&plan, &held, &read), "{text}\n{plan}{held:#?}");
            // What this crate sends is listed as it was written.
            nft("flush ruleset");
            Kernel::open().expect("a kernel").commit(&Transaction::add(read.clone())).expect("valid");
            support::assert_same(&script.replace(" counter", " counter packets 0 bytes 0"), &nft("list ruleset"), text);
        });
    }
    // Where an equal one is between them, or only one is unequal, nothing differs.
    for text in ["tcp sport != 1 tcp dport 2 drop", "tcp sport 1 tcp dport 2 drop", "ip saddr != 10.0.0.1 drop"] {
        in_fresh_netns(|| {
            let script = format!("table inet t {{\n\tchain c {{\n\t\t{text}\n\t}}\n}}\n");
            nft_script(&script);
            let read: Ruleset = script.parse().unwrap_or_else(|error| panic!("{error}"));
            let plan = diff(&snapshot(), &read, &read.tables.iter().map(TableId::from).collect::<Vec<_>>());
            assert!(plan.as_ref().is_ok_and(Transaction::is_empty), "{text}: {plan:?}");
        });
    }
}
