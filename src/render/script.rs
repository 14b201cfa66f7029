//! The same on one line each, as commands of an nft script.

use std::borrow::Cow;
use std::fmt;

use crate::model::{Base, Chain, ChainKind, Element, Family, Name, Rule, Set, Table};

use super::{InFamily, Text, set};

/// `add table inet t`, `add table inet t { flags dormant; }`; without what is in it.
pub(crate) fn add_table(table: &Table) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Table { family, name, flags, sets: _, chains: _ } = table;
        write!(f, "add table {family} {name}")?;
        if flags.is_empty() { Ok(()) } else { write!(f, " {{ flags {flags}; }}") }
    })
}

/// `add chain inet t c { type nat hook prerouting priority dstnat; policy accept; }`; without its rules.
pub(crate) fn add_chain(family: Family, table: &Name, chain: &Chain) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let Chain { name, kind, rules: _ } = chain;
        write!(f, "add chain {family} {table} {name}")?;
        match kind {
            ChainKind::Base(base) => write!(f, " {}", chain_block(family, base)),
            ChainKind::Regular => Ok(()),
        }
    })
}

/// `{ type nat hook prerouting priority dstnat; policy accept; }`.
pub(crate) fn chain_block(family: Family, base: &Base) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| write!(f, "{{ {} }}", InFamily { family, value: base }))
}

/// `set`, or `map` for maps and verdict maps.
pub(crate) fn set_keyword(set: &Set) -> &'static str {
    set::keyword(set)
}

/// `add set inet t s { type ipv4_addr; flags interval; }`; without its elements.
pub(crate) fn add_set(family: Family, table: &Name, set: &Set) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        write!(f, "add {} {family} {table} {} {}", set_keyword(set), set.name, set_block(set))
    })
}

/// `{ type ipv4_addr; flags interval; }`.
pub(crate) fn set_block(set: &Set) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("{ ")?;
        set::properties(set).iter().try_for_each(|property| write!(f, "{property}; "))?;
        f.write_str("}")
    })
}

/// `add element inet t s { 1.2.3.4 timeout 5s, 1.2.3.5 }`.
pub(crate) fn add_elements(family: Family, table: &Name, set: &Name, elements: &[Element]) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| write!(f, "add element {family} {table} {set} {}", element_block(elements)))
}

/// `{ 1.2.3.4 timeout 5s, 1.2.3.5 }`, in the order given.
pub(crate) fn element_block(elements: &[Element]) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let given: Vec<_> = elements.iter().map(Cow::Borrowed).collect();
        write!(f, "{}", set::braced(&given, None))
    })
}

/// `add rule inet t c tcp dport 80 accept`.
pub(crate) fn add_rule(family: Family, table: &Name, chain: &Name, rule: &Rule) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        write!(f, "add rule {family} {table} {chain} {}", InFamily { family, value: rule })
    })
}
