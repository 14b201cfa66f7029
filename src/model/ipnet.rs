//! Prefixes of the crate ipnet, wherever one of ipnetwork can stand (feature `ipnet`).
//!
//! ```
//! use nftmesh::prelude::*;
//!
//! let net: ipnet::IpNet = "10.0.0.0/8".parse()?;
//! let v4: ipnet::Ipv4Net = "192.0.2.0/24".parse()?;
//! assert_eq!(Rule::new().saddr(net).drop().to_string(), "ip saddr 10.0.0.0/8 drop");
//! assert_eq!(Rule::new().ip_daddr([v4]).drop().to_string(), "ip daddr 192.0.2.0/24 drop");
//! let set = Set::new("nets", [DataType::Ipv4]).interval().elements([net]);
//! assert_eq!(set.elements.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use super::address::IntoAddress;
use super::element::Interval;
use super::field::Field;
use super::matches::Match;
use super::operand::{IntoOperand, Item, Operand};

fn v4(net: Ipv4Net) -> Ipv4Network {
    Ipv4Network::new(net.addr(), net.prefix_len()).expect("a prefix of 0 to 32 in both")
}

fn v6(net: Ipv6Net) -> Ipv6Network {
    Ipv6Network::new(net.addr(), net.prefix_len()).expect("a prefix of 0 to 128 in both")
}

fn either(net: IpNet) -> IpNetwork {
    match net {
        IpNet::V4(net) => IpNetwork::V4(v4(net)),
        IpNet::V6(net) => IpNetwork::V6(v6(net)),
    }
}

/// As the prefix of ipnetwork that it is.
macro_rules! prefixes {
    ($($type:ty => $convert:expr;)*) => { $(
        impl From<$type> for Interval {
            fn from(net: $type) -> Self {
                Interval::from($convert(net))
            }
        }

        impl IntoAddress for $type {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                $convert(self).into_match(ipv4, ipv6)
            }
        }

        impl<const N: usize> IntoAddress for [$type; N] {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                self.map($convert).into_match(ipv4, ipv6)
            }
        }

        impl IntoAddress for Vec<$type> {
            fn into_match(self, ipv4: Field, ipv6: Field) -> Match {
                self.into_iter().map($convert).collect::<Vec<_>>().into_match(ipv4, ipv6)
            }
        }
    )* };
}

prefixes! {
    IpNet => either;
    Ipv4Net => v4;
    Ipv6Net => v6;
}

/// For a field of one family.
macro_rules! operands {
    ($($field:ty: $type:ty => $convert:expr;)*) => { $(
        impl From<$type> for Item<$field> {
            fn from(net: $type) -> Self {
                Item::from($convert(net))
            }
        }

        impl IntoOperand<$field> for $type {
            fn into_operand(self) -> Operand {
                IntoOperand::<$field>::into_operand($convert(self))
            }
        }

        impl<const N: usize> IntoOperand<$field> for [$type; N] {
            fn into_operand(self) -> Operand {
                IntoOperand::<$field>::into_operand(self.map($convert))
            }
        }

        impl IntoOperand<$field> for Vec<$type> {
            fn into_operand(self) -> Operand {
                IntoOperand::<$field>::into_operand(self.into_iter().map($convert).collect::<Vec<_>>())
            }
        }
    )* };
}

operands! {
    Ipv4Addr: Ipv4Net => v4;
    Ipv6Addr: Ipv6Net => v6;
}
