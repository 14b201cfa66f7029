//! physdev, rpfilter, tcpmss: bridge ports, the reverse path and segment sizes, as the blocks of
//! memory that iptables-nft(8) writes.

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Instance};
use super::super::making::Making;
use super::super::raw;
use super::super::value::{range, short};
use super::super::words::Piece;
use crate::model::{IfName, Protocol};
use crate::xt::Blob;

/// Encodes `struct xt_rpfilter_info`, include/uapi/linux/netfilter/xt_rpfilter.h, v6.12.
pub(super) fn rpfilter(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let flags = [("--loose", 1), ("--validmark", 2), ("--accept-local", 4), ("--invert", 8)];
    let flags = flags.iter().filter(|(name, _)| instance.has(name)).fold(0, |all, (_, bit)| all | bit);
    making.statement(raw::xtables_match("rpfilter", 0, &Blob::default().u8(flags).finish()));
    Ok(())
}

/// Encodes `struct xt_tcpmss_match_info`, include/uapi/linux/netfilter/xt_tcpmss.h.
pub(super) fn tcpmss(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let given = instance.required("--mss")?;
    making.needs_protocol(given.piece(), "match tcpmss", &[Protocol::TCP])?;
    let size = |piece: Piece<'_>| short(piece, "segment size");
    let (low, high) = range(given.piece(), ':', Some((0, u16::MAX)), size)?.into_inner();
    let blob = Blob::default().u16(low).u16(high).u8(given.not.into());
    making.statement(raw::xtables_match("tcpmss", 0, &blob.finish()));
    Ok(())
}

/// Encodes `struct xt_physdev_info`, include/uapi/linux/netfilter/xt_physdev.h.
pub(super) fn physdev(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let options = ["--physdev-in", "--physdev-out", "--physdev-is-bridged", "--physdev-is-in", "--physdev-is-out"];
    if instance.given.is_empty() {
        return Err(instance.wrong(format!("needs one of {}", options.join(", "))));
    }
    let (mut asked, mut negated) = (0_u8, 0_u8);
    let mut blob = Blob::default();
    for (name, bit) in options.into_iter().zip([1, 2, 4, 8, 16]) {
        let given = instance.get(name);
        if let Some(given) = given {
            asked |= bit;
            negated |= if given.not { bit } else { 0 };
        }
        if bit <= 2 {
            let (name, mask) = given.map(port).transpose()?.unwrap_or_default();
            blob = blob.text(&name, IFNAMSIZ).text(&mask, IFNAMSIZ);
        }
    }
    making.statement(raw::xtables_match("physdev", 0, &blob.u8(negated).u8(asked).finish()));
    Ok(())
}

/// Returns a name, or its prefix before a trailing `+`, and the bytes compared
/// (xtables_parse_interface).
fn port(given: &Given<'_>) -> Result<(Vec<u8>, Vec<u8>), Fault> {
    let piece = given.piece();
    let beginning = piece.text.strip_suffix('+');
    let fault = match IfName::from(beginning.unwrap_or(piece.text)).fault() {
        _ if piece.text.len() > IfName::MAX => Some("is longer than the 15 bytes of an interface name"),
        // Every bridge port.
        _ if beginning == Some("") => None,
        fault => fault,
    };
    if let Some(fault) = fault {
        return Err(piece.wrong(format!("interface {} {fault}; correct it", Shown(piece.text))));
    }
    // The terminating NUL is compared too.
    let counted = beginning.map_or(piece.text.len() + 1, str::len);
    Ok((piece.text.as_bytes().to_vec(), vec![0xff; counted]))
}

const IFNAMSIZ: usize = 16;
