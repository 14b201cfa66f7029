//! Readers of statements that count, answer, copy, and change sets and packets.

use super::super::codes::{
    BitwiseCode, ConnlimitCode, DynsetCode, ExthdrSetCode, LookupSet, ObjrefCode, ObjrefMapCode, PayloadSetCode,
    QuotaCode, SynproxyCode, when,
};
use super::super::data::{self, Order};
use super::super::expr::Expr;
use super::super::fields::field_of;
use super::super::keys::{CtKey, MetaKey, Register};
use super::super::lower::{Known, store, write};
use super::super::set::{AnonymousSet, metered};
use super::Proposal;
use super::loads::{Computed, Keyed, See};
use crate::model::{
    ConnLimit, Exthdr, ExthdrOf, ExthdrPart, Family, Field, Meter, Name, Needs, ObjectKind, ObjectRef, ObjectTo,
    Protocol, Quota, Selector, SetData, SetFlags, SetRef, SetValue, Statement, Synproxy, SynproxyFlags, Update,
    UpdateOp, Value,
};

/// Proposes what `first` and the expressions after it may mean.
pub(super) fn propose(all: &[Expr], family: Family, known: Known) -> Vec<Proposal> {
    let see = See { family, known };
    let statement = all.first().and_then(alone);
    statement
        .map(|statement| Proposal::ours(statement, 1))
        .or_else(|| see.updates(all))
        .or_else(|| see.assigns(all))
        .or_else(|| see.sends(all))
        .into_iter()
        .collect()
}

/// Reads a statement that is one expression.
fn alone(expr: &Expr) -> Option<Statement> {
    Some(match expr {
        Expr::Connlimit(ConnlimitCode { count, flags }) => {
            Statement::ConnLimit(ConnLimit { count: *count, when: when(*flags)? })
        }
        Expr::ExthdrReset(code) if code.op == TCP_OPTION => Statement::ResetTcpOption(code.kind),
        Expr::FlowOffload(code) => Statement::FlowAdd(code.table.clone()),
        Expr::Objref(ObjrefCode { kind, name }) => {
            Statement::ObjectRef(ObjectRef { kind: kind_of(*kind)?, to: ObjectTo::Name(name.clone()) })
        }
        Expr::Quota(QuotaCode { bytes, flags, consumed }) => {
            Statement::Quota(Quota { bytes: *bytes, when: when(*flags)?, used: *consumed })
        }
        Expr::Synproxy(SynproxyCode { mss, wscale, flags }) => Statement::Synproxy(Synproxy {
            mss: (flags & 1 != 0).then_some(*mss),
            wscale: (flags & 2 != 0).then_some(*wscale),
            flags: SynproxyFlags::from_bits(flags & !3)?,
        }),
        _ => return None,
    })
}

fn kind_of(number: u32) -> Option<ObjectKind> {
    ObjectKind::from_number(number)
}

impl See {
    fn updates(&self, exprs: &[Expr]) -> Option<Proposal> {
        let keyed = self.keyed(exprs)?;
        if let Expr::ObjrefMap(ObjrefMapCode { sreg: Register::FIRST, set, anonymous }) = keyed.by {
            return self.object_map(keyed, set, anonymous.as_deref());
        }
        let Keyed { selector: key, part: None, value, by, len } = keyed else { return None };
        let statement = match by {
            Expr::Dynset(DynsetCode { anonymous: Some(set), .. }) => {
                Statement::Meter(meter(by, key, set).filter(|_| value.is_none())?)
            }
            Expr::Dynset(code) => {
                let DynsetCode { set, anonymous: None, op, key: Register::FIRST, data, timeout, exprs, flags: 0 } =
                    code
                else {
                    return None;
                };
                let op = match op {
                    0 => UpdateOp::Add,
                    1 => UpdateOp::Update,
                    2 => UpdateOp::Delete,
                    _ => return None,
                };
                if data.is_some() != value.is_some() {
                    return None;
                }
                let statements = exprs.iter().map(stateful).collect::<Option<_>>()?;
                let timeout = timeout.map(std::time::Duration::from_millis);
                let value = value.map(SetValue::From);
                Statement::Update(Box::new(Update {
                    op,
                    set: SetRef::Named(set.clone()),
                    key,
                    timeout,
                    statements,
                    value,
                }))
            }
            _ => return None,
        };
        Some(Proposal::ours(statement, len))
    }

    /// Reads a map to objects. The kind of those of a named one is in its declaration, so that any is
    /// proposed.
    fn object_map(&self, keyed: Keyed<'_>, name: &Name, anonymous: Option<&AnonymousSet>) -> Option<Proposal> {
        let (set, kind) = match anonymous {
            None => (LookupSet::Named(name.clone()), ObjectKind::Counter),
            Some(set) => (LookupSet::Anonymous(Box::new(set.clone())), kind_of(set.code.object?)?),
        };
        let map = keyed.set(&set, &SetData::Object(kind)).filter(|_| keyed.value.is_none())?;
        let to = ObjectTo::Map(keyed.selector, map);
        Some(Proposal::ours(Statement::ObjectRef(ObjectRef { kind, to }), keyed.len))
    }

    fn assigns(&self, exprs: &[Expr]) -> Option<Proposal> {
        let (first, rest) = exprs.split_first()?;
        if let Expr::Immediate { dreg: Register::FIRST, data } = first {
            let target = self.target(rest.first()?).filter(|target| !is_mark(*target))?;
            let value = data::value(data, target.data_type(), Order::Register)?;
            return Some(Proposal::ours(Statement::Set { target, value: SetValue::Constant(value) }, 2));
        }
        if let [Expr::Payload { .. }, Expr::Bitwise(code), Expr::PayloadSet(stored), ..] = exprs {
            if let Some(statement) = self.writes(first, code, stored) {
                return Some(Proposal::ours(statement, 3));
            }
        }
        if let Some(Computed { selector, len, placed: None }) = self.value(exprs) {
            let rest = exprs.get(len..).unwrap_or_default();
            let converted = usize::from(matches!(rest.first(), Some(Expr::Byteorder { .. })));
            if let Some(target) = rest.get(converted).and_then(|expr| self.target(expr)) {
                let value = SetValue::From(selector);
                return Some(Proposal::ours(Statement::Set { target, value }, len + converted + 1));
            }
        }
        let keyed = self.keyed(exprs)?;
        let Expr::Lookup { sreg: Register::FIRST, dreg: Some(Register::FIRST), set, inverted: false } = keyed.by else {
            return None;
        };
        if keyed.value.is_some() {
            return None;
        }
        let target = self.target(exprs.get(keyed.len)?).filter(|target| !is_mark(*target))?;
        let map = keyed.set(set, &SetData::Value(target.data_type()))?;
        let value = SetValue::Map { selector: keyed.selector, map };
        Some(Proposal::ours(Statement::Set { target, value }, keyed.len + 1))
    }

    /// Reads a constant that is written into some bits of a header.
    fn writes(&self, loaded: &Expr, code: &BitwiseCode, stored: &PayloadSetCode) -> Option<Statement> {
        let PayloadSetCode { base, offset, len, .. } = *stored;
        if *loaded != (Expr::Payload { base, offset, len, dreg: Register::FIRST }) {
            return None;
        }
        // nft lists the type and code of a message as ports.
        let is_listed = |field: &Field| {
            let Needs { transport, .. } = field.needs();
            !matches!(transport, Some(Protocol::ICMP | Protocol::ICMPV6 | Protocol::IGMP))
        };
        let mut fields = Field::ALL.iter().copied().filter(|field| self.has(*field) && is_listed(field));
        fields.find_map(|target| {
            let (written, part) = write(target)?;
            let part = part.filter(|part| {
                written == *stored && part.mask().iter().map(|byte| !byte).eq(code.mask.iter().copied())
            })?;
            let value = Value::of_number(part.number(&code.xor)?, target.data_type())?;
            Some(Statement::Set { target, value: SetValue::Constant(value) })
        })
    }

    /// Returns the field that an expression sets to register 1.
    fn target(&self, expr: &Expr) -> Option<Field> {
        let with_parameters = match expr {
            Expr::ExthdrSet(ExthdrSetCode { sreg: _, kind, offset, len, op: TCP_OPTION }) => {
                let bits = |bytes: &u32| u16::try_from(*bytes).ok()?.checked_mul(8);
                let part = ExthdrPart::Bits { offset: bits(offset)?, bits: bits(len)? };
                Some(Field::Exthdr(Exthdr { of: ExthdrOf::Tcp, kind: *kind, part }))
            }
            Expr::CtDirectedSet(code) => {
                let load =
                    crate::bytecode::CtDirectedCode { key: code.key, dreg: code.sreg, direction: code.direction };
                field_of(&Expr::CtDirected(load)).map(|(field, _)| field)
            }
            Expr::PayloadSet(code) => {
                let PayloadSetCode { sreg: dreg, base, offset, len, .. } = *code;
                self.raw(&Expr::Payload { base, offset, len, dreg }, Register::FIRST, &[])
            }
            Expr::CtSet { key: CtKey::EVENTMASK, .. } => Some(Field::CtEvent),
            Expr::MetaSet { key: MetaKey::NFTRACE, .. } => Some(Field::Nftrace),
            Expr::CtSet { .. } | Expr::MetaSet { .. } => None,
            _ => return None,
        };
        let all = with_parameters.into_iter().chain(Field::ALL.iter().copied());
        { all }.find(|field| store(*field).as_ref() == Some(expr) && self.has(*field))
    }
}

/// Reads a meter: an update of a set of the rule.
fn meter(by: &Expr, key: Selector, set: &AnonymousSet) -> Option<Meter> {
    let Expr::Dynset(DynsetCode {
        set: name,
        anonymous: _,
        op,
        key: Register::FIRST,
        data: None,
        timeout,
        exprs,
        flags: 0,
    }) = by
    else {
        return None;
    };
    // What else a set may have, a meter has not.
    let made = metered(key.key().collect(), SetFlags::from_bits_truncate(set.code.flags), set.code.size);
    let [expr] = exprs.as_slice() else { return None };
    let is_one = set.same(&made) && (*op == 1) == timeout.is_some() && !name.as_str().contains('%');
    is_one.then_some(())?;
    let timeout = timeout.map(std::time::Duration::from_millis);
    Some(Meter { name: name.clone(), size: set.code.size, key, timeout, statement: Box::new(stateful(expr)?) })
}

/// Returns whether constants and maps for it have a statement of their own.
fn is_mark(target: Field) -> bool {
    matches!(target, Field::Mark | Field::CtMark)
}

/// Reads what an element counts or limits.
fn stateful(expr: &Expr) -> Option<Statement> {
    match expr {
        Expr::Counter { packets, bytes } => Some(Statement::Counter { packets: *packets, bytes: *bytes }),
        Expr::Limit(code) => super::actions::limit(code).map(Statement::Limit),
        expr => alone(expr).filter(|statement| matches!(statement, Statement::Quota(_) | Statement::ConnLimit(_))),
    }
}

/// `NFT_EXTHDR_OP_TCPOPT`.
const TCP_OPTION: u32 = 1;
