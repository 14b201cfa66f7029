//! Matches: a field, an operator, an operand. The functions here and the methods of [`Rule`] have
//! the same names.

use std::net::{Ipv4Addr, Ipv6Addr};

pub use super::address::{daddr, saddr};
use super::field::{Field, field_table};
use super::name::IfName;
use super::operand::{IntoOperand, Operand, SetRef, kind};
pub use super::operand::{anonymous, masked, set};
use super::rule::Rule;
use super::statement::Statement;
use super::value::{
    AddrType, CtDirection, CtState, CtStatus, IcmpType, Icmpv6Type, Nfproto, PktType, Protocol, TcpFlags, Value,
};

/// A comparison; a rule goes on to its next statement only when it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a comparison has these three parts")]
pub struct Match {
    /// What is looked at.
    pub selector: Selector,
    /// How it is compared.
    pub op: Op,
    /// What it is compared with.
    pub operand: Operand,
}

/// One field, or several as one key: `ip saddr . tcp dport`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "one field or several")]
pub enum Selector {
    /// Several fields, looked up together in a set whose key is as many values.
    Concat(Box<[Field]>),
    /// One field.
    Field(Field),
}

impl Selector {
    /// The fields, in the order of the key.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match self {
            Selector::Concat(fields) => fields,
            Selector::Field(field) => std::slice::from_ref(field),
        }
    }
}

impl From<Field> for Selector {
    fn from(field: Field) -> Self {
        Selector::Field(field)
    }
}

impl<const N: usize> From<[Field; N]> for Selector {
    fn from(fields: [Field; N]) -> Self {
        match fields.as_slice() {
            [field] => Selector::Field(*field),
            several => Selector::Concat(several.into()),
        }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the operators of nft_cmp")]
pub enum Op {
    /// Is it, or is in it.
    Eq,
    /// Greater than or equal.
    Ge,
    /// Greater than.
    Gt,
    /// Less than or equal.
    Le,
    /// Less than.
    Lt,
    /// Is not it, or is not in it.
    Ne,
}

impl Match {
    /// `field op operand`.
    pub fn new(selector: impl Into<Selector>, op: Op, operand: Operand) -> Self {
        Match { selector: selector.into(), op, operand }
    }
}

/// The opposite: `not(daddr(loopback))` is `ip daddr != 127.0.0.0/8`.
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

/// Greater than: `gt(length(1400))` is `meta length > 1400`. The operand has to be one value.
#[must_use]
pub fn gt(matches: Match) -> Match {
    Match { op: Op::Gt, ..matches }
}

/// Greater than or equal: `ge(skuid(1000))` is `meta skuid >= 1000`. The operand has to be one
/// value.
#[must_use]
pub fn ge(matches: Match) -> Match {
    Match { op: Op::Ge, ..matches }
}

/// Less than: `lt(th_dport(1024))` is `th dport < 1024`. The operand has to be one value.
#[must_use]
pub fn lt(matches: Match) -> Match {
    Match { op: Op::Lt, ..matches }
}

/// Less than or equal: `le(th_dport(1023))` is `th dport <= 1023`. The operand has to be one value.
#[must_use]
pub fn le(matches: Match) -> Match {
    Match { op: Op::Le, ..matches }
}

/// Several fields looked up together: `concat([Field::IpSaddr, Field::TcpDport], set("allowed"))`.
pub fn concat<const N: usize>(fields: [Field; N], set: SetRef) -> Match {
    Match::new(fields, Op::Eq, Operand::Set(set))
}

/// The packet belongs to a socket of this host, so that its owner is known: `meta skuid >= 0`.
///
/// A packet without one matches neither this nor its opposite; put the rule for those behind.
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

        /// Matches. Each has the name of a function of [`matches`](crate::prelude::matches), which
        /// makes the same match for [`Rule::not`].
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

    /// The packet belongs to a socket of this host; see [`socket_exists`].
    #[must_use]
    pub fn socket_exists(self) -> Self {
        self.matches(socket_exists())
    }
}
