//! Chains: lists of rules, hooked into the packet path or called from other chains.

use super::name::Name;
use super::opaque::{Kept, Opaque};
use super::rule::Rule;
use super::table::Family;

/// A list of rules, which the kernel runs at a hook or another chain calls.
///
/// ```
/// use nftmesh::prelude::*;
///
/// // A priority is a name and a number: 10 before the chains of type filter that others have.
/// let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER - 10)
///     .policy(Policy::Drop)
///     .rule(Rule::new().iifname("lo").accept())
///     .rule(Rule::new().jump("services"));
/// let services = Chain::regular("services").rules([22, 80].map(|port| Rule::new().tcp_dport(port).accept()));
/// let table = Table::new(Family::Inet, "host").chain(services).chain(input);
/// Ruleset::new().table(table).validate()?;
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Chain {
    /// Its name, unique in the table.
    pub name: Name,
    /// Whether the kernel or another chain calls it.
    pub kind: ChainKind,
    /// Its comment, stored by the kernel, which accepts it only when the chain is added.
    pub comment: Option<String>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
    /// Further data read with it.
    pub(crate) kept: Kept,
}

/// What calls a chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChainKind {
    /// The kernel, at a hook.
    Base(Base),
    /// One rule to which it is bound, by its jump or goto: `jump { ... }` in nft(8). The kernel
    /// assigns its name, which differs in every kernel.
    Bound,
    /// The kernel, for the packets of some devices.
    Device(DeviceBase),
    /// The kernel, at a hook that is not modelled.
    Opaque(Opaque),
    /// Jumps and gotos of other chains.
    Regular,
}

/// The hook of a base chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the four parts of `type T hook H priority P; policy V`")]
pub struct Base {
    /// Its type.
    pub chain_type: ChainType,
    /// The point in the packet path.
    pub hook: Hook,
    /// The order at the hook, lowest first.
    pub priority: Priority,
    /// The fate of a packet that no rule decided.
    pub policy: Policy,
}

/// The hook of a base chain, of type filter, that sees the packets of some devices.
///
/// ```
/// use nftmesh::prelude::*;
///
/// let chain = Chain::ingress("early", ["eth0", "eth1"], Priority::FILTER - 500)
///     .rule(Rule::new().ip_saddr(std::net::Ipv4Addr::new(192, 0, 2, 7)).drop());
/// let table = Table::new(Family::Netdev, "edge").chain(chain);
/// assert!(table.to_string().contains("hook ingress devices = { eth0, eth1 } priority -500;"));
/// Ruleset::new().table(table).validate()?;
/// # Ok::<(), Error>(())
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the parts of `type filter hook H devices = D priority P; policy V`")]
pub struct DeviceBase {
    /// The side of the devices.
    pub hook: DeviceHook,
    /// The names of the devices; their order has no meaning.
    pub devices: Vec<String>,
    /// The order at the hook, lowest first.
    pub priority: Priority,
    /// The fate of a packet that no rule decided.
    pub policy: Policy,
}

/// A side of a device (`NF_NETDEV_*`, include/uapi/linux/netfilter.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the hooks of the family netdev")]
pub enum DeviceHook {
    /// Packets that leave through the device; in tables of family netdev.
    #[doc(alias = "NF_NETDEV_EGRESS")]
    Egress,
    /// Packets that arrive at the device; in tables of the families netdev and inet.
    #[doc(alias = "NF_NETDEV_INGRESS")]
    #[doc(alias = "NF_INET_INGRESS")]
    Ingress,
}

impl DeviceHook {
    /// Returns the name that nft(8) uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            DeviceHook::Egress => "egress",
            DeviceHook::Ingress => "ingress",
        }
    }

    /// Returns the kernel's number in a family, or `None` if its tables have no such hook.
    pub(crate) fn number(self, family: Family) -> Option<u32> {
        match (family, self) {
            (Family::Netdev, DeviceHook::Ingress) => Some(0),
            (Family::Netdev, DeviceHook::Egress) => Some(1),
            (Family::Inet, DeviceHook::Ingress) => Some(5),
            _ => None,
        }
    }
}

/// Type of a base chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the chain types of nf_tables")]
pub enum ChainType {
    /// Everything but address translation.
    Filter,
    /// Address translation; sees only the first packet of a connection.
    Nat,
    /// At output: reroutes packets whose mark or address a rule changed.
    Route,
}

impl ChainType {
    /// Returns the name that nft(8) and the kernel use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
        }
    }

    /// Returns the hooks available to it, in an inet, ip or ip6 table.
    #[must_use]
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            ChainType::Filter => &[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting],
            ChainType::Nat => &[Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting],
            ChainType::Route => &[Hook::Output],
        }
    }
}

/// A point in the packet path (`NF_INET_*`, include/uapi/linux/netfilter.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the hooks of the inet families")]
pub enum Hook {
    /// All incoming packets, before routing.
    #[doc(alias = "NF_INET_PRE_ROUTING")]
    Prerouting,
    /// Packets routed to this host.
    #[doc(alias = "NF_INET_LOCAL_IN")]
    Input,
    /// Packets that this host forwards.
    #[doc(alias = "NF_INET_FORWARD")]
    Forward,
    /// Packets that this host sends.
    #[doc(alias = "NF_INET_LOCAL_OUT")]
    Output,
    /// All outgoing packets, after routing.
    #[doc(alias = "NF_INET_POST_ROUTING")]
    Postrouting,
}

impl Hook {
    /// All hooks, in the kernel's order.
    pub const ALL: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];

    /// Returns the name that nft(8) uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        }
    }

    /// Returns the kernel's number, in tables that are not of family arp.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Hook::Prerouting => 0,
            Hook::Input => 1,
            Hook::Forward => 2,
            Hook::Output => 3,
            Hook::Postrouting => 4,
        }
    }

    /// Returns the hooks of a family's tables, in the order of the kernel's numbers.
    #[must_use]
    pub fn of(family: Family) -> &'static [Hook] {
        match family {
            // NF_ARP_IN and NF_ARP_OUT, include/uapi/linux/netfilter_arp.h; nothing calls
            // NF_ARP_FORWARD.
            Family::Arp => &[Hook::Input, Hook::Output],
            Family::Bridge | Family::Inet | Family::Ip | Family::Ip6 => &Hook::ALL,
            Family::Netdev => &[],
        }
    }

    /// Returns the kernel's number in a family, or that of an inet table where the family has no
    /// such hook.
    pub(crate) fn number_in(self, family: Family) -> u32 {
        let place = Hook::of(family).iter().position(|hook| *hook == self);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(self.number())
    }
}

/// The order among the chains of a hook, lowest first (`NF_IP_PRI_*`,
/// include/uapi/linux/netfilter_ipv4.h).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct Priority(pub i32);

impl Priority {
    /// Before connection tracking.
    pub const RAW: Priority = Priority(-300);
    /// After connection tracking, before address translation.
    pub const MANGLE: Priority = Priority(-150);
    /// Destination address translation.
    pub const DSTNAT: Priority = Priority(-100);
    /// Filtering.
    pub const FILTER: Priority = Priority(0);
    /// Security labels.
    pub const SECURITY: Priority = Priority(50);
    /// Source address translation.
    pub const SRCNAT: Priority = Priority(100);

    /// Returns nft's names in a family: the name, the priority, and the hook at which alone it
    /// counts.
    pub(crate) fn names(family: Family) -> &'static [(&'static str, i32, Option<&'static str>)] {
        match family {
            Family::Inet | Family::Ip | Family::Ip6 => &[
                ("raw", -300, None),
                ("mangle", -150, None),
                ("dstnat", -100, Some("prerouting")),
                ("filter", 0, None),
                ("security", 50, None),
                ("srcnat", 100, Some("postrouting")),
            ],
            Family::Arp | Family::Netdev => &[("filter", 0, None)],
            Family::Bridge => &[
                ("dstnat", -300, Some("prerouting")),
                ("filter", -200, None),
                ("out", 100, Some("output")),
                ("srcnat", 300, Some("postrouting")),
            ],
        }
    }
}

/// `Priority::FILTER + 10` runs after filtering; the sum saturates at the ends of `i32`.
impl std::ops::Add<i32> for Priority {
    type Output = Priority;

    fn add(self, offset: i32) -> Priority {
        Priority(self.0.saturating_add(offset))
    }
}

/// `Priority::DSTNAT - 10` runs before destination address translation.
impl std::ops::Sub<i32> for Priority {
    type Output = Priority;

    fn sub(self, offset: i32) -> Priority {
        Priority(self.0.saturating_sub(offset))
    }
}

/// The fate of a packet that no rule of a base chain decided.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the policies of nf_tables")]
pub enum Policy {
    /// It continues.
    Accept,
    /// It is dropped.
    Drop,
}

impl Policy {
    /// Returns the name that nft(8) uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        }
    }
}

impl Chain {
    /// Creates a chain that other chains call.
    pub fn regular(name: impl Into<Name>) -> Self {
        Chain::of_kind(name.into(), ChainKind::Regular)
    }

    /// Creates a chain that the kernel calls at a hook; its policy is accept.
    pub fn base(name: impl Into<Name>, chain_type: ChainType, hook: Hook, priority: Priority) -> Self {
        let base = Base { chain_type, hook, priority, policy: Policy::Accept };
        Chain::of_kind(name.into(), ChainKind::Base(base))
    }

    /// Creates a chain for packets that arrive at these devices, before anything else of the
    /// network stack sees them; its policy is accept.
    pub fn ingress(
        name: impl Into<Name>,
        devices: impl IntoIterator<Item = impl Into<String>>,
        priority: Priority,
    ) -> Self {
        Chain::of_devices(name.into(), DeviceHook::Ingress, devices.into_iter().map(Into::into).collect(), priority)
    }

    /// Creates a chain for packets that leave through these devices, after everything else; its
    /// policy is accept.
    pub fn egress(
        name: impl Into<Name>,
        devices: impl IntoIterator<Item = impl Into<String>>,
        priority: Priority,
    ) -> Self {
        Chain::of_devices(name.into(), DeviceHook::Egress, devices.into_iter().map(Into::into).collect(), priority)
    }

    fn of_devices(name: Name, hook: DeviceHook, devices: Vec<String>, priority: Priority) -> Self {
        let base = DeviceBase { hook, devices, priority, policy: Policy::Accept };
        Chain::of_kind(name, ChainKind::Device(base))
    }

    /// Creates an empty chain of that kind.
    pub(crate) fn of_kind(name: Name, kind: ChainKind) -> Self {
        Chain { name, kind, comment: None, rules: Vec::new(), kept: Kept::default() }
    }

    /// Sets the comment.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Sets the policy; a regular chain has none and stays as it is.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        match &mut self.kind {
            ChainKind::Base(base) => base.policy = policy,
            ChainKind::Device(base) => base.policy = policy,
            ChainKind::Bound | ChainKind::Opaque(_) | ChainKind::Regular => {}
        }
        self
    }

    /// Adds a rule at the end.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules at the end.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Returns the hook of a base chain that is not of devices, if it has a name here.
    #[must_use]
    pub fn hooked(&self) -> Option<&Base> {
        match &self.kind {
            ChainKind::Base(base) => Some(base),
            ChainKind::Bound | ChainKind::Device(_) | ChainKind::Opaque(_) | ChainKind::Regular => None,
        }
    }
}
