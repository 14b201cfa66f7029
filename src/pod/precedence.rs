//! What runs before ours: chains and tables of others that a packet meets, at a hook that we use,
//! before a chain of ours, and what they can do there.
//!
//! The kernel runs the chains of a hook by priority, lowest first, and among equal priorities the
//! one registered last (nf_hook_entries_grow, net/netfilter/core.c, v6.12). No dump reports that
//! order, so such a chain is reported as possibly running before. Chains of type nat run at one
//! point of the hook, -100 for destination and 100 for source translation, whatever their
//! priorities are, and the priorities order them among themselves (nf_nat_register_fn,
//! net/netfilter/nf_nat_core.c).
//!
//! Not every verdict is decisive. An accept ends only its own chain, and the next chain of the
//! hook still sees the packet. The same holds for a chain of type nat, since only a translation
//! ends the sequence of nat chains. A mark matters when our rules match marks.

use std::collections::BTreeSet;
use std::fmt;

use super::powers::{self, Power};
use crate::bytecode::{CtKey, Expr, MetaKey, SetMode, Sets, lower};
use crate::model::{Chain, ChainId, ChainKind, ChainType, Family, Hook, Name, Ruleset, Table, TableId};
use crate::state::{Snapshot, TableState};

/// A foreign chain or table that runs, or may run, before a chain of ours and can affect packets
/// there.
///
/// Prints in one line, with the names escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Precedent {
    /// The chain or table.
    pub who: Who,
    /// The hook.
    pub hook: Hook,
    /// Its priority there.
    pub priority: i32,
    /// The chains of ours before which it runs.
    pub before: Vec<ChainId>,
    /// The chains of ours with the same priority; the one registered last runs first.
    pub perhaps_before: Vec<ChainId>,
    /// What it can do that affects our rules; for a table of iptables-legacy, what the rules of
    /// such a table can do.
    pub can: BTreeSet<Power>,
}

/// The owner of the rules that run before ours.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "nf_tables and the older kind")]
pub enum Who {
    /// A base chain of nf_tables, made by nft(8) or iptables-nft(8).
    Chain(ChainId),
    /// A table of iptables-legacy(8), whose rules are not read.
    Legacy(TableId),
}

/// Returns the chains of `held` that run, or may run, before a base chain of `wanted` and can
/// affect packets there. Tables in `ours` are skipped.
///
/// ```no_run
/// use nftmesh::kernel::Kernel;
/// use nftmesh::pod::{Pod, precedents};
/// use nftmesh::mesh::istio::IstioConfig;
/// use nftmesh::model::Ruleset;
///
/// let wanted = Ruleset::from(&IstioConfig::builder().build()?);
/// for precedent in precedents(&Kernel::open()?.snapshot()?, &wanted, &Pod::tables()) {
///     println!("{precedent}");
/// }
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[must_use]
pub fn precedents(held: &Snapshot, wanted: &Ruleset, ours: &[TableId]) -> Vec<Precedent> {
    let own = own_chains(wanted);
    let mut found = Vec::new();
    for table in foreign(held, ours) {
        for (name, stand) in table.chains.iter().filter_map(|chain| Some((&chain.name, Stand::of(table, &chain.name)?)))
        {
            // Only chains that come before are analysed.
            if own.iter().any(|own| stand.before(&own.stand).is_some()) {
                let can = powers::of_chain(table, name, stand.hook, stand.priority);
                found.extend(precedent(Who::Chain(table.id.chain(name)), stand, &can, &own));
            }
        }
    }
    found
}

/// Returns the same for tables of iptables-legacy: those of IPv4, and those of IPv6.
pub(super) fn legacy_precedents(tables: &[Vec<String>; 2], wanted: &Ruleset) -> Vec<Precedent> {
    let own = own_chains(wanted);
    let mut found = Vec::new();
    for (family, names) in [Family::Ip, Family::Ip6].into_iter().zip(tables) {
        for name in names {
            let who = Who::Legacy(TableId::new(family, name.as_str()));
            for place in powers::LEGACY.iter().filter(|place| place.table == name) {
                let stand = Stand { family, hook: place.hook, priority: place.priority, nat: place.is_nat() };
                found.extend(precedent(who.clone(), stand, &place.can(), &own));
            }
        }
    }
    found
}

/// Returns the foreign tables with a base chain that runs, or may run, before one of ours.
pub(super) fn preceding_tables(outline: &Snapshot, wanted: &Ruleset, ours: &[TableId]) -> Vec<TableId> {
    let own = own_chains(wanted);
    let precedes = |table: &&TableState| {
        let mut stands = table.chains.iter().filter_map(|chain| Stand::of(table, &chain.name));
        stands.any(|stand| own.iter().any(|own| stand.before(&own.stand).is_some()))
    };
    foreign(outline, ours).filter(precedes).map(|table| table.id.clone()).collect()
}

fn foreign<'s>(held: &'s Snapshot, ours: &'s [TableId]) -> impl Iterator<Item = &'s TableState> {
    held.tables.iter().filter(|table| table.flags & DORMANT == 0 && !ours.contains(&table.id))
}

fn precedent(who: Who, stand: Stand, can: &BTreeSet<Power>, own: &[Own]) -> Option<Precedent> {
    let (mut before, mut perhaps_before, mut minded) = (Vec::new(), Vec::new(), BTreeSet::new());
    for own in own {
        let Some(order) = stand.before(&own.stand) else { continue };
        let can = can.iter().filter(|power| own.minds(power)).cloned().collect::<Vec<_>>();
        if !can.is_empty() {
            let list = if order == Order::Before { &mut before } else { &mut perhaps_before };
            list.push(own.id.clone());
            minded.extend(can);
        }
    }
    let Stand { hook, priority, .. } = stand;
    (!minded.is_empty()).then_some(Precedent { who, hook, priority, before, perhaps_before, can: minded })
}

/// The known order of two chains at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// It runs before the other.
    Before,
    /// Both have the same priority.
    Perhaps,
}

/// The position of a chain at a hook.
#[derive(Clone, Copy)]
struct Stand {
    family: Family,
    hook: Hook,
    priority: i32,
    nat: bool,
}

impl Stand {
    /// Returns the position of a base chain at a hook of IP.
    fn of(table: &TableState, chain: &Name) -> Option<Stand> {
        let TableId { family, name: _ } = table.id;
        if !matches!(family, Family::Inet | Family::Ip | Family::Ip6) {
            return None;
        }
        let at = table.chain(chain.as_str())?.hook.as_ref()?;
        let hook = Hook::ALL.into_iter().find(|hook| hook.number() == at.hook)?;
        Some(Stand { family, hook, priority: at.priority, nat: at.chain_type == ChainType::Nat.name() })
    }

    /// Returns the order in which a packet meets the two chains, unless this one comes later.
    fn before(&self, other: &Stand) -> Option<Order> {
        let apart = matches!((self.family, other.family), (Family::Ip, Family::Ip6) | (Family::Ip6, Family::Ip));
        if self.hook != other.hook || apart {
            return None;
        }
        let places = match self.nat && other.nat {
            true => (self.priority, other.priority),
            false => (self.place(), other.place()),
        };
        match places.0.cmp(&places.1) {
            std::cmp::Ordering::Less => Some(Order::Before),
            std::cmp::Ordering::Equal => Some(Order::Perhaps),
            std::cmp::Ordering::Greater => None,
        }
    }

    fn place(&self) -> i32 {
        match (self.nat, self.hook) {
            (false, _) => self.priority,
            (true, Hook::Prerouting | Hook::Output) => NAT_DESTINATION,
            (true, Hook::Input | Hook::Forward | Hook::Postrouting) => NAT_SOURCE,
        }
    }
}

/// A base chain of ours, and what affects it.
struct Own {
    id: ChainId,
    stand: Stand,
    reads_mark: bool,
    reads_connection_mark: bool,
    sets_zone: bool,
    tracks: bool,
}

impl Own {
    /// Returns whether this chain is affected when an earlier one does this.
    fn minds(&self, power: &Power) -> bool {
        match power {
            Power::ConnectionMark => self.reads_connection_mark,
            Power::Drop | Power::Queue | Power::Rewrite | Power::Tproxy | Power::Translate | Power::Unknown(_) => true,
            Power::Mark => self.reads_mark,
            Power::Untrack => self.tracks,
            Power::Zone => self.sets_zone,
        }
    }
}

fn own_chains(wanted: &Ruleset) -> Vec<Own> {
    wanted.tables.iter().flat_map(|table| table.chains.iter().filter_map(|chain| own_chain(table, chain))).collect()
}

fn own_chain(table: &Table, chain: &Chain) -> Option<Own> {
    let ChainKind::Base(base) = &chain.kind else { return None };
    let nat = base.chain_type == ChainType::Nat;
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    let programs: Vec<_> = rules.map(|rule| lower(rule, table.family, &Declared(table))).collect();
    // A rule that cannot be lowered counts as depending on everything.
    let any = |asks: &dyn Fn(&Expr) -> bool| {
        programs.iter().any(|program| program.as_ref().map_or(true, |program| program.exprs.iter().any(asks)))
    };
    Some(Own {
        id: TableId::from(table).chain(&chain.name),
        stand: Stand { family: table.family, hook: base.hook, priority: base.priority.0, nat },
        reads_mark: any(&|expr| matches!(expr, Expr::Meta { key: MetaKey::MARK, .. })),
        reads_connection_mark: any(&|expr| matches!(expr, Expr::Ct { key: CtKey::MARK, .. })),
        sets_zone: any(&|expr| matches!(expr, Expr::CtSet { key: CtKey::ZONE, .. })),
        tracks: nat || any(&|expr| matches!(expr, Expr::Ct { .. } | Expr::CtSet { .. })),
    })
}

/// The sets of a wanted table.
struct Declared<'a>(&'a Table);

impl Sets for Declared<'_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        let set = self.0.sets.iter().find(|set| set.name == *name)?;
        Some(SetMode::of(set.flags, set.key.len()))
    }
}

impl fmt::Display for Precedent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Precedent { who, hook, priority, before, perhaps_before, can } = self;
        write!(f, "{who} at {hook} priority {priority} ")?;
        for (chains, runs) in [(before, "runs before "), (perhaps_before, "may run before ")] {
            if !chains.is_empty() {
                let both = if chains == perhaps_before && !before.is_empty() { " and " } else { "" };
                write!(f, "{both}{runs}")?;
                list(f, chains, ", ")?;
            }
        }
        f.write_str(match who {
            Who::Chain(_) => ": it can ",
            Who::Legacy(_) => ", and its rules are not read here: they could ",
        })?;
        list(f, can, ", ")
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Chain(chain) => write!(f, "chain {chain}"),
            Who::Legacy(table) => write!(f, "table {table} of iptables-legacy"),
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>, between: &str) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { between })?;
    }
    Ok(())
}

/// `NFT_TABLE_F_DORMANT`: its chains are not registered.
const DORMANT: u32 = 1;
/// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`, include/uapi/linux/netfilter_ipv4.h.
const NAT_DESTINATION: i32 = -100;
const NAT_SOURCE: i32 = 100;
