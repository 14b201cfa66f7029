//! What the kernel would say back of what it was sent: anonymous sets get their numbers, and the
//! ids of the batch are gone.

use crate::attr::{Attribute, Attributes, Message, Messages};
use crate::bytecode::{AnonymousSet, Expr, LookupSet};
use crate::model::{ChainKind, Family, Generation, Ruleset};
use crate::netlink::{Assembly, NFNL_SUBSYS_NFTABLES, kind};
use crate::state::{HookState, Snapshot};

/// The snapshot of a namespace in which nothing but this batch was ever committed.
pub(super) fn committed(batch: &[u8], ruleset: &Ruleset) -> Snapshot {
    let mut assembly = Assembly::new(None);
    for message in Messages::new(batch) {
        let message = message.expect("what was encoded is whole");
        let [subsystem, of_nftables] = message.kind.to_be_bytes();
        if u16::from(subsystem) != NFNL_SUBSYS_NFTABLES {
            continue;
        }
        let payload = echoed(u16::from(of_nftables), &message);
        assembly.read(&Message { payload: &payload, ..message }).expect("what was encoded is whole");
    }
    for request in assembly.element_requests() {
        assert!(assembly.settle(&request), "elements sent once came twice: {request:?} of\n{ruleset}");
    }
    assembly.finish(Generation(1))
}

/// The payload of a message as it would be in a dump.
fn echoed(kind: u16, message: &Message<'_>) -> Vec<u8> {
    let (header, attributes) = message.payload.split_at(HEADER);
    let echoed = match kind {
        kind::NEWRULE => rewrite(attributes, &mut |part| match part.kind {
            NFTA_RULE_EXPRESSIONS => Some(rewrite(part.value, &mut |expr| Some(expression(expr.value)))),
            _ => Some(part.value.to_vec()),
        }),
        kind::NEWSET => numbered(attributes, NFTA_SET_NAME, NFTA_SET_ID),
        kind::NEWSETELEM => numbered(attributes, NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET_ID),
        _ => attributes.to_vec(),
    };
    [header, &echoed].concat()
}

fn expression(attributes: &[u8]) -> Vec<u8> {
    let name = Attributes::new(attributes).find(NFTA_EXPR_NAME).and_then(|name| name.text());
    rewrite(attributes, &mut |part| match part.kind {
        NFTA_EXPR_DATA if name == Some("lookup") => Some(numbered(part.value, NFTA_LOOKUP_SET, NFTA_LOOKUP_SET_ID)),
        _ => Some(part.value.to_vec()),
    })
}

/// The same attributes, with the set's id in its name where that has a place for it, and nowhere
/// else.
fn numbered(attributes: &[u8], name: u16, id: u16) -> Vec<u8> {
    let number = Attributes::new(attributes).find(id).and_then(|id| id.be32());
    rewrite(attributes, &mut |part| match (part.text(), number) {
        (Some(text), Some(number)) if part.kind == name => {
            Some([text.replace("%d", &number.to_string()).as_bytes(), &[0]].concat())
        }
        _ => (part.kind != id).then(|| part.value.to_vec()),
    })
}

/// Attributes with other values; without those that have none.
fn rewrite(attributes: &[u8], value: &mut dyn FnMut(&Attribute<'_>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut written = Vec::with_capacity(attributes.len());
    for attribute in Attributes::new(attributes) {
        let attribute = attribute.expect("what was encoded is whole");
        let Some(value) = value(&attribute) else { continue };
        let length = u16::try_from(value.len() + 4).expect("a number is hardly longer than its place");
        written.extend(length.to_ne_bytes());
        written.extend(attribute.kind.to_ne_bytes());
        written.extend(value);
        written.resize(written.len().next_multiple_of(4), 0);
    }
    written
}

/// What a kernel with nothing but this rule set holds, as the model and its lowering have it.
///
/// Handles and uses are the kernel's to say; here they are 0.
pub(super) fn assert_holds(snapshot: &Snapshot, ruleset: &Ruleset) {
    use crate::bytecode::{lower, lower_elements, lower_set};
    assert!(snapshot.opaque.is_empty(), "{:?}", snapshot.opaque);
    assert_eq!(snapshot.tables.len(), ruleset.tables.len());
    for (state, table) in snapshot.tables.iter().zip(&ruleset.tables) {
        assert_eq!((state.id.family, &state.id.name, state.flags), (table.family, &table.name, table.flags.bits()));
        assert!(state.opaque.is_empty(), "{state:?}");
        assert_eq!(state.sets.len(), table.sets.len(), "{:?}", state.sets);
        for (state, set) in state.sets.iter().zip(&table.sets) {
            assert_eq!(state.name, set.name);
            assert_eq!(state.code, lower_set(set).expect("a valid set has a program"));
            let elements: Vec<_> = lower_elements(set).map(|code| code.expect("a valid set has a program")).collect();
            assert_eq!(state.elements, elements);
        }
        assert_eq!(state.chains.len(), table.chains.len());
        for (state, chain) in state.chains.iter().zip(&table.chains) {
            assert_eq!((&state.name, state.flags), (&chain.name, 0));
            assert!(state.opaque.is_empty(), "{state:?}");
            assert_hooked(table.family, state.hook.as_ref(), &chain.kind);
            assert_eq!(state.rules.len(), chain.rules.len());
            for (state, rule) in state.rules.iter().zip(&chain.rules) {
                let program = lower(rule, table.family, table.sets.as_slice()).expect("a valid rule has a program");
                assert_eq!(state.exprs, program.exprs, "{rule}");
                assert!(state.opaque.is_empty(), "{state:?}");
                state.exprs.iter().for_each(assert_settled);
            }
        }
    }
}

/// An anonymous set was found for every lookup of one.
fn assert_settled(expr: &Expr) {
    match expr {
        Expr::Lookup { set: LookupSet::Anonymous(set), .. } => {
            let AnonymousSet { code, elements: _, order: _ } = &**set;
            assert!(code.opaque.is_empty(), "{code:?}");
        }
        Expr::Lookup { set: LookupSet::Named(name), .. } => {
            assert!(!name.as_str().starts_with("__"), "nothing was found for {name}");
        }
        Expr::Opaque { .. } => panic!("our own encoding is not opaque: {expr:?}"),
        _ => {}
    }
}

fn assert_hooked(family: Family, state: Option<&HookState>, kind: &ChainKind) {
    match (state, kind) {
        (None, ChainKind::Regular) => {}
        (state, kind) => assert_eq!(state, HookState::of(family, kind).as_ref(), "{kind:?}"),
    }
}

/// `struct nfgenmsg`, include/uapi/linux/netfilter/nfnetlink.h; the others are of nf_tables.h.
const HEADER: usize = 4;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_LOOKUP_SET: u16 = 1;
const NFTA_LOOKUP_SET_ID: u16 = 4;
const NFTA_SET_NAME: u16 = 2;
const NFTA_SET_ID: u16 = 10;
const NFTA_SET_ELEM_LIST_SET_ID: u16 = 4;
