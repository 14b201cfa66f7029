//! `-s` and `-d`: addresses, prefixes, masks, and lists of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{Fault, Shown};
use super::extension::Given;
use super::value::matching;
use super::words::Piece;
use crate::model::{Field, IpFamily, Match, Operand, Value};

/// The source or the destination address.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Destination,
    Source,
}

/// Returns the field of this address.
pub(super) fn field(side: Side, family: IpFamily) -> Field {
    match (side, family) {
        (Side::Destination, IpFamily::Ipv4) => Field::IpDaddr,
        (Side::Destination, IpFamily::Ipv6) => Field::Ip6Daddr,
        (Side::Source, IpFamily::Ipv4) => Field::IpSaddr,
        (Side::Source, IpFamily::Ipv6) => Field::Ip6Saddr,
    }
}

/// Returns one match for each address of the list, or a single `None` without the option.
pub(super) fn read(given: Option<Given<'_>>, side: Side, family: IpFamily) -> Result<Vec<Option<Match>>, Fault> {
    let Some(given) = given else { return Ok(vec![None]) };
    let piece = given.piece();
    if given.not && piece.text.contains(',') {
        return Err(
            piece.wrong("a list of addresses cannot be negated, it is one rule for each; write a rule for each")
        );
    }
    let field = field(side, family);
    let read = |part: Piece<'_>| {
        let operand = operand(part, family)?;
        let all = matches!(operand, Operand::Prefix(_, 0)) && !given.not;
        Ok((!all).then(|| matching(field, given.not, operand)))
    };
    piece.list().map(read).collect()
}

/// Parses an address of this family.
pub(super) fn address(piece: Piece<'_>, family: IpFamily) -> Result<IpAddr, Fault> {
    let address = match family {
        IpFamily::Ipv4 => piece.text.parse().map(IpAddr::V4),
        IpFamily::Ipv6 => piece.text.parse().map(IpAddr::V6),
    };
    let name = match family {
        IpFamily::Ipv4 => "IPv4",
        IpFamily::Ipv6 => "IPv6",
    };
    address.map_err(|_| {
        piece.wrong(format!("{} is not an {name} address; give one, names are not looked up", Shown(piece.text)))
    })
}

/// Returns the address as a constant.
pub(super) fn constant(address: IpAddr) -> Value {
    match address {
        IpAddr::V4(address) => Value::Ipv4(address),
        IpAddr::V6(address) => Value::Ipv6(address),
    }
}

fn operand(piece: Piece<'_>, family: IpFamily) -> Result<Operand, Fault> {
    let (address, mask) = network(piece, family)?;
    let width = width(family);
    let mask = bits(mask);
    let value = constant(from_bits(bits(address) & mask, family));
    let length = u8::try_from(mask.count_ones()).unwrap_or(width);
    let host = ones(width) & !mask;
    Ok(match length {
        length if length == width => Operand::Value(value),
        length if host & host.wrapping_add(1) == 0 => Operand::Prefix(value, length),
        _ => Operand::Masked { mask: constant(from_bits(mask, family)), value },
    })
}

/// Parses an address and its mask, all ones where no mask is given.
pub(super) fn network(piece: Piece<'_>, family: IpFamily) -> Result<(IpAddr, IpAddr), Fault> {
    let width = width(family);
    let Some((text, mask)) = piece.split('/') else {
        return Ok((address(piece, family)?, from_bits(ones(width), family)));
    };
    let address = address(text, family)?;
    let plain = mask.text.bytes().all(|byte| byte.is_ascii_digit());
    let length = mask.text.parse::<u8>().ok().filter(|length| plain && *length <= width);
    let mask = match length {
        // Leading ones; a shift by the whole width would be undone.
        Some(length) => u128::MAX.checked_shl(u32::from(width - length)).unwrap_or(0) & ones(width),
        None => {
            let parsed = match family {
                IpFamily::Ipv4 => mask.text.parse().map(IpAddr::V4),
                IpFamily::Ipv6 => mask.text.parse().map(IpAddr::V6),
            };
            let wrong = || mask.wrong(format!("{} is not a mask; give 0 to {width}, or a mask", Shown(mask.text)));
            bits(parsed.map_err(|_| wrong())?)
        }
    };
    Ok((address, from_bits(mask, family)))
}

fn width(family: IpFamily) -> u8 {
    match family {
        IpFamily::Ipv4 => 32,
        IpFamily::Ipv6 => 128,
    }
}

fn ones(width: u8) -> u128 {
    u128::MAX >> (128 - u32::from(width))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(bits: u128, family: IpFamily) -> IpAddr {
    match family {
        IpFamily::Ipv4 => Ipv4Addr::from_bits(u32::try_from(bits & ones(32)).unwrap_or(u32::MAX)).into(),
        IpFamily::Ipv6 => Ipv6Addr::from_bits(bits).into(),
    }
}
