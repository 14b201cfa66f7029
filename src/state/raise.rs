//! Converts the kernel's state to rule sets of the model.

use std::collections::HashMap;
use std::fmt;

use super::snapshot::{
    ChainState, Counters, HookState, OpaqueMessage, OpaqueState, RuleState, SetState, Snapshot, TableState,
};
use crate::attr::NLA_F_NESTED;
use crate::bytecode::{
    Expr, KeptElement, KeptParts, KeptRule, Modes, SetMode, Sets, commented, lower, lower_elements, lower_set,
    opaque_set, raise, raise_object, raise_set, userdata_comment,
};
use crate::model::{
    Base, Chain, ChainId, ChainKind, ChainType, DeviceBase, DeviceHook, Family, Hook, Kept, Name, Object,
    ObjectContent, ObjectKind, Opaque, Policy, Priority, Rule, RuleHandle, Ruleset, Set, SetFlags, SetId, Statement,
    Table, TableFlags, TableId,
};
use crate::validate::{Fault, Location};

/// The rule sets of a [`Snapshot`], and the parts that are not in them.
///
/// They contain everything that the kernel holds, in terms of the model where possible. Everything
/// else is in its place as it was read: a [`Statement::Opaque`](crate::model::Statement::Opaque)
/// in a rule, an [opaque set](Set::opaque), a [chain at another hook](ChainKind::Opaque), an
/// [object](crate::model::Object). Attributes, userdata and the encodings of other programs are
/// kept with the item they came with. A plan from a snapshot to itself is therefore empty, and a
/// copy is identical to the byte.
///
/// Handles, and what the kernel counts and measures apart from counters, stay in the snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Raised {
    /// The tables, in the kernel's order.
    pub ruleset: Ruleset,
    /// Parts that cannot be read in full or do not belong to anything; plans leave them alone.
    pub unnamed: Vec<Unnamed>,
    /// Messages that cannot even be named; plans leave them alone.
    pub opaque: Vec<OpaqueMessage>,
}

/// A part of a table that is missing from its rule set. Prints as `chain inet t/c: ...` with the
/// reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unnamed {
    /// Its table.
    pub table: TableId,
    /// Its kind: `chain`, `set`, ...
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Why it is missing.
    pub reason: String,
}

impl fmt::Display for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unnamed { table, kind, name, reason } = self;
        write!(f, "{kind} {table}/{name}: {reason}")
    }
}

impl Snapshot {
    /// Returns the snapshot as rule sets of the model.
    ///
    /// Counters, quotas and what elements carry are as the kernel has counted them:
    ///
    /// ```no_run
    /// use nftmesh::model::ObjectContent;
    /// use nftmesh::prelude::*;
    ///
    /// let held = Kernel::open()?.snapshot()?.raise().ruleset;
    /// for table in &held.tables {
    ///     for object in &table.objects {
    ///         match &object.content {
    ///             ObjectContent::Counter { packets, bytes } => println!("{}: {packets} packets, {bytes} bytes", object.name),
    ///             ObjectContent::Quota(quota) => println!("{}: {} of {} bytes", object.name, quota.used, quota.bytes),
    ///             _ => {}
    ///         }
    ///     }
    ///     for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
    ///         for statement in &rule.statements {
    ///             if let Statement::Counter { packets, bytes } = statement {
    ///                 println!("{rule}: {packets} packets, {bytes} bytes");
    ///             }
    ///         }
    ///     }
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    #[doc(alias("counters", "quotas", "objects"))]
    #[must_use]
    pub fn raise(&self) -> Raised {
        let mut raised = Raised { opaque: self.opaque.clone(), ..Raised::default() };
        for table in &self.tables {
            table.raise_into(&mut raised);
        }
        raised
    }
}

/// Rules together with their handles.
impl Snapshot {
    /// Returns the chain with its rules as the kernel holds them, or `None` when there is no such
    /// chain.
    #[must_use]
    pub fn chain(&self, id: &ChainId) -> Option<&ChainState> {
        self.table(&id.table)?.chain(id.name.as_str())
    }

    /// Returns the chains of a table, in the kernel's order; none when there is no such table.
    pub fn chains<'s>(&'s self, table: &TableId) -> impl Iterator<Item = ChainId> + use<'s> {
        let found = self.table(table).into_iter();
        found.flat_map(|table| table.chains.iter().map(|chain| table.id.chain(&chain.name)))
    }

    /// Returns the rules of a chain in order, each with its handle; none when there is no such
    /// chain.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let out = TableId::new(Family::Inet, "mesh").chain("out");
    /// let mut kernel = Kernel::open()?;
    /// let snapshot = kernel.snapshot_of(std::slice::from_ref(&out.table))?;
    /// let mut transaction = Transaction::new().at_generation(snapshot.generation);
    /// for (handle, rule) in snapshot.rules(&out) {
    ///     if rule.comment.as_deref() == Some("temporary") {
    ///         transaction = transaction.delete_rule(&out, handle);
    ///     }
    /// }
    /// kernel.commit(&transaction)?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn rules<'s>(&'s self, chain: &ChainId) -> impl Iterator<Item = (RuleHandle, Rule)> + use<'s> {
        let found = self.table(&chain.table).map(|table| table.rules(chain.name.as_str()));
        found.into_iter().flatten()
    }

    /// Returns a set, map or verdict map with its elements, or `None` when there is no such set.
    #[must_use]
    pub fn set(&self, id: &SetId) -> Option<Set> {
        let state = self.table(&id.table)?.set(id.name.as_str())?;
        (state.code.flags & NFT_SET_ANONYMOUS == 0).then(|| set(state))
    }
}

impl TableState {
    /// Returns the rules of a chain in order, each with its handle; none when there is no such
    /// chain.
    ///
    /// A rule that validation would reject, which another program may have made, is included as
    /// statements too; in [`Snapshot::raise`] it is opaque, so that the whole can be committed
    /// again.
    pub fn rules<'s>(&'s self, chain: &str) -> impl Iterator<Item = (RuleHandle, Rule)> + use<'s> {
        let modes = self.modes();
        let rules = self.chain(chain).map(|chain| chain.rules.as_slice()).unwrap_or_default();
        rules.iter().map(move |state| (state.handle, rule(state, self.id.family, &modes)))
    }

    fn raise_into(&self, raised: &mut Raised) {
        let mut table = self.words(&mut raised.unnamed);
        as_read_where_refused(&mut table, self);
        raised.ruleset.tables.push(table);
    }

    /// Returns what validation rejects in the table as statements.
    pub(crate) fn refused(&self) -> Vec<Fault> {
        crate::validate::refused(&self.words(&mut Vec::new()))
    }

    /// Returns the table as statements, even where validation rejects these.
    fn words(&self, without: &mut Vec<Unnamed>) -> Table {
        let TableState { id, handle: _, flags, owner: _, uses: _, userdata, sets, chains, objects, opaque } = self;
        let mut unnamed = |kind: &str, name: &Name, reason: String| {
            let (table, kind, name) = (self.id.clone(), kind.to_owned(), name.clone());
            without.push(Unnamed { table, kind, name, reason });
        };
        let mut table = Table::new(id.family, &id.name);
        table.flags = TableFlags::from_bits_truncate(*flags);
        table.comment = userdata_comment(userdata);
        let unknown = flags & !TableFlags::all().bits();
        table.kept = parts(KeptParts::new(userdata, table.comment.as_deref(), opaque, unknown));
        table.objects = objects.iter().map(raised_object).collect();
        for set in sets {
            if set.code.flags & NFT_SET_ANONYMOUS == 0 {
                table.sets.push(self::set(set));
            } else {
                unnamed("set", &set.name, "it belongs to a rule that does not show it".to_owned());
            }
        }
        let modes = self.modes();
        for chain in chains {
            if chain.unlisted > 0 {
                let reason = format!("{} of its rules cannot be read, because they are too long", chain.unlisted);
                unnamed("chain", &chain.name, reason);
            }
            let rules = chain.rules.iter().map(|state| rule(state, id.family, &modes));
            table.chains.push(self::chain(chain, id.family).rules(rules));
        }
        table
    }

    /// Returns how the sets of the table store their keys.
    pub(crate) fn modes(&self) -> Modes<'_> {
        let modes: Modes<'_> = self.sets.iter().map(|set| (&set.name, set.code.mode())).collect();
        let kind = |set: &'_ SetState| set.code.object.and_then(ObjectKind::from_number);
        modes.with_objects(self.sets.iter().filter_map(|set| Some((&set.name, kind(set)?))))
    }
}

fn parts(parts: KeptParts) -> Kept {
    if parts == KeptParts::default() { Kept::default() } else { Kept::new(parts) }
}

/// Converts an object in terms of the model if these cover all of it.
pub(crate) fn raised_object(state: &OpaqueState) -> Object {
    let OpaqueState { kind, name, handle: _, attributes } = state;
    raise_object(kind, name, attributes).unwrap_or_else(|| opaque_object(state))
}

fn opaque_object(state: &OpaqueState) -> Object {
    Object::new(&state.name, ObjectContent::Opaque(Opaque::new(&state.kind, None, state.clone())))
}

/// Converts a chain without its rules.
fn chain(state: &ChainState, family: Family) -> Chain {
    let ChainState { name, handle: _, hook, flags, uses: _, unlisted, counters, userdata, rules: _, opaque } = state;
    let kind = match (chain_kind(family, state), hook) {
        (Some(kind), None) if flags & NFT_CHAIN_BINDING == 0 => kind,
        (Some(kind), Some(hook)) if hook.opaque.is_empty() => kind,
        (_, Some(hook)) => ChainKind::Opaque(Opaque::new(&hook.chain_type, None, hook.clone())),
        (_, None) => ChainKind::Bound,
    };
    let mut chain = Chain::of_kind(name.clone(), kind);
    chain.comment = userdata_comment(userdata);
    let unknown = flags & !(NFT_CHAIN_BASE | NFT_CHAIN_BINDING);
    let mut read = KeptParts::new(userdata, chain.comment.as_deref(), opaque, unknown);
    read.unlisted = *unlisted;
    if let Some(Counters { packets, bytes }) = counters {
        read.attributes.extend(policy_counters(*packets, *bytes));
    }
    chain.kept = parts(read);
    chain
}

/// `NFTA_CHAIN_COUNTERS` with `NFTA_COUNTER_BYTES` and `NFTA_COUNTER_PACKETS`,
/// include/uapi/linux/netfilter/nf_tables.h.
fn policy_counters(packets: u64, bytes: u64) -> Vec<u8> {
    let number =
        |kind: u16, number: u64| [12_u16.to_ne_bytes().as_slice(), &kind.to_ne_bytes(), &number.to_be_bytes()].concat();
    [28_u16.to_ne_bytes().as_slice(), &(NLA_F_NESTED | 8).to_ne_bytes(), &number(1, bytes), &number(2, packets)]
        .concat()
}

/// Converts a rule; if lowering it does not give the same expressions, the rule keeps the original
/// ones.
fn rule(state: &RuleState, family: Family, sets: &Modes<'_>) -> Rule {
    let RuleState { handle: _, exprs, userdata, opaque } = state;
    let mut rule = raise(exprs, userdata, family, sets);
    let spelled = lower(&rule, family, sets).map(|program| program.exprs).as_ref() == Ok(exprs);
    let commented_alike = commented(rule.comment.as_deref(), &[]) == *userdata;
    if !spelled || !commented_alike || !opaque.is_empty() {
        let statements = if spelled { Vec::new() } else { rule.statements.clone() };
        let exprs = (!spelled).then(|| exprs.clone());
        rule.kept = Kept::new(KeptRule { statements, exprs, userdata: userdata.clone(), attributes: opaque.clone() });
    }
    rule
}

/// Converts a rule to one opaque statement.
fn opaque_rule(state: &RuleState) -> Rule {
    let RuleState { handle: _, exprs, userdata, opaque } = state;
    let name = exprs.iter().map(Expr::name).collect::<Vec<_>>().join(",");
    let statement = Statement::Opaque(Opaque::new(&name, None, exprs.clone()));
    let mut rule = Rule { comment: userdata_comment(userdata).map(Into::into), ..Rule::new().statement(statement) };
    let (statements, exprs) = (Vec::new(), None);
    rule.kept = Kept::new(KeptRule { statements, exprs, userdata: userdata.clone(), attributes: opaque.clone() });
    rule
}

/// Makes everything opaque that validation would reject: what the kernel holds must not be
/// rejected.
fn as_read_where_refused(table: &mut Table, state: &TableState) {
    loop {
        let faults = crate::validate::refused(table);
        if faults.is_empty() {
            return;
        }
        // Of two with the same name, the first.
        let chains: HashMap<Name, usize> = numbered(table.chains.iter().map(|chain| &chain.name));
        let sets: HashMap<Name, usize> = numbered(table.sets.iter().map(|set| &set.name));
        let chains_held: HashMap<Name, usize> = numbered(state.chains.iter().map(|chain| &chain.name));
        let sets_held: HashMap<Name, usize> = numbered(state.sets.iter().map(|set| &set.name));
        let mut changed = false;
        for Fault { location, .. } in faults {
            match location {
                Location { chain: Some(name), rule: Some(number), .. } => {
                    let held = chains_held
                        .get(&name)
                        .and_then(|index| state.chains.get(*index))
                        .and_then(|chain| chain.rules.get(number));
                    let chain = chains.get(&name).and_then(|index| table.chains.get_mut(*index));
                    if let (Some(held), Some(rule)) = (held, chain.and_then(|chain| chain.rules.get_mut(number))) {
                        changed |= !is_opaque(rule);
                        *rule = opaque_rule(held);
                    }
                }
                Location { chain: Some(name), rule: None, .. } => {
                    let hook = chains_held
                        .get(&name)
                        .and_then(|index| state.chains.get(*index))
                        .and_then(|chain| chain.hook.as_ref());
                    let chain = chains.get(&name).and_then(|index| table.chains.get_mut(*index));
                    if let (Some(hook), Some(chain)) =
                        (hook, chain.filter(|chain| matches!(chain.kind, ChainKind::Base(_) | ChainKind::Device(_))))
                    {
                        chain.kind = ChainKind::Opaque(Opaque::new(&hook.chain_type, None, hook.clone()));
                        changed = true;
                    }
                }
                Location { set: Some(name), .. } => {
                    let set = sets.get(&name).and_then(|index| table.sets.get_mut(*index));
                    if let (Some(held), Some(set)) = (
                        sets_held.get(&name).and_then(|index| state.sets.get(*index)),
                        set.filter(|set| set.opaque().is_none()),
                    ) {
                        let SetState { name, code, elements, .. } = held;
                        *set = opaque_set(name, code, elements, &learned(held));
                        changed = true;
                    }
                }
                Location { object: Some((kind, name)), .. } => {
                    let same = |object: &&mut Object| object.kind() == kind && object.name == name;
                    let held = state.objects.iter().find(|held| held.kind == kind && held.name == name);
                    let object = table.objects.iter_mut().find(same).filter(|object| object.opaque().is_none());
                    if let (Some(held), Some(object)) = (held, object) {
                        *object = opaque_object(held);
                        changed = true;
                    }
                }
                _ => {}
            }
        }
        if !changed {
            return;
        }
    }
}

/// Returns the index of the first item with each name.
fn numbered<'n>(names: impl DoubleEndedIterator<Item = &'n Name> + ExactSizeIterator) -> HashMap<Name, usize> {
    names.enumerate().rev().map(|(index, name)| (name.clone(), index)).collect()
}

fn is_opaque(rule: &Rule) -> bool {
    matches!(rule.statements.as_slice(), [Statement::Opaque(_)])
}

/// Returns for every element whether a rule added it; such an element is not part of the set's
/// declaration.
fn learned(state: &SetState) -> Vec<bool> {
    let learns = state.code.flags & SetFlags::DYNAMIC.bits() != 0;
    state.expires.iter().map(|expires| learns && expires.is_some()).collect()
}

/// Converts a set in terms of the model if these cover all of it, and otherwise keeps it as it was
/// read.
fn set(state: &SetState) -> Set {
    let SetState { name, code, elements, .. } = state;
    let is_complete = |set: &Set| {
        lower_set(set).as_ref() == Ok(code) && lower_elements(set).eq(elements.iter().map(|code| Ok(code.clone())))
    };
    let raised = raise_set(name, code, elements).ok().filter(is_complete);
    let learned = learned(state);
    let Some(mut set) = raised else { return opaque_set(name, code, elements, &learned) };
    for (element, _) in set.elements.iter_mut().zip(learned).filter(|(_, learned)| *learned) {
        let extra = element.extra.get_or_insert_default();
        let userdata = extra.kept.code::<KeptElement>().map(|kept| kept.userdata.clone()).unwrap_or_default();
        extra.kept = Kept::new(KeptElement { userdata, learned: true });
    }
    set
}

impl Sets for [SetState] {
    fn mode(&self, name: &Name) -> Option<SetMode> {
        self.iter().find(|set| set.name == *name).map(|set| set.code.mode())
    }
}

/// Returns the kind of a chain, or `None` when its hook is not modelled.
pub(crate) fn chain_kind(family: Family, chain: &ChainState) -> Option<ChainKind> {
    let Some(HookState { chain_type, hook, priority, policy, devices, opaque: _ }) = &chain.hook else {
        return Some(ChainKind::Regular);
    };
    let types = [ChainType::Filter, ChainType::Nat, ChainType::Route];
    let chain_type = types.into_iter().find(|known| known.name() == chain_type)?;
    let (number, priority) = (*hook, Priority(*priority));
    let policy = match policy {
        0 => Policy::Drop,
        1 => Policy::Accept,
        _ => return None,
    };
    let device = [DeviceHook::Egress, DeviceHook::Ingress].into_iter().find(|hook| hook.number(family) == Some(number));
    if let (Some(hook), ChainType::Filter) = (device, chain_type) {
        return Some(ChainKind::Device(DeviceBase { hook, devices: devices.clone(), priority, policy }));
    }
    let hook = Hook::of(family).iter().copied().find(|known| known.number_in(family) == number)?;
    devices.is_empty().then_some(ChainKind::Base(Base { chain_type, hook, priority, policy }))
}

const NFT_SET_ANONYMOUS: u32 = 0x1;
const NFT_CHAIN_BASE: u32 = 0x1;
const NFT_CHAIN_BINDING: u32 = 0x4;
