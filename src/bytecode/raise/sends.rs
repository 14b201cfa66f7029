//! Readers of translations, copies and other ways out, whose addresses, ports and interfaces depend
//! on the packet.

use super::super::codes::{DupCode, FwdCode, LookupSet, NatCode, QueueToCode, RegisterRange, TproxyCode};
use super::super::data::{self, Order};
use super::super::expr::Expr;
use super::super::keys::Register;
use super::super::lower::{address_type, family_of, held_by};
use super::actions::nat_flags;
use super::loads::{Computed, Keyed, See};
use super::{Proposal, tidy, translation};
use crate::model::{
    self, DataType, Dup, Fwd, IpFamily, MapTo, Nat, NatFlags, PortRange, Ports, QueueFlags, Selector, SetData,
    SetValue, Statement, Tproxy,
};

/// What is in a register.
enum Source<'e> {
    Constant(&'e [u8]),
    Computed(Selector),
    Looked(Keyed<'e>, &'e LookupSet),
}

/// What is in the registers from the first, each of 16 bytes.
struct Sources<'e>(Vec<Source<'e>>);

impl See {
    /// Reads registers, and the expression that uses them.
    pub(super) fn sends(&self, exprs: &[Expr]) -> Option<Proposal> {
        let (sources, by, at) = self.sources(exprs)?;
        let statement = match by {
            Expr::Dup(DupCode { address, device }) => Statement::Dup(Dup {
                address: match address {
                    Some(register) => Some(sources.value(*register, |bytes| self.address_of(bytes))?),
                    None => None,
                },
                device: match device {
                    Some(register) => Some(sources.value(*register, |_| Some(DataType::Ifindex))?),
                    None => None,
                },
            }),
            Expr::QueueTo(QueueToCode { flags, sreg }) => {
                let to = sources.computed(*sreg, DataType::Integer { bytes: 2 })?;
                Statement::QueueTo { to: Box::new(to), flags: QueueFlags::from_bits(*flags)? }
            }
            Expr::Tproxy(code) => Statement::Tproxy(self.diverts(&sources, *code)?),
            Expr::Fwd(FwdCode { device, address, family }) => {
                let family = match family {
                    Some(2) => Some(IpFamily::Ipv4),
                    Some(10) => Some(IpFamily::Ipv6),
                    Some(_) => return None,
                    None => None,
                };
                Statement::Fwd(Fwd {
                    device: sources.value(*device, |_| Some(DataType::Ifindex))?,
                    address: match address {
                        Some(register) => Some(sources.value(*register, |_| family.map(address_type))?),
                        None => None,
                    },
                    family,
                })
            }
            Expr::Masq { ports, flags } => {
                Statement::Masquerade { ports: sources.ports(*ports)?, flags: nat_flags(*flags)? }
            }
            Expr::Redir { ports, flags } => {
                Statement::Redirect { ports: sources.ports(*ports)?, flags: nat_flags(*flags)? }
            }
            Expr::Nat(code) => Statement::Nat(self.translates(&sources, code)?),
            _ => return None,
        };
        Some(Proposal::ours(statement, at + 1))
    }

    fn sources<'e>(&self, exprs: &'e [Expr]) -> Option<(Sources<'e>, &'e Expr, usize)> {
        let (mut found, mut at, mut next) = (Vec::new(), 0, Register::FIRST);
        loop {
            let rest = exprs.get(at..)?;
            match rest.first()? {
                Expr::Immediate { dreg, data } if *dreg == next => {
                    found.push(Source::Constant(data));
                    at += 1;
                }
                by @ (Expr::Dup(_) | Expr::Fwd(_) | Expr::Masq { .. } | Expr::Nat(_) | Expr::QueueTo(_)) => {
                    return Some((Sources(found), by, at));
                }
                by @ (Expr::Redir { .. } | Expr::Tproxy(_)) => {
                    return Some((Sources(found), by, at));
                }
                _ => match self.keyed_from(rest, next) {
                    Some(keyed) => {
                        let Expr::Lookup { sreg, dreg, set, inverted: false } = keyed.by else { return None };
                        if (*sreg, *dreg) != (next, Some(next)) || keyed.value.is_some() {
                            return None;
                        }
                        at += keyed.len;
                        found.push(Source::Looked(keyed, set));
                    }
                    None => {
                        let first = (next == Register::FIRST).then(|| self.value(rest));
                        let Computed { selector, len, placed: None } =
                            first.unwrap_or_else(|| self.computed(rest, next))?
                        else {
                            return None;
                        };
                        at += len;
                        found.push(Source::Computed(selector));
                    }
                },
            }
            next = Register(next.0 + 1);
        }
    }

    fn translates(&self, sources: &Sources<'_>, code: &NatCode) -> Option<Nat> {
        let RegisterRange { min: Some(min), max } = tidy(code.addresses) else {
            return self.to_ports(sources, code);
        };
        let family = code.family?;
        if let [Source::Looked(keyed, set)] = sources.0.as_slice() {
            let of = address_type(family);
            let all = [MapTo::AddressAndPort, MapTo::IntervalsOfBoth, MapTo::Range];
            let (addresses, ports) = (tidy(code.addresses), tidy(code.ports));
            if let Some(holds) = all.into_iter().find(|holds| held_by(*holds, of) == (addresses, ports)) {
                let map = keyed.set(set, &holds.data(of))?;
                let mut nat = Nat::dnat().to_map(family, keyed.selector.clone(), map).map_to(holds);
                (nat.kind, nat.flags) = (code.kind, NatFlags::from_bits(translation(code.flags))?);
                return Some(nat);
            }
        }
        if max.is_some() {
            return None;
        }
        let computed = match sources.value(min, |_| Some(address_type(family)))? {
            SetValue::Constant(value) => {
                let mut nat = self.to_ports(sources, code)?;
                let address = match value {
                    model::Value::Ipv4(address) => address.into(),
                    model::Value::Ipv6(address) => address.into(),
                    _ => return None,
                };
                (nat.addresses, nat.family) = (Some((address, address)), Some(family));
                return Some(nat);
            }
            SetValue::From(selector) => model::Computed::From(selector),
            SetValue::Map { selector, map } => model::Computed::Map { selector, map },
        };
        let mut nat = self.to_ports(sources, code)?;
        // A map says so where the other bits of an address stay.
        if matches!(computed, model::Computed::Map { .. }) {
            nat.flags = NatFlags::from_bits(translation(code.flags))?;
        }
        nat.computed = Some(Box::new(computed));
        Some(nat)
    }

    fn diverts(&self, sources: &Sources<'_>, code: TproxyCode) -> Option<Tproxy> {
        let TproxyCode { family, address, port } = code;
        let mut tproxy = Tproxy::default();
        if let Some(register) = address {
            match sources.value(register, |_| family.map(address_type))? {
                SetValue::Constant(model::Value::Ipv4(address)) => tproxy.address = Some(address.into()),
                SetValue::Constant(model::Value::Ipv6(address)) => tproxy.address = Some(address.into()),
                SetValue::Constant(_) => return None,
                SetValue::From(_) | SetValue::Map { .. } => {
                    tproxy.address_from = Some(Box::new(sources.computed(register, address_type(family?))?));
                }
            }
        }
        match port.map(|port| sources.ports(RegisterRange { min: Some(port), max: None })) {
            None => {}
            Some(ports) => match ports?? {
                Ports::Computed(computed) => tproxy.port_from = Some(computed),
                Ports::Range(range) => tproxy.port = Some(range.low),
            },
        }
        let says = tproxy.address.is_some() || family_of(self.family) != family;
        tproxy.family = family.filter(|_| says);
        Some(tproxy)
    }

    /// Returns a translation without its addresses.
    fn to_ports(&self, sources: &Sources<'_>, code: &NatCode) -> Option<Nat> {
        let mut nat = Nat::dnat().flags(NatFlags::from_bits(translation(code.flags))? - NatFlags::NETMAP);
        (nat.kind, nat.ports) = (code.kind, sources.ports(code.ports)?);
        nat.family = code.family.filter(|family| family_of(self.family) != Some(*family));
        Some(nat)
    }

    /// Returns the type of an address of so many bytes, or of the family of the table.
    fn address_of(&self, bytes: Option<usize>) -> Option<DataType> {
        match bytes {
            Some(4) => Some(DataType::Ipv4),
            Some(16) => Some(DataType::Ipv6),
            Some(_) => None,
            None => family_of(self.family).map(address_type),
        }
    }
}

impl Sources<'_> {
    fn get(&self, register: Register) -> Option<&Source<'_>> {
        self.0.get(usize::try_from(register.0).ok()?.checked_sub(1)?)
    }

    /// Returns the value in a register, whose type may depend on the length of a constant.
    fn value(&self, register: Register, of: impl Fn(Option<usize>) -> Option<DataType>) -> Option<SetValue> {
        Some(match self.get(register)? {
            Source::Constant(bytes) => SetValue::Constant(data::value(bytes, of(Some(bytes.len()))?, Order::Register)?),
            Source::Computed(selector) => SetValue::From(selector.clone()),
            Source::Looked(keyed, set) => {
                let map = keyed.set(set, &SetData::Value(of(None)?))?;
                SetValue::Map { selector: keyed.selector.clone(), map }
            }
        })
    }

    /// Returns where a value of that type in a register comes from.
    fn computed(&self, register: Register, of: DataType) -> Option<model::Computed> {
        match self.value(register, |_| Some(of))? {
            SetValue::Constant(_) => None,
            SetValue::From(selector) => Some(model::Computed::From(selector)),
            SetValue::Map { selector, map } => Some(model::Computed::Map { selector, map }),
        }
    }

    /// Returns the ports in these registers: the outer `None` if they hold no ports, the inner one
    /// if there are no registers.
    fn ports(&self, range: RegisterRange) -> Option<Option<Ports>> {
        let port = |register| match self.value(register, |_| Some(DataType::Port))? {
            SetValue::Constant(model::Value::Port(port)) => Some(Ports::from(port)),
            SetValue::Constant(_) => None,
            SetValue::From(selector) => Some(model::Computed::From(selector).into()),
            SetValue::Map { selector, map } => Some(model::Computed::Map { selector, map }.into()),
        };
        let RegisterRange { min, max } = tidy(range);
        let (low, high) = match (min, max) {
            (None, None) => return Some(None),
            (None, Some(_)) => return None,
            (Some(min), None) => return Some(Some(port(min)?)),
            (Some(min), Some(max)) => (port(min)?.range()?, port(max)?.range()?),
        };
        Some(Some(PortRange { low: low.low, high: high.low }.into()))
    }
}
