//! Settings without effect, as values: the library prints nothing.

use std::fmt;
use std::net::IpAddr;

use crate::error::Quoted;

/// Something that was given without effect, or requested and not possible; prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// A comma-separated list has empty items.
    EmptyItem {
        /// The option as it was given.
        option: String,
        /// Its value.
        value: String,
    },
    /// IPv6 ranges were given while IPv6 is off.
    Ipv6RangesIgnored {
        /// The option as it was given.
        option: String,
        /// How many ranges.
        count: usize,
    },
    /// This many further lines of `resolv.conf` have no readable address.
    MoreNameservers {
        /// How many lines.
        count: usize,
    },
    /// A nameserver has an IPv6 address while IPv6 is off.
    NameserverIgnored(IpAddr),
    /// A nameserver line of `resolv.conf` has no readable address.
    NameserverUnreadable(String),
    /// The option was given and changes nothing.
    NoEffect {
        /// The option as it was given.
        option: String,
        /// Why.
        reason: &'static str,
    },
    /// The pod has only loopback and link-local addresses, so IPv6 is off.
    NoPodAddress,
    /// DNS capture was requested and is off: no nameserver is known, and not all DNS is captured.
    NoNameserver,
    /// `$ENVOY_USER` names a user that does not exist; uid 1337 is used.
    NoSuchProxyUser(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::EmptyItem { option, value } => write!(f, "{option} {}: empty items ignored", Quoted(value)),
            Warning::Ipv6RangesIgnored { option, count } => {
                write!(f, "{option}: {count} IPv6 range(s) ignored, the pod has no IPv6")
            }
            Warning::NameserverIgnored(address) => write!(f, "nameserver {address}: ignored, the pod has no IPv6"),
            Warning::MoreNameservers { count } => write!(f, "{count} more nameserver lines ignored, not addresses"),
            Warning::NameserverUnreadable(text) => {
                write!(f, "nameserver {}: ignored, not an address", Quoted(text))
            }
            Warning::NoEffect { option, reason } => write!(f, "{option}: no effect, {reason}"),
            Warning::NoPodAddress => {
                write!(f, "IPv6 is off: no address of the pod is known yet; apply again once it has its addresses")
            }
            Warning::NoNameserver => {
                write!(
                    f,
                    "DNS capture is off: no usable nameserver is known; give --capture-all-dns to capture all DNS"
                )
            }
            Warning::NoSuchProxyUser(name) => {
                write!(f, "ENVOY_USER {}: no such user, uid 1337 is the proxy", Quoted(name))
            }
        }
    }
}
