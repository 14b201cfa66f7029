//! Decides whether two rule sets do the same with every packet, or finds a packet that they treat
//! differently.
//!
//! ```text
//! a ──┐  hook by hook,   ┌──────────┐ box of packets that  ┌─────────┐ all the same: Equivalent
//!     ├─ family by family│ explorer │ take one way ──────> │ outcome │
//! b ──┘                  └──────────┘                      └─────────┘ else: witness ──> one packet ──> both walks: Differs
//! ```
//! A box of packets (`explorer`) runs through both rule sets on the machine that walks use, and is
//! split where a rule distinguishes its packets. Sets of values (`bdd`) are exact for everything
//! that rules compare with: prefixes, masks, intervals, maps. So no packet is left out and nothing
//! is sampled. What is always true: `Equivalent` covers every packet that can be expressed here;
//! `Differs` was confirmed by another run on the machine, with one fully known packet; every other
//! case is `CannotTell`.
//!
//! Hooks are compared one by one, each for any packet that may reach it. If one side enables
//! tracking or translation, both are compared in a namespace that has it. After a translation that
//! an earlier packet was given, addresses and ports are open, and the same on both sides.
//!
//! A packet here consists of what rules load from it, and has no headers between the IP header and
//! the transport header: packets with IPv6 extension headers are not included. A packet excluded
//! from tracking before the first chain was excluded by these rules. Interface 1 is named `lo`,
//! though it can be renamed. Connections are tracked by conntrack's own hooks, not by `act_ct`, and
//! a masqueraded connection leaves by the interface for which it was masqueraded: translation drops
//! it elsewhere (nf_nat_oif_changed).

mod alike;
mod answer;
mod at_hook;
mod bdd;
mod bits;
mod certain;
mod counterexample;
mod cut;
mod domains;
mod explorer;
mod items;
mod members;
mod memory;
mod outcome;
mod parts;
mod program;
mod progress;
mod reach;
mod series;
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

/// The result of a comparison.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Comparison {
    /// Something on the path of some packets is not known, and no other difference was found.
    CannotTell(CannotTell),
    /// There is a packet that the two rule sets treat differently.
    Differs(Box<Counterexample>),
    /// They do the same with every packet.
    Equivalent {
        /// The number of classes of packets that the rules of either side distinguish, over all
        /// hooks and both families.
        classes: usize,
        /// The number of classes that were left out, which are not counted above.
        outside: usize,
    },
}

/// Compares two rule sets over all packets: IPv4 and IPv6, at each of the five hooks, any packet
/// that may reach it. Verdicts, translations, `tproxy`, marks, marks and zones of connections and
/// `notrack` are compared; counters, logs, comments and routes are not.
///
/// [`Comparison::Equivalent`] is a proof for every packet that a
/// [`Situation`](crate::sim::Situation) can express. [`Comparison::Differs`] has one packet, which
/// was walked through both. Every other case is [`Comparison::CannotTell`]: a rule that is not
/// known here, anything that [`Rules::unknown`] names, or more classes of packets than
/// [`Compare::at_most`], or too many rules that have an effect on the same packets. Every result
/// prints; all but a difference in one line.
///
/// A rule that remembers earlier packets (a rate, a quota, `numgen inc`, `ct count`, a set that
/// rules fill) is the same on both sides if the same packets reach it on both. The seed that the
/// kernel draws for a `jhash` without one counts as such a memory; with a seed, the same words give
/// the same number. A draw for each packet (`numgen random`, `meta random`) is the same if its
/// probabilities are.
///
/// The packets do not include those that end within what a rule loads, those with IPv6 extension
/// headers, those that `act_ct` of tc tracked, and those of a masqueraded connection that would
/// leave by another interface than before: translation drops them. The contents of a later fragment
/// are read as a header, as Linux 6.18 does.
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
    most_steps: u64,
    few: usize,
    watch: progress::Callback<'a>,
}

impl<'a> Compare<'a> {
    /// Compares these two over all packets.
    #[must_use]
    pub fn new(a: &'a Rules, b: &'a Rules) -> Self {
        let watch = progress::Callback::default();
        Compare { a, b, outside: Vec::new(), most: 2_000_000, most_steps: MOST_STEPS, few: FEW, watch }
    }

    /// Leaves out the packets that match everything in this rule, at every hook. They may differ.
    #[must_use]
    pub fn outside(mut self, rule: Rule) -> Self {
        self.outside.push((None, rule));
        self
    }

    /// Like [`outside`](Self::outside), at one hook only.
    #[must_use]
    pub fn outside_at(mut self, hook: Hook, rule: Rule) -> Self {
        self.outside.push((Some(hook), rule));
        self
    }

    /// Gives up after this many classes; the default is two million.
    #[must_use]
    pub fn at_most(mut self, classes: usize) -> Self {
        self.most = classes;
        self
    }

    /// Reports the progress to `watch` after every class of packets: up to millions of times, so it
    /// should be quick.
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

    /// Cuts packets into parts if there are more rules than this in a chain, or elements in a map.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub(crate) fn cut_above(mut self, few: usize) -> Self {
        self.few = few;
        self
    }

    /// Gives up after this many steps.
    #[cfg(test)]
    #[must_use]
    fn steps_at_most(mut self, steps: u64) -> Self {
        self.most_steps = steps;
        self
    }

    /// Runs the comparison.
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
        // A packet that output excludes from tracking comes in untracked, so output is first.
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

/// The most rules in a chain that are run one after the other without cutting packets into parts.
const FEW: usize = 64;

/// The most rules that are run and questions that are asked about open packets at a hook; far more
/// than any rule set written by people needs. They take about half a minute.
const MOST_STEPS: u64 = 100_000_000;

/// Returns a reason for doubt at later hooks if rules set zones after conntrack: such a packet is
/// in a state not modelled here.
fn late_zone(sides: &[&Rules], hook: Hook, family: IpFamily) -> Option<CannotTell> {
    let is_first = matches!(hook, Hook::Prerouting | Hook::Output);
    let gives = !is_first && sides.iter().any(|rules| rules.gives_late_zones(family));
    gives.then(|| {
        let what = "what rules find of a packet that got its zone after connection tracking";
        CannotTell::new(format!("at {}: {what}", hook.name()))
    })
}

/// Packets that are left out, at one hook or at all.
type LeftOut = (Option<Hook>, Rules);

/// Returns a rule as a rule set.
fn left_out(hook: Option<Hook>, rule: &Rule) -> Result<LeftOut, CannotTell> {
    let chain = Chain::base("outside", ChainType::Filter, Hook::Forward, Priority::FILTER).rule(rule.clone());
    let rules = Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "outside").chain(chain)));
    rules.map(|rules| (hook, rules)).map_err(|error| CannotTell::new(format!("what is to be left out: {error}")))
}
