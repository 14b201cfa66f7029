//! Matches: a field, an operator, an operand. The functions here have the same names as the
//! methods of [`Rule`].

use std::net::{Ipv4Addr, Ipv6Addr};

pub use super::address::{daddr, saddr};
use super::field::{Field, field_table};
use super::name::IfName;
use super::operand::{IntoOperand, Operand, SetRef, kind};
pub use super::operand::{anonymous, masked, set};
pub use super::parameters::{
    ct_directed, exists, exthdr, fib_exists, fib_missing, fib_oif, fib_oifname, fib_type, ipsec, missing, numgen, osf,
    payload, socket_cgroup, symhash,
};
use super::rule::Rule;
use super::selector::Selector;
use super::statement::Statement;
use super::value::{
    AddrType, ArpOp, CtDirection, CtLabel, CtState, CtStatus, Day, DccpType, Dscp, Ecn, EtherAddr, EtherType, IcmpCode,
    IcmpType, Icmpv6Code, Icmpv6Type, IfaceType, IgmpType, Nfproto, PktType, Protocol, TcpFlags, Value,
};

/// A comparison; the rule continues with its next statement only if it holds.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a comparison has these three parts")]
pub struct Match {
    /// The field or fields.
    pub selector: Selector,
    /// The operator.
    pub op: Op,
    /// The operand.
    pub operand: Operand,
}

/// How a field is compared.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the operators of nft_cmp")]
pub enum Op {
    /// Equal, or in the set, range or prefix.
    Eq,
    /// Greater than or equal.
    Ge,
    /// Greater than.
    Gt,
    /// Less than or equal.
    Le,
    /// Less than.
    Lt,
    /// Not equal, or not in the set, range or prefix.
    Ne,
}

impl Match {
    /// Creates a match `field op operand`.
    pub fn new(selector: impl Into<Selector>, op: Op, operand: Operand) -> Self {
        Match { selector: selector.into(), op, operand }
    }
}

/// Returns the opposite: `not(daddr(loopback))` is `ip daddr != 127.0.0.0/8`.
///
/// A packet without that field (another protocol, no socket) matches neither a match nor its
/// opposite.
#[must_use]
pub fn not(mut matches: Match) -> Match {
    matches.op = match matches.op {
        Op::Eq => Op::Ne,
        Op::Ge => Op::Lt,
        Op::Gt => Op::Le,
        Op::Le => Op::Gt,
        Op::Lt => Op::Ge,
        Op::Ne => Op::Eq,
    };
    matches
}

/// Compares by greater than: `gt(length(1400))` is `meta length > 1400`. The operand must be one
/// value.
#[must_use]
pub fn gt(matches: Match) -> Match {
    Match { op: Op::Gt, ..matches }
}

/// Compares by greater than or equal: `ge(skuid(1000))` is `meta skuid >= 1000`. The operand must
/// be one value.
#[must_use]
pub fn ge(matches: Match) -> Match {
    Match { op: Op::Ge, ..matches }
}

/// Compares by less than: `lt(th_dport(1024))` is `th dport < 1024`. The operand must be one
/// value.
#[must_use]
pub fn lt(matches: Match) -> Match {
    Match { op: Op::Lt, ..matches }
}

/// Compares by less than or equal: `le(th_dport(1023))` is `th dport <= 1023`. The operand must be
/// one value.
#[must_use]
pub fn le(matches: Match) -> Match {
    Match { op: Op::Le, ..matches }
}

/// Looks several fields up together: `concat([Field::IpSaddr, Field::TcpDport], set("allowed"))`.
pub fn concat<const N: usize>(fields: [Field; N], set: SetRef) -> Match {
    Match::new(fields, Op::Eq, Operand::Set(set))
}

/// Matches a packet of a socket of this host, whose owner is known: `meta skuid >= 0`.
///
/// A packet without a socket matches neither this nor its opposite; put the rule for such packets
/// after it.
#[must_use]
pub fn socket_exists() -> Match {
    Match::new(Field::Skuid, Op::Ge, Operand::Value(Value::Uid(0)))
}

/// A function per field, and the method of [`Rule`] that adds the same match.
macro_rules! methods {
    ($($field:ident $name:ident($kind:ty) $words:literal: $type:ident $({ bytes: $bytes:literal })?,
        $protocol:ident $load:ident($($from:tt)*), $doc:literal $(, $alias:literal)?;)*) => {
        $(
            #[doc = concat!($doc, " (`", $words, "`).")]
            pub fn $name(operand: impl IntoOperand<$kind>) -> Match {
                Match::new(Field::$field, Op::Eq, operand.into_operand())
            }
        )*

        /// Matches. Each method has the name of a function of
        /// [`matches`](crate::prelude::matches), which creates the same match for [`Rule::not`].
        impl Rule {
            $(
                #[doc = concat!($doc, " (`", $words, "`).")]
                #[must_use]
                pub fn $name(self, operand: impl IntoOperand<$kind>) -> Self {
                    self.matches($name(operand))
                }
            )*
        }
    };
}

field_table!(methods);

impl Rule {
    /// Adds any match.
    #[must_use]
    pub fn matches(self, matches: Match) -> Self {
        self.statement(Statement::Match(matches))
    }

    /// Adds the opposite of a match: `Rule::new().not(daddr(loopback))`.
    #[must_use]
    pub fn not(self, matches: Match) -> Self {
        self.matches(not(matches))
    }

    /// Matches a packet of a socket of this host; see [`socket_exists`].
    #[must_use]
    pub fn socket_exists(self) -> Self {
        self.matches(socket_exists())
    }
}
