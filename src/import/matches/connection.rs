//! connmark, conntrack, state: what connection tracking says.

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Instance};
use super::super::making::Making;
use super::super::value::{mark_match, matching};
use crate::model::{CtDirection, CtState, CtStatus, Field, Operand, Value};

pub(super) fn mark(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    making.matches(mark_match(instance.required("--mark")?, Field::CtMark)?);
    Ok(())
}

pub(super) fn state(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    let given = instance.required("--state")?;
    let (states, status) = states(given)?;
    if !status.is_empty() {
        return Err(given.piece().wrong("SNAT and DNAT are states of -m conntrack --ctstate; use that"));
    }
    making.matches(matching(Field::CtState, given.not, Operand::Flags(Value::CtState(states))));
    Ok(())
}

pub(super) fn conntrack(instance: &Instance<'_>, making: &mut Making) -> Result<(), Fault> {
    if instance.given.is_empty() {
        return Err(instance.wrong("needs an option such as --ctstate"));
    }
    let known = ["--ctstate", "--ctstatus", "--ctdir"];
    if let Some(given) = instance.given.iter().find(|given| !known.contains(&given.name)) {
        let what = format!("nothing here looks at that part of a connection; take {} out", given.name);
        return Err(instance.unknown(given.at, what));
    }
    if let Some(given) = instance.get("--ctstate") {
        let (states, status) = states(given)?;
        if instance.given.len() > 1 && takes_untracked(states, given.not) {
            // conntrack_mt, net/netfilter/xt_conntrack.c: without a connection only the state is looked at.
            let what =
                "--ctstate takes packets without a connection, which pass the other options unseen; use two rules";
            return Err(instance.unknown(given.at, what));
        }
        making.matches(match (states.is_empty(), status.is_empty()) {
            (_, true) => matching(Field::CtState, given.not, Operand::Flags(Value::CtState(states))),
            (true, false) if !given.not => matching(Field::CtStatus, false, Operand::Flags(Value::CtStatus(status))),
            (true, false) => {
                let what =
                    "! with SNAT or DNAT takes packets without a connection too, which nft cannot say; invert the rule";
                return Err(instance.unknown(given.at, what));
            }
            (false, false) => {
                let what = "SNAT or DNAT in one list with other states cannot be said in one rule; write two rules";
                return Err(instance.unknown(given.at, what));
            }
        });
    }
    if let Some(given) = instance.get("--ctdir") {
        let piece = given.piece();
        let direction = match &*piece.text.to_ascii_uppercase() {
            "ORIGINAL" => CtDirection::Original,
            "REPLY" => CtDirection::Reply,
            _ => {
                let what = format!("unknown direction {}; there are ORIGINAL and REPLY", Shown(piece.text));
                return Err(piece.wrong(what));
            }
        };
        making.matches(matching(Field::CtDirection, false, Operand::Value(Value::CtDirection(direction))));
    }
    if let Some(given) = instance.get("--ctstatus") {
        let bits = Operand::Flags(Value::CtStatus(status(given)?));
        making.matches(matching(Field::CtStatus, given.not, bits));
    }
    Ok(())
}

/// Whether packets without a connection match.
fn takes_untracked(states: CtState, not: bool) -> bool {
    let without = CtState::INVALID | CtState::UNTRACKED;
    if not { !states.contains(without) } else { states.intersects(without) }
}

/// The states, and those that are bits of the status.
fn states(given: &Given<'_>) -> Result<(CtState, CtStatus), Fault> {
    let (mut states, mut status) = (CtState::empty(), CtStatus::empty());
    for piece in given.piece().list() {
        match &*piece.text.to_ascii_uppercase() {
            "INVALID" => states |= CtState::INVALID,
            "NEW" => states |= CtState::NEW,
            "RELATED" => states |= CtState::RELATED,
            "ESTABLISHED" => states |= CtState::ESTABLISHED,
            "UNTRACKED" => states |= CtState::UNTRACKED,
            "SNAT" => status |= CtStatus::SNAT,
            "DNAT" => status |= CtStatus::DNAT,
            _ => {
                let names = "INVALID, NEW, RELATED, ESTABLISHED, UNTRACKED, SNAT, DNAT";
                return Err(piece.wrong(format!("unknown state {}; there are {names}", Shown(piece.text))));
            }
        }
    }
    Ok((states, status))
}

fn status(given: &Given<'_>) -> Result<CtStatus, Fault> {
    given.piece().list().try_fold(CtStatus::empty(), |all, piece| {
        Ok(all
            | match &*piece.text.to_ascii_uppercase() {
                "EXPECTED" => CtStatus::EXPECTED,
                "SEEN_REPLY" => CtStatus::SEEN_REPLY,
                "ASSURED" => CtStatus::ASSURED,
                "CONFIRMED" => CtStatus::CONFIRMED,
                "NONE" => return Err(piece.wrong("NONE is no bit, so no connection has it; take it out")),
                _ => {
                    let names = "EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED";
                    return Err(piece.wrong(format!("unknown status {}; there are {names}", Shown(piece.text))));
                }
            })
    })
}
