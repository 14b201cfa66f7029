//! What the kernel holds, as rule sets of the model.

use std::fmt;

use super::operation::TableId;
use super::snapshot::{ChainState, HookState, SetState, Snapshot, TableState};
use crate::bytecode::{Modes, SetMode, Sets, raise, raise_set};
use crate::model::{
    Base, Chain, ChainKind, ChainType, Family, Hook, Name, Policy, Priority, Ruleset, SetFlags, Table, TableFlags,
};

/// The rule sets of a [`Snapshot`], and what of it has no form there.
///
/// Handles, comments of tables and chains, and what the kernel counts and measures stay in the snapshot. What a rule holds and has no
/// name is in the rule, as a [`Statement::Opaque`](crate::model::Statement::Opaque).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Raised {
    /// The tables, in the kernel's order.
    pub ruleset: Ruleset,
    /// What is missing in them.
    pub unnamed: Vec<Unnamed>,
}

/// A part of a table that has no form in the model. Prints as `set inet t/s: ...`, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unnamed {
    /// Where it is.
    pub table: TableId,
    /// What it is: `chain`, `set`, `counter`, ...
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Why it has no form.
    pub reason: String,
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unnamed { table, kind, name, reason } = self;
        write!(f, "{kind} {table}/{name}: {reason}")
    }
}

impl Snapshot {
    /// The rule sets that this is.
    #[must_use]
    pub fn raise(&self) -> Raised {
        let mut raised = Raised::default();
        for table in &self.tables {
            table.raise_into(&mut raised);
        }
        raised
    }
}

impl TableState {
    fn raise_into(&self, raised: &mut Raised) {
        let TableId { family, name } = &self.id;
        let mut unnamed = |kind: &str, name: &Name, reason: String| {
            let (table, kind, name) = (self.id.clone(), kind.to_owned(), name.clone());
            raised.unnamed.push(Unnamed { table, kind, name, reason });
        };
        let mut table = Table::new(*family, name);
        table.flags = TableFlags::from_bits_truncate(self.flags);
        for set in &self.sets {
            match raise_set(&set.name, &set.code, &set.elements) {
                Ok(set) => table.sets.push(set),
                Err(reason) => unnamed("set", &set.name, reason.to_string()),
            }
        }
        let sets = self.modes();
        let rule = |rule: &super::RuleState| raise(&rule.exprs, &rule.userdata, *family, &sets);
        for chain in &self.chains {
            match chain_kind(*family, chain) {
                Some(kind) => {
                    let rules = chain.rules.iter().map(rule).collect();
                    table.chains.push(Chain { name: chain.name.clone(), kind, rules });
                }
                None => unnamed("chain", &chain.name, "its hook has no name here".to_owned()),
            }
        }
        for object in &self.objects {
            unnamed(&object.kind, &object.name, "stateful objects have no form here".to_owned());
        }
        raised.ruleset.tables.push(table);
    }

    /// How the sets of the table keep their keys.
    pub(crate) fn modes(&self) -> Modes<'_> {
        self.sets.iter().map(|set| (&set.name, mode(set))).collect()
    }
}

impl Sets for [SetState] {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.iter().find(|set| set.name == *name).map(mode)
    }
}

/// How a set keeps its keys.
fn mode(set: &SetState) -> SetMode {
    // Six bits of the type of a key for every field of it.
    let fields = (u32::BITS - set.code.key_type.leading_zeros()).div_ceil(6);
    SetMode::of(SetFlags::from_bits_truncate(set.code.flags), usize::try_from(fields).unwrap_or(usize::MAX))
}

/// What a chain is, `None` when its hook has no name here.
pub(crate) fn chain_kind(family: Family, chain: &ChainState) -> Option<ChainKind> {
    let Some(HookState { chain_type, hook, priority, policy, devices, opaque: _ }) = &chain.hook else {
        return Some(ChainKind::Regular);
    };
    let types = [ChainType::Filter, ChainType::Nat, ChainType::Route];
    let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
    let chain_type = types.into_iter().find(|known| known.name() == chain_type)?;
    let hook = hooks.into_iter().find(|known| known.number() == *hook)?;
    let policy = match policy {
        0 => Policy::Drop,
        1 => Policy::Accept,
        _ => return None,
    };
    let known = matches!(family, Family::Inet | Family::Ip | Family::Ip6) && devices.is_empty();
    known.then_some(ChainKind::Base(Base { chain_type, hook, priority: Priority(*priority), policy }))
}
