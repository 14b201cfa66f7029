//! Joins comparisons of neighbouring fields to one, as nft(8) does (`stmt_reduce`, src/rule.c,
//! 1.0.6): `tcp sport 1 tcp dport 2` loads and compares four bytes at once.

use super::super::data::Bytes;
use super::super::expr::Expr;
use super::super::keys::{CmpOp, PayloadBase};
use crate::model::{EtherType, Family, Field, Match, Op, Operand, Statement, Value};

/// A load of a field and its comparison with a constant, by the index of the load.
#[derive(Clone, Copy, Debug)]
struct Compared {
    at: usize,
    base: PayloadBase,
    offset: u32,
    len: u32,
    op: CmpOp,
    /// Whether the field says which header follows; nft compares it in its own place.
    names_the_next: bool,
}

/// Comparisons since the last statement that is not one.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    compared: Vec<Compared>,
    /// Expressions that are not sent, by index.
    gone: Vec<usize>,
    /// Loads and comparisons that take their place.
    joined: Vec<(usize, Expr, Expr)>,
}

impl Neighbours {
    /// Records a comparison with a constant, which is the end of the program so far.
    pub(super) fn compared(&mut self, field: Field, exprs: &[Expr]) {
        let [.., Expr::Payload { base, offset, len, .. }, Expr::Cmp { op, .. }] = exprs else { return };
        let at = exprs.len() - 2;
        // nft joins two that are not equal as well, and the rule then matches where one is equal.
        if *op != CmpOp::Eq {
            return;
        }
        let names_the_next = matches!(
            field,
            Field::AhNexthdr
                | Field::CompNexthdr
                | Field::EtherType
                | Field::IcmpType
                | Field::Icmpv6Type
                | Field::Ip6Nexthdr
                | Field::IpProtocol
                | Field::VlanType
        );
        self.compared.push(Compared { at, base: *base, offset: *offset, len: *len, op: *op, names_the_next });
    }

    /// Ends a run of comparisons. Unlike nft, which joins one alone to those behind the statement
    /// that follows, so that it does that to more packets.
    pub(super) fn end(&mut self, exprs: &[Expr]) {
        if self.compared.len() > 1 {
            self.join(exprs);
        }
        self.compared.clear();
    }

    fn join(&mut self, exprs: &[Expr]) {
        let mut compared = std::mem::take(&mut self.compared);
        compared.sort_by_key(|one| (one.base.0, one.offset));
        let mut compared = compared.into_iter();
        let Some(mut last) = compared.next() else { return };
        let mut data = constant(exprs, last.at);
        for this in compared {
            if !can_join(&last, &this) {
                (last, data) = (this, constant(exprs, this.at));
                continue;
            }
            data.extend(constant(exprs, this.at).iter().copied());
            let (kept, left) = if this.names_the_next { (this.at, last.at) } else { (last.at, this.at) };
            self.joined.retain(|(at, ..)| *at != last.at && *at != this.at);
            self.gone.extend([left, left + 1]);
            last = Compared { at: kept, len: last.len + this.len, names_the_next: this.names_the_next, ..last };
            if let Some(Expr::Payload { dreg, .. }) = exprs.get(kept) {
                let load = Expr::Payload { base: last.base, offset: last.offset, len: last.len, dreg: *dreg };
                self.joined.push((kept, load, Expr::Cmp { sreg: *dreg, op: last.op, data: data.clone() }));
            }
        }
    }

    /// Changes the program; `statements` has the statement of each expression.
    pub(super) fn apply(mut self, exprs: &mut Vec<Expr>, statements: &mut Vec<usize>) {
        self.end(exprs);
        for (at, load, compare) in self.joined {
            let Some([first, second]) = exprs.get_mut(at..at + 2) else { continue };
            (*first, *second) = (load, compare);
        }
        if self.gone.is_empty() {
            return;
        }
        let keep = |index: usize| !self.gone.contains(&index);
        let mut index = 0..;
        exprs.retain(|_| index.next().is_some_and(keep));
        let mut index = 0..;
        statements.retain(|_| index.next().is_some_and(keep));
    }

    /// Leaves out the expressions of a match that always holds in this family.
    pub(super) fn leave_out(&mut self, from: usize, to: usize) {
        self.gone.extend(from..to);
    }
}

/// Returns whether every packet of a family meets the match, so that nft does not send it if
/// another statement follows.
pub(super) fn always_holds(statement: &Statement, family: Family) -> bool {
    let Statement::Match(Match { selector, op: Op::Eq, operand: Operand::Value(Value::EtherType(protocol)) }) =
        statement
    else {
        return false;
    };
    let only = match family {
        Family::Ip => EtherType::IP,
        Family::Ip6 => EtherType::IP6,
        Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => return false,
    };
    selector.as_field() == Some(Field::MetaProtocol) && *protocol == only
}

/// `payload_can_merge` (src/payload.c): what the kernel loads fast is not joined to more than that.
fn can_join(one: &Compared, other: &Compared) -> bool {
    let total = one.len + other.len;
    one.base == other.base
        && one.offset + one.len == other.offset
        && one.op == other.op
        && total <= 16
        && (total <= 4 || one.base == PayloadBase::LINK || one.len > 4 || other.len > 4)
}

fn constant(exprs: &[Expr], load: usize) -> Bytes {
    match exprs.get(load + 1) {
        Some(Expr::Cmp { data, .. }) => data.clone(),
        _ => Bytes::new(),
    }
}
