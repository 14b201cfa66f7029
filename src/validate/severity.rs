//! Two classes of faults: those that cannot work, and those that the kernel accepts although they
//! are odd.
//!
//! The kernel decides what is odd: `tests/severity.rs` commits an example of each. A rule set that
//! cannot be encoded, or would have another effect than it states, cannot work. A lookup in a set
//! of another type is refused although the kernel accepts it, because it compares bytes of
//! different types. A problem that comes in both kinds (log, limit, reject) is refused.

use super::problem::Problem;

/// What happens to a rule set with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "it is sent or not")]
pub enum Severity {
    /// It is sent: the kernel accepts it, though it may never match, or nft(8) could not read it
    /// back.
    Odd,
    /// It is not sent: the kernel would refuse it, or it would have another effect than it states.
    Refused,
}

impl Problem {
    /// Returns whether a rule set with this problem is sent.
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
            | Problem::NoDevice
            | Problem::ProtocolConflict { .. } => true,
            // Only a comment is stored with its length, so only a comment can contain a NUL.
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
            | Problem::DeviceTwice { .. }
            | Problem::Duplicate
            | Problem::EmptySet
            | Problem::HookNotInFamily { .. }
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
            | Problem::Object { .. }
            | Problem::Operand { .. }
            | Problem::Overlap { .. }
            | Problem::Queue { .. }
            | Problem::RawExpr { .. }
            | Problem::Reject { .. }
            | Problem::Reversed
            | Problem::SetFlags { .. }
            | Problem::SizeTooSmall { .. }
            | Problem::TargetNotAllowed { .. }
            | Problem::TimeoutNotAllowed
            | Problem::TooDeep { .. }
            | Problem::TooManyExpressions { .. }
            | Problem::Tproxy { .. }
            | Problem::TooManyBits { .. }
            | Problem::UnknownChain { .. }
            | Problem::UnknownObject { .. }
            | Problem::UnknownSet { .. }
            | Problem::Unread { .. }
            | Problem::ValueTooLarge { .. }
            | Problem::WrongType { .. } => false,
        };
        if odd { Severity::Odd } else { Severity::Refused }
    }
}

/// The size of an interface name with its NUL: `IFNAMSIZ`, include/uapi/linux/if.h.
const IFNAMSIZ: usize = 16;
/// Longest name: `NFT_NAME_MAXLEN` - 1, include/uapi/linux/netfilter/nf_tables.h.
const NAME: usize = 255;
/// Longest comment that fits in userdata: 256 bytes for an entry with a header of 2 and a NUL.
const COMMENT: usize = 253;
