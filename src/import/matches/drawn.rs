//! recent, statistic, set: matches that depend on neither the packet nor the connection. Those
//! that the kernel takes as a block of memory are encoded as iptables-nft(8) encodes them; an
//! ipset is referred to by a number that only the kernel knows.

use std::net::IpAddr;

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Instance};
use super::super::making::Making;
use super::super::value::number;
use super::super::{address, raw};
use crate::model::IpFamily;
use crate::xt::Blob;

/// Encodes `struct xt_statistic_info`, include/uapi/linux/netfilter/xt_statistic.h, v6.12.
pub(super) fn statistic(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let mode = instance.required("--mode")?.piece();
    let needed = |name: &str| {
        instance.get(name).ok_or_else(|| mode.wrong(format!("mode {} needs {name}; add it", Shown(mode.text))))
    };
    let (number_of_mode, not, words) = match mode.text {
        "random" => {
            let given = needed("--probability")?;
            let chances = chances(given)?;
            // The last belongs to the other mode; iptables(8) sets it for both.
            (0, given.not, [chances, 0, chances])
        }
        "nth" => {
            let given = needed("--every")?;
            let every = number(given.piece(), "number of packets", 1, u32::MAX)?;
            let packet = needed("--packet")?.piece();
            let packet = number(packet, "number of a packet", 0, every - 1)?;
            // The matching packet is counted back from the last.
            (1, given.not, [every - 1, packet, every - 1 - packet])
        }
        _ => return Err(mode.wrong(format!("unknown mode {}; there are random and nth", Shown(mode.text)))),
    };
    let odd = if number_of_mode == 0 { ["--every", "--packet"].as_slice() } else { &["--probability"] };
    if let Some(given) = odd.iter().find_map(|name| instance.get(name)) {
        return Err(Fault::wrong(given.at, format!("option {} is not for mode {}; remove it", given.name, mode.text)));
    }
    let blob = Blob::default().u16(number_of_mode).u16(not.into());
    let blob = words.into_iter().fold(blob, Blob::u32);
    // A kernel pointer follows it.
    making.remembering("statistic", raw::xtables_match("statistic", 0, &blob.text(&[], 8).finish()));
    Ok(())
}

/// Returns the probability in units of 2^-31, rounded as lround(3) does.
fn chances(given: &Given<'_>) -> Result<u32, Fault> {
    let piece = given.piece();
    let plain = piece.text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let probability = piece.text.parse::<f64>().ok().filter(|value| plain && (0.0..=1.0).contains(value));
    let probability = probability.ok_or_else(|| {
        piece.wrong(format!("{} is not a probability; give a number from 0 to 1, such as 0.5", Shown(piece.text)))
    })?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^31")]
    Ok((probability * f64::from(1_u32 << 31)).round() as u32)
}

/// Encodes `struct xt_recent_mtinfo_v1`, include/uapi/linux/netfilter/xt_recent.h; see
/// recent_mt_check, net/netfilter/xt_recent.c, v6.12.
pub(super) fn recent(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let what = [("--rcheck", CHECK), ("--set", SET), ("--update", UPDATE), ("--remove", REMOVE)];
    let given: Vec<_> = what.iter().filter_map(|(name, bit)| Some((instance.get(name)?, *bit))).collect();
    let (given, mut asked) = match given.as_slice() {
        [(given, bit)] => (given, *bit),
        [_, (second, _), ..] => {
            let what = format!(
                "option {} together with another of --rcheck, --set, --update, --remove; keep one",
                second.name
            );
            return Err(Fault::wrong(second.at, what));
        }
        [] => return Err(instance.wrong("needs one of --set, --rcheck, --update, --remove")),
    };
    let count = |name: &str, what: &str, least, most| {
        let Some(given) = instance.get(name) else { return Ok(0) };
        number(given.piece(), what, least, most)
    };
    let (seconds, hits) =
        (count("--seconds", "number of seconds", 1, u32::MAX)?, count("--hitcount", "number of hits", 1, u32::MAX)?);
    for (name, bit) in [("--rttl", TTL), ("--reap", REAP)] {
        asked |= if instance.has(name) { bit } else { 0 };
    }
    let limits = ["--seconds", "--hitcount", "--rttl", "--reap"];
    if let Some(limit) = limits.iter().find_map(|name| instance.get(name)).filter(|_| asked & (SET | REMOVE) != 0) {
        return Err(Fault::wrong(limit.at, format!("option {} is for --rcheck and --update; remove it", limit.name)));
    }
    if let Some(reap) = instance.get("--reap").filter(|_| !instance.has("--seconds")) {
        return Err(Fault::wrong(reap.at, "--reap removes what is older than --seconds; add --seconds"));
    }
    let name = instance.get("--name").map_or("DEFAULT", |given| given.piece().text);
    if name.is_empty() || name.len() >= NAME || name.contains('/') || name.contains('\0') {
        return Err(instance.wrong(format!(
            "has the name {}; give one of 1 to {} bytes without /",
            Shown(name),
            NAME - 1
        )));
    }
    let mask = match instance.get("--mask") {
        Some(given) => address::address(given.piece(), making.family)?,
        None if making.family == IpFamily::Ipv4 => IpAddr::from([0xff; 4]),
        None => IpAddr::from([0xff; 16]),
    };
    // For IPv4 without a mask, the rest of the field is set too.
    let mask = if instance.has("--mask") { mask } else { IpAddr::from([0xff; 16]) };
    let blob = Blob::default().u32(seconds).u32(hits).u8(asked).u8(given.not.into());
    let side = instance.given.iter().rfind(|given| matches!(given.name, "--rsource" | "--rdest"));
    let blob = blob.text(&name_field(name), NAME).u8(side.is_some_and(|given| given.name == "--rdest").into());
    making.remembering("recent", raw::xtables_match("recent", 1, &blob.align(4).address(mask).finish()));
    Ok(())
}

/// Writes the name over `DEFAULT`, the rest of which stays, as iptables(8) does.
fn name_field(name: &str) -> Vec<u8> {
    let mut field = name.as_bytes().to_vec();
    field.push(0);
    field.extend("DEFAULT".as_bytes().get(field.len()..).unwrap_or_default());
    field
}

/// Reports a match of an ipset as unknown: its contents are not in the text.
pub(super) fn set(instance: &Instance<'_>, _: &mut Making) -> Result<(), Fault> {
    let given = instance.required("--match-set")?;
    let set = given.piece();
    for field in given.second().list() {
        if !matches!(field.text, "src" | "dst") {
            return Err(field.wrong(format!("{} is not a side of a packet; give src or dst", Shown(field.text))));
        }
    }
    Err(instance.unknown(
        set.at,
        format!("what is in the set {} of ipset is not known here; Unknown::KeepOpaque keeps it", Shown(set.text)),
    ))
}

// XT_RECENT_*
const CHECK: u8 = 1;
const SET: u8 = 1 << 1;
const UPDATE: u8 = 1 << 2;
const REMOVE: u8 = 1 << 3;
const TTL: u8 = 1 << 4;
const REAP: u8 = 1 << 5;
/// `XT_RECENT_NAME_LEN`.
const NAME: usize = 200;
