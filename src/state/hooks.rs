//! The functions at the hooks of a network namespace, in the kernel's order.

use crate::model::{ChainId, Hook, IpFamily};

/// The functions at the hooks of IPv4 and IPv6, as the kernel lists them.
///
/// A dump of rules does not show the order in which base chains of the same priority run when they
/// are in several tables; this list does. Chains of type nat are missing: they run inside the
/// function of address translation.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hooks {
    /// One for each family and hook with functions.
    pub lists: Vec<HookList>,
}

/// The functions at a hook for packets of a family, first to last.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookList {
    /// Family of the packets.
    pub family: IpFamily,
    /// The hook.
    pub hook: Hook,
    /// The functions.
    pub functions: Vec<HookFunction>,
}

/// One function at a hook.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookFunction {
    /// Its priority.
    pub priority: i32,
    /// The base chain that it runs, if it is one of nf_tables.
    pub chain: Option<ChainId>,
    /// Name of the kernel's function.
    pub name: Option<String>,
    /// The module that contains it, if any.
    pub module: Option<String>,
}

impl Hooks {
    /// Returns the functions at that hook; `None` when it is not listed.
    #[must_use]
    pub fn at(&self, family: IpFamily, hook: Hook) -> Option<&[HookFunction]> {
        let list = self.lists.iter().find(|list| (list.family, list.hook) == (family, hook));
        list.map(|list| list.functions.as_slice())
    }
}

impl HookList {
    /// Creates a list of the functions at that hook.
    #[must_use]
    pub fn new(family: IpFamily, hook: Hook, functions: impl IntoIterator<Item = HookFunction>) -> Self {
        HookList { family, hook, functions: functions.into_iter().collect() }
    }
}

impl HookFunction {
    /// Creates the function of a base chain.
    #[must_use]
    pub fn chain(priority: i32, chain: ChainId) -> Self {
        HookFunction { priority, chain: Some(chain), ..HookFunction::default() }
    }
}
