//! conntrack in full, as the block of memory that iptables-nft(8) writes: `struct
//! xt_conntrack_mtinfo3`, include/uapi/linux/netfilter/xt_conntrack.h, v6.12.

use std::net::IpAddr;

use super::super::address::network;
use super::super::error::{Fault, Shown};
use super::super::extension::Instance;
use super::super::raw;
use super::super::value::{self, number, range};
use super::super::words::Piece;
use super::connection::{direction, states, status};
use crate::model::{CtDirection, CtState, CtStatus, IpFamily, Statement};
use crate::xt::Blob;

pub(super) fn whole(instance: &Instance<'_>, family: IpFamily) -> Result<Statement, Fault> {
    let (mut asked, mut negated) = (0_u16, 0_u16);
    let mut flag = |bit: u16, not: bool| {
        asked |= bit;
        negated |= if not { bit } else { 0 };
    };
    let mut blob = Blob::default();
    for (bit, name) in (2..).zip(["--ctorigsrc", "--ctorigdst", "--ctreplsrc", "--ctrepldst"]) {
        let (address, mask) = match instance.get(name) {
            Some(given) => {
                flag(1 << bit, given.not);
                masked(given.piece(), family, instance)?
            }
            None => (IpAddr::from([0; 16]), IpAddr::from([0; 16])),
        };
        blob = blob.address(address).address(mask);
    }
    let seconds = |piece: Piece<'_>| number(piece, "number of seconds", 0, u32::MAX);
    let (from, to) = match instance.get("--ctexpire") {
        Some(given) => {
            flag(EXPIRES, given.not);
            range(given.piece(), ':', Some((0, u32::MAX)), seconds)?.into_inner()
        }
        None => (0, 0),
    };
    let protocol = match instance.get("--ctproto") {
        Some(given) => {
            flag(PROTOCOL, given.not);
            let protocol = value::protocol(given)?;
            protocol.map_or(0, |protocol| protocol.0)
        }
        None => 0,
    };
    let mut ports = [(0, 0); 4];
    let names = ["--ctorigsrcport", "--ctorigdstport", "--ctreplsrcport", "--ctrepldstport"];
    for ((bit, name), ports) in (8..).zip(names).zip(&mut ports) {
        let Some(given) = instance.get(name) else { continue };
        flag(1 << bit, given.not);
        *ports = value::ports(given.piece())?.into_inner();
    }
    let mut state = 0;
    if let Some(given) = instance.get("--ctstate") {
        flag(STATE, given.not);
        state = state_bits(states(given)?);
    }
    let mut bits = CtStatus::empty();
    if let Some(given) = instance.get("--ctstatus") {
        flag(STATUS, given.not);
        bits = status(given)?;
    }
    if let Some(given) = instance.get("--ctdir") {
        flag(DIRECTION, direction(given.piece())? == CtDirection::Reply);
    }
    let bits = u16::try_from(bits.bits()).unwrap_or_default();
    blob = blob.u32(from).u32(to).u16(protocol.into());
    blob = ports.iter().fold(blob, |blob, (low, _)| blob.u16(*low));
    blob = blob.u16(asked).u16(negated).u16(state).u16(bits);
    blob = ports.iter().fold(blob, |blob, (_, high)| blob.u16(*high));
    Ok(raw::xtables_match("conntrack", 3, &blob.finish()))
}

/// Parses an address and its mask. Where none is given, iptables(8) sets the mask for both
/// families.
fn masked(piece: Piece<'_>, family: IpFamily, instance: &Instance<'_>) -> Result<(IpAddr, IpAddr), Fault> {
    let (address, mask) = network(piece, family)?;
    let Some((_, text)) = piece.split('/') else { return Ok((address, IpAddr::from([0xff; 16]))) };
    let bits = match mask {
        IpAddr::V4(mask) => u128::from(mask.to_bits()) << 96,
        IpAddr::V6(mask) => mask.to_bits(),
    };
    if bits.leading_ones() == bits.count_ones() {
        return Ok((address, mask));
    }
    let what =
        format!("mask {} is not a prefix, so iptables matches the whole address; give a prefix", Shown(text.text));
    Err(instance.unknown(text.at, what))
}

/// Returns the bits `XT_CONNTRACK_STATE_*`.
fn state_bits((states, status): (CtState, CtStatus)) -> u16 {
    let states = [
        (states.contains(CtState::INVALID), 1),
        (states.contains(CtState::ESTABLISHED), 1 << 1),
        (states.contains(CtState::RELATED), 1 << 2),
        (states.contains(CtState::NEW), 1 << 3),
        (status.contains(CtStatus::SNAT), 1 << 6),
        (status.contains(CtStatus::DNAT), 1 << 7),
        (states.contains(CtState::UNTRACKED), 1 << 8),
    ];
    states.into_iter().filter(|(is, _)| *is).fold(0, |all, (_, bit)| all | bit)
}

// XT_CONNTRACK_*
const STATE: u16 = 1;
const PROTOCOL: u16 = 1 << 1;
const STATUS: u16 = 1 << 6;
const EXPIRES: u16 = 1 << 7;
const DIRECTION: u16 = 1 << 12;
