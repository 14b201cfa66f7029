//! The content of a transaction as static validation views it, by table.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::operation::{Operation, State};
use super::transaction::Transaction;
use crate::bytecode::KeptParts;
use crate::model::{ChainId, ChainKind, Name, Rule, Set, Statement, TableId};
use crate::validate::{self, ChainView, Complete, Fault, Invalid, TableView};

impl Transaction {
    /// Checks everything that can be checked without a kernel. [Oddities](validate::Severity::Odd)
    /// pass.
    ///
    /// A table that the transaction deletes and adds again is known in full. In any other table,
    /// chains and sets may exist that the transaction does not name; whether they do, the kernel
    /// reports at the commit.
    ///
    /// # Errors
    /// [`Invalid`] with every fault that prevents sending.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.validate_with(&[])
    }

    /// Validates in the same way, given that these sets, without elements, already exist.
    ///
    /// # Errors
    /// Those of [`validate`](Self::validate).
    pub(crate) fn validate_with(&self, sets: &[(TableId, Set)]) -> Result<(), Invalid> {
        let declared = self.with_declarations(&BTreeMap::new());
        let mut views = Views::default();
        declared.operations().iter().for_each(|operation| views.take(operation));
        sets.iter().for_each(|(table, set)| views.know(table, set));
        let (twice, mut all) = (views.twice(self.twice()), Vec::new());
        all.extend(validate::faults(&views.tables.into_values().map(|known| known.view).collect::<Vec<_>>()));
        // Elements for a set that the transaction declares elsewhere are checked separately.
        all.extend(views.elements.iter().flat_map(|elements| validate::faults(std::slice::from_ref(elements))));
        validate::refuse(twice.into_iter().chain(all).collect())
    }

    /// Returns the sets that rules look up and that the transaction neither adds nor knows.
    pub(crate) fn sets_unknown(&self) -> BTreeSet<(&TableId, &Name)> {
        let mut unknown = BTreeSet::new();
        for operation in self.operations() {
            let (Operation::AddRule { chain, rule, .. } | Operation::ReplaceRule { chain, rule, .. }) = operation
            else {
                continue;
            };
            unknown.extend(rule.statements.iter().flat_map(Statement::looked_up).map(|name| (&chain.table, name)));
        }
        if unknown.is_empty() {
            return unknown;
        }
        let mut gone = HashSet::new();
        for operation in self.operations() {
            match operation {
                Operation::AddElements { table, set } | Operation::AddSet { table, set } => {
                    unknown.remove(&(table, &set.name));
                }
                Operation::Restore { table, state } => {
                    unknown.remove(&(table, state.title().1));
                }
                Operation::DeleteTable(table) | Operation::DestroyTable(table) => drop(gone.insert(table)),
                _ => {}
            }
        }
        unknown.retain(|(table, _)| !gone.contains(table));
        for (table, name, _) in self.known() {
            unknown.remove(&(table, name));
        }
        unknown
    }
}

#[derive(Default)]
struct Views<'a> {
    tables: BTreeMap<&'a TableId, Known<'a>>,
    elements: Vec<TableView<'a>>,
}

/// A table, the index of each chain in its view, and the names of its sets.
struct Known<'a> {
    view: TableView<'a>,
    chains: HashMap<&'a Name, usize>,
    /// The index of the chain that was named last.
    last: usize,
    sets: HashSet<&'a Name>,
    /// Whether it was filled and then deleted.
    lost: bool,
    /// Whether it was filled again.
    twice: bool,
}

impl<'a> Known<'a> {
    /// Everything in it goes, and nothing that is not in the transaction is left.
    fn empty(&mut self) {
        let Known { view, chains, last: _, sets, lost, twice: _ } = self;
        *lost |= !(view.chains.is_empty() && view.sets.is_empty() && view.objects.is_empty());
        view.complete = Complete::Whole;
        view.objects.clear();
        view.chains.clear();
        view.sets.clear();
        chains.clear();
        sets.clear();
    }

    /// Returns the chain of that name, adding it when it is not known yet.
    fn chain(&mut self, name: &'a Name) -> &mut ChainView<'a> {
        let Known { view, chains, .. } = self;
        let next = view.chains.len();
        // Rules come chain by chain, in the order of the chains.
        let is_here = |at: &usize| view.chains.get(*at).is_some_and(|chain| chain.name == name);
        let near = [self.last, self.last.wrapping_add(1)].into_iter().find(is_here);
        let at = near.unwrap_or_else(|| *chains.entry(name).or_insert(next));
        self.last = at;
        if at == next {
            view.chains.push(ChainView { name, kind: None, comment: None, rules: Vec::new() });
        }
        view.chains.get_mut(at).expect("chains are numbered as they are added")
    }
}

impl<'a> Views<'a> {
    fn take(&mut self, operation: &'a Operation) {
        match operation {
            Operation::AddChain { table, name, kind, comment, kept } => {
                let unread = kept.0.code::<KeptParts>().map_or(0, |read| read.unlisted);
                if unread > 0 {
                    self.table(table).view.unread = Some(unread);
                }
                self.add_chain(table, name, kind, comment.as_deref());
            }
            // The declaration of its set is unknown.
            Operation::AddElements { set, .. } if !set.is_declared() => {}
            Operation::AddElements { table, set } | Operation::AddSet { table, set } => self.add_set(table, set),
            Operation::AddObject { table, object } => self.filled(table).view.objects.push(object),
            Operation::AddRule { chain, rule, .. } | Operation::ReplaceRule { chain, rule, .. } => {
                self.add_rule(chain, rule)
            }
            Operation::AddTable { table, comment, .. } => {
                let known = self.table(table);
                known.view.comment = comment.as_deref().or(known.view.comment);
            }
            Operation::DeleteTable(table) | Operation::DestroyTable(table) => self.table(table).empty(),
            Operation::FlushRuleset(family) => {
                let of_it = self.tables.values_mut().filter(|known| family.is_none_or(|of| known.view.family == of));
                of_it.for_each(Known::empty);
            }
            Operation::FlushChain(chain) => {
                let Known { view, chains, .. } = self.table(&chain.table);
                let known = chains.get(&chain.name).and_then(|at| view.chains.get_mut(*at));
                known.into_iter().for_each(|view| view.rules.clear());
            }
            Operation::FlushTable(table) => {
                self.table(table).view.chains.iter_mut().for_each(|view| view.rules.clear())
            }
            // What they remove can only make something else missing, which the kernel reports.
            Operation::DeleteChain(_) | Operation::DeleteElements { .. } | Operation::DeleteRule { .. } => {}
            Operation::DeleteObject { .. } | Operation::DeleteSet { .. } | Operation::FlushSet { .. } => {}
            Operation::DestroyChain(_) | Operation::DestroyElements { .. } | Operation::DestroyRule { .. } => {}
            Operation::DestroyObject { .. } | Operation::DestroySet { .. } => {}
            // State read from a kernel is not validated; the kernel reports objects that no view
            // contains.
            Operation::Restore { table, state } => {
                let view = &mut self.table(table).view;
                if !matches!(**state, State::Object(_)) {
                    view.complete = Complete::Part;
                }
            }
        }
    }

    fn table(&mut self, table: &'a TableId) -> &mut Known<'a> {
        let (lost, twice) = (false, false);
        let (chains, sets) = (HashMap::new(), HashSet::new());
        let new = || Known { view: view(table), chains, last: 0, sets, lost, twice };
        self.tables.entry(table).or_insert_with(new)
    }

    /// Returns the table of something that is added to it.
    fn filled(&mut self, table: &'a TableId) -> &mut Known<'a> {
        let known = self.table(table);
        known.twice |= known.lost;
        known
    }

    /// Returns a fault for every table that occurs twice, the first of which would be lost
    /// silently.
    fn twice(&self, named: &'a [TableId]) -> Vec<Fault> {
        let again = self.tables.iter().filter(|(_, known)| known.twice).map(|(table, _)| *table);
        let all: BTreeSet<&TableId> = named.iter().chain(again).collect();
        all.into_iter().map(|table| Fault::twice(table.family, &table.name)).collect()
    }

    /// Adds a set that already exists.
    fn know(&mut self, table: &'a TableId, set: &'a Set) {
        let known = self.table(table);
        if known.sets.insert(&set.name) {
            known.view.sets.push(set);
        }
    }

    fn add_chain(&mut self, table: &'a TableId, name: &'a Name, kind: &'a ChainKind, comment: Option<&'a str>) {
        let chain = self.filled(table).chain(name);
        (chain.kind, chain.comment) = (Some(kind), comment);
    }

    fn add_rule(&mut self, chain: &'a ChainId, rule: &'a Rule) {
        self.filled(&chain.table).chain(&chain.name).rules.push(rule);
    }

    fn add_set(&mut self, table: &'a TableId, set: &'a Set) {
        let known = self.filled(table);
        if known.sets.insert(&set.name) {
            known.view.sets.push(set);
        } else {
            self.elements.push(TableView { sets: vec![set], ..view(table) });
        }
    }
}

/// Returns the view of a table of which nothing is known yet.
fn view(table: &TableId) -> TableView<'_> {
    TableView {
        family: table.family,
        name: &table.name,
        comment: None,
        complete: Complete::Part,
        unread: None,
        objects: Vec::new(),
        sets: Vec::new(),
        chains: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Chain, DataType, Element, Family, Ruleset, Table, Value};

    fn mesh() -> TableId {
        TableId::new(Family::Inet, "mesh")
    }

    #[test]
    fn an_unknown_jump_target_is_a_fault_only_where_all_chains_are_known() {
        let jump = Rule::new().jump("elsewhere");
        let part = Transaction::new().add_rule(&mesh().chain("out"), jump.clone());
        assert_eq!(part.validate(), Ok(()));
        let table = Table::new(Family::Inet, "mesh").chain(Chain::regular("out").rule(jump));
        let whole = Transaction::replace(Ruleset::new().table(table));
        let invalid = whole.validate().expect_err("no such chain");
        assert!(invalid.to_string().contains("elsewhere"), "{invalid}");
    }

    #[test]
    fn elements_of_a_set_that_is_declared_before_are_checked_too() {
        let set = Set::new("s", [DataType::Ipv4]);
        let id = mesh().set("s");
        let mistyped =
            Transaction::new().add_set(&mesh(), set.clone()).add_elements(&id, [Element::new(Value::Port(1))]);
        assert!(mistyped.validate().is_err());
        let typed = [Element::new(Value::Ipv4([10, 0, 0, 1].into()))];
        let good = Transaction::new().add_set(&mesh(), set.clone()).add_elements(&id, typed);
        assert_eq!(good.validate(), Ok(()));
    }
}
