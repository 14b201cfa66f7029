//! One change of a snapshot: of a program, of the order of rules, of an element, of a policy.
//!
//! Programs are changed as the kernel holds them, so that also what nobody writes comes about: a
//! load from another place, a comparison of the other order.

use nftmesh::bytecode::{
    AnonymousSet, BitwiseCode, Bytes, CmpOp, CtKey, ElementCode, ElementDataCode, Expr, FibFlags, LookupSet, MetaKey,
    NatCode, SetCode,
};
use nftmesh::model::Verdict;
use nftmesh::state::{ChainState, HookState, RuleState, SetState, Snapshot, TableState};

use super::super::mutants::Random;

/// The same with one change, and what that is.
pub(super) fn changed(snapshot: &Snapshot, random: &mut Random) -> (Snapshot, String) {
    loop {
        let mut changed = snapshot.clone();
        let table = random.below(changed.tables.len());
        let what = change_table(&mut changed.tables[table], random);
        if let Some(what) = what.filter(|_| changed != *snapshot) {
            return (changed, format!("table {}, {what}", snapshot.tables[table].id));
        }
    }
}

fn change_table(table: &mut TableState, random: &mut Random) -> Option<String> {
    if !table.sets.is_empty() && random.below(5) == 0 {
        let at = random.below(table.sets.len());
        let SetState { name, code, elements, .. } = &mut table.sets[at];
        return change_elements(code, elements, random).then(|| format!("an element of {name}"));
    }
    if table.chains.is_empty() {
        return None;
    }
    let at = random.below(table.chains.len());
    let ChainState { name, hook, rules, .. } = &mut table.chains[at];
    match (hook, random.below(12)) {
        (Some(HookState { policy, .. }), 0) => {
            *policy ^= 1;
            Some(format!("the policy of {name}"))
        }
        (Some(HookState { priority, .. }), 1) => {
            *priority += if random.below(2) == 0 { 1 } else { -1 };
            Some(format!("the priority of {name}"))
        }
        _ => change_rules(rules, random).map(|what| format!("chain {name}, {what}")),
    }
}

fn change_rules(rules: &mut Vec<RuleState>, random: &mut Random) -> Option<String> {
    if rules.is_empty() {
        return None;
    }
    let at = random.below(rules.len());
    match random.below(8) {
        0 => {
            rules.remove(at);
            Some(format!("rule {} is gone", at + 1))
        }
        1 => {
            let rule = rules[at].clone();
            rules.insert(random.below(at + 1), rule);
            Some(format!("rule {} is there once more, earlier", at + 1))
        }
        2 => {
            let (rule, to) = (rules.remove(at), random.below(rules.len() + 1));
            rules.insert(to, rule);
            Some(format!("rule {} is moved to {}", at + 1, to + 1))
        }
        _ => {
            let exprs = &mut rules[at].exprs;
            let expr = random.below(exprs.len());
            let expr = exprs.get_mut(expr)?;
            let before = format!("{expr:?}");
            change_expr(expr, random).then(|| format!("rule {}: {before} becomes {expr:?}", at + 1))
        }
    }
}

/// Every kind of expression is here, so that a new one has to be thought of.
fn change_expr(expr: &mut Expr, random: &mut Random) -> bool {
    match expr {
        Expr::Bitwise(BitwiseCode { reg: _, mask, xor }) => bit(if random.below(2) == 0 { mask } else { xor }, random),
        Expr::Cmp { sreg: _, op, data } => {
            if random.below(3) == 0 {
                return compare_otherwise(op, random);
            }
            bit(data, random)
        }
        Expr::Range { sreg: _, op, low, high } => match random.below(3) {
            0 => compare_otherwise(op, random),
            1 => bit(low, random),
            _ => bit(high, random),
        },
        Expr::Counter { packets, bytes } => {
            (*packets, *bytes) = (*packets + 1, *bytes + 60);
            true
        }
        Expr::Ct { key, dreg: _ } => {
            *key = *random.of(&[CtKey(0), CtKey(1), CtKey(2), CtKey(3)]);
            true
        }
        Expr::Fib { result: _, flags, dreg: _ } => {
            flags.0 ^= FibFlags::SADDR.0 | FibFlags::DADDR.0;
            true
        }
        Expr::Immediate { dreg: _, data } => bit(data, random),
        Expr::Limit(limit) => {
            limit.flags ^= 1;
            true
        }
        Expr::Lookup { sreg: _, dreg, set, inverted } => match set {
            LookupSet::Anonymous(set) if random.below(3) != 0 => {
                let AnonymousSet { code, elements, order } = &mut **set;
                order.clear();
                change_elements(code, elements, random)
            }
            _ if dreg.is_none() => {
                *inverted = !*inverted;
                true
            }
            _ => false,
        },
        Expr::Masq { ports: _, flags } | Expr::Redir { ports: _, flags } => {
            *flags ^= RANDOM;
            true
        }
        Expr::Meta { key, dreg: _ } => {
            let pairs =
                [(MetaKey::IIFNAME, MetaKey::OIFNAME), (MetaKey::IIF, MetaKey::OIF), (MetaKey::SKUID, MetaKey::SKGID)];
            let other = pairs.iter().find_map(|(one, other)| match *key {
                key if key == *one => Some(*other),
                key if key == *other => Some(*one),
                _ => None,
            });
            other.is_some_and(|other| {
                *key = other;
                true
            })
        }
        Expr::Nat(NatCode { flags, .. }) => {
            *flags ^= RANDOM;
            true
        }
        // To the other address or port, and back.
        Expr::Payload { base: _, offset, len, dreg: _ } => {
            let is_second = (*offset / *len.max(&mut 1)) % 2 == 1;
            *offset = if is_second { offset.saturating_sub(*len) } else { *offset + *len };
            true
        }
        Expr::Reject(reject) => {
            reject.code ^= 1;
            true
        }
        Expr::Verdict(verdict) => {
            *verdict = match verdict {
                Verdict::Accept | Verdict::Continue => Verdict::Drop,
                Verdict::Drop => Verdict::Accept,
                Verdict::Goto(to) => Verdict::Jump(to.clone()),
                Verdict::Jump(to) => Verdict::Goto(to.clone()),
                Verdict::Return => Verdict::Accept,
            };
            true
        }
        // What decides nothing, has no neighbour that a kernel takes, or ends a walk.
        _ => false,
    }
}

fn compare_otherwise(op: &mut CmpOp, random: &mut Random) -> bool {
    *op = match op {
        CmpOp::Eq => CmpOp::Ne,
        CmpOp::Ne => CmpOp::Eq,
        CmpOp::Lt | CmpOp::Le | CmpOp::Gt | CmpOp::Ge => *random.of(&[CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge]),
    };
    true
}

/// One bit is another, most often one of the last byte.
fn bit(bytes: &mut Bytes, random: &mut Random) -> bool {
    let mut changed = bytes.to_vec();
    let last = changed.len().saturating_sub(1);
    let at = if random.below(2) == 0 { last } else { random.below(changed.len()) };
    let Some(byte) = changed.get_mut(at) else { return false };
    *byte ^= 1 << random.below(8);
    *bytes = Bytes::from_slice(&changed);
    true
}

/// Keys keep their order, so that a set of intervals stays one that a kernel holds.
fn change_elements(code: &SetCode, elements: &mut Vec<ElementCode>, random: &mut Random) -> bool {
    if elements.is_empty() {
        return false;
    }
    let at = random.below(elements.len());
    let has_ends = elements.iter().any(|element| element.flags & INTERVAL_END != 0);
    if random.below(3) == 0 && elements.len() > 1 && !has_ends {
        elements.remove(at);
        return true;
    }
    let order = |elements: &[ElementCode]| {
        let mut all: Vec<(Vec<u8>, usize)> =
            elements.iter().enumerate().map(|(index, element)| (element.key.to_vec(), index)).collect();
        all.sort();
        let is_apart = all.windows(2).all(|pair| pair[0].0 != pair[1].0);
        is_apart.then(|| all.into_iter().map(|(_, index)| index).collect::<Vec<_>>())
    };
    let before = order(elements);
    let element = &mut elements[at];
    match element.data.as_deref_mut() {
        Some(ElementDataCode::Verdict(verdict)) if random.below(2) == 0 => {
            *verdict = if *verdict == Verdict::Drop { Verdict::Accept } else { Verdict::Drop };
            return true;
        }
        Some(ElementDataCode::Value(value)) if random.below(2) == 0 => return bit(value, random),
        _ => {}
    }
    let is_concat_of_intervals = !code.fields.is_empty();
    let is_changed = !is_concat_of_intervals && bit(&mut element.key, random);
    is_changed && (!has_ends || order(elements) == before)
}

/// `NF_NAT_RANGE_PROTO_RANDOM`, include/uapi/linux/netfilter/nf_nat.h.
const RANDOM: u32 = 4;
/// `NFT_SET_ELEM_INTERVAL_END`, include/uapi/linux/netfilter/nf_tables.h.
const INTERVAL_END: u32 = 1;
