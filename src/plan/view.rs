//! What a transaction says of the tables it changes, as static validation looks at them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::operation::{ChainId, Operation, State, TableId};
use super::transaction::Transaction;
use crate::model::{ChainKind, Name, Rule, Set};
use crate::validate::{self, ChainView, Complete, Invalid, TableView};

impl Transaction {
    /// Checks everything that can be known without a kernel.
    ///
    /// Of a table that the transaction deletes and makes anew, all is known. Of any other table, chains and sets may exist that the
    /// transaction does not name: whether they do, the kernel says at the commit.
    ///
    /// # Errors
    /// [`Invalid`] with every fault that was found.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut views = Views::default();
        for operation in self.operations() {
            views.take(operation);
        }
        validate::tables(&views.tables.into_values().map(|known| known.view).collect::<Vec<_>>())?;
        // Elements for a set that the transaction declares elsewhere are checked for themselves.
        views.elements.iter().try_for_each(|elements| validate::tables(std::slice::from_ref(elements)))
    }
}

#[derive(Default)]
struct Views<'a> {
    tables: BTreeMap<&'a TableId, Known<'a>>,
    elements: Vec<TableView<'a>>,
}

/// A table, and where in its view each chain is; and which sets are in it.
struct Known<'a> {
    view: TableView<'a>,
    chains: HashMap<&'a Name, usize>,
    sets: HashSet<&'a Name>,
}

impl<'a> Known<'a> {
    /// The chain of that name, which is added when it is not known yet.
    fn chain(&mut self, name: &'a Name) -> &mut ChainView<'a> {
        let Known { view, chains, .. } = self;
        let next = view.chains.len();
        let at = *chains.entry(name).or_insert(next);
        if at == next {
            view.chains.push(ChainView { name, kind: None, rules: Vec::new() });
        }
        view.chains.get_mut(at).expect("chains are numbered as they are added")
    }
}

impl<'a> Views<'a> {
    fn take(&mut self, operation: &'a Operation) {
        match operation {
            Operation::AddChain { table, name, kind, .. } => self.add_chain(table, name, kind),
            Operation::AddElements { table, set } | Operation::AddSet { table, set } => self.add_set(table, set),
            Operation::AddRule { chain, rule, .. } | Operation::ReplaceRule { chain, rule, .. } => {
                self.add_rule(chain, rule)
            }
            Operation::AddTable { table, .. } => {
                self.table(table);
            }
            Operation::DeleteTable(table) => {
                let Known { view, chains, sets } = self.table(table);
                view.complete = Complete::Whole;
                view.chains.clear();
                view.sets.clear();
                chains.clear();
                sets.clear();
            }
            Operation::FlushChain(chain) => {
                let Known { view, chains, .. } = self.table(&chain.table);
                let known = chains.get(&chain.name).and_then(|at| view.chains.get_mut(*at));
                known.into_iter().for_each(|view| view.rules.clear());
            }
            Operation::FlushTable(table) => {
                self.table(table).view.chains.iter_mut().for_each(|view| view.rules.clear())
            }
            // What they take away can only make something else missing, which the kernel says.
            Operation::DeleteChain(_) | Operation::DeleteElements { .. } | Operation::DeleteRule { .. } => {}
            Operation::DeleteObject { .. } | Operation::DeleteSet { .. } | Operation::FlushSet { .. } => {}
            // What a kernel held is not judged; that something is there which no view shows, the kernel says.
            Operation::Restore { table, state } => {
                let view = &mut self.table(table).view;
                if !matches!(**state, State::Object(_)) {
                    view.complete = Complete::Part;
                }
            }
        }
    }

    fn table(&mut self, table: &'a TableId) -> &mut Known<'a> {
        let new = || Known { view: view(table), chains: HashMap::new(), sets: HashSet::new() };
        self.tables.entry(table).or_insert_with(new)
    }

    fn add_chain(&mut self, table: &'a TableId, name: &'a Name, kind: &'a ChainKind) {
        self.table(table).chain(name).kind = Some(kind);
    }

    fn add_rule(&mut self, chain: &'a ChainId, rule: &'a Rule) {
        self.table(&chain.table).chain(&chain.name).rules.push(rule);
    }

    fn add_set(&mut self, table: &'a TableId, set: &'a Set) {
        let known = self.table(table);
        if known.sets.insert(&set.name) {
            known.view.sets.push(set);
        } else {
            self.elements.push(TableView { sets: vec![set], ..view(table) });
        }
    }
}

/// A table of which nothing is known yet.
fn view(table: &TableId) -> TableView<'_> {
    TableView {
        family: table.family,
        name: &table.name,
        complete: Complete::Part,
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
        let mistyped = Transaction::new().add_set(&mesh(), set.clone()).add_elements(
            &mesh(),
            &set,
            [Element::new(Value::Port(1))],
        );
        assert!(mistyped.validate().is_err());
        let typed = [Element::new(Value::Ipv4([10, 0, 0, 1].into()))];
        let good = Transaction::new().add_set(&mesh(), set.clone()).add_elements(&mesh(), &set, typed);
        assert_eq!(good.validate(), Ok(()));
    }
}
