//! Meters: a state for every key that packets have, kept by the rule itself.

use std::time::Duration;

use super::name::Name;
use super::rule::Rule;
use super::selector::Selector;
use super::statement::Statement;

/// Counts or limits packets for each key: `meter ssh size 65535 { ip saddr limit rate 5/second }`.
///
/// The keys are in a set that belongs to the rule and disappears with it. For a set that several
/// rules use, see [`Update`](super::Update).
///
/// ```
/// use nftmesh::model::{Field, Limit, LimitUnit, Meter};
/// use nftmesh::prelude::*;
///
/// let each = Meter::new("ssh", Field::IpSaddr, Statement::Limit(Limit::packets(5, LimitUnit::Second)));
/// let rule = Rule::new().tcp_dport(22).meter(each).accept();
/// assert_eq!(rule.to_string(), "tcp dport 22 meter ssh { ip saddr limit rate 5/second } accept");
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_dynset with a set of its own")]
pub struct Meter {
    /// The name, which no set and no other meter of the table has.
    pub name: Name,
    /// The most keys that it holds; the kernel's 65,535 if absent.
    pub size: Option<u32>,
    /// The key.
    pub key: Selector,
    /// Time after which a key without packets is forgotten; never if absent.
    pub timeout: Option<Duration>,
    /// What each key has: a counter, a limit, a quota or a number of connections.
    pub statement: Box<Statement>,
}

impl Meter {
    /// Creates a meter.
    pub fn new(name: impl Into<Name>, key: impl Into<Selector>, statement: Statement) -> Self {
        Meter { name: name.into(), size: None, key: key.into(), timeout: None, statement: Box::new(statement) }
    }

    /// Sets the most keys that it holds.
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// Forgets a key after this time without packets.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Rule {
    /// Counts or limits packets for each key; see [`Meter`].
    #[must_use]
    pub fn meter(self, meter: Meter) -> Self {
        self.statement(Statement::Meter(meter))
    }
}
