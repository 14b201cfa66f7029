//! Reads the output of iptables-save(8) and ip6tables-save(8), and hand-written input of
//! iptables-restore(8), as a rule set.
//!
//! Commands are read too: `-N`, `-P`, `-F` and `-I` within a table, and lines of iptables(8)
//! itself outside a table (`iptables -t nat -A OUTPUT ...`, the output of `iptables -S`). Such a
//! line refers to table filter unless `-t` names another.
//!
//! Every line is read as xtables would run it, even where nft gives the same words another
//! meaning. Where the two differ, the rule does what xtables does:
//! - a `TPROXY` without a listener drops: its rule is followed by a second one, with the same
//!   matches, that drops;
//! - `-m owner ! --uid-owner 7` also matches packets without a socket, which nothing in nft does:
//!   it becomes what iptables-nft(8) puts into the kernel, an xtables match as an opaque
//!   statement. So do recent, statistic, rpfilter, tcpmss, physdev and TCPMSS, and conntrack
//!   options other than state, status and direction;
//! - several addresses in one option become several rules; `--ports` of multiport becomes two
//!   rules that exclude each other.
//!
//! Anything that cannot be expressed exactly is an error with line and column or, on request
//! ([`Unknown::KeepOpaque`]), an opaque statement: never a guess. Names of hosts, users and
//! services are not resolved. The input is not trusted, and no text makes the parser panic.
//!
//! The tables have the names that iptables uses, `filter` and `nat` among them. iptables-nft(8)
//! refuses to work with a table of that name that has rules which it would not write, so rename the
//! tables where it is still in use.
//!
//! ```text
//! text -- words --> words -- line --> options by extension -- matches, targets --> statements
//!      -- making --> rules -- tables --> tables
//! ```
//!
//! ```
//! use nftmesh::import::{Unknown, iptables_save};
//! use nftmesh::model::IpFamily;
//!
//! let text = "\
//! *nat
//! :OUTPUT ACCEPT [3:180]
//! :ISTIO_REDIRECT - [0:0]
//! -A OUTPUT ! -d 127.0.0.1/32 -o eth+ -p tcp -m owner --uid-owner 1000 -j ISTIO_REDIRECT
//! [2:120] -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
//! COMMIT
//! ";
//! let imported = iptables_save(text, IpFamily::Ipv4, Unknown::Refuse)?;
//! let nat = &imported.ruleset.tables[0];
//! assert_eq!(
//!     nat.chains[0].rules[0].to_string(),
//!     r#"ip daddr != 127.0.0.1 oifname "eth*" meta l4proto tcp meta skuid 1000 jump ISTIO_REDIRECT"#
//! );
//! assert_eq!(nat.chains[1].rules[0].to_string(), "meta l4proto tcp counter packets 2 bytes 120 redirect to :15001");
//! assert_eq!(imported.counters[0].packets, 3);
//!
//! let text = text.replace("--uid-owner", "--user");
//! let error = iptables_save(&text, IpFamily::Ipv4, Unknown::Refuse).unwrap_err();
//! assert_eq!((error.line, error.column), (4, 53));
//! # Ok::<(), nftmesh::Error>(())
//! ```

mod address;
mod commands;
mod error;
mod extension;
mod ipset;
mod line;
mod making;
mod matches;
mod open;
mod raw;
mod tables;
mod targets;
mod value;
mod words;

pub use error::ImportError;
pub use ipset::IpSets;

use crate::model::{IpFamily, Name, Ruleset};

/// Reads a text of `iptables-save` ([`IpFamily::Ipv4`]) or `ip6tables-save` ([`IpFamily::Ipv6`])
/// as a rule set: tables `raw`, `mangle`, `nat`, `filter` and `security` of family ip or ip6, in
/// the order of the text.
///
/// Built-in chains become base chains with the type, hook and priority that they have in xtables.
/// Only chains that the text names exist. A rule without a target only counts, so it has a
/// counter; other rules have one where the text gives numbers.
///
/// Matches that are known: addrtype, cgroup, comment, connmark, conntrack, dscp, hl, icmp, icmp6,
/// iprange, length, limit, mark, multiport, owner, physdev, pkttype, recent, rpfilter, sctp, set,
/// socket, state, statistic, tcp, tcpmss, ttl, udp. Targets: ACCEPT, AUDIT, CONNMARK, CT, DNAT,
/// DROP, LOG, MARK, MASQUERADE, NFLOG, NFQUEUE, NOTRACK, REDIRECT, REJECT, RETURN, SNAT, TCPMSS,
/// TPROXY, TRACE, and chains of the table by `-j` and `-g`. The contents of an ipset are not
/// known, so a match of one is kept or refused; [`IpSets::fill`] puts them into what was kept.
///
/// # Errors
/// The first thing that cannot be read or cannot be expressed exactly. [`Ruleset::validate`]
/// checks whether the rules are valid where they are.
pub fn iptables_save(text: &str, family: IpFamily, unknown: Unknown) -> Result<Imported, ImportError> {
    tables::read(text, family, unknown)
}

/// What to do with a match, target or option that is unknown or that nft cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "refuse or keep")]
pub enum Unknown {
    /// It becomes an opaque statement with the name of the extension, which can be compared and
    /// printed but not sent.
    KeepOpaque,
    /// It is an error.
    Refuse,
}

/// A rule set read from a text, and what a rule set cannot hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The tables.
    pub ruleset: Ruleset,
    /// The counters of chains, where the text has them, in the order of the text.
    pub counters: Vec<ChainCounters>,
    /// The comment lines except those that name the printing program and the time: in them
    /// iptables-save(8) warns of what it left out, see [`Remark::is_warning`].
    pub remarks: Vec<Remark>,
}

/// The counters of a chain; a built-in one counts the packets that its policy decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainCounters {
    /// The table.
    pub table: Name,
    /// The chain.
    pub chain: Name,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A comment line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remark {
    /// Its line, from 1.
    pub line: usize,
    /// Its text without the `#`.
    pub text: String,
}

impl Remark {
    /// Returns whether iptables-save(8) reports that it left something out, such as a table that
    /// only nft(8) can list. The rule set is then incomplete: see
    /// [`Rules::with_unknown`](crate::sim::Rules::with_unknown).
    ///
    /// Source: iptables/xtables-save.c and nft.c of iptables 1.8.9.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.text.starts_with("Warning: ") || (self.text.starts_with("Table `") && self.text.contains("incompatible"))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_documented_list_of_extensions_is_complete() {
        let doc = include_str!("mod.rs");
        let list = doc.split_once("Matches that are known: ").and_then(|(_, rest)| rest.split_once(", and chains"));
        let list = list.expect("the doc has a list").0.replace("/// ", "");
        let (matches, targets) = list.split_once(". Targets: ").expect("matches and targets");
        for (listed, mut known) in [(matches, super::matches::names()), (targets, super::targets::names())] {
            known.sort_unstable();
            assert_eq!(listed.split([',', '\n', ' ']).filter(|name| !name.is_empty()).collect::<Vec<_>>(), known);
        }
    }
}
