//! Named objects of a table that rules and maps refer to: counters, quotas, limits, helpers and
//! timeouts of connection tracking, and flowtables.

use super::action::{Quota, Synproxy};
use super::chain::Priority;
use super::limit::Limit;
use super::name::Name;
use super::opaque::Opaque;
use super::tracking::{CtExpectation, CtHelper, CtTimeout};

/// A stateful object (a counter, a quota, a connection tracking helper, ...) or a flowtable.
///
/// Its counts are sent when it is created, and ignored when it is compared.
///
/// ```
/// use nftmesh::model::{CtHelper, Object, ObjectKind};
/// use nftmesh::prelude::*;
///
/// let table = Table::new(Family::Inet, "t")
///     .object(Object::counter("web").comment("requests"))
///     .object(Object::new("ftp", CtHelper::new("ftp", Protocol::TCP)))
///     .chain(
///         Chain::base("in", ChainType::Filter, Hook::Input, Priority::FILTER)
///             .rule(Rule::new().tcp_dport(80).object(ObjectKind::Counter, "web"))
///             .rule(Rule::new().tcp_dport(21).object(ObjectKind::CtHelper, "ftp")),
///     );
/// Ruleset::new().table(table).validate()?;
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Object {
    /// Its name, unique in the table among objects of its kind.
    pub name: Name,
    /// What it is.
    pub content: ObjectContent,
    /// Its comment, stored by the kernel; a flowtable has none.
    pub comment: Option<String>,
}

/// What an [`Object`] is.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectContent {
    /// Counts packets and bytes.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Expects a further connection.
    CtExpectation(CtExpectation),
    /// Finds the further connections of a protocol.
    CtHelper(CtHelper),
    /// The times after which connections are forgotten.
    CtTimeout(CtTimeout),
    /// Forwards packets of known connections without running rules.
    Flowtable(Flowtable),
    /// A rate that all rules with it share.
    Limit(Limit),
    /// As it was read from a kernel, if it has no form here.
    Opaque(Opaque),
    /// A number of bytes that all rules with it share.
    Quota(Quota),
    /// A security context, of SELinux for example.
    Secmark(String),
    /// A proxy for SYNs.
    Synproxy(Synproxy),
}

/// A flowtable: connections whose packets are forwarded from the devices' ingress, without the
/// chains of forwarding.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Flowtable {
    /// The order at the ingress hook, lowest first.
    pub priority: Priority,
    /// The names of its devices.
    pub devices: Vec<String>,
    /// Its properties.
    pub flags: FlowtableFlags,
}

bitflags::bitflags! {
    /// Properties of a flowtable (`NFT_FLOWTABLE_*`).
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct FlowtableFlags: u32 {
        /// The devices themselves forward, where they can.
        const OFFLOAD = 1;
        /// Its packets are counted in the connections.
        const COUNTER = 2;
    }
}

impl Flowtable {
    /// Creates a flowtable for these devices.
    pub fn new(priority: Priority, devices: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let devices = devices.into_iter().map(Into::into).collect();
        Flowtable { priority, devices, flags: FlowtableFlags::empty() }
    }

    /// Adds flags.
    #[must_use]
    pub fn flags(mut self, flags: FlowtableFlags) -> Self {
        self.flags |= flags;
        self
    }
}

impl Object {
    /// Creates an object of this name.
    pub fn new(name: impl Into<Name>, content: impl Into<ObjectContent>) -> Self {
        Object { name: name.into(), content: content.into(), comment: None }
    }

    /// Creates a counter that starts at 0.
    pub fn counter(name: impl Into<Name>) -> Self {
        Object::new(name, ObjectContent::Counter { packets: 0, bytes: 0 })
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Returns its name, unique in the table among objects of its kind.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Returns its kind by the name in nft(8): `counter`, `quota`, `ct helper`, `flowtable`, ...
    #[must_use]
    pub fn kind(&self) -> &str {
        match &self.content {
            ObjectContent::Counter { .. } => "counter",
            ObjectContent::CtExpectation(_) => "ct expectation",
            ObjectContent::CtHelper(_) => "ct helper",
            ObjectContent::CtTimeout(_) => "ct timeout",
            ObjectContent::Flowtable(_) => "flowtable",
            ObjectContent::Limit(_) => "limit",
            ObjectContent::Opaque(read) => read.name(),
            ObjectContent::Quota(_) => "quota",
            ObjectContent::Secmark(_) => "secmark",
            ObjectContent::Synproxy(_) => "synproxy",
        }
    }

    /// Returns what it was read from, if the model has no form for it: it is sent as it was read.
    #[must_use]
    pub fn opaque(&self) -> Option<&Opaque> {
        match &self.content {
            ObjectContent::Opaque(read) => Some(read),
            _ => None,
        }
    }

    /// Returns the object as it is created, without counts.
    pub(crate) fn unused(mut self) -> Self {
        match &mut self.content {
            ObjectContent::Counter { packets, bytes } => (*packets, *bytes) = (0, 0),
            ObjectContent::Quota(quota) => quota.used = 0,
            _ => {}
        }
        self
    }
}

/// Contents that are a type of their own.
macro_rules! contents {
    ($($name:ident($type:ty);)*) => { $(
        impl From<$type> for ObjectContent {
            fn from(content: $type) -> Self {
                ObjectContent::$name(content)
            }
        }
    )* };
}

contents! {
    CtExpectation(CtExpectation);
    CtHelper(CtHelper);
    CtTimeout(CtTimeout);
    Flowtable(Flowtable);
    Limit(Limit);
    Quota(Quota);
    Synproxy(Synproxy);
}
