//! The five classic tables of iptables, with the hooks where they exist.

use super::chain::{Chain, ChainType, Hook, Priority};
use super::name::Name;

/// One of the classic tables of iptables(8).
///
/// ```
/// use nftmesh::model::{Classic, Hook, Priority};
///
/// let chain = Classic::Nat.chain("prerouting", Hook::Prerouting).expect("nat has a prerouting chain");
/// assert_eq!(chain.hooked().map(|base| base.priority), Some(Priority::DSTNAT));
/// assert!(Classic::Raw.chain("input", Hook::Input).is_none());
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the five tables of xtables")]
pub enum Classic {
    /// Filtering: input, forward, output.
    Filter,
    /// Changing packets: every hook.
    Mangle,
    /// Address translation: prerouting, input, output, postrouting.
    Nat,
    /// Before connection tracking: prerouting, output.
    Raw,
    /// Security labels: input, forward, output.
    Security,
}

impl Classic {
    /// All five, in the order in which a packet meets them.
    pub const ALL: [Classic; 5] = [Classic::Raw, Classic::Mangle, Classic::Nat, Classic::Filter, Classic::Security];

    /// Returns the hooks at which the table has a chain.
    #[must_use]
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Classic::Filter | Classic::Security => &[Hook::Input, Hook::Forward, Hook::Output],
            Classic::Mangle => &[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting],
            Classic::Nat => &[Hook::Prerouting, Hook::Input, Hook::Output, Hook::Postrouting],
            Classic::Raw => &[Hook::Prerouting, Hook::Output],
        }
    }

    /// Returns the base chain of this table at `hook` with the classic type and priority, or
    /// `None` if there is none.
    pub fn chain(self, name: impl Into<Name>, hook: Hook) -> Option<Chain> {
        self.hooks().contains(&hook).then(|| Chain::base(name, self.chain_type(hook), hook, self.priority(hook)))
    }

    /// Returns the chain type at `hook`: `route` for mangle at output.
    #[must_use]
    pub fn chain_type(self, hook: Hook) -> ChainType {
        match (self, hook) {
            (Classic::Nat, _) => ChainType::Nat,
            (Classic::Mangle, Hook::Output) => ChainType::Route,
            (Classic::Filter | Classic::Mangle | Classic::Raw | Classic::Security, _) => ChainType::Filter,
        }
    }

    /// Returns the priority at `hook`.
    #[must_use]
    pub fn priority(self, hook: Hook) -> Priority {
        match (self, hook) {
            (Classic::Filter, _) => Priority::FILTER,
            (Classic::Mangle, _) => Priority::MANGLE,
            (Classic::Nat, Hook::Input | Hook::Postrouting) => Priority::SRCNAT,
            (Classic::Nat, Hook::Forward | Hook::Output | Hook::Prerouting) => Priority::DSTNAT,
            (Classic::Raw, _) => Priority::RAW,
            (Classic::Security, _) => Priority::SECURITY,
        }
    }
}
