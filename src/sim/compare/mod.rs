//! Whether two rule sets do the same with every packet, or a packet with which they do not.
//!
//! ```text
//! a ──┐  hook by hook,   ┌──────────┐ box of packets that  ┌─────────┐ all the same: Equivalent
//!     ├─ family by family│ explorer │ take one way ──────> │ outcome │
//! b ──┘                  └──────────┘                      └─────────┘ else: witness ──> one packet ──> both walks: Differs
//! ```
//! A box of packets (`explorer`) runs through both rule sets on the machine that walks use, and is split where a rule tells its
//! packets apart; sets of values (`bdd`) are exact whatever rules compare with: prefixes, masks, intervals, maps. So no packet is left
//! out and nothing is sampled. What is always true: `Equivalent` is about every packet that can be expressed here; `Differs` was run
//! on the machine once more, with one certain packet; all else is `CannotTell`.
//!
//! Hooks are compared one by one, each for whatever packet may come to it. Where one side switches tracking or translation on, both
//! are seen in such a namespace. Behind a translation that an earlier packet was given, addresses and ports are open, the same on both
//! sides.

mod bdd;
mod bits;
mod certain;
mod counterexample;
mod domains;
mod explorer;
mod members;
mod outcome;
mod program;
#[cfg(test)]
mod tests;
mod usual;
mod witness;

pub use counterexample::Counterexample;

use super::cells::Input;
use super::flow::{Flow, Tracking, cells};
use super::hook::pass;
use super::inputs::CannotTell;
use super::machine::{Machine, Ran};
use super::rules::{RuleCode, Rules};
use super::situation::Situation;
use crate::model::{Chain, ChainType, Family, Family4or6, Hook, Priority, Rule, Ruleset, Table};
use explorer::{Choice, Explorer, Side};
use outcome::{Comparer, Outcome, Where};
use witness::Witness;

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
        /// Classes of packets that the rules of either side tell apart, over all hooks and both families.
        classes: usize,
        /// Classes that were left out, not counted above.
        outside: usize,
    },
}

/// Compares two rule sets over all packets.
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
}

impl<'a> Compare<'a> {
    /// Of these two, over all packets.
    #[must_use]
    pub fn new(a: &'a Rules, b: &'a Rules) -> Self {
        Compare { a, b, outside: Vec::new(), most: 2_000_000 }
    }

    /// Leaves out packets for which everything that this rule asks holds, at every hook. They may differ.
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
        let (a, b) = (self.a.beside(self.b), self.b.beside(self.a));
        for hook in [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting] {
            for family in [Family4or6::Ipv4, Family4or6::Ipv6] {
                if a.is_idle(hook, family) && b.is_idle(hook, family) {
                    continue;
                }
                let most = self.most.saturating_sub(classes + left_out);
                let mut place = AtHook { of: &self, a: &a, b: &b, hook, family, outside: &outside, most };
                match place.explore() {
                    Found::Differs(example) => return Comparison::Differs(example),
                    Found::Same { classes: here, outside, doubt: unsure } => {
                        classes += here;
                        left_out += outside;
                        let unsure = unsure.filter(|_| !self.a.is_same_program(self.b, hook, family));
                        doubt = doubt.or(unsure);
                    }
                }
            }
        }
        match doubt {
            Some(reason) => Comparison::CannotTell(reason),
            None => Comparison::Equivalent { classes, outside: left_out },
        }
    }
}

type LeftOut = (Option<Hook>, Rules);

/// A rule as a program of its own.
fn left_out(hook: Option<Hook>, rule: &Rule) -> Result<LeftOut, CannotTell> {
    let chain = Chain::base("outside", ChainType::Filter, Hook::Forward, Priority::FILTER).rule(rule.clone());
    let rules = Rules::try_from(&Ruleset::new().table(Table::new(Family::Inet, "outside").chain(chain)));
    rules.map(|rules| (hook, rules)).map_err(|error| CannotTell::new(format!("what is to be left out: {error}")))
}

/// A comparison at one hook, for packets of one family.
struct AtHook<'a> {
    of: &'a Compare<'a>,
    /// Both sides, each in the namespace of both.
    a: &'a Rules,
    b: &'a Rules,
    hook: Hook,
    family: Family4or6,
    outside: &'a [LeftOut],
    most: usize,
}

enum Found {
    Differs(Box<Counterexample>),
    Same { classes: usize, outside: usize, doubt: Option<CannotTell> },
}

impl AtHook<'_> {
    fn explore(&mut self) -> Found {
        let is_header_read = [self.a, self.b].iter().any(|rules| rules.reads_behind_nat(self.hook, self.family));
        let mut explorer = Explorer::new(self.hook, self.family, is_header_read);
        let (mut classes, mut outside, mut doubt) = (0, 0, None);
        while let Some(place) = explorer.todo.pop() {
            if classes + outside >= self.most || explorer.steps > MOST_STEPS {
                let reason = format!("at {}: more than {} classes of packets", self.hook.name(), self.of.most);
                return Found::Same { classes, outside, doubt: Some(CannotTell::new(reason)) };
            }
            explorer.here = place;
            match self.is_outside(&mut explorer) {
                Ok(true) => {
                    outside += 1;
                    continue;
                }
                Ok(false) => classes += 1,
                Err(reason) => {
                    doubt.get_or_insert(reason);
                    continue;
                }
            }
            match self.class(&mut explorer) {
                Ok(None) => {}
                Ok(Some(example)) => return Found::Differs(example),
                Err(reason) => {
                    doubt.get_or_insert(reason);
                }
            }
        }
        Found::Same { classes, outside, doubt }
    }

    fn is_outside(&self, explorer: &mut Explorer) -> Result<bool, CannotTell> {
        for rule in self.outside.iter().filter(|(hook, _)| hook.is_none_or(|hook| hook == self.hook)) {
            let code = rule.1.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
            for code in code {
                if matches(code, explorer)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Runs the packets of the place where the explorer is, or a part of them, through both sides.
    fn class(&self, explorer: &mut Explorer) -> Result<Option<Box<Counterexample>>, CannotTell> {
        let (of_a, of_b) = (self.run(Side::A, explorer)?, self.run(Side::B, explorer)?);
        let Some(at) = self.difference(explorer, &of_a, &of_b) else { return Ok(None) };
        let limits = explorer.here.choices.iter().find_map(|(choice, _)| match choice {
            Choice::Limit { code, side, .. } => Some((*side, *code)),
            Choice::Listener(_) => None,
        });
        if let Some((side, code)) = limits {
            let rules = if side == Side::A { self.a } else { self.b };
            let reason = CannotTell::new("a rate is no property of a packet, and what follows depends on it");
            return Err(rules.limited(code).map_or(reason.clone(), |rule| reason.at(rule)));
        }
        self.witness(explorer, &at).map(Some)
    }

    fn run(&self, side: Side, explorer: &mut Explorer) -> Result<Outcome, CannotTell> {
        let rules = if side == Side::A { self.a } else { self.b };
        explorer.begin(side);
        let mut flow = Flow::new(explorer);
        let is_first = matches!(self.hook, Hook::Prerouting | Hook::Output);
        if !is_first && rules.line_up(self.hook, self.family).tracks {
            let untracked = domains::constants(&mut explorer.bdd, Input::CtState, &[64]);
            if explorer.decide(Input::CtState, untracked) {
                flow.tracking = Tracking::Untracked;
            }
        }
        let passed = pass(rules, self.hook, explorer, &mut flow, &mut ())?;
        Ok(Outcome { passed, flow, rerouted: explorer.was_rerouted() })
    }

    fn both_track(&self) -> bool {
        let tracks = |rules: &Rules| rules.line_up(self.hook, self.family).tracks;
        tracks(self.of.a) == tracks(self.of.b)
    }

    fn difference(&self, explorer: &mut Explorer, a: &Outcome, b: &Outcome) -> Option<Where> {
        let (mark, dport) = (cells(explorer, Input::Mark), cells(explorer, Input::Dport));
        let Explorer { bdd, here, hook, family, .. } = explorer;
        let (hook, family, domains) = (*hook, *family, &here.domains);
        Comparer { bdd, domains: Some(domains), hook, family, both_track: self.both_track(), mark, dport }
            .difference(a, b)
    }

    /// One packet of the place, run once more.
    fn witness(&self, explorer: &mut Explorer, at: &Where) -> Result<Box<Counterexample>, CannotTell> {
        let Explorer { bdd, frame, here, hook, family, .. } = explorer;
        let witness = Witness { bdd, frame, hook: *hook, family: *family, domains: here.domains };
        let situation = witness.situation(here, at)?;
        let (a, b) =
            (certain::outcome(self.a, self.hook, &situation)?, certain::outcome(self.b, self.hook, &situation)?);
        if !certain::differ(self.hook, &situation, self.both_track(), &a, &b) {
            return Err(CannotTell::new(format!(
                "at {}, {}: a difference that no single packet shows",
                self.hook.name(),
                situation.packet
            )));
        }
        let (rules_a, rules_b) = (self.of.a, self.of.b);
        Ok(Box::new(Counterexample::new(self.hook, situation, (rules_a, &a), (rules_b, &b))))
    }
}

/// Whether everything that a rule asks holds.
fn matches(code: &RuleCode, explorer: &mut Explorer) -> Result<bool, CannotTell> {
    explorer.begin(Side::A);
    let mut flow = Flow::new(explorer);
    flow.tracking = Tracking::Tracked;
    Ok(!matches!(Machine::new(explorer, &mut flow).run(code)?, Ran::Broke { .. }))
}

/// Questions about open packets; far more than any rule sets need that were made by people.
const MOST_STEPS: u64 = 1 << 32;

/// Two rule sets side by side, for packets one by one: what tests hold a comparison against.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Trial {
    a: Rules,
    b: Rules,
    tracks: [[bool; 2]; 2],
}

impl Trial {
    #[must_use]
    pub fn new(a: &Rules, b: &Rules) -> Self {
        let families = [Family4or6::Ipv4, Family4or6::Ipv6];
        let tracks = families.map(|family| [a, b].map(|rules| rules.line_up(Hook::Prerouting, family).tracks));
        Trial { a: a.beside(b), b: b.beside(a), tracks }
    }

    /// Whether they do not do the same with this one packet.
    ///
    /// # Errors
    ///
    /// When something on its way is not known.
    pub fn differ(&self, hook: Hook, situation: &Situation) -> Result<bool, CannotTell> {
        let [[a4, b4], [a6, b6]] = self.tracks;
        let both_track = match situation.packet.family() {
            Family4or6::Ipv4 => a4 == b4,
            Family4or6::Ipv6 => a6 == b6,
        };
        let (a, b) = (certain::outcome(&self.a, hook, situation)?, certain::outcome(&self.b, hook, situation)?);
        Ok(certain::differ(hook, situation, both_track, &a, &b))
    }
}
