//! Whether two rule sets do the same with every packet, or a packet with which they do not.
//!
//! ```text
//! a ──┐  hook by hook,   ┌──────────┐ box of packets that  ┌─────────┐ all the same: Equivalent
//!     ├─ family by family│ explorer │ take one way ──────> │ outcome │
//! b ──┘                  └──────────┘                      └─────────┘ else: witness ──> one packet ──> both walks: Differs
//! ```
//! A box of packets (`explorer`) runs through both rule sets on the machine that walks use, and is
//! split where a rule tells its packets apart; sets of values (`bdd`) are exact whatever rules
//! compare with: prefixes, masks, intervals, maps. So no packet is left out and nothing is sampled.
//! What is always true: `Equivalent` is about every packet that can be expressed here; `Differs`
//! was run on the machine once more, with one certain packet; all else is `CannotTell`.
//!
//! Hooks are compared one by one, each for whatever packet may come to it. Where one side switches
//! tracking or translation on, both are seen in such a namespace. Behind a translation that an
//! earlier packet was given, addresses and ports are open, the same on both sides.
//!
//! A packet here holds what rules load of it, and has no headers between that of IP and its
//! protocol's: IPv6 extension headers are not among all packets. What is excluded from tracking
//! before the first chain is so by these rules. Interface 1 is `lo` by name too, though it can be
//! renamed. Connections are those of conntrack's own hooks, not of `act_ct`, and a masqueraded one
//! leaves by the interface that it was masqueraded for: translation drops it elsewhere
//! (nf_nat_oif_changed).

mod answer;
mod at_hook;
mod bdd;
mod bits;
mod certain;
mod counterexample;
mod cut;
mod domains;
mod explorer;
mod members;
mod memory;
mod outcome;
mod parts;
mod program;
mod progress;
mod spans;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_in_parts;
mod usual;
mod witness;

pub use counterexample::Counterexample;
pub use progress::Progress;

use super::inputs::CannotTell;
use super::rules::Rules;
use crate::model::{Chain, ChainType, Family, Hook, IpFamily, Priority, Rule, Ruleset, Table};
use at_hook::{AtHook, Found};
use memory::{Memory, Remembering};

/// What a comparison found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Comparison {
    /// Something on the way of some packets is not known, and no difference was found besides.
    CannotTell(CannotTell),
    /// There is a packet with which they do not do the same.
    Differs(Box<Counterexample>),
    /// They do the same with every packet.
    Equivalent {
        /// Classes of packets that the rules of either side tell apart, over all hooks and both
        /// families.
        classes: usize,
        /// Classes that were left out, not counted above.
        outside: usize,
    },
}

/// Compares two rule sets over all packets: of IPv4 and IPv6, at each of the five hooks, whatever
/// packet may come there. Verdicts, translations, `tproxy`, marks, marks and zones of connections
/// and `notrack` count; counters, logs, comments and routes do not.
///
/// [`Comparison::Equivalent`] is a proof for every packet that a
/// [`Situation`](crate::sim::Situation) can express. [`Comparison::Differs`] has one packet, which was walked through both. All else is [`Comparison::CannotTell`]: a rule that is not known
/// here, what [`Rules::unknown`] names, or more classes of packets than [`Compare::at_most`]. Every
/// answer prints; all but a difference in one line.
///
/// A rule that remembers earlier packets (a rate, a quota, `numgen inc`, `ct count`, a set that
/// rules fill) is the same on both sides where the same packets come to it on both. The seed that
/// the kernel draws for a `jhash` without one counts as such a memory; with one, the same words
/// give the same number. What is drawn for each packet (`numgen random`, `meta random`) is the same
/// by its chances.
///
/// Not among these packets are those that end within what a rule loads, those with IPv6 extension
/// headers, those that `act_ct` of tc tracked, and those of a masqueraded connection that would
/// leave by another interface than before: translation drops them. What a later fragment holds is
/// taken for a header, as Linux 6.18 does.
///
/// ```
/// use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
/// use nftmesh::sim::{Comparison, Rules, compare};
///
/// let rules = |rules: Vec<Rule>| {
///     let output = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER).rules(rules);
///     Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "t").chain(output)))
/// };
/// let two = rules(vec![Rule::new().tcp_dport(22).drop(), Rule::new().tcp_dport(23).drop()])?;
/// let one = rules(vec![Rule::new().tcp_dport(22..=23).drop()])?;
/// let none = rules(vec![])?;
/// assert!(matches!(compare(&two, &one), Comparison::Equivalent { .. }));
/// let Comparison::Differs(packet) = compare(&one, &none) else { panic!("port 22 is open") };
/// assert!(packet.to_string().starts_with("at output, tcp 10.77.0.2:40000 -> 10.77.0.1:22"));
/// # Ok::<(), nftmesh::Error>(())
/// ```
#[must_use]
pub fn compare(a: &Rules, b: &Rules) -> Comparison {
    Compare::new(a, b).run()
}

/// A comparison with options.
#[derive(Clone, Debug)]
pub struct Compare<'a> {
    a: &'a Rules,
    b: &'a Rules,
    outside: Vec<(Option<Hook>, Rule)>,
    most: usize,
    few: usize,
    watch: progress::Callback<'a>,
}

impl<'a> Compare<'a> {
    /// Of these two, over all packets.
    #[must_use]
    pub fn new(a: &'a Rules, b: &'a Rules) -> Self {
        Compare { a, b, outside: Vec::new(), most: 2_000_000, few: FEW, watch: progress::Callback::default() }
    }

    /// Leaves out packets for which everything that this rule asks holds, at every hook. They may
    /// differ.
    #[must_use]
    pub fn outside(mut self, rule: Rule) -> Self {
        self.outside.push((None, rule));
        self
    }

    /// The same at one hook only.
    #[must_use]
    pub fn outside_at(mut self, hook: Hook, rule: Rule) -> Self {
        self.outside.push((Some(hook), rule));
        self
    }

    /// Gives up behind so many classes; two million if it is not said.
    #[must_use]
    pub fn at_most(mut self, classes: usize) -> Self {
        self.most = classes;
        self
    }

    /// Tells `watch` how far it is, with every class of packets: up to millions of times, so that
    /// it had better be quick.
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// use nftmesh::model::{Chain, ChainType, Family, Hook, Priority, Rule, Ruleset, Table};
    /// use nftmesh::sim::{Compare, Rules};
    ///
    /// let output = Chain::base("output", ChainType::Filter, Hook::Output, Priority::FILTER);
    /// let table = Table::new(Family::Ip, "t").chain(output.rule(Rule::new().tcp_dport(22).drop()));
    /// let rules = Rules::try_from(&Ruleset::new().table(table))?;
    /// let last = Cell::new(None);
    /// Compare::new(&rules, &rules).watched_by(&|progress| last.set(Some(*progress))).run();
    /// let last = last.get().expect("there are packets");
    /// assert_eq!(last.to_string(), "at output, IPv4: 3 classes of packets");
    /// # Ok::<(), nftmesh::Error>(())
    /// ```
    #[must_use]
    pub fn watched_by(mut self, watch: &'a dyn Fn(&Progress)) -> Self {
        self.watch = progress::Callback(Some(watch));
        self
    }

    /// Cuts packets into parts where there are more rules than this in a chain, or elements in a
    /// map.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub(crate) fn cut_above(mut self, few: usize) -> Self {
        self.few = few;
        self
    }

    /// Compares.
    #[must_use]
    pub fn run(self) -> Comparison {
        let outside = match self.outside.iter().map(|(hook, rule)| left_out(*hook, rule)).collect::<Result<Vec<_>, _>>()
        {
            Ok(outside) => outside,
            Err(reason) => return Comparison::CannotTell(reason),
        };
        let unknown = self.a.unknown().iter().chain(self.b.unknown()).next();
        let mut doubt = unknown.map(CannotTell::new);
        let (mut classes, mut left_out) = (0, 0);
        let mut remembered = Memory::default();
        let (a, b) = (self.a.beside(self.b), self.b.beside(self.a));
        // What is excluded from tracking on its way out comes in untracked, so that way is first.
        let hooks = [Hook::Output, Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Postrouting];
        for family in [IpFamily::Ipv4, IpFamily::Ipv6] {
            let mut excludes = false;
            for hook in hooks {
                if a.is_idle(hook, family) && b.is_idle(hook, family) {
                    continue;
                }
                let most = self.most.saturating_sub(classes + left_out);
                let (of, outside) = (&self, outside.as_slice());
                let remembering = &[&a, &b].map(|rules| Remembering::of(rules, hook, family));
                let whole = [&a, &b];
                let at_hook = AtHook { of, a: &a, b: &b, whole, hook, family, outside, most, excludes, remembering };
                match at_hook.explore() {
                    Found::Differs(example) => return Comparison::Differs(example),
                    Found::Same { classes: here, outside, excludes: now, memory, doubt: unsure } => {
                        classes += here;
                        left_out += outside;
                        excludes |= hook == Hook::Output && now;
                        let late = || late_zone(&[&a, &b], hook, family);
                        if self.a.is_same_program(self.b, hook, family) {
                            remembered.pair(&a, &b, hook, family);
                        } else {
                            remembered.add(*memory);
                            doubt = doubt.or_else(|| unsure.or_else(late));
                        }
                    }
                }
            }
        }
        match doubt.or_else(|| remembered.doubt()) {
            Some(reason) => Comparison::CannotTell(reason),
            None => Comparison::Equivalent { classes, outside: left_out },
        }
    }
}

/// So many rules in a chain are run one after the other.
const FEW: usize = 64;

/// Behind the first hooks, a packet whose zone came too late is like no other.
fn late_zone(sides: &[&Rules], hook: Hook, family: IpFamily) -> Option<CannotTell> {
    let is_first = matches!(hook, Hook::Prerouting | Hook::Output);
    let gives = !is_first && sides.iter().any(|rules| rules.gives_late_zones(family));
    gives.then(|| {
        let what = "what rules find of a packet that got its zone behind connection tracking";
        CannotTell::new(format!("at {}: {what}", hook.name()))
    })
}

/// Packets that do not count, at one hook or at all.
type LeftOut = (Option<Hook>, Rules);

/// A rule as a program of its own.
fn left_out(hook: Option<Hook>, rule: &Rule) -> Result<LeftOut, CannotTell> {
    let chain = Chain::base("outside", ChainType::Filter, Hook::Forward, Priority::FILTER).rule(rule.clone());
    let rules = Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "outside").chain(chain)));
    rules.map(|rules| (hook, rules)).map_err(|error| CannotTell::new(format!("what is to be left out: {error}")))
}
