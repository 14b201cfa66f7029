//! What the kernel holds, as nft(8) 1.0.6 lists it: `nft list ruleset`, and with handles `nft -a list ruleset`.
//!
//! Byte for byte, but for what has no name here: an xtables extension prints as `xt match "owner"`, where an nft that was built with
//! xtables support prints what it does; any other expression, set or object as a comment that names it.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use super::snapshot::{ChainState, HookState, RuleState, SetState, Snapshot, TableState};
use crate::bytecode::{
    ElementCode, INTERVAL_END, Modes, SetCode, in_order, raise_in_full, raise_set, typeof_fields, userdata_text,
};
use crate::model::{Family, Rule, Statement, TableFlags};
use crate::render::Names;
use crate::render::listing::{self, Note, comment, handle, listed_rule, priority, set_block};

/// Prints a [`Snapshot`].
///
/// nft looks up the names of interfaces and of the programs that own tables; a listing is told. Where it does not know a name it prints
/// what nft prints when it finds none.
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
    /// Without names and handles.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Listing { snapshot, interfaces: Names::new(), programs: BTreeMap::new(), handles: Handles::Hidden }
    }

    /// With the kernel's handles, as `nft -a`.
    #[must_use]
    pub fn with_handles(mut self) -> Self {
        self.handles = Handles::Shown;
        self
    }

    /// With these names of interfaces, by index.
    #[must_use]
    pub fn interfaces(mut self, names: impl IntoIterator<Item = (u32, String)>) -> Self {
        self.interfaces.extend(names);
        self
    }

    /// With these names of the programs that own tables, by port id, which is the process id of a program's first socket.
    #[must_use]
    pub fn programs(mut self, names: impl IntoIterator<Item = (u32, String)>) -> Self {
        self.programs.extend(names);
        self
    }

    /// What nft writes to its standard error: which tables belong to iptables-nft.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let foreign = |table: &&TableState| {
            let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
            exprs.any(|expr| matches!(expr.name(), "match" | "target"))
        };
        let warning =
            |table: &TableState| format!("# Warning: table {} is managed by iptables-nft, do not touch!", table.id);
        self.snapshot.tables.iter().filter(foreign).map(warning)
    }

    fn handle(&self, number: u64) -> Option<u64> {
        (self.handles == Handles::Shown).then_some(number)
    }
}

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot.tables.iter().try_for_each(|table| self.table(f, table))
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
        let mut first = flags.is_empty() && text.is_none();
        let mut between = |f: &mut fmt::Formatter<'_>| {
            if std::mem::take(&mut first) { Ok(()) } else { f.write_str("\n") }
        };
        for object in &table.objects {
            between(f)?;
            writeln!(f, "\t# {} {}{}", object.kind, object.name, handle(self.handle(object.handle)))?;
        }
        for set in table.sets.iter().filter(|set| set.code.flags & NFT_SET_ANONYMOUS == 0) {
            between(f)?;
            self.set(f, set)?;
        }
        let sets = table.modes();
        for chain in &table.chains {
            between(f)?;
            self.chain(f, (table, &sets), chain)?;
        }
        f.write_str("}\n")
    }

    fn set(&self, f: &mut fmt::Formatter<'_>, set: &SetState) -> fmt::Result {
        // What its elements carry is said beside them.
        let bare: Vec<ElementCode> =
            set.elements.iter().map(|code| ElementCode { extras: None, ..code.clone() }).collect();
        let mut raised = match raise_set(&set.name, &set.code, &bare) {
            Ok(raised) => raised,
            Err(reason) => return writeln!(f, "\t# {reason}{}", handle(self.handle(set.handle))),
        };
        let SetCode { policy, exprs, userdata, .. } = &set.code;
        let keyed = raised.elements.clone();
        raised.elements = in_order(raised.elements, &set.order);
        let mut notes = listing::notes(&self.interfaces);
        notes.declaration = Some(listing::declaration(&raised, typeof_fields(userdata, &raised)));
        notes.in_memory = *policy == NFT_SET_POL_MEMORY;
        notes.carries = self.carried(exprs, Carried::Kind);
        if !set.expires.is_empty() || set.elements.iter().any(|element| element.extras.is_some()) {
            let starts = set.elements.iter().enumerate().filter(|(_, code)| code.flags & INTERVAL_END == 0);
            for ((index, code), element) in starts.zip(&keyed) {
                let carries = code.extras.as_ref().map(|extras| self.carried(&extras.exprs, Carried::State));
                let expires = set.expires.get(index).copied().flatten().map(Duration::from_millis);
                notes.elements.insert(&element.key, Note { carries: carries.unwrap_or_default(), expires });
            }
        }
        write!(f, "{}", set_block(&raised, self.handle(set.handle), &notes))
    }

    /// What elements carry, in words.
    fn carried(&self, exprs: &[crate::bytecode::Expr], what: Carried) -> Vec<String> {
        let rule = raise_in_full(exprs, &[], Family::Inet, &crate::bytecode::NoSets);
        let text = |statement| match (statement, what) {
            (Statement::Counter { .. }, Carried::Kind) => "counter".to_owned(),
            (statement, Carried::Kind | Carried::State) => {
                listed_rule(Family::Inet, &Rule::new().statement(statement), &self.interfaces).to_string()
            }
        };
        rule.statements.into_iter().map(text).collect()
    }

    fn chain(
        &self,
        f: &mut fmt::Formatter<'_>,
        (table, sets): (&TableState, &Modes<'_>),
        chain: &ChainState,
    ) -> fmt::Result {
        writeln!(f, "\tchain {} {{{}", chain.name, handle(self.handle(chain.handle)))?;
        if let Some(text) = userdata_text(&chain.userdata, UDATA_COMMENT) {
            writeln!(f, "\t\t{}", comment(&text))?;
        }
        if let Some(hook) = &chain.hook {
            writeln!(f, "\t\t{}", hooked(table.id.family, hook))?;
        }
        for RuleState { exprs, userdata, handle: number, .. } in &chain.rules {
            let family = table.id.family;
            let rule = raise_in_full(exprs, userdata, family, sets);
            writeln!(f, "\t\t{}{}", listed_rule(family, &rule, &self.interfaces), handle(self.handle(*number)))?;
        }
        f.write_str("\t}\n")
    }
}

#[derive(Clone, Copy)]
enum Carried {
    Kind,
    State,
}

/// `type filter hook ingress device "lo" priority filter; policy accept;`.
fn hooked(family: Family, state: &HookState) -> String {
    let HookState { chain_type, hook, priority: number, policy, devices, opaque: _ } = state;
    let names: &[&str] = match family {
        Family::Arp => &["input", "output", "forward"],
        Family::Bridge => &["prerouting", "input", "forward", "output", "postrouting"],
        Family::Inet | Family::Ip | Family::Ip6 => {
            &["prerouting", "input", "forward", "output", "postrouting", "ingress"]
        }
        Family::Netdev => &["ingress", "egress"],
    };
    let name = usize::try_from(*hook).ok().and_then(|hook| names.get(hook)).copied().unwrap_or("unknown");
    let quoted: Vec<String> = devices.iter().map(|name| listing::device(name).to_string()).collect();
    let devices = match quoted.as_slice() {
        [] => String::new(),
        [one] => format!(" device {one}"),
        several => format!(" devices = {{ {} }}", several.join(", ")),
    };
    let policy = if *policy == 0 { "drop" } else { "accept" };
    let priority = priority(family, name, *number);
    format!("type {chain_type} hook {name}{devices} priority {priority}; policy {policy};")
}

const NFT_SET_ANONYMOUS: u32 = 1;
const NFT_SET_POL_MEMORY: u32 = 1;
const UDATA_COMMENT: u8 = 0;
