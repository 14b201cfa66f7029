//! What other kernels may hold, and what is unknown so far, as messages made by hand: read, raised
//! and planned, it stays unchanged, and both encoders send it back in the same way.

use super::super::super::encode::message;
use super::super::super::flag;
use super::super::Assembly;
use crate::attr::Messages;
use crate::fuzz::encoders;
use crate::model::{Chain, Family, Generation, Name, Rule, TableId};
use crate::netlink::{NFNL_SUBSYS_NFTABLES, kind};
use crate::plan::{Operation, Transaction, diff};
use crate::state::Snapshot;
use crate::testing::attribute;

fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn handle(kind: u16, value: u64) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | 0x8000, &parts.concat())
}

/// Returns an expression of a rule, in its list.
fn expression(name: &str, data: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[attribute(1, &[name.as_bytes(), &[0]].concat()), nested(2, data)])
}

/// Reads a table `inet t` with a chain, a rule, and the messages.
fn read(messages: &[(u16, Vec<Vec<u8>>)]) -> Snapshot {
    let mut assembly = Assembly::new(None);
    let chain = vec![attribute(1, b"t\0"), attribute(3, b"c\0"), handle(2, 2), number(6, 1)];
    let rule = vec![
        attribute(1, b"t\0"),
        attribute(2, b"c\0"),
        handle(3, 3),
        nested(4, &[expression("counter", &[handle(1, 0), handle(2, 0)])]),
    ];
    let uses = u32::try_from(messages.len()).expect("few") + 1;
    let table = vec![attribute(1, b"t\0"), number(2, 0), number(3, uses), handle(4, 1)];
    let mut all = vec![(kind::NEWTABLE, table), (kind::NEWCHAIN, chain), (kind::NEWRULE, rule)];
    all.extend(messages.iter().cloned());
    for (kind, attributes) in all {
        let bytes = message(NFNL_SUBSYS_NFTABLES << 8 | kind, flag::REQUEST, 7, 1, 0, &attributes.concat());
        for message in Messages::new(&bytes) {
            assembly.read(&message.expect("whole")).expect("it can be read");
        }
    }
    for request in assembly.element_requests() {
        assembly.settle(&request);
    }
    assembly.finish(Generation(1))
}

/// Returns messages of objects that a table may hold, each with an unknown attribute.
fn beyond() -> Vec<(&'static str, u16, Vec<Vec<u8>>)> {
    let table = || attribute(1, b"t\0");
    let unknown = || attribute(77, b"of a newer kernel");
    let set = |more: Vec<Vec<u8>>| {
        let declared = vec![table(), attribute(2, b"s\0"), number(3, 0), number(4, 7), number(5, 4), handle(16, 9)];
        [declared, more].concat()
    };
    let object = |sort: u32, data: Vec<u8>| {
        vec![table(), attribute(2, b"o\0"), number(3, sort), nested(4, &[data]), number(5, 0), handle(6, 9)]
    };
    let hook = nested(3, &[number(1, 0), number(2, 3), nested(3, &[attribute(1, b"eth0\0"), attribute(1, b"lo\0")])]);
    vec![
        ("a set with an attribute", kind::NEWSET, set(vec![unknown()])),
        (
            "a set with flags",
            kind::NEWSET,
            vec![table(), attribute(2, b"s\0"), number(3, 0x4000_0000), number(4, 7), number(5, 4)],
        ),
        ("a set with a description", kind::NEWSET, set(vec![nested(9, &[number(1, 5), unknown()])])),
        (
            "a set with a type of keys",
            kind::NEWSET,
            vec![table(), attribute(2, b"s\0"), number(3, 0), number(4, 63), number(5, 4)],
        ),
        ("secmark", kind::NEWOBJ, object(8, attribute(1, b"system_u:object_r:x\0"))),
        ("an object without a name", kind::NEWOBJ, object(200, unknown())),
        (
            "flowtable",
            kind::NEWFLOWTABLE,
            vec![table(), attribute(2, b"f\0"), hook.clone(), number(4, 0), handle(5, 9), number(7, 2)],
        ),
        (
            "a flowtable with an attribute",
            kind::NEWFLOWTABLE,
            vec![table(), attribute(2, b"f\0"), hook, number(4, 0), handle(5, 9), unknown()],
        ),
    ]
}

#[test]
fn unknown_attributes_are_kept_and_cause_no_plan() {
    let ours = [TableId::new(Family::Inet, "t")];
    for (what, kind, attributes) in beyond() {
        let snapshot = read(&[(kind, attributes)]);
        let [table] = snapshot.tables.as_slice() else { panic!("{what}: {snapshot:?}") };
        assert_eq!(table.sets.len() + table.objects.len(), 1, "{what}");
        let raised = snapshot.raise();
        let plan = diff(&snapshot, &raised.ruleset, &ours).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(plan.is_empty(), "{what}: {plan}");
        encoders(&Transaction::replace(raised.ruleset));
    }
}

#[test]
fn a_table_with_unknown_attributes_is_changed_around_them() {
    let ours = [TableId::new(Family::Inet, "t")];
    for (what, kind, attributes) in beyond() {
        let snapshot = read(&[(kind, attributes)]);
        let mut wanted = snapshot.raise().ruleset;
        for table in &mut wanted.tables {
            table.chains.push(Chain::regular("new").rule(Rule::new().drop()));
            let old = table.chains.iter_mut().find(|chain| chain.name == *"c").expect("it was read");
            old.rules.push(Rule::new().accept());
        }
        let plan = diff(&snapshot, &wanted, &ours).unwrap_or_else(|error| panic!("{what}: {error}"));
        let name = |operation: &Operation| operation.to_string();
        let lines: Vec<String> = plan.operations().iter().map(name).collect();
        assert!(
            lines.iter().any(|lines| lines.contains("new")) && !lines.iter().any(|lines| lines.contains("delete")),
            "{what}: {lines:?}"
        );
        let untouched: [Name; 3] = ["s".into(), "o".into(), "f".into()];
        let touches = |lines: &String| {
            untouched.iter().any(|name| lines.split([' ', '{']).any(|word| *word == *name.to_string()))
        };
        assert!(!lines.iter().any(touches), "{what}: {lines:?}");
        encoders(&plan);
    }
}
