//! Names and interface patterns.
//!
//! A name may contain anything while a rule set is built, or when it was read from the kernel,
//! which accepts empty names, quotes and newlines;
//! [`Ruleset::validate`](crate::model::Ruleset::validate) rejects what nft(8) could not read back.
//! Names print [`Escaped`].

use std::fmt;
use std::sync::Arc;

use super::keywords::KEYWORDS;
use crate::error::Escaped;

/// Name of a table, chain or set: 1 to 255 bytes of letters, digits, `/`, `\`, `_`, `.` and `-`,
/// starting with a letter, `_` or `.`, and no keyword of nft(8).
///
/// The conversions from text take anything. Validation refuses what the kernel would not take, an
/// empty name or one that is too long, and [`Ruleset::warnings`](super::Ruleset::warnings) has the
/// names that only nft(8) could not read back.
#[doc(alias = "NFT_NAME_MAXLEN")]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "String", into = "String"))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Longest name in bytes, without the terminating NUL (`NFT_NAME_MAXLEN` - 1,
    /// include/uapi/linux/netfilter/nf_tables.h).
    pub const MAX: usize = 255;

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns why nft(8) and the kernel would not both accept this name.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'\\' | b'_' | b'.' | b'-');
        match self.0.bytes().next() {
            None => Some("is empty; give 1 to 255 characters"),
            Some(_) if self.0.len() > Name::MAX => Some("is longer than 255 bytes"),
            Some(first) if !(first.is_ascii_alphabetic() || matches!(first, b'_' | b'.')) => {
                Some("must start with a letter, '_' or '.'")
            }
            Some(_) if !self.0.bytes().all(plain) => Some("may hold only letters, digits, '/', '\\', '_', '.' and '-'"),
            Some(_) if KEYWORDS.binary_search(&&*self.0).is_ok() => {
                Some("is a keyword of nft, which could not read it back")
            }
            Some(_) => None,
        }
    }
}

#[cfg(feature = "serde")]
impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
    }
}

#[cfg(feature = "serde")]
impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0.into()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.into())
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Name(text.into())
    }
}

impl From<&Name> for Name {
    fn from(name: &Name) -> Self {
        name.clone()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::new(self.as_str()).fmt(f)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// Name of a network interface, or with a trailing `*` every interface whose name has this prefix:
/// `eth0`, `veth*`.
///
/// A literal trailing asterisk is written `\*`, as in nft(8). At most 15 bytes of name (`IFNAMSIZ`
/// - 1, include/uapi/linux/if.h).
#[doc(alias = "IFNAMSIZ")]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(from = "String", into = "String"))]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(Box<str>);

impl IfName {
    /// Longest interface name in bytes, without the terminating NUL.
    pub const MAX: usize = 15;

    /// Returns the pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `*` if this is a prefix, and `None` for a whole name.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*').filter(|prefix| !prefix.ends_with('\\'))
    }

    /// Returns the bytes to compare: the whole name, or the prefix.
    #[must_use]
    pub fn compared(&self) -> std::borrow::Cow<'_, str> {
        match (self.prefix(), self.0.strip_suffix("\\*")) {
            (Some(prefix), _) => prefix.into(),
            (None, Some(stem)) => format!("{stem}*").into(),
            (None, None) => (&*self.0).into(),
        }
    }

    pub(crate) fn fault(&self) -> Option<&'static str> {
        let compared = self.compared();
        if compared.is_empty() {
            Some("names no interface; give a name such as eth0, or a prefix such as veth*")
        } else if compared.len() > IfName::MAX {
            Some("is longer than the 15 bytes of an interface name")
        } else if compared.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '/' | '"' | ':')) {
            Some("may not hold blanks, control characters, '/', ':' or quotes")
        } else {
            None
        }
    }
}

impl From<&str> for IfName {
    fn from(text: &str) -> Self {
        IfName(text.into())
    }
}

impl From<String> for IfName {
    fn from(text: String) -> Self {
        IfName(text.into())
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped::new(self.as_str()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nft_can_read_back_are_valid() {
        for good in ["input", "istio-in-redirect", "_x", ".a", "a/b", "A9", "a\\b"] {
            assert_eq!(Name::from(good).fault(), None, "{good}");
        }
        for bad in ["", "9a", "redirect", "mark", "a b", "a\"b", "a\nb", "-a", "ä", &"x".repeat(256)] {
            assert!(Name::from(bad).fault().is_some(), "{bad:?}");
        }
        assert_eq!(Name::from("x".repeat(255)).fault(), None);
    }

    #[test]
    fn an_interface_pattern_distinguishes_prefixes_from_names() {
        assert_eq!(IfName::from("veth*").prefix(), Some("veth"));
        assert_eq!(IfName::from("eth0").prefix(), None);
        assert_eq!(IfName::from("odd\\*").prefix(), None);
        assert_eq!(IfName::from("odd\\*").compared(), "odd*");
        assert_eq!(IfName::from("abcdefghijklmno").fault(), None);
        for bad in ["abcdefghijklmnop", "", "*", "a b", "a/b", "a\nb"] {
            assert!(IfName::from(bad).fault().is_some(), "{bad:?}");
        }
    }
}
