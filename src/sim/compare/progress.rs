//! How far a comparison is, for programs that say so while it runs.

use std::fmt;

use crate::model::{Hook, IpFamily};

/// How far a comparison is: see [`Compare::watched_by`](super::Compare::watched_by). Prints as a
/// few words.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The hook that is looked at. [`Output`](Hook::Output) comes first; hooks without rules are
    /// passed over.
    pub hook: Hook,
    /// The family of the packets; IPv4 comes first, with all hooks.
    pub family: IpFamily,
    /// Classes of packets that were looked at there.
    pub classes: usize,
    /// How much of what there is at this hook is done, from 0 to 1, by the number of rules; `None`
    /// where it cannot be foreseen.
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

/// Who is told of it.
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
