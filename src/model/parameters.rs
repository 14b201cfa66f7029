//! Matches of fields with parameters, as functions and as methods of [`Rule`].

use super::field::{
    CtDirected, Exthdr, Fib, FibKey, FibResult, Field, Ipsec, Numgen, Osf, RawPayload, SocketCgroup, Symhash,
};
use super::matches::{Match, Op};
use super::name::IfName;
use super::operand::{IntoOperand, Operand, kind};
use super::rule::Rule;
use super::value::{AddrType, Value};

/// A function per field, and the method of [`Rule`] that adds the same match.
macro_rules! parameters {
    ($($doc:literal $name:ident($($parameter:ident: $type:ty),*)($kind:ty) => $field:expr;)*) => {
        $(
            #[doc = $doc]
            pub fn $name($($parameter: $type,)* operand: impl IntoOperand<$kind>) -> Match {
                Match::new(Field::from($field), Op::Eq, operand.into_operand())
            }
        )*

        /// Matches of fields with parameters. Each method has the name of a function of
        /// [`matches`](crate::prelude::matches), which creates the same match for [`Rule::not`].
        impl Rule {
            $(
                #[doc = $doc]
                #[must_use]
                pub fn $name(self, $($parameter: $type,)* operand: impl IntoOperand<$kind>) -> Self {
                    self.matches($name($($parameter,)* operand))
                }
            )*
        }
    };
}

parameters! {
    "A part of an extension header, option or chunk: `tcp option maxseg size 1360`."
    exthdr(part: Exthdr)(kind::Integer) => part;
    "Index of the interface of the route: `fib saddr . iif oif 2`; 0 without a route."
    fib_oif(key: FibKey)(kind::Ifindex) => Fib { key, result: FibResult::Oif };
    "Name of the interface of the route: `fib saddr . iif oifname \"eth0\"`."
    fib_oifname(key: FibKey)(IfName) => Fib { key, result: FibResult::Oifname };
    "What the routing tables say of the address: `fib daddr . iif type local`."
    fib_type(key: FibKey)(AddrType) => Fib { key, result: FibResult::Type };
    "A property of the transformation (IPsec) with a number: `ipsec in reqid 1`."
    ipsec(of: Ipsec)(kind::Integer) => of;
    "A number that counts up or is random: `numgen random mod 10 0-4`."
    numgen(of: Numgen)(kind::Integer) => of;
    "The operating system that sent a SYN: `osf name \"Linux\"`."
    osf(of: Osf)(kind::Text) => of;
    "Bytes of a header by their place: `@th,400,16 0x0`."
    payload(of: RawPayload)(kind::Integer) => of;
    "An ancestor of the control group of the packet's socket: `socket cgroupv2 level 1 42`."
    socket_cgroup(of: SocketCgroup)(kind::CgroupV2) => of;
    "A hash that is the same in both directions of the connection: `symhash mod 2 1`."
    symhash(of: Symhash)(kind::Integer) => of;
}

/// Compares a property of one direction of the connection: `ct original ip saddr 10.0.0.1`.
pub fn ct_directed(of: CtDirected, value: impl Into<Value>) -> Match {
    Match::new(Field::from(of), Op::Eq, Operand::Value(value.into()))
}

/// Matches if there is a route: `fib saddr . iif oif exists`.
#[must_use]
pub fn fib_exists(key: FibKey) -> Match {
    presence(Fib { key, result: FibResult::Exists }, 1)
}

/// Matches if there is no route: `fib saddr . iif oif missing`.
#[must_use]
pub fn fib_missing(key: FibKey) -> Match {
    presence(Fib { key, result: FibResult::Exists }, 0)
}

/// Matches if the header, option or chunk is there: `exthdr frag exists`.
#[must_use]
pub fn exists(part: Exthdr) -> Match {
    presence(part, 1)
}

/// Matches if the header, option or chunk is not there: `tcp option sack missing`.
#[must_use]
pub fn missing(part: Exthdr) -> Match {
    presence(part, 0)
}

fn presence(field: impl Into<Field>, there: u32) -> Match {
    Match::new(field.into(), Op::Eq, Operand::Value(Value::Integer(there)))
}

impl Rule {
    /// Compares a property of one direction of the connection; see [`ct_directed`].
    #[must_use]
    pub fn ct_directed(self, of: CtDirected, value: impl Into<Value>) -> Self {
        self.matches(ct_directed(of, value))
    }

    /// Matches if there is a route; see [`fib_exists`].
    #[must_use]
    pub fn fib_exists(self, key: FibKey) -> Self {
        self.matches(fib_exists(key))
    }

    /// Matches if there is no route; see [`fib_missing`].
    #[must_use]
    pub fn fib_missing(self, key: FibKey) -> Self {
        self.matches(fib_missing(key))
    }

    /// Matches if the header, option or chunk is there; see [`exists`].
    #[must_use]
    pub fn exists(self, part: Exthdr) -> Self {
        self.matches(exists(part))
    }

    /// Matches if the header, option or chunk is not there; see [`missing`].
    #[must_use]
    pub fn missing(self, part: Exthdr) -> Self {
        self.matches(missing(part))
    }
}
