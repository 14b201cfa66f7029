//! What commands make of an empty rule set, and the transaction that they are.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::commands::{Command, What};
use super::error::{Fault, Parsed};
use super::lexer::Token;
use crate::model::{
    Chain, ChainKind, Element, Family, Key, Name, Object, Position, Rule, Ruleset, Set, Table, TableId,
};
use crate::plan::{Operation, Transaction};

/// Returns the commands as operations.
pub(super) fn transaction(commands: Vec<Command<'_>>) -> Transaction {
    let mut operations: Vec<Operation> = Vec::new();
    for Command { at: _, what } in commands {
        match what {
            What::Table(table) => operations.extend(Transaction::new().create(table).into_operations()),
            What::Operations(more) => more.into_iter().for_each(|operation| add(&mut operations, operation)),
        }
    }
    let mut transaction = Transaction::new();
    transaction.extend(operations);
    transaction
}

/// Adds an operation. The elements of a set right after its declaration are part of it.
fn add(operations: &mut Vec<Operation>, operation: Operation) {
    match (operations.last_mut(), operation) {
        (Some(Operation::AddSet { table, set }), Operation::AddElements { table: same, set: more })
            if *table == same && set.name == more.name && set.elements.is_empty() =>
        {
            set.elements = more.elements;
        }
        (_, operation) => operations.push(operation),
    }
}

/// What a text says the kernel shall hold.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Wanted {
    /// The tables and what is in them.
    pub ruleset: Ruleset,
    /// The tables that the text names, also those that it deletes.
    pub tables: BTreeSet<TableId>,
    /// Which other tables it flushes: those of a family, or all of them.
    pub flushed: Vec<Option<Family>>,
}

impl Wanted {
    /// Returns whether the text decides about a table: it names or flushes it.
    #[must_use]
    pub fn decides(&self, table: &TableId) -> bool {
        let flushes = |family: &Option<Family>| family.is_none_or(|family| family == table.family);
        self.tables.contains(table) || self.flushed.iter().any(flushes)
    }
}

/// Returns what the commands make of an empty rule set.
pub(super) fn wanted(commands: Vec<Command<'_>>) -> Parsed<Wanted> {
    let (mut made, mut tables, mut flushed) = (Made::default(), BTreeSet::new(), Vec::new());
    for Command { at, what } in commands {
        match what {
            What::Table(table) => {
                tables.insert(TableId::from(&table));
                made.table(table);
            }
            What::Operations(operations) => {
                for operation in operations {
                    match &operation {
                        Operation::FlushRuleset(family) => flushed.push(*family),
                        operation => tables.extend(operation.table().cloned()),
                    }
                    made.operation(at, operation)?;
                }
            }
        }
    }
    Ok(Wanted { ruleset: made.tables.into_items().map(MadeTable::into_table).collect(), tables, flushed })
}

/// Items by name in the order in which they were added.
struct Ordered<K, T> {
    items: Vec<Option<T>>,
    index: HashMap<K, usize>,
}

impl<K, T> Default for Ordered<K, T> {
    fn default() -> Self {
        Ordered { items: Vec::new(), index: HashMap::new() }
    }
}

impl<K: std::hash::Hash + Eq, T> Ordered<K, T> {
    fn get(&mut self, key: &K) -> Option<&mut T> {
        let index = self.index.get(key)?;
        self.items.get_mut(*index)?.as_mut()
    }

    fn insert(&mut self, key: K, item: T) {
        self.index.insert(key, self.items.len());
        self.items.push(Some(item));
    }

    fn remove(&mut self, key: &K) -> Option<T> {
        let index = self.index.remove(key)?;
        self.items.get_mut(index)?.take()
    }

    fn into_items(self) -> impl Iterator<Item = T> {
        self.items.into_iter().flatten()
    }
}

#[derive(Default)]
struct Made {
    tables: Ordered<TableId, MadeTable>,
}

struct MadeTable {
    /// Without its sets and chains.
    table: Table,
    sets: Ordered<Name, MadeSet>,
    chains: Ordered<Name, MadeChain>,
}

struct MadeSet {
    /// Without its elements.
    set: Set,
    elements: Vec<Option<Element>>,
    /// Where each key is among the elements, once some are deleted.
    places: Option<HashMap<Key, Vec<usize>>>,
}

impl MadeSet {
    fn new(mut set: Set) -> Self {
        let elements = std::mem::take(&mut set.elements).into_iter().map(Some).collect();
        MadeSet { set, elements, places: None }
    }

    fn add(&mut self, elements: Vec<Element>) {
        for element in elements {
            if let Some(places) = &mut self.places {
                places.entry(element.key.clone()).or_default().push(self.elements.len());
            }
            self.elements.push(Some(element));
        }
    }

    fn delete(&mut self, elements: &[Element]) {
        let places = self.places.get_or_insert_with(|| {
            let mut places: HashMap<Key, Vec<usize>> = HashMap::new();
            for (at, element) in self.elements.iter().enumerate() {
                if let Some(element) = element {
                    places.entry(element.key.clone()).or_default().push(at);
                }
            }
            places
        });
        for at in elements.iter().filter_map(|element| places.remove(&element.key)).flatten() {
            self.elements.get_mut(at).into_iter().for_each(|element| *element = None);
        }
    }

    fn clear(&mut self) {
        self.elements.clear();
        self.places = None;
    }

    fn into_set(self) -> Set {
        Set { elements: self.elements.into_iter().flatten().collect(), ..self.set }
    }
}

struct MadeChain {
    /// Without its rules.
    chain: Chain,
    rules: VecDeque<Rule>,
}

impl MadeTable {
    fn into_table(self) -> Table {
        let MadeTable { mut table, sets, chains } = self;
        table.sets = sets.into_items().map(MadeSet::into_set).collect();
        table.chains =
            chains.into_items().map(|MadeChain { chain, rules }| Chain { rules: rules.into(), ..chain }).collect();
        table
    }

    /// Adds a chain. Of one that exists, only the hook and the rules are taken.
    fn add_chain(&mut self, mut chain: Chain) {
        let rules = std::mem::take(&mut chain.rules);
        match self.chains.get(&chain.name) {
            Some(known) => {
                if chain.kind != ChainKind::Regular {
                    known.chain.kind = chain.kind;
                }
                known.rules.extend(rules);
            }
            None => self.chains.insert(chain.name.clone(), MadeChain { chain, rules: rules.into() }),
        }
    }

    /// Adds an object. One that exists stays as it is.
    fn add_object(&mut self, object: Object) {
        let same = |known: &Object| known.kind() == object.kind() && known.name == object.name;
        if !self.table.objects.iter().any(same) {
            self.table.objects.push(object);
        }
    }

    /// Removes an object; returns whether it was there.
    fn remove_object(&mut self, kind: &str, name: &Name) -> bool {
        let before = self.table.objects.len();
        self.table.objects.retain(|object| object.kind() != kind || object.name != *name);
        self.table.objects.len() < before
    }

    fn add_set(&mut self, set: Set) {
        match self.sets.get(&set.name) {
            Some(known) => known.add(set.elements),
            None => self.sets.insert(set.name.clone(), MadeSet::new(set)),
        }
    }
}

impl Made {
    /// Adds a table. Of one that exists, only the contents are taken.
    fn table(&mut self, mut table: Table) {
        let (sets, chains) = (std::mem::take(&mut table.sets), std::mem::take(&mut table.chains));
        let objects = std::mem::take(&mut table.objects);
        let id = TableId::from(&table);
        if self.tables.get(&id).is_none() {
            let made = MadeTable { table, sets: Ordered::default(), chains: Ordered::default() };
            self.tables.insert(id.clone(), made);
        } else if let Some(known) = self.tables.get(&id) {
            known.table.flags |= table.flags;
        }
        if let Some(made) = self.tables.get(&id) {
            objects.into_iter().for_each(|object| made.add_object(object));
            sets.into_iter().for_each(|set| made.add_set(set));
            chains.into_iter().for_each(|chain| made.add_chain(chain));
        }
    }

    fn operation(&mut self, at: Token<'_>, operation: Operation) -> Parsed<()> {
        let missing =
            |what: String| Fault::wrong(at.at, at.length(), format!("{what} is not there at this point of the text"));
        match operation {
            Operation::AddTable { table, flags, comment, kept: _ } => {
                let mut added = Table::new(table.family, table.name).flags(flags);
                added.comment = comment;
                self.table(added);
            }
            Operation::FlushRuleset(family) => {
                let of = |id: &TableId| family.is_none_or(|family| id.family == family);
                let gone: Vec<TableId> = self.tables.index.keys().filter(|id| of(id)).cloned().collect();
                gone.iter().for_each(|id| drop(self.tables.remove(id)));
            }
            Operation::DestroyTable(id) => drop(self.tables.remove(&id)),
            Operation::DeleteTable(id) => {
                self.tables.remove(&id).ok_or_else(|| missing(format!("table {id}")))?;
            }
            operation => {
                let Some(id) = operation.table().cloned() else { return Ok(()) };
                let table = self.tables.get(&id).ok_or_else(|| missing(format!("table {id}")))?;
                if let Some(what) = table.operation(operation, at)? {
                    return Err(missing(what));
                }
            }
        }
        Ok(())
    }
}

impl MadeTable {
    /// Runs an operation in this table; returns what it misses.
    fn operation(&mut self, operation: Operation, at: Token<'_>) -> Parsed<Option<String>> {
        match operation {
            Operation::AddChain { table: _, name, kind, comment, kept: _ } => {
                let mut chain = Chain::of_kind(name, kind);
                chain.comment = comment;
                self.add_chain(chain);
            }
            Operation::AddObject { table: _, object } => self.add_object(object),
            Operation::AddSet { table: _, set } => self.add_set(set),
            Operation::AddElements { table: _, set } => match self.sets.get(&set.name) {
                Some(known) => known.add(set.elements),
                None => return Ok(Some(format!("set {}", set.name))),
            },
            Operation::DeleteElements { table: _, set } | Operation::DestroyElements { table: _, set } => {
                let Some(known) = self.sets.get(&set.name) else { return Ok(Some(format!("set {}", set.name))) };
                known.delete(&set.elements);
            }
            Operation::AddRule { chain, position, rule } => {
                let Some(known) = self.chains.get(&chain.name) else { return Ok(Some(format!("chain {chain}"))) };
                match position {
                    Position::Last => known.rules.push_back(rule),
                    Position::First => known.rules.push_front(rule),
                    Position::After(_) | Position::Before(_) => return Err(by_handle(at)),
                }
            }
            Operation::DeleteChain(chain) => {
                if self.chains.remove(&chain.name).is_none() {
                    return Ok(Some(format!("chain {chain}")));
                }
            }
            Operation::DestroyChain(chain) => drop(self.chains.remove(&chain.name)),
            Operation::DeleteSet { table: _, set } => {
                if self.sets.remove(&set).is_none() {
                    return Ok(Some(format!("set {set}")));
                }
            }
            Operation::DestroySet { table: _, set } => drop(self.sets.remove(&set)),
            Operation::FlushChain(chain) => match self.chains.get(&chain.name) {
                Some(known) => known.rules.clear(),
                None => return Ok(Some(format!("chain {chain}"))),
            },
            Operation::FlushSet { table: _, set } => match self.sets.get(&set) {
                Some(known) => known.clear(),
                None => return Ok(Some(format!("set {set}"))),
            },
            Operation::FlushTable(_) => {
                self.chains.items.iter_mut().flatten().for_each(|known| known.rules.clear());
            }
            Operation::ReplaceRule { .. } | Operation::DeleteRule { .. } | Operation::DestroyRule { .. } => {
                return Err(by_handle(at));
            }
            Operation::DeleteObject { name, kind, .. } => {
                if !self.remove_object(&kind, &name) {
                    return Ok(Some(format!("{kind} {name}")));
                }
            }
            Operation::DestroyObject { name, kind, .. } => drop(self.remove_object(&kind, &name)),
            Operation::Restore { .. } => {}
            Operation::AddTable { .. }
            | Operation::DeleteTable(_)
            | Operation::DestroyTable(_)
            | Operation::FlushRuleset(_) => {}
        }
        Ok(None)
    }
}

fn by_handle(at: Token<'_>) -> Box<Fault> {
    let why = "a rule set has no handles; read this text as a transaction, or leave the command out";
    Fault::wrong(at.at, at.length(), why)
}
