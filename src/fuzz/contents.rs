//! What a snapshot holds, without what the kernel alone decides.

use std::collections::BTreeMap;

use crate::bytecode::{ElementCode, Expr, SetCode};
use crate::model::{Name, TableId};
use crate::state::{ChainState, HookState, Snapshot, TableState};

type Chains = BTreeMap<Name, (Option<HookState>, Vec<(Vec<Expr>, Vec<u8>)>)>;
type SetContents = BTreeMap<Name, (SetCode, Vec<ElementCode>)>;

/// What is held, without handles, without what userdata says of sets, and without the order of
/// tables, chains and sets.
pub(crate) fn contents(held: &Snapshot) -> BTreeMap<TableId, (u32, Chains, SetContents)> {
    let table = |table: &TableState| {
        let rules = |chain: &ChainState| {
            chain.rules.iter().map(|rule| (rule.exprs.clone(), rule.userdata.clone())).collect::<Vec<_>>()
        };
        let chains =
            table.chains.iter().map(|chain| (chain.name.clone(), (chain.hook.clone(), rules(chain)))).collect();
        // What is only for people decides nothing.
        let meant = |code: &SetCode| SetCode { userdata: Vec::new(), ..code.clone() };
        let sets = table.sets.iter().map(|set| (set.name.clone(), (meant(&set.code), set.elements.clone()))).collect();
        (table.id.clone(), (table.flags, chains, sets))
    };
    held.tables.iter().map(table).collect()
}
