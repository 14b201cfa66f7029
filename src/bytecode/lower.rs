//! Lowers rules to programs, in canonical form: rules that mean the same in nft(8)'s grammar become
//! the same program, the one that nft makes.

mod actions;
mod dependencies;
mod lookups;
mod reduce;
mod selectors;
mod targets;

pub(super) use actions::{store, write};
pub(super) use dependencies::Known;
use reduce::{Neighbours, always_holds};
pub(super) use selectors::{FIRST_HASHED, LEFT, RIGHT};
pub(super) use targets::{address_type, family_of, held_by};
use targets::{lower_limit, lower_log};

use super::codes::{QueueCode, nat_flags};
use super::data::{self, Bytes, Order};
use super::expr::Expr;
use super::fields::{Part, load, part};
use super::kept::kept_program;
use super::keys::{CmpOp, CtKey, MetaKey, Register};
use super::set::SetMode;
use crate::error::{Error, ErrorKind};
use crate::model::{
    DataType, Family, Field, Match, Name, ObjectKind, Op, Operand, Queue, Rule, Selector, Set, SetData, Statement,
    Value,
};

/// The program of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a program is its expressions")]
pub struct Program {
    /// The expressions, in order.
    pub exprs: Vec<Expr>,
    /// For each expression, the index of the rule's statement from which it was made.
    pub statements: Vec<usize>,
}

/// The named sets of a table, which a lookup on a host-order field depends on.
pub trait Sets {
    /// Returns how the set of this name keeps its keys, or `None` if the set is not known.
    fn mode(&self, name: &Name) -> Option<SetMode>;

    /// Returns the kind of the objects that the map of this name leads to, if it is known.
    fn objects(&self, _name: &Name) -> Option<ObjectKind> {
        None
    }
}

/// A table in which no named sets are known.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "nothing in it")]
pub struct NoSets;

impl Sets for NoSets {
    fn mode(&self, _: &Name) -> Option<SetMode> {
        None
    }
}

impl Sets for [Set] {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        let set = self.iter().find(|set| set.name == *name)?;
        Some(SetMode::of_set(set))
    }
}

/// Why a rule or set has no program. Static validation finds all of these first and with more
/// detail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unlowerable {
    /// An element does not fit its set.
    #[error(
        "set {set}, element {element}: it does not have the types of the set, or is an interval in a set without \
         intervals"
    )]
    Element {
        /// The set.
        set: Name,
        /// The element, in nft's syntax.
        element: String,
    },
    /// A set without a key type.
    #[error("set {0}: it has no key type")]
    NoKey(Name),
    /// An operand of another type than the field.
    #[error("{field}: the operand is not a value, range, prefix or set of that field")]
    Operand {
        /// The field as nft spells it.
        field: &'static str,
    },
    /// A table to be recreated that contains an item whose name is not text.
    #[error(
        "table {table} holds something whose name is not text, which cannot be made again: its flags can be changed only \
         by deleting the table"
    )]
    Unnamed {
        /// The table.
        table: String,
    },
    /// A chain to be recreated some of whose rules could not be read.
    #[error(
        "chain {table}/{chain}: some of its rules could not be read, so that it cannot be made again; leave it as it is"
    )]
    Unread {
        /// The table.
        table: String,
        /// The chain.
        chain: Name,
    },
    /// An unknown set that is looked up with a host-order key.
    #[error("set {0} is not known: add it to the same transaction (adding the same set again changes nothing)")]
    UnknownSet(Name),
}

impl From<Unlowerable> for Error {
    fn from(why: Unlowerable) -> Self {
        Error::new(ErrorKind::Invalid, why)
    }
}

/// Returns the program of a rule in a table of `family` whose named sets are `sets`.
///
/// # Errors
/// If an operand does not fit its field.
pub fn lower(rule: &Rule, family: Family, sets: &(impl Sets + ?Sized)) -> Result<Program, Unlowerable> {
    let mut program = Program::default();
    lower_into(&mut program, rule, family, sets)?;
    Ok(program)
}

/// Like [`lower`], but replaces the contents of `program` and reuses its memory.
pub(crate) fn lower_into(
    program: &mut Program,
    rule: &Rule,
    family: Family,
    sets: &(impl Sets + ?Sized),
) -> Result<(), Unlowerable> {
    let Program { exprs, statements } = program;
    exprs.clear();
    statements.clear();
    if let Some(kept) = kept_program(rule) {
        exprs.extend_from_slice(kept);
        statements.resize(exprs.len(), 0);
        return Ok(());
    }
    let most = 3 * rule.statements.len() + 2;
    exprs.reserve(most);
    statements.reserve(most);
    let mut lowering = Lowering { exprs, family, sets, known: Known::default(), neighbours: Neighbours::default() };
    for (index, statement) in rule.statements.iter().enumerate() {
        let start = lowering.exprs.len();
        lowering.statement(statement)?;
        if !matches!(statement, Statement::Match(_)) {
            lowering.neighbours.end(lowering.exprs);
        } else if index + 1 < rule.statements.len() && always_holds(statement, family) {
            lowering.neighbours.leave_out(start, lowering.exprs.len());
        }
        statements.resize(lowering.exprs.len(), index);
    }
    let Lowering { exprs, neighbours, .. } = lowering;
    neighbours.apply(exprs, statements);
    Ok(())
}

/// A program being made, and the protocols already known, so that no dependency is checked twice.
struct Lowering<'a, S: ?Sized> {
    exprs: &'a mut Vec<Expr>,
    family: Family,
    sets: &'a S,
    known: Known,
    neighbours: Neighbours,
}

/// Lowers one statement that follows others: returns its expressions and what is known after it.
pub(super) fn lower_statement(
    statement: &Statement,
    known: Known,
    family: Family,
    sets: &(impl Sets + ?Sized),
) -> Result<(Vec<Expr>, Known), Unlowerable> {
    let mut exprs = Vec::new();
    let mut lowering = Lowering { exprs: &mut exprs, family, sets, known, neighbours: Neighbours::default() };
    lowering.statement(statement)?;
    let known = lowering.known;
    Ok((exprs, known))
}

impl<S: Sets + ?Sized> Lowering<'_, S> {
    fn push(&mut self, expr: Expr) {
        self.exprs.push(expr);
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), Unlowerable> {
        match statement {
            Statement::Counter { packets, bytes } => self.push(Expr::Counter { packets: *packets, bytes: *bytes }),
            Statement::Limit(limit) => self.push(Expr::Limit(lower_limit(limit))),
            Statement::Log(log) => self.push(Expr::Log(lower_log(log))),
            Statement::Match(matches) => self.matches(matches)?,
            Statement::Nat(nat) => self.nat(nat)?,
            Statement::Masquerade { ports, flags } => {
                let ports = self.ports(ports.as_ref(), Register::FIRST)?;
                self.push(Expr::Masq { ports, flags: nat_flags(*flags, ports) });
            }
            Statement::Notrack => self.push(Expr::Notrack),
            Statement::Opaque(opaque) => {
                opaque.code::<Vec<Expr>>().into_iter().flatten().for_each(|expr| self.push(expr.clone()));
            }
            Statement::Queue(Queue { from, to, flags }) => {
                let total = to.saturating_sub(*from).saturating_add(1);
                self.push(Expr::Queue(QueueCode { num: *from, total, flags: flags.bits() }));
            }
            Statement::QueueTo { to, flags } => self.queue_to(to, *flags)?,
            Statement::Redirect { ports, flags } => {
                let ports = self.ports(ports.as_ref(), Register::FIRST)?;
                self.push(Expr::Redir { ports, flags: nat_flags(*flags, ports) });
            }
            Statement::Reject(reject) => self.reject(*reject),
            Statement::SetMark { key, value } => self.set_mark(*key, value)?,
            Statement::SetNftrace(on) => {
                self.push(Expr::Immediate { dreg: Register::FIRST, data: Bytes::from_slice(&[u8::from(*on)]) });
                self.push(Expr::MetaSet { key: MetaKey::NFTRACE, sreg: Register::FIRST });
            }
            Statement::SetZone(zone) => {
                self.push(Expr::Immediate { dreg: Register::FIRST, data: Bytes::from_slice(&zone.to_ne_bytes()) });
                self.push(Expr::CtSet { key: CtKey::ZONE, sreg: Register::FIRST });
            }
            Statement::Tproxy(tproxy) => self.tproxy(tproxy)?,
            Statement::Verdict(verdict) => self.push(Expr::Verdict(verdict.clone())),
            Statement::ConnLimit(_) | Statement::Dup(_) | Statement::FlowAdd(_) | Statement::Fwd(_) => {
                self.action(statement)?;
            }
            Statement::ObjectRef(_) => {
                self.action(statement)?;
            }
            Statement::Quota(_) | Statement::ResetTcpOption(_) | Statement::Set { .. } | Statement::Synproxy(_) => {
                self.action(statement)?;
            }
            Statement::Meter(_) | Statement::Update(_) => self.action(statement)?,
            Statement::VerdictMap { selector, map } => {
                self.lookup(selector, map, Some(Register::VERDICT), false, &SetData::Verdict)?;
            }
        }
        Ok(())
    }

    fn matches(&mut self, matches: &Match) -> Result<(), Unlowerable> {
        let Match { selector, op, operand } = matches;
        if let Operand::Set(set) = operand {
            return self.lookup(selector, set, None, *op == Op::Ne, &SetData::None);
        }
        let Selector::Field(field) = selector else { return self.computed(selector, *op, operand) };
        let (field, data_type, cmp) = (*field, field.data_type(), cmp_op(*op));
        let mistyped = Unlowerable::Operand { field: field.name() };
        let ordered = matches!(op, Op::Ge | Op::Gt | Op::Le | Op::Lt) || matches!(operand, Operand::Range(..));
        let order = if ordered { Order::Sorted } else { Order::Register };
        let bytes = |value: &Value| data::bytes(value, data_type, order).ok_or(mistyped.clone());
        self.depend(field);
        if let Some(part) = part(field) {
            return self.part(field, part, *op, operand);
        }
        match operand {
            Operand::Prefix(value, length) => return self.prefix(field, cmp, &bytes(value)?, *length),
            // A mask that keeps the leading bits is a prefix, however it is written.
            Operand::Masked { mask, value } if matches!(data_type, DataType::Ipv4 | DataType::Ipv6) => {
                let (mask, value) = (bytes(mask)?, bytes(value)?);
                let is_within = mask.iter().zip(&value).all(|(mask, value)| value & !mask == 0);
                if let Some(length) = prefix_length(&mask).filter(|_| is_within) {
                    return self.prefix(field, cmp, &value, length);
                }
            }
            _ => {}
        }
        self.load(field, Register::FIRST);
        if ordered && data_type.is_host_order() && data_type.bytes() > 1 {
            self.byteorder(data_type, Register::FIRST);
        }
        match operand {
            Operand::Flags(bits) => {
                let mask = bytes(bits)?;
                let zero: Bytes = mask.iter().map(|_| 0).collect();
                self.and(Register::FIRST, mask);
                let any = if *op == Op::Ne { CmpOp::Eq } else { CmpOp::Ne };
                self.push(Expr::Cmp { sreg: Register::FIRST, op: any, data: zero });
            }
            Operand::Masked { mask, value } => {
                let (mask, data) = (bytes(mask)?, bytes(value)?);
                let is_whole = mask.iter().all(|byte| *byte == u8::MAX);
                self.and(Register::FIRST, mask);
                self.push(Expr::Cmp { sreg: Register::FIRST, op: cmp, data });
                // A mask of all bits is none, and the match one with the value.
                if is_whole {
                    self.learn(field, *op, value);
                    self.neighbours.compared(field, self.exprs);
                }
            }
            Operand::Range(low, high) => {
                let (low, high) = (bytes(low)?, bytes(high)?);
                if *op == Op::Ne {
                    self.push(Expr::Range { sreg: Register::FIRST, op: CmpOp::Ne, low, high });
                } else {
                    self.push(Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Ge, data: low });
                    self.push(Expr::Cmp { sreg: Register::FIRST, op: CmpOp::Le, data: high });
                }
            }
            Operand::Value(value) => {
                let mut data = bytes(value)?;
                if let Some(prefix) = data::name_prefix(value) {
                    data.truncate(prefix.len());
                }
                self.learn(field, *op, value);
                self.push(Expr::Cmp { sreg: Register::FIRST, op: cmp, data });
                self.neighbours.compared(field, self.exprs);
            }
            Operand::Prefix(..) | Operand::Set(_) => {}
        }
        Ok(())
    }

    /// Compares some bits of the loaded bytes, in their place.
    fn part(&mut self, field: Field, part: Part, op: Op, operand: &Operand) -> Result<(), Unlowerable> {
        let bytes = |value: &Value| {
            let number = value.number().filter(|_| value.is_of(field.data_type()));
            number.and_then(|number| part.place(number)).ok_or(Unlowerable::Operand { field: field.name() })
        };
        let sreg = Register::FIRST;
        let mut compared = Vec::new();
        match operand {
            Operand::Value(value) => compared.push(Expr::Cmp { sreg, op: cmp_op(op), data: bytes(value)? }),
            Operand::Range(low, high) if op == Op::Ne => {
                compared.push(Expr::Range { sreg, op: CmpOp::Ne, low: bytes(low)?, high: bytes(high)? });
            }
            Operand::Range(low, high) => {
                compared.push(Expr::Cmp { sreg, op: CmpOp::Ge, data: bytes(low)? });
                compared.push(Expr::Cmp { sreg, op: CmpOp::Le, data: bytes(high)? });
            }
            Operand::Flags(_) | Operand::Masked { .. } | Operand::Prefix(..) | Operand::Set(_) => {
                return Err(Unlowerable::Operand { field: field.name() });
            }
        }
        self.load(field, sreg);
        self.and(sreg, part.mask());
        self.exprs.extend(compared);
        Ok(())
    }

    /// Compares a prefix: one of whole bytes with a shorter load or comparison, any other with a
    /// mask.
    fn prefix(&mut self, field: Field, op: CmpOp, address: &[u8], length: u8) -> Result<(), Unlowerable> {
        let whole = usize::from(length / 8);
        let mask: Bytes = (0..address.len()).map(|index| mask_byte(length, index)).collect();
        let masked: Bytes = address.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
        if length > 0 && length % 8 == 0 {
            let len = u32::from(length / 8);
            self.push(match load(field, Register::FIRST) {
                Expr::Payload { base, offset, len: _, dreg } => Expr::Payload { base, offset, len, dreg },
                other => other,
            });
            let data = masked.iter().copied().take(whole).collect();
            self.push(Expr::Cmp { sreg: Register::FIRST, op, data });
        } else {
            self.load(field, Register::FIRST);
            self.and(Register::FIRST, mask);
            self.push(Expr::Cmp { sreg: Register::FIRST, op, data: masked });
        }
        Ok(())
    }

    /// Compares what is computed from fields.
    fn computed(&mut self, selector: &Selector, op: Op, operand: &Operand) -> Result<(), Unlowerable> {
        let data_type = selector.data_type();
        let ordered = !matches!(op, Op::Eq | Op::Ne) || matches!(operand, Operand::Range(..));
        let order = if ordered { Order::Sorted } else { Order::Register };
        let wrong = Unlowerable::Operand { field: "what is computed" };
        let bytes = |value: &Value| data::bytes(value, data_type, order).ok_or(wrong.clone());
        self.depend_all(selector);
        self.compute(selector, Register::FIRST)?;
        if ordered && data_type.is_host_order() && data_type.bytes() > 1 {
            self.byteorder(data_type, Register::FIRST);
        }
        let sreg = Register::FIRST;
        match operand {
            Operand::Range(low, high) if op == Op::Ne => {
                self.push(Expr::Range { sreg, op: CmpOp::Ne, low: bytes(low)?, high: bytes(high)? });
            }
            Operand::Range(low, high) => {
                self.push(Expr::Cmp { sreg, op: CmpOp::Ge, data: bytes(low)? });
                self.push(Expr::Cmp { sreg, op: CmpOp::Le, data: bytes(high)? });
            }
            Operand::Value(value) => self.push(Expr::Cmp { sreg, op: cmp_op(op), data: bytes(value)? }),
            Operand::Flags(_) | Operand::Masked { .. } | Operand::Prefix(..) | Operand::Set(_) => return Err(wrong),
        }
        Ok(())
    }

    fn load(&mut self, field: Field, dreg: Register) {
        self.push(load(field, dreg));
    }

    fn byteorder(&mut self, data_type: DataType, reg: Register) {
        let len = u32::try_from(data_type.bytes()).unwrap_or(0);
        self.push(Expr::Byteorder { reg, len });
    }

    fn immediate(&mut self, dreg: Register, data: Bytes) -> Register {
        self.push(Expr::Immediate { dreg, data });
        dreg
    }
}

/// Returns whether rules can set a field.
pub(crate) fn can_be_set(target: Field) -> bool {
    matches!(write(target), Some((_, Some(_)))) || store(target).is_some()
}

/// Returns whether rules can set a field to nothing but a constant, as the other bits of its bytes
/// are kept.
pub(crate) fn is_set_to_constants(target: Field) -> bool {
    matches!(write(target), Some((_, Some(_))))
}

fn cmp_op(op: Op) -> CmpOp {
    match op {
        Op::Eq => CmpOp::Eq,
        Op::Ge => CmpOp::Ge,
        Op::Gt => CmpOp::Gt,
        Op::Le => CmpOp::Le,
        Op::Lt => CmpOp::Lt,
        Op::Ne => CmpOp::Ne,
    }
}

/// Returns the length of the prefix that a mask keeps; `None` if its ones do not come first.
pub(super) fn prefix_length(mask: &[u8]) -> Option<u8> {
    let length: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let length = u8::try_from(length).ok()?;
    mask.iter().enumerate().all(|(index, byte)| *byte == mask_byte(length, index)).then_some(length)
}

/// Returns byte `index` of the mask of a prefix.
pub(super) fn mask_byte(length: u8, index: usize) -> u8 {
    let bits = usize::from(length).saturating_sub(8 * index).min(8);
    u8::try_from(0xff00_u16 >> bits & 0xff).unwrap_or(0)
}
