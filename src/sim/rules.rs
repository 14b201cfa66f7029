//! Rule sets in the form that packets are walked through: base chains by hook, in the kernel's
//! order, with their programs.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::devices::DeviceChain;
use super::line_up::{LineUps, Registered};
use super::memory;
use super::sets::SetIndex;
use crate::bytecode::{CtKey, Expr, LookupSet, Modes, NoSets, Register, Sets, lower, lower_elements, lower_set, raise};
use crate::error::{Error, Kind};
use crate::model::{
    Base, Chain, ChainId, ChainKind, ChainType, Family, Name, Rule, RuleHandle, Ruleset, Table, TableFlags, TableId,
};
use crate::render::InFamily;
use crate::state::{ChainState, Hooks, RuleState, Snapshot, TableState, chain_kind};
use crate::xt::{self, Asked, Meaning, Question, SegmentLimit, XtOwner};

/// A rule set that packets can be walked through, from the model or from a kernel.
///
/// ```
/// use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
/// use nftmesh::sim::Rules;
///
/// let output = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER).rule(Rule::new().skuid(0).accept());
/// let ruleset = Ruleset::new().table(Table::new(Family::Inet, "t").chain(output));
/// assert!(Rules::try_from(&ruleset)?.unknown().is_empty());
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) tables: Vec<TableCode>,
    pub(super) line_ups: LineUps,
    pub(super) registered: Registered,
    /// Tables of iptables-legacy.
    pub(super) older: Vec<TableId>,
    pub(super) devices: Vec<DeviceChain>,
    unknown: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) struct TableCode {
    pub(super) id: TableId,
    pub(super) chains: Vec<ChainCode>,
    pub(super) by_name: HashMap<Name, usize>,
}

#[derive(Clone, Debug)]
pub(super) struct ChainCode {
    pub(super) id: Arc<ChainId>,
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<RuleCode>,
    /// The number of rules after the last one listed, which no dump shows.
    pub(super) unlisted: u32,
    /// The order of registration: later ones run first among chains of one hook and priority.
    pub(super) registered: (u64, u64),
}

#[derive(Clone, Debug)]
pub(super) struct RuleCode {
    pub(super) ops: Arc<[Op]>,
    pub(super) line: Arc<RuleLine>,
}

/// An expression, with everything it needs to run.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    Expr(Expr),
    Lookup {
        sreg: Register,
        dreg: Option<Register>,
        inverted: bool,
        set: Option<Arc<SetIndex>>,
    },
    /// The questions of an xtables extension; all of them have to hold.
    XtAsks(Vec<Asked>),
    /// The effect of the target TCPMSS.
    XtLimits(SegmentLimit),
    /// The meaning of an xtables extension: the first of these lists that matches to its end.
    XtLists(Vec<Vec<Op>>),
    XtOwner(XtOwner),
}

impl Op {
    /// Returns whether it asks this question, in a list or not.
    pub(super) fn asks(&self, question: &Question) -> bool {
        match self {
            Op::XtAsks(asked) => asked.iter().any(|asked| asked.question == *question),
            Op::XtLists(lists) => lists.iter().flatten().any(|op| op.asks(question)),
            Op::Expr(_) | Op::Lookup { .. } | Op::XtLimits(_) | Op::XtOwner(_) => false,
        }
    }

    /// Returns whether this holds for the expression or one of its parts.
    pub(super) fn any(&self, is: &impl Fn(&Expr) -> bool) -> bool {
        match self {
            Op::Expr(expr) => is(expr),
            Op::Lookup { .. } | Op::XtLimits(_) | Op::XtOwner(_) => false,
            // A question about a connection reads the connection.
            Op::XtAsks(asked) => {
                let looks = Expr::Ct { key: CtKey::STATUS, dreg: Register::FIRST };
                asked.iter().any(|asked| matches!(asked.question, Question::Connection(_))) && is(&looks)
            }
            Op::XtLists(lists) => lists.iter().flatten().any(|op| op.any(is)),
        }
    }
}

/// A rule and its location, as walks name it. Prints as nft text.
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleLine {
    /// The chain that it is in.
    pub chain: ChainId,
    /// Its number in the chain, from 1.
    pub number: usize,
    /// The kernel's handle, if the rule was read from a kernel.
    pub handle: Option<RuleHandle>,
    /// The rule itself.
    pub rule: Rule,
    /// For each expression of its program, the statement it was made from.
    statements: Vec<usize>,
}

impl RuleLine {
    /// Returns a rule of which only the chain is known.
    #[cfg(test)]
    pub(super) fn without_text(chain: ChainId) -> Self {
        RuleLine { chain, number: 1, handle: None, rule: Rule::new(), statements: Vec::new() }
    }

    /// Returns the index of the statement from which expression `expr` of the program was made.
    pub(super) fn statement_of(&self, expr: usize) -> Option<usize> {
        self.statements.get(expr).copied()
    }

    /// Returns the statement with this index, as nft text.
    #[must_use]
    pub fn statement(&self, statement: usize) -> Option<String> {
        let rule = Rule { statements: vec![self.rule.statements.get(statement)?.clone()], ..Rule::new() };
        Some(InFamily { family: self.chain.table.family, value: &rule }.to_string())
    }
}

impl fmt::Display for RuleLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InFamily { family: self.chain.table.family, value: &self.rule }.fmt(f)
    }
}

impl Rules {
    /// Returns anything on the packet path that cannot be simulated, one line each: unknown hooks,
    /// tables of other families, and additions by [`with_unknown`](Self::with_unknown). Walks
    /// ignore it; a comparison that finds no difference is a
    /// [`Comparison::CannotTell`](super::Comparison::CannotTell).
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// Adds something on the packet path that cannot be simulated, described in one line: such as
    /// tables of `iptables-legacy`, which no snapshot contains; see
    /// [`kernel::legacy_tables`](crate::kernel::legacy_tables).
    #[must_use]
    pub fn with_unknown(mut self, what: impl Into<String>) -> Self {
        self.unknown.push(what.into());
        self
    }

    /// Uses the order in which the kernel lists what runs at its hooks; see
    /// [`Kernel::hooks`](crate::kernel::Kernel::hooks). Without it, a walk cannot continue where
    /// the order of chains of several tables at equal priority matters.
    #[must_use]
    pub fn with_hooks(mut self, hooks: Hooks) -> Self {
        self.registered = Registered::Listed(Arc::new(hooks));
        self.line_ups = LineUps::of(&self);
        self
    }

    /// Assumes that one transaction created all of it in a namespace without rules, in the order of
    /// the handles.
    #[must_use]
    pub fn made_at_once(mut self) -> Self {
        self.registered = Registered::AtOnce;
        self.line_ups = LineUps::of(&self);
        self
    }

    /// Adds tables of iptables-legacy, which see the same packets and are in no snapshot; see
    /// [`kernel::legacy_tables`](crate::kernel::legacy_tables). The walk of a packet that reaches
    /// one of them cannot continue.
    #[must_use]
    pub fn with_legacy_tables(mut self, tables: impl IntoIterator<Item = TableId>) -> Self {
        self.older.extend(tables);
        self.line_ups = LineUps::of(&self);
        self
    }

    /// Returns a base chain: its name, and where it is hooked.
    #[must_use]
    pub fn base(&self, chain: &ChainId) -> Option<(&Arc<ChainId>, &Base)> {
        let table = self.tables.iter().find(|known| known.id == chain.table)?;
        let chain = table.chain(&chain.name)?;
        Some((&chain.id, chain.base.as_ref()?))
    }

    /// Returns the rule with this handle.
    #[must_use]
    pub fn rule(&self, table: &TableId, handle: RuleHandle) -> Option<&Arc<RuleLine>> {
        let table = self.tables.iter().find(|known| known.id == *table)?;
        let mut lines = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| &rule.line);
        lines.find(|line| line.handle == Some(handle))
    }
}

/// The rule set as a kernel holds it after `Transaction::replace` in an empty namespace. A rule or
/// set that has no program is [`is_invalid`](Error::is_invalid), by chain and number;
/// [`Ruleset::validate`] finds more.
impl TryFrom<&Ruleset> for Rules {
    type Error = Error;

    fn try_from(ruleset: &Ruleset) -> Result<Self, Error> {
        let mut rules = Rules::default();
        for (at, table) in ruleset.tables.iter().enumerate() {
            rules.add(&TableId::from(table), table.flags, || table_of(table, at as u64))?;
        }
        rules.line_ups = LineUps::of(&rules);
        Ok(rules)
    }
}

/// The rule set as the kernel holds it in nf_tables; see [`Rules::unknown`] for what else there is.
impl TryFrom<&Snapshot> for Rules {
    type Error = Error;

    fn try_from(snapshot: &Snapshot) -> Result<Self, Error> {
        let mut rules = Rules::default();
        for table in &snapshot.tables {
            rules.add(&table.id, TableFlags::from_bits_truncate(table.flags), || table_at(table))?;
        }
        rules.devices = snapshot.tables.iter().flat_map(DeviceChain::of).collect();
        for table in &snapshot.tables {
            let unknown = table
                .chains
                .iter()
                .filter(|chain| !is_walked_chain(table.id.family, chain_kind(table.id.family, chain).as_ref()));
            let unknown = unknown.map(|chain| table.id.chain(&chain.name));
            let unknown = unknown.filter(|chain| !rules.devices.iter().any(|known| known.is_harmless_chain(chain)));
            rules.unknown.extend(unknown.map(|chain| format!("chain {chain}: its hook has no name here")));
        }
        rules.registered = Registered::WithinTables;
        rules.line_ups = LineUps::of(&rules);
        Ok(rules)
    }
}

impl Rules {
    /// Returns these tables, with the stages at the hooks.
    pub(super) fn of(tables: Vec<TableCode>, line_ups: LineUps) -> Self {
        Rules { tables, line_ups, ..Rules::default() }
    }

    fn add(
        &mut self,
        id: &TableId,
        flags: TableFlags,
        code: impl FnOnce() -> Result<TableCode, Error>,
    ) -> Result<(), Error> {
        match id.family {
            Family::Inet | Family::Ip | Family::Ip6 if flags.contains(TableFlags::DORMANT) => {}
            Family::Inet | Family::Ip | Family::Ip6 => self.tables.push(code()?),
            Family::Arp => {}
            Family::Bridge | Family::Netdev => {
                self.unknown.push(format!("table {id}: packets are not walked through this family"));
            }
        }
        Ok(())
    }
}

/// Returns whether packets are walked through the chains of a family.
pub(super) fn is_walked(family: Family) -> bool {
    matches!(family, Family::Inet | Family::Ip | Family::Ip6)
}

/// Returns whether packets are walked through such a chain, or reach it from others.
pub(super) fn is_walked_chain(family: Family, kind: Option<&ChainKind>) -> bool {
    match kind {
        Some(ChainKind::Base(_)) => is_walked(family),
        Some(ChainKind::Regular | ChainKind::Bound) => true,
        Some(ChainKind::Device(_) | ChainKind::Opaque(_)) | None => false,
    }
}

fn table_of(table: &Table, at: u64) -> Result<TableCode, Error> {
    let id = TableId::from(table);
    let mut sets = HashMap::new();
    let statements = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| rule.statements.as_slice());
    let filled: HashSet<Name> = statements.flat_map(memory::filled_by).collect();
    for set in &table.sets {
        let elements = lower_elements(set).collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let code = lower_set(set).map_err(invalid)?;
        let is_filled = filled.contains(&set.name);
        sets.insert(set.name.clone(), Arc::new(SetIndex { is_filled, ..SetIndex::new(&code, &elements) }));
    }
    let declared = Modes::from(table.sets.as_slice());
    let mut chains = Vec::with_capacity(table.chains.len());
    for (number, Chain { name, kind, rules, .. }) in table.chains.iter().enumerate() {
        let mut chain = chain_code(&id, name, kind, (at, number as u64));
        for rule in rules {
            chain.push(rule.clone(), None, &declared, &sets)?;
        }
        chains.push(chain);
    }
    Ok(TableCode::new(id, chains))
}

fn table_at(table: &TableState) -> Result<TableCode, Error> {
    let exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    let filled = memory::filled(exprs);
    let indexed = table.sets.iter().map(|set| {
        let is_filled = filled.contains(&set.name);
        let index = SetIndex { is_filled, ..SetIndex::new(&set.code, &set.elements) };
        (set.name.clone(), Arc::new(index))
    });
    let sets: HashMap<_, _> = indexed.collect();
    let declared = table.modes();
    let mut chains = Vec::with_capacity(table.chains.len());
    for state in &table.chains {
        let ChainState { name, handle, rules, unlisted, .. } = state;
        let kind = chain_kind(table.id.family, state).unwrap_or(ChainKind::Regular);
        let mut chain = chain_code(&table.id, name, &kind, (table.handle.0, handle.0));
        chain.unlisted = *unlisted;
        for RuleState { handle, exprs, userdata, opaque } in rules {
            let rule = raise(exprs, userdata, table.id.family, &declared);
            chain.push(rule, Some(*handle), &declared, &sets)?;
            if let (false, Some(code)) = (opaque.is_empty(), chain.rules.last_mut()) {
                let unknown = Expr::Opaque {
                    name: "of a rule with attributes".into(),
                    data: opaque.as_slice().into(),
                    set: None,
                };
                code.ops = std::iter::once(Op::Expr(unknown)).chain(code.ops.iter().cloned()).collect();
            }
        }
        chains.push(chain);
    }
    Ok(TableCode::new(table.id.clone(), chains))
}

fn chain_code(table: &TableId, name: &Name, kind: &ChainKind, registered: (u64, u64)) -> ChainCode {
    let base = match kind {
        // The hooks of other families have the names of these, and see other packets.
        ChainKind::Base(base) if is_walked(table.family) => Some(*base),
        ChainKind::Base(_) => None,
        ChainKind::Bound | ChainKind::Device(_) | ChainKind::Opaque(_) | ChainKind::Regular => None,
    };
    ChainCode { id: Arc::new(table.chain(name)), base, rules: Vec::new(), unlisted: 0, registered }
}

impl ChainCode {
    fn push(
        &mut self,
        rule: Rule,
        handle: Option<RuleHandle>,
        declared: &(impl Sets + ?Sized),
        sets: &HashMap<Name, Arc<SetIndex>>,
    ) -> Result<(), Error> {
        let program = lower(&rule, self.id.table.family, declared).map_err(|cause| {
            Error::new(Kind::Invalid, format!("chain {}: rule {}: {cause}", self.id, self.rules.len() + 1))
        })?;
        let ops = program.exprs.into_iter().map(|expr| op(expr, self.id.table.family, sets)).collect();
        let (chain, number) = ((*self.id).clone(), self.rules.len() + 1);
        let line = RuleLine { chain, number, handle, rule, statements: program.statements };
        self.rules.push(RuleCode { ops, line: Arc::new(line) });
        Ok(())
    }
}

pub(super) fn op(expr: Expr, family: Family, sets: &HashMap<Name, Arc<SetIndex>>) -> Op {
    match expr {
        Expr::Lookup { sreg, dreg, set, inverted } => {
            let set = match set {
                LookupSet::Anonymous(set) => Some(Arc::new(SetIndex::new(&set.code, &set.elements))),
                LookupSet::Named(name) => sets.get(&name).cloned(),
            };
            Op::Lookup { sreg, dreg, inverted, set }
        }
        Expr::Opaque { name, data, set } => {
            extension(&name, &data, family).unwrap_or_else(|| Op::Expr(Expr::Opaque { name, data, set }))
        }
        expr => Op::Expr(expr),
    }
}

/// Returns an extension of xtables, if it is known.
fn extension(name: &str, data: &[u8], family: Family) -> Option<Op> {
    let lists = match xt::read(name, data, family)? {
        Meaning::Lists(lists) => lists,
        Meaning::Asks(asked) => return Some(Op::XtAsks(asked)),
        Meaning::Limits(limit) => return Some(Op::XtLimits(limit)),
        Meaning::Owner(owner) => return Some(Op::XtOwner(owner)),
    };
    let program = |statements| {
        let exprs = lower(&Rule { statements, ..Rule::new() }, family, &NoSets).ok()?.exprs;
        Some(exprs.into_iter().map(|expr| op(expr, family, &HashMap::new())).collect())
    };
    lists.into_iter().map(program).collect::<Option<_>>().map(Op::XtLists)
}

impl TableCode {
    pub(super) fn new(id: TableId, chains: Vec<ChainCode>) -> Self {
        let by_name = chains.iter().enumerate().map(|(at, chain)| (chain.id.name.clone(), at)).collect();
        TableCode { id, chains, by_name }
    }

    pub(super) fn chain(&self, name: &Name) -> Option<&ChainCode> {
        self.chains.get(*self.by_name.get(name)?)
    }
}

impl ChainCode {
    /// Returns when the first of its rules for which `is` holds was registered, in the order of
    /// [`ChainCode::registered`]: in a rule set, rules come after all chains of their table.
    pub(super) fn registered_rule(&self, is: impl Fn(&RuleCode) -> bool) -> Option<(u64, u64)> {
        let (table, _) = self.registered;
        let found = self.rules.iter().filter(|rule| is(rule));
        found.map(|rule| (table, rule.line.handle.map_or(u64::MAX, |handle| handle.0))).min()
    }

    pub(super) fn is_nat(&self) -> bool {
        self.base.is_some_and(|base| base.chain_type == ChainType::Nat)
    }
}

fn invalid(cause: crate::bytecode::Unlowerable) -> Error {
    Error::new(Kind::Invalid, cause.to_string())
}
