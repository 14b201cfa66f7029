//! Matches and the target: loading them, and assigning options to them.

use super::super::error::{Fault, Shown};
use super::super::extension::{Extension, Instance, Role, of_protocol};
use super::super::open::Open;
use super::super::{Unknown, matches, targets};
use super::options::{Found, Parsing};
use super::{LinePart, Target};
use crate::model::{Name, Verdict};

impl<'l> Parsing<'l> {
    pub(super) fn load(&mut self, found: &Found<'l>) -> Result<(), Fault> {
        let word = self.positive(found, "the name of a match")?;
        let part = match (matches::find(&word.text, self.family), self.unknown) {
            (Some(extension), _) => LinePart::Known(Instance::new(extension, Role::Match, word.at)),
            (None, _) if word.text.len() > LONGEST => {
                let what = format!("match {} is longer than the {LONGEST} bytes of a name", Shown(&word.text));
                return Err(word.piece().wrong(format!("{what}; correct it")));
            }
            (None, Unknown::KeepOpaque) => LinePart::Kept(Role::Match, &word.text, Vec::new()),
            (None, Unknown::Refuse) => {
                let what = format!("unknown match {}; Unknown::KeepOpaque keeps it unread", Shown(&word.text));
                return Err(word.piece().wrong(what));
            }
        };
        self.line.parts.push(part);
        self.last = Role::Match;
        Ok(())
    }

    pub(super) fn target(&mut self, found: &Found<'l>, open: &Open) -> Result<(), Fault> {
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
            (None, Some(extension)) => Target::Part(LinePart::Known(Instance::new(extension, Role::Target, word.at))),
            (None, None) if self.unknown == Unknown::KeepOpaque && !goto && (1..=LONGEST).contains(&text.len()) => {
                Target::Part(LinePart::Kept(Role::Target, text, Vec::new()))
            }
            (None, None) => {
                let (what, shown) = (if goto { "chain" } else { "target or chain" }, Shown(text));
                let what = format!("unknown {what} {shown}; declare the chain with :{shown} - [0:0] before its use");
                return Err(word.piece().wrong(what));
            }
        };
        self.line.target = Some(target);
        self.last = Role::Target;
        Ok(())
    }

    /// Returns the matches and the target, the last named first.
    fn loaded(&mut self) -> impl Iterator<Item = &mut LinePart<'l>> {
        let target = match &mut self.line.target {
            Some(Target::Part(part)) => Some(part),
            Some(Target::Chain(_)) | None => None,
        };
        let (last, after) = match self.last {
            Role::Match => (None, target),
            Role::Target => (target, None),
        };
        last.into_iter().chain(self.line.parts.iter_mut().rev()).chain(after)
    }

    fn known(&mut self) -> impl Iterator<Item = &mut Instance<'l>> {
        self.loaded().filter_map(|part| match part {
            LinePart::Known(instance) => Some(instance),
            LinePart::Kept(..) => None,
        })
    }

    /// Returns the match that `-p` loads, if it is not loaded yet.
    fn implied(&self) -> Option<&'static Extension> {
        let (not, protocol, _) = self.line.protocol?;
        let name = of_protocol(protocol, self.family).filter(|_| !not)?;
        matches::find(name, self.family)
    }

    /// Reads an option of a match or target.
    pub(super) fn foreign(&mut self, found: Found<'l>) -> Result<(), Fault> {
        if matches!(self.loaded().next(), Some(LinePart::Kept(..))) {
            // The words after it may be its values.
            return self.unknown(&found);
        }
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
            self.line.parts.push(LinePart::Known(Instance::new(extension, Role::Match, found.at)));
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

    /// Keeps an option that no extension has with the extension named last.
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
        match self.loaded().next() {
            Some(LinePart::Known(instance)) => instance.unread.push(words),
            Some(LinePart::Kept(_, _, options)) => options.push(words),
            None => {
                let what = format!("unknown option {}; name its match with -m before it", Shown(found.name));
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
                _ => format!("unknown option {shown}; name its match with -m before it"),
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

/// `XT_EXTENSION_MAXNAMELEN`, include/uapi/linux/netfilter/x_tables.h, without the terminating
/// NUL.
const LONGEST: usize = 28;
