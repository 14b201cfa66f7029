//! Rules: where they go, and what they name.

use super::chains::NFT_CHAIN_BINDING;
use super::machine::Batch;
use super::stop::{Outcome, Spot, Stop, refuse, refuse_whole};
use super::verdicts::{element_target, target};
use crate::attr::nfta::{
    NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_POSITION, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_ELEMENTS,
    NFTA_SET_TABLE,
};
use crate::bytecode::{ElementCode, Expr, LookupSet};
use crate::model::{ChainId, Name, Position, RuleHandle};
use crate::netlink::MessagePart;
use crate::state::{RuleState, SetState, TableState};

impl Batch<'_> {
    /// nf_tables_newrule: at a position, or in the place of the rule with a handle.
    pub(super) fn add_rule(
        &mut self,
        id: &ChainId,
        position: Option<Position>,
        replaced: Option<RuleHandle>,
        rule: RuleState,
    ) -> Outcome {
        if let Some(opaque) = rule.exprs.iter().find(|expr| !is_known(expr)) {
            return Err(Stop::Unknown(format!(
                "a rule holds the expression {}, which is not known here",
                opaque.name()
            )));
        }
        // The messages of anonymous sets come first, whatever becomes of the rule.
        for (index, expr) in rule.exprs.iter().enumerate() {
            let Some(set) = expr.anonymous_set() else { continue };
            let part = MessagePart::Lookup { expr: index };
            let table = self.table(&id.table, NFTA_SET_TABLE).map_err(|stop| within(stop, part))?;
            let handle = table.handle;
            let refused = set.elements.iter().enumerate().find_map(|(at, code)| Some((at, lead(table, code).err()?)));
            let has_targets = set.elements.iter().any(|code| element_target(code).is_some());
            self.number(handle);
            if has_targets {
                self.touched.insert(handle);
            }
            if let Some((at, errno)) = refused {
                return Err(Stop::Refused { part, spot: Spot::Nested(NFTA_SET_ELEM_LIST_ELEMENTS, at), errno });
            }
        }
        let rules = &self.chain(id)?.rules;
        let find = |wanted: RuleHandle, attribute| match rules.iter().position(|rule| rule.handle == wanted) {
            Some(index) => Ok(index),
            None => refuse(libc::ENOENT, attribute),
        };
        let index = match (position, replaced) {
            (_, Some(old)) => find(old, NFTA_RULE_HANDLE)?,
            (Some(Position::After(neighbour)), None) => find(neighbour, NFTA_RULE_POSITION)? + 1,
            (Some(Position::Before(neighbour)), None) => find(neighbour, NFTA_RULE_POSITION)?,
            (Some(Position::First), None) => 0,
            (Some(Position::Last) | None, None) => rules.len(),
        };
        let table = self.table(&id.table, NFTA_RULE_TABLE)?;
        let handle = table.handle;
        for (index, expr) in rule.exprs.iter().enumerate() {
            named(table, expr).map_err(|errno| {
                let spot = Spot::Nested(NFTA_RULE_EXPRESSIONS, index);
                Stop::Refused { part: MessagePart::Itself, spot, errno }
            })?;
        }
        // A rule that replaces another has its handle.
        let number = match replaced {
            Some(old) if self.gone.contains(&(handle, old)) => return refuse_whole(libc::ENOENT),
            Some(old) => old,
            None => RuleHandle(self.number(handle)),
        };
        if rule.exprs.iter().any(is_checked) {
            self.touched.insert(handle);
        }
        let mut rule = RuleState { handle: number, ..rule };
        for expr in &mut rule.exprs {
            if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } = expr {
                // That of another set, from which these elements were read.
                set.order.clear();
            }
        }
        self.made.push(rule.handle);
        let rules = &mut self.chain(id)?.rules;
        match rules.get_mut(index).filter(|_| replaced.is_some()) {
            Some(held) => {
                let old = std::mem::replace(held, rule);
                self.removed.push((handle, old));
            }
            None => rules.insert(index, rule),
        }
        self.has_changed = true;
        Ok(())
    }

    pub(super) fn delete_rule(&mut self, id: &ChainId, handle: RuleHandle) -> Outcome {
        if !self.chain(id)?.rules.iter().any(|rule| rule.handle == handle) {
            return refuse(libc::ENOENT, NFTA_RULE_HANDLE);
        }
        let table = self.table(&id.table, NFTA_RULE_TABLE)?.handle;
        if !self.gone.insert((table, handle)) {
            return refuse_whole(libc::ENOENT);
        }
        self.has_changed = true;
        Ok(())
    }

    /// Whether a live rule looks the set up.
    pub(super) fn is_bound(&self, table: &TableState, set: &Name) -> bool {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let live = rules.filter(|rule| !self.gone.contains(&(table.handle, rule.handle)));
        live.flat_map(|rule| &rule.exprs).any(|expr| looks_up(expr, set))
    }

    /// The same, or one that goes in this batch: the kernel lets go of the set when the batch is
    /// through.
    pub(super) fn was_bound(&self, table: &TableState, set: &SetState) -> bool {
        if self.new_sets.contains(&(table.handle, set.handle)) {
            // What has gone looked up another of that name.
            return self.is_bound(table, &set.name);
        }
        let looks = |rule: &RuleState| rule.exprs.iter().any(|expr| looks_up(expr, &set.name));
        let removed = self.removed.iter().filter(|(handle, _)| *handle == table.handle).map(|(_, rule)| rule);
        table.chains.iter().flat_map(|chain| &chain.rules).chain(removed).any(looks)
    }
}

fn looks_up(expr: &Expr, set: &Name) -> bool {
    matches!(expr, Expr::Lookup { set: LookupSet::Named(name), .. } if name == set)
}

/// The same refusal, of another message of the operation.
fn within(stop: Stop, part: MessagePart) -> Stop {
    match stop {
        Stop::Refused { part: _, spot, errno } => Stop::Refused { part, spot, errno },
        unknown @ Stop::Unknown(_) => unknown,
    }
}

/// Whether what an expression names is there, or the errno.
fn named(table: &TableState, expr: &Expr) -> Result<(), i32> {
    if let Expr::Lookup { set: LookupSet::Named(name), .. } = expr {
        table.set(name.as_str()).ok_or(libc::ENOENT)?;
    }
    target(expr).map_or(Ok(()), |name| leads(table, name))
}

/// Whether a verdict may lead from an element there, or the errno.
pub(super) fn lead(table: &TableState, code: &ElementCode) -> Result<(), i32> {
    match element_target(code) {
        Some(name) => match table.chain(name.as_str()) {
            Some(chain) if chain.flags & NFT_CHAIN_BINDING != 0 => Err(libc::EINVAL),
            _ => leads(table, name),
        },
        None => Ok(()),
    }
}

/// nft_verdict_init
fn leads(table: &TableState, name: &Name) -> Result<(), i32> {
    match table.chain(name.as_str()) {
        None => Err(libc::ENOENT),
        Some(chain) if chain.hook.is_some() => Err(libc::EOPNOTSUPP),
        Some(_) => Ok(()),
    }
}

/// Expressions that the kernel looks at once more when the batch is through.
fn is_checked(expr: &Expr) -> bool {
    !matches!(
        expr,
        Expr::Bitwise(_)
            | Expr::Byteorder { .. }
            | Expr::ByteorderTo(_)
            | Expr::Cmp { .. }
            | Expr::Counter { .. }
            | Expr::Immediate { .. }
            | Expr::Limit(_)
            | Expr::Log(_)
            | Expr::Payload { .. }
            | Expr::Range { .. }
    )
}

/// Returns whether what the kernel demands of an expression is known.
fn is_known(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Bitwise(_)
            | Expr::Byteorder { .. }
            | Expr::ByteorderTo(_)
            | Expr::Cmp { .. }
            | Expr::Counter { .. }
            | Expr::Ct { .. }
            | Expr::CtSet { .. }
            | Expr::Fib { .. }
            | Expr::Immediate { .. }
            | Expr::Limit(_)
            | Expr::Log(_)
            | Expr::Lookup { .. }
            | Expr::Masq { .. }
            | Expr::Meta { .. }
            | Expr::MetaSet { .. }
            | Expr::Nat(_)
            | Expr::Notrack
            | Expr::Payload { .. }
            | Expr::Queue(_)
            | Expr::Range { .. }
            | Expr::Redir { .. }
            | Expr::Reject(_)
            | Expr::Shift(_)
            | Expr::Socket { .. }
            | Expr::Tproxy(_)
            | Expr::Verdict(_)
    )
}
