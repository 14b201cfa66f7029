//! What the kernel tells of commits, as values: what was added and deleted, then who did it.

use std::fmt;

use super::snapshot::{ChainState, OpaqueMessage, OpaqueState, RuleState, SetState, TableState};
use crate::bytecode::{ElementCode, SetMode, Sets, raise};
use crate::model::{ChainId, Generation, Name, Position, Rule, TableId};
use crate::render::InFamily;

/// One change of the rule sets, or what ends the changes of a commit.
///
/// The changes of a commit come in its order, and then its [`Committed`](Event::Committed). "Added"
/// is also said of what was there and was changed in place: a chain that got another policy, a
/// table another flag. A replaced rule is one deleted and one added. Sets without a name
/// (`NFT_SET_ANONYMOUS`) come under the name the kernel gave them, and rules look them up by it.
///
/// What no commit does has no event and no generation: counters, elements that rules add or whose
/// time is over, and the end of a table that dies with the socket that owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A chain, without its rules.
    ChainAdded {
        /// Where.
        table: TableId,
        /// The chain as it is now.
        chain: ChainState,
    },
    /// A chain that had no rules left.
    ChainDeleted {
        /// Which.
        chain: ChainId,
        /// The kernel's number for it.
        handle: u64,
    },
    /// Ends the changes of a commit.
    Committed(Commit),
    /// Elements of a set; usually one.
    ElementsAdded {
        /// Where.
        table: TableId,
        /// The set.
        set: Name,
        /// The elements.
        elements: Vec<ElementCode>,
        /// For every element the milliseconds that are left to it, `None` when it stays; empty when
        /// all stay.
        expires: Vec<Option<u64>>,
    },
    /// Elements of a set; usually one.
    ElementsDeleted {
        /// Where.
        table: TableId,
        /// The set.
        set: Name,
        /// The elements.
        elements: Vec<ElementCode>,
    },
    /// A stateful object, or a flowtable (its kind says so).
    ObjectAdded {
        /// Where.
        table: TableId,
        /// The object as it is now.
        object: OpaqueState,
    },
    /// A stateful object, or a flowtable (its kind says so).
    ObjectDeleted {
        /// Where.
        table: TableId,
        /// What the kernel said of it.
        object: OpaqueState,
    },
    /// What has no meaning here, as it came.
    Opaque(OpaqueMessage),
    /// Events were lost, because nobody took them fast enough: resynchronise, by a snapshot. What
    /// happened before the loss came before, its last commit perhaps in part; everything that
    /// happens from here on is told again, or its loss is.
    #[doc(alias = "ENOBUFS")]
    Overflow,
    /// A rule.
    RuleAdded {
        /// Where.
        chain: ChainId,
        /// Where in the chain.
        position: AddedAt,
        /// The rule.
        rule: RuleState,
    },
    /// A rule.
    RuleDeleted {
        /// Where.
        chain: ChainId,
        /// What the kernel said of it: its handle, and its program where it still gives one.
        rule: RuleState,
    },
    /// A set or map, without its elements.
    SetAdded {
        /// Where.
        table: TableId,
        /// The set as it is now.
        set: SetState,
    },
    /// A set or map, with its elements.
    SetDeleted {
        /// Where.
        table: TableId,
        /// Its name.
        set: Name,
        /// The kernel's number for it.
        handle: u64,
    },
    /// A table, without what is in it.
    TableAdded(TableState),
    /// A table, after everything that was in it.
    TableDeleted {
        /// Which.
        table: TableId,
        /// The kernel's number for it.
        handle: u64,
    },
}

/// Where a rule was added, as far as its event reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an event reports a position, a replacement, or neither")]
pub enum AddedAt {
    /// Nothing is reported: Linux before 5.15 sends neither flags nor a position. Take a snapshot
    /// to find the place.
    ///
    /// Such a kernel also reports a replacement the other way round: the addition first, then the
    /// deletion, both of the same handle.
    NotReported,
    /// At this position.
    Position(Position),
    /// In the place of the rule whose deletion was reported just before.
    Replaced,
}

/// Who committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The state that the commit made.
    #[doc(alias = "NFTA_GEN_ID")]
    pub generation: Generation,
    /// The thread that committed: its number as the initial pid namespace counts, for which a
    /// container has another one.
    #[doc(alias = "NFTA_GEN_PROC_PID")]
    pub pid: u32,
    /// Name of that thread, at most 15 bytes; by itself the name of the program.
    #[doc(alias = "NFTA_GEN_PROC_NAME")]
    pub command: String,
    /// Netlink address of the socket that committed; unique in the network namespace for as long as
    /// the socket is open.
    pub port: u32,
}

impl Event {
    /// The table it is about.
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

/// One line, in nft(8)'s words where it has some.
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

/// Sets that a rule names and an event does not show: taken for the most usual kind, which decides
/// only how a key is written.
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
