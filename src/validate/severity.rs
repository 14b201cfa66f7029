//! Two classes of faults: what cannot work, and what the kernel takes although it is odd.
//!
//! The kernel decides what is odd: `tests/severity.rs` commits an example of each. What cannot be
//! encoded, or would mean something else than it says, cannot work. A lookup in a set of another
//! type is refused although the kernel takes it: it compares bytes that are not of one kind. A
//! problem that comes in both kinds (log, limit, reject) is refused.

use super::problem::Problem;

/// What becomes of a rule set with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "it is sent or not")]
pub enum Severity {
    /// It is sent: the kernel takes it, though it may never match, or nft(8) could not read it
    /// back.
    Odd,
    /// It is not sent: the kernel would refuse it, or do something else than it says.
    Refused,
}

impl Problem {
    /// Whether it can be sent.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let odd = match self {
            Problem::AfterTerminal { .. }
            | Problem::AutoMerge { .. }
            | Problem::FieldNotInFamily { .. }
            | Problem::InterfaceUnknown { .. }
            | Problem::NamelessType
            | Problem::NeedsTransport
            | Problem::NeverMatches { .. }
            | Problem::ProtocolConflict { .. } => true,
            // Only a comment has a length of its own.
            Problem::BadCharacter { text, character } => *text == "comment" || *character != '\0',
            Problem::BadIfName { name, .. } => name.compared().len() < IFNAMSIZ,
            Problem::BadName { name, .. } => name.as_str().len() <= NAME && !name.as_str().contains('\0'),
            Problem::TooLong { text, bytes, .. } => *text == "comment" && *bytes <= COMMENT,
            Problem::AddressFamily { .. }
            | Problem::BadPrefix { .. }
            | Problem::BadTime { .. }
            | Problem::ChainTypeAtHook { .. }
            | Problem::DataConflict { .. }
            | Problem::DataMissing { .. }
            | Problem::DataUnexpected { .. }
            | Problem::Duplicate
            | Problem::EmptySet
            | Problem::FamilyWithoutChains { .. }
            | Problem::IntervalNotAllowed
            | Problem::JumpToBase { .. }
            | Problem::KeyMismatch { .. }
            | Problem::KeyParts { .. }
            | Problem::KeyWidth { .. }
            | Problem::Limit { .. }
            | Problem::Log { .. }
            | Problem::Loop { .. }
            | Problem::Nat { .. }
            | Problem::NatPriority { .. }
            | Problem::NotInFamily { .. }
            | Problem::NotOrderable { .. }
            | Problem::NotThatMap { .. }
            | Problem::Operand { .. }
            | Problem::Overlap { .. }
            | Problem::Queue { .. }
            | Problem::Reject { .. }
            | Problem::Reversed
            | Problem::SetFlags { .. }
            | Problem::SizeTooSmall { .. }
            | Problem::TargetNotAllowed { .. }
            | Problem::TimeoutNotAllowed
            | Problem::TooDeep { .. }
            | Problem::TooManyExpressions { .. }
            | Problem::Tproxy { .. }
            | Problem::UnknownChain { .. }
            | Problem::UnknownSet { .. }
            | Problem::Unread { .. }
            | Problem::ValueTooLarge { .. }
            | Problem::WrongType { .. } => false,
        };
        if odd { Severity::Odd } else { Severity::Refused }
    }
}

/// Room for the name of an interface, with its NUL: `IFNAMSIZ`, include/uapi/linux/if.h.
const IFNAMSIZ: usize = 16;
/// Longest name: `NFT_NAME_MAXLEN` - 1, include/uapi/linux/netfilter/nf_tables.h.
const NAME: usize = 255;
/// Longest comment that has a place in userdata, whose entries are at most 255 bytes with a NUL and
/// a header of 2 in 256.
const COMMENT: usize = 253;
