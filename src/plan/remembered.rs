//! Remembers a rule set known to be in force as hashes, which determine what of the next one has
//! to be examined.
//!
//! A chain or set takes 50 bytes in addition to its name, which is shared with the rule set, and
//! each call of a chain takes 4; other rules and elements take nothing. What is unchanged by its
//! hash is neither read nor compared nor validated again: see [`Unsettled`].
//!
//! Hashes have random keys, so that no two chains can be crafted to look the same. What the kernel
//! changes without a new generation has no hash and is always examined: sets whose elements come
//! and go, chains of devices.

mod keyed;
mod part;

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher, RandomState};
use std::num::NonZeroU64;

use crate::bytecode::{KeptParts, KeptRule};
use crate::model::{Chain, ChainKind, Generation, Name, Ruleset, Set, SetFlags, Table, TableId};
use crate::state::HookState;
use crate::validate::{Calls, Fault, Judgement, Severity};
use keyed::Keyed;
pub(crate) use part::{Since, TablePart, Unsettled};

/// A rule set that is in force at a generation.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) generation: Generation,
    sums: Sums,
}

impl Remembered {
    /// Returns whether the rule set of these hashes is in force too.
    pub(crate) fn is_same(&self, sums: &Sums) -> bool {
        let (before, absent) = (self.tables(), self.absent());
        sums.tables.iter().all(|now| before.get(&now.id).is_some_and(|before| before.is_same(now)))
            && sums.absent.iter().all(|id| absent.contains(id))
    }

    fn tables(&self) -> HashMap<&TableId, &TableSums> {
        self.sums.tables.iter().rev().map(|table| (&table.id, table)).collect()
    }

    fn absent(&self) -> HashSet<&TableId> {
        self.sums.absent.iter().collect()
    }
}

/// A rule set as hashes, and the caller's tables that are not in it.
#[derive(Debug)]
pub(crate) struct Sums {
    tables: Vec<TableSums>,
    absent: Vec<TableId>,
}

#[derive(Debug)]
struct TableSums {
    id: TableId,
    /// Hash of everything but chains and sets.
    head: Option<NonZeroU64>,
    /// Whether a part of it can be compared without the rest.
    is_divisible: bool,
    /// Whether anything in it is odd.
    is_odd: bool,
    calls: Calls,
    chains: Vec<Sum>,
    sets: Vec<Sum>,
}

/// The hash of a chain or set.
#[derive(Debug)]
struct Sum {
    name: Name,
    /// `None` for what can change without a generation.
    hash: Option<NonZeroU64>,
    /// The number of its rules.
    rules: u32,
}

impl Sum {
    fn is_same(&self, other: &Sum) -> bool {
        self.hash.is_some() && self.hash == other.hash && self.name == other.name
    }
}

impl Sums {
    pub(crate) fn of(ruleset: &Ruleset, ours: &[TableId], hasher: &RandomState) -> Self {
        let mut seen = HashSet::new();
        let mut keyed = Keyed::new(hasher);
        let mut tables: Vec<TableSums> = Vec::with_capacity(ruleset.tables.len());
        for table in &ruleset.tables {
            let mut sums = TableSums::of(table, &mut keyed);
            sums.is_divisible &= seen.insert((table.family, &table.name));
            tables.push(sums);
        }
        let absent = ours.iter().filter(|id| !seen.contains(&(id.family, &id.name))).cloned().collect();
        Sums { tables, absent }
    }

    /// Validates the whole rule set of these hashes, and returns every fault.
    pub(crate) fn judge(&mut self, ruleset: &Ruleset) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (sums, table) in self.tables.iter_mut().zip(&ruleset.tables) {
            faults.extend(sums.judged(Judgement::of(table)));
        }
        faults
    }

    /// Records that they are in force at that generation.
    pub(crate) fn in_force_at(self, generation: Generation) -> Remembered {
        Remembered { generation, sums: self }
    }
}

impl TableSums {
    fn of(table: &Table, keyed: &mut Keyed<'_>) -> Self {
        let Table { family: _, name: _, flags, comment, objects, sets, chains, kept: _ } = table;
        let chains: Vec<Sum> = chains.iter().map(|chain| chain_sum(chain, keyed)).collect();
        let sets: Vec<Sum> = sets.iter().map(|set| set_sum(set, keyed)).collect();
        TableSums {
            id: TableId::from(table),
            head: keyed.hash(&(flags, comment, objects)),
            is_divisible: objects.is_empty() && table.chains.iter().all(is_divisible),
            is_odd: false,
            calls: Calls::default(),
            chains,
            sets,
        }
    }

    /// Records the result of validation, and returns the faults.
    fn judged(&mut self, Judgement { faults, calls }: Judgement) -> Vec<Fault> {
        self.calls = calls;
        let is = |severity| faults.iter().any(|fault| fault.problem.severity() == severity);
        self.is_odd = is(Severity::Odd);
        // Faults of what is in force must not be reported again as faults of what changes.
        self.is_divisible &= !is(Severity::Refused);
        faults
    }

    /// Returns whether the chains and sets can be compared and are the same.
    fn is_same(&self, other: &TableSums) -> bool {
        let same = |a: &[Sum], b: &[Sum]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b));
        self.head.is_some()
            && self.head == other.head
            && same(&self.chains, &other.chains)
            && same(&self.sets, &other.sets)
    }
}

/// Returns whether a chain can be compared alone: a bound chain is compared with its rule, and an
/// incomplete one by the kernel's counts.
fn is_divisible(chain: &Chain) -> bool {
    chain.kind != ChainKind::Bound && chain.kept.code::<KeptParts>().is_none_or(|read| read.unlisted == 0)
}

fn chain_sum(chain: &Chain, keyed: &mut Keyed<'_>) -> Sum {
    let devices = match &chain.kind {
        ChainKind::Opaque(read) => read.code::<HookState>().is_none_or(|hook| !hook.devices.is_empty()),
        ChainKind::Device(_) => true,
        ChainKind::Base(_) | ChainKind::Bound | ChainKind::Regular => false,
    };
    let hash = if devices { None } else { keyed.hash(&Spelled(chain)) };
    let rules = u32::try_from(chain.rules.len()).unwrap_or(u32::MAX);
    Sum { name: chain.name.clone(), hash, rules }
}

/// A chain with the parts outside the model that matter in a comparison.
struct Spelled<'c>(&'c Chain);

impl Hash for Spelled<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Spelled(chain) = self;
        chain.hash(state);
        chain.kept.code::<KeptParts>().map(|read| read.flags).hash(state);
        // Another encoding of a program matters where programs are compared.
        for rule in chain.rules.iter().filter(|rule| !rule.kept.is_nothing()) {
            let spelled = rule.kept.code::<KeptRule>().and_then(|read| read.exprs.as_ref());
            spelled.map(|exprs| format!("{exprs:?}")).hash(state);
        }
    }
}

fn set_sum(set: &Set, keyed: &mut Keyed<'_>) -> Sum {
    let may_expire = set.flags.intersects(SetFlags::TIMEOUT | SetFlags::DYNAMIC) || set.opaque().is_some();
    let hash = if may_expire { None } else { keyed.hash(set) };
    Sum { name: set.name.clone(), hash, rules: 0 }
}
