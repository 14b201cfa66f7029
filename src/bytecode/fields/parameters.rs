//! How fields with parameters are loaded, and which one an expression loads.

use super::super::codes::{CtDirectedCode, ExthdrCode, NumgenCode, OsfCode, SocketCgroupCode, SymhashCode, XfrmCode};
use super::super::expr::Expr;
use super::super::keys::{CtKey, FibFlags, FibResult, PayloadBase, Register, SocketKey};
use super::span;
use crate::model::{
    self, CtDirected, CtDirectedKey, CtDirection, Exthdr, ExthdrOf, ExthdrPart, Fib, FibKey, Field, Ipsec,
    IpsecDirection, IpsecKey, Numgen, NumgenMode, Osf, OsfKey, OsfTtl, RawBase, RawPayload, SocketCgroup, Symhash,
};

/// Returns the field with parameters that an expression loads, if it is one. Bytes by their place
/// are not among them: where a header has a name for them, they have it.
pub(in crate::bytecode) fn field_of(expr: &Expr) -> Option<(Field, Register)> {
    let (field, dreg) = match expr {
        Expr::CtDirected(CtDirectedCode { key, dreg, direction }) => {
            let direction = match direction {
                0 => CtDirection::Original,
                1 => CtDirection::Reply,
                _ => return None,
            };
            let (key, ..) = *CtDirectedKey::ALL.iter().find(|(_, number, _)| *number == key.0)?;
            (Field::CtDirected(CtDirected { direction, key }), *dreg)
        }
        Expr::Exthdr(ExthdrCode { dreg, kind, offset, len, op, flags }) => {
            let (of, _) = *OPS.iter().find(|(_, number)| number == op)?;
            let part = match (flags, offset, len) {
                (&PRESENT, 0, 1) => ExthdrPart::Exists,
                (0, offset, len) => {
                    let bits = |bytes: &u32| u16::try_from(*bytes).ok()?.checked_mul(8);
                    ExthdrPart::Bits { offset: bits(offset)?, bits: bits(len)? }
                }
                _ => return None,
            };
            let field = Some(Exthdr { of, kind: *kind, part }).filter(|field| has_words(*field))?;
            (Field::Exthdr(field), *dreg)
        }
        Expr::Fib { result, flags, dreg } => {
            let key = FibKey::from_bits(flags.0 & !FibFlags::PRESENT.0)?;
            let result = match (*result, flags.0 & FibFlags::PRESENT.0) {
                (FibResult::OIF, 0) => model::FibResult::Oif,
                (FibResult::OIF, _) => model::FibResult::Exists,
                (FibResult::OIFNAME, 0) => model::FibResult::Oifname,
                (FibResult::ADDRTYPE, 0) => model::FibResult::Type,
                _ => return None,
            };
            (Field::Fib(Fib { key, result }), *dreg)
        }
        Expr::Xfrm(XfrmCode { key, direction, spnum, dreg }) => {
            let direction = match direction {
                0 => IpsecDirection::In,
                1 => IpsecDirection::Out,
                _ => return None,
            };
            let (key, ..) = *IpsecKey::ALL.iter().find(|(_, number, _)| number == key)?;
            (Field::Ipsec(Ipsec { direction, spnum: u8::try_from(*spnum).ok()?, key }), *dreg)
        }
        Expr::Numgen(NumgenCode { dreg, modulus, kind, offset }) => {
            let mode = match kind {
                0 => NumgenMode::Inc,
                1 => NumgenMode::Random,
                _ => return None,
            };
            (Field::Numgen(Numgen { mode, modulus: *modulus, offset: *offset }), *dreg)
        }
        Expr::Symhash(SymhashCode { dreg, modulus, offset, kind: SYMMETRIC }) => {
            (Field::Symhash(Symhash { modulus: *modulus, offset: *offset }), *dreg)
        }
        Expr::Osf(OsfCode { dreg, ttl, flags: flags @ (0 | 1) }) => {
            let (ttl, ..) = *OsfTtl::ALL.iter().find(|(_, number, _)| number == ttl)?;
            let key = if *flags == 0 { OsfKey::Name } else { OsfKey::Version };
            (Field::Osf(Osf { ttl, key }), *dreg)
        }
        Expr::SocketCgroup(SocketCgroupCode { key: SocketKey(CGROUPV2), dreg, level }) => {
            (Field::SocketCgroup(SocketCgroup { level: u8::try_from(*level).ok()? }), *dreg)
        }
        // What is behind the transport header has no names.
        Expr::Payload { base: PayloadBase(3), offset, len: len @ 1..=4, dreg } => {
            let offset = u16::try_from(*offset).ok()?.checked_mul(8)?;
            let bits = u8::try_from(*len).ok()?.checked_mul(8)?;
            (Field::Payload(RawPayload { base: RawBase::Inner, offset, bits }), *dreg)
        }
        _ => return None,
    };
    Some((field, dreg))
}

/// Returns whether nft has words for it, and this crate a type for its values.
fn has_words(of: Exthdr) -> bool {
    let is_typed = match of.part {
        ExthdrPart::Exists => true,
        ExthdrPart::Bits { offset: _, bits } => matches!(bits, 8 | 16 | 24 | 32 | 128),
    };
    is_typed && of.has_words()
}

pub(super) fn directed(of: CtDirected, dreg: Register) -> Expr {
    let CtDirected { direction, key } = of;
    let direction = match direction {
        CtDirection::Original => 0,
        CtDirection::Reply => 1,
    };
    Expr::CtDirected(CtDirectedCode { key: CtKey(key.entry().0), dreg, direction })
}

pub(super) fn exthdr(of: Exthdr, dreg: Register) -> Expr {
    let Exthdr { of, kind, part } = of;
    let op = OPS.iter().find(|(other, _)| *other == of).map_or(0, |(_, op)| *op);
    let (offset, len, flags) = match part {
        ExthdrPart::Exists => (0, 1, PRESENT),
        ExthdrPart::Bits { offset, bits } => {
            let (start, len) = span(offset.into(), bits.into());
            (start, len, 0)
        }
    };
    Expr::Exthdr(ExthdrCode { dreg, kind, offset, len, op, flags })
}

pub(super) fn fib(of: Fib, dreg: Register) -> Expr {
    let Fib { key, result } = of;
    let (result, present) = match result {
        model::FibResult::Exists => (FibResult::OIF, FibFlags::PRESENT.0),
        model::FibResult::Oif => (FibResult::OIF, 0),
        model::FibResult::Oifname => (FibResult::OIFNAME, 0),
        model::FibResult::Type => (FibResult::ADDRTYPE, 0),
    };
    Expr::Fib { result, flags: FibFlags(key.bits() | present), dreg }
}

pub(super) fn ipsec(of: Ipsec, dreg: Register) -> Expr {
    let Ipsec { direction, spnum, key } = of;
    let direction = match direction {
        IpsecDirection::In => 0,
        IpsecDirection::Out => 1,
    };
    Expr::Xfrm(XfrmCode { key: key.entry().0, direction, spnum: spnum.into(), dreg })
}

pub(super) fn numgen(of: Numgen, dreg: Register) -> Expr {
    let Numgen { mode, modulus, offset } = of;
    let kind = match mode {
        NumgenMode::Inc => 0,
        NumgenMode::Random => 1,
    };
    Expr::Numgen(NumgenCode { dreg, modulus, kind, offset })
}

pub(super) fn osf(of: Osf, dreg: Register) -> Expr {
    let Osf { ttl, key } = of;
    Expr::Osf(OsfCode { dreg, ttl: ttl.entry().0, flags: u32::from(key == OsfKey::Version) })
}

pub(super) fn payload(of: RawPayload, dreg: Register) -> Expr {
    let RawPayload { base, offset, bits } = of;
    Expr::Payload { base: PayloadBase(base.entry().0), offset: (offset / 8).into(), len: (bits / 8).into(), dreg }
}

pub(super) fn socket_cgroup(of: SocketCgroup, dreg: Register) -> Expr {
    Expr::SocketCgroup(SocketCgroupCode { key: SocketKey(CGROUPV2), dreg, level: of.level.into() })
}

pub(super) fn symhash(of: Symhash, dreg: Register) -> Expr {
    let Symhash { modulus, offset } = of;
    Expr::Symhash(SymhashCode { dreg, modulus, offset, kind: SYMMETRIC })
}

/// `enum nft_exthdr_op`.
const OPS: [(ExthdrOf, u32); 4] = [(ExthdrOf::Ipv6, 0), (ExthdrOf::Tcp, 1), (ExthdrOf::Ipv4, 2), (ExthdrOf::Sctp, 3)];
/// `NFT_EXTHDR_F_PRESENT`.
const PRESENT: u32 = 1;
/// `NFT_HASH_SYM`.
const SYMMETRIC: u32 = 1;
/// `NFT_SOCKET_CGROUPV2`.
const CGROUPV2: u32 = 3;
