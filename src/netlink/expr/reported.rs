//! Attributes of expressions that the kernel reports in a dump but refuses in a request.
//!
//! An opaque expression is sent back as it came, without these. Each is omitted only when its
//! value is zero, which stands for a value that was not given.

use crate::attr::nfta::{
    NFTA_DYNSET_TIMEOUT, NFTA_EXTHDR_DREG, NFTA_EXTHDR_FLAGS, NFTA_EXTHDR_LEN, NFTA_EXTHDR_OFFSET, NFTA_EXTHDR_SREG,
    NFTA_OSF_FLAGS,
};
use crate::attr::{Attribute, Attributes};

/// Returns whether an attribute of the expression of this name, among these, is only ever
/// reported.
pub(super) fn only_reported(name: &str, all: &Attributes<'_>, attribute: &Attribute<'_>) -> bool {
    let is_nothing = attribute.value.iter().all(|byte| *byte == 0);
    let has = |kind| all.clone().find(kind).is_some();
    is_nothing
        && match (name, attribute.kind) {
            // A set without timeouts accepts none (nft_dynset_init, net/netfilter/nft_dynset.c,
            // v6.18).
            ("dynset", NFTA_DYNSET_TIMEOUT) => true,
            // A written option has no flags (nft_exthdr_tcp_set_init, net/netfilter/nft_exthdr.c),
            // and a removed one has no offset or length either (nft_exthdr_tcp_strip_init).
            ("exthdr", NFTA_EXTHDR_FLAGS) => !has(NFTA_EXTHDR_DREG),
            ("exthdr", NFTA_EXTHDR_OFFSET | NFTA_EXTHDR_LEN) => !has(NFTA_EXTHDR_DREG) && !has(NFTA_EXTHDR_SREG),
            // Flags are those of a version or absent (nft_osf_init, net/netfilter/nft_osf.c).
            ("osf", NFTA_OSF_FLAGS) => true,
            _ => false,
        }
}

// include/uapi/linux/netfilter/nf_tables.h
