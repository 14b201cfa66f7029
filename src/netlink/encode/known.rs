//! The sets that the rules of a transaction may look up.

use std::collections::HashMap;

use crate::bytecode::{Program, SetMode, Sets, Unlowerable, lower_into};
use crate::model::{Name, Rule, TableId};
use crate::plan::{Operation, State, Transaction};

/// The sets of tables that rules may look up, and how each stores its keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSets(HashMap<TableId, HashMap<Name, SetMode>>);

impl KnownSets {
    /// Returns the sets that a transaction declares or knows to exist.
    pub(crate) fn of(transaction: &Transaction) -> Self {
        let declared = transaction.operations().iter().filter_map(|operation| match operation {
            Operation::AddElements { table, set } | Operation::AddSet { table, set } => {
                Some((table.clone(), set.name.clone(), SetMode::of_set(set)))
            }
            Operation::Restore { table, state } => match &**state {
                State::Set(set) => {
                    let mode = std::slice::from_ref(set).mode(&set.name)?;
                    Some((table.clone(), set.name.clone(), mode))
                }
                _ => None,
            },
            _ => None,
        });
        let mut sets: HashMap<TableId, HashMap<Name, SetMode>> = HashMap::new();
        // A declaration takes precedence, and of two declarations the later one.
        for (table, name, mode) in transaction.known().iter().cloned().chain(declared) {
            sets.entry(table).or_default().insert(name, mode);
        }
        KnownSets(sets)
    }
}

impl KnownSets {
    /// Lowers a rule of a table with these sets.
    pub(crate) fn lower(&self, rule: &Rule, table: &TableId) -> Result<Program, Unlowerable> {
        let mut program = Program::default();
        self.lower_into(&mut program, rule, table)?;
        Ok(program)
    }

    /// Lowers like [`lower`](Self::lower), reusing the memory of the program.
    pub(super) fn lower_into(&self, program: &mut Program, rule: &Rule, table: &TableId) -> Result<(), Unlowerable> {
        lower_into(program, rule, table.family, &InTable(self.0.get(table)))
    }
}

/// The sets of one table, if any are known.
struct InTable<'a>(Option<&'a HashMap<Name, SetMode>>);

impl Sets for InTable<'_> {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.0?.get(name).copied()
    }
}
