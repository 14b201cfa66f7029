//! The live kernel: a socket in one network namespace, through which transactions are committed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::RandomState;

use super::dump::Query;
use super::spans::{event, span};
use crate::attr::nfta::NFTA_TABLE_NAME;
use crate::attr::{Malformed, Message};
use crate::error::{Error, Kind, Result};
use crate::model::{Family, Name, Set, TableId};
use crate::netlink::{self, Ack, Encoded, Ending, KnownSets, Lost, kind};
use crate::plan::{Operation, Remembered, Transaction};
use crate::sys::scratch::Scratch;
use crate::sys::socket::{Bus, NetlinkSocket, Wait};

/// nf_tables of one network namespace.
///
/// Calls block, but only while the kernel works: about a microsecond per expression, under a lock
/// that all writers of the namespace share. After a commit that deleted anything, dropping a
/// `Kernel` waits 8 to 24 ms for the kernel to release it; a long-running program should keep it.
///
/// Most methods need the `Kernel` for themselves (`&mut self`): a program with several threads or
/// tasks opens one for each, or shares one in a mutex. In async code, call it where blocking is
/// allowed (`spawn_blocking` of tokio, see `examples/heal.rs`): a commit blocks for a millisecond
/// with some hundred rules and for seconds with a hundred thousand, a snapshot about as long,
/// [`check`](Self::check) at least 8 ms. A [`Watch`](super::Watch) never blocks in `try_next`, and
/// fits `AsyncFd`.
///
/// ```no_run
/// use nftmesh::kernel::Kernel;
/// use nftmesh::model::{Chain, Family, Rule, Ruleset, Table};
/// use nftmesh::plan::Transaction;
///
/// let ruleset = Ruleset::new().table(Table::new(Family::Inet, "mesh").chain(Chain::regular("out").rule(Rule::new().counter())));
/// let mut kernel = Kernel::open()?;
/// kernel.commit(&Transaction::replace(ruleset))?;
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Debug)]
pub struct Kernel {
    pub(super) socket: NetlinkSocket,
    pub(super) sequence: u32,
    /// How this kernel acknowledges a commit; determined at the first commit.
    pub(super) ending: Option<Ending>,
    /// Whether it can delete what may be absent; determined when that is first asked for.
    pub(super) destroys: Option<bool>,
    /// The state last installed or verified; it is current as long as nobody else commits.
    pub(super) remembered: Option<Remembered>,
    /// Has random keys, so that no rule sets can be crafted to collide.
    pub(super) hasher: RandomState,
}

impl Kernel {
    /// Opens a connection in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When no netlink socket can be opened.
    pub fn open() -> Result<Self> {
        let socket =
            NetlinkSocket::open(Bus::Netfilter).map_err(|cause| Error::io("open a netfilter socket", cause))?;
        let (remembered, hasher) = (None, RandomState::new());
        Ok(Kernel { socket, sequence: 1, ending: None, destroys: None, remembered, hasher })
    }

    /// Commits a transaction: all of it or nothing.
    ///
    /// It is validated first, then sent as one message of any size, whose end the kernel
    /// acknowledges once it has taken effect. An empty transaction is not sent.
    ///
    /// All rules switch over at one moment. A set of intervals does not: its contents are
    /// published slightly later than the rules of the same transaction. Where rules replace
    /// others, commit such a set, or its new elements, in an earlier transaction and delete its
    /// old elements in a later one, or let [`apply`](Self::apply) find the steps.
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when validation found a fault and the kernel saw nothing.
    /// Otherwise every operation that the kernel refused is in [`refusals`](Error::refusals):
    /// [`is_conflict`](Error::is_conflict), also when the generation required by
    /// [`at_generation`](Transaction::at_generation) has passed,
    /// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN`,
    /// [`is_unsupported`](Error::is_unsupported) when this kernel lacks an expression,
    /// [`is_not_found`](Error::is_not_found) when a named object does not exist.
    pub fn commit(&mut self, transaction: &Transaction) -> Result<()> {
        self.commit_declared(transaction, |kernel, prepared| kernel.commit_prepared(&prepared))
    }

    /// Validates a transaction; the declarations of sets that its rules look up and that it does
    /// not contain are read from the kernel.
    fn validate(&mut self, transaction: &Transaction) -> Result<()> {
        let mut sets: Vec<(TableId, Set)> = Vec::new();
        let unknown = transaction.sets_unknown();
        let mut last = None;
        for (table, _) in unknown.iter().copied() {
            if last != Some(table) {
                let held = match self.sets_of(table) {
                    // The commit reports it, with the operation.
                    Err(error) if error.is_not_found() || error.is_permission() => Vec::new(),
                    held => held?,
                };
                let held = held.into_iter().filter(|set| unknown.contains(&(table, &set.name)));
                sets.extend(held.map(|set| (table.clone(), set)));
            }
            last = Some(table);
        }
        Ok(transaction.validate_with(&sets)?)
    }

    /// Validates and encodes a transaction, to be committed once or several times.
    ///
    /// Elements of a set that the transaction does not declare are encoded for the set's current
    /// declaration.
    ///
    /// # Errors
    /// [`is_invalid`](Error::is_invalid) when validation found a fault,
    /// [`is_permission`](Error::is_permission) without `CAP_NET_ADMIN`,
    /// [`is_not_found`](Error::is_not_found) when elements name a set that does not exist.
    pub fn prepare<'t>(&mut self, transaction: &'t Transaction) -> Result<Prepared<'t>> {
        let transaction = self.declared(transaction)?;
        self.validate(&transaction)?;
        let transaction = self.settled(transaction)?;
        let ending = if transaction.is_empty() { Ending::DryRun } else { self.ending()? };
        self.encode(transaction, ending)
    }

    /// Commits without validating or encoding again; the cost is the kernel's alone.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    pub fn commit_prepared(&mut self, prepared: &Prepared<'_>) -> Result<()> {
        if prepared.transaction.is_empty() {
            return Ok(());
        }
        self.send(prepared, |_| Ok(()))
    }

    /// Sends the prepared transaction, passes every datagram of the answer to `read`, and returns
    /// whether the kernel accepted it.
    pub(super) fn send(
        &mut self,
        prepared: &Prepared<'_>,
        read: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<()> {
        span!(
            "commit",
            operations = prepared.transaction.operations().len(),
            bytes = prepared.len(),
            dry_run = prepared.ending == Ending::DryRun
        );
        let (acks, lost) = self.exchange_with(prepared.encoded.messages.as_bytes(), read)?;
        let refused = acks.iter().filter(|ack| ack.errno == libc::EOPNOTSUPP);
        let refused = refused.filter_map(|ack| prepared.encoded.origin(ack.sequence)).map(|origin| origin.operation);
        let clashes = self.clashes(&prepared.transaction, refused);
        prepared
            .verdict(&acks, lost, &clashes)
            .inspect(|()| event!("taken"))
            .inspect_err(|_error| event!("refused", refusals = _error.refusals().len()))
    }

    /// Checks whether a transaction would be accepted, without changing anything: static
    /// validation, then a dry run in the kernel.
    ///
    /// A dry run is no substitute for a commit: in tables and chains that the same transaction
    /// adds, the kernel does not check for jump loops and for targets in the wrong chain (static
    /// validation does). It also takes 8 to 16 ms where a commit takes less than one.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit).
    #[doc(alias("dry run", "nft -c"))]
    pub fn check(&mut self, transaction: &Transaction) -> Result<()> {
        let transaction = self.declared(transaction)?;
        self.validate(&transaction)?;
        if transaction.is_empty() {
            return Ok(());
        }
        let transaction = self.settled(transaction)?;
        let prepared = self.encode(transaction, Ending::DryRun)?;
        self.commit_prepared(&prepared)
    }

    /// Returns family and name of every table, in the kernel's order; tables with an unknown
    /// family or name are skipped.
    ///
    /// # Errors
    /// When the kernel has no nf_tables.
    pub fn tables(&mut self) -> Result<Vec<TableId>> {
        let mut tables = Vec::new();
        self.drain()?;
        self.dump(Query { kind: kind::GETTABLE, family: 0, attributes: &[] }, |message| {
            if message.kind == of_nftables(kind::NEWTABLE) {
                tables.extend(table_id(message));
            }
            Ok(())
        })?;
        Ok(tables)
    }

    pub(super) fn encode<'t>(&mut self, transaction: Cow<'t, Transaction>, ending: Ending) -> Result<Prepared<'t>> {
        let known = KnownSets::of(&transaction);
        let encoded = netlink::encode(&transaction, &known, ending, self.sequence).map_err(|(index, cause)| {
            let operation = transaction.operations().get(index).map(Operation::title).unwrap_or_default();
            let count = transaction.operations().len();
            Error::new(Kind::Invalid, format!("op {} of {count}, {operation}: {cause}", index + 1))
        })?;
        self.sequence = encoded.last().wrapping_add(1);
        Ok(Prepared { transaction, known, encoded, ending })
    }

    /// Sends one batch and collects all answers of the kernel, which are queued when the send
    /// returns.
    pub(super) fn exchange(&mut self, bytes: &[u8]) -> Result<(Vec<Ack>, Lost)> {
        self.exchange_with(bytes, |_| Ok(()))
    }

    fn exchange_with(
        &mut self,
        bytes: &[u8],
        mut read: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(Vec<Ack>, Lost)> {
        self.drain()?;
        let io = |cause| Error::io("commit", cause);
        let allowed = self.socket.ensure_send_buffer(bytes.len()).map_err(io)?;
        if allowed < bytes.len() {
            return Err(too_large(bytes.len(), allowed));
        }
        self.socket.send(bytes).map_err(|cause| match cause.raw_os_error() {
            Some(libc::EMSGSIZE) => too_large(bytes.len(), allowed),
            _ => io(cause),
        })?;
        let mut acks = Vec::new();
        let (mut lost, mut memory) = (Lost::Nothing, Scratch::lent());
        loop {
            match self.socket.recv(&mut memory, Wait::DontWait) {
                Ok(None) => return Ok((acks, lost)),
                Ok(Some(datagram)) => {
                    read(datagram).map_err(|malformed| Error::new(Kind::Other, malformed))?;
                    for ack in netlink::acks(datagram) {
                        acks.push(ack.map_err(|malformed| Error::new(Kind::Other, malformed))?);
                    }
                }
                // Reported once, before the answers that did fit. Only refusals are ever so many.
                Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => lost = Lost::Some,
                Err(cause) => return Err(io(cause)),
            }
        }
    }

    /// Discards what an earlier, failed exchange may have left.
    pub(super) fn drain(&mut self) -> Result<()> {
        let mut memory = Scratch::lent();
        loop {
            match self.socket.recv(&mut memory, Wait::DontWait) {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(cause) => return Err(Error::io("drain the netfilter socket", cause)),
            }
        }
    }

    /// Determines once, with an empty batch, whether the kernel acknowledges the end of a batch.
    fn ending(&mut self) -> Result<Ending> {
        if let Some(ending) = self.ending {
            return Ok(ending);
        }
        let probe = self.encode(Cow::Owned(Transaction::new()), Ending::AcknowledgedEnd)?;
        let (acks, lost) = self.exchange(probe.encoded.messages.as_bytes())?;
        if acks.iter().any(|ack| ack.errno == libc::EPERM) {
            probe.verdict(&acks, lost, &BTreeSet::new())?;
        }
        let acknowledged = acks.iter().any(|ack| ack.sequence == probe.encoded.last() && ack.errno == 0);
        let ending = if acknowledged { Ending::AcknowledgedEnd } else { Ending::AcknowledgedLast };
        self.ending = Some(ending);
        Ok(ending)
    }
}

/// A validated and encoded transaction.
#[derive(Debug)]
pub struct Prepared<'t> {
    pub(super) transaction: Cow<'t, Transaction>,
    known: KnownSets,
    pub(super) encoded: Encoded,
    ending: Ending,
}

impl Prepared<'_> {
    /// Returns its length in bytes, as one netlink send.
    #[must_use]
    pub fn len(&self) -> usize {
        self.encoded.messages.len()
    }

    /// Returns whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transaction.is_empty()
    }

    /// Interprets the acknowledgements: committed, or refused.
    fn verdict(&self, acks: &[Ack], lost: Lost, clashes: &BTreeSet<usize>) -> Result<()> {
        let Prepared { transaction, known, encoded, ending } = self;
        let refusals: Vec<Ack> = acks.iter().filter(|ack| ack.errno != 0).cloned().collect();
        if !refusals.is_empty() || lost == Lost::Some {
            return Err(netlink::refused(transaction, known, encoded, &refusals, (lost, clashes)));
        }
        let expected = match ending {
            Ending::AcknowledgedEnd => encoded.last(),
            Ending::AcknowledgedLast => encoded.last().wrapping_sub(1),
            Ending::DryRun => return Ok(()),
        };
        let committed = acks.iter().any(|ack| ack.sequence == expected);
        if committed { Ok(()) } else { Err(unexpected("commit")) }
    }
}

fn table_id(message: &Message<'_>) -> Option<TableId> {
    let (family, attributes) = message.netfilter()?;
    let name = attributes.find(NFTA_TABLE_NAME)?;
    Some(TableId { family: Family::from_number(family)?, name: Name::from(name.text()?) })
}

fn too_large(needed: usize, allowed: usize) -> Error {
    Error::new(
        Kind::Other,
        format!(
            "the transaction takes {needed} bytes in one message and the send buffer allows {allowed}: \
             raise net.core.wmem_max, or run with CAP_NET_ADMIN in the initial user namespace (EMSGSIZE)"
        ),
    )
}

pub(super) fn unexpected(doing: &str) -> Error {
    Error::new(Kind::Other, format!("{doing}: the kernel sent no answer; is nf_tables loaded (CONFIG_NF_TABLES)"))
}

/// Returns the type of an nf_tables message that is not the begin or end of a batch.
pub(super) fn of_nftables(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

const NFNL_SUBSYS_NFTABLES: u16 = 10;

#[cfg(test)]
mod tests {
    mod interrupted;
    mod judged;

    use super::*;
    use crate::model::{Chain, Rule, Ruleset, Table};
    use crate::testing::{in_namespace, linux, nft};

    fn small() -> Transaction {
        let chain = Chain::regular("c").rule(Rule::new().counter());
        Transaction::replace(Ruleset::new().table(Table::new(Family::Inet, "t").chain(chain)))
    }

    #[test]
    fn acknowledgement_of_a_batch_end_is_detected() {
        in_namespace(|| {
            let mut kernel = Kernel::open().expect("a socket");
            let expected = if linux() >= (6, 10) { Ending::AcknowledgedEnd } else { Ending::AcknowledgedLast };
            assert_eq!(kernel.ending().expect("an answer"), expected, "Linux {:?}", linux());
            let generation = kernel.generation().expect("a generation");
            kernel.ending = None;
            kernel.ending().expect("an answer");
            assert_eq!(kernel.generation().expect("a generation"), generation, "asking changes nothing");
        });
    }

    #[test]
    fn without_end_acknowledgement_the_last_operation_is_acknowledged() {
        in_namespace(|| {
            let mut kernel = Kernel::open().expect("a socket");
            kernel.ending = Some(Ending::AcknowledgedLast);
            kernel.commit(&small()).expect("a small rule set");
            assert!(nft("list ruleset").contains("chain c"));
            let table = TableId::new(Family::Inet, "t");
            let wrong =
                Transaction::new().add_rule(&table.chain("nope"), Rule::new()).add_rule(&table.chain("c"), Rule::new());
            let error = kernel.commit(&wrong).expect_err("no such chain");
            assert_eq!(error.refusals().len(), 1, "{error}");
            assert_eq!(nft("list ruleset").matches("counter").count(), 1);
        });
    }

    #[test]
    fn a_batch_without_an_end_changes_nothing() {
        in_namespace(|| {
            let mut kernel = Kernel::open().expect("a socket");
            let transaction = small();
            let prepared = kernel.encode(Cow::Borrowed(&transaction), Ending::DryRun).expect("valid");
            let (acks, _) = kernel.exchange(prepared.encoded.messages.as_bytes()).expect("it can be sent");
            assert_eq!((acks, nft("list ruleset").as_str()), (vec![], ""));
        });
    }
}
