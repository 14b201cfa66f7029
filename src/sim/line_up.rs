//! The stages that a packet passes at a hook, in the kernel's order, computed once for all packets.
//!
//! ```text
//! prerouting, output   chains below -200 | tracking | below -100 | nat chains | the rest
//! input, postrouting   chains below 100                          | nat chains | the rest
//! ```
//! At equal priority, the most recently registered runs first: tracking is registered with the
//! first rule that needs it, translation with the first chain of type nat at any hook. Where the
//! order of registration is not known, the stages are [`Unordered`].
//!
//! Chains of type nat run at the place of the translation, by their priorities, until one
//! translates (nf_nat_inet_fn, net/netfilter/nf_nat_core.c, v6.12).

use std::cmp::Reverse;
use std::sync::Arc;

use super::connections::side;
use super::rules::{ChainCode, RuleCode, Rules, TableCode};
use crate::bytecode::{Expr, NatCode};
use crate::model::{Base, Family, Hook, IpFamily, NatKind, TableId};
use crate::state::{HookFunction, Hooks};

/// The stages of one hook for packets of one family.
#[derive(Clone, Debug, Default)]
pub(super) struct LineUp {
    pub(super) stages: Vec<Stage>,
    /// Whether connections are tracked.
    pub(super) tracks: bool,
    /// Whether fragments are, or may be, reassembled before most rules see them.
    pub(super) defragments: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Chain(ChainAt),
    /// Something that is not modelled.
    Foreign(Arc<str>),
    Track,
    /// Translation by these chains.
    Translate(NatChains),
    /// Stages of one priority whose order is not completely known.
    Unordered(Unordered),
}

/// Chains of type nat, in a possible order.
#[derive(Clone, Debug, Default)]
pub(super) struct NatChains {
    pub(super) chains: Vec<ChainAt>,
    pub(super) unknown: UnknownPairs,
    /// Something that is not modelled, after this many of them.
    pub(super) foreign: Option<(usize, Arc<str>)>,
}

/// Stages in a possible order.
#[derive(Clone, Debug)]
pub(super) struct Unordered {
    pub(super) stages: Vec<Stage>,
    pub(super) unknown: UnknownPairs,
}

/// Pairs of indices, the lower one first, of which either may come first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnknownPairs(Vec<(usize, usize)>);

impl UnknownPairs {
    fn of<T>(items: &[T], is_known: impl Fn(&T, &T) -> bool) -> Self {
        let later = |at: usize| items.iter().enumerate().skip(at + 1);
        let pairs = items.iter().enumerate().flat_map(|(at, item)| {
            let unknown = later(at).filter(|(_, other)| !is_known(item, other));
            unknown.map(|(other, _)| (at, other)).collect::<Vec<_>>()
        });
        UnknownPairs(pairs.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns every possible order of some of the indices, which are given in ascending order.
    pub(super) fn orders(&self, of: &[usize]) -> Vec<Vec<usize>> {
        if of.is_empty() {
            return vec![Vec::new()];
        }
        let may_lead = |at: usize, lead: usize| of.iter().take(at).all(|before| self.0.contains(&(*before, lead)));
        let led = |(at, lead): (usize, &usize)| {
            let rest: Vec<usize> = of.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, of)| *of).collect();
            let orders = if may_lead(at, *lead) { self.orders(&rest) } else { Vec::new() };
            orders.into_iter().map(|rest| std::iter::once(*lead).chain(rest).collect()).collect::<Vec<Vec<usize>>>()
        };
        of.iter().enumerate().flat_map(led).collect()
    }
}

impl LineUp {
    /// Returns whether the order is completely known and everything is modelled.
    pub(super) fn is_certain(&self) -> bool {
        self.stages.iter().all(|stage| match stage {
            Stage::Chain(_) | Stage::Track => true,
            Stage::Foreign(_) | Stage::Unordered(_) => false,
            Stage::Translate(nat) => nat.unknown.is_empty() && nat.foreign.is_none(),
        })
    }
}

impl Stage {
    /// Returns the parts of the stage, or the stage itself.
    pub(super) fn parts(&self) -> &[Stage] {
        match self {
            Stage::Unordered(Unordered { stages, .. }) => stages,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Index of a table, and of a chain in it.
pub(super) type ChainAt = (usize, usize);

/// What is known of the order in which base chains were registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Registered {
    /// One transaction created all of them, tables and chains one after the other.
    #[default]
    AtOnce,
    /// The order in which the kernel lists them.
    Listed(Arc<Hooks>),
    /// Only the order within a table, by handles. It is not known when which table got which chain,
    /// nor when tracking and translation were enabled, perhaps by a rule or chain that has been
    /// deleted.
    WithinTables,
}

/// A line-up for every hook and family.
#[derive(Clone, Debug, Default)]
pub(super) struct LineUps([LineUp; Hook::ALL.len() * 2]);

impl LineUps {
    pub(super) fn of(rules: &Rules) -> Self {
        LineUps::beside(rules, rules)
    }

    /// Returns the line-ups in a namespace where other rules can also enable tracking and
    /// translation; theirs are registered last.
    pub(super) fn beside(rules: &Rules, other: &Rules) -> Self {
        let families = [Family::Ip, Family::Ip6].map(|family| {
            let number = if family == Family::Ip { IpFamily::Ipv4 } else { IpFamily::Ipv6 };
            let first = |when: &dyn Fn(&TableCode) -> Option<(u64, u64)>| {
                let own = rules.tables_of(family).filter_map(when).min().map(When::At);
                own.or_else(|| other.tables_of(family).find_map(when).map(|_| When::Last))
            };
            (family, number, first(&translates), first(&|table| tracks(table, number)))
        });
        let mut cases = Hook::ALL.iter().flat_map(|hook| families.iter().map(move |case| (*hook, *case)));
        LineUps(std::array::from_fn(|_| {
            let case = cases.next();
            case.map(|(hook, (family, number, translates, tracks))| {
                let at = AtHook { rules, hook, family, number };
                at.line_up(translates, tracks)
            })
            .unwrap_or_default()
        }))
    }

    /// Returns a single line-up, at one hook for one family.
    pub(super) fn one(hook: Hook, family: IpFamily, line_up: LineUp) -> Self {
        let mut all = LineUps::default();
        if let Some(slot) = slot(hook, family).and_then(|slot| all.0.get_mut(slot)) {
            *slot = line_up;
        }
        all
    }

    pub(super) fn get(&self, hook: Hook, family: IpFamily) -> &LineUp {
        slot(hook, family).and_then(|slot| self.0.get(slot)).unwrap_or(&NOTHING)
    }
}

fn slot(hook: Hook, family: IpFamily) -> Option<usize> {
    let family = match family {
        IpFamily::Ipv4 => 0,
        IpFamily::Ipv6 => 1,
    };
    Hook::ALL.iter().position(|known| *known == hook).map(|hook| hook * 2 + family)
}

/// When something was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    /// The order of its table, and the order in it.
    At((u64, u64)),
    /// After everything that is here.
    Last,
}

/// Something at a hook.
struct Item {
    priority: i32,
    /// Its index in the kernel's list.
    listed: Option<usize>,
    when: When,
    stage: Stage,
}

#[derive(Clone, Copy)]
struct AtHook<'a> {
    rules: &'a Rules,
    hook: Hook,
    family: Family,
    number: IpFamily,
}

impl AtHook<'_> {
    fn line_up(self, translates: Option<When>, tracks: Option<When>) -> LineUp {
        let (mut nat, mut items) = (Vec::new(), Vec::new());
        for (at, chain, base) in self.rules.hooked(self.hook, self.family) {
            let listed = self.listed(|function| function.chain.as_ref() == Some(&*chain.id));
            let when = When::At(chain.registered);
            let item = Item { priority: base.priority.0, listed, when, stage: Stage::Chain(at) };
            if chain.is_nat() { nat.push(item) } else { items.push(item) }
        }
        nat.sort_by_key(Item::key);
        let unknown = UnknownPairs::of(&nat, |a, b| a.priority != b.priority || self.is_known(a, b));
        let chains = nat.iter().filter_map(|item| if let Stage::Chain(at) = item.stage { Some(at) } else { None });
        let chains = chains.collect();
        let to_translate = translates.filter(|_| self.hook != Hook::Forward);
        // It runs among the chains of type nat, by its priority (ipt_nat_register_lookups,
        // net/ipv4/netfilter/iptable_nat.c, v6.12): at equal priority, it may run before them.
        let is_legacy_nat = |table: &TableId| to_translate.is_some() && table.name == *"nat";
        let foreign = self.older().find(|(table, _)| is_legacy_nat(table));
        let foreign = foreign.map(|(table, priority)| {
            (nat.iter().take_while(|item| item.priority < priority).count(), unknown_table(table))
        });
        let nat = NatChains { chains, unknown, foreign };
        let priority = match side(self.hook) {
            NatKind::Dnat => NAT_DESTINATION,
            NatKind::Snat => NAT_SOURCE,
        };
        items.extend(to_translate.map(|when| Item {
            priority,
            listed: self.listed(is_translation),
            when,
            stage: Stage::Translate(nat),
        }));
        let to_track = tracks.filter(|_| matches!(self.hook, Hook::Prerouting | Hook::Output));
        items.extend(to_track.map(|when| Item {
            priority: CONNTRACK,
            listed: self.listed(is_tracking),
            when,
            stage: Stage::Track,
        }));
        items.extend(self.foreign(is_legacy_nat));
        items.sort_by_key(Item::key);
        let defragments = tracks.is_some() || self.rules.tables_of(self.family).any(may_defragment);
        LineUp { stages: self.stages(items), tracks: tracks.is_some(), defragments }
    }

    /// Returns the stages one after the other, with those of one priority grouped if their order is
    /// not known.
    fn stages(self, items: Vec<Item>) -> Vec<Stage> {
        let mut stages = Vec::with_capacity(items.len());
        let mut items = items.into_iter().peekable();
        while let Some(first) = items.next() {
            let mut group = vec![first];
            while let Some(next) = items.next_if(|next| group.iter().all(|known| known.priority == next.priority)) {
                group.push(next);
            }
            let unknown = UnknownPairs::of(&group, |a, b| self.is_known(a, b));
            let group = group.into_iter().map(|item| item.stage);
            if unknown.is_empty() {
                stages.extend(group);
            } else {
                stages.push(Stage::Unordered(Unordered { stages: group.collect(), unknown }));
            }
        }
        stages
    }

    /// Returns whether it is known which of two at equal priority comes first: it is then the one
    /// with the lower key.
    fn is_known(self, a: &Item, b: &Item) -> bool {
        if a.when == When::Last || b.when == When::Last {
            return true;
        }
        match (&self.rules.registered, &a.stage, &b.stage) {
            // Legacy tables may have enabled it before.
            (Registered::AtOnce, Stage::Track | Stage::Translate(_), _)
            | (Registered::AtOnce, _, Stage::Track | Stage::Translate(_)) => self.older().next().is_none(),
            (Registered::AtOnce, ..) => true,
            (Registered::Listed(_), ..) if a.listed.is_some() && b.listed.is_some() => true,
            (_, Stage::Chain((a_table, _)), Stage::Chain((b_table, _))) => a_table == b_table,
            _ => false,
        }
    }

    fn functions(&self) -> &[HookFunction] {
        match &self.rules.registered {
            Registered::Listed(hooks) => hooks.at(self.number, self.hook).unwrap_or_default(),
            Registered::AtOnce | Registered::WithinTables => &[],
        }
    }

    fn listed(&self, is: impl Fn(&HookFunction) -> bool) -> Option<usize> {
        self.functions().iter().position(is)
    }

    /// Returns what runs here and is not modelled: functions in the kernel's list, and tables of
    /// iptables-legacy.
    fn foreign(&self, is_elsewhere: impl Fn(&TableId) -> bool) -> Vec<Item> {
        let listed = self.functions().iter().enumerate().filter(|(_, function)| is_foreign(function));
        let listed = listed.map(|(at, function)| {
            let what = function.name.as_deref().unwrap_or("a function without a name");
            let module = function.module.as_ref().map(|module| format!(" of {module}")).unwrap_or_default();
            Item {
                priority: function.priority,
                listed: Some(at),
                when: When::At((0, 0)),
                stage: Stage::Foreign(format!("what {what}{module} does at {}", self.hook.name()).into()),
            }
        });
        let older = self.older().filter(|(table, _)| !is_elsewhere(table)).map(|(table, priority)| Item {
            priority,
            listed: None,
            when: When::At((0, 0)),
            stage: Stage::Foreign(unknown_table(table)),
        });
        listed.chain(older).collect()
    }

    /// Returns the tables of iptables-legacy that are hooked here.
    fn older(&self) -> impl Iterator<Item = (&TableId, i32)> {
        let older = self.rules.older.iter().filter(|table| table.family == self.family);
        older.filter_map(|table| Some((table, legacy_priority(table.name.as_str(), self.hook)?)))
    }
}

impl Item {
    /// Returns the sort key: at equal priority, the order of the kernel's list, otherwise the most
    /// recently registered first (nf_hook_entries_grow, net/netfilter/core.c, v6.12).
    fn key(&self) -> (i32, usize, Reverse<When>) {
        (self.priority, self.listed.unwrap_or(usize::MAX), Reverse(self.when))
    }
}

fn unknown_table(table: &TableId) -> Arc<str> {
    format!("what table {table} of iptables-legacy does").into()
}

fn is_translation(function: &HookFunction) -> bool {
    function.name.as_deref().is_some_and(|name| name.starts_with("nf_nat_"))
}

fn is_tracking(function: &HookFunction) -> bool {
    let names = ["ipv4_conntrack_in", "ipv4_conntrack_local", "ipv6_conntrack_in", "ipv6_conntrack_local"];
    function.name.as_deref().is_some_and(|name| names.contains(&name))
}

/// Returns whether a function neither belongs to nf_tables nor is known to leave packets unchanged,
/// like reassembly, confirmation of connections, their helpers, and labels of security modules.
fn is_foreign(function: &HookFunction) -> bool {
    let HookFunction { priority: _, chain, name, module: _ } = function;
    let known = ["ipv4_conntrack_defrag", "ipv6_defrag", "nf_confirm", "ipv4_confirm", "ipv6_confirm", "ipv4_helper"];
    let is_known = |name: &str| {
        known.contains(&name) || name == "ipv6_helper" || name.starts_with("selinux_") || name.starts_with("apparmor_")
    };
    let has_meaning = is_tracking(function) || is_translation(function) || name.as_deref().is_some_and(is_known);
    chain.is_none() && !has_meaning
}

/// Returns the priority of a table of iptables-legacy (`packet_table` in
/// net/ipv4/netfilter/iptable_*.c, v6.12).
fn legacy_priority(table: &str, hook: Hook) -> Option<i32> {
    match (table, hook) {
        ("raw", Hook::Prerouting | Hook::Output) => Some(-300),
        ("mangle", _) => Some(-150),
        ("nat", Hook::Prerouting | Hook::Output) => Some(NAT_DESTINATION),
        ("nat", Hook::Input | Hook::Postrouting) => Some(NAT_SOURCE),
        ("filter", Hook::Input | Hook::Forward | Hook::Output) => Some(0),
        ("security", Hook::Input | Hook::Forward | Hook::Output) => Some(50),
        ("raw" | "nat" | "filter" | "security", _) => None,
        // An unknown table may run anywhere.
        _ => Some(i32::MIN),
    }
}

/// Returns when a table enables address translation: with its first base chain of type nat.
fn translates(table: &TableCode) -> Option<(u64, u64)> {
    table.chains.iter().filter(|chain| chain.is_nat()).map(|chain| chain.registered).min()
}

/// Returns when a table enables connection tracking for a family: with its first rule that reads
/// conntrack or translates, also by an xtables extension (nf_ct_netns_get when the rule is
/// checked). An unknown extension may, so packets reach it and their walk ends there. A rule that
/// translates to an address enables it only for the family of the address (nft_nat_init,
/// net/netfilter/nft_nat.c, v6.12).
fn tracks(table: &TableCode, number: IpFamily) -> Option<(u64, u64)> {
    let asks = |expr: &Expr| match expr {
        Expr::Nat(NatCode { family, kind: _, addresses: _, ports: _, flags: _ }) => {
            family.is_none_or(|known| known == number)
        }
        Expr::Ct { key: _, dreg: _ } | Expr::CtSet { key: _, sreg: _ } => true,
        Expr::CtDirected(_) | Expr::CtDirectedSet(_) | Expr::Connlimit(_) | Expr::Synproxy(_) => true,
        // The object may be one of connection tracking, and so may what a set's elements hold.
        Expr::Objref(_) | Expr::ObjrefMap(_) | Expr::FlowOffload(_) => true,
        Expr::Dynset(code) => code.exprs.iter().any(|expr| matches!(expr, Expr::Connlimit(_))),
        Expr::BitwiseTo(_) | Expr::Shift(_) | Expr::Combine(_) | Expr::ByteorderTo(_) | Expr::Dup(_) => false,
        Expr::Exthdr(_) | Expr::ExthdrSet(_) | Expr::ExthdrReset(_) | Expr::Fwd(_) | Expr::Inner(_) => false,
        Expr::Jhash(_) | Expr::Symhash(_) | Expr::Last(_) | Expr::Numgen(_) | Expr::Osf(_) => false,
        Expr::PayloadSet(_) | Expr::QueueTo(_) | Expr::Quota(_) | Expr::Rt(_) | Expr::SocketCgroup(_) => false,
        Expr::Tunnel(_) | Expr::Xfrm(_) => false,
        Expr::Masq { ports: _, flags: _ } | Expr::Redir { ports: _, flags: _ } => true,
        Expr::Opaque { name, data: _, set: _ } => matches!(&**name, "match" | "target"),
        Expr::Bitwise(_) | Expr::Byteorder { reg: _, len: _ } | Expr::Cmp { sreg: _, op: _, data: _ } => false,
        Expr::Counter { packets: _, bytes: _ } | Expr::Fib { result: _, flags: _, dreg: _ } => false,
        Expr::Immediate { dreg: _, data: _ } | Expr::Limit(_) | Expr::Log(_) | Expr::Notrack => false,
        Expr::Lookup { sreg: _, dreg: _, set: _, inverted: _ } | Expr::Meta { key: _, dreg: _ } => false,
        Expr::MetaSet { key: _, sreg: _ } | Expr::Payload { base: _, offset: _, len: _, dreg: _ } => false,
        Expr::Queue(_) | Expr::Range { sreg: _, op: _, low: _, high: _ } | Expr::Reject(_) => false,
        Expr::Socket { key: _, dreg: _ } | Expr::Tproxy(_) | Expr::Verdict(_) => false,
    };
    let tracks = |rule: &RuleCode| rule.ops.iter().any(|op| op.any(&asks));
    table.chains.iter().filter_map(|chain| chain.registered_rule(tracks)).min()
}

/// Returns whether a table enables reassembly of fragments without connection tracking
/// (nft_socket_init and nft_tproxy_init, net/netfilter, v6.12), or may.
fn may_defragment(table: &TableCode) -> bool {
    let is_it = |expr: &Expr| {
        matches!(
            expr,
            Expr::Socket { key: _, dreg: _ }
                | Expr::SocketCgroup(_)
                | Expr::Tproxy(_)
                | Expr::Opaque { name: _, data: _, set: _ }
        )
    };
    let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
    rules.any(|rule| rule.ops.iter().any(|op| op.any(&is_it)))
}

impl Rules {
    fn tables_of(&self, family: Family) -> impl Iterator<Item = &TableCode> {
        self.tables.iter().filter(move |table| table.id.family == Family::Inet || table.id.family == family)
    }

    /// Returns the base chains of a hook for packets of `family`.
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
        hooked
    }

    /// Returns the same rules, with tracking and translation also enabled by `other`.
    pub(super) fn beside(&self, other: &Rules) -> Rules {
        let mut rules = self.clone();
        rules.line_ups = LineUps::beside(self, other);
        rules
    }

    pub(super) fn line_up(&self, hook: Hook, family: IpFamily) -> &LineUp {
        self.line_ups.get(hook, family)
    }

    pub(super) fn chain_at(&self, (table, chain): ChainAt) -> Option<(&TableCode, &ChainCode, Base)> {
        let table = self.tables.get(table)?;
        let chain = table.chains.get(chain)?;
        Some((table, chain, chain.base?))
    }
}

static NOTHING: LineUp = LineUp { stages: Vec::new(), tracks: false, defragments: false };
/// `NF_IP_PRI_CONNTRACK_DEFRAG`, include/uapi/linux/netfilter_ipv4.h.
pub(super) const DEFRAGMENTATION: i32 = -400;
/// `NF_IP_PRI_CONNTRACK`, include/uapi/linux/netfilter_ipv4.h.
const CONNTRACK: i32 = -200;
/// `NF_IP_PRI_NAT_DST`.
const NAT_DESTINATION: i32 = -100;
/// `NF_IP_PRI_NAT_SRC`.
const NAT_SOURCE: i32 = 100;
