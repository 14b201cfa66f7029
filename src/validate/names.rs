//! Names and other text that the kernel keeps unchanged, and that nft(8) must be able to read back.

use std::collections::HashSet;

use super::Fault;
use super::location::At;
use super::problem::Problem;
use crate::model::{IfName, Log, Name, Rule, Value};

pub(super) fn name(at: At<'_>, name: &Name, faults: &mut Vec<Fault>) {
    if let Some(fault) = name.fault() {
        at.report(faults, Problem::BadName { name: name.clone(), fault });
    }
}

pub(super) fn comment(at: At<'_>, comment: Option<&str>, faults: &mut Vec<Fault>) {
    if let Some(comment) = comment {
        text(at, "comment", comment, Rule::MAX_COMMENT, faults);
    }
}

/// Checks a log prefix. nft(8) takes a `$` in it for a variable.
pub(super) fn log_prefix(at: At<'_>, prefix: &str, faults: &mut Vec<Fault>) {
    text(at, "log prefix", prefix, Log::MAX_PREFIX, faults);
    if prefix.contains('$') {
        at.report(faults, Problem::BadCharacter { text: "log prefix", character: '$' });
    }
}

/// Checks the context of a secmark.
pub(super) fn secmark(at: At<'_>, context: &str, faults: &mut Vec<Fault>) {
    text(at, "security context", context, usize::MAX, faults);
}

fn text(at: At<'_>, text: &'static str, value: &str, max: usize, faults: &mut Vec<Fault>) {
    if value.len() > max {
        at.report(faults, Problem::TooLong { text, bytes: value.len(), max });
    }
    // Nearly all text is printable ASCII, for which many bytes are checked at once.
    let is_odd = |byte: u8| !matches!(byte, b' '..=b'~') | (byte == b'"');
    if !value.bytes().fold(false, |any, byte| any | is_odd(byte)) {
        return;
    }
    if let Some(character) = value.chars().find(|c| c.is_control() || *c == '"') {
        at.report(faults, Problem::BadCharacter { text, character });
    }
}

/// Reports the fault of a value that is an interface name.
pub(super) fn interface(at: At<'_>, value: &Value, faults: &mut Vec<Fault>) {
    if let Value::Ifname(name) = value {
        if let Some(fault) = name.fault() {
            at.report(faults, Problem::BadIfName { name: name.clone(), fault });
        }
    }
}

/// Reports the faults of the names of a chain's devices.
pub(super) fn devices(at: At<'_>, devices: &[String], faults: &mut Vec<Fault>) {
    devices.iter().for_each(|device| interface(at, &Value::Ifname(IfName::from(device.as_str())), faults));
    if devices.is_empty() {
        at.report(faults, Problem::NoDevice);
    }
    let mut seen = HashSet::new();
    if let Some(device) = devices.iter().find(|device| !seen.insert(*device)) {
        at.report(faults, Problem::DeviceTwice { device: device.clone() });
    }
}
