//! MARK, CONNMARK, CT, NOTRACK, TPROXY: targets that set marks, zones, tracking and sockets.

use super::super::address;
use super::super::error::Fault;
use super::super::extension::Instance;
use super::super::making::Making;
use super::super::value::{mark as number_and_mask, matching, number, short};
use crate::model::{
    Classic, CtState, Field, IpFamily, MarkKey, MarkValue, Masked, Operand, Protocol, Statement, Tproxy, Value,
    Verdict, masked,
};

pub(super) fn mark(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let Some(set) = set(instance)? else {
        return Err(instance.wrong("needs --set-mark, --set-xmark, --and-mark, --or-mark or --xor-mark"));
    };
    making.action(Statement::SetMark { key: MarkKey::Meta, value: xmark(MarkKey::Meta, set) });
    Ok(())
}

/// Returns the bits to clear and the bits to flip afterwards: `mark_tg`, net/netfilter/xt_mark.c.
fn set(instance: &Instance<'_>) -> Result<Option<Masked<u32>>, Fault> {
    let mut set = None;
    for name in ["--set-xmark", "--set-mark", "--and-mark", "--or-mark", "--xor-mark"] {
        let Some(given) = instance.get(name) else { continue };
        if set.is_some() {
            return Err(Fault::wrong(given.at, format!("{name} and another change of the mark; write two rules")));
        }
        let piece = given.piece();
        let bits = || number(piece, "mark", 0, u32::MAX);
        set = Some(match name {
            "--set-xmark" => number_and_mask(piece)?,
            "--set-mark" => {
                let Masked { value, mask } = number_and_mask(piece)?;
                masked(value, mask | value)
            }
            "--and-mark" => masked(0, !bits()?),
            "--or-mark" => masked(bits()?, bits()?),
            _ => masked(bits()?, 0),
        });
    }
    Ok(set)
}

fn xmark(own: MarkKey, Masked { value, mask }: Masked<u32>) -> MarkValue {
    match mask {
        u32::MAX => MarkValue::Constant(value),
        mask => MarkValue::From { from: own, mask: !mask, xor: value },
    }
}

pub(super) fn connmark(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    for name in ["--left-shift-mark", "--right-shift-mark"] {
        if let Some(given) = instance.get(name) {
            return Err(instance.unknown(given.at, format!("marks cannot be shifted; remove {name}")));
        }
    }
    let set = set(instance)?;
    let (save, restore) = (instance.get("--save-mark"), instance.get("--restore-mark"));
    let count = usize::from(set.is_some()) + usize::from(save.is_some()) + usize::from(restore.is_some());
    if count != 1 {
        return Err(instance.wrong("needs one of --set-mark, --set-xmark, --save-mark and --restore-mark"));
    }
    let mask = |name: &str| {
        let given = instance.get(name).or(instance.get("--mask"));
        if let Some(given) = given.filter(|_| set.is_some()) {
            return Err(Fault::wrong(given.at, "a mask is for --save-mark and --restore-mark; write it after a slash"));
        }
        given.map_or(Ok(u32::MAX), |given| number(given.piece(), "mask", 0, u32::MAX))
    };
    let (nfmask, ctmask) = (mask("--nfmask")?, mask("--ctmask")?);
    // connmark_tg, net/netfilter/xt_connmark.c: the bits of one mask are cleared, then those of
    // the other flipped.
    let (key, value) = match (set, save.is_some()) {
        (Some(set), _) => (MarkKey::Ct, xmark(MarkKey::Ct, set)),
        (None, true) if ctmask == u32::MAX => {
            (MarkKey::Ct, MarkValue::From { from: MarkKey::Meta, mask: nfmask, xor: 0 })
        }
        (None, false) if nfmask == u32::MAX => {
            (MarkKey::Meta, MarkValue::From { from: MarkKey::Ct, mask: ctmask, xor: 0 })
        }
        (None, _) => {
            let what = "two marks cannot be mixed; give --save-mark all of --ctmask, --restore-mark all of --nfmask";
            return Err(instance.unknown(instance.at, what));
        }
    };
    making.action(Statement::SetMark { key, value });
    Ok(())
}

pub(super) fn ct(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, "CT", Classic::Raw)?;
    if let Some(given) = instance.given.iter().find(|given| !["--zone", "--notrack"].contains(&given.name)) {
        let what = format!("only --zone and --notrack are supported; remove {}", given.name);
        return Err(instance.unknown(given.at, what));
    }
    match (instance.get("--zone"), instance.has("--notrack")) {
        (Some(given), true) => Err(Fault::wrong(given.at, "--zone and --notrack exclude each other; remove one")),
        (None, false) => Err(instance.wrong("needs --zone or --notrack")),
        (None, true) => notrack(instance, making),
        (Some(given), false) => {
            let piece = given.piece();
            if piece.text == "mark" {
                return Err(instance.unknown(piece.at, "the zone cannot be taken from the mark; give its number"));
            }
            let zone = Statement::SetZone(short(piece, "zone")?);
            // xt_ct_target, net/netfilter/xt_CT.c: an untracked packet stays untracked; nft would
            // track it.
            let untracked = Operand::Flags(Value::CtState(CtState::UNTRACKED));
            making.action(Statement::Match(matching(Field::CtState, true, untracked)));
            making.action(zone);
            Ok(())
        }
    }
}

pub(super) fn notrack(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, instance.extension.name, Classic::Raw)?;
    making.action(Statement::Notrack);
    Ok(())
}

/// Reads TPROXY: with a listener the mark is set and the packet accepted, without one it is
/// dropped (tproxy_tg4, net/netfilter/xt_TPROXY.c).
pub(super) fn tproxy(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.needs_table(instance.at, "TPROXY", Classic::Mangle)?;
    let given = instance.required("--on-port")?;
    making.needs_protocol(given.piece(), "target TPROXY", &[Protocol::TCP, Protocol::UDP])?;
    let port = Some(short(given.piece(), "port")?).filter(|port| *port != 0);
    let mut address = None;
    if let Some(given) = instance.get("--on-ip") {
        // The unspecified address means the address of the interface; nft omits the address
        // instead.
        address = Some(address::address(given.piece(), making.family)?).filter(|address| !address.is_unspecified());
    }
    if port.is_none() && address.is_none() {
        return Err(
            instance.unknown(given.at, "port 0 without an address cannot be expressed; give a port or an address")
        );
    }
    let family = address.map(IpFamily::of);
    making.action(Statement::Tproxy(Tproxy { family, address, port, ..Tproxy::default() }));
    if let Some(given) = instance.get("--tproxy-mark") {
        let mark = number_and_mask(given.piece())?;
        if (mark.value, mark.mask) != (0, 0) {
            making.action(Statement::SetMark { key: MarkKey::Meta, value: xmark(MarkKey::Meta, mark) });
        }
    }
    making.action(Statement::Verdict(Verdict::Accept));
    making.else_drop();
    Ok(())
}
