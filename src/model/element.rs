//! Elements of sets, maps and verdict maps: their keys, and what they map to.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnetwork::IpNetwork;

use super::name::Name;
use super::opaque::Kept;
use super::operand::Operand;
use super::statement::{Statement, Verdict};
use super::value::Value;

/// An element of a set, map or verdict map.
///
/// A number of 16 bits is a port; any other needs its meaning: [`kind::Mark`](super::kind::Mark),
/// [`kind::Integer`](super::kind::Integer).
///
/// Whatever can be a key is an element without a timeout: an address, prefix, range or port, or a
/// tuple for a key of several fields.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Element {
    /// The key.
    pub key: Key,
    /// What it maps to; none in a set.
    pub data: Option<Box<ElementData>>,
    /// The time until it expires.
    pub timeout: Option<Duration>,
    /// Its comment.
    pub comment: Option<Box<str>>,
    /// Rare properties.
    pub(crate) extra: Option<Box<Extra>>,
}

/// Rare properties of elements; separate, so that a hundred thousand elements without them are
/// small.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Extra {
    /// The statements it carries.
    pub(crate) statements: Vec<Statement>,
    /// Further data read with it.
    pub(crate) kept: Kept,
}

/// What an element maps to.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an object, a value or a verdict")]
pub enum ElementData {
    /// The name of an object, in a map to objects.
    Object(Name),
    /// A value, in a map.
    Value(Value),
    /// A verdict, in a verdict map.
    Verdict(Verdict),
}

/// Key of an element.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one value or several")]
pub enum Key {
    /// Several values or intervals, one for each type of the set's key.
    Concat(Box<[Interval]>),
    /// One value or interval.
    Single(Interval),
}

impl Key {
    /// Returns its parts, in the order of the set's key; none for the element of every other key.
    #[must_use]
    pub fn parts(&self) -> &[Interval] {
        match self {
            Key::Concat(parts) => parts,
            Key::Single(interval) => std::slice::from_ref(interval),
        }
    }

    /// Returns whether any part is more than one value.
    #[must_use]
    pub fn is_interval(&self) -> bool {
        self.parts().iter().any(|part| !part.is_point())
    }
}

/// All values from `low` to `high`, both included; one value when they are equal.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "two ends")]
pub struct Interval {
    /// The lowest value.
    pub low: Value,
    /// The highest value.
    pub high: Value,
}

impl Interval {
    /// Creates an interval from `low` to `high`, both included.
    pub fn new(low: impl Into<Value>, high: impl Into<Value>) -> Self {
        Interval { low: low.into(), high: high.into() }
    }

    /// Creates an interval of one value.
    #[must_use]
    pub fn point(value: Value) -> Self {
        Interval { low: value.clone(), high: value }
    }

    /// Returns whether it is one value; an interface prefix such as `veth*` is not.
    #[must_use]
    pub fn is_point(&self) -> bool {
        let prefix = matches!(&self.low, Value::Ifname(name) if name.prefix().is_some());
        self.low == self.high && !prefix
    }

    /// Returns the prefix length if this is a prefix, as in `10.0.0.0/8`.
    #[must_use]
    pub fn prefix_len(&self) -> Option<u8> {
        let (low, high, width) = match (&self.low, &self.high) {
            (Value::Ipv4(low), Value::Ipv4(high)) => (u128::from(low.to_bits()), u128::from(high.to_bits()), 32),
            (Value::Ipv6(low), Value::Ipv6(high)) => (low.to_bits(), high.to_bits(), 128),
            _ => return None,
        };
        let host = low ^ high;
        let aligned = host & host.wrapping_add(1) == 0 && low & host == 0;
        let host_bits = 128 - host.leading_zeros();
        aligned.then(|| u8::try_from(width - host_bits).ok()).flatten()
    }

    /// Returns the prefix if this is one of addresses, as in `10.0.0.0/8`; a single address is one
    /// of full length.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let network: IpNetwork = "10.0.0.0/8".parse().expect("a prefix");
    /// let element = Element::new(network); // or one that was read
    /// let networks: Vec<IpNetwork> = element.key.parts().iter().filter_map(|part| part.network()).collect();
    /// assert_eq!(networks, [network]);
    /// ```
    #[doc(alias("cidr", "prefix"))]
    #[must_use]
    pub fn network(&self) -> Option<IpNetwork> {
        let address = match self.low {
            Value::Ipv4(low) => IpAddr::V4(low),
            Value::Ipv6(low) => IpAddr::V6(low),
            _ => return None,
        };
        IpNetwork::new(address, self.prefix_len()?).ok()
    }

    /// Converts to the right-hand side of a match.
    pub(crate) fn into_operand(self) -> Operand {
        match self.prefix_len() {
            _ if self.low == self.high => Operand::Value(self.low),
            Some(length) => Operand::Prefix(self.low, length),
            None => Operand::Range(self.low, self.high),
        }
    }
}

impl Element {
    /// Creates an element of a set.
    pub fn new(key: impl Into<Key>) -> Self {
        Element { key: key.into(), data: None, timeout: None, comment: None, extra: None }
    }

    /// Creates the element for every key that no other has: `*`.
    #[must_use]
    pub fn catch_all() -> Self {
        Element::new(Key::Concat(Box::default()))
    }

    /// Sets the value, in a map.
    #[must_use]
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.data = Some(Box::new(ElementData::Value(value.into())));
        self
    }

    /// Sets the name of the object, in a map to objects.
    #[must_use]
    pub fn object(mut self, name: impl Into<Name>) -> Self {
        self.data = Some(Box::new(ElementData::Object(name.into())));
        self
    }

    /// Sets the verdict, in a verdict map.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.data = Some(Box::new(ElementData::Verdict(verdict)));
        self
    }

    /// Continues in another chain without returning, in a verdict map: `: goto chain`.
    #[must_use]
    pub fn goto(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Goto(chain.into()))
    }

    /// Continues in another chain and returns, in a verdict map: `: jump chain`.
    #[must_use]
    pub fn jump(self, chain: impl Into<Name>) -> Self {
        self.verdict(Verdict::Jump(chain.into()))
    }

    /// Sets the time until it expires.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into().into());
        self
    }

    /// Adds a statement that it carries: a counter with its current count, a limit.
    #[must_use]
    pub fn statement(mut self, statement: Statement) -> Self {
        self.extra.get_or_insert_default().statements.push(statement);
        self
    }

    /// Returns the statements it carries: counters with their current counts, limits.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        self.extra.as_deref().map_or(&[], |extra| &extra.statements)
    }

    /// Returns whether it is only a key.
    pub(crate) fn is_bare(&self) -> bool {
        let Element { key: _, data, timeout, comment, extra } = self;
        data.is_none() && timeout.is_none() && comment.is_none() && extra.is_none()
    }
}

impl<K: Into<Key>> From<K> for Element {
    fn from(key: K) -> Self {
        Element::new(key)
    }
}

impl<I: Into<Interval>> From<I> for Key {
    fn from(interval: I) -> Self {
        Key::Single(interval.into())
    }
}

impl<const N: usize> From<[Value; N]> for Key {
    fn from(values: [Value; N]) -> Self {
        Key::Concat(values.into_iter().map(Interval::point).collect())
    }
}

impl<const N: usize> From<[Interval; N]> for Key {
    fn from(parts: [Interval; N]) -> Self {
        Key::Concat(parts.into())
    }
}

/// Concatenations: `Key::from((Ipv4Addr::LOCALHOST, Protocol::TCP, 80))`.
macro_rules! concatenations {
    ($($($name:ident)+;)*) => { $(
        impl<$($name: Into<Interval>),+> From<($($name,)+)> for Key {
            fn from(parts: ($($name,)+)) -> Self {
                #[expect(non_snake_case, reason = "a value is named after its type")]
                let ($($name,)+) = parts;
                Key::Concat(Box::new([$($name.into()),+]))
            }
        }
    )* };
}

concatenations! {
    A B;
    A B C;
    A B C D;
    A B C D E;
}

impl<V: Into<Value>> From<V> for Interval {
    fn from(value: V) -> Self {
        Interval::point(value.into())
    }
}

impl<V: Into<Value>> From<RangeInclusive<V>> for Interval {
    fn from(range: RangeInclusive<V>) -> Self {
        let (low, high) = range.into_inner();
        Interval::new(low, high)
    }
}

/// Types of prefixes.
macro_rules! prefixes {
    ($($type:ty,)*) => { $(
        impl From<$type> for Interval {
            fn from(net: $type) -> Self {
                Interval::new(net.network(), net.broadcast())
            }
        }
    )* };
}

prefixes! {
    ipnetwork::IpNetwork,
    ipnetwork::Ipv4Network,
    ipnetwork::Ipv6Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_len_is_some_exactly_for_intervals_that_are_prefixes() {
        let cases =
            [("10.0.0.0/8", 8), ("0.0.0.0/0", 0), ("1.2.3.4/32", 32), ("fd00::/8", 8), ("::/0", 0), ("::1/128", 128)];
        for (text, length) in cases {
            let net: ipnetwork::IpNetwork = text.parse().expect("a network");
            assert_eq!(Interval::from(net).prefix_len(), Some(length), "{text}");
        }
        let v4 = |text: &str| Value::Ipv4(text.parse().expect("an address"));
        assert_eq!(Interval { low: v4("10.0.0.1"), high: v4("10.0.0.2") }.prefix_len(), None);
        assert_eq!(Interval { low: v4("10.0.0.1"), high: v4("10.0.0.4") }.prefix_len(), None);
        assert_eq!(Interval { low: Value::Port(0), high: Value::Port(1) }.prefix_len(), None);
    }
}
