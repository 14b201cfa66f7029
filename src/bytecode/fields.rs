//! How every field is loaded.

mod parameters;

pub(super) use parameters::field_of;

use super::codes::RtCode;
use super::data::{Bytes, Order, integer};
use super::expr::Expr;
use super::keys::{CtKey, FibFlags, FibResult, MetaKey, PayloadBase, Register, SocketKey};
use crate::model::{Field, field_table};

macro_rules! loads {
    ($($field:ident $method:ident($kind:ty) $name:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        /// Returns the expression that loads a field, or the bytes that it is part of.
        pub(super) fn load(field: Field, dreg: Register) -> Expr {
            match field {
                $(Field::$field => from!(dreg, $load($($from)*)),)*
                Field::CtDirected(of) => parameters::directed(of, dreg),
                Field::Exthdr(of) => parameters::exthdr(of, dreg),
                Field::Fib(of) => parameters::fib(of, dreg),
                Field::Ipsec(of) => parameters::ipsec(of, dreg),
                Field::Numgen(of) => parameters::numgen(of, dreg),
                Field::Payload(of) => parameters::payload(of, dreg),
                Field::CtEvent => Expr::Ct { key: CtKey::EVENTMASK, dreg },
                Field::Nftrace => Expr::Meta { key: MetaKey::NFTRACE, dreg },
                Field::Osf(of) => parameters::osf(of, dreg),
                Field::SocketCgroup(of) => parameters::socket_cgroup(of, dreg),
                Field::Symhash(of) => parameters::symhash(of, dreg),
            }
        }

        /// Returns the bits of a field that is part of its bytes.
        pub(super) fn part(field: Field) -> Option<Part> {
            match field {
                $(Field::$field => part!($load($($from)*)),)*
                Field::Exthdr(of) => of.part_of_byte().map(|(offset, bits)| Part::new(offset, bits)),
                _ => None,
            }
        }
    };
}

/// The bits of a field within the bytes that are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of bytes.
    pub(super) bytes: usize,
    /// Number of bits.
    pub(super) bits: u32,
    /// Number of bits after them.
    pub(super) shift: u32,
}

impl Part {
    const fn new(offset: u32, bits: u32) -> Part {
        let (start, len) = span(offset, bits);
        Part { bytes: len as usize, bits, shift: 8 * (start + len) - (offset + bits) }
    }

    /// Returns the bits to keep.
    pub(super) fn mask(self) -> Bytes {
        integer(((1 << self.bits) - 1) << self.shift, self.bytes, Order::Sorted)
    }

    /// Returns ones for its bits and those after them.
    pub(super) fn ones(self) -> Bytes {
        integer((1 << (self.bits + self.shift)) - 1, self.bytes, Order::Sorted)
    }

    /// Returns a number in its place; `None` if it has more bits.
    pub(super) fn place(self, number: u128) -> Option<Bytes> {
        (number >> self.bits == 0).then(|| integer(number << self.shift, self.bytes, Order::Sorted))
    }

    /// Returns the number in its place in these bytes; `None` if other bits are set.
    pub(super) fn number(self, bytes: &[u8]) -> Option<u128> {
        let number = super::data::number(bytes, Order::Sorted);
        let found = number >> self.shift;
        (bytes.len() == self.bytes && found << self.shift == number && found >> self.bits == 0).then_some(found)
    }
}

/// Returns the first byte and the number of bytes that contain these bits.
pub(super) const fn span(offset: u32, bits: u32) -> (u32, u32) {
    (offset / 8, (offset % 8 + bits).div_ceil(8))
}

macro_rules! part {
    (bits($base:ident, $offset:literal, $bits:literal)) => {
        Some(const { Part::new($offset, $bits) })
    };
    ($load:ident($($from:tt)*)) => {
        None
    };
}

/// The place from which the table loads a field.
macro_rules! from {
    ($dreg:ident, bits($base:ident, $offset:literal, $bits:literal)) => {{
        let (offset, len) = const { span($offset, $bits) };
        Expr::Payload { base: PayloadBase::$base, offset, len, dreg: $dreg }
    }};
    ($dreg:ident, ct($key:ident)) => {
        Expr::Ct { key: CtKey::$key, dreg: $dreg }
    };
    ($dreg:ident, fib($flags:ident, $result:ident)) => {
        Expr::Fib { result: FibResult::$result, flags: FibFlags::$flags, dreg: $dreg }
    };
    ($dreg:ident, link($offset:literal, $len:literal)) => {
        Expr::Payload { base: PayloadBase::LINK, offset: $offset, len: $len, dreg: $dreg }
    };
    ($dreg:ident, meta($key:ident)) => {
        Expr::Meta { key: MetaKey::$key, dreg: $dreg }
    };
    ($dreg:ident, network($offset:literal, $len:literal)) => {
        Expr::Payload { base: PayloadBase::NETWORK, offset: $offset, len: $len, dreg: $dreg }
    };
    ($dreg:ident, rt($key:ident)) => {
        Expr::Rt(RtCode { key: RtCode::$key, dreg: $dreg })
    };
    ($dreg:ident, socket($key:ident)) => {
        Expr::Socket { key: SocketKey::$key, dreg: $dreg }
    };
    ($dreg:ident, transport($offset:literal, $len:literal)) => {
        Expr::Payload { base: PayloadBase::TRANSPORT, offset: $offset, len: $len, dreg: $dreg }
    };
}

field_table!(loads);
