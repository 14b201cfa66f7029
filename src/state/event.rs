//! Commits reported by the kernel, as values: what was added and deleted, and who did it.

use std::fmt;

use super::snapshot::{ChainState, OpaqueMessage, OpaqueState, RuleState, SetState, TableState};
use crate::bytecode::{ElementCode, SetMode, Sets, raise};
use crate::model::{ChainHandle, ChainId, Generation, Name, Position, Rule, SetHandle, TableHandle, TableId};
use crate::render::InFamily;

/// One change of the rule sets, or the end of a commit.
///
/// The changes of a commit come in its order, followed by its [`Committed`](Event::Committed).
/// "Added" also covers an object that was changed in place: a chain with a new policy, a table
/// with a new flag. A replaced rule is one deletion and one addition. Anonymous sets
/// (`NFT_SET_ANONYMOUS`) have the name that the kernel gave them, and rules refer to them by it.
///
/// Changes without a commit have no event and no generation: counters, elements that rules add or
/// that expire, and the removal of a table together with the socket that owns it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A chain was added, without its rules.
    ChainAdded {
        /// The table.
        table: TableId,
        /// The chain as it is now.
        chain: ChainState,
    },
    /// A chain without rules was deleted.
    ChainDeleted {
        /// The chain.
        chain: ChainId,
        /// The handle.
        handle: ChainHandle,
    },
    /// Ends the changes of a commit.
    Committed(Commit),
    /// Elements were added to a set, usually one.
    ElementsAdded {
        /// The table.
        table: TableId,
        /// The set.
        set: Name,
        /// The elements.
        elements: Vec<ElementCode>,
        /// The milliseconds left for each element, `None` for those that stay; empty when all
        /// stay.
        expires: Vec<Option<u64>>,
    },
    /// Elements were deleted from a set, usually one.
    ElementsDeleted {
        /// The table.
        table: TableId,
        /// The set.
        set: Name,
        /// The elements.
        elements: Vec<ElementCode>,
    },
    /// A stateful object or a flowtable was added; its kind shows which.
    ObjectAdded {
        /// The table.
        table: TableId,
        /// The object as it is now.
        object: OpaqueState,
    },
    /// A stateful object or a flowtable was deleted; its kind shows which.
    ObjectDeleted {
        /// The table.
        table: TableId,
        /// The object as the kernel reported it.
        object: OpaqueState,
    },
    /// A message that this crate does not know, as it came.
    Opaque(OpaqueMessage),
    /// Events were lost because they were not read fast enough: resynchronise with a snapshot.
    /// Everything before the loss was delivered, except that its last commit may be incomplete;
    /// from here on everything is delivered again, or its loss is reported.
    #[doc(alias = "ENOBUFS")]
    Overflow,
    /// A rule was added.
    RuleAdded {
        /// The chain.
        chain: ChainId,
        /// The position in the chain.
        position: AddedAt,
        /// The rule.
        rule: RuleState,
    },
    /// A rule was deleted.
    RuleDeleted {
        /// The chain.
        chain: ChainId,
        /// The rule as reported: its handle, and its expressions if included.
        rule: RuleState,
    },
    /// A set or map was added, without its elements.
    SetAdded {
        /// The table.
        table: TableId,
        /// The set as it is now.
        set: SetState,
    },
    /// A set or map was deleted, with its elements.
    SetDeleted {
        /// The table.
        table: TableId,
        /// Its name.
        set: Name,
        /// The handle.
        handle: SetHandle,
    },
    /// A table was added, without its contents.
    TableAdded(TableState),
    /// A table was deleted, after everything in it.
    TableDeleted {
        /// The table.
        table: TableId,
        /// The handle.
        handle: TableHandle,
    },
}

/// Where a rule was added, as far as its event reports it.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event reports a position, a replacement, or neither")]
pub enum AddedAt {
    /// Nothing is reported: Linux before 5.15 sends neither flags nor a position. Take a snapshot
    /// to find the position.
    ///
    /// Such a kernel also reports a replacement in reverse: first the addition, then the deletion,
    /// both with the same handle.
    NotReported,
    /// At this position.
    Position(Position),
    /// In the place of the rule whose deletion was reported just before.
    Replaced,
}

/// Who made a commit, and the generation it created.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The generation that the commit created.
    #[doc(alias = "NFTA_GEN_ID")]
    pub generation: Generation,
    /// The thread that committed, by its number in the initial pid namespace, which a container
    /// does not see.
    #[doc(alias = "NFTA_GEN_PROC_PID")]
    pub pid: u32,
    /// The name of that thread, at most 15 bytes; by default the name of the program.
    #[doc(alias = "NFTA_GEN_PROC_NAME")]
    pub command: String,
    /// Netlink address of the socket that committed; unique in the network namespace for as long as
    /// the socket is open.
    pub port: u32,
}

impl Event {
    /// Returns the table that the event concerns.
    #[must_use]
    pub fn table(&self) -> Option<&TableId> {
        match self {
            Event::ChainAdded { table, .. }
            | Event::ElementsAdded { table, .. }
            | Event::ElementsDeleted { table, .. }
            | Event::ObjectAdded { table, .. }
            | Event::ObjectDeleted { table, .. }
            | Event::SetAdded { table, .. }
            | Event::SetDeleted { table, .. }
            | Event::TableDeleted { table, .. } => Some(table),
            Event::ChainDeleted { chain, .. } | Event::RuleAdded { chain, .. } | Event::RuleDeleted { chain, .. } => {
                Some(&chain.table)
            }
            Event::TableAdded(table) => Some(&table.id),
            Event::Committed(_) | Event::Opaque(_) | Event::Overflow => None,
        }
    }
}

/// Prints one line, in the syntax of nft(8) where possible.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::ChainAdded { table, chain } => write!(f, "add chain {table} {}", chain.name),
            Event::ChainDeleted { chain, handle: _ } => write!(f, "delete chain {chain}"),
            Event::Committed(commit) => commit.fmt(f),
            Event::ElementsAdded { table, set, elements, expires: _ } => {
                write!(f, "add {} {table} {set}", Count(elements.len()))
            }
            Event::ElementsDeleted { table, set, elements } => {
                write!(f, "delete {} {table} {set}", Count(elements.len()))
            }
            Event::ObjectAdded { table, object } => write!(f, "add {} {table} {}", object.kind, object.name),
            Event::ObjectDeleted { table, object } => write!(f, "delete {} {table} {}", object.kind, object.name),
            Event::Opaque(message) => write!(f, "message {} of family {}", message.kind, message.family),
            Event::Overflow => f.write_str("events were lost"),
            Event::RuleAdded { chain, position: _, rule } => write_rule(f, "add", chain, rule),
            Event::RuleDeleted { chain, rule } => write_rule(f, "delete", chain, rule),
            Event::SetAdded { table, set } => write!(f, "add set {table} {}", set.name),
            Event::SetDeleted { table, set, handle: _ } => write!(f, "delete set {table} {set}"),
            Event::TableAdded(table) => write!(f, "add table {}", table.id),
            Event::TableDeleted { table, handle: _ } => write!(f, "delete table {table}"),
        }
    }
}

fn write_rule(f: &mut fmt::Formatter<'_>, verb: &str, chain: &ChainId, rule: &RuleState) -> fmt::Result {
    let family = chain.table.family;
    let value = &raise(&rule.exprs, &rule.userdata, family, &Unseen);
    write!(f, "{verb} rule {chain}")?;
    if *value != Rule::new() {
        write!(f, " {}", InFamily { family, value })?;
    }
    write!(f, " # handle {}", rule.handle)
}

/// Stands for sets that a rule refers to and an event does not include. They are assumed to be of
/// the most common kind, which only affects how a key is written.
struct Unseen;

impl Sets for Unseen {
    fn mode(&self, _: &Name) -> Option<SetMode> {
        Some(SetMode::Plain)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Commit { generation, pid, command, port: _ } = self;
        write!(f, "generation {} by {command:?} (pid {pid})", generation.0)
    }
}

struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("element"),
            count => write!(f, "{count} elements"),
        }
    }
}
