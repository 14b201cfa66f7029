//! What a plan changes, for people: one line for each operation, marked `+`, `-` or `~`, with what was there before.

use std::fmt;

use super::operation::{ChainId, Operation, TableId};
use super::snapshot::{RuleState, Snapshot, TableState};
use super::transaction::Transaction;
use crate::bytecode::{SetMode, Sets, raise};
use crate::model::{Name, SetFlags};
use crate::render::script;

/// One difference between what the kernel holds and what is wanted, as what makes it good.
///
/// Prints as a command of nft(8) behind its mark; of a rule that goes, its text follows as a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// Whether something is missing, too much, or other than wanted.
    pub change: Change,
    /// The table it is in.
    pub table: TableId,
    /// What differs.
    pub part: Part,
    /// The rule that is too much or other than wanted, in nft's text.
    pub held: Option<String>,
    /// The operation that makes it good, in nft's text.
    pub remedy: String,
}

/// What happens to what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the three marks of a difference")]
pub enum Change {
    /// `+`: it is missing.
    Add,
    /// `-`: it is too much.
    Remove,
    /// `~`: it is there, and other than wanted.
    Update,
}

/// What differs in a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// A chain: whether it exists, its hook or its policy.
    Chain(Name),
    /// A rule of a chain.
    Rule {
        /// The chain.
        chain: Name,
        /// Where the rule stands in it now, from 1; `None` when it is missing.
        number: Option<usize>,
    },
    /// A set: its declaration or its elements.
    Set(Name),
    /// The whole table.
    Table,
}

/// What a transaction changes of what is held, in its order.
#[must_use]
pub fn differences(transaction: &Transaction, held: &Snapshot) -> Vec<Difference> {
    transaction.operations().iter().map(|operation| difference(operation, held)).collect()
}

impl Transaction {
    /// The operations with `+`, `-` or `~` in front of each, in the order in which they are done.
    ///
    /// ```
    /// use nftmesh::model::{Chain, Family, Rule};
    /// use nftmesh::plan::{TableId, Transaction};
    ///
    /// let out = TableId::new(Family::Inet, "mesh").chain("out");
    /// let transaction = Transaction::new().delete_rule(&out, 7).add_rule(&out, Rule::new().accept());
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
        self.0.operations().iter().try_for_each(|operation| lines(f, change(operation), &operation.to_string()))
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Add => "+",
            Change::Remove => "-",
            Change::Update => "~",
        })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { change, table: _, part: _, held, remedy } = self;
        match held {
            Some(held) => lines(f, *change, &format!("{remedy} # {held}")),
            None => lines(f, *change, remedy),
        }
    }
}

fn lines(f: &mut fmt::Formatter<'_>, change: Change, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "{change} {line}"))
}

fn change(operation: &Operation) -> Change {
    match operation {
        Operation::AddChain { .. }
        | Operation::AddElements { .. }
        | Operation::AddRule { .. }
        | Operation::AddSet { .. }
        | Operation::AddTable { .. } => Change::Add,
        Operation::DeleteChain(_)
        | Operation::DeleteElements { .. }
        | Operation::DeleteRule { .. }
        | Operation::DeleteSet { .. }
        | Operation::DeleteTable(_)
        | Operation::FlushChain(_)
        | Operation::FlushSet { .. }
        | Operation::FlushTable(_) => Change::Remove,
        Operation::ReplaceRule { .. } => Change::Update,
    }
}

fn difference(operation: &Operation, held: &Snapshot) -> Difference {
    let table = held.table(operation.table());
    let (part, found) = match operation {
        Operation::AddChain { name, .. } => (Part::Chain(name.clone()), None),
        Operation::AddElements { set, .. } | Operation::AddSet { set, .. } | Operation::DeleteElements { set, .. } => {
            (Part::Set(set.name.clone()), None)
        }
        Operation::AddRule { chain, .. } => (Part::Rule { chain: chain.name.clone(), number: None }, None),
        Operation::AddTable { .. } | Operation::DeleteTable(_) | Operation::FlushTable(_) => (Part::Table, None),
        Operation::DeleteChain(chain) | Operation::FlushChain(chain) => (Part::Chain(chain.name.clone()), None),
        Operation::DeleteRule { chain, handle } | Operation::ReplaceRule { chain, handle, .. } => {
            let found = table.and_then(|table| find(table, chain, *handle));
            let number = found.map(|(index, _)| index + 1);
            (Part::Rule { chain: chain.name.clone(), number }, found.map(|(_, rule)| rule))
        }
        Operation::DeleteSet { set, .. } | Operation::FlushSet { set, .. } => (Part::Set(set.clone()), None),
    };
    // A base chain that is there already only gets another policy.
    let exists = match operation {
        Operation::AddChain { table: id, name, .. } => {
            held.table(id).is_some_and(|table| table.chain(name.as_str()).is_some())
        }
        _ => false,
    };
    Difference {
        change: if exists { Change::Update } else { change(operation) },
        table: operation.table().clone(),
        part,
        held: table.zip(found).map(|(table, rule)| text(table, rule)),
        remedy: operation.to_string(),
    }
}

fn find<'s>(table: &'s TableState, chain: &ChainId, handle: u64) -> Option<(usize, &'s RuleState)> {
    let chain = table.chain(chain.name.as_str())?;
    chain.rules.iter().enumerate().find(|(_, rule)| rule.handle == handle)
}

/// A rule as nft would list it, as far as it can be said.
fn text(table: &TableState, rule: &RuleState) -> String {
    let family = table.id.family;
    let rule = raise(&rule.exprs, &rule.userdata, family, &Held(table));
    script::rule(family, &rule).to_string()
}

/// The sets of a table in the kernel.
struct Held<'s>(&'s TableState);

impl Sets for Held<'_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        let code = &self.0.set(name.as_str())?.code;
        Some(SetMode::of(SetFlags::from_bits_truncate(code.flags), code.fields.len()))
    }
}
