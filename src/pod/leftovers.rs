//! The rules that the program of a mesh leaves behind through iptables-nft: its chains, the jumps
//! to them, and the rules it adds next to the jumps.
//!
//! Its chains are those with its prefix in the tables nat, mangle and raw of ip and ip6, such as
//! `ISTIO_*`. For TPROXY `istio-iptables` adds these rules to base chains
//!
//! ```text
//! mangle PREROUTING  -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark
//! mangle OUTPUT      -o lo -p tcp -m mark --mark 0x539 -j RETURN
//! mangle OUTPUT      ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner 1337 -j MARK --set-xmark 0x53a   (and --gid-owner; ::1)
//! mangle OUTPUT      -p tcp -m connmark --mark 0x539 -j CONNMARK --restore-mark
//! ```
//!
//! and for excluded interfaces `-i NAME -j RETURN` and `-o NAME -j RETURN` in nat. The rules are
//! recognised by their effect, in whatever order a version of iptables writes the matches; a rule
//! that does anything else belongs to another program.

use std::net::Ipv6Addr;

use crate::bytecode::{CmpOp, Expr, MetaKey, PayloadBase};
use crate::mesh::Original;
use crate::model::{
    Family, Field, MarkKey, MarkValue, Match, Op, Operand, Selector, Statement, TableId, Value, Verdict,
};
use crate::plan::Operation;
use crate::state::{ChainState, RuleState, Snapshot, TableState};
use crate::xt::{self, Meaning};

/// Returns the tables in which such programs write.
pub(super) fn tables() -> impl Iterator<Item = TableId> {
    let of = |family| ["nat", "mangle", "raw"].map(|name| TableId::new(family, name));
    [Family::Ip, Family::Ip6].into_iter().flat_map(of)
}

/// Returns the operations that remove exactly these leftovers: first the rules that lead to its
/// chains, then the chains.
pub(super) fn removal(held: &Snapshot, original: &Original) -> Vec<Operation> {
    let ours = held.tables.iter().filter(|table| tables().any(|id| id == table.id));
    ours.flat_map(|table| of_table(table, original)).collect()
}

/// Returns the snapshot without the leftovers.
pub(super) fn without(held: &Snapshot, removal: &[Operation]) -> Snapshot {
    let mut held = held.clone();
    for operation in removal {
        let Some(table) = held.tables.iter_mut().find(|table| Some(&table.id) == operation.table()) else { continue };
        match operation {
            Operation::DeleteChain(id) => table.chains.retain(|chain| chain.name != id.name),
            Operation::DeleteRule { chain: id, handle } => {
                let chains = table.chains.iter_mut().filter(|chain| chain.name == id.name);
                chains.for_each(|chain| chain.rules.retain(|rule| rule.handle != *handle));
            }
            _ => {}
        }
    }
    held
}

fn of_table(table: &TableState, original: &Original) -> Vec<Operation> {
    let (theirs, others): (Vec<_>, Vec<_>) =
        table.chains.iter().partition(|chain| original.is_its_own(chain.name.as_str()));
    let mut operations = Vec::new();
    for chain in others {
        let jumps = chain.rules.iter().any(|rule| leads_to(original, &rule.exprs));
        let marks = table.id.name.as_str() == "mangle";
        let leaves = table.id.name.as_str() == "nat" && jumps;
        for rule in &chain.rules {
            let is_theirs = leads_to(original, &rule.exprs)
                || marks && is_mark_rule(table.id.family, chain, rule, original)
                || leaves && is_excluded_interface(chain, rule, original);
            if is_theirs {
                operations.push(Operation::DeleteRule { chain: table.id.chain(&chain.name), handle: rule.handle });
            }
        }
    }
    operations.extend(theirs.iter().map(|chain| Operation::FlushChain(table.id.chain(&chain.name))));
    operations.extend(theirs.iter().map(|chain| Operation::DeleteChain(table.id.chain(&chain.name))));
    operations
}

/// Returns whether a rule leads to a chain of that program.
pub(super) fn leads_to(original: &Original, exprs: &[Expr]) -> bool {
    exprs.iter().any(|expr| match expr {
        Expr::Verdict(verdict) => verdict.target().is_some_and(|chain| original.is_its_own(chain.as_str())),
        _ => false,
    })
}

/// One condition or action of a rule of iptables-nft.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    ConnMark(u32),
    In(String),
    Mark(u32),
    NotLoopback,
    Out(String),
    Owner,
    RestoreMark,
    Return,
    SaveMark,
    SetMark(u32),
    Tcp,
}

fn is_mark_rule(family: Family, chain: &ChainState, rule: &RuleState, original: &Original) -> bool {
    let Some(mut parts) = parts(family, &rule.exprs) else { return false };
    parts.sort();
    let lo = || Sign::Out("lo".to_owned());
    original.marks.iter().any(|&mark| {
        let rules = match chain.name.as_str() {
            "PREROUTING" => vec![vec![Sign::Mark(mark), Sign::SaveMark, Sign::Tcp]],
            "OUTPUT" => vec![
                vec![Sign::Mark(mark), lo(), Sign::Return, Sign::Tcp],
                vec![Sign::NotLoopback, lo(), Sign::Owner, Sign::SetMark(OUT_MARK), Sign::Tcp],
                vec![Sign::ConnMark(mark), Sign::RestoreMark, Sign::Tcp],
            ],
            _ => vec![],
        };
        rules.contains(&parts)
    })
}

fn is_excluded_interface(chain: &ChainState, rule: &RuleState, original: &Original) -> bool {
    match (chain.name.as_str(), parts(Family::Ip, &rule.exprs).as_deref()) {
        ("PREROUTING", Some([Sign::In(name), Sign::Return])) => original.arriving.contains(name),
        ("OUTPUT", Some([Sign::Out(name), Sign::Return])) => original.leaving.contains(name),
        _ => false,
    }
}

/// The loaded value that is compared next.
#[derive(Clone, Copy)]
enum Loaded {
    Address,
    Meta(MetaKey),
    Protocol,
}

/// Returns all conditions and actions of a rule; `None` if it has any other.
fn parts(family: Family, exprs: &[Expr]) -> Option<Vec<Sign>> {
    let (protocol_at, address_at, length) = if family == Family::Ip6 { (6, 24, 16) } else { (9, 16, 4) };
    let mut parts = Vec::new();
    let mut loaded = None;
    for expr in exprs {
        match expr {
            Expr::Cmp { op, data, .. } => parts.push(compared(loaded.take()?, *op, data)?),
            Expr::Counter { .. } => {}
            Expr::Meta { key, .. } => loaded = Some(Loaded::Meta(*key)),
            Expr::Opaque { name, data, .. } => parts.push(extension(name, data, family)?),
            Expr::Payload { base: PayloadBase::NETWORK, offset, len, .. } => {
                loaded = match (*offset, *len) {
                    (offset, 1) if offset == protocol_at => Some(Loaded::Protocol),
                    (offset, len) if offset == address_at && len == length => Some(Loaded::Address),
                    _ => return None,
                };
            }
            Expr::Verdict(Verdict::Return) => parts.push(Sign::Return),
            _ => return None,
        }
    }
    Some(parts)
}

fn compared(loaded: Loaded, op: CmpOp, data: &[u8]) -> Option<Sign> {
    let number = || data.try_into().ok().map(u32::from_ne_bytes);
    match (loaded, op) {
        (Loaded::Meta(MetaKey::L4PROTO) | Loaded::Protocol, CmpOp::Eq) if data == [TCP] => Some(Sign::Tcp),
        (Loaded::Meta(MetaKey::MARK), CmpOp::Eq) => number().map(Sign::Mark),
        (Loaded::Meta(MetaKey::IIFNAME), CmpOp::Eq) => name(data).map(Sign::In),
        (Loaded::Meta(MetaKey::OIFNAME), CmpOp::Eq) => name(data).map(Sign::Out),
        (Loaded::Address, CmpOp::Ne) if data == [127, 0, 0, 1] || data == Ipv6Addr::LOCALHOST.octets() => {
            Some(Sign::NotLoopback)
        }
        _ => None,
    }
}

/// Returns a whole name; a name without its terminating NUL is a prefix and gives `None`.
fn name(data: &[u8]) -> Option<String> {
    let end = data.iter().position(|byte| *byte == 0)?;
    String::from_utf8(data.get(..end)?.to_vec()).ok()
}

/// Reads an extension of xtables by its effect.
fn extension(kind: &str, data: &[u8], family: Family) -> Option<Sign> {
    let lists = match xt::read(kind, data, family)? {
        Meaning::Lists(lists) => lists,
        Meaning::Owner(owner) => return (owner.negated == 0).then_some(Sign::Owner),
        Meaning::Asks(_) | Meaning::Limits(_) => return None,
    };
    let copied = |from| MarkValue::From { from, mask: u32::MAX, xor: 0 };
    match lists.first()?.as_slice() {
        [Statement::Match(Match { selector: Selector::Field(field), op: Op::Eq, operand })] if lists.len() == 1 => {
            let Operand::Masked { mask: Value::Mark(u32::MAX), value: Value::Mark(mark) } = operand else {
                return None;
            };
            match field {
                Field::Mark => Some(Sign::Mark(*mark)),
                Field::CtMark => Some(Sign::ConnMark(*mark)),
                _ => None,
            }
        }
        [Statement::SetMark { key: MarkKey::Meta, value: MarkValue::Constant(mark) }] => Some(Sign::SetMark(*mark)),
        [Statement::SetMark { key: MarkKey::Ct, value }] if *value == copied(MarkKey::Meta) => Some(Sign::SaveMark),
        [Statement::SetMark { key: MarkKey::Meta, value }] if *value == copied(MarkKey::Ct) => Some(Sign::RestoreMark),
        _ => None,
    }
}

/// The mark of the proxy's packets to its own pod (`constants.go` of istio-iptables).
const OUT_MARK: u32 = 0x53a;
const TCP: u8 = 6;
