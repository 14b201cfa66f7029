//! The bodies of objects on one line each, for the commands of an nft script.

use std::borrow::Cow;
use std::fmt;

use crate::model::{Base, Element, Family, Rule, Set};

use super::{InFamily, Text, set};

/// `{ type nat hook prerouting priority dstnat; policy accept; }`.
pub(crate) fn chain_block(family: Family, base: &Base) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| write!(f, "{{ {} }}", InFamily { family, value: base }))
}

/// `set`, or `map` for maps and verdict maps.
pub(crate) fn set_keyword(set: &Set) -> &'static str {
    set::keyword(set)
}

/// `{ type ipv4_addr; flags interval; }`.
pub(crate) fn set_block(set: &Set) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("{ ")?;
        set::properties(set).iter().try_for_each(|property| write!(f, "{property}; "))?;
        f.write_str("}")
    })
}

/// `{ 1.2.3.4 timeout 5s, 1.2.3.5 }`, in the order given.
pub(crate) fn element_block(elements: &[Element]) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let given: Vec<_> = elements.iter().map(Cow::Borrowed).collect();
        write!(f, "{}", set::braced(&given, &[], None, |f, element| fmt::Display::fmt(element, f)))
    })
}

/// `tcp dport 80 accept`, as in a table of that family.
pub(crate) fn rule(family: Family, rule: &Rule) -> impl fmt::Display {
    InFamily { family, value: rule }
}
