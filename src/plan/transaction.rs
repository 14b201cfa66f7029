//! Transactions: built by hand or from a rule set, printed as an nft script, committed as one.

use super::bound::with_chains;
use super::operation::{Operation, Remainder};
use crate::bytecode::SetMode;
use crate::model::{
    Chain, ChainId, ChainKind, Element, Generation, Name, Position, Rule, RuleHandle, Ruleset, Set, SetId, Table,
    TableFlags, TableId,
};

/// Operations that take effect together or not at all.
///
/// ```
/// use nftmesh::model::{Chain, Family, Rule, TableId};
/// use nftmesh::plan::Transaction;
///
/// let table = TableId::new(Family::Inet, "mesh");
/// let transaction = Transaction::new()
///     .add_table(&table)
///     .add_chain(&table, Chain::regular("out"))
///     .add_rule(&table.chain("out"), Rule::new().skuid(1337).r#return());
/// assert_eq!(transaction.operations().len(), 3);
/// ```
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[doc(alias = "batch")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    operations: Vec<Operation>,
    generation: Option<Generation>,
    /// Sets that exist already and how they store their keys, which rules that look them up depend
    /// on.
    known: Vec<(TableId, Name, SetMode)>,
    /// Tables that an added rule set contained twice.
    twice: Vec<TableId>,
    /// How the operations that destroy are sent.
    #[cfg_attr(feature = "serde", serde(skip))]
    destroys: Destroys,
}

/// How operations that destroy are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Destroys {
    /// As they are (Linux 6.3).
    #[default]
    AsTheyAre,
    /// A table is added and deleted; of everything else only those are left that have nothing to
    /// delete, and they are nothing.
    Settled,
}

impl Transaction {
    /// Creates an empty transaction.
    #[must_use]
    pub fn new() -> Self {
        Transaction::default()
    }

    /// Replaces every table of `ruleset` with everything in it, whether or not it exists; other
    /// tables stay.
    #[must_use]
    pub fn replace(ruleset: Ruleset) -> Self {
        let transaction = Transaction::of(&ruleset);
        ruleset.tables.into_iter().fold(transaction, |transaction, table| {
            let id = TableId::from(&table);
            transaction.add_table(&id).delete_table(&id).create(table)
        })
    }

    /// Adds every table of `ruleset` with everything in it; existing chains get the rules a second
    /// time.
    #[must_use]
    pub fn add(ruleset: Ruleset) -> Self {
        let transaction = Transaction::of(&ruleset);
        ruleset.tables.into_iter().fold(transaction, Transaction::create)
    }

    /// Creates an empty transaction; two tables of one name are recorded, for
    /// [`validate`](Self::validate) to reject.
    fn of(ruleset: &Ruleset) -> Self {
        let mut seen = std::collections::HashSet::new();
        let second = ruleset.tables.iter().map(TableId::from).filter(|table| !seen.insert(table.clone()));
        Transaction { twice: second.collect(), ..Transaction::new() }
    }

    /// Returns the tables that occur twice.
    pub(super) fn twice(&self) -> &[TableId] {
        &self.twice
    }

    /// Adds a table with its chains, sets, elements and rules, in an order in which nothing is
    /// named before it exists.
    #[must_use]
    pub fn create(mut self, table: Table) -> Self {
        let id = TableId::from(&table);
        self.operations.push(Operation::add_table(&table));
        let Table { family: _, name: _, flags: _, comment: _, objects, sets, chains, kept: _ } = table;
        let is_bound = |chain: &&Chain| chain.kind == ChainKind::Bound;
        let named = chains.iter().filter(|chain| !is_bound(chain));
        self.operations.extend(named.map(|chain| Operation::add_chain(&id, chain)));
        self.operations.extend(objects.into_iter().map(|object| Operation::AddObject { table: id.clone(), object }));
        self.operations.extend(sets.into_iter().map(|set| Operation::AddSet { table: id.clone(), set }));
        let (bound, named): (Vec<Chain>, Vec<Chain>) = chains.into_iter().partition(|chain| is_bound(&chain));
        let mut made = Vec::new();
        for chain in named {
            let Chain { name, kind: _, comment: _, rules, kept: _ } = chain;
            let chain = id.chain(name);
            let add = |rule| Operation::AddRule { chain: chain.clone(), position: Position::Last, rule };
            made.extend(rules.into_iter().map(add));
        }
        self.operations.extend(with_chains(made, &id, &bound));
        self
    }

    /// Adds any operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operations.push(operation);
        self
    }

    /// Adds a table; an existing one stays as it is.
    #[must_use]
    pub fn add_table(self, table: &TableId) -> Self {
        let (flags, comment, kept) = (TableFlags::empty(), None, Remainder::default());
        self.operation(Operation::AddTable { table: table.clone(), flags, comment, kept })
    }

    /// Deletes a table with everything in it.
    #[must_use]
    pub fn delete_table(self, table: &TableId) -> Self {
        self.operation(Operation::DeleteTable(table.clone()))
    }

    /// Deletes a table with everything in it, if it exists.
    ///
    /// The other operations that destroy are alike: what is not there is no error, but the table,
    /// and the set of elements, have to be. Linux before 6.3 has no such operation; there a table
    /// is added and deleted, and for all others the [`Kernel`](crate::Kernel) looks what exists and
    /// commits only as long as nobody else does, so that a prepared transaction can be committed
    /// once.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let mesh = TableId::new(Family::Inet, "mesh");
    /// let anew = Transaction::new().add_table(&mesh).destroy_chain(&mesh.chain("out"));
    /// assert_eq!(anew.to_string(), "add table inet mesh\ndestroy chain inet mesh out\n");
    /// ```
    #[doc(alias = "NFT_MSG_DESTROYTABLE")]
    #[must_use]
    pub fn destroy_table(self, table: &TableId) -> Self {
        self.operation(Operation::DestroyTable(table.clone()))
    }

    /// Deletes every table of every family with everything in it, as `flush ruleset` of nft does.
    ///
    /// Tables that belong to another socket stay; see [`Operation::FlushRuleset`].
    #[must_use]
    pub fn flush_ruleset(self) -> Self {
        self.operation(Operation::FlushRuleset(None))
    }

    /// Deletes the rules of all chains of a table.
    #[must_use]
    pub fn flush_table(self, table: &TableId) -> Self {
        self.operation(Operation::FlushTable(table.clone()))
    }

    /// Adds a chain and its rules.
    #[must_use]
    pub fn add_chain(mut self, table: &TableId, chain: Chain) -> Self {
        self.operations.push(Operation::add_chain(table, &chain));
        let id = table.chain(&chain.name);
        chain.rules.into_iter().fold(self, |transaction, rule| transaction.add_rule(&id, rule))
    }

    /// Deletes a chain and the rules in it; no other rule may jump to it.
    #[must_use]
    pub fn delete_chain(self, chain: &ChainId) -> Self {
        self.operation(Operation::DeleteChain(chain.clone()))
    }

    /// Deletes a chain and the rules in it, if it exists; no other rule may jump to it.
    #[must_use]
    pub fn destroy_chain(self, chain: &ChainId) -> Self {
        self.operation(Operation::DestroyChain(chain.clone()))
    }

    /// Deletes the rules of a chain.
    #[must_use]
    pub fn flush_chain(self, chain: &ChainId) -> Self {
        self.operation(Operation::FlushChain(chain.clone()))
    }

    /// Adds a rule at the end of a chain.
    #[must_use]
    pub fn add_rule(self, chain: &ChainId, rule: Rule) -> Self {
        self.insert_rule(chain, Position::Last, rule)
    }

    /// Adds a rule at a position of a chain. [`Kernel::rules`](crate::Kernel::rules) returns the
    /// handles of those that are there.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let input = TableId::new(Family::Inet, "host").chain("input");
    /// let mut kernel = Kernel::open()?;
    /// // Read before the rules, so that a change in between is a conflict.
    /// let mut transaction = Transaction::new().at_generation(kernel.generation()?);
    /// for (handle, rule) in kernel.rules(&input)?.unwrap_or_default() {
    ///     match rule.comment.as_deref() {
    ///         Some("old") => transaction = transaction.delete_rule(&input, handle),
    ///         Some("rest") => {
    ///             let dns = Rule::new().udp_dport(53).accept();
    ///             transaction = transaction.insert_rule(&input, Position::Before(handle), dns);
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// kernel.commit(&transaction)?;
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn insert_rule(self, chain: &ChainId, position: Position, rule: Rule) -> Self {
        self.operation(Operation::AddRule { chain: chain.clone(), position, rule })
    }

    /// Replaces the rule with this handle by another.
    #[must_use]
    pub fn replace_rule(self, chain: &ChainId, handle: RuleHandle, rule: Rule) -> Self {
        self.operation(Operation::ReplaceRule { chain: chain.clone(), handle, rule })
    }

    /// Deletes the rule with this handle.
    #[must_use]
    pub fn delete_rule(self, chain: &ChainId, handle: RuleHandle) -> Self {
        self.operation(Operation::DeleteRule { chain: chain.clone(), handle })
    }

    /// Deletes the rule with this handle, if it exists.
    #[must_use]
    pub fn destroy_rule(self, chain: &ChainId, handle: RuleHandle) -> Self {
        self.operation(Operation::DestroyRule { chain: chain.clone(), handle })
    }

    /// Adds a set, map or verdict map with its elements.
    #[must_use]
    pub fn add_set(self, table: &TableId, set: Set) -> Self {
        self.operation(Operation::AddSet { table: table.clone(), set })
    }

    /// Deletes a set that no rule uses.
    #[must_use]
    pub fn delete_set(self, set: &SetId) -> Self {
        let SetId { table, name } = set.clone();
        self.operation(Operation::DeleteSet { table, set: name })
    }

    /// Deletes a set that no rule uses, if it exists.
    #[must_use]
    pub fn destroy_set(self, set: &SetId) -> Self {
        let SetId { table, name } = set.clone();
        self.operation(Operation::DestroySet { table, set: name })
    }

    /// Deletes the elements of a set.
    #[must_use]
    pub fn flush_set(self, set: &SetId) -> Self {
        let SetId { table, name } = set.clone();
        self.operation(Operation::FlushSet { table, set: name })
    }

    /// Adds elements to a set.
    ///
    /// The set's declaration, which determines their encoding, is in the transaction, or the
    /// [`Kernel`](https://docs.rs/nftmesh/latest/nftmesh/kernel/struct.Kernel.html) looks it up
    /// when it validates the transaction.
    ///
    /// ```
    /// use nftmesh::prelude::*;
    ///
    /// let blocked = TableId::new(Family::Inet, "mesh").set("blocked");
    /// let transaction = Transaction::new().add_elements(&blocked, ["10.0.0.0/8".parse::<IpNetwork>()?]);
    /// assert_eq!(transaction.to_string(), "add element inet mesh blocked { 10.0.0.0/8 }\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// In a set of intervals they take effect slightly later than rules of the same transaction.
    /// Do not add them in the transaction that deletes the rule they replace, see
    /// [`Kernel::commit`](https://docs.rs/nftmesh/latest/nftmesh/kernel/struct.Kernel.html).
    #[must_use]
    pub fn add_elements(self, set: &SetId, elements: impl IntoIterator<Item = impl Into<Element>>) -> Self {
        self.operation(Operation::AddElements { table: set.table.clone(), set: undeclared(set, elements) })
    }

    /// Deletes elements from a set, whose declaration is found as in
    /// [`add_elements`](Self::add_elements).
    #[must_use]
    pub fn delete_elements(self, set: &SetId, elements: impl IntoIterator<Item = impl Into<Element>>) -> Self {
        self.operation(Operation::DeleteElements { table: set.table.clone(), set: undeclared(set, elements) })
    }

    /// Deletes those of the elements that are in the set, whose declaration is found as
    /// [`add_elements`](Self::add_elements) finds it.
    #[must_use]
    pub fn destroy_elements(self, set: &SetId, elements: impl IntoIterator<Item = impl Into<Element>>) -> Self {
        self.operation(Operation::DestroyElements { table: set.table.clone(), set: undeclared(set, elements) })
    }

    /// Commits only if no other commit happened since this generation; otherwise the error is a
    /// conflict and nothing changes.
    #[must_use]
    pub fn at_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Adds the declaration of a set that exists already, for the rules that look it up.
    pub(crate) fn knowing(mut self, table: &TableId, set: &Set) -> Self {
        self.known.push((table.clone(), set.name.clone(), SetMode::of_set(set)));
        self
    }

    /// Returns the transaction without its operations.
    pub(super) fn emptied(&self) -> Self {
        let Transaction { operations: _, generation, known, twice, destroys } = self;
        let (known, twice) = (known.clone(), twice.clone());
        Transaction { operations: Vec::new(), generation: *generation, known, twice, destroys: *destroys }
    }

    /// Returns the sets known to exist already.
    pub(crate) fn known(&self) -> &[(TableId, Name, SetMode)] {
        &self.known
    }

    /// How its operations that destroy are sent.
    pub(crate) fn destroys(&self) -> Destroys {
        self.destroys
    }

    /// The same with other operations.
    pub(crate) fn with_operations(&self, operations: Vec<Operation>) -> Self {
        Transaction { operations, ..self.emptied() }
    }

    /// The same for a kernel that cannot destroy, with these operations in its place.
    pub(crate) fn settled(&self, operations: Vec<Operation>) -> Self {
        Transaction { operations, destroys: Destroys::Settled, ..self.emptied() }
    }

    /// Returns the generation that it requires, if any.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// Returns the operations, in order.
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Takes the operations out, in order.
    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    /// Returns whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}

impl Extend<Operation> for Transaction {
    fn extend<T: IntoIterator<Item = Operation>>(&mut self, operations: T) {
        self.operations.extend(operations);
    }
}

/// Elements of a set whose declaration is not known yet.
fn undeclared(set: &SetId, elements: impl IntoIterator<Item = impl Into<Element>>) -> Set {
    Set::new(&set.name, []).elements(elements)
}

/// Returns the declaration of a set with other elements.
pub(super) fn with_elements(set: &Set, elements: impl IntoIterator<Item = Element>) -> Set {
    let Set { name, key, data, flags, timeout, gc_interval, size, policy, statements, comment, .. } = set;
    let mut declared = Set::new(name, key.iter().copied()).elements(elements);
    declared.data = data.clone();
    declared.flags = *flags;
    declared.timeout = *timeout;
    declared.gc_interval = *gc_interval;
    declared.size = *size;
    declared.policy = *policy;
    declared.statements.clone_from(statements);
    declared.comment.clone_from(comment);
    declared.kept = set.kept.clone();
    declared
}
