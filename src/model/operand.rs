//! Operands of matches: a value, a range, a prefix, masked or flag bits, a named or an anonymous
//! set.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnetwork::{Ipv4Network, Ipv6Network};

use super::element::{Element, Interval, Key};
use super::name::{IfName, Name};
use super::nat::PortRange;
use super::value::{
    AddrType, ArpOp, CtDirection, CtLabel, CtState, CtStatus, Day, DccpType, Dscp, Ecn, EtherAddr, EtherType, IcmpCode,
    IcmpType, Icmpv6Code, Icmpv6Type, IfaceType, IgmpType, MhType, Nfproto, PktType, Protocol, TcpFlags, Value,
};

/// The right-hand side of a match.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operand {
    /// At least one of these bits, as in `ct state established,related`; negated, none of them.
    Flags(Value),
    /// The field, and-ed with `mask`, is `value`: `mark and 0xff == 0x1`.
    Masked {
        /// The bits compared.
        mask: Value,
        /// Their value.
        value: Value,
    },
    /// The first bits of an address: `10.0.0.0/8`.
    Prefix(Value, u8),
    /// Between the two, both included.
    Range(Value, Value),
    /// A member of a set.
    Set(SetRef),
    /// Exactly this value.
    Value(Value),
}

/// A set, map or verdict map: one of the table, or an anonymous one of the rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nf_tables has these two")]
pub enum SetRef {
    /// `{ 80, 443 }`, in ascending order of its keys.
    Anonymous(Vec<Element>),
    /// `@name`.
    Named(Name),
}

/// A value under a mask; see [`masked`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a value and a mask is all there is")]
pub struct Masked<T> {
    /// The value of the bits under the mask.
    pub value: T,
    /// The bits compared.
    pub mask: T,
}

/// Compares the bits under `mask` with `value`: `mark(masked(0x1, 0xff))` is `meta mark & 0xff ==
/// 0x1`.
pub fn masked<T>(value: T, mask: T) -> Masked<T> {
    Masked { value, mask }
}

/// Refers to the set, map or verdict map of the same table with this name:
/// `ip_saddr(set("blocked"))` is `ip saddr @blocked`.
pub fn set(name: impl Into<Name>) -> SetRef {
    SetRef::Named(name.into())
}

/// Creates an anonymous set, map or verdict map of the rule: `{ 10.0.0.1 : jump a, 10.0.0.2 : jump
/// b }`.
pub fn anonymous(elements: impl IntoIterator<Item = impl Into<Element>>) -> SetRef {
    let mut elements: Vec<Element> = elements.into_iter().map(Into::into).collect();
    // The element for every other key comes last.
    elements.sort_by(|a, b| (a.key.parts().is_empty(), &a.key).cmp(&(b.key.parts().is_empty(), &b.key)));
    SetRef::Anonymous(elements)
}

/// An operand for a field with values of type `T`: a `T` and, where it makes sense, a range, a
/// prefix, a list or a [`set()`].
///
/// A list of one is that value; a list of several becomes an anonymous set.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let nft = |rule: Rule| rule.to_string();
/// assert_eq!(nft(Rule::new().tcp_dport(22)), "tcp dport 22");
/// assert_eq!(nft(Rule::new().tcp_dport(8000..=8080)), "tcp dport 8000-8080");
/// assert_eq!(nft(Rule::new().tcp_dport(vec![22, 80])), "tcp dport { 22, 80 }");
/// assert_eq!(nft(Rule::new().tcp_dport((22, 8000..=8080))), "tcp dport { 22, 8000-8080 }");
/// assert_eq!(nft(Rule::new().tcp_dport(matches::set("ports"))), "tcp dport @ports");
/// assert_eq!(nft(Rule::new().mark(matches::masked(0x1, 0xff))), "meta mark & 0x000000ff == 0x00000001");
/// ```
pub trait IntoOperand<T> {
    /// Converts to the operand.
    fn into_operand(self) -> Operand;
}

impl<T> IntoOperand<T> for SetRef {
    fn into_operand(self) -> Operand {
        Operand::Set(self)
    }
}

impl<T> IntoOperand<T> for Operand {
    fn into_operand(self) -> Operand {
        self
    }
}

pub(super) fn list(intervals: impl Iterator<Item = Interval>) -> Operand {
    let mut keys: Vec<Interval> = intervals.collect();
    keys.sort();
    keys.dedup();
    if keys.iter().any(|key| !key.is_point()) {
        merge(&mut keys);
    }
    match keys.len() {
        1 => keys.pop().map_or_else(|| Operand::Set(SetRef::Anonymous(Vec::new())), Interval::into_operand),
        _ => Operand::Set(SetRef::Anonymous(keys.into_iter().map(|key| Element::new(Key::Single(key))).collect())),
    }
}

/// Merges intervals that overlap or touch, as they are when sent, so that what is read back is
/// equal.
fn merge(keys: &mut Vec<Interval>) {
    keys.dedup_by(|next, last| {
        let swallowed = match (&last.low, &next.low) {
            (Value::Ifname(last), Value::Ifname(next)) => {
                last.prefix().is_some_and(|prefix| next.compared().starts_with(prefix))
            }
            _ => next.low <= last.high,
        };
        let touching = swallowed || successor(&last.high).is_some_and(|after| after == next.low);
        if touching && next.high > last.high && !matches!(last.low, Value::Ifname(_)) {
            last.high = next.high.clone();
        }
        touching
    });
}

/// Returns the value right after this one, for a type whose values are ordered.
fn successor(value: &Value) -> Option<Value> {
    match value {
        Value::Integer(_) | Value::Wide(_) => value.number()?.checked_add(1).map(Value::integer),
        Value::Gid(_) | Value::Ipv4(_) | Value::Ipv6(_) | Value::Mark(_) | Value::Port(_) | Value::Uid(_) => {
            Value::of_number(value.number()?.checked_add(1)?, value.data_type()?)
        }
        _ => None,
    }
}

/// A Rust type that is one value, and lists of it.
macro_rules! plain {
    ($($field:ty: $type:ty => $convert:expr;)*) => { $(
        impl From<$type> for Item<$field> {
            fn from(value: $type) -> Self {
                Item(Interval::point(($convert)(value)), std::marker::PhantomData)
            }
        }
        impl IntoOperand<$field> for $type {
            fn into_operand(self) -> Operand {
                Operand::Value(($convert)(self))
            }
        }
        lists!($field: $type);
    )* };
}

macro_rules! lists {
    ($field:ty: $type:ty) => {
        impl<const N: usize> IntoOperand<$field> for [$type; N] {
            fn into_operand(self) -> Operand {
                list(self.into_iter().map(|item| Item::<$field>::from(item).0))
            }
        }
        impl IntoOperand<$field> for Vec<$type> {
            fn into_operand(self) -> Operand {
                list(self.into_iter().map(|item| Item::<$field>::from(item).0))
            }
        }
    };
}

/// Types with ordered values: ranges, and lists of ranges.
macro_rules! ranged {
    ($($field:ty: $type:ty => $convert:expr;)*) => { $(
        impl From<RangeInclusive<$type>> for Item<$field> {
            fn from(range: RangeInclusive<$type>) -> Self {
                let (low, high) = range.into_inner();
                Item(Interval { low: ($convert)(low), high: ($convert)(high) }, std::marker::PhantomData)
            }
        }
        impl IntoOperand<$field> for RangeInclusive<$type> {
            fn into_operand(self) -> Operand {
                let (low, high) = self.into_inner();
                Operand::Range(($convert)(low), ($convert)(high))
            }
        }
        lists!($field: RangeInclusive<$type>);
    )* };
}

macro_rules! prefixed {
    ($($field:ty: $net:ty => $convert:expr;)*) => { $(
        impl From<$net> for Item<$field> {
            fn from(net: $net) -> Self {
                let interval = Interval { low: ($convert)(net.network()), high: ($convert)(net.broadcast()) };
                Item(interval, std::marker::PhantomData)
            }
        }
        impl IntoOperand<$field> for $net {
            fn into_operand(self) -> Operand {
                let address = ($convert)(self.network());
                if self.network() == self.broadcast() { Operand::Value(address) } else { Operand::Prefix(address, self.prefix()) }
            }
        }
        lists!($field: $net);
    )* };
}

macro_rules! with_mask {
    ($($field:ty: $type:ty => $convert:expr;)*) => { $(
        impl IntoOperand<$field> for Masked<$type> {
            fn into_operand(self) -> Operand {
                Operand::Masked { mask: ($convert)(self.mask), value: ($convert)(self.value) }
            }
        }
    )* };
}

/// A set of bits: any of them, or under a mask exactly these.
macro_rules! flags {
    ($($type:ty => $variant:ident;)*) => { $(
        impl IntoOperand<$type> for $type {
            fn into_operand(self) -> Operand {
                Operand::Flags(Value::$variant(self))
            }
        }
        impl From<$type> for Item<$type> {
            fn from(value: $type) -> Self {
                Item(Interval::point(Value::$variant(value)), std::marker::PhantomData)
            }
        }
        lists!($type: $type);
        with_mask! { $type: $type => Value::$variant; }
    )* };
}

/// One entry of a list for a field of type `T`: an item of a tuple.
#[derive(Debug)]
pub struct Item<T>(Interval, std::marker::PhantomData<T>);

/// Lists whose entries have different Rust types: `tcp_dport((22, 8000..=8080))`.
macro_rules! tuples {
    ($($($name:ident)+;)*) => { $(
        impl<T, $($name),+> IntoOperand<T> for ($($name,)+)
        where
            $(Item<T>: From<$name>,)+
        {
            fn into_operand(self) -> Operand {
                #[expect(non_snake_case, reason = "a value is named after its type")]
                let ($($name,)+) = self;
                list([$(Item::<T>::from($name).0),+].into_iter())
            }
        }
    )* };
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// Numbers with their meaning, where the Rust type alone does not say it.
///
/// A field says it, so that `Rule::new().mark(1)` takes a number; elements of a set have no field:
///
/// ```
/// use nftmesh::model::kind::{Mark, Uid};
/// use nftmesh::prelude::*;
///
/// let users = Set::map("users", [DataType::Uid], DataType::Mark).elements([Element::new(Uid(1000)).value(Mark(7))]);
/// assert_eq!(users.elements, [Element::new(Uid(1000)).value(Mark(7))]);
/// ```
pub mod kind {
    use super::Value;

    macro_rules! kinds {
        ($($(#[$doc:meta])* $name:ident($repr:ty);)*) => { $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
            #[expect(clippy::exhaustive_structs, reason = "a number")]
            pub struct $name(pub $repr);

            impl From<$name> for Value {
                fn from($name(number): $name) -> Self {
                    Value::$name(number)
                }
            }
        )* };
    }

    kinds! {
        /// Bits without names.
        Bitmask(u8);
        /// Whether something is so.
        Boolean(bool);
        /// A control group of version 2.
        CgroupV2(u64);
        /// A class of traffic control: the major number in the upper half.
        Classid(u32);
        /// A moment in nanoseconds since 1970.
        Date(u64);
        /// A group of interfaces.
        Devgroup(u32);
        /// A time span in milliseconds.
        Duration(u32);
        /// A group id.
        Gid(u32);
        /// A second of the day, in UTC.
        Hour(u32);
        /// An interface index.
        Ifindex(u32);
        /// A plain number.
        Integer(u32);
        /// A packet or connection mark.
        Mark(u32);
        /// A port.
        Port(u16);
        /// A realm of a route.
        Realm(u32);
        /// A user id.
        Uid(u32);
    }

    /// A plain number of up to 64 bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[expect(clippy::exhaustive_structs, reason = "a number")]
    pub struct Long(pub u64);

    impl From<Long> for Value {
        fn from(Long(number): Long) -> Self {
            Value::integer(number.into())
        }
    }

    /// A text.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[expect(clippy::exhaustive_structs, reason = "a text")]
    pub struct Text(pub String);

    impl From<Text> for Value {
        fn from(Text(text): Text) -> Self {
            Value::Text(text.into())
        }
    }
}

plain! {
    AddrType: AddrType => Value::AddrType;
    ArpOp: ArpOp => Value::ArpOp;
    CtDirection: CtDirection => Value::CtDirection;
    Day: Day => Value::Day;
    DccpType: DccpType => Value::DccpType;
    Dscp: Dscp => Value::Dscp;
    Ecn: Ecn => Value::Ecn;
    EtherAddr: EtherAddr => Value::EtherAddr;
    EtherType: EtherType => Value::EtherType;
    IcmpCode: IcmpCode => Value::IcmpCode;
    IcmpType: IcmpType => Value::IcmpType;
    Icmpv6Code: Icmpv6Code => Value::Icmpv6Code;
    Icmpv6Type: Icmpv6Type => Value::Icmpv6Type;
    IfaceType: IfaceType => Value::IfaceType;
    IgmpType: IgmpType => Value::IgmpType;
    IfName: IfName => Value::Ifname;
    IfName: &str => |name: &str| Value::Ifname(name.into());
    IfName: String => |name: String| Value::Ifname(name.into());
    Ipv4Addr: Ipv4Addr => Value::Ipv4;
    Ipv6Addr: Ipv6Addr => Value::Ipv6;
    MhType: MhType => Value::MhType;
    Nfproto: Nfproto => Value::Nfproto;
    PktType: PktType => Value::PktType;
    Protocol: Protocol => Value::Protocol;
    kind::Bitmask: u8 => Value::Bitmask;
    kind::Boolean: bool => Value::Boolean;
    kind::CgroupV2: u64 => Value::CgroupV2;
    kind::Classid: u32 => Value::Classid;
    kind::Date: u64 => Value::Date;
    kind::Devgroup: u32 => Value::Devgroup;
    kind::Duration: Duration => milliseconds;
    kind::Gid: u32 => Value::Gid;
    kind::Hour: u32 => Value::Hour;
    kind::Ifindex: u32 => Value::Ifindex;
    kind::Integer: u32 => Value::Integer;
    kind::Long: u64 => |number: u64| Value::integer(number.into());
    kind::Mark: u32 => Value::Mark;
    kind::Port: u16 => Value::Port;
    kind::Realm: u32 => Value::Realm;
    kind::Text: &str => |text: &str| Value::Text(text.into());
    kind::Uid: u32 => Value::Uid;
}

/// Returns a time span in the kernel's unit.
fn milliseconds(span: Duration) -> Value {
    Value::Duration(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
}

ranged! {
    Ipv4Addr: Ipv4Addr => Value::Ipv4;
    Ipv6Addr: Ipv6Addr => Value::Ipv6;
    Day: Day => Value::Day;
    Dscp: Dscp => Value::Dscp;
    kind::Classid: u32 => Value::Classid;
    kind::Date: u64 => Value::Date;
    kind::Devgroup: u32 => Value::Devgroup;
    kind::Duration: Duration => milliseconds;
    kind::Gid: u32 => Value::Gid;
    kind::Hour: u32 => Value::Hour;
    kind::Integer: u32 => Value::Integer;
    kind::Long: u64 => |number: u64| Value::integer(number.into());
    kind::Mark: u32 => Value::Mark;
    kind::Port: u16 => Value::Port;
    kind::Realm: u32 => Value::Realm;
    kind::Uid: u32 => Value::Uid;
}

impl From<PortRange> for Item<kind::Port> {
    fn from(PortRange { low, high }: PortRange) -> Self {
        Item::from(low..=high)
    }
}

impl IntoOperand<kind::Port> for PortRange {
    fn into_operand(self) -> Operand {
        list(std::iter::once(Item::<kind::Port>::from(self).0))
    }
}

lists!(kind::Port: PortRange);

prefixed! {
    Ipv4Addr: Ipv4Network => Value::Ipv4;
    Ipv6Addr: Ipv6Network => Value::Ipv6;
}

with_mask! {
    kind::Integer: u32 => Value::Integer;
    kind::Mark: u32 => Value::Mark;
}

flags! {
    CtLabel => CtLabel;
    CtState => CtState;
    CtStatus => CtStatus;
    TcpFlags => TcpFlags;
}
