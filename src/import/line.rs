//! A rule: `[packets:bytes] -A CHAIN options`, with the options of the rule, of its matches and of
//! its target.

mod extensions;
mod options;

use smallvec::SmallVec;

use super::address::{self, Side};
use super::error::{Fault, FaultKind};
use super::extension::{Given, Instance, Role};
use super::making::{Made, Making};
use super::open::Open;
use super::words::Word;
use super::{Unknown, raw, value};
use crate::model::{Field, IpFamily, Match, Op, Operand, Protocol, Statement, Value, Verdict};
use options::Parsing;

/// The position of a rule.
pub(super) enum RuleSlot {
    /// Before the rule with this index, from 0.
    At {
        index: usize,
        /// The offset of the index in the line.
        at: usize,
    },
    /// After all others.
    Last,
}

/// Reads a rule; the returned chain is an index in `open`.
pub(super) fn read(
    all: &[Word<'_>],
    end: usize,
    open: &mut Open,
    family: IpFamily,
    unknown: Unknown,
) -> Result<(usize, RuleSlot, Vec<Made>), Fault> {
    let counters = all.first().filter(|word| word.text.starts_with('[') && !word.quoted);
    let counter = counters.map(|word| value::counters(word.piece())).transpose()?;
    let rest = all.get(usize::from(counter.is_some())..).unwrap_or_default();
    let mut parsing =
        Parsing { rest, end, family, unknown, line: Line { counter, ..Line::default() }, last: Role::Match };
    while parsing.next(open)? {}
    let Line { command, counter, saddr, daddr, iif, oif, protocol, fragment, parts, target } = parsing.line;
    let Some((chain, place)) = command else {
        let start = rest.first().map_or(end, |word| word.at);
        return Err(Fault::wrong(start, "no chain is named; begin the rule with -A CHAIN"));
    };
    let only = protocol.filter(|(not, _, _)| !not).map(|(_, protocol, _)| protocol);
    let mut making = Making::new(family, open.classic, only);
    for (given, field) in [(&iif, Field::Iifname), (&oif, Field::Oifname)] {
        let read = given.as_ref().map(|given| value::interface(given, field)).transpose()?;
        read.flatten().into_iter().for_each(|interface| making.matches(interface));
    }
    if let Some((not, protocol, _)) = protocol {
        let op = if not { Op::Ne } else { Op::Eq };
        making.matches(Match::new(Field::L4proto, op, Operand::Value(Value::Protocol(protocol))));
    }
    fragment.into_iter().for_each(|not| making.statement(raw::fragment(not)));
    for part in &parts {
        part.add(&mut making, unknown)?;
    }
    match target {
        None => {}
        Some(Target::Chain(verdict)) => making.action(Statement::Verdict(verdict)),
        Some(Target::Part(part)) => part.add(&mut making, unknown)?,
    }
    let at = saddr.as_ref().or(daddr.as_ref()).map_or(0, |given| given.at);
    let (sources, destinations) =
        (address::read(saddr, Side::Source, family)?, address::read(daddr, Side::Destination, family)?);
    if sources.len().saturating_mul(destinations.len()) > ADDRESSES {
        let count = sources.len().saturating_mul(destinations.len());
        return Err(Fault::wrong(at, format!("this line is {count} rules, and one may be {ADDRESSES}; split it")));
    }
    let mut pairs = Vec::with_capacity(sources.len() * destinations.len());
    for source in &sources {
        let both =
            |destination: &Option<Match>| source.iter().chain(destination).cloned().map(Statement::Match).collect();
        pairs.extend(destinations.iter().map(both));
    }
    Ok((chain, place, making.finish(pairs, counter, at)?))
}

/// Returns the end of the words, at least `at`.
pub(super) fn end_of(words: &[Word<'_>], at: usize) -> usize {
    words.last().map_or(at, |word| word.at + word.text.len()).max(at)
}

/// The most pairs of source and destination in one line.
const ADDRESSES: usize = 1024;

/// The content of a line.
#[derive(Default)]
struct Line<'l> {
    command: Option<(usize, RuleSlot)>,
    counter: Option<(u64, u64)>,
    saddr: Option<Given<'l>>,
    daddr: Option<Given<'l>>,
    iif: Option<Given<'l>>,
    oif: Option<Given<'l>>,
    protocol: Option<(bool, Protocol, usize)>,
    /// Whether `-f` is given, and negated.
    fragment: Option<bool>,
    parts: SmallVec<[LinePart<'l>; 3]>,
    target: Option<Target<'l>>,
}

enum Target<'l> {
    Chain(Verdict),
    Part(LinePart<'l>),
}

/// A match or a target.
enum LinePart<'l> {
    Known(Instance<'l>),
    /// An unknown one: its role, its name and its options.
    Kept(Role, &'l str, Vec<String>),
}

impl LinePart<'_> {
    fn add(&self, making: &mut Making, unknown: Unknown) -> Result<(), Fault> {
        let instance = match self {
            LinePart::Known(instance) => instance,
            LinePart::Kept(role, name, words) => {
                keep(making, *role, name, &words.join(" "));
                return Ok(());
            }
        };
        let mark = making.mark();
        let read = if instance.unread.is_empty() {
            (instance.extension.read)(instance, making)
        } else {
            Err(Fault::unknown(instance.at, ""))
        };
        match read {
            Err(fault) if fault.kind == FaultKind::Unknown && unknown == Unknown::KeepOpaque => {
                making.back_to(mark);
                keep(making, instance.role, instance.extension.name, &instance.words());
                Ok(())
            }
            read => read,
        }
    }
}

fn keep(making: &mut Making, role: Role, name: &str, words: &str) {
    let statement = raw::kept(role, name, words);
    match role {
        Role::Match => making.statement(statement),
        Role::Target => making.action(statement),
    }
}
