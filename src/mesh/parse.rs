//! Parses text into single values. No option is named here; the caller adds the name and the whole
//! value to a [`Problem`].
//!
//! Blanks around a value and around each item of a list are ignored. Numbers are plain decimal
//! digits without sign or leading zeros (`080` is octal to some tools and decimal to others);
//! marks may also be `0x` and hex digits.

use std::num::NonZeroU32;

use super::error::Problem;
use crate::error::Quoted;

pub(super) type Parsed<T> = Result<T, Problem>;

/// Parses a comma-separated list; empty items are skipped, see [`empty_item`]. `accepted` ends
/// each message.
pub(super) fn list<T>(text: &str, accepted: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    let alone = !text.contains(',');
    let read = |(position, part): (usize, &str)| {
        item(part).map_err(|Problem(what)| match alone {
            true => Problem(format!("{what}; {accepted}")),
            false => Problem(format!("item {position}, {}: {what}; {accepted}", Quoted(part))),
        })
    };
    items(text).filter(|(_, part)| !part.is_empty()).map(read).collect()
}

/// Returns the position of the first empty item of a list that is not blank as a whole. Templates
/// leave such items behind (`15090,15021,`), so options accept them with a warning; in code they
/// are an error.
pub(super) fn empty_item(text: &str) -> Option<usize> {
    let blank = text.trim().is_empty();
    items(text).find(|(_, part)| part.is_empty() && !blank).map(|(position, _)| position)
}

/// Returns the same text, or fails if an item is empty.
pub(super) fn without_empty_items<'a>(text: &'a str, accepted: &str) -> Parsed<&'a str> {
    match empty_item(text) {
        Some(position) => Err(Problem(format!("item {position} is empty; {accepted}"))),
        None => Ok(text),
    }
}

fn items(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split(',').map(str::trim))
}

/// Parses a comma-separated list; `*` alone means everything and returns `None`.
pub(super) fn wildcard_or_list<T>(
    text: &str,
    accepted: &str,
    item: impl Fn(&str) -> Parsed<T>,
) -> Parsed<Option<Vec<T>>> {
    if items(text).map(|(_, part)| part).filter(|part| !part.is_empty()).eq(["*"]) {
        return Ok(None);
    }
    list(text, accepted, |part| match part {
        "*" => Err(Problem::new("\"*\" means all and must stand alone")),
        _ => item(part),
    })
    .map(Some)
}

/// Parses one port, 1 to 65535.
pub(super) fn port(text: &str) -> Parsed<u16> {
    checked_port(text.trim()).ok_or_else(|| Problem::new("not a port; give one number from 1 to 65535"))
}

pub(super) fn checked_port(text: &str) -> Option<u16> {
    decimal(text).and_then(|number| u16::try_from(number).ok()).filter(|&number| number != 0)
}

/// Parses a packet mark; 0 is the mark of every unmarked packet and therefore not accepted.
pub(super) fn mark(text: &str) -> Parsed<NonZeroU32> {
    const ACCEPTED: &str = "give a number from 1 to 4294967295, decimal or 0x and hex digits";
    let text = text.trim();
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            u32::from_str_radix(hex, 16).ok()
        }
        Some(_) => None,
        None => decimal(text).and_then(|number| u32::try_from(number).ok()),
    };
    let number = number.ok_or_else(|| Problem(format!("not a packet mark; {ACCEPTED}")))?;
    checked_mark(number)
}

pub(super) fn checked_mark(number: u32) -> Parsed<NonZeroU32> {
    NonZeroU32::new(number)
        .ok_or_else(|| Problem::new("a mark of 0 would match every unmarked packet; give 1 to 4294967295"))
}

/// Parses the number of a routing table that the system does not use itself.
pub(super) fn route_table(text: &str) -> Parsed<u32> {
    let number = decimal(text.trim()).and_then(|number| u32::try_from(number).ok());
    checked_route_table(number.ok_or_else(|| Problem(format!("not a routing table; {ROUTE_TABLES}")))?)
}

pub(super) fn checked_route_table(number: u32) -> Parsed<u32> {
    match number {
        // RT_TABLE_UNSPEC, _DEFAULT, _MAIN, _LOCAL, include/uapi/linux/rtnetlink.h, v6.12
        0 | 253..=255 => Err(Problem(format!("routing table {number} belongs to the system; {ROUTE_TABLES}"))),
        _ => Ok(number),
    }
}

const ROUTE_TABLES: &str = "give a number from 1 to 4294967295 other than 253, 254 and 255";

/// Parses a boolean as Go's `strconv.ParseBool`, which reads the flags of the reference:
/// <https://pkg.go.dev/strconv#ParseBool>.
pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.trim() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Problem::new("not a boolean; give true or false (also 1, t, T, TRUE, True, 0, f, F, FALSE, False)")),
    }
}

/// Parses a boolean exactly as Go's `strconv.ParseBool`, which accepts no blanks around it.
pub(super) fn exact_boolean(text: &str) -> Parsed<bool> {
    boolean(if text.trim() == text { text } else { "" })
}

/// Parses a boolean as `istio-iptables` does: `true`, `false`, and what Go's `strconv.ParseBool`
/// accepts besides. An error names the flag or variable `name`.
///
/// # Errors
/// [`is_invalid`](crate::Error::is_invalid) for anything else.
pub fn parse_boolean(name: &str, text: &str) -> crate::Result<bool> {
    boolean(text).map_err(|problem| problem.of(name, text).into())
}

/// Parses a port from 1 to 65535, in decimal without leading zeros. An error names the flag or
/// variable `name`.
///
/// # Errors
/// [`is_invalid`](crate::Error::is_invalid) for anything else.
///
/// ```
/// use nftmesh::mesh::istio::parse_port;
///
/// assert_eq!(parse_port("--port", "15002")?, 15002);
/// let error = parse_port("--port", "080").unwrap_err();
/// assert_eq!(error.to_string(), "--port \"080\": not a port; give one number from 1 to 65535");
/// # Ok::<(), nftmesh::Error>(())
/// ```
pub fn parse_port(name: &str, text: &str) -> crate::Result<u16> {
    port(text).map_err(|problem| problem.of(name, text).into())
}

/// Parses a user or group: its number, or a name that `known` resolves.
pub(super) fn owner(text: &str, what: &str, known: impl Fn(&str) -> Option<u32>) -> Parsed<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = decimal(text).and_then(|number| u32::try_from(number).ok());
        return checked_owner(number.unwrap_or(u32::MAX), what);
    }
    known(text).ok_or_else(|| Problem(format!("no such {what} on this host")))
}

/// Rejects (uid_t) -1 and (gid_t) -1, which the kernel does not accept as ids (`uid_valid`,
/// include/linux/uidgid.h, v6.12).
pub(super) fn checked_owner(number: u32, what: &str) -> Parsed<u32> {
    match number {
        u32::MAX => Err(Problem(format!("not the number of a {what}"))),
        _ => Ok(number),
    }
}

pub(super) fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let ambiguous = text.len() > 1 && text.starts_with('0');
    if plain && !ambiguous { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_no_leading_zero() {
        for text in ["", "+80", "-80", "080", "8 0", "8_0", "０", "99999999999999999999"] {
            assert_eq!(decimal(text), None, "{text:?}");
        }
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("65536"), Some(65536));
    }

    #[test]
    fn a_mark_is_decimal_or_hex() {
        for (text, value) in [("1337", 1337), ("0x539", 1337), ("0X539", 1337), ("0xffffffff", u32::MAX), ("1", 1)] {
            assert_eq!(mark(text).map(NonZeroU32::get), Ok(value), "{text:?}");
        }
        for text in ["0", "0x0", "0x", "0x1ffffffff", "4294967296", "0x+1", "539h", "01337", "-1"] {
            assert!(mark(text).is_err(), "{text:?}");
        }
    }
}
