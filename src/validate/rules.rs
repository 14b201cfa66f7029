//! Checks a rule: its statements one by one, with what the earlier ones established about the
//! packet.

use super::families::selector;
use super::graph::Graph;
use super::location::At;
use super::place::{self, Places, Target};
use super::problem::Problem;
use super::protocols::Packets;
use super::{Checked, Fault, names};
use crate::bytecode::{self, Sets};
use crate::model::{Family, Field, MarkKey, NatKind, Rule, Selector, Statement, Verdict};

/// `NFT_RULE_MAXEXPRS`, net/netfilter/nf_tables_api.c.
const EXPRESSIONS: usize = 128;

impl Checked<'_, '_> {
    pub(super) fn rule(&self, at: At<'_>, chain: usize, rule: &Rule, graph: &Graph, faults: &mut Vec<Fault>) {
        let Rule { statements, comment, .. } = rule;
        names::comment(at, comment.as_deref(), faults);
        let mut packets = Packets::of(self.view.family);
        let mut ended = None;
        for (index, statement) in statements.iter().enumerate() {
            let at = at.statement(index, keyword(statement));
            if let Some(terminal) = ended {
                at.report(faults, Problem::AfterTerminal { terminal });
            }
            if is_terminal(statement) {
                ended = ended.or(Some(keyword(statement)));
            }
            if let Some(target) = Target::of(statement) {
                self.place(at, chain, target, graph, faults);
            }
            for field in selector(statement).into_iter().flat_map(Selector::fields) {
                self.field_place(at, chain, field, graph, faults);
            }
            self.statement(at, statement, &mut packets, faults);
        }
        let fields: usize = statements.iter().filter_map(selector).map(|selector| selector.fields().count()).sum();
        if PER_STATEMENT * statements.len().max(fields) > EXPRESSIONS {
            let count = expressions(rule, self.view.family, self);
            if count > EXPRESSIONS {
                at.report(faults, Problem::TooManyExpressions { expressions: count });
            }
        }
    }

    /// Checks that the target is allowed in every place that reaches the chain, because the kernel
    /// refuses the commit for one where it is not.
    fn place(&self, at: At<'_>, chain: usize, target: Target, graph: &Graph, faults: &mut Vec<Fault>) {
        let reached = graph.reached(chain);
        if let Some((chain_type, hook)) = reached.without(target.places()).first() {
            let through = graph.through(self, chain, Places::of(chain_type, hook));
            at.report(faults, Problem::TargetNotAllowed { target, chain_type, hook, through });
        }
    }

    fn field_place(&self, at: At<'_>, chain: usize, field: Field, graph: &Graph, faults: &mut Vec<Fault>) {
        if let Some(target) = Target::of_field(field) {
            self.place(at, chain, target, graph, faults);
        }
        let Some(known) = place::interface_known(field) else { return };
        let reached = graph.reached(chain);
        // A chain shared by several hooks may read what only one of them knows.
        if reached.meets(Places::at(known)) {
            return;
        }
        if let Some((chain_type, hook)) = reached.first() {
            let through = graph.through(self, chain, Places::of(chain_type, hook));
            at.report(faults, Problem::InterfaceUnknown { field, hook, through, known });
        }
    }
}

/// Returns whether no statement after this one in the rule can run; nft(8) refuses any.
fn is_terminal(statement: &Statement) -> bool {
    match statement {
        Statement::Verdict(verdict) => *verdict != Verdict::Continue,
        Statement::Fwd(_) | Statement::Masquerade { .. } | Statement::Nat(_) => true,
        Statement::Queue(_) | Statement::QueueTo { .. } => true,
        Statement::Redirect { .. } | Statement::Reject(_) => true,
        Statement::Counter { .. } | Statement::Limit(_) | Statement::Log(_) | Statement::Match(_) => false,
        Statement::Notrack | Statement::Opaque(_) | Statement::SetMark { .. } => false,
        Statement::SetNftrace(_) | Statement::SetZone(_) => false,
        Statement::Tproxy(_) | Statement::VerdictMap { .. } => false,
        Statement::ConnLimit(_) | Statement::Dup(_) | Statement::FlowAdd(_) | Statement::ObjectRef(_) => false,
        Statement::Quota(_) | Statement::ResetTcpOption(_) | Statement::Set { .. } | Statement::Synproxy(_) => false,
        Statement::Meter(_) | Statement::Update(_) => false,
    }
}

/// Returns the kind of a statement, as nft spells it.
pub(super) fn keyword(statement: &Statement) -> &'static str {
    match statement {
        Statement::ConnLimit(_) => "ct count",
        Statement::Dup(_) => "dup",
        Statement::Fwd(_) => "fwd",
        Statement::FlowAdd(_) => "flow add",
        Statement::ObjectRef(object) => object.kind.entry().1,
        Statement::Quota(_) => "quota",
        Statement::ResetTcpOption(_) => "reset tcp option",
        Statement::Set { target, .. } => target.name(),
        Statement::Synproxy(_) => "synproxy",
        Statement::Meter(_) => "meter",
        Statement::Update(_) => "update",
        Statement::Counter { .. } => "counter",
        Statement::Limit(_) => "limit",
        Statement::Log(_) => "log",
        Statement::Match(matches) => matches.selector.fields().next().map_or("match", Field::name),
        Statement::Nat(nat) => match nat.kind {
            NatKind::Dnat => "dnat",
            NatKind::Snat => "snat",
        },
        Statement::Masquerade { .. } => "masquerade",
        Statement::Notrack => "notrack",
        Statement::Opaque(_) => "opaque",
        Statement::Queue(_) | Statement::QueueTo { .. } => "queue",
        Statement::Redirect { .. } => "redirect",
        Statement::Reject(_) => "reject",
        Statement::SetMark { key: MarkKey::Ct, .. } => "ct mark set",
        Statement::SetMark { key: MarkKey::Meta, .. } => "meta mark set",
        Statement::SetNftrace(_) => "meta nftrace set",
        Statement::SetZone(_) => "ct zone set",
        Statement::Tproxy(_) => "tproxy",
        Statement::Verdict(verdict) => match verdict {
            Verdict::Accept => "accept",
            Verdict::Continue => "continue",
            Verdict::Drop => "drop",
            Verdict::Goto(_) => "goto",
            Verdict::Jump(_) => "jump",
            Verdict::Return => "return",
        },
        Statement::VerdictMap { .. } => "vmap",
    }
}

/// Returns the number of the rule's expressions; 0 if it has no program, for which there are more
/// precise faults.
fn expressions(rule: &Rule, family: Family, sets: &impl Sets) -> usize {
    let program = bytecode::lower(rule, family, sets);
    program.map_or(0, |program| program.exprs.len())
}

/// The most expressions that a statement on one field needs: two protocol checks, a load, a
/// conversion, two comparisons.
const PER_STATEMENT: usize = 8;
