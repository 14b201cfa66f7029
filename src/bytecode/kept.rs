//! What was read beside the parts of an item that have a name in the model: userdata, attributes
//! that newer kernels add, the program itself where it is another spelling of the same. It is kept
//! in the item and goes with it when that is sent, byte for byte.
//!
//! Userdata is a list of entries (type, length, bytes; libnftnl's udata format). What the model
//! says of it, a comment, is taken from the model; what was read stays for as long as the model
//! says the same.

use super::elements::ElementCode;
use super::expr::Expr;
use super::set::{SetCode, UDATA_AUTO_MERGE, UDATA_COMMENT, tlv};
use crate::model::{DataType, Element, Kept, Opaque, Rule, Set, SetData, SetFlags, Statement};

/// Of a table or chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptParts {
    /// All of it.
    pub(crate) userdata: Vec<u8>,
    /// Attributes without a meaning here.
    pub(crate) attributes: Vec<u8>,
    /// Flags without a name here.
    pub(crate) flags: u32,
    /// Of a chain: how many of its rules could not be read.
    pub(crate) unlisted: u32,
}

impl KeptParts {
    /// What of a table or chain is not said by this comment.
    pub(crate) fn new(userdata: &[u8], comment: Option<&str>, attributes: &[u8], flags: u32) -> Self {
        let userdata = if commented(comment, &[]) == userdata { Vec::new() } else { userdata.to_vec() };
        KeptParts { userdata, attributes: attributes.to_vec(), flags, unlisted: 0 }
    }
}

/// Of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptRule {
    /// What was read as `exprs`; they count for as long as the rule still says the same.
    pub(crate) statements: Vec<Statement>,
    /// The program, where lowering makes another one.
    pub(crate) exprs: Option<Vec<Expr>>,
    /// All of it.
    pub(crate) userdata: Vec<u8>,
    /// Attributes without a meaning here.
    pub(crate) attributes: Vec<u8>,
}

/// Of a set whose declaration has a form in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptSet {
    /// The key that `userdata` is about.
    pub(crate) key: Vec<DataType>,
    /// The data that `userdata` is about.
    pub(crate) data: SetData,
    /// All of it.
    pub(crate) userdata: Vec<u8>,
    /// Attributes without a meaning here.
    pub(crate) attributes: Vec<u8>,
}

/// Of an element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptElement {
    /// All of it.
    pub(crate) userdata: Vec<u8>,
    /// Whether packets put it there, and time takes it away.
    pub(crate) learned: bool,
}

/// A set that has no form in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WholeSet {
    /// How it is declared.
    pub(crate) code: SetCode,
    /// Its elements.
    pub(crate) elements: Vec<ElementCode>,
    /// For every element whether packets put it there, and time takes it away; empty when none is
    /// so.
    pub(crate) learned: Vec<bool>,
}

/// The set without what rules added to it when it was read; `None` when that is the set itself.
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

/// The userdata of a table, chain, rule or element with this comment, where this was read.
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

/// The comment in the userdata of a table, chain, rule or element.
pub(crate) fn userdata_comment(userdata: &[u8]) -> Option<String> {
    text(userdata, UDATA_ITEM_COMMENT)
}

/// The userdata of a table or chain with this comment.
pub(crate) fn parts_userdata(comment: Option<&str>, kept: &Kept) -> Vec<u8> {
    commented(comment, kept.code::<KeptParts>().map_or(&[], |kept| &kept.userdata))
}

/// The userdata of a rule.
pub(crate) fn rule_userdata(rule: &Rule) -> Vec<u8> {
    commented(rule.comment.as_deref(), rule.kept.code::<KeptRule>().map_or(&[], |kept| &kept.userdata))
}

/// The program that was read, when the rule still says what it said then.
pub(super) fn kept_program(rule: &Rule) -> Option<&Vec<Expr>> {
    let kept = rule.kept.code::<KeptRule>()?;
    kept.exprs.as_ref().filter(|_| kept.statements == rule.statements)
}

/// What was read of a set that is still declared so.
pub(super) fn kept_set(set: &Set) -> Option<&KeptSet> {
    set.kept.code::<KeptSet>().filter(|kept| kept.key == set.key && kept.data == set.data)
}

/// The userdata of a set, where `made` is what this crate would write.
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

/// Whether an entry of userdata is there and not 0.
pub(super) fn is_set(userdata: &[u8], kind: u8) -> bool {
    entry(userdata, kind).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
}

/// The bytes of one entry of userdata.
pub(super) fn entry(userdata: &[u8], kind: u8) -> Option<&[u8]> {
    entries(userdata).find(|(found, ..)| *found == kind).map(|(_, bytes, _)| bytes)
}

/// A text in userdata, without its NUL.
pub(crate) fn text(userdata: &[u8], kind: u8) -> Option<String> {
    let bytes = entry(userdata, kind)?;
    let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Entries other than these.
fn without(userdata: &[u8], kinds: &[u8]) -> Vec<u8> {
    entries(userdata).filter(|(kind, ..)| !kinds.contains(kind)).flat_map(|(.., whole)| whole).copied().collect()
}

/// Type, bytes, and both with the length between them; ends where one is cut short.
fn entries(userdata: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    let mut rest = userdata;
    std::iter::from_fn(move || {
        let [kind, length, behind @ ..] = rest else { return None };
        let (bytes, next) = behind.split_at_checked(usize::from(*length))?;
        let whole = rest.get(..2 + bytes.len())?;
        rest = next;
        Some((*kind, bytes, whole))
    })
}

/// `NFTNL_UDATA_RULE_COMMENT`, and the same for tables, chains and elements.
const UDATA_ITEM_COMMENT: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_stays_and_a_new_comment_is_put_in_front() {
        let read = [9, 1, 7, 0, 2, b'a', 0];
        assert_eq!(commented(Some("a"), &read), read);
        assert_eq!(commented(Some("b"), &read), [0, 2, b'b', 0, 9, 1, 7]);
        assert_eq!(commented(None, &read), [9, 1, 7]);
        assert_eq!(commented(Some("a"), &[]), [0, 2, b'a', 0]);
        // What is no list of entries says nothing and stays.
        assert_eq!(commented(None, &[1, 200, 3]), [1, 200, 3]);
    }
}
