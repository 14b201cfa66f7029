//! Compares what was committed with what a snapshot reads back: the same programs, the same sets,
//! nothing opaque.

use nftmesh::bytecode::{Expr, LookupSet, lower, lower_elements, lower_set, same_programs};
use nftmesh::model::{ChainHandle, ChainKind, Policy, RuleHandle, Ruleset, Set, Table, TableId};
use nftmesh::state::{ChainState, HookState, SetState, Snapshot, TableState};

/// Panics unless `snapshot` is exactly what `ruleset` lowers to.
#[track_caller]
pub fn assert_reads_back(ruleset: &Ruleset, snapshot: &Snapshot) {
    assert_eq!(snapshot.opaque, []);
    assert_eq!(snapshot.tables.len(), ruleset.tables.len());
    for (sent, read) in ruleset.tables.iter().zip(&snapshot.tables) {
        table(sent, read);
    }
}

#[track_caller]
fn table(sent: &Table, read: &TableState) {
    assert_eq!(read.id, TableId::from(sent));
    assert_eq!(read.flags, sent.flags.bits());
    assert_eq!((read.objects.len(), read.opaque.len(), read.owner), (0, 0, None));
    assert_eq!(read.sets.len(), sent.sets.len(), "named sets: {:#?}", read.sets);
    for (sent, read) in sent.sets.iter().zip(&read.sets) {
        set(sent, read);
    }
    assert_eq!(read.chains.len(), sent.chains.len());
    for (chain, read) in sent.chains.iter().zip(&read.chains) {
        assert_eq!(read.name, chain.name);
        assert_eq!((read.opaque.len(), read.unlisted), (0, 0));
        hook(&chain.kind, read.hook.as_ref());
        assert_eq!(read.rules.len(), chain.rules.len());
        for (rule, read) in chain.rules.iter().zip(&read.rules) {
            let sent = lower(rule, sent.family, sent.sets.as_slice()).expect("it was committed").exprs;
            assert!(same_programs(&read.exprs, &sent), "{rule}\nread {:#?}\nsent {sent:#?}", read.exprs);
            assert!(read.opaque.is_empty(), "{rule}");
        }
    }
}

#[track_caller]
fn hook(sent: &ChainKind, read: Option<&HookState>) {
    match (sent, read) {
        (ChainKind::Regular, None) => {}
        (ChainKind::Base(base), Some(read)) => {
            let policy = u32::from(base.policy == Policy::Accept);
            assert_eq!(
                (&*read.chain_type, read.hook, read.priority, read.policy),
                (base.chain_type.name(), base.hook.number(), base.priority.0, policy)
            );
            assert_eq!((read.devices.len(), read.opaque.len()), (0, 0));
        }
        (sent, read) => panic!("{sent:?} is now {read:?}"),
    }
}

#[track_caller]
fn set(sent: &Set, read: &SetState) {
    assert_eq!(read.name, sent.name);
    let code = lower_set(sent).expect("it was committed");
    assert!(read.code.same(&code), "set {}: read {:#?}\nsent {code:#?}", sent.name, read.code);
    let elements: Vec<_> = lower_elements(sent).map(|element| element.expect("it was committed")).collect();
    assert_eq!(read.elements.len(), elements.len(), "set {}: {:#?}", sent.name, read.elements);
    for (read, element) in read.elements.iter().zip(&elements) {
        assert!(read.same(element), "set {}: read {read:?}\nsent {element:?}", sent.name);
    }
    assert!(read.expires.is_empty() || read.expires.len() == read.elements.len());
}

/// Removes from chains what only the kernel assigns: handles, and the order of anonymous sets.
pub fn without_numbers_of_the_kernel(chains: &mut [ChainState]) {
    for chain in chains {
        chain.handle = ChainHandle::default();
        for rule in &mut chain.rules {
            rule.handle = RuleHandle(0);
            for expr in &mut rule.exprs {
                if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } = expr {
                    set.order.clear();
                }
            }
        }
    }
}
