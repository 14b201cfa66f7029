//! Sets, maps and verdict maps.

use std::time::Duration;

use super::action::ObjectKind;
use super::data_type::DataType;
use super::element::Element;
use super::name::Name;
use super::opaque::{Kept, Opaque};
use super::statement::Statement;

/// A named set, map or verdict map of a table.
///
/// ```
/// use std::net::Ipv4Addr;
/// use std::time::Duration;
///
/// use nftmesh::prelude::*;
///
/// let blocked = Set::new("blocked", [DataType::Ipv4])
///     .interval() // so that elements can be prefixes and ranges
///     .timeout(Duration::from_secs(3600))
///     .elements(["192.0.2.0/24".parse::<Ipv4Network>().expect("a prefix")]);
/// let published = Set::map("published", [DataType::Port], DataType::Ipv4)
///     .elements([Element::new(8080).value(Ipv4Addr::new(10, 0, 0, 2))]);
/// let services = Set::verdict_map("services", [DataType::Ipv4, DataType::Port])
///     .elements([Element::new((Ipv4Addr::new(10, 96, 0, 1), 443)).jump("web")]);
///
/// let drop = Rule::new().saddr(&blocked).drop();
/// let dispatch = Rule::new().vmap([Field::IpDaddr, Field::TcpDport], matches::set("services"));
/// let chains = [Chain::regular("web"), Chain::regular("c").rule(drop).rule(dispatch)];
/// let table = [blocked, published, services].into_iter().fold(Table::new(Family::Inet, "t"), Table::set);
/// Ruleset::new().table(chains.into_iter().fold(table, Table::chain)).validate()?;
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Set {
    /// Its name, unique in the table.
    pub name: Name,
    /// Type of the key; several for a concatenation.
    pub key: Vec<DataType>,
    /// What an element maps to.
    pub data: SetData,
    /// Its properties.
    pub flags: SetFlags,
    /// The time until an element expires, unless the element has its own.
    pub timeout: Option<Duration>,
    /// How often expired elements are collected.
    pub gc_interval: Option<Duration>,
    /// The most elements it may hold.
    pub size: Option<u32>,
    /// What the kernel optimises for when it chooses an implementation.
    pub policy: SetPolicy,
    /// The statements that every element carries: a counter, a limit. They run whenever the
    /// element is found, and the rule continues if they hold.
    pub statements: Vec<Statement>,
    /// Its comment.
    pub comment: Option<String>,
    /// Its elements.
    pub elements: Vec<Element>,
    /// What it was read from, if the model cannot represent it; all fields but the name are then
    /// only informative.
    pub(crate) opaque: Option<Opaque>,
    /// Further data read with it.
    pub(crate) kept: Kept,
}

/// What the kernel optimises for when it chooses the implementation of a set (`NFT_SET_POL_*`,
/// include/uapi/linux/netfilter/nf_tables.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the policies of nf_tables")]
pub enum SetPolicy {
    /// Little memory: `policy memory`.
    Memory,
    /// Fast lookups.
    #[default]
    Performance,
}

/// What the elements of a set map to.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "set, map, map to objects and verdict map are all there are")]
pub enum SetData {
    /// Nothing: a set.
    None,
    /// A named object of that kind: a map to objects.
    Object(ObjectKind),
    /// A value of that type: a map.
    Value(DataType),
    /// A verdict: a verdict map.
    Verdict,
}

bitflags::bitflags! {
    /// Properties of a set (`NFT_SET_*`, include/uapi/linux/netfilter/nf_tables.h).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct SetFlags: u32 {
        /// Its elements never change.
        const CONSTANT = 0x2;
        /// Its elements are intervals.
        const INTERVAL = 0x4;
        /// Its elements may expire.
        const TIMEOUT = 0x10;
        /// Rules may add elements.
        const DYNAMIC = 0x20;
        /// Overlapping and adjacent intervals are merged before they are sent; unknown to the
        /// kernel.
        const AUTO_MERGE = 0x8000_0000;
    }
}

impl Set {
    /// Returns whether it has a key; one without refers to a set that is declared elsewhere.
    pub(crate) fn is_declared(&self) -> bool {
        !self.key.is_empty() || self.opaque.is_some()
    }

    /// Returns what it was read from, if the model cannot represent it: it is sent as it was read,
    /// and only its name can be changed.
    #[must_use]
    pub fn opaque(&self) -> Option<&Opaque> {
        self.opaque.as_ref()
    }

    /// Creates an empty set with this key.
    pub fn new(name: impl Into<Name>, key: impl IntoIterator<Item = DataType>) -> Self {
        Set {
            name: name.into(),
            key: key.into_iter().collect(),
            data: SetData::None,
            flags: SetFlags::empty(),
            timeout: None,
            gc_interval: None,
            size: None,
            policy: SetPolicy::Performance,
            statements: Vec::new(),
            comment: None,
            elements: Vec::new(),
            opaque: None,
            kept: Kept::default(),
        }
    }

    /// Creates an empty map from this key to values of type `data`.
    pub fn map(name: impl Into<Name>, key: impl IntoIterator<Item = DataType>, data: DataType) -> Self {
        Set { data: SetData::Value(data), ..Set::new(name, key) }
    }

    /// Creates an empty map from this key to named objects of a kind: `type inet_service : counter`.
    pub fn object_map(name: impl Into<Name>, key: impl IntoIterator<Item = DataType>, kind: ObjectKind) -> Self {
        Set { data: SetData::Object(kind), ..Set::new(name, key) }
    }

    /// Creates an empty verdict map with this key.
    pub fn verdict_map(name: impl Into<Name>, key: impl IntoIterator<Item = DataType>) -> Self {
        Set { data: SetData::Verdict, ..Set::new(name, key) }
    }

    /// Makes its elements intervals.
    #[must_use]
    pub fn interval(mut self) -> Self {
        self.flags |= SetFlags::INTERVAL;
        self
    }

    /// Makes its elements intervals, of which overlapping or adjacent ones are merged before they
    /// are sent.
    #[must_use]
    pub fn auto_merge(mut self) -> Self {
        self.flags |= SetFlags::INTERVAL | SetFlags::AUTO_MERGE;
        self
    }

    /// Sets the time until its elements expire, unless they have their own.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.flags |= SetFlags::TIMEOUT;
        self.timeout = Some(timeout);
        self
    }

    /// Allows rules to add, update and delete elements, see [`Rule::update`](super::Rule::update).
    ///
    /// [`Kernel::apply`](crate::Kernel::apply) leaves the elements of such a set alone if they
    /// expire.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use nftmesh::model::Update;
    /// use nftmesh::prelude::*;
    ///
    /// let seen = Set::new("seen", [DataType::Ipv4]).dynamic().timeout(Duration::from_secs(60)).size(65535);
    /// let fast = Statement::Limit(Limit::packets(3, LimitUnit::Minute).over());
    /// let meter = Update::update(matches::set("seen"), Field::IpSaddr).statement(fast);
    /// let rule = Rule::new().tcp_dport(22).ct_state(CtState::NEW).update(meter).drop();
    /// assert_eq!(
    ///     rule.to_string(),
    ///     "tcp dport 22 ct state new update @seen { ip saddr limit rate over 3/minute } drop"
    /// );
    /// Ruleset::new().table(Table::new(Family::Inet, "t").set(seen).chain(Chain::regular("c").rule(rule))).validate()?;
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("meter", "NFT_SET_EVAL"))]
    #[must_use]
    pub fn dynamic(self) -> Self {
        self.flags(SetFlags::DYNAMIC)
    }

    /// Declares that its elements never change.
    #[must_use]
    pub fn constant(self) -> Self {
        self.flags(SetFlags::CONSTANT)
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: SetFlags) -> Self {
        self.flags |= flags;
        self
    }

    /// Sets how often expired elements are collected.
    #[must_use]
    pub fn gc_interval(mut self, interval: Duration) -> Self {
        self.gc_interval = Some(interval);
        self
    }

    /// Sets the most elements it may hold.
    #[must_use]
    pub fn size(mut self, size: u32) -> Self {
        self.size = Some(size);
        self
    }

    /// Counts packets and bytes for every element.
    #[must_use]
    pub fn counter(mut self) -> Self {
        self.statements.push(Statement::Counter { packets: 0, bytes: 0 });
        self
    }

    /// Sets what the kernel optimises for when it has a choice.
    #[must_use]
    pub fn policy(mut self, policy: SetPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Adds elements.
    #[must_use]
    pub fn elements(mut self, elements: impl IntoIterator<Item = impl Into<Element>>) -> Self {
        self.elements.extend(elements.into_iter().map(Into::into));
        self
    }
}
