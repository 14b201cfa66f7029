//! Prints what a plan changes: one line for each operation, marked `+`, `-` or `~`, with the
//! previous state.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::operation::{Operation, State};
use super::transaction::Transaction;
use crate::bytecode::{Modes, raise};
use crate::model::{Family, Name, RuleHandle, TableId};
use crate::render::script;
use crate::state::{RuleState, Snapshot, TableState};

/// One difference between the held and the wanted state, with its remedy.
///
/// Prints as a command of nft(8) after its mark; the text of a deleted rule follows as a comment.
/// A set with its elements takes several lines; the last one has no line break.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Whether something is missing, superfluous, or different.
    pub kind: DifferenceKind,
    /// The table it is in.
    pub table: TableId,
    /// The part that differs.
    pub part: Part,
    /// The superfluous or different rule, in nft's syntax.
    pub held: Option<String>,
    /// The operation that resolves it, in nft's syntax.
    pub remedy: String,
}

/// What happens to the part that differs.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three marks of a difference")]
pub enum DifferenceKind {
    /// `+`: it is missing.
    Add,
    /// `-`: it is superfluous.
    Remove,
    /// `~`: it exists, but differs.
    Update,
}

/// The part of a table that differs.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// A chain: whether it exists, its hook or its policy.
    Chain(Name),
    /// A stateful object or a flowtable.
    Object(Name),
    /// A rule of a chain.
    Rule {
        /// The chain.
        chain: Name,
        /// The rule's number in it now, from 1; `None` when it is missing.
        number: Option<usize>,
    },
    /// A set: its declaration or its elements.
    Set(Name),
    /// The whole table.
    Table,
}

/// Returns what a transaction changes of the held state, in its order.
#[must_use]
pub fn differences(transaction: &Transaction, held: &Snapshot) -> Vec<Difference> {
    let mut all = Vec::with_capacity(transaction.operations().len());
    let mut found = HeldTables { snapshot: held, tables: HashMap::new() };
    for operation in transaction.operations() {
        match (operation, operation.table()) {
            (Operation::FlushRuleset(family), _) => {
                let gone = held.tables.iter().map(|table| &table.id);
                let gone = gone.filter(|id| family.is_none_or(|family| id.family == family));
                all.extend(gone.map(|id| difference(&Operation::DeleteTable(id.clone()), id, &mut found)));
            }
            (operation, Some(table)) => all.push(difference(operation, table, &mut found)),
            (_, None) => {}
        }
    }
    all
}

impl Transaction {
    /// Returns the operations, each preceded by `+`, `-` or `~`, in the order of execution.
    ///
    /// ```
    /// use nftmesh::model::{Chain, Family, Rule, RuleHandle, TableId};
    /// use nftmesh::plan::Transaction;
    ///
    /// let out = TableId::new(Family::Inet, "mesh").chain("out");
    /// let transaction = Transaction::new().delete_rule(&out, RuleHandle(7)).add_rule(&out, Rule::new().accept());
    /// assert_eq!(transaction.marked().to_string(), "- delete rule inet mesh out handle 7\n+ add rule inet mesh out accept\n");
    /// ```
    #[must_use]
    pub fn marked(&self) -> Marked<'_> {
        Marked(self)
    }
}

/// A transaction as a list of changes, see [`Transaction::marked`].
#[derive(Clone, Copy, Debug)]
pub struct Marked<'a>(&'a Transaction);

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .operations()
            .iter()
            .try_for_each(|operation| writeln!(f, "{}", Lines(kind(operation), &operation.to_string())))
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DifferenceKind::Add => "+",
            DifferenceKind::Remove => "-",
            DifferenceKind::Update => "~",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { kind, table: _, part: _, held, remedy } = self;
        match held {
            Some(held) => write!(f, "{}", Lines(*kind, &format!("{remedy} # {held}"))),
            None => write!(f, "{}", Lines(*kind, remedy)),
        }
    }
}

/// Lines after the mark of what happens to them, without a line break at the end.
struct Lines<'a>(DifferenceKind, &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines(kind, text) = self;
        let mut separator = "";
        text.lines().try_for_each(|line| write!(f, "{}{kind} {line}", std::mem::replace(&mut separator, "\n")))
    }
}

fn kind(operation: &Operation) -> DifferenceKind {
    match operation {
        Operation::AddChain { .. }
        | Operation::AddElements { .. }
        | Operation::AddObject { .. }
        | Operation::AddRule { .. }
        | Operation::AddSet { .. }
        | Operation::AddTable { .. }
        | Operation::Restore { .. } => DifferenceKind::Add,
        Operation::DeleteChain(_)
        | Operation::DeleteElements { .. }
        | Operation::DeleteObject { .. }
        | Operation::DeleteRule { .. }
        | Operation::DeleteSet { .. }
        | Operation::DeleteTable(_)
        | Operation::DestroyChain(_)
        | Operation::DestroyElements { .. }
        | Operation::DestroyObject { .. }
        | Operation::DestroyRule { .. }
        | Operation::DestroySet { .. }
        | Operation::DestroyTable(_)
        | Operation::FlushChain(_)
        | Operation::FlushRuleset(_)
        | Operation::FlushSet { .. }
        | Operation::FlushTable(_) => DifferenceKind::Remove,
        Operation::ReplaceRule { .. } => DifferenceKind::Update,
    }
}

fn difference(operation: &Operation, id: &TableId, held: &mut HeldTables<'_>) -> Difference {
    let table = held.table(id);
    let (part, found) = match operation {
        Operation::AddChain { name, .. } => (Part::Chain(name.clone()), None),
        Operation::AddElements { set, .. }
        | Operation::AddSet { set, .. }
        | Operation::DeleteElements { set, .. }
        | Operation::DestroyElements { set, .. } => (Part::Set(set.name.clone()), None),
        Operation::AddRule { chain, .. } => (Part::Rule { chain: chain.name.clone(), number: None }, None),
        Operation::AddObject { object, .. } => (Part::Object(object.name.clone()), None),
        Operation::AddTable { .. } | Operation::DeleteTable(_) | Operation::FlushTable(_) => (Part::Table, None),
        Operation::DestroyTable(_) | Operation::FlushRuleset(_) => (Part::Table, None),
        Operation::DeleteChain(chain) | Operation::DestroyChain(chain) | Operation::FlushChain(chain) => {
            (Part::Chain(chain.name.clone()), None)
        }
        Operation::DeleteRule { chain, handle }
        | Operation::DestroyRule { chain, handle }
        | Operation::ReplaceRule { chain, handle, .. } => {
            let found = table.and_then(|table| table.rules.get(&(&chain.name, *handle)));
            let number = found.map(|(index, _)| index + 1);
            (Part::Rule { chain: chain.name.clone(), number }, found.map(|(_, rule)| *rule))
        }
        Operation::DeleteSet { set, .. } | Operation::DestroySet { set, .. } | Operation::FlushSet { set, .. } => {
            (Part::Set(set.clone()), None)
        }
        Operation::DeleteObject { name, .. } | Operation::DestroyObject { name, .. } => {
            (Part::Object(name.clone()), None)
        }
        Operation::Restore { state, .. } => match &**state {
            State::Chain(chain) => (Part::Chain(chain.name.clone()), None),
            State::Object(object) => (Part::Object(object.name.clone()), None),
            State::Rule { chain, .. } => (Part::Rule { chain: chain.clone(), number: None }, None),
            State::Set(set) => (Part::Set(set.name.clone()), None),
            State::Table(_) => (Part::Table, None),
        },
    };
    // An existing base chain only gets another policy.
    let exists = match operation {
        Operation::AddChain { name, .. } => table.is_some_and(|table| table.chains.contains(name)),
        _ => false,
    };
    Difference {
        kind: if exists { DifferenceKind::Update } else { kind(operation) },
        table: id.clone(),
        part,
        held: table.zip(found).map(|(table, rule)| text(table, rule)),
        remedy: operation.to_string(),
    }
}

/// Returns a rule as nft would list it, as far as possible.
fn text(table: &HeldTable<'_>, rule: &RuleState) -> String {
    let rule = raise(&rule.exprs, &rule.userdata, table.family, &table.sets);
    script::rule(table.family, &rule, &crate::render::Blocks::new()).to_string()
}

/// The held state, with requested tables indexed by their parts.
struct HeldTables<'s> {
    snapshot: &'s Snapshot,
    tables: HashMap<&'s TableId, HeldTable<'s>>,
}

struct HeldTable<'s> {
    family: Family,
    chains: HashSet<&'s Name>,
    /// By chain and handle: the index in the chain, and the rule.
    rules: HashMap<(&'s Name, RuleHandle), (usize, &'s RuleState)>,
    sets: Modes<'s>,
}

impl<'s> HeldTables<'s> {
    fn table(&mut self, id: &TableId) -> Option<&HeldTable<'s>> {
        if !self.tables.contains_key(id) {
            let state = self.snapshot.table(id)?;
            self.tables.insert(&state.id, HeldTable::of(state));
        }
        self.tables.get(id)
    }
}

impl<'s> HeldTable<'s> {
    fn of(state: &'s TableState) -> Self {
        let rules = state.chains.iter().flat_map(|chain| {
            chain.rules.iter().enumerate().map(|(index, rule)| ((&chain.name, rule.handle), (index, rule)))
        });
        HeldTable {
            family: state.id.family,
            chains: state.chains.iter().map(|chain| &chain.name).collect(),
            rules: rules.collect(),
            sets: state.modes(),
        }
    }
}
