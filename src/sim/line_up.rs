//! What a packet meets at a hook, in the kernel's order, worked out once for all packets.
//!
//! ```text
//! prerouting, output   chains below -200 | tracking | below -100 | nat chains | the rest
//! input, postrouting   chains below 100                          | nat chains | the rest
//! ```
//! Chains of type nat run at the place of the translation, by their priorities among each other, until one translates
//! (nf_nat_inet_fn, net/netfilter/nf_nat_core.c, v6.12).

use super::rules::{ChainCode, Rules, TableCode};
use crate::bytecode::Expr;
use crate::model::{Base, Family, Family4or6, Hook};

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

    /// As they are in a namespace where other rules, too, can switch tracking and translation on.
    pub(super) fn beside(rules: &Rules, other: &Rules) -> Self {
        let families = [Family::Ip, Family::Ip6].map(|family| {
            let both = || rules.tables_of(family).chain(other.tables_of(family));
            (family, both().any(translates), both().any(tracks))
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

fn line_up(rules: &Rules, hook: Hook, family: Family, translates: bool, tracks: bool) -> LineUp {
    let (mut nat, mut stages) = (Vec::new(), Vec::new());
    for (at, chain, base) in rules.hooked(hook, family) {
        if chain.is_nat() {
            nat.push(at);
        } else {
            stages.push((base.priority.0, Stage::Chain(at)));
        }
    }
    // A stable sort: what tracks or translates comes before chains of the same priority.
    let source = matches!(hook, Hook::Input | Hook::Postrouting);
    if translates && hook != Hook::Forward {
        stages.insert(0, (if source { NAT_SOURCE } else { NAT_DESTINATION }, Stage::Translate(nat)));
    }
    if matches!(hook, Hook::Prerouting | Hook::Output) && tracks {
        stages.insert(0, (CONNTRACK, Stage::Track));
    }
    stages.sort_by_key(|(priority, _)| *priority);
    LineUp { stages: stages.into_iter().map(|(_, stage)| stage).collect(), tracks }
}

/// Whether a table switches address translation on: any base chain of type nat does.
fn translates(table: &TableCode) -> bool {
    table.chains.iter().any(ChainCode::is_nat)
}

/// Whether a table switches connection tracking on: any rule that looks at it or translates does, also by an extension of xtables
/// (nf_ct_netns_get in its check of the rule). One that is not known may: so packets come to it, and end there.
fn tracks(table: &TableCode) -> bool {
    let tracks = |expr: &Expr| match expr {
        Expr::Ct { .. } | Expr::CtSet { .. } | Expr::Masq { .. } | Expr::Nat(_) | Expr::Redir { .. } => true,
        Expr::Opaque { name, .. } => matches!(&**name, "match" | "target"),
        _ => false,
    };
    table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.ops).any(|op| op.any(&tracks))
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
        hooked.sort_by_key(|(_, chain, base)| (base.priority, std::cmp::Reverse(chain.registered)));
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
