//! Statements with an effect: address translation, rejections, marks, limits, logs.

use super::super::codes::{
    BitwiseCode, LimitCode, LogCode, NatCode, QueueToCode, RegisterRange, RejectCode, TproxyCode, nat_flags, over,
};
use super::super::data::{self, Bytes, Order};
use super::super::expr::Expr;
use super::super::keys::{CtKey, MetaKey, Register};
use super::{Lowering, Sets, Unlowerable};
use crate::model::{
    Computed, DataType, Family, IpFamily, Limit, LimitOf, Log, LogLevel, MapTo, MarkKey, MarkValue, Nat, Nfproto,
    PortRange, Ports, Protocol, QueueFlags, Reject, SetData, SetValue, Tproxy,
};

impl<S: Sets + ?Sized> Lowering<'_, S> {
    /// Loads ports into registers, starting at `first`.
    pub(super) fn ports(&mut self, ports: Option<&Ports>, first: Register) -> Result<RegisterRange, Unlowerable> {
        let PortRange { low, high } = match ports {
            None => return Ok(RegisterRange::default()),
            Some(Ports::Computed(computed)) => {
                self.source(computed, DataType::Port, first)?;
                return Ok(RegisterRange { min: Some(first), max: None });
            }
            Some(Ports::Range(range)) => *range,
        };
        let min = self.immediate(first, Bytes::from_slice(&low.to_be_bytes()));
        let max = (low != high).then(|| self.immediate(Register(first.0 + 1), Bytes::from_slice(&high.to_be_bytes())));
        Ok(RegisterRange { min: Some(min), max })
    }

    /// Loads what is computed or looked up.
    fn source(&mut self, computed: &Computed, of: DataType, dreg: Register) -> Result<(), Unlowerable> {
        match computed {
            Computed::From(selector) => {
                self.depend_all(selector);
                self.compute(selector, dreg)
            }
            Computed::Map { selector, map } => {
                self.lookup_at(dreg, selector, map, Some(dreg), false, &SetData::Value(of))
            }
        }
    }

    /// Loads the value of an address or an interface.
    pub(super) fn value(&mut self, value: &SetValue, of: DataType, dreg: Register) -> Result<Register, Unlowerable> {
        match value {
            SetValue::Constant(value) => {
                let bytes = data::bytes(value, of, Order::Register);
                self.immediate(dreg, bytes.ok_or(Unlowerable::Operand { field: "where a packet goes" })?);
            }
            SetValue::From(selector) => self.source(&Computed::From(selector.clone()), of, dreg)?,
            SetValue::Map { selector, map } => {
                self.lookup_at(dreg, selector, map, Some(dreg), false, &SetData::Value(of))?;
            }
        }
        Ok(dreg)
    }

    pub(super) fn nat(&mut self, nat: &Nat) -> Result<(), Unlowerable> {
        let family = nat.family.or(family_of(self.family));
        // All checks come before the registers are loaded.
        let computed = nat.computed.as_deref().into_iter().chain(nat.ports.as_ref().and_then(Ports::computed));
        computed.for_each(|computed| self.depend_all(computed.selector()));
        let mut next = Register::FIRST;
        let mut addresses = RegisterRange::default();
        if let Some((low, high)) = nat.addresses {
            addresses.min = Some(self.immediate(next, address(low)));
            next = Register(next.0 + 1);
            if low != high {
                addresses.max = Some(self.immediate(next, address(high)));
                next = Register(next.0 + 1);
            }
        }
        if let Some(computed) = &nat.computed {
            let of = family.map(address_type).ok_or(Unlowerable::Operand { field: "the family of an address" })?;
            match &**computed {
                Computed::Map { selector, map } => {
                    let first = Register::FIRST;
                    self.lookup_at(first, selector, map, Some(first), false, &nat.map_to.data(of))?;
                }
                from @ Computed::From(_) => self.source(from, of, Register::FIRST)?,
            }
            addresses = RegisterRange { min: Some(Register::FIRST), max: None };
            next = Register::SECOND;
            if nat.map_to != MapTo::Address {
                if nat.ports.is_some() || matches!(**computed, Computed::From(_)) {
                    return Err(Unlowerable::Operand { field: "a map that has the ports" });
                }
                let (addresses, ports) = held_by(nat.map_to, of);
                let flags = nat_flags(nat.flags, ports);
                self.push(Expr::Nat(NatCode { kind: nat.kind, family, addresses, ports, flags }));
                return Ok(());
            }
        }
        let ports = self.ports(nat.ports.as_ref(), next)?;
        self.push(Expr::Nat(NatCode { kind: nat.kind, family, addresses, ports, flags: nat_flags(nat.flags, ports) }));
        Ok(())
    }

    pub(super) fn tproxy(&mut self, tproxy: &Tproxy) -> Result<(), Unlowerable> {
        let family = tproxy.family.or(family_of(self.family));
        tproxy.computed().for_each(|computed| self.depend_all(computed.selector()));
        let mut next = Register::FIRST;
        let mut address = tproxy.address.map(|to| self.immediate(next, address(to)));
        if let (None, Some(from)) = (address, &tproxy.address_from) {
            let of = family.map(address_type).ok_or(Unlowerable::Operand { field: "the family of an address" })?;
            self.source(from, of, next)?;
            address = Some(next);
        }
        if address.is_some() {
            next = Register::SECOND;
        }
        let mut port = tproxy.port.map(|port| self.immediate(next, Bytes::from_slice(&port.to_be_bytes())));
        if let (None, Some(from)) = (port, &tproxy.port_from) {
            self.source(from, DataType::Port, next)?;
            port = Some(next);
        }
        self.push(Expr::Tproxy(TproxyCode { family, address, port }));
        Ok(())
    }

    /// Queues to a number that is computed or looked up.
    pub(super) fn queue_to(&mut self, to: &Computed, flags: QueueFlags) -> Result<(), Unlowerable> {
        self.source(to, DataType::Integer { bytes: 2 }, Register::FIRST)?;
        self.push(Expr::QueueTo(QueueToCode { flags: flags.bits(), sreg: Register::FIRST }));
        Ok(())
    }

    pub(super) fn reject(&mut self, reject: Option<Reject>) {
        let reject = reject.unwrap_or(match self.family {
            Family::Ip => Reject::Icmp(3),
            Family::Ip6 => Reject::Icmpv6(4),
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => Reject::Icmpx(1),
        });
        let (kind, code) = match reject {
            Reject::Icmp(code) => {
                self.need_network(Nfproto::IPV4, false);
                (0, code)
            }
            Reject::Icmpv6(code) => {
                self.need_network(Nfproto::IPV6, false);
                (0, code)
            }
            Reject::Icmpx(code) => (2, code),
            Reject::TcpReset => {
                self.need_transport(Protocol::TCP);
                (1, 0)
            }
        };
        self.push(Expr::Reject(RejectCode { kind, code }));
    }

    pub(super) fn set_mark(&mut self, key: MarkKey, value: &MarkValue) -> Result<(), Unlowerable> {
        match value {
            MarkValue::Constant(mark) => {
                self.immediate(Register::FIRST, Bytes::from_slice(&mark.to_ne_bytes()));
            }
            MarkValue::From { from, mask, xor } => {
                self.push(match from {
                    MarkKey::Ct => Expr::Ct { key: CtKey::MARK, dreg: Register::FIRST },
                    MarkKey::Meta => Expr::Meta { key: MetaKey::MARK, dreg: Register::FIRST },
                });
                if (*mask, *xor) != (u32::MAX, 0) {
                    let number = |bits: &u32| Bytes::from_slice(&bits.to_ne_bytes());
                    self.push(Expr::Bitwise(BitwiseCode {
                        reg: Register::FIRST,
                        mask: number(mask),
                        xor: number(xor),
                    }));
                }
            }
            MarkValue::Map { selector, map } => {
                self.lookup(selector, map, Some(Register::FIRST), false, &SetData::Value(DataType::Mark))?;
            }
        }
        self.push(match key {
            MarkKey::Ct => Expr::CtSet { key: CtKey::MARK, sreg: Register::FIRST },
            MarkKey::Meta => Expr::MetaSet { key: MetaKey::MARK, sreg: Register::FIRST },
        });
        Ok(())
    }
}

/// Returns the registers of addresses and ports that come out of a map at once.
pub(in crate::bytecode) fn held_by(holds: MapTo, address: DataType) -> (RegisterRange, RegisterRange) {
    let words = u32::try_from(address.bytes().div_ceil(4)).unwrap_or(4);
    let at = |slot| Some(Register::at_slot(slot));
    let first = RegisterRange { min: at(0), max: None };
    match holds {
        MapTo::Address => (first, RegisterRange::default()),
        MapTo::AddressAndPort => (first, RegisterRange { min: at(words), max: None }),
        MapTo::IntervalsOfBoth => {
            let ports = RegisterRange { min: at(words), max: at(2 * words + 1) };
            (RegisterRange { max: at(words + 1), ..first }, ports)
        }
        MapTo::Range => (RegisterRange { max: at(words), ..first }, RegisterRange::default()),
    }
}

/// Returns the type of an address of that family.
pub(in crate::bytecode) fn address_type(family: IpFamily) -> DataType {
    match family {
        IpFamily::Ipv4 => DataType::Ipv4,
        IpFamily::Ipv6 => DataType::Ipv6,
    }
}

pub(super) fn address(address: std::net::IpAddr) -> Bytes {
    match address {
        std::net::IpAddr::V4(address) => Bytes::from_slice(&address.octets()),
        std::net::IpAddr::V6(address) => Bytes::from_slice(&address.octets()),
    }
}

pub(in crate::bytecode) fn family_of(family: Family) -> Option<IpFamily> {
    match family {
        Family::Ip => Some(IpFamily::Ipv4),
        Family::Ip6 => Some(IpFamily::Ipv6),
        Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => None,
    }
}

pub(super) fn lower_limit(limit: &Limit) -> LimitCode {
    LimitCode {
        rate: limit.rate,
        unit: limit.per.seconds(),
        burst: limit.burst,
        kind: match limit.of {
            LimitOf::Bytes => 1,
            LimitOf::Packets => 0,
        },
        flags: over(limit.when),
    }
}

pub(super) fn lower_log(log: &Log) -> LogCode {
    LogCode {
        prefix: log.prefix.clone(),
        // Without a group, the kernel uses the level warn and reports it.
        level: log.level.or(log.group.is_none().then_some(LogLevel::Warn)).map(|level| level as u32),
        group: log.group,
        snaplen: log.snaplen,
        queue_threshold: log.queue_threshold,
        flags: log.flags.bits(),
    }
}
