//! Objects of connection tracking: helpers, timeouts and expectations.

use std::collections::BTreeMap;

use super::protocol::Protocol;
use super::table::Family;

/// A helper of connection tracking: it reads a protocol in which the peers agree on further
/// connections, and expects these (`nft_ct_helper_obj`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CtHelper {
    /// The kernel's name for the helper: `ftp`, `sip`, ...
    pub helper: String,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The packets it is for: ip, ip6, or with inet both.
    pub family: Family,
}

/// The times after which connections are forgotten (`nft_ct_timeout_obj`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CtTimeout {
    /// The transport protocol: tcp or udp.
    pub protocol: Protocol,
    /// The packets it is for: ip, ip6, or with inet both.
    pub family: Family,
    /// Seconds for states by their names in nft(8): `established`, `replied`, ... Any other state
    /// has the usual time.
    pub policy: BTreeMap<String, u32>,
}

/// A further connection that is expected (`nft_ct_expect_obj`).
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "nft_ct_expect_obj")]
pub struct CtExpectation {
    /// The transport protocol.
    pub protocol: Protocol,
    /// Its destination port.
    pub dport: u16,
    /// The milliseconds after which it is no longer expected.
    pub timeout: u32,
    /// The most connections that are expected at once.
    pub size: u8,
    /// The packets it is for: ip or ip6.
    pub family: Family,
}

impl CtHelper {
    /// Creates a helper for IPv4 and IPv6.
    pub fn new(helper: impl Into<String>, protocol: Protocol) -> Self {
        CtHelper { helper: helper.into(), protocol, family: Family::Inet }
    }

    /// Sets the packets it is for.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }
}

impl CtTimeout {
    /// Creates the usual times of a protocol, for IPv4 and IPv6.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        CtTimeout { protocol, family: Family::Inet, policy: BTreeMap::new() }
    }

    /// Sets the seconds of a state by its name in nft(8): `.after("established", 7200)`.
    #[must_use]
    pub fn after(mut self, state: impl Into<String>, seconds: u32) -> Self {
        self.policy.insert(state.into(), seconds);
        self
    }

    /// Sets the packets it is for.
    #[must_use]
    pub fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Returns the states of a protocol in the kernel's order, each with its usual seconds, as nft
    /// 1.0.6 has them; none for a protocol that nft does not know.
    pub(crate) fn states(protocol: Protocol) -> &'static [(&'static str, u32)] {
        match protocol {
            Protocol::TCP => &[
                ("syn_sent", 120),
                ("syn_recv", 60),
                ("established", 432_000),
                ("fin_wait", 120),
                ("close_wait", 60),
                ("last_ack", 30),
                ("time_wait", 120),
                ("close", 10),
                ("syn_sent2", 120),
                ("retrans", 300),
                ("unack", 300),
            ],
            Protocol::UDP => &[("unreplied", 30), ("replied", 120)],
            _ => &[],
        }
    }

    /// Returns the seconds of every state in the kernel's order.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = u32> + '_ {
        let states = CtTimeout::states(self.protocol).iter();
        states.map(|(state, usual)| self.policy.get(*state).copied().unwrap_or(*usual))
    }
}
