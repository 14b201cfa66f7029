//! A rule: `[packets:bytes] -A CHAIN options`, its own options and those of its matches and its target.

use smallvec::SmallVec;

use super::address::{self, Side};
use super::error::{Fault, FaultKind, Shown};
use super::extension::{Extension, Given, Instance, Negatable, Opt, Role, of_protocol};
use super::making::{Made, Making};
use super::tables::Open;
use super::words::{self, Word};
use super::{Unknown, matches, raw, targets, value};
use crate::model::{Family4or6, Field, Match, Name, Op, Operand, Protocol, Statement, Value, Verdict};

/// Where a rule goes.
pub(super) enum Place {
    /// In front of the rule with this index, from 0.
    At {
        index: usize,
        /// Where that is written.
        at: usize,
    },
    /// Behind all others.
    Last,
}

/// Reads a rule; the chain is an index in `open`.
pub(super) fn read(
    line: &str,
    open: &mut Open,
    family: Family4or6,
    unknown: Unknown,
) -> Result<(usize, Place, Vec<Made>), Fault> {
    let mut all = Vec::new();
    words::split(line, 0, &mut all)?;
    let counters = all.first().filter(|word| word.text.starts_with('[') && !word.quoted);
    let counter = counters.map(|word| value::counters(word.piece())).transpose()?;
    let rest = all.get(usize::from(counter.is_some())..).unwrap_or_default();
    let mut parsing = Parsing { rest, end: line.len(), family, unknown, line: Line { counter, ..Line::default() } };
    while parsing.next(open)? {}
    let Line { command, counter, saddr, daddr, iif, oif, protocol, fragment, parts, target } = parsing.line;
    let Some((chain, place)) = command else {
        let start = rest.first().map_or(line.len(), |word| word.at);
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

/// Pairs of source and destination in one line.
const ADDRESSES: usize = 1024;

/// What a line says.
#[derive(Default)]
struct Line<'l> {
    command: Option<(usize, Place)>,
    counter: Option<(u64, u64)>,
    saddr: Option<Given<'l>>,
    daddr: Option<Given<'l>>,
    iif: Option<Given<'l>>,
    oif: Option<Given<'l>>,
    protocol: Option<(bool, Protocol, usize)>,
    /// Whether `-f` is there, and negated.
    fragment: Option<bool>,
    parts: SmallVec<[Part<'l>; 3]>,
    target: Option<Target<'l>>,
}

enum Target<'l> {
    Chain(Verdict),
    Part(Part<'l>),
}

/// A match or a target.
enum Part<'l> {
    Known(Instance<'l>),
    /// One that has no name here: its role, its name and its options.
    Kept(Role, &'l str, Vec<String>),
}

impl Part<'_> {
    fn add(&self, making: &mut Making, unknown: Unknown) -> Result<(), Fault> {
        let instance = match self {
            Part::Known(instance) => instance,
            Part::Kept(role, name, words) => {
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

/// The words that are left, and what those before them said.
struct Parsing<'l> {
    rest: &'l [Word<'l>],
    /// Where the line ends.
    end: usize,
    family: Family4or6,
    unknown: Unknown,
    line: Line<'l>,
}

/// An option as it stands, not yet understood.
struct Found<'l> {
    name: &'l str,
    at: usize,
    /// Where the `!` in front of it stands.
    not: Option<usize>,
}

impl<'l> Parsing<'l> {
    fn word(&mut self) -> Option<&'l Word<'l>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Reads one option with its values; false at the end.
    fn next(&mut self, open: &mut Open) -> Result<bool, Fault> {
        let Some(mut word) = self.word() else { return Ok(false) };
        let not = word.is_not().then_some(word.at);
        if not.is_some() {
            let nothing = || Fault::wrong(word.at, "! stands in front of nothing; put an option behind it");
            word = self.word().ok_or_else(nothing)?;
        }
        if !word.is_option() {
            let what = format!(
                "{} is no option and belongs to none; remove it, or quote the text before it",
                Shown(&word.text)
            );
            return Err(word.piece().wrong(what));
        }
        let found = Found { name: &word.text, at: word.at, not };
        self.option(found, open)?;
        Ok(true)
    }

    fn option(&mut self, found: Found<'l>, open: &mut Open) -> Result<(), Fault> {
        match found.name {
            "-A" | "--append" | "-I" | "--insert" => self.command(&found, open),
            "-s" | "--source" | "--src" => {
                let given = self.own(found, &SOURCE, self.line.saddr.is_some())?;
                self.line.saddr = Some(given);
                Ok(())
            }
            "-d" | "--destination" | "--dst" => {
                let given = self.own(found, &DESTINATION, self.line.daddr.is_some())?;
                self.line.daddr = Some(given);
                Ok(())
            }
            "-i" | "--in-interface" => {
                let given = self.own(found, &IN, self.line.iif.is_some())?;
                self.line.iif = Some(given);
                Ok(())
            }
            "-o" | "--out-interface" => {
                let given = self.own(found, &OUT, self.line.oif.is_some())?;
                self.line.oif = Some(given);
                Ok(())
            }
            "-p" | "--protocol" | "--proto" => {
                let given = self.own(found, &PROTOCOL, self.line.protocol.is_some())?;
                let protocol = value::protocol(&given)?;
                self.line.protocol = protocol.map(|protocol| (given.not, protocol, given.at));
                Ok(())
            }
            "-f" | "--fragment" | "--fragments" => self.fragment(&found),
            "-m" | "--match" => self.load(&found),
            "-j" | "--jump" | "-g" | "--goto" => self.target(&found, open),
            "-c" | "--set-counters" => {
                let given = self.take(found, &COUNTERS)?;
                self.line.counter = Some((value::count(given.piece())?, value::count(given.second())?));
                Ok(())
            }
            _ => self.foreign(found),
        }
    }

    /// An option of the rule itself with one value.
    fn own(&mut self, found: Found<'l>, option: &'static Opt, twice: bool) -> Result<Given<'l>, Fault> {
        if twice {
            return Err(Fault::wrong(found.at, format!("option {} is given twice; remove one", option.name)));
        }
        self.take(found, option)
    }

    /// The values of an option.
    fn take(&mut self, found: Found<'l>, option: &'static Opt) -> Result<Given<'l>, Fault> {
        let Found { name, at, mut not } = found;
        if option.negatable == Negatable::Yes && not.is_none() && option.values > 0 {
            // The older way to write it.
            if let Some((_, rest)) = self.rest.split_first().filter(|(first, _)| first.is_not()) {
                (not, self.rest) = (Some(at), rest);
            }
        }
        if let Some(not) = not.filter(|_| option.negatable == Negatable::No) {
            return Err(Fault::wrong(not, format!("option {} cannot be negated; remove the !", Shown(name))));
        }
        let mut values = SmallVec::new();
        for _ in 0..option.values {
            let missing = || {
                let count = if option.values == 1 { "a value".to_owned() } else { format!("{} values", option.values) };
                format!("option {} needs {count}; put it behind", Shown(name))
            };
            values.push(self.word().ok_or_else(|| Fault::wrong(self.end, missing()))?);
        }
        Ok(Given { name: option.name, not: not.is_some(), at, values })
    }

    fn command(&mut self, found: &Found<'l>, open: &mut Open) -> Result<(), Fault> {
        if self.line.command.is_some() {
            return Err(Fault::wrong(found.at, "a second command; give each its own line"));
        }
        let chain = self.positive(found, "the name of a chain")?;
        let index = open.chain(chain)?;
        let mut place = Place::Last;
        if matches!(found.name, "-I" | "--insert") {
            place = Place::At { index: 0, at: found.at };
            let number = self.rest.first().filter(|word| word.text.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(number) = number {
                self.word();
                let wanted = value::number(number.piece(), "rule number", 1, u32::MAX)?;
                place = Place::At { index: usize::try_from(wanted).unwrap_or(usize::MAX) - 1, at: number.at };
            }
        }
        self.line.command = Some((index, place));
        Ok(())
    }

    /// The word behind an option that cannot be negated.
    fn positive(&mut self, found: &Found<'l>, what: &str) -> Result<&'l Word<'l>, Fault> {
        if let Some(not) = found.not {
            return Err(Fault::wrong(not, format!("option {} cannot be negated; remove the !", found.name)));
        }
        let missing = Fault::wrong(self.end, format!("option {} needs {what}; put it behind", found.name));
        self.word().ok_or(missing)
    }

    fn fragment(&mut self, found: &Found<'l>) -> Result<(), Fault> {
        if self.family == Family4or6::Ipv6 {
            return Err(Fault::wrong(found.at, "-f is for IPv4 only; in IPv6 fragments are matched by -m frag"));
        }
        if self.line.fragment.replace(found.not.is_some()).is_some() {
            return Err(Fault::wrong(found.at, "option -f is given twice; remove one"));
        }
        Ok(())
    }

    fn load(&mut self, found: &Found<'l>) -> Result<(), Fault> {
        let word = self.positive(found, "the name of a match")?;
        let part = match (matches::find(&word.text, self.family), self.unknown) {
            (Some(extension), _) => Part::Known(Instance::new(extension, Role::Match, word.at)),
            (None, Unknown::KeepOpaque) => Part::Kept(Role::Match, &word.text, Vec::new()),
            (None, Unknown::Refuse) => {
                let what = format!("unknown match {}; Unknown::KeepOpaque keeps it unread", Shown(&word.text));
                return Err(word.piece().wrong(what));
            }
        };
        self.line.parts.push(part);
        Ok(())
    }

    fn target(&mut self, found: &Found<'l>, open: &Open) -> Result<(), Fault> {
        let word = self.positive(found, "a target or a chain")?;
        if self.line.target.is_some() {
            return Err(Fault::wrong(found.at, "a second target; a rule has one, write another rule"));
        }
        let goto = matches!(found.name, "-g" | "--goto");
        let chain: Option<Name> = open.callable(word)?;
        let text = &*word.text;
        let target = match (chain, targets::find(text).filter(|_| !goto)) {
            (Some(chain), _) if goto => Target::Chain(Verdict::Goto(chain)),
            (Some(chain), _) => Target::Chain(Verdict::Jump(chain)),
            (None, Some(extension)) => Target::Part(Part::Known(Instance::new(extension, Role::Target, word.at))),
            (None, None) if self.unknown == Unknown::KeepOpaque && !goto && !text.is_empty() => {
                Target::Part(Part::Kept(Role::Target, text, Vec::new()))
            }
            (None, None) => {
                let (what, shown) = (if goto { "chain" } else { "target or chain" }, Shown(text));
                let what =
                    format!("unknown {what} {shown}; declare the chain with :{shown} - [0:0] in front of its use");
                return Err(word.piece().wrong(what));
            }
        };
        self.line.target = Some(target);
        Ok(())
    }

    /// Matches and target, the last that was named first.
    fn loaded(&mut self) -> impl Iterator<Item = &mut Part<'l>> {
        let target = match &mut self.line.target {
            Some(Target::Part(part)) => Some(part),
            Some(Target::Chain(_)) | None => None,
        };
        // A target's options follow it at once; iptables asks it first as well.
        target.into_iter().chain(self.line.parts.iter_mut().rev())
    }

    fn known(&mut self) -> impl Iterator<Item = &mut Instance<'l>> {
        self.loaded().filter_map(|part| match part {
            Part::Known(instance) => Some(instance),
            Part::Kept(..) => None,
        })
    }

    /// The match that `-p` brings along, if it is not there yet.
    fn implied(&self) -> Option<&'static Extension> {
        let (not, protocol, _) = self.line.protocol?;
        let name = of_protocol(protocol, self.family).filter(|_| !not)?;
        matches::find(name, self.family)
    }

    /// An option of a match or target.
    fn foreign(&mut self, found: Found<'l>) -> Result<(), Fault> {
        let implied = self.implied();
        let exact = |extension: &'static Extension| extension.option(found.name);
        let abbreviated = |extension: &'static Extension| extension.abbreviated(found.name);
        let mut option = self.known().find_map(|instance| exact(instance.extension));
        let mut load = None;
        if option.is_none() {
            load = implied.filter(|extension| exact(extension).is_some());
            option = load.and_then(exact);
        }
        if option.is_none() {
            option = self.known().find_map(|instance| abbreviated(instance.extension));
        }
        if option.is_none() {
            load = implied.filter(|extension| abbreviated(extension).is_some());
            option = load.and_then(abbreviated);
        }
        let Some(option) = option else { return self.unknown(&found) };
        if let Some(extension) = load {
            self.line.parts.push(Part::Known(Instance::new(extension, Role::Match, found.at)));
        }
        let (at, name) = (found.at, Shown(found.name));
        let given = self.take(found, option)?;
        let mut owners = self.known().filter(|instance| instance.extension.option(option.name).is_some());
        let Some(instance) = owners.next() else { return Ok(()) };
        if instance.has(option.name) {
            let (role, extension) = (instance.role.name(), instance.extension.name);
            let what = format!("option {name} of {role} {extension} is given twice; remove one, or repeat the {role}");
            return Err(Fault::wrong(at, what));
        }
        instance.given.push(given);
        Ok(())
    }

    /// An option that nothing has: it goes to the last extension that is kept, or else to the last one.
    fn unknown(&mut self, found: &Found<'l>) -> Result<(), Fault> {
        if self.unknown == Unknown::Refuse {
            return Err(Fault::wrong(found.at, self.refusal(found.name)));
        }
        let mut words: Vec<&str> = found.not.map(|_| "!").into_iter().chain([found.name]).collect();
        while let Some(word) = self.rest.first().filter(|word| !word.is_option() && !word.is_not()) {
            words.push(&word.text);
            self.word();
        }
        let words = words.join(" ");
        let is_kept = |part: &Part<'_>| matches!(part, Part::Kept(..));
        let to = if self.loaded().any(|part| is_kept(part)) {
            self.loaded().find(|part| is_kept(part))
        } else {
            self.loaded().next()
        };
        match to {
            Some(Part::Known(instance)) => instance.unread.push(words),
            Some(Part::Kept(_, _, options)) => options.push(words),
            None => {
                let what = format!("unknown option {}; name its match with -m in front of it", Shown(found.name));
                return Err(Fault::wrong(found.at, what));
            }
        }
        Ok(())
    }

    fn refusal(&mut self, name: &str) -> String {
        let shown = Shown(name);
        let Some(instance) = self.known().next() else {
            return match name {
                "-t" | "--table" => "the table is named once, in a line such as *filter; remove -t".to_owned(),
                "-4" | "--ipv4" | "-6" | "--ipv6" => {
                    format!("{shown} stands for one family, and so does a file; remove it")
                }
                "-N" | "-P" | "-F" | "-X" | "-D" | "-R" | "-Z" | "-E" => {
                    format!("{shown} is a command that no save holds; only -A and -I are read")
                }
                _ => format!("unknown option {shown}; name its match with -m in front of it"),
            };
        };
        let Extension { name, options, .. } = instance.extension;
        let role = instance.role.name();
        match options {
            [] => format!("unknown option {shown} of {role} {name}, which has none; remove it"),
            options => {
                let options: Vec<_> = options.iter().map(|option| option.name).collect();
                format!("unknown option {shown} of {role} {name}; it has {}", options.join(", "))
            }
        }
    }
}

const COUNTERS: Opt = Opt::two("-c");
const DESTINATION: Opt = Opt::value("-d").or_not();
const IN: Opt = Opt::value("-i").or_not();
const OUT: Opt = Opt::value("-o").or_not();
const PROTOCOL: Opt = Opt::value("-p").or_not();
const SOURCE: Opt = Opt::value("-s").or_not();
