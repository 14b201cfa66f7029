//! Addresses of either family; the field that a value belongs to follows from the value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::data_type::DataType;
use super::element::Interval;
use super::field::Field;
use super::matches::{Match, Op};
use super::operand::{IntoOperand, Operand, SetRef, list};
use super::rule::Rule;
use super::set::Set;
use super::value::Value;

/// An operand of [`daddr`] and [`saddr`]: an address, a prefix, a range, a list of those, or a
/// [`Set`] of addresses.
///
/// The value determines whether the match is IPv4 or IPv6. A list has one family; one that mixes
/// them does not validate. The name of a set alone has no family: use
/// [`ip_daddr`](super::ip_daddr) or [`ip6_daddr`](super::ip6_daddr) with [`set()`](super::set()).
///
/// ```
/// use nftmesh::model::{DataType, Rule, Set};
///
/// let blocked = Set::new("blocked", [DataType::Ipv6]).interval();
/// let gateway = std::net::Ipv4Addr::new(10, 0, 0, 1);
/// assert_eq!(Rule::new().saddr(gateway).drop().to_string(), "ip saddr 10.0.0.1 drop");
/// assert_eq!(Rule::new().saddr(&blocked).drop().to_string(), "ip6 saddr @blocked drop");
/// assert_eq!(Rule::new().daddr([gateway, gateway]).accept().to_string(), "ip daddr 10.0.0.1 accept");
/// ```
pub trait IntoAddress {
    /// Returns the comparison with the field of the value's family.
    fn into_match(self, ipv4: Field, ipv6: Field) -> Match;
}

/// Compares the destination address, IPv4 or IPv6 by the operand.
pub fn daddr(address: impl IntoAddress) -> Match {
    address.into_match(Field::IpDaddr, Field::Ip6Daddr)
}

/// Compares the source address, IPv4 or IPv6 by the operand.
pub fn saddr(address: impl IntoAddress) -> Match {
    address.into_match(Field::IpSaddr, Field::Ip6Saddr)
}

impl Rule {
    /// Compares the destination address, IPv4 or IPv6 by the operand.
    #[must_use]
    pub fn daddr(self, address: impl IntoAddress) -> Self {
        self.matches(daddr(address))
    }

    /// Compares the source address, IPv4 or IPv6 by the operand.
    #[must_use]
    pub fn saddr(self, address: impl IntoAddress) -> Self {
        self.matches(saddr(address))
    }
}

fn of_family(value: &Value, ipv4: Field, ipv6: Field) -> Field {
    if matches!(value, Value::Ipv6(_)) { ipv6 } else { ipv4 }
}

fn compare(interval: Interval, ipv4: Field, ipv6: Field) -> Match {
    Match::new(of_family(&interval.low, ipv4, ipv6), Op::Eq, interval.into_operand())
}

fn compare_all(intervals: Vec<Interval>, ipv4: Field, ipv6: Field) -> Match {
    let field = intervals.first().map_or(ipv4, |first| of_family(&first.low, ipv4, ipv6));
    Match::new(field, Op::Eq, list(intervals.into_iter()))
}

/// Types that are one interval of addresses, and lists of them.
macro_rules! addresses {
    ($($type:ty,)*) => { $(
        impl IntoAddress for $type {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                compare(self.into(), ipv4, ipv6)
            }
        }
        impl<const N: usize> IntoAddress for [$type; N] {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                compare_all(self.into_iter().map(Into::into).collect(), ipv4, ipv6)
            }
        }
        impl IntoAddress for Vec<$type> {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                compare_all(self.into_iter().map(Into::into).collect(), ipv4, ipv6)
            }
        }
    )* };
}

addresses! {
    IpAddr,
    IpNetwork,
    Ipv4Addr,
    Ipv4Network,
    Ipv6Addr,
    Ipv6Network,
    RangeInclusive<IpAddr>,
    RangeInclusive<Ipv4Addr>,
    RangeInclusive<Ipv6Addr>,
}

/// Uses the set by its name, and its key for the family. A set of another type does not validate.
impl IntoAddress for &Set {
    fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
        let field = if self.key == [DataType::Ipv6] { ipv6 } else { ipv4 };
        Match::new(field, Op::Eq, Operand::Set(SetRef::Named(self.name.clone())))
    }
}

/// Uses a set by its name, for a field of its type.
impl<T> IntoOperand<T> for &Set {
    fn into_operand(self) -> Operand {
        Operand::Set(SetRef::Named(self.name.clone()))
    }
}
