//! Programs and packets.

use super::situation::situation;
use super::source::Source;
use super::{print, rules};
use crate::attr::Messages;
use crate::model::{Generation, Hook};
use crate::netlink::Assembly;
use crate::sim::{Rules, walk_hook};

/// Any program on any packet comes to an end, and prints: the rule set that these bytes make,
/// and the one that they are as a dump.
pub fn walk(bytes: &[u8]) {
    let mut from = Source::new(bytes);
    let at = situation(&mut from);
    let made = rules::ruleset(&mut from);
    let mut assembly = Assembly::new(None);
    // What cannot be read is for another target.
    let _read = Messages::new(bytes).try_for_each(|message| assembly.read(&message?));
    let read = assembly.finish(Generation(0));
    for rules in [Rules::try_from(&made), Rules::try_from(&read)].into_iter().flatten() {
        for hook in Hook::ALL {
            let walk = walk_hook(&rules, hook, &at);
            print(&walk);
            print(&walk.short());
        }
    }
}
