//! Rule sets, tables and chains.

use std::fmt::{self, Display};

use crate::model::{
    Base, Chain, ChainKind, ChainType, DeviceBase, DeviceHook, Family, Hook, Policy, Priority, Ruleset, Statement,
    Table, TableFlags,
};

use super::{Blocks, InFamily, Style, Text, joined, object, quoted, rule, set, unknown};
use crate::bytecode::KeptParts;

/// Prints what `nft list ruleset` prints and `nft -f` reads.
impl Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| table.fmt(f))
    }
}

/// Prints what `nft list table` prints.
impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        WithHandles { table: self, handles: &Handles::default() }.fmt(f)
    }
}

/// The kernel's handles for a table and its contents, in the order of the table; a missing handle
/// is not printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles {
    pub(crate) table: Option<u64>,
    pub(crate) sets: Vec<u64>,
    /// The handle of each chain, and the handles of its rules.
    pub(crate) chains: Vec<(u64, Vec<u64>)>,
}

/// A table as `nft -a list table` prints it.
pub(crate) struct WithHandles<'a> {
    pub(crate) table: &'a Table,
    pub(crate) handles: &'a Handles,
}

impl Display for WithHandles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Table { family, name, flags, comment, objects, sets, chains, kept: _ } = self.table;
        writeln!(f, "table {family} {name} {{{}", handle(self.handles.table))?;
        let mut first = true;
        let mut between = |f: &mut fmt::Formatter<'_>| {
            if std::mem::take(&mut first) { Ok(()) } else { f.write_str("\n") }
        };
        if !flags.is_empty() {
            between(f)?;
            writeln!(f, "\tflags {flags}")?;
        }
        if let Some(comment) = comment {
            writeln!(f, "\tcomment {}", quoted(comment))?;
        }
        for object in objects {
            between(f)?;
            object::block(f, *family, object)?;
        }
        for (index, set) in sets.iter().enumerate() {
            between(f)?;
            set::block(f, set, self.handles.sets.get(index).copied(), &set::Notes::new(Style::Loadable))?;
        }
        let blocks = blocks(*family, chains);
        for (index, chain) in chains.iter().enumerate().filter(|(_, chain)| !blocks.contains_key(&chain.name)) {
            between(f)?;
            let handles = self.handles.chains.get(index);
            let rules = handles.map_or(&[][..], |(_, rules)| rules);
            self::chain(f, *family, chain, &blocks, handles.map(|(chain, _)| *chain), rules)?;
        }
        f.write_str("}\n")
    }
}

/// Returns ` # handle 4`, to be appended to an item.
pub(super) fn handle(handle: Option<u64>) -> impl Display {
    Text(move |f: &mut fmt::Formatter<'_>| match handle {
        Some(handle) => write!(f, " # handle {handle}"),
        None => Ok(()),
    })
}

/// Prints the chain as in an `inet` table.
impl Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InFamily { family: Family::Inet, value: self }.fmt(f)
    }
}

impl Display for InFamily<'_, Chain> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        chain(f, self.family, self.value, &Blocks::new(), None, &[])
    }
}

/// Returns the rules of the chains that are bound to a rule of another one, which are printed there.
fn blocks(family: Family, chains: &[Chain]) -> Blocks {
    let bound: Vec<&Chain> = chains.iter().filter(|chain| chain.kind == ChainKind::Bound).collect();
    let is_used = |bound: &&&Chain| {
        let statements = chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
        let mut verdicts = statements.filter_map(|statement| match statement {
            Statement::Verdict(verdict) => verdict.target(),
            _ => None,
        });
        verdicts.any(|target| *target == bound.name)
    };
    let bound: Vec<&Chain> = bound.iter().filter(is_used).copied().collect();
    let mut blocks = Blocks::new();
    // A block is complete once those within it are; nothing is nested deeper than jumps may be.
    for _ in 0..bound.len().min(DEPTH) {
        let block = |chain: &&Chain| {
            let rule = |rule| format!("\t\t\t{}\n", rule::styled(family, rule, Style::InTable(&blocks)));
            (chain.name.clone(), format!("{{\n{}\t\t}}", chain.rules.iter().map(rule).collect::<String>()))
        };
        blocks = bound.iter().map(block).collect();
    }
    blocks
}

fn chain(
    f: &mut fmt::Formatter<'_>,
    family: Family,
    chain: &Chain,
    blocks: &Blocks,
    own: Option<u64>,
    handles: &[u64],
) -> fmt::Result {
    let Chain { name, kind, comment, rules, kept } = chain;
    writeln!(f, "\tchain {name} {{{}", handle(own))?;
    if let Some(comment) = comment {
        writeln!(f, "\t\tcomment {}", quoted(comment))?;
    }
    if let Some(hooked) = hooked(family, kind) {
        writeln!(f, "\t\t{hooked}")?;
    }
    for (index, rule) in rules.iter().enumerate() {
        let rule = rule::styled(family, rule, Style::InTable(blocks));
        writeln!(f, "\t\t{rule}{}", handle(handles.get(index).copied()))?;
    }
    // A chain that was not read in full must not be loaded without its other rules.
    let unlisted = kept.code::<KeptParts>().map_or(0, |read| read.unlisted);
    if unlisted > 0 {
        writeln!(f, "\t\t{}", unknown(format_args!("rules: {unlisted}")))?;
    }
    f.write_str("\t}\n")
}

/// Returns the hook of a chain, or text that nft(8) refuses where this crate does not know it.
pub(super) fn hooked(family: Family, kind: &ChainKind) -> Option<String> {
    match kind {
        ChainKind::Base(base) => Some(InFamily { family, value: base }.to_string()),
        ChainKind::Bound => Some("bound to a rule;".to_owned()),
        ChainKind::Device(base) => Some(InFamily { family, value: base }.to_string()),
        ChainKind::Opaque(opaque) => Some(format!("opaque {};", opaque.name())),
        ChainKind::Regular => None,
    }
}

/// Prints the hook as in an `inet` table.
impl Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InFamily { family: Family::Inet, value: self }.fmt(f)
    }
}

impl Display for InFamily<'_, Base> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Base { chain_type, hook, priority, policy } = self.value;
        let priority = self::priority(self.family, hook.name(), priority.0);
        write!(f, "type {chain_type} hook {hook} priority {priority}; policy {policy};")
    }
}

/// Prints the hook as in a table of family netdev.
impl Display for DeviceBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        InFamily { family: Family::Netdev, value: self }.fmt(f)
    }
}

impl Display for InFamily<'_, DeviceBase> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DeviceBase { hook, devices, priority, policy } = self.value;
        let (devices, priority) = (self::devices(devices), self::priority(self.family, hook.name(), priority.0));
        write!(f, "type filter hook {hook}{devices} priority {priority}; policy {policy};")
    }
}

impl Display for DeviceHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns ` device "lo"` or ` devices = { eth0, lo }`: nft sorts several, and writes them without
/// quotes.
pub(crate) fn devices(devices: &[String]) -> String {
    match devices {
        [] => String::new(),
        [one] => format!(" device {}", quoted(one)),
        several => {
            let mut sorted: Vec<&str> = several.iter().map(String::as_str).collect();
            sorted.sort_unstable();
            format!(" devices = {{ {} }}", sorted.join(", "))
        }
    }
}

/// Returns a priority with its name in nft at that hook: within 10 of `dstnat`, but only where
/// destinations are translated.
pub(super) fn priority(family: Family, hook: &str, priority: i32) -> impl Display {
    let known = Priority::names(family)
        .iter()
        .find(|(_, named, only)| priority.abs_diff(*named) <= 10 && only.is_none_or(|at| at == hook));
    Text(move |f: &mut fmt::Formatter<'_>| match known {
        None => write!(f, "{priority}"),
        Some((name, base, _)) if priority == *base => f.write_str(name),
        Some((name, base, _)) if priority > *base => write!(f, "{name} + {}", priority - base),
        Some((name, base, _)) => write!(f, "{name} - {}", base - priority),
    })
}

/// Prints the number; its name depends on the hook, see [`Base`].
impl Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Display for ChainType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Display for TableFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [(TableFlags::DORMANT, "dormant"), (TableFlags::OWNER, "owner"), (TableFlags::PERSIST, "persist")];
        joined(f, named.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, name)| name), ",")
    }
}

/// Deeper than the kernel follows jumps.
const DEPTH: usize = 20;
