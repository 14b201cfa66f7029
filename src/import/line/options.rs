//! The options of a rule itself: its position, addresses, interfaces and protocol. All others go
//! to the matches and the target.

use smallvec::SmallVec;

use super::super::error::{Fault, Shown};
use super::super::extension::{Given, Negatable, Opt, Role};
use super::super::open::Open;
use super::super::words::Word;
use super::super::{Unknown, value};
use super::{Line, RuleSlot};
use crate::model::IpFamily;

/// The remaining words, and what was read from the words before them.
pub(super) struct Parsing<'l> {
    pub(super) rest: &'l [Word<'l>],
    /// The end of the line.
    pub(super) end: usize,
    pub(super) family: IpFamily,
    pub(super) unknown: Unknown,
    pub(super) line: Line<'l>,
    /// Whether a match or the target was named last.
    pub(super) last: Role,
}

/// An option that is not interpreted yet.
pub(super) struct Found<'l> {
    pub(super) name: &'l str,
    pub(super) at: usize,
    /// The offset of the preceding `!`, if any.
    pub(super) not: Option<usize>,
}

impl<'l> Parsing<'l> {
    pub(super) fn word(&mut self) -> Option<&'l Word<'l>> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Reads one option with its values; returns false at the end.
    pub(super) fn next(&mut self, open: &mut Open) -> Result<bool, Fault> {
        let Some(mut word) = self.word() else { return Ok(false) };
        let not = word.is_not().then_some(word.at);
        if not.is_some() {
            let nothing = || Fault::wrong(word.at, "! precedes nothing; put an option after it");
            word = self.word().ok_or_else(nothing)?;
        }
        if !word.is_option() {
            let what = format!(
                "{} is not an option and belongs to none; remove it, or quote the text before it",
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

    /// Reads an option of the rule itself, which takes one value.
    fn own(&mut self, found: Found<'l>, option: &'static Opt, twice: bool) -> Result<Given<'l>, Fault> {
        if twice {
            return Err(Fault::wrong(found.at, format!("option {} is given twice; remove one", option.name)));
        }
        self.take(found, option)
    }

    /// Reads the values of an option.
    pub(super) fn take(&mut self, found: Found<'l>, option: &'static Opt) -> Result<Given<'l>, Fault> {
        let Found { name, at, mut not } = found;
        if option.negatable == Negatable::Yes && not.is_none() && option.values > 0 {
            // The older syntax.
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
                format!("option {} needs {count}; put it after the option", Shown(name))
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
        let mut place = RuleSlot::Last;
        if matches!(found.name, "-I" | "--insert") {
            place = RuleSlot::At { index: 0, at: found.at };
            let number = self.rest.first().filter(|word| word.text.starts_with(|c: char| c.is_ascii_digit()));
            if let Some(number) = number {
                self.word();
                let wanted = value::number(number.piece(), "rule number", 1, u32::MAX)?;
                place = RuleSlot::At { index: usize::try_from(wanted).unwrap_or(usize::MAX) - 1, at: number.at };
            }
        }
        self.line.command = Some((index, place));
        Ok(())
    }

    /// Returns the word after an option that cannot be negated.
    pub(super) fn positive(&mut self, found: &Found<'l>, what: &str) -> Result<&'l Word<'l>, Fault> {
        if let Some(not) = found.not {
            return Err(Fault::wrong(not, format!("option {} cannot be negated; remove the !", found.name)));
        }
        let missing = Fault::wrong(self.end, format!("option {} needs {what}; put it after the option", found.name));
        self.word().ok_or(missing)
    }

    fn fragment(&mut self, found: &Found<'l>) -> Result<(), Fault> {
        if self.family == IpFamily::Ipv6 {
            return Err(Fault::wrong(found.at, "-f is for IPv4 only; in IPv6 fragments are matched by -m frag"));
        }
        if self.line.fragment.replace(found.not.is_some()).is_some() {
            return Err(Fault::wrong(found.at, "option -f is given twice; remove one"));
        }
        Ok(())
    }
}

const COUNTERS: Opt = Opt::two("-c");
const DESTINATION: Opt = Opt::value("-d").or_not();
const IN: Opt = Opt::value("-i").or_not();
const OUT: Opt = Opt::value("-o").or_not();
const PROTOCOL: Opt = Opt::value("-p").or_not();
const SOURCE: Opt = Opt::value("-s").or_not();
