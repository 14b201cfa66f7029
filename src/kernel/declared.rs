//! Declarations of the sets that a transaction refers to without declaring them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::dump::{Found, Query};
use super::live::{Kernel, Prepared};
use super::spans::event;
use super::sync::is_stale;
use crate::error::{Error, Kind, Result};
use crate::model::{Set, SetId};
use crate::netlink::{self, kind};
use crate::plan::{Operation, Transaction};

/// How often declarations are read again because another commit intervened.
const ATTEMPTS: usize = 20;

impl Kernel {
    /// Prepares a transaction and hands it to `commit`. One that names sets without their
    /// declarations, or destroys what has to be looked for, takes effect only while all is as it
    /// was found: when somebody commits in between, it is prepared anew.
    pub(super) fn commit_declared<T>(
        &mut self,
        transaction: &Transaction,
        mut commit: impl FnMut(&mut Self, Prepared<'_>) -> Result<T>,
    ) -> Result<T> {
        let is_asked = !transaction.sets_undeclared().is_empty() || self.must_settle(transaction)?;
        if transaction.generation().is_some() || !is_asked {
            let prepared = self.prepare(transaction)?;
            return commit(self, prepared);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let pinned = transaction.clone().at_generation(self.generation()?);
            let prepared = self.prepare(&pinned)?;
            match commit(self, prepared) {
                Err(error) if attempts < ATTEMPTS && is_stale(&error) => event!("retry", attempt = attempts),
                outcome => return outcome,
            }
        }
    }

    /// Returns the transaction with the declaration of every set whose elements it adds or
    /// deletes.
    pub(super) fn declared<'t>(&mut self, transaction: &'t Transaction) -> Result<Cow<'t, Transaction>> {
        with_declarations(transaction, |id| self.declaration(id))
    }

    fn declaration(&mut self, id: &SetId) -> Result<Set> {
        let SetId { table, name } = id;
        self.drain()?;
        let attributes = netlink::set_attributes(&table.name, name);
        let query = Query { kind: kind::GETSET, family: table.family.number(), attributes: &attributes };
        let mut declared = None;
        let found = self.get(query, |message| {
            declared = netlink::declared_set(message)?;
            Ok(())
        })?;
        match (found, declared) {
            (Found::Nothing, _) => Err(no_set(id)),
            (Found::One, declared) => declared.ok_or_else(|| no_form(id)),
        }
    }
}

/// Returns the transaction with the declaration, from `find`, of every set whose elements it adds
/// or deletes.
pub(super) fn with_declarations(
    transaction: &Transaction,
    mut find: impl FnMut(&SetId) -> Result<Set>,
) -> Result<Cow<'_, Transaction>> {
    let mut known = BTreeMap::new();
    for id in transaction.sets_undeclared() {
        let declaration = find(&id).map_err(|error| at(transaction, &id, error))?;
        known.insert(id, declaration);
    }
    Ok(transaction.with_declarations(&known))
}

pub(super) fn no_set(id: &SetId) -> Error {
    Error::new(Kind::NotFound, format!("there is no set {id}; add it in the same transaction"))
}

pub(super) fn no_form(id: &SetId) -> Error {
    Error::new(Kind::Unsupported, format!("the declaration of set {id} has no form in the model"))
}

/// Adds the operation that the error concerns.
fn at(transaction: &Transaction, set: &SetId, error: Error) -> Error {
    let Some(index) = transaction.first_undeclared(set) else { return error };
    let operations = transaction.operations();
    let title = operations.get(index).map(Operation::title).unwrap_or_default();
    Error::new(error.kind(), format!("op {} of {}, {title}: {error}", index + 1, operations.len()))
}
