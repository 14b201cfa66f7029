//! The progress of a comparison, for programs that show it while it runs.

use std::fmt;

use crate::model::{Hook, IpFamily};

/// The progress of a comparison; see [`Compare::watched_by`](super::Compare::watched_by). Prints as
/// a few words.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The current hook. [`Output`](Hook::Output) comes first; hooks without rules are skipped.
    pub hook: Hook,
    /// The family of the packets; IPv4 comes first, with all hooks.
    pub family: IpFamily,
    /// The number of classes of packets explored at this hook.
    pub classes: usize,
    /// The share of this hook that is done, from 0 to 1, by the number of rules; `None` if it
    /// cannot be predicted.
    pub share: Option<f64>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { hook, family, classes, share } = self;
        let family = match family {
            IpFamily::Ipv4 => "IPv4",
            IpFamily::Ipv6 => "IPv6",
        };
        write!(f, "at {}, {family}: ", hook.name())?;
        if let Some(share) = share {
            write!(f, "{:.0} %, ", (100.0 * share).floor())?;
        }
        write!(f, "{classes} {} of packets", if *classes == 1 { "class" } else { "classes" })
    }
}

/// The function that progress is reported to.
#[derive(Clone, Copy, Default)]
pub(super) struct Callback<'a>(pub(super) Option<&'a dyn Fn(&Progress)>);

impl Callback<'_> {
    pub(super) fn tell(&self, progress: &Progress) {
        if let Some(watch) = self.0 {
            watch(progress);
        }
    }
}

impl fmt::Debug for Callback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "watched" } else { "unwatched" })
    }
}
