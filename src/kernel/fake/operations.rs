//! What each operation of a transaction does.

use super::chains::NFT_CHAIN_BINDING;
use super::elements::Absent;
use super::machine::Batch;
use super::stop::{Outcome, Spot, Stop};
use crate::attr::nfta::{
    NFTA_CHAIN_NAME, NFTA_OBJ_NAME, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_SET_NAME, NFTA_TABLE_NAME,
};
use crate::bytecode::{Expr, KeptParts, KeptRule, parts_userdata, rule_userdata};
use crate::model::{ChainHandle, ChainKind, Family, Name, Rule, RuleHandle, TableId};
use crate::netlink::KnownSets;
use crate::plan::{Operation, State};
use crate::state::{ChainState, HookState, RuleState, SetState};

impl Batch<'_> {
    /// What is refused of an operation; what is not is done.
    pub(super) fn operation(&mut self, operation: &Operation, known: &KnownSets) -> Vec<Stop> {
        let outcome = match operation {
            Operation::AddChain { table, name, kind, comment, kept } => {
                let read = kept.0.code::<KeptParts>();
                let userdata = parts_userdata(comment.as_deref(), &kept.0);
                self.add_chain(table, chain(table.family, name, kind, read.map_or(0, |read| read.flags), userdata))
            }
            Operation::AddElements { table, set } => return self.add_elements(table, set).err().into_iter().collect(),
            Operation::AddRule { chain, position, rule } => match known.lower(rule, &chain.table) {
                Ok(program) => self.add_rule(chain, Some(*position), None, made(rule, program.exprs)),
                Err(why) => Err(Stop::Unknown(why.to_string())),
            },
            Operation::AddSet { table, set } => return self.add_set(table, set),
            Operation::AddObject { table: _, object } => {
                Err(Stop::Unknown(format!("a {} is not modelled", object.kind())))
            }
            Operation::AddTable { table, flags, comment, kept } => {
                let userdata = parts_userdata(comment.as_deref(), &kept.0);
                self.add_table(table, flags.bits() | kept.0.code::<KeptParts>().map_or(0, |read| read.flags), userdata)
            }
            Operation::DeleteChain(id) => self.delete_chain(id),
            Operation::DeleteElements { table, set } => self.delete_elements(table, set, Absent::Refused),
            Operation::DeleteObject { table, kind, name } => self.delete_object(table, kind, name),
            Operation::DeleteRule { chain, handle } => self.delete_rule(chain, *handle),
            Operation::DeleteSet { table, set } => self.delete_set(table, set),
            Operation::DeleteTable(id) => self.delete_table(id),
            Operation::DestroyElements { table, set } => self.delete_elements(table, set, Absent::Skipped),
            Operation::DestroyObject { table, kind, name } => {
                unless_absent(self.delete_object(table, kind, name), &[NFTA_OBJ_NAME])
            }
            Operation::DestroyChain(id) => unless_absent(self.delete_chain(id), &[NFTA_CHAIN_NAME]),
            Operation::DestroyRule { chain, handle } => {
                unless_absent(self.delete_rule(chain, *handle), &[NFTA_RULE_CHAIN, NFTA_RULE_HANDLE])
            }
            Operation::DestroySet { table, set } => unless_absent(self.delete_set(table, set), &[NFTA_SET_NAME]),
            Operation::DestroyTable(id) => unless_absent(self.delete_table(id), &[NFTA_TABLE_NAME]),
            Operation::FlushRuleset(family) => {
                self.held.tables.retain(|table| family.is_some_and(|family| table.id.family != family));
                self.has_changed = true;
                Ok(())
            }
            Operation::FlushChain(chain) => self.flush_chain(chain),
            Operation::FlushSet { table, set } => self.flush_set(table, set),
            Operation::FlushTable(table) => self.flush_table(table),
            Operation::ReplaceRule { chain, handle, rule } => match known.lower(rule, &chain.table) {
                Ok(program) => self.add_rule(chain, None, Some(*handle), made(rule, program.exprs)),
                Err(why) => Err(Stop::Unknown(why.to_string())),
            },
            Operation::Restore { table, state } => return self.restore(table, state),
        };
        outcome.err().into_iter().collect()
    }

    fn restore(&mut self, table: &TableId, state: &State) -> Vec<Stop> {
        let outcome = match state {
            State::Chain(state) => {
                let ChainState { name, hook, flags, userdata, opaque, .. } = state.clone();
                let chain = ChainState { hook, userdata, opaque, flags, ..empty(&name) };
                self.add_chain(table, chain)
            }
            State::Object(object) => Err(Stop::Unknown(format!("a {} is not modelled", object.kind))),
            State::Rule { chain, position, rule } => {
                self.add_rule(&table.chain(chain), Some(*position), None, rule.clone())
            }
            State::Set(SetState { name, code, elements, .. }) => {
                return self.declare(table, name, code.clone(), elements.iter().cloned().map(Ok));
            }
            State::Table(state) => self.add_table(table, state.flags, state.userdata.clone()),
        };
        outcome.err().into_iter().collect()
    }
}

/// What was not deleted because it does not exist, which one of these attributes names, is no
/// error.
fn unless_absent(outcome: Outcome, names: &[u16]) -> Outcome {
    match outcome {
        Err(Stop::Refused { spot: Spot::Attribute(name), errno: libc::ENOENT, .. }) if names.contains(&name) => Ok(()),
        outcome => outcome,
    }
}

fn made(rule: &Rule, exprs: Vec<Expr>) -> RuleState {
    let opaque = rule.kept.code::<KeptRule>().map_or_else(Vec::new, |kept| kept.attributes.to_vec());
    RuleState { handle: RuleHandle(0), exprs, userdata: rule_userdata(rule), opaque }
}

fn empty(name: &Name) -> ChainState {
    ChainState {
        name: name.clone(),
        handle: ChainHandle::default(),
        hook: None,
        flags: 0,
        uses: 0,
        counters: None,
        userdata: Vec::new(),
        rules: Vec::new(),
        unlisted: 0,
        opaque: Vec::new(),
    }
}

fn chain(family: Family, name: &Name, kind: &ChainKind, flags: u32, userdata: Vec<u8>) -> ChainState {
    let hook = HookState::of(family, kind);
    let bound = if *kind == ChainKind::Bound { NFT_CHAIN_BINDING } else { 0 };
    let flags = flags | bound | u32::from(hook.is_some());
    ChainState { hook, flags, userdata, ..empty(name) }
}
