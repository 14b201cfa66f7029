//! Interface names and prefixes, as options that take interfaces define them.

use std::fmt;
use std::str::FromStr;

use crate::mesh::error::Problem;
use crate::mesh::parse::{self, Parsed};

/// One interface (`eth0`), or all whose name starts with a prefix (`veth+`, also written `veth*`).
///
/// A name has 1 to 15 bytes and no blank, `/`, `:` (`dev_valid_name`, net/core/dev.c, v6.12), quote
/// or backslash. Prints as nft does: `veth*`.
///
/// ```
/// use nftmesh::mesh::istio::InterfacePattern;
///
/// let pattern: InterfacePattern = "veth+".parse()?;
/// assert!(pattern.matches("veth7") && pattern.is_prefix());
/// assert_eq!(pattern.to_string(), "veth*");
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfacePattern {
    name: String,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reach {
    Name,
    Prefix,
}

impl InterfacePattern {
    /// Returns the name or the prefix, without the `+` or `*`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether [`name`](Self::name) is a prefix.
    #[must_use]
    pub fn is_prefix(&self) -> bool {
        self.reach == Reach::Prefix
    }

    /// Returns whether this pattern matches an interface called `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.reach {
            Reach::Name => name == self.name,
            Reach::Prefix => name.starts_with(&self.name),
        }
    }

    fn covers(&self, other: &InterfacePattern) -> bool {
        match (self.reach, other.reach) {
            (Reach::Name, _) => self == other,
            (Reach::Prefix, _) => other.name.starts_with(&self.name),
        }
    }

    pub(super) fn parse_list(text: &str) -> Parsed<Vec<Self>> {
        parse::list(text, ACCEPTED, pattern).map(merged)
    }

    pub(super) fn parse_one(text: &str) -> Parsed<Self> {
        pattern(text).map_err(|Problem(what)| Problem(format!("{what}; {ACCEPTED}")))
    }
}

/// Sorts the patterns and removes those that another one covers.
pub(super) fn merged(mut given: Vec<InterfacePattern>) -> Vec<InterfacePattern> {
    // A prefix sorts before the names it covers, except for the exact name with the same text.
    given.sort_by(|one, other| one.name.cmp(&other.name).then(other.reach.cmp(&one.reach)));
    let mut patterns: Vec<InterfacePattern> = Vec::with_capacity(given.len());
    for pattern in given {
        if !patterns.last().is_some_and(|last| last.covers(&pattern)) {
            patterns.push(pattern);
        }
    }
    patterns
}

const ACCEPTED: &str = "give interface names of 1 to 15 characters, or a prefix such as veth+";

fn pattern(text: &str) -> Parsed<InterfacePattern> {
    let (name, reach) = match text.strip_suffix(['+', '*']) {
        Some("") => return Err(Problem::new("this is every interface")),
        Some(prefix) => (prefix, Reach::Prefix),
        None => (text, Reach::Name),
    };
    if name.is_empty() {
        return Err(Problem::new("the name is empty"));
    }
    // IFNAMSIZ is 16 with the NUL, include/uapi/linux/if.h, v6.12.
    if name.len() > 15 {
        return Err(Problem(format!("the name has {} bytes", name.len())));
    }
    // The kernel accepts a quote and a backslash, but nft could not read them back.
    let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '"' | '\\');
    if name.contains(wrong) || (reach == Reach::Name && (name == "." || name == "..")) {
        return Err(Problem::new("not an interface name"));
    }
    Ok(InterfacePattern { name: name.to_owned(), reach })
}

impl FromStr for InterfacePattern {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        InterfacePattern::parse_one(text).map_err(|problem| problem.of("interface", text).into())
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix() { "*" } else { "" };
        write!(f, "{}{star}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn printed_patterns_read_back(text in "[a-z.+*/: \n]{0,17}") {
            match text.parse::<InterfacePattern>() {
                Ok(pattern) => prop_assert_eq!(pattern.to_string().parse::<InterfacePattern>().expect("it was printed by us"), pattern),
                Err(error) => prop_assert_eq!(error.to_string().lines().count(), 1),
            }
        }

        #[test]
        fn merged_patterns_match_the_same_names(texts in prop::collection::vec("[ab]{1,3}[+]?", 0..8), name in "[ab]{1,4}") {
            let given: Vec<_> = texts.iter().map(|text| pattern(text).expect("a valid pattern")).collect();
            let merged = merged(given.clone());
            prop_assert_eq!(merged.iter().any(|p| p.matches(&name)), given.iter().any(|p| p.matches(&name)), "{:?}", merged);
            for (index, one) in merged.iter().enumerate() {
                for other in merged.iter().skip(index + 1) {
                    prop_assert!(!one.covers(other) && !other.covers(one), "{} and {}", one, other);
                }
            }
        }
    }
}
