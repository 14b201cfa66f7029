//! Constants as the kernel keeps them: byte order is decided here and nowhere else.

use smallvec::SmallVec;

use crate::model::{CtDirection, DataType, Interval, Value};

/// Up to 16 bytes without an allocation: an address, a port, a name.
pub type Bytes = SmallVec<[u8; 16]>;

/// Order of the bytes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As the kernel keeps it in a register.
    Register,
    /// Big endian, so that comparing bytes compares numbers.
    Sorted,
}

/// `value` as bytes of the width of `data_type`; `None` when it is of another type.
pub(crate) fn bytes(value: &Value, data_type: DataType, order: Order) -> Option<Bytes> {
    if !value.is_of(data_type) {
        return None;
    }
    let host = |number: u32| match order {
        Order::Register => number.to_ne_bytes(),
        Order::Sorted => number.to_be_bytes(),
    };
    Some(match value {
        Value::AddrType(kind) => Bytes::from_slice(&host(kind.0)),
        Value::CtDirection(CtDirection::Original) => Bytes::from_slice(&[0]),
        Value::CtDirection(CtDirection::Reply) => Bytes::from_slice(&[1]),
        Value::CtState(bits) => Bytes::from_slice(&host(bits.bits())),
        Value::CtStatus(bits) => Bytes::from_slice(&host(bits.bits())),
        Value::Gid(number) | Value::Ifindex(number) | Value::Mark(number) | Value::Uid(number) => {
            Bytes::from_slice(&host(*number))
        }
        Value::IcmpType(kind) => Bytes::from_slice(&[kind.0]),
        Value::Icmpv6Type(kind) => Bytes::from_slice(&[kind.0]),
        Value::Ifname(name) => {
            let mut bytes = Bytes::from_slice(name.compared().as_bytes());
            bytes.resize(DataType::Ifname.bytes(), 0);
            bytes
        }
        Value::Integer(number) => integer(*number, data_type.bytes(), order),
        Value::Ipv4(address) => Bytes::from_slice(&address.octets()),
        Value::Ipv6(address) => Bytes::from_slice(&address.octets()),
        Value::Nfproto(family) => Bytes::from_slice(&[family.0]),
        Value::PktType(kind) => Bytes::from_slice(&[kind.0]),
        Value::Port(port) => Bytes::from_slice(&port.to_be_bytes()),
        Value::Protocol(protocol) => Bytes::from_slice(&[protocol.0]),
        Value::TcpFlags(bits) => Bytes::from_slice(&[bits.bits()]),
    })
}

/// A number without a type, in `width` bytes.
fn integer(number: u32, width: usize, order: Order) -> Bytes {
    let big = number.to_be_bytes();
    let mut bytes = Bytes::from_slice(big.get(4_usize.saturating_sub(width)..).unwrap_or(&big));
    if order == Order::Register && cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

/// The lowest and the highest bytes of an interval in sorted order, both included; an interface prefix runs to its last possible name.
pub(crate) fn ends(interval: &Interval, data_type: DataType) -> Option<(Bytes, Bytes)> {
    let low = bytes(&interval.low, data_type, Order::Sorted)?;
    let mut high = bytes(&interval.high, data_type, Order::Sorted)?;
    if let Some(prefix) = name_prefix(&interval.high) {
        high.iter_mut().skip(prefix.len()).for_each(|byte| *byte = 0xff);
    }
    Some((low, high))
}

/// What the names of a pattern of several interfaces start with.
pub(super) fn name_prefix(value: &Value) -> Option<&str> {
    match value {
        Value::Ifname(name) => name.prefix(),
        _ => None,
    }
}

/// The bytes that come right after these in sorted order, `None` after the last.
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
    fn ports_and_addresses_are_big_endian_marks_and_owners_are_not() {
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
