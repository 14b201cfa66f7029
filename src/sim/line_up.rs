//! What a packet meets at a hook, in the kernel's order, worked out once for all packets.
//!
//! ```text
//! prerouting, output   chains below -200 | tracking | below -100 | nat chains | the rest
//! input, postrouting   chains below 100                          | nat chains | the rest
//! ```
//! Of one priority, what was registered last comes first: tracking with the first rule that asks for it, translation with the first
//! chain of type nat at any hook. What has been deleted since is not seen here.
//!
//! Chains of type nat run at the place of the translation, by their priorities among each other, until one translates
//! (nf_nat_inet_fn, net/netfilter/nf_nat_core.c, v6.12).

use std::cmp::Reverse;

use super::flow::side;
use super::rules::{ChainCode, RuleCode, Rules, TableCode};
use crate::bytecode::Expr;
use crate::model::{Base, Family, Family4or6, Hook, NatKind};

/// The stages of one hook for packets of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct LineUp {
    pub(super) stages: Vec<Stage>,
    /// Whether connections are tracked at all.
    pub(super) tracks: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Chain(ChainAt),
    Track,
    /// Translation, by these chains.
    Translate(Vec<ChainAt>),
}

/// Number of a table, and of a chain in it.
pub(super) type ChainAt = (usize, usize);

/// A line-up for every hook and family.
#[derive(Clone, Debug, Default)]
pub(super) struct LineUps([LineUp; HOOKS.len() * 2]);

impl LineUps {
    pub(super) fn of(rules: &Rules) -> Self {
        LineUps::beside(rules, rules)
    }

    /// As they are in a namespace where other rules, too, can switch tracking and translation on: these have done so last.
    pub(super) fn beside(rules: &Rules, other: &Rules) -> Self {
        let families = [Family::Ip, Family::Ip6].map(|family| {
            let number = if family == Family::Ip { Family4or6::Ipv4 } else { Family4or6::Ipv6 };
            let first = |when: &dyn Fn(&TableCode) -> Option<When>| {
                let own = rules.tables_of(family).filter_map(when).min();
                own.or_else(|| other.tables_of(family).find_map(when).map(|_| (u64::MAX, u64::MAX)))
            };
            (family, first(&translates), first(&|table| tracks(table, number)))
        });
        let mut cases = HOOKS.iter().flat_map(|hook| families.iter().map(move |case| (*hook, *case)));
        LineUps(std::array::from_fn(|_| {
            let case = cases.next();
            case.map(|(hook, (family, translates, tracks))| line_up(rules, hook, family, translates, tracks))
                .unwrap_or_default()
        }))
    }

    pub(super) fn get(&self, hook: Hook, family: Family4or6) -> &LineUp {
        let family = match family {
            Family4or6::Ipv4 => 0,
            Family4or6::Ipv6 => 1,
        };
        let hook = HOOKS.iter().position(|known| *known == hook);
        hook.and_then(|hook| self.0.get(hook * 2 + family)).unwrap_or(&NOTHING)
    }
}

fn line_up(rules: &Rules, hook: Hook, family: Family, translates: Option<When>, tracks: Option<When>) -> LineUp {
    let (mut nat, mut stages) = (Vec::new(), Vec::new());
    for (at, chain, base) in rules.hooked(hook, family) {
        if chain.is_nat() {
            nat.push(at);
        } else {
            stages.push((base.priority.0, Reverse(chain.registered), Stage::Chain(at)));
        }
    }
    let to_translate = translates.filter(|_| hook != Hook::Forward);
    let priority = match side(hook) {
        NatKind::Dnat => NAT_DESTINATION,
        NatKind::Snat => NAT_SOURCE,
    };
    stages.extend(to_translate.map(|when| (priority, Reverse(when), Stage::Translate(nat))));
    let to_track = tracks.filter(|_| matches!(hook, Hook::Prerouting | Hook::Output));
    stages.extend(to_track.map(|when| (CONNTRACK, Reverse(when), Stage::Track)));
    stages.sort_by_key(|(priority, when, _)| (*priority, *when));
    LineUp { stages: stages.into_iter().map(|(.., stage)| stage).collect(), tracks: tracks.is_some() }
}

/// When something was registered, see [`ChainCode::registered`].
type When = (u64, u64);

/// When a table switches address translation on: with its first base chain of type nat.
fn translates(table: &TableCode) -> Option<When> {
    table.chains.iter().filter(|chain| chain.is_nat()).map(|chain| chain.registered).min()
}

/// When a table switches connection tracking on for a family: with its first rule that looks at it or translates, also by an extension of
/// xtables (nf_ct_netns_get in its check of the rule); one that is not known may, so packets come to it, and end there. One that
/// translates to an address does so for the family of the address alone (nft_nat_init, net/netfilter/nft_nat.c, v6.12).
fn tracks(table: &TableCode, family: Family4or6) -> Option<When> {
    let asks = |expr: &Expr| match expr {
        Expr::Nat(nat) => nat.family.is_none_or(|known| known == family),
        Expr::Ct { .. } | Expr::CtSet { .. } | Expr::Masq { .. } | Expr::Redir { .. } => true,
        Expr::Opaque { name, .. } => matches!(&**name, "match" | "target"),
        _ => false,
    };
    let tracks = |rule: &RuleCode| rule.ops.iter().any(|op| op.any(&asks));
    table.chains.iter().filter_map(|chain| chain.registered_rule(tracks)).min()
}

impl Rules {
    fn tables_of(&self, family: Family) -> impl Iterator<Item = &TableCode> {
        self.tables.iter().filter(move |table| table.id.family == Family::Inet || table.id.family == family)
    }

    /// The base chains of a hook for packets of `family`, in the order in which the kernel runs them.
    ///
    /// Of chains with one priority the last registered comes first (nf_hook_entries_grow, net/netfilter/core.c, v6.12).
    fn hooked(&self, hook: Hook, family: Family) -> Vec<(ChainAt, &ChainCode, Base)> {
        let mut hooked = Vec::new();
        for (table_at, table) in self.tables.iter().enumerate() {
            if table.id.family != Family::Inet && table.id.family != family {
                continue;
            }
            let chains = table.chains.iter().enumerate();
            let based = chains.filter_map(|(at, chain)| Some(((table_at, at), chain, chain.base?)));
            hooked.extend(based.filter(|(_, _, base)| base.hook == hook));
        }
        hooked.sort_by_key(|(_, chain, base)| (base.priority, Reverse(chain.registered)));
        hooked
    }

    /// The same rules, with tracking and translation also where `other` switches them on.
    pub(super) fn beside(&self, other: &Rules) -> Rules {
        let mut rules = self.clone();
        rules.line_ups = LineUps::beside(self, other);
        rules
    }

    pub(super) fn line_up(&self, hook: Hook, family: Family4or6) -> &LineUp {
        self.line_ups.get(hook, family)
    }

    pub(super) fn chain_at(&self, (table, chain): ChainAt) -> Option<(&TableCode, &ChainCode, Base)> {
        let table = self.tables.get(table)?;
        let chain = table.chains.get(chain)?;
        Some((table, chain, chain.base?))
    }
}

const HOOKS: [Hook; 5] = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
static NOTHING: LineUp = LineUp { stages: Vec::new(), tracks: false };
/// `NF_IP_PRI_CONNTRACK`, include/uapi/linux/netfilter_ipv4.h.
const CONNTRACK: i32 = -200;
/// `NF_IP_PRI_NAT_DST`.
const NAT_DESTINATION: i32 = -100;
/// `NF_IP_PRI_NAT_SRC`.
const NAT_SOURCE: i32 = 100;
