//! One change to the kernel's rule sets.

use crate::model::{
    Chain, ChainId, ChainKind, Kept, Name, Object, Position, Rule, RuleHandle, Set, Table, TableFlags, TableId,
};
use crate::state::{ChainState, OpaqueState, RuleState, SetState, TableState};

/// One change. Operations run in order; one that is refused refuses the whole transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Adds a chain without its rules; one that exists already with the same hook stays, its policy
    /// is set.
    AddChain {
        /// Where.
        table: TableId,
        /// Its name.
        name: Name,
        /// Who calls it.
        kind: ChainKind,
        /// Why it exists.
        comment: Option<String>,
        /// What was read beside this, of a chain that was.
        kept: Remainder,
    },
    /// Adds the elements of `set` to the set of that name; its declaration says how they are
    /// encoded. One without a key is looked up by the kernel's connection.
    AddElements {
        /// Where.
        table: TableId,
        /// Declaration and new elements.
        set: Set,
    },
    /// Adds a rule.
    AddRule {
        /// Where.
        chain: ChainId,
        /// Where in the chain.
        position: Position,
        /// The rule.
        rule: Rule,
    },
    /// Declares a set and adds its elements; an identical set that exists already stays, and gets
    /// the elements too.
    AddSet {
        /// Where.
        table: TableId,
        /// Declaration and elements.
        set: Set,
    },
    /// Adds a table without anything in it; one that exists already stays.
    AddTable {
        /// Which.
        table: TableId,
        /// How it lives.
        flags: TableFlags,
        /// Why it exists.
        comment: Option<String>,
        /// What was read beside this, of a table that was.
        kept: Remainder,
    },
    /// Deletes a chain and the rules in it; no other rule may jump to it.
    DeleteChain(ChainId),
    /// Deletes the elements of `set` from the set of that name.
    DeleteElements {
        /// Where.
        table: TableId,
        /// Declaration and the elements to delete.
        set: Set,
    },
    /// Deletes a stateful object or a flowtable; no rule, set or element may use it.
    DeleteObject {
        /// Where.
        table: TableId,
        /// What it is, as [`OpaqueState::kind`] says it: `counter`, `quota`, `flowtable`, ...
        kind: String,
        /// Which.
        name: Name,
    },
    /// Deletes a rule.
    DeleteRule {
        /// Where.
        chain: ChainId,
        /// Which.
        handle: RuleHandle,
    },
    /// Deletes a set; no rule may use it.
    DeleteSet {
        /// Where.
        table: TableId,
        /// Which.
        set: Name,
    },
    /// Deletes a table with everything in it.
    DeleteTable(TableId),
    /// Deletes the rules of a chain.
    FlushChain(ChainId),
    /// Deletes the elements of a set.
    FlushSet {
        /// Where.
        table: TableId,
        /// Which.
        set: Name,
    },
    /// Deletes the rules of all chains of a table.
    FlushTable(TableId),
    /// Puts another rule in the place of one, which keeps its handle's place.
    ReplaceRule {
        /// Where.
        chain: ChainId,
        /// Which.
        handle: RuleHandle,
        /// The new rule.
        rule: Rule,
    },
    /// Adds something as it was read from a kernel, with everything in it that has no type here.
    Restore {
        /// Where; it need not be the table that it was read from.
        table: TableId,
        /// What.
        state: Box<State>,
    },
}

/// Something of a table as it was read from a kernel. Handles, uses and what else only the kernel
/// says are not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// A chain without its rules. One that a jump brings with it (`jump { ... }`,
    /// `NFT_CHAIN_BINDING` in its flags) takes no rules once a rule jumps to it, so that its
    /// own rules come before that one.
    Chain(ChainState),
    /// A stateful object or a flowtable.
    Object(OpaqueState),
    /// A rule.
    Rule {
        /// Its chain.
        chain: Name,
        /// Where in the chain.
        position: Position,
        /// What it is.
        rule: RuleState,
    },
    /// A set with its elements and the time that is left to each; one that exists already and is
    /// declared the same gets the elements too.
    Set(SetState),
    /// The table itself, without anything in it. One that had an owner gets another: the socket
    /// that restores it, with which it ends unless its flags say that it persists.
    Table(TableState),
}

impl State {
    /// What it is and its name; of a rule, of its chain.
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

/// What was read beside the parts of a table or chain that have a name, and is sent back with them.
/// It decides nothing; a default one is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remainder(pub(crate) Kept);

impl Operation {
    /// The rule that it puts in.
    pub(super) fn rule(&self) -> Option<&Rule> {
        match self {
            Operation::AddRule { rule, .. } | Operation::ReplaceRule { rule, .. } => Some(rule),
            _ => None,
        }
    }

    /// The table it changes.
    #[must_use]
    pub fn table(&self) -> &TableId {
        match self {
            Operation::AddChain { table, .. }
            | Operation::AddElements { table, .. }
            | Operation::AddSet { table, .. }
            | Operation::AddTable { table, .. }
            | Operation::DeleteElements { table, .. }
            | Operation::DeleteObject { table, .. }
            | Operation::DeleteSet { table, .. }
            | Operation::DeleteTable(table)
            | Operation::FlushSet { table, .. }
            | Operation::FlushTable(table)
            | Operation::Restore { table, .. } => table,
            Operation::AddRule { chain, .. }
            | Operation::DeleteChain(chain)
            | Operation::DeleteRule { chain, .. }
            | Operation::FlushChain(chain)
            | Operation::ReplaceRule { chain, .. } => &chain.table,
        }
    }

    /// What is needed to make a chain without its rules.
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

    /// What is needed to make an object as it was read.
    pub(crate) fn add_object(table: &TableId, object: &Object) -> Option<Self> {
        let state = object.content.code::<OpaqueState>()?.clone();
        Some(Operation::Restore { table: table.clone(), state: Box::new(State::Object(state)) })
    }

    /// What is needed to make a table without what is in it.
    pub fn add_table(table: &Table) -> Self {
        let Table { family: _, name: _, flags, comment, objects: _, sets: _, chains: _, kept } = table;
        let (flags, comment, kept) = (*flags, comment.clone(), Remainder(kept.clone()));
        Operation::AddTable { table: TableId::from(table), flags, comment, kept }
    }
}
