//! Sets as the kernel keeps them.

use super::elements::{ElementCode, INTERVAL_END, lower_elements};
use super::expr::Expr;
use super::kept::{WholeSet, kept_set, set_userdata};
use super::lower::{Known, NoSets, Unlowerable, lower_statement};
use crate::model::{DataType, Family, Opaque, RawPayload, Set, SetData, SetFlags, SetPolicy, Statement};

/// How a set is declared to the kernel: everything but its name and its elements.
///
/// The kernel keeps `timeout` in ticks of 1 to 10 ms and reports it rounded; see
/// [`same`](SetCode::same).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the attributes of NFT_MSG_NEWSET")]
pub struct SetCode {
    /// `NFT_SET_*`.
    pub flags: u32,
    /// Type of the key, in nft's numbering.
    pub key_type: u32,
    /// Length of the key in bytes.
    pub key_len: u32,
    /// Type and length of the value that an element maps to.
    pub data: Option<(u32, u32)>,
    /// Length of every field of a concatenation of intervals.
    pub fields: Vec<u8>,
    /// Maximum number of elements.
    pub size: Option<u32>,
    /// Timeout of elements in milliseconds.
    pub timeout: Option<u64>,
    /// Interval of garbage collection in milliseconds.
    pub gc_interval: Option<u32>,
    /// The comment, and what nft(8) needs to print the set.
    pub userdata: Vec<u8>,
    /// `NFT_SET_POL_*`: 0 for speed, 1 for little memory.
    pub policy: u32,
    /// Kind of the stateful object that an element maps to (`NFT_OBJECT_*`).
    pub object: Option<u32>,
    /// Statements that every element carries: a counter, a limit.
    pub exprs: Vec<Expr>,
    /// Attributes that this crate does not understand, as the kernel gave them.
    pub opaque: Vec<u8>,
}

/// A set that belongs to one rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a set and its elements")]
pub struct AnonymousSet {
    /// Its declaration.
    pub code: SetCode,
    /// Its elements.
    pub elements: Vec<ElementCode>,
    /// For every element its place in the kernel's order, for ranges of concatenations, which
    /// nft(8) lists in that order; empty if it is the order of `elements`.
    pub order: Vec<u32>,
}

/// How the elements of a set are kept, which decides the byte order of keys.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these three backends differ in encoding")]
pub enum SetMode {
    /// Start and exclusive end elements, keys in sorted byte order.
    Interval,
    /// Keys in register byte order.
    Plain,
    /// Key and inclusive key end per field, in sorted byte order.
    Ranges,
}

impl SetMode {
    /// Returns the mode of a set with these flags and this many fields in its key.
    #[must_use]
    pub fn of(flags: SetFlags, fields: usize) -> SetMode {
        match (flags.contains(SetFlags::INTERVAL), fields) {
            (false, _) => SetMode::Plain,
            (true, 0 | 1) => SetMode::Interval,
            (true, _) => SetMode::Ranges,
        }
    }

    /// Returns the mode of a set of the model.
    #[must_use]
    pub fn of_set(set: &Set) -> SetMode {
        match set.opaque.as_ref().and_then(Opaque::code) {
            Some(WholeSet { code, .. }) => code.mode(),
            None => SetMode::of(set.flags, set.key.len()),
        }
    }
}

impl SetCode {
    /// Returns how elements of such a set are kept.
    #[must_use]
    pub fn mode(&self) -> SetMode {
        let intervals = self.flags & SetFlags::INTERVAL.bits() != 0;
        match (intervals, self.flags & NFT_SET_CONCAT != 0 || self.fields.len() > 1) {
            (false, _) => SetMode::Plain,
            (true, false) => SetMode::Interval,
            (true, true) => SetMode::Ranges,
        }
    }
}

pub(super) const NFT_SET_ANONYMOUS: u32 = 0x1;
pub(super) const NFT_SET_MAP: u32 = 0x8;
pub(super) const NFT_SET_OBJECT: u32 = 0x40;
pub(super) const NFT_SET_CONCAT: u32 = 0x80;
pub(super) const NFT_DATA_VERDICT: u32 = 0xffff_ff00;

/// Returns the declaration of a named set.
///
/// # Errors
/// If it has no key.
pub fn lower_set(set: &Set) -> Result<SetCode, Unlowerable> {
    if let Some(WholeSet { code, .. }) = set.opaque.as_ref().and_then(Opaque::code) {
        return Ok(code.clone());
    }
    let Set { name, key, data, flags, timeout, gc_interval, size, policy, statements, comment, .. } = set;
    if key.is_empty() {
        return Err(Unlowerable::NoKey(name.clone()));
    }
    let mut code = declare(key, data, *flags);
    // The kernel takes 0 as no limit, and does not report it.
    code.size = size.filter(|size| *size > 0);
    code.timeout = timeout.map(millis);
    code.gc_interval = gc_interval.map(|interval| u32::try_from(millis(interval)).unwrap_or(u32::MAX));
    if let Some(comment) = comment {
        tlv(&mut code.userdata, UDATA_COMMENT, &[comment.as_bytes(), &[0]]);
    }
    code.userdata = set_userdata(set, code.userdata);
    code.opaque = kept_set(set).map(|kept| kept.attributes.clone()).unwrap_or_default();
    code.policy = match policy {
        SetPolicy::Memory => 1,
        SetPolicy::Performance => 0,
    };
    code.exprs = carried(statements)?;
    Ok(code)
}

/// Lowers the statements that every element of a set, or one element, carries.
pub(super) fn carried(statements: &[Statement]) -> Result<Vec<Expr>, Unlowerable> {
    let mut exprs = Vec::with_capacity(statements.len());
    for statement in statements {
        exprs.extend(lower_statement(statement, Known::default(), Family::Inet, &NoSets)?.0);
    }
    Ok(exprs)
}

/// Returns an anonymous set with the elements of `set`.
pub(super) fn anonymous(set: &Set) -> Result<AnonymousSet, Unlowerable> {
    let mut code = declare(&set.key, &set.data, set.flags | SetFlags::CONSTANT);
    code.flags |= NFT_SET_ANONYMOUS;
    let (mut elements, mut sent): (Vec<ElementCode>, u32) = (Vec::with_capacity(set.elements.len()), 0);
    for element in lower_elements(set) {
        let element = element?;
        // An interval ends where the next begins (`set_to_intervals`, src/intervals.c, 1.0.6).
        let begins = |last: &ElementCode| last.flags & !element.flags & INTERVAL_END != 0 && last.key == element.key;
        if elements.last().is_some_and(begins) {
            elements.pop();
        }
        elements.push(element);
        sent = sent.saturating_add(1);
    }
    code.size = Some(sent);
    Ok(AnonymousSet { code, elements, order: Vec::new() })
}

/// Notes that a key is bytes by their place, by which nft(8) lists its values in hexadecimal
/// (`payload_expr_build_udata`, src/payload.c, 1.0.6).
pub(super) fn note_raw(code: &mut SetCode, raw: RawPayload) {
    const EXPR_PAYLOAD: u32 = 7;
    let RawPayload { base, offset, bits } = raw;
    let mut place = Vec::new();
    let numbers = [0, 0, base.entry().0 + 1, offset.into(), bits.into()];
    for (kind, number) in (0_u8..).zip(numbers) {
        tlv(&mut place, kind, &[&u32::to_ne_bytes(number)]);
    }
    let mut expr = Vec::new();
    tlv(&mut expr, 0, &[&EXPR_PAYLOAD.to_ne_bytes()]);
    tlv(&mut expr, 1, &[&place]);
    tlv(&mut code.userdata, UDATA_KEY_TYPEOF, &[&expr]);
}

/// Returns the set of a meter, which rules fill.
pub(super) fn metered(key: Vec<DataType>, flags: SetFlags, size: Option<u32>) -> AnonymousSet {
    let mut code = declare(&key, &SetData::None, flags);
    code.flags |= NFT_SET_ANONYMOUS;
    code.size = size.filter(|size| *size > 0);
    AnonymousSet { code, elements: Vec::new(), order: Vec::new() }
}

/// Returns milliseconds, the kernel's unit of timeouts.
pub(super) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn declare(key: &[DataType], data: &SetData, flags: SetFlags) -> SetCode {
    let mode = SetMode::of(flags, key.len());
    let mut kernel_flags = (flags - SetFlags::AUTO_MERGE).bits();
    let mut userdata = Vec::new();
    tlv(&mut userdata, UDATA_KEY_BYTEORDER, &[&byteorder(key).to_ne_bytes()]);
    if flags.contains(SetFlags::AUTO_MERGE) {
        tlv(&mut userdata, UDATA_AUTO_MERGE, &[&1_u32.to_ne_bytes()]);
    }
    let mut object = None;
    let numbers = |types: &[DataType]| types.iter().fold(0, |number, part| number << 6 | part.number());
    let padded = |types: &[DataType]| types.iter().map(|part| width(*part).next_multiple_of(4)).sum::<u32>();
    let data = match data {
        SetData::Concat(types) => {
            tlv(&mut userdata, UDATA_DATA_BYTEORDER, &[&byteorder(types).to_ne_bytes()]);
            Some((numbers(types), padded(types)))
        }
        SetData::Interval(types) => {
            tlv(&mut userdata, UDATA_DATA_BYTEORDER, &[&byteorder(types).to_ne_bytes()]);
            tlv(&mut userdata, UDATA_DATA_INTERVAL, &[&1_u32.to_ne_bytes()]);
            let one = if let [single] = types.as_slice() { width(*single) } else { padded(types) };
            Some((numbers(types), 2 * one))
        }
        SetData::None => None,
        SetData::Object(kind) => {
            tlv(&mut userdata, UDATA_DATA_BYTEORDER, &[&0_u32.to_ne_bytes()]);
            kernel_flags |= NFT_SET_OBJECT;
            object = Some(kind.entry().0);
            None
        }
        SetData::Value(data_type) => {
            tlv(&mut userdata, UDATA_DATA_BYTEORDER, &[&byteorder(&[*data_type]).to_ne_bytes()]);
            Some((data_type.number(), width(*data_type)))
        }
        SetData::Verdict => {
            tlv(&mut userdata, UDATA_DATA_BYTEORDER, &[&0_u32.to_ne_bytes()]);
            Some((NFT_DATA_VERDICT, 0))
        }
    };
    if data.is_some() {
        kernel_flags |= NFT_SET_MAP;
    }
    let fields = match mode {
        SetMode::Interval | SetMode::Plain => Vec::new(),
        SetMode::Ranges => {
            kernel_flags |= NFT_SET_CONCAT;
            key.iter().map(|field| u8::try_from(field.bytes()).unwrap_or(u8::MAX)).collect()
        }
    };
    SetCode {
        flags: kernel_flags,
        key_type: numbers(key),
        key_len: match key {
            [field] => width(*field),
            several => several.iter().map(|field| width(*field).next_multiple_of(4)).sum(),
        },
        data,
        fields,
        size: None,
        timeout: None,
        gc_interval: None,
        userdata,
        policy: 0,
        object,
        exprs: Vec::new(),
        opaque: Vec::new(),
    }
}

fn width(data_type: DataType) -> u32 {
    u32::try_from(data_type.bytes()).unwrap_or(u32::MAX)
}

/// Returns nft(8)'s number for the byte order of a type: 1 host, 2 big endian, 0 for a
/// concatenation.
fn byteorder(key: &[DataType]) -> u32 {
    match key {
        [DataType::Ifname | DataType::Text] => 1,
        [field] if field.is_host_order() => 1,
        [DataType::CtDirection | DataType::Nfproto | DataType::PktType] => 1,
        [_] => 2,
        _ => 0,
    }
}

/// Appends one entry of userdata: type, length, bytes in parts (libnftnl's udata format).
pub(super) fn tlv(userdata: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let Ok(length) = u8::try_from(parts.iter().map(|part| part.len()).sum::<usize>()) else { return };
    userdata.extend_from_slice(&[kind, length]);
    parts.iter().for_each(|part| userdata.extend_from_slice(part));
}

pub(super) const UDATA_KEY_BYTEORDER: u8 = 0;
pub(super) const UDATA_DATA_BYTEORDER: u8 = 1;
pub(super) const UDATA_AUTO_MERGE: u8 = 2;
/// `NFTNL_UDATA_SET_KEY_TYPEOF`.
pub(super) const UDATA_KEY_TYPEOF: u8 = 3;
/// `NFTNL_UDATA_SET_DATA_INTERVAL`: elements map to intervals.
pub(super) const UDATA_DATA_INTERVAL: u8 = 6;
pub(super) const UDATA_COMMENT: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_0_means_no_size() {
        let set = |size: Option<u32>| Set { size, ..Set::new("s", [DataType::Mark]) };
        assert_eq!(lower_set(&set(Some(0))), lower_set(&set(None)));
        assert_ne!(lower_set(&set(Some(1))), lower_set(&set(None)));
    }
}
