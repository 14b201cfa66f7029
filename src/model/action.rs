//! Statements that count connections and bytes, answer, copy or send packets, use named objects,
//! and change sets and packets.

use std::net::IpAddr;
use std::time::Duration;

use super::field::Field;
use super::limit::LimitWhen;
use super::name::Name;
use super::nat::IpFamily;
use super::operand::SetRef;
use super::rule::Rule;
use super::selector::Selector;
use super::statement::Statement;
use super::value::Value;

/// A number of bytes: `quota over 25 mbytes`.
///
/// ```
/// use nftmesh::model::{LimitWhen, Object, ObjectKind, Quota};
/// use nftmesh::prelude::*;
///
/// let daily = Object::new("daily", Quota::new(25_000_000, LimitWhen::Over));
/// let input = Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER)
///     .rule(Rule::new().object(ObjectKind::Quota, "daily").drop());
/// Ruleset::new().table(Table::new(Family::Inet, "t").object(daily).chain(input)).validate()?;
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_quota")]
pub struct Quota {
    /// Number of bytes.
    pub bytes: u64,
    /// Whether it matches until or once so many were met.
    pub when: LimitWhen,
    /// Bytes so far.
    pub used: u64,
}

impl Quota {
    /// Creates a quota of which nothing is used yet.
    #[must_use]
    pub fn new(bytes: u64, when: LimitWhen) -> Self {
        Quota { bytes, when, used: 0 }
    }
}

/// A number of connections: `ct count over 20`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_connlimit")]
pub struct ConnLimit {
    /// Number of connections.
    pub count: u32,
    /// Whether it matches up to or above the number.
    pub when: LimitWhen,
}

/// Answers a SYN in place of the receiver: `synproxy mss 1460 wscale 7 timestamp sack-perm`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_synproxy")]
pub struct Synproxy {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale.
    pub wscale: Option<u8>,
    /// The other options.
    pub flags: SynproxyFlags,
}

bitflags::bitflags! {
    /// Options of TCP that a proxy for SYNs offers (`NF_SYNPROXY_OPT_*`).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct SynproxyFlags: u32 {
        /// Selective acknowledgements.
        const SACK_PERM = 4;
        /// Timestamps.
        const TIMESTAMP = 8;
    }
}

/// Where a copy of a packet goes: `dup to 10.0.0.1 device "eth0"`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_dup")]
pub struct Dup {
    /// The address of the neighbour; none in a table of family netdev.
    pub address: Option<SetValue>,
    /// The interface.
    pub device: Option<SetValue>,
}

/// Sends a packet out of another interface: `fwd ip to 10.0.0.1 device "eth0"`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_fwd")]
pub struct Fwd {
    /// The interface.
    pub device: SetValue,
    /// The address of the neighbour there.
    pub address: Option<SetValue>,
    /// The family of that address.
    pub family: Option<IpFamily>,
}

/// A named object of the table, or a map to such objects.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_objref")]
pub struct ObjectRef {
    /// The kind of the object.
    pub kind: ObjectKind,
    /// Which one.
    pub to: ObjectTo,
}

/// Which object a rule uses.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "by name or by map")]
pub enum ObjectTo {
    /// The one that a key maps to, in this map.
    Map(Selector, SetRef),
    /// The one of this name.
    Name(Name),
}

/// Kinds of named objects (`NFT_OBJECT_*`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A counter.
    Counter,
    /// An expectation of a connection.
    CtExpectation,
    /// A helper of connection tracking.
    CtHelper,
    /// Timeouts of connection tracking.
    CtTimeout,
    /// A rate.
    Limit,
    /// A number of bytes.
    Quota,
    /// A security mark.
    Secmark,
    /// A proxy for SYNs.
    Synproxy,
}

impl ObjectKind {
    /// Each with the kernel's number and the words that nft puts before its name.
    pub(crate) const ALL: [(ObjectKind, u32, &'static str); 8] = [
        (ObjectKind::Counter, 1, "counter name"),
        (ObjectKind::Quota, 2, "quota name"),
        (ObjectKind::CtHelper, 3, "ct helper set"),
        (ObjectKind::Limit, 4, "limit name"),
        (ObjectKind::CtTimeout, 7, "ct timeout set"),
        (ObjectKind::Secmark, 8, "meta secmark set"),
        (ObjectKind::CtExpectation, 9, "ct expectation set"),
        (ObjectKind::Synproxy, 10, "synproxy name"),
    ];

    /// Returns the kind as nft(8) spells it: `counter`, `ct helper`, ...
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ObjectKind::Counter => "counter",
            ObjectKind::CtExpectation => "ct expectation",
            ObjectKind::CtHelper => "ct helper",
            ObjectKind::CtTimeout => "ct timeout",
            ObjectKind::Limit => "limit",
            ObjectKind::Quota => "quota",
            ObjectKind::Secmark => "secmark",
            ObjectKind::Synproxy => "synproxy",
        }
    }

    /// Returns the kind with the kernel's number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        ObjectKind::ALL.iter().find(|(_, other, _)| *other == number).map(|(kind, ..)| *kind)
    }

    pub(crate) fn entry(self) -> (u32, &'static str) {
        let found = ObjectKind::ALL.iter().find(|(kind, ..)| *kind == self);
        found.map_or((0, ""), |(_, number, words)| (*number, words))
    }
}

/// Changes an element of a named set: `update @seen { ip saddr timeout 1m counter }`.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_dynset")]
pub struct Update {
    /// What is done.
    pub op: UpdateOp,
    /// The set, which has a name.
    pub set: SetRef,
    /// The key of the element.
    pub key: Selector,
    /// Time after which it expires; that of the set if absent.
    pub timeout: Option<Duration>,
    /// What it counts and limits: counters, limits, quotas and numbers of connections.
    pub statements: Vec<Statement>,
    /// What it maps to, in a map.
    pub value: Option<SetValue>,
}

/// How an element is changed.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "enum nft_dynset_ops")]
pub enum UpdateOp {
    /// Added if it is not there.
    Add,
    /// Deleted.
    Delete,
    /// Added, or its time begins anew.
    Update,
}

impl Update {
    /// Adds an element if it is not there: `add @set { key }`.
    pub fn add(set: SetRef, key: impl Into<Selector>) -> Self {
        Update::new(UpdateOp::Add, set, key.into())
    }

    /// Deletes an element: `delete @set { key }`.
    pub fn delete(set: SetRef, key: impl Into<Selector>) -> Self {
        Update::new(UpdateOp::Delete, set, key.into())
    }

    /// Adds an element, or lets its time begin anew: `update @set { key }`.
    #[expect(clippy::self_named_constructors, reason = "nft's word for it")]
    pub fn update(set: SetRef, key: impl Into<Selector>) -> Self {
        Update::new(UpdateOp::Update, set, key.into())
    }

    fn new(op: UpdateOp, set: SetRef, key: Selector) -> Self {
        Update { op, set, key, timeout: None, statements: Vec::new(), value: None }
    }

    /// Lets it expire after this time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets it count or limit.
    #[must_use]
    pub fn statement(mut self, statement: Statement) -> Self {
        self.statements.push(statement);
        self
    }

    /// Maps it to a value.
    #[must_use]
    pub fn value(mut self, value: impl Into<SetValue>) -> Self {
        self.value = Some(value.into());
        self
    }
}

/// A value that a rule computes.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "given, read or looked up")]
pub enum SetValue {
    /// A constant.
    Constant(Value),
    /// That of another field, or computed from fields.
    From(Selector),
    /// Looked up in a map; the rule ends if nothing is found.
    Map {
        /// The fields to look up.
        selector: Selector,
        /// The map.
        map: SetRef,
    },
}

impl SetValue {
    /// Returns the map in which it is looked up.
    pub(crate) fn map(&self) -> Option<&SetRef> {
        match self {
            SetValue::Constant(_) | SetValue::From(_) => None,
            SetValue::Map { selector: _, map } => Some(map),
        }
    }

    pub(crate) fn map_mut(&mut self) -> Option<&mut SetRef> {
        match self {
            SetValue::Constant(_) | SetValue::From(_) => None,
            SetValue::Map { selector: _, map } => Some(map),
        }
    }

    /// Returns the fields that it reads or looks up.
    pub(crate) fn selector(&self) -> Option<&Selector> {
        match self {
            SetValue::Constant(_) => None,
            SetValue::From(selector) | SetValue::Map { selector, map: _ } => Some(selector),
        }
    }
}

impl From<Field> for SetValue {
    fn from(field: Field) -> Self {
        SetValue::From(field.into())
    }
}

impl From<Selector> for SetValue {
    fn from(selector: Selector) -> Self {
        SetValue::From(selector)
    }
}

impl<T: Into<Value>> From<T> for SetValue {
    fn from(value: T) -> Self {
        SetValue::Constant(value.into())
    }
}

/// Statements that count, answer, copy, and change sets and packets.
impl Rule {
    /// Continues up to, or above, a number of connections: `ct count over 20`.
    #[must_use]
    pub fn ct_count(self, count: u32, when: LimitWhen) -> Self {
        self.statement(Statement::ConnLimit(ConnLimit { count, when }))
    }

    /// Sends a copy of the packet to a neighbour: `dup to 10.0.0.1`.
    #[must_use]
    pub fn dup_to(self, address: impl Into<IpAddr>) -> Self {
        self.statement(Statement::Dup(Dup { address: Some(SetValue::Constant(address.into().into())), device: None }))
    }

    /// Sends the following packets of the connection past the rules: `flow add @table`.
    #[must_use]
    pub fn flow_add(self, flowtable: impl Into<Name>) -> Self {
        self.statement(Statement::FlowAdd(flowtable.into()))
    }

    /// Sends the packet out of another interface: `fwd to "eth0"`.
    #[must_use]
    pub fn fwd_to(self, device: impl Into<SetValue>) -> Self {
        self.statement(Statement::Fwd(Fwd { device: device.into(), address: None, family: None }))
    }

    /// Uses a named object of the table: `counter name "hits"`, `ct helper set "ftp"`.
    #[must_use]
    pub fn object(self, kind: ObjectKind, name: impl Into<Name>) -> Self {
        self.statement(Statement::ObjectRef(ObjectRef { kind, to: ObjectTo::Name(name.into()) }))
    }

    /// Continues until, or once, so many bytes were met: `quota over 25 mbytes`.
    #[must_use]
    pub fn quota(self, bytes: u64, when: LimitWhen) -> Self {
        self.statement(Statement::Quota(Quota { bytes, when, used: 0 }))
    }

    /// Removes an option of TCP, by its number: `reset tcp option sack-perm`.
    #[must_use]
    pub fn reset_tcp_option(self, kind: u8) -> Self {
        self.statement(Statement::ResetTcpOption(kind))
    }

    /// Sets a field: `tcp option maxseg size set 1360`.
    #[must_use]
    pub fn set(self, target: impl Into<Field>, value: impl Into<SetValue>) -> Self {
        self.statement(Statement::Set { target: target.into(), value: value.into() })
    }

    /// Answers a SYN in place of the receiver: `synproxy mss 1460 wscale 7`.
    #[must_use]
    pub fn synproxy(self, synproxy: Synproxy) -> Self {
        self.statement(Statement::Synproxy(synproxy))
    }

    /// Changes an element of a set: `update @seen { ip saddr }`.
    #[must_use]
    pub fn update(self, update: Update) -> Self {
        self.statement(Statement::Update(Box::new(update)))
    }
}
