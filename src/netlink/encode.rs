//! Encodes transactions into one buffer of netlink messages, with the operation of every sequence
//! number.
//!
//! An operation becomes messages here ([`body`]); a [`Backend`] writes their bytes.

mod backend;
mod batch;
pub(super) mod body;
mod bound;
pub(super) mod compat;
mod known;
mod own;
mod restore;
mod sets;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use self::batch::{NFNL_MSG_BATCH_END, anchor, batch_begin, estimate};
use self::body::{Body, ChainBody, Elem, ElementsBody, HookBody, ObjectBody, RuleBody, SetBody, TableBody};
use super::decode::object_number;
use super::write::{Header, Messages};
use super::{NFNL_SUBSYS_NFTABLES, flag, kind};
use crate::attr::AttributeWriter;
use crate::bytecode::{Expr, KeptParts, KeptRule, Program, Unlowerable, parts_userdata, rule_userdata};
use crate::model::{ChainId, ChainKind, Family, Kept, Name, Position, Rule, RuleHandle, TableFlags, TableId};
use crate::plan::{Destroys, Operation, State, Transaction};
use crate::state::HookState;

pub(crate) use backend::Backend;
pub(crate) use batch::{barrier, batch_of, message};
pub(crate) use known::KnownSets;
pub(super) use sets::anonymous_name;

/// A transaction as the kernel accepts it.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// All of it, for one send.
    pub(crate) messages: Messages,
    /// Sequence number of the message that begins the batch; the other messages count up from it.
    pub(crate) first: u32,
    /// The purpose of every message between begin and end.
    pub(crate) origins: Vec<Origin>,
}

impl Encoded {
    /// Returns the sequence number of the message that ends the batch.
    pub(crate) fn last(&self) -> u32 {
        let count = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        self.first.wrapping_add(count).wrapping_add(1)
    }

    /// Makes the kernel send back every rule that the transaction adds; returns the sequence
    /// numbers of these messages.
    pub(crate) fn ask_for_rules(&mut self, transaction: &Transaction) -> Vec<u32> {
        let is_rule = |operation: &Operation| match operation {
            Operation::AddRule { .. } | Operation::ReplaceRule { .. } => true,
            Operation::Restore { state, .. } => matches!(**state, State::Rule { .. }),
            _ => false,
        };
        let mut asked = Vec::new();
        for (origin, sequence) in self.origins.iter().zip((0..).map(|index| self.first.wrapping_add(1 + index))) {
            let operation = transaction.operations().get(origin.operation);
            if origin.part == MessagePart::Itself && operation.is_some_and(is_rule) {
                self.messages.add_flag(origin.start, flag::ECHO);
                asked.push(sequence);
            }
        }
        asked
    }

    /// Returns the origin of a sequence number; `None` for the messages that begin and end the
    /// batch.
    pub(crate) fn origin(&self, sequence: u32) -> Option<&Origin> {
        let index = sequence.wrapping_sub(self.first).checked_sub(1)?;
        self.origins.get(usize::try_from(index).ok()?)
    }
}

/// The purpose of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Index of the operation in the transaction.
    pub(crate) operation: usize,
    /// The part of the operation.
    pub(crate) part: MessagePart,
    /// Where the message starts in the buffer.
    pub(crate) start: usize,
}

/// A part of an operation with a separate message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessagePart {
    /// No part of the operation: it makes the first message harmless, because faults found at
    /// commit time are reported with it.
    Anchor,
    /// Elements of a set, starting with this element code.
    Elements {
        /// Index of the first.
        first: usize,
    },
    /// The operation itself.
    Itself,
    /// An anonymous set of a rule, or its elements, for the expression that looks it up.
    Lookup {
        /// Index of the expression.
        expr: usize,
    },
}

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With an end that the kernel acknowledges when it has committed (Linux 6.10).
    AcknowledgedEnd,
    /// With a last message that the kernel acknowledges, and an end.
    AcknowledgedLast,
    /// Without an end: the kernel checks the batch and discards it.
    DryRun,
}

/// Why an operation could not be encoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unencodable {
    /// Out of memory, or a text or a value that does not fit.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A rule or set that cannot be lowered.
    #[error(transparent)]
    Unlowerable(#[from] Unlowerable),
}

/// Encodes a transaction, counting sequence numbers from `first`. An error comes with the index of
/// the operation.
pub(crate) fn encode(
    transaction: &Transaction,
    known: &KnownSets,
    ending: Ending,
    first: u32,
) -> Result<Encoded, (usize, Unencodable)> {
    encode_with(Backend::default(), transaction, known, ending, first)
}

/// Encodes like [`encode`], with this backend.
pub(crate) fn encode_with(
    backend: Backend,
    transaction: &Transaction,
    known: &KnownSets,
    ending: Ending,
    first: u32,
) -> Result<Encoded, (usize, Unencodable)> {
    let operations = transaction.operations();
    let (messages, origins) = (Messages::default(), Vec::with_capacity(operations.len() + 1));
    let (program, destroys, bound) = (Program::default(), transaction.destroys(), HashMap::new());
    let mut encoder = Encoder { backend, messages, origins, first, sets: 0, known, program, flags: 0, destroys, bound };
    encoder.messages.reserve(estimate(operations));
    encoder.messages.append(&batch_begin(first, transaction.generation()));
    let last = operations.len().saturating_sub(1);
    if let Some(table) = anchor(operations) {
        encoder.add_table(0, MessagePart::Anchor, table, TableFlags::empty()).map_err(|error| (0, error))?;
    }
    for (index, operation) in operations.iter().enumerate() {
        if index == last && ending == Ending::AcknowledgedLast {
            encoder.flags = flag::ACK;
        }
        encoder.operation(index, operation).map_err(|error| (index, error))?;
    }
    let Encoder { messages, origins, .. } = encoder;
    let mut encoded = Encoded { messages, first, origins };
    let end_flags = match ending {
        Ending::AcknowledgedEnd => flag::REQUEST | flag::ACK,
        Ending::AcknowledgedLast => flag::REQUEST,
        Ending::DryRun => return Ok(encoded),
    };
    let end = message(NFNL_MSG_BATCH_END, end_flags, encoded.last(), 0, NFNL_SUBSYS_NFTABLES, &[]);
    encoded.messages.append(&end);
    Ok(encoded)
}

struct Encoder<'a> {
    backend: Backend,
    messages: Messages,
    origins: Vec<Origin>,
    first: u32,
    /// The number of anonymous sets so far; their ids must differ within a batch.
    sets: u32,
    known: &'a KnownSets,
    /// The program of the previous rule, whose memory the next one reuses.
    program: Program,
    /// Added to the header of every message.
    flags: u16,
    destroys: Destroys,
    /// The chains that are bound to a rule, and the number of each in the batch.
    bound: HashMap<(TableId, Name), u32>,
}

impl Encoder<'_> {
    fn operation(&mut self, index: usize, operation: &Operation) -> Result<(), Unencodable> {
        match operation {
            Operation::AddChain { table, name, kind, comment, kept } => {
                self.add_chain(index, table, name, kind, (comment.as_deref(), &kept.0))
            }
            Operation::AddElements { table, set } => {
                self.elements_alone(index, kind::NEWSETELEM, flag::CREATE, table, set)
            }
            Operation::AddRule { chain, position, rule } => {
                let (flags, neighbour) = placed(*position);
                self.rule(index, chain, flags, rule, None, neighbour)
            }
            Operation::AddObject { table, object } => self.add_object(index, table, object),
            Operation::AddSet { table, set } => self.add_set(index, table, set),
            Operation::AddTable { table, flags, comment, kept } => {
                let userdata = parts_userdata(comment.as_deref(), &kept.0);
                let read = kept.0.code::<KeptParts>();
                let flags = flags.bits() | read.map_or(0, |read| read.flags);
                let opaque = read.map_or(&[][..], |read| &read.attributes);
                let body = TableBody { name: table.name.as_str(), flags, userdata: &userdata, opaque };
                self.message(index, MessagePart::Itself, kind::NEWTABLE, table, flag::CREATE, &Body::Table(body))
            }
            Operation::DeleteChain(chain) => self.delete_chain(index, kind::DELCHAIN, chain),
            Operation::DeleteElements { table, set } => self.elements_alone(index, kind::DELSETELEM, 0, table, set),
            Operation::DeleteObject { table, kind, name } => {
                self.delete_object(index, [kind::DELOBJ, kind::DELFLOWTABLE], table, kind, name)
            }
            Operation::DeleteRule { chain, handle } => {
                self.delete_rules(index, kind::DELRULE, &chain.table, Some(&chain.name), Some(*handle))
            }
            Operation::DeleteSet { table, set } => self.about_set(index, kind::DELSET, table, set),
            Operation::DeleteTable(table) => self.delete_table(index, kind::DELTABLE, table),
            // Where the kernel cannot destroy, what is left is not there; the table is.
            Operation::DestroyChain(ChainId { table, .. })
            | Operation::DestroyElements { table, .. }
            | Operation::DestroyObject { table, .. }
            | Operation::DestroyRule { chain: ChainId { table, .. }, .. }
            | Operation::DestroySet { table, .. }
                if self.destroys == Destroys::Settled =>
            {
                self.add_table(index, MessagePart::Anchor, table, TableFlags::empty())
            }
            Operation::DestroyChain(chain) => self.delete_chain(index, kind::DESTROYCHAIN, chain),
            Operation::DestroyElements { table, set } => {
                self.elements_alone(index, kind::DESTROYSETELEM, 0, table, set)
            }
            Operation::DestroyObject { table, kind, name } => {
                self.delete_object(index, [kind::DESTROYOBJ, kind::DESTROYFLOWTABLE], table, kind, name)
            }
            Operation::DestroyRule { chain, handle } => {
                self.delete_rules(index, kind::DESTROYRULE, &chain.table, Some(&chain.name), Some(*handle))
            }
            Operation::DestroySet { table, set } => self.about_set(index, kind::DESTROYSET, table, set),
            Operation::DestroyTable(table) if self.destroys == Destroys::Settled => {
                self.add_table(index, MessagePart::Itself, table, TableFlags::empty())?;
                self.delete_table(index, kind::DELTABLE, table)
            }
            Operation::DestroyTable(table) => self.delete_table(index, kind::DESTROYTABLE, table),
            Operation::FlushChain(chain) => {
                self.delete_rules(index, kind::DELRULE, &chain.table, Some(&chain.name), None)
            }
            // A deletion that names no table is one of all tables; no backend has to say anything
            // in it.
            Operation::FlushRuleset(family) => {
                let family = family.map_or(0, Family::number);
                let Header { kind, flags, sequence, .. } =
                    self.header_of(index, MessagePart::Itself, kind::DELTABLE, family, 0);
                let kind = NFNL_SUBSYS_NFTABLES << 8 | kind;
                self.messages.append(&message(kind, flags | flag::REQUEST, sequence, family, 0, &[]));
                Ok(())
            }
            // Deleting elements without naming any deletes all; table and set have the same
            // attribute numbers in both messages.
            Operation::FlushSet { table, set } => self.about_set(index, kind::DELSETELEM, table, set),
            Operation::FlushTable(table) => self.delete_rules(index, kind::DELRULE, table, None, None),
            Operation::ReplaceRule { chain, handle, rule } => {
                self.rule(index, chain, flag::CREATE | flag::REPLACE, rule, Some(*handle), None)
            }
            Operation::Restore { table, state } => self.restore(index, table, state),
        }
    }

    /// Returns the header of the next message and records its origin.
    fn header(&mut self, operation: usize, part: MessagePart, kind: u16, table: &TableId, flags: u16) -> Header {
        self.header_of(operation, part, kind, table.family.number(), flags)
    }

    fn header_of(&mut self, operation: usize, part: MessagePart, kind: u16, family: u8, flags: u16) -> Header {
        self.origins.push(Origin { operation, part, start: self.messages.len() });
        let count = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
        let sequence = self.first.wrapping_add(count);
        Header { kind, family, flags: flags | self.flags, sequence }
    }

    fn message(
        &mut self,
        operation: usize,
        part: MessagePart,
        kind: u16,
        table: &TableId,
        flags: u16,
        body: &Body<'_>,
    ) -> Result<(), Unencodable> {
        let header = self.header(operation, part, kind, table, flags);
        Ok(self.backend.write(&mut self.messages, header, body)?)
    }

    fn add_table(
        &mut self,
        index: usize,
        part: MessagePart,
        table: &TableId,
        flags: TableFlags,
    ) -> Result<(), Unencodable> {
        let body = TableBody { name: table.name.as_str(), flags: flags.bits(), ..TableBody::default() };
        self.message(index, part, kind::NEWTABLE, table, flag::CREATE, &Body::Table(body))
    }

    fn add_chain(
        &mut self,
        index: usize,
        table: &TableId,
        name: &Name,
        kind: &ChainKind,
        (comment, kept): (Option<&str>, &Kept),
    ) -> Result<(), Unencodable> {
        let userdata = parts_userdata(comment, kept);
        let read = kept.code::<KeptParts>();
        let opaque = read.map_or(&[][..], |read| &read.attributes);
        if *kind == ChainKind::Bound {
            return self.add_bound_chain(index, table, name, &userdata, opaque);
        }
        let hook = HookState::of(table.family, kind);
        let hook = hook.as_ref().map(|state| {
            let HookState { chain_type, hook, priority, policy, devices, opaque } = state;
            HookBody { chain_type, hook: *hook, priority: *priority, policy: *policy, devices, opaque }
        });
        let (table_name, flags) = (table.name.as_str(), read.map_or(0, |read| read.flags));
        let (name, userdata) = (name.as_str(), userdata.as_slice());
        let body = ChainBody { table: table_name, name, hook, flags, counters: None, userdata, opaque };
        self.message(index, MessagePart::Itself, kind::NEWCHAIN, table, flag::CREATE, &Body::Chain(body))
    }

    fn rule(
        &mut self,
        index: usize,
        chain: &ChainId,
        flags: u16,
        rule: &Rule,
        handle: Option<RuleHandle>,
        position: Option<RuleHandle>,
    ) -> Result<(), Unencodable> {
        let ChainId { table, name } = chain;
        let mut program = std::mem::take(&mut self.program);
        self.known.lower_into(&mut program, rule, table)?;
        let Program { exprs, statements: _ } = &mut program;
        self.bind(table, exprs);
        let userdata = rule_userdata(rule);
        let read = rule.kept.code::<KeptRule>().map_or(&[][..], |kept| &kept.attributes);
        let (chain, opaque) = match self.bound_chain(table, name) {
            Some(numbered) => (None, Cow::Owned([&numbered, read].concat())),
            None => (Some(name.as_str()), Cow::Borrowed(read)),
        };
        let (table_name, exprs, userdata, opaque) =
            (table.name.as_str(), exprs.as_slice(), userdata.as_slice(), &*opaque);
        let body =
            RuleBody { table: table_name, chain, handle, position, exprs, userdata, opaque, ..RuleBody::default() };
        self.rule_message(index, table, flags, body)?;
        self.program = program;
        Ok(())
    }

    /// Encodes a rule, after its anonymous sets.
    fn rule_message(
        &mut self,
        index: usize,
        table: &TableId,
        flags: u16,
        body: RuleBody<'_>,
    ) -> Result<(), Unencodable> {
        let first_set = self.sets.wrapping_add(1);
        for (position, expr) in body.exprs.iter().enumerate() {
            if let Some(set) = expr.anonymous_set() {
                self.sets = self.sets.wrapping_add(1);
                self.anonymous(index, position, table, &anonymous_name(expr, set), set)?;
            }
        }
        let body = Body::Rule(RuleBody { first_set, ..body });
        self.message(index, MessagePart::Itself, kind::NEWRULE, table, flags, &body)
    }

    fn delete_table(&mut self, index: usize, kind: u16, table: &TableId) -> Result<(), Unencodable> {
        let body = TableBody { name: table.name.as_str(), ..TableBody::default() };
        self.message(index, MessagePart::Itself, kind, table, 0, &Body::Table(body))
    }

    fn delete_chain(&mut self, index: usize, kind: u16, chain: &ChainId) -> Result<(), Unencodable> {
        let ChainId { table, name } = chain;
        let body = ChainBody { table: table.name.as_str(), name: name.as_str(), ..ChainBody::default() };
        self.message(index, MessagePart::Itself, kind, table, 0, &Body::Chain(body))
    }

    fn delete_rules(
        &mut self,
        index: usize,
        kind: u16,
        table: &TableId,
        chain: Option<&Name>,
        handle: Option<RuleHandle>,
    ) -> Result<(), Unencodable> {
        let chain = chain.map(Name::as_str);
        let body = RuleBody { table: table.name.as_str(), chain, handle, ..RuleBody::default() };
        self.message(index, MessagePart::Itself, kind, table, 0, &Body::Rule(body))
    }

    /// Encodes a message that only names a set.
    fn about_set(&mut self, index: usize, kind: u16, table: &TableId, set: &Name) -> Result<(), Unencodable> {
        let body = SetBody { table: table.name.as_str(), name: set.as_str(), ..SetBody::default() };
        self.message(index, MessagePart::Itself, kind, table, 0, &Body::Set(body))
    }
}

/// Returns the flags of the message that adds a rule at a position, and the neighbouring rule.
fn placed(position: Position) -> (u16, Option<RuleHandle>) {
    match position {
        Position::After(handle) => (flag::CREATE | flag::APPEND, Some(handle)),
        Position::Before(handle) => (flag::CREATE, Some(handle)),
        Position::First => (flag::CREATE, None),
        Position::Last => (flag::CREATE | flag::APPEND, None),
    }
}
