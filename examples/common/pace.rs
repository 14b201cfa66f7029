//! When `guard` answers a change. It knows nothing of a clock: whoever asks says what time it is.
//!
//! What is always true: where capture may be missing, an answer is due at most [`LONGEST_GAP`]
//! after the change, whatever was before and whatever comes after.

use std::time::{Duration, Instant};

/// What a change may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Something more is there that no packet meets.
    Differs,
    /// Packets may go past the proxy.
    Missing,
}

/// How soon to answer.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    due: Option<Due>,
    last: Option<Instant>,
    answers: u32,
    /// How long the last answer took.
    took: Duration,
}

/// Something changed then, and is to be put back then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) since: Instant,
    pub(crate) at: Instant,
}

impl Pace {
    /// Something changed.
    pub(crate) fn changed(&mut self, now: Instant, harm: Harm) {
        let at = now + self.delay(now, harm);
        let due = self.due.get_or_insert(Due { since: now, at });
        due.at = due.at.min(at);
    }

    /// When the next answer is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.map(|due| due.at)
    }

    /// The answer that is due now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Due> {
        self.due.take_if(|due| now >= due.at)
    }

    /// An answer was given.
    pub(crate) fn answered(&mut self, begun: Instant, now: Instant) {
        (self.last, self.took) = (Some(now), now - begun);
        self.answers += 1;
    }

    /// It was without success.
    pub(crate) fn failed(&mut self, since: Instant, now: Instant) {
        self.due = Some(Due { since, at: now + LONGEST_GAP });
    }

    fn delay(&mut self, now: Instant, harm: Harm) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) >= PEACE) {
            (self.answers, self.took) = (0, Duration::ZERO);
        }
        match harm {
            // Who undoes faster than it is done would have all of both processors.
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

/// Between a change and its answer while capture is missing, at most.
pub(crate) const LONGEST_GAP: Duration = Duration::from_millis(50);
/// Time for what belongs together to come together.
pub(crate) const TOGETHER: Duration = Duration::from_millis(2);
/// So many answers are given soon before each waits twice as long as the one before.
pub(crate) const FREE_ANSWERS: u32 = 8;
pub(crate) const LONGEST: Duration = Duration::from_secs(4);
/// After so long without any answer, whoever insisted has gone.
pub(crate) const PEACE: Duration = Duration::from_secs(10);
