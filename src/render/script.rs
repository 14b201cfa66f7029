//! The bodies of objects on one line each, for the commands of an nft script.

use std::borrow::Cow;
use std::fmt;

use crate::model::{ChainKind, Element, Family, Object, Rule, Set, TableFlags};

use super::{Blocks, Style, Text, object, quoted, set, table};

/// Returns ` { flags dormant; comment "why"; }`, or nothing.
pub(crate) fn table_block(flags: TableFlags, comment: Option<&str>) -> impl fmt::Display {
    let flags = (!flags.is_empty()).then(|| format!("flags {flags};"));
    block(flags, comment)
}

/// Returns ` { type nat hook prerouting priority dstnat; policy accept; comment "why"; }`, or
/// nothing.
pub(crate) fn chain_block(family: Family, kind: &ChainKind, comment: Option<&str>) -> impl fmt::Display {
    block(table::hooked(family, kind), comment)
}

fn block(first: Option<String>, comment: Option<&str>) -> impl fmt::Display {
    let comment = comment.map(|comment| format!("comment {};", quoted(comment)));
    let parts: Vec<String> = first.into_iter().chain(comment).collect();
    if parts.is_empty() { String::new() } else { format!(" {{ {} }}", parts.join(" ")) }
}

/// Returns `{ type "ftp" protocol tcp; l3proto ip; }`, as in a table of that family.
pub(crate) fn object_block(family: Family, object: &Object) -> impl fmt::Display {
    format!("{{ {}; }}", object::lines(family, object, Style::Loadable).join("; "))
}

/// Returns `set`, or `map` for maps and verdict maps.
pub(crate) fn set_keyword(set: &Set) -> &'static str {
    set::keyword(set)
}

/// Returns `{ type ipv4_addr; flags interval; }`.
pub(crate) fn set_block(set: &Set) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        f.write_str("{ ")?;
        set::properties(set).iter().try_for_each(|property| write!(f, "{property}; "))?;
        f.write_str("}")
    })
}

/// Returns `{ 1.2.3.4 timeout 5s, 1.2.3.5 }`, in the given order.
pub(crate) fn element_block(elements: &[Element]) -> impl fmt::Display {
    Text(move |f: &mut fmt::Formatter<'_>| {
        let given: Vec<_> = elements.iter().map(Cow::Borrowed).collect();
        write!(f, "{}", set::braced(&given, (0, &[]), None, |f, element| fmt::Display::fmt(element, f)))
    })
}

/// Returns `tcp dport 80 accept`, as in a table of that family, with the rules of the chains bound
/// to it in braces.
pub(crate) fn rule<'a>(family: Family, rule: &'a Rule, blocks: &'a Blocks) -> impl fmt::Display + 'a {
    super::rule::styled(family, rule, Style::InTable(blocks))
}

/// Returns the statements of a rule, each as `Display` prints it in a table of that family.
#[cfg(feature = "json")]
pub(crate) fn statements(family: Family, rule: &Rule) -> Vec<String> {
    super::rule::kept(family, &rule.statements, super::Style::Loadable).map(|statement| statement.to_string()).collect()
}
