//! Prints a snapshot as nft(8) 1.0.6 lists it: `nft list ruleset`, and with handles `nft -a list
//! ruleset`.
//!
//! The text is identical to nft's byte for byte, except for what this crate does not know: an
//! xtables extension prints as `xt match "owner"`, where an nft built with xtables support prints
//! its meaning, and any other expression, element, set or object as `<unknown fib>` in its place.
//! nft refuses either, so a listing is loaded again in full or not at all.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use super::snapshot::{ChainState, HookState, OpaqueMessage, OpaqueState, RuleState, SetState, Snapshot, TableState};
use crate::bytecode::{
    Declared, Modes, SetCode, SetMode, Unraisable, declaration, declared, in_order, is_for_all, raise_each,
    raise_in_full, userdata_text,
};
use crate::model::{Element, Family, Rule, Set, Statement, TableFlags};
use crate::render::listing::{self, Note, Notes, comment, handle, listed_rule, priority, set_block, unknown};
use crate::render::{Blocks, Known, Names};

/// Prints a [`Snapshot`].
///
/// nft looks up the names of interfaces and of the programs that own tables; a listing must be
/// given them. A missing name prints as in nft when the lookup fails.
#[doc(alias = "nft list ruleset")]
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    snapshot: &'a Snapshot,
    interfaces: Names,
    programs: BTreeMap<u32, String>,
    handles: Handles,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handles {
    Hidden,
    Shown,
}

impl<'a> Listing<'a> {
    /// Creates a listing without names and handles.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Listing { snapshot, interfaces: Names::new(), programs: BTreeMap::new(), handles: Handles::Hidden }
    }

    /// Adds the kernel's handles, as `nft -a` does.
    #[must_use]
    pub fn with_handles(mut self) -> Self {
        self.handles = Handles::Shown;
        self
    }

    /// Adds these names of interfaces, by index.
    #[must_use]
    pub fn interfaces(mut self, names: impl IntoIterator<Item = (u32, String)>) -> Self {
        self.interfaces.extend(names);
        self
    }

    /// Adds these names of the programs that own tables, by port id, which is the process id for a
    /// program's first socket.
    #[must_use]
    pub fn programs(mut self, names: impl IntoIterator<Item = (u32, String)>) -> Self {
        self.programs.extend(names);
        self
    }

    /// Returns the warnings that nft writes to standard error: which tables belong to
    /// iptables-nft.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let foreign = |table: &&TableState| {
            let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
            exprs.any(|expr| matches!(expr.name(), "match" | "target"))
        };
        let warning =
            |table: &TableState| format!("# Warning: table {} is managed by iptables-nft, do not touch!", table.id);
        self.snapshot.tables.iter().filter(foreign).map(warning)
    }

    #[cfg(feature = "json")]
    pub(crate) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    fn handle(&self, number: u64) -> Option<u64> {
        (self.handles == Handles::Shown).then_some(number)
    }
}

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot.tables.iter().try_for_each(|table| self.table(f, table))?;
        let message = |OpaqueMessage { kind, family, attributes: _ }: &OpaqueMessage| {
            unknown(format_args!("message {kind} of family {family}")).to_string()
        };
        self.snapshot.opaque.iter().try_for_each(|opaque| writeln!(f, "{}", message(opaque)))
    }
}

/// Prints as a [`Listing`] without names and handles.
impl Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Listing::new(self).fmt(f)
    }
}

impl Listing<'_> {
    fn table(&self, f: &mut fmt::Formatter<'_>, table: &TableState) -> fmt::Result {
        let flags = TableFlags::from_bits_truncate(table.flags);
        let owner = table.owner.filter(|_| flags.contains(TableFlags::OWNER));
        write!(f, "table {} {{", table.id)?;
        if owner.is_some() || self.handles == Handles::Shown {
            f.write_str(" #")?;
        }
        if self.handles == Handles::Shown {
            write!(f, " handle {}", table.handle)?;
        }
        if let Some(name) = owner.and_then(|owner| self.programs.get(&owner)) {
            write!(f, " progname {name}")?;
        }
        f.write_str("\n")?;
        let text = userdata_text(&table.userdata, UDATA_COMMENT);
        if !flags.is_empty() {
            writeln!(f, "\tflags {flags}")?;
        }
        if let Some(text) = &text {
            writeln!(f, "\t{}", comment(text))?;
        }
        let nameless = table.flags & !TableFlags::all().bits();
        if nameless != 0 {
            writeln!(f, "\t{}", unknown(format_args!("flags {nameless:#x}")))?;
        }
        // A blank line follows flags, but not a comment alone.
        let mut first = flags.is_empty();
        let mut between = |f: &mut fmt::Formatter<'_>| {
            if std::mem::take(&mut first) { Ok(()) } else { f.write_str("\n") }
        };
        for object in &table.objects {
            let OpaqueState { kind, name, handle: number, attributes: _ } = object;
            let raised = super::raise::raised_object(object);
            between(f)?;
            writeln!(f, "\t{kind} {name} {{{}", handle(self.handle(number.0)))?;
            let lines = listing::object(table.id.family, &raised, self.known(&NO_BLOCKS));
            lines.iter().try_for_each(|line| writeln!(f, "\t\t{line}"))?;
            f.write_str("\t}\n")?;
        }
        let within = self.within(table);
        for set in sets(table) {
            between(f)?;
            self.set(f, set)?;
        }
        for chain in chains(table) {
            between(f)?;
            self.chain(f, &within, chain)?;
        }
        f.write_str("}\n")
    }

    fn set(&self, f: &mut fmt::Formatter<'_>, set: &SetState) -> fmt::Result {
        let number = self.handle(set.handle.0);
        self.noted(set, |raised, notes| write!(f, "{}", set_block(raised, number, notes))).unwrap_or_else(|reason| {
            let (name, keyword) = (&set.name, keyword(set));
            writeln!(f, "\t{keyword} {name} {{{}\n\t\t{}\n\t}}", handle(number), unknown(nameless(&reason)))
        })
    }

    /// Passes on a set with its elements, and what is known of them.
    pub(crate) fn noted<T>(&self, set: &SetState, list: impl FnOnce(&Set, &Notes<'_>) -> T) -> Result<T, Unraisable> {
        let SetState { name, handle: _, code, elements, order, expires, backend: _, count: _ } = set;
        let SetCode { policy, exprs, .. } = code;
        let mut raised = declaration(name, code)?;
        let known = self.known(&NO_BLOCKS);
        let mode = SetMode::of(raised.flags, raised.key.len());
        let (mut keyed, mut notes) = (Vec::with_capacity(elements.len()), listing::notes(known));
        let (mut carried, mut places) = (Vec::new(), Vec::new());
        // What the set and its elements carry is printed from the snapshot.
        raised.statements.clear();
        raise_each(elements, &raised.key, &raised.data, mode, |index, element| {
            let element = element.map(|element| Element { extra: None, ..element });
            let extras = elements.get(index).and_then(|code| code.extras.as_deref());
            let expires = expires.get(index).copied().flatten().map(Duration::from_millis);
            let carries = extras.map(|extras| self.carried(&extras.exprs, Carried::State)).unwrap_or_default();
            let note = Note { carries, expires };
            match element {
                None => notes.others.push(unknown("element").to_string()),
                Some(element) if is_for_all(&element.key) => {
                    notes.others.insert(0, listing::element(&element, &note, known).to_string());
                }
                Some(element) => {
                    if !note.is_empty() {
                        carried.push((keyed.len(), note));
                    }
                    keyed.push(element);
                    places.extend(order.get(index));
                }
            }
        });
        notes.elements = carried.into_iter().filter_map(|(index, note)| Some((&keyed.get(index)?.key, note))).collect();
        raised.elements = in_order(keyed.clone(), &places);
        notes.declaration = Some(match declared(code) {
            Declared::Expressions(key, data) => {
                let key = key.iter().map(|part| part.text.as_str()).collect();
                listing::declaration(&raised, Some((key, data.as_ref().map(|part| part.text.as_str()))))
            }
            Declared::Types => listing::declaration(&raised, None),
            Declared::Unknown => unknown("typeof").to_string(),
        });
        notes.in_memory = *policy == NFT_SET_POL_MEMORY;
        notes.carries = self.carried(exprs, Carried::Kind);
        Ok(list(&raised, &notes))
    }

    /// Returns the state that elements carry, as text.
    fn carried(&self, exprs: &[crate::bytecode::Expr], what: Carried) -> Vec<String> {
        let rule = raise_in_full(exprs, &[], Family::Inet, &crate::bytecode::NoSets);
        let text = |statement| match (statement, what) {
            (Statement::Counter { .. }, Carried::Kind) => "counter".to_owned(),
            (statement, Carried::Kind | Carried::State) => {
                listed_rule(Family::Inet, &Rule::new().statement(statement), self.known(&NO_BLOCKS)).to_string()
            }
        };
        rule.statements.into_iter().map(text).collect()
    }

    fn chain(&self, f: &mut fmt::Formatter<'_>, within: &Within<'_>, chain: &ChainState) -> fmt::Result {
        writeln!(f, "\tchain {} {{{}", chain.name, handle(self.handle(chain.handle.0)))?;
        if let Some(text) = userdata_text(&chain.userdata, UDATA_COMMENT) {
            writeln!(f, "\t\t{}", comment(&text))?;
        }
        if let Some(hook) = &chain.hook {
            writeln!(f, "\t\t{}", hooked(within.family, hook))?;
        }
        let nameless = chain.flags & !(NFT_CHAIN_BASE | NFT_CHAIN_BINDING);
        if nameless != 0 {
            writeln!(f, "\t\t{}", unknown(format_args!("flags {nameless:#x}")))?;
        }
        for rule in &chain.rules {
            writeln!(f, "\t\t{}{}", self.rule(within, rule), handle(self.handle(rule.handle.0)))?;
        }
        // nft does not mention them, and loads a listing without them.
        if chain.unlisted > 0 {
            writeln!(f, "\t\t{}", unknown(format_args!("rules: {}", chain.unlisted)))?;
        }
        f.write_str("\t}\n")
    }

    fn rule(&self, within: &Within<'_>, rule: &RuleState) -> String {
        listed_rule(within.family, &raised(within, rule), self.known(&within.blocks)).to_string()
    }

    /// Returns the statements of a rule as nft lists them, and its comment.
    #[cfg(feature = "json")]
    pub(crate) fn statements(&self, within: &Within<'_>, rule: &RuleState) -> (Vec<String>, Option<String>) {
        let raised = raised(within, rule);
        let statements = listing::listed_statements(within.family, &raised, self.known(&within.blocks));
        (statements, raised.comment.map(Into::into))
    }

    /// Returns what its rules need to know of a table.
    pub(crate) fn within<'t>(&self, table: &'t TableState) -> Within<'t> {
        let mut within = Within { family: table.id.family, sets: table.modes(), blocks: Blocks::new() };
        within.blocks = self.blocks(table, &mut within);
        within
    }

    /// Returns the rules of every chain bound to a rule. nft indents them as in a chain that is
    /// not nested in another, and gives them no handles.
    fn blocks(&self, table: &TableState, within: &mut Within<'_>) -> Blocks {
        let bound = |chain: &&ChainState| chain.flags & NFT_CHAIN_BINDING != 0;
        // A nested block is complete once the inner one is; the kernel allows no deeper jumps than
        // this.
        for _ in 0..MAX_JUMPS {
            let block = |chain: &ChainState| {
                let rules = chain.rules.iter().map(|rule| format!("\t\t\t{}\n", self.rule(within, rule)));
                (chain.name.clone(), format!("{{\n{}\t\t}}", rules.collect::<String>()))
            };
            let next: Blocks = table.chains.iter().filter(bound).map(block).collect();
            if next == within.blocks {
                break;
            }
            within.blocks = next;
        }
        std::mem::take(&mut within.blocks)
    }

    fn known<'k>(&'k self, blocks: &'k Blocks) -> Known<'k> {
        Known { interfaces: &self.interfaces, blocks }
    }
}

/// Returns the sets that are listed as such: anonymous ones are in rules.
pub(crate) fn sets(table: &TableState) -> impl Iterator<Item = &SetState> {
    table.sets.iter().filter(|set| set.code.flags & NFT_SET_ANONYMOUS == 0)
}

/// Returns the chains that are listed as such: bound ones are in rules.
pub(crate) fn chains(table: &TableState) -> impl Iterator<Item = &ChainState> {
    table.chains.iter().filter(|chain| chain.flags & NFT_CHAIN_BINDING == 0)
}

/// Returns `set` or `map`, also for one that this crate does not know.
pub(crate) fn keyword(set: &SetState) -> &'static str {
    if set.code.flags & (NFT_SET_MAP | NFT_SET_OBJECT) == 0 { "set" } else { "map" }
}

fn raised(within: &Within<'_>, rule: &RuleState) -> Rule {
    let RuleState { exprs, userdata, handle: _, opaque: _ } = rule;
    raise_in_full(exprs, userdata, within.family, &within.sets)
}

/// The table being listed.
pub(crate) struct Within<'a> {
    family: Family,
    sets: Modes<'a>,
    blocks: Blocks,
}

/// Describes the part of a set that this crate does not know.
fn nameless(reason: &Unraisable) -> String {
    match reason {
        Unraisable::Type { set: _, part, number } => format!("type {number} of its {part}"),
        Unraisable::Flags { set: _, flags } => format!("flags {flags:#x}"),
        Unraisable::Element { set: _ } => "element".to_owned(),
    }
}

#[derive(Clone, Copy)]
enum Carried {
    Kind,
    State,
}

/// Returns `type filter hook ingress device "lo" priority filter; policy accept;`.
fn hooked(family: Family, state: &HookState) -> String {
    let HookState { chain_type, hook: _, priority: number, policy: _, devices, opaque } = state;
    let (name, policy) = (hook_name(family, state), policy_name(state));
    let devices = listing::devices(devices);
    let priority = priority(family, name, *number);
    let more = if opaque.is_empty() { String::new() } else { format!(" {}", unknown("attribute")) };
    format!("type {chain_type} hook {name}{devices} priority {priority}{more}; policy {policy};")
}

pub(crate) fn policy_name(state: &HookState) -> &'static str {
    if state.policy == 0 { "drop" } else { "accept" }
}

pub(crate) fn hook_name(family: Family, state: &HookState) -> &'static str {
    let names: &[&str] = match family {
        Family::Arp => &["input", "output", "forward"],
        Family::Bridge => &["prerouting", "input", "forward", "output", "postrouting"],
        Family::Inet | Family::Ip | Family::Ip6 => {
            &["prerouting", "input", "forward", "output", "postrouting", "ingress"]
        }
        Family::Netdev => &["ingress", "egress"],
    };
    usize::try_from(state.hook).ok().and_then(|hook| names.get(hook)).copied().unwrap_or("<unknown>")
}

static NO_BLOCKS: Blocks = Blocks::new();
const NFT_SET_ANONYMOUS: u32 = 1;
const NFT_SET_MAP: u32 = 8;
const NFT_SET_OBJECT: u32 = 0x40;
const NFT_CHAIN_BASE: u32 = 1;
const NFT_CHAIN_BINDING: u32 = 4;
/// `NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h.
const MAX_JUMPS: u32 = 16;
const NFT_SET_POL_MEMORY: u32 = 1;
const UDATA_COMMENT: u8 = 0;
