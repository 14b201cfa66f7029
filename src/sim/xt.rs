//! Extensions of xtables that nf_tables has no expression for, as iptables-nft(8) puts them into the kernel.

/// An xtables match that can be walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XtMatch {
    /// A comment: always matches.
    Comment,
    Owner(XtOwner),
}

/// `struct xt_owner_match_info`, include/uapi/linux/netfilter/xt_owner.h. Unlike `meta skuid`, it can match packets without a socket: it does
/// when every condition is negated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XtOwner {
    pub(crate) uids: (u32, u32),
    pub(crate) gids: (u32, u32),
    /// Which conditions there are, `UID`, `GID` and `SOCKET`.
    pub(crate) conditions: u8,
    /// Which of them are negated.
    pub(crate) negated: u8,
}

impl XtOwner {
    pub(crate) const UID: u8 = 1;
    pub(crate) const GID: u8 = 2;
    pub(crate) const SOCKET: u8 = 4;
}

impl XtMatch {
    /// From the name and the attributes of an expression; `None` when it is another.
    pub(crate) fn read(expr: &str, attributes: &[u8]) -> Option<XtMatch> {
        if expr != "match" {
            return None;
        }
        let name = attribute(attributes, NFTA_MATCH_NAME)?;
        let revision = attribute(attributes, NFTA_MATCH_REV)?;
        let info = attribute(attributes, NFTA_MATCH_INFO)?;
        match (name.strip_suffix(&[0]).unwrap_or(name), revision) {
            (b"comment", _) => Some(XtMatch::Comment),
            (b"owner", [0, 0, 0, 1]) => {
                let number = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
                let (conditions, negated) = (*info.get(16)?, *info.get(17)?);
                // Supplementary groups are not in the packet's model.
                (conditions & !7 == 0).then_some(XtMatch::Owner(XtOwner {
                    uids: (number(0)?, number(4)?),
                    gids: (number(8)?, number(12)?),
                    conditions,
                    negated,
                }))
            }
            _ => None,
        }
    }
}

/// The name of the extension that an expression of iptables-nft runs.
pub(crate) fn extension(expr: &str, attributes: &[u8]) -> Option<String> {
    // Matches and targets number their attributes alike.
    let name = attribute(attributes, NFTA_MATCH_NAME).filter(|_| matches!(expr, "match" | "target"))?;
    Some(String::from_utf8_lossy(name).trim_end_matches('\0').to_owned())
}

/// The value of an attribute.
fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let (header, rest) = bytes.split_at_checked(4)?;
        let (length, found) = header.split_at_checked(2)?;
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?)).checked_sub(4)?;
        let value = rest.get(..length)?;
        // The upper bits say that it is nested or in network order.
        if u16::from_ne_bytes(found.try_into().ok()?) & 0x3fff == kind {
            return Some(value);
        }
        bytes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_MATCH_NAME: u16 = 1;
const NFTA_MATCH_REV: u16 = 2;
const NFTA_MATCH_INFO: u16 = 3;
