//! Expressions that the kernel has only for tables of some families.
//!
//! The limits come from the expressions themselves (net/netfilter/nft_*.c, v6.18), and are checked
//! against the running kernel by `kernel/live/tests/judged.rs`. What depends on how a kernel was
//! built (connection tracking of bridges, reject in netdev) is left to the kernel.

use super::Fault;
use super::location::At;
use super::problem::Problem;
use super::rules::keyword;
use crate::model::{Family, Field, MarkKey, MarkValue, ObjectRef, ObjectTo, Selector, SetValue, Statement};

/// Reports what a table of this family cannot have.
pub(super) fn check(at: At<'_>, family: Family, statement: &Statement, faults: &mut Vec<Fault>) {
    let mut report = |what, wanted| at.report(faults, Problem::NotInFamily { what, family, wanted });
    if let Some(wanted) = wanted_by(statement).filter(|wanted| !wanted.has(family)) {
        report(keyword(statement), wanted.names());
    }
    for field in selector(statement).into_iter().flat_map(Selector::fields) {
        if let Some(wanted) = wanted_to_read(field).filter(|wanted| !wanted.has(family)) {
            report(field.name(), wanted.names());
        }
    }
}

/// Returns whether the hooks of a family are those of IPv4 and IPv6.
pub(super) fn is_internet(family: Family) -> bool {
    matches!(family, Family::Inet | Family::Ip | Family::Ip6)
}

/// The families that have an expression.
#[derive(Clone, Copy)]
enum Wanted {
    /// inet, ip, ip6, and bridge, where the kernel may have it: connection tracking.
    Tracked,
    /// bridge alone.
    Bridge,
    /// inet, ip and ip6.
    Internet,
    /// netdev alone.
    Netdev,
    /// inet, ip, ip6, and netdev, where the kernel may have it.
    Routed,
    /// All but arp.
    NotArp,
}

impl Wanted {
    fn has(self, family: Family) -> bool {
        match family {
            Family::Inet | Family::Ip | Family::Ip6 => !matches!(self, Wanted::Bridge | Wanted::Netdev),
            Family::Arp => false,
            Family::Bridge => matches!(self, Wanted::Bridge | Wanted::Tracked | Wanted::NotArp),
            Family::Netdev => matches!(self, Wanted::Netdev | Wanted::Routed | Wanted::NotArp),
        }
    }

    fn names(self) -> &'static str {
        match self {
            Wanted::Tracked => "inet, ip, ip6 or bridge",
            Wanted::Bridge => "bridge",
            Wanted::Internet => "inet, ip or ip6",
            Wanted::Netdev => "netdev",
            Wanted::Routed => "inet, ip, ip6 or netdev",
            Wanted::NotArp => "inet, ip, ip6, bridge or netdev",
        }
    }
}

/// Returns the families that a statement needs for its action.
fn wanted_by(statement: &Statement) -> Option<Wanted> {
    match statement {
        Statement::Masquerade { .. } | Statement::Nat(_) | Statement::Redirect { .. } | Statement::Tproxy(_) => {
            Some(Wanted::Internet)
        }
        Statement::SetZone(_)
        | Statement::SetMark { key: MarkKey::Ct, .. }
        | Statement::SetMark { value: MarkValue::From { from: MarkKey::Ct, .. }, .. } => Some(Wanted::Tracked),
        Statement::Reject(_) => Some(Wanted::NotArp),
        Statement::ConnLimit(_) => Some(Wanted::Tracked),
        Statement::Fwd(_) => Some(Wanted::Netdev),
        Statement::Synproxy(_) => Some(Wanted::Internet),
        Statement::Dup(_) | Statement::FlowAdd(_) | Statement::ObjectRef(_) | Statement::Quota(_) => None,
        Statement::ResetTcpOption(_) | Statement::Set { .. } | Statement::Update(_) => None,
        Statement::Meter(_) => None,
        Statement::Counter { .. } | Statement::Limit(_) | Statement::Log(_) | Statement::Match(_) => None,
        Statement::Notrack | Statement::Opaque(_) | Statement::SetNftrace(_) => None,
        Statement::Queue(_) | Statement::QueueTo { .. } => None,
        Statement::SetMark { key: MarkKey::Meta, .. } => None,
        Statement::Verdict(_) | Statement::VerdictMap { .. } => None,
    }
}

fn wanted_to_read(field: Field) -> Option<Wanted> {
    match field {
        Field::CtDirection | Field::CtMark | Field::CtState | Field::CtStatus | Field::CtZone => Some(Wanted::Tracked),
        Field::CtAvgpkt | Field::CtBytes | Field::CtExpiration | Field::CtHelper | Field::CtId => Some(Wanted::Tracked),
        Field::CtDirected(_) | Field::CtL3proto | Field::CtPackets | Field::CtProtocol => Some(Wanted::Tracked),
        Field::Ibrname | Field::Ibrpvid | Field::Ibrvproto | Field::Obrname => Some(Wanted::Bridge),
        Field::FibDaddrType | Field::FibSaddrType | Field::Fib(_) => Some(Wanted::Routed),
        Field::Ipsec(_) | Field::Osf(_) | Field::SocketCgroup(_) => Some(Wanted::Internet),
        Field::RtClassid | Field::RtIp6Nexthop | Field::RtIpNexthop | Field::RtIpsec | Field::RtMtu => {
            Some(Wanted::Internet)
        }
        Field::CtEvent | Field::CtLabel | Field::CtSecmark => Some(Wanted::Tracked),
        Field::SocketMark | Field::SocketTransparent | Field::SocketWildcard => Some(Wanted::Internet),
        _ => None,
    }
}

/// Returns the fields that a statement reads, if it has a selector.
pub(super) fn selector(statement: &Statement) -> Option<&Selector> {
    match statement {
        Statement::Match(matches) => Some(&matches.selector),
        Statement::SetMark { value: MarkValue::Map { selector, .. }, .. } => Some(selector),
        Statement::VerdictMap { selector, .. } => Some(selector),
        Statement::Nat(nat) => nat.computed.as_ref().map(|computed| computed.selector()),
        Statement::Set { value: SetValue::Map { selector, .. }, .. } => Some(selector),
        Statement::ObjectRef(ObjectRef { to: ObjectTo::Map(selector, _), .. }) => Some(selector),
        Statement::Meter(meter) => Some(&meter.key),
        Statement::Update(update) => Some(&update.key),
        _ => None,
    }
}
