//! Readers of statements that are not matches.

use std::net::IpAddr;

use super::super::codes::{LimitCode, LogCode, NatCode, QueueCode, RegisterRange, RejectCode, TproxyCode, when};
use super::super::expr::Expr;
use super::super::keys::{CtKey, MetaKey, Register};
use super::super::lower::{Known, family_of};
use super::{Proposal, tidy, translation};
use crate::model::{
    Family, Interval, IpFamily, Limit, LimitUnit, Log, LogFlags, LogLevel, MarkKey, MarkValue, Nat, NatFlags,
    PortRange, Queue, QueueFlags, Reject, Statement, Tproxy,
};

/// Proposes what `first` and the expressions after it may mean.
pub(super) fn propose(all: &[Expr], family: Family, known: Known) -> Vec<Proposal> {
    let Some((first, rest)) = all.split_first() else { return Vec::new() };
    let one = |statement| vec![Proposal::ours(statement, 1)];
    match first {
        Expr::Counter { packets, bytes } => one(Statement::Counter { packets: *packets, bytes: *bytes }),
        Expr::Ct { key: CtKey::MARK, dreg: Register::FIRST } => mark(MarkKey::Ct, rest),
        Expr::Meta { key: MetaKey::MARK, dreg: Register::FIRST } => mark(MarkKey::Meta, rest),
        Expr::Limit(code) => limit(code).map(Statement::Limit).map_or_else(Vec::new, one),
        Expr::Log(code) => log(code).map(Statement::Log).map_or_else(Vec::new, one),
        Expr::Notrack => one(Statement::Notrack),
        Expr::Queue(code) => queue(code).map(Statement::Queue).map_or_else(Vec::new, one),
        Expr::Reject(code) => reject(code, family, known),
        Expr::Verdict(verdict) => one(Statement::Verdict(verdict.clone())),
        Expr::Immediate { .. } | Expr::Masq { .. } | Expr::Nat(_) | Expr::Redir { .. } | Expr::Tproxy(_) => {
            constants(all, family).into_iter().collect()
        }
        // Those are read elsewhere.
        _ => Vec::new(),
    }
}

/// Reads a mark that is loaded, changed and stored.
fn mark(from: MarkKey, rest: &[Expr]) -> Vec<Proposal> {
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).ok();
    let (mask, xor, after) = match rest.split_first() {
        Some((Expr::Bitwise(code), after)) if code.reg == Register::FIRST => {
            match (number(&code.mask), number(&code.xor)) {
                (Some(mask), Some(xor)) => (mask, xor, after),
                _ => return Vec::new(),
            }
        }
        _ => (u32::MAX, 0, rest),
    };
    let key = match after.first() {
        Some(Expr::CtSet { key: CtKey::MARK, sreg: Register::FIRST }) => MarkKey::Ct,
        Some(Expr::MetaSet { key: MetaKey::MARK, sreg: Register::FIRST }) => MarkKey::Meta,
        _ => return Vec::new(),
    };
    let statement = Statement::SetMark { key, value: MarkValue::From { from, mask, xor } };
    vec![Proposal::ours(statement, rest.len() - after.len() + 2)]
}

/// Constants loaded into registers, for the one expression that uses them; it may use none.
pub(super) struct Constants<'a> {
    loaded: Vec<(Register, &'a [u8])>,
    used: Vec<Register>,
}

impl<'a> Constants<'a> {
    /// Reads constants and the expression after them.
    pub(super) fn before(exprs: &'a [Expr]) -> Option<(Self, &'a Expr)> {
        let mut constants = Constants { loaded: Vec::new(), used: Vec::new() };
        let mut exprs = exprs.iter();
        loop {
            match exprs.next()? {
                Expr::Immediate { dreg, data } => constants.loaded.push((*dreg, data)),
                target => return Some((constants, target)),
            }
        }
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.loaded.len()
    }

    fn take(&mut self, register: Register) -> Option<&'a [u8]> {
        let (_, data) = self.loaded.iter().rev().find(|(loaded, _)| *loaded == register)?;
        self.used.push(register);
        Some(data)
    }

    fn all_used(&self) -> bool {
        self.loaded.len() == self.used.len() && self.loaded.iter().all(|(register, _)| self.used.contains(register))
    }

    fn port(&mut self, register: Register) -> Option<u16> {
        self.take(register)?.try_into().map(u16::from_be_bytes).ok()
    }

    pub(super) fn address(&mut self, register: Register) -> Option<IpAddr> {
        let data = self.take(register)?;
        let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from)).ok()
    }

    /// Returns the ports in these registers: the outer `None` if they hold no ports, the inner one
    /// if there are no registers.
    fn ports(&mut self, range: RegisterRange) -> Option<Option<PortRange>> {
        let RegisterRange { min, max } = tidy(range);
        match (min, max) {
            (None, None) => Some(None),
            (None, Some(_)) => None,
            (Some(min), None) => Some(Some(self.port(min)?.into())),
            (Some(min), Some(max)) => Some(Some(PortRange { low: self.port(min)?, high: self.port(max)? })),
        }
    }

    pub(super) fn number(&mut self, register: Register) -> Option<u32> {
        self.take(register)?.try_into().map(u32::from_ne_bytes).ok()
    }
}

fn constants(all: &[Expr], family: Family) -> Option<Proposal> {
    let (mut constants, target) = Constants::before(all)?;
    let statement = match target {
        Expr::CtSet { key: CtKey::MARK, sreg } => {
            Statement::SetMark { key: MarkKey::Ct, value: MarkValue::Constant(constants.number(*sreg)?) }
        }
        Expr::CtSet { key: CtKey::ZONE, sreg } => {
            Statement::SetZone(constants.take(*sreg)?.try_into().map(u16::from_ne_bytes).ok()?)
        }
        Expr::Masq { ports, flags } => {
            Statement::Masquerade { ports: constants.ports(*ports)?.map(Into::into), flags: nat_flags(*flags)? }
        }
        Expr::MetaSet { key: MetaKey::MARK, sreg } => {
            Statement::SetMark { key: MarkKey::Meta, value: MarkValue::Constant(constants.number(*sreg)?) }
        }
        Expr::MetaSet { key: MetaKey::NFTRACE, sreg } => match constants.take(*sreg)? {
            [0] => Statement::SetNftrace(false),
            [1] => Statement::SetNftrace(true),
            _ => return None,
        },
        Expr::Nat(code) => Statement::Nat(nat(code, &mut constants, family)?),
        Expr::Redir { ports, flags } => {
            Statement::Redirect { ports: constants.ports(*ports)?.map(Into::into), flags: nat_flags(*flags)? }
        }
        Expr::Tproxy(code) => Statement::Tproxy(tproxy(code, &mut constants, family)?),
        _ => return None,
    };
    let len = constants.len() + 1;
    constants.all_used().then(|| Proposal::other(vec![statement], len))
}

fn nat(code: &NatCode, constants: &mut Constants<'_>, table: Family) -> Option<Nat> {
    let RegisterRange { min, max } = tidy(code.addresses);
    let addresses = match (min, max) {
        (None, None) => None,
        (None, Some(_)) => return None,
        (Some(min), max) => {
            let low = constants.address(min)?;
            let high = max.map_or(Some(low), |max| constants.address(max))?;
            [low, high].iter().all(|end| Some(IpFamily::of(*end)) == code.family).then_some(())?;
            Some((low, high))
        }
    };
    let family = code.family.filter(|family| addresses.is_some() || family_of(table) != Some(*family));
    let ports = constants.ports(code.ports)?;
    let flags = NatFlags::from_bits(translation(code.flags))?;
    // nft writes what keeps the other bits of an address as a prefix.
    let is_prefix = |(low, high): (IpAddr, IpAddr)| {
        low != high && Interval { low: low.into(), high: high.into() }.prefix_len().is_some()
    };
    if flags.contains(NatFlags::NETMAP) && !addresses.is_some_and(is_prefix) {
        return None;
    }
    let mut nat = Nat::dnat().flags(flags);
    (nat.kind, nat.family, nat.addresses, nat.ports) = (code.kind, family, addresses, ports.map(Into::into));
    Some(nat)
}

fn tproxy(code: &TproxyCode, constants: &mut Constants<'_>, table: Family) -> Option<Tproxy> {
    let address = match code.address {
        Some(register) => {
            let address = constants.address(register)?;
            (code.family == Some(IpFamily::of(address))).then_some(())?;
            Some(address)
        }
        None => None,
    };
    let port = match code.port {
        Some(register) => Some(constants.port(register)?),
        None => None,
    };
    let family = code.family.filter(|family| address.is_some() || family_of(table) != Some(*family));
    Some(Tproxy { family, address, port, ..Tproxy::default() })
}

pub(super) fn nat_flags(flags: u32) -> Option<NatFlags> {
    NatFlags::from_bits(translation(flags)).filter(|flags| !flags.contains(NatFlags::NETMAP))
}

fn queue(code: &QueueCode) -> Option<Queue> {
    let QueueCode { num, total, flags } = *code;
    let to = num.checked_add(total.checked_sub(1)?)?;
    Some(Queue { from: num, to, flags: QueueFlags::from_bits(flags)? })
}

/// In an inet table, a reject with a reason of one protocol follows a check of that protocol.
fn reject(code: &RejectCode, family: Family, known: Known) -> Vec<Proposal> {
    let reasons = match code {
        RejectCode { kind: 0, code } => vec![Reject::Icmp(*code), Reject::Icmpv6(*code)],
        RejectCode { kind: 1, code: 0 } => vec![Reject::TcpReset],
        RejectCode { kind: 2, code } => vec![Reject::Icmpx(*code)],
        RejectCode { .. } => Vec::new(),
    };
    let fits = |reason: &Reject| match (reason, family) {
        (Reject::Icmp(_), Family::Ip6) | (Reject::Icmpv6(_), Family::Ip) => false,
        (Reject::Icmp(_) | Reject::Icmpv6(_), Family::Arp) => false,
        (Reject::Icmp(_), Family::Bridge | Family::Inet | Family::Netdev) => {
            known.network == Some(crate::model::Nfproto::IPV4)
        }
        (Reject::Icmpv6(_), Family::Bridge | Family::Inet | Family::Netdev) => {
            known.network == Some(crate::model::Nfproto::IPV6)
        }
        (Reject::Icmp(_) | Reject::Icmpv6(_) | Reject::Icmpx(_) | Reject::TcpReset, _) => true,
    };
    let usual = |reason: &Reject| match family {
        Family::Ip => *reason == Reject::Icmp(3),
        Family::Ip6 => *reason == Reject::Icmpv6(4),
        Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => *reason == Reject::Icmpx(1),
    };
    let reasons = reasons.into_iter().filter(fits);
    reasons.map(|reason| Proposal::ours(Statement::Reject(Some(reason).filter(|reason| !usual(reason))), 1)).collect()
}

pub(super) fn limit(code: &LimitCode) -> Option<Limit> {
    let per = LimitUnit::ALL.into_iter().find(|unit| unit.seconds() == code.unit)?;
    let mut limit = match code.kind {
        0 => Limit::packets(code.rate, per),
        1 => Limit::bytes(code.rate, per),
        _ => return None,
    };

    limit.burst = code.burst;
    limit.when = when(code.flags)?;
    Some(limit)
}

fn log(code: &LogCode) -> Option<Log> {
    let LogCode { prefix, level, group, snaplen, queue_threshold, flags } = code;
    let level = match level {
        Some(level) => Some(log_level(*level)?),
        None => None,
    };
    let flags = LogFlags::from_bits(*flags)?;
    let mut log = Log { level, group: *group, snaplen: *snaplen, flags, ..Log::default() };
    (log.prefix, log.queue_threshold) = (prefix.clone(), *queue_threshold);
    Some(log)
}

fn log_level(level: u32) -> Option<LogLevel> {
    usize::try_from(level).ok().and_then(|level| LogLevel::ALL.get(level)).map(|(_, level)| *level)
}
