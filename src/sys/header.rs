//! The part of a message before its attributes.

/// The header of a message of nf_tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    /// `NFT_MSG_*`.
    pub(crate) kind: u16,
    /// `NFPROTO_*`.
    pub(crate) family: u8,
    /// `NLM_F_*`, without `NLM_F_REQUEST`, which is always set.
    pub(crate) flags: u16,
    /// Sequence number.
    pub(crate) sequence: u32,
}
