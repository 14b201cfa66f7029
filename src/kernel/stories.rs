//! Traces as text: what a walk would print, of live packets.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use super::netns::NetNs;
use super::trace::Trace;
use super::trace_filter::TraceFilter;
use super::trace_steps::{TraceSteps, TracedSteps};
use crate::error::Result;
use crate::sim::{Step, Story};
use crate::state::TraceEvent;

/// What live packets do, step by step, in the words of a [walk](crate::sim::Walk).
///
/// As an iterator it waits for the next step of any packet and never ends; packets that are under
/// way at the same time take turns. To wait for other events too, or no longer than some time, wait
/// until the descriptor is readable, as for a [`Trace`], and then call
/// [`try_next`](Self::try_next) until it returns `None`. `Trace` and [`TraceSteps`] are what it is
/// made of.
///
/// The kernel reports what rules do and not what becomes of a packet afterwards: the story of a
/// packet that no rule drops ends with its last rule.
#[derive(Debug)]
pub struct Stories {
    trace: Trace,
    steps: TraceSteps,
    /// By the kernel's number of the packet.
    stories: HashMap<u32, Story>,
}

impl NetNs {
    /// Traces packets and tells what they do.
    ///
    /// # Errors
    /// Those of [`Trace::open`], and when the rules can't be read.
    ///
    /// ```no_run
    /// use nftmesh::prelude::*;
    ///
    /// let filter = TraceFilter::from(Rule::new().tcp_dport(15001));
    /// for step in NetNs::current()?.stories(filter)? {
    ///     print!("{}", step?);
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn stories(&self, filter: TraceFilter) -> Result<Stories> {
        let (trace, steps) = (self.trace(filter)?, self.trace_steps()?);
        Ok(Stories { trace, steps, stories: HashMap::new() })
    }
}

impl Stories {
    /// Returns what happened next, if it is there already: one line or more.
    ///
    /// # Errors
    /// When the socket cannot be read, or rules or interfaces have to be read again and cannot be.
    pub fn try_next(&mut self) -> Result<Option<String>> {
        match self.trace.try_next()? {
            Some(event) => self.tell(&event).map(Some),
            None => Ok(None),
        }
    }

    fn tell(&mut self, event: &TraceEvent) -> Result<String> {
        let TraceEvent::Message(message) = event else { return Ok(format!("{event}\n")) };
        let TracedSteps { begins, steps, end, unknown } = self.steps.take(message)?;
        let mut text = String::new();
        // Through lo, a packet comes in with another number.
        let comes_in = steps.iter().find_map(|step| match step {
            Step::Hook { packet, .. } => Some(packet.clone()),
            _ => None,
        });
        let first = begins.clone().or_else(|| comes_in.filter(|_| !self.stories.contains_key(&message.id)));
        if let Some(packet) = begins {
            text.push_str(&format!("{packet}\n"));
        }
        if let Some(packet) = first {
            if self.stories.len() >= MOST {
                self.stories.clear();
            }
            self.stories.insert(message.id, Story::new(packet));
        }
        if let Some(story) = self.stories.get_mut(&message.id) {
            steps.iter().for_each(|step| text.push_str(&story.tell(step)));
        }
        if let Some(unknown) = unknown {
            text.push_str(&format!("{unknown}\n"));
        }
        if let Some(end) = end {
            text.push_str(&format!("{end}\n"));
            self.stories.remove(&message.id);
        }
        Ok(text)
    }
}

impl Iterator for Stories {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = self.trace.next()?;
        Some(event.and_then(|event| self.tell(&event)))
    }
}

impl AsFd for Stories {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.trace.as_fd()
    }
}

impl AsRawFd for Stories {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Packets whose end has not come; of more, those before are forgotten.
const MOST: usize = 4096;
