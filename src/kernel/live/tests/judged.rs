//! Compares validation with the kernel, which receives rule sets that were not validated: it
//! accepts what is merely odd and refuses what validation refuses, or the reason is here.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use crate::fuzz;
use crate::model::Ruleset;
use crate::testing::in_namespace;
use crate::validate::tests::faulty;
use crate::validate::{Problem, Severity};

/// Returns why a rule set with this fault is refused although a kernel accepts it; `None` where
/// the kernel refuses it too.
fn reason(problem: &Problem) -> Option<&'static str> {
    match problem {
        Problem::AddressFamily { .. } => {
            Some("it does nothing: the translation is skipped for the packets that get there")
        }
        Problem::BadIfName { .. } => Some("its first 15 bytes would be compared, which may be those of another name"),
        Problem::BadPrefix { .. } => Some("another prefix would be sent than the one that is asked for"),
        Problem::BadTime { .. } => Some("the kernel takes 0 for no timeout, and cuts what is too long"),
        Problem::Duplicate => Some("the second would be merged into the first, or delete it"),
        Problem::EmptySet => Some("it matches nothing, and nothing can be added to it"),
        Problem::HookNotInFamily { .. } => Some("it would be another hook, whose number is the same"),
        Problem::KeyMismatch { .. } => Some("bytes of one kind would be compared with those of another"),
        Problem::Limit { .. } => Some("a burst of 0 packets never matches; the rest is refused"),
        Problem::Log { .. } => Some("what does not go together is ignored; some is refused"),
        Problem::NotOrderable { .. } => Some("the bytes are compared as a number that means nothing"),
        Problem::Object { .. } => Some("nft could not read it back, or another state's time would be set"),
        Problem::Operand { .. } => Some("something else would be compared than is asked for; some cannot be said"),
        Problem::RawExpr { .. } => Some("an expression that is cut, or a part of a rule, would be left out"),
        Problem::Reject { .. } => {
            Some("the answer is of a family or protocol that the packet has not, so that none is sent")
        }
        Problem::Reversed => Some("no value is in the range, or the kernel takes the ends for two others"),
        Problem::Tproxy { .. } => Some("nft could not read it back; without address and port it is refused"),
        Problem::KeyParts { .. }
        | Problem::AfterTerminal { .. }
        | Problem::AutoMerge { .. }
        | Problem::BadCharacter { .. }
        | Problem::BadName { .. }
        | Problem::ChainTypeAtHook { .. }
        | Problem::DataConflict { .. }
        | Problem::DataMissing { .. }
        | Problem::DataUnexpected { .. }
        | Problem::DeviceTwice { .. }
        | Problem::FieldNotInFamily { .. }
        | Problem::InterfaceUnknown { .. }
        | Problem::IntervalNotAllowed
        | Problem::JumpToBase { .. }
        | Problem::KeyWidth { .. }
        | Problem::Loop { .. }
        | Problem::NamelessType
        | Problem::Nat { .. }
        | Problem::NatPriority { .. }
        | Problem::NeedsTransport
        | Problem::NeverMatches { .. }
        | Problem::NoDevice
        | Problem::NotInFamily { .. }
        | Problem::NotThatMap { .. }
        | Problem::Overlap { .. }
        | Problem::ProtocolConflict { .. }
        | Problem::Queue { .. }
        | Problem::SetFlags { .. }
        | Problem::SizeTooSmall { .. }
        | Problem::TargetNotAllowed { .. }
        | Problem::TimeoutNotAllowed
        | Problem::TooDeep { .. }
        | Problem::TooLong { .. }
        | Problem::TooManyExpressions { .. }
        | Problem::UnknownChain { .. }
        | Problem::UnknownObject { .. }
        | Problem::TooManyBits { .. }
        | Problem::UnknownSet { .. }
        | Problem::Unread { .. }
        | Problem::ValueTooLarge { .. }
        | Problem::WrongType { .. } => None,
    }
}

/// What happens to a rule set without validation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    /// By the kernel, or because no message can express it.
    Refused(String),
    /// This kernel lacks something: an expression, or connection tracking of bridges (EPROTO).
    Unknown,
}

fn fate(kernel: &mut Kernel, ruleset: &Ruleset) -> Fate {
    let transaction = Transaction::replace(ruleset.clone());
    let ending = kernel.ending().expect("a kernel");
    let sent = match kernel.encode(Cow::Borrowed(&transaction), ending) {
        Err(error) => Err(error),
        Ok(prepared) => kernel.commit_prepared(&prepared),
    };
    let gone = kernel.tables().expect("a list").iter().fold(Transaction::new(), Transaction::delete_table);
    kernel.commit(&gone).expect("they were there");
    match sent {
        Ok(()) => Fate::Taken,
        Err(error) if ["needs CONFIG_", "EPROTO"].iter().any(|mark| error.to_string().contains(mark)) => Fate::Unknown,
        Err(error) => Fate::Refused(error.to_string()),
    }
}

/// Returns the name of a variant.
fn kind(problem: &Problem) -> String {
    let text = format!("{problem:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

#[test]
fn the_kernel_refuses_refused_faults_and_accepts_odd_ones() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let (mut wrong, mut seen) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<bool>>::new());
        for (ruleset, line) in faulty() {
            let invalid = ruleset.validate_strictly().expect_err(line);
            let problem = &invalid.faults().first().expect("one").problem;
            let (severity, fate) = (problem.severity(), fate(&mut kernel, &ruleset));
            let right = match (severity, &fate) {
                (_, Fate::Unknown) | (Severity::Odd, Fate::Taken) | (Severity::Refused, Fate::Refused(_)) => true,
                (Severity::Refused, Fate::Taken) => reason(problem).is_some(),
                (Severity::Odd, Fate::Refused(_)) => false,
            };
            if severity == Severity::Refused {
                seen.entry(kind(problem)).or_default().insert(reason(problem).is_some() && fate == Fate::Taken);
            }
            if !right {
                wrong.insert(line, (severity, fate));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Every reason belongs to a fault that the kernel accepts, and every refused fault was
        // tried.
        for (ruleset, line) in faulty() {
            let invalid = ruleset.validate_strictly().expect_err(line);
            let problem = &invalid.faults().first().expect("one").problem;
            if problem.severity() == Severity::Refused && reason(problem).is_some() {
                assert!(seen.get(&kind(problem)).is_some_and(|taken| taken.contains(&true)), "never taken: {line}");
            }
        }
        assert_eq!(seen.len(), 47, "all but what only reading finds: {seen:#?}");
    });
}

/// The number of rule sets generated from bytes; most have several faults.
const MADE: u64 = 300;

#[test]
fn validation_and_kernel_agree_on_generated_rule_sets_or_a_reason_is_listed() {
    in_namespace(|| {
        let mut kernel = Kernel::open().expect("a socket");
        let (mut state, mut counts) = (1_u64, [0; 3]);
        for _ in 0..MADE {
            let bytes = crate::testing::bytes(&mut state, 300);
            let Some(ruleset) = fuzz::ruleset(&bytes, Some(Severity::Refused)) else { continue };
            let odd = fuzz::ruleset(&bytes, Some(Severity::Odd));
            match (ruleset.validate(), fate(&mut kernel, &ruleset)) {
                (Ok(()), Fate::Taken) => counts[0] += 1,
                (Ok(()), Fate::Refused(why)) => panic!("{why}\nof\n{ruleset}"),
                (Err(invalid), Fate::Taken) => {
                    let unexplained = invalid.faults().iter().find(|fault| reason(&fault.problem).is_none());
                    assert!(unexplained.is_none(), "taken in spite of {}\nof\n{ruleset}", unexplained.expect("one"));
                    counts[1] += 1;
                }
                (Err(_), Fate::Refused(_)) => counts[2] += 1,
                (_, Fate::Unknown) => {}
            }
            if let Some(odd) = odd {
                if let Fate::Refused(why) = fate(&mut kernel, &odd) {
                    panic!("{why}\nof what is at most odd\n{odd}");
                }
            }
        }
        eprintln!("valid, refused with a reason, refused by the kernel too: {counts:?}");
    });
}
