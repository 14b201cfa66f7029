//! Extensions of xtables, as iptables-nft(8) puts them into the kernel: a name, a revision, and a
//! block of data (nft_compat.c).
//!
//! The meaning of an extension is expressed in nft statements, so that one machine runs both, and
//! only where they do exactly the same: an extension, a revision or a field that is not known here
//! has no meaning. The layouts are those of include/uapi/linux/netfilter/xt_*.h, v6.12; numbers are
//! in host byte order, addresses and the ports of translations in network byte order. No input
//! makes the reader panic.

mod blob;
mod extension;
mod info;
mod matches;
mod questions;
mod targets;

use std::borrow::Cow;

use crate::bytecode::Expr;
use crate::model::{Family, Field, IpFamily, Match, Op, Opaque, Operand, Statement};
pub(crate) use blob::Blob;
pub(crate) use extension::{Extension, options, write_options};
use info::Info;
pub(crate) use questions::{Answers, Asked, Beyond, End, OfConnection, Question, ReversePath};

/// The meaning of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Matches when all of these hold.
    Asks(Vec<Asked>),
    /// Limits the maximum segment size that a TCP packet announces, and continues.
    Limits(SegmentLimit),
    /// Does what the first of these lists that matches to its end does. If none does, the extension
    /// does not match.
    Lists(Vec<Vec<Statement>>),
    Owner(XtOwner),
}

/// The value to which TCPMSS lowers a larger maximum segment size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentLimit {
    /// The size that fits the path MTU.
    Path,
    To(u16),
}

/// `struct xt_owner_match_info`, xt_owner.h. Unlike `meta skuid`, it can match packets without a
/// socket: it does so when every condition is negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XtOwner {
    pub(crate) uids: (u32, u32),
    pub(crate) gids: (u32, u32),
    /// The conditions that are present: `UID`, `GID` and `SOCKET`.
    pub(crate) conditions: u8,
    /// The conditions that are negated.
    pub(crate) negated: u8,
}

impl XtOwner {
    pub(crate) const UID: u8 = 1;
    pub(crate) const GID: u8 = 2;
    pub(crate) const SOCKET: u8 = 4;
}

/// Returns the meaning of an expression of this name, with these attributes, in a table of
/// `family`; `None` when it is not known.
pub(crate) fn read(expr: &str, attributes: &[u8], family: Family) -> Option<Meaning> {
    let name = extension(expr, attributes)?;
    if let ("match", Some(asked)) = (expr, questions::kept(&name, attributes)) {
        return Some(Meaning::Asks(vec![asked]));
    }
    let Extension { revision, info, .. } = Extension::read(attributes)?;
    let info = Info::new(info);
    let family = match family {
        Family::Ip => Some(IpFamily::Ipv4),
        Family::Ip6 => Some(IpFamily::Ipv6),
        Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => None,
    };
    match expr {
        "match" => matches::read(&name, revision, info, family),
        "target" if (&*name, revision) == ("TCPMSS", 0) => targets::segment(info.sized(2)?).map(Meaning::Limits),
        "target" => targets::read(&name, revision, info, family).map(Meaning::Lists),
        _ => None,
    }
}

/// Returns the name of the extension that an expression of iptables-nft runs.
pub(crate) fn extension(expr: &str, attributes: &[u8]) -> Option<String> {
    if matches!(expr, "match" | "target") { extension::name(attributes).map(Cow::into_owned) } else { None }
}

/// Returns a comparison, or its opposite.
fn when(field: Field, not: bool, operand: Operand) -> Statement {
    Statement::Match(Match::new(field, if not { Op::Ne } else { Op::Eq }, operand))
}

/// Returns a statement of raw expressions, for what no other statement expresses exactly.
fn code(name: &str, exprs: Vec<Expr>) -> Statement {
    Statement::Opaque(Opaque::new(name, None, exprs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(name: &str, revision: u32, info: &[u8]) -> Vec<u8> {
        Extension { name: name.into(), revision, info }.write()
    }

    #[test]
    fn no_xtables_block_makes_the_reader_panic() {
        let names = [
            (
                "match",
                "addrtype comment connmark conntrack icmp icmp6 iprange mark multiport owner physdev pkttype recent \
                 rpfilter sctp set statistic tcp tcpmss udp",
            ),
            (
                "target",
                "AUDIT CONNMARK CT DNAT LOG MARK MASQUERADE NFLOG NOTRACK REDIRECT REJECT SNAT TCPMSS TPROXY TRACE",
            ),
        ];
        let mut known = std::collections::BTreeSet::new();
        for (expr, names) in names {
            for name in names.split(' ') {
                for (revision, length, fill) in (0..4).flat_map(|rev| {
                    (0..300).flat_map(move |len| (0..=255).step_by(15).map(move |fill| (rev, len, fill)))
                }) {
                    // The length of the array of ranges, or a first port.
                    let mut info = vec![fill; length];
                    if let Some(first) = info.first_chunk_mut() {
                        *first = u32::from(fill).to_ne_bytes();
                    }
                    for family in [Family::Ip, Family::Ip6, Family::Inet] {
                        if read(expr, &attributes(name, revision, &info), family).is_some() {
                            known.insert(name);
                        }
                    }
                }
            }
        }
        assert!(known.len() > 24, "{known:?}");
        assert_eq!(read("match", &[3, 0, 1, 0], Family::Ip), None);
    }

    #[test]
    fn icmp_type_any_matches_everything_and_its_negation_nothing() {
        let read =
            |name, family, info: [u8; 4]| read("match", &attributes(name, 0, &[&info[..], &[0; 4]].concat()), family);
        let lists = |lists| Some(Meaning::Lists(lists));
        for (info, expected) in [
            ([255, 0, 255, 0], lists(vec![Vec::new()])),
            ([255, 3, 3, 0], lists(vec![Vec::new()])),
            ([255, 0, 255, 1], lists(Vec::new())),
            ([8, 0, 255, 2], None),
            ([8, 2, 1, 0], None),
        ] {
            assert_eq!(read("icmp", Family::Ip, info), expected, "{info:?}");
        }
        // ICMPv6 has no type that matches all types.
        let meaning = read("icmp6", Family::Ip6, [255, 0, 255, 1]);
        assert!(matches!(&meaning, Some(Meaning::Lists(lists)) if lists.len() == 1), "{meaning:?}");
        for (name, family) in [("icmp", Family::Ip6), ("icmp6", Family::Ip), ("icmp", Family::Inet)] {
            assert_eq!(read(name, family, [8, 0, 255, 0]), None, "{name} in {family}");
        }
    }

    #[test]
    fn blocks_of_unknown_size_or_revision_have_no_meaning() {
        let info = |length: usize| (0..length).map(|at| u8::from(at < 8)).collect::<Vec<_>>();
        let mark = |name, revision, length| read("match", &attributes(name, revision, &info(length)), Family::Ip);
        assert!(mark("mark", 1, 16).is_some());
        for (name, revision, length, why) in [
            ("mark", 1, 8, "too short"),
            ("mark", 1, 24, "too long"),
            ("mark", 2, 16, "another revision"),
            ("MARK", 2, 16, "a target"),
        ] {
            assert_eq!(mark(name, revision, length), None, "{why}");
        }
    }
}
