//! Checks statements that count, answer, copy, use objects, and change sets and packets.

use super::location::At;
use super::matches::is_of;
use super::problem::Problem;
use super::protocols::Packets;
use super::{Checked, Fault};
use crate::bytecode::{can_be_set, is_set_to_constants};
use crate::model::{
    Computed, ConnLimit, DataType, Dup, Family, Fwd, IpFamily, MapTo, Meter, Nat, ObjectRef, ObjectTo, Quota, SetData,
    SetRef, SetValue, Statement, Update, UpdateOp, Value,
};

impl Checked<'_, '_> {
    pub(super) fn action(&self, at: At<'_>, statement: &Statement, packets: &mut Packets, faults: &mut Vec<Fault>) {
        let mut fault = |fault| at.report(faults, Problem::Operand { fault });
        match statement {
            Statement::ConnLimit(ConnLimit { count: 0, when: _ }) => {
                fault("0 connections; a packet has one of its own, so drop or accept instead");
            }
            Statement::Dup(Dup { address: None, device: None }) => {
                fault("it has neither address nor device; give it one");
            }
            Statement::Dup(Dup { address, device }) => {
                if let Some(address) = address {
                    self.way(at, address, self.address_type(None), packets, faults);
                }
                if let Some(device) = device {
                    self.way(at, device, Some(DataType::Ifindex), packets, faults);
                }
            }
            Statement::Fwd(Fwd { device, address, family }) => {
                self.way(at, device, Some(DataType::Ifindex), packets, faults);
                match address {
                    Some(address) => self.way(at, address, self.address_type(*family), packets, faults),
                    None if family.is_some() => {
                        at.report(faults, Problem::Operand { fault: "a family without an address; leave it out" });
                    }
                    None => {}
                }
            }
            Statement::ObjectRef(ObjectRef { kind, to: ObjectTo::Map(selector, map) }) => {
                packets.read(at, selector, faults);
                self.lookup(at, selector, map, &SetData::Object(*kind), faults);
            }
            Statement::Quota(Quota { bytes, when: _, used }) if used > bytes || *bytes > i64::MAX.unsigned_abs() => {
                fault("more is used than there is, or it is more than the kernel counts; give at most 2^63 - 1 bytes");
            }
            Statement::Set { target, value } => {
                if !can_be_set(*target) {
                    fault("this field cannot be set");
                    return;
                }
                packets.read(at, &(*target).into(), faults);
                match value {
                    SetValue::Constant(value) => {
                        is_of(at, value, target.data_type(), faults);
                        let number = value.number().zip(target.bits());
                        if let Some((number, bits)) = number.filter(|(number, bits)| number >> bits != 0) {
                            at.report(faults, Problem::TooManyBits { number, bits });
                        }
                    }
                    SetValue::From(_) | SetValue::Map { .. } if is_set_to_constants(*target) => {
                        let fault = "a field of which other bits are kept is set to a constant; give one";
                        at.report(faults, Problem::Operand { fault });
                    }
                    SetValue::From(selector) => {
                        packets.read(at, selector, faults);
                        self.computed(at, selector, faults);
                        if selector.data_type().bytes() != target.data_type().bytes() {
                            let fault = "the fields have different widths; give one of the same";
                            at.report(faults, Problem::Operand { fault });
                        }
                    }
                    SetValue::Map { selector, map } => {
                        packets.read(at, selector, faults);
                        self.lookup(at, selector, map, &SetData::Value(target.data_type()), faults);
                    }
                }
            }
            Statement::Meter(meter) => {
                let Meter { name, size, key, timeout: _, statement } = meter;
                packets.read(at, key, faults);
                self.computed(at, key, faults);
                // The kernel keeps the keys in a set of that name.
                if self.sets.contains_key(name.as_str()) || !self.meters.borrow_mut().insert(name.clone()) {
                    at.report(faults, Problem::Duplicate);
                }
                let fault = if !is_stateful(statement) {
                    "a meter has a counter, a limit, a quota or a number of connections; move the rest behind it"
                } else if *size == Some(0) {
                    "a meter of no keys; give a size from 1, or none"
                } else {
                    return;
                };
                at.report(faults, Problem::Operand { fault });
            }
            Statement::Update(update) => self.update(at, update, packets, faults),
            _ => {}
        }
    }

    /// Checks where an address or a port comes from.
    pub(super) fn source(
        &self,
        at: At<'_>,
        computed: &Computed,
        of: DataType,
        packets: &mut Packets,
        faults: &mut Vec<Fault>,
    ) {
        packets.read(at, computed.selector(), faults);
        match computed {
            Computed::From(selector) => self.computed(at, selector, faults),
            Computed::Map { selector, map } => self.lookup(at, selector, map, &SetData::Value(of), faults),
        }
    }

    /// Checks an address that depends on the packet.
    pub(super) fn nat_computed(
        &self,
        at: At<'_>,
        nat: &Nat,
        computed: &Computed,
        packets: &mut Packets,
        faults: &mut Vec<Fault>,
    ) {
        let Some(of) = self.address_type(nat.family) else {
            at.report(faults, Problem::Nat { fault: "a computed address needs its family; add .family(...)" });
            return;
        };
        if nat.addresses.is_some() {
            at.report(faults, Problem::Nat { fault: "it has an address and a computed one; give it one of them" });
        }
        let Computed::Map { selector, map } = computed else {
            return self.source(at, computed, of, packets, faults);
        };
        packets.read(at, selector, faults);
        self.lookup(at, selector, map, &nat.map_to.data(of), faults);
        if nat.map_to == MapTo::Address {
            return;
        }
        if nat.map_to.has_ports() && !packets.transport_known() {
            at.report(faults, Problem::NeedsTransport);
        }
        let fault = if nat.ports.is_some() {
            "its ports are in the map or apart, as nft lists either; give a map to addresses, or no ports"
        } else if nat.map_to == MapTo::IntervalsOfBoth && of == DataType::Ipv6 {
            "intervals of IPv6 addresses with ports take more registers than nft knows of; give an interval of one"
        } else {
            return;
        };
        at.report(faults, Problem::Nat { fault });
    }

    /// Returns the type of an address of that family, or of that of the table.
    pub(super) fn address_type(&self, family: Option<IpFamily>) -> Option<DataType> {
        let family = family.or(match self.view.family {
            Family::Ip => Some(IpFamily::Ipv4),
            Family::Ip6 => Some(IpFamily::Ipv6),
            _ => None,
        });
        family.map(|family| match family {
            IpFamily::Ipv4 => DataType::Ipv4,
            IpFamily::Ipv6 => DataType::Ipv6,
        })
    }

    /// Checks where a packet or its copy goes.
    fn way(&self, at: At<'_>, value: &SetValue, of: Option<DataType>, packets: &mut Packets, faults: &mut Vec<Fault>) {
        if let Some(selector) = value.selector() {
            packets.read(at, selector, faults);
            self.computed(at, selector, faults);
        }
        match (value, of) {
            (SetValue::Constant(value), Some(of)) => {
                is_of(at, value, of, faults);
            }
            (SetValue::Constant(Value::Ipv4(_) | Value::Ipv6(_)), None) | (SetValue::From(_), _) => {}
            (SetValue::Map { selector, map }, Some(of)) => {
                self.lookup(at, selector, map, &SetData::Value(of), faults);
            }
            (SetValue::Constant(_) | SetValue::Map { .. }, None) => {
                at.report(
                    faults,
                    Problem::Operand { fault: "the family of the address is not known here; give a constant" },
                );
            }
        }
    }

    fn update(&self, at: At<'_>, update: &Update, packets: &mut Packets, faults: &mut Vec<Fault>) {
        let Update { op, set, key, timeout, statements, value } = update;
        packets.read(at, key, faults);
        if let Some(SetValue::From(selector)) = value {
            packets.read(at, selector, faults);
            self.computed(at, selector, faults);
        }
        let fault = if matches!(set, SetRef::Anonymous(_)) {
            "a set that rules fill has a name; use set(\"...\")"
        } else if matches!(value, Some(SetValue::Map { .. })) {
            "an element maps to a constant or a field; look the value up in another rule"
        } else if !statements.iter().all(is_stateful) {
            "an element has counters, limits, quotas and numbers of connections; move the others behind it"
        } else if *op == UpdateOp::Delete && (timeout.is_some() || !statements.is_empty() || value.is_some()) {
            "an element to delete is its key only; leave out the rest"
        } else {
            return self.lookup(at, key, set, &SetData::None, faults);
        };
        at.report(faults, Problem::Operand { fault });
    }
}

/// Returns whether elements can carry a statement.
fn is_stateful(statement: &Statement) -> bool {
    let counts = matches!(statement, Statement::Counter { .. } | Statement::Quota(_));
    counts || matches!(statement, Statement::Limit(_) | Statement::ConnLimit(_))
}
