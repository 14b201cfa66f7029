//! connmark, conntrack, state: connection tracking.

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Instance};
use super::super::making::Making;
use super::super::value::{mark_match, matching};
use super::super::words::Piece;
use super::tuple;
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
    let mut words = Vec::new();
    let first = ["--ctstate", "--ctdir", "--ctstatus"].into_iter().filter_map(|name| instance.get(name));
    let others = instance.given.iter().filter(|given| !matches!(given.name, "--ctstate" | "--ctdir" | "--ctstatus"));
    for given in first.chain(others) {
        // Without a connection only the state is examined (conntrack_mt,
        // net/netfilter/xt_conntrack.c).
        words.push(match given.name {
            "--ctstate" => match states(given)? {
                (states, _) if instance.given.len() > 1 && takes_untracked(states, given.not) => None,
                (states, status) if status.is_empty() => {
                    Some(matching(Field::CtState, given.not, Operand::Flags(Value::CtState(states))))
                }
                (states, status) if states.is_empty() && !given.not => {
                    Some(matching(Field::CtStatus, false, Operand::Flags(Value::CtStatus(status))))
                }
                _ => None,
            },
            "--ctstatus" => {
                let bits = status(given)?;
                let is_given = !bits.is_empty();
                is_given.then(|| matching(Field::CtStatus, given.not, Operand::Flags(Value::CtStatus(bits))))
            }
            "--ctdir" => {
                let direction = Operand::Value(Value::CtDirection(direction(given.piece())?));
                Some(matching(Field::CtDirection, false, direction))
            }
            _ => None,
        });
    }
    match words.into_iter().collect::<Option<Vec<_>>>() {
        Some(matches) => matches.into_iter().for_each(|found| making.matches(found)),
        None => making.statement(tuple::whole(instance, making.family)?),
    }
    Ok(())
}

pub(super) fn direction(piece: Piece<'_>) -> Result<CtDirection, Fault> {
    match &*piece.text.to_ascii_uppercase() {
        "ORIGINAL" => Ok(CtDirection::Original),
        "REPLY" => Ok(CtDirection::Reply),
        _ => Err(piece.wrong(format!("unknown direction {}; there are ORIGINAL and REPLY", Shown(piece.text)))),
    }
}

/// Returns whether packets without a connection match.
fn takes_untracked(states: CtState, not: bool) -> bool {
    let without = CtState::INVALID | CtState::UNTRACKED;
    if not { !states.contains(without) } else { states.intersects(without) }
}

/// Returns the states, and those that are bits of the status.
pub(super) fn states(given: &Given<'_>) -> Result<(CtState, CtStatus), Fault> {
    let (mut states, mut status) = (CtState::empty(), CtStatus::empty());
    for piece in given.piece().list() {
        match beginning(piece, &["INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT"]) {
            Some("INVALID") => states |= CtState::INVALID,
            Some("NEW") => states |= CtState::NEW,
            Some("RELATED") => states |= CtState::RELATED,
            Some("ESTABLISHED") => states |= CtState::ESTABLISHED,
            Some("UNTRACKED") => states |= CtState::UNTRACKED,
            Some("SNAT") => status |= CtStatus::SNAT,
            Some("DNAT") => status |= CtStatus::DNAT,
            _ => {
                let names = "INVALID, NEW, RELATED, ESTABLISHED, UNTRACKED, SNAT, DNAT";
                return Err(piece.wrong(format!("unknown state {}; there are {names}", Shown(piece.text))));
            }
        }
    }
    Ok((states, status))
}

/// Returns the first of these names that begins with the word, ignoring case, as iptables(8) does.
fn beginning<'n>(piece: Piece<'_>, names: &[&'n str]) -> Option<&'n str> {
    let word = piece.text.to_ascii_uppercase();
    names.iter().find(|name| !word.is_empty() && name.starts_with(&word)).copied()
}

pub(super) fn status(given: &Given<'_>) -> Result<CtStatus, Fault> {
    given.piece().list().try_fold(CtStatus::empty(), |all, piece| {
        Ok(all
            | match beginning(piece, &["NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"]) {
                Some("NONE") => CtStatus::empty(),
                Some("EXPECTED") => CtStatus::EXPECTED,
                Some("SEEN_REPLY") => CtStatus::SEEN_REPLY,
                Some("ASSURED") => CtStatus::ASSURED,
                Some("CONFIRMED") => CtStatus::CONFIRMED,
                _ => {
                    let names = "NONE, EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED";
                    return Err(piece.wrong(format!("unknown status {}; there are {names}", Shown(piece.text))));
                }
            })
    })
}
