//! Statements that count, answer, copy, and change sets and packets.

use super::super::codes::{
    BitwiseCode, ConnlimitCode, CtDirectedSetCode, DupCode, DynsetCode, ExthdrCode, ExthdrResetCode, ExthdrSetCode,
    FlowOffloadCode, FwdCode, LookupSet, ObjrefCode, ObjrefMapCode, PayloadSetCode, QuotaCode, SynproxyCode, over,
};
use super::super::data::{self, Order};
use super::super::expr::Expr;
use super::super::fields::{Part, load, part};
use super::super::keys::{PayloadBase, Register};
use super::super::set::{SetMode, metered, millis};
use super::{Lowering, Sets, Unlowerable, address_type, family_of};
use crate::model::{
    ConnLimit, DataType, Dup, Field, Fwd, Meter, Name, Needs, Nfproto, ObjectRef, ObjectTo, Protocol, Quota, Selector,
    SetData, SetFlags, SetRef, SetValue, Statement, Synproxy, Update, UpdateOp, Value,
};

impl<S: Sets + ?Sized> Lowering<'_, S> {
    pub(super) fn action(&mut self, statement: &Statement) -> Result<(), Unlowerable> {
        match statement {
            Statement::ConnLimit(ConnLimit { count, when }) => {
                self.push(Expr::Connlimit(ConnlimitCode { count: *count, flags: over(*when) }));
            }
            Statement::Dup(Dup { address, device }) => {
                let values = address.iter().chain(device);
                values.filter_map(SetValue::selector).for_each(|selector| self.depend_all(selector));
                let mut next = Register::FIRST;
                let mut registers = [None, None];
                if let Some(to) = address {
                    let of = address_of(to).or(family_of(self.family).map(address_type));
                    let of = of.ok_or(Unlowerable::Operand { field: "the family of an address" })?;
                    registers[0] = Some(self.value(to, of, next)?);
                    next = Register::SECOND;
                }
                if let Some(device) = device {
                    registers[1] = Some(self.value(device, DataType::Ifindex, next)?);
                }
                let [address, device] = registers;
                self.push(Expr::Dup(DupCode { address, device }));
            }
            Statement::Fwd(Fwd { device, address, family }) => {
                let values = std::iter::once(device).chain(address);
                values.filter_map(SetValue::selector).for_each(|selector| self.depend_all(selector));
                let device = self.value(device, DataType::Ifindex, Register::FIRST)?;
                let address = match (address, family) {
                    (Some(address), Some(family)) => {
                        Some(self.value(address, address_type(*family), Register::SECOND)?)
                    }
                    (None, None) => None,
                    _ => return Err(Unlowerable::Operand { field: "the family of an address" }),
                };
                let family = family.map(|family| family.number().into());
                self.push(Expr::Fwd(FwdCode { device, address, family }));
            }
            Statement::FlowAdd(table) => self.push(Expr::FlowOffload(FlowOffloadCode { table: table.clone() })),
            Statement::ObjectRef(ObjectRef { kind, to }) => match to {
                ObjectTo::Name(name) => {
                    self.push(Expr::Objref(ObjrefCode { kind: kind.entry().0, name: name.clone() }));
                }
                ObjectTo::Map(selector, map) => {
                    self.lookup(selector, map, None, false, &SetData::Object(*kind))?;
                    if let Some(Expr::Lookup { sreg, set, .. }) = self.exprs.pop() {
                        let (set, anonymous) = match set {
                            LookupSet::Named(name) => (name, None),
                            LookupSet::Anonymous(set) => ("__objmap%d".into(), Some(set)),
                        };
                        self.push(Expr::ObjrefMap(ObjrefMapCode { sreg, set, anonymous }));
                    }
                }
            },
            Statement::Meter(meter) => self.meter(meter)?,
            Statement::Quota(Quota { bytes, when, used }) => {
                self.push(Expr::Quota(QuotaCode { bytes: *bytes, flags: over(*when), consumed: *used }));
            }
            Statement::ResetTcpOption(kind) => {
                self.push(Expr::ExthdrReset(ExthdrResetCode { kind: *kind, op: TCP_OPTION }));
            }
            Statement::Set { target, value } => self.set(*target, value)?,
            Statement::Synproxy(Synproxy { mss, wscale, flags }) => {
                let given = u32::from(mss.is_some()) | u32::from(wscale.is_some()) << 1;
                let (mss, wscale) = (mss.unwrap_or(0), wscale.unwrap_or(0));
                self.push(Expr::Synproxy(SynproxyCode { mss, wscale, flags: flags.bits() | given }));
            }
            Statement::Update(update) => self.update(update)?,
            _ => {}
        }
        Ok(())
    }

    fn meter(&mut self, meter: &Meter) -> Result<(), Unlowerable> {
        let Meter { name, size, key, timeout, statement } = meter;
        self.depend_all(key);
        self.keys(Register::FIRST, key, SetMode::Plain, None)?;
        let (exprs, _) = super::lower_statement(statement, self.known, self.family, self.sets)?;
        let timeout = timeout.map(millis).filter(|timeout| *timeout > 0);
        // nft lets the time of a key begin anew with every packet, if it has one.
        let (op, flags) = match timeout {
            Some(_) => (1, SetFlags::DYNAMIC | SetFlags::TIMEOUT),
            None => (0, SetFlags::DYNAMIC),
        };
        let set = metered(key.key().collect(), flags, *size);
        self.push(Expr::Dynset(DynsetCode {
            set: name.clone(),
            anonymous: Some(Box::new(set)),
            op,
            key: Register::FIRST,
            data: None,
            timeout,
            exprs,
            flags: 0,
        }));
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Result<(), Unlowerable> {
        let Update { op, set, key, timeout, statements, value } = update;
        let SetRef::Named(set) = set else {
            return Err(Unlowerable::Operand { field: "a set that rules fill" });
        };
        // All checks come before the loads, whose registers they would overwrite.
        self.depend_all(key);
        if let Some(SetValue::From(selector)) = value {
            self.depend_all(selector);
        }
        self.key(key, set)?;
        let data_register = Register(1 + self.slots(key).div_ceil(4));
        let data = match value {
            None => None,
            Some(SetValue::Constant(value)) => {
                let bytes = data_type_of(value).and_then(|of| data::bytes(value, of, Order::Register));
                let bytes = bytes.ok_or(Unlowerable::Operand { field: "the value of a map" })?;
                Some(self.immediate(data_register, bytes))
            }
            Some(SetValue::From(selector)) => {
                self.compute(selector, data_register)?;
                Some(data_register)
            }
            Some(SetValue::Map { .. }) => return Err(Unlowerable::Operand { field: "the value of a map" }),
        };
        let mut exprs = Vec::new();
        for statement in statements {
            let (part, _) = super::lower_statement(statement, self.known, self.family, self.sets)?;
            exprs.extend(part);
        }
        let op = match op {
            UpdateOp::Add => 0,
            UpdateOp::Update => 1,
            UpdateOp::Delete => 2,
        };
        let timeout = timeout.map(millis);
        self.push(Expr::Dynset(DynsetCode {
            set: set.clone(),
            anonymous: None,
            op,
            key: Register::FIRST,
            data,
            timeout,
            exprs,
            flags: 0,
        }));
        Ok(())
    }

    /// Returns the number of words of 4 bytes in a key.
    fn slots(&self, key: &Selector) -> u32 {
        let bytes: usize = key.key().map(|part| part.bytes().next_multiple_of(4)).sum();
        u32::try_from(bytes / 4).unwrap_or(0)
    }

    /// Loads the key of a named set.
    fn key(&mut self, selector: &Selector, set: &Name) -> Result<(), Unlowerable> {
        self.lookup(selector, &SetRef::Named(set.clone()), None, false, &SetData::None)?;
        // What remains are the loads before the lookup.
        self.exprs.pop();
        Ok(())
    }

    fn set(&mut self, target: Field, value: &SetValue) -> Result<(), Unlowerable> {
        let wrong = Unlowerable::Operand { field: target.name() };
        let data_type = target.data_type();
        if let (Some((code, Some(part))), SetValue::Constant(value)) = (write(target), value) {
            let number = value.number().filter(|_| value.is_of(data_type));
            let xor = number.and_then(|number| part.place(number)).ok_or(wrong)?;
            self.depend(target);
            let PayloadSetCode { base, offset, len, .. } = code;
            self.push(Expr::Payload { base, offset, len, dreg: Register::FIRST });
            let mask = part.mask().iter().map(|byte| !byte).collect();
            self.push(Expr::Bitwise(BitwiseCode { reg: Register::FIRST, mask, xor }));
            self.push(Expr::PayloadSet(code));
            return Ok(());
        }
        let stored = store(target).ok_or(wrong.clone())?;
        self.depend(target);
        match value {
            SetValue::Constant(value) => {
                let bytes = data::bytes(value, data_type, Order::Register).ok_or(wrong)?;
                self.immediate(Register::FIRST, bytes);
            }
            SetValue::From(selector) => {
                self.depend_all(selector);
                self.compute(selector, Register::FIRST)?;
                let from = selector.data_type();
                if from.is_host_order() && !data_type.is_host_order() && from.bytes() > 1 {
                    self.byteorder(from, Register::FIRST);
                }
            }
            SetValue::Map { selector, map } => {
                self.lookup(selector, map, Some(Register::FIRST), false, &SetData::Value(data_type))?;
            }
        }
        self.push(stored);
        Ok(())
    }
}

/// Returns the type of a constant address.
fn address_of(value: &SetValue) -> Option<DataType> {
    match value {
        SetValue::Constant(value) => data_type_of(value),
        SetValue::From(_) | SetValue::Map { .. } => None,
    }
}

/// Returns the type of a value that has only one.
fn data_type_of(value: &Value) -> Option<DataType> {
    Some(match value {
        Value::Ifindex(_) => DataType::Ifindex,
        Value::Ifname(_) => DataType::Ifname,
        Value::Ipv4(_) => DataType::Ipv4,
        Value::Ipv6(_) => DataType::Ipv6,
        Value::Mark(_) => DataType::Mark,
        Value::Port(_) => DataType::Port,
        _ => return None,
    })
}

/// Returns the expression that sets a field to register 1, if it can be set as a whole.
pub(in crate::bytecode) fn store(target: Field) -> Option<Expr> {
    let sreg = Register::FIRST;
    Some(match load(target, sreg) {
        Expr::CtDirected(code) if matches!(target.data_type(), DataType::Integer { bytes: 2 }) => {
            Expr::CtDirectedSet(CtDirectedSetCode { key: code.key, direction: code.direction, sreg })
        }
        Expr::Exthdr(ExthdrCode { dreg: _, kind, offset, len, op: TCP_OPTION, flags: 0 })
            if part(target).is_none() && len > 1 =>
        {
            Expr::ExthdrSet(ExthdrSetCode { sreg, kind, offset, len, op: TCP_OPTION })
        }
        Expr::Meta { key, dreg: _ } if META_SET.contains(&key.0) => Expr::MetaSet { key, sreg },
        Expr::Ct { key, dreg: _ } if CT_SET.contains(&key.0) => Expr::CtSet { key, sreg },
        Expr::Payload { .. } => match write(target)? {
            (code, None) => Expr::PayloadSet(code),
            (_, Some(_)) => return None,
        },
        _ => return None,
    })
}

/// Returns how a field of a header is written: the expression, and the bits of the field within the
/// bytes that are written, if it is not all of them. A checksum of words of 2 bytes is corrected by
/// such words.
pub(in crate::bytecode) fn write(target: Field) -> Option<(PayloadSetCode, Option<Part>)> {
    let sreg = Register::FIRST;
    let Expr::Payload { base, offset, len, dreg: _ } = load(target, sreg) else { return None };
    let (csum_type, csum_offset, csum_flags) = checksum(target, base, offset);
    let (bits, after) = part(target).map_or((8 * len, 0), |part| (part.bits, part.shift));
    let (start, end) = (offset, offset.checked_add(len)?);
    let (from, to) = if csum_type == INTERNET { (start & !1, end.next_multiple_of(2)) } else { (start, end) };
    let bytes = to.checked_sub(from)?;
    let code = PayloadSetCode { sreg, base, offset: from, len: bytes, csum_type, csum_offset, csum_flags };
    let part = Part { bytes: usize::try_from(bytes).ok()?, bits, shift: after + 8 * (to - end) };
    Some((code, Some(part).filter(|part| part.bits != 8 * bytes)))
}

/// Returns how the checksums of a header are corrected when the field is written: type, place, and
/// whether that of the transport protocol contains it too (`nft_payload_set_eval`,
/// net/netfilter/nft_payload.c, v6.12).
fn checksum(target: Field, base: PayloadBase, offset: u32) -> (u32, u32, u32) {
    let Needs { network, transport, .. } = target.needs();
    // Length, protocol and addresses are part of the checksum of the transport protocol.
    let pseudo = |parts: &[u32]| if parts.contains(&offset) { PSEUDO_HEADER } else { 0 };
    match (base, network, transport) {
        (PayloadBase::NETWORK, Some(Nfproto::IPV4), _) => (INTERNET, 10, pseudo(&[2, 9, 12, 16])),
        (PayloadBase::NETWORK, Some(Nfproto::IPV6), _) => (0, 0, pseudo(&[4, 6, 8, 24])),
        (PayloadBase::TRANSPORT, _, Some(Protocol::TCP)) => (INTERNET, 16, 0),
        (PayloadBase::TRANSPORT, _, Some(Protocol::UDP)) => (INTERNET, 6, 0),
        (PayloadBase::TRANSPORT, _, Some(Protocol::ICMP | Protocol::ICMPV6 | Protocol::IGMP)) => (INTERNET, 2, 0),
        (PayloadBase::TRANSPORT, _, Some(Protocol::SCTP)) => (SCTP, 8, 0),
        // nft sets this flag for what is behind the transport header.
        (PayloadBase(INNER), ..) => (0, 0, PSEUDO_HEADER),
        _ => (0, 0, 0),
    }
}

/// Keys of metadata and of connections that can be set (`nft_meta_set_eval` and `nft_ct_set_eval`):
/// priority, mark, tracing, security mark and type of a packet; mark, security mark, labels, zone
/// and events.
const META_SET: [u32; 5] = [2, 3, 12, 14, 19];
const CT_SET: [u32; 5] = [3, 4, 13, 17, 18];
/// `NFT_PAYLOAD_CSUM_INET`, `NFT_PAYLOAD_CSUM_SCTP`, `NFT_PAYLOAD_L4CSUM_PSEUDOHDR`,
/// `NFT_EXTHDR_OP_TCPOPT`, `NFT_PAYLOAD_INNER_HEADER`.
const INTERNET: u32 = 1;
const SCTP: u32 = 2;
const PSEUDO_HEADER: u32 = 1;
const TCP_OPTION: u32 = 1;
const INNER: u32 = 3;
