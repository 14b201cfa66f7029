//! ttl, hl, dscp: the header of the network layer.

use super::super::error::{Fault, Shown};
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::raw;
use super::super::value::number;
use crate::bytecode::{CmpOp, xtables};

pub(super) fn ttl(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    hops(instance, making, ["--ttl-eq", "--ttl-lt", "--ttl-gt"])
}

pub(super) fn hl(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    hops(instance, making, ["--hl-eq", "--hl-lt", "--hl-gt"])
}

/// Reads a hop limit; `names` are equal, less and greater.
fn hops(instance: &Instance<'_>, making: &mut Making, names: [&str; 3]) -> Result<(), Fault> {
    let [given] = instance.given.as_slice() else {
        return Err(instance.wrong(format!("needs one of {}", names.join(", "))));
    };
    let limit = number(given.piece(), "number of hops", 0, u8::MAX.into())?;
    let limit = u8::try_from(limit).map_err(|_| given.piece().wrong("does not fit a byte"))?;
    let [equal, less, _greater] = names;
    let op = match given.not {
        true => CmpOp::Ne,
        false if given.name == equal => CmpOp::Eq,
        false if given.name == less => CmpOp::Lt,
        false => CmpOp::Gt,
    };
    making.statement(raw::program(xtables::hops(making.family, op, limit)));
    Ok(())
}

pub(super) fn dscp(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let [given] = instance.given.as_slice() else {
        return Err(instance.wrong("needs one of --dscp, --dscp-class"));
    };
    let piece = given.piece();
    let value = if given.name == "--dscp" {
        let value = number(piece, "code point", 0, 63)?;
        u8::try_from(value).map_err(|_| piece.wrong("does not fit six bits"))?
    } else {
        class(piece.text).ok_or_else(|| {
            piece.wrong(format!("unknown class {}; there are BE, EF, CS0 to CS7, AF11 to AF43", Shown(piece.text)))
        })?
    };
    let op = if given.not { CmpOp::Ne } else { CmpOp::Eq };
    making.statement(raw::program(xtables::code_point(making.family, op, value)));
    Ok(())
}

/// Returns the code point of a class: RFC 2474, RFC 2597 and RFC 3246.
fn class(name: &str) -> Option<u8> {
    let name = name.to_ascii_uppercase();
    match (name.as_str(), name.get(..2)?, name.get(2..)?.as_bytes()) {
        ("BE", ..) => Some(0),
        ("EF", ..) => Some(46),
        (_, "CS", [digit @ b'0'..=b'7']) => Some((digit - b'0') << 3),
        (_, "AF", [class @ b'1'..=b'4', precedence @ b'1'..=b'3']) => {
            Some(((class - b'0') << 3) | ((precedence - b'0') << 1))
        }
        _ => None,
    }
}
