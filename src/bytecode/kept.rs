//! The parts of an item that the model has no name for: userdata, attributes of newer kernels, and
//! the program itself if it is another spelling of the same meaning. They are kept in the item and
//! are sent with it byte for byte.
//!
//! Userdata is a list of entries (type, length, bytes; libnftnl's udata format). The comment in it
//! is taken from the model; the userdata as read is sent for as long as the model's comment is the
//! same.

use super::elements::ElementCode;
use super::expr::Expr;
use super::set::{SetCode, UDATA_AUTO_MERGE, UDATA_COMMENT, tlv};
use crate::model::{DataType, Element, Kept, Opaque, Rule, Set, SetData, SetFlags, Statement};

/// The kept parts of a table or chain.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptParts {
    /// The whole userdata.
    pub(crate) userdata: Vec<u8>,
    /// Attributes that this crate does not understand.
    pub(crate) attributes: Vec<u8>,
    /// Flags that have no name here.
    pub(crate) flags: u32,
    /// For a chain, the number of its rules that could not be read.
    pub(crate) unlisted: u32,
}

impl KeptParts {
    /// Keeps the parts of a table or chain that are not expressed by this comment.
    pub(crate) fn new(userdata: &[u8], comment: Option<&str>, attributes: &[u8], flags: u32) -> Self {
        let userdata = if commented(comment, &[]) == userdata { Vec::new() } else { userdata.to_vec() };
        KeptParts { userdata, attributes: attributes.to_vec(), flags, unlisted: 0 }
    }
}

/// The kept parts of a rule.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptRule {
    /// The statements raised from `exprs`, which are used for as long as the rule still has these.
    pub(crate) statements: Vec<Statement>,
    /// The program, if lowering makes a different one.
    pub(crate) exprs: Option<Vec<Expr>>,
    /// The whole userdata.
    pub(crate) userdata: Vec<u8>,
    /// Attributes that this crate does not understand.
    pub(crate) attributes: Vec<u8>,
}

/// The kept parts of a set whose declaration has a form in the model.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSet {
    /// The key that `userdata` describes.
    pub(crate) key: Vec<DataType>,
    /// The data that `userdata` describes.
    pub(crate) data: SetData,
    /// The whole userdata.
    pub(crate) userdata: Vec<u8>,
    /// Attributes that this crate does not understand.
    pub(crate) attributes: Vec<u8>,
}

/// The kept parts of an element.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptElement {
    /// The whole userdata.
    pub(crate) userdata: Vec<u8>,
    /// Whether packets added it and a timeout removes it.
    pub(crate) learned: bool,
}

/// A set that has no form in the model.
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeSet {
    /// Its declaration.
    pub(crate) code: SetCode,
    /// Its elements.
    pub(crate) elements: Vec<ElementCode>,
    /// For every element, whether packets added it and a timeout removes it; empty if there is no
    /// such element.
    pub(crate) learned: Vec<bool>,
}

/// Returns the set without the elements that rules had added when it was read; `None` if there are
/// none.
pub(crate) fn without_learned(set: &Set) -> Option<Set> {
    if let Some(WholeSet { code, elements, learned }) = set.opaque.as_ref().and_then(Opaque::code) {
        let stay = elements.iter().zip(learned).filter(|(_, learned)| !**learned).map(|(element, _)| element.clone());
        let whole = WholeSet { code: code.clone(), elements: stay.collect(), learned: Vec::new() };
        let opaque = set.opaque.as_ref().map(|opaque| Opaque::new(opaque.name(), None, whole));
        return learned.contains(&true).then(|| Set { opaque, ..set.clone() });
    }
    let learned = |element: &Element| {
        let extra = element.extra.as_deref();
        extra.and_then(|extra| extra.kept.code::<KeptElement>()).is_some_and(|kept| kept.learned)
    };
    let any = set.flags.contains(SetFlags::DYNAMIC) && set.elements.iter().any(learned);
    any.then(|| Set {
        elements: set.elements.iter().filter(|element| !learned(element)).cloned().collect(),
        ..set.clone()
    })
}

/// Returns the userdata of a table, chain, rule or element with this comment, given the userdata
/// that was read.
pub(crate) fn commented(comment: Option<&str>, read: &[u8]) -> Vec<u8> {
    if read.is_empty() && comment.is_none() || userdata_comment(read).as_deref() == comment {
        return read.to_vec();
    }
    let mut userdata = Vec::with_capacity(comment.map_or(0, |comment| comment.len() + 3) + read.len());
    if let Some(comment) = comment {
        tlv(&mut userdata, UDATA_ITEM_COMMENT, &[comment.as_bytes(), &[0]]);
    }
    userdata.extend(without(read, &[UDATA_ITEM_COMMENT]));
    userdata
}

/// Returns the comment in the userdata of a table, chain, rule or element.
pub(crate) fn userdata_comment(userdata: &[u8]) -> Option<String> {
    text(userdata, UDATA_ITEM_COMMENT)
}

/// Returns the userdata of a table or chain with this comment.
pub(crate) fn parts_userdata(comment: Option<&str>, kept: &Kept) -> Vec<u8> {
    commented(comment, kept.code::<KeptParts>().map_or(&[], |kept| &kept.userdata))
}

/// Returns the userdata of a rule.
pub(crate) fn rule_userdata(rule: &Rule) -> Vec<u8> {
    commented(rule.comment.as_deref(), rule.kept.code::<KeptRule>().map_or(&[], |kept| &kept.userdata))
}

/// Returns the program that was read, if the rule still has the statements it had then.
pub(super) fn kept_program(rule: &Rule) -> Option<&Vec<Expr>> {
    let kept = rule.kept.code::<KeptRule>()?;
    kept.exprs.as_ref().filter(|_| kept.statements == rule.statements)
}

/// Returns the kept parts of a set whose declaration has not changed since.
pub(super) fn kept_set(set: &Set) -> Option<&KeptSet> {
    set.kept.code::<KeptSet>().filter(|kept| kept.key == set.key && kept.data == set.data)
}

/// Returns the userdata of a set; `made` is what this crate would write.
pub(super) fn set_userdata(set: &Set, made: Vec<u8>) -> Vec<u8> {
    let Some(KeptSet { userdata: read, .. }) = kept_set(set) else { return made };
    let merges = set.flags.contains(SetFlags::AUTO_MERGE);
    if text(read, UDATA_COMMENT) == set.comment && is_set(read, UDATA_AUTO_MERGE) == merges {
        return read.clone();
    }
    let mut userdata = without(read, &[UDATA_AUTO_MERGE, UDATA_COMMENT]);
    if merges {
        tlv(&mut userdata, UDATA_AUTO_MERGE, &[&1_u32.to_ne_bytes()]);
    }
    if let Some(comment) = &set.comment {
        tlv(&mut userdata, UDATA_COMMENT, &[comment.as_bytes(), &[0]]);
    }
    userdata
}

/// Returns whether an entry of userdata is present and not 0.
pub(super) fn is_set(userdata: &[u8], kind: u8) -> bool {
    entry(userdata, kind).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
}

/// Returns the bytes of one entry of userdata.
pub(super) fn entry(userdata: &[u8], kind: u8) -> Option<&[u8]> {
    entries(userdata).find(|(found, ..)| *found == kind).map(|(_, bytes, _)| bytes)
}

/// Returns a text in userdata, without its NUL.
pub(crate) fn text(userdata: &[u8], kind: u8) -> Option<String> {
    let bytes = entry(userdata, kind)?;
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Returns the entries that are not of these kinds.
fn without(userdata: &[u8], kinds: &[u8]) -> Vec<u8> {
    entries(userdata).filter(|(kind, ..)| !kinds.contains(kind)).flat_map(|(.., whole)| whole).copied().collect()
}

/// Returns the type and bytes of every entry, and the entry as a whole; stops at one that is cut
/// short.
fn entries(userdata: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    let mut rest = userdata;
    std::iter::from_fn(move || {
        let [kind, length, tail @ ..] = rest else { return None };
        let (bytes, next) = tail.split_at_checked(usize::from(*length))?;
        let whole = rest.get(..2 + bytes.len())?;
        rest = next;
        Some((*kind, bytes, whole))
    })
}

/// `NFTNL_UDATA_RULE_COMMENT`, which has the same number for tables, chains and elements.
const UDATA_ITEM_COMMENT: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn userdata_is_kept_and_a_changed_comment_is_put_in_front() {
        let read = [9, 1, 7, 0, 2, b'a', 0];
        assert_eq!(commented(Some("a"), &read), read);
        assert_eq!(commented(Some("b"), &read), [0, 2, b'b', 0, 9, 1, 7]);
        assert_eq!(commented(None, &read), [9, 1, 7]);
        assert_eq!(commented(Some("a"), &[]), [0, 2, b'a', 0]);
        // Bytes that are not a list of entries have no comment and stay.
        assert_eq!(commented(None, &[1, 200, 3]), [1, 200, 3]);
    }
}
