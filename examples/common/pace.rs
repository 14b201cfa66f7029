//! Decides when `guard` answers a change. It reads no clock: the caller passes the time.
//!
//! Where capture may be missing, an answer is always due at most [`LONGEST_GAP`] after the change,
//! whatever came before or after.

use std::time::{Duration, Instant};

/// The possible effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Something was added that no packet meets.
    Differs,
    /// Packets may bypass the proxy.
    Missing,
}

/// The delay of answers.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: Option<Due>,
    last: Option<Instant>,
    answers: u32,
    /// How long the last answer took.
    took: Duration,
}

/// The time of a change, and the time when it is to be reverted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) since: Instant,
    pub(crate) at: Instant,
}

impl Pace {
    /// Records a change.
    pub(crate) fn changed(&mut self, now: Instant, harm: Harm) {
        let at = now + self.delay(now, harm);
        let due = self.due.get_or_insert(Due { since: now, at });
        due.at = due.at.min(at);
    }

    /// Returns when the next answer is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.map(|due| due.at)
    }

    /// Takes the answer that is due now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Due> {
        self.due.take_if(|due| now >= due.at)
    }

    /// Records an answer.
    pub(crate) fn answered(&mut self, begun: Instant, now: Instant) {
        (self.last, self.took) = (Some(now), now - begun);
        self.answers += 1;
    }

    /// Records a failed answer.
    pub(crate) fn failed(&mut self, since: Instant, now: Instant) {
        self.due = Some(Due { since, at: now + LONGEST_GAP });
    }

    fn delay(&mut self, now: Instant, harm: Harm) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) >= PEACE) {
            (self.answers, self.took) = (0, Duration::ZERO);
        }
        match harm {
            // A program that reverts the answer faster than it is made would otherwise occupy two
            // processors.
            Harm::Missing if self.last.is_some_and(|last| now.duration_since(last) < self.took) => {
                self.took.min(LONGEST_GAP)
            }
            Harm::Missing => Duration::ZERO,
            Harm::Differs => {
                let doublings = self.answers.saturating_sub(FREE_ANSWERS).min(16);
                (TOGETHER * 2_u32.pow(doublings)).min(LONGEST)
            }
        }
    }
}

/// The longest time between a change and its answer while capture is missing.
pub(crate) const LONGEST_GAP: Duration = Duration::from_millis(50);
/// The time in which related changes arrive.
pub(crate) const TOGETHER: Duration = Duration::from_millis(2);
/// This many answers are immediate; after that each waits twice as long as the one before.
pub(crate) const FREE_ANSWERS: u32 = 8;
pub(crate) const LONGEST: Duration = Duration::from_secs(4);
/// After this time without any answer, the conflict is over.
pub(crate) const PEACE: Duration = Duration::from_secs(10);
