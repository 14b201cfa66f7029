//! A table that decides nothing and makes the trace reveal what it does not show, such as the
//! sender of a packet.
//!
//! Every rule has a comment, such as `skuid 1000`; a rule that the trace reports is one that
//! matched.

use nftmesh::bytecode::{Expr, MetaKey};
use nftmesh::model::{
    AddrType, Chain, ChainType, Family, Field, Hook, Match, Op, Operand, PktType, Priority, Rule, Table, Value,
};
use nftmesh::state::Snapshot;

use super::generate::UIDS;

pub const TABLE: &str = "sensors";

/// Returns a table with chains that run before everything but the trace, before connections are
/// confirmed, right after connection tracking, and right after address translation.
pub fn table(asks_ct: bool) -> Table {
    let mut table = Table::new(Family::Inet, TABLE);
    for hook in [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting] {
        let base = |place: &str, priority| {
            Chain::base(format!("{place}-{}", hook.name()), ChainType::Filter, hook, Priority(priority))
        };
        table = table.chain(base("first", i32::MIN + 1).rules(first(hook, asks_ct)));
        match hook {
            Hook::Prerouting | Hook::Output => {
                table = table.chain(base("tracked", -199).rules(later(hook, asks_ct)));
                table = table.chain(base("translated", -99).rules(later(hook, asks_ct)));
            }
            Hook::Input | Hook::Postrouting => table = table.chain(base("translated", 101).rules(later(hook, asks_ct))),
            Hook::Forward => {}
        }
        table = table.chain(base("last", i32::MAX - 1).rules(later(hook, asks_ct)));
    }
    table
}

/// Removes the sensors that match sockets: a walk knows only sending sockets.
pub fn without_sockets(mut snapshot: Snapshot) -> Snapshot {
    for table in snapshot.tables.iter_mut().filter(|table| table.id.name.as_str() == TABLE) {
        for chain in &mut table.chains {
            chain.rules.retain(|rule| {
                !rule.exprs.iter().any(|expr| match expr {
                    Expr::Meta { key, .. } => [MetaKey::SKUID, MetaKey::SKGID].contains(key),
                    expr => matches!(expr, Expr::Socket { .. }),
                })
            });
        }
    }
    snapshot
}

/// The first rule always matches, so that the packet is shown before anything changes it.
fn first(hook: Hook, asks_ct: bool) -> Vec<Rule> {
    let mut rules = vec![Rule::new().counter().comment("begin")];
    let mut is = |field: Field, number: u32, value: Value| {
        let matches = Match::new(field, Op::Eq, Operand::Value(value));
        rules.push(Rule::new().matches(matches).comment(format!("{field:?} {number}")));
    };
    for id in UIDS {
        is(Field::Skuid, id, Value::Uid(id));
        is(Field::Skgid, id, Value::Gid(id));
    }
    for kind in 0..=8 {
        is(Field::FibDaddrType, kind, Value::AddrType(AddrType(kind)));
    }
    for kind in 0..=7 {
        is(Field::PktType, u32::from(kind), Value::PktType(PktType(kind)));
    }
    if matches!(hook, Hook::Prerouting | Hook::Input) {
        for number in [0, 1] {
            is(Field::SocketTransparent, number, Value::Integer(number));
            is(Field::SocketWildcard, number, Value::Integer(number));
        }
    }
    rules.push(Rule::new().socket_exists().comment("socket 1"));
    rules.extend(connection(asks_ct));
    rules
}

fn later(hook: Hook, asks_ct: bool) -> Vec<Rule> {
    let mut rules = vec![Rule::new().counter().comment("begin")];
    rules.extend(connection(asks_ct));
    if matches!(hook, Hook::Prerouting | Hook::Input) {
        for number in [0, 1] {
            rules.push(Rule::new().socket_transparent(number).comment(format!("SocketTransparent {number}")));
            rules.push(Rule::new().socket_wildcard(number).comment(format!("SocketWildcard {number}")));
        }
    }
    for id in UIDS {
        rules.push(Rule::new().skuid(id).comment(format!("Skuid {id}")));
    }
    for kind in 0..=8 {
        rules.push(Rule::new().fib_daddr_type(AddrType(kind)).comment(format!("FibDaddrType {kind}")));
    }
    rules
}

fn connection(asks: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    if asks {
        for bit in 0..9 {
            let matches = Match::new(
                Field::CtMark,
                Op::Eq,
                Operand::Masked { mask: Value::Mark(1 << bit), value: Value::Mark(1 << bit) },
            );
            rules.push(Rule::new().matches(matches).comment(format!("CtMark bit {bit}")));
        }
        for zone in [0, 1, 2] {
            rules.push(Rule::new().ct_zone(zone).comment(format!("CtZone {zone}")));
        }
    }
    rules
}
