//! A kernel in memory: takes operations one by one, and refuses what nf_tables refuses.

use std::collections::BTreeMap;

use crate::bytecode::{
    ElementCode, ElementDataCode, Expr, INTERVAL_END, LookupSet, SetCode, SetMode, Sets, lower, lower_elements,
    lower_set, rule_userdata,
};
use crate::model::{ChainId, ChainKind, Name, Position, Rule, RuleHandle, Set, SetFlags, TableId, Verdict};
use crate::plan::{Operation, Transaction};
use crate::state::{ChainState, HookState, RuleState, SetState, Snapshot, TableState};

#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) held: Snapshot,
    handle: u64,
}

type Outcome<T = ()> = Result<T, String>;

impl Sets for TableState {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        let code = &self.set(name.as_str())?.code;
        Some(SetMode::of(SetFlags::from_bits_truncate(code.flags), code.fields.len()))
    }
}

impl Machine {
    pub(crate) fn apply(&mut self, transaction: &Transaction) -> Outcome {
        transaction
            .operations()
            .iter()
            .try_for_each(|operation| self.operation(operation).map_err(|why| format!("{operation}: {why}")))
    }

    fn number(&mut self) -> u64 {
        self.handle += 1;
        self.handle
    }

    fn table(&mut self, id: &TableId) -> Outcome<&mut TableState> {
        self.held.tables.iter_mut().find(|table| table.id == *id).ok_or_else(|| "no such table".to_owned())
    }

    fn chain(&mut self, id: &ChainId) -> Outcome<&mut ChainState> {
        let table = self.table(&id.table)?;
        table.chains.iter_mut().find(|chain| chain.name == id.name).ok_or_else(|| "no such chain".to_owned())
    }

    fn set(&mut self, table: &TableId, name: &Name) -> Outcome<&mut SetState> {
        let table = self.table(table)?;
        table.sets.iter_mut().find(|set| set.name == *name).ok_or_else(|| "no such set".to_owned())
    }

    fn operation(&mut self, operation: &Operation) -> Outcome {
        let handle = self.number();
        match operation {
            Operation::AddChain { table, name, kind, .. } => {
                let chain = chain(name, kind, handle);
                match self.chain(&table.chain(name)) {
                    Ok(found) => {
                        let mut same = chain.clone();
                        (same.handle, same.rules) = (found.handle, found.rules.clone());
                        if let (Some(new), Some(old)) = (&mut same.hook, &mut found.hook) {
                            old.policy = new.policy;
                        }
                        if *found == same { Ok(()) } else { Err("exists and is another".to_owned()) }
                    }
                    Err(_) => {
                        self.table(table)?.chains.push(chain);
                        Ok(())
                    }
                }
            }
            Operation::AddElements { table, set } => {
                self.check_targets(table, set)?;
                add(self.set(table, &set.name)?, set)
            }
            Operation::AddRule { chain, position, rule } => {
                let rule = self.rule(chain, rule, handle)?;
                let rules = &mut self.chain(chain)?.rules;
                let find =
                    |handle: RuleHandle| rules.iter().position(|rule| rule.handle == handle).ok_or("no such rule");
                let index = match position {
                    Position::After(handle) => find(*handle)? + 1,
                    Position::Before(handle) => find(*handle)?,
                    Position::First => 0,
                    Position::Last => rules.len(),
                };
                rules.insert(index, rule);
                Ok(())
            }
            Operation::AddSet { table, set } => {
                self.check_targets(table, set)?;
                let code = lower_set(set).map_err(|error| error.to_string())?;
                if self.set(table, &set.name).is_err() {
                    self.table(table)?.sets.push(SetState {
                        name: set.name.clone(),
                        handle,
                        code: code.clone(),
                        elements: Vec::new(),
                        order: Vec::new(),
                        expires: Vec::new(),
                        backend: None,
                        count: None,
                    });
                }
                let state = self.set(table, &set.name)?;
                if state.code == code { add(state, set) } else { Err("exists and is another".to_owned()) }
            }
            Operation::AddTable { table, flags, .. } => {
                if self.table(table).is_err() {
                    let state = TableState { handle, ..TableState::bare(table.clone(), flags.bits()) };
                    self.held.tables.push(state);
                }
                Ok(())
            }
            Operation::DeleteChain(id) => {
                let state = self.table(&id.table)?;
                if targets(state).any(|target| *target == id.name) {
                    return Err("jumped to".to_owned());
                }
                let index = state.chains.iter().position(|chain| chain.name == id.name).ok_or("no such chain")?;
                if state.chains.get(index).is_some_and(|chain| chain.rules.is_empty()) {
                    state.chains.remove(index);
                    return Ok(());
                }
                Err("has rules".to_owned())
            }
            Operation::DeleteElements { table, set } => {
                let state = self.set(table, &set.name)?;
                changeable(state)?;
                for code in lower_elements(set) {
                    let code = code.map_err(|error| error.to_string())?;
                    let is_it = |element: &ElementCode| {
                        (&element.key, &element.key_end, element.flags) == (&code.key, &code.key_end, code.flags)
                    };
                    let index = state.elements.iter().position(is_it).ok_or("no such element")?;
                    state.elements.remove(index);
                }
                Ok(())
            }
            Operation::DeleteRule { chain, handle } => {
                let rules = &mut self.chain(chain)?.rules;
                let index = rules.iter().position(|rule| rule.handle == *handle).ok_or("no such rule")?;
                rules.remove(index);
                Ok(())
            }
            Operation::DeleteSet { table, set } => {
                let state = self.table(table)?;
                if lookups(state).any(|used| used == set) {
                    return Err("looked up".to_owned());
                }
                let index = state.sets.iter().position(|state| state.name == *set).ok_or("no such set")?;
                state.sets.remove(index);
                Ok(())
            }
            Operation::DeleteTable(id) => {
                self.table(id)?;
                self.held.tables.retain(|table| table.id != *id);
                Ok(())
            }
            Operation::FlushChain(chain) => {
                self.chain(chain)?.rules.clear();
                Ok(())
            }
            Operation::FlushSet { table, set } => {
                let state = self.set(table, set)?;
                changeable(state)?;
                state.elements.clear();
                Ok(())
            }
            Operation::FlushTable(table) => {
                self.table(table)?.chains.iter_mut().for_each(|chain| chain.rules.clear());
                Ok(())
            }
            Operation::DeleteObject { .. } | Operation::Restore { .. } => {
                Err("no rule set made here has anything to restore".to_owned())
            }
            Operation::ReplaceRule { chain, handle: old, rule } => {
                let rule = self.rule(chain, rule, handle)?;
                let rules = &mut self.chain(chain)?.rules;
                let found = rules.iter_mut().find(|rule| rule.handle == *old).ok_or("no such rule")?;
                *found = rule;
                Ok(())
            }
        }
    }

    fn rule(&mut self, chain: &ChainId, rule: &Rule, handle: u64) -> Outcome<RuleState> {
        let handle = RuleHandle(handle);
        let table = self.table(&chain.table)?;
        let exprs = lower(rule, table.id.family, table).map_err(|error| error.to_string())?.exprs;
        let userdata = rule_userdata(rule);
        let rule = RuleState { handle, exprs, userdata, opaque: Vec::new() };
        for name in rule.exprs.iter().filter_map(looked_up) {
            table.set(name.as_str()).ok_or_else(|| format!("no set {name}"))?;
        }
        for name in rule.exprs.iter().filter_map(target) {
            let chain = table.chain(name.as_str()).ok_or_else(|| format!("no chain {name}"))?;
            if chain.hook.is_some() {
                return Err(format!("{name} is a base chain"));
            }
        }
        Ok(rule)
    }

    fn check_targets(&mut self, table: &TableId, set: &Set) -> Outcome {
        let table = self.table(table)?;
        for code in lower_elements(set) {
            let code = code.map_err(|error| error.to_string())?;
            if let Some(name) = element_target(&code) {
                table.chain(name.as_str()).ok_or_else(|| format!("no chain {name}"))?;
            }
        }
        Ok(())
    }
}

fn chain(name: &Name, kind: &ChainKind, handle: u64) -> ChainState {
    let hook = match kind {
        ChainKind::Base(base) => Some(HookState::of(base)),
        ChainKind::Bound | ChainKind::Opaque(_) | ChainKind::Regular => None,
    };
    let flags = u32::from(hook.is_some());
    let (userdata, rules, opaque) = (Vec::new(), Vec::new(), Vec::new());
    ChainState {
        name: name.clone(),
        handle,
        hook,
        flags,
        uses: 0,
        counters: None,
        userdata,
        rules,
        unlisted: 0,
        opaque,
    }
}

fn changeable(state: &SetState) -> Outcome {
    let constant = state.code.flags & SetFlags::CONSTANT.bits() != 0;
    if constant { Err("constant".to_owned()) } else { Ok(()) }
}

fn add(state: &mut SetState, set: &Set) -> Outcome {
    if !state.elements.is_empty() {
        changeable(state)?;
    }
    for code in lower_elements(set) {
        let code = code.map_err(|error| error.to_string())?;
        let is_it = |element: &ElementCode| {
            (&element.key, &element.key_end, element.flags) == (&code.key, &code.key_end, code.flags)
        };
        if state.elements.iter().any(is_it) {
            return Err("exists".to_owned());
        }
        state.elements.push(code);
    }
    let is_end = |element: &ElementCode| element.flags & INTERVAL_END != 0;
    state.elements.sort_by(|a, b| {
        a.key.cmp(&b.key).then_with(|| is_end(b).cmp(&is_end(a))).then_with(|| a.key_end.cmp(&b.key_end))
    });
    // Intervals that overlap would nest.
    let intervals = state.code.flags & SetFlags::INTERVAL.bits() != 0 && state.code.fields.is_empty();
    let nested = state.elements.windows(2).any(|pair| matches!(pair, [a, b] if is_end(a) == is_end(b)));
    if intervals && nested { Err("overlaps".to_owned()) } else { Ok(()) }
}

fn exprs(table: &TableState) -> impl Iterator<Item = &Expr> {
    table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs)
}

fn lookups(table: &TableState) -> impl Iterator<Item = &Name> {
    exprs(table).filter_map(looked_up)
}

fn looked_up(expr: &Expr) -> Option<&Name> {
    match expr {
        Expr::Lookup { set: LookupSet::Named(name), .. } => Some(name),
        _ => None,
    }
}

fn targets(table: &TableState) -> impl Iterator<Item = &Name> {
    exprs(table).filter_map(target).chain(table.sets.iter().flat_map(|set| &set.elements).filter_map(element_target))
}

fn target(expr: &Expr) -> Option<&Name> {
    match expr {
        Expr::Verdict(verdict) => Verdict::target(verdict),
        _ => None,
    }
}

fn element_target(code: &ElementCode) -> Option<&Name> {
    match code.data.as_deref() {
        Some(ElementDataCode::Verdict(verdict)) => verdict.target(),
        Some(ElementDataCode::Value(_)) | None => None,
    }
}

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
