//! Constants as the kernel keeps them. Byte order is decided here and nowhere else.

use smallvec::SmallVec;

use crate::model::{DataType, IfName, Interval, Value};

/// Up to 16 bytes without an allocation: an address, a port, a name.
pub type Bytes = SmallVec<[u8; 16]>;

/// Byte order of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the kernel keeps it in a register.
    Register,
    /// Big endian, so that comparing bytes compares numbers.
    Sorted,
}

/// Returns `value` as bytes of the width of `data_type`; `None` when it is of another type.
pub(crate) fn bytes(value: &Value, data_type: DataType, order: Order) -> Option<Bytes> {
    if !value.is_of(data_type) {
        return None;
    }
    let width = data_type.bytes();
    let padded = |text: &str| {
        let mut bytes = Bytes::from_slice(text.as_bytes());
        bytes.resize(width, 0);
        bytes
    };
    Some(match value {
        Value::Ifname(name) => padded(&name.compared()),
        Value::Text(text) if text.len() > width || text.contains('\0') => return None,
        Value::Text(text) => padded(text),
        value => integer(value.number()?, width, order_of(data_type, order)),
    })
}

/// Returns the constant of type `data_type` with these bytes, the inverse of [`bytes`]; `None` for
/// bytes that no constant has.
pub(crate) fn value(bytes: &[u8], data_type: DataType, order: Order) -> Option<Value> {
    if bytes.len() != data_type.bytes() {
        return None;
    }
    match data_type {
        DataType::Ifname => name(bytes).map(Value::Ifname),
        DataType::Text => text(bytes).map(|text| Value::Text(text.into())),
        _ => Value::of_number(number(bytes, order_of(data_type, order)), data_type),
    }
}

/// Returns the order of a number of that type: one as in packets is always the same.
fn order_of(data_type: DataType, order: Order) -> Order {
    if data_type.is_host_order() { order } else { Order::Sorted }
}

/// Returns the number in up to 16 bytes.
pub(super) fn number(bytes: &[u8], order: Order) -> u128 {
    let join = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
    if order == Order::Register && cfg!(target_endian = "little") {
        bytes.iter().rev().fold(0, join)
    } else {
        bytes.iter().fold(0, join)
    }
}

/// Returns the text in these bytes, which may have NULs at the end and nowhere else.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    (!text.contains('\0')).then_some(text)
}

/// Returns the full interface name in these bytes, which may have NULs at the end and nowhere else.
fn name(bytes: &[u8]) -> Option<IfName> {
    let text = text(bytes).filter(|text| !text.is_empty())?;
    let literal = text.strip_suffix('*').map(|stem| format!("{stem}\\*"));
    Some(literal.map_or_else(|| text.into(), IfName::from))
}

/// Returns the pattern of all interface names that start with these bytes.
pub(crate) fn pattern(bytes: &[u8]) -> Option<IfName> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then(|| format!("{text}*").into())
}

/// Returns the interval between two ends that [`ends`] made.
pub(crate) fn interval(low: &[u8], high: &[u8], data_type: DataType) -> Option<Interval> {
    if data_type == DataType::Ifname && low != high {
        let prefix = low.iter().take_while(|byte| **byte != 0).count();
        let (stem, rest) = high.split_at_checked(prefix)?;
        let all = low.get(..prefix) == Some(stem) && rest.iter().all(|byte| *byte == 0xff);
        return all.then(|| pattern(stem)).flatten().map(|name| Interval::point(Value::Ifname(name)));
    }
    Some(Interval { low: value(low, data_type, Order::Sorted)?, high: value(high, data_type, Order::Sorted)? })
}

/// Returns a number in `width` bytes.
pub(super) fn integer(number: u128, width: usize, order: Order) -> Bytes {
    let big = number.to_be_bytes();
    let mut bytes = Bytes::from_slice(big.get(16_usize.saturating_sub(width)..).unwrap_or(&big));
    if order == Order::Register && cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

/// Returns the lowest and the highest bytes of an interval in sorted order, both included; an
/// interface prefix extends to its last possible name.
pub(crate) fn ends(interval: &Interval, data_type: DataType) -> Option<(Bytes, Bytes)> {
    let low = bytes(&interval.low, data_type, Order::Sorted)?;
    let mut high = bytes(&interval.high, data_type, Order::Sorted)?;
    if let Some(prefix) = name_prefix(&interval.high) {
        high.iter_mut().skip(prefix.len()).for_each(|byte| *byte = 0xff);
    }
    Some((low, high))
}

/// Returns the prefix of a pattern of several interface names.
pub(super) fn name_prefix(value: &Value) -> Option<&str> {
    match value {
        Value::Ifname(name) => name.prefix(),
        _ => None,
    }
}

/// Returns the bytes that come right before these in sorted order, `None` before the first.
pub(crate) fn predecessor(mut bytes: Bytes) -> Option<Bytes> {
    for byte in bytes.iter_mut().rev() {
        let (next, borrowed) = byte.overflowing_sub(1);
        *byte = next;
        if !borrowed {
            return Some(bytes);
        }
    }
    None
}

/// Returns the bytes that come right after these in sorted order, `None` after the last.
pub(crate) fn successor(mut bytes: Bytes) -> Option<Bytes> {
    for byte in bytes.iter_mut().rev() {
        let (next, carried) = byte.overflowing_add(1);
        *byte = next;
        if !carried {
            return Some(bytes);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses_are_big_endian_and_marks_and_owners_native() {
        let register = |value: Value, data_type| bytes(&value, data_type, Order::Register).expect("same type").to_vec();
        assert_eq!(register(Value::Port(80), DataType::Port), [0, 80]);
        assert_eq!(register(Value::Ipv4([10, 0, 0, 1].into()), DataType::Ipv4), [10, 0, 0, 1]);
        assert_eq!(register(Value::Mark(1), DataType::Mark), 1_u32.to_ne_bytes());
        assert_eq!(register(Value::Uid(1337), DataType::Uid), 1337_u32.to_ne_bytes());
        assert_eq!(register(Value::Integer(1), DataType::Integer { bytes: 2 }), 1_u16.to_ne_bytes());
        assert_eq!(bytes(&Value::Uid(1), DataType::Uid, Order::Sorted).expect("same type").to_vec(), [0, 0, 0, 1]);
        assert_eq!(bytes(&Value::Uid(1), DataType::Gid, Order::Register), None);
        assert_eq!(bytes(&Value::Integer(256), DataType::Integer { bytes: 1 }, Order::Register), None);
    }

    #[test]
    fn the_successor_carries_and_ends() {
        let next = |bytes: &[u8]| successor(Bytes::from_slice(bytes)).map(|bytes| bytes.to_vec());
        assert_eq!(next(&[10, 0, 0, 255]), Some(vec![10, 0, 1, 0]));
        assert_eq!(next(&[0, 80]), Some(vec![0, 81]));
        assert_eq!(next(&[255, 255]), None);
    }

    #[test]
    fn an_interface_prefix_ends_before_the_next_name() {
        let interval = Interval::point(Value::Ifname("veth*".into()));
        let (low, high) = ends(&interval, DataType::Ifname).expect("a name");
        assert_eq!(low.as_slice(), b"veth\0\0\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(successor(high).expect("not the last").as_slice(), b"veti\0\0\0\0\0\0\0\0\0\0\0\0");
    }
}
