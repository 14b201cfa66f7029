//! Targets: net/netfilter/xt_*.c, v6.12. A target without a verdict continues with the next rule,
//! whatever it found (`XT_CONTINUE`).

use std::net::IpAddr;

use super::info::Info;
use super::{SegmentLimit, code, when};
use crate::bytecode::{Expr, RejectCode};
use crate::model::{
    CtState, Field, IpFamily, MarkKey, MarkValue, Nat, NatFlags, Operand, PortRange, Reject, Statement, Tproxy, Value,
    Verdict,
};

type Lists = Vec<Vec<Statement>>;

pub(super) fn read(name: &str, revision: u32, info: Info<'_>, family: Option<IpFamily>) -> Option<Lists> {
    let one = |statement| vec![vec![statement]];
    Some(match (name, revision) {
        ("AUDIT" | "LOG" | "NFLOG", 0) => vec![Vec::new()],
        ("CONNMARK", 1) => connection_mark(info.sized(13)?, false)?,
        ("CONNMARK", 2) => connection_mark(info.sized(15)?, true)?,
        ("CT", 0) => connection(info.sized(40)?, 16)?,
        ("CT", 1 | 2) => connection(info.sized(72)?, 48)?,
        ("MARK", 2) => one(mark(info.sized(8)?)?),
        ("NOTRACK", 0) => one(Statement::Notrack),
        ("REJECT", 0) => one(reject(info.sized(4)?, family?)?),
        ("TPROXY", 1) => transparent(info.sized(26)?, family?)?,
        ("TRACE", 0) => one(Statement::SetNftrace(true)),
        _ => one(translation(name, revision, info, family?)?),
    })
}

/// `mark & !mask ^ value`.
fn set_mark(key: MarkKey, value: u32, mask: u32) -> Statement {
    let value = match mask {
        u32::MAX => MarkValue::Constant(value),
        mask => MarkValue::From { from: key, mask: !mask, xor: value },
    };
    Statement::SetMark { key, value }
}

/// mark_tg, xt_mark.c.
fn mark(mut info: Info<'_>) -> Option<Statement> {
    Some(set_mark(MarkKey::Meta, info.u32()?, info.u32()?))
}

/// connmark_tg_shift, xt_connmark.c. Without a connection it does nothing and continues, where `ct
/// mark` would end the rule.
fn connection_mark(mut info: Info<'_>, shifts: bool) -> Option<Lists> {
    let (value, of_connection, of_packet) = (info.u32()?, info.u32()?, info.u32()?);
    if shifts {
        let (_direction, bits) = (info.u8()?, info.u8()?);
        (bits == 0).then_some(())?;
    }
    let copy = |key, from, mask| Statement::SetMark { key, value: MarkValue::From { from, mask, xor: 0 } };
    match info.u8()? {
        SET => Some(vec![vec![set_mark(MarkKey::Ct, value, of_connection)], Vec::new()]),
        // No statement combines bits of two marks.
        SAVE if of_connection == u32::MAX => Some(vec![vec![copy(MarkKey::Ct, MarkKey::Meta, of_packet)]]),
        RESTORE if of_packet == u32::MAX => {
            Some(vec![vec![copy(MarkKey::Meta, MarkKey::Ct, of_connection)], Vec::new()])
        }
        _ => None,
    }
}

// XT_CONNMARK_*, xt_connmark.h
const SET: u8 = 0;
const SAVE: u8 = 1;
const RESTORE: u8 = 2;

/// xt_ct_target, xt_CT.c: a packet that has a zone, or is already untracked, is left unchanged.
fn connection(mut info: Info<'_>, names: usize) -> Option<Lists> {
    let (flags, zone) = (info.u16()?, info.u16()?);
    // The event masks and the names of a helper and of timeouts. A pointer of the kernel follows.
    let is_all = info.is_unset(8 + names)?;
    if !is_all || flags & !(NOTRACK | NOTRACK_ALIAS) != 0 {
        return None;
    }
    if flags & NOTRACK != 0 {
        return Some(vec![vec![Statement::Notrack]]);
    }
    let untracked = when(Field::CtState, false, Operand::Flags(Value::CtState(CtState::UNTRACKED)));
    Some(vec![vec![untracked], vec![Statement::SetZone(zone)]])
}

// XT_CT_*, xt_CT.h
const NOTRACK: u16 = 1;
const NOTRACK_ALIAS: u16 = 2;

/// tproxy_tg4 and tproxy_tg6_v1, xt_TPROXY.c: a packet that no transparent socket takes is dropped.
/// An unspecified address stands for the interface's address.
fn transparent(mut info: Info<'_>, family: IpFamily) -> Option<Lists> {
    let (mask, value) = (info.u32()?, info.u32()?);
    let address = Some(info.address(family)?).filter(|address| !address.is_unspecified());
    let port = Some(info.port()?).filter(|port| *port != 0);
    let taken = [
        Statement::Tproxy(Tproxy { family: Some(family), address, port, ..Tproxy::default() }),
        set_mark(MarkKey::Meta, value, mask),
        Statement::Verdict(Verdict::Accept),
    ];
    Some(vec![taken.into(), vec![Statement::Verdict(Verdict::Drop)]])
}

/// tcpmss_tg4 and tcpmss_tg6, xt_TCPMSS.c.
pub(super) fn segment(mut info: Info<'_>) -> Option<SegmentLimit> {
    /// `XT_TCPMSS_CLAMP_PMTU`, xt_TCPMSS.h.
    const CLAMP: u16 = 0xffff;
    let size = info.u16()?;
    Some(if size == CLAMP { SegmentLimit::Path } else { SegmentLimit::To(size) })
}

/// ipt_REJECT.c and ip6t_REJECT.c.
fn reject(mut info: Info<'_>, family: IpFamily) -> Option<Statement> {
    let reason = match (family, info.u32()?) {
        (IpFamily::Ipv4, 7) | (IpFamily::Ipv6, 6) => {
            return Some(code("reject", vec![Expr::Reject(RejectCode { kind: TCP_RESET, code: 0 })]));
        }
        (IpFamily::Ipv4, code @ 0..=3) => Reject::Icmp(u8::try_from(code).ok()?),
        (IpFamily::Ipv4, 5) => Reject::Icmp(9),
        (IpFamily::Ipv4, 6) => Reject::Icmp(10),
        (IpFamily::Ipv4, 8) => Reject::Icmp(13),
        (IpFamily::Ipv6, code @ 0..=4) => Reject::Icmpv6(u8::try_from(code).ok()?),
        (IpFamily::Ipv6, 7) => Reject::Icmpv6(5),
        (IpFamily::Ipv6, 8) => Reject::Icmpv6(6),
        _ => return None,
    };
    Some(Statement::Reject(Some(reason)))
}

/// `NFT_REJECT_TCP_RST`, include/uapi/linux/netfilter/nf_tables.h.
const TCP_RESET: u32 = 1;

/// xt_nat.c, xt_REDIRECT.c, xt_MASQUERADE.c.
fn translation(name: &str, revision: u32, info: Info<'_>, family: IpFamily) -> Option<Statement> {
    let range = match (name, revision, family) {
        ("DNAT" | "MASQUERADE" | "REDIRECT" | "SNAT", 0, IpFamily::Ipv4) => Range::old(info.sized(20)?)?,
        ("MASQUERADE" | "REDIRECT", 0, IpFamily::Ipv6) => Range::new(info.sized(40)?, family)?,
        ("DNAT" | "SNAT", 1, _) => Range::new(info.sized(40)?, family)?,
        // The same fields, then a base port, which none of the known flags uses.
        ("DNAT" | "SNAT", 2, _) => Range::new(info.sized(44)?, family)?,
        _ => return None,
    };
    let Range { addresses, ports, flags } = range;
    match (name, addresses) {
        ("DNAT", _) => Some(Statement::Nat(nat(Nat::dnat(), range, family))),
        ("SNAT", _) => Some(Statement::Nat(nat(Nat::snat(), range, family))),
        ("MASQUERADE", None) => Some(Statement::Masquerade { ports: ports.map(Into::into), flags }),
        ("REDIRECT", None) => Some(Statement::Redirect { ports: ports.map(Into::into), flags }),
        _ => None,
    }
}

fn nat(mut nat: Nat, range: Range, family: IpFamily) -> Nat {
    let Range { addresses, ports, flags } = range;
    (nat.family, nat.addresses, nat.ports, nat.flags) = (Some(family), addresses, ports.map(Into::into), flags);
    nat
}

/// The addresses and ports that a translation may choose from.
#[derive(Clone, Copy)]
struct Range {
    addresses: Option<(IpAddr, IpAddr)>,
    ports: Option<PortRange>,
    flags: NatFlags,
}

impl Range {
    /// `struct nf_nat_ipv4_multi_range_compat` with one range,
    /// include/uapi/linux/netfilter/nf_nat.h.
    fn old(mut info: Info<'_>) -> Option<Range> {
        let (count, flags) = (info.u32()?, info.u32()?);
        (count == 1).then_some(())?;
        let addresses = (info.ipv4()?, info.ipv4()?);
        Range::of(flags, addresses, (info.port()?, info.port()?))
    }

    /// `struct nf_nat_range`.
    fn new(mut info: Info<'_>, family: IpFamily) -> Option<Range> {
        let flags = info.u32()?;
        let addresses = (info.address(family)?, info.address(family)?);
        Range::of(flags, addresses, (info.port()?, info.port()?))
    }

    fn of(flags: u32, addresses: (IpAddr, IpAddr), (low, high): (u16, u16)) -> Option<Range> {
        let addresses = (flags & ADDRESSES_GIVEN != 0).then_some(addresses);
        let ports = (flags & PORTS_GIVEN != 0).then_some(PortRange { low, high });
        let are_ranges =
            addresses.is_none_or(|(low, high)| low <= high) && ports.is_none_or(|ports| ports.low <= ports.high);
        let flags = NatFlags::from_bits(flags & !(ADDRESSES_GIVEN | PORTS_GIVEN))?;
        are_ranges.then_some(Range { addresses, ports, flags })
    }
}

// NF_NAT_RANGE_MAP_IPS and NF_NAT_RANGE_PROTO_SPECIFIED, nf_nat.h
const ADDRESSES_GIVEN: u32 = 1;
const PORTS_GIVEN: u32 = 2;
