//! The comment of a rule, as nft(8) keeps it in the rule's userdata: type 0, length with the NUL, text, NUL.

/// The userdata of a rule with this comment, which has at most 253 bytes.
pub(crate) fn rule_userdata(comment: &str) -> Vec<u8> {
    let length = u8::try_from(comment.len() + 1).unwrap_or(u8::MAX);
    [&[0, length], comment.as_bytes(), &[0]].concat()
}

/// Whether the userdata of a rule is this comment and nothing else.
pub(crate) fn is_comment(userdata: &[u8], comment: Option<&str>) -> bool {
    match comment {
        None => userdata.is_empty(),
        Some(comment) => userdata == rule_userdata(comment),
    }
}
