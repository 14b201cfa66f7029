//! What the kernel holds, as rule sets of the model.

use std::fmt;

use super::operation::TableId;
use super::snapshot::{ChainState, HookState, SetState, Snapshot, TableState};
use crate::bytecode::{
    KeptElement, Modes, SetMode, Sets, lower_elements, lower_set, opaque_set, raise, raise_set, userdata_comment,
};
use crate::model::{
    Base, Chain, ChainKind, ChainType, Family, Hook, Kept, Name, Policy, Priority, Ruleset, Set, SetFlags, Table,
    TableFlags,
};

/// The rule sets of a [`Snapshot`], and what of it has no form there.
///
/// Handles, and what the kernel counts and measures stay in the snapshot. What a rule holds and has no
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
        table.comment = userdata_comment(&self.userdata);
        for set in &self.sets {
            table.sets.push(self::set(set));
        }
        let sets = self.modes();
        let rule = |rule: &super::RuleState| raise(&rule.exprs, &rule.userdata, *family, &sets);
        for chain in &self.chains {
            match chain_kind(*family, chain) {
                Some(kind) => {
                    let rules_of: Vec<_> = chain.rules.iter().map(rule).collect();
                    let mut raised = Chain::of_kind(chain.name.clone(), kind).rules(rules_of);
                    raised.comment = userdata_comment(&chain.userdata);
                    table.chains.push(raised);
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
        self.sets.iter().map(|set| (&set.name, set.code.mode())).collect()
    }
}

/// A set in a form of the model where that says all of it, and as it was read where it does not.
fn set(state: &SetState) -> Set {
    let SetState { name, code, elements, expires, .. } = state;
    let says_all = |set: &Set| {
        lower_set(set).as_ref() == Ok(code) && lower_elements(set).eq(elements.iter().map(|code| Ok(code.clone())))
    };
    let raised = raise_set(name, code, elements).ok().filter(says_all);
    // What rules add and time takes away is there, and is not what makes the set.
    let learns = code.flags & SetFlags::DYNAMIC.bits() != 0;
    let learned: Vec<bool> = expires.iter().map(|expires| learns && expires.is_some()).collect();
    let Some(mut set) = raised else { return opaque_set(name, code, elements, &learned) };
    for (element, _) in set.elements.iter_mut().zip(learned).filter(|(_, learned)| *learned) {
        let extra = element.extra.get_or_insert_default();
        let userdata = extra.kept.code::<KeptElement>().map(|kept| kept.userdata.clone()).unwrap_or_default();
        extra.kept = Kept::new(KeptElement { userdata, learned: true });
    }
    set
}

impl Sets for [SetState] {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.iter().find(|set| set.name == *name).map(|set| set.code.mode())
    }
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
