//! One change to the kernel's rule sets.

use crate::model::{
    Chain, ChainId, ChainKind, Family, Kept, Name, Object, Position, Rule, RuleHandle, Set, Table, TableFlags, TableId,
};
use crate::state::{ChainState, OpaqueState, RuleState, SetState, TableState};

/// One change. Operations run in order; if one is refused, so is the whole transaction.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Adds a chain without its rules. An existing one with the same hook stays, and its policy is
    /// set.
    AddChain {
        /// The table.
        table: TableId,
        /// Its name.
        name: Name,
        /// Its kind.
        kind: ChainKind,
        /// Its comment.
        comment: Option<String>,
        /// Further data read with the chain, if it was read from a kernel.
        kept: Remainder,
    },
    /// Adds the elements of `set` to the set of that name; its declaration determines their
    /// encoding. If it has no key, the kernel connection looks the declaration up.
    AddElements {
        /// The table.
        table: TableId,
        /// Declaration and new elements.
        set: Set,
    },
    /// Adds a stateful object or a flowtable. An existing object of that kind and name stays as it
    /// is; an existing flowtable gets the devices too.
    AddObject {
        /// The table.
        table: TableId,
        /// The object.
        object: Object,
    },
    /// Adds a rule.
    AddRule {
        /// The chain.
        chain: ChainId,
        /// The position in the chain.
        position: Position,
        /// The rule.
        rule: Rule,
    },
    /// Declares a set and adds its elements; an existing identical set stays, and gets the
    /// elements too.
    AddSet {
        /// The table.
        table: TableId,
        /// Declaration and elements.
        set: Set,
    },
    /// Adds an empty table; an existing one stays.
    AddTable {
        /// The table.
        table: TableId,
        /// Its flags.
        flags: TableFlags,
        /// Its comment.
        comment: Option<String>,
        /// Further data read with the table, if it was read from a kernel.
        kept: Remainder,
    },
    /// Deletes a chain and the rules in it; no other rule may jump to it.
    DeleteChain(ChainId),
    /// Deletes the elements of `set` from the set of that name.
    DeleteElements {
        /// The table.
        table: TableId,
        /// Declaration and the elements to delete.
        set: Set,
    },
    /// Deletes a stateful object or a flowtable; no rule, set or element may use it.
    DeleteObject {
        /// The table.
        table: TableId,
        /// Its kind as in [`OpaqueState::kind`]: `counter`, `quota`, `flowtable`, ...
        kind: String,
        /// Its name.
        name: Name,
    },
    /// Deletes a rule.
    DeleteRule {
        /// The chain.
        chain: ChainId,
        /// The rule.
        handle: RuleHandle,
    },
    /// Deletes a set; no rule may use it.
    DeleteSet {
        /// The table.
        table: TableId,
        /// The set.
        set: Name,
    },
    /// Deletes a table with everything in it.
    DeleteTable(TableId),
    /// Deletes a chain and the rules in it, if it exists; no other rule may jump to it.
    DestroyChain(ChainId),
    /// Deletes those elements of `set` from the set of that name that are in it.
    DestroyElements {
        /// Where.
        table: TableId,
        /// Declaration and the elements to delete.
        set: Set,
    },
    /// Deletes a stateful object or a flowtable, if it exists; no rule, set or element may use it.
    DestroyObject {
        /// Where.
        table: TableId,
        /// What it is, as in [`DeleteObject`](Self::DeleteObject).
        kind: String,
        /// Which.
        name: Name,
    },
    /// Deletes a rule, if it exists.
    DestroyRule {
        /// Where.
        chain: ChainId,
        /// Which.
        handle: RuleHandle,
    },
    /// Deletes a set, if it exists; no rule may use it.
    DestroySet {
        /// Where.
        table: TableId,
        /// Which.
        set: Name,
    },
    /// Deletes a table with everything in it, if it exists.
    DestroyTable(TableId),
    /// Deletes the rules of a chain.
    FlushChain(ChainId),
    /// Deletes every table of a family, or of all families, with everything in it. Tables that
    /// belong to another socket ([`TableFlags::OWNER`]) stay: the kernel passes over them
    /// (`nft_flush`, net/netfilter/nf_tables_api.c, v6.12).
    FlushRuleset(Option<Family>),
    /// Deletes the elements of a set.
    FlushSet {
        /// The table.
        table: TableId,
        /// The set.
        set: Name,
    },
    /// Deletes the rules of all chains of a table.
    FlushTable(TableId),
    /// Replaces a rule by another, which takes its position.
    ReplaceRule {
        /// The chain.
        chain: ChainId,
        /// The rule to replace.
        handle: RuleHandle,
        /// The new rule.
        rule: Rule,
    },
    /// Adds something as it was read from a kernel, including everything that has no type here.
    Restore {
        /// The table; it need not be the one it was read from.
        table: TableId,
        /// What to add.
        state: Box<State>,
    },
}

/// A part of a table as it was read from a kernel. Handles, uses and everything else that only the
/// kernel assigns are ignored.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// A chain without its rules. A chain bound to a jump (`jump { ... }`, `NFT_CHAIN_BINDING` in
    /// its flags) accepts no rules once a rule jumps to it, so its own rules must come first.
    Chain(ChainState),
    /// A stateful object or a flowtable.
    Object(OpaqueState),
    /// A rule.
    Rule {
        /// Its chain.
        chain: Name,
        /// The position in the chain.
        position: Position,
        /// The rule.
        rule: RuleState,
    },
    /// A set with its elements and their remaining times; an existing set with the same
    /// declaration gets the elements too.
    Set(SetState),
    /// The table itself, empty. If it had an owner, its new owner is the socket that restores it;
    /// the table is deleted with that socket unless its flags make it persistent.
    Table(TableState),
}

impl State {
    /// Returns its kind and name; for a rule, the name of its chain.
    pub(crate) fn title(&self) -> (&str, &Name) {
        match self {
            State::Chain(chain) => ("chain", &chain.name),
            State::Object(object) => (&object.kind, &object.name),
            State::Rule { chain, .. } => ("rule", chain),
            State::Set(set) => ("set", &set.name),
            State::Table(table) => ("table", &table.id.name),
        }
    }
}

/// What was read in addition to the known parts of a table or chain, to be sent back with them. It
/// has no effect on decisions; the default is empty.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remainder(pub(crate) Kept);

impl Operation {
    /// Returns the rule that it adds.
    pub(super) fn rule(&self) -> Option<&Rule> {
        match self {
            Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. } => Some(rule),
            _ => None,
        }
    }

    /// Returns the operation that deletes the same and is refused where there is nothing to
    /// delete, for one that destroys.
    pub(crate) fn deletion(&self) -> Option<Operation> {
        Some(match self.clone() {
            Operation::DestroyChain(chain) => Operation::DeleteChain(chain),
            Operation::DestroyElements { table, set } => Operation::DeleteElements { table, set },
            Operation::DestroyObject { table, kind, name } => Operation::DeleteObject { table, kind, name },
            Operation::DestroyRule { chain, handle } => Operation::DeleteRule { chain, handle },
            Operation::DestroySet { table, set } => Operation::DeleteSet { table, set },
            Operation::DestroyTable(table) => Operation::DeleteTable(table),
            _ => return None,
        })
    }

    /// Whether it deletes what may be absent.
    pub(crate) fn destroys(&self) -> bool {
        matches!(
            self,
            Operation::DestroyChain(_)
                | Operation::DestroyElements { .. }
                | Operation::DestroyObject { .. }
                | Operation::DestroyRule { .. }
                | Operation::DestroySet { .. }
                | Operation::DestroyTable(_)
        )
    }

    /// Returns the table that it changes.
    #[must_use]
    pub fn table(&self) -> Option<&TableId> {
        Some(match self {
            Operation::FlushRuleset(_) => return None,
            Operation::AddChain { table, .. }
            | Operation::AddElements { table, .. }
            | Operation::AddObject { table, .. }
            | Operation::AddSet { table, .. }
            | Operation::AddTable { table, .. }
            | Operation::DeleteElements { table, .. }
            | Operation::DeleteObject { table, .. }
            | Operation::DeleteSet { table, .. }
            | Operation::DeleteTable(table)
            | Operation::DestroyElements { table, .. }
            | Operation::DestroyObject { table, .. }
            | Operation::DestroySet { table, .. }
            | Operation::DestroyTable(table)
            | Operation::FlushSet { table, .. }
            | Operation::FlushTable(table)
            | Operation::Restore { table, .. } => table,
            Operation::AddRule { chain, .. }
            | Operation::DeleteChain(chain)
            | Operation::DeleteRule { chain, .. }
            | Operation::DestroyChain(chain)
            | Operation::DestroyRule { chain, .. }
            | Operation::FlushChain(chain)
            | Operation::ReplaceRule { chain, .. } => &chain.table,
        })
    }

    /// Returns the operation that adds a chain without its rules.
    pub fn add_chain(table: &TableId, chain: &Chain) -> Self {
        let Chain { name, kind, comment, rules: _, kept } = chain;
        Operation::AddChain {
            table: table.clone(),
            name: name.clone(),
            kind: kind.clone(),
            comment: comment.clone(),
            kept: Remainder(kept.clone()),
        }
    }

    /// Returns the operation that adds a table without its contents.
    pub fn add_table(table: &Table) -> Self {
        let Table { family: _, name: _, flags, comment, objects: _, sets: _, chains: _, kept } = table;
        let (flags, comment, kept) = (*flags, comment.clone(), Remainder(kept.clone()));
        Operation::AddTable { table: TableId::from(table), flags, comment, kept }
    }
}
