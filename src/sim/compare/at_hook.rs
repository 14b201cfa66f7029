//! Compares two rule sets at one hook for packets of one family, class by class.

use super::certain::{self, Last};
use super::counterexample::Counterexample;
use super::domains::constants;
use super::explorer::{Choice, Explorer, PacketBox, Side};
use super::memory::{Heard, Memory, Remembering};
use super::outcome::{Comparer, Outcome, Where};
use super::parts::Parts;
use super::progress::Progress;
use super::witness::Witness;
use super::{Compare, LeftOut};
use crate::model::{CtState, Hook, IpFamily};
use crate::sim::cells::Input;
use crate::sim::flow::{Flow, Tracking, cells};
use crate::sim::hook::{Passed, pass};
use crate::sim::inputs::CannotTell;
use crate::sim::machine::{Machine, Ran};
use crate::sim::rules::{RuleCode, Rules};

/// A comparison at one hook, for packets of one family.
pub(super) struct AtHook<'a> {
    pub(super) of: &'a Compare<'a>,
    /// Both sides, each in a namespace that contains both.
    pub(super) a: &'a Rules,
    pub(super) b: &'a Rules,
    /// The full rule sets, if `a` and `b` contain only the rules for a part of the packets.
    pub(super) whole: [&'a Rules; 2],
    pub(super) hook: Hook,
    pub(super) family: IpFamily,
    pub(super) outside: &'a [LeftOut],
    pub(super) most: usize,
    /// Whether rules exclude packets from tracking on their way out.
    pub(super) excludes: bool,
    /// The rules that remember earlier packets here.
    pub(super) remembering: &'a [Remembering; 2],
}

pub(super) enum Found {
    Differs(Box<Counterexample>),
    Same {
        classes: usize,
        outside: usize,
        /// Whether packets may be excluded here from tracking that would have accepted them.
        excludes: bool,
        memory: Box<Memory>,
        doubt: Option<CannotTell>,
    },
}

/// The results so far.
#[derive(Default)]
struct Tally {
    classes: usize,
    outside: usize,
    doubt: Option<CannotTell>,
    excludes: bool,
    memory: Memory,
    steps: u64,
    /// The share that is done, if there are parts.
    share: Option<f64>,
}

/// Why the exploration stops.
enum Stop {
    Differs(Box<Counterexample>),
    TooLong,
    TooMany,
}

impl AtHook<'_> {
    pub(super) fn explore(&self) -> Found {
        let mut tally = Tally::default();
        let outcome = match Parts::new([self.a, self.b], self.hook, self.family, self.of.few, self.outside.is_empty()) {
            None => self.places(&mut self.explorer(), &mut tally),
            Some(mut parts) => {
                tally.share = Some(0.0);
                self.tell(&tally);
                self.parts(&mut parts, &mut tally)
            }
        };
        let Tally { classes, outside, mut doubt, mut excludes, memory, steps: _, share: _ } = tally;
        match outcome {
            Ok(()) => {}
            Err(Stop::Differs(example)) => return Found::Differs(example),
            Err(Stop::TooMany) => {
                let reason = format!("at {}: more than {} classes of packets", self.hook.name(), self.of.most);
                (doubt, excludes) = (Some(CannotTell::new(reason)), true);
            }
            Err(Stop::TooLong) => {
                let what = "too many rules that each have an effect on the same packets";
                let reason = format!("at {}: {what}, in {classes} classes of packets so far", self.hook.name());
                (doubt, excludes) = (Some(CannotTell::new(reason)), true);
            }
        }
        // Packets that were not run may be excluded, if a rule can do that.
        excludes |= doubt.is_some() || outside > 0 && [self.a, self.b].into_iter().any(Rules::may_exclude);
        Found::Same { classes, outside, excludes, memory: Box::new(memory), doubt }
    }

    fn explorer(&self) -> Explorer {
        let is_header_read = [self.a, self.b].iter().any(|rules| rules.reads_after_nat(self.hook, self.family));
        Explorer::new(self.hook, self.family, is_header_read, self.excludes)
    }

    /// Explores part by part, each with the rules that can match there.
    fn parts(&self, parts: &mut Parts<'_>, tally: &mut Tally) -> Result<(), Stop> {
        let mut explorer = self.explorer();
        // Sets are identified by their address, so they are kept as long as the explorer.
        let mut kept = Vec::new();
        // The nodes that a new explorer has after one part: those of large sets, which are not
        // worth building again for a few others.
        let mut first = 0;
        while let Some(part) = parts.cutter.next() {
            if !part.differs {
                if let Some(share) = &mut tally.share {
                    *share += part.share;
                }
                tally.classes += 1;
                parts.pair(&part, &mut tally.memory);
                self.tell(tally);
                continue;
            }
            if explorer.bdd.len() > MOST_NODES + 2 * first {
                kept.clear();
                explorer = self.explorer();
            }
            if let Some(share) = &mut tally.share {
                *share += part.share;
            }
            let [a, b] = parts.rules(&part);
            tally.steps += part.items.len() as u64;
            if tally.steps > self.of.most_steps {
                return Err(Stop::TooLong);
            }
            let excludes = [&a, &b].into_iter().any(Rules::may_exclude);
            if self.outside.is_empty() && !excludes && a.is_same_program(&b, self.hook, self.family) {
                tally.classes += 1;
                tally.memory.pair(&a, &b, self.hook, self.family);
                self.tell(tally);
                continue;
            }
            let Explorer { bdd, frame, .. } = &mut explorer;
            let Some(domains) = part.domains(bdd, frame) else { continue };
            explorer.todo = vec![PacketBox { domains, choices: Vec::new() }];
            AtHook { a: &a, b: &b, ..*self }.places(&mut explorer, tally)?;
            if kept.is_empty() {
                first = explorer.bdd.len();
            }
            kept.push([a, b]);
        }
        Ok(())
    }

    /// Explores all boxes of the explorer.
    fn places(&self, explorer: &mut Explorer, tally: &mut Tally) -> Result<(), Stop> {
        while let Some(place) = explorer.todo.pop() {
            if tally.classes + tally.outside >= self.most {
                return Err(Stop::TooMany);
            }
            if tally.steps + explorer.steps > self.of.most_steps {
                return Err(Stop::TooLong);
            }
            explorer.here = place;
            match self.is_outside(explorer) {
                Ok(true) => {
                    tally.outside += 1;
                    continue;
                }
                Ok(false) => tally.classes += 1,
                Err(reason) => {
                    tally.doubt.get_or_insert(reason);
                    continue;
                }
            }
            self.tell(tally);
            match self.class(explorer) {
                Ok(None) => {}
                Ok(Some(example)) => return Err(Stop::Differs(example)),
                Err(reason) => {
                    tally.doubt.get_or_insert(reason);
                }
            }
        }
        tally.excludes |= explorer.excludes;
        tally.memory.add(std::mem::take(&mut explorer.memory));
        tally.steps += std::mem::take(&mut explorer.steps);
        Ok(())
    }

    fn tell(&self, tally: &Tally) {
        let Tally { classes, outside, doubt: _, excludes: _, memory: _, steps: _, share } = tally;
        let (classes, share) = (classes + outside, share.map(|share| share.min(1.0)));
        self.of.watch.tell(&Progress { hook: self.hook, family: self.family, classes, share });
    }

    fn is_outside(&self, explorer: &mut Explorer) -> Result<bool, CannotTell> {
        for rule in self.outside.iter().filter(|(hook, _)| hook.is_none_or(|hook| hook == self.hook)) {
            let code = rule.1.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
            for code in code {
                if matches(self.hook, code, explorer)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Runs the packets of the explorer's box, or a part of them, through both sides.
    fn class(&self, explorer: &mut Explorer) -> Result<Option<Box<Counterexample>>, CannotTell> {
        let (of_a, of_b) = (self.run(Side::A, explorer)?, self.run(Side::B, explorer)?);
        let Some(at) = self.difference(explorer, &of_a, &of_b) else {
            return self.sameness(explorer, &of_a, &of_b).map(|()| None);
        };
        let limits = explorer.here.choices.iter().find_map(|(choice, _)| match choice {
            Choice::Limit { code, side, .. } => Some((*side, *code)),
            Choice::Asked { .. } | Choice::Fib { .. } | Choice::Listener(_) | Choice::Moved => None,
        });
        let asked = explorer.here.choices.iter().find_map(|(choice, _)| match choice {
            Choice::Asked { question, by: _ } => Some(question),
            Choice::Fib { .. } | Choice::Limit { .. } | Choice::Listener(_) | Choice::Moved => None,
        });
        if let Some(question) = asked {
            let reason = CannotTell::new(question.to_string());
            let rule = self.a.asking(question).or_else(|| self.b.asking(question));
            return Err(rule.map_or(reason.clone(), |rule| reason.at(rule)));
        }
        if let Some((side, code)) = limits {
            let rules = if side == Side::A { self.a } else { self.b };
            let reason = CannotTell::new("a rate is not a property of a packet, and what follows depends on it");
            return Err(rules.limited(code).map_or(reason.clone(), |rule| reason.at(rule)));
        }
        self.witness(explorer, &at).map(Some)
    }

    fn run(&self, side: Side, explorer: &mut Explorer) -> Result<Outcome, CannotTell> {
        let rules = if side == Side::A { self.a } else { self.b };
        explorer.begin(side);
        let mut flow = Flow::new(explorer);
        if rules.line_up(self.hook, self.family).tracks {
            let untracked = constants(&mut explorer.bdd, Input::CtState, &[CtState::UNTRACKED.bits().into()]);
            if explorer.decide(Input::CtState, untracked) {
                flow.tracking = Tracking::Untracked;
            }
        }
        let [of_a, of_b] = self.remembering;
        let known = if side == Side::A { of_a } else { of_b };
        let memory = std::mem::take(&mut explorer.memory);
        let mut heard = Heard { last: Last::default(), side, known, memory, rules: 0 };
        let passed = pass(rules, self.hook, explorer, &mut flow, &mut heard);
        let Heard { last, memory, rules, .. } = heard;
        explorer.memory = memory;
        explorer.steps += rules;
        explorer.excludes |= passed.is_err() || (flow.tracking == Tracking::Untracked && !explorer.is_never_tracked());
        Ok(Outcome { passed: passed?, flow, last: last.0 })
    }

    /// Checks that equal ends are equal results. They may not be if the packet was queued and goes
    /// on later, or if an address was tested that each side chose for itself.
    fn sameness(&self, explorer: &Explorer, a: &Outcome, b: &Outcome) -> Result<(), CannotTell> {
        if explorer.mixes_given() {
            return Err(CannotTell::new(format!(
                "at {}: both translate, each to another choice of addresses or ports, and look at the result",
                self.hook.name()
            )));
        }
        let (Passed::Queued(_, rule), Some(a), Some(b)) = (&a.passed, &a.last, &b.last) else { return Ok(()) };
        // A user-space program that accepts a packet sends it on through the remaining chains
        // (nf_reinject, net/netfilter/nfnetlink_queue.c, v6.12).
        let is_free = self.remembering.iter().all(Remembering::is_nothing);
        if is_free && self.a.is_same_after(a, self.b, b, self.hook, self.family) {
            return Ok(());
        }
        Err(CannotTell::new("a program decides, and what follows is not the same on both sides").at(rule))
    }

    fn tracks(&self) -> [bool; 2] {
        [self.of.a, self.of.b].map(|rules| rules.line_up(self.hook, self.family).tracks)
    }

    fn difference(&self, explorer: &mut Explorer, a: &Outcome, b: &Outcome) -> Option<Where> {
        let (status, dport) = (cells(explorer, Input::CtStatus), cells(explorer, Input::Dport));
        let Explorer { bdd, here, hook, family, .. } = explorer;
        let (hook, family, domains) = (*hook, *family, &here.domains);
        Comparer { bdd, domains: Some(domains), hook, family, tracks: self.tracks(), status, dport }.difference(a, b)
    }

    /// Chooses one packet of the box and runs it again.
    fn witness(&self, explorer: &mut Explorer, at: &Where) -> Result<Box<Counterexample>, CannotTell> {
        let Explorer { bdd, frame, here, hook, family, .. } = explorer;
        let witness = Witness { bdd, frame, hook: *hook, family: *family, domains: here.domains };
        let situation = witness.situation(here, at)?;
        let (a, b) = (
            certain::outcome(self.whole[0], self.hook, &situation)?,
            certain::outcome(self.whole[1], self.hook, &situation)?,
        );
        if !certain::differ(self.hook, &situation, self.tracks(), &a, &b) {
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

/// Returns whether all matches of a rule hold.
fn matches(hook: Hook, code: &RuleCode, explorer: &mut Explorer) -> Result<bool, CannotTell> {
    explorer.begin(Side::A);
    let mut flow = Flow::new(explorer);
    flow.tracking = Tracking::Tracked;
    Ok(!matches!(Machine::new(hook, explorer, &mut flow).run(code)?, Ran::Broke { .. }))
}

/// The most nodes that are kept from one part to the next besides those of large sets: about as
/// many as fit in a processor's cache.
const MOST_NODES: usize = 1 << 16;
