//! What rules remember: earlier packets, or the moment at which they were loaded.
//!
//! Such a rule may treat the same packet differently. Two identical rules are equal only if the
//! same packets reach both, and a set that rules fill contains what packets put into it.

use std::collections::HashSet;

use super::rules::Op;
use super::sets::SetIndex;
use crate::attr::Attributes;
use crate::attr::nfta::NFTA_DYNSET_SET_NAME;
use crate::bytecode::{Expr, ObjrefCode};
use crate::model::{Name, Statement};
use crate::xt::{Answers, Beyond, Question};

impl Op {
    /// Returns whether its memory is shared: packets reach it by other rules too.
    pub(super) fn shares(&self) -> bool {
        match self {
            Op::Expr(Expr::Opaque { name, data: _, set: _ }) => {
                !matches!(&**name, "connlimit" | "hash" | "last" | "numgen" | "quota") && self.remembers()
            }
            Op::Expr(Expr::Dynset(_) | Expr::ObjrefMap(_) | Expr::FlowOffload(_) | Expr::Synproxy(_)) => true,
            Op::Expr(expr @ Expr::Objref(_)) => expr_remembers(expr),
            Op::Lookup { sreg: _, dreg: _, inverted: _, set } => set.is_some() && self.remembers(),
            Op::Expr(_) | Op::XtAsks(_) | Op::XtLimits(_) | Op::XtOwner(_) => false,
            Op::XtLists(lists) => lists.iter().flatten().any(Op::shares),
        }
    }

    /// Returns whether its effect depends on more than the packet, its connection and the packet's
    /// random draws.
    pub(super) fn remembers(&self) -> bool {
        match self {
            Op::Expr(expr) => expr_remembers(expr),
            Op::Lookup { sreg: _, dreg: _, inverted: _, set } => set.as_deref().is_some_and(SetIndex::remembers),
            Op::XtAsks(asked) => asked.iter().any(|asked| match &asked.question {
                Question::Beyond(Beyond { what: _, answers }) => *answers == Answers::Anew,
                Question::Connection(_) | Question::ReversePath(_) | Question::Segment { .. } => false,
            }),
            Op::XtLimits(_) | Op::XtOwner(_) => false,
            Op::XtLists(lists) => lists.iter().flatten().any(Op::remembers),
        }
    }
}

impl SetIndex {
    /// Returns whether packets fill the set, or its elements remember packets.
    fn remembers(&self) -> bool {
        self.is_filled || self.is_odd || !self.odd.is_empty()
    }
}

fn expr_remembers(expr: &Expr) -> bool {
    match expr {
        Expr::Limit(_) | Expr::Connlimit(_) | Expr::Quota(_) | Expr::Dynset(_) => true,
        Expr::Objref(code) => code.kind != ObjrefCode::COUNTER,
        Expr::ObjrefMap(_) | Expr::FlowOffload(_) | Expr::Synproxy(_) => true,
        // A seed that the user does not give is drawn when the rule is loaded, and not reported
        // (nft_jhash_init, net/netfilter/nft_hash.c, v6.12). A symmetric hash uses the seed of the
        // running kernel.
        Expr::Jhash(code) => code.seed.is_none(),
        Expr::Numgen(code) => code.kind != RANDOM,
        Expr::Opaque { name, data: _, set: _ } => !matches!(
            &**name,
            "bitwise"
                | "byteorder"
                | "cmp"
                | "ct"
                | "dup"
                | "exthdr"
                | "fib"
                | "fwd"
                | "meta"
                | "osf"
                | "payload"
                | "range"
                | "rt"
                | "socket"
                | "tunnel"
                | "xfrm"
        ),
        _ => false,
    }
}

/// Returns the sets that these expressions change: add, update or delete elements of.
pub(super) fn filled<'a>(exprs: impl Iterator<Item = &'a Expr>) -> HashSet<Name> {
    let name = |expr: &Expr| match expr {
        Expr::Dynset(code) => Some(code.set.clone()),
        Expr::Opaque { name, data, set: _ } if **name == *"dynset" => {
            Attributes::new(data).find(NFTA_DYNSET_SET_NAME)?.text().map(Name::from)
        }
        _ => None,
    };
    exprs.filter_map(name).collect()
}

/// Like [`filled`], for a rule set of the model, in which such expressions are opaque.
pub(super) fn filled_by(statements: &[Statement]) -> HashSet<Name> {
    let updated = statements.iter().filter_map(|statement| match statement {
        Statement::Update(_) => statement.looked_up().next().cloned(),
        _ => None,
    });
    let exprs = statements.iter().filter_map(|statement| match statement {
        Statement::Opaque(opaque) => opaque.code::<Vec<Expr>>(),
        _ => None,
    });
    filled(exprs.flatten()).into_iter().chain(updated).collect()
}

/// `NFT_NG_RANDOM`, include/uapi/linux/netfilter/nf_tables.h.
const RANDOM: u32 = 1;
